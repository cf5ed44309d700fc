/* Lesser files of /proc/PID: children, timers, autogroup, login ids, page map, NUMA map. */
#include "fs/proc/proc_priv.h"

#include "kernel/kernel.h"

#include <signal.h>
#include <sys/mman.h>

static int parse_long(const char *text, long *out)
{
    char *end;
    errno = 0;
    *out = strtol(text, &end, 0);
    return end == text || *end || errno ? -EINVAL : 0;
}

/* ---- what the process has begun ---- */

int proc_show_children(struct pbuf *b, const struct proc_ctx *c)
{
    struct process *p;
    if (!c->t || c->t->tid != c->p->pid) /* children are the whole process's here */
        return 0;
    lock_acquire(&g_kernel.tasks_lock);
    list_for_each(p, &c->p->children, sibling_node)
    {
        int nr = process_nr(p, c->ns);
        if (nr)
            pb_printf(b, "%d ", nr);
    }
    lock_release(&g_kernel.tasks_lock);
    return 0;
}

int proc_show_timers(struct pbuf *b, const struct proc_ctx *c)
{
    static const char *const how[] = {[SIGEV_SIGNAL] = "signal", [SIGEV_NONE] = "none",
                                      [SIGEV_THREAD] = "thread"};
    struct posix_timer_info i;
    for (int id = -1; posix_timer_next(c->p, id, &i); id = i.id) {
        bool by_tid = i.notify & SIGEV_THREAD_ID;
        pb_printf(b, "ID: %d\nsignal: %d/%016lx\nnotify: %s/%s.%d\nClockID: %d\n", i.id, i.signo,
                  (unsigned long)i.value, how[i.notify & 3], by_tid ? "tid" : "pid",
                  by_tid ? i.tid : process_nr(c->p, c->ns), i.clockid);
    }
    return 0;
}

/* ---- scheduling ---- */

int proc_show_autogroup(struct pbuf *b, const struct proc_ctx *c)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct session *s = c->p->pgrp ? c->p->pgrp->session : NULL;
    if (s)
        pb_printf(b, "/autogroup-%d nice %d\n", s->sid, s->autogroup_nice);
    return 0;
}

int proc_write_autogroup(const struct proc_ctx *c, char *text, size_t size)
{
    long nice;
    if (parse_long(text, &nice) || nice < -20 || nice > 19)
        return -EINVAL;
    if (nice < 0 && !cred_has_cap(c->caller->cred, CAP_SYS_ADMIN))
        return -EPERM;
    LOCK_GUARD(&g_kernel.tasks_lock);
    if (c->p->pgrp)
        c->p->pgrp->session->autogroup_nice = nice;
    return 0;
}

int proc_show_timerslack(struct pbuf *b, const struct proc_ctx *c)
{
    if (!c->t)
        return -ESRCH;
    if (c->caller->process != c->p && !cred_has_cap(c->caller->cred, CAP_SYS_NICE))
        return -EPERM;
    pb_printf(b, "%lu\n", (unsigned long)__atomic_load_n(&c->t->timer_slack_ns, __ATOMIC_RELAXED));
    return 0;
}

int proc_write_timerslack(const struct proc_ctx *c, char *text, size_t size)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    if (end == text || *end || errno || text[0] == '-')
        return -EINVAL;
    if (!c->t)
        return -ESRCH;
    if (c->caller->process != c->p && !cred_has_cap(c->caller->cred, CAP_SYS_NICE))
        return -EPERM;
    __atomic_store_n(&c->t->timer_slack_ns, v ? v : c->t->timer_slack_default, __ATOMIC_RELAXED);
    return 0;
}

/* ---- audit's ids: kept, nothing is audited ---- */

int proc_show_loginuid(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%u", __atomic_load_n(&c->p->loginuid, __ATOMIC_RELAXED));
    return 0;
}

int proc_show_sessionid(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%u", __atomic_load_n(&c->p->sessionid, __ATOMIC_RELAXED));
    return 0;
}

int proc_write_loginuid(const struct proc_ctx *c, char *text, size_t size)
{
    static unsigned sessions; /* atomic */
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (end == text || *end || errno || v > UINT32_MAX)
        return -EINVAL;
    if (c->caller->process != c->p || (c->p->loginuid != UINT32_MAX &&
                                       !cred_has_cap(c->caller->cred, CAP_AUDIT_CONTROL)))
        return -EPERM;
    unsigned id = v == UINT32_MAX ? UINT32_MAX
                                  : __atomic_add_fetch(&sessions, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&c->p->loginuid, (uint32_t)v, __ATOMIC_RELAXED);
    __atomic_store_n(&c->p->sessionid, id, __ATOMIC_RELAXED);
    return 0;
}

