/* Address spaces against a recording platform. */
#include "mm/mm_testlib.h"

#include "base/log.h"
#include "fs/vfs.h"

#include <errno.h>
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

static struct mm *new_mm(void)
{
    struct mm *mm;
    assert_int_equal(mm_create(&g_fake, &mm), 0);
    return mm;
}

static void expect(struct mm *mm, uint64_t va, uint8_t want)
{
    uint8_t got = ~want;
    assert_int_equal(fake_load(mm, va, &got), 0);
    assert_int_equal(got, want);
    got = ~want;
    assert_int_equal(uaccess_read(mm, &got, uaddr(va), 1), 0);
    assert_int_equal(got, want);
}

static void test_anon(void **state)
{
    struct mm *mm = new_mm();
    uint64_t va = fake_mmap(mm, 8 * PAGE, RW, ANON);
    uint8_t b;
    expect(mm, va, 0);
    assert_int_equal(fake_store(mm, va + 5, 7), 0);
    expect(mm, va + 5, 7);
    assert_int_equal(mm_aspace(mm)->maps, 1); /* the whole VMA by one fault */
    assert_int_equal(mm_munmap(mm, va + PAGE, PAGE), 0);
    assert_int_equal(fake_load(mm, va + PAGE, &b), -EFAULT);
    expect(mm, va + 5, 7);
    assert_int_equal(mm_mprotect(mm, va, PAGE, PROT_READ), 0);
    assert_int_equal(fake_store(mm, va, 1), -EACCES);
    assert_int_equal(uaccess_write(mm, uaddr(va), &b, 1), -EFAULT);
    assert_int_equal(mm_mprotect(mm, va, PAGE, RW), 0);
    assert_int_equal(fake_store(mm, va, 1), 0);
    mm_put(mm);
}

static void test_fork_cow(void **state)
{
    struct mm *a = new_mm(), *b;
    uint64_t va = fake_mmap(a, 64 * PAGE, RW, ANON);
    uint64_t shared = fake_mmap(a, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    for (int i = 0; i < 64; i++)
        assert_int_equal(fake_store(a, va + i * PAGE, i), 0);
    assert_int_equal(mm_fork(a, &b), 0);
    assert_int_equal(fake_store(a, va, 100), 0);
    assert_int_equal(fake_store(b, va + 3 * PAGE, 101), 0);
    assert_int_equal(fake_store(a, shared + PAGE, 55), 0);
    expect(b, shared + PAGE, 55);
    expect(b, va, 0);
    expect(a, va + 3 * PAGE, 3);
    expect(b, va + 3 * PAGE, 101);
    uint8_t v = 77;
    assert_int_equal(uaccess_write(b, uaddr(va + 40 * PAGE), &v, 1), 0);
    expect(a, va + 40 * PAGE, 40);
    mm_put(b);
    /* Alone again: write access comes back without copies. */
    uint64_t used = memfile_used();
    for (int i = 0; i < 64; i++)
        assert_int_equal(fake_store(a, va + i * PAGE, i + 1), 0);
    assert_true(memfile_used() <= used);
    struct futex_key ka, kb;
    assert_int_equal(mm_fork(a, &b), 0);
    assert_int_equal(uaccess_futex_key(a, uaddr(shared + 8), true, &ka), 0);
    assert_int_equal(uaccess_futex_key(b, uaddr(shared + 8), true, &kb), 0);
    assert_memory_equal(&ka, &kb, sizeof(ka));
    assert_int_equal(uaccess_futex_key(b, uaddr(shared + 8), false, &kb), 0);
    assert_memory_not_equal(&ka, &kb, sizeof(ka));
    mm_put(a);
    expect(b, va + 63 * PAGE, 64);
    mm_put(b);
    assert_int_equal(memfile_used(), 0);
}

static uint64_t map_file(struct mm *mm, struct file *f, uint64_t size, unsigned prot,
                         unsigned flags, uint64_t offset)
{
    struct mm_map m = {.size = size, .prot = prot, .flags = flags, .file = f, .offset = offset};
    uint64_t va;
    assert_int_equal(mm_mmap(mm, &m, &va), 0);
    return va;
}

static void test_file(void **state)
{
    static char data[5 * PAGE + 100];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = i / PAGE + 1;
    struct file *f = fake_file_new(data, sizeof(data), true);
    struct mm *mm = new_mm();
    uint64_t priv = map_file(mm, f, 8 * PAGE, RW, MAP_PRIVATE, 0);
    uint64_t shared = map_file(mm, f, 8 * PAGE, RW, MAP_SHARED, 0);
    uint8_t b;
    expect(mm, priv + 4 * PAGE, 5);
    expect(mm, priv + 5 * PAGE + 99, 6);
    expect(mm, priv + 5 * PAGE + 200, 0);
    assert_int_equal(fake_load(mm, priv + 6 * PAGE, &b), -ENXIO);
    assert_int_equal(uaccess_read(mm, &b, uaddr(priv + 6 * PAGE), 1), -EFAULT);
    assert_int_equal(fake_store(mm, shared, 42), 0);
    expect(mm, priv, 42);
    assert_int_equal(fake_store(mm, priv, 43), 0);
    expect(mm, shared, 42);
    expect(mm, priv, 43);
    b = 44;
    assert_int_equal(uaccess_write(mm, uaddr(shared + 1), &b, 1), 0);
    expect(mm, shared + 1, 44);
    b = 45;
    assert_int_equal(uaccess_write(mm, uaddr(priv + 3 * PAGE), &b, 1), 0);
    expect(mm, shared + 3 * PAGE, 4);
    expect(mm, priv + 3 * PAGE, 45);
    fake_file_truncate(f, PAGE);
    assert_int_equal(fake_load(mm, priv + 3 * PAGE, &b), -ENXIO);
    expect(mm, priv, 43);
    assert_int_equal(fake_file_refs(f), 3);
    mm_put(mm);
    assert_int_equal(fake_file_refs(f), 1);
    file_put(f);
    assert_int_equal(memfile_used(), 0);
}

static void on_fault(int sig, siginfo_t *si, void *uc)
{
    (void)sig;
    if (!uaccess_fixup(uc, (uint64_t)si->si_addr))
        abort();
}

/* cmocka has handlers of its own around each test: ours go on top. */
static void catch_faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGBUS, &sa, NULL);
    sigaction(SIGSEGV, &sa, NULL);
}

