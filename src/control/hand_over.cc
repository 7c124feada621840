// SPDX-License-Identifier: BSD-3-Clause
#include "control/hand_over.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "base/processes.h"
#include "control/hand_over_wire.h"
#include "control/log.h"
#include "control/port_name.h"

namespace synproxy::control {
namespace {

using Json = Requests::Json;

constexpr std::size_t kFlowsInPiece = 1024;
constexpr std::size_t kReplaysInPiece = 2048;

void refuse_port(const char* flag, const PortName& running, const std::string& wanted) {
  if (port_said(running) == wanted) return;
  throw UsageError(std::string(flag) + " " + wanted + ": the running proxy has " +
                   port_said(running) +
                   ", and --take-over changes no port; give that one, or restart it");
}

std::string line_of(const char* what, unsigned worker, std::size_t bytes) {
  return Json{{"what", what}, {"worker", worker}, {"bytes", bytes}}.dump() + "\n";
}

template <typename T>
void append(std::string& out, const char* what, unsigned worker, std::span<const T> part) {
  out += line_of(what, worker, part.size_bytes());
  const std::size_t at = out.size();
  out.resize(at + part.size_bytes());
  if (!part.empty()) std::memcpy(out.data() + at, part.data(), part.size_bytes());
}

}  // namespace

std::string handed_over_line(pid_t to, std::uint64_t outage_us) {
  return "handed over to the process " + std::to_string(to) + ": nobody forwarded for " +
         std::to_string(outage_us) + " us";
}

// The first answer, with the files that go along.
class HandOver::Handing final : public Answer {
 public:
  Handing(const Json& result, std::vector<int> files)
      : line_(answer_line(result)), files_(std::move(files)) {}

  Step next(std::string& out) override {
    out += std::exchange(line_, {});
    return Step::kEnd;
  }
  [[nodiscard]] std::vector<int> descriptors() const override { return files_; }

 private:
  std::string line_;
  const std::vector<int> files_;
};

// What the successor has not got: services before flows, which are judged by them.
class HandOver::Carrying final : public Answer {
 public:
  // `phase`: in which it was asked. Afterwards what is found fits nothing any more.
  Carrying(std::shared_ptr<State> state, Phase phase, std::string head)
      : state_(std::move(state)),
        phase_(phase),
        head_(std::move(head)),
        changed_(state_->giver->find_changed(phase == Phase::kStopped)) {}

  Step next(std::string& out) override {
    out += std::exchange(head_, {});
    const std::lock_guard lock(state_->mutex);
    if (state_->phase != phase_ || !state_->giver) return Step::kEnd;
    if (part_ == 4) {
      out += line_of(kEnd, 0, 0);
      return Step::kEnd;
    }
    if (worker_ < changed_.size()) add_piece(out, *state_->giver, changed_[worker_]);
    if (worker_ >= changed_.size()) {
      worker_ = 0;
      ++part_;
    }
    return Step::kMore;
  }

 private:
  void add_piece(std::string& out, dataplane::Giver& giver, const dataplane::Giver::Changed& all) {
    bool more = false;
    if (part_ == 0) {
      append(out, kServices, worker_, giver.carry_services(worker_));
    } else if (part_ == 1) {
      more = add_part<CarriedReplay>(
          out, kReplays, all.replays, kReplaysInPiece,
          [&](auto lines, auto copies) { giver.carry_replays(worker_, lines, copies); });
    } else if (part_ == 2) {
      append(out, kGone, worker_, std::span<const FlowIndex>(all.gone));
    } else {
      more = add_part<CarriedFlow>(
          out, kFlows, all.flows, kFlowsInPiece,
          [&](auto flows, auto copies) { giver.carry_flows(worker_, flows, copies); });
    }
    if (more) return;
    from_ = 0;
    ++worker_;
  }
  template <typename T, typename Carry>
  bool add_part(std::string& out, const char* what, std::span<const std::uint32_t> all,
                std::size_t most, Carry&& carry) {
    const auto part = all.subspan(from_, std::min(most, all.size() - from_));
    std::vector<T> copies(part.size());
    carry(part, std::span<T>(copies));
    append(out, what, worker_, std::span<const T>(copies));
    from_ += part.size();
    return from_ < all.size();
  }

