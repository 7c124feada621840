// SPDX-License-Identifier: BSD-3-Clause
// `synproxy capture`.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "base/line_writer.h"
#include "control/capture_filter_text.h"
#include "control/capture_wire.h"
#include "control/clock.h"
#include "control/commands.h"
#include "control/control_client.h"
#include "control/flow_wire.h"
#include "control/pcapng.h"
#include "control/values.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using dataplane::CaptureKind;
using dataplane::CaptureRecord;

constexpr std::array kCaptureFlags = {
    CommandFlag{.name = "drop-reason",
                .form = "NAME",
                .accepts = "a reason below",
                .help = "only what is dropped for that reason; repeatable",
                .repeat = true},
    CommandFlag{.name = "service",
                .form = "NAME|ADDRESS[/LEN][:PORT[-PORT]]",
                .accepts = "the name of a service, or what --protect takes, as 192.0.2.10:443",
                .help = "the server is of that service, or there"},
    CommandFlag{.name = "src",
                .form = "PREFIX",
                .accepts = "an address or a prefix, as 203.0.113.0/24 or 2001:db8::/32",
                .help = "the client is there"},
    CommandFlag{.name = "flow",
                .form = "A:P-B:P",
                .accepts = "CLIENT:PORT-SERVER:PORT, as 203.0.113.7:40000-192.0.2.10:80",
                .help = "one connection, on both sides of the proxy"},
    CommandFlag{.name = "limit",
                .form = "N",
                .accepts = "1 to 4294967295 frames",
                .help = "end after N frames"},
    CommandFlag{.name = "snaplen",
                .form = "BYTES",
                .accepts = "14 to 65535 bytes",
                .help = "keep so many bytes of each frame (all)"},
    CommandFlag{.name = "write",
                .form = "FILE",
                .accepts = "a file to write, or - for standard output",
                .help = "write there instead of standard output"},
    kNameFlag};

volatile std::sig_atomic_t told_to_stop = 0;

// The first one ends the capture in order, with all that has come until then; a second one at once.
void stop_at_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { told_to_stop = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    static_cast<void>(::sigaction(signal, &action, nullptr));
  }
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));  // a reader that has enough
}

// Where the capture goes.
class Sink {
 public:
  explicit Sink(const std::string* file) : path_(file != nullptr ? *file : "-") {
    if (path_ != "-") {
      fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
      if (fd_ < 0) throw UsageError("--write " + path_ + ": " + why() + "; give a file to write");
    } else if (::isatty(fd_) == 1) {
      throw UsageError(
          "standard output is a terminal; give --write FILE, or read it with | tshark -i -");
    }
  }
  ~Sink() {
    if (path_ != "-") ::close(fd_);
  }
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  // What was in the file is kept until here.
  void begin() {
    if (path_ == "-") return;
    struct stat about {};
    if (::fstat(fd_, &about) == 0 && S_ISREG(about.st_mode) && ::ftruncate(fd_, 0) != 0) {
      throw RuntimeFailure("--write " + path_ + ": " + why());
    }
  }
  // False: the reader has gone.
  [[nodiscard]] bool write(const std::string& text) {
    if (write_whole(fd_, text) == text.size()) return true;
    if (errno == EPIPE) return false;
    throw RuntimeFailure((path_ == "-" ? "standard output" : "--write " + path_) + ": " + why());
  }
  [[nodiscard]] bool has_reader() const {
    pollfd pipe{fd_, 0, 0};
    return ::poll(&pipe, 1, 0) <= 0 || (pipe.revents & POLLERR) == 0;
  }

 private:
  [[nodiscard]] static std::string why() { return std::generic_category().message(errno); }

  std::string path_;
  int fd_ = STDOUT_FILENO;
};

std::string comment_of(const CaptureRecord& r) {
  if (r.kind == CaptureKind::kMade) return "sent: made by the proxy";
  constexpr std::array<std::string_view, 4> kVerdicts = {"drop", "forward", "reply", "cut"};
  const std::string_view verdict = kVerdicts.at(static_cast<std::size_t>(r.verdict));
  return (r.kind == CaptureKind::kLeft ? "sent: verdict=" : "verdict=") + std::string(verdict) +
         " reason=" + std::string(kReasons.at(static_cast<std::size_t>(r.fate)).name) +
         " worker=" + std::to_string(r.worker);
}

// Turns the answer into the file.
class Writer {
 public:
  Writer(Sink& sink, std::uint64_t limit) : sink_(sink), left_(limit) {}

