// SPDX-License-Identifier: BSD-3-Clause
#include "control/pages.h"

#include <algorithm>
#include <sstream>
#include <string_view>

#include "control/commands.h"
#include "control/flags.h"
#include "control/help.h"

namespace synproxy::control {
namespace {

// Text as troff prints it: a backslash and a hyphen have meanings, and so has the first character
// of a line.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '`') {
      out += "\\(aq";
    } else {
      out += c;
    }
  }
  if (!out.empty() && (out.front() == '.' || out.front() == '\'')) out.insert(0, "\\&");
  return out;
}

std::string sentence(std::string_view text) {
  return roff(text) + (text.ends_with('.') ? "" : ".");
}

void title(std::ostringstream& out, std::string_view name, int section) {
  out << ".\\\" Generated from the rows of the flags (src/control/pages.cc).\n.TH " << name << ' '
      << section << " \"\" \"" << roff(version_text()) << "\" \""
      << (section == 8 ? "System Manager's Manual" : "File Formats Manual") << "\"\n";
}

void change(std::ostringstream& out, const Flag& flag) {
  const std::string initial = default_text(flag);
  if (!initial.empty()) out << "Default: " << roff(initial) << ".\n";
  out << (flag.change == Change::kReload ? "A reload changes it.\n" : "Needs a restart.\n");
}

bool in_file(const Flag& flag) { return flag.kind != FlagKind::kBare && flag.name != "config"; }

constexpr std::string_view kFiles = R"(.SH FILES
.TP
.I /etc/synproxy/NAME.conf
The configuration of the service
.BR synproxy@NAME ,
see
.BR synproxy.conf (5).
.SH EXAMPLES
A web server on IPv4 and IPv6, everything else at its default:
.PP
.nf
  synproxy \-\-client\-port eth1 \-\-server\-port eth2 \e
           \-\-protect 203.0.113.10:80 \-\-protect '[2001:db8::10]:443'
.fi
.PP
The same as a service, from
.IR /etc/synproxy/web.conf :
.PP
.nf
  systemctl enable \-\-now synproxy@web
.fi
.SH SEE ALSO
.BR synproxy.conf (5)
)";

constexpr std::string_view kCompletionHead =
    R"(# bash completion for synproxy; generated from the rows of the flags
_synproxy()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=
    ((COMP_CWORD > 0)) && prev=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $prev in
)";

// The words that a value is one of, with blanks between them; empty: it is none of some words.
std::string words_of(const Flag& flag) {
  if (flag.form.find('|') == std::string_view::npos) return "";
  std::string words(flag.form);
  std::ranges::replace(words, '|', ' ');
  const auto placeholder = [](char c) { return c >= 'A' && c <= 'Z'; };
  std::istringstream in(words);
  std::string out;
  for (std::string word; in >> word;) {
    if (!std::ranges::any_of(word, placeholder)) out += (out.empty() ? "" : " ") + word;
  }
  return out;
}

void completion_of(std::ostringstream& out, const Flag& flag) {
  if (flag.kind == FlagKind::kBare) return;
  out << "        --" << flag.name << ")\n            ";
  if (flag.form == "DEV") {
    out << "COMPREPLY=($(compgen -W \"$(command ls /sys/class/net 2>/dev/null)\" -- \"$cur\"))\n";
  } else if (flag.form == "FILE" || flag.form == "DIR") {
    out << "compopt -o filenames 2>/dev/null\n            COMPREPLY=($(compgen -"
        << (flag.form == "DIR" ? 'd' : 'f') << " -- \"$cur\"))\n";
  } else if (flag.form == "LEVEL") {
    out << "COMPREPLY=($(compgen -W 'error warning info debug' -- \"$cur\"))\n";
  } else if (flag.form == "USER") {
    out << "COMPREPLY=($(compgen -u -- \"$cur\"))\n";
  } else {
    out << "COMPREPLY=($(compgen -W '" << words_of(flag) << "' -- \"$cur\"))\n";
  }
  // A switch may stand alone: what follows may be the next flag.
  out << "            " << (flag.kind == FlagKind::kSwitch ? "[[ $cur == -* ]] || " : "")
      << "return ;;\n";
}

}  // namespace

