// SPDX-License-Identifier: BSD-3-Clause
#include "control/http_server.h"

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <string_view>
#include <system_error>

#include "base/errors.h"

namespace synproxy::control {
namespace {

constexpr std::size_t kMemoryOfAConnection = 16U << 10;  // headers; the answer is apart
constexpr int kLookMs = 1000;                            // for connections to be cut
constexpr int kNice = 10;

MHD_Result respond(MHD_Connection* connection, unsigned status, Page answer) {
  MHD_Response* response = MHD_create_response_from_buffer(answer.body.size(), answer.body.data(),
                                                           MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  for (const auto& [name, value] :
       {std::pair("Content-Type", answer.type.c_str()),
        std::pair("Content-Security-Policy", answer.policy.c_str()),
        std::pair("Cache-Control", "no-store"), std::pair("X-Content-Type-Options", "nosniff"),
        std::pair("Referrer-Policy", "no-referrer")}) {
    static_cast<void>(MHD_add_response_header(response, name, value));
  }
  if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
    static_cast<void>(MHD_add_response_header(response, "Allow", "GET, HEAD"));
  }
  const MHD_Result queued = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return queued;
}

Page sentence(std::string text) {
  return {.type = "text/plain; charset=utf-8", .body = std::move(text)};
}

void be_silent(void*, const char*, va_list) {}

}  // namespace

// What libmicrohttpd calls, on the server's thread.
struct HttpServer::Callbacks {
  static MHD_Result answer(void* self, MHD_Connection* connection, const char* url,
                           const char* method, const char*, const char*, std::size_t*,
                           void** seen) {
    const std::string_view how = method;
    if (how != MHD_HTTP_METHOD_GET && how != MHD_HTTP_METHOD_HEAD) {
      return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                     sentence("Only GET: nothing can be changed here.\n"));
    }
    // The first call comes before a body, which nobody should send, the second after it.
    if (*seen == nullptr) {
      *seen = self;
      return MHD_YES;
    }
    const Pages& pages = static_cast<const HttpServer*>(self)->pages_;
    try {
      if (const auto page = find(pages, url, connection); page != pages.end()) {
        return respond(connection, MHD_HTTP_OK, page->second());
      }
      std::string known = "There is no such page. There is:";
      for (const auto& [path, make] : pages) {
        if (path.find(' ') == std::string::npos) known += " " + path;
      }
      return respond(connection, MHD_HTTP_NOT_FOUND, sentence(known + "\n"));
    } catch (const std::exception&) {
      return MHD_NO;  // out of memory: the connection is closed
    }
  }

  // A space in a path stands for a type, so no path of a reader has one.
  static Pages::const_iterator find(const Pages& pages, std::string_view path,
                                    MHD_Connection* connection) {
    if (path.find(' ') != std::string_view::npos) return pages.end();
    const char* const accepted =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    if (accepted != nullptr) {
      const std::string typed = std::string(path) + ' ';
      for (auto page = pages.lower_bound(typed);
           page != pages.end() && page->first.starts_with(typed); ++page) {
        const std::string_view type = std::string_view(page->first).substr(typed.size());
        if (std::string_view(accepted).find(type) != std::string_view::npos) return page;
      }
    }
    return pages.find(path);
  }

  static void connection(void* self, MHD_Connection* connection, void**,
                         MHD_ConnectionNotificationCode what) {
    auto& since = static_cast<HttpServer*>(self)->asking_since_;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
      since[connection] = Clock::now();
    } else {
      since.erase(connection);
    }
  }

  static void completed(void* self, MHD_Connection* connection, void**,
                        MHD_RequestTerminationCode) {
    static_cast<HttpServer*>(self)->asking_since_[connection] = Clock::now();
  }
};

HttpServer::HttpServer(int listener, Pages pages)
    : pages_(std::move(pages)), stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, nullptr, nullptr, &Callbacks::answer, this,
      MHD_OPTION_EXTERNAL_LOGGER, &be_silent, nullptr, MHD_OPTION_LISTEN_SOCKET, listener,
      MHD_OPTION_CONNECTION_LIMIT, kConnections, MHD_OPTION_CONNECTION_TIMEOUT,
      static_cast<unsigned>(kPatience.count()), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
      kMemoryOfAConnection, MHD_OPTION_NOTIFY_CONNECTION, &Callbacks::connection, this,
      MHD_OPTION_NOTIFY_COMPLETED, &Callbacks::completed, this, MHD_OPTION_END);
  try {
    if (stop_ < 0 || daemon_ == nullptr) throw std::system_error(errno, std::generic_category());
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
    if (stop_ >= 0) ::close(stop_);
    throw RuntimeFailure(std::string("--metrics: cannot be served: ") + error.what());
  }
}

HttpServer::~HttpServer() {
  static_cast<void>(::eventfd_write(stop_, 1));
  thread_.join();
  MHD_stop_daemon(daemon_);  // closes all connections and the listener
  ::close(stop_);
}

void HttpServer::run() {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "synproxy-http"));
  static_cast<void>(::setpriority(PRIO_PROCESS, 0, kNice));  // of this thread alone
  const int events = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  while (true) {
    MHD_UNSIGNED_LONG_LONG ms = kLookMs;
    if (MHD_get_timeout(daemon_, &ms) != MHD_YES) ms = kLookMs;
    const int wait = static_cast<int>(std::min<MHD_UNSIGNED_LONG_LONG>(ms, kLookMs));
    std::array<pollfd, 2> ready{{{stop_, POLLIN, 0}, {events, POLLIN, 0}}};
    // Never for ever: when all places were taken, MHD listens again only in a run after those that
    // freed them.
    static_cast<void>(::poll(ready.data(), ready.size(), wait));
    if (ready[0].revents != 0) return;
    static_cast<void>(MHD_run(daemon_));
    cut_the_slow();
  }
}

// A connection that sends or takes a byte now and then never stands still.
void HttpServer::cut_the_slow() {
  const Clock::time_point now = Clock::now();
  const auto longest = asking_since_.size() < kCrowded ? kLongest : kShortest;
  for (const auto& [connection, since] : asking_since_) {
    if (now - since < longest) continue;
    const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != nullptr) static_cast<void>(::shutdown(info->connect_fd, SHUT_RDWR));
  }
}

}  // namespace synproxy::control
