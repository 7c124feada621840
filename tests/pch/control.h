// SPDX-License-Identifier: BSD-3-Clause
// Precompiled for the tests of the control part. Each test includes what it needs all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
