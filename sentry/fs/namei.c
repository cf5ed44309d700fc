/* The path walk.
 *
 * walk_parent goes through every component but the last, walk_whole through all. Both run in two
 * gears. *Cached*: the dcache lock is taken once and as many components as possible are stepped
 * through borrowed pointers; permission by mode bits. *Slow*: one component with counted
 * references, where something may block: a lookup in the filesystem, revalidation, a permission
 * operation, a symlink. The walk shifts down for that one component and then tries the first gear
 * again. Symlinks replace the rest of the string; nothing recurses. */
#include "base/log.h"
#include "base/overflow.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GEAR_LAST = 1, GEAR_SLOW = 2 }; /* positive outcomes of the cached gear */

uint64_t g_rename_seq;

/* ---- setting out ---- */

static void walk_clear(struct walk *w, struct task *t, const char *name, unsigned flags)
{
    *w = (struct walk){
        .t = t,
        .cred = t ? t->cred : NULL,
        .flags = flags,
        .rest = name,
        .scoped = flags & (WALK_BENEATH | WALK_IN_ROOT),
        .rename_seq = __atomic_load_n(&g_rename_seq, __ATOMIC_ACQUIRE),
    };
}

static void walk_set_root(struct walk *w)
{
    if (w->root_known)
        return;
    fs_struct_root(w->t->fs, &w->root);
    w->root_known = true;
}

static void walk_jump(struct walk *w, const struct path *consumed)
{
    struct path old = w->cur;
    w->cur = *consumed;
    w->prefetched = false;
    path_put(&old);
}

static void walk_jump_root(struct walk *w)
{
    walk_set_root(w);
    struct path p = w->root;
    path_get(&p);
    walk_jump(w, &p);
}

static int start_at_fd(struct walk *w, int dirfd)
{
    struct file *f = fdtable_get(w->t->fds, dirfd);
    if (!f)
        return -EBADF;
    int r = 0;
    if (!f->path.dentry)
        r = *w->rest ? -ENOTDIR : -EOPNOTSUPP;
    else if (*w->rest && !inode_is_dir(f->inode))
        r = -ENOTDIR;
    else {
        w->cur = f->path;
        path_get(&w->cur);
    }
    file_put(f);
    return r;
}

int walk_init(struct walk *w, struct task *t, int dirfd, const char *name, unsigned flags)
{
    walk_clear(w, t, name, flags);
    if (!*name && !(flags & WALK_EMPTY))
        return -ENOENT;
    if (*name == '/' && !w->scoped) {
        walk_set_root(w);
        w->cur = w->root;
        path_get(&w->cur);
        return 0;
    }
    if (*name == '/' && (flags & WALK_BENEATH))
        return -EXDEV;
    if (dirfd == AT_FDCWD)
        fs_struct_cwd(t->fs, &w->cur);
    else {
        int r = start_at_fd(w, dirfd);
        if (r)
            return r;
    }
    if (w->scoped) {
        w->root = w->cur;
        path_get(&w->root);
        w->root_known = true;
    }
    return 0;
}

void walk_init_from(struct walk *w, struct task *t, const struct path *start, const char *name,
                    unsigned flags)
{
    walk_clear(w, t, name, flags);
    w->cur = *start;
    path_get(&w->cur);
    if (!t) {
        w->root = *start;
        path_get(&w->root);
        w->root_known = true;
    }
    if (*name == '/')
        walk_jump_root(w);
}

void walk_end(struct walk *w)
{
    path_put(&w->cur);
    if (w->root_known)
        path_put(&w->root);
    free(w->buf);
    w->buf = NULL;
    w->root_known = false;
}

/* ---- components ---- */

/* Cut the next component: false if there is none left. */
static bool walk_cut(struct walk *w)
{
    const char *s = w->rest;
    while (*s == '/')
        s++;
    const char *e = s;
    while (*e && *e != '/')
        e++;
    w->name = s;
    w->name_len = e - s;
    w->trailing = *e == '/';
    while (*e == '/')
        e++;
    w->after = e;
    return w->name_len != 0;
}

static bool is_last(const struct walk *w)
{
    return *w->after == 0;
}

