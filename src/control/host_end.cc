// SPDX-License-Identifier: BSD-3-Clause
#include "control/host_end.h"

#include <linux/if_addr.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/errors.h"
#include "base/processes.h"
#include "control/log.h"

namespace synproxy::control {
namespace {

// A process that hung up may still be about to end.
constexpr std::chrono::milliseconds kLastMoments{500};
constexpr std::size_t kLongestSuffix = 11;  // of the 15 characters of a name, four are ours

std::string suffix(const std::string& interface) {
  return interface.size() <= kLongestSuffix ? interface : interface.substr(interface.size() - kLongestSuffix);
}

Link nic_of(Rtnetlink& net, const std::string& name) {
  auto link = link_called(net, name);
  if (link) return std::move(*link);
  throw UsageError("--client-port " + name + ": there is no such interface; see `ip link`");
}

std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += (all.empty() ? "" : "; ") + line;
  return all;
}

// What was added to the end by hand while the proxy ran. What the kernel or a router made there it
// makes again.
Addressing added_by_hand(Rtnetlink& net, int end) {
  Addressing there = Addressing::of(net, end);
  there.neighbours.clear();
  std::erase_if(there.addresses, [](const NetMessage& m) {
    return (m.fixed<ifaddrmsg>().ifa_flags & IFA_F_PERMANENT) == 0;
  });
  std::erase_if(there.routes, [](const NetMessage& m) {
    const auto protocol = m.fixed<rtmsg>().rtm_protocol;
    return protocol == RTPROT_KERNEL || protocol == RTPROT_RA;
  });
  return there;
}

// Nobody has set the interface up anew since.
bool has_some_of(const Addressing& there, const Addressing& saved) {
  const auto has = [&](const NetMessage& address) {
    return std::ranges::any_of(there.addresses, [&](const NetMessage& m) {
      return message_text(m) == message_text(address);
    });
  };
  return std::ranges::any_of(saved.addresses, has);
}

// Everything back on the NIC, then the pair goes. Returns what the kernel has refused.
std::vector<std::string> put_back(Rtnetlink& net, const HostState& state) {
  const auto nic = link_called(net, state.interface);
  const auto end = link_called(net, state.end);
  std::vector<std::string> refused;
  // Nothing was taken from another interface of that name, as in a namespace that was made later.
  if (nic && nic->index == state.index && (end || nic->mac_text() == state.mac)) {
    const bool ipv6 = state.disable_ipv6 == "0";
    const auto set = [&](const char* key, const std::string& value) {
      set_interface("ipv6", nic->name, key, value);
    };
    if (ipv6) {
      set("addr_gen_mode", "1");
      set("accept_dad", "0");
      set("disable_ipv6", "0");
    }
    const Addressing there = Addressing::of(net, nic->index);
    if (end || !there.has_address() || (state.incomplete && has_some_of(there, state.saved))) {
      refused = put(net, state.saved, {nic->index, nic->index, false});
      if (end) {
        static_cast<void>(
            put(net, added_by_hand(net, end->index), {end->index, nic->index, false}));
      }
    }
    unblock_ingress(net, nic->index);
    if (end) remove_link(net, end->index);
    if (ipv6) {
      set("accept_dad", state.accept_dad);
      set("addr_gen_mode", state.addr_gen_mode);
    }
  } else {
    refused.push_back("the interface " + state.interface + " is gone");
    if (end) remove_link(net, end->index);
  }
  return refused;
}

}  // namespace

std::string end_name(const std::string& interface) { return "syn-" + suffix(interface); }
std::string wire_name(const std::string& interface) { return "syw-" + suffix(interface); }

