/* fanotify groups: the file that fanotify_init(2) makes, its queue, and answers to permission
 * events. See fanotify_priv.h. */
#include "fs/anon/fanotify_priv.h"

#include "base/overflow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct lock g_fan_lock = LOCK_INITIALIZER(LR_INOTIFY);
static unsigned g_group_count; /* atomic */
static const struct file_ops g_fan_ops;

/* ---- events ---- */

struct fan_event *fan_event_new(uint64_t mask)
{
    struct fan_event *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    ref_init(&e->ref);
    list_node_init(&e->node);
    e->mask = mask;
    e->fd = FAN_NOFD;
    return e;
}

void fan_event_put(struct fan_event *e)
{
    if (!e || !ref_put(&e->ref))
        return;
    path_put(&e->path);
    if (e->process)
        process_put(e->process);
    free(e->dir.name);
    free(e->new_dir.name);
    free(e);
}

static bool same_name(const struct fan_name *a, const struct fan_name *b)
{
    if (a->given != b->given || (a->given && memcmp(&a->h, &b->h, sizeof(a->h))))
        return false;
    return a->name && b->name ? !strcmp(a->name, b->name) : a->name == b->name;
}

static bool mergeable(const struct fan_event *a, const struct fan_event *b)
{
    return !a->perm && !b->perm && !a->overflow && !b->overflow && a->pid == b->pid &&
           !((a->mask ^ b->mask) & FAN_ONDIR) && a->dev == b->dev && a->path.mnt == b->path.mnt &&
           a->path.dentry == b->path.dentry && a->has_object == b->has_object &&
           (!a->has_object || !memcmp(&a->object, &b->object, sizeof(a->object))) &&
           same_name(&a->dir, &b->dir) && same_name(&a->new_dir, &b->new_dir);
}

static struct fan_event *find_same_locked(struct fan_group *g, const struct fan_event *e)
{
    struct fan_event *old;
    unsigned tries = 128;
    for (struct list_node *n = g->queue.head.prev; n != &g->queue.head && tries--; n = n->prev) {
        old = container_of(n, struct fan_event, node);
        if (mergeable(old, e))
            return old;
    }
    return NULL;
}

static void push_locked(struct fan_group *g, struct fan_event *e)
{
    list_push_back(&g->queue, &e->node);
    __atomic_store_n(&g->queued, g->queued + 1, __ATOMIC_RELEASE);
    waitq_wake(&g->readers, POLLIN | POLLRDNORM);
}

struct fan_event *fan_queue_locked(struct fan_group *g, struct fan_event *e)
{
    struct fan_event *old = g->closing || e->perm ? NULL : find_same_locked(g, e);
    if (old)
        old->mask |= e->mask;
    if (old || g->closing)
        return e;
    if (g->queued < g->queue_max || (g->flags & FAN_UNLIMITED_QUEUE) || e->perm) {
        push_locked(g, e);
        return NULL;
    }
    struct fan_event *last = list_last(&g->queue, struct fan_event, node);
    if (last->overflow || !(old = fan_event_new(FAN_Q_OVERFLOW)))
        return e;
    old->overflow = true;
    push_locked(g, old);
    return e;
}

/* ---- reading ---- */

static size_t fid_size(const char *name)
{
    size_t raw = sizeof(struct fanotify_event_info_fid) + HANDLE_HEAD + HANDLE_BYTES +
                 (name ? strlen(name) + 1 : 0);
    return (raw + 3) & ~(size_t)3;
}

static const char *dot_if(bool yes)
{
    return yes ? "." : NULL;
}

/* The object's record says DFID where it is a directory that events are about, with "." for a name
 * in a group that wants names. */
static bool object_is_dir(const struct fan_group *g, const struct fan_event *e)
{
    bool dir_mode = g->flags & FAN_REPORT_DIR_FID;
    return dir_mode && !e->dir.given && !e->new_dir.given &&
           (e->mask & (FAN_ONDIR | FAN_DIRENT));
}

static const char *object_name(const struct fan_group *g, const struct fan_event *e)
{
    return dot_if(object_is_dir(g, e) && (g->flags & FAN_REPORT_NAME));
}

