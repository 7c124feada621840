// SPDX-License-Identifier: BSD-3-Clause
// The traffic that is sent through a bed, pass by pass, and the list of all cases.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "datapath/bed.h"
#include "datapath/floor.h"
#include "synproxy/proxy/services.h"

namespace synproxy::bench {

// One kind of traffic. It lives as long as its bed, so that its connections go on.
class Traffic {
 public:
  virtual ~Traffic() = default;
  virtual void prepare(Bed& bed) = 0;  // queues the frames of one pass
  // Called after each pass. Throws std::runtime_error if a packet met another fate than it should:
  // a bench must measure what it says.
  virtual void check(Bed& bed) = 0;
};

struct Case {
  std::string name;
  BedConfig bed;
  std::function<std::unique_ptr<Traffic>(Bed&)> traffic;
  Touches touches = {};
  double packets_per_operation = 1;
  std::string unit = "cycles/packet";
  bool slow = false;  // left out of a quick run
};

void add_syn_cases(std::vector<Case>& cases);
void add_ack_cases(std::vector<Case>& cases);
void add_full_table_cases(std::vector<Case>& cases);
void add_spliced_cases(std::vector<Case>& cases);
void add_connection_cases(std::vector<Case>& cases);
void add_fragment_cases(std::vector<Case>& cases);
void add_mix_cases(std::vector<Case>& cases);
void add_hostile_cases(std::vector<Case>& cases);
// Some of those before, as on a CPU that has less: with /avx2, or /scalar, behind their names.
void add_vector_cases(std::vector<Case>& cases);

inline constexpr BedConfig kIdle{};
inline constexpr BedConfig kConnecting{.which = 1};
inline constexpr BedConfig kConnectingLimited{.limited = true, .which = 1};
inline constexpr BedConfig kConnectingLimitedOfSeveral{
    .limited = true, .workers = true, .which = 1};
inline constexpr BedConfig kConnectingInTurns{.backlog = true, .which = 1};
inline constexpr BedConfig kNamed{.named = true};
inline constexpr BedConfig kMillionNamed{.flows = 1'000'000, .named = true};
inline constexpr BedConfig kMillionStored{.flows = 1'000'000, .stored = true};
inline constexpr BedConfig kMillionIpv6Stored{.flows = 1'000'000, .ipv6 = true, .stored = true};
inline constexpr BedConfig kTight{.flows = 1'000'000, .tight = true};
inline constexpr BedConfig kPeace{.peace = true};
inline constexpr BedConfig kConnectingInPeace{.peace = true, .which = 1};
inline constexpr BedConfig kManyServices{.services = 64};
inline constexpr BedConfig kIpv6{.ipv6 = true};
inline constexpr BedConfig kBogons{.bogons = true};
inline constexpr BedConfig kThousandDenied{.denied = 1000};
inline constexpr BedConfig kMillionDenied{.denied = 1'000'000};
inline constexpr BedConfig kMillionDeniedIpv6{.ipv6 = true, .denied = 1'000'000};
inline constexpr BedConfig kMillionDeniedOfOne{
    .denied = 1'000'000, .named = true, .own_lists = true};
inline constexpr BedConfig kStrict{.strict = true};
inline constexpr BedConfig kMillionStrict{.flows = 1'000'000, .strict = true};
inline constexpr BedConfig kAllRules{.denied = 1'000'000,
                                     .bogons = true,
                                     .limited = true,
                                     .replies = Replies::kRated,
                                     .backlog = true,
                                     .strict = true};
inline constexpr BedConfig kConnectingAllRules{.denied = 1000,
                                               .bogons = true,
                                               .limited = true,
                                               .replies = Replies::kRated,
                                               .backlog = true,
                                               .strict = true,
                                               .which = 1};
inline constexpr BedConfig kAllDenied{.all_denied = true};
inline constexpr BedConfig kThousand{.flows = 1000};
inline constexpr BedConfig kMillion{.flows = 1'000'000};
inline constexpr BedConfig kMillionAndFlood{.flows = 1'000'000, .which = 1};
inline constexpr BedConfig kMillionManyServices{.flows = 1'000'000, .services = 64};
inline constexpr BedConfig kBesieged{.flows = 1'000'000, .both_families = true};
inline constexpr BedConfig kMillionIpv6{.flows = 1'000'000, .ipv6 = true};
// A full bed: every record is in use, except those of the connections that taught it the services.
inline constexpr std::uint32_t kTenMillionRecords = 10'000'064;
inline constexpr BedConfig kTenMillion{.flows = 10'000'000, .max_flows = kTenMillionRecords};
// Full of these and of the connections by which the service was learned.
inline constexpr std::uint32_t kFull = 1'000'000 + ServiceTable::kAnswersToPromise;
inline constexpr BedConfig kFullOfLive{.flows = 1'000'000, .max_flows = kFull};
inline constexpr BedConfig kFullOfSilent{.flows = 1'000'000, .max_flows = kFull, .silent = true};
inline constexpr BedConfig kTenMillionSmallPages{
    .flows = 10'000'000, .max_flows = kTenMillionRecords, .huge_pages = false};

// The fates of the packets of a pass.
class FateCheck {
 public:
  explicit FateCheck(Reason fate) : fate_(fate) {}
  void begin(const Bed& bed) { before_ = bed.count(fate_); }
  // Throws std::runtime_error unless `packets` met this fate; up to `tolerated` of them may be
  // missing.
  void expect(const Bed& bed, std::uint64_t packets, std::uint64_t tolerated = 0) const;
  void expect_at_least(const Bed& bed, std::uint64_t packets) const;

 private:
  Reason fate_;
  std::uint64_t before_ = 0;
};

}  // namespace synproxy::bench
