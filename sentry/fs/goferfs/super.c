/* goferfs: host files through the gofer. Superblocks, inodes, attributes.
 *
 * An inode stands for a host file (device, number) and holds one gofer fid; all its names share it.
 * *Exclusive*: nobody else writes, so attributes, names, negatives and directory contents are
 * believed for ever. *Shared*: every walk asks again, in one request for the whole path; what it
 * brought is good for that walk, which a thread-local serial number marks. */
#include "fs/goferfs/goferfs_priv.h"
#include "base/host.h"
#include "base/log.h"
#include "base/overflow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define GOFERFS_MAGIC   0x01021997 /* V9FS_MAGIC: what a remote file tree is expected to be */
#define FRESH_FOR_NS    1000000    /* attributes of a walk serve the call that walked */
#define SHRINK_AT_ONCE  256

__thread uint64_t t_gofer_serial;
static __thread int64_t t_serial_ns;
static uint64_t g_serial; /* atomic */

void goferfs_serial_new(void)
{
    t_gofer_serial = __atomic_add_fetch(&g_serial, 1, __ATOMIC_RELAXED);
    t_serial_ns = host_clock_ns(CLOCK_MONOTONIC);
}

static bool serial_is_fresh(const struct gofer_inode *gi)
{
    return gi->fresh == t_gofer_serial && gi->fresh &&
           host_clock_ns(CLOCK_MONOTONIC) - t_serial_ns < FRESH_FOR_NS;
}

/* ---- attributes ---- */

static struct timespec ts_of(int64_t sec, uint32_t nsec)
{
    return (struct timespec){sec, nsec < 1000000000 ? nsec : 0};
}

void goferfs_attr_store_locked(struct gofer_inode *gi, const struct goferp_attr *a)
{
    struct inode *i = gi->inode;
    i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
    i->uid = a->uid;
    i->gid = a->gid;
    i->nlink = a->nlink;
    __atomic_store_n(&i->size, MIN(a->size, (uint64_t)INT64_MAX), __ATOMIC_RELEASE);
    i->atime = ts_of(a->atime, a->atime_nsec);
    i->mtime = ts_of(a->mtime, a->mtime_nsec);
    i->ctime = ts_of(a->ctime, a->ctime_nsec);
    i->btime = ts_of(a->btime, a->btime_nsec);
    gi->blocks = a->blocks;
    gi->blksize = a->blksize ? a->blksize : 4096;
    __atomic_store_n(&gi->stale, false, __ATOMIC_RELEASE);
    gi->fresh = t_gofer_serial;
}

/* What a descriptor can tell: all but names and numbers. */
static void stat_store_locked(struct gofer_inode *gi, const struct stat *st)
{
    struct inode *i = gi->inode;
    i->mode = (i->mode & S_IFMT) | (st->st_mode & 07777);
    i->nlink = st->st_nlink;
    __atomic_store_n(&i->size, st->st_size, __ATOMIC_RELEASE);
    i->atime = st->st_atim;
    i->mtime = st->st_mtim;
    i->ctime = st->st_ctim;
    gi->blocks = st->st_blocks;
    __atomic_store_n(&gi->stale, false, __ATOMIC_RELEASE);
}

void goferfs_mark_stale(struct inode *i)
{
    __atomic_store_n(&gofer_of(i)->stale, true, __ATOMIC_RELEASE);
}

/* A donated descriptor answers without the gofer, but not with its idea of owners: those change
 * only through us, or are asked for in shared mode when nothing is open. */
static int refresh_locked(struct gofer_fs *fs, struct gofer_inode *gi)
{
    struct stat st;
    int fd = goferfs_any_fd(gi);
    if (fd >= 0 && !host_fstat(fd, &st)) {
        stat_store_locked(gi, &st);
        return 0;
    }
    struct goferp_attr a;
    int r = gofer_getattr(fs->g, goferfs_fid(gi->inode), &a);
    if (!r)
        goferfs_attr_store_locked(gi, &a);
    return r;
}

static bool needs_refresh(struct gofer_fs *fs, struct gofer_inode *gi)
{
    if (__atomic_load_n(&gi->stale, __ATOMIC_ACQUIRE))
        return true;
    return fs->shared && !serial_is_fresh(gi);
}

static void getattr_locked(struct gofer_inode *gi, struct kstat *out)
{
    struct inode *i = gi->inode;
    *out = (struct kstat){
        .dev = gi->dev,
        .rdev = i->rdev,
        .ino = i->ino,
        .size = i->size,
        .blocks = gi->blocks,
        .blksize = gi->blksize,
        .mode = i->mode,
        .nlink = i->nlink,
        .uid = i->uid,
        .gid = i->gid,
        .atime = i->atime,
        .mtime = i->mtime,
        .ctime = i->ctime,
        .btime = i->btime,
    };
}

