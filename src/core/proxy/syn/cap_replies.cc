// SPDX-License-Identifier: BSD-3-Clause
#include "syn/cap_replies.h"

#include "burst/verdicts.h"

namespace synproxy {

bool ask_reply_cap(Rooms& rooms, Context& c) {
  const Segment& g = c.segment;
  const std::uint64_t now = rooms.now.ms();
  ReplyCap& cap = rooms.reply_cap;
  const std::uint64_t place = cap.place_of(g.source(), g.ipv6);
  if (cap.taker(now).take(place)) return false;
  const ReplyCap::Answer answer = cap.over(place, now, c.hash, g.seq.value());
  if (answer == ReplyCap::Answer::kMonitored) {
    rooms.counters.count(Reason::reply_capped_monitored);
  }
  if (answer != ReplyCap::Answer::kNo) return false;
  drop(rooms.counters, c, Reason::reply_capped);
  return true;
}

bool may_repeat_reply(Rooms& rooms, const FlowKey& key) {
  ReplyCap& cap = rooms.reply_cap;
  return !cap.on() || cap.taker(rooms.now.ms()).take(cap.place_of(key.client.data(), key.ipv6)) ||
         cap.monitored();
}

}  // namespace synproxy
