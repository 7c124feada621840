// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/classic_filter.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>

namespace synproxy::dataplane {
namespace {

// The machine of a classic filter: the accumulator, the index register, and the packet, where loads
// from it look for it. A load from the packet puts its result into R0 and spoils R1 to R5.
constexpr unsigned kA = BPF_REG_0;
constexpr unsigned kContext = BPF_REG_6;
constexpr unsigned kX = BPF_REG_7;
constexpr unsigned kSaved = BPF_REG_8;

class Translation {
 public:
  explicit Translation(std::span<const sock_filter> classic) : classic_(classic) {}

  std::vector<bpf_insn> run() {
    put(BPF_ALU64 | BPF_MOV | BPF_X, kContext, BPF_REG_1);
    put(BPF_ALU64 | BPF_MOV | BPF_K, kA);
    put(BPF_ALU64 | BPF_MOV | BPF_K, kX);
    for (std::size_t i = 0; i < classic_.size(); ++i) {
      starts_.push_back(code_.size());
      translate(i);
    }
    for (const Jump& jump : jumps_) {
      if (jump.to >= starts_.size()) throw std::invalid_argument("a jump out of the filter");
      const std::size_t distance = starts_[jump.to] - jump.from - 1;
      if (distance > std::size_t{std::numeric_limits<std::int16_t>::max()}) {
        throw std::invalid_argument("a jump of the filter is too long");
      }
      code_[jump.from].off = static_cast<__s16>(distance);
    }
    return std::move(code_);
  }

 private:
  struct Jump {
    std::size_t from;
    std::size_t to;
  };

  void put(unsigned code, unsigned to = 0, unsigned from = 0, std::uint32_t k = 0,
           std::size_t offset = 0) {
    bpf_insn i{};
    i.code = static_cast<__u8>(code);
    i.dst_reg = static_cast<__u8>(to & 15U);
    i.src_reg = static_cast<__u8>(from & 15U);
    i.off = static_cast<__s16>(offset);
    i.imm = static_cast<__s32>(k);
    code_.push_back(i);
  }
  void put_jump(unsigned code, std::uint32_t k, std::size_t to) {
    jumps_.push_back({code_.size(), to});
    // 32-bit comparisons: a 64-bit one would extend the sign of `k`.
    put(code, code == (BPF_JMP | BPF_JA) ? 0 : kA,
        BPF_SRC(code) == BPF_X && code != (BPF_JMP | BPF_JA) ? kX : 0, k);
  }

  void translate(std::size_t at) {
    const sock_filter& f = classic_[at];
    switch (BPF_CLASS(f.code)) {
      case BPF_LD:
        return load(f);
      case BPF_LDX:
        if (f.code != (BPF_LDX | BPF_B | BPF_MSH)) break;
        put(BPF_ALU64 | BPF_MOV | BPF_X, kSaved, kA);
        put(BPF_LD | BPF_B | BPF_ABS, 0, 0, f.k);
        put(BPF_ALU | BPF_AND | BPF_K, kA, 0, 15);
        put(BPF_ALU | BPF_LSH | BPF_K, kA, 0, 2);
        put(BPF_ALU64 | BPF_MOV | BPF_X, kX, kA);
        return put(BPF_ALU64 | BPF_MOV | BPF_X, kA, kSaved);
      case BPF_ALU:
        return put(f.code, kA, BPF_SRC(f.code) == BPF_X ? kX : 0,
                   BPF_SRC(f.code) == BPF_X ? 0 : f.k);
      case BPF_JMP:
        if (f.code == (BPF_JMP | BPF_JA)) return put_jump(f.code, 0, at + 1 + f.k);
        put_jump(BPF_JMP32 | BPF_OP(f.code) | BPF_SRC(f.code), BPF_SRC(f.code) == BPF_X ? 0 : f.k,
                 at + 1 + f.jt);
        if (f.jf != 0) put_jump(BPF_JMP | BPF_JA, 0, at + 1 + f.jf);
        return;
      case BPF_RET:
        if (f.code != (BPF_RET | BPF_K)) break;
        put(BPF_ALU | BPF_MOV | BPF_K, kA, 0, f.k);
        return put(BPF_JMP | BPF_EXIT);
      case BPF_MISC:
        return BPF_MISCOP(f.code) == BPF_TAX ? put(BPF_ALU64 | BPF_MOV | BPF_X, kX, kA)
                                             : put(BPF_ALU64 | BPF_MOV | BPF_X, kA, kX);
      default:
        break;
    }
    throw std::invalid_argument("an instruction that has no translation");
  }

  void load(const sock_filter& f) {
    switch (BPF_MODE(f.code)) {
      case BPF_ABS:
        return put(f.code, 0, 0, f.k);
      case BPF_IND:
        return put(f.code, 0, kX, f.k);
      case BPF_LEN:
        return put(BPF_LDX | BPF_W | BPF_MEM, kA, kContext, 0, offsetof(__sk_buff, len));
      case BPF_IMM:
        return put(BPF_ALU | BPF_MOV | BPF_K, kA, 0, f.k);
      default:
        throw std::invalid_argument("a load that has no translation");
    }
  }

  std::span<const sock_filter> classic_;
  std::vector<bpf_insn> code_;
  std::vector<std::size_t> starts_;  // of what each classic instruction became
  std::vector<Jump> jumps_;
};

}  // namespace

std::vector<bpf_insn> extended(std::span<const sock_filter> classic) {
  return Translation(classic).run();
}

}  // namespace synproxy::dataplane
