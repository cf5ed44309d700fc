/* ptrace(2), the tracee's side and the tracer's wait: attaching, stops, events, the end of either.
 *
 * A tracee stops on its own thread, in ptrace_stop: registers pulled, the tracer told, asleep until
 * resumed. While `stopped` is set its registers belong to the tracer (ptrace_request.c), under
 * tasks_lock. A tracer's death, a detach and PTRACE_INTERRUPT reach a running tracee by `poke` and
 * a kick; it looks in ptrace_work. */
#include "kernel/ptrace_priv.h"

#include "kernel/signal_priv.h"
#include <errno.h>
#include <linux/ptrace.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define EFLAGS_TF 0x100u

/* ---- links
 * --------------------------------------------------------------------------------------- */

struct ptrace_tracer *ptrace_tracer_of(struct process *p)
{
    struct ptrace_tracer *tr = p->children_ptrace;
    if (tr || !(tr = calloc(1, sizeof(*tr))))
        return tr;
    list_init(&tr->links);
    list_init(&tr->ghosts);
    p->children_ptrace = tr;
    return tr;
}

struct ptrace_link *ptrace_find_locked(struct process *tracer, int tid)
{
    struct ptrace_tracer *tr = tracer->children_ptrace;
    struct ptrace_link *l;
    if (tr)
        list_for_each(l, &tr->links, node) if (l->tid == tid) return l;
    return NULL;
}

int ptrace_attach_locked(struct process *tracer, struct task *t, bool seized, uint32_t options)
{
    struct ptrace_tracer *tr = ptrace_tracer_of(tracer);
    if (t->ptrace || t->leaving)
        return -EPERM;
    struct ptrace_link *l = tr ? calloc(1, sizeof(*l)) : NULL;
    if (!l)
        return -ENOMEM;
    *l = (struct ptrace_link){
        .task = t, .tid = t->tid, .tracer = tracer, .seized = seized, .options = options};
    list_push_back(&tr->links, &l->node);
    lock_acquire(&t->process->sig_lock);
    t->ptrace = l;
    lock_release(&t->process->sig_lock);
    return 0;
}

/* The tracee lets go of the link itself, when it next looks. */
void ptrace_detach_locked(struct ptrace_link *l)
{
    l->tracer = NULL;
    list_del(&l->node);
    __atomic_store_n(&l->poke, 1, __ATOMIC_SEQ_CST);
    ptrace_resume_locked(l, l->resume_signal);
    task_kick(l->task, TASK_NOTIFY_STOP);
}

void ptrace_resume_locked(struct ptrace_link *l, int sig)
{
    if (!l->stopped)
        return;
    l->resume_signal = sig;
    l->stopped = false;
    task_wake(l->task);
}

/* Own thread: the link is of no more use. */
static void link_drop(struct task *t)
{
    struct ptrace_link *l = t->ptrace;
    lock_acquire(&g_kernel.tasks_lock);
    lock_acquire(&t->process->sig_lock);
    t->ptrace = NULL;
    t->stop_done = false; /* a group-stop holds it again */
    signal_recalc_locked(t);
    lock_release(&t->process->sig_lock);
    lock_release(&g_kernel.tasks_lock);
    __atomic_and_fetch(&t->slow_entry, (uint8_t)~TASK_SLOW_PTRACE, __ATOMIC_SEQ_CST);
    free(l);
}

/* ---- stopping
 * ------------------------------------------------------------------------------------ */

static void tracer_tell_locked(struct ptrace_link *l, int why)
{
    struct process *tracer = l->tracer;
    siginfo_t info = {.si_signo = SIGCHLD, .si_code = why};
    info.si_pid = task_nr(l->task, tracer->pid_ns);
    info.si_uid = l->task->cred->uid;
    info.si_status = l->code & 0x7f;
    lock_acquire(&tracer->sig_lock);
    if (!(tracer->actions[SIGCHLD - 1].flags & SA_NOCLDSTOP))
        signal_queue_locked(NULL, tracer, SIGCHLD, &info);
    lock_release(&tracer->sig_lock);
    waitq_wake(&tracer->signal_wq, POLLIN);
    waitq_wake(&tracer->child_wq, ~0u);
}

