/* AF_INET and AF_INET6 inside the sandbox: the loopback interface, where everything is local.
 *
 * An address is local if the interface has it (iface.c), or if it is in 127.0.0.0/8; all else is
 * unreachable. Bound sockets are hashed by port. IPv4 and IPv6 share the port space as ipv6(7)
 * tells. A TCP socket whose end of file went out first stays in the table after its close, as
 * time-wait, so that its name is not given to others at once. */
#include "base/host.h"
#include "base/overflow.h"
#include "net/iface_priv.h"
#include "net/net_priv.h"
#include "time/time.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PORT_BUCKETS  256
#define TIME_WAIT_NS  (60 * NSEC_PER_SEC)
#define TIME_WAIT_MAX 4096

static struct list g_ports[PORT_BUCKETS];            /* lock: g_net_lock */
static struct list g_waiting = LIST_INIT(g_waiting); /* lock: g_net_lock; oldest first */
static unsigned g_waiting_count;                     /* lock: g_net_lock */

static struct list *bucket(uint16_t port)
{
    struct list *l = &g_ports[port % PORT_BUCKETS];
    if (!l->head.next)
        list_init(l);
    return l;
}

/* ---- addresses
 * ------------------------------------------------------------------------ */

void inet_map_v4(struct in6_addr *out, uint32_t network_order)
{
    memset(out, 0, sizeof(*out));
    out->s6_addr[10] = out->s6_addr[11] = 0xff;
    memcpy(&out->s6_addr[12], &network_order, 4);
}

int inet_name_parse(struct socket *s, const struct net_addr *a, struct inet_name *out)
{
    if (a->ss.ss_family == AF_INET && a->size >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)&a->ss;
        inet_map_v4(&out->ip, in->sin_addr.s_addr);
        out->port = ntohs(in->sin_port);
        return s->domain == AF_INET6 && s->opt[OPT_V6ONLY] ? -EINVAL : 0;
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

bool inet_ip_is_v4(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_V4MAPPED(ip);
}

static uint32_t v4_of(const struct in6_addr *ip)
{
    uint32_t v;
    memcpy(&v, &ip->s6_addr[12], 4);
    return ntohl(v);
}

bool inet_ip_is_any(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_UNSPECIFIED(ip) || (inet_ip_is_v4(ip) && !v4_of(ip));
}

bool inet_ip_is_multicast(const struct in6_addr *ip)
{
    return inet_ip_is_v4(ip) ? IN_MULTICAST(v4_of(ip)) : IN6_IS_ADDR_MULTICAST(ip);
}

bool inet_ip_is_broadcast(const struct in6_addr *ip)
{
    return inet_ip_is_v4(ip) && (v4_of(ip) == INADDR_BROADCAST || iface_is_broadcast(v4_of(ip)));
}

bool inet_ip_is_local(const struct in6_addr *ip)
{
    return iface_has_address(ip);
}

void inet_name_format(struct socket *s, const struct inet_name *n, struct net_addr *out)
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
    if (IN6_IS_ADDR_LINKLOCAL(&n->ip) || IN6_IS_ADDR_MC_LINKLOCAL(&n->ip))
        in6->sin6_scope_id = 1;
    out->size = sizeof(*in6);
}

static void name_get(struct socket *s, const struct net_addr *a, struct inet_name *out)
{
    memset(out, 0, sizeof(*out));
    if (a->size)
        (void)inet_name_parse(s, a, out);
    else if (s->domain == AF_INET)
        inet_map_v4(&out->ip, 0);
}

void inet_name_local(struct socket *s, struct inet_name *out)
{
    name_get(s, &s->local, out);
}

void inet_name_remote(struct socket *s, struct inet_name *out)
{
    name_get(s, &s->remote, out);
}

void inet_to_local(struct inet_name *n, struct socket *s)
{
    if (!inet_ip_is_any(&n->ip))
        return;
    if (inet_ip_is_v4(&n->ip) || s->domain == AF_INET)
        inet_map_v4(&n->ip, htonl(INADDR_LOOPBACK));
    else
        n->ip = in6addr_loopback;
}

int inet_reachable(struct socket *s, const struct inet_name *to)
{
    if (inet_ip_is_broadcast(&to->ip))
        return s->opt[OPT_BROADCAST] ? 0 : -EACCES;
    if (inet_ip_is_v4(&to->ip) && v4_of(&to->ip) >> 28 == 15)
        return -EINVAL; /* class E */
    if (!iface_is_up(s->net))
        return -ENETUNREACH;
    return inet_ip_is_multicast(&to->ip) || inet_ip_is_local(&to->ip) ? 0 : -ENETUNREACH;
}

