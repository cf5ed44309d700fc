/* True figures about a container: its processes as its own PID namespace numbers them, and what it
 * uses. Runs on worker threads: an address space may be busy. */
#include "control/control_priv.h"

#include "base/overflow.h"
#include "trace/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ps_args(struct mm *mm, struct control_ps *out)
{
    struct mm_layout l;
    mm_layout_get(mm, &l);
    size_t size = l.arg_end > l.arg_start ? l.arg_end - l.arg_start : 0;
    size = uaccess_read_forced(mm, out->args, uaddr(l.arg_start), MIN(size, sizeof(out->args) - 1));
    while (size && !out->args[size - 1])
        size--;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)out->args[i] < 0x20)
            out->args[i] = ' ';
    out->args[size] = 0;
}

static int parent_nr(struct process *p, struct pid_ns *ns)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return p->parent ? process_nr(p->parent, ns) : 0;
}

static void ps_memory(struct task *t, struct control_ps *out)
{
    struct mm *mm = task_mm_get(t);
    if (!mm)
        return;
    struct mm_usage u;
    mm_usage_get(mm, &u);
    out->rss = u.rss;
    ps_args(mm, out);
    mm_put(mm);
}

static void ps_one(struct process *p, struct pid_ns *ns, struct control_ps *out)
{
    int64_t user, sys;
    *out = (struct control_ps){.pid = process_nr(p, ns), .ppid = parent_nr(p, ns)};
    out->state = process_state_char(p);
    process_cpu_times(p, &user, &sys);
    out->cpu_ns = user + sys;
    out->start_ns = p->start_ns + (time_realtime() - time_now());
    struct task *t = task_next(p, 0);
    if (!t)
        return;
    out->threads = p->task_count;
    struct cred *c = task_cred_get(t);
    out->uid = c->euid;
    out->gid = c->egid;
    cred_put(c);
    task_comm(t, out->comm);
    ps_memory(t, out);
    task_put(t);
}

int report_ps(const char *id, ps_emit_fn *emit, void *arg, struct complaint *why)
{
    struct container *c = record_container(id, why);
    struct pid_ns *ns = c ? record_pid_ns(id) : NULL;
    struct process *p;
    if (!c)
        return -1;
    for (int after = 0; ns && (p = container_next(c, after)); process_put(p)) {
        struct control_ps ps;
        after = p->pid;
        ps_one(p, ns, &ps);
        if (emit(arg, &ps)) {
            process_put(p);
            break;
        }
    }
    if (ns)
        pid_ns_put(ns);
    container_put(c);
    return 0;
}

/* What its processes hold. Files in memory are the sandbox's: the root container is charged. */
static uint64_t container_memory(struct container *c)
{
    uint64_t rss = 0;
    struct process *p;
    if (c->is_root)
        return memfile_used();
    for (int after = 0; (p = container_next(c, after)); process_put(p)) {
        after = p->pid;
        struct task *t = task_next(p, 0);
        struct mm *mm = t ? task_mm_get(t) : NULL;
        struct mm_usage u = {0};
        if (mm) {
            mm_usage_get(mm, &u);
            mm_put(mm);
        }
        if (t)
            task_put(t);
        rss += u.rss;
    }
    return rss;
}

int report_stats(const char *id, struct control_stats *out, struct complaint *why)
{
    struct container *c = record_container(id, why);
    struct container_figures f;
    if (!c)
        return -1;
    container_figures(c, &f);
    uint64_t used = container_memory(c);
    c->memory_peak = MAX(c->memory_peak, used);
    *out = (struct control_stats){
        .memory_usage = used,
        .memory_peak = c->memory_peak,
        .memory_limit = c->is_root ? memfile_limit() : 0,
        .oom_kills = f.oom_kills,
        .memory_failures = f.oom_kills,
        .cpu_user_ns = f.user_ns,
        .cpu_system_ns = f.system_ns,
        .cpu_periods = f.periods,
        .cpu_throttled_periods = f.throttled_periods,
        .cpu_throttled_ns = f.throttled_ns,
        .pids_current = f.tasks,
        .pids_limit = f.tasks_limit,
        .processes = f.processes,
        .forks = f.forks,
    };
    container_put(c);
    return 0;
}

/* ---- what each task does ---- */

static void stack_line(struct process *p, struct task *t, struct pid_ns *ns, char *out, size_t size)
{
    int64_t since = __atomic_load_n(&t->current_since_ns, __ATOMIC_RELAXED);
    uint64_t nr = t->current_nr;
    const char *name = trace_syscall_name(nr);
    char comm[16], what[96];
    task_comm(t, comm);
    bool runs = __atomic_load_n(&t->in_guest, __ATOMIC_RELAXED);
    bool sleeps = __atomic_load_n(&t->park, __ATOMIC_RELAXED) & 1;
    bool held = __atomic_load_n(&p->container->held, __ATOMIC_RELAXED);
    if (runs || !since)
        snprintf(what, sizeof(what), "runs its own code");
    else
        snprintf(what, sizeof(what), "%s in %s (%llu), for %.3f s",
                 held && sleeps ? "held"
                 : sleeps       ? "sleeps"
                                : "runs",
                 name ? name : "a call without name", (unsigned long long)nr,
                 (double)(time_now() - since) / NSEC_PER_SEC);
    snprintf(out, size, "%5d %5d %-15.15s %s", process_nr(p, ns), task_nr_of(t, ns), comm, what);
}

static int stacks_of(struct process *p, struct pid_ns *ns, line_emit_fn *emit, void *arg)
{
    struct task *t;
    int err = 0;
    for (int tid = 0; !err && (t = task_next(p, tid)); task_put(t)) {
        char line[256];
        tid = t->tid;
        stack_line(p, t, ns, line, sizeof(line));
        err = emit(arg, line);
    }
    return err;
}

int report_stacks(const char *id, line_emit_fn *emit, void *arg, struct complaint *why)
{
    struct container *c = record_container(id, why);
    struct pid_ns *ns = c ? record_pid_ns(id) : NULL;
    struct process *p;
    int err = 0;
    if (!c)
        return -1;
    for (int after = 0; ns && !err && (p = container_next(c, after)); process_put(p)) {
        after = p->pid;
        err = stacks_of(p, ns, emit, arg);
    }
    if (ns)
        pid_ns_put(ns);
    container_put(c);
    return 0;
}
