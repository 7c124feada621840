// SPDX-License-Identifier: BSD-3-Clause
// Precompiled for the core: reading these takes longer than compiling most of its files. A file
// includes what it needs all the same.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>
