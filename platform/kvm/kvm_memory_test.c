/* Page tables against a model, large pages, files that are cut under a running guest. */
#include "kvm_testlib.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

GUEST(peek, "1: mov (%rdi), %rax; mov $1, %eax; syscall; jmp 1b");
GUEST(sum,
      "1: mov (%rdi), %rbx; add $4096, %rdi; cmp %rsi, %rdi; jb 1b; mov $1, %eax; syscall; jmp 1b");

/* Reads rsi pages from rdi on, round and round; a value of -1 is an error. Counts rounds at r8. */
GUEST(reader, "1: mov %rdi, %rax; mov %rsi, %rcx; 2: mov (%rax), %rbx; cmp $-1, %rbx; je 9f;"
              "add $4096, %rax; dec %rcx; jnz 2b; incq (%r8); jmp 1b; 9: ud2");

static uint64_t pte_at(struct pl_aspace *as, uint64_t va)
{
    pthread_mutex_lock(&as->lock);
    uint64_t e = kvm_pt_get_locked(as, va);
    pthread_mutex_unlock(&as->lock);
    return e;
}

/* What the tables say of va: -1 unmapped, else the page number in the memory file * 8 + prot bits.
 */
static int64_t table_says(struct pl_aspace *as, uint64_t va)
{
    uint64_t e = pte_at(as, va);
    if (!e)
        return -1;
    bool p = e & KVM_PTE_P;
    uint64_t gpa = (p ? e : ~e) & KVM_PTE_ADDR;
    if (e & KVM_PTE_PS)
        gpa = (gpa & ~0x1fffffull) + (va & 0x1ff000);
    uint8_t *hva = kvm_hva_find(as->p, gpa);
    unsigned prot =
        !p ? 0 : PL_READ | (e & KVM_PTE_W ? PL_WRITE : 0) | (e & KVM_PTE_NX ? 0 : PL_EXEC);
    return (int64_t)((uint64_t)(hva - g_w.mem) / PL_PAGE_SIZE * 8 + prot);
}

enum { MODEL_PAGES = 4096 };

static void test_model(void **state)
{
    static int64_t model[MODEL_PAGES];
    struct pl_aspace *as = as_new();
    const uint64_t base = 0x7f0000000000 - 8 * 0x200000;
    uint32_t seed = 99;
    for (int i = 0; i < MODEL_PAGES; i++)
        model[i] = -1;
    for (int step = 0; step < 3000; step++) {
        seed = seed * 1103515245 + 12345;
        unsigned op = seed >> 28 & 3, big = seed >> 26 & 3;
        unsigned at = (seed >> 8) % MODEL_PAGES, len = (seed >> 4) % (big ? 40 : 1600) + 1;
        if (big == 1)
            at &= ~511u, len = 512;
        len = at + len > MODEL_PAGES ? MODEL_PAGES - at : len;
        unsigned prot = seed >> 20 & 7;
        prot |= prot ? PL_READ : 0;
        unsigned page = big == 1 ? at : (at * 7 + step) % (MODEL_PAGES * 2);
        if (op <= 1)
            map_at(as, base + at * 4096ull, g_w.mem + page * 4096ull, len * 4096ull, prot);
        else if (op == 2)
            assert_int_equal(g_platform_kvm.as_unmap(as, base + at * 4096ull, len * 4096ull), 0);
        else
            g_platform_kvm.as_protect(as, base + at * 4096ull, len * 4096ull, prot);
        for (unsigned i = 0; i < len; i++) {
            if (op <= 1)
                model[at + i] = (page + i) * 8 + prot;
            else if (op == 2)
                model[at + i] = -1;
            else if (model[at + i] >= 0)
                model[at + i] = (model[at + i] & ~7ll) | prot;
        }
        if (step % 50 == 0)
            assert_int_equal(g_platform_kvm.as_flush(as), 0);
        for (unsigned i = 0; step % 20 == 0 && i < MODEL_PAGES; i++)
            assert_int_equal(table_says(as, base + i * 4096ull), model[i]);
    }
    assert_int_equal(g_platform_kvm.as_unmap(as, 0, KVM_VA_END), 0);
    assert_int_equal(g_platform_kvm.as_flush(as), 0);
    assert_int_equal(kvm_table_info(as->p, as->root)->live, 0);
    drop(as, NULL);
}

