// SPDX-License-Identifier: BSD-3-Clause
// Precompiled for the scenario tests. Each test includes what it needs all the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "support/session.h"
