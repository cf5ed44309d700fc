/* fork, vfork, clone, clone3, unshare.
 *
 * A child is built completely before anyone can see it (check), then entered in the tables under
 * tasks_lock and sig_lock (commit). Only starting its host thread can fail after that, and is
 * undone. */
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include "fs/vfs.h"
#include "trace/trace.h"
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>

#define SCHED_DEADLINE_K 6
#define MDWE_NO_INHERIT  2

#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |     \
     CLONE_NEWCGROUP | CLONE_NEWTIME)

/* ---- vfork --------------------------------------------------------------------------------------
 */

static void vfork_put(struct vfork_wait *v)
{
    if (!ref_put(&v->ref))
        return;
    free(v);
}

void vfork_release(struct task *t)
{
    struct vfork_wait *v = t->vfork_done;
    if (!v)
        return;
    t->vfork_done = NULL;
    __atomic_store_n(&v->done, 1, __ATOMIC_SEQ_CST);
    task_wake(v->parent);
    task_put(v->parent);
    vfork_put(v);
}

static int vfork_new(struct task *parent, struct vfork_wait **out)
{
    struct vfork_wait *v = calloc(1, sizeof(*v));
    if (!v)
        return -ENOMEM;
    ref_init(&v->ref);
    ref_get(&v->ref); /* one for the child, one for the parent */
    v->parent = parent;
    task_get(parent); /* dropped by the child */
    *out = v;
    return 0;
}

/* Until the child has executed or exited; only death interrupts. */
static void vfork_wait_done(struct task *t, struct vfork_wait *v)
{
    for (;;) {
        task_sleep_prepare(t);
        if (__atomic_load_n(&v->done, __ATOMIC_SEQ_CST) ||
            task_sleep(t, DEADLINE_NONE, /*interruptible=*/false))
            break;
    }
    vfork_put(v);
}

/* ---- check
 * ---------------------------------------------------------------------------------------- */

