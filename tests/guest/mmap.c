/* mmap(2), munmap, mprotect, mremap, madvise, mincore, msync, brk, and the limits on them. */
#include "guest.h"
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { P = 4096 };

static char *anon(size_t pages, int prot)
{
    return OK(mmap(NULL, pages * P, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

/* Whether a page can be read: by asking the kernel, without a signal. */
static bool readable(const void *p)
{
    int fds[2];
    OK(pipe(fds));
    bool ok = write(fds[1], p, 1) == 1;
    close(fds[0]);
    close(fds[1]);
    return ok;
}

static bool writable(void *p)
{
    int fds[2];
    OK(pipe(fds));
    OK(write(fds[1], "w", 1));
    bool ok = read(fds[0], p, 1) == 1;
    close(fds[0]);
    close(fds[1]);
    return ok;
}

static void zero_filled(void)
{
    char *p = anon(64, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 64 * P; i += 512)
        CHECK_EQ(p[i], 0);
    memset(p, 0x5a, 64 * P);
    OK(munmap(p, 64 * P));
    p = anon(64, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 64 * P; i += 512)
        CHECK_EQ(p[i], 0);
    OK(munmap(p, 64 * P));
}

static void bad_arguments(void)
{
    CHECK_ERR(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERR(mmap(NULL, P, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERR(mmap(NULL, P, PROT_READ, MAP_PRIVATE, -1, 0), EBADF);
    CHECK_ERR(mmap(NULL, P, PROT_READ, MAP_PRIVATE, 0, 1), EINVAL);
    CHECK_ERR(mmap((void *)(P + 1), P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERR(mmap(NULL, 1ul << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_ERR(mmap(NULL, ~0ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_ERR(mmap((void *)0x7ffffffff000, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
    CHECK_ERR(mmap((void *)0xffffffff80000000ul, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
    CHECK_ERR(munmap((void *)1, P), EINVAL);
    CHECK_ERR(munmap((void *)P, 0), EINVAL);
    CHECK_ERR(munmap((void *)(1ul << 60), P), EINVAL);
    OK(munmap((void *)(16 * P), P)); /* nothing there: no error */
    int dir = OK(open("/", O_RDONLY));
    CHECK_ERR(mmap(NULL, P, PROT_READ, MAP_PRIVATE, dir, 0), ENODEV);
    close(dir);
}

static void file_permissions(void)
{
    write_file("f", "data", 4);
    int ro = OK(open("f", O_RDONLY)), wo = OK(open("f", O_WRONLY));
    CHECK_ERR(mmap(NULL, P, PROT_WRITE, MAP_SHARED, ro, 0), EACCES);
    CHECK_ERR(mmap(NULL, P, PROT_READ, MAP_PRIVATE, wo, 0), EACCES);
    char *p = OK(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0));
    p[0] = 'X';
    OK(munmap(p, P));
    p = OK(mmap(NULL, P, PROT_READ, MAP_SHARED, ro, 0));
    CHECK_ERR(mprotect(p, P, PROT_READ | PROT_WRITE), EACCES);
    close(ro);
    CHECK_EQ(p[0], 'd'); /* lives on without its descriptor */
    OK(munmap(p, P));
    close(wo);
}

static void fixed_replaces(void)
{
    char *p = anon(3, PROT_READ | PROT_WRITE);
    memset(p, 1, 3 * P);
    CHECK(mmap(p + P, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + P);
    CHECK_EQ(p[P - 1], 1);
    CHECK_EQ(p[P], 0);
    CHECK_EQ(p[2 * P], 1);
    OK(munmap(p, 3 * P));
}

static void fixed_noreplace(void)
{
    char *p = anon(3, PROT_READ);
    CHECK_ERR(mmap(p + P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    OK(munmap(p + P, P));
    CHECK(mmap(p + P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p + P);
    OK(munmap(p, 3 * P));
}

static void hint_is_taken_when_free(void)
{
    char *p = anon(16, PROT_READ);
    OK(munmap(p, 16 * P));
    CHECK(mmap(p + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == p + 4 * P);
    char *q = OK(mmap(p + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(q != p + 4 * P);
    munmap(q, P);
    munmap(p + 4 * P, P);
}

static void below_4g(void)
{
    void *p = OK(mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
    CHECK((uintptr_t)p < 1ul << 31);
    munmap(p, P);
}

static void munmap_makes_a_hole(void)
{
    char *p = anon(5, PROT_READ | PROT_WRITE);
    memset(p, 7, 5 * P);
    OK(munmap(p + 2 * P, P));
    CHECK(readable(p + P));
    CHECK(!readable(p + 2 * P));
    CHECK(readable(p + 3 * P));
    OK(munmap(p, 5 * P)); /* over the hole too */
    CHECK(!readable(p));
}

static void mprotect_splits(void)
{
    char *p = anon(5, PROT_READ | PROT_WRITE);
    memset(p, 7, 5 * P);
    OK(mprotect(p + P, P, PROT_NONE));
    OK(mprotect(p + 3 * P, P, PROT_READ));
    CHECK(writable(p));
    CHECK(!readable(p + P));
    CHECK(writable(p + 2 * P));
    CHECK(readable(p + 3 * P) && !writable(p + 3 * P));
    OK(mprotect(p, 5 * P, PROT_READ | PROT_WRITE));
    for (int i = 0; i < 5; i++)
        CHECK(writable(p + i * P));
    CHECK_EQ(p[P + 5], 7);
    OK(munmap(p + 2 * P, P));
    CHECK_ERR(mprotect(p, 5 * P, PROT_READ), ENOMEM);
    CHECK_ERR(mprotect(p + 1, P, PROT_READ), EINVAL);
    CHECK_ERR(mprotect(p, P, 0x100), EINVAL);
    OK(munmap(p, 5 * P));
}

static void protection_is_immediate(void)
{
    char *p = anon(1, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 50; i++) {
        p[0] = i;
        OK(mprotect(p, P, PROT_READ));
        CHECK(!writable(p));
        OK(mprotect(p, P, PROT_READ | PROT_WRITE));
    }
    OK(munmap(p, P));
}

static void generated_code(void)
{
    unsigned char *p = (void *)anon(1, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 20; i++) {
        OK(mprotect(p, P, PROT_READ | PROT_WRITE));
        memcpy(p, "\xb8\0\0\0\0\xc3", 6); /* mov $i, %eax; ret */
        p[1] = i;
        OK(mprotect(p, P, PROT_READ | PROT_EXEC));
        CHECK_EQ(((int (*)(void))(void *)p)(), i);
    }
    OK(munmap(p, P));
}

static void rwx_code(void)
{
    unsigned char *p = (void *)anon(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (int i = 0; i < 20; i++) {
        memcpy(p, "\xb8\0\0\0\0\xc3", 6);
        p[1] = i;
        CHECK_EQ(((int (*)(void))(void *)p)(), i);
    }
    OK(munmap(p, P));
}

static void mremap_shrink_and_grow(void)
{
    char *p = anon(8, PROT_READ | PROT_WRITE);
    memset(p, 3, 8 * P);
    CHECK(mremap(p, 8 * P, 4 * P, 0) == p);
    CHECK(!readable(p + 4 * P));
    CHECK(mremap(p, 4 * P, 8 * P, 0) == p); /* in place: the room is free */
    CHECK_EQ(p[4 * P], 0);
    CHECK_EQ(p[4 * P - 1], 3);
    OK(munmap(p, 8 * P));
}

static void mremap_moves(void)
{
    char *p = anon(4, PROT_READ | PROT_WRITE);
    p[0] = 1, p[P] = 2;
    OK(mmap(p + P * 2, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    CHECK_ERR(mremap(p, 2 * P, 6 * P, 0), ENOMEM);
    char *q = OK(mremap(p, 2 * P, 6 * P, MREMAP_MAYMOVE));
    CHECK(q != p);
    CHECK_EQ(q[0], 1);
    CHECK_EQ(q[P], 2);
    CHECK_EQ(q[5 * P], 0);
    CHECK(!readable(p));
    OK(munmap(q, 6 * P));
    OK(munmap(p, 4 * P));
}

static void mremap_fixed(void)
{
    char *p = anon(2, PROT_READ | PROT_WRITE), *q = anon(4, PROT_READ | PROT_WRITE);
    memset(p, 5, 2 * P);
    memset(q, 6, 4 * P);
    CHECK(mremap(p, 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, q + P) == q + P);
    CHECK_EQ(q[0], 6);
    CHECK_EQ(q[P], 5);
    CHECK_EQ(q[3 * P], 6);
    CHECK(!readable(p));
    CHECK_ERR(mremap(q, 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, q + P), EINVAL); /* overlap */
    CHECK_ERR(mremap(q, P, P, MREMAP_FIXED, q + P), EINVAL);
    CHECK_ERR(mremap(q + 1, P, P, 0), EINVAL);
    CHECK_ERR(mremap(q, P, 0, 0), EINVAL);
    CHECK_ERR(mremap(p, P, 2 * P, MREMAP_MAYMOVE), EFAULT); /* nothing there now */
    OK(munmap(q, 4 * P));
}

static void mremap_dontunmap(void)
{
    char *p = anon(2, PROT_READ | PROT_WRITE);
    memset(p, 5, 2 * P);
    char *q = (char *)OK(syscall(SYS_mremap, p, 2 * P, 2 * P, MREMAP_MAYMOVE | 4 /* MREMAP_DONTUNMAP */, 0));
    CHECK(q != p);
    CHECK_EQ(q[P], 5);
    CHECK_EQ(p[P], 0);
    OK(munmap(p, 2 * P));
    OK(munmap(q, 2 * P));
}

static void mremap_file(void)
{
    static char data[3 * P];
    memset(data, 'a', P), memset(data + P, 'b', P), memset(data + 2 * P, 'c', P);
    write_file("f", data, sizeof(data));
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, P));
    char *q = OK(mremap(p, P, 2 * P, MREMAP_MAYMOVE));
    CHECK_EQ(q[0], 'b');
    CHECK_EQ(q[P], 'c');
    OK(munmap(q, 2 * P));
    close(fd);
}

static void dontneed_zeroes(void)
{
    char *p = anon(4, PROT_READ | PROT_WRITE);
    memset(p, 9, 4 * P);
    OK(madvise(p + P, 2 * P, MADV_DONTNEED));
    CHECK_EQ(p[0], 9);
    CHECK_EQ(p[P], 0);
    CHECK_EQ(p[2 * P], 0);
    CHECK_EQ(p[3 * P], 9);
    CHECK_ERR(madvise(p + 1, P, MADV_DONTNEED), EINVAL);
    CHECK_ERR(madvise(p, P, 12345), EINVAL);
    OK(munmap(p + P, P));
    CHECK_ERR(madvise(p, 4 * P, MADV_DONTNEED), ENOMEM);
    OK(munmap(p, 4 * P));
}

static void dontneed_rereads_private_file(void)
{
    write_file("f", "original", 8);
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    memcpy(p, "modified", 8);
    OK(madvise(p, P, MADV_DONTNEED));
    CHECK(!memcmp(p, "original", 8));
    OK(munmap(p, P));
    close(fd);
}

static void advice_is_accepted(void)
{
    char *p = anon(4, PROT_READ | PROT_WRITE);
    OK(madvise(p, 4 * P, MADV_NORMAL));
    OK(madvise(p, 4 * P, MADV_SEQUENTIAL));
    OK(madvise(p, 4 * P, MADV_RANDOM));
    OK(madvise(p, 4 * P, MADV_WILLNEED));
    OK(madvise(p, 4 * P, MADV_FREE));
    OK(madvise(p, 4 * P, MADV_DONTDUMP));
    OK(madvise(p, 4 * P, MADV_DODUMP));
    OK(madvise(p, 4 * P, MADV_DONTFORK));
    IN_CHILD(CHECK(!readable(p)));
    OK(madvise(p, 4 * P, MADV_DOFORK));
    p[0] = 5;
    OK(madvise(p, 4 * P, MADV_WIPEONFORK));
    IN_CHILD(CHECK_EQ(p[0], 0));
    OK(munmap(p, 4 * P));
}

static void shared_with_child(void)
{
    volatile char *p = OK(mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    p[0] = 1;
    IN_CHILD({
        CHECK_EQ(p[0], 1);
        p[3 * P] = 4;
    });
    CHECK_EQ(p[3 * P], 4);
    OK(munmap((void *)p, 4 * P));
}

static void copy_on_write(void)
{
    volatile char *p = anon(16, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 16; i++)
        p[i * P] = i;
    pid_t kids[4];
    for (int k = 0; k < 4; k++) {
        kids[k] = OK(fork());
        if (!kids[k]) {
            for (int i = 0; i < 16; i++) {
                CHECK_EQ(p[i * P], i);
                p[i * P] = 100 + k;
            }
            sleep_ms(20);
            for (int i = 0; i < 16; i++)
                CHECK_EQ(p[i * P], 100 + k);
            _exit(0);
        }
    }
    for (int i = 0; i < 16; i += 2)
        p[i * P] = i;
    for (int k = 0; k < 4; k++)
        WAIT_EXIT(kids[k], 0);
    for (int i = 0; i < 16; i++)
        CHECK_EQ(p[i * P], i);
    OK(munmap((void *)p, 16 * P));
}

static void copy_on_write_by_syscall(void)
{
    char *p = anon(1, PROT_READ | PROT_WRITE);
    p[0] = 'a';
    pid_t c = OK(fork());
    if (!c) {
        int fd = open("/dev/zero", O_RDONLY);
        CHECK_EQ(read(fd, p, 1), 1); /* the kernel's write must copy too */
        sleep_ms(20);
        CHECK_EQ(p[0], 0);
        _exit(0);
    }
    WAIT_EXIT(c, 0);
    CHECK_EQ(p[0], 'a');
    OK(munmap(p, P));
}

static void shared_file_writes_back(void)
{
    char buf[16];
    write_file("f", "0123456789", 10);
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    memcpy(p + 2, "AB", 2);
    CHECK_EQ(pread(fd, buf, 10, 0), 10);
    CHECK(!memcmp(buf, "01AB456789", 10));
    CHECK_EQ(pwrite(fd, "xyz", 3, 7), 3);
    CHECK(!memcmp(p, "01AB456xyz", 10));
    OK(msync(p, P, MS_SYNC));
    OK(msync(p, P, MS_ASYNC));
    CHECK_ERR(msync(p, P, MS_SYNC | MS_ASYNC), EINVAL);
    CHECK_ERR(msync(p + 1, P, MS_SYNC), EINVAL);
    OK(munmap(p, P));
    CHECK_ERR(msync(p, P, MS_SYNC), ENOMEM);
    struct stat st;
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 10);
    close(fd);
}

static void private_file_stays_private(void)
{
    char buf[16] = "";
    write_file("f", "0123456789", 10);
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    memcpy(p, "AB", 2);
    CHECK_EQ(pread(fd, buf, 10, 0), 10);
    CHECK(!memcmp(buf, "0123456789", 10));
    CHECK(!memcmp(p, "AB23456789", 10));
    CHECK_EQ(p[100], 0);
    OK(munmap(p, P));
    close(fd);
}

static void two_maps_of_one_file(void)
{
    static char zero[2 * P];
    write_file("f", zero, sizeof(zero));
    int fd = OK(open("f", O_RDWR));
    volatile char *p = OK(mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    volatile char *q = OK(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, P));
    q[5] = 77;
    CHECK_EQ(p[P + 5], 77);
    unlink("f");
    p[P + 6] = 78;
    CHECK_EQ(q[6], 78);
    OK(munmap((void *)p, 2 * P));
    OK(munmap((void *)q, P));
    close(fd);
}

static void read_into_own_map(void)
{
    write_file("f", "abcdefgh", 8);
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK_EQ(pread(fd, p + 4, 4, 0), 4);
    CHECK(!memcmp(p, "abcdabcd", 8));
    CHECK_EQ(pwrite(fd, p + 2, 2, 0), 2);
    CHECK(!memcmp(p, "cdcdabcd", 8));
    OK(munmap(p, P));
    close(fd);
}

static void growing_file(void)
{
    write_file("f", "", 0);
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK(!readable(p));
    OK(ftruncate(fd, 2 * P));
    p[P] = 'z';
    CHECK_EQ(p[0], 0);
    char c;
    CHECK_EQ(pread(fd, &c, 1, P), 1);
    CHECK_EQ(c, 'z');
    OK(munmap(p, 4 * P));
    close(fd);
}

/* The place of a file map that came page by page holds other memory after munmap. */
static void place_is_reused(void)
{
    write_file("f", "", 0);
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    OK(ftruncate(fd, 2 * P));
    p[P] = 'z';
    CHECK_EQ(p[0], 0);
    OK(munmap(p, 4 * P));
    char *q = OK(mmap(p, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    CHECK_EQ(q[P], 0);
    q[P] = 'A';
    char c;
    CHECK_EQ(pread(fd, &c, 1, P), 1);
    CHECK_EQ(c, 'z');
    OK(munmap(q, 4 * P));
    close(fd);
}

static void mincore_reports(void)
{
    unsigned char v[4] = {9, 9, 9, 9};
    char *p = anon(4, PROT_READ | PROT_WRITE);
    p[P] = 1;
    OK(mincore(p, 4 * P, v));
    CHECK_EQ(v[1] & 1, 1);
    CHECK_ERR(mincore(p + 1, P, v), EINVAL);
    CHECK_ERR(mincore(p, P, (void *)8), EFAULT);
    OK(munmap(p, 4 * P));
    CHECK_ERR(mincore(p, P, v), ENOMEM);
}

static void mlock_basics(void)
{
    char *p = anon(2, PROT_READ | PROT_WRITE);
    OK(mlock(p, 2 * P));
    OK(munlock(p, 2 * P));
    OK(munmap(p, 2 * P));
    CHECK_ERR(mlock(p, P), ENOMEM);
    CHECK_ERR(mlockall(0), EINVAL);
}

static void brk_moves(void)
{
    char *start = (char *)syscall(SYS_brk, 0);
    char *end = start + 40 * P;
    CHECK((char *)syscall(SYS_brk, end) == end);
    memset(start, 1, 40 * P);
    CHECK((char *)syscall(SYS_brk, start + 5) == start + 5);
    CHECK(!readable(start + 2 * P));
    CHECK((char *)syscall(SYS_brk, end) == end);
    CHECK_EQ(start[2 * P], 0);
    CHECK((char *)syscall(SYS_brk, 1) == end); /* refused: says where it is */
    CHECK((char *)syscall(SYS_brk, 1ul << 46) == end);
    syscall(SYS_brk, start);
}

static void as_limit(void)
{
    IN_CHILD({
        struct rlimit rl = {200 << 20, 200 << 20};
        OK(setrlimit(RLIMIT_AS, &rl));
        CHECK_ERR(mmap(NULL, 300 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
        char *p = OK(mmap(NULL, 20 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        CHECK_ERR(mremap(p, 20 << 20, 300 << 20, MREMAP_MAYMOVE), ENOMEM);
    });
}

static void data_limit(void)
{
    IN_CHILD({
        struct rlimit rl = {16 << 20, 16 << 20};
        OK(setrlimit(RLIMIT_DATA, &rl));
        CHECK_ERR(mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
        char *b = (char *)syscall(SYS_brk, 0);
        CHECK((char *)syscall(SYS_brk, b + (32 << 20)) == b);
    });
}

__attribute__((noinline)) static long deep(int n)
{
    volatile char frame[16384];
    frame[0] = n;
    return n ? deep(n - 1) + frame[0] : 0;
}

static void stack_grows(void)
{
    deep(400); /* 6.5 MiB */
    pid_t p = OK(fork());
    if (!p) {
        deep(2000); /* 32 MiB: over the limit of 8 */
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGSEGV);
}

static void stack_limit(void)
{
    pid_t p = OK(fork());
    if (!p) {
        struct rlimit rl = {1 << 20, 1 << 20};
        setrlimit(RLIMIT_STACK, &rl);
        deep(500); /* beyond what stack_grows may have left mapped */
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGSEGV);
}

static void many_mappings(void)
{
    enum { N = 2000 };
    static char *v[N];
    for (int i = 0; i < N; i++) {
        v[i] = OK(mmap(NULL, P, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (!(i & 1))
            v[i][0] = i;
    }
    for (int i = 0; i < N; i += 2)
        CHECK_EQ((unsigned char)v[i][0], i & 255);
    for (int i = 0; i < N; i++)
        OK(munmap(v[i], P));
}

static void huge_reservation(void)
{
    char *p = OK(mmap(NULL, 64ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    OK(mprotect(p + (32ul << 30), P, PROT_READ | PROT_WRITE));
    p[32ul << 30] = 1;
    OK(munmap(p, 64ul << 30));
}

static void memory_is_given_back(void)
{
    for (int i = 0; i < 40; i++) { /* 40 times 64 MiB: more than a leak would have */
        char *p = OK(mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        for (int k = 0; k < 64 << 20; k += 1 << 20)
            p[k] = 1;
        OK(munmap(p, 64 << 20));
    }
}

static void dev_zero_map(void)
{
    int fd = OK(open("/dev/zero", O_RDWR));
    char *p = OK(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    CHECK_EQ(p[9], 0);
    p[9] = 1;
    OK(munmap(p, P));
    p = OK(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    IN_CHILD(p[1] = 3);
    CHECK_EQ(p[1], 3);
    OK(munmap(p, P));
    close(fd);
}

static void populate(void)
{
    char *p = OK(mmap(NULL, 16 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
    unsigned char v[16];
    OK(mincore(p, 16 * P, v));
    for (int i = 0; i < 16; i++)
        CHECK_EQ(v[i] & 1, 1);
    OK(munmap(p, 16 * P));
}

static void grows_down(void)
{
    char *p = anon(64, PROT_READ | PROT_WRITE);
    OK(munmap(p, 64 * P));
    char *q = OK(mmap(p + 60 * P, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0));
    q[-1] = 5;
    q[-3 * P] = 6;
    CHECK_EQ(q[-1], 5);
    OK(munmap(q - 3 * P, 4 * P));
}

static void process_vm(void)
{
    static char word[8];
    strcpy(word, "parent");
    pid_t p = OK(fork());
    if (!p) {
        strcpy(word, "child");
        for (;;)
            pause();
    }
    char got[8] = "";
    struct {
        void *base;
        size_t len;
    } l = {got, 8}, r = {word, 8};
    wait_state(p, "S");
    CHECK_EQ(OK(syscall(SYS_process_vm_readv, p, &l, 1, &r, 1, 0)), 8);
    CHECK_STR(got, "child");
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
}

GUEST_MAIN(C(zero_filled), C(bad_arguments), C(file_permissions), C(fixed_replaces), C(fixed_noreplace),
           C(hint_is_taken_when_free), C(below_4g), C(munmap_makes_a_hole), C(mprotect_splits),
           C(protection_is_immediate), C(generated_code), C(rwx_code), C(mremap_shrink_and_grow), C(mremap_moves),
           C(mremap_fixed), C(mremap_dontunmap), C(mremap_file), C(dontneed_zeroes), C(dontneed_rereads_private_file),
           C(advice_is_accepted), C(shared_with_child), C(copy_on_write), C(copy_on_write_by_syscall),
           C(shared_file_writes_back), C(private_file_stays_private), C(two_maps_of_one_file), C(read_into_own_map),
           C(growing_file), C(place_is_reused), C(mincore_reports), C(mlock_basics), C(brk_moves), C(as_limit), C(data_limit), C(stack_grows),
           C(stack_limit), C(many_mappings), C(huge_reservation), C(memory_is_given_back), C(dev_zero_map), C(populate),
           C(grows_down), C(process_vm))
