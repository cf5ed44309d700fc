/* Overlay: superblock, inodes, attributes. The idea is told in overlay_priv.h. */
#include "base/log.h"
#include "base/overflow.h"
#include "fs/overlay/overlay_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OVERLAYFS_MAGIC 0x794c7630
#define OV_MAX_BYTES    0xffffffff000ull /* ext4's limit, which most programs know: 16 TiB */

/* ---- inodes
 * ------------------------------------------------------------------------------------------- */

static void type_ops(struct inode *i)
{
    switch (i->mode & S_IFMT) {
    case S_IFDIR:
        i->ops = &g_ov_dir_ops;
        i->file_ops = &g_ov_dir_file_ops;
        break;
    case S_IFREG:
        i->ops = &g_ov_file_ops;
        i->file_ops = &g_ov_file_file_ops;
        mappable_init(&ov_of(i)->mappable, &g_ov_mappable_ops);
        i->mappable = &ov_of(i)->mappable;
        break;
    case S_IFLNK:
        i->ops = &g_ov_link_ops;
        break;
    default:
        i->ops = &g_ov_special_ops;
    }
}

static struct inode *ov_alloc(struct superblock *sb, uint32_t mode, const char *name,
                              size_t name_len)
{
    struct ov_inode *o = calloc(1, sizeof(*o) + name_len);
    struct inode *i = o ? inode_new(sb, mode) : NULL;
    if (!i) {
        free(o);
        return NULL;
    }
    lock_init(&i->lock, LR_INODE_UPPER);
    o->next_pos = 3; /* behind "." and ".." */
    o->home_name_len = name_len;
    memcpy(o->home_name, name, name_len);
    i->priv = o;
    type_ops(i);
    return i;
}

static void fields_from(struct inode *i, const struct kstat *st)
{
    i->ino = st->ino;
    i->rdev = st->rdev;
    i->uid = st->uid;
    i->gid = st->gid;
    i->nlink = st->nlink;
    i->size = st->size;
    i->atime = st->atime;
    i->mtime = st->mtime;
    i->ctime = st->ctime;
    i->btime = st->btime;
}

int ov_wrap(struct superblock *sb, struct inode *lower, struct inode *home, const char *name,
            size_t name_len, struct inode **out)
{
    struct kstat st;
    int err = inode_getattr(lower, &st);
    struct inode *i = err ? NULL : ov_alloc(sb, st.mode, name, name_len);
    if (!i) {
        inode_put(lower);
        return err ? err : -ENOMEM;
    }
    fields_from(i, &st);
    ov_of(i)->lower = lower;
    if (home) {
        inode_get(home);
        ov_of(i)->home = home;
    }
    *out = i;
    return 0;
}

int ov_make(struct inode *dir, uint32_t mode, dev_t rdev, const struct cred *c, struct inode **out)
{
    uint32_t uid, gid;
    inode_init_owner(dir, c, &mode, &uid, &gid);
    struct inode *i = ov_alloc(dir->sb, mode, "", 0);
    if (!i)
        return -ENOMEM;
    i->uid = uid;
    i->gid = gid;
    i->rdev = rdev;
    i->nlink = S_ISDIR(mode) ? 2 : 1;
    i->ino = __atomic_fetch_add(&dir->sb->next_ino, 1, __ATOMIC_RELAXED);
    ov_of(i)->attrs_own = true;
    struct inode *data = NULL;
    int err = S_ISREG(mode) ? tmpfs_new_file(ov_sb_of(dir)->store, mode, uid, gid, &data) : 0;
    if (err) {
        inode_put(i);
        return err;
    }
    if (data)
        ov_data_set(i, data);
    *out = i;
    return 0;
}

/* One step: give i to its parent. Returns the parent's reference that i held, NULL if i was pinned.
 */
static struct inode *pin_step(struct inode *i, int *err)
{
    struct ov_inode *o = ov_of(i);
    struct ov_sb *os = ov_sb_of(i);
    lock_acquire(&os->names_lock);
    struct inode *home = o->home;
    if (home)
        inode_get(home);
    lock_release(&os->names_lock);
    if (!home)
        return NULL;
    /* The entry may appear twice if two threads pin at once: the second replaces the first with the
     * same. */
    *err = ov_entry_set(home, o->home_name, o->home_name_len, i);
    lock_acquire(&os->names_lock);
    struct inode *held = *err ? NULL : o->home;
    if (held)
        o->home = NULL;
    lock_release(&os->names_lock);
    if (held)
        inode_put(held); /* not the last: we still have ours */
    return home;
}

int ov_pin(struct inode *i)
{
    int err = 0;
    struct inode *cur = i, *home;
    inode_get(cur);
    while (!err && (home = pin_step(cur, &err))) {
        inode_put(cur);
        cur = home;
    }
    inode_put(cur);
    return err;
}

static void inode_free(struct inode *i)
{
    struct ov_inode *o = ov_of(i);
    ov_entries_free(o);
    if (S_ISREG(i->mode))
        mappable_drop_window(&o->mappable);
    if (o->data)
        o->data->mappable = o->data_map;
    struct inode *const held[] = {o->lower, o->data, o->xattrs, o->home};
    for (size_t k = 0; k < ARRAY_COUNT(held); k++)
        if (held[k])
            inode_put(held[k]);
    free(o->target);
    free(o);
}

/* ---- attributes
 * --------------------------------------------------------------------------------------- */

