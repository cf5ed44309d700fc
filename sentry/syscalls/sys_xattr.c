/* Extended attributes, by path, by path without following, by descriptor. */
#include "base/overflow.h"
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define XATTR_NAME_MAX_K 255
#define XATTR_VALUE_MAX  65536u
#define XATTR_LIST_MAX_K 65536u

/* What an xattr call works on. */
struct target {
    struct path p;
    struct file *f; /* NULL if it came by name */
};

static void target_free(struct target *x)
{
    path_put(&x->p);
    if (x->f)
        file_put(x->f);
}
#define TARGET __attribute__((cleanup(target_free))) struct target

/* How a call names its target: by path relative to dirfd, or dirfd itself (by_fd). */
struct where {
    int dirfd;
    uint64_t path;
    unsigned at_flags;
    bool by_fd;
};

static int target_find(struct task *t, const struct where *w, struct target *x)
{
    *x = (struct target){{NULL, NULL}, NULL};
    if (!w->by_fd)
        return sys_path_at(t, w->dirfd, uaddr(w->path), w->at_flags & AT_EMPTY_PATH,
                           w->at_flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &x->p, &x->f);
    x->f = fdtable_get_io(t->fds, w->dirfd);
    if (!x->f)
        return -EBADF;
    x->p = x->f->path;
    path_get(&x->p);
    return 0;
}

static int name_import(struct task *t, uint64_t ua, char name[XATTR_NAME_MAX_K + 1])
{
    ssize_t n = uaccess_read_str(t->mm, name, uaddr(ua), XATTR_NAME_MAX_K + 1);
    if (n == 0 || n == -ENAMETOOLONG)
        return -ERANGE;
    return n < 0 ? n : 0;
}

/* The rules of xattr(7) by prefix; write: set or remove. */
static int prefix_check(struct task *t, struct inode *i, const char *name, bool write)
{
    if (!strncmp(name, "user.", 5)) {
        if (!S_ISREG(i->mode) && !S_ISDIR(i->mode))
            return write ? -EPERM : -ENODATA;
        if (write && S_ISDIR(i->mode) && (i->mode & S_ISVTX) &&
            !inode_owner_or_capable(i, t->cred))
            return -EPERM;
        return inode_permission(i, write ? W_OK : R_OK, t->cred);
    }
    if (!strncmp(name, "trusted.", 8)) {
        if (cred_has_cap(t->cred, CAP_SYS_ADMIN))
            return 0;
        return write ? -EPERM : -ENODATA;
    }
    if (!strncmp(name, "security.", 9)) {
        int cap = strcmp(name, "security.capability") ? CAP_SYS_ADMIN : CAP_SETFCAP;
        return !write || cred_has_cap(t->cred, cap) ? 0 : -EPERM;
    }
    int r = strncmp(name, "system.", 7) ? inode_permission(i, write ? W_OK : R_OK, t->cred) : 0;
    return r ? r : -EOPNOTSUPP;
}

static int name_check(struct task *t, struct inode *i, const char *name, bool write)
{
    size_t len = strlen(name);
    int r = prefix_check(t, i, name, write);
    if (!r && strchr(name, '.') == name + len - 1)
        r = -EINVAL; /* a prefix alone names nothing */
    return r;
}

/* ACL_ACCESS or ACL_DEFAULT, -1: another attribute. */
static int acl_of_name(const char *name)
{
    if (!strcmp(name, "system.posix_acl_access"))
        return ACL_ACCESS;
    return strcmp(name, "system.posix_acl_default") ? -1 : ACL_DEFAULT;
}

/* struct vfs_cap_data: version 1 (12 bytes), 2 (20) or 3 (24, with the owner of a namespace). */
static int fcaps_value_check(const char *name, const void *value, uint64_t size)
{
    uint32_t magic;
    if (strcmp(name, XATTR_NAME_CAPS))
        return 0;
    if (size < sizeof(magic))
        return -EINVAL;
    memcpy(&magic, value, sizeof(magic));
    bool good = ((magic >> 24) == 1 && size == 12) || ((magic >> 24) == 2 && size == 20) ||
                ((magic >> 24) == 3 && size == 24);
    return good ? 0 : -EINVAL;
}


static int write_check(struct task *t, const struct target *x)
{
    struct inode *i = sys_inode(&x->p, x->f);
    if (i->sb->read_only)
        return -EROFS;
    if (inode_has_flags(i, FS_IMMUTABLE_FL | FS_APPEND_FL))
        return -EPERM;
    return x->p.mnt && (__atomic_load_n(&x->p.mnt->flags, __ATOMIC_RELAXED) & 1) ? -EROFS : 0;
}

static void changed(const struct target *x, struct inode *i, const char *name)
{
    if (!strcmp(name, XATTR_NAME_CAPS))
        __atomic_store_n(&i->fcaps, FCAPS_UNKNOWN, __ATOMIC_RELAXED);
    if (x->p.dentry)
        fsnotify_change(&x->p, IN_ATTRIB);
}

