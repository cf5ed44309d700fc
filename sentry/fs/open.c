/* open(2): from a name or a path to an open file description. */
#include "base/log.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fanotify.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <unistd.h>

#define OPEN_ONLY_FLAGS (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC)

/* ---- the file itself ---- */

static unsigned mode_of(unsigned flags)
{
    unsigned acc = (flags + 1) & O_ACCMODE; /* O_ACCMODE itself: neither */
    return (acc & 1 ? FMODE_READ : 0) | (acc & 2 ? FMODE_WRITE : 0);
}

static bool is_special(const struct inode *i)
{
    return S_ISFIFO(i->mode) || S_ISCHR(i->mode) || S_ISBLK(i->mode) || S_ISSOCK(i->mode);
}

static int open_by_type(struct inode *i, struct file *f)
{
    switch (i->mode & S_IFMT) {
    case S_IFIFO:
        return fifo_open(i, f);
    case S_IFCHR:
    case S_IFBLK:
        return dev_open(i, f);
    case S_IFLNK:
        return -ELOOP;
    }
    return -ENXIO;
}

static int call_open(struct inode *i, struct file *f)
{
    f->data = i;
    if (i->ops && i->ops->open)
        return i->ops->open(i, f);
    if (!i->file_ops)
        return open_by_type(i, f);
    f->ops = i->file_ops;
    return 0;
}

/* Who has it open, for running text, for leases and for mounts that are to become read-only. */
int file_open_counts_get(struct mount *mnt, struct inode *i, unsigned mode)
{
    if (!S_ISREG(i->mode))
        return 0;
    if (mode & FMODE_WRITE) {
        int r = mount_writer_get(mnt);
        if (!r && (r = inode_write_get(i)))
            mount_writer_put(mnt);
        return r;
    }
    __atomic_add_fetch(&i->read_count, 1, __ATOMIC_ACQ_REL);
    return 0;
}

void file_open_counts_put(struct mount *mnt, struct inode *i, unsigned mode)
{
    if (!S_ISREG(i->mode))
        return;
    if (mode & FMODE_WRITE) {
        inode_write_put(i);
        mount_writer_put(mnt);
    } else {
        __atomic_sub_fetch(&i->read_count, 1, __ATOMIC_ACQ_REL);
    }
}

int file_open_path(struct task *t, const struct path *p, unsigned flags, struct file **out)
{
    struct file *f;
    struct inode *i = p->dentry->inode;
    int r = file_alloc(flags & ~(OPEN_NONOTIFY | OPEN_TO_EXEC), &f);
    if (r)
        return r;
    f->path = *p;
    path_get(p);
    inode_get(i);
    f->inode = f->data = i;
    if (flags & O_PATH) {
        f->mode = FMODE_PATH;
        *out = f;
        return 0;
    }
    f->mode = mode_of(flags) | (flags & OPEN_NONOTIFY ? FMODE_NONOTIFY : 0);
    r = file_open_counts_get(p->mnt, i, f->mode);
    if (!r) {
        r = lease_break(t, i, f->mode & FMODE_WRITE, flags & O_NONBLOCK);
        if (!r)
            r = call_open(i, f);
        if (r)
            file_open_counts_put(p->mnt, i, f->mode);
    }
    if (r) {
        file_free_unopened(f);
        return r;
    }
    f->flags &= ~OPEN_ONLY_FLAGS;
    fsnotify_file(f, flags & OPEN_TO_EXEC ? IN_OPEN | FAN_OPEN_EXEC : IN_OPEN);
    *out = f;
    return 0;
}

/* ---- may it be opened ---- */

static int may_open_type(const struct path *p, struct inode *i, unsigned flags, unsigned want)
{
    switch (i->mode & S_IFMT) {
    case S_IFLNK:
        return -ELOOP;
    case S_IFDIR:
        return want & W_OK ? -EISDIR : 0;
    case S_IFBLK:
    case S_IFCHR:
        return mount_flags(p->mnt) & MS_NODEV ? -EACCES : 0;
    }
    return (flags & O_DIRECTORY) ? -ENOTDIR : 0;
}

