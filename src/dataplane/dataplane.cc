// SPDX-License-Identifier: BSD-3-Clause
// Longer than most files: all that stands behind the header, in the order in which it is made.
#include "dataplane/dataplane.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <functional>
#include <new>
#include <optional>
#include <system_error>

#include "base/errors.h"
#include "base/port_errors.h"
#include "dataplane/list_keeper.h"
#include "dataplane/offload_start.h"
#include "dataplane/pool.h"
#include "dataplane/port_set.h"
#include "dataplane/rss_hash.h"
#include "dataplane/shed_notice.h"
#include "dataplane/worker.h"

namespace synproxy::dataplane {
namespace {

// The client port's plan says when its addresses move to the other.
PortPlan plan_client(const Config& config, unsigned workers) {
  PortPlan plan = plan_port(config.client_port, PortId::kClient, workers);
  plan.moves_addresses = config.server_port.kind == PortName::Kind::kHost;
  return plan;
}

std::vector<unsigned> worker_cpus(const Config& config) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  static_cast<void>(::sched_getaffinity(0, sizeof allowed, &allowed));
  std::vector<unsigned> cpus = config.workers;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE && cpus.empty(); ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  for (const unsigned cpu : cpus) {
    if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed)) continue;
    throw UsageError("--workers " + std::to_string(cpu) + ": this process may not use that CPU; " +
                     "'taskset -cp $$' shows those that it may");
  }
  return cpus;
}

EalRequest eal_request(const Config& config, const PortPlan& client, const PortPlan& server,
                       bool beside) {
  EalRequest request;
  request.devices_later = beside;
  request.name = config.files_name();
  request.pools = {client.pool, server.pool, client.super_pool, server.super_pool};
  request.extra = config.eal_arguments;
  request.verbose = config.log_level == LogLevel::kDebug;
  for (const PortPlan* plan : {&client, &server}) {
    if (plan->name.kind == PortName::Kind::kPci) {
      request.pci_devices.push_back(plan->name.device);
    }
    if (plan->needs_hugepages) request.needs_hugepages = flag_and_value(plan->name, plan->id);
  }
  return request;
}

void fill_randomly(std::array<std::uint64_t, 4>& key) {
  if (::getrandom(key.data(), sizeof key, 0) != sizeof key) {
    throw RuntimeFailure("the kernel gives no random bytes");
  }
}

SourceLimits::Key random_key() {
  SourceLimits::Key key;
  fill_randomly(key);
  return key;
}

// ---- What the store says, if it has been filled by another process ----

bool found(const FlowStore* store) { return store != nullptr && store->found(); }

// nullptr: there is nobody to go on from.
const StoreIdentity* former(const FlowStore* store, const Predecessor* predecessor) {
  return predecessor != nullptr ? &predecessor->identity
         : found(store)         ? &store->identity()
                                : nullptr;
}

RssWord word_for(const StoreIdentity* former) {
  if (former == nullptr) return draw_rss_word();
  const auto word = static_cast<RssWord>(former->rss_word);
  return is_good(word) ? word : draw_rss_word();
}

Clock clock_for(const EngineShape& shape, const StoreIdentity* former) {
  return former != nullptr ? Clock::going_on(former->zero_ms) : Clock(shape.unix_ms_at_start);
}

// A number for each way in which connections find their owners: with another one they would be
// looked for in other tables.
std::uint32_t owner_rule(unsigned workers, const std::optional<RssOwner>& rss,
                         const RssSpread& spread) {
  if (workers == 1) return 1;
  return rss ? 1U << 16 | spread.period : 2;
}

}  // namespace

// Members are destroyed in reverse order: workers before rings, ports before their pools, EAL last.
struct Dataplane::Impl {
  Impl(const Config& config, const ProtectSet& protect, const KeyRing& keys, FlowStore* store,
       const Predecessor* predecessor, const StoreIdentity* former);

