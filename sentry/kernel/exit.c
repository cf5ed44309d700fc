/* Death of tasks and processes.
 *
 * A task ends on its own thread (task_exit), told by exit(2) or by TASK_NOTIFY_EXIT. Order: what
 * others wait for in its memory (tid word, robust futexes, vfork), then files, then the platform
 * thread, then the address space, then the tables. The last task of a process makes it a zombie and
 * tells the parent; wait.c or autoreaping ends that. */
#include "kernel/kernel_priv.h"
#include "kernel/signal_priv.h"

#include "base/host.h"
#include "base/log.h"
#include "fs/vfs.h"
#include "ipc/ipc.h"
#include <errno.h>
#include <stdlib.h>

void process_exit_group_locked(struct process *p, int status)
{
    struct task *t;
    if (!p->group_exiting)
        p->exit_status = status;
    p->group_exiting = true;
    list_for_each(t, &p->tasks, process_node) if (!t->exiting) task_kick(t, TASK_NOTIFY_EXIT);
}

void process_exit_group(struct process *p, int status)
{
    LOCK_GUARD(&p->sig_lock);
    process_exit_group_locked(p, status);
}

void kernel_kill_all(void)
{
    int after = 0;
    struct process *p;
    lock_acquire(&g_kernel.tasks_lock);
    g_kernel.dying = true; /* no child can be entered behind our back from here on */
    lock_release(&g_kernel.tasks_lock);
    while ((p = process_next(after))) {
        after = p->pid;
        process_exit_group(p, SIGKILL);
        process_put(p);
    }
}

/* ---- what a task lets go
 * ------------------------------------------------------------------------- */

static void exit_tell_memory(struct task *t)
{
    futex_exit_robust(t);
    futex_exit_pi(t);
    if (t->clear_child_tid) {
        int32_t zero = 0;
        if (!uaccess_write_obj(t->mm, uaddr(t->clear_child_tid), &zero))
            futex_wake(t, t->clear_child_tid, /*shared=*/true, 1, FUTEX_ANY);
    }
}

static void exit_release_files(struct task *t)
{
    lock_acquire(&t->lock);
    struct fdtable *fds = t->fds;
    struct fs_struct *fs = t->fs;
    struct mount_ns *mounts = t->mount_ns;
    t->fds = NULL;
    t->fs = NULL;
    t->mount_ns = NULL;
    struct ns_set *set = t->ns_set;
    t->ns_set = NULL;
    lock_release(&t->lock);
    if (fds)
        fdtable_put(fds, t);
    if (fs)
        fs_struct_put(fs);
    if (mounts) /* the last of a namespace takes mount locks: not while a parent reaps us */
        mount_ns_put(mounts);
    ns_set_put(set);
}

static void exit_release_memory(struct task *t)
{
    lock_acquire(&t->lock);
    struct pl_ctx *ctx = t->ctx;
    struct mm *mm = t->mm;
    t->ctx = NULL;
    t->mm = NULL;
    lock_release(&t->lock);
    if (ctx)
        pl_ops()->ctx_destroy(ctx);
    vfork_release(t);
    if (mm)
        mm_put(mm);
}

/* ---- the process
 * --------------------------------------------------------------------------------- */

/* Who takes over children of p: the nearest living subreaper above it in its PID namespace, or that
 * one's init. */
static struct process *exit_new_parent_locked(struct process *p)
{
    struct process *a, *init = pid_ns_reaper_locked(p);
    if (!init)
        return NULL;
    for (a = p->parent; a && a != init && a->pid_ns == p->pid_ns; a = a->parent)
        if (a->is_subreaper && !a->group_exiting && a->state < PROCESS_ZOMBIE)
            return a;
    return init;
}

/* Nobody will ever ask for orphans that fell to an init which is no real init: unless it waits or
 * handles SIGCHLD, they vanish by themselves. */
static bool exit_nobody_cares_locked(struct process *p)
{
    struct process *parent = p->parent;
    if (!parent || signal_child_autoreap(parent))
        return true;
    if (!p->orphan || parent != g_kernel.init || parent->is_subreaper)
        return false;
    LOCK_GUARD(&parent->sig_lock);
    return parent->actions[SIGCHLD - 1].handler <= 1 &&
           !__atomic_load_n(&parent->waiting, __ATOMIC_RELAXED);
}

void process_reap_locked(struct process *p)
{
    lock_acquire(&p->sig_lock);
    p->state = PROCESS_DEAD;
    struct task *leader = p->leader;
    if (leader)
        list_del(&leader->process_node);
    lock_release(&p->sig_lock);
    p->leader = NULL;
    list_del(&p->sibling_node);
    list_del(&p->all_node);
    p->parent = NULL;
    pgrp_leave_locked(p);
    p->id->task = NULL;
    p->id->process = NULL;
    pid_release_locked(p->id);
    waitq_wake(&p->child_wq, ~0u); /* pidfd pollers */
    if (leader)
        task_put(leader);
    process_put(p); /* the table's */
}

static void exit_tell_parent_locked(struct process *p)
{
    int st = p->exit_status;
    signal_parent_locked(p, status_code(st), st & 0x7f ? st & 0x7f : st >> 8 & 0xff);
    if (exit_nobody_cares_locked(p))
        process_reap_locked(p);
}

