/* Sleeping locks with ranks (see lockrank.h). Host futexes underneath, no spinning.
 * Use lock_acquire_nested where a class's comment in lockrank.h allows nesting. */
#pragma once
#include "base/lockrank.h"
#include <pthread.h>
#include <stdbool.h>

struct lock {
    pthread_mutex_t m;
    enum lockrank rank;
};

struct rwlock {
    pthread_rwlock_t l;
    enum lockrank rank;
};

#define LOCK_INITIALIZER(r)                                                                        \
    {                                                                                              \
        .m = PTHREAD_MUTEX_INITIALIZER, .rank = (r)                                                \
    }
#define RWLOCK_INITIALIZER(r)                                                                      \
    {                                                                                              \
        .l = PTHREAD_RWLOCK_INITIALIZER, .rank = (r)                                               \
    }

void lock_init(struct lock *l, enum lockrank rank);
void lock_destroy(struct lock *l);
void lock_acquire(struct lock *l);
void lock_acquire_nested(struct lock *l); /* same class already held: allowed */
bool lock_try(struct lock *l);            /* never blocks, so exempt from the order check */
void lock_release(struct lock *l);

void rwlock_init(struct rwlock *l, enum lockrank rank);
void rwlock_destroy(struct rwlock *l);
void rwlock_read(struct rwlock *l);
void rwlock_write(struct rwlock *l);
void rwlock_write_nested(struct rwlock *l);
void rwlock_read_release(struct rwlock *l);
void rwlock_write_release(struct rwlock *l);

/* bug() if this thread holds any lock (before blocking, at the task loop's top), or any whose
 * class may not be held over a guest copy. Nothing in release builds. */
void lock_check_none_held(void);
/* bug() unless this thread holds a lock of this class. For the head of *_locked functions. */
void lock_check_held(enum lockrank rank);

/* Scoped acquire: LOCK_GUARD(&x->lock); released at the end of the block. */
static inline void lock_guard_end(struct lock **l)
{
    lock_release(*l);
}
#define LOCK_GUARD_NAME2(l) lock_guard_##l
#define LOCK_GUARD_NAME(l)  LOCK_GUARD_NAME2(l)
#define LOCK_GUARD(lp)                                                                             \
    __attribute__((cleanup(lock_guard_end), unused)) struct lock *LOCK_GUARD_NAME(__LINE__) =      \
        (lp);                                                                                      \
    lock_acquire(LOCK_GUARD_NAME(__LINE__))
