// SPDX-License-Identifier: BSD-3-Clause
// Whole short connections. At the speed of a whole core, a table of the default size is full of
// finished ones long before the first has been finished for --close-timeout. They are measured in
// that state: every new connection takes the record of a finished one.
#include <stdexcept>

#include "datapath/conversations.h"

namespace synproxy::bench {
namespace {

class ShortConnections final : public Traffic {
 public:
  ShortConnections(Bed& bed, bool early, std::uint64_t first)
      : conversations_(Bed::buffers() / 2, early, first) {
    const std::uint64_t enough = bed.count(Reason::flow_evicted) + Bed::buffers();
    while (bed.count(Reason::flow_evicted) < enough) {
      bed.clear();
      prepare(bed);
      bed.run();
      check(bed);
    }
  }
  void prepare(Bed& bed) override {
    fate_.begin(bed);
    finished_ = conversations_.finished();
    conversations_.begin_pass();
    while (conversations_.add_one(bed)) {
    }
  }
  void check(Bed& bed) override {
    conversations_.read_cookies(bed);
    fate_.expect(bed, conversations_.finished() - finished_);
  }

 private:
  Conversations conversations_;
  FateCheck fate_{Reason::conn_finished};
  std::uint64_t finished_ = 0;
};

Case connection_case(const std::string& name, bool early, std::uint64_t first,
                     const BedConfig& bed = kConnecting) {
  return {.name = "connection/" + name,
          .bed = bed,
          .traffic = [early, first](
                         Bed& b) { return std::make_unique<ShortConnections>(b, early, first); },
          .touches = kTouchesAll,
          .packets_per_operation = Conversations::kPackets,
          .unit = "cycles/connection"};
}

}  // namespace

void add_connection_cases(std::vector<Case>& cases) {
  cases.push_back(connection_case("request_held", true, 1ULL << 40));
  cases.push_back(connection_case("request_after_splice", false, 1ULL << 41));
  // What limits per source add: two rates and two numbers of connections, looked at together.
  cases.push_back(connection_case("request_held/limited", true, 1ULL << 40, kConnectingLimited));
  cases.push_back(connection_case("request_held/limited/several_workers", true, 1ULL << 40,
                                  kConnectingLimitedOfSeveral));
  // What it adds that no more than a number of them may wait for the server.
  cases.push_back(connection_case("request_held/in_turns", true, 1ULL << 40, kConnectingInTurns));
  // All of these, lists of sources, --bogons, --min-ttl, --strict-window and --reply-rate.
  cases.push_back(connection_case("request_held/all_rules", true, 1ULL << 40, kConnectingAllRules));
  // Of a service at peace, in --mode adaptive: watched and not translated.
  cases.push_back(connection_case("watched", false, 1ULL << 41, kConnectingInPeace));
}

}  // namespace synproxy::bench
