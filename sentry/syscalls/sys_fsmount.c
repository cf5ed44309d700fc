/* The mount calls of Linux 5.2 and later. */
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#define MOVE_MOUNT_BENEATH_K 0x200 /* younger than our libc */
#define MOVE_MOUNT_KNOWN                                                                           \
    (MOVE_MOUNT_F_SYMLINKS | MOVE_MOUNT_F_AUTOMOUNTS | MOVE_MOUNT_F_EMPTY_PATH |                   \
     MOVE_MOUNT_T_SYMLINKS | MOVE_MOUNT_T_AUTOMOUNTS | MOVE_MOUNT_T_EMPTY_PATH |                   \
     MOVE_MOUNT_SET_GROUP | MOVE_MOUNT_BENEATH_K)
#define ATTR_SIMPLE                                                                                \
    (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |                \
     MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW)

static bool may_mount(struct task *t)
{
    return cred_capable(t->cred, t->mount_ns->ns.owner, CAP_SYS_ADMIN);
}

/* A file of ours (consumed) becomes a descriptor. */
static int64_t install(struct task *t, int r, struct file *f, bool cloexec)
{
    if (r)
        return r;
    int fd = fdtable_install(t, f, 0, cloexec);
    if (fd < 0)
        file_put(f);
    return fd;
}

/* A path by descriptor and name; an empty name with empty_ok means the descriptor itself. */
static int path_of(struct task *t, uint64_t dirfd, uint64_t name, bool empty_ok, bool follow,
                   struct path *out)
{
    SYS_FILE f = NULL;
    int r = sys_path_at(t, (int)dirfd, uaddr(name), empty_ok, follow ? WALK_FOLLOW : 0, out, &f);
    if (r || out->mnt)
        return r;
    path_put(out);
    return -EINVAL; /* a file without a place */
}

int64_t sys_open_tree(struct task *t, const struct sysargs *a)
{
    unsigned flags = a->v[2];
    bool clone = flags & OPEN_TREE_CLONE;
    SYS_PATH p = {NULL, NULL};
    struct file *f = NULL;
    if (flags & ~(AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW |
                  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC))
        return -EINVAL;
    if ((flags & AT_RECURSIVE) && !clone)
        return -EINVAL;
    if (clone && !may_mount(t))
        return -EPERM;
    int r = path_of(t, a->v[0], a->v[1], flags & AT_EMPTY_PATH, !(flags & AT_SYMLINK_NOFOLLOW), &p);
    if (!r)
        r = mount_open_tree(t, &p, clone, flags & AT_RECURSIVE, &f);
    return install(t, r, f, flags & OPEN_TREE_CLOEXEC);
}

int64_t sys_move_mount(struct task *t, const struct sysargs *a)
{
    unsigned flags = a->v[4];
    SYS_PATH from = {NULL, NULL};
    SYS_PATH to = {NULL, NULL};
    if (!may_mount(t))
        return -EPERM;
    if (flags & ~MOVE_MOUNT_KNOWN || (flags & (MOVE_MOUNT_BENEATH_K | MOVE_MOUNT_SET_GROUP)) ==
                                         (MOVE_MOUNT_BENEATH_K | MOVE_MOUNT_SET_GROUP))
        return -EINVAL;
    int r = path_of(t, a->v[2], a->v[3], flags & MOVE_MOUNT_T_EMPTY_PATH,
                    flags & MOVE_MOUNT_T_SYMLINKS, &to);
    if (!r)
        r = path_of(t, a->v[0], a->v[1], flags & MOVE_MOUNT_F_EMPTY_PATH,
                    flags & MOVE_MOUNT_F_SYMLINKS, &from);
    if (r)
        return r;
    return flags & MOVE_MOUNT_SET_GROUP ? mount_set_group(t, &from, &to)
                                        : mount_move(t, &from, &to, flags & MOVE_MOUNT_BENEATH_K);
}

int64_t sys_fsopen(struct task *t, const struct sysargs *a)
{
    SYS_STR name = NULL;
    struct file *f = NULL;
    if (!may_mount(t))
        return -EPERM;
    if (a->v[1] & ~(uint64_t)FSOPEN_CLOEXEC)
        return -EINVAL;
    int r = vfs_path_import(t, uaddr(a->v[0]), /*empty_ok=*/true, &name);
    if (!r)
        r = fscontext_open(t, name, &f);
    return install(t, r == -ENAMETOOLONG ? -EINVAL : r, f, a->v[1] & FSOPEN_CLOEXEC);
}

int64_t sys_fspick(struct task *t, const struct sysargs *a)
{
    unsigned flags = a->v[2];
    SYS_PATH p = {NULL, NULL};
    struct file *f = NULL;
    if (!may_mount(t))
        return -EPERM;
    if (flags &
        ~(FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT | FSPICK_EMPTY_PATH))
        return -EINVAL;
    int r = path_of(t, a->v[0], a->v[1], flags & FSPICK_EMPTY_PATH,
                    !(flags & FSPICK_SYMLINK_NOFOLLOW), &p);
    if (!r)
        r = fscontext_pick(t, &p, &f);
    return install(t, r, f, flags & FSPICK_CLOEXEC);
}

/* ---- fsconfig ---- */

