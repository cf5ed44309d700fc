/* What systrap's elementary steps cost, from the sentry's side. Not a test: prints nanoseconds. */
#include "test_world.h"

#include <errno.h>

GUEST(loop_light, "1: mov $39, %eax; syscall; jmp 1b");
GUEST(loop_full, "1: mov $111, %eax; syscall; jmp 1b");
GUEST(walk, "1: mov %rax, (%rdi); add $4096, %rdi; jmp 1b");
GUEST(spin, "1: pause; jmp 1b");

static struct pl_aspace *g_as;
static struct pl_ctx *g_c;
static uint64_t g_start;

static void open_guest(const char *code, size_t size)
{
    struct user_regs_struct r = {.rip = CODE_VA, .rdi = DATA_VA};

    if (g_w.ops->as_create(g_w.pl, &g_as) || world_code(g_as, code, size) ||
        g_w.ops->ctx_create(g_as, &g_c) || g_w.ops->ctx_set_regs(g_c, &r))
        abort();
}

static void close_guest(void)
{
    g_w.ops->ctx_destroy(g_c);
    g_w.ops->as_destroy(g_as);
}

static void start(void)
{
    g_start = st_now_ns();
}

static void stop(const char *what, unsigned count)
{
    printf("%-34s %7llu ns\n", what, (unsigned long long)(st_now_ns() - g_start) / count);
}

static void run(enum pl_event_kind kind)
{
    struct pl_event ev;

    g_w.ops->ctx_run(g_c, &ev);
    if (ev.kind != kind) {
        printf("event %d, not %d\n", ev.kind, kind);
        exit(1);
    }
}

static void bench_calls(void)
{
    struct user_regs_struct r;

    open_guest(g_loop_light, GUEST_SIZE(loop_light));
    run(PL_EV_SYSCALL);
    start();
    for (int i = 0; i < 50000; i++)
        run(PL_EV_SYSCALL);
    stop("light call", 50000);
    start();
    for (int i = 0; i < 10000; i++) {
        run(PL_EV_SYSCALL);
        g_w.ops->ctx_get_regs(g_c, &r);
    }
    stop("light call, then get_regs", 10000);
    close_guest();
    open_guest(g_loop_full, GUEST_SIZE(loop_full));
    run(PL_EV_SYSCALL);
    start();
    for (int i = 0; i < 20000; i++)
        run(PL_EV_SYSCALL);
    stop("full call", 20000);
    close_guest();
}

static void bench_memory(void)
{
    const unsigned count = 2000;
    uint64_t at = world_alloc(count * PL_PAGE_SIZE);

    open_guest(g_walk, GUEST_SIZE(walk));
    run(PL_EV_FAULT);
    start();
    for (unsigned i = 0; i < count; i++) {
        world_map(g_as, DATA_VA + i * 4096, 4096, PL_READ | PL_WRITE, at + i * 4096);
        run(PL_EV_FAULT);
    }
    stop("fault + map", count);
    start();
    for (unsigned i = 0; i < count; i++) {
        g_w.ops->as_unmap(g_as, DATA_VA + i * 4096, 4096);
        g_w.ops->as_flush(g_as);
    }
    stop("unmap + flush", count);
    start();
    for (unsigned i = 0; i < count; i++) {
        world_map(g_as, DATA_VA + i * 8192, 4096, PL_READ | PL_WRITE, at + i * 4096);
        if (i % 16 == 15)
            g_w.ops->as_flush(g_as);
    }
    stop("map in batches of 16", count);
    close_guest();
}

static void *interrupter(void *arg)
{
    usleep(200000);
    start();
    g_w.ops->ctx_interrupt(g_c);
    return NULL;
}

static void bench_processes(void)
{
    struct pl_aspace *as[64];
    struct pl_ctx *c[64];
    pthread_t t;

    open_guest(g_spin, GUEST_SIZE(spin));
    pthread_create(&t, NULL, interrupter, NULL);
    run(PL_EV_INTERRUPTED);
    stop("interrupt of a running guest", 1);
    pthread_join(t, NULL);
    start();
    for (int i = 0; i < 64; i++)
        if (g_w.ops->ctx_create(g_as, &c[i]))
            abort();
    stop("new thread", 64);
    start();
    for (int i = 0; i < 64; i++)
        g_w.ops->ctx_destroy(c[i]);
    stop("end of a thread", 64);
    close_guest();
    start();
    for (int i = 0; i < 64; i++)
        if (g_w.ops->as_create(g_w.pl, &as[i]))
            abort();
    stop("new address space", 64);
    start();
    for (int i = 0; i < 64; i++)
        g_w.ops->as_destroy(as[i]);
    stop("end of an address space", 64);
    start();
    for (int i = 0; i < 500; i++) {
        open_guest(g_spin, GUEST_SIZE(spin));
        close_guest();
        g_w.next -= 4096;
    }
    stop("recycled address space", 500);
}

int main(void)
{
    struct pl_probe pr;
    int err;

    start();
    err = g_platform_systrap.probe(-1, false, &pr);
    stop("probe, not measuring", 1);
    start();
    err = err ? err : g_platform_systrap.probe(-1, true, &pr);
    stop("probe, measuring", 1);
    printf("%s\n", pr.reason);
    start();
    err = err ? err : world_open();
    stop("create", 1);
    if (err)
        return 1;
    bench_calls();
    bench_memory();
    bench_processes();
    start();
    world_close();
    stop("destroy", 1);
    return 0;
}
