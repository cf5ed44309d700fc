/* /proc/PID/stat, status, statm, limits, io, sched. */
#include "fs/proc/proc_priv.h"

#include "kernel/kernel.h"
#include "time/time.h"

#include <sys/mman.h>

#define USER_HZ 100

struct ids { /* read under tasks_lock */
    int nr, ppid, pgid, sid, tty_nr, tpgid, threads, nice, policy, priority;
};

static void ids_get(const struct proc_ctx *c, struct ids *out)
{
    *out = (struct ids){.tpgid = -1};
    lock_acquire(&g_kernel.tasks_lock);
    struct pgrp *g = c->p->pgrp;
    struct session *s = g ? g->session : NULL;
    out->ppid = c->p->parent ? process_nr(c->p->parent, c->ns) : 0;
    out->nr = c->t ? task_nr(c->t, c->ns) : process_nr(c->p, c->ns);
    out->threads = c->p->task_count;
    if (g) {
        out->pgid = pid_id_to_locked(c->ns, g->pgid);
        out->sid = pid_id_to_locked(c->ns, s->sid);
        tty_session_numbers_locked(s, &out->tty_nr, &out->tpgid);
        out->tpgid = pid_id_to_locked(c->ns, out->tpgid);
    }
    lock_release(&g_kernel.tasks_lock);
}

static long ticks(int64_t ns)
{
    return ns / (NSEC_PER_SEC / USER_HZ);
}

struct sig_sets {
    sigmask_t pending, shared, blocked, ignored, caught;
    unsigned queued;
};

static void sig_sets_get(const struct proc_ctx *c, struct sig_sets *out)
{
    *out = (struct sig_sets){0};
    LOCK_GUARD(&c->p->sig_lock);
    out->shared = c->p->shared_pending.set;
    if (c->t) {
        out->pending = c->t->pending.set;
        out->blocked = c->t->blocked;
    }
    for (int i = 0; i < SIG_COUNT; i++) {
        uint64_t h = c->p->actions[i].handler;
        if (h == 1)
            out->ignored |= 1ull << i;
        else if (h)
            out->caught |= 1ull << i;
    }
    out->queued = c->p->sig_queued;
}

struct times {
    int64_t utime, stime, cutime, cstime;
    uint64_t min_flt, maj_flt;
};

static int64_t tv_ns(struct timeval tv)
{
    return tv.tv_sec * NSEC_PER_SEC + tv.tv_usec * 1000;
}

static void times_get(const struct proc_ctx *c, struct times *out)
{
    *out = (struct times){0};
    if (c->one_thread && c->t)
        task_cpu_times(c->t, &out->utime, &out->stime);
    else
        process_cpu_times(c->p, &out->utime, &out->stime);
    lock_acquire(&c->p->sig_lock);
    out->cutime = tv_ns(c->p->child_usage.ru_utime);
    out->cstime = tv_ns(c->p->child_usage.ru_stime);
    lock_release(&c->p->sig_lock);
    if (c->t) {
        out->min_flt = __atomic_load_n(&c->t->min_flt, __ATOMIC_RELAXED);
        out->maj_flt = __atomic_load_n(&c->t->maj_flt, __ATOMIC_RELAXED);
    }
}

static void memory_get(const struct proc_ctx *c, struct mm_usage *u, struct mm_layout *l)
{
    struct mm *mm = c->t ? task_mm_get(c->t) : NULL;
    *u = (struct mm_usage){0};
    *l = (struct mm_layout){0};
    if (!mm)
        return;
    mm_usage_get(mm, u);
    mm_layout_get(mm, l);
    mm_put(mm);
}

static char state_of(const struct proc_ctx *c)
{
    return c->t ? task_state_char(c->t) : process_state_char(c->p);
}

