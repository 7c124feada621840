// SPDX-License-Identifier: BSD-3-Clause
#include "syn/syn_burst.h"

#include <bit>
#include <tuple>

#include "burst/lane_look_up.h"
#include "burst/rooms.h"
#include "syn/answer_syn.h"

namespace synproxy {
namespace {

constexpr std::size_t kShapes = kSynShapes.size();
using Rows = Candidates<kShapes>;  // judged by a few bytes
constexpr std::size_t kRows = Rows::kRows;
static_assert(kRows == std::tuple_size_v<SynKernels>);
[[nodiscard]] constexpr bool is_ipv6(std::size_t row) { return Rows::is_ipv6(row); }
[[nodiscard]] constexpr const SynShape& shape_of(std::size_t row) {
  return kSynShapes[row % kShapes];
}
// Full groups, and one more for each row that does not fill its last group.
constexpr std::size_t kGroups = kMaxBurst / SynGroup::kLanes + kRows - 1;

// The shape whose SYN has a TCP header of that many 32-bit words. kShapes: no such shape.
constexpr auto kShapeOfSize = [] {
  std::array<std::uint8_t, 16> shape{};
  shape.fill(kShapes);
  for (std::uint8_t i = 0; i < kShapes; ++i) shape[kSynShapes[i].tcp_size / 4] = i;
  return shape;
}();

// `kBoth`: looks for IPv6 too, without a branch, because a burst may mix both.
template <bool kBoth>
Rows sort_by_shape(std::span<const Packet> burst) {
  Rows found;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    // The flags come first, because every packet pays for this look and most are no SYNs. A SYN
    // that asks for ECN is left to the other stages.
    if (p.length < kUsualHeaders) continue;
    const bool ipv6 = kBoth && is_untagged_ipv6(p);
    const std::size_t shift = shift_of(ipv6);
    if (kBoth && p.length < kUsualHeaders + shift) continue;
    const auto offset_and_flags =
        load_be<std::uint16_t>(p.data + shift + usual_at::kOffsetAndFlags);
    if (static_cast<std::uint16_t>(offset_and_flags & ~kTcpOffsetBits) != kSyn ||
        !fits_columns(p, ipv6) || p.checksum == ChecksumHint::kBad) {
      continue;
    }
    const std::size_t shape = kShapeOfSize[offset_and_flags >> 12];
    if (shape == kShapes || p.length < usual_at::kTcp + shift + tcp_header_size(offset_and_flags)) {
      continue;
    }
    found.places[Rows::row_of(shape, ipv6)] |= 1U << i;
  }
  return found;
}

struct Group {
  SynGroup columns;
  LaneLookUp::Hashes hashes;
  LaneLookUp::Hashes reply_places;  // ReplyCap::place_of(), while it is on
  std::uint32_t lanes;              // lanes that will be answered
  std::uint32_t over;               // of these above --reply-rate
  std::size_t row;
};

class SynBurst {
 public:
  SynBurst(Rooms& rooms, std::span<Packet> burst)
      : rooms_(rooms),
        burst_(burst),
        look_up_(rooms, burst),
        adaptive_(rooms.watch.activation.adaptive()) {}

  std::uint32_t run(const Rows& found) {
    found.for_each_group_row([&](std::size_t row) { gather(row, found.places[row]); });
    for (std::size_t i = 0; i < count_; ++i) answer(groups_[i]);
    if (any_over_ != 0) look_at_capped();
    if (syns_ != 0) rooms_.now.note_cookie();
    rooms_.answerer.repeats().pass_over(syns_);
    rooms_.counters.count(Reason::syn_received, syns_);
    rooms_.counters.count(Reason::reply_capped, capped_);
    rooms_.counters.count(Reason::synack_sent, syns_ - capped_);
    return decided_;
  }

 private:
  [[nodiscard]] const SynKernel& kernel(std::size_t row) const {
    return (*rooms_.syn_kernels)[row];
  }

  // noinline: one copy of the code for all rows.
  [[gnu::noinline]] void gather(std::size_t row, std::uint32_t places) {
    const std::uint8_t needs = shape_of(row).needs;
    do {
      Group& g = groups_[count_++];
      g.row = row;
      g.over = 0;
      g.columns.tight = rooms_.now.keys().current()->plain.tight;
      const std::uint32_t used = take_lanes(g.columns, burst_, places);
      const std::uint32_t sound = kernel(row).verify(g.columns, used);
      const auto use = [&](std::size_t lane, const SynAckOffer& offer) {
        g.columns.offers[lane] = offer.first_word();
        return offer.has(needs);
      };
      g.lanes = is_ipv6(row) ? look_up_.begin<true>(g.columns, sound, g.hashes, use)
                             : look_up_.begin<false>(g.columns, sound, g.hashes, use);
      if (rooms_.reply_cap.on()) prefetch_reply_places(g);
    } while (has_fewest_lanes(places));
  }