static bool later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* Size and times of the bytes, wherever they are. */
static int data_getattr(struct inode *i, struct kstat *out)
{
    struct kstat st;
    struct inode *real = ov_real(i);
    int err = inode_getattr(real, &st);
    if (err)
        return err;
    out->size = st.size;
    out->blocks = st.blocks;
    if (real == ov_of(i)->lower)
        return 0;
    out->atime = st.atime;
    out->mtime = st.mtime;
    if (later(&st.ctime, &out->ctime))
        out->ctime = st.ctime;
    return 0;
}

static void own_getattr(struct inode *i, struct kstat *out)
{
    LOCK_GUARD(&i->lock);
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
    if (S_ISDIR(i->mode)) {
        out->size = 4096;
        out->blocks = 8;
    }
}

/* What stands below is asked without our lock. */
int ov_getattr(struct inode *i, struct kstat *out)
{
    struct ov_inode *o = ov_of(i);
    if (!__atomic_load_n(&o->attrs_own, __ATOMIC_ACQUIRE)) {
        int err = inode_getattr(o->lower, out);
        out->dev = i->sb->dev;
        return err;
    }
    own_getattr(i, out);
    return S_ISREG(i->mode) ? data_getattr(i, out) : 0;
}

static int data_setattr(struct inode *data, const struct iattr *a)
{
    struct iattr forward = *a;
    forward.valid &= IATTR_SIZE | IATTR_ATIME | IATTR_MTIME | IATTR_CTIME;
    lock_acquire(&data->lock);
    int err = data->ops->setattr(data, &forward);
    lock_release(&data->lock);
    return err;
}

int ov_setattr(struct inode *i, const struct iattr *a)
{
    struct ov_inode *o = ov_of(i);
    int err = ov_pin(i);
    if (!err && (a->valid & IATTR_SIZE) && !o->data)
        err = ov_copy_up_locked(i, a->size);
    if (!err && o->data)
        err = data_setattr(o->data, a);
    if (err)
        return err;
    err = inode_setattr_simple(i, a);
    __atomic_store_n(&o->attrs_own, true, __ATOMIC_RELEASE);
    return err;
}

void ov_own_attrs(struct inode *i, int nlink_by, unsigned touch)
{
    LOCK_GUARD(&i->lock);
    i->nlink += nlink_by;
    inode_touch(i, touch);
    __atomic_store_n(&ov_of(i)->attrs_own, true, __ATOMIC_RELEASE);
}

static int readlink_op(struct inode *i, char *buf, size_t size)
{
    struct ov_inode *o = ov_of(i);
    if (!o->target)
        return o->lower->ops->readlink(o->lower, buf, size);
    size_t n = MIN(strlen(o->target), size);
    memcpy(buf, o->target, n);
    return n;
}

const struct inode_ops g_ov_link_ops = {
    .readlink = readlink_op,
    .getattr = ov_getattr,
    .setattr = ov_setattr,
    .getxattr = ov_getxattr,
    .setxattr = ov_setxattr,
    .listxattr = ov_listxattr,
    .removexattr = ov_removexattr,
    .keep = ov_pin,
};

const struct inode_ops g_ov_special_ops = {
    .getattr = ov_getattr,
    .setattr = ov_setattr,
    .getxattr = ov_getxattr,
    .setxattr = ov_setxattr,
    .listxattr = ov_listxattr,
    .removexattr = ov_removexattr,
    .keep = ov_pin,
};

/* ---- superblock
 * --------------------------------------------------------------------------------------- */

static int statfs_op(struct superblock *sb, struct statfs *out)
{
    struct ov_sb *os = sb->priv;
    int err = os->lower->ops->statfs ? os->lower->ops->statfs(os->lower, out) : -ENOSYS;
    out->f_type = OVERLAYFS_MAGIC;
    return err;
}

static void shutdown_op(struct superblock *sb)
{
    struct ov_sb *os = sb->priv;
    superblock_unhold(os->store);
    superblock_unhold(os->lower);
    free(os);
}

static const struct super_ops g_super_ops = {
    .statfs = statfs_op, .inode_free = inode_free, .shutdown = shutdown_op};

/* Numbers of our own start where no host filesystem's are. */
#define OV_FIRST_INO (UINT64_C(1) << 40)

int overlay_mount(struct superblock *lower, struct superblock **out)
{
    struct superblock *store, *sb = superblock_new(&g_super_ops, "overlay", OVERLAYFS_MAGIC);
    struct ov_sb *os = sb ? calloc(1, sizeof(*os)) : NULL;
    int err = os ? tmpfs_mount(/*max_bytes=*/0, 0700, &store) : -ENOMEM;
    if (err) {
        free(os);
        free(sb);
        return err;
    }
    sb->max_bytes = OV_MAX_BYTES;
    superblock_hold(lower);
    superblock_hold(store);
    superblock_put(store); /* the maker's reference */
    *os = (struct ov_sb){.lower = lower, .store = store, .lower_root = lower->root->inode};
    lock_init(&os->names_lock, LR_LEAF);
    sb->priv = os;
    sb->next_ino = OV_FIRST_INO;
    sb->own_attrs = sb->has_handles = true;
    struct inode *root, *lower_root = lower->root->inode;
    inode_get(lower_root);
    err = ov_wrap(sb, lower_root, NULL, "", 0, &root);
    if (!err && !(sb->root = dcache_new_root(sb, root)))
        err = -ENOMEM;
    if (err)
        superblock_put(sb);
    else
        *out = sb;
    return err;
}
