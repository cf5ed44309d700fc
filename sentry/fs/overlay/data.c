/* Overlay files: opening, copying up, extended attributes.
 *
 * The bytes are held by the lower inode until the first writer comes, by a tmpfs file of ours from
 * then on. An open file looks each time (f->data is what it used last), so a descriptor that was
 * opened for reading before sees what is written after; maps likewise: they hang on the overlay's
 * own mappable, and copying up makes them look again. */
#include "base/overflow.h"
#include "fs/overlay/overlay_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define COPY_CHUNK (256 * 1024)

int ov_open_inode(struct inode *real, unsigned flags, struct file **out)
{
    struct file *f;
    int err = file_alloc(flags, &f);
    if (err)
        return err;
    inode_get(real);
    f->inode = f->data = real;
    f->mode = (flags & O_ACCMODE) == O_RDONLY ? FMODE_READ : FMODE_READ | FMODE_WRITE;
    f->ops = real->file_ops;
    if (real->ops->open)
        err = real->ops->open(real, f);
    if (err) {
        file_free_unopened(f);
        return err;
    }
    *out = f;
    return 0;
}

/* ---- copying up
 * --------------------------------------------------------------------------------------- */

static int write_all(struct file *to, const char *buf, size_t size, int64_t pos)
{
    struct uio u;
    uio_init_kernel(&u, (void *)buf, size);
    lock_acquire(&to->inode->lock);
    int64_t n = to->ops->write(to, &u, pos);
    lock_release(&to->inode->lock);
    return n < 0 ? n : n < (int64_t)size ? -ENOSPC : 0;
}

static int copy_bytes(struct file *from, struct file *to, uint64_t size)
{
    char *buf = malloc(COPY_CHUNK);
    int err = buf ? 0 : -ENOMEM;
    for (uint64_t at = 0; !err && at < size;) {
        int64_t n = vfs_read_kernel(from, buf, MIN(size - at, (uint64_t)COPY_CHUNK), at);
        if (n <= 0) {
            err = n;
            break;
        }
        err = write_all(to, buf, n, at);
        at += n;
    }
    free(buf);
    return err;
}

static int copy_data(struct inode *lower, struct inode *data, uint64_t size)
{
    struct file *from, *to;
    int err = ov_open_inode(lower, O_RDONLY, &from);
    if (err)
        return err;
    err = ov_open_inode(data, O_RDWR, &to);
    if (!err) {
        err = copy_bytes(from, to, size);
        to->mode = FMODE_READ; /* it never counted as a writer */
        file_put(to);
    }
    file_put(from);
    return err;
}

/* Times stay as they were: a copy is not a modification. */
static void copy_times(struct inode *data, const struct kstat *st)
{
    struct iattr a = {.valid = IATTR_ATIME | IATTR_MTIME | IATTR_CTIME,
                      .atime = st->atime,
                      .mtime = st->mtime,
                      .ctime = st->ctime};
    lock_acquire(&data->lock);
    (void)data->ops->setattr(data, &a);
    lock_release(&data->lock);
}

void ov_data_set(struct inode *i, struct inode *data)
{
    struct ov_inode *o = ov_of(i);
    o->data_map = data->mappable;
    data->mappable = &o->mappable; /* whose maps the data has to cut when it shrinks */
    __atomic_store_n(&o->data, data, __ATOMIC_RELEASE);
}

int ov_copy_up_locked(struct inode *i, uint64_t size)
{
    struct ov_inode *o = ov_of(i);
    struct kstat st;
    struct inode *data;
    if (o->data)
        return 0;
    int err = ov_pin(i);
    if (!err)
        err = inode_getattr(o->lower, &st);
    if (!err)
        err = tmpfs_new_file(ov_sb_of(i)->store, i->mode, i->uid, i->gid, &data);
    if (err)
        return err;
    err = copy_data(o->lower, data, MIN(size, st.size));
    if (err) {
        inode_put(data);
        return err;
    }
    copy_times(data, &st);
    ov_data_set(i, data);
    __atomic_store_n(&o->attrs_own, true, __ATOMIC_RELEASE);
    mappable_zap(&o->mappable, 0, 0, /*even_private=*/false);
    mappable_drop_window(&o->mappable);
    return 0;
}

