/* Wait queues. The queue's lock is held over callbacks, which is what makes removal a barrier. */
#include "base/waitq.h"

void waitq_init(struct waitq *q)
{
    waitq_init_ranked(q, LR_WAITQ);
}

void waitq_init_ranked(struct waitq *q, enum lockrank rank)
{
    lock_init(&q->lock, rank);
    list_init(&q->waiters);
}

void waitq_add(struct waitq *q, struct waiter *w)
{
    LOCK_GUARD(&q->lock);
    list_push_back(&q->waiters, &w->node);
}

void waitq_remove(struct waitq *q, struct waiter *w)
{
    LOCK_GUARD(&q->lock);
    list_del(&w->node);
}

/* An epoll instance inside another is woken from the inner one's queue. */
static void waitq_lock(struct waitq *q)
{
    if (q->lock.rank == LR_EPOLL_WAITQ)
        lock_acquire_nested(&q->lock);
    else
        lock_acquire(&q->lock);
}

void waitq_wake(struct waitq *q, unsigned events)
{
    waitq_lock(q);
    struct waiter *w;
    list_for_each(w, &q->waiters, node) if (w->events & events) w->wake(w, events);
    lock_release(&q->lock);
}

bool waitq_has_waiters(struct waitq *q)
{
    LOCK_GUARD(&q->lock);
    return !list_empty(&q->waiters);
}
