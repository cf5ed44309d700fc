/* /proc/sys. Numbers that nobody inside could change for real are kept all the same, so that a
 * program that sets one reads back what it set. */
#include "fs/proc/proc_priv.h"

#include "base/host.h"
#include "ipc/ipc.h"
#include "kernel/kernel.h"

#include <ctype.h>

/* ---- one number ---- */

struct number {
    int64_t value; /* atomic */
    int64_t min, max;
};

struct knob {
    int64_t *at; /* atomic */
    int64_t min, max;
};

static int show_number(struct pbuf *b, const struct proc_ctx *c)
{
    struct number *n = c->e->data;
    pb_printf(b, "%lld\n", (long long)__atomic_load_n(&n->value, __ATOMIC_RELAXED));
    return 0;
}

static int write_number(const struct proc_ctx *c, char *text, size_t size)
{
    struct number *n = c->e->data;
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 0);
    while (isspace((unsigned char)*end))
        end++;
    if (end == text || *end || errno || v < n->min || v > n->max)
        return -EINVAL;
    __atomic_store_n(&n->value, v, __ATOMIC_RELAXED);
    return 0;
}

static int show_unsigned(struct pbuf *b, const struct proc_ctx *c)
{
    const struct knob *k = c->e->data;
    pb_printf(b, "%llu\n", (unsigned long long)__atomic_load_n(k->at, __ATOMIC_RELAXED));
    return 0;
}

static int write_unsigned(const struct proc_ctx *c, char *text, size_t size)
{
    const struct knob *k = c->e->data;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    while (isspace((unsigned char)*end))
        end++;
    if (end == text || *end || errno || *text == '-')
        return -EINVAL;
    __atomic_store_n(k->at, (int64_t)v, __ATOMIC_RELAXED);
    return 0;
}

/* SEMMSL, SEMMNS, SEMOPM, SEMMNI; fewer than four leave the rest. */
static int show_sem(struct pbuf *b, const struct proc_ctx *c)
{
    const int64_t *l = g_ipc_limits.sem;
    pb_printf(b, "%lld\t%lld\t%lld\t%lld\n", (long long)ipc_limit(&l[0]),
              (long long)ipc_limit(&l[1]), (long long)ipc_limit(&l[2]),
              (long long)ipc_limit(&l[3]));
    return 0;
}

static int write_sem(const struct proc_ctx *c, char *text, size_t size)
{
    long long v[4];
    int n = sscanf(text, "%lld %lld %lld %lld", &v[0], &v[1], &v[2], &v[3]);
    if (n < 1)
        return -EINVAL;
    for (int i = 0; i < n; i++)
        if (v[i] < 0 || v[i] > (i == 3 ? 32768 : INT32_MAX))
            return -EINVAL;
    for (int i = 0; i < n; i++)
        __atomic_store_n(&g_ipc_limits.sem[i], v[i], __ATOMIC_RELAXED);
    return 0;
}

/* ---- fixed texts ---- */

static int show_text(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%s\n", (const char *)c->e->data);
    return 0;
}

static int write_ignored(const struct proc_ctx *c, char *text, size_t size)
{
    return 0;
}

/* ---- names of the machine ---- */

/* Rows hold the field's offset; which namespace is meant depends on who asks. */
static struct uts_ns *uts_of(const struct proc_ctx *c)
{
    return c->caller ? c->caller->ns_set->uts : g_kernel.root_uts_ns;
}

static int show_uts(struct pbuf *b, const struct proc_ctx *c)
{
    struct uts_ns *ns = uts_of(c);
    LOCK_GUARD(&ns->lock);
    pb_printf(b, "%s\n", (const char *)&ns->names + (uintptr_t)c->e->data);
    return 0;
}

static int write_uts(const struct proc_ctx *c, char *text, size_t size)
{
    struct uts_ns *ns = uts_of(c);
    if (c->caller && !cred_capable(c->caller->cred, ns->ns.owner, CAP_SYS_ADMIN))
        return -EPERM;
    LOCK_GUARD(&ns->lock);
    snprintf((char *)&ns->names + (uintptr_t)c->e->data, sizeof(ns->names.nodename), "%s", text);
    return 0;
}

