/* Signal-driven I/O: O_ASYNC, F_SETOWN, F_SETSIG.
 *
 * A file with O_ASYNC has a waiter on its own queue. The waiter's callback runs under the queue's
 * lock, from where no signal can be sent, so it hands the file (with a reference) to a service
 * thread that is started with the first such file. */
#include "base/host.h"
#include "base/log.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

struct fasync {
    struct waiter w;
    struct file *file;      /* borrowed; counted while queued */
    struct list_node node;  /* lock: g_lock */
    bool queued;            /* lock: g_lock */
    unsigned events;        /* lock: g_lock */
};

static struct lock g_lock = LOCK_INITIALIZER(LR_LEAF);
static struct list g_queue = LIST_INIT(g_queue); /* lock: g_lock */
static uint32_t g_word;                          /* futex: bumped with each entry */
static pthread_once_t g_once = PTHREAD_ONCE_INIT;
static bool g_running;

#define FASYNC_EVENTS (POLLIN | POLLOUT | POLLPRI | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM)

static void on_wake(struct waiter *w, unsigned events)
{
    struct fasync *fa = container_of(w, struct fasync, w);
    lock_acquire(&g_lock);
    fa->events |= events & FASYNC_EVENTS;
    if (!fa->queued && ref_get_unless_zero(&fa->file->ref)) {
        fa->queued = true;
        list_push_back(&g_queue, &fa->node);
        __atomic_add_fetch(&g_word, 1, __ATOMIC_RELEASE);
        host_futex_wake(&g_word, 1);
    }
    lock_release(&g_lock);
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

static void *service(void *arg)
{
    for (;;) {
        uint32_t seen = __atomic_load_n(&g_word, __ATOMIC_ACQUIRE);
        lock_acquire(&g_lock);
        struct fasync *fa = list_first(&g_queue, struct fasync, node);
        struct file *f = fa ? fa->file : NULL;
        unsigned events = 0;
        if (fa) {
            list_del(&fa->node);
            fa->queued = false;
            events = fa->events;
            fa->events = 0;
        }
        lock_release(&g_lock);
        if (!f) {
            host_futex_wait(&g_word, seen, INT64_MAX);
            continue;
        }
        deliver(f, events);
        file_put(f);
    }
    return NULL;
}

static void start_once(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    g_running = !pthread_create(&thread, &attr, service, NULL);
    pthread_attr_destroy(&attr);
}

static int fasync_on(struct file *f)
{
    pthread_once(&g_once, start_once);
    struct fasync *fa = calloc(1, sizeof(*fa));
    if (!fa || !g_running) {
        free(fa);
        return -ENOMEM;
    }
    fa->w.wake = on_wake;
    fa->w.events = FASYNC_EVENTS;
    fa->file = f;
    list_node_init(&fa->node);
    lock_acquire(&f->lock);
    bool first = !f->async_waiter;
    if (first)
        f->async_waiter = &fa->w;
    lock_release(&f->lock);
    if (!first) {
        free(fa);
        return 0;
    }
    waitq_add(f->ops->waitq(f), &fa->w);
    vfs_poll(f); /* some files only tell those who have asked */
    return 0;
}

/* A queued entry holds the file, so it cannot be queued when the file dies. */
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
    lock_acquire(&g_lock);
    bool held = fa->queued;
    list_del(&fa->node);
    lock_release(&g_lock);
    if (held)
        file_put(f); /* not the last: the caller has one */
    free(fa);
}

bool fasync_possible(struct file *f)
{
    return f->ops && f->ops->waitq && f->ops->waitq(f);
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