  std::shared_ptr<State> state_;
  const Phase phase_;
  std::string head_;
  std::vector<dataplane::Giver::Changed> changed_;
  unsigned part_ = 0;
  unsigned worker_ = 0;
  std::size_t from_ = 0;
};

// The last answer. It lasts until the successor hangs up.
class HandOver::Farewell final : public Answer {
 public:
  explicit Farewell(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~Farewell() override {
    const std::lock_guard lock(state_->mutex);
    state_->left_alone = true;
    state_->news.notify_all();
  }
  Farewell(const Farewell&) = delete;
  Farewell& operator=(const Farewell&) = delete;

  Step next(std::string& out) override {
    if (std::exchange(said_, true)) return Step::kWait;
    out += answer_line("handed over");
    return Step::kMore;
  }

 private:
  std::shared_ptr<State> state_;
  bool said_ = false;
};

void HandOver::add_requests(Requests& requests) {
  requests.add_long(kAskHandOver, Requests::Kind::kChanging,
                    [this](const Json& request, const Peer& peer) { return ask(request, peer); });
  requests.add_long(kCopyForHandOver, Requests::Kind::kChanging,
                    [this](const Json&, const Peer& peer) { return copy(peer); });
  requests.add_long(kStopForHandOver, Requests::Kind::kChanging,
                    [this](const Json&, const Peer& peer) { return stop(peer); });
  requests.add_long(kEndHandOver, Requests::Kind::kChanging,
                    [this](const Json& request, const Peer& peer) { return end(request, peer); });
}

void HandOver::refuse_what_cannot_work(const Json& request, const Peer& peer) {
  if (request.value("format", 0U) != kHandOverFormat) {
    throw UsageError(
        "--take-over: the running proxy is of a version that hands over in another "
        "way; restart it, with --state-dir if its connections are to go on");
  }
  if (parts_.managed) {
    throw UsageError(
        "--take-over: a service manager has started the running proxy and waits for "
        "its end; restart the unit: its connections go on over that");
  }
  const Config& config = parts_.config;
  refuse_port("--client-port", config.client_port, text_field(request, "client_port"));
  refuse_port("--server-port", config.server_port, text_field(request, "server_port"));
  const EngineShape& shape = config.engine.shape;
  if (request.value("epoch_ms", 0U) != shape.epoch_ms) {
    throw UsageError(
        "--epoch: the running proxy has " + std::to_string(shape.epoch_ms / 1000) +
        " s, and cookies have to go on with --take-over; give the same, or restart it");
  }
  std::uint64_t flows = 0;
  for (unsigned w = 0; w < parts_.dataplane.workers(); ++w) {
    flows += parts_.dataplane.counters(w).flows.get();
  }
  if (request.value("max_flows", std::uint64_t{0}) < flows) {
    throw UsageError("--max-flows: the running proxy has " + std::to_string(flows) +
                     " flows, which have no room; give more");
  }
  if (parts_.confirmation != nullptr && parts_.confirmation->wanted()) {
    throw UsageError(
        "--take-over: the running proxy waits for `synproxy host confirm`; confirm first, or let "
        "the addresses go back");
  }
  if (state_->successor != 0 && state_->successor != peer.pid && !has_ended(state_->successor)) {
    throw UsageError("--take-over: the process " + std::to_string(state_->successor) +
                     " does that already; wait for its end");
  }
}

std::unique_ptr<Answer> HandOver::ask(const Json& request, const Peer& peer) {
  const auto held = parts_.supervisor.hold();
  const std::lock_guard lock(state_->mutex);
  if (state_->phase != Phase::kServing) {
    throw UsageError("--take-over: another process does that now; try again in a few seconds");
  }
  refuse_what_cannot_work(request, peer);
  state_->successor = peer.pid;
  state_->giver.reset();
  // So that the successor may take the port while it still has its rights. It listens later.
  const int yes = 1;
  if (parts_.listener >= 0) {
    static_cast<void>(::setsockopt(parts_.listener, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes));
  }
  const StoreIdentity identity = parts_.dataplane.identity();
  Json keys = Json::array();
  const auto secret = request.value("secret", std::uint64_t{0});
  for (EpochKeys& k : parts_.keys.published(parts_.clock.now_ms(), secret)) {
    keys.push_back({{"epoch", k.epoch}, {"words", words_of(k)}});
    cleanse(k);
  }
  std::vector<int> files;
  if (parts_.host_end != nullptr) files.push_back(parts_.host_end->descriptor());
  Json counts = {{kHostFiles, files.size()}};
  for (const PortId id : kAllPorts) {
    const std::vector<int> of_port = parts_.dataplane.files(id);
    counts[kPortFiles[id]] = of_port.size();
    files.insert(files.end(), of_port.begin(), of_port.end());
  }
  return std::make_unique<Handing>(Json{{"pid", ::getpid()},
                                        {"index_key", identity.index_key},
                                        {"zero_ms", identity.zero_ms},
                                        {"rss_word", identity.rss_word},
                                        {"keys", std::move(keys)},
                                        {"files", std::move(counts)}},
                                   std::move(files));
}

std::unique_ptr<Answer> HandOver::copy(const Peer& peer) {
  const std::lock_guard lock(state_->mutex);
  if (state_->phase != Phase::kServing || state_->successor != peer.pid) {
    throw UsageError("--take-over: has to be asked for first, by the same process");
  }
  if (!state_->giver) state_->giver.emplace(parts_.dataplane.engines());
  return std::make_unique<Carrying>(state_, Phase::kServing, answer_line("follows"));
}

std::unique_ptr<Answer> HandOver::stop(const Peer& peer) {
  const auto held = parts_.supervisor.hold();
  const std::lock_guard lock(state_->mutex);
  if (state_->phase != Phase::kServing || state_->successor != peer.pid) {
    throw UsageError("--take-over: has to be asked for first, by the same process");
  }
  if (!state_->giver) state_->giver.emplace(parts_.dataplane.engines());
  state_->phase = Phase::kStopped;
  state_->asked = std::chrono::steady_clock::now();
  state_->told = false;
  state_->tries = 0;
  const Json links = {parts_.dataplane.has_link(PortId::kClient),
                      parts_.dataplane.has_link(PortId::kServer)};
  parts_.dataplane.stop();
  const std::uint64_t stopped_us = monotonic_us();
  parts_.dataplane.close_alone();
  return std::make_unique<Carrying>(state_, Phase::kStopped,
                                    answer_line({{"stopped_us", stopped_us}, {"links", links}}));
}

std::unique_ptr<Answer> HandOver::end(const Json& request, const Peer& peer) {
  const std::lock_guard lock(state_->mutex);
  if (state_->phase != Phase::kStopped || state_->successor != peer.pid) {
    throw RuntimeFailure("--take-over: came too late, the running proxy goes on");
  }
  say(handed_over_line(peer.pid, request.value("outage_us", std::uint64_t{0})));
  state_->phase = Phase::kOver;
  static_cast<void>(::kill(::getpid(), SIGTERM));  // wakes the control thread
  return std::make_unique<Farewell>(state_);
}

void HandOver::tick() {
  const auto held = parts_.supervisor.hold();
  const std::lock_guard lock(state_->mutex);
  if (state_->phase != Phase::kStopped) return;
  const bool gone = has_ended(state_->successor);
  if (!gone && std::chrono::steady_clock::now() - state_->asked < patience()) return;
  const std::string why =
      "--take-over: the process " + std::to_string(state_->successor) +
      (gone ? " has ended" : " has said nothing for " + std::to_string(patience().count()) + " s") +
      " before it served; ";
  const std::string missing = open_ports(gone);
  if (!missing.empty()) {
    if (!std::exchange(state_->told, true)) complain(why + "a port is still missing: " + missing);
    return;
  }
  complain(why + "this one goes on");
  state_->phase = Phase::kServing;
  state_->successor = 0;
  state_->giver.reset();
  parts_.dataplane.start();
}

std::chrono::seconds HandOver::patience() const {
  const auto is_nic = [](const PortName& port) { return port.kind == PortName::Kind::kPci; };
  return is_nic(parts_.config.client_port) || is_nic(parts_.config.server_port) ? kPatienceWithNics
                                                                                : kPatience;
}

// Returns what is wrong, or nothing. `gone`: the successor has ended. One that hangs may still have
// the ports: then they come back only by its end, or it serves after all.
std::string HandOver::open_ports(bool gone) {
  try {
    parts_.dataplane.open_all();
    return "";
  } catch (const std::exception& error) {
    if (!gone || ++state_->tries < kTries) return error.what();
    throw RuntimeFailure("--take-over: a port was given up, and is not to be had again: " +
                         std::string(error.what()) +
                         (parts_.config.state_dir.empty()
                              ? ""
                              : "; the next start goes on with the connections of --state-dir"));
  }
}

bool HandOver::begun() const {
  const std::lock_guard lock(state_->mutex);
  return state_->phase != Phase::kServing;
}

void HandOver::wait_for_successor() {
  std::unique_lock lock(state_->mutex);
  state_->news.wait_for(lock, kFarewell, [this] { return state_->left_alone; });
}

}  // namespace synproxy::control
