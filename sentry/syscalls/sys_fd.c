/* Descriptors: dup, fcntl, flock, and the ioctls that every file answers. */
#include "base/overflow.h"
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define F_DUPFD_QUERY_K   1027 /* younger than our libc */
#define F_CREATED_QUERY_K 1028

/* ---- dup ---- */

static int64_t dup_from(struct task *t, int fd, int min, bool cloexec)
{
    struct file *f = fdtable_get(t->fds, fd);
    if (!f)
        return -EBADF;
    int r = fdtable_install(t, f, min, cloexec);
    if (r < 0)
        file_put(f);
    return r;
}

int64_t sys_dup(struct task *t, const struct sysargs *a)
{
    return dup_from(t, a->v[0], 0, false);
}

static int64_t dup_to(struct task *t, int from, int to, bool cloexec)
{
    struct file *f = fdtable_get(t->fds, from);
    if (!f)
        return -EBADF;
    int r = fdtable_replace(t, to, f, cloexec);
    if (r < 0)
        file_put(f);
    return r;
}

int64_t sys_dup2(struct task *t, const struct sysargs *a)
{
    bool cloexec;
    if ((int)a->v[0] == (int)a->v[1])
        return fdtable_flags(t->fds, a->v[0], &cloexec) ? -EBADF : (int)a->v[0];
    return dup_to(t, a->v[0], a->v[1], false);
}

int64_t sys_dup3(struct task *t, const struct sysargs *a)
{
    if ((a->v[2] & ~(uint64_t)O_CLOEXEC) || (int)a->v[0] == (int)a->v[1])
        return -EINVAL;
    return dup_to(t, a->v[0], a->v[1], a->v[2] & O_CLOEXEC);
}

/* ---- record locks ---- */

struct flock_abi { /* struct flock of x86-64 */
    int16_t type, whence;
    int64_t start, size;
    int32_t pid;
};

static int64_t flock_base(struct file *f, int whence, int64_t *base)
{
    struct kstat st;
    int r;
    switch (whence) {
    case SEEK_SET:
        *base = 0;
        return 0;
    case SEEK_CUR:
        lock_acquire(&f->pos_lock);
        *base = f->pos;
        lock_release(&f->pos_lock);
        return 0;
    case SEEK_END:
        r = inode_getattr(f->inode, &st);
        *base = r ? 0 : st.size;
        return r;
    }
    return -EINVAL;
}

static int flock_decode(struct file *f, const struct flock_abi *in, struct flock_k *l)
{
    int64_t base, start, end;
    int r = flock_base(f, in->whence, &base);
    if (r)
        return r;
    if (__builtin_add_overflow(base, in->start, &start))
        return -EOVERFLOW;
    if (start < 0)
        return -EINVAL;
    if (in->size > 0) {
        if (__builtin_add_overflow(start, in->size - 1, &end))
            return -EOVERFLOW;
    } else if (in->size < 0) {
        end = start - 1;
        if (__builtin_add_overflow(start, in->size, &start) || start < 0)
            return -EINVAL;
    } else {
        end = INT64_MAX;
    }
    if (in->type != F_RDLCK && in->type != F_WRLCK && in->type != F_UNLCK)
        return -EINVAL;
    l->type = in->type;
    l->start = start;
    l->end = end;
    return 0;
}

static int64_t lock_get(struct task *t, struct file *f, struct uaddr ua, struct flock_abi *in,
                        struct flock_k *l)
{
    if (in->type == F_UNLCK)
        return -EINVAL;
    int r = locks_posix_get(f, l);
    if (r)
        return r;
    in->type = l->type;
    if (l->type != F_UNLCK) {
        in->whence = SEEK_SET;
        in->start = l->start;
        in->size = l->end == INT64_MAX ? 0 : l->end - l->start + 1;
        in->pid = task_sees_id(t, l->pid);
    }
    return uaccess_write_obj(t->mm, ua, in);
}

