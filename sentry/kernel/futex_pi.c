/* Priority-inheriting futexes (without the inheriting: tasks here have no priorities of their own)
 * and the robust list that is walked when a task dies.
 *
 * The word holds the owner's tid, FUTEX_WAITERS when someone queues, FUTEX_OWNER_DIED. It is
 * changed by this file only under the bucket lock of its key, and by the guest's own
 * compare-and-exchange. */
#include "kernel/futex_priv.h"
#include "kernel/kernel_priv.h"

#include <errno.h>
#include <linux/futex.h>

static uint32_t g_pi_sleepers; /* atomic; tasks asleep in this file */

/* Replace *word == old by next: 0, -EAGAIN if it had changed, -EFAULT. */
static int word_swap(struct task *t, uint64_t addr, uint32_t old, uint32_t next)
{
    uint32_t seen = old;
    int r = uaccess_cmpxchg32(t->mm, uaddr(addr), &seen, next);
    return r ? r : seen == old ? 0 : -EAGAIN;
}

static int pi_check_owner(struct task *t, uint32_t word)
{
    uint32_t owner = word & FUTEX_TID_MASK;
    if (owner == (uint32_t)t->vtid)
        return -EDEADLK;
    struct task *o = task_lookup(owner);
    if (!o)
        return -ESRCH;
    bool gone = o->exiting;
    task_put(o);
    return gone ? -ESRCH : 0;
}

static struct futex_waiter *pi_first_locked(struct futex_bucket *b, const struct futex_key *k,
                                            bool *more)
{
    struct futex_waiter *w, *first = NULL;
    *more = false;
    list_for_each(w, &b->waiters, node)
    {
        if (!w->pi || !futex_key_equal(&w->key, k))
            continue;
        if (first) {
            *more = true;
            break;
        }
        first = w;
    }
    return first;
}

/* 1: owned now; 0: FUTEX_WAITERS is set and the caller must queue; or an error. Bucket locked. */
static int pi_try_locked(struct task *t, uint64_t addr, struct futex_bucket *b,
                         const struct futex_key *k)
{
    bool more;
    uint32_t waiters = pi_first_locked(b, k, &more) ? FUTEX_WAITERS : 0;
    for (;;) {
        uint32_t word;
        int r = uaccess_load32(t->mm, uaddr(addr), &word);
        if (r)
            return r;
        if (!(word & FUTEX_TID_MASK)) {
            r = word_swap(t, addr, word, waiters | (word & FUTEX_OWNER_DIED) | t->vtid);
            if (!r)
                return 1;
        } else if ((word & FUTEX_TID_MASK) == (uint32_t)t->vtid) {
            return -EDEADLK;
        } else if (word & FUTEX_WAITERS) {
            return 0;
        } else {
            r = word_swap(t, addr, word, word | FUTEX_WAITERS);
            if (!r)
                return 0;
        }
        if (r != -EAGAIN)
            return r;
    }
}

static int pi_lock_or_queue(struct task *t, uint64_t addr, bool try_only, struct futex_waiter *w)
{
    uint32_t word;
    int r = uaccess_load32(t->mm, uaddr(addr), &word);
    if (!r && (word & FUTEX_TID_MASK))
        r = pi_check_owner(t, word);
    if (r)
        return r;
    struct futex_bucket *b = futex_bucket_of(&w->key);
    LOCK_GUARD(&b->lock);
    r = pi_try_locked(t, addr, b, &w->key);
    if (!r && try_only)
        return -EAGAIN;
    if (!r)
        futex_enqueue_locked(b, w);
    return r;
}

int64_t futex_lock_pi(struct task *t, uint64_t addr, bool shared, bool try_only, int64_t deadline)
{
    struct futex_waiter w;
    futex_waiter_init(&w, t, FUTEX_ANY);
    w.pi = true;
    w.addr = addr;
    int r = uaccess_futex_key(t->mm, uaddr(addr), shared, &w.key);
    if (!r)
        r = pi_lock_or_queue(t, addr, try_only, &w);
    if (r)
        return r > 0 ? 0 : r;
    __atomic_fetch_add(&g_pi_sleepers, 1, __ATOMIC_SEQ_CST);
    r = futex_sleep(t, &w, deadline); /* woken: unlock has made us the owner */
    __atomic_fetch_sub(&g_pi_sleepers, 1, __ATOMIC_RELAXED);
    return r == -ERESTARTSYS ? -ERESTARTNOINTR : r;
}

