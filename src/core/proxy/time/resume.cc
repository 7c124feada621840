// SPDX-License-Identifier: BSD-3-Clause
#include "time/resume.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <tuple>

#include "synproxy/base/copy_of_live.h"

namespace synproxy {
namespace {

// As if the client had sent nothing yet, which is what it believes.
void ask_anew(Rooms& rooms, FlowIndex i) {
  FlowRecord& f = rooms.flows[i];
  f.handshake().early = EarlyStore::kNone;
  f.client_nxt = f.client_isn + 1;
  f.server_nxt = f.cookie + 1;
  f.clear(kFlowClientFin | kFlowWaits);
  // Places and turns went with the dead process. A flow whose server it had not asked may still
  // have to wait.
  const FlowKey key = rooms.flows.key_of(i);
  const bool waits = rooms.turns.on() &&
                     rooms.turns.arrive(i, key, key.client.data(), false) == Turns::Turn::kWaits;
  if (waits) return f.set(kFlowWaits);
  f.clear(kFlowUnasked);
  rooms.handshakes.ask_at_once(i, f, rooms.now.ms32());
}

// The client may have been promised more than its server takes. Which clients were is forgotten.
void note_too_long(Rooms& rooms, FlowIndex i) {
  if (!rooms.flows[i].translated()) return;
  const FlowKey key = rooms.flows.key_of(i);
  const std::uint16_t shown = rooms.answerer.services().shown_mss(key);
  const std::uint16_t promised = std::max(rooms.now.tuning().offer.mss, assumed_mss(key.ipv6));
  if (shown != 0 && shown < promised) rooms.too_long.note(i);
}

void go_on(Rooms& rooms, FlowIndex i) {
  FlowRecord& f = rooms.flows[i];
  if (f.state() == FlowState::kSynSent) return ask_anew(rooms, i);
  // The answers may have come while nobody listened.
  f.clear(kFlowProbed | kFlowProbedAgain);
  note_too_long(rooms, i);
}

}  // namespace

Found resume(Rooms& rooms) {
  rooms.answerer.services().restore();
  rooms.frames.restore();
  const Found found = rooms.flows.restore(rooms.now);
  rooms.flows.each([&](FlowIndex i) { go_on(rooms, i); });
  rooms.counters.count(Reason::flow_resumed, found.kept);
  rooms.counters.count(Reason::flow_unfit, found.dropped);
  return found;
}

namespace {

struct Looks {
  IpLook client;
  IpLook server;
};
Looks looks_of(const Rooms& rooms, FlowIndex i) {
  const FlowRecord& f = rooms.flows[i];  // not read: its address says which looks are meant
  return {rooms.flows.look(f, Role::kClient), rooms.flows.look(f, Role::kServer)};
}

// A record, word by word.
struct RecordWords {
  WordsOf<FlowRecord> words;

  explicit RecordWords(const FlowRecord& live) : words(words_of_live(live)) {}

  [[nodiscard]] bool is_free() const {
    const auto progress = field<std::uint16_t>(offsetof(FlowRecord, progress));
    return FlowRecord::state_in(progress) == FlowState::kFree;
  }
  [[nodiscard]] std::uint16_t link() const {
    return FlowRecord::link_in(field<std::uint16_t>(offsetof(FlowRecord, link_and_offer)));
  }

 private:
  template <typename T>
  [[nodiscard]] T field(std::size_t offset) const {
    T value;
    std::memcpy(&value, reinterpret_cast<const std::byte*>(words.data()) + offset, sizeof value);
    return value;
  }
};

// Never 0. Each word has a factor of its own, so that no change of one is lost.
std::uint64_t digest_of(const RecordWords& f, const Looks& looks, const CarryBook& book) {
  constexpr std::array<std::uint64_t, 10> kFactors{
      0x9e3779b97f4a7c15U, 0xbf58476d1ce4e5b9U, 0x94d049bb133111ebU, 0xff51afd7ed558ccdU,
      0xc4ceb9fe1a85ec53U, 0x2545f4914f6cdd1dU, 0xd6e8feb86659fd93U, 0xa0761d6478bd642fU,
      0xe7037ed1a0b428dbU, 0x8ebc6af09c88c6e3U};
  static_assert(kFactors.size() == std::tuple_size_v<WordsOf<FlowRecord>> + 2);
  const auto word_of = [](const IpLook& look) {
    return std::uint64_t{look.first.raw()} << 8 | look.ttl;
  };
  std::uint64_t sum = book.links[f.link()];
  sum += word_of(looks.client) * kFactors[8] + word_of(looks.server) * kFactors[9];
  for (std::size_t i = 0; i < f.words.size(); ++i) sum += f.words[i] * kFactors[i];
  return sum != 0 ? sum : 1;
}

}  // namespace

std::size_t find_changed_flows(const Rooms& rooms, const CarryBook& book, FlowIndex from,
                               FlowIndex to, std::span<FlowIndex> out) {
  std::size_t count = 0;
  for (FlowIndex i = from; i < to; ++i) {
    const RecordWords f(rooms.flows[i]);
    const std::uint64_t now = f.is_free() ? 0 : digest_of(f, looks_of(rooms, i), book);
    if (now != book.flows[i]) out[count++] = i;
  }
  return count;
}

CarriedFlow carry_flow(const Rooms& rooms, CarryBook& book, FlowIndex i) {
  CarriedFlow out;
  out.record = copy_of_live(rooms.flows[i]);
  out.index = i;
  out.birth = rooms.flows.birth(i);
  book.flows_end = std::max(book.flows_end, i + 1);
  if (out.record.state() == FlowState::kFree) {
    out.record = FlowRecord{};
    book.flows[i] = 0;
    return out;
  }
  const Looks looks = looks_of(rooms, i);
  const FlowKey key = rooms.flows.key_of(i);
  // Read after the record, it may be another connection's. Then both are carried again.
  book.flows[i] = FlowTable::could_be(out.record, key, rooms.flows.hash_of(key))
                      ? digest_of(RecordWords(out.record), looks, book)
                      : 0;
  out.client = key.client;
  out.server = key.server;
  out.client_look = looks.client;
  out.server_look = looks.server;
  if (const Link* const link = rooms.frames.link_of(out.record)) out.link = *link;
  return out;
}

FlowIndex adopt(Rooms& rooms, const CarriedFlow& c) {
  const FlowIndex i = rooms.flows.adopt(c.record, c.key(), c.birth, rooms.now);
  if (i == kNoFlow) return kNoFlow;
  FlowRecord& f = rooms.flows[i];
  rooms.flows.set_look(f, Role::kClient, c.client_look);
  rooms.flows.set_look(f, Role::kServer, c.server_look);
  rooms.frames.adopt_link(f, c.link);
  go_on(rooms, i);
  return i;
}

}  // namespace synproxy
