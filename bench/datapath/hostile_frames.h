// SPDX-License-Identifier: BSD-3-Clause
// Frames of an attacker who knows what is dear to look at.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "datapath/ends.h"
#include "support/packet_builder.h"
#include "synproxy/base/packet.h"

namespace synproxy::bench {

using HostileFrame = std::function<test::Bytes(Random&)>;

struct HostileRow {
  std::string name;
  HostileFrame make;
  Role from = Role::kClient;
  bool usual = false;  // of shapes that are usual, and so no part of the mix of what is odd
};

[[nodiscard]] std::vector<HostileRow> hostile_rows();

}  // namespace synproxy::bench