static int64_t fcntl_lock(struct task *t, int fd, struct file *f, int cmd, struct uaddr ua)
{
    struct flock_abi in;
    struct flock_k l = {.owner = t->fds, .pid = t->process->pid};
    int r = uaccess_read_obj(t->mm, &in, ua);
    if (!r)
        r = flock_decode(f, &in, &l);
    if (r)
        return r;
    if (cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW) {
        if (in.pid)
            return -EINVAL;
        l.owner = f;
        l.pid = -1;
    }
    if (cmd == F_GETLK || cmd == F_OFD_GETLK)
        return lock_get(t, f, ua, &in, &l);
    if ((in.type == F_RDLCK && !(f->mode & FMODE_READ)) ||
        (in.type == F_WRLCK && !(f->mode & FMODE_WRITE)))
        return -EBADF;
    r = locks_posix_set(t, f, &l, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
    if (r || in.type == F_UNLCK || l.owner == f)
        return r;
    /* The descriptor may have been closed while we waited: then the lock must be gone too. */
    struct file *again = fdtable_get(t->fds, fd);
    if (again != f) {
        l.type = F_UNLCK;
        locks_posix_set(t, f, &l, /*wait=*/false);
        r = -EBADF;
    }
    if (again)
        file_put(again);
    return r;
}

int64_t sys_flock(struct task *t, const struct sysargs *a)
{
    unsigned op = a->v[1], kind = op & ~(unsigned)LOCK_NB;
    if (op & LOCK_MAND)
        return 0; /* what is left of it since Linux 5.17 */
    if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN)
        return -EINVAL;
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f || (kind != LOCK_UN && !(f->mode & (FMODE_READ | FMODE_WRITE))))
        return -EBADF;
    return locks_flock(t, f, op);
}

/* ---- owners of SIGIO ---- */

struct owner_ex {
    int type, pid;
};

/* Any number that a task, process or group bears will do, whatever the type says: as Linux. */
static bool owner_exists(struct task *t, int nr)
{
    struct task *task = nr > 0 ? task_lookup(nr) : NULL;
    if (task) {
        task_put(task);
        return true;
    }
    return nr > 0 && signal_send_pgrp(task_means_id(t, nr), 0, NULL) == 0;
}

/* Whom the caller may not signal, the file may not either: such an owner gets nothing. -ESRCH: there
 * is no such process or thread; *ok otherwise. */
static int owner_check(struct task *t, int type, int pid, bool *ok)
{
    *ok = true;
    if (pid && !owner_exists(t, pid))
        return -ESRCH;
    struct task *thread = pid && type != F_OWNER_PGRP ? task_lookup(pid) : NULL;
    if (!thread)
        return 0;
    *ok = !signal_may_send(t, thread->process, SIGIO);
    task_put(thread);
    return 0;
}

static int64_t owner_set(struct task *t, int fd, struct file *f, int type, int pid)
{
    bool ok;
    if (type < F_OWNER_TID || type > F_OWNER_PGRP)
        return -EINVAL;
    int r = owner_check(t, type, pid, &ok);
    if (r)
        return r;
    int id = task_means_id(t, pid);
    LOCK_GUARD(&f->lock);
    f->async_owner = ok && id != PID_NOBODY ? id : 0;
    f->async_owner_type = type;
    f->async_fd = fd;
    f->async_uid = t->cred->uid;
    f->async_euid = t->cred->euid;
    return 0;
}

static int64_t fcntl_setown(struct task *t, int fd, struct file *f, int64_t arg)
{
    int who = arg;
    if (who == INT32_MIN)
        return -EINVAL;
    return owner_set(t, fd, f, who < 0 ? F_OWNER_PGRP : F_OWNER_PID, who < 0 ? -who : who);
}

