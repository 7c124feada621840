// SPDX-License-Identifier: BSD-3-Clause
#include "control/host_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "base/errors.h"
#include "base/line_writer.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr std::string_view kPrefix = "host.";
constexpr std::string_view kUnfinished = ".new";

std::string hex_of(const NetMessage& m) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : m.bytes()) text += {kDigits[byte >> 4], kDigits[byte & 15U]};
  return text;
}

std::uint8_t digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  throw std::invalid_argument("a message has a digit that is none");
}

NetMessage from_hex(const std::string& text) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
  }
  if (bytes.size() < NLMSG_HDRLEN || text.size() % 2 != 0) {
    throw std::invalid_argument("a message is too short");
  }
  return NetMessage(bytes);
}

Json all_hex(const std::vector<NetMessage>& messages) {
  Json all = Json::array();
  for (const NetMessage& m : messages) all.push_back(hex_of(m));
  return all;
}

std::vector<NetMessage> all_from_hex(const Json& list) {
  std::vector<NetMessage> all;
  for (const Json& text : list) all.push_back(from_hex(text.get<std::string>()));
  return all;
}

std::string here() { return "." + std::to_string(network_namespace()); }

std::filesystem::path path_of(const HostState& state, const std::filesystem::path& directory) {
  return directory / (std::string(kPrefix) + state.interface + here());
}

bool lock(int fd) { return ::flock(fd, LOCK_EX | LOCK_NB) == 0; }

// Files of this namespace, finished ones.
std::vector<std::filesystem::path> files(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> all;
  if (!private_directory(directory)) return all;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(kPrefix) && name.ends_with(here())) all.push_back(entry.path());
  }
  return all;
}

std::string contents(int fd) {
  std::string text;
  std::vector<char> part(1U << 16);
  for (ssize_t got = 0;
       (got = ::pread(fd, part.data(), part.size(), static_cast<off_t>(text.size()))) > 0;) {
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

bool operator==(const HostState& a, const HostState& b) { return state_text(a) == state_text(b); }

std::string state_text(const HostState& s) {
  const Json json{{"version", kVersion},
                  {"proxy", s.proxy},
                  {"interface", s.interface},
                  {"index", s.index},
                  {"mac", s.mac},
                  {"end", s.end},
                  {"wire", s.wire},
                  {"disable_ipv6", s.disable_ipv6},
                  {"addr_gen_mode", s.addr_gen_mode},
                  {"accept_dad", s.accept_dad},
                  {"incomplete", s.incomplete ? 1 : 0},
                  {"text", s.saved.text()},
                  {"addresses", all_hex(s.saved.addresses)},
                  {"routes", all_hex(s.saved.routes)},
                  {"neighbours", all_hex(s.saved.neighbours)}};
  return json.dump(1) + "\n";
}

HostState parse_state(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    if (json.at("version") != kVersion) throw std::invalid_argument("is of another version");
    HostState s;
    s.proxy = json.at("proxy").get<std::string>();
    s.interface = json.at("interface").get<std::string>();
    s.index = json.at("index").get<int>();
    s.mac = json.at("mac").get<std::string>();
    s.end = json.at("end").get<std::string>();
    s.wire = json.at("wire").get<std::string>();
    s.disable_ipv6 = json.at("disable_ipv6").get<std::string>();
    s.addr_gen_mode = json.at("addr_gen_mode").get<std::string>();
    s.accept_dad = json.at("accept_dad").get<std::string>();
    s.incomplete = json.value("incomplete", 0) != 0;  // older ones have none
    s.saved = {all_from_hex(json.at("addresses")), all_from_hex(json.at("routes")),
               all_from_hex(json.at("neighbours"))};
    return s;
  } catch (const Json::exception& error) {
    throw std::invalid_argument(error.what());
  }
}

HostStateFile::HostStateFile(const HostState& state, const std::filesystem::path& directory)
    : file_(path_of(state, directory)), fd_(-1) {
  const std::filesystem::path unfinished = file_.string() + std::string(kUnfinished);
  const auto refuse = [&](const std::string& why) {
    if (fd_ >= 0) ::close(fd_);
    static_cast<void>(::unlink(unfinished.c_str()));
    throw RuntimeFailure("--server-port host: cannot write " + file_.string() +
                         ", which says how to put the addresses back: " + why);
  };
  if (!private_directory(directory)) {
    refuse(directory.empty() ? "run as root, or with XDG_RUNTIME_DIR"
                             : "others may write in " + directory.string());
  }
  const std::string text = state_text(state);
  static_cast<void>(::unlink(unfinished.c_str()));
  fd_ = ::open(unfinished.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
               S_IRUSR | S_IWUSR);
  if (fd_ < 0 || !lock(fd_) || write_whole(fd_, text) != text.size() || ::fsync(fd_) != 0 ||
      ::rename(unfinished.c_str(), file_.c_str()) != 0) {
    refuse(std::generic_category().message(errno));
  }
}

HostStateFile::HostStateFile(HostStateFile&& other) noexcept
    : file_(std::move(other.file_)), fd_(std::exchange(other.fd_, -1)) {}

HostStateFile::~HostStateFile() {
  if (fd_ >= 0) ::close(fd_);
}

void HostStateFile::remove() {
  if (fd_ < 0) return;
  // First of all it is emptied: once privileges are dropped, only the open file is still ours.
  [[maybe_unused]] const int emptied = ::ftruncate(fd_, 0);
  static_cast<void>(::unlink(file_.c_str()));
  ::close(std::exchange(fd_, -1));
}

// In place, because privileges may be dropped. One digit differs, so it is whole at any moment.
void HostStateFile::keep(HostState state) const {
  state.incomplete = true;
  const std::string text = state_text(state);
  [[maybe_unused]] const ssize_t written = ::pwrite(fd_, text.data(), text.size(), 0);
}

std::vector<HostStateFile::Left> HostStateFile::left_behind(
    const std::filesystem::path& directory) {
  std::vector<Left> all;
  for (const auto& path : files(directory)) {
    int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    // Root without its rights over files reads what a service of another user has left.
    if (fd < 0) fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    HostStateFile file(path, fd);
    if (!lock(fd)) continue;
    const std::string text = contents(fd);
    if (text.empty()) {
      file.remove();
      continue;
    }
    try {
      HostState state = parse_state(text);
      all.push_back({std::move(file), std::move(state)});
    } catch (const std::invalid_argument& error) {
      throw RuntimeFailure(path.string() + ": cannot be read (" + error.what() +
                           "); it says how to put addresses back, do so by hand and remove it");
    }
  }
  return all;
}

HostStateFile::Left HostStateFile::handed_over(int fd, const std::filesystem::path& directory) {
  HostStateFile file({}, fd);
  try {
    HostState state = parse_state(contents(fd));
    file.file_ = path_of(state, directory);
    return {std::move(file), std::move(state)};
  } catch (const std::invalid_argument& error) {
    throw RuntimeFailure(
        "--take-over: what the running proxy says of its addresses cannot be read (" +
        std::string(error.what()) + "); it goes on");
  }
}

std::vector<HostState> HostStateFile::in_use(const std::filesystem::path& directory) {
  std::vector<HostState> all;
  for (const auto& path : files(directory)) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    const HostStateFile file(path, fd);
    if (lock(fd)) continue;
    try {
      all.push_back(parse_state(contents(fd)));
    } catch (const std::invalid_argument&) {
      continue;  // its owner is about to remove it
    }
  }
  return all;
}

}  // namespace synproxy::control
