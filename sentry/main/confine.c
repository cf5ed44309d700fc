/* Confinement of the sentry: empty root, no identity, no capabilities, a short list of host calls.
 *
 * The list is the project's published figure: at most 40 calls, each with its reason. Everything
 * else kills the process: a sentry that asks for more is broken or taken over. Opening files,
 * sockets, executing programs, tracing: none of that is there. */
#include "main/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534

/* A fresh tmpfs over a directory that surely exists, then the old root is thrown away. */
static int confine_root(const char **step)
{
    *step = "mount: making / private";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    *step = "mount: an empty root";
    if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=4k,nr_inodes=2,mode=555") < 0)
        return -errno;
    *step = "pivot_root";
    if (chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return -errno;
    *step = "mount: the empty root read-only";
    if (chdir("/") < 0 ||
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
              NULL) < 0)
        return -errno;
    return 0;
}

static int confine_caps(const char **step)
{
    *step = "dropping the capability bounding set";
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap) < 0)
            return -errno;
    *step = "becoming nobody";
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                           setresuid(NOBODY, NOBODY, NOBODY) < 0))
        return -errno;
    *step = "dropping capabilities";
    cap_t none = cap_init();
    int err = !none || cap_set_proc(none) < 0 ? -errno : 0;
    cap_free(none);
    return err;
}

int confine_enter(bool die_with_parent, const char **step)
{
    pid_t parent = getppid();
    int err = confine_root(step);
    if (!err)
        err = confine_caps(step);
    if (err)
        return err;
    *step = "prctl";
    /* The change of identity has cleared the death signal. Dumpable stays off: no core, no ptrace.
     */
    if (prctl(PR_SET_PDEATHSIG, die_with_parent ? SIGKILL : 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    struct rlimit nofile;
    if (getrlimit(RLIMIT_NOFILE, &nofile) == 0) {
        nofile.rlim_cur = nofile.rlim_max;
        setrlimit(RLIMIT_NOFILE, &nofile);
    }
    return !die_with_parent || getppid() == parent ? 0 : -ECHILD;
}

/* ---- the list
 * -------------------------------------------------------------------------------------- */

enum arg_check {
    ANY,
    THREAD_ONLY, /* clone: only with CLONE_THREAD */
    INET_ONLY,   /* socket: of the internet families, or NETLINK_ROUTE */
};

static const struct allowed {
    int nr;
    const char *name;
    enum arg_check check;
    const char *reason;
} g_allowed[] = {
#define ALLOW(name, check, reason)                                                                 \
    {                                                                                              \
        SYS_##name, #name, check, reason                                                           \
    }
    ALLOW(preadv2, ANY, "guest reads of donated files, pipes, sockets and terminals"),
    ALLOW(pwritev2, ANY, "the same for writes; the debug log"),
    ALLOW(close, ANY, "donated descriptors, listeners of ended stubs"),
    ALLOW(newfstatat, ANY,
          "fstat of donated descriptors (the root is empty, so names reach nothing)"),
    ALLOW(ftruncate, ANY, "truncation of files donated for writing"),
    ALLOW(fallocate, ANY, "giving freed guest memory back to the host; guests' fallocate"),
    ALLOW(fsync, ANY, "guests' fsync reaches the disk"),
    ALLOW(fdatasync, ANY, "guests' fdatasync reaches the disk"),
    ALLOW(lseek, ANY, "offset of donated stdio; holes of donated files"),
    ALLOW(ppoll, ANY, "is a donated stream ready now?"),
    ALLOW(epoll_wait, ANY, "the poller thread, asleep until a host stream is ready"),
    ALLOW(epoll_ctl, ANY, "streams come and go"),
    ALLOW(ioctl, ANY, "seccomp notifications, KVM_RUN, terminal settings of donated terminals"),
    ALLOW(mmap, ANY, "the memory file, windows on donated files, thread stacks, the heap"),
    ALLOW(munmap, ANY, "the same, given back"),
    ALLOW(mprotect, ANY, "guard pages of thread stacks"),
    ALLOW(madvise, ANY, "freed heap given back; populated mappings"),
    ALLOW(mremap, ANY, "growing large heap blocks"),
    ALLOW(futex, ANY, "locks and sleeping tasks; waking stubs"),
    ALLOW(restart_syscall, ANY, "a sleep goes on after SIGSTOP and SIGCONT, or a debugger's visit"),
    ALLOW(clone3, ANY,
          "refused with ENOSYS: its flags are in memory, where no filter can see them"),
    ALLOW(clone, THREAD_ONLY, "one host thread per guest task"),
    ALLOW(set_robust_list, ANY, "start of a host thread (libc)"),
    ALLOW(rseq, ANY, "start of a host thread (libc)"),
    ALLOW(rt_sigprocmask, ANY, "start and end of a host thread (libc)"),
    ALLOW(rt_sigreturn, ANY, "return from the kick and fault handlers"),
    ALLOW(sigaltstack, ANY, "a stack for the fault handler of each thread"),
    ALLOW(tgkill, ANY, "interrupting a stub or vCPU thread; abort"),
    ALLOW(kill, ANY, "ending a stub process"),
    ALLOW(wait4, ANY, "reaping ended stub processes"),
    ALLOW(exit, ANY, "end of a host thread"),
    ALLOW(exit_group, ANY, "end of the sandbox"),
    ALLOW(getrandom, ANY, "guests' getrandom and address layouts"),
    ALLOW(clock_gettime, ANY, "clocks, where the host's vDSO cannot answer"),
    ALLOW(recvmsg, ANY, "gofer answers with donated descriptors; the control channel"),
    ALLOW(sendmsg, ANY, "gofer requests; the control socket"),
    ALLOW(accept4, ANY, "clients of the control socket"),
    ALLOW(sched_yield, ANY, "the heap's locks"),
    ALLOW(gettid, ANY, "abort"),
#undef ALLOW
};

/* With --network=host, and only then: the host's sockets. Data, readiness and the rest of their
 * life use calls of the list above. */
static const struct allowed g_network[] = {
#define ALLOW(name, check, reason)                                                                 \
    {                                                                                              \
        SYS_##name, #name, check, reason                                                           \
    }
    ALLOW(socket, INET_ONLY, "a host socket: IPv4, IPv6, and rtnetlink to read"),
    ALLOW(bind, ANY, "its name"),
    ALLOW(connect, ANY, "its peer"),
    ALLOW(listen, ANY, "a server's"),
    ALLOW(accept4, ANY, "a server's connections"),
    ALLOW(shutdown, ANY, "the end of a direction"),
    ALLOW(getsockname, ANY, "its name, told"),
    ALLOW(getpeername, ANY, "its peer's name, told"),
    ALLOW(setsockopt, ANY, "options without pointers or descriptors: net/hostnet.c"),
    ALLOW(getsockopt, ANY, "the same; the result of a connect"),
#undef ALLOW
};

#define NETWORK_COUNT (sizeof(g_network) / sizeof(g_network[0]))
#define ALLOWED_COUNT (sizeof(g_allowed) / sizeof(g_allowed[0]))

static int add_inet(scmp_filter_ctx f, int nr)
{
    int err = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 1, SCMP_A0(SCMP_CMP_EQ, AF_INET));
    if (!err)
        err = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 1, SCMP_A0(SCMP_CMP_EQ, AF_INET6));
    if (!err)
        err = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 2, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                               SCMP_A2(SCMP_CMP_EQ, 0 /* NETLINK_ROUTE */));
    return err;
}

