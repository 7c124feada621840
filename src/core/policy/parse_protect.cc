// SPDX-License-Identifier: BSD-3-Clause
// The text of a --protect rule, and of a prefix alone.
#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <string>

#include "synproxy/policy/prefix_set.h"
#include "synproxy/policy/protect.h"

namespace synproxy {

namespace {

[[noreturn]] void refuse(const std::string& sentence) { throw std::invalid_argument(sentence); }

// For an error line: '?' stands for what could break the line or the terminal.
[[nodiscard]] std::string quoted(std::string_view text) {
  std::string out("'");
  for (const char c : text) {
    out += c >= ' ' && c <= '~' ? c : '?';
  }
  out += '\'';
  return out;
}

// Decimal digits only: no sign, no space, nothing behind them.
[[nodiscard]] std::optional<unsigned> parse_number(std::string_view text) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) {
    return std::nullopt;
  }
  return value;
}

// The parts of a rule, as typed.
struct Parts {
  std::string_view address{};
  std::optional<std::string_view> length{};
  std::optional<std::string_view> ports{};
  bool bracketed = false;
};

// Cuts "head<separator>tail" in two. Without a separator: nullopt, and `head` is untouched.
[[nodiscard]] std::optional<std::string_view> cut(std::string_view& head, char separator) {
  const std::size_t at = head.find(separator);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view tail = head.substr(at + 1);
  head = head.substr(0, at);
  return tail;
}

[[nodiscard]] Parts split_bracketed(std::string_view text) {
  Parts parts{.bracketed = true};
  const std::size_t close = text.find(']');
  if (close == std::string_view::npos) {
    refuse("the '[' is never closed; write [ADDRESS]:PORT");
  }
  parts.address = text.substr(1, close - 1);
  parts.length = cut(parts.address, '/');
  std::string_view rest = text.substr(close + 1);
  if (rest.starts_with('/')) {
    if (parts.length) {
      refuse("the prefix length is given twice");
    }
    rest.remove_prefix(1);
    parts.ports = cut(rest, ':');
    parts.length = rest;
  } else if (rest.starts_with(':')) {
    parts.ports = rest.substr(1);
  } else if (!rest.empty()) {
    refuse("after the ']' stands " + quoted(rest) + "; write [ADDRESS]:PORT");
  }
  return parts;
}

[[nodiscard]] Parts split(std::string_view text) {
  if (text.starts_with('[')) {
    return split_bracketed(text);
  }
  Parts parts{.address = text};
  if (std::count(text.begin(), text.end(), ':') > 1) {  // IPv6 without brackets: no ports
    parts.length = cut(parts.address, '/');
    if (parts.length && parts.length->find(':') != std::string_view::npos) {
      refuse("an IPv6 address with ports needs brackets; write [ADDRESS/LEN]:PORT");
    }
  } else {
    parts.ports = cut(parts.address, ':');
    parts.length = cut(parts.address, '/');
  }
  return parts;
}

[[nodiscard]] ProtectRule parse_address(const Parts& parts) {
  ProtectRule rule;
  const std::string address(parts.address);
  if (address.empty()) {
    refuse("has no address; write ADDRESS[/LEN][:PORT[-PORT]]");
  }
  if (address.find('%') != std::string::npos) {
    refuse("has a zone; a packet carries none, so leave '%...' away");
  }
  // A NUL would end the text early for inet_pton.
  const bool clean = address.find('\0') == std::string::npos;
  if (clean && ::inet_pton(AF_INET, address.c_str(), rule.address.data()) == 1) {
    if (parts.bracketed) {
      refuse("brackets are for IPv6; write " + address + " without them");
    }
    return rule;
  }
  if (!clean || ::inet_pton(AF_INET6, address.c_str(), rule.address.data()) != 1) {
    refuse(quoted(address) + " is not an IPv4 or IPv6 address");
  }
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(kMapped.begin(), kMapped.end(), rule.address.begin())) {
    std::array<char, INET_ADDRSTRLEN> inner{};
    ::inet_ntop(AF_INET, rule.address.data() + 12, inner.data(), inner.size());
    refuse(std::string("is an IPv4-mapped address, which no packet carries; write ") +
           inner.data());
  }
  rule.ipv6 = true;
  rule.prefix_length = 128;
  return rule;
}

// Clears the bits after the prefix; true if any was set.
[[nodiscard]] bool clear_host_bits(ProtectRule& rule) {
  bool any = false;
  const unsigned bytes = rule.ipv6 ? 16 : 4;
  for (unsigned i = 0; i < bytes; ++i) {
    const unsigned before = 8 * i;
    const unsigned kept =
        rule.prefix_length > before ? std::min(rule.prefix_length - before, 8U) : 0U;
    const auto host_bits = static_cast<std::uint8_t>(0xffU >> kept);
    any = any || (rule.address[i] & host_bits) != 0;
    rule.address[i] = static_cast<std::uint8_t>(rule.address[i] & ~host_bits);
  }
  return any;
}

void parse_length(ProtectRule& rule, std::string_view text) {
  const unsigned longest = rule.ipv6 ? 128 : 32;
  const std::optional<unsigned> length = parse_number(text);
  if (!length || *length > longest) {
    refuse("prefix length " + quoted(text) + " is not a number from 0 to " +
           std::to_string(longest));
  }
  rule.prefix_length = static_cast<std::uint8_t>(*length);
  if (clear_host_bits(rule)) {
    std::array<char, INET6_ADDRSTRLEN> network{};
    ::inet_ntop(rule.ipv6 ? AF_INET6 : AF_INET, rule.address.data(), network.data(),
                network.size());
    const std::string prefix = std::string(network.data()) + "/" + std::to_string(*length);
    refuse("has bits set after the prefix; write " + prefix +
           " for the whole subnet, or leave the length away for the one address");
  }
}

[[nodiscard]] std::uint16_t parse_port(std::string_view text) {
  const std::optional<unsigned> port = parse_number(text);
  if (!port || *port > 65535) {
    refuse("port " + quoted(text) + " is not a number from 1 to 65535");
  }
  if (*port == 0) {
    refuse("port 0 does not exist; leave the ports away to protect the whole address");
  }
  return static_cast<std::uint16_t>(*port);
}

void parse_ports(ProtectRule& rule, std::string_view text) {
  const std::optional<std::string_view> last = cut(text, '-');
  rule.first_port = parse_port(text);
  rule.last_port = last ? parse_port(*last) : rule.first_port;
  if (rule.last_port < rule.first_port) {
    refuse("port range " + std::to_string(rule.first_port) + "-" + std::to_string(rule.last_port) +
           " runs backwards; write " + std::to_string(rule.last_port) + "-" +
           std::to_string(rule.first_port));
  }
}

}  // namespace

ProtectRule parse_protect_rule(std::string_view text) {
  const Parts parts = split(text);
  ProtectRule rule = parse_address(parts);
  if (parts.length) {
    parse_length(rule, *parts.length);
  }
  if (parts.ports) {
    parse_ports(rule, *parts.ports);
  }
  return rule;
}

Prefix parse_prefix(std::string_view text) {
  if (text.starts_with('[')) refuse("brackets are for ports; write the prefix without them");
  const Parts parts = split(text);
  if (parts.ports) refuse("has a port; write the address or prefix alone");
  ProtectRule rule = parse_address(parts);
  if (parts.length) parse_length(rule, *parts.length);
  return {rule.address, rule.prefix_length, rule.ipv6};
}

}  // namespace synproxy
