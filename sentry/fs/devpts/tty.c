/* Job control: which session a terminal controls, which process group is in its foreground.
 *
 * Both are guarded by the kernel's tasks_lock, because sessions and groups live there. Signals are
 * sent after it has been dropped, by number. A session holds a counted reference on its terminal; a
 * terminal knows its session without one, and forgets it in tty_session_gone. */
#include "fs/tty_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

void tty_init(struct tty *tty, const struct tty_driver *driver, dev_t rdev)
{
    ref_init(&tty->ref);
    tty->driver = driver;
    tty->rdev = rdev;
}

void tty_get(struct tty *tty)
{
    ref_get(&tty->ref);
}

void tty_put(struct tty *tty)
{
    if (ref_put(&tty->ref))
        tty->driver->free(tty);
}

const char *tty_name(const struct tty *tty)
{
    return tty->name;
}

static struct session *task_session_locked(struct task *t)
{
    return t->process->pgrp ? t->process->pgrp->session : NULL;
}

static void tty_link_locked(struct tty *tty, struct session *s, int pgid)
{
    tty_get(tty);
    tty->session = s;
    tty->fg_pgid = pgid;
    s->tty = tty;
}

void tty_attach(struct tty *tty, struct session *s, int pgid)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    if (!s->tty && !tty->session)
        tty_link_locked(tty, s, pgid);
}

/* Cut the tie between a session and its terminal, whose reference passes to the caller. Returns the
 * foreground group to be signalled, or 0. */
static int tty_unlink_locked(struct session *s)
{
    struct tty *tty = s->tty;
    int pgid = tty->fg_pgid;
    s->tty = NULL;
    tty->session = NULL;
    tty->fg_pgid = 0;
    return pgid;
}

static void hangup_pgrp(int pgid)
{
    if (pgid <= 0)
        return;
    signal_send_pgrp(pgid, SIGHUP, NULL);
    signal_send_pgrp(pgid, SIGCONT, NULL);
}

void tty_session_gone(struct session *s)
{
    lock_acquire(&g_kernel.tasks_lock);
    struct tty *tty = s->tty;
    int pgid = tty ? tty_unlink_locked(s) : 0;
    lock_release(&g_kernel.tasks_lock);
    if (tty && tty->driver->cut_off)
        tty->driver->cut_off(tty);
    hangup_pgrp(pgid);
    if (tty)
        tty_put(tty);
}

static void hangup_leader(struct process *leader)
{
    signal_send_process(leader, SIGHUP, NULL);
    signal_send_process(leader, SIGCONT, NULL);
    process_put(leader);
}

void tty_hangup(struct tty *tty)
{
    lock_acquire(&g_kernel.tasks_lock);
    struct session *s = tty->session;
    struct process *leader = s ? s->leader : NULL;
    if (leader)
        process_get(leader);
    int pgid = s ? tty_unlink_locked(s) : 0;
    lock_release(&g_kernel.tasks_lock);
    if (leader)
        hangup_leader(leader);
    hangup_pgrp(pgid);
    if (s)
        tty_put(tty);
}

void tty_vhangup(struct tty *tty)
{
    if (tty->driver->cut_off)
        tty->driver->cut_off(tty);
    tty_hangup(tty);
}

void tty_vhangup_of(struct task *t)
{
    struct tty *tty = tty_of_task(t);
    if (!tty)
        return;
    tty_vhangup(tty);
    tty_put(tty);
}

static int tty_foreground(struct tty *tty)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return tty->fg_pgid;
}

void tty_signal_foreground(struct tty *tty, int sig)
{
    int pgid = tty_foreground(tty);
    if (pgid > 0)
        signal_send_pgrp(pgid, sig, NULL);
}

void tty_session_numbers_locked(struct session *s, int *tty_nr, int *tpgid)
{
    *tty_nr = s->tty ? (int)s->tty->rdev : 0;
    *tpgid = s->tty ? s->tty->fg_pgid : -1;
}

bool tty_is_controlling(struct tty *tty, struct task *t)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct session *s = task_session_locked(t);
    return s && s->tty == tty;
}

struct tty *tty_of_task(struct task *t)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct session *s = task_session_locked(t);
    struct tty *tty = s ? s->tty : NULL;
    if (tty)
        tty_get(tty);
    return tty;
}

/* ---- the background ---- */

/* No member has a parent in another group of the same session: nobody could continue it. */
static bool pgrp_orphaned_locked(struct pgrp *g)
{
    struct process *p;
    list_for_each(p, &g->members, pgrp_node)
    {
        struct process *parent = p->parent;
        if (parent && parent->pgrp && parent->pgrp != g && parent->pgrp->session == g->session)
            return false;
    }
    return true;
}

static bool signal_is_deaf(struct task *t, int sig)
{
    LOCK_GUARD(&t->process->sig_lock);
    return (t->blocked & SIGMASK(sig)) ||
           t->process->actions[sig - 1].handler == (uint64_t)(uintptr_t)SIG_IGN;
}

/* 0: in the foreground, or not our terminal. Else the background group's id. */
static int background_pgid(struct tty *tty, struct task *t, bool *orphaned)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pgrp *g = t->process->pgrp;
    if (!g || g->session->tty != tty || !tty->fg_pgid || tty->fg_pgid == g->pgid)
        return 0;
    *orphaned = pgrp_orphaned_locked(g);
    return g->pgid;
}