int proc_show_stat(struct pbuf *b, const struct proc_ctx *c)
{
    struct ids ids;
    struct sig_sets sig;
    struct times tm;
    struct mm_usage mu;
    struct mm_layout l;
    char comm[16] = "";
    if (c->t)
        task_comm(c->t, comm);
    ids_get(c, &ids);
    sig_sets_get(c, &sig);
    times_get(c, &tm);
    memory_get(c, &mu, &l);
    if (proc_may_look(c)) /* addresses are nobody else's business */
        l = (struct mm_layout){0};
    int nice = c->t ? c->t->nice : 0;
    int64_t start = c->p->start_ns, boot = 0;
    if (!time_clock_get(CLOCK_BOOTTIME, &boot)) /* start_ns is monotonic */
        start += boot - time_now();
    pb_printf(b, "%d (%s) %c %d %d %d %d %d %u ", c->one_thread ? ids.nr : process_nr(c->p, c->ns),
              comm, state_of(c), ids.ppid, ids.pgid, ids.sid, ids.tty_nr, ids.tpgid, 0x400000u);
    pb_printf(b, "%lu 0 %lu 0 %ld %ld %ld %ld %d %d %d 0 %ld %lu %lu %lu ",
              (unsigned long)tm.min_flt, (unsigned long)tm.maj_flt, ticks(tm.utime),
              ticks(tm.stime), ticks(tm.cutime), ticks(tm.cstime), 20 + nice, nice, ids.threads,
              ticks(start), (unsigned long)mu.vm_size, (unsigned long)(mu.rss / RF_PAGE_SIZE),
              ~0ul);
    pb_printf(b, "%lu %lu %lu 0 0 %lu %lu %lu %lu 0 0 0 ", (unsigned long)l.start_code,
              (unsigned long)l.end_code, (unsigned long)l.start_stack,
              (unsigned long)(sig.pending & 0x7fffffff), (unsigned long)(sig.blocked & 0x7fffffff),
              (unsigned long)(sig.ignored & 0x7fffffff), (unsigned long)(sig.caught & 0x7fffffff));
    pb_printf(b, "%d 0 %d %d 0 0 0 %lu %lu %lu %lu %lu %lu %lu 0\n", 17,
              c->t ? c->t->sched_priority : 0, c->t ? c->t->sched_policy : 0,
              (unsigned long)l.start_data, (unsigned long)l.end_data, (unsigned long)l.start_brk,
              (unsigned long)l.arg_start, (unsigned long)l.arg_end, (unsigned long)l.env_start,
              (unsigned long)l.env_end);
    return 0;
}

int proc_show_statm(struct pbuf *b, const struct proc_ctx *c)
{
    struct mm_usage mu;
    struct mm_layout l;
    memory_get(c, &mu, &l);
    pb_printf(b, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)(mu.vm_size / RF_PAGE_SIZE),
              (unsigned long)(mu.rss / RF_PAGE_SIZE), (unsigned long)(mu.shared / RF_PAGE_SIZE),
              (unsigned long)(mu.text / RF_PAGE_SIZE),
              (unsigned long)((mu.data + mu.stack) / RF_PAGE_SIZE));
    return 0;
}

/* ---- status ---- */

static const char *state_text(char state)
{
    switch (state) {
    case 'R':
        return "R (running)";
    case 'T':
        return "T (stopped)";
    case 't':
        return "t (tracing stop)";
    case 'Z':
        return "Z (zombie)";
    case 'X':
        return "X (dead)";
    case 'D':
        return "D (disk sleep)";
    default:
        return "S (sleeping)";
    }
}

/* The numbers in the namespace of the mount, and in each below it down to the process's own. */
static void ns_line(struct pbuf *b, const struct proc_ctx *c, const char *name, int id)
{
    struct pid_ns *chain[PID_NS_DEPTH];
    unsigned n = 0;
    for (struct pid_ns *ns = c->p->pid_ns; ns && n < PID_NS_DEPTH; ns = ns->parent) {
        chain[n++] = ns;
        if (ns == c->ns)
            break;
    }
    pb_str(b, name);
    while (n--)
        pb_printf(b, "\t%d", pid_id_to(chain[n], id));
    pb_str(b, "\n");
}

