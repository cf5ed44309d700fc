/* memfd_create: a tmpfs file without a name, and its seals. */
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

static int memfd_seal(struct inode *inode, unsigned flags)
{
    if (!(flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)))
        return 0;
    tmpfs_seal_allow(inode);
    return flags & MFD_NOEXEC_SEAL ? tmpfs_seals_add(inode, F_SEAL_EXEC) : 0;
}

int memfd_new(struct task *t, const char *name, unsigned flags, struct file **out)
{
    char full[MEMFD_NAME_MAX + 8];
    const unsigned known =
        MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC; /* no huge pages */
    if (flags & ~known || (flags & MFD_EXEC && flags & MFD_NOEXEC_SEAL))
        return -EINVAL;
    if (snprintf(full, sizeof(full), "memfd:%s", name) >= (int)sizeof(full))
        return -EINVAL;
    struct inode *inode;
    uint32_t mode = flags & MFD_NOEXEC_SEAL ? 0666 : 0777;
    int r = tmpfs_new_file(NULL, mode, t->cred->fsuid, t->cred->fsgid, &inode);
    if (r)
        return r;
    r = memfd_seal(inode, flags);
    if (!r)
        r = file_new_inode(inode, O_RDWR | O_LARGEFILE, full, out);
    if (r)
        inode_put(inode);
    return r;
}
