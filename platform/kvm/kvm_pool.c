/* Which sentry thread may use which vCPU.
 *
 * A ctx comes back to the vCPU that it used last, whose FP state and bases are still its own, if
 * that is free; else it takes one that holds nobody's state, has a new one made, or takes the
 * longest unused and moves its state out. When all are busy it queues: whoever stands first for a
 * time slice closes the way for those behind it (starving) and has the vCPU that runs longest
 * brought out. */
#include "kvm_priv.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define POOL_SLICE_NS 4000000   /* for who stands first in the queue */
#define POOL_WAIT_NS  500000000 /* for the others, who are woken when they become first */

static pid_t pool_gettid(void)
{
    static __thread pid_t tid;
    if (!tid)
        tid = (pid_t)syscall(SYS_gettid);
    return tid;
}

static void pool_wait_saved_locked(struct kvm_platform *p)
{
    p->saved_waiters++;
    pthread_cond_wait(&p->pool_saved, &p->pool_lock);
    p->saved_waiters--;
}

static struct kvm_vcpu *pick_free_locked(struct kvm_platform *p)
{
    struct kvm_vcpu *best = NULL;
    for (unsigned i = 0; i < p->vcpu_count; i++) {
        struct kvm_vcpu *v = p->vcpu[i];
        if (v->busy || v->loaded)
            continue;
        if (v->last_tid == pool_gettid())
            return v;
        best = v;
    }
    return best;
}

static struct kvm_vcpu *pick_oldest_locked(struct kvm_platform *p, bool busy)
{
    struct kvm_vcpu *best = NULL;
    for (unsigned i = 0; i < p->vcpu_count; i++) {
        struct kvm_vcpu *v = p->vcpu[i];
        if (v->busy == busy && (!best || v->used < best->used))
            best = v;
    }
    return best;
}

static struct kvm_vcpu *pick_locked(struct kvm_platform *p, struct pl_ctx *c)
{
    if (c->vcpu) /* busy: whoever stole it is still saving our state, and nothing else will do */
        return c->vcpu->busy ? NULL : c->vcpu;
    struct kvm_vcpu *v = pick_free_locked(p);
    if (v)
        return v;
    if (p->vcpu_count < p->vcpu_max) {
        if (kvm_vcpu_create(p, p->vcpu_count, &v) == 0) {
            p->vcpu[p->vcpu_count++] = v;
            return v;
        }
        p->cfg.log("kvm: no more than %u vCPUs can be made", p->vcpu_count);
        p->vcpu_max = p->vcpu_count;
    }
    return pick_oldest_locked(p, /*busy=*/false);
}

static void waiter_add_locked(struct kvm_platform *p, struct kvm_waiter *w)
{
    struct kvm_waiter **at = &p->waiters;
    while (*at)
        at = &(*at)->next;
    w->next = NULL;
    *at = w;
}

static void waiter_remove_locked(struct kvm_platform *p, struct kvm_waiter *w)
{
    struct kvm_waiter **at = &p->waiters;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    p->starving = false;
    if (p->waiters)
        pthread_cond_signal(&p->waiters->cond);
}

static void slice_end(struct timespec *ts, long ns)
{
    clock_gettime(CLOCK_MONOTONIC, ts);
    ts->tv_nsec += ns;
    if (ts->tv_nsec >= 1000000000) {
        ts->tv_nsec -= 1000000000;
        ts->tv_sec++;
    }
}

static struct kvm_vcpu *pool_queue_locked(struct kvm_platform *p, struct pl_ctx *c)
{
    struct kvm_waiter w;
    struct kvm_vcpu *v = NULL;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w.cond, &attr);
    waiter_add_locked(p, &w);
    atomic_store(&c->waiter, &w);
    while (!v && !atomic_load(&c->interrupt)) {
        struct timespec end;
        bool first = p->waiters == &w;
        slice_end(&end, first ? POOL_SLICE_NS : POOL_WAIT_NS);
        int rc = pthread_cond_timedwait(&w.cond, &p->pool_lock, &end);
        if (p->waiters != &w)
            continue;
        v = pick_locked(p, c);
        if (!v && first && rc == ETIMEDOUT) {
            struct kvm_vcpu *victim = pick_oldest_locked(p, /*busy=*/true);
            p->starving = true;
            if (victim)
                kvm_vcpu_kick(victim);
        }
    }
    atomic_store(&c->waiter, NULL);
    waiter_remove_locked(p, &w);
    pthread_cond_destroy(&w.cond);
    pthread_condattr_destroy(&attr);
    return v;
}