bool tty_is_foreground(struct tty *tty, struct task *t)
{
    bool orphaned;
    return background_pgid(tty, t, &orphaned) == 0;
}

int tty_check_background(struct tty *tty, struct task *t, int sig)
{
    bool orphaned = false;
    int pgid = background_pgid(tty, t, &orphaned);
    if (!pgid)
        return 0;
    if (signal_is_deaf(t, sig))
        return sig == SIGTTIN ? -EIO : 0;
    if (orphaned)
        return -EIO;
    signal_send_pgrp(pgid, sig, NULL);
    return -ERESTARTSYS;
}

/* ---- becoming and ceasing to be the controlling terminal ---- */

static bool is_leader_locked(struct task *t, struct session *s)
{
    return s && s->leader == t->process;
}

void tty_open_acquire(struct tty *tty, struct task *t)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct session *s = task_session_locked(t);
    if (is_leader_locked(t, s) && !s->tty && !tty->session)
        tty_link_locked(tty, s, t->process->pgrp->pgid);
}

static int64_t tty_set_controlling(struct tty *tty, struct task *t, uint64_t steal)
{
    struct session *robbed = NULL;
    int64_t r = 0;
    lock_acquire(&g_kernel.tasks_lock);
    struct session *s = task_session_locked(t);
    if (s && s->tty == tty && is_leader_locked(t, s))
        goto out;
    r = -EPERM;
    if (!is_leader_locked(t, s) || s->tty)
        goto out;
    if (tty->session) {
        if (steal != 1 || !cred_has_cap(t->cred, CAP_SYS_ADMIN))
            goto out;
        robbed = tty->session;
        robbed->tty = NULL;
    }
    tty_link_locked(tty, s, t->process->pgrp->pgid);
    r = 0;
out:
    lock_release(&g_kernel.tasks_lock);
    if (robbed)
        tty_put(tty);
    return r;
}

static int64_t tty_give_up(struct tty *tty, struct task *t)
{
    lock_acquire(&g_kernel.tasks_lock);
    struct session *s = task_session_locked(t);
    bool ours = s && s->tty == tty, leader = ours && is_leader_locked(t, s);
    int pgid = leader ? tty_unlink_locked(s) : 0;
    lock_release(&g_kernel.tasks_lock);
    hangup_pgrp(pgid);
    if (leader)
        tty_put(tty);
    return ours ? 0 : -ENOTTY; /* for others than the leader the tie is the session's, and stays */
}

/* ---- ioctls ---- */

static int64_t tty_get_pgrp(struct tty *tty, struct task *t, uint64_t arg, bool master)
{
    if (!master && !tty_is_controlling(tty, t))
        return -ENOTTY;
    int pgid = task_sees_id(t, tty_foreground(tty));
    return uaccess_write_obj(t->mm, uaddr(arg), &pgid);
}

static int64_t tty_get_sid(struct tty *tty, struct task *t, uint64_t arg, bool master)
{
    if (!master && !tty_is_controlling(tty, t))
        return -ENOTTY;
    lock_acquire(&g_kernel.tasks_lock);
    int sid = tty->session ? tty->session->sid : 0;
    lock_release(&g_kernel.tasks_lock);
    sid = task_sees_id(t, sid);
    return sid ? uaccess_write_obj(t->mm, uaddr(arg), &sid) : -ENOTTY;
}

static bool session_has_pgrp_locked(struct session *s, int pgid)
{
    struct pgrp *g;
    list_for_each(g, &s->pgrps, node) if (g->pgid == pgid) return true;
    return false;
}

static bool pgrp_exists(int pgid)
{
    return signal_send_pgrp(pgid, 0, NULL) == 0;
}

static int tty_foreground_set(struct tty *tty, struct task *t, int pgid)
{
    lock_acquire(&g_kernel.tasks_lock);
    struct session *s = task_session_locked(t);
    int r = 0;
    if (!s || s->tty != tty)
        r = -ENOTTY;
    else if (!session_has_pgrp_locked(s, pgid))
        r = -EPERM;
    else
        tty->fg_pgid = pgid;
    lock_release(&g_kernel.tasks_lock);
    return r == -EPERM && !pgrp_exists(pgid) ? -ESRCH : r;
}

static int64_t tty_set_pgrp(struct tty *tty, struct task *t, uint64_t arg)
{
    int r = tty_check_background(tty, t, SIGTTOU);
    if (r == -EIO)
        return -ENOTTY;
    if (r)
        return r;
    int pgid;
    if (!tty_is_controlling(tty, t))
        return -ENOTTY;
    if (uaccess_read_obj(t->mm, &pgid, uaddr(arg)))
        return -EFAULT;
    return pgid < 0 ? -EINVAL : tty_foreground_set(tty, t, task_means_id(t, pgid));
}

int64_t tty_job_ioctl(struct tty *tty, struct task *t, unsigned cmd, uint64_t arg, bool master)
{
    switch (cmd) {
    case TIOCGPGRP:
        return tty_get_pgrp(tty, t, arg, master);
    case TIOCSPGRP:
        return tty_set_pgrp(tty, t, arg);
    case TIOCGSID:
        return tty_get_sid(tty, t, arg, master);
    case TIOCSCTTY:
        return tty_set_controlling(tty, t, arg);
    case TIOCNOTTY:
        return tty_give_up(tty, t);
    default:
        return -ENOIOCTLCMD;
    }
}
