/* user_namespaces(7): who may make them, id maps, what capabilities in them are good for. */
#include "guest.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text));
    int e = errno;
    close(fd);
    errno = e;
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

static void get(const char *path, char *out, size_t size)
{
    int fd = OK(open(path, O_RDONLY));
    ssize_t n = OK(read(fd, out, size - 1));
    out[n] = 0;
    close(fd);
}

static uint64_t caps(void)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    OK(syscall(SYS_capget, &h, d));
    return d[0].effective | (uint64_t)d[1].effective << 32;
}

/* The block in a child; as an ordinary user if uid is not 0. */
#define AS(uid, ...)                                                                               \
    do {                                                                                           \
        if (geteuid())                                                                             \
            SKIP("needs root");                                                                    \
        pid_t p_ = OK(fork());                                                                     \
        if (!p_) {                                                                                 \
            g_main_pid = -1;                                                                       \
            OK(chmod(".", 0777));                                                                  \
            if (uid) {                                                                             \
                OK(setgroups(0, NULL));                                                            \
                OK(setresgid(uid, uid, uid));                                                      \
                OK(setresuid(uid, uid, uid));                                                      \
                OK(prctl(PR_SET_DUMPABLE, 1));                                                     \
            }                                                                                      \
            __VA_ARGS__;                                                                           \
            _exit(0);                                                                              \
        }                                                                                          \
        int st_;                                                                                   \
        CHECK_EQ(waitpid(p_, &st_, 0), p_);                                                        \
        CHECK(WIFEXITED(st_));                                                                     \
        CHECK_EQ(WEXITSTATUS(st_), 0);                                                             \
    } while (0)

static void anyone_may_make_one(void)
{
    AS(1000, {
        CHECK_EQ(caps(), 0);
        OK(unshare(CLONE_NEWUSER));
        CHECK(caps() & (1ull << CAP_SYS_ADMIN));
        CHECK_EQ(getuid(), 65534); /* nobody is mapped yet */
        CHECK_EQ(geteuid(), 65534);
        CHECK_EQ(getgid(), 65534);
        char text[128];
        get("/proc/self/uid_map", text, sizeof(text));
        CHECK_EQ(text[0], 0);
        CHECK_ERR(unshare(CLONE_NEWUSER), EPERM); /* nobody cannot own */
    });
}

static void one_may_map_oneself(void)
{
    AS(1000, {
        OK(unshare(CLONE_NEWUSER));
        CHECK_ERR(put("/proc/self/gid_map", "0 1000 1"), EPERM); /* setgroups first */
        OK(put("/proc/self/setgroups", "deny"));
        OK(put("/proc/self/uid_map", "0 1000 1"));
        OK(put("/proc/self/gid_map", "0 1000 1\n"));
        CHECK_EQ(getuid(), 0);
        CHECK_EQ(getgid(), 0);
        uid_t r, e, s;
        OK(getresuid(&r, &e, &s));
        CHECK(r == 0 && e == 0 && s == 0);
        char text[128];
        unsigned a, b, c;
        get("/proc/self/uid_map", text, sizeof(text));
        CHECK_EQ(sscanf(text, "%u %u %u", &a, &b, &c), 3);
        CHECK(a == 0 && b == 1000 && c == 1);
        get("/proc/self/setgroups", text, sizeof(text));
        CHECK(!strcmp(text, "deny\n"));
        CHECK_ERR(put("/proc/self/uid_map", "0 1000 1"), EPERM); /* once */
        CHECK_ERR(put("/proc/self/setgroups", "allow"), EPERM);
        gid_t g = 0;
        CHECK_ERR(setgroups(1, &g), EPERM);
        CHECK_ERR(setuid(1), EINVAL); /* not mapped */
        CHECK_ERR(setresuid(-1, 5, -1), EINVAL);
        OK(setuid(0));
        struct stat st;
        OK(stat(".", &st));
        CHECK_EQ(st.st_uid, 65534); /* the directory is the outer root's */
        close(OK(open("mine", O_CREAT | O_WRONLY, 0600)));
        OK(stat("mine", &st));
        CHECK_EQ(st.st_uid, 0);
        CHECK_EQ(st.st_gid, 0);
        CHECK_ERR(chown("mine", 1, -1), EINVAL);
        OK(chown("mine", 0, 0));
        CHECK_ERR(chown(".", 0, 0), EPERM);
    });
    struct stat st;
    OK(stat("mine", &st));
    CHECK_EQ(st.st_uid, 1000);
}