/* A vCPU for c, busy, perhaps with another ctx's state in it; NULL: interrupted while waiting. */
static struct kvm_vcpu *pool_choose(struct kvm_platform *p, struct pl_ctx *c)
{
    pthread_mutex_lock(&p->pool_lock);
    while (c->vcpu && c->vcpu->busy) /* somebody is saving our state */
        pool_wait_saved_locked(p);
    struct kvm_vcpu *v = p->starving ? NULL : pick_locked(p, c);
    if (!v)
        v = pool_queue_locked(p, c);
    if (v) {
        v->busy = true;
        v->used = ++p->pool_clock;
        v->last_tid = pool_gettid();
        atomic_store(&v->tid, v->last_tid);
    }
    pthread_mutex_unlock(&p->pool_lock);
    return v;
}

static void pool_attach(struct kvm_platform *p, struct kvm_vcpu *v, struct pl_ctx *c)
{
    pthread_mutex_lock(&p->pool_lock);
    if (v->loaded)
        v->loaded->vcpu = NULL;
    v->loaded = c;
    if (c) {
        c->vcpu = v;
        c->bases_dirty = true;
    }
    if (p->saved_waiters)
        pthread_cond_broadcast(&p->pool_saved);
    if (p->waiters)
        pthread_cond_signal(&p->waiters->cond);
    pthread_mutex_unlock(&p->pool_lock);
}

void kvm_pool_detach(struct kvm_platform *p, struct kvm_vcpu *v)
{
    pool_attach(p, v, NULL);
}

int kvm_pool_take(struct kvm_platform *p, struct pl_ctx *c, struct kvm_vcpu **out)
{
    struct kvm_vcpu *v = pool_choose(p, c);
    if (!v)
        return -EINTR;
    int rc = v->broken ? kvm_vcpu_setup(p, v) : 0;
    if (rc == 0 && v->loaded != c) {
        struct pl_ctx *old = v->loaded;
        rc = kvm_vcpu_switch(p, v, old, c);
        if (rc < 0 && old)
            old->dead = true;
        pool_attach(p, v, rc < 0 ? NULL : c);
    }
    if (rc < 0) {
        v->broken = true;
        kvm_pool_put(p, v);
        return rc;
    }
    *out = v;
    return 0;
}

/* c->interrupt is set; if c stands in the queue, it is to leave it. */
void kvm_pool_interrupt(struct kvm_platform *p, struct pl_ctx *c)
{
    if (!atomic_load(&c->waiter))
        return;
    pthread_mutex_lock(&p->pool_lock);
    struct kvm_waiter *w = atomic_load(&c->waiter);
    if (w)
        pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&p->pool_lock);
}

void kvm_pool_put(struct kvm_platform *p, struct kvm_vcpu *v)
{
    pthread_mutex_lock(&p->pool_lock);
    v->busy = false;
    if (p->waiters)
        pthread_cond_signal(&p->waiters->cond);
    if (p->saved_waiters)
        pthread_cond_broadcast(&p->pool_saved);
    pthread_mutex_unlock(&p->pool_lock);
}

struct kvm_vcpu *kvm_pool_take_holder(struct kvm_platform *p, struct pl_ctx *c)
{
    pthread_mutex_lock(&p->pool_lock);
    while (c->vcpu && c->vcpu->busy)
        pool_wait_saved_locked(p);
    if (c->vcpu)
        c->vcpu->busy = true;
    struct kvm_vcpu *v = c->vcpu;
    pthread_mutex_unlock(&p->pool_lock);
    return v;
}
