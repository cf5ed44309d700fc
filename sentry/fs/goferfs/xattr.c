/* Extended attributes and statfs: the gofer's answers. */
#include "fs/goferfs/goferfs_priv.h"

#include <errno.h>
#include <string.h>

/* The host's labels mean nothing inside, and ls asks for one with every name it shows: only file
 * capabilities are let through. */
static bool is_foreign(const char *name)
{
    return !strncmp(name, "security.", 9) && strcmp(name, "security.capability");
}

int64_t goferfs_getxattr(struct inode *i, const char *name, void *buf, size_t size)
{
    if (is_foreign(name))
        return -ENODATA;
    return gofer_getxattr(gofer_fs_of(i)->g, goferfs_fid(i), name, buf, size);
}

int goferfs_setxattr(struct inode *i, const char *name, const void *value, size_t size, int flags)
{
    int r = gofer_setxattr(gofer_fs_of(i)->g, goferfs_fid(i), name, value, size, flags);
    if (!r)
        goferfs_mark_stale(i);
    return r;
}

int64_t goferfs_listxattr(struct inode *i, char *buf, size_t size)
{
    return gofer_listxattr(gofer_fs_of(i)->g, goferfs_fid(i), buf, size);
}

int goferfs_removexattr(struct inode *i, const char *name)
{
    int r = gofer_removexattr(gofer_fs_of(i)->g, goferfs_fid(i), name);
    if (!r)
        goferfs_mark_stale(i);
    return r;
}

int goferfs_statfs(struct inode *i, struct statfs *out)
{
    struct goferp_statfs_rep s;
    int r = gofer_statfs(gofer_fs_of(i)->g, goferfs_fid(i), &s);
    if (r)
        return r;
    *out = (struct statfs){
        .f_type = s.type,
        .f_bsize = s.bsize,
        .f_blocks = s.blocks,
        .f_bfree = s.bfree,
        .f_bavail = s.bavail,
        .f_files = s.files,
        .f_ffree = s.ffree,
        .f_namelen = s.namelen,
        .f_frsize = s.frsize,
    };
    return 0;
}
