/* futex, futex_waitv, futex_wait, futex_wake, futex_requeue, robust lists. */
#include "syscalls/syscalls.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>

#define FUTEX2_SIZE_U32_K 2
#define FUTEX2_PRIVATE_K  128

/* The deadline of a futex(2) operation: relative for FUTEX_WAIT, absolute for the others. */
static int futex_deadline(struct task *t, int op, uint64_t ua, int64_t *deadline)
{
    int cmd = op & FUTEX_CMD_MASK;
    struct timespec ts;
    int64_t ns;
    *deadline = DEADLINE_NONE;
    if (!ua)
        return 0;
    if (uaccess_read_obj(t->mm, &ts, uaddr(ua)))
        return -EFAULT;
    if (time_from_timespec(&ts, &ns))
        return -EINVAL;
    if (cmd == FUTEX_WAIT)
        *deadline = time_after(ns);
    else if (cmd == FUTEX_LOCK_PI || (op & FUTEX_CLOCK_REALTIME))
        *deadline = time_sleep_deadline(CLOCK_REALTIME, ns);
    else
        *deadline = ns;
    return 0;
}

static bool futex_has_timeout(int cmd)
{
    return cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_LOCK_PI ||
           cmd == FUTEX_LOCK_PI2 || cmd == FUTEX_WAIT_REQUEUE_PI;
}

int64_t sys_futex(struct task *t, const struct sysargs *a)
{
    int op = a->v[1], cmd = op & FUTEX_CMD_MASK;
    uint64_t addr = a->v[0], addr2 = a->v[4];
    uint32_t val = a->v[2], val3 = a->v[5];
    int val2 = a->v[3];
    bool shared = !(op & FUTEX_PRIVATE_FLAG);
    int64_t deadline = DEADLINE_NONE;
    if ((op & FUTEX_CLOCK_REALTIME) && cmd != FUTEX_WAIT_BITSET && cmd != FUTEX_WAIT_REQUEUE_PI &&
        cmd != FUTEX_LOCK_PI2)
        return -ENOSYS;
    int r = futex_has_timeout(cmd) ? futex_deadline(t, op, a->v[3], &deadline) : 0;
    if (r)
        return r;
    switch (cmd) {
    case FUTEX_WAIT:
        return futex_wait(t, addr, shared, val, FUTEX_ANY, deadline);
    case FUTEX_WAIT_BITSET:
        return futex_wait(t, addr, shared, val, val3, deadline);
    case FUTEX_WAKE:
        return futex_wake(t, addr, shared, val, FUTEX_ANY);
    case FUTEX_WAKE_BITSET:
        return futex_wake(t, addr, shared, val, val3);
    case FUTEX_REQUEUE:
        return futex_requeue(t, addr, addr2, shared, val, val2, NULL, /*to_pi=*/false);
    case FUTEX_CMP_REQUEUE:
        return futex_requeue(t, addr, addr2, shared, val, val2, &val3, /*to_pi=*/false);
    case FUTEX_CMP_REQUEUE_PI:
        if (val != 1)
            return -EINVAL;
        return futex_requeue(t, addr, addr2, shared, val, val2, &val3, /*to_pi=*/true);
    case FUTEX_WAKE_OP:
        return futex_wake_op(t, addr, addr2, shared, val, val2, val3);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi(t, addr, shared, /*try_only=*/false, deadline);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(t, addr, shared, /*try_only=*/true, DEADLINE_NONE);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(t, addr, shared);
    case FUTEX_WAIT_REQUEUE_PI:
        return futex_wait_requeue_pi(t, addr, addr2, shared, val, val3, deadline);
    }
    return -ENOSYS;
}

/* ---- the newer calls ----------------------------------------------------------------------------
 */

static int futex2_deadline(struct task *t, uint64_t ua, int clockid, int64_t *deadline)
{
    struct timespec ts;
    int64_t ns;
    *deadline = DEADLINE_NONE;
    if (!ua)
        return 0;
    if (clockid != CLOCK_MONOTONIC && clockid != CLOCK_REALTIME)
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &ts, uaddr(ua)))
        return -EFAULT;
    if (time_from_timespec(&ts, &ns))
        return -EINVAL;
    *deadline = time_sleep_deadline(clockid, ns);
    return 0;
}

