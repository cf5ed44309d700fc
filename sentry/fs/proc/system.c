/* The files of /proc that are about the whole sandbox. */
#include "fs/proc/proc_priv.h"

#include "ipc/ipc.h"
#include "kernel/kernel.h"
#include "time/time.h"

#include <sys/sysmacros.h>

#define USER_HZ 100

static uint64_t memory_total(void)
{
    return g_kernel.memory_limit ? g_kernel.memory_limit : 1ull << 31;
}

static int show_keys(struct pbuf *b, const struct proc_ctx *c)
{
    char line[4096 + 128];
    int serial = 0, n;
    while (c->caller && (n = key_proc_line(c->caller, serial, &serial, line, sizeof(line))) >= 0)
        pb_write(b, line, n);
    return 0;
}

static int show_key_users(struct pbuf *b, const struct proc_ctx *c)
{
    char line[128];
    uint32_t uid = 0;
    int64_t after = -1;
    for (int n; (n = key_users_proc_line(after, &uid, line, sizeof(line))) >= 0; after = uid)
        pb_write(b, line, n);
    return 0;
}

static int show_meminfo(struct pbuf *b, const struct proc_ctx *c)
{
    uint64_t total = memory_total(), used = MIN(memfile_used(), total), left = total - used;
    const struct {
        const char *name;
        uint64_t bytes;
    } rows[] = {
        {"MemTotal", total},
        {"MemFree", left},
        {"MemAvailable", left},
        {"Buffers", 0},
        {"Cached", used / 4},
        {"SwapCached", 0},
        {"Active", used / 2},
        {"Inactive", used / 2},
        {"Active(anon)", used / 2},
        {"Inactive(anon)", 0},
        {"Active(file)", 0},
        {"Inactive(file)", used / 4},
        {"Unevictable", 0},
        {"Mlocked", 0},
        {"SwapTotal", 0},
        {"SwapFree", 0},
        {"Dirty", 0},
        {"Writeback", 0},
        {"AnonPages", used},
        {"Mapped", used / 4},
        {"Shmem", 0},
        {"KReclaimable", 0},
        {"Slab", 0},
        {"SReclaimable", 0},
        {"SUnreclaim", 0},
        {"KernelStack", 0},
        {"PageTables", 0},
        {"NFS_Unstable", 0},
        {"Bounce", 0},
        {"WritebackTmp", 0},
        {"CommitLimit", mm_commit_limit()},
        {"Committed_AS", mm_committed()},
        {"VmallocTotal", 1ull << 45},
        {"VmallocUsed", 0},
        {"VmallocChunk", 0},
        {"Percpu", 0},
        {"AnonHugePages", 0},
        {"ShmemHugePages", 0},
        {"ShmemPmdMapped", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char label[32];
        snprintf(label, sizeof(label), "%s:", rows[i].name);
        pb_printf(b, "%-15s %8lu kB\n", label, (unsigned long)(rows[i].bytes / 1024));
    }
    pb_str(b,
           "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
           "HugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n");
    return 0;
}

/* ---- time used ---- */

struct totals {
    int64_t utime, stime, uptime; /* uptime: the host's, as sysinfo and CLOCK_BOOTTIME */
    unsigned running, threads;
    int last_pid;
};

static int64_t tv_ns(struct timeval tv)
{
    return tv.tv_sec * NSEC_PER_SEC + tv.tv_usec * 1000;
}

static void totals_get(struct totals *out)
{
    struct process *p;
    *out = (struct totals){0};
    (void)time_clock_get(CLOCK_BOOTTIME, &out->uptime);
    for (int pid = 0; (p = process_next(pid));) {
        int64_t u, s;
        pid = p->pid;
        process_cpu_times(p, &u, &s);
        lock_acquire(&p->sig_lock); /* what was reaped lives on in who reaped it */
        out->utime += u + tv_ns(p->child_usage.ru_utime);
        out->stime += s + tv_ns(p->child_usage.ru_stime);
        lock_release(&p->sig_lock);
        out->threads += p->task_count;
        out->running += process_state_char(p) == 'R';
        out->last_pid = MAX(out->last_pid, pid);
        process_put(p);
    }
}

static long ticks(int64_t ns)
{
    return MAX(ns, (int64_t)0) / (NSEC_PER_SEC / USER_HZ);
}

static unsigned cpus(void)
{
    return MAX(g_kernel.cpu_count, 1u);
}

static int show_stat(struct pbuf *b, const struct proc_ctx *c)
{
    struct totals t;
    totals_get(&t);
    int64_t idle = MAX(t.uptime * cpus() - t.utime - t.stime, (int64_t)0);
    pb_printf(b, "cpu  %ld 0 %ld %ld 0 0 0 0 0 0\n", ticks(t.utime), ticks(t.stime), ticks(idle));
    for (unsigned i = 0; i < cpus(); i++)
        pb_printf(b, "cpu%u %ld 0 %ld %ld 0 0 0 0 0 0\n", i, ticks(t.utime / cpus()),
                  ticks(t.stime / cpus()), ticks(idle / cpus()));
    pb_printf(b, "intr 0\nctxt 0\nbtime %lld\nprocesses %lu\nprocs_running %u\nprocs_blocked 0\n",
              (long long)((time_realtime() - t.uptime) / NSEC_PER_SEC),
              (unsigned long)__atomic_load_n(&g_kernel.forks, __ATOMIC_RELAXED) + 1,
              MAX(t.running, 1u));
    pb_str(b, "softirq 0 0 0 0 0 0 0 0 0 0 0\n");
    return 0;
}

static int show_uptime(struct pbuf *b, const struct proc_ctx *c)
{
    struct totals t;
    totals_get(&t);
    int64_t idle = MAX(t.uptime * cpus() - t.utime - t.stime, (int64_t)0);
    /* two decimals of seconds, as the clocks that the guest reads */
    pb_printf(b, "%ld.%02ld %ld.%02ld\n", ticks(t.uptime) / 100, ticks(t.uptime) % 100,
              ticks(idle) / 100, ticks(idle) % 100);
    return 0;
}

/* The load averages decay when somebody looks, not by a timer: between two looks the load was the
 * processor time used per time passed. */
static struct {
    struct lock lock; /* LR_LEAF */
    double load[3];   /* lock: lock */
    int64_t at, used; /* lock: lock; of the last look */
} g_load = {.lock = LOCK_INITIALIZER(LR_LEAF)};

static double decay(double x) /* e^-x, near enough */
{
    return 1 / (1 + x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4))));
}

