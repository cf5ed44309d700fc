/* The platform contract on systrap, driven by hand-assembled guest code. */
#include "test_guest.h"

GUEST(light, "mov $0x1111, %edi; mov $0x2222, %esi; mov $3, %edx; mov $4, %r10d; mov $5, %r8d;"
             "mov $6, %r9d; mov $0x5555, %ebx; mov $39, %eax; syscall; mov %rax, %rdi; mov $102, %eax;"
             "syscall; ud2");
GUEST(touch, "mov (%rdi), %rax; mov %rax, (%rsi); mov $39, %eax; syscall");
GUEST(trap_ud, "ud2");
GUEST(trap_div, "xor %ecx, %ecx; div %ecx");
GUEST(trap_int3, "int3");
GUEST(trap_hlt, "hlt");
GUEST(trap_align, "pushf; orl $0x40000, (%rsp); popf; mov 1(%rsp), %rax");
GUEST(trap_simd, "push $0; ldmxcsr (%rsp); xorps %xmm0, %xmm0; divps %xmm0, %xmm0");
GUEST(trap_step, "nop; nop; nop");
GUEST(spin, "1: incq (%rdi); jmp 1b");
GUEST(load_loop, "1: mov (%rdi), %rax; incq (%rsi); jmp 1b");
GUEST(bases, "wrfsbase %rdi; wrgsbase %rsi; mov $39, %eax; syscall; rdfsbase %rbx; rdgsbase %rbp;"
             "mov $111, %eax; syscall; rdfsbase %rbx; rdgsbase %rbp; mov $111, %eax; syscall");
/* All 16 ymm from memory; a light call, a full one, a fault and a spin; then all back to memory. */
GUEST(vectors,
      "vmovdqu 0(%rdi), %ymm0;vmovdqu 32(%rdi), %ymm1;vmovdqu 64(%rdi), %ymm2;"
      "vmovdqu 96(%rdi), %ymm3;vmovdqu 128(%rdi), %ymm4;vmovdqu 160(%rdi), %ymm5;"
      "vmovdqu 192(%rdi), %ymm6;vmovdqu 224(%rdi), %ymm7;vmovdqu 256(%rdi), %ymm8;"
      "vmovdqu 288(%rdi), %ymm9;vmovdqu 320(%rdi), %ymm10;vmovdqu 352(%rdi), %ymm11;"
      "vmovdqu 384(%rdi), %ymm12;vmovdqu 416(%rdi), %ymm13;vmovdqu 448(%rdi), %ymm14;"
      "vmovdqu 480(%rdi), %ymm15;"
      "mov $39, %eax; syscall; mov $111, %eax; syscall; mov (%rsi), %rax;"
      "1: cmpq $0, 8(%rsi); je 1b;"
      "vmovdqu %ymm0, 0(%rdx);vmovdqu %ymm1, 32(%rdx);vmovdqu %ymm2, 64(%rdx);"
      "vmovdqu %ymm3, 96(%rdx);vmovdqu %ymm4, 128(%rdx);vmovdqu %ymm5, 160(%rdx);"
      "vmovdqu %ymm6, 192(%rdx);vmovdqu %ymm7, 224(%rdx);vmovdqu %ymm8, 256(%rdx);"
      "vmovdqu %ymm9, 288(%rdx);vmovdqu %ymm10, 320(%rdx);vmovdqu %ymm11, 352(%rdx);"
      "vmovdqu %ymm12, 384(%rdx);vmovdqu %ymm13, 416(%rdx);vmovdqu %ymm14, 448(%rdx);"
      "vmovdqu %ymm15, 480(%rdx);"
      "mov $111, %eax; syscall");
GUEST(loop_light, "1: mov $39, %eax; syscall; inc %rbx; jmp 1b");
GUEST(loop_full, "1: mov $111, %eax; syscall; inc %rbx; jmp 1b");
GUEST(i386_call, "mov $20, %eax; int $0x80; mov %eax, %edi; mov $39, %eax; syscall");
GUEST(x32_call, "mov $0x40000027, %eax; syscall; mov $-1, %rax; syscall");
GUEST(sigreturn, "mov $15, %eax; syscall; ud2");
GUEST(vsyscall, "mov $0xffffffffff600000, %rax; call *%rax; mov $39, %eax; syscall");

