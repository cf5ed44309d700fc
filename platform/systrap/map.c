/* Mapping changes of a stub. They are queued, merged where they continue each other, and carried
 * out by the stub's mapper thread: it sits in a notified call, so handing it a batch is one
 * notification round trip on the same processor, and its report (the arguments of its next call)
 * cannot be forged. */
#include "systrap_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Takes the mapper's next parked call. */
static int mapper_recv(struct pl_aspace *as, struct st_notif *n)
{
    int err = st_notif_recv(as->p, as->mapper_fd, n, -1);

    if (!err && (n->nr != SYS_exit || n->args[0] != PARK_MAPPER))
        err = -EPROTO;
    if (err) {
        st_aspace_kill(as);
        return -EIO;
    }
    as->mapper_id = n->id;
    return 0;
}

int st_map_start(struct pl_aspace *as)
{
    struct st_notif n;

    return mapper_recv(as, &n);
}

/* Hands the mapper count calls; *failed is the index of the first that failed, or count. Returns
 * that call's error, or -EIO when the stub is dead. *last is what the last call returned. */
static int mapper_call(struct pl_aspace *as, const struct st_call *calls, unsigned count,
                       unsigned *failed, uint64_t *last)
{
    struct st_notif n;

    *failed = count;
    if (atomic_load(&as->dead))
        return -EIO;
    memcpy(st_aspace_ctl(as) + CTL_BATCH, calls, count * sizeof(*calls));
    if (st_notif_send(as->mapper_fd, as->mapper_id, count)) {
        st_aspace_kill(as);
        return -EIO;
    }
    int err = mapper_recv(as, &n);
    if (err)
        return err;
    *last = n.args[3];
    if (n.args[1])
        *failed = n.args[2];
    return (int)n.args[1];
}

static int mapper_run(struct pl_aspace *as, const struct st_call *calls, unsigned count,
                      unsigned *failed)
{
    uint64_t last;

    return mapper_call(as, calls, count, failed, &last);
}

/* A call that failed with err. A failed map must not leave what was there before; a failed mprotect
 * has met a hole after all, or the host's limit of mappings: unmapping all of the range tightens it
 * too (what was mapped faults again and is mapped anew). A range that can not even be unmapped is
 * the end of the address space. */
static int call_failed(struct pl_aspace *as, const struct st_call *call, int err)
{
    struct st_call undo = {.nr = SYS_munmap, .args = {call->args[0], call->args[1]}};
    unsigned failed;

    if (call->nr == SYS_mmap)
        as->strict = true;
    if (call->nr != SYS_munmap && !mapper_run(as, &undo, 1, &failed))
        return 0;
    as->p->log("systrap: stub %d: host call %d failed: %d", (int)as->pid, (int)call->nr, err);
    st_aspace_kill(as);
    return -EIO;
}

/* 0, -EIO, or -ENOMEM if a map failed (its range is left unmapped). */
static int flush_locked(struct pl_aspace *as)
{
    unsigned done = 0, count = as->queued;
    int ret = 0;

    as->queued = 0;
    while (done < count) {
        unsigned failed;
        int err = mapper_run(as, as->queue + done, count - done, &failed);
        if (!err)
            break;
        if (err == -EIO && failed == count - done)
            return -EIO;
        bool map = as->queue[done + failed].nr == SYS_mmap;
        if (call_failed(as, &as->queue[done + failed], err))
            return -EIO;
        if (map)
            ret = -ENOMEM;
        done += failed + 1;
    }
    /* Not before: who finds it false does not wait for us. */
    atomic_store(&as->dirty, false);
    return ret;
}

int st_as_flush(struct pl_aspace *as)
{
    int err;

    pthread_mutex_lock(&as->lock);
    err = flush_locked(as);
    if (!err && atomic_load(&as->dead))
        err = -EIO;
    pthread_mutex_unlock(&as->lock);
    return err == -ENOMEM ? 0 : err;
}

/* Whether the call only continues the last one queued. */
static bool call_merge(struct st_call *last, const struct st_call *c)
{
    if (last->nr != c->nr || last->args[0] + last->args[1] != c->args[0] ||
        last->args[2] != c->args[2])
        return false;
    if (c->nr == SYS_mmap && (last->args[3] != c->args[3] || last->args[4] != c->args[4] ||
                              last->args[5] + last->args[1] != c->args[5]))
        return false;
    last->args[1] += c->args[1];
    return true;
}

static bool range_ok(uint64_t va, uint64_t size)
{
    return size && !((va | size) % PL_PAGE_SIZE) && va < STUB_VA && size <= STUB_VA - va;
}

/* Puts a call at the end of the queue, merged with the last one where it continues that. */
static int call_queue_locked(struct pl_aspace *as, const struct st_call *c)
{
    if (as->queued && call_merge(&as->queue[as->queued - 1], c))
        return 0;
    if (as->queued == ST_BATCH_MAX && flush_locked(as) == -EIO)
        return -EIO;
    as->queue[as->queued++] = *c;
    atomic_store(&as->dirty, true);
    return 0;
}