  void settle(FlowStore& store) const;
  [[nodiscard]] StoreIdentity identity() const {
    return {
        .index_key = index_key, .zero_ms = clock.zero_ms(), .rss_word = rss_word, .owner = owner()};
  }
  [[nodiscard]] std::uint32_t owner() const {
    return owner_rule(static_cast<unsigned>(cpus.size()), rss_owner,
                      ports[PortId::kClient].spread());
  }
  [[nodiscard]] std::uint64_t buffers_out() const;
  void free_lists();
  void warn_of_bad_checksums(std::vector<std::string>& lines);
  void tell_of_shedding(std::vector<std::string>& lines);

  Published<WorkerTuning> tuning;
  ListKeeper lists;
  std::vector<unsigned> cpus;
  PerPort<PortPlan> plans;
  std::shared_ptr<Eal> eal;
  const RssWord rss_word;
  IndexKey index_key{};
  Pool pools[4];  // of either port, then those for super-frames
  StartedOffload offload;
  PortSet ports;
  std::optional<RssOwner> rss_owner;
  Clock clock;
  HandOver hand_over;
  KnownSources sources;
  std::vector<std::unique_ptr<SourceLimits>> limits;  // take memory as they are used
  ServerPlaces places{random_key()};
  std::vector<std::unique_ptr<Worker>> workers;
  Found resumed;
  std::uint64_t resting_buffers = 0;  // in the receive rings of the devices
  bool running = false;
  bool warned_of_bad = false;
  std::uint64_t bad_before = 0;  // at the last look
  std::uint64_t received_before = 0;
  ShedNotice shed_notice;
};

Dataplane::Impl::Impl(const Config& config, const ProtectSet& protect, const KeyRing& keys,
                      FlowStore* store, const Predecessor* predecessor, const StoreIdentity* former)
    : tuning(config.tuning()),
      cpus(worker_cpus(config)),
      plans{{plan_client(config, static_cast<unsigned>(cpus.size())),
             plan_port(config.server_port, PortId::kServer, static_cast<unsigned>(cpus.size()))}},
      eal(Eal::acquire(eal_request(config, plans[0], plans[1], predecessor != nullptr))),
      rss_word(word_for(former)),
      pools{Pool("synproxy_client", plans[0].pool), Pool("synproxy_server", plans[1].pool),
            Pool("synproxy_client_super", plans[0].super_pool),
            Pool("synproxy_server_super", plans[1].super_pool)},
      ports(plans, rss_word, protect,
            {pools[0].get(), pools[1].get(), pools[2].get(), pools[3].get()}, *eal, predecessor),
      rss_owner(agree_on_owner(ports[PortId::kClient].spread(), ports[PortId::kServer].spread(),
                               static_cast<unsigned>(cpus.size()), rss_word)),
      clock(clock_for(config.engine.shape, former)),
      hand_over(static_cast<unsigned>(cpus.size())) {
  offload = start_offload(config.flow_offload, plans, ports);
  WorkerRequest request;
  if (offload.on()) request.offload = offload.programs->table();
  request.workers = static_cast<unsigned>(cpus.size());
  for (const PortId id : kAllPorts) request.ports[id] = &ports[id];
  request.engine = share_of(config.engine.shape, request.workers);
  request.rss = rss_owner ? &*rss_owner : nullptr;
  request.sources = &sources;
  const auto writers =
      request.workers == 1 ? SourceLimits::Writers::kOne : SourceLimits::Writers::kSeveral;
  for (std::size_t i = 0; i < 1 + config.services.size(); ++i) {
    limits.push_back(
        std::make_unique<SourceLimits>(config.engine.shape.limit_memory, random_key(), writers));
    request.limits.push_back(limits.back().get());
  }
  request.places = &places;
  request.shared_memory = eal->shares_memory();
  if (former != nullptr) {
    index_key = former->index_key;
  } else {
    fill_randomly(index_key);
  }
  fill_randomly(request.shed_key);
  if (store != nullptr) settle(*store);
  request.index_key = index_key;
  // Wall time goes on from what control noted at this process's start, whatever the clock reads.
  request.engine.unix_ms_at_start -=
      Clock(config.engine.shape.unix_ms_at_start).zero_ms() - clock.zero_ms();
  try {
    for (unsigned w = 0; w < request.workers; ++w) {
      request.number = w;
      request.cpu = cpus[w];
      if (store != nullptr) request.store = store->region(w);
      workers.push_back(std::make_unique<Worker>(request, tuning, protect, keys, hand_over, clock));
    }
  } catch (const std::bad_alloc&) {
    throw RuntimeFailure(no_memory_for(config.engine.shape));
  }
  resting_buffers = buffers_out();
  if (!found(store)) return;
  for (const auto& w : workers) {
    const Found of_worker = w->resume();
    resumed.kept += of_worker.kept;
    resumed.dropped += of_worker.dropped;
  }
}

