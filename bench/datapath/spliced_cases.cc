// SPDX-License-Identifier: BSD-3-Clause
// Packets of standing connections.
#include "datapath/spliced.h"

namespace synproxy::bench {
namespace {

using Clients = Spliced::Clients;

class SplicedTraffic final : public Traffic {
 public:
  SplicedTraffic(Clients clients, bool up, bool down, bool full)
      : spliced_(clients), up_(up), down_(down), full_(full) {}
  void prepare(Bed& bed) override {
    fate_.begin(bed);
    // As many full frames as the rings of one direction hold. More would not fit a third-level
    // cache.
    frames_ = full_ || (up_ && down_) ? Bed::buffers() / 4 : Bed::buffers();
    const std::size_t each = up_ && down_ ? frames_ / 2 : frames_;
    for (std::size_t i = 0; up_ && i < each; ++i) spliced_.add_to(bed, Role::kClient, full_);
    // Acknowledgements go one way, data the other.
    const bool full_down = full_ || (up_ && down_);
    for (std::size_t i = 0; down_ && i < each; ++i) spliced_.add_to(bed, Role::kServer, full_down);
  }
  void check(Bed& bed) override { fate_.expect(bed, frames_); }

 private:
  Spliced spliced_;
  bool up_, down_, full_;
  std::size_t frames_ = 0;
  FateCheck fate_{Reason::translated};
};

// What looks on while the packets pass.
struct Watchers {
  const char* name;
  bool lists;
  bool captures = false;
  const char* source = nullptr;  // of which the capture asks for packets; nobody has it
};

class WatchedTraffic final : public Traffic {
 public:
  explicit WatchedTraffic(const Watchers& by) : lists_(by.lists) {
    dataplane::CaptureFilter what;
    if (by.source != nullptr) {
      what.client.push_back(parse_protect_rule(by.source));
    } else {
      what.any_fate = false;
      what.fates[static_cast<std::size_t>(Reason::bad_checksum)] = true;
    }
    if (by.captures) capture_ = std::make_unique<dataplane::CaptureSession>(what, 0);
  }
  void prepare(Bed& bed) override {
    bed.list_meanwhile(lists_);
    bed.capture_meanwhile(capture_.get());
    traffic_.prepare(bed);
  }
  void check(Bed& bed) override {
    bed.list_meanwhile(false);  // others use it too
    bed.capture_meanwhile(nullptr);
    traffic_.check(bed);
  }

 private:
  bool lists_;
  std::unique_ptr<dataplane::CaptureSession> capture_;
  SplicedTraffic traffic_{Clients::kWithTimestamps, true, false, false};
};

struct Kind {
  const char* name;
  Clients clients;
  bool up, down, full;
};
// Small frames with timestamps have 70 bytes on the wire, those without 64.
constexpr Kind kUpSmall{"small/to_server", Clients::kWithTimestamps, true, false, false};
constexpr Kind kDownSmall{"small/to_client", Clients::kWithTimestamps, false, true, false};
constexpr Kind kUpFull{"1500/to_server", Clients::kWithTimestamps, true, false, true};
constexpr Kind kDownFull{"1500/to_client", Clients::kWithTimestamps, false, true, true};
constexpr Kind kUpPlain{"64_plain/to_server", Clients::kWithout, true, false, false};
constexpr Kind kDownPlain{"64_plain/to_client", Clients::kWithout, false, true, false};
// Downloads: data one way, ACKs the other, clients with and without timestamps.
constexpr Kind kDownloads{"downloads/both_ways", Clients::kBoth, true, true, false};

void add(std::vector<Case>& cases, const std::string& flows, const BedConfig& bed,
         const Kind& kind) {
  cases.push_back({.name = "spliced/" + flows + "/" + kind.name,
                   .bed = bed,
                   .traffic =
                       [kind](Bed&) {
                         return std::make_unique<SplicedTraffic>(kind.clients, kind.up, kind.down,
                                                                 kind.full);
                       },
                   .touches = kTouchesAll});
  cases.back().slow = bed.flows > 1'000'000;
}

}  // namespace

void add_spliced_cases(std::vector<Case>& cases) {
  for (const Kind& kind : {kUpSmall, kDownSmall, kUpFull, kDownFull}) {
    add(cases, "ipv4/1k", kThousand, kind);
    add(cases, "ipv4/1m", kMillion, kind);
    add(cases, "ipv4/10m", kTenMillion, kind);
    add(cases, "ipv4/10m_4k_pages", kTenMillionSmallPages, kind);
  }
  for (const Watchers& by :
       {Watchers{.name = "listed_meanwhile", .lists = true},
        Watchers{.name = "captured_by_reason", .lists = false, .captures = true},
        Watchers{
            .name = "captured_by_source", .lists = false, .captures = true, .source = "192.0.2.7"},
        Watchers{.name = "everything_on", .lists = true, .captures = true}}) {
    for (const auto& [flows, bed] : {std::pair{"1k", kThousand}, std::pair{"1m", kMillion}}) {
      cases.push_back({.name = std::string("spliced/ipv4/") + flows + "/small/to_server/" + by.name,
                       .bed = bed,
                       .traffic = [by](Bed&) { return std::make_unique<WatchedTraffic>(by); },
                       .touches = kTouchesAll});
    }
  }
  add(cases, "ipv4/1m_named", kMillionNamed, kUpSmall);
  for (const Kind& kind : {kUpSmall, kDownSmall}) {
    add(cases, "ipv4/1m_stored", kMillionStored, kind);
    add(cases, "ipv6/1m_stored", kMillionIpv6Stored, kind);
  }
  add(cases, "ipv4/1m_strict", kMillionStrict, kUpSmall);
  for (const Kind& kind : {kUpPlain, kDownPlain, kDownloads}) {
    add(cases, "ipv4/1m", kMillion, kind);
  }
  for (const Kind& kind : {kUpSmall, kDownSmall}) {
    add(cases, "ipv4/1m_64_services", kMillionManyServices, kind);
    add(cases, "ipv6/1m", kMillionIpv6, kind);
  }
}

}  // namespace synproxy::bench
