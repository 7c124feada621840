// SPDX-License-Identifier: BSD-3-Clause
// Keeps the SYN-ACKs of the last seconds, so that an unanswered one can be sent again.
//
// A client whose handshake ACK is lost believes in a connection that the proxy does not know. If
// the client speaks first, its data mends that. If the server is to speak first, both sides would
// wait for ever. So a SYN-ACK that has no flow a second later is sent again, and the client answers
// it (RFC 9293 section 3.10.7.4: an unacceptable segment is acknowledged).
//
// On a bad path one repeat is not enough: with 10 % loss each way 1.9 % of the connections lose the
// ACK and then the repeat or its answer. So while few SYN-ACKs wait, there is a second repeat 2 s
// later and a third 4 s after that; servers back off alike (RFC 6298 section 5.5).
//
// A client that answers with a RST wants no connection: a half-open scanner, or a host that never
// sent the SYN. Its RST stops the repeats. The SYN-ACK is found by the key of its flow; of two
// whose hashes have the same place the later one is found.
//
// The memory has a fixed size, and a flood switches it off: when it is full, most repeats would go
// to forged addresses. A second with few SYNs switches it on again.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "synproxy/flow/identity.h"
#include "synproxy/proxy/link_header.h"
#include "synproxy/proxy/reply.h"

namespace synproxy {

class SynAckRepeats {
 public:
  static constexpr std::size_t kLevels = 3;
  // How many may wait for the first, second and third repeat. Powers of two.
  static constexpr std::array<std::uint32_t, kLevels> kRoom{4096, 256, 256};
  static constexpr std::array<std::uint32_t, kLevels> kDelayMs{1000, 2000, 4000};

  struct Entry {
    FlowKey key;
    TcpReply syn_ack;
    IpLook look;
    LinkHeader link;                // of the client's SYN
    std::uint32_t deadline_ms = 0;  // worker's clock modulo 2^32
    std::uint16_t place = 0;        // in `latest_`
    bool refused = false;
  };

  // `repeats`: 0 to kLevels. There is room for kLevels in any case, since the number may change. A
  // page is touched when it is first used.
  explicit SynAckRepeats(std::size_t repeats) : repeats_(std::min(repeats, kLevels)) {
    for (std::size_t i = 0; i < kLevels; ++i) rings_[i].entries.reset(new Entry[kRoom[i]]);
    latest_.reset(new Place[kPlaces]());
  }
  // Forgets the entries that wait for a repeat above the new number.
  void set_repeats(std::size_t repeats) {
    repeats_ = std::min(repeats, kLevels);
    for (std::size_t i = repeats_; i < kLevels; ++i) rings_[i].head = rings_[i].tail;
    if (repeats_ == 0) forget_latest();
  }

  // Call for every SYN. Returns the place for its SYN-ACK, or nullptr. The caller fills in key,
  // SYN-ACK and link, and calls file().
  [[nodiscard]] Entry* admit(std::uint32_t now_ms) {
    const bool may = open(now_ms);
    pass_over(1);
    if (!may) return nullptr;
    if (rings_[0].size() == kRoom[0]) {
      turn_off();
      return nullptr;
    }
    return push(0, now_ms);
  }

