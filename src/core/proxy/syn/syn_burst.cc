// SPDX-License-Identifier: BSD-3-Clause
#include "syn/syn_burst.h"

#include <bit>
#include <cstring>
#include <tuple>
#include <utility>

#include "burst/lane_look_up.h"
#include "burst/rooms.h"
#include "syn/answer_syn.h"

namespace synproxy {
namespace {

constexpr std::size_t kShapes = kSynShapes.size();
using Rows = SynRows;
static_assert(2 * kShapes == std::tuple_size_v<SynKernels>);
// With these the answer to a SYN of any shape has the options that the shape asks for.
constexpr std::uint8_t kFull = kOffersCookies | kOffersTimestamps | kOffersSack;
// Full groups, and one more for each row and each family's odd ones that do not fill their last
// group.
constexpr std::size_t kGroups = kMaxBurst / SynGroup::kLanes + Rows::kRows + 2 - 1;

// Does what the sorter does, for frames without tags: in a flood of one kind each branch here is
// predicted, and it costs less. `kIpv6`: looks for SYNs of both families.
template <bool kIpv6>
[[gnu::noinline]] void sort_predicted(std::span<const Packet> burst, Rows& found) {
  found.places = {};
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    // The flags come first, because every packet pays for this look and most are no SYNs.
    if (p.length < kUsualHeaders) continue;
    const bool ipv6 = kIpv6 && is_ipv6(p);
    const std::size_t shift = shift_of(ipv6);
    if (kIpv6 && p.length < kUsualHeaders + shift) continue;
    const auto offset_and_flags =
        load_be<std::uint16_t>(p.data + shift + usual_at::kOffsetAndFlags);
    const auto flags = static_cast<std::uint16_t>(offset_and_flags & ~kTcpOffsetBits);
    if (static_cast<std::uint16_t>(flags & ~kAnyEcn) != kSyn || !fits_columns(p, ipv6) ||
        p.checksum == ChecksumHint::kBad) {
      continue;
    }
    const unsigned header = tcp_header_size(offset_and_flags);
    if (header < kTcpHeader || p.length < usual_at::kTcp + shift + header) continue;
    const std::size_t shape = flags == kSyn ? kShapeOfSize[header / 4] : kShapes;
    found.places[Rows::row_of(shape, ipv6)] |= 1U << i;
  }
}
void sort(const Rooms& rooms, std::span<const Packet> burst, Rows& found) {
  if (rooms.syn_kinds.mixed()) {
    rooms.kernels.syn_sorter->sort(burst, found);
    // Where VLANs are paired, the tags are not those of the flow.
    if (rooms.vlans_paired) found.leave_out(found.tagged);
    return;
  }
  rooms.syn_kinds.ipv6 ? sort_predicted<true>(burst, found) : sort_predicted<false>(burst, found);
}

struct Group {
  SynGroup columns;
  LaneLookUp::Hashes hashes;
  LaneLookUp::Hashes reply_places;  // ReplyCap::place_of(), while it is on
  const SynKernel* kernel;
  const SynShape* shape;  // nullptr: it differs by lane
  std::uint32_t lanes;    // lanes that will be answered
  std::uint32_t over;     // of these above --reply-rate
  bool ipv6;
};

// The SYNs of no shape, by family.
using Odd = std::array<std::uint32_t, 2>;

class SynBurst {
 public:
  SynBurst(Rooms& rooms, std::span<Packet> burst, const Rows& found)
      : rooms_(rooms),
        burst_(burst),
        look_up_(rooms, burst),
        found_(found),
        adaptive_(rooms.watch.activation.adaptive()) {}

