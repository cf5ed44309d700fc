/* getsockopt(2) and setsockopt(2): the table of options_priv.h, and the options of SOL_SOCKET that
 * have another shape or an action. Options that tune a wire that we do not have are checked, kept
 * and told back. */
#include "base/overflow.h"
#include "net/net_priv.h"
#include "time/time.h"

#include <errno.h>
#include <linux/net_tstamp.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define MIN_RCVBUF 2304 /* SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF */
#define MIN_SNDBUF 4608

static const struct option {
    int level, name;
    unsigned who;
    enum opt_kind kind;
    int min, max, def, cap;
} g_options[OPT_COUNT] = {
#define X(id, level, name, who, kind, min, max, def, cap)                                          \
    {level, name, who, kind, min, max, def, cap},
    SOCKET_OPTIONS(X)
#undef X
};

void socket_options_init(struct socket *s)
{
    for (unsigned i = 0; i < OPT_COUNT; i++)
        s->opt[i] = g_options[i].def;
    s->opt[OPT_KEEPIDLE] = net_knob(NET_KEEPALIVE_TIME);
    s->opt[OPT_KEEPINTVL] = net_knob(NET_KEEPALIVE_INTVL);
    s->opt[OPT_KEEPCNT] = net_knob(NET_KEEPALIVE_PROBES);
    s->opt[OPT_SYNCNT] = net_knob(NET_SYN_RETRIES);
    s->opt[OPT_TTL] = net_knob(NET_DEFAULT_TTL);
    s->opt[OPT_V6ONLY] = net_knob(NET_BINDV6ONLY);
    s->opt[OPT_HDRINCL] = s->kind & K_RAW && s->protocol == IPPROTO_RAW;
    strcpy(s->congestion, "cubic");
}

static int option_find(const struct socket *s, int level, int name)
{
    for (int i = 0; i < OPT_COUNT; i++)
        if (g_options[i].name == name && g_options[i].level == level &&
            (g_options[i].who & s->kind))
            return i;
    return -1;
}

static int level_check(const struct socket *s, int level)
{
    bool inet = s->kind & K_INET, fits = false;
    switch (level) {
    case SOL_SOCKET:
        return 0;
    case IPPROTO_TCP:
        fits = s->kind & K_TCP;
        break;
    case IPPROTO_IP:
        fits = inet;
        break;
    case IPPROTO_IPV6:
        fits = inet && s->domain == AF_INET6;
        break;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
        fits = s->kind & K_UDP && level == s->protocol;
        break;
    case IPPROTO_RAW:
    case IPPROTO_ICMPV6:
        fits = s->kind & (K_RAW | K_PING);
        break;
    case 270 /* SOL_NETLINK */:
        fits = s->kind & K_NETLINK;
        break;
    case 263 /* SOL_PACKET */:
        fits = s->kind & K_PACKET;
        break;
    }
    return fits ? 0 : socket_is_unix(s) ? -EOPNOTSUPP : -ENOPROTOOPT;
}

/* The int in front of a value. IP options may come as one byte, and nothing is a zero: ip(7). */
static int value_int(int level, const struct opt_in *in, int *out)
{
    *out = 0;
    bool byte =
        (level == IPPROTO_IP || level == IPPROTO_RAW || level == 270) && in->size < sizeof(int);
    if (in->size < sizeof(int) && !byte)
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    if (byte)
        *out = in->size ? *(const uint8_t *)in->value : 0;
    else
        memcpy(out, in->value, sizeof(int));
    return 0;
}

/* ---- the table
 * ------------------------------------------------------------------------ */

