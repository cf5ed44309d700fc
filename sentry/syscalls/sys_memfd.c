/* memfd_create, memfd_secret. */
#include "syscalls/sys_anon.h"
#include "syscalls/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>

int64_t sys_memfd_create(struct task *t, const struct sysargs *a)
{
    char name[250];
    struct file *f = NULL;
    int64_t n = uaccess_read_str(t->mm, name, uaddr(a->v[0]), sizeof(name));
    if (n < 0)
        return n == -ENAMETOOLONG ? -EINVAL : n;
    int r = memfd_new(t, name, a->v[1], &f);
    return anon_install(t, r, f, a->v[1] & MFD_CLOEXEC);
}

int64_t sys_memfd_secret(struct task *t, const struct sysargs *a)
{
    struct file *f = NULL;
    if (a->v[0] & ~(uint64_t)O_CLOEXEC)
        return -EINVAL;
    int r = memfd_secret_new(t, &f);
    return anon_install(t, r, f, a->v[0] & O_CLOEXEC);
}
