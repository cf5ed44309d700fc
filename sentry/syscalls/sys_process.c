/* Birth, programs, death and waiting: fork … wait. */
#include "fs/vfs.h"
#include "loader/loader.h"
#include "syscalls/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* ---- fork, clone ------------------------------------------------------------------------------
 */

int64_t sys_fork(struct task *t, const struct sysargs *a)
{
    struct clone_call c = {.exit_signal = SIGCHLD};
    return task_clone(t, &c);
}

int64_t sys_vfork(struct task *t, const struct sysargs *a)
{
    struct clone_call c = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};
    return task_clone(t, &c);
}

int64_t sys_clone(struct task *t, const struct sysargs *a)
{
    uint64_t flags = (uint32_t)a->v[0] & ~(uint64_t)CSIGNAL;
    struct clone_call c = {.flags = flags & ~(uint64_t)CLONE_DETACHED,
                           .exit_signal = a->v[0] & CSIGNAL,
                           .stack = a->v[1],
                           .parent_tid = a->v[2],
                           .pidfd = a->v[2],
                           .child_tid = a->v[3],
                           .tls = a->v[4]};
    if ((flags & CLONE_PIDFD) && (flags & (CLONE_PARENT_SETTID | CLONE_DETACHED | CLONE_THREAD)))
        return -EINVAL;
    return task_clone(t, &c);
}

#define CLONE3_KNOWN                                                                               \
    ((uint64_t)(0xffffffffu & ~CSIGNAL & ~(uint64_t)CLONE_DETACHED) | CLONE_NEWTIME |              \
     CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP)

/* A struct that grows with kernels: what we do not know must be zero. */
static int import_sized(struct task *t, void *dst, size_t known, uint64_t ua, uint64_t size)
{
    memset(dst, 0, known);
    if (uaccess_read(t->mm, dst, uaddr(ua), size < known ? size : known))
        return -EFAULT;
    for (uint64_t at = known; at < size; at++) {
        uint8_t byte;
        if (uaccess_read_obj(t->mm, &byte, uaddr(ua + at)))
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    return 0;
}

#define CLONE_SET_TID_MAX 32

static int clone3_check(const struct clone_args *k)
{
    if (k->flags & ~CLONE3_KNOWN || k->exit_signal & ~(uint64_t)CSIGNAL || k->exit_signal > 64)
        return -EINVAL;
    if ((k->flags & (CLONE_THREAD | CLONE_PARENT)) && k->exit_signal)
        return -EINVAL;
    if ((k->flags & CLONE_PIDFD) && (k->flags & CLONE_THREAD))
        return -EINVAL;
    if (!k->stack != !k->stack_size || (!k->set_tid) != (!k->set_tid_size))
        return -EINVAL;
    return k->set_tid_size > CLONE_SET_TID_MAX ? -EINVAL : 0;
}

/* No descriptor here leads to a control group. */
static int clone3_cgroup(struct task *t, const struct clone_args *k, uint64_t size)
{
    if (!(k->flags & CLONE_INTO_CGROUP))
        return 0;
    return k->cgroup > INT32_MAX || size < CLONE_ARGS_SIZE_VER2 ? -EINVAL : -EBADF;
}

int64_t sys_clone3(struct task *t, const struct sysargs *a)
{
    struct clone_args k;
    uint64_t size = a->v[1];
    if (size > 4096)
        return -E2BIG;
    if (size < 64)
        return -EINVAL;
    int32_t set_tid[CLONE_SET_TID_MAX];
    int r = import_sized(t, &k, sizeof(k), a->v[0], size);
    if (!r)
        r = clone3_check(&k);
    if (!r)
        r = clone3_cgroup(t, &k, size);
    if (!r && k.set_tid_size)
        r = uaccess_read(t->mm, set_tid, uaddr(k.set_tid), k.set_tid_size * sizeof(set_tid[0]));
    if (r)
        return r;
    struct clone_call c = {.flags = k.flags,
                           .exit_signal = k.exit_signal,
                           .pidfd = k.pidfd,
                           .child_tid = k.child_tid,
                           .parent_tid = k.parent_tid,
                           .stack = k.stack ? k.stack + k.stack_size : 0,
                           .tls = k.tls,
                           .set_tid = set_tid,
                           .set_tid_count = k.set_tid_size};
    return task_clone(t, &c);
}

int64_t sys_unshare(struct task *t, const struct sysargs *a)
{
    return task_unshare(t, a->v[0]);
}

int64_t sys_setns(struct task *t, const struct sysargs *a)
{
    struct file *f = fdtable_get_io(t->fds, (int)a->v[0]);
    if (!f)
        return -EBADF;
    struct ns *ns = nsfs_ns(f);
    struct process *p = ns ? NULL : pidfd_process(f);
    int64_t r = ns ? task_setns(t, ns, (int)a->v[1])
                : p ? task_setns_process(t, p, (int)a->v[1])
                    : -EINVAL;
    if (p)
        process_put(p);
    file_put(f);
    return r;
}

/* ---- exec -------------------------------------------------------------------------------------
 */

static int64_t exec_common(struct task *t, int dirfd, uint64_t name, uint64_t argv, uint64_t envp,
                           int flags)
{
    struct exec_strings s = {0};
    char *path;
    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    int r = vfs_path_import(t, uaddr(name), flags & AT_EMPTY_PATH, &path);
    if (r)
        return r;
    int64_t result = exec_strings_import(&s, t->mm, uaddr(argv), uaddr(envp));
    if (!result)
        result = task_exec(t, dirfd, path, flags, &s);
    exec_strings_free(&s);
    free(path);
    return result;
}

int64_t sys_execve(struct task *t, const struct sysargs *a)
{
    return exec_common(t, AT_FDCWD, a->v[0], a->v[1], a->v[2], 0);
}

int64_t sys_execveat(struct task *t, const struct sysargs *a)
{
    return exec_common(t, (int)a->v[0], a->v[1], a->v[2], a->v[3], (int)a->v[4]);
}

/* ---- exit, wait -------------------------------------------------------------------------------
 */

int64_t sys_exit(struct task *t, const struct sysargs *a)
{
    t->exit_wanted = true;
    t->exit_code = (a->v[0] & 0xff) << 8;
    return 0;
}

int64_t sys_exit_group(struct task *t, const struct sysargs *a)
{
    process_exit_group(t->process, (a->v[0] & 0xff) << 8);
    return 0;
}

int64_t sys_wait4(struct task *t, const struct sysargs *a)
{
    int pid = a->v[0], options = a->v[2];
    struct wait_result res;
    if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WALL | (int)__WCLONE))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    struct wait_call c = {.type = P_PID, .id = task_means_id(t, pid), .options = options | WEXITED};
    if (pid == -1)
        c.type = P_ALL;
    else if (pid <= 0)
        c.type = P_PGID, c.id = pid ? task_means_id(t, -pid) : process_pgid(t->process);
    int64_t r = process_wait(t, &c, &res);
    if (r <= 0)
        return r;
    if (a->v[1] && uaccess_write_obj(t->mm, uaddr(a->v[1]), &res.wstatus))
        return -EFAULT;
    if (a->v[3] && uaccess_write_obj(t->mm, uaddr(a->v[3]), &res.usage))
        return -EFAULT;
    return r;
}