// Goes on with what is found, or begins it with our keys.
void Dataplane::Impl::settle(FlowStore& store) const {
  if (store.found()) {
    if (store.identity().rss_word == rss_word && store.identity().owner == owner()) return;
    store.forget("was spread over the workers in another way");
  }
  store.begin(identity());
}

std::uint64_t Dataplane::Impl::buffers_out() const {
  std::uint64_t out = 0;
  for (const Pool& pool : pools) out += pool.in_use();
  return out;
}

// For ports that cannot tell a missing checksum from a bad one. Warns once.
void Dataplane::Impl::warn_of_bad_checksums(std::vector<std::string>& lines) {
  constexpr std::uint64_t kFew = 16;  // a few damaged packets on an idle link prove nothing
  if (warned_of_bad) return;
  std::uint64_t bad = 0;
  std::uint64_t received = 0;
  for (const auto& w : workers) {
    bad += w->counters().get(Reason::bad_checksum);
    received += w->io().rx_packets[0].get() + w->io().rx_packets[1].get();
  }
  const std::uint64_t new_bad = bad - bad_before;
  const std::uint64_t new_received = received - received_before;
  bad_before = bad;
  received_before = received;
  if (new_bad < kFew || new_bad * 2 < new_received) return;
  warned_of_bad = true;
  lines.emplace_back(
      "most packets arrive with a bad checksum: if a port's other end is a virtual interface, it "
      "leaves them to a network card that is not there; run 'ethtool -K DEV tx off' on it");
}

void Dataplane::Impl::free_lists() {
  if (!lists.keeps_old()) return;
  auto all_have = ~Published<WorkerTuning>::Version{0};
  for (const auto& w : workers) all_have = std::min(all_have, w->heeded());
  lists.free_before(all_have);
}

void Dataplane::Impl::tell_of_shedding(std::vector<std::string>& lines) {
  std::uint64_t shed = 0;
  for (const auto& w : workers) shed += w->counters().get(Reason::syn_shed);
  if (auto line = shed_notice.look(shed)) lines.push_back(std::move(*line));
}

Dataplane::Dataplane(const Config& config, const ProtectSet& protect, const KeyRing& keys,
                     FlowStore* store, const Predecessor* predecessor)
    : impl_(std::make_unique<Impl>(config, protect, keys, store, predecessor,
                                   former(store, predecessor))) {}

Dataplane::~Dataplane() { stop(); }

void Dataplane::forget_received(PortId id) { impl_->ports.forget_received(id); }
void Dataplane::forget_copies() { impl_->ports.forget_copies(); }
bool Dataplane::all_open() const { return impl_->ports.all_open(); }
bool Dataplane::opens_without_rights() const { return impl_->ports.opens_without_rights(); }
bool Dataplane::loads_programs() const { return impl_->ports.loads_programs(); }
std::vector<int> Dataplane::files(PortId id) const { return impl_->ports[id].files(); }
bool Dataplane::shares() const { return impl_->ports.shares(); }
void Dataplane::open_beside() { impl_->ports.open_beside(); }
void Dataplane::close_alone() { impl_->ports.close_alone(); }
bool Dataplane::has_link(PortId id) const { return impl_->ports[id].has_link(); }

void Dataplane::open_all() {
  impl_->ports.open_all();
  impl_->resting_buffers = impl_->buffers_out();
}

void Dataplane::start() {
  if (impl_->running) return;
  impl_->running = true;
  for (const auto& w : impl_->workers) w->start();
}

void Dataplane::retune(const WorkerTuning& tuning, std::unique_ptr<const SourceLists> lists) {
  WorkerTuning next = tuning;
  next.lists = lists != nullptr ? lists.get() : impl_->lists.current();
  const auto version = impl_->tuning.publish(next);
  if (lists != nullptr) impl_->lists.replace(std::move(lists), version);
  impl_->free_lists();
}

