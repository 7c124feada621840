// SPDX-License-Identifier: BSD-3-Clause
#include "fake_dataplane.h"

#include <memory>
#include <utility>

#include "base/errors.h"

namespace synproxy::dataplane {
namespace {

std::unique_ptr<FakeState>& state() {
  static std::unique_ptr<FakeState> instance;
  return instance;
}

}  // namespace

FakeState& fake_state() { return *state(); }

struct Dataplane::Impl {
  std::filesystem::path directory = std::filesystem::temp_directory_path();
  std::string note;
};

Dataplane::Dataplane(const Config&, const ProtectSet&, const KeyRing&, FlowStore*,
                     const Predecessor*)
    : impl_(std::make_unique<Impl>()) {
  state() = std::make_unique<FakeState>();
}
Dataplane::~Dataplane() = default;
void Dataplane::start() { ++fake_state().starts; }
void Dataplane::stop() { ++fake_state().stops; }
StoreIdentity Dataplane::identity() const { return {}; }
bool Dataplane::has_link(PortId id) const { return id == PortId::kClient; }
std::vector<int> Dataplane::files(PortId id) const { return fake_state().files[id]; }
void Dataplane::close_alone() { fake_state().ports = "closed"; }
void Dataplane::open_all() {
  if (!fake_state().no_port.empty()) throw RuntimeFailure(fake_state().no_port);
  fake_state().ports = "open";
}
std::vector<Engine*> Dataplane::engines() { return {}; }
void Dataplane::retune(const WorkerTuning& tuning, std::unique_ptr<const SourceLists> lists) {
  fake_state().retuned.push_back(tuning);
  if (lists != nullptr) fake_state().lists = std::move(lists);
}
const SourceLists& Dataplane::lists() const { return *fake_state().lists; }
std::vector<std::string> Dataplane::supervise() {
  ++fake_state().supervised;
  return std::exchange(fake_state().lines, {});
}
std::vector<ActiveService> Dataplane::active_services() const { return fake_state().active; }
std::vector<RefusedSource> Dataplane::refused() const { return fake_state().refused; }
unsigned Dataplane::workers() const { return 2; }
unsigned Dataplane::cpu_of(unsigned worker) const { return worker == 0 ? 1 : 4; }
const Counters& Dataplane::counters(unsigned worker) const {
  return fake_state().counters.at(worker);
}
const IoCounters& Dataplane::io(unsigned worker) const { return fake_state().io.at(worker); }
PortStatus Dataplane::port(PortId id) const {
  return {.name = id == PortId::kClient ? "eth1" : std::string(300, 'x'),
          .link_up = id == PortId::kClient,
          .rx_missed = 11,
          .rx_oversize = 12,
          .link_changes = 13,
          .driver = "net_fake",
          .rx_queues = 4,
          .syn_queues = 3,
          .tx_queues = 2,
          .rss = true,
          .rss_owner = true,
          .rx_checksum = true,
          .mtu = 9000};
}
std::uint64_t Dataplane::cycles_per_second() const { return 2'000'000'000; }
std::uint64_t Dataplane::mbufs_in_use() const { return 21; }
std::uint64_t Dataplane::mbufs_total() const { return 1024; }
std::uint64_t Dataplane::cycles() const { return 0; }
CaptureTap& Dataplane::capture_tap(unsigned worker) { return fake_state().taps.at(worker); }
FlowMail& Dataplane::flow_mail(unsigned worker) { return fake_state().mail.at(worker); }
const std::filesystem::path& Dataplane::directory() const { return impl_->directory; }
const std::string& Dataplane::memory_note() const { return impl_->note; }

}  // namespace synproxy::dataplane
