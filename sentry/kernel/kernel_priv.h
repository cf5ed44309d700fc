/* Inside the kernel room: what its files share and nobody else sees. */
#pragma once

#include "kernel/kernel.h"

/* ---- pid.c: numbers of tasks, processes, process groups and sessions --------------------------
 */
struct pid_number {
    int nr;
    struct pid_ns *ns; /* borrowed: the pid holds the innermost, that its parents */
    struct tree_node node;
};
struct pid {
    struct ref ref;
    unsigned level;              /* const; of the namespace it was made in */
    struct task *task;           /* lock: tasks_lock; borrowed; live thread, or a leader's zombie */
    struct process *process;     /* lock: tasks_lock; borrowed; until reaped */
    struct pgrp *pgrp;           /* lock: tasks_lock; borrowed */
    struct session *session;     /* lock: tasks_lock; borrowed */
    struct pid_number numbers[]; /* const; level + 1 of them; [0] is the id */
};
static inline int pid_id(const struct pid *p)
{
    return p->numbers[0].nr;
}
struct pid_choice { /* numbers wished for, innermost namespace first */
    const int32_t *nr;
    unsigned count;
    const struct cred *by;
};
struct pid *pid_get(struct pid *p);
void pid_put(struct pid *p);                              /* NULL: nothing */
int pid_nr(const struct pid *p, const struct pid_ns *ns); /* 0: has none there */
/* All with tasks_lock held. */
struct pid *pid_find_locked(int id);
struct pid *pid_find_in_locked(struct pid_ns *ns, int nr);
struct pid *pid_next_locked(struct pid_ns *ns, int after);
/* choice may be NULL. -EAGAIN, -ENOMEM; for a choice also -EINVAL, -EPERM, -EEXIST. *out bears
 * nothing yet; its reference is the table's. */
int pid_alloc_locked(struct pid_ns *ns, const struct pid_choice *choice, struct pid **out);
void pid_release_locked(struct pid *p); /* frees the numbers when nothing bears them */

/* ---- ns.c, user_ns.c: the first namespaces, in the order users, numbers, the rest -------------
 */
void user_ns_init(void);
void user_ns_maps_free(struct user_ns *ns);
void ns_first(void);
int user_ns_new(struct task *t, struct user_ns **out); /* a child of t's, owned by t's euid */
/* c enters ns with every capability in it. */
void user_ns_adopt(struct cred *c, struct user_ns *ns);

/* ---- pid_ns.c ---------------------------------------------------------------------------------
 */
void pid_ns_init(void);
/* A process is born in its namespace, has ended, or was never really born. tasks_lock held. */
void pid_ns_enter_locked(struct process *p);
void pid_ns_leave_locked(struct process *p);
void pid_ns_unborn_locked(struct process *p);
struct process *pid_ns_reaper_locked(struct process *p); /* who gets its orphans; NULL: nobody */
/* t is the last task of its process: if that is a namespace's init, kill and outlive all in it. */
void pid_ns_zap(struct task *t);

/* ---- task.c -----------------------------------------------------------------------------------
 */
struct task *task_new(void);       /* zeroed, one reference, no process yet */
struct process *process_new(void); /* one reference */
/* Set notify bits, wake it if it sleeps, interrupt it if it runs guest code. Any lock above
 * LR_TASK.
 */
void task_kick(struct task *t, uint32_t notify);
/* Enter t in its process and the tables: tasks_lock and the process's sig_lock held. */
void task_link_locked(struct task *t, struct pid *id);
void process_number(struct process *p, struct pid *id); /* its number, before anyone sees it */
/* As task_sleep, on the way out: whatever is pending. */
void task_sleep_dying(struct task *t);

/* ---- task_loop.c ------------------------------------------------------------------------------
 */
int task_thread_start(struct task *t); /* thread.c; consumes a reference on success */
void task_thread_run(struct task *t);  /* the task's whole life; consumes the reference */
/* Before guest code runs, or a call is restarted: signals, stops. False: the task must end. */
bool task_work(struct task *t);