static void test_light(void **state)
{
    struct guest g;
    struct user_regs_struct r;

    guest_open(&g, g_light, GUEST_SIZE(light));
    guest_start(&g, 0, 0);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g.ev.syscall.nr, 39);
    assert_int_equal(g.ev.syscall.args[0], 0x1111);
    assert_int_equal(g.ev.syscall.args[5], 6);
    g_w.ops->ctx_set_result(g.c, 0x7777);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g.ev.syscall.nr, 102);
    assert_int_equal(g.ev.syscall.args[0], 0x7777);
    assert_int_equal(g_w.ops->ctx_get_regs(g.c, &r), 0);
    assert_int_equal(r.orig_rax, 102);
    assert_int_equal((int64_t)r.rax, -ENOSYS);
    assert_int_equal(r.rbx, 0x5555);
    assert_int_equal(r.rip, g.ev.syscall.ip);
    assert_int_equal(r.rcx, r.rip);
    run(&g, PL_EV_EXCEPTION);
    assert_int_equal(g.ev.exception.trapno, 6);
    guest_close(&g);
}

static void test_fault(void **state)
{
    struct guest g;
    uint64_t at = world_alloc(PL_PAGE_SIZE);

    *(uint64_t *)(g_w.mem + at) = 99;
    guest_open(&g, g_touch, GUEST_SIZE(touch));
    guest_start(&g, DATA_VA + 8, DATA_VA + 16);
    run(&g, PL_EV_FAULT);
    assert_int_equal(g.ev.fault.addr, DATA_VA + 8);
    assert_int_equal(g.ev.fault.access, PL_READ);
    assert_int_equal(g.ev.fault.ip, CODE_VA);
    assert_int_equal(world_map(g.as, DATA_VA, PL_PAGE_SIZE, PL_READ, at), 0);
    *(uint64_t *)(g_w.mem + at + 8) = 77;
    run(&g, PL_EV_FAULT);
    assert_int_equal(g.ev.fault.access, PL_WRITE);
    assert_int_equal(g_w.ops->as_protect(g.as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE), 0);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(*(uint64_t *)(g_w.mem + at + 16), 77);
    guest_close(&g);
}

static void guest_stack(struct guest *g, struct user_regs_struct *r)
{
    uint64_t at = world_alloc(PL_PAGE_SIZE);

    assert_int_equal(world_map(g->as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE, at), 0);
    r->rsp = DATA_VA + 2048;
}

static void exception(const char *code, size_t size, unsigned trapno, unsigned offset)
{
    struct user_regs_struct r = {.rip = CODE_VA};
    struct guest g;

    guest_open(&g, code, size);
    guest_stack(&g, &r);
    if (code == g_trap_step)
        r.eflags = 0x100;
    assert_int_equal(g_w.ops->ctx_set_regs(g.c, &r), 0);
    run(&g, PL_EV_EXCEPTION);
    assert_int_equal(g.ev.exception.trapno, trapno);
    assert_int_equal(g.ev.exception.ip, CODE_VA + offset);
    guest_close(&g);
}

static void test_exceptions(void **state)
{
    exception(g_trap_ud, GUEST_SIZE(trap_ud), 6, 0);
    exception(g_trap_div, GUEST_SIZE(trap_div), 0, 2);
    exception(g_trap_int3, GUEST_SIZE(trap_int3), 3, 1);
    exception(g_trap_hlt, GUEST_SIZE(trap_hlt), 13, 0);
    exception(g_trap_align, GUEST_SIZE(trap_align), 17, 9);
    exception(g_trap_simd, GUEST_SIZE(trap_simd), 19, 9);
    exception(g_trap_step, GUEST_SIZE(trap_step), 1, 1);
}