static void test_file_vanishes(void **state)
{
    static char data[4 * PAGE];
    memset(data, 9, sizeof(data));
    struct file *f = fake_file_new(data, sizeof(data), true);
    struct mm *mm = new_mm();
    uint64_t va = map_file(mm, f, 4 * PAGE, RW, MAP_SHARED, 0);
    uint8_t b;
    uint32_t w = 0;
    catch_faults();
    expect(mm, va, 9);
    assert_int_equal(ftruncate(fake_file_fd(f), 0), 0); /* behind our back */
    assert_int_equal(uaccess_read(mm, &b, uaddr(va), 1), -EFAULT);
    assert_int_equal(uaccess_write(mm, uaddr(va), &b, 1), -EFAULT);
    assert_int_equal(uaccess_zero(mm, uaddr(va), 64), -EFAULT);
    assert_int_equal(uaccess_load32(mm, uaddr(va), &w), -EFAULT);
    assert_int_equal(uaccess_cmpxchg32(mm, uaddr(va), &w, 1), -EFAULT);
    uint64_t priv = map_file(mm, f, 4 * PAGE, RW, MAP_PRIVATE, 0);
    assert_int_equal(fake_store(mm, priv, 1), -ENXIO);
    mm_put(mm);
    file_put(f);
}

static void test_limits_and_errors(void **state)
{
    struct mm *mm = new_mm();
    struct mm_limits l = {100 * PAGE, UINT64_MAX, 8 << 20, 2 * PAGE};
    struct mm_map m = {.size = 101 * PAGE, .prot = RW, .flags = ANON};
    uint64_t va;
    mm_limits_set(mm, &l);
    assert_int_equal(mm_mmap(mm, &m, &va), -ENOMEM);
    m.size = 0;
    assert_int_equal(mm_mmap(mm, &m, &va), -EINVAL);
    m.size = UINT64_MAX;
    assert_int_equal(mm_mmap(mm, &m, &va), -ENOMEM);
    m = (struct mm_map){.size = PAGE, .prot = RW, .flags = ANON | MAP_FIXED, .addr = 0x1000};
    assert_int_equal(mm_mmap(mm, &m, &va), -EPERM);
    m.addr = 0x100001;
    assert_int_equal(mm_mmap(mm, &m, &va), -EINVAL);
    m.addr = g_fake.va_end;
    assert_int_equal(mm_mmap(mm, &m, &va), -ENOMEM);
    m.addr = 0x100000;
    assert_int_equal(mm_mmap(mm, &m, &va), 0);
    m.flags = ANON | MAP_FIXED_NOREPLACE;
    assert_int_equal(mm_mmap(mm, &m, &va), -EEXIST);
    m = (struct mm_map){.size = 3 * PAGE, .prot = RW, .flags = ANON | MAP_LOCKED};
    assert_int_equal(mm_mmap(mm, &m, &va), -EAGAIN);
    m = (struct mm_map){.size = PAGE, .prot = RW, .flags = ANON | MAP_32BIT};
    assert_int_equal(mm_mmap(mm, &m, &va), 0);
    assert_true(va < UINT32_MAX);
    m.flags = MAP_ANONYMOUS;
    assert_int_equal(mm_mmap(mm, &m, &va), -EINVAL);
    assert_int_equal(mm_munmap(mm, 1, PAGE), -EINVAL);
    assert_int_equal(mm_munmap(mm, PAGE, UINT64_MAX - PAGE), -EINVAL);
    assert_int_equal(mm_mprotect(mm, 0x200000, PAGE, RW), -ENOMEM);
    assert_int_equal(mm_mprotect(mm, 0x100000, PAGE, 0x100), -EINVAL);
    mm_put(mm);
}

