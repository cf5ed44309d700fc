/* MSG_ERRQUEUE: ip(7) IP_RECVERR, and the kernel's notices of MSG_ZEROCOPY and of the time of
 * sending. An entry is a packet whose data is what was sent, and an extended error in front. */
#include "base/overflow.h"
#include "net/net_priv.h"
#include "time/time.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/net_tstamp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define ERRQUEUE_MAX 256

/* data of a queued packet: the error, then the bytes of the packet it is about. */
struct entry {
    struct sock_extended_err e;
    int64_t sent; /* the time that is told, 0: none */
};

static struct packet *entry_new(const struct entry *e, const void *data, size_t size)
{
    struct packet *p = packet_new(sizeof(*e) + size);
    if (!p)
        return NULL;
    memcpy(p->data, e, sizeof(*e));
    if (size)
        memcpy(p->data + sizeof(*e), data, size);
    return p;
}

static unsigned queue_length(struct socket *s)
{
    unsigned n = 0;
    struct packet *p;
    list_for_each(p, &s->errq, node) n++;
    return n;
}

static void entry_add(struct socket *s, struct packet *p)
{
    lock_acquire(&g_net_lock);
    bool room = queue_length(s) < ERRQUEUE_MAX;
    if (room)
        list_push_back(&s->errq, &p->node);
    lock_release(&g_net_lock);
    if (room)
        waitq_wake(&s->wq, POLLERR | POLLPRI);
    else
        packet_free(p);
}

void errqueue_port_unreachable(struct socket *s, const struct net_addr *to, struct net_msg *m,
                               struct packet *p)
{
    bool v6 = to->ss.ss_family == AF_INET6 && !inet_ip_is_v4(&p->meta.to);
    bool wanted = s->domain == AF_INET ? s->opt[OPT_IP_RECVERR]
                                       : s->opt[OPT_RECVERR6] || s->opt[OPT_IP_RECVERR];
    lock_acquire(&g_net_lock);
    if (wanted || s->state == SOCK_CONNECTED)
        s->error = ECONNREFUSED;
    lock_release(&g_net_lock);
    waitq_wake(&s->wq, POLLERR);
    if (!wanted)
        return;
    struct entry e = {.e = {.ee_errno = ECONNREFUSED,
                            .ee_origin = v6 ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP,
                            .ee_type = v6 ? 1 : ICMP_DEST_UNREACH,
                            .ee_code = v6 ? 4 : ICMP_PORT_UNREACH}};
    struct packet *q = entry_new(&e, p->data, p->size);
    if (!q)
        return;
    q->from = *to;
    q->meta = p->meta;
    entry_add(s, q);
}

/* Sends were copied: their completion is there at once, and neighbours are told as one range. */
void errqueue_zerocopy(struct socket *s)
{
    struct entry e = {
        .e = {.ee_origin = SO_EE_ORIGIN_ZEROCOPY, .ee_code = SO_EE_CODE_ZEROCOPY_COPIED}};
    lock_acquire(&g_net_lock);
    uint32_t id = s->zerocopy_next++;
    struct packet *last = list_last(&s->errq, struct packet, node);
    struct entry old;
    bool merged = false;
    if (last) {
        memcpy(&old, last->data, sizeof(old));
        merged = old.e.ee_origin == SO_EE_ORIGIN_ZEROCOPY && old.e.ee_data + 1 == id;
        if (merged) {
            old.e.ee_data = id;
            memcpy(last->data, &old, sizeof(old));
        }
    }
    lock_release(&g_net_lock);
    e.e.ee_info = e.e.ee_data = id;
    struct packet *p = merged ? NULL : entry_new(&e, NULL, 0);
    if (p)
        entry_add(s, p);
}

