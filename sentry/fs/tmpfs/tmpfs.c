/* tmpfs: files that live in the memory file. Superblocks, inodes, attributes, options. */
#include "fs/tmpfs/tmpfs_priv.h"
#include "base/log.h"
#include "base/overflow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TMPFS_MAGIC 0x01021994

static int charge(uint64_t *used, uint64_t max, uint64_t n)
{
    uint64_t now = __atomic_add_fetch(used, n, __ATOMIC_RELAXED);
    if (!max || now <= max)
        return 0;
    __atomic_sub_fetch(used, n, __ATOMIC_RELAXED);
    return -ENOSPC;
}

static void type_ops(struct inode *i, struct tmpfs_inode *ti)
{
    switch (i->mode & S_IFMT) {
    case S_IFDIR:
        i->ops = &g_tmpfs_dir_ops;
        i->file_ops = &g_tmpfs_dir_file_ops;
        i->nlink = 2;
        ti->next_pos = 3; /* 0 "." 1 ".." */
        return;
    case S_IFREG:
        i->ops = &g_tmpfs_file_ops;
        i->file_ops = &g_tmpfs_file_file_ops;
        mappable_init(&ti->mappable, &g_tmpfs_mappable_ops);
        rwlock_init(&ti->data_lock, LR_INODE);
        i->mappable = &ti->mappable;
        ti->seals = F_SEAL_SEAL;
        return;
    case S_IFLNK:
        i->ops = &g_tmpfs_link_ops;
        return;
    }
    i->ops = &g_tmpfs_special_ops;
}

int tmpfs_inode_new(struct superblock *sb, uint32_t mode, uint32_t uid, uint32_t gid, dev_t rdev,
                    struct inode **out)
{
    struct tmpfs_sb *ts = sb->priv;
    if (charge(&ts->used_inodes, ts->max_inodes, 1))
        return -ENOSPC;
    struct tmpfs_inode *ti = calloc(1, sizeof(*ti));
    struct inode *i = ti ? inode_new(sb, mode) : NULL;
    if (!i) {
        free(ti);
        __atomic_sub_fetch(&ts->used_inodes, 1, __ATOMIC_RELAXED);
        return -ENOMEM;
    }
    ti->inode = i;
    list_init(&ti->xattrs);
    i->priv = ti;
    i->uid = uid;
    i->gid = gid;
    i->rdev = rdev;
    i->ino = __atomic_fetch_add(&sb->next_ino, 1, __ATOMIC_RELAXED);
    type_ops(i, ti);
    *out = i;
    return 0;
}

static void inode_free(struct inode *i)
{
    struct tmpfs_inode *ti = tmpfs_of(i);
    struct tmpfs_sb *ts = i->sb->priv;
    if (S_ISDIR(i->mode))
        tmpfs_dir_free(ti);
    if (S_ISREG(i->mode)) {
        tmpfs_data_free(ti);
        rwlock_destroy(&ti->data_lock);
    }
    tmpfs_xattr_free(ti);
    free(ti->target);
    free(ti);
    __atomic_sub_fetch(&ts->used_inodes, 1, __ATOMIC_RELAXED);
}

/* ---- attributes ---- */

