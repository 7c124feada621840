// SPDX-License-Identifier: BSD-3-Clause
// Name and sentence of each counter that is not a Reason, in the order in which they are shown.
#pragma once

#include <array>
#include <string_view>

#include "dataplane/dataplane.h"
#include "synproxy/base/counters.h"

namespace synproxy::control {

template <typename Block>
struct CounterInfo {
  std::string_view name;
  std::string_view sentence;
  const Counter& (*of)(const Block&);
};

using GaugeInfo = CounterInfo<Counters>;
using IoInfo = CounterInfo<dataplane::IoCounters>;

inline constexpr auto kGauges = std::to_array<GaugeInfo>({
    {"flows", "Connection records in use, whatever their state.",
     [](const Counters& c) -> const Counter& { return c.flows; }},
    {"flows_embryonic", "Of these, waiting for the server's SYN-ACK.",
     [](const Counters& c) -> const Counter& { return c.flows_embryonic; }},
    {"flows_established", "Of these, spliced and open.",
     [](const Counters& c) -> const Counter& { return c.flows_established; }},
    {"flows_offloaded",
     "Of flows_established, carried by the kernel at the moment; see --flow-offload.",
     [](const Counters& c) -> const Counter& { return c.flows_offloaded; }},
    {"flows_waiting",
     "Of flows_embryonic, held back until it is their turn to ask the server; see --server-backlog.",
     [](const Counters& c) -> const Counter& { return c.flows_waiting; }},
    {"early_buffers", "Buffers of early data in use.",
     [](const Counters& c) -> const Counter& { return c.early_buffers; }},
    {"half_open",
     "Connections that the server has answered and whose client has not, with the server itself (`--mode adaptive` or `off`).",
     [](const Counters& c) -> const Counter& { return c.half_open; }},
    {"cookies_by_half_open",
     "Services whose SYNs are answered with cookies at the moment because too many connections were half-open (`--mode adaptive`); each worker counts its own.",
     [](const Counters& c) -> const Counter& { return c.cookies_by_half_open; }},
    {"cookies_by_rate",
     "Services whose SYNs are answered with cookies at the moment because too many came in ten seconds (`--mode adaptive`); each worker counts its own.",
     [](const Counters& c) -> const Counter& { return c.cookies_by_rate; }},
    {"cookies_tight",
     "1 while cookies of clients without timestamps are made with more bits against guessing and fewer for options (`--tight-cookies`); each worker counts its own.",
     [](const Counters& c) -> const Counter& { return c.cookies_tight; }},
});

inline constexpr auto kIoCounters = std::to_array<IoInfo>({
// clang-format off
#define SYNPROXY_BOTH_SIDES(field, before, after)                                \
    {#field "_client", before " client port" after,                              \
     [](const dataplane::IoCounters& c) -> const Counter& { return c.field[0]; }}, \
    {#field "_server", before " server port" after,                              \
     [](const dataplane::IoCounters& c) -> const Counter& { return c.field[1]; }}
    // clang-format on
    SYNPROXY_BOTH_SIDES(rx_packets, "Packets received on the", "."),
    SYNPROXY_BOTH_SIDES(rx_bytes, "Bytes received on the", "."),
    SYNPROXY_BOTH_SIDES(tx_packets, "Packets sent on the", "."),
    SYNPROXY_BOTH_SIDES(tx_bytes, "Bytes sent on the", "."),
    SYNPROXY_BOTH_SIDES(tx_dropped, "Packets dropped because the transmit queue of the",
                        " was full."),
    SYNPROXY_BOTH_SIDES(rx_checksum_missing, "Packets received on the",
                        " whose checksum was left to an offload that never ran."),
    SYNPROXY_BOTH_SIDES(rx_checksum_good, "Packets received on the",
                        " whose TCP or UDP checksum the device has verified."),
    SYNPROXY_BOTH_SIDES(rx_tag_restored, "Packets received on the",
                        " whose VLAN tag the device had cut out, and which got it back."),
    SYNPROXY_BOTH_SIDES(
        rss_mismatch, "Packets received on the",
        " whose RSS hash, as the device reports it, is not that of its key; one in a burst is looked at."),
#undef SYNPROXY_BOTH_SIDES
    {"handed_over", "Packets given to the worker that owns their connection.",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.handed_over; }},
    {"hand_over_full", "Packets dropped because the owning worker's ring was full.",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.hand_over_full; }},
    {"no_buffer", "Frames made by the proxy and dropped because no packet buffer was free.",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.no_buffer; }},
    {"syn_shed_share",
     "Gauge: of a thousand SYNs that come for the first time, how many are shed (`syn_shed`) at the moment; 0 while all are answered. The sum over the workers says nothing.",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.syn_shed_share; }},
    {"idle_sleeps", "Times that a worker slept because nothing had arrived (`--idle-sleep`).",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.idle_sleeps; }},
    {"idle_us",
     "Microseconds that workers have slept in all. Per worker, its growth over a second, less than a million, is the share of the CPU that it left to others.",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.idle_us; }},
    {"taken_over", "Packets taken from workers that had received them for this one.",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.taken_over; }},
    {"busy_cycles",
     "Cycles of the time-stamp counter (`cycles_per_second`) that a worker has spent in turns that brought packets. Per worker, its growth over a second divided by `cycles_per_second` is the busy share; divided by the growth of `rx_packets_*` and `taken_over`, the cycles per packet.",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.busy_cycles; }},
    {"capture_lost",
     "Frames that a running `synproxy capture` had asked for and did not get, because its reader was slower than they came.",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.capture_lost; }},
    {"clock_ms",
     "Gauge: the worker's clock, milliseconds. It moves on a thousand times a second, with or without traffic; where it stands still, the worker hangs. The sum over the workers says nothing.",
     [](const dataplane::IoCounters& c) -> const Counter& { return c.clock_ms; }},
});

}  // namespace synproxy::control