int goferfs_getattr(struct inode *i, struct kstat *out)
{
    struct gofer_inode *gi = gofer_of(i);
    struct gofer_fs *fs = gofer_fs_of(i);
    lock_acquire_nested(&i->lock); /* an overlay above may hold its own */
    int r = needs_refresh(fs, gi) ? refresh_locked(fs, gi) : 0;
    if (!r)
        getattr_locked(gi, out);
    lock_release(&i->lock);
    return r;
}
static void setattr_request(struct gofer_inode *gi, const struct iattr *a,
                            struct goferp_setattr_req *q)
{
    *q = (struct goferp_setattr_req){.fid = goferfs_fid(gi->inode), .atime_nsec = UTIME_OMIT,
                                     .mtime_nsec = UTIME_OMIT, .uid = GOFERP_ID_KEEP,
                                     .gid = GOFERP_ID_KEEP};
    if (a->valid & IATTR_MODE) {
        q->valid |= GOFERP_SET_MODE;
        q->mode = a->mode & 07777;
    }
    if (a->valid & (IATTR_UID | IATTR_GID)) {
        q->valid |= GOFERP_SET_OWNER;
        q->uid = a->valid & IATTR_UID ? a->uid : GOFERP_ID_KEEP;
        q->gid = a->valid & IATTR_GID ? a->gid : GOFERP_ID_KEEP;
    }
    if (a->valid & IATTR_SIZE) {
        q->valid |= GOFERP_SET_SIZE;
        q->size = a->size;
    } else if (a->valid & (IATTR_ATIME | IATTR_MTIME)) { /* a new size sets the times itself */
        q->valid |= GOFERP_SET_TIMES;
        if (a->valid & IATTR_ATIME) {
            q->atime = a->atime.tv_sec;
            q->atime_nsec = a->atime.tv_nsec;
        }
        if (a->valid & IATTR_MTIME) {
            q->mtime = a->mtime.tv_sec;
            q->mtime_nsec = a->mtime.tv_nsec;
        }
    }
}

static int setattr_by_gofer(struct inode *i, const struct iattr *a)
{
    struct gofer_inode *gi = gofer_of(i);
    struct goferp_setattr_req q;
    struct goferp_attr attr;
    setattr_request(gi, a, &q);
    if (!q.valid)
        return 0;
    int r = gofer_setattr(gofer_fs_of(i)->g, &q, &attr);
    if (!r)
        goferfs_attr_store_locked(gi, &attr);
    return r;
}

/* A file that is open for writing is truncated through its own descriptor, as ftruncate may when
 * the mode forbids a new open. */
int goferfs_setattr(struct inode *i, const struct iattr *a)
{
    struct gofer_inode *gi = gofer_of(i);
    struct iattr rest = *a;
    uint64_t old_size = i->size;
    int r = 0;
    if ((a->valid & IATTR_SIZE) && a->size > INT64_MAX)
        return -EFBIG;
    if ((a->valid & IATTR_SIZE) && gi->fd_w >= 0) {
        r = host_ftruncate(gi->fd_w, a->size);
        if (r)
            return r;
        rest.valid &= ~(IATTR_SIZE | IATTR_MTIME);
        __atomic_store_n(&i->size, a->size, __ATOMIC_RELEASE);
        goferfs_mark_stale(i);
    }
    r = setattr_by_gofer(i, &rest);
    if (!r && (a->valid & IATTR_SIZE) && a->size < old_size && i->mappable) {
        uint64_t from = page_down(a->size + RF_PAGE_SIZE - 1);
        mappable_zap(i->mappable, from, 0, /*even_private=*/true);
    }
    return r;
}

/* ---- symlinks ---- */

static int readlink_op(struct inode *i, char *buf, size_t size)
{
    struct gofer_inode *gi = gofer_of(i);
    lock_acquire(&i->lock);
    if (!gi->target) {
        char target[GOFERP_PATH_MAX + 1];
        int r = gofer_readlink(gofer_fs_of(i)->g, goferfs_fid(i), target);
        char *copy = r < 0 ? NULL : strndup(target, r);
        if (!copy) {
            lock_release(&i->lock);
            return r < 0 ? r : -ENOMEM;
        }
        gi->target = copy;
    }
    lock_release(&i->lock);
    size_t n = MIN(strlen(gi->target), size);
    memcpy(buf, gi->target, n);
    return n;
}