/* Steps end with every stop, whatever caused it. */
static void step_end(struct task *t, struct ptrace_link *l)
{
    struct user_regs_struct *r = task_regs(t);
    if (!l->stepping || !r)
        return;
    l->stepping = false;
    r->eflags &= ~(unsigned long)EFLAGS_TF;
    task_regs_dirty(t);
}

static void step_begin(struct task *t, struct ptrace_link *l)
{
    struct user_regs_struct *r = l->stepping ? task_regs(t) : NULL;
    if (!r)
        return;
    r->eflags |= EFLAGS_TF;
    task_regs_dirty(t);
}

/* What a stop is about. */
struct stop {
    int code;              /* signal | event << 8 */
    const siginfo_t *info; /* NULL: made from code */
    uint64_t message;
    bool group, at_exit;
};

static void stop_info(struct task *t, struct ptrace_link *l, const struct stop *s)
{
    l->no_info = s->group && !l->seized;
    if (s->info) {
        l->info = *s->info;
        return;
    }
    memset(&l->info, 0, sizeof(l->info));
    l->info.si_signo = s->code & 0x7f;
    l->info.si_code = s->code;
    l->info.si_pid = task_nr(t, l->tracer->pid_ns);
    l->info.si_uid = t->cred->uid;
}

static bool stop_enter(struct task *t, struct ptrace_link *l, const struct stop *s)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    if (!l->tracer)
        return false;
    l->code = s->code;
    l->message = s->message;
    stop_info(t, l, s);
    l->resume_signal = 0;
    l->reported = l->listening = false;
    l->stopped = true;
    tracer_tell_locked(l, s->group ? CLD_STOPPED : CLD_TRAPPED);
    return true;
}

/* PTRACE_LISTEN ends when the group-stop does: the tracer is told by another stop. */
static void listen_end_locked(struct task *t, struct ptrace_link *l)
{
    lock_acquire(&t->process->sig_lock);
    bool continued = !t->process->stop_signal;
    lock_release(&t->process->sig_lock);
    if (!l->listening || !l->tracer || (!continued && !l->interrupt))
        return;
    l->listening = l->reported = l->interrupt = false;
    l->code = SIGTRAP | PTRACE_EVENT_STOP << 8;
    tracer_tell_locked(l, CLD_TRAPPED);
}

static bool still_stopped(struct task *t, struct ptrace_link *l)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    if (l->stopped)
        listen_end_locked(t, l);
    return l->stopped;
}

/* Stay until the tracer says otherwise, or death. Returns the signal to deliver, -1 if there is no
 * tracer. */
static int ptrace_stop(struct task *t, const struct stop *s)
{
    struct ptrace_link *l = t->ptrace;
    if (!task_regs(t))
        return -1;
    step_end(t, l);
    if (s->at_exit) /* dying already; the tracer or the end of the sandbox ends this stop */
        __atomic_and_fetch(&t->notify, ~TASK_NOTIFY_EXIT, __ATOMIC_SEQ_CST);
    if (!stop_enter(t, l, s))
        return -1;
    for (;;) {
        task_sleep_prepare(t);
        if (!still_stopped(t, l) || signal_fatal_pending(t))
            break;
        task_sleep(t, DEADLINE_NONE, /*interruptible=*/false);
    }
    lock_acquire(&g_kernel.tasks_lock);
    l->stopped = l->listening = false;
    l->syscall_op = PTRACE_SYSCALL_INFO_NONE;
    int sig = l->resume_signal;
    lock_release(&g_kernel.tasks_lock);
    step_begin(t, l);
    return sig;
}

static uint32_t options_of(struct task *t)
{
    struct ptrace_link *l = t->ptrace;
    LOCK_GUARD(&g_kernel.tasks_lock);
    return l && l->tracer ? l->options : 0;
}

static void event_stop(struct task *t, int event, uint64_t message)
{
    struct stop s = {.code = SIGTRAP | event << 8, .message = message};
    ptrace_stop(t, &s);
}

/* ---- hooks
 * --------------------------------------------------------------------------------------- */

bool ptrace_work_pending(struct task *t)
{
    struct ptrace_link *l = t->ptrace;
    return l && __atomic_load_n(&l->poke, __ATOMIC_SEQ_CST);
}