static void status_ns_ids(struct pbuf *b, const struct proc_ctx *c)
{
    lock_acquire(&g_kernel.tasks_lock);
    int tid = c->t ? c->t->tid : c->p->pid, pgid = c->p->pgrp ? c->p->pgrp->pgid : 0;
    int sid = pgid ? c->p->pgrp->session->sid : 0;
    lock_release(&g_kernel.tasks_lock);
    pb_str(b, "\n");
    ns_line(b, c, "NStgid:", c->p->pid);
    ns_line(b, c, "NSpid:", tid);
    ns_line(b, c, "NSpgid:", pgid);
    ns_line(b, c, "NSsid:", sid);
}

static void status_ids(struct pbuf *b, const struct proc_ctx *c, const struct cred *cr)
{
    struct ids ids;
    ids_get(c, &ids);
    pb_printf(b, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d\n",
              state_text(state_of(c)), process_nr(c->p, c->ns), ids.nr, ids.ppid,
              c->t ? task_tracer_nr(c->t, c->ns) : 0);
    const struct user_ns *un = c->caller ? c->caller->cred->user_ns : g_kernel.root_user_ns;
    pb_printf(b, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", uid_to(un, cr->uid),
              uid_to(un, cr->euid), uid_to(un, cr->suid), uid_to(un, cr->fsuid),
              gid_to(un, cr->gid), gid_to(un, cr->egid), gid_to(un, cr->sgid),
              gid_to(un, cr->fsgid));
    struct fdtable *ft = c->t ? task_fds_get(c->t) : NULL;
    pb_printf(b, "FDSize:\t%u\nGroups:\t", ft ? 64u : 0u);
    if (ft)
        fdtable_put(ft, c->caller);
    for (unsigned i = 0; i < cr->group_count; i++)
        pb_printf(b, "%u ", gid_to(un, cr->groups[i]));
    status_ns_ids(b, c);
}

static unsigned long kib(uint64_t bytes)
{
    return bytes / 1024;
}

static void status_memory(struct pbuf *b, const struct proc_ctx *c)
{
    struct mm_usage mu;
    struct mm_layout l;
    memory_get(c, &mu, &l);
    if (!mu.vm_size)
        return; /* a zombie has no memory lines */
    pb_printf(b, "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t%8lu kB\nVmPin:\t%8lu kB\n",
              kib(mu.vm_peak), kib(mu.vm_size), kib(mu.locked), 0ul);
    pb_printf(b, "VmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\nRssAnon:\t%8lu kB\nRssFile:\t%8lu kB\n",
              kib(mu.rss_peak), kib(mu.rss), kib(mu.rss - MIN(mu.shared, mu.rss)), kib(mu.shared));
    pb_printf(b, "RssShmem:\t%8lu kB\nVmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\n", 0ul,
              kib(mu.data), kib(mu.stack), kib(mu.text));
    pb_printf(b, "VmLib:\t%8lu kB\nVmPTE:\t%8lu kB\nVmSwap:\t%8lu kB\nHugetlbPages:\t%8lu kB\n",
              0ul, kib(mu.rss / 512 + 4096), 0ul, 0ul);
    pb_printf(b, "CoreDumping:\t0\nTHP_enabled:\t0\nuntag_mask:\t0xffffffffffffffff\n");
}

