/* Tasks: what runs, under which identity, and how it blocks, is signalled, forks and dies.
 *
 *   kernel    the one root object, everything else hangs from it (g_kernel)
 *   process   a thread group: pid, parent and children, signal actions, limits, timers
 *   task      one guest thread and the host thread that serves it
 *   session, pgrp  job control
 *   cred      immutable identity; replaced as a whole, never edited
 *
 * Life of a task: created by task_clone (no host thread yet) → running (task_loop.c) ⇄ blocked
 * (task_sleep) ⇄ stopped → exiting (task_exit) → zombie (the process's last task, until waited for
 * or autoreaped) → freed with its last reference.
 *
 * A read(2) goes: task_loop → g_syscalls[nr].fn → syscalls/sys_rw.c → fs → uaccess.
 * A fault goes: task_loop → mm_fault, or a forced SIGSEGV. */
#pragma once

#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/waitq.h"
#include "kernel/ns.h"
#include "mm/mm.h"
#include "platform.h"
#include "time/time.h"
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

struct container;
struct exit_watch;
struct fdtable;
struct fs_struct;
struct file;
struct mount_ns;
struct process;
struct task;
struct tty;
struct vdso;

/* ---- private error codes: never leave the sentry; task_loop.c translates them ------------------
 */
enum {
    ERESTARTSYS = 512,           /* restart if SA_RESTART or no handler ran, else EINTR */
    ERESTARTNOINTR = 513,        /* always restart */
    ERESTARTNOHAND = 514,        /* restart only if no handler ran */
    ERESTART_RESTARTBLOCK = 516, /* through restart_syscall(2), with t->restart */
};

/* ---- system call entry ------------------------------------------------------------------------
 */
struct sysargs {
    uint64_t v[6];
    uint64_t nr;
};
typedef int64_t syscall_fn(struct task *t, const struct sysargs *a);

/* ---- identity ---------------------------------------------------------------------------------
 */
#define CRED_GROUPS_MAX 65536

/* const after publication; credentials change by replacing the pointer. */
struct cred {
    struct ref ref;
    uint32_t uid, euid, suid, fsuid;
    uint32_t gid, egid, sgid, fsgid;
    uint64_t cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
    unsigned securebits;
    bool no_new_privs;
    struct user_ns *user_ns; /* counted */
    unsigned group_count;
    uint32_t *groups; /* sorted; owned */
};
struct cred *cred_get(struct cred *c);
void cred_put(struct cred *c);
bool cred_has_cap(const struct cred *c, int cap); /* in the root user namespace: CAP_* effective */
bool cred_in_group(const struct cred *c, uint32_t gid); /* fsgid or a supplementary group */

/* ---- signals ----------------------------------------------------------------------------------
 */
#define SIG_COUNT 64
typedef uint64_t sigmask_t; /* bit n-1 is signal n */
#define SIGMASK(n) (1ull << ((n)-1))

struct sigaction_k { /* the kernel's struct sigaction of x86-64 */
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    sigmask_t mask;
};

/* Actions of one process, or of several that share them. */
struct sighand {
    struct ref ref;
    struct lock lock;                      /* LR_LEAF */
    struct sigaction_k actions[SIG_COUNT]; /* lock: see process.actions */
};

struct sigpending { /* lock: process.sig_lock */
    sigmask_t set;
    struct list queue; /* struct sigqueue, in order */
};

struct altstack {
    uint64_t sp, size;
    int flags;
};

/* Where does a signal go: one task, or any task of a process that does not block it. info may be
 * NULL (kernel-generated). 0, -EAGAIN (real-time queue full). sig 0 checks nothing and returns 0.
 */
