/* Between signal.c, signal_deliver.c and signal_call.c. */
#pragma once
#include "kernel/kernel_priv.h"

#define SIGRTMIN_K   32    /* the kernel's, not libc's */
#define SIGQUEUE_MAX 65536 /* siginfos one process may hold, whatever its limit says */

#define SIGS_STOP    (SIGMASK(SIGSTOP) | SIGMASK(SIGTSTP) | SIGMASK(SIGTTIN) | SIGMASK(SIGTTOU))
#define SIGS_IGNORED (SIGMASK(SIGCHLD) | SIGMASK(SIGCONT) | SIGMASK(SIGWINCH) | SIGMASK(SIGURG))
#define SIGS_CORE                                                                                  \
    (SIGMASK(SIGQUIT) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | SIGMASK(SIGABRT) | SIGMASK(SIGFPE) |  \
     SIGMASK(SIGSEGV) | SIGMASK(SIGBUS) | SIGMASK(SIGSYS) | SIGMASK(SIGXCPU) | SIGMASK(SIGXFSZ))
#define SIGS_SYNCHRONOUS                                                                           \
    (SIGMASK(SIGSEGV) | SIGMASK(SIGBUS) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | SIGMASK(SIGFPE) |   \
     SIGMASK(SIGSYS))
#define SIGS_UNBLOCKABLE (SIGMASK(SIGKILL) | SIGMASK(SIGSTOP))

struct sigqueue {
    struct list_node node;
    siginfo_t info;
};

bool signal_default_ignored(int sig);
void signal_remove_locked(struct process *p, sigmask_t mask);
void signal_retarget_locked(struct task *t, sigmask_t which);
/* Take the first pending signal in set from t's queue, then the shared one. 0: none. */
int signal_dequeue_locked(struct task *t, sigmask_t set, siginfo_t *info);
