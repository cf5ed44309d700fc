/* Options of IP, IPv6, TCP and raw sockets that are more than one kept int: tcp(7), ip(7), ipv6(7).
 */
#include "base/overflow.h"
#include "net/iface_priv.h"
#include "net/net_priv.h"
#include "time/time.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

static int import(const struct opt_in *in, void *out, unsigned need)
{
    if (in->size < need)
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    memcpy(out, in->value, need);
    return 0;
}

/* ---- TCP
 * ------------------------------------------------------------------------ */

static int set_congestion(struct socket *s, const struct opt_in *in)
{
    char name[16] = "";
    if (in->size < 1)
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    memcpy(name, in->value, MIN(in->size, (unsigned)sizeof(name) - 1));
    if (strcmp(name, "cubic") && strcmp(name, "reno"))
        return -ENOENT;
    LOCK_GUARD(&g_net_lock);
    memcpy(s->congestion, name, sizeof(name));
    return 0;
}

static int set_ulp(struct socket *s, const struct opt_in *in)
{
    if (in->size < 1)
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    return -ENOENT; /* no upper layer protocols: no kernel TLS */
}

static int tcp_set(struct task *t, struct socket *s, int name, const struct opt_in *in)
{
    int n;
    if (name == TCP_CONGESTION)
        return set_congestion(s, in);
    if (name == TCP_ULP)
        return set_ulp(s, in);
    if (name == TCP_FASTOPEN_KEY)
        return -EINVAL;
    int err = import(in, &n, sizeof(n));
    if (err)
        return err;
    switch (name) {
    case TCP_MD5SIG:
    case 32 /* TCP_MD5SIG_EXT */:
    case TCP_REPAIR_OPTIONS:
        return -EINVAL;
    case TCP_REPAIR:
    case 29 /* TCP_REPAIR_WINDOW */:
    case 24 /* TCP_TIMESTAMP */:
    case TCP_REPAIR_QUEUE:
    case TCP_QUEUE_SEQ:
        return name == TCP_QUEUE_SEQ || name == TCP_REPAIR_QUEUE ? -EPERM : -EPERM;
    }
    return -ENOPROTOOPT;
}

static void fill_info(struct socket *s, struct tcp_info *info)
{
    int64_t now = time_now();
    info->tcpi_state = stream_tcp_state(s);
    info->tcpi_options =
        s->state == SOCK_CONNECTED ? TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE : 0;
    info->tcpi_snd_wscale = info->tcpi_rcv_wscale = s->state == SOCK_CONNECTED ? 7 : 0;
    info->tcpi_rto = s->state == SOCK_CONNECTED ? 204000 : 1000000;
    info->tcpi_ato = s->state == SOCK_CONNECTED ? 40000 : 0;
    info->tcpi_snd_mss = s->state == SOCK_CONNECTED ? 32768 : 536;
    info->tcpi_rcv_mss = 536;
    info->tcpi_pmtu = s->state == SOCK_CONNECTED ? 65535 : 0;
    info->tcpi_advmss = 65483;
    info->tcpi_rcv_ssthresh = 65483;
    info->tcpi_rtt = s->state == SOCK_CONNECTED ? 20 : 0;
    info->tcpi_rttvar = 10;
    info->tcpi_snd_ssthresh = INT32_MAX;
    info->tcpi_snd_cwnd = 10;
    info->tcpi_reordering = 3;
    info->tcpi_rcv_space = 65495;
    if (s->state == SOCK_LISTENING) {
        info->tcpi_unacked = s->accept_count;
        info->tcpi_sacked = s->backlog;
    } else if (s->last_in_ns) {
        info->tcpi_last_data_sent = (now - s->last_out_ns) / 1000000;
        info->tcpi_last_data_recv = (now - s->last_in_ns) / 1000000;
        info->tcpi_last_ack_recv = info->tcpi_last_data_recv;
    }
}

