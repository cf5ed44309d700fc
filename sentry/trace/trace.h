/* --strace: one line per system call, signal and exit, printed from the formats in syscalls.def.
 * Costs nothing when off: tasks are then born without TASK_SLOW_STRACE. */
#pragma once
#include "kernel/kernel.h"

/* Stop; and where lines go from here on (-1: the user's standard error): the old descriptor. trace_enable
 * is in kernel.h. */
void trace_disable(void);
int trace_output(int fd);
/* Remember the strings of the call (they may change under it). Own thread. */
void trace_enter(struct task *t, const struct sysargs *a);
/* Print the call and its result; nothing if the set of --strace does not have it. */
void trace_exit(struct task *t, const struct sysargs *a, int64_t result);
/* A signal is about to be delivered. */
void trace_signal(struct task *t, int sig, const siginfo_t *info);
/* The system call's name, or NULL. */
const char *trace_syscall_name(uint64_t nr);
