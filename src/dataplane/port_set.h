// SPDX-License-Identifier: BSD-3-Clause
// Both ports of a process, and in which order they are opened where another process has them.
//
// Theory of operation. The workers of a process that takes over are made while its predecessor
// still has the ports, so the ports exist before they are open:
//
//   made            a Linux interface, of which both get every frame, is open already
//   open_beside()   just before the predecessor stops: a TAP, where a frame goes to one of both
//   open_all()      the predecessor has called close_alone(). Where it has handed over the files of
//                   a port (Port::files()), nothing has to be made any more then
//
// How many queues a NIC has is known only when it is open. So the predecessor stops before such
// ports are made, and they are open at once.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/port_factory.h"

namespace synproxy::dataplane {

class PortSet {
 public:
  // Of either port, then those for super-frames.
  using Pools = std::array<rte_mempool*, 4>;

  // `predecessor`: it has the ports. All references outlive the set. Throws UsageError or
  // RuntimeFailure, as open_...() do.
  PortSet(const PerPort<PortPlan>& plans, RssWord rss_word, const ProtectSet& protect,
          const Pools& pools, Eal& eal, const Predecessor* predecessor);

  [[nodiscard]] Port& operator[](PortId id) const { return *ports_[id]; }

  [[nodiscard]] bool all_open() const { return all_open_; }
  // open_all() needs no capability any more; the same for open_beside().
  [[nodiscard]] bool opens_without_rights() const;
  // A later open_all() makes bpf(2) calls.
  [[nodiscard]] bool loads_programs() const;
  // A TAP is open beside the predecessor: closing it would take it down for both.
  [[nodiscard]] bool shares() const;
  void open_beside();
  void open_all();
  // Gives up what only one process can have.
  void close_alone();

  // Frees what has arrived so far by that port; by the ports whose frames the predecessor has got
  // too.
  void forget_received(PortId id) const;
  void forget_copies() const;

  [[nodiscard]] std::vector<std::string> supervise() const;

 private:
  const PerPort<PortPlan>& plans_;
  PerPort<std::unique_ptr<Port>> ports_;
  bool all_open_;
};

}  // namespace synproxy::dataplane