static int give_info(struct socket *s, void *v, unsigned *size)
{
    struct {
        struct tcp_info info;
        uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
        uint32_t segs_out, segs_in, notsent, min_rtt, data_segs_in, data_segs_out;
        uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
        uint32_t delivered, delivered_ce;
        uint64_t bytes_sent, bytes_retrans;
        uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd;
    } all = {.pacing_rate = UINT64_MAX, .max_pacing_rate = UINT64_MAX};
    fill_info(s, &all.info);
    all.bytes_acked = all.bytes_sent = s->bytes_out;
    all.bytes_received = s->bytes_in;
    all.segs_out = all.data_segs_out = all.delivered = s->segs_out;
    all.segs_in = all.data_segs_in = s->segs_in;
    all.snd_wnd = 65536;
    all.min_rtt = 20;
    return opt_give(v, size, &all, sizeof(all));
}

static int tcp_get(struct socket *s, int name, void *v, unsigned *size)
{
    LOCK_GUARD(&g_net_lock);
    switch (name) {
    case TCP_INFO:
        return give_info(s, v, size);
    case TCP_CONGESTION:
        return opt_give(v, size, s->congestion, sizeof(s->congestion));
    case TCP_ULP:
    case TCP_SAVED_SYN:
    case TCP_FASTOPEN_KEY:
        return opt_give(v, size, "", 0);
    case TCP_REPAIR:
        return opt_give_int(v, size, 0);
    case TCP_CC_INFO:
        return opt_give(v, size, (char[20]){0}, 20);
    case 24 /* TCP_TIMESTAMP */:
        return opt_give_int(v, size, (int)(time_now() / 1000000));
    case TCP_REPAIR_QUEUE:
    case TCP_QUEUE_SEQ:
    case 29:
    case 35 /* TCP_ZEROCOPY_RECEIVE */:
        return -EINVAL;
    }
    return -ENOPROTOOPT;
}

/* ---- IP
 * ------------------------------------------------------------------------ */

/* As ip(7): the low two bits (congestion) are TCP's own. */
static int set_tos(struct socket *s, const struct opt_in *in)
{
    int n = 0;
    if (in->size && in->fault)
        return -EFAULT;
    if (in->size >= sizeof(n))
        memcpy(&n, in->value, sizeof(n));
    else if (in->size)
        n = *(const uint8_t *)in->value;
    LOCK_GUARD(&g_net_lock);
    n &= 0xff;
    if (s->kind & K_TCP)
        n = (n & ~3) | (s->opt[OPT_TOS] & 3);
    s->opt[OPT_TOS] = n;
    s->opt[OPT_PRIORITY] = (int[]){0, 1, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4}[(n & 0x1e) >> 1];
    return 0;
}

static int ip_set(struct task *t, struct socket *s, int name, const struct opt_in *in)
{
    int n;
    switch (name) {
    case IP_TOS:
        return set_tos(s, in);
    case IP_OPTIONS:
        return in->size > 40 ? -EINVAL : in->size && in->fault ? -EFAULT : 0;
    case IP_ROUTER_ALERT:
        return s->kind & K_RAW ? 0 : -EINVAL;
    case IP_XFRM_POLICY:
    case IP_IPSEC_POLICY:
        return net_capable(t, CAP_NET_ADMIN) ? -EOPNOTSUPP : -EPERM;
    case IP_UNICAST_IF:
        if (in->size != sizeof(n))
            return -EINVAL;
        if (import(in, &n, sizeof(n)))
            return -EFAULT;
        n = ntohl(n);
        if (n && n != IFACE_INDEX)
            return -EADDRNOTAVAIL;
        s->opt[OPT_UNICAST_IF] = htonl(n);
        return 0;
    case 14 /* IP_MTU */:
    case 9 /* IP_PKTOPTIONS */:
        return -ENOPROTOOPT;
    case IP_MULTICAST_TTL:
        return -EINVAL; /* streams have none */
    }
    if (name >= 64 && name <= 66) /* SO_ORIGINAL_DST's room: no netfilter */
        return -ENOPROTOOPT;
    return mcast_setopt(t, s, IPPROTO_IP, name, in);
}

static int give_mtu(struct socket *s, void *v, unsigned *size)
{
    struct iface lo;
    if (s->state != SOCK_CONNECTED)
        return -ENOTCONN;
    iface_get(s->net, &lo);
    return opt_give_int(v, size, MIN(lo.mtu, 65535u));
}

