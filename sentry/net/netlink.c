/* AF_NETLINK: netlink(7). Names (port ids), groups, unicast between processes, and the frame of
 * requests to the kernel: what a protocol answers is in nl_*.c. A request is answered at once into
 * the sender's own queue; errors and acknowledgements are messages, as they should be. */
#include "base/overflow.h"
#include "net/netlink_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MAX 65536
#define REPLY_MAX   (256 * 1024)

struct nl_state { /* socket.priv; lock: g_net_lock */
    uint32_t portid, groups;
    uint32_t to_port, to_groups;
};

static struct list g_netlinks = LIST_INIT(g_netlinks); /* lock: g_net_lock; socket.name_node */
static uint32_t g_next_port = 0xfffff000;              /* lock: g_net_lock */

static int netlink_init(struct task *t, struct socket *s)
{
    static const uint8_t known[] = {NETLINK_ROUTE, NETLINK_USERSOCK, NETLINK_SOCK_DIAG,
                                    NETLINK_KOBJECT_UEVENT, NETLINK_GENERIC};
    if (s->type != SOCK_RAW && s->type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    bool found = false;
    for (unsigned i = 0; i < ARRAY_COUNT(known); i++)
        found |= s->protocol == known[i];
    if (!found)
        return -EPROTONOSUPPORT;
    s->kind = K_NETLINK;
    s->priv = calloc(1, sizeof(struct nl_state));
    return s->priv ? 0 : -ENOMEM;
}

/* ---- names
 * ------------------------------------------------------------------------ */

static struct socket *find_port_locked(struct netns *net, int protocol, uint32_t port)
{
    struct socket *s;
    list_for_each(s, &g_netlinks,
                  name_node) if (s->net == net && s->protocol == protocol &&
                                 ((struct nl_state *)s->priv)->portid == port) return s;
    return NULL;
}

static void name_locked(struct socket *s, uint32_t port)
{
    ((struct nl_state *)s->priv)->portid = port;
    s->named = true;
    list_push_back(&g_netlinks, &s->name_node);
}

/* By the process, as long as that is free: netlink(7). */
static void autobind_locked(struct task *t, struct socket *s)
{
    uint32_t port = t->process->vpid;
    if (s->named)
        return;
    while (find_port_locked(s->net, s->protocol, port))
        port = g_next_port--;
    name_locked(s, port);
}

static int netlink_bind(struct task *t, struct socket *s, const struct net_addr *a)
{
    struct nl_state *st = s->priv;
    struct sockaddr_nl nl;
    memcpy(&nl, &a->ss, sizeof(nl));
    if (a->size < sizeof(nl) || nl.nl_family != AF_NETLINK)
        return -EINVAL;
    if (nl.nl_groups && s->protocol != NETLINK_ROUTE && s->protocol != NETLINK_KOBJECT_UEVENT &&
        s->protocol != NETLINK_GENERIC && !net_capable(t, CAP_NET_ADMIN))
        return -EPERM;
    LOCK_GUARD(&g_net_lock);
    if (s->named && nl.nl_pid != st->portid)
        return -EINVAL;
    if (!s->named && nl.nl_pid) {
        if (find_port_locked(s->net, s->protocol, nl.nl_pid))
            return -EADDRINUSE;
        name_locked(s, nl.nl_pid);
    }
    autobind_locked(t, s);
    st->groups = nl.nl_groups;
    return 0;
}

static void netlink_release(struct socket *s)
{
    list_del(&s->name_node);
}

static int netlink_name(struct socket *s, bool peer, struct net_addr *out)
{
    struct nl_state *st = s->priv;
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK,
                             .nl_pid = peer ? st->to_port : st->portid,
                             .nl_groups = peer ? st->to_groups : st->groups};
    memset(out, 0, sizeof(*out));
    memcpy(&out->ss, &nl, sizeof(nl));
    out->size = sizeof(nl);
    return 0;
}