/* A range over several chunks and at odd places reads as the memory file says. */
static void test_large(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, peek);
    uint8_t *hva = (uint8_t *)(((uintptr_t)g_w.mem + (8u << 20)) & ~0x1fffffull);
    const uint64_t size = 160ull << 20, va = 0x100000000ull;
    int64_t start = now_us();
    map_at(as, va, hva, size, PL_READ);
    print_message("  160 MiB mapped in %lld us\n", (long long)(now_us() - start));
    for (uint64_t off = 0; off < size; off += 13 * 4096 * 97) {
        *(uint64_t *)(hva + off) = off + 1;
        struct pl_ctx *c = ctx_new(as, va + off, 0);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        struct user_regs_struct r = regs_of(c);
        assert_int_equal(r.rdi, va + off);
        g_platform_kvm.ctx_destroy(c);
    }
    /* a hole in the middle of a large page: its neighbours stay */
    assert_int_equal(g_platform_kvm.as_unmap(as, va + 0x401000, 4096), 0);
    assert_int_equal(g_platform_kvm.as_protect(as, va + 0x403000, 4096, 0), 0);
    for (unsigned i = 0; i < 6; i++) {
        struct pl_ctx *c = ctx_new(as, va + 0x400000 + i * 4096, 0);
        assert_int_equal(run(c).kind, i == 1 || i == 3 ? PL_EV_FAULT : PL_EV_SYSCALL);
        g_platform_kvm.ctx_destroy(c);
    }
    drop(as, NULL);
}

/* A table page comes back for another address space while KVM may still know the old one. */
static void test_table_reuse(void **state)
{
    uint64_t *one = (uint64_t *)(g_w.mem + (100u << 20)), *two = one + 512;
    for (int i = 0; i < 40; i++) {
        g_w.next = 0;
        struct pl_aspace *as = as_new();
        CODE(as, sum);
        *one = 1, *two = 2;
        map_at(as, DATA_VA + (unsigned)(i % 5) * 0x40000000ull, i & 1 ? one : two, 4096, PL_READ);
        struct pl_ctx *c = ctx_new(as, DATA_VA + (unsigned)(i % 5) * 0x40000000ull, 0);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        assert_int_equal(regs_of(c).rbx, i & 1 ? 1 : 2);
        drop(as, c);
    }
}

/* A vCPU rests under the tables of a process that has ended; its root must not become something
 * else before the vCPU has left it. */
static void test_root_reuse(void **state)
{
    for (unsigned i = 0; i < 20; i++) {
        g_w.next = 0;
        struct pl_aspace *as = as_new(), *other = as_new();
        CODE(as, sum);
        CODE(other, sum);
        uint64_t *data = map_new(as, DATA_VA, 4096, PL_READ);
        struct pl_ctx *c = ctx_new(as, DATA_VA, 0), *d = ctx_new(other, DATA_VA, 0);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        drop(as, c);
        for (unsigned n = 0; n < 8; n++)
            map_at(other, DATA_VA + n * 0x8000000000ull, data, 4096, PL_READ);
        assert_int_equal(run(d).kind, PL_EV_SYSCALL);
        drop(other, d);
    }
}

/* Remapping under one thread: the new frame is seen after a flush, never the old one. */
static void test_remap_seen(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, sum);
    uint64_t *f = (uint64_t *)(g_w.mem + (64u << 20));
    struct pl_ctx *c = ctx_new(as, DATA_VA, 0);
    for (unsigned i = 0; i < 60; i++) {
        f[(i % 7) * 512] = 100 + i;
        map_at(as, DATA_VA, f + (i % 7) * 512, 4096, PL_READ);
        struct user_regs_struct r = regs_of(c);
        r.rip = CODE_VA, r.rdi = DATA_VA, r.rsi = 0;
        g_platform_kvm.ctx_set_regs(c, &r);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        assert_int_equal(regs_of(c).rbx, 100 + i);
    }
    drop(as, c);
}

enum { READERS = 4, PAGES = 24 };

struct reader {
    pthread_t th;
    struct pl_ctx *c;
    struct pl_event ev;
    uint64_t faults;
};

/* Faults are those of pages that are just being taken away: try again. */
static void *reader_main(void *arg)
{
    struct reader *r = arg;
    do {
        r->ev = run(r->c);
        r->faults += r->ev.kind == PL_EV_FAULT;
    } while (r->ev.kind == PL_EV_FAULT);
    return NULL;
}

static void reader_start(struct reader *r, struct pl_aspace *as, unsigned i)
{
    *r = (struct reader){.c = ctx_new(as, DATA_VA, PAGES)};
    struct user_regs_struct regs = regs_of(r->c);
    regs.r8 = DATA_VA + 0x400000 + i * 64;
    g_platform_kvm.ctx_set_regs(r->c, &regs);
    pthread_create(&r->th, NULL, reader_main, r);
}

/* Frames change places under running threads; a frame that was flushed out of the tables is
 * poisoned at once, and nobody may ever read the poison. */
