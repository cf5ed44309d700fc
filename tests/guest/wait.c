/* wait4(2), waitid(2), process groups and what they report. */
#include "guest.h"
#include <sys/prctl.h>
#include <sys/resource.h>

static pid_t child_that_exits(int code)
{
    pid_t p = OK(fork());
    if (!p)
        _exit(code);
    return p;
}

static pid_t child_that_sleeps(void)
{
    pid_t p = OK(fork());
    if (!p)
        for (prctl(PR_SET_PDEATHSIG, SIGKILL);;)
            pause();
    return p;
}

static void no_children(void)
{
    CHECK_ERR(wait(NULL), ECHILD);
    CHECK_ERR(waitpid(1234567, NULL, 0), ECHILD);
    siginfo_t si;
    CHECK_ERR(waitid(P_ALL, 0, &si, WEXITED), ECHILD);
}

static void bad_options(void)
{
    siginfo_t si;
    CHECK_ERR(waitpid(-1, NULL, 0x100000), EINVAL);
    CHECK_ERR(waitid(P_ALL, 0, &si, 0), EINVAL);
    CHECK_ERR(waitid(P_ALL, 0, &si, WNOHANG), EINVAL);
    CHECK_ERR(waitid(77, 0, &si, WEXITED), EINVAL);
    CHECK_ERR(waitid(P_PID, -1, &si, WEXITED), EINVAL);
    CHECK_ERR(syscall(SYS_wait4, (long)(int)0x80000000, 0, 0, 0), ESRCH);
}

static void wnohang(void)
{
    pid_t p = child_that_sleeps();
    int st = 77;
    CHECK_EQ(waitpid(p, &st, WNOHANG), 0);
    CHECK_EQ(st, 77);
    siginfo_t si;
    memset(&si, 0x55, sizeof(si));
    CHECK_EQ(waitid(P_PID, p, &si, WEXITED | WNOHANG), 0);
    CHECK_EQ(si.si_pid, 0);
    CHECK_EQ(si.si_signo, 0);
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
}

static void by_pid_and_any(void)
{
    pid_t a = child_that_exits(1), b = child_that_exits(2);
    int st;
    CHECK_EQ(OK(waitpid(b, &st, 0)), b);
    CHECK_EQ(WEXITSTATUS(st), 2);
    CHECK_EQ(OK(waitpid(-1, &st, 0)), a);
    CHECK_EQ(WEXITSTATUS(st), 1);
}

static void by_group(void)
{
    int fds[2];
    OK(pipe(fds));
    pid_t a = OK(fork());
    if (!a) {
        char c;
        close(fds[1]);
        _exit(read(fds[0], &c, 1) != 0);
    }
    OK(setpgid(a, a));
    pid_t b = child_that_exits(4);
    int st;
    CHECK_EQ(OK(waitpid(0, &st, 0)), b); /* our own group */
    CHECK_ERR(waitpid(0, &st, 0), ECHILD);
    CHECK_EQ(waitpid(-a, &st, WNOHANG), 0);
    close(fds[1]);
    CHECK_EQ(OK(waitpid(-a, &st, 0)), a);
    close(fds[0]);
}

static void waitid_exited(void)
{
    pid_t p = child_that_exits(7);
    siginfo_t si = {0};
    OK(waitid(P_PID, p, &si, WEXITED));
    CHECK_EQ(si.si_signo, SIGCHLD);
    CHECK_EQ(si.si_code, CLD_EXITED);
    CHECK_EQ(si.si_pid, p);
    CHECK_EQ(si.si_uid, getuid());
    CHECK_EQ(si.si_status, 7);
    CHECK_ERR(waitid(P_PID, p, &si, WEXITED), ECHILD);
}

static void waitid_killed(void)
{
    pid_t p = child_that_sleeps();
    OK(kill(p, SIGTERM));
    siginfo_t si = {0};
    OK(waitid(P_PID, p, &si, WEXITED));
    CHECK_EQ(si.si_code, CLD_KILLED);
    CHECK_EQ(si.si_status, SIGTERM);
}

static void wnowait(void)
{
    pid_t p = child_that_exits(9);
    siginfo_t si = {0};
    OK(waitid(P_PID, p, &si, WEXITED | WNOWAIT));
    CHECK_EQ(si.si_status, 9);
    OK(waitid(P_PID, p, &si, WEXITED | WNOWAIT));
    WAIT_EXIT(p, 9);
}

static void stop_and_continue(void)
{
    pid_t p = child_that_sleeps();
    int st;
    OK(kill(p, SIGSTOP));
    CHECK_EQ(OK(waitpid(p, &st, WUNTRACED)), p);
    CHECK(WIFSTOPPED(st));
    CHECK_EQ(WSTOPSIG(st), SIGSTOP);
    CHECK_EQ(waitpid(p, &st, WUNTRACED | WNOHANG), 0); /* reported once */
    OK(kill(p, SIGCONT));
    CHECK_EQ(OK(waitpid(p, &st, WCONTINUED)), p);
    CHECK(WIFCONTINUED(st));
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
}

static void waitid_stop_codes(void)
{
    pid_t p = child_that_sleeps();
    siginfo_t si = {0};
    OK(setpgid(p, p)); /* an orphaned group would ignore SIGTSTP */
    OK(kill(p, SIGTSTP));
    OK(waitid(P_PID, p, &si, WSTOPPED | WNOWAIT));
    CHECK_EQ(si.si_code, CLD_STOPPED);
    CHECK_EQ(si.si_status, SIGTSTP);
    OK(waitid(P_PID, p, &si, WSTOPPED));
    OK(kill(p, SIGCONT));
    OK(waitid(P_PID, p, &si, WCONTINUED));
    CHECK_EQ(si.si_code, CLD_CONTINUED);
    CHECK_EQ(si.si_status, SIGCONT);
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
}

