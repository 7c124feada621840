// SPDX-License-Identifier: BSD-3-Clause
// ACKs with valid cookies that find the table full. If all its connections live, each ACK is
// refused. If their clients have fallen silent, each ACK takes the place of one of them.
#include <stdexcept>

#include "datapath/cases.h"

namespace synproxy::bench {
namespace {

class ValidAcks final : public Traffic {
 public:
  explicit ValidAcks(Reason fate) : fate_(fate) {}
  // The SYNs and their answers are not measured.
  void prepare(Bed& bed) override {
    // A cookie is good once, so no repetition may take the connections of another.
    static std::uint64_t next = 1ULL << 43;
    const std::uint64_t first = next;
    next += Bed::buffers();
    for (std::uint64_t n = first; n < next; ++n) {
      bed.add(bed.templates().syn[has_timestamps(n) ? 1 : 0], n,
              {client_isn(n), 0, client_clock(n, bed.now_ms()), 0});
    }
    bed.run();
    connections_.resize(Bed::buffers());
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (!bed.read_syn_ack(i, connections_[i])) {
        throw std::runtime_error("a SYN was not answered");
      }
    }
    bed.clear();
    fate_.begin(bed);
    for (std::uint64_t n = first; n < next; ++n) {
      bed.add_segment(bed.templates().small_up[has_timestamps(n) ? 1 : 0], n,
                      connections_[n - first]);
    }
  }
  // A silent one may have timed out just before.
  void check(Bed& bed) override { fate_.expect(bed, Bed::buffers(), Bed::buffers() / 100); }

 private:
  FateCheck fate_;
  std::vector<Connection> connections_;
};

Case full_table_case(const std::string& name, const BedConfig& bed, Reason fate) {
  return {.name = "valid_ack/full_table/" + name,
          .bed = bed,
          .traffic = [fate](Bed&) { return std::make_unique<ValidAcks>(fate); },
          .touches = {.record = true}};
}

}  // namespace

void add_full_table_cases(std::vector<Case>& cases) {
  cases.push_back(full_table_case("all_live", kFullOfLive, Reason::table_full));
  cases.push_back(full_table_case("all_silent", kFullOfSilent, Reason::flow_evicted));
}

}  // namespace synproxy::bench
