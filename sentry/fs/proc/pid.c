/* /proc/PID and /proc/PID/task/TID: the table, and the small files and links. */
#include "fs/proc/proc_priv.h"

#include "kernel/kernel.h"

#include <limits.h>

static int show_comm(struct pbuf *b, const struct proc_ctx *c)
{
    char comm[16];
    if (!c->t)
        return -ESRCH;
    task_comm(c->t, comm);
    pb_printf(b, "%s\n", comm);
    return 0;
}

static int write_comm(const struct proc_ctx *c, char *text, size_t size)
{
    if (!c->t || !c->caller || c->caller->process != c->p)
        return -EINVAL;
    lock_acquire(&c->t->lock);
    snprintf(c->t->comm, sizeof(c->t->comm), "%s", text);
    lock_release(&c->t->lock);
    return 0;
}

static int show_cgroup(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "0::/\n");
    return 0;
}

static int show_zero(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "0");
    return 0;
}

static int show_coredump_filter(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%08x\n", __atomic_load_n(&c->p->coredump_filter, __ATOMIC_RELAXED));
    return 0;
}

#define COREDUMP_FILTER_ALL 0x1ff

static int write_coredump_filter(const struct proc_ctx *c, char *text, size_t size)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 0);
    if (end == text || *end || errno)
        return -EINVAL;
    __atomic_store_n(&c->p->coredump_filter, v & COREDUMP_FILTER_ALL, __ATOMIC_RELAXED);
    return 0;
}

static int show_empty(struct pbuf *b, const struct proc_ctx *c)
{
    return 0;
}

static int show_personality(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%08lx\n", c->t ? (unsigned long)c->t->personality : 0ul);
    return 0;
}

static int show_arch_status(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "AVX512_elapsed_ms:\t-1\n");
    return 0;
}

static int show_projid_map(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%10u %10u %10u\n", 0u, 0u, UINT32_MAX);
    return 0;
}

static int show_syscall(struct pbuf *b, const struct proc_ctx *c)
{
    if (!c->t || !__atomic_load_n(&c->t->current_since_ns, __ATOMIC_RELAXED)) {
        pb_str(b, "running\n");
        return 0;
    }
    pb_printf(b, "%lu", (unsigned long)c->t->current_nr);
    for (int i = 0; i < 6; i++)
        pb_printf(b, " 0x%lx", (unsigned long)__atomic_load_n(&c->t->current_args[i],
                                                              __ATOMIC_RELAXED));
    pb_printf(b, " 0x0 0x%lx\n", (unsigned long)c->t->syscall_ip);
    return 0;
}

/* ---- the out-of-memory knobs: remembered, nothing more ---- */

static int adj_get(const struct proc_ctx *c)
{
    return __atomic_load_n(&c->p->oom_score_adj, __ATOMIC_RELAXED);
}

static int adj_set(const struct proc_ctx *c, long value)
{
    if (value < adj_get(c) && !cred_has_cap(c->caller->cred, CAP_SYS_RESOURCE))
        return -EACCES;
    __atomic_store_n(&c->p->oom_score_adj, (int)value, __ATOMIC_RELAXED);
    return 0;
}

static int parse_long(const char *text, long *out)
{
    char *end;
    errno = 0;
    *out = strtol(text, &end, 0);
    return end == text || *end || errno ? -EINVAL : 0;
}

static int show_oom_score_adj(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%d\n", adj_get(c));
    return 0;
}

static int write_oom_score_adj(const struct proc_ctx *c, char *text, size_t size)
{
    long v;
    if (parse_long(text, &v) || v < -1000 || v > 1000)
        return -EINVAL;
    return adj_set(c, v);
}

static int show_oom_adj(struct pbuf *b, const struct proc_ctx *c)
{
    int v = adj_get(c);
    pb_printf(b, "%d\n", v == 1000 ? 15 : v * 17 / 1000);
    return 0;
}

static int write_oom_adj(const struct proc_ctx *c, char *text, size_t size)
{
    long v;
    if (parse_long(text, &v) || v < -17 || v > 15)
        return -EINVAL;
    return adj_set(c, v == 15 ? 1000 : v * 1000 / 17);
}

static int show_oom_score(struct pbuf *b, const struct proc_ctx *c)
{
    int v = 666 + adj_get(c) * 2 / 3;
    pb_printf(b, "%d\n", MAX(v, 0));
    return 0;
}

/* ---- id maps ---- */

