/* System V semaphores: semget(2), semop(2), semctl(2).
 *
 * An operation list is tried as a whole under the table lock: either all of it applies or nothing
 * does. One that cannot apply sleeps on its set's queue and tries again after each change of the
 * set. */
#include "base/overflow.h"
#include "ipc/ipc_priv.h"
#include "time/time.h"

#include <errno.h>
#include <linux/sem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEM_MAX_VALUE 32767
/* One call may hold so many operations whatever SEMOPM says: they are on the stack. */
#define SEM_OPS_ROOM 500

struct sem {
    int value;             /* lock: table */
    int pid;               /* lock: table; last operator */
    unsigned waiting_more; /* lock: table; sleepers until it grows (GETNCNT) */
    unsigned waiting_zero; /* lock: table; sleepers until it is zero (GETZCNT) */
};

struct sem_set {
    struct ipc_object obj;
    struct waitq wq;
    int64_t otime, ctime; /* lock: table; seconds */
    unsigned count;       /* const */
    struct list undos;    /* lock: table; struct sem_undo */
    struct sem sems[];
};

/* What a process's exit must add back. */
struct sem_undo {
    struct list_node node; /* lock: table; set.undos */
    int pid;
    int16_t adjust[]; /* one per semaphore of the set */
};

static void sem_destroy(struct ipc_object *o)
{
    struct sem_set *s = container_of(o, struct sem_set, obj);
    struct sem_undo *u, *tmp;
    list_for_each_safe(u, tmp, &s->undos, node)
    {
        list_del(&u->node);
        free(u);
    }
    free(s);
}

struct ipc_table g_sem_table = {
    .lock = LOCK_INITIALIZER(LR_IPC),
    .kind = IPC_SEM_KIND,
    .max = &g_ipc_limits.sem[3],
    .next_id = &g_ipc_limits.sem_next,
    .destroy = sem_destroy,
};

static int64_t now_seconds(void)
{
    return time_realtime() / NSEC_PER_SEC;
}

/* All semaphores of the namespace: SEMMNS. */
static int64_t sem_total_locked(void)
{
    const struct ipc_ids *ids = ipc_ids(&g_sem_table);
    int64_t sum = 0;
    for (unsigned i = 0; i < ids->capacity; i++)
        if (ids->slots[i])
            sum += container_of(ids->slots[i], struct sem_set, obj)->count;
    return sum;
}

static int sem_create(struct task *t, void *arg, struct ipc_object **out)
{
    int count = *(int *)arg;
    if (count <= 0)
        return -EINVAL;
    if (sem_total_locked() + count > ipc_limit(&g_ipc_limits.sem[1]))
        return -ENOSPC;
    struct sem_set *s = calloc(1, sizeof(*s) + count * sizeof(s->sems[0]));
    if (!s)
        return -ENOMEM;
    waitq_init(&s->wq);
    list_init(&s->undos);
    s->count = count;
    s->ctime = now_seconds();
    *out = &s->obj;
    return 0;
}

static int sem_check_existing(struct ipc_object *o, void *arg)
{
    return *(int *)arg > (int)container_of(o, struct sem_set, obj)->count ? -EINVAL : 0;
}

int64_t sem_get(struct task *t, int key, int count, int flags)
{
    if (count < 0 || count > ipc_limit(&g_ipc_limits.sem[0]))
        return -EINVAL;
    return ipc_get(&g_sem_table, t, key, flags, sem_create, sem_check_existing, &count);
}

static struct sem_set *sem_find_locked(int id, int *err)
{
    struct ipc_object *o = ipc_find_locked(&g_sem_table, id, err);
    return o ? container_of(o, struct sem_set, obj) : NULL;
}

/* ---- semop
 * ------------------------------------------------------------------------------------------- */