/* ---- open files: f->priv is the lower inode if this file has it open
 * --------------------------------------------------------------------------------------------- */

static int open_op(struct inode *i, struct file *f)
{
    int err = 0;
    if (f->mode & FMODE_WRITE) {
        LOCK_GUARD(&i->lock);
        err = ov_copy_up_locked(i, f->flags & O_TRUNC ? 0 : UINT64_MAX);
    }
    if (err)
        return err;
    struct inode *real = ov_real(i);
    f->data = real;
    if (real == ov_of(i)->lower) {
        err = real->ops->open ? real->ops->open(real, f) : 0;
        f->priv = real;
    }
    f->ops = &g_ov_file_file_ops;
    return err;
}

/* Operations of whoever holds the bytes now, with f->data leading there. */
static const struct file_ops *real_ops(struct file *f)
{
    struct inode *real = ov_real(f->inode);
    if (__builtin_expect(f->data != real, 0))
        __atomic_store_n(&f->data, real, __ATOMIC_RELEASE);
    return real->file_ops;
}

static int64_t read_op(struct file *f, struct uio *u, int64_t pos)
{
    return real_ops(f)->read(f, u, pos);
}

static int64_t write_op(struct file *f, struct uio *u, int64_t pos)
{
    return real_ops(f)->write(f, u, pos);
}

static int64_t lseek_op(struct file *f, int64_t off, int whence)
{
    return real_ops(f)->lseek(f, off, whence);
}

static int mmap_op(struct file *f, unsigned prot, unsigned flags, struct mappable **m)
{
    return real_ops(f)->mmap(f, prot, flags, m);
}

static int fsync_op(struct file *f, bool data_only)
{
    return 0; /* what is in memory cannot be made safer, and below nothing was written */
}

static int fallocate_op(struct file *f, int mode, int64_t off, int64_t len)
{
    return real_ops(f)->fallocate(f, mode, off, len);
}

static int64_t end_op(struct file *f)
{
    return real_ops(f)->end(f);
}

static int host_fd_op(struct file *f)
{
    const struct file_ops *ops = real_ops(f);
    return ops->host_fd ? ops->host_fd(f) : -1;
}

static void release_op(struct file *f)
{
    struct inode *lower = f->priv;
    if (!lower)
        return;
    f->data = lower;
    if (lower->file_ops->release)
        lower->file_ops->release(f);
}

const struct file_ops g_ov_file_file_ops = {
    .read = read_op,
    .write = write_op,
    .lseek = lseek_op,
    .nowait = true,
    .mmap = mmap_op,
    .fsync = fsync_op,
    .fallocate = fallocate_op,
    .release = release_op,
    .host_fd = host_fd_op,
    .inode_locked = true,
    .end = end_op,
};

/* ---- maps ---- */

static struct mappable *real_map(struct mappable *m)
{
    struct ov_inode *o = container_of(m, struct ov_inode, mappable);
    return __atomic_load_n(&o->data, __ATOMIC_ACQUIRE) ? o->data_map : o->lower->mappable;
}

static int backing_op(struct mappable *m, uint64_t offset, unsigned access, struct mm_backing *out)
{
    struct mappable *real = real_map(m);
    return real->ops->backing(real, offset, access, out);
}

/* Only data of ours is ever mapped for writing. */
static int writable_get_op(struct mappable *m)
{
    struct mappable *real = real_map(m);
    return real->ops->writable_get ? real->ops->writable_get(real) : 0;
}

static void writable_put_op(struct mappable *m)
{
    struct mappable *real = real_map(m);
    if (real->ops->writable_put)
        real->ops->writable_put(real);
}

