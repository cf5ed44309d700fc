/* seccomp. */
#include "syscalls/syscalls.h"

#include <errno.h>
#include <linux/seccomp.h>

int64_t sys_seccomp(struct task *t, const struct sysargs *a)
{
    uint32_t action;
    const struct seccomp_notif_sizes sizes = {sizeof(struct seccomp_notif),
                                              sizeof(struct seccomp_notif_resp),
                                              sizeof(struct seccomp_data)};
    switch ((unsigned)a->v[0]) {
    case SECCOMP_SET_MODE_STRICT:
        return a->v[1] || a->v[2] ? -EINVAL : seccomp_strict(t);
    case SECCOMP_SET_MODE_FILTER:
        return seccomp_filter_add(t, a->v[1], uaddr(a->v[2]));
    case SECCOMP_GET_NOTIF_SIZES:
        return a->v[1] ? -EINVAL : uaccess_write_obj(t->mm, uaddr(a->v[2]), &sizes);
    case SECCOMP_GET_ACTION_AVAIL:
        if (a->v[1])
            return -EINVAL;
        if (uaccess_read_obj(t->mm, &action, uaddr(a->v[2])))
            return -EFAULT;
        return action == SECCOMP_RET_KILL_PROCESS || action == SECCOMP_RET_KILL_THREAD ||
                       action == SECCOMP_RET_TRAP || action == SECCOMP_RET_ERRNO ||
                       action == SECCOMP_RET_TRACE || action == SECCOMP_RET_LOG ||
                       action == SECCOMP_RET_USER_NOTIF || action == SECCOMP_RET_ALLOW
                   ? 0
                   : -EOPNOTSUPP;
    }
    return -EINVAL;
}
