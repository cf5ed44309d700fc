/* Between ptrace.c and ptrace_request.c. */
#pragma once
#include "kernel/kernel_priv.h"

/* A tracee and its tracer. Made by whoever attaches, freed by the tracee's own thread, which alone
 * changes task.ptrace back to NULL. */
struct ptrace_link {
    struct list_node node;  /* lock: tasks_lock; tracer's list; unlinked once detached */
    struct task *task;      /* const; borrowed: the link dies before the task */
    int tid;                /* lock: tasks_lock; changes with execve by a thread */
    int former_tid;         /* lock: tasks_lock; before such an execve, else 0 */
    struct process *tracer; /* lock: tasks_lock; borrowed; NULL: detached */
    uint32_t options;       /* lock: tasks_lock; PTRACE_O_* */
    bool seized;            /* const */
    uint32_t poke;         /* atomic; the tracee has to look: detached, or an interrupt is wanted */
    bool interrupt;        /* lock: tasks_lock; PTRACE_INTERRUPT */
    bool stopped;          /* lock: tasks_lock; in a ptrace-stop: its registers are the tracer's */
    bool listening;        /* lock: tasks_lock; PTRACE_LISTEN: stopped, but not for requests */
    bool no_info;          /* lock: tasks_lock; a group-stop: PTRACE_GETSIGINFO says EINVAL */
    bool reported;         /* lock: tasks_lock; wait has told of this stop */
    int code;              /* lock: tasks_lock; what wait tells: signal | event << 8 */
    uint64_t message;      /* lock: tasks_lock; PTRACE_GETEVENTMSG */
    siginfo_t info;        /* lock: tasks_lock; of the stop */
    int resume_signal;     /* lock: tasks_lock; to deliver when it goes on */
    bool sysemu, stepping; /* lock: tasks_lock; how it goes on */
    uint8_t syscall_op;    /* lock: tasks_lock; PTRACE_SYSCALL_INFO_* of this stop */
    int64_t syscall_result; /* lock: tasks_lock; of an exit; a seccomp stop's data */
};

/* What a dead tracee leaves for a tracer that is not its parent. */
struct ptrace_ghost {
    struct list_node node; /* lock: tasks_lock */
    int tid, nr, wstatus;  /* const; nr: the number that the tracer knows */
};

struct ptrace_tracer {         /* process.children_ptrace */
    struct list links, ghosts; /* lock: tasks_lock */
};

struct ptrace_tracer *
ptrace_tracer_of(struct process *p); /* made if missing; tasks_lock held; NULL: no memory */
/* Attach; both sides alive. -EPERM if traced already. tasks_lock held. */
int ptrace_attach_locked(struct process *tracer, struct task *t, bool seized, uint32_t options);
void ptrace_resume_locked(struct ptrace_link *l, int sig);
void ptrace_detach_locked(struct ptrace_link *l);
struct ptrace_link *ptrace_find_locked(struct process *tracer, int tid);
