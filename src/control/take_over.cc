// SPDX-License-Identifier: BSD-3-Clause
#include "control/take_over.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "base/errors.h"
#include "base/port_errors.h"
#include "control/clock.h"
#include "control/hand_over_wire.h"
#include "control/log.h"
#include "control/secret.h"
#include "control/service.h"
#include "dataplane/name_lock.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

// More than any piece has.
constexpr std::size_t kMostBytes = 64U << 20;
// If no more flows than this have changed, they are carried in no time. Under a flood of changes
// more passes gain nothing.
constexpr std::size_t kFewFlows = 2'000;
constexpr unsigned kMostPasses = 4;
constexpr std::uint64_t kStartUs = 100'000;  // a thread starts much sooner
// The far end of a memif or of a cable needs a while.
constexpr std::uint64_t kLinkUs = 3'000'000;

const Config& checked(const Config& config) {
  if (has_manager()) {
    throw UsageError(
        "--take-over: a service manager starts this process, and restarts it: its connections go on "
        "over that; leave the flag out");
  }
  for (const auto& [flag, port] : {std::pair{"--client-port", &config.client_port},
                                   std::pair{"--server-port", &config.server_port}}) {
    if (port->kind == PortName::Kind::kVdev && port->device.starts_with("net_af_xdp")) {
      throw UsageError(std::string("--take-over: ") + flag + " " + port->text +
                       ": DPDK lets nobody else have the interface before its process has ended; "
                       "restart the proxy with xdp: and the name of the interface");
    }
    if (port->kind != PortName::Kind::kVdev || !port->device.starts_with("net_tap") ||
        port->device.find("iface=") != std::string::npos) {
      continue;
    }
    throw UsageError(std::string("--take-over: ") + flag + " " + port->text +
                     ": the kernel chose the name of its interface, and would choose another one "
                     "now; restart the proxy with a name of yours: " +
                     port->device + ",iface=NAME");
  }
  for (const std::string& argument : config.eal_arguments) {
    if (!argument.starts_with("--vdev")) continue;
    throw UsageError("--take-over: -- " + argument +
                     ": the running proxy has that device until it stops, and EAL would open it "
                     "before; name the device as the port, with its arguments");
  }
  return config;
}

void connect(std::optional<ControlClient>& client, const std::string& name) {
  try {
    client.emplace(name);
  } catch (const RuntimeFailure& error) {
    throw UsageError("--take-over: there is nobody to take over from: " +
                     std::string(error.what()));
  }
}

template <typename T, typename Take>
void read_piece(ControlClient& from, std::size_t bytes, Take&& take) {
  std::vector<T> part(bytes / sizeof(T));
  from.read(part.data(), part.size() * sizeof(T));
  take(std::span<const T>(part));
}

[[noreturn]] void throw_strange() {
  throw RuntimeFailure("--take-over: the running proxy answers with something else; it goes on");
}

// Calls `done` until it is true or `patience_us` is over. Returns what it was.
template <typename Done>
bool wait_until(std::uint64_t patience_us, Done&& done) {
  for (const std::uint64_t began = monotonic_us(); !done();) {
    if (monotonic_us() - began > patience_us) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return true;
}

// Until the first turn of the last of them.
void wait_for_workers(const dataplane::Dataplane& dataplane) {
  for (unsigned w = 0; w < dataplane.workers(); ++w) {
    static_cast<void>(wait_until(kStartUs, [&] { return dataplane.io(w).clock_ms.get() != 0; }));
  }
}

}  // namespace

TakeOver::TakeOver(const Config& config, const MasterSecret& secret)
    : config_(checked(config)),
      swap_(dataplane::runtime_directory(config.name).parent_path(), config.name,
            config.files_name(), config.state_dir) {
  connect(predecessor_, config.name);
  const Json answer =
      predecessor_->ask({{"command", kAskHandOver},
                         {"format", kHandOverFormat},
                         {"client_port", port_said(config.client_port)},
                         {"server_port", port_said(config.server_port)},
                         {"epoch_ms", config.engine.shape.epoch_ms},
                         {"max_flows", config.engine.shape.max_flows},
                         {"secret", config.secret_file.empty() ? 0 : name_of(secret)}});
  try {
    pid_ = answer.at("pid").get<pid_t>();
    StoreIdentity& identity = giver_.identity;
    answer.at("index_key").get_to(identity.index_key);
    identity.zero_ms = answer.at("zero_ms").get<std::uint64_t>();
    identity.rss_word = answer.at("rss_word").get<std::uint32_t>();
    for (const Json& keys : answer.at("keys")) {
      keys_.push_back(
          epoch_keys(keys.at("epoch").get<std::uint64_t>(), keys.at("words").get<KeyWords>()));
    }
    take_files(answer.at("files"));
  } catch (const Json::exception&) {
    throw_strange();
  }
  giver_.stop = [this] { stop(); };
  giver_.files = [this](PortId id) { return std::exchange(port_files_[id], {}); };
}