int signal_send_task(struct task *t, int sig, const siginfo_t *info);
int signal_send_process(struct process *p, int sig, const siginfo_t *info);
/* All members of a process group, by its id: for terminals and kill(2). */
int signal_send_pgrp(int pgid, int sig, const siginfo_t *info);
/* For a fault of t itself: cannot be blocked or ignored; resets to default if it is. */
void signal_force(struct task *t, int sig, const siginfo_t *info);
/* Is an unblocked signal, a stop, a kill or an exit waiting for t? Cheap. */
bool signal_pending(struct task *t);
bool signal_fatal_pending(struct task *t);
/* May caller signal target (kill(2)): 0 or -EPERM. */
int signal_may_send(struct task *caller, struct process *target, int sig);
/* signalfd and sigtimedwait: take the first pending signal in set; 0 if there is none. */
int signal_dequeue(struct task *t, sigmask_t set, siginfo_t *info);
struct waitq *signal_waitq(struct process *p); /* woken when a signal is queued */

/* ---- limits, usage ------------------------------------------------------------------------------
 */
uint64_t rlimit_get(struct process *p, int resource); /* soft limit */
/* CPU time so far: of one task, of all tasks of a process (dead ones included). */
void task_cpu_times(struct task *t, int64_t *utime_ns, int64_t *stime_ns);
void process_cpu_times(struct process *p, int64_t *utime_ns, int64_t *stime_ns);

/* ---- process, task ------------------------------------------------------------------------------
 */
struct session {
    struct ref ref;
    int sid;
    struct process *leader; /* lock: tasks_lock; NULL when gone */
    struct tty *tty;        /* lock: tasks_lock; counted by fs/tty; controlling terminal */
    int autogroup_nice;     /* lock: tasks_lock; kept; /proc/PID/autogroup */
    struct list pgrps;      /* lock: tasks_lock */
};

struct pgrp {
    struct ref ref;
    int pgid;
    struct session *session; /* const; counted */
    struct list_node node;   /* lock: tasks_lock; session.pgrps */
    struct list members;     /* lock: tasks_lock; process.pgrp_node */
};

enum process_state { PROCESS_RUNNING, PROCESS_STOPPED, PROCESS_ZOMBIE, PROCESS_DEAD };

struct itimer {
    int64_t interval_ns, deadline_ns; /* deadline absolute on its clock; 0 = disarmed */
};

struct io_usage { /* what read(2), write(2) and their kin have moved */
    uint64_t read_bytes, write_bytes, reads, writes;
};

struct process {
    struct ref ref;
    int pid, vpid;         /* const; id; number in pid_ns */
    struct pid *id;        /* const; counted */
    struct pid_ns *pid_ns; /* const; borrowed from id */
    bool unkillable; /* lock: sig_lock; init of a PID namespace: only asked-for signals reach it */
    struct list_node all_node;     /* lock: tasks_lock; kernel.processes, until reaped */
    struct process *parent;        /* lock: tasks_lock; borrowed (reparented before it dies) */
    struct list children;          /* lock: tasks_lock */
    struct list_node sibling_node; /* lock: tasks_lock */
    struct list
        tasks;                  /* lock: tasks_lock and sig_lock to write, either to read;
                                   task.process_node. A leader that has exited stays until the process goes */
    unsigned task_count;        /* lock: as tasks; live ones */
    struct task *leader;        /* lock: tasks_lock; counted until the process is reaped */
    struct pgrp *pgrp;          /* lock: tasks_lock; counted */
    struct list_node pgrp_node; /* lock: tasks_lock */
    struct waitq child_wq;      /* woken when a child changes state (wait4, waitid) */
    bool is_subreaper;          /* atomic */
    bool did_exec;              /* lock: tasks_lock */
    int exit_signal;            /* lock: tasks_lock; what the parent gets, SIGCHLD or other or 0 */

    struct lock exec_lock; /* LR_EXEC */

