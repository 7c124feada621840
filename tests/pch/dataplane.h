// SPDX-License-Identifier: BSD-3-Clause
// Precompiled for the tests that start EAL. Each test includes what it needs all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>
