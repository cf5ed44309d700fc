/* System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2).
 *
 * A segment is one extent of the memory file, offered as a mappable. Each attachment is an
 * anonymous file of its own, held by its VMAs: when the last of them goes, so does the file, and
 * with it the attachment. nattch is the number of VMAs, as in Linux. A removed segment lives until
 * it has none. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "ipc/ipc_priv.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/shm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SHM_MAX_SIZE (UINT64_C(1) << 40)
#ifndef SHM_DEST
#define SHM_DEST   01000
#define SHM_LOCKED 02000
#endif

struct shm_segment {
    struct ipc_object obj;
    struct mappable mappable;
    uint64_t size, pages_size;                     /* const; pages_size: rounded up */
    uint64_t frames;                               /* const; offset in the memory file */
    int creator, last_operator;                    /* lock: table */
    int64_t attach_time, detach_time, change_time; /* lock: table; seconds */
    unsigned attachments;                          /* lock: table; files, not VMAs */
};

static void shm_destroy(struct ipc_object *o)
{
    struct shm_segment *s = container_of(o, struct shm_segment, obj);
    memfile_put(s->frames, s->pages_size);
    free(s);
}

struct ipc_table g_shm_table = {
    .lock = LOCK_INITIALIZER(LR_IPC),
    .kind = IPC_SHM_KIND,
    .max = &g_ipc_limits.shm_count,
    .next_id = &g_ipc_limits.shm_next,
    .destroy = shm_destroy,
};

static int64_t now_seconds(void)
{
    return time_realtime() / NSEC_PER_SEC;
}

static int shm_backing(struct mappable *m, uint64_t offset, unsigned access, struct mm_backing *out)
{
    struct shm_segment *s = container_of(m, struct shm_segment, mappable);
    if (offset >= s->pages_size)
        return -ENXIO;
    *out = (struct mm_backing){.fd = memfile_fd(),
                               .offset = s->frames + offset,
                               .size = s->pages_size - offset,
                               .writable = true};
    return 0;
}

static const struct mappable_ops g_shm_mappable_ops = {.backing = shm_backing};

struct shm_wish {
    uint64_t size;
    int flags;
};

/* All pages of the namespace's segments: SHMALL. */
static uint64_t shm_pages_locked(void)
{
    const struct ipc_ids *ids = ipc_ids(&g_shm_table);
    uint64_t sum = 0;
    for (unsigned i = 0; i < ids->capacity; i++)
        if (ids->slots[i])
            sum += container_of(ids->slots[i], struct shm_segment, obj)->pages_size / RF_PAGE_SIZE;
    return sum;
}

/* There are no huge pages; who may have them is told so. */
static int shm_huge(struct task *t, int flags)
{
    int log = (unsigned)flags >> 26 & 0x3f;
    if (log && log != 21 && log != 30)
        return -EINVAL;
    bool may = cred_has_cap(t->cred, CAP_IPC_LOCK) || cred_in_group(t->cred, 0);
    return may ? -ENOMEM : -EPERM;
}

static int shm_create(struct task *t, void *arg, struct ipc_object **out)
{
    const struct shm_wish *wish = arg;
    uint64_t size = wish->size, rounded;
    if (size == 0 || size > (uint64_t)ipc_limit(&g_ipc_limits.shm_max))
        return -EINVAL;
    if (!page_up(size, &rounded) ||
        shm_pages_locked() + rounded / RF_PAGE_SIZE > (uint64_t)ipc_limit(&g_ipc_limits.shm_all))
        return -ENOSPC;
    if (size > SHM_MAX_SIZE)
        return -ENOMEM;
    if (wish->flags & SHM_HUGETLB)
        return shm_huge(t, wish->flags);
    struct shm_segment *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int err = memfile_alloc(rounded, &s->frames);
    if (err) {
        free(s);
        return err;
    }
    s->size = size;
    s->pages_size = rounded;
    s->creator = t->process->pid;
    s->change_time = now_seconds();
    mappable_init(&s->mappable, &g_shm_mappable_ops);
    *out = &s->obj;
    return 0;
}

static int shm_check_existing(struct ipc_object *o, void *arg)
{
    return ((struct shm_wish *)arg)->size > container_of(o, struct shm_segment, obj)->size ? -EINVAL
                                                                                           : 0;
}

int64_t shm_get(struct task *t, int key, uint64_t size, int flags)
{
    struct shm_wish wish = {size, flags};
    return ipc_get(&g_shm_table, t, key, flags, shm_create, shm_check_existing, &wish);
}

/* ---- attachments
 * ------------------------------------------------------------------------------------- */

static int shm_file_mmap(struct file *f, unsigned prot, unsigned flags, struct mappable **m)
{
    *m = &((struct shm_segment *)f->priv)->mappable;
    return 0;
}

