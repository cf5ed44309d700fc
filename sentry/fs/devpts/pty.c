/* Pseudo terminals: the two ends and what moves between them.
 *
 * The master end is one file (from ptmx); the slave is struct tty, opened any number of times
 * through /dev/pts/N or /dev/tty. Each file and the session hold a reference. Life: made by ptmx
 * (locked) → slave opened → slave closed (the master reads EIO, unless it is opened again) → master
 * closed: the session is hung up, the number is free, and what is left of the slave reads end of
 * file. */
#include "base/log.h"
#include "base/overflow.h"
#include "fs/devpts/pty_priv.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define PTY_CHUNK 512

static const struct file_ops g_slave_ops, g_master_ops;

void pty_wake_both(struct pty *p)
{
    waitq_wake(&p->master_wq, ~0u);
    waitq_wake(&p->slave_wq, ~0u);
}

static bool nonblocking(struct file *f)
{
    return (__atomic_load_n(&f->flags, __ATOMIC_RELAXED) & O_NONBLOCK) || !task_current();
}

/* Has vhangup passed since this file was opened, or is the master gone? */
static bool slave_dead_locked(const struct file *f, const struct pty *p)
{
    return !p->master_open || (unsigned)f->pos != p->hangups;
}

bool pty_slave_dead(const struct file *f, struct pty *p)
{
    LOCK_GUARD(&p->lock);
    return slave_dead_locked(f, p);
}

/* ---- the slave's read ---- */

struct slave_read {
    struct pty *p;
    const struct file *f;
    unsigned min; /* raw mode: wait for as many */
    bool hungup;
};

static bool slave_can_read(struct slave_read *r)
{
    LOCK_GUARD(&r->p->lock);
    r->hungup = slave_dead_locked(r->f, r->p);
    return r->hungup || ldisc_readable(&r->p->ld, r->min);
}

/* How long, and for how much, a raw read waits: VMIN and VTIME as termios(3) says. */
static void read_terms(struct pty *p, size_t size, unsigned *min, int64_t *deadline)
{
    LOCK_GUARD(&p->lock);
    const struct termios2 *t = &p->ld.tio;
    *min = 1;
    *deadline = DEADLINE_NONE;
    if (t->c_lflag & ICANON)
        return;
    unsigned vmin = t->c_cc[VMIN];
    int64_t tenths = t->c_cc[VTIME] * (NSEC_PER_SEC / 10);
    if (!vmin)
        *deadline = tenths ? time_after(tenths) : 0;
    else if (!tenths)
        *min = MIN((size_t)vmin, size);
}

static size_t slave_take(const struct file *f, struct pty *p, uint8_t *buf, size_t size, bool *eof)
{
    bool done;
    lock_acquire(&p->lock);
    bool some = (unsigned)f->pos == p->hangups && ldisc_readable(&p->ld, 1);
    size_t n = some ? ldisc_read(&p->ld, buf, size, &done) : 0;
    *eof = (some && !n) || (!some && slave_dead_locked(f, p));
    lock_release(&p->lock);
    if (some)
        waitq_wake(&p->master_wq, POLLOUT | POLLWRNORM);
    return n;
}

static int slave_wait(struct file *f, struct pty *p, size_t size)
{
    struct slave_read r = {.p = p, .f = f};
    int64_t deadline;
    read_terms(p, size, &r.min, &deadline);
    if (slave_can_read(&r))
        return 0;
    if (nonblocking(f))
        return -EAGAIN;
    if (!deadline)
        return -ETIMEDOUT;
    return wait_event_mask(task_current(), &p->slave_wq, ~0u, deadline, slave_can_read(&r));
}

static int64_t slave_read(struct file *f, struct uio *u, int64_t pos)
{
    struct pty *p = pty_of(f->priv);
    struct task *t = task_current();
    uint8_t buf[LDISC_INPUT];
    size_t size = MIN(u->remaining, (uint64_t)sizeof(buf));
    if (!size)
        return 0;
    for (;;) {
        bool eof;
        int r = t && !pty_slave_dead(f, p) ? tty_check_background(&p->tty, t, SIGTTIN) : 0;
        if (!r)
            r = slave_wait(f, p, size);
        if (r)
            return r == -ETIMEDOUT ? 0 : r;
        size_t n = slave_take(f, p, buf, size, &eof);
        if (n && uio_to_user(u, buf, n) != n)
            return -EFAULT;
        if (n || eof)
            return n;
    }
}

