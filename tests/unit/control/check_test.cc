// SPDX-License-Identifier: BSD-3-Clause
// `synproxy check` on machines made of files: a fake /sys and /proc.
#include "control/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "control/commands.h"
#include "control/port_name.h"

namespace synproxy::control {
namespace {

using State = Finding::State;
using testing::AllOf;
using testing::HasSubstr;

struct CheckedHost : Host {
  [[nodiscard]] std::optional<Interface> interface(const std::string& name) const override {
    if (name != "eth1" && name != "eth2") return std::nullopt;
    return Interface{name == "eth1" ? 1U : 2U, true, false};
  }
  [[nodiscard]] std::optional<std::string> pci_driver(const std::string& address) const override {
    return address == "0000:3b:00.0" ? std::optional(driver) : std::nullopt;
  }
  [[nodiscard]] bool has(Capability) const override { return root; }
  [[nodiscard]] bool is_root() const override { return root; }
  [[nodiscard]] std::vector<unsigned> allowed_cpus() const override { return {0, 1, 2, 3}; }

  std::string driver = "vfio-pci";
  bool root = true;
};

class CheckTest : public testing::Test, public LinuxMachine {
 protected:
  CheckTest() : LinuxMachine(directory()) {
    file("/sys/devices/system/cpu/isolated", "2-3");
    file("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc");
    file("/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet");
    file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512");
    file("/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance");
    file("/sys/devices/system/node/node0/cpulist", "0-1");
    file("/sys/devices/system/node/node1/cpulist", "2-3");
    for (const std::string name : {"eth1", "eth2"}) {
      file("/sys/class/net/" + name + "/device/numa_node", "1");
      file("/sys/class/net/" + name + "/carrier", "1");
    }
    config_.workers = {2};
    ports("eth1", "eth2");
  }
  ~CheckTest() override { std::filesystem::remove_all(directory()); }

  static std::string directory() {
    return std::filesystem::temp_directory_path() /
           ("synproxy-check-" + std::to_string(::getpid()));
  }
  static void file(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(directory() + path).parent_path());
    std::ofstream(directory() + path) << text << '\n';
  }
  static void link(const std::string& path, const std::string& to) {
    std::filesystem::create_directories(std::filesystem::path(directory() + path).parent_path());
    std::filesystem::create_symlink(to, directory() + path);
  }
  void ports(const std::string& client, const std::string& server) {
    config_.client_port = parse_port_name(client);
    config_.server_port = parse_port_name(server);
  }

  [[nodiscard]] std::optional<std::uint32_t> mtu(const std::string& name) const override {
    return name == "eth1" ? mtu1_ : 1500;
  }
  [[nodiscard]] std::optional<Ring> receive_ring(const std::string&) const override {
    return ring_;
  }
  [[nodiscard]] std::optional<std::uint32_t> queues(const std::string&) const override {
    return queues_;
  }
  [[nodiscard]] std::vector<std::string> addresses(const std::string& name) const override {
    return name == "eth1" ? addresses_ : std::vector<std::string>();
  }
  [[nodiscard]] Limits limits() const override { return limits_; }
  [[nodiscard]] std::string firewall() const override { return ruleset_; }

  [[nodiscard]] Findings all() const { return check_before(config_, host_, *this); }
  // The lines about that, as the user reads them.
  [[nodiscard]] std::string about(const std::string& what) const {
    Findings some;
    for (const Finding& f : all()) {
      if (f.what == what) some.push_back(f);
    }
    return check_text(some);
  }

