/* AF_PACKET on the loopback interface: packet(7). A packet socket sees what raw.c makes: the
 * packets of raw sockets, of UDP, and echo replies. What it sends itself goes nowhere but to other
 * packet sockets. No rings (PACKET_RX_RING is refused), no fanout. */
#include "base/overflow.h"
#include "net/iface_priv.h"
#include "net/net_priv.h"

#include <errno.h>
#define ARPHRD_LOOPBACK 772
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>

static struct list g_packets = LIST_INIT(g_packets); /* lock: g_net_lock; socket.name_node */
static unsigned g_packet_count;                      /* atomic */

struct packet_state {  /* socket.priv; lock: g_net_lock */
    uint16_t protocol; /* network order; 0: hears nothing */
    int ifindex;
    uint32_t received, dropped;
};

bool packet_sockets_wanted(void)
{
    return __atomic_load_n(&g_packet_count, __ATOMIC_RELAXED) != 0;
}

static int packet_init(struct task *t, struct socket *s)
{
    if (!net_capable(t, CAP_NET_RAW) || hostnet_family(AF_INET, SOCK_DGRAM, 0))
        return -EPERM; /* with the host's network the sentry would need the right outside */
    if (s->type != SOCK_DGRAM && s->type != SOCK_RAW && s->type != SOCK_PACKET)
        return -ESOCKTNOSUPPORT;
    struct packet_state *st = calloc(1, sizeof(*st));
    if (!st)
        return -ENOMEM;
    s->priv = st;
    s->kind = K_PACKET;
    st->protocol = s->protocol;
    LOCK_GUARD(&g_net_lock);
    list_push_back(&g_packets, &s->name_node);
    s->named = true;
    __atomic_add_fetch(&g_packet_count, 1, __ATOMIC_RELAXED);
    return 0;
}

static void packet_release(struct socket *s)
{
    list_del(&s->name_node);
    __atomic_sub_fetch(&g_packet_count, 1, __ATOMIC_RELAXED);
}

static int packet_bind(struct task *t, struct socket *s, const struct net_addr *a)
{
    struct packet_state *st = s->priv;
    const struct sockaddr_ll *ll = (const void *)&a->ss;
    if (s->type == SOCK_PACKET) {
        if (a->size != sizeof(struct sockaddr))
            return -EINVAL;
        return !strncmp(((const struct sockaddr *)&a->ss)->sa_data, "lo", 3) ? 0 : -ENODEV;
    }
    if (a->size < sizeof(*ll) || ll->sll_family != AF_PACKET)
        return -EINVAL;
    if (ll->sll_ifindex && ll->sll_ifindex != IFACE_INDEX)
        return -ENODEV;
    LOCK_GUARD(&g_net_lock);
    st->ifindex = ll->sll_ifindex;
    if (ll->sll_protocol)
        st->protocol = ll->sll_protocol;
    return 0;
}

static int packet_name(struct socket *s, bool peer, struct net_addr *out)
{
    struct packet_state *st = s->priv;
    struct sockaddr_ll ll = {
        .sll_family = AF_PACKET, .sll_protocol = st->protocol, .sll_ifindex = st->ifindex};
    if (peer)
        return -EOPNOTSUPP;
    if (st->ifindex) {
        ll.sll_hatype = ARPHRD_LOOPBACK;
        ll.sll_halen = 6;
    }
    memset(out, 0, sizeof(*out));
    memcpy(&out->ss, &ll, sizeof(ll));
    out->size = offsetof(struct sockaddr_ll, sll_addr) + ll.sll_halen;
    return 0;
}

static int packet_connect(struct task *t, struct socket *s, struct file *f,
                          const struct net_addr *a)
{
    return -EOPNOTSUPP;
}

/* ---- seeing
 * ------------------------------------------------------------------------ */

static struct packet *frame(struct socket *o, const void *ip, size_t size, uint16_t protocol,
                            int kind)
{
    size_t head = o->type == SOCK_DGRAM ? 0 : ETH_HLEN;
    struct packet *p = packet_new(head + size);
    if (!p)
        return NULL;
    memset(p->data, 0, head);
    if (head)
        memcpy(p->data + ETH_HLEN - 2, &protocol, 2);
    memcpy(p->data + head, ip, size);
    struct sockaddr_ll from = {.sll_family = AF_PACKET,
                               .sll_protocol = protocol,
                               .sll_ifindex = IFACE_INDEX,
                               .sll_hatype = ARPHRD_LOOPBACK,
                               .sll_pkttype = kind,
                               .sll_halen = 6};
    memcpy(&p->from.ss, &from, sizeof(from));
    p->from.size = sizeof(from);
    p->meta.kind = kind;
    return p;
}

static struct socket *next_socket(struct netns *net, unsigned *index, uint16_t protocol)
{
    unsigned i = 0;
    struct socket *o;
    LOCK_GUARD(&g_net_lock);
    list_for_each(o, &g_packets, name_node)
    {
        struct packet_state *st = o->priv;
        if (i++ < *index || o->net != net ||
            (st->protocol != protocol && st->protocol != htons(ETH_P_ALL)))
            continue;
        *index = i;
        socket_get(o);
        return o;
    }
    return NULL;
}

