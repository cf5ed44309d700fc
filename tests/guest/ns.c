/* namespaces(7) but for PID numbers (pidns.c) and mounts (mntns.c): UTS, IPC, unshare, setns, the
 * files of /proc/PID/ns and their ioctls. */
#include "guest.h"

#include <limits.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

static void need_root(void)
{
    if (geteuid() != 0)
        SKIP("needs root");
}

static void reap(pid_t pid)
{
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK(WIFEXITED(st));
    CHECK_EQ(WEXITSTATUS(st), 0);
}

#define ASIDE(...)                                                                                 \
    do {                                                                                           \
        pid_t p_ = OK(fork());                                                                     \
        if (!p_) {                                                                                 \
            g_main_pid = -1;                                                                       \
            __VA_ARGS__;                                                                           \
            _exit(0);                                                                              \
        }                                                                                          \
        reap(p_);                                                                                  \
    } while (0)

static void uts_is_private(void)
{
    need_root();
    struct utsname before, u;
    OK(uname(&before));
    ASIDE({
        OK(unshare(CLONE_NEWUTS));
        OK(uname(&u));
        CHECK(!strcmp(u.nodename, before.nodename)); /* a copy at first */
        OK(sethostname("inner", 5));
        OK(setdomainname("inner.example", 13));
        OK(uname(&u));
        CHECK(!strcmp(u.nodename, "inner"));
        CHECK(!strcmp(u.domainname, "inner.example"));
        char text[64] = "";
        int fd = OK(open("/proc/sys/kernel/hostname", O_RDONLY));
        OK(read(fd, text, sizeof(text) - 1));
        CHECK(!strcmp(text, "inner\n"));
    });
    OK(uname(&u));
    CHECK(!strcmp(u.nodename, before.nodename));
    CHECK(!strcmp(u.domainname, before.domainname));
}

static void ipc_is_private(void)
{
    need_root();
    key_t key = 0x52460001;
    int shm = OK(shmget(key, 4096, IPC_CREAT | 0600)), q = OK(msgget(key, IPC_CREAT | 0600));
    int sem = OK(semget(key, 1, IPC_CREAT | 0600));
    mqd_t mq = mq_open("/rf-ns-test", O_RDWR | O_CREAT, 0600, NULL);
    CHECK(mq >= 0);
    ASIDE({
        OK(unshare(CLONE_NEWIPC));
        CHECK_ERR(shmget(key, 4096, 0), ENOENT);
        CHECK_ERR(msgget(key, 0), ENOENT);
        CHECK_ERR(semget(key, 1, 0), ENOENT);
        CHECK_ERR(shmctl(shm, IPC_RMID, NULL), EINVAL);
        CHECK_EQ(mq_open("/rf-ns-test", O_RDWR), -1);
        CHECK_EQ(errno, ENOENT);
        struct mq_attr a;
        OK(mq_getattr(mq, &a)); /* a descriptor stays good */
        int mine = OK(shmget(key, 8192, IPC_CREAT | IPC_EXCL | 0600));
        char *at = shmat(mine, NULL, 0);
        CHECK(at != (void *)-1);
        at[0] = 'x';
        CHECK_EQ(OK(semget(key, 1, IPC_CREAT | 0600)) >= 0, 1);
    });
    struct shmid_ds ds;
    OK(shmctl(shm, IPC_STAT, &ds));
    CHECK_EQ(ds.shm_segsz, 4096);
    OK(shmctl(shm, IPC_RMID, NULL));
    OK(msgctl(q, IPC_RMID, NULL));
    OK(semctl(sem, 0, IPC_RMID));
    OK(mq_close(mq));
    OK(mq_unlink("/rf-ns-test"));
}

static ino_t ns_ino(const char *name)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    OK(stat(path, &st));
    return st.st_ino;
}

static void links_name_the_namespace(void)
{
    static const char *const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64], link[64] = "", want[64];
        snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        OK(readlink(path, link, sizeof(link) - 1));
        snprintf(want, sizeof(want), "%s:[%lu]", names[i], (unsigned long)ns_ino(names[i]));
        CHECK(!strcmp(link, want));
        int fd = OK(open(path, O_RDONLY));
        struct statfs fs;
        OK(fstatfs(fd, &fs));
        CHECK_EQ(fs.f_type, 0x6e736673);
        char self[64];
        snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        memset(link, 0, sizeof(link));
        OK(readlink(self, link, sizeof(link) - 1));
        CHECK(!strcmp(link, want));
        char byte;
        CHECK_ERR(read(fd, &byte, 1), EINVAL);
        close(fd);
    }
}

