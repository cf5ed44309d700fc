/* Handlers, masks, flags, queues, alternate stacks. */
#include "guest.h"
#include <sys/ucontext.h>

static volatile int g_count, g_sig, g_order[64];
static volatile siginfo_t g_info;

static void on_sig(int sig)
{
    if (g_count < 64)
        g_order[g_count] = sig;
    g_count++;
    g_sig = sig;
}

static void on_info(int sig, siginfo_t *si, void *uc)
{
    if (g_count < 64)
        g_order[g_count] = si->si_value.sival_int;
    g_count++;
    g_sig = sig;
    g_info = *si;
}

static void handler_runs(void)
{
    g_count = 0;
    handle(SIGUSR1, on_sig, 0);
    OK(raise(SIGUSR1));
    CHECK_EQ(g_count, 1);
    CHECK_EQ(g_sig, SIGUSR1);
}

static void ignored(void)
{
    handle(SIGTERM, SIG_IGN, 0);
    OK(raise(SIGTERM));
}

static void blocked_then_delivered(void)
{
    sigset_t pend;
    g_count = 0;
    handle(SIGUSR1, on_sig, 0);
    sig_block(SIG_BLOCK, SIGUSR1);
    OK(raise(SIGUSR1));
    OK(raise(SIGUSR1));
    CHECK_EQ(g_count, 0);
    OK(sigpending(&pend));
    CHECK(sigismember(&pend, SIGUSR1));
    sig_block(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(g_count, 1); /* standard signals do not queue */
}

static void kill_info(void)
{
    g_count = 0;
    handle_info(SIGUSR1, on_info, 0);
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(g_info.si_signo, SIGUSR1);
    CHECK_EQ(g_info.si_code, SI_USER);
    CHECK_EQ(g_info.si_pid, getpid());
    CHECK_EQ(g_info.si_uid, getuid());
    OK(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
    CHECK_EQ(g_info.si_code, SI_TKILL);
    CHECK_EQ(g_info.si_pid, getpid());
}

static void realtime_queue_order(void)
{
    g_count = 0;
    for (int s = SIGRTMIN; s < SIGRTMIN + 3; s++) {
        handle_info(s, on_info, 0);
        sig_block(SIG_BLOCK, s);
    }
    for (int i = 0; i < 5; i++)
        for (int s = 2; s >= 0; s--)
            OK(sigqueue(getpid(), SIGRTMIN + s, (union sigval){.sival_int = s * 100 + i}));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    CHECK_EQ(g_count, 15);
    /* Lowest number is taken first; but all frames are stacked before any handler runs, so they run
     * in reverse. */
    CHECK_EQ(g_info.si_code, SI_QUEUE);
    CHECK_EQ(g_info.si_pid, getpid());
}

static void realtime_fifo(void)
{
    siginfo_t si;
    sigset_t set;
    sigemptyset(&set);
    for (int s = 0; s < 3; s++)
        sigaddset(&set, SIGRTMIN + s);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 5; i++)
        for (int s = 2; s >= 0; s--)
            OK(sigqueue(getpid(), SIGRTMIN + s, (union sigval){.sival_int = s * 100 + i}));
    for (int s = 0; s < 3; s++)
        for (int i = 0; i < 5; i++) {
            CHECK_EQ(OK(sigwaitinfo(&set, &si)), SIGRTMIN + s);
            CHECK_EQ(si.si_value.sival_int, s * 100 + i);
            CHECK_EQ(si.si_code, SI_QUEUE);
        }
    struct timespec ts = {0, 1000000};
    CHECK_ERR(sigtimedwait(&set, &si, &ts), EAGAIN);
}

static void mask_in_handler_body(int sig)
{
    sigset_t m;
    sigprocmask(0, NULL, &m);
    g_count =
        sigismember(&m, SIGUSR1) | sigismember(&m, SIGUSR2) << 1 | sigismember(&m, SIGTERM) << 2;
}

static void mask_during_handler(void)
{
    struct sigaction sa = {.sa_handler = mask_in_handler_body};
    sigaddset(&sa.sa_mask, SIGUSR2);
    OK(sigaction(SIGUSR1, &sa, NULL));
    raise(SIGUSR1);
    CHECK_EQ(g_count, 3);
    sigset_t m;
    sigprocmask(0, NULL, &m);
    CHECK(!sigismember(&m, SIGUSR1) && !sigismember(&m, SIGUSR2));
    sa.sa_flags = SA_NODEFER;
    OK(sigaction(SIGUSR1, &sa, NULL));
    raise(SIGUSR1);
    CHECK_EQ(g_count, 2);
}

static volatile int g_depth;

static void nested_body(int sig)
{
    if (++g_depth < 5)
        raise(SIGUSR1);
}

static void nodefer_nests(void)
{
    g_depth = 0;
    handle(SIGUSR1, nested_body, SA_NODEFER);
    raise(SIGUSR1);
    CHECK_EQ(g_depth, 5);
}

static void resethand(void)
{
    g_count = 0;
    handle(SIGUSR1, on_sig, SA_RESETHAND);
    raise(SIGUSR1);
    CHECK_EQ(g_count, 1);
    struct sigaction sa;
    OK(sigaction(SIGUSR1, NULL, &sa));
    CHECK(sa.sa_handler == SIG_DFL);
}

static void old_action_is_returned(void)
{
    struct sigaction sa = {.sa_handler = on_sig, .sa_flags = SA_NODEFER | SA_RESTART}, old;
    sigaddset(&sa.sa_mask, SIGHUP);
    OK(sigaction(SIGUSR2, &sa, NULL));
    OK(sigaction(SIGUSR2, NULL, &old));
    CHECK(old.sa_handler == on_sig);
    CHECK_EQ(old.sa_flags & (SA_NODEFER | SA_RESTART | SA_SIGINFO), SA_NODEFER | SA_RESTART);
    CHECK(sigismember(&old.sa_mask, SIGHUP));
}

static void bad_numbers(void)
{
    struct sigaction sa = {.sa_handler = on_sig};
    CHECK_ERR(sigaction(SIGKILL, &sa, NULL), EINVAL);
    CHECK_ERR(sigaction(SIGSTOP, &sa, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, 0, &sa, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, 65, &sa, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, &sa, NULL, 16), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &sa, NULL, 4), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigprocmask, 17, &sa.sa_mask, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8L, NULL, 8), EFAULT);
    CHECK_ERR(kill(getpid(), 65), EINVAL);
    CHECK_ERR(kill(getpid(), -1), EINVAL);
    CHECK_ERR(kill(7654321, SIGTERM), ESRCH);
    CHECK_ERR(syscall(SYS_tgkill, 0, getpid(), 0), EINVAL);
    CHECK_ERR(syscall(SYS_tgkill, getpid(), 7654321, 0), ESRCH);
    CHECK_ERR(syscall(SYS_tkill, -1, 0), EINVAL);
}

