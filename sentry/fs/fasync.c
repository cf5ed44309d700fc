/* Signal-driven I/O: O_ASYNC, F_SETOWN, F_SETSIG.
 *
 * A file with O_ASYNC has a waiter on its own queue. The waiter's callback runs under the queue's
 * lock, from where no signal can be sent, so it leaves that to the work thread (base/work.h), with a
 * reference on the file. */
#include "base/log.h"
#include "base/work.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

struct fasync {
    struct ref ref; /* one while installed, one while the work is queued or runs */
    struct waiter w;
    struct work work;
    struct file *file; /* borrowed; counted while the work is queued */
    unsigned events;   /* atomic; woken for and not yet told */
};

#define FASYNC_EVENTS (POLLIN | POLLOUT | POLLPRI | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM)

static void fasync_put(struct fasync *fa)
{
    if (ref_put(&fa->ref))
        free(fa);
}

static void on_wake(struct waiter *w, unsigned events)
{
    struct fasync *fa = container_of(w, struct fasync, w);
    __atomic_or_fetch(&fa->events, events & FASYNC_EVENTS, __ATOMIC_RELAXED);
    if (!ref_get_unless_zero(&fa->file->ref))
        return;
    ref_get(&fa->ref);
    if (work_queue(&fa->work))
        return;
    bug_on(ref_put(&fa->ref)); /* neither is the last: the queued work has its own */
    bug_on(ref_put(&fa->file->ref));
}

/* What si_code and si_band say, by the first event that matters. */
static void fill_info(siginfo_t *info, unsigned events)
{
    static const struct {
        unsigned event;
        int code;
        long band;
    } map[] = {{POLLIN, POLL_IN, POLLIN | POLLRDNORM},
               {POLLOUT, POLL_OUT, POLLOUT | POLLWRNORM},
               {POLLERR, POLL_ERR, POLLERR},
               {POLLPRI, POLL_PRI, POLLPRI},
               {POLLHUP, POLL_HUP, POLLHUP}};
    info->si_code = POLL_IN;
    info->si_band = POLLIN | POLLRDNORM;
    for (unsigned i = 0; i < sizeof(map) / sizeof(map[0]); i++)
        if (events & map[i].event) {
            info->si_code = map[i].code;
            info->si_band = map[i].band;
            return;
        }
}

static void send_to(int type, int id, int sig, const siginfo_t *info)
{
    if (type == F_OWNER_PGRP) {
        signal_send_pgrp(id, sig, info);
        return;
    }
    if (type == F_OWNER_TID) {
        struct task *t = task_by_id(id);
        if (!t)
            return;
        signal_send_task(t, sig, info);
        task_put(t);
        return;
    }
    struct process *p = process_by_id(id);
    if (!p)
        return;
    signal_send_process(p, sig, info);
    process_put(p);
}

static void deliver(struct file *f, unsigned events)
{
    lock_acquire(&f->lock);
    int id = f->async_owner, type = f->async_owner_type, sig = f->async_sig, fd = f->async_fd;
    bool on = (f->flags & O_ASYNC) && id;
    lock_release(&f->lock);
    if (!on)
        return;
    siginfo_t info = {.si_signo = sig ? sig : SIGIO, .si_code = SI_KERNEL};
    if (sig) {
        fill_info(&info, events);
        info.si_fd = fd;
    }
    send_to(type, id, info.si_signo, &info);
}

void fasync_tell(struct file *f, int fd, int code, long band)
{
    lock_acquire(&f->lock);
    int id = f->async_owner, type = f->async_owner_type, sig = f->async_sig;
    lock_release(&f->lock);
    if (!id)
        return;
    siginfo_t info = {.si_signo = sig ? sig : SIGIO, .si_code = SI_KERNEL};
    if (sig) {
        info.si_code = code;
        info.si_band = band;
        info.si_fd = fd;
    }
    send_to(type, id, info.si_signo, &info);
}

void fasync_default_owner(struct task *t, struct file *f)
{
    LOCK_GUARD(&f->lock);
    if (f->async_owner)
        return;
    f->async_owner = t->process->pid;
    f->async_owner_type = F_OWNER_PID;
}

static void fasync_run(struct work *work)
{
    struct fasync *fa = container_of(work, struct fasync, work);
    deliver(fa->file, __atomic_exchange_n(&fa->events, 0, __ATOMIC_RELAXED));
    file_put(fa->file);
    fasync_put(fa);
}

static int fasync_on(struct file *f)
{
    struct fasync *fa = calloc(1, sizeof(*fa));
    if (!fa || work_init(&fa->work, fasync_run)) {
        free(fa);
        return -ENOMEM;
    }
    ref_init(&fa->ref);
    fa->w.wake = on_wake;
    fa->w.events = FASYNC_EVENTS;
    fa->file = f;
    lock_acquire(&f->lock);
    bool first = !f->async_waiter;
    if (first)
        f->async_waiter = &fa->w;
    lock_release(&f->lock);
    if (!first) {
        fasync_put(fa);
        return 0;
    }
    waitq_add(f->ops->waitq(f), &fa->w);
    vfs_poll(f); /* some files only tell those who have asked */
    return 0;
}

/* Queued work holds the file, so none is queued when the file dies. */
void fasync_off(struct file *f)
{
    lock_acquire(&f->lock);
    struct waiter *w = f->async_waiter;
    f->async_waiter = NULL;
    lock_release(&f->lock);
    if (!w)
        return;
    struct fasync *fa = container_of(w, struct fasync, w);
    waitq_remove(f->ops->waitq(f), w);
    if (work_cancel(&fa->work)) {
        file_put(f); /* not the last: the caller has one */
        fasync_put(fa);
    }
    fasync_put(fa);
}

bool fasync_possible(struct file *f)
{
    return f->ops && f->ops->waitq && !f->ops->no_fasync && f->ops->waitq(f);
}

int fasync_set(struct file *f, bool on)
{
    if (!fasync_possible(f))
        return 0;
    if (on)
        return fasync_on(f);
    fasync_off(f);
    return 0;
}
