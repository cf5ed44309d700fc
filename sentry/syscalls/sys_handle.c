/* name_to_handle_at, open_by_handle_at. */
#include "syscalls/sys_fs.h"

#include <fcntl.h>

#define MAX_HANDLE_SIZE 128u
#define AT_HANDLE_FID_K 0x200
#define AT_MNT_ID_UNIQUE_K 0x001

static int mount_id_export(struct task *t, const struct path *p, unsigned flags, struct uaddr out)
{
    uint64_t wide = p->mnt ? p->mnt->id : 0;
    int narrow = wide;
    return flags & AT_MNT_ID_UNIQUE_K ? uaccess_write_obj(t->mm, out, &wide)
                                      : uaccess_write_obj(t->mm, out, &narrow);
}

/* Too small a buffer is told the size it should have. */
static int64_t handle_export(struct task *t, const struct path *p, struct dentry *d, unsigned flags,
                             const struct sysargs *a)
{
    struct file_handle_k h;
    uint32_t room;
    int r = handle_possible(d->sb) ? 0 : -EOPNOTSUPP;
    if (!r)
        r = uaccess_read_obj(t->mm, &room, uaddr(a->v[2]));
    if (!r && room > MAX_HANDLE_SIZE)
        r = -EINVAL;
    if (!r)
        r = inode_keep(d->inode);
    if (!r)
        r = handle_make(d, &h);
    if (!r)
        r = mount_id_export(t, p, flags, uaddr(a->v[3]));
    if (r)
        return r;
    bool fits = room >= h.bytes;
    size_t size = fits ? HANDLE_HEAD + h.bytes : HANDLE_HEAD;
    r = uaccess_write(t->mm, uaddr(a->v[2]), &h, size);
    return r ? r : fits ? 0 : -EOVERFLOW;
}

int64_t sys_name_to_handle_at(struct task *t, const struct sysargs *a)
{
    SYS_PATH p = {NULL, NULL};
    SYS_FILE f = NULL;
    unsigned flags = a->v[4];
    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID_K | AT_MNT_ID_UNIQUE_K))
        return -EINVAL;
    int r = sys_path_at(t, a->v[0], uaddr(a->v[1]), flags & AT_EMPTY_PATH,
                        flags & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0, &p, &f);
    if (r)
        return r;
    return p.dentry && p.mnt ? handle_export(t, &p, p.dentry, flags, a) : -EOPNOTSUPP;
}

static int handle_import(struct task *t, struct uaddr ua, struct file_handle_k *h)
{
    *h = (struct file_handle_k){0};
    int r = uaccess_read(t->mm, h, ua, HANDLE_HEAD);
    if (r)
        return r;
    return !h->bytes || h->bytes > MAX_HANDLE_SIZE || h->type < 0 ? -EINVAL : 0;
}

/* A descriptor of something on the filesystem, or AT_FDCWD. */
static int anchor_find(struct task *t, int fd, struct path *out)
{
    if (fd == AT_FDCWD) {
        fs_struct_cwd(t->fs, out);
        return 0;
    }
    SYS_FILE f = fdtable_get(t->fds, fd);
    if (!f)
        return -EBADF;
    *out = f->path;
    path_get(out);
    return out->mnt ? 0 : -ESTALE;
}

int64_t sys_open_by_handle_at(struct task *t, const struct sysargs *a)
{
    SYS_PATH at = {NULL, NULL};
    struct file_handle_k h;
    struct file *f;
    unsigned flags = a->v[2];
    int r = handle_import(t, uaddr(a->v[1]), &h);
    if (!r)
        r = anchor_find(t, a->v[0], &at);
    if (!r && !cred_has_cap(t->cred, CAP_DAC_READ_SEARCH))
        r = -EPERM;
    if (!r)
        r = uaccess_read(t->mm, &h.ino, (struct uaddr){uaddr(a->v[1]).v + HANDLE_HEAD},
                         h.bytes < HANDLE_BYTES ? h.bytes : HANDLE_BYTES);
    struct path p = {at.mnt, NULL};
    if (!r)
        r = handle_open(at.mnt->sb, &h, &p.dentry);
    if (r)
        return r;
    r = vfs_open_path(t, &p, flags & ~(O_CREAT | O_EXCL), &f);
    dentry_put(p.dentry);
    if (r)
        return r;
    int fd = fdtable_install(t, f, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}