static void maps_are_checked(void)
{
    AS(1000, {
        OK(unshare(CLONE_NEWUSER));
        CHECK_ERR(put("/proc/self/uid_map", "0 1000"), EINVAL);
        CHECK_ERR(put("/proc/self/uid_map", "x 1000 1"), EINVAL);
        CHECK_ERR(put("/proc/self/uid_map", "0 1000 0"), EINVAL);
        CHECK_ERR(put("/proc/self/uid_map", "4294967295 1000 1"), EINVAL);
        CHECK_ERR(put("/proc/self/uid_map", "0 1000 1 1"), EINVAL);
        CHECK_ERR(put("/proc/self/uid_map", "0 1000 1\n0 1001 1"), EINVAL);
        CHECK_ERR(put("/proc/self/uid_map", "0 1000 2"), EPERM);
        CHECK_ERR(put("/proc/self/uid_map", "0 1001 1"), EPERM);
        CHECK_ERR(put("/proc/self/setgroups", "maybe"), EINVAL);
        OK(put("/proc/self/uid_map", "5 1000 1"));
        CHECK_EQ(getuid(), 5);
    });
}

static void root_maps_ranges(void)
{
    if (geteuid())
        SKIP("needs root");
    int up[2], go[2];
    char c, path[64];
    OK(pipe(up));
    OK(pipe(go));
    pid_t pid = OK(fork());
    if (!pid) {
        g_main_pid = -1;
        OK(unshare(CLONE_NEWUSER));
        OK(write(up[1], "x", 1));
        OK(read(go[0], &c, 1));
        CHECK_EQ(getuid(), 10); /* outer 0 */
        OK(setresuid(0, 0, 0));
        OK(setgroups(1, (gid_t[]){7}));
        gid_t g[4];
        CHECK_EQ(OK(getgroups(4, g)), 1);
        CHECK_EQ(g[0], 7);
        close(OK(open("made", O_CREAT | O_WRONLY, 0600)));
        OK(setresuid(3, 3, 3));
        CHECK_ERR(setuid(0), EPERM);
        _exit(0);
    }
    OK(chmod(".", 0777));
    OK(read(up[0], &c, 1));
    snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    OK(put(path, "0 100000 10\n10 0 1\n"));
    snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
    OK(put(path, "0 200000 10\n10 0 1"));
    OK(write(go[1], "x", 1));
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    struct stat s;
    OK(stat("made", &s));
    CHECK_EQ(s.st_uid, 100000);
}

static void capabilities_stay_inside(void)
{
    AS(1000, {
        OK(unshare(CLONE_NEWUSER));
        OK(put("/proc/self/setgroups", "deny"));
        OK(put("/proc/self/uid_map", "0 1000 1"));
        OK(put("/proc/self/gid_map", "0 1000 1"));
        CHECK_ERR(sethostname("no", 2), EPERM); /* that name is the outer world's */
        CHECK_ERR(mount("x", "/tmp", "tmpfs", 0, NULL), EPERM);
        CHECK_ERR(mknod("n", S_IFCHR | 0600, makedev(1, 3)), EPERM);
        CHECK_ERR(open("/etc/shadow", O_RDONLY), EACCES);
        CHECK_ERR(unlink("/etc/passwd"), EACCES);
        OK(unshare(CLONE_NEWUTS));
        OK(sethostname("yes", 3));
        OK(unshare(CLONE_NEWIPC | CLONE_NEWPID));
        OK(chroot("/"));
    });
}

static void mounts_in_a_user_namespace(void)
{
    AS(1000, {
        OK(unshare(CLONE_NEWUSER | CLONE_NEWNS));
        OK(put("/proc/self/setgroups", "deny"));
        OK(put("/proc/self/uid_map", "0 1000 1"));
        OK(put("/proc/self/gid_map", "0 1000 1"));
        OK(mkdir("m", 0755));
        OK(mount("x", "m", "tmpfs", 0, NULL));
        close(OK(open("m/f", O_CREAT | O_WRONLY, 0600)));
        struct stat st;
        OK(stat("m", &st));
        CHECK_EQ(st.st_uid, 0);
        OK(mount("m", "m", NULL, MS_BIND | MS_REC, NULL));
        OK(umount("m"));
        OK(umount("m"));
        CHECK_ERR(umount("/proc"), EINVAL); /* from above: locked */
        CHECK_ERR(mount("x", "m", "devtmpfs", 0, NULL), EPERM);
    });
}

static void all_at_once(void)
{
    AS(1000, {
        struct clone_args a = {.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS |
                                        CLONE_NEWIPC,
                               .exit_signal = SIGCHLD};
        pid_t pid = OK(syscall(SYS_clone3, &a, sizeof(a)));
        if (!pid) {
            CHECK_EQ(getpid(), 1);
            OK(sethostname("in", 2));
            _exit(0);
        }
        int st;
        CHECK_EQ(waitpid(pid, &st, 0), pid);
        CHECK_EQ(st, 0);
    });
}

