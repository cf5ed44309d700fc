/* Pipes and fifos.
 *
 * A pipe is a ring of slots, each one page with a filled part, as in Linux: PIPE_BUF bytes go into
 * one slot, so they are atomic; a packet (O_DIRECT) has its slot alone. Pages exist only while they
 * hold bytes. The pipe hangs from its inode (pipe_or_socket) from the first open to the last
 * release, for anonymous pipes and named fifos alike, so /proc/self/fd/N can be opened again.
 *
 * One wait queue serves all: pollers by poll(2) bits, sleeping readers and writers by bits of our
 * own, so that a sleeping writer is woken only when it can move on usefully. */
#include "base/log.h"
#include "base/overflow.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PIPE_DEFAULT_SLOTS 16u
#define PIPE_MIN_SLOTS     2u /* for who holds too much already */
#define PIPE_MAX_SLOTS     (1u << 15) /* for CAP_SYS_RESOURCE: 128 MiB */
#define PIPEFS_SUPER_MAGIC 0x50495045

#define PIPE_EV_READER (1u << 20) /* a sleeping read */
#define PIPE_EV_WRITER (1u << 21) /* a sleeping write */
#define PIPE_EV_OPENER (1u << 22) /* a sleeping open of a fifo */
#define PIPE_EV_ALL    (~0u)

struct pipe_slot {
    char *page;
    uint32_t off, len;
    bool packet;
};

struct pipe {
    struct lock lock; /* LR_PIPE */
    struct waitq wq;
    struct pipe_slot *slots;             /* lock: lock; slot_count entries, owned */
    unsigned slot_count;                 /* lock: lock; power of two */
    unsigned head, tail;                 /* lock: lock to write, atomic to read; head - tail used */
    unsigned writer_need;                /* lock: lock; free slots the neediest sleeper waits for */
    unsigned readers, writers;           /* lock: lock to write, atomic to read; open ends */
    unsigned reader_opens, writer_opens; /* lock: lock to write, atomic to read; ever */
    unsigned files;                      /* lock: inode.lock */
    bool polled;                         /* atomic; someone polls: edges matter to it */
    uint32_t uid;                        /* const; whose pages the slots count as */
    unsigned charged;                    /* lock: lock; slots counted */
};

static struct superblock *g_pipefs; /* const after first use; lock: g_pipefs_lock */
static struct lock g_pipefs_lock = LOCK_INITIALIZER(LR_LEAF);
static const struct file_ops g_pipe_file_ops;

