/* mount, umount2, pivot_root, file handles. */
#include "syscalls/sys_fs.h"

#include <string.h>

/* An optional string argument: NULL stays NULL. */
static int opt_import(struct task *t, uint64_t ua, char **out)
{
    *out = NULL;
    return ua ? vfs_path_import(t, uaddr(ua), /*empty_ok=*/true, out) : 0;
}

/* mount's data: at most a page, not necessarily terminated within it. */
static int data_import(struct task *t, uint64_t ua, char **out)
{
    *out = NULL;
    if (!ua)
        return 0;
    char *s = calloc(1, 4096 + 1);
    if (!s)
        return -ENOMEM;
    if (!uaccess_read_some(t->mm, s, uaddr(ua), 4096)) {
        free(s);
        return -EFAULT;
    }
    *out = s;
    return 0;
}

int64_t sys_mount(struct task *t, const struct sysargs *a)
{
    SYS_STR source = NULL;
    SYS_STR target = NULL;
    SYS_STR type = NULL;
    SYS_STR data = NULL;
    int r = opt_import(t, a->v[2], &type);
    if (!r)
        r = opt_import(t, a->v[0], &source);
    if (!r)
        r = data_import(t, a->v[4], &data);
    if (!r)
        r = vfs_path_import(t, uaddr(a->v[1]), /*empty_ok=*/false, &target);
    return r ? r : mount_do(t, source, target, type, a->v[3], data);
}

int64_t sys_umount2(struct task *t, const struct sysargs *a)
{
    SYS_STR target = NULL;
    int r = vfs_path_import(t, uaddr(a->v[0]), /*empty_ok=*/false, &target);
    return r ? r : mount_umount(t, target, a->v[1]);
}

int64_t sys_pivot_root(struct task *t, const struct sysargs *a)
{
    SYS_STR new_root = NULL;
    SYS_STR put_old = NULL;
    int r = vfs_path_import(t, uaddr(a->v[0]), /*empty_ok=*/false, &new_root);
    if (!r)
        r = vfs_path_import(t, uaddr(a->v[1]), /*empty_ok=*/false, &put_old);
    return r ? r : mount_pivot_root(t, new_root, put_old);
}
