// SPDX-License-Identifier: BSD-3-Clause
// --server-port host: the server is this host itself.
//
// Theory of operation. The host's kernel gets another interface in place of the NIC, its *end*: one
// side of a veth pair, with the NIC's MAC address, addresses, routes and neighbours. The other
// side, the *wire*, is the proxy's server port, a Linux interface like any other. What arrives at
// the NIC comes to the proxy by its packet socket, and goes on to the end; the kernel itself sees
// nothing of it (block_ingress), so that it cannot answer beside the proxy. What the kernel sends
// goes out by the end, through the proxy, and by the NIC.
//
//   HostEnd(...)    refuses what cannot work; puts back what a killed process has left; writes down
//                   what is there; makes the pair
//   take_over()     the ports are open: everything is put on the end beside what the NIC has, then
//                   taken from the NIC. No address is missing at any moment, so sockets notice
//                   nothing
//   give_back()     the same the other way round. The destructor does it too, so that no failure on
//                   the way of a start or of an end leaves the host without its addresses
//
// A process that takes over (--take-over) gets the file from its predecessor, which has it still:
// the kernel keeps one lock for both. So nobody else ever believes that the host was left behind.
// Until own() the predecessor answers for the host. If it has ended by then, this one does:
// it puts everything back as it ends.
//
// veth and not TAP: packet sockets have rings and send many frames in a call; a segment that waits
// still counts for its sender's socket; no device file is needed, which services in a sandbox do
// not have; and after a SIGKILL the host still has what was put on the end meanwhile.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "control/host_link.h"
#include "control/host_state.h"

namespace synproxy::control {

class HostEnd {
 public:
  // Throws UsageError or RuntimeFailure.
  explicit HostEnd(const Config& config,
                   const std::filesystem::path& directory = record_directory());
  // What the process `predecessor` has moved, which hands it over with that file.
  HostEnd(HostStateFile::Left handed, pid_t predecessor);
  ~HostEnd();
  HostEnd(const HostEnd&) = delete;
  HostEnd& operator=(const HostEnd&) = delete;

  [[nodiscard]] const std::string& wire() const { return state_.wire; }

  // `forget` is called before frames are kept from the kernel: what the ports hold then, the kernel
  // has had already. Throws RuntimeFailure.
  void take_over(const std::function<void()>& forget);
  void give_back();
  // The predecessor has handed over.
  void own() { predecessor_ = 0; }
  // Of the file, for a successor.
  [[nodiscard]] int descriptor() const { return file_ ? file_->descriptor() : -1; }

  // "203.0.113.10/24 moved from eth0 to syn-eth0".
  [[nodiscard]] std::string text() const;

 private:
  Rtnetlink net_;
  Link nic_;
  HostState state_;
  std::optional<HostStateFile> file_;
  bool moved_ = false;
  bool handed_ = false;
  pid_t predecessor_ = 0;  // answers for the host; 0: this process does
};

// Puts back what processes of this network namespace have left behind. Returns a line for each
// interface; throws RuntimeFailure where something stays away.
[[nodiscard]] std::vector<std::string> restore_left_behind(
    const std::filesystem::path& directory = record_directory());

// The names of both sides for an interface.
[[nodiscard]] std::string end_name(const std::string& interface);
[[nodiscard]] std::string wire_name(const std::string& interface);

// Throws UsageError, one line, for what cannot work.
void refuse_host_end(Rtnetlink& net, const Link& nic, const Addressing& addressing,
                     const std::filesystem::path& directory);

// Who else gives this interface its addresses, and how to stop that; empty: nobody who says so.
// `run`: where they write it down. For the interfaces of the machine, not of a namespace.
[[nodiscard]] std::string manager_of(int index, const std::string& interface,
                                     const std::filesystem::path& run = "/run");

}  // namespace synproxy::control
