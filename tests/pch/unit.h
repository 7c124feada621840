// SPDX-License-Identifier: BSD-3-Clause
// Precompiled for the unit tests. Each test includes what it needs all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>
