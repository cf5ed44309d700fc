/* Changes of names: mkdir, mknod, symlink, link, unlink, rmdir, rename, and binding a socket.
 *
 * Each is: walk to the parent, lock the directory, look the last name up, check (permissions,
 * stickiness, types, mounts), then let the filesystem do it and put the dcache right. */
#include "base/log.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- checks ---- */

static int may_create(struct walk *w, struct inode *dir)
{
    if (dir->dead)
        return -ENOENT;
    return inode_permission(dir, W_OK | X_OK, w->cred);
}

static bool sticky_forbids(struct inode *dir, struct inode *victim, const struct cred *c)
{
    return (dir->mode & S_ISVTX) && c->fsuid != victim->uid && c->fsuid != dir->uid &&
           !inode_capable(victim, c, CAP_FOWNER);
}

static int may_delete(struct walk *w, struct inode *dir, struct dentry *d, bool want_dir)
{
    int r = inode_permission(dir, W_OK | X_OK, w->cred);
    if (r)
        return r;
    if (inode_has_flags(dir, FS_APPEND_FL) || sticky_forbids(dir, d->inode, w->cred) ||
        inode_has_flags(d->inode, FS_APPEND_FL | FS_IMMUTABLE_FL))
        return -EPERM;
    bool is_dir = inode_is_dir(d->inode);
    if (want_dir && !is_dir)
        return -ENOTDIR;
    if (!want_dir && is_dir)
        return -EISDIR;
    if (__atomic_load_n(&d->mounted, __ATOMIC_RELAXED) && mount_is_local(w->cur.mnt, d))
        return -EBUSY;
    return dir->dead ? -ENOENT : 0;
}

/* ---- making ---- */

/* A new name being made: directory locked, negative dentry at hand. */
struct making {
    struct walk w;
    struct inode *dir; /* borrowed from w */
    struct dentry *d;  /* counted */
};

static void making_end(struct making *m)
{
    if (m->d) {
        superblock_change_end(m->dir->sb);
        dentry_put(m->d);
        lock_release(&m->dir->dir_lock);
    }
    walk_end(&m->w);
}

static int making_check(struct making *m, bool want_dir)
{
    if (m->d->inode)
        return -EEXIST;
    if (!want_dir && m->w.trailing)
        return -ENOENT;
    int r = path_want_write(&m->w.cur);
    return r ? r : may_create(&m->w, m->dir);
}

/* Error in *r keeps the state such that making_end is right. */
static int making_begin(struct making *m, struct task *t, int dirfd, const char *name,
                        bool want_dir)
{
    m->d = NULL;
    int r = walk_init(&m->w, t, dirfd, name, 0);
    if (!r)
        r = walk_parent(&m->w);
    if (r)
        return r;
    if (m->w.last != WALK_LAST_NORM)
        return -EEXIST;
    m->dir = m->w.cur.dentry->inode;
    struct dentry *d;
    lock_acquire(&m->dir->dir_lock);
    r = walk_lookup(&m->w, /*locked=*/true, &d);
    if (r) {
        lock_release(&m->dir->dir_lock);
        return r;
    }
    m->d = d;
    superblock_change_begin(m->dir->sb);
    return making_check(m, want_dir);
}

static void making_done(struct making *m, struct inode *inode)
{
    uint32_t is_dir = inode_is_dir(inode) ? IN_ISDIR : 0;
    dcache_instantiate(m->d, inode);
    fsnotify_name(m->w.cur.dentry, m->d->name, IN_CREATE | is_dir, 0, m->d);
}

uint32_t vfs_create_mode(struct task *t, struct inode *dir, uint32_t mode)
{
    if (acl_has(dir, ACL_DEFAULT))
        return mode;
    LOCK_GUARD(&t->fs->lock);
    return mode & ~t->fs->umask;
}

/* A fresh inode, which no dentry leads to yet. */
static void made(struct making *m, struct inode *inode)
{
    if (acl_has(m->dir, ACL_DEFAULT))
        acl_inherit(m->dir, inode);
    making_done(m, inode);
}

int vfs_mkdir(struct task *t, int dirfd, const char *name, uint32_t mode)
{
    struct making m;
    struct inode *inode;
    int r = making_begin(&m, t, dirfd, name, /*want_dir=*/true);
    if (!r && !m.dir->ops->mkdir)
        r = -EPERM;
    if (!r)
        r = m.dir->ops->mkdir(m.dir, m.d, S_IFDIR | vfs_create_mode(t, m.dir, mode & 01777),
                              t->cred, &inode);
    if (!r)
        made(&m, inode);
    making_end(&m);
    return r;
}

