/* pipe, pipe2. */
#include "fs/vfs.h"
#include "syscalls/syscalls.h"

#include <errno.h>
#include <fcntl.h>

static int pipe_install(struct task *t, struct file *f[2], bool cloexec, int fds[2])
{
    fds[0] = fdtable_install(t, f[0], 0, cloexec);
    if (fds[0] < 0) {
        file_put(f[0]);
        file_put(f[1]);
        return fds[0];
    }
    fds[1] = fdtable_install(t, f[1], 0, cloexec);
    if (fds[1] < 0) {
        file_put(f[1]);
        fdtable_close(t, fds[0]);
        return fds[1];
    }
    return 0;
}

static int64_t do_pipe(struct task *t, struct uaddr ua, unsigned flags)
{
    struct file *f[2];
    int fds[2];
    int r = pipe_open(flags, f);
    if (r)
        return r;
    r = pipe_install(t, f, flags & O_CLOEXEC, fds);
    if (r)
        return r;
    r = uaccess_write(t->mm, ua, fds, sizeof(fds));
    if (r) {
        fdtable_close(t, fds[0]);
        fdtable_close(t, fds[1]);
    }
    return r;
}

int64_t sys_pipe(struct task *t, const struct sysargs *a)
{
    return do_pipe(t, uaddr(a->v[0]), 0);
}

int64_t sys_pipe2(struct task *t, const struct sysargs *a)
{
    return do_pipe(t, uaddr(a->v[0]), a->v[1]);
}
