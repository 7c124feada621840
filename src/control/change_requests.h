// SPDX-License-Identifier: BSD-3-Clause
// The requests behind `synproxy get`, `set`, `unset`, `reload` and `config`.
#pragma once

#include "base/config.h"
#include "control/clock.h"
#include "control/reload.h"
#include "control/requests.h"
#include "control/supervisor.h"

namespace synproxy::control {

// get, config: one flag {"key", "values", "from", "where", "change"}, or a list of all.
// set, unset, reload: the line that says what was done.
// `started`: with what the host has settled (check_host). All references outlive `requests`.
void add_change_requests(Requests& requests, Supervisor& supervisor, Reloader& reloader,
                         const Config& started, const ProgramClock& clock);

}  // namespace synproxy::control
