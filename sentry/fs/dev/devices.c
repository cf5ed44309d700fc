/* Character devices by number: memory devices, random numbers, /dev/tty and /dev/console. */
#include "base/host.h"
#include "base/overflow.h"
#include "fs/tty_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <linux/random.h>

/* ---- null, zero, full ---- */

static int64_t null_read(struct file *f, struct uio *u, int64_t pos)
{
    return 0;
}

static int64_t null_write(struct file *f, struct uio *u, int64_t pos)
{
    int64_t n = u->remaining;
    uio_advance(u, n);
    return n;
}

static int64_t zero_read(struct file *f, struct uio *u, int64_t pos)
{
    if (!u->remaining)
        return 0;
    size_t n = uio_zero_user(u, u->remaining);
    return n ? (int64_t)n : -EFAULT;
}

static int64_t full_write(struct file *f, struct uio *u, int64_t pos)
{
    return -ENOSPC;
}

/* Every seek succeeds and leads to the start, as Linux's null_lseek. */
static int64_t null_lseek(struct file *f, int64_t off, int whence)
{
    f->pos = 0;
    return 0;
}

/* Mapped, /dev/zero is anonymous memory, shared or not: that is what no mappable means to mm. */
static int zero_mmap(struct file *f, unsigned prot, unsigned flags, struct mappable **m)
{
    *m = NULL;
    return 0;
}

/* ---- random ---- */

static int64_t random_read(struct file *f, struct uio *u, int64_t pos)
{
    char buf[1024];
    int64_t done = 0;
    while (u->remaining) {
        size_t want = MIN(u->remaining, (uint64_t)sizeof(buf));
        int r = host_getrandom(buf, want);
        size_t n = r ? 0 : uio_to_user(u, buf, want);
        done += n;
        if (n < want)
            return done ? done : r ? r : -EFAULT;
        struct task *t = task_current();
        if (done >= 1 << 20 && t && signal_pending(t))
            break; /* Linux looks at signals between pages too */
    }
    return done;
}

/* What is written is mixed into nothing, but it must be there. */
static int64_t random_write(struct file *f, struct uio *u, int64_t pos)
{
    char buf[1024];
    int64_t done = 0;
    while (u->remaining) {
        size_t want = MIN(u->remaining, (uint64_t)sizeof(buf));
        size_t n = uio_from_user(u, buf, want);
        done += n;
        if (n < want)
            return done ? done : -EFAULT;
    }
    return done;
}

static int64_t random_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    int bits = 256;
    switch (cmd) {
    case RNDGETENTCNT:
        return uaccess_write_obj(t->mm, uaddr(arg), &bits);
    case RNDADDTOENTCNT:
    case RNDADDENTROPY:
    case RNDZAPENTCNT:
    case RNDCLEARPOOL:
    case RNDRESEEDCRNG:
        return cred_has_cap(t->cred, CAP_SYS_ADMIN) ? 0 : -EPERM;
    default:
        return -EINVAL;
    }
}

/* The launcher's /dev/null has no path inside. */
static int null_fdname(struct file *f, char *buf, size_t size)
{
    return f->path.mnt ? -ENOENT : snprintf(buf, size, "/dev/null");
}

/* No .stream on any of these: pread and lseek are allowed, and answer the same. */
static const struct file_ops g_null_ops = {
    .read = null_read, .write = null_write, .lseek = null_lseek, .fdname = null_fdname,
    .nowait = true, .no_splice_read = true};
static const struct file_ops g_zero_ops = {
    .read = zero_read, .write = null_write, .lseek = null_lseek, .mmap = zero_mmap,
    .nowait = true};
static const struct file_ops g_full_ops = {
    .read = zero_read, .write = full_write, .lseek = null_lseek, .no_splice_write = true};
static const struct file_ops g_random_ops = {
    .read = random_read, .write = random_write, .lseek = null_lseek, .ioctl = random_ioctl,
    .nowait = true};
extern const struct file_ops g_kmsg_ops; /* kmsg.c */

static const struct {
    unsigned minor;
    const struct file_ops *ops;
} g_mem_devices[] = {
    {3, &g_null_ops},   {5, &g_zero_ops},   {7, &g_full_ops},
    {8, &g_random_ops}, {9, &g_random_ops}, {11, &g_kmsg_ops},
};

static int mem_open(unsigned minor_no, struct file *f)
{
    for (size_t i = 0; i < ARRAY_COUNT(g_mem_devices); i++) {
        if (g_mem_devices[i].minor != minor_no)
            continue;
        f->ops = g_mem_devices[i].ops;
        return 0;
    }
    return -ENXIO;
}

/* ---- terminals ---- */

static int controlling_open(struct file *f)
{
    struct task *t = task_current();
    struct tty *tty = t ? tty_of_task(t) : NULL;
    if (!tty)
        return -ENXIO;
    int r = tty->driver->open(tty, f);
    tty_put(tty);
    return r;
}

static int console_open(struct file *f)
{
    struct tty *tty = hostfile_console();
    if (!tty)
        return mem_open(3, f); /* nobody looks: as null */
    int r = tty->driver->open(tty, f);
    tty_put(tty);
    return r;
}

static int pts_open(unsigned index, struct file *f)
{
    struct tty *tty = devpts_lookup(index);
    if (!tty)
        return -EIO;
    int r = tty->driver->open(tty, f);
    struct task *t = task_current();
    if (!r && t && !(f->flags & O_NOCTTY))
        tty_open_acquire(tty, t);
    tty_put(tty);
    return r;
}

static int tty_dev_open(unsigned minor_no, struct file *f)
{
    switch (minor_no) {
    case 0:
        return controlling_open(f);
    case 1:
        return console_open(f);
    case 2:
        return devpts_ptmx_open(f);
    default:
        return -ENXIO;
    }
}

int dev_open(struct inode *inode, struct file *f)
{
    if (!S_ISCHR(inode->mode))
        return -ENXIO;
    switch (major(inode->rdev)) {
    case 1:
        return mem_open(minor(inode->rdev), f);
    case 5:
        return tty_dev_open(minor(inode->rdev), f);
    case 136:
        return pts_open(minor(inode->rdev), f);
    default:
        return -ENXIO;
    }
}
