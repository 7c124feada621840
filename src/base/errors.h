// SPDX-License-Identifier: BSD-3-Clause
// The two kinds of failure of the program. Their exit codes differ.
#pragma once

#include <stdexcept>

namespace synproxy {

// Something the user can mend: printed as one line, `flag value: what is wrong; what to do`, exit
// code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// Something that went wrong at run time: one line, exit code 1.
class RuntimeFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace synproxy