/* Pages made ahead of a growing file are nobody's business; fallocate's beyond the end are. */
static uint64_t pages_shown(const struct tmpfs_inode *ti)
{
    uint64_t pages = __atomic_load_n(&ti->page_count, __ATOMIC_RELAXED);
    uint64_t within = (ti->inode->size + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE;
    return ti->kept_size ? pages : MIN(pages, within);
}

int tmpfs_getattr(struct inode *i, struct kstat *out)
{
    struct tmpfs_inode *ti = tmpfs_of(i);
    lock_acquire_nested(&i->lock); /* an overlay above may hold its own */
    *out = (struct kstat){
        .dev = i->sb->dev,
        .rdev = i->rdev,
        .ino = i->ino,
        .size = i->size,
        .blksize = 4096,
        .mode = i->mode,
        .nlink = i->nlink,
        .uid = i->uid,
        .gid = i->gid,
        .atime = i->atime,
        .mtime = i->mtime,
        .ctime = i->ctime,
        .btime = i->btime,
    };
    if (S_ISREG(i->mode))
        out->blocks = pages_shown(ti) * 8;
    if (S_ISDIR(i->mode))
        out->size = 20 * (2 + ti->entry_count);
    lock_release(&i->lock);
    return 0;
}

int tmpfs_setattr(struct inode *i, const struct iattr *a)
{
    bool exec_sealed = S_ISREG(i->mode) && (tmpfs_of(i)->seals & F_SEAL_EXEC_K);
    if (exec_sealed && (a->valid & IATTR_MODE) && ((a->mode ^ i->mode) & 0111))
        return -EPERM;
    if (a->valid & IATTR_SIZE) {
        int r = tmpfs_data_truncate(tmpfs_of(i), a->size);
        if (r)
            return r;
    }
    return inode_setattr_simple(i, a);
}

static int readlink_op(struct inode *i, char *buf, size_t size)
{
    size_t n = MIN((size_t)i->size, size);
    memcpy(buf, tmpfs_of(i)->target, n);
    return n;
}

const struct inode_ops g_tmpfs_link_ops = {
    .readlink = readlink_op,
    .setattr = tmpfs_setattr,
    .getattr = tmpfs_getattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
};

const struct inode_ops g_tmpfs_special_ops = {
    .setattr = tmpfs_setattr,
    .getattr = tmpfs_getattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
};

/* ---- superblocks ---- */

static int statfs_op(struct superblock *sb, struct statfs *out)
{
    struct tmpfs_sb *ts = sb->priv;
    uint64_t ram = (g_kernel.memory_limit ? g_kernel.memory_limit : 1ull << 33) / RF_PAGE_SIZE / 2;
    uint64_t pages = ts->max_pages ? ts->max_pages : ram;
    uint64_t inodes = ts->max_inodes ? ts->max_inodes : ram;
    uint64_t used = MIN(__atomic_load_n(&ts->used_pages, __ATOMIC_RELAXED), pages);
    uint64_t used_inodes = MIN(__atomic_load_n(&ts->used_inodes, __ATOMIC_RELAXED), inodes);
    *out = (struct statfs){
        .f_type = TMPFS_MAGIC,
        .f_bsize = RF_PAGE_SIZE,
        .f_frsize = RF_PAGE_SIZE,
        .f_blocks = pages,
        .f_bfree = pages - used,
        .f_bavail = pages - used,
        .f_files = inodes,
        .f_ffree = inodes - used_inodes,
        .f_namelen = VFS_NAME_MAX,
    };
    return 0;
}

static void shutdown_op(struct superblock *sb)
{
    free(sb->priv);
}

static void show_options(struct superblock *sb, char *buf, size_t size)
{
    struct tmpfs_sb *ts = sb->priv;
    size_t n = 0;
    buf[0] = 0;
    if (ts->max_pages)
        n = snprintf(buf, size, ",size=%lluk", (unsigned long long)ts->max_pages * 4);
    if (ts->max_inodes && n < size)
        snprintf(buf + n, size - n, ",nr_inodes=%llu", (unsigned long long)ts->max_inodes);
}

static const struct super_ops g_super_ops = {
    .statfs = statfs_op,
    .inode_free = inode_free,
    .shutdown = shutdown_op,
    .show_options = show_options,
};

static int mount_with(const struct tmpfs_sb *limits, uint32_t mode, uint32_t uid, uint32_t gid,
                      struct superblock **out)
{
    struct superblock *sb = superblock_new(&g_super_ops, "tmpfs", TMPFS_MAGIC);
    struct tmpfs_sb *ts = sb ? malloc(sizeof(*ts)) : NULL;
    if (!ts) {
        free(sb);
        return -ENOMEM;
    }
    *ts = *limits;
    sb->priv = ts;
    sb->next_ino = 1;
    sb->own_attrs = sb->has_handles = true;
    struct inode *root;
    int r = tmpfs_inode_new(sb, S_IFDIR | (mode & 07777), uid, gid, 0, &root);
    if (!r && !(sb->root = dcache_new_root(sb, root)))
        r = -ENOMEM;
    if (r)
        superblock_put(sb);
    else
        *out = sb;
    return r;
}

int tmpfs_mount(uint64_t max_bytes, uint32_t root_mode, struct superblock **out)
{
    struct tmpfs_sb limits = {.max_pages = (max_bytes + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE};
    return mount_with(&limits, root_mode, 0, 0, out);
}

/* "10m", "50%", "4096": bytes. */
static bool parse_size(const char *s, uint64_t *out)
{
    char *end;
    errno = 0;
    uint64_t v = strtoull(s, &end, 0);
    if (end == s || *s == '-')
        return false;
    unsigned shift = 0;
    if (*end == '%') {
        uint64_t ram = g_kernel.memory_limit ? g_kernel.memory_limit : 1ull << 33;
        *out = ram / 100 * MIN(v, 10000ull);
        return !end[1];
    }
    switch (*end | 0x20) {
    case 'k':
        shift = 10;
        break;
    case 'm':
        shift = 20;
        break;
    case 'g':
        shift = 30;
        break;
    }
    if (v > UINT64_MAX >> shift)
        return false;
    *out = v << shift;
    return !end[shift ? 1 : 0];
}

struct tmpfs_options {
    struct tmpfs_sb limits;
    uint32_t mode, uid, gid;
};

static int id_option(uint64_t n, uint32_t (*from)(const struct user_ns *, uint32_t), uint32_t *out)
{
    struct task *t = task_current();
    uint32_t id = n >= UINT32_MAX ? UINT32_MAX : t ? from(t->cred->user_ns, n) : (uint32_t)n;
    if (id == UINT32_MAX)
        return -EINVAL;
    *out = id;
    return 0;
}

static int parse_option(struct tmpfs_options *o, char *key, char *value)
{
    static const char *const ignored[] = {"mpol", "huge", "inode32", "inode64", "noswap", NULL};
    uint64_t n = 0;
    if (value && !strcmp(key, "mode")) {
        o->mode = strtoul(value, NULL, 8) & 07777;
        return 0;
    }
    for (unsigned i = 0; ignored[i]; i++)
        if (!strcmp(key, ignored[i]))
            return 0;
    if (!value || !parse_size(value, &n))
        return -EINVAL;
    if (!strcmp(key, "size"))
        o->limits.max_pages = (n + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE;
    else if (!strcmp(key, "nr_blocks"))
        o->limits.max_pages = n;
    else if (!strcmp(key, "nr_inodes"))
        o->limits.max_inodes = n;
    else if (!strcmp(key, "uid"))
        return id_option(n, uid_from, &o->uid);
    else if (!strcmp(key, "gid"))
        return id_option(n, gid_from, &o->gid);
    else
        return -EINVAL;
    return 0;
}

static int parse_options(struct tmpfs_options *o, const char *data)
{
    char *copy = strdup(data ? data : ""), *save = NULL;
    if (!copy)
        return -ENOMEM;
    int r = 0;
    for (char *s = strtok_r(copy, ",", &save); s && !r; s = strtok_r(NULL, ",", &save)) {
        char *value = strchr(s, '=');
        if (value)
            *value++ = 0;
        r = parse_option(o, s, value);
    }
    free(copy);
    return r;
}

int tmpfs_mount_options(const char *data, struct superblock **out)
{
    struct task *t = task_current();
    struct tmpfs_options o = {
        .mode = 01777, .uid = t ? t->cred->fsuid : 0, .gid = t ? t->cred->fsgid : 0};
    int r = parse_options(&o, data);
    return r ? r : mount_with(&o.limits, o.mode, o.uid, o.gid, out);
}

/* Limits may change, but not to less than is in use, nor from none to some. */
int tmpfs_reconfigure(struct superblock *sb, const char *options)
{
    struct tmpfs_sb *ts = sb->priv;
    struct tmpfs_options o = {.limits = *ts};
    int r = parse_options(&o, options);
    if (r)
        return r;
    uint64_t pages = o.limits.max_pages, inodes = o.limits.max_inodes;
    if ((pages && pages < __atomic_load_n(&ts->used_pages, __ATOMIC_RELAXED)) ||
        (inodes && inodes < __atomic_load_n(&ts->used_inodes, __ATOMIC_RELAXED)))
        return -EINVAL;
    __atomic_store_n(&ts->max_pages, pages, __ATOMIC_RELAXED);
    __atomic_store_n(&ts->max_inodes, inodes, __ATOMIC_RELAXED);
    return 0;
}

/* ---- files without a name ---- */

static struct superblock *g_kernel_sb; /* const after init */
static pthread_once_t g_kernel_once = PTHREAD_ONCE_INIT;

static void kernel_sb_init(void)
{
    bug_on(tmpfs_mount(0, 01777, &g_kernel_sb));
}

int tmpfs_new_file(struct superblock *sb, uint32_t mode, uint32_t uid, uint32_t gid,
                   struct inode **out)
{
    if (!sb) {
        pthread_once(&g_kernel_once, kernel_sb_init);
        sb = g_kernel_sb;
    }
    int r = tmpfs_inode_new(sb, S_IFREG | (mode & 07777), uid, gid, 0, out);
    if (!r)
        (*out)->nlink = 0;
    return r;
}
