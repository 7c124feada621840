// SPDX-License-Identifier: BSD-3-Clause
// The XDP program that gives what arrives by a queue of an interface to the AF_XDP socket of that
// queue. What arrives by a queue without a socket goes on to the kernel.
//
// libbpf makes the system calls and nothing else: libxdp would attach its dispatcher, which
// outlives a process that is killed. This program hangs on a BPF link. It is taken off the
// interface when the last descriptor of the link is closed, however its process ends, and nobody
// can replace it before.
#pragma once

#include <cstdint>

#include "base/descriptor.h"

namespace synproxy::dataplane {

struct XdpProgram {
  Descriptor sockets;  // a map: the number of a queue to its socket
  Descriptor link;
  bool generic = false;  // the driver knows no XDP: the kernel runs it above the driver
};

// Throws std::system_error: EBUSY or EEXIST where the interface has a program already.
[[nodiscard]] XdpProgram attach_xdp_program(int interface_index, std::uint32_t queues);
// From now on that queue's frames are the socket's. Throws std::system_error.
void direct_queue(const XdpProgram& program, std::uint32_t queue, int socket);

}  // namespace synproxy::dataplane
