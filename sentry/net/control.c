/* Ancillary data: cmsg(3), unix(7), ip(7), ipv6(7), udp(7). What a sender asks for, and what a
 * receiver is told. */
#include "base/overflow.h"
#include "net/net_priv.h"
#include "time/time.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

void net_msg_init(struct net_msg *m, struct uio *u, int flags)
{
    *m = (struct net_msg){.uio = u, .flags = flags, .tx = {.ttl = -1, .tos = -1}};
}

void net_msg_release(struct net_msg *m)
{
    scm_free(m->scm);
    m->scm = NULL;
    free(m->raw_control);
    m->raw_control = NULL;
}

/* ---- out: descriptors and credentials
 * ------------------------------------------------------------------------ */

static int parse_rights(struct task *t, struct net_msg *m, const char *data, size_t size)
{
    size_t count = size / sizeof(int);
    if (!m->scm && !(m->scm = calloc(1, sizeof(*m->scm))))
        return -ENOMEM;
    if (m->scm->count + count > NET_SCM_MAX_FDS)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, data + i * sizeof(int), sizeof(fd));
        struct file *f = fdtable_get(t->fds, fd); /* O_PATH ones too */
        if (!f)
            return -EBADF;
        m->scm->files[m->scm->count++] = f;
    }
    return 0;
}

static int parse_creds(struct task *t, struct net_msg *m, const char *data, size_t size)
{
    const struct cred *c = t->cred;
    if (size != sizeof(m->creds))
        return -EINVAL;
    memcpy(&m->creds, data, sizeof(m->creds));
    bool pid_ok = m->creds.pid == t->process->vpid ||
                  cred_capable(c, t->process->pid_ns->ns.owner, CAP_SYS_ADMIN);
    m->creds.uid = uid_from(c->user_ns, m->creds.uid);
    m->creds.gid = gid_from(c->user_ns, m->creds.gid);
    if (m->creds.uid == UINT32_MAX || m->creds.gid == UINT32_MAX)
        return -EINVAL;
    m->creds.pid = task_means_id(t, m->creds.pid);
    bool uid_ok = m->creds.uid == c->uid || m->creds.uid == c->euid || m->creds.uid == c->suid ||
                  cred_capable_here(c, CAP_SETUID);
    bool gid_ok = m->creds.gid == c->gid || m->creds.gid == c->egid || m->creds.gid == c->sgid ||
                  cred_capable_here(c, CAP_SETGID);
    if (!pid_ok || !uid_ok || !gid_ok)
        return -EPERM;
    struct process *p = m->creds.pid == t->process->pid ? NULL : process_by_id(m->creds.pid);
    if (m->creds.pid != t->process->pid && !p)
        return -ESRCH;
    if (p)
        process_put(p);
    m->has_creds = true;
    return 0;
}

/* ---- out: SOL_SOCKET, IP, IPv6, UDP
 * ------------------------------------------------------------------------ */

static int parse_u32(const char *data, size_t size, uint32_t *out)
{
    if (size != sizeof(*out))
        return -EINVAL;
    memcpy(out, data, sizeof(*out));
    return 0;
}

static int parse_socket(struct task *t, struct socket *s, struct net_msg *m, int type,
                        const char *data, size_t size)
{
    bool admin = net_capable(t, CAP_NET_ADMIN) || net_capable(t, CAP_NET_RAW);
    switch (type) {
    case SCM_RIGHTS:
        return socket_is_unix(s) ? parse_rights(t, m, data, size) : 0;
    case SCM_CREDENTIALS:
        return s->kind & (K_UNIX | K_NETLINK) ? parse_creds(t, m, data, size) : 0;
    case SO_MARK:
        m->tx.has_mark = true;
        return admin ? parse_u32(data, size, &m->tx.mark) : -EPERM;
    case SO_PRIORITY:
        return parse_u32(data, size, &m->tx.priority);
    case SO_TIMESTAMPING_OLD:
    case SO_TIMESTAMPING_NEW:
        m->tx.has_stamping = true;
        return parse_u32(data, size, &m->tx.stamping);
    case SCM_TXTIME:
        m->tx.has_txtime = true;
        return size == sizeof(uint64_t) ? 0 : -EINVAL;
    }
    return -EINVAL;
}

