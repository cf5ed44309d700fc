/* signalfd: pending signals of whoever reads.
 *
 * The file has no signals of its own: read and poll look at the caller. Its wait queue is that of
 * the caller's process, which the file keeps alive as long as somebody could be queued there. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

struct pinned {
    struct pinned *next;
    struct process *process; /* counted */
};

struct signalfd {
    sigmask_t mask;        /* atomic */
    struct lock lock;      /* LR_LEAF */
    struct pinned *pinned; /* lock: lock; processes whose queue was handed out */
    struct waitq nobody;   /* for service threads */
};

static const struct file_ops g_signalfd_ops;

static sigmask_t mask_load(struct signalfd *s)
{
    return __atomic_load_n(&s->mask, __ATOMIC_RELAXED);
}

static bool mask_pending(struct signalfd *s, struct task *t)
{
    return signal_pending_set(t) & mask_load(s);
}

static void convert(const siginfo_t *in, struct signalfd_siginfo *out)
{
    memset(out, 0, sizeof(*out));
    out->ssi_signo = in->si_signo;
    out->ssi_errno = in->si_errno;
    out->ssi_code = in->si_code;
    if (in->si_signo == SIGCHLD && in->si_code > 0) {
        out->ssi_pid = in->si_pid;
        out->ssi_uid = in->si_uid;
        out->ssi_status = in->si_status;
        out->ssi_utime = in->si_utime;
        out->ssi_stime = in->si_stime;
    } else if (in->si_code == SI_TIMER) {
        out->ssi_tid = in->si_timerid;
        out->ssi_overrun = in->si_overrun;
        out->ssi_ptr = (uintptr_t)in->si_ptr;
        out->ssi_int = in->si_int;
    } else if (in->si_signo == SIGIO && in->si_code > 0) {
        out->ssi_band = in->si_band;
        out->ssi_fd = in->si_fd;
    } else if (in->si_code > 0 && (in->si_signo == SIGSEGV || in->si_signo == SIGBUS ||
                                   in->si_signo == SIGFPE || in->si_signo == SIGILL)) {
        out->ssi_addr = (uintptr_t)in->si_addr;
    } else {
        out->ssi_pid = in->si_pid;
        out->ssi_uid = in->si_uid;
        out->ssi_ptr = (uintptr_t)in->si_ptr;
        out->ssi_int = in->si_int;
    }
}

/* The first one may be waited for. */
static int signalfd_next(struct file *f, struct task *t, siginfo_t *info, bool wait, bool nonblock)
{
    struct signalfd *s = f->priv;
    for (;;) {
        int sig = signal_dequeue(t, mask_load(s), info);
        if (sig || !wait)
            return sig;
        if (nonblock)
            return -EAGAIN;
        int r = wait_event(t, signal_waitq(t->process), DEADLINE_NONE, mask_pending(s, t));
        if (r)
            return r;
    }
}

static int64_t signalfd_read(struct file *f, struct uio *u, int64_t pos)
{
    struct task *t = task_current();
    struct signalfd_siginfo si;
    int64_t done = 0;
    if (u->remaining < sizeof(si) || !t)
        return -EINVAL;
    while (u->remaining >= sizeof(si)) {
        siginfo_t info = {0};
        int sig = signalfd_next(f, t, &info, done == 0, file_nonblock(f, u));
        if (sig <= 0)
            return done ? done : sig;
        info.si_signo = sig;
        convert(&info, &si);
        if (uio_to_user(u, &si, sizeof(si)) != sizeof(si))
            return done ? done : -EFAULT;
        done += sizeof(si);
    }
    return done;
}

static unsigned signalfd_poll(struct file *f)
{
    struct task *t = task_current();
    return t && mask_pending(f->priv, t) ? POLLIN : 0;
}

static bool is_pinned_locked(struct signalfd *s, struct process *p)
{
    for (struct pinned *n = s->pinned; n; n = n->next)
        if (n->process == p)
            return true;
    return false;
}

static struct waitq *signalfd_waitq(struct file *f)
{
    struct signalfd *s = f->priv;
    struct task *t = task_current();
    if (!t)
        return &s->nobody;
    lock_acquire(&s->lock);
    bool pinned = is_pinned_locked(s, t->process);
    struct pinned *n = pinned ? NULL : malloc(sizeof(*n));
    if (n) {
        process_get(t->process);
        *n = (struct pinned){.next = s->pinned, .process = t->process};
        s->pinned = n;
        pinned = true;
    }
    lock_release(&s->lock);
    return pinned ? signal_waitq(t->process) : &s->nobody;
}

static void signalfd_release(struct file *f)
{
    struct signalfd *s = f->priv;
    while (s->pinned) {
        struct pinned *n = s->pinned;
        s->pinned = n->next;
        process_put(n->process);
        free(n);
    }
    lock_destroy(&s->lock);
    free(s);
}

static int signalfd_fdinfo(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "sigmask:\t%016llx\n", (unsigned long long)mask_load(f->priv));
}

static int signalfd_fdname(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:[signalfd]");
}

static const struct file_ops g_signalfd_ops = {
    .read = signalfd_read,
    .poll = signalfd_poll,
    .waitq = signalfd_waitq,
    .release = signalfd_release,
    .fdinfo = signalfd_fdinfo,
    .fdname = signalfd_fdname,
    .lseek = vfs_lseek_noop,
    .no_splice_read = true,
    .no_splice_write = true,
    .stream = true,
    .no_fasync = true,
    .nowait = true,
};

static sigmask_t usable(uint64_t mask)
{
    return mask & ~(SIGMASK(SIGKILL) | SIGMASK(SIGSTOP));
}

int signalfd_set(struct file *f, uint64_t mask)
{
    if (f->ops != &g_signalfd_ops)
        return -EINVAL;
    struct signalfd *s = f->priv;
    __atomic_store_n(&s->mask, usable(mask), __ATOMIC_RELAXED);
    struct task *t = task_current();
    if (t)
        waitq_wake(signal_waitq(t->process), POLLIN);
    return 0;
}

int signalfd_new(uint64_t mask, unsigned flags, struct file **out)
{
    if (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK))
        return -EINVAL;
    struct signalfd *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    lock_init(&s->lock, LR_LEAF);
    waitq_init(&s->nobody);
    s->mask = usable(mask);
    int r = file_new_anon(&g_signalfd_ops, O_RDWR | (flags & O_NONBLOCK), s, 0600, out);
    if (r)
        free(s);
    return r;
}
