/* ptrace(2): attaching, stops, memory, registers, system call stops, events. */
#include "guest.h"

#include <elf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
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

#define PTRACE_GET_SYSCALL_INFO_ 0x420e
#define PTRACE_EVENT_STOP_       128
struct ptrace_syscall_info_ { /* as of a seccomp stop */
    uint8_t op;
    uint32_t arch;
    uint64_t ip, sp, nr, args[6];
    uint32_t ret_data;
};

/* ---- events and stops of all kinds ---- */

static pid_t start_traced(void (*fn)(void))
{
    pid_t pid = OK(fork());
    if (pid)
        return pid;
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    fn();
    _exit(7);
}

static int wait_any(pid_t pid)
{
    int st;
    CHECK_EQ(OK(waitpid(pid, &st, __WALL)), pid);
    return st;
}

static void set_options(pid_t pid, long options)
{
    int st = wait_any(pid);
    CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
    OK(ptrace(PTRACE_SETOPTIONS, pid, 0, options));
}

static void leave_by_group(void)
{
    exit(5);
}

static void be_killed(void)
{
    kill(getpid(), SIGTERM);
}

static void exit_event_of(void (*fn)(void), int status)
{
    unsigned long msg = 0;
    pid_t pid = start_traced(fn);
    set_options(pid, PTRACE_O_TRACEEXIT);
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    int st = wait_any(pid);
    if (WIFSTOPPED(st) && st >> 8 == SIGTERM) {
        OK(ptrace(PTRACE_CONT, pid, 0, SIGTERM));
        st = wait_any(pid);
    }
    CHECK_EQ(st >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
    OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &msg));
    CHECK_EQ(msg, status);
    struct user_regs_struct regs;
    OK(ptrace(PTRACE_GETREGS, pid, 0, &regs)); /* it is still there to be looked at */
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    CHECK_EQ(wait_any(pid), status);
}

static void exit_event(void)
{
    exit_event_of(leave_by_group, 5 << 8);
    exit_event_of(be_killed, SIGTERM);
}

static void filtered_getppid(void)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 0x123),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {4, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
    long a = syscall(SYS_getppid), b = syscall(SYS_getppid);
    _exit(a == 4711 && b == getpid() ? 0 : 1);
}

static void seccomp_event(void)
{
    unsigned long msg = 0;
    struct ptrace_syscall_info_ info = {0};
    struct user_regs_struct regs;
    pid_t pid = start_traced(filtered_getppid);
    set_options(pid, PTRACE_O_TRACESECCOMP);
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    CHECK_EQ(wait_any(pid) >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
    OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &msg));
    CHECK_EQ(msg, 0x123);
    CHECK(OK(ptrace(PTRACE_GET_SYSCALL_INFO_, pid, sizeof(info), &info)) > 24);
    CHECK_EQ(info.op, 3);
    CHECK_EQ(info.nr, SYS_getppid);
    CHECK_EQ(info.ret_data, 0x123);
    OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
    CHECK_EQ(regs.orig_rax, SYS_getppid);
    regs.orig_rax = -1; /* skip the call, answer for it */
    regs.rax = 4711;
    OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    CHECK_EQ(wait_any(pid) >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
    OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
    regs.orig_rax = SYS_getpid; /* another call instead */
    OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    CHECK_EQ(wait_any(pid), 0);
}

static void spin(void)
{
    for (;;)
        pause();
}

static pid_t plain_child(void)
{
    pid_t pid = OK(fork());
    if (!pid)
        spin();
    return pid;
}

static void group_stop_of_an_attached_one(void)
{
    siginfo_t info;
    pid_t pid = plain_child();
    OK(ptrace(PTRACE_ATTACH, pid, 0, 0));
    CHECK_EQ(wait_any(pid) >> 8, SIGSTOP);
    OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info)); /* signal-delivery-stop */
    OK(ptrace(PTRACE_CONT, pid, 0, SIGSTOP));
    CHECK_EQ(wait_any(pid) >> 8, SIGSTOP);
    CHECK_ERR(ptrace(PTRACE_GETSIGINFO, pid, 0, &info), EINVAL); /* group-stop */
    OK(ptrace(PTRACE_CONT, pid, 0, 0));                          /* runs on all the same */
    OK(kill(pid, SIGUSR1));
    CHECK_EQ(wait_any(pid) >> 8, SIGUSR1);
    OK(ptrace(PTRACE_DETACH, pid, 0, 0));
    wait_state(pid, "T"); /* still stopped as a process */
    OK(kill(pid, SIGKILL));
    CHECK_EQ(wait_any(pid), SIGKILL);
}

