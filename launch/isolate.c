/* Namespaces of the helper processes.
 *
 * Root makes the namespaces by its own right; the helpers shed identity and capabilities
 * themselves, as the last step of their own confinement. An ordinary user gets everything from a
 * user namespace in which its own id is the only one. */
#include "launch/launch_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HELPER_NAMESPACES                                                                          \
    (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return err;
}

/* Map just our own ids, to themselves. setgroups must be given up first: user_namespaces(7). */
static int map_own_ids(uid_t uid, gid_t gid)
{
    char line[64];
    int err = write_file("/proc/self/setgroups", "deny");
    if (err)
        return err;
    snprintf(line, sizeof(line), "%u %u 1", uid, uid);
    err = write_file("/proc/self/uid_map", line);
    if (err)
        return err;
    snprintf(line, sizeof(line), "%u %u 1", gid, gid);
    return write_file("/proc/self/gid_map", line);
}

static bool g_user_ns; /* the child is in a user namespace made for it; set before the fork */
static uid_t g_uid;
static gid_t g_gid;

static pid_t fork_with(unsigned long flags, int *pidfd)
{
    struct clone_args a = {
        .flags = flags | CLONE_PIDFD, .pidfd = (uintptr_t)pidfd, .exit_signal = SIGCHLD};
    pid_t pid = syscall(SYS_clone3, &a, sizeof(a));
    return pid < 0 ? -errno : pid;
}

pid_t launch_isolate_fork(bool keep_net, int *pidfd)
{
    unsigned long namespaces = HELPER_NAMESPACES & ~(keep_net ? (unsigned long)CLONE_NEWNET : 0);
    g_uid = geteuid();
    g_gid = getegid();
    g_user_ns = g_uid != 0;
    pid_t pid = fork_with(namespaces | (g_user_ns ? CLONE_NEWUSER : 0), pidfd);
    if (pid != -EPERM || g_user_ns)
        return pid;
    g_user_ns = true; /* root without CAP_SYS_ADMIN: try as an ordinary user would */
    return fork_with(namespaces | CLONE_NEWUSER, pidfd);
}

/* Over execve a process that is not root loses its capabilities unless they are ambient. The helper
 * needs those of its own user namespace to empty its root, and drops them itself right after. */
static int keep_caps_over_exec(void)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2];
    if (syscall(SYS_capget, &h, d) < 0)
        return -errno;
    d[0].inheritable = d[0].permitted;
    d[1].inheritable = d[1].permitted;
    if (syscall(SYS_capset, &h, d) < 0)
        return -errno;
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (d[cap / 32].permitted & (1u << cap % 32) &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return -errno;
    return 0;
}

int launch_isolate_child(bool die_with_parent, const char **step)
{
    setsid(); /* out of the terminal's foreground group: signals arrive through the launcher only */
    *step = "writing the id maps of the user namespace";
    int err = g_user_ns ? map_own_ids(g_uid, g_gid) : 0;
    if (err)
        return err;
    *step = "keeping the user namespace's capabilities over exec";
    err = g_user_ns ? keep_caps_over_exec() : 0;
    if (err)
        return err;
    *step = "prctl(PR_SET_PDEATHSIG)";
    return die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}