/* What stands behind the range: values that mean "as before", or that need a right. */
static int table_special(struct task *t, struct socket *s, int i, int *n)
{
    bool admin = net_capable(t, CAP_NET_ADMIN);
    switch (i) {
    case OPT_PRIORITY:
        return (*n < 0 || *n > 6) && !admin && !net_capable(t, CAP_NET_RAW) ? -EPERM : 0;
    case OPT_MARK:
        return admin || net_capable(t, CAP_NET_RAW) ? 0 : -EPERM;
    case OPT_DEBUG:
        return *n && !admin ? -EACCES : 0;
    case OPT_RCVLOWAT:
        *n = *n < 0 ? INT32_MAX : *n ? *n : 1;
        if (s->kind & K_TCP)
            *n = MIN(*n, 1 << 24);
        return 0;
    case OPT_BUSY_POLL:
        return *n > s->opt[i] && !admin ? -EPERM : 0;
    case OPT_LOCK_FILTER:
        return s->opt[i] && !*n ? -EPERM : 0;
    case OPT_BINDTOIFINDEX:
        return *n && s->opt[i] && !net_capable(t, CAP_NET_RAW) ? -EPERM : 0;
    case OPT_MAXSEG:
        return s->state == SOCK_CONNECTED && 0 ? -EINVAL : 0;
    case OPT_LINGER2:
        *n = *n ? *n : 60;
        return 0;
    case OPT_TTL:
    case OPT_HOPS:
        return 0;
    case OPT_WINDOW_CLAMP:
        if (!*n)
            return s->state == SOCK_IDLE || s->state == SOCK_DONE ? 0 : -EINVAL;
        *n = *n < 1152 ? 1152 : *n;
        return 0;
    case OPT_TCP_FASTOPEN:
        *n = MIN(*n, (int)net_knob(NET_SOMAXCONN_KNOB));
        return s->state == SOCK_IDLE || s->state == SOCK_LISTENING ? 0 : -EINVAL;
    case OPT_V6ONLY:
        return s->named ? -EINVAL : 0;
    case OPT_THIN_DUPACK:
        *n = 0;
        return 0;
    case OPT_TRANSPARENT:
    case OPT_TRANSPARENT6:
        return *n && !admin && !net_capable(t, CAP_NET_RAW) ? -EPERM : 0;
    case OPT_REUSEPORT:
        return *n && socket_is_unix(s) ? -EOPNOTSUPP : 0;
    }
    return 0;
}

/* Values that stand for the default. */
static bool table_reset(struct socket *s, int i, int n)
{
    bool is =
        ((i == OPT_TTL || i == OPT_MULTICAST_TTL || i == OPT_MULTICAST_HOPS || i == OPT_TCLASS) &&
         n == -1) ||
        (i == OPT_MAXSEG && n == 0);
    if (is)
        s->opt[i] = i == OPT_TTL ? net_knob(NET_DEFAULT_TTL) : g_options[i].def;
    return is;
}

/* How the kernel rounds a time to whole retransmissions: TCP_DEFER_ACCEPT. */
static int defer_seconds(int n)
{
    int total = 0, step = 1, count = 0;
    while (total < n && count < 255) {
        total += step;
        step = MIN(step * 2, 120);
        count++;
    }
    return n <= 0 ? 0 : total;
}

static int table_set(struct task *t, struct socket *s, int i, const struct opt_in *in)
{
    const struct option *o = &g_options[i];
    int n, err = value_int(o->level, in, &n);
    if (err)
        return err;
    if (o->kind == OPT_READ)
        return -ENOPROTOOPT;
    if (o->cap >= 0 && n && i != OPT_DEBUG && !net_capable(t, o->cap))
        return -EPERM;
    if (table_reset(s, i, n))
        return 0;
    if (o->kind == OPT_INT && (n < o->min || n > o->max))
        return -EINVAL;
    if (o->kind == OPT_CLAMP)
        n = MIN(MAX(n, o->min), o->max);
    err = table_special(t, s, i, &n);
    if (err)
        return err;
    s->opt[i] = o->kind == OPT_BOOL ? !!n : i == OPT_DEFER_ACCEPT ? defer_seconds(n) : n;
    if (s->opt[i] && (i == OPT_TIMESTAMP || i == OPT_TIMESTAMPNS || i == OPT_TIMESTAMP_NEW ||
                      i == OPT_TIMESTAMPNS_NEW))
        packet_stamps_wanted();
    return 0;
}

/* The four ways to ask for a time stamp exclude each other: the last one wins. */
static void one_stamp(struct socket *s, int i)
{
    static const int all[] = {OPT_TIMESTAMP, OPT_TIMESTAMPNS, OPT_TIMESTAMP_NEW,
                              OPT_TIMESTAMPNS_NEW};
    for (unsigned k = 0; k < ARRAY_COUNT(all); k++) {
        bool member = false;
        for (unsigned j = 0; j < ARRAY_COUNT(all); j++)
            member |= all[j] == i;
        if (member && all[k] != i)
            s->opt[all[k]] = 0;
    }
}