/* ---- numbers that other rooms go by ---- */

static int show_knob(struct pbuf *b, const struct proc_ctx *c)
{
    const struct knob *k = c->e->data;
    pb_printf(b, "%lld\n", (long long)__atomic_load_n(k->at, __ATOMIC_RELAXED));
    return 0;
}

static int write_knob(const struct proc_ctx *c, char *text, size_t size)
{
    const struct knob *k = c->e->data;
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 0);
    if (end == text || errno || v < k->min || v > k->max)
        return -EINVAL;
    __atomic_store_n(k->at, v, __ATOMIC_RELAXED);
    return 0;
}

/* ---- computed ---- */

static void put_uuid(struct pbuf *b, const uint8_t *r)
{
    pb_printf(b, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n", r[0],
              r[1], r[2], r[3], r[4], r[5], (r[6] & 0x0f) | 0x40, r[7], (r[8] & 0x3f) | 0x80, r[9],
              r[10], r[11], r[12], r[13], r[14], r[15]);
}

static int show_uuid(struct pbuf *b, const struct proc_ctx *c)
{
    uint8_t r[16];
    int err = host_getrandom(r, sizeof(r));
    if (!err)
        put_uuid(b, r);
    return err;
}

static int show_boot_id(struct pbuf *b, const struct proc_ctx *c)
{
    static struct lock lock = LOCK_INITIALIZER(LR_LEAF);
    static uint8_t id[16]; /* lock: lock */
    static bool made;      /* lock: lock */
    LOCK_GUARD(&lock);
    int err = made ? 0 : host_getrandom(id, sizeof(id));
    made = err == 0;
    if (!err)
        put_uuid(b, id);
    return err;
}

static int show_pid_max(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%d\n", __atomic_load_n(&c->ns->pid_max, __ATOMIC_RELAXED));
    return 0;
}

static int write_int(const char *text, long min, long max, int *out)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 0);
    while (isspace((unsigned char)*end))
        end++;
    if (end == text || *end || errno || v < min || v > max)
        return -EINVAL;
    *out = v;
    return 0;
}

#define PIDS_LEAST 301
#define PIDS_MOST  4194304

static int write_pid_max(const struct proc_ctx *c, char *text, size_t size)
{
    int v, r = write_int(text, PIDS_LEAST, PIDS_MOST, &v);
    if (!r)
        __atomic_store_n(&c->ns->pid_max, v, __ATOMIC_RELAXED);
    return r;
}

static int show_last_pid(struct pbuf *b, const struct proc_ctx *c)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    pb_printf(b, "%d\n", c->ns->last_pid);
    return 0;
}

static int write_last_pid(const struct proc_ctx *c, char *text, size_t size)
{
    int v, r = write_int(text, 0, PIDS_MOST, &v);
    if (r)
        return r;
    if (!cred_has_cap(c->caller->cred, CAP_SYS_ADMIN) &&
        !cred_has_cap(c->caller->cred, CAP_CHECKPOINT_RESTORE))
        return -EPERM;
    LOCK_GUARD(&g_kernel.tasks_lock);
    c->ns->last_pid = MIN(v, c->ns->pid_max - 1);
    return 0;
}

/* ---- a few numbers in a row ---- */

struct numbers {
    struct lock lock;
    int count;
    int v[4]; /* lock: lock */
};
static struct numbers g_printk = {LOCK_INITIALIZER(LR_LEAF), 4, {4, 4, 1, 7}};
static struct numbers g_acct_levels = {LOCK_INITIALIZER(LR_LEAF), 3, {4, 2, 30}};

static int show_numbers(struct pbuf *b, const struct proc_ctx *c)
{
    struct numbers *n = c->e->data;
    LOCK_GUARD(&n->lock);
    for (int i = 0; i < n->count; i++)
        pb_printf(b, i ? "\t%d" : "%d", n->v[i]);
    pb_str(b, "\n");
    return 0;
}

