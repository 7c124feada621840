// SPDX-License-Identifier: BSD-3-Clause
#include "datapath/bed.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <stdexcept>
#include <string>

#include "common/core_time.h"
#include "common/huge_pages.h"
#include "common/tsc.h"
#include "synproxy/proxy/services.h"
#include "synproxy/wire/checksum.h"
#include "synproxy/wire/segment.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy::bench {
namespace {

std::size_t buffers_of_each_bed = 8192;
constexpr std::size_t kMadeBuffers = 2048;

// The start of an epoch; a run takes less virtual time than the epoch lasts.
constexpr std::uint64_t kEpoch = 26'562'500;
constexpr std::uint32_t kEpochMs = 64'000;

std::vector<ProtectRule> rules(const BedConfig& config) {
  std::vector<ProtectRule> all;
  for (std::uint32_t s = 0; s < config.services; ++s) {
    const std::string port = ":" + std::to_string(kFirstPort + s % 8);
    const std::uint32_t host = 8 + s / 8;  // one hexadecimal digit
    if (host > 15) throw std::logic_error("at most 64 services");
    all.push_back(parse_protect_rule(config.ipv6 ? std::string("[2001:db8:1::") +
                                                       "0123456789abcdef"[host] + "]" + port
                                                 : "203.0.113." + std::to_string(host) + port));
  }
  if (config.both_families) {
    all.push_back(parse_protect_rule((config.ipv6 ? "203.0.113.8:" : "[2001:db8:1::8]:") +
                                     std::to_string(kFirstPort)));
  }
  if (config.named) {
    for (ProtectRule& rule : all) rule.service = 1;
  }
  return all;
}

LimitTuning out_of_reach() {
  LimitTuning t;
  const SourceMask wide{.ipv4 = 24, .ipv6 = 48};
  for (const SourceMask& mask : {SourceMask{}, wide}) {
    t.rate.limits[t.rate.count++] = {
        .connections = 1'000'000, .period_ms = 1000, .burst = 1'000'000, .mask = mask};
    t.conns.limits[t.conns.count++] = {.connections = 1U << 28, .mask = mask};
  }
  return t;
}

SourceLists lists_for(const BedConfig& config) {
  std::mt19937_64 random(9);
  std::vector<Prefix> deny;
  for (std::uint32_t i = 0; i < config.denied; ++i) {
    Prefix p{.address = {}, .length = 32, .ipv6 = config.ipv6};
    store_be<std::uint64_t>(p.address.data(), random());
    if (config.ipv6) {  // single addresses of the network that clients are in, and of others
      constexpr std::array<std::uint8_t, 4> kClients{0x20, 0x01, 0x0d, 0xb8};
      if (i % 2 == 0) std::ranges::copy(kClients, p.address.begin());
      p.length = 128;
    } else {
      std::fill(p.address.begin() + 4, p.address.end(), std::uint8_t{0});
    }
    deny.push_back(p);
  }
  if (config.all_denied) {
    deny = {parse_prefix("32.0.0.0/3"), parse_prefix("2001:db8::/32")};
  }
  SourceLists lists = make_source_lists({}, deny, config.bogons);
  if (config.own_lists) {
    lists = {{}, {std::move(lists)}, {}};
    lists.place[1] = 1;
  }
  return lists;
}

// Figures of this process.
MemoryUse memory_use() {
  MemoryUse use;
  std::ifstream rollup("/proc/self/smaps_rollup");
  for (std::string line; std::getline(rollup, line);) {
    const auto bytes = [&] { return std::stoull(line.substr(line.find(':') + 1)) * 1024; };
    if (line.rfind("Rss:", 0) == 0) use.resident = bytes();
    if (line.rfind("AnonHugePages:", 0) == 0) use.huge = bytes();
  }
  return use;
}

std::map<BedConfig, std::unique_ptr<Bed>>& beds() {
  static std::map<BedConfig, std::unique_ptr<Bed>> all;
  return all;
}

}  // namespace