int inet_reachable_addr(struct socket *s, const struct net_addr *a)
{
    struct inet_name to;
    int err = inet_name_parse(s, a, &to);
    if (err)
        return err;
    inet_to_local(&to, s);
    if (s->kind & K_TCP && (inet_ip_is_multicast(&to.ip) || inet_ip_is_broadcast(&to.ip)))
        return -ENETUNREACH;
    return inet_reachable(s, &to);
}

/* ---- time-wait
 * ------------------------------------------------------------------------ */

static void waiting_drop_locked(struct socket *s)
{
    list_del(&s->wait_node);
    list_del(&s->name_node);
    s->named = false;
    s->state = SOCK_CLOSED;
    g_waiting_count--;
    socket_put(s);
}

static void waiting_expire_locked(void)
{
    int64_t now = list_empty(&g_waiting) ? 0 : time_now();
    struct socket *s;
    while ((s = list_first(&g_waiting, struct socket, wait_node)) &&
           (s->expires <= now || g_waiting_count > TIME_WAIT_MAX))
        waiting_drop_locked(s);
}

bool inet_time_wait_locked(struct socket *s)
{
    lock_check_held(LR_SOCKET);
    waiting_expire_locked();
    if (s->linger.l_onoff && !s->linger.l_linger)
        return false;
    socket_get(s);
    s->state = SOCK_TIME_WAIT;
    s->expires = time_after(TIME_WAIT_NS);
    list_push_back(&g_waiting, &s->wait_node);
    g_waiting_count++;
    return true;
}

/* ---- the table of bound sockets
 * ------------------------------------------------------------------------ */

bool inet_hears_v4(const struct socket *s, const struct in6_addr *bound)
{
    return s->domain == AF_INET || inet_ip_is_v4(bound) ||
           (IN6_IS_ADDR_UNSPECIFIED(bound) && !s->opt[OPT_V6ONLY]);
}

static bool overlap(struct socket *a, const struct inet_name *an, struct socket *b,
                    const struct inet_name *bn)
{
    if (a->net != b->net || an->port != bn->port || a->protocol != b->protocol ||
        a->type != b->type)
        return false;
    int ad = a->opt[OPT_BINDTOIFINDEX], bd = b->opt[OPT_BINDTOIFINDEX];
    if (ad && bd && ad != bd)
        return false;
    bool both_v4 = inet_hears_v4(a, &an->ip) && inet_hears_v4(b, &bn->ip),
         both_v6 = !inet_ip_is_v4(&an->ip) && !inet_ip_is_v4(&bn->ip) && a->domain == AF_INET6 &&
                   b->domain == AF_INET6;
    if (!both_v4 && !both_v6)
        return false;
    return inet_ip_is_any(&an->ip) || inet_ip_is_any(&bn->ip) ||
           IN6_ARE_ADDR_EQUAL(&an->ip, &bn->ip);
}

static bool may_share(const struct socket *a, const struct socket *b)
{
    if (a->opt[OPT_REUSEPORT] && b->opt[OPT_REUSEPORT] && a->uid == b->uid)
        return true;
    if (!a->opt[OPT_REUSEADDR] || !b->opt[OPT_REUSEADDR])
        return false;
    return a->type == SOCK_DGRAM || (a->state != SOCK_LISTENING && b->state != SOCK_LISTENING);
}

static bool name_taken_locked(struct socket *s, const struct inet_name *n, bool alone)
{
    struct socket *o;
    list_for_each(o, bucket(n->port), name_node)
    {
        struct inet_name on;
        inet_name_local(o, &on);
        if (o != s && overlap(s, n, o, &on) && (alone || !may_share(s, o)))
            return true;
    }
    return false;
}

/* An ephemeral port is nobody else's, whatever may be shared. */
static int pick_port_locked(struct socket *s, struct inet_name *n)
{
    uint16_t start;
    unsigned first = net_knob(NET_PORT_FIRST), last = net_knob(NET_PORT_LAST);
    unsigned own = s->opt[OPT_PORT_RANGE];
    if (own & 0xffff && (own & 0xffff) <= last)
        first = MAX(first, own & 0xffff);
    if (own >> 16 && own >> 16 >= first)
        last = MIN(last, own >> 16);
    if (host_getrandom(&start, sizeof(start)))
        start = 0;
    unsigned range = last - MIN(first, last) + 1;
    for (unsigned i = 0; i < range; i++) {
        n->port = first + (start + i) % range;
        if (!name_taken_locked(s, n, /*alone=*/true))
            return 0;
    }
    return -EADDRINUSE;
}

