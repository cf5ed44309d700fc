/* Multicast membership: ip(7) IP_ADD_MEMBERSHIP and kin, ipv6(7), and the protocol-independent
 * MCAST_* of RFC 3678. There is one interface, so every index and address means lo. */
#include "base/overflow.h"
#include "net/iface_priv.h"
#include "net/net_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERSHIPS_MAX 20 /* net.ipv4.igmp_max_memberships */
#define SOURCES_MAX     10 /* net.ipv4.igmp_max_msf */

/* One group that one socket has joined. */
struct mcast {
    struct list_node node; /* lock: g_net_lock; socket.mcast */
    struct in6_addr group; /* IPv4 as mapped */
    bool exclude;          /* the sources are those not heard */
    unsigned source_count;
    struct in6_addr sources[SOURCES_MAX];
};

static struct list g_members = LIST_INIT(g_members); /* lock: g_net_lock; socket.mcast_node */

static struct mcast *find_locked(struct socket *s, const struct in6_addr *group)
{
    struct mcast *m;
    list_for_each(m, &s->mcast, node) if (IN6_ARE_ADDR_EQUAL(&m->group, group)) return m;
    return NULL;
}

static int source_index(const struct mcast *m, const struct in6_addr *source)
{
    for (unsigned i = 0; i < m->source_count; i++)
        if (IN6_ARE_ADDR_EQUAL(&m->sources[i], source))
            return i;
    return -1;
}

bool mcast_hears_locked(struct socket *s, const struct in6_addr *group,
                        const struct in6_addr *source)
{
    struct mcast *m = find_locked(s, group);
    if (m)
        return (source_index(m, source) >= 0) != m->exclude;
    if (!s->opt[inet_ip_is_v4(group) ? OPT_MULTICAST_ALL : OPT_MULTICAST_ALL6])
        return false;
    /* IP_MULTICAST_ALL: what anybody here has joined, everybody hears. All systems is joined
     * always.
     */
    struct socket *o;
    list_for_each(o, &g_members, mcast_node) if (find_locked(o, group)) return true;
    return inet_ip_is_v4(group) ? !memcmp(&group->s6_addr[12], "\xe0\0\0\1", 4)
                                : group->s6_addr[15] == 1;
}

void mcast_release(struct socket *s)
{
    struct mcast *m, *tmp;
    list_for_each_safe(m, tmp, &s->mcast, node)
    {
        list_del(&m->node);
        free(m);
    }
    list_del(&s->mcast_node);
}

/* ---- joining and leaving
 * ------------------------------------------------------------------------ */

static int join_locked(struct socket *s, const struct in6_addr *group, bool exclude)
{
    unsigned n = 0;
    struct mcast *m;
    if (find_locked(s, group))
        return -EADDRINUSE;
    list_for_each(m, &s->mcast, node) n++;
    if (n >= MEMBERSHIPS_MAX && inet_ip_is_v4(group))
        return -ENOBUFS;
    m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOBUFS;
    m->group = *group;
    m->exclude = exclude;
    list_push_back(&s->mcast, &m->node);
    if (!list_linked(&s->mcast_node))
        list_push_back(&g_members, &s->mcast_node);
    return 0;
}

static int leave_locked(struct socket *s, const struct in6_addr *group)
{
    struct mcast *m = find_locked(s, group);
    if (!m)
        return -EADDRNOTAVAIL;
    list_del(&m->node);
    free(m);
    if (list_empty(&s->mcast))
        list_del(&s->mcast_node);
    return 0;
}

static int source_add(struct mcast *m, const struct in6_addr *source)
{
    if (source_index(m, source) >= 0)
        return -EADDRNOTAVAIL;
    if (m->source_count == SOURCES_MAX)
        return -ENOBUFS;
    m->sources[m->source_count++] = *source;
    return 0;
}

static int source_del(struct mcast *m, const struct in6_addr *source)
{
    int i = source_index(m, source);
    if (i < 0)
        return -EADDRNOTAVAIL;
    m->sources[i] = m->sources[--m->source_count];
    return 0;
}

enum source_op { JOIN_SOURCE, LEAVE_SOURCE, BLOCK_SOURCE, UNBLOCK_SOURCE };