/* SOF_TIMESTAMPING_TX_SOFTWARE: the time at which it went out, with what went out. */
void errqueue_tx_stamp(struct socket *s, struct net_msg *m, struct packet *p)
{
    unsigned flags = s->opt[OPT_TIMESTAMPING];
    unsigned kinds = m->tx.has_stamping ? m->tx.stamping : flags;
    static const struct {
        unsigned flag;
        int info;
    } steps[] = {{SOF_TIMESTAMPING_TX_SCHED, SCM_TSTAMP_SCHED},
                 {SOF_TIMESTAMPING_TX_SOFTWARE, SCM_TSTAMP_SND},
                 {SOF_TIMESTAMPING_TX_ACK, SCM_TSTAMP_ACK}};
    if (!(flags & SOF_TIMESTAMPING_SOFTWARE) || !kinds)
        return;
    uint32_t id = 0;
    if (flags & SOF_TIMESTAMPING_OPT_ID) {
        LOCK_GUARD(&g_net_lock);
        id = s->kind & K_TCP ? s->stamp_next + p->size - 1 : s->stamp_next;
        s->stamp_next += s->kind & K_TCP ? p->size : 1;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(steps); i++) {
        if (!(kinds & steps[i].flag) || (i == 2 && !(s->kind & K_TCP)))
            continue;
        struct entry e = {.e = {.ee_errno = ENOMSG,
                                .ee_origin = SO_EE_ORIGIN_TIMESTAMPING,
                                .ee_info = steps[i].info,
                                .ee_data = id},
                          .sent = time_realtime()};
        bool bare = flags & SOF_TIMESTAMPING_OPT_TSONLY;
        struct packet *q = entry_new(&e, p->data, bare ? 0 : p->size);
        if (q)
            entry_add(s, q);
    }
}

static bool is_icmp(const struct packet *p)
{
    struct entry e;
    memcpy(&e, p->data, sizeof(e));
    return e.e.ee_origin == SO_EE_ORIGIN_ICMP || e.e.ee_origin == SO_EE_ORIGIN_ICMP6;
}

static struct packet *entry_take(struct socket *s)
{
    LOCK_GUARD(&g_net_lock);
    struct packet *p = list_first(&s->errq, struct packet, node);
    if (!p)
        return NULL;
    list_del(&p->node);
    struct packet *next = list_first(&s->errq, struct packet, node);
    if (is_icmp(p)) /* the next error, if it is one, is now pending */
        s->error = next && is_icmp(next) ? ECONNREFUSED : 0;
    return p;
}

static void tell(struct socket *s, struct net_msg *m, struct packet *p, const struct entry *e)
{
    bool v6 = s->domain == AF_INET6 && e->e.ee_origin != SO_EE_ORIGIN_ICMP;
    struct {
        struct sock_extended_err e;
        union {
            struct sockaddr_in in;
            struct sockaddr_in6 in6;
        } offender;
    } out = {.e = e->e};
    if (e->e.ee_origin == SO_EE_ORIGIN_ICMP) {
        out.offender.in.sin_family = AF_INET;
        out.offender.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (e->e.ee_origin == SO_EE_ORIGIN_ICMP6) {
        out.offender.in6.sin6_family = AF_INET6;
        out.offender.in6.sin6_addr = in6addr_loopback;
    }
    if (e->sent)
        net_control_stamps(s, m, e->sent, /*sent=*/true);
    net_control_put(m, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &out,
                    sizeof(out.e) + (v6 ? sizeof(out.offender.in6) : sizeof(out.offender.in)));
}

int64_t errqueue_recv(struct socket *s, struct net_msg *m)
{
    struct entry e;
    struct packet *p = entry_take(s);
    if (!p)
        return -EAGAIN;
    memcpy(&e, p->data, sizeof(e));
    size_t have = p->size - sizeof(e), want = MIN(have, m->uio->remaining);
    size_t n = uio_to_user(m->uio, p->data + sizeof(e), want);
    m->out_flags |= MSG_ERRQUEUE | (want < have ? MSG_TRUNC : 0);
    if (p->from.size) {
        memcpy(&m->addr, &p->from.ss, sizeof(m->addr));
        m->addr_size = p->from.size;
    }
    tell(s, m, p, &e);
    packet_free(p);
    return n < want ? -EFAULT : (int64_t)n;
}
