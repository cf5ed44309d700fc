/* FP and vector state, and many threads over few vCPUs. */
#include "kvm_testlib.h"

#include <errno.h>
#include <unistd.h>

/* Fills ymm0-15 from rdi's table, then for ever: spin a little, make a system call, touch rsi's
 * page, compare all registers with the table; ud2 on a difference. The table is 16 x 32 bytes. */
#define YLOAD(n) "vmovdqu 32*" #n "(%rdi), %ymm" #n ";"
#define YCHECK(n)                                                                                  \
    "vpcmpeqb 32*" #n "(%rdi), %ymm" #n ", %ymm15; vpmovmskb %ymm15, %eax; cmp $-1, %eax; jne 9f;"
#define Y15(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14)
GUEST(ymm, Y15(YLOAD) "vmovdqu 480(%rdi), %ymm15;"
                      "1: mov $3000, %ecx; 2: dec %ecx; jnz 2b;"
                      "vmovdqu %ymm15, 512(%rdi);" Y15(
                          YCHECK) "vmovdqu 512(%rdi), %ymm15;"
                                  "vpcmpeqb 480(%rdi), %ymm15, %ymm15; vpmovmskb %ymm15, %eax; cmp "
                                  "$-1, %eax; jne 9f;"
                                  "vmovdqu 480(%rdi), %ymm15; incq (%rsi); mov $39, %eax; syscall; "
                                  "jmp 1b; 9: ud2");
GUEST(spin_count, "1: incq (%rdi); jmp 1b");
GUEST(sse_read, "movups %xmm0, (%rdi); stmxcsr 16(%rdi); mov $1, %eax; syscall; jmp g_sse_read");
GUEST(sse_fill,
      "movups (%rdi), %xmm0; mov $1, %eax; syscall; movups %xmm0, 64(%rdi); mov $1, %eax; syscall");

GUEST(zmm,
      "vmovdqu64 (%rdi), %zmm31; vmovdqu64 (%rdi), %zmm3; kmovq %rsi, %k5; mov $1, %eax; syscall;"
      "vmovdqu64 %zmm31, 64(%rdi); vmovdqu64 %zmm3, 128(%rdi); kmovq %k5, 192(%rdi);"
      "mov $1, %eax; syscall");

static bool have_avx(void)
{
    return g_w.pl->xfeatures & 4;
}

struct worker {
    pthread_t th;
    struct pl_aspace *as;
    struct pl_ctx *c;
    uint64_t *count;
    int rounds, syscalls, interrupts;
    struct pl_event bad;
};

/* Runs its guest for a number of system calls; unmaps and maps a page at times, so that it faults.
 */
static void *worker_main(void *arg)
{
    struct worker *w = arg;
    while (w->syscalls < w->rounds) {
        struct pl_event ev = run(w->c);
        if (ev.kind == PL_EV_SYSCALL) {
            g_platform_kvm.ctx_set_result(w->c, w->syscalls++);
            if (w->syscalls % 7 == 0)
                g_platform_kvm.as_unmap(w->as, DATA_VA + 0x200000, PL_PAGE_SIZE);
        } else if (ev.kind == PL_EV_FAULT && ev.fault.addr == DATA_VA + 0x200000) {
            map_at(w->as, DATA_VA + 0x200000, w->count, PL_PAGE_SIZE, PL_READ | PL_WRITE);
        } else if (ev.kind == PL_EV_INTERRUPTED) {
            w->interrupts++;
        } else {
            w->bad = ev;
            break;
        }
    }
    return NULL;
}

static void worker_start(struct worker *w, int seed, int rounds)
{
    w->as = as_new();
    w->rounds = rounds;
    CODE(w->as, ymm);
    uint8_t *table = map_new(w->as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    w->count = map_new(w->as, DATA_VA + 0x200000, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    for (int i = 0; i < 512; i++)
        table[i] = (uint8_t)(i * 37 + seed * 101 + 1);
    w->c = ctx_new(w->as, DATA_VA, DATA_VA + 0x200000);
}

static void ymm_run(int count, int rounds)
{
    struct worker w[16] = {0};
    if (!have_avx()) {
        print_message("skipped: no AVX here\n");
        skip();
    }
    for (int i = 0; i < count; i++)
        worker_start(&w[i], i, rounds);
    for (int i = 0; i < count; i++)
        pthread_create(&w[i].th, NULL, worker_main, &w[i]);
    for (int n = 0; n < 30; n++) {
        for (int i = 0; i < count; i++)
            g_platform_kvm.ctx_interrupt(w[i].c);
        usleep(3000);
    }
    int interrupts = 0;
    for (int i = 0; i < count; i++) {
        pthread_join(w[i].th, NULL);
        interrupts += w[i].interrupts;
        assert_int_equal(w[i].bad.kind, 0);
        assert_int_equal(w[i].syscalls, rounds);
        drop(w[i].as, w[i].c);
    }
    assert_true(interrupts > 0);
}

static void test_ymm_8_threads(void **state)
{
    ymm_run(8, 300);
}

static void test_ymm_few_vcpus(void **state)
{
    ymm_run(8, 200);
}

/* Two ctxs of one host thread in turn on one vCPU: FP state moves at each step. */
static void test_fpu_switch(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, sse_fill);
    uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    struct pl_ctx *c[6];
    for (unsigned i = 0; i < 6; i++) {
        data[i * 32] = 1000 + i;
        c[i] = ctx_new(as, DATA_VA + i * 256, 0);
        assert_int_equal(run(c[i]).kind, PL_EV_SYSCALL);
    }
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(run(c[i]).kind, PL_EV_SYSCALL);
        assert_int_equal(data[i * 32 + 8], 1000 + i);
        g_platform_kvm.ctx_destroy(c[i]);
    }
    drop(as, NULL);
}

