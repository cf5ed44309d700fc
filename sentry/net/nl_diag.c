/* NETLINK_SOCK_DIAG: sock_diag(7), what ss(8) asks. Dumps of TCP, UDP, raw and unix sockets. And
 * NETLINK_GENERIC, of which the controller is the only family. */
#include "base/overflow.h"
#include "net/iface_priv.h"
#include "net/netlink_priv.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stddef.h>
#include <string.h>

struct dump {
    struct nl_reply *r;
    int protocol;
    uint32_t states, show;
    uint32_t extensions;
};

static unsigned long inode_of(const struct socket *s)
{
    return s->file ? s->file->inode->ino : 0;
}

static int tcp_like_state(const struct socket *s)
{
    return s->kind & K_TCP ? stream_tcp_state(s) : s->state == SOCK_CONNECTED ? 1 : 7;
}

static void put_name(const struct net_addr *a, uint16_t *port, uint32_t ip[4])
{
    const struct sockaddr_in *in = (const void *)&a->ss;
    const struct sockaddr_in6 *in6 = (const void *)&a->ss;
    memset(ip, 0, 16);
    *port = 0;
    if (!a->size)
        return;
    if (a->ss.ss_family == AF_INET)
        ip[0] = in->sin_addr.s_addr;
    else
        memcpy(ip, &in6->sin6_addr, 16);
    *port = in->sin_port; /* at the same place in both */
}

static bool put_inet(struct socket *s, void *arg)
{
    struct dump *d = arg;
    size_t at;
    int state = tcp_like_state(s);
    if ((d->protocol && s->protocol != d->protocol && !(s->kind & K_RAW)) ||
        !(d->states >> state & 1))
        return true;
    nl_begin(d->r, SOCK_DIAG_BY_FAMILY, &at);
    struct inet_diag_msg m = {.idiag_family = s->domain,
                              .idiag_state = state,
                              .idiag_rqueue =
                                  s->state == SOCK_LISTENING ? s->accept_count : s->rx_bytes,
                              .idiag_wqueue = s->state == SOCK_LISTENING ? s->backlog : 0,
                              .idiag_uid = s->uid,
                              .idiag_inode = inode_of(s)};
    put_name(&s->local, &m.id.idiag_sport, m.id.idiag_src);
    put_name(&s->remote, &m.id.idiag_dport, m.id.idiag_dst);
    m.id.idiag_cookie[0] = s->cookie;
    m.id.idiag_cookie[1] = s->cookie >> 32;
    memcpy(nl_take(d->r, sizeof(m)), &m, sizeof(m));
    nl_attr(d->r, INET_DIAG_SHUTDOWN, &(uint8_t){s->shut_read | s->shut_write << 1}, 1);
    nl_end(d->r, at);
    return !d->r->failed;
}