static enum walk_last kind_of(const struct walk *w)
{
    if (w->name[0] != '.' || w->name_len > 2)
        return WALK_LAST_NORM;
    if (w->name_len == 1)
        return WALK_LAST_DOT;
    return w->name[1] == '.' ? WALK_LAST_DOTDOT : WALK_LAST_NORM;
}

static bool same_path(const struct path *a, const struct path *b)
{
    return a->mnt == b->mnt && a->dentry == b->dentry;
}

/* "..", dcache lock held; p borrowed. */
static int step_up_locked(struct walk *w, struct path *p)
{
    for (;;) {
        if (same_path(p, &w->root))
            return w->flags & WALK_BENEATH ? -EXDEV : 0;
        if (p->dentry != p->mnt->root)
            break;
        if (!p->mnt->parent)
            return 0;
        if (w->flags & WALK_NO_XDEV)
            return -EXDEV;
        *p = (struct path){p->mnt->parent, p->mnt->mountpoint};
    }
    p->dentry = p->dentry->parent;
    if (mount_follow_down_locked(p) && (w->flags & WALK_NO_XDEV))
        return -EXDEV;
    return 0;
}

static int may_search(struct walk *w, struct inode *dir)
{
    return inode_permission(dir, X_OK, w->cred);
}

/* One component in the cached gear: 0 stepped, GEAR_SLOW, or an error. */
static int step_cached(struct walk *w, struct path *p)
{
    struct inode *dir = p->dentry->inode;
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    if ((dir->ops && dir->ops->permission) || p->dentry->sb->revalidate)
        return GEAR_SLOW;
    int r = may_search(w, dir);
    if (r)
        return r;
    enum walk_last kind = kind_of(w);
    if (kind == WALK_LAST_DOT)
        return 0;
    if (kind == WALK_LAST_DOTDOT)
        return step_up_locked(w, p);
    if (w->name_len > VFS_NAME_MAX)
        return -ENAMETOOLONG;
    struct dentry *d = dcache_lookup_locked(p->dentry, w->name, w->name_len, w->name_hash);
    if (!d || d->sb->revalidate)
        return GEAR_SLOW;
    if (!d->inode)
        return -ENOENT;
    struct path next = {p->mnt, d};
    bool crossed = mount_follow_down_locked(&next);
    if (S_ISLNK(next.dentry->inode->mode))
        return GEAR_SLOW;
    if (crossed && (w->flags & WALK_NO_XDEV))
        return -EXDEV;
    *p = next;
    return 0;
}

/* A cached negative answer in the middle of the path is ENOENT; at the end the caller may want to
 * create, but then it stopped at the parent. */
static int gear_cached(struct walk *w, bool whole)
{
    struct path p = w->cur;
    int r = 0;
    lock_acquire(&g_dcache_lock);
    for (;;) {
        if (!walk_cut(w) || (!whole && is_last(w))) {
            r = GEAR_LAST;
            break;
        }
        w->name_hash = dcache_hash(w->name, w->name_len);
        r = step_cached(w, &p);
        if (r)
            break;
        w->rest = w->after;
    }
    bool moved = !same_path(&p, &w->cur);
    if (moved)
        path_get(&p);
    lock_release(&g_dcache_lock);
    if (moved)
        walk_jump(w, &p);
    return r;
}

/* ---- the slow gear ---- */

/* Enter one prefetched answer; NULL if it did not go in (then what lies below is of no use). */
static struct dentry *prefetch_fill(struct dentry *parent, const char *name, size_t len,
                                    struct inode *inode, uint64_t changes)
{
    if (inode)
        inode_get(inode);
    struct dentry *d = dcache_fill_unless_changed(parent, name, len, inode, changes);
    if (d && d->inode != inode && d->sb->revalidate && !d->mounted) {
        dcache_drop(d); /* another writer has replaced it */
        dentry_put(d);
        if (inode)
            inode_get(inode);
        d = dcache_fill_unless_changed(parent, name, len, inode, changes);
    }
    if (d && d->inode != inode) {
        dentry_put(d);
        d = NULL;
    }
    return d;
}

