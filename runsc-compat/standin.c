/* See standin.h. Two forks: the first child enters and makes namespaces, the second is then born
 * into the new PID namespace and stays. */
#include "standin.h"
#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct kind {
    const char *type, *file;
    int flag;
    bool of_sentry; /* a new one need not be made: the sentry has one of its own, unused */
} g_kinds[] = {
    {"user", "user", CLONE_NEWUSER, false}, {"cgroup", "cgroup", CLONE_NEWCGROUP, false},
    {"ipc", "ipc", CLONE_NEWIPC, true},     {"uts", "uts", CLONE_NEWUTS, true},
    {"network", "net", CLONE_NEWNET, true}, {"pid", "pid", CLONE_NEWPID, false},
    {"mount", "mnt", CLONE_NEWNS, false},
};
#define KIND_COUNT (sizeof(g_kinds) / sizeof(g_kinds[0]))

struct plan {
    bool present[KIND_COUNT];
    int fd[KIND_COUNT]; /* of a namespace to enter; -1: make a new one */
};

/* What the children tell: an error, or the second one's pid. */
struct report {
    int err;
    pid_t pid;
    bool wants_maps;
    char step[40];
};

/* ---- the plan, made before forking ---- */

static int open_namespace(const struct creation *c, const struct kind *k, const char *path)
{
    char own[64];
    if (*path)
        return open(path, O_RDONLY | O_CLOEXEC);
    if (k->flag == CLONE_NEWNET && c->netns_fd >= 0)
        return fcntl(c->netns_fd, F_DUPFD_CLOEXEC, 3);
    if (!k->of_sentry)
        return -1;
    snprintf(own, sizeof(own), "/proc/%d/ns/%s", (int)c->sandbox.sentry_pid, k->file);
    return open(own, O_RDONLY | O_CLOEXEC);
}

static int plan_make(const struct creation *c, struct plan *p, struct rf_error *e)
{
    size_t n;
    json_t *ns;
    for (size_t i = 0; i < KIND_COUNT; i++)
        p->present[i] = false, p->fd[i] = -1;
    json_array_foreach(spec_get(c->config, "linux.namespaces"), n, ns)
    {
        for (size_t i = 0; i < KIND_COUNT; i++) {
            if (strcmp(g_kinds[i].type, spec_string(ns, "type", "")) || p->present[i])
                continue;
            const char *path = spec_string(ns, "path", "");
            p->present[i] = true;
            p->fd[i] = open_namespace(c, &g_kinds[i], path);
            if (*path && p->fd[i] < 0)
                return rf_fail(e, "the %s namespace %s: %s", g_kinds[i].type, path,
                               strerror(errno));
        }
    }
    return 0;
}

static void plan_close(struct plan *p)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (p->fd[i] >= 0)
            close(p->fd[i]);
}

/* ---- in the children ---- */

_Noreturn static void say(int fd, struct report r)
{
    (void)!write(fd, &r, sizeof(r));
    _exit(1);
}

static bool new_user_ns(const struct plan *p)
{
    return p->present[0] && p->fd[0] < 0;
}

/* The maps of a new user namespace are written by the parent, which has the privilege. */
static void become_root_of_it(int fd)
{
    struct report r = {.wants_maps = true, .pid = getpid()};
    char c;
    if (unshare(CLONE_NEWUSER) < 0)
        say(fd, (struct report){.err = errno, .step = "a user namespace"});
    if (write(fd, &r, sizeof(r)) != sizeof(r) || read(fd, &c, 1) != 1 || c != 'm')
        _exit(1);
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        say(fd, (struct report){.err = errno, .step = "the user namespace's root"});
}

static void enter_all(const struct plan *p, int fd)
{
    int make = 0;
    if (new_user_ns(p))
        become_root_of_it(fd);
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (!p->present[i])
            continue;
        if (p->fd[i] < 0) {
            make |= g_kinds[i].flag & ~CLONE_NEWUSER;
        } else if (setns(p->fd[i], g_kinds[i].flag) < 0) {
            struct report r = {.err = errno};
            snprintf(r.step, sizeof(r.step), "entering the %s namespace", g_kinds[i].type);
            say(fd, r);
        }
    }
    if (make && unshare(make) < 0)
        say(fd, (struct report){.err = errno, .step = "new namespaces"});
}

/* The container's root file system becomes ours: read by clients alone. A failure leaves the host's
 * root in a mount namespace of its own, which does no harm. */
static void take_root(const char *rootfs)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0 || chdir(rootfs) < 0 ||
        syscall(SYS_pivot_root, ".", ".") < 0)
        return;
    umount2(".", MNT_DETACH);
    (void)!chdir("/");
}

static void keep_only(int fd, int go)
{
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3 && null >= 0; i++)
        dup2(null, i);
    int low = fd < go ? fd : go, high = fd < go ? go : fd;
    syscall(SYS_close_range, 3, low - 1, 0);
    if (high > low + 1)
        syscall(SYS_close_range, low + 1, high - 1, 0);
    syscall(SYS_close_range, high + 1, ~0u, 0);
}

