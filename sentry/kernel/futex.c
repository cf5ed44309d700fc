/* Futexes: a waiter is named by a key (mm.h), hangs in the key's hash bucket, and is handed its
 * wake-up directly: whoever wakes it takes it off the bucket and says so in w->state.
 *
 * The bucket lock is held over the load of the guest's word (LR_FUTEX is a copy class), which makes
 * "compare and queue" one step as in Linux. Host wake-ups happen after all locks are dropped.
 *
 * A requeued waiter changes its key and bucket; w->bucket is read and checked again under the lock
 * (bucket_lock_of). */
#include "kernel/futex_priv.h"
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>

static struct futex_bucket g_buckets[FUTEX_BUCKETS];

void futex_init(void)
{
    for (int i = 0; i < FUTEX_BUCKETS; i++) {
        lock_init(&g_buckets[i].lock, LR_FUTEX);
        list_init(&g_buckets[i].waiters);
    }
}

struct futex_bucket *futex_bucket_of(const struct futex_key *k)
{
    uint64_t h = (k->obj ^ k->offset >> 2) * 0x9e3779b97f4a7c15ull;
    return &g_buckets[h >> 56 & (FUTEX_BUCKETS - 1)];
}

struct futex_bucket *futex_bucket_at(unsigned index)
{
    return &g_buckets[index];
}

bool futex_key_equal(const struct futex_key *a, const struct futex_key *b)
{
    return a->obj == b->obj && a->offset == b->offset;
}

/* ---- waiters
 * --------------------------------------------------------------------------------------- */

void futex_waiter_init(struct futex_waiter *w, struct task *t, uint32_t bitset)
{
    *w = (struct futex_waiter){.task = t, .bitset = bitset};
    list_node_init(&w->node);
}

void futex_enqueue_locked(struct futex_bucket *b, struct futex_waiter *w)
{
    __atomic_store_n(&w->bucket, b, __ATOMIC_RELAXED);
    list_push_back(&b->waiters, &w->node);
}

/* Lock the bucket w hangs in, wherever it has been moved to. NULL: it has been woken. */
static struct futex_bucket *bucket_lock_of(struct futex_waiter *w)
{
    for (;;) {
        struct futex_bucket *b = __atomic_load_n(&w->bucket, __ATOMIC_ACQUIRE);
        if (!b)
            return NULL;
        lock_acquire(&b->lock);
        if (b == __atomic_load_n(&w->bucket, __ATOMIC_RELAXED))
            return b;
        lock_release(&b->lock);
    }
}

bool futex_dequeue(struct futex_waiter *w)
{
    struct futex_bucket *b = bucket_lock_of(w);
    if (!b)
        return false;
    list_del(&w->node);
    __atomic_store_n(&w->bucket, NULL, __ATOMIC_RELAXED);
    lock_release(&b->lock);
    return true;
}

bool futex_is_woken(const struct futex_waiter *w)
{
    return !__atomic_load_n(&w->bucket, __ATOMIC_ACQUIRE);
}

/* Take w off and remember its task for futex_wake_list. The waiter's memory may vanish as soon as
 * bucket is NULL. */
void futex_take_locked(struct futex_waiter *w, struct futex_wakes *wakes)
{
    struct task *t = w->task;
    list_del(&w->node);
    task_get(t);
    __atomic_store_n(&w->bucket, NULL, __ATOMIC_RELEASE);
    wakes->tasks[wakes->count++] = t;
}

void futex_wake_list(struct futex_wakes *wakes)
{
    for (unsigned i = 0; i < wakes->count; i++) {
        task_wake(wakes->tasks[i]);
        task_put(wakes->tasks[i]);
    }
    wakes->count = 0;
}

