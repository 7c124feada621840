// SPDX-License-Identifier: BSD-3-Clause
#include "base/line_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/errors.h"

namespace synproxy {
namespace {

std::atomic<std::uint64_t>& lost_in_all() {
  static std::atomic<std::uint64_t> count{0};
  return count;
}

std::string notice(std::uint64_t lost) {
  if (lost == 0) return {};
  return "synproxy: " + std::to_string(lost) + (lost == 1 ? " line is" : " lines are") +
         " missing here: this stream did not take them\n";
}

// Starts a thread that gets no signal: they are for others to take.
template <typename Work>
void start_thread(Work&& work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread(std::forward<Work>(work)).detach();
  } catch (const std::system_error& error) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw RuntimeFailure(std::string("no thread for the log can be started: ") + error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

struct LineWriter::Queue {
  struct Entry {
    std::uint64_t lost_before;
    std::string line;
  };

  Queue(int stream, std::size_t bytes) : fd(stream), memory(bytes) {}
  ~Queue() { ::close(fd); }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  void add(std::string line) {
    const std::lock_guard lock(mutex);
    if (used != 0 && used + line.size() > memory) return lose(1);
    used += line.size();
    entries.push_back({std::exchange(unsaid, 0), std::move(line)});
    news.notify_one();
  }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      news.wait(lock, [&] { return !entries.empty() || (unsaid != 0 && takes) || closing; });
      if (!entries.empty()) {
        const Entry entry = std::move(entries.front());
        entries.pop_front();
        const bool done = put(lock, notice(entry.lost_before) + entry.line);
        used -= entry.line.size();
        if (!done) {
          unsaid += entry.lost_before;
          lose(1);
        }
      } else if (unsaid != 0 && takes) {
        const std::uint64_t lost = std::exchange(unsaid, 0);
        if (!put(lock, notice(lost))) unsaid += lost;
      } else {
        ended = true;
        end.notify_one();
        return;
      }
    }
  }

  void close_within(std::chrono::seconds patience) {
    std::unique_lock lock(mutex);
    closing = true;
    news.notify_one();
    end.wait_for(lock, patience, [&] { return ended; });
  }

 private:
  void lose(std::uint64_t count) {
    unsaid += count;
    lost_in_all().fetch_add(count, std::memory_order_relaxed);
  }

  bool put(std::unique_lock<std::mutex>& lock, const std::string& text) {
    lock.unlock();
    const std::string whole = cut ? "\n" + text : text;
    const std::size_t written = write_whole(fd, whole);
    lock.lock();
    takes = written == whole.size();
    if (written != 0) cut = !takes && whole[written - 1] != '\n';
    return takes;
  }

  const int fd;
  const std::size_t memory;
  std::mutex mutex;
  std::condition_variable news;
  std::condition_variable end;
  std::deque<Entry> entries;
  std::size_t used = 0;      // bytes of the entries, and of the one being written
  std::uint64_t unsaid = 0;  // lost behind the last entry
  bool takes = true;         // the stream took what came last; else the next line tries it
  bool cut = false;          // it took a part of a line, which the next one must not continue
  bool closing = false;
  bool ended = false;
};

LineWriter::LineWriter(int fd, std::size_t memory) {
  const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (own < 0) {
    throw RuntimeFailure("no descriptor for the log is free: " +
                         std::generic_category().message(errno));
  }
  queue_ = std::make_shared<Queue>(own, memory);
  start_thread([queue = queue_] { queue->run(); });
}

LineWriter::~LineWriter() { finish(); }

void LineWriter::finish() { queue_->close_within(kLastPatience); }

void LineWriter::write(std::string line) { queue_->add(std::move(line)); }

std::uint64_t LineWriter::lost() { return lost_in_all().load(std::memory_order_relaxed); }

std::size_t write_whole(int fd, std::string_view text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      // Whoever made the stream non-blocking shares it with us and wants it so.
      pollfd room{.fd = fd, .events = POLLOUT, .revents = 0};
      if (::poll(&room, 1, -1) < 0 && errno != EINTR) break;
    } else if (n == 0 || errno != EINTR) {
      break;
    }
  }
  return done;
}

}  // namespace synproxy