static void shm_file_release(struct file *f)
{
    struct shm_segment *s = f->priv;
    lock_acquire(&g_shm_table.lock);
    struct task *t = task_current();
    s->attachments--;
    s->detach_time = now_seconds();
    s->last_operator = t ? t->process->pid : 0;
    bool doomed = s->obj.mode & SHM_DEST || ipc_limit(&g_ipc_limits.shm_rmid_forced);
    if (doomed && s->attachments == 0 && !s->obj.removed)
        ipc_remove_locked(&g_shm_table, &s->obj);
    lock_release(&g_shm_table.lock);
    ipc_put(&g_shm_table, &s->obj);
}

static int shm_file_name(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "/SYSV%08x (deleted)", ((struct shm_segment *)f->priv)->obj.key);
}

static const struct file_ops g_shm_file_ops = {
    .mmap = shm_file_mmap, .release = shm_file_release, .fdname = shm_file_name, .stream = true};

static int attach_check(struct task *t, int id, int flags, struct shm_segment **out)
{
    int err;
    LOCK_GUARD(&g_shm_table.lock);
    struct ipc_object *o = ipc_find_locked(&g_shm_table, id, &err);
    if (!o)
        return err;
    unsigned want = (flags & SHM_RDONLY ? 4 : 6) | (flags & SHM_EXEC ? 1 : 0);
    err = ipc_access(t, o, want);
    if (err)
        return err;
    ref_get(&o->ref); /* for the file */
    *out = container_of(o, struct shm_segment, obj);
    (*out)->attachments++;
    return 0;
}

static void attach_undo(struct shm_segment *s)
{
    lock_acquire(&g_shm_table.lock);
    s->attachments--;
    lock_release(&g_shm_table.lock);
    ipc_put(&g_shm_table, &s->obj);
}

static int attach_place(uint64_t *addr, int flags)
{
    if (*addr == 0)
        return flags & SHM_REMAP ? -EINVAL : 0;
    if (!page_offset(*addr))
        return 0;
    if (!(flags & SHM_RND))
        return -EINVAL;
    *addr = page_down(*addr);
    return *addr == 0 && (flags & SHM_REMAP) ? -EINVAL : 0;
}

static void attach_note(struct task *t, struct shm_segment *s)
{
    LOCK_GUARD(&g_shm_table.lock);
    s->attach_time = now_seconds();
    s->last_operator = t->process->pid;
}

int64_t shm_at(struct task *t, int id, uint64_t addr, int flags)
{
    struct shm_segment *s = NULL;
    struct file *f;
    int err = id < 0 ? -EINVAL : attach_place(&addr, flags);
    if (!err)
        err = attach_check(t, id, flags, &s);
    if (err)
        return err;
    unsigned prot =
        PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
    err = file_new_anon(&g_shm_file_ops, flags & SHM_RDONLY ? O_RDONLY : O_RDWR, s, S_IFREG | 0600,
                        &f);
    if (err) {
        attach_undo(s);
        return err;
    }
    struct mm_map m = {
        .addr = addr, .size = s->pages_size, .prot = prot, .file = f, .flags = MAP_SHARED};
    if (addr)
        m.flags |= flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    uint64_t va = 0;
    err = mm_mmap(t->mm, &m, &va);
    if (!err)
        attach_note(t, s);
    file_put(f);
    if (err == -EEXIST)
        err = -EINVAL; /* shmat's word for a place that is taken */
    return err ? err : (int64_t)va;
}

/* Every VMA of the attachment that was made at addr: same file, and the place that its offset
 * tells. */
int64_t shm_dt(struct task *t, uint64_t addr)
{
    struct mm_vma_info v;
    struct file *f = NULL;
    int64_t ret = -EINVAL;
    if (page_offset(addr))
        return -EINVAL;
    for (uint64_t at = addr; mm_vma_next(t->mm, at, &v); at = v.end) {
        bool ours = v.file && v.file->ops == &g_shm_file_ops && v.start - v.offset == addr &&
                    (!f || f == v.file);
        bool beyond = f && v.start - addr >= ((struct shm_segment *)f->priv)->pages_size;
        if (ours && !f) {
            f = v.file;
            file_get(f);
        }
        if (v.file)
            file_put(v.file);
        if (!f || beyond)
            break;
        if (ours)
            ret = mm_munmap(t->mm, v.start, v.end - v.start);
    }
    if (f)
        file_put(f);
    return ret;
}

/* ---- control
 * ----------------------------------------------------------------------------------------- */

static unsigned shm_nattch(struct shm_segment *s)
{
    unsigned n = 0;
    struct list_node *i;
    LOCK_GUARD(&s->mappable.lock);
    for (i = s->mappable.vmas.head.next; i != &s->mappable.vmas.head; i = i->next)
        n++;
    return n;
}

static void fill_ds(struct shm_segment *s, struct shmid64_ds *ds)
{
    memset(ds, 0, sizeof(*ds));
    ipc_perm_fill(&s->obj, &ds->shm_perm);
    ds->shm_segsz = s->size;
    ds->shm_atime = s->attach_time;
    ds->shm_dtime = s->detach_time;
    ds->shm_ctime = s->change_time;
    ds->shm_cpid = s->creator;
    ds->shm_lpid = s->last_operator;
    ds->shm_nattch = shm_nattch(s);
}