/* Wake up to count waiters of key; true if the batch filled before the bucket was done. */
static bool wake_batch_locked(struct futex_bucket *b, const struct futex_key *key, uint32_t bitset,
                              int *left, struct futex_wakes *wakes)
{
    struct futex_waiter *w, *tmp;
    list_for_each_safe(w, tmp, &b->waiters, node)
    {
        if (!futex_key_equal(&w->key, key) || !(w->bitset & bitset) || w->pi)
            continue;
        if (*left <= 0)
            return false;
        if (wakes->count == FUTEX_WAKES_MAX)
            return true;
        futex_take_locked(w, wakes);
        --*left;
    }
    return false;
}

static int wake_key(const struct futex_key *key, int count, uint32_t bitset)
{
    struct futex_bucket *b = futex_bucket_of(key);
    struct futex_wakes wakes = {0};
    int left = count;
    bool more;
    do {
        lock_acquire(&b->lock);
        more = wake_batch_locked(b, key, bitset, &left, &wakes);
        lock_release(&b->lock);
        futex_wake_list(&wakes);
    } while (more);
    return count - left;
}

int64_t futex_wake(struct task *t, uint64_t addr, bool shared, int count, uint32_t bitset)
{
    struct futex_key key;
    if (!bitset)
        return -EINVAL;
    int r = uaccess_futex_key(t->mm, uaddr(addr), shared, &key);
    if (r)
        return r;
    return wake_key(&key, count > 0 ? count : 1, bitset);
}

/* ---- waiting
 * --------------------------------------------------------------------------------------- */

/* Compare and queue: 0, -EAGAIN when the word differs, -EFAULT. */
static int wait_queue(struct task *t, uint64_t addr, uint32_t value, struct futex_waiter *w)
{
    struct futex_bucket *b = futex_bucket_of(&w->key);
    uint32_t now;
    LOCK_GUARD(&b->lock);
    int r = uaccess_load32(t->mm, uaddr(addr), &now);
    if (r)
        return r;
    if (now != value)
        return -EAGAIN;
    futex_enqueue_locked(b, w);
    return 0;
}

/* Until w is woken: 0, or -ETIMEDOUT, -ERESTARTSYS with w dequeued. */
int futex_sleep(struct task *t, struct futex_waiter *w, int64_t deadline)
{
    for (;;) {
        task_sleep_prepare(t);
        if (futex_is_woken(w))
            return 0;
        int r = task_sleep(t, deadline, /*interruptible=*/true);
        if (r)
            return futex_dequeue(w) ? r : 0;
    }
}

static int64_t futex_wait_again(struct task *t, struct restart_block *rb)
{
    return futex_wait(t, rb->data[0], rb->data[1], rb->data[2], rb->data[3], rb->data[4]);
}

int64_t futex_wait(struct task *t, uint64_t addr, bool shared, uint32_t value, uint32_t bitset,
                   int64_t deadline)
{
    struct futex_waiter w;
    if (!bitset)
        return -EINVAL;
    futex_waiter_init(&w, t, bitset);
    int r = uaccess_futex_key(t->mm, uaddr(addr), shared, &w.key);
    if (!r)
        r = wait_queue(t, addr, value, &w);
    if (r)
        return r;
    r = futex_sleep(t, &w, deadline);
    if (r != -ERESTARTSYS || deadline == DEADLINE_NONE)
        return r;
    t->restart.fn = futex_wait_again; /* with the deadline of the first time */
    t->restart.data[0] = addr, t->restart.data[1] = shared, t->restart.data[2] = value;
    t->restart.data[3] = bitset, t->restart.data[4] = deadline;
    return -ERESTART_RESTARTBLOCK;
}

/* ---- many at once
 * ------------------------------------------------------------------------------------ */

static int many_dequeue(struct futex_waiter *w, unsigned count)
{
    int woken = -1;
    for (unsigned i = 0; i < count; i++)
        if (!futex_dequeue(&w[i]) && woken < 0)
            woken = i;
    return woken;
}

