// SPDX-License-Identifier: BSD-3-Clause
#include "control/top_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

#include "control/felt.h"
#include "control/headline.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using Series = std::vector<double>;

constexpr std::size_t kNameColumns = 14;
constexpr std::size_t kNumberColumns = 8;
constexpr std::size_t kServiceColumns = 20;
constexpr std::size_t kServiceLines = 3;
constexpr std::size_t kDropLines = 4;
constexpr std::size_t kLimitLines = 3;
// Rates are of the last three seconds: one alone is hard to read.
constexpr std::size_t kNow = 3;

class Builder {
 public:
  explicit Builder(const Screen& screen) : screen_(screen) {}

  void add(Tint tint, std::string_view text) { add(tint, text, text.size()); }
  // `columns` of `text`, which may have characters of several bytes; only ASCII is ever cut.
  void add(Tint tint, std::string_view text, std::size_t columns) {
    const std::size_t room = screen_.columns - width_;
    if (columns > room) {
      if (columns != text.size()) return;
      text = text.substr(0, room);
      columns = room;
    }
    if (columns == 0) return;
    line_.push_back({tint, std::string(text), columns});
    width_ += columns;
  }
  void pad_to(std::size_t column) {
    if (column > width_) add(Tint::kPlain, std::string(column - width_, ' '));
  }
  void right(Tint tint, const std::string& text, std::size_t columns) {
    pad_to(width_ + columns - std::min(columns, text.size()));
    add(tint, text);
  }
  void end() {
    lines_.push_back(std::move(line_));
    line_.clear();
    width_ = 0;
  }
  [[nodiscard]] std::size_t left() const { return screen_.columns - width_; }
  [[nodiscard]] std::size_t lines() const { return lines_.size(); }
  [[nodiscard]] std::vector<ScreenLine> take() { return std::move(lines_); }

 private:
  const Screen& screen_;
  std::vector<ScreenLine> lines_;
  ScreenLine line_;
  std::size_t width_ = 0;
};

// Bytes that a terminal might take for a command, or of a character that we cannot measure, become
// question marks: names of devices are not ours.
std::string printable(std::string text) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

Series series(const Json& document, const char* group, std::string_view name) {
  const Json& all = document.at(group);
  const auto found = all.find(name);
  if (found == all.end()) return Series(document.at("times").size(), 0.0);
  return found->get<Series>();
}

Series rates(const Json& document, std::initializer_list<std::string_view> names,
             double factor = 1) {
  Series sum(document.at("times").size(), 0.0);
  for (const std::string_view name : names) {
    const Series one = series(document, "rates", name);
    for (std::size_t i = 0; i < std::min(sum.size(), one.size()); ++i) sum[i] += factor * one[i];
  }
  return sum;
}

double now_of(const Series& s) {
  if (s.empty()) return 0;
  const auto n = static_cast<std::ptrdiff_t>(std::min(kNow, s.size()));
  return std::accumulate(s.end() - n, s.end(), 0.0) / static_cast<double>(n);
}

void sparkline(Builder& out, const Series& s, const Screen& screen) {
  static constexpr std::array<std::string_view, 8> kBlocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr std::array<std::string_view, 8> kSigns{"_", ".", ":", "-", "=", "+", "*", "#"};
  const std::size_t count = std::min(s.size(), out.left());
  const double top = s.empty() ? 0 : *std::max_element(s.begin(), s.end());
  std::string text;
  for (std::size_t i = s.size() - count; i < s.size(); ++i) {
    const double share = top <= 0 ? 0 : std::clamp(s[i] / top, 0.0, 1.0);
    const auto step = static_cast<std::size_t>(std::lround(share * 7));
    text += (screen.utf8 ? kBlocks : kSigns)[step];
  }
  out.add(Tint::kFaint, text, count);
}

