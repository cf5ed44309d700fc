/* /proc/net: the socket tables, and the one interface. */
#include "fs/proc/proc_priv.h"

#include "net/net.h"

static int table_lines(struct pbuf *b, enum net_proc_table table, const char *head)
{
    char line[512];
    unsigned index = 0;
    int n;
    pb_str(b, head);
    while ((n = net_proc_line(table, &index, line, sizeof(line))) > 0)
        pb_write(b, line, MIN(n, (int)sizeof(line)));
    return 0;
}

#define INET_HEAD                                                                                  \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "  \
    "inode\n"

static int show_tcp(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_TCP, INET_HEAD);
}

static int show_tcp6(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_TCP6, INET_HEAD);
}

static int show_udp(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_UDP, INET_HEAD);
}

static int show_udp6(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_UDP6, INET_HEAD);
}

static int show_udplite(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_UDPLITE, INET_HEAD);
}

static int show_udplite6(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_UDPLITE6, INET_HEAD);
}

static int show_raw(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_RAW, INET_HEAD);
}

static int show_raw6(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_RAW6, INET_HEAD);
}

static int show_packet(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_PACKET,
                       "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n");
}

static int show_protocols(struct pbuf *b, const struct proc_ctx *c)
{
    static const char *const names[] = {"PACKET", "PINGv6",      "RAWv6", "UDPLITEv6", "UDPv6",
                                        "TCPv6",  "UNIX-STREAM", "UNIX",  "UDP-Lite",  "PING",
                                        "RAW",    "UDP",         "TCP",   "NETLINK"};
    pb_str(b,
           "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh "
           "ss gs se re bi br ha uh gp em\n");
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        pb_printf(b,
                  "%-9s 1152      0      -1   NI       0   yes  kernel      y  y  y  y  y  y  y  "
                  "y  y  y  y  y  y  y  y  y  y  y\n",
                  names[i]);
    return 0;
}

static int show_unix(struct pbuf *b, const struct proc_ctx *c)
{
    return table_lines(b, NET_PROC_UNIX,
                       "Num       RefCount Protocol Flags    Type St Inode Path\n");
}

static int show_dev(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b,
           "Inter-|   Receive                                                |  Transmit\n"
           " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets "
           "errs drop fifo colls carrier compressed\n"
           "    lo:       0       0    0    0    0     0          0         0        0       0   "
           " 0    0    0     0       0          0\n");
    return 0;
}

static int show_if_inet6(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "00000000000000000000000000000001 01 80 10 80       lo\n");
    return 0;
}

static int show_route(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%-127s\n",
              "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU"
              "\tWindow\tIRTT");
    return 0;
}

static int show_nothing(struct pbuf *b, const struct proc_ctx *c)
{
    return 0;
}

static int show_sockstat(struct pbuf *b, const struct proc_ctx *c)
{
    struct net_counts n;
    net_counts(&n);
    pb_printf(b,
              "sockets: used %u\nTCP: inuse %u orphan 0 tw %u alloc %u mem 0\nUDP: inuse %u mem 0\n"
              "UDPLITE: inuse 0\nRAW: inuse %u\nFRAG: inuse 0 memory 0\n",
              n.sockets, n.tcp, n.tcp_tw, n.tcp + n.tcp6, n.udp, n.raw);
    return 0;
}

static int show_sockstat6(struct pbuf *b, const struct proc_ctx *c)
{
    struct net_counts n;
    net_counts(&n);
    pb_printf(b,
              "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse 0\nRAW6: inuse %u\n"
              "FRAG6: inuse 0 memory 0\n",
              n.tcp6, n.udp6, n.raw6);
    return 0;
}

static int show_snmp(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams "
              "InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes "
              "ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\n"
              "Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
              "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails "
              "EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n"
              "Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0\n"
              "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors "
              "InCsumErrors IgnoredMulti MemErrors\nUdp: 0 0 0 0 0 0 0 0 0\n");
    return 0;
}

static int show_arp(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "IP address       HW type     Flags       HW address            Mask     Device\n");
    return 0;
}

static int show_netlink(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    "
              "Inode\n");
    return 0;
}

const struct proc_entry g_proc_net_entries[] = {
    PROC_FILE("tcp", 0444, show_tcp),
    PROC_FILE("tcp6", 0444, show_tcp6),
    PROC_FILE("udp", 0444, show_udp),
    PROC_FILE("udp6", 0444, show_udp6),
    PROC_FILE("unix", 0444, show_unix),
    PROC_FILE("dev", 0444, show_dev),
    PROC_FILE("if_inet6", 0444, show_if_inet6),
    PROC_FILE("route", 0444, show_route),
    PROC_FILE("ipv6_route", 0444, show_nothing),
    PROC_FILE("raw", 0444, show_raw),
    PROC_FILE("raw6", 0444, show_raw6),
    PROC_FILE("udplite", 0444, show_udplite),
    PROC_FILE("udplite6", 0444, show_udplite6),
    PROC_FILE("packet", 0444, show_packet),
    PROC_FILE("protocols", 0444, show_protocols),
    PROC_FILE("sockstat6", 0444, show_sockstat6),
    PROC_FILE("dev_mcast", 0444, show_nothing),
    PROC_FILE("igmp6", 0444, show_nothing),
    PROC_FILE("igmp", 0444, show_nothing),
    PROC_FILE("sockstat", 0444, show_sockstat),
    PROC_FILE("snmp", 0444, show_snmp),
    PROC_FILE("arp", 0444, show_arp),
    PROC_FILE("netlink", 0444, show_netlink),
    {0},
};