static int parse_ip(struct net_msg *m, int type, const char *data, size_t size)
{
    int n = 0;
    if (type == IP_PKTINFO) {
        struct in_pktinfo info;
        if (size != sizeof(info))
            return -EINVAL;
        memcpy(&info, data, sizeof(info));
        if (info.ipi_ifindex > 1)
            return -ENODEV;
        m->tx.ifindex = info.ipi_ifindex;
        struct in6_addr source;
        inet_map_v4(&source, info.ipi_spec_dst.s_addr);
        m->tx.has_source = info.ipi_spec_dst.s_addr != 0;
        memcpy(m->tx.source, &source, sizeof(source));
        return 0;
    }
    if (type == IP_RETOPTS)
        return size <= 40 ? 0 : -EINVAL;
    if (type != IP_TTL && type != IP_TOS && type != 52 /* IP_PROTOCOL */)
        return -EINVAL;
    if (size != sizeof(int) && !(type == IP_TOS && size == 1))
        return -EINVAL;
    if (size == 1)
        n = *(const uint8_t *)data;
    else
        memcpy(&n, data, sizeof(n));
    if (type == IP_TTL && (n < 1 || n > 255))
        return -EINVAL;
    if (type == IP_TOS && (n < 0 || n > 255))
        return -EINVAL;
    if (type != 52 /* IP_PROTOCOL */)
        *(type == IP_TTL ? &m->tx.ttl : &m->tx.tos) = n;
    return 0;
}

static int parse_ipv6(struct net_msg *m, int type, const char *data, size_t size)
{
    int n;
    if (type == IPV6_PKTINFO || type == IPV6_2292PKTINFO) {
        struct in6_pktinfo info;
        if (size < sizeof(info))
            return -EINVAL;
        memcpy(&info, data, sizeof(info));
        if (info.ipi6_ifindex > 1)
            return -ENODEV;
        if (!IN6_IS_ADDR_UNSPECIFIED(&info.ipi6_addr) && !inet_ip_is_local(&info.ipi6_addr))
            return -EINVAL;
        m->tx.has_source = !IN6_IS_ADDR_UNSPECIFIED(&info.ipi6_addr);
        memcpy(m->tx.source, &info.ipi6_addr, sizeof(m->tx.source));
        return 0;
    }
    if (type == 11 /* IPV6_FLOWINFO */ || type == IPV6_DONTFRAG)
        return size == sizeof(int) ? 0 : -EINVAL;
    if (type != IPV6_HOPLIMIT && type != IPV6_2292HOPLIMIT && type != IPV6_TCLASS)
        return type >= IPV6_RTHDRDSTOPTS && type <= IPV6_DSTOPTS ? 0 : -EINVAL;
    if (size != sizeof(int))
        return -EINVAL;
    memcpy(&n, data, sizeof(n));
    if (n < -1 || n > 255)
        return -EINVAL;
    *(type == IPV6_TCLASS ? &m->tx.tos : &m->tx.ttl) = n;
    return 0;
}

static int parse_one(struct task *t, struct socket *s, struct net_msg *m, const struct cmsghdr *h,
                     const char *data, size_t size)
{
    if (h->cmsg_level == SOL_SOCKET)
        return parse_socket(t, s, m, h->cmsg_type, data, size);
    if (!(s->kind & K_INET) || s->kind & K_TCP)
        return 0;
    if (h->cmsg_level == IPPROTO_UDP && s->kind & K_UDP && h->cmsg_type == UDP_SEGMENT) {
        if (size != sizeof(uint16_t))
            return -EINVAL;
        memcpy(&m->tx.gso, data, sizeof(m->tx.gso));
        m->tx.has_gso = true;
        return 0;
    }
    if (h->cmsg_level == IPPROTO_IP)
        return parse_ip(m, h->cmsg_type, data, size);
    if (h->cmsg_level == IPPROTO_IPV6 && s->domain == AF_INET6)
        return parse_ipv6(m, h->cmsg_type, data, size);
    return 0;
}

int net_control_parse(struct task *t, struct socket *s, struct net_msg *m, const char *buf,
                      size_t size)
{
    if (s->family->provider)
        return s->family->provider->parse_control(m, buf, size);
    for (size_t at = 0; size - at >= sizeof(struct cmsghdr);) {
        struct cmsghdr h;
        memcpy(&h, buf + at, sizeof(h));
        if (h.cmsg_len < sizeof(h) || h.cmsg_len > size - at)
            return -EINVAL;
        int err = parse_one(t, s, m, &h, buf + at + sizeof(h), h.cmsg_len - sizeof(h));
        if (err)
            return err;
        size_t step = CMSG_ALIGN(h.cmsg_len);
        if (step >= size - at)
            break;
        at += step;
    }
    if (m->scm && m->scm->count)
        return unix_scm_launch(t, m->scm);
    return 0;
}

/* ---- in
 * ------------------------------------------------------------------------ */