static void kill_and_stop_cannot_be_blocked(void)
{
    sigset_t all, got;
    sigfillset(&all);
    OK(sigprocmask(SIG_SETMASK, &all, NULL));
    OK(sigprocmask(0, NULL, &got));
    CHECK(!sigismember(&got, SIGKILL) && !sigismember(&got, SIGSTOP));
    CHECK(sigismember(&got, SIGTERM));
}

static void *volatile g_seen_sp;

static void on_altstack(int sig, siginfo_t *si, void *uc)
{
    char here;
    stack_t ss;
    g_seen_sp = &here;
    sigaltstack(NULL, &ss);
    g_count = ss.ss_flags;
}

static char g_alt[65536];

static void altstack(void)
{
    stack_t ss = {.ss_sp = g_alt, .ss_size = sizeof(g_alt)}, old;
    OK(sigaltstack(&ss, NULL));
    handle_info(SIGUSR1, on_altstack, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK((char *)g_seen_sp > g_alt && (char *)g_seen_sp < g_alt + sizeof(g_alt));
    CHECK_EQ(g_count, SS_ONSTACK);
    OK(sigaltstack(NULL, &old));
    CHECK(old.ss_sp == g_alt && old.ss_size == sizeof(g_alt) && old.ss_flags == 0);
    ss.ss_flags = SS_DISABLE;
    OK(sigaltstack(&ss, NULL));
    raise(SIGUSR1);
    CHECK((char *)g_seen_sp < g_alt || (char *)g_seen_sp > g_alt + sizeof(g_alt));
    ss.ss_flags = 0, ss.ss_size = 100;
    CHECK_ERR(sigaltstack(&ss, NULL), ENOMEM);
    ss.ss_flags = 0x77;
    CHECK_ERR(sigaltstack(&ss, NULL), EINVAL);
}

static void on_change(int sig)
{
    stack_t ss = {.ss_sp = g_alt, .ss_size = sizeof(g_alt)};
    g_count = sigaltstack(&ss, NULL) == -1 ? errno : 0;
}

static void altstack_is_busy_in_use(void)
{
    stack_t ss = {.ss_sp = g_alt, .ss_size = sizeof(g_alt)};
    OK(sigaltstack(&ss, NULL));
    handle(SIGUSR1, on_change, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(g_count, EPERM);
    ss.ss_flags = SS_DISABLE;
    OK(sigaltstack(&ss, NULL));
}

static void stack_overflow_on_altstack(void)
{
    pid_t p = OK(fork());
    if (!p) {
        stack_t ss = {.ss_sp = g_alt, .ss_size = sizeof(g_alt)};
        sigaltstack(&ss, NULL);
        handle(SIGSEGV, (void (*)(int))(void *)_exit, SA_ONSTACK);
        volatile char *p2 = __builtin_alloca(1);
        for (;; p2 -= 4096)
            *p2 = 1;
    }
    WAIT_EXIT(p, SIGSEGV);
}

static void no_stack_for_frame_kills(void)
{
    pid_t p = OK(fork());
    if (!p) {
        handle(SIGUSR1, on_sig, 0);
        long nr = SYS_tkill, tid = syscall(SYS_gettid);
        asm volatile("mov $16, %%rsp\n syscall\n ud2"
                     :
                     : "a"(nr), "D"(tid), "S"((long)SIGUSR1)
                     : "rcx", "r11", "memory");
    }
    WAIT_SIGNAL(p, SIGSEGV);
}

static void sigsuspend_restores_mask(void)
{
    g_count = 0;
    handle(SIGUSR1, on_sig, 0);
    sig_block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    sigset_t none, now;
    sigemptyset(&none);
    CHECK_ERR(sigsuspend(&none), EINTR);
    CHECK_EQ(g_count, 1);
    sigprocmask(0, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1));
}

static void pause_returns_eintr(void)
{
    handle(SIGALRM, on_sig, SA_RESTART);
    struct itimerval it = {{0, 0}, {0, 30000}};
    OK(setitimer(ITIMER_REAL, &it, NULL));
    CHECK_ERR(pause(), EINTR);
}

static void sigtimedwait_times_out(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct timespec ts = {0, 50000000};
    int64_t t = now_ns();
    CHECK_ERR(sigtimedwait(&set, NULL, &ts), EAGAIN);
    t = now_ns() - t;
    CHECK(t >= 50000000 && t < 1000000000);
    ts.tv_nsec = 2000000000;
    CHECK_ERR(sigtimedwait(&set, NULL, &ts), EINVAL);
}

static void sigtimedwait_eintr(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    handle(SIGALRM, on_sig, SA_RESTART);
    struct itimerval it = {{0, 0}, {0, 30000}};
    OK(setitimer(ITIMER_REAL, &it, NULL));
    CHECK_ERR(sigwaitinfo(&set, NULL), EINTR);
}

static void sigwait_from_child(void)
{
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t parent = getpid(), p = OK(fork());
    if (!p) {
        sleep_ms(20);
        _exit(kill(parent, SIGUSR2) != 0);
    }
    CHECK_ZERO(sigwait(&set, &sig));
    CHECK_EQ(sig, SIGUSR2);
    WAIT_EXIT(p, 0);
}

static void rewrite_ip(int sig, siginfo_t *si, void *ucv)
{
    ucontext_t *uc = ucv;
    uc->uc_mcontext.gregs[REG_RAX] = 4711;
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
    sigaddset(&uc->uc_sigmask, SIGHUP);
}

static void handler_edits_context(void)
{
    long out;
    handle_info(SIGILL, rewrite_ip, 0);
    asm volatile("xor %%eax, %%eax\n ud2\n" : "=a"(out));
    CHECK_EQ(out, 4711);
    sigset_t m;
    sigprocmask(0, NULL, &m);
    CHECK(sigismember(&m, SIGHUP));
}

static void context_registers(int sig, siginfo_t *si, void *ucv)
{
    ucontext_t *uc = ucv;
    greg_t *r = uc->uc_mcontext.gregs;
    g_count = r[REG_RBX] == 0x1111 && r[REG_R12] == 0x2222 && r[REG_R15] == 0x3333 &&
              r[REG_RDX] == 0x4444 && uc->uc_mcontext.fpregs &&
              ((uintptr_t)uc->uc_mcontext.fpregs & 15) == 0;
    r[REG_RIP] += 2;
}

static void context_has_registers(void)
{
    handle_info(SIGILL, context_registers, 0);
    g_count = 0;
    asm volatile("mov $0x2222, %%r12\n mov $0x3333, %%r15\n ud2"
                 :
                 : "b"(0x1111L), "d"(0x4444L)
                 : "r12", "r15", "memory");
    CHECK_EQ(g_count, 1);
}

static void stack_alignment_body(int sig)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    g_count = frame & 15; /* after the push of rbp the frame is 16-aligned */
}

