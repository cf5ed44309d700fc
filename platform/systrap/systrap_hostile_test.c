/* Hostile guests and sudden deaths on systrap: what a guest may do to itself, and to nobody else.
 */
#include "test_guest.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

GUEST(jump, "jmp *%rbp");
GUEST(loop_light, "1: mov $39, %eax; syscall; inc %rbx; jmp 1b");
GUEST(spin, "1: incq (%rdi); jmp 1b");
/* Lies about new threads, forever: "failed", "there" in the ready words of slots 2 to 15. */
GUEST(liar,
      "1: mov %rdi, %rax; mov $14, %ecx; 2: movl $-11, (%rax); movl $1, (%rax); add $4096, %rax;"
      "loop 2b; jmp 1b");

static atomic_bool g_stop;

static void test_killed(void **state)
{
    struct user_regs_struct r;
    struct guest g;

    GUEST_OPEN(&g, loop_light);
    guest_start(&g, 0, 0);
    run(&g, PL_EV_SYSCALL);
    kill(g.as->pid, SIGKILL);
    usleep(10000);
    assert_int_equal(g_w.ops->ctx_get_regs(g.c, &r), -ESRCH);
    run(&g, PL_EV_DIED);
    run(&g, PL_EV_DIED);
    assert_int_equal(g_w.ops->as_flush(g.as), -EIO);
    guest_close(&g);
    GUEST_OPEN(&g, spin); /* while it runs */
    uint64_t at = world_alloc(PL_PAGE_SIZE);
    pthread_t t;
    world_map(g.as, DATA_VA, 4096, PL_READ | PL_WRITE, at);
    guest_start(&g, DATA_VA, 0);
    pthread_create(&t, NULL, run_until_fault, &g);
    usleep(20000);
    kill(g.as->pid, SIGKILL);
    pthread_join(t, NULL);
    assert_int_equal(g.ev.kind, PL_EV_DIED);
    guest_close(&g);
}

static void *jump_guard(void *arg)
{
    struct guest *g = arg;

    for (unsigned i = 0; i < 20 && !atomic_load(&g_stop); i++)
        usleep(1000);
    if (!atomic_load(&g_stop))
        g_w.ops->ctx_interrupt(g->c);
    return NULL;
}

/* A guest enters the stub text at offset with its own registers. Whatever happens, no host call of
 * its choosing may. It may run on as far as it likes: a few events, then it is ended. */
static void jump(unsigned offset, int pipe_wr, uint64_t nr, uint64_t page)
{
    struct user_regs_struct r = {.rip = CODE_VA,
                                 .rbp = STUB_TEXT + offset,
                                 .rax = nr,
                                 .rdi = pipe_wr,
                                 .rsi = DATA_VA,
                                 .rdx = 16,
                                 .r10 = 0x11,
                                 .r8 = pipe_wr,
                                 .r12 = nr,
                                 .rsp = DATA_VA + 1024,
                                 .rbx = DATA_VA,
                                 .r13 = DATA_VA,
                                 .r14 = DATA_VA,
                                 .r15 = pipe_wr,
                                 .eflags = 0x202};
    struct guest g;
    pthread_t t;

    guest_open(&g, g_jump, GUEST_SIZE(jump));
    assert_int_equal(world_map(g.as, DATA_VA, 4096, PL_READ | PL_WRITE, page), 0);
    assert_int_equal(g_w.ops->ctx_set_regs(g.c, &r), 0);
    for (unsigned i = 0; i < 6; i++) {
        atomic_store(&g_stop, false);
        pthread_create(&t, NULL, jump_guard, &g);
        g_w.ops->ctx_run(g.c, &g.ev);
        atomic_store(&g_stop, true);
        pthread_join(t, NULL);
        if (g.ev.kind != PL_EV_SYSCALL)
            break;
    }
    guest_close(&g);
    g_w.next -= PL_PAGE_SIZE; /* the code page */
}

