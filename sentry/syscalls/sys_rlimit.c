/* Limits and usage. */
#include "syscalls/syscalls.h"

#include <errno.h>

int64_t sys_getrlimit(struct task *t, const struct sysargs *a)
{
    struct rlimit64 old;
    int r = rlimit_change(t, t->process, (int)a->v[0], NULL, &old);
    return r ? r : uaccess_write_obj(t->mm, uaddr(a->v[1]), &old);
}

int64_t sys_setrlimit(struct task *t, const struct sysargs *a)
{
    struct rlimit64 next, old;
    if (uaccess_read_obj(t->mm, &next, uaddr(a->v[1])))
        return -EFAULT;
    return rlimit_change(t, t->process, (int)a->v[0], &next, &old);
}

/* Another process's limits are for its owner. */
static int prlimit_may(struct task *t, struct task *target)
{
    if (target->process == t->process || cred_has_cap(t->cred, CAP_SYS_RESOURCE))
        return 0;
    struct cred *o = task_cred_get(target);
    const struct cred *c = t->cred;
    bool same = c->uid == o->uid && c->uid == o->euid && c->uid == o->suid && c->gid == o->gid &&
                c->gid == o->egid && c->gid == o->sgid;
    cred_put(o);
    return same ? 0 : -EPERM;
}

int64_t sys_prlimit64(struct task *t, const struct sysargs *a)
{
    struct rlimit64 next, old;
    if (a->v[2] && uaccess_read_obj(t->mm, &next, uaddr(a->v[2])))
        return -EFAULT;
    struct task *target = a->v[0] ? task_lookup((int)a->v[0]) : NULL;
    if (a->v[0] && !target)
        return -ESRCH;
    int r = target ? prlimit_may(t, target) : 0;
    if (!r)
        r = rlimit_change(t, target ? target->process : t->process, (int)a->v[1],
                          a->v[2] ? &next : NULL, &old);
    if (target)
        task_put(target);
    if (r || !a->v[3])
        return r;
    return uaccess_write_obj(t->mm, uaddr(a->v[3]), &old);
}

int64_t sys_getrusage(struct task *t, const struct sysargs *a)
{
    struct rusage u;
    int r = usage_get(t, (int)a->v[0], &u);
    return r ? r : uaccess_write_obj(t->mm, uaddr(a->v[1]), &u);
}