    struct lock sig_lock;             /* LR_SIGHAND */
    struct sighand *sighand;          /* lock: tasks_lock to replace; counted */
    struct sigaction_k *actions;      /* sighand's; [sig-1]; lock: sig_lock, and sighand.lock while
                                         another process shares them (CLONE_SIGHAND) */
    struct sigpending shared_pending; /* lock: sig_lock */
    struct waitq signal_wq;
    enum process_state state; /* lock: sig_lock */
    bool group_exiting;       /* lock: sig_lock */
    int exit_status;          /* lock: sig_lock; as wait4 gives it */
    int stop_signal;          /* lock: sig_lock; of the present or pending group stop */
    bool stop_reported, continued_unreported; /* lock: sig_lock */
    bool continued_untold;    /* lock: sig_lock; a task has yet to send CLD_CONTINUED */
    unsigned stopped_count;   /* lock: sig_lock; tasks that have stopped */
    unsigned sig_queued;      /* lock: sig_lock; siginfos held, RLIMIT_SIGPENDING */
    struct task *exec_task;   /* lock: sig_lock; it ends all others: for execve, or to dump core */
    struct core *core;        /* lock: sig_lock; kernel/coredump.c; a dump is under way */
    unsigned coredump_filter; /* atomic; /proc/PID/coredump_filter */
    unsigned waiting;         /* atomic; threads inside wait4 and waitid */
    unsigned membarrier;      /* atomic; commands registered for */
    bool orphan;              /* lock: tasks_lock; was given to init when its parent died */

    struct rlimit64 *rlimits; /* lock: sig_lock; RLIM_NLIMITS entries; owned */
    struct itimer itimer_real, itimer_virtual, itimer_prof; /* lock: sig_lock */
    struct timer real_timer, cpu_timer;                     /* of itimer_real; of all CPU clocks */
    struct posix_timers *posix_timers;                      /* kernel/posix_timer.c */

    struct rusage dead_usage, child_usage; /* lock: sig_lock */
    int64_t start_ns;                      /* const; sentry monotonic */
    bool dumpable;                         /* atomic */
    int oom_score_adj;                     /* atomic */
    struct io_usage dead_io;               /* lock: sig_lock; of tasks that have ended */
    uint32_t loginuid, sessionid;          /* atomic; audit's, kept */
    bool thp_disable, memory_merge;        /* atomic; told back only */
    uint8_t mdwe;                          /* atomic; PR_SET_MDWE */
    struct key *session_ring_next;         /* kernel/keyring.c; counted; a child's gift */
    struct key *process_ring;              /* kernel/keyring.c; counted */
    struct container *container;           /* const; counted */
    struct exit_watch *watch;              /* const; counted or NULL */
    void *children_ptrace;                 /* kernel/ptrace.c */
};

#define TASK_CPU_WORDS 4 /* 256 CPUs */

struct restart_block {
    int64_t (*fn)(struct task *t, struct restart_block *rb);
    uint64_t data[6];
};

struct user_dispatch { /* PR_SET_SYSCALL_USER_DISPATCH */
    bool on;
    uint64_t start, size, selector;
};

struct task {
    struct ref ref;
    /* const, but for execve by a non-leader, which takes the leader's under tasks_lock: */
    int tid, vtid;                 /* id; number in process.pid_ns */
    struct pid *id;                /* counted */
    struct process *process;       /* const; counted */
    struct list_node process_node; /* lock: tasks_lock */
    char comm[16];                 /* lock: task.lock */

    /* Owned by the task's own thread; others look under task.lock. */
    struct lock lock;     /* LR_TASK */
    struct mm *mm;        /* counted; NULL once exited */
    struct fdtable *fds;  /* counted; NULL once exited */
    struct fs_struct *fs; /* counted; NULL once exited */
    struct cred *cred;    /* counted; swap under LR_CRED, read with task_cred_get from outside */
    struct mount_ns *mount_ns; /* counted; NULL once exited */
    struct ns_set *ns_set;     /* counted; NULL once exited */

    struct pl_ctx *ctx;           /* task-private, ctx_interrupt under task.lock */
    struct user_regs_struct regs; /* task-private; valid if regs_valid */
    bool regs_valid, regs_dirty;  /* task-private */
    bool no_result; /* task-private: the handler has set rax itself (rt_sigreturn, execve) */

