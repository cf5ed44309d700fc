/* Linux native AIO: contexts and their completions.
 *
 * A context belongs to an address space and dies with it, or by io_destroy. Its id is the address of
 * a page in the guest, as on Linux, but an empty one: libraries that look there for the kernel's
 * ring find no magic number and make the system call. As on Linux, reads and writes of anything but
 * raw devices are done when they are submitted; only IOCB_CMD_POLL waits (aio_request.c).
 *
 * Locks: table and context locks are leaves, never held together. */
#include "base/overflow.h"
#include "fs/anon/aio_priv.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>

#define AIO_MIN_RING  126u /* a page of Linux's ring */
#define AIO_MAX_ASKED (0x10000000u / sizeof(struct io_event))
#define AIO_COPY      16u

struct aio_table {
    struct mm_tenant tenant;
    struct lock lock; /* LR_LEAF */
    struct list ctxs; /* lock: lock; counted */
};

static uint64_t g_asked; /* atomic; fs.aio-nr */

uint64_t aio_count(void)
{
    return __atomic_load_n(&g_asked, __ATOMIC_RELAXED);
}

/* ---- life ---- */

void aio_ctx_put(struct aio_ctx *c)
{
    if (!ref_put(&c->ref))
        return;
    __atomic_sub_fetch(&g_asked, c->asked, __ATOMIC_RELAXED);
    lock_destroy(&c->lock);
    free(c->ring);
    free(c);
}

static int asked_charge(unsigned n)
{
    uint64_t now = __atomic_add_fetch(&g_asked, n, __ATOMIC_RELAXED);
    if (now <= (uint64_t)g_vfs_knobs.aio_max_nr)
        return 0;
    __atomic_sub_fetch(&g_asked, n, __ATOMIC_RELAXED);
    return -EAGAIN;
}

static struct aio_ctx *ctx_alloc(unsigned asked)
{
    struct aio_ctx *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->size = MAX(asked * 2, AIO_MIN_RING);
    c->ring = calloc(c->size, sizeof(*c->ring));
    if (!c->ring) {
        free(c);
        return NULL;
    }
    ref_init(&c->ref);
    lock_init(&c->lock, LR_LEAF);
    waitq_init(&c->wq);
    list_init(&c->polls);
    list_node_init(&c->node);
    c->asked = asked;
    return c;
}

/* No more submissions, and nobody waits any longer. Consumes the table's reference. */
static void ctx_kill(struct aio_ctx *c)
{
    lock_acquire(&c->lock);
    c->dead = true;
    lock_release(&c->lock);
    aio_cancel_polls(c);
    waitq_wake(&c->wq, ~0u);
    aio_ctx_put(c);
}

static void table_destroy(struct mm_tenant *tenant)
{
    struct aio_table *tab = container_of(tenant, struct aio_table, tenant);
    struct aio_ctx *c;
    while ((c = list_first(&tab->ctxs, struct aio_ctx, node))) {
        list_del(&c->node);
        ctx_kill(c);
    }
    lock_destroy(&tab->lock);
    free(tab);
}

static struct aio_table *table_peek(struct mm *mm)
{
    struct mm_tenant *tenant = mm_tenant_peek(mm);
    return tenant ? container_of(tenant, struct aio_table, tenant) : NULL;
}

static struct aio_table *table_make(struct mm *mm)
{
    struct aio_table *tab = calloc(1, sizeof(*tab));
    if (!tab)
        return NULL;
    tab->tenant.destroy = table_destroy;
    lock_init(&tab->lock, LR_LEAF);
    list_init(&tab->ctxs);
    struct mm_tenant *there = mm_tenant_install(mm, &tab->tenant);
    if (there == &tab->tenant)
        return tab;
    lock_destroy(&tab->lock);
    free(tab);
    return container_of(there, struct aio_table, tenant);
}

/* The page that gives the context its id. */
static int id_map(struct mm *mm, uint64_t *id)
{
    struct mm_map m = {.size = RF_PAGE_SIZE,
                       .prot = PROT_READ | PROT_WRITE,
                       .flags = MAP_PRIVATE | MAP_ANONYMOUS,
                       .name = "/[aio] (deleted)"};
    return mm_mmap(mm, &m, id);
}

