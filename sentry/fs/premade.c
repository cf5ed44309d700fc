/* What the kernel itself makes in a container's files before there is a process: mount points,
 * device nodes, links. Every permission; no task. */
#include "base/log.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct vfs_node g_directory = {.mode = S_IFDIR | 0755};

static int make(struct inode *dir, struct dentry *d, const struct vfs_node *n, struct inode **out)
{
    const struct inode_ops *ops = dir->ops;
    switch (n->mode & S_IFMT) {
    case S_IFDIR:
        return ops->mkdir ? ops->mkdir(dir, d, n->mode, NULL, out) : -EPERM;
    case S_IFREG:
        return ops->create ? ops->create(dir, d, n->mode, NULL, out) : -EPERM;
    case S_IFLNK:
        return ops->symlink ? ops->symlink(dir, d, n->target, NULL, out) : -EPERM;
    }
    return ops->mknod ? ops->mknod(dir, d, n->mode, n->dev, NULL, out) : -EPERM;
}

static int set_owner(struct inode *inode, const struct vfs_node *n)
{
    struct iattr a = {.valid = IATTR_UID | IATTR_GID, .uid = n->uid, .gid = n->gid};
    LOCK_GUARD(&inode->lock);
    if (inode->uid == n->uid && inode->gid == n->gid)
        return 0;
    return inode->ops->setattr ? inode->ops->setattr(inode, &a) : inode_setattr_simple(inode, &a);
}

static int fill(struct walk *w, struct inode *dir, struct dentry *d, const struct vfs_node *n,
                struct inode **made)
{
    int r = path_want_write(&w->cur);
    superblock_change_begin(dir->sb);
    if (!r)
        r = make(dir, d, n, made);
    if (!r)
        dcache_instantiate(d, *made);
    superblock_change_end(dir->sb);
    return r;
}

/* name in the directory at dir, made as n says if it is missing. */
static int make_in(const struct path *dir, const char *name, size_t len, const struct vfs_node *n,
                   struct path *out)
{
    struct inode *parent = dir->dentry->inode, *made = NULL;
    struct dentry *d;
    struct walk w;
    if (!inode_is_dir(parent))
        return -ENOTDIR;
    walk_init_from(&w, NULL, dir, "", WALK_EMPTY);
    w.name = name;
    w.name_len = len;
    w.after = "";
    lock_acquire(&parent->dir_lock);
    int r = walk_lookup(&w, /*locked=*/true, &d);
    if (!r && !d->inode && (r = fill(&w, parent, d, n, &made)))
        dentry_put(d);
    lock_release(&parent->dir_lock);
    if (!r)
        r = walk_step(&w, d);
    if (!r && made && (n->uid || n->gid))
        r = set_owner(made, n);
    if (!r) {
        *out = w.cur;
        path_get(out);
    }
    walk_end(&w);
    return r;
}

#define LINKS_MAX 8

/* What name says when its component at [at, at+len), a symlink to nowhere, is replaced by its
 * target. */
static int splice_link(struct inode *link, const char *name, size_t at, size_t len, char **out)
{
    char target[VFS_PATH_MAX];
    int n = link->ops->readlink ? link->ops->readlink(link, target, sizeof(target) - 1) : -EINVAL;
    if (n <= 0 || at + n + strlen(name + at + len) >= VFS_PATH_MAX)
        return n < 0 ? n : -ENAMETOOLONG;
    target[n] = 0;
    if (asprintf(out, "%.*s%s%s", target[0] == '/' ? 0 : (int)at, name, target, name + at + len) <
        0)
        return -ENOMEM;
    return 0;
}

/* One pass over the components. *again: what to try next, if one was a symlink to what is not
 * there. */
static int make_along(const struct path *start, const char *name, const struct vfs_node *n,
                      struct path *out, char **again)
{
    struct path cur = *start;
    char prefix[VFS_PATH_MAX];
    int r = strlen(name) < sizeof(prefix) ? 0 : -ENAMETOOLONG;
    path_get(&cur);
    for (size_t at = 0; !r && name[at += strspn(name + at, "/")];) {
        size_t len = strcspn(name + at, "/");
        bool last = !name[at + len + strspn(name + at + len, "/")];
        struct path next;
        memcpy(prefix, name, at + len);
        prefix[at + len] = 0;
        r = vfs_walk_from(NULL, start, prefix, WALK_FOLLOW, &next);
        if (r == -ENOENT)
            r = make_in(&cur, name + at, len, last ? n : &g_directory, &next);
        if (r)
            break;
        path_put(&cur);
        cur = next;
        if (inode_type(cur.dentry->inode) == S_IFLNK && !S_ISLNK(n->mode)) {
            r = splice_link(cur.dentry->inode, name, at, len, again);
            break;
        }
        at += len;
    }
    if (!r && !*again)
        *out = cur;
    else
        path_put(&cur);
    return r;
}

int vfs_make_node(const struct path *start, const char *name, const struct vfs_node *n,
                  struct path *out)
{
    int r = vfs_walk_from(NULL, start, name, S_ISLNK(n->mode) ? 0 : WALK_FOLLOW, out);
    if (r != -ENOENT)
        return r;
    char *mine = NULL;
    for (int links = 0; links < LINKS_MAX; links++) {
        char *again = NULL;
        r = make_along(start, mine ? mine : name, n, out, &again);
        free(mine);
        mine = again;
        if (!again)
            return r;
    }
    free(mine);
    return -ELOOP;
}

int vfs_make_mountpoint(const struct path *start, const char *name, bool is_dir, struct path *out)
{
    struct vfs_node file = {.mode = S_IFREG | 0755};
    return vfs_make_node(start, name, is_dir ? &g_directory : &file, out);
}
