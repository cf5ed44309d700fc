/* The one network interface of a sandbox, lo: its state, and the ioctls of netdevice(7). */
#include "base/overflow.h"
#include "net/iface_priv.h"
#include "net/net_priv.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>

static struct lock g_iface_lock = LOCK_INITIALIZER(LR_LEAF);
#define OWN_ADDRS                                                                                  \
    {.ip = {.s6_addr = {[10] = 0xff, 0xff, 127, 0, 0, 1}},                                         \
     .prefix = 8,                                                                                  \
     .scope = RT_SCOPE_HOST,                                                                       \
     .flags = IFA_F_PERMANENT,                                                                     \
     .label = "lo"},                                                                               \
    {                                                                                              \
        .ip = {.s6_addr = {[15] = 1}}, .prefix = 128, .scope = RT_SCOPE_HOST,                      \
        .flags = IFA_F_PERMANENT                                                                   \
    }
static const struct iface_addr g_own_addrs[] = {OWN_ADDRS};

struct netns g_netns_root = {.up = true,
                             .lo = {
                                 .flags = IFF_UP | IFF_LOOPBACK,
                                 .mtu = 65536,
                                 .qlen = 1000,
                                 .addr_count = 2,
                                 .addrs = {OWN_ADDRS},
                             }};
/* Addresses that somebody has added, of all namespaces: an address of one is local to all, but only
 * names of the same namespace meet. lock: g_iface_lock */
static struct iface_addr g_added[IFACE_MAX_ADDRS];
static unsigned g_added_count; /* atomic */

/* ---- state
 * ------------------------------------------------------------------------ */

bool iface_is_up(struct netns *n)
{
    return __atomic_load_n(&n->up, __ATOMIC_RELAXED);
}

static uint32_t v4_of(const struct in6_addr *ip)
{
    uint32_t v;
    memcpy(&v, &ip->s6_addr[12], 4);
    return ntohl(v);
}

static int find_in(const struct iface_addr *list, unsigned count, const struct in6_addr *ip)
{
    for (unsigned i = 0; i < count; i++)
        if (IN6_ARE_ADDR_EQUAL(&list[i].ip, ip))
            return i;
    return -1;
}

/* lo answers for the whole network of each IPv4 address it has. */
static bool in_network(const struct iface_addr *a, uint32_t v4)
{
    if (!IN6_IS_ADDR_V4MAPPED(&a->ip))
        return false;
    uint32_t mask = a->prefix ? UINT32_MAX << (32 - a->prefix) : 0;
    return ((v4_of(&a->ip) ^ v4) & mask) == 0;
}

bool iface_has_address(const struct in6_addr *ip)
{
    bool v4 = IN6_IS_ADDR_V4MAPPED(ip);
    if ((v4 && ip->s6_addr[12] == 127) || IN6_IS_ADDR_LOOPBACK(ip))
        return true;
    if (!__atomic_load_n(&g_added_count, __ATOMIC_RELAXED))
        return false;
    LOCK_GUARD(&g_iface_lock);
    for (unsigned i = 0; v4 && i < g_added_count; i++)
        if (in_network(&g_added[i], v4_of(ip)))
            return true;
    return find_in(g_added, g_added_count, ip) >= 0;
}

bool iface_is_broadcast(uint32_t v4)
{
    if (v4 == 0x7fffffff)
        return true;
    if (!__atomic_load_n(&g_added_count, __ATOMIC_RELAXED))
        return false;
    LOCK_GUARD(&g_iface_lock);
    for (unsigned i = 0; i < g_added_count; i++)
        if (g_added[i].broadcast && ntohl(g_added[i].broadcast) == v4)
            return true;
    return false;
}

void iface_get(struct netns *n, struct iface *out)
{
    LOCK_GUARD(&g_iface_lock);
    *out = n->lo;
}

static bool is_own(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
}

