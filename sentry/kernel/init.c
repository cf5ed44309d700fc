/* The root object, the first process, and the end of the sandbox. */
#include "kernel/kernel_priv.h"

#include "base/host.h"
#include "base/log.h"
#include "fs/vfs.h"
#include "loader/loader.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int64_t g_randomize_va_space = 2, g_sched_rr_timeslice_ms = 100, g_dmesg_restrict = 1;

void kernel_init(struct platform *p)
{
    g_kernel.platform = p;
    lock_init(&g_kernel.tasks_lock, LR_TASKS);
    list_init(&g_kernel.processes);
    g_kernel.boot_ns = time_now();
    g_kernel.cpu_count = 1;
    user_ns_init();
    pid_ns_init();
    ns_first();
    futex_init();
    klog_init();
}

/* ---- the first process
 * ------------------------------------------------------------------------------ */

static int first_fs(struct task *t, const struct spawn_args *a)
{
    struct path root = {.mnt = a->mount_ns->root, .dentry = a->mount_ns->root->root}, cwd;
    int r = fs_struct_new(&root, &root, a->umask, &t->fs);
    if (r)
        return r;
    r = vfs_walk(t, AT_FDCWD, a->cwd ? a->cwd : "/", WALK_FOLLOW | WALK_DIRECTORY, &cwd);
    if (r && a->cwd_error)
        *a->cwd_error = r;
    if (r)
        return r;
    lock_acquire(&t->fs->lock);
    struct path old = t->fs->cwd;
    t->fs->cwd = cwd;
    lock_release(&t->fs->lock);
    path_put(&old);
    return 0;
}

static void first_signals(struct process *p, sigmask_t ignored)
{
    for (int sig = 1; sig <= SIG_COUNT; sig++)
        if (ignored & SIGMASK(sig))
            p->actions[sig - 1].handler = (uint64_t)SIG_IGN;
}

/* From the ids of the container's user namespace to those that the sentry keeps. */
static int first_mapped(struct cred *c, struct user_ns *ns)
{
    uint32_t uid = uid_from(ns, c->uid), gid = gid_from(ns, c->gid);
    if (uid == UINT32_MAX || gid == UINT32_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < c->group_count; i++) {
        c->groups[i] = gid_from(ns, c->groups[i]);
        if (c->groups[i] == UINT32_MAX)
            return -EINVAL;
    }
    c->uid = c->euid = c->suid = c->fsuid = uid;
    c->gid = c->egid = c->sgid = c->fsgid = gid;
    user_ns_get(ns);
    user_ns_put(c->user_ns);
    c->user_ns = ns;
    return 0;
}

static int first_cred(struct task *t, const struct spawn_args *a)
{
    int r = cred_new_root(a->uid, a->gid, a->groups, a->group_count, a->cap_bounding, &t->cred);
    if (r)
        return r;
    t->cred->cap_permitted = a->cap_permitted;
    t->cred->cap_effective = a->cap_effective & a->cap_permitted;
    t->cred->cap_inheritable = a->cap_inheritable;
    t->cred->cap_ambient = a->cap_ambient & a->cap_permitted & a->cap_inheritable;
    t->cred->no_new_privs = a->no_new_privs;
    return a->user_ns && a->user_ns->level ? first_mapped(t->cred, a->user_ns) : 0;
}

static void first_process(struct process *p, const struct spawn_args *a)
{
    p->container = a->container;
    container_get(p->container);
    p->watch = a->watch;
    if (p->watch)
        exit_watch_get(p->watch);
    rlimits_default(p->rlimits);
    if (a->rlimits)
        memcpy(p->rlimits, a->rlimits, RLIM_NLIMITS * sizeof(*p->rlimits));
    first_signals(p, a->ignored);
    p->exit_signal = SIGCHLD;
    p->unkillable = a->unkillable;
    p->oom_score_adj = a->oom_score_adj;
}

static int first_build(struct task *t, const struct spawn_args *a)
{
    struct process *p = t->process = process_new();
    if (!p)
        return -ENOMEM;
    first_process(p, a);
    for (unsigned i = 0; i < g_kernel.cpu_count && i < TASK_CPU_WORDS * 64; i++)
        t->affinity[i / 64] |= 1ull << (i % 64);
    t->timer_slack_default = t->timer_slack_ns;
    if (g_kernel.strace)
        t->slow_entry |= TASK_SLOW_STRACE;
    t->mount_ns = a->mount_ns;
    mount_ns_get(t->mount_ns);
    t->ns_set = a->ns_set;
    ns_set_get(t->ns_set);
    t->fds = a->fds;
    fdtable_get_ref(t->fds);
    int r = first_cred(t, a);
    return r ? r : first_fs(t, a);
}

static int first_allowed_locked(const struct spawn_args *a)
{
    struct container *c = a->container;
    if (g_kernel.dying || c->dying || (a->is_init && c->init))
        return -ESRCH;
    bool full = c->tasks_limit && c->task_count >= c->tasks_limit;
    return full || g_kernel.task_count >= TASKS_MAX ? -EAGAIN : 0;
}