static int netlink_connect(struct task *t, struct socket *s, struct file *f,
                           const struct net_addr *a)
{
    struct nl_state *st = s->priv;
    struct sockaddr_nl nl = {0};
    if (a->ss.ss_family != AF_UNSPEC && a->ss.ss_family != AF_NETLINK)
        return -EINVAL;
    if (a->ss.ss_family == AF_NETLINK && a->size < sizeof(nl))
        return -EINVAL;
    if (a->ss.ss_family == AF_NETLINK)
        memcpy(&nl, &a->ss, sizeof(nl));
    if ((nl.nl_pid || nl.nl_groups) && s->protocol != NETLINK_USERSOCK &&
        !net_capable(t, CAP_NET_ADMIN))
        return -EPERM;
    LOCK_GUARD(&g_net_lock);
    autobind_locked(t, s);
    st->to_port = nl.nl_pid;
    st->to_groups = nl.nl_groups;
    s->state = a->ss.ss_family == AF_UNSPEC ? SOCK_IDLE : SOCK_CONNECTED;
    return 0;
}

/* ---- answers
 * ------------------------------------------------------------------------ */

void *nl_take(struct nl_reply *r, size_t size)
{
    static __thread char scratch[512];
    size_t need = NLMSG_ALIGN(size);
    if (!r->failed && r->size + need > r->room) {
        size_t room = MAX(r->room * 2, r->size + need + 1024);
        char *more = room > REPLY_MAX ? NULL : realloc(r->buf, room);
        if (more) {
            r->buf = more;
            r->room = room;
        }
        r->failed = !more;
    }
    if (r->failed)
        return memset(scratch, 0, sizeof(scratch));
    void *p = r->buf + r->size;
    memset(p, 0, need);
    r->size += need;
    return p;
}

struct nlmsghdr *nl_begin(struct nl_reply *r, int type, size_t *at)
{
    *at = r->size;
    struct nlmsghdr *h = nl_take(r, sizeof(*h));
    *h = (struct nlmsghdr){
        .nlmsg_type = type, .nlmsg_flags = r->flags, .nlmsg_seq = r->seq, .nlmsg_pid = r->portid};
    return h;
}

size_t nl_attr(struct nl_reply *r, int type, const void *data, size_t size)
{
    size_t at = r->size;
    struct nlattr a = {.nla_type = type, .nla_len = sizeof(a) + size};
    size_t total = MIN(sizeof(a) + size, (size_t)512);
    char *p = nl_take(r, total);
    memcpy(p, &a, sizeof(a));
    if (data && total > sizeof(a))
        memcpy(p + sizeof(a), data, total - sizeof(a));
    return at;
}

void nl_attr_u32(struct nl_reply *r, int type, uint32_t v)
{
    nl_attr(r, type, &v, sizeof(v));
}

void nl_attr_end(struct nl_reply *r, size_t at)
{
    if (!r->failed)
        ((struct nlattr *)(r->buf + at))->nla_len = r->size - at;
}

void nl_end(struct nl_reply *r, size_t at)
{
    if (!r->failed)
        ((struct nlmsghdr *)(r->buf + at))->nlmsg_len = r->size - at;
}

const void *nl_find(const struct nl_request *q, size_t head, int type, size_t *size)
{
    for (size_t at = NLMSG_ALIGN(head); at + sizeof(struct nlattr) <= q->size;) {
        struct nlattr a;
        memcpy(&a, q->body + at, sizeof(a));
        if (a.nla_len < sizeof(a) || a.nla_len > q->size - at)
            return NULL;
        if ((a.nla_type & NLA_TYPE_MASK) == type) {
            *size = a.nla_len - sizeof(a);
            return q->body + at + sizeof(a);
        }
        at += NLA_ALIGN(a.nla_len);
    }
    return NULL;
}

static struct packet *reply_packet(const struct nl_reply *r, uint32_t from_port, uint32_t groups)
{
    struct packet *p = packet_new(r->size);
    if (!p)
        return NULL;
    memcpy(p->data, r->buf, r->size);
    struct sockaddr_nl from = {.nl_family = AF_NETLINK, .nl_pid = from_port, .nl_groups = groups};
    memcpy(&p->from.ss, &from, sizeof(from));
    p->from.size = sizeof(from);
    return p;
}

static int reply_send(struct socket *s, struct nl_reply *r)
{
    struct packet *p = r->failed || !r->size ? NULL : reply_packet(r, 0, 0);
    bool nothing = !r->failed && !r->size;
    free(r->buf);
    if (!p)
        return nothing ? 0 : -ENOBUFS;
    return dgram_queue(s, p) ? -ENOBUFS : 0;
}

/* ---- for other rooms
 * ------------------------------------------------------------------------ */

int net_netlink_of(struct task *t, int fd, struct file **f, struct socket **out)
{
    int err = net_socket_of(t, fd, f, out);
    if (err || (*out)->family == &g_family_netlink)
        return err;
    file_put(*f);
    return -EINVAL;
}

