// SPDX-License-Identifier: BSD-3-Clause
// Looks back over the recorded seconds for `synproxy report`: when an attack was, how large, for
// which reasons packets were dropped, and what genuine clients got meanwhile. Its JSON:
//
//   {"name", "version", "from", "to",                         Unix milliseconds
//    "headline",                                              of now
//    "attacks": [{"from", "to", "what",                       in words, at its height
//                 "packets", "bits", "syns", "dropped",       the most in a second
//                 "reasons": {"cookie_invalid": 12},          packets dropped meanwhile
//                 "connections", "before",                    made per second: then, and before it
//                 "felt", "felt_before",                   then, and in the minute before it: as
//                                                          felt_json() of control/felt.h
//                 "failed"}],                                 connections that the server failed
//    "troubles": [{"from", "to", "what"}],                    other alarms
//    "felt": {...},                                           of the whole time
//    "total": {"syn_received": 12, ...},                      what has moved
//    "drops": [...],                                          which of these are reasons of drops
//    "most": {"flows", "busy"},  "max_flows", "limited": [...],
//    "said": [{"at", "text"}]}                                the lines of the log of that time
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>

#include "control/recorder.h"

namespace synproxy::control {

// Seconds of an alarm that are closer than this belong to one attack.
inline constexpr std::size_t kPauseSeconds = 15;

[[nodiscard]] nlohmann::ordered_json analysis_document(const Recorder& recorder, const View& view,
                                                       std::size_t seconds);

}  // namespace synproxy::control