Bed::Bed(const BedConfig& config)
    : config_(config),
      templates_(config.ipv6),
      protect_(rules(config)),
      pool_(buffers_of_each_bed),
      made_(kMadeBuffers),
      cycles_per_ms_(static_cast<std::uint64_t>(tsc_hz() / 1000)),
      connections_(config.flows) {
  const MemoryUse before = memory_use();
  std::mt19937_64 random(7);
  const auto key = [&] { return LayoutKey{random(), random(), random() | 1}; };
  for (std::uint64_t epoch = kEpoch - 1; epoch < kEpoch + 3; ++epoch) {
    ring_.publish({epoch, key(), key()});
  }
  ring_.want_tight(config.tight);
  EngineConfig engine;  // the program's own defaults, except for the size of the table
  engine.most_vectors = config.vectors;
  engine.tuning.fragments = config.fragments;
  engine.shape.max_flows = config.max_flows;
  engine.shape.epoch_ms = kEpochMs;
  engine.shape.unix_ms_at_start = kEpoch * kEpochMs;
  const std::array<std::uint64_t, 4> index_key{random(), random(), random(), random()};
  if (config.limited) engine.tuning.limits = out_of_reach();
  if (config.strict) {
    engine.tuning.strict_window = true;
    engine.tuning.min_ttl = 20;
  }
  if (config.backlog) engine.tuning.limits.backlog.connections = 65'535;
  ReplyRate& reply = engine.tuning.limits.reply;
  if (config.replies == Replies::kAny) reply.per_second = 0;
  reply.mask.ipv6 = 128;  // the bench's hosts share few prefixes
  if (config.peace) {
    engine.tuning.mode = Mode::kAdaptive;
    engine.tuning.adaptive = {.backlog = 1U << 20, .syn_rate = 0};
  }
  if (config.stored) {
    const StoreShape shape{.max_flows = config.max_flows,
                           .region_bytes = Engine::store_bytes(engine.shape, protect_)};
    store_ = std::make_unique<FlowStore>(-1, shape, true);
  }
  engine_ = std::make_unique<Engine>(engine, protect_, ring_, index_key, counters_,
                                     store_ ? store_->region(0) : std::span<std::byte>());
  const auto writers =
      config.workers ? SourceLimits::Writers::kSeveral : SourceLimits::Writers::kOne;
  limits_ = std::make_unique<SourceLimits>(engine.shape.limit_memory, index_key, writers);
  engine_->limit_by(*limits_);
  if (!config.peace) learn_services();
  const std::uint64_t learned = count(Reason::conn_established);
  for (std::uint32_t n = 0; n < config.flows; n += kMaxBurst) {
    splice(n, std::min<std::uint32_t>(kMaxBurst, config.flows - n));
  }
  if (count(Reason::conn_established) - learned != config.flows) {
    throw std::logic_error("a connection could not be spliced");
  }
  lists_ = lists_for(config);
  engine_->use_lists(&lists_);
  const MemoryUse after = memory_use();
  memory_ = {after.resident - before.resident, after.huge - before.huge};
  if (config.replies == Replies::kCapped) {
    reply = {.per_second = 1, .mask = {.ipv4 = 0, .ipv6 = 0}};  // all sources are one
    engine_->retune(engine.tuning);
  }
  // Wait until the sweeps have passed and no handshake waits in a queue.
  let_pass(config.flows > (1U << 20) || config.silent ? 9000 : 3000);
}

void Bed::set_buffers(std::size_t buffers) { buffers_of_each_bed = buffers; }
std::size_t Bed::buffers() { return buffers_of_each_bed; }

std::uint64_t Bed::now_ms() const { return elapsed_ / cycles_per_ms_ + 1; }

void Bed::clear() {
  for (auto& q : queues_) q.clear();
  used_ = 0;
}

void Bed::add(const FrameTemplate& frame, std::uint64_t n, const Numbers& numbers) {
  Packet p;
  p.data = pool_[used_++];
  p.length = static_cast<std::uint32_t>(frame.size());
  p.room = FramePool::kRoom;
  p.checksum = ChecksumHint::kUnknown;  // nobody has verified anything
  frame.write(p.data, ends_of(n, config_.ipv6, config_.services), numbers);
  queues_[static_cast<std::size_t>(frame.from())].push_back(p);
}

void Bed::add_raw(std::span<const std::uint8_t> frame, Role sender) {
  Packet p;
  p.data = pool_[used_++];
  p.length = static_cast<std::uint32_t>(frame.size());
  p.room = FramePool::kRoom;
  p.checksum = ChecksumHint::kUnknown;
  std::memcpy(p.data, frame.data(), frame.size());
  queues_[static_cast<std::size_t>(sender)].push_back(p);
}

void Bed::add_fragment(const FrameTemplate& frame, std::uint64_t n, const Numbers& numbers) {
  add(frame, n, numbers);
  std::uint8_t* const ip = queues_[static_cast<std::size_t>(frame.from())].back().data + 14;
  ChecksumUpdate update;
  const auto before = load_raw<std::uint16_t>(ip + ipv4_at::kFragment);
  store_be<std::uint16_t>(ip + ipv4_at::kFragment, kMoreFragments);
  update.replace16(before, load_raw<std::uint16_t>(ip + ipv4_at::kFragment));
  update.apply(ip + ipv4_at::kChecksum);
}

