// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/syn_filter.h"

#include <cstddef>
#include <stdexcept>

#include "synproxy/policy/syn_look.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/headers.h"

namespace synproxy::dataplane {
namespace {

constexpr std::uint32_t kTakeWhole = 0x40000;  // bytes: more than any frame has
constexpr std::uint32_t kIp = kEthernetHeader;

// Instructions whose jumps go forward to labels that are bound later. A conditional jump reaches
// 255 instructions: this class holds it to places nearby, and jump() goes further.
class Assembler {
 public:
  struct Label {
    std::vector<std::size_t> jumps;  // bit 31 of the index: the branch that is not taken
    std::vector<std::size_t> far;
  };

  void plain(unsigned code, std::uint32_t k = 0) {
    code_.push_back({static_cast<__u16>(code), 0, 0, k});
  }
  void load(unsigned size, unsigned mode, std::size_t at) {
    plain(BPF_LD | size | mode, static_cast<std::uint32_t>(at));
  }
  // Goes on behind it if the test holds, or else to `no`.
  void must(unsigned test, std::uint32_t k, Label& no) {
    no.jumps.push_back(code_.size());
    plain(BPF_JMP | test, k);
  }
  // Goes to `yes` if the test holds.
  void leave_if(unsigned test, std::uint32_t k, Label& yes) {
    yes.jumps.push_back(code_.size() | kTaken);
    plain(BPF_JMP | test, k);
  }
  void jump(Label& to) {
    to.far.push_back(code_.size());
    plain(BPF_JMP | BPF_JA);
  }
  void bind(const Label& label) {
    for (const std::size_t from : label.far) {
      code_[from].k = static_cast<__u32>(code_.size() - from - 1);
    }
    for (const std::size_t jump : label.jumps) {
      const std::size_t from = jump & ~kTaken;
      const std::size_t distance = code_.size() - from - 1;
      if (distance > 255) throw std::length_error("a jump of the SYN filter is too long");
      ((jump & kTaken) != 0 ? code_[from].jt : code_[from].jf) = static_cast<__u8>(distance);
    }
  }
  [[nodiscard]] SocketFilter take() { return std::move(code_); }

