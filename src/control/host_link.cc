// SPDX-License-Identifier: BSD-3-Clause
#include "control/host_link.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/veth.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/errors.h"

namespace synproxy::control {
namespace {

using Attribute = NetMessage::Attribute;

constexpr std::uint32_t kFirst = 1;  // before any filter of others
constexpr sock_filter kDrop{BPF_RET | BPF_K, 0, 0, TC_ACT_SHOT};

void must(Rtnetlink& net, NetRequest request, const std::string& what) {
  if (net.ask(std::move(request)) != 0) {
    throw RuntimeFailure("--server-port host: cannot " + what + ": " + net.why());
  }
}

Link link_of(const NetMessage& m) {
  const auto fixed = m.fixed<ifinfomsg>();
  Link link;
  link.index = fixed.ifi_index;
  link.up = (fixed.ifi_flags & IFF_UP) != 0;
  bool elsewhere = false;
  for (const Attribute& a : m.attributes(sizeof fixed)) {
    switch (a.type) {
      case IFLA_IFNAME:
        link.name = a.text();
        break;
      case IFLA_MTU:
        link.mtu = a.u32();
        break;
      case IFLA_MASTER:
        link.master = static_cast<int>(a.u32());
        break;
      case IFLA_LINK:
        link.lower = static_cast<int>(a.u32());
        break;
      case IFLA_LINK_NETNSID:
        elsewhere = true;
        break;
      case IFLA_ADDRESS:
        std::copy_n(a.data.begin(), std::min(a.data.size(), link.mac.size()), link.mac.begin());
        break;
      case IFLA_LINKINFO:
        for (const Attribute& info : NetMessage::inside(a.data)) {
          if (info.type == IFLA_INFO_KIND) link.kind = info.text();
        }
        break;
      default:
        break;
    }
  }
  if (elsewhere) link.lower = 0;
  return link;
}

std::span<const std::uint8_t> bytes_at(const auto& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

tcmsg ingress_of(int index) {
  tcmsg tc{};
  tc.tcm_family = AF_UNSPEC;
  tc.tcm_ifindex = index;
  tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
  return tc;
}

tcmsg our_filter(int index) {
  tcmsg tc = ingress_of(index);
  tc.tcm_info = TC_H_MAKE(kFirst << 16, htons(ETH_P_ALL));
  return tc;
}

NetRequest clsact(std::uint16_t type, unsigned flags, int index) {
  tcmsg tc{};
  tc.tcm_ifindex = index;
  tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  tc.tcm_parent = TC_H_CLSACT;
  NetRequest request(type, flags);
  request.fixed(tc).put(TCA_KIND, std::string_view("clsact"));
  return request;
}

std::vector<NetMessage> filters(Rtnetlink& net, int index, std::uint32_t way) {
  tcmsg tc = ingress_of(index);
  tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT, way);
  try {
    return net.dump(NetRequest(RTM_GETTFILTER, 0).fixed(tc));
  } catch (const RuntimeFailure&) {
    return {};  // no interface, or no qdisc
  }
}

// The kernel keeps no name of a filter in classic BPF, but its instructions.
bool is_ours(const NetMessage& filter) {
  if (TC_H_MAJ(filter.fixed<tcmsg>().tcm_info) >> 16 != kFirst) return false;
  for (const Attribute& a : filter.attributes(sizeof(tcmsg))) {
    if (a.type != TCA_OPTIONS) continue;
    for (const Attribute& option : NetMessage::inside(a.data)) {
      if (option.type == TCA_BPF_OPS && std::ranges::equal(option.data, bytes_at(kDrop))) {
        return true;
      }
    }
  }
  return false;
}

std::filesystem::path directory_of(const std::string& family, const std::string& part,
                                   const std::string& name) {
  return std::filesystem::path("/proc/sys/net") / family / part / name;
}

std::optional<std::string> read_word(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::string text;
  if (!std::getline(in, text)) return std::nullopt;
  return text;
}

}  // namespace

std::string Link::mac_text() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : mac) text += {kDigits[byte >> 4], kDigits[byte & 15U]};
  return text;
}

std::vector<Link> links(Rtnetlink& net) {
  std::vector<Link> all;
  for (const NetMessage& m : net.dump(NetRequest(RTM_GETLINK, 0).fixed(ifinfomsg{}))) {
    all.push_back(link_of(m));
  }
  return all;
}