static unsigned wanted_access(unsigned flags)
{
    static const unsigned acc[] = {R_OK, W_OK, R_OK | W_OK, R_OK | W_OK};
    return acc[flags & O_ACCMODE] | (flags & O_TRUNC ? W_OK : 0);
}

static int may_open(struct task *t, const struct path *p, unsigned flags)
{
    struct inode *i = p->dentry->inode;
    unsigned want = wanted_access(flags);
    int r = may_open_type(p, i, flags, want);
    if (!r && (flags & O_DIRECTORY) && !inode_is_dir(i))
        r = -ENOTDIR;
    if (!r && (want & W_OK) && !is_special(i))
        r = path_want_write(p);
    if (!r)
        r = inode_permission(i, want, t->cred);
    if (!r && inode_has_flags(i, FS_APPEND_FL) &&
        (((want & W_OK) && !(flags & O_APPEND)) || (flags & O_TRUNC)))
        r = -EPERM;
    if (!r && (flags & O_NOATIME) && !inode_owner_or_capable(i, t->cred))
        r = -EPERM;
    return r;
}

static int open_found(struct task *t, const struct path *p, unsigned flags, bool created,
                      struct file **out)
{
    struct inode *i = p->dentry->inode;
    if (flags & O_PATH)
        return (flags & O_DIRECTORY) && !inode_is_dir(i) ? -ENOTDIR
                                                        : file_open_path(t, p, flags, out);
    int r = created ? 0 : may_open(t, p, flags);
    if (!r)
        r = fanotify_permission(t, p, FAN_OPEN_PERM);
    if (r)
        return r;
    struct file *f;
    r = file_open_path(t, p, flags, &f);
    if (!r && (flags & O_TRUNC) && !created && S_ISREG(i->mode)) {
        r = vfs_truncate(t, p, i, f, 0);
        if (r)
            file_put(f);
    }
    if (!r && created)
        f->mode |= FMODE_CREATED;
    if (!r)
        *out = f;
    return r;
}

int vfs_open_path(struct task *t, const struct path *p, int flags, struct file **out)
{
    return open_found(t, p, flags, /*created=*/false, out);
}

/* ---- creation ---- */

struct vfs_knobs g_vfs_knobs = {.protected_symlinks = 1,
                                .protected_hardlinks = 1,
                                .protected_fifos = 1,
                                .protected_regular = 2,
                                .lease_break_time = 45,
                                .leases_enable = 1,
                                .dir_notify_enable = 1,
                                .file_max = INT64_MAX,
                                .inotify_events = 16384,
                                .inotify_instances = 128,
                                .inotify_watches = 524288,
                                .fanotify_events = 16384,
                                .fanotify_groups = 128,
                                .fanotify_marks = 8192,
                                .pipe_max_size = 1 << 20,
                                .pipe_user_pages_soft = 16384,
                                .epoll_max_user_watches = 402653,
                                .aio_max_nr = 65536,
                                .legacy_tiocsti = 1};

/* fs.protected_regular and protected_fifos: what stands in a sticky directory and belongs neither
 * to its owner nor to us may be a trap for a program that thinks it creates a file. */
int protected_create_check(struct inode *dir, struct inode *i, const struct cred *c)
{
    int64_t level = S_ISREG(i->mode)    ? g_vfs_knobs.protected_regular
                    : S_ISFIFO(i->mode) ? g_vfs_knobs.protected_fifos
                                        : 1;
    if (!level || !(dir->mode & S_ISVTX) || i->uid == dir->uid || i->uid == c->fsuid)
        return 0;
    bool group = (dir->mode & S_IWGRP) && level >= 2 && (S_ISREG(i->mode) || S_ISFIFO(i->mode));
    return (dir->mode & S_IWOTH) || group ? -EACCES : 0;
}