/* Hand the word to the first waiter, or clear it. keep: bits that stay (FUTEX_OWNER_DIED). */
static int pi_pass_on(struct task *t, uint64_t addr, const struct futex_key *k, uint32_t keep)
{
    struct futex_bucket *b = futex_bucket_of(k);
    struct futex_wakes wakes = {0};
    bool more;
    int r;
    lock_acquire(&b->lock);
    struct futex_waiter *w = pi_first_locked(b, k, &more);
    uint32_t next = keep | (w ? w->task->vtid : 0) | (more ? FUTEX_WAITERS : 0), word;
    do {
        r = uaccess_load32(t->mm, uaddr(addr), &word);
        if (!r)
            r = word_swap(t, addr, word, next);
    } while (r == -EAGAIN);
    if (!r && w)
        futex_take_locked(w, &wakes);
    lock_release(&b->lock);
    futex_wake_list(&wakes);
    return r;
}

int64_t futex_unlock_pi(struct task *t, uint64_t addr, bool shared)
{
    struct futex_key key;
    uint32_t word;
    int r = uaccess_futex_key(t->mm, uaddr(addr), shared, &key);
    if (!r)
        r = uaccess_load32(t->mm, uaddr(addr), &word);
    if (r)
        return r;
    if ((word & FUTEX_TID_MASK) != (uint32_t)t->vtid)
        return -EPERM;
    return pi_pass_on(t, addr, &key, 0);
}

/* ---- condition variables over PI mutexes
 * ------------------------------------------------------------- */

/* The first of addr's waiters gets the word at addr2 or queues for it; the others queue. */
static int requeue_pi_one_locked(struct task *t, uint64_t addr2, struct futex_waiter *w,
                                 const struct futex_key *k2, struct futex_bucket *b2,
                                 struct futex_wakes *wakes)
{
    uint32_t word;
    int r = uaccess_load32(t->mm, uaddr(addr2), &word);
    while (!r) {
        uint32_t next = word & FUTEX_TID_MASK ? word | FUTEX_WAITERS : word | w->task->vtid;
        uint32_t seen = word;
        r = uaccess_cmpxchg32(t->mm, uaddr(addr2), &seen, next);
        if (!r && seen == word)
            break;
        word = seen;
    }
    if (r)
        return r;
    if (!(word & FUTEX_TID_MASK)) {
        futex_take_locked(w, wakes);
        return 0;
    }
    list_del(&w->node);
    w->key = *k2;
    w->pi = true;
    list_push_back(&b2->waiters, &w->node);
    __atomic_store_n(&w->bucket, b2, __ATOMIC_RELEASE);
    return 0;
}

int64_t futex_requeue_pi(struct task *t, uint64_t addr, uint64_t addr2, const struct futex_key *k1,
                         const struct futex_key *k2, int requeue, const uint32_t *expected)
{
    struct futex_bucket *b1 = futex_bucket_of(k1), *b2 = futex_bucket_of(k2);
    struct futex_wakes wakes = {0};
    struct futex_waiter *w, *tmp;
    uint32_t word;
    int moved = 0;
    futex_lock_two(b1, b2);
    int r = uaccess_load32(t->mm, uaddr(addr), &word);
    if (!r && expected && word != *expected)
        r = -EAGAIN;
    if (!r)
        list_for_each_safe(w, tmp, &b1->waiters, node)
        {
            if (!futex_key_equal(&w->key, k1))
                continue;
            if (moved > requeue || wakes.count == FUTEX_WAKES_MAX)
                break;
            r = w->requeue_pi && futex_key_equal(&w->pi_key, k2)
                    ? requeue_pi_one_locked(t, addr2, w, k2, b2, &wakes)
                    : -EINVAL;
            if (r)
                break;
            moved++;
        }
    futex_unlock_two(b1, b2);
    futex_wake_list(&wakes);
    return moved ? moved : r;
}

static int wait_requeue_queue(struct task *t, uint64_t addr, uint32_t value, struct futex_waiter *w)
{
    struct futex_bucket *b = futex_bucket_of(&w->key);
    uint32_t now;
    LOCK_GUARD(&b->lock);
    int r = uaccess_load32(t->mm, uaddr(addr), &now);
    if (!r && now != value)
        r = -EAGAIN;
    if (!r)
        futex_enqueue_locked(b, w);
    return r;
}

