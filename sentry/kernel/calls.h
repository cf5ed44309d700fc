/* The second half of kernel.h: what the system call handlers of syscalls/ ask of this room.
 * Include kernel/kernel.h. Results are 0 or a value, or a negative errno. */
#pragma once
#include "kernel/kernel.h"
#include <sys/time.h>
#include <sys/wait.h>

/* ---- signals ------------------------------------------------------------------------------------
 */
void signal_set_blocked(struct task *t, sigmask_t mask); /* own thread; KILL and STOP are dropped */
sigmask_t signal_pending_set(struct task *t);            /* own and shared, blocked or not */
int signal_action(struct task *t, int sig, const struct sigaction_k *act, struct sigaction_k *old);
int altstack_flags(const struct task *t, uint64_t sp); /* SS_DISABLE, SS_ONSTACK or 0 */
int altstack_set(struct task *t, const struct altstack *a, uint64_t sp, uint64_t min_size);
uint64_t altstack_min_size(void);
int64_t signal_suspend(struct task *t, sigmask_t mask);
/* ppoll, pselect, epoll_pwait: block mask for the duration of a call. restore is called on the way
 * out; interrupted: the call ends with a restart code or EINTR, so the handler runs under the
 * temporary mask and the old one comes back after it. */
void signal_mask_swap(struct task *t, sigmask_t mask);
void signal_mask_restore(struct task *t, bool interrupted);
/* deadline INT64_MIN: do not wait. The signal number, -EAGAIN, -EINTR. */
int signal_timedwait(struct task *t, sigmask_t set, int64_t deadline, siginfo_t *info);
int signal_kill(struct task *t, int pid, int sig);
int signal_kill_pid(struct task *t, int pid, int sig, const siginfo_t *info);
int signal_kill_process(struct task *t, struct process *p, int sig, const siginfo_t *info);
/* tgid <= 0: any. given NULL: SI_TKILL. */
int signal_tgkill(struct task *t, int tgid, int tid, int sig, const siginfo_t *given);
int sigframe_return(struct task *t); /* rt_sigreturn; an error means SIGSEGV */

/* ---- birth, programs, death
 * ----------------------------------------------------------------------- */
struct clone_call { /* as struct clone_args, checked and decoded */
    uint64_t flags;
    int exit_signal;
    uint64_t pidfd, child_tid, parent_tid, stack, tls;
    const int32_t *set_tid; /* wished numbers, innermost namespace first */
    unsigned set_tid_count;
};
int64_t task_clone(struct task *t, const struct clone_call *c); /* number of the child */
int64_t task_unshare(struct task *t, uint64_t flags);
int64_t task_setns(struct task *t, struct ns *ns, int type); /* type 0: whatever it is */
int64_t task_setns_process(struct task *t, struct process *p, int flags);
struct exec_strings;
/* filename is kernel memory; flags AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW. */
int64_t task_exec(struct task *t, int dirfd, const char *filename, int flags,
                  struct exec_strings *strings);
/* On return every task of p has been out of guest code since the call (membarrier). */
void process_barrier(struct process *p);
void process_exit_group(struct process *p, int status); /* wait status; the caller sees notify */

/* /proc/sys/kernel/core_pattern and core_uses_pid. */
#define CORE_PATTERN_SIZE 128
void core_pattern_get(char out[CORE_PATTERN_SIZE]);
void core_pattern_set(const char *text);
bool core_uses_pid_get(void);
void core_uses_pid_set(bool on);

struct wait_call {
    int type;    /* P_ALL, P_PID, P_PGID, P_PIDFD resolved to P_PID */
    int id;      /* of the process or group: an id, not a guest's number */
    int options; /* W*; WEXITED and WSTOPPED as waitid has them */
};
struct wait_result {
    int pid, uid, code, status; /* pid as the waiter knows it; code CLD_*; exit code or signal */
    int wstatus;                /* as wait4 gives it */
    struct rusage usage;
};
int64_t process_wait(struct task *t, const struct wait_call *c, struct wait_result *out);

/* ---- process groups, sessions -------------------------------------------------------------------
 */
/* Ids; 0 if it has none any more. */
int process_pgid(struct process *p);
int process_sid(struct process *p);
int process_ppid(struct process *p);
int process_setpgid(struct task *t, int pid, int pgid); /* the caller's numbers */
int process_setsid(struct task *t);
/* For terminals: is the group of this id orphaned (TTIN and TTOU become EIO)? */
bool pgrp_is_orphaned(int pgid);
bool pgrp_in_session(int pgid, int sid); /* the group exists and belongs to the session */