static const struct inode_ops g_link_ops = {
    .readlink = readlink_op,
    .getattr = goferfs_getattr,
    .setattr = goferfs_setattr,
    .statfs = goferfs_statfs,
    .listxattr = goferfs_listxattr,
    .getxattr = goferfs_getxattr,
};

static const struct inode_ops g_special_ops = {
    .getattr = goferfs_getattr,
    .setattr = goferfs_setattr,
    .statfs = goferfs_statfs,
};

static const struct inode_ops g_file_ops = {
    .open = goferfs_file_open,
    .getattr = goferfs_getattr,
    .setattr = goferfs_setattr,
    .statfs = goferfs_statfs,
    .getxattr = goferfs_getxattr,
    .setxattr = goferfs_setxattr,
    .listxattr = goferfs_listxattr,
    .removexattr = goferfs_removexattr,
};

static void fid_publish(struct gofer_fs *fs, struct gofer_inode *gi, uint64_t fid);

/* ---- inodes ---- */

static unsigned bucket_of(uint64_t dev, uint64_t ino)
{
    return ((ino ^ dev * 31) * 0x9e3779b97f4a7c15ull) >> 52;
}
_Static_assert(GOFERFS_BUCKETS == 1u << 12, "bucket_of takes twelve bits");

static dev_t dev_shown_locked(struct gofer_fs *fs, uint64_t host)
{
    for (unsigned n = 0; n < fs->dev_count; n++)
        if (fs->devs[n].host == host)
            return fs->devs[n].dev;
    if (fs->dev_count == GOFERFS_DEVS)
        return fs->sb->dev;
    dev_t dev = fs->dev_count ? superblock_dev_new() : fs->sb->dev;
    fs->devs[fs->dev_count].host = host;
    fs->devs[fs->dev_count++].dev = dev;
    return dev;
}

/* Counted, or NULL. One that is just dying does not count. */
static struct inode *find_locked(struct gofer_fs *fs, uint64_t dev, uint64_t ino, uint32_t mode)
{
    for (struct gofer_inode *gi = fs->buckets[bucket_of(dev, ino)]; gi; gi = gi->hash_next)
        if (gi->inode->ino == ino && gi->host_dev == dev &&
            !((gi->inode->mode ^ mode) & S_IFMT) && ref_get_unless_zero(&gi->inode->ref))
            return gi->inode;
    return NULL;
}

static void type_ops(struct inode *i, struct gofer_inode *gi)
{
    switch (i->mode & S_IFMT) {
    case S_IFDIR:
        i->ops = &g_goferfs_dir_ops;
        i->file_ops = &g_goferfs_dir_file_ops;
        return;
    case S_IFREG:
        i->ops = &g_file_ops;
        i->file_ops = &g_goferfs_file_ops;
        mappable_init(&gi->mappable, &g_goferfs_mappable_ops);
        i->mappable = &gi->mappable;
        return;
    case S_IFLNK:
        i->ops = &g_link_ops;
        return;
    }
    i->ops = &g_special_ops;
}

static bool type_known(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
    case S_IFREG:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return true;
    }
    return false;
}

static struct inode *inode_make(struct gofer_fs *fs, const struct goferp_node *node,
                                const char *target, size_t target_size)
{
    const struct goferp_attr *a = &node->attr;
    struct gofer_inode *gi = calloc(1, sizeof(*gi));
    struct inode *i = gi ? inode_new(fs->sb, a->mode) : NULL;
    if (!i) {
        free(gi);
        return NULL;
    }
    gi->inode = i;
    gi->fid = node->fid;
    gi->host_dev = makedev(a->dev_major, a->dev_minor);
    gi->fd_r = gi->fd_w = -1;
    list_node_init(&gi->idle_node);
    i->priv = gi;
    i->ino = a->ino;
    i->rdev = makedev(a->rdev_major, a->rdev_minor);
    type_ops(i, gi);
    goferfs_attr_store_locked(gi, a);
    if (S_ISLNK(i->mode) && target_size)
        gi->target = strndup(target, target_size);
    return i;
}

static void table_add_locked(struct gofer_fs *fs, struct gofer_inode *gi)
{
    unsigned b = bucket_of(gi->host_dev, gi->inode->ino);
    gi->dev = dev_shown_locked(fs, gi->host_dev);
    gi->hash_next = fs->buckets[b];
    fs->buckets[b] = gi;
    fs->inode_count++;
}

