/* SPDX-License-Identifier: BSD-3-Clause */
/* lwIP as one end of the simulator: TCP over IPv4 and IPv6 with everything that its TCP can, no
 * operating system, no timers of its own (the virtual clock calls them), no ARP and no neighbour
 * discovery (the links are wires). */
#ifndef SYNPROXY_TEST_LWIPOPTS_H
#define SYNPROXY_TEST_LWIPOPTS_H

#include <stdint.h>

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_TIMERS 0
#define LWIP_STATS 0

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ARP 0
#define LWIP_UDP 0
#define LWIP_DNS 0
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_ND6_QUEUEING 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define LWIP_IPV6_REASS 0
#define LWIP_IPV6_FRAG 0

/* malloc for everything: the sanitizers see lwIP's memory. */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8

#define LWIP_TCP 1
#define LWIP_TCP_TIMESTAMPS 1
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_MAX_SACK_NUM 4
#define TCP_QUEUE_OOSEQ 1
#define LWIP_WND_SCALE 1
#define TCP_MSS 1460
#define TCP_SND_BUF (12 * TCP_MSS)
#define TCP_SND_QUEUELEN 200
#define TCP_LISTEN_BACKLOG 0
#define SO_REUSE 1
/* Also how long LAST_ACK repeats its FIN. TIME_WAIT is ended by the simulator. */
#define TCP_MSL 300000UL
#define LWIP_TCP_RTO_TIME 1000
/* Each stray segment of an older connection counts as one attempt to connect, and the attempts
 * count on when the connection stands. To the preprocessor this is 12, its limit. */
#define TCP_MAXRTX (12 + (sim_lwip_window_less_one != 0 ? 200 : 0))
#define TCP_SYNMAXRTX (12 + (sim_lwip_window_less_one != 0 ? 200 : 0))

/* Window and scale differ from seed to seed. To the preprocessor, which checks them, the names are
 * 0. */
#ifdef __cplusplus
extern "C" {
#endif
extern uint32_t sim_lwip_window_less_one;
extern uint8_t sim_lwip_scale;
extern uint32_t sim_lwip_isn;
#ifdef __cplusplus
}
#endif
#define TCP_WND (sim_lwip_window_less_one + 1U)
#define TCP_RCV_SCALE sim_lwip_scale
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) sim_lwip_isn

#endif