bool ptrace_work(struct task *t)
{
    struct ptrace_link *l = t->ptrace;
    if (!l || !__atomic_exchange_n(&l->poke, 0, __ATOMIC_SEQ_CST))
        return false;
    lock_acquire(&g_kernel.tasks_lock);
    bool detached = !l->tracer, interrupt = l->interrupt;
    l->interrupt = false;
    lock_release(&g_kernel.tasks_lock);
    if (detached)
        link_drop(t);
    else if (interrupt)
        event_stop(t, PTRACE_EVENT_STOP, 0);
    return detached || interrupt;
}

int ptrace_signal(struct task *t, int sig, siginfo_t *info, struct sigaction_k *act)
{
    struct ptrace_link *l = t->ptrace;
    struct stop s = {.code = sig, .info = info};
    int next = ptrace_stop(t, &s);
    if (next < 0)
        return sig;
    lock_acquire(&g_kernel.tasks_lock);
    *info = l->info; /* PTRACE_SETSIGINFO may have changed it */
    lock_release(&g_kernel.tasks_lock);
    if (next == 0 || next > SIG_COUNT)
        return 0;
    if (next != sig) {
        memset(info, 0, sizeof(*info));
        info->si_signo = next;
        info->si_code = SI_USER;
        lock_acquire(&t->process->sig_lock);
        *act = t->process->actions[next - 1];
        lock_release(&t->process->sig_lock);
    }
    return next;
}

bool ptrace_group_stop(struct task *t, int sig)
{
    struct ptrace_link *l = t->ptrace;
    struct stop s = {.code = sig | (l->seized ? PTRACE_EVENT_STOP << 8 : 0), .group = true};
    if (__atomic_load_n(&l->poke, __ATOMIC_SEQ_CST)) {
        (void)ptrace_work(t);
        return false;
    }
    int next = ptrace_stop(t, &s);
    if (next < 0 || !t->ptrace)
        return false;
    lock_acquire(&g_kernel.tasks_lock);
    bool detached = !l->tracer;
    lock_release(&g_kernel.tasks_lock);
    if (detached) /* back to an ordinary stop */
        return false;
    lock_acquire(&t->process->sig_lock);
    t->stop_done = t->process->stop_signal;
    signal_recalc_locked(t);
    lock_release(&t->process->sig_lock);
    if (next > 0 && next <= SIG_COUNT)
        (void)signal_send_task(t, next, NULL);
    return true;
}

static void syscall_stop(struct task *t, uint8_t op, int64_t result)
{
    struct ptrace_link *l = t->ptrace;
    lock_acquire(&g_kernel.tasks_lock);
    l->syscall_op = op;
    l->syscall_result = result;
    bool good = l->options & PTRACE_O_TRACESYSGOOD;
    lock_release(&g_kernel.tasks_lock);
    struct stop s = {.code = SIGTRAP | (good ? 0x80 : 0), .message = op};
    int sig = ptrace_stop(t, &s);
    if (sig > 0 && sig <= SIG_COUNT)
        (void)signal_send_task(t, sig, NULL);
}