static int ip_get(struct socket *s, int name, void *v, unsigned *size)
{
    switch (name) {
    case IP_TOS:
        if (*size && *size < sizeof(int))
            return opt_give(v, size, &(uint8_t){s->opt[OPT_TOS]}, 1);
        return opt_give_int(v, size, s->opt[OPT_TOS]);
    case IP_OPTIONS:
        return opt_give(v, size, "", 0);
    case IP_ROUTER_ALERT:
        return opt_give_int(v, size, 0);
    case 14 /* IP_MTU */:
        return give_mtu(s, v, size);
    case IP_UNICAST_IF:
        return opt_give_int(v, size, s->opt[OPT_UNICAST_IF]);
    case 52 /* IP_PROTOCOL */:
        return opt_give_int(v, size, s->protocol);
    case IP_MULTICAST_TTL:
        return opt_give_int(v, size, 1);
    case IP_HDRINCL:
    case 22 /* IP_NODEFRAG */:
        return opt_give_int(v, size, 0);
    }
    return mcast_getopt(s, IPPROTO_IP, name, v, size);
}

/* ---- IPv6
 * ------------------------------------------------------------------------ */

/* IPV6_ADDRFORM: a connected socket that speaks IPv4 all the same may become one of IPv4. We keep
 * it as it is. */
static int set_addrform(struct socket *s, int n)
{
    if (n != AF_INET)
        return -EINVAL;
    if (s->state != SOCK_CONNECTED)
        return -ENOTCONN;
    return s->opt[OPT_V6ONLY] ? -ENETUNREACH : -EADDRNOTAVAIL;
}

static int set_multicast_if6(struct socket *s, int n)
{
    if (s->type == SOCK_STREAM)
        return -ENOPROTOOPT;
    if (n && n != IFACE_INDEX)
        return -ENODEV;
    s->opt[OPT_MULTICAST_IF6] = n;
    return 0;
}

static int ipv6_set(struct task *t, struct socket *s, int name, const struct opt_in *in)
{
    int n = 0;
    if ((name == 20 || name == 21 || name == 27 || name == 28 || (name >= 42 && name <= 48)))
        return mcast_setopt(t, s, IPPROTO_IPV6, name, in);
    if (name == 6 /* IPV6_2292PKTOPTIONS */ || name == IPV6_HDRINCL)
        return name == IPV6_HDRINCL && !(s->kind & K_RAW) ? -ENOPROTOOPT : 0;
    if (name == IPV6_XFRM_POLICY || name == IPV6_IPSEC_POLICY)
        return net_capable(t, CAP_NET_ADMIN) ? -EOPNOTSUPP : -EPERM;
    if (name == IPV6_HOPOPTS || name == IPV6_RTHDRDSTOPTS || name == IPV6_DSTOPTS ||
        name == IPV6_RTHDR || name == IPV6_PKTINFO || name == 32 /* IPV6_FLOWLABEL_MGR */)
        return in->size ? -EINVAL : 0;
    int err = import(in, &n, sizeof(n));
    if (err)
        return err;
    switch (name) {
    case IPV6_ADDRFORM:
        return set_addrform(s, n);
    case IPV6_MULTICAST_IF:
        return set_multicast_if6(s, n);
    case IPV6_MTU:
        return n && n < 1280 ? -EINVAL : 0;
    case 76 /* IPV6_UNICAST_IF */:
        n = ntohl(n);
        if (n && n != IFACE_INDEX)
            return -EADDRNOTAVAIL;
        s->opt[OPT_UNICAST_IF6] = htonl(n);
        return 0;
    case IPV6_ADDR_PREFERENCES: {
        static const int pairs[] = {0x1 | 0x2 | 0x100, 0x400 | 0x200 | 0, 0x8 | 0x800};
        return (n & ~(pairs[0] | pairs[1] | pairs[2])) || !n ? (n ? -EINVAL : 0) : 0;
    }
    }
    return -ENOPROTOOPT;
}

