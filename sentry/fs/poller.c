/* One thread that watches host descriptors and wakes wait queues of ours.
 *
 * Entries are armed only while somebody wants to know (poller_want), and fire once: an idle sandbox
 * costs nothing, whatever its descriptors do. Events carry an entry's number, not its address, so a
 * removed entry is simply not found. */
#include "base/host.h"
#include "base/log.h"
#include "base/overflow.h"
#include "fs/vfs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

struct poller_entry {
    struct tree_node node; /* lock: g_poller.lock */
    uint64_t id;           /* const */
    int fd;                /* const */
    unsigned interest;     /* const; for poller_rearm */
    unsigned armed;        /* lock: g_poller.lock */
    struct waitq *wq;      /* const; borrowed */
};

static struct {
    struct lock lock; /* LR_POLLER */
    pthread_cond_t idle;
    struct tree entries;         /* lock: lock; by id */
    struct poller_entry *waking; /* lock: lock; the thread is in its wait queue */
    uint64_t next_id;            /* lock: lock */
    int epfd;                    /* const after init */
    bool started;                /* lock: lock */
} g_poller = {.lock = LOCK_INITIALIZER(LR_POLLER), .idle = PTHREAD_COND_INITIALIZER, .epfd = -1};

static int entry_cmp(const struct tree_node *a, const struct tree_node *b)
{
    uint64_t x = tree_entry(a, struct poller_entry, node)->id;
    uint64_t y = tree_entry(b, struct poller_entry, node)->id;
    return (x > y) - (x < y);
}

static int entry_key(const void *key, const struct tree_node *n)
{
    uint64_t x = *(const uint64_t *)key, y = tree_entry(n, struct poller_entry, node)->id;
    return (x > y) - (x < y);
}

static void entry_arm_locked(struct poller_entry *e, unsigned events)
{
    if (!(events & ~e->armed))
        return;
    e->armed |= events;
    struct epoll_event ev = {.events = e->armed | EPOLLONESHOT, .data.u64 = e->id};
    int r = host_epoll_ctl(g_poller.epfd, EPOLL_CTL_MOD, e->fd, &ev);
    if (r < 0)
        log_debug("poller: cannot arm host descriptor %d: %d", e->fd, -r);
}

/* Find the entry and mark it as being woken; NULL if it is gone. */
static struct poller_entry *entry_begin(uint64_t id, unsigned fired)
{
    LOCK_GUARD(&g_poller.lock);
    struct tree_node *n = tree_find(&g_poller.entries, &id, entry_key);
    if (!n)
        return NULL;
    struct poller_entry *e = tree_entry(n, struct poller_entry, node);
    unsigned left = e->armed & ~fired;
    e->armed = 0;
    if (left && !(fired & (EPOLLERR | EPOLLHUP)))
        entry_arm_locked(e, left);
    g_poller.waking = e;
    return e;
}

static void entry_end(void)
{
    LOCK_GUARD(&g_poller.lock);
    g_poller.waking = NULL;
    pthread_cond_broadcast(&g_poller.idle);
}

static void *poller_main(void *arg)
{
    struct epoll_event evs[32];
    for (;;) {
        int n = host_epoll_wait(g_poller.epfd, evs, ARRAY_COUNT(evs), -1);
        for (int i = 0; i < n; i++) {
            struct poller_entry *e = entry_begin(evs[i].data.u64, evs[i].events);
            if (!e)
                continue;
            waitq_wake(e->wq, ~0u);
            entry_end();
        }
    }
    return NULL;
}

static int poller_start_locked(void)
{
    if (g_poller.started)
        return 0;
    if (g_poller.epfd < 0)
        g_poller.epfd = host_epoll_create();
    if (g_poller.epfd < 0)
        return g_poller.epfd;
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 64 * 1024);
    int r = pthread_create(&thread, &attr, poller_main, NULL);
    pthread_attr_destroy(&attr);
    g_poller.started = r == 0;
    return -r;
}

/* The thread itself waits for the first entry: programs without host streams never pay for it. */
int poller_init(void)
{
    LOCK_GUARD(&g_poller.lock);
    if (g_poller.epfd < 0)
        g_poller.epfd = host_epoll_create();
    return MIN(g_poller.epfd, 0);
}

int poller_add(int host_fd, unsigned events, struct waitq *wq, struct poller_entry **out)
{
    struct poller_entry *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    LOCK_GUARD(&g_poller.lock);
    int r = poller_start_locked();
    *e = (struct poller_entry){
        .id = ++g_poller.next_id, .fd = host_fd, .interest = events, .wq = wq};
    struct epoll_event ev = {.events = EPOLLONESHOT, .data.u64 = e->id};
    if (!r)
        r = host_epoll_ctl(g_poller.epfd, EPOLL_CTL_ADD, host_fd, &ev);
    if (r < 0) {
        free(e);
        return r;
    }
    tree_insert(&g_poller.entries, &e->node, entry_cmp);
    *out = e;
    return 0;
}

void poller_want(struct poller_entry *e, unsigned events)
{
    LOCK_GUARD(&g_poller.lock);
    entry_arm_locked(e, events);
}

void poller_rearm(struct poller_entry *e)
{
    poller_want(e, e->interest);
}

void poller_remove(struct poller_entry *e)
{
    lock_acquire(&g_poller.lock);
    struct epoll_event ev = {0};
    host_epoll_ctl(g_poller.epfd, EPOLL_CTL_DEL, e->fd, &ev);
    tree_erase(&g_poller.entries, &e->node);
    while (g_poller.waking == e)
        pthread_cond_wait(&g_poller.idle, &g_poller.lock.m);
    lock_release(&g_poller.lock);
    free(e);
}