static void show(struct socket *o, const void *ip, size_t size, uint16_t protocol, int kind)
{
    struct packet_state *st = o->priv;
    if (kind == PACKET_OUTGOING &&
        (st->protocol != htons(ETH_P_ALL) || o->opt[OPT_PACKET_IGNORE_OUTGOING]))
        return;
    struct packet *p = frame(o, ip, size, protocol, kind);
    if (!p)
        return;
    lock_acquire(&g_net_lock);
    size_t keep = filter_run(o, p, NULL, 0);
    bool pass = !o->filter || keep;
    p->size = MIN(keep, p->size);
    st->received += pass;
    lock_release(&g_net_lock);
    if (!pass)
        packet_free(p);
    else if (dgram_queue(o, p))
        __atomic_add_fetch(&st->dropped, 1, __ATOMIC_RELAXED);
}

/* On the loopback each packet goes out and comes in. */
void packet_sockets_see(struct netns *net, const void *ip, size_t size, bool v6)
{
    uint16_t protocol = htons(v6 ? ETH_P_IPV6 : ETH_P_IP);
    static const int kinds[] = {PACKET_OUTGOING, PACKET_HOST};
    for (unsigned k = 0; k < ARRAY_COUNT(kinds); k++) {
        unsigned index = 0;
        struct socket *o;
        while ((o = next_socket(net, &index, protocol))) {
            show(o, ip, size, protocol, kinds[k]);
            socket_put(o);
        }
    }
}

/* ---- sending
 * ------------------------------------------------------------------------ */

static int target(struct socket *s, struct net_msg *m, uint16_t *protocol)
{
    struct packet_state *st = s->priv;
    struct sockaddr_ll ll = {.sll_ifindex = st->ifindex, .sll_protocol = st->protocol};
    if (m->addr_size) {
        if (m->addr_size < offsetof(struct sockaddr_ll, sll_addr))
            return -EINVAL;
        memcpy(&ll, &m->addr, MIN(m->addr_size, (unsigned)sizeof(ll)));
    }
    if (ll.sll_ifindex != IFACE_INDEX)
        return -ENXIO;
    *protocol = ll.sll_protocol;
    return iface_is_up(s->net) ? 0 : -ENETDOWN;
}

static int64_t packet_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    uint16_t protocol;
    size_t size = m->uio->remaining, head = s->type == SOCK_DGRAM ? 0 : ETH_HLEN;
    int err = target(s, m, &protocol);
    if (err)
        return err;
    if (size < head)
        return -EINVAL;
    if (size - head > 65536)
        return -EMSGSIZE;
    uint8_t *data = malloc(size + 1);
    if (!data)
        return -ENOBUFS;
    if (uio_from_user(m->uio, data, size) < size) {
        free(data);
        return -EFAULT;
    }
    if (head)
        memcpy(&protocol, data + ETH_HLEN - 2, 2);
    if (protocol == htons(ETH_P_IP) || protocol == htons(ETH_P_IPV6))
        packet_sockets_see(s->net, data + head, size - head, protocol == htons(ETH_P_IPV6));
    free(data);
    return size;
}

/* ---- options
 * ------------------------------------------------------------------------ */

static int packet_setopt(struct task *t, struct socket *s, int level, int name,
                         const struct opt_in *in)
{
    struct packet_mreq r = {0};
    switch (name) {
    case PACKET_ADD_MEMBERSHIP:
    case PACKET_DROP_MEMBERSHIP:
        if (in->size < sizeof(r))
            return -EINVAL;
        if (in->fault)
            return -EFAULT;
        memcpy(&r, in->value, sizeof(r));
        return r.mr_ifindex == IFACE_INDEX ? 0 : -ENODEV;
    case PACKET_RX_RING:
    case PACKET_TX_RING:
    case PACKET_FANOUT:
        return -EINVAL;
    }
    return -ENOPROTOOPT;
}

static int packet_getopt(struct task *t, struct socket *s, int level, int name, void *v,
                         unsigned *size)
{
    struct packet_state *st = s->priv;
    if (name == PACKET_STATISTICS) {
        LOCK_GUARD(&g_net_lock);
        struct tpacket_stats stats = {.tp_packets = st->received + st->dropped,
                                      .tp_drops = st->dropped};
        st->received = st->dropped = 0;
        return opt_give(v, size, &stats, sizeof(stats));
    }
    if (name == PACKET_HDRLEN)
        return opt_give_int(v, size, sizeof(struct tpacket_hdr));
    return -ENOPROTOOPT;
}

const struct family g_family_packet = {
    .domain = AF_PACKET,
    .init = packet_init,
    .bind = packet_bind,
    .release = packet_release,
    .connect = packet_connect,
    .name = packet_name,
    .send = packet_send,
    .setopt = packet_setopt,
    .getopt = packet_getopt,
    .drops_when_full = true,
};