static void load_update(const struct totals *t, double out[3])
{
    static const double minutes[3] = {60, 300, 900};
    int64_t now = time_now(), used = t->utime + t->stime;
    LOCK_GUARD(&g_load.lock);
    int64_t since = g_load.at ? g_load.at : g_kernel.boot_ns;
    double passed = (double)(now - since) / NSEC_PER_SEC;
    double load = passed > 0 ? (double)MAX(used - g_load.used, (int64_t)0) / (now - since) : 0;
    for (int i = 0; i < 3; i++) {
        double keep = decay(MAX(passed, 0.0) / minutes[i]);
        out[i] = g_load.load[i] = g_load.load[i] * keep + load * (1 - keep);
    }
    g_load.at = now;
    g_load.used = used;
}

static int show_loadavg(struct pbuf *b, const struct proc_ctx *c)
{
    struct totals t;
    double load[3];
    totals_get(&t);
    load_update(&t, load);
    pb_printf(b, "%.2f %.2f %.2f %u/%u %d\n", load[0], load[1], load[2], MAX(t.running, 1u),
              t.threads, c->ns->level ? c->ns->last_pid : t.last_pid);
    return 0;
}

/* ---- fixed and simple ones ---- */

static int show_version(struct pbuf *b, const struct proc_ctx *c)
{
    struct uts_ns *ns = c->caller ? c->caller->ns_set->uts : g_kernel.root_uts_ns;
    LOCK_GUARD(&ns->lock);
    const struct uts *u = &ns->names;
    pb_printf(b, "%s version %s (ringfence@sandbox) (gcc) %s\n", u->sysname, u->release,
              u->version);
    return 0;
}

static int show_cmdline(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "BOOT_IMAGE=/vmlinuz ro quiet\n");
    return 0;
}

static int show_filesystems(struct pbuf *b, const struct proc_ctx *c)
{
    for (const struct fs_type *const *t = g_fs_types; *t; t++)
        pb_printf(b, "%s\t%s\n", (*t)->nodev ? "nodev" : "", (*t)->name);
    return 0;
}

static int show_devices(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n"
              "136 pts\n\nBlock devices:\n");
    return 0;
}

static int show_swaps(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    return 0;
}

static int show_partitions(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "major minor  #blocks  name\n\n");
    return 0;
}

static int show_interrupts(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "          ");
    for (unsigned i = 0; i < cpus(); i++)
        pb_printf(b, " CPU%-8u", i);
    pb_str(b, "\n");
    return 0;
}

static int show_cgroups(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    return 0;
}

static int show_diskstats(struct pbuf *b, const struct proc_ctx *c)
{
    return 0;
}

static int show_misc(struct pbuf *b, const struct proc_ctx *c)
{
    return 0;
}

struct lock_lines {
    struct pbuf *b;
    struct pid_ns *ns;
    unsigned n;
};

static void lock_line(struct inode *i, bool flock, bool ofd, const struct flock_k *l, void *arg)
{
    struct lock_lines *o = arg;
    pb_printf(o->b, "%u: %s  ADVISORY  %s %d %02x:%02x:%lu %lld ", ++o->n,
              flock ? "FLOCK"
              : ofd ? "OFDLCK"
                    : "POSIX",
              l->type == 1 /* F_WRLCK */ ? "WRITE" : "READ", pid_id_to(o->ns, l->pid), major(i->sb->dev),
              minor(i->sb->dev), (unsigned long)i->ino, (long long)l->start);
    if (l->end == INT64_MAX)
        pb_str(o->b, "EOF\n");
    else
        pb_printf(o->b, "%lld\n", (long long)l->end);
}