static int create_locked(struct walk *w, struct dentry *d, uint32_t mode)
{
    struct inode *dir = w->cur.dentry->inode, *inode;
    int r = path_want_write(&w->cur);
    if (!r && dir->dead)
        r = -ENOENT;
    if (!r)
        r = inode_permission(dir, W_OK | X_OK, w->cred);
    if (!r && !(dir->ops && dir->ops->create))
        r = -EACCES;
    if (r)
        return r;
    superblock_change_begin(dir->sb);
    r = dir->ops->create(dir, d, S_IFREG | vfs_create_mode(w->t, dir, mode & 07777), w->cred, &inode);
    if (!r && acl_has(dir, ACL_DEFAULT))
        acl_inherit(dir, inode);
    if (!r)
        dcache_instantiate(d, inode);
    superblock_change_end(dir->sb);
    if (!r)
        fsnotify_name(w->cur.dentry, d->name, IN_CREATE, 0, d);
    return r;
}

static int lookup_or_create(struct walk *w, uint32_t mode, struct dentry **out, bool *created)
{
    struct inode *dir = w->cur.dentry->inode;
    struct dentry *d;
    lock_acquire(&dir->dir_lock);
    int r = walk_lookup(w, /*locked=*/true, &d);
    if (!r && !d->inode) {
        r = create_locked(w, d, mode);
        *created = !r;
        if (r)
            dentry_put(d);
    }
    lock_release(&dir->dir_lock);
    if (!r)
        *out = d;
    return r;
}

/* One last component with O_CREAT: 1 = it was a symlink, walk on. */
static int create_step(struct walk *w, const struct open_how_k *how, bool *created)
{
    struct dentry *d;
    if (w->last != WALK_LAST_NORM)
        return how->flags & O_EXCL ? -EEXIST : -EISDIR;
    if (w->trailing)
        return -EISDIR;
    int r = lookup_or_create(w, how->mode, &d, created);
    if (r)
        return r;
    if (*created)
        return walk_step(w, d);
    if (how->flags & O_EXCL) {
        r = -EEXIST;
    } else if (S_ISLNK(d->inode->mode)) {
        r = how->flags & O_NOFOLLOW ? -ELOOP : walk_follow_last(w, d);
        r = r ? r : 1;
    } else {
        struct path dir = w->cur;
        path_get(&dir);
        r = walk_step(w, d);
        struct inode *i = w->cur.dentry->inode;
        if (!r)
            r = inode_is_dir(i) ? -EISDIR : protected_create_check(dir.dentry->inode, i, w->cred);
        path_put(&dir);
        return r;
    }
    dentry_put(d);
    return r;
}

static int open_create(struct task *t, struct walk *w, const struct open_how_k *how,
                       struct file **out)
{
    bool created = false;
    int r;
    do {
        r = walk_parent(w);
        /* A magic link leads straight to a file: nothing is left to look up. */
        if (!r && w->last == WALK_LAST_ROOT && w->links)
            break;
        if (!r)
            r = create_step(w, how, &created);
    } while (r == 1);
    if (r == -ENOTDIR && !*w->rest && w->links && !inode_is_dir(w->cur.dentry->inode))
        r = 0;
    if (!r && !created && inode_is_dir(w->cur.dentry->inode))
        r = -EISDIR;
    return r ? r : open_found(t, &w->cur, how->flags, created, out);
}