int iface_addr_add(struct netns *n, const struct iface_addr *a)
{
    LOCK_GUARD(&g_iface_lock);
    struct iface *lo = &n->lo;
    if (find_in(lo->addrs, lo->addr_count, &a->ip) >= 0)
        return -EEXIST;
    if (lo->addr_count == IFACE_MAX_ADDRS || g_added_count == IFACE_MAX_ADDRS)
        return -ENOBUFS;
    lo->addrs[lo->addr_count++] = *a;
    if (!is_own(&a->ip)) {
        g_added[g_added_count] = *a;
        __atomic_store_n(&g_added_count, g_added_count + 1, __ATOMIC_RELAXED);
    }
    return 0;
}

static void added_del_locked(const struct in6_addr *ip)
{
    int i = find_in(g_added, g_added_count, ip);
    if (i < 0)
        return;
    g_added[i] = g_added[g_added_count - 1];
    __atomic_store_n(&g_added_count, g_added_count - 1, __ATOMIC_RELAXED);
}

int iface_addr_del(struct netns *n, const struct in6_addr *ip, int prefix)
{
    LOCK_GUARD(&g_iface_lock);
    struct iface *lo = &n->lo;
    int i = find_in(lo->addrs, lo->addr_count, ip);
    if (i < 0 || (prefix >= 0 && lo->addrs[i].prefix != prefix))
        return -EADDRNOTAVAIL;
    lo->addr_count--;
    memmove(&lo->addrs[i], &lo->addrs[i + 1], (lo->addr_count - i) * sizeof(lo->addrs[0]));
    added_del_locked(ip);
    return 0;
}

void iface_forget(struct netns *n)
{
    LOCK_GUARD(&g_iface_lock);
    for (unsigned i = 0; i < n->lo.addr_count; i++)
        added_del_locked(&n->lo.addrs[i].ip);
}

/* An interface that comes up for the first time gets the addresses that every lo has. */
static void up_locked(struct netns *n)
{
    if (n->lo.flags & IFF_UP && !n->lo.addr_count && n != &g_netns_root) {
        memcpy(n->lo.addrs, g_own_addrs, sizeof(g_own_addrs));
        n->lo.addr_count = ARRAY_COUNT(g_own_addrs);
    }
    __atomic_store_n(&n->up, !!(n->lo.flags & IFF_UP), __ATOMIC_RELAXED);
}

void iface_set_flags(struct netns *n, unsigned set, unsigned mask)
{
    const unsigned can =
        IFF_UP | IFF_PROMISC | IFF_ALLMULTI | IFF_DEBUG | IFF_NOARP | IFF_MULTICAST;
    LOCK_GUARD(&g_iface_lock);
    n->lo.flags = (n->lo.flags & ~(mask & can)) | (set & mask & can);
    up_locked(n);
}

int iface_set_mtu(struct netns *n, unsigned mtu)
{
    if (mtu > INT32_MAX)
        return -EINVAL;
    LOCK_GUARD(&g_iface_lock);
    n->lo.mtu = mtu;
    return 0;
}

void iface_set_qlen(struct netns *n, unsigned qlen)
{
    LOCK_GUARD(&g_iface_lock);
    n->lo.qlen = qlen;
}

unsigned iface_flags_shown(const struct iface *i)
{
    return i->flags | (i->flags & IFF_UP ? IFF_RUNNING : 0);
}

/* ---- netdevice(7)
 * ------------------------------------------------------------------------ */

static void put_in(struct sockaddr *sa, uint32_t host_order)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(host_order)}};
    memcpy(sa, &in, sizeof(in));
}

static const struct iface_addr *first_v4(const struct iface *i)
{
    for (unsigned k = 0; k < i->addr_count; k++)
        if (IN6_IS_ADDR_V4MAPPED(&i->addrs[k].ip))
            return &i->addrs[k];
    return NULL;
}