static void status_signals(struct pbuf *b, const struct proc_ctx *c, const struct cred *cr)
{
    struct sig_sets s;
    struct ids ids;
    sig_sets_get(c, &s);
    ids_get(c, &ids);
    pb_printf(b, "Threads:\t%d\nSigQ:\t%u/%lu\n", ids.threads, s.queued,
              (unsigned long)rlimit_get(c->p, RLIMIT_SIGPENDING));
    pb_printf(
        b, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
        (unsigned long)s.pending, (unsigned long)s.shared, (unsigned long)s.blocked,
        (unsigned long)s.ignored, (unsigned long)s.caught);
    pb_printf(
        b, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\n",
        (unsigned long)cr->cap_inheritable, (unsigned long)cr->cap_permitted,
        (unsigned long)cr->cap_effective, (unsigned long)cr->cap_bounding,
        (unsigned long)cr->cap_ambient);
    pb_printf(b, "NoNewPrivs:\t%d\nSeccomp:\t%d\nSeccomp_filters:\t%u\n", cr->no_new_privs,
              c->t ? c->t->seccomp_mode : 0, c->t ? c->t->seccomp_count : 0);
}

/* "0-1,3" */
static void cpu_list(struct pbuf *b, const uint64_t *mask)
{
    const char *comma = "";
    for (unsigned i = 0, n; i < TASK_CPU_WORDS * 64; i += n) {
        for (n = 0; i + n < TASK_CPU_WORDS * 64 && mask[(i + n) / 64] >> (i + n) % 64 & 1;)
            n++;
        if (n == 1)
            pb_printf(b, "%s%u", comma, i);
        else if (n)
            pb_printf(b, "%s%u-%u", comma, i, i + n - 1);
        if (n)
            comma = ",";
        n += !n;
    }
}