int64_t futex_wait_requeue_pi(struct task *t, uint64_t addr, uint64_t addr2, bool shared,
                              uint32_t value, uint32_t bitset, int64_t deadline)
{
    struct futex_waiter w;
    if (addr == addr2)
        return -EINVAL;
    futex_waiter_init(&w, t, FUTEX_ANY); /* as Linux: whatever val3 is */
    w.requeue_pi = true;
    w.addr = addr2;
    int r = uaccess_futex_key(t->mm, uaddr(addr), shared, &w.key);
    if (!r)
        r = uaccess_futex_key(t->mm, uaddr(addr2), shared, &w.pi_key);
    if (!r)
        r = wait_requeue_queue(t, addr, value, &w);
    if (r)
        return r;
    __atomic_fetch_add(&g_pi_sleepers, 1, __ATOMIC_SEQ_CST);
    r = futex_sleep(t, &w, deadline);
    __atomic_fetch_sub(&g_pi_sleepers, 1, __ATOMIC_RELAXED);
    return r == -ERESTARTSYS ? -EWOULDBLOCK : r; /* as Linux: glibc calls again */
}

/* ---- an owner's death
 * ------------------------------------------------------------------------------------ */

/* Give the word that w waits for to w, if its owner is tid. The bucket is locked. */
static bool inherit_locked(struct futex_bucket *b, struct futex_waiter *w, int tid,
                           struct futex_wakes *wakes)
{
    struct task *heir = w->task; /* asleep in here, so its memory stays */
    uint32_t word;
    bool more;
    if (!w->pi || pi_first_locked(b, &w->key, &more) != w ||
        uaccess_load32(heir->mm, uaddr(w->addr), &word) || (word & FUTEX_TID_MASK) != (uint32_t)tid)
        return false;
    if (word_swap(heir, w->addr, word, heir->vtid | FUTEX_OWNER_DIED | (more ? FUTEX_WAITERS : 0)))
        return false;
    futex_take_locked(w, wakes);
    return true;
}

void futex_exit_pi(struct task *t)
{
    struct futex_wakes wakes = {0};
    if (!__atomic_load_n(&g_pi_sleepers, __ATOMIC_SEQ_CST))
        return;
    for (unsigned i = 0; i < FUTEX_BUCKETS; i++) {
        struct futex_bucket *b = futex_bucket_at(i);
        struct futex_waiter *w, *tmp;
        lock_acquire(&b->lock);
        list_for_each_safe(w, tmp, &b->waiters, node) if (wakes.count < FUTEX_WAKES_MAX)
            inherit_locked(b, w, t->vtid, &wakes);
        lock_release(&b->lock);
        futex_wake_list(&wakes);
    }
}

/* ---- robust list
 * ------------------------------------------------------------------------------------- */

#define ROBUST_LIST_LIMIT 2048

struct robust_head {
    uint64_t next;
    int64_t futex_offset;
    uint64_t pending;
};

static void robust_death(struct task *t, uint64_t addr, bool pi, bool pending)
{
    uint32_t word;
    while (!uaccess_load32(t->mm, uaddr(addr), &word)) {
        if (pending && !pi && !word) { /* unlocked, but died before it could wake */
            (void)futex_wake(t, addr, /*shared=*/true, 1, FUTEX_ANY);
            return;
        }
        if ((word & FUTEX_TID_MASK) != (uint32_t)t->vtid)
            return;
        struct futex_key key;
        if (pi && !uaccess_futex_key(t->mm, uaddr(addr), /*shared=*/true, &key)) {
            (void)pi_pass_on(t, addr, &key, FUTEX_OWNER_DIED);
            return;
        }
        int r = word_swap(t, addr, word, (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
        if (r == -EAGAIN)
            continue;
        if (!r && (word & FUTEX_WAITERS))
            (void)futex_wake(t, addr, /*shared=*/true, 1, FUTEX_ANY);
        return;
    }
}

void futex_exit_robust(struct task *t)
{
    struct robust_head h;
    uint64_t head = t->robust_list, entry, next;
    if (!head || uaccess_read_obj(t->mm, &h, uaddr(head)))
        return;
    t->robust_list = 0;
    entry = h.next;
    for (int i = 0; (entry & ~1ull) != head && i < ROBUST_LIST_LIMIT; i++) {
        uint64_t at = entry & ~1ull;
        bool more = !uaccess_read_obj(t->mm, &next, uaddr(at));
        if (at != (h.pending & ~1ull))
            robust_death(t, at + h.futex_offset, entry & 1, /*pending=*/false);
        if (!more)
            break;
        entry = next;
    }
    if (h.pending & ~1ull)
        robust_death(t, (h.pending & ~1ull) + h.futex_offset, h.pending & 1, /*pending=*/true);
}