static int write_numbers(const struct proc_ctx *c, char *text, size_t size)
{
    struct numbers *n = c->e->data;
    int v[4], given = 0;
    for (char *end; *text && given < n->count; text = end) {
        errno = 0;
        v[given] = strtol(text, &end, 0);
        if (end == text || errno)
            return -EINVAL;
        given++;
        while (isspace((unsigned char)*end))
            end++;
    }
    if (*text || !given)
        return -EINVAL;
    LOCK_GUARD(&n->lock);
    memcpy(n->v, v, given * sizeof(v[0]));
    return 0;
}

static int show_file_nr(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%lld\t0\t%lld\n", (long long)vfs_file_count(), (long long)g_vfs_knobs.file_max);
    return 0;
}

static int show_aio_nr(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%llu\n", (unsigned long long)aio_count());
    return 0;
}

/* ---- core files ---- */

static int show_core_pattern(struct pbuf *b, const struct proc_ctx *c)
{
    char pattern[CORE_PATTERN_SIZE];
    core_pattern_get(pattern);
    pb_printf(b, "%s\n", pattern);
    return 0;
}

static int write_core_pattern(const struct proc_ctx *c, char *text, size_t size)
{
    core_pattern_set(text);
    return 0;
}

static int show_core_uses_pid(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%d\n", core_uses_pid_get());
    return 0;
}

static int write_core_uses_pid(const struct proc_ctx *c, char *text, size_t size)
{
    if (strcmp(text, "0") && strcmp(text, "1"))
        return -EINVAL;
    core_uses_pid_set(text[0] == '1');
    return 0;
}

/* ---- the tables ---- */

#define NUM(n, v, lo, hi)                                                                          \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_number, .write = write_number,           \
        .data = &(struct number)                                                                   \
        {                                                                                          \
            (v), (lo), (hi)                                                                        \
        }                                                                                          \
    }
#define KNOB_UNSIGNED(n, var)                                                                      \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_unsigned, .write = write_unsigned,       \
        .data = &(struct knob)                                                                     \
        {                                                                                          \
            &(var), 0, 0                                                                           \
        }                                                                                          \
    }
#define NUMBERS(n, var)                                                                            \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_numbers, .write = write_numbers,         \
        .data = &(var)                                                                             \
    }
#define KNOB(n, var, lo, hi)                                                                       \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_knob, .write = write_knob,               \
        .data = &(struct knob)                                                                     \
        {                                                                                          \
            &(var), (lo), (hi)                                                                     \
        }                                                                                          \
    }
#define TEXT(n, t)                                                                                 \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0444, .show = show_text, .data = (char[])                   \
        {                                                                                          \
            t                                                                                      \
        }                                                                                          \
    }
#define TEXT_RW(n, t)                                                                              \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_text, .write = write_ignored,            \
        .data = (char[])                                                                           \
        {                                                                                          \
            t                                                                                      \
        }                                                                                          \
    }
#define UTS(n, m, field)                                                                           \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | (m), .show = show_uts, .write = write_uts,                  \
        .data = (void *)offsetof(struct uts, field)                                                                 \
    }

static const struct proc_entry g_random[] = {
    PROC_FILE("uuid", 0444, show_uuid),
    PROC_FILE("boot_id", 0444, show_boot_id),
    TEXT("entropy_avail", "256"),
    TEXT("poolsize", "256"),
    NUM("write_wakeup_threshold", 256, 0, 4096),
    NUM("urandom_min_reseed_secs", 60, 0, INT32_MAX),
    {0},
};

static const struct proc_entry g_keys[] = {
    NUM("maxkeys", 200, 0, INT32_MAX), NUM("maxbytes", 20000, 0, INT32_MAX), {0}};
static const struct proc_entry g_pty[] = {
    NUM("max", 4096, 0, 4096), TEXT("nr", "0"), NUM("reserve", 1024, 0, 4096), {0}};