/* ---- the slave's write ---- */

static size_t slave_put(const struct file *f, struct pty *p, const uint8_t *buf, size_t size,
                        bool *gone)
{
    size_t n = 0;
    lock_acquire(&p->lock);
    *gone = slave_dead_locked(f, p);
    while (!*gone && n < size && ldisc_output(&p->ld, buf[n]))
        n++;
    lock_release(&p->lock);
    if (n)
        waitq_wake(&p->master_wq, POLLIN | POLLRDNORM);
    return n;
}

static bool slave_can_write(const struct file *f, struct pty *p)
{
    LOCK_GUARD(&p->lock);
    return slave_dead_locked(f, p) ||
           (!p->ld.stopped && ldisc_out_count(&p->ld) < LDISC_OUTPUT - PTY_CHUNK);
}

static int64_t slave_write_chunk(struct file *f, struct pty *p, const uint8_t *buf, size_t size)
{
    size_t done = 0;
    while (done < size) {
        bool gone;
        size_t n = slave_put(f, p, buf + done, size - done, &gone);
        done += n;
        int r = 0;
        if (gone)
            r = -EIO;
        else if (done < size)
            r = nonblocking(f) ? -EAGAIN
                               : wait_event_mask(task_current(), &p->slave_wq, ~0u, DEADLINE_NONE,
                                                 slave_can_write(f, p));
        if (r)
            return done ? (int64_t)done : r;
    }
    return done;
}

static int slave_write_check(struct pty *p)
{
    struct task *t = task_current();
    lock_acquire(&p->lock);
    bool tostop = p->ld.tio.c_lflag & TOSTOP;
    lock_release(&p->lock);
    return t && tostop ? tty_check_background(&p->tty, t, SIGTTOU) : 0;
}

static int64_t slave_write(struct file *f, struct uio *u, int64_t pos)
{
    struct pty *p = pty_of(f->priv);
    uint8_t buf[PTY_CHUNK];
    int64_t total = 0, n = slave_write_check(p);
    while (!n && u->remaining) {
        size_t size = uio_from_user(u, buf, MIN(u->remaining, (uint64_t)sizeof(buf)));
        n = size ? slave_write_chunk(f, p, buf, size) : -EFAULT;
        if (n > 0)
            total += n;
        n = n < 0 ? n : n < (int64_t)size ? -EAGAIN : 0;
    }
    return total ? total : n;
}

/* ---- the master's read and write ---- */

static bool slave_closed_locked(const struct pty *p)
{
    return p->slave_seen && !p->slaves;
}

static bool master_can_read(struct pty *p)
{
    LOCK_GUARD(&p->lock);
    return ldisc_out_count(&p->ld) || slave_closed_locked(p) || (p->packet && p->packet_status);
}

/* Packet mode puts a byte in front: 0 before data, else what happened, alone. */
static size_t master_take(struct pty *p, uint8_t *buf, size_t size, bool *closed)
{
    size_t n = 0;
    lock_acquire(&p->lock);
    *closed = slave_closed_locked(p);
    if (p->packet && p->packet_status) {
        buf[n++] = p->packet_status;
        p->packet_status = 0;
    } else if (ldisc_out_count(&p->ld)) {
        if (p->packet)
            buf[n++] = TIOCPKT_DATA;
        n += ldisc_master_read(&p->ld, buf + n, size - n);
    }
    lock_release(&p->lock);
    if (n)
        waitq_wake(&p->slave_wq, POLLOUT | POLLWRNORM);
    return n;
}

