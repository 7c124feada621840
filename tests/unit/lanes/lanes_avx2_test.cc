// SPDX-License-Identifier: BSD-3-Clause
#include "core/lanes/avx2.h"

#define LANES_TEST_NAME LanesAvx2
#define LANES_TEST_VECTORS kAvx2
#include "lanes_checks.h"
