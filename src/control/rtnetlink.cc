// SPDX-License-Identifier: BSD-3-Clause
#include "control/rtnetlink.h"

#include <libmnl/libmnl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "base/errors.h"

namespace synproxy::control {
namespace {

constexpr std::size_t kReceive = 1U << 16;
constexpr std::size_t kAttributeHeader = sizeof(nlattr);

[[noreturn]] void fail_to(const char* what) {
  throw RuntimeFailure(std::string("rtnetlink: cannot ") + what + ": " +
                       std::generic_category().message(errno));
}

// What the kernel says beside the number of an error (NETLINK_EXT_ACK).
std::string kernel_text(std::span<const std::uint8_t> message) {
  nlmsghdr header{};
  nlmsgerr error{};
  std::memcpy(&header, message.data(), sizeof header);
  std::memcpy(&error, &message[NLMSG_HDRLEN], sizeof error);
  std::size_t at = NLMSG_HDRLEN + sizeof error;
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return "";
  if ((header.nlmsg_flags & NLM_F_CAPPED) == 0 && error.msg.nlmsg_len > sizeof error.msg) {
    at += NLMSG_ALIGN(error.msg.nlmsg_len - sizeof error.msg);
  }
  if (at >= message.size()) return "";
  for (const NetMessage::Attribute& a : NetMessage::inside(message.subspan(at))) {
    if (a.type == NLMSGERR_ATTR_MSG) return a.text();
  }
  return "";
}

std::span<const std::uint8_t> bytes_of(const nlmsghdr& m) {
  return {reinterpret_cast<const std::uint8_t*>(&m), m.nlmsg_len};
}

// Of an NLMSG_ERROR: 0, or a negative errno.
int error_of(const nlmsghdr& m) {
  return static_cast<const nlmsgerr*>(::mnl_nlmsg_get_payload(&m))->error;
}

// Calls last(message) for each answer to the request of that number, until it returns true.
template <typename Last>
void read_answers(mnl_socket* socket, std::uint32_t sequence, Last&& last) {
  std::vector<std::uint8_t> buffer(kReceive);
  while (true) {
    const ssize_t got = ::mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (got < 0) fail_to("receive");
    int left = static_cast<int>(got);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer.data()); ::mnl_nlmsg_ok(m, left);
         m = ::mnl_nlmsg_next(m, &left)) {
      if (m->nlmsg_seq == sequence && last(*m)) return;
    }
  }
}

}  // namespace

nlmsghdr NetMessage::header() const {
  nlmsghdr out{};
  if (bytes_.size() >= sizeof out) std::memcpy(&out, bytes_.data(), sizeof out);
  return out;
}

std::uint32_t NetMessage::Attribute::u32() const {
  std::uint32_t value = 0;
  if (data.size() >= sizeof value) std::memcpy(&value, data.data(), sizeof value);
  return value;
}

std::string NetMessage::Attribute::text() const {
  return {data.begin(), std::ranges::find(data, std::uint8_t{0})};
}

std::vector<NetMessage::Attribute> NetMessage::inside(std::span<const std::uint8_t> data) {
  std::vector<Attribute> all;
  while (data.size() >= kAttributeHeader) {
    nlattr header{};
    std::memcpy(&header, data.data(), sizeof header);
    if (header.nla_len < kAttributeHeader || header.nla_len > data.size()) break;
    all.push_back({static_cast<std::uint16_t>(header.nla_type & NLA_TYPE_MASK),
                   data.subspan(kAttributeHeader, header.nla_len - kAttributeHeader)});
    data = data.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nla_len), data.size()));
  }
  return all;
}

std::vector<NetMessage::Attribute> NetMessage::attributes(std::size_t fixed_bytes) const {
  const std::size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(fixed_bytes);
  if (at >= bytes_.size()) return {};
  return inside(std::span(bytes_).subspan(at));
}

