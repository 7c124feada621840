// SPDX-License-Identifier: BSD-3-Clause
// What `synproxy check` looks at that a start refuses: devices, users, files, places.
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <system_error>

#include "base/errors.h"
#include "base/runtime_files.h"
#include "control/check.h"
#include "control/host_end.h"
#include "control/listen_address.h"
#include "control/lists.h"
#include "control/privileges.h"
#include "control/secret.h"
#include "control/socket_file.h"
#include "control/state.h"
#include "control/telemetry_client.h"

namespace synproxy::control {
namespace {

using State = Finding::State;
using Kind = PortName::Kind;

// `look` refuses as the start does, or says what is right; nothing to say: empty.
void try_it(const std::string& what, const std::function<std::string()>& look, Findings& out) {
  try {
    if (const std::string found = look(); !found.empty()) {
      out.push_back({what, "", State::kRight, found, ""});
    }
  } catch (const std::exception& error) {
    add_refusal(what, error.what(), out);
  }
}

std::string look_at_lists(const Config& config) {
  if (!has_lists(config)) return "";
  const auto lists = load_lists(config);
  std::size_t denied = lists->deny_count;
  std::size_t allowed = lists->allow_count;
  for (const SourceSets& own : lists->own) {
    denied += own.deny_count;
    allowed += own.allow_count;
  }
  return std::to_string(denied) + " prefixes denied, " + std::to_string(allowed) + " allowed";
}

// The one that the start would replace: of this name, or of any on these interfaces.
bool has_running(const Config& config) {
  try {
    const TelemetryClient client(config.name);
    return true;
  } catch (const RuntimeFailure&) {
    return interface_has_user(config.client_port.device) ||
           interface_has_user(config.server_port.device);
  }
}

std::string look_at_metrics(const Config& config) {
  if (config.metrics.text.empty()) return "";
  try {
    ::close(listen_at(config.metrics));
  } catch (const AddressTaken&) {
    if (!has_running(config)) throw;
    return config.metrics.text + ": has a listener, and a proxy runs";
  }
  return config.metrics.text + ": free";
}

// Of a file that is there already, the pages are taken.
void refuse_full(const Config& config, const std::filesystem::path& place) {
  struct statfs room {};
  struct stat file {};
  if (::statfs(place.c_str(), &room) != 0 || room.f_blocks == 0) return;  // 0: without a limit
  std::uint64_t free =
      static_cast<std::uint64_t>(room.f_bavail) * static_cast<std::uint64_t>(room.f_bsize);
  const auto flows = place / (config.name + ".flows");
  if (::stat(flows.c_str(), &file) == 0) free += static_cast<std::uint64_t>(file.st_blocks) * 512;
  const StoreShape shape =
      store_shape(config, ProtectSet(config.protect, VlanPairs(config.vlan_pairs)));
  const std::uint64_t needed = shape.region_bytes * shape.workers;
  if (needed <= free) return;
  throw UsageError("--state-dir " + config.state_dir + ": no room for " +
                   std::to_string(needed >> 20) + " MB, " + std::to_string(free >> 20) +
                   " MB are free; free some there, or ask for fewer --max-flows");
}

std::string look_at_state_dir(const Config& config) {
  if (config.state_dir.empty()) return "";
  const std::string where = "--state-dir " + config.state_dir + ": ";
  std::filesystem::path place = config.state_dir;
  std::error_code error;
  if (!std::filesystem::exists(place, error)) {  // the start makes it
    place = std::filesystem::absolute(place).lexically_normal();
    place = (place.has_filename() ? place : place.parent_path()).parent_path();
  }
  if (!std::filesystem::is_directory(place, error)) {
    throw UsageError(where + (error ? error.message() : "is no directory") +
                     "; give a directory of a tmpfs, as in /run/synproxy");
  }
  if (::access(place.c_str(), W_OK | X_OK) != 0) {
    throw UsageError(where + "cannot be written (" + std::generic_category().message(errno) +
                     "); make it writable for this user");
  }
  refuse_full(config, place);
  return config.state_dir + ": has room";
}

std::string look_at_host_end(const Config& config) {
  if (config.server_port.kind != Kind::kHost) return "";
  Rtnetlink net;
  const auto nic = link_called(net, config.client_port.device);
  if (!nic) return "";  // told among the devices
  for (const HostState& state : HostStateFile::in_use(record_directory())) {
    if (state.interface != nic->name) continue;
    return state.saved.text() + " on " + state.end + ", by the proxy " + state.proxy;
  }
  const Addressing addressing = Addressing::of(net, nic->index);
  refuse_host_end(net, *nic, addressing, record_directory());
  return addressing.text() + " can move to " + end_name(nic->name);
}

}  // namespace

void add_refusal(const std::string& what, const std::string& sentence, Findings& out) {
  const auto advice = sentence.rfind("; ");
  out.push_back(
      {what, "", State::kWrong, sentence.substr(0, advice),
       advice == std::string::npos ? "see synproxy --help" : sentence.substr(advice + 2)});
}

void check_start(const Config& config, const Host& host, Findings& out) {
  try_it(
      "devices",
      [&] {
        static_cast<void>(check_host(config, host));
        return "there, and this user may open them";
      },
      out);
  try_it(
      "host", [&] { return look_at_host_end(config); }, out);
  try_it(
      "user",
      [&] {
        static_cast<void>(find_user(config.user));
        static_cast<void>(control_group(config.control_group));
        return "";
      },
      out);
  try_it(
      "secret",
      [&] {
        if (!config.secret_file.empty()) static_cast<void>(load_secret(config));
        return config.secret_file;
      },
      out);
  try_it(
      "lists", [&] { return look_at_lists(config); }, out);
  try_it(
      "metrics", [&] { return look_at_metrics(config); }, out);
  try_it(
      "state-dir", [&] { return look_at_state_dir(config); }, out);
}

}  // namespace synproxy::control
