/* inotify: the answer to the VFS's fsnotify hooks.
 *
 *   instance ── watches, by descriptor ── each on one inode, which it keeps in memory
 *   inode->marks ── the watches on it
 *
 * One lock (g_lock, LR_INOTIFY) guards all of it: changes are rare, and every hook is skipped while
 * there is no watch at all. Inodes are released after it has been dropped. */
#include "base/overflow.h"
#include "fs/anon/fsnotify_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#ifndef IN_MASK_CREATE
#define IN_MASK_CREATE 0x10000000
#endif
/* fs.inotify.*, of the whole sandbox; a queue's limit is what held when it was made */
#define INSTANCES_MAX g_vfs_knobs.inotify_instances
#define WATCHES_MAX   g_vfs_knobs.inotify_watches
#define EVENT_ALIGN   16

struct in_event {
    struct list_node node;
    struct inotify_event ev; /* len is the padded size of name */
    char name[];
};

struct inotify {
    struct list queue;   /* lock: g_lock */
    unsigned queued;     /* lock: g_lock to write, atomic to read */
    unsigned queue_max;  /* const */
    uint64_t bytes;      /* lock: g_lock; FIONREAD */
    struct tree watches; /* lock: g_lock; by wd */
    int next_wd;         /* lock: g_lock */
    bool pending_wake;   /* lock: g_lock */
    struct waitq wq;
};

struct in_watch {
    struct tree_node node;       /* lock: g_lock; inotify.watches */
    struct list_node inode_node; /* lock: g_lock */
    struct inotify *in;          /* const */
    struct inode *inode;         /* const; counted */
    int wd;                      /* const */
    uint32_t mask;               /* lock: g_lock */
};

static struct lock g_lock = LOCK_INITIALIZER(LR_INOTIFY);
static unsigned g_instances; /* atomic */
static const struct file_ops g_inotify_ops;

static int watch_cmp(const struct tree_node *a, const struct tree_node *b)
{
    int x = tree_entry(a, struct in_watch, node)->wd, y = tree_entry(b, struct in_watch, node)->wd;
    return (x > y) - (x < y);
}

static int watch_key(const void *key, const struct tree_node *n)
{
    int x = *(const int *)key, y = tree_entry(n, struct in_watch, node)->wd;
    return (x > y) - (x < y);
}

/* ---- the queue ---- */

static void queue_push_locked(struct inotify *in, struct in_event *e)
{
    list_push_back(&in->queue, &e->node);
    __atomic_store_n(&in->queued, in->queued + 1, __ATOMIC_RELEASE);
    in->bytes += sizeof(e->ev) + e->ev.len;
    waitq_wake(&in->wq, POLLIN | POLLRDNORM);
}

static struct in_event *event_new(int wd, uint32_t mask, uint32_t cookie, const char *name)
{
    size_t len = name ? (strlen(name) + EVENT_ALIGN) / EVENT_ALIGN * EVENT_ALIGN : 0;
    struct in_event *e = calloc(1, sizeof(*e) + len);
    if (!e)
        return NULL;
    list_node_init(&e->node);
    e->ev = (struct inotify_event){.wd = wd, .mask = mask, .cookie = cookie, .len = len};
    if (name)
        memcpy(e->name, name, strlen(name));
    return e;
}

static bool event_same(const struct in_event *a, const struct in_event *b)
{
    return a && a->ev.wd == b->ev.wd && a->ev.mask == b->ev.mask && a->ev.cookie == b->ev.cookie &&
           a->ev.len == b->ev.len && !memcmp(a->name, b->name, a->ev.len);
}

static void queue_event_locked(struct inotify *in, int wd, uint32_t mask, uint32_t cookie,
                               const char *name)
{
    bool overflow = in->queued >= in->queue_max;
    if (overflow && in->queued > in->queue_max)
        return;
    struct in_event *e =
        overflow ? event_new(-1, IN_Q_OVERFLOW, 0, NULL) : event_new(wd, mask, cookie, name);
    if (!e)
        return;
    if (event_same(list_last(&in->queue, struct in_event, node), e))
        free(e);
    else
        queue_push_locked(in, e);
}

/* ---- watches ---- */

/* Unlink; the caller drops w->inode and frees w after the lock. */
static void watch_unlink_locked(struct in_watch *w)
{
    tree_erase(&w->in->watches, &w->node);
    list_del(&w->inode_node);
    __atomic_sub_fetch(&g_fsnotify_watches, 1, __ATOMIC_RELAXED);
}

static void watch_free_all(struct list *dead)
{
    struct in_watch *w, *tmp;
    list_for_each_safe(w, tmp, dead, inode_node)
    {
        list_del(&w->inode_node);
        inode_put(w->inode);
        free(w);
    }
}

