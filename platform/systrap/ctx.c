/* Running a guest thread. Between two runs it is parked in the handler (its frame can be read and
 * changed) or waits in a notified system call of its own (only the result can be given); see
 * enum st_where. */
#include "systrap_priv.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TRAP_PAGE_FAULT = 14, ERR_WRITE = 2, ERR_FETCH = 16 };

static void ctx_gone(struct pl_ctx *c)
{
    c->where = ST_GONE;
    st_aspace_kill(c->as);
}

static bool notif_is_park(const struct st_notif *n)
{
    return n->nr == SYS_exit && n->ip == st_text_va(rf_stub_parked);
}

/* Takes a parked call: (signal, frame, ucontext, fs base, gs base). */
static int ctx_take_park(struct pl_ctx *c, const struct st_notif *n)
{
    if (n->args[1] != c->frame_va)
        return -EPROTO;
    c->notif_id = n->id;
    c->where = ST_PARKED;
    c->resume = 0;
    st_frame_read(c, n->args[3], n->args[4]);
    return 0;
}

static void event_syscall(struct pl_ctx *c, struct pl_event *ev, uint64_t nr, uint64_t ip)
{
    c->was_syscall = true;
    c->call_nr = nr;
    ev->kind = PL_EV_SYSCALL;
    ev->syscall.nr = nr;
    ev->syscall.ip = ip;
    for (int i = 0; i < 6; i++)
        ev->syscall.args[i] = c->call_args[i];
}

static void event_light(struct pl_ctx *c, const struct st_notif *n, struct pl_event *ev)
{
    c->where = ST_LIGHT;
    c->notif_id = n->id;
    c->result = -ENOSYS;
    for (int i = 0; i < 6; i++)
        c->call_args[i] = n->args[i];
    event_syscall(c, ev, (uint64_t)(int64_t)n->nr, n->ip);
}

static void event_full(struct pl_ctx *c, struct pl_event *ev)
{
    struct user_regs_struct *r = &c->regs;
    const uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};

    for (int i = 0; i < 6; i++)
        c->call_args[i] = args[i];
    r->orig_rax = r->rax;
    r->rax = -ENOSYS;
    event_syscall(c, ev, r->orig_rax, r->rip);
}

static void event_trap(struct pl_ctx *c, int sig, struct pl_event *ev)
{
    const struct st_sigcontext sc =
        st_frame_of(c)->sc; /* one copy: the guest may be writing here */

    if (sc.trapno == TRAP_PAGE_FAULT) {
        ev->kind = PL_EV_FAULT;
        ev->fault.addr = sc.cr2;
        ev->fault.ip = c->regs.rip;
        ev->fault.access = sc.err & ERR_FETCH ? PL_EXEC : sc.err & ERR_WRITE ? PL_WRITE : PL_READ;
        ev->fault.bus = sig == SIGBUS;
        return;
    }
    ev->kind = PL_EV_EXCEPTION;
    ev->exception.trapno = sc.trapno < 32 ? sc.trapno : 13;
    ev->exception.error = sc.err;
    ev->exception.ip = c->regs.rip;
}

static void event_parked(struct pl_ctx *c, uint64_t sig, struct pl_event *ev)
{
    switch (sig) {
    case SIGSYS:
        event_full(c, ev);
        break;
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
        event_trap(c, sig, ev);
        break;
    default:
        ev->kind = PL_EV_INTERRUPTED;
        break;
    }
}

/* Lets the thread go on from where it waits. */
static int ctx_resume(struct pl_ctx *c)
{
    if (c->where == ST_LIGHT)
        return st_notif_send(c->listener, c->notif_id, c->result);
    st_frame_write(c);
    return st_notif_send(c->listener, c->notif_id, c->resume);
}

static int ctx_enter(struct pl_ctx *c, struct st_notif *n)
{
    if (atomic_load(&c->as->dirty) && st_as_flush(c->as))
        return -ESRCH;
    int err = ctx_resume(c);
    if (err)
        return err;
    return st_notif_recv(c->as->p, c->listener, n, -1);
}

/* What the interrupt bit was when the run ended tells whether our signal is on its way. */
static void ctx_settle(struct pl_ctx *c, bool landed)
{
    if (landed)
        c->signalled = false;
    if (!(atomic_exchange(&c->run_state, 0) & ST_INTERRUPT))
        return;
    st_watch_remove(c);
    if (!landed)
        c->signalled = true;
}

void st_ctx_run(struct pl_ctx *c, struct pl_event *ev)
{
    struct st_notif n;
    unsigned idle = 0;

    c->was_syscall = false;
    ev->kind = PL_EV_DIED;
    if (c->where == ST_GONE)
        return;
    if (c->owed || !atomic_compare_exchange_strong(&c->run_state, &idle, ST_RUNNING)) {
        if (!c->owed)
            atomic_store(&c->run_state, 0);
        c->owed = false;
        ev->kind = PL_EV_INTERRUPTED;
        if (c->where == ST_PARKED)
            c->regs.orig_rax = -1;
        return;
    }
    int err = ctx_enter(c, &n);
    bool park = !err && notif_is_park(&n);
    if (park)
        err = ctx_take_park(c, &n);
    ctx_settle(c, park && n.args[0] == STUB_SIGNAL);
    if (err) {
        ctx_gone(c);
        return;
    }
    if (park)
        event_parked(c, n.args[0], ev);
    else
        event_light(c, &n, ev);
}

void st_ctx_set_result(struct pl_ctx *c, int64_t value)
{
    if (!c->was_syscall)
        return;
    if (c->where == ST_LIGHT)
        c->result = value;
    else
        c->regs.rax = value;
}

/* The bit tells ctx_run, now or later; only a thread that runs needs the signal as well. */
void st_ctx_interrupt(struct pl_ctx *c)
{
    if (atomic_fetch_or(&c->run_state, ST_INTERRUPT) != ST_RUNNING)
        return;
    syscall(SYS_tgkill, c->as->pid, c->tid, STUB_SIGNAL);
    st_watch_add(c);
}

/* The signal is pending before the call is answered, so the thread goes into the handler and
 * executes no guest instruction in between. */
int st_ctx_park(struct pl_ctx *c, int timeout_ms)
{
    struct st_notif n;
    int err;

    if (c->where != ST_LIGHT)
        return c->where == ST_PARKED ? 0 : -ESRCH;
    err = syscall(SYS_tgkill, c->as->pid, c->tid, STUB_SIGNAL) ? -ESRCH : 0;
    if (!err)
        err = st_notif_send(c->listener, c->notif_id, c->result);
    if (!err)
        err = st_notif_recv(c->as->p, c->listener, &n, timeout_ms);
    if (!err)
        err = notif_is_park(&n) && n.args[0] == STUB_SIGNAL ? ctx_take_park(c, &n) : -EPROTO;
    if (err) {
        ctx_gone(c);
        return -ESRCH;
    }
    c->regs.orig_rax = c->was_syscall ? c->call_nr : -1ull;
    if (c->signalled) {
        c->signalled = false;
        c->owed = true;
    }
    return 0;
}