static int mknod_type_check(struct task *t, uint32_t mode, dev_t dev)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFCHR:
    case S_IFBLK:
        if (S_ISCHR(mode) && !dev)
            return 0;
        return cred_has_cap(t->cred, CAP_MKNOD) ? 0 : -EPERM;
    case S_IFDIR:
        return -EPERM;
    }
    return -EINVAL;
}

static int make_node(struct making *m, struct task *t, uint32_t mode, dev_t dev,
                     struct inode **out)
{
    const struct inode_ops *ops = m->dir->ops;
    if (S_ISREG(mode))
        return ops->create ? ops->create(m->dir, m->d, mode, t->cred, out) : -EPERM;
    return ops->mknod ? ops->mknod(m->dir, m->d, mode, dev, t->cred, out) : -EPERM;
}

int vfs_mknod(struct task *t, int dirfd, const char *name, uint32_t mode, dev_t dev)
{
    if (!(mode & S_IFMT))
        mode |= S_IFREG;
    if (S_ISREG(mode) || S_ISFIFO(mode) || S_ISSOCK(mode))
        dev = 0;
    struct making m;
    struct inode *inode;
    int r = mknod_type_check(t, mode, dev);
    if (r == -EINVAL || S_ISDIR(mode))
        return r;
    int begun = making_begin(&m, t, dirfd, name, /*want_dir=*/false);
    r = begun ? begun : r;
    if (!r)
        r = make_node(&m, t, (mode & S_IFMT) | vfs_create_mode(t, m.dir, mode & 07777), dev,
                      &inode);
    if (!r)
        made(&m, inode);
    making_end(&m);
    return r;
}

int vfs_symlink(struct task *t, const char *target, int dirfd, const char *name)
{
    if (!*target)
        return -ENOENT;
    struct making m;
    struct inode *inode;
    int r = making_begin(&m, t, dirfd, name, /*want_dir=*/false);
    if (!r && !m.dir->ops->symlink)
        r = -EPERM;
    if (!r)
        r = m.dir->ops->symlink(m.dir, m.d, target, t->cred, &inode);
    if (!r)
        making_done(&m, inode);
    making_end(&m);
    return r;
}

int vfs_bind_socket(struct task *t, const char *name, uint32_t mode, void *obj, struct path *out)
{
    struct making m;
    struct inode *inode;
    int r = making_begin(&m, t, AT_FDCWD, name, /*want_dir=*/false);
    if (!r && !m.dir->ops->mknod)
        r = -EPERM;
    if (!r)
        r = m.dir->ops->mknod(m.dir, m.d, S_IFSOCK | vfs_create_mode(t, m.dir, mode & 0777), 0,
                              t->cred, &inode);
    if (!r) {
        lock_acquire(&inode->lock);
        inode->pipe_or_socket = obj;
        lock_release(&inode->lock);
        made(&m, inode);
        *out = (struct path){m.w.cur.mnt, m.d};
        path_get(out);
    }
    making_end(&m);
    return r;
}

static int link_source(struct task *t, int dirfd, const char *name, int flags, struct path *out)
{
    unsigned walk = (flags & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0);
    if (flags & AT_EMPTY_PATH)
        walk |= WALK_EMPTY;
    /* Not everybody may give a name to a descriptor that he was handed. */
    if ((flags & AT_EMPTY_PATH) && *name != '/' && (dirfd != AT_FDCWD || !*name) &&
        !cred_has_cap(t->cred, CAP_DAC_READ_SEARCH))
        return -ENOENT;
    return vfs_walk(t, dirfd, name, walk, out);
}