/* Counted. */
static struct user_ns *user_ns_of(const struct proc_ctx *c)
{
    struct ns *ns = c->t ? task_ns_get(c->t, NS_USER, false) : NULL;
    return ns ? container_of(ns, struct user_ns, ns) : NULL;
}

static int show_id_map(struct pbuf *b, const struct proc_ctx *c, bool gids)
{
    struct user_ns *ns = user_ns_of(c);
    const struct user_ns *reader = c->caller ? c->caller->cred->user_ns : g_kernel.root_user_ns;
    struct id_extent e;
    if (!ns)
        return -EINVAL;
    for (unsigned i = 0; i < user_ns_map_get(ns, reader, gids, i, &e); i++)
        pb_printf(b, "%10u %10u %10u\n", e.first, e.lower, e.count);
    user_ns_put(ns);
    return 0;
}

static int show_uid_map(struct pbuf *b, const struct proc_ctx *c)
{
    return show_id_map(b, c, /*gids=*/false);
}

static int show_gid_map(struct pbuf *b, const struct proc_ctx *c)
{
    return show_id_map(b, c, /*gids=*/true);
}

static int write_id_map(const struct proc_ctx *c, char *text, bool gids)
{
    struct user_ns *ns = user_ns_of(c);
    if (!ns)
        return -EINVAL;
    int r = c->caller ? user_ns_map_set(c->caller, ns, gids, text) : -EPERM;
    user_ns_put(ns);
    return r;
}

static int write_uid_map(const struct proc_ctx *c, char *text, size_t size)
{
    return write_id_map(c, text, /*gids=*/false);
}

static int write_gid_map(const struct proc_ctx *c, char *text, size_t size)
{
    return write_id_map(c, text, /*gids=*/true);
}

static int show_setgroups(struct pbuf *b, const struct proc_ctx *c)
{
    struct user_ns *ns = user_ns_of(c);
    if (!ns)
        return -EINVAL;
    pb_str(b, __atomic_load_n(&ns->setgroups_allowed, __ATOMIC_RELAXED) ? "allow\n" : "deny\n");
    user_ns_put(ns);
    return 0;
}

static int write_setgroups(const struct proc_ctx *c, char *text, size_t size)
{
    bool allow = !strcmp(text, "allow");
    struct user_ns *ns = allow || !strcmp(text, "deny") ? user_ns_of(c) : NULL;
    if (!ns)
        return -EINVAL;
    int r = c->caller ? user_ns_setgroups_set(c->caller, ns, allow) : -EPERM;
    user_ns_put(ns);
    return r;
}

static int write_refused(const struct proc_ctx *c, char *text, size_t size)
{
    return -EPERM;
}

static int write_ignored(const struct proc_ctx *c, char *text, size_t size)
{
    return 0;
}

/* ---- links ---- */

static int path_text(const struct proc_ctx *c, const struct path *p, char *buf, size_t size)
{
    char room[VFS_PATH_MAX];
    struct path root = {0};
    struct fs_struct *fs = c->caller ? task_fs_get(c->caller) : NULL;
    if (fs) {
        fs_struct_root(fs, &root);
        fs_struct_put(fs);
    }
    char *name = path_name(p, fs ? &root : NULL, room, sizeof(room));
    int n = name ? (int)MIN(strlen(name), size) : -ENAMETOOLONG;
    if (n > 0)
        memcpy(buf, name, n);
    if (fs)
        path_put(&root);
    return n;
}

static int exe_path(const struct proc_ctx *c, struct path *out)
{
    struct mm *mm = c->t ? task_mm_get(c->t) : NULL;
    struct file *f = mm ? mm_exe_get(mm) : NULL;
    if (mm)
        mm_put(mm);
    if (!f)
        return -ENOENT;
    *out = f->path;
    path_get(out);
    file_put(f);
    return out->dentry ? 0 : -ENOENT;
}

static int fs_path(const struct proc_ctx *c, struct path *out, bool root)
{
    struct fs_struct *fs = c->t ? task_fs_get(c->t) : NULL;
    if (!fs)
        return -ENOENT;
    if (root)
        fs_struct_root(fs, out);
    else
        fs_struct_cwd(fs, out);
    fs_struct_put(fs);
    return 0;
}

static int cwd_path(const struct proc_ctx *c, struct path *out)
{
    return fs_path(c, out, /*root=*/false);
}

static int root_path(const struct proc_ctx *c, struct path *out)
{
    return fs_path(c, out, /*root=*/true);
}

