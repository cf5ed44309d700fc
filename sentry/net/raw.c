/* Raw sockets (raw(7)) and ping sockets (icmp(7)): datagrams below UDP over the loopback. There is
 * no packet layer under UDP and TCP, so this file makes the packets that raw sockets look at: those
 * of raw sockets themselves, of UDP while somebody looks, and the answers to echo requests. */
#include "base/overflow.h"
#include "net/iface_priv.h"
#include "net/net_priv.h"

#include <errno.h>
#include <linux/icmpv6.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#define IP_MAX 65535

static struct list g_raw = LIST_INIT(g_raw); /* lock: g_net_lock; socket.name_node */
static unsigned g_raw_count;                 /* atomic */
static uint16_t g_ping_id;                   /* lock: g_net_lock */

/* One packet on the wire that we do not have. */
struct wire {
    struct netns *net;
    struct in6_addr from, to; /* IPv4 as mapped */
    uint8_t protocol, ttl, tos;
    uint16_t id;
    const void *data; /* behind the IP header */
    size_t size;
};

/* ---- life
 * ------------------------------------------------------------------------ */

static bool ping_allowed(struct task *t)
{
    int64_t first = net_knob(NET_PING_GROUP_FIRST), last = net_knob(NET_PING_GROUP_LAST);
    const struct cred *c = t->cred;
    if (c->egid >= first && c->egid <= last)
        return true;
    for (unsigned i = 0; i < c->group_count; i++)
        if (c->groups[i] >= first && c->groups[i] <= last)
            return true;
    return false;
}

int raw_init(struct task *t, struct socket *s)
{
    if (s->type == SOCK_DGRAM) {
        int icmp = s->domain == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
        if (s->protocol != icmp)
            return -EPROTONOSUPPORT;
        if (!ping_allowed(t))
            return -EACCES;
        s->kind = K_PING;
    } else {
        if (!s->protocol)
            return -EPROTONOSUPPORT;
        if (!net_capable(t, CAP_NET_RAW))
            return -EPERM;
        s->kind = K_RAW;
    }
    LOCK_GUARD(&g_net_lock);
    list_push_back(&g_raw, &s->name_node);
    __atomic_add_fetch(&g_raw_count, 1, __ATOMIC_RELAXED);
    return 0;
}

void raw_release_locked(struct socket *s)
{
    if (!(s->kind & (K_RAW | K_PING)) || !list_linked(&s->name_node))
        return;
    list_del(&s->name_node);
    __atomic_sub_fetch(&g_raw_count, 1, __ATOMIC_RELAXED);
}

bool raw_wanted(void)
{
    return __atomic_load_n(&g_raw_count, __ATOMIC_RELAXED) || packet_sockets_wanted();
}

void raw_for_each_locked(int domain, bool (*fn)(struct socket *s, void *arg), void *arg)
{
    struct socket *s;
    struct netns *net = task_netns(task_current());
    list_for_each(s, &g_raw, name_node) if (s->net == net && s->domain == domain &&
                                            s->kind & K_RAW && !fn(s, arg)) return;
}

/* ---- names
 * ------------------------------------------------------------------------ */

static bool ping_id_taken_locked(struct socket *s, uint16_t id)
{
    struct socket *o;
    struct inet_name n;
    list_for_each(o, &g_raw, name_node)
    {
        inet_name_local(o, &n);
        if (o != s && o->net == s->net && o->kind & K_PING && o->domain == s->domain &&
            n.port == id && !(o->opt[OPT_REUSEADDR] && s->opt[OPT_REUSEADDR]))
            return true;
    }
    return false;
}

static int ping_name_locked(struct socket *s, struct inet_name *n)
{
    if (n->port && ping_id_taken_locked(s, n->port))
        return -EADDRINUSE;
    for (unsigned i = 0; !n->port && i < 0x10000; i++)
        if (++g_ping_id && !ping_id_taken_locked(s, g_ping_id))
            n->port = g_ping_id;
    if (!n->port)
        return -EADDRINUSE;
    inet_name_format(s, n, &s->local);
    return 0;
}