/* As put_cmsg: a message that does not fit is cut, and that is told. */
void net_control_put(struct net_msg *m, int level, int type, const void *data, size_t size)
{
    size_t left = m->control_room - m->control_size, want = CMSG_LEN(size);
    if (!m->control || left < sizeof(struct cmsghdr)) {
        m->out_flags |= MSG_CTRUNC;
        return;
    }
    if (left < want) {
        m->out_flags |= MSG_CTRUNC;
        want = left;
    }
    struct cmsghdr h = {.cmsg_len = want, .cmsg_level = level, .cmsg_type = type};
    char *at = m->control + m->control_size;
    memset(at, 0, MIN(CMSG_SPACE(size), left));
    memcpy(at, &h, sizeof(h));
    memcpy(at + sizeof(h), data, want - sizeof(h));
    m->control_size += MIN(CMSG_SPACE(size), left);
}

static void put_int(struct net_msg *m, int level, int type, int value)
{
    net_control_put(m, level, type, &value, sizeof(value));
}

void net_control_stamps(struct socket *s, struct net_msg *m, int64_t at, bool sent)
{
    struct timespec ts = {.tv_sec = at / NSEC_PER_SEC, .tv_nsec = at % NSEC_PER_SEC};
    struct timeval tv = {.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
    if (s->opt[OPT_TIMESTAMP] || s->opt[OPT_TIMESTAMP_NEW])
        net_control_put(m, SOL_SOCKET, s->opt[OPT_TIMESTAMP] ? SO_TIMESTAMP_OLD : SO_TIMESTAMP_NEW,
                        &tv, sizeof(tv));
    if (s->opt[OPT_TIMESTAMPNS] || s->opt[OPT_TIMESTAMPNS_NEW])
        net_control_put(m, SOL_SOCKET,
                        s->opt[OPT_TIMESTAMPNS] ? SO_TIMESTAMPNS_OLD : SO_TIMESTAMPNS_NEW, &ts,
                        sizeof(ts));
    int flags = s->opt[OPT_TIMESTAMPING];
    bool wanted = flags & SOF_TIMESTAMPING_SOFTWARE &&
                  (sent || (flags & SOF_TIMESTAMPING_RX_SOFTWARE) ||
                   !(flags & (1 << 17) /* SOF_TIMESTAMPING_OPT_RX_FILTER */));
    struct timespec three[3] = {ts};
    if (wanted)
        net_control_put(m, SOL_SOCKET,
                        s->opt[OPT_TIMESTAMPING_NEW] ? SO_TIMESTAMPING_NEW : SO_TIMESTAMPING_OLD,
                        three, sizeof(three));
}

static void put_ip(struct socket *s, struct net_msg *m, const struct packet_meta *meta)
{
    if (s->opt[OPT_PKTINFO]) {
        struct in_pktinfo info = {.ipi_ifindex = 1};
        memcpy(&info.ipi_addr, &meta->to.s6_addr[12], 4);
        info.ipi_spec_dst = info.ipi_addr;
        if (!inet_ip_is_local(&meta->to))
            info.ipi_spec_dst.s_addr = htonl(INADDR_LOOPBACK);
        net_control_put(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    }
    if (s->opt[OPT_RECVTTL])
        put_int(m, IPPROTO_IP, IP_TTL, meta->ttl);
    if (s->opt[OPT_RECVTOS])
        net_control_put(m, IPPROTO_IP, IP_TOS, &meta->tos, 1);
    if (s->opt[OPT_RECVORIGDST]) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(meta->to_port)};
        memcpy(&in.sin_addr, &meta->to.s6_addr[12], 4);
        net_control_put(m, IPPROTO_IP, IP_ORIGDSTADDR, &in, sizeof(in));
    }
}

