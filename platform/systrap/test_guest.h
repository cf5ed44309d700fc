/* What systrap's tests share: a guest of one thread, and checks of its next event. */
#pragma once

#include "test_world.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

#include <cmocka.h>

#define GUEST_OPEN(g, name) guest_open((g), g_##name, GUEST_SIZE(name))

struct guest {
    struct pl_aspace *as;
    struct pl_ctx *c;
    struct pl_event ev;
};

static inline void guest_open(struct guest *g, const char *code, size_t size)
{
    assert_int_equal(g_w.ops->as_create(g_w.pl, &g->as), 0);
    assert_int_equal(world_code(g->as, code, size), 0);
    assert_int_equal(g_w.ops->ctx_create(g->as, &g->c), 0);
}

static inline void guest_start(struct guest *g, uint64_t rdi, uint64_t rsi)
{
    struct user_regs_struct r = {.rip = CODE_VA, .rdi = rdi, .rsi = rsi};

    assert_int_equal(g_w.ops->ctx_set_regs(g->c, &r), 0);
}

static inline void guest_close(struct guest *g)
{
    g_w.ops->ctx_destroy(g->c);
    g_w.ops->as_destroy(g->as);
}

static inline void run(struct guest *g, enum pl_event_kind kind)
{
    g_w.ops->ctx_run(g->c, &g->ev);
    assert_int_equal(g->ev.kind, kind);
}

static inline void *interrupt_later(void *arg)
{
    usleep(20000);
    g_w.ops->ctx_interrupt(arg);
    return NULL;
}

static inline void run_interrupted(struct guest *g)
{
    pthread_t t;

    assert_int_equal(pthread_create(&t, NULL, interrupt_later, g->c), 0);
    run(g, PL_EV_INTERRUPTED);
    pthread_join(t, NULL);
}

static inline void *run_until_fault(void *arg)
{
    struct guest *g = arg;

    g_w.ops->ctx_run(g->c, &g->ev);
    return NULL;
}

static inline unsigned fd_count(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}
