/* Open file descriptions: their life, and read, write and seek with the rules that hold for every
 * kind of file. */
#include "base/log.h"
#include "base/overflow.h"
#include "fs/vfs_priv.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fanotify.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

static int64_t g_files; /* atomic; open file descriptions */

int64_t vfs_file_count(void)
{
    return __atomic_load_n(&g_files, __ATOMIC_RELAXED);
}

/* fs.file-max binds all but the administrator. */
static bool too_many_files(int64_t count)
{
    struct task *t = task_current();
    return count > g_vfs_knobs.file_max && t && !cred_has_cap(t->cred, CAP_SYS_ADMIN);
}

int file_alloc(unsigned flags, struct file **out)
{
    int64_t count = __atomic_add_fetch(&g_files, 1, __ATOMIC_RELAXED);
    struct file *f = too_many_files(count) ? NULL : calloc(1, sizeof(*f));
    if (!f) {
        __atomic_sub_fetch(&g_files, 1, __ATOMIC_RELAXED);
        return -ENFILE;
    }
    ref_init(&f->ref);
    lock_init(&f->lock, LR_FILE);
    lock_init(&f->pos_lock, LR_FILE_POS);
    list_init(&f->epoll_items);
    f->flags = flags & ~O_CLOEXEC;
    *out = f;
    return 0;
}

static void file_free(struct file *f)
{
    path_put(&f->path);
    if (f->inode)
        inode_put(f->inode);
    lock_destroy(&f->lock);
    lock_destroy(&f->pos_lock);
    free(f);
    __atomic_sub_fetch(&g_files, 1, __ATOMIC_RELAXED);
}

void file_free_unopened(struct file *f)
{
    file_free(f);
}

void file_get(struct file *f)
{
    ref_get(&f->ref);
}

