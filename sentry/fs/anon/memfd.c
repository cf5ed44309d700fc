/* memfd_create: a tmpfs file without a name, and its seals. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC        0x10u
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#define MEMFD_NAME_MAX 249
#define LARGEFILE_K    0100000 /* O_LARGEFILE, which our libc has as 0 */

/* ---- files of huge pages, of which there are none ---- */

/* Such a file can be made, sized and sealed; mapping it fails as it does where no huge page has been
 * set aside. */
static int huge_mmap(struct file *f, unsigned prot, unsigned flags, struct mappable **m)
{
    return -ENOMEM;
}

static int64_t huge_read(struct file *f, struct uio *u, int64_t pos)
{
    uint64_t size = __atomic_load_n(&f->inode->size, __ATOMIC_ACQUIRE);
    if ((uint64_t)pos >= size || !u->remaining)
        return 0;
    size_t n = uio_zero_user(u, MIN(u->remaining, size - pos));
    return n ? (int64_t)n : -EFAULT;
}

static const struct file_ops g_huge_ops = {.read = huge_read, .mmap = huge_mmap};

/* 2 MiB (also when none is named) and 1 GiB. */
static int huge_size_check(unsigned flags)
{
    unsigned log2 = flags >> MFD_HUGE_SHIFT & MFD_HUGE_MASK;
    return !log2 || log2 == 21 || log2 == 30 ? 0 : -ENODEV;
}

/* ---- memfd_create ---- */

static int memfd_seal(struct inode *inode, unsigned flags)
{
    if (!(flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)))
        return 0;
    tmpfs_seal_allow(inode);
    return flags & MFD_NOEXEC_SEAL ? tmpfs_seals_add(inode, F_SEAL_EXEC) : 0;
}

/* Flags that are known and go together; what vm.memfd_noexec adds to them. */
static int memfd_flags(unsigned *flags)
{
    unsigned known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
    if (*flags & MFD_HUGETLB)
        known |= MFD_HUGETLB | MFD_HUGE_MASK << MFD_HUGE_SHIFT;
    if (*flags & ~known || (*flags & MFD_EXEC && *flags & MFD_NOEXEC_SEAL))
        return -EINVAL;
    int64_t knob = g_vfs_knobs.memfd_noexec;
    if (!(*flags & (MFD_EXEC | MFD_NOEXEC_SEAL)))
        *flags |= knob ? MFD_NOEXEC_SEAL : MFD_EXEC;
    return knob == 2 && !(*flags & MFD_NOEXEC_SEAL) ? -EACCES : 0;
}

static int memfd_file(struct inode *inode, unsigned flags, const char *name, struct file **out)
{
    int r = memfd_seal(inode, flags);
    if (!r)
        r = file_new_inode(inode, O_RDWR | LARGEFILE_K, name, out);
    if (!r && (flags & MFD_HUGETLB))
        (*out)->ops = &g_huge_ops;
    return r;
}

int memfd_new(struct task *t, const char *name, unsigned flags, struct file **out)
{
    char full[MEMFD_NAME_MAX + 8];
    int r = memfd_flags(&flags);
    if (r)
        return r;
    if (snprintf(full, sizeof(full), "memfd:%s", name) >= (int)sizeof(full))
        return -EINVAL;
    r = flags & MFD_HUGETLB ? huge_size_check(flags) : 0;
    if (r)
        return r;
    struct inode *inode;
    uint32_t mode = flags & MFD_NOEXEC_SEAL ? 0666 : 0777;
    r = tmpfs_new_file(NULL, mode, t->cred->fsuid, t->cred->fsgid, &inode);
    if (r)
        return r;
    r = memfd_file(inode, flags, full, out);
    if (r)
        inode_put(inode);
    return r;
}

/* ---- memfd_secret ---- */

/* Sized once. */
static int secret_setattr(struct inode *i, const struct iattr *a)
{
    if ((a->valid & IATTR_SIZE) && i->size)
        return -EINVAL;
    return tmpfs_setattr(i, a);
}

static int secret_mmap(struct file *f, unsigned prot, unsigned flags, struct mappable **m)
{
    if ((flags & MAP_TYPE) == MAP_PRIVATE)
        return -EINVAL;
    *m = f->inode->mappable;
    return file_mmap_check(f, prot, flags);
}

static const struct inode_ops g_secret_inode_ops = {.setattr = secret_setattr};
static const struct file_ops g_secret_ops = {.mmap = secret_mmap};

int memfd_secret_new(struct task *t, struct file **out)
{
    struct inode *inode;
    int r = tmpfs_new_file(NULL, 0600, t->cred->fsuid, t->cred->fsgid, &inode);
    if (r)
        return r;
    inode->ops = &g_secret_inode_ops;
    r = file_new_inode(inode, O_RDWR | LARGEFILE_K, "secretmem", out);
    if (r)
        inode_put(inode);
    else
        (*out)->ops = &g_secret_ops;
    return r;
}