_Noreturn static void stay(struct creation *c, const struct plan *p, int go)
{
    struct launch_error e = {0};
    char word;
    prctl(PR_SET_NAME, "rf-standin");
    setsid();
    keep_only(c->sandbox.fd, go);
    if (p->present[KIND_COUNT - 1] && p->fd[KIND_COUNT - 1] < 0)
        take_root(c->c.rootfs);
    if (read(go, &word, 1) != 1)
        _exit(1); /* the creator failed, or was killed */
    close(go);
    c->sandbox.sentry_pid = 0;
    c->sandbox.sentry_pidfd = -1;
    c->sandbox.attached = false;
    c->sandbox.stands_for = true;
    c->sandbox.stands_for_pid = 0;
    snprintf(c->sandbox.stands_for_id, sizeof(c->sandbox.stands_for_id), "%s", c->args.id);
    int status = sandbox_attend(&c->sandbox, &e);
    if (e.text[0]) /* the sandbox was ended from outside */
        status = 128 + SIGKILL;
    _exit(status);
}

_Noreturn static void first_child(struct creation *c, const struct plan *p, int fd, int go)
{
    if (cgroup_join(&c->cgroups) < 0)
        rf_log(RF_DEBUG, "the stand-in is not in the container's cgroups");
    enter_all(p, fd);
    pid_t pid = fork();
    if (pid == 0) {
        close(fd);
        stay(c, p, go);
    }
    say(fd, (struct report){.err = pid < 0 ? errno : 0, .pid = pid, .step = "fork"});
}

/* ---- in the parent ---- */

static void write_map(pid_t pid, const char *file, const struct sb_idmap *maps, unsigned count)
{
    char path[64], text[4096] = "";
    size_t at = 0;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    for (unsigned i = 0; i < count && at < sizeof(text) - 40; i++)
        at += snprintf(text + at, sizeof(text) - at, "%u %u %u\n", maps[i].inside, maps[i].outside,
                       maps[i].count);
    int err = at ? rf_write_file(path, text) : 0;
    if (err)
        rf_log(RF_DEBUG, "%s: %s", path, strerror(-err));
}

static void write_maps(const struct creation *c, pid_t pid)
{
    write_map(pid, "gid_map", c->c.gid_maps, c->c.gid_map_count);
    write_map(pid, "uid_map", c->c.uid_maps, c->c.uid_map_count);
}

static int listen_to(const struct creation *c, int fd, pid_t *pid, struct rf_error *e)
{
    struct report r;
    for (;;) {
        ssize_t n = read(fd, &r, sizeof(r));
        if (n < 0 && errno == EINTR)
            continue;
        if (n != sizeof(r))
            return rf_fail(e, "the stand-in ended early");
        if (r.err)
            return rf_fail(e, "%.40s: %s", r.step, strerror(r.err));
        if (!r.wants_maps)
            break;
        write_maps(c, r.pid);
        (void)!write(fd, "m", 1);
    }
    *pid = r.pid;
    return 0;
}

static int fork_it(struct creation *c, struct plan *p, struct standin *s, struct rf_error *e)
{
    int pair[2], go[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return rf_fail(e, "socketpair: %s", strerror(errno));
    if (pipe2(go, O_CLOEXEC) < 0) {
        close(pair[0]);
        close(pair[1]);
        return rf_fail(e, "pipe: %s", strerror(errno));
    }
    pid_t first = fork();
    if (first == 0) {
        close(pair[0]);
        close(go[1]);
        first_child(c, p, pair[1], go[0]);
    }
    close(pair[1]);
    close(go[0]);
    int ret =
        first < 0 ? rf_fail(e, "fork: %s", strerror(errno)) : listen_to(c, pair[0], &s->pid, e);
    close(pair[0]);
    while (first > 0 && waitpid(first, NULL, 0) < 0 && errno == EINTR)
        ;
    s->go = ret == 0 ? go[1] : -1;
    if (ret < 0)
        close(go[1]);
    return ret;
}

int standin_start(struct creation *c, struct standin *s, struct rf_error *e)
{
    struct plan p;
    *s = (struct standin){.go = -1};
    if (c->args.attached || *c->pod || g_rf.rootless_now)
        return 0;
    int ret = plan_make(c, &p, e);
    if (ret == 0)
        ret = fork_it(c, &p, s, e);
    plan_close(&p);
    return ret;
}

void standin_go(struct creation *c, struct standin *s)
{
    if (s->pid) {
        (void)!write(s->go, "g", 1);
        sandbox_close(&c->sandbox);
    }
    if (s->go >= 0)
        close(s->go);
    s->go = -1;
}

void standin_drop(struct standin *s)
{
    if (s->go >= 0)
        close(s->go);
    if (s->pid)
        kill(s->pid, SIGKILL);
    *s = (struct standin){.go = -1};
}
