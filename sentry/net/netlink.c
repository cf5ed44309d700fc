/* AF_NETLINK, NETLINK_ROUTE: enough for if_nameindex(3), getifaddrs(3) and "ip addr" to see the
 * loopback interface: rtnetlink(7). Requests are answered at once into the sender's own queue.
 * Everything else that is asked is answered EOPNOTSUPP, as netlink errors are: in a message. */
#include "base/log.h"
#include "base/overflow.h"
#include "net/net_priv.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX   1024
#define REQUEST_MAX 65536

static int netlink_init(struct task *t, struct socket *s)
{
    if (s->type != SOCK_RAW && s->type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    s->kind = K_NETLINK;
    return s->protocol == NETLINK_ROUTE ? 0 : -EPROTONOSUPPORT;
}

static int netlink_bind(struct task *t, struct socket *s, const struct net_addr *a)
{
    const struct sockaddr_nl *nl = (const void *)&a->ss;
    if (a->size < sizeof(*nl) || nl->nl_family != AF_NETLINK)
        return -EINVAL;
    struct sockaddr_nl mine = *nl;
    if (!mine.nl_pid)
        mine.nl_pid = t->process->vpid;
    LOCK_GUARD(&g_net_lock);
    memcpy(&s->local.ss, &mine, sizeof(mine));
    s->local.size = sizeof(mine);
    return 0;
}

/* ---- building answers
 * ---------------------------------------------------------------------------------- */

struct reply {
    char buf[REPLY_MAX];
    size_t size;
};

static void *reply_take(struct reply *r, size_t size)
{
    void *p = r->buf + r->size;
    memset(p, 0, NLMSG_ALIGN(size));
    r->size += NLMSG_ALIGN(size);
    bug_on(r->size > sizeof(r->buf));
    return p;
}

static struct nlmsghdr *reply_begin(struct reply *r, const struct nlmsghdr *q, int type, int flags)
{
    struct nlmsghdr *h = reply_take(r, sizeof(*h));
    *h = (struct nlmsghdr){.nlmsg_type = type,
                           .nlmsg_flags = flags,
                           .nlmsg_seq = q->nlmsg_seq,
                           .nlmsg_pid = q->nlmsg_pid};
    return h;
}

static void reply_attr(struct reply *r, int type, const void *data, size_t size)
{
    struct rtattr *a = reply_take(r, RTA_LENGTH(size));
    a->rta_type = type;
    a->rta_len = RTA_LENGTH(size);
    memcpy(RTA_DATA(a), data, size);
}

static void reply_end(struct reply *r, struct nlmsghdr *h)
{
    h->nlmsg_len = r->buf + r->size - (char *)h;
}

static void answer_link(struct reply *r, const struct nlmsghdr *q)
{
    static const uint8_t mac[6];
    uint32_t mtu = 65536, qlen = 1000;
    struct nlmsghdr *h =
        reply_begin(r, q, RTM_NEWLINK, q->nlmsg_flags & NLM_F_DUMP ? NLM_F_MULTI : 0);
    struct ifinfomsg *i = reply_take(r, sizeof(*i));
    *i = (struct ifinfomsg){.ifi_type = ARPHRD_LOOPBACK,
                            .ifi_index = 1,
                            .ifi_flags =
                                IFF_UP | IFF_LOOPBACK | IFF_RUNNING | 0x10000 /* LOWER_UP */};
    reply_attr(r, IFLA_IFNAME, "lo", 3);
    reply_attr(r, IFLA_TXQLEN, &qlen, sizeof(qlen));
    reply_attr(r, IFLA_MTU, &mtu, sizeof(mtu));
    reply_attr(r, IFLA_ADDRESS, mac, sizeof(mac));
    reply_attr(r, IFLA_BROADCAST, mac, sizeof(mac));
    reply_end(r, h);
}

static void answer_addr(struct reply *r, const struct nlmsghdr *q, int family)
{
    static const uint8_t v4[4] = {127, 0, 0, 1};
    static const uint8_t v6[16] = {[15] = 1};
    bool is4 = family == AF_INET;
    struct nlmsghdr *h = reply_begin(r, q, RTM_NEWADDR, NLM_F_MULTI);
    struct ifaddrmsg *m = reply_take(r, sizeof(*m));
    *m = (struct ifaddrmsg){.ifa_family = family,
                            .ifa_prefixlen = is4 ? 8 : 128,
                            .ifa_flags = IFA_F_PERMANENT,
                            .ifa_scope = RT_SCOPE_HOST,
                            .ifa_index = 1};
    reply_attr(r, IFA_ADDRESS, is4 ? v4 : v6, is4 ? 4 : 16);
    if (is4) {
        reply_attr(r, IFA_LOCAL, v4, 4);
        reply_attr(r, IFA_LABEL, "lo", 3);
    }
    reply_end(r, h);
}

static void answer_error(struct reply *r, const struct nlmsghdr *q, int err)
{
    struct nlmsghdr *h = reply_begin(r, q, NLMSG_ERROR, 0);
    struct nlmsgerr *e = reply_take(r, sizeof(*e));
    e->error = err;
    e->msg = *q;
    reply_end(r, h);
}

static void answer_done(struct reply *r, const struct nlmsghdr *q)
{
    struct nlmsghdr *h = reply_begin(r, q, NLMSG_DONE, NLM_F_MULTI);
    reply_take(r, sizeof(int));
    reply_end(r, h);
}

static void answer(struct reply *r, const struct nlmsghdr *q, int family)
{
    bool dump = (q->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    switch (q->nlmsg_type) {
    case RTM_GETLINK:
        answer_link(r, q);
        break;
    case RTM_GETADDR:
        if (family == AF_UNSPEC || family == AF_INET)
            answer_addr(r, q, AF_INET);
        if (family == AF_UNSPEC || family == AF_INET6)
            answer_addr(r, q, AF_INET6);
        break;
    case RTM_GETROUTE:
    case RTM_GETRULE:
    case RTM_GETNEIGH:
    case RTM_GETQDISC:
        if (dump)
            break;
        answer_error(r, q, -ENETUNREACH);
        return;
    default:
        answer_error(r, q, q->nlmsg_type < RTM_BASE ? 0 : -EOPNOTSUPP);
        return;
    }
    if (dump)
        answer_done(r, q);
}

static int queue_reply(struct socket *s, const struct reply *r)
{
    struct packet *p = packet_new(r->size);
    if (!p)
        return -ENOBUFS;
    memcpy(p->data, r->buf, r->size);
    struct sockaddr_nl from = {.nl_family = AF_NETLINK};
    memcpy(&p->from.ss, &from, sizeof(from));
    p->from.size = sizeof(from);
    return dgram_queue(s, p) ? -ENOBUFS : 0;
}

/* ---- for other rooms
 * -------------------------------------------------------------------------------------- */

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
    struct reply r = {.size = MIN(size, sizeof(r.buf))};
    memcpy(r.buf, data, r.size);
    (void)queue_reply(s, &r);
}

/* ---- sending
 * ------------------------------------------------------------------------------------------- */

static int handle_all(struct socket *s, const char *buf, size_t size)
{
    for (size_t at = 0; size - at >= sizeof(struct nlmsghdr);) {
        struct nlmsghdr q;
        struct reply r = {.size = 0};
        memcpy(&q, buf + at, sizeof(q));
        if (q.nlmsg_len < sizeof(q) || q.nlmsg_len > size - at)
            break;
        int family = q.nlmsg_len > sizeof(q) ? (uint8_t)buf[at + sizeof(q)] : AF_UNSPEC;
        if (q.nlmsg_flags & NLM_F_REQUEST) {
            q.nlmsg_pid = s->local.size ? ((struct sockaddr_nl *)&s->local.ss)->nl_pid : 0;
            answer(&r, &q, family);
            int err = queue_reply(s, &r);
            if (err)
                return err;
        }
        size_t step = NLMSG_ALIGN(q.nlmsg_len);
        if (step > size - at)
            break;
        at += step;
    }
    return 0;
}

static int64_t netlink_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    size_t size = m->uio->remaining;
    if (size > REQUEST_MAX)
        return -EMSGSIZE;
    char *buf = malloc(size ? size : 1);
    if (!buf)
        return -ENOBUFS;
    if (!s->local.size) { /* named as netlink(7) says: by the process */
        struct net_addr a = {.size = sizeof(struct sockaddr_nl)};
        a.ss.ss_family = AF_NETLINK;
        (void)netlink_bind(t, s, &a);
    }
    int64_t ret = uio_from_user(m->uio, buf, size) < size ? -EFAULT : handle_all(s, buf, size);
    free(buf);
    return ret ? ret : (int64_t)size;
}

static int netlink_find(struct task *t, struct socket *s, const struct net_addr *a,
                        struct socket **out)
{
    const struct sockaddr_nl *nl = (const void *)&a->ss;
    if (a->size < sizeof(*nl) || nl->nl_family != AF_NETLINK)
        return -EINVAL;
    if (nl->nl_pid)
        return -ECONNREFUSED;
    socket_get(s); /* the kernel's end is ourselves: answers come into our own queue */
    *out = s;
    return 0;
}

const struct family g_family_netlink = {
    .domain = AF_NETLINK,
    .init = netlink_init,
    .bind = netlink_bind,
    .find = netlink_find,
    .send = netlink_send,
};
