/* SPDX-License-Identifier: BSD-3-Clause */
/* What lwIP wants to know of its platform. */
#ifndef SYNPROXY_TEST_LWIP_CC_H
#define SYNPROXY_TEST_LWIP_CC_H

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#define LWIP_PLATFORM_DIAG(x) \
  do {                        \
    printf x;                 \
  } while (0)
#define LWIP_PLATFORM_ASSERT(x)                                    \
  do {                                                             \
    fprintf(stderr, "lwIP: %s, %s:%d\n", (x), __FILE__, __LINE__); \
    abort();                                                       \
  } while (0)
/* Nothing may depend on chance: a seed replays alone. */
#define LWIP_RAND() 4U

#endif