static int inet_dump(const struct nl_request *q, struct nl_reply *r)
{
    struct inet_diag_req_v2 m;
    if (q->size < sizeof(m))
        return -EINVAL;
    memcpy(&m, q->body, sizeof(m));
    if ((q->h.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        return -ENOENT;
    if (m.sdiag_protocol != IPPROTO_TCP && m.sdiag_protocol != IPPROTO_UDP &&
        m.sdiag_protocol != IPPROTO_UDPLITE && m.sdiag_protocol != IPPROTO_RAW)
        return -ENOENT;
    struct dump d = {.r = r, .protocol = m.sdiag_protocol, .states = m.idiag_states};
    LOCK_GUARD(&g_net_lock);
    if (m.sdiag_protocol == IPPROTO_RAW)
        raw_for_each_locked(m.sdiag_family, put_inet, &d);
    else
        inet_for_each_locked(m.sdiag_family,
                             m.sdiag_protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM, put_inet,
                             &d);
    return 0;
}

static bool put_unix(struct socket *s, void *arg)
{
    struct dump *d = arg;
    size_t at, off = offsetof(struct sockaddr_un, sun_path);
    int state = s->state == SOCK_LISTENING ? 10 : s->state == SOCK_CONNECTED ? 1 : 7;
    if (!(d->states >> state & 1) || !s->file)
        return true;
    nl_begin(d->r, SOCK_DIAG_BY_FAMILY, &at);
    struct unix_diag_msg m = {.udiag_family = AF_UNIX,
                              .udiag_type = s->type,
                              .udiag_state = state,
                              .udiag_ino = inode_of(s)};
    m.udiag_cookie[0] = s->cookie;
    m.udiag_cookie[1] = s->cookie >> 32;
    memcpy(nl_take(d->r, sizeof(m)), &m, sizeof(m));
    const struct sockaddr_un *un = (const void *)&s->local.ss;
    if (s->local.size > off && d->show & UDIAG_SHOW_NAME)
        nl_attr(d->r, UNIX_DIAG_NAME, un->sun_path, s->local.size - off);
    if (s->peer && d->show & UDIAG_SHOW_PEER)
        nl_attr_u32(d->r, UNIX_DIAG_PEER, inode_of(s->peer));
    struct unix_diag_rqlen q = {.udiag_rqueue =
                                    s->state == SOCK_LISTENING ? s->accept_count : s->rx_bytes,
                                .udiag_wqueue = s->state == SOCK_LISTENING ? s->backlog : 0};
    if (d->show & UDIAG_SHOW_RQLEN)
        nl_attr(d->r, UNIX_DIAG_RQLEN, &q, sizeof(q));
    nl_attr(d->r, UNIX_DIAG_SHUTDOWN, &(uint8_t){s->shut_read | s->shut_write << 1}, 1);
    nl_end(d->r, at);
    return !d->r->failed;
}

static int unix_dump(const struct nl_request *q, struct nl_reply *r)
{
    struct unix_diag_req m;
    if (q->size < sizeof(m))
        return -EINVAL;
    memcpy(&m, q->body, sizeof(m));
    if ((q->h.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        return -ENOENT;
    struct dump d = {.r = r, .states = m.udiag_states, .show = m.udiag_show};
    LOCK_GUARD(&g_net_lock);
    unix_for_each_locked(put_unix, &d);
    return 0;
}

int nl_diag(const struct nl_request *q, struct nl_reply *r)
{
    if (q->h.nlmsg_type == SOCK_DESTROY)
        return net_capable(q->t, CAP_NET_ADMIN) ? -EOPNOTSUPP : -EPERM;
    if (q->h.nlmsg_type != SOCK_DIAG_BY_FAMILY || !q->size)
        return -EINVAL;
    switch ((uint8_t)q->body[0]) {
    case AF_INET:
    case AF_INET6:
        return inet_dump(q, r);
    case AF_UNIX:
        return unix_dump(q, r);
    case AF_NETLINK:
    case AF_PACKET:
        return 0;
    default:
        return (uint8_t)q->body[0] >= 46 /* AF_MAX */ ? -EINVAL : -ENOENT;
    }
}

/* ---- generic netlink
 * ------------------------------------------------------------------------ */

static void put_controller(struct nl_reply *r)
{
    size_t at;
    nl_begin(r, GENL_ID_CTRL, &at);
    struct genlmsghdr *g = nl_take(r, sizeof(*g));
    *g = (struct genlmsghdr){.cmd = CTRL_CMD_NEWFAMILY, .version = 2};
    uint16_t id = GENL_ID_CTRL;
    nl_attr(r, CTRL_ATTR_FAMILY_NAME, "nlctrl", 7);
    nl_attr(r, CTRL_ATTR_FAMILY_ID, &id, sizeof(id));
    nl_attr_u32(r, CTRL_ATTR_VERSION, 2);
    nl_attr_u32(r, CTRL_ATTR_HDRSIZE, 0);
    nl_attr_u32(r, CTRL_ATTR_MAXATTR, 10);
    nl_end(r, at);
}

int nl_generic(const struct nl_request *q, struct nl_reply *r)
{
    struct genlmsghdr g;
    size_t size;
    uint16_t id = 0;
    if (q->h.nlmsg_type != GENL_ID_CTRL)
        return -ENOENT;
    if (q->size < sizeof(g))
        return -EINVAL;
    memcpy(&g, q->body, sizeof(g));
    if (g.cmd != CTRL_CMD_GETFAMILY)
        return -EOPNOTSUPP;
    if ((q->h.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
        put_controller(r);
        return 0;
    }
    const void *v = nl_find(q, sizeof(g), CTRL_ATTR_FAMILY_ID, &size);
    if (v && size == sizeof(id))
        memcpy(&id, v, sizeof(id));
    const char *name = nl_find(q, sizeof(g), CTRL_ATTR_FAMILY_NAME, &size);
    if (!v && !name)
        return -EINVAL;
    if (id != GENL_ID_CTRL && !(name && size >= 6 && !strncmp(name, "nlctrl", size)))
        return -ENOENT;
    put_controller(r);
    return 0;
}