static int64_t fcntl_getown(struct task *t, struct file *f)
{
    lock_acquire(&f->lock);
    int id = f->async_owner, type = f->async_owner_type;
    lock_release(&f->lock);
    int nr = task_sees_id(t, id);
    return type == F_OWNER_PGRP ? -nr : nr;
}

static int64_t fcntl_owner_ex(struct task *t, int fd, struct file *f, int cmd, struct uaddr ua)
{
    struct owner_ex o;
    if (cmd == F_SETOWN_EX) {
        int r = uaccess_read_obj(t->mm, &o, ua);
        return r ? r : owner_set(t, fd, f, o.type, o.pid);
    }
    lock_acquire(&f->lock);
    o = (struct owner_ex){f->async_owner_type, f->async_owner};
    lock_release(&f->lock);
    o.pid = task_sees_id(t, o.pid);
    return uaccess_write_obj(t->mm, ua, &o);
}

#define F_GETOWNER_UIDS_K 17 /* for checkpointing: who named the owner */

static int64_t fcntl_owner_uids(struct task *t, struct file *f, struct uaddr ua)
{
    lock_acquire(&f->lock);
    uint32_t ids[2] = {f->async_uid, f->async_euid};
    lock_release(&f->lock);
    return uaccess_write_obj(t->mm, ua, &ids);
}

static int64_t fcntl_setsig(struct file *f, int64_t sig)
{
    if (sig < 0 || sig > SIG_COUNT)
        return -EINVAL;
    LOCK_GUARD(&f->lock);
    f->async_sig = sig;
    return 0;
}

/* ---- flags ---- */

/* Files of real filesystems, where it changes nothing, and pipes, where it means packets. */
static bool direct_possible(struct file *f)
{
    return S_ISFIFO(f->inode->mode) ||
           (S_ISREG(f->inode->mode) && f->path.mnt && f->ops->fallocate);
}

static int64_t fcntl_setfl(struct task *t, struct file *f, unsigned flags)
{
    unsigned can = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;
    if (fasync_possible(f))
        can |= O_ASYNC;
    if ((flags & O_NOATIME) && !(f->flags & O_NOATIME) &&
        !inode_owner_or_capable(f->inode, t->cred))
        return -EPERM;
    if (((flags ^ f->flags) & O_APPEND) && inode_has_flags(f->inode, FS_APPEND_FL))
        return -EPERM;
    if ((flags & O_DIRECT) && !direct_possible(f))
        return -EINVAL;
    if ((flags ^ f->flags) & can & O_ASYNC) {
        int r = fasync_set(f, flags & O_ASYNC);
        if (r)
            return r;
    }
    LOCK_GUARD(&f->lock);
    __atomic_store_n(&f->flags, (f->flags & ~can) | (flags & can), __ATOMIC_RELEASE);
    return 0;
}

static int64_t fcntl_getfl(struct file *f)
{
    return f->flags;
}

static int64_t fcntl_rw_hint(struct task *t, struct file *f, int cmd, uint64_t arg)
{
    uint64_t hint = __atomic_load_n(&f->inode->rw_hint, __ATOMIC_RELAXED);
    if (cmd == F_GET_RW_HINT)
        return uaccess_write_obj(t->mm, uaddr(arg), &hint);
    if (!inode_owner_or_capable(f->inode, t->cred))
        return -EPERM;
    int r = uaccess_read_obj(t->mm, &hint, uaddr(arg));
    if (!r && hint > RWH_WRITE_LIFE_EXTREME)
        r = -EINVAL;
    if (!r)
        __atomic_store_n(&f->inode->rw_hint, hint, __ATOMIC_RELAXED);
    return r;
}

static int64_t fcntl_seals(struct file *f, int cmd, uint64_t arg)
{
    if (cmd == F_GET_SEALS)
        return tmpfs_seals_get(f->inode);
    if (!(f->mode & FMODE_WRITE))
        return -EPERM;
    return arg >> 32 ? -EINVAL : tmpfs_seals_add(f->inode, arg);
}

/* ---- questions ---- */

