/* Process groups and sessions. */
#include "syscalls/syscalls.h"

#include <errno.h>

int64_t sys_setpgid(struct task *t, const struct sysargs *a)
{
    return process_setpgid(t, (int)a->v[0], (int)a->v[1]);
}

int64_t sys_setsid(struct task *t, const struct sysargs *a)
{
    return process_setsid(t);
}

int64_t sys_getpgrp(struct task *t, const struct sysargs *a)
{
    return task_sees_id(t, process_pgid(t->process));
}

static int64_t of_pid(struct task *t, int pid, int (*get)(struct process *p))
{
    if (!pid)
        return task_sees_id(t, get(t->process));
    struct task *o = task_lookup(pid); /* any thread's number will do */
    if (!o)
        return -ESRCH;
    int r = get(o->process);
    task_put(o);
    return r ? task_sees_id(t, r) : -ESRCH;
}

int64_t sys_getpgid(struct task *t, const struct sysargs *a)
{
    return of_pid(t, (int)a->v[0], process_pgid);
}

int64_t sys_getsid(struct task *t, const struct sysargs *a)
{
    return of_pid(t, (int)a->v[0], process_sid);
}