static int many_queue(struct task *t, const struct futex_many *f, unsigned count,
                      struct futex_waiter *w)
{
    for (unsigned i = 0; i < count; i++) {
        futex_waiter_init(&w[i], t, FUTEX_ANY);
        int r = uaccess_futex_key(t->mm, uaddr(f[i].addr), f[i].shared, &w[i].key);
        if (!r)
            r = wait_queue(t, f[i].addr, f[i].value, &w[i]);
        if (r) {
            int woken = many_dequeue(w, i);
            return woken >= 0 ? woken + 1 : r;
        }
    }
    return 0;
}

static bool many_woken(const struct futex_waiter *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (futex_is_woken(&w[i]))
            return true;
    return false;
}

/* The index of a woken one, or an error. */
int64_t futex_wait_many(struct task *t, const struct futex_many *f, unsigned count,
                        int64_t deadline)
{
    struct futex_waiter *w = calloc(count, sizeof(*w));
    if (!w)
        return -ENOMEM;
    int r = many_queue(t, f, count, w);
    if (r) {
        free(w);
        return r > 0 ? r - 1 : r;
    }
    for (r = 0; !r;) {
        task_sleep_prepare(t);
        if (many_woken(w, count))
            break;
        r = task_sleep(t, deadline, /*interruptible=*/true);
    }
    int woken = many_dequeue(w, count);
    free(w);
    return woken >= 0 ? woken : r;
}

/* ---- requeue
 * ----------------------------------------------------------------------------------------- */

void futex_lock_two(struct futex_bucket *a, struct futex_bucket *b)
{
    lock_acquire(a < b ? &a->lock : &b->lock);
    if (a != b)
        lock_acquire_nested(a < b ? &b->lock : &a->lock);
}

void futex_unlock_two(struct futex_bucket *a, struct futex_bucket *b)
{
    lock_release(&a->lock);
    if (a != b)
        lock_release(&b->lock);
}

static int requeue_locked(struct futex_bucket *from, struct futex_bucket *to,
                          const struct futex_key *k1, const struct futex_key *k2, int count)
{
    struct futex_waiter *w, *tmp;
    int moved = 0;
    list_for_each_safe(w, tmp, &from->waiters, node)
    {
        if (moved >= count)
            break;
        if (!futex_key_equal(&w->key, k1) || w->pi || w->requeue_pi)
            continue;
        moved++;
        w->key = *k2;
        if (from == to)
            continue;
        list_del(&w->node);
        list_push_back(&to->waiters, &w->node);
        __atomic_store_n(&w->bucket, to, __ATOMIC_RELEASE);
    }
    return moved;
}

struct requeue {
    struct futex_key k1, k2;
    int wake, requeue;
};

static int64_t requeue_do(struct task *t, const struct requeue *q, uint64_t addr,
                          const uint32_t *expected)
{
    struct futex_bucket *b1 = futex_bucket_of(&q->k1), *b2 = futex_bucket_of(&q->k2);
    struct futex_wakes wakes = {0};
    int left = q->wake, moved = 0, r = 0;
    bool more = true;
    while (more && !r) {
        uint32_t now;
        futex_lock_two(b1, b2);
        if (expected) {
            r = uaccess_load32(t->mm, uaddr(addr), &now);
            if (!r && now != *expected)
                r = -EAGAIN;
            expected = NULL;
        }
        more = !r && wake_batch_locked(b1, &q->k1, FUTEX_ANY, &left, &wakes);
        if (!r && !more)
            moved = requeue_locked(b1, b2, &q->k1, &q->k2, q->requeue);
        futex_unlock_two(b1, b2);
        futex_wake_list(&wakes);
    }
    return r ? r : q->wake - left + moved;
}

