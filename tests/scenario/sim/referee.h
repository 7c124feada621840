// SPDX-License-Identifier: BSD-3-Clause
// Stands beside the proxy and compares what goes in with what comes out. It knows what both hosts
// said in their handshakes. So it can do the translation itself, from the text of the design and
// not from the engine's code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "inspector.h"
#include "links.h"
#include "synproxy/base/packet.h"

namespace synproxy::test::sim {

class Referee {
 public:
  // `watches`: the proxy may pass connections that it has not spliced, with every byte as it came.
  Referee(const Inspector& client, const Inspector& server, bool watches)
      : client_(client), server_(server), watches_(watches) {}

  // `in` came on side `from`; `out` is the same packet on its way.
  void forwarded(Role from, const Flight& in, const Flight& out);
  // The same for an ICMP error.
  void error_forwarded(const Flight& in, const Flight& out, const HostPlan& host);
  // An answer in the packet's own buffer.
  void replied(const Flight& in, const Flight& out);
  // A frame that the proxy made.
  void made(Role to, const Flight& out);

  // In some epochs plain cookies are tight.
  void set_tight(bool tight) { tight_ = tight; }

  std::string violation;  // the first one

 private:
  void complain(const char* what, const DecodedFrame& in, const DecodedFrame& out);
  void to_server(const DecodedFrame& in, const DecodedFrame& out);
  void to_client(const DecodedFrame& in, const DecodedFrame& out);
  static constexpr std::uint8_t kRounded = 7;
  [[nodiscard]] bool may_be_rounded() const;
  [[nodiscard]] bool same_conversation(const Flight& in);

  const Inspector& client_;
  const Inspector& server_;
  const bool watches_;
  bool tight_ = false;
  Conversation of_ts_delta_;
  std::optional<std::uint32_t> ts_delta_;
};

}  // namespace synproxy::test::sim
