// SPDX-License-Identifier: BSD-3-Clause
#include "datapath/conversations.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <stdexcept>

namespace synproxy::bench {
namespace {

enum class Say : std::uint8_t {
  kSyn,
  kUpAck,
  kRequest,
  kSynAck,
  kDownAck,
  kResponse,
  kUpFin,
  kDownFin
};
using Script = std::array<Say, Conversations::kPackets>;
constexpr Script kLate{Say::kSyn,      Say::kUpAck, Say::kSynAck, Say::kRequest, Say::kDownAck,
                       Say::kResponse, Say::kUpAck, Say::kUpFin,  Say::kDownFin, Say::kUpAck};
constexpr Script kEarly{Say::kSyn,      Say::kUpAck, Say::kRequest, Say::kSynAck,  Say::kDownAck,
                        Say::kResponse, Say::kUpAck, Say::kUpFin,   Say::kDownFin, Say::kUpAck};

const Templates::Pair& segment_of(const Templates& t, Say say) {
  switch (say) {
    case Say::kRequest:
      return t.request;
    case Say::kDownAck:
      return t.small_down;
    case Say::kResponse:
      return t.response;
    case Say::kUpFin:
      return t.fin_up;
    case Say::kDownFin:
      return t.fin_down;
    default:
      return t.small_up;
  }
}

}  // namespace

Conversations::Conversations(std::size_t at_once, bool early, std::uint64_t first)
    : all_(at_once), order_(at_once), early_(early), next_(first) {
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  for (Conversation& c : all_) c.n = next_++;
}

void Conversations::begin_pass() {
  begun_ = std::min(begun_ + (all_.size() + kPackets - 1) / kPackets, all_.size());
  for (std::size_t i = order_.size(); i > 1; --i) {
    std::swap(order_[i - 1], order_[random_.below(i)]);
  }
  turn_ = 0;
}

bool Conversations::add_one(Bed& bed) {
  while (turn_ < order_.size() && order_[turn_] >= begun_) ++turn_;
  if (turn_ == order_.size()) return false;
  add_next(bed, order_[turn_++]);
  return true;
}

void Conversations::add_next(Bed& bed, std::size_t which) {
  Conversation& c = all_[which];
  const Templates& t = bed.templates();
  const unsigned stamped = has_timestamps(c.n) ? 1 : 0;
  const Say say = (early_ ? kEarly : kLate)[c.step++];
  if (say == Say::kSyn) {
    asked_.push_back({bed.queued(Role::kClient), which});
    bed.add(t.syn[stamped], c.n, {client_isn(c.n), 0, client_clock(c.n, bed.now_ms()), 0});
    return;
  }
  if (say == Say::kSynAck) {
    bed.add(t.syn_ack[stamped], c.n,
            {server_isn(c.n), client_isn(c.n) + 1, server_clock(c.n, bed.now_ms()),
             client_clock(c.n, bed.now_ms())});
    return;
  }
  bed.add_segment(segment_of(t, say)[stamped], c.n, c.numbers);
  if (say == Say::kUpFin) ++c.numbers.up_sent;
  if (say == Say::kDownFin) ++c.numbers.down_sent;
  if (c.step == kPackets) {
    c = {};
    c.n = next_++;
    ++finished_;
  }
}

void Conversations::read_cookies(Bed& bed) {
  for (const Asked& a : asked_) {
    if (bed.config().peace) {  // the server answers itself
      Conversation& c = all_[a.conversation];
      c.numbers = {.cookie = server_isn(c.n), .tsval = server_clock(c.n, bed.now_ms())};
      continue;
    }
    if (!bed.read_syn_ack(a.packet, all_[a.conversation].numbers)) {
      throw std::runtime_error("a SYN was not answered");
    }
  }
  asked_.clear();
}

}  // namespace synproxy::bench