/* ---- signal.c ---------------------------------------------------------------------------------
 */
void signal_recalc_locked(struct task *t); /* sig_lock held: TASK_NOTIFY_SIGNAL as queues say */
void sigpending_init(struct sigpending *p);
void sigpending_flush_locked(struct process *p, struct sigpending *sp);
/* Deliver what is deliverable. False: the task must end. */
bool signal_deliver(struct task *t);
/* Queue for one task (shared=false) or its process; sig_lock held. Adds wake-ups to the caller's
 * duty: returns with notify bits set and kicks made. */
int signal_queue_locked(struct task *t, struct process *p, int sig, const siginfo_t *info);
/* signal.c keeps the parent informed: CLD_* with status, tasks_lock held. */
void signal_parent_locked(struct process *child, int code, int status);
bool signal_is_ignored_by(struct process *p, int sig); /* handler is SIG_IGN; takes sig_lock */
bool signal_child_autoreap(struct process *parent);    /* SIG_IGN or SA_NOCLDWAIT for SIGCHLD */
void signal_exec_reset(struct process *p);             /* handlers to default */
struct sighand *sighand_new(void);
void sighand_put(struct sighand *h);
int sighand_unshare(struct process *p);      /* before exec: actions of its own; -ENOMEM */
void signal_stop_recheck(struct process *p); /* a task has gone: was it the last to stop? */

/* ---- sigframe.c -------------------------------------------------------------------------------
 */
/* Build the handler's frame; -EFAULT: SIGSEGV is to be forced. */
int sigframe_setup(struct task *t, int sig, const struct sigaction_k *act, const siginfo_t *info,
                   sigmask_t saved_mask);

/* ---- exit.c -----------------------------------------------------------------------------------
 */
void task_exit(struct task *t); /* own thread, no locks; afterwards only its memory remains */
/* Ends the process with this wait status; sig_lock held. */
void process_exit_group_locked(struct process *p, int status);
/* CLD_* of a wait status. */
static inline int status_code(int wstatus)
{
    return !(wstatus & 0x7f) ? CLD_EXITED : wstatus & 0x80 ? CLD_DUMPED : CLD_KILLED;
}
void process_reap_locked(struct process *p); /* tasks_lock held; zombie → dead; drops a reference */

/* ---- coredump.c -------------------------------------------------------------------------------
 */
/* t dies of a signal that dumps core: true if a file was written. Ends all other tasks. */
bool core_dump(struct task *t, const siginfo_t *info);
void core_thread_leave(struct task *t); /* t ends: leave its registers for a dump */
/* exec.c: end every other task of the process and wait for it. -ERESTARTNOINTR: t is to die. */
int task_end_others(struct task *t);

/* ---- clone.c ----------------------------------------------------------------------------------
 */
struct vfork_wait {
    struct ref ref;
    uint32_t done;       /* atomic */
    struct task *parent; /* const; counted for the child */
};
void vfork_release(struct task *t); /* exec or exit of the child */

#define TASKS_MAX 16384 /* threads in one sandbox */
/* Has uid more tasks than p's RLIMIT_NPROC? Never root. */
bool nproc_over(struct process *p, uint32_t uid);
/* Give n (own thread, or not visible yet) fresh namespaces. */
int task_unshare_namespaces(struct task *n, uint64_t flags);

/* ---- session.c --------------------------------------------------------------------------------
 */
void pgrp_join_locked(struct process *p, struct pgrp *g); /* takes its own reference on g */
void pgrp_leave_locked(struct process *p);
int session_new_locked(struct process *p, struct pid *id);
struct session *session_led_by(struct process *p); /* counted, or NULL */
void session_put(struct session *s);
bool pgrp_orphaned_locked(struct pgrp *g, struct process *ignored);
/* SIGHUP and SIGCONT to a group that becomes orphaned with stopped members: because p dies; because
 * c has lost old_parent. */
