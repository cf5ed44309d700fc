/* The kvm tests' world; also their main. See kvm_testlib.h. */
#include "kvm_testlib.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct world g_w;
int g_kvm_fd = -1;

static void test_log(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("  # ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

static void world_open_limited(unsigned limit)
{
    struct world *w = &g_w;
    g_kvm_vcpu_limit = limit;
    w->memfd = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(ftruncate(w->memfd, MEM_SIZE), 0);
    w->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w->memfd, 0);
    w->win = mmap(NULL, WIN_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(w->mem != MAP_FAILED && w->win != MAP_FAILED);
    w->next = 0;
    struct pl_config cfg = {.memfile_fd = w->memfd,
                            .memfile_base = w->mem,
                            .memfile_size = MEM_SIZE,
                            .window_base = w->win,
                            .window_size = WIN_SIZE,
                            .kvm_fd = g_kvm_fd,
                            .log = test_log};
    assert_int_equal(g_platform_kvm.create(&cfg, &w->pl), 0);
}

int world_open(void **state)
{
    world_open_limited(0);
    return 0;
}

int world_open_few(void **state)
{
    world_open_limited(3);
    return 0;
}

int world_close(void **state)
{
    g_platform_kvm.destroy(g_w.pl);
    munmap(g_w.mem, MEM_SIZE);
    munmap(g_w.win, WIN_SIZE);
    close(g_w.memfd);
    return 0;
}

/* Fresh frames of the memory file, mapped at va. Returns the sentry's view. */
void *map_new(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot)
{
    uint8_t *hva = g_w.mem + g_w.next;
    struct pl_backing b = {.fd = g_w.memfd, .offset = g_w.next, .hva = hva};
    g_w.next += size;
    assert_true(g_w.next <= MEM_SIZE);
    assert_int_equal(g_platform_kvm.as_map(as, va, size, prot, &b, false), 0);
    return hva;
}

void map_at(struct pl_aspace *as, uint64_t va, void *hva, uint64_t size, unsigned prot)
{
    struct pl_backing b = {
        .fd = g_w.memfd, .offset = (uint64_t)((uint8_t *)hva - g_w.mem), .hva = hva};
    assert_int_equal(g_platform_kvm.as_map(as, va, size, prot, &b, false), 0);
}

void code_put(struct pl_aspace *as, const uint8_t *code, const uint8_t *end)
{
    uint8_t *hva = map_new(as, CODE_VA, PL_PAGE_SIZE, PL_READ | PL_EXEC);
    memcpy(hva, code, (size_t)(end - code));
}

struct pl_aspace *as_new(void)
{
    struct pl_aspace *as;
    assert_int_equal(g_platform_kvm.as_create(g_w.pl, &as), 0);
    return as;
}

struct pl_ctx *ctx_new(struct pl_aspace *as, uint64_t rdi, uint64_t rsi)
{
    struct pl_ctx *c;
    struct user_regs_struct r = {.rip = CODE_VA, .rsp = STACK_VA, .rdi = rdi, .rsi = rsi};
    assert_int_equal(g_platform_kvm.ctx_create(as, &c), 0);
    assert_int_equal(g_platform_kvm.ctx_set_regs(c, &r), 0);
    return c;
}

struct pl_event run(struct pl_ctx *c)
{
    struct pl_event ev;
    g_platform_kvm.ctx_run(c, &ev);
    return ev;
}

struct user_regs_struct regs_of(struct pl_ctx *c)
{
    struct user_regs_struct r;
    assert_int_equal(g_platform_kvm.ctx_get_regs(c, &r), 0);
    return r;
}

void drop(struct pl_aspace *as, struct pl_ctx *c)
{
    if (c)
        g_platform_kvm.ctx_destroy(c);
    g_platform_kvm.as_destroy(as);
}

int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* kvm_test [FILTER]: a pattern of test names; or --hold: keep a VM with a vCPU until killed. */
int main(int argc, char **argv)
{
    g_kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (g_kvm_fd < 0) {
        printf("SKIP: /dev/kvm cannot be opened: %s\n", strerror(errno));
        return 77;
    }
    if (argc > 1 && !strcmp(argv[1], "--hold")) {
        world_open_limited(1);
        return pause();
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = kvm_contract_tests();
    failed += kvm_hostile_tests();
    failed += kvm_state_tests();
    failed += kvm_memory_tests();
    return failed ? 1 : 0;
}
