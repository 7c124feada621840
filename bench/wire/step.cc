// SPDX-License-Identifier: BSD-3-Clause
#include "step.h"

#include <bit>
#include <charconv>
#include <functional>
#include <map>

namespace synproxy::generator {
namespace {

constexpr std::uint32_t kMaxConcurrent = 60'000;  // a port each

class Reader {
 public:
  Reader(std::string_view step, std::string_view item) : step_(step), item_(item) {
    const std::size_t equals = item.find('=');
    key_ = item.substr(0, equals);
    if (equals != std::string_view::npos) value_ = item.substr(equals + 1);
  }
  [[nodiscard]] std::string_view key() const { return key_; }

  [[noreturn]] void refuse(const std::string& why) const {
    throw BadStep(std::string(step_) + ": " + std::string(item_) + ": " + why);
  }
  [[nodiscard]] double number(double least, double most) const {
    double v = 0;
    const auto [end, error] = std::from_chars(value_.data(), value_.data() + value_.size(), v);
    if (error != std::errc() || end != value_.data() + value_.size() ||
        !(v >= least && v <= most)) {
      refuse("takes a number from " + plain(least) + " to " + plain(most));
    }
    return v;
  }
  [[nodiscard]] std::uint32_t whole(std::uint32_t least, std::uint32_t most) const {
    std::uint32_t v = 0;
    const auto [end, error] = std::from_chars(value_.data(), value_.data() + value_.size(), v);
    if (error != std::errc() || end != value_.data() + value_.size() || v < least || v > most) {
      refuse("takes a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    return v;
  }
  [[nodiscard]] std::uint32_t power_of_two(std::uint32_t most) const {
    const std::uint32_t v = whole(1, most);
    if (!std::has_single_bit(v)) refuse("takes a power of two");
    return v;
  }
  [[nodiscard]] bool on_or_off() const {
    if (value_ != "on" && value_ != "off") refuse("takes on or off");
    return value_ == "on";
  }

 private:
  static std::string plain(double v) {
    std::string text(32, 0);
    const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), v);
    text.resize(error == std::errc() ? static_cast<std::size_t>(end - text.data()) : 0);
    return text;
  }

  std::string_view step_;
  std::string_view item_;
  std::string_view key_;
  std::string_view value_;
};

using Setter = std::function<void(Step&, const Reader&)>;

const std::map<std::string_view, Setter>& setters() {
  static const std::map<std::string_view, Setter> all = {
      {"family",
       [](Step& s, const Reader& r) {
         const std::uint32_t v = r.whole(4, 6);
         if (v == 5) r.refuse("takes 4 or 6");
         s.ipv6 = v == 6;
       }},
      {"timestamps", [](Step& s, const Reader& r) { s.timestamps = r.on_or_off(); }},
      {"seconds", [](Step& s, const Reader& r) { s.seconds = r.number(0.01, 3600); }},
      {"rate", [](Step& s, const Reader& r) { s.rate = r.number(0, 1e9); }},
      {"check", [](Step& s, const Reader& r) { s.check = r.power_of_two(1U << 20); }},
      {"prove", [](Step& s, const Reader& r) { s.prove = r.power_of_two(1U << 24); }},
      {"concurrent", [](Step& s, const Reader& r) { s.concurrent = r.whole(1, kMaxConcurrent); }},
      {"response", [](Step& s, const Reader& r) { s.response = r.whole(1, 1400); }},
      {"flows", [](Step& s, const Reader& r) { s.flows = r.whole(1, kMaxConcurrent / 2); }},
      {"newcomers", [](Step& s, const Reader& r) { s.newcomers = r.whole(1, kMaxConcurrent / 2); }},
  };
  return all;
}

Step::Kind kind_of(std::string_view step, std::string_view name) {
  if (name == "flood") return Step::Kind::kFlood;
  if (name == "latency") return Step::Kind::kLatency;
  if (name == "connections") return Step::Kind::kConnections;
  if (name == "overload") return Step::Kind::kOverload;
  throw BadStep(std::string(step) +
                ": no such step; there are flood, latency, connections and overload");
}

}  // namespace

Step parse_step(std::string_view text) {
  Step step;
  step.text = text;
  std::size_t comma = text.find(',');
  step.kind = kind_of(text, text.substr(0, comma));
  while (comma != std::string_view::npos) {
    const std::size_t begin = comma + 1;
    comma = text.find(',', begin);
    const Reader item(text, text.substr(begin, comma - begin));
    const auto found = setters().find(item.key());
    if (found == setters().end()) {
      std::string known;
      for (const auto& [key, setter] : setters())
        known += (known.empty() ? "" : ", ") + std::string(key);
      item.refuse("no such setting; there are " + known);
    }
    found->second(step, item);
  }
  if (step.kind == Step::Kind::kLatency && (step.rate == 0 || !step.timestamps)) {
    throw BadStep(step.text +
                  ": latency needs a rate, rate=R, and timestamps, which carry the time");
  }
  if (step.kind == Step::Kind::kOverload) {
    if (step.rate == 0) throw BadStep(step.text + ": overload needs the rate of the flood, rate=R");
    step.prove = 0;  // only its clients may open connections
  }
  return step;
}

}  // namespace synproxy::generator
