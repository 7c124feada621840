// SPDX-License-Identifier: BSD-3-Clause
// The CPU's vector instructions. Empty on other architectures than x86-64.
#pragma once

#if defined(__x86_64__)
// g++ 12 warns about the deliberately undefined operand inside its own intrinsics.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif
