/* AF_INET and AF_INET6 inside the sandbox: the loopback interface, where everything is local.
 *
 * An address is local if it is in 127.0.0.0/8, ::1, their IPv4-mapped form, or a wildcard; all else
 * is unreachable. Bound sockets are kept in one list; ports are found by walking it, which suits
 * the dozens of sockets that a sandbox has. IPv4 and IPv6 share the port space as ipv6(7) tells. */
#include "base/host.h"
#include "base/overflow.h"
#include "net/net_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_FIRST      32768
#define PORT_LAST       60999
#define PORT_PRIVILEGED 1024

static struct list g_bound = LIST_INIT(g_bound); /* lock: g_net_lock */

/* An address in one form for both families: IPv4 as mapped IPv6. */
struct inet_name {
    struct in6_addr ip;
    uint16_t port; /* host order */
};

static void map_v4(struct in6_addr *out, struct in_addr v4)
{
    memset(out, 0, sizeof(*out));
    out->s6_addr[10] = out->s6_addr[11] = 0xff;
    memcpy(&out->s6_addr[12], &v4, 4);
}

static int name_parse(struct socket *s, const struct net_addr *a, struct inet_name *out)
{
    if (a->ss.ss_family == AF_INET && a->size >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)&a->ss;
        map_v4(&out->ip, in->sin_addr);
        out->port = ntohs(in->sin_port);
        return s->domain == AF_INET6 && (s->flags & SOCKF_V6ONLY) ? -EINVAL : 0;
    }
    if (s->domain == AF_INET)
        return a->size < sizeof(struct sockaddr_in) ? -EINVAL : -EAFNOSUPPORT;
    if (a->size < 24 /* SIN6_LEN_RFC2133 */)
        return -EINVAL;
    if (a->ss.ss_family != AF_INET6)
        return -EAFNOSUPPORT;
    const struct sockaddr_in6 *in6 = (const void *)&a->ss;
    out->ip = in6->sin6_addr;
    out->port = ntohs(in6->sin6_port);
    return 0;
}

static bool ip_is_v4(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_V4MAPPED(ip);
}

static bool ip_is_any(const struct in6_addr *ip)
{
    static const uint8_t zero[4];
    return IN6_IS_ADDR_UNSPECIFIED(ip) || (ip_is_v4(ip) && !memcmp(&ip->s6_addr[12], zero, 4));
}

static bool ip_is_loopback(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_LOOPBACK(ip) || (ip_is_v4(ip) && ip->s6_addr[12] == 127);
}

static void name_format(struct socket *s, const struct inet_name *n, struct net_addr *out)
{
    memset(out, 0, sizeof(*out));
    if (s->domain == AF_INET) {
        struct sockaddr_in *in = (void *)&out->ss;
        in->sin_family = AF_INET;
        in->sin_port = htons(n->port);
        memcpy(&in->sin_addr, &n->ip.s6_addr[12], 4);
        out->size = sizeof(*in);
        return;
    }
    struct sockaddr_in6 *in6 = (void *)&out->ss;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(n->port);
    in6->sin6_addr = n->ip;
    out->size = sizeof(*in6);
}

static void name_local(struct socket *s, struct inet_name *out)
{
    memset(out, 0, sizeof(*out));
    if (s->local.size)
        (void)name_parse(s, &s->local, out);
    else if (s->domain == AF_INET)
        map_v4(&out->ip, (struct in_addr){0});
}

/* ---- the table of bound sockets
 * ------------------------------------------------------------------------ */

static bool hears_v4(const struct socket *s, const struct in6_addr *bound)
{
    return s->domain == AF_INET || ip_is_v4(bound) ||
           (IN6_IS_ADDR_UNSPECIFIED(bound) && !(s->flags & SOCKF_V6ONLY));
}

static bool overlap(struct socket *a, const struct inet_name *an, struct socket *b,
                    const struct inet_name *bn)
{
    if (an->port != bn->port || a->type != b->type)
        return false;
    bool both_v4 = hears_v4(a, &an->ip) && hears_v4(b, &bn->ip),
         both_v6 = !ip_is_v4(&an->ip) && !ip_is_v4(&bn->ip) && a->domain == AF_INET6 &&
                   b->domain == AF_INET6;
    if (!both_v4 && !both_v6)
        return false;
    return ip_is_any(&an->ip) || ip_is_any(&bn->ip) || IN6_ARE_ADDR_EQUAL(&an->ip, &bn->ip);
}

