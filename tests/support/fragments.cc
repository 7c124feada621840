// SPDX-License-Identifier: BSD-3-Clause
#include "support/fragments.h"

#include <algorithm>

#include "support/naive_checksum.h"

namespace synproxy::test {
namespace {

struct Parts {
  std::size_t ip = 14;   // where it begins
  std::size_t data = 0;  // behind the headers that are repeated
  std::size_t end = 0;   // of the packet
  bool ipv6 = false;
};

unsigned get16(const Bytes& f, std::size_t at) { return f.at(at) * 256U + f.at(at + 1); }
void set16(Bytes& f, std::size_t at, std::size_t v) {
  f.at(at) = static_cast<std::uint8_t>(v >> 8);
  f.at(at + 1) = static_cast<std::uint8_t>(v);
}

Parts parts_of(const Bytes& f) {
  Parts p;
  while (get16(f, p.ip - 2) == 0x8100 || get16(f, p.ip - 2) == 0x88a8) p.ip += 4;
  p.ipv6 = get16(f, p.ip - 2) == 0x86dd;
  p.data = p.ip + (p.ipv6 ? 40U : (f.at(p.ip) & 15U) * 4U);
  p.end = p.ip + (p.ipv6 ? 40 + get16(f, p.ip + 4) : get16(f, p.ip + 2));
  return p;
}

void fill_checksum(Bytes& f, const Parts& p) {
  set16(f, p.ip + 10, 0);
  const Bytes header(f.begin() + static_cast<long>(p.ip), f.begin() + static_cast<long>(p.data));
  set16(f, p.ip + 10, NaiveSum().add(header).checksum());
}

}  // namespace

Bytes piece(const Bytes& frame, std::size_t begin, std::size_t end, bool more, std::uint32_t id) {
  const Parts p = parts_of(frame);
  Bytes f(frame.begin(), frame.begin() + static_cast<long>(p.data));
  if (p.ipv6) {
    const std::size_t field = begin | (more ? 1U : 0U);
    const Bytes header{f.at(p.ip + 6),
                       0,
                       static_cast<std::uint8_t>(field >> 8),
                       static_cast<std::uint8_t>(field),
                       static_cast<std::uint8_t>(id >> 24),
                       static_cast<std::uint8_t>(id >> 16),
                       static_cast<std::uint8_t>(id >> 8),
                       static_cast<std::uint8_t>(id)};
    f.at(p.ip + 6) = 44;
    set16(f, p.ip + 4, 8 + end - begin);
    f.insert(f.end(), header.begin(), header.end());
  } else {
    set16(f, p.ip + 2, p.data - p.ip + end - begin);
    set16(f, p.ip + 4, id & 0xffffU);
    set16(f, p.ip + 6, begin / 8 | (more ? 0x2000U : 0U));
    fill_checksum(f, p);
  }
  f.insert(f.end(), frame.begin() + static_cast<long>(p.data + begin),
           frame.begin() + static_cast<long>(p.data + end));
  return f;
}

std::vector<Bytes> cut(const Bytes& frame, std::size_t each, std::uint32_t id) {
  const Parts p = parts_of(frame);
  const std::size_t size = p.end - p.data;
  std::vector<Bytes> out;
  for (std::size_t at = 0; at < size; at += each) {
    const std::size_t end = std::min(size, at + each);
    out.push_back(piece(frame, at, end, end < size, id));
  }
  return out;
}

bool is_fragment(const Bytes& frame) {
  const Parts p = parts_of(frame);
  return p.ipv6 ? frame.at(p.ip + 6) == 44 : (get16(frame, p.ip + 6) & 0x3fffU) != 0;
}

std::optional<Bytes> join(std::span<const Bytes> fragments) {
  Bytes data;
  Bytes head;
  bool last = false;
  for (const Bytes& f : fragments) {
    const Parts p = parts_of(f);
    const unsigned field = get16(f, p.ipv6 ? p.data + 2 : p.ip + 6);
    const std::size_t offset = p.ipv6 ? field & 0xfff8U : (field & 0x1fffU) * 8;
    if (last || offset != data.size()) return std::nullopt;
    last = (field & (p.ipv6 ? 1U : 0x2000U)) == 0;
    if (!p.ipv6) {
      Bytes checked = f;
      fill_checksum(checked, p);
      if (checked != f) return std::nullopt;
    }
    const std::size_t from = p.data + (p.ipv6 ? 8U : 0U);
    data.insert(data.end(), f.begin() + static_cast<long>(from),
                f.begin() + static_cast<long>(p.end));
    if (offset != 0) continue;
    head.assign(f.begin(), f.begin() + static_cast<long>(p.data));
    if (p.ipv6) head.at(p.ip + 6) = f.at(p.data);
  }
  if (!last) return std::nullopt;
  Parts p = parts_of(head);
  head.insert(head.end(), data.begin(), data.end());
  if (p.ipv6) {
    set16(head, p.ip + 4, data.size());
  } else {
    set16(head, p.ip + 2, p.data - p.ip + data.size());
    set16(head, p.ip + 6, get16(head, p.ip + 6) & 0x4000U);
    fill_checksum(head, p);
  }
  return head;
}

}  // namespace synproxy::test