static int clone_check_flags(struct task *t, const struct clone_call *c)
{
    uint64_t f = c->flags;
    if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
        return -EINVAL;
    if ((f & CLONE_SIGHAND) && (!(f & CLONE_VM) || (f & CLONE_CLEAR_SIGHAND)))
        return -EINVAL;
    if ((f & CLONE_FS) && (f & (CLONE_NEWNS | CLONE_NEWUSER)))
        return -EINVAL;
    if ((f & CLONE_THREAD) &&
        ((f & (CLONE_NEWUSER | CLONE_NEWPID)) || t->ns_set->pid_children != t->process->pid_ns))
        return -EINVAL;
    if ((f & CLONE_PARENT) && (t->process == g_kernel.init || t->process->vpid == 1))
        return -EINVAL;
    if ((f & NAMESPACES & ~CLONE_NEWUSER) && !(f & CLONE_NEWUSER) &&
        !cred_capable_here(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    if (f & CLONE_NEWTIME)
        return -EINVAL; /* as a kernel built without them */
    return 0;
}

static unsigned tasks_of_uid_locked(uint32_t uid)
{
    unsigned count = 0;
    struct process *p;
    list_for_each(p, &g_kernel.processes, all_node) if (p->leader && p->leader->cred->uid == uid)
        count += p->task_count;
    return count;
}

bool nproc_over(struct process *p, uint32_t uid)
{
    uint64_t limit = rlimit_get(p, RLIMIT_NPROC);
    if (limit >= TASKS_MAX || !uid)
        return false;
    LOCK_GUARD(&g_kernel.tasks_lock);
    return tasks_of_uid_locked(uid) > limit;
}

static int clone_check_limits_locked(struct task *t)
{
    struct container *in = t->process->container;
    if (g_kernel.dying || in->dying || g_kernel.task_count >= TASKS_MAX)
        return -EAGAIN;
    if (in->tasks_limit && in->task_count >= in->tasks_limit)
        return -EAGAIN;
    if (t->sched_policy == SCHED_DEADLINE_K && !t->sched_reset_on_fork)
        return -EAGAIN;
    uint64_t limit = t->process->rlimits[RLIMIT_NPROC].rlim_cur;
    if (limit >= TASKS_MAX || t->cred->uid == 0 || cred_has_cap(t->cred, CAP_SYS_RESOURCE) ||
        cred_has_cap(t->cred, CAP_SYS_ADMIN))
        return 0;
    return tasks_of_uid_locked(t->cred->uid) >= limit ? -EAGAIN : 0;
}

/* ---- building the child
 * -------------------------------------------------------------------------- */

static int child_memory(struct task *t, struct task *n, uint64_t flags)
{
    if (!(flags & CLONE_VM))
        return mm_fork(t->mm, &n->mm);
    mm_get(t->mm);
    n->mm = t->mm;
    return 0;
}

static int child_files(struct task *t, struct task *n, uint64_t flags)
{
    int r = 0;
    if (flags & CLONE_FILES) {
        fdtable_get_ref(t->fds);
        n->fds = t->fds;
    } else {
        r = fdtable_copy(t->fds, &n->fds);
    }
    if (r)
        return r;
    if (!(flags & CLONE_FS))
        return fs_struct_copy(t->fs, &n->fs);
    fs_struct_get(t->fs);
    n->fs = t->fs;
    return 0;
}

static int child_namespaces(struct task *t, struct task *n, uint64_t flags)
{
    n->cred = cred_get(t->cred);
    n->mount_ns = t->mount_ns;
    if (n->mount_ns)
        mount_ns_get(n->mount_ns);
    n->ns_set = t->ns_set;
    ns_set_get(n->ns_set);
    return flags & NAMESPACES ? task_unshare_namespaces(n, flags & NAMESPACES) : 0;
}

static int child_context(struct task *t, struct task *n, const struct clone_call *c)
{
    struct user_regs_struct *r = task_regs(t);
    if (!r)
        return -EAGAIN;
    int e = pl_ops()->ctx_create(mm_aspace(n->mm), &n->ctx);
    if (e)
        return e == -ENOMEM ? e : -EAGAIN;
    n->regs = *r;
    n->regs.rax = 0;
    n->regs.orig_rax = -1;
    if (c->stack)
        n->regs.rsp = c->stack;
    if (c->flags & CLONE_SETTLS)
        n->regs.fs_base = c->tls;
    n->regs_valid = n->regs_dirty = true;
    uint8_t *fpu = malloc(g_kernel.platform->fpu_size);
    if (!fpu)
        return -ENOMEM;
    e = pl_ops()->ctx_get_fpu(t->ctx, fpu);
    if (!e)
        e = pl_ops()->ctx_set_fpu(n->ctx, fpu);
    free(fpu);
    return e ? -EAGAIN : 0;
}

static void child_inherit(struct task *t, struct task *n, const struct clone_call *c)
{
    memcpy(n->comm, t->comm, sizeof(n->comm));
    n->blocked = t->blocked;
    n->nice = t->nice;
    n->sched_policy = t->sched_policy;
    n->sched_priority = t->sched_priority;
    n->sched_reset_on_fork = false;
    n->ioprio = t->ioprio;
    if (t->sched_reset_on_fork) {
        bool fair = t->sched_policy == SCHED_NORMAL || t->sched_policy == SCHED_BATCH;
        n->nice = !fair || n->nice < 0 ? 0 : n->nice;
        n->sched_policy = fair ? t->sched_policy : SCHED_NORMAL;
        n->sched_priority = 0;
    }
    memcpy(n->affinity, t->affinity, sizeof(n->affinity));
    n->mempolicy = t->mempolicy;
    n->personality = t->personality;
    n->mce_policy = t->mce_policy;
    n->io_flusher = t->io_flusher;
    n->timer_slack_ns = n->timer_slack_default = t->timer_slack_ns;
    if (!(c->flags & CLONE_VM) || (c->flags & CLONE_VFORK))
        n->altstack = t->altstack;
    if (c->flags & CLONE_CHILD_CLEARTID)
        n->clear_child_tid = c->child_tid;
    if (c->flags & CLONE_CHILD_SETTID)
        n->set_child_tid = c->child_tid;
    n->slow_entry = t->slow_entry & TASK_SLOW_STRACE;
    seccomp_get(t, n);
    keys_clone(t, n);
}

static struct process *child_process(struct task *t, const struct clone_call *c)
{
    struct process *from = t->process, *p = process_new();
    if (!p)
        return NULL;
    LOCK_GUARD(&from->sig_lock);
    if (c->flags & CLONE_SIGHAND) {
        sighand_put(p->sighand);
        p->sighand = from->sighand;
        ref_get(&p->sighand->ref);
        p->actions = p->sighand->actions;
    } else {
        memcpy(p->actions, from->actions, sizeof(from->sighand->actions));
    }
    for (int i = 0; (c->flags & CLONE_CLEAR_SIGHAND) && i < SIG_COUNT; i++)
        if (p->actions[i].handler != (uint64_t)SIG_IGN)
            p->actions[i] = (struct sigaction_k){0};
    memcpy(p->rlimits, from->rlimits, RLIM_NLIMITS * sizeof(*p->rlimits));
    p->exit_signal = c->exit_signal;
    p->dumpable = from->dumpable;
    p->oom_score_adj = from->oom_score_adj;
    p->coredump_filter = from->coredump_filter;
    p->loginuid = from->loginuid;
    p->sessionid = from->sessionid;
    p->thp_disable = from->thp_disable;
    p->memory_merge = from->memory_merge;
    p->mdwe = from->mdwe & MDWE_NO_INHERIT ? 0 : from->mdwe;
    p->container = from->container;
    container_get(p->container);
    return p;
}

/* Everything the child holds, given back. It was never visible. */
static void child_discard(struct task *t, struct task *n)
{
    if (n->ctx)
        pl_ops()->ctx_destroy(n->ctx);
    n->ctx = NULL;
    if (n->mm)
        mm_put(n->mm);
    if (n->fds)
        fdtable_put(n->fds, t);
    if (n->fs)
        fs_struct_put(n->fs);
    n->mm = NULL, n->fds = NULL, n->fs = NULL;
    task_put(n);
}

static int child_build(struct task *t, const struct clone_call *c, struct task **out)
{
    struct task *n = task_new();
    if (!n)
        return -ENOMEM;
    if (c->flags & CLONE_THREAD) {
        n->process = t->process;
        process_get(n->process);
    } else {
        n->process = child_process(t, c);
    }
    int r = n->process ? 0 : -ENOMEM;
    if (!r)
        r = child_memory(t, n, c->flags);
    if (!r)
        r = child_files(t, n, c->flags);
    if (!r)
        r = child_namespaces(t, n, c->flags);
    if (!r)
        r = child_context(t, n, c);
    if (r) {
        child_discard(t, n);
        return r;
    }
    child_inherit(t, n, c);
    *out = n;
    return 0;
}

/* ---- commit
 * --------------------------------------------------------------------------------------- */

static void publish_process_locked(struct task *t, struct task *n, struct pid *id, uint64_t flags)
{
    struct process *p = n->process, *me = t->process;
    process_number(p, id);
    pid_ns_enter_locked(p);
    process_get(p); /* the table's */
    p->leader = n;
    task_get(n);
    p->parent = flags & CLONE_PARENT && me->parent ? me->parent : me;
    if (flags & CLONE_PARENT)
        p->exit_signal = me->exit_signal;
    list_push_back(&p->parent->children, &p->sibling_node);
    list_push_back(&g_kernel.processes, &p->all_node);
    pgrp_join_locked(p, me->pgrp);
    g_kernel.forks++;
    p->container->forks++;
}

/* A pending signal, a stop or an exit in progress must not miss the child: the call starts over. */
static int publish_locked(struct task *t, struct task *n, const struct clone_call *c)
{
    struct pid *id;
    uint64_t flags = c->flags;
    struct pid_choice choice = {.nr = c->set_tid, .count = c->set_tid_count, .by = t->cred};
    int r = clone_check_limits_locked(t);
    if (!r && (signal_fatal_pending(t) || (!(flags & CLONE_THREAD) && signal_pending(t))))
        r = -ERESTARTNOINTR;
    if (!r)
        r = pid_alloc_locked(n->ns_set->pid_children, choice.count ? &choice : NULL, &id);
    if (r)
        return r;
    if (!(flags & CLONE_THREAD))
        publish_process_locked(t, n, id, flags);
    lock_acquire(&n->process->sig_lock);
    task_link_locked(n, id);
    signal_recalc_locked(n);
    lock_release(&n->process->sig_lock);
    return 0;
}

static int publish(struct task *t, struct task *n, const struct clone_call *c)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return publish_locked(t, n, c);
}

/* The host refused a thread: the child dies before its first instruction. */
static void unpublish(struct task *t, struct task *n)
{
    struct process *p = n->process;
    bool own = p != t->process;
    lock_acquire(&g_kernel.tasks_lock);
    lock_acquire(&p->sig_lock);
    n->exiting = true;
    list_del(&n->process_node);
    p->task_count--;
    g_kernel.task_count--;
    p->container->task_count--;
    sigpending_flush_locked(p, &n->pending);
    if (own)
        p->state = PROCESS_ZOMBIE;
    lock_release(&p->sig_lock);
    n->id->task = NULL;
    if (own) {
        pid_ns_unborn_locked(p);
        process_reap_locked(p);
    } else {
        pid_release_locked(n->id);
    }
    lock_release(&g_kernel.tasks_lock);
    child_discard(t, n);
}

static int clone_pidfd(struct task *t, struct task *n, const struct clone_call *c)
{
    struct file *f;
    int r = pidfd_new(n->process, 0, &f);
    if (r)
        return r;
    int fd = fdtable_install(t, f, 0, /*cloexec=*/true);
    if (fd < 0) {
        file_put(f);
        return fd;
    }
    int32_t value = fd;
    r = uaccess_write_obj(t->mm, uaddr(c->pidfd), &value);
    if (r)
        fdtable_close(t, fd);
    return r ? r : fd;
}

static int64_t clone_start(struct task *t, struct task *n, const struct clone_call *c)
{
    int32_t nr = task_nr(n, t->process->pid_ns); /* not running yet: nobody changes it */
    if (c->flags & CLONE_PARENT_SETTID)
        (void)!uaccess_write_obj(t->mm, uaddr(c->parent_tid), &nr);
    int event = t->ptrace ? ptrace_clone_child(t, n, c->flags, c->exit_signal) : 0;
    task_get(n);
    int r = task_thread_start(n);
    task_put(n);
    if (r) {
        vfork_release(n);
        if (n->ptrace)
            ptrace_exit(n);
        unpublish(t, n);
        return r;
    }
    ptrace_clone_parent(t, event, nr);
    return nr;
}

int64_t task_clone(struct task *t, const struct clone_call *c)
{
    struct task *n;
    struct vfork_wait *v = NULL;
    int pidfd = -1, r = clone_check_flags(t, c);
    if (!r)
        r = child_build(t, c, &n);
    if (r)
        return r;
    if (c->flags & CLONE_VFORK)
        r = vfork_new(t, &v);
    n->vfork_done = v;
    if (!r && (c->flags & CLONE_PIDFD))
        pidfd = clone_pidfd(t, n, c), r = pidfd < 0 ? pidfd : 0;
    if (!r)
        r = publish(t, n, c);
    if (r) {
        if (pidfd >= 0)
            fdtable_close(t, pidfd);
        vfork_release(n);
        child_discard(t, n);
        if (v)
            vfork_put(v);
        return r;
    }
    int64_t tid = clone_start(t, n, c);
    if (v)
        vfork_wait_done(t, v);
    if (v && tid > 0)
        ptrace_vfork_done(t, tid);
    return tid;
}
