// SPDX-License-Identifier: BSD-3-Clause
#include "control/report.h"

#include <array>
#include <cmath>
#include <ctime>
#include <stdexcept>
#include <vector>

#include "base/errors.h"
#include "control/commands.h"
#include "control/control_client.h"
#include "control/felt.h"
#include "control/headline.h"
#include "control/recorder.h"
#include "control/values.h"
#include "synproxy/base/reasons.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

// Headings, paragraphs and tables, in either form.
class Writer {
 public:
  explicit Writer(ReportForm form) : html_(form == ReportForm::kHtml) {
    if (!html_) return;
    text_ =
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<title>Report of synproxy</title>\n"
        "<style>:root { color-scheme: light dark; } body { font: 15px/1.5 system-ui, sans-serif; "
        "max-width: 60rem; margin: 1rem auto; padding: 0 1rem; } table { border-collapse: collapse; "
        "margin: .5rem 0; } td, th { border: 1px solid #8886; padding: .2rem .6rem; text-align: "
        "left; }</style>\n";
  }
  void heading(int level, const std::string& words) {
    if (html_) {
      const std::string tag = "h" + std::to_string(level) + ">";
      text_ += "<" + tag + escaped(words) + "</" + tag + "\n";
    } else {
      text_ += std::string(static_cast<std::size_t>(level), '#') + " " + escaped(words) + "\n\n";
    }
  }
  void paragraph(const std::string& words) {
    text_ += html_ ? "<p>" + escaped(words) + "</p>\n" : escaped(words) + "\n\n";
  }
  // The first row is the head.
  void table(const std::vector<Row>& rows) {
    if (html_) text_ += "<table>\n";
    for (std::size_t i = 0; i < rows.size(); ++i) {
      text_ += html_ ? "<tr>" : "|";
      for (const std::string& cell : rows[i]) {
        const std::string tag = i == 0 ? "th>" : "td>";
        if (html_) {
          text_.append("<").append(tag).append(escaped(cell)).append("</").append(tag);
        } else {
          text_.append(" ").append(escaped(cell)).append(" |");
        }
      }
      text_ += html_ ? "</tr>\n" : "\n";
      if (!html_ && i == 0) {
        text_ += "|";
        for (std::size_t c = 0; c < rows[i].size(); ++c) text_ += "---|";
        text_ += "\n";
      }
    }
    text_ += html_ ? "</table>\n" : "\n";
  }
  [[nodiscard]] std::string take() { return text_ + (html_ ? "</html>\n" : ""); }

 private:
  // Names of devices and of the proxy are not ours.
  [[nodiscard]] std::string escaped(const std::string& words) const {
    std::string out;
    for (const char c : words) {
      if (html_ && c == '&') {
        out += "&amp;";
      } else if (html_ && c == '<') {
        out += "&lt;";
      } else if (html_ && c == '>') {
        out += "&gt;";
      } else if (!html_ && (c == '|' || c == '\\' || c == '*' || c == '<' || c == '`')) {
        out += std::string("\\") + c;
      } else {
        out += c >= 0 && c < ' ' ? ' ' : c;
      }
    }
    return out;
  }

  const bool html_;
  std::string text_;
};

std::string time_text(std::uint64_t unix_ms, const char* form) {
  const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  if (std::strftime(text.data(), text.size(), form, &parts) == 0) return "";
  return text.data();
}

std::string day_and_time(std::uint64_t ms) { return time_text(ms, "%Y-%m-%d %H:%M:%S %Z"); }
std::string time_of_day(std::uint64_t ms) { return time_text(ms, "%H:%M:%S"); }

std::string duration(std::uint64_t ms) {
  const std::uint64_t s = (ms + 500) / 1000;
  if (s < 120) return std::to_string(s) + " s";
  return std::to_string(s / 60) + " min " + std::to_string(s % 60) + " s";
}

std::uint64_t total(const Json& a, const char* name) {
  return a.at("total").value(name, std::uint64_t{0});
}

std::string_view sentence_of(std::string_view reason) {
  for (const ReasonInfo& info : kReasons) {
    if (info.name == reason) return info.sentence;
  }
  return "";
}

std::string count(std::uint64_t n, const std::string& one) {
  return std::to_string(n) + " " + one + (n == 1 ? "" : "s");
}

void in_short(Writer& out, const Json& a) {
  const auto from = a.at("from").get<std::uint64_t>();
  const auto to = a.at("to").get<std::uint64_t>();
  out.paragraph("From " + day_and_time(from) + " to " + day_and_time(to) + ", " +
                duration(to - from) + ". The program (" + a.at("version").get<std::string>() +
                ") has run since " + day_and_time(a.at("started").get<std::uint64_t>()) + ".");
  out.paragraph(count(a.at("attacks").size(), "attack") + ", " +
                count(a.at("troubles").size(), "other alarm") +
                ". Now: " + a.at("headline").get<std::string>() + ".");
}