static void test_zmm_switch(void **state)
{
    if ((g_w.pl->xfeatures & 0xe4) != 0xe4) {
        print_message("skipped: no AVX-512 here\n");
        skip();
    }
    struct pl_aspace *as = as_new();
    CODE(as, zmm);
    uint8_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    struct pl_ctx *c[6];
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned n = 0; n < 64; n++)
            data[i * 256 + n] = (uint8_t)(i * 64 + n * 3 + 1);
        c[i] = ctx_new(as, DATA_VA + i * 256, 0x1111111111111111 * (i + 1));
        assert_int_equal(run(c[i]).kind, PL_EV_SYSCALL);
    }
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(run(c[i]).kind, PL_EV_SYSCALL);
        uint8_t *d = data + i * 256;
        assert_memory_equal(d, d + 64, 64);
        assert_memory_equal(d, d + 128, 64);
        assert_int_equal(*(uint64_t *)(d + 192), 0x1111111111111111 * (i + 1));
        g_platform_kvm.ctx_destroy(c[i]);
    }
    drop(as, NULL);
}

static void test_fpu_image(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, sse_read);
    uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    struct pl_ctx *c = ctx_new(as, DATA_VA, 0);
    uint8_t *image = calloc(1, 16384);
    data[0] = data[1] = 99;
    assert_int_equal(run(c).kind, PL_EV_SYSCALL);
    assert_int_equal(data[0], 0); /* a fresh thread */
    assert_int_equal(data[1], 0);
    assert_int_equal((uint32_t)data[2], 0x1f80);
    assert_int_equal(g_platform_kvm.ctx_get_fpu(c, image), 0);
    memset(image + 160, 0x5a, 16); /* xmm0 */
    ((uint64_t *)(image + 512))[0] |= 2;
    *(uint32_t *)(image + 24) = 0x3f80;
    assert_int_equal(g_platform_kvm.ctx_set_fpu(c, image), 0);
    assert_int_equal(run(c).kind, PL_EV_SYSCALL);
    assert_int_equal(data[0], 0x5a5a5a5a5a5a5a5aull);
    assert_int_equal((uint32_t)data[2], 0x3f80);
    memset(image, 0, 16384);
    assert_int_equal(g_platform_kvm.ctx_get_fpu(c, image), 0);
    assert_int_equal(image[160], 0x5a);
    for (int i = 0; i < 50; i++) { /* hostile images are cleaned or refused */
        for (unsigned n = 0; n < g_w.pl->fpu_size; n++)
            image[n] = (uint8_t)rand();
        int rc = g_platform_kvm.ctx_set_fpu(c, image);
        assert_true(rc == 0 || rc == -EINVAL);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
    }
    free(image);
    drop(as, c);
}

/* A fresh thread, and an image that holds nothing, are clean whatever ran on the vCPU before. */
GUEST(sse_dirty,
      "movl $0x7f80, (%rdi); ldmxcsr (%rdi); pcmpeqd %xmm0, %xmm0; mov $1, %eax; syscall");

