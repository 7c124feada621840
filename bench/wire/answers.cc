// SPDX-License-Identifier: BSD-3-Clause
#include "answers.h"

#include "verify.h"

namespace synproxy::generator {

Answers::Answers(const Step& step, const Stand& stand, bool timed)
    : stand_(stand),
      offer_{.timestamps = step.timestamps},
      timed_(timed),
      check_mask_(step.check - 1),
      // An echo opens nothing.
      proving_(stand.contender == Contender::kProxy && step.prove != 0),
      prove_mask_(step.prove - 1),
      to_proxy_(*stand.client, stand.pool),
      to_server_link_(stand.server != nullptr ? *stand.server : *stand.client, stand.pool),
      latency_(step.seconds) {}

std::uint16_t Answers::receive() {
  std::array<rte_mbuf*, kBurst> frames;
  const std::uint16_t n = stand_.client->receive(frames);
  if (n == 0) return 0;
  if (timed_) at_ = now();
  for (std::uint16_t i = 0; i < n; ++i) faults_.add(judge_client(bytes_of(*frames[i])));
  rte_pktmbuf_free_bulk(frames.data(), n);
  to_proxy_.send();
  return n;
}

void Answers::receive_server() {
  if (stand_.server == nullptr) return;
  std::array<rte_mbuf*, kBurst> frames;
  const std::uint16_t n = stand_.server->receive(frames);
  for (std::uint16_t i = 0; i < n; ++i) faults_.add(judge_server(bytes_of(*frames[i])));
  if (n != 0) rte_pktmbuf_free_bulk(frames.data(), n);
  to_server_link_.send();
}

Fault Answers::judge_client(std::span<const std::uint8_t> frame) {
  const bool echo = stand_.contender == Contender::kEcho;
  Incoming in;
  Fault f = read_segment(frame, echo ? Towards::kServer : Towards::kClient, in);
  if (f == Fault::none) f = check_macs(frame, Towards::kClient);
  if (f != Fault::none) return f;
  if (is_played(in.client.address, in.ipv6)) return Fault::none;  // from the step before
  return echo ? judge_echo(in) : judge_syn_ack(in);
}

Fault Answers::judge_echo(const Incoming& in) {
  if (in.flags != kSyn) return Fault::flags;
  if (in.seq != numbers_of(in.client).isn) return Fault::seq;
  ++answered_;
  if (timed_) time(read_options(in.options).tsval);
  if (!full_look()) return Fault::none;
  ++checked_;
  return check_checksums(in);
}

Fault Answers::judge_syn_ack(const Incoming& in) {
  Numbers client = numbers_of(in.client);
  if ((in.flags & kRst) != 0) {  // of the connection that our server refused
    if (!valid_one(client.isn)) return Fault::unasked;
    ++refused_;
    return check_checksums(in);
  }
  if (in.flags != (kSyn | kAck)) return Fault::flags;
  if (in.ack != client.isn + 1) return Fault::ack;
  ++answered_;
  const bool proof = proving_ && (client.isn & prove_mask_) <= 1;
  const bool full = full_look();
  if (!timed_ && !proof && !full) return Fault::none;
  const Options options = read_options(in.options);
  if (timed_) {
    if (!options.timestamps) return Fault::tsecr;
    time(options.tsecr);
    client.tsval = options.tsecr;
  }
  if (proof) prove(in, options, client);
  if (!full) return Fault::none;
  ++checked_;
  if (const Fault f = check_checksums(in); f != Fault::none) return f;
  return check_syn_ack(in, client, offer_);
}

void Answers::time(std::uint32_t planned) {
  const auto took = static_cast<std::uint32_t>(at_) - planned;
  if (at_ - took < clean_since_) {
    latency_.set_aside();
  } else {
    latency_.add(at_, took);
  }
}

void Answers::prove(const Incoming& in, const Options& options, const Numbers& client) {
  Outgoing ack;
  ack.ipv6 = in.ipv6;
  ack.client = in.client;
  ack.seq = client.isn + 1;
  ack.ack = in.seq + 1;
  ack.flags = kAck;
  ack.timestamps = options.timestamps;
  ack.tsval = client.tsval;
  ack.tsecr = options.tsval;
  if (valid_one(client.isn)) {
    ++acknowledged_;
  } else {
    ++forged_;
    ack.ack += 1 + static_cast<std::uint32_t>(forged_ & 1U);
  }
  to_proxy_.add(ack);
}

// A completed handshake: the server accepts the connection and resets it at once. If it refused,
// its service would be in doubt, and the proxy would pass it SYNs of the flood.
Fault Answers::judge_server(std::span<const std::uint8_t> frame) {
  Incoming in;
  Fault f = read_segment(frame, Towards::kServer, in);
  if (f == Fault::none) f = check_macs(frame, Towards::kServer);
  if (f == Fault::none) f = check_checksums(in);
  if (f != Fault::none) return f;
  if (is_played(in.client.address, in.ipv6)) return Fault::none;  // from the step before
  Numbers client = numbers_of(in.client);
  if (!valid_one(client.isn)) {
    // The proxy may ask the server whether it knows the connection of a wrong cookie.
    return in.flags == kAck ? Fault::none : Fault::forged_opens;
  }
  const Numbers own = numbers_of(in.client, Of::kServer);
  Outgoing out;
  out.ipv6 = in.ipv6;
  out.towards = Towards::kClient;
  out.client = in.client;
  if (in.flags == kAck) {
    if (in.seq != client.isn + 1) return Fault::seq;
    if (in.ack != own.isn + 1) return Fault::ack;
    ++opened_;
    out.seq = in.ack;
    out.ack = in.seq;
    out.flags = kRst | kAck;
    to_server_link_.add(out);
    return Fault::none;
  }
  const Options options = read_options(in.options);
  if (timed_) client.tsval = options.tsval;
  f = check_syn(in, client, offer_);
  if (f != Fault::none) return f;
  out.seq = own.isn;
  out.ack = in.seq + 1;
  out.flags = kSyn | kAck;
  out.offer = &offer_;
  out.tsval = own.tsval;
  out.tsecr = options.tsval;
  to_server_link_.add(out);
  return Fault::none;
}

void Answers::settle(std::uint64_t expected, std::uint64_t limit) {
  const std::uint64_t end = now() + limit;
  while (now() < end && !stand_.stopped()) {
    receive();
    receive_server();
    if (answered_ >= expected && refused_ >= acknowledged_) break;
  }
}

// A SYN-ACK may get lost if the link is too slow. If the link lost none, no handshake may be
// missing.
void Answers::conclude(std::uint64_t sent) {
  if (stand_.contender != Contender::kProxy || stand_.server == nullptr) return;
  if (opened_ < acknowledged_ && answered_ >= sent) {
    faults_.add(Fault::valid_opens_not, acknowledged_ - opened_);
  }
  if (opened_ > acknowledged_) faults_.add(Fault::unasked, opened_ - acknowledged_);
}

nlohmann::json Answers::report() const {
  nlohmann::json j;
  j["checked"] = checked_;
  if (stand_.contender == Contender::kProxy) {
    j["proofs"] = {{"acknowledged", acknowledged_},
                   {"opened", opened_},
                   {"refused", refused_},
                   {"forged", forged_}};
  }
  if (timed_) j["latency"] = latency_.report();
  j["faults"] = report_of(faults_);
  return j;
}

nlohmann::json report_of(const FaultCount& faults) {
  nlohmann::json j = nlohmann::json::object();
  for (std::size_t i = 1; i < kFaults.size(); ++i) {
    const std::uint64_t n = faults[static_cast<Fault>(i)];
    if (n != 0) j[std::string(kFaults[i].name)] = n;
  }
  return j;
}

}  // namespace synproxy::generator