static int waitv_import(struct task *t, uint64_t ua, unsigned count, struct futex_many *out)
{
    for (unsigned i = 0; i < count; i++) {
        struct futex_waitv w;
        if (uaccess_read_obj(t->mm, &w, uaddr(ua + i * sizeof(w))))
            return -EFAULT;
        if ((w.flags & ~(FUTEX2_SIZE_U32_K | FUTEX2_PRIVATE_K)) || w.__reserved ||
            !(w.flags & FUTEX2_SIZE_U32_K) || w.val > UINT32_MAX)
            return -EINVAL;
        out[i] = (struct futex_many){
            .addr = w.uaddr, .value = w.val, .shared = !(w.flags & FUTEX2_PRIVATE_K)};
    }
    return 0;
}

int64_t sys_futex_waitv(struct task *t, const struct sysargs *a)
{
    unsigned count = a->v[1];
    int64_t deadline, r;
    if (!count || count > FUTEX_MANY_MAX || a->v[2] || !a->v[0])
        return -EINVAL;
    struct futex_many *f = calloc(count, sizeof(*f));
    if (!f)
        return -ENOMEM;
    r = futex2_deadline(t, a->v[3], (int)a->v[4], &deadline);
    if (!r)
        r = waitv_import(t, a->v[0], count, f);
    if (!r)
        r = futex_wait_many(t, f, count, deadline);
    free(f);
    return r;
}

static int futex2_flags(uint64_t flags, bool *shared)
{
    if ((flags & ~(uint64_t)(FUTEX2_SIZE_U32_K | FUTEX2_PRIVATE_K)) || !(flags & FUTEX2_SIZE_U32_K))
        return -EINVAL;
    *shared = !(flags & FUTEX2_PRIVATE_K);
    return 0;
}

int64_t sys_futex_wake(struct task *t, const struct sysargs *a)
{
    bool shared;
    int r = futex2_flags(a->v[3], &shared);
    if (r || a->v[1] > UINT32_MAX)
        return -EINVAL;
    return (int)a->v[2] <= 0 ? 0 : futex_wake(t, a->v[0], shared, (int)a->v[2], a->v[1]);
}

int64_t sys_futex_wait(struct task *t, const struct sysargs *a)
{
    bool shared;
    int64_t deadline;
    int r = futex2_flags(a->v[3], &shared);
    if (r || a->v[1] > UINT32_MAX || a->v[2] > UINT32_MAX)
        return -EINVAL;
    r = futex2_deadline(t, a->v[4], (int)a->v[5], &deadline);
    return r ? r : futex_wait(t, a->v[0], shared, a->v[1], a->v[2], deadline);
}

int64_t sys_futex_requeue(struct task *t, const struct sysargs *a)
{
    struct futex_many f[2];
    if (a->v[1] || !a->v[0])
        return -EINVAL;
    int r = waitv_import(t, a->v[0], 2, f);
    if (r)
        return r;
    if ((int)a->v[2] < 0 || (int)a->v[3] < 0)
        return -EINVAL;
    return futex_requeue2(t, f, (int)a->v[2], (int)a->v[3]);
}

/* ---- robust lists -------------------------------------------------------------------------------
 */

#define ROBUST_HEAD_SIZE 24

int64_t sys_set_robust_list(struct task *t, const struct sysargs *a)
{
    if (a->v[1] != ROBUST_HEAD_SIZE)
        return -EINVAL;
    t->robust_list = a->v[0];
    return 0;
}

int64_t sys_get_robust_list(struct task *t, const struct sysargs *a)
{
    struct task *o = a->v[0] ? task_lookup((int)a->v[0]) : t;
    if (!o)
        return -ESRCH;
    int r = cred_may_ptrace(t, o);
    uint64_t head = __atomic_load_n(&o->robust_list, __ATOMIC_RELAXED), size = ROBUST_HEAD_SIZE;
    if (o != t)
        task_put(o);
    if (r)
        return r;
    if (uaccess_write_obj(t->mm, uaddr(a->v[2]), &size) ||
        uaccess_write_obj(t->mm, uaddr(a->v[1]), &head))
        return -EFAULT;
    return 0;
}
