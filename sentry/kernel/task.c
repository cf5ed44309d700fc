/* Tasks and processes as objects: making, finding, counting, waking. What they do is in
 * task_loop.c, signal.c, clone.c, exec.c and exit.c. */
#include "kernel/kernel_priv.h"

#include "base/host.h"
#include "base/log.h"
#include "fs/vfs.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct kernel g_kernel;

/* ---- objects ----------------------------------------------------------------------------------
 */

struct task *task_new(void)
{
    struct task *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    ref_init(&t->ref);
    lock_init(&t->lock, LR_TASK);
    list_node_init(&t->process_node);
    sigpending_init(&t->pending);
    t->altstack.flags = SS_DISABLE;
    t->timer_slack_ns = 50000;
    t->mce_policy = 2; /* PR_MCE_KILL_DEFAULT */
    return t;
}

struct process *process_new(void)
{
    struct process *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->rlimits = calloc(RLIM_NLIMITS, sizeof(*p->rlimits));
    p->sighand = sighand_new();
    if (!p->rlimits || !p->sighand) {
        free(p->rlimits);
        free(p->sighand);
        free(p);
        return NULL;
    }
    p->actions = p->sighand->actions;
    ref_init(&p->ref);
    list_node_init(&p->all_node);
    list_node_init(&p->sibling_node);
    list_node_init(&p->pgrp_node);
    list_init(&p->children);
    list_init(&p->tasks);
    waitq_init(&p->child_wq);
    waitq_init(&p->signal_wq);
    lock_init(&p->exec_lock, LR_EXEC);
    lock_init(&p->sig_lock, LR_SIGHAND);
    sigpending_init(&p->shared_pending);
    p->start_ns = time_now();
    p->dumpable = true;
    p->loginuid = p->sessionid = UINT32_MAX;
    p->coredump_filter = 0x33; /* anonymous memory, ELF headers, private huge pages */
    itimer_init(p);
    return p;
}

static void process_free(struct process *p)
{
    bug_on(list_linked(&p->all_node));
    timer_cancel(&p->real_timer);
    timer_cancel(&p->cpu_timer); /* another process's prlimit may have set it after our exit */
    lock_destroy(&p->exec_lock);
    lock_destroy(&p->sig_lock);
    sighand_put(p->sighand);
    keys_process_free(p);
    if (p->container)
        container_put(p->container);
    if (p->watch)
        exit_watch_put(p->watch);
    free(p->rlimits);
    pid_put(p->id);
    free(p);
}

static void task_free(struct task *t)
{
    bug_on(t->ctx);
    if (t->cred)
        cred_put(t->cred);
    if (t->mount_ns)
        mount_ns_put(t->mount_ns);
    seccomp_put(t);
    keys_task_free(t);
    pid_put(t->id);
    ns_set_put(t->ns_set);
    if (t->process)
        process_put(t->process);
    lock_destroy(&t->lock);
    free(t);
}

void task_get(struct task *t)
{
    ref_get(&t->ref);
}

void task_put(struct task *t)
{
    if (ref_put(&t->ref))
        task_free(t);
}

void process_get(struct process *p)
{
    ref_get(&p->ref);
}

void process_put(struct process *p)
{
    if (ref_put(&p->ref))
        process_free(p);
}

/* ---- lookup -----------------------------------------------------------------------------------
 */

/* The namespace whose numbers the caller uses. */
static struct pid_ns *lookup_ns(void)
{
    struct task *t = task_current();
    return t ? t->process->pid_ns : g_kernel.root_pid_ns;
}

static struct task *task_find(struct pid_ns *ns, int nr)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid *id = pid_find_in_locked(ns, nr);
    if (!id || !id->task)
        return NULL;
    task_get(id->task);
    return id->task;
}

static struct process *process_find(struct pid_ns *ns, int nr)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid *id = pid_find_in_locked(ns, nr);
    if (!id || !id->process)
        return NULL;
    process_get(id->process);
    return id->process;
}

struct task *task_lookup(int nr)
{
    return task_find(lookup_ns(), nr);
}

struct process *process_lookup(int nr)
{
    return process_find(lookup_ns(), nr);
}

struct task *task_by_id(int id)
{
    return task_find(g_kernel.root_pid_ns, id);
}

