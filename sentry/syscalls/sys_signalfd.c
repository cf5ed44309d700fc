/* signalfd, signalfd4. */
#include "syscalls/sys_anon.h"
#include "syscalls/syscalls.h"

#include <errno.h>
#include <sys/signalfd.h>

static int64_t do_signalfd(struct task *t, int fd, struct uaddr ua, uint64_t size, unsigned flags)
{
    sigmask_t mask;
    struct file *f = NULL;
    if (size != sizeof(mask))
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &mask, ua))
        return -EFAULT;
    if (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK))
        return -EINVAL;
    if (fd == -1) {
        int r = signalfd_new(mask, flags, &f);
        return anon_install(t, r, f, flags & SFD_CLOEXEC);
    }
    f = fdtable_get_io(t->fds, fd);
    if (!f)
        return -EBADF;
    int r = signalfd_set(f, mask);
    file_put(f);
    return r ? r : fd;
}

int64_t sys_signalfd(struct task *t, const struct sysargs *a)
{
    return do_signalfd(t, a->v[0], uaddr(a->v[1]), a->v[2], 0);
}

int64_t sys_signalfd4(struct task *t, const struct sysargs *a)
{
    return do_signalfd(t, a->v[0], uaddr(a->v[1]), a->v[2], a->v[3]);
}
