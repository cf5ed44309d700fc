/* Condemns a guest that blocks the interrupt. A guest can jump to the stub's rt_sigreturn with a
 * frame of its own and so block our signal; then it would run on for ever. One thread, started when
 * the first signal is sent and asleep while none is on its way, looks at interrupts that have not
 * landed for a second. Slowness of the machine must not kill an innocent guest: the stub must also
 * have used the processor for long enough meanwhile that each of its threads should have had its
 * turn. */
#include "systrap_priv.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

enum { WATCH_TICK_MS = 500, WATCH_AGE_MS = 1000, WATCH_CPU_MS = 400 };

static uint64_t stub_cpu_ns(pid_t pid)
{
    clockid_t id =
        (clockid_t)(~(unsigned)pid << 3 | 2); /* the kernel's number for a process's clock */
    struct timespec t;

    if (clock_gettime(id, &t))
        return 0;
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void watch_check(struct pl_ctx *c, uint64_t now)
{
    uint64_t cpu;

    if (!c->watch_since) {
        c->watch_since = now;
        c->watch_cpu = stub_cpu_ns(c->as->pid);
        return;
    }
    if (now - c->watch_since < WATCH_AGE_MS * 1000000ull)
        return;
    cpu = stub_cpu_ns(c->as->pid) - c->watch_cpu;
    if (cpu < WATCH_CPU_MS * 1000000ull * c->as->slot_next)
        return;
    c->as->p->log("systrap: stub %d: interrupt blocked, killed", (int)c->as->pid);
    st_aspace_kill(c->as);
}

static void *watch_main(void *arg)
{
    struct systrap *p = arg;

    pthread_mutex_lock(&p->watch_lock);
    while (!p->watch_stop) {
        if (!p->watched) {
            pthread_cond_wait(&p->watch_cond, &p->watch_lock);
            continue;
        }
        uint64_t now = st_now_ns();
        for (struct pl_ctx *c = p->watched; c; c = c->watch_next)
            watch_check(c, now);
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += WATCH_TICK_MS * 1000000l;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        while (!p->watch_stop && pthread_cond_clockwait(&p->watch_cond, &p->watch_lock,
                                                        CLOCK_MONOTONIC, &t) != ETIMEDOUT)
            ;
    }
    pthread_mutex_unlock(&p->watch_lock);
    return NULL;
}

/* Signals are for other threads of the sentry. */
static void watch_start_locked(struct systrap *p)
{
    pthread_attr_t attr;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    p->watch_running = !pthread_create(&p->watch_thread, &attr, watch_main, p);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void st_watch_add(struct pl_ctx *c)
{
    struct systrap *p = c->as->p;

    pthread_mutex_lock(&p->watch_lock);
    /* It may have landed already; then ctx_settle is past, or waits for this lock to take it out.
     */
    if (!c->watch_on && atomic_load(&c->run_state) == (ST_RUNNING | ST_INTERRUPT)) {
        c->watch_on = true;
        c->watch_since = 0;
        c->watch_next = p->watched;
        p->watched = c;
        if (!p->watch_running)
            watch_start_locked(p);
        else if (!c->watch_next)
            pthread_cond_signal(&p->watch_cond);
    }
    pthread_mutex_unlock(&p->watch_lock);
}

void st_watch_remove(struct pl_ctx *c)
{
    struct systrap *p = c->as->p;

    pthread_mutex_lock(&p->watch_lock);
    if (c->watch_on) {
        struct pl_ctx **at = &p->watched;
        while (*at != c)
            at = &(*at)->watch_next;
        *at = c->watch_next;
        c->watch_on = false;
    }
    pthread_mutex_unlock(&p->watch_lock);
}

void st_watch_stop(struct systrap *p)
{
    pthread_mutex_lock(&p->watch_lock);
    p->watch_stop = true;
    pthread_cond_broadcast(&p->watch_cond);
    pthread_mutex_unlock(&p->watch_lock);
    if (p->watch_running)
        pthread_join(p->watch_thread, NULL);
}
