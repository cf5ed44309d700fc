/* UDP and UDP-Lite: udp(7). A datagram goes to the one bound socket that fits best; one to a group
 * or to the broadcast address to everybody who hears it. Pieces of UDP_SEGMENT go one by one, and
 * what MSG_MORE or UDP_CORK holds back goes as one. */
#include "base/overflow.h"
#include "net/net_priv.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define UDP_MAX_V4       65507
#define UDP_MAX_V6       65527
#define UDP_MAX_SEGMENTS 128

struct udp_header {
    uint16_t from, to, size, sum;
};

/* ---- one datagram out
 * ------------------------------------------------------------------------ */

static void fill_meta(struct socket *s, struct net_msg *m, const struct inet_name *to,
                      struct packet *p)
{
    bool v4 = inet_ip_is_v4(&to->ip), group = inet_ip_is_multicast(&to->ip);
    int hops = v4 ? s->opt[group ? OPT_MULTICAST_TTL : OPT_TTL]
                  : s->opt[group ? OPT_MULTICAST_HOPS : OPT_HOPS];
    int tos = v4 ? s->opt[OPT_TOS] : s->opt[OPT_TCLASS];
    if (m->tx.ttl >= 0)
        hops = m->tx.ttl;
    if (m->tx.tos >= 0)
        tos = m->tx.tos;
    p->meta = (struct packet_meta){
        .to = to->ip,
        .to_port = to->port,
        .ttl = hops < 0 ? net_knob(NET_DEFAULT_TTL) : hops,
        .tos = tos,
        .kind = group                           ? PACKET_MULTICAST
                : inet_ip_is_broadcast(&to->ip) ? PACKET_BROADCAST
                                                : PACKET_HOST,
        .mark = m->tx.has_mark ? m->tx.mark : (uint32_t)s->opt[OPT_MARK],
        .inet = true,
    };
}

static void source_of(struct socket *s, const struct net_msg *m, const struct inet_name *to,
                      struct inet_name *out)
{
    inet_name_local(s, out);
    if (m->tx.has_source)
        memcpy(&out->ip, m->tx.source, sizeof(out->ip));
    if (!inet_ip_is_any(&out->ip) && !inet_ip_is_multicast(&out->ip))
        return;
    if (inet_ip_is_local(&to->ip) && !inet_ip_is_broadcast(&to->ip))
        out->ip = to->ip;
    else if (inet_ip_is_v4(&to->ip))
        inet_map_v4(&out->ip, htonl(INADDR_LOOPBACK));
    else
        out->ip = in6addr_loopback;
}

static bool filter_passes(struct socket *o, struct packet *p)
{
    struct udp_header h = {.to = htons(p->meta.to_port), .size = htons(p->size + sizeof(h))};
    if (!o->filter)
        return true;
    size_t keep = filter_run(o, p, &h, sizeof(h));
    if (keep <= sizeof(h))
        return false;
    p->size = MIN(p->size, keep - sizeof(h));
    return true;
}

static void deliver_to(struct socket *o, const struct inet_name *from, struct packet *p)
{
    lock_acquire(&g_net_lock);
    inet_name_format(o, from, &p->from);
    bool pass = filter_passes(o, p) && !(o->shut_read && 0);
    int min = inet_ip_is_v4(&p->meta.to) ? o->opt[OPT_MINTTL] : o->opt[OPT_MINHOPCOUNT];
    pass = pass && p->meta.ttl >= min;
    lock_release(&g_net_lock);
    if (pass)
        (void)dgram_queue(o, p);
    else
        packet_free(p);
}

static struct packet *packet_copy(const struct packet *p)
{
    struct packet *c = packet_new(p->size);
    if (!c)
        return NULL;
    memcpy(c->data, p->data, p->size);
    c->creds = p->creds;
    c->stamp = p->stamp;
    c->meta = p->meta;
    return c;
}

struct hearers {
    struct socket *list[256]; /* counted */
    unsigned count;
};

static void hearer_add(struct socket *o, void *arg)
{
    struct hearers *h = arg;
    if (h->count == ARRAY_COUNT(h->list))
        return;
    socket_get(o);
    h->list[h->count++] = o;
}

static int send_many(struct socket *s, const struct inet_name *from, const struct inet_name *to,
                     struct packet *p)
{
    struct hearers *h = malloc(sizeof(*h));
    if (!h) {
        packet_free(p);
        return -ENOBUFS;
    }
    h->count = 0;
    lock_acquire(&g_net_lock);
    inet_for_each_hearer_locked(s, to, hearer_add, h);
    lock_release(&g_net_lock);
    for (unsigned i = 0; i < h->count; i++) {
        struct packet *c = packet_copy(p);
        if (c)
            deliver_to(h->list[i], from, c);
        socket_put(h->list[i]);
    }
    free(h);
    packet_free(p);
    return 0;
}

static bool is_many(const struct inet_name *to)
{
    return inet_ip_is_multicast(&to->ip) || inet_ip_is_broadcast(&to->ip);
}

/* p is consumed. */
static int send_packet(struct task *t, struct socket *s, struct net_msg *m,
                       const struct inet_name *to, struct packet *p)
{
    struct inet_name from;
    struct socket *dest;
    struct net_addr a;
    fill_meta(s, m, to, p);
    source_of(s, m, to, &from);
    errqueue_tx_stamp(s, m, p);
    if (raw_wanted())
        raw_see_udp(s, &from, to, p);
    if (is_many(to))
        return send_many(s, &from, to, p);
    inet_name_format(s, to, &a);
    int err = s->family->find(t, s, &a, &dest);
    if (err == -ECONNREFUSED) {
        errqueue_port_unreachable(s, &a, m, p);
        packet_free(p);
        return 0;
    }
    if (err) {
        packet_free(p);
        return err;
    }
    deliver_to(dest, &from, p);
    socket_put(dest);
    return 0;
}

