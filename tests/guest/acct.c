/* acct(2): records of processes that end. syslog(2): errors. */
#include "guest.h"

#include <sys/acct.h>
#include <sys/klog.h>

static void acct_errors(void)
{
    CHECK_ERR(acct("/nonexistent/file"), ENOENT);
    CHECK_ERR(acct("/tmp"), EISDIR);
    CHECK_ERR(acct("/dev/null"), EACCES);
    CHECK_ERR(acct((char *)8), EFAULT);
    write_file("f", "", 0);
    CHECK_ERR(acct("f/x"), ENOTDIR);
    IN_CHILD(OK(setresuid(1000, 1000, 1000)); CHECK_ERR(acct(NULL), EPERM);
             CHECK_ERR(acct("/nonexistent"), EPERM));
}

static bool find(int fd, pid_t pid, struct acct_v3 *a)
{
    OK(lseek(fd, 0, SEEK_SET));
    while (read(fd, a, sizeof(*a)) == sizeof(*a))
        if (a->ac_pid == (uint32_t)pid)
            return true;
    return false;
}

static void records(void)
{
    struct acct_v3 a;
    time_t begin = time(NULL);
    write_file("log", "", 0);
    OK(acct("log"));
    pid_t plain = OK(fork());
    if (!plain)
        _exit(3);
    WAIT_EXIT(plain, 3);
    pid_t program = OK(fork());
    if (!program) {
        execl("/bin/true", "true", NULL);
        _exit(9);
    }
    WAIT_EXIT(program, 0);
    pid_t killed = OK(fork());
    if (!killed)
        raise(SIGKILL);
    WAIT_SIGNAL(killed, SIGKILL);
    OK(acct(NULL));
    int fd = OK(open("log", O_RDONLY));
    CHECK(find(fd, plain, &a));
    CHECK_EQ(a.ac_version, 3);
    CHECK_EQ(a.ac_exitcode, 3 << 8);
    CHECK_EQ(a.ac_flag & AFORK, AFORK);
    CHECK_EQ(a.ac_ppid, getpid());
    CHECK_EQ(a.ac_uid, 0);
    CHECK_STR(a.ac_comm, "acct");
    CHECK(a.ac_btime >= begin - 2 && a.ac_btime <= begin + 60);
    CHECK(find(fd, program, &a));
    CHECK_EQ(a.ac_flag & AFORK, 0);
    CHECK_STR(a.ac_comm, "true");
    CHECK(find(fd, killed, &a));
    CHECK_EQ(a.ac_exitcode, SIGKILL);
    CHECK_EQ(a.ac_flag & AXSIG, AXSIG);
    close(fd);
}

static void log_errors(void)
{
    char buf[64];
    CHECK_ERR(klogctl(-1, buf, 1), EINVAL);
    CHECK_ERR(klogctl(11, buf, 1), EINVAL);
    CHECK_ERR(klogctl(2, NULL, 1), EINVAL);
    CHECK_ERR(klogctl(3, buf, -1), EINVAL);
    CHECK_ERR(klogctl(4, NULL, 1), EINVAL);
    CHECK_EQ(OK(klogctl(3, buf, 0)), 0);
    CHECK_ERR(klogctl(8, NULL, 0), EINVAL);
    CHECK_ERR(klogctl(8, NULL, 9), EINVAL);
    CHECK(OK(klogctl(9, NULL, 0)) >= 0);
    CHECK(OK(klogctl(10, NULL, 0)) > 0);
    IN_CHILD(OK(setresuid(1000, 1000, 1000)); CHECK_ERR(klogctl(2, buf, 1), EPERM);
             CHECK_ERR(klogctl(8, NULL, 7), EPERM); CHECK_ERR(klogctl(99, NULL, 0), EPERM));
}

GUEST_MAIN(C(acct_errors), C(records), C(log_errors))
