// SPDX-License-Identifier: BSD-3-Clause
#include "control/name_swap.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>
#include <utility>

#include "base/errors.h"

namespace synproxy::control {
namespace {

constexpr char kStores = 'f';
constexpr char kBegun = 'b';
constexpr char kSwap = 's';
constexpr char kDone = 'd';

struct Paths {
  std::filesystem::path name;
  std::filesystem::path next;
  std::filesystem::path flows;  // empty: there are none
  std::filesystem::path next_flows;
};

bool read_word(int from, char& word) {
  ssize_t got = 0;
  do {
    got = ::read(from, &word, 1);
  } while (got < 0 && errno == EINTR);
  return got == 1;
}

// A file system without the exchange: for a moment the name leads to nobody.
bool one_after_the_other(const Paths& paths) {
  std::error_code error;
  std::filesystem::remove_all(paths.name, error);
  std::filesystem::rename(paths.next, paths.name, error);
  return !error;
}

bool change_places(const Paths& paths) {
  std::error_code error;
  if (!paths.flows.empty()) {
    std::filesystem::rename(paths.next_flows, paths.flows, error);
    if (error) return false;
  }
  if (::renameat2(AT_FDCWD, paths.next.c_str(), AT_FDCWD, paths.name.c_str(), RENAME_EXCHANGE) !=
      0) {
    return one_after_the_other(paths);
  }
  std::filesystem::remove_all(paths.next, error);  // the predecessor's
  return true;
}

// Unless another process has it, which was why ours could not.
void remove_unused(const std::filesystem::path& flows) {
  const int fd = ::open(flows.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  bool unused = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  // The parent may not yet have come to its end.
  for (int tries = 0; !unused && tries < 10; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    unused = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  }
  if (unused) static_cast<void>(::unlink(flows.c_str()));
  ::close(fd);
}

void serve(int parent, const Paths& paths) {
  bool stores = false;
  bool begun = false;
  for (char word = 0; read_word(parent, word);) {
    stores = stores || word == kStores;
    begun = begun || word == kBegun;
    if (word != kSwap) continue;
    if (change_places(paths)) static_cast<void>(::send(parent, &kDone, 1, MSG_NOSIGNAL));
    return;
  }
  std::error_code error;
  if (begun) std::filesystem::remove_all(paths.next, error);
  if (stores && !paths.flows.empty()) remove_unused(paths.next_flows);
}

}  // namespace

NameSwap::NameSwap(const std::filesystem::path& directory, const std::string& name,
                   const std::string& next, const std::string& state_dir) {
  Paths paths{directory / name, directory / next, {}, {}};
  if (!state_dir.empty()) {
    paths.flows = std::filesystem::path(state_dir) / (name + ".flows");
    paths.next_flows = std::filesystem::path(state_dir) / (next + ".flows");
  }
  std::array<int, 2> ends{};
  const bool made = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0;
  child_ = made ? ::fork() : -1;
  if (child_ == 0) {
    ::close(ends[0]);
    static_cast<void>(::setsid());  // Ctrl-C is for the parent
    serve(ends[1], paths);
    ::_exit(0);
  }
  const int error = errno;
  if (made) ::close(ends[1]);
  pipe_ = made ? ends[0] : -1;
  if (child_ > 0) return;
  if (made) ::close(ends[0]);
  throw RuntimeFailure("--take-over: no process can be started: " +
                       std::generic_category().message(error));
}

NameSwap::~NameSwap() { end_child(); }

void NameSwap::end_child() {
  if (child_ < 0) return;
  ::close(std::exchange(pipe_, -1));
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
  child_ = -1;
}

void NameSwap::tell(char word) const { static_cast<void>(::send(pipe_, &word, 1, MSG_NOSIGNAL)); }

void NameSwap::stores() { tell(kStores); }
void NameSwap::begun() { tell(kBegun); }

bool NameSwap::swap() {
  tell(kSwap);
  char word = 0;
  const bool done = read_word(pipe_, word) && word == kDone;
  end_child();
  return done;
}

}  // namespace synproxy::control