 private:
  static constexpr std::size_t kTaken = std::size_t{1} << 31;
  SocketFilter code_;
};

// Where the headers of a family stand. X holds the length of the IPv4 header, for kInd.
struct Family {
  bool ipv6;
  std::uint32_t destination;
  std::uint32_t port;
  unsigned port_mode;
};
constexpr Family kIpv4{false, kIp + ipv4_at::kDestination, kIp + tcp_at::kDestinationPort, BPF_IND};
constexpr Family kIpv6{true, kIp + ipv6_at::kDestination,
                       kIp + kIpv6Header + tcp_at::kDestinationPort, BPF_ABS};

// Goes to `no` unless the destination is in the rule.
void match(Assembler& code, const Family& family, const ProtectRule& rule, Assembler::Label& no) {
  unsigned bits = rule.prefix_length;
  for (std::size_t word = 0; bits != 0; ++word) {
    const unsigned here = bits < 32 ? bits : 32;
    code.load(BPF_W, BPF_ABS, family.destination + 4 * word);
    if (here < 32) code.plain(BPF_ALU | BPF_AND | BPF_K, ~(0xffffffffU >> here));
    code.must(BPF_JEQ, load_be<std::uint32_t>(&rule.address[4 * word]), no);
    bits -= here;
  }
  if (rule.whole_address()) return;
  code.load(BPF_H, family.port_mode, family.port);
  if (rule.first_port == rule.last_port) {
    code.must(BPF_JEQ, rule.first_port, no);
  } else {
    code.must(BPF_JGE, rule.first_port, no);
    code.leave_if(BPF_JGT, rule.last_port, no);
  }
}

// Goes to `syn` with a SYN to what is protected, to `other` with any other frame. `near`: a place
// like `other` within reach of short jumps.
void part(Assembler& code, std::span<const ProtectRule> protect, Assembler::Label& syn_ipv4,
          Assembler::Label& syn_ipv6, Assembler::Label& other) {
  Assembler::Label not_ipv4;
  Assembler::Label near;
  Assembler::Label rules_ipv4;
  Assembler::Label rules_ipv6;
  code.load(BPF_H, BPF_ABS, ether_at::kType);
  code.must(BPF_JEQ, kEtherTypeIpv4, not_ipv4);
  // A load behind the end of the frame would end the filter.
  code.load(BPF_W, BPF_LEN, 0);
  code.must(BPF_JGE, kIp + kIpv4Header + kTcpHeader, near);
  code.load(BPF_B, BPF_ABS, kIp + ipv4_at::kProtocol);
  code.must(BPF_JEQ, kProtocolTcp, near);
  code.load(BPF_H, BPF_ABS, kIp + ipv4_at::kFragment);
  code.leave_if(BPF_JSET, kFragmented, near);
  code.plain(BPF_LDX | BPF_B | BPF_MSH, kIp);
  code.plain(BPF_MISC | BPF_TXA);
  code.plain(BPF_ALU | BPF_ADD, kIp + kTcpHeader);
  code.plain(BPF_MISC | BPF_TAX);
  code.load(BPF_W, BPF_LEN, 0);
  code.must(BPF_JGE | BPF_X, 0, near);
  code.plain(BPF_LDX | BPF_B | BPF_MSH, kIp);
  code.load(BPF_B, BPF_IND, kIp + tcp_at::kFlags);
  code.plain(BPF_ALU | BPF_AND | BPF_K, synproxy::detail::kSynOrNot);
  code.must(BPF_JEQ, kSyn, near);
  code.jump(rules_ipv4);
  code.bind(not_ipv4);
  code.must(BPF_JEQ, kEtherTypeIpv6, near);
  code.load(BPF_W, BPF_LEN, 0);
  code.must(BPF_JGE, kIp + kIpv6Header + kTcpHeader, near);
  code.load(BPF_B, BPF_ABS, kIp + ipv6_at::kNextHeader);
  code.must(BPF_JEQ, kProtocolTcp, near);
  code.load(BPF_B, BPF_ABS, kIp + kIpv6Header + tcp_at::kFlags);
  code.plain(BPF_ALU | BPF_AND | BPF_K, synproxy::detail::kSynOrNot);
  code.must(BPF_JEQ, kSyn, near);
  code.jump(rules_ipv6);
  code.bind(near);
  code.jump(other);
  for (const Family& family : {kIpv4, kIpv6}) {
    code.bind(family.ipv6 ? rules_ipv6 : rules_ipv4);
    for (const ProtectRule& rule : protect) {
      if (rule.ipv6 != family.ipv6) continue;
      Assembler::Label next;
      match(code, family, rule, next);
      code.jump(family.ipv6 ? syn_ipv6 : syn_ipv4);
      code.bind(next);
    }
    code.jump(other);
  }
}

// A becomes the place of the source in it, and the filter's verdict follows.
void judge(Assembler& code, const SourceWindow& window) {
  if (window.share == SourceWindow::kWhole) {
    code.plain(BPF_RET | BPF_K, kTakeWhole);
    return;
  }
  for (const unsigned key : {1U, 2U}) {
    code.plain(BPF_MISC | BPF_TAX);
    code.plain(BPF_ALU | BPF_RSH | BPF_K, 15);
    code.plain(BPF_ALU | BPF_XOR | BPF_X);
    code.plain(BPF_ALU | BPF_MUL | BPF_K, window.key[key] | 1U);
  }
  code.plain(BPF_MISC | BPF_TAX);
  code.plain(BPF_ALU | BPF_RSH | BPF_K, 16);
  code.plain(BPF_ALU | BPF_XOR | BPF_X);
  code.plain(BPF_ALU | BPF_SUB | BPF_K, window.edge);
  Assembler::Label outside;
  code.leave_if(BPF_JGT, window.share, outside);
  code.plain(BPF_RET | BPF_K, kTakeWhole);
  code.bind(outside);
  code.plain(BPF_RET | BPF_K, 0);
}

void check(std::span<const ProtectRule> protect) {
  if (protect.size() > kMostFilterRules) throw std::length_error("too many rules for a SYN filter");
}

}  // namespace

SocketFilter syn_filter(std::span<const ProtectRule> protect, const SourceWindow& window) {
  check(protect);
  Assembler code;
  Assembler::Label syn_ipv4;
  Assembler::Label syn_ipv6;
  Assembler::Label other;
  part(code, protect, syn_ipv4, syn_ipv6, other);
  code.bind(syn_ipv4);
  code.load(BPF_W, BPF_ABS, kIp + ipv4_at::kSource);
  code.plain(BPF_ALU | BPF_XOR | BPF_K, window.key[0]);
  Assembler::Label place;
  code.jump(place);
  code.bind(syn_ipv6);
  // Each word goes through a product of its own, or sources could be chosen whose words cancel out.
  code.plain(BPF_LD | BPF_IMM, window.key[0]);
  for (std::size_t word = 0; word < 4; ++word) {
    code.plain(BPF_ALU | BPF_MUL | BPF_K, window.key[1] | 1U);
    code.plain(BPF_MISC | BPF_TAX);
    code.load(BPF_W, BPF_ABS, kIp + ipv6_at::kSource + 4 * word);
    code.plain(BPF_ALU | BPF_XOR | BPF_X);
    code.plain(BPF_MISC | BPF_TAX);
    code.plain(BPF_ALU | BPF_RSH | BPF_K, 13);
    code.plain(BPF_ALU | BPF_ADD | BPF_X);
  }
  code.bind(place);
  judge(code, window);
  code.bind(other);
  code.plain(BPF_RET | BPF_K, 0);
  return code.take();
}

SocketFilter all_but_syns_filter(std::span<const ProtectRule> protect) {
  check(protect);
  Assembler code;
  Assembler::Label syn;
  Assembler::Label other;
  part(code, protect, syn, syn, other);
  code.bind(syn);
  code.plain(BPF_RET | BPF_K, 0);
  code.bind(other);
  code.plain(BPF_RET | BPF_K, kTakeWhole);
  return code.take();
}

}  // namespace synproxy::dataplane
