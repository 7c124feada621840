// SPDX-License-Identifier: BSD-3-Clause
// What the sorters find in a burst, against the same asked frame by frame; and that they read no
// byte behind a frame's buffer.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <random>

#include "burst/kernels.h"
#include "bursts_and_singles.h"

namespace synproxy {
namespace {

using namespace test;

// Frames that end where a page begins that nobody may read.
class Edge {
 public:
  Edge() : memory_(static_cast<std::uint8_t*>(map())) {
    if (mprotect(memory_ + kBytes, kPage, PROT_NONE) != 0) throw std::bad_alloc();
  }
  ~Edge() { munmap(memory_, kBytes + kPage); }
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;

  // `room`: at least the size of the frame.
  [[nodiscard]] Packet place(const Bytes& frame, std::size_t room) {
    std::uint8_t* const at = memory_ + kBytes - room;
    if (!frame.empty()) std::memcpy(at, frame.data(), frame.size());
    Packet p;
    p.data = at;
    p.length = static_cast<std::uint32_t>(frame.size());
    p.room = static_cast<std::uint32_t>(room);
    return p;
  }

 private:
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kBytes = kPage;
  static void* map() {
    void* const at =
        mmap(nullptr, kBytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    return at;
  }
  std::uint8_t* memory_;
};

// What a sorter should say of one frame.
struct Found {
  bool any = false;
  bool ipv6 = false;
  std::size_t tags = 0;  // bytes
  std::size_t tcp = 0;   // offset
};
std::uint16_t field(const Packet& p, std::size_t at) { return load_be<std::uint16_t>(p.data + at); }
bool is_tag(std::uint16_t type) { return type == kEtherTypeVlan || type == kEtherTypeQinQ; }
Found look_at(const Packet& p) {
  Found f;
  if (p.length < kUsualHeaders || p.length > kMaxFrame) return f;
  while (f.tags < 8 && is_tag(field(p, ether_at::kType + f.tags))) f.tags += 4;
  const std::uint16_t type = field(p, ether_at::kType + f.tags);
  f.ipv6 = type == kEtherTypeIpv6;
  f.tcp = kEthernetHeader + f.tags + (f.ipv6 ? 40U : 20U);
  f.any = (f.ipv6 || type == kEtherTypeIpv4) && p.length >= f.tcp + kTcpHeader &&
          p.room >= f.tcp + 44 && ((p.data[0] | p.data[6]) & 1) == 0;
  return f;
}
std::uint16_t flags_of(const Packet& p, const Found& f) {
  return field(p, f.tcp + tcp_at::kOffsetAndFlags) & 0xfff;
}
std::size_t header_of(const Packet& p, const Found& f) { return p.data[f.tcp + 12] / 16 * 4U; }

// The row of a SYN; nullopt: it is none.
std::optional<std::size_t> syn_row(const Packet& p, Found& f) {
  f = look_at(p);
  if (!f.any || p.checksum == ChecksumHint::kBad) return std::nullopt;
  const std::uint16_t flags = flags_of(p, f);
  const std::size_t header = header_of(p, f);
  if ((flags & ~(kEce | kCwr | kAe)) != kSyn || header < 20 || p.length < f.tcp + header) {
    return std::nullopt;
  }
  const std::size_t shape = flags == kSyn ? kShapeOfSize[header / 4] : kSynShapes.size();
  return SynRows::row_of(shape, f.ipv6);
}
std::optional<std::size_t> ack_row(const Packet& p, Found& f) {
  f = look_at(p);
  if (!f.any || (flags_of(p, f) & (kSyn | kRst | kAck)) != kAck) return std::nullopt;
  const std::size_t header = header_of(p, f);
  const std::size_t ip = kEthernetHeader + f.tags;
  const std::size_t end = f.ipv6 ? ip + 40 + field(p, ip + 4) : ip + field(p, ip + 2);
  if (header < 20 || end < f.tcp + header || end > p.length) return std::nullopt;
  constexpr std::array<std::uint8_t, 4> kStamps{1, 1, 8, 10};
  const bool stamped = header == 32 && std::memcmp(p.data + f.tcp + 20, kStamps.data(), 4) == 0;
  return AckRows::row_of(stamped ? 0 : header == 20 ? 1 : 2, f.ipv6);
}

template <typename Rows, typename RowOf>
void expect_sorted(const Rows& found, const std::vector<Packet>& burst, RowOf&& row_of) {
  std::array<std::uint32_t, Rows::kRows> places{};
  std::uint32_t tagged = 0;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    Found f;
    const std::optional<std::size_t> row = row_of(burst[i], f);
    if (!row) continue;
    places[*row] |= 1U << i;
    if (f.tags != 0) tagged |= 1U << i;
    ASSERT_EQ(found.frames[i], burst[i].data + f.tags) << i;
  }
  ASSERT_EQ(found.places, places);
  ASSERT_EQ(found.tagged, tagged);
}

class Sorters : public WithKernels {
 protected:
  void expect_both_sorted(const std::vector<Packet>& burst) {
    SynRows syns;
    kernels_for(GetParam()).syn_sorter->sort(burst, syns);
    ASSERT_NO_FATAL_FAILURE(expect_sorted(syns, burst, syn_row));
    AckRows acks;
    kernels_for(GetParam()).ack_sorter->sort(burst, acks);
    ASSERT_NO_FATAL_FAILURE(expect_sorted(acks, burst, ack_row));
  }
};

Bytes any_frame(std::mt19937& random) {
  constexpr std::array<std::uint16_t, 8> kFlags{
      kSyn, kSyn, kAck, kAck, kAck | kPsh, kSyn | kEce | kCwr, kSyn | kAck, kAck | kRst};
  PacketBuilder b;
  if (seldom(random, 2)) add_tags(b, random);
  if (seldom(random, 2)) b.ip("2001:db8:1::7", "2001:db8::10");
  b.ports(static_cast<std::uint16_t>(random()), 80).flags(pick(random, kFlags));
  switch (random() % 5) {
    case 0:
      b.nop(2).option({8, 10, 0, 0, 0, 1, 0, 0, 0, 2});
      break;
    case 1:
      b.mss(1460).option({4, 2}).option({8, 10, 0, 0, 0, 1, 0, 0, 0, 2}).nop().option({3, 3, 7});
      break;
    case 2:
      b.mss(1460).nop().option({3, 3, 8}).nop(2).option({4, 2});
      break;
    case 3:
      b.nop(4 * static_cast<unsigned>(random() % 11));
      break;
    default:
      break;
  }
  if (seldom(random, 6)) b.payload("GET /");
  Bytes frame = b.build();
  if (seldom(random, 6)) lie_about_length(frame, random);
  if (seldom(random, 4)) {
    frame[random() % frame.size()] ^= static_cast<std::uint8_t>(1U << random() % 8);
  }
  if (seldom(random, 6)) frame.resize(random() % (frame.size() + 1));
  return frame;
}

TEST_P(Sorters, FindWhatIsFoundFrameByFrame) {
  std::mt19937 random(23);
  std::vector<Edge> edges(kMaxBurst);
  for (int round = 0; round < rounds(4000); ++round) {
    std::vector<Packet> burst;
    for (std::size_t i = 0, size = 1 + random() % kMaxBurst; i < size; ++i) {
      const Bytes frame = any_frame(random);
      const std::size_t more = seldom(random, 2) ? 128 : random() % 60;
      burst.push_back(edges[i].place(frame, frame.size() + more));
      if (seldom(random, 9)) burst.back().checksum = ChecksumHint::kBad;
    }
    ASSERT_NO_FATAL_FAILURE(expect_both_sorted(burst)) << "round " << round;
  }
}

// Each length and each room, at the end of memory, in each lane.
TEST_P(Sorters, ReadNoByteBehindTheBuffer) {
  std::mt19937 random(29);
  std::vector<Edge> edges(9);
  std::size_t lane = 0;
  for (const std::uint16_t flags : {kSyn, kAck}) {
    for (const char* server : {"203.0.113.10", "2001:db8::10"}) {
      for (std::size_t tags = 0; tags < 4; ++tags) {
        PacketBuilder b;
        for (std::size_t i = 0; i < tags; ++i) b.vlan(7);
        if (std::strchr(server, ':') != nullptr) b.ip("2001:db8:1::7", server);
        b.ports(2000, 80).flags(flags);
        if (flags == kAck) b.nop(2).option({8, 10, 0, 0, 0, 1, 0, 0, 0, 2});
        const Bytes whole = b.build();
        for (std::size_t size = 0; size <= whole.size(); ++size) {
          for (std::size_t more = 0; more < 40; ++more) {
            std::vector<Packet> burst;
            for (std::size_t i = 0; i < edges.size(); ++i) {
              burst.push_back(edges[i].place(whole, whole.size() + 64));
            }
            const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            lane = (lane + 1) % edges.size();
            burst[lane] = edges[lane].place(cut, size + more);
            ASSERT_NO_FATAL_FAILURE(expect_both_sorted(burst)) << size << " of " << more;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Sorters, kernels(), kernels_name);

}  // namespace
}  // namespace synproxy
