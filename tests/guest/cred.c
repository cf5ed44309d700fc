/* User and group ids, capabilities, prctl, no_new_privs, personality, securebits. */
#include "guest.h"
#include <sys/resource.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/personality.h>
#include <sys/prctl.h>

static void ids_of_root(void)
{
    uid_t r, e, s;
    CHECK_EQ(getuid(), 0);
    OK(getresuid(&r, &e, &s));
    CHECK(r == 0 && e == 0 && s == 0);
}

static void setuid_drops_all_for_root(void)
{
    IN_CHILD({
        uid_t r, e, s;
        OK(setuid(1000));
        OK(getresuid(&r, &e, &s));
        CHECK(r == 1000 && e == 1000 && s == 1000);
        CHECK_ERR(setuid(0), EPERM);
        CHECK_ERR(seteuid(0), EPERM);
        CHECK_ERR(setresuid(-1, -1, 0), EPERM);
        OK(setresuid(-1, -1, -1));
    });
}

static void seteuid_comes_back(void)
{
    IN_CHILD({
        OK(seteuid(1000));
        CHECK_EQ(geteuid(), 1000);
        CHECK_EQ(getuid(), 0);
        CHECK_ERR(chroot("/"), EPERM);
        OK(seteuid(0));
        OK(setresuid(1, 2, 3));
        uid_t r, e, s;
        getresuid(&r, &e, &s);
        CHECK(r == 1 && e == 2 && s == 3);
        OK(setresuid(3, 1, 2));
        CHECK_ERR(setresuid(5, -1, -1), EPERM);
    });
}

static void reuid_rules(void)
{
    IN_CHILD({
        uid_t r, e, s;
        OK(setreuid(1000, 2000));
        getresuid(&r, &e, &s);
        CHECK(r == 1000 && e == 2000 && s == 2000);
        OK(setreuid(-1, 1000));
        OK(setreuid(2000, -1) == 0 ? 0 : (errno == EPERM ? 0 : -1));
    });
}

static void groups(void)
{
    IN_CHILD({
        gid_t in[3] = {30, 10, 20}, out[8], r, e, s;
        OK(syscall(SYS_setgroups, 3, in));
        CHECK_EQ(getgroups(0, NULL), 3);
        CHECK_EQ(getgroups(8, out), 3);
        CHECK_ERR(getgroups(2, out), EINVAL);
        CHECK_ERR(getgroups(-1, out), EINVAL);
        CHECK_ERR(syscall(SYS_setgroups, 65537, in), EINVAL);
        CHECK_ERR(syscall(SYS_setgroups, 3, 8L), EFAULT);
        OK(setresgid(5, 6, 7));
        getresgid(&r, &e, &s);
        CHECK(r == 5 && e == 6 && s == 7);
        OK(setuid(1000));
        CHECK_ERR(syscall(SYS_setgroups, 0, NULL), EPERM);
        CHECK_ERR(setgid(0), EPERM);
        OK(setgid(7));
    });
}

static void many_groups(void)
{
    enum { MANY = 65536 };
    static gid_t in[MANY], out[MANY];
    IN_CHILD({
        for (unsigned i = 0; i < MANY; i++)
            in[i] = (i * 40503u) % MANY; /* each number once, in no order */
        OK(syscall(SYS_setgroups, MANY, in));
        CHECK_EQ(getgroups(MANY, out), MANY);
        for (unsigned i = 0; i < MANY; i++)
            CHECK_EQ(out[i], i);
    });
}

static void fsuid(void)
{
    IN_CHILD({
        CHECK_EQ(syscall(SYS_setfsuid, -1), 0);
        CHECK_EQ(syscall(SYS_setfsuid, 1000), 0);
        CHECK_EQ(syscall(SYS_setfsuid, -1), 1000);
        write_file("/tmp/rf_fsuid", "", 0);
        struct stat st;
        OK(stat("/tmp/rf_fsuid", &st));
        unlink("/tmp/rf_fsuid");
        CHECK_EQ(st.st_uid, 1000);
    });
}

static struct __user_cap_data_struct g_caps[2];

static void get_caps(void)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    OK(syscall(SYS_capget, &h, g_caps));
}

static void capabilities_follow_ids(void)
{
    IN_CHILD({
        get_caps();
        CHECK(g_caps[0].effective & 1u << CAP_SETUID);
        OK(seteuid(1000));
        get_caps();
        CHECK_EQ(g_caps[0].effective, 0);
        CHECK(g_caps[0].permitted != 0);
        OK(seteuid(0));
        get_caps();
        CHECK(g_caps[0].effective != 0);
        OK(setresuid(1000, 1000, 1000));
        get_caps();
        CHECK_EQ(g_caps[0].permitted, 0);
    });
}

static void keepcaps(void)
{
    IN_CHILD({
        OK(prctl(PR_SET_KEEPCAPS, 1));
        OK(setresuid(1000, 1000, 1000));
        get_caps();
        CHECK(g_caps[0].permitted != 0);
        CHECK_EQ(g_caps[0].effective, 0);
        struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
        g_caps[0].effective = g_caps[0].permitted;
        OK(syscall(SYS_capset, &h, g_caps));
        OK(chroot("/"));
    });
}