void pgrp_orphan_check_locked(struct process *p);
void pgrp_orphan_child_locked(struct process *c, struct process *old_parent);

/* ---- futex.c ----------------------------------------------------------------------------------
 */
void futex_exit_robust(struct task *t);
void futex_exit_pi(struct task *t); /* PI words it owned pass to who waits for them */
void futex_init(void);

/* ---- timers -----------------------------------------------------------------------------------
 */
void itimer_init(struct process *p);
void itimer_exit(struct process *p); /* no locks held; timers are quiet afterwards */
void posix_timers_exit(struct process *p);
void posix_timers_requeue(struct process *p, int sig, siginfo_t *info); /* at signal delivery */
void cpu_timer_rearm(struct process *p);

/* ---- usage.c ----------------------------------------------------------------------------------
 */
void io_usage_add(struct io_usage *to, const struct io_usage *from);
void usage_add_ns(struct timeval *tv, int64_t ns);
void usage_add(struct rusage *to, const struct rusage *from);
void usage_process(struct process *p, struct rusage *out); /* itself, living and dead tasks */

/* ---- ptrace.c ---------------------------------------------------------------------------------
 */
void ptrace_exec(struct task *t);
void ptrace_tracer_exit(
    struct process *p); /* the last task of a tracer dies: its tracees go free */
/* A new task n of a traced t, visible but not yet running: attach it if asked for. The event to
 * report by ptrace_clone_parent after its start, or 0. */
int ptrace_clone_child(struct task *t, struct task *n, uint64_t flags, int exit_signal);
void ptrace_clone_parent(struct task *t, int event, int tid);
void ptrace_vfork_done(struct task *t, int tid);
void ptrace_exit(struct task *t); /* t dies: as tracee, no locks */
/* Traced t has taken its leader's number: tasks_lock held. */
void ptrace_renumber_locked(struct task *t);
/* Borrowed, NULL if none; tasks_lock held. */
struct process *ptrace_tracer_locked(struct task *t);
bool ptrace_is_stopped_locked(struct task *t);
bool ptrace_is_mine_locked(const struct process *tracer, const struct task *t);
/* 1: *out tells; -1: someone traced is meant; 0: nobody. tasks_lock held. */
int ptrace_wait_locked(struct process *me, const struct wait_call *c, struct wait_result *out);

/* ---- cred.c -----------------------------------------------------------------------------------
 */
/* The capability rules of execve: c is a copy of old with its ids already as after the exec; fc:
 * the program's own, or NULL. -EPERM if it relies on some that it would not get. */
struct file_caps;
int cred_exec_caps(const struct cred *old, struct cred *c, const struct file_caps *fc);

/* ---- container.c ------------------------------------------------------------------------------
 */
void container_hold_here(struct task *t); /* t's container is held: sleep until it is not */
/* t's fault cannot be served: the worst process of its container is killed. True: try again. */
bool container_out_of_memory(struct task *t);
void watcher_tell(void); /* no locks held */

/* ---- others -----------------------------------------------------------------------------------
 */
void klog_init(void);
void acct_process(struct task *t); /* the last task of a process ends */
void keys_clone(struct task *t, struct task *n);
void keys_exec(struct task *t);
void keys_task_free(struct task *t);
void keys_process_free(struct process *p);
void seccomp_get(struct task *from, struct task *to);
void user_dispatch_exec(struct task *t);
void seccomp_put(struct task *t);
int seccomp_filter_install(struct task *t, unsigned flags, const struct sock_filter *insns,
                           unsigned count); /* by the sandbox's owner: needs no right */
void rlimits_default(struct rlimit64 *out);
void mm_limits_update(struct process *p, struct mm *mm); /* tell mm the limits that concern it */
void time_account_begin(struct task *t);                 /* guest code is about to run */
void time_account_end(struct task *t);

static inline const struct pl_ops *pl_ops(void)
{
    return g_kernel.platform->ops;
}