static void file_destroy(struct file *f)
{
    if (f->mode & FMODE_DETACHED)
        mount_ns_put(f->priv);
    if (f->inode && f->inode->locks && !(f->mode & FMODE_PATH))
        locks_release_owner(f, f);
    if (f->inode && f->inode->leases && !(f->mode & FMODE_PATH))
        lease_file_gone(f);
    if (f->async_waiter)
        fasync_off(f);
    if (!list_empty(&f->epoll_items))
        epoll_file_gone(f);
    if (!(f->mode & FMODE_PATH))
        fsnotify_file(f, f->mode & FMODE_WRITE ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    if (f->ops && f->ops->release)
        f->ops->release(f);
    if (f->mode & FMODE_EXEC)
        inode_write_allow(f->inode);
    if (f->inode && !(f->mode & FMODE_PATH))
        file_open_counts_put(f->path.mnt, f->inode, f->mode);
    file_free(f);
}

void file_put(struct file *f)
{
    if (ref_put(&f->ref))
        file_destroy(f);
}

/* ---- files without a path ---- */

static struct superblock *g_anon_sb; /* const after init */

static unsigned access_mode(unsigned flags)
{
    unsigned acc = (flags + 1) & O_ACCMODE;
    return (acc & 1 ? FMODE_READ : 0) | (acc & 2 ? FMODE_WRITE : 0);
}

int file_new_anon(const struct file_ops *ops, unsigned flags, void *priv, uint32_t mode,
                  struct file **out)
{
    struct file *f;
    struct inode *i = inode_new(g_anon_sb, mode);
    if (!i)
        return -ENOMEM;
    i->ino = __atomic_fetch_add(&g_anon_sb->next_ino, 1, __ATOMIC_RELAXED);
    int r = file_alloc(flags, &f);
    if (r) {
        inode_put(i);
        return r;
    }
    f->inode = f->data = i;
    f->ops = ops;
    f->priv = priv;
    f->mode = access_mode(flags);
    *out = f;
    return 0;
}

int file_path_anon(struct file *f, struct path *out)
{
    inode_get(f->inode);
    struct dentry *d = dcache_new_unhashed(g_anon_sb->root, "anon", 4, f->inode);
    if (!d)
        return -ENOMEM;
    *out = (struct path){.dentry = d};
    return 0;
}

int file_new_inode(struct inode *inode, unsigned flags, const char *name, struct file **out)
{
    struct file *f;
    int r = file_alloc(flags, &f);
    if (r)
        return r;
    inode_get(inode);
    struct dentry *d = dcache_new_unhashed(g_anon_sb->root, name, strlen(name), inode);
    f->mode = access_mode(flags);
    f->inode = f->data = inode;
    f->ops = inode->file_ops;
    r = d ? 0 : -ENOMEM;
    if (!r)
        r = file_open_counts_get(NULL, inode, f->mode);
    if (r) {
        if (d)
            dentry_put(d);
        f->inode = NULL;
        file_free(f);
        return r;
    }
    f->path.dentry = d;
    *out = f;
    return 0;
}

void vfs_init(void)
{
    g_anon_sb = superblock_new(NULL, "anon_inodefs", 0x09041934);
    bug_on(!g_anon_sb);
    struct inode *root = inode_new(g_anon_sb, S_IFDIR | 0700);
    bug_on(!root);
    root->ino = 1;
    g_anon_sb->root = dcache_new_root(g_anon_sb, root);
    bug_on(!g_anon_sb->root);
    nsfs_init();
}

/* ---- mapping ---- */

int file_mmap_check(struct file *f, unsigned prot, unsigned flags)
{
    if (!(f->mode & FMODE_READ))
        return -EACCES;
    bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
    bool written = shared && (prot & PROT_WRITE);
    if (written && (!(f->mode & FMODE_WRITE) || inode_has_flags(f->inode, FS_APPEND_FL)))
        return -EACCES;
    if ((prot & PROT_EXEC) && f->path.mnt && (mount_flags(f->path.mnt) & MS_NOEXEC))
        return -EPERM;
    return 0;
}

/* ---- access times ---- */

static bool relatime_due(struct inode *i, int64_t now)
{
    if (i->atime.tv_sec < i->mtime.tv_sec || i->atime.tv_sec < i->ctime.tv_sec)
        return true;
    if (i->atime.tv_sec == i->mtime.tv_sec && i->atime.tv_nsec <= i->mtime.tv_nsec)
        return true;
    if (i->atime.tv_sec == i->ctime.tv_sec && i->atime.tv_nsec <= i->ctime.tv_nsec)
        return true;
    return now - i->atime.tv_sec >= 24 * 3600;
}

void path_accessed(const struct mount *mnt, struct inode *i)
{
    unsigned flags = mount_flags(mnt);
    if ((flags & (MS_NOATIME | MS_RDONLY)) || inode_has_flags(i, FS_NOATIME_FL))
        return;
    if ((flags & MS_NODIRATIME) && inode_is_dir(i))
        return;
    struct timespec now;
    time_stamp(&now);
    bool strict = mnt && !(flags & MS_RELATIME);
    if (!strict && !relatime_due(i, now.tv_sec))
        return;
    LOCK_GUARD(&i->lock);
    i->atime = now;
}

void file_accessed(struct file *f)
{
    if (!(f->flags & O_NOATIME))
        path_accessed(f->path.mnt, f->data);
}

/* ---- reading ---- */

static int read_check(struct file *f, const struct uio *u)
{
    if (!(f->mode & FMODE_READ))
        return -EBADF;
    bool dir = f->inode && inode_is_dir(f->inode);
    if (!f->ops->read && !dir)
        return -EINVAL;
    if (!uio_range_ok(u))
        return -EFAULT;
    return dir ? -EISDIR : 0;
}

/* A position that the bytes would carry beyond what a position can say. */
static bool pos_overflows(int64_t pos, const struct uio *u)
{
    return (uint64_t)pos > INT64_MAX - u->remaining;
}

static int64_t read_at(struct file *f, struct uio *u, int64_t pos)
{
    int64_t n = f->ops->read(f, u, pos);
    if (n > 0)
        fsnotify_file(f, IN_ACCESS);
    return n;
}

/* fanotify's listeners may forbid it. */
static int read_permission(struct task *t, struct file *f)
{
    if (!f->path.dentry || (f->mode & FMODE_NONOTIFY))
        return 0;
    return fanotify_permission(t, &f->path, FAN_ACCESS_PERM);
}

int64_t vfs_read(struct task *t, struct file *f, struct uio *u)
{
    int r = read_check(f, u);
    if (!r)
        r = read_permission(t, f);
    if (r)
        return r;
    if (f->ops->stream || f->ops->own_pos)
        return read_at(f, u, -1);
    lock_acquire(&f->pos_lock);
    int64_t n = pos_overflows(f->pos, u) ? -EINVAL : read_at(f, u, f->pos);
    if (n > 0)
        f->pos += n;
    lock_release(&f->pos_lock);
    return n;
}

int64_t vfs_pread(struct task *t, struct file *f, struct uio *u, int64_t pos)
{
    if (pos < 0)
        return -EINVAL;
    if (f->ops->stream)
        return -ESPIPE;
    int r = read_check(f, u);
    if (!r)
        r = read_permission(t, f);
    if (r)
        return r;
    return pos_overflows(pos, u) ? -EINVAL : read_at(f, u, pos);
}

int64_t vfs_read_kernel(struct file *f, void *buf, size_t size, int64_t pos)
{
    if (!f->ops || !f->ops->read)
        return -EINVAL;
    size_t done = 0;
    while (done < size) {
        struct uio u;
        uio_init_kernel(&u, (char *)buf + done, size - done);
        int64_t n = f->ops->read(f, &u, pos + done);
        if (n <= 0)
            return done ? (int64_t)done : n;
        fsnotify_file(f, IN_ACCESS);
        done += n;
    }
    return done;
}

/* ---- writing ---- */

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif
#define RWF_DONTCACHE_K 0x80 /* younger than our headers */
#define RWF_KNOWN                                                                                  \
    (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND | RWF_DONTCACHE_K)

int vfs_rwf_check(struct file *f, unsigned rwf)
{
    if (rwf & ~RWF_KNOWN)
        return -EOPNOTSUPP; /* RWF_ATOMIC among them: nothing here can promise it */
    if ((rwf & RWF_APPEND) && (rwf & RWF_NOAPPEND))
        return -EINVAL;
    if (f->ops->stream && (rwf & RWF_DONTCACHE_K))
        return -EOPNOTSUPP;
    return (rwf & RWF_NOWAIT) && !f->ops->nowait ? -EOPNOTSUPP : 0;
}

static int write_check(struct file *f, const struct uio *u)
{
    if (!(f->mode & FMODE_WRITE))
        return -EBADF;
    if (!f->ops->write)
        return -EINVAL;
    return uio_range_ok(u) ? 0 : -EFAULT;
}

/* Writing takes set-id bits away, lest a writable set-id program be replaced. */
static void kill_setid(struct task *t, struct inode *i)
{
    if (!t || inode_capable(i, t->cred, CAP_FSETID))
        return;
    uint32_t kill = inode_setid_kill(i, t->cred);
    if (!kill)
        return;
    struct iattr a = {.valid = IATTR_MODE, .mode = i->mode & 07777 & ~kill};
    if (i->ops && i->ops->setattr)
        i->ops->setattr(i, &a);
    else
        inode_setattr_simple(i, &a);
}

/* Limit the uio to size bytes for one operation; the rest is given back. */
static int64_t write_limited(struct file *f, struct uio *u, int64_t pos, uint64_t size)
{
    uint64_t held_back = u->remaining - size;
    u->remaining = size;
    int64_t n = f->ops->write(f, u, pos);
    u->remaining += held_back;
    return n;
}

static int64_t write_regular(struct task *t, struct file *f, struct uio *u, int64_t *pos,
                             bool append)
{
    struct inode *i = f->inode;
    inode_kill_fcaps(i);
    LOCK_GUARD(&i->lock);
    if (append)
        *pos = f->ops->end(f);
    if (*pos < 0)
        return *pos;
    if (!u->remaining)
        return 0;
    int64_t n = vfs_fsize_limit(t, i, *pos, u->remaining);
    if (n < 0)
        return n;
    if (i->mode & (S_ISUID | S_ISGID))
        kill_setid(t, i);
    return write_limited(f, u, *pos, n);
}

static int64_t write_at(struct task *t, struct file *f, struct uio *u, int64_t *pos, unsigned rwf)
{
    unsigned flags = f->flags;
    int64_t n;
    if (f->ops->inode_locked)
        n = write_regular(t, f, u, pos,
                          ((flags & O_APPEND) && !(rwf & RWF_NOAPPEND)) || (rwf & RWF_APPEND));
    else
        n = f->ops->write(f, u, *pos);
    if (n <= 0)
        return n;
    if (((flags & O_DSYNC) || (rwf & (RWF_DSYNC | RWF_SYNC))) && f->ops->fsync) {
        bool data_only = (flags & O_SYNC) != O_SYNC && !(rwf & RWF_SYNC);
        int r = f->ops->fsync(f, data_only);
        if (r)
            return r;
    }
    fsnotify_file(f, IN_MODIFY);
    return n;
}

int64_t vfs_write(struct task *t, struct file *f, struct uio *u)
{
    return vfs_write_flags(t, f, u, 0);
}

int64_t vfs_write_flags(struct task *t, struct file *f, struct uio *u, unsigned rwf)
{
    int r = write_check(f, u);
    if (r)
        return r;
    int64_t pos = -1;
    if (f->ops->stream || f->ops->own_pos)
        return write_at(t, f, u, &pos, rwf);
    lock_acquire(&f->pos_lock);
    pos = f->pos;
    int64_t n = pos_overflows(pos, u) ? -EINVAL : write_at(t, f, u, &pos, rwf);
    if (n > 0)
        f->pos = pos + n;
    lock_release(&f->pos_lock);
    return n;
}

int64_t vfs_pwrite(struct task *t, struct file *f, struct uio *u, int64_t pos, unsigned rwf)
{
    if (pos < 0)
        return -EINVAL;
    if (f->ops->stream)
        return -ESPIPE;
    int r = write_check(f, u);
    if (r)
        return r;
    return pos_overflows(pos, u) ? -EINVAL : write_at(t, f, u, &pos, rwf);
}

/* ---- seeking, polling ---- */

static int64_t seek_size(struct file *f)
{
    struct kstat st;
    int r = inode_getattr(f->inode, &st);
    return r ? r : (int64_t)st.size;
}

/* Without knowledge of holes a file is data up to its end. */
static int64_t seek_data_hole(struct file *f, int64_t off, int whence)
{
    int64_t size = seek_size(f);
    if (size < 0)
        return size;
    if (off < 0 || off >= size)
        return -ENXIO;
    return whence == SEEK_DATA ? off : size;
}

static int64_t seek_target(struct file *f, int64_t off, int whence)
{
    int64_t base = 0;
    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = f->pos;
        break;
    case SEEK_END:
        base = seek_size(f);
        if (base < 0)
            return base;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        return seek_data_hole(f, off, whence);
    default:
        return -EINVAL;
    }
    int64_t to;
    if (__builtin_add_overflow(base, off, &to) || to < 0)
        return -EINVAL;
    return S_ISREG(f->inode->mode) && (uint64_t)to > sb_max_bytes(f->inode->sb) ? -EINVAL : to;
}

int64_t vfs_lseek(struct file *f, int64_t off, int whence)
{
    if (whence < SEEK_SET || whence > SEEK_HOLE)
        return -EINVAL;
    if (f->ops->stream && !f->ops->lseek)
        return -ESPIPE;
    LOCK_GUARD(&f->pos_lock);
    int64_t to = f->ops->lseek ? f->ops->lseek(f, off, whence) : seek_target(f, off, whence);
    if (to >= 0)
        f->pos = to;
    return to;
}

int64_t vfs_lseek_noop(struct file *f, int64_t off, int whence)
{
    return f->pos;
}

int64_t vfs_lseek_generic(struct file *f, int64_t off, int whence)
{
    return seek_target(f, off, whence);
}

unsigned vfs_poll(struct file *f)
{
    if (!f->ops)
        return POLLNVAL;
    if (f->ops->poll)
        return f->ops->poll(f);
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}