static void test_frames_reused(void **state)
{
    struct pl_aspace *as = as_new();
    struct reader r[READERS];
    CODE(as, reader);
    volatile uint64_t *count = map_new(as, DATA_VA + 0x400000, 4096, PL_READ | PL_WRITE);
    uint64_t *frames = (uint64_t *)(g_w.mem + (32u << 20));
    unsigned home[PAGES];
    for (unsigned i = 0; i < PAGES; i++) {
        home[i] = i;
        map_at(as, DATA_VA + i * 4096, frames + i * 512, 4096, PL_READ);
    }
    for (unsigned i = 0; i < READERS; i++)
        reader_start(&r[i], as, i);
    unsigned spare = PAGES, rounds = 0;
    for (int64_t end = now_us() + 1500000; now_us() < end; rounds++) {
        unsigned i = rounds * 7 % PAGES, old = home[i];
        frames[spare * 512] = rounds & 0xffff;
        if (rounds % 3 == 0)
            g_platform_kvm.as_unmap(as, DATA_VA + i * 4096, 4096);
        map_at(as, DATA_VA + i * 4096, frames + spare * 512, 4096, PL_READ);
        assert_int_equal(g_platform_kvm.as_flush(as), 0);
        frames[old * 512] = ~0ull;
        home[i] = spare;
        spare = old;
    }
    uint64_t faults = 0;
    for (unsigned i = 0; i < READERS; i++) {
        g_platform_kvm.ctx_interrupt(r[i].c);
        pthread_join(r[i].th, NULL);
        assert_int_equal(r[i].ev.kind, PL_EV_INTERRUPTED);
        assert_true(count[i * 8] > 0);
        faults += r[i].faults;
        g_platform_kvm.ctx_destroy(r[i].c);
    }
    print_message("  %u frames changed places, %llu faults\n", rounds, (unsigned long long)faults);
    drop(as, NULL);
}

/* Pages behind the end of a file: a bus error with the exact address, and all is well again when
 * the file has grown. */
static void test_truncated_file(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, sum);
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), 2 * 4096), 0);
    uint8_t *hva = g_w.win + (5ull << 30);
    const uint64_t size = 8 * 4096;
    assert_true(mmap(hva, size, PROT_READ, MAP_SHARED | MAP_FIXED, fileno(f), 0) == hva);
    struct pl_backing b = {.fd = fileno(f), .hva = hva};
    assert_int_equal(g_platform_kvm.as_map(as, DATA_VA, size, PL_READ, &b, false), 0);
    struct pl_ctx *c = ctx_new(as, DATA_VA, DATA_VA + size);
    struct pl_event ev = run(c);
    assert_int_equal(ev.kind, PL_EV_FAULT);
    assert_true(ev.fault.bus);
    assert_int_equal(ev.fault.addr, DATA_VA + 2 * 4096);
    assert_int_equal(ev.fault.access, PL_READ);
    ev = run(c);
    assert_true(ev.kind == PL_EV_FAULT && ev.fault.bus);
    assert_int_equal(ftruncate(fileno(f), 8 * 4096), 0);
    assert_int_equal(run(c).kind, PL_EV_SYSCALL);
    assert_int_equal(ftruncate(fileno(f), 4096), 0); /* under a mapping that has been used */
    struct user_regs_struct r = regs_of(c);
    r.rip = CODE_VA, r.rdi = DATA_VA;
    g_platform_kvm.ctx_set_regs(c, &r);
    ev = run(c);
    assert_true(ev.kind == PL_EV_FAULT && ev.fault.bus);
    assert_int_equal(ev.fault.addr, DATA_VA + 4096);
    fclose(f);
    drop(as, c);
}

/* Nothing at all behind a mapping (the sentry's window unmapped): no death of the sentry, an event.
 */
static void test_window_hole(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, sum);
    struct pl_backing b = {.fd = -1, .hva = g_w.win + (7ull << 30)};
    assert_int_equal(g_platform_kvm.as_map(as, DATA_VA, 4096, PL_READ, &b, false), 0);
    struct pl_ctx *c = ctx_new(as, DATA_VA, 0);
    struct pl_event ev = run(c);
    assert_true(ev.kind == PL_EV_DIED || (ev.kind == PL_EV_FAULT && ev.fault.bus));
    drop(as, c);
}

static void test_bad_arguments(void **state)
{
    struct pl_aspace *as = as_new();
    struct pl_backing b = {.hva = g_w.mem};
    assert_int_equal(g_platform_kvm.as_map(as, KVM_VA_END, 4096, 1, &b, false), -EINVAL);
    assert_int_equal(g_platform_kvm.as_map(as, 1, 4096, 1, &b, false), -EINVAL);
    assert_int_equal(g_platform_kvm.as_map(as, ~0xfffull, 8192, 1, &b, false), -EINVAL);
    b.hva = g_w.mem + MEM_SIZE - 4096;
    assert_int_equal(g_platform_kvm.as_map(as, DATA_VA, 8192, 1, &b, false), -EINVAL);
    assert_int_equal(pte_at(as, DATA_VA), 0);
    drop(as, NULL);
}

int kvm_memory_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(test_model),          T(test_large),       T(test_table_reuse),
        T(test_root_reuse),     T(test_remap_seen),  T(test_frames_reused),
        T(test_truncated_file), T(test_window_hole), T(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