static size_t event_size(const struct fan_group *g, const struct fan_event *e)
{
    size_t size = FAN_EVENT_METADATA_LEN;
    if (e->dir.given)
        size += fid_size(e->dir.name);
    if (e->new_dir.given)
        size += fid_size(e->new_dir.name);
    if (e->has_object)
        size += fid_size(object_name(g, e));
    if (g->flags & FAN_REPORT_PIDFD)
        size += sizeof(struct fanotify_event_info_pidfd);
    return size;
}

static char *put_fid(char *at, unsigned type, dev_t dev, const struct file_handle_k *h,
                     const char *name)
{
    struct fanotify_event_info_fid f = {.hdr = {.info_type = type, .len = fid_size(name)}};
    vfs_fsid(dev, &f.fsid);
    memcpy(at, &f, sizeof(f));
    memcpy(at + sizeof(f), h, HANDLE_HEAD + HANDLE_BYTES);
    if (name)
        strcpy(at + sizeof(f) + HANDLE_HEAD + HANDLE_BYTES, name);
    return at + f.hdr.len;
}

static char *put_records(char *at, const struct fan_group *g, const struct fan_event *e)
{
    bool rename = e->mask & FAN_RENAME;
    if (e->dir.given)
        at = put_fid(at,
                     rename          ? FAN_EVENT_INFO_TYPE_OLD_DFID_NAME
                     : e->dir.name ? FAN_EVENT_INFO_TYPE_DFID_NAME
                                     : FAN_EVENT_INFO_TYPE_DFID,
                     e->dev, &e->dir.h, e->dir.name);
    if (e->new_dir.given)
        at = put_fid(at, FAN_EVENT_INFO_TYPE_NEW_DFID_NAME, e->dev, &e->new_dir.h, e->new_dir.name);
    if (!e->has_object)
        return at;
    const char *name = object_name(g, e);
    unsigned type = name                  ? FAN_EVENT_INFO_TYPE_DFID_NAME
                    : object_is_dir(g, e) ? FAN_EVENT_INFO_TYPE_DFID
                                          : FAN_EVENT_INFO_TYPE_FID;
    return put_fid(at, type, e->dev, &e->object, name);
}

/* Take the first event if it fits: -EINVAL if it does not, 0 and NULL if there is none. */
static int event_take(struct fan_group *g, uint64_t room, struct fan_event **out)
{
    LOCK_GUARD(&g_fan_lock);
    struct fan_event *e = *out = list_first(&g->queue, struct fan_event, node);
    if (!e)
        return 0;
    if (event_size(g, e) > room) {
        *out = NULL;
        return -EINVAL;
    }
    list_del(&e->node);
    __atomic_store_n(&g->queued, g->queued - 1, __ATOMIC_RELEASE);
    if (e->perm) { /* the queue's reference moves along; ours is another */
        e->state = FAN_REPORTED;
        list_push_back(&g->reported, &e->node);
        ref_get(&e->ref);
    }
    return 0;
}

static int event_open(struct task *t, struct fan_group *g, const struct fan_event *e)
{
    struct file *f;
    if (!e->path.dentry)
        return FAN_NOFD;
    int r = file_open_path(t, &e->path, (g->event_flags & ~O_CLOEXEC) | OPEN_NONOTIFY, &f);
    if (r)
        return r;
    r = fdtable_install(t, f, 0, g->event_flags & O_CLOEXEC);
    if (r < 0)
        file_put(f);
    return r;
}

static int pidfd_open_for(struct task *t, const struct fan_event *e)
{
    struct file *f;
    if (!e->process)
        return FAN_NOPIDFD;
    int r = pidfd_new(e->process, 0, &f);
    if (r)
        return FAN_EPIDFD;
    r = fdtable_install(t, f, 0, /*cloexec=*/true);
    if (r < 0)
        file_put(f);
    return r < 0 ? FAN_EPIDFD : r;
}

static void answer_locked(struct fan_group *g, struct fan_event *e, bool allowed)
{
    e->allowed = allowed;
    e->state = FAN_ANSWERED;
    waitq_wake(&g->askers, ~0u);
}