void attacks(Writer& out, const Json& a) {
  out.heading(2, "Attacks");
  if (a.at("attacks").empty()) return out.paragraph("None.");
  std::vector<Row> rows{{"begin", "end", "most packets/s", "most SYNs/s", "most bits/s",
                         "most dropped/s", "at its height"}};
  for (const Json& one : a.at("attacks")) {
    const auto most = [&](const char* name) { return short_number(one.at(name).get<double>()); };
    rows.push_back({time_of_day(one.at("from").get<std::uint64_t>()),
                    time_of_day(one.at("to").get<std::uint64_t>()), most("packets"), most("syns"),
                    most("bits"), most("dropped"), one.at("what").get<std::string>()});
  }
  out.table(rows);
  for (const Json& one : a.at("attacks")) {
    if (one.at("reasons").empty()) continue;
    out.heading(3, "Dropped in the attack of " + time_of_day(one.at("from").get<std::uint64_t>()));
    std::vector<Row> dropped{{"reason", "packets", "meaning"}};
    for (const auto& [name, packets] : one.at("reasons").items()) {
      dropped.push_back(
          {name, std::to_string(packets.get<std::uint64_t>()), std::string(sentence_of(name))});
    }
    out.table(dropped);
  }
}

// "From SYN-ACK to valid ACK: 12 measured, half within 1.5 ms, nine of ten within 2 ms, ..."
std::string felt_text(const std::string& what, const Json& times) {
  const auto measured = times.at("count").get<std::uint64_t>();
  if (measured == 0) return what + ": nothing was measured.";
  return what + ": " + std::to_string(measured) + " measured, half within " +
         ms_text(times.at("p50")) + ", nine of ten within " + ms_text(times.at("p90")) +
         ", 99 of a hundred within " + ms_text(times.at("p99")) + ".";
}

void clients(Writer& out, const Json& a) {
  out.heading(2, "What genuine clients got");
  out.paragraph(count(total(a, "conn_established"), "connection") + " made, " +
                count(total(a, "conn_refused"), "connection") + " refused by the server, " +
                count(total(a, "conn_timed_out"), "connection") +
                " given up because the server was silent, " +
                count(total(a, "table_full"), "client") + " turned away by a full table, " +
                count(total(a, "limit_rate") + total(a, "limit_conns"), "connection") +
                " refused by a limit.");
  if (total(a, "syn_shed") != 0) {
    out.paragraph(count(total(a, "syn_shed"), "SYN") +
                  " shed: a genuine client among them sent its SYN again a second later.");
  }
  const Json& felt = a.at("felt");
  out.paragraph(felt_text("From SYN-ACK to valid ACK", felt.at("handshake_ms")) + " " +
                felt_text("From there to the server's first byte", felt.at("first_byte_ms")) +
                " These clients had sent " +
                count(felt.at("syn_repeats").get<std::uint64_t>(), "SYN") + " again.");
  if (a.at("attacks").empty()) return;
  std::vector<Row> rows{
      {"attack of", "connections/s in the minute before", "during it", "failed at the server"}};
  for (const Json& one : a.at("attacks")) {
    const auto rate = [&](const char* name) {
      const auto value = one.at(name).get<double>();
      std::array<char, 32> text{};
      static_cast<void>(
          std::snprintf(text.data(), text.size(), value < 10 ? "%.1f" : "%.0f", value));
      return std::string(text.data());
    };
    rows.push_back({time_of_day(one.at("from").get<std::uint64_t>()), rate("before"),
                    rate("connections"), std::to_string(one.at("failed").get<std::uint64_t>())});
  }
  out.table(rows);
  std::vector<Row> waits{{"attack of", "half of the handshakes within, before", "during it",
                          "nine of ten, before", "during it", "half of the first bytes, before",
                          "during it", "SYNs sent again"}};
  for (const Json& one : a.at("attacks")) {
    const auto within = [&](const char* when, const char* what, const char* share) {
      return ms_text(one.at(when).at(what).at(share));
    };
    waits.push_back(
        {time_of_day(one.at("from").get<std::uint64_t>()),
         within("felt_before", "handshake_ms", "p50"), within("felt", "handshake_ms", "p50"),
         within("felt_before", "handshake_ms", "p90"), within("felt", "handshake_ms", "p90"),
         within("felt_before", "first_byte_ms", "p50"), within("felt", "first_byte_ms", "p50"),
         std::to_string(one.at("felt").at("syn_repeats").get<std::uint64_t>())});
  }
  out.table(waits);
}

