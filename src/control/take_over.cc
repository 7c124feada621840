// SPDX-License-Identifier: BSD-3-Clause
#include "control/take_over.h"

#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "base/errors.h"
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
// So many more that have changed are carried in no time; and under a flood of changes nothing is
// won by going on.
constexpr std::size_t kFewFlows = 2'000;
constexpr unsigned kMostPasses = 4;
constexpr std::uint64_t kStartUs = 100'000;  // a thread starts much sooner

const Config& checked(const Config& config) {
  if (has_manager()) {
    throw UsageError(
        "--take-over: a service manager starts this process, and restarts it: its connections go on "
        "over that; leave the flag out");
  }
  for (const auto& [flag, port] : {std::pair{"--client-port", &config.client_port},
                                   std::pair{"--server-port", &config.server_port}}) {
    if (port->kind == PortName::Kind::kRawSocket) continue;
    throw UsageError(std::string("--take-over: ") + flag + " " + port->text +
                     " cannot be opened twice, only Linux interfaces can; restart the proxy, with "
                     "--state-dir if its connections are to go on");
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

EpochKeys keys_of(const Json& words) {
  const auto word = [&](std::size_t i) { return words.at(i).get<std::uint64_t>(); };
  return {.epoch = word(0),
          .timestamps = {.k0 = word(1), .k1 = word(2), .multiplier = word(3)},
          .plain = {.k0 = word(4), .k1 = word(5), .multiplier = word(6)}};
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

// Until the first turn of the last of them.
void wait_for_workers(const dataplane::Dataplane& dataplane) {
  const std::uint64_t began = monotonic_us();
  for (unsigned w = 0; w < dataplane.workers(); ++w) {
    while (dataplane.io(w).clock_ms.get() == 0 && monotonic_us() - began < kStartUs) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
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
                         {"client_port", config.client_port.device},
                         {"server_port", config.server_port.device},
                         {"epoch_ms", config.engine.shape.epoch_ms},
                         {"max_flows", config.engine.shape.max_flows},
                         {"secret", config.secret_file.empty() ? 0 : name_of(secret)}});
  try {
    pid_ = answer.at("pid").get<int>();
    answer.at("index_key").get_to(identity_.index_key);
    identity_.zero_ms = answer.at("zero_ms").get<std::uint64_t>();
    identity_.rss_word = answer.at("rss_word").get<std::uint32_t>();
    for (const Json& words : answer.at("keys")) keys_.push_back(keys_of(words));
  } catch (const Json::exception&) {
    throw_strange();
  }
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

void TakeOver::run(dataplane::Dataplane& dataplane) {
  dataplane::Taker taker(dataplane.engines(),
                         [&](const FlowKey& key) { return dataplane.owner_of(key); });
  try {
    std::size_t changed = kFewFlows;
    for (unsigned pass = 0; pass < kMostPasses && changed >= kFewFlows; ++pass) {
      static_cast<void>(predecessor_->ask({{"command", kCopyForHandOver}}));
      changed = take(taker, dataplane.now_ms());
    }
    // What has come so far, the predecessor has had. What comes from now on until it stops, both
    // have: better twice than not at all.
    for (const PortId id : kAllPorts) dataplane.forget_received(id);
    const Json head = predecessor_->ask({{"command", kStopForHandOver}});
    const auto stopped_us = head.at("stopped_us").get<std::uint64_t>();
    take(taker, dataplane.now_ms());
    found_ = taker.end();
    dataplane.start();
    wait_for_workers(dataplane);
    outage_us_ = monotonic_us() - stopped_us;
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
