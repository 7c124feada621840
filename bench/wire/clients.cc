// SPDX-License-Identifier: BSD-3-Clause
#include "clients.h"

#include <algorithm>
#include <random>

#include "verify.h"

namespace synproxy::generator {
namespace {

constexpr std::size_t kRequestBytes = 100;
constexpr double kRound = 0.005;
constexpr double kSynTimeout = 1;     // RFC 6298 section 2.1
constexpr double kDataTimeout = 0.2;  // Linux's least

}  // namespace

Clients::Clients(const Step& step, Outbox& out)
    : ipv6_(step.ipv6),
      offer_{.timestamps = step.timestamps},
      request_(kRequestBytes),
      response_(step.response),
      check_mask_(step.check - 1),
      round_(ticks(kRound)),
      period_(ticks(kPeriod)),
      out_(out),
      random_(std::random_device()()) {}

void Clients::join(Habit habit, std::uint32_t count, std::uint64_t from, std::uint64_t span) {
  row_.reserve(row_.size() + count);
  for (std::uint32_t i = 0; i < count; ++i) {
    Client c;
    c.habit = habit;
    c.deadline = from + span * i / count;
    row_.push_back(c);
  }
}

void Clients::visit(std::uint64_t at) {
  if (row_.empty()) return;
  const std::uint64_t step = round_ / row_.size() + 1;
  std::size_t n = std::min<std::uint64_t>((at - visited_) / step, row_.size());
  if (n == 0) return;
  visited_ = at;
  for (; n > 0; --n) {
    Client& c = row_[next_];
    if (++next_ == row_.size()) next_ = 0;
    if (c.state != State::kGone && at >= c.deadline) act(c, at);
  }
}

void Clients::act(Client& c, std::uint64_t at) {
  if (c.state == State::kIdle) return begin(c, at);
  if (c.state == State::kOpen) return request(c, at);
  if (c.tries >= kMostTries) return end(c, at);
  ++tally(c).resent;
  send(c);
  expect_answer(c, at);
}

void Clients::begin(Client& c, std::uint64_t at) {
  if (retired_) return;
  ++busy_;
  const auto place = static_cast<std::size_t>(&c - row_.data());
  c.tuple = {address_of(random_.next(), ipv6_, true),
             static_cast<std::uint16_t>(kFirstPort + place)};
  c.numbers = numbers_of(c.tuple);
  c.seq = c.numbers.isn;
  c.state = State::kSynSent;
  c.begun = at;
  c.tries = 0;
  ++tally(c).begun;
  send(c);
  expect_answer(c, at);
}

void Clients::expect_answer(Client& c, std::uint64_t at) {
  const double first = c.state == State::kSynSent ? kSynTimeout : kDataTimeout;
  c.deadline = at + ticks(first * (1U << c.tries));
  ++c.tries;
}

void Clients::send(const Client& c) {
  Outgoing out;
  out.ipv6 = ipv6_;
  out.client = c.tuple;
  out.seq = c.seq;
  out.tsval = c.numbers.tsval;
  if (c.state == State::kSynSent) {
    out.flags = kSyn;
    out.offer = &offer_;
  } else {
    out.ack = c.ack;
    out.timestamps = c.timestamps;
    out.tsecr = c.tsval;
    const bool fin = c.state == State::kClosing;
    out.flags = static_cast<std::uint8_t>(kAck | (fin ? kFin : kPsh));
    if (!fin) out.payload = &request_;
  }
  out_.add(out);
}

void Clients::send_ack(const Client& c) {
  Outgoing out;
  out.ipv6 = ipv6_;
  out.client = c.tuple;
  out.seq = c.seq;
  out.ack = c.ack;
  out.flags = kAck;
  out.timestamps = c.timestamps;
  out.tsval = c.numbers.tsval;
  out.tsecr = c.tsval;
  out_.add(out);
}

void Clients::request(Client& c, std::uint64_t at) {
  c.state = State::kWaiting;
  c.tries = 0;
  send(c);
  expect_answer(c, at);
}

void Clients::end(Client& c, std::uint64_t at) {
  --busy_;
  c.state = State::kIdle;
  c.deadline = at;
  if (c.habit == Habit::kOnce) c.state = State::kGone;
}

void Clients::on_segment(const Incoming& in, std::uint64_t at) {
  const auto place = static_cast<std::size_t>(in.client.port - kFirstPort);
  if (in.client.port < kFirstPort || place >= row_.size() ||
      row_[place].tuple.address != in.client.address) {
    // A segment of a connection that is over: the proxy may repeat what it believes lost.
    return;
  }
  faults_.add(judge(row_[place], in, at));
}

Fault Clients::judge(Client& c, const Incoming& in, std::uint64_t at) {
  if ((++looked_ & check_mask_) == 0) {
    if (const Fault f = check_checksums(in); f != Fault::none) return f;
  }
  if (c.state == State::kIdle || c.state == State::kGone) return Fault::none;
  const Options options = read_options(in.options);
  if ((in.flags & kRst) != 0) {
    ++tally(c).resets;
    end(c, at);
    return Fault::none;
  }
  if ((in.flags & kSyn) != 0) return on_syn_ack(c, in, options, at);
  if (c.state == State::kSynSent) return Fault::flags;
  if (options.timestamps != c.timestamps) return Fault::options;
  if (options.timestamps && options.tsecr != c.numbers.tsval) return Fault::tsecr;
  if (options.timestamps && options.tsval != c.tsval) return Fault::tsval;
  const bool fin = (in.flags & kFin) != 0;
  if (in.payload.empty() && !fin) return Fault::none;  // a window update
  if (in.seq != c.ack) {
    // A response that we have already: our request was sent twice.
    return static_cast<std::int32_t>(in.seq - c.ack) < 0 ? Fault::none : Fault::seq;
  }
  if (fin) {
    if (c.state != State::kClosing || in.ack != c.seq + 1) return Fault::unasked;
    ++c.seq;
    ++c.ack;
    send_ack(c);
    ++tally(c).done;
    end(c, at);
    if (c.habit == Habit::kHasty) begin(c, at);
    return Fault::none;
  }
  if (c.state != State::kWaiting) return Fault::unasked;
  if (in.ack != c.seq + kRequestBytes) return Fault::ack;
  if (in.payload.size() != response_) return Fault::payload;
  on_response(c, at);
  return Fault::none;
}

Fault Clients::on_syn_ack(Client& c, const Incoming& in, const Options& options, std::uint64_t at) {
  if (const Fault f = check_syn_ack(in, c.numbers, offer_); f != Fault::none) return f;
  if (c.state != State::kSynSent) {  // once more: our acknowledgement was lost
    send_ack(c);
    return Fault::none;
  }
  ++tally(c).opened;
  if (c.habit == Habit::kOnce) ++syns_needed_[c.tries - 1U];
  c.timestamps = options.timestamps;
  c.tsval = options.tsval;
  c.seq = c.numbers.isn + 1;
  c.ack = in.seq + 1;
  send_ack(c);
  if (c.habit != Habit::kSteady) {
    request(c, at);
  } else {
    c.state = State::kOpen;
    c.begun = at + random_.below(static_cast<std::uint32_t>(period_));
    c.deadline = c.begun;
  }
  return Fault::none;
}

void Clients::on_response(Client& c, std::uint64_t at) {
  ++tally(c).responses;
  c.seq += kRequestBytes;
  c.ack += response_;
  c.tries = 0;
  if (c.habit == Habit::kSteady) {
    send_ack(c);
    // Turns keep their beat: those that have passed are lost.
    const std::uint64_t missed = (at - c.begun) / period_;
    tally(c).skipped += missed;
    c.begun += (missed + 1) * period_;
    c.deadline = c.begun;
    c.state = State::kOpen;
    return;
  }
  if (c.habit == Habit::kOnce) page_times_.add(at - c.begun);
  c.state = State::kClosing;
  send(c);
  expect_answer(c, at);
}

}  // namespace synproxy::generator
