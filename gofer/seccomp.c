/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that a confined gofer may make. Everything else kills the process. The list has
 * three parts: always, only if some export may be written, only if unix sockets are allowed by
 * policy.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum rule_part { ALWAYS, CHANGES, UNIX };

/* X(part, system call, reason) */
#define ALLOWED(X)                                                                                 \
    X(ALWAYS, recvfrom, "receive a request")                                                       \
    X(ALWAYS, sendmsg, "send a reply, with a donated descriptor")                                  \
    X(ALWAYS, close, "drop a descriptor")                                                          \
    X(ALWAYS, openat, "walk one step; open a held node (read-only if no export is writable)")      \
    X(ALWAYS, statx, "attributes")                                                                 \
    X(ALWAYS, readlinkat, "target of a symlink that is held")                                      \
    X(ALWAYS, fstatfs, "STATFS; is a mount below the root a kernel filesystem?")                   \
    X(ALWAYS, getdents64, "READDIR")                                                               \
    X(ALWAYS, lseek, "READDIR from a cursor")                                                      \
    X(ALWAYS, getxattr, "GETXATTR")                                                                \
    X(ALWAYS, listxattr, "LISTXATTR")                                                              \
    X(ALWAYS, faccessat, "ACCESS")                                                                 \
    X(ALWAYS, fcntl, "F_DUPFD_CLOEXEC of a root or of a cloned fid; nothing else")                 \
    X(ALWAYS, fsync, "FSYNC")                                                                      \
    X(ALWAYS, fdatasync, "FSYNC, data only")                                                       \
    X(ALWAYS, syncfs, "FLUSH")                                                                     \
    X(ALWAYS, socketpair, "CHANNEL (unix only)")                                                   \
    X(ALWAYS, sched_setaffinity, "follow the caller's CPU; this thread only")                      \
    X(ALWAYS, futex, "locks")                                                                      \
    X(ALWAYS, clone, "a thread for a channel; never a process")                                    \
    X(ALWAYS, set_robust_list, "start of a thread")                                                \
    X(ALWAYS, rseq, "start of a thread")                                                           \
    X(ALWAYS, rt_sigaction, "start of the first thread: the C library's own signals")              \
    X(ALWAYS, rt_sigprocmask, "start and end of a thread")                                         \
    X(ALWAYS, mmap, "heap and stacks; never executable")                                           \
    X(ALWAYS, mprotect, "stack guards; never executable")                                          \
    X(ALWAYS, munmap, "heap and stacks")                                                           \
    X(ALWAYS, madvise, "end of a thread gives its stack back")                                     \
    X(ALWAYS, brk, "heap")                                                                         \
    X(ALWAYS, exit, "end of a thread")                                                             \
    X(ALWAYS, exit_group, "end, when the sentry is gone")                                          \
    X(ALWAYS, restart_syscall, "the kernel's own restart after a stop")                            \
    X(CHANGES, mkdirat, "MKDIR")                                                                   \
    X(CHANGES, mknodat, "MKNOD of fifos, sockets, regular files; no devices")                      \
    X(CHANGES, symlinkat, "SYMLINK")                                                               \
    X(CHANGES, linkat, "LINK")                                                                     \
    X(CHANGES, unlinkat, "UNLINK")                                                                 \
    X(CHANGES, renameat2, "RENAME")                                                                \
    X(CHANGES, fchmodat, "SETATTR mode")                                                           \
    X(CHANGES, fchmod, "mode of a file just created")                                              \
    X(CHANGES, fchownat, "SETATTR owner")                                                          \
    X(CHANGES, fchown, "owner of a file just created")                                             \
    X(CHANGES, utimensat, "SETATTR times")                                                         \
    X(CHANGES, ftruncate, "SETATTR size")                                                          \
    X(CHANGES, fallocate, "FALLOCATE")                                                             \
    X(CHANGES, setxattr, "SETXATTR")                                                               \
    X(CHANGES, removexattr, "REMOVEXATTR")                                                         \
    X(UNIX, socket, "BIND, CONNECT (unix only)")                                                   \
    X(UNIX, bind, "BIND")                                                                          \
    X(UNIX, connect, "CONNECT")