void Bed::add_segment(const FrameTemplate& frame, std::uint64_t n, Connection& c) {
  const bool up = frame.from() == Role::kClient;
  Numbers numbers;
  numbers.seq = up ? client_isn(n) + 1 + c.up_sent : server_isn(n) + 1 + c.down_sent;
  numbers.ack = up ? c.cookie + 1 + c.down_sent : client_isn(n) + 1 + c.up_sent;
  numbers.tsval = up ? client_clock(n, now_ms()) : server_clock(n, now_ms());
  numbers.tsecr = up ? c.tsval : client_clock(n, now_ms());
  add(frame, n, numbers);
  (up ? c.up_sent : c.down_sent) += frame.payload();
}

bool Bed::read_syn_ack(std::size_t i, Connection& out) const {
  const Packet& p = packet(Role::kClient, i);
  if (p.verdict != Verdict::kReply) return false;
  Segment s;
  parse_frame(p.data, p.length, s);
  if (s.result != ParseResult::kTcp || !s.has(kSyn) || !s.has(kAck)) return false;
  out = {};
  out.cookie = s.seq.value();
  out.tsval = parse_tcp_options(s.options(), s.options_size()).tsval;
  return true;
}

// Like Worker::process: packets from buffers, the engine, verdicts into buffers.
void Bed::process(Role side, std::size_t begin, std::size_t end) {
  // The worker also makes fresh packets, from mbufs, because the engine writes into them.
  const std::span<Packet> burst(&queues_[static_cast<std::size_t>(side)][begin], end - begin);
  if (tap_.on()) [[unlikely]]
    tap_.before(side, burst);
  engine_->process(side, burst, ticked_ms_, *this);
  if (tap_.on()) [[unlikely]]
    tap_.after(side, burst);
  for (const Packet& p : burst) sent_bytes_ += p.verdict != Verdict::kDrop ? p.length : 0U;
}

void Bed::capture_meanwhile(dataplane::CaptureSession* session) {
  session == nullptr ? tap_.end() : tap_.begin(*session);
  tap_.heed();
}

// As FlowMail does for the worker.
void Bed::list_a_slice() {
  constexpr std::uint32_t kSlicePerTick = 256;
  constexpr std::size_t kLetter = 4096;
  if (listed_.size() < kSlicePerTick) listed_.resize(kLetter);
  const std::size_t at = next_listed_ % kLetter;
  const std::span<FlowInfo> out(listed_.data() + std::min(at, kLetter - kSlicePerTick),
                                kSlicePerTick);
  const FlowSlice slice = engine_->copy_flows(next_listed_, kSlicePerTick, out, ticked_ms_);
  next_listed_ = slice.next == kNoFlow ? 0 : slice.next;
}

Cost Bed::run() {
  Cost cost;
  const std::size_t up = queued(Role::kClient);
  const std::size_t down = queued(Role::kServer);
  cost.packets = static_cast<std::uint32_t>(up + down);
  const std::size_t rounds = (std::max(up, down) + kMaxBurst - 1) / kMaxBurst;
  cost.per_burst.reserve(rounds);
  const long switches = context_switches();
  const std::uint64_t begin = read_tsc();
  std::uint64_t last = begin;
  for (std::size_t r = 0; r < rounds; ++r) {
    if (now_ms() != ticked_ms_) {
      ticked_ms_ = now_ms();
      engine_->tick(ticked_ms_, *this);
      if (lists_flows_) list_a_slice();
      const std::uint64_t ticked = read_tsc();
      cost.in_ticks += ticked - last;
      elapsed_ += std::min(ticked - last, cycles_per_ms_);
      last = ticked;
    }
    // The frames of the shorter queue are spread over all rounds.
    const std::size_t u = up * r / rounds, u_end = up * (r + 1) / rounds;
    const std::size_t d = down * r / rounds, d_end = down * (r + 1) / rounds;
    if (u != u_end) process(Role::kClient, u, u_end);
    if (d != d_end) process(Role::kServer, d, d_end);
    const std::uint64_t now = read_tsc();
    const std::size_t packets = u_end - u + d_end - d;
    cost.per_burst.push_back(static_cast<float>(now - last) / static_cast<float>(packets));
    // Time that another thread had the core must not make the clock jump.
    elapsed_ += std::min(now - last, cycles_per_ms_);
    last = now;
  }
  cost.cycles = last - begin;
  cost.interrupted = context_switches() != switches;
  return cost;
}

