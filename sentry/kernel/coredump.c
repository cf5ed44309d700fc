/* Core dumps: whether, where, and holding the process still.
 *
 * The dumping task makes itself the only one of its process as execve does (exec_task); the others
 * leave their registers in process.core on their way out (core_thread_leave). A SIGKILL in between
 * ends the dump. coredump_elf.c writes the file. Patterns that pipe to a program are not run: there
 * is nobody outside the dying process to run it for. */
#include "kernel/coredump.h"

#include "base/log.h"
#include "base/overflow.h"
#include "fs/vfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CORE_LIMIT_LEAST 4096 /* Linux's min_coredump: less is none */

static struct lock g_pattern_lock = LOCK_INITIALIZER(LR_LEAF);
static char g_pattern[CORE_PATTERN_SIZE] = "core"; /* lock: g_pattern_lock */
static bool g_uses_pid;                            /* atomic */

void core_pattern_get(char out[CORE_PATTERN_SIZE])
{
    LOCK_GUARD(&g_pattern_lock);
    memcpy(out, g_pattern, CORE_PATTERN_SIZE);
}

void core_pattern_set(const char *text)
{
    LOCK_GUARD(&g_pattern_lock);
    snprintf(g_pattern, sizeof(g_pattern), "%s", text);
}

bool core_uses_pid_get(void)
{
    return __atomic_load_n(&g_uses_pid, __ATOMIC_RELAXED);
}

void core_uses_pid_set(bool on)
{
    __atomic_store_n(&g_uses_pid, on, __ATOMIC_RELAXED);
}

/* ---- the name -----------------------------------------------------------------------------------
 */

struct name {
    char text[VFS_PATH_MAX];
    size_t size;
};

static void name_add(struct name *n, const char *s, bool path_part)
{
    for (; *s && n->size + 1 < sizeof(n->text); s++)
        n->text[n->size++] = path_part && *s == '/' ? '!' : *s;
    n->text[n->size] = 0;
}

static void name_number(struct name *n, long long v)
{
    char buf[24];
    snprintf(buf, sizeof(buf), "%lld", v);
    name_add(n, buf, /*path_part=*/false);
}

static void name_exe(struct task *t, struct name *n, bool whole)
{
    char room[VFS_PATH_MAX];
    struct file *exe = mm_exe_get(t->mm);
    const char *path = exe ? path_name(&exe->path, NULL, room, sizeof(room)) : NULL;
    const char *slash = path && !whole ? strrchr(path, '/') : NULL;
    name_add(n, slash ? slash + 1 : path ? path : "", /*path_part=*/true);
    if (exe)
        file_put(exe);
}

static void name_host(struct task *t, struct name *n)
{
    char host[65];
    struct uts_ns *ns = t->ns_set->uts;
    lock_acquire(&ns->lock);
    memcpy(host, ns->names.nodename, sizeof(host));
    lock_release(&ns->lock);
    name_add(n, host, /*path_part=*/true);
}

static void name_expand(struct task *t, const struct core *c, char what, struct name *n)
{
    int64_t now = 0;
    char comm[16];
    switch (what) {
    case '%':
        name_add(n, "%", false);
        break;
    case 'p':
        name_number(n, t->process->vpid);
        break;
    case 'P':
        name_number(n, t->process->pid);
        break;
    case 'i':
        name_number(n, t->vtid);
        break;
    case 'I':
        name_number(n, t->tid);
        break;
    case 'u':
        name_number(n, t->cred->uid);
        break;
    case 'g':
        name_number(n, t->cred->gid);
        break;
    case 'd':
        name_number(n, t->process->dumpable);
        break;
    case 's':
        name_number(n, c->info.si_signo);
        break;
    case 't':
        (void)time_clock_get(CLOCK_REALTIME, &now);
        name_number(n, now / NSEC_PER_SEC);
        break;
    case 'c':
        name_number(n, (long long)c->limit);
        break;
    case 'h':
        name_host(t, n);
        break;
    case 'e':
        task_comm(t, comm);
        name_add(n, comm, /*path_part=*/true);
        break;
    case 'f':
    case 'E':
        name_exe(t, n, what == 'E');
        break;
    }
}

