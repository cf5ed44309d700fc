#include "base/work.h"

#include "base/host.h"
#include "base/lock.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>

static struct lock g_lock = LOCK_INITIALIZER(LR_LEAF);
static struct list g_queue = LIST_INIT(g_queue); /* lock: g_lock */
static uint32_t g_word;                          /* futex: bumped with each entry */
static pthread_once_t g_once = PTHREAD_ONCE_INIT;
static bool g_running; /* const after g_once */

static struct work *take_first(void)
{
    LOCK_GUARD(&g_lock);
    struct work *w = list_first(&g_queue, struct work, node);
    if (w)
        list_del(&w->node);
    return w;
}

static void *service(void *arg)
{
    for (;;) {
        uint32_t seen = __atomic_load_n(&g_word, __ATOMIC_ACQUIRE);
        struct work *w = take_first();
        if (w)
            w->fn(w);
        else
            host_futex_wait(&g_word, seen, INT64_MAX);
    }
    return NULL;
}

static void start_once(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    g_running = !pthread_create(&thread, &attr, service, NULL);
    pthread_attr_destroy(&attr);
}

int work_init(struct work *w, void (*fn)(struct work *w))
{
    list_node_init(&w->node);
    w->fn = fn;
    pthread_once(&g_once, start_once);
    return g_running ? 0 : -ENOMEM;
}

bool work_queue(struct work *w)
{
    LOCK_GUARD(&g_lock);
    if (list_linked(&w->node))
        return false;
    list_push_back(&g_queue, &w->node);
    __atomic_add_fetch(&g_word, 1, __ATOMIC_RELEASE);
    host_futex_wake(&g_word, 1);
    return true;
}

bool work_cancel(struct work *w)
{
    LOCK_GUARD(&g_lock);
    bool queued = list_linked(&w->node);
    list_del(&w->node);
    return queued;
}