static int set_on(struct task *t, const struct target *x, const char *name, const void *value,
                  uint64_t size, unsigned flags)
{
    struct inode *i = sys_inode(&x->p, x->f);
    int acl = acl_of_name(name);
    int r = write_check(t, x);
    if (r)
        return r;
    if (acl >= 0) {
        r = acl_set_xattr(t, &x->p, i, acl, value, size);
    } else {
        r = name_check(t, i, name, /*write=*/true);
        if (!r)
            r = fcaps_value_check(name, value, size);
        if (!r)
            r = i->ops && i->ops->setxattr ? i->ops->setxattr(i, name, value, size, flags)
                                           : -EOPNOTSUPP;
    }
    if (!r)
        changed(x, i, name);
    return r;
}

/* The arguments of the *xattrat calls' struct. */
struct xattr_args_k {
    uint64_t value;
    uint32_t size, flags;
};

static int64_t do_set(struct task *t, const struct where *w, uint64_t name_ua,
                      const struct xattr_args_k *a, uint64_t size)
{
    char name[XATTR_NAME_MAX_K + 1];
    TARGET x = {{NULL, NULL}, NULL};
    if (a->flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    int r = name_import(t, name_ua, name);
    if (r)
        return r;
    if (size > XATTR_VALUE_MAX)
        return -E2BIG;
    SYS_STR value = malloc(size ? size : 1);
    if (!value)
        return -ENOMEM;
    r = uaccess_read(t->mm, value, uaddr(a->value), size);
    if (!r)
        r = target_find(t, w, &x);
    return r ? r : set_on(t, &x, name, value, size, a->flags);
}

static int64_t get_from(struct task *t, const struct target *x, const char *name, void *value,
                        uint64_t size)
{
    struct inode *i = sys_inode(&x->p, x->f);
    int acl = acl_of_name(name);
    if (acl >= 0)
        return acl_get_xattr(i, acl, value, size);
    int r = name_check(t, i, name, /*write=*/false);
    if (r)
        return r;
    return i->ops && i->ops->getxattr ? i->ops->getxattr(i, name, value, size) : -EOPNOTSUPP;
}

static int64_t do_get(struct task *t, const struct where *w, uint64_t name_ua, uint64_t value_ua,
                      uint64_t size)
{
    char name[XATTR_NAME_MAX_K + 1];
    TARGET x = {{NULL, NULL}, NULL};
    size = MIN(size, (uint64_t)XATTR_VALUE_MAX);
    int r = name_import(t, name_ua, name);
    if (!r)
        r = target_find(t, w, &x);
    if (r)
        return r;
    SYS_STR value = malloc(size ? size : 1);
    if (!value)
        return -ENOMEM;
    int64_t n = get_from(t, &x, name, value, size);
    if (n <= 0 || !size)
        return n;
    r = uaccess_write(t->mm, uaddr(value_ua), value, n);
    return r ? r : n;
}

/* Names that the caller may not know of are left out: trusted.* needs CAP_SYS_ADMIN. */
static int64_t list_filter(struct task *t, char *list, int64_t size)
{
    if (cred_has_cap(t->cred, CAP_SYS_ADMIN))
        return size;
    int64_t out = 0;
    for (int64_t at = 0; at < size;) {
        size_t n = strnlen(list + at, size - at - 1) + 1;
        if (strncmp(list + at, "trusted.", 8)) {
            memmove(list + out, list + at, n);
            out += n;
        }
        at += n;
    }
    return out;
}

static int64_t list_add(char *list, int64_t n, const char *name)
{
    size_t size = strlen(name) + 1;
    if (n + size > XATTR_LIST_MAX_K)
        return -E2BIG;
    memcpy(list + n, name, size);
    return n + size;
}

static int64_t list_of(struct task *t, struct inode *i, char *list)
{
    int64_t n = 0;
    if (i->ops && i->ops->listxattr)
        n = i->ops->listxattr(i, list, XATTR_LIST_MAX_K);
    n = n == -EOPNOTSUPP ? 0 : n;
    if (n > 0)
        n = list_filter(t, list, n);
    if (n >= 0 && acl_has(i, ACL_ACCESS))
        n = list_add(list, n, "system.posix_acl_access");
    if (n >= 0 && acl_has(i, ACL_DEFAULT))
        n = list_add(list, n, "system.posix_acl_default");
    return n;
}

static int64_t do_list(struct task *t, const struct where *w, uint64_t list_ua, uint64_t size)
{
    TARGET x = {{NULL, NULL}, NULL};
    size = MIN(size, (uint64_t)XATTR_LIST_MAX_K);
    int r = target_find(t, w, &x);
    if (r)
        return r;
    SYS_STR list = malloc(XATTR_LIST_MAX_K);
    if (!list)
        return -ENOMEM;
    int64_t n = list_of(t, sys_inode(&x.p, x.f), list);
    if (n <= 0)
        return n;
    if (!size)
        return n;
    if ((uint64_t)n > size)
        return -ERANGE;
    r = uaccess_write(t->mm, uaddr(list_ua), list, n);
    return r ? r : n;
}

static int remove_from(struct task *t, const struct target *x, const char *name)
{
    struct inode *i = sys_inode(&x->p, x->f);
    int acl = acl_of_name(name);
    int r = write_check(t, x);
    if (r)
        return r;
    if (acl >= 0) {
        r = acl_set_xattr(t, &x->p, i, acl, NULL, 0);
    } else {
        r = name_check(t, i, name, /*write=*/true);
        if (!r)
            r = i->ops && i->ops->removexattr ? i->ops->removexattr(i, name) : -EOPNOTSUPP;
    }
    if (!r)
        changed(x, i, name);
    return r;
}

static int64_t do_remove(struct task *t, const struct where *w, uint64_t name_ua)
{
    char name[XATTR_NAME_MAX_K + 1];
    TARGET x = {{NULL, NULL}, NULL};
    int r = name_import(t, name_ua, name);
    if (!r)
        r = target_find(t, w, &x);
    return r ? r : remove_from(t, &x, name);
}

#define BY_PATH(a) &(struct where){.dirfd = AT_FDCWD, .path = (a)->v[0]}
#define BY_LINK(a)                                                                                 \
    &(struct where){.dirfd = AT_FDCWD, .path = (a)->v[0], .at_flags = AT_SYMLINK_NOFOLLOW}
#define BY_FD(a) &(struct where){.dirfd = (a)->v[0], .by_fd = true}
#define SET_ARGS(a) &(struct xattr_args_k){.value = (a)->v[2], .flags = (a)->v[4]}, (a)->v[3]
#define GET_ARGS(a) (a)->v[2], (a)->v[3]

#define XATTR_CALLS(prefix, by)                                                                    \
    int64_t sys_##prefix##setxattr(struct task *t, const struct sysargs *a)                        \
    {                                                                                              \
        return do_set(t, by(a), a->v[1], SET_ARGS(a));                                             \
    }                                                                                              \
    int64_t sys_##prefix##getxattr(struct task *t, const struct sysargs *a)                        \
    {                                                                                              \
        return do_get(t, by(a), a->v[1], GET_ARGS(a));                                             \
    }                                                                                              \
    int64_t sys_##prefix##listxattr(struct task *t, const struct sysargs *a)                       \
    {                                                                                              \
        return do_list(t, by(a), a->v[1], a->v[2]);                                                \
    }                                                                                              \
    int64_t sys_##prefix##removexattr(struct task *t, const struct sysargs *a)                     \
    {                                                                                              \
        return do_remove(t, by(a), a->v[1]);                                                       \
    }
XATTR_CALLS(, BY_PATH)
XATTR_CALLS(l, BY_LINK)
XATTR_CALLS(f, BY_FD)

/* ---- *xattrat ---- */

/* AT_EMPTY_PATH takes a null path for an empty one. */
static int where_at(const struct sysargs *a, struct where *w)
{
    *w = (struct where){.dirfd = a->v[0], .path = a->v[1], .at_flags = a->v[2]};
    w->by_fd = !w->path && (w->at_flags & AT_EMPTY_PATH) && w->dirfd != AT_FDCWD;
    return a->v[2] & 0xffffffff & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) ? -EINVAL : 0;
}

