/* Extended attributes, by path, by path without following, by descriptor. */
#include "base/overflow.h"
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
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

enum by { BY_PATH, BY_LINK, BY_FD };

static int target_find(struct task *t, enum by by, uint64_t arg, struct target *x)
{
    *x = (struct target){{NULL, NULL}, NULL};
    if (by != BY_FD)
        return sys_path_at(t, AT_FDCWD, uaddr(arg), /*empty_ok=*/false,
                           by == BY_PATH ? WALK_FOLLOW : 0, &x->p, &x->f);
    x->f = fdtable_get_io(t->fds, arg);
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
static int name_check(struct task *t, struct inode *i, const char *name, bool write)
{
    size_t len = strlen(name);
    if (name[len - 1] == '.' && strchr(name, '.') == name + len - 1)
        return -EINVAL; /* a prefix alone names nothing */
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
    return -EOPNOTSUPP;
}

static int write_check(struct task *t, const struct target *x)
{
    struct inode *i = sys_inode(&x->p, x->f);
    if (i->sb->read_only)
        return -EROFS;
    return x->p.mnt && (__atomic_load_n(&x->p.mnt->flags, __ATOMIC_RELAXED) & 1) ? -EROFS : 0;
}

static int64_t do_set(struct task *t, const struct sysargs *a, enum by by)
{
    char name[XATTR_NAME_MAX_K + 1];
    uint64_t size = a->v[3];
    unsigned flags = a->v[4];
    TARGET x = {{NULL, NULL}, NULL};
    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    int r = name_import(t, a->v[1], name);
    if (r)
        return r;
    if (size > XATTR_VALUE_MAX)
        return -E2BIG;
    SYS_STR value = malloc(size ? size : 1);
    if (!value)
        return -ENOMEM;
    r = uaccess_read(t->mm, value, uaddr(a->v[2]), size);
    if (!r)
        r = target_find(t, by, a->v[0], &x);
    if (!r)
        r = write_check(t, &x);
    if (r)
        return r;
    struct inode *i = sys_inode(&x.p, x.f);
    r = name_check(t, i, name, /*write=*/true);
    if (r)
        return r;
    return i->ops && i->ops->setxattr ? i->ops->setxattr(i, name, value, size, flags) : -EOPNOTSUPP;
}

static int64_t do_get(struct task *t, const struct sysargs *a, enum by by)
{
    char name[XATTR_NAME_MAX_K + 1];
    uint64_t size = MIN(a->v[3], (uint64_t)XATTR_VALUE_MAX);
    TARGET x = {{NULL, NULL}, NULL};
    int r = target_find(t, by, a->v[0], &x);
    if (!r)
        r = name_import(t, a->v[1], name);
    if (r)
        return r;
    struct inode *i = sys_inode(&x.p, x.f);
    r = name_check(t, i, name, /*write=*/false);
    if (r)
        return r;
    if (!i->ops || !i->ops->getxattr)
        return -EOPNOTSUPP;
    SYS_STR value = malloc(size ? size : 1);
    if (!value)
        return -ENOMEM;
    int64_t n = i->ops->getxattr(i, name, value, size);
    if (n <= 0 || !size)
        return n;
    r = uaccess_write(t->mm, uaddr(a->v[2]), value, n);
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

static int64_t do_list(struct task *t, const struct sysargs *a, enum by by)
{
    uint64_t size = MIN(a->v[2], (uint64_t)XATTR_LIST_MAX_K);
    TARGET x = {{NULL, NULL}, NULL};
    int r = target_find(t, by, a->v[0], &x);
    if (r)
        return r;
    struct inode *i = sys_inode(&x.p, x.f);
    if (!i->ops || !i->ops->listxattr)
        return 0;
    SYS_STR list = malloc(XATTR_LIST_MAX_K);
    if (!list)
        return -ENOMEM;
    int64_t n = i->ops->listxattr(i, list, XATTR_LIST_MAX_K);
    if (n <= 0)
        return n == -EOPNOTSUPP ? 0 : n;
    n = list_filter(t, list, n);
    if (!size)
        return n;
    if ((uint64_t)n > size)
        return -ERANGE;
    r = uaccess_write(t->mm, uaddr(a->v[1]), list, n);
    return r ? r : n;
}

static int64_t do_remove(struct task *t, const struct sysargs *a, enum by by)
{
    char name[XATTR_NAME_MAX_K + 1];
    TARGET x = {{NULL, NULL}, NULL};
    int r = target_find(t, by, a->v[0], &x);
    if (!r)
        r = name_import(t, a->v[1], name);
    if (!r)
        r = write_check(t, &x);
    if (r)
        return r;
    struct inode *i = sys_inode(&x.p, x.f);
    r = name_check(t, i, name, /*write=*/true);
    if (r)
        return r;
    return i->ops && i->ops->removexattr ? i->ops->removexattr(i, name) : -EOPNOTSUPP;
}

#define XATTR_CALL(name, fn, by)                                                                   \
    int64_t sys_##name(struct task *t, const struct sysargs *a)                                    \
    {                                                                                              \
        return fn(t, a, by);                                                                       \
    }
XATTR_CALL(setxattr, do_set, BY_PATH)
XATTR_CALL(lsetxattr, do_set, BY_LINK)
XATTR_CALL(fsetxattr, do_set, BY_FD)
XATTR_CALL(getxattr, do_get, BY_PATH)
XATTR_CALL(lgetxattr, do_get, BY_LINK)
XATTR_CALL(fgetxattr, do_get, BY_FD)
XATTR_CALL(listxattr, do_list, BY_PATH)
XATTR_CALL(llistxattr, do_list, BY_LINK)
XATTR_CALL(flistxattr, do_list, BY_FD)
XATTR_CALL(removexattr, do_remove, BY_PATH)
XATTR_CALL(lremovexattr, do_remove, BY_LINK)
XATTR_CALL(fremovexattr, do_remove, BY_FD)
