/* Containers as the outside knows them.
 *
 * MAKING (a worker builds it; nobody else touches it) → CREATED → STARTING (a worker) → RUNNING →
 * STOPPED (its last process is gone; mounts and gofer are let go). A failed start goes from
 * STARTING to STOPPED with the status that a shell would give. Records are freed by destroy, or
 * with the sandbox. */
#include "control/control_priv.h"
#include "net/net.h"

#include "base/overflow.h"
#include "fs/gofer_client.h"
#include "fs/vfs.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_DEFAULT_US 100000

struct lock g_control_lock = LOCK_INITIALIZER(LR_CONTROL);
struct list g_records = LIST_INIT(g_records);

/* ---- records ---- */

static struct record *find_locked(const char *id)
{
    struct record *r;
    list_for_each(r, &g_records, node) if (!strcmp(r->desc.id, id)) return r;
    return NULL;
}

static int no_such(struct complaint *why, const char *id)
{
    return complain(why, RF_EXIT_ABSENT, "container \"%.64s\" does not exist", id);
}

static int not_running(struct complaint *why)
{
    return complain(why, RF_EXIT_ABSENT, "container not running");
}

void guest_free(struct guest *g)
{
    if (g->attached)
        client_put(g->attached);
    if (g->process)
        process_put(g->process);
    exit_watch_put(g->watch);
    free(g);
}

void record_get(struct record *r)
{
    ref_get(&r->ref);
}

void record_put(struct record *r)
{
    struct guest *g, *next;
    if (!ref_put(&r->ref))
        return;
    list_for_each_safe(g, next, &r->guests, node)
    {
        list_del(&g->node);
        guest_free(g);
    }
    if (r->attached)
        client_put(r->attached);
    if (r->tty)
        tty_put(r->tty);
    if (r->fds)
        fdtable_put(r->fds, NULL);
    if (r->mount_ns)
        mount_ns_put(r->mount_ns);
    if (r->gofer)
        gofer_put(r->gofer);
    ns_set_put(r->ns_set);
    if (r->user_ns)
        user_ns_put(r->user_ns);
    if (r->container)
        container_put(r->container);
    free(r->path);
    desc_free(&r->desc);
    free(r);
}

/* Counted, or NULL with *why. */
static struct record *record_lookup(const char *id, struct complaint *why)
{
    LOCK_GUARD(&g_control_lock);
    struct record *r = find_locked(id);
    if (r && r->state != RECORD_MAKING)
        record_get(r);
    else
        r = NULL;
    if (!r)
        no_such(why, id);
    return r;
}

void record_remove(struct record *r)
{
    lock_acquire(&g_control_lock);
    bool linked = list_linked(&r->node);
    list_del(&r->node);
    lock_release(&g_control_lock);
    if (linked)
        record_put(r);
}

/* ---- create ---- */

static struct record *record_new(struct control_fds *fds, struct complaint *why)
{
    struct record *r = calloc(1, sizeof(*r));
    const char *bad = "";
    if (!r) {
        complain(why, RF_EXIT_ERROR, "out of memory");
        return NULL;
    }
    ref_init(&r->ref);
    list_init(&r->guests);
    list_node_init(&r->node);
    int err =
        fds->count < 2 ? -EBADF : desc_read(fds->fd[0], /*process_only=*/false, &r->desc, &bad);
    if (!err)
        return r;
    complain(why, RF_EXIT_ERROR, "bad description of a container: %.64s: %s", bad, strerror(-err));
    record_put(r);
    return NULL;
}

static int record_enter(struct record *r, struct complaint *why)
{
    LOCK_GUARD(&g_control_lock);
    if (find_locked(r->desc.id))
        return complain(why, RF_EXIT_ERROR, "container \"%.64s\" exists already", r->desc.id);
    r->is_root = list_empty(&g_records);
    record_get(r); /* the table's */
    list_push_back(&g_records, &r->node);
    return 0;
}

static const uint64_t g_ns_flags[DESC_NS_COUNT] = {
    [DESC_NS_PID] = CLONE_NEWPID,
    [DESC_NS_IPC] = CLONE_NEWIPC,
    [DESC_NS_UTS] = CLONE_NEWUTS,
    [DESC_NS_NET] = CLONE_NEWNET,
};

