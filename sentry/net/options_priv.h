/* Socket options whose value is one int that is kept in the socket: socket(7), tcp(7), ip(7),
 * ipv6(7), udp(7), netlink(7). The list is the whole truth about them: who has the option, what is
 * accepted, what a new socket has. Options with a value of another shape, or with an action, are in
 * options.c, options_inet.c and mcast.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { /* socket.kind: one bit each */
       K_TCP = 1,
       K_UDP = 2,
       K_RAW = 4,
       K_PING = 8,
       K_UNIX = 16,
       K_NETLINK = 32,
       K_PACKET = 64,
       K_HOST = 128, /* a socket of the host: hostnet.c */
       K_INET = K_TCP | K_UDP | K_RAW | K_PING,
       K_ALL = K_INET | K_UNIX | K_NETLINK | K_PACKET,
};

enum opt_kind {
    OPT_BOOL, /* any value; told back as 0 or 1 */
    OPT_INT,  /* min … max, else EINVAL */
    OPT_CLAMP, /* into min … max */
    OPT_READ, /* cannot be set: ENOPROTOOPT */
};

/* id, level, name, who, kind, min, max, default, capability to set (-1: none) */
#define SOCKET_OPTIONS(X)                                                                          \
    X(DEBUG, SOL_SOCKET, 1, K_ALL, OPT_BOOL, 0, 1, 0, CAP_NET_ADMIN)                               \
    X(REUSEADDR, SOL_SOCKET, 2, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(DONTROUTE, SOL_SOCKET, 5, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(BROADCAST, SOL_SOCKET, 6, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(KEEPALIVE, SOL_SOCKET, 9, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(OOBINLINE, SOL_SOCKET, 10, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(NO_CHECK, SOL_SOCKET, 11, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(PRIORITY, SOL_SOCKET, 12, K_ALL, OPT_INT, INT32_MIN, INT32_MAX, 0, -1)                       \
    X(REUSEPORT, SOL_SOCKET, 15, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(PASSCRED, SOL_SOCKET, 16, K_UNIX | K_NETLINK, OPT_BOOL, 0, 1, 0, -1)                         \
    X(RCVLOWAT, SOL_SOCKET, 18, K_ALL, OPT_INT, INT32_MIN, INT32_MAX, 1, -1)                       \
    X(SNDLOWAT, SOL_SOCKET, 19, K_ALL, OPT_READ, 0, 0, 1, -1)                                      \
    X(TIMESTAMP, SOL_SOCKET, 29, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(PASSSEC, SOL_SOCKET, 34, K_UNIX | K_NETLINK, OPT_BOOL, 0, 1, 0, -1)                          \
    X(TIMESTAMPNS, SOL_SOCKET, 35, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(MARK, SOL_SOCKET, 36, K_ALL, OPT_INT, INT32_MIN, INT32_MAX, 0, -1)                           \
    X(RXQ_OVFL, SOL_SOCKET, 40, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(WIFI_STATUS, SOL_SOCKET, 41, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(PEEK_OFF, SOL_SOCKET, 42, K_INET | K_UNIX, OPT_INT, INT32_MIN, INT32_MAX, -1, -1)            \
    X(NOFCS, SOL_SOCKET, 43, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                         \
    X(LOCK_FILTER, SOL_SOCKET, 44, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(SELECT_ERR_QUEUE, SOL_SOCKET, 45, K_ALL, OPT_BOOL, 0, 1, 0, -1)                              \
    X(BUSY_POLL, SOL_SOCKET, 46, K_ALL, OPT_INT, 0, INT32_MAX, 0, -1)                              \
    X(INCOMING_CPU, SOL_SOCKET, 49, K_ALL, OPT_INT, INT32_MIN, INT32_MAX, -1, -1)                  \
    X(NAPI_ID, SOL_SOCKET, 56, K_ALL, OPT_READ, 0, 0, 0, -1)                                       \
    X(ZEROCOPY, SOL_SOCKET, 60, K_TCP | K_UDP, OPT_INT, 0, 1, 0, -1)                               \
    X(BINDTOIFINDEX, SOL_SOCKET, 62, K_ALL, OPT_INT, 0, 1, 0, -1)                                  \
    X(TIMESTAMP_NEW, SOL_SOCKET, 63, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                 \
    X(TIMESTAMPNS_NEW, SOL_SOCKET, 64, K_ALL, OPT_BOOL, 0, 1, 0, -1)                               \
    X(PREFER_BUSY_POLL, SOL_SOCKET, 69, K_ALL, OPT_BOOL, 0, 1, 0, CAP_NET_ADMIN)                   \
    X(BUF_LOCK, SOL_SOCKET, 72, K_ALL, OPT_INT, 0, 3, 0, -1)                                       \
    X(TXREHASH, SOL_SOCKET, 74, K_TCP, OPT_INT, -1, 1, 1, -1)                                      \
    X(RCVMARK, SOL_SOCKET, 75, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                       \
    X(PASSPIDFD, SOL_SOCKET, 76, K_UNIX, OPT_BOOL, 0, 1, 0, -1)                                    \
    X(RCVPRIORITY, SOL_SOCKET, 82, K_ALL, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(PASSRIGHTS, SOL_SOCKET, 83, K_UNIX, OPT_BOOL, 0, 1, 1, -1)                                   \
    X(NODELAY, IPPROTO_TCP, 1, K_TCP, OPT_BOOL, 0, 1, 0, -1)                                       \
    X(MAXSEG, IPPROTO_TCP, 2, K_TCP, OPT_INT, 88, 32767, 0, -1)                                    \
    X(TCP_CORK, IPPROTO_TCP, 3, K_TCP, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(KEEPIDLE, IPPROTO_TCP, 4, K_TCP, OPT_INT, 1, 32767, 7200, -1)                                \
    X(KEEPINTVL, IPPROTO_TCP, 5, K_TCP, OPT_INT, 1, 32767, 75, -1)                                 \
    X(KEEPCNT, IPPROTO_TCP, 6, K_TCP, OPT_INT, 1, 127, 9, -1)                                      \
    X(SYNCNT, IPPROTO_TCP, 7, K_TCP, OPT_INT, 1, 127, 6, -1)                                       \
    X(LINGER2, IPPROTO_TCP, 8, K_TCP, OPT_CLAMP, -1, 120, 60, -1)                                  \
    X(DEFER_ACCEPT, IPPROTO_TCP, 9, K_TCP, OPT_CLAMP, 0, INT32_MAX, 0, -1)                         \
    X(WINDOW_CLAMP, IPPROTO_TCP, 10, K_TCP, OPT_INT, INT32_MIN, INT32_MAX, 0, -1)                  \
    X(QUICKACK, IPPROTO_TCP, 12, K_TCP, OPT_BOOL, 0, 1, 1, -1)                                     \
    X(THIN_LINEAR, IPPROTO_TCP, 16, K_TCP, OPT_INT, 0, 1, 0, -1)                                   \
    X(THIN_DUPACK, IPPROTO_TCP, 17, K_TCP, OPT_INT, 0, 1, 0, -1)                                   \
    X(USER_TIMEOUT, IPPROTO_TCP, 18, K_TCP, OPT_INT, 0, INT32_MAX, 0, -1)                          \
    X(TCP_FASTOPEN, IPPROTO_TCP, 23, K_TCP, OPT_INT, 0, INT32_MAX, 0, -1)                          \
    X(NOTSENT_LOWAT, IPPROTO_TCP, 25, K_TCP, OPT_INT, INT32_MIN, INT32_MAX, 0, -1)                 \
    X(SAVE_SYN, IPPROTO_TCP, 27, K_TCP, OPT_INT, 0, 2, 0, -1)                                      \
    X(FASTOPEN_CONNECT, IPPROTO_TCP, 30, K_TCP, OPT_INT, 0, 1, 0, -1)                              \
    X(FASTOPEN_NO_COOKIE, IPPROTO_TCP, 34, K_TCP, OPT_INT, 0, 1, 0, -1)                            \
    X(TCP_INQ, IPPROTO_TCP, 36, K_TCP, OPT_INT, 0, 1, 0, -1)                                       \
    X(TX_DELAY, IPPROTO_TCP, 37, K_TCP, OPT_INT, 0, 2147483, 0, -1)                                \
    X(TTL, IPPROTO_IP, 2, K_INET, OPT_INT, 1, 255, 64, -1)                                         \
    X(IP_RECVOPTS, IPPROTO_IP, 6, K_INET, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(RETOPTS, IPPROTO_IP, 7, K_INET, OPT_BOOL, 0, 1, 0, -1)                                       \
    X(PKTINFO, IPPROTO_IP, 8, K_INET, OPT_BOOL, 0, 1, 0, -1)                                       \
    X(HDRINCL, IPPROTO_IP, 3, K_RAW, OPT_BOOL, 0, 1, 0, -1)                                        \
    X(MTU_DISCOVER, IPPROTO_IP, 10, K_INET, OPT_INT, 0, 5, 1, -1)                                  \
    X(IP_RECVERR, IPPROTO_IP, 11, K_INET, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(RECVTTL, IPPROTO_IP, 12, K_INET, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(RECVTOS, IPPROTO_IP, 13, K_INET, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(FREEBIND, IPPROTO_IP, 15, K_INET, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(IP_PASSSEC, IPPROTO_IP, 18, K_INET, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(TRANSPARENT, IPPROTO_IP, 19, K_INET, OPT_BOOL, 0, 1, 0, CAP_NET_ADMIN)                       \
    X(RECVORIGDST, IPPROTO_IP, 20, K_INET, OPT_BOOL, 0, 1, 0, -1)                                  \
    X(MINTTL, IPPROTO_IP, 21, K_INET, OPT_INT, 0, 255, 0, -1)                                      \
    X(NODEFRAG, IPPROTO_IP, 22, K_RAW, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(CHECKSUM, IPPROTO_IP, 23, K_INET, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(BIND_NO_PORT, IPPROTO_IP, 24, K_INET, OPT_BOOL, 0, 1, 0, -1)                                 \
    X(FRAGSIZE, IPPROTO_IP, 25, K_INET, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(RECVERR_RFC4884, IPPROTO_IP, 26, K_INET, OPT_INT, 0, 1, 0, -1)                               \
    X(MULTICAST_IF, IPPROTO_IP, 32, 0, OPT_INT, 0, 1, 0, -1)                                       \
    X(MULTICAST_TTL, IPPROTO_IP, 33, K_INET & ~K_TCP, OPT_INT, 0, 255, 1, -1)                      \
    X(MULTICAST_LOOP, IPPROTO_IP, 34, K_INET, OPT_BOOL, 0, 1, 1, -1)                               \
    X(MULTICAST_ALL, IPPROTO_IP, 49, K_INET, OPT_INT, 0, 1, 1, -1)                                 \
    X(UNICAST_IF, IPPROTO_IP, 50, 0, OPT_INT, 0, 1, 0, -1)                                         \
    X(PORT_RANGE, IPPROTO_IP, 51, K_INET, OPT_INT, INT32_MIN, INT32_MAX, 0, -1)                    \
    X(UDP_CORK, IPPROTO_UDP, 1, K_UDP, OPT_BOOL, 0, 1, 0, -1)                                      \
    X(UDP_ENCAP, IPPROTO_UDP, 100, K_UDP, OPT_INT, 0, 0, 0, -1)                                    \
    X(UDP_NO_CHECK6_TX, IPPROTO_UDP, 101, K_UDP, OPT_BOOL, 0, 1, 0, -1)                            \
    X(UDP_NO_CHECK6_RX, IPPROTO_UDP, 102, K_UDP, OPT_BOOL, 0, 1, 0, -1)                            \
    X(UDP_SEGMENT, IPPROTO_UDP, 103, K_UDP, OPT_INT, 0, 65535, 0, -1)                              \
    X(UDP_GRO, IPPROTO_UDP, 104, K_UDP, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(R2292PKTINFO, IPPROTO_IPV6, 2, K_INET, OPT_BOOL, 0, 1, 0, -1)                                \
    X(R2292HOPOPTS, IPPROTO_IPV6, 3, K_INET, OPT_BOOL, 0, 1, 0, -1)                                \
    X(R2292DSTOPTS, IPPROTO_IPV6, 4, K_INET, OPT_BOOL, 0, 1, 0, -1)                                \
    X(R2292RTHDR, IPPROTO_IPV6, 5, K_INET, OPT_BOOL, 0, 1, 0, -1)                                  \
    X(CHECKSUM6, IPPROTO_IPV6, 7, K_RAW, OPT_INT, -1, INT32_MAX, -1, -1)                           \
    X(R2292HOPLIMIT, IPPROTO_IPV6, 8, K_INET, OPT_BOOL, 0, 1, 0, -1)                               \
    X(FLOWINFO, IPPROTO_IPV6, 11, K_INET, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(HOPS, IPPROTO_IPV6, 16, K_INET, OPT_INT, -1, 255, -1, -1)                                    \
    X(MULTICAST_IF6, IPPROTO_IPV6, 17, K_INET & ~K_TCP, OPT_INT, 0, 1, 0, -1)                      \
    X(MULTICAST_HOPS, IPPROTO_IPV6, 18, K_INET & ~K_TCP, OPT_INT, -1, 255, 1, -1)                  \
    X(MULTICAST_LOOP6, IPPROTO_IPV6, 19, K_INET, OPT_INT, 0, 1, 1, -1)                             \
    X(ROUTER_ALERT6, IPPROTO_IPV6, 22, K_RAW, OPT_INT, -1, 65535, 0, -1)                           \
    X(MTU_DISCOVER6, IPPROTO_IPV6, 23, K_INET, OPT_INT, 0, 5, 1, -1)                               \
    X(RECVERR6, IPPROTO_IPV6, 25, K_INET, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(V6ONLY, IPPROTO_IPV6, 26, K_INET, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(MULTICAST_ALL6, IPPROTO_IPV6, 29, K_INET, OPT_BOOL, 0, 1, 1, -1)                             \
    X(ROUTER_ALERT_ISO, IPPROTO_IPV6, 30, K_INET, OPT_BOOL, 0, 1, 0, -1)                           \
    X(RECVERR6_RFC4884, IPPROTO_IPV6, 31, K_INET, OPT_INT, 0, 1, 0, -1)                            \
    X(FLOWINFO_SEND, IPPROTO_IPV6, 33, K_INET, OPT_BOOL, 0, 1, 0, -1)                              \
    X(RECVPKTINFO, IPPROTO_IPV6, 49, K_INET, OPT_BOOL, 0, 1, 0, -1)                                \
    X(RECVHOPLIMIT, IPPROTO_IPV6, 51, K_INET, OPT_BOOL, 0, 1, 0, -1)                               \
    X(RECVHOPOPTS, IPPROTO_IPV6, 53, K_INET, OPT_BOOL, 0, 1, 0, -1)                                \
    X(RECVRTHDR, IPPROTO_IPV6, 56, K_INET, OPT_BOOL, 0, 1, 0, -1)                                  \
    X(RECVDSTOPTS, IPPROTO_IPV6, 58, K_INET, OPT_BOOL, 0, 1, 0, -1)                                \
    X(RECVPATHMTU, IPPROTO_IPV6, 60, K_INET, OPT_BOOL, 0, 1, 0, -1)                                \
    X(DONTFRAG, IPPROTO_IPV6, 62, K_INET, OPT_BOOL, 0, 1, 0, -1)                                   \
    X(RECVTCLASS, IPPROTO_IPV6, 66, K_INET, OPT_BOOL, 0, 1, 0, -1)                                 \
    X(TCLASS, IPPROTO_IPV6, 67, K_INET, OPT_INT, -1, 255, 0, -1)                                   \
    X(AUTOFLOWLABEL, IPPROTO_IPV6, 70, K_INET, OPT_BOOL, 0, 1, 1, -1)                              \
    X(MINHOPCOUNT, IPPROTO_IPV6, 73, K_INET, OPT_INT, 0, 255, 0, -1)                               \
    X(RECVORIGDST6, IPPROTO_IPV6, 74, K_INET, OPT_BOOL, 0, 1, 0, -1)                               \
    X(TRANSPARENT6, IPPROTO_IPV6, 75, K_INET, OPT_BOOL, 0, 1, 0, CAP_NET_ADMIN)                    \
    X(UNICAST_IF6, IPPROTO_IPV6, 76, 0, OPT_INT, 0, 1, 0, -1)                                      \
    X(RECVFRAGSIZE6, IPPROTO_IPV6, 77, K_INET, OPT_BOOL, 0, 1, 0, -1)                              \
    X(FREEBIND6, IPPROTO_IPV6, 78, K_INET, OPT_BOOL, 0, 1, 0, -1)                                  \
    X(NL_PKTINFO, 270, 3, K_NETLINK, OPT_BOOL, 0, 1, 0, -1)                                        \
    X(NL_BROADCAST_ERROR, 270, 4, K_NETLINK, OPT_BOOL, 0, 1, 0, -1)                                \
    X(NL_NO_ENOBUFS, 270, 5, K_NETLINK, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(NL_LISTEN_ALL_NSID, 270, 8, K_NETLINK, OPT_BOOL, 0, 1, 0, CAP_NET_BROADCAST)                 \
    X(NL_CAP_ACK, 270, 10, K_NETLINK, OPT_BOOL, 0, 1, 0, -1)                                       \
    X(NL_EXT_ACK, 270, 11, K_NETLINK, OPT_BOOL, 0, 1, 0, -1)                                       \
    X(NL_STRICT_CHK, 270, 12, K_NETLINK, OPT_BOOL, 0, 1, 0, -1)                                    \
    X(PACKET_RESERVE, 263, 12, K_PACKET, OPT_INT, 0, INT32_MAX, 0, -1)                             \
    X(PACKET_AUXDATA, 263, 8, K_PACKET, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(PACKET_ORIGDEV, 263, 9, K_PACKET, OPT_BOOL, 0, 1, 0, -1)                                     \
    X(PACKET_VERSION, 263, 10, K_PACKET, OPT_INT, 0, 2, 0, -1)                                     \
    X(PACKET_LOSS, 263, 14, K_PACKET, OPT_BOOL, 0, 1, 0, -1)                                       \
    X(PACKET_TIMESTAMP, 263, 17, K_PACKET, OPT_INT, INT32_MIN, INT32_MAX, 0, -1)                   \
    X(PACKET_IGNORE_OUTGOING, 263, 23, K_PACKET, OPT_INT, 0, 1, 0, -1)                             \
    /* kept here, set by code of their own */                                                      \
    X(TOS, -1, 0, 0, OPT_INT, 0, 0, 0, -1)                                                         \
    X(TIMESTAMPING, -1, 1, 0, OPT_INT, 0, 0, 0, -1)                                                \
    X(TIMESTAMPING_NEW, -1, 2, 0, OPT_BOOL, 0, 0, 0, -1)                                           \
    X(TIMESTAMPING_BIND, -1, 3, 0, OPT_INT, 0, 0, 0, -1)                                           \
    X(TXTIME_CLOCK, -1, 4, 0, OPT_INT, 0, 0, 0, -1)                                                \
    X(TXTIME_FLAGS, -1, 5, 0, OPT_INT, 0, 0, 0, -1)                                                \
    X(PACING_LOW, -1, 6, 0, OPT_INT, 0, 0, -1, -1)                                                 \
    X(PACING_HIGH, -1, 7, 0, OPT_INT, 0, 0, -1, -1)                                                \
    X(ICMP_FILTER, -1, 8, 0, OPT_INT, 0, 0, 0, -1)                                                 \
    X(MULTICAST_ADDR, -1, 9, 0, OPT_INT, 0, 0, 0, -1)

enum {
#define X(id, ...) OPT_##id,
    SOCKET_OPTIONS(X)
#undef X
        OPT_COUNT,
};

/* A value on its way in. */
struct opt_in {
    const void *value; /* kernel copy of min(size, NET_OPT_MAX) bytes */
    unsigned size;     /* as the caller said */
    bool fault;        /* the guest's memory could not be read */
};