std::optional<Link> link_called(Rtnetlink& net, const std::string& name) {
  for (Link& link : links(net)) {
    if (link.name == name) return std::move(link);
  }
  // An alternative name, which no link has as its own.
  const unsigned index = ::if_nametoindex(name.c_str());
  for (Link& link : links(net)) {
    if (index != 0 && link.index == static_cast<int>(index)) return std::move(link);
  }
  return std::nullopt;
}

void make_pair(Rtnetlink& net, const Link& like, const std::string& end, const std::string& wire) {
  NetRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  request.fixed(ifinfomsg{}).put(IFLA_IFNAME, end).put(IFLA_MTU, like.mtu);
  request.put(IFLA_ADDRESS, std::span<const std::uint8_t>(like.mac));
  const ifinfomsg peer{};
  request.nest(IFLA_LINKINFO, [&] {
    request.put(IFLA_INFO_KIND, std::string_view("veth"));
    request.nest(IFLA_INFO_DATA, [&] {
      request.nest(
          VETH_INFO_PEER, [&] { request.put(IFLA_IFNAME, wire).put(IFLA_MTU, like.mtu); },
          bytes_at(peer));
    });
  });
  must(net, std::move(request), "make the interfaces " + end + " and " + wire);
}

void set_up(Rtnetlink& net, int index) {
  ifinfomsg link{};
  link.ifi_index = index;
  link.ifi_flags = link.ifi_change = IFF_UP;
  must(net, std::move(NetRequest(RTM_NEWLINK, 0).fixed(link)), "switch an interface on");
}

void remove_link(Rtnetlink& net, int index) {
  ifinfomsg link{};
  link.ifi_index = index;
  static_cast<void>(net.ask(std::move(NetRequest(RTM_DELLINK, 0).fixed(link))));
}

void block_ingress(Rtnetlink& net, int index) {
  const std::string what = "keep the kernel from answering beside the proxy (tc, cls_bpf)";
  const int error = net.ask(clsact(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index));
  if (error != 0 && error != EEXIST) {
    throw RuntimeFailure("--server-port host: cannot " + what + ": " + net.why());
  }
  NetRequest request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL);
  request.fixed(our_filter(index)).put(TCA_KIND, std::string_view("bpf"));
  request.nest(TCA_OPTIONS, [&] {
    const std::uint16_t count = 1;
    request.put(TCA_BPF_OPS_LEN, bytes_at(count)).put(TCA_BPF_OPS, bytes_at(kDrop));
    request.put(TCA_BPF_FLAGS, std::uint32_t{TCA_BPF_FLAG_ACT_DIRECT});
  });
  must(net, std::move(request), what);
}

bool unblock_ingress(Rtnetlink& net, int index) {
  const auto there = filters(net, index, TC_H_MIN_INGRESS);
  if (std::ranges::none_of(there, is_ours)) return false;
  NetRequest request(RTM_DELTFILTER, 0);
  request.fixed(our_filter(index)).put(TCA_KIND, std::string_view("bpf"));
  const bool done = net.ask(std::move(request)) == 0;
  if (filters(net, index, TC_H_MIN_INGRESS).empty() &&
      filters(net, index, TC_H_MIN_EGRESS).empty()) {
    static_cast<void>(net.ask(clsact(RTM_DELQDISC, 0, index)));
  }
  return done;
}

std::optional<std::string> interface_setting(const std::string& family, const std::string& name,
                                             const std::string& key) {
  return read_word(directory_of(family, "conf", name) / key);
}

void set_interface(const std::string& family, const std::string& name, const std::string& key,
                   const std::string& value) {
  std::ofstream(directory_of(family, "conf", name) / key) << value;
}

void copy_settings(const std::string& from, const std::string& to) {
  for (const char* family : {"ipv4", "ipv6"}) {
    for (const char* part : {"conf", "neigh"}) {
      std::error_code error;
      for (const auto& file :
           std::filesystem::directory_iterator(directory_of(family, part, from), error)) {
        const std::string key = file.path().filename();
        if (key == "accept_dad" || key == "addr_gen_mode" || key == "stable_secret") continue;
        const auto copy = directory_of(family, part, to) / key;
        const auto value = read_word(file.path());
        if (value && value != read_word(copy)) std::ofstream(copy) << *value;
      }
    }
  }
}

}  // namespace synproxy::control