static struct sem_undo *undo_of(struct sem_set *s, int pid, bool create)
{
    struct sem_undo *u;
    list_for_each(u, &s->undos, node) if (u->pid == pid) return u;
    u = create ? calloc(1, sizeof(*u) + s->count * sizeof(u->adjust[0])) : NULL;
    if (u) {
        u->pid = pid;
        list_push_back(&s->undos, &u->node);
    }
    return u;
}

/* Nothing is changed unless everything can be: values are first computed, then stored. */
static int try_ops(struct sem_set *s, const struct sembuf *ops, unsigned count, struct sem_undo *u,
                   int *values, const struct sembuf **blocker)
{
    for (unsigned i = 0; i < count; i++)
        values[i] = s->sems[ops[i].sem_num].value;
    for (unsigned i = 0; i < count; i++) {
        const struct sembuf *op = &ops[i];
        int v = s->sems[op->sem_num].value;
        for (unsigned j = 0; j < i; j++) /* earlier operations of the list count */
            if (ops[j].sem_num == op->sem_num)
                v = values[j];
        *blocker = op;
        if ((op->sem_op == 0 && v != 0) || v + op->sem_op < 0)
            return -EAGAIN;
        if (v + op->sem_op > SEM_MAX_VALUE)
            return -ERANGE;
        if ((op->sem_flg & SEM_UNDO) && u &&
            abs(u->adjust[op->sem_num] - op->sem_op) > SEM_MAX_VALUE)
            return -ERANGE;
        values[i] = v + op->sem_op;
    }
    return 0;
}

static void commit_ops(struct task *t, struct sem_set *s, const struct sembuf *ops, unsigned count,
                       struct sem_undo *u, const int *values)
{
    bool changed = false;
    for (unsigned i = 0; i < count; i++) {
        s->sems[ops[i].sem_num].value = values[i];
        s->sems[ops[i].sem_num].pid = t->process->pid;
        changed |= ops[i].sem_op != 0;
        if (u && (ops[i].sem_flg & SEM_UNDO))
            u->adjust[ops[i].sem_num] -= ops[i].sem_op;
    }
    s->otime = now_seconds();
    if (changed)
        waitq_wake(&s->wq, ~0u);
}

static int check_ops(struct task *t, struct sem_set *s, const struct sembuf *ops, unsigned count,
                     bool *undo)
{
    unsigned want = 0;
    for (unsigned i = 0; i < count; i++) {
        if (ops[i].sem_num >= s->count)
            return -EFBIG;
        want |= ops[i].sem_op ? 2 : 4;
        *undo |= ops[i].sem_flg & SEM_UNDO;
    }
    return ipc_access(t, &s->obj, want);
}

struct sem_call {
    struct task *t;
    struct sem_set *set; /* counted once found */
    const struct sembuf *ops;
    unsigned count;
    int *values;
};

static void count_waiter(struct sem_set *s, const struct sembuf *op, int by)
{
    if (op->sem_op == 0)
        s->sems[op->sem_num].waiting_zero += by;
    else
        s->sems[op->sem_num].waiting_more += by;
}

/* One attempt. *blocker is counted as waiting while the answer is -EAGAIN and the caller may sleep.
 */
static int attempt(struct sem_call *c, const struct sembuf **blocker)
{
    LOCK_GUARD(&g_sem_table.lock);
    struct sem_set *s = c->set;
    bool undo = false;
    if (*blocker)
        count_waiter(s, *blocker, -1);
    *blocker = NULL;
    if (s->obj.removed)
        return -EIDRM;
    int err = check_ops(c->t, s, c->ops, c->count, &undo);
    if (err)
        return err;
    struct sem_undo *u = undo ? undo_of(s, c->t->process->pid, /*create=*/true) : NULL;
    if (undo && !u)
        return -ENOMEM;
    const struct sembuf *b = NULL;
    err = try_ops(s, c->ops, c->count, u, c->values, &b);
    if (err == 0)
        commit_ops(c->t, s, c->ops, c->count, u, c->values);
    if (err == -EAGAIN && !(b->sem_flg & IPC_NOWAIT)) {
        *blocker = b;
        count_waiter(s, b, 1);
    }
    return err;
}

