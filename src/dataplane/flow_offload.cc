// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow_offload.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <vector>

#include "dataplane/classic_filter.h"
#include "dataplane/super_frame.h"
#include "flow_offload_object.h"

namespace synproxy::dataplane {
namespace {

// BPF_TCX_INGRESS and BPF_F_BEFORE, which headers before Linux 6.6 do not have.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr __u32 kBefore = 1U << 3;

static_assert(OFFLOAD_LEAST_SEGMENT == kLeastSegment);

constexpr std::size_t kSlotsBytes = sizeof(OffloadSlot) * OFFLOAD_SLOTS;
constexpr std::size_t kSharedBytes = sizeof(OffloadShared);

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

int place(Role role) { return static_cast<int>(role); }  // offloads.cc asserts it

template <typename T>
void store(T& shared, T value) {
  std::atomic_ref<T>(shared).store(value, std::memory_order_release);
}

}  // namespace

void FlowOffload::Close::operator()(bpf_object* object) const { ::bpf_object__close(object); }

FlowOffload::FlowOffload() {
  // No line of a library reaches the user.
  ::libbpf_set_print(nullptr);
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "synproxy");
  object_.reset(
      ::bpf_object__open_mem(kFlowOffloadObject.data(), kFlowOffloadObject.size(), &options));
  if (!object_) fail(errno, "the program for the kernel");
  if (const int error = ::bpf_object__load(object_.get()); error != 0) {
    fail(-error, "loading the program into the kernel");
  }
  slots_ = static_cast<OffloadSlot*>(map_memory("slots", kSlotsBytes));
  shared_ = static_cast<OffloadShared*>(map_memory("shared", kSharedBytes));
  if (::getrandom(&shared_->seed, sizeof shared_->seed, 0) != sizeof shared_->seed) {
    fail(EIO, "random bytes");
  }
}

FlowOffload::~FlowOffload() {
  if (shared_ != nullptr) {
    end();
    ::munmap(shared_, whole_pages(kSharedBytes));
  }
  if (slots_ != nullptr) ::munmap(slots_, whole_pages(kSlotsBytes));
}

void* FlowOffload::map_memory(const char* name, std::size_t bytes) {
  const int map = ::bpf_object__find_map_fd_by_name(object_.get(), name);
  if (map < 0) fail(-map, name);
  void* const memory =
      ::mmap(nullptr, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  if (memory == MAP_FAILED) fail(errno, "mmap");
  return memory;
}

int FlowOffload::program(const char* name) const {
  const bpf_program* const p = ::bpf_object__find_program_by_name(object_.get(), name);
  if (p == nullptr) fail(ENOENT, name);
  return ::bpf_program__fd(p);
}

OffloadTable FlowOffload::table() const { return {{slots_, OFFLOAD_SLOTS}, shared_}; }

void FlowOffload::attach(Role sender, int interface_index, int socket,
                         std::span<const sock_filter> rest) {
  const bool client = sender == Role::kClient;
  const int which = place(sender);
  if (!rest.empty()) {
    const std::vector<bpf_insn> code = extended(rest);
    const int filter = ::bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "synproxy_rest", "Dual BSD/GPL",
                                       code.data(), code.size(), nullptr);
    if (filter < 0) fail(-filter, "loading the filter of other frames");
    const Descriptor kept_by_the_map(filter);
    const int map = ::bpf_object__find_map_fd_by_name(object_.get(), "rest");
    const int error = ::bpf_map_update_elem(map, &which, &filter, BPF_ANY);
    if (error != 0) fail(-error, "the filter of other frames");
  }
  // In front of all others: the socket, too, gets its frames before any of them.
  LIBBPF_OPTS(bpf_link_create_opts, first, .flags = kBefore);
  const int link = ::bpf_link_create(program(client ? "client_carry" : "server_carry"),
                                     interface_index, kTcxIngress, &first);
  if (link < 0) fail(-link, "tcx");
  links_[which] = Descriptor(link);
  const int filter = program(client ? "client_filter" : "server_filter");
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof filter) != 0) {
    fail(errno, "SO_ATTACH_BPF");
  }
  store(shared_->interface[which], static_cast<std::uint32_t>(interface_index));
}

void FlowOffload::begin() { store(shared_->on, 1U); }
void FlowOffload::end() { store(shared_->on, 0U); }
bool FlowOffload::on() const {
  return std::atomic_ref<std::uint32_t>(shared_->on).load(std::memory_order_relaxed) != 0;
}
bool FlowOffload::lost(Role sender) const {
  return std::atomic_ref<std::uint32_t>(shared_->lost[place(sender)])
             .load(std::memory_order_relaxed) != 0;
}
void FlowOffload::set_mtu(Role to, std::uint32_t mtu) { store(shared_->mtu[place(to)], mtu); }

}  // namespace synproxy::dataplane