static int add_rule(scmp_filter_ctx f, const struct allowed *a)
{
    if (a->check == INET_ONLY)
        return add_inet(f, a->nr);
    if (a->nr == SYS_clone3)
        return seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), a->nr, 0);
    if (a->check == THREAD_ONLY)
        return seccomp_rule_add(
            f, SCMP_ACT_ALLOW, a->nr, 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, a->nr, 0);
}

/* The sanitizers' runtimes make calls of their own; a test build with them goes without the list.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool g_sanitized = true;
#else
static const bool g_sanitized = false;
#endif

int confine_seccomp(bool host_network)
{
    if (g_sanitized)
        return 0;
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!f)
        return -ENOMEM;
    int err =
        seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree: long lists stay quick */
    for (size_t i = 0; !err && i < ALLOWED_COUNT; i++)
        err = add_rule(f, &g_allowed[i]);
    for (size_t i = 0; !err && host_network && i < NETWORK_COUNT; i++)
        err = add_rule(f, &g_network[i]);
    if (!err)
        err = seccomp_load(f);
    seccomp_release(f);
    return err;
}

void confine_print(bool host_network)
{
    for (size_t i = 0; i < ALLOWED_COUNT; i++)
        printf("%-16s %s\n", g_allowed[i].name, g_allowed[i].reason);
    for (size_t i = 0; host_network && i < NETWORK_COUNT; i++)
        printf("%-16s %s\n", g_network[i].name, g_network[i].reason);
    printf("%zu host calls allowed\n", ALLOWED_COUNT + (host_network ? NETWORK_COUNT : 0));
}

void confine_break(void)
{
    (void)!syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY);
}
