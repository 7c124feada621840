// SPDX-License-Identifier: BSD-3-Clause
// The files of a process that takes over stand beside those of the name (Config::files_name())
// until it serves. Then the directories of both change places, in one step, so that at no moment
// the name leads to nobody. The predecessor's directory is removed. The same happens to the file of
// flows of --state-dir.
//
// A child does it, forked before this process gives up the rights that it needs, and before it has
// threads or memory worth mentioning. If this process ends before it serves, the child removes its
// files.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

namespace synproxy::control {

class NameSwap {
 public:
  // `next` takes the place of `name` below `directory`, and the file of its flows that of the other
  // one below `state_dir`; empty: there is none. Throws RuntimeFailure.
  NameSwap(const std::filesystem::path& directory, const std::string& name, const std::string& next,
           const std::string& state_dir);
  ~NameSwap();  // without swap(): leaves what is the predecessor's
  NameSwap(const NameSwap&) = delete;
  NameSwap& operator=(const NameSwap&) = delete;

  // This process is about to make the file of the flows beside the name, so it may be removed if
  // nobody has it locked.
  void stores();
  // The other files beside the name are this process's, so they may be removed.
  void begun();
  // False: they keep their names.
  [[nodiscard]] bool swap();

 private:
  void tell(char word) const;
  void end_child();

  int pipe_ = -1;
  pid_t child_ = -1;
};

}  // namespace synproxy::control