static void unshare_gives_new_identities(void)
{
    need_root();
    static const struct {
        int flag;
        const char *name;
    } kinds[] = {{CLONE_NEWUTS, "uts"}, {CLONE_NEWIPC, "ipc"},       {CLONE_NEWNS, "mnt"},
                 {CLONE_NEWNET, "net"}, {CLONE_NEWCGROUP, "cgroup"}, {CLONE_NEWUSER, "user"}};
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        ASIDE({
            ino_t before = ns_ino(kinds[i].name);
            OK(unshare(kinds[i].flag));
            CHECK(ns_ino(kinds[i].name) != before);
        });
    ASIDE({
        ino_t before = ns_ino("pid");
        OK(unshare(CLONE_NEWPID));
        CHECK_EQ(ns_ino("pid"), before); /* for the children only */
    });
}

static void ioctls_tell_relations(void)
{
    need_root();
    int uts = OK(open("/proc/self/ns/uts", O_RDONLY));
    int pid = OK(open("/proc/self/ns/pid", O_RDONLY));
    CHECK_EQ(OK(ioctl(uts, NS_GET_NSTYPE)), CLONE_NEWUTS);
    CHECK_EQ(OK(ioctl(pid, NS_GET_NSTYPE)), CLONE_NEWPID);
    CHECK_ERR(ioctl(uts, NS_GET_PARENT), EINVAL);
    uid_t uid = 77;
    CHECK_ERR(ioctl(uts, NS_GET_OWNER_UID, &uid), EINVAL);
    CHECK_ERR(ioctl(uts, 0x1234), ENOTTY);
    int user = OK(ioctl(uts, NS_GET_USERNS));
    struct stat a, b;
    OK(fstat(user, &a));
    OK(stat("/proc/self/ns/user", &b));
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(a.st_dev, b.st_dev);
    CHECK_EQ(OK(ioctl(user, NS_GET_NSTYPE)), CLONE_NEWUSER);
    ASIDE({
        OK(unshare(CLONE_NEWUSER));
        int mine = OK(open("/proc/self/ns/user", O_RDONLY));
        OK(ioctl(mine, NS_GET_OWNER_UID, &uid));
        CHECK_ERR(ioctl(mine, NS_GET_PARENT), EPERM); /* above one's own: not shown */
        CHECK_ERR(ioctl(uts, NS_GET_USERNS), EPERM);
    });
}

static void setns_goes_back(void)
{
    need_root();
    struct utsname u;
    ASIDE({
        int home = OK(open("/proc/self/ns/uts", O_RDONLY));
        ino_t ino = ns_ino("uts");
        OK(unshare(CLONE_NEWUTS));
        OK(sethostname("away", 4));
        CHECK_ERR(setns(home, CLONE_NEWIPC), EINVAL);
        OK(setns(home, 0));
        CHECK_EQ(ns_ino("uts"), ino);
        OK(uname(&u));
        CHECK(strcmp(u.nodename, "away"));
        OK(setns(home, CLONE_NEWUTS));
        CHECK_ERR(setns(-1, 0), EBADF);
        int file = OK(open("/proc/self/status", O_RDONLY));
        CHECK_ERR(setns(file, 0), EINVAL);
        OK(setresuid(1000, 1000, 1000));
        CHECK_ERR(setns(home, 0), EPERM);
    });
}

static void setns_by_pidfd(void)
{
    need_root();
    int up[2], go[2];
    char c;
    OK(pipe(up));
    OK(pipe(go));
    pid_t other = OK(fork());
    if (!other) {
        OK(unshare(CLONE_NEWUTS | CLONE_NEWIPC));
        OK(sethostname("other", 5));
        OK(write(up[1], "x", 1));
        OK(read(go[0], &c, 1));
        _exit(0);
    }
    OK(read(up[0], &c, 1));
    int pidfd = OK(syscall(SYS_pidfd_open, other, 0));
    ASIDE({
        struct utsname u;
        CHECK_ERR(setns(pidfd, 0), EINVAL);
        CHECK_ERR(setns(pidfd, CLONE_NEWUTS | CLONE_THREAD), EINVAL);
        OK(setns(pidfd, CLONE_NEWUTS | CLONE_NEWIPC));
        OK(uname(&u));
        CHECK(!strcmp(u.nodename, "other"));
    });
    OK(write(go[1], "x", 1));
    reap(other);
    CHECK_ERR(setns(pidfd, CLONE_NEWUTS), ESRCH);
}

