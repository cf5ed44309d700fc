/* mremap, madvise and their kin, and threads against each other, on the recording platform. */
#include "mm/mm_testlib.h"

#include "base/log.h"
#include "fs/vfs.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096ull
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static struct mm *new_mm(void)
{
    struct mm *mm;
    assert_int_equal(mm_create(&g_fake, &mm), 0);
    return mm;
}

#define expect(mm, va, want) expect_at(mm, va, want, __LINE__)
static void expect_at(struct mm *mm, uint64_t va, uint8_t want, int line)
{
    uint8_t got = ~want, copy = ~want;
    if (fake_load(mm, va, &got) || got != want || uaccess_read(mm, &copy, uaddr(va), 1) ||
        copy != want)
        fail_msg("line %d: wanted %u, loaded %u, copied %u", line, want, got, copy);
}

static void fill(struct mm *mm, uint64_t va, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        assert_int_equal(fake_store(mm, va + i * PAGE, i + 1), 0);
}

static void test_mremap(void **state)
{
    struct mm *mm = new_mm();
    fake_mmap(mm, PAGE, PROT_READ, ANON); /* above: no room to grow */
    uint64_t va = fake_mmap(mm, 8 * PAGE, RW, ANON), to;
    uint8_t b;
    fill(mm, va, 8);
    assert_int_equal(mm_mremap(mm, va, 8 * PAGE, 4 * PAGE, 0, 0, &to), 0);
    assert_int_equal(to, va);
    assert_int_equal(fake_load(mm, va + 4 * PAGE, &b), -EFAULT);
    /* There is room behind it now. */
    assert_int_equal(mm_mremap(mm, va, 4 * PAGE, 6 * PAGE, 0, 0, &to), 0);
    expect(mm, va + 3 * PAGE, 4);
    expect(mm, va + 5 * PAGE, 0);
    assert_int_equal(mm_mremap(mm, va, 6 * PAGE, 1000 * PAGE, 0, 0, &to), -ENOMEM);
    assert_int_equal(mm_mremap(mm, va, 6 * PAGE, 1000 * PAGE, MREMAP_MAYMOVE, 0, &to), 0);
    assert_int_not_equal(to, va);
    expect(mm, to + 3 * PAGE, 4);
    expect(mm, to + 999 * PAGE, 0);
    assert_int_equal(fake_load(mm, va, &b), -EFAULT);
    va = to;
    uint64_t target = 0x300000000;
    assert_int_equal(mm_mremap(mm, va + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                               target, &to), 0);
    expect(mm, target, 2);
    expect(mm, va, 1);
    assert_int_equal(fake_load(mm, va + PAGE, &b), -EFAULT);
    assert_int_equal(mm_mremap(mm, target, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
                               0, &to), 0);
    expect(mm, to, 2);
    expect(mm, target, 0);
    fake_check(mm);
    assert_int_equal(mm_mremap(mm, va, 0, PAGE, MREMAP_MAYMOVE, 0, &to), -EINVAL);
    assert_int_equal(mm_mremap(mm, va, PAGE, PAGE, 64, 0, &to), -EINVAL);
    assert_int_equal(mm_mremap(mm, va, PAGE, PAGE, MREMAP_FIXED, 0, &to), -EINVAL);
    assert_int_equal(mm_mremap(mm, 0x111000, PAGE, 2 * PAGE, 0, 0, &to), -EFAULT);
    mm_put(mm);
    assert_int_equal(memfile_used(), 0);
}

static void test_mremap_shared(void **state)
{
    struct mm *mm = new_mm();
    uint64_t va = fake_mmap(mm, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS), to;
    uint8_t b;
    fill(mm, va, 4);
    assert_int_equal(mm_mremap(mm, va, 0, 4 * PAGE, MREMAP_MAYMOVE, 0, &to), 0);
    expect(mm, to + 2 * PAGE, 3);
    assert_int_equal(fake_store(mm, to, 99), 0);
    expect(mm, va, 99);
    assert_int_equal(mm_mremap(mm, to, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE, 0, &to), 0);
    expect(mm, to + 3 * PAGE, 4);
    assert_int_equal(fake_load(mm, to + 4 * PAGE, &b), -ENXIO);
    mm_put(mm);
    assert_int_equal(memfile_used(), 0);
}

