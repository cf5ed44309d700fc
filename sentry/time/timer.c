/* Timers: one ordered tree, one thread that sleeps on a futex until the first deadline.
 *
 * States of a timer: disarmed → armed (in the tree) → running (callback, out of the tree) →
 * disarmed, or armed again from the callback. timer_cancel waits out a callback that is running
 * elsewhere. */
#include "base/host.h"
#include "base/lock.h"
#include "base/log.h"
#include "time/time.h"
#include "time/time_priv.h"

#include <errno.h>
#include <pthread.h>

static struct {
    struct lock lock;
    struct tree tree;  /* lock: lock; by (deadline, seq) */
    uint64_t next_seq; /* lock: lock */
    uint32_t kick;     /* atomic; futex word of the timer thread */
    uint32_t done;     /* atomic; futex word of cancellers, bumped after each callback */
    pthread_t thread;  /* const after init */
} g_timers = {.lock = LOCK_INITIALIZER(LR_TIMER)};

#define TIMER_STACK_SIZE (256 * 1024)

static int timer_cmp(const struct tree_node *a, const struct tree_node *b)
{
    const struct timer *x = tree_entry(a, struct timer, node),
                       *y = tree_entry(b, struct timer, node);
    if (x->deadline != y->deadline)
        return x->deadline < y->deadline ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static struct timer *timer_first_locked(void)
{
    struct tree_node *n = tree_first(&g_timers.tree);
    return n ? tree_entry(n, struct timer, node) : NULL;
}

static void timer_kick(void)
{
    __atomic_fetch_add(&g_timers.kick, 1, __ATOMIC_SEQ_CST);
    host_futex_wake(&g_timers.kick, 1);
}

static void timer_run_locked(struct timer *t)
{
    tree_erase(&g_timers.tree, &t->node);
    t->armed = false;
    lock_release(&g_timers.lock);
    t->fn(t);
    lock_acquire(&g_timers.lock);
}

/* The callback may have freed its timer, so "running" lives in a place of ours. */
static struct timer *g_running; /* lock: g_timers.lock */

static int64_t timer_run_due(void)
{
    LOCK_GUARD(&g_timers.lock);
    struct timer *t;
    while ((t = timer_first_locked())) {
        if (t->deadline > time_now())
            return t->deadline;
        g_running = t;
        timer_run_locked(t);
        g_running = NULL;
        __atomic_fetch_add(&g_timers.done, 1, __ATOMIC_SEQ_CST);
        host_futex_wake(&g_timers.done, INT32_MAX);
    }
    return DEADLINE_NEVER;
}

static void *timer_thread(void *arg)
{
    for (;;) {
        uint32_t kick = __atomic_load_n(&g_timers.kick, __ATOMIC_SEQ_CST);
        int64_t deadline = timer_run_due();
        (void)host_futex_wait(&g_timers.kick, kick, deadline);
    }
    return NULL;
}

int time_init(void)
{
    wallclock_init();
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, TIMER_STACK_SIZE);
    int err = pthread_create(&g_timers.thread, &attr, timer_thread, NULL);
    pthread_attr_destroy(&attr);
    return -err;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
    *t = (struct timer){.fn = fn};
}

void timer_arm(struct timer *t, int64_t deadline_ns)
{
    bool first;
    {
        LOCK_GUARD(&g_timers.lock);
        if (t->armed)
            tree_erase(&g_timers.tree, &t->node);
        t->deadline = deadline_ns;
        t->seq = g_timers.next_seq++;
        t->armed = true;
        tree_insert(&g_timers.tree, &t->node, timer_cmp);
        first = timer_first_locked() == t;
    }
    if (first && !pthread_equal(pthread_self(), g_timers.thread))
        timer_kick();
}

bool timer_cancel(struct timer *t)
{
    lock_acquire(&g_timers.lock);
    bool was = t->armed;
    if (was)
        tree_erase(&g_timers.tree, &t->node);
    t->armed = false;
    bool self = pthread_equal(pthread_self(), g_timers.thread);
    while (g_running == t && !self) {
        uint32_t done = __atomic_load_n(&g_timers.done, __ATOMIC_SEQ_CST);
        lock_release(&g_timers.lock);
        (void)host_futex_wait(&g_timers.done, done, DEADLINE_NEVER);
        lock_acquire(&g_timers.lock);
    }
    if (t->armed) { /* the callback had armed it again meanwhile */
        tree_erase(&g_timers.tree, &t->node);
        t->armed = false;
    }
    lock_release(&g_timers.lock);
    return was;
}