static int ifconf(struct task *t, uint64_t arg)
{
    struct ifconf c;
    struct iface lo;
    if (uaccess_read_obj(t->mm, &c, uaddr(arg)))
        return -EFAULT;
    iface_get(task_netns(task_current()), &lo);
    uint64_t buf = (uint64_t)c.ifc_req;
    int left = c.ifc_len, done = 0;
    for (unsigned i = 0; i < lo.addr_count; i++) {
        struct ifreq r = {.ifr_name = "lo"};
        if (!IN6_IS_ADDR_V4MAPPED(&lo.addrs[i].ip))
            continue;
        snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", lo.addrs[i].label);
        put_in(&r.ifr_addr, v4_of(&lo.addrs[i].ip));
        if (buf && left < (int)sizeof(r))
            break;
        if (buf && uaccess_write_obj(t->mm, uaddr(buf + done), &r))
            return -EFAULT;
        done += sizeof(r);
        left -= sizeof(r);
    }
    c.ifc_len = done;
    return uaccess_write_obj(t->mm, uaddr(arg), &c) ? -EFAULT : 0;
}

static int ifreq_address(struct ifreq *r, unsigned cmd, const struct iface *lo)
{
    const struct iface_addr *a = first_v4(lo);
    if (!a)
        return -EADDRNOTAVAIL;
    uint32_t mask = a->prefix ? UINT32_MAX << (32 - a->prefix) : 0;
    put_in(&r->ifr_addr, cmd == SIOCGIFNETMASK   ? mask
                         : cmd == SIOCGIFBRDADDR ? ntohl(a->broadcast)
                                                 : v4_of(&a->ip));
    return 0;
}

static int ifreq_get(struct ifreq *r, unsigned cmd)
{
    struct iface lo;
    iface_get(task_netns(task_current()), &lo);
    switch (cmd) {
    case SIOCGIFFLAGS:
        r->ifr_flags = iface_flags_shown(&lo);
        return 0;
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR:
        return ifreq_address(r, cmd, &lo);
    case SIOCGIFMTU:
        r->ifr_mtu = lo.mtu;
        return 0;
    case SIOCGIFHWADDR:
        memset(&r->ifr_hwaddr, 0, sizeof(r->ifr_hwaddr));
        r->ifr_hwaddr.sa_family = 772 /* ARPHRD_LOOPBACK */;
        return 0;
    case SIOCGIFINDEX:
        r->ifr_ifindex = IFACE_INDEX;
        return 0;
    case SIOCGIFTXQLEN:
        r->ifr_qlen = lo.qlen;
        return 0;
    case SIOCGIFMETRIC:
        r->ifr_metric = 0;
        return 0;
    case SIOCGIFMAP:
        memset(&r->ifr_map, 0, sizeof(r->ifr_map));
        return 0;
    case SIOCGIFPFLAGS:
    case SIOCGIFSLAVE:
    case SIOCGIFENCAP:
        return -EINVAL;
    }
    return -ENOTTY;
}

static int ifreq_set_address(struct ifreq *r, unsigned cmd)
{
    struct sockaddr_in in;
    memcpy(&in, &r->ifr_addr, sizeof(in));
    if (in.sin_family != AF_INET)
        return -EINVAL;
    struct iface lo;
    iface_get(task_netns(task_current()), &lo);
    const struct iface_addr *first = first_v4(&lo);
    struct iface_addr a = {
        .prefix = 8, .scope = RT_SCOPE_HOST, .flags = IFA_F_PERMANENT, .label = "lo"};
    if (first)
        a = *first;
    else if (cmd != SIOCSIFADDR)
        return -EADDRNOTAVAIL;
    uint32_t v = ntohl(in.sin_addr.s_addr);
    if (cmd == SIOCSIFNETMASK) {
        if (v & (~v >> 1))
            return -EINVAL;
        a.prefix = __builtin_popcount(v);
    } else if (cmd == SIOCSIFBRDADDR) {
        a.broadcast = in.sin_addr.s_addr;
    } else if (cmd == SIOCSIFADDR) {
        inet_map_v4(&a.ip, in.sin_addr.s_addr);
        a.prefix = v >> 31 == 0 ? 8 : v >> 30 == 2 ? 16 : 24;
    }
    if (first)
        (void)iface_addr_del(task_netns(task_current()), &first->ip, -1);
    return v || cmd != SIOCSIFADDR ? iface_addr_add(task_netns(task_current()), &a) : 0;
}

