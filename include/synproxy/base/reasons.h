// SPDX-License-Identifier: BSD-3-Clause
// The one list of all counters of the datapath: name, kind and the sentence for operators.
// docs/counters.md is generated from it.
//
// Kinds. FATE: what became of a received packet; each packet counts in exactly one FATE or DROP.
// DROP: the packet was dropped for that reason. MADE: frames that the proxy built itself, besides
// the SYN-ACKs. EVENT: what happened to connections, by any packet or timer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

// clang-format off
#define SYNPROXY_REASONS(X) \
  X(forwarded, FATE, "Not protected TCP, or let past by --fragments or --tcp-auth: passed to the other side untouched.") \
  X(passed, FATE, "Segment of a connection that the protected server opened itself: passed untranslated.") \
  X(watched, FATE, "Segment of a connection that a client opens with the server itself, because no cookies are needed (--mode adaptive or off), or that is older than the proxy (--adopt): passed untouched.") \
  X(translated, FATE, "Segment of a spliced connection: rewritten and passed to the other side.") \
  X(synack_sent, FATE, "SYN answered with a cookie SYN-ACK.") \
  X(unknown_forwarded, FATE, "Segment to or from a protected port that belongs to no connection: passed to the other side untouched, because --unknown says so.") \
  X(adopt_forwarded, FATE, "Segment to or from a protected port that belongs to no connection yet: passed to the other side untouched, because --adopt lets connections go on that are older than the proxy.") \
  X(asked, FATE, "SYN to a service that refused or was silent lately, or a refusal in answer to it: passed to the other side untouched, so that the server itself decides.") \
  X(consumed, FATE, "Handshake segment that the proxy used itself: a cookie ACK, the server's SYN-ACK, a refusal.") \
  X(early_held, FATE, "Data that the client sent before the server had answered: kept until the splice.") \
  X(icmp_translated, FATE, "ICMP error that quotes a spliced connection: inner header rewritten, passed on.") \
  X(fragment_held, FATE, "Fragment of TCP to or from a protected address, taken to be put together with the others of its packet.") \
  X(cookie_invalid, DROP, "ACK that belongs to no connection and whose cookie is wrong or too old.") \
  X(cookie_retrans, DROP, "Handshake ACK that came again, before the server has answered or after the splice.") \
  X(cookie_replayed, DROP, "Late copy of a handshake ACK whose connection has ended and is forgotten; if it has data, it gets a RST.") \
  X(early_dropped, DROP, "Early data that is out of order, or over the limit of the connection, or more than its service's share of --early-data-memory; the client sends it again.") \
  X(table_full, DROP, "No room for another connection: a client with a valid cookie gets a RST; a SYN of the server itself is dropped.") \
  X(no_flow_client, DROP, "Client segment that belongs to no connection and cannot be a cookie ACK.") \
  X(no_flow_server, DROP, "Segment from a protected server port that belongs to no connection.") \
  X(synack_stale, DROP, "Segment of the server for a connection that was given up, or a SYN-ACK that nobody asked for; it gets a RST.") \
  X(server_rst_ignored, DROP, "RST of the server that does not answer our SYN.") \
  X(rst_out_of_window, DROP, "RST whose sequence number is outside the window (RFC 5961).") \
  X(ce_without_ecn, DROP, "Packet marked CE for a server that does not do ECN: dropped, as the congested hop would have done.") \
  X(out_of_window, DROP, "Client segment outside the window of its connection; see --strict-window.") \
  X(ack_unfit, DROP, "Client segment whose numbers do not fit its connection, while that is in handshake or over.") \
  X(tcp_auth, DROP, "SYN with the TCP MD5 or TCP-AO option, which a proxy cannot answer; see --tcp-auth.") \
  X(syn_shed, DROP, "SYN dropped unanswered because more arrived than can be answered; a client that sends it again gets through. On a Linux interface the number is reckoned from the share that the kernel lets in.") \
  X(ack_shed, DROP, "ACK without a connection, dropped unlooked at because more arrived than can be checked; a client repeats it with its data.") \
  X(adopt_shed, DROP, "Client segment without a connection, dropped because more of them came than --adopt lets pass in a second; its sender repeats it.") \
  X(icmp_shed, DROP, "ICMP from the client side, dropped because more packets without a connection arrived than can be looked at.") \
  X(syn_own_isn, DROP, "SYN with the sequence number that opened its live connection: a late copy, or the client has restarted; it gets a challenge ACK (RFC 5961), once a second.") \
  X(syn_fin, DROP, "SYN and FIN together.") \
  X(syn_rst, DROP, "SYN and RST together.") \
  X(syn_ack_client, DROP, "SYN-ACK from the client side that answers nothing.") \
  X(null_flags, DROP, "TCP segment without any flag.") \
  X(xmas_flags, DROP, "TCP segment with all flags set.") \
  X(no_ack_flag, DROP, "Segment with neither SYN, RST nor ACK.") \
  X(bad_ip_header, DROP, "IP header with an impossible version or length, or a header chain that cannot be walked.") \
  X(bad_tcp_header, DROP, "TCP header shorter than 20 bytes or longer than the segment.") \
  X(bad_checksum, DROP, "IP or TCP checksum wrong on a packet that changes state.") \
  X(land, DROP, "Source and destination are the same address and port.") \
  X(bad_source, DROP, "Source address is broadcast, multicast, unspecified or loopback, or the source MAC is a group.") \
  X(denied, DROP, "Packet to a protected address from a source that --deny-file lists.") \
  X(bogon_source, DROP, "Packet to a protected address from a source that no packet of the Internet has; see --bogons.") \
  X(ttl_low, DROP, "TCP to a protected port whose TTL or hop limit is below --min-ttl.") \
  X(bad_destination_mac, DROP, "TCP to the broadcast MAC address.") \
  X(vlan_depth, DROP, "TCP to or from a protected address under more than two VLAN tags, or any frame with more than four.") \
  X(fragment, DROP, "Fragment of TCP to or from a protected address, dropped because --fragments says so.") \
  X(fragment_bad, DROP, "Fragment of which no packet can be made: not a multiple of eight bytes, or of a packet above 16 KB.") \
  X(fragment_tiny, DROP, "Fragment with less than a whole TCP header, or that begins inside one: no path cuts so short, but it gets past filters (RFC 1858).") \
  X(fragment_duplicate, DROP, "Fragment that came again while its packet waited for others.") \
  X(fragment_overlap, DROP, "Fragment that overlaps or contradicts another one, and all further ones of that packet (RFC 5722).") \
  X(fragment_shed, DROP, "Fragment dropped because more came than are put together; senders with a live connection come first.") \
  X(limit_rate, DROP, "Valid handshake ACK of a source that opens connections faster than --limit-rate: no connection is made; see --limit-action.") \
  X(limit_conns, DROP, "Valid handshake ACK of a source that has as many connections open as --limit-conns allows: no connection is made; see --limit-action.") \
  X(reply_capped, DROP, "SYN whose claimed source is given as many SYN-ACKs a second as --reply-rate allows; not answered, so that the proxy is no reflector.") \
  X(no_secret, DROP, "SYN that came while the keys of its epoch were missing; does not happen in a running program.") \
  X(icmp_invalid, DROP, "ICMP error about a protected port that quotes no known connection, or a number that is not outstanding (RFC 5927).") \
  X(no_buffer_room, DROP, "Reply does not fit the buffer of the packet that caused it.") \
  X(synack_repeated, MADE, "SYN-ACK sent again because no ACK had come: the ACK may have been lost.") \
  X(synack_late, MADE, "SYN-ACK sent to a client once the server, which was in doubt, had answered its SYN.") \
  X(challenge_to_client, MADE, "Challenge ACK sent to a client for a SYN with the sequence number of its live connection.") \
  X(syn_to_server, MADE, "SYN sent to the server, repeats included.") \
  X(syn_to_server_retrans, MADE, "Of these, repeats because the server was silent or answered with a challenge ACK.") \
  X(ack_to_server, MADE, "ACK of the handshake sent to the server, repeats included.") \
  X(window_update, MADE, "Window update sent to the client after the splice.") \
  X(piece_to_server, MADE, "Piece, besides the first, of a segment that was cut for its server (segment_cut).") \
  X(early_released, MADE, "Held segment sent to the server after the splice.") \
  X(rst_to_client, MADE, "RST sent to a client.") \
  X(rst_to_server, MADE, "RST sent to the server.") \
  X(icmp_too_long, MADE, "ICMP error to a client whose segment was longer than its server takes (fragmentation needed, packet too big).") \
  X(keepalive_probe, MADE, "Keepalive sent to an end of a silent connection before it expires, or after a RST to ask whether the end is gone.") \
  X(unknown_probe, MADE, "ACK sent to an end of a connection that the proxy does not know, to learn whether that end knows it.") \
  X(syn_received, EVENT, "SYN to a protected port, without junk and shed SYNs.") \
  X(syn_repeated, EVENT, "SYN that a client sent again at least 200 ms after the first, which was answered. In a flood only one SYN in many is followed, and counts here; see docs/watching.md.") \
  X(cookie_valid, EVENT, "Handshake ACK with a valid cookie.") \
  X(timestamps_stripped, EVENT, "Of these, ACKs without the timestamps that their SYN-ACK had given: a device on the path takes them away. Served without.") \
  X(deny_monitored, EVENT, "Packet that --deny-file would have dropped; not dropped for that, because --monitor names the rule.") \
  X(bogons_monitored, EVENT, "Packet that --bogons would have dropped; not dropped for that, because --monitor names the rule.") \
  X(min_ttl_monitored, EVENT, "Segment that --min-ttl would have dropped; not dropped for that, because --monitor names the rule.") \
  X(strict_window_monitored, EVENT, "Segment that --strict-window would have dropped; passed, because --monitor names the rule.") \
  X(unknown_monitored, EVENT, "Segment of no connection that --unknown would have dropped or answered with RSTs; passed, because --monitor names the rule.") \
  X(fragments_monitored, EVENT, "Fragment that --fragments would have dropped: any (drop), or one that is too small for a TCP header (reassemble); passed or put together with the others, because --monitor names the rule.") \
  X(limit_rate_monitored, EVENT, "Connection that --limit-rate would have refused; made, because --monitor names the rule.") \
  X(limit_conns_monitored, EVENT, "Connection that --limit-conns would have refused; made, because --monitor names the rule.") \
  X(reply_capped_monitored, EVENT, "SYN that --reply-rate would have left without an answer; answered, because --monitor names the rule.") \
  X(limit_allowed, EVENT, "Connection of a source that --allow-file lists: no limit was asked.") \
  X(limit_shared, EVENT, "Connection charged to a budget that its /16 (IPv6: /48) shares, because no entry was free for its source; see --limit-memory.") \
  X(backlog_waited, EVENT, "Connection that had to wait for its turn, because as many of its service as --server-backlog allows waited for the server's SYN-ACK.") \
  X(backlog_monitored, EVENT, "Connection that --server-backlog would have made wait; not made to wait, because --monitor names the rule.") \
  X(backlog_yielded, EVENT, "Connection that the server left unanswered for 1.4 s while others waited: it gave its place to the next and waits for another turn.") \
  X(backlog_expired, EVENT, "Connection that waited for its turn longer than --server-timeout: its client got a RST, and its server never heard of it.") \
  X(backlog_halved, EVENT, "Silence of a server made --server-backlog auto halve the number of connections that may wait for that service.") \
  X(backlog_unbounded, EVENT, "Connection of a service for which --server-backlog had no entry free, so that it was not bounded.") \
  X(conn_reopened, EVENT, "Connection replaced by a new one with the same addresses and ports.") \
  X(conn_watched, EVENT, "Connection opened by a client with the server itself, without a cookie (--mode adaptive or off).") \
  X(cookies_began, EVENT, "Service whose SYNs are answered with cookies from now on (--mode adaptive); each worker decides for itself.") \
  X(mode_monitored, EVENT, "Service whose SYNs would be answered with cookies from now on (--mode adaptive); they go on to the server, because --monitor names the rule.") \
  X(cookies_ended, EVENT, "Service whose SYNs pass to the server again, because the attack is over (--mode adaptive); each worker decides for itself.") \
  X(conn_established, EVENT, "Connection spliced: both handshakes done.") \
  X(conn_refused, EVENT, "Server answered our SYN with a RST, or the network refused it by an ICMP error (port unreachable, prohibited).") \
  X(conn_timed_out, EVENT, "Server did not answer within --server-timeout.") \
  X(conn_aborted, EVENT, "Client sent a RST before the server had answered.") \
  X(conn_finished, EVENT, "Connection closed by FIN both ways.") \
  X(conn_reset, EVENT, "Connection closed by a RST.") \
  X(service_crawls, EVENT, "Service seen to size its window by the round trip to the proxy, as BBR does; from then on --hide-rtt auto hides that round trip from it.") \
  X(conn_idle, EVENT, "Silent connection expired: neither end answered a keepalive.") \
  X(conn_unknown, EVENT, "Segment of a connection that the proxy does not know, as those are that are older than it: RST to both ends; see --unknown.") \
  X(conn_adopted, EVENT, "Connection older than the proxy that goes on: the segments of both ends agreed (--adopt).") \
  X(conn_contradicted, EVENT, "Connection older than the proxy whose ends have different numbers, as an earlier proxy leaves them: RST to both ends (--adopt).") \
  X(conn_deleted, EVENT, "Connection deleted by `synproxy flows --delete`: RST to both ends, unless it was over.") \
  X(conn_passed, EVENT, "Connection that the protected server opened itself.") \
  X(early_given_up, EVENT, "Connection whose held early data gave way to that of another connection; its client sends it again.") \
  X(flow_evicted, EVENT, "Connection removed early to make room: it was over, half-open or most likely dead.") \
  X(flow_freed, EVENT, "Connection record given back.") \
  X(flow_resumed, EVENT, "Connection that a former process has left (--state-dir, or the service manager), and that goes on.") \
  X(flow_unfit, EVENT, "Record that a former process has left, and that was dropped: it was being written when that died, or is damaged.") \
  X(service_doubted, EVENT, "Service in doubt from now on: it refused a connection, or left one unanswered for 1.4 s.") \
  X(service_back, EVENT, "Service in doubt that has answered: its SYNs are answered by the proxy again.") \
  X(challenge_ack, EVENT, "Server answered our SYN with an ACK of an older connection.") \
  X(server_no_timestamps, EVENT, "Server lacks the timestamps that were promised to the client: both ends reset.") \
  X(server_no_sack, EVENT, "Server lacks the SACK that was promised to the client: SACK blocks are blanked.") \
  X(server_no_ecn, EVENT, "Server lacks the ECN that was promised to the client: ECT is cleared.") \
  X(server_shows_more, EVENT, "Server granted in its SYN-ACK more than the client was promised: learned, and the SYN is sent again without the extras.") \
  X(fragments_joined, EVENT, "Packet put together from its fragments; it counts once more, in the fate of the whole.") \
  X(fragments_lost, EVENT, "Packet given up because not all of its fragments came within two seconds, or for newer ones.") \
  X(segment_cut, EVENT, "Segment longer than its server takes: cut into pieces. The client was promised more before the server had answered.") \
  X(flow_offloaded, EVENT, "Connection given to the kernel to carry, because it brings much; see --flow-offload. One may be given more than once.") \
  X(segment_offloaded, EVENT, "Segment that the kernel carried; it counts as translated or watched too.") \
  X(link_forgotten, EVENT, "Frame of a timer that could not be sent: no Ethernet header of its VLAN is known any more.") \
  X(bad_options, EVENT, "Segment of a live connection with a malformed option list: passed with its options untouched.")