    sigmask_t blocked;     /* lock: process.sig_lock to write; own thread may read */
    sigmask_t waiting_for; /* lock: process.sig_lock; sigtimedwait is after these */
    sigmask_t
        saved_blocked; /* task-private; sigsuspend, ppoll: restored after the handler is set up */
    bool restore_blocked;      /* task-private */
    struct sigpending pending; /* lock: process.sig_lock */
    struct altstack altstack;  /* task-private */
    uint32_t notify;      /* atomic; TASK_NOTIFY_* bits: something to do before guest code runs */
    uint32_t park;        /* atomic; futex word the thread sleeps on; bumped by task_wake */
    uint32_t park_seen;   /* task-private; park as task_sleep_prepare found it */
    uint32_t guest_exits; /* atomic; counts returns from guest code */
    uint32_t in_guest;    /* atomic; ctx_run is (about to be) running guest code */
    bool stop_counted;    /* lock: process.sig_lock; is in process.stopped_count */
    bool stop_done;       /* lock: process.sig_lock; its tracer has let it go on all the same */
    bool exit_wanted;     /* task-private; the loop ends at its next turn */
    int restart_code;     /* task-private; ERESTART* of the call being left, 0 when decided */
    uint8_t slow_entry;   /* atomic; TASK_SLOW_* reasons to take the long way into system calls */
    struct {              /* task-private; the last exception, for signal frames */
        uint64_t trapno, error, cr2;
    } trap;
    uint64_t syscall_ip;  /* task-private; behind the SYSCALL being answered */
    int64_t run_since_ns; /* atomic; guest code has been running since, 0 while in the sentry */

    uint64_t clear_child_tid, robust_list; /* task-private */
    uint64_t set_child_tid;                /* task-private */
    struct restart_block restart;          /* task-private */
    struct vfork_wait *vfork_done;         /* kernel/clone.c */
    bool leaving;                          /* lock: process.sig_lock; has begun task_exit */
    bool exiting;                          /* lock: process.sig_lock; out of the tables */
    int exit_code;                         /* lock: process.sig_lock */

    int nice, sched_policy, sched_priority;               /* lock: task.lock */
    bool sched_reset_on_fork;                             /* lock: task.lock */
    uint64_t sched_runtime, sched_deadline, sched_period; /* lock: task.lock; SCHED_DEADLINE */
    int ioprio;                                           /* atomic; 0: by nice */
    uint64_t affinity[TASK_CPU_WORDS];                    /* lock: task.lock; bit per CPU */
    bool wall_sleeper;                                    /* atomic; asleep until a wall time */
    struct mempolicy mempolicy;                           /* task-private */
    uint64_t timer_slack_default;                         /* task-private */
    uint64_t personality;                                 /* task-private */
    int pdeath_signal;                                    /* task-private */
    uint64_t timer_slack_ns;                              /* task-private */
    int64_t utime_ns, stime_ns;                           /* atomic */
    int64_t asleep_ns;                        /* task-private; of the present system call */
    uint64_t min_flt, maj_flt, nvcsw, nivcsw; /* atomic */
    void *seccomp;                 /* kernel/seccomp.c; counted; filters of the guest's own */
    int seccomp_mode;              /* task-private */
    unsigned seccomp_count; /* atomic; filters in force */
    struct user_dispatch dispatch; /* task-private */
    struct key *thread_ring, *session_ring; /* own thread; kernel/keyring.c; counted */
    int reqkey_keyring;                     /* task-private; KEY_REQKEY_DEFL_* */
    bool nproc_exceeded; /* task-private; by the last set*uid: execve says EAGAIN */
    int mce_policy;                /* task-private; PR_MCE_KILL_* */
    bool io_flusher;               /* task-private */
    void *ptrace;             /* kernel/ptrace.c; own thread, or under tasks_lock or sig_lock */
    uint64_t current_nr;      /* task-private; system call being answered, for /proc, stacks */
    uint64_t current_args[6]; /* atomic; of that call */
    struct io_usage io;       /* own thread writes; others may read */
    int64_t current_since_ns; /* atomic; when it began, 0 while in guest code */
};

