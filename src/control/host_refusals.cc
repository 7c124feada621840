// SPDX-License-Identifier: BSD-3-Clause
// What --server-port host refuses, before it changes anything.
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "base/errors.h"
#include "control/host_end.h"

namespace synproxy::control {
namespace {

constexpr std::size_t kMostRoutes = 20'000;  // each is moved by itself, both ways

[[noreturn]] void refuse(const std::string& why) { throw UsageError("--server-port host: " + why); }

std::string value_in(const std::filesystem::path& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key + "=")) return line.substr(key.size() + 1);
  }
  return "";
}

// What they write down under /run is about the machine's own interfaces.
bool in_the_machines_namespace() {
  struct stat ours {};
  struct stat first {};
  return ::stat("/proc/self/ns/net", &ours) == 0 && ::stat("/proc/1/ns/net", &first) == 0 &&
         ours.st_ino == first.st_ino;
}

void refuse_place(Rtnetlink& net, const Link& nic) {
  const auto all = links(net);
  if (nic.master != 0) {
    const auto master = std::ranges::find(all, nic.master, &Link::index);
    const std::string name = master == all.end() ? "another interface" : master->name;
    refuse(nic.name + " belongs to " + name + ", which has the addresses; name " + name +
           ", or take " + nic.name + " out of it");
  }
  for (const Link& other : all) {
    if (!other.stands_on(nic)) continue;
    refuse(nic.name + " carries the interface " + other.name +
           ", which would be cut off; `ip link del " + other.name + "`, or name another");
  }
  for (const std::string& name : {end_name(nic.name), wire_name(nic.name)}) {
    if (std::ranges::find(all, name, &Link::name) == all.end()) continue;
    std::string text = "there is an interface " + name;
    text += " already, whose name is needed; `ip link del ";
    text += name;
    refuse(text + "`");
  }
}

void refuse_addressing(const Link& nic, const Addressing& addressing) {
  if (!nic.up) refuse(nic.name + " is down; `ip link set " + nic.name + " up`");
  if (!addressing.has_address()) {
    refuse(nic.name + " has no address that could be moved; give it one, or name the interface " +
           "that has it");
  }
  if (addressing.routes.size() > kMostRoutes) {
    refuse(nic.name + " has " + std::to_string(addressing.routes.size()) + " routes, more than " +
           std::to_string(kMostRoutes) + "; put the proxy on a machine of its own");
  }
  for (const NetMessage& route : addressing.routes) {
    for (const auto& a : route.attributes(sizeof(rtmsg))) {
      if (a.type != RTA_NH_ID) continue;
      refuse(
          "the route " + message_text(route) + " of " + nic.name +
          " goes by a nexthop object, and would be lost; write it as `ip route ... via ... dev " +
          nic.name + "`");
    }
  }
}

}  // namespace

std::string manager_of(int index, const std::string& interface, const std::filesystem::path& run) {
  const std::string number = std::to_string(index);
  const std::string state = value_in(run / "systemd/netif/links" / number, "ADMIN_STATE");
  if (!state.empty() && state != "unmanaged") {
    return "systemd-networkd manages " + interface +
           ", and would give it its addresses again; tell it `Unmanaged=yes` in the [Link] section "
           "of its .network file and set the addresses up otherwise";
  }
  if (value_in(run / "NetworkManager/devices" / number, "managed") == "true") {
    return "NetworkManager manages " + interface +
           ", and would give it its addresses again; `nmcli device set " + interface +
           " managed no`, and set the addresses up otherwise";
  }
  return "";
}

void refuse_host_end(Rtnetlink& net, const Link& nic, const Addressing& addressing,
                     const std::filesystem::path& directory) {
  for (const HostState& state : HostStateFile::in_use(directory)) {
    if (state.interface != nic.name) continue;
    refuse("the proxy " + state.proxy + " has the addresses of " + nic.name + "; stop it first");
  }
  refuse_place(net, nic);
  refuse_addressing(nic, addressing);
  if (!in_the_machines_namespace()) return;
  if (const std::string manager = manager_of(nic.index, nic.name); !manager.empty()) {
    refuse(manager);
  }
}

}  // namespace synproxy::control