/* Enter i (consumed), or find that another thread has entered the same file meanwhile. */
static struct inode *table_enter(struct gofer_fs *fs, struct inode *i, uint64_t dev)
{
    lock_acquire(&fs->lock);
    struct inode *other = find_locked(fs, dev, i->ino, i->mode);
    table_add_locked(fs, gofer_of(i)); /* a loser is in the table for a moment only */
    lock_release(&fs->lock);
    if (!other)
        return i;
    inode_put(i);
    return other;
}

/* Known already: keep its own fid, take the news. */
static void inode_renew(struct gofer_fs *fs, struct inode *i, const struct goferp_node *node)
{
    if (node->fid != GOFERP_NOFID)
        fid_publish(fs, gofer_of(i), node->fid); /* or drop it: it has one */
    LOCK_GUARD(&i->lock);
    goferfs_attr_store_locked(gofer_of(i), &node->attr);
}

int goferfs_inode_get(struct gofer_fs *fs, const struct goferp_node *node, const char *target,
                      size_t target_size, struct inode **out)
{
    const struct goferp_attr *a = &node->attr;
    uint64_t dev = makedev(a->dev_major, a->dev_minor);
    if (!type_known(a->mode)) {
        gofer_fid_drop(fs->g, node->fid);
        return -EIO;
    }
    lock_acquire(&fs->lock);
    struct inode *i = find_locked(fs, dev, a->ino, a->mode);
    bool full = fs->inode_count > fs->fid_limit;
    lock_release(&fs->lock);
    if (i) {
        inode_renew(fs, i, node);
        *out = i;
        return 0;
    }
    i = inode_make(fs, node, target, target_size);
    if (!i) {
        gofer_fid_drop(fs->g, node->fid);
        return -ENOMEM;
    }
    *out = table_enter(fs, i, dev);
    if (full)
        dcache_shrink(SHRINK_AT_ONCE);
    return 0;
}

int goferfs_inode_lazy(struct inode *dir, const char *name, size_t len,
                       const struct goferp_attr *a, struct inode **out)
{
    struct gofer_fs *fs = gofer_fs_of(dir);
    uint64_t dev = makedev(a->dev_major, a->dev_minor);
    struct goferp_node node = {.fid = GOFERP_NOFID, .attr = *a};
    lock_acquire(&fs->lock);
    struct inode *i = find_locked(fs, dev, a->ino, a->mode); /* knows better than the listing */
    lock_release(&fs->lock);
    if (!i) {
        i = inode_make(fs, &node, NULL, 0);
        char *copy = i ? strndup(name, len) : NULL;
        if (!copy) {
            if (i)
                inode_put(i);
            return -ENOMEM;
        }
        inode_get(dir);
        gofer_of(i)->lazy_parent = dir;
        gofer_of(i)->lazy_name = copy;
        i = table_enter(fs, i, dev);
    }
    *out = i;
    return 0;
}

/* ---- fids that are fetched when they are needed ---- */

static bool same_file(const struct gofer_inode *gi, const struct goferp_attr *a)
{
    return a->ino == gi->inode->ino && !((a->mode ^ gi->inode->mode) & S_IFMT) &&
           makedev(a->dev_major, a->dev_minor) == gi->host_dev;
}

/* Give gi its fid, unless another thread was faster. */
static void fid_publish(struct gofer_fs *fs, struct gofer_inode *gi, uint64_t fid)
{
    lock_acquire(&fs->lock);
    struct inode *parent = NULL;
    char *name = NULL;
    bool late = gi->fid != GOFERP_NOFID;
    if (!late) {
        __atomic_store_n(&gi->fid, fid, __ATOMIC_RELEASE);
        parent = gi->lazy_parent;
        name = gi->lazy_name;
        gi->lazy_parent = NULL;
        gi->lazy_name = NULL;
    }
    lock_release(&fs->lock);
    if (late)
        gofer_fid_drop(fs->g, fid);
    if (parent)
        inode_put(parent);
    free(name);
}

static void fid_fetch(struct gofer_fs *fs, struct gofer_inode *gi, struct inode *parent,
                      const char *name, unsigned open_flags, int *fd)
{
    struct goferp_node node;
    struct gofer_walk w = {.fid = goferfs_fid(parent),
                           .path = name,
                           .path_size = strlen(name),
                           .flags = fd ? GOFERP_WALK_OPEN : 0,
                           .open_flags = open_flags,
                           .nodes = &node,
                           .node_max = 1};
    if (gofer_walk(fs->g, &w) || !w.walked)
        return;
    if (same_file(gi, &node.attr)) {
        fid_publish(fs, gi, node.fid);
        if (fd)
            *fd = w.fd;
        return;
    }
    gofer_fid_drop(fs->g, node.fid);
    if (fd && w.fd >= 0)
        host_close(w.fd);
}

