// SPDX-License-Identifier: BSD-3-Clause
#include "referee.h"

#include <algorithm>

#include "router.h"

namespace synproxy::test::sim {

void Referee::complain(const char* what, const DecodedFrame& in, const DecodedFrame& out) {
  if (violation.empty()) {
    violation =
        std::string("translation, ") + what + ": " + in.to_string() + "  ->  " + out.to_string();
  }
}

// Both hosts are in the conversation of the frame, and both have shown their numbers.
bool Referee::same_conversation(const Flight& in) {
  if (!in.conversation || client_.conversation() != in.conversation ||
      server_.conversation() != in.conversation || !client_.peer_isn()) {
    return false;
  }
  if (of_ts_delta_ != in.conversation) {
    of_ts_delta_ = in.conversation;
    ts_delta_.reset();
  }
  return true;
}

void Referee::to_server(const DecodedFrame& in, const DecodedFrame& out) {
  const std::uint32_t delta = server_.isn() - *client_.peer_isn();
  if (out.seq != in.seq) complain("seq", in, out);
  if (in.has(kAck) && out.ack != in.ack + delta) complain("ack", in, out);
  for (std::size_t i = 0; i < in.timestamps.size(); ++i) {
    const auto [tsval, tsecr] = in.timestamps[i];
    if (out.timestamps[i].first != tsval) complain("TSval", in, out);
    if (tsecr == 0 || in.has(kRst)) continue;
    if (!ts_delta_) ts_delta_ = out.timestamps[i].second - tsecr;
    if (out.timestamps[i].second != tsecr + *ts_delta_) complain("TSecr", in, out);
  }
  if (!server_.sack()) {
    if (!out.sack.empty()) complain("SACK to a server without it", in, out);
  } else if (in.sack.size() != out.sack.size()) {
    complain("number of SACK blocks", in, out);
  } else {
    for (std::size_t i = 0; i < in.sack.size(); ++i) {
      if (out.sack[i].first != in.sack[i].first + delta ||
          out.sack[i].second != in.sack[i].second + delta) {
        complain("SACK", in, out);
      }
    }
  }
  const bool unscale = client_.own_scale() && !server_.own_scale();
  const auto window = [&](unsigned scale) {
    return unscale ? std::min<std::uint32_t>(0xffff, std::uint32_t{in.window} << scale) : in.window;
  };
  const bool rounded = may_be_rounded() && out.window == window(kRounded);
  if (!in.has(kRst) && out.window != window(client_.own_scale().value_or(0)) && !rounded) {
    complain("window", in, out);
  }
}

// A plain cookie of a tight epoch rounds a larger scale down.
bool Referee::may_be_rounded() const {
  return tight_ && !client_.timestamps() && client_.own_scale().value_or(0) > kRounded;
}

void Referee::to_client(const DecodedFrame& in, const DecodedFrame& out) {
  const std::uint32_t delta = server_.isn() - *client_.peer_isn();
  if (out.seq != in.seq - delta) complain("seq", in, out);
  if (in.has(kAck) && out.ack != in.ack) complain("ack", in, out);
  for (std::size_t i = 0; i < in.timestamps.size(); ++i) {
    const auto [tsval, tsecr] = in.timestamps[i];
    if (out.timestamps[i].second != tsecr) complain("TSecr", in, out);
    if (!ts_delta_) ts_delta_ = tsval - out.timestamps[i].first;
    if (out.timestamps[i].first != tsval - *ts_delta_) complain("TSval", in, out);
  }
  if (out.sack != in.sack) complain("SACK", in, out);
  const unsigned from = server_.own_scale().value_or(0);
  const unsigned to = client_.peer_scale().value_or(0);
  const std::uint32_t bytes = std::uint32_t{in.window} << (client_.peer_scale() ? from : 0);
  const std::uint32_t window =
      std::clamp<std::uint32_t>(bytes >> to, in.window != 0 ? 1 : 0, 0xffff);
  if (!in.has(kRst) && out.window != window) complain("window", in, out);
}

void Referee::forwarded(Role from, const Flight& in, const Flight& out) {
  if (!in.frame || !out.frame) {
    if (!in.corrupt && violation.empty()) violation = "a whole segment became something else";
    return;
  }
  const DecodedFrame& i = *in.frame;
  const DecodedFrame& o = *out.frame;
  if (o.checksums_good != i.checksums_good) complain("checksum repaired or broken", i, o);
  if (in.corrupt) return;
  // A doubted server is asked with the client's SYN, but without its data.
  const bool asks = from == Role::kClient && i.has(kSyn) && !i.has(kAck) && o.payload.empty();
  const std::size_t left_out = asks ? i.payload.size() : 0;
  const auto flags = asks && left_out != 0 ? i.flags & ~unsigned{kFin | kPsh | kUrg} : i.flags;
  if ((left_out == 0 && (o.payload != i.payload || o.urgent != i.urgent)) || o.ttl != i.ttl ||
      o.tags != i.tags || o.flags != flags || o.source_mac != i.source_mac ||
      o.destination_mac != i.destination_mac || (left_out == 0 && o.raw.size() != i.raw.size()) ||
      o.timestamps.size() != i.timestamps.size()) {
    complain("something that is nobody's business changed", i, o);
    return;
  }
  if (out.untouched) return;
  if (!same_conversation(in)) return;
  from == Role::kClient ? to_server(i, o) : to_client(i, o);
}

void Referee::error_forwarded(const Flight& in, const Flight& out, const HostPlan& host) {
  if (in.corrupt || !violation.empty()) return;
  const QuotedError& e = *in.error;
  // A late one of an earlier conversation may be taken for one of this. So may one of a segment
  // that was of no connection then.
  const bool numbers = !e.guessed && same_conversation(in) && !e.untouched;
  if (e.guessed && !watches_) violation = "an ICMP error of a number that is not under way";
  if (violation.empty()) violation = check_error(e, in.bytes, out.bytes, host, numbers);
}

void Referee::replied(const Flight& in, const Flight& out) {
  if (!out.frame) {
    if (violation.empty()) violation = "an answer that is not whole TCP";
    return;
  }
  if (!in.frame) return;
  if (!in.frame->checksums_good) complain("answer to a damaged segment", *in.frame, *out.frame);
}

void Referee::made(Role to, const Flight& out) {
  if (!out.frame) {
    if (violation.empty()) violation = "made something that is not whole TCP";
    return;
  }
  const DecodedFrame& f = *out.frame;
  if (!f.checksums_good) complain("made with a wrong checksum", f, f);
  if (to != Role::kServer || f.has(kRst) || !out.conversation ||
      out.conversation != client_.conversation()) {
    return;
  }
  // RFC 7323 section 5.3: never newer than what the client has sent, else its own data is dropped.
  // A keepalive, which is for a server that has got data, may have an older one.
  const bool opens = f.window != 0;
  for (const auto& [tsval, tsecr] : f.timestamps) {
    if (client_.timestamps() && (opens ? !client_.sent_tsval(tsval) : client_.newer_tsval(tsval)))
      complain("a TSval that the client never sent", f, f);
  }
  if (!f.has(kSyn)) return;
  if (f.mss.value_or(536) > client_.own_mss()) complain("a larger MSS than the client's", f, f);
  // At least what the client was promised. More may be asked for, to learn what the server can do.
  if (client_.timestamps() && f.timestamps.empty()) complain("timestamps of the SYN", f, f);
  if (client_.sack() && !f.sack_permitted) complain("SACK of the SYN", f, f);
  const auto scale = client_.own_scale();
  const bool rounded = may_be_rounded() && f.window_scale == kRounded;
  if (scale && f.window_scale != scale && !rounded) complain("window scale", f, f);
  if (client_.ecn() && !f.has(kEce)) complain("ECN of the SYN", f, f);
  if (!f.payload.empty()) complain("data on the SYN", f, f);
}

}  // namespace synproxy::test::sim