/* Take e off the list it stands on, and hand over the list's reference. */
static struct fan_event *unlist_locked(struct fan_group *g, struct fan_event *e)
{
    if (!list_linked(&e->node))
        return NULL;
    if (e->state == FAN_QUEUED)
        __atomic_store_n(&g->queued, g->queued - 1, __ATOMIC_RELEASE);
    list_del(&e->node);
    return e;
}

static void set_fd(struct fan_event *e, int fd)
{
    LOCK_GUARD(&g_fan_lock);
    e->fd = fd;
}

static void deny(struct fan_group *g, struct fan_event *e)
{
    if (!e->perm)
        return;
    lock_acquire(&g_fan_lock);
    struct fan_event *listed = unlist_locked(g, e);
    answer_locked(g, e, /*allowed=*/false);
    lock_release(&g_fan_lock);
    fan_event_put(listed);
}

static int64_t event_copy(struct task *t, struct fan_group *g, struct fan_event *e, struct uio *u)
{
    char buf[FAN_EVENT_METADATA_LEN + 4 * (VFS_NAME_MAX + 64)];
    size_t size = event_size(g, e);
    int pidfd = FAN_NOPIDFD, fd = event_open(t, g, e);
    if (fd < 0 && fd != FAN_NOFD)
        return fd;
    struct fanotify_event_metadata m = {.event_len = size,
                                        .vers = FANOTIFY_METADATA_VERSION,
                                        .metadata_len = FAN_EVENT_METADATA_LEN,
                                        .mask = e->mask,
                                        .fd = fd,
                                        .pid = e->pid};
    memset(buf, 0, sizeof(buf));
    memcpy(buf, &m, sizeof(m));
    char *at = put_records(buf + sizeof(m), g, e);
    if (g->flags & FAN_REPORT_PIDFD) {
        pidfd = pidfd_open_for(t, e);
        struct fanotify_event_info_pidfd p = {
            .hdr = {.info_type = FAN_EVENT_INFO_TYPE_PIDFD, .len = sizeof(p)}, .pidfd = pidfd};
        memcpy(at, &p, sizeof(p));
    }
    if (e->perm)
        set_fd(e, fd);
    if (uio_to_user(u, buf, size) == size)
        return size;
    if (fd >= 0)
        fdtable_close(t, fd);
    if (pidfd >= 0)
        fdtable_close(t, pidfd);
    return -EFAULT;
}

static int64_t fan_drain(struct task *t, struct fan_group *g, struct uio *u)
{
    struct fan_event *e;
    int64_t done = 0;
    for (;;) {
        int64_t n = event_take(g, u->remaining, &e);
        if (!e)
            return done ? done : n;
        n = event_copy(t, g, e, u);
        if (n < 0)
            deny(g, e);
        fan_event_put(e);
        if (n < 0)
            return done ? done : n;
        done += n;
    }
}

static bool has_events(struct fan_group *g)
{
    return __atomic_load_n(&g->queued, __ATOMIC_ACQUIRE);
}

static int64_t fan_read(struct file *f, struct uio *u, int64_t pos)
{
    struct fan_group *g = f->priv;
    struct task *t = task_current();
    for (;;) {
        int64_t n = t ? fan_drain(t, g, u) : -EAGAIN;
        if (n)
            return n;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int r = wait_event(t, &g->readers, DEADLINE_NONE, has_events(g));
        if (r)
            return r;
    }
}

/* ---- answers ---- */

static int64_t fan_write(struct file *f, struct uio *u, int64_t pos)
{
    struct fan_group *g = f->priv;
    struct fanotify_response a;
    if (!(g->flags & FAN_CLASS_BITS) || u->remaining < sizeof(a))
        return -EINVAL;
    if (uio_from_user(u, &a, sizeof(a)) != sizeof(a))
        return -EFAULT;
    unsigned verdict = a.response & ~FAN_AUDIT;
    if ((verdict != FAN_ALLOW && verdict != FAN_DENY) || a.fd < 0 ||
        ((a.response & FAN_AUDIT) && !(g->flags & FAN_ENABLE_AUDIT)))
        return -EINVAL;
    lock_acquire(&g_fan_lock);
    struct fan_event *e, *found = NULL;
    list_for_each(e, &g->reported, node) if (!found && e->fd == a.fd) found = e;
    if (found) {
        unlist_locked(g, found);
        answer_locked(g, found, verdict == FAN_ALLOW);
    }
    lock_release(&g_fan_lock);
    fan_event_put(found);
    return found ? (int64_t)sizeof(a) : -ENOENT;
}