static void name_add_locked(struct socket *s)
{
    struct inet_name n;
    inet_name_local(s, &n);
    s->named = true;
    list_push_back(bucket(n.port), &s->name_node);
}

static int bind_locked(struct socket *s, struct inet_name *n)
{
    LOCK_GUARD(&g_net_lock);
    waiting_expire_locked();
    if (s->named || s->state != SOCK_IDLE)
        return -EINVAL;
    s->user_port = n->port;
    int err = n->port ? (name_taken_locked(s, n, /*alone=*/false) ? -EADDRINUSE : 0)
                      : pick_port_locked(s, n);
    if (err)
        return err;
    inet_name_format(s, n, &s->local);
    name_add_locked(s);
    return 0;
}

/* The port goes back, an address stays. */
void inet_forget_port_locked(struct socket *s)
{
    struct inet_name n;
    inet_name_local(s, &n);
    list_del(&s->name_node);
    s->named = false;
    n.port = 0;
    inet_name_format(s, &n, &s->local);
}

static int bind_check(struct task *t, struct socket *s, const struct inet_name *n)
{
    bool foreign = net_knob(NET_NONLOCAL_BIND) || s->opt[OPT_FREEBIND] || s->opt[OPT_TRANSPARENT] ||
                   s->opt[OPT_FREEBIND6];
    bool group = inet_ip_is_multicast(&n->ip) || inet_ip_is_broadcast(&n->ip);
    if (group && s->kind & K_TCP)
        return -EADDRNOTAVAIL;
    if (!inet_ip_is_any(&n->ip) && !inet_ip_is_local(&n->ip) && !group && !foreign)
        return -EADDRNOTAVAIL;
    if (inet_ip_is_v4(&n->ip) && s->domain == AF_INET6 && s->opt[OPT_V6ONLY])
        return -EINVAL;
    if (n->port && n->port < net_knob(NET_UNPRIVILEGED_PORT) &&
        !net_capable(t, CAP_NET_BIND_SERVICE))
        return -EACCES;
    return 0;
}

static int inet_bind(struct task *t, struct socket *s, const struct net_addr *a)
{
    struct inet_name n;
    struct net_addr copy = *a;
    if (s->kind & (K_RAW | K_PING))
        return raw_bind(t, s, a);
    /* Linux accepts AF_UNSPEC with the wildcard address as AF_INET here. */
    if (s->domain == AF_INET && a->ss.ss_family == AF_UNSPEC &&
        a->size >= sizeof(struct sockaddr_in) &&
        ((const struct sockaddr_in *)&a->ss)->sin_addr.s_addr == 0)
        copy.ss.ss_family = AF_INET;
    if (s->domain == AF_INET6 && a->size >= 24 && a->ss.ss_family != AF_INET6)
        return -EAFNOSUPPORT;
    if (s->domain == AF_INET6 && a->size < 24)
        return -EINVAL;
    int err = inet_name_parse(s, &copy, &n);
    if (!err)
        err = bind_check(t, s, &n);
    return err ? err : bind_locked(s, &n);
}

static int inet_autobind(struct task *t, struct socket *s)
{
    struct inet_name n;
    LOCK_GUARD(&g_net_lock);
    if (s->named)
        return 0;
    waiting_expire_locked();
    inet_name_local(s, &n);
    int err = pick_port_locked(s, &n);
    if (err)
        return s->kind & K_TCP ? -EADDRNOTAVAIL : -EAGAIN;
    inet_name_format(s, &n, &s->local);
    name_add_locked(s);
    return 0;
}

int inet_may_listen(struct socket *s)
{
    struct inet_name n, on;
    LOCK_GUARD(&g_net_lock);
    inet_name_local(s, &n);
    struct socket *o;
    list_for_each(o, bucket(n.port), name_node)
    {
        inet_name_local(o, &on);
        bool shared = s->opt[OPT_REUSEPORT] && o->opt[OPT_REUSEPORT] && s->uid == o->uid;
        if (o != s && o->state == SOCK_LISTENING && overlap(s, &n, o, &on) && !shared)
            return -EADDRINUSE;
    }
    return 0;
}

/* ---- lookups
 * ------------------------------------------------------------------------------------------ */

/* How well does a bound socket fit a destination: 0 not at all; exact names beat wildcards, a
 * socket connected to the sender beats others. */
