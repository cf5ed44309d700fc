/* Transport of the gofer client: channels, and one request over one of them. The requests
 * themselves are in gofer_requests.c.
 *
 * Which channel: one whose server thread is on our CPU already (the server's thread follows the
 * CPU that a request names; a wake-up across CPUs costs five times as much), else one that has
 * been nowhere yet, else any. More are made when a thread had to wait, when requests keep coming
 * from CPUs that no channel is on, and before a slow request (fsync) takes the last free one.
 */
#include "fs/gofer_client_priv.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/host.h"

#define YIELD_SLOW_NS 200000ll    /* a yield that took longer went to somebody else ... */
#define YIELD_OFF_NS  200000000ll /* ... so none for this long */
#define MISPLACED_MAX 8u          /* requests on a channel of another CPU before one more is made */

/* ---- the sockets ---- */

static int channel_send(struct gofer_channel *ch, const void *msg, size_t size)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = size};
    struct msghdr head = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    do
        sent = sendmsg(ch->fd, &head, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size ? 0 : -EIO;
}

/* Bytes received. *fd: a descriptor that came along, or -1; NULL: drop what comes. */
static int channel_recv(struct gofer_channel *ch, int *fd)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = ch->in, .iov_len = sizeof(ch->in)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *cm;
    ssize_t got;

    if (fd) {
        msg.msg_control = control.buf;
        msg.msg_controllen = sizeof(control.buf);
    }
    do
        got = recvmsg(ch->fd, &msg, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    cm = fd && got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS &&
        cm->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(cm), sizeof(*fd));
    return got <= 0 || (msg.msg_flags & MSG_TRUNC) ? -EIO : (int)got;
}

/* The reply to (type, tag), checked: its status, with the body in r. */
static int channel_reply(struct gofer_channel *ch, uint16_t type, struct gofercodec_reader *r,
                         int *fd)
{
    struct goferp_rep rep;
    int got = channel_recv(ch, fd);

    if (got < 0)
        return GOFER_BROKEN;
    gofercodec_reader_init(r, ch->in, (size_t)got);
    gofercodec_get(r, &rep, sizeof(rep));
    if (r->bad || rep.size != (uint32_t)got || rep.type != type || rep.tag != ch->tag)
        return GOFER_BROKEN;
    if (rep.status > 0 || rep.status < -4095)
        return GOFER_BROKEN;
    if (fd && rep.fd_count != (*fd >= 0))
        return rep.fd_count ? -ENFILE : GOFER_BROKEN; /* our own table was full */
    return rep.status;
}

static struct gofer_channel *channel_new(int fd)
{
    struct gofer_channel *ch = malloc(sizeof(*ch));

    if (ch) {
        ch->fd = fd;
        ch->cpu = GOFERP_NOCPU;
        ch->tag = 0;
        ch->busy = false;
    }
    return ch;
}

/* ---- the pool ---- */

static struct gofer_channel *pool_find_locked(struct gofer *g, uint32_t cpu)
{
    struct gofer_channel *best = NULL;
    unsigned i;

    for (i = 0; i < g->channel_count; i++) {
        struct gofer_channel *ch = g->channels[i];

        if (ch->busy)
            continue;
        if (ch->cpu == cpu)
            return ch;
        if (!best || ch->cpu == GOFERP_NOCPU)
            best = ch;
    }
    return best;
}

static unsigned pool_free_count_locked(const struct gofer *g)
{
    unsigned i, free_count = 0;

    for (i = 0; i < g->channel_count; i++)
        free_count += !g->channels[i]->busy;
    return free_count;
}

static bool pool_should_grow_locked(struct gofer *g, const struct gofer_channel *ch, uint32_t cpu,
                                    bool slow)
{
    bool grow = g->crowded || (slow && pool_free_count_locked(g) == 0);

    if (ch->cpu != cpu && ch->cpu != GOFERP_NOCPU && ++g->misplaced > MISPLACED_MAX)
        grow = true;
    if (g->growing || g->channel_count >= g->channel_max)
        return false;
    if (grow) {
        g->crowded = false;
        g->misplaced = 0;
        g->growing = true;
    }
    return grow;
}

static void pool_wake(struct gofer *g)
{
    if (__atomic_load_n(&g->waiters, __ATOMIC_SEQ_CST))
        host_futex_wake(&g->released, 1);
}

static void pool_add(struct gofer *g, struct gofer_channel *ch)
{
    lock_acquire(&g->lock);
    if (ch)
        g->channels[g->channel_count++] = ch;
    else
        g->channel_max = g->channel_count; /* the server cannot: do not ask again */
    g->growing = false;
    __atomic_add_fetch(&g->released, 1, __ATOMIC_SEQ_CST);
    lock_release(&g->lock);
    pool_wake(g);
}