  void prefetch_reply_places(Group& g) const {
    const ReplyCap& cap = rooms_.reply_cap;
    for_each_lane(g.lanes, [&](std::size_t lane) {
      const std::uint8_t* ip = g.columns.frames[lane] + kEthernetHeader;
      const std::uint64_t place = cap.place_of(ip + ip_source_at(is_ipv6(g.row)), is_ipv6(g.row));
      g.reply_places[lane] = place;
      cap.prefetch(place);
    });
  }
  // Returns those of `lanes` that may be answered.
  [[nodiscard]] std::uint32_t within_reply_cap(const Group& g, std::uint32_t lanes) const {
    const ReplyCap::Taker taker = rooms_.reply_cap.taker(rooms_.now.ms());
    std::uint32_t over = 0;
    for_each_lane(lanes, [&](std::size_t lane) {
      over |= taker.take(g.reply_places[lane]) ? 0 : 1U << lane;
    });
    return lanes & ~over;
  }
  // Of the whole burst at once, so that the misses of the memory of retries overlap.
  [[gnu::noinline]] void look_at_capped() {
    ReplyCap& cap = rooms_.reply_cap;
    const auto isn = [](const Group& g, std::size_t lane) {
      return static_cast<std::uint32_t>(g.columns.isn[lane]);
    };
    const std::span<Group> groups(groups_.data(), count_);
    for (const Group& g : groups) {
      for_each_lane(g.over, [&](std::size_t i) { cap.prefetch_over(g.hashes[i], isn(g, i)); });
    }
    for (Group& g : groups) {
      std::uint32_t answered = 0;
      for_each_lane(g.over, [&](std::size_t lane) {
        const ReplyCap::Answer answer =
            cap.over(g.reply_places[lane], rooms_.now.ms(), g.hashes[lane], isn(g, lane));
        if (answer == ReplyCap::Answer::kMonitored) {
          rooms_.counters.count(Reason::reply_capped_monitored);
        }
        if (answer != ReplyCap::Answer::kNo) {
          answered |= 1U << lane;
        } else {
          burst_[g.columns.places[lane]].decide(Verdict::kDrop, Reason::reply_capped);
          decide(g, lane);
          ++capped_;
        }
      });
      write_answers(g, answered);
    }
  }
  void decide(const Group& g, std::size_t lane) {
    decided_ |= 1U << g.columns.places[lane];
    ++syns_;
    if (adaptive_) rooms_.watch.activation.syn(g.columns.service[lane], rooms_.now.ms());
  }

  // A SYN that may have a flow is left to the other stages.
  void answer(Group& g) {
    std::uint32_t lanes = look_up_.without_flow(g.hashes, g.lanes);
    if (rooms_.reply_cap.on()) {
      const std::uint32_t within = within_reply_cap(g, lanes);
      g.over = lanes & ~within;
      any_over_ |= g.over;
      lanes = within;
    }
    write_answers(g, lanes);
  }
  void write_answers(Group& g, std::uint32_t lanes) {
    if (lanes == 0) return;
    const EpochKeys& keys = *rooms_.now.keys().current();
    const SynShape& shape = shape_of(g.row);
    const auto length =
        static_cast<std::uint32_t>(usual_at::kTcp + shift_of(is_ipv6(g.row)) + shape.tcp_reply);
    const LayoutKey& key = key_of_layout(keys, shape.timestamps);
    const std::uint32_t followed = kernel(g.row).answer(g.columns, lanes, key, keys.epoch & 1U,
                                                        rooms_.answerer.syn_times().left_out());
    if (followed != 0) [[unlikely]]
      follow(g, followed);
    for_each_lane(lanes, [&](std::size_t lane) {
      Packet& p = burst_[g.columns.places[lane]];
      p.length = length;
      p.decide(Verdict::kReply, Reason::synack_sent);
      decide(g, lane);
    });
  }

  [[gnu::noinline]] void follow(const Group& g, std::uint32_t lanes) {
    for_each_lane(lanes, [&](std::size_t lane) {
      follow_syn(rooms_.now, rooms_.answerer, rooms_.counters, g.columns.macs[lane]);
    });
  }

  Rooms& rooms_;
  const std::span<Packet> burst_;
  LaneLookUp look_up_;
  const bool adaptive_;
  std::size_t count_ = 0;
  std::uint32_t decided_ = 0;  // bit by place
  std::uint32_t syns_ = 0;     // how many bits are set in it
  std::uint32_t capped_ = 0;   // of these not answered
  std::uint32_t any_over_ = 0;
  std::array<Group, kGroups> groups_;  // the first count_ are in use
};

}  // namespace

std::uint32_t answer_syn_burst(Rooms& rooms, std::span<Packet> burst, std::uint32_t decided) {
  if (rooms.syn_kernels == nullptr || burst.size() < kFewestLanes) return 0;
  // Where services have modes of their own, each SYN is looked at by itself.
  if (rooms.now.tuning().mode == Mode::kOff || rooms.services.modes_differ()) return 0;
  // While SYN-ACKs are remembered, SYNs are few, and each goes through the other stages.
  if (rooms.now.keys().current() == nullptr || rooms.answerer.repeats().open(rooms.now.ms32()))
    return 0;
  if (!rooms.syn_groups.looks()) return 0;
  Rows found = rooms.ipv6_syns ? sort_by_shape<true>(burst) : sort_by_shape<false>(burst);
  rooms.ipv6_syns = found.any_of(true);
  if (decided != 0) [[unlikely]] {
    for (std::uint32_t& places : found.places) places &= ~decided;
  }
  const bool group = found.has_group();
  rooms.syn_groups.note(group);
  return group ? SynBurst(rooms, burst).run(found) : 0;
}

}  // namespace synproxy