void troubles(Writer& out, const Json& a) {
  if (a.at("troubles").empty()) return;
  out.heading(2, "Other alarms");
  std::vector<Row> rows{{"begin", "end", "what"}};
  for (const Json& one : a.at("troubles")) {
    rows.push_back({time_of_day(one.at("from").get<std::uint64_t>()),
                    time_of_day(one.at("to").get<std::uint64_t>()),
                    one.at("what").get<std::string>()});
  }
  out.table(rows);
}

void load(Writer& out, const Json& a) {
  out.heading(2, "Load");
  out.paragraph("The busiest worker was busy " +
                std::to_string(std::lround(100 * a.at("most").at("busy").get<double>())) +
                " % of its time at most. The table held " +
                short_number(a.at("most").at("flows").get<double>()) + " connections at most, of " +
                short_number(a.at("max_flows").get<double>()) + " that there is room for.");
  if (a.at("limited").empty()) return;
  std::vector<Row> rows{{"source over a limit now", "limit", "", "connections"}};
  for (const Json& one : a.at("limited")) {
    rows.push_back({one.at("source").get<std::string>(), one.at("rule").get<std::string>(),
                    one.at("monitored").get<bool>() ? "watched" : "refused",
                    std::to_string(one.at("refused").get<std::uint64_t>())});
  }
  out.table(rows);
}

void said(Writer& out, const Json& a) {
  out.heading(2, "What was changed, and what the program said");
  if (a.at("said").empty()) return out.paragraph("Nothing.");
  std::vector<Row> rows{{"time", "line"}};
  for (const Json& one : a.at("said")) {
    rows.push_back(
        {time_of_day(one.at("at").get<std::uint64_t>()), one.at("text").get<std::string>()});
  }
  out.table(rows);
}

void everything(Writer& out, const Json& a) {
  out.heading(2, "All that was counted");
  std::vector<Row> rows{{"counter", "grown by"}};
  for (const auto& [name, value] : a.at("total").items()) {
    rows.push_back({name, std::to_string(value.get<std::uint64_t>())});
  }
  if (rows.size() == 1) return out.paragraph("Nothing came in.");
  out.table(rows);
}

void run_report(const CommandLine& line, const Print& print) {
  unsigned seconds = Recorder::kSeconds;
  if (const std::string* since = line.value("since")) {
    try {
      seconds = parse_since(*since);
    } catch (const std::invalid_argument& error) {
      throw UsageError("--since " + *since + ": " + error.what() +
                       "; give seconds, minutes or an hour, as in 90s, 30m, 1h");
    }
  }
  ControlClient proxy(line.name());
  const Json analysis = proxy.ask({{"command", "report"}, {"seconds", seconds}});
  try {
    print(report_text(analysis, line.has("html") ? ReportForm::kHtml : ReportForm::kMarkdown));
  } catch (const Json::exception&) {
    throw RuntimeFailure(
        "report: what answers under this name is a proxy of another version; use the program that "
        "was started");
  }
}

constexpr std::array kReportFlags = {
    CommandFlag{.name = "since",
                .form = "TIME",
                .accepts = "seconds, minutes or an hour, as in 90s, 30m, 1h",
                .help = "how far it looks back: 90s, 30m, 1h (default: 1h, all that is kept)"},
    CommandFlag{.name = "html", .help = "print HTML, one page without anything from outside"},
    kNameFlag};

}  // namespace

std::string report_text(const Json& analysis, ReportForm form) {
  Writer out(form);
  out.heading(1, "Report of synproxy " + analysis.at("name").get<std::string>());
  in_short(out, analysis);
  attacks(out, analysis);
  clients(out, analysis);
  troubles(out, analysis);
  load(out, analysis);
  said(out, analysis);
  everything(out, analysis);
  return out.take();
}

unsigned parse_since(std::string_view text) {
  std::uint64_t unit = 1;
  if (!text.empty()) {
    const char last = text.back();
    unit = last == 'm' ? 60 : last == 'h' ? 3600 : 1;
    if (last == 's' || unit != 1) text.remove_suffix(1);
  }
  constexpr std::uint64_t kMost = Recorder::kSeconds;
  const std::uint64_t value = parse_integer(text, 1, kMost);
  if (value * unit > kMost) throw std::invalid_argument("is more than the hour that is kept");
  return static_cast<unsigned>(value * unit);
}

Command report_command() {
  return {.name = "report",
          .usage = "[--since TIME] [--html] [--name NAME]",
          .help =
              "an account of the last hour or less, in Markdown: attacks, when and how large, why "
              "packets were dropped, what genuine clients got, what was changed",
          .flags = kReportFlags,
          .run = run_report};
}

}  // namespace synproxy::control
