// SPDX-License-Identifier: BSD-3-Clause
// Answers GET requests over HTTP on a thread of its own, by GNU libmicrohttpd.
//
// That thread serves all connections at once and waits for none: a client that is slow to ask or to
// read holds up nobody. A connection that stands still for kPatience is closed, and so is one whose
// question and answer take longer than kLongest together. While most places are taken, a connection
// loses its place after kShortest. The thread has a lower priority than the workers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>

struct MHD_Connection;
struct MHD_Daemon;

namespace synproxy::control {

struct Page {
  std::string type;  // Content-Type
  std::string body;
  std::string policy = "default-src 'none'";  // Content-Security-Policy
};

class HttpServer {
 public:
  static constexpr std::chrono::seconds kPatience{10};
  static constexpr std::chrono::seconds kLongest{30};
  static constexpr std::chrono::seconds kShortest{1};
  static constexpr unsigned kConnections = 256;
  // From so many connections on, none keeps its place for longer than kShortest. This is less than
  // all places: libmicrohttpd also counts connections that it is about to close.
  static constexpr unsigned kCrowded = kConnections * 3 / 4;

  // By path; "/path type/subtype" is what a reader gets who says that he accepts that type.
  using Pages = std::map<std::string, std::function<Page()>, std::less<>>;

  // `listener`: a listening socket, which is the server's from here on. The functions of `pages`
  // run on the server's thread. Throws RuntimeFailure.
  HttpServer(int listener, Pages pages);
  ~HttpServer();  // waits for the page that is being made, and for no client
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  struct Callbacks;
  using Clock = std::chrono::steady_clock;

  void run();
  void cut_the_slow();

  const Pages pages_;
  std::map<MHD_Connection*, Clock::time_point> asking_since_;  // the thread's alone
  int stop_ = -1;                                              // an eventfd
  MHD_Daemon* daemon_ = nullptr;
  std::thread thread_;
};

}  // namespace synproxy::control