static bool may_share(const struct socket *a, const struct socket *b)
{
    if ((a->flags & b->flags & SOCKF_REUSEPORT) && a->own_cred.uid == b->own_cred.uid)
        return true;
    if (!(a->flags & b->flags & SOCKF_REUSEADDR))
        return false;
    return a->type == SOCK_DGRAM || (a->state != SOCK_LISTENING && b->state != SOCK_LISTENING);
}

static bool name_taken_locked(struct socket *s, const struct inet_name *n)
{
    struct socket *o;
    list_for_each(o, &g_bound, name_node)
    {
        struct inet_name on;
        name_local(o, &on);
        if (o != s && overlap(s, n, o, &on) && !may_share(s, o))
            return true;
    }
    return false;
}

static int pick_port_locked(struct socket *s, struct inet_name *n)
{
    uint16_t start;
    if (host_getrandom(&start, sizeof(start)))
        start = 0;
    unsigned range = PORT_LAST - PORT_FIRST + 1;
    unsigned keep = s->flags;
    s->flags &=
        ~(unsigned)(SOCKF_REUSEADDR | SOCKF_REUSEPORT); /* an ephemeral port is nobody else's */
    int err = -EADDRINUSE;
    for (unsigned i = 0; err && i < range; i++) {
        n->port = PORT_FIRST + (start + i) % range;
        if (!name_taken_locked(s, n))
            err = 0;
    }
    s->flags = keep;
    return err;
}

static int bind_locked(struct socket *s, struct inet_name *n)
{
    LOCK_GUARD(&g_net_lock);
    if (s->named)
        return -EINVAL;
    int err = n->port ? (name_taken_locked(s, n) ? -EADDRINUSE : 0) : pick_port_locked(s, n);
    if (err)
        return err;
    name_format(s, n, &s->local);
    s->named = true;
    list_push_back(&g_bound, &s->name_node);
    return 0;
}

static int inet_bind(struct task *t, struct socket *s, const struct net_addr *a)
{
    struct inet_name n;
    struct net_addr copy = *a;
    /* Linux accepts AF_UNSPEC with the wildcard address as AF_INET here. */
    if (s->domain == AF_INET && a->ss.ss_family == AF_UNSPEC &&
        a->size >= sizeof(struct sockaddr_in) &&
        ((const struct sockaddr_in *)&a->ss)->sin_addr.s_addr == 0)
        copy.ss.ss_family = AF_INET;
    int err = name_parse(s, &copy, &n);
    if (!err && s->domain == AF_INET6 && copy.ss.ss_family == AF_INET)
        err = -EINVAL;
    if (err)
        return err;
    if (!ip_is_any(&n.ip) && !ip_is_loopback(&n.ip))
        return -EADDRNOTAVAIL;
    if (n.port && n.port < PORT_PRIVILEGED && !cred_has_cap(t->cred, CAP_NET_BIND_SERVICE))
        return -EACCES;
    return bind_locked(s, &n);
}

static int inet_autobind(struct task *t, struct socket *s)
{
    struct inet_name n;
    if (s->named)
        return 0;
    name_local(s, &n);
    n.port = 0;
    int err = bind_locked(s, &n);
    return err == -EINVAL       ? 0
           : err == -EADDRINUSE ? -EADDRNOTAVAIL
                                : err; /* EINVAL: another thread was quicker */
}

/* ---- lookups
 * ------------------------------------------------------------------------------------------ */

/* How well does a bound socket fit a destination: 0 not at all; exact names beat wildcards, a
 * socket connected to the sender beats others. */
static int score(struct socket *o, struct socket *from, const struct inet_name *to)
{
    struct inet_name n;
    name_local(o, &n);
    if (o->type != from->type || n.port != to->port || o->state == SOCK_CLOSED)
        return 0;
    if (o->type == SOCK_STREAM && o->state != SOCK_LISTENING)
        return 0;
    if (ip_is_v4(&to->ip) ? !hears_v4(o, &n.ip) : o->domain != AF_INET6 || ip_is_v4(&n.ip))
        return 0;
    if (!ip_is_any(&n.ip) && !IN6_ARE_ADDR_EQUAL(&n.ip, &to->ip))
        return 0;
    int points = ip_is_any(&n.ip) ? 1 : 4;
    if (o->type == SOCK_DGRAM && o->remote.size) {
        struct inet_name want, have;
        name_local(from, &have);
        if (name_parse(o, &o->remote, &want) || want.port != have.port)
            return 0;
        points += 8;
    }
    return points + (o->domain == from->domain);
}