  std::uint32_t run(Odd odd) {
    found_.for_each_group_row([&](std::size_t row) {
      const bool ipv6 = Rows::is_ipv6(row);
      const std::size_t family = ipv6 ? 1 : 0;
      const std::size_t shape = Rows::shape_of(row);
      if (Rows::is_any(row)) {
        odd[family] |=
            gather<false>((*rooms_.kernels.mixed_syns)[family], nullptr, ipv6, found_.places[row]);
      } else {
        odd[family] |= gather<true>((*rooms_.kernels.syns)[shape + family * kShapes],
                                    &kSynShapes[shape], ipv6, found_.places[row]);
      }
    });
    for (const bool ipv6 : {false, true}) {
      const std::size_t family = ipv6 ? 1 : 0;
      if (has_fewest_lanes(odd[family])) [[unlikely]]
        static_cast<void>(
            gather<false>((*rooms_.kernels.odd_syns)[family], nullptr, ipv6, odd[family]));
    }
    for (std::size_t i = 0; i < count_; ++i) answer(groups_[i]);
    if (any_over_ != 0) look_at_capped();
    rooms_.poor_offers = poor_;
    if (syns_ != 0) rooms_.now.note_cookie();
    rooms_.answerer.repeats().pass_over(syns_);
    rooms_.counters.count(Reason::syn_received, syns_);
    rooms_.counters.count(Reason::reply_capped, capped_);
    rooms_.counters.count(Reason::synack_sent, syns_ - capped_);
    return decided_;
  }

 private:
  // Returns those of `places` that the kernel has not taken. `shape`: of all, or nullptr.
  // noinline: one copy of the code for all rows.
  template <bool kOneShape>
  [[gnu::noinline]] std::uint32_t gather(const SynKernel& kernel, const SynShape* shape, bool ipv6,
                                         std::uint32_t places) {
    std::uint32_t left = 0;
    do {
      Group& g = groups_[count_++];
      g.kernel = &kernel;
      g.shape = shape;
      g.ipv6 = ipv6;
      g.over = 0;
      g.columns.tight = rooms_.now.keys().current()->plain.tight;
      const std::uint32_t used =
          take_lanes(g.columns, burst_, places, found_.tagged, found_.frames);
      std::uint32_t sound = kernel.verify(g.columns, used);
      if (sound != used) [[unlikely]]
        left |= places_of(g.columns, used & ~sound);
      if (!kOneShape && &kernel == &(*rooms_.kernels.odd_syns)[ipv6 ? 1 : 0]) {
        sound = read_options(g, sound);
      }
      const auto use = [&](std::size_t lane, const SynAckOffer& offer) {
        g.columns.offers[lane] = offer.first_word();
        if constexpr (kOneShape) {
          if (offer.has(shape->needs)) return true;
          poor_ |= offer.has(kOffersCookies);
          return false;
        } else {
          g.columns.can[lane] = offer.can;
          poor_ |= offer.has(kOffersCookies) && !offer.has(kFull);
          return offer.has(kOffersCookies);
        }
      };
      g.lanes = ipv6 ? look_up_.begin<true>(g.columns, sound, g.hashes, use)
                     : look_up_.begin<false>(g.columns, sound, g.hashes, use);
      if (rooms_.reply_cap.on()) prefetch_reply_places(g);
    } while (places != 0);
    return left;
  }
  [[nodiscard]] static std::uint32_t places_of(const Columns& c, std::uint32_t lanes) {
    std::uint32_t places = 0;
    for_each_lane(lanes, [&](std::size_t lane) { places |= 1U << c.places[lane]; });
    return places;
  }
  // Returns those of `lanes` that are not signed.
  [[nodiscard]] static std::uint32_t read_options(Group& g, std::uint32_t lanes) {
    std::uint32_t kept = lanes;
    std::array<OptionText, 4> texts;
    std::array<TcpOptions, 4> read;
    for (std::size_t first = 0; first < SynGroup::kLanes; first += texts.size()) {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const std::size_t lane = first + i;
        // Where a lane is not sound, this may be anything.
        texts[i] = {g.columns.frames[lane] + usual_at::kOptions + shift_of(g.ipv6),
                    std::max<std::size_t>(g.columns.tcp_length[lane], kTcpHeader) - kTcpHeader};
      }
      parse_tcp_options(texts, read);
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const std::size_t lane = first + i;
        std::memcpy(&g.columns.options[lane], &read[i], sizeof(std::uint64_t));
        g.columns.tsval[lane] = read[i].tsval;
        kept &= ~(std::uint32_t{read[i].auth} << lane);
      }
    }
    return kept;
  }

  void prefetch_reply_places(Group& g) const {
    const ReplyCap& cap = rooms_.reply_cap;
    for_each_lane(g.lanes, [&](std::size_t lane) {
      const std::uint8_t* ip = g.columns.frames[lane] + kEthernetHeader;
      const std::uint64_t place = cap.place_of(ip + ip_source_at(g.ipv6), g.ipv6);
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
    const std::uint32_t followed = g.kernel->answer(g.columns, lanes, *rooms_.now.keys().current(),
                                                    rooms_.answerer.syn_times().left_out());
    if (followed != 0) [[unlikely]]
      follow(g, followed);
    const std::size_t headers = usual_at::kTcp + shift_of(g.ipv6);
    if (g.shape != nullptr && !g.columns.tagged) [[likely]] {
      const auto length = static_cast<std::uint32_t>(headers + g.shape->tcp_reply);
      return for_each_lane(lanes, [&](std::size_t lane) {
        finish(g, lane, burst_[g.columns.places[lane]], length);
      });
    }
    for_each_lane(lanes, [&](std::size_t lane) {
      Packet& p = burst_[g.columns.places[lane]];
      const std::size_t tcp = g.shape != nullptr ? g.shape->tcp_reply : g.columns.tcp_length[lane];
      const auto tags = static_cast<std::size_t>(g.columns.frames[lane] - p.data);
      finish(g, lane, p, static_cast<std::uint32_t>(headers + tcp + tags));
    });
  }
  void finish(const Group& g, std::size_t lane, Packet& p, std::uint32_t length) {
    p.length = length;
    p.decide(Verdict::kReply, Reason::synack_sent);
    decide(g, lane);
  }

  [[gnu::noinline]] void follow(const Group& g, std::uint32_t lanes) {
    for_each_lane(lanes, [&](std::size_t lane) {
      follow_syn(rooms_.now, rooms_.answerer, rooms_.counters, g.columns.macs[lane]);
    });
  }

  Rooms& rooms_;
  const std::span<Packet> burst_;
  LaneLookUp look_up_;
  const Rows& found_;
  const bool adaptive_;
  bool poor_ = false;
  std::size_t count_ = 0;
  std::uint32_t decided_ = 0;  // bit by place
  std::uint32_t syns_ = 0;     // how many bits are set in it
  std::uint32_t capped_ = 0;   // of these not answered
  std::uint32_t any_over_ = 0;
  std::array<Group, kGroups> groups_;  // the first count_ are in use
};

}  // namespace