HostEnd::HostEnd(const Config& config, const std::filesystem::path& directory)
    : nic_(nic_of(net_, config.client_port.device)) {
  state_.proxy = config.name;
  state_.interface = nic_.name;
  state_.index = nic_.index;
  state_.mac = nic_.mac_text();
  state_.end = end_name(nic_.name);
  state_.wire = wire_name(nic_.name);
  state_.disable_ipv6 = interface_setting("ipv6", nic_.name, "disable_ipv6").value_or("");
  state_.addr_gen_mode = interface_setting("ipv6", nic_.name, "addr_gen_mode").value_or("");
  state_.accept_dad = interface_setting("ipv6", nic_.name, "accept_dad").value_or("");
  state_.saved = Addressing::of(net_, nic_.index);
  refuse_host_end(net_, nic_, state_.saved, directory);
  file_.emplace(state_, directory);
  try {
    make_pair(net_, nic_, state_.end, state_.wire);
    copy_settings(nic_.name, state_.end);
    set_interface("ipv6", state_.end, "addr_gen_mode", "1");
    set_interface("ipv6", state_.end, "accept_dad", "0");
    set_interface("ipv6", state_.wire, "disable_ipv6", "1");
    const Link wire = nic_of(net_, state_.wire);
    block_ingress(net_, wire.index);
    set_up(net_, wire.index);
    set_up(net_, nic_of(net_, state_.end).index);
  } catch (...) {
    give_back();
    throw;
  }
}

HostEnd::HostEnd(HostStateFile::Left handed, pid_t predecessor)
    : nic_(nic_of(net_, handed.state.interface)),
      state_(std::move(handed.state)),
      file_(std::move(handed.file)),
      moved_(true),
      handed_(true),
      predecessor_(predecessor) {}

HostEnd::~HostEnd() { give_back(); }

void HostEnd::take_over(const std::function<void()>& forget) {
  const Link end = nic_of(net_, state_.end);
  const auto refused = put(net_, state_.saved, {nic_.index, end.index, true});
  if (!refused.empty()) {
    throw RuntimeFailure("--server-port host: cannot be moved to " + state_.end + ": " +
                         joined(refused));
  }
  moved_ = true;
  forget();
  block_ingress(net_, nic_.index);
  take(net_, state_.saved, nic_.index);
  if (state_.disable_ipv6 == "0") set_interface("ipv6", nic_.name, "disable_ipv6", "1");
  const std::string left = Addressing::of(net_, nic_.index).text();
  if (left.empty()) return;
  throw RuntimeFailure("--server-port host: " + nic_.name + " does not give up " + left);
}

void HostEnd::give_back() {
  if (!file_) return;
  if (predecessor_ != 0 && !ends_within(predecessor_, kLastMoments)) return file_.reset();
  try {
    std::vector<std::string> refused;
    if (moved_) {
      refused = put_back(net_, state_);
    } else if (const auto end = link_called(net_, state_.end)) {
      remove_link(net_, end->index);
    }
    HostStateFile file = std::move(*file_);
    file_.reset();
    if (refused.empty()) return file.remove();
    file.keep(state_);
    fail("--server-port host: not put back on " + state_.interface + ": " + joined(refused) +
         "; `synproxy host restore` tries again");
  } catch (const std::exception& error) {
    fail("--server-port host: the addresses of " + state_.interface +
         " are not put back: " + error.what() + "; run `synproxy host restore`");
  }
}

std::string HostEnd::text() const {
  if (handed_) return state_.saved.text() + " stay on " + state_.end;
  return state_.saved.text() + " moved from " + state_.interface + " to " + state_.end;
}

std::vector<std::string> restore_left_behind(const std::filesystem::path& directory) {
  std::vector<std::string> lines;
  std::string wrong;
  for (auto& [file, state] : HostStateFile::left_behind(directory)) {
    Rtnetlink net;
    const auto refused = put_back(net, state);
    // An interface that is gone has taken everything with it.
    const auto nic = link_called(net, state.interface);
    const bool gone = !nic || nic->index != state.index || nic->mac_text() != state.mac;
    if (refused.empty() || gone) {
      file.remove();
      lines.push_back(gone ? state.interface + ": is gone, nothing to put back"
                           : state.saved.text() + " put back on " + state.interface);
    } else {
      file.keep(state);
      wrong += (wrong.empty() ? "" : "; ") + state.interface + ": " + joined(refused);
    }
  }
  if (!wrong.empty()) throw RuntimeFailure("host restore: not put back: " + wrong);
  return lines;
}

}  // namespace synproxy::control