static int read_path(const struct proc_ctx *c, char *buf, size_t size,
                     int (*get)(const struct proc_ctx *, struct path *))
{
    struct path p;
    int r = get(c, &p);
    if (r)
        return r;
    r = path_text(c, &p, buf, size);
    path_put(&p);
    return r;
}

static int read_exe(const struct proc_ctx *c, char *buf, size_t size)
{
    return read_path(c, buf, size, exe_path);
}

static int read_cwd(const struct proc_ctx *c, char *buf, size_t size)
{
    return read_path(c, buf, size, cwd_path);
}

static int read_root(const struct proc_ctx *c, char *buf, size_t size)
{
    return read_path(c, buf, size, root_path);
}

/* ---- namespaces ---- */

/* Counted; -ENOENT when the task has let it go. data: its kind, and (16) that of children. */
static int ns_get_of(const struct proc_ctx *c, struct ns **out)
{
    unsigned which = (uintptr_t)c->e->data;
    *out = c->t ? task_ns_get(c->t, which & 15, which & 16) : NULL;
    return *out ? 0 : -ENOENT;
}

static int read_ns(const struct proc_ctx *c, char *buf, size_t size)
{
    struct ns *ns;
    int r = ns_get_of(c, &ns);
    if (r)
        return r;
    r = MIN(nsfs_name(ns, buf, size), (int)size);
    ns_put(ns);
    return r;
}

static int follow_ns(const struct proc_ctx *c, struct path *out)
{
    struct ns *ns;
    int r = ns_get_of(c, &ns);
    if (r)
        return r;
    r = nsfs_path(ns, out);
    ns_put(ns);
    return r;
}

#define NS(n, kind)                                                                                \
    {                                                                                              \
        .name = (n), .mode = S_IFLNK | 0777, .flags = PROC_PTRACE, .readlink = read_ns,            \
        .follow = follow_ns, .data = (void *)(uintptr_t)(kind)                                     \
    }
static const struct proc_entry g_ns[] = {
    NS("cgroup", NS_CGROUP), NS("ipc", NS_IPC),
    NS("mnt", NS_MNT),       NS("net", NS_NET),
    NS("pid", NS_PID),       NS("pid_for_children", NS_PID | 16),
    NS("user", NS_USER),     NS("uts", NS_UTS),
    {0},
};

static const struct proc_entry g_attr[] = {
    PROC_FILE_RW("current", 0666, show_empty, write_refused),
    PROC_FILE_RW("exec", 0666, show_empty, write_refused),
    PROC_FILE("prev", 0444, show_empty),
    {0},
};

/* ---- threads ---- */

static int tid_next(const struct proc_ctx *c, int after)
{
    struct task *t = c->p ? task_next_in(c->p, c->ns, after) : NULL;
    int tid = t ? task_nr_of(t, c->ns) : -1;
    if (t)
        task_put(t);
    return tid;
}

static bool tid_has(const struct proc_ctx *c, int tid)
{
    struct task *t = task_by_id(pid_id_from(c->ns, tid));
    bool ours = t && t->process == c->p;
    if (t)
        task_put(t);
    return ours;
}

static const struct proc_entry g_thread_dir;
static const struct proc_numbers g_tids = {
    .of = PROC_OF_TID, .next = tid_next, .has = tid_has, .entry = &g_thread_dir};