static void test_bad_rip(void **state)
{
    const uint64_t bad[] = {0x8000000000000000, 0x0000800000000000, 0xdeadbeefdeadbeef};
    struct guest g;

    GUEST_OPEN(&g, trap_ud);
    for (unsigned i = 0; i < 3; i++) {
        struct user_regs_struct r = {.rip = bad[i], .rsp = bad[i], .eflags = ~0ull, .fs_base = bad[i]};
        assert_int_equal(g_w.ops->ctx_set_regs(g.c, &r), 0);
        run(&g, PL_EV_EXCEPTION);
        assert_int_equal(g.ev.exception.trapno, 13);
    }
    struct user_regs_struct r = {.rip = 0xffffffff81000000};
    assert_int_equal(g_w.ops->ctx_set_regs(g.c, &r), 0);
    run(&g, PL_EV_FAULT);
    assert_int_equal(g.ev.fault.addr, r.rip);
    assert_int_equal(g.ev.fault.access, PL_EXEC);
    r.rip = CODE_VA;
    assert_int_equal(g_w.ops->ctx_set_regs(g.c, &r), 0);
    run(&g, PL_EV_EXCEPTION);
    guest_close(&g);
}

static void test_set_regs(void **state)
{
    struct user_regs_struct r, got;
    struct guest g;

    GUEST_OPEN(&g, loop_light);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t *words = (uint64_t *)&r;
        for (unsigned w = 0; w < sizeof(r) / 8; w++)
            words[w] = 0x1000 + w;
        r.rip = CODE_VA;
        r.eflags = 0x202;
        assert_int_equal(g_w.ops->ctx_set_regs(g.c, &r), 0);
        run(&g, PL_EV_SYSCALL);
        g_w.ops->ctx_set_result(g.c, 5);
        assert_int_equal(g_w.ops->ctx_get_regs(g.c, &got), 0);
        r.rax = 5;
        r.orig_rax = 39;
        r.rip = r.rcx = CODE_VA + 7;
        r.r11 = r.eflags;
        r.cs = 0x33;
        r.ss = 0x2b;
        r.ds = r.es = r.fs = r.gs = 0;
        assert_memory_equal(&r, &got, sizeof(r));
    }
    guest_close(&g);
}

static void test_bases(void **state)
{
    struct user_regs_struct r;
    struct guest g;

    GUEST_OPEN(&g, bases);
    guest_start(&g, 0x123456000, 0x654321000);
    run(&g, PL_EV_SYSCALL);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g_w.ops->ctx_get_regs(g.c, &r), 0);
    assert_int_equal(r.rbx, 0x123456000);
    assert_int_equal(r.rbp, 0x654321000);
    assert_int_equal(r.fs_base, 0x123456000);
    assert_int_equal(r.gs_base, 0x654321000);
    assert_int_equal(g_w.ops->ctx_set_base(g.c, false, 0x777000), 0);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g_w.ops->ctx_get_regs(g.c, &r), 0);
    assert_int_equal(r.rbx, 0x777000);
    assert_int_equal(r.rbp, 0x654321000);
    guest_close(&g);
}

/* The set of ranges against a bitmap. */
static void test_ranges(void **state)
{
    struct st_ranges r = {0};
    bool bits[64] = {0};
    uint64_t seed = 99;

    for (unsigned step = 0; step < 20000; step++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        unsigned start = (seed >> 33) % 63, end = start + 1 + (seed >> 43) % (64 - start - 1);
        bool add = seed >> 60 & 1;
        for (unsigned i = start; i < end; i++)
            bits[i] = add;
        if (add)
            assert_int_equal(st_ranges_add(&r, start, end), 0);
        else
            st_ranges_remove(&r, start, end);
        unsigned n = 0;
        for (unsigned i = 0; i < 64; i++) {
            if (!bits[i] || (i && bits[i - 1]))
                continue;
            assert_true(n < r.count && r.v[n].start == i);
            while (i < 64 && bits[i])
                i++;
            assert_int_equal(r.v[n++].end, i);
        }
        assert_int_equal(r.count, n);
    }
    st_ranges_clear(&r);
}