const struct mappable_ops g_ov_mappable_ops = {
    .backing = backing_op,
    .writable_get = writable_get_op,
    .writable_put = writable_put_op,
};

/* ---- extended attributes
 * ------------------------------------------------------------------------------ */

static struct inode *xattr_source(struct inode *i)
{
    struct ov_inode *o = ov_of(i);
    LOCK_GUARD(&i->lock);
    return o->xattrs ? o->xattrs : o->lower;
}

int64_t ov_getxattr(struct inode *i, const char *name, void *buf, size_t size)
{
    struct inode *s = xattr_source(i);
    if (!s)
        return -ENODATA;
    return s->ops->getxattr ? s->ops->getxattr(s, name, buf, size) : -EOPNOTSUPP;
}

int64_t ov_listxattr(struct inode *i, char *buf, size_t size)
{
    struct inode *s = xattr_source(i);
    if (!s)
        return 0;
    return s->ops->listxattr ? s->ops->listxattr(s, buf, size) : 0;
}

static int copy_one_xattr(struct inode *from, struct inode *to, const char *name)
{
    int64_t size = from->ops->getxattr(from, name, NULL, 0);
    char *value = size < 0 ? NULL : malloc(size ? size : 1);
    if (!value)
        return size < 0 ? 0 : -ENOMEM; /* gone or unreadable meanwhile: it is not there */
    size = from->ops->getxattr(from, name, value, size);
    int err = size < 0 ? 0 : to->ops->setxattr(to, name, value, size, 0);
    free(value);
    return err;
}

static int copy_xattrs(struct inode *from, struct inode *to)
{
    if (!from || !from->ops->listxattr || !from->ops->getxattr)
        return 0;
    int64_t size = from->ops->listxattr(from, NULL, 0);
    char *names = size <= 0 ? NULL : malloc(size);
    int err = 0;
    if (!names)
        return size > 0 ? -ENOMEM : 0;
    size = from->ops->listxattr(from, names, size);
    for (char *n = names; !err && size > 0 && n < names + size; n += strlen(n) + 1)
        err = copy_one_xattr(from, to, n);
    free(names);
    return err;
}

/* The store for changes; borrowed, it stays as long as the inode. */
static int xattr_own(struct inode *i, struct inode **out)
{
    struct ov_inode *o = ov_of(i);
    struct inode *store = NULL;
    int err = ov_pin(i);
    if (!err && !o->xattrs)
        err = tmpfs_new_file(ov_sb_of(i)->store, S_IFREG | 0600, 0, 0, &store);
    if (!err && store)
        err = copy_xattrs(o->lower, store);
    lock_acquire(&i->lock);
    if (!err && store && !o->xattrs) {
        o->xattrs = store;
        store = NULL;
    }
    *out = o->xattrs;
    lock_release(&i->lock);
    if (store)
        inode_put(store);
    return err;
}

int ov_setxattr(struct inode *i, const char *name, const void *value, size_t size, int flags)
{
    struct inode *own;
    int err = xattr_own(i, &own);
    if (!err)
        err = own->ops->setxattr(own, name, value, size, flags);
    if (!err)
        ov_own_attrs(i, 0, IATTR_CTIME);
    return err;
}

int ov_removexattr(struct inode *i, const char *name)
{
    struct inode *own;
    int err = xattr_own(i, &own);
    if (!err)
        err = own->ops->removexattr(own, name);
    if (!err)
        ov_own_attrs(i, 0, IATTR_CTIME);
    return err;
}

const struct inode_ops g_ov_file_ops = {
    .open = open_op,
    .getattr = ov_getattr,
    .setattr = ov_setattr,
    .getxattr = ov_getxattr,
    .setxattr = ov_setxattr,
    .listxattr = ov_listxattr,
    .removexattr = ov_removexattr,
    .keep = ov_pin,
};