static void test_madvise(void **state)
{
    struct mm *mm = new_mm(), *child;
    uint64_t va = fake_mmap(mm, 8 * PAGE, RW, ANON);
    uint8_t b, vec[8];
    fill(mm, va, 8);
    assert_int_equal(mm_madvise(mm, va + PAGE, PAGE, MADV_DONTNEED), 0);
    expect(mm, va + PAGE, 0);
    expect(mm, va, 1);
    assert_int_equal(mm_mincore(mm, va, 8 * PAGE, vec), 0);
    assert_int_equal(vec[0], 1);
    assert_int_equal(mm_madvise(mm, va + 2 * PAGE, PAGE, MADV_DONTFORK), 0);
    assert_int_equal(mm_madvise(mm, va + 3 * PAGE, PAGE, MADV_WIPEONFORK), 0);
    assert_int_equal(mm_fork(mm, &child), 0);
    expect(child, va, 1);
    assert_int_equal(fake_load(child, va + 2 * PAGE, &b), -EFAULT);
    expect(child, va + 3 * PAGE, 0);
    assert_int_equal(mm_madvise(mm, va + 4 * PAGE, PAGE, MADV_DONTNEED), 0);
    expect(mm, va + 4 * PAGE, 0);
    expect(child, va + 4 * PAGE, 5);
    assert_int_equal(mm_madvise(mm, va + 1, PAGE, MADV_DONTNEED), -EINVAL);
    assert_int_equal(mm_madvise(mm, va, PAGE, 77), -EINVAL);
    assert_int_equal(mm_madvise(mm, va + 7 * PAGE, 2 * PAGE, MADV_DONTNEED), -ENOMEM);
    expect(mm, va + 7 * PAGE, 0);
    assert_int_equal(mm_madvise(mm, va, PAGE, MADV_REMOVE), -EINVAL);
    uint64_t sh = fake_mmap(mm, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    fill(mm, sh, 4);
    assert_int_equal(mm_madvise(mm, sh + PAGE, PAGE, MADV_REMOVE), 0);
    expect(mm, sh + PAGE, 0);
    expect(mm, sh, 1);
    assert_int_equal(mm_mlock(mm, va, PAGE, true, false), 0);
    assert_int_equal(mm_madvise(mm, va, PAGE, MADV_DONTNEED), -EINVAL);
    assert_int_equal(mm_msync(mm, va, PAGE, MS_INVALIDATE), -EBUSY);
    assert_int_equal(mm_msync(mm, va, PAGE, MS_SYNC | MS_ASYNC), -EINVAL);
    assert_int_equal(mm_msync(mm, va, 9 * PAGE, MS_SYNC), -ENOMEM);
    mm_put(child);
    mm_put(mm);
    assert_int_equal(memfile_used(), 0);
}

static void test_vma_walk(void **state)
{
    struct mm *mm = new_mm();
    struct mm_map m = {.addr = 0x500000, .size = 4 * PAGE, .prot = RW, .flags = ANON | MAP_FIXED};
    struct mm_vma_info i;
    uint64_t va;
    assert_int_equal(mm_mmap(mm, &m, &va), 0);
    m.addr += 4 * PAGE;
    assert_int_equal(mm_mmap(mm, &m, &va), 0);
    assert_true(mm_vma_next(mm, 0, &i));
    assert_int_equal(i.end - i.start, 8 * PAGE); /* merged */
    assert_int_equal(mm_mprotect(mm, va, PAGE, PROT_READ), 0);
    assert_true(mm_vma_next(mm, 0x500000 + 4 * PAGE, &i));
    assert_int_equal(i.end - i.start, PAGE);
    assert_int_equal(mm_mprotect(mm, va, PAGE, RW), 0);
    assert_true(mm_vma_next(mm, 0, &i));
    assert_int_equal(i.end - i.start, 8 * PAGE);
    assert_false(mm_vma_next(mm, i.end, &i));
    mm_put(mm);
}

static void test_ceiling(void **state)
{
    struct mm *mm = new_mm();
    uint64_t va = fake_mmap(mm, 1ull << 30, RW, ANON | MAP_NORESERVE);
    memfile_set_limit(64 << 20);
    /* Sparse use far beyond the ceiling is fine … */
    for (uint64_t i = 0; i < 4000; i++)
        assert_int_equal(fake_store(mm, va + i * 64 * PAGE, i), 0);
    for (uint64_t i = 0; i < 4000; i++)
        expect(mm, va + i * 64 * PAGE, i);
    /* … real use is not. */
    int r = 0;
    for (uint64_t i = 0; i < 20000 && !r; i++)
        r = fake_store(mm, va + i * PAGE, 1);
    assert_int_equal(r, -ENOMEM);
    assert_true(memfile_used() <= 64 << 20 && memfile_used() > 60 << 20);
    memfile_set_limit(0);
    mm_put(mm);
    assert_int_equal(memfile_used(), 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static struct mm *g_mm;
static uint64_t g_va;
static bool g_stop;

static void *copier(void *arg)
{
    uint64_t n = 0;
    uint8_t buf[64];
    unsigned seed = (uintptr_t)arg;
    while (!__atomic_load_n(&g_stop, __ATOMIC_RELAXED)) {
        uint64_t at = g_va + rand_r(&seed) % (256 * PAGE);
        if (n++ & 1)
            (void)!uaccess_read(g_mm, buf, uaddr(at), sizeof(buf));
        else
            (void)!uaccess_write(g_mm, uaddr(at), buf, sizeof(buf));
    }
    return NULL;
}

static void *mapper(void *arg)
{
    unsigned seed = (uintptr_t)arg;
    while (!__atomic_load_n(&g_stop, __ATOMIC_RELAXED)) {
        uint64_t at = g_va + rand_r(&seed) % 255 * PAGE, va;
        struct mm_map m = {.addr = at, .size = PAGE, .prot = RW, .flags = ANON | MAP_FIXED};
        if (rand_r(&seed) & 1)
            (void)mm_munmap(g_mm, at, PAGE);
        else
            (void)mm_mmap(g_mm, &m, &va);
        (void)mm_madvise(g_mm, at, 2 * PAGE, MADV_DONTNEED);
    }
    return NULL;
}

static void *forker(void *arg)
{
    while (!__atomic_load_n(&g_stop, __ATOMIC_RELAXED)) {
        struct mm *child;
        uint32_t x = 1;
        if (mm_fork(g_mm, &child))
            continue;
        (void)!uaccess_write(child, uaddr(g_va + 8), &x, sizeof(x));
        mm_put(child);
    }
    return arg;
}

static void test_threads(void **state)
{
    void *(*const fns[])(void *) = {copier, copier, mapper, forker};
    pthread_t t[4];
    g_mm = new_mm();
    g_va = fake_mmap(g_mm, 256 * PAGE, RW, ANON);
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, fns[i], (void *)(i + 1));
    usleep(700000);
    __atomic_store_n(&g_stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    fake_check(g_mm);
    mm_put(g_mm);
    assert_int_equal(memfile_used(), 0);
}

int main(void)
{
    fake_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mremap),   cmocka_unit_test(test_mremap_shared),
        cmocka_unit_test(test_madvise),  cmocka_unit_test(test_vma_walk),
        cmocka_unit_test(test_ceiling),  cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
