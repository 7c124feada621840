// SPDX-License-Identifier: BSD-3-Clause
#include "control/help.h"

#include <sstream>
#include <string_view>

#include "control/flags.h"

namespace synproxy::control {
namespace {

constexpr std::size_t kColumns = 100;
constexpr std::size_t kTextColumn = 30;

constexpr std::string_view kHead = R"(
A SYN proxy in front of a web server. It answers a SYN with a cookie and keeps no connection for it;
only a client that proves its address gets a connection to the server. It does the job of
`iptables -j SYNPROXY`, on two ports of its own: traffic stops when the program stops.

Usage: synproxy --client-port DEV --server-port DEV --protect RULE [flags] [-- EAL arguments]
       synproxy COMMAND [flags]
)";

constexpr std::string_view kTail = R"(
Coming from iptables
  iptables -t raw -A PREROUTING -p tcp --dport 80 --syn -j CT --notrack
  iptables -A FORWARD -p tcp -d 203.0.113.10 --dport 80 -m conntrack --ctstate INVALID,UNTRACKED \
           -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460
  becomes
  synproxy --client-port eth1 --server-port eth2 --protect 203.0.113.10:80 \
           --sack-perm --timestamp --wscale 7 --mss 1460

Examples
  A web server on IPv4 and IPv6, everything else at its default:
    synproxy --client-port eth1 --server-port eth2 \
             --protect 203.0.113.10:80 --protect '[2001:db8::10]:443'
  Two NICs driven by DPDK, two CPUs, a line of rates every second:
    synproxy --client-port 0000:3b:00.0 --server-port 0000:3b:00.1 --protect 203.0.113.0/24 \
             --workers 2-3 --stats-interval 1
  The same from a file, one value changed:
    synproxy --config /etc/synproxy.conf --wscale 8

A value follows its flag after a space or an =. EAL arguments go to DPDK as they are.
SIGHUP reads the files of --config and --secret-file again; docs/flags.md says what may change.
Exit status: 0 done, 1 failure at run time, 2 bad usage or configuration.
)";

// Appends `text` to `out`, starting at column `column` and wrapped at spaces.
void wrap(std::ostringstream& out, std::string_view text, std::size_t column) {
  std::size_t at = column;
  bool first = true;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (!first && at + 1 + word.size() > kColumns) {
      out << '\n' << std::string(column, ' ');
      at = column;
      first = true;
    }
    if (!first) {
      out << ' ';
      ++at;
    }
    out << word;
    at += word.size();
    first = false;
  }
  out << '\n';
}

void entry(std::ostringstream& out, const std::string& term, const std::string& text) {
  out << "  " << term;
  if (term.size() + 4 > kTextColumn) {
    out << '\n' << std::string(kTextColumn, ' ');
  } else {
    out << std::string(kTextColumn - term.size() - 2, ' ');
  }
  wrap(out, text, kTextColumn);
}

std::string usage_of(const Command& command) {
  std::string usage = "synproxy " + std::string(command.name);
  return command.usage.empty() ? usage : usage + " " + std::string(command.usage);
}

}  // namespace

std::string version_number() { return SYNPROXY_VERSION; }
std::string version_text() { return "synproxy " + version_number(); }

std::string help_text() {
  std::ostringstream out;
  out << version_text() << kHead;
  for (const auto& [group, title] : group_titles()) {
    out << '\n' << title << '\n';
    for (const Flag& flag : flags()) {
      if (flag.group == group) {
        std::string text(flag.help);
        if (const std::string initial = default_text(flag); !initial.empty()) {
          text += " (default: " + initial + ")";
        }
        entry(out, flag_term(flag), text);
      }
    }
    if (group == FlagGroup::kRunning) {
      out << "\nCommands, to a proxy that runs; synproxy COMMAND --help says more\n";
      for (const Command& command : commands()) {
        entry(out, usage_of(command), std::string(command.help));
      }
    }
  }
  out << kTail;
  return out.str();
}

std::string help_text(const Command& command) {
  std::ostringstream out;
  out << "Usage: " << usage_of(command) << "\n\n";
  wrap(out, std::string(command.help) + ".", 0);
  out << "\nFlags\n";
  for (const CommandFlag& flag : command.flags) {
    entry(out, flag_term(flag), std::string(flag.help));
  }
  entry(out, "--help", "print this text");
  out << command.notes
      << "\nExit status: 0 done, 1 failure at run time, 2 bad usage or configuration.\n";
  return out.str();
}

}  // namespace synproxy::control
