/* execve, execveat: check, then commit.
 *
 * Check: find and open the file, load a whole new address space, make a platform thread in it,
 * compute the new credentials. Any failure leaves the caller as it was. Commit: end all other
 * threads, take the leader's tid, swap memory and thread, reset what exec resets. The only failure
 * left in between is being killed. */
#include "kernel/kernel_priv.h"
#include "kernel/signal_priv.h"

#include "base/log.h"
#include "fs/vfs.h"
#include "loader/loader.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>

struct exec_state {
    struct file *file;
    struct cred *cred; /* the next credentials */
    struct loader_result loaded;
    struct pl_ctx *ctx;
    char *name;          /* malloc'd; instead of the file name, or NULL */
    bool name_is_closed; /* it will mean nothing after the exec */
};

static void exec_discard(struct exec_state *x)
{
    free(x->name);
    if (x->ctx)
        pl_ops()->ctx_destroy(x->ctx);
    if (x->loaded.mm)
        mm_put(x->loaded.mm);
    if (x->loaded.exe)
        file_put(x->loaded.exe);
    if (x->cred)
        cred_put(x->cred);
    if (x->file)
        file_put(x->file);
}

/* ---- check
 * ---------------------------------------------------------------------------------------- */

/* Set-id bits and capability rules of execve(2). */
static int exec_creds(struct task *t, struct file *f, struct cred **out, bool *secure)
{
    struct cred *c = cred_copy(t->cred);
    if (!c)
        return -ENOMEM;
    struct kstat st;
    int r = vfs_stat(&f->path, &st);
    if (r) {
        cred_put(c);
        return r;
    }
    bool nosuid = c->no_new_privs || !ids_mapped(c->user_ns, st.uid, st.gid) || !f->path.mnt || (f->path.mnt->flags & MS_NOSUID) || t->ptrace;
    if (!nosuid && (st.mode & S_ISUID))
        c->euid = st.uid;
    if (!nosuid && (st.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        c->egid = st.gid;
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    struct file_caps caps;
    bool has_caps = !nosuid && inode_file_caps(f->inode, &caps);
    r = cred_exec_caps(t->cred, c, has_caps ? &caps : NULL);
    if (r) {
        cred_put(c);
        return r;
    }
    *secure = c->euid != c->uid || c->egid != c->gid ||
              (c->uid && ((has_caps && caps.effective) || (c->cap_permitted & ~c->cap_ambient)));
    *out = c;
    return 0;
}

static bool exec_fixed_addresses(struct task *t)
{
    return (t->personality & ADDR_NO_RANDOMIZE) ||
           !__atomic_load_n(&g_randomize_va_space, __ATOMIC_RELAXED);
}

static int exec_load(struct task *t, const char *filename, struct exec_strings *strings,
                     struct exec_state *x, bool secure)
{
    struct loader_args a = {.task = t,
                            .file = x->file,
                            .filename = x->name ? x->name : filename,
                            .name_is_closed = x->name_is_closed,
                            .strings = strings,
                            .cred = x->cred,
                            .secure = secure,
                            .fixed = exec_fixed_addresses(t),
                            .vdso = g_kernel.vdso,
                            .stack_limit = rlimit_get(t->process, RLIMIT_STACK)};
    return loader_load(&a, &x->loaded);
}

static int exec_context(struct exec_state *x)
{
    int r = pl_ops()->ctx_create(mm_aspace(x->loaded.mm), &x->ctx);
    return r ? -ENOMEM : 0;
}

static int exec_check(struct task *t, int dirfd, const char *filename, int flags,
                      struct exec_strings *strings, struct exec_state *x)
{
    bool secure;
    int r = vfs_open_exec(t, dirfd, filename, flags, &x->file);
    if (!r)
        r = exec_creds(t, x->file, &x->cred, &secure);
    if (!r)
        r = exec_load(t, filename, strings, x, secure);
    if (!r)
        r = exec_context(x);
    if (!r && secure)
        t->pdeath_signal = 0;
    return r;
}

/* ---- alone in the process
 * -------------------------------------------------------------------------- */

static bool dethread_done(struct task *t)
{
    LOCK_GUARD(&t->process->sig_lock);
    return t->process->task_count == 1;
}

static int dethread_begin(struct task *t)
{
    struct process *p = t->process;
    LOCK_GUARD(&p->sig_lock);
    if (p->group_exiting || p->exec_task)
        return -ERESTARTNOINTR; /* another thread was first: die */
    p->exec_task = t;
    struct task *o;
    list_for_each(o, &p->tasks, process_node) if (o != t && !o->exiting)
        task_kick(o, TASK_NOTIFY_EXIT);
    return 0;
}

static void dethread_end(struct task *t)
{
    LOCK_GUARD(&t->process->sig_lock);
    t->process->exec_task = NULL;
    signal_recalc_locked(t);
}

/* The old leader has exited and its number is ours now. */
static void dethread_take_leader(struct task *t)
{
    struct process *p = t->process;
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct task *old = p->leader;
    if (old == t)
        return;
    lock_acquire(&p->sig_lock);
    list_del(&old->process_node);
    lock_release(&p->sig_lock);
    struct pid *mine = t->id;
    mine->task = NULL;
    pid_release_locked(mine);
    pid_put(mine);
    p->id->task = t;
    t->id = pid_get(p->id);
    t->tid = p->pid;
    t->vtid = p->vpid;
    ptrace_renumber_locked(t);
    p->leader = t;
    task_get(t);
    task_put(old);
}

static int dethread_wait(struct task *t)
{
    for (;;) {
        task_sleep_prepare(t);
        if (dethread_done(t))
            return 0;
        if (task_sleep(t, DEADLINE_NONE, /*interruptible=*/false))
            return -ERESTARTNOINTR;
    }
}

int task_end_others(struct task *t)
{
    int r = dethread_begin(t);
    if (r)
        return r;
    r = dethread_wait(t);
    dethread_end(t);
    return r;
}

static int exec_dethread(struct task *t)
{
    int r = dethread_begin(t);
    if (r)
        return r;
    r = dethread_wait(t);
    if (!r)
        dethread_take_leader(t);
    dethread_end(t);
    return r;
}

/* ---- commit
 * --------------------------------------------------------------------------------------- */

static int exec_private_files(struct task *t)
{
    return task_unshare(t, CLONE_FILES);
}

static void exec_swap_memory(struct task *t, struct exec_state *x)
{
    futex_exit_robust(t);
    futex_exit_pi(t);
    if (t->clear_child_tid) { /* Linux: mm_release tells the old memory */
        int32_t zero = 0;
        if (!uaccess_write_obj(t->mm, uaddr(t->clear_child_tid), &zero))
            futex_wake(t, t->clear_child_tid, /*shared=*/true, 1, FUTEX_ANY);
    }
    lock_acquire(&t->lock);
    struct mm *old = t->mm;
    struct pl_ctx *old_ctx = t->ctx;
    t->mm = x->loaded.mm;
    t->ctx = x->ctx;
    memcpy(t->comm, x->loaded.comm, sizeof(t->comm));
    lock_release(&t->lock);
    x->loaded.mm = NULL;
    x->ctx = NULL;
    if (old_ctx)
        pl_ops()->ctx_destroy(old_ctx);
    vfork_release(t);
    if (old)
        mm_put(old);
    mm_limits_update(t->process, t->mm);
}

static void exec_set_regs(struct task *t, const struct loader_result *l)
{
    t->regs = (struct user_regs_struct){.rip = l->entry, .rsp = l->stack_pointer, .eflags = 0x202};
    t->regs.orig_rax = -1;
    t->regs.cs = 0x33, t->regs.ss = 0x2b; /* a debugger tells 64-bit programs by cs */
    t->regs_valid = t->regs_dirty = true;
    t->no_result = true;
}

static void exec_reset_task(struct task *t)
{
    struct process *p = t->process;
    t->clear_child_tid = t->robust_list = t->set_child_tid = 0;
    t->altstack = (struct altstack){.flags = SS_DISABLE};
    t->timer_slack_ns = t->timer_slack_default;
    t->restart_code = 0;
    user_dispatch_exec(t);
    keys_exec(t);
    posix_timers_exit(p);
    signal_exec_reset(p);
    lock_acquire(&g_kernel.tasks_lock);
    p->did_exec = true;
    if (p->exit_signal)
        p->exit_signal = SIGCHLD;
    lock_release(&g_kernel.tasks_lock);
}

static void exec_swap_creds(struct task *t, struct exec_state *x, bool changed)
{
    struct process *p = t->process;
    __atomic_store_n(&p->dumpable, !changed, __ATOMIC_RELAXED);
    cred_commit(t, x->cred);
    x->cred = NULL;
}

static void exec_commit(struct task *t, struct exec_state *x)
{
    bool changed = x->cred->euid != x->cred->uid || x->cred->egid != x->cred->gid;
    exec_swap_memory(t, x);
    exec_reset_task(t);
    fdtable_close_on_exec(t->fds, t);
    exec_swap_creds(t, x, changed);
    exec_set_regs(t, &x->loaded);
    if (t->ptrace)
        ptrace_exec(t);
}

/* What a program executed through a descriptor is called: "/dev/fd/N" or "/dev/fd/N/name". A script's
 * interpreter is to open that, which it cannot if the descriptor closes on exec. */
static int exec_name(struct task *t, struct exec_state *x, int dirfd, const char *filename)
{
    bool cloexec;
    if (dirfd == AT_FDCWD || filename[0] == '/')
        return 0;
    const char *slash = filename[0] ? "/" : "";
    if (asprintf(&x->name, "/dev/fd/%d%s%s", dirfd, slash, filename) < 0) {
        x->name = NULL;
        return -ENOMEM;
    }
    x->name_is_closed = fdtable_flags(t->fds, dirfd, &cloexec) >= 0 && cloexec;
    return 0;
}

int64_t task_exec(struct task *t, int dirfd, const char *filename, int flags,
                  struct exec_strings *strings)
{
    struct exec_state x = {0};
    int r = t->nproc_exceeded && nproc_over(t->process, t->cred->uid)
                ? -EAGAIN
                : exec_name(t, &x, dirfd, filename);
    t->nproc_exceeded &= r == -EAGAIN;
    if (!r)
        r = exec_check(t, dirfd, filename, flags, strings, &x);
    if (!r)
        r = exec_private_files(t);
    if (!r)
        r = sighand_unshare(t->process);
    if (!r)
        r = exec_dethread(t);
    if (!r)
        exec_commit(t, &x);
    exec_discard(&x);
    return r;
}