enum { /* task.slow_entry */
       TASK_SLOW_SECCOMP = 1,
       TASK_SLOW_PTRACE = 2,
       TASK_SLOW_STRACE = 4,
       TASK_SLOW_DISPATCH = 8,
};

enum {                         /* task.notify */
       TASK_NOTIFY_SIGNAL = 1, /* look at the signal queues */
       TASK_NOTIFY_STOP = 2,
       TASK_NOTIFY_EXIT = 4,
       TASK_NOTIFY_WORK = 8,
};

struct task *task_current(void); /* of this host thread; NULL in service threads */
void task_get(struct task *t);
void task_put(struct task *t);
void process_get(struct process *p);
void process_put(struct process *p);
/* Lookups return a counted reference or NULL: by the number that the calling task knows (in threads
 * of the sentry's own: the id), and by id. */
struct task *task_lookup(int nr);
struct process *process_lookup(int nr);
struct task *task_by_id(int id);
struct process *process_by_id(int id);
int pidfd_new(struct process *p, unsigned flags, struct file **out); /* pidfd_open(2)'s file */
/* Iteration: the process with the least id > after, counted; NULL at the end. Likewise the task of
 * p with the least tid > after. _in: the same for the numbers of a namespace. */
struct process *process_next(int after);
struct task *task_next(struct process *p, int after);
struct process *process_next_in(struct pid_ns *ns, int after);
struct task *task_next_in(struct process *p, struct pid_ns *ns, int after);
/* The number in ns, 0 if it has none there. task_nr: own thread, or tasks_lock held. */
int process_nr(const struct process *p, const struct pid_ns *ns);
int task_nr(const struct task *t, const struct pid_ns *ns);
int task_nr_of(struct task *t, const struct pid_ns *ns); /* any thread, no lock held */
struct cred *task_cred_get(struct task *t);              /* counted; any thread */
struct mm *task_mm_get(struct task *t);                  /* counted or NULL; any thread */
struct fdtable *task_fds_get(struct task *t);            /* counted or NULL; any thread */
struct fs_struct *task_fs_get(struct task *t);           /* counted or NULL; any thread */
char process_state_char(struct process *p);              /* R S T Z for /proc */
char task_state_char(struct task *t);                    /* also t, traced and stopped */
int task_tracer_nr(struct task *t, struct pid_ns *ns);   /* 0: nobody traces it */
void task_comm(struct task *t, char out[16]);

/* The guest's registers, pulled from the platform on first use; dirty ones are pushed back before
 * guest code runs. Own thread only. NULL: the platform thread died. */
struct user_regs_struct *task_regs(struct task *t);
void task_regs_dirty(struct task *t);

/* ---- blocking -----------------------------------------------------------------------------------
 */
#define DEADLINE_NONE INT64_MAX /* absolute sentry-monotonic ns, see time/time.h */

/* Wake a task that sleeps in task_sleep (or is about to: no wake-up is lost). Any thread, under any
 * lock above LR_LEAF. */
void task_wake(struct task *t);
/* Remember the wake count; to be called before testing the condition. */
void task_sleep_prepare(struct task *t);
/* The wall clock has been set: who sleeps by it looks again. No locks. */
void tasks_clock_set(void);
/* Sleep until task_wake, the deadline (mono, or time_sleep_deadline's; -ETIMEDOUT) or an interrupting signal (-ERESTARTSYS).
 * interruptible=false: only a fatal signal interrupts (-ERESTARTSYS). Holds no locks. */
int task_sleep(struct task *t, int64_t deadline_ns, bool interruptible);

/* A waiter that wakes its task: declare, waitq_add, loop, waitq_remove; wait_event does all. */
struct task_waiter {
    struct waiter w;
    struct task *task;
};
void task_waiter_init(struct task_waiter *tw, struct task *t, unsigned events);

/* Block until cond holds: 0, -ETIMEDOUT, -ERESTARTSYS. cond is evaluated without the queue's lock.
 */
