// SPDX-License-Identifier: BSD-3-Clause
// `synproxy bypass`: joins the two Linux interfaces in the kernel while no proxy runs. What arrives
// on one leaves on the other (tc, a redirect of every frame), unprotected.
#pragma once

#include <cstdint>
#include <string>

#include "base/config.h"

namespace synproxy::control {

class Bypass {
 public:
  enum class State : std::uint8_t { kOff, kHalf, kOn };

  // Throws UsageError for ports that are no Linux interfaces.
  explicit Bypass(const Config& config);

  [[nodiscard]] State state() const;
  // Throw RuntimeFailure.
  void on() const;
  void off() const;

 private:
  [[nodiscard]] bool redirects(const std::string& from, const std::string& to) const;
  void join(const std::string& from, const std::string& to) const;
  void part(const std::string& from) const;

  std::string client_;
  std::string server_;
};

// Before a start opens its ports: takes a bypass between them away. True if there was one.
bool end_bypass(const Config& config);

}  // namespace synproxy::control