static int show_locks(struct pbuf *b, const struct proc_ctx *c)
{
    struct lock_lines o = {.b = b, .ns = c->ns};
    locks_for_each(lock_line, &o);
    return 0;
}

/* ---- System V IPC ---- */

static int sysvipc(struct pbuf *b, int kind, const char *head)
{
    char line[512];
    unsigned index = 0;
    int n;
    pb_str(b, head);
    while ((n = ipc_proc_line(kind, &index, line, sizeof(line))) > 0)
        pb_write(b, line, MIN(n, (int)sizeof(line)));
    return 0;
}

static int show_sem(struct pbuf *b, const struct proc_ctx *c)
{
    return sysvipc(b, 0,
                   "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      "
                   "ctime\n");
}

static int show_msg(struct pbuf *b, const struct proc_ctx *c)
{
    return sysvipc(b, 1,
                   "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  "
                   "cuid  cgid      stime      rtime      ctime\n");
}

static int show_shm(struct pbuf *b, const struct proc_ctx *c)
{
    return sysvipc(
        b, 2,
        "       key      shmid perms                  size  cpid  lpid nattch   uid   "
        "gid  cuid  cgid      atime      dtime      ctime                   rss          "
        "        swap\n");
}

static const struct proc_entry g_sysvipc[] = {
    PROC_FILE("msg", 0444, show_msg),
    PROC_FILE("sem", 0444, show_sem),
    PROC_FILE("shm", 0444, show_shm),
    {0},
};

static int show_consoles(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "tty0                 -WU (EC p  )    4:1\n");
    return 0;
}

static int write_ignored(const struct proc_ctx *c, char *text, size_t size)
{
    return 0;
}

/* ---- links ---- */

static int put_text(char *buf, size_t size, const char *text)
{
    size_t n = MIN(strlen(text), size);
    memcpy(buf, text, n);
    return n;
}

static int read_self(const struct proc_ctx *c, char *buf, size_t size)
{
    char text[16];
    int nr = c->caller ? process_nr(c->caller->process, c->ns) : 0;
    if (!nr)
        return -ENOENT;
    snprintf(text, sizeof(text), "%d", nr);
    return put_text(buf, size, text);
}

static int read_thread_self(const struct proc_ctx *c, char *buf, size_t size)
{
    char text[40];
    int nr = c->caller ? process_nr(c->caller->process, c->ns) : 0;
    if (!nr)
        return -ENOENT;
    snprintf(text, sizeof(text), "%d/task/%d", nr, task_nr(c->caller, c->ns));
    return put_text(buf, size, text);
}

static int read_mounts(const struct proc_ctx *c, char *buf, size_t size)
{
    return put_text(buf, size, "self/mounts");
}

static int read_net(const struct proc_ctx *c, char *buf, size_t size)
{
    return put_text(buf, size, "self/net");
}

const struct proc_entry g_proc_root_entries[] = {
    PROC_LINK("self", read_self),
    PROC_LINK("thread-self", read_thread_self),
    PROC_LINK("mounts", read_mounts),
    PROC_LINK("net", read_net),
    PROC_DIR("sys", 0555, g_proc_sys_entries),
    PROC_DIR("sysvipc", 0555, g_sysvipc),
    PROC_FILE("buddyinfo", 0444, proc_show_buddyinfo),
    PROC_FILE("cgroups", 0444, show_cgroups),
    PROC_FILE("cmdline", 0444, show_cmdline),
    PROC_FILE("cpuinfo", 0444, proc_show_cpuinfo),
    PROC_FILE("consoles", 0444, show_consoles),
    PROC_FILE("crypto", 0444, show_misc),
    PROC_FILE("devices", 0444, show_devices),
    PROC_FILE("diskstats", 0444, show_diskstats),
    PROC_FILE("filesystems", 0444, show_filesystems),
    PROC_FILE("interrupts", 0444, show_interrupts),
    PROC_FILE("key-users", 0444, show_key_users),
    PROC_FILE("keys", 0444, show_keys),
    PROC_FILE("loadavg", 0444, show_loadavg),
    PROC_FILE("locks", 0444, show_locks),
    PROC_FILE("meminfo", 0444, show_meminfo),
    PROC_FILE("misc", 0444, show_misc),
    PROC_FILE("modules", 0444, show_misc),
    PROC_FILE("partitions", 0444, show_partitions),
    PROC_FILE("stat", 0444, show_stat),
    PROC_FILE("softirqs", 0444, show_interrupts),
    PROC_FILE("swaps", 0444, show_swaps),
    PROC_FILE_RW("sysrq-trigger", 0200, show_misc, write_ignored),
    PROC_FILE("uptime", 0444, show_uptime),
    PROC_FILE("version", 0444, show_version),
    PROC_FILE("vmstat", 0444, proc_show_vmstat),
    PROC_FILE("iomem", 0444, proc_show_iomem),
    PROC_FILE("pagetypeinfo", 0400, proc_show_pagetypeinfo),
    PROC_FILE("slabinfo", 0400, proc_show_slabinfo),
    PROC_FILE("zoneinfo", 0444, proc_show_zoneinfo),
    {0},
};