static void test_vectors(void **state)
{
    uint64_t at = world_alloc(3 * PL_PAGE_SIZE);
    struct guest g;

    for (unsigned i = 0; i < 512; i++)
        g_w.mem[at + i] = (char)(i * 7 + 3);
    GUEST_OPEN(&g, vectors);
    struct user_regs_struct r = {
        .rip = CODE_VA, .rdi = DATA_VA, .rdx = DATA_VA + 4096, .rsi = DATA_VA + 8192};
    assert_int_equal(world_map(g.as, DATA_VA, 8192, PL_READ | PL_WRITE, at), 0);
    assert_int_equal(g_w.ops->ctx_set_regs(g.c, &r), 0);
    run(&g, PL_EV_SYSCALL); /* light */
    run(&g, PL_EV_SYSCALL); /* full */
    run(&g, PL_EV_FAULT);
    assert_int_equal(world_map(g.as, DATA_VA + 8192, 4096, PL_READ | PL_WRITE, at + 8192), 0);
    run_interrupted(&g);
    g_w.mem[at + 8192 + 8] = 1;
    run(&g, PL_EV_SYSCALL);
    assert_memory_equal(g_w.mem + at, g_w.mem + at + 4096, 512);
    guest_close(&g);
}

static void test_fpu(void **state)
{
    size_t size = g_w.pl->fpu_size;
    unsigned char *a = calloc(1, size), *b = calloc(1, size);
    struct guest g;

    GUEST_OPEN(&g, loop_light);
    guest_start(&g, 0, 0);
    assert_int_equal(g_w.ops->ctx_get_fpu(g.c, a), 0);
    assert_int_equal(*(uint16_t *)a, 0x37f);
    assert_int_equal(*(uint32_t *)(a + 24), 0x1f80);
    for (unsigned i = 0; i < 256; i++)
        a[160 + i] = i; /* xmm0-15 */
    *(uint64_t *)(a + 512) = 3;
    assert_int_equal(g_w.ops->ctx_set_fpu(g.c, a), 0);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g_w.ops->ctx_get_fpu(g.c, b), 0);
    assert_memory_equal(a + 160, b + 160, 256);
    memset(a, 0xff, size); /* a hostile image must do no harm */
    assert_int_equal(g_w.ops->ctx_set_fpu(g.c, a), 0);
    run(&g, PL_EV_SYSCALL);
    run(&g, PL_EV_SYSCALL);
    free(a);
    free(b);
    guest_close(&g);
}

static void test_interrupts(void **state)
{
    uint64_t at = world_alloc(PL_PAGE_SIZE);
    struct guest g;

    GUEST_OPEN(&g, spin);
    guest_start(&g, DATA_VA, 0);
    assert_int_equal(world_map(g.as, DATA_VA, 4096, PL_READ | PL_WRITE, at), 0);
    g_w.ops->ctx_interrupt(g.c); /* not running: the next run says so */
    g_w.ops->ctx_interrupt(g.c);
    run(&g, PL_EV_INTERRUPTED);
    for (int i = 0; i < 10; i++)
        run_interrupted(&g);
    assert_true(*(uint64_t *)(g_w.mem + at) > 0);
    guest_close(&g);
}

static atomic_uint g_wanted, g_seen;
static atomic_bool g_stop;

static void *interrupt_storm(void *arg)
{
    for (unsigned i = 0; i < 3000; i++) {
        atomic_fetch_add(&g_wanted, 1);
        unsigned seen = atomic_load(&g_seen);
        g_w.ops->ctx_interrupt(arg);
        for (unsigned spins = 0; atomic_load(&g_seen) == seen; spins++) {
            if (spins > 2000000) {
                fprintf(stderr, "interrupt %u lost\n", i);
                abort();
            }
            sched_yield();
        }
    }
    atomic_store(&g_stop, true);
    g_w.ops->ctx_interrupt(arg);
    return NULL;
}

/* Every interrupt shows up, whatever the guest is in when it comes. */
static void storm(const char *code, size_t size, bool get)
{
    struct user_regs_struct r;
    struct guest g;
    pthread_t t;
    uint64_t calls = 0;

    guest_open(&g, code, size);
    guest_start(&g, 0, 0);
    atomic_store(&g_stop, false);
    pthread_create(&t, NULL, interrupt_storm, g.c);
    while (!atomic_load(&g_stop)) {
        g_w.ops->ctx_run(g.c, &g.ev);
        if (g.ev.kind == PL_EV_INTERRUPTED)
            atomic_fetch_add(&g_seen, 1);
        else
            assert_int_equal(g.ev.kind, PL_EV_SYSCALL);
        if (g.ev.kind == PL_EV_SYSCALL)
            calls++;
        if (get && calls % 3 == 0)
            assert_int_equal(g_w.ops->ctx_get_regs(g.c, &r), 0);
    }
    pthread_join(t, NULL);
    assert_int_equal(g_w.ops->ctx_get_regs(g.c, &r), 0);
    /* rbx counts the calls that have returned to the guest */
    assert_in_range(r.rbx, calls - 1, calls);
    guest_close(&g);
}

