/* Wait queues: who wants to hear of a change. The one primitive under every blocking call, poll,
 * select and epoll.
 *
 * A waiter is caller-owned memory. waitq_remove returns only when no callback of that waiter is
 * running or will run, so the waiter may then be freed. Callbacks run under the queue's lock: they
 * take only classes below LR_WAITQ and never add to or remove from the same queue. */
#pragma once
#include "base/list.h"
#include "base/lock.h"

struct waiter {
    struct list_node node;                           /* lock: waitq.lock */
    void (*wake)(struct waiter *w, unsigned events); /* const after add */
    unsigned events; /* poll(2) bits it cares for; const after add */
};

struct waitq {
    struct lock lock;
    struct list waiters; /* lock: lock; in order of arrival */
};

void waitq_init(struct waitq *q);
void waitq_init_ranked(struct waitq *q, enum lockrank rank); /* LR_EPOLL_WAITQ for epoll's own */
void waitq_add(struct waitq *q, struct waiter *w);
void waitq_remove(struct waitq *q, struct waiter *w); /* idempotent after waitq_add */
/* Call every waiter with (events & waiter->events) != 0. events is a poll(2) mask; ~0u = all. */
void waitq_wake(struct waitq *q, unsigned events);
bool waitq_has_waiters(struct waitq *q);