static void frame_is_aligned(void)
{
    handle(SIGUSR1, stack_alignment_body, 0);
    raise(SIGUSR1);
    CHECK_EQ(g_count, 0);
}

static void red_zone_is_kept(void)
{
    handle(SIGUSR1, on_sig, 0);
    long before = 0x1234567, after, tid = syscall(SYS_gettid), nr = SYS_tkill;
    asm volatile("mov %2, -8(%%rsp)\n mov %2, -128(%%rsp)\n syscall\n mov -8(%%rsp), %1\n xor "
                 "-128(%%rsp), %1\n"
                 : "+a"(nr), "=&r"(after)
                 : "r"(before), "D"(tid), "S"((long)SIGUSR1)
                 : "rcx", "r11", "memory");
    CHECK_EQ(after, 0);
}

static void signal_to_group(void)
{
    pid_t p = OK(fork());
    if (!p) {
        setpgid(0, 0);
        pid_t kids[3];
        for (int i = 0; i < 3; i++) {
            kids[i] = fork();
            if (!kids[i])
                for (;;)
                    pause();
        }
        handle(SIGUSR1, on_sig, 0);
        kill(0, SIGUSR1);
        for (int i = 0; i < 3; i++)
            WAIT_SIGNAL(kids[i], SIGUSR1);
        _exit(g_sig != SIGUSR1);
    }
    WAIT_EXIT(p, 0);
}