static int ipv6_get(struct socket *s, int name, void *v, unsigned *size)
{
    switch (name) {
    case IPV6_ADDRFORM:
        return -ENOTCONN;
    case IPV6_MTU:
        return give_mtu(s, v, size);
    case 61 /* IPV6_PATHMTU */:
        return s->state == SOCK_CONNECTED ? -ENOTCONN : -ENOTCONN;
    case IPV6_MULTICAST_IF:
        return opt_give_int(v, size, s->opt[OPT_MULTICAST_IF6]);
    case 76:
        return opt_give_int(v, size, s->opt[OPT_UNICAST_IF6]);
    case IPV6_ADDR_PREFERENCES:
        return opt_give_int(v, size, 0x802);
    case IPV6_HOPOPTS:
    case IPV6_RTHDRDSTOPTS:
    case IPV6_DSTOPTS:
    case IPV6_RTHDR:
        return opt_give(v, size, "", 0);
    case IPV6_MULTICAST_HOPS:
        return opt_give_int(v, size, 1);
    }
    return -ENOPROTOOPT;
}

/* ---- raw: ICMP_FILTER
 * ------------------------------------------------------------------------ */

#define ICMP6_FILTER_SIZE 32

static int set_icmp6_filter(struct socket *s, const struct opt_in *in)
{
    uint32_t *mask = calloc(1, ICMP6_FILTER_SIZE);
    if (!mask)
        return -ENOMEM;
    LOCK_GUARD(&g_net_lock);
    if (s->priv) {
        free(mask);
        mask = s->priv;
    }
    memcpy(mask, in->value, MIN(in->size, (unsigned)ICMP6_FILTER_SIZE));
    s->priv = mask;
    return 0;
}

static int raw_set(struct socket *s, int name, const struct opt_in *in)
{
    uint32_t mask = 0;
    if (name != 1 || !(s->kind & K_RAW) ||
        (s->protocol != IPPROTO_ICMP && s->protocol != IPPROTO_ICMPV6))
        return -ENOPROTOOPT;
    if (in->fault && in->size)
        return -EFAULT;
    if (s->protocol == IPPROTO_ICMPV6)
        return set_icmp6_filter(s, in);
    memcpy(&mask, in->value, MIN(in->size, (unsigned)sizeof(mask)));
    s->opt[OPT_ICMP_FILTER] = mask;
    return 0;
}

static int raw_get(struct socket *s, int name, void *v, unsigned *size)
{
    static const uint32_t none[ICMP6_FILTER_SIZE / 4];
    if (name != 1 || !(s->kind & K_RAW))
        return -ENOPROTOOPT;
    if (s->protocol == IPPROTO_ICMP)
        return opt_give_int(v, size, s->opt[OPT_ICMP_FILTER]);
    if (s->protocol != IPPROTO_ICMPV6)
        return -ENOPROTOOPT;
    LOCK_GUARD(&g_net_lock);
    return opt_give(v, size, s->priv ? s->priv : none, ICMP6_FILTER_SIZE);
}

int inet_setopt(struct task *t, struct socket *s, int level, int name, const struct opt_in *in)
{
    switch (level) {
    case IPPROTO_TCP:
        return tcp_set(t, s, name, in);
    case IPPROTO_IP:
        return ip_set(t, s, name, in);
    case IPPROTO_IPV6:
        return ipv6_set(t, s, name, in);
    case IPPROTO_RAW:
    case IPPROTO_ICMPV6:
        return raw_set(s, name, in);
    case IPPROTO_UDPLITE:
        return name == 10 || name == 11 ? in->size < sizeof(int) ? -EINVAL : 0 : -ENOPROTOOPT;
    case IPPROTO_UDP:
        if (in->size < sizeof(int))
            return -EINVAL;
        return in->fault ? -EFAULT : -ENOPROTOOPT;
    }
    return -ENOPROTOOPT;
}

int inet_getopt(struct task *t, struct socket *s, int level, int name, void *v, unsigned *size)
{
    switch (level) {
    case IPPROTO_TCP:
        return tcp_get(s, name, v, size);
    case IPPROTO_IP:
        return ip_get(s, name, v, size);
    case IPPROTO_IPV6:
        return ipv6_get(s, name, v, size);
    case IPPROTO_RAW:
    case IPPROTO_ICMPV6:
        return raw_get(s, name, v, size);
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
        return name == 10 || name == 11 ? opt_give_int(v, size, 0) : -ENOPROTOOPT;
    }
    return -ENOPROTOOPT;
}