static int open_tmpfile(struct task *t, const struct path *dir, const struct open_how_k *how,
                        struct file **out)
{
    struct inode *d = dir->dentry->inode, *inode;
    uint32_t mode = S_IFREG | vfs_create_mode(t, d, how->mode & 07777);
    int r = path_want_write(dir);
    if (!r)
        r = inode_permission(d, W_OK | X_OK, t->cred);
    if (!r && !d->ops->tmpfile)
        r = -EOPNOTSUPP;
    if (!r)
        r = d->ops->tmpfile(d, mode, t->cred, &inode);
    if (r)
        return r;
    inode->linkable = !(how->flags & O_EXCL);
    if (acl_has(d, ACL_DEFAULT))
        acl_inherit(d, inode);
    char name[32];
    int len = snprintf(name, sizeof(name), "#%llu", (unsigned long long)inode->ino);
    struct dentry *dentry = dcache_new_unhashed(dir->dentry, name, len, inode);
    if (!dentry)
        return -ENOMEM;
    struct path p = {dir->mnt, dentry};
    r = open_found(t, &p, how->flags & ~(O_TMPFILE | O_EXCL | O_CREAT), /*created=*/true, out);
    dentry_put(dentry);
    return r;
}

/* ---- by name ---- */

static unsigned walk_flags_of(const struct open_how_k *how)
{
    static const struct {
        uint64_t resolve;
        unsigned walk;
    } map[] = {
        {RESOLVE_NO_XDEV, WALK_NO_XDEV},   {RESOLVE_NO_MAGICLINKS, WALK_NO_MAGIC},
        {RESOLVE_BENEATH, WALK_BENEATH},   {RESOLVE_NO_SYMLINKS, WALK_NO_SYMLINKS | WALK_NO_MAGIC},
        {RESOLVE_IN_ROOT, WALK_IN_ROOT},   {RESOLVE_CACHED, WALK_CACHED},
    };
    unsigned walk = how->flags & O_NOFOLLOW ? 0 : WALK_FOLLOW;
    if (how->flags & O_DIRECTORY)
        walk |= WALK_DIRECTORY;
    for (unsigned i = 0; i < sizeof(map) / sizeof(map[0]); i++)
        if (how->resolve & map[i].resolve)
            walk |= map[i].walk;
    return walk;
}

int vfs_open(struct task *t, int dirfd, const char *name, const struct open_how_k *how,
             struct file **out)
{
    struct walk w;
    struct path p;
    bool tmpfile = (how->flags & O_TMPFILE) == O_TMPFILE;
    bool create = (how->flags & O_CREAT) && !(how->flags & O_PATH);
    if (create && (how->resolve & RESOLVE_CACHED))
        return -EAGAIN;
    int r = walk_init(&w, t, dirfd, name, walk_flags_of(how));
    if (!r && create) {
        r = open_create(t, &w, how, out);
    } else if (!r) {
        r = walk_whole(&w, &p);
        if (!r) {
            r = tmpfile ? open_tmpfile(t, &p, how, out)
                        : open_found(t, &p, how->flags, /*created=*/false, out);
            path_put(&p);
        }
    }
    walk_end(&w);
    return r;
}

int vfs_open_exec(struct task *t, int dirfd, const char *name, int flags, struct file **out)
{
    struct path p;
    unsigned walk = flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW;
    if (flags & AT_EMPTY_PATH)
        walk |= WALK_EMPTY;
    int r = vfs_walk(t, dirfd, name, walk, &p);
    if (r)
        return r;
    struct inode *i = p.dentry->inode;
    if (S_ISLNK(i->mode))
        r = -ELOOP;
    else if (!S_ISREG(i->mode) || (mount_flags(p.mnt) & MS_NOEXEC))
        r = -EACCES;
    else
        r = inode_permission(i, X_OK, t->cred);
    struct file *f = NULL;
    if (!r)
        r = fanotify_permission(t, &p, FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM);
    if (!r)
        r = file_open_path(t, &p, O_RDONLY | OPEN_TO_EXEC, &f);
    path_put(&p);
    if (!r)
        r = inode_write_deny(f->inode);
    if (r) {
        if (f)
            file_put(f);
        return r;
    }
    f->mode |= FMODE_EXEC;
    *out = f;
    return 0;
}