static void status_cpus(struct pbuf *b, const struct proc_ctx *c)
{
    uint64_t mask[TASK_CPU_WORDS] = {1};
    if (c->t) {
        lock_acquire(&c->t->lock);
        memcpy(mask, c->t->affinity, sizeof(mask));
        lock_release(&c->t->lock);
    }
    pb_str(b, "Speculation_Store_Bypass:\tthread vulnerable\n"
              "SpeculationIndirectBranch:\tconditional enabled\nCpus_allowed:\t");
    if (g_kernel.cpu_count > 32)
        pb_printf(b, "%lx,%08lx", (unsigned long)(mask[0] >> 32), (unsigned long)(uint32_t)mask[0]);
    else
        pb_printf(b, "%lx", (unsigned long)mask[0]);
    pb_str(b, "\nCpus_allowed_list:\t");
    cpu_list(b, mask);
    pb_str(b, "\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
    pb_printf(b, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
              c->t ? (unsigned long)c->t->nvcsw : 0ul, c->t ? (unsigned long)c->t->nivcsw : 0ul);
}

static unsigned umask_of(const struct proc_ctx *c)
{
    struct fs_struct *fs = c->t ? task_fs_get(c->t) : NULL;
    if (!fs)
        return 0;
    lock_acquire(&fs->lock);
    unsigned mask = fs->umask;
    lock_release(&fs->lock);
    fs_struct_put(fs);
    return mask;
}

int proc_show_status(struct pbuf *b, const struct proc_ctx *c)
{
    struct cred *cr = c->t ? task_cred_get(c->t) : NULL;
    char comm[16];
    if (!cr)
        return -ESRCH;
    task_comm(c->t, comm);
    pb_str(b, "Name:\t");
    pb_escaped(b, comm);
    pb_printf(b, "\nUmask:\t%04o\n", umask_of(c));
    status_ids(b, c, cr);
    status_memory(b, c);
    status_signals(b, c, cr);
    status_cpus(b, c);
    cred_put(cr);
    return 0;
}

/* ---- limits, io, scheduling ---- */

static void limit_value(struct pbuf *b, uint64_t v)
{
    if (v == RLIM64_INFINITY)
        pb_printf(b, "%-20s ", "unlimited");
    else
        pb_printf(b, "%-20lu ", (unsigned long)v);
}

int proc_show_limits(struct pbuf *b, const struct proc_ctx *c)
{
    static const struct {
        int resource;
        const char *name, *unit;
    } rows[] = {
        {RLIMIT_CPU, "Max cpu time", "seconds"},
        {RLIMIT_FSIZE, "Max file size", "bytes"},
        {RLIMIT_DATA, "Max data size", "bytes"},
        {RLIMIT_STACK, "Max stack size", "bytes"},
        {RLIMIT_CORE, "Max core file size", "bytes"},
        {RLIMIT_RSS, "Max resident set", "bytes"},
        {RLIMIT_NPROC, "Max processes", "processes"},
        {RLIMIT_NOFILE, "Max open files", "files"},
        {RLIMIT_MEMLOCK, "Max locked memory", "bytes"},
        {RLIMIT_AS, "Max address space", "bytes"},
        {RLIMIT_LOCKS, "Max file locks", "locks"},
        {RLIMIT_SIGPENDING, "Max pending signals", "signals"},
        {RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes"},
        {RLIMIT_NICE, "Max nice priority", ""},
        {RLIMIT_RTPRIO, "Max realtime priority", ""},
        {RLIMIT_RTTIME, "Max realtime timeout", "us"},
    };
    pb_printf(b, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        lock_acquire(&c->p->sig_lock);
        struct rlimit64 l = c->p->rlimits ? c->p->rlimits[rows[i].resource]
                                          : (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
        lock_release(&c->p->sig_lock);
        pb_printf(b, "%-25s ", rows[i].name);
        limit_value(b, l.rlim_cur);
        limit_value(b, l.rlim_max);
        pb_printf(b, "%-10s\n", rows[i].unit);
    }
    return 0;
}

int proc_show_io(struct pbuf *b, const struct proc_ctx *c)
{
    struct io_usage u;
    if (c->one_thread && c->t)
        u = c->t->io;
    else
        process_io_usage(c->p, &u);
    pb_printf(b, "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\n", (unsigned long)u.read_bytes,
              (unsigned long)u.write_bytes, (unsigned long)u.reads, (unsigned long)u.writes);
    pb_str(b, "read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
    return 0;
}

static void sched_row(struct pbuf *b, const char *name, int64_t v)
{
    pb_printf(b, "%-45s:%21lld\n", name, (long long)v);
}

static void sched_row_ms(struct pbuf *b, const char *name, int64_t ns)
{
    pb_printf(b, "%-45s:%14lld.%06lld\n", name, (long long)(ns / 1000000),
              (long long)(ns % 1000000));
}

int proc_show_sched(struct pbuf *b, const struct proc_ctx *c)
{
    char comm[16] = "";
    struct times tm;
    if (!c->t)
        return -ESRCH;
    task_comm(c->t, comm);
    times_get(c, &tm);
    pb_printf(b, "%s (%d, #threads: %u)\n", comm, task_nr_of(c->t, c->ns), c->p->task_count);
    pb_str(b, "-------------------------------------------------------------------\n");
    sched_row_ms(b, "se.exec_start", time_now());
    sched_row_ms(b, "se.vruntime", tm.utime + tm.stime);
    sched_row_ms(b, "se.sum_exec_runtime", tm.utime + tm.stime);
    sched_row(b, "se.nr_migrations", 0);
    sched_row(b, "nr_switches", c->t->nvcsw + c->t->nivcsw);
    sched_row(b, "nr_voluntary_switches", c->t->nvcsw);
    sched_row(b, "nr_involuntary_switches", c->t->nivcsw);
    sched_row(b, "se.load.weight", 1048576);
    sched_row(b, "policy", c->t->sched_policy);
    sched_row(b, "prio", c->t->sched_priority ? 99 - c->t->sched_priority : 120 + c->t->nice);
    sched_row(b, "clock-delta", 0);
    return 0;
}

int proc_show_schedstat(struct pbuf *b, const struct proc_ctx *c)
{
    struct times tm;
    times_get(c, &tm);
    pb_printf(b, "%ld 0 %lu\n", (long)(tm.utime + tm.stime),
              c->t ? (unsigned long)(c->t->nvcsw + c->t->nivcsw) : 0ul);
    return 0;
}