/* -EINVAL: a pipe, or nothing. */
static int name_make(struct task *t, const struct core *c, struct name *n)
{
    char pattern[CORE_PATTERN_SIZE];
    bool has_pid = false;
    core_pattern_get(pattern);
    n->size = 0;
    n->text[0] = 0;
    for (const char *p = pattern; *p; p++) {
        if (*p != '%') {
            name_add(n, (char[2]){*p, 0}, false);
            continue;
        }
        if (!*++p)
            break;
        has_pid |= *p == 'p';
        name_expand(t, c, *p, n);
    }
    if (!has_pid && core_uses_pid_get()) {
        name_add(n, ".", false);
        name_number(n, t->process->vpid);
    }
    return pattern[0] == '|' || pattern[0] == '@' || !n->size ? -EINVAL : 0;
}

/* ---- the file -----------------------------------------------------------------------------------
 */

static int core_open(struct task *t, const struct core *c, struct file **out)
{
    struct name *n = malloc(sizeof(*n));
    struct kstat st;
    struct open_how_k how = {.flags = O_CREAT | O_WRONLY | O_NOFOLLOW, .mode = 0600};
    if (!n)
        return -ENOMEM;
    struct file *f = NULL;
    int r = name_make(t, c, n);
    if (!r)
        r = vfs_open(t, AT_FDCWD, n->text, &how, &f);
    free(n);
    if (r)
        return r;
    r = vfs_stat(&f->path, &st);
    if (!r && (!S_ISREG(st.mode) || st.nlink != 1 || st.uid != t->cred->fsuid))
        r = -EPERM;
    if (!r)
        r = vfs_truncate(t, &f->path, f->inode, f, 0);
    if (r)
        file_put(f);
    else
        *out = f;
    return r;
}

/* ---- holding still ------------------------------------------------------------------------------
 */

struct core_thread *core_thread_new(struct task *t)
{
    struct user_regs_struct *r = task_regs(t);
    struct core_thread *n = r ? calloc(1, sizeof(*n) + g_kernel.platform->fpu_size) : NULL;
    if (!n)
        return NULL;
    list_node_init(&n->node);
    n->tid = t->vtid;
    n->regs = *r;
    (void)pl_ops()->ctx_get_fpu(t->ctx, n->fpu);
    n->pending = t->pending.set;
    n->blocked = t->blocked;
    task_cpu_times(t, &n->utime_ns, &n->stime_ns);
    return n;
}

void core_thread_leave(struct task *t)
{
    struct process *p = t->process;
    if (!__atomic_load_n(&p->core, __ATOMIC_ACQUIRE))
        return;
    struct core_thread *n = core_thread_new(t);
    LOCK_GUARD(&p->sig_lock);
    struct core *c = p->core;
    if (n && c)
        list_push_back(&c->threads, &n->node);
    else
        free(n);
}

static void core_set(struct process *p, struct core *c)
{
    LOCK_GUARD(&p->sig_lock);
    __atomic_store_n(&p->core, c, __ATOMIC_RELEASE);
}

static void core_threads_free(struct core *c)
{
    struct core_thread *n, *tmp;
    list_for_each_safe(n, tmp, &c->threads, node)
    {
        list_del(&n->node);
        free(n);
    }
}

static bool core_write(struct task *t, struct core *c)
{
    struct file *f;
    int r = core_open(t, c, &f);
    if (r) {
        log_debug("task %d: no core file: %s", t->tid, strerror(-r));
        return false;
    }
    r = core_elf_write(t, c, f);
    file_put(f);
    return !r;
}

bool core_dump(struct task *t, const siginfo_t *info)
{
    struct process *p = t->process;
    struct core c = {.info = *info, .limit = rlimit_get(p, RLIMIT_CORE)};
    bool dumpable = __atomic_load_n(&p->dumpable, __ATOMIC_RELAXED) == 1;
    if (!dumpable || c.limit < CORE_LIMIT_LEAST || !t->mm)
        return false;
    list_init(&c.threads);
    struct core_thread *mine = core_thread_new(t);
    if (!mine)
        return false;
    list_push_back(&c.threads, &mine->node);
    core_set(p, &c);
    bool dumped = !task_end_others(t) && core_write(t, &c);
    core_set(p, NULL);
    core_threads_free(&c);
    return dumped;
}