static int score(struct socket *o, struct socket *from, const struct inet_name *to)
{
    struct inet_name n;
    inet_name_local(o, &n);
    if (o->net != from->net || o->type != from->type || o->protocol != from->protocol ||
        n.port != to->port)
        return 0;
    if (o->type == SOCK_STREAM && o->state != SOCK_LISTENING)
        return 0;
    if (inet_ip_is_v4(&to->ip) ? !inet_hears_v4(o, &n.ip)
                               : o->domain != AF_INET6 || inet_ip_is_v4(&n.ip))
        return 0;
    if (!inet_ip_is_any(&n.ip) && !IN6_ARE_ADDR_EQUAL(&n.ip, &to->ip))
        return 0;
    int points = inet_ip_is_any(&n.ip) ? 1 : 4;
    if (o->type == SOCK_DGRAM && o->remote.size) {
        struct inet_name want, have;
        inet_name_local(from, &have);
        inet_to_local(&have, from);
        if (inet_name_parse(o, &o->remote, &want) || want.port != have.port)
            return 0;
        inet_to_local(&want, o);
        if (!IN6_ARE_ADDR_EQUAL(&want.ip, &have.ip) && from->local.size &&
            !inet_ip_is_any(&have.ip) && inet_name_is_bound(from))
            return 0;
        points += 8;
    }
    if (o->opt[OPT_BINDTOIFINDEX])
        points += 2;
    return points + (o->domain == from->domain);
}

/* Equals that share a port by SO_REUSEPORT take turns by the sender's port. */
static struct socket *best_locked(struct socket *s, const struct inet_name *to)
{
    struct inet_name from;
    inet_name_local(s, &from);
    struct socket *o, *best = NULL;
    int best_score = 0;
    unsigned equals = 0;
    list_for_each(o, bucket(to->port), name_node)
    {
        int sc = score(o, s, to);
        if (sc > best_score) {
            best = o;
            best_score = sc;
            equals = 1;
        } else if (sc && sc == best_score && o->opt[OPT_REUSEPORT]) {
            equals++;
            if ((from.port * 2654435761u >> 8) % equals == 0)
                best = o;
        } else if (sc && sc == best_score) {
            best = o; /* the last one that bound it has it */
        }
    }
    return best;
}

static int inet_find(struct task *t, struct socket *s, const struct net_addr *a,
                     struct socket **out)
{
    struct inet_name to;
    int err = inet_name_parse(s, a, &to);
    if (err)
        return err;
    inet_to_local(&to, s);
    if (!inet_ip_is_local(&to.ip) || !iface_is_up(s->net))
        return -ENETUNREACH;
    if (s->type == SOCK_DGRAM && (err = inet_autobind(t, s)))
        return err;
    LOCK_GUARD(&g_net_lock);
    struct socket *best = best_locked(s, &to);
    if (!best)
        return -ECONNREFUSED;
    socket_get(best);
    *out = best;
    return 0;
}

/* Does o hear a datagram of from to this group or broadcast address? */
static bool hears_many(struct socket *o, struct socket *from, const struct inet_name *from_name,
                       const struct inet_name *to)
{
    struct inet_name n, remote;
    inet_name_local(o, &n);
    if (o->net != from->net || o->type != SOCK_DGRAM || o->protocol != from->protocol ||
        n.port != to->port)
        return false;
    if (inet_ip_is_v4(&to->ip) ? !inet_hears_v4(o, &n.ip)
                               : o->domain != AF_INET6 || inet_ip_is_v4(&n.ip))
        return false;
    if (!inet_ip_is_any(&n.ip) && !IN6_ARE_ADDR_EQUAL(&n.ip, &to->ip))
        return false;
    if (o->remote.size) {
        inet_name_remote(o, &remote);
        if (remote.port != from_name->port)
            return false;
    }
    return !inet_ip_is_multicast(&to->ip) || mcast_hears_locked(o, &to->ip, &from_name->ip);
}

void inet_for_each_hearer_locked(struct socket *from, const struct inet_name *to,
                                 void (*fn)(struct socket *o, void *arg), void *arg)
{
    struct inet_name own;
    struct socket *o;
    bool v4 = inet_ip_is_v4(&to->ip);
    if (inet_ip_is_multicast(&to->ip) && !from->opt[v4 ? OPT_MULTICAST_LOOP : OPT_MULTICAST_LOOP6])
        return;
    inet_name_local(from, &own);
    inet_to_local(&own, from);
    list_for_each(o, bucket(to->port), name_node) if (hears_many(o, from, &own, to)) fn(o, arg);
}

