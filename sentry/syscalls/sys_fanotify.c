/* fanotify_init, fanotify_mark. */
#include "syscalls/sys_anon.h"
#include "syscalls/sys_fs.h"

#include <linux/fanotify.h>

int64_t sys_fanotify_init(struct task *t, const struct sysargs *a)
{
    struct file *f = NULL;
    int r = fanotify_new(t, a->v[0], a->v[1], &f);
    return anon_install(t, r, f, a->v[0] & FAN_CLOEXEC);
}

int64_t sys_fanotify_mark(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    return fanotify_mark(t, f, a->v[1], a->v[2], a->v[3], uaddr(a->v[4]));
}