static const struct proc_entry g_kernel_entries[] = {
    UTS("ostype", 0444, sysname),
    UTS("osrelease", 0444, release),
    UTS("version", 0444, version),
    UTS("hostname", 0644, nodename),
    UTS("domainname", 0644, domainname),
    PROC_DIR("random", 0555, g_random),
    PROC_DIR("keys", 0555, g_keys),
    PROC_DIR("pty", 0555, g_pty),
    PROC_FILE_RW("pid_max", 0644, show_pid_max, write_pid_max),
    PROC_FILE_RW("ns_last_pid", 0666, show_last_pid, write_last_pid),
    NUMBERS("printk", g_printk),
    NUMBERS("acct", g_acct_levels),
    NUM("auto_msgmni", 0, 0, 1),
    TEXT("bootloader_type", "0"),
    TEXT("bootloader_version", "0"),
    NUM("cad_pid", 1, 1, 4194304),
    TEXT_RW("core_modes", "core"),
    NUM("ctrl-alt-del", 0, 0, INT32_MAX),
    NUM("hardlockup_panic", 0, 0, 1),
    NUM("hung_task_all_cpu_backtrace", 0, 0, 1),
    NUM("hung_task_check_count", 4194304, 0, INT32_MAX),
    NUM("hung_task_check_interval_secs", 0, 0, INT32_MAX),
    NUM("hung_task_panic", 0, 0, 1),
    NUM("hung_task_warnings", 10, -1, INT32_MAX),
    NUM("io_delay_type", 0, 0, 3),
    NUM("io_uring_group", -1, -1, INT32_MAX),
    NUM("kexec_load_disabled", 1, 1, 1),
    NUM("max_lock_depth", 1024, 0, INT32_MAX),
    TEXT_RW("modprobe", "/sbin/modprobe"),
    NUM("modules_disabled", 1, 1, 1),
    NUM("nmi_watchdog", 0, 0, 1),
    NUM("numa_balancing", 0, 0, 2),
    NUM("oops_all_cpu_backtrace", 0, 0, 1),
    NUM("oops_limit", 10000, 0, INT32_MAX),
    NUM("panic_on_io_nmi", 0, 0, 1),
    NUM("panic_on_oops", 0, 0, 1),
    NUM("panic_on_rcu_stall", 0, 0, 1),
    NUM("panic_on_unrecovered_nmi", 0, 0, 1),
    NUM("panic_on_warn", 0, 0, 1),
    NUM("panic_print", 0, 0, INT32_MAX),
    NUM("perf_cpu_time_max_percent", 25, 0, 100),
    NUM("perf_event_max_contexts_per_stack", 8, 0, 1000),
    NUM("perf_event_max_sample_rate", 100000, 1, INT32_MAX),
    NUM("perf_event_max_stack", 127, 0, 640),
    NUM("perf_event_mlock_kb", 516, 0, INT32_MAX),
    TEXT_RW("poweroff_cmd", "/sbin/poweroff"),
    NUM("print-fatal-signals", 0, 0, 1),
    NUM("printk_delay", 0, 0, 10000),
    TEXT_RW("printk_devkmsg", "on"),
    NUM("printk_ratelimit", 5, 0, INT32_MAX),
    NUM("printk_ratelimit_burst", 10, 0, INT32_MAX),
    NUM("sched_cfs_bandwidth_slice_us", 5000, 1, INT32_MAX),
    NUM("sched_deadline_period_max_us", 4194304, 0, INT32_MAX),
    NUM("sched_deadline_period_min_us", 100, 0, INT32_MAX),
    KNOB("sched_rr_timeslice_ms", g_sched_rr_timeslice_ms, 1, 10000),
    NUM("soft_watchdog", 0, 0, 1),
    NUM("softlockup_panic", 0, 0, 1),
    NUM("stack_tracer_enabled", 0, 0, 1),
    NUM("sysctl_writes_strict", 1, -1, 1),
    NUM("task_delayacct", 0, 0, 1),
    NUM("timer_migration", 1, 0, 1),
    NUM("unknown_nmi_panic", 0, 0, 1),
    NUM("warn_limit", 0, 0, INT32_MAX),
    NUM("watchdog", 0, 0, 1),
    NUM("watchdog_thresh", 10, 0, 60),
    NUM("threads-max", 63459, 1, INT32_MAX),
    TEXT("cap_last_cap", "40"),
    TEXT("ngroups_max", "65536"),
    TEXT("arch", "x86_64"),
    NUM("overflowuid", 65534, 0, 65535),
    NUM("overflowgid", 65534, 0, 65535),
    PROC_FILE_RW("core_pattern", 0644, show_core_pattern, write_core_pattern),
    PROC_FILE_RW("core_uses_pid", 0644, show_core_uses_pid, write_core_uses_pid),
    NUM("core_pipe_limit", 0, 0, INT32_MAX),
    KNOB("dmesg_restrict", g_dmesg_restrict, 0, 1),
    NUM("kptr_restrict", 1, 0, 2),
    KNOB("randomize_va_space", g_randomize_va_space, 0, 2),
    NUM("perf_event_paranoid", 4, -1, 4),
    NUM("unprivileged_bpf_disabled", 2, 0, 2),
    NUM("io_uring_disabled", 2, 0, 2),
    NUM("panic", 0, INT32_MIN, INT32_MAX),
    NUM("sched_child_runs_first", 0, 0, 1),
    NUM("sched_rt_period_us", 1000000, 1, INT32_MAX),
    NUM("sched_rt_runtime_us", 950000, -1, INT32_MAX),
    NUM("sched_autogroup_enabled", 0, 0, 1),
    NUM("sysrq", 0, 0, 511),
    NUM("tainted", 0, 0, INT32_MAX),
    KNOB("msgmax", g_ipc_limits.msg_max, 0, INT32_MAX),
    KNOB("msgmnb", g_ipc_limits.msg_queue_bytes, 0, INT32_MAX),
    KNOB("msgmni", g_ipc_limits.msg_count, 0, 32768),
    KNOB("msg_next_id", g_ipc_limits.msg_next, -1, INT32_MAX),
    {.name = "sem", .mode = S_IFREG | 0644, .show = show_sem, .write = write_sem},
    KNOB("sem_next_id", g_ipc_limits.sem_next, -1, INT32_MAX),
    KNOB_UNSIGNED("shmmax", g_ipc_limits.shm_max),
    KNOB_UNSIGNED("shmall", g_ipc_limits.shm_all),
    KNOB("shmmni", g_ipc_limits.shm_count, 0, 32768),
    KNOB("shm_next_id", g_ipc_limits.shm_next, -1, INT32_MAX),
    KNOB("shm_rmid_forced", g_ipc_limits.shm_rmid_forced, 0, 1),
    NUM("hung_task_timeout_secs", 120, 0, INT32_MAX),
    {0},
};

