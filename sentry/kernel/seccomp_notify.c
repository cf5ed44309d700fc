/* seccomp user notification (seccomp_unotify(2)): a filter hands a call to a supervisor, which
 * answers through the filter's descriptor.
 *
 * A notice lives on the stack of the task that asks: new → sent (RECV has told it) → answered
 * (SEND), or it vanishes when its task is interrupted. All of it is under the listener's lock; the
 * asking task sleeps on its own, the supervisor on the listener's queue. Descriptors that are given
 * (ADDFD) are installed by the asking task itself. */
#include "kernel/seccomp_priv.h"

#include "base/overflow.h"
#include "fs/vfs.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV 32u
#endif
#define NOTIF_ID_VALID_OLD SECCOMP_IOR(2, __u64) /* headers had the direction wrong once */

enum notice_state { NOTICE_NEW, NOTICE_SENT, NOTICE_ANSWERED };

struct addfd { /* on the supervisor's stack */
    struct list_node node;
    struct task *waiter;
    struct file *file;
    uint32_t flags, newfd, newfd_flags;
    int result;
    bool done;
};

struct notice {
    struct list_node node;
    struct task *task;
    enum notice_state state;
    uint64_t id;
    struct seccomp_data data;
    int64_t val;
    int32_t error;
    uint32_t flags;
    struct list addfds;
};

struct seccomp_listener {
    struct ref ref;      /* one for the filter, one for the file */
    struct lock lock;    /* LR_LEAF */
    struct waitq wq;     /* supervisors: something to receive, or the end */
    struct list notices; /* lock: lock; oldest first */
    uint64_t next_id;    /* lock: lock */
    bool closed;         /* lock: lock; the descriptor is gone */
    bool orphaned;       /* lock: lock; the filter is gone */
    bool killable;       /* const; WAIT_KILLABLE_RECV */
};

void listener_put(struct seccomp_listener *l)
{
    if (!ref_put(&l->ref))
        return;
    lock_destroy(&l->lock);
    free(l);
}

void listener_orphan(struct seccomp_listener *l)
{
    lock_acquire(&l->lock);
    l->orphaned = true;
    lock_release(&l->lock);
    waitq_wake(&l->wq, ~0u);
}

/* ---- the task that asks -------------------------------------------------------------------------
 */

/* One descriptor that the supervisor gives; the lock is dropped meanwhile. */
static void notice_install_locked(struct task *t, struct seccomp_listener *l, struct notice *n)
{
    struct addfd *a = list_first(&n->addfds, struct addfd, node);
    list_del(&a->node);
    struct file *f = a->file;
    file_get(f);
    bool at = a->flags & SECCOMP_ADDFD_FLAG_SETFD, cloexec = a->newfd_flags & O_CLOEXEC;
    int number = a->newfd;
    lock_release(&l->lock);
    int r = at ? fdtable_replace(t, number, f, cloexec) : fdtable_install(t, f, 0, cloexec);
    if (r < 0)
        file_put(f);
    lock_acquire(&l->lock);
    a->result = at && r >= 0 ? number : r;
    if (r >= 0 && (a->flags & SECCOMP_ADDFD_FLAG_SEND)) {
        n->state = NOTICE_ANSWERED;
        n->val = a->result;
        n->error = 0;
        n->flags = 0;
    }
    a->done = true;
    task_wake(a->waiter);
}

static bool notice_over_locked(struct task *t, struct seccomp_listener *l, struct notice *n)
{
    while (!list_empty(&n->addfds) && n->state != NOTICE_ANSWERED)
        notice_install_locked(t, l, n);
    return n->state == NOTICE_ANSWERED || l->closed;
}

static int notice_wait(struct task *t, struct seccomp_listener *l, struct notice *n)
{
    for (;;) {
        task_sleep_prepare(t);
        lock_acquire(&l->lock);
        bool over = notice_over_locked(t, l, n);
        bool deaf = l->killable && n->state == NOTICE_SENT;
        lock_release(&l->lock);
        if (over)
            return 0;
        int r = task_sleep(t, DEADLINE_NONE, /*interruptible=*/!deaf);
        if (r)
            return r;
    }
}

static void notice_leave(struct seccomp_listener *l, struct notice *n)
{
    struct addfd *a, *tmp;
    lock_acquire(&l->lock);
    list_del(&n->node);
    list_for_each_safe(a, tmp, &n->addfds, node)
    {
        list_del(&a->node);
        a->result = -ENOENT;
        a->done = true;
        task_wake(a->waiter);
    }
    lock_release(&l->lock);
    waitq_wake(&l->wq, ~0u);
}

