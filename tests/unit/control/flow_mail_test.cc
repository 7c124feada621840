// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow_mail.h"

#include <gtest/gtest.h>

#include <thread>

namespace synproxy::dataplane {
namespace {

// A table whose flows change all the time: both ports of a flow are always the same number.
class Table {
 public:
  explicit Table(FlowIndex flows) : flows_(flows) {}

  FlowSlice copy_flows(FlowIndex from, std::uint32_t looks, std::span<FlowInfo> out,
                       std::uint64_t) const {
    FlowSlice slice;
    FlowIndex i = from;
    for (; i < flows_.size() && looks != 0 && slice.count < out.size(); ++i, --looks) {
      if (flows_[i].state != 0) out[slice.count++] = flows_[i];
    }
    slice.next = i < flows_.size() ? i : kNoFlow;
    return slice;
  }
  FlowSlice copy_services(FlowIndex from, std::uint32_t, std::span<ServiceInfo> out) const {
    out[0].port = static_cast<std::uint16_t>(from);
    return {.count = 1, .next = from == 9 ? kNoFlow : from + 1};
  }
  bool delete_flow(FlowIndex i, const FlowKey& key, std::uint64_t, FrameSink&) {
    if (i >= flows_.size() || flows_[i].state == 0 || key.client_port != i % 1000) return false;
    flows_[i].state = 0;
    return true;
  }
  void change() {
    ++port_;
    for (FlowInfo& f : flows_) {
      if (f.state == 0) continue;
      f.client_port = f.server_port = port_;
    }
  }
  void fill() {
    for (std::size_t i = 0; i < flows_.size(); ++i) {
      flows_[i].index = static_cast<FlowIndex>(i);
      flows_[i].state = i % 3 == 0 ? 0 : 2;
    }
  }

 private:
  std::vector<FlowInfo> flows_;
  std::uint16_t port_ = 0;
};

class Nothing final : public FrameSink {
  void emit(Role, std::span<const std::uint8_t>) override {}
};

TEST(FlowMail, CopiesInSlicesUntilTheLetterIsFullOrTheTableEnds) {
  Table table(3 * FlowMail::kMost);
  table.fill();
  Nothing sink;
  FlowMail mail;
  EXPECT_FALSE(mail.asked());
  std::size_t all = 0;
  for (FlowIndex from = 0; from != kNoFlow; from = mail.next()) {
    mail.ask_for_flows(from);
    while (mail.asked()) mail.serve(table, 100, 0, sink);
    ASSERT_EQ(mail.state(), FlowMail::State::kDone);
    all += mail.flows().size();
    EXPECT_LE(mail.flows().size(), FlowMail::kMost);
  }
  EXPECT_EQ(all, 2 * FlowMail::kMost);
  mail.forget();
  EXPECT_EQ(mail.state(), FlowMail::State::kIdle);
}

TEST(FlowMail, CopiesWhatWasLearned) {
  Table table(0);
  Nothing sink;
  FlowMail mail;
  mail.ask_for_services(0);
  while (mail.asked()) mail.serve(table, 100, 0, sink);
  ASSERT_EQ(mail.services().size(), 10U);
  for (std::uint16_t i = 0; i < 10; ++i) EXPECT_EQ(mail.services()[i].port, i);
  EXPECT_EQ(mail.next(), kNoFlow);
}

TEST(FlowMail, DeletesInSlicesAndCountsWhatWasThere) {
  Table table(900);
  table.fill();
  Nothing sink;
  FlowMail mail;
  std::vector<FlowMail::FlowName> names;
  for (FlowIndex i = 0; i < 1000; ++i) {
    names.push_back({.index = i, .key = {}});
    names.back().key.client_port = static_cast<std::uint16_t>(i);
  }
  mail.ask_to_delete(names);
  unsigned turns = 0;
  for (; mail.asked(); ++turns) mail.serve(table, 256, 0, sink);
  EXPECT_EQ(turns, 8U) << "128 at a time";
  EXPECT_EQ(mail.deleted(), 600U);
  mail.ask_to_delete({});
  mail.serve(table, 256, 0, sink);
  EXPECT_EQ(mail.state(), FlowMail::State::kDone);
  EXPECT_EQ(mail.deleted(), 0U);
}

// The worker changes its flows all the time; no copy holds half of a change. Run it under TSan too.
TEST(FlowMail, TheReaderNeverSeesHalfAFlow) {
  FlowMail mail;
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    Table table(2000);
    table.fill();
    Nothing sink;
    while (!stop.load(std::memory_order_relaxed)) {
      table.change();
      if (mail.asked()) mail.serve(table, 64, 0, sink);
    }
  });
  for (int round = 0; round < 20; ++round) {
    std::size_t seen = 0;
    for (FlowIndex from = 0; from != kNoFlow; from = mail.next()) {
      mail.ask_for_flows(from);
      while (mail.state() != FlowMail::State::kDone) std::this_thread::yield();
      for (const FlowInfo& f : mail.flows()) {
        ASSERT_EQ(f.client_port, f.server_port);
        ++seen;
      }
    }
    EXPECT_EQ(seen, 1333U);
  }
  stop = true;
  worker.join();
}

}  // namespace
}  // namespace synproxy::dataplane
