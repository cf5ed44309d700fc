/* getsockopt(2) and setsockopt(2): socket(7), tcp(7), ip(7), ipv6(7), udp(7), unix(7).
 *
 * Options with an effect here have it; those that tune a wire that we do not have are checked, kept
 * and told back, so that programs which set them go on. */
#include "base/overflow.h"
#include "net/net_priv.h"
#include "time/time.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

/* ---- flags: a bit of socket.flags each
 * ------------------------------------------------------------------ */

static const struct {
    int level, name;
    unsigned flag;
} g_flag_options[] = {
    {SOL_SOCKET, SO_REUSEADDR, SOCKF_REUSEADDR}, {SOL_SOCKET, SO_REUSEPORT, SOCKF_REUSEPORT},
    {SOL_SOCKET, SO_KEEPALIVE, SOCKF_KEEPALIVE}, {SOL_SOCKET, SO_BROADCAST, SOCKF_BROADCAST},
    {SOL_SOCKET, SO_OOBINLINE, SOCKF_OOBINLINE}, {SOL_SOCKET, SO_DONTROUTE, SOCKF_DONTROUTE},
    {SOL_SOCKET, SO_TIMESTAMP, SOCKF_TIMESTAMP}, {SOL_SOCKET, SO_PASSCRED, SOCKF_PASSCRED},
    {SOL_SOCKET, SO_DEBUG, SOCKF_DEBUG},         {SOL_SOCKET, SO_PASSSEC, SOCKF_PASSSEC},
    {IPPROTO_IPV6, IPV6_V6ONLY, SOCKF_V6ONLY},   {IPPROTO_TCP, TCP_NODELAY, SOCKF_NODELAY},
    {IPPROTO_TCP, TCP_CORK, SOCKF_CORK},         {IPPROTO_IP, IP_PKTINFO, SOCKF_PKTINFO},
};

/* Kept and told back: index into tcp_opts, with the default and the accepted range. */
static const struct {
    int level, name, slot, def, min, max;
} g_kept_options[] = {
    {IPPROTO_TCP, TCP_KEEPIDLE, 0, 7200, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPINTVL, 1, 75, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPCNT, 2, 9, 1, 127},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, 3, 0, 0, INT32_MAX},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, 4, 0, 0, INT32_MAX},
    {IPPROTO_TCP, TCP_QUICKACK, 5, 1, 0, 1},
    {IPPROTO_TCP, TCP_SYNCNT, 6, 6, 1, 127},
    {IPPROTO_TCP, TCP_LINGER2, 7, 60, -1, 120},
    {IPPROTO_TCP, TCP_MAXSEG, 8, 65483, 88, 65535},
    {IPPROTO_TCP, TCP_FASTOPEN, 9, 0, 0, INT32_MAX},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, 10, 0, 0, INT32_MAX},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 11, 64, -1, 255},
    {IPPROTO_IP, IP_MULTICAST_TTL, 12, 1, -1, 255},
    {IPPROTO_IP, IP_MULTICAST_LOOP, 13, 1, 0, 1},
    {IPPROTO_IP, IP_MTU_DISCOVER, 14, 1, 0, 5},
    {IPPROTO_IP, IP_RECVERR, 15, 0, 0, 1},
};

static int value_int(const void *v, unsigned size, int *out)
{
    if (size < sizeof(int))
        return -EINVAL;
    memcpy(out, v, sizeof(int));
    return 0;
}

static bool level_fits(const struct socket *s, int level)
{
    switch (level) {
    case SOL_SOCKET:
        return true;
    case IPPROTO_TCP:
        return s->protocol == IPPROTO_TCP && s->domain != AF_UNIX;
    case IPPROTO_IP:
        return s->domain == AF_INET || s->domain == AF_INET6;
    case IPPROTO_IPV6:
        return s->domain == AF_INET6;
    case IPPROTO_UDP:
        return s->protocol == IPPROTO_UDP && s->domain != AF_UNIX;
    default:
        return false;
    }
}

