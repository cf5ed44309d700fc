/* Names of host directories: looking up (one, many, again), making, removing, renaming. */
#include "base/overflow.h"
#include "fs/goferfs/goferfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/sysmacros.h>

/* ---- lookup ---- */

static int walk_one(struct gofer_fs *fs, uint64_t fid, const char *name, size_t len,
                    struct goferp_node *node, char *target, size_t *target_size)
{
    struct gofer_walk w = {
        .fid = fid, .path = name, .path_size = len, .nodes = node, .node_max = 1, .target = target};
    int r = gofer_walk(fs->g, &w);
    if (r)
        return r;
    if (!w.walked)
        return w.stop ? w.stop : -ENOENT;
    *target_size = w.target_size;
    return 0;
}

static int lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct gofer_fs *fs = gofer_fs_of(dir);
    struct goferp_node node;
    char target[GOFERP_PATH_MAX + 1];
    size_t target_size = 0;
    if (fs->shared && !t_gofer_serial)
        goferfs_serial_new();
    int r = goferfs_list_lookup(dir, name, len, &node.attr);
    if (r)
        return r < 0 ? r : goferfs_inode_lazy(dir, name, len, &node.attr, out);
    r = walk_one(fs, goferfs_fid(dir), name, len, &node, target, &target_size);
    return r ? r : goferfs_inode_get(fs, &node, target, target_size, out);
}

/* As far as plain names go: "." and ".." end it. */
static size_t plain_prefix(const char *path)
{
    const char *s = path, *end = path;
    for (;;) {
        s += strspn(s, "/");
        size_t n = strcspn(s, "/");
        if (!n || n > VFS_NAME_MAX || (s[0] == '.' && (n == 1 || (n == 2 && s[1] == '.'))))
            return end - path;
        s += n;
        end = s;
    }
}

static int lookup_many(struct inode *dir, const char *path, unsigned max, struct inode **out,
                       bool *missing)
{
    enum { AHEAD = 32 };
    struct gofer_fs *fs = gofer_fs_of(dir);
    struct goferp_node nodes[AHEAD];
    char target[GOFERP_PATH_MAX + 1];
    struct gofer_walk w = {.fid = goferfs_fid(dir),
                           .path = path,
                           .path_size = plain_prefix(path),
                           .flags = GOFERP_WALK_EACH,
                           .nodes = nodes,
                           .node_max = MIN(max, (unsigned)AHEAD),
                           .target = target};
    goferfs_serial_new();
    if (!w.path_size || gofer_walk(fs->g, &w))
        return 0;
    unsigned n = 0;
    int r = 0;
    for (; n < w.walked && !r; n++) {
        bool last = n + 1 == w.walked;
        r = goferfs_inode_get(fs, &nodes[n], target, last ? w.target_size : 0, &out[n]);
    }
    if (r) {
        for (unsigned rest = n; rest < w.walked; rest++)
            gofer_fid_drop(fs->g, nodes[rest].fid);
        n--;
    }
    *missing = !r && w.stop == -ENOENT;
    return n;
}

/* Shared mode: is the name still the same file? */
static bool revalidate(struct dentry *d)
{
    struct inode *i = d->inode;
    if (!i)
        return false;
    struct gofer_inode *gi = gofer_of(i);
    if (gi->fresh == t_gofer_serial && gi->fresh)
        return true;
    struct dentry *parent = dentry_parent_get(d);
    struct gofer_fs *fs = gofer_fs_of(i);
    struct goferp_node node;
    char target[GOFERP_PATH_MAX + 1];
    size_t target_size = 0;
    int r = walk_one(fs, goferfs_fid(parent->inode), d->name, d->name_len, &node, target,
                     &target_size);
    dentry_put(parent);
    if (r)
        return false;
    gofer_fid_drop(fs->g, node.fid);
    if (node.attr.ino != i->ino || ((node.attr.mode ^ i->mode) & S_IFMT) ||
        makedev(node.attr.dev_major, node.attr.dev_minor) != gi->host_dev)
        return false;
    LOCK_GUARD(&i->lock);
    goferfs_attr_store_locked(gi, &node.attr);
    return true;
}

/* ---- changes ---- */

static void dir_changed(struct inode *dir)
{
    struct gofer_inode *gi = gofer_of(dir);
    lock_acquire(&dir->lock);
    struct gofer_list *old = gi->list;
    gi->list = NULL;
    __atomic_store_n(&gi->stale, true, __ATOMIC_RELEASE);
    lock_release(&dir->lock);
    goferfs_list_put(old);
}

static struct gofer_owner owner_of(struct inode *dir, uint32_t mode, const struct cred *c)
{
    struct gofer_owner own = {.mode = mode};
    inode_init_owner(dir, c, &own.mode, &own.uid, &own.gid);
    return own;
}

static int made(struct inode *dir, const struct goferp_node *node, const char *target,
                struct inode **out)
{
    dir_changed(dir);
    return goferfs_inode_get(gofer_fs_of(dir), node, target, target ? strlen(target) : 0, out);
}

static int create(struct inode *dir, struct dentry *d, uint32_t mode, const struct cred *c,
                  struct inode **out)
{
    struct gofer_owner own = owner_of(dir, S_IFREG | (mode & 07777), c);
    struct goferp_create_rep rep;
    int fd = -1;
    own.mode &= 07777;
    int r = gofer_create(gofer_fs_of(dir)->g, goferfs_fid(dir), d->name, O_RDWR, &own, &fd, &rep);
    if (r)
        return r;
    r = made(dir, &rep.node, NULL, out);
    if (!r && S_ISREG((*out)->mode))
        goferfs_fd_adopt(*out, fd);
    else if (fd >= 0)
        goferfs_fd_adopt(NULL, fd);
    return r;
}