#define wait_event_mask(t, wq, mask, deadline, cond)                                               \
    ({                                                                                             \
        struct task_waiter tw_;                                                                    \
        int r_ = 0;                                                                                \
        task_waiter_init(&tw_, (t), (mask));                                                       \
        waitq_add((wq), &tw_.w);                                                                   \
        for (;;) {                                                                                 \
            task_sleep_prepare(t);                                                                 \
            if (cond) {                                                                            \
                r_ = 0;                                                                            \
                break;                                                                             \
            }                                                                                      \
            if (r_)                                                                                \
                break;                                                                             \
            r_ = task_sleep((t), (deadline), /*interruptible=*/true);                              \
        }                                                                                          \
        waitq_remove((wq), &tw_.w);                                                                \
        r_;                                                                                        \
    })
#define wait_event(t, wq, deadline, cond) wait_event_mask(t, wq, ~0u, deadline, cond)

/* ---- containers: kernel/container.c -------------------------------------------------------------
 */
enum { /* container.held */
       CONTAINER_FROZEN = 1,
       CONTAINER_THROTTLED = 2,
};

struct cpu_bucket {
    struct lock lock;                                  /* LR_LEAF */
    struct timer timer;                                /* armed while there is a limit */
    int64_t quota_ns, period_ns;                       /* lock: lock; quota 0: no limit */
    int64_t tokens, seen, period_end;                  /* lock: lock */
    int64_t held_since, throttled_ns;                  /* lock: lock */
    uint64_t periods, throttled_periods;               /* lock: lock */
    bool was_empty;                                    /* lock: lock; in this period */
};

struct container {
    struct ref ref;
    uint32_t held;                         /* atomic; CONTAINER_* reasons to hold its tasks */
    bool is_root;                          /* const; the sandbox ends with its init */
    bool dying;                            /* lock: tasks_lock; no more forks */
    struct process *init;                  /* lock: tasks_lock; NULL before its start and after */
    unsigned task_count, tasks_limit;      /* lock: tasks_lock; limit 0: none */
    uint64_t forks;                        /* lock: tasks_lock */
    int64_t dead_utime_ns, dead_stime_ns;  /* lock: tasks_lock; of tasks that have gone */
    uint32_t oom_kills;                    /* atomic */
    uint64_t memory_peak;                  /* control's; as seen when asked */
    struct cpu_bucket cpu;
};
struct container *container_new(void); /* NULL: no memory */
void container_get(struct container *c);
void container_put(struct container *c);
struct process *container_next(struct container *c, int after); /* as process_next */
/* SIGKILL to all its processes; no more can be made. */
void container_kill(struct container *c);
int container_signal_all(struct container *c, int sig); /* -ESRCH: nobody there */
/* Hold all tasks between two instructions of theirs, or let go. Idempotent. */
void container_freeze(struct container *c, bool on);
bool container_frozen(struct container *c);
/* quota 0: no limit. */
void container_limit_cpu(struct container *c, int64_t quota_ns, int64_t period_ns);
void container_limit_tasks(struct container *c, unsigned max); /* 0: none */
struct container_figures {
    int64_t user_ns, system_ns, throttled_ns;
    uint64_t periods, throttled_periods, forks, oom_kills;
    unsigned tasks, tasks_limit, processes;
};
void container_figures(struct container *c, struct container_figures *out);
/* CPU time of all its tasks, dead ones included. */
void container_cpu_times(struct container *c, int64_t *user_ns, int64_t *system_ns);

/* News of one process for those outside; outlives it. */
struct exit_watch {
    struct ref ref;
    uint32_t ended;  /* atomic; status is valid */
    int status;      /* const once ended; as wait4 gives it */
    int pid;         /* const after start */
    uint32_t stopped; /* atomic; signal of a stop that nobody has taken notice of */
};
struct exit_watch *exit_watch_new(void);
void exit_watch_get(struct exit_watch *w);
void exit_watch_put(struct exit_watch *w);

/* ---- the root -----------------------------------------------------------------------------------
 */