static int give_map(struct user_ns *ns, bool gids, const struct idmap_desc *maps, unsigned count)
{
    struct id_extent e[16];
    if (count > ARRAY_COUNT(e))
        return -EINVAL;
    for (unsigned i = 0; i < count; i++)
        e[i] = (struct id_extent){maps[i].inside, maps[i].outside, maps[i].count};
    return user_ns_map_give(ns, gids, e, count);
}

/* A user namespace without maps would hold nobody: then it is the first one. */
static int make_user_ns(struct record *r, struct complaint *why)
{
    const struct container_desc *d = &r->desc;
    if (d->ns[DESC_NS_USER] || !d->uid_map_count || !d->gid_map_count)
        return 0;
    int err = user_ns_new_for_container(&r->user_ns);
    if (!err)
        err = give_map(r->user_ns, false, d->uid_maps, d->uid_map_count);
    if (!err)
        err = give_map(r->user_ns, true, d->gid_maps, d->gid_map_count);
    if (!err && r->is_root)
        err = ns_set_renew(NULL, r->ns_set, r->user_ns, CLONE_NEWUTS | CLONE_NEWIPC);
    return err ? complain(why, RF_EXIT_ERROR, "the id mappings cannot be used: %s", strerror(-err))
               : 0;
}

/* The root container's new namespaces are the sandbox's own. */
static int make_namespaces(struct record *r, struct complaint *why)
{
    struct ns_set *s = r->ns_set = ns_set_copy(g_kernel.root_ns_set);
    if (!s)
        return complain(why, RF_EXIT_ERROR, "out of memory");
    if (make_user_ns(r, why))
        return -1;
    for (int i = 0; i < DESC_NS_COUNT; i++) {
        const char *with = r->desc.ns[i];
        int err = 0;
        if (with && *with) {
            struct record *other = record_lookup(with, why);
            if (!other)
                return -1;
            ns_set_share(s, other->ns_set, g_ns_flags[i]);
            if (i == DESC_NS_USER && other->user_ns) {
                user_ns_get(other->user_ns);
                r->user_ns = other->user_ns;
            }
            record_put(other);
        } else if (!with && !r->is_root) {
            err = ns_set_renew(NULL, s, r->user_ns ? r->user_ns : g_kernel.root_user_ns,
                               g_ns_flags[i]);
            if (!err && i == DESC_NS_NET)
                net_ns_set_up(s->net);
        }
        if (err)
            return complain(why, RF_EXIT_ERROR, "no new namespace: %s", strerror(-err));
    }
    return 0;
}

static void set_names(struct record *r)
{
    struct uts_ns *u = r->ns_set->uts;
    LOCK_GUARD(&u->lock);
    if (r->desc.hostname)
        snprintf(u->names.nodename, sizeof(u->names.nodename), "%s", r->desc.hostname);
    if (r->desc.domainname)
        snprintf(u->names.domainname, sizeof(u->names.domainname), "%s", r->desc.domainname);
}

static void apply_limits(struct record *r, const struct control_limits *l)
{
    if (l->pids)
        container_limit_tasks(r->container, l->pids < 0 ? 0 : MIN(l->pids, INT32_MAX));
    if (l->cpu_quota_us) {
        int64_t period = l->cpu_period_us > 0 ? l->cpu_period_us : PERIOD_DEFAULT_US;
        container_limit_cpu(r->container, l->cpu_quota_us < 0 ? 0 : l->cpu_quota_us * 1000,
                            period * 1000);
    }
    if (l->memory && r->is_root)
        memfile_set_limit(l->memory < 0 ? 0 : l->memory);
}

static int limits_check(const struct control_limits *l, struct complaint *why)
{
    const int64_t hour_us = 3600ll * 1000000;
    if (l->memory < -1 || l->pids < -1 || l->cpu_quota_us < -1 ||
        l->cpu_quota_us > 4096 * hour_us || l->cpu_period_us < -1 || l->cpu_period_us > hour_us)
        return complain(why, RF_EXIT_ERROR, "a limit is out of its range");
    if (l->cpu_quota_us > 0 && l->cpu_quota_us < 1000)
        return complain(why, RF_EXIT_ERROR, "a CPU quota is at least 1000 microseconds");
    return 0;
}