static int mkdir_op(struct inode *dir, struct dentry *d, uint32_t mode, const struct cred *c,
                    struct inode **out)
{
    struct gofer_owner own = owner_of(dir, S_IFDIR | (mode & 07777), c);
    struct goferp_node node;
    own.mode &= 07777;
    int r = gofer_mkdir(gofer_fs_of(dir)->g, goferfs_fid(dir), d->name, &own, &node);
    return r ? r : made(dir, &node, NULL, out);
}

static int mknod_op(struct inode *dir, struct dentry *d, uint32_t mode, dev_t dev,
                    const struct cred *c, struct inode **out)
{
    struct gofer_owner own = owner_of(dir, mode, c);
    struct goferp_node node;
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return -EPERM; /* a device node on the host would be the host's device */
    int r = gofer_mknod(gofer_fs_of(dir)->g, goferfs_fid(dir), d->name, &own, &node);
    return r ? r : made(dir, &node, NULL, out);
}

static int symlink_op(struct inode *dir, struct dentry *d, const char *target,
                      const struct cred *c, struct inode **out)
{
    struct gofer_owner own = owner_of(dir, S_IFLNK | 0777, c);
    struct goferp_node node;
    own.mode &= 07777;
    int r = gofer_symlink(gofer_fs_of(dir)->g, goferfs_fid(dir), d->name, target, &own, &node);
    return r ? r : made(dir, &node, target, out);
}

static int tmpfile(struct inode *dir, uint32_t mode, const struct cred *c, struct inode **out)
{
    struct gofer_owner own = owner_of(dir, S_IFREG | (mode & 07777), c);
    struct goferp_node node;
    int fd = -1;
    own.mode &= 07777;
    int r = gofer_tmpfile(gofer_fs_of(dir)->g, goferfs_fid(dir), O_RDWR, &own, &fd, &node);
    if (r)
        return r;
    r = goferfs_inode_get(gofer_fs_of(dir), &node, NULL, 0, out);
    goferfs_fd_adopt(r ? NULL : *out, fd);
    return r;
}

static int link_op(struct inode *dir, struct dentry *d, struct inode *target)
{
    struct goferp_attr attr;
    int r = gofer_link(gofer_fs_of(dir)->g, goferfs_fid(target), goferfs_fid(dir), d->name,
                       &attr);
    if (r)
        return r;
    dir_changed(dir);
    LOCK_GUARD(&target->lock);
    goferfs_attr_store_locked(gofer_of(target), &attr);
    return 0;
}

/* A name of i is gone. */
static void name_gone(struct superblock *sb, struct dentry *d)
{
    struct inode *i = d->sb == sb ? d->inode : NULL;
    if (!i)
        return;
    LOCK_GUARD(&i->lock);
    if (S_ISDIR(i->mode))
        i->nlink = 0;
    else if (i->nlink)
        i->nlink--;
    inode_touch(i, IATTR_CTIME);
    if (!S_ISDIR(i->mode))
        goferfs_mark_stale(i);
}

/* The name is about to change: an inode that would fetch its fid by it must do so now. */
static void name_settle(struct superblock *sb, struct dentry *d)
{
    if (d->sb == sb && d->inode)
        goferfs_fid(d->inode);
}

static int remove_name(struct inode *dir, struct dentry *d, bool is_dir)
{
    name_settle(dir->sb, d);
    int r = gofer_unlink(gofer_fs_of(dir)->g, goferfs_fid(dir), d->name, is_dir);
    if (r)
        return r;
    dir_changed(dir);
    name_gone(dir->sb, d);
    return 0;
}

static int unlink_op(struct inode *dir, struct dentry *d)
{
    return remove_name(dir, d, /*is_dir=*/false);
}

static int rmdir_op(struct inode *dir, struct dentry *d)
{
    return remove_name(dir, d, /*is_dir=*/true);
}

static int rename_op(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                     struct dentry *new_d, unsigned flags)
{
    struct gofer_fs *fs = gofer_fs_of(old_dir);
    name_settle(fs->sb, old);
    name_settle(fs->sb, new_d);
    int r = gofer_rename(fs->g, goferfs_fid(old_dir), old->name, goferfs_fid(new_dir),
                         new_d->name, flags);
    if (r)
        return r;
    dir_changed(old_dir);
    if (new_dir != old_dir)
        dir_changed(new_dir);
    if (!(flags & RENAME_EXCHANGE))
        name_gone(old_dir->sb, new_d);
    if (old->inode && old->sb == old_dir->sb)
        goferfs_mark_stale(old->inode);
    return 0;
}

const struct inode_ops g_goferfs_dir_ops = {
    .lookup = lookup,
    .lookup_many = lookup_many,
    .revalidate = revalidate,
    .create = create,
    .mkdir = mkdir_op,
    .mknod = mknod_op,
    .symlink = symlink_op,
    .link = link_op,
    .unlink = unlink_op,
    .rmdir = rmdir_op,
    .rename = rename_op,
    .tmpfile = tmpfile,
    .getattr = goferfs_getattr,
    .setattr = goferfs_setattr,
    .statfs = goferfs_statfs,
    .getxattr = goferfs_getxattr,
    .setxattr = goferfs_setxattr,
    .listxattr = goferfs_listxattr,
    .removexattr = goferfs_removexattr,
};
