// SPDX-License-Identifier: BSD-3-Clause
#include "control/requests.h"

#include <unistd.h>

#include <new>
#include <utility>

#include "base/errors.h"
#include "control/help.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

// No request nests deeper than a list in an object.
constexpr int kMaxDepth = 3;

class OneLine final : public Answer {
 public:
  explicit OneLine(std::string line) : line_(std::move(line)) {}
  Step next(std::string& out) override {
    out += line_;
    return Step::kEnd;
  }

 private:
  std::string line_;
};

// Paths and what a peer has typed may hold any bytes; JSON holds only UTF-8.
std::string line_of(const Json& document) {
  return document.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Values that lie deeper are left out while they are read, so nobody can nest us to death.
Json parse(std::string_view line) {
  return Json::parse(
      line, [](int depth, Json::parse_event_t, const Json&) { return depth <= kMaxDepth; }, false);
}

}  // namespace

std::string Peer::text() const {
  return "uid " + std::to_string(uid) + ", pid " + std::to_string(pid);
}

std::string answer_line(const Json& result) { return line_of({{"ok", true}, {"result", result}}); }

std::unique_ptr<Answer> answer_of(const Json& result) {
  return std::make_unique<OneLine>(answer_line(result));
}

std::unique_ptr<Answer> refusal(const std::string& error, bool usage) {
  return std::make_unique<OneLine>(line_of({{"ok", false}, {"usage", usage}, {"error", error}}));
}

void Requests::add(const std::string& command, Kind kind, Handler handler) {
  add_long(command, kind, [handler = std::move(handler)](const Json& request, const Peer& peer) {
    return answer_of(handler(request, peer));
  });
}

void Requests::add_long(const std::string& command, Kind kind, Maker maker) {
  entries_[command] = {kind, std::move(maker)};
}

std::unique_ptr<Answer> Requests::answer(std::string_view line, const Peer& peer) const {
  try {
    const Json request = parse(line);
    if (!request.is_object()) return refusal("the request is no JSON object on one line", false);
    const auto command = request.find("command");
    if (command == request.end() || !command->is_string()) {
      return refusal("the request names no command", false);
    }
    const auto entry = entries_.find(command->get_ref<const std::string&>());
    if (entry == entries_.end()) {
      return refusal(
          "this proxy does not know that request; it may be of an older version than "
          "the command: use the program that was started",
          false);
    }
    if (entry->second.kind == Kind::kChanging && !peer.may_change) {
      return refusal("no permission to change anything, only to read (" + peer.text() +
                         "); run as root, or as the user that started the proxy",
                     false);
    }
    return entry->second.maker(request, peer);
  } catch (const UsageError& error) {
    return refusal(error.what(), true);
  } catch (const RuntimeFailure& error) {
    return refusal(error.what(), false);
  } catch (const Json::exception&) {
    return refusal("the request cannot be read", false);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    return refusal(error.what(), false);
  }
}

void add_info_request(Requests& requests, const std::string& name, const ProgramClock& clock) {
  requests.add("info", Requests::Kind::kReading, [name, &clock](const Json&, const Peer&) {
    return Json{{"name", name},
                {"version", version_number()},
                {"pid", ::getpid()},
                {"uptime_seconds", clock.now_ms() / 1000}};
  });
}

std::string text_field(const Json& request, const char* field) {
  const auto found = request.find(field);
  if (found == request.end() || !found->is_string()) {
    throw UsageError(std::string("the request has no text '") + field + "'");
  }
  return found->get<std::string>();
}

}  // namespace synproxy::control