static int apply_sysctls(struct record *r, struct complaint *why)
{
    for (unsigned i = 0; i < r->desc.sysctl_count; i++) {
        char *name = r->desc.sysctls[i], *equal = strchr(name, '=');
        *equal = 0; /* desc_read has seen to it that there is one */
        int err = procfs_sysctl_set(name, equal + 1);
        if (err)
            return complain(why, RF_EXIT_ERROR, "sysctl %.64s cannot be set to \"%.64s\": %s", name,
                            equal + 1, strerror(-err));
    }
    return 0;
}

static int record_build(struct record *r, struct control_fds *fds, struct complaint *why)
{
    int err = gofer_connect(fds->fd[1], &r->gofer);
    fds->fd[1] = -1;
    if (err)
        return complain(why, RF_EXIT_ERROR, "the gofer does not answer: %s", strerror(-err));
    r->container = container_new();
    if (!r->container)
        return complain(why, RF_EXIT_ERROR, "out of memory");
    r->container->is_root = r->is_root;
    if (limits_check(&r->desc.limits, why) || make_namespaces(r, why))
        return -1;
    set_names(r);
    apply_limits(r, &r->desc.limits);
    if (apply_sysctls(r, why))
        return -1;
    if (files_make(&r->desc, r->gofer, &r->mount_ns, why) ||
        stdio_make(&r->desc.process, fds, r->is_root, &r->fds, &r->tty, why))
        return -1;
    if (r->tty && (r->desc.defaults & DEFAULT_CONSOLE))
        files_console(r->mount_ns, r->tty);
    return program_find(r->mount_ns, &r->desc.process, &r->path, why);
}

int record_create(struct control_fds *fds, unsigned flags, struct client *by, struct complaint *why)
{
    struct record *r = record_new(fds, why);
    if (!r)
        return -1;
    int err = record_enter(r, why);
    if (!err) {
        err = record_build(r, fds, why);
        if (!err) {
            LOCK_GUARD(&g_control_lock);
            r->state = RECORD_CREATED;
            if (flags & CONTROL_ATTACH) {
                client_get(by);
                r->attached = by;
            }
        }
        if (!err && (flags & CONTROL_START))
            err = record_start(r->desc.id, why);
        if (err)
            record_remove(r);
    }
    record_put(r);
    return err;
}

/* ---- start, exec ---- */

static struct guest *guest_new(struct record *r, bool is_init, struct client *attached)
{
    struct guest *g = calloc(1, sizeof(*g));
    if (!g || !(g->watch = exit_watch_new())) {
        free(g);
        return NULL;
    }
    g->record = r;
    g->is_init = is_init;
    g->attached = attached;
    if (attached)
        client_get(attached);
    return g;
}

/* Start the program, and enter the guest. Fills the process's id in *pid. */
static int guest_start(struct guest *g, const struct process_desc *p, const char *path,
                       struct fdtable *fds, struct tty *tty, struct complaint *why)
{
    struct record *r = g->record;
    int cwd_error = 0;
    struct spawn_args a = {
        .container = r->container,
        .is_init = g->is_init,
        .unkillable = g->is_init && !r->desc.ns[DESC_NS_PID],
        .ns_set = r->ns_set,
        .user_ns = r->user_ns,
        .path = path,
        .argv = p->argv,
        .envp = p->envp,
        .cwd = p->cwd,
        .cwd_error = &cwd_error,
        .uid = p->uid,
        .gid = p->gid,
        .groups = p->groups,
        .group_count = p->group_count,
        .cap_bounding = p->caps[CAPS_BOUNDING],
        .cap_effective = p->caps[CAPS_EFFECTIVE],
        .cap_inheritable = p->caps[CAPS_INHERITABLE],
        .cap_permitted = p->caps[CAPS_PERMITTED],
        .cap_ambient = p->caps[CAPS_AMBIENT],
        .no_new_privs = p->no_new_privs,
        .oom_score_adj = p->oom_score_adj,
        .seccomp = p->seccomp,
        .seccomp_count = p->seccomp_count,
        .seccomp_flags = p->seccomp_flags,
        .mount_ns = r->mount_ns,
        .fds = fds,
        .tty = tty,
        .rlimits = p->rlimits,
        .umask = p->umask,
        .ignored = p->ignored,
        .watch = g->watch,
    };
    int err = kernel_spawn(&a, &g->process);
    if (cwd_error)
        return complain(why, RF_EXIT_ERROR,
                        "cannot start in %s: %s; --cwd chooses another directory", p->cwd,
                        strerror(-cwd_error));
    if (err == -ESRCH)
        return not_running(why);
    return err ? program_failed(why, p->argv[0], err) : 0;
}