static const struct rule {
    enum rule_part part;
    int nr;
    const char *name, *reason;
} g_rules[] = {
#define X(part, call, reason) {part, SCMP_SYS(call), #call, reason},
    ALLOWED(X)
#undef X
};

#define RULE_COUNT  (sizeof(g_rules) / sizeof(g_rules[0]))
#define WRITE_FLAGS (O_ACCMODE | O_CREAT | O_TRUNC)

static int add_mknodat(scmp_filter_ctx ctx)
{
    static const unsigned types[] = {S_IFIFO, S_IFSOCK, S_IFREG};
    size_t i;
    int rc = 0;

    for (i = 0; i < 3 && rc == 0; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mknodat), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT, types[i]));
    return rc;
}

/* Arguments are looked at where that forbids something that matters. */
static int add_rule(scmp_filter_ctx ctx, int nr, bool changes)
{
    const unsigned long thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    const unsigned long spaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

    if (nr == SCMP_SYS(mmap) || nr == SCMP_SYS(mprotect))
        return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1,
                                SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (nr == SCMP_SYS(clone))
        return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1,
                                SCMP_A0(SCMP_CMP_MASKED_EQ, thread | spaces, thread));
    if (nr == SCMP_SYS(fcntl))
        return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC));
    if (nr == SCMP_SYS(sched_setaffinity))
        return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_A0(SCMP_CMP_EQ, 0));
    if (nr == SCMP_SYS(socketpair) || nr == SCMP_SYS(socket))
        return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    if (nr == SCMP_SYS(mknodat))
        return add_mknodat(ctx);
    if (nr == SCMP_SYS(openat) && !changes)
        return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1,
                                SCMP_A2(SCMP_CMP_MASKED_EQ, WRITE_FLAGS, O_RDONLY));
    return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
}

static bool rule_applies(const struct rule *r, bool changes, bool unix_sockets)
{
    return r->part == ALWAYS || (r->part == CHANGES && changes) ||
           (r->part == UNIX && unix_sockets);
}

static int add_all(scmp_filter_ctx ctx, bool changes, bool unix_sockets)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < RULE_COUNT && rc == 0; i++)
        if (rule_applies(&g_rules[i], changes, unix_sockets))
            rc = add_rule(ctx, g_rules[i].nr, changes);
    if (rc == 0) /* its flags are in memory and cannot be checked: glibc then uses clone */
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (rc == 0 && g_gofer_log_fd >= 0)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(write), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)g_gofer_log_fd));
    return rc;
}

/* The sanitizers' runtimes make calls of their own; a test build with them goes without the list. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool g_sanitized = true;
#else
static const bool g_sanitized = false;
#endif

int gofer_seccomp_load(bool changes, bool unix_sockets)
{
    scmp_filter_ctx ctx = g_sanitized ? NULL : seccomp_init(SCMP_ACT_KILL_PROCESS);
    int rc;

    if (g_sanitized)
        return 0;
    if (!ctx)
        return -ENOMEM;
    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree: few steps per call */
    rc = add_all(ctx, changes, unix_sockets);
    if (rc == 0)
        rc = seccomp_load(ctx);
    seccomp_release(ctx);
    return rc;
}

void gofer_seccomp_print(void)
{
    static const char *const parts[] = {"always", "rw", "unix"};
    int count[3] = {0};
    size_t i;

    for (i = 0; i < RULE_COUNT; i++) {
        printf("%-18s %-7s %s\n", g_rules[i].name, parts[g_rules[i].part], g_rules[i].reason);
        count[g_rules[i].part]++;
    }
    printf("count: %d read-only, %d with a writable export, %d with unix sockets as well\n",
           count[ALWAYS], count[ALWAYS] + count[CHANGES], (int)RULE_COUNT);
}