static int64_t fcntl_dup_query(struct task *t, struct file *f, int other)
{
    SYS_FILE f2 = fdtable_get(t->fds, other);
    return f2 ? f2 == f : -EBADF;
}

/* Commands that work on O_PATH descriptors too. */
static bool fcntl_any(struct task *t, int fd, struct file *f, int cmd, uint64_t arg, int64_t *r)
{
    bool cloexec = false;
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        if (arg >= rlimit_get(t->process, RLIMIT_NOFILE) || (int)arg < 0)
            *r = -EINVAL;
        else
            *r = dup_from(t, fd, arg, cmd == F_DUPFD_CLOEXEC);
        return true;
    case F_GETFD:
        *r = fdtable_flags(t->fds, fd, &cloexec);
        if (!*r)
            *r = cloexec ? FD_CLOEXEC : 0;
        return true;
    case F_SETFD:
        *r = fdtable_set_flags(t->fds, fd, arg & FD_CLOEXEC);
        return true;
    case F_GETFL:
        *r = fcntl_getfl(f);
        return true;
    case F_DUPFD_QUERY_K:
        *r = fcntl_dup_query(t, f, arg);
        return true;
    case F_CREATED_QUERY_K:
        *r = (f->mode & FMODE_CREATED) != 0;
        return true;
    }
    return false;
}