static void permissions(void)
{
    pid_t victim = OK(fork());
    if (!victim)
        for (;;)
            pause();
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_ERR(kill(victim, SIGTERM), EPERM);
        CHECK_ERR(kill(victim, 0), EPERM);
    });
    OK(kill(victim, SIGKILL));
    WAIT_SIGNAL(victim, SIGKILL);
}

static void null_signal(void)
{
    OK(kill(getpid(), 0));
    OK(kill(getppid(), 0));
}

static void sigqueue_forging(void)
{
    siginfo_t si = {.si_signo = SIGUSR1, .si_code = SI_USER};
    pid_t p = OK(fork());
    if (!p)
        for (;;)
            pause();
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, p, SIGUSR1, &si), EPERM);
    si.si_code = SI_TKILL;
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, p, SIGUSR1, &si), EPERM);
    si.si_code = -7;
    OK(syscall(SYS_rt_sigqueueinfo, p, SIGKILL, &si));
    WAIT_SIGNAL(p, SIGKILL);
}

static void stop_discards_cont(void)
{
    /* a pending stop signal is dropped by SIGCONT */
    sig_block(SIG_BLOCK, SIGTSTP);
    sig_block(SIG_BLOCK, SIGCONT);
    raise(SIGTSTP);
    sigset_t p;
    sigpending(&p);
    CHECK(sigismember(&p, SIGTSTP));
    raise(SIGCONT);
    sigpending(&p);
    CHECK(!sigismember(&p, SIGTSTP));
    CHECK(sigismember(&p, SIGCONT));
}

