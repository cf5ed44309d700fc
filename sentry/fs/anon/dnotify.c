/* dnotify: F_NOTIFY, the signal that something in a directory has changed.
 *
 * A watch is one (open file, descriptor table) pair on one directory, and goes with the descriptor,
 * or after its first event unless DN_MULTISHOT was asked for. */
#include "fs/anon/fsnotify_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>

struct dnotify {
    struct list_node inode_node; /* lock: g_lock; fsnotify_marks.dnotifies */
    struct inode *inode;         /* const; counted */
    struct file *file;           /* const; borrowed: the watch goes before it */
    const void *owner;           /* const; the descriptor table */
    int fd;                      /* lock: g_lock */
    uint32_t mask;               /* lock: g_lock; DN_* */
    uint64_t told;               /* lock: g_lock; the last event it was told of */
};

static struct lock g_lock = LOCK_INITIALIZER(LR_INOTIFY);
static uint32_t g_count; /* atomic */

static uint32_t dn_of(uint32_t mask)
{
    static const struct {
        uint32_t event, dn;
    } map[] = {{IN_ACCESS, DN_ACCESS},
               {IN_MODIFY, DN_MODIFY},
               {IN_CREATE | IN_MOVED_TO, DN_CREATE},
               {IN_DELETE | IN_MOVED_FROM, DN_DELETE},
               {FSN_RENAME, DN_RENAME},
               {IN_ATTRIB, DN_ATTRIB}};
    uint32_t dn = 0;
    for (unsigned n = 0; n < sizeof(map) / sizeof(map[0]); n++)
        if (mask & map[n].event)
            dn |= map[n].dn;
    return dn;
}

static void unlink_locked(struct dnotify *w)
{
    list_del(&w->inode_node);
    __atomic_sub_fetch(&g_count, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&g_fsnotify_watches, 1, __ATOMIC_RELAXED);
}

static void watch_free(struct dnotify *w)
{
    inode_put(w->inode);
    free(w);
}

/* One watch that wants dn and has not been told of this event yet: *f counted; *dead if that was all
 * it wanted. */
static bool next_to_tell(struct inode *dir, uint32_t dn, uint64_t event, struct file **f, int *fd,
                         struct dnotify **dead)
{
    LOCK_GUARD(&g_lock);
    struct dnotify *w;
    list_for_each(w, &dir->marks->dnotifies, inode_node)
    {
        if (!(w->mask & dn) || w->told == event || !ref_get_unless_zero(&w->file->ref))
            continue;
        w->told = event;
        *f = w->file;
        *fd = w->fd;
        *dead = w->mask & DN_MULTISHOT ? NULL : w;
        if (*dead)
            unlink_locked(w);
        return true;
    }
    return false;
}

void dnotify_tell(struct inode *dir, uint32_t mask)
{
    static uint64_t g_events;
    uint32_t dn = __atomic_load_n(&g_count, __ATOMIC_RELAXED) ? dn_of(mask) : 0;
    struct dnotify *dead;
    struct file *f;
    int fd;
    if (!dn || !fsnotify_marks_of(dir))
        return;
    uint64_t event = __atomic_add_fetch(&g_events, 1, __ATOMIC_RELAXED);
    while (next_to_tell(dir, dn, event, &f, &fd, &dead)) {
        fasync_tell(f, fd, POLL_MSG, POLLIN | POLLRDNORM | POLLMSG);
        if (dead)
            watch_free(dead);
        file_put(f);
    }
}

static struct dnotify *find_locked(struct inode *i, struct file *f, const void *owner)
{
    struct dnotify *w;
    if (fsnotify_marks_of(i))
        list_for_each(w, &i->marks->dnotifies, inode_node) if (w->file == f && w->owner == owner)
            return w;
    return NULL;
}

static int add(struct task *t, struct file *f, int fd, uint32_t mask)
{
    struct inode *i = f->inode;
    struct dnotify *w = malloc(sizeof(*w));
    int r = inode_keep(i);
    if (r || !w || !fsnotify_marks_get(i)) {
        free(w);
        return r ? r : -ENOMEM;
    }
    *w = (struct dnotify){.inode = i, .file = f, .owner = t->fds, .fd = fd, .mask = mask};
    lock_acquire(&g_lock);
    struct dnotify *old = find_locked(i, f, t->fds);
    if (old) {
        old->mask |= mask;
        old->fd = fd;
    } else {
        inode_get(i);
        list_push_back(&i->marks->dnotifies, &w->inode_node);
        __atomic_add_fetch(&g_count, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&g_fsnotify_watches, 1, __ATOMIC_RELAXED);
    }
    lock_release(&g_lock);
    if (old)
        free(w);
    fasync_default_owner(t, f);
    return 0;
}

void dnotify_close(struct file *f, const void *owner)
{
    if (!__atomic_load_n(&g_count, __ATOMIC_RELAXED) || !f->inode || !inode_is_dir(f->inode))
        return;
    lock_acquire(&g_lock);
    struct dnotify *w = find_locked(f->inode, f, owner);
    if (w)
        unlink_locked(w);
    lock_release(&g_lock);
    if (w)
        watch_free(w);
}

int dnotify_set(struct task *t, struct file *f, int fd, uint32_t mask)
{
    if (!g_vfs_knobs.dir_notify_enable)
        return -EINVAL;
    if (!(mask & ~(uint32_t)DN_MULTISHOT)) {
        dnotify_close(f, t->fds);
        return 0;
    }
    if (!inode_is_dir(f->inode) || !f->path.mnt)
        return -ENOTDIR;
    return add(t, f, fd, mask);
}