/* What is written here is done at once; there is nothing to read. */
#define TRIGGER(n)                                                                                 \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0200, .show = show_text, .write = write_trigger,            \
        .data = (char[]) { "" }                                                                    \
    }

static int write_trigger(const struct proc_ctx *c, char *text, size_t size)
{
    char *end;
    long v = strtol(text, &end, 0);
    return end == text || v < 1 || v > 4 ? -EINVAL : 0;
}

static const struct proc_entry g_vm_entries[] = {
    NUM("admin_reserve_kbytes", 8192, 0, INT64_MAX),
    TRIGGER("compact_memory"),
    NUM("compact_unevictable_allowed", 1, 0, 1),
    NUM("compaction_proactiveness", 20, 0, 100),
    NUM("dirty_background_bytes", 0, 0, INT64_MAX),
    NUM("dirty_background_ratio", 10, 0, 100),
    NUM("dirty_bytes", 0, 0, INT64_MAX),
    NUM("dirty_expire_centisecs", 3000, 0, INT32_MAX),
    NUM("dirty_ratio", 20, 0, 100),
    NUM("dirty_writeback_centisecs", 500, 0, INT32_MAX),
    NUM("dirtytime_expire_seconds", 43200, 0, INT32_MAX),
    TRIGGER("drop_caches"),
    NUM("extfrag_threshold", 500, 0, 1000),
    NUM("hugetlb_optimize_vmemmap", 0, 0, 1),
    NUM("hugetlb_shm_group", 0, 0, INT32_MAX),
    NUM("laptop_mode", 0, 0, INT32_MAX),
    NUM("legacy_va_layout", 0, 0, 1),
    TEXT_RW("lowmem_reserve_ratio", "256\t256\t32\t0\t0"),
    KNOB("max_map_count", g_mm_knobs.max_map_count, 0, INT32_MAX),
    KNOB("memfd_noexec", g_vfs_knobs.memfd_noexec, 0, 2),
    NUM("min_free_kbytes", 67584, 0, INT32_MAX),
    NUM("min_slab_ratio", 5, 0, 100),
    NUM("min_unmapped_ratio", 1, 0, 100),
    NUM("mmap_min_addr", 65536, 0, INT32_MAX),
    NUM("mmap_rnd_bits", 28, 28, 32),
    TEXT_RW("nr_hugepages", "0"),
    TEXT_RW("nr_hugepages_mempolicy", "0"),
    NUM("nr_overcommit_hugepages", 0, 0, INT64_MAX),
    NUM("numa_stat", 1, 0, 1),
    TEXT_RW("numa_zonelist_order", "Node"),
    NUM("oom_dump_tasks", 1, 0, 1),
    NUM("oom_kill_allocating_task", 0, 0, 1),
    KNOB("overcommit_kbytes", g_mm_knobs.overcommit_kbytes, 0, INT64_MAX >> 10),
    KNOB("overcommit_memory", g_mm_knobs.overcommit_memory, 0, 2),
    KNOB("overcommit_ratio", g_mm_knobs.overcommit_ratio, 0, INT32_MAX),
    NUM("page-cluster", 3, 0, 31),
    NUM("page_lock_unfairness", 5, 0, INT32_MAX),
    NUM("panic_on_oom", 0, 0, 2),
    NUM("percpu_pagelist_high_fraction", 0, 0, INT32_MAX),
    NUM("stat_interval", 1, 1, INT32_MAX),
    NUM("swappiness", 60, 0, 200),
    KNOB("unprivileged_userfaultfd", g_mm_knobs.unprivileged_userfaultfd, 0, 1),
    NUM("user_reserve_kbytes", 100461, 0, INT64_MAX),
    NUM("vfs_cache_pressure", 100, 0, INT32_MAX),
    NUM("watermark_boost_factor", 15000, 0, INT32_MAX),
    NUM("watermark_scale_factor", 10, 1, 3000),
    NUM("zone_reclaim_mode", 0, 0, 7),
    {0},
};

