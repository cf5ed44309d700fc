/* Waiting for several files at once: under poll, select and their kin. */
#include "fs/vfs.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define POLL_ALWAYS (POLLERR | POLLHUP | POLLNVAL)

/* Number of items with something to report; the caller may have set revents of items without a
 * file. */
static int poll_scan(struct poll_item *items, unsigned count)
{
    int ready = 0;
    for (unsigned i = 0; i < count; i++) {
        struct poll_item *it = &items[i];
        if (it->file)
            it->revents = vfs_poll(it->file) & (it->events | (it->exact ? 0 : POLL_ALWAYS));
        ready += it->revents != 0;
    }
    return ready;
}

struct poll_waiter {
    struct task_waiter tw;
    struct waitq *wq; /* NULL: nothing to wait for */
};

static void poll_watch(struct task *t, struct poll_item *items, struct poll_waiter *ws,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct file *f = items[i].file;
        ws[i].wq = f && f->ops && f->ops->waitq ? f->ops->waitq(f) : NULL;
        if (!ws[i].wq)
            continue;
        task_waiter_init(&ws[i].tw, t, items[i].events | POLL_ALWAYS);
        waitq_add(ws[i].wq, &ws[i].tw.w);
    }
}

static void poll_unwatch(struct poll_waiter *ws, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (ws[i].wq)
            waitq_remove(ws[i].wq, &ws[i].tw.w);
}

static int poll_sleep(struct task *t, struct poll_item *items, unsigned count, int64_t deadline)
{
    int r = 0;
    for (;;) {
        task_sleep_prepare(t);
        int ready = poll_scan(items, count);
        if (ready || r)
            return ready ? ready : r;
        r = task_sleep(t, deadline, /*interruptible=*/true);
    }
}

int poll_wait(struct task *t, struct poll_item *items, unsigned count, int64_t deadline)
{
    int ready = poll_scan(items, count);
    if (ready || !deadline) /* a mask may just have let a signal in */
        return !ready && signal_pending(t) ? -ERESTARTNOHAND : ready;
    struct poll_waiter few[8], *ws = few;
    if (count > 8) {
        ws = calloc(count, sizeof(*ws));
        if (!ws)
            return -ENOMEM;
    }
    poll_watch(t, items, ws, count);
    int r = poll_sleep(t, items, count, deadline);
    poll_unwatch(ws, count);
    if (ws != few)
        free(ws);
    return r == -ETIMEDOUT ? 0 : r == -ERESTARTSYS ? -ERESTARTNOHAND : r;
}
