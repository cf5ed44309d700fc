/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shutting the process in. It keeps: the exports' root descriptors, the channel, the log, and a
 * handle on its own /proc/self/fd. In order: read-only exports become read-only mounts of their
 * own; own namespaces; an empty root; no capabilities; limits; no_new_privs; seccomp is the
 * caller's last step.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int log_error(const char *what)
{
    int rc = -errno;

    gofer_log("%s: %s", what, strerror(-rc));
    return rc;
}

/*
 * /proc/self/fd as a mount of its own, whose root is that directory: ".." from it leads nowhere, so
 * the handle does not give the rest of /proc to a gofer that was taken over. Without the right to
 * do that, the plain directory.
 */
static int open_procfd(const struct gofer_config *cfg)
{
    int fd = open_tree(AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd >= 0)
        return fd;
    log_error("own mount of /proc/self/fd");
    if (!cfg->allow_partial)
        return -EPERM;
    fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? log_error("/proc/self/fd") : fd;
}

/*
 * A read-only export as a detached read-only copy of its mounts: then the host's kernel, too,
 * refuses every change through a donated descriptor (fchmod on an O_RDONLY one, for instance). Best
 * effort: the server refuses anyway.
 */
static void export_make_readonly(struct gofer_export *e)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    int fd =
        open_tree(e->fd, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd >= 0 && mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) == 0 &&
        dup3(fd, e->fd, O_CLOEXEC) >= 0) {
        close(fd);
        return;
    }
    log_error("read-only mount of an export");
    if (fd >= 0)
        close(fd);
}

static int make_namespaces(const struct gofer_config *cfg)
{
    static const struct {
        int flag;
        const char *name;
    } ns[] = {{CLONE_NEWNS, "mount namespace"},
              {CLONE_NEWNET, "network namespace"},
              {CLONE_NEWIPC, "ipc namespace"},
              {CLONE_NEWUTS, "uts namespace"}};
    size_t i;

    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) == 0)
        return 0;
    for (i = 0; i < sizeof(ns) / sizeof(ns[0]); i++)
        if (unshare(ns[i].flag) < 0 && (log_error(ns[i].name), !cfg->allow_partial))
            return -EPERM;
    return 0;
}

/* An empty read-only tmpfs as the only thing in our mount namespace. */
static int make_empty_root(const struct gofer_config *cfg)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2") ==
            0 &&
        mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) ==
            0 &&
        chdir("/proc") == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
        umount2(".", MNT_DETACH) == 0 && chdir("/") == 0)
        return 0;
    log_error("empty root");
    return cfg->allow_partial ? 0 : -EPERM;
}

static int drop_capabilities(uint64_t keep)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct old[2], data[2] = {{0}};
    int cap, i;

    /* EPERM (no CAP_SETPCAP) is fine: nothing can be gained back without execve, which seccomp
     * forbids. */
    for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
            return log_error("capability bounding set");
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capget, &head, old) < 0)
        return log_error("capget");
    for (i = 0; i < 2; i++)
        data[i].effective = data[i].permitted = old[i].permitted & (uint32_t)(keep >> (32 * i));
    if (syscall(SYS_capset, &head, data) < 0)
        return log_error("capset");
    return 0;
}

static void limit(int resource, rlim_t max)
{
    struct rlimit lim = {max, max};

    setrlimit(resource, &lim);
}

/* As many descriptors as we may have: they are what fids are made of. */
static void raise_descriptor_limit(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }
}

static int make_unprivileged(const struct gofer_config *cfg)
{
    int rc = drop_capabilities(cfg->keep_caps);

    if (rc < 0)
        return rc;
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_MEMLOCK, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return log_error("no_new_privs");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return log_error("dumpable");
    return 0;
}

int gofer_confine(struct gofer_server *s, const struct gofer_config *cfg)
{
    uint32_t i;
    int rc;

    raise_descriptor_limit();
    for (i = 0; i < s->export_count; i++)
        if (s->exports[i].flags & GOFERP_EXPORT_RO)
            export_make_readonly(&s->exports[i]);
    rc = make_namespaces(cfg);
    if (rc < 0)
        return rc;
    s->procfd = open_procfd(cfg); /* in our mount namespace, so that it may be copied from */
    if (s->procfd < 0)
        return s->procfd;
    rc = make_empty_root(cfg);
    if (rc < 0)
        return rc;
    if (fchdir(s->procfd) <
        0) /* path calls without a directory argument then mean "descriptor N" */
        return log_error("fchdir to /proc/self/fd");
    return make_unprivileged(cfg);
}