static void test_fpu_fresh(void **state)
{
    struct pl_aspace *as = as_new(), *clean = as_new();
    CODE(as, sse_dirty);
    CODE(clean, sse_read);
    uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    map_at(clean, DATA_VA, data, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    uint8_t *image = calloc(1, 16384);
    *(uint32_t *)(image + 24) = 0x1f80;
    for (int i = 0; i < 8; i++) {
        struct pl_ctx *c = ctx_new(as, DATA_VA, 0);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        g_platform_kvm.ctx_destroy(c);
        data[0] = 99;
        c = ctx_new(clean, DATA_VA, 0);
        if (i & 1)
            assert_int_equal(g_platform_kvm.ctx_set_fpu(c, image), 0);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        assert_int_equal(data[0], 0);
        assert_int_equal((uint32_t)data[2], 0x1f80);
        g_platform_kvm.ctx_destroy(c);
    }
    free(image);
    drop(clean, NULL);
    drop(as, NULL);
}

/* AVX's upper halves survive get and set, on every kind. */
static void test_fpu_image_avx(void **state)
{
    struct worker w = {0};
    if (!have_avx()) {
        print_message("skipped: no AVX here\n");
        skip();
    }
    uint8_t *image = calloc(1, 16384);
    worker_start(&w, 3, 10);
    for (int i = 0; i < 30; i++) {
        w.rounds = i + 1;
        worker_main(&w);
        assert_int_equal(w.bad.kind, 0);
        assert_int_equal(g_platform_kvm.ctx_get_fpu(w.c, image), 0);
        if (i & 1) {
            uint8_t *init = calloc(1, 16384);
            *(uint32_t *)(init + 24) = 0x1f80;
            assert_int_equal(g_platform_kvm.ctx_set_fpu(w.c, init), 0);
            free(init);
        }
        assert_int_equal(g_platform_kvm.ctx_set_fpu(w.c, image), 0);
    }
    free(image);
    drop(w.as, w.c);
}

struct spinner {
    pthread_t th;
    struct pl_ctx *c;
    struct pl_event ev;
};

static void *spinner_main(void *arg)
{
    struct spinner *s = arg;
    s->ev = run(s->c);
    return NULL;
}

/* Twelve guests that spin for ever on three vCPUs: each gets on. */
static void test_more_than_vcpus(void **state)
{
    enum { COUNT = 12 };
    struct spinner s[COUNT];
    struct pl_aspace *as = as_new();
    CODE(as, spin_count);
    volatile uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
    for (unsigned i = 0; i < COUNT; i++) {
        s[i].c = ctx_new(as, DATA_VA + i * 64, 0);
        pthread_create(&s[i].th, NULL, spinner_main, &s[i]);
    }
    for (int round = 0; round < 3; round++) {
        uint64_t before[COUNT];
        for (unsigned i = 0; i < COUNT; i++)
            before[i] = data[i * 8];
        int64_t end = now_us() + 10000000;
        unsigned moved = 0;
        while (moved < COUNT && now_us() < end) {
            usleep(5000);
            moved = 0;
            for (unsigned i = 0; i < COUNT; i++)
                moved += data[i * 8] != before[i];
        }
        assert_int_equal(moved, COUNT);
    }
    int64_t start = now_us();
    for (unsigned i = 0; i < COUNT; i++)
        g_platform_kvm.ctx_interrupt(s[i].c);
    for (unsigned i = 0; i < COUNT; i++) {
        pthread_join(s[i].th, NULL);
        assert_int_equal(s[i].ev.kind, PL_EV_INTERRUPTED);
        g_platform_kvm.ctx_destroy(s[i].c);
    }
    print_message("  %d spinning guests interrupted in %lld us\n", COUNT,
                  (long long)(now_us() - start));
    drop(as, NULL);
}

/* Fifty address spaces with a ctx each, in turn, on few vCPUs. */
static void test_50_aspaces(void **state)
{
    enum { COUNT = 50 };
    struct pl_aspace *as[COUNT];
    struct pl_ctx *c[COUNT];
    uint64_t *data[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        as[i] = as_new();
        CODE(as[i], sse_fill);
        data[i] = map_new(as[i], DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
        data[i][0] = 5000 + i;
        c[i] = ctx_new(as[i], DATA_VA, 0);
        g_platform_kvm.ctx_set_base(c[i], false, 0x1000 * i);
    }
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < COUNT; i++)
            assert_int_equal(run(c[i]).kind, PL_EV_SYSCALL);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(data[i][8], 5000 + i);
        assert_int_equal(regs_of(c[i]).fs_base, 0x1000 * i);
        drop(as[i], c[i]);
    }
}

/* Many short processes: tables and vCPUs come back. */
static void test_churn(void **state)
{
    int64_t start = now_us();
    enum { COUNT = 300 };
    for (unsigned i = 0; i < COUNT; i++) {
        g_w.next = (i % 8) * 65536;
        struct pl_aspace *as = as_new();
        CODE(as, sse_fill);
        uint64_t *data = map_new(as, DATA_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
        map_new(as, STACK_VA, PL_PAGE_SIZE, PL_READ | PL_WRITE);
        data[0] = i;
        struct pl_ctx *c = ctx_new(as, DATA_VA, 0);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        assert_int_equal(data[8], i);
        drop(as, c);
    }
    struct kvm_platform *p = (struct kvm_platform *)g_w.pl;
    print_message(
        "  %.0f us for each process of two system calls; %u tables in use at most, %u vCPUs\n",
        (double)(now_us() - start) / COUNT, p->arena.used, p->vcpu_count);
    assert_true(p->arena.used < 4000);
}

int kvm_state_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(test_ymm_8_threads),  T_FEW(test_ymm_few_vcpus),   T_FEW(test_fpu_switch),
        T_FEW(test_zmm_switch), T(test_fpu_image),           T(test_fpu_fresh),
        T(test_fpu_image_avx),  T_FEW(test_more_than_vcpus), T_FEW(test_50_aspaces),
        T(test_churn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