std::string program_man() {
  std::ostringstream out;
  title(out, "SYNPROXY", 8);
  out << ".SH NAME\nsynproxy \\- SYN proxy in userspace, in front of a web server\n"
         ".SH SYNOPSIS\n.B synproxy\n\\-\\-client\\-port DEV \\-\\-server\\-port DEV \\-\\-protect RULE "
         "[flags] [\\-\\- EAL arguments]\n.br\n.B synproxy\nCOMMAND [flags]\n"
         ".SH DESCRIPTION\nIt stands between the clients and a web server, on two ports of its own, and answers each\n"
         "SYN with a cookie; it keeps no connection for it. Only a client that proves its address gets a\n"
         "connection to the server. Everything that is not protected TCP passes untouched. It does the job\n"
         "of the target SYNPROXY of iptables. When it stops, traffic stops.\n"
         ".PP\nA value follows its flag after a space or an =. Every flag with a value may also stand in a file,\n"
         "see\n.BR synproxy.conf (5).\n";
  for (const auto& [group, heading] : group_titles()) {
    std::string upper(heading);
    std::ranges::transform(upper, upper.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    out << ".SH \"" << upper << "\"\n";
    for (const Flag& flag : flags()) {
      if (flag.group != group) continue;
      out << ".TP\n.B \"" << roff(flag_term(flag)) << "\"\n" << sentence(flag.help) << '\n';
      if (flag.kind != FlagKind::kBare) change(out, flag);
    }
  }
  out << ".SH COMMANDS\n";
  for (const Command& command : commands()) {
    out << ".TP\n.B \"synproxy " << roff(command.name) << (command.usage.empty() ? "" : " ")
        << roff(command.usage) << "\"\n"
        << sentence(command.help) << '\n';
    for (const CommandFlag& flag : command.flags) {
      out << ".RS\n.TP\n.B \"" << roff(flag_term(flag)) << "\"\n"
          << sentence(flag.help) << "\n.RE\n";
    }
  }
  out << ".SH SIGNALS\n.TP\n.B SIGHUP\nThe files of the flags are read again, whole; one line says what changed, or why nothing "
         "did.\n.TP\n.B \"SIGINT, SIGTERM, SIGQUIT\"\nIt stops, and prints a summary.\n"
         ".SH \"EXIT STATUS\"\n0 done, 1 failure at run time, 2 bad usage or configuration.\n"
      << kFiles;
  return out.str();
}

std::string config_man() {
  std::ostringstream out;
  title(out, "SYNPROXY.CONF", 5);
  out << ".SH NAME\nsynproxy.conf \\- configuration of synproxy(8)\n"
         ".SH DESCRIPTION\nThe file that\n.B \\-\\-config\nnames; the service\n.B synproxy@NAME\nreads\n"
         ".IR /etc/synproxy/NAME.conf .\nLines are\n.BR \"key = value\" ,\nand # begins a comment. The keys are the flags of\n"
         ".BR synproxy (8)\nwithout their dashes; those that may be repeated there may be repeated here. A flag on the\n"
         "command line hides all lines with its name. SIGHUP (\\(lqsystemctl reload\\(rq) reads the file again, whole:\n"
         "on any error, and where a key that needs a restart has another value, nothing changes.\n"
         ".SH SERVICES\nLines behind\n.B [service NAME]\nare of one service alone, which is counted and shown apart. Such a\n"
         "section has at least one\n.BR protect ,\nand what the service has of its own; what is for all stands above the first section. A name begins with a letter "
         "and\nhas letters, digits, \\-, _ and ., 32 in all at most. No two services may have the same address and port.\n"
         ".B synproxy get NAME.KEY\nprints a key of a service, and\n.B synproxy set NAME.KEY VALUE\nchanges it.\n"
         ".SH KEYS\n";
  for (const Flag& flag : flags()) {
    if (!in_file(flag)) continue;
    out << ".TP\n.B \"" << roff(flag.name) << "\"\n"
        << sentence(flag.help) << "\nTakes " << sentence(flag.accepts) << '\n';
    change(out, flag);
    if (flag.required) out << "Has to be given.\n";
    if (flag.per_service) out << "May stand in a [service NAME].\n";
  }
  out << ".SH EXAMPLE\n.nf\n";
  for (const Flag& flag : flags()) {
    if (flag.required) out << roff(flag.name) << " = " << roff(flag.example) << '\n';
  }
  out << "sack\\-perm = on\nwscale = 7\n\n[service web]\nprotect = 203.0.113.11:443\n.fi\n.SH SEE ALSO\n.BR synproxy (8)\n";
  return out.str();
}

std::string bash_completion() {
  std::ostringstream out;
  out << kCompletionHead;
  for (const Flag& flag : flags()) completion_of(out, flag);
  out << "    esac\n    local words=\n    case ${COMP_WORDS[1]} in\n";
  std::string names;
  for (const Command& command : commands()) {
    names += (names.empty() ? "" : " ") + std::string(command.name);
    out << "        " << command.name << ") words='";
    std::string separator;
    for (const CommandFlag& flag : command.flags) {
      out << separator << "--" << flag.name;
      separator = " ";
    }
    out << "' ;;\n";
  }
  out << "        *) words='";
  std::string separator;
  for (const Flag& flag : flags()) {
    out << separator << "--" << flag.name;
    separator = " ";
  }
  out << "' ;;\n    esac\n    if ((COMP_CWORD == 1)) && [[ $cur != -* ]]; then words='" << names
      << "'; fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
         "complete -F _synproxy synproxy\n";
  return out.str();
}

}  // namespace synproxy::control