static void stop_waiting(struct sem_call *c, const struct sembuf *blocker)
{
    LOCK_GUARD(&g_sem_table.lock);
    if (blocker)
        count_waiter(c->set, blocker, -1);
}

static int64_t run_ops(struct sem_call *c, int64_t deadline)
{
    const struct sembuf *blocker = NULL;
    struct task_waiter w;
    int err, woken = 0;
    task_waiter_init(&w, c->t, ~0u);
    waitq_add(&c->set->wq, &w.w);
    for (;;) {
        task_sleep_prepare(c->t);
        err = attempt(c, &blocker);
        if (err != -EAGAIN || !blocker || woken)
            break;
        woken = task_sleep(c->t, deadline, /*interruptible=*/true);
    }
    waitq_remove(&c->set->wq, &w.w);
    stop_waiting(c, blocker);
    if (err == -EAGAIN && woken)
        return woken == -ETIMEDOUT ? -EAGAIN : -EINTR; /* never restarted: signal(7) */
    return err;
}

int64_t sem_op(struct task *t, int id, const struct sembuf *ops, unsigned count, int64_t deadline)
{
    if (count == 0)
        return -EINVAL;
    if (count > ipc_limit(&g_ipc_limits.sem[2]) || count > SEM_OPS_ROOM)
        return -E2BIG;
    int err, values[SEM_OPS_ROOM];
    struct sem_call c = {.t = t, .ops = ops, .count = count, .values = values};
    {
        LOCK_GUARD(&g_sem_table.lock);
        c.set = sem_find_locked(id, &err);
        if (!c.set)
            return err;
        ref_get(&c.set->obj.ref);
    }
    int64_t ret = run_ops(&c, deadline);
    ipc_put(&g_sem_table, &c.set->obj);
    return ret;
}

/* ---- semctl
 * ------------------------------------------------------------------------------------------ */

static void fill_ds(struct sem_set *s, struct semid64_ds *ds)
{
    memset(ds, 0, sizeof(*ds));
    ipc_perm_fill(&s->obj, &ds->sem_perm);
    ds->sem_otime = s->otime;
    ds->sem_ctime = s->ctime;
    ds->sem_nsems = s->count;
}

static int64_t ctl_stat(struct task *t, int id, int cmd, uint64_t arg)
{
    struct semid64_ds ds;
    int64_t ret = 0;
    {
        LOCK_GUARD(&g_sem_table.lock);
        int err = -EINVAL;
        struct ipc_object *o = cmd == IPC_STAT ? ipc_find_locked(&g_sem_table, id, &err)
                                               : ipc_index_locked(&g_sem_table, id);
        if (!o)
            return err;
        err = cmd == SEM_STAT_ANY ? 0 : ipc_access(t, o, 4);
        if (err)
            return err;
        fill_ds(container_of(o, struct sem_set, obj), &ds);
        ret = cmd == IPC_STAT ? 0 : o->id;
    }
    return uaccess_write_obj(t->mm, uaddr(arg), &ds) ? -EFAULT : ret;
}

static int64_t ctl_info(struct task *t, int cmd, uint64_t arg)
{
    const int64_t *l = g_ipc_limits.sem;
    struct seminfo info = {.semmap = ipc_limit(&l[1]),
                           .semmni = ipc_limit(&l[3]),
                           .semmns = ipc_limit(&l[1]),
                           .semmnu = ipc_limit(&l[1]),
                           .semmsl = ipc_limit(&l[0]),
                           .semopm = ipc_limit(&l[2]),
                           .semume = ipc_limit(&l[2]),
                           .semusz = 20,
                           .semvmx = SEM_MAX_VALUE,
                           .semaem = SEM_MAX_VALUE};
    int64_t ret;
    {
        LOCK_GUARD(&g_sem_table.lock);
        const struct ipc_ids *ids = ipc_ids(&g_sem_table);
        ret = ids->max_index;
        if (cmd == SEM_INFO) {
            info.semusz = ids->used;
            info.semaem = 0;
            for (unsigned i = 0; i < ids->capacity; i++)
                if (ids->slots[i])
                    info.semaem += container_of(ids->slots[i], struct sem_set, obj)->count;
        }
    }
    return uaccess_write_obj(t->mm, uaddr(arg), &info) ? -EFAULT : ret;
}