struct kernel {
    struct platform *platform;      /* const after init */
    struct lock tasks_lock;         /* LR_TASKS */
    struct list processes;          /* lock: tasks_lock; in order of creation */
    struct pid_ns *root_pid_ns;     /* const */
    bool dying;                     /* lock: tasks_lock; no more forks */
    struct process *init;           /* const after its start: the root container's; counted */
    unsigned task_count;            /* lock: tasks_lock; all threads */
    uint64_t forks;                 /* atomic; for /proc/stat */
    struct uts_ns *root_uts_ns;     /* const */
    struct ns_set *root_ns_set;     /* const */
    int64_t boot_ns;                /* const; host monotonic at start */
    unsigned cpu_count;             /* const; what the guest is told */
    uint64_t memory_limit;          /* const; bytes, what MemTotal says */
    bool strace;                    /* atomic */
    const struct vdso *vdso;        /* const after init; for the loader */
    void (*watcher)(void); /* const after init; some exit_watch or container has news; no locks */
    struct user_ns *root_user_ns;   /* const */
    struct mount_ns *root_mount_ns; /* const */
};
extern struct kernel g_kernel;

/* The number that t's guest knows for an id (0: none), and the id of a number that it gave. */
static inline int task_sees_id(const struct task *t, int id)
{
    return pid_id_to(t->process->pid_ns, id);
}
static inline int task_means_id(const struct task *t, int nr)
{
    return pid_id_from(t->process->pid_ns, nr);
}

/* What to run in a container. All strings and objects are borrowed for the call. */
struct spawn_args {
    struct container *container;
    bool is_init;     /* the container ends with it */
    bool unkillable;  /* init of a PID namespace of its own, also where that is the sandbox's first */
    struct ns_set *ns_set; /* it is born into pid_children */
    const char *path; /* absolute inside, or relative to cwd */
    char *const *argv, *const *envp;
    const char *cwd;
    int *cwd_error; /* out, may be NULL: why cwd cannot be entered; untouched otherwise */
    struct user_ns *user_ns; /* uid, gid and groups are as it numbers them; NULL: the first */
    uint32_t uid, gid;
    const uint32_t *groups;
    unsigned group_count;
    uint64_t cap_bounding, cap_effective, cap_inheritable, cap_permitted, cap_ambient;
    bool no_new_privs;
    int oom_score_adj;
    const struct sock_filter *seccomp; /* enforced from its first instruction on */
    unsigned seccomp_count, seccomp_flags;
    struct mount_ns *mount_ns;
    struct fdtable *fds;            /* a reference of its own is taken */
    struct tty *tty;                /* its controlling terminal, or NULL */
    const struct rlimit64 *rlimits; /* RLIM_NLIMITS, or NULL for defaults */
    uint32_t umask;
    sigmask_t ignored; /* signals that start out as SIG_IGN (nohup) */
    struct exit_watch *watch;
};
void kernel_init(struct platform *p);
/* Create a process without a parent, leader of a session, and start it. Negative errno of the exec
 * (ENOENT, EACCES, ENOEXEC…), -EAGAIN at the container's limit of tasks, -ESRCH: it is dying. */
int kernel_spawn(const struct spawn_args *a, struct process **out);
/* Is any task left? */
bool kernel_empty(void);
/* A signal that came from outside: to the foreground process group of p's terminal if it has one
 * (SIGWINCH, SIGINT, SIGQUIT, SIGTSTP, SIGHUP, SIGCONT), else to p. */
void process_signal_foreground(struct process *p, int sig);
/* All tasks, and those to come, take the way past the strace printer, or no longer. */
void kernel_strace(bool on);
/* --strace: NULL or "" prints every call, else a comma-separated set of names. */
void trace_enable(const char *set);
/* Bitmap of the calls marked REGS in syscalls.def, for pl_config.full_calls. */
const uint64_t *syscall_full_calls(unsigned *words);
/* SIGKILL everything: the launcher asked, or init has died. */
void kernel_kill_all(void);
#include "kernel/calls.h"