static void watch_retire_locked(struct in_watch *w, struct list *dead)
{
    watch_unlink_locked(w);
    queue_event_locked(w->in, w->wd, IN_IGNORED, 0, NULL);
    list_push_back(dead, &w->inode_node);
}

/* Tell every watch on i that asked for it. from_parent: the event is about a child called name. */
static void tell_locked(struct inode *i, uint32_t mask, uint32_t cookie, const char *name,
                        bool unlinked, struct list *dead)
{
    struct in_watch *w, *tmp;
    if (!i->marks)
        return;
    list_for_each_safe(w, tmp, &i->marks->watches, inode_node)
    {
        if (!(w->mask & mask & IN_ALL_EVENTS) || (unlinked && w->mask & IN_EXCL_UNLINK))
            goto retire;
        queue_event_locked(w->in, w->wd, mask, cookie, name);
        if (w->mask & IN_ONESHOT) {
            watch_retire_locked(w, dead);
            continue;
        }
    retire:
        if (mask & (IN_DELETE_SELF | IN_UNMOUNT))
            watch_retire_locked(w, dead);
    }
}

void inotify_tell(struct inode *i, uint32_t mask, uint32_t cookie, const char *name, bool unlinked)
{
    struct list dead;
    if (!fsnotify_marks_of(i))
        return;
    list_init(&dead);
    lock_acquire(&g_lock);
    tell_locked(i, mask, cookie, name, unlinked, &dead);
    lock_release(&g_lock);
    watch_free_all(&dead);
}

/* ---- adding and removing ---- */

static struct in_watch *watch_on_locked(struct inotify *in, struct inode *i)
{
    struct in_watch *w;
    if (i->marks)
        list_for_each(w, &i->marks->watches, inode_node) if (w->in == in) return w;
    return NULL;
}

static int watch_update_locked(struct in_watch *w, uint32_t mask)
{
    if (mask & IN_MASK_CREATE)
        return -EEXIST;
    w->mask = mask & IN_MASK_ADD ? w->mask | mask : mask;
    return w->wd;
}

static int watch_insert_locked(struct inotify *in, struct inode *i, struct in_watch *w)
{
    w->wd = ++in->next_wd;
    tree_insert(&in->watches, &w->node, watch_cmp);
    list_push_back(&i->marks->watches, &w->inode_node);
    __atomic_add_fetch(&g_fsnotify_watches, 1, __ATOMIC_RELAXED);
    return w->wd;
}

static int watch_add(struct inotify *in, struct inode *i, uint32_t mask, struct in_watch *w,
                     bool *used)
{
    LOCK_GUARD(&g_lock);
    struct in_watch *old = watch_on_locked(in, i);
    if (old)
        return watch_update_locked(old, mask);
    if (g_fsnotify_watches >= WATCHES_MAX || in->next_wd == INT32_MAX)
        return -ENOSPC;
    *used = true;
    *w = (struct in_watch){.in = in, .inode = i, .mask = mask};
    inode_get(i);
    return watch_insert_locked(in, i, w);
}

/* Any flag at all will do, as on Linux, even one that asks for no event. */
#define MASK_KNOWN                                                                                 \
    (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW |       \
     IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | IN_ONESHOT)

int inotify_check(struct file *f, uint32_t mask)
{
    if (!(mask & MASK_KNOWN) || (mask & IN_MASK_ADD && mask & IN_MASK_CREATE))
        return -EINVAL;
    return f->ops == &g_inotify_ops ? 0 : -EINVAL;
}

int inotify_add(struct file *f, const struct path *p, uint32_t mask)
{
    struct inode *i = p->dentry->inode;
    struct in_watch *w = malloc(sizeof(*w));
    bool used = false;
    int r = w && fsnotify_marks_get(i) ? watch_add(f->priv, i, mask, w, &used) : -ENOMEM;
    if (!used)
        free(w);
    return r;
}

int inotify_remove(struct file *f, int wd)
{
    if (f->ops != &g_inotify_ops)
        return -EINVAL;
    struct inotify *in = f->priv;
    struct list dead;
    list_init(&dead);
    lock_acquire(&g_lock);
    struct tree_node *n = tree_find(&in->watches, &wd, watch_key);
    if (n)
        watch_retire_locked(tree_entry(n, struct in_watch, node), &dead);
    lock_release(&g_lock);
    watch_free_all(&dead);
    return n ? 0 : -EINVAL;
}

/* ---- the file ---- */

/* Take the first event if it fits; -EINVAL if it does not, 0 and NULL if there is none. */
static int event_take(struct inotify *in, uint64_t room, struct in_event **out)
{
    LOCK_GUARD(&g_lock);
    struct in_event *e = *out = list_first(&in->queue, struct in_event, node);
    if (!e)
        return 0;
    if (sizeof(e->ev) + e->ev.len > room) {
        *out = NULL;
        return -EINVAL;
    }
    list_del(&e->node);
    __atomic_store_n(&in->queued, in->queued - 1, __ATOMIC_RELEASE);
    in->bytes -= sizeof(e->ev) + e->ev.len;
    return 0;
}