/* Ask the filesystem for everything ahead in one request. */
static void prefetch(struct walk *w, struct dentry *dir)
{
    enum { MAX_AHEAD = 32 };
    struct inode *found[MAX_AHEAD];
    bool missing = false;
    struct superblock *sb = dir->sb;
    uint64_t changes = __atomic_load_n(&sb->changes, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&sb->changing, __ATOMIC_SEQ_CST))
        return;
    int n = dir->inode->ops->lookup_many(dir->inode, w->rest, MAX_AHEAD, found, &missing);
    const char *s = w->rest;
    struct dentry *parent = dir;
    dentry_get(parent);
    for (int i = 0; i < n + missing && n >= 0; i++) {
        s += strspn(s, "/");
        size_t len = strcspn(s, "/");
        struct inode *inode = i < n ? found[i] : NULL;
        struct dentry *d = NULL;
        if (parent && len && (inode || !sb->no_dcache_negative))
            d = prefetch_fill(parent, s, len, inode, changes);
        if (inode)
            inode_put(inode);
        if (parent)
            dentry_put(parent);
        parent = d;
        s += len;
    }
    if (parent)
        dentry_put(parent);
}

static struct dentry *cached_get(struct walk *w, struct dentry *parent)
{
    LOCK_GUARD(&g_dcache_lock);
    struct dentry *d = dcache_lookup_locked(parent, w->name, w->name_len, w->name_hash);
    if (d)
        dentry_get(d);
    return d;
}

/* The dcache's answer if it may be believed; counted. */
static struct dentry *cached_valid_get(struct walk *w, struct dentry *parent)
{
    struct dentry *d = cached_get(w, parent);
    if (!d || !d->sb->revalidate)
        return d;
    const struct inode_ops *ops = parent->inode->ops;
    if (ops->revalidate && ops->revalidate(d))
        return d;
    if (d->mounted)
        return d;
    dcache_drop(d);
    dentry_put(d);
    return NULL;
}

static int lookup_in_fs(struct walk *w, struct dentry *parent, struct dentry **out)
{
    struct inode *dir = parent->inode, *inode = NULL;
    if (dir->dead)
        return -ENOENT;
    if (!dir->ops || !dir->ops->lookup)
        return -ENOENT;
    int r = dir->ops->lookup(dir, w->name, w->name_len, &inode);
    if (r && r != -ENOENT)
        return r;
    struct dentry *d;
    if (r && parent->sb->no_dcache_negative)
        d = dcache_new_unhashed(parent, w->name, w->name_len, NULL);
    else
        d = dcache_fill(parent, w->name, w->name_len, r ? NULL : inode);
    if (!d)
        return -ENOMEM;
    *out = d;
    return 0;
}

int walk_lookup(struct walk *w, bool locked, struct dentry **out)
{
    struct dentry *parent = w->cur.dentry;
    if (w->name_len > VFS_NAME_MAX)
        return -ENAMETOOLONG;
    w->name_hash = dcache_hash(w->name, w->name_len);
    const struct inode_ops *ops = parent->inode->ops;
    if (!w->prefetched && ops && ops->lookup_many && !locked && parent->sb->revalidate) {
        prefetch(w, parent);
        w->prefetched = true;
    }
    struct dentry *d = cached_valid_get(w, parent);
    if (!d && !locked && !is_last(w) && ops && ops->lookup_many && !w->prefetched) {
        prefetch(w, parent);
        d = cached_valid_get(w, parent);
    }
    int r = 0;
    if (!d && (w->flags & WALK_CACHED))
        return -EAGAIN;
    if (!d) {
        if (!locked)
            lock_acquire(&parent->inode->dir_lock);
        d = cached_get(w, parent); /* someone may have been faster */
        if (!d)
            r = lookup_in_fs(w, parent, &d);
        if (!locked)
            lock_release(&parent->inode->dir_lock);
    }
    if (!r && !d->inode && parent->sb->fixed_names) {
        dentry_put(d);
        return -ENOENT;
    }
    if (!r)
        *out = d;
    return r;
}