void inet_for_each_locked(int domain, int type, bool (*fn)(struct socket *s, void *arg), void *arg)
{
    struct netns *net = task_netns(task_current());
    waiting_expire_locked();
    for (unsigned i = 0; i < PORT_BUCKETS; i++) {
        struct socket *s;
        list_for_each(s, bucket(i), name_node)
        {
            if (s->net == net && s->domain == domain && s->type == type && !fn(s, arg))
                return;
        }
    }
}

static int inet_check(struct socket *s, const struct net_addr *a)
{
    struct inet_name n;
    if (s->domain == AF_INET6 && s->kind & K_TCP && a->ss.ss_family == AF_INET)
        return a->size < 24 ? -EINVAL : -EAFNOSUPPORT;
    return inet_name_parse(s, a, &n);
}

static void inet_release(struct socket *s)
{
    lock_check_held(LR_SOCKET);
    list_del(&s->name_node);
}

/* ---- what kinds there are
 * ------------------------------------------------------------------------ */

static int inet_init(struct task *t, struct socket *s)
{
    if (s->protocol < 0 || s->protocol >= 263 /* IPPROTO_MAX */)
        return -EINVAL;
    if (s->type == SOCK_STREAM && (s->protocol == 0 || s->protocol == IPPROTO_TCP)) {
        s->protocol = IPPROTO_TCP;
        s->kind = K_TCP;
        s->rcvbuf = net_knob(NET_TCP_RMEM);
        s->sndbuf = net_knob(NET_TCP_WMEM);
        return 0;
    }
    if (s->type == SOCK_DGRAM &&
        (s->protocol == 0 || s->protocol == IPPROTO_UDP || s->protocol == IPPROTO_UDPLITE)) {
        s->protocol = s->protocol ? s->protocol : IPPROTO_UDP;
        s->kind = K_UDP;
        return 0;
    }
    if (s->type == SOCK_RAW || s->type == SOCK_DGRAM)
        return raw_init(t, s);
    return s->type == SOCK_STREAM ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
}

#define INET_FAMILY(d)                                                                             \
    {                                                                                              \
        .domain = d, .init = inet_init, .bind = inet_bind, .autobind = inet_autobind,              \
        .find = inet_find, .check = inet_check, .release = inet_release, .setopt = inet_setopt,    \
        .getopt = inet_getopt, .drops_when_full = true, .refuses_when_gone = true,                 \
    }
const struct family g_family_inet = INET_FAMILY(AF_INET);
const struct family g_family_inet6 = INET_FAMILY(AF_INET6);

/* ---- names of connections
 * ------------------------------------------------------------------------ */

bool inet_name_is_bound(struct socket *s)
{
    struct inet_name n;
    inet_name_local(s, &n);
    return !inet_ip_is_any(&n.ip);
}

/* A UDP socket's association: the wildcard becomes the address that the datagrams will have. */
void inet_connected_locked(struct socket *s, const struct net_addr *a)
{
    struct inet_name to, own;
    (void)inet_name_parse(s, a, &to);
    inet_to_local(&to, s);
    inet_name_local(s, &own);
    if (inet_ip_is_any(&own.ip)) {
        own.ip = to.ip;
        if (inet_ip_is_multicast(&to.ip) || inet_ip_is_broadcast(&to.ip)) {
            memset(&own.ip, 0, sizeof(own.ip));
            if (inet_ip_is_v4(&to.ip))
                inet_map_v4(&own.ip, 0);
            inet_to_local(&own, s);
        }
        inet_name_format(s, &own, &s->local);
    }
    inet_name_format(s, &to, &s->remote);
    s->state = SOCK_CONNECTED;
    s->peer_gone = false;
}

void inet_connection_names_locked(struct socket *client, struct socket *server,
                                  const struct net_addr *to)
{
    struct inet_name dest, local;
    (void)inet_name_parse(client, to, &dest);
    inet_to_local(&dest, client);
    inet_name_local(client, &local);
    if (inet_ip_is_any(&local.ip))
        local.ip = dest.ip;
    inet_name_format(client, &local, &client->local);
    inet_name_format(client, &dest, &client->remote);
    if (server == client || (server->domain == AF_INET && !inet_ip_is_v4(&dest.ip)))
        return;
    inet_name_format(server, &dest, &server->local);
    inet_name_format(server, &local, &server->remote);
}

/* The accepted end holds on to the port too. */
void inet_accepted_locked(struct socket *server, struct socket *listener)
{
    server->user_port = true;
    name_add_locked(server);
}