const SourceLists& Dataplane::lists() const { return *impl_->lists.current(); }

void Dataplane::stop() {
  if (!impl_->running) return;
  for (const auto& w : impl_->workers) w->stop();
  impl_->hand_over.drain();
  impl_->running = false;
}

StoreIdentity Dataplane::identity() const { return impl_->identity(); }

std::vector<Engine*> Dataplane::engines() {
  std::vector<Engine*> all;
  for (const auto& w : impl_->workers) all.push_back(&w->engine());
  return all;
}

unsigned Dataplane::owner_of(const FlowKey& key) const {
  if (impl_->rss_owner) return impl_->rss_owner->of(fold_of(key));
  return worker_of(index_hash(impl_->index_key, key), workers());
}

std::uint64_t Dataplane::now_ms() const { return impl_->clock.now_ms(); }
void Dataplane::renamed(const std::string& name) { impl_->eal->renamed(name); }

std::vector<std::string> Dataplane::supervise() {
  std::vector<std::string> lines = impl_->ports.supervise();
  impl_->free_lists();
  impl_->warn_of_bad_checksums(lines);
  impl_->tell_of_shedding(lines);
  return lines;
}

unsigned Dataplane::workers() const { return static_cast<unsigned>(impl_->workers.size()); }
unsigned Dataplane::cpu_of(unsigned worker) const { return impl_->workers[worker]->cpu(); }
const Counters& Dataplane::counters(unsigned worker) const {
  return impl_->workers[worker]->counters();
}
const IoCounters& Dataplane::io(unsigned worker) const { return impl_->workers[worker]->io(); }

PortStatus Dataplane::port(PortId id) const {
  PortStatus status = impl_->ports[id].status();
  status.rss_owner = impl_->rss_owner.has_value();
  return status;
}

std::uint64_t Dataplane::cycles_per_second() const { return rte_get_tsc_hz(); }
std::uint64_t Dataplane::cycles() const { return rte_get_tsc_cycles(); }

std::uint64_t Dataplane::mbufs_in_use() const {
  const std::uint64_t out = impl_->buffers_out();
  return out > impl_->resting_buffers ? out - impl_->resting_buffers : 0;
}

std::uint64_t Dataplane::mbufs_total() const {
  std::uint64_t all = 0;
  for (const Pool& pool : impl_->pools) all += pool.size();
  return all;
}

std::vector<RefusedSource> Dataplane::refused() const {
  std::vector<RefusedSource> all;
  for (const auto& w : impl_->workers) {
    RefusedList list;
    auto seen = Published<RefusedList>::kNone;
    static_cast<void>(w->refused().news(seen, list));
    for (const RefusedSource& source : list.all()) {
      const auto known = std::ranges::find_if(all, [&](auto& a) { return a.same(source); });
      known == all.end() ? all.push_back(source) : void(known->count += source.count);
    }
  }
  std::ranges::sort(all, std::greater{}, &RefusedSource::count);
  all.resize(std::min(all.size(), RefusedList::kMost));
  return all;
}

std::vector<ActiveService> Dataplane::active_services() const {
  std::vector<ActiveService> all;
  for (const auto& w : impl_->workers) {
    ActiveList list;
    auto seen = Published<ActiveList>::kNone;
    while (!w->active_services().news(seen, list)) {
      // The worker is writing it, which takes no time.
    }
    all.insert(all.end(), list.all().begin(), list.all().end());
  }
  return all;
}

FlowMail& Dataplane::flow_mail(unsigned worker) { return impl_->workers[worker]->flow_mail(); }
CaptureTap& Dataplane::capture_tap(unsigned worker) {
  return impl_->workers[worker]->capture_tap();
}
const std::filesystem::path& Dataplane::directory() const { return impl_->eal->directory(); }
Found Dataplane::resumed() const { return impl_->resumed; }

const std::string& Dataplane::offload_note() const { return impl_->offload.note; }
const std::string& Dataplane::memory_note() const { return impl_->eal->memory_note(); }

}  // namespace synproxy::dataplane
