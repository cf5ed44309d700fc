/* File capabilities: security.capability as execve applies it and as writers take it away. */
#include "guest.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/xattr.h>

#define NET_RAW  (1ull << CAP_NET_RAW)
#define DAC_READ (1ull << CAP_DAC_READ_SEARCH)

struct caps {
    uint32_t magic, p0, i0, p1, i1, root;
};

static int give(const char *file, int version, uint64_t permitted, uint64_t inheritable, int eff)
{
    struct caps c = {(uint32_t)version << 24 | eff, permitted, inheritable, permitted >> 32,
                     inheritable >> 32, 0};
    return setxattr(file, "security.capability", &c, version == 1 ? 12 : version == 2 ? 20 : 24, 0);
}

static void become(int uid)
{
    OK(setgroups(0, NULL));
    OK(setresgid(uid, uid, uid));
    OK(setresuid(uid, uid, uid));
}

/* Runs ./prog, a copy of cat, as uid, and says what capabilities it had: permitted, effective. */
static int run(int uid, uint64_t caps[2], bool no_new_privs)
{
    char buf[8192];
    int p[2], st, n = 0;
    OK(pipe(p));
    pid_t pid = OK(fork());
    if (!pid) {
        if (no_new_privs)
            OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        if (uid)
            become(uid);
        dup2(p[1], 1);
        execl("./prog", "prog", "/proc/self/status", NULL);
        _exit(errno == EPERM ? 99 : 98);
    }
    close(p[1]);
    for (ssize_t r; (r = read(p[0], buf + n, sizeof(buf) - 1 - n)) > 0; n += r)
        ;
    buf[n] = 0;
    close(p[0]);
    st = guest_wait(pid, __LINE__);
    CHECK(WIFEXITED(st));
    if (WEXITSTATUS(st))
        return WEXITSTATUS(st);
    caps[0] = strtoull(strstr(buf, "CapPrm:") + 7, NULL, 16);
    caps[1] = strtoull(strstr(buf, "CapEff:") + 7, NULL, 16);
    return 0;
}

static void copy_cat(void)
{
    OK(chmod(".", 0755));
    CHECK_EQ(system("cp /bin/cat prog && chmod 755 prog"), 0);
}

static void applied(void)
{
    uint64_t caps[2];
    copy_cat();
    CHECK_EQ(run(1000, caps, false), 0);
    CHECK_EQ(caps[0] | caps[1], 0);
    OK(give("prog", 2, NET_RAW | DAC_READ, 0, 1));
    CHECK_EQ(run(1000, caps, false), 0);
    CHECK_EQ(caps[0], NET_RAW | DAC_READ);
    CHECK_EQ(caps[1], NET_RAW | DAC_READ);
    OK(give("prog", 2, NET_RAW, 0, 0));
    CHECK_EQ(run(1000, caps, false), 0);
    CHECK_EQ(caps[0], NET_RAW);
    CHECK_EQ(caps[1], 0);
    OK(give("prog", 3, NET_RAW, 0, 1));
    CHECK_EQ(run(1000, caps, false), 0);
    CHECK_EQ(caps[1], NET_RAW);
    OK(give("prog", 2, 0, NET_RAW, 1)); /* inheritable: nothing to inherit from */
    CHECK_EQ(run(1000, caps, false), 0);
    CHECK_EQ(caps[0] | caps[1], 0);
    OK(removexattr("prog", "security.capability"));
    CHECK_EQ(run(1000, caps, false), 0);
    CHECK_EQ(caps[0] | caps[1], 0);
}

static void not_applied(void)
{
    uint64_t caps[2];
    copy_cat();
    OK(give("prog", 2, NET_RAW, 0, 1));
    CHECK_EQ(run(1000, caps, true), 0);
    CHECK_EQ(caps[0] | caps[1], 0);
    CHECK_EQ(run(0, caps, false), 0); /* root has it all in any case */
    CHECK(caps[1] & (1ull << CAP_CHOWN));
}

static void beyond_the_bounding_set(void)
{
    uint64_t caps[2];
    copy_cat();
    OK(give("prog", 2, NET_RAW, 0, 1));
    IN_CHILD(OK(prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0)); CHECK_EQ(run(1000, caps, false), 99);
             OK(give("prog", 2, NET_RAW, 0, 0)); CHECK_EQ(run(1000, caps, false), 0);
             CHECK_EQ(caps[0], 0));
}

static void taken_by_writers(void)
{
    char buf[64];
    copy_cat();
    OK(give("prog", 2, NET_RAW, 0, 1));
    CHECK_EQ(OK(getxattr("prog", "security.capability", buf, sizeof(buf))), 20);
    int fd = OK(open("prog", O_WRONLY | O_APPEND));
    CHECK_EQ(OK(getxattr("prog", "security.capability", buf, sizeof(buf))), 20);
    OK(write(fd, "x", 1));
    CHECK_ERR(getxattr("prog", "security.capability", buf, sizeof(buf)), ENODATA);
    OK(give("prog", 2, NET_RAW, 0, 1));
    OK(chown("prog", 0, 0));
    CHECK_ERR(getxattr("prog", "security.capability", buf, sizeof(buf)), ENODATA);
    OK(give("prog", 2, NET_RAW, 0, 1));
    OK(chmod("prog", 0755));
    OK(getxattr("prog", "security.capability", buf, sizeof(buf)));
    OK(truncate("prog", 10));
    CHECK_ERR(getxattr("prog", "security.capability", buf, sizeof(buf)), ENODATA);
}

static void who_may_set(void)
{
    write_file("prog", "x", 1);
    OK(chown("prog", 1000, 1000));
    IN_CHILD(become(1000); CHECK_ERR(give("prog", 2, NET_RAW, 0, 1), EPERM));
    CHECK_ERR(setxattr("prog", "security.capability", "12345", 5, 0), EINVAL);
}

GUEST_MAIN(C(applied), C(not_applied), C(beyond_the_bounding_set), C(taken_by_writers), C(who_may_set))