static int64_t ctl_stat(struct task *t, int id, int cmd, struct uaddr buf)
{
    struct shmid64_ds ds;
    int64_t ret;
    {
        LOCK_GUARD(&g_shm_table.lock);
        int err = -EINVAL;
        struct ipc_object *o = cmd == IPC_STAT ? ipc_find_locked(&g_shm_table, id, &err)
                                               : ipc_index_locked(&g_shm_table, id);
        if (!o)
            return err;
        err = cmd == SHM_STAT_ANY ? 0 : ipc_access(t, o, 4);
        if (err)
            return err;
        fill_ds(container_of(o, struct shm_segment, obj), &ds);
        ret = cmd == IPC_STAT ? 0 : o->id;
    }
    ds.shm_cpid = task_sees_id(t, ds.shm_cpid);
    ds.shm_lpid = task_sees_id(t, ds.shm_lpid);
    return uaccess_write_obj(t->mm, buf, &ds) ? -EFAULT : ret;
}

static int64_t ctl_limits(struct task *t, struct uaddr buf)
{
    struct shminfo64 info = {.shmmax = ipc_limit(&g_ipc_limits.shm_max),
                             .shmmin = 1,
                             .shmmni = ipc_limit(&g_ipc_limits.shm_count),
                             .shmseg = ipc_limit(&g_ipc_limits.shm_count),
                             .shmall = ipc_limit(&g_ipc_limits.shm_all)};
    lock_acquire(&g_shm_table.lock);
    int64_t ret = ipc_ids(&g_shm_table)->max_index;
    lock_release(&g_shm_table.lock);
    return uaccess_write_obj(t->mm, buf, &info) ? -EFAULT : ret;
}

static int64_t ctl_usage(struct task *t, struct uaddr buf)
{
    struct shm_info info = {0};
    int64_t ret;
    {
        LOCK_GUARD(&g_shm_table.lock);
        const struct ipc_ids *ids = ipc_ids(&g_shm_table);
        ret = ids->max_index;
        info.used_ids = ids->used;
        for (unsigned i = 0; i < ids->capacity; i++)
            if (ids->slots[i])
                info.shm_tot +=
                    container_of(ids->slots[i], struct shm_segment, obj)->pages_size / RF_PAGE_SIZE;
        info.shm_rss = info.shm_tot;
    }
    return uaccess_write_obj(t->mm, buf, &info) ? -EFAULT : ret;
}

static int64_t ctl_set(struct task *t, int id, struct uaddr buf)
{
    struct shmid64_ds ds;
    int err;
    if (uaccess_read_obj(t->mm, &ds, buf))
        return -EFAULT;
    LOCK_GUARD(&g_shm_table.lock);
    struct ipc_object *o = ipc_find_locked(&g_shm_table, id, &err);
    if (!o)
        return err;
    err = ipc_perm_set_locked(t, o, &ds.shm_perm);
    if (!err)
        container_of(o, struct shm_segment, obj)->change_time = now_seconds();
    return err;
}

static int64_t ctl_change(struct task *t, int id, int cmd)
{
    int err;
    LOCK_GUARD(&g_shm_table.lock);
    struct ipc_object *o = ipc_find_locked(&g_shm_table, id, &err);
    if (!o)
        return err;
    struct shm_segment *s = container_of(o, struct shm_segment, obj);
    err = ipc_owner(t, o);
    if (err)
        return err;
    if (cmd == SHM_LOCK)
        o->mode |= SHM_LOCKED;
    else if (cmd == SHM_UNLOCK)
        o->mode &= ~(uint32_t)SHM_LOCKED;
    else if (s->attachments == 0)
        ipc_remove_locked(&g_shm_table, o);
    else { /* the last detach removes it; until then no key finds it */
        o->mode |= SHM_DEST;
        o->key = IPC_PRIVATE;
    }
    return 0;
}

int64_t shm_ctl(struct task *t, int id, int cmd, struct uaddr buf)
{
    if (id < 0)
        return -EINVAL;
    switch (cmd & ~IPC_64) {
    case IPC_INFO:
        return ctl_limits(t, buf);
    case SHM_INFO:
        return ctl_usage(t, buf);
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY:
        return ctl_stat(t, id, cmd & ~IPC_64, buf);
    case IPC_SET:
        return ctl_set(t, id, buf);
    case IPC_RMID:
    case SHM_LOCK:
    case SHM_UNLOCK:
        return ctl_change(t, id, cmd & ~IPC_64);
    default:
        return -EINVAL;
    }
}

int shm_proc_line(struct ipc_object *o, char *buf, size_t size)
{
    struct shm_segment *s = container_of(o, struct shm_segment, obj);
    return snprintf(
        buf, size,
        "%10d %10d  %4o %21lu %5u %5u  %5u %5u %5u %5u %5u %10ld %10ld %10ld %21lu %21u\n",
        (int)o->key, o->id, o->mode, (unsigned long)s->size, s->creator, s->last_operator,
        shm_nattch(s), o->uid, o->gid, o->cuid, o->cgid, (long)s->attach_time, (long)s->detach_time,
        (long)s->change_time, (unsigned long)s->pages_size, 0);
}