static void test_brk_and_stack(void **state)
{
    struct mm *mm = new_mm();
    struct mm_layout l;
    mm_layout_get(mm, &l);
    l.start_brk = l.brk = 0x10000000;
    mm_layout_set(mm, &l);
    assert_int_equal(mm_brk(mm, 0), 0x10000000);
    assert_int_equal(mm_brk(mm, 0x10000000 + 10 * PAGE + 5), 0x10000000 + 10 * PAGE + 5);
    assert_int_equal(fake_store(mm, 0x10000000 + 10 * PAGE, 1), 0);
    assert_int_equal(fake_store(mm, 0x10000000 + 11 * PAGE, 1), -EFAULT);
    assert_int_equal(mm_brk(mm, 0x10000000 + PAGE), 0x10000000 + PAGE);
    assert_int_equal(fake_store(mm, 0x10000000 + PAGE, 1), -EFAULT);
    struct mm_map m = {.addr = 0x70000000,
                       .size = 4 * PAGE,
                       .prot = RW,
                       .flags = ANON | MAP_FIXED | MAP_GROWSDOWN};
    uint64_t va;
    assert_int_equal(mm_mmap(mm, &m, &va), 0);
    assert_int_equal(fake_store(mm, va - 100 * PAGE, 1), 0);
    assert_int_equal(fake_store(mm, va - (9 << 20), 1), -EFAULT);
    uint8_t b = 3;
    assert_int_equal(uaccess_write(mm, uaddr(va - 200 * PAGE), &b, 1), 0);
    mm_put(mm);
}