static int ifreq_set(struct ifreq *r, unsigned cmd)
{
    switch (cmd) {
    case SIOCSIFFLAGS:
        iface_set_flags(task_netns(task_current()), (uint16_t)r->ifr_flags, 0xffff);
        return 0;
    case SIOCSIFADDR:
    case SIOCSIFNETMASK:
    case SIOCSIFBRDADDR:
    case SIOCSIFDSTADDR:
        return ifreq_set_address(r, cmd);
    case SIOCSIFMTU:
        return iface_set_mtu(task_netns(task_current()), r->ifr_mtu);
    case SIOCSIFTXQLEN:
        if (r->ifr_qlen < 0)
            return -EINVAL;
        iface_set_qlen(task_netns(task_current()), r->ifr_qlen);
        return 0;
    case SIOCSIFMETRIC:
    case SIOCSIFMAP:
    case SIOCSIFHWADDR:
    case SIOCSIFHWBROADCAST:
    case SIOCADDMULTI:
    case SIOCDELMULTI:
        return -EOPNOTSUPP;
    case SIOCSIFNAME:
        return -EBUSY;
    }
    return -ENOTTY;
}

static bool is_set(unsigned cmd)
{
    static const uint16_t sets[] = {
        SIOCSIFFLAGS, SIOCSIFADDR,   SIOCSIFDSTADDR, SIOCSIFBRDADDR,     SIOCSIFNETMASK,
        SIOCSIFMTU,   SIOCSIFTXQLEN, SIOCSIFMETRIC,  SIOCSIFHWADDR,      SIOCSIFMAP,
        SIOCSIFNAME,  SIOCADDMULTI,  SIOCDELMULTI,   SIOCSIFHWBROADCAST,
    };
    for (unsigned i = 0; i < ARRAY_COUNT(sets); i++)
        if (sets[i] == cmd)
            return true;
    return false;
}

static int64_t ioctl_route(struct task *t, unsigned cmd)
{
    if (!net_capable(t, CAP_NET_ADMIN))
        return -EPERM;
    return cmd == SIOCDELRT ? -ESRCH : cmd == SIOCADDRT ? -ENETUNREACH : -ENOTTY;
}

int64_t net_ioctl_interface(struct task *t, unsigned cmd, uint64_t arg)
{
    struct ifreq r;
    if (hostnet_family(AF_INET, SOCK_DGRAM, 0))
        return hostnet_ioctl_interface(t, cmd, arg);
    if (cmd == SIOCGIFCONF)
        return ifconf(t, arg);
    if (cmd == SIOCADDRT || cmd == SIOCDELRT)
        return ioctl_route(t, cmd);
    bool private = cmd >= SIOCDEVPRIVATE && cmd < SIOCDEVPRIVATE + 16;
    if ((cmd < 0x8910 || cmd > 0x8991) && !private)
        return -ENOTTY;
    if (uaccess_read_obj(t->mm, &r, uaddr(arg)))
        return -EFAULT;
    r.ifr_name[IFNAMSIZ - 1] = 0;
    if (cmd == SIOCGIFNAME) {
        if (r.ifr_ifindex != IFACE_INDEX)
            return -ENODEV;
        strcpy(r.ifr_name, "lo");
        return uaccess_write_obj(t->mm, uaddr(arg), &r) ? -EFAULT : 0;
    }
    if (private)
        return strcmp(r.ifr_name, "lo") ? -ENODEV : -EOPNOTSUPP;
    bool set = is_set(cmd);
    if (set && !net_capable(t, CAP_NET_ADMIN))
        return -EPERM;
    if (!set && ifreq_get(&(struct ifreq){0}, cmd) == -ENOTTY)
        return cmd == 0x8946 /* SIOCETHTOOL */ ? -EOPNOTSUPP : -ENOTTY;
    if (strcmp(r.ifr_name, "lo"))
        return -ENODEV;
    int err = set ? ifreq_set(&r, cmd) : ifreq_get(&r, cmd);
    if (err || set)
        return err;
    return uaccess_write_obj(t->mm, uaddr(arg), &r) ? -EFAULT : 0;
}