/* ---- holding back
 * ------------------------------------------------------------------------ */

static int cork_append(struct task *t, struct socket *s, struct net_msg *m,
                       const struct inet_name *to)
{
    struct packet *p, *old;
    int64_t n = packet_fill(t, s, m, m->uio->remaining, &p);
    if (n < 0)
        return n;
    fill_meta(s, m, to, p);
    lock_acquire(&g_net_lock);
    old = s->corked;
    s->corked = old ? NULL : p;
    lock_release(&g_net_lock);
    if (!old)
        return 0;
    struct packet *both = old->size + p->size > UDP_MAX_V4 ? NULL : packet_new(old->size + p->size);
    if (both) {
        memcpy(both->data, old->data, old->size);
        memcpy(both->data + old->size, p->data, p->size);
        both->meta = old->meta;
        both->creds = old->creds;
    }
    int err = both ? 0 : old->size + p->size > UDP_MAX_V4 ? -EMSGSIZE : -ENOBUFS;
    packet_free(old);
    packet_free(p);
    lock_acquire(&g_net_lock);
    old = s->corked;
    s->corked = both;
    lock_release(&g_net_lock);
    packet_free(old);
    return err;
}

int dgram_uncork(struct task *t, struct socket *s)
{
    lock_acquire(&g_net_lock);
    struct packet *p = s->corked;
    s->corked = NULL;
    lock_release(&g_net_lock);
    if (!p || !t) {
        packet_free(p);
        return 0;
    }
    struct inet_name to = {.ip = p->meta.to, .port = p->meta.to_port};
    struct net_msg m;
    net_msg_init(&m, NULL, 0);
    return send_packet(t, s, &m, &to, p);
}

/* ---- send
 * ------------------------------------------------------------------------ */

static int send_segments(struct task *t, struct socket *s, struct net_msg *m,
                         const struct inet_name *to, unsigned gso)
{
    if (m->uio->remaining > (uint64_t)gso * UDP_MAX_SEGMENTS)
        return -EINVAL;
    do {
        struct packet *p;
        int64_t n = packet_fill(t, s, m, MIN(m->uio->remaining, (uint64_t)gso), &p);
        int err = n < 0 ? n : send_packet(t, s, m, to, p);
        if (err)
            return err;
    } while (m->uio->remaining);
    return 0;
}

/* Where to: the address given, else the association. */
static int destination(struct socket *s, struct net_msg *m, struct inet_name *to)
{
    struct net_addr a = {.size = m->addr_size};
    int err = 0;
    if (m->addr_size) {
        memcpy(&a.ss, &m->addr, sizeof(a.ss));
        if (a.ss.ss_family == AF_UNSPEC && s->domain == AF_INET)
            a.ss.ss_family = AF_INET;
    } else {
        LOCK_GUARD(&g_net_lock);
        a = s->remote;
    }
    if (!a.size)
        return -EDESTADDRREQ;
    err = inet_name_parse(s, &a, to);
    if (err == -EINVAL && a.size >= sizeof(struct sockaddr_in) && s->domain == AF_INET6 &&
        s->opt[OPT_V6ONLY] && a.ss.ss_family == AF_INET)
        err = -ENETUNREACH;
    if (!err && !to->port)
        err = -EINVAL;
    if (err)
        return err;
    inet_to_local(to, s);
    return inet_reachable(s, to);
}

static int check_size(struct net_msg *m, const struct inet_name *to, unsigned gso)
{
    size_t size = m->uio->remaining, max = inet_ip_is_v4(&to->ip) ? UDP_MAX_V4 : UDP_MAX_V6;
    return size > max || gso > max ? -EMSGSIZE : 0;
}

int64_t udp_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    struct inet_name to;
    size_t size = m->uio->remaining;
    unsigned gso = m->tx.has_gso ? m->tx.gso : (unsigned)s->opt[OPT_UDP_SEGMENT];
    if (size > 0xffff)
        return -EMSGSIZE;
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    int err = destination(s, m, &to);
    if (!err)
        err = socket_take_error(s);
    if (!err && s->shut_write)
        err = -EPIPE;
    if (!err)
        err = check_size(m, &to, gso);
    if (!err)
        err = s->family->autobind(t, s);
    if (err)
        return err;
    struct packet *p;
    bool hold = s->corked || (m->flags & MSG_MORE) || s->opt[OPT_UDP_CORK];
    if (hold) {
        err = cork_append(t, s, m, &to);
        if (!err && !(m->flags & MSG_MORE) && !s->opt[OPT_UDP_CORK])
            err = dgram_uncork(t, s);
    } else if (gso && size > gso) {
        err = send_segments(t, s, m, &to, gso);
    } else {
        int64_t n = packet_fill(t, s, m, size, &p);
        err = n < 0 ? n : send_packet(t, s, m, &to, p);
    }
    if (!err && (m->flags & MSG_ZEROCOPY) && s->opt[OPT_ZEROCOPY])
        errqueue_zerocopy(s);
    return err ? err : (int64_t)size;
}