static void ignoring_drops_pending(void)
{
    handle(SIGUSR1, on_sig, 0);
    sig_block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    handle(SIGUSR1, SIG_IGN, 0);
    sigset_t p;
    sigpending(&p);
    CHECK(!sigismember(&p, SIGUSR1));
}

static void many_signals(void)
{
    handle(SIGUSR1, on_sig, 0);
    g_count = 0;
    for (int i = 0; i < 2000; i++)
        raise(SIGUSR1);
    CHECK_EQ(g_count, 2000);
}

static void order_of_errors(void)
{
    siginfo_t info = {.si_code = SI_QUEUE};
    const int nobody = 4194000;
    CHECK_ERR(kill(nobody, 999), ESRCH);
    CHECK_ERR(kill(-nobody, 999), ESRCH);
    CHECK_ERR(kill(getpid(), 999), EINVAL);
    CHECK_ERR(syscall(SYS_tkill, nobody, 999), ESRCH);
    CHECK_ERR(syscall(SYS_tgkill, getpid(), nobody, 999), ESRCH);
    CHECK_ERR(syscall(SYS_tkill, -1, 999), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, nobody, 999, &info), ESRCH);
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getpid(), 999, &info), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getpid(), 0, 8), EFAULT);
}

static void queue_limit(void)
{
    sig_block(SIG_BLOCK, SIGRTMIN + 4);
    IN_CHILD({
        sig_block(SIG_BLOCK, SIGRTMIN + 4);
        /* RLIMIT_SIGPENDING bounds sigqueue with EAGAIN */
        struct {
            unsigned long cur, max;
        } rl = {8, 8};
        uid_t u = 50000 + getpid(); /* a user of our own */
        OK(setresuid(u, u, u));
        OK(syscall(SYS_prlimit64, 0, 11, &rl, NULL));
        int n = 0;
        while (n < 100 && !sigqueue(getpid(), SIGRTMIN + 4, (union sigval){0}))
            n++;
        CHECK_EQ(errno, EAGAIN);
        CHECK_EQ(n, 8);
    });
}

static sigjmp_buf g_env;

static void jump_out(int sig)
{
    siglongjmp(g_env, 1);
}

static void siglongjmp_out(void)
{
    static volatile int rounds;
    rounds = 0;
    handle(SIGUSR1, jump_out, 0);
    while (rounds < 100) {
        if (!sigsetjmp(g_env, 1))
            raise(SIGUSR1);
        rounds++;
    }
}

GUEST_MAIN(C(handler_runs), C(ignored), C(blocked_then_delivered), C(kill_info),
           C(realtime_queue_order), C(realtime_fifo), C(mask_during_handler), C(nodefer_nests),
           C(resethand), C(old_action_is_returned), C(bad_numbers),
           C(kill_and_stop_cannot_be_blocked), C(altstack), C(altstack_is_busy_in_use),
           C(stack_overflow_on_altstack), C(no_stack_for_frame_kills), C(sigsuspend_restores_mask),
           C(pause_returns_eintr), C(sigtimedwait_times_out), C(sigtimedwait_eintr),
           C(sigwait_from_child), C(handler_edits_context), C(context_has_registers),
           C(frame_is_aligned), C(red_zone_is_kept), C(signal_to_group), C(permissions),
           C(null_signal), C(sigqueue_forging), C(stop_discards_cont), C(ignoring_drops_pending),
           C(many_signals), C(order_of_errors), C(queue_limit), C(siglongjmp_out))