int walk_step(struct walk *w, struct dentry *child)
{
    struct path next = {w->cur.mnt, child};
    lock_acquire(&g_dcache_lock);
    bool crossed = mount_follow_down_locked(&next);
    path_get(&next);
    lock_release(&g_dcache_lock);
    dentry_put(child);
    if (crossed && (w->flags & WALK_NO_XDEV)) {
        path_put(&next);
        return -EXDEV;
    }
    bool prefetched = w->prefetched && !crossed;
    walk_jump(w, &next);
    w->prefetched = prefetched;
    return 0;
}

static int step_up(struct walk *w)
{
    walk_set_root(w);
    lock_acquire(&g_dcache_lock);
    struct path p = w->cur;
    int r = step_up_locked(w, &p);
    if (!r)
        path_get(&p);
    lock_release(&g_dcache_lock);
    if (!r)
        walk_jump(w, &p);
    return r;
}

/* ---- symlinks ---- */

/* The rest of the walk becomes target, a slash, and what was behind the link. Its trailing slash
 * survives because `after` begins behind it only if something follows. */
static int splice_target(struct walk *w, const char *target, size_t len)
{
    size_t after = strlen(w->after);
    char *s = malloc(len + after + 2);
    if (!s)
        return -ENOMEM;
    memcpy(s, target, len);
    size_t at = len;
    if (after || w->trailing)
        s[at++] = '/';
    memcpy(s + at, w->after, after + 1);
    at += after;
    if (at && s[at - 1] == '/')
        w->flags |= WALK_DIRECTORY;
    free(w->buf);
    w->buf = s;
    w->rest = s;
    w->prefetched = false;
    return 0;
}

static int follow_magic(struct walk *w, struct inode *link)
{
    struct path to;
    if (w->flags & WALK_NO_MAGIC)
        return -ELOOP;
    if (w->scoped)
        return -EXDEV;
    int r = link->ops->follow(link, w->t, &to);
    if (r)
        return r;
    if ((w->flags & WALK_NO_XDEV) && to.mnt != w->cur.mnt) {
        path_put(&to);
        return -EXDEV;
    }
    walk_jump(w, &to);
    w->rest = w->after;
    return 0;
}

static int follow_text(struct walk *w, struct inode *link)
{
    if (!link->ops->readlink)
        return -EINVAL;
    char target[VFS_PATH_MAX];
    int n = link->ops->readlink(link, target, sizeof(target) - 1);
    if (n <= 0)
        return n ? n : -ENOENT;
    if (link->sb->own_attrs)
        path_accessed(w->cur.mnt, link);
    if (target[0] == '/') {
        if (w->flags & WALK_BENEATH)
            return -EXDEV;
        walk_set_root(w);
        if ((w->flags & WALK_NO_XDEV) && w->root.mnt != w->cur.mnt)
            return -EXDEV;
        walk_jump_root(w);
    }
    return splice_target(w, target, n);
}

/* fs.protected_symlinks: a link at the end of a path, in a sticky directory that all may write to,
 * leads on only for its owner or if it is the directory owner's. */
static int protected_follow_check(struct walk *w, const struct inode *link)
{
    const struct inode *dir = w->cur.dentry->inode;
    if (!g_vfs_knobs.protected_symlinks || !w->cred || *w->after)
        return 0;
    if ((dir->mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH))
        return 0;
    return link->uid == w->cred->fsuid || link->uid == dir->uid ? 0 : -EACCES;
}

/* w->cur is the directory that holds the link. */
static int follow(struct walk *w, struct inode *link)
{
    if ((w->flags & WALK_NO_SYMLINKS) || (mount_flags(w->cur.mnt) & MS_NOSYMFOLLOW_K))
        return -ELOOP;
    int blocked = protected_follow_check(w, link);
    if (blocked)
        return blocked;
    if (++w->links > VFS_MAX_LINKS)
        return -ELOOP;
    if (link->ops->follow) {
        int r = follow_magic(w, link);
        if (r != -EOPNOTSUPP)
            return r;
    }
    return follow_text(w, link);
}

int walk_follow_last(struct walk *w, struct dentry *link)
{
    return follow(w, link->inode);
}

/* ---- driving ---- */