std::uint32_t answer_syn_burst(Rooms& rooms, std::span<Packet> burst, std::uint32_t decided) {
  if (rooms.kernels.syns == nullptr || burst.size() < kFewestLanes) return 0;
  // Where services have modes of their own, each SYN is looked at by itself.
  if (rooms.now.tuning().mode == Mode::kOff || rooms.services.modes_differ()) return 0;
  // While SYN-ACKs are remembered, SYNs are few, and each goes through the other stages.
  if (rooms.now.keys().current() == nullptr || rooms.answerer.repeats().open(rooms.now.ms32()))
    return 0;
  if (!rooms.syn_groups.looks()) return 0;
  Rows found;
  sort(rooms, burst, found);
  rooms.syn_kinds = found.kinds();
  if (decided != 0) [[unlikely]]
    found.leave_out(decided);
  const bool most = has_half(found.of_family(false) | found.of_family(true), burst.size());
  Odd odd{std::exchange(found.places[Rows::row_of(kShapes, false)], 0),
          std::exchange(found.places[Rows::row_of(kShapes, true)], 0)};
  if (!most) odd = {};
  found.mix(rooms.poor_offers);
  const bool group = found.has_group() || has_fewest_lanes(odd[0]) || has_fewest_lanes(odd[1]);
  rooms.syn_groups.note(group);
  return group ? SynBurst(rooms, burst, found).run(odd) : 0;
}

}  // namespace synproxy