void TakeOver::take_files(const Json& counts) {
  std::vector<Descriptor> all = predecessor_->take_descriptors();
  auto next = all.begin();
  const auto take = [&](const char* name, std::vector<Descriptor>& to) {
    const auto many = counts.at(name).get<std::size_t>();
    if (many > static_cast<std::size_t>(all.end() - next)) throw_strange();
    const auto end = next + static_cast<std::ptrdiff_t>(many);
    to.assign(std::move_iterator(next), std::move_iterator(end));
    next = end;
  };
  take(kHostFiles, host_files_);
  for (const PortId id : kAllPorts) take(kPortFiles[id], port_files_[id]);
}

TakeOver::~TakeOver() {
  for (EpochKeys& keys : keys_) cleanse(keys);
}

std::vector<EpochKeys> TakeOver::take_keys() { return std::exchange(keys_, {}); }

std::size_t TakeOver::take(dataplane::Taker& taker, std::uint64_t now_ms) {
  std::size_t flows = 0;
  for (Json line = predecessor_->next_line();; line = predecessor_->next_line()) {
    const auto what = line.at("what").get<std::string>();
    const auto worker = line.at("worker").get<unsigned>();
    const auto bytes = line.at("bytes").get<std::size_t>();
    if (bytes > kMostBytes) throw_strange();
    if (what == kEnd) return flows;
    if (what == kServices) {
      read_piece<std::byte>(*predecessor_, bytes,
                            [&](auto part) { taker.adopt_services(part, now_ms); });
    } else if (what == kReplays) {
      read_piece<CarriedReplay>(*predecessor_, bytes,
                                [&](auto part) { taker.adopt_replays(part, now_ms); });
    } else if (what == kGone) {
      read_piece<FlowIndex>(*predecessor_, bytes,
                            [&](auto part) { taker.forget_flows(worker, part); });
    } else if (what == kFlows) {
      read_piece<CarriedFlow>(*predecessor_, bytes, [&](auto part) {
        taker.adopt_flows(worker, part, now_ms);
        flows += part.size();
      });
    } else {
      throw_strange();
    }
  }
}

HostStateFile::Left TakeOver::take_host() {
  if (host_files_.size() != 1) throw_strange();
  return HostStateFile::handed_over(host_files_.front().release(), record_directory());
}

// The answer goes on with what take() reads.
void TakeOver::stop() {
  const Json head = predecessor_->ask({{"command", kStopForHandOver}});
  try {
    stopped_us_ = head.at("stopped_us").get<std::uint64_t>();
    for (const PortId id : kAllPorts) {
      links_[id] = head.at("links").at(static_cast<std::size_t>(id)).get<bool>();
    }
  } catch (const Json::exception&) {
    throw_strange();
  }
}

void TakeOver::copy_while_it_works(dataplane::Dataplane& dataplane, dataplane::Taker& taker) {
  std::size_t changed = kFewFlows;
  for (unsigned pass = 0; pass < kMostPasses && changed >= kFewFlows; ++pass) {
    static_cast<void>(predecessor_->ask({{"command", kCopyForHandOver}}));
    changed = take(taker, dataplane.now_ms());
  }
}

// Nobody forwards before the links are there that the predecessor had.
void TakeOver::wait_for_traffic(const dataplane::Dataplane& dataplane) {
  wait_for_workers(dataplane);
  const std::uint64_t began = monotonic_us();
  for (const PortId id : kAllPorts) {
    const std::uint64_t waited = monotonic_us() - began;
    const bool there = !links_[id] || wait_until(kLinkUs - std::min(kLinkUs, waited),
                                                 [&] { return dataplane.has_link(id); });
    if (!there) {
      const PortName& name = id == PortId::kClient ? config_.client_port : config_.server_port;
      without_link_ += "; no link yet: " + flag_and_value(name, id);
    }
  }
}

void TakeOver::run(dataplane::Dataplane& dataplane, const std::function<void()>& ports_open) {
  dataplane::Taker taker(dataplane.engines(),
                         [&](const FlowKey& key) { return dataplane.owner_of(key); });
  try {
    const bool ready = dataplane.opens_without_rights();
    if (ready) ports_open();
    if (!stopped_us_) {
      copy_while_it_works(dataplane, taker);
      dataplane.open_beside();
      // What has come so far, the predecessor has had. What comes from now on until it stops, both
      // have: better twice than not at all.
      dataplane.forget_copies();
      stop();
    }
    dataplane.open_all();
    if (!ready) ports_open();
    take(taker, dataplane.now_ms());
    found_ = taker.end();
    dataplane.start();
    wait_for_traffic(dataplane);
    outage_us_ = monotonic_us() - *stopped_us_;
  } catch (const Json::exception&) {
    throw_strange();
  }
  static_cast<void>(predecessor_->ask({{"command", kEndHandOver}, {"outage_us", outage_us_}}));
  if (swap_.swap()) {
    dataplane.renamed(config_.name);
  } else {
    complain("--take-over: the files of this process keep the name " + config_.files_name() +
             "; ask it under that name");
  }
  predecessor_.reset();
}

std::string TakeOver::text() const {
  return "taken over from the process " + std::to_string(pid_) + ": nobody forwarded for " +
         std::to_string(outage_us_) + " us";
}

}  // namespace synproxy::control