  void begin(const Json& head, std::uint32_t snaplen) {
    const auto ports = head.at("ports").get<std::vector<std::string>>();
    sink_.begin();
    write(pcapng::section("synproxy " + head.at("version").get<std::string>()) +
          pcapng::interface(ports.at(0), "--client-port: between clients and proxy", snaplen) +
          pcapng::interface(ports.at(1), "--server-port: between proxy and servers", snaplen));
  }
  // `part`: of the answer. False: that was enough.
  [[nodiscard]] bool take(std::span<const std::uint8_t> part) {
    std::string out;
    while (!part.empty() && left_ != 0) {
      CaptureRecord record;
      if (part.size() < sizeof record) throw std::out_of_range("a record is cut");
      std::memcpy(&record, part.data(), sizeof record);
      part = part.subspan(sizeof record);
      if (part.size() < record.captured) throw std::out_of_range("a record is cut");
      pcapng::append(out, {.interface = static_cast<std::uint32_t>(record.side),
                           .unix_ns = record.time,
                           .length = record.length,
                           .bytes = part.first(record.captured),
                           .comment = comment_of(record),
                           .outbound = record.kind != CaptureKind::kCame});
      part = part.subspan(record.captured);
      last_ns_ = record.time;
      ++frames_;
      --left_;
    }
    if (!out.empty()) write(out);
    return left_ != 0 && reads_ && sink_.has_reader();
  }
  // Both interfaces share the workers' rings, so the first one speaks for both.
  void end(std::uint64_t missed) {
    if (reads_) write(pcapng::statistics(0, last_ns_, missed));
    const std::string text = std::to_string(frames_) + (frames_ == 1 ? " frame" : " frames") +
                             " captured, " + std::to_string(missed) + " missed" +
                             (missed == 0 ? "" : " because they came faster than they were read") +
                             "\n";
    static_cast<void>(write_whole(STDERR_FILENO, text));
  }

 private:
  void write(const std::string& text) { reads_ = sink_.write(text) && reads_; }

  Sink& sink_;
  std::uint64_t left_;
  std::uint64_t frames_ = 0;
  std::uint64_t last_ns_ = 0;
  bool reads_ = true;
};

std::uint64_t limit_of(const CommandLine& line) {
  const std::string* value = line.value("limit");
  if (value == nullptr) return std::numeric_limits<std::uint64_t>::max();
  try {
    return parse_integer(*value, 1, std::numeric_limits<std::uint32_t>::max());
  } catch (const std::invalid_argument& error) {
    throw UsageError("--limit " + *value + ": " + error.what() + "; give 1 to 4294967295 frames");
  }
}

void run_capture(const CommandLine& line, const Print&) {
  const Json request = capture_request(line);
  const std::uint64_t limit = limit_of(line);
  ControlClient client(line.name());
  Sink sink(line.value("write"));  // no file is made where nobody answers
  stop_at_signals();
  try {
    Writer writer(sink, limit);
    const Json head = client.ask(request);
    if (head.at("format") != kCaptureFormat || head.at("size") != sizeof(CaptureRecord)) {
      throw_other_version(line.name());
    }
    writer.begin(head, request.value("snaplen", 65535U));
    std::vector<std::uint8_t> part;
    std::uint64_t missed = 0;
    bool more = true;
    std::uint64_t end = std::numeric_limits<std::uint64_t>::max();  // as monotonic_us() has it
    for (std::uint64_t until = 0; more && until < end;) {
      const Json about = client.next_line();
      until = about.at("until").get<std::uint64_t>();
      missed = about.at("lost").get<std::uint64_t>();
      part.resize(about.at("bytes").get<std::uint32_t>());
      client.read(part.data(), part.size());
      more = writer.take(part);
      if (told_to_stop != 0) end = std::min(end, monotonic_us());
    }
    writer.end(missed);
  } catch (const Json::exception&) {
    throw_other_version(line.name());
  } catch (const std::out_of_range&) {
    throw_other_version(line.name());
  }
}

const std::string& notes() {
  static const std::string text = R"(
The file is pcapng, for tshark and Wireshark, and has two interfaces: the client's side of the proxy
and the server's. A frame stands there as it came, and once more as it left; so a connection is seen
before and after its numbers were translated. The comment of each frame says what became of it:

  verdict=drop reason=bad_checksum worker=0         came and was dropped
  verdict=forward reason=translated worker=0        came, and is sent to the other side
  sent: verdict=forward reason=translated worker=0  the same frame as it leaves
  sent: made by the proxy                           a SYN to the server, a RST, a keepalive

The reasons are the counters of `synproxy stat`. Without a flag all packets are captured. Several
flags narrow it down together; several --drop-reason add up. An ICMP error belongs to the connection
that it quotes, a later fragment to both of its addresses. With --drop-reason, frames that the proxy
made besides are left out.

It ends with Ctrl-C and all that came before it, after --limit frames, or when its reader has
enough. A worker never waits: what the reader is too slow for is missed, counted here at the end and
in the file, and as capture_lost. Only packets that match cost anything. Packets show what others
send, so this is for root and the user that the proxy runs as. One capture runs at a time.

  synproxy capture --drop-reason cookie_invalid --limit 100 --write invalid.pcapng
  synproxy capture --src 203.0.113.7 | tshark -i - -T fields -e ip.src -e frame.comment
  synproxy capture --flow 203.0.113.7:40000-192.0.2.10:80 --snaplen 128 --write one.pcapng

Reasons for --drop-reason
)" + drop_reasons();
  return text;
}

}  // namespace

Command capture_command() {
  return {.name = "capture",
          .usage = "[FILTER...] [--limit N] [--snaplen BYTES] [--write FILE] [--name NAME]",
          .help = "packets with verdict and reason, as a pcapng file for tshark and Wireshark",
          .flags = kCaptureFlags,
          .notes = notes(),
          .run = run_capture};
}

}  // namespace synproxy::control