int aio_setup(struct mm *mm, unsigned asked, uint64_t *id)
{
    if (!asked || asked > AIO_MAX_ASKED)
        return -EINVAL;
    struct aio_table *tab = table_peek(mm);
    if (!tab && !(tab = table_make(mm)))
        return -ENOMEM;
    int r = asked_charge(asked);
    if (r)
        return r;
    struct aio_ctx *c = ctx_alloc(asked);
    if (!c) {
        __atomic_sub_fetch(&g_asked, asked, __ATOMIC_RELAXED);
        return -ENOMEM;
    }
    r = id_map(mm, &c->id);
    if (r) {
        aio_ctx_put(c);
        return r;
    }
    *id = c->id;
    LOCK_GUARD(&tab->lock);
    list_push_back(&tab->ctxs, &c->node);
    return 0;
}

static struct aio_ctx *find_locked(struct aio_table *tab, uint64_t id)
{
    struct aio_ctx *c;
    list_for_each(c, &tab->ctxs, node) if (c->id == id) return c;
    return NULL;
}

struct aio_ctx *aio_find(struct mm *mm, uint64_t id)
{
    struct aio_table *tab = table_peek(mm);
    if (!tab)
        return NULL;
    LOCK_GUARD(&tab->lock);
    struct aio_ctx *c = find_locked(tab, id);
    if (c)
        ref_get(&c->ref);
    return c;
}

int aio_destroy(struct mm *mm, uint64_t id)
{
    struct aio_table *tab = table_peek(mm);
    if (!tab)
        return -EINVAL;
    lock_acquire(&tab->lock);
    struct aio_ctx *c = find_locked(tab, id);
    if (c)
        list_del(&c->node);
    lock_release(&tab->lock);
    if (!c)
        return -EINVAL;
    ctx_kill(c);
    (void)mm_munmap(mm, id, RF_PAGE_SIZE);
    return 0;
}

/* ---- completions ---- */

static unsigned load(const unsigned *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static unsigned ctx_ready(struct aio_ctx *c)
{
    return load(&c->tail) - load(&c->head);
}

int aio_reserve(struct aio_ctx *c)
{
    LOCK_GUARD(&c->lock);
    if (c->dead)
        return -EINVAL;
    if (c->tail - c->head + c->reserved >= c->size)
        return -EAGAIN;
    c->reserved++;
    return 0;
}

void aio_unreserve(struct aio_ctx *c)
{
    LOCK_GUARD(&c->lock);
    c->reserved--;
}

void aio_complete(struct aio_ctx *c, struct aio_done *d, int64_t res)
{
    lock_acquire(&c->lock);
    c->ring[c->tail % c->size] = (struct io_event){.data = d->data, .obj = d->obj, .res = res};
    __atomic_store_n(&c->tail, c->tail + 1, __ATOMIC_RELEASE);
    c->reserved--;
    lock_release(&c->lock);
    waitq_wake(&c->wq, POLLIN);
    if (!d->resfd)
        return;
    eventfd_signal(d->resfd, 1);
    file_put(d->resfd);
    d->resfd = NULL;
}

static unsigned take(struct aio_ctx *c, struct io_event *out, unsigned max)
{
    LOCK_GUARD(&c->lock);
    unsigned n = MIN(c->tail - c->head, max);
    for (unsigned i = 0; i < n; i++)
        out[i] = c->ring[(c->head + i) % c->size];
    __atomic_store_n(&c->head, c->head + n, __ATOMIC_RELEASE);
    return n;
}

/* What is there now, up to max: the count, or -EFAULT if not even the first could be told. */
static int64_t take_to_user(struct aio_ctx *c, struct mm *mm, struct uaddr ua, uint64_t max)
{
    struct io_event evs[AIO_COPY];
    uint64_t done = 0;
    unsigned n;
    while (done < max && (n = take(c, evs, MIN(max - done, (uint64_t)AIO_COPY)))) {
        if (uaccess_write(mm, uaddr_add(ua, done * sizeof(*evs)), evs, n * sizeof(*evs)))
            return done ? (int64_t)done : -EFAULT;
        done += n;
    }
    return done;
}

static bool ctx_dead(struct aio_ctx *c)
{
    LOCK_GUARD(&c->lock);
    return c->dead;
}

int64_t aio_collect(struct task *t, struct aio_ctx *c, uint64_t min, uint64_t max,
                    struct uaddr events, int64_t deadline)
{
    int64_t done = 0;
    for (;;) {
        int64_t n = take_to_user(
            c, t->mm, uaddr_add(events, done * sizeof(struct io_event)), max - done);
        if (n < 0)
            return done ? done : n;
        done += n;
        if ((uint64_t)done >= min || !deadline)
            return done;
        if (ctx_dead(c))
            return done ? done : -EINVAL;
        int r = wait_event_mask(t, &c->wq, ~0u, deadline, ctx_ready(c) || ctx_dead(c));
        if (r)
            return done || r == -ETIMEDOUT ? done : -EINTR;
    }
}