static int source_locked(struct socket *s, const struct in6_addr *group,
                         const struct in6_addr *source, enum source_op op)
{
    struct mcast *m = find_locked(s, group);
    bool block = op == BLOCK_SOURCE || op == UNBLOCK_SOURCE;
    if (op == JOIN_SOURCE && !m) {
        int err = join_locked(s, group, /*exclude=*/false);
        return err ? err : source_add(find_locked(s, group), source);
    }
    if (!m)
        return -EINVAL;
    if (m->exclude != block) {
        if (m->source_count)
            return -EINVAL;
        m->exclude = block;
    }
    if (op == JOIN_SOURCE || op == BLOCK_SOURCE)
        return source_add(m, source);
    int err = source_del(m, source);
    return !err && op == LEAVE_SOURCE && !m->source_count ? leave_locked(s, group) : err;
}

/* ---- the options
 * ------------------------------------------------------------------------ */

static int check_group(struct socket *s, const struct in6_addr *group)
{
    if (!inet_ip_is_multicast(group))
        return -EINVAL;
    return s->type == SOCK_STREAM ? -EPROTO : 0;
}

static int import(const struct opt_in *in, void *out, size_t need)
{
    if (in->size < need)
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    memcpy(out, in->value, need);
    return 0;
}

static int device_of(int index, uint32_t address)
{
    struct in6_addr ip;
    if (index)
        return index == IFACE_INDEX ? 0 : -ENODEV;
    inet_map_v4(&ip, address);
    return address && !iface_has_address(&ip) ? -ENODEV : 0;
}

static int v4_membership(struct socket *s, int name, const struct opt_in *in)
{
    struct ip_mreqn r = {.imr_ifindex = 0};
    struct in6_addr group;
    if (s->type == SOCK_STREAM)
        return -EPROTO;
    int err = import(in, &r, in->size >= sizeof(r) ? sizeof(r) : sizeof(struct ip_mreq));
    if (err)
        return err;
    inet_map_v4(&group, r.imr_multiaddr.s_addr);
    err = check_group(s, &group);
    if (!err)
        err = device_of(r.imr_ifindex, r.imr_address.s_addr);
    if (err)
        return err;
    LOCK_GUARD(&g_net_lock);
    return name == IP_ADD_MEMBERSHIP ? join_locked(s, &group, /*exclude=*/true)
                                     : leave_locked(s, &group);
}

static int v4_source(struct socket *s, int name, const struct opt_in *in)
{
    struct ip_mreq_source r;
    struct in6_addr group, source;
    if (in->size != sizeof(r))
        return -EINVAL;
    int err = import(in, &r, sizeof(r));
    if (err)
        return err;
    inet_map_v4(&group, r.imr_multiaddr.s_addr);
    inet_map_v4(&source, r.imr_sourceaddr.s_addr);
    err = check_group(s, &group);
    if (!err)
        err = device_of(0, r.imr_interface.s_addr);
    if (err)
        return err;
    LOCK_GUARD(&g_net_lock);
    return source_locked(s, &group, &source,
                         name == IP_ADD_SOURCE_MEMBERSHIP    ? JOIN_SOURCE
                         : name == IP_DROP_SOURCE_MEMBERSHIP ? LEAVE_SOURCE
                         : name == IP_BLOCK_SOURCE           ? BLOCK_SOURCE
                                                             : UNBLOCK_SOURCE);
}

static int v6_membership(struct socket *s, int name, const struct opt_in *in)
{
    struct ipv6_mreq r;
    if (s->type == SOCK_STREAM)
        return -EPROTO;
    int err = import(in, &r, sizeof(r));
    if (err)
        return err;
    if (inet_ip_is_v4(&r.ipv6mr_multiaddr) || !inet_ip_is_multicast(&r.ipv6mr_multiaddr))
        return -EINVAL;
    err = device_of(r.ipv6mr_interface, 0);
    if (err)
        return err;
    LOCK_GUARD(&g_net_lock);
    return name == IPV6_ADD_MEMBERSHIP ? join_locked(s, &r.ipv6mr_multiaddr, /*exclude=*/true)
                                       : leave_locked(s, &r.ipv6mr_multiaddr);
}

static int group_address(const struct sockaddr_storage *ss, struct in6_addr *out)
{
    if (ss->ss_family == AF_INET)
        inet_map_v4(out, ((const struct sockaddr_in *)ss)->sin_addr.s_addr);
    else
        *out = ((const struct sockaddr_in6 *)ss)->sin6_addr;
    return ss->ss_family == AF_INET || ss->ss_family == AF_INET6 ? 0 : -EADDRNOTAVAIL;
}