/* e is queued with g, by us: wait until somebody has answered. Only a fatal signal ends it. */
static int wait_answer(struct task *t, struct fan_group *g, struct fan_event *e)
{
    struct task_waiter tw;
    int r = 0;
    task_waiter_init(&tw, t, ~0u);
    waitq_add(&g->askers, &tw.w);
    for (;;) {
        task_sleep_prepare(t);
        if (r || __atomic_load_n(&e->state, __ATOMIC_ACQUIRE) == FAN_ANSWERED)
            break;
        r = task_sleep(t, DEADLINE_NONE, /*interruptible=*/false);
    }
    waitq_remove(&g->askers, &tw.w);
    return r;
}

int fan_ask(struct task *t, struct fan_group *g, struct fan_event *e)
{
    lock_acquire(&g_fan_lock);
    ref_get(&e->ref);
    struct fan_event *unused = fan_queue_locked(g, e);
    lock_release(&g_fan_lock);
    int r = unused ? 0 : wait_answer(t, g, e);
    lock_acquire(&g_fan_lock);
    bool allowed = unused || e->state != FAN_ANSWERED || e->allowed;
    struct fan_event *listed = unused ? NULL : unlist_locked(g, e);
    lock_release(&g_fan_lock);
    fan_event_put(listed);
    fan_event_put(unused);
    return r ? r : allowed ? 0 : -EPERM;
}

void fan_group_put(struct fan_group *g)
{
    if (ref_put(&g->ref))
        free(g);
}

/* ---- the file ---- */

static unsigned fan_poll(struct file *f)
{
    return has_events(f->priv) ? POLLIN | POLLRDNORM : 0;
}

static struct waitq *fan_waitq(struct file *f)
{
    struct fan_group *g = f->priv;
    return &g->readers;
}

static int64_t fan_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct fan_group *g = f->priv;
    struct fan_event *e;
    int n = 0;
    if (cmd != FIONREAD)
        return -ENOTTY;
    lock_acquire(&g_fan_lock);
    list_for_each(e, &g->queue, node) n += FAN_EVENT_METADATA_LEN;
    lock_release(&g_fan_lock);
    return uaccess_write_obj(t->mm, uaddr(arg), &n);
}

/* Whoever waits for an answer goes on. */
static struct fan_event *take_any(struct fan_group *g)
{
    LOCK_GUARD(&g_fan_lock);
    struct fan_event *e = list_first(&g->queue, struct fan_event, node);
    if (!e)
        e = list_first(&g->reported, struct fan_event, node);
    if (!e)
        return NULL;
    unlist_locked(g, e);
    if (e->perm)
        answer_locked(g, e, /*allowed=*/true);
    return e;
}

static void fan_release(struct file *f)
{
    struct fan_group *g = f->priv;
    struct fan_event *e;
    lock_acquire(&g_fan_lock);
    g->closing = true;
    list_del(&g->all);
    lock_release(&g_fan_lock);
    fan_marks_flush(g, /*all=*/true, FAN_ON_INODE);
    while ((e = take_any(g)))
        fan_event_put(e);
    __atomic_sub_fetch(&g_group_count, 1, __ATOMIC_RELAXED);
    fan_group_put(g);
}

static int fan_fdinfo(struct file *f, char *buf, size_t size)
{
    struct fan_group *g = f->priv;
    struct fan_mark *m;
    LOCK_GUARD(&g_fan_lock);
    size_t len =
        snprintf(buf, size, "fanotify flags:%x event-flags:%x\n", g->flags, g->event_flags);
    list_for_each(m, &g->marks, of_group)
    {
        if (len >= size)
            break;
        char what[64];
        if (m->on == FAN_ON_INODE)
            snprintf(what, sizeof(what), "ino:%llx sdev:%x", (unsigned long long)m->ino,
                     (unsigned)m->dev);
        else if (m->on == FAN_ON_MOUNT)
            snprintf(what, sizeof(what), "mnt_id:%x", m->mnt_id);
        else
            snprintf(what, sizeof(what), "sdev:%x", (unsigned)m->dev);
        len += snprintf(buf + len, size - len, "fanotify %s mflags:%x mask:%x ignored_mask:%x\n",
                        what, m->flags, m->mask, m->ignored);
    }
    return MIN(len, size);
}

