// SPDX-License-Identifier: BSD-3-Clause
// Mutates command lists by whole commands; linked only into the libFuzzer program.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "fuzz/command.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace synproxy::fuzz {
namespace {

using Commands = std::vector<Command>;

class Mutator {
 public:
  Mutator(Commands commands, unsigned seed) : commands_(std::move(commands)), random_(seed) {}

  Commands mutate(std::size_t most) {
    for (std::size_t n = 1 + below(3); n > 0; --n) once();
    if (commands_.size() > most) commands_.resize(most);
    return commands_;
  }
  std::size_t below(std::size_t n) { return random_() % n; }

 private:
  void once() {
    switch (below(9)) {
      case 0:
      case 1:
        return insert(fresh());
      case 2:
        return story();
      case 3: {  // one is removed
        if (commands_.size() > 1) commands_.erase(at());
        return;
      }
      case 4: {  // a stretch is repeated elsewhere
        if (commands_.empty()) return;
        const std::size_t from = below(commands_.size());
        const std::size_t n = std::min(1 + below(8), commands_.size() - from);
        const Commands part(commands_.begin() + static_cast<long>(from),
                            commands_.begin() + static_cast<long>(from + n));
        commands_.insert(at(), part.begin(), part.end());
        return;
      }
      case 5:
        if (commands_.size() > 1) std::swap(*at(), *at());
        return;
      case 6: {  // a stretch moves to another connection
        const auto who = static_cast<std::uint8_t>(below(16));
        for (auto c = at(); c != commands_.end() && below(8) != 0; ++c) c->who = who;
        return;
      }
      default:
        return change_field();
    }
  }

  // Mostly zero: the right numbers, and the choices that make sense.
  Command fresh() {
    Command c;
    c.op = static_cast<std::uint8_t>(below(static_cast<std::size_t>(Op::kCount)));
    c.who = static_cast<std::uint8_t>(below(3));
    for (std::uint8_t* field : {&c.flags, &c.seq, &c.ack, &c.shape, &c.a, &c.b}) {
      if (below(3) == 0) *field = byte();
    }
    return c;
  }

  void change_field() {
    if (commands_.empty()) return insert(fresh());
    auto* bytes = reinterpret_cast<std::uint8_t*>(&*at());
    const std::size_t field = below(sizeof(Command));
    switch (below(3)) {
      case 0:
        bytes[field] = byte();
        return;
      case 1:
        bytes[field] ^= static_cast<std::uint8_t>(1U << below(8));
        return;
      default:
        bytes[field] = 0;
    }
  }

  // Openings that a random walk would take long to find.
  void story() {
    const auto who = static_cast<std::uint8_t>(below(3));
    const auto add = [&](Op op, std::uint8_t flags = 0, std::uint8_t shape = 0) {
      Command c;
      c.op = static_cast<std::uint8_t>(op);
      c.who = who;
      c.flags = flags;
      c.shape = shape;
      commands_.push_back(c);
    };
    switch (below(6)) {
      case 0:  // opened, both speak
        add(Op::kOpen);
        add(Op::kClientSegment, 0x18, 6);
        return add(Op::kServerSegment, 0x18, 10);
      case 1:  // closed, and opened again
        add(Op::kOpen);
        add(Op::kClose);
        add(Op::kReuse);
        return add(Op::kOpen);
      case 2:  // early data, then the server
        add(Op::kClientSyn);
        add(Op::kHandshakeAck);
        add(Op::kEarlyData, 0, 6);
        return add(Op::kServerSynAck);
      case 3:  // a SYN on a live flow, and its ACK
        add(Op::kOpen);
        add(Op::kReuse);
        add(Op::kClientSyn);
        return add(Op::kHandshakeAck);
      case 4:  // refused, and the client speaks on
        add(Op::kClientSyn);
        add(Op::kHandshakeAck);
        add(Op::kServerSegment, 0x14);
        return add(Op::kClientSegment, 0x18, 2);
      default:  // the server's own connection
        add(Op::kServerSyn);
        add(Op::kClientSynAck);
        add(Op::kServerSegment, 0x10);
        return add(Op::kClientSegment, 0x18, 6);
    }
  }

  void insert(const Command& c) { commands_.insert(at(), c); }
  Commands::iterator at() {
    return commands_.begin() + static_cast<long>(commands_.empty() ? 0 : below(commands_.size()));
  }
  std::uint8_t byte() { return static_cast<std::uint8_t>(random_()); }

  Commands commands_;
  std::minstd_rand random_;
};

Commands commands_of(const std::uint8_t* data, std::size_t size) {
  Commands out;
  Script script(data, size);
  while (const auto c = script.next()) out.push_back(*c);
  return out;
}

std::size_t write(const Commands& commands, std::uint8_t* data) {
  const std::size_t size = commands.size() * sizeof(Command);
  if (size != 0) std::memcpy(data, commands.data(), size);
  return size;
}

}  // namespace
}  // namespace synproxy::fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  using namespace synproxy::fuzz;
  // Sometimes use libFuzzer's own mutation: it knows the constants that the code compares with.
  if (seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
  Mutator m(commands_of(data, size), seed);
  return write(m.mutate(max_size / sizeof(Command)), data);
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* one, std::size_t one_size,
                                                 const std::uint8_t* two, std::size_t two_size,
                                                 std::uint8_t* out, std::size_t max_size,
                                                 unsigned seed) {
  using namespace synproxy::fuzz;
  const Commands a = commands_of(one, one_size);
  const Commands b = commands_of(two, two_size);
  Mutator m({}, seed);
  const auto cut_a = static_cast<long>(m.below(a.size() + 1));
  const auto cut_b = static_cast<long>(m.below(b.size() + 1));
  Commands child(a.begin(), a.begin() + cut_a);
  child.insert(child.end(), b.begin() + cut_b, b.end());
  if (child.size() > max_size / sizeof(Command)) child.resize(max_size / sizeof(Command));
  return write(child, out);
}