static void test_jump_into_stub(void **state)
{
    const uint64_t nrs[] = {SYS_write, SYS_dup3,  SYS_seccomp, SYS_mmap,
                            SYS_exit,  SYS_clone, SYS_munmap};
    unsigned size = rf_stub_end - rf_stub_start, fds = fd_count();
    uint64_t page = world_alloc(PL_PAGE_SIZE), seed = 12345;
    int ends[2];

    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    for (unsigned i = 0; i < PL_PAGE_SIZE / 8;
         i++) /* memory that reads as calls, frames and pointers */
        ((uint64_t *)(g_w.mem + page))[i] = i % 3 ? (uint64_t)ends[1] : DATA_VA;
    for (unsigned offset = 0; offset < size; offset++) {
        char c;
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        jump(offset, ends[1], nrs[offset % 7], page);
        jump(offset, ends[1], nrs[(seed >> 33) % 7], page);
        assert_int_equal(read(ends[0], &c, 1), -1);
        assert_int_equal(errno, EAGAIN);
    }
    close(ends[0]);
    close(ends[1]);
    assert_in_range(fd_count(), 0, fds + 2 * ST_POOL_MAX);
}

/* At the stub's address the host carries it out: the guest may change its own registers, and block
 * our signal; then an interrupt must still end it within seconds. */
static void test_sigreturn_forged(void **state)
{
    uint64_t at = world_alloc(2 * PL_PAGE_SIZE);
    struct st_frame *f = (struct st_frame *)(g_w.mem + at);
    struct guest g;
    pthread_t t;

    *f = (struct st_frame){.uc_flags = 6, .sigmask = ~0ull};
    f->sc = (struct st_sigcontext){.ip = CODE_VA + GUEST_SIZE(jump),
                                   .di = DATA_VA + 4096,
                                   .flags = 0x202,
                                   .cs = 0x33,
                                   .ss = 0x2b};
    char code[64];
    memcpy(code, g_jump, GUEST_SIZE(jump));
    memcpy(code + GUEST_SIZE(jump), g_spin, GUEST_SIZE(spin));
    guest_open(&g, code, GUEST_SIZE(jump) + GUEST_SIZE(spin));
    assert_int_equal(world_map(g.as, DATA_VA, 8192, PL_READ | PL_WRITE, at), 0);
    struct user_regs_struct r = {
        .rip = CODE_VA, .rbp = st_text_va(rf_stub_restorer), .rsp = DATA_VA + 8};
    assert_int_equal(g_w.ops->ctx_set_regs(g.c, &r), 0);
    pthread_create(&t, NULL, interrupt_later, g.c);
    run(&g, PL_EV_DIED);
    assert_true(*(uint64_t *)(g_w.mem + at + 4096) > 0); /* it did get to spin */
    pthread_join(t, NULL);
    guest_close(&g);
}

/* Whatever the guest writes into the slots, a new thread comes up with its own listener, or not at
 * all; no descriptor is lost. */
static void test_forged_slots(void **state)
{
    struct user_regs_struct r = {.rip = CODE_VA, .rdi = STUB_SLOTS + 2 * 4096};
    unsigned fds = 0;
    pthread_t t;

    for (unsigned round = 0; round < 3; round++) {
        struct guest liar, g = {0};
        GUEST_OPEN(&liar, liar);
        assert_int_equal(g_w.ops->ctx_set_regs(liar.c, &r), 0);
        pthread_create(&t, NULL, run_until_fault, &liar);
        usleep(2000);
        for (unsigned i = 0; i < 8; i++)
            if (!g_w.ops->ctx_create(liar.as, &g.c)) {
                assert_true(st_notif_setup(g.c->listener) == 0);
                g_w.ops->ctx_destroy(g.c);
            }
        g_w.ops->ctx_interrupt(liar.c);
        pthread_join(t, NULL);
        guest_close(&liar);
        if (round)
            assert_in_range(fd_count(), 0, fds + 4);
        fds = fd_count();
    }
}