NetRequest::NetRequest(std::uint16_t type, unsigned flags) : room_(kBytes) {
  nlmsghdr* h = ::mnl_nlmsg_put_header(room_.data());
  h->nlmsg_type = type;
  h->nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
}

nlmsghdr* NetRequest::header() { return reinterpret_cast<nlmsghdr*>(room_.data()); }

NetRequest& NetRequest::fixed(const void* data, std::size_t size) {
  std::memcpy(::mnl_nlmsg_put_extra_header(header(), size), data, size);
  return *this;
}

NetRequest& NetRequest::put(std::uint16_t type, std::span<const std::uint8_t> data) {
  if (!::mnl_attr_put_check(header(), kBytes, type, data.size(), data.data())) {
    throw RuntimeFailure("rtnetlink: a message of the kernel is too long to be sent back");
  }
  return *this;
}

NetRequest& NetRequest::put(std::uint16_t type, std::uint32_t value) {
  std::array<std::uint8_t, sizeof value> bytes{};
  std::memcpy(bytes.data(), &value, sizeof value);
  return put(type, std::span<const std::uint8_t>(bytes));
}

NetRequest& NetRequest::put(std::uint16_t type, std::string_view text) {
  std::vector<std::uint8_t> bytes(text.begin(), text.end());
  bytes.push_back(0);
  return put(type, std::span<const std::uint8_t>(bytes));
}

NetRequest& NetRequest::nest(std::uint16_t type, const std::function<void()>& fill,
                             std::span<const std::uint8_t> before) {
  nlattr* start = ::mnl_attr_nest_start(header(), type);
  if (!before.empty()) {
    std::memcpy(::mnl_nlmsg_put_extra_header(header(), before.size()), before.data(),
                before.size());
  }
  fill();
  ::mnl_attr_nest_end(header(), start);
  return *this;
}

Rtnetlink::Rtnetlink() : socket_(::mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC)) {
  if (socket_ == nullptr) fail_to("open a socket");
  int one = 1;
  // They only make errors readable, and lists strict about what is asked.
  static_cast<void>(::mnl_socket_setsockopt(socket_, NETLINK_EXT_ACK, &one, sizeof one));
  static_cast<void>(::mnl_socket_setsockopt(socket_, NETLINK_CAP_ACK, &one, sizeof one));
  if (::mnl_socket_bind(socket_, 0, MNL_SOCKET_AUTOPID) == 0) return;
  const int error = errno;
  ::mnl_socket_close(socket_);
  errno = error;
  fail_to("bind a socket");
}

Rtnetlink::~Rtnetlink() { ::mnl_socket_close(socket_); }

void Rtnetlink::send(NetRequest& request, unsigned flags) {
  nlmsghdr* h = request.header();
  h->nlmsg_flags = static_cast<std::uint16_t>(h->nlmsg_flags | flags);
  h->nlmsg_seq = ++sequence_;
  if (::mnl_socket_sendto(socket_, h, h->nlmsg_len) < 0) fail_to("send");
}

std::vector<NetMessage> Rtnetlink::dump(NetRequest request) {
  send(request, NLM_F_DUMP);
  std::vector<NetMessage> all;
  read_answers(socket_, sequence_, [&](const nlmsghdr& m) {
    if (m.nlmsg_type == NLMSG_DONE) return true;
    if (m.nlmsg_type == NLMSG_ERROR) {
      errno = -error_of(m);
      fail_to("list what the kernel has");
    }
    all.emplace_back(bytes_of(m));
    return false;
  });
  return all;
}

int Rtnetlink::ask(NetRequest request) {
  send(request, NLM_F_ACK);
  int result = 0;
  read_answers(socket_, sequence_, [&](const nlmsghdr& m) {
    if (m.nlmsg_type != NLMSG_ERROR) return false;
    result = error_of(m);
    why_.clear();
    if (result == 0) return true;
    why_ = kernel_text(bytes_of(m));
    if (why_.empty()) why_ = std::generic_category().message(-result);
    return true;
  });
  return -result;
}

}  // namespace synproxy::control
