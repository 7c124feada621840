// SPDX-License-Identifier: BSD-3-Clause
// A classic socket filter as a program that other programs can go on with
// (BPF_MAP_TYPE_PROG_ARRAY), which classic ones cannot be.
#pragma once

#include <linux/bpf.h>
#include <linux/filter.h>

#include <span>
#include <vector>

namespace synproxy::dataplane {

// For the instructions that syn_filter.cc uses. Throws std::invalid_argument for others.
[[nodiscard]] std::vector<bpf_insn> extended(std::span<const sock_filter> classic);

}  // namespace synproxy::dataplane