static const struct proc_entry g_inotify[] = {
    KNOB("max_queued_events", g_vfs_knobs.inotify_events, 0, INT32_MAX),
    KNOB("max_user_instances", g_vfs_knobs.inotify_instances, 0, INT32_MAX),
    KNOB("max_user_watches", g_vfs_knobs.inotify_watches, 0, INT32_MAX),
    {0},
};
static const struct proc_entry g_fanotify[] = {
    KNOB("max_queued_events", g_vfs_knobs.fanotify_events, 0, INT32_MAX),
    KNOB("max_user_groups", g_vfs_knobs.fanotify_groups, 0, INT32_MAX),
    KNOB("max_user_marks", g_vfs_knobs.fanotify_marks, 0, INT32_MAX),
    {0},
};
static const struct proc_entry g_mqueue[] = {
    KNOB("msg_default", g_ipc_limits.mq_default_messages, 1, 65536),
    KNOB("msg_max", g_ipc_limits.mq_messages, 1, 65536),
    KNOB("msgsize_default", g_ipc_limits.mq_default_size, 128, 1 << 24),
    KNOB("msgsize_max", g_ipc_limits.mq_size, 128, 1 << 24),
    KNOB("queues_max", g_ipc_limits.mq_queues, 0, INT32_MAX),
    {0},
};
static const struct proc_entry g_epoll[] = {
    KNOB("max_user_watches", g_vfs_knobs.epoll_max_user_watches, 0, INT32_MAX), {0}};

