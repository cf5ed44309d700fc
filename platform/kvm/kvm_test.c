/* The platform contract, driven by hand-assembled guest code. Runs natively and in tests/vm. */
#include "kvm_testlib.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

GUEST(getpid_loop, "1: mov $39, %eax; syscall; mov %rax, %rbx; jmp 1b");
GUEST(args, "mov $1, %edi; mov $2, %esi; mov $3, %edx; mov $4, %r10d; mov $5, %r8d; mov $6, %r9d;"
            "mov $0x123456789abcdef0, %rax; syscall; ud2");
GUEST(touch, "mov (%rdi), %rax; mov %rax, (%rdi); mov $60, %eax; syscall");
GUEST(spin, "1: incq (%rdi); jmp 1b");
GUEST(load_loop, "1: mov (%rdi), %rax; incq (%rsi); jmp 1b");
GUEST(fsbase, "mov %fs:0, %rbx; mov %gs:8, %rcx; mov $1, %eax; syscall");
GUEST(wrbase, "wrfsbase %rdi; wrgsbase %rsi; mov $1, %eax; syscall; rdfsbase %rbx; rdgsbase %rbp;"
              "mov $2, %eax; syscall");

static void test_syscall(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, args);
    struct pl_ctx *c = ctx_new(as, 0, 0);
    struct pl_event ev = run(c);
    assert_int_equal(ev.kind, PL_EV_SYSCALL);
    assert_int_equal(ev.syscall.nr, 0x123456789abcdef0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(ev.syscall.args[i], i + 1);
    struct user_regs_struct r = regs_of(c);
    assert_int_equal(r.rax, (uint64_t)-ENOSYS);
    assert_int_equal(r.orig_rax, 0x123456789abcdef0);
    assert_int_equal(r.rip, ev.syscall.ip);
    assert_int_equal(r.rcx, ev.syscall.ip);
    assert_int_equal(r.rsp, STACK_VA);
    g_platform_kvm.ctx_set_result(c, 77);
    ev = run(c);
    assert_int_equal(ev.kind, PL_EV_EXCEPTION);
    assert_int_equal(ev.exception.trapno, 6);
    r = regs_of(c);
    assert_int_equal(r.rax, 77);
    assert_int_equal(r.orig_rax, (uint64_t)-1);
    drop(as, c);
}

static void test_fault_map_resume(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, touch);
    struct pl_ctx *c = ctx_new(as, DATA_VA + 8, 0);
    struct pl_event ev = run(c);
    assert_int_equal(ev.kind, PL_EV_FAULT);
    assert_int_equal(ev.fault.addr, DATA_VA + 8);
    assert_int_equal(ev.fault.access, PL_READ);
    assert_int_equal(ev.fault.ip, CODE_VA);
    uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ);
    data[1] = 4711;
    ev = run(c);
    assert_int_equal(ev.kind, PL_EV_FAULT);
    assert_int_equal(ev.fault.access, PL_WRITE);
    assert_int_equal(regs_of(c).rax, 4711);
    assert_int_equal(g_platform_kvm.as_protect(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE), 0);
    assert_int_equal(run(c).kind, PL_EV_SYSCALL);
    drop(as, c);
}

static void *interrupter(void *arg)
{
    usleep(20000);
    g_platform_kvm.ctx_interrupt(arg);
    return NULL;
}

static void test_interrupt(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, spin);
    volatile uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    struct pl_ctx *c = ctx_new(as, DATA_VA, 0);
    g_platform_kvm.ctx_interrupt(c); /* before the run */
    assert_int_equal(run(c).kind, PL_EV_INTERRUPTED);
    for (int i = 0; i < 10; i++) {
        pthread_t th;
        uint64_t before = data[0];
        pthread_create(&th, NULL, interrupter, c);
        assert_int_equal(run(c).kind, PL_EV_INTERRUPTED);
        pthread_join(th, NULL);
        assert_true(data[0] > before);
        uint64_t rip = regs_of(c).rip;
        assert_true(rip >= CODE_VA && rip < CODE_VA + 8);
    }
    drop(as, c);
}

struct runner {
    struct pl_ctx *c;
    struct pl_event ev;
    pthread_t th;
};

static void *runner_main(void *arg)
{
    struct runner *r = arg;
    g_platform_kvm.ctx_run(r->c, &r->ev);
    return NULL;
}

/* A thread reads a page in a loop; the page is taken away; it must fault, and never see what is put
 * into the frame after the flush. */
