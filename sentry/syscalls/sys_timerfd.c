/* timerfd_create, timerfd_settime, timerfd_gettime. */
#include "syscalls/sys_anon.h"
#include "syscalls/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/timerfd.h>

int64_t sys_userfaultfd(struct task *t, const struct sysargs *a)
{
    struct file *f = NULL;
    int r = userfaultfd_new(t, a->v[0], &f);
    return anon_install(t, r, f, a->v[0] & O_CLOEXEC);
}

int64_t sys_timerfd_create(struct task *t, const struct sysargs *a)
{
    struct file *f = NULL;
    int r = timerfd_new(a->v[0], a->v[1], &f);
    return anon_install(t, r, f, a->v[1] & TFD_CLOEXEC);
}

static bool spec_valid(const struct itimerspec *s)
{
    int64_t ns;
    return !time_from_timespec(&s->it_value, &ns) && !time_from_timespec(&s->it_interval, &ns);
}

int64_t sys_timerfd_settime(struct task *t, const struct sysargs *a)
{
    struct itimerspec next, old;
    if (uaccess_read_obj(t->mm, &next, uaddr(a->v[2])))
        return -EFAULT;
    if ((int)a->v[1] & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) || !spec_valid(&next))
        return -EINVAL;
    struct file *f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    int r = timerfd_set(f, a->v[1], &next, &old);
    file_put(f);
    if (!r && a->v[3])
        r = uaccess_write_obj(t->mm, uaddr(a->v[3]), &old);
    return r;
}

int64_t sys_timerfd_gettime(struct task *t, const struct sysargs *a)
{
    struct itimerspec now;
    struct file *f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    int r = timerfd_get(f, &now);
    file_put(f);
    return r ? r : uaccess_write_obj(t->mm, uaddr(a->v[1]), &now);
}