static int start_claim(struct record *r, struct guest *g, struct complaint *why)
{
    LOCK_GUARD(&g_control_lock);
    if (r->state != RECORD_CREATED)
        return complain(why, RF_EXIT_ERROR, "cannot start a container that is %s",
                        r->state == RECORD_STOPPED ? "stopped" : "running already");
    r->state = RECORD_STARTING;
    g->attached = r->attached; /* the reference moves */
    r->attached = NULL;
    return 0;
}

static void start_done(struct record *r, struct guest *g, int err, int status)
{
    lock_acquire(&g_control_lock);
    struct fdtable *fds = r->fds;
    struct tty *tty = r->tty;
    r->fds = NULL;
    r->tty = NULL;
    r->state = err ? RECORD_STOPPED : RECORD_RUNNING;
    r->wait_status = err ? status << 8 : 0;
    if (!err)
        list_push_back(&r->guests, &g->node);
    lock_release(&g_control_lock);
    if (fds)
        fdtable_put(fds, NULL);
    if (tty)
        tty_put(tty);
    if (err)
        guest_free(g);
    control_wake(); /* it may have ended before it was entered */
}

int record_start(const char *id, struct complaint *why)
{
    struct record *r = record_lookup(id, why);
    if (!r)
        return -1;
    struct guest *g = guest_new(r, /*is_init=*/true, NULL);
    int err = g ? start_claim(r, g, why) : complain(why, RF_EXIT_ERROR, "out of memory");
    if (!err) {
        err = guest_start(g, &r->desc.process, r->path, r->fds, r->tty, why);
        start_done(r, g, err, why->status);
    } else if (g) {
        guest_free(g);
    }
    record_put(r);
    return err;
}

static int exec_claim(struct record *r, struct complaint *why)
{
    LOCK_GUARD(&g_control_lock);
    if (r->state != RECORD_RUNNING || r->doomed)
        return not_running(why);
    if (container_frozen(r->container))
        return complain(why, RF_EXIT_ERROR, "cannot exec in a paused container");
    r->workers++;
    return 0;
}

static void exec_done(struct record *r, struct guest *g)
{
    lock_acquire(&g_control_lock);
    r->workers--;
    if (g)
        list_push_back(&r->guests, &g->node);
    lock_release(&g_control_lock);
    control_wake();
}

static int exec_run(struct record *r, struct guest *g, const struct process_desc *p,
                    struct control_fds *fds, struct complaint *why)
{
    struct fdtable *ft;
    struct tty *tty;
    char *path = NULL;
    int err = program_find(r->mount_ns, p, &path, why);
    if (!err)
        err = stdio_make(p, fds, /*hold_tty=*/false, &ft, &tty, why);
    if (!err) {
        err = guest_start(g, p, path, ft, tty, why);
        fdtable_put(ft, NULL);
        if (tty)
            tty_put(tty);
    }
    free(path);
    return err;
}

int record_exec(const char *id, struct control_fds *fds, unsigned flags, struct client *by,
                int *pid, struct complaint *why)
{
    struct container_desc d = {0};
    const char *bad = "";
    struct record *r = record_lookup(id, why);
    if (!r)
        return -1;
    int err = fds->count < 1 ? -EBADF : desc_read(fds->fd[0], /*process_only=*/true, &d, &bad);
    if (err)
        err = complain(why, RF_EXIT_ERROR, "bad description of a process: %.64s: %s", bad,
                       strerror(-err));
    else
        err = exec_claim(r, why);
    if (!err) {
        struct guest *g = guest_new(r, /*is_init=*/false, flags & CONTROL_ATTACH ? by : NULL);
        err = g ? exec_run(r, g, &d.process, fds, why)
                : complain(why, RF_EXIT_ERROR, "out of memory");
        if (err && g)
            guest_free(g);
        if (!err)
            *pid = g->process->vpid;
        exec_done(r, err ? NULL : g);
    }
    desc_free(&d);
    record_put(r);
    return err;
}

/* ---- signals, freezing, limits ---- */

