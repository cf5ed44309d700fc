/* wait4, waitid: what has become of the children. */
#include "kernel/kernel_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#define WNOTHREAD_K 0x20000000
#define WALL_K      0x40000000
#define WCLONE_K    0x80000000u

static bool wait_is_meant_locked(const struct wait_call *c, struct process *me, struct process *p)
{
    switch (c->type) {
    case P_PID:
        if (p->pid != c->id)
            return false;
        break;
    case P_PGID:
        if (!p->pgrp || p->pgrp->pgid != c->id)
            return false;
        break;
    }
    bool is_clone = p->exit_signal != SIGCHLD;
    return (c->options & WALL_K) || is_clone == !!((unsigned)c->options & WCLONE_K);
}

static void wait_fill(struct process *p, int code, int status, int wstatus, struct wait_result *out)
{
    memset(out, 0, sizeof(*out));
    out->pid = process_nr(p, p->parent->pid_ns);
    out->uid = p->leader ? p->leader->cred->uid : 0;
    out->code = code;
    out->status = status;
    out->wstatus = wstatus;
}

/* What wait4 tells: the child itself and what it has waited for. */
static void usage_both(struct process *p, struct rusage *out)
{
    usage_process(p, out);
    LOCK_GUARD(&p->sig_lock);
    usage_add(out, &p->child_usage);
}

static void wait_zombie_locked(struct process *me, struct process *p, bool keep,
                               struct wait_result *out)
{
    int st = p->exit_status;
    wait_fill(p, status_code(st), st & 0x7f ? st & 0x7f : st >> 8 & 0xff, st, out);
    usage_both(p, &out->usage);
    if (keep)
        return;
    lock_acquire(&me->sig_lock);
    usage_add(&me->child_usage, &out->usage);
    lock_release(&me->sig_lock);
    process_reap_locked(p);
}

/* A stop or continuation that has not been reported yet. sig_lock of p held. */
static bool wait_change_locked(struct process *p, int options, struct wait_result *out)
{
    bool keep = options & WNOWAIT;
    if ((options & WSTOPPED) && p->state == PROCESS_STOPPED && !p->stop_reported) {
        p->stop_reported = !keep;
        wait_fill(p, CLD_STOPPED, p->stop_signal, p->stop_signal << 8 | 0x7f, out);
        return true;
    }
    if ((options & WCONTINUED) && p->continued_unreported) {
        p->continued_unreported = keep;
        wait_fill(p, CLD_CONTINUED, SIGCONT, 0xffff, out);
        return true;
    }
    return false;
}

static bool wait_try_child_locked(struct process *me, struct process *p, int options,
                                  struct wait_result *out)
{
    if (p->state == PROCESS_ZOMBIE) {
        if (!(options & WEXITED))
            return false;
        wait_zombie_locked(me, p, options & WNOWAIT, out);
        return true;
    }
    if (ptrace_is_mine_locked(me, p->leader))
        return false; /* its stops are the tracer's, and told as such */
    lock_acquire(&p->sig_lock);
    bool found = wait_change_locked(p, options, out);
    lock_release(&p->sig_lock);
    if (found)
        usage_both(p, &out->usage);
    return found;
}

/* 1: *out tells; 0: some child is meant but none has anything to tell; -ECHILD. */
static int wait_scan(struct process *me, const struct wait_call *c, struct wait_result *out)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct process *p;
    bool meant = false;
    list_for_each(p, &me->children, sibling_node)
    {
        if (!wait_is_meant_locked(c, me, p))
            continue;
        meant = true;
        if (wait_try_child_locked(me, p, c->options, out))
            return 1;
    }
    int traced = ptrace_wait_locked(me, c, out);
    if (traced)
        return traced > 0 ? 1 : 0;
    return meant ? 0 : -ECHILD;
}

int64_t process_wait(struct task *t, const struct wait_call *c, struct wait_result *out)
{
    struct process *me = t->process;
    int r = wait_scan(me, c, out);
    if (r || (c->options & WNOHANG))
        return r < 0 ? r : r ? out->pid : 0;
    __atomic_add_fetch(&me->waiting, 1, __ATOMIC_SEQ_CST);
    int w = wait_event(t, &me->child_wq, DEADLINE_NONE, (r = wait_scan(me, c, out)) != 0);
    __atomic_sub_fetch(&me->waiting, 1, __ATOMIC_SEQ_CST);
    if (r)
        return r < 0 ? r : out->pid;
    return w;
}
