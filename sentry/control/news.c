/* What has happened to containers and their processes since the server last looked: events go to
 * whoever is attached, and what has ended is let go. */
#include "control/control_priv.h"

#include "base/host.h"
#include "base/log.h"
#include "fs/gofer_client.h"
#include "fs/vfs.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define GUESTS_KEPT_MAX 1024 /* ended ones whose status nobody has asked for yet, per container */

static void guest_events_locked(struct guest *g)
{
    if (g->attached && client_busy(g->attached))
        return;
    uint32_t sig = __atomic_exchange_n(&g->watch->stopped, 0, __ATOMIC_SEQ_CST);
    int32_t arg[4] = {(int32_t)sig, g->process->vpid};
    if (sig && g->attached)
        client_send(g->attached, CONTROL_STOPPED, 0, arg, NULL, 0, NULL, 0);
}

static void figures_text(char *out, size_t size)
{
    int64_t now = host_clock_ns(CLOCK_MONOTONIC);
    snprintf(out, size,
             "ringfence: %.3f s, %llu processes forked, %.1f MiB guest memory at the end\n",
             (double)(now - g_kernel.boot_ns) / 1e9,
             (unsigned long long)__atomic_load_n(&g_kernel.forks, __ATOMIC_RELAXED),
             (double)memfile_used() / (1 << 20));
}

static void guest_tell_end_locked(struct guest *g)
{
    char text[256] = "";
    int32_t arg[4] = {g->watch->status, g->process->vpid};
    g->reported = true;
    if (!g->attached)
        return;
    if (g_control_stats && g->is_init && g->record->is_root)
        figures_text(text, sizeof(text));
    client_send(g->attached, CONTROL_EXITED, 0, arg, text, strlen(text), NULL, 0);
    client_put(g->attached);
    g->attached = NULL;
}

/* Executed processes that have ended; the oldest beyond a bound are forgotten. */
static void reap_guests_locked(struct record *r)
{
    struct guest *g, *next;
    unsigned kept = 0;
    list_for_each(g, &r->guests, node)
    {
        guest_events_locked(g);
        if (!g->is_init && !g->reported && __atomic_load_n(&g->watch->ended, __ATOMIC_ACQUIRE) &&
            !(g->attached && client_busy(g->attached)))
            guest_tell_end_locked(g);
        kept += g->reported;
    }
    list_for_each_safe(g, next, &r->guests, node)
    {
        if (kept <= GUESTS_KEPT_MAX)
            break;
        if (g->is_init || !g->reported)
            continue;
        list_del(&g->node);
        guest_free(g);
        kept--;
    }
}

/* Init has ended and nothing else is left. */
static bool record_ended_locked(struct record *r)
{
    struct guest *init = r->state == RECORD_RUNNING ? guest_of_locked(r, 0) : NULL;
    if (!init || !__atomic_load_n(&init->watch->ended, __ATOMIC_ACQUIRE) || r->workers ||
        (init->attached && client_busy(init->attached)))
        return false;
    struct container_figures f;
    container_figures(r->container, &f);
    return f.tasks == 0;
}

static void record_stop_locked(struct record *r)
{
    struct guest *init = guest_of_locked(r, 0);
    r->state = RECORD_STOPPED;
    r->wait_status = init->watch->status;
    guest_tell_end_locked(init);
}

/* The gofer is gone: nothing works any more. */
static bool gofer_gone(struct record *r)
{
    struct pollfd p = {.fd = gofer_poll_fd(r->gofer)};
    return host_poll(&p, 1, 0) > 0;
}

static void record_watch_gofer(struct record *r)
{
    lock_acquire(&g_control_lock);
    bool lives = r->state == RECORD_CREATED || r->state == RECORD_RUNNING;
    lock_release(&g_control_lock);
    if (!lives || !gofer_gone(r))
        return;
    log_user("ringfence: the gofer of container %.64s is gone, so the container ends", r->desc.id);
    record_kill(r);
}

/* One step for one record; what is to be let go is taken out under the lock and let go without it.
 */
static bool record_step(struct record *r, int *status)
{
    struct mount_ns *mounts = NULL;
    lock_acquire(&g_control_lock);
    reap_guests_locked(r);
    if (record_ended_locked(r))
        record_stop_locked(r);
    bool stopped = r->state == RECORD_STOPPED, doomed = r->doomed;
    if (stopped && !r->workers) {
        mounts = r->mount_ns;
        r->mount_ns = NULL;
    }
    *status = r->wait_status;
    lock_release(&g_control_lock);
    if (mounts)
        mount_ns_put(mounts);
    if (stopped && doomed && !r->is_root) {
        record_remove(r);
        control_wake(); /* whoever waits for that; and the records behind it */
    }
    return stopped && r->is_root;
}

/* The record after r (NULL: the first), counted; r's reference is dropped. */
static struct record *record_after(struct record *r)
{
    lock_acquire(&g_control_lock);
    struct record *next, *found = NULL;
    bool take = !r;
    list_for_each(next, &g_records, node)
    {
        if (take) {
            found = next;
            break;
        }
        take = next == r;
    }
    if (found)
        record_get(found);
    lock_release(&g_control_lock);
    if (r)
        record_put(r);
    return found;
}

bool record_reap(int *status)
{
    bool root_ended = false;
    for (struct record *r = record_after(NULL); r; r = record_after(r)) {
        int s;
        if (r->state == RECORD_MAKING)
            continue;
        record_watch_gofer(r);
        if (!record_step(r, &s))
            continue;
        root_ended = true;
        *status = s;
    }
    return root_ended;
}

unsigned record_gofer_fds(int *fds, unsigned max)
{
    LOCK_GUARD(&g_control_lock);
    unsigned count = 0;
    struct record *r;
    list_for_each(r, &g_records, node) if (count < max && (r->state == RECORD_CREATED ||
                                                           r->state == RECORD_RUNNING))
        fds[count++] = gofer_poll_fd(r->gofer);
    return count;
}

/* ---- clients that are gone ---- */

/* Kill what by stands for; true if something was detached (the list may have changed). */
static bool client_gone_one(struct client *by)
{
    struct process *p = NULL;
    struct record *doomed = NULL, *r;
    struct guest *g;
    lock_acquire(&g_control_lock);
    list_for_each(r, &g_records, node)
    {
        if (r->attached == by && !doomed) {
            r->attached = NULL;
            record_get(r);
            doomed = r;
        }
        list_for_each(g, &r->guests, node) if (g->attached == by && !p && !doomed)
        {
            g->attached = NULL;
            p = g->process;
            process_get(p);
        }
    }
    lock_release(&g_control_lock);
    if (!p && !doomed)
        return false;
    client_put(by);
    if (p) {
        process_exit_group(p, SIGKILL);
        process_put(p);
    } else {
        record_kill(doomed);
        record_put(doomed);
    }
    return true;
}

void record_client_gone(struct client *by)
{
    while (client_gone_one(by))
        ;
}