static int64_t master_read(struct file *f, struct uio *u, int64_t pos)
{
    struct pty *p = pty_of(f->priv);
    uint8_t buf[4096];
    bool closed;
    if (!u->remaining)
        return 0;
    for (;;) {
        size_t n = master_take(p, buf, MIN(u->remaining, (uint64_t)sizeof(buf)), &closed);
        if (n)
            return uio_to_user(u, buf, n) == n ? (int64_t)n : -EFAULT;
        if (closed)
            return -EIO;
        if (nonblocking(f))
            return -EAGAIN;
        int r =
            wait_event_mask(task_current(), &p->master_wq, ~0u, DEADLINE_NONE, master_can_read(p));
        if (r)
            return r;
    }
}

void pty_note_stop_locked(struct pty *p, bool was_stopped)
{
    if (was_stopped == p->ld.stopped)
        return;
    p->packet_status &= ~(TIOCPKT_STOP | TIOCPKT_START);
    p->packet_status |= p->ld.stopped ? TIOCPKT_STOP : TIOCPKT_START;
}

size_t pty_master_put(struct pty *p, const uint8_t *buf, size_t size, int *sig)
{
    size_t n = 0;
    *sig = 0;
    lock_acquire(&p->lock);
    bool was_stopped = p->ld.stopped;
    while (n < size && !*sig && !ldisc_input_full(&p->ld))
        *sig = ldisc_input(&p->ld, buf[n++]);
    if (*sig)
        p->packet_status |= TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE;
    pty_note_stop_locked(p, was_stopped);
    lock_release(&p->lock);
    if (n)
        pty_wake_both(p); /* input for the slave, echo for the master */
    return n;
}

static bool master_can_write(struct pty *p)
{
    LOCK_GUARD(&p->lock);
    return !ldisc_input_full(&p->ld);
}

static int64_t master_write_chunk(struct file *f, struct pty *p, const uint8_t *buf, size_t size)
{
    size_t done = 0;
    while (done < size) {
        int sig;
        size_t n = pty_master_put(p, buf + done, size - done, &sig);
        done += n;
        if (sig)
            tty_signal_foreground(&p->tty, sig);
        if (n)
            continue;
        int r = nonblocking(f) ? -EAGAIN
                               : wait_event_mask(task_current(), &p->master_wq, ~0u, DEADLINE_NONE,
                                                 master_can_write(p));
        if (r)
            return done ? (int64_t)done : r;
    }
    return done;
}

static int64_t master_write(struct file *f, struct uio *u, int64_t pos)
{
    struct pty *p = pty_of(f->priv);
    uint8_t buf[PTY_CHUNK];
    int64_t total = 0;
    while (u->remaining) {
        size_t size = uio_from_user(u, buf, MIN(u->remaining, (uint64_t)sizeof(buf)));
        int64_t n = size ? master_write_chunk(f, p, buf, size) : -EFAULT;
        if (n > 0)
            total += n;
        if (n < (int64_t)size)
            return total ? total : n;
    }
    return total;
}

/* ---- poll ---- */

static unsigned slave_poll(struct file *f)
{
    struct pty *p = pty_of(f->priv);
    LOCK_GUARD(&p->lock);
    unsigned ev = 0;
    bool raw = !(p->ld.tio.c_lflag & ICANON) && !p->ld.tio.c_cc[VTIME];
    if (slave_dead_locked(f, p))
        return POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM;
    if (ldisc_readable(&p->ld, raw && p->ld.tio.c_cc[VMIN] ? p->ld.tio.c_cc[VMIN] : 1))
        ev |= POLLIN | POLLRDNORM;
    if (!p->ld.stopped && ldisc_out_count(&p->ld) < LDISC_OUTPUT - PTY_CHUNK)
        ev |= POLLOUT | POLLWRNORM;
    return ev;
}

static unsigned master_poll(struct file *f)
{
    struct pty *p = pty_of(f->priv);
    LOCK_GUARD(&p->lock);
    unsigned ev = 0;
    if (ldisc_out_count(&p->ld))
        ev |= POLLIN | POLLRDNORM;
    if (p->packet && p->packet_status)
        ev |= POLLIN | POLLRDNORM | POLLPRI;
    if (!ldisc_input_full(&p->ld))
        ev |= POLLOUT | POLLWRNORM;
    if (slave_closed_locked(p))
        ev |= POLLHUP;
    return ev;
}