/* Ask over ch, which is ours, for another channel. */
static int pool_grow(struct gofer *g, struct gofer_channel *ch)
{
    struct goferp_req req = {
        .size = sizeof(req), .type = GOFERP_CHANNEL, .tag = ++ch->tag, .cpu = ch->cpu};
    struct gofer_channel *more = NULL;
    struct gofercodec_reader r;
    int fd = -1, rc = channel_send(ch, &req, sizeof(req));

    rc = rc < 0 ? GOFER_BROKEN : channel_reply(ch, GOFERP_CHANNEL, &r, &fd);
    if (rc == 0 && fd >= 0)
        more = channel_new(fd);
    if (!more && fd >= 0)
        host_close(fd);
    pool_add(g, more);
    return rc == GOFER_BROKEN ? rc : 0;
}

static uint32_t this_cpu(void)
{
    int cpu = sched_getcpu();

    return cpu < 0 ? GOFERP_NOCPU : (uint32_t)cpu;
}

static struct gofer_channel *pool_take(struct gofer *g, bool slow, bool *grow)
{
    struct gofer_channel *ch;
    uint32_t cpu, seen;

    for (;;) {
        lock_acquire(&g->lock);
        cpu = this_cpu();
        ch = pool_find_locked(g, cpu);
        if (ch) {
            ch->busy = true;
            *grow = pool_should_grow_locked(g, ch, cpu, slow);
            ch->cpu = cpu;
            lock_release(&g->lock);
            return ch;
        }
        g->crowded = true;
        __atomic_add_fetch(&g->waiters, 1, __ATOMIC_SEQ_CST);
        seen = __atomic_load_n(&g->released, __ATOMIC_SEQ_CST);
        lock_release(&g->lock);
        host_futex_wait(&g->released, seen, INT64_MAX);
        __atomic_sub_fetch(&g->waiters, 1, __ATOMIC_SEQ_CST);
    }
}

static void pool_give(struct gofer *g, struct gofer_channel *ch)
{
    lock_acquire(&g->lock);
    ch->busy = false;
    __atomic_add_fetch(&g->released, 1, __ATOMIC_SEQ_CST);
    lock_release(&g->lock);
    pool_wake(g);
}

/* ---- one request ---- */

int gofer_rpc_begin(struct gofer_rpc *p, struct gofer *g, enum goferp_type type)
{
    bool grow = false;

    *p = (struct gofer_rpc){.g = g, .type = (uint16_t)type, .fd = -1};
    p->slow = type == GOFERP_FSYNC || type == GOFERP_FLUSH;
    if (__atomic_load_n(&g->broken, __ATOMIC_ACQUIRE))
        return -EIO;
    p->ch = pool_take(g, p->slow, &grow);
    if (grow && pool_grow(g, p->ch) < 0) {
        __atomic_store_n(&g->broken, true, __ATOMIC_RELEASE);
        gofer_rpc_end(p);
        return -EIO;
    }
    gofercodec_writer_init(&p->w, p->ch->out, sizeof(p->ch->out));
    gofercodec_reserve(&p->w, sizeof(struct goferp_req));
    return 0;
}

/* The server's thread is woken on our CPU, and runs when we leave it. If we left by blocking, its
 * reply would wake us, and the scheduler likes to do that on an idle CPU, where everything costs
 * five times as much (measured: 9 us and 35 us). So yield first: then we are never asleep, and
 * never moved. On a busy CPU, though, a yield hands a whole time slice to the others: then it is
 * given up for a while, and no CPU is idle anyway. */
static void rpc_yield(struct gofer_rpc *p)
{
    int64_t start = host_clock_ns(CLOCK_MONOTONIC), end;

    if (p->slow || start < __atomic_load_n(&p->g->yield_from_ns, __ATOMIC_RELAXED))
        return;
    sched_yield();
    end = host_clock_ns(CLOCK_MONOTONIC);
    if (end - start > YIELD_SLOW_NS)
        __atomic_store_n(&p->g->yield_from_ns, end + YIELD_OFF_NS, __ATOMIC_RELAXED);
}

static int rpc_round(struct gofer_rpc *p, bool wants_fd)
{
    struct goferp_req req = {
        .size = (uint32_t)p->w.size, .type = p->type, .tag = ++p->ch->tag, .cpu = p->ch->cpu};

    memcpy(p->ch->out, &req, sizeof(req));
    if (channel_send(p->ch, p->ch->out, p->w.size) < 0)
        return GOFER_BROKEN;
    rpc_yield(p);
    return channel_reply(p->ch, p->type, &p->r, wants_fd ? &p->fd : NULL);
}