struct process *process_by_id(int id)
{
    return process_find(g_kernel.root_pid_ns, id);
}

struct process *process_next_in(struct pid_ns *ns, int after)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid *id = pid_next_locked(ns, after);
    while (id && !id->process)
        id = pid_next_locked(ns, pid_nr(id, ns));
    if (!id)
        return NULL;
    process_get(id->process);
    return id->process;
}

struct process *process_next(int after)
{
    return process_next_in(g_kernel.root_pid_ns, after);
}

struct task *task_next_in(struct process *p, struct pid_ns *ns, int after)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct task *t, *best = NULL;
    int least = 0;
    list_for_each(t, &p->tasks, process_node)
    {
        int nr = task_nr(t, ns);
        if (nr > after && (!best || nr < least))
            best = t, least = nr;
    }
    if (best)
        task_get(best);
    return best;
}

struct task *task_next(struct process *p, int after)
{
    return task_next_in(p, g_kernel.root_pid_ns, after);
}

int process_nr(const struct process *p, const struct pid_ns *ns)
{
    return ns == p->pid_ns ? p->vpid : ns->level ? pid_nr(p->id, ns) : p->pid;
}

int task_nr(const struct task *t, const struct pid_ns *ns)
{
    return ns == t->process->pid_ns ? t->vtid : ns->level ? pid_nr(t->id, ns) : t->tid;
}

int task_nr_of(struct task *t, const struct pid_ns *ns)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return task_nr(t, ns);
}

void process_number(struct process *p, struct pid *id)
{
    p->id = pid_get(id);
    p->pid = pid_id(id);
    p->pid_ns = id->numbers[id->level].ns;
    p->vpid = id->numbers[id->level].nr;
    id->process = p;
}

void task_link_locked(struct task *t, struct pid *id)
{
    struct process *p = t->process;
    t->id = pid_get(id);
    t->tid = pid_id(id);
    t->vtid = id->numbers[id->level].nr;
    id->task = t;
    list_push_back(&p->tasks, &t->process_node);
    p->task_count++;
    g_kernel.task_count++;
    p->container->task_count++;
}

/* ---- what others may see of a task -------------------------------------------------------------
 */

struct cred *task_cred_get(struct task *t)
{
    LOCK_GUARD(&t->lock);
    return cred_get(t->cred);
}

struct mm *task_mm_get(struct task *t)
{
    LOCK_GUARD(&t->lock);
    if (t->mm)
        mm_get(t->mm);
    return t->mm;
}

struct fdtable *task_fds_get(struct task *t)
{
    LOCK_GUARD(&t->lock);
    if (t->fds)
        fdtable_get_ref(t->fds);
    return t->fds;
}

struct fs_struct *task_fs_get(struct task *t)
{
    LOCK_GUARD(&t->lock);
    if (t->fs)
        fs_struct_get(t->fs);
    return t->fs;
}

char process_state_char(struct process *p)
{
    LOCK_GUARD(&p->sig_lock);
    if (p->state == PROCESS_ZOMBIE)
        return 'Z';
    if (p->state == PROCESS_DEAD)
        return 'X';
    if (p->state == PROCESS_STOPPED)
        return 'T';
    struct task *t;
    list_for_each(t, &p->tasks,
                  process_node) if (__atomic_load_n(&t->in_guest, __ATOMIC_RELAXED) ||
                                    !(__atomic_load_n(&t->park, __ATOMIC_RELAXED) & 1)) return 'R';
    return 'S';
}

/* Of one thread: what /proc says of it, or of its process if it leads one. */
char task_state_char(struct task *t)
{
    struct process *p = t->process;
    LOCK_GUARD(&g_kernel.tasks_lock);
    if (ptrace_is_stopped_locked(t))
        return 't';
    LOCK_GUARD(&p->sig_lock);
    if (p->state == PROCESS_DEAD)
        return 'X';
    if (t->exiting || p->state == PROCESS_ZOMBIE)
        return 'Z';
    if (t->stop_counted && !t->stop_done)
        return 'T';
    bool runs = __atomic_load_n(&t->in_guest, __ATOMIC_RELAXED) ||
                !(__atomic_load_n(&t->park, __ATOMIC_RELAXED) & 1);
    return runs ? 'R' : 'S';
}

