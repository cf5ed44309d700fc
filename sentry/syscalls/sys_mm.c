/* Memory: mmap and its family decode and call mm. */
#include "fs/vfs.h"
#include "syscalls/syscalls.h"

#include "base/overflow.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>

static int64_t mmap_result(int r, uint64_t va)
{
    return r ? r : (int64_t)va;
}

/* READ_IMPLIES_EXEC of personality(2). */
static unsigned prot_of(struct task *t, unsigned prot)
{
    bool also = (t->personality & READ_IMPLIES_EXEC) && (prot & PROT_READ);
    return also ? prot | PROT_EXEC : prot;
}

/* PR_SET_MDWE: memory is born executable or never becomes so, and never writable as well. */
static bool mdwe_refuses(struct task *t, unsigned prot, unsigned had)
{
    if (!t->process->mdwe || !(prot & PROT_EXEC))
        return false;
    return (prot & PROT_WRITE) || (had & PROT_WRITE);
}

static bool mdwe_gains_exec(struct task *t, uint64_t addr, uint64_t size)
{
    struct mm_vma_info v;
    for (uint64_t at = addr; at < addr + size && mm_vma_next(t->mm, at, &v); at = v.end) {
        if (v.file)
            file_put(v.file);
        if (v.start < addr + size && !(v.prot & PROT_EXEC))
            return true;
    }
    return false;
}

int64_t sys_mmap(struct task *t, const struct sysargs *a)
{
    struct mm_map m = {
        .addr = a->v[0], .size = a->v[1], .prot = a->v[2], .flags = a->v[3], .offset = a->v[5]};
    uint64_t va = 0;
    if (page_offset(m.offset))
        return -EINVAL;
    if (!(m.flags & MAP_ANONYMOUS)) {
        m.file = fdtable_get(t->fds, (int)a->v[4]);
        if (!m.file)
            return -EBADF;
    } else {
        m.offset = 0;
    }
    m.prot = prot_of(t, m.prot);
    int r = mdwe_refuses(t, m.prot, /*had=*/0) ? -EACCES : mm_mmap(t->mm, &m, &va);
    if (m.file)
        file_put(m.file);
    return mmap_result(r, va);
}

int64_t sys_munmap(struct task *t, const struct sysargs *a)
{
    return mm_munmap(t->mm, a->v[0], a->v[1]);
}

int64_t sys_mprotect(struct task *t, const struct sysargs *a)
{
    unsigned prot = prot_of(t, a->v[2]);
    if (t->process->mdwe && (prot & PROT_EXEC) &&
        (mdwe_refuses(t, prot, 0) || mdwe_gains_exec(t, a->v[0], a->v[1])))
        return -EACCES;
    return mm_mprotect(t->mm, a->v[0], a->v[1], prot);
}

int64_t sys_pkey_mprotect(struct task *t, const struct sysargs *a)
{
    if ((int)a->v[3] != -1)
        return -EINVAL; /* no key was ever handed out */
    return mm_mprotect(t->mm, a->v[0], a->v[1], a->v[2]);
}

int64_t sys_mremap(struct task *t, const struct sysargs *a)
{
    uint64_t va;
    int r = mm_mremap(t->mm, a->v[0], a->v[1], a->v[2], a->v[3], a->v[4], &va);
    return mmap_result(r, va);
}

int64_t sys_brk(struct task *t, const struct sysargs *a)
{
    return mm_brk(t->mm, a->v[0]);
}

int64_t sys_madvise(struct task *t, const struct sysargs *a)
{
    return mm_madvise(t->mm, a->v[0], a->v[1], (int)a->v[2]);
}

int64_t sys_msync(struct task *t, const struct sysargs *a)
{
    return mm_msync(t->mm, a->v[0], a->v[1], (int)a->v[2]);
}

#define MINCORE_CHUNK 4096 /* pages asked about at once */

