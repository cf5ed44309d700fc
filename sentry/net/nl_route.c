/* NETLINK_ROUTE: rtnetlink(7) for the one interface there is. Links, addresses, routes, rules,
 * neighbours and queues can be listed; addresses, flags, MTU and queue length of lo can be changed.
 * Other interfaces cannot be made. */
#include "base/overflow.h"
#include "net/iface_priv.h"
#include "net/netlink_priv.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define ARP_LOOPBACK 772 /* ARPHRD_LOOPBACK */

static bool is_v4(const struct iface_addr *a)
{
    return IN6_IS_ADDR_V4MAPPED(&a->ip);
}

/* ---- links
 * ------------------------------------------------------------------------ */

static void put_link(struct nl_reply *r, int type, const struct iface *lo)
{
    static const uint8_t mac[6];
    size_t at;
    nl_begin(r, type, &at);
    struct ifinfomsg *i = nl_take(r, sizeof(*i));
    bool up = lo->flags & IFF_UP;
    *i = (struct ifinfomsg){.ifi_type = ARP_LOOPBACK,
                            .ifi_index = IFACE_INDEX,
                            .ifi_flags = iface_flags_shown(lo) | (up ? 0x10000 : 0)};
    struct rtnl_link_stats64 stats64 = {.rx_packets = lo->packets,
                                        .tx_packets = lo->packets,
                                        .rx_bytes = lo->bytes,
                                        .tx_bytes = lo->bytes};
    struct rtnl_link_stats stats = {.rx_packets = lo->packets, .tx_packets = lo->packets};
    nl_attr(r, IFLA_IFNAME, "lo", 3);
    nl_attr_u32(r, IFLA_TXQLEN, lo->qlen);
    nl_attr(r, IFLA_OPERSTATE, &(uint8_t){up ? 0 : 2}, 1);
    nl_attr(r, IFLA_LINKMODE, &(uint8_t){0}, 1);
    nl_attr_u32(r, IFLA_MTU, lo->mtu);
    nl_attr_u32(r, IFLA_MIN_MTU, 0);
    nl_attr_u32(r, IFLA_MAX_MTU, 0);
    nl_attr_u32(r, IFLA_GROUP, 0);
    nl_attr_u32(r, IFLA_PROMISCUITY, 0);
    nl_attr_u32(r, IFLA_NUM_TX_QUEUES, 1);
    nl_attr_u32(r, IFLA_NUM_RX_QUEUES, 1);
    nl_attr(r, IFLA_CARRIER, &(uint8_t){1}, 1);
    nl_attr(r, IFLA_QDISC, up ? "noqueue" : "noop", up ? 8 : 5);
    nl_attr(r, IFLA_ADDRESS, mac, sizeof(mac));
    nl_attr(r, IFLA_BROADCAST, mac, sizeof(mac));
    nl_attr(r, IFLA_STATS64, &stats64, sizeof(stats64));
    nl_attr(r, IFLA_STATS, &stats, sizeof(stats));
    nl_end(r, at);
}

static void notify_link(const struct nl_request *q)
{
    struct nl_reply r = {.size = 0};
    struct iface lo;
    iface_get(q->s->net, &lo);
    put_link(&r, RTM_NEWLINK, &lo);
    nl_notify(q->s->net, NETLINK_ROUTE, RTNLGRP_LINK, &r);
}

static bool names_lo(const struct nl_request *q, size_t head, int index, bool *named)
{
    size_t size;
    const char *name = nl_find(q, head, IFLA_IFNAME, &size);
    if (!name)
        name = nl_find(q, head, IFLA_ALT_IFNAME, &size);
    *named = name || index > 0;
    if (index > 0)
        return index == IFACE_INDEX;
    return name && size >= 2 && !strncmp(name, "lo", size) && (size == 2 || !name[2]);
}