  Config config_;
  CheckedHost host_;
  std::uint32_t mtu1_ = 1500;
  Ring ring_{1024, 4096};
  std::uint32_t queues_ = 1;
  std::vector<std::string> addresses_;
  Limits limits_{~0ULL, 1024};
  std::string ruleset_;
};

TEST_F(CheckTest, ARightMachineIsRightInEveryLine) {
  const Findings findings = all();
  EXPECT_FALSE(any_wrong(findings));
  for (const Finding& f : findings) {
    EXPECT_EQ(f.state, State::kRight) << check_text({f});
    EXPECT_TRUE(f.mend.empty()) << check_text({f});
  }
  for (const char* what :
       {"devices", "link", "address", "ring", "offloads", "firewall", "mtu", "numa", "isolation",
        "governor", "clock", "rss", "hugepages", "memlock", "nofile"}) {
    EXPECT_NE(about(what), "") << what;
  }
}

TEST_F(CheckTest, EachWrongThingIsOneLineWithWhatMendsIt) {
  mtu1_ = 9000;
  EXPECT_EQ(about("mtu"),
            "wrong  mtu eth2: 1500, and the other port has 9000: longer frames are lost; `ip link "
            "set eth2 mtu 9000`\n");
  limits_.open_files = 16;
  EXPECT_EQ(about("nofile"), "wrong  nofile: 16; `ulimit -n 136`\n");
  link("/sys/class/net/eth2/master", "../../virtual/net/br0");
  EXPECT_EQ(about("master"),
            "wrong  master eth2: belongs to br0, which forwards its frames too; `ip link set eth2 "
            "nomaster`\n");
  EXPECT_TRUE(any_wrong(all()));
  ports("eth1", "eth9");
  EXPECT_EQ(about("devices"),
            "wrong  devices: --server-port eth9: there is no network interface 'eth9' here; see "
            "`ip link` for the names\n");
  config_.user = "no-such-user";
  EXPECT_THAT(about("user"),
              HasSubstr("wrong  user: --user no-such-user: there is no such user; "));
}

TEST_F(CheckTest, WhatOnlyCostsIsPoorAndNoFailure) {
  file("/sys/devices/system/cpu/isolated", "");
  file("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
  file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0");
  file("/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "powersave");
  file("/sys/class/net/eth1/device/numa_node", "0");
  ring_ = {256, 4096};
  addresses_ = {"192.0.2.1", "2001:db8::1"};
  ruleset_ =
      "table inet filter {\n  chain input {\n    iifname \"eth11\" drop\n  }\n}\n"
      "table netdev guard {\n  chain ingress {\n    type filter hook ingress device \"eth1\" "
      "priority 0;\n  }\n}\n";
  EXPECT_FALSE(any_wrong(all()));
  EXPECT_THAT(about("isolation"), HasSubstr("; boot with `isolcpus=2 nohz_full=2`\n"));
  EXPECT_THAT(about("clock"), AllOf(HasSubstr("poor   clock: hpet"),
                                    HasSubstr("`echo tsc >/sys/devices/system/clocksource")));
  EXPECT_EQ(about("hugepages"),
            "poor   hugepages: 0 MB free: packet buffers may be in ordinary memory; `sysctl "
            "vm.nr_hugepages=512`\n");
  EXPECT_THAT(about("governor"), HasSubstr("poor   governor: powersave on CPU 2; `echo perf"));
  EXPECT_THAT(about("numa"), HasSubstr("poor   numa eth1: on node 0, and a worker is not; choose "
                                       "--workers from 0-1\n"));
  EXPECT_THAT(about("ring"), HasSubstr("256 frames of 4096; `ethtool -G eth1 rx 4096`\n"));
  EXPECT_THAT(about("address"), HasSubstr("poor   address eth1: 192.0.2.1, 2001:db8::1: this host "
                                          "answers beside the proxy; `ip address flush dev eth1`"));
  EXPECT_THAT(about("firewall"), AllOf(HasSubstr("`nft delete table netdev guard`"),
                                       HasSubstr("right  firewall eth2: none names it\n")));
}

TEST_F(CheckTest, AfXdpServesSomeQueuesAndShortFrames) {
  ports("xdp:eth1", "eth2");
  EXPECT_FALSE(any_wrong(all()));
  queues_ = 32;
  EXPECT_EQ(about("queues"), "right  queues xdp:eth1: 32\n");
  queues_ = 33;
  mtu1_ = 9000;
  EXPECT_EQ(about("queues"),
            "wrong  queues xdp:eth1: 33, and AF_XDP serves 32; `ethtool -L eth1 combined 32`\n");
  EXPECT_THAT(about("mtu"), HasSubstr("wrong  mtu xdp:eth1: 9000, and AF_XDP takes 3498; `ip "));
}

TEST_F(CheckTest, ANicNeedsItsDriverAndAnIommuOrHugepages) {
  ports("0000:3b:00.0", "eth2");
  link("/sys/bus/pci/devices/0000:3b:00.0/iommu_group", "../../../kernel/iommu_groups/17");
  file("/sys/bus/pci/devices/0000:3b:00.0/numa_node", "-1");
  EXPECT_FALSE(any_wrong(all()));
  EXPECT_EQ(about("driver"), "right  driver 0000:3b:00.0: vfio-pci\n");
  EXPECT_EQ(about("iommu"), "right  iommu 0000:3b:00.0: group 17\n");
  host_.driver = "ixgbe";
  EXPECT_EQ(about("driver"),
            "wrong  driver 0000:3b:00.0: ixgbe; `dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0`\n");
  host_.driver = "vfio-pci";
  std::filesystem::remove(directory() + "/sys/bus/pci/devices/0000:3b:00.0/iommu_group");
  EXPECT_THAT(about("iommu"), HasSubstr("wrong  iommu 0000:3b:00.0: none, and vfio-pci needs"));
  file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y");
  EXPECT_THAT(about("iommu"), HasSubstr("poor   iommu"));
  file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "1");
  EXPECT_THAT(about("hugepages"), HasSubstr("wrong  hugepages: 2 MB free"));
  host_.root = false;
  limits_.locked_memory = 64 << 10;
  EXPECT_THAT(about("memlock"), HasSubstr("wrong  memlock: 64 KB; `ulimit -l unlimited`"));
}

nlohmann::ordered_json running(std::uint64_t clock0, std::uint64_t clock1, bool link) {
  return {{"name", "web"},
          {"uptime_seconds", 7},
          {"ports",
           {{"client", {{"name", "eth1"}, {"link_up", true}}},
            {"server", {{"name", "eth2"}, {"link_up", link}}}}},
          {"workers",
           {{{"worker", 0}, {"cpu", 2}, {"io", {{"clock_ms", clock0}}}},
            {{"worker", 1}, {"cpu", 3}, {"io", {{"clock_ms", clock1}}}}}}};
}

TEST(CheckLive, ASilentWorkerAndALostLinkAreWrong) {
  EXPECT_EQ(check_text(check_live(running(1, 1, true), running(300, 301, true))),
            "right  running: web, for 7 s\nright  link eth1: up\nright  link eth2: up\n"
            "right  worker: worker 0 on CPU 2 moves\nright  worker: worker 1 on CPU 3 moves\n");
  const Findings bad = check_live(running(1, 1, true), running(300, 1, false));
  EXPECT_TRUE(any_wrong(bad));
  EXPECT_THAT(check_text(bad), AllOf(HasSubstr("wrong  link eth2: down or gone; "),
                                     HasSubstr("wrong  worker: worker 1 on CPU 3 stands still; ")));
  const auto document = check_document(bad);
  EXPECT_FALSE(document.at("ok").get<bool>());
  EXPECT_EQ(document.at("checks").at(2).at("state"), "wrong");
  EXPECT_EQ(document.at("checks").at(2).at("port"), "eth2");
}

TEST(CheckCommand, TakesTheFlagsOfTheStartAsTheyAre) {
  const Command& command = *find_command("check");
  const CommandLine line = read_command_line(
      command, {"--client-port", "eth1", "--json", "--sack-perm", "--", "-m", "1"});
  EXPECT_TRUE(line.has("json"));
  EXPECT_FALSE(line.has("live"));
  EXPECT_EQ(line.words,
            (std::vector<std::string>{"--client-port", "eth1", "--sack-perm", "--", "-m", "1"}));
  EXPECT_THROW(static_cast<void>(read_command_line(command, {"--json=1"})), UsageError);
}

}  // namespace
}  // namespace synproxy::control
