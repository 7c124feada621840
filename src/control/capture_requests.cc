// SPDX-License-Identifier: BSD-3-Clause
#include "control/capture_requests.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "control/capture_wire.h"
#include "control/clock.h"
#include "control/help.h"
#include "control/log.h"
#include "control/service_sections.h"
#include "dataplane/capture_tap.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using dataplane::CaptureFilter;
using dataplane::CaptureKind;
using dataplane::CaptureRecord;
using dataplane::CaptureSession;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kSignOfLife{250};
constexpr std::size_t kPiece = 512U << 10;  // bytes after which no further ring is read

// The sessions of the capture that runs, or of the last one until no worker uses them any more.
struct Desk {
  explicit Desk(dataplane::Dataplane& from) : dataplane(from) {}
  // The workers have stopped by then, or never ran.
  ~Desk() = default;
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  dataplane::Dataplane& dataplane;
  std::vector<std::unique_ptr<CaptureSession>> sessions;
  std::string user;  // empty: nobody captures

  void end() {
    for (unsigned w = 0; w < dataplane.workers(); ++w) dataplane.capture_tap(w).end();
    user.clear();
    // Workers look every millisecond. If one hangs, the next capture waits for it.
    for (int looks = 0; !free_unused() && looks < 5; ++looks) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  // False: a worker has not yet seen that its session is over.
  bool free_unused() {
    for (unsigned w = 0; w < sessions.size(); ++w) {
      if (dataplane.capture_tap(w).uses(*sessions[w])) return false;
    }
    sessions.clear();
    return true;
  }
};

// Turns the time-stamp counter into Unix time.
class Times {
 public:
  explicit Times(const dataplane::Dataplane& dataplane)
      : at_(dataplane.cycles()),
        ns_(std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1)),
        ns_per_cycle_(1e9 / static_cast<double>(dataplane.cycles_per_second())) {}

  [[nodiscard]] std::uint64_t unix_ns(std::uint64_t cycles) const {
    const auto since = static_cast<std::int64_t>(cycles - at_);
    return static_cast<std::uint64_t>(
        ns_ + static_cast<std::int64_t>(static_cast<double>(since) * ns_per_cycle_));
  }

 private:
  std::uint64_t at_;
  std::int64_t ns_;
  double ns_per_cycle_;
};

