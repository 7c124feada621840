// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/xdp_program.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>

namespace synproxy::dataplane {
namespace {

Descriptor checked(int fd, const char* what) {
  if (fd < 0) throw std::system_error(-fd, std::generic_category(), what);
  return Descriptor(fd);
}

// return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
std::array<bpf_insn, 6> instructions(int sockets) {
  const auto insn = [](int code, unsigned to, unsigned from, std::size_t offset, int value) {
    bpf_insn i{};
    i.code = static_cast<__u8>(code);
    i.dst_reg = static_cast<__u8>(to & 15U);
    i.src_reg = static_cast<__u8>(from & 15U);
    i.off = static_cast<__s16>(offset);
    i.imm = value;
    return i;
  };
  return {
      insn(BPF_LDX | BPF_W | BPF_MEM, BPF_REG_2, BPF_REG_1, offsetof(xdp_md, rx_queue_index), 0),
      insn(BPF_LD | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, sockets),
      insn(0, 0, 0, 0, 0),  // second half of the one before
      insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, XDP_PASS),
      insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
      insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)};
}

int link_program(int program, int interface_index, __u32 mode) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode);
  return ::bpf_link_create(program, interface_index, BPF_XDP, &options);
}

}  // namespace

XdpProgram attach_xdp_program(int interface_index, std::uint32_t queues) {
  XdpProgram all;
  all.sockets = checked(::bpf_map_create(BPF_MAP_TYPE_XSKMAP, "synproxy", sizeof(__u32),
                                         sizeof(__u32), queues, nullptr),
                        "a map of AF_XDP sockets");
  const auto code = instructions(all.sockets.get());
  const Descriptor program = checked(::bpf_prog_load(BPF_PROG_TYPE_XDP, "synproxy", "Dual BSD/GPL",
                                                     code.data(), code.size(), nullptr),
                                     "an XDP program");
  int link = link_program(program.get(), interface_index, XDP_FLAGS_DRV_MODE);
  if (link < 0 && link != -EBUSY && link != -EEXIST && link != -EPERM) {
    link = link_program(program.get(), interface_index, XDP_FLAGS_SKB_MODE);
    all.generic = true;
  }
  all.link = checked(link, "attaching the XDP program");
  return all;
}

void direct_queue(const XdpProgram& program, std::uint32_t queue, int socket) {
  const int error = ::bpf_map_update_elem(program.sockets.get(), &queue, &socket, BPF_ANY);
  if (error != 0) throw std::system_error(-error, std::generic_category(), "a queue's socket");
}

}  // namespace synproxy::dataplane