static int config_check(unsigned cmd, bool key, bool value, int aux)
{
    bool ok;
    switch (cmd) {
    case FSCONFIG_SET_FLAG:
        ok = key && !value && !aux;
        break;
    case FSCONFIG_SET_STRING:
        ok = key && value && !aux;
        break;
    case FSCONFIG_SET_BINARY:
        ok = key && value && aux > 0 && aux <= 1024 * 1024;
        break;
    case FSCONFIG_SET_PATH:
    case FSCONFIG_SET_PATH_EMPTY:
        ok = key && value && (aux == AT_FDCWD || aux >= 0);
        break;
    case FSCONFIG_SET_FD:
        ok = key && !value && aux >= 0;
        break;
    case FSCONFIG_CMD_CREATE:
    case FSCONFIG_CMD_RECONFIGURE:
    case 8: /* FSCONFIG_CMD_CREATE_EXCL */
        ok = !key && !value && !aux;
        break;
    default:
        return -EOPNOTSUPP;
    }
    return ok ? 0 : -EINVAL;
}

/* At most 255 bytes, as Linux bounds keys and values. */
static int short_string(struct task *t, uint64_t ua, char **out)
{
    int r = vfs_path_import(t, uaddr(ua), /*empty_ok=*/true, out);
    if (!r && strlen(*out) > 255)
        r = -EINVAL;
    return r == -ENAMETOOLONG ? -EINVAL : r;
}

int64_t sys_fsconfig(struct task *t, const struct sysargs *a)
{
    unsigned cmd = a->v[1];
    SYS_STR key = NULL;
    SYS_STR value = NULL;
    if ((int)a->v[0] < 0)
        return -EINVAL;
    int r = config_check(cmd, a->v[2], a->v[3], (int)a->v[4]);
    if (r)
        return r;
    SYS_FILE f = fdtable_get(t->fds, (int)a->v[0]);
    if (!f)
        return -EBADF;
    if (!fscontext_is(f))
        return -EINVAL;
    if (a->v[2])
        r = short_string(t, a->v[2], &key);
    if (!r && cmd == FSCONFIG_SET_STRING)
        r = short_string(t, a->v[3], &value);
    return r ? r : fscontext_config(t, f, cmd, key, value);
}

/* The atime setting is a number, not bits. */
static int atime_flags(uint64_t attr, unsigned *out)
{
    switch (attr & MOUNT_ATTR__ATIME) {
    case MOUNT_ATTR_RELATIME:
        *out = MS_RELATIME;
        return 0;
    case MOUNT_ATTR_NOATIME:
        *out = MS_NOATIME;
        return 0;
    case MOUNT_ATTR_STRICTATIME:
        *out = 0;
        return 0;
    }
    return -EINVAL;
}

int64_t sys_fsmount(struct task *t, const struct sysargs *a)
{
    unsigned attr = a->v[2], atime;
    struct file *f = NULL;
    if (!may_mount(t))
        return -EPERM;
    if ((a->v[1] & ~(uint64_t)FSMOUNT_CLOEXEC) || (attr & ~(ATTR_SIMPLE | MOUNT_ATTR__ATIME)) ||
        atime_flags(attr, &atime))
        return -EINVAL;
    SYS_FILE context = fdtable_get(t->fds, (int)a->v[0]);
    if (!context)
        return -EBADF;
    if (!fscontext_is(context))
        return -EINVAL;
    int r = fscontext_mount(t, context, mount_attr_flags(attr) | atime, &f);
    return install(t, r, f, a->v[1] & FSMOUNT_CLOEXEC);
}

/* ---- mount_setattr ---- */

static int change_decode(const struct mount_attr *m, struct mount_change *c)
{
    uint64_t known = ATTR_SIMPLE | MOUNT_ATTR__ATIME | MOUNT_ATTR_IDMAP;
    uint64_t types = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
    if ((m->propagation & ~types) || (m->propagation & (m->propagation - 1)))
        return -EINVAL;
    if ((m->attr_set | m->attr_clr) & ~known)
        return -EINVAL;
    unsigned atime = 0;
    if (m->attr_clr & MOUNT_ATTR__ATIME) {
        if ((m->attr_clr & MOUNT_ATTR__ATIME) != MOUNT_ATTR__ATIME ||
            atime_flags(m->attr_set, &atime))
            return -EINVAL;
        c->clear = MS_NOATIME | MS_RELATIME;
    } else if (m->attr_set & MOUNT_ATTR__ATIME) {
        return -EINVAL;
    }
    if ((m->attr_set | m->attr_clr) & MOUNT_ATTR_IDMAP)
        return -EINVAL; /* as of a filesystem that knows no id-mapped mounts */
    c->set = mount_attr_flags(m->attr_set) | atime;
    c->clear |= mount_attr_flags(m->attr_clr);
    c->propagation = m->propagation;
    return 0;
}

int64_t sys_mount_setattr(struct task *t, const struct sysargs *a)
{
    unsigned flags = a->v[2];
    struct mount_attr attr;
    struct mount_change c = {0};
    SYS_PATH p = {NULL, NULL};
    if (flags & ~(AT_EMPTY_PATH | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
        return -EINVAL;
    if (a->v[4] > 4096)
        return -E2BIG;
    if (a->v[4] < MOUNT_ATTR_SIZE_VER0)
        return -EINVAL;
    if (!may_mount(t))
        return -EPERM;
    int r =
        sys_struct_import(t, uaddr(a->v[3]), a->v[4], &attr, sizeof(attr), MOUNT_ATTR_SIZE_VER0);
    if (r || (!attr.attr_set && !attr.attr_clr && !attr.propagation))
        return r;
    r = change_decode(&attr, &c);
    if (!r)
        r = path_of(t, a->v[0], a->v[1], flags & AT_EMPTY_PATH, !(flags & AT_SYMLINK_NOFOLLOW), &p);
    return r ? r : mount_attr_change(t, &p, flags & AT_RECURSIVE, &c);
}
