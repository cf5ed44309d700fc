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
    free(p->rlimits);
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

struct task *task_lookup(int tid)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid_node *n = pid_find_locked(tid);
    if (!n || !n->task)
        return NULL;
    task_get(n->task);
    return n->task;
}

struct process *process_lookup(int pid)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid_node *n = pid_find_locked(pid);
    if (!n || !n->process)
        return NULL;
    process_get(n->process);
    return n->process;
}

struct process *process_next(int after)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid_node *n = pid_next_locked(after);
    while (n && !n->process)
        n = pid_next_locked(n->id);
    if (!n)
        return NULL;
    process_get(n->process);
    return n->process;
}

struct task *task_next(struct process *p, int after)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct task *t, *best = NULL;
    list_for_each(t, &p->tasks, process_node) if (t->tid > after && (!best || t->tid < best->tid))
        best = t;
    if (best)
        task_get(best);
    return best;
}

void task_link_locked(struct task *t, struct pid_node *n)
{
    struct process *p = t->process;
    t->tid = n->id;
    n->task = t;
    list_push_back(&p->tasks, &t->process_node);
    p->task_count++;
    g_kernel.task_count++;
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

int task_sleep(struct task *t, int64_t deadline_ns, bool interruptible)
{
    lock_check_none_held();
    if (interruptible ? signal_pending(t) : signal_fatal_pending(t))
        return -ERESTARTSYS;
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