static void capset_errors(void)
{
    IN_CHILD({
        struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
        get_caps();
        g_caps[0].permitted &= ~(1u << CAP_CHOWN), g_caps[0].effective &= ~(1u << CAP_CHOWN);
        OK(syscall(SYS_capset, &h, g_caps));
        g_caps[0].permitted |= 1u << CAP_CHOWN;
        CHECK_ERR(syscall(SYS_capset, &h, g_caps), EPERM);
        write_file("/tmp/rf_cap", "", 0);
        int r = chown("/tmp/rf_cap", 5, 5), e = errno;
        unlink("/tmp/rf_cap");
        CHECK(r == -1 && e == EPERM);
        h.version = 0x1234;
        CHECK_ERR(syscall(SYS_capset, &h, g_caps), EINVAL);
        CHECK_EQ(h.version, _LINUX_CAPABILITY_VERSION_3); /* the preferred one is written back */
        h.pid = 7654321;
        CHECK_ERR(syscall(SYS_capget, &h, g_caps), ESRCH);
        h.pid = 1;
        CHECK_ERR(syscall(SYS_capset, &h, g_caps), EPERM);
    });
}

static void bounding_set(void)
{
    IN_CHILD({
        CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
        OK(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
        CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
        CHECK_ERR(prctl(PR_CAPBSET_READ, 99), EINVAL);
        CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 0);
        OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    });
}

static void securebits(void)
{
    IN_CHILD({
        CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
        OK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
        OK(setresuid(1000, 1000, 1000));
        get_caps();
        CHECK(g_caps[0].effective != 0);
    });
}

static void no_new_privs(void)
{
    IN_CHILD({
        CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
        CHECK_ERR(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0), EINVAL);
        OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
        CHECK_ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
        pid_t p = OK(fork());
        if (!p)
            _exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
        WAIT_EXIT(p, 1);
    });
}

static void prctl_values(void)
{
    char name[16];
    int x = -1;
    OK(prctl(PR_SET_NAME, "a_very_long_name_for_it"));
    OK(prctl(PR_GET_NAME, name));
    CHECK_STR(name, "a_very_long_nam");
    IN_CHILD({
        CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
        OK(prctl(PR_SET_DUMPABLE, 0));
        CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
        CHECK_ERR(prctl(PR_SET_DUMPABLE, 2), EINVAL);
    });
    OK(prctl(PR_SET_PDEATHSIG, SIGUSR2));
    OK(prctl(PR_GET_PDEATHSIG, &x));
    CHECK_EQ(x, SIGUSR2);
    OK(prctl(PR_SET_PDEATHSIG, 0));
    CHECK_ERR(prctl(PR_SET_PDEATHSIG, 99), EINVAL);
    CHECK_ERR(prctl(0x12345678, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(prctl(PR_SET_NAME, 8L), EFAULT);
    CHECK(prctl(PR_GET_TIMERSLACK) > 0);
    OK(prctl(PR_GET_CHILD_SUBREAPER, &x));
    CHECK_EQ(x, 0);
}

static void personality_value(void)
{
    CHECK_EQ(personality(0xffffffff), 0);
    IN_CHILD({
        OK(personality(ADDR_NO_RANDOMIZE));
        CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
    });
}

static void root_only_calls(void)
{
    IN_CHILD({
        OK(setresuid(1000, 1000, 1000));
        CHECK_ERR(sethostname("x", 1), EPERM);
        CHECK_ERR(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL), EPERM);
        CHECK_ERR(syscall(SYS_umount2, "/tmp", 0), EPERM);
        CHECK_ERR(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, 0), EPERM);
        CHECK_ERR(syscall(SYS_swapon, "x", 0), EPERM);
        CHECK_ERR(syscall(SYS_pivot_root, "/", "/"), EPERM);
        CHECK_ERR(syscall(SYS_acct, "x"), EPERM);
        CHECK_ERR(nice(-5) == -1 && errno == EPERM ? (errno = EPERM, -1) : 0, EPERM);
    });
}

static void bad_ids(void)
{
    CHECK_ERR(setuid(-1), EINVAL);
    CHECK_ERR(seteuid(-1), EINVAL);
    CHECK_ERR(setgid(-1), EINVAL);
    CHECK_ERR(syscall(SYS_getresuid, 8L, 8L, 8L), EFAULT);
}

/* set*uid does not fail for RLIMIT_NPROC; the execve that follows does. */
static void too_many_processes_at_exec(void)
{
    const uid_t uid = 54321;
    pid_t other = OK(fork());
    if (!other) {
        setresuid(uid, uid, uid);
        for (;;)
            pause();
    }
    char path[64];
    struct stat st = {0};
    snprintf(path, sizeof(path), "/proc/%d", other);
    while (st.st_uid != uid)
        OK(stat(path, &st));
    pid_t pid = OK(fork());
    if (!pid) {
        struct rlimit r = {0, 0};
        setrlimit(RLIMIT_NPROC, &r);
        setresuid(uid, uid, uid);
        execl("/bin/true", "true", NULL);
        _exit(errno == EAGAIN ? 42 : 1);
    }
    WAIT_EXIT(pid, 42);
    OK(kill(other, SIGKILL));
    WAIT_SIGNAL(other, SIGKILL);
}

GUEST_MAIN(C(ids_of_root), C(setuid_drops_all_for_root), C(seteuid_comes_back), C(reuid_rules), C(groups), C(many_groups), C(fsuid),
           C(capabilities_follow_ids), C(keepcaps), C(capset_errors), C(bounding_set), C(securebits), C(no_new_privs),
           C(prctl_values), C(personality_value), C(root_only_calls), C(bad_ids), C(too_many_processes_at_exec))