static int args_import(struct task *t, const struct sysargs *a, struct xattr_args_k *out)
{
    return sys_struct_import(t, uaddr(a->v[4]), a->v[5], out, sizeof(*out), sizeof(*out));
}

int64_t sys_setxattrat(struct task *t, const struct sysargs *a)
{
    struct xattr_args_k args;
    struct where w;
    int r = args_import(t, a, &args);
    if (!r)
        r = where_at(a, &w);
    return r ? r : do_set(t, &w, a->v[3], &args, args.size);
}

int64_t sys_getxattrat(struct task *t, const struct sysargs *a)
{
    struct xattr_args_k args;
    struct where w;
    int r = args_import(t, a, &args);
    if (!r && args.flags)
        r = -EINVAL;
    if (!r)
        r = where_at(a, &w);
    return r ? r : do_get(t, &w, a->v[3], args.value, args.size);
}

int64_t sys_listxattrat(struct task *t, const struct sysargs *a)
{
    struct where w;
    int r = where_at(a, &w);
    return r ? r : do_list(t, &w, a->v[3], a->v[4]);
}

int64_t sys_removexattrat(struct task *t, const struct sysargs *a)
{
    struct where w;
    int r = where_at(a, &w);
    return r ? r : do_remove(t, &w, a->v[3]);
}