bool listener_ask(struct task *t, struct seccomp_listener *l, const struct seccomp_data *d,
                  int64_t *result)
{
    struct notice n = {.task = t, .data = *d};
    list_init(&n.addfds);
    *result = -ENOSYS;
    lock_acquire(&l->lock);
    bool closed = l->closed;
    if (!closed) {
        n.id = l->next_id++;
        list_push_back(&l->notices, &n.node);
    }
    lock_release(&l->lock);
    if (closed)
        return true;
    waitq_wake(&l->wq, POLLIN | POLLRDNORM);
    int r = notice_wait(t, l, &n);
    notice_leave(l, &n);
    if (r)
        *result = r;
    else if (n.state == NOTICE_ANSWERED && (n.flags & SECCOMP_USER_NOTIF_FLAG_CONTINUE))
        return false;
    else if (n.state == NOTICE_ANSWERED)
        *result = n.error ? n.error : n.val;
    return true;
}

/* ---- the supervisor -----------------------------------------------------------------------------
 */

static struct notice *notice_find_locked(struct seccomp_listener *l, uint64_t id)
{
    struct notice *n;
    list_for_each(n, &l->notices, node) if (n->id == id) return n;
    return NULL;
}

static struct notice *notice_new_locked(struct seccomp_listener *l)
{
    struct notice *n;
    list_for_each(n, &l->notices, node) if (n->state == NOTICE_NEW) return n;
    return NULL;
}

/* 1: *out and *asker (counted) are the next one's; 0: none yet; -ENOENT: there never will be. */
static int recv_try(struct seccomp_listener *l, struct seccomp_notif *out, struct task **asker)
{
    LOCK_GUARD(&l->lock);
    struct notice *n = notice_new_locked(l);
    if (!n)
        return l->orphaned ? -ENOENT : 0;
    *out = (struct seccomp_notif){.id = n->id, .data = n->data};
    *asker = n->task;
    task_get(n->task);
    n->state = NOTICE_SENT;
    return 1;
}

/* The supervisor could not take it: it is there for the next RECV. */
static void recv_undo(struct seccomp_listener *l, uint64_t id)
{
    LOCK_GUARD(&l->lock);
    struct notice *n = notice_find_locked(l, id);
    if (n && n->state == NOTICE_SENT)
        n->state = NOTICE_NEW;
}

static int64_t do_recv(struct task *t, struct seccomp_listener *l, struct uaddr ua)
{
    struct seccomp_notif n, zero = {0};
    struct task *asker = NULL;
    int r = 0;
    if (uaccess_read_obj(t->mm, &n, ua))
        return -EFAULT;
    if (memcmp(&n, &zero, sizeof(n)))
        return -EINVAL;
    int w = wait_event(t, &l->wq, DEADLINE_NONE, (r = recv_try(l, &n, &asker)) != 0);
    if (w)
        return w == -ERESTARTSYS ? -EINTR : w;
    if (r < 0)
        return r;
    n.pid = task_nr_of(asker, t->process->pid_ns);
    task_put(asker);
    if (uaccess_write_obj(t->mm, ua, &n)) {
        recv_undo(l, n.id);
        return -EFAULT;
    }
    waitq_wake(&l->wq, POLLOUT | POLLWRNORM);
    return 0;
}

static int64_t do_send(struct task *t, struct seccomp_listener *l, struct uaddr ua)
{
    struct seccomp_notif_resp a;
    if (uaccess_read_obj(t->mm, &a, ua))
        return -EFAULT;
    if (a.flags & ~(uint32_t)SECCOMP_USER_NOTIF_FLAG_CONTINUE)
        return -EINVAL;
    if ((a.flags & SECCOMP_USER_NOTIF_FLAG_CONTINUE) && (a.error || a.val))
        return -EINVAL;
    LOCK_GUARD(&l->lock);
    struct notice *n = notice_find_locked(l, a.id);
    if (!n)
        return -ENOENT;
    if (n->state != NOTICE_SENT)
        return -EINPROGRESS;
    n->state = NOTICE_ANSWERED;
    n->error = a.error;
    n->val = a.val;
    n->flags = a.flags;
    task_wake(n->task);
    return 0;
}

static int64_t do_id_valid(struct task *t, struct seccomp_listener *l, struct uaddr ua)
{
    uint64_t id;
    if (uaccess_read_obj(t->mm, &id, ua))
        return -EFAULT;
    LOCK_GUARD(&l->lock);
    struct notice *n = notice_find_locked(l, id);
    return n && n->state == NOTICE_SENT ? 0 : -ENOENT;
}

static int addfd_post(struct seccomp_listener *l, uint64_t id, struct addfd *a)
{
    LOCK_GUARD(&l->lock);
    struct notice *n = notice_find_locked(l, id);
    if (!n)
        return -ENOENT;
    if (n->state != NOTICE_SENT)
        return -EINPROGRESS;
    if ((a->flags & SECCOMP_ADDFD_FLAG_SEND) && !list_empty(&n->addfds))
        return -EBUSY;
    list_push_back(&n->addfds, &a->node);
    task_wake(n->task);
    return 0;
}