/* ---- credentials --------------------------------------------------------------------------------
 */
#define CAP_ALL ((1ull << (CAP_LAST_CAP + 1)) - 1)
struct cred *cred_copy(const struct cred *c);        /* a private copy to edit; NULL: no memory */
void cred_commit(struct task *t, struct cred *next); /* consumes next */
int cred_new_root(uint32_t uid, uint32_t gid, const uint32_t *groups, unsigned count, uint64_t caps,
                  struct cred **out);
int cred_setuid(struct task *t, uint32_t uid);
int cred_setreuid(struct task *t, uint32_t ruid, uint32_t euid);
int cred_setresuid(struct task *t, uint32_t ruid, uint32_t euid, uint32_t suid);
int cred_setgid(struct task *t, uint32_t gid);
int cred_setregid(struct task *t, uint32_t rgid, uint32_t egid);
int cred_setresgid(struct task *t, uint32_t rgid, uint32_t egid, uint32_t sgid);
uint32_t cred_setfsuid(struct task *t, uint32_t uid);
uint32_t cred_setfsgid(struct task *t, uint32_t gid);
int cred_setgroups(struct task *t, const uint32_t *groups, unsigned count);
int cred_capset(struct task *t, uint64_t effective, uint64_t permitted, uint64_t inheritable);
int64_t cred_prctl(struct task *t, int option, const uint64_t *args); /* the CAP_* part of prctl */
/* May t look into target (ptrace, process_vm_readv, /proc/PID/mem): 0 or -EPERM. */
int cred_may_ptrace(struct task *t, struct task *target);

/* ---- futexes ------------------------------------------------------------------------------------
 */
#define FUTEX_ANY ~0u
int64_t futex_wait(struct task *t, uint64_t addr, bool shared, uint32_t value, uint32_t bitset,
                   int64_t deadline);
int64_t futex_wake(struct task *t, uint64_t addr, bool shared, int count, uint32_t bitset);
int64_t futex_requeue(struct task *t, uint64_t addr, uint64_t addr2, bool shared, int wake,
                      int requeue, const uint32_t *expected, bool to_pi);
int64_t futex_wake_op(struct task *t, uint64_t addr, uint64_t addr2, bool shared, int wake,
                      int wake2, uint32_t op);
int64_t futex_lock_pi(struct task *t, uint64_t addr, bool shared, bool try_only, int64_t deadline);
int64_t futex_unlock_pi(struct task *t, uint64_t addr, bool shared);
int64_t futex_wait_requeue_pi(struct task *t, uint64_t addr, uint64_t addr2, bool shared,
                              uint32_t value, uint32_t bitset, int64_t deadline);
struct futex_many {
    uint64_t addr;
    uint32_t value;
    bool shared;
};
#define FUTEX_MANY_MAX 128
int64_t futex_wait_many(struct task *t, const struct futex_many *f, unsigned count,
                        int64_t deadline);
/* Requeue between words of possibly different sharing (futex_requeue(2)). */
int64_t futex_requeue2(struct task *t, const struct futex_many f[2], int wake, int requeue);

/* ---- limits, usage, timers
 * ------------------------------------------------------------------------ */
int rlimit_change(struct task *t, struct process *p, int resource, const struct rlimit64 *next,
                  struct rlimit64 *old);
void process_io_usage(struct process *p, struct io_usage *out);
int usage_get(struct task *t, int who, struct rusage *out);
int64_t itimer_set(struct task *t, int which, const struct itimerval *next, struct itimerval *old);
int itimer_get(struct task *t, int which, struct itimerval *out);
int cpu_clock_get(struct task *t, int clockid,
                  int64_t *ns); /* -EINVAL: no CPU clock of that name */
int posix_timer_create(struct task *t, int clockid, const struct sigevent *ev, int *id);
int posix_timer_set(struct task *t, int id, int flags, const struct itimerspec *next,
                    struct itimerspec *old);
int posix_timer_get(struct task *t, int id, struct itimerspec *out);
int posix_timer_overrun(struct task *t, int id);
int posix_timer_delete(struct task *t, int id);
struct posix_timer_info {
    int id, clockid, notify, signo, tid;
    uint64_t value;
};
/* The timer of p with the least id above; false at the end. */
bool posix_timer_next(struct process *p, int after, struct posix_timer_info *out);