/* P_PIDFD becomes P_PID; the descriptor's O_NONBLOCK counts as WNOHANG with EAGAIN. */
static int waitid_pidfd(struct task *t, struct wait_call *c, bool *nonblock)
{
    struct file *f = fdtable_get(t->fds, c->id);
    if (!f)
        return -EBADF;
    struct process *p = pidfd_process(f);
    *nonblock = f->flags & O_NONBLOCK;
    file_put(f);
    if (!p)
        return -EBADF;
    c->type = P_PID;
    c->id = p->pid;
    process_put(p);
    return 0;
}

static int waitid_target(struct task *t, struct wait_call *c, bool *nonblock)
{
    switch (c->type) {
    case P_ALL:
        return 0;
    case P_PID:
        if (c->id <= 0)
            return -EINVAL;
        c->id = task_means_id(t, c->id);
        return 0;
    case P_PGID:
        if (c->id < 0)
            return -EINVAL;
        c->id = c->id ? task_means_id(t, c->id) : process_pgid(t->process);
        return 0;
    case P_PIDFD:
        return c->id < 0 ? -EINVAL : waitid_pidfd(t, c, nonblock);
    }
    return -EINVAL;
}

static int waitid_report(struct task *t, uint64_t ua, int64_t found, const struct wait_result *res)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    if (!ua)
        return 0;
    if (found > 0) {
        info.si_signo = SIGCHLD;
        info.si_code = res->code;
        info.si_pid = res->pid;
        info.si_uid = uid_to(t->cred->user_ns, res->uid);
        info.si_status = res->status;
    }
    /* Linux writes the fields up to si_status and no others. */
    return uaccess_write(t->mm, uaddr(ua), &info, offsetof(siginfo_t, si_status) + 4);
}