static bool addfd_done(struct seccomp_listener *l, struct addfd *a)
{
    LOCK_GUARD(&l->lock);
    return a->done;
}

/* a is on our stack: it is off the list when we leave, done or not. */
static int addfd_wait(struct task *t, struct seccomp_listener *l, struct addfd *a)
{
    for (;;) {
        task_sleep_prepare(t);
        if (addfd_done(l, a))
            return a->result;
        if (task_sleep(t, DEADLINE_NONE, /*interruptible=*/true))
            break;
    }
    LOCK_GUARD(&l->lock);
    if (a->done)
        return a->result;
    if (list_linked(&a->node)) {
        list_del(&a->node);
        return -EINTR;
    }
    return 1; /* being installed this very moment */
}

static int addfd_run(struct task *t, struct seccomp_listener *l, uint64_t id, struct addfd *a)
{
    int r = addfd_post(l, id, a);
    if (r)
        return r;
    r = addfd_wait(t, l, a);
    while (!addfd_done(l, a) && r == 1) { /* the asker is at work and does not sleep there */
        task_sleep_prepare(t);
        if (!addfd_done(l, a))
            task_sleep(t, time_after(1000000), /*interruptible=*/false);
        if (addfd_done(l, a))
            r = a->result;
    }
    return r;
}

static int64_t do_addfd(struct task *t, struct seccomp_listener *l, struct uaddr ua, size_t size)
{
    struct seccomp_notif_addfd k;
    if (size < sizeof(k) || size > 4096)
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &k, ua))
        return -EFAULT;
    if ((k.newfd_flags & ~(uint32_t)O_CLOEXEC) ||
        (k.flags & ~(uint32_t)(SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND)) ||
        (k.newfd && !(k.flags & SECCOMP_ADDFD_FLAG_SETFD)))
        return -EINVAL;
    struct addfd a = {
        .waiter = t, .flags = k.flags, .newfd = k.newfd, .newfd_flags = k.newfd_flags};
    list_node_init(&a.node);
    a.file = fdtable_get(t->fds, (int)k.srcfd);
    if (!a.file)
        return -EBADF;
    int r = addfd_run(t, l, k.id, &a);
    file_put(a.file);
    return r;
}

static int64_t listener_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct seccomp_listener *l = f->priv;
    if (_IOC_TYPE(cmd) == SECCOMP_IOC_MAGIC && _IOC_NR(cmd) == 3)
        return do_addfd(t, l, uaddr(arg), _IOC_SIZE(cmd));
    switch (cmd) {
    case SECCOMP_IOCTL_NOTIF_RECV:
        return do_recv(t, l, uaddr(arg));
    case SECCOMP_IOCTL_NOTIF_SEND:
        return do_send(t, l, uaddr(arg));
    case SECCOMP_IOCTL_NOTIF_ID_VALID:
    case NOTIF_ID_VALID_OLD:
        return do_id_valid(t, l, uaddr(arg));
    }
    return -EINVAL;
}

/* ---- the file -----------------------------------------------------------------------------------
 */

static unsigned listener_poll(struct file *f)
{
    struct seccomp_listener *l = f->priv;
    unsigned ev = 0;
    LOCK_GUARD(&l->lock);
    struct notice *n;
    list_for_each(n, &l->notices, node)
    {
        if (n->state == NOTICE_NEW)
            ev |= POLLIN | POLLRDNORM;
        if (n->state == NOTICE_SENT)
            ev |= POLLOUT | POLLWRNORM;
    }
    return ev | (l->orphaned ? POLLHUP : 0);
}

static struct waitq *listener_waitq(struct file *f)
{
    return &((struct seccomp_listener *)f->priv)->wq;
}

/* Nobody will answer any more: those who wait get ENOSYS. */
static void listener_release(struct file *f)
{
    struct seccomp_listener *l = f->priv;
    struct notice *n;
    lock_acquire(&l->lock);
    l->closed = true;
    list_for_each(n, &l->notices, node) task_wake(n->task);
    lock_release(&l->lock);
    listener_put(l);
}

static int listener_fdname(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:seccomp notify");
}

static const struct file_ops g_listener_ops = {
    .poll = listener_poll,
    .waitq = listener_waitq,
    .ioctl = listener_ioctl,
    .release = listener_release,
    .fdname = listener_fdname,
    .stream = true,
};

int listener_new(struct task *t, unsigned flags, struct seccomp_listener **out, struct file **file)
{
    struct seccomp_listener *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    ref_init(&l->ref);
    lock_init(&l->lock, LR_LEAF);
    waitq_init(&l->wq);
    list_init(&l->notices);
    l->next_id = (uint64_t)time_now() | 1;
    l->killable = flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    int r = file_new_anon(&g_listener_ops, O_RDWR, l, 0600, file);
    if (r) {
        listener_put(l);
        return r;
    }
    ref_get(&l->ref); /* the filter's */
    *out = l;
    return 0;
}
