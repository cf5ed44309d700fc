/* Between futex.c and futex_pi.c. */
#pragma once
#include "kernel/kernel_priv.h"

struct futex_bucket {
    struct lock lock;    /* LR_FUTEX */
    struct list waiters; /* lock: lock; in order of arrival */
};

/* On the stack of the waiting task. Fields under the lock of its bucket. */
struct futex_waiter {
    struct list_node node;
    struct futex_bucket *bucket; /* atomic; NULL: woken, or never queued */
    struct futex_key key;
    struct task *task; /* const */
    uint32_t bitset;
    bool pi;         /* waits to own the word */
    bool requeue_pi; /* may only be requeued to the word of pi_key */
    struct futex_key pi_key;
    uint64_t addr; /* const; of the PI word, in task's memory */
};

#define FUTEX_WAKES_MAX 64
struct futex_wakes { /* counted tasks to wake when no lock is held */
    unsigned count;
    struct task *tasks[FUTEX_WAKES_MAX];
};

#define FUTEX_BUCKETS 256
struct futex_bucket *futex_bucket_at(unsigned index);
struct futex_bucket *futex_bucket_of(const struct futex_key *k);
bool futex_key_equal(const struct futex_key *a, const struct futex_key *b);
void futex_waiter_init(struct futex_waiter *w, struct task *t, uint32_t bitset);
void futex_enqueue_locked(struct futex_bucket *b, struct futex_waiter *w);
bool futex_dequeue(struct futex_waiter *w); /* false: it had been woken */
bool futex_is_woken(const struct futex_waiter *w);
void futex_take_locked(struct futex_waiter *w, struct futex_wakes *wakes);
void futex_wake_list(struct futex_wakes *wakes);
int futex_sleep(struct task *t, struct futex_waiter *w, int64_t deadline);
void futex_lock_two(struct futex_bucket *a, struct futex_bucket *b);
void futex_unlock_two(struct futex_bucket *a, struct futex_bucket *b);
int64_t futex_requeue_pi(struct task *t, uint64_t addr, uint64_t addr2, const struct futex_key *k1,
                         const struct futex_key *k2, int requeue, const uint32_t *expected);