static void exit_give_child_away_locked(struct process *c, struct process *to)
{
    list_del(&c->sibling_node);
    c->parent = to;
    if (!to)
        return;
    list_push_back(&to->children, &c->sibling_node);
    c->orphan = to == g_kernel.init;
    if (c->exit_signal)
        c->exit_signal = SIGCHLD;
    struct task *t;
    list_for_each(t, &c->tasks, process_node) if (t->pdeath_signal && !t->exiting)
        signal_send_process(c, t->pdeath_signal, NULL);
}

static void exit_reparent_locked(struct process *p)
{
    struct process *to = exit_new_parent_locked(p), *c, *tmp;
    list_for_each_safe(c, tmp, &p->children, sibling_node)
    {
        process_get(c);
        exit_give_child_away_locked(c, to);
        pgrp_orphan_child_locked(c, p);
        if (c->state == PROCESS_ZOMBIE) {
            if (to)
                exit_tell_parent_locked(c);
            else
                process_reap_locked(c);
        }
        process_put(c);
    }
}

static void exit_session_locked(struct process *p)
{
    struct session *s = p->pgrp ? p->pgrp->session : NULL;
    if (s && s->leader == p)
        s->leader = NULL;
}

/* The last task of p is gone. */
static void process_exit_locked(struct process *p)
{
    pgrp_orphan_check_locked(p);
    exit_reparent_locked(p);
    exit_session_locked(p);
    pid_ns_leave_locked(p);
    lock_acquire(&p->sig_lock);
    p->state = PROCESS_ZOMBIE;
    sigpending_flush_locked(p, &p->shared_pending);
    lock_release(&p->sig_lock);
    waitq_wake(&p->child_wq, ~0u); /* pidfd pollers */
    if (p == p->container->init) {
        p->container->init = NULL;
        p->container->dying = true;
        g_kernel.dying |= p->container->is_root;
    }
    if (p->watch) {
        p->watch->status = p->exit_status;
        __atomic_store_n(&p->watch->ended, 1, __ATOMIC_RELEASE);
    }
    if (p->parent)
        exit_tell_parent_locked(p);
    else
        process_reap_locked(p);
}

static void exit_add_usage_locked(struct process *p, struct task *t)
{
    struct rusage *u = &p->dead_usage;
    usage_add_ns(&u->ru_utime, t->utime_ns);
    usage_add_ns(&u->ru_stime, t->stime_ns);
    p->container->dead_utime_ns += t->utime_ns;
    p->container->dead_stime_ns += t->stime_ns;
    u->ru_minflt += t->min_flt;
    u->ru_majflt += t->maj_flt;
    u->ru_nvcsw += t->nvcsw;
    u->ru_nivcsw += t->nivcsw;
    io_usage_add(&p->dead_io, &t->io);
    t->utime_ns = t->stime_ns = 0;
}

/* Out of the process; true if it was the last task. */
static bool exit_unlink_locked(struct task *t)
{
    struct process *p = t->process;
    LOCK_GUARD(&p->sig_lock);
    t->exiting = true;
    sigpending_flush_locked(p, &t->pending);
    exit_add_usage_locked(p, t);
    p->task_count--;
    g_kernel.task_count--;
    p->container->task_count--;
    if (t->stop_counted)
        p->stopped_count--;
    if (p->task_count)
        signal_retarget_locked(t, ~t->blocked);
    if (t != p->leader) {
        list_del(&t->process_node);
        t->id->task = NULL;
        pid_release_locked(t->id);
    }
    if (p->exec_task)
        task_wake(p->exec_task);
    if (!p->task_count && !p->group_exiting)
        p->exit_status = t->exit_code;
    return !p->task_count;
}

static void exit_from_tables(struct task *t)
{
    struct process *p = t->process;
    struct container *c = p->container;
    lock_acquire(&g_kernel.tasks_lock);
    bool last = exit_unlink_locked(t), was_init = c->init == p;
    if (last)
        process_exit_locked(p);
    bool news = last && (p->watch || !c->task_count);
    lock_release(&g_kernel.tasks_lock);
    if (!last)
        signal_stop_recheck(p);
    else if (was_init && c->is_root)
        kernel_kill_all();
    else if (was_init)
        container_kill(c);
    if (news)
        watcher_tell();
}

/* Nobody else of the process is alive (none can be created by this one any more). */
static bool exit_is_last(struct task *t)
{
    LOCK_GUARD(&t->process->sig_lock);
    struct task *o;
    list_for_each(o, &t->process->tasks,
                  process_node) if (o != t && !o->exiting && !o->leaving) return false;
    return true;
}

/* The leader of a session takes the terminal with it. */
static void exit_hangup(struct process *p)
{
    struct session *s = session_led_by(p);
    if (!s)
        return;
    tty_session_gone(s);
    session_put(s);
}

void task_exit(struct task *t)
{
    struct process *p = t->process;
    core_thread_leave(t);
    lock_acquire(&p->sig_lock);
    t->leaving = true;
    lock_release(&p->sig_lock);
    bool last = exit_is_last(t);
    if (last) {
        itimer_exit(p);
        posix_timers_exit(p);
        exit_hangup(p);
        sem_process_exit(p);
        ptrace_tracer_exit(p);
        acct_process(t);
    }
    if (t->ptrace)
        ptrace_exit(t);
    if (t->mm)
        exit_tell_memory(t);
    exit_release_files(t);
    exit_release_memory(t);
    seccomp_put(t);
    if (last)
        pid_ns_zap(t);
    exit_from_tables(t);
}