static void test_interrupt_storm(void **state)
{
    storm(g_loop_light, GUEST_SIZE(loop_light), false);
    storm(g_loop_light, GUEST_SIZE(loop_light), true);
    storm(g_loop_full, GUEST_SIZE(loop_full), true);
}

static void test_foreign_calls(void **state)
{
    struct guest g;

    GUEST_OPEN(&g, i386_call);
    guest_start(&g, 0, 0);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g.ev.syscall.nr, 39);
    assert_int_equal((int32_t)g.ev.syscall.args[0], -ENOSYS);
    guest_close(&g);
    GUEST_OPEN(&g, x32_call);
    guest_start(&g, 0, 0);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g.ev.syscall.nr, 0x40000027);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g.ev.syscall.nr, -1);
    guest_close(&g);
}

static void test_vsyscall(void **state)
{
    struct user_regs_struct r = {.rip = CODE_VA};
    struct guest g;

    GUEST_OPEN(&g, vsyscall);
    guest_stack(&g, &r);
    assert_int_equal(g_w.ops->ctx_set_regs(g.c, &r), 0);
    g_w.ops->ctx_run(g.c, &g.ev);
    if (g.ev.kind == PL_EV_SYSCALL)
        assert_int_equal(g.ev.syscall.nr, SYS_gettimeofday);
    else
        assert_int_equal(g.ev.kind, PL_EV_FAULT);
    guest_close(&g);
}

static void test_map_limits(void **state)
{
    uint64_t at = world_alloc(8 * PL_PAGE_SIZE);
    struct pl_backing bad = {.fd = 9999};
    struct guest g;

    GUEST_OPEN(&g, touch);
    guest_start(&g, DATA_VA + 0x5000, DATA_VA);
    /* protect over holes: what is mapped loses write access, also behind the hole */
    assert_int_equal(world_map(g.as, DATA_VA, 4096, PL_READ | PL_WRITE, at), 0);
    assert_int_equal(world_map(g.as, DATA_VA + 0x5000, 4096, PL_READ | PL_WRITE, at), 0);
    assert_int_equal(g_w.ops->as_protect(g.as, DATA_VA + 0x1000, 0x5000, 0), 0);
    run(&g, PL_EV_FAULT);
    assert_int_equal(g.ev.fault.addr, DATA_VA + 0x5000);
    /* a map that fails leaves nothing, and says so at the latest the second time */
    assert_int_equal(world_map(g.as, DATA_VA + 0x5000, 4096, PL_READ | PL_WRITE, at), 0);
    assert_int_equal(g_w.ops->as_map(g.as, DATA_VA + 0x5000, 4096, PL_READ, &bad, false), 0);
    assert_int_equal(g_w.ops->as_flush(g.as), 0);
    run(&g, PL_EV_FAULT);
    assert_int_equal(g_w.ops->as_map(g.as, DATA_VA + 0x5000, 4096, PL_READ, &bad, false), -ENOMEM);
    assert_int_equal(world_map(g.as, DATA_VA + 0x5000, 4096, PL_READ, at), 0);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g_w.ops->as_unmap(g.as, STUB_VA, 4096), -EINVAL);
    assert_int_equal(g_w.ops->as_unmap(g.as, STUB_VA - 4096, 8192), -EINVAL);
    assert_int_equal(g_w.ops->as_unmap(g.as, 4096, ~4095ull), -EINVAL);
    guest_close(&g);
}