static void put_ipv6(struct socket *s, struct net_msg *m, const struct packet_meta *meta)
{
    struct in6_pktinfo info = {.ipi6_addr = meta->to, .ipi6_ifindex = 1};
    if (s->opt[OPT_RECVPKTINFO])
        net_control_put(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    if (s->opt[OPT_R2292PKTINFO])
        net_control_put(m, IPPROTO_IPV6, IPV6_2292PKTINFO, &info, sizeof(info));
    if (s->opt[OPT_RECVHOPLIMIT])
        put_int(m, IPPROTO_IPV6, IPV6_HOPLIMIT, meta->ttl);
    if (s->opt[OPT_R2292HOPLIMIT])
        put_int(m, IPPROTO_IPV6, IPV6_2292HOPLIMIT, meta->ttl);
    if (s->opt[OPT_RECVTCLASS])
        put_int(m, IPPROTO_IPV6, IPV6_TCLASS, meta->tos);
    if (s->opt[OPT_RECVORIGDST6]) {
        struct sockaddr_in6 in6 = {
            .sin6_family = AF_INET6, .sin6_port = htons(meta->to_port), .sin6_addr = meta->to};
        net_control_put(m, IPPROTO_IPV6, IPV6_ORIGDSTADDR, &in6, sizeof(in6));
    }
}

/* What the socket has asked to be told about p. Descriptors wait in m for net_control_finish. */
void packet_attach(struct packet *p, struct socket *s, struct net_msg *m)
{
    if (p->stamp)
        s->last_stamp = p->stamp;
    if (s->opt[OPT_TIMESTAMP] | s->opt[OPT_TIMESTAMPNS] | s->opt[OPT_TIMESTAMPING] |
        s->opt[OPT_TIMESTAMP_NEW] | s->opt[OPT_TIMESTAMPNS_NEW])
        net_control_stamps(s, m, p->stamp ? p->stamp : time_realtime(), /*sent=*/false);
    if (s->opt[OPT_RXQ_OVFL] && s->drops)
        net_control_put(m, SOL_SOCKET, SO_RXQ_OVFL, &s->drops, sizeof(s->drops));
    if (s->opt[OPT_RCVMARK])
        net_control_put(m, SOL_SOCKET, SO_MARK, &p->meta.mark, sizeof(p->meta.mark));
    if (p->meta.inet && !(s->kind & K_TCP)) {
        if (s->domain == AF_INET || inet_ip_is_v4(&p->meta.to))
            put_ip(s, m, &p->meta);
        if (s->domain == AF_INET6)
            put_ipv6(s, m, &p->meta);
        if (p->meta.gso && s->opt[OPT_UDP_GRO])
            put_int(m, IPPROTO_UDP, UDP_GRO, p->meta.gso);
    }
    if (s->opt[OPT_PASSCRED] || s->opt[OPT_PASSPIDFD]) {
        m->creds = p->creds;
        m->has_creds = true;
    }
    if (s->opt[OPT_PASSCRED]) {
        struct ucred c = p->creds;
        c.pid = task_sees_id(task_current(), c.pid);
        c.uid = uid_to(task_current()->cred->user_ns, c.uid);
        c.gid = gid_to(task_current()->cred->user_ns, c.gid);
        net_control_put(m, SOL_SOCKET, SCM_CREDENTIALS, &c, sizeof(c));
    }
    m->want_pidfd = s->opt[OPT_PASSPIDFD];
    if (!p->scm || m->scm)
        return;
    if (!(m->flags & MSG_PEEK)) {
        m->scm = p->scm;
        p->scm = NULL;
        unix_scm_land(m->scm);
    } else if ((m->scm = malloc(sizeof(*m->scm)))) {
        *m->scm = *p->scm;
        m->scm->flying = false;
        for (unsigned i = 0; i < m->scm->count; i++)
            file_get(m->scm->files[i]);
    }
}

static void finish_rights(struct task *t, struct net_msg *m)
{
    int fds[NET_SCM_MAX_FDS];
    size_t left = m->control_room - m->control_size;
    unsigned n = 0, room = !m->control || left < sizeof(struct cmsghdr)
                               ? 0
                               : (left - sizeof(struct cmsghdr)) / sizeof(int);
    while (n < m->scm->count && n < room) {
        int fd = fdtable_install(t, m->scm->files[n], 0, m->flags & MSG_CMSG_CLOEXEC);
        if (fd < 0)
            break;
        fds[n++] = fd;
    }
    if (n < m->scm->count)
        m->out_flags |= MSG_CTRUNC;
    unsigned total = m->scm->count;
    memmove(m->scm->files, m->scm->files + n, (total - n) * sizeof(m->scm->files[0]));
    m->scm->count = total - n; /* the rest goes with m */
    if (n)
        net_control_put(m, SOL_SOCKET, SCM_RIGHTS, fds, n * sizeof(int));
}

void net_control_finish(struct task *t, struct net_msg *m)
{
    if (m->want_pidfd) {
        struct process *p = process_lookup(m->creds.pid);
        bool room = m->control && m->control_room - m->control_size >= CMSG_LEN(sizeof(int));
        int fd = !p ? -ESRCH : room ? net_pidfd_install(t, p) : -1;
        if (p)
            process_put(p);
        if (room)
            put_int(m, SOL_SOCKET, 4 /* SCM_PIDFD */, fd);
        else
            m->out_flags |= MSG_CTRUNC;
    }
    if (m->scm && m->scm->count)
        finish_rights(t, m);
}