static void kill_a_stopped_child(void)
{
    pid_t p = child_that_sleeps();
    int st;
    OK(kill(p, SIGSTOP));
    CHECK_EQ(OK(waitpid(p, &st, WUNTRACED)), p);
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
}

static void stopped_child_ignores_term_until_continued(void)
{
    pid_t p = child_that_sleeps();
    int st;
    OK(kill(p, SIGSTOP));
    CHECK_EQ(OK(waitpid(p, &st, WUNTRACED)), p);
    OK(kill(p, SIGTERM));
    sleep_ms(50);
    CHECK_EQ(waitpid(p, &st, WNOHANG), 0);
    OK(kill(p, SIGCONT));
    WAIT_SIGNAL(p, SIGTERM);
}

static void sigchld_ignored_reaps_itself(void)
{
    handle(SIGCHLD, SIG_IGN, 0);
    child_that_exits(3);
    child_that_exits(4);
    CHECK_ERR(wait(NULL), ECHILD); /* blocks until all are gone */
}

static void no_child_wait_flag(void)
{
    handle(SIGCHLD, SIG_DFL, SA_NOCLDWAIT);
    child_that_exits(3);
    CHECK_ERR(wait(NULL), ECHILD);
}

static volatile int g_chld_code, g_chld_status, g_chld_pid, g_chld_count;

static void on_chld(int sig, siginfo_t *si, void *uc)
{
    g_chld_code = si->si_code, g_chld_status = si->si_status, g_chld_pid = si->si_pid;
    g_chld_count++;
}

static void sigchld_info(void)
{
    g_chld_count = 0;
    sig_block(SIG_BLOCK, SIGCHLD);
    handle_info(SIGCHLD, on_chld, 0);
    pid_t p = child_that_exits(21);
    sigset_t none;
    sigemptyset(&none);
    CHECK_ERR(sigsuspend(&none), EINTR);
    CHECK_EQ(g_chld_count, 1);
    CHECK_EQ(g_chld_pid, p);
    CHECK_EQ(g_chld_code, CLD_EXITED);
    CHECK_EQ(g_chld_status, 21);
    WAIT_EXIT(p, 21);
}

static void no_child_stop_flag(void)
{
    g_chld_count = 0;
    handle_info(SIGCHLD, on_chld, SA_NOCLDSTOP);
    pid_t p = child_that_sleeps();
    int st;
    OK(kill(p, SIGSTOP));
    CHECK_EQ(OK(waitpid(p, &st, WUNTRACED)), p);
    CHECK_EQ(g_chld_count, 0);
    handle_info(SIGCHLD, on_chld, 0);
    OK(kill(p, SIGCONT));
    CHECK_EQ(OK(waitpid(p, &st, WCONTINUED)), p);
    for (int i = 0; i < 500 && g_chld_code != CLD_CONTINUED; i++)
        sleep_ms(2); /* wait may see it before the signal is sent */
    CHECK_EQ(g_chld_code, CLD_CONTINUED);
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
}

static void rusage_of_child(void)
{
    pid_t p = OK(fork());
    if (!p) {
        for (int64_t end = now_ns() + 80000000; now_ns() < end;)
            ;
        _exit(0);
    }
    struct rusage ru;
    int st;
    CHECK_EQ(OK(wait4(p, &st, 0, &ru)), p);
    long us = (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000L + ru.ru_utime.tv_usec + ru.ru_stime.tv_usec;
    CHECK(us > 5000 && us < 2000000);
    OK(getrusage(RUSAGE_CHILDREN, &ru));
    CHECK(ru.ru_utime.tv_sec || ru.ru_utime.tv_usec || ru.ru_stime.tv_usec);
}

static void zombie_until_reaped(void)
{
    pid_t p = child_that_exits(0);
    wait_state(p, "Z");
    OK(kill(p, 0));
    WAIT_EXIT(p, 0);
    CHECK_ERR(kill(p, 0), ESRCH);
}

static void interrupted_wait(void)
{
    pid_t p = child_that_sleeps();
    handle_info(SIGALRM, on_chld, 0);
    struct itimerval it = {{0, 0}, {0, 50000}};
    OK(setitimer(ITIMER_REAL, &it, NULL));
    CHECK_ERR(waitpid(p, NULL, 0), EINTR);
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
}

static void core_flag_and_signal(void)
{
    struct rlimit rl = {0, 0};
    setrlimit(RLIMIT_CORE, &rl);
    for (int sig = 1; sig < 32; sig++) {
        if (sig == SIGCHLD || sig == SIGCONT || sig == SIGURG || sig == SIGWINCH || sig == SIGSTOP || sig == SIGTSTP ||
            sig == SIGTTIN || sig == SIGTTOU)
            continue;
        pid_t p = child_that_sleeps();
        OK(kill(p, sig));
        WAIT_SIGNAL(p, sig);
    }
}

static void waitid_pgid_zero(void)
{
    pid_t p = child_that_exits(5);
    siginfo_t si = {0};
    OK(waitid(P_PGID, 0, &si, WEXITED));
    CHECK_EQ(si.si_pid, p);
}

GUEST_MAIN(C(no_children), C(bad_options), C(wnohang), C(by_pid_and_any), C(by_group), C(waitid_exited),
           C(waitid_killed), C(wnowait), C(stop_and_continue), C(waitid_stop_codes), C(kill_a_stopped_child),
           C(stopped_child_ignores_term_until_continued), C(sigchld_ignored_reaps_itself), C(no_child_wait_flag),
           C(sigchld_info), C(no_child_stop_flag), C(rusage_of_child), C(zombie_until_reaped), C(interrupted_wait),
           C(core_flag_and_signal), C(waitid_pgid_zero))