/* ---- SOL_SOCKET: set
 * ------------------------------------------------------------------------ */

int opt_set_timeout(const struct opt_in *in, int64_t *out)
{
    struct timeval tv;
    if (in->size < sizeof(tv))
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    memcpy(&tv, in->value, sizeof(tv));
    if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
        return -EDOM;
    if (tv.tv_sec < 0) { /* as Linux: an immediate timeout, which we keep as the shortest */
        *out = 1;
        return 0;
    }
    struct timespec ts = {.tv_sec = tv.tv_sec, .tv_nsec = tv.tv_usec * 1000};
    return time_from_timespec(&ts, out);
}

/* The kernel doubles what is asked, for its own bookkeeping, and tells the doubled figure. */
static void set_buffer(struct socket *s, bool receive, int value, bool force)
{
    uint32_t v = value;
    if (force)
        v = MAX(value, 0);
    else
        v = MIN(v, (uint32_t)net_knob(receive ? NET_RMEM_MAX : NET_WMEM_MAX));
    uint64_t doubled = MIN(v, (uint32_t)INT32_MAX / 2) * 2;
    if (receive)
        s->rcvbuf = MAX(doubled, (uint64_t)MIN_RCVBUF);
    else
        s->sndbuf = MAX(doubled, (uint64_t)MIN_SNDBUF);
    s->opt[OPT_BUF_LOCK] |= receive ? 2 : 1;
}

/* Kept as the index: lo is the one device there is. */
static int set_device(struct task *t, struct socket *s, const struct opt_in *in)
{
    char name[16] = "";
    if (in->fault && in->size)
        return -EFAULT;
    memcpy(name, in->value, MIN(in->size, (unsigned)sizeof(name) - 1));
    int index = !strcmp(name, "lo");
    if (name[0] && !index)
        return -ENODEV;
    if (index != s->opt[OPT_BINDTOIFINDEX] && s->opt[OPT_BINDTOIFINDEX] &&
        !net_capable(t, CAP_NET_RAW))
        return -EPERM;
    s->opt[OPT_BINDTOIFINDEX] = index;
    return 0;
}

static int set_stamping(struct socket *s, const struct opt_in *in, bool is_new)
{
    const int mask = (1 << 18) - 1;
    struct {
        int flags, phc;
    } v = {0, 0};
    if (in->size < sizeof(int))
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    memcpy(&v, in->value, MIN(in->size, (unsigned)sizeof(v)));
    if (v.flags & ~mask)
        return -EINVAL;
    if ((v.flags & SOF_TIMESTAMPING_OPT_ID) &&
        !(s->opt[OPT_TIMESTAMPING] & SOF_TIMESTAMPING_OPT_ID)) {
        if ((s->kind & K_TCP) && s->state != SOCK_CONNECTED)
            return -EINVAL;
        s->stamp_next = 0;
    }
    if ((v.flags & SOF_TIMESTAMPING_OPT_STATS) && !(v.flags & SOF_TIMESTAMPING_OPT_TSONLY))
        return -EINVAL;
    s->opt[OPT_TIMESTAMPING] = v.flags;
    s->opt[OPT_TIMESTAMPING_NEW] = is_new;
    s->opt[OPT_TIMESTAMPING_BIND] = v.phc;
    packet_stamps_wanted();
    return 0;
}

static int set_txtime(struct task *t, struct socket *s, const struct opt_in *in)
{
    struct {
        int clock;
        unsigned flags;
    } v;
    if (in->size != sizeof(v))
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    memcpy(&v, in->value, sizeof(v));
    if (v.flags & ~3u)
        return -EINVAL;
    if (v.clock != CLOCK_MONOTONIC && !net_capable(t, CAP_NET_ADMIN))
        return -EPERM;
    if (v.clock != CLOCK_MONOTONIC && v.clock != CLOCK_REALTIME && v.clock != CLOCK_TAI)
        return -EINVAL;
    s->opt[OPT_TXTIME_CLOCK] = v.clock;
    s->opt[OPT_TXTIME_FLAGS] = v.flags;
    return 0;
}