static int fan_fdname(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:[fanotify]");
}

static const struct file_ops g_fan_ops = {
    .read = fan_read,
    .write = fan_write,
    .poll = fan_poll,
    .waitq = fan_waitq,
    .ioctl = fan_ioctl,
    .lseek = vfs_lseek_noop,
    .release = fan_release,
    .fdinfo = fan_fdinfo,
    .fdname = fan_fdname,
    .stream = true,
};

struct fan_group *fan_group_of(struct file *f)
{
    return f->ops == &g_fan_ops ? f->priv : NULL;
}

/* ---- fanotify_init ---- */

#define INIT_KNOWN                                                                                 \
    (FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_BITS | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS |     \
     FAN_ENABLE_AUDIT | FAN_REPORT_PIDFD | FAN_REPORT_TID | FAN_FID_MODE)
#define INIT_PRIVILEGED                                                                            \
    (FAN_CLASS_BITS | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS | FAN_REPORT_TID |                 \
     FAN_REPORT_PIDFD | FAN_ENABLE_AUDIT)
#define EVENT_FLAGS_KNOWN                                                                          \
    (O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_CLOEXEC | 0100000 | O_NOATIME)

static int fid_flags_check(unsigned flags)
{
    unsigned fid = flags & FAN_FID_MODE;
    if (fid && (flags & FAN_CLASS_BITS))
        return -EINVAL;
    if ((fid & FAN_REPORT_NAME) && !(fid & FAN_REPORT_DIR_FID))
        return -EINVAL;
    return (fid & FAN_REPORT_TARGET_FID) && fid != FAN_FID_MODE ? -EINVAL : 0;
}

static int init_check(const struct cred *c, unsigned flags, unsigned event_flags)
{
    bool admin = cred_has_cap(c, CAP_SYS_ADMIN);
    if (!admin && ((flags & INIT_PRIVILEGED) || !(flags & FAN_FID_MODE)))
        return -EPERM;
    if ((flags & ~(unsigned)INIT_KNOWN) || (flags & FAN_CLASS_BITS) == FAN_CLASS_BITS)
        return -EINVAL;
    if ((flags & FAN_REPORT_PIDFD) && (flags & FAN_REPORT_TID))
        return -EINVAL;
    if ((event_flags & ~(unsigned)EVENT_FLAGS_KNOWN) || (event_flags & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    int r = fid_flags_check(flags);
    if (!r && (flags & FAN_ENABLE_AUDIT) && !cred_has_cap(c, CAP_AUDIT_WRITE))
        r = -EPERM;
    return r;
}

static struct fan_group *group_new(struct task *t, unsigned flags, unsigned event_flags)
{
    struct fan_group *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    ref_init(&g->ref);
    list_node_init(&g->all);
    list_init(&g->marks);
    list_init(&g->queue);
    list_init(&g->reported);
    waitq_init(&g->readers);
    waitq_init(&g->askers);
    g->flags = flags;
    g->event_flags = event_flags;
    g->queue_max = g_vfs_knobs.fanotify_events;
    g->unprivileged = !cred_has_cap(t->cred, CAP_SYS_ADMIN);
    return g;
}

int fanotify_new(struct task *t, unsigned flags, unsigned event_flags, struct file **out)
{
    int r = init_check(t->cred, flags, event_flags);
    if (r)
        return r;
    if (__atomic_add_fetch(&g_group_count, 1, __ATOMIC_RELAXED) > FAN_GROUPS_MAX)
        r = -EMFILE;
    struct fan_group *g = r ? NULL : group_new(t, flags, event_flags);
    if (!r && !g)
        r = -ENOMEM;
    if (!r)
        r = file_new_anon(&g_fan_ops, O_RDWR | (flags & FAN_NONBLOCK ? O_NONBLOCK : 0), g, 0600,
                          out);
    if (r) {
        __atomic_sub_fetch(&g_group_count, 1, __ATOMIC_RELAXED);
        free(g);
        return r;
    }
    fan_group_enter(g);
    return 0;
}