static int64_t event_copy(struct uio *u, struct in_event *e)
{
    size_t size = sizeof(e->ev) + e->ev.len;
    size_t n = uio_to_user(u, &e->ev, sizeof(e->ev));
    if (n == sizeof(e->ev))
        n += uio_to_user(u, e->name, e->ev.len);
    free(e);
    return n == size ? (int64_t)size : -EFAULT;
}

static int64_t inotify_drain(struct inotify *in, struct uio *u)
{
    struct in_event *e;
    int64_t done = 0;
    for (;;) {
        int r = event_take(in, u->remaining, &e);
        if (!e)
            return done ? done : r;
        int64_t n = event_copy(u, e);
        if (n < 0)
            return done ? done : n;
        done += n;
    }
}

static bool inotify_has_events(struct inotify *in)
{
    return __atomic_load_n(&in->queued, __ATOMIC_ACQUIRE);
}

static int64_t inotify_read(struct file *f, struct uio *u, int64_t pos)
{
    struct inotify *in = f->priv;
    struct task *t = task_current();
    for (;;) {
        int64_t n = inotify_drain(in, u);
        if (n)
            return n;
        if (file_nonblock(f, u) || !t)
            return -EAGAIN;
        int r = wait_event(t, &in->wq, DEADLINE_NONE, inotify_has_events(in));
        if (r)
            return r;
    }
}

static unsigned inotify_poll(struct file *f)
{
    return inotify_has_events(f->priv) ? POLLIN | POLLRDNORM : 0;
}

static struct waitq *inotify_waitq(struct file *f)
{
    struct inotify *in = f->priv;
    return &in->wq;
}

static int64_t inotify_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct inotify *in = f->priv;
    if (cmd != FIONREAD)
        return -ENOTTY;
    lock_acquire(&g_lock);
    int n = MIN(in->bytes, (uint64_t)INT32_MAX);
    lock_release(&g_lock);
    return uaccess_write_obj(t->mm, uaddr(arg), &n);
}

static void instance_free(struct inotify *in)
{
    __atomic_sub_fetch(&g_instances, 1, __ATOMIC_RELAXED);
    free(in);
}

static void inotify_release(struct file *f)
{
    struct inotify *in = f->priv;
    struct list dead;
    struct tree_node *n;
    struct in_event *e, *tmp;
    list_init(&dead);
    lock_acquire(&g_lock);
    while ((n = tree_first(&in->watches))) {
        struct in_watch *w = tree_entry(n, struct in_watch, node);
        watch_unlink_locked(w);
        list_push_back(&dead, &w->inode_node);
    }
    lock_release(&g_lock);
    watch_free_all(&dead);
    list_for_each_safe(e, tmp, &in->queue, node) free(e);
    instance_free(in);
}

static int inotify_fdinfo(struct file *f, char *buf, size_t size)
{
    struct inotify *in = f->priv;
    size_t len = 0;
    LOCK_GUARD(&g_lock);
    for (struct tree_node *n = tree_first(&in->watches); n && len < size; n = tree_next(n)) {
        struct in_watch *w = tree_entry(n, struct in_watch, node);
        len += snprintf(buf + len, size - len,
                        "inotify wd:%x ino:%lx sdev:%x mask:%x ignored_mask:0\n", w->wd,
                        (unsigned long)w->inode->ino, (unsigned)w->inode->sb->dev, w->mask);
    }
    return MIN(len, size);
}

static int inotify_fdname(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:inotify");
}

static const struct file_ops g_inotify_ops = {
    .read = inotify_read,
    .poll = inotify_poll,
    .waitq = inotify_waitq,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
    .fdinfo = inotify_fdinfo,
    .fdname = inotify_fdname,
    .lseek = vfs_lseek_noop,
    .no_splice_read = true,
    .no_splice_write = true,
    .stream = true,
    .nowait = true,
};

static struct inotify *instance_new(void)
{
    struct inotify *in = NULL;
    if (__atomic_add_fetch(&g_instances, 1, __ATOMIC_RELAXED) <= INSTANCES_MAX)
        in = calloc(1, sizeof(*in));
    if (!in) {
        __atomic_sub_fetch(&g_instances, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    list_init(&in->queue);
    waitq_init(&in->wq);
    in->queue_max = g_vfs_knobs.inotify_events;
    return in;
}

int inotify_new(unsigned flags, struct file **out)
{
    if (flags & ~(IN_CLOEXEC | IN_NONBLOCK))
        return -EINVAL;
    struct inotify *in = instance_new();
    if (!in)
        return -EMFILE;
    int r = file_new_anon(&g_inotify_ops, O_RDONLY | (flags & O_NONBLOCK), in, 0600, out);
    if (r)
        instance_free(in);
    return r;
}