/* Send the dropped fids over a channel that is ours; how many there were. */
static int drop_send(struct gofer *g, struct gofer_channel *ch)
{
    struct {
        struct goferp_req req;
        struct goferp_clunk_req clunk;
        uint64_t fids[GOFER_DROP_MAX];
    } m;
    struct gofercodec_reader r;
    unsigned count;
    size_t size;

    lock_acquire(&g->lock);
    count = g->drop_count;
    memcpy(m.fids, g->drops, count * sizeof(m.fids[0]));
    g->drop_count = 0;
    lock_release(&g->lock);
    if (!count)
        return 0;
    size = offsetof(__typeof__(m), fids) + count * sizeof(m.fids[0]);
    m.req = (struct goferp_req){
        .size = (uint32_t)size, .type = GOFERP_CLUNK, .tag = ++ch->tag, .cpu = ch->cpu};
    m.clunk = (struct goferp_clunk_req){.count = count};
    if (channel_send(ch, &m, size) < 0 || channel_reply(ch, GOFERP_CLUNK, &r, NULL) < 0)
        return GOFER_BROKEN;
    return (int)count;
}

int gofer_rpc_call(struct gofer_rpc *p, bool wants_fd)
{
    int rc;

    if (p->w.bad)
        return -EMSGSIZE;
    rc = rpc_round(p, wants_fd);
    if (rc == -EMFILE && (rc = drop_send(p->g, p->ch)) >= 0)
        rc = rc ? rpc_round(p, wants_fd) : -EMFILE;
    if (rc == GOFER_BROKEN)
        rc = gofer_rpc_break(p);
    if (rc < 0 && p->fd >= 0) {
        host_close(p->fd);
        p->fd = -1;
    }
    return rc;
}

int gofer_rpc_break(struct gofer_rpc *p)
{
    __atomic_store_n(&p->g->broken, true, __ATOMIC_RELEASE);
    if (p->fd >= 0)
        host_close(p->fd);
    p->fd = -1;
    return -EIO;
}

void gofer_rpc_end(struct gofer_rpc *p)
{
    pool_give(p->g, p->ch);
}

/* ---- dropped fids ---- */

static void drop_flush(struct gofer *g)
{
    bool grow = false;
    struct gofer_channel *ch;

    if (__atomic_load_n(&g->broken, __ATOMIC_ACQUIRE))
        return;
    ch = pool_take(g, /*slow=*/false, &grow);
    if ((grow && pool_grow(g, ch) < 0) || drop_send(g, ch) < 0)
        __atomic_store_n(&g->broken, true, __ATOMIC_RELEASE);
    pool_give(g, ch);
}

void gofer_fid_drop_flush(struct gofer *g)
{
    drop_flush(g);
}

void gofer_fid_drop(struct gofer *g, uint64_t fid)
{
    bool done = fid == GOFERP_NOFID;

    while (!done && !__atomic_load_n(&g->broken, __ATOMIC_ACQUIRE)) {
        bool full;

        lock_acquire(&g->lock);
        if (g->drop_count < GOFER_DROP_MAX) {
            g->drops[g->drop_count++] = fid;
            done = true;
        }
        full = g->drop_count == GOFER_DROP_MAX;
        lock_release(&g->lock);
        if (full)
            drop_flush(g);
    }
}

/* ---- the connection ---- */

static int handshake(struct gofer *g)
{
    struct goferp_version_req q = {
        .magic = GOFERP_MAGIC, .version_min = GOFERP_PROTOCOL, .version_max = GOFERP_PROTOCOL};
    struct gofer_rpc p;
    int rc = gofer_rpc_begin(&p, g, GOFERP_VERSION);

    if (rc < 0)
        return rc;
    gofercodec_put(&p.w, &q, sizeof(q));
    rc = gofer_rpc_call(&p, /*wants_fd=*/false);
    if (rc == 0) {
        gofercodec_get(&p.r, &g->info, sizeof(g->info));
        if (!gofercodec_done(&p.r) || g->info.version != GOFERP_PROTOCOL)
            rc = gofer_rpc_break(&p);
    }
    gofer_rpc_end(&p);
    return rc;
}

int gofer_connect(int fd, struct gofer **out)
{
    struct gofer *g = calloc(1, sizeof(*g));
    int rc;

    if (!g || !(g->channels[0] = channel_new(fd))) {
        free(g);
        host_close(fd);
        return -ENOMEM;
    }
    ref_init(&g->ref);
    lock_init(&g->lock, LR_GOFER);
    g->channel_count = g->channel_max = 1;
    rc = handshake(g);
    if (rc < 0) {
        gofer_put(g);
        return rc;
    }
    if (g->info.channel_max > 1)
        g->channel_max =
            g->info.channel_max < GOFERP_CHANNELS_MAX ? g->info.channel_max : GOFERP_CHANNELS_MAX;
    *out = g;
    return 0;
}

void gofer_get(struct gofer *g)
{
    ref_get(&g->ref);
}

int gofer_poll_fd(const struct gofer *g)
{
    return g->channels[0]->fd;
}

void gofer_put(struct gofer *g)
{
    unsigned i;

    if (!ref_put(&g->ref))
        return;
    for (i = 0; i < g->channel_count; i++) {
        host_close(g->channels[i]->fd);
        free(g->channels[i]);
    }
    lock_destroy(&g->lock);
    free(g);
}

const struct goferp_version_rep *gofer_info(const struct gofer *g)
{
    return &g->info;
}