class Capture final : public Answer {
 public:
  Capture(std::shared_ptr<Desk> desk, CaptureFilter filter, std::string user, std::string head)
      : desk_(std::move(desk)),
        filter_(std::move(filter)),
        times_(desk_->dataplane),
        user_(std::move(user)),
        head_(std::move(head)) {
    desk_->user = user_;
  }
  ~Capture() override {
    desk_->end();
    say("capture ends (" + user_ + ")");
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  [[nodiscard]] bool endless() const override { return true; }

  Step next(std::string& out) override {
    if (!begun_) {
      if (!desk_->free_unused()) return Step::kWait;
      begin();
    }
    if (!head_.empty()) {  // whoever has it may rely on the capture
      if (!all_show()) return Step::kWait;
      out += std::exchange(head_, {});
      return Step::kMore;
    }
    read_rings();
    const auto now = Clock::now();
    const bool tells = !found_.empty() || now - told_ >= kSignOfLife;
    if (tells) append(out);
    for (CaptureSession* const session : read_) session->ring.release();
    if (tells) told_ = now;
    return tells ? Step::kMore : Step::kWait;
  }

 private:
  void begin() {
    for (unsigned w = 0; w < desk_->dataplane.workers(); ++w) {
      desk_->sessions.push_back(std::make_unique<CaptureSession>(filter_, w));
    }
    for (unsigned w = 0; w < desk_->dataplane.workers(); ++w) {
      desk_->dataplane.capture_tap(w).begin(*desk_->sessions[w]);
    }
    read_at_.assign(desk_->sessions.size(), monotonic_us());
    begun_ = true;
    say("capture begins (" + user_ + ")");
  }

  [[nodiscard]] bool all_show() const {
    unsigned worker = 0;
    return std::ranges::all_of(desk_->sessions, [&](const auto& session) {
      return desk_->dataplane.capture_tap(worker++).shows(*session);
    });
  }

  // The rings take turns at being read first.
  void read_rings() {
    found_.clear();
    read_.clear();
    bytes_ = 0;
    const auto& all = desk_->sessions;
    for (std::size_t i = 0; i < all.size() && bytes_ < kPiece; ++i) {
      const std::size_t worker = next_++ % all.size();
      CaptureSession& session = *all[worker];
      read_at_[worker] = monotonic_us();
      const auto [first, second] = session.ring.take();
      collect(first);
      collect(second);
      read_.push_back(&session);
    }
  }
  void collect(std::span<const CaptureRecord> records) {
    for (std::size_t i = 0; i < records.size(); i += records[i].size / sizeof(CaptureRecord)) {
      if (records[i].kind == CaptureKind::kVoid) continue;
      found_.push_back(&records[i]);
      bytes_ += sizeof(CaptureRecord) + records[i].captured;
    }
  }

  // In the order of time. The kinds of one burst have one time, and their order is that of the
  // wire.
  void append(std::string& out) {
    std::ranges::stable_sort(found_, {},
                             [](const CaptureRecord* r) { return std::pair(r->time, r->kind); });
    std::uint64_t lost = 0;
    for (const auto& session : desk_->sessions) lost += session->lost.get();
    out += Json{{"bytes", bytes_}, {"lost", lost}, {"until", std::ranges::min(read_at_)}}.dump() +
           "\n";
    out.reserve(out.size() + bytes_);
    for (const CaptureRecord* r : found_) {
      CaptureRecord told = *r;
      told.size = static_cast<std::uint32_t>(sizeof told) + r->captured;
      told.time = times_.unix_ns(r->time);
      out.append(reinterpret_cast<const char*>(&told), sizeof told);
      out.append(reinterpret_cast<const char*>(r + 1), r->captured);
    }
  }

  std::shared_ptr<Desk> desk_;
  CaptureFilter filter_;
  Times times_;
  std::string user_;
  std::string head_;
  bool begun_ = false;
  Clock::time_point told_ = Clock::now();
  std::vector<std::uint64_t> read_at_;  // when each ring was read last, as monotonic_us() has it
  std::vector<CaptureSession*> read_;   // in this piece
  std::vector<const CaptureRecord*> found_;
  std::size_t bytes_ = 0;  // of what was found
  std::size_t next_ = 0;   // ring to be read
};

std::vector<ProtectRule> end_of(const Json& request, const char* field) {
  if (!request.contains(field)) return {};
  try {
    return {parse_protect_rule(text_field(request, field))};
  } catch (const std::invalid_argument& error) {
    throw UsageError(std::string("the request's ") + field + ": " + error.what());
  }
}

std::vector<ProtectRule> rules_of(const Config& config, const std::string& service) {
  std::vector<ProtectRule> rules;
  std::vector<std::string> names;
  for (const NamedService& s : config.services) names.push_back(s.name);
  for (const ProtectRule& rule : config.protect) {
    if (rule.service != 0 && names.at(rule.service - std::size_t{1}) == service) {
      rules.push_back(rule);
    }
  }
  if (!rules.empty()) return rules;
  throw UsageError("--service " + service + ": is no service of this proxy; " +
                   services_there_are(names));
}

CaptureFilter read_filter(const Json& request, const Config& config) {
  CaptureFilter filter;
  filter.client = end_of(request, "client");
  filter.server = request.contains("service") ? rules_of(config, text_field(request, "service"))
                                              : end_of(request, "server");
  filter.either_way = request.value("either_way", false);
  filter.snaplen = std::min(request.value("snaplen", CaptureFilter::kWhole), CaptureFilter::kWhole);
  if (!request.contains("reasons")) return filter;
  filter.any_fate = false;
  for (const Json& name : request.at("reasons")) {
    const auto found = std::ranges::find(kReasons, name.get<std::string>(), &ReasonInfo::name);
    if (found == kReasons.end()) throw UsageError("the request names a reason that is not there");
    filter.fates[static_cast<std::size_t>(found - kReasons.begin())] = true;
  }
  return filter;
}

}  // namespace

void add_capture_request(Requests& requests, dataplane::Dataplane& dataplane,
                         const Config& config) {
  const auto desk = std::make_shared<Desk>(dataplane);
  const std::string head =
      answer_line({{"format", kCaptureFormat},
                   {"size", sizeof(CaptureRecord)},
                   {"version", version_number()},
                   {"ports", {config.client_port.text, config.server_port.text}}});
  requests.add_long(
      "capture", Requests::Kind::kChanging,
      [desk, head, &config](const Json& request, const Peer& peer) {
        CaptureFilter filter = read_filter(request, config);
        if (!desk->user.empty()) {
          throw RuntimeFailure("a capture runs already (" + desk->user + "); end that one first");
        }
        return std::make_unique<Capture>(desk, std::move(filter), peer.text(), head);
      });
}

}  // namespace synproxy::control