struct guest *guest_of_locked(struct record *r, int pid)
{
    struct guest *g;
    list_for_each(g, &r->guests, node) if (pid ? g->process->vpid == pid : g->is_init) return g;
    return NULL;
}

/* The process of r's container that its PID namespace numbers pid (0: init); counted. */
static struct process *process_of(struct record *r, int pid)
{
    int id = pid_id_from(r->ns_set->pid_children, pid);
    lock_acquire(&g_control_lock);
    struct guest *g = pid ? NULL : guest_of_locked(r, 0);
    struct process *p = g ? g->process : NULL;
    if (p)
        process_get(p);
    lock_release(&g_control_lock);
    if (!p && pid > 0)
        p = process_by_id(id);
    if (p && p->container != r->container) {
        process_put(p);
        return NULL;
    }
    return p;
}

static int signal_one(struct record *r, int pid, int sig, bool foreground, struct complaint *why)
{
    struct process *p = process_of(r, pid);
    if (!p)
        return pid ? complain(why, RF_EXIT_ABSENT, "no process %d in the container", pid)
                   : not_running(why);
    siginfo_t info = {.si_signo = sig, .si_code = SI_USER};
    int err = 0;
    if (sig == SIGKILL)
        process_exit_group(p, SIGKILL); /* of init and of paused ones too */
    else if (foreground)
        process_signal_foreground(p, sig);
    else
        err = signal_send_process(p, sig, &info);
    process_put(p);
    return err ? complain(why, RF_EXIT_ERROR, "cannot send signal %d: %s", sig, strerror(-err)) : 0;
}

/* SIGKILL to what was created but never started: it ends as if it had. */
static bool kill_created(struct record *r, int sig)
{
    LOCK_GUARD(&g_control_lock);
    if (r->state != RECORD_CREATED || (sig != SIGKILL && sig != SIGTERM))
        return false;
    r->state = RECORD_STOPPED;
    r->wait_status = sig;
    return true;
}

static int signal_record(struct record *r, int pid, int sig, bool foreground, struct complaint *why)
{
    lock_acquire(&g_control_lock);
    bool running = r->state == RECORD_RUNNING;
    lock_release(&g_control_lock);
    if (kill_created(r, sig)) {
        control_wake();
        return 0;
    }
    if (!running)
        return not_running(why);
    if (pid != -1)
        return signal_one(r, pid, sig, foreground, why);
    if (sig == SIGKILL)
        container_kill(r->container);
    else if (container_signal_all(r->container, sig))
        return not_running(why);
    return 0;
}

int record_signal(const char *id, int pid, int sig, bool foreground, struct complaint *why)
{
    if (sig < 0 || sig > SIG_COUNT || pid < -1)
        return complain(why, RF_EXIT_ERROR, "there is no signal %d", sig);
    struct record *r = record_lookup(id, why);
    if (!r)
        return -1;
    int err = signal_record(r, pid, sig, foreground, why);
    record_put(r);
    return err;
}

int record_freeze(const char *id, bool on, struct complaint *why)
{
    struct record *r = record_lookup(id, why);
    if (!r)
        return -1;
    lock_acquire(&g_control_lock);
    bool running = r->state == RECORD_RUNNING;
    lock_release(&g_control_lock);
    int err = running ? 0 : not_running(why);
    if (!err && container_frozen(r->container) == on)
        err = complain(why, RF_EXIT_ERROR, "container %s paused", on ? "is already" : "not");
    if (!err)
        container_freeze(r->container, on);
    record_put(r);
    return err;
}

int record_update(const char *id, const struct control_limits *l, struct complaint *why)
{
    if (limits_check(l, why))
        return -1;
    struct record *r = record_lookup(id, why);
    if (!r)
        return -1;
    apply_limits(r, l);
    record_put(r);
    return 0;
}

void record_signal_root(int sig, bool from_terminal)
{
    struct complaint ignored;
    lock_acquire(&g_control_lock);
    struct record *r = list_first(&g_records, struct record, node);
    if (r && r->state != RECORD_MAKING)
        record_get(r);
    else
        r = NULL;
    lock_release(&g_control_lock);
    if (!r)
        return;
    signal_record(r, 0, sig, from_terminal, &ignored);
    record_put(r);
}

/* ---- questions ---- */