/* After as_flush a page that another thread was reading in a loop is out of its reach. */
static void test_flush(void **state)
{
    uint64_t at = world_alloc(2 * PL_PAGE_SIZE);
    struct guest g;
    pthread_t t;

    GUEST_OPEN(&g, load_loop);
    guest_start(&g, DATA_VA, DATA_VA + 4096);
    for (int i = 0; i < 20; i++) {
        volatile uint64_t *count = (uint64_t *)(g_w.mem + at + 4096);
        uint64_t before = *count;
        assert_int_equal(world_map(g.as, DATA_VA, 8192, PL_READ | PL_WRITE, at), 0);
        pthread_create(&t, NULL, run_until_fault, &g);
        while (*count == before)
            usleep(100);
        assert_int_equal(g_w.ops->as_unmap(g.as, DATA_VA, 4096), 0);
        assert_int_equal(g_w.ops->as_flush(g.as), 0);
        before = *count;
        pthread_join(t, NULL);
        assert_int_equal(g.ev.kind, PL_EV_FAULT);
        assert_int_equal(g.ev.fault.addr, DATA_VA);
        assert_in_range(*count, before, before + 1);
    }
    guest_close(&g);
}

static void test_recycle(void **state)
{
    uint64_t at = world_alloc(PL_PAGE_SIZE);
    char *fpu = malloc(g_w.pl->fpu_size);
    struct user_regs_struct r;
    struct guest g;
    pid_t pid;

    GUEST_OPEN(&g, vectors);
    pid = g.as->pid;
    memset(g_w.mem + at, 0xee, PL_PAGE_SIZE);
    assert_int_equal(world_map(g.as, DATA_VA, 4096, PL_READ | PL_WRITE, at), 0);
    struct user_regs_struct in = {.rip = CODE_VA, .rdi = DATA_VA, .fs_base = 0x1000, .gs_base = 0x2000};
    assert_int_equal(g_w.ops->ctx_set_regs(g.c, &in), 0);
    run(&g, PL_EV_SYSCALL);
    guest_close(&g);
    assert_int_equal(g_w.ops->as_create(g_w.pl, &g.as), 0);
    assert_int_equal(g.as->pid, pid);
    assert_int_equal(g_w.ops->ctx_create(g.as, &g.c), 0);
    assert_int_equal(g_w.ops->ctx_get_regs(g.c, &r), 0);
    for (unsigned i = 0; i < 16; i++)
        if (i != 15)
            assert_int_equal(((uint64_t *)&r)[i] && i != 14, 0);
    assert_int_equal(r.fs_base | r.gs_base | r.rip | r.rsp, 0);
    assert_int_equal(g_w.ops->ctx_get_fpu(g.c, fpu), 0);
    for (unsigned i = 32; i < g_w.pl->fpu_size; i++)
        if (i < 512 || i >= 520)
            assert_int_equal(fpu[i], 0);
    guest_start(&g, 0, 0);
    run(&g, PL_EV_FAULT); /* the code is gone, too */
    assert_int_equal(g.ev.fault.addr, CODE_VA);
    assert_int_equal(world_code(g.as, g_bases, GUEST_SIZE(bases)), 0);
    in = (struct user_regs_struct){.rip = CODE_VA + 10};
    assert_int_equal(g_w.ops->ctx_set_regs(g.c, &in), 0);
    run(&g, PL_EV_SYSCALL);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g_w.ops->ctx_get_regs(g.c, &r), 0);
    assert_int_equal(r.rbx | r.rbp, 0);
    guest_close(&g);
    free(fpu);
}

struct worker {
    struct guest g;
    pthread_t t;
    unsigned id;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < 500; i++) {
        run(&w->g, PL_EV_SYSCALL);
        if (w->g.ev.syscall.nr != 39)
            abort();
        g_w.ops->ctx_set_result(w->g.c, i);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct worker w[32] = {0};
    struct user_regs_struct r;

    GUEST_OPEN(&w[0].g, loop_light);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 32; i++) {
            w[i].g.as = w[0].g.as;
            if (i || round)
                assert_int_equal(g_w.ops->ctx_create(w[i].g.as, &w[i].g.c), 0);
            guest_start(&w[i].g, 0, 0);
            pthread_create(&w[i].t, NULL, worker_main, &w[i]);
        }
        for (unsigned i = 0; i < 32; i++) {
            pthread_join(w[i].t, NULL);
            assert_int_equal(g_w.ops->ctx_get_regs(w[i].g.c, &r), 0);
            assert_int_equal(r.rbx, 499);
        }
        for (unsigned i = 0; i < 32; i++)
            g_w.ops->ctx_destroy(w[i].g.c);
    }
    g_w.ops->as_destroy(w[0].g.as);
}