void net_netlink_push(struct socket *s, const void *data, size_t size)
{
    struct nl_reply r = {.size = 0};
    memcpy(nl_take(&r, MIN(size, (size_t)512)), data, MIN(size, (size_t)512));
    (void)reply_send(s, &r);
}

/* ---- notices
 * ------------------------------------------------------------------------ */

static struct socket *next_member(struct netns *net, int protocol, int group, unsigned *index)
{
    unsigned i = 0;
    struct socket *s;
    LOCK_GUARD(&g_net_lock);
    list_for_each(s, &g_netlinks, name_node)
    {
        struct nl_state *st = s->priv;
        if (i++ < *index || s->net != net || s->protocol != protocol ||
            !(st->groups >> (group - 1) & 1))
            continue;
        *index = i;
        socket_get(s);
        return s;
    }
    return NULL;
}

void nl_notify(struct netns *net, int protocol, int group, struct nl_reply *r)
{
    unsigned index = 0;
    struct socket *s;
    while (!r->failed && (s = next_member(net, protocol, group, &index))) {
        struct packet *p = reply_packet(r, 0, 1u << (group - 1));
        if (p)
            (void)dgram_queue(s, p);
        socket_put(s);
    }
    free(r->buf);
}

/* ---- requests
 * ------------------------------------------------------------------------ */

static int answer_error(const struct nl_request *q, uint32_t portid, int err, const char *why)
{
    struct nl_reply r = {.seq = q->h.nlmsg_seq, .portid = portid};
    size_t at;
    bool whole = err && !q->s->opt[OPT_NL_CAP_ACK];
    struct nlmsghdr *h = nl_begin(&r, NLMSG_ERROR, &at);
    bool tell = why && q->s->opt[OPT_NL_EXT_ACK];
    h->nlmsg_flags = (whole ? 0 : NLM_F_CAPPED) | (tell ? NLM_F_ACK_TLVS : 0);
    struct nlmsgerr *e = nl_take(&r, sizeof(*e));
    e->error = err;
    e->msg = q->h;
    if (whole && q->size) {
        /* what was asked, as much as fits one take */
        for (size_t done = 0; done < q->size; done += 256)
            memcpy(nl_take(&r, MIN(q->size - done, (size_t)256)), q->body + done,
                   MIN(q->size - done, (size_t)256));
    }
    if (tell)
        nl_attr(&r, NLMSGERR_ATTR_MSG, why, strlen(why) + 1);
    nl_end(&r, at);
    return reply_send(q->s, &r);
}

static int dispatch(const struct nl_request *q, struct nl_reply *r)
{
    switch (q->s->protocol) {
    case NETLINK_ROUTE:
        return nl_route(q, r);
    case NETLINK_SOCK_DIAG:
        return nl_diag(q, r);
    case NETLINK_GENERIC:
        return nl_generic(q, r);
    default:
        return -EOPNOTSUPP;
    }
}