/* ---- memory ---- */

int proc_write_clear_refs(const struct proc_ctx *c, char *text, size_t size)
{
    long what;
    struct mm *mm;
    if (parse_long(text, &what) || what < 1 || what > 5)
        return -EINVAL;
    mm = c->t ? task_mm_get(c->t) : NULL;
    if (mm)
        mm_put(mm); /* no bits of ours to clear: pages are never told to be untouched */
    return mm || c->t ? 0 : -ESRCH;
}

int proc_show_numa_maps(struct pbuf *b, const struct proc_ctx *c)
{
    char room[VFS_PATH_MAX];
    struct mm_vma_info v;
    struct mm *mm;
    int r = proc_mm_get(c, &mm);
    if (r)
        return r == -ESRCH ? 0 : r;
    for (uint64_t at = 0; mm_vma_next(mm, at, &v); at = v.end) {
        unsigned long pages = v.rss / RF_PAGE_SIZE, anon = v.anon / RF_PAGE_SIZE;
        pb_printf(b, "%08lx default", (unsigned long)v.start);
        if (v.file && v.file->path.dentry) {
            pb_str(b, " file=");
            pb_escaped(b, path_name(&v.file->path, NULL, room, sizeof(room)) ?: "");
        } else if (v.name && !strcmp(v.name, "[heap]")) {
            pb_str(b, " heap");
        } else if (v.name && !strcmp(v.name, "[stack]")) {
            pb_str(b, " stack");
        }
        if (anon)
            pb_printf(b, " anon=%lu dirty=%lu", anon, anon);
        if (pages > anon)
            pb_printf(b, " mapped=%lu", pages - anon);
        if (pages)
            pb_printf(b, " N0=%lu kernelpagesize_kB=4", pages);
        pb_str(b, "\n");
        if (v.file)
            file_put(v.file);
    }
    mm_put(mm);
    return 0;
}

#define PM_PRESENT    (1ull << 63)
#define PM_FILE       (1ull << 61)
#define PM_SOFT_DIRTY (1ull << 55)
#define PM_BATCH      256

/* The entries of count pages from va on, all in one mapping or none. Frame numbers are nobody's
 * business: they read as zero, as for who may not see them. */
static void pagemap_fill(struct mm *mm, uint64_t va, unsigned count, uint64_t *out)
{
    struct mm_vma_info v;
    uint8_t in_core[PM_BATCH];
    memset(out, 0, count * sizeof(*out));
    for (unsigned i = 0; i < count;) {
        uint64_t at = va + i * RF_PAGE_SIZE;
        if (!mm_vma_next(mm, at, &v) || v.start >= va + count * RF_PAGE_SIZE)
            return;
        bool file = v.file;
        if (v.file)
            file_put(v.file);
        at = MAX(at, v.start);
        i = (at - va) / RF_PAGE_SIZE;
        unsigned n = MIN((v.end - at) / RF_PAGE_SIZE, (uint64_t)(count - i));
        if (!mm_mincore(mm, at, n * RF_PAGE_SIZE, in_core))
            for (unsigned k = 0; k < n; k++)
                out[i + k] = PM_SOFT_DIRTY | (in_core[k] ? PM_PRESENT | (file ? PM_FILE : 0) : 0);
        i += n;
    }
}

static int64_t pagemap_move(struct mm *mm, struct uio *u, int64_t pos)
{
    uint64_t entries[PM_BATCH], end = g_kernel.platform->va_end / RF_PAGE_SIZE * 8;
    int64_t done = 0;
    while (u->remaining && pos + done < (int64_t)end) {
        size_t size = MIN(u->remaining, (uint64_t)sizeof(entries));
        size = MIN(size, end - pos - done);
        pagemap_fill(mm, (pos + done) / 8 * RF_PAGE_SIZE, size / 8, entries);
        size_t n = uio_to_user(u, entries, size);
        done += n;
        if (n < size)
            return done ? done : -EFAULT;
    }
    return done;
}

static int64_t pagemap_read(struct file *f, struct uio *u, int64_t pos)
{
    struct proc_ctx c;
    struct mm *mm;
    if (pos % 8 || u->remaining % 8)
        return -EINVAL;
    int64_t r = proc_ctx_begin(f->inode, &c);
    if (r)
        return 0;
    r = proc_mm_get(&c, &mm);
    proc_ctx_end(&c);
    if (r)
        return r == -ESRCH ? 0 : r;
    r = pagemap_move(mm, u, pos);
    mm_put(mm);
    return r;
}

const struct file_ops g_proc_pagemap_ops = {.read = pagemap_read, .lseek = vfs_lseek_generic};
