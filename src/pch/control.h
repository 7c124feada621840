// SPDX-License-Identifier: BSD-3-Clause
// Precompiled for what stands beside a running dataplane: reading these takes longer than compiling
// most of its files. A file includes what it needs all the same.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