int raw_bind(struct task *t, struct socket *s, const struct net_addr *a)
{
    struct inet_name n;
    int err = inet_name_parse(s, a, &n);
    if (err)
        return err == -EAFNOSUPPORT && s->kind & K_RAW ? -EINVAL : err;
    if (!inet_ip_is_any(&n.ip) && !inet_ip_is_local(&n.ip) && !inet_ip_is_multicast(&n.ip) &&
        !s->opt[OPT_FREEBIND])
        return -EADDRNOTAVAIL;
    if (s->kind & K_PING && n.port && n.port < net_knob(NET_UNPRIVILEGED_PORT) && 0)
        return -EACCES;
    LOCK_GUARD(&g_net_lock);
    if (s->kind & K_RAW && s->state == SOCK_CONNECTED)
        return -EINVAL;
    if (s->kind & K_PING)
        return s->local.size ? -EINVAL : ping_name_locked(s, &n);
    n.port = s->protocol;
    inet_name_format(s, &n, &s->local);
    return 0;
}

static int ping_autobind(struct socket *s)
{
    struct inet_name n;
    LOCK_GUARD(&g_net_lock);
    inet_name_local(s, &n);
    return s->kind & K_PING && !n.port ? ping_name_locked(s, &n) : 0;
}

int raw_connect(struct task *t, struct socket *s, const struct net_addr *a)
{
    int err = inet_reachable_addr(s, a);
    if (!err)
        err = ping_autobind(s);
    if (err)
        return err;
    LOCK_GUARD(&g_net_lock);
    struct inet_name to;
    (void)inet_name_parse(s, a, &to);
    inet_to_local(&to, s);
    inet_name_format(s, &to, &s->remote);
    s->state = SOCK_CONNECTED;
    return 0;
}

/* ---- making packets
 * ------------------------------------------------------------------------ */

static uint32_t sum_add(uint32_t sum, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    return size & 1 ? sum + ((uint32_t)p[size - 1] << 8) : sum;
}

static uint16_t sum_end(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons(~sum);
}

static uint16_t icmp_sum(const struct wire *w, const void *data, size_t size)
{
    uint32_t sum = 0;
    if (w->protocol == IPPROTO_ICMPV6) {
        sum = sum_add(sum, &w->from, sizeof(w->from));
        sum = sum_add(sum, &w->to, sizeof(w->to));
        sum += size + IPPROTO_ICMPV6;
    }
    return sum_end(sum_add(sum, data, size));
}

static size_t header_make(const struct wire *w, uint8_t out[40])
{
    memset(out, 0, 40);
    if (inet_ip_is_v4(&w->to)) {
        struct iphdr h = {.version = 4,
                          .ihl = 5,
                          .tos = w->tos,
                          .ttl = w->ttl,
                          .tot_len = htons(sizeof(h) + w->size),
                          .id = w->id,
                          .protocol = w->protocol};
        memcpy(&h.saddr, &w->from.s6_addr[12], 4);
        memcpy(&h.daddr, &w->to.s6_addr[12], 4);
        h.check = sum_end(sum_add(0, &h, sizeof(h)));
        memcpy(out, &h, sizeof(h));
        return sizeof(h);
    }
    out[0] = 0x60 | w->tos >> 4;
    out[1] = w->tos << 4;
    out[4] = w->size >> 8;
    out[5] = w->size;
    out[6] = w->protocol;
    out[7] = w->ttl;
    memcpy(out + 8, &w->from, 16);
    memcpy(out + 24, &w->to, 16);
    return 40;
}

static struct packet *packet_make(const struct wire *w, bool with_header)
{
    uint8_t head[40];
    size_t n = with_header ? header_make(w, head) : 0;
    struct packet *p = packet_new(n + w->size);
    if (!p)
        return NULL;
    memcpy(p->data, head, n);
    memcpy(p->data + n, w->data, w->size);
    p->meta = (struct packet_meta){.to = w->to, .ttl = w->ttl, .tos = w->tos, .inet = true};
    return p;
}

/* ---- delivery
 * ------------------------------------------------------------------------ */

static bool names_match(struct socket *o, const struct wire *w)
{
    struct inet_name n;
    if (o->net != w->net)
        return false;
    inet_name_local(o, &n);
    if (!inet_ip_is_any(&n.ip) && !IN6_ARE_ADDR_EQUAL(&n.ip, &w->to) &&
        !inet_ip_is_multicast(&w->to))
        return false;
    inet_name_remote(o, &n);
    return !o->remote.size || IN6_ARE_ADDR_EQUAL(&n.ip, &w->from);
}

static bool ping_wants(struct socket *o, const struct wire *w)
{
    struct inet_name n;
    const uint8_t *icmp = w->data;
    bool v4 = w->protocol == IPPROTO_ICMP;
    if (w->protocol != o->protocol || w->size < 8)
        return false;
    if (icmp[0] != (v4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY))
        return false;
    inet_name_local(o, &n);
    return n.port == (icmp[4] << 8 | icmp[5]);
}