// Like Outbox::make: takes a buffer from the pool, and copies.
void Bed::emit(Role out, std::span<const std::uint8_t> frame) {
  if (tap_.on()) [[unlikely]]
    tap_.made(out, frame);
  std::uint8_t* const copy = made_[next_made_++ % kMadeBuffers];
  std::memcpy(copy, frame.data(), frame.size());
  sent_bytes_ += frame.size();
  if (!keep_syn_ || out != Role::kServer) return;
  Segment s;
  parse_frame(copy, frame.size(), s);
  if (s.result != ParseResult::kTcp || !s.has(kSyn)) return;
  syn_seen_ = true;
  syn_flags_ = s.flags;
  syn_timestamps_ = parse_tcp_options(s.options(), s.options_size()).timestamps;
}

void Bed::let_pass(std::uint64_t ms) {
  for (std::uint64_t i = 0; i < ms; ++i) {
    elapsed_ += cycles_per_ms_;
    ticked_ms_ = now_ms();
    engine_->tick(ticked_ms_, *this);
  }
}

// The server grants every SYN what it asks for, until no more SYNs come. The first SYN asks for
// more than the client was promised (docs/architecture.md, "What the servers can do").
void Bed::learn_from(std::uint64_t n) {
  Connection c;
  clear();
  add(templates_.syn_linux, n, {client_isn(n), 0, client_clock(n, now_ms()), 0});
  run();
  if (!read_syn_ack(0, c)) throw std::logic_error("the first SYN was not answered");
  clear();
  // Nobody knows yet what the service can do, so its first client must do without timestamps.
  const bool stamped = c.tsval != 0;
  add_segment(templates_.small_up[stamped ? 1 : 0], n, c);
  keep_syn_ = true;
  run();
  for (unsigned tries = 0; syn_seen_; ++tries) {
    if (tries == 4) throw std::logic_error("the handshake with the server does not end");
    syn_seen_ = false;
    clear();
    const bool ecn = (syn_flags_ & kEce) != 0;
    add(ecn ? templates_.syn_ack_ecn : templates_.syn_ack[syn_timestamps_ ? 1 : 0], n,
        {server_isn(n), client_isn(n) + 1, server_clock(n, now_ms()), client_clock(n, now_ms())});
    run();
  }
  keep_syn_ = false;
  clear();
  add_segment(templates_.request[stamped ? 1 : 0], n, c);
  run();
}

// An ability is promised once so many answers have shown it.
void Bed::learn_services() {
  constexpr unsigned kAnswers = ServiceTable::kAnswersToPromise;
  Random random(99);
  for (std::uint32_t i = 0; i < config_.services * kAnswers; ++i) {
    const std::uint32_t service = i / kAnswers;
    std::uint64_t n = random.connection();
    while (service_of(n, config_.services) != service || n < config_.flows) n = random.connection();
    learn_from(n);
  }
  if (count(Reason::conn_established) != std::uint64_t{config_.services} * kAnswers) {
    throw std::logic_error("a service could not be learned");
  }
}

// SYN, ACK, SYN-ACK and a request, for `burst` connections at once.
void Bed::splice(std::uint64_t first, std::uint32_t burst) {
  const std::uint64_t end = first + burst;
  clear();
  for (std::uint64_t n = first; n < end; ++n) {
    add(templates_.syn[has_timestamps(n) ? 1 : 0], n,
        {client_isn(n), 0, client_clock(n, now_ms()), 0});
  }
  run();
  for (std::uint32_t i = 0; i < burst; ++i) {
    if (!read_syn_ack(i, connections_[first + i])) throw std::logic_error("a SYN was not answered");
  }
  clear();
  for (std::uint64_t n = first; n < end; ++n) {
    add_segment(templates_.small_up[has_timestamps(n) ? 1 : 0], n, connections_[n]);
  }
  run();
  clear();
  for (std::uint64_t n = first; n < end; ++n) {
    add(templates_.syn_ack[has_timestamps(n) ? 1 : 0], n,
        {server_isn(n), client_isn(n) + 1, server_clock(n, now_ms()), client_clock(n, now_ms())});
  }
  run();
  if (config_.silent) return;
  clear();
  for (std::uint64_t n = first; n < end; ++n) {
    add_segment(templates_.request[has_timestamps(n) ? 1 : 0], n, connections_[n]);
  }
  run();
}

Bed& bed_for(const BedConfig& config) {
  std::unique_ptr<Bed>& bed = beds()[config];
  if (!bed) {
    if (config.flows >= 1'000'000) {
      static_cast<void>(std::fprintf(
          stderr, "splicing %u connections, %s ...\n", config.flows,
          config.huge_pages ? "hugepages where the kernel has some" : "pages of 4 KB"));
    }
    const NoHugePages pages(!config.huge_pages);
    bed = std::make_unique<Bed>(config);
  }
  return *bed;
}

const Bed* bed_if_made(const BedConfig& config) {
  const auto found = beds().find(config);
  return found != beds().end() ? found->second.get() : nullptr;
}

}  // namespace synproxy::bench
