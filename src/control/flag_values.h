// SPDX-License-Identifier: BSD-3-Clause
// The last column of a flag's row: where its value stands in a Config, and how it is read and
// printed. An example: `integer<0, 3>(kTuning<&EngineTuning::synack_repeats>)`.
#pragma once

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "control/flags.h"
#include "control/limit_text.h"
#include "control/listen_address.h"
#include "control/port_name.h"
#include "control/rule_text.h"
#include "control/values.h"

namespace synproxy::control {

// A field of a Config, by the members on the way to it.
template <auto... Members>
struct At {
  [[nodiscard]] static constexpr auto& of(auto& config) { return (config.*....*Members); }
  using Type = std::remove_reference_t<decltype(of(std::declval<Config&>()))>;
};
template <auto Member>
inline constexpr At<&Config::engine, &EngineConfig::shape, Member> kShape{};
template <auto Member>
inline constexpr At<&Config::engine, &EngineConfig::tuning, Member> kTuning{};
template <auto Member>
inline constexpr At<&Config::engine, &EngineConfig::tuning, &EngineTuning::offer, Member> kOffer{};
template <auto Member>
inline constexpr At<&Config::engine, &EngineConfig::tuning, &EngineTuning::limits, Member> kLimit{};
template <auto Member>
inline constexpr At<&Config::engine, &EngineConfig::tuning, &EngineTuning::adaptive, Member>
    kAdaptive{};
template <auto Member>
inline constexpr At<&Config::loop, Member> kLoop{};

using Texts = std::vector<std::string>;

template <std::uint64_t Min, std::uint64_t Max, typename Field>
constexpr FlagValue integer(Field) {
  return {[](Config& c, std::string_view text) {
            Field::of(c) = static_cast<typename Field::Type>(parse_integer(text, Min, Max));
          },
          [](const Config& c) { return Texts{std::to_string(Field::of(c))}; }};
}

// `Auto`: the value of the field that means auto.
template <std::uint64_t Min, std::uint64_t Max, std::uint64_t Auto, typename Field>
constexpr FlagValue integer_or_auto(Field) {
  return {[](Config& c, std::string_view text) {
            Field::of(c) = static_cast<typename Field::Type>(
                text == "auto" ? Auto : parse_integer(text, Min, Max));
          },
          [](const Config& c) {
            return Texts{Field::of(c) == Auto ? "auto" : std::to_string(Field::of(c))};
          }};
}

// `off` is 0.
template <std::uint64_t Min, std::uint64_t Max, typename Field>
constexpr FlagValue integer_or_off(Field) {
  return {[](Config& c, std::string_view text) {
            Field::of(c) = static_cast<typename Field::Type>(
                text == "off" ? 0 : parse_integer(text, Min, Max));
          },
          [](const Config& c) {
            return Texts{Field::of(c) == 0 ? "off" : std::to_string(Field::of(c))};
          }};
}

template <std::uint64_t Max, typename Field>
constexpr FlagValue size(Field) {
  return {[](Config& c, std::string_view text) {
            Field::of(c) = static_cast<typename Field::Type>(parse_size(text, Max));
          },
          [](const Config& c) { return Texts{size_text(Field::of(c))}; }};
}

template <std::uint32_t MinMs, std::uint32_t MaxMs, typename Field>
constexpr FlagValue seconds(Field) {
  return {
      [](Config& c, std::string_view text) { Field::of(c) = parse_seconds(text, MinMs, MaxMs); },
      [](const Config& c) { return Texts{seconds_text(Field::of(c))}; }};
}

inline constexpr std::string_view kNoSetting = "is not a setting of this flag";
inline constexpr std::string_view kNoLevel = "is not a log level";

// A word for each value of a bool or an enumeration, in the order of the values.
template <const auto& Words, const auto& Unknown = kNoSetting, typename Field>
constexpr FlagValue word(Field) {
  return {[](Config& c, std::string_view text) {
            Field::of(c) = static_cast<typename Field::Type>(parse_word(text, Words, Unknown));
          },
          [](const Config& c) {
            return Texts{std::string(Words[static_cast<std::size_t>(Field::of(c))])};
          }};
}
inline constexpr std::array<std::string_view, 2> kOffOn{"off", "on"};
inline constexpr std::array<std::string_view, 3> kModes{"always", "adaptive", "off"};
inline constexpr std::array<std::string_view, 2> kOffAuto{"off", "auto"};
inline constexpr std::array<std::string_view, 2> kDropForward{"drop", "forward"};
inline constexpr std::array<std::string_view, 2> kDropReset{"drop", "reset"};
inline constexpr std::array<std::string_view, 3> kUnknownPolicies{"drop", "reset", "forward"};
inline constexpr std::array<std::string_view, 3> kFragmentPolicies{"drop", "forward", "reassemble"};
inline constexpr std::array<std::string_view, 3> kOffers{"off", "on",
                                                         "auto"};  // Offer, HideRtt, FlowOffloading
inline constexpr std::array<std::string_view, 4> kLogLevels{"error", "warning", "info", "debug"};

template <typename Field>
constexpr FlagValue port(Field) {
  return {[](Config& c, std::string_view text) { Field::of(c) = parse_port_name(text); },
          [](const Config& c) {
            const std::string& text = Field::of(c).text;
            return text.empty() ? Texts{} : Texts{text};
          }};
}

template <typename Field>
constexpr FlagValue listen_address(Field) {
  return {[](Config& c, std::string_view text) { Field::of(c) = parse_listen_address(text); },
          [](const Config& c) {
            const std::string& text = Field::of(c).text;
            return text.empty() ? Texts{} : Texts{text};
          }};
}

template <typename Field>
constexpr FlagValue path(Field) {
  return {[](Config& c, std::string_view text) {
            if (text.empty()) throw std::invalid_argument("is empty");
            Field::of(c) = text;
          },
          [](const Config& c) { return Field::of(c).empty() ? Texts{} : Texts{Field::of(c)}; }};
}

// Seconds; alone, a minute.
template <typename Field>
constexpr FlagValue confirm(Field) {
  return {[](Config& c, std::string_view text) {
            Field::of(c) = text == "on"    ? 60U
                           : text == "off" ? 0U
                                           : static_cast<unsigned>(parse_integer(text, 1, 3600));
          },
          [](const Config& c) {
            return Texts{Field::of(c) == 0 ? "off" : std::to_string(Field::of(c))};
          }};
}

// A name, or none.
template <typename Field>
constexpr FlagValue name_if_any(Field) {
  return {[](Config& c, std::string_view text) { Field::of(c) = parse_name(text); },
          [](const Config& c) { return Field::of(c).empty() ? Texts{} : Texts{Field::of(c)}; }};
}

// Files, or none: `off`.
template <typename Field>
constexpr FlagValue list_files(Field) {
  return {[](Config& c, std::string_view text) {
            if (text.empty()) throw std::invalid_argument("is empty");
            if (text == "off") {
              Field::of(c).clear();
            } else {
              Field::of(c).emplace_back(text);
            }
          },
          [](const Config& c) { return Field::of(c); }, [](Config& c) { Field::of(c).clear(); }};
}

template <typename Field>
constexpr FlagValue name(Field) {
  return {[](Config& c, std::string_view text) { Field::of(c) = parse_name(text); },
          [](const Config& c) { return Texts{Field::of(c)}; }};
}

template <typename Field>
constexpr FlagValue cpus(Field) {
  return {[](Config& c, std::string_view text) { Field::of(c) = parse_cpus(text); },
          [](const Config& c) {
            return Field::of(c).empty() ? Texts{} : Texts{cpus_text(Field::of(c))};
          }};
}

template <typename Field>
constexpr FlagValue rules(Field) {
  return {
      [](Config& c, std::string_view text) { Field::of(c).push_back(parse_protect_rule(text)); },
      [](const Config& c) {
        Texts texts;
        for (const ProtectRule& rule : Field::of(c)) {
          if (rule.service == 0) texts.push_back(rule_text(rule));
        }
        return texts;
      }};
}

template <typename Field>
constexpr FlagValue vlan_pairs(Field) {
  return {[](Config& c, std::string_view text) {
            std::vector<VlanPair> pairs = Field::of(c);
            pairs.push_back(parse_vlan_pair(text));
            static_cast<void>(VlanPairs(pairs));  // throws if two of them exclude each other
            Field::of(c) = std::move(pairs);
          },
          [](const Config& c) {
            Texts texts;
            for (const VlanPair& p : Field::of(c)) {
              texts.push_back(std::to_string(p.client) + ":" + std::to_string(p.server));
            }
            return texts;
          }};
}

template <typename Field>
constexpr FlagValue limits(Field) {
  return {[](Config& c, std::string_view text) {
            if (text == "off") {
              Field::of(c) = {};
            } else {
              add_limit(Field::of(c), text);
            }
          },
          [](const Config& c) {
            Texts texts;
            for (const auto& limit : Field::of(c).in_use()) texts.push_back(limit_text(limit));
            return texts;
          },
          [](Config& c) { Field::of(c) = {}; }};
}

template <typename Field>
constexpr FlagValue reply_rate(Field) {
  return {[](Config& c, std::string_view text) { Field::of(c) = parse_reply_rate(text); },
          [](const Config& c) { return Texts{reply_rate_text(Field::of(c))}; }};
}

template <typename Field>
constexpr FlagValue server_backlog(Field) {
  return {[](Config& c, std::string_view text) { Field::of(c) = parse_server_backlog(text); },
          [](const Config& c) { return Texts{server_backlog_text(Field::of(c))}; }};
}

template <typename Field>
constexpr FlagValue monitored(Field) {
  return {[](Config& c, std::string_view text) { Field::of(c) = parse_monitored(text); },
          [](const Config& c) {
            return Field::of(c) == 0 ? Texts{} : Texts{monitored_text(Field::of(c))};
          },
          [](Config& c) { Field::of(c) = 0; }};
}

}  // namespace synproxy::control