/* mapped may say more than is true (after a failed map), never less. */
static int unmap_locked(struct pl_aspace *as, const struct st_call *c)
{
    uint64_t start = c->args[0], end = start + c->args[1];
    unsigned at = st_ranges_find(&as->mapped, start, /*strict=*/true);

    if (at == as->mapped.count || as->mapped.v[at].start >= end)
        return 0;
    st_ranges_remove(&as->mapped, start, end);
    return call_queue_locked(as, c);
}

static int map_locked(struct pl_aspace *as, const struct st_call *c)
{
    int err = st_ranges_add(&as->mapped, c->args[0], c->args[0] + c->args[1]);

    if (err) {
        struct st_call undo = {.nr = SYS_munmap, .args = {c->args[0], c->args[1]}};
        return unmap_locked(as, &undo) ? -EIO : err;
    }
    err = call_queue_locked(as, c);
    if (!err && as->strict) {
        as->strict = false;
        err = flush_locked(as);
    }
    return err;
}

/* mprotect stops at the first hole, so each mapped piece gets its own. */
static int protect_locked(struct pl_aspace *as, const struct st_call *c)
{
    uint64_t start = c->args[0], end = start + c->args[1];
    unsigned at = st_ranges_find(&as->mapped, start, /*strict=*/true);
    unsigned last = st_ranges_find(&as->mapped, end, /*strict=*/false);

    if (last - at > ST_PROTECT_MAX) {
        struct st_call unmap = {.nr = SYS_munmap, .args = {start, end - start}};
        return unmap_locked(as, &unmap);
    }
    for (; at < as->mapped.count && as->mapped.v[at].start < end; at++) {
        const struct st_range *r = &as->mapped.v[at];
        struct st_call piece = *c;
        piece.args[0] = r->start > start ? r->start : start;
        piece.args[1] = (r->end < end ? r->end : end) - piece.args[0];
        int err = call_queue_locked(as, &piece);
        if (err)
            return err;
    }
    return 0;
}

static int call_locked(struct pl_aspace *as, const struct st_call *c)
{
    if (atomic_load(&as->dead))
        return -EIO;
    if (c->nr == SYS_mmap)
        return map_locked(as, c);
    return c->nr == SYS_munmap ? unmap_locked(as, c) : protect_locked(as, c);
}

static int call_queue(struct pl_aspace *as, const struct st_call *c)
{
    int err;

    if (!range_ok(c->args[0], c->args[1]))
        return -EINVAL;
    pthread_mutex_lock(&as->lock);
    err = call_locked(as, c);
    pthread_mutex_unlock(&as->lock);
    return err;
}

int st_as_map(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot,
              const struct pl_backing *b, bool precommit)
{
    struct st_call c = {
        .nr = SYS_mmap,
        .args = {va, size, prot & (PL_READ | PL_WRITE | PL_EXEC),
                 MAP_SHARED | MAP_FIXED | MAP_NORESERVE | (precommit ? MAP_POPULATE : 0), b->fd,
                 b->offset},
    };

    return call_queue(as, &c);
}

int st_as_unmap(struct pl_aspace *as, uint64_t va, uint64_t size)
{
    struct st_call c = {.nr = SYS_munmap, .args = {va, size}};

    return call_queue(as, &c);
}

int st_as_protect(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot)
{
    struct st_call c = {.nr = SYS_mprotect,
                        .args = {va, size, prot & (PL_READ | PL_WRITE | PL_EXEC)}};

    return call_queue(as, &c);
}

int st_map_reserve(struct pl_aspace *as, int *target)
{
    struct st_call c = {.nr = SYS_fcntl, .args = {as->p->stub_fd, F_DUPFD_CLOEXEC, 0}};
    unsigned failed;
    uint64_t fd;

    pthread_mutex_lock(&as->lock);
    int err = mapper_call(as, &c, 1, &failed, &fd);
    pthread_mutex_unlock(&as->lock);
    if (!err)
        *target = (int)fd;
    return err;
}

int st_map_slots(struct pl_aspace *as, unsigned count)
{
    uint64_t have = as->slots_mapped, more = have;
    unsigned failed;
    int err;

    if ((uint64_t)count * as->p->slot_size <= have)
        return 0;
    if (have + more > STUB_BLOCK - STUB_CTLLEN)
        more = STUB_BLOCK - STUB_CTLLEN - have;
    if (!more)
        return -EAGAIN;
    struct st_call c = {
        .nr = SYS_mmap,
        .args = {STUB_SLOTS + have, more, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                 as->p->stub_fd, (uint64_t)as->block * STUB_BLOCK + STUB_CTLLEN + have},
    };
    pthread_mutex_lock(&as->lock);
    err = mapper_run(as, &c, 1, &failed);
    pthread_mutex_unlock(&as->lock);
    if (!err)
        as->slots_mapped = have + more;
    return err;
}

int st_map_empty(struct pl_aspace *as)
{
    struct st_call c = {.nr = SYS_munmap, .args = {0, STUB_VA}};
    unsigned failed;
    int err;

    pthread_mutex_lock(&as->lock);
    as->queued = 0;
    as->strict = false;
    st_ranges_clear(&as->mapped);
    atomic_store(&as->dirty, false);
    err = mapper_run(as, &c, 1, &failed);
    pthread_mutex_unlock(&as->lock);
    return err;
}
