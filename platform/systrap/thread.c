/* Guest threads of a stub: start, keep as a spare, end. A thread belongs to one slot and owns one
 * listener. Its first stop is PARK_READY; the interrupt signal then takes it into the handler,
 * where it stays parked until it gets registers. */
#include "systrap_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

/* The stub file holds the place until the listener is there. The ready word is a hint in the
 * guest's reach: an error in it counts only when no listener appears for a while. */
int st_target_wait(struct pl_aspace *as, int target, void *ready)
{
    uint64_t end = st_now_ns() + ST_START_MS * 1000000ull;
    int err = 0;

    while (st_now_ns() < end) {
        int32_t word = __atomic_exchange_n((int32_t *)ready, 0, __ATOMIC_ACQ_REL);
        if (!st_notif_setup(target))
            return 0;
        if (err)
            return err;
        if (word < 0)
            err = word == -ENOMEM ? -ENOMEM : -EAGAIN;
        st_futex_wait(ready, 0, ST_WAIT_MS);
        if (kill(as->pid, 0) || atomic_load(&as->dead))
            return -ESRCH;
    }
    return -ETIMEDOUT;
}

static int slot_take(struct pl_aspace *as, unsigned *slot)
{
    if (as->slots_count) {
        *slot = as->slots[--as->slots_count];
        return 0;
    }
    int err = st_map_slots(as, as->slot_next + 1);
    if (!err)
        *slot = as->slot_next++;
    return err;
}

static void slot_give(struct pl_aspace *as, unsigned slot)
{
    if (as->slots_count == as->slots_room) {
        unsigned room = as->slots_room ? 2 * as->slots_room : 8;
        uint16_t *more = realloc(as->slots, room * sizeof(*more));
        if (!more)
            return; /* the slot is lost, no more */
        as->slots = more;
        as->slots_room = room;
    }
    as->slots[as->slots_count++] = slot;
}

static uint64_t slot_va(const struct pl_ctx *c)
{
    return STUB_SLOTS + (uint64_t)c->slot * c->as->p->slot_size;
}

void st_thread_free(struct pl_ctx *c)
{
    st_watch_remove(c);
    if (c->listener >= 0)
        close(c->listener);
    free(c);
}

static int ctx_alloc(struct pl_aspace *as, bool first, struct pl_ctx **out)
{
    struct pl_ctx *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->as = as;
    c->where = ST_GONE;
    c->listener = -1;
    int err = first ? 0 : st_map_reserve(as, &c->listener);
    if (!err)
        err = slot_take(as, &c->slot);
    if (err) {
        st_thread_free(c);
        return err;
    }
    *out = c;
    return 0;
}

/* One that failed to start is tried again: its number is still reserved, since the thread may yet
 * come. If it has come meanwhile, the stub is not what we think. */
static int ctx_retry(struct pl_aspace *as, struct pl_ctx **out)
{
    if (!st_notif_setup(as->failed->listener)) {
        st_aspace_kill(as);
        return -EIO;
    }
    *out = as->failed;
    as->failed = NULL;
    return 0;
}

int st_thread_order(struct pl_aspace *as, bool first, struct pl_ctx **out)
{
    char *ctl = st_aspace_ctl(as);
    struct pl_ctx *c;
    int err = as->failed ? ctx_retry(as, &c) : ctx_alloc(as, first, &c);

    if (err)
        return err;
    stack_t ss = {.ss_sp = (void *)(slot_va(c) + SLOT_HEAD),
                  .ss_flags = (int)SS_AUTODISARM,
                  .ss_size = as->p->slot_size - SLOT_HEAD};
    memset(st_aspace_slot(as, c->slot), 0, SLOT_HEAD);
    memcpy(ctl + CTL_SPAWN_STACK, &ss, sizeof(ss));
    *(uint32_t *)(ctl + CTL_SPAWN_TARGET) = c->listener;
    *(uint64_t *)(ctl + CTL_SPAWN_SLOT) = slot_va(c);
    as->spawn_seq++;
    __atomic_store_n((uint32_t *)(ctl + CTL_SPAWN_SEQ), as->spawn_seq, __ATOMIC_RELEASE);
    if (!first)
        st_futex_wake(ctl + CTL_SPAWN_SEQ);
    *out = c;
    return 0;
}

