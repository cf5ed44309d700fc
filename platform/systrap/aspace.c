/* Guest address spaces. Each is a stub process; a clean one is kept for the next guest process when
 * its own ends, since a new one costs several clones. States: made (as_create), used, then either
 * emptied and pooled, or killed and reaped. */
#include "systrap_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

char *st_aspace_ctl(const struct pl_aspace *as)
{
    return as->p->stub_base + (size_t)as->block * STUB_BLOCK;
}

char *st_aspace_slot(const struct pl_aspace *as, unsigned slot)
{
    return st_aspace_ctl(as) + STUB_CTLLEN + (size_t)slot * as->p->slot_size;
}

void st_aspace_kill(struct pl_aspace *as)
{
    if (!atomic_exchange(&as->dead, true) && as->pid > 0)
        kill(as->pid, SIGKILL);
}

static int block_take(struct systrap *p, unsigned *block)
{
    int err = -EAGAIN;

    pthread_mutex_lock(&p->lock);
    if (p->free_count) {
        *block = p->free_blocks[--p->free_count];
        err = 0;
    }
    pthread_mutex_unlock(&p->lock);
    return err;
}

static void block_give(struct systrap *p, unsigned block)
{
    madvise(p->stub_base + (size_t)block * STUB_BLOCK, STUB_BLOCK, MADV_REMOVE);
    pthread_mutex_lock(&p->lock);
    p->free_blocks[p->free_count++] = block;
    pthread_mutex_unlock(&p->lock);
}

/* The process goes first: a thread of it that is just starting would still put its listener at a
 * descriptor number that we have closed, and that may be another file by then. */
void st_aspace_free(struct pl_aspace *as)
{
    struct pl_ctx *threads[] = {as->spare, as->coming, as->failed};

    if (as->pid > 0) {
        kill(as->pid, SIGKILL); /* not reaped yet, so it is still ours */
        while (waitpid(as->pid, NULL, __WALL) < 0 && errno == EINTR)
            ;
    }
    for (unsigned i = 0; i < sizeof(threads) / sizeof(threads[0]); i++)
        if (threads[i])
            st_thread_free(threads[i]);
    if (as->mapper_fd >= 0)
        close(as->mapper_fd);
    block_give(as->p, as->block);
    pthread_mutex_destroy(&as->lock);
    pthread_mutex_destroy(&as->spawn_lock);
    st_ranges_clear(&as->mapped);
    free(as->slots);
    free(as);
}

static int aspace_alloc(struct systrap *p, struct pl_aspace **out)
{
    struct pl_aspace *as = calloc(1, sizeof(*as));

    if (!as)
        return -ENOMEM;
    int err = block_take(p, &as->block);
    if (err) {
        free(as);
        return err;
    }
    as->p = p;
    as->mapper_fd = -1;
    as->slot_next = 1;
    as->slots_mapped = STUB_SLOTLEN;
    pthread_mutex_init(&as->lock, NULL);
    pthread_mutex_init(&as->spawn_lock, NULL);
    *out = as;
    return 0;
}

/* Writes the orders and lets the zygote clone. */
static int stub_order(struct systrap *p, struct pl_aspace **out)
{
    struct pl_aspace *as;
    int err = aspace_alloc(p, &as);

    if (err)
        return err;
    err = st_thread_order(as, /*first=*/true, &as->coming);
    as->born.block = as->block;
    if (!err)
        err = st_zygote_order(p, &as->born);
    if (err)
        st_aspace_free(as);
    else
        *out = as;
    return err;
}

/* Waits for the mapper and for the first guest thread. consumes as on failure. */
static int stub_wait(struct pl_aspace *as)
{
    struct pl_ctx *c = as->coming;
    int err = st_zygote_collect(as->p, &as->born);

    if (!err) {
        as->pid = as->born.pid;
        as->mapper_fd = as->born.mapper_target;
        c->listener = as->born.thread_target;
        err = st_target_wait(as, as->mapper_fd, st_aspace_slot(as, 0) + SLOT_READY);
    }
    if (!err)
        err = st_map_start(as);
    if (!err)
        err = st_thread_wait(c);
    if (err) {
        st_aspace_free(as);
        return err;
    }
    as->coming = NULL;
    as->spare = c;
    return 0;
}

/* The pool's last, or the one that is on its way (*wait then). */
static struct pl_aspace *pool_take(struct systrap *p, bool *wait)
{
    struct pl_aspace *as = NULL;

    pthread_mutex_lock(&p->lock);
    *wait = !p->pool_count;
    if (p->pool_count) {
        as = p->pool[--p->pool_count];
    } else if (p->coming) {
        as = p->coming;
        p->coming = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    return as;
}

/* Who took the last one orders the next, so that it is made meanwhile. */
static void pool_refill(struct systrap *p)
{
    struct pl_aspace *as = NULL, *spill = NULL;

    pthread_mutex_lock(&p->lock);
    bool enough = p->pool_count || p->coming || !p->calibrated;
    pthread_mutex_unlock(&p->lock);
    if (enough || stub_order(p, &as))
        return;
    pthread_mutex_lock(&p->lock);
    if (p->coming)
        spill = as;
    else
        p->coming = as;
    pthread_mutex_unlock(&p->lock);
    if (spill && !stub_wait(spill)) /* another thread was as quick */
        st_aspace_destroy(spill);
}

void st_pool_stop(struct systrap *p)
{
    if (p->coming && !stub_wait(p->coming))
        p->pool[p->pool_count++] = p->coming;
    while (p->pool_count)
        st_aspace_free(p->pool[--p->pool_count]);
}

static bool pool_give(struct pl_aspace *as)
{
    struct systrap *p = as->p;
    bool taken = false;

    pthread_mutex_lock(&p->lock);
    if (p->pool_count + (p->coming != NULL) < ST_POOL_MAX) {
        p->pool[p->pool_count++] = as;
        taken = true;
    }
    pthread_mutex_unlock(&p->lock);
    return taken;
}

int st_aspace_create(struct platform *pl, struct pl_aspace **out)
{
    struct systrap *p = (struct systrap *)pl;
    bool wait;
    struct pl_aspace *as = pool_take(p, &wait);
    int err = as ? 0 : stub_order(p, &as);

    if (!err && wait)
        err = stub_wait(as);
    if (err)
        return err;
    *out = as;
    pool_refill(p);
    return 0;
}

/* Makes the stub as new: no guest memory, nothing of the guest in the slots or in the thread. One
 * that had many threads is not worth it. */
static bool aspace_clean(struct pl_aspace *as)
{
    if (atomic_load(&as->dead) || !as->spare || as->coming || as->failed ||
        as->slots_mapped != STUB_SLOTLEN || st_map_empty(as))
        return false;
    memset(st_aspace_slot(as, 0), 0, as->p->slot_size);
    st_frame_reset(as->spare); /* has slot 1 */
    char *rest = st_aspace_slot(as, 2), *end = st_aspace_slot(as, 0) + STUB_SLOTLEN;
    return !madvise(rest, end - rest, MADV_REMOVE);
}

void st_aspace_destroy(struct pl_aspace *as)
{
    if (aspace_clean(as) && pool_give(as))
        return;
    st_aspace_free(as);
}
