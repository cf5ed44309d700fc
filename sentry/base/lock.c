/* Locks and the run-time check of their order.
 *
 * Each thread keeps a small stack of the ranks it holds. Taking a lock whose rank is not below all
 * of them is a bug in our code, reported with both names at the moment it happens, deadlock or not.
 */
#include "base/lock.h"
#include "base/log.h"

#include <stdint.h>

#ifdef RF_LOCKDEP

static const char *const g_rank_names[] = {"none",
#define X(name) #name,
                                           LOCKRANKS(X)
#undef X
};

#define HELD_MAX 24

static __thread struct {
    uint8_t ranks[HELD_MAX];
    unsigned count;
} t_held;

static void held_complain(const char *what, enum lockrank wanted, enum lockrank held)
{
    log_user("lock order: %s %s while holding %s", what, g_rank_names[wanted], g_rank_names[held]);
    bug("lock order broken");
}

static void held_push(enum lockrank rank, bool nested)
{
    for (unsigned i = 0; i < t_held.count; i++) {
        enum lockrank h = t_held.ranks[i];
        if (h > rank || (h == rank && !nested))
            held_complain("taking", rank, h);
    }
    bug_on(t_held.count == HELD_MAX);
    t_held.ranks[t_held.count++] = rank;
}

static void held_push_unordered(enum lockrank rank)
{
    bug_on(t_held.count == HELD_MAX);
    t_held.ranks[t_held.count++] = rank;
}

static void held_pop(enum lockrank rank)
{
    for (unsigned i = t_held.count; i-- > 0;) {
        if (t_held.ranks[i] != rank)
            continue;
        for (; i + 1 < t_held.count; i++)
            t_held.ranks[i] = t_held.ranks[i + 1];
        t_held.count--;
        return;
    }
    bug("releasing a lock that is not held");
}

void lock_check_none_held(void)
{
    if (t_held.count)
        held_complain("blocking at", LR_NONE, t_held.ranks[t_held.count - 1]);
}

void lock_check_held(enum lockrank rank)
{
    for (unsigned i = 0; i < t_held.count; i++)
        if (t_held.ranks[i] == rank)
            return;
    log_user("lock order: %s is not held", g_rank_names[rank]);
    bug("a lock that must be held is not");
}

#else

static void held_push(enum lockrank rank, bool nested) {}
static void held_push_unordered(enum lockrank rank) {}
static void held_pop(enum lockrank rank) {}
void lock_check_none_held(void) {}
void lock_check_held(enum lockrank rank) {}

#endif

void lock_init(struct lock *l, enum lockrank rank)
{
    pthread_mutex_init(&l->m, NULL);
    l->rank = rank;
}

void lock_destroy(struct lock *l)
{
    pthread_mutex_destroy(&l->m);
}

void lock_acquire(struct lock *l)
{
    held_push(l->rank, /*nested=*/false);
    pthread_mutex_lock(&l->m);
}

void lock_acquire_nested(struct lock *l)
{
    held_push(l->rank, /*nested=*/true);
    pthread_mutex_lock(&l->m);
}

bool lock_try(struct lock *l)
{
    if (pthread_mutex_trylock(&l->m))
        return false;
    held_push_unordered(l->rank);
    return true;
}

void lock_release(struct lock *l)
{
    held_pop(l->rank);
    pthread_mutex_unlock(&l->m);
}

void rwlock_init(struct rwlock *l, enum lockrank rank)
{
    /* A guest can keep a lock read-held by many threads for ever: writers must get their turn. */
    pthread_rwlockattr_t a;
    pthread_rwlockattr_init(&a);
    pthread_rwlockattr_setkind_np(&a, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&l->l, &a);
    pthread_rwlockattr_destroy(&a);
    l->rank = rank;
}

void rwlock_destroy(struct rwlock *l)
{
    pthread_rwlock_destroy(&l->l);
}

void rwlock_read(struct rwlock *l)
{
    held_push(l->rank, /*nested=*/false);
    pthread_rwlock_rdlock(&l->l);
}

void rwlock_write(struct rwlock *l)
{
    held_push(l->rank, /*nested=*/false);
    pthread_rwlock_wrlock(&l->l);
}

void rwlock_write_nested(struct rwlock *l)
{
    held_push(l->rank, /*nested=*/true);
    pthread_rwlock_wrlock(&l->l);
}

void rwlock_read_release(struct rwlock *l)
{
    held_pop(l->rank);
    pthread_rwlock_unlock(&l->l);
}

void rwlock_write_release(struct rwlock *l)
{
    held_pop(l->rank);
    pthread_rwlock_unlock(&l->l);
}