static void test_unmap_seen(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, load_loop);
    volatile uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ);
    volatile uint64_t *count = map_new(as, DATA_VA + 0x200000, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    struct runner r = {.c = ctx_new(as, DATA_VA, DATA_VA + 0x200000)};
    for (int i = 0; i < 20; i++) {
        data[0] = 1;
        map_at(as, DATA_VA, (void *)data, PL_PAGE_SIZE, PL_READ);
        uint64_t before = count[0];
        pthread_create(&r.th, NULL, runner_main, &r);
        int64_t end = now_us() + 5000000;
        while (count[0] == before && now_us() < end)
            usleep(200);
        assert_true(count[0] > before);
        if (i & 1)
            assert_int_equal(g_platform_kvm.as_unmap(as, DATA_VA, PL_PAGE_SIZE), 0);
        else
            assert_int_equal(g_platform_kvm.as_protect(as, DATA_VA, PL_PAGE_SIZE, 0), 0);
        assert_int_equal(g_platform_kvm.as_flush(as), 0);
        data[0] = 666;
        pthread_join(r.th, NULL);
        assert_int_equal(r.ev.kind, PL_EV_FAULT);
        assert_int_equal(r.ev.fault.addr, DATA_VA);
        assert_int_equal(regs_of(r.c).rax, 1);
    }
    drop(as, r.c);
}

/* Taking W away from a page that is being written. */
static void test_tighten_seen(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, spin);
    volatile uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    struct runner r = {.c = ctx_new(as, DATA_VA, 0)};
    for (int i = 0; i < 20; i++) {
        uint64_t before = data[0];
        pthread_create(&r.th, NULL, runner_main, &r);
        int64_t end = now_us() + 5000000;
        while (data[0] == before && now_us() < end)
            usleep(200);
        assert_int_equal(g_platform_kvm.as_protect(as, DATA_VA, PL_PAGE_SIZE, PL_READ), 0);
        assert_int_equal(g_platform_kvm.as_flush(as), 0);
        uint64_t after = data[0];
        pthread_join(r.th, NULL);
        assert_int_equal(data[0], after);
        assert_int_equal(r.ev.kind, PL_EV_FAULT);
        assert_int_equal(r.ev.fault.access, PL_WRITE);
        assert_int_equal(g_platform_kvm.as_protect(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE),
                         0);
    }
    drop(as, r.c);
}

static void test_bases(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, fsbase);
    uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ);
    data[2] = 11, data[33] = 22;
    struct pl_ctx *c = ctx_new(as, 0, 0);
    assert_int_equal(g_platform_kvm.ctx_set_base(c, false, DATA_VA + 16), 0);
    assert_int_equal(g_platform_kvm.ctx_set_base(c, true, DATA_VA + 256), 0);
    assert_int_equal(run(c).kind, PL_EV_SYSCALL);
    struct user_regs_struct r = regs_of(c);
    assert_int_equal(r.rbx, 11);
    assert_int_equal(r.rcx, CODE_VA + (uint64_t)(g_fsbase_end - g_fsbase));
    assert_int_equal(r.fs_base, DATA_VA + 16);
    assert_int_equal(r.gs_base, DATA_VA + 256);
    drop(as, c);
}

static void test_wrbase(void **state)
{
    if (!(g_w.pl->hwcap2 & 2)) {
        print_message("skipped: this KVM gives ring 3 no wrfsbase\n");
        skip();
    }
    struct pl_aspace *as = as_new();
    CODE(as, wrbase);
    struct pl_ctx *c = ctx_new(as, 0x1000, 0x2000);
    assert_int_equal(run(c).kind, PL_EV_SYSCALL);
    struct user_regs_struct r = regs_of(c);
    assert_int_equal(r.fs_base, 0x1000);
    assert_int_equal(r.gs_base, 0x2000);
    assert_int_equal(g_platform_kvm.ctx_set_base(c, false, 0x5000), 0);
    assert_int_equal(run(c).kind, PL_EV_SYSCALL);
    r = regs_of(c);
    assert_int_equal(r.rbx, 0x5000);
    assert_int_equal(r.rbp, 0x2000);
    drop(as, c);
}

static void test_bench(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, getpid_loop);
    struct pl_ctx *c = ctx_new(as, 0, 0);
    int64_t start = now_us();
    const int rounds = 2000;
    for (int i = 0; i < rounds; i++) {
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        g_platform_kvm.ctx_set_result(c, i);
    }
    print_message("  trap round trip: %.2f us\n", (double)(now_us() - start) / rounds);
    assert_int_equal(regs_of(c).rbx, rounds - 2);
    drop(as, c);
}

static void test_probe(void **state)
{
    struct pl_probe pr;
    assert_int_equal(g_platform_kvm.probe(-1, true, &pr), -ENOENT);
    assert_true(strlen(pr.reason) > 10);
    int64_t start = now_us();
    assert_int_equal(g_platform_kvm.probe(g_kvm_fd, false, &pr), 0);
    print_message("  cheap probe: %lld us\n", (long long)(now_us() - start));
    assert_int_equal(g_platform_kvm.probe(g_kvm_fd, true, &pr), 0);
    print_message("  probe: %llu ns, %s\n", (unsigned long long)pr.trap_ns, pr.reason);
    assert_true(pr.trap_ns > 0);
}

int kvm_contract_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(test_probe),      T(test_syscall),      T(test_fault_map_resume),
        T(test_bases),      T(test_wrbase),       T(test_interrupt),
        T(test_unmap_seen), T(test_tighten_seen), T(test_bench),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