/* fs.protected_hardlinks: one may link what one owns, and what one could as well copy and change. */
static int protected_link_check(struct inode *i, const struct cred *c)
{
    if (!g_vfs_knobs.protected_hardlinks || inode_owner_or_capable(i, c))
        return 0;
    bool setid = (i->mode & S_ISUID) || (i->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    return S_ISREG(i->mode) && !setid && !inode_permission(i, R_OK | W_OK, c) ? 0 : -EPERM;
}

static int link_check(struct making *m, const struct path *old)
{
    struct inode *inode = old->dentry->inode;
    if (old->mnt != m->w.cur.mnt || inode->sb != m->dir->sb)
        return -EXDEV;
    int r = protected_link_check(inode, m->w.cred);
    if (r)
        return r;
    if (inode_has_flags(inode, FS_APPEND_FL | FS_IMMUTABLE_FL))
        return -EPERM;
    if (!m->dir->ops->link || inode_is_dir(inode))
        return -EPERM;
    return inode->nlink || inode->linkable ? 0 : -ENOENT;
}

int vfs_link(struct task *t, int olddirfd, const char *old, int newdirfd, const char *new_name,
             int flags)
{
    struct path source;
    int r = link_source(t, olddirfd, old, flags, &source);
    if (r)
        return r;
    struct making m;
    struct inode *inode = source.dentry->inode;
    r = making_begin(&m, t, newdirfd, new_name, /*want_dir=*/false);
    if (!r)
        r = link_check(&m, &source);
    if (!r)
        r = m.dir->ops->link(m.dir, m.d, inode);
    if (!r) {
        inode_get(inode);
        fsnotify_dentry(source.dentry, IN_ATTRIB);
        making_done(&m, inode);
    }
    making_end(&m);
    path_put(&source);
    return r;
}

/* ---- removing ---- */

static int unlink_kind_check(const struct walk *w, bool dir)
{
    if (w->last == WALK_LAST_NORM)
        return 0;
    if (!dir)
        return -EISDIR;
    if (w->last == WALK_LAST_DOT)
        return -EINVAL;
    return w->last == WALK_LAST_DOTDOT ? -ENOTEMPTY : -EBUSY;
}

/* unlink("file/") and its kin: what Linux answers depends on what is there. */
static int unlink_slash_check(const struct walk *w, const struct dentry *d, bool dir)
{
    if (!d->inode)
        return -ENOENT;
    if (dir || !w->trailing)
        return 0;
    return inode_is_dir(d->inode) ? -EISDIR : -ENOTDIR;
}

static int unlink_locked(struct walk *w, struct inode *parent, struct dentry *d, bool dir)
{
    int r = unlink_slash_check(w, d, dir);
    if (!r)
        r = path_want_write(&w->cur);
    if (!r)
        r = may_delete(w, parent, d, dir);
    if (r)
        return r;
    if (dir ? !parent->ops->rmdir : !parent->ops->unlink)
        return -EPERM;
    if (!dir)
        return parent->ops->unlink(parent, d);
    lock_acquire_nested(&d->inode->dir_lock); /* nothing may be made in it meanwhile */
    r = parent->ops->rmdir(parent, d);
    if (!r)
        d->inode->dead = true;
    lock_release(&d->inode->dir_lock);
    return r;
}

static void unlink_notify(struct dentry *parent, struct dentry *d, bool dir)
{
    if (!fsnotify_on())
        return;
    if (!dir)
        fsnotify_dentry(d, IN_ATTRIB);
    if (!d->inode->nlink && ref_read(&d->ref) == 1) /* as dentry_put would, but Linux is earlier */
        fsnotify_dentry(d, IN_DELETE_SELF);
    fsnotify_name(parent, d->name, IN_DELETE | (dir ? IN_ISDIR : 0), 0, d);
}

static int unlink_last(struct walk *w, bool dir)
{
    struct inode *parent = w->cur.dentry->inode;
    struct dentry *d = NULL;
    lock_acquire(&parent->dir_lock);
    int r = walk_lookup(w, /*locked=*/true, &d);
    if (!r) {
        superblock_change_begin(parent->sb);
        r = unlink_locked(w, parent, d, dir);
        if (!r)
            dcache_deleted(d);
        superblock_change_end(parent->sb);
    }
    lock_release(&parent->dir_lock);
    if (!r && dir)
        dcache_drop_children(d);
    if (!r)
        unlink_notify(w->cur.dentry, d, dir);
    if (!r)
        mount_dentry_gone(d);
    if (d)
        dentry_put(d); /* the inode may die here, outside the directory's lock */
    return r;
}

int vfs_unlink(struct task *t, int dirfd, const char *name, bool dir)
{
    struct walk w;
    int r = walk_init(&w, t, dirfd, name, 0);
    if (!r)
        r = walk_parent(&w);
    if (!r)
        r = unlink_kind_check(&w, dir);
    if (!r)
        r = unlink_last(&w, dir);
    walk_end(&w);
    return r;
}

/* ---- rename ---- */

struct renaming {
    struct walk from, to;
    struct inode *old_dir, *new_dir; /* borrowed from the walks */
    struct dentry *old, *new_d;      /* counted */
    unsigned flags;
    bool locked, cross;
};

static void rename_lock_dirs(struct renaming *m)
{
    struct lock *a = &m->old_dir->dir_lock, *b = &m->new_dir->dir_lock;
    m->cross = m->old_dir != m->new_dir;
    m->locked = true;
    if (!m->cross) {
        lock_acquire(a);
        return;
    }
    lock_acquire(&m->old_dir->sb->rename_lock);
    bool new_first = dcache_is_ancestor(m->to.cur.dentry, m->from.cur.dentry) ||
                     (!dcache_is_ancestor(m->from.cur.dentry, m->to.cur.dentry) && b < a);
    lock_acquire(new_first ? b : a);
    lock_acquire_nested(new_first ? a : b);
}

static void rename_unlock_dirs(struct renaming *m)
{
    if (!m->locked)
        return;
    lock_release(&m->old_dir->dir_lock);
    if (!m->cross)
        return;
    lock_release(&m->new_dir->dir_lock);
    lock_release(&m->old_dir->sb->rename_lock);
}

static int rename_walk(struct renaming *m, struct task *t, int olddirfd, const char *old,
                       int newdirfd, const char *new_name)
{
    int r = walk_init(&m->from, t, olddirfd, old, 0);
    if (!r)
        r = walk_parent(&m->from);
    if (!r)
        r = walk_init(&m->to, t, newdirfd, new_name, 0);
    if (!r)
        r = walk_parent(&m->to);
    if (r)
        return r;
    if (m->from.cur.mnt != m->to.cur.mnt)
        return -EXDEV;
    if (m->from.last != WALK_LAST_NORM)
        return -EBUSY;
    if (m->to.last != WALK_LAST_NORM)
        return m->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
    m->old_dir = m->from.cur.dentry->inode;
    m->new_dir = m->to.cur.dentry->inode;
    return path_want_write(&m->from.cur);
}

static int rename_slash_check(struct renaming *m)
{
    bool slash = m->from.trailing || m->to.trailing;
    if (inode_is_dir(m->old->inode)) {
        if (!(m->flags & RENAME_EXCHANGE) || !m->new_d->inode || inode_is_dir(m->new_d->inode))
            return 0;
        return m->to.trailing ? -ENOTDIR : 0;
    }
    if (m->flags & RENAME_EXCHANGE)
        return m->from.trailing ? -ENOTDIR : 0;
    return slash ? -ENOTDIR : 0;
}

static int rename_lookup(struct renaming *m)
{
    int r = walk_lookup(&m->from, /*locked=*/true, &m->old);
    if (!r && !m->old->inode)
        r = -ENOENT;
    if (!r)
        r = walk_lookup(&m->to, /*locked=*/true, &m->new_d);
    if (r)
        return r;
    if ((m->flags & RENAME_NOREPLACE) && m->new_d->inode)
        return -EEXIST;
    if ((m->flags & RENAME_EXCHANGE) && !m->new_d->inode)
        return -ENOENT;
    r = rename_slash_check(m);
    if (r)
        return r;
    if (m->cross && dcache_is_ancestor(m->old, m->to.cur.dentry))
        return -EINVAL;
    if (m->cross && m->new_d->inode && dcache_is_ancestor(m->new_d, m->from.cur.dentry))
        return m->flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    return 0;
}

static int rename_check(struct renaming *m)
{
    bool is_dir = inode_is_dir(m->old->inode);
    int r = may_delete(&m->from, m->old_dir, m->old, is_dir);
    if (r)
        return r;
    if (!m->new_d->inode)
        r = may_create(&m->to, m->new_dir);
    else
        r = may_delete(&m->to, m->new_dir, m->new_d,
                       m->flags & RENAME_EXCHANGE ? inode_is_dir(m->new_d->inode) : is_dir);
    if (r)
        return r;
    if (is_dir && m->cross) /* its ".." changes */
        r = inode_permission(m->old->inode, W_OK, m->from.cred);
    if (!r && (m->flags & RENAME_EXCHANGE) && inode_is_dir(m->new_d->inode) && m->cross)
        r = inode_permission(m->new_d->inode, W_OK, m->from.cred);
    return r ? r : m->old_dir->ops->rename ? 0 : -EPERM;
}

/* One move: what is `moved` now stood in from under old_name. */
static void move_notify(struct dentry *from, const char *old_name, struct dentry *to,
                        struct dentry *moved, struct dentry *victim)
{
    static uint32_t g_cookie;
    uint32_t cookie = __atomic_add_fetch(&g_cookie, 1, __ATOMIC_RELAXED);
    uint32_t is_dir = inode_is_dir(moved->inode) ? IN_ISDIR : 0;
    fsnotify_rename_slow(from, old_name, to, moved);
    fsnotify_name(from, old_name, IN_MOVED_FROM | is_dir, cookie, moved);
    fsnotify_name(to, moved->name, IN_MOVED_TO | is_dir, cookie, moved);
    if (victim)
        fsnotify_dentry(victim, IN_ATTRIB);
    fsnotify_dentry(moved, IN_MOVE_SELF);
}

static void rename_notify(struct renaming *m, const char *old_name)
{
    if (!fsnotify_on())
        return;
    struct dentry *from = m->from.cur.dentry, *to = m->to.cur.dentry;
    bool exchange = m->flags & RENAME_EXCHANGE;
    move_notify(from, old_name, to, m->old, m->new_d->inode && !exchange ? m->new_d : NULL);
    if (exchange)
        move_notify(to, m->old->name, from, m->new_d, NULL);
}

/* A directory that is replaced dies as by rmdir: nothing may be made in it meanwhile. */
static int rename_in_fs(struct renaming *m)
{
    struct inode *victim = m->new_d->inode;
    bool kills_dir = victim && inode_is_dir(victim) && !(m->flags & RENAME_EXCHANGE);
    if (kills_dir)
        lock_acquire_nested(&victim->dir_lock);
    superblock_change_begin(m->old_dir->sb);
    unsigned flags = m->flags & ~RENAME_WHITEOUT;
    int r = m->old_dir->ops->rename(m->old_dir, m->old, m->new_dir, m->new_d, flags);
    if (!r)
        dcache_move(m->old, m->new_d, m->flags & RENAME_EXCHANGE);
    superblock_change_end(m->old_dir->sb);
    if (!r && inode_is_dir(m->old->inode))
        __atomic_add_fetch(&g_rename_seq, 1, __ATOMIC_RELEASE);
    if (kills_dir) {
        if (!r)
            victim->dead = true;
        lock_release(&victim->dir_lock);
    }
    return r;
}

/* RENAME_WHITEOUT: the old name, which has just become free, gets a character device 0:0. */
static int rename_whiteout(struct renaming *m, const char *name, size_t len)
{
    struct inode *inode;
    struct dentry *d;
    m->from.name = name;
    m->from.name_len = len;
    m->from.after = "";
    int r = walk_lookup(&m->from, /*locked=*/true, &d);
    if (r)
        return r;
    superblock_change_begin(m->old_dir->sb);
    r = m->old_dir->ops->mknod(m->old_dir, d, S_IFCHR, 0, m->from.cred, &inode);
    if (!r)
        dcache_instantiate(d, inode);
    superblock_change_end(m->old_dir->sb);
    dentry_put(d);
    return r;
}

static int rename_locked(struct renaming *m)
{
    char old_name[VFS_NAME_MAX + 1];
    int r = rename_lookup(m);
    if (r)
        return r;
    if (m->old->inode == m->new_d->inode)
        return 0; /* two names of one file, or the same name: rename(2) does nothing */
    r = rename_check(m);
    if (r)
        return r;
    if ((m->flags & RENAME_WHITEOUT) && !m->old_dir->sb->own_attrs)
        return -EINVAL;
    size_t old_len = m->old->name_len;
    memcpy(old_name, m->old->name, old_len + 1);
    r = rename_in_fs(m);
    if (r)
        return r;
    rename_notify(m, old_name);
    return m->flags & RENAME_WHITEOUT ? rename_whiteout(m, old_name, old_len) : 0;
}

int vfs_rename(struct task *t, int olddirfd, const char *old, int newdirfd, const char *new_name,
               unsigned flags)
{
    struct renaming m = {.flags = flags};
    int r = rename_walk(&m, t, olddirfd, old, newdirfd, new_name);
    if (!r) {
        rename_lock_dirs(&m);
        r = rename_locked(&m);
        rename_unlock_dirs(&m);
    }
    if (m.old)
        dentry_put(m.old);
    if (!r && m.new_d && !(flags & RENAME_EXCHANGE))
        mount_dentry_gone(m.new_d);
    if (m.new_d)
        dentry_put(m.new_d);
    walk_end(&m.from);
    walk_end(&m.to);
    return r;
}