static void setns_into_a_pid_namespace(void)
{
    need_root();
    int up[2], go[2];
    char c;
    OK(pipe(up));
    OK(pipe(go));
    struct clone_args a = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
    pid_t init = OK(syscall(SYS_clone3, &a, sizeof(a)));
    if (!init) {
        OK(read(go[0], &c, 1));
        _exit(0);
    }
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", init);
    int ns = OK(open(path, O_RDONLY)), home = OK(open("/proc/self/ns/pid", O_RDONLY));
    ASIDE({
        pid_t me = getpid();
        OK(setns(ns, CLONE_NEWPID));
        CHECK_EQ(getpid(), me);
        pid_t kid = OK(fork());
        if (!kid) {
            CHECK_EQ(getpid(), 2);
            CHECK_EQ(getppid(), 0);
            CHECK_ERR(setns(home, CLONE_NEWPID), EINVAL); /* never upwards */
            _exit(0);
        }
        reap(kid);
    });
    OK(write(go[1], "x", 1));
    reap(init);
    ASIDE({
        OK(setns(ns, CLONE_NEWPID)); /* dead, but it can be entered */
        CHECK_ERR(fork(), ENOMEM);
    });
}

static void setns_into_a_mount_namespace(void)
{
    need_root();
    int up[2], go[2];
    char c;
    char here[PATH_MAX], place[PATH_MAX + 8];
    OK(pipe(up));
    OK(pipe(go));
    CHECK(getcwd(here, sizeof(here)));
    OK(mkdir("m", 0755));
    snprintf(place, sizeof(place), "%s/m", here);
    pid_t other = OK(fork());
    if (!other) {
        OK(unshare(CLONE_NEWNS));
        OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        OK(mount("t", "m", "tmpfs", 0, NULL));
        close(OK(open("m/inside", O_CREAT | O_WRONLY, 0600)));
        OK(write(up[1], "x", 1));
        OK(read(go[0], &c, 1));
        _exit(0);
    }
    OK(read(up[0], &c, 1));
    snprintf(here, sizeof(here), "/proc/%d/ns/mnt", other);
    int ns = OK(open(here, O_RDONLY));
    CHECK_ERR(access("m/inside", F_OK), ENOENT);
    ASIDE({
        OK(setns(ns, CLONE_NEWNS));
        CHECK(getcwd(here, sizeof(here)));
        CHECK(!strcmp(here, "/"));
        OK(chdir(place));
        OK(access("inside", F_OK));
    });
    OK(write(go[1], "x", 1));
    reap(other);
}

static void a_bound_namespace_lives_on(void)
{
    need_root();
    ASIDE({
        OK(unshare(CLONE_NEWNS));
        OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        close(OK(open("pin", O_CREAT | O_WRONLY, 0600)));
        ASIDE({
            OK(unshare(CLONE_NEWUTS));
            OK(sethostname("pinned", 6));
            OK(mount("/proc/self/ns/uts", "pin", NULL, MS_BIND, NULL));
        });
        int fd = OK(open("pin", O_RDONLY));
        OK(setns(fd, CLONE_NEWUTS));
        struct utsname u;
        OK(uname(&u));
        CHECK(!strcmp(u.nodename, "pinned"));
        close(fd);
        OK(umount("pin"));
    });
}

static void unshare_refuses(void)
{
    CHECK_ERR(unshare(0x1), EINVAL);
    OK(unshare(0));
    OK(unshare(CLONE_FS | CLONE_FILES));
    need_root();
    ASIDE({
        OK(setresuid(1000, 1000, 1000));
        CHECK_ERR(unshare(CLONE_NEWUTS), EPERM);
        CHECK_ERR(unshare(CLONE_NEWIPC), EPERM);
        CHECK_ERR(unshare(CLONE_NEWNS), EPERM);
        CHECK_ERR(unshare(CLONE_NEWNET), EPERM);
        CHECK_ERR(unshare(CLONE_NEWCGROUP), EPERM);
    });
}

GUEST_MAIN(C(uts_is_private), C(ipc_is_private), C(links_name_the_namespace),
           C(unshare_gives_new_identities), C(ioctls_tell_relations), C(setns_goes_back),
           C(setns_by_pidfd), C(setns_into_a_pid_namespace), C(setns_into_a_mount_namespace),
           C(a_bound_namespace_lives_on), C(unshare_refuses))
