// SPDX-License-Identifier: BSD-3-Clause
// The control socket of the running proxy: takes requests and sends answers, on a thread of its
// own.
//
// Theory of operation. One thread serves all clients and never waits for one of them. A client
// whose request is answered is not read, so it cannot pile up requests. What a client has sent is
// bounded, and so is what waits to be sent: a long answer makes its next piece when the last one
// has left. A client loses its place when it is silent within a request, takes nothing of its
// answer, takes too long for all of it, or asks nothing for long. When all places are taken, a
// newcomer gets that of the client that was silent longest. A client that may only read never
// displaces one that may change things, so root always gets through.
//
// Nothing that a worker or the keys need runs on this thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/requests.h"
#include "control/socket_file.h"

namespace synproxy::control {

struct ServerLimits {
  std::size_t clients = 32;
  std::size_t request = 16U << 10;                // bytes of a request
  std::chrono::milliseconds half_request{5'000};  // from its first byte to its last
  std::chrono::milliseconds idle{60'000};         // between requests
  std::chrono::milliseconds stalled{10'000};      // an answer of which nothing is taken
  std::chrono::milliseconds answer{60'000};       // a whole answer
  std::chrono::milliseconds paused{60'000};       // an endless one of which nothing is taken
};

class ControlServer {
 public:
  // Throws RuntimeFailure.
  ControlServer(const std::filesystem::path& directory, std::optional<gid_t> group,
                Requests requests, const ServerLimits& limits = {});
  ~ControlServer();  // no answer is under way when it returns; the file is gone
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  using Clock = std::chrono::steady_clock;

  struct Client {
    explicit Client(int descriptor) : fd(descriptor) {}
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    int fd;
    Peer peer;
    std::string in;
    std::string out;
    std::size_t sent = 0;
    std::unique_ptr<Answer> answer;  // has more
    std::vector<int> passed;         // go along with `out`
    bool waits = false;              // for the answer's next piece
    bool last = false;               // hang up when `out` has been sent
    bool gone = false;
    Clock::time_point heard = Clock::now();  // sent something, or took something
    Clock::time_point began = Clock::now();  // of its request or of its answer

    [[nodiscard]] bool answering() const { return answer != nullptr || !out.empty(); }
    // A request that it has sent ahead, while its last one was answered.
    [[nodiscard]] bool asked_ahead() const {
      return !answering() && in.find('\n') != std::string::npos;
    }
  };

  void run();
  [[nodiscard]] bool turn();
  [[nodiscard]] int patience() const;
  void take_newcomers();
  [[nodiscard]] bool make_place(const Peer& newcomer);
  void read(Client& client);
  void obey(Client& client);
  void write(Client& client);
  [[nodiscard]] bool overdue(const Client& client) const;

  const ServerLimits limits_;
  const Requests requests_;
  SocketFile file_;
  std::list<Client> clients_;
  Clock::time_point deaf_until_{};  // accepting has failed
  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace synproxy::control