/* ICMP6_FILTER: a bit for each type that is not wanted; NULL: all are. */
static const uint32_t *s6_filter(const struct socket *o)
{
    return o->priv;
}

static bool raw_wants(struct socket *o, const struct wire *w)
{
    const uint8_t *icmp = w->data;
    if (o->protocol != w->protocol || (o->domain == AF_INET) != inet_ip_is_v4(&w->to))
        return false;
    if (w->protocol == IPPROTO_ICMP && w->size && icmp[0] < 32 &&
        (uint32_t)o->opt[OPT_ICMP_FILTER] >> icmp[0] & 1)
        return false;
    const uint32_t *blocked = s6_filter(o);
    if (w->protocol == IPPROTO_ICMPV6 && blocked && w->size)
        return !(blocked[icmp[0] >> 5] >> (icmp[0] & 31) & 1);
    return true;
}

/* The next socket from index on that hears w: counted, with *index behind it. */
static struct socket *next_hearer(const struct wire *w, unsigned *index)
{
    unsigned i = 0;
    struct socket *o;
    LOCK_GUARD(&g_net_lock);
    list_for_each(o, &g_raw, name_node)
    {
        if (i++ < *index || !names_match(o, w) ||
            !(o->kind & K_PING ? ping_wants(o, w) : raw_wants(o, w)))
            continue;
        *index = i;
        socket_get(o);
        return o;
    }
    return NULL;
}

static void hand_over(struct socket *o, const struct wire *w)
{
    struct packet *p = packet_make(w, o->kind & K_RAW && o->domain == AF_INET);
    struct inet_name from = {.ip = w->from};
    if (!p)
        return;
    inet_name_format(o, &from, &p->from);
    lock_acquire(&g_net_lock);
    size_t keep = filter_run(o, p, NULL, 0);
    bool pass = !o->filter || keep;
    p->size = MIN(keep, p->size);
    lock_release(&g_net_lock);
    if (pass)
        (void)dgram_queue(o, p);
    else
        packet_free(p);
}

static void show_packet_sockets(const struct wire *w)
{
    uint8_t head[40];
    size_t n = header_make(w, head);
    uint8_t *all = packet_sockets_wanted() ? malloc(n + w->size) : NULL;
    if (!all)
        return;
    memcpy(all, head, n);
    memcpy(all + n, w->data, w->size);
    packet_sockets_see(w->net, all, n + w->size, !inet_ip_is_v4(&w->to));
    free(all);
}

static void wire_deliver(const struct wire *w)
{
    unsigned index = 0;
    struct socket *o;
    show_packet_sockets(w);
    while ((o = next_hearer(w, &index))) {
        hand_over(o, w);
        socket_put(o);
    }
}

/* The kernel's own answer to an echo request. */
static void answer_echo(const struct wire *w)
{
    const uint8_t *ask = w->data;
    bool v4 = w->protocol == IPPROTO_ICMP;
    if ((!v4 && w->protocol != IPPROTO_ICMPV6) || w->size < 8 ||
        ask[0] != (v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST) || !inet_ip_is_local(&w->to))
        return;
    if (icmp_sum(w, w->data, w->size))
        return;
    uint8_t *reply = malloc(w->size);
    if (!reply)
        return;
    memcpy(reply, ask, w->size);
    reply[0] = v4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;
    reply[2] = reply[3] = 0;
    struct wire back = {.net = w->net,
                        .from = w->to,
                        .to = w->from,
                        .protocol = w->protocol,
                        .tos = w->tos,
                        .ttl = net_knob(NET_DEFAULT_TTL),
                        .data = reply,
                        .size = w->size};
    uint16_t sum = icmp_sum(&back, reply, w->size);
    memcpy(reply + 2, &sum, 2);
    wire_deliver(&back);
    free(reply);
}

void raw_see_udp(struct socket *from, const struct inet_name *src, const struct inet_name *dst,
                 const struct packet *p)
{
    size_t size = sizeof(struct udphdr) + p->size;
    uint8_t *data = malloc(size);
    if (!data)
        return;
    struct inet_name own;
    inet_name_local(from, &own);
    struct udphdr h = {.uh_sport = htons(src->port ? src->port : own.port),
                       .uh_dport = htons(dst->port),
                       .uh_ulen = htons(size)};
    memcpy(data, &h, sizeof(h));
    memcpy(data + sizeof(h), p->data, p->size);
    struct wire w = {.net = from->net,
                     .from = src->ip,
                     .to = dst->ip,
                     .protocol = from->protocol,
                     .ttl = p->meta.ttl,
                     .tos = p->meta.tos,
                     .data = data,
                     .size = size};
    wire_deliver(&w);
    free(data);
}