static unsigned load(const unsigned *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(unsigned *p, unsigned v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static unsigned pipe_used(const struct pipe *p)
{
    return load(&p->head) - load(&p->tail);
}

static bool pipe_full(const struct pipe *p)
{
    return pipe_used(p) >= load(&p->slot_count);
}

static struct pipe_slot *pipe_slot_at(struct pipe *p, unsigned n)
{
    return &p->slots[n & (p->slot_count - 1)];
}

/* ---- limits: fs.pipe-max-size, fs.pipe-user-pages-* ---- */

static bool is_privileged(struct task *t)
{
    return !t || cred_has_cap(t->cred, CAP_SYS_RESOURCE) || cred_has_cap(t->cred, CAP_SYS_ADMIN);
}

static bool exceeds(int64_t pages, int64_t limit)
{
    return limit && pages > limit;
}

/* How many slots a new pipe of uid may have, counted; 0: none. */
static unsigned pipe_slots_charge(struct task *t, uint32_t uid)
{
    unsigned want = PIPE_DEFAULT_SLOTS;
    if (want * RF_PAGE_SIZE > (uint64_t)g_vfs_knobs.pipe_max_size &&
        !(t && cred_has_cap(t->cred, CAP_SYS_RESOURCE)))
        want = g_vfs_knobs.pipe_max_size / RF_PAGE_SIZE;
    int64_t pages = ucount_add(UCOUNT_PIPE_PAGES, uid, want);
    if (is_privileged(t))
        return want;
    if (exceeds(pages, g_vfs_knobs.pipe_user_pages_soft) && want > PIPE_MIN_SLOTS) {
        pages = ucount_add(UCOUNT_PIPE_PAGES, uid, (int64_t)PIPE_MIN_SLOTS - want);
        want = PIPE_MIN_SLOTS;
    }
    if (!exceeds(pages, g_vfs_knobs.pipe_user_pages_hard))
        return want;
    ucount_add(UCOUNT_PIPE_PAGES, uid, -(int64_t)want);
    return 0;
}

static struct pipe *pipe_new(void)
{
    struct task *t = task_current();
    struct pipe *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->uid = t ? t->cred->uid : 0;
    p->charged = p->slot_count = pipe_slots_charge(t, p->uid);
    p->slots = p->slot_count ? calloc(p->slot_count, sizeof(*p->slots)) : NULL;
    if (!p->slots) {
        ucount_add(UCOUNT_PIPE_PAGES, p->uid, -(int64_t)p->charged);
        free(p);
        return NULL;
    }
    p->writer_need = UINT_MAX;
    lock_init(&p->lock, LR_PIPE);
    waitq_init(&p->wq);
    return p;
}

static void pipe_free(struct pipe *p)
{
    for (; p->tail != p->head; p->tail++)
        free(pipe_slot_at(p, p->tail)->page);
    ucount_add(UCOUNT_PIPE_PAGES, p->uid, -(int64_t)p->charged);
    lock_destroy(&p->lock);
    free(p->slots);
    free(p);
}

/* ---- reading ---- */

static void pipe_drop_front_locked(struct pipe *p)
{
    struct pipe_slot *s = pipe_slot_at(p, p->tail);
    free(s->page);
    s->page = NULL;
    store(&p->tail, p->tail + 1);
}

/* Bytes moved, or -EFAULT when not even one could be. */
static int64_t pipe_drain_locked(struct pipe *p, struct uio *u)
{
    int64_t done = 0;
    while (u->remaining && p->head != p->tail) {
        struct pipe_slot *s = pipe_slot_at(p, p->tail);
        size_t want = MIN((uint64_t)s->len, u->remaining);
        if (uio_to_user(u, (char *)s->page + s->off, want) < want)
            return done ? done : -EFAULT; /* what could not go as a whole stays as a whole */
        bool packet = s->packet;
        done += want;
        s->off += want;
        s->len -= want;
        if (!s->len || packet)
            pipe_drop_front_locked(p);
        if (packet)
            break;
    }
    return done;
}

/* Events to announce after slots became free. */
static unsigned pipe_freed_events_locked(struct pipe *p, bool was_full)
{
    unsigned ev = 0;
    if (was_full && !pipe_full(p))
        ev |= POLLOUT | POLLWRNORM;
    if (p->slot_count - pipe_used(p) >= p->writer_need) {
        ev |= PIPE_EV_WRITER;
        p->writer_need = UINT_MAX;
    }
    return ev;
}

static bool pipe_readable(struct pipe *p)
{
    return pipe_used(p) || !load(&p->writers);
}

static int64_t pipe_read(struct file *f, struct uio *u, int64_t pos)
{
    struct pipe *p = f->priv;
    if (!u->remaining)
        return 0;
    for (;;) {
        lock_acquire(&p->lock);
        bool was_full = pipe_full(p);
        int64_t n = pipe_drain_locked(p, u);
        unsigned ev = n ? pipe_freed_events_locked(p, was_full) : 0;
        bool eof = !n && !p->writers;
        lock_release(&p->lock);
        if (ev)
            waitq_wake(&p->wq, ev);
        if (n || eof)
            return n;
        struct task *t = task_current();
        if (file_nonblock(f, u) || !t)
            return -EAGAIN;
        int r = wait_event_mask(t, &p->wq, PIPE_EV_READER, DEADLINE_NONE, pipe_readable(p));
        if (r)
            return r;
    }
}

/* ---- writing ---- */

/* A small tail may join the last page when it fits whole: many short writes cost one page. */
static int64_t pipe_merge_locked(struct pipe *p, struct uio *u)
{
    size_t tail = u->remaining & (RF_PAGE_SIZE - 1);
    if (!tail || p->head == p->tail)
        return 0;
    struct pipe_slot *s = pipe_slot_at(p, p->head - 1);
    if (s->packet || s->off + s->len + tail > RF_PAGE_SIZE)
        return 0;
    if (uio_from_user(u, s->page + s->off + s->len, tail) < tail)
        return -EFAULT;
    s->len += tail;
    return tail;
}

static int64_t pipe_add_slot_locked(struct pipe *p, struct uio *u, bool packet)
{
    char *page = malloc(RF_PAGE_SIZE);
    if (!page)
        return -ENOMEM;
    size_t want = MIN(u->remaining, (uint64_t)RF_PAGE_SIZE);
    if (uio_from_user(u, page, want) < want) {
        free(page);
        return -EFAULT;
    }
    *pipe_slot_at(p, p->head) = (struct pipe_slot){.page = page, .len = want, .packet = packet};
    store(&p->head, p->head + 1);
    return want;
}

/* Fill until the buffer is full or the data is out. *done grows; an error only stops. */
static int pipe_fill_locked(struct pipe *p, struct uio *u, bool packet, int64_t *done)
{
    if (!packet && !*done) {
        int64_t n = pipe_merge_locked(p, u);
        if (n < 0)
            return n;
        *done += n;
    }
    while (u->remaining && !pipe_full(p)) {
        int64_t n = pipe_add_slot_locked(p, u, packet);
        if (n < 0)
            return n;
        *done += n;
    }
    return 0;
}

static void pipe_note_need_locked(struct pipe *p, uint64_t remaining)
{
    uint64_t slots = (remaining + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE;
    unsigned need = MIN(slots, (uint64_t)MAX(p->slot_count / 2, 1u));
    p->writer_need = MIN(p->writer_need, need);
}

static int pipe_broken(struct task *t)
{
    if (t)
        signal_send_task(t, SIGPIPE, NULL);
    return -EPIPE;
}

/* The condition of a sleeping writer. What it needs is noted here, on the queue already, or a
 * reader that came in between would have taken the note for an older sleeper's and cleared it. */
static bool pipe_writable(struct pipe *p, uint64_t remaining)
{
    LOCK_GUARD(&p->lock);
    if (!p->readers || !pipe_full(p))
        return true;
    pipe_note_need_locked(p, remaining);
    return false;
}

static unsigned pipe_filled_events(struct pipe *p, bool was_empty)
{
    unsigned ev = was_empty ? POLLIN | POLLRDNORM | PIPE_EV_READER : 0;
    if (__atomic_load_n(&p->polled, __ATOMIC_RELAXED))
        ev |= POLLIN | POLLRDNORM;
    return ev;
}

static int64_t pipe_write(struct file *f, struct uio *u, int64_t pos)
{
    struct pipe *p = f->priv;
    struct task *t = task_current();
    int64_t done = 0;
    if (!u->remaining)
        return 0;
    for (;;) {
        lock_acquire(&p->lock);
        if (!p->readers) {
            lock_release(&p->lock);
            return done ? done : pipe_broken(t);
        }
        bool was_empty = p->head == p->tail;
        int64_t before = done;
        int err = pipe_fill_locked(p, u, f->flags & O_DIRECT, &done);
        bool sleep = !err && u->remaining && !file_nonblock(f, u) && t;
        lock_release(&p->lock);
        if (done > before)
            waitq_wake(&p->wq, pipe_filled_events(p, was_empty));
        if (!sleep)
            return done ? done : err ? err : -EAGAIN;
        int r = wait_event_mask(t, &p->wq, PIPE_EV_WRITER, DEADLINE_NONE,
                                pipe_writable(p, u->remaining));
        if (r)
            return done ? done : r;
    }
}

/* ---- poll, ioctl, size ---- */

static unsigned pipe_poll(struct file *f)
{
    struct pipe *p = f->priv;
    unsigned ev = 0;
    __atomic_store_n(&p->polled, true, __ATOMIC_RELAXED);
    if (f->mode & FMODE_READ) {
        if (pipe_used(p))
            ev |= POLLIN | POLLRDNORM;
        /* No hangup before the first writer: f->pos holds the writer count seen at open. */
        if (!load(&p->writers) && (unsigned)f->pos != load(&p->writer_opens))
            ev |= POLLHUP;
    }
    if (f->mode & FMODE_WRITE) {
        if (!pipe_full(p))
            ev |= POLLOUT | POLLWRNORM;
        if (!load(&p->readers))
            ev |= POLLERR;
    }
    return ev;
}

static struct waitq *pipe_waitq(struct file *f)
{
    struct pipe *p = f->priv;
    return &p->wq;
}

int64_t pipe_queued(struct file *f)
{
    if (f->ops != &g_pipe_file_ops)
        return -EBADF;
    struct pipe *p = f->priv;
    LOCK_GUARD(&p->lock);
    int64_t n = 0;
    for (unsigned i = p->tail; i != p->head; i++)
        n += pipe_slot_at(p, i)->len;
    return n;
}

static int64_t pipe_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    if (cmd != FIONREAD)
        return -ENOTTY;
    int n = MIN(pipe_queued(f), (int64_t)INT_MAX);
    return uaccess_write_obj(t->mm, uaddr(arg), &n);
}

int64_t pipe_size_get(struct file *f)
{
    if (f->ops != &g_pipe_file_ops)
        return -EBADF;
    struct pipe *p = f->priv;
    return (int64_t)load(&p->slot_count) * RF_PAGE_SIZE;
}

static int pipe_resize_locked(struct pipe *p, unsigned count)
{
    unsigned used = pipe_used(p);
    if (used > count)
        return -EBUSY;
    struct pipe_slot *slots = calloc(count, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (unsigned i = 0; i < used; i++)
        slots[i] = *pipe_slot_at(p, p->tail + i);
    free(p->slots);
    p->slots = slots;
    store(&p->tail, 0);
    store(&p->head, used);
    store(&p->slot_count, count);
    return 0;
}

static int pipe_grow_check(struct pipe *p, struct task *t, unsigned count, int64_t pages)
{
    if (count <= p->slot_count)
        return 0;
    if ((uint64_t)count * RF_PAGE_SIZE > (uint64_t)g_vfs_knobs.pipe_max_size &&
        !cred_has_cap(t->cred, CAP_SYS_RESOURCE))
        return -EPERM;
    bool much = exceeds(pages, g_vfs_knobs.pipe_user_pages_soft) ||
                exceeds(pages, g_vfs_knobs.pipe_user_pages_hard);
    return much && !is_privileged(t) ? -EPERM : 0;
}

static int pipe_set_slots(struct pipe *p, struct task *t, unsigned count)
{
    LOCK_GUARD(&p->lock);
    int64_t more = (int64_t)count - p->charged;
    int r = pipe_grow_check(p, t, count, ucount_add(UCOUNT_PIPE_PAGES, p->uid, more));
    if (!r)
        r = pipe_resize_locked(p, count);
    if (r) {
        ucount_add(UCOUNT_PIPE_PAGES, p->uid, -more);
        return r;
    }
    p->charged = count;
    p->writer_need = UINT_MAX;
    return 0;
}

int64_t pipe_size_set(struct file *f, struct task *t, uint64_t size)
{
    if (f->ops != &g_pipe_file_ops)
        return -EBADF;
    if (size > 1u << 31)
        return -EINVAL;
    struct pipe *p = f->priv;
    unsigned count = 1;
    while ((uint64_t)count * RF_PAGE_SIZE < size)
        count *= 2;
    if (count > PIPE_MAX_SLOTS)
        return cred_has_cap(t->cred, CAP_SYS_RESOURCE) ? -ENOMEM : -EPERM;
    int r = pipe_set_slots(p, t, count);
    if (r)
        return r;
    waitq_wake(&p->wq, POLLOUT | POLLWRNORM | PIPE_EV_WRITER);
    return (int64_t)count * RF_PAGE_SIZE;
}

/* ---- giving back ---- */

static int pipe_room_in_front_locked(struct pipe *p, unsigned need)
{
    unsigned count = p->slot_count;
    while (count - pipe_used(p) < need)
        count *= 2;
    return count == p->slot_count ? 0 : pipe_resize_locked(p, count);
}

static int pipe_unread_locked(struct pipe *p, const char *buf, size_t size)
{
    unsigned need = (size + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE;
    int r = pipe_room_in_front_locked(p, need);
    while (!r && size) {
        size_t n = (size - 1) % RF_PAGE_SIZE + 1; /* the tail first: every page but one is full */
        char *page = malloc(RF_PAGE_SIZE);
        if (!page)
            return -ENOMEM;
        size -= n;
        memcpy(page, buf + size, n);
        store(&p->tail, p->tail - 1);
        *pipe_slot_at(p, p->tail) = (struct pipe_slot){.page = page, .len = n};
    }
    return r;
}

int pipe_unread(struct file *f, const void *buf, size_t size)
{
    struct pipe *p = f->priv;
    if (f->ops != &g_pipe_file_ops)
        return -EBADF;
    lock_acquire(&p->lock);
    int r = pipe_unread_locked(p, buf, size);
    lock_release(&p->lock);
    waitq_wake(&p->wq, POLLIN | POLLRDNORM | PIPE_EV_READER);
    return r;
}

/* ---- tee ---- */

static int64_t pipe_copy_slots_locked(struct pipe *in, struct pipe *out, uint64_t size)
{
    int64_t done = 0;
    for (unsigned i = in->tail; i != in->head && size && !pipe_full(out); i++) {
        struct pipe_slot *s = pipe_slot_at(in, i);
        size_t n = MIN((uint64_t)s->len, size);
        char *page = malloc(RF_PAGE_SIZE);
        if (!page)
            return done ? done : -ENOMEM;
        memcpy(page, s->page + s->off, n);
        *pipe_slot_at(out, out->head) =
            (struct pipe_slot){.page = page, .len = n, .packet = s->packet};
        store(&out->head, out->head + 1);
        done += n;
        size -= n;
    }
    return done;
}

static int64_t pipe_tee_once(struct pipe *in, struct pipe *out, uint64_t size, bool *eof)
{
    struct pipe *first = in < out ? in : out, *second = in < out ? out : in;
    lock_acquire(&first->lock);
    lock_acquire_nested(&second->lock);
    bool was_empty = out->head == out->tail;
    int64_t n = out->readers ? pipe_copy_slots_locked(in, out, size) : -EPIPE;
    *eof = !n && in->head == in->tail && !in->writers;
    lock_release(&second->lock);
    lock_release(&first->lock);
    if (n > 0)
        waitq_wake(&out->wq, pipe_filled_events(out, was_empty));
    return n;
}

int64_t pipe_tee(struct file *in, struct file *out, uint64_t size, bool nonblock)
{
    if (in->ops != &g_pipe_file_ops || out->ops != &g_pipe_file_ops || in->priv == out->priv)
        return -EINVAL;
    if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
        return -EBADF;
    struct task *t = task_current();
    struct pipe *pi = in->priv, *po = out->priv;
    for (;;) {
        bool eof = false;
        int64_t n = size ? pipe_tee_once(pi, po, size, &eof) : 0;
        if (n == -EPIPE)
            return pipe_broken(t);
        if (n || eof || !size)
            return n;
        if (nonblock || !t)
            return -EAGAIN;
        bool empty = !pipe_used(pi);
        int r = empty
                    ? wait_event_mask(t, &pi->wq, PIPE_EV_READER, DEADLINE_NONE, pipe_readable(pi))
                    : wait_event_mask(t, &po->wq, POLLOUT | POLLERR, DEADLINE_NONE,
                                      pipe_writable(po, 1));
        if (r)
            return r;
    }
}

/* ---- opening and closing ---- */

/* Find or make the pipe of an inode, and count one more file on it. */
static struct pipe *pipe_of_inode_get(struct inode *inode)
{
    LOCK_GUARD(&inode->lock);
    if (!inode->pipe_or_socket)
        inode->pipe_or_socket = pipe_new();
    struct pipe *p = inode->pipe_or_socket;
    if (p)
        p->files++;
    return p;
}

static void pipe_of_inode_put(struct inode *inode, struct pipe *p)
{
    lock_acquire(&inode->lock);
    bool last = --p->files == 0;
    if (last)
        inode->pipe_or_socket = NULL;
    lock_release(&inode->lock);
    if (last)
        pipe_free(p);
}

/* Count the end. *peers: how often the other side had been opened, if nobody has it open now; else
 * one less, so that a wait for a change of that number is over at once. Both in one step: a peer
 * that waited for us may be woken and gone before we look again. */
static void pipe_end_opened(struct pipe *p, unsigned mode, unsigned *peers)
{
    lock_acquire(&p->lock);
    if (mode & FMODE_READ) {
        store(&p->readers, p->readers + 1);
        store(&p->reader_opens, p->reader_opens + 1);
        *peers = p->writer_opens - (p->writers != 0);
    }
    if (mode & FMODE_WRITE) {
        store(&p->writers, p->writers + 1);
        store(&p->writer_opens, p->writer_opens + 1);
        *peers = p->reader_opens - (p->readers != 0);
    }
    lock_release(&p->lock);
    waitq_wake(&p->wq, PIPE_EV_OPENER);
}

static void pipe_end_closed(struct inode *inode, struct pipe *p, unsigned mode)
{
    lock_acquire(&p->lock);
    if (mode & FMODE_READ)
        store(&p->readers, p->readers - 1);
    if (mode & FMODE_WRITE)
        store(&p->writers, p->writers - 1);
    lock_release(&p->lock);
    waitq_wake(&p->wq, PIPE_EV_ALL);
    pipe_of_inode_put(inode, p);
}

static void pipe_release(struct file *f)
{
    pipe_end_closed(f->inode, f->priv, f->mode);
}

/* Wait until the other side has been opened, even if it is gone again. */
static int fifo_rendezvous(struct pipe *p, unsigned mode, unsigned peers)
{
    const unsigned *opens = mode == FMODE_READ ? &p->writer_opens : &p->reader_opens;
    struct task *t = task_current();
    if (mode == (FMODE_READ | FMODE_WRITE) || load(opens) != peers)
        return 0;
    if (!t)
        return -EAGAIN;
    return wait_event_mask(t, &p->wq, PIPE_EV_OPENER, DEADLINE_NONE, load(opens) != peers);
}

int fifo_open(struct inode *inode, struct file *f)
{
    unsigned mode = f->mode & (FMODE_READ | FMODE_WRITE);
    struct pipe *p = pipe_of_inode_get(inode);
    if (!p)
        return -ENOMEM;
    if (mode == FMODE_WRITE && (f->flags & O_NONBLOCK) && !load(&p->readers)) {
        pipe_of_inode_put(inode, p);
        return -ENXIO;
    }
    unsigned writers_before = load(&p->writer_opens), peers = 0;
    bool had_writer = load(&p->writers);
    pipe_end_opened(p, mode, &peers);
    /* An anonymous pipe, by way of /proc/self/fd/N: its other end may be gone for good. */
    bool anonymous = inode->sb == g_pipefs;
    int r = anonymous || (f->flags & O_NONBLOCK) ? 0 : fifo_rendezvous(p, mode, peers);
    if (r) {
        pipe_end_closed(inode, p, mode);
        return r;
    }
    f->pos = had_writer || anonymous || !(f->flags & O_NONBLOCK) ? -1 : (int64_t)writers_before;
    f->priv = p;
    f->ops = &g_pipe_file_ops;
    return 0;
}

static int pipe_fdname(struct file *f, char *buf, size_t size)
{
    if (f->inode->sb != g_pipefs)
        return -ENOENT; /* a fifo has its path */
    return snprintf(buf, size, "pipe:[%lu]", (unsigned long)f->inode->ino);
}

static const struct file_ops g_pipe_file_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .waitq = pipe_waitq,
    .ioctl = pipe_ioctl,
    .release = pipe_release,
    .fdname = pipe_fdname,
    .stream = true,
    .nowait = true,
};

static int pipefs_statfs(struct superblock *sb, struct statfs *out)
{
    *out = (struct statfs){.f_type = PIPEFS_SUPER_MAGIC, .f_bsize = 4096, .f_namelen = 255};
    return 0;
}

static const struct super_ops g_pipefs_ops = {.statfs = pipefs_statfs};
static const struct inode_ops g_pipe_inode_ops = {.open = fifo_open};

static struct superblock *pipefs_get(void)
{
    LOCK_GUARD(&g_pipefs_lock);
    if (!g_pipefs)
        g_pipefs = superblock_new(&g_pipefs_ops, "pipefs", PIPEFS_SUPER_MAGIC);
    return g_pipefs;
}

static struct inode *pipe_inode_new(void)
{
    struct superblock *sb = pipefs_get();
    struct inode *inode = sb ? inode_new(sb, S_IFIFO | 0600) : NULL;
    if (!inode)
        return NULL;
    inode->ino = __atomic_fetch_add(&sb->next_ino, 1, __ATOMIC_RELAXED);
    inode->ops = &g_pipe_inode_ops;
    struct task *t = task_current();
    if (t) {
        inode->uid = t->cred->fsuid;
        inode->gid = t->cred->fsgid;
    }
    return inode;
}

/* One end on the inode; the inode reference is consumed on success. */
static int pipe_end_new(struct inode *inode, unsigned flags, struct file **out)
{
    struct pipe *p = pipe_of_inode_get(inode);
    if (!p)
        return -ENFILE;
    struct file *f;
    int r = file_new_inode(inode, flags, "pipe", &f);
    if (r) {
        pipe_of_inode_put(inode, p);
        return r;
    }
    f->ops = &g_pipe_file_ops;
    f->priv = p;
    f->pos = -1;
    unsigned peers;
    pipe_end_opened(p, f->mode, &peers);
    *out = f;
    return 0;
}

int pipe_open(unsigned flags, struct file *out[2])
{
    if ((flags & O_EXCL) && !(flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT | O_EXCL)))
        return -ENOPKG; /* O_NOTIFICATION_PIPE: a kernel without watch queues */
    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    struct inode *inode = pipe_inode_new();
    if (!inode)
        return -ENOMEM;
    flags &= O_NONBLOCK | O_DIRECT;
    int r = pipe_end_new(inode, O_RDONLY | flags, &out[0]);
    if (r) {
        inode_put(inode);
        return r;
    }
    inode_get(inode);
    r = pipe_end_new(inode, O_WRONLY | flags, &out[1]);
    if (r) {
        inode_put(inode);
        file_put(out[0]);
    }
    return r;
}