int64_t sys_waitid(struct task *t, const struct sysargs *a)
{
    struct wait_call c = {.type = a->v[0], .id = a->v[1], .options = a->v[3]};
    struct wait_result res;
    bool nonblock = false;
    if (c.options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WALL |
                      (int)__WCLONE))
        return -EINVAL;
    if (!(c.options & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    int r = waitid_target(t, &c, &nonblock);
    if (r)
        return r;
    if (nonblock)
        c.options |= WNOHANG;
    int64_t found = process_wait(t, &c, &res);
    if (!found && nonblock && !(a->v[3] & WNOHANG))
        found = -EAGAIN;
    /* Linux writes an empty answer beside an error too. */
    if (waitid_report(t, a->v[2], found < 0 ? 0 : found, &res))
        return -EFAULT;
    if (found < 0)
        return found;
    if (found && a->v[4] && uaccess_write_obj(t->mm, uaddr(a->v[4]), &res.usage))
        return -EFAULT;
    return 0;
}

/* ---- numbers ----------------------------------------------------------------------------------
 */

int64_t sys_getpid(struct task *t, const struct sysargs *a)
{
    return t->process->vpid;
}

int64_t sys_gettid(struct task *t, const struct sysargs *a)
{
    return t->vtid;
}

int64_t sys_getppid(struct task *t, const struct sysargs *a)
{
    return task_sees_id(t, process_ppid(t->process));
}

int64_t sys_set_tid_address(struct task *t, const struct sysargs *a)
{
    t->clear_child_tid = a->v[0];
    return t->vtid;
}

/* ---- pidfd ------------------------------------------------------------------------------------
 */

int64_t sys_pidfd_open(struct task *t, const struct sysargs *a)
{
    int pid = a->v[0];
    struct file *f;
    if ((a->v[1] & ~(uint64_t)O_NONBLOCK) || pid <= 0)
        return -EINVAL;
    struct task *target = task_lookup(pid);
    struct process *p = process_lookup(pid);
    if (target)
        task_put(target);
    if (!p)
        return target ? -EINVAL : -ESRCH; /* a thread that leads nothing */
    int r = pidfd_new(p, a->v[1], &f);
    process_put(p);
    if (r)
        return r;
    r = fdtable_install(t, f, 0, /*cloexec=*/true);
    if (r < 0)
        file_put(f);
    return r;
}

static struct process *pidfd_lookup(struct task *t, int fd)
{
    struct file *f = fdtable_get(t->fds, fd);
    struct process *p = f ? pidfd_process(f) : NULL;
    if (f)
        file_put(f);
    return p;
}

static int pidfd_siginfo(struct task *t, struct process *p, int sig, uint64_t ua, siginfo_t *info)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = sig;
    info->si_code = SI_USER;
    info->si_pid = t->process->vpid;
    info->si_uid = uid_to(t->cred->user_ns, t->cred->uid);
    if (!ua)
        return 0;
    if (uaccess_read_obj(t->mm, info, uaddr(ua)))
        return -EFAULT;
    if (info->si_signo != sig)
        return -EINVAL;
    if ((info->si_code >= 0 || info->si_code == SI_TKILL) && p != t->process)
        return -EPERM;
    return 0;
}

int64_t sys_pidfd_send_signal(struct task *t, const struct sysargs *a)
{
    int sig = a->v[1];
    siginfo_t info;
    if (a->v[3])
        return -EINVAL;
    struct process *p = pidfd_lookup(t, (int)a->v[0]);
    if (!p)
        return -EBADF;
    int64_t r = sig < 0 || sig > SIG_COUNT ? -EINVAL : pidfd_siginfo(t, p, sig, a->v[2], &info);
    if (!r) { /* the number must still be the process's own */
        struct process *now = process_by_id(p->pid);
        r = now == p ? signal_kill_process(t, p, sig, &info) : -ESRCH;
        if (now)
            process_put(now);
    }
    process_put(p);
    return r;
}

int64_t sys_pidfd_getfd(struct task *t, const struct sysargs *a)
{
    if (a->v[2])
        return -EINVAL;
    struct process *p = pidfd_lookup(t, (int)a->v[0]);
    if (!p)
        return -EBADF;
    struct task *target = task_by_id(p->pid);
    process_put(p);
    if (!target)
        return -ESRCH;
    int64_t r = cred_may_ptrace(t, target);
    struct fdtable *fds = r ? NULL : task_fds_get(target);
    task_put(target);
    if (!fds)
        return r ? r : -ESRCH;
    struct file *f = fdtable_get(fds, (int)a->v[1]);
    fdtable_put(fds, t);
    if (!f)
        return -EBADF;
    r = fdtable_install(t, f, 0, /*cloexec=*/true);
    if (r < 0)
        file_put(f);
    return r;
}
