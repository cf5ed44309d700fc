/* eventfd, eventfd2. */
#include "syscalls/sys_anon.h"
#include "syscalls/syscalls.h"

#include <sys/eventfd.h>

static int64_t do_eventfd(struct task *t, unsigned initial, unsigned flags)
{
    struct file *f = NULL;
    int r = eventfd_new(initial, flags, &f);
    return anon_install(t, r, f, flags & EFD_CLOEXEC);
}

int64_t sys_eventfd(struct task *t, const struct sysargs *a)
{
    return do_eventfd(t, a->v[0], 0);
}

int64_t sys_eventfd2(struct task *t, const struct sysargs *a)
{
    return do_eventfd(t, a->v[0], a->v[1]);
}
