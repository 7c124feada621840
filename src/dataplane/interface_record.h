// SPDX-License-Identifier: BSD-3-Clause
// What an interface was like before a proxy changed it, in a small file, for as long as it is
// changed. A process that is killed restores nothing. The next one on this interface finds the file
// and restores at its own end what the interface was before the first of them.
//
// Where nothing can be written (no runtime directory, no room), there is no record, and only a
// clean end restores.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/runtime_files.h"
#include "dataplane/netdev.h"

namespace synproxy::dataplane {

struct InterfaceSetting {
  // A command ETHTOOL_S..., or one of these three.
  static constexpr std::uint32_t kDisableIpv6 = 0x10000;
  static constexpr std::uint32_t kUp = 0x10001;
  static constexpr std::uint32_t kPromiscuous = 0x10002;

  std::uint32_t what;
  std::uint32_t before;

  friend bool operator==(const InterfaceSetting&, const InterfaceSetting&) = default;
};

class InterfaceRecord {
 public:
  // In `directory`, which is made if it is missing; empty: there is no record. One process at a
  // time has the record of an interface.
  InterfaceRecord(const std::filesystem::path& directory, const std::string& interface,
                  const NetdevFacts& facts);
  ~InterfaceRecord();  // leaves the file
  InterfaceRecord(const InterfaceRecord&) = delete;
  InterfaceRecord& operator=(const InterfaceRecord&) = delete;

  // Another process has the record. claim() takes it when that one has ended and left it; true,
  // once: left_behind() is known now.
  [[nodiscard]] bool waits() const { return waiting_fd_ >= 0; }
  [[nodiscard]] bool claim();

  // What a process that was killed has changed, in its order.
  [[nodiscard]] const std::vector<InterfaceSetting>& left_behind() const { return left_behind_; }
  // Call before the change.
  void add(const InterfaceSetting& setting) const;
  // The interface is as it was, or gone.
  void remove();

 private:
  void open();
  void read();

  std::filesystem::path file_;
  int fd_ = -1;
  int waiting_fd_ = -1;  // of the file that another process has locked
  std::vector<InterfaceSetting> left_behind_;
};

}  // namespace synproxy::dataplane