int task_tracer_nr(struct task *t, struct pid_ns *ns)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct process *tracer = ptrace_tracer_locked(t);
    return tracer ? process_nr(tracer, ns) : 0;
}

void task_comm(struct task *t, char out[16])
{
    LOCK_GUARD(&t->lock);
    memcpy(out, t->comm, 16);
}

/* ---- sleep and wake ---------------------------------------------------------------------------
 *
 * task.park counts wake-ups in steps of two; bit 0 says that the thread is (about to be) asleep in
 * the host, so only then a waker pays for a host call. */

void task_wake(struct task *t)
{
    uint32_t old = __atomic_load_n(&t->park, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&t->park, &old, (old & ~1u) + 2, /*weak=*/true,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    if (old & 1)
        host_futex_wake(&t->park, 1);
}

void task_sleep_prepare(struct task *t)
{
    t->park_seen = __atomic_load_n(&t->park, __ATOMIC_SEQ_CST) & ~1u;
}

/* Another wake-up, or the deadline, ended a sleep: clear the flag unless a waker has. */
static void park_leave(struct task *t)
{
    uint32_t asleep = t->park_seen | 1;
    __atomic_compare_exchange_n(&t->park, &asleep, t->park_seen, /*weak=*/false, __ATOMIC_SEQ_CST,
                                __ATOMIC_RELAXED);
}

/* Sleep until a time of the wall clock. Setting the clock wakes us: the caller looks again. */
static int64_t wall_deadline(struct task *t, int64_t deadline_ns)
{
    __atomic_store_n(&t->wall_sleeper, true, __ATOMIC_SEQ_CST);
    return time_to_deadline(CLOCK_REALTIME, time_of_wall(deadline_ns));
}

void tasks_clock_set(void)
{
    struct process *p;
    struct task *t;
    for (int pid = 0; (p = process_next(pid)); process_put(p)) {
        pid = p->pid;
        for (int tid = 0; (t = task_next(p, tid)); task_put(t)) {
            tid = t->tid;
            if (__atomic_load_n(&t->wall_sleeper, __ATOMIC_SEQ_CST))
                task_wake(t);
        }
    }
}

static int task_park(struct task *t, int64_t deadline_ns)
{
    uint32_t seen = t->park_seen;
    if (!__atomic_compare_exchange_n(&t->park, &seen, t->park_seen | 1, /*weak=*/false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return 0;
    t->nvcsw++;
    int64_t stopped = __atomic_load_n(&t->current_since_ns, __ATOMIC_RELAXED);
    int64_t slept_from = stopped ? time_now() : 0;
    int r = host_futex_wait(&t->park, t->park_seen | 1, deadline_ns);
    park_leave(t);
    if (stopped) /* time asleep is not system time */
        t->asleep_ns += time_now() - slept_from;
    return r == -ETIMEDOUT ? r : 0;
}

int task_sleep(struct task *t, int64_t deadline_ns, bool interruptible)
{
    lock_check_none_held();
    if (interruptible ? signal_pending(t) : signal_fatal_pending(t))
        return -ERESTARTSYS;
    if (deadline_ns >= 0)
        return task_park(t, deadline_ns);
    int r = task_park(t, wall_deadline(t, deadline_ns));
    __atomic_store_n(&t->wall_sleeper, false, __ATOMIC_RELAXED);
    return r;
}

void task_sleep_dying(struct task *t)
{
    lock_check_none_held();
    (void)task_park(t, DEADLINE_NONE);
}

static void task_waiter_wake(struct waiter *w, unsigned events)
{
    task_wake(container_of(w, struct task_waiter, w)->task);
}

void task_waiter_init(struct task_waiter *tw, struct task *t, unsigned events)
{
    list_node_init(&tw->w.node);
    tw->w.wake = task_waiter_wake;
    tw->w.events = events;
    tw->task = t;
}

void task_kick(struct task *t, uint32_t notify)
{
    __atomic_or_fetch(&t->notify, notify, __ATOMIC_SEQ_CST);
    task_wake(t);
    if (!__atomic_load_n(&t->in_guest, __ATOMIC_SEQ_CST))
        return;
    LOCK_GUARD(&t->lock);
    if (t->ctx)
        pl_ops()->ctx_interrupt(t->ctx);
}