static int64_t ctl_set(struct task *t, int id, uint64_t arg)
{
    struct semid64_ds ds;
    int err;
    if (uaccess_read_obj(t->mm, &ds, uaddr(arg)))
        return -EFAULT;
    LOCK_GUARD(&g_sem_table.lock);
    struct sem_set *s = sem_find_locked(id, &err);
    if (!s)
        return err;
    err = ipc_perm_set_locked(t, &s->obj, &ds.sem_perm);
    if (!err)
        s->ctime = now_seconds();
    return err;
}

static int64_t ctl_remove(struct task *t, int id)
{
    int err;
    LOCK_GUARD(&g_sem_table.lock);
    struct sem_set *s = sem_find_locked(id, &err);
    if (!s)
        return err;
    err = ipc_owner(t, &s->obj);
    if (err)
        return err;
    ref_get(&s->obj.ref);
    ipc_remove_locked(&g_sem_table, &s->obj);
    waitq_wake(&s->wq, ~0u);
    ipc_put(&g_sem_table, &s->obj);
    return 0;
}

static int64_t ctl_getall(struct task *t, int id, uint64_t arg)
{
    uint16_t *values;
    unsigned count;
    int err;
    {
        LOCK_GUARD(&g_sem_table.lock);
        struct sem_set *s = sem_find_locked(id, &err);
        if (!s || (err = ipc_access(t, &s->obj, 4)))
            return err;
        count = s->count;
        values = malloc(count * sizeof(*values));
        for (unsigned i = 0; values && i < count; i++)
            values[i] = s->sems[i].value;
    }
    if (!values)
        return -ENOMEM;
    err = uaccess_write(t->mm, uaddr(arg), values, count * sizeof(*values));
    free(values);
    return err;
}

/* A direct assignment cancels every undo for the semaphore: semctl(2). */
static void assign_locked(struct task *t, struct sem_set *s, unsigned num, int value)
{
    struct sem_undo *u;
    s->sems[num].value = value;
    s->sems[num].pid = t->process->pid;
    list_for_each(u, &s->undos, node) u->adjust[num] = 0;
}

static int64_t setall_locked(struct task *t, int id, const uint16_t *values, unsigned count)
{
    int err;
    LOCK_GUARD(&g_sem_table.lock);
    struct sem_set *s = sem_find_locked(id, &err);
    if (!s || (err = ipc_access(t, &s->obj, 2)))
        return err;
    if (s->count != count)
        return -EIDRM;
    for (unsigned i = 0; i < count; i++)
        if (values[i] > SEM_MAX_VALUE)
            return -ERANGE;
    for (unsigned i = 0; i < count; i++)
        assign_locked(t, s, i, values[i]);
    s->ctime = now_seconds();
    waitq_wake(&s->wq, ~0u);
    return 0;
}

static int64_t ctl_setall(struct task *t, int id, uint64_t arg)
{
    unsigned count;
    int err;
    {
        LOCK_GUARD(&g_sem_table.lock);
        struct sem_set *s = sem_find_locked(id, &err);
        if (!s || (err = ipc_access(t, &s->obj, 2)))
            return err;
        count = s->count;
    }
    uint16_t *values = malloc(count * sizeof(*values));
    if (!values)
        return -ENOMEM;
    int64_t ret = uaccess_read(t->mm, values, uaddr(arg), count * sizeof(*values));
    if (!ret)
        ret = setall_locked(t, id, values, count);
    free(values);
    return ret;
}