/* ---- set
 * ---------------------------------------------------------------------------------------------- */

static int set_timeout(const void *v, unsigned size, int64_t *out)
{
    struct timeval tv;
    if (size < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, v, sizeof(tv));
    if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
        return -EDOM;
    if (tv.tv_sec < 0)
        tv.tv_sec = 0; /* as Linux: an immediate timeout, which we keep as the shortest */
    struct timespec ts = {.tv_sec = tv.tv_sec, .tv_nsec = tv.tv_usec * 1000};
    return time_from_timespec(&ts, out);
}

/* The kernel doubles what is asked, for its own bookkeeping, and tells the doubled figure:
 * socket(7). */
static void set_buffer(uint64_t *out, int value, bool force)
{
    uint64_t v = value < 0 ? INT32_MAX : value;
    if (!force)
        v = MIN(v, (uint64_t)NET_DEFAULT_BUF);
    *out = MAX(MIN(v, (uint64_t)NET_MAX_BUF) * 2, UINT64_C(2304));
}

static int set_socket_level(struct task *t, struct socket *s, int name, const void *v,
                            unsigned size)
{
    int n = 0, err = 0;
    switch (name) {
    case SO_RCVTIMEO:
        return set_timeout(v, size, &s->rcvtimeo);
    case SO_SNDTIMEO:
        return set_timeout(v, size, &s->sndtimeo);
    case SO_LINGER:
        if (size < sizeof(s->linger))
            return -EINVAL;
        memcpy(&s->linger, v, sizeof(s->linger));
        return 0;
    case SO_BINDTODEVICE:
        return size && strncmp(v, "lo", MIN(size, 3u)) && *(const char *)v ? -ENODEV : 0;
    case SO_ATTACH_FILTER:
    case SO_DETACH_FILTER:
    case SO_ATTACH_BPF:
        return -ENOPROTOOPT;
    }
    err = value_int(v, size, &n);
    if (err)
        return err;
    switch (name) {
    case SO_RCVBUFFORCE:
    case SO_SNDBUFFORCE:
        if (!cred_has_cap(t->cred, CAP_NET_ADMIN))
            return -EPERM;
        set_buffer(name == SO_RCVBUFFORCE ? &s->rcvbuf : &s->sndbuf, n, /*force=*/true);
        return 0;
    case SO_RCVBUF:
        set_buffer(&s->rcvbuf, n, /*force=*/false);
        return 0;
    case SO_SNDBUF:
        set_buffer(&s->sndbuf, n, /*force=*/false);
        return 0;
    case SO_PRIORITY:
        if ((n < 0 || n > 6) && !cred_has_cap(t->cred, CAP_NET_ADMIN))
            return -EPERM;
        s->priority = n;
        return 0;
    case SO_MARK:
        if (!cred_has_cap(t->cred, CAP_NET_ADMIN))
            return -EPERM;
        s->mark = n;
        return 0;
    case SO_RCVLOWAT:
        s->rcvlowat = n < 0 ? INT32_MAX : n ? n : 1;
        return 0;
    case SO_NO_CHECK:
    case SO_TIMESTAMPNS:
    case SO_BUSY_POLL:
    case SO_INCOMING_CPU:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_ip_level(struct socket *s, int level, int name, const void *v, unsigned size)
{
    int n = 0;
    if (level == IPPROTO_IP && (name == IP_TOS || name == IP_TTL)) {
        if (size >= 1 && size < sizeof(int))
            n = *(const uint8_t *)v;
        else if (value_int(v, size, &n))
            return -EINVAL;
        if (name == IP_TTL && n != -1 && (n < 1 || n > 255))
            return -EINVAL;
        *(name == IP_TTL ? &s->ttl : &s->tos) = n == -1 ? 64 : n & 0xff;
        return 0;
    }
    if (level == IPPROTO_IP && (name == IP_RECVTTL || name == IP_RECVTOS || name == IP_FREEBIND ||
                                name == IP_TRANSPARENT || name == IP_BIND_ADDRESS_NO_PORT))
        return value_int(v, size, &n);
    if (level == IPPROTO_IPV6 &&
        (name == IPV6_RECVPKTINFO || name == IPV6_RECVHOPLIMIT || name == IPV6_MULTICAST_HOPS ||
         name == IPV6_MULTICAST_LOOP || name == IPV6_TCLASS || name == IPV6_RECVTCLASS ||
         name == IPV6_RECVERR))
        return value_int(v, size, &n);
    if (level == IPPROTO_TCP && name == TCP_CONGESTION)
        return size >= 5 && !strncmp(v, "cubic", 5)  ? 0
               : size >= 4 && !strncmp(v, "reno", 4) ? 0
                                                     : -ENOENT;
    return -ENOPROTOOPT;
}

int64_t socket_setopt(struct task *t, struct socket *s, int level, int name, const void *v,
                      unsigned size)
{
    int n;
    if (!level_fits(s, level))
        return s->domain == AF_UNIX ? -EOPNOTSUPP : -ENOPROTOOPT;
    LOCK_GUARD(&g_net_lock);
    for (size_t i = 0; i < ARRAY_COUNT(g_flag_options); i++) {
        if (g_flag_options[i].level != level || g_flag_options[i].name != name)
            continue;
        int err = value_int(v, size, &n);
        if (!err)
            s->flags = n ? s->flags | g_flag_options[i].flag : s->flags & ~g_flag_options[i].flag;
        return err;
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_kept_options); i++) {
        if (g_kept_options[i].level != level || g_kept_options[i].name != name)
            continue;
        int err = value_int(v, size, &n);
        if (!err && (n < g_kept_options[i].min || n > g_kept_options[i].max))
            err = -EINVAL;
        if (!err)
            s->tcp_opts[g_kept_options[i].slot] = n - g_kept_options[i].def;
        return err;
    }
    return level == SOL_SOCKET ? set_socket_level(t, s, name, v, size)
                               : set_ip_level(s, level, name, v, size);
}

/* ---- get
 * ---------------------------------------------------------------------------------------------- */

static int give(void *out, unsigned *size, const void *v, unsigned have)
{
    *size = MIN(*size, have);
    memcpy(out, v, *size);
    return 0;
}

/* The peer's number as the caller knows it. */
static int give_peer_cred(void *out, unsigned *size, const struct ucred *peer)
{
    struct ucred c = *peer;
    struct task *t = task_current();
    if (t)
        c.pid = task_sees_id(t, c.pid);
    return give(out, size, &c, sizeof(c));
}

static int give_int(void *out, unsigned *size, int v)
{
    return give(out, size, &v, sizeof(v));
}

static int give_timeout(void *out, unsigned *size, int64_t ns)
{
    struct timeval tv = {.tv_sec = ns / NSEC_PER_SEC, .tv_usec = ns % NSEC_PER_SEC / 1000};
    return give(out, size, &tv, sizeof(tv));
}

static int get_socket_level(struct socket *s, int name, void *v, unsigned *size)
{
    int err;
    switch (name) {
    case SO_TYPE:
        return give_int(v, size, s->type);
    case SO_DOMAIN:
        return give_int(v, size, s->domain);
    case SO_PROTOCOL:
        return give_int(v, size, s->protocol);
    case SO_ERROR:
        err = s->error;
        s->error = 0;
        return give_int(v, size, err);
    case SO_ACCEPTCONN:
        return give_int(v, size, s->state == SOCK_LISTENING);
    case SO_RCVBUF:
        return give_int(v, size, s->rcvbuf);
    case SO_SNDBUF:
        return give_int(v, size, s->sndbuf);
    case SO_RCVTIMEO:
        return give_timeout(v, size, s->rcvtimeo);
    case SO_SNDTIMEO:
        return give_timeout(v, size, s->sndtimeo);
    case SO_LINGER:
        return give(v, size, &s->linger, sizeof(s->linger));
    case SO_PRIORITY:
        return give_int(v, size, s->priority);
    case SO_MARK:
        return give_int(v, size, s->mark);
    case SO_RCVLOWAT:
        return give_int(v, size, s->rcvlowat);
    case SO_SNDLOWAT:
        return give_int(v, size, 1);
    case SO_PEERCRED:
        if (!s->peer_cred.pid)
            return give(v, size, &(struct ucred){.pid = 0, .uid = -1, .gid = -1},
                        sizeof(struct ucred));
        return give_peer_cred(v, size, &s->peer_cred);
    case SO_PEERGROUPS:
        return give(v, size, "", 0);
    case SO_NO_CHECK:
    case SO_TIMESTAMPNS:
    case SO_INCOMING_CPU:
    case SO_BUSY_POLL:
        return give_int(v, size, 0);
    case SO_BINDTODEVICE:
        return give(v, size, "", 0);
    default:
        return -ENOPROTOOPT;
    }
}

static int get_tcp_info(struct socket *s, void *v, unsigned *size)
{
    struct tcp_info info = {0};
    info.tcpi_state = s->state == SOCK_LISTENING              ? TCP_LISTEN
                      : s->state == SOCK_CONNECTED && s->peer ? TCP_ESTABLISHED
                      : s->rx_eof                             ? TCP_CLOSE_WAIT
                                                              : TCP_CLOSE;
    info.tcpi_snd_mss = info.tcpi_rcv_mss = 65483;
    info.tcpi_unacked = s->accept_count;
    return give(v, size, &info, sizeof(info));
}

static int get_ip_level(struct socket *s, int level, int name, void *v, unsigned *size)
{
    if (level == IPPROTO_IP && name == IP_TOS)
        return give_int(v, size, s->tos);
    if (level == IPPROTO_IP && name == IP_TTL)
        return give_int(v, size, s->ttl);
    if (level == IPPROTO_IP && name == IP_MTU)
        return s->state == SOCK_CONNECTED ? give_int(v, size, 65536) : -ENOTCONN;
    if (level == IPPROTO_TCP && name == TCP_INFO)
        return get_tcp_info(s, v, size);
    if (level == IPPROTO_TCP && name == TCP_CONGESTION)
        return give(v, size, "cubic\0\0\0\0\0\0\0\0\0\0", 16);
    if (level == IPPROTO_IPV6 && (name == IPV6_MULTICAST_HOPS || name == IPV6_MULTICAST_LOOP))
        return give_int(v, size, 1);
    if (level == IPPROTO_IPV6 &&
        (name == IPV6_RECVPKTINFO || name == IPV6_TCLASS || name == IPV6_RECVERR))
        return give_int(v, size, 0);
    return -ENOPROTOOPT;
}

int64_t socket_getopt(struct socket *s, int level, int name, void *v, unsigned *size)
{
    if (!level_fits(s, level))
        return s->domain == AF_UNIX ? -EOPNOTSUPP : -ENOPROTOOPT;
    LOCK_GUARD(&g_net_lock);
    for (size_t i = 0; i < ARRAY_COUNT(g_flag_options); i++)
        if (g_flag_options[i].level == level && g_flag_options[i].name == name)
            return give_int(v, size, !!(s->flags & g_flag_options[i].flag));
    for (size_t i = 0; i < ARRAY_COUNT(g_kept_options); i++)
        if (g_kept_options[i].level == level && g_kept_options[i].name == name)
            return give_int(v, size, s->tcp_opts[g_kept_options[i].slot] + g_kept_options[i].def);
    return level == SOL_SOCKET ? get_socket_level(s, name, v, size)
                               : get_ip_level(s, level, name, v, size);
}
