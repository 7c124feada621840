/* SPDX-License-Identifier: BSD-3-Clause */
/* For headers that C and C++ read alike: the core is C++, the program in the kernel is C. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Begins a function that both have: no more than arithmetic over its arguments. */
#ifdef __cplusplus
#define SYNPROXY_RULE [[gnu::always_inline]] constexpr
#else
#define SYNPROXY_RULE static inline __attribute__((always_inline))
#endif
