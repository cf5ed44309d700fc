/* System V IPC and POSIX message queue calls: decode, then the ipc room. */
#include "fs/vfs.h"
#include "ipc/ipc.h"
#include "syscalls/syscalls.h"
#include "time/time.h"

#include <errno.h>
#include <linux/mqueue.h>
#include <linux/sem.h>
#include <stdlib.h>
#include <string.h>

#define SEM_OPS_MAX 500 /* SEMOPM */

int64_t sys_semget(struct task *t, const struct sysargs *a)
{
    return sem_get(t, (int)a->v[0], (int)a->v[1], (int)a->v[2]);
}

/* ts: NULL: no timeout. Its values are looked at after the operations, as on Linux. */
static int64_t semop_common(struct task *t, const struct sysargs *a, const struct timespec *ts)
{
    struct sembuf ops[SEM_OPS_MAX];
    unsigned count = a->v[2];
    int64_t ns = 0;
    if (count > SEM_OPS_MAX)
        return -E2BIG;
    if (uaccess_read(t->mm, ops, uaddr(a->v[1]), count * sizeof(ops[0])))
        return -EFAULT;
    if (count == 0 || (int)a->v[0] < 0 || (ts && time_from_timespec(ts, &ns)))
        return -EINVAL;
    return sem_op(t, (int)a->v[0], ops, count, ts ? time_after(ns) : DEADLINE_NONE);
}

int64_t sys_semop(struct task *t, const struct sysargs *a)
{
    return semop_common(t, a, NULL);
}

int64_t sys_semtimedop(struct task *t, const struct sysargs *a)
{
    struct timespec ts;
    if (a->v[3] && uaccess_read_obj(t->mm, &ts, uaddr(a->v[3])))
        return -EFAULT;
    return semop_common(t, a, a->v[3] ? &ts : NULL);
}

int64_t sys_semctl(struct task *t, const struct sysargs *a)
{
    return sem_ctl(t, (int)a->v[0], (int)a->v[1], (int)a->v[2], a->v[3]);
}

int64_t sys_msgget(struct task *t, const struct sysargs *a)
{
    return msg_get(t, (int)a->v[0], (int)a->v[1]);
}

int64_t sys_msgsnd(struct task *t, const struct sysargs *a)
{
    return msg_snd(t, (int)a->v[0], uaddr(a->v[1]), a->v[2], (int)a->v[3]);
}

int64_t sys_msgrcv(struct task *t, const struct sysargs *a)
{
    return msg_rcv(t, (int)a->v[0], uaddr(a->v[1]), a->v[2], (int64_t)a->v[3], (int)a->v[4]);
}

int64_t sys_msgctl(struct task *t, const struct sysargs *a)
{
    return msg_ctl(t, (int)a->v[0], (int)a->v[1], uaddr(a->v[2]));
}

int64_t sys_shmget(struct task *t, const struct sysargs *a)
{
    return shm_get(t, (int)a->v[0], a->v[1], (int)a->v[2]);
}

int64_t sys_shmat(struct task *t, const struct sysargs *a)
{
    return shm_at(t, (int)a->v[0], a->v[1], (int)a->v[2]);
}

int64_t sys_shmdt(struct task *t, const struct sysargs *a)
{
    return shm_dt(t, a->v[0]);
}

int64_t sys_shmctl(struct task *t, const struct sysargs *a)
{
    return shm_ctl(t, (int)a->v[0], (int)a->v[1], uaddr(a->v[2]));
}

/* ---- POSIX message queues
 * ----------------------------------------------------------------------------- */

int64_t sys_mq_open(struct task *t, const struct sysargs *a)
{
    struct mq_attr attr;
    char *name;
    if (a->v[3] && uaccess_read_obj(t->mm, &attr, uaddr(a->v[3])))
        return -EFAULT;
    int err = vfs_path_import(t, uaddr(a->v[0]), /*empty_ok=*/false, &name);
    if (err)
        return err;
    int64_t fd = mq_do_open(t, name, (int)a->v[1], (uint32_t)a->v[2], a->v[3] ? &attr : NULL);
    free(name);
    return fd;
}

int64_t sys_mq_unlink(struct task *t, const struct sysargs *a)
{
    char *name;
    int64_t err = vfs_path_import(t, uaddr(a->v[0]), /*empty_ok=*/false, &name);
    if (err)
        return err;
    err = mq_do_unlink(t, name);
    free(name);
    return err;
}

/* The absolute CLOCK_REALTIME timeout of mq_timed*. */
static int mq_deadline(struct task *t, uint64_t ua, int64_t *deadline)
{
    struct timespec ts;
    *deadline = DEADLINE_NONE;
    if (!ua)
        return 0;
    if (uaccess_read_obj(t->mm, &ts, uaddr(ua)))
        return -EFAULT;
    int err = time_from_timespec(&ts, deadline);
    if (!err)
        *deadline = time_sleep_deadline(CLOCK_REALTIME, *deadline);
    return err;
}

int64_t sys_mq_timedsend(struct task *t, const struct sysargs *a)
{
    int64_t deadline;
    int err = mq_deadline(t, a->v[4], &deadline);
    return err ? err
               : mq_do_send(t, (int)a->v[0], uaddr(a->v[1]), a->v[2], (unsigned)a->v[3], deadline);
}

int64_t sys_mq_timedreceive(struct task *t, const struct sysargs *a)
{
    int64_t deadline;
    int err = mq_deadline(t, a->v[4], &deadline);
    return err ? err
               : mq_do_receive(t, (int)a->v[0], uaddr(a->v[1]), a->v[2], uaddr(a->v[3]), deadline);
}

int64_t sys_mq_notify(struct task *t, const struct sysargs *a)
{
    struct sigevent ev;
    if (a->v[1] && uaccess_read_obj(t->mm, &ev, uaddr(a->v[1])))
        return -EFAULT;
    return mq_do_notify(t, (int)a->v[0], a->v[1] ? &ev : NULL);
}

int64_t sys_mq_getsetattr(struct task *t, const struct sysargs *a)
{
    struct mq_attr set, old;
    if (a->v[1] && uaccess_read_obj(t->mm, &set, uaddr(a->v[1])))
        return -EFAULT;
    int64_t err = mq_do_attr(t, (int)a->v[0], a->v[1] ? &set : NULL, &old);
    if (!err && a->v[2] && uaccess_write_obj(t->mm, uaddr(a->v[2]), &old))
        err = -EFAULT;
    return err;
}
