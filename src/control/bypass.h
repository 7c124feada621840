// SPDX-License-Identifier: BSD-3-Clause
// `synproxy bypass`: joins the two Linux interfaces in the kernel while no proxy runs. What arrives
// on one leaves on the other (tc, a redirect of every frame), unprotected.
#pragma once

#include <cstdint>
#include <optional>
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
  // What is ours on `from`: nothing, a redirect to `to` and nothing else, or anything else.
  enum class Way : std::uint8_t { kNone, kRight, kWrong };
  [[nodiscard]] static Way way(const std::string& from, const std::string& to);
  static void join(const std::string& from, const std::string& to);
  static void part(const std::string& from);

  std::string client_;
  std::string server_;
};

// Before a start opens its ports: takes a bypass between them away, and puts it back if the start
// fails. So nobody is cut off by a start that comes to nothing.
class BypassAway {
 public:
  // Throws RuntimeFailure.
  explicit BypassAway(const Config& config);
  ~BypassAway();
  BypassAway(const BypassAway&) = delete;
  BypassAway& operator=(const BypassAway&) = delete;

  [[nodiscard]] bool was_on() const { return bypass_.has_value(); }
  // The proxy forwards.
  void served() { served_ = true; }

 private:
  std::optional<Bypass> bypass_;  // if it was on
  bool served_ = false;
};

}  // namespace synproxy::control
