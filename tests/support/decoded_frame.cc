// SPDX-License-Identifier: BSD-3-Clause
#include "support/decoded_frame.h"

#include <sstream>

#include "support/naive_checksum.h"

namespace synproxy::test {
namespace {

// Reads from the front. If too few bytes are left, `good` becomes false and stays so.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : left_(bytes) {}
  [[nodiscard]] std::span<const std::uint8_t> take(std::size_t n) {
    if (n > left_.size()) {
      good_ = false;
      left_ = {};
      return {};
    }
    const auto out = left_.first(n);
    left_ = left_.subspan(n);
    return out;
  }
  [[nodiscard]] std::uint32_t number(std::size_t n) {
    std::uint32_t v = 0;
    for (const std::uint8_t b : take(n)) v = v << 8 | b;
    return v;
  }
  [[nodiscard]] std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  [[nodiscard]] std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  [[nodiscard]] std::span<const std::uint8_t> left() const { return left_; }
  [[nodiscard]] bool good() const { return good_; }

 private:
  std::span<const std::uint8_t> left_;
  bool good_ = true;
};

Bytes copy(std::span<const std::uint8_t> s) { return {s.begin(), s.end()}; }

void read_options(DecodedFrame& f) {
  Reader r(f.options);
  while (!r.left().empty()) {
    const unsigned kind = r.u8();
    if (kind == 0) return;
    if (kind == 1) continue;
    const unsigned length = r.u8();
    if (!r.good() || length < 2) return;
    Reader value(r.take(length - 2));
    if (!r.good()) return;
    if (kind == 2) f.mss = value.u16();
    if (kind == 3) f.window_scale = value.u8();
    if (kind == 4) f.sack_permitted = true;
    if (kind == 8) {
      const std::uint32_t tsval = value.number(4);
      f.timestamps.emplace_back(tsval, value.number(4));
    }
    while (kind == 5 && value.left().size() >= 8) {
      const std::uint32_t left = value.number(4);
      f.sack.emplace_back(left, value.number(4));
    }
  }
}

bool read_tcp(DecodedFrame& f, std::span<const std::uint8_t> segment) {
  Reader r(segment);
  f.source_port = r.u16();
  f.destination_port = r.u16();
  f.seq = r.number(4);
  f.ack = r.number(4);
  const unsigned offset_and_flags = r.u16();
  f.flags = offset_and_flags & 0x1ffU;
  f.window = r.u16();
  (void)r.u16();
  f.urgent = r.u16();
  const std::size_t header = std::size_t{offset_and_flags >> 12} * 4;
  if (!r.good() || header < 20) return false;
  f.options = copy(r.take(header - 20));
  if (!r.good()) return false;
  f.payload = copy(r.left());
  read_options(f);
  return true;
}

}  // namespace

std::optional<DecodedFrame> decode(std::span<const std::uint8_t> frame) {
  DecodedFrame f;
  f.raw = copy(frame);
  Reader r(frame);
  const auto destination = r.take(6);
  const auto source = r.take(6);
  if (!r.good()) return std::nullopt;
  std::copy(destination.begin(), destination.end(), f.destination_mac.begin());
  std::copy(source.begin(), source.end(), f.source_mac.begin());
  std::uint16_t type = r.u16();
  while (type == kEtherTypeVlan || type == kEtherTypeQinQ) {
    f.tags.push_back({r.u16(), type});
    type = r.u16();
  }
  const auto packet = r.left();
  Bytes addresses;
  std::span<const std::uint8_t> segment;
  bool ip_good = true;
  if (type == kEtherTypeIpv4) {
    const unsigned first = r.u8();
    f.ip_header = std::size_t{first & 0xfU} * 4;
    f.traffic_class = r.u8();
    const std::size_t total = r.u16();
    f.ip_id = r.u16();
    f.fragment = r.u16();
    f.ttl = r.u8();
    const unsigned protocol = r.u8();
    (void)r.u16();
    addresses = copy(r.take(8));
    if (!r.good() || first >> 4 != 4 || f.ip_header < 20 || total < f.ip_header ||
        total > packet.size() || protocol != 6 || (f.fragment & 0x3fffU) != 0) {
      return std::nullopt;
    }
    ip_good = NaiveSum().add(packet.first(f.ip_header)).sum() == 0xffff;
    segment = packet.subspan(f.ip_header, total - f.ip_header);
    f.trailing = packet.size() - total;
  } else if (type == kEtherTypeIpv6) {
    f.ipv6 = true;
    const std::uint32_t first = r.number(4);
    f.traffic_class = static_cast<std::uint8_t>(first >> 20 & 0xffU);
    f.flow_label = first & 0xfffffU;
    const std::size_t total = 40U + r.u16();
    unsigned next = r.u8();
    f.ttl = r.u8();
    addresses = copy(r.take(32));
    if (!r.good() || first >> 28 != 6 || total > packet.size()) return std::nullopt;
    f.ip_header = 40;
    while (next == 0 || next == 43 || next == 60) {
      next = r.u8();
      const std::size_t rest = r.u8() * 8U + 6U;
      (void)r.take(rest);
      if (!r.good()) return std::nullopt;
      f.ip_header += rest + 2;
    }
    if (next != 6 || f.ip_header > total) return std::nullopt;
    segment = packet.subspan(f.ip_header, total - f.ip_header);
    f.trailing = packet.size() - total;
  } else {
    return std::nullopt;
  }
  f.source.assign(addresses.begin(), addresses.begin() + static_cast<long>(addresses.size() / 2));
  f.destination.assign(addresses.begin() + static_cast<long>(addresses.size() / 2),
                       addresses.end());
  if (!read_tcp(f, segment)) return std::nullopt;
  f.checksums_good =
      ip_good && naive_pseudo_header(addresses, 6, segment.size()).add(segment).sum() == 0xffff;
  return f;
}

std::string DecodedFrame::to_string() const {
  std::ostringstream o;
  constexpr std::pair<std::uint16_t, const char*> kNames[] = {
      {kSyn, "SYN "}, {kFin, "FIN "}, {kRst, "RST "}, {kPsh, "PSH "}, {kAck, "ACK "},
      {kUrg, "URG "}, {kEce, "ECE "}, {kCwr, "CWR "}, {kAe, "AE "}};
  o << source_port << " > " << destination_port << ' ';
  for (const auto& [flag, name] : kNames) o << (has(flag) ? name : "");
  o << "seq " << seq << " ack " << ack << " win " << window << " len " << payload.size();
  if (mss) o << " mss " << *mss;
  if (window_scale) o << " wscale " << unsigned{*window_scale};
  if (sack_permitted) o << " sackOK";
  for (const auto& [tsval, tsecr] : timestamps) o << " ts " << tsval << '/' << tsecr;
  for (const auto& [left, right] : sack) o << " sack " << left << '-' << right;
  if ((traffic_class & 3U) != 0) o << ((traffic_class & 3U) == 3 ? " CE" : " ECT");
  for (const VlanTag& t : tags) o << " vlan " << t.tci;
  return o.str();
}

}  // namespace synproxy::test