static void signals_across(void)
{
    AS(1000, {
        pid_t outer = OK(fork());
        if (!outer) {
            for (;;)
                pause();
        }
        OK(unshare(CLONE_NEWUSER));
        OK(kill(outer, 0)); /* still the same user */
        OK(kill(outer, SIGKILL));
        int st;
        OK(waitpid(outer, &st, 0));
        CHECK_ERR(kill(1, SIGTERM), EPERM); /* root's, outside */
    });
}

static void credentials_are_mapped(void)
{
    AS(1000, {
        int s[2], one = 1;
        char byte = 'x', control[CMSG_SPACE(sizeof(struct ucred))];
        OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
        OK(setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
        pid_t pid = OK(fork());
        if (!pid) {
            OK(unshare(CLONE_NEWUSER));
            OK(put("/proc/self/uid_map", "42 1000 1"));
            CHECK_EQ(getuid(), 42);
            OK(write(s[1], &byte, 1));
            _exit(0);
        }
        struct iovec iov = {&byte, 1};
        struct msghdr m = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof(control)};
        OK(recvmsg(s[0], &m, 0));
        struct ucred c;
        memcpy(&c, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(c));
        CHECK_EQ(c.uid, 1000);
        int st;
        OK(waitpid(pid, &st, 0));
        CHECK_EQ(st, 0);
    });
}

static void exec_drops_what_nobody_maps(void)
{
    AS(1000, {
        OK(unshare(CLONE_NEWUSER));
        /* Unmapped: exec keeps no capabilities. */
        execl("/bin/sh", "sh", "-c",
              "grep -q '^CapEff:.*0000000000000000$' /proc/self/status && exit 0; exit 7", NULL);
        _exit(9);
    });
    AS(1000, {
        OK(unshare(CLONE_NEWUSER));
        OK(put("/proc/self/uid_map", "0 1000 1"));
        execl("/bin/sh", "sh", "-c",
              "grep -q '^CapEff:.*0000000000000000$' /proc/self/status && exit 7; exit 0", NULL);
        _exit(9);
    });
}

static void limits_are_kept(void)
{
    if (geteuid())
        SKIP("needs root");
    char old[64];
    if (access("/proc/sys/user/max_uts_namespaces", W_OK))
        SKIP("the limits cannot be set");
    get("/proc/sys/user/max_uts_namespaces", old, sizeof(old));
    CHECK(atoi(old) > 0);
    pid_t pid = OK(fork());
    if (!pid) {
        g_main_pid = -1;
        OK(unshare(CLONE_NEWUSER)); /* the limits of a new one, where that has its own */
        OK(put("/proc/self/setgroups", "deny"));
        _exit(unshare(CLONE_NEWUTS) ? 1 : 0);
    }
    int st;
    OK(waitpid(pid, &st, 0));
    CHECK_EQ(st, 0);
}

static void setns_into_a_user_namespace(void)
{
    if (geteuid())
        SKIP("needs root");
    int up[2], go[2];
    char c, path[64];
    OK(pipe(up));
    OK(pipe(go));
    pid_t pid = OK(fork());
    if (!pid) {
        OK(unshare(CLONE_NEWUSER));
        OK(write(up[1], "x", 1));
        OK(read(go[0], &c, 1));
        _exit(0);
    }
    OK(read(up[0], &c, 1));
    snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
    int ns = OK(open(path, O_RDONLY)), own = OK(open("/proc/self/ns/user", O_RDONLY));
    pid_t other = OK(fork());
    if (!other) {
        g_main_pid = -1;
        CHECK_ERR(setns(own, CLONE_NEWUSER), EINVAL); /* there already */
        OK(setns(ns, CLONE_NEWUSER));
        CHECK_EQ(getuid(), 65534);
        CHECK(caps() & (1ull << CAP_SYS_ADMIN));
        CHECK_ERR(setns(own, CLONE_NEWUSER), EPERM); /* and no way back */
        _exit(0);
    }
    int st;
    CHECK_EQ(waitpid(other, &st, 0), other);
    CHECK_EQ(st, 0);
    OK(write(go[1], "x", 1));
    OK(waitpid(pid, &st, 0));
}

GUEST_MAIN(C(anyone_may_make_one), C(one_may_map_oneself), C(maps_are_checked), C(root_maps_ranges),
           C(capabilities_stay_inside), C(mounts_in_a_user_namespace), C(all_at_once),
           C(signals_across), C(credentials_are_mapped), C(exec_drops_what_nobody_maps),
           C(setns_into_a_user_namespace), C(limits_are_kept))
