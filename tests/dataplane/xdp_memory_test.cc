// SPDX-License-Identifier: BSD-3-Clause
// The memory of an AF_XDP port, as two processes have it.
#include "dataplane/xdp_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

namespace synproxy::dataplane {
namespace {

constexpr XdpShape kShape{.interface_index = 7,
                          .queues = 2,
                          .send_queues = 1,
                          .chunk_bytes = 2048,
                          .receive_frames = 16,
                          .send_frames = 8};

Descriptor copy_of(const XdpMemory& memory) {
  return Descriptor(::fcntl(memory.descriptor(), F_DUPFD_CLOEXEC, 0));
}

TEST(XdpMemory, BothProcessesSeeTheSameChunks) {
  const XdpMemory first(kShape);
  const XdpMemory second(copy_of(first));
  EXPECT_EQ(second.shape().interface_index, 7);
  EXPECT_EQ(second.shape().queues, 2U);
  EXPECT_EQ(second.shape().send_frames, 8U);
  for (const std::uint32_t queue : {0U, 1U}) {
    ASSERT_EQ(first.chunks(queue).memory.size(), 24U * 2048);
    first.chunks(queue).memory.back() = static_cast<std::uint8_t>(queue + 1);
    EXPECT_EQ(second.chunks(queue).memory.back(), queue + 1);
  }
}

// The lock is a process's: what another one finds, tells it by its exit status.
int in_another_process(const std::function<bool()>& question) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(question() ? 1 : 0);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WEXITSTATUS(status);
}

TEST(XdpMemory, OneProcessAtATimeHasTheLockHoweverItEnds) {
  const XdpMemory memory(kShape);
  EXPECT_TRUE(memory.lock());
  EXPECT_TRUE(memory.lock()) << "it is ours already";
  EXPECT_FALSE(in_another_process([&] { return memory.lock(); }));
  memory.unlock();
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const char locked = memory.lock() ? 1 : 0;
    static_cast<void>(!::write(ready[1], &locked, 1));
    for (;;) ::pause();
  }
  char locked = 0;
  ASSERT_EQ(::read(ready[0], &locked, 1), 1);
  EXPECT_EQ(locked, 1);
  EXPECT_FALSE(memory.lock());
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(memory.lock());
  for (const int fd : ready) ::close(fd);
}

TEST(XdpMemory, FileThatIsNoSuchMemoryIsRefused) {
  const auto refused = [](int fd) { EXPECT_THROW(XdpMemory{Descriptor(fd)}, std::system_error); };
  refused(-1);
  refused(::open("/dev/null", O_RDWR | O_CLOEXEC));
  // One that could shrink while it is mapped.
  const int open_ended = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(open_ended, 1 << 20), 0);
  refused(open_ended);
  // Shapes that are none, or another one than the file has room for.
  const auto sealed = [](std::size_t field, std::uint32_t value) {
    const XdpMemory memory(kShape);
    EXPECT_EQ(::pwrite(memory.descriptor(), &value, sizeof value,
                       static_cast<off_t>(8 + field * sizeof value)),
              static_cast<ssize_t>(sizeof value));
    return copy_of(memory).release();
  };
  refused(sealed(1, 0));
  refused(sealed(1, 1));
  refused(sealed(1, ~0U));
  refused(sealed(2, 0));
  refused(sealed(2, 3));
  refused(sealed(3, 1024));
  refused(sealed(3, 4096));
  refused(sealed(4, 0));
  refused(sealed(4, ~0U));
  refused(sealed(5, 0));
}

}  // namespace
}  // namespace synproxy::dataplane
