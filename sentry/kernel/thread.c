/* Host threads of tasks. A thread that has served its task to the end waits a while for the next
 * one: making a thread costs a dozen host calls, waking one costs one. */
#include "kernel/kernel_priv.h"

#include "base/host.h"
#include <errno.h>
#include <pthread.h>

#define TASK_STACK_SIZE (256 << 10)
#define IDLE_MAX        16
#define IDLE_NS         (200 * 1000000ll)

struct idle_thread {
    struct list_node node; /* lock: g_idle_lock */
    struct task *next;     /* lock: g_idle_lock; what to serve; set when taken off the list */
    uint32_t word;         /* atomic; futex: 1 when taken */
};

static struct lock g_idle_lock = LOCK_INITIALIZER(LR_LEAF);
static struct list g_idle = LIST_INIT(g_idle); /* lock: g_idle_lock; the last to come first */
static unsigned g_idle_count;                  /* lock: g_idle_lock */

static bool idle_enter(struct idle_thread *me)
{
    LOCK_GUARD(&g_idle_lock);
    if (g_idle_count >= IDLE_MAX)
        return false;
    *me = (struct idle_thread){0};
    list_push_front(&g_idle, &me->node);
    g_idle_count++;
    return true;
}

/* Time is up: leave the list, unless someone was quicker. */
static struct task *idle_leave(struct idle_thread *me)
{
    LOCK_GUARD(&g_idle_lock);
    if (me->next)
        return me->next;
    list_del(&me->node);
    g_idle_count--;
    return NULL;
}

static struct task *idle_wait(void)
{
    struct idle_thread me;
    int64_t deadline = time_after(IDLE_NS);
    if (!idle_enter(&me))
        return NULL;
    while (!__atomic_load_n(&me.word, __ATOMIC_ACQUIRE))
        if (host_futex_wait(&me.word, 0, deadline) == -ETIMEDOUT)
            break;
    return idle_leave(&me);
}

static bool idle_take(struct task *t)
{
    LOCK_GUARD(&g_idle_lock);
    struct idle_thread *i = list_first(&g_idle, struct idle_thread, node);
    if (!i)
        return false;
    list_del(&i->node);
    g_idle_count--;
    i->next = t;
    __atomic_store_n(&i->word, 1, __ATOMIC_RELEASE);
    host_futex_wake(&i->word, 1); /* under the lock: i is on a stack that idle_leave unwinds */
    return true;
}

static void *thread_main(void *arg)
{
    for (struct task *t = arg; t; t = idle_wait())
        task_thread_run(t);
    return NULL;
}

int task_thread_start(struct task *t)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (idle_take(t))
        return 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, TASK_STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&thread, &attr, thread_main, t);
    pthread_attr_destroy(&attr);
    return r ? -EAGAIN : 0;
}
