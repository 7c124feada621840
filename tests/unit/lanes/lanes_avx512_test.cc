// SPDX-License-Identifier: BSD-3-Clause
#include "core/lanes/avx512.h"

#define LANES_TEST_NAME LanesAvx512
#define LANES_TEST_VECTORS kAvx512
#include "lanes_checks.h"