static int64_t fcntl_io(struct task *t, int fd, struct file *f, int cmd, uint64_t arg)
{
    switch (cmd) {
    case F_SETFL:
        return fcntl_setfl(t, f, arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return fcntl_lock(t, fd, f, cmd, uaddr(arg));
    case F_SETOWN:
        return fcntl_setown(t, fd, f, arg);
    case F_GETOWN:
        return fcntl_getown(t, f);
    case F_SETOWN_EX:
    case F_GETOWN_EX:
        return fcntl_owner_ex(t, fd, f, cmd, uaddr(arg));
    case F_GETOWNER_UIDS_K:
        return fcntl_owner_uids(t, f, uaddr(arg));
    case F_SETSIG:
        return fcntl_setsig(f, arg);
    case F_GETSIG:
        return f->async_sig;
    case F_GET_RW_HINT:
    case F_SET_RW_HINT:
        return fcntl_rw_hint(t, f, cmd, arg);
    case F_SETLEASE:
        return lease_set(t, f, fd, (int)arg);
    case F_GETLEASE:
        return lease_get(f);
    case F_NOTIFY:
        return dnotify_set(t, f, fd, arg);
    case F_GETPIPE_SZ:
        return pipe_size_get(f);
    case F_SETPIPE_SZ:
        return pipe_size_set(f, t, (unsigned)arg);
    case F_ADD_SEALS:
    case F_GET_SEALS:
        return fcntl_seals(f, cmd, arg);
    }
    return -EINVAL;
}

int64_t sys_fcntl(struct task *t, const struct sysargs *a)
{
    int64_t r;
    SYS_FILE f = fdtable_get(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    if (fcntl_any(t, a->v[0], f, (int)a->v[1], a->v[2], &r))
        return r;
    if (f->mode & FMODE_PATH)
        return -EBADF;
    return fcntl_io(t, a->v[0], f, (int)a->v[1], a->v[2]);
}

/* ---- ioctl ---- */

static int64_t ioctl_set_flag(struct task *t, struct file *f, unsigned flag, uint64_t arg)
{
    int on;
    int r = uaccess_read_obj(t->mm, &on, uaddr(arg));
    if (!r && flag == O_ASYNC && !on == !(f->flags & O_ASYNC))
        return 0;
    if (!r && flag == O_ASYNC)
        r = fasync_possible(f) ? fasync_set(f, on) : -ENOTTY;
    if (r)
        return r;
    LOCK_GUARD(&f->lock);
    __atomic_store_n(&f->flags, on ? f->flags | flag : f->flags & ~flag, __ATOMIC_RELEASE);
    return 0;
}

/* FICLONE and its kin: no filesystem here shares extents. */
static int64_t ioctl_clone(struct task *t, struct file *f, int from)
{
    SYS_FILE source = fdtable_get_io(t->fds, from);
    if (!source)
        return -EBADF;
    return source->path.mnt != f->path.mnt ? -EXDEV : -EOPNOTSUPP;
}

/* What filesystems without extents, block maps and freezing answer. */
static int64_t ioctl_unsupported(struct task *t, struct file *f, unsigned cmd, uint64_t arg)
{
    struct file_clone_range range;
    int r;
    switch (cmd) {
    case FS_IOC_FIEMAP:
    case FIDEDUPERANGE:
        return -EOPNOTSUPP;
    case FICLONE:
        return ioctl_clone(t, f, arg);
    case FICLONERANGE:
        r = uaccess_read_obj(t->mm, &range, uaddr(arg));
        return r ? r : ioctl_clone(t, f, range.src_fd);
    case FIFREEZE:
        return cred_has_cap(t->cred, CAP_SYS_ADMIN) ? -EOPNOTSUPP : -EPERM;
    case FITHAW:
        return cred_has_cap(t->cred, CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
    case FIBMAP:
        return !S_ISREG(f->inode->mode)               ? -ENOTTY
               : cred_has_cap(t->cred, CAP_SYS_RAWIO) ? -EINVAL
                                                      : -EPERM;
    }
    return -ENOTTY;
}

static int64_t ioctl_unread(struct file *f, const struct kstat *st)
{
    LOCK_GUARD(&f->pos_lock);
    int64_t n = (int64_t)st->size - f->pos;
    return MIN((int64_t)INT32_MAX, MAX(n, (int64_t)INT32_MIN));
}

static int64_t ioctl_regular(struct task *t, struct file *f, unsigned cmd, uint64_t arg)
{
    struct kstat st;
    if (cmd != FIONREAD && cmd != FIOQSIZE)
        return ioctl_unsupported(t, f, cmd, arg);
    if (cmd == FIONREAD && !S_ISREG(f->inode->mode))
        return -ENOTTY;
    int r = inode_getattr(f->inode, &st);
    if (r)
        return r;
    if (cmd == FIOQSIZE) {
        int64_t size = st.blocks * 512;
        return uaccess_write_obj(t->mm, uaddr(arg), &size);
    }
    int value = ioctl_unread(f, &st);
    return uaccess_write_obj(t->mm, uaddr(arg), &value);
}

static int64_t ioctl_block_size(struct task *t, struct file *f, uint64_t arg)
{
    struct kstat st;
    int r = inode_getattr(f->inode, &st);
    int value = r ? 0 : st.blksize;
    return r ? r : uaccess_write_obj(t->mm, uaddr(arg), &value);
}

int64_t sys_ioctl(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    unsigned cmd = a->v[1];
    if (!f)
        return -EBADF;
    switch (cmd) {
    case FIOCLEX:
    case FIONCLEX:
        return fdtable_set_flags(t->fds, a->v[0], cmd == FIOCLEX);
    case FIONBIO:
        return ioctl_set_flag(t, f, O_NONBLOCK, a->v[2]);
    case FIOASYNC:
        return ioctl_set_flag(t, f, O_ASYNC, a->v[2]);
    case FIGETBSZ:
        return ioctl_block_size(t, f, a->v[2]);
    }
    if (_IOC_TYPE(cmd) == 'f' || _IOC_TYPE(cmd) == 'X') {
        int64_t r = fileattr_ioctl(t, f, cmd, a->v[2]);
        if (r != -ENOTTY)
            return r;
    }
    if (f->ops->ioctl)
        return f->ops->ioctl(f, t, cmd, a->v[2]);
    if (S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode))
        return ioctl_regular(t, f, cmd, a->v[2]);
    return -ENOTTY;
}