static int any_membership(struct socket *s, int level, int name, const struct opt_in *in)
{
    struct group_req r;
    struct in6_addr group;
    int err = import(in, &r, sizeof(r));
    if (err)
        return err;
    if (r.gr_group.ss_family != (level == IPPROTO_IP ? AF_INET : AF_INET6))
        return level == IPPROTO_IP ? -EINVAL : -EADDRNOTAVAIL;
    (void)group_address(&r.gr_group, &group);
    err = check_group(s, &group);
    if (!err)
        err = device_of(r.gr_interface, 0);
    if (err)
        return err;
    LOCK_GUARD(&g_net_lock);
    return name == MCAST_JOIN_GROUP ? join_locked(s, &group, /*exclude=*/true)
                                    : leave_locked(s, &group);
}

static int any_source(struct socket *s, int name, const struct opt_in *in)
{
    struct group_source_req r;
    struct in6_addr group, source;
    if (in->size != sizeof(r))
        return -EINVAL;
    int err = import(in, &r, sizeof(r));
    if (!err)
        err = group_address(&r.gsr_group, &group);
    if (!err)
        err = group_address(&r.gsr_source, &source);
    if (!err)
        err = check_group(s, &group);
    if (!err)
        err = device_of(r.gsr_interface, 0);
    if (err)
        return err;
    LOCK_GUARD(&g_net_lock);
    return source_locked(s, &group, &source,
                         name == MCAST_JOIN_SOURCE_GROUP    ? JOIN_SOURCE
                         : name == MCAST_LEAVE_SOURCE_GROUP ? LEAVE_SOURCE
                         : name == MCAST_BLOCK_SOURCE       ? BLOCK_SOURCE
                                                            : UNBLOCK_SOURCE);
}

/* IP_MULTICAST_IF: an address, or one of two structs with an index. */
static int v4_interface(struct socket *s, const struct opt_in *in)
{
    struct ip_mreqn r = {.imr_ifindex = 0};
    if (s->type == SOCK_STREAM)
        return -EINVAL;
    if (in->size < sizeof(struct in_addr))
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    if (in->size >= sizeof(struct ip_mreq))
        memcpy(&r, in->value, MIN(in->size, (unsigned)sizeof(r)));
    else
        memcpy(&r.imr_address, in->value, sizeof(r.imr_address));
    if (device_of(r.imr_ifindex, r.imr_address.s_addr))
        return -EADDRNOTAVAIL;
    s->opt[OPT_MULTICAST_ADDR] = r.imr_address.s_addr;
    s->opt[OPT_MULTICAST_IF] = r.imr_ifindex || r.imr_address.s_addr;
    return 0;
}

int mcast_setopt(struct task *t, struct socket *s, int level, int name, const struct opt_in *in)
{
    if (level == IPPROTO_IP) {
        switch (name) {
        case IP_MULTICAST_IF:
            return v4_interface(s, in);
        case IP_ADD_MEMBERSHIP:
        case IP_DROP_MEMBERSHIP:
            return v4_membership(s, name, in);
        case IP_ADD_SOURCE_MEMBERSHIP:
        case IP_DROP_SOURCE_MEMBERSHIP:
        case IP_BLOCK_SOURCE:
        case IP_UNBLOCK_SOURCE:
            return v4_source(s, name, in);
        }
    } else if (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP) {
        return v6_membership(s, name, in);
    } else if (name == IPV6_JOIN_ANYCAST || name == IPV6_LEAVE_ANYCAST) {
        return -EINVAL;
    }
    switch (name) {
    case MCAST_JOIN_GROUP:
    case MCAST_LEAVE_GROUP:
        return any_membership(s, level, name, in);
    case MCAST_JOIN_SOURCE_GROUP:
    case MCAST_LEAVE_SOURCE_GROUP:
    case MCAST_BLOCK_SOURCE:
    case MCAST_UNBLOCK_SOURCE:
        return any_source(s, name, in);
    }
    return -ENOPROTOOPT;
}

int mcast_getopt(struct socket *s, int level, int name, void *v, unsigned *size)
{
    if (level == IPPROTO_IP && name == IP_MULTICAST_IF)
        return opt_give_int(v, size, s->opt[OPT_MULTICAST_ADDR]);
    if (level == IPPROTO_IP && (name == IP_MSFILTER || name == MCAST_MSFILTER))
        return -EINVAL;
    return -ENOPROTOOPT;
}