static int64_t ctl_one(struct task *t, int id, int num, int cmd, int value)
{
    int err;
    bool set = cmd == SETVAL;
    if (set && (value < 0 || value > SEM_MAX_VALUE))
        return -ERANGE;
    LOCK_GUARD(&g_sem_table.lock);
    struct sem_set *s = sem_find_locked(id, &err);
    if (!s)
        return err;
    bool bad = num < 0 || num >= (int)s->count;
    if (set && bad)
        return -EINVAL;
    err = ipc_access(t, &s->obj, set ? 2 : 4);
    if (err || bad)
        return err ? err : -EINVAL;
    struct sem *sem = &s->sems[num];
    switch (cmd) {
    case GETVAL:
        return sem->value;
    case GETPID:
        return sem->pid;
    case GETNCNT:
        return sem->waiting_more;
    case GETZCNT:
        return sem->waiting_zero;
    default: /* SETVAL */
        assign_locked(t, s, num, value);
        s->ctime = now_seconds();
        waitq_wake(&s->wq, ~0u);
        return 0;
    }
}

int64_t sem_ctl(struct task *t, int id, int num, int cmd, uint64_t arg)
{
    if (id < 0)
        return -EINVAL;
    switch (cmd & ~IPC_64) {
    case IPC_INFO:
    case SEM_INFO:
        return ctl_info(t, cmd & ~IPC_64, arg);
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        return ctl_stat(t, id, cmd & ~IPC_64, arg);
    case IPC_SET:
        return ctl_set(t, id, arg);
    case IPC_RMID:
        return ctl_remove(t, id);
    case GETALL:
        return ctl_getall(t, id, arg);
    case SETALL:
        return ctl_setall(t, id, arg);
    case GETPID: {
        int64_t last = ctl_one(t, id, num, GETPID, 0);
        return last < 0 ? last : task_sees_id(t, last);
    }
    case GETVAL:
    case GETNCNT:
    case GETZCNT:
    case SETVAL:
        return ctl_one(t, id, num, cmd & ~IPC_64, (int)arg);
    default:
        return -EINVAL;
    }
}

/* ---- exit
 * -------------------------------------------------------------------------------------------- */

static void undo_apply(struct sem_set *s, struct sem_undo *u)
{
    for (unsigned i = 0; i < s->count; i++) {
        int v = s->sems[i].value + u->adjust[i];
        if (!u->adjust[i])
            continue;
        s->sems[i].value = v < 0 ? 0 : MIN(v, SEM_MAX_VALUE);
        s->sems[i].pid = u->pid;
    }
    list_del(&u->node);
    free(u);
    waitq_wake(&s->wq, ~0u);
}

void sem_process_exit(struct process *p)
{
    const struct ipc_ids *ids = ipc_ids(&g_sem_table);
    if (!__atomic_load_n(&ids->used, __ATOMIC_RELAXED))
        return;
    LOCK_GUARD(&g_sem_table.lock);
    for (unsigned i = 0; i < ids->capacity; i++) {
        if (!ids->slots[i])
            continue;
        struct sem_set *s = container_of(ids->slots[i], struct sem_set, obj);
        struct sem_undo *u = undo_of(s, p->pid, /*create=*/false);
        if (u)
            undo_apply(s, u);
    }
}

int sem_proc_line(struct ipc_object *o, char *buf, size_t size)
{
    struct sem_set *s = container_of(o, struct sem_set, obj);
    return snprintf(buf, size, "%10d %10d  %4o %10u %5u %5u %5u %5u %10ld %10ld\n", (int)o->key,
                    o->id, o->mode, s->count, o->uid, o->gid, o->cuid, o->cgid, (long)s->otime,
                    (long)s->ctime);
}