bool ptrace_syscall_enter(struct task *t, struct sysargs *a, int64_t *result)
{
    struct ptrace_link *l = t->ptrace;
    struct user_regs_struct *r = l ? task_regs(t) : NULL;
    if (!r)
        return false;
    r->rax = (uint64_t)-ENOSYS;
    syscall_stop(t, PTRACE_SYSCALL_INFO_ENTRY, 0);
    r = task_regs(t);
    if (!r)
        return false;
    *a = (struct sysargs){.nr = r->orig_rax, .v = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
    *result = (int64_t)r->rax;
    return l->sysemu || (int64_t)r->orig_rax == -1 || signal_fatal_pending(t);
}

bool ptrace_seccomp(struct task *t, uint32_t data, struct sysargs *a, bool *skip, int64_t *result)
{
    struct ptrace_link *l = t->ptrace;
    struct user_regs_struct *r = l ? task_regs(t) : NULL;
    if (!r || !(options_of(t) & PTRACE_O_TRACESECCOMP))
        return false;
    r->rax = (uint64_t)-ENOSYS;
    lock_acquire(&g_kernel.tasks_lock);
    l->syscall_op = PTRACE_SYSCALL_INFO_SECCOMP;
    l->syscall_result = data;
    lock_release(&g_kernel.tasks_lock);
    event_stop(t, PTRACE_EVENT_SECCOMP, data);
    r = task_regs(t);
    if (!r)
        return false;
    *a = (struct sysargs){.nr = r->orig_rax, .v = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
    *result = (int64_t)r->rax;
    *skip = (int)r->orig_rax < 0 || signal_fatal_pending(t);
    return true;
}

void ptrace_syscall_exit(struct task *t, int64_t result)
{
    struct ptrace_link *l = t->ptrace;
    if (l && !l->sysemu && (t->slow_entry & TASK_SLOW_PTRACE) && !signal_fatal_pending(t))
        syscall_stop(t, PTRACE_SYSCALL_INFO_EXIT, result);
}

void ptrace_exec(struct task *t)
{
    struct ptrace_link *l = t->ptrace;
    if (options_of(t) & PTRACE_O_TRACEEXEC)
        event_stop(t, PTRACE_EVENT_EXEC, l->former_tid ? l->former_tid : l->tid);
    else if (!l->seized)
        (void)signal_send_task(t, SIGTRAP, NULL);
}

static int clone_event(uint64_t flags, int exit_signal, uint32_t *option)
{
    if (flags & CLONE_VFORK) {
        *option = PTRACE_O_TRACEVFORK;
        return PTRACE_EVENT_VFORK;
    }
    *option = exit_signal == SIGCHLD && !(flags & CLONE_THREAD) ? PTRACE_O_TRACEFORK
                                                                : PTRACE_O_TRACECLONE;
    return *option == PTRACE_O_TRACEFORK ? PTRACE_EVENT_FORK : PTRACE_EVENT_CLONE;
}

int ptrace_clone_child(struct task *t, struct task *n, uint64_t flags, int exit_signal)
{
    struct ptrace_link *l = t->ptrace;
    uint32_t option;
    int event = clone_event(flags, exit_signal, &option);
    if (!l || (flags & CLONE_UNTRACED))
        return 0;
    lock_acquire(&g_kernel.tasks_lock);
    bool told = l->tracer && (l->options & option);
    bool wanted = told || (l->tracer && (flags & CLONE_PTRACE));
    if (wanted && ptrace_attach_locked(l->tracer, n, l->seized, l->options))
        wanted = false;
    struct ptrace_link *child = wanted ? n->ptrace : NULL;
    if (child && l->seized) {
        child->interrupt = true;
        child->poke = 1;
    }
    lock_release(&g_kernel.tasks_lock);
    if (!child)
        return told ? event : 0;
    if (!l->seized)
        (void)signal_send_task(n, SIGSTOP, NULL);
    else
        task_kick(n, TASK_NOTIFY_STOP);
    return told ? event : 0;
}

void ptrace_clone_parent(struct task *t, int event, int tid)
{
    if (event && t->ptrace)
        event_stop(t, event, tid);
}

void ptrace_vfork_done(struct task *t, int tid)
{
    if (t->ptrace && (options_of(t) & PTRACE_O_TRACEVFORKDONE))
        event_stop(t, PTRACE_EVENT_VFORK_DONE, tid);
}

/* ---- the end of a tracee, the end of a tracer
 * ---------------------------------------------------- */

static int exit_wstatus(struct task *t)
{
    struct process *p = t->process;
    LOCK_GUARD(&p->sig_lock);
    return p->group_exiting ? p->exit_status : t->exit_code;
}

/* A parent learns of the death of its child as ever; another tracer, or that of a mere thread, by a
 * ghost. */
static void ghost_leave_locked(struct ptrace_link *l, int wstatus)
{
    struct process *tracer = l->tracer, *p = l->task->process;
    if (!tracer || (p->parent == tracer && p->leader == l->task))
        return;
    struct ptrace_tracer *tr = ptrace_tracer_of(tracer);
    struct ptrace_ghost *g = tr ? malloc(sizeof(*g)) : NULL;
    if (!g)
        return;
    *g = (struct ptrace_ghost){
        .tid = l->tid, .nr = task_nr(l->task, tracer->pid_ns), .wstatus = wstatus};
    list_push_back(&tr->ghosts, &g->node);
    siginfo_t info = {.si_signo = SIGCHLD, .si_code = status_code(wstatus)};
    info.si_pid = g->nr;
    info.si_uid = l->task->cred->uid;
    info.si_status = wstatus & 0x7f ? wstatus & 0x7f : wstatus >> 8 & 0xff;
    if (p->leader == l->task)
        (void)signal_send_process(tracer, SIGCHLD, &info);
    waitq_wake(&tracer->child_wq, ~0u);
}

void ptrace_renumber_locked(struct task *t)
{
    struct ptrace_link *l = t->ptrace;
    if (!l)
        return;
    l->former_tid = l->tid;
    l->tid = t->tid;
}

struct process *ptrace_tracer_locked(struct task *t)
{
    struct ptrace_link *l = t->ptrace;
    return l ? l->tracer : NULL;
}

bool ptrace_is_stopped_locked(struct task *t)
{
    struct ptrace_link *l = t->ptrace;
    return l && l->stopped;
}

bool ptrace_is_mine_locked(const struct process *tracer, const struct task *t)
{
    const struct ptrace_link *l = t ? t->ptrace : NULL;
    return l && l->tracer == tracer;
}

void ptrace_exit(struct task *t)
{
    struct ptrace_link *l = t->ptrace;
    int wstatus = exit_wstatus(t);
    if (options_of(t) & PTRACE_O_TRACEEXIT) {
        struct stop s = {.code = SIGTRAP | PTRACE_EVENT_EXIT << 8, .message = wstatus};
        s.at_exit = true;
        ptrace_stop(t, &s);
    }
    lock_acquire(&g_kernel.tasks_lock);
    ghost_leave_locked(l, wstatus);
    list_del(&l->node);
    lock_release(&g_kernel.tasks_lock);
    link_drop(t);
}

void ptrace_tracer_exit(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct ptrace_tracer *tr = p->children_ptrace;
    struct ptrace_link *l, *ltmp;
    struct ptrace_ghost *g, *gtmp;
    if (!tr)
        return;
    list_for_each_safe(l, ltmp, &tr->links, node)
    {
        if (l->options & PTRACE_O_EXITKILL)
            (void)signal_send_process(l->task->process, SIGKILL, NULL);
        ptrace_detach_locked(l);
    }
    list_for_each_safe(g, gtmp, &tr->ghosts, node)
    {
        list_del(&g->node);
        free(g);
    }
    p->children_ptrace = NULL;
    free(tr);
}

/* ---- wait
 * ---------------------------------------------------------------------------------------- */

static bool wait_means(const struct wait_call *c, struct process *p, int tid)
{
    switch (c->type) {
    case P_PID:
        return tid == c->id;
    case P_PGID:
        return p && p->pgrp && p->pgrp->pgid == c->id;
    default:
        return true;
    }
}

static void wait_tell_stop(struct ptrace_link *l, bool keep, struct wait_result *out)
{
    memset(out, 0, sizeof(*out));
    out->pid = task_nr(l->task, l->tracer->pid_ns);
    out->uid = l->task->cred->uid;
    out->code = CLD_TRAPPED;
    out->status = l->code;
    out->wstatus = l->code << 8 | 0x7f;
    l->reported = !keep;
}

static void wait_tell_ghost(struct ptrace_ghost *g, bool keep, struct wait_result *out)
{
    memset(out, 0, sizeof(*out));
    bool killed = g->wstatus & 0x7f;
    out->pid = g->nr;
    out->code = status_code(g->wstatus);
    out->status = killed ? g->wstatus & 0x7f : g->wstatus >> 8 & 0xff;
    out->wstatus = g->wstatus;
    if (keep)
        return;
    list_del(&g->node);
    free(g);
}

int ptrace_wait_locked(struct process *me, const struct wait_call *c, struct wait_result *out)
{
    struct ptrace_tracer *tr = me->children_ptrace;
    struct ptrace_link *l;
    struct ptrace_ghost *g, *tmp;
    bool meant = false, keep = c->options & WNOWAIT;
    if (!tr)
        return 0;
    list_for_each(l, &tr->links, node)
    {
        if (!wait_means(c, l->task->process, l->tid))
            continue;
        meant = true;
        if (!l->stopped || l->reported || l->listening)
            continue;
        wait_tell_stop(l, keep, out);
        return 1;
    }
    list_for_each_safe(g, tmp, &tr->ghosts, node)
    {
        if (!(c->options & WEXITED) || !wait_means(c, NULL, g->tid))
            continue;
        wait_tell_ghost(g, keep, out);
        return 1;
    }
    return meant ? -1 : 0;
}