int64_t sys_mincore(struct task *t, const struct sysargs *a)
{
    uint64_t addr = a->v[0], end;
    if (page_offset(addr))
        return -EINVAL;
    if (!add_u64(addr, a->v[1], &end) || !page_up(end, &end))
        return -ENOMEM;
    uint8_t *vec = malloc(MINCORE_CHUNK);
    if (!vec)
        return -ENOMEM;
    int r = 0;
    for (uint64_t at = addr, out = a->v[2]; at < end && !r;) {
        uint64_t pages = MIN((end - at) / RF_PAGE_SIZE, (uint64_t)MINCORE_CHUNK);
        r = mm_mincore(t->mm, at, pages * RF_PAGE_SIZE, vec);
        if (!r)
            r = uaccess_write(t->mm, uaddr(out), vec, pages);
        at += pages * RF_PAGE_SIZE;
        out += pages;
    }
    free(vec);
    return r;
}

int64_t sys_mlock(struct task *t, const struct sysargs *a)
{
    return mm_mlock(t->mm, a->v[0], a->v[1], /*lock=*/true, /*onfault=*/false);
}

int64_t sys_mlock2(struct task *t, const struct sysargs *a)
{
    if (a->v[2] & ~(uint64_t)MLOCK_ONFAULT)
        return -EINVAL;
    return mm_mlock(t->mm, a->v[0], a->v[1], /*lock=*/true, a->v[2] & MLOCK_ONFAULT);
}

int64_t sys_munlock(struct task *t, const struct sysargs *a)
{
    return mm_mlock(t->mm, a->v[0], a->v[1], /*lock=*/false, /*onfault=*/false);
}

int64_t sys_mlockall(struct task *t, const struct sysargs *a)
{
    return mm_mlockall(t->mm, (int)a->v[0]);
}

int64_t sys_munlockall(struct task *t, const struct sysargs *a)
{
    return mm_munlockall(t->mm);
}

int64_t sys_mseal(struct task *t, const struct sysargs *a)
{
    return a->v[2] ? -EINVAL : mm_seal(t->mm, a->v[0], a->v[1]);
}

int64_t sys_remap_file_pages(struct task *t, const struct sysargs *a)
{
    uint64_t start = page_down(a->v[0]), size = page_down(a->v[1]), pgoff = a->v[3], end, sum;
    if (a->v[2] || !add_u64(start, size, &end) || end <= start)
        return -EINVAL;
    if (!add_u64(pgoff, size >> RF_PAGE_SHIFT, &sum) || sum > INT64_MAX >> RF_PAGE_SHIFT)
        return -EINVAL;
    return mm_remap_file_pages(t->mm, start, size, pgoff << RF_PAGE_SHIFT);
}

/* Protection keys as on a processor without them. */
int64_t sys_pkey_alloc(struct task *t, const struct sysargs *a)
{
    return -EINVAL;
}

int64_t sys_pkey_free(struct task *t, const struct sysargs *a)
{
    return -EINVAL;
}

/* ---- other processes' memory ------------------------------------------------------------------
 */

#define COPY_CHUNK 65536

/* Move one remote segment's bytes through a bounce buffer; short when either side ends. */
static uint64_t vm_copy_segment(struct mm *remote, uint64_t addr, uint64_t size, struct uio *local,
                                bool write, uint8_t *buf)
{
    uint64_t done = 0;
    while (done < size && local->remaining) {
        uint64_t left = MIN(size - done, local->remaining);
        size_t n = MIN(left, (uint64_t)COPY_CHUNK);
        size_t moved;
        if (write) {
            moved = uio_from_user(local, buf, n);
            moved = uaccess_write_some(remote, uaddr(addr + done), buf, moved);
        } else {
            moved = uaccess_read_some(remote, buf, uaddr(addr + done), n);
            moved = uio_to_user(local, buf, moved);
        }
        done += moved;
        if (moved < n)
            break;
    }
    return done;
}

static int64_t vm_copy(struct task *t, struct mm *remote, struct uio *local, const struct uio *rem,
                       bool write)
{
    uint8_t *buf = malloc(COPY_CHUNK);
    if (!buf)
        return -ENOMEM;
    int64_t total = 0;
    bool wanted = local->remaining && rem->remaining;
    for (unsigned i = 0; i < rem->count && local->remaining; i++) {
        uint64_t n =
            vm_copy_segment(remote, rem->segs[i].addr, rem->segs[i].size, local, write, buf);
        total += n;
        if (n < rem->segs[i].size)
            break;
    }
    free(buf);
    return total || !wanted ? total : -EFAULT;
}