void rate_line(Builder& out, const Screen& screen, std::string_view name, const Series& s,
               Tint tint = Tint::kPlain) {
  const double now = now_of(s);
  out.add(Tint::kPlain, name);
  out.pad_to(kNameColumns);
  out.right(now >= 0.5 ? tint : Tint::kPlain, short_number(now), kNumberColumns);
  out.add(Tint::kFaint, "/s  ");
  sparkline(out, s, screen);
  out.end();
}

Tint mood_tint(const std::string& mood) {
  return mood == "calm" ? Tint::kCalm : mood == "watch" ? Tint::kWatch : Tint::kAlarm;
}

std::string age(std::uint64_t ms) {
  const std::uint64_t s = ms / 1000;
  if (s < 120) return std::to_string(s) + " s";
  if (s < 7200) return std::to_string(s / 60) + " min";
  if (s < 172'800) return std::to_string(s / 3600) + " h";
  return std::to_string(s / 86'400) + " days";
}

// Breaks the line where a part of it ends, so that its last part, the connections that are made
// meanwhile, is never cut off. Returns how many lines it has taken.
std::size_t wrapped(Builder& out, Tint tint, std::string_view text) {
  for (std::size_t lines = 1;; ++lines) {
    const std::size_t room = out.left();
    std::size_t end = text.size();
    if (end > room) {
      const std::size_t comma = text.rfind(", ", room - 1);
      end = comma == std::string_view::npos || comma + 1 > room ? room : comma + 1;
    }
    out.add(tint, text.substr(0, end));
    out.end();
    text.remove_prefix(end);
    if (text.starts_with(' ')) text.remove_prefix(1);
    if (text.empty() || room == 0) return lines;
  }
}

void head(Builder& out, const Json& d) {
  const std::size_t lines =
      wrapped(out, mood_tint(d.at("mood").get<std::string>()), d.at("headline").get<std::string>());
  const auto now = d.at("now").get<std::uint64_t>();
  const auto started = d.at("started").get<std::uint64_t>();
  std::string text = "synproxy " + printable(d.at("version").get<std::string>()) + ", " +
                     printable(d.at("name").get<std::string>()) + ", up " +
                     age(now - std::min(now, started));
  for (const char* side : {"client", "server"}) {
    const Json& port = d.at("ports").at(side);
    text += std::string(", ") + side + "s at " + printable(port.at("name").get<std::string>()) +
            (port.at("up").get<bool>() ? "" : " (no link)");
  }
  out.add(Tint::kFaint, text);
  out.end();
  if (lines == 1) out.end();
}

void rate_lines(Builder& out, const Json& d, const Screen& screen) {
  rate_line(out, screen, "packets in", rates(d, {"rx_packets_client", "rx_packets_server"}));
  rate_line(out, screen, "packets out", rates(d, {"tx_packets_client", "tx_packets_server"}));
  rate_line(out, screen, "bits in", rates(d, {"rx_bytes_client", "rx_bytes_server"}, 8));
  rate_line(out, screen, "bits out", rates(d, {"tx_bytes_client", "tx_bytes_server"}, 8));
  rate_line(out, screen, "SYN", rates(d, {"syn_received", "syn_shed"}));
  rate_line(out, screen, "SYN-ACK", rates(d, {"synack_sent"}));
  rate_line(out, screen, "valid cookie", rates(d, {"cookie_valid"}));
  rate_line(out, screen, "invalid", rates(d, {"cookie_invalid"}), Tint::kWatch);
  rate_line(out, screen, "shed", rates(d, {"syn_shed", "ack_shed", "icmp_shed", "fragment_shed"}),
            Tint::kAlarm);
  rate_line(out, screen, "connections", rates(d, {"conn_established"}));
}

void flows(Builder& out, const Json& d) {
  const auto last = [&](const char* name) {
    const Series s = series(d, "gauges", name);
    return s.empty() ? 0.0 : s.back();
  };
  const double most = std::max(1.0, d.at("max_flows").get<double>());
  const double all = last("flows");
  out.add(Tint::kPlain, "in the table");
  out.pad_to(kNameColumns);
  out.right(all / most > 0.8 ? Tint::kAlarm : Tint::kPlain, short_number(all), kNumberColumns);
  out.add(Tint::kPlain, " of " + short_number(most) + ", established " +
                            short_number(last("flows_established")) + ", waiting for the server " +
                            short_number(last("flows_embryonic")));
  out.end();
}

// The busiest first. Columns are as wide as the numbers can be.
void services(Builder& out, const Json& d, const Screen& screen) {
  const Json all = d.value("services", Json::array());
  if (all.empty()) return;
  constexpr std::array<const char*, 5> kRates = {"syn_received", "cookie_valid", "connections",
                                                 "refused", "drops"};
  constexpr std::array<const char*, 6> kTitles = {"SYN/s",     "valid/s", "new/s",
                                                  "refused/s", "drops/s", "live"};
  const auto rate = [](const Json& service, const char* name) {
    return now_of(service.at("rates").at(name).get<Series>());
  };
  std::vector<std::pair<double, const Json*>> order;
  order.reserve(all.size());
  for (const Json& service : all) order.emplace_back(rate(service, kRates[0]), &service);
  std::ranges::stable_sort(order, std::greater<>(), [](const auto& entry) { return entry.first; });
  out.add(Tint::kTitle, "services");
  out.pad_to(kServiceColumns);
  for (const char* title : kTitles) out.right(Tint::kFaint, title, kNumberColumns + 2);
  out.end();
  const std::size_t shown =
      screen.lines == 0 ? order.size() : std::min(order.size(), kServiceLines);
  for (std::size_t i = 0; i < shown; ++i) {
    const Json& service = *order[i].second;
    const std::string name = printable(service.at("name").get<std::string>());
    out.add(Tint::kPlain, name.size() > kServiceColumns ? name.substr(0, kServiceColumns) : name);
    out.pad_to(kServiceColumns);
    for (const char* column : kRates) {
      out.right(Tint::kPlain, short_number(rate(service, column)), kNumberColumns + 2);
    }
    const Series live = service.at("gauges").at("flows_established").get<Series>();
    out.right(Tint::kPlain, short_number(live.empty() ? 0 : live.back()), kNumberColumns + 2);
    out.end();
  }
  if (shown < order.size()) {
    out.add(Tint::kFaint, "and " + std::to_string(order.size() - shown) + " services more");
    out.end();
  }
}

// Of the last ten seconds: half of the clients, and nine in ten of them.
void clients_feel(Builder& out, const Json& d) {
  const auto last = [](const Json& values) { return values.empty() ? Json() : values.back(); };
  const Json& felt = d.at("felt");
  const auto within = [&](const char* what) {
    const Json half = last(felt.at(what).at("p50"));
    if (half.is_null()) return std::string("-");
    std::string first = ms_text(half);
    const std::string second = ms_text(last(felt.at(what).at("p90")));
    const std::string unit = second.substr(std::min(second.find(' '), second.size()));
    if (!unit.empty() && first.ends_with(unit)) first.resize(first.size() - unit.size());
    return first + "/" + second;
  };
  out.add(Tint::kPlain, "clients feel");
  out.pad_to(kNameColumns);
  const Json repeats = last(felt.at("syn_repeats"));
  out.add(Tint::kPlain, "  handshake " + within("handshake_ms") + ", first byte " +
                            within("first_byte_ms") + ", SYNs again " +
                            short_number(repeats.is_null() ? 0 : repeats.get<double>()));
  out.end();
}

// Names and numbers in columns, the most first.
void drops(Builder& out, const Json& d, const Screen& screen) {
  std::vector<std::pair<double, std::string>> moving;
  for (const Json& name : d.at("drops")) {
    const auto text = name.get<std::string>();
    const double now = now_of(series(d, "rates", text));
    if (now > 0) moving.emplace_back(now, text);
  }
  std::ranges::sort(moving, std::greater<>());
  out.end();
  out.add(Tint::kTitle, "drops by reason, per second");
  if (moving.empty()) out.add(Tint::kFaint, "  none");
  out.end();
  constexpr std::size_t kCell = 26;
  const std::size_t across = std::max<std::size_t>(1, screen.columns / kCell);
  for (std::size_t i = 0; i < moving.size() && i < kDropLines * across; ++i) {
    out.add(Tint::kPlain, moving[i].second);
    const std::size_t cell = i % across;
    out.pad_to(cell * kCell + 18);
    out.right(Tint::kPlain, short_number(moving[i].first), 6);
    const bool last = i + 1 == moving.size() || i + 1 == kDropLines * across;
    if (cell + 1 == across || last) {
      out.end();
    } else {
      out.pad_to((cell + 1) * kCell);
    }
  }
}

void workers(Builder& out, const Json& d, const Screen& screen, std::size_t room) {
  const Json& all = d.at("workers");
  const std::size_t shown = room != 0 && all.size() > room ? room - 1 : all.size();
  for (std::size_t i = 0; i < shown; ++i) {
    const auto busy = all[i].at("busy").get<Series>();
    const double now = now_of(busy);
    out.add(Tint::kPlain, "worker " + std::to_string(i) + " cpu " +
                              std::to_string(all[i].at("cpu").get<unsigned>()));
    out.pad_to(kNameColumns + 2);
    out.right(now > 0.95 ? Tint::kAlarm : Tint::kPlain,
              std::to_string(std::lround(100 * now)) + " %", 6);
    out.add(Tint::kFaint, " busy ");
    out.right(Tint::kPlain, short_number(now_of(all[i].at("cycles").get<Series>())), 7);
    out.add(Tint::kFaint, " cycles/packet  ");
    sparkline(out, busy, screen);
    out.end();
  }
  if (shown < all.size()) {
    out.add(Tint::kFaint, "and " + std::to_string(all.size() - shown) + " workers more");
    out.end();
  }
}

void limits(Builder& out, const Json& d) {
  const Json& all = d.at("limited");
  if (all.empty()) return;
  out.add(Tint::kTitle, "sources over a limit, most refused first");
  out.end();
  for (std::size_t i = 0; i < std::min(all.size(), kLimitLines); ++i) {
    out.add(Tint::kPlain, printable(all[i].at("source").get<std::string>()) + "  " +
                              printable(all[i].at("rule").get<std::string>()) + "  " +
                              (all[i].at("monitored").get<bool>() ? "watched " : "refused ") +
                              short_number(all[i].at("refused").get<double>()));
    out.end();
  }
}

}  // namespace

std::vector<ScreenLine> top_lines(const Json& history, const Screen& screen) {
  Builder out(screen);
  head(out, history);
  rate_lines(out, history, screen);
  flows(out, history);
  clients_feel(out, history);
  services(out, history, screen);
  // At least two lines of workers on the smallest screen, one of which may say that there are more;
  // what does not fit any more is left out.
  const std::size_t taken = out.lines() + 3;
  workers(out, history, screen,
          screen.lines == 0          ? 0
          : screen.lines > taken + 5 ? screen.lines - taken - 4
                                     : 2);
  drops(out, history, screen);
  limits(out, history);
  std::vector<ScreenLine> lines = out.take();
  if (screen.lines != 0 && lines.size() > screen.lines) lines.resize(screen.lines);
  return lines;
}

std::string plain_text(const std::vector<ScreenLine>& lines) {
  std::string text;
  for (const ScreenLine& line : lines) {
    std::string one;
    for (const Run& run : line) one += run.text;
    one.resize(one.find_last_not_of(' ') + 1);
    text += one + "\n";
  }
  return text;
}

}  // namespace synproxy::control