static void to_local(struct inet_name *n, struct socket *s)
{
    if (!ip_is_any(&n->ip))
        return;
    if (ip_is_v4(&n->ip) || s->domain == AF_INET)
        map_v4(&n->ip, (struct in_addr){htonl(INADDR_LOOPBACK)});
    else
        n->ip = in6addr_loopback;
}

static int inet_find(struct task *t, struct socket *s, const struct net_addr *a,
                     struct socket **out)
{
    struct inet_name to;
    int err = name_parse(s, a, &to);
    if (err)
        return err;
    to_local(&to, s);
    if (!ip_is_loopback(&to.ip))
        return -ENETUNREACH;
    if (to.port == 0)
        return s->type == SOCK_STREAM ? -ECONNREFUSED : -EINVAL;
    if (s->type == SOCK_DGRAM && (err = inet_autobind(t, s)))
        return err;
    LOCK_GUARD(&g_net_lock);
    struct socket *o, *best = NULL;
    int best_score = 0;
    list_for_each(o, &g_bound, name_node)
    {
        int sc = score(o, s, &to);
        if (sc > best_score) {
            best = o;
            best_score = sc;
        }
    }
    if (!best)
        return -ECONNREFUSED;
    socket_get(best);
    *out = best;
    return 0;
}

static int inet_check(struct socket *s, const struct net_addr *a)
{
    struct inet_name n;
    return name_parse(s, a, &n);
}

static void inet_release(struct socket *s)
{
    lock_check_held(LR_SOCKET);
    list_del(&s->name_node);
}

static int inet_init(struct task *t, struct socket *s)
{
    if (s->type == SOCK_STREAM && (s->protocol == 0 || s->protocol == IPPROTO_TCP)) {
        s->protocol = IPPROTO_TCP;
        s->rcvbuf = 131072;
        s->sndbuf = 2626560;
        return 0;
    }
    if (s->type == SOCK_DGRAM && (s->protocol == 0 || s->protocol == IPPROTO_UDP)) {
        s->protocol = IPPROTO_UDP;
        return 0;
    }
    if (s->type == SOCK_RAW || s->type == SOCK_PACKET)
        return cred_has_cap(t->cred, CAP_NET_RAW) ? -ESOCKTNOSUPPORT : -EPERM;
    return s->type == SOCK_STREAM || s->type == SOCK_DGRAM ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
}

const struct family g_family_inet = {
    .domain = AF_INET,
    .init = inet_init,
    .bind = inet_bind,
    .autobind = inet_autobind,
    .find = inet_find,
    .check = inet_check,
    .release = inet_release,
    .drops_when_full = true,
    .refuses_when_gone = true,
};
const struct family g_family_inet6 = {
    .domain = AF_INET6,
    .init = inet_init,
    .bind = inet_bind,
    .autobind = inet_autobind,
    .find = inet_find,
    .check = inet_check,
    .release = inet_release,
    .drops_when_full = true,
    .refuses_when_gone = true,
};

/* The addresses both ends of a new connection show: wildcards become the address that was reached.
 */
void inet_connection_names_locked(struct socket *client, struct socket *server,
                                  const struct net_addr *to)
{
    struct inet_name dest, local;
    (void)name_parse(client, to, &dest);
    to_local(&dest, client);
    name_local(client, &local);
    if (ip_is_any(&local.ip))
        local.ip = dest.ip;
    name_format(client, &local, &client->local);
    name_format(client, &dest, &client->remote);
    if (server->domain == AF_INET && !ip_is_v4(&dest.ip))
        return;
    name_format(server, &dest, &server->local);
    name_format(server, &local, &server->remote);
}

/* The sender's address as this receiver's family writes it. */
void inet_sender_name(struct socket *from, struct socket *to, struct net_addr *out)
{
    struct inet_name n;
    name_local(from, &n);
    to_local(&n, from);
    name_format(to, &n, out);
}

/* ---- interfaces
 * --------------------------------------------------------------------------------------- */

static int ifconf(struct task *t, uint64_t arg)
{
    struct ifconf c;
    struct ifreq r = {.ifr_name = "lo"};
    if (uaccess_read_obj(t->mm, &c, uaddr(arg)))
        return -EFAULT;
    struct sockaddr_in *in = (void *)&r.ifr_addr;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uint64_t buf = (uint64_t)c.ifc_req;
    if (buf && c.ifc_len >= (int)sizeof(r) && uaccess_write_obj(t->mm, uaddr(buf), &r))
        return -EFAULT;
    c.ifc_len = buf && c.ifc_len < (int)sizeof(r) ? 0 : sizeof(r);
    return uaccess_write_obj(t->mm, uaddr(arg), &c);
}