static void test_many_aspaces(void **state)
{
    static struct guest g[50];

    for (unsigned i = 0; i < 50; i++) {
        GUEST_OPEN(&g[i], loop_light);
        guest_start(&g[i], i, 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        run(&g[i], PL_EV_SYSCALL);
        assert_int_equal(g[i].ev.syscall.args[0], i);
    }
    for (unsigned i = 0; i < 50; i++)
        guest_close(&g[i]);
}

/* rt_sigreturn at the guest's own address is an ordinary, full call. */
static void test_sigreturn_guest(void **state)
{
    struct guest g;

    GUEST_OPEN(&g, sigreturn);
    guest_start(&g, 0, 0);
    run(&g, PL_EV_SYSCALL);
    assert_int_equal(g.ev.syscall.nr, SYS_rt_sigreturn);
    guest_close(&g);
}

/* Assertions are for the main thread only. */
static void must(int err, const char *what)
{
    if (err) {
        fprintf(stderr, "%s: %d\n", what, err);
        abort();
    }
}

static void churn_once(uint64_t code, unsigned id, unsigned round)
{
    struct user_regs_struct r;
    struct guest g, extra;
    bool two = round % 3 == 0, kill_it = round % 7 == 6;

    must(g_w.ops->as_create(g_w.pl, &g.as), "as_create");
    must(world_map(g.as, CODE_VA, PL_PAGE_SIZE, PL_READ | PL_EXEC, code), "as_map");
    must(g_w.ops->ctx_create(g.as, &g.c), "ctx_create");
    guest_start(&g, id, round);
    run(&g, PL_EV_SYSCALL);
    must(g.ev.syscall.args[0] != id || g.ev.syscall.args[1] != round, "first call");
    extra.as = g.as;
    if (two)
        must(g_w.ops->ctx_create(g.as, &extra.c), "second ctx_create");
    if (two) {
        guest_start(&extra, ~id, round);
        run(&extra, PL_EV_SYSCALL);
        g_w.ops->ctx_interrupt(extra.c);
    }
    if (kill_it)
        kill(g.as->pid, SIGKILL);
    g_w.ops->ctx_run(g.c, &g.ev);
    (void)g_w.ops->ctx_get_regs(g.c, &r);
    if (two)
        g_w.ops->ctx_destroy(extra.c);
    guest_close(&g);
}

struct churner {
    pthread_t t;
    uint64_t code;
    unsigned id;
};

static void *churn_main(void *arg)
{
    struct churner *w = arg;

    for (unsigned round = 0; round < 100; round++)
        churn_once(w->code, w->id, round);
    return NULL;
}

/* Many sentry threads make and end processes at once; some processes are killed meanwhile. */
static void test_churn(void **state)
{
    unsigned fds = fd_count();
    struct churner w[6];
    uint64_t code = world_alloc(PL_PAGE_SIZE);

    memcpy(g_w.mem + code, g_loop_light, GUEST_SIZE(loop_light));
    for (unsigned i = 0; i < 6; i++) {
        w[i] = (struct churner){.code = code, .id = i};
        pthread_create(&w[i].t, NULL, churn_main, &w[i]);
    }
    for (unsigned i = 0; i < 6; i++)
        pthread_join(w[i].t, NULL);
    assert_in_range(fd_count(), 0, fds + 2 * ST_POOL_MAX + 2);
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
        cmocka_unit_test(test_light),
        cmocka_unit_test(test_fault),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_bad_rip),
        cmocka_unit_test(test_set_regs),
        cmocka_unit_test(test_bases),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_fpu),
        cmocka_unit_test(test_interrupts),
        cmocka_unit_test(test_interrupt_storm),
        cmocka_unit_test(test_foreign_calls),
        cmocka_unit_test(test_vsyscall),
        cmocka_unit_test(test_map_limits),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_recycle),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_many_aspaces),
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_sigreturn_guest),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