static void attach_to_a_stopped_one(void)
{
    pid_t pid = plain_child();
    OK(kill(pid, SIGSTOP));
    int st;
    CHECK_EQ(OK(waitpid(pid, &st, WUNTRACED)), pid);
    OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
    CHECK_EQ(wait_any(pid) >> 8, SIGSTOP | PTRACE_EVENT_STOP_ << 8);
    OK(ptrace(PTRACE_LISTEN, pid, 0, 0));
    CHECK_ERR(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
    OK(kill(pid, SIGCONT));
    CHECK_EQ(wait_any(pid) >> 8, SIGTRAP | PTRACE_EVENT_STOP_ << 8);
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    CHECK_EQ(wait_any(pid) >> 8, SIGCONT);
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    OK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
    CHECK_EQ(wait_any(pid) >> 8, SIGTRAP | PTRACE_EVENT_STOP_ << 8);
    CHECK_ERR(ptrace(PTRACE_SEIZE, pid, 0, 0), EPERM);
    OK(kill(pid, SIGKILL));
    CHECK_EQ(wait_any(pid), SIGKILL);
}

static void request_errors(void)
{
    CHECK_ERR(ptrace(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
    CHECK_ERR(ptrace(PTRACE_ATTACH, 4194000, 0, 0), ESRCH);
    CHECK_ERR(ptrace(PTRACE_CONT, 4194000, 0, 0), ESRCH);
    CHECK_ERR(ptrace(PTRACE_CONT, getppid(), 0, 0), ESRCH);
    pid_t pid = plain_child();
    CHECK_ERR(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
    CHECK_ERR(ptrace(PTRACE_SEIZE, pid, 1, 0), EIO);
    CHECK_ERR(ptrace(PTRACE_SEIZE, pid, 0, 1u << 30), EIO);
    OK(ptrace(PTRACE_ATTACH, pid, 0, 0));
    CHECK_EQ(wait_any(pid) >> 8, SIGSTOP);
    CHECK_ERR(ptrace(PTRACE_CONT, pid, 0, 65), EIO);
    CHECK_ERR(ptrace(PTRACE_SETOPTIONS, pid, 0, 1u << 30), EINVAL);
    CHECK_ERR(ptrace(PTRACE_INTERRUPT, pid, 0, 0), EIO);
    CHECK_ERR(ptrace(PTRACE_LISTEN, pid, 0, 0), EIO);
    CHECK_ERR(ptrace(12345, pid, 0, 0), EIO);
    OK(kill(pid, SIGKILL));
    CHECK_EQ(wait_any(pid), SIGKILL);
}

static void exec_self(void)
{
    execl("/bin/true", "true", NULL);
}

static void registers_after_exec(void)
{
    pid_t pid = start_traced(exec_self);
    set_options(pid, PTRACE_O_TRACEEXEC);
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    CHECK_EQ(wait_any(pid) >> 8, SIGTRAP | PTRACE_EVENT_EXEC << 8);
    struct user_regs_struct regs;
    OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
    CHECK_EQ(regs.cs, 0x33);
    CHECK_EQ(regs.ss, 0x2b);
    unsigned long msg;
    OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &msg));
    CHECK_EQ(msg, pid);
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    CHECK_EQ(wait_any(pid), 0);
}

static void tracer_in_status(void)
{
    char path[64], buf[4096], want[64];
    pid_t pid = plain_child();
    OK(ptrace(PTRACE_ATTACH, pid, 0, 0));
    CHECK_EQ(wait_any(pid) >> 8, SIGSTOP);
    wait_state(pid, "t");
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    snprintf(want, sizeof(want), "\nTracerPid:\t%d\n", getpid());
    read_file(path, buf, sizeof(buf));
    CHECK(strstr(buf, want) != NULL);
    CHECK(strstr(buf, "State:\tt (tracing stop)\n") != NULL);
    OK(kill(pid, SIGKILL));
    CHECK_EQ(wait_any(pid), SIGKILL);
}

GUEST_MAIN(C(traceme_and_continue), C(peek_and_poke), C(system_call_stops),
           C(result_can_be_changed), C(single_steps), C(signals_pass_by_the_tracer), C(fork_event),
           C(attach_and_detach), C(register_sets), C(exit_event), C(seccomp_event),
           C(group_stop_of_an_attached_one), C(attach_to_a_stopped_one), C(request_errors),
           C(registers_after_exec), C(tracer_in_status))