static int first_publish_locked(struct task *t, const struct spawn_args *a)
{
    struct process *p = t->process;
    struct pid *n;
    int r = first_allowed_locked(a);
    if (!r)
        r = pid_alloc_locked(a->ns_set->pid_children, NULL, &n);
    if (r)
        return r;
    process_number(p, n);
    r = session_new_locked(p, n);
    if (r) {
        n->process = NULL;
        pid_release_locked(n);
        return r;
    }
    process_get(p);
    p->leader = t;
    task_get(t);
    list_push_back(&g_kernel.processes, &p->all_node);
    if (a->is_init)
        a->container->init = p;
    if (a->is_init && a->container->is_root) {
        g_kernel.init = g_kernel.root_pid_ns->init = p;
        process_get(p); /* orphans look for it even after its end */
    }
    pid_ns_enter_locked(p);
    lock_acquire(&p->sig_lock);
    task_link_locked(t, n);
    lock_release(&p->sig_lock);
    return 0;
}

static void first_unpublish(struct task *t, const struct spawn_args *a)
{
    struct process *p = t->process;
    LOCK_GUARD(&g_kernel.tasks_lock);
    if (a->is_init)
        a->container->init = NULL;
    if (g_kernel.init == p) {
        g_kernel.init = g_kernel.root_pid_ns->init = NULL;
        process_put(p);
    }
    pid_ns_unborn_locked(p);
    p->task_count = 0;
    g_kernel.task_count--;
    p->container->task_count--;
    t->exiting = true;
    p->state = PROCESS_ZOMBIE;
    process_reap_locked(p);
    if (!g_kernel.task_count)
        g_kernel.root_pid_ns->last_pid = 0;
}

static int first_exec(struct task *t, const struct spawn_args *a)
{
    struct exec_strings s = {0};
    int r = exec_strings_from_host(&s, a->argv, a->envp);
    if (!r)
        r = task_exec(t, AT_FDCWD, a->path, 0, &s);
    exec_strings_free(&s);
    return r;
}

static void first_discard(struct task *t)
{
    if (t->ctx)
        pl_ops()->ctx_destroy(t->ctx);
    t->ctx = NULL;
    if (t->mm)
        mm_put(t->mm);
    if (t->fds)
        fdtable_put(t->fds, t);
    if (t->fs)
        fs_struct_put(t->fs);
    t->mm = NULL, t->fds = NULL, t->fs = NULL;
    task_put(t);
}

static int first_finish(struct task *t, const struct spawn_args *a)
{
    int r = first_exec(t, a);
    t->no_result = false;
    if (!r && a->seccomp_count)
        r = seccomp_filter_install(t, a->seccomp_flags, a->seccomp, a->seccomp_count);
    if (!r && a->tty)
        tty_attach(a->tty, t->process->pgrp->session, t->process->pid);
    if (!r && a->watch)
        a->watch->pid = t->process->pid;
    if (!r && a->is_init && a->container->is_root)
        g_kernel.root_mount_ns = a->mount_ns;
    return r;
}

/* The whole life before the first instruction runs on the caller's thread. */
int kernel_spawn(const struct spawn_args *a, struct process **out)
{
    struct task *t = task_new();
    if (!t)
        return -ENOMEM;
    int r = first_build(t, a);
    if (!r) {
        lock_acquire(&g_kernel.tasks_lock);
        r = first_publish_locked(t, a);
        lock_release(&g_kernel.tasks_lock);
    }
    if (r) {
        first_discard(t);
        return r;
    }
    r = first_finish(t, a);
    task_get(t); /* it may be gone before we are done with it */
    if (!r)
        r = task_thread_start(t);
    if (r) {
        first_unpublish(t, a);
        first_discard(t);
    } else {
        process_get(t->process);
        *out = t->process;
    }
    task_put(t);
    return r;
}

void kernel_strace(bool on)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    g_kernel.strace = on;
    struct process *p;
    struct task *t;
    list_for_each(p, &g_kernel.processes, all_node) list_for_each(t, &p->tasks, process_node)
    {
        if (on)
            __atomic_or_fetch(&t->slow_entry, TASK_SLOW_STRACE, __ATOMIC_SEQ_CST);
        else
            __atomic_and_fetch(&t->slow_entry, (uint8_t)~TASK_SLOW_STRACE, __ATOMIC_SEQ_CST);
    }
}

/* ---- from outside
 * ----------------------------------------------------------------------------------- */

bool kernel_empty(void)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return !g_kernel.task_count;
}

/* The terminal of p's session; counted. */
static struct tty *process_tty(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct tty *tty = p->pgrp ? p->pgrp->session->tty : NULL;
    if (tty)
        tty_get(tty);
    return tty;
}

void process_signal_foreground(struct process *p, int sig)
{
    struct tty *tty = process_tty(p);
    if (tty) {
        tty_signal_foreground(tty, sig);
        tty_put(tty);
        return;
    }
    siginfo_t info = {.si_signo = sig, .si_code = SI_USER};
    signal_send_process(p, sig, &info);
}