static int get_link(const struct nl_request *q, struct nl_reply *r)
{
    struct ifinfomsg m = {0};
    struct iface lo;
    bool named;
    iface_get(q->s->net, &lo);
    if ((q->h.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
        put_link(r, RTM_NEWLINK, &lo);
        return 0;
    }
    if (q->size < sizeof(m))
        return -EINVAL;
    memcpy(&m, q->body, sizeof(m));
    bool is = names_lo(q, sizeof(m), m.ifi_index, &named);
    if (!named)
        return -EINVAL;
    if (!is)
        return -ENODEV;
    put_link(r, RTM_NEWLINK, &lo);
    return 0;
}

static int set_link(const struct nl_request *q, struct nl_reply *r)
{
    struct ifinfomsg m;
    size_t size;
    bool named;
    if (q->size < sizeof(m))
        return -EINVAL;
    memcpy(&m, q->body, sizeof(m));
    if (!names_lo(q, sizeof(m), m.ifi_index, &named)) {
        if (q->h.nlmsg_type == RTM_NEWLINK && (q->h.nlmsg_flags & NLM_F_CREATE))
            return r->why = "Unknown device type", -EOPNOTSUPP; /* no kind can be made */
        return -ENODEV;
    }
    if (q->h.nlmsg_flags & NLM_F_EXCL)
        return -EEXIST;
    const uint32_t *v = nl_find(q, sizeof(m), IFLA_MTU, &size);
    uint32_t n;
    if (v && size == sizeof(n)) {
        memcpy(&n, v, sizeof(n));
        int err = iface_set_mtu(q->s->net, n);
        if (err)
            return err;
    }
    v = nl_find(q, sizeof(m), IFLA_TXQLEN, &size);
    if (v && size == sizeof(n)) {
        memcpy(&n, v, sizeof(n));
        iface_set_qlen(q->s->net, n);
    }
    if (m.ifi_change || m.ifi_flags)
        iface_set_flags(q->s->net, m.ifi_flags, m.ifi_change ? m.ifi_change : UINT32_MAX);
    notify_link(q);
    return 0;
}

/* ---- addresses
 * ------------------------------------------------------------------------ */

static void put_addr(struct nl_reply *r, int type, const struct iface_addr *a)
{
    size_t at;
    bool v4 = is_v4(a);
    const uint8_t *ip = v4 ? &a->ip.s6_addr[12] : a->ip.s6_addr;
    nl_begin(r, type, &at);
    struct ifaddrmsg *m = nl_take(r, sizeof(*m));
    *m = (struct ifaddrmsg){.ifa_family = v4 ? AF_INET : AF_INET6,
                            .ifa_prefixlen = a->prefix,
                            .ifa_flags = a->flags,
                            .ifa_scope = a->scope,
                            .ifa_index = IFACE_INDEX};
    struct ifa_cacheinfo cache = {.ifa_prefered = UINT32_MAX, .ifa_valid = UINT32_MAX};
    nl_attr(r, IFA_ADDRESS, ip, v4 ? 4 : 16);
    if (v4) {
        nl_attr(r, IFA_LOCAL, ip, 4);
        if (a->broadcast)
            nl_attr(r, IFA_BROADCAST, &a->broadcast, 4);
        nl_attr(r, IFA_LABEL, a->label, strlen(a->label) + 1);
    }
    nl_attr_u32(r, IFA_FLAGS, a->flags);
    nl_attr(r, IFA_CACHEINFO, &cache, sizeof(cache));
    nl_end(r, at);
}

static int get_addr(const struct nl_request *q, struct nl_reply *r)
{
    struct iface lo;
    int family = q->size ? (uint8_t)q->body[0] : AF_UNSPEC;
    if ((q->h.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        return -EOPNOTSUPP;
    iface_get(q->s->net, &lo);
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < lo.addr_count; i++) {
            bool v4 = is_v4(&lo.addrs[i]);
            if (v4 == !pass && (!family || family == (v4 ? AF_INET : AF_INET6)))
                put_addr(r, RTM_NEWADDR, &lo.addrs[i]);
        }
    return 0;
}

static int parse_addr(const struct nl_request *q, struct iface_addr *a)
{
    struct ifaddrmsg m;
    size_t size;
    if (q->size < sizeof(m))
        return -EINVAL;
    memcpy(&m, q->body, sizeof(m));
    unsigned need = m.ifa_family == AF_INET ? 4 : 16;
    if (m.ifa_family != AF_INET && m.ifa_family != AF_INET6)
        return -EOPNOTSUPP;
    if (m.ifa_prefixlen > need * 8)
        return -EINVAL;
    const void *ip = nl_find(q, sizeof(m), IFA_LOCAL, &size);
    if (!ip)
        ip = nl_find(q, sizeof(m), IFA_ADDRESS, &size);
    if (!ip || size != need)
        return -EINVAL;
    if (m.ifa_index != IFACE_INDEX)
        return -ENODEV;
    *a = (struct iface_addr){
        .prefix = m.ifa_prefixlen, .scope = m.ifa_scope, .flags = IFA_F_PERMANENT, .label = "lo"};
    if (need == 4) {
        uint32_t v;
        memcpy(&v, ip, 4);
        inet_map_v4(&a->ip, v);
    } else {
        memcpy(&a->ip, ip, 16);
    }
    const void *b = nl_find(q, sizeof(m), IFA_BROADCAST, &size);
    if (b && size == 4)
        memcpy(&a->broadcast, b, 4);
    const char *label = nl_find(q, sizeof(m), IFA_LABEL, &size);
    if (label)
        memcpy(a->label, label, strnlen(label, MIN(size, sizeof(a->label) - 1)) + 0);
    return 0;
}

static int change_addr(const struct nl_request *q)
{
    struct iface_addr a;
    bool add = q->h.nlmsg_type == RTM_NEWADDR;
    int err = parse_addr(q, &a);
    if (err)
        return err;
    err = add ? iface_addr_add(q->s->net, &a) : iface_addr_del(q->s->net, &a.ip, a.prefix);
    if (err == -EEXIST && !(q->h.nlmsg_flags & NLM_F_EXCL) && (q->h.nlmsg_flags & NLM_F_REPLACE))
        err = 0;
    if (err)
        return err;
    struct nl_reply r = {.size = 0};
    put_addr(&r, q->h.nlmsg_type, &a);
    nl_notify(q->s->net, NETLINK_ROUTE, is_v4(&a) ? RTNLGRP_IPV4_IFADDR : RTNLGRP_IPV6_IFADDR, &r);
    return 0;
}

/* ---- routes, rules
 * ------------------------------------------------------------------------ */

static void put_route(struct nl_reply *r, int family, const void *dst, unsigned prefix, int type,
                      const void *source)
{
    size_t at, size = family == AF_INET ? 4 : 16;
    nl_begin(r, RTM_NEWROUTE, &at);
    struct rtmsg *m = nl_take(r, sizeof(*m));
    *m = (struct rtmsg){.rtm_family = family,
                        .rtm_dst_len = prefix,
                        .rtm_table = RT_TABLE_LOCAL,
                        .rtm_protocol = RTPROT_KERNEL,
                        .rtm_scope = type == RTN_BROADCAST ? RT_SCOPE_LINK
                                     : family == AF_INET   ? RT_SCOPE_HOST
                                                           : RT_SCOPE_UNIVERSE,
                        .rtm_type = type};
    nl_attr_u32(r, RTA_TABLE, RT_TABLE_LOCAL);
    if (prefix)
        nl_attr(r, RTA_DST, dst, size);
    if (family == AF_INET)
        nl_attr(r, RTA_PREFSRC, source, size);
    else
        nl_attr_u32(r, RTA_PRIORITY, 0);
    nl_attr_u32(r, RTA_OIF, IFACE_INDEX);
    nl_end(r, at);
}

static void put_addr_routes(struct nl_reply *r, const struct iface_addr *a)
{
    if (!is_v4(a)) {
        put_route(r, AF_INET6, &a->ip, 128, RTN_LOCAL, &a->ip);
        return;
    }
    uint32_t ip, mask = htonl(a->prefix ? UINT32_MAX << (32 - a->prefix) : 0);
    memcpy(&ip, &a->ip.s6_addr[12], 4);
    uint32_t net = ip & mask, broadcast = ip | ~mask;
    if (a->prefix < 32)
        put_route(r, AF_INET, &net, a->prefix, RTN_LOCAL, &ip);
    put_route(r, AF_INET, &ip, 32, RTN_LOCAL, &ip);
    if (a->prefix < 31)
        put_route(r, AF_INET, &broadcast, 32, RTN_BROADCAST, &ip);
}

static int find_route(const struct nl_request *q, struct nl_reply *r)
{
    struct rtmsg m;
    struct in6_addr ip;
    size_t size;
    if (q->size < sizeof(m))
        return -EINVAL;
    memcpy(&m, q->body, sizeof(m));
    const void *dst = nl_find(q, sizeof(m), RTA_DST, &size);
    if (m.rtm_family != AF_INET && m.rtm_family != AF_INET6)
        return -EOPNOTSUPP;
    if (!dst || size != (m.rtm_family == AF_INET ? 4 : 16))
        return -EINVAL;
    if (m.rtm_family == AF_INET) {
        uint32_t v;
        memcpy(&v, dst, 4);
        inet_map_v4(&ip, v);
    } else {
        memcpy(&ip, dst, 16);
    }
    if (!iface_has_address(&ip) || !iface_is_up(q->s->net))
        return -ENETUNREACH;
    put_route(r, m.rtm_family, dst, size * 8, RTN_LOCAL, dst);
    return 0;
}

static int get_route(const struct nl_request *q, struct nl_reply *r)
{
    struct rtmsg m = {0};
    struct iface lo;
    if ((q->h.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        return find_route(q, r);
    if (q->size >= sizeof(m))
        memcpy(&m, q->body, sizeof(m));
    else if (q->size)
        m.rtm_family = q->body[0];
    iface_get(q->s->net, &lo);
    bool strict = q->s->opt[OPT_NL_STRICT_CHK];
    for (unsigned i = 0; i < lo.addr_count && lo.flags & IFF_UP; i++) {
        int family = is_v4(&lo.addrs[i]) ? AF_INET : AF_INET6;
        bool table = !strict || !m.rtm_table || m.rtm_table == RT_TABLE_LOCAL;
        if (table && (!m.rtm_family || m.rtm_family == family))
            put_addr_routes(r, &lo.addrs[i]);
    }
    return 0;
}

static void put_rule(struct nl_reply *r, int family, uint32_t priority, int table)
{
    size_t at;
    nl_begin(r, RTM_NEWRULE, &at);
    struct fib_rule_hdr *h = nl_take(r, sizeof(*h));
    *h = (struct fib_rule_hdr){.family = family, .table = table, .action = FR_ACT_TO_TBL};
    nl_attr_u32(r, FRA_TABLE, table);
    nl_attr_u32(r, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
    nl_attr(r, FRA_PROTOCOL, &(uint8_t){RTPROT_KERNEL}, 1);
    if (priority)
        nl_attr_u32(r, FRA_PRIORITY, priority);
    nl_end(r, at);
}

static int get_rule(const struct nl_request *q, struct nl_reply *r)
{
    int family = q->size ? (uint8_t)q->body[0] : AF_UNSPEC;
    if ((q->h.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        return -EOPNOTSUPP;
    for (int f = 0; f < 2; f++) {
        int this = f ? AF_INET6 : AF_INET;
        if (family && family != this)
            continue;
        put_rule(r, this, 0, RT_TABLE_LOCAL);
        put_rule(r, this, 32766, RT_TABLE_MAIN);
        if (!f)
            put_rule(r, this, 32767, RT_TABLE_DEFAULT);
    }
    return 0;
}

static int get_qdisc(const struct nl_request *q, struct nl_reply *r)
{
    size_t at;
    if ((q->h.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        return -ENOENT;
    nl_begin(r, RTM_NEWQDISC, &at);
    struct tcmsg *m = nl_take(r, sizeof(*m));
    *m = (struct tcmsg){.tcm_ifindex = IFACE_INDEX, .tcm_parent = UINT32_MAX, .tcm_info = 2};
    nl_attr(r, TCA_KIND, "noqueue", 8);
    nl_end(r, at);
    return 0;
}

static bool only_reads(int type)
{
    return (type & 3) == 2; /* RTM_GET…: rtnetlink(7) numbers them so */
}

int nl_route(const struct nl_request *q, struct nl_reply *r)
{
    int type = q->h.nlmsg_type;
    if (type < RTM_BASE || type > RTM_MAX)
        return -EOPNOTSUPP;
    if (q->size < 1)
        return 0;
    if (!only_reads(type) && !net_capable(q->t, CAP_NET_ADMIN))
        return -EPERM;
    switch (type) {
    case RTM_GETLINK:
        return get_link(q, r);
    case RTM_NEWLINK:
    case RTM_SETLINK:
        return set_link(q, r);
    case RTM_DELLINK:
        return -EOPNOTSUPP;
    case RTM_GETADDR:
        return get_addr(q, r);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return change_addr(q);
    case RTM_GETROUTE:
        return get_route(q, r);
    case RTM_DELROUTE:
        return -ESRCH;
    case RTM_GETRULE:
        return get_rule(q, r);
    case RTM_GETQDISC:
        return get_qdisc(q, r);
    case RTM_GETNEIGH:
    case RTM_GETTCLASS:
    case RTM_GETTFILTER:
    case RTM_GETNEIGHTBL:
    case RTM_GETADDRLABEL:
    case RTM_GETMDB:
        return (q->h.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP ? 0 : -ENOENT;
    default:
        return -EOPNOTSUPP;
    }
}