/* ---- knobs of /proc/sys/kernel: atomic ----------------------------------------------------------
 */
extern int64_t g_randomize_va_space;    /* 0: programs are loaded at fixed addresses */
extern int64_t g_sched_rr_timeslice_ms; /* what sched_rr_get_interval says of SCHED_RR */
extern int64_t g_dmesg_restrict;        /* syslog(2) is for CAP_SYSLOG alone */

/* ---- watchers -----------------------------------------------------------------------------------
 */
/* The guest's own seccomp filters. check: true if *result is the answer (or a signal was forced).
 */
bool seccomp_check(struct task *t, struct sysargs *a, int64_t *result);
int64_t seccomp_strict(struct task *t);
int64_t seccomp_filter_add(struct task *t, unsigned flags, struct uaddr prog);
/* Syscall user dispatch. set: PR_SET_SYSCALL_USER_DISPATCH's arguments; check: true if the call
 * became a signal. */
int64_t user_dispatch_set(struct task *t, const uint64_t *v);
bool user_dispatch_check(struct task *t, const struct sysargs *a);
/* Hooks of ptrace. enter: true if the call is to be skipped with *result. */
bool ptrace_syscall_enter(struct task *t, struct sysargs *a, int64_t *result);
void ptrace_syscall_exit(struct task *t, int64_t result);
bool ptrace_work(struct task *t); /* stop now if a tracer wants it, let go if it has gone: true */
bool ptrace_work_pending(struct task *t); /* sig_lock held */
/* The process is stopped by sig: tell the tracer, too, and wait for it. True: t runs on. */
bool ptrace_group_stop(struct task *t, int sig);
/* A filter said SECCOMP_RET_TRACE: true if a tracer looked; then *a and *result are its wish. */
bool ptrace_seccomp(struct task *t, uint32_t data, struct sysargs *a, bool *skip, int64_t *result);
/* A signal is about to be delivered to a traced task: the signal to deliver instead, or 0. */
int ptrace_signal(struct task *t, int sig, siginfo_t *info, struct sigaction_k *act);
int64_t ptrace_request(struct task *t, int64_t request, int pid, uint64_t addr, uint64_t data);

/* ---- keys ---------------------------------------------------------------------------------------
 * Strings and payloads are kernel memory, borrowed. Ids are serial numbers or KEY_SPEC_*. */
int64_t key_add(struct task *t, const char *type, const char *desc, const void *payload,
                size_t size, int ring);
int64_t key_request(struct task *t, const char *type, const char *desc, int dest);
int64_t key_update(struct task *t, int id, const void *payload, size_t size);
int64_t key_search(struct task *t, int ring, const char *type, const char *desc, int dest);
int64_t key_join_session(struct task *t, const char *name); /* NULL: a new one without a name */
/* *out is malloc'd for the caller if the size that is returned is not negative. */
int64_t key_describe(struct task *t, int id, char **out);
int64_t key_read(struct task *t, int id, char **out);
int64_t key_session_to_parent(struct task *t);
int64_t key_control(struct task *t, int op, const uint64_t *v); /* the rest of keyctl(2) */
/* A line of /proc/keys for the key after this serial, or of /proc/key-users: its length, 0 if the
 * key may not be seen, -1 at the end. */
int key_proc_line(struct task *t, int after, int *serial, char *buf, size_t size);
int key_users_proc_line(int64_t after, uint32_t *uid, char *buf, size_t size);

/* ---- the log, accounting ------------------------------------------------------------------------
 */
#define KLOG_LINE_MAX 976 /* bytes of one record's text */
void klog_add(unsigned prio, const char *text); /* prio: facility << 3 | level */
struct waitq *klog_waitq(void);                 /* woken by each new record */
size_t klog_unread(void);                       /* bytes that klog_read would give */
size_t klog_read(char *buf, size_t size);       /* takes whole lines; 0: none left */
size_t klog_read_all(char *buf, size_t size, bool clear);
void klog_clear(void);
/* Records by number. record: the text of *seq, which moves on; -EAGAIN: not there yet; -EPIPE: it
 * has gone, *seq is the oldest there is; -EINVAL: too long. */
uint64_t klog_first(bool after_clear);
uint64_t klog_next(void);
int klog_record(uint64_t *seq, char *buf, size_t size);
int acct_set(struct task *t, const char *name); /* NULL: off */

/* ---- pidfd --------------------------------------------------------------------------------------
 */
struct process *pidfd_process(struct file *f); /* counted; NULL: not a pidfd */