uint64_t goferfs_fid_open(struct inode *i, unsigned open_flags, int *fd)
{
    struct gofer_inode *gi = gofer_of(i);
    struct gofer_fs *fs = gofer_fs_of(i);
    uint64_t fid = __atomic_load_n(&gi->fid, __ATOMIC_ACQUIRE);
    if (fd)
        *fd = -1;
    if (fid != GOFERP_NOFID)
        return fid;
    lock_acquire(&fs->lock);
    struct inode *parent = gi->lazy_parent;
    char *name = parent ? strdup(gi->lazy_name) : NULL;
    if (name)
        inode_get(parent);
    lock_release(&fs->lock);
    if (name) {
        fid_fetch(fs, gi, parent, name, open_flags, fd);
        inode_put(parent);
        free(name);
    }
    return __atomic_load_n(&gi->fid, __ATOMIC_ACQUIRE);
}

uint64_t goferfs_fid(struct inode *i)
{
    return goferfs_fid_open(i, 0, NULL);
}

static void inode_free(struct inode *i)
{
    struct gofer_inode *gi = gofer_of(i);
    struct gofer_fs *fs = gofer_fs_of(i);
    lock_acquire(&fs->lock);
    struct gofer_inode **b = &fs->buckets[bucket_of(gi->host_dev, i->ino)];
    while (*b && *b != gi)
        b = &(*b)->hash_next;
    if (*b) {
        *b = gi->hash_next;
        fs->inode_count--;
    }
    if (list_linked(&gi->idle_node)) {
        list_del(&gi->idle_node);
        fs->idle_count--;
    }
    lock_release(&fs->lock);
    if (S_ISREG(i->mode))
        goferfs_data_free(gi);
    if (gi->list)
        goferfs_list_put(gi->list);
    if (gi->fid != GOFERP_NOFID)
        gofer_fid_drop(fs->g, gi->fid);
    if (gi->lazy_parent)
        inode_put(gi->lazy_parent);
    free(gi->lazy_name);
    free(gi->target);
    free(gi);
}

/* ---- superblocks ---- */

static int sync_op(struct superblock *sb)
{
    struct gofer_fs *fs = sb->priv;
    return gofer_syncfs(fs->g, fs->root_fid);
}

static int sb_statfs(struct superblock *sb, struct statfs *out)
{
    return sb->root ? goferfs_statfs(sb->root->inode, out) : -EIO;
}

static void shutdown_op(struct superblock *sb)
{
    struct gofer_fs *fs = sb->priv;
    gofer_fid_drop_flush(fs->g);
    gofer_put(fs->g);
    lock_destroy(&fs->lock);
    free(fs);
}

static const struct super_ops g_super_ops = {
    .statfs = sb_statfs,
    .sync = sync_op,
    .inode_free = inode_free,
    .shutdown = shutdown_op,
};

static int make_root(struct gofer_fs *fs, const struct goferp_attach_rep *rep)
{
    struct goferp_node node = {.fid = rep->fid, .attr = rep->attr};
    struct inode *root;
    int r = goferfs_inode_get(fs, &node, NULL, 0, &root);
    if (r)
        return r;
    fs->root_fid = rep->fid;
    fs->sb->root = dcache_new_root(fs->sb, root);
    return fs->sb->root ? 0 : -ENOMEM;
}

int goferfs_mount(struct gofer *g, unsigned export_index, bool shared, struct superblock **out)
{
    struct goferp_attach_rep rep;
    int r = gofer_attach(g, export_index, &rep);
    if (r)
        return r;
    struct superblock *sb = superblock_new(&g_super_ops, "gofer", GOFERFS_MAGIC);
    struct gofer_fs *fs = sb ? calloc(1, sizeof(*fs)) : NULL;
    if (!fs) {
        free(sb);
        gofer_fid_drop(g, rep.fid);
        return -ENOMEM;
    }
    gofer_get(g);
    fs->g = g;
    fs->sb = sb;
    fs->shared = shared;
    fs->fid_limit = gofer_info(g)->fid_max / 4 * 3;
    lock_init(&fs->lock, LR_LEAF);
    list_init(&fs->idle);
    sb->priv = fs;
    sb->read_only = rep.flags & GOFERP_EXPORT_RO;
    sb->revalidate = sb->no_dcache_negative = shared;
    sb->has_handles = true;
    r = make_root(fs, &rep);
    if (r)
        superblock_put(sb);
    else
        *out = sb;
    return r;
}