static int set_pacing(struct socket *s, const struct opt_in *in)
{
    uint64_t rate = 0;
    if (in->size < sizeof(int))
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    if (in->size == sizeof(rate)) {
        memcpy(&rate, in->value, sizeof(rate));
    } else {
        uint32_t v;
        memcpy(&v, in->value, sizeof(v));
        rate = v == UINT32_MAX ? UINT64_MAX : v;
    }
    s->opt[OPT_PACING_LOW] = (int)(uint32_t)rate;
    s->opt[OPT_PACING_HIGH] = (int)(uint32_t)(rate >> 32);
    return 0;
}

static int set_int_option(struct task *t, struct socket *s, int name, int n)
{
    bool admin = net_capable(t, CAP_NET_ADMIN);
    switch (name) {
    case SO_RCVBUFFORCE:
    case SO_SNDBUFFORCE:
        if (!admin)
            return -EPERM;
        set_buffer(s, name == SO_RCVBUFFORCE, n, /*force=*/true);
        return 0;
    case SO_RCVBUF:
    case SO_SNDBUF:
        set_buffer(s, name == SO_RCVBUF, n, /*force=*/false);
        return 0;
    case 14 /* SO_BSDCOMPAT */:
        return 0;
    case SO_ATTACH_BPF:
    case SO_ATTACH_REUSEPORT_EBPF:
        return -EBADF; /* no bpf(2), so no descriptor can be one of its programs */
    case 53 /* SO_CNX_ADVICE */:
        return n == 1 || n == 0 ? 0 : 0;
    case 68 /* SO_DETACH_REUSEPORT_BPF */:
        return s->opt[OPT_REUSEPORT] ? -ENOENT : -EINVAL;
    case 70 /* SO_BUSY_POLL_BUDGET */:
        return n > 64 && !admin ? -EPERM : n < 0 || n > UINT16_MAX ? -EINVAL : 0;
    case 73 /* SO_RESERVE_MEM */:
        return n < 0 ? -EINVAL : -EOPNOTSUPP;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_linger(struct socket *s, const struct opt_in *in)
{
    if (in->size < sizeof(s->linger))
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    memcpy(&s->linger, in->value, sizeof(s->linger));
    s->linger.l_onoff = !!s->linger.l_onoff;
    return 0;
}

static int set_socket_level(struct task *t, struct socket *s, int name, const struct opt_in *in)
{
    if (name == SO_BINDTODEVICE)
        return set_device(t, s, in);
    if (in->size < sizeof(int))
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    switch (name) {
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        return opt_set_timeout(in, &s->rcvtimeo);
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        return opt_set_timeout(in, &s->sndtimeo);
    case SO_LINGER:
        return set_linger(s, in);
    case SO_ATTACH_FILTER:
        return s->opt[OPT_LOCK_FILTER] ? -EPERM : filter_attach(t, s, in);
    case SO_ATTACH_REUSEPORT_CBPF:
        return s->opt[OPT_REUSEPORT] ? 0 : -EINVAL;
    case SO_DETACH_FILTER:
        return s->opt[OPT_LOCK_FILTER] ? -EPERM : filter_detach(s);
    case SO_TIMESTAMPING_OLD:
    case SO_TIMESTAMPING_NEW:
        return set_stamping(s, in, name == SO_TIMESTAMPING_NEW);
    case SO_TXTIME:
        return set_txtime(t, s, in);
    case SO_MAX_PACING_RATE:
        return set_pacing(s, in);
    }
    int n;
    memcpy(&n, in->value, sizeof(n));
    return set_int_option(t, s, name, n);
}

int64_t socket_setopt(struct task *t, struct socket *s, int level, int name,
                      const struct opt_in *in)
{
    if (s->family->provider)
        return s->family->provider->setopt(t, s, level, name, in);
    int err = level_check(s, level);
    if (err)
        return err;
    int i = option_find(s, level, name);
    if (i >= 0) {
        lock_acquire(&g_net_lock);
        err = table_set(t, s, i, in);
        if (!err)
            one_stamp(s, i);
        bool uncork = !err && i == OPT_UDP_CORK && !s->opt[i];
        lock_release(&g_net_lock);
        return uncork ? dgram_uncork(t, s) : err;
    }
    if (level == SOL_SOCKET) {
        LOCK_GUARD(&g_net_lock);
        for (int k = 0; k < OPT_COUNT; k++)
            if (g_options[k].level == level && g_options[k].name == name)
                return in->size < sizeof(int) ? -EINVAL : -EOPNOTSUPP;
        return set_socket_level(t, s, name, in);
    }
    return s->family->setopt ? s->family->setopt(t, s, level, name, in) : -ENOPROTOOPT;
}

/* ---- get
 * ---------------------------------------------------------------------------------------------- */

int opt_give(void *out, unsigned *size, const void *v, unsigned have)
{
    *size = MIN(*size, have);
    memcpy(out, v, *size);
    return 0;
}

int opt_give_int(void *out, unsigned *size, int v)
{
    return opt_give(out, size, &v, sizeof(v));
}

int opt_give_timeout(void *out, unsigned *size, int64_t ns)
{
    struct timeval tv = {.tv_sec = ns / NSEC_PER_SEC, .tv_usec = ns % NSEC_PER_SEC / 1000};
    return opt_give(out, size, &tv, sizeof(tv));
}

static int give_groups(struct socket *s, void *v, unsigned *size)
{
    if (!s->peer_id)
        return -ENODATA;
    unsigned need = s->peer_id->cred->group_count * sizeof(uint32_t);
    if (*size < need) {
        *size = need;
        return -ERANGE;
    }
    return opt_give(v, size, s->peer_id->cred->groups, need);
}

static int give_name(struct socket *s, void *v, unsigned *size)
{
    if (s->state != SOCK_CONNECTED || !s->peer_id) {
        if (s->state != SOCK_CONNECTED)
            return -ENOTCONN;
    }
    if (s->remote.size < *size)
        return -EINVAL;
    return opt_give(v, size, &s->remote.ss, MIN(*size, s->remote.size));
}

static int give_cred(struct socket *s, void *v, unsigned *size)
{
    static const struct ucred none = {.pid = 0, .uid = -1, .gid = -1};
    struct ucred c = s->peer_id ? s->peer_id->ids : none;
    struct task *t = task_current();
    if (t && s->peer_id)
        c.pid = task_sees_id(t, c.pid); /* the peer's number as the caller knows it */
    return opt_give(v, size, &c, sizeof(c));
}

static int give_meminfo(struct socket *s, void *v, unsigned *size)
{
    uint32_t m[9] = {[0] = s->rx_bytes, [1] = s->rcvbuf, [3] = s->sndbuf, [8] = s->drops};
    return opt_give(v, size, m, sizeof(m));
}

static int give_txtime(struct socket *s, void *v, unsigned *size)
{
    int tx[2] = {s->opt[OPT_TXTIME_CLOCK], s->opt[OPT_TXTIME_FLAGS]};
    return opt_give(v, size, tx, sizeof(tx));
}

static int give_stamping(struct socket *s, int name, void *v, unsigned *size)
{
    int ts[2] = {s->opt[OPT_TIMESTAMPING], s->opt[OPT_TIMESTAMPING_BIND]};
    if ((name == SO_TIMESTAMPING_NEW) != !!s->opt[OPT_TIMESTAMPING_NEW])
        ts[0] = ts[1] = 0;
    return opt_give(v, size, ts, sizeof(ts));
}

static int give_pacing(struct socket *s, void *v, unsigned *size)
{
    uint64_t rate = (uint32_t)s->opt[OPT_PACING_LOW] | (uint64_t)s->opt[OPT_PACING_HIGH] << 32;
    if (*size >= sizeof(rate))
        return opt_give(v, size, &rate, sizeof(rate));
    return opt_give_int(v, size, (int)MIN(rate, (uint64_t)UINT32_MAX));
}

static int get_fixed(struct socket *s, int name, int *out)
{
    switch (name) {
    case SO_TYPE:
        *out = s->type;
        return 0;
    case SO_DOMAIN:
        *out = s->domain;
        return 0;
    case SO_PROTOCOL:
        *out = s->protocol;
        return 0;
    case SO_ERROR:
        *out = s->error;
        s->error = 0;
        return 0;
    case SO_ACCEPTCONN:
        *out = s->state == SOCK_LISTENING;
        return 0;
    case SO_RCVBUF:
        *out = s->rcvbuf;
        return 0;
    case SO_SNDBUF:
        *out = s->sndbuf;
        return 0;
    case SO_BPF_EXTENSIONS:
        *out = 64;
        return 0;
    case 14 /* SO_BSDCOMPAT */:
    case 73 /* SO_RESERVE_MEM */:
        *out = 0;
        return 0;
    }
    return -ENOPROTOOPT;
}

static int get_socket_level(struct socket *s, int name, void *v, unsigned *size)
{
    int n;
    switch (name) {
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        return opt_give_timeout(v, size, s->rcvtimeo);
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        return opt_give_timeout(v, size, s->sndtimeo);
    case SO_LINGER:
        return opt_give(v, size, &s->linger, sizeof(s->linger));
    case SO_PEERCRED:
        return give_cred(s, v, size);
    case SO_PEERGROUPS:
        return give_groups(s, v, size);
    case SO_PEERNAME:
        return give_name(s, v, size);
    case 31 /* SO_PEERSEC */:
        return -ENOPROTOOPT;
    case SO_COOKIE:
        return *size < sizeof(s->cookie) ? -EINVAL
                                         : opt_give(v, size, &s->cookie, sizeof(s->cookie));
    case SO_MEMINFO:
        return give_meminfo(s, v, size);
    case SO_TXTIME:
        return give_txtime(s, v, size);
    case SO_TIMESTAMPING_OLD:
    case SO_TIMESTAMPING_NEW:
        return give_stamping(s, name, v, size);
    case SO_MAX_PACING_RATE:
        return give_pacing(s, v, size);
    case 71 /* SO_NETNS_COOKIE */:
        return *size != 8 ? -EINVAL : opt_give(v, size, &(uint64_t){1}, 8);
    case SO_BINDTODEVICE:
        if (!s->opt[OPT_BINDTOIFINDEX])
            return opt_give(v, size, "", 0);
        return *size < 16 ? -EINVAL : opt_give(v, size, "lo", 3);
    }
    int err = get_fixed(s, name, &n);
    return err ? err : opt_give_int(v, size, n);
}

/* SO_PEERPIDFD: a descriptor of its own for the process at the other end. */
static int get_pidfd(struct task *t, struct socket *s, void *v, unsigned *size)
{
    lock_acquire(&g_net_lock);
    struct process *p = s->peer_id ? s->peer_id->process : NULL;
    if (p)
        process_get(p);
    lock_release(&g_net_lock);
    if (!p)
        return -ENODATA;
    int fd = net_pidfd_install(t, p);
    process_put(p);
    return fd < 0 ? fd : opt_give_int(v, size, fd);
}

static int give_table(struct socket *s, int i, void *v, unsigned *size)
{
    int n = s->opt[i];
    if (i == OPT_HOPS && n == -1)
        n = net_knob(NET_DEFAULT_TTL);
    if (i == OPT_MAXSEG && !n)
        n = s->state == SOCK_CONNECTED ? 32768 : 536;
    /* An IP option may be asked for as one byte. */
    if (g_options[i].level == IPPROTO_IP && *size && *size < sizeof(int) && n >= 0 && n <= 255) {
        uint8_t byte = n;
        return opt_give(v, size, &byte, 1);
    }
    return opt_give_int(v, size, n);
}

int64_t socket_getopt(struct task *t, struct socket *s, int level, int name, void *v,
                      unsigned *size)
{
    if (s->family->provider)
        return s->family->provider->getopt(t, s, level, name, v, size);
    int err = level_check(s, level);
    if (err)
        return err;
    if (level == SOL_SOCKET && name == 77 /* SO_PEERPIDFD */)
        return get_pidfd(t, s, v, size);
    if (level == SOL_SOCKET && name == SO_GET_FILTER)
        return filter_read(t, s, v, size);
    lock_acquire(&g_net_lock);
    int i = option_find(s, level, name);
    err = i >= 0 ? give_table(s, i, v, size) : -ENOPROTOOPT;
    bool known = false;
    for (int k = 0; i < 0 && level == SOL_SOCKET && k < OPT_COUNT; k++)
        known |= g_options[k].level == level && g_options[k].name == name;
    if (known)
        err = name == SO_ZEROCOPY ? opt_give_int(v, size, 0) : -EOPNOTSUPP;
    else if (i < 0 && level == SOL_SOCKET)
        err = get_socket_level(s, name, v, size);
    lock_release(&g_net_lock);
    if (i < 0 && level != SOL_SOCKET && s->family->getopt)
        err = s->family->getopt(t, s, level, name, v, size);
    return err;
}