/* When the sentry dies, however it does, so do zygote and stubs. */
static void test_sentry_killed(void **state)
{
    struct guest g;
    int ends[2];
    char c;

    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (!pid) {
        if (world_open())
            _exit(1);
        GUEST_OPEN(&g, loop_light); /* the pool refills itself meanwhile, too */
        guest_start(&g, 0, 0);
        run(&g, PL_EV_SYSCALL);
        kill(getpid(), SIGKILL);
    }
    close(ends[1]);
    /* Everyone who shares the child's descriptors has the pipe's other end. */
    alarm(10);
    assert_int_equal(read(ends[0], &c, 1), 0);
    alarm(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ends[0]);
}

/* What README.md says of the sentry's host calls, and those of the test itself (from sched_yield
 * on). */
static void calls_confine(void)
{
    static const int allowed[] = {
        SYS_ioctl,      SYS_futex, SYS_tgkill,          SYS_kill,          SYS_wait4,
        SYS_ppoll,      SYS_close, SYS_madvise,         SYS_clock_gettime, SYS_clone3,
        SYS_clone,      SYS_mmap,  SYS_munmap,          SYS_mprotect,      SYS_rt_sigprocmask,
        SYS_rseq,       SYS_exit,  SYS_set_robust_list, SYS_brk,           SYS_mremap,
        SYS_exit_group, SYS_write, SYS_clock_nanosleep, SYS_getrandom,     SYS_sched_yield,
    };
    struct sock_filter insns[2 + 2 * sizeof(allowed) / sizeof(allowed[0])];
    unsigned n = 0;

    insns[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    for (unsigned i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        insns[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
        insns[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    insns[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog prog = {n, insns};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
        _exit(1);
}

/* The life of a sandbox, in a child that dies of any other host call. */
static void confined_main(void)
{
    static struct guest g[12];
    struct user_regs_struct r;

    if (world_open())
        _exit(2);
    uint64_t at = world_alloc(PL_PAGE_SIZE);
    calls_confine();
    for (unsigned i = 0; i < 12; i++) {
        GUEST_OPEN(&g[i], loop_light);
        guest_start(&g[i], 0, 0);
        run(&g[i], PL_EV_SYSCALL);
        if (g_w.ops->ctx_get_regs(g[i].c, &r))
            _exit(3);
    }
    for (unsigned i = 0; i < 20; i++) {
        struct guest t = {.as = g[0].as};
        if (g_w.ops->ctx_create(t.as, &t.c))
            _exit(4);
        guest_start(&t, 0, 0);
        run(&t, PL_EV_SYSCALL);
        g_w.ops->ctx_destroy(t.c);
    }
    for (unsigned i = 0; i < 12; i++)
        guest_close(&g[i]);
    GUEST_OPEN(&g[0], spin);
    world_map(g[0].as, DATA_VA, 4096, PL_READ | PL_WRITE, at);
    guest_start(&g[0], DATA_VA, 0);
    run_interrupted(&g[0]);
    guest_close(&g[0]);
    world_close();
    _exit(0);
}

static void test_host_calls(void **state)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    skip(); /* a sanitizer makes host calls of its own */
#endif
    int status;
    pid_t pid = fork();

    if (!pid)
        confined_main();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* The way of kernels before 6.11, where RECV does not notice that the stub has died. */
static void test_poll_first(void **state)
{
    struct systrap *p = (struct systrap *)g_w.pl;

    p->poll_first = true;
    test_killed(state);
    test_jump_into_stub(state);
    p->poll_first = false;
}

static int setup(void **state)
{
    return world_open();
}

static int teardown(void **state)
{
    world_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed),           cmocka_unit_test(test_jump_into_stub),
        cmocka_unit_test(test_sigreturn_forged), cmocka_unit_test(test_forged_slots),
        cmocka_unit_test(test_sentry_killed),    cmocka_unit_test(test_host_calls),
        cmocka_unit_test(test_poll_first),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