// clang-format on

namespace synproxy {

enum class ReasonKind : std::uint8_t { FATE, DROP, MADE, EVENT };

enum class Reason : std::uint8_t {
#define SYNPROXY_X(name, kind, sentence) name,
  SYNPROXY_REASONS(SYNPROXY_X)
#undef SYNPROXY_X
};

struct ReasonInfo {
  std::string_view name;
  ReasonKind kind;
  std::string_view sentence;
};

inline constexpr auto kReasons = std::to_array<ReasonInfo>({
#define SYNPROXY_X(name, kind, sentence) {#name, ReasonKind::kind, sentence},
    SYNPROXY_REASONS(SYNPROXY_X)
#undef SYNPROXY_X
});
inline constexpr std::size_t kReasonCount = kReasons.size();

[[nodiscard]] constexpr const ReasonInfo& info(Reason r) {
  return kReasons[static_cast<std::size_t>(r)];
}

// Drops whose packet may be rewritten into the answer. The bytes of all other dropped packets stay
// as they came.
[[nodiscard]] constexpr bool may_be_answered(Reason r) {
  switch (r) {
    case Reason::cookie_invalid:
    case Reason::cookie_retrans:
    case Reason::cookie_replayed:
    case Reason::table_full:
    case Reason::no_flow_server:
    case Reason::synack_stale:
    case Reason::syn_own_isn:
    case Reason::limit_rate:
    case Reason::limit_conns:
      return true;
    default:
      return false;
  }
}

}  // namespace synproxy