/* The frame of the thread's first interrupt lies where all its frames will lie. */
static int thread_learn(struct pl_ctx *c, const struct st_notif *n)
{
    uint64_t start = slot_va(c) + SLOT_HEAD, end = slot_va(c) + c->as->p->slot_size;
    uint64_t va = n->args[1];

    if (n->nr != SYS_exit || n->ip != st_text_va(rf_stub_parked) || n->args[0] != STUB_SIGNAL)
        return -EPROTO;
    if (va % 8 || va < start || va > end - sizeof(struct st_frame))
        return -EPROTO;
    c->frame_va = va;
    c->fpu_va = st_frame_of(c)->sc.fpstate;
    if (c->fpu_va % 64 || c->fpu_va < va + sizeof(struct st_frame) || c->fpu_va > end)
        return -EPROTO;
    c->notif_id = n->id;
    c->where = ST_PARKED;
    return 0;
}

static int thread_park(struct pl_ctx *c)
{
    struct st_notif n;
    int err = st_notif_recv(c->as->p, c->listener, &n, ST_START_MS);

    if (err)
        return err;
    if (n.nr != SYS_exit || n.args[0] != PARK_READY)
        return -EPROTO;
    c->tid = (pid_t)n.args[1];
    if (syscall(SYS_tgkill, c->as->pid, c->tid, STUB_SIGNAL))
        return -errno;
    err = st_notif_send(c->listener, n.id, 0);
    if (!err)
        err = st_notif_recv(c->as->p, c->listener, &n, ST_START_MS);
    return err ? err : thread_learn(c, &n);
}

int st_thread_wait(struct pl_ctx *c)
{
    char *ready = st_aspace_slot(c->as, c->slot) + SLOT_READY;
    int err = st_target_wait(c->as, c->listener, ready);

    if (err)
        return err;
    err = thread_park(c);
    if (!err && !c->as->p->calibrated)
        err = st_frame_calibrate(c);
    if (!err)
        st_frame_reset(c);
    return err;
}

/* A process that has made one thread will often make more, so the next is ordered right away. */
static int thread_create(struct pl_aspace *as, struct pl_ctx **out)
{
    struct pl_ctx *c = as->coming;
    int err = c ? 0 : st_thread_order(as, /*first=*/false, &c);

    if (err)
        return err;
    as->coming = NULL;
    err = st_thread_wait(c);
    if (err) {
        as->failed = c;
        if (err != -EAGAIN && err != -ENOMEM)
            st_aspace_kill(as);
        return err;
    }
    if (st_thread_order(as, /*first=*/false, &as->coming))
        as->coming = NULL;
    *out = c;
    return 0;
}

int st_ctx_create(struct pl_aspace *as, struct pl_ctx **out)
{
    int err = 0;

    pthread_mutex_lock(&as->spawn_lock);
    if (as->spare) {
        *out = as->spare;
        as->spare = NULL;
    } else if (atomic_load(&as->dead)) {
        err = -EIO;
    } else {
        err = thread_create(as, out);
    }
    pthread_mutex_unlock(&as->spawn_lock);
    return err;
}

/* A signal that is still on its way to a parked thread lands as soon as the thread goes on. */
static bool thread_drain(struct pl_ctx *c)
{
    struct st_notif n;

    if (!c->signalled)
        return true;
    if (st_notif_send(c->listener, c->notif_id, c->resume) ||
        st_notif_recv(c->as->p, c->listener, &n, ST_WAIT_MS) || n.nr != SYS_exit ||
        n.ip != st_text_va(rf_stub_parked) || n.args[0] != STUB_SIGNAL ||
        n.args[1] != c->frame_va) {
        st_aspace_kill(c->as);
        return false;
    }
    c->notif_id = n.id;
    return true;
}

/* Only the thread of slot 1 is worth keeping: it is the one that goes to the pool with its stub. */
static bool thread_keep(struct pl_ctx *c)
{
    struct pl_aspace *as = c->as;

    if (c->slot != 1 || c->where != ST_PARKED)
        return false;
    st_watch_remove(c);
    st_frame_write(c);
    if (!thread_drain(c)) {
        c->where = ST_GONE;
        return false;
    }
    st_frame_reset(c);
    as->spare = c;
    return true;
}

void st_ctx_destroy(struct pl_ctx *c)
{
    struct pl_aspace *as = c->as;

    if (c->where == ST_LIGHT)
        (void)st_ctx_park(c, ST_WAIT_MS);
    pthread_mutex_lock(&as->spawn_lock);
    if (!thread_keep(c)) {
        /* Let the parked call through: it is exit(2). */
        if (c->where == ST_PARKED && st_notif_continue(c->listener, c->notif_id))
            st_aspace_kill(as);
        slot_give(as, c->slot);
        st_thread_free(c);
    }
    pthread_mutex_unlock(&as->spawn_lock);
}
