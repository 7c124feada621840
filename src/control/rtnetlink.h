// SPDX-License-Identifier: BSD-3-Clause
// Asks the kernel about links, addresses, routes and neighbours, and changes them, by libmnl.
//
// Messages are kept as the kernel sent them. Whatever an address or a route carries (metrics,
// lifetimes, encapsulation) comes back with the message, known here or not.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct mnl_socket;

namespace synproxy::control {

// A message of the kernel, its header first.
class NetMessage {
 public:
  explicit NetMessage(std::span<const std::uint8_t> bytes) : bytes_(bytes.begin(), bytes.end()) {}

  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return bytes_; }
  [[nodiscard]] std::uint16_t type() const { return header().nlmsg_type; }
  // The fixed part behind the header: ifaddrmsg, rtmsg. Zeros where the message is too short.
  template <typename Fixed>
  [[nodiscard]] Fixed fixed() const {
    Fixed out{};
    if (bytes_.size() >= NLMSG_HDRLEN + sizeof out) {
      std::memcpy(&out, &bytes_[NLMSG_HDRLEN], sizeof out);
    }
    return out;
  }

  struct Attribute {
    std::uint16_t type = 0;
    std::span<const std::uint8_t> data;

    [[nodiscard]] std::uint32_t u32() const;  // 0 if it is shorter
    [[nodiscard]] std::string text() const;
  };
  // Those behind a fixed part of that size.
  [[nodiscard]] std::vector<Attribute> attributes(std::size_t fixed_bytes) const;
  // Those inside an attribute.
  [[nodiscard]] static std::vector<Attribute> inside(std::span<const std::uint8_t> data);

  friend bool operator==(const NetMessage&, const NetMessage&) = default;

 private:
  [[nodiscard]] nlmsghdr header() const;

  std::vector<std::uint8_t> bytes_;
};

// A request that is being written.
class NetRequest {
 public:
  // `flags`: NLM_F_CREATE and the like; the rest is added.
  NetRequest(std::uint16_t type, unsigned flags);

  template <typename Fixed>
  NetRequest& fixed(const Fixed& part) {
    return fixed(&part, sizeof part);
  }
  NetRequest& put(std::uint16_t type, std::span<const std::uint8_t> data);
  NetRequest& put(std::uint16_t type, std::uint32_t value);
  NetRequest& put(std::uint16_t type, std::string_view text);  // with its final zero
  // What `fill` puts lies inside an attribute of this type. `before`: bytes in front of it.
  NetRequest& nest(std::uint16_t type, const std::function<void()>& fill,
                   std::span<const std::uint8_t> before = {});

  [[nodiscard]] nlmsghdr* header();

 private:
  NetRequest& fixed(const void* data, std::size_t size);

  static constexpr std::size_t kBytes = 16384;
  std::vector<std::uint8_t> room_;
};

class Rtnetlink {
 public:
  Rtnetlink();  // throws RuntimeFailure
  ~Rtnetlink();
  Rtnetlink(const Rtnetlink&) = delete;
  Rtnetlink& operator=(const Rtnetlink&) = delete;

  // All that the kernel lists in answer to the request. Throws RuntimeFailure.
  [[nodiscard]] std::vector<NetMessage> dump(NetRequest request);
  // 0, or errno; why() says then what the kernel said.
  [[nodiscard]] int ask(NetRequest request);
  [[nodiscard]] const std::string& why() const { return why_; }

 private:
  void send(NetRequest& request, unsigned flags);

  mnl_socket* socket_;
  std::uint32_t sequence_ = 0;
  std::string why_;
};

}  // namespace synproxy::control