/* ---- send
 * ------------------------------------------------------------------------ */

static int destination(struct socket *s, struct net_msg *m, struct inet_name *to)
{
    struct net_addr a = {.size = m->addr_size};
    if (m->addr_size)
        memcpy(&a.ss, &m->addr, sizeof(a.ss));
    else
        a = s->remote;
    if (!a.size)
        return -EDESTADDRREQ;
    if (a.ss.ss_family == AF_UNSPEC && s->domain == AF_INET)
        a.ss.ss_family = AF_INET;
    int err = inet_name_parse(s, &a, to);
    if (err)
        return err;
    inet_to_local(to, s);
    return inet_reachable(s, to);
}

/* IP_HDRINCL: the caller's own header says it all. */
static int take_header(struct wire *w, const uint8_t *data, size_t size)
{
    struct iphdr h;
    if (size < sizeof(h))
        return -EINVAL;
    memcpy(&h, data, sizeof(h));
    if (h.ihl < 5 || h.ihl * 4u > size)
        return -EINVAL;
    inet_map_v4(&w->to, h.daddr);
    if (h.saddr)
        inet_map_v4(&w->from, h.saddr);
    w->protocol = h.protocol;
    w->ttl = h.ttl;
    w->tos = h.tos;
    w->id = h.id;
    w->data = data + h.ihl * 4;
    w->size = size - h.ihl * 4;
    return 0;
}

/* A ping socket sends echo requests of its own id and nothing else. */
static int ping_check(struct socket *s, uint8_t *data, size_t size)
{
    struct inet_name n;
    bool v4 = s->domain == AF_INET;
    if (size < 8)
        return -EINVAL;
    if (data[0] != (v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST) || data[1])
        return -EINVAL;
    int err = ping_autobind(s);
    inet_name_local(s, &n);
    data[4] = n.port >> 8;
    data[5] = n.port;
    return err;
}

static void checksum(struct socket *s, const struct wire *w, uint8_t *data)
{
    bool ours = s->kind & K_PING || s->protocol == IPPROTO_ICMPV6;
    if (!ours || w->size < 4)
        return;
    data[2] = data[3] = 0;
    uint16_t sum = icmp_sum(w, data, w->size);
    memcpy(data + 2, &sum, 2);
}

static int send_bytes(struct socket *s, struct net_msg *m, const struct inet_name *to,
                      uint8_t *data, size_t size)
{
    struct inet_name own;
    bool v4 = inet_ip_is_v4(&to->ip);
    inet_name_local(s, &own);
    if (m->tx.has_source)
        memcpy(&own.ip, m->tx.source, sizeof(own.ip));
    int ttl = m->tx.ttl >= 0 ? m->tx.ttl : v4 ? s->opt[OPT_TTL] : s->opt[OPT_HOPS];
    struct wire w = {.net = s->net,
                     .from = inet_ip_is_any(&own.ip) ? to->ip : own.ip,
                     .to = to->ip,
                     .protocol = s->protocol,
                     .ttl = ttl < 0 ? 64 : ttl,
                     .tos = m->tx.tos >= 0 ? m->tx.tos : s->opt[v4 ? OPT_TOS : OPT_TCLASS],
                     .data = data,
                     .size = size};
    int err = 0;
    if (s->kind & K_RAW && v4 && s->opt[OPT_HDRINCL])
        err = take_header(&w, data, size);
    else if (s->kind & K_PING)
        err = ping_check(s, data, size);
    if (err)
        return err;
    if (!(s->kind & K_RAW && s->opt[OPT_HDRINCL]))
        checksum(s, &w, data);
    wire_deliver(&w);
    answer_echo(&w);
    return 0;
}

int64_t raw_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    struct inet_name to;
    size_t size = m->uio->remaining;
    if (size > IP_MAX - (s->opt[OPT_HDRINCL] || s->domain == AF_INET6 ? 0 : 20))
        return -EMSGSIZE;
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    int err = destination(s, m, &to);
    if (!err)
        err = socket_take_error(s);
    if (err)
        return err;
    uint8_t *data = malloc(size + 1);
    if (!data)
        return -ENOBUFS;
    err = uio_from_user(m->uio, data, size) < size ? -EFAULT : send_bytes(s, m, &to, data, size);
    free(data);
    return err ? err : (int64_t)size;
}
