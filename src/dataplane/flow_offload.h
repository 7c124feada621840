// SPDX-License-Identifier: BSD-3-Clause
// Lets the kernel carry connections between two Linux interfaces: loads the programs that do it
// (bpf/flow_offload.bpf.c), gives the engines the table that they share with them
// (synproxy/proxy/offload_slot.h), and hangs them on the interfaces.
//
// Why: a super-frame that passes this process is copied twice, out of the kernel and into it again.
// The kernel itself hands it on without a copy. Which connections, and which of their segments, the
// engines decide.
//
// Programs hang on BPF links at the ingress (tcx, Linux 6.6): they go with the process, however it
// ends. An interface that is deleted takes its link along; nothing is carried from then on.
//
// table() is for engines; all else is for control's thread.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/descriptor.h"
#include "synproxy/base/packet.h"
#include "synproxy/proxy/offload_table.h"

struct bpf_object;

namespace synproxy::dataplane {

class FlowOffload {
 public:
  // Throws std::system_error: EPERM without CAP_BPF and CAP_NET_ADMIN.
  FlowOffload();
  ~FlowOffload();
  FlowOffload(const FlowOffload&) = delete;
  FlowOffload& operator=(const FlowOffload&) = delete;

  [[nodiscard]] OffloadTable table() const;

  // `socket` receives the frames that `sender` sends by this interface; of what the kernel does not
  // carry it gets what passes `rest` (empty: everything). Throws std::system_error: EINVAL where
  // the kernel has no tcx.
  void attach(Role sender, int interface_index, int socket, std::span<const sock_filter> rest);
  // Both are attached.
  void begin();
  // The kernel carries nothing any more.
  void end();
  [[nodiscard]] bool on() const;
  // Whether a program of somebody else has taken a frame of `sender` that was to be carried. From
  // then on nothing is.
  [[nodiscard]] bool lost(Role sender) const;
  void set_mtu(Role to, std::uint32_t mtu);

 private:
  [[nodiscard]] int program(const char* name) const;
  [[nodiscard]] void* map_memory(const char* name, std::size_t bytes);

  struct Close {
    void operator()(bpf_object* object) const;
  };
  std::unique_ptr<bpf_object, Close> object_;
  OffloadSlot* slots_ = nullptr;
  OffloadShared* shared_ = nullptr;
  Descriptor links_[2];  // NOLINT(modernize-avoid-c-arrays): by sender
};

}  // namespace synproxy::dataplane
