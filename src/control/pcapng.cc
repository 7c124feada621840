// SPDX-License-Identifier: BSD-3-Clause
#include "control/pcapng.h"

namespace synproxy::control::pcapng {
namespace {

constexpr std::uint16_t kComment = 1;  // in every block

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void pad(std::string& out) { out.append((4 - out.size() % 4) % 4, '\0'); }

void option(std::string& body, std::uint16_t code, std::string_view value) {
  put(body, code);
  put(body, static_cast<std::uint16_t>(value.size()));
  body += value;
  pad(body);
}

template <typename T>
void number(std::string& body, std::uint16_t code, T value) {
  option(body, code, {reinterpret_cast<const char*>(&value), sizeof value});
}

void end_of_options(std::string& body) { put(body, std::uint32_t{0}); }

void put_time(std::string& body, std::uint64_t ns) {
  put(body, static_cast<std::uint32_t>(ns >> 32));
  put(body, static_cast<std::uint32_t>(ns));
}

void append_block(std::string& out, std::uint32_t type, std::string_view body) {
  const auto length = static_cast<std::uint32_t>(body.size() + 12);
  put(out, type);
  put(out, length);
  out += body;
  put(out, length);
}

std::string block(std::uint32_t type, std::string_view body) {
  std::string out;
  append_block(out, type, body);
  return out;
}

}  // namespace

std::string section(std::string_view program) {
  constexpr std::uint16_t kProgram = 4;
  std::string body;
  put(body, std::uint32_t{0x1A2B3C4D});
  put(body, std::uint16_t{1});  // version 1.0
  put(body, std::uint16_t{0});
  put(body, ~std::uint64_t{0});  // its length is not known
  option(body, kProgram, program);
  end_of_options(body);
  return block(0x0A0D0D0A, body);
}

std::string interface(std::string_view name, std::string_view description, std::uint32_t snaplen) {
  constexpr std::uint16_t kName = 2;
  constexpr std::uint16_t kDescription = 3;
  constexpr std::uint16_t kResolution = 9;
  constexpr std::uint16_t kEthernet = 1;
  std::string body;
  put(body, kEthernet);
  put(body, std::uint16_t{0});
  put(body, snaplen);
  option(body, kName, name);
  option(body, kDescription, description);
  number(body, kResolution, std::uint8_t{9});  // 10^-9 s
  end_of_options(body);
  return block(1, body);
}

void append(std::string& out, const Packet& packet) {
  constexpr std::uint16_t kFlags = 2;
  std::string body;
  put(body, packet.interface);
  put_time(body, packet.unix_ns);
  put(body, static_cast<std::uint32_t>(packet.bytes.size()));
  put(body, packet.length);
  body.append(reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size());
  pad(body);
  if (!packet.comment.empty()) option(body, kComment, packet.comment);
  number(body, kFlags, std::uint32_t{packet.outbound ? 2U : 1U});
  end_of_options(body);
  append_block(out, 6, body);
}

std::string statistics(std::uint32_t interface, std::uint64_t unix_ns, std::uint64_t missed) {
  constexpr std::uint16_t kDroppedByInterface = 5;
  std::string body;
  put(body, interface);
  put_time(body, unix_ns);
  number(body, kDroppedByInterface, missed);
  end_of_options(body);
  return block(5, body);
}

}  // namespace synproxy::control::pcapng