static struct waitq *slave_waitq(struct file *f)
{
    return &pty_of(f->priv)->slave_wq;
}

static struct waitq *master_waitq(struct file *f)
{
    return &pty_of(f->priv)->master_wq;
}

/* ---- life ---- */

static void pty_free(struct tty *tty)
{
    struct pty *p = pty_of(tty);
    lock_destroy(&p->lock);
    free(p);
}

static bool pty_tostop(struct tty *tty)
{
    struct pty *p = pty_of(tty);
    LOCK_GUARD(&p->lock);
    return p->ld.tio.c_lflag & TOSTOP;
}

int pty_slave_open(struct tty *tty, struct file *f)
{
    struct pty *p = pty_of(tty);
    struct task *t = task_current();
    bool barred = t && !cred_has_cap(t->cred, CAP_SYS_ADMIN);
    lock_acquire(&p->lock);
    int r = !p->master_open || p->locked ? -EIO : p->exclusive && barred ? -EBUSY : 0;
    f->pos = p->hangups;
    if (!r) {
        p->slaves++;
        p->slave_seen = true;
    }
    lock_release(&p->lock);
    if (r)
        return r;
    tty_get(tty);
    f->priv = tty;
    f->ops = &g_slave_ops;
    return 0;
}

static void pty_cut_off(struct tty *tty)
{
    struct pty *p = pty_of(tty);
    lock_acquire(&p->lock);
    p->hangups++;
    ldisc_flush_input(&p->ld);
    lock_release(&p->lock);
    pty_wake_both(p);
}

static void slave_release(struct file *f)
{
    struct pty *p = pty_of(f->priv);
    lock_acquire(&p->lock);
    if (!--p->slaves)
        p->exclusive = false;
    lock_release(&p->lock);
    waitq_wake(&p->master_wq, ~0u);
    tty_put(&p->tty);
}

static void master_release(struct file *f)
{
    struct pty *p = pty_of(f->priv);
    lock_acquire(&p->lock);
    p->master_open = false;
    lock_release(&p->lock);
    devpts_unregister(&p->tty);
    tty_hangup(&p->tty);
    waitq_wake(&p->slave_wq, ~0u);
    tty_put(&p->tty);
}

static const struct tty_driver g_driver = {
    .open = pty_slave_open, .tostop = pty_tostop, .free = pty_free, .cut_off = pty_cut_off};

int devpts_ptmx_open(struct file *f)
{
    struct pty *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    tty_init(&p->tty, &g_driver, 0);
    lock_init(&p->lock, LR_TTY);
    waitq_init(&p->master_wq);
    waitq_init(&p->slave_wq);
    ldisc_init(&p->ld);
    p->master_open = p->locked = true;
    int r = devpts_register(&p->tty);
    if (r) {
        pty_free(&p->tty);
        return r;
    }
    struct inode *inode = devpts_inode_get(&p->tty); /* owned by who opened the master */
    if (inode)
        inode_put(inode);
    f->priv = &p->tty;
    f->ops = &g_master_ops;
    return 0;
}

static int slave_fdname(struct file *f, char *buf, size_t size)
{
    struct tty *tty = f->priv;
    return snprintf(buf, size, "/dev/%s", tty->name);
}

static int master_fdinfo(struct file *f, char *buf, size_t size)
{
    struct tty *tty = f->priv;
    return snprintf(buf, size, "tty-index:\t%u\n", minor(tty->rdev));
}

static const struct file_ops g_slave_ops = {
    .read = slave_read,
    .write = slave_write,
    .poll = slave_poll,
    .waitq = slave_waitq,
    .ioctl = pty_slave_ioctl,
    .release = slave_release,
    .fdname = slave_fdname,
    .stream = true,
};

static const struct file_ops g_master_ops = {
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .waitq = master_waitq,
    .ioctl = pty_master_ioctl,
    .release = master_release,
    .fdinfo = master_fdinfo,
    .stream = true,
};