static void test_platform_out_of_memory(void **state)
{
    struct mm *mm = new_mm();
    uint64_t a = fake_mmap(mm, 4 * PAGE, RW, ANON), b = fake_mmap(mm, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    assert_int_equal(fake_store(mm, a, 1), 0);
    g_fake_no_memory = true;
    assert_int_equal(fake_store(mm, b, 2), 0);
    assert_int_equal(fake_lookup(mm, a).fd, -1);
    expect(mm, a, 1);
    expect(mm, b, 2);
    mm_put(mm);
}

/* Several address spaces, random operations, an array as the truth. */
#define MODEL_PAGES 96
#define MODEL_MMS   4
struct model {
    struct mm *mm;
    int value[MODEL_PAGES];     /* -1: not mapped */
    unsigned prot[MODEL_PAGES]; /* meaningful where mapped */
};
#define MODEL_BASE 0x200000000ull

static void model_op(struct model *m, unsigned op, unsigned at, unsigned n, int value)
{
    uint64_t va = MODEL_BASE + at * PAGE, got;
    struct mm_map map = {.addr = va, .size = n * PAGE, .prot = RW, .flags = ANON | MAP_FIXED};
    switch (op) {
    case 0:
        assert_int_equal(mm_mmap(m->mm, &map, &got), 0);
        break;
    case 1:
        assert_int_equal(mm_munmap(m->mm, va, n * PAGE), 0);
        break;
    case 2:
        if (m->value[at] < 0)
            return;
        n = 1;
        assert_int_equal(mm_mprotect(m->mm, va, PAGE, value & 1 ? PROT_READ : RW), 0);
        m->prot[at] = value & 1 ? PROT_READ : RW;
        return;
    default:
        if (m->value[at] < 0)
            assert_int_equal(fake_store(m->mm, va, value), -EFAULT);
        else if (!(m->prot[at] & PROT_WRITE))
            assert_int_equal(fake_store(m->mm, va, value), -EACCES);
        else if (op & 1)
            assert_int_equal(fake_store(m->mm, va, value), 0), m->value[at] = value;
        else
            assert_int_equal(uaccess_write(m->mm, uaddr(va), &value, 1), 0), m->value[at] = value;
        return;
    }
    for (unsigned i = at; i < at + n; i++) {
        m->value[i] = op == 0 ? 0 : -1;
        m->prot[i] = RW;
    }
}

static void model_compare(struct model *m)
{
    for (unsigned i = 0; i < MODEL_PAGES; i++) {
        uint8_t b;
        uint64_t va = MODEL_BASE + i * PAGE;
        if (m->value[i] >= 0)
            expect(m->mm, va, m->value[i]);
        else
            assert_int_equal(fake_load(m->mm, va, &b), -EFAULT);
    }
    fake_check(m->mm);
}

static void test_random_model(void **state)
{
    static struct model m[MODEL_MMS];
    srandom(1);
    for (int i = 0; i < MODEL_MMS; i++) {
        m[i].mm = new_mm();
        memset(m[i].value, -1, sizeof(m[i].value));
    }
    for (int step = 0; step < 6000; step++) {
        struct model *a = &m[random() % MODEL_MMS], *b = &m[random() % MODEL_MMS];
        unsigned at = random() % MODEL_PAGES, n = 1 + random() % (MODEL_PAGES - at);
        if (step % 97 == 0 && a != b) {
            mm_put(b->mm);
            *b = *a;
            assert_int_equal(mm_fork(a->mm, &b->mm), 0);
        } else {
            unsigned op = random() % 20;
            model_op(a, op, at, op == 1 ? 1 + n / 8 : n, random() & 127);
        }
        if (step % 50 == 0)
            model_compare(a);
    }
    for (int i = 0; i < MODEL_MMS; i++) {
        model_compare(&m[i]);
        mm_put(m[i].mm);
    }
    assert_int_equal(memfile_used(), 0);
}

static void test_uio(void **state)
{
    struct mm *mm = new_mm();
    uint64_t va = fake_mmap(mm, 16 * PAGE, RW, ANON);
    struct uio_seg segs[3] = {{va + 100, 50}, {va + PAGE - 10, 20}, {va + 40 * PAGE, 10}};
    struct iovec iov[4];
    struct uio u;
    char text[80];
    memset(text, 'x', sizeof(text));
    assert_int_equal(uaccess_write(mm, uaddr(va), segs, sizeof(segs)), 0);
    assert_int_equal(uio_import(&u, mm, uaddr(va), 3), 0);
    assert_int_equal(u.remaining, 80);
    assert_int_equal(uio_to_user(&u, text, 60), 60);
    assert_int_equal(uio_to_user(&u, text, 20), 10); /* the third is not mapped */
    uio_free(&u);
    uio_init_user(&u, mm, uaddr(va + 100), 3 * PAGE);
    assert_int_equal(uio_pin(&u, PL_WRITE, iov, 4, 3 * PAGE), 1);
    assert_int_equal(iov[0].iov_len, 3 * PAGE);
    assert_int_equal(*(char *)iov[0].iov_base, 'x');
    uio_unpin(&u);
    uio_init_user(&u, mm, uaddr(va + 40 * PAGE), 5);
    assert_int_equal(uio_pin(&u, PL_WRITE, iov, 4, 5), -EFAULT);
    assert_int_equal(uio_import(&u, mm, uaddr(va), 1025), -EINVAL);
    assert_int_equal(uaccess_read_str(mm, text, uaddr(va + 100), sizeof(text)), 50);
    assert_int_equal(uaccess_read_str(mm, text, uaddr(va + 100), 50), -ENAMETOOLONG);
    mm_put(mm);
}

int main(void)
{
    fake_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anon),
        cmocka_unit_test(test_fork_cow),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_vanishes),
        cmocka_unit_test(test_limits_and_errors),
        cmocka_unit_test(test_brk_and_stack),
        cmocka_unit_test(test_platform_out_of_memory),
        cmocka_unit_test(test_random_model),
        cmocka_unit_test(test_uio),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