static int64_t vm_access(struct task *t, const struct sysargs *a, bool write)
{
    struct uio local, rem;
    if (a->v[5])
        return -EINVAL;
    int64_t r = uio_import(&local, t->mm, uaddr(a->v[1]), a->v[2]);
    if (r)
        return r;
    if (!local.remaining) {
        uio_free(&local);
        return 0;
    }
    r = uio_import(&rem, t->mm, uaddr(a->v[3]), a->v[4]);
    if (r) {
        uio_free(&local);
        return r;
    }
    struct task *target = task_lookup((int)a->v[0]);
    r = target ? cred_may_ptrace(t, target) : -ESRCH;
    struct mm *mm = r ? NULL : task_mm_get(target);
    if (mm) {
        r = vm_copy(t, mm, &local, &rem, write);
        mm_put(mm);
    } else if (!r) {
        r = -ESRCH;
    }
    if (target)
        task_put(target);
    uio_free(&local);
    uio_free(&rem);
    return r;
}

int64_t sys_process_vm_readv(struct task *t, const struct sysargs *a)
{
    return vm_access(t, a, /*write=*/false);
}

int64_t sys_process_vm_writev(struct task *t, const struct sysargs *a)
{
    return vm_access(t, a, /*write=*/true);
}

/* The process of a pidfd, counted. */
static int pidfd_target(struct task *t, int fd, struct process **out)
{
    struct file *f = fdtable_get(t->fds, fd);
    *out = f ? pidfd_process(f) : NULL;
    if (f)
        file_put(f);
    return *out ? 0 : -EBADF;
}

/* Its memory, counted, if t may look at it. */
static int pidfd_mm(struct task *t, int fd, struct mm **out)
{
    struct process *p;
    int r = pidfd_target(t, fd, &p);
    if (r)
        return r;
    struct task *o = task_next(p, 0);
    process_put(p);
    if (!o)
        return -ESRCH;
    r = cred_may_ptrace(t, o);
    *out = r ? NULL : task_mm_get(o);
    task_put(o);
    return r ? r : *out ? 0 : -ESRCH;
}

static int64_t advise_all(struct mm *mm, const struct uio *u, int advice)
{
    int64_t done = 0;
    for (unsigned i = 0; i < u->count; i++) {
        int r = mm_madvise(mm, u->segs[i].addr, u->segs[i].size, advice);
        if (r)
            return done ? done : r;
        done += u->segs[i].size;
    }
    return done;
}

int64_t sys_process_madvise(struct task *t, const struct sysargs *a)
{
    int advice = a->v[3];
    struct uio u;
    struct mm *mm;
    if ((uint32_t)a->v[4])
        return -EINVAL;
    int64_t r = uio_import(&u, t->mm, uaddr(a->v[1]), a->v[2]);
    if (r)
        return r;
    r = pidfd_mm(t, (int)a->v[0], &mm);
    if (!r) {
        if (mm != t->mm && !mm_advice_remote(advice))
            r = -EINVAL;
        else if (mm != t->mm && !cred_has_cap(t->cred, CAP_SYS_NICE))
            r = -EPERM;
        else
            r = advise_all(mm, &u, advice);
        mm_put(mm);
    }
    uio_free(&u);
    return r;
}

/* A dying process gives its memory back at its own speed, which here is at once. */
int64_t sys_process_mrelease(struct task *t, const struct sysargs *a)
{
    struct process *p;
    if ((uint32_t)a->v[1])
        return -EINVAL;
    int r = pidfd_target(t, (int)a->v[0], &p);
    if (r)
        return r;
    lock_acquire(&p->sig_lock);
    bool dying = p->group_exiting, gone = p->state >= PROCESS_ZOMBIE;
    lock_release(&p->sig_lock);
    process_put(p);
    return gone ? -ESRCH : dying ? 0 : -EINVAL;
}