static int ifreq_answer(struct ifreq *r, unsigned cmd)
{
    struct sockaddr_in *in = (void *)&r->ifr_addr;
    switch (cmd) {
    case 0x8913: /* SIOCGIFFLAGS */
        r->ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
        return 0;
    case 0x8915: /* SIOCGIFADDR */
    case 0x891b: /* SIOCGIFNETMASK */
    case 0x8919: /* SIOCGIFBRDADDR */
        memset(in, 0, sizeof(*in));
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = cmd == 0x8915   ? htonl(INADDR_LOOPBACK)
                              : cmd == 0x891b ? htonl(0xff000000)
                                              : 0;
        return 0;
    case 0x8921: /* SIOCGIFMTU */
        r->ifr_mtu = 65536;
        return 0;
    case 0x8927: /* SIOCGIFHWADDR */
        memset(&r->ifr_hwaddr, 0, sizeof(r->ifr_hwaddr));
        r->ifr_hwaddr.sa_family = 772; /* ARPHRD_LOOPBACK */
        return 0;
    case 0x8933: /* SIOCGIFINDEX */
        r->ifr_ifindex = 1;
        return 0;
    case 0x8942: /* SIOCGIFTXQLEN */
        r->ifr_qlen = 1000;
        return 0;
    case 0x891d: /* SIOCGIFMETRIC */
        r->ifr_metric = 0;
        return 0;
    default:
        return -ENOTTY;
    }
}

int64_t net_ioctl_interface(struct task *t, unsigned cmd, uint64_t arg)
{
    struct ifreq r;
    if (cmd == 0x8912) /* SIOCGIFCONF */
        return ifconf(t, arg);
    if (cmd < 0x8910 || cmd > 0x8950)
        return -ENOTTY;
    if (uaccess_read_obj(t->mm, &r, uaddr(arg)))
        return -EFAULT;
    r.ifr_name[IFNAMSIZ - 1] = 0;
    if (cmd == 0x8910) { /* SIOCGIFNAME */
        if (r.ifr_ifindex != 1)
            return -ENODEV;
        strcpy(r.ifr_name, "lo");
    } else {
        if (strcmp(r.ifr_name, "lo"))
            return -ENODEV;
        int err = ifreq_answer(&r, cmd);
        if (err)
            return err;
    }
    return uaccess_write_obj(t->mm, uaddr(arg), &r) ? -EFAULT : 0;
}

/* ---- /proc/net
 * ---------------------------------------------------------------------------------------- */

static int format_name(const struct net_addr *a, bool v6, char *buf, size_t size)
{
    const struct sockaddr_in *in = (const void *)&a->ss;
    const struct sockaddr_in6 *in6 = (const void *)&a->ss;
    if (!v6)
        return snprintf(buf, size, "%08X:%04X", a->size ? in->sin_addr.s_addr : 0,
                        a->size ? ntohs(in->sin_port) : 0);
    uint32_t w[4] = {0};
    if (a->size)
        memcpy(w, &in6->sin6_addr, sizeof(w));
    return snprintf(buf, size, "%08X%08X%08X%08X:%04X", w[0], w[1], w[2], w[3],
                    a->size ? ntohs(in6->sin6_port) : 0);
}

int net_inet_proc_line(int domain, int type, unsigned *index, char *buf, size_t size)
{
    unsigned i = 0;
    LOCK_GUARD(&g_net_lock);
    struct socket *s;
    list_for_each(s, &g_bound, name_node)
    {
        char local[48], remote[48];
        if (s->domain != domain || s->type != type || i++ < *index)
            continue;
        ++*index;
        format_name(&s->local, domain == AF_INET6, local, sizeof(local));
        format_name(&s->remote, domain == AF_INET6, remote, sizeof(remote));
        int state = type == SOCK_DGRAM           ? 7
                    : s->state == SOCK_LISTENING ? 10
                    : s->state == SOCK_CONNECTED ? 1
                                                 : 7;
        return snprintf(buf, size,
                        "%4u: %s %s %02X 00000000:%08lX 00:00000000 00000000 %5u        0 0 %u "
                        "0000000000000000\n",
                        i - 1, local, remote, state, (unsigned long)s->rx_bytes, s->own_cred.uid,
                        ref_read(&s->ref));
    }
    return 0;
}