const struct proc_entry g_proc_pid_entries[] = {
    {.name = "task", .mode = S_IFDIR | 0555, .flags = PROC_LEADER, .numbers = &g_tids},
    {.name = "fd", .mode = S_IFDIR | 0500, .flags = PROC_PTRACE, .numbers = &g_proc_fd_numbers},
    {.name = "fdinfo",
     .mode = S_IFDIR | 0555,
     .flags = PROC_PTRACE,
     .numbers = &g_proc_fdinfo_numbers},
    PROC_DIR("ns", 0511, g_ns),
    PROC_DIR("net", 0555, g_proc_net_entries),
    PROC_DIR("attr", 0555, g_attr),
    {.name = "environ", .mode = S_IFREG | 0400, .flags = PROC_PTRACE, .show = proc_show_environ},
    {.name = "auxv", .mode = S_IFREG | 0400, .flags = PROC_PTRACE, .show = proc_show_auxv},
    PROC_FILE("status", 0444, proc_show_status),
    {.name = "personality", .mode = S_IFREG | 0400, .flags = PROC_PTRACE, .show = show_personality},
    PROC_FILE("limits", 0444, proc_show_limits),
    PROC_FILE_RW("sched", 0644, proc_show_sched, write_ignored),
    PROC_FILE_RW("comm", 0644, show_comm, write_comm),
    {.name = "syscall", .mode = S_IFREG | 0400, .flags = PROC_PTRACE, .show = show_syscall},
    PROC_FILE("cmdline", 0444, proc_show_cmdline),
    PROC_FILE("stat", 0444, proc_show_stat),
    PROC_FILE("statm", 0444, proc_show_statm),
    {.name = "maps", .mode = S_IFREG | 0444, .flags = PROC_PTRACE, .show = proc_show_maps},
    {.name = "mem", .mode = S_IFREG | 0600, .flags = PROC_PTRACE, .file_ops = &g_proc_mem_ops},
    {.name = "cwd",
     .mode = S_IFLNK | 0777,
     .flags = PROC_PTRACE,
     .readlink = read_cwd,
     .follow = cwd_path},
    {.name = "root",
     .mode = S_IFLNK | 0777,
     .flags = PROC_PTRACE,
     .readlink = read_root,
     .follow = root_path},
    {.name = "exe",
     .mode = S_IFLNK | 0777,
     .flags = PROC_PTRACE,
     .readlink = read_exe,
     .follow = exe_path},
    PROC_FILE("mounts", 0444, proc_show_mounts),
    PROC_FILE("mountinfo", 0444, proc_show_mountinfo),
    PROC_FILE("mountstats", 0400, proc_show_mountstats),
    PROC_FILE_RW("clear_refs", 0200, show_empty, proc_write_clear_refs),
    {.name = "smaps", .mode = S_IFREG | 0444, .flags = PROC_PTRACE, .show = proc_show_smaps},
    {.name = "smaps_rollup",
     .mode = S_IFREG | 0444,
     .flags = PROC_PTRACE,
     .show = proc_show_smaps_rollup},
    {.name = "pagemap",
     .mode = S_IFREG | 0400,
     .flags = PROC_PTRACE,
     .file_ops = &g_proc_pagemap_ops},
    {.name = "numa_maps", .mode = S_IFREG | 0444, .flags = PROC_PTRACE, .show = proc_show_numa_maps},
    {.name = "children", .mode = S_IFREG | 0444, .flags = PROC_THREAD, .show = proc_show_children},
    {.name = "timers", .mode = S_IFREG | 0444, .flags = PROC_LEADER, .show = proc_show_timers},
    {.name = "autogroup",
     .mode = S_IFREG | 0644,
     .flags = PROC_LEADER,
     .show = proc_show_autogroup,
     .write = proc_write_autogroup},
    PROC_FILE("arch_status", 0444, show_arch_status),
    PROC_FILE_RW("projid_map", 0644, show_projid_map, write_refused),
    PROC_FILE("wchan", 0444, show_zero),
    {.name = "stack", .mode = S_IFREG | 0400, .flags = PROC_PTRACE, .show = show_empty},
    PROC_FILE("schedstat", 0444, proc_show_schedstat),
    PROC_FILE("cpuset", 0444, show_empty),
    PROC_FILE("cgroup", 0444, show_cgroup),
    PROC_FILE("oom_score", 0444, show_oom_score),
    PROC_FILE_RW("oom_adj", 0644, show_oom_adj, write_oom_adj),
    PROC_FILE_RW("oom_score_adj", 0644, show_oom_score_adj, write_oom_score_adj),
    PROC_FILE_RW("loginuid", 0644, proc_show_loginuid, proc_write_loginuid),
    PROC_FILE("sessionid", 0444, proc_show_sessionid),
    PROC_FILE_RW("coredump_filter", 0644, show_coredump_filter, write_coredump_filter),
    {.name = "io", .mode = S_IFREG | 0400, .flags = PROC_PTRACE, .show = proc_show_io},
    PROC_FILE_RW("uid_map", 0644, show_uid_map, write_uid_map),
    PROC_FILE_RW("gid_map", 0644, show_gid_map, write_gid_map),
    PROC_FILE_RW("setgroups", 0644, show_setgroups, write_setgroups),
    PROC_FILE_RW("timerslack_ns", 0666, proc_show_timerslack, proc_write_timerslack),
    {0},
};

const struct proc_entry g_proc_pid_dir = {
    .name = "", .mode = S_IFDIR | 0555, .children = g_proc_pid_entries};
static const struct proc_entry g_thread_dir = {
    .name = "", .mode = S_IFDIR | 0555, .children = g_proc_pid_entries};