static const struct proc_entry g_fs_entries[] = {
    KNOB("file-max", g_vfs_knobs.file_max, 0, INT64_MAX),
    PROC_FILE("file-nr", 0444, show_file_nr),
    NUM("nr_open", 1048576, 8, 1048576),
    KNOB("pipe-max-size", g_vfs_knobs.pipe_max_size, 4096, 1 << 30),
    KNOB("pipe-user-pages-soft", g_vfs_knobs.pipe_user_pages_soft, 0, INT64_MAX),
    KNOB("pipe-user-pages-hard", g_vfs_knobs.pipe_user_pages_hard, 0, INT64_MAX),
    TEXT("inode-nr", "1000\t0"),
    TEXT("inode-state", "1000\t0\t0\t0\t0\t0\t0"),
    TEXT("dentry-state", "1000\t500\t45\t0\t500\t0"),
    KNOB("dir-notify-enable", g_vfs_knobs.dir_notify_enable, 0, 1),
    KNOB("lease-break-time", g_vfs_knobs.lease_break_time, 0, INT32_MAX),
    KNOB("leases-enable", g_vfs_knobs.leases_enable, 0, 1),
    NUM("mount-max", 100000, 1, INT32_MAX),
    KNOB("protected_fifos", g_vfs_knobs.protected_fifos, 0, 2),
    KNOB("protected_hardlinks", g_vfs_knobs.protected_hardlinks, 0, 1),
    KNOB("protected_regular", g_vfs_knobs.protected_regular, 0, 2),
    KNOB("protected_symlinks", g_vfs_knobs.protected_symlinks, 0, 1),
    NUM("suid_dumpable", 0, 0, 2),
    NUM("overflowuid", 65534, 0, 65535),
    NUM("overflowgid", 65534, 0, 65535),
    KNOB("aio-max-nr", g_vfs_knobs.aio_max_nr, 0, INT64_MAX),
    PROC_DIR("fanotify", 0555, g_fanotify),
    PROC_FILE("aio-nr", 0444, show_aio_nr),
    PROC_DIR("inotify", 0555, g_inotify),
    PROC_DIR("mqueue", 0555, g_mqueue),
    PROC_DIR("epoll", 0555, g_epoll),
    {0},
};

static const struct proc_entry g_user_entries[] = {
    KNOB("max_cgroup_namespaces", g_ns_max[NS_CGROUP], 0, INT32_MAX),
    KNOB("max_ipc_namespaces", g_ns_max[NS_IPC], 0, INT32_MAX),
    KNOB("max_mnt_namespaces", g_ns_max[NS_MNT], 0, INT32_MAX),
    KNOB("max_net_namespaces", g_ns_max[NS_NET], 0, INT32_MAX),
    KNOB("max_pid_namespaces", g_ns_max[NS_PID], 0, INT32_MAX),
    KNOB("max_user_namespaces", g_ns_max[NS_USER], 0, INT32_MAX),
    KNOB("max_uts_namespaces", g_ns_max[NS_UTS], 0, INT32_MAX),
    {0},
};

static const struct proc_entry g_dev_tty[] = {
    KNOB("legacy_tiocsti", g_vfs_knobs.legacy_tiocsti, 0, 1), NUM("ldisc_autoload", 1, 0, 1), {0}};
static const struct proc_entry g_dev_entries[] = {PROC_DIR("tty", 0555, g_dev_tty), {0}};

const struct proc_entry g_proc_sys_entries[] = {
    PROC_DIR("kernel", 0555, g_kernel_entries), PROC_DIR("vm", 0555, g_vm_entries),
    PROC_DIR("fs", 0555, g_fs_entries),         PROC_DIR("net", 0555, g_proc_sys_net_entries),
    PROC_DIR("user", 0555, g_user_entries),     PROC_DIR("dev", 0555, g_dev_entries),
    {0},
};

/* One name of the path, which ends at a dot or a slash: sysctl(8) takes both. */
static const struct proc_entry *sysctl_step(const struct proc_entry *dir, const char **path)
{
    size_t n = strcspn(*path, "./");
    for (; dir->name; dir++)
        if (strlen(dir->name) == n && !strncmp(dir->name, *path, n))
            break;
    *path += n + ((*path)[n] != 0);
    return dir->name ? dir : NULL;
}

int procfs_sysctl_set(const char *name, char *value)
{
    const struct proc_entry *dir = g_proc_sys_entries, *e = NULL;
    while (*name) {
        e = dir ? sysctl_step(dir, &name) : NULL;
        if (!e)
            return -ENOENT;
        dir = S_ISDIR(e->mode) ? e->children : NULL;
    }
    struct proc_ctx c = {.ns = g_kernel.root_pid_ns, .e = e};
    return e && e->write ? e->write(&c, value, strlen(value)) : -EACCES;
}
