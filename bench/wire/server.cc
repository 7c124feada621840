// SPDX-License-Identifier: BSD-3-Clause
#include "server.h"

#include "verify.h"

namespace synproxy::generator {

Server::Server(const Step& step, Outbox& out)
    : check_mask_(step.check - 1), response_(step.response), out_(out) {}

void Server::on_frame(std::span<const std::uint8_t> frame) { faults_.add(judge(frame)); }

Fault Server::judge(std::span<const std::uint8_t> frame) {
  Incoming in;
  Fault f = read_segment(frame, Towards::kServer, in);
  if (f == Fault::none) f = check_macs(frame, Towards::kServer);
  if (f == Fault::none && (++looked_ & check_mask_) == 0) f = check_checksums(in);
  if (f != Fault::none) return f;
  if (!is_played(in.client.address, in.ipv6)) return Fault::forged_opens;
  if ((in.flags & kRst) != 0) return Fault::none;
  const Options options = read_options(in.options);
  if (options.malformed) return Fault::options;
  return (in.flags & kSyn) != 0 ? on_syn(in, options) : on_segment(in, options);
}

Fault Server::on_syn(const Incoming& in, const Options& options) {
  if (in.seq != numbers_of(in.client).isn) return Fault::seq;
  const Numbers own = numbers_of(in.client, Of::kServer);
  const Offer offer{.timestamps = options.timestamps,
                    .sack = options.sack_permitted,
                    .window_scaling = options.has_window_scale};
  Outgoing out;
  out.ipv6 = in.ipv6;
  out.towards = Towards::kClient;
  out.client = in.client;
  out.seq = own.isn;
  out.ack = in.seq + 1;
  out.flags = kSyn | kAck;
  out.offer = &offer;
  out.tsval = own.tsval;
  out.tsecr = options.tsval;
  out_.add(out);
  return Fault::none;
}

Fault Server::on_segment(const Incoming& in, const Options& options) {
  const Numbers own = numbers_of(in.client, Of::kServer);
  // What the client has from us: whole responses, and perhaps the FIN.
  const std::uint32_t acked = in.ack - (own.isn + 1);
  const auto length = static_cast<std::uint32_t>(response_.bytes.size());
  if ((in.flags & kAck) == 0) return Fault::flags;
  if (acked % length > 1) return Fault::ack;
  if (options.timestamps && options.tsecr != own.tsval) return Fault::tsecr;
  const bool fin = (in.flags & kFin) != 0;
  const auto received = static_cast<std::uint32_t>(in.payload.size());
  if (received == 0 && !fin) return Fault::none;
  Outgoing out;
  out.ipv6 = in.ipv6;
  out.towards = Towards::kClient;
  out.client = in.client;
  out.seq = in.ack;
  out.ack = in.seq + received + (fin ? 1U : 0U);
  out.flags = static_cast<std::uint8_t>(kAck | (fin ? kFin : kPsh));
  out.timestamps = options.timestamps;
  out.tsval = own.tsval;
  out.tsecr = options.tsval;
  out.payload = fin ? nullptr : &response_;
  out_.add(out);
  return Fault::none;
}

}  // namespace synproxy::generator