struct container *record_container(const char *id, struct complaint *why)
{
    struct record *r = record_lookup(id, why);
    if (!r)
        return NULL;
    struct container *c = r->container;
    container_get(c);
    record_put(r);
    return c;
}

struct pid_ns *record_pid_ns(const char *id)
{
    struct complaint ignored;
    struct record *r = record_lookup(id, &ignored);
    if (!r)
        return NULL;
    struct pid_ns *ns = r->ns_set->pid_children;
    pid_ns_get(ns);
    record_put(r);
    return ns;
}

static int state_of_locked(struct record *r)
{
    if (r->state == RECORD_STOPPED)
        return CONTROL_STOPPED_STATE;
    if (r->state != RECORD_RUNNING)
        return CONTROL_CREATED;
    return container_frozen(r->container) ? CONTROL_PAUSED : CONTROL_RUNNING;
}

int record_info(const char *id, struct control_info *out, struct complaint *why)
{
    LOCK_GUARD(&g_control_lock);
    struct record *r = find_locked(id);
    if (!r || r->state == RECORD_MAKING)
        return no_such(why, id);
    struct guest *g = guest_of_locked(r, 0);
    *out = (struct control_info){
        .state = state_of_locked(r),
        .init_pid = g ? g->process->vpid : 0,
        .wait_status = r->wait_status,
        .is_root = r->is_root,
        .oom_killed = __atomic_load_n(&r->container->oom_kills, __ATOMIC_RELAXED) > 0,
    };
    return 0;
}

bool record_next(const char *after, char *id, size_t size)
{
    LOCK_GUARD(&g_control_lock);
    struct record *r;
    bool take = !*after;
    list_for_each(r, &g_records, node)
    {
        if (take && r->state != RECORD_MAKING) {
            snprintf(id, size, "%s", r->desc.id);
            return true;
        }
        take |= !strcmp(r->desc.id, after);
    }
    return false;
}

bool record_any(void)
{
    LOCK_GUARD(&g_control_lock);
    return !list_empty(&g_records);
}

int record_wait(const char *id, int pid, int *status, struct complaint *why)
{
    LOCK_GUARD(&g_control_lock);
    struct record *r = find_locked(id);
    if (!r || r->state == RECORD_MAKING)
        return no_such(why, id);
    struct guest *g = pid ? guest_of_locked(r, pid) : NULL;
    if (pid && !g)
        return complain(why, RF_EXIT_ABSENT, "no process %d was executed in the container", pid);
    if (!pid) {
        *status = r->wait_status;
        return r->state == RECORD_STOPPED;
    }
    if (!__atomic_load_n(&g->watch->ended, __ATOMIC_ACQUIRE))
        return 0;
    *status = g->watch->status;
    return 1;
}

int record_attach(const char *id, int pid, struct client *by, struct complaint *why)
{
    LOCK_GUARD(&g_control_lock);
    struct record *r = find_locked(id);
    if (!r || r->state == RECORD_MAKING)
        return no_such(why, id);
    struct guest *g = guest_of_locked(r, pid);
    struct client **at = g                                    ? &g->attached
                         : !pid && r->state == RECORD_CREATED ? &r->attached
                                                              : NULL;
    if (!at)
        return not_running(why);
    if (*at)
        return complain(why, RF_EXIT_ERROR, "somebody is attached to it already");
    client_get(by);
    *at = by;
    if (g)
        g->reported = false; /* it may have ended before anybody asked */
    return 0;
}

/* ---- ends ---- */

void record_kill(struct record *r)
{
    lock_acquire(&g_control_lock);
    bool unstarted = r->state == RECORD_CREATED;
    if (unstarted) {
        r->state = RECORD_STOPPED;
        r->wait_status = SIGKILL;
    }
    lock_release(&g_control_lock);
    if (r->container)
        container_kill(r->container);
    control_wake();
}

int record_destroy(const char *id, struct complaint *why)
{
    lock_acquire(&g_control_lock);
    struct record *r = find_locked(id);
    bool first = r && !r->doomed && r->state != RECORD_MAKING;
    if (r)
        record_get(r), r->doomed |= first;
    lock_release(&g_control_lock);
    if (!r)
        return no_such(why, id), 1;
    if (first)
        record_kill(r);
    record_put(r);
    return 0;
}
