// SPDX-License-Identifier: BSD-3-Clause
// What may be asked of the running proxy at its control socket, and who answers it.
//
// A request is one line, a JSON object whose "command" says what is asked. The answer begins with
// one line: {"ok": true, "result": ...} or {"ok": false, "usage": BOOL, "error": TEXT}. `usage`
// says that the asker can mend it. A long answer has more behind that line (Answer).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "control/clock.h"

namespace synproxy::control {

// Who asks, by the word of the kernel.
struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  bool may_change = false;  // root, or the user that the proxy runs as

  [[nodiscard]] std::string text() const;  // "uid 0, pid 4711"
};

// An answer that is made piece by piece, as its reader takes it.
class Answer {
 public:
  enum class Step : char { kMore, kWait, kEnd };

  virtual ~Answer() = default;
  // Appends the next piece to `out`, a few hundred KB at most. kWait: there is none yet, ask again
  // in a millisecond. kEnd: this was the last one. Never waits, and throws nothing.
  [[nodiscard]] virtual Step next(std::string& out) = 0;
  // It lasts as long as its reader takes it, and may pause.
  [[nodiscard]] virtual bool endless() const { return false; }
  // Open files to go along with the first piece, kMostFiles at most. The reader gets duplicates.
  static constexpr std::size_t kMostFiles = 128;
  [[nodiscard]] virtual std::vector<int> descriptors() const { return {}; }
};

// An answer of one line.
[[nodiscard]] std::unique_ptr<Answer> answer_of(const nlohmann::ordered_json& result);
// The first line of a longer one.
[[nodiscard]] std::string answer_line(const nlohmann::ordered_json& result);

class Requests {
 public:
  using Json = nlohmann::ordered_json;
  // Both may throw UsageError or RuntimeFailure: then their text is the answer. They run on the
  // thread of the control socket, and nothing else is answered meanwhile.
  using Handler = std::function<Json(const Json& request, const Peer& peer)>;
  using Maker = std::function<std::unique_ptr<Answer>(const Json& request, const Peer& peer)>;
  enum class Kind : char { kReading, kChanging };

  void add(const std::string& command, Kind kind, Handler handler);
  void add_long(const std::string& command, Kind kind, Maker maker);

  // `line`: whatever a peer has sent. Throws nothing but std::bad_alloc.
  [[nodiscard]] std::unique_ptr<Answer> answer(std::string_view line, const Peer& peer) const;

 private:
  struct Entry {
    Kind kind;
    Maker maker;
  };
  std::map<std::string, Entry, std::less<>> entries_;
};

// Reads a field of a request. Throws UsageError if it is missing or of another type.
[[nodiscard]] std::string text_field(const nlohmann::ordered_json& request, const char* field);

// "info": the name, the version, the process and its uptime. `clock` outlives `requests`.
void add_info_request(Requests& requests, const std::string& name, const ProgramClock& clock);

// The answer to what is no request.
[[nodiscard]] std::unique_ptr<Answer> refusal(const std::string& error, bool usage);

}  // namespace synproxy::control
