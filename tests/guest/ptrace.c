/* ptrace(2): attaching, stops, memory, registers, system call stops, events. */
#include "guest.h"

#include <elf.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

static volatile long g_word = 5;

static int stop_of(pid_t p)
{
    int st;
    CHECK_EQ(waitpid(p, &st, __WALL), p);
    CHECK(WIFSTOPPED(st));
    return st >> 8;
}

/* A child that traces itself and waits for us. */
static pid_t traced_child(void (*body)(void))
{
    pid_t p = fork();
    if (!p) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        body();
        _exit(7);
    }
    CHECK_EQ(stop_of(p), SIGSTOP);
    return p;
}

static void nothing(void) {}

static void traceme_and_continue(void)
{
    pid_t p = traced_child(nothing);
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    WAIT_EXIT(p, 7);
}

static void exit_with_word(void)
{
    _exit(g_word);
}

static void peek_and_poke(void)
{
    pid_t p = traced_child(exit_with_word);
    errno = 0;
    CHECK_EQ(ptrace(PTRACE_PEEKDATA, p, (void *)&g_word, 0), 5);
    CHECK_EQ(errno, 0);
    CHECK_ERR(ptrace(PTRACE_PEEKDATA, p, (void *)8, 0), EIO);
    OK(ptrace(PTRACE_POKEDATA, p, (void *)&g_word, 42L));
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    WAIT_EXIT(p, 42);
    CHECK_EQ(g_word, 5);
}

static void call_getppid(void)
{
    syscall(SYS_getppid);
}

static void system_call_stops(void)
{
    struct user_regs_struct r;
    pid_t p = traced_child(call_getppid);
    OK(ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACESYSGOOD));
    do {
        OK(ptrace(PTRACE_SYSCALL, p, 0, 0));
        CHECK_EQ(stop_of(p), SIGTRAP | 0x80);
        OK(ptrace(PTRACE_GETREGS, p, 0, &r));
    } while (r.orig_rax != SYS_getppid);
    CHECK_EQ(r.rax, -ENOSYS);
    OK(ptrace(PTRACE_SYSCALL, p, 0, 0));
    CHECK_EQ(stop_of(p), SIGTRAP | 0x80);
    CHECK_EQ(ptrace(PTRACE_PEEKUSER, p, offsetof(struct user, regs.rax), 0), getpid());
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    WAIT_EXIT(p, 7);
}

static void exit_with_getppid(void)
{
    _exit(syscall(SYS_getppid) == 99 ? 1 : 2);
}

static void result_can_be_changed(void)
{
    struct user_regs_struct r;
    pid_t p = traced_child(exit_with_getppid);
    do {
        OK(ptrace(PTRACE_SYSCALL, p, 0, 0));
        CHECK_EQ(stop_of(p), SIGTRAP);
        OK(ptrace(PTRACE_GETREGS, p, 0, &r));
    } while (r.orig_rax != SYS_getppid || (long)r.rax == -ENOSYS);
    r.rax = 99;
    OK(ptrace(PTRACE_SETREGS, p, 0, &r));
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    WAIT_EXIT(p, 1);
}

static void single_steps(void)
{
    struct user_regs_struct before, after;
    pid_t p = traced_child(nothing);
    for (int i = 0; i < 5; i++) {
        OK(ptrace(PTRACE_GETREGS, p, 0, &before));
        OK(ptrace(PTRACE_SINGLESTEP, p, 0, 0));
        CHECK_EQ(stop_of(p), SIGTRAP);
        OK(ptrace(PTRACE_GETREGS, p, 0, &after));
        CHECK(after.rip != before.rip);
    }
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    WAIT_EXIT(p, 7);
}

static void raise_usr1(void)
{
    raise(SIGUSR1);
}

static void signals_pass_by_the_tracer(void)
{
    siginfo_t si;
    pid_t p = traced_child(raise_usr1);
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    CHECK_EQ(stop_of(p), SIGUSR1);
    OK(ptrace(PTRACE_GETSIGINFO, p, 0, &si));
    CHECK_EQ(si.si_signo, SIGUSR1);
    CHECK_EQ(si.si_pid, p);
    OK(ptrace(PTRACE_CONT, p, 0, 0)); /* swallowed */
    WAIT_EXIT(p, 7);
    p = traced_child(raise_usr1);
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    CHECK_EQ(stop_of(p), SIGUSR1);
    OK(ptrace(PTRACE_CONT, p, 0, SIGUSR1));
    WAIT_SIGNAL(p, SIGUSR1);
}

static void fork_once(void)
{
    pid_t q = fork();
    if (!q)
        _exit(3);
    waitpid(q, NULL, 0);
}

static void fork_event(void)
{
    unsigned long child;
    pid_t p = traced_child(fork_once);
    OK(ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACEFORK));
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    CHECK_EQ(stop_of(p), SIGTRAP | PTRACE_EVENT_FORK << 8);
    OK(ptrace(PTRACE_GETEVENTMSG, p, 0, &child));
    CHECK_EQ(stop_of(child), SIGSTOP);
    OK(ptrace(PTRACE_DETACH, child, 0, 0));
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    CHECK_EQ(stop_of(p), SIGCHLD);
    OK(ptrace(PTRACE_CONT, p, 0, 0));
    WAIT_EXIT(p, 7);
}

static void attach_and_detach(void)
{
    pid_t p = fork();
    if (!p) {
        pause();
        _exit(1);
    }
    CHECK_ERR(ptrace(PTRACE_CONT, p, 0, 0), ESRCH);
    OK(ptrace(PTRACE_ATTACH, p, 0, 0));
    CHECK_EQ(stop_of(p), SIGSTOP);
    CHECK_ERR(ptrace(PTRACE_ATTACH, p, 0, 0), EPERM);
    OK(ptrace(PTRACE_DETACH, p, 0, 0));
    CHECK_ERR(ptrace(PTRACE_CONT, p, 0, 0), ESRCH);
    OK(kill(p, SIGTERM));
    WAIT_SIGNAL(p, SIGTERM);
}

static void register_sets(void)
{
    struct user_regs_struct r;
    struct user_fpregs_struct fp;
    struct iovec iov = {&r, sizeof(r)};
    pid_t p = traced_child(nothing);
    OK(ptrace(PTRACE_GETREGSET, p, NT_PRSTATUS, &iov));
    CHECK_EQ(iov.iov_len, sizeof(r));
    CHECK_EQ(r.cs, 0x33);
    OK(ptrace(PTRACE_GETFPREGS, p, 0, &fp));
    CHECK_EQ(fp.mxcsr & 0x1f80, 0x1f80);
    CHECK_ERR(ptrace(PTRACE_GETREGSET, p, 0x7777, &iov), EINVAL);
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
}

GUEST_MAIN(C(traceme_and_continue), C(peek_and_poke), C(system_call_stops), C(result_can_be_changed), C(single_steps),
           C(signals_pass_by_the_tracer), C(fork_event), C(attach_and_detach), C(register_sets))