static int answer(const struct nl_request *q, uint32_t portid)
{
    bool dump = (q->h.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    struct nl_reply r = {.seq = q->h.nlmsg_seq, .portid = portid, .flags = dump ? NLM_F_MULTI : 0};
    if (!(q->h.nlmsg_flags & NLM_F_REQUEST))
        return 0;
    int err = q->h.nlmsg_type < NLMSG_MIN_TYPE ? 0 : dispatch(q, &r);
    if (err) {
        free(r.buf);
        return answer_error(q, portid, err, r.why);
    }
    if (dump && q->h.nlmsg_type >= NLMSG_MIN_TYPE) {
        size_t at;
        nl_begin(&r, NLMSG_DONE, &at);
        nl_take(&r, sizeof(int));
        nl_end(&r, at);
    }
    err = reply_send(q->s, &r);
    if (!err && (q->h.nlmsg_flags & NLM_F_ACK) && !dump)
        err = answer_error(q, portid, 0, NULL);
    return err;
}

static int handle_all(struct task *t, struct socket *s, const char *buf, size_t size)
{
    lock_acquire(&g_net_lock);
    uint32_t portid = ((struct nl_state *)s->priv)->portid;
    lock_release(&g_net_lock);
    for (size_t at = 0; size - at >= sizeof(struct nlmsghdr);) {
        struct nl_request q = {.t = t, .s = s};
        memcpy(&q.h, buf + at, sizeof(q.h));
        if (q.h.nlmsg_len < sizeof(q.h) || q.h.nlmsg_len > size - at)
            break;
        q.body = buf + at + sizeof(q.h);
        q.size = q.h.nlmsg_len - sizeof(q.h);
        int err = answer(&q, portid);
        if (err)
            return err;
        size_t step = NLMSG_ALIGN(q.h.nlmsg_len);
        if (step > size - at)
            break;
        at += step;
    }
    return 0;
}

/* To another process's socket. */
static int unicast(struct task *t, struct socket *s, struct net_msg *m, uint32_t to)
{
    struct packet *p;
    struct nl_state *st = s->priv;
    lock_acquire(&g_net_lock);
    struct socket *dest = find_port_locked(s->net, s->protocol, to);
    if (dest)
        socket_get(dest);
    lock_release(&g_net_lock);
    if (!dest)
        return -ECONNREFUSED;
    int64_t n = packet_fill(t, s, m, m->uio->remaining, &p);
    if (n >= 0) {
        struct sockaddr_nl from = {.nl_family = AF_NETLINK, .nl_pid = st->portid};
        memcpy(&p->from.ss, &from, sizeof(from));
        p->from.size = sizeof(from);
        n = dgram_queue(dest, p);
    }
    socket_put(dest);
    return n < 0 ? n : 0;
}

static int target(struct task *t, struct socket *s, struct net_msg *m, uint32_t *port,
                  uint32_t *groups)
{
    struct nl_state *st = s->priv;
    struct sockaddr_nl nl;
    LOCK_GUARD(&g_net_lock);
    *port = st->to_port;
    *groups = st->to_groups;
    if (m->addr_size) {
        memcpy(&nl, &m->addr, sizeof(nl));
        if (m->addr_size < sizeof(nl) || nl.nl_family != AF_NETLINK)
            return -EINVAL;
        *port = nl.nl_pid;
        *groups = nl.nl_groups;
        if ((*port || *groups) && s->protocol != NETLINK_USERSOCK && !net_capable(t, CAP_NET_ADMIN))
            return -EPERM;
    }
    autobind_locked(t, s);
    return 0;
}

static int64_t netlink_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    uint32_t port, groups;
    size_t size = m->uio->remaining;
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    int err = target(t, s, m, &port, &groups);
    if (err)
        return err;
    if (size > MIN((uint64_t)REQUEST_MAX, s->sndbuf - 32))
        return -EMSGSIZE;
    if (port || s->protocol == NETLINK_USERSOCK) {
        err = unicast(t, s, m, port);
        return err ? err : (int64_t)size;
    }
    char *buf = malloc(size + 1);
    if (!buf)
        return -ENOBUFS;
    err = uio_from_user(m->uio, buf, size) < size ? -EFAULT : handle_all(t, s, buf, size);
    free(buf);
    return err ? err : (int64_t)size;
}

/* ---- options
 * ------------------------------------------------------------------------ */

static int netlink_setopt(struct task *t, struct socket *s, int level, int name,
                          const struct opt_in *in)
{
    struct nl_state *st = s->priv;
    int n = 0;
    if (in->size >= sizeof(n) && in->fault)
        return -EFAULT;
    if (in->size >= sizeof(n))
        memcpy(&n, in->value, sizeof(n));
    if (name != NETLINK_ADD_MEMBERSHIP && name != NETLINK_DROP_MEMBERSHIP)
        return -ENOPROTOOPT;
    if (n < 1 || n > 32)
        return -EINVAL;
    LOCK_GUARD(&g_net_lock);
    autobind_locked(t, s);
    if (name == NETLINK_ADD_MEMBERSHIP)
        st->groups |= 1u << (n - 1);
    else
        st->groups &= ~(1u << (n - 1));
    return 0;
}

static int netlink_getopt(struct task *t, struct socket *s, int level, int name, void *v,
                          unsigned *size)
{
    if (name != NETLINK_LIST_MEMBERSHIPS)
        return -ENOPROTOOPT;
    uint32_t groups[2] = {((struct nl_state *)s->priv)->groups};
    return opt_give(v, size, groups, sizeof(groups));
}

const struct family g_family_netlink = {
    .domain = AF_NETLINK,
    .init = netlink_init,
    .bind = netlink_bind,
    .release = netlink_release,
    .connect = netlink_connect,
    .name = netlink_name,
    .send = netlink_send,
    .setopt = netlink_setopt,
    .getopt = netlink_getopt,
    .drops_when_full = true,
};