int64_t futex_requeue(struct task *t, uint64_t addr, uint64_t addr2, bool shared, int wake,
                      int requeue, const uint32_t *expected, bool to_pi)
{
    struct requeue q = {.wake = wake, .requeue = requeue};
    if (wake < 0 || requeue < 0)
        return -EINVAL;
    int r = uaccess_futex_key(t->mm, uaddr(addr), shared, &q.k1);
    if (!r)
        r = uaccess_futex_key(t->mm, uaddr(addr2), shared, &q.k2);
    if (r)
        return r;
    if (to_pi && futex_key_equal(&q.k1, &q.k2))
        return -EINVAL;
    if (to_pi)
        return futex_requeue_pi(t, addr, addr2, &q.k1, &q.k2, requeue, expected);
    return requeue_do(t, &q, addr, expected);
}

int64_t futex_requeue2(struct task *t, const struct futex_many f[2], int wake, int requeue)
{
    struct requeue q = {.wake = wake, .requeue = requeue};
    int r = uaccess_futex_key(t->mm, uaddr(f[0].addr), f[0].shared, &q.k1);
    if (!r)
        r = uaccess_futex_key(t->mm, uaddr(f[1].addr), f[1].shared, &q.k2);
    return r ? r : requeue_do(t, &q, f[0].addr, &f[0].value);
}

/* ---- wake op
 * ----------------------------------------------------------------------------------------- */

static int32_t op_arg(uint32_t op)
{
    int32_t arg = (int32_t)(op << 8) >> 20;
    return (op >> 28) & FUTEX_OP_OPARG_SHIFT ? (int32_t)(1u << (arg & 31)) : arg;
}

static int op_apply(uint32_t op, uint32_t old, uint32_t *next)
{
    uint32_t arg = op_arg(op);
    switch (op >> 28 & 7) {
    case FUTEX_OP_SET:
        *next = arg;
        return 0;
    case FUTEX_OP_ADD:
        *next = old + arg;
        return 0;
    case FUTEX_OP_OR:
        *next = old | arg;
        return 0;
    case FUTEX_OP_ANDN:
        *next = old & ~arg;
        return 0;
    case FUTEX_OP_XOR:
        *next = old ^ arg;
        return 0;
    }
    return -ENOSYS;
}

static int op_compare(uint32_t op, int32_t old)
{
    int32_t arg = (int32_t)(op << 20) >> 20;
    switch (op >> 24 & 15) {
    case FUTEX_OP_CMP_EQ:
        return old == arg;
    case FUTEX_OP_CMP_NE:
        return old != arg;
    case FUTEX_OP_CMP_LT:
        return old < arg;
    case FUTEX_OP_CMP_GE:
        return old >= arg;
    case FUTEX_OP_CMP_LE:
        return old <= arg;
    case FUTEX_OP_CMP_GT:
        return old > arg;
    }
    return -ENOSYS;
}

/* The word at addr2 is changed by one compare-and-exchange; *old receives what it was. */
static int op_run(struct task *t, uint64_t addr2, uint32_t op, uint32_t *old)
{
    uint32_t next, seen;
    int r = uaccess_load32(t->mm, uaddr(addr2), old);
    while (!r) {
        r = op_apply(op, *old, &next);
        if (r)
            break;
        seen = *old;
        r = uaccess_cmpxchg32(t->mm, uaddr(addr2), &seen, next);
        if (!r && seen == *old)
            break;
        *old = seen;
    }
    return r;
}

int64_t futex_wake_op(struct task *t, uint64_t addr, uint64_t addr2, bool shared, int wake,
                      int wake2, uint32_t op)
{
    struct futex_key k1, k2;
    uint32_t old;
    int r = uaccess_futex_key(t->mm, uaddr(addr), shared, &k1);
    if (!r)
        r = uaccess_futex_key(t->mm, uaddr(addr2), shared, &k2);
    if (!r)
        r = op_run(t, addr2, op, &old);
    if (r)
        return r;
    int also = op_compare(op, old);
    if (also < 0)
        return also;
    int woken = wake_key(&k1, wake > 0 ? wake : 1, FUTEX_ANY);
    if (also)
        woken += wake_key(&k2, wake2 > 0 ? wake2 : 1, FUTEX_ANY);
    return woken;
}