  // `hash`, here and below: of the key.
  void file(Entry& e, std::uint64_t hash) {
    e.place = static_cast<std::uint16_t>(hash % kPlaces);
    latest_[e.place] = {&e, mark_of(hash), e.syn_ack.ack};
  }
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&latest_[hash % kPlaces]); }

  // The last SYN-ACK of a flow's key if it answered another SYN than that with `isn`; nullptr: it
  // did not, none is known, or it was refused. Where it answered that one, as after nearly every
  // handshake, the place alone says so.
  [[nodiscard]] Entry* latest_but(const KeyView& key, std::uint64_t hash, SeqNum isn) const {
    return latest_[hash % kPlaces].ack == isn + 1 ? nullptr : latest(key, hash);
  }
  // The SYN-ACK that a RST with the number `seq` answers; nullptr: none is known. RFC 9293
  // section 3.10.7.4 in SYN-RECEIVED, RFC 5961 section 3.2: the number must be exact. With
  // `refused` set it is not repeated any more, and neither are its copies.
  [[nodiscard]] Entry* find(const KeyView& key, std::uint64_t hash, SeqNum seq) const {
    return latest_[hash % kPlaces].ack == seq ? latest(key, hash) : nullptr;
  }

  // The SYN-ACK whose own number is `seq`; nullptr: none is known.
  [[nodiscard]] Entry* find_sent(const KeyView& key, std::uint64_t hash, SeqNum seq) const {
    Entry* e = latest(key, hash);
    return e != nullptr && e->syn_ack.seq == seq ? e : nullptr;
  }

  // Whether there may be a place now. If not, one call of pass_over() replaces `n` calls of
  // admit().
  [[nodiscard]] bool open(std::uint32_t now_ms) {
    if (repeats_ == 0) return false;
    if (now_ms - second_began_ >= 1000) {
      off_ = off_ && seen_ > kRoom[0] / 2;
      seen_ = 0;
      second_began_ = now_ms;
    }
    return !off_;
  }
  void pass_over(std::uint32_t n) { seen_ += n; }
  // Call for SYNs that got no answer because of --reply-rate. They are as much of a flood.
  void pass_over_capped(std::uint32_t n) {
    pass_over(n);
    if (seen_ > kRoom[0] && !off_) turn_off();
  }

  // Calls unanswered(entry) for entries that are due, `limit` at most. Where it returns true, the
  // entry goes on to wait for its next repeat, if there is one.
  template <typename Unanswered>
  void run(std::uint32_t now_ms, unsigned limit, Unanswered&& unanswered) {
    for (std::size_t level = 0; level < repeats_; ++level) {
      Ring& r = rings_[level];
      for (; limit != 0 && r.size() != 0; --limit) {
        const Entry& e = r.entries[r.head % kRoom[level]];
        if (static_cast<std::int32_t>(now_ms - e.deadline_ms) < 0) break;
        ++r.head;  // nothing is pushed to this level before `e` was copied
        if (refused(e) || !unanswered(e) || level + 1 == repeats_) continue;
        if (rings_[level + 1].size() == kRoom[level + 1]) continue;
        Entry* next = push(level + 1, now_ms);
        const std::uint32_t deadline = next->deadline_ms;
        *next = e;
        next->deadline_ms = deadline;
        if (latest_[e.place].entry == &e) latest_[e.place].entry = next;
      }
    }
  }

  [[nodiscard]] bool off() const { return off_; }
  [[nodiscard]] std::size_t waiting() const {
    std::size_t n = 0;
    for (const Ring& r : rings_) n += r.size();
    return n;
  }

 private:
  struct Ring {
    std::unique_ptr<Entry[]> entries;
    std::uint32_t head = 0;
    std::uint32_t tail = 0;
    [[nodiscard]] std::uint32_t size() const { return tail - head; }
  };

  static constexpr std::uint32_t kPlaces = 4096;
  // The last SYN-ACK of the keys whose hashes have this place. Mark and number tell nearly all
  // questions that are about another one apart without a look at the entry, which is out of the
  // cache.
  struct Place {
    Entry* entry;
    std::uint32_t mark;
    SeqNum ack;
  };
  static std::uint32_t mark_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash >> 32);
  }

  // The last SYN-ACK of a flow's key; nullptr: none is known, or it was refused.
  [[nodiscard]] Entry* latest(const KeyView& key, std::uint64_t hash) const {
    const Place& p = latest_[hash % kPlaces];
    if (p.mark != mark_of(hash)) return nullptr;
    Entry* e = p.entry;  // another may have taken its slot since
    return e != nullptr && !e->refused && same_key(e->key, key) ? e : nullptr;
  }

  void turn_off() {
    off_ = true;
    for (Ring& r : rings_) r.head = r.tail;
    forget_latest();
  }
  // What is filed is the last SYN-ACK of its key only while all of them are filed.
  void forget_latest() { std::fill_n(latest_.get(), kPlaces, Place{}); }

  // A SYN that came twice has two entries, and the later one was found.
  [[nodiscard]] bool refused(const Entry& e) const {
    const Entry* latest = latest_[e.place].entry;
    return e.refused || (latest != nullptr && latest->refused && latest->key == e.key &&
                         latest->syn_ack.ack == e.syn_ack.ack);
  }

  Entry* push(std::size_t level, std::uint32_t now_ms) {
    Ring& r = rings_[level];
    Entry& e = r.entries[r.tail++ % kRoom[level]];
    e.deadline_ms = now_ms + kDelayMs[level];
    e.refused = false;
    return &e;
  }

  std::size_t repeats_;
  std::array<Ring, kLevels> rings_;
  std::unique_ptr<Place[]> latest_;  // by hash
  std::uint32_t seen_ = 0;           // SYNs in the second that began at second_began_
  std::uint32_t second_began_ = 0;
  bool off_ = false;
};

}  // namespace synproxy