static int step_named(struct walk *w, bool follow_link)
{
    struct dentry *d;
    int r = walk_lookup(w, /*locked=*/false, &d);
    if (r)
        return r;
    if (!d->inode) {
        dentry_put(d);
        return -ENOENT;
    }
    if (S_ISLNK(d->inode->mode) && follow_link) {
        r = follow(w, d->inode);
        dentry_put(d);
        return r;
    }
    r = walk_step(w, d);
    if (!r)
        w->rest = w->after;
    return r;
}

/* The component in w->name, in the slow gear. A trailing slash makes even O_NOFOLLOW follow. */
static int gear_slow(struct walk *w)
{
    struct inode *dir = w->cur.dentry->inode;
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    int r = may_search(w, dir);
    if (r)
        return r;
    enum walk_last kind = kind_of(w);
    if (kind == WALK_LAST_NORM)
        return step_named(w, !is_last(w) || w->trailing || (w->flags & WALK_FOLLOW));
    if (kind == WALK_LAST_DOTDOT)
        r = step_up(w);
    if (!r)
        w->rest = w->after;
    return r;
}

static int run(struct walk *w, bool whole)
{
    if (strstr(w->rest, ".."))
        walk_set_root(w);
    for (;;) {
        int r = gear_cached(w, whole);
        if (r == GEAR_SLOW)
            r = gear_slow(w);
        if (r)
            return r == GEAR_LAST ? 0 : r;
        if (w->links && strstr(w->rest, ".."))
            walk_set_root(w);
    }
}

/* A scoped walk that met a rename may have been led out through "..": let the caller try again. */
static int scoped_check(struct walk *w)
{
    if (w->scoped && w->rename_seq != __atomic_load_n(&g_rename_seq, __ATOMIC_ACQUIRE))
        return -EAGAIN;
    return 0;
}

int walk_parent(struct walk *w)
{
    int r = run(w, /*whole=*/false);
    if (r)
        return r;
    struct inode *dir = w->cur.dentry->inode;
    if (!w->name_len) {
        w->last = WALK_LAST_ROOT;
        return scoped_check(w);
    }
    w->last = kind_of(w);
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    r = may_search(w, dir);
    return r ? r : scoped_check(w);
}

int walk_whole(struct walk *w, struct path *out)
{
    if (*w->rest) {
        size_t len = strlen(w->rest);
        if (w->rest[len - 1] == '/')
            w->flags |= WALK_DIRECTORY;
    }
    int r = run(w, /*whole=*/true);
    if (!r)
        r = scoped_check(w);
    if (!r && ((w->flags & WALK_DIRECTORY) || w->trailing) &&
        !inode_is_dir(w->cur.dentry->inode))
        r = -ENOTDIR;
    if (r)
        return r;
    *out = w->cur;
    w->cur = (struct path){NULL, NULL};
    return 0;
}

int vfs_walk(struct task *t, int dirfd, const char *name, unsigned flags, struct path *out)
{
    return vfs_walk_as(t, t->cred, dirfd, name, flags, out);
}

int vfs_walk_parent(struct task *t, int dirfd, const char *name)
{
    struct walk w;
    int r = walk_init(&w, t, dirfd, name, 0);
    if (!r)
        r = walk_parent(&w);
    walk_end(&w);
    return r;
}

int vfs_walk_as(struct task *t, const struct cred *c, int dirfd, const char *name, unsigned flags,
                struct path *out)
{
    struct walk w;
    int r = walk_init(&w, t, dirfd, name, flags);
    w.cred = c;
    if (!r)
        r = walk_whole(&w, out);
    walk_end(&w);
    return r;
}

int vfs_walk_from(struct task *t, const struct path *start, const char *name, unsigned flags,
                  struct path *out)
{
    struct walk w;
    walk_init_from(&w, t, start, name, flags);
    int r = walk_whole(&w, out);
    walk_end(&w);
    return r;
}

int vfs_path_import(struct task *t, struct uaddr ua, bool empty_ok, char **out)
{
    char buf[VFS_PATH_MAX];
    ssize_t n = uaccess_read_str(t->mm, buf, ua, sizeof(buf));
    if (n < 0)
        return n;
    if (!n && !empty_ok)
        return -ENOENT;
    char *s = malloc(n + 1);
    if (!s)
        return -ENOMEM;
    memcpy(s, buf, n + 1);
    *out = s;
    return 0;
}
