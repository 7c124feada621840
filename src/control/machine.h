// SPDX-License-Identifier: BSD-3-Clause
// Questions of `synproxy check` to the machine, beyond those of Host. None of them changes
// anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace synproxy::control {

class Machine {
 public:
  struct Ring {
    std::uint32_t frames = 0;
    std::uint32_t most = 0;  // that the device could have
  };
  struct Limits {
    std::uint64_t locked_memory = 0;  // bytes; ~0: none
    std::uint64_t open_files = 0;
  };

  virtual ~Machine() = default;

  // The first line of a file below / ; nullopt: there is none, or it cannot be read.
  [[nodiscard]] virtual std::optional<std::string> line(const std::string& path) const = 0;
  // The last part of what a symbolic link points to.
  [[nodiscard]] virtual std::optional<std::string> target(const std::string& path) const = 0;
  // The names in a directory, sorted.
  [[nodiscard]] virtual std::vector<std::string> names(const std::string& path) const = 0;

  // Of a Linux interface; nullopt where its driver does not say.
  [[nodiscard]] virtual std::optional<std::uint32_t> mtu(const std::string& interface) const = 0;
  [[nodiscard]] virtual std::optional<Ring> receive_ring(const std::string& interface) const = 0;
  [[nodiscard]] virtual std::optional<std::uint32_t> queues(const std::string& interface) const = 0;
  // All but link-local ones.
  [[nodiscard]] virtual std::vector<std::string> addresses(const std::string& interface) const = 0;

  [[nodiscard]] virtual Limits limits() const = 0;
  // What `nft list ruleset` prints; empty where there is none.
  [[nodiscard]] virtual std::string firewall() const = 0;
};

class LinuxMachine : public Machine {
 public:
  explicit LinuxMachine(std::string root = "") : root_(std::move(root)) {}

  [[nodiscard]] std::optional<std::string> line(const std::string& path) const override;
  [[nodiscard]] std::optional<std::string> target(const std::string& path) const override;
  [[nodiscard]] std::vector<std::string> names(const std::string& path) const override;
  [[nodiscard]] std::optional<std::uint32_t> mtu(const std::string& interface) const override;
  [[nodiscard]] std::optional<Ring> receive_ring(const std::string& interface) const override;
  [[nodiscard]] std::optional<std::uint32_t> queues(const std::string& interface) const override;
  [[nodiscard]] std::vector<std::string> addresses(const std::string& interface) const override;
  [[nodiscard]] Limits limits() const override;
  [[nodiscard]] std::string firewall() const override;

 private:
  std::string root_;
};

}  // namespace synproxy::control
