/* userfaultfd(2): page faults of a range as messages to read, answered by ioctls.
 *
 * A faulting task puts a fault on its stack into the list and sleeps until somebody wakes its
 * address (a copy, a zero page, an unprotect, UFFDIO_WAKE, the last close); then it tries again. A
 * system call that touches such a page fails with EFAULT inside, waits at the top of the task loop,
 * where no lock is held, and is answered again.
 *
 * The file holds the address space, the address space's VMAs hold the object: closing the file
 * unregisters everything, so that the circle ends. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define FEATURES                                                                                   \
    (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_SIGBUS | UFFD_FEATURE_THREAD_ID |               \
     UFFD_FEATURE_EXACT_ADDRESS | UFFD_FEATURE_MISSING_SHMEM)
#define API_IOCTLS   (1ull << _UFFDIO_REGISTER | 1ull << _UFFDIO_UNREGISTER | 1ull << _UFFDIO_API)
#define RANGE_IOCTLS (1ull << _UFFDIO_WAKE | 1ull << _UFFDIO_COPY | 1ull << _UFFDIO_ZEROPAGE)

struct uffd {
    struct uffd_hook hook; /* the file has a reference, and each VMA */
    struct lock lock;      /* LR_LEAF */
    struct mm *mm;         /* const; counted, until the file is closed */
    bool user_only;        /* const; faults of system calls are errors */
    bool ready, closed;    /* atomic; UFFDIO_API is done; the file is gone */
    uint64_t features;     /* const once ready */
    struct list faults;    /* lock: lock */
    unsigned unread;       /* lock: lock to write, atomic to read */
    struct waitq read_wq, fault_wq;
};

struct uffd_fault {        /* on the stack of the task that waits */
    struct list_node node; /* lock: uffd.lock */
    struct uffd_msg msg;
    uint64_t page;
    bool read;  /* lock: uffd.lock */
    bool woken; /* atomic; set last, the fault may vanish then */
};

static const struct file_ops g_uffd_ops;

/* ---- faults -----------------------------------------------------------------------------------
 */

static void fault_add(struct uffd *u, struct uffd_fault *pf)
{
    lock_acquire(&u->lock);
    list_push_back(&u->faults, &pf->node);
    __atomic_store_n(&u->unread, u->unread + 1, __ATOMIC_RELEASE);
    lock_release(&u->lock);
    waitq_wake(&u->read_wq, POLLIN | POLLRDNORM);
}

static void fault_del_locked(struct uffd *u, struct uffd_fault *pf)
{
    list_del(&pf->node);
    if (!pf->read)
        __atomic_store_n(&u->unread, u->unread - 1, __ATOMIC_RELEASE);
}

static void fault_cancel(struct uffd *u, struct uffd_fault *pf)
{
    LOCK_GUARD(&u->lock);
    if (list_linked(&pf->node))
        fault_del_locked(u, pf);
}

static void wake_range(struct uffd *u, uint64_t start, uint64_t end)
{
    struct uffd_fault *pf, *tmp;
    lock_acquire(&u->lock);
    list_for_each_safe(pf, tmp, &u->faults, node)
    {
        if (pf->page < start || pf->page >= end)
            continue;
        fault_del_locked(u, pf);
        __atomic_store_n(&pf->woken, true, __ATOMIC_RELEASE);
    }
    lock_release(&u->lock);
    waitq_wake(&u->fault_wq, ~0u);
}

static void fault_message(struct uffd *u, struct task *t, uint64_t addr, unsigned access,
                          unsigned why, struct uffd_fault *pf)
{
    *pf = (struct uffd_fault){.page = page_down(addr), .msg = {.event = UFFD_EVENT_PAGEFAULT}};
    list_node_init(&pf->node);
    pf->msg.arg.pagefault.address =
        u->features & UFFD_FEATURE_EXACT_ADDRESS ? addr : page_down(addr);
    if (access == 2 /* PL_WRITE */)
        pf->msg.arg.pagefault.flags |= UFFD_PAGEFAULT_FLAG_WRITE;
    if (why == MM_UFFD_WP)
        pf->msg.arg.pagefault.flags |= UFFD_PAGEFAULT_FLAG_WP;
    if (u->features & UFFD_FEATURE_THREAD_ID)
        pf->msg.arg.pagefault.feat.ptid = t->vtid;
}

/* The fault is in the list first, then looked at again: an answer in between is not missed. */
static void fault_wait(struct uffd *u, struct task *t, uint64_t addr, unsigned access, unsigned why)
{
    struct uffd_fault pf;
    struct uffd_hook *h;
    fault_message(u, t, addr, access, why, &pf);
    fault_add(u, &pf);
    if (mm_uffd_fault(t->mm, addr, access, &h)) {
        if (ref_put(&h->ref))
            h->release(h);
        (void)wait_event(t, &u->fault_wq, DEADLINE_NONE,
                         __atomic_load_n(&pf.woken, __ATOMIC_ACQUIRE) ||
                             __atomic_load_n(&u->closed, __ATOMIC_ACQUIRE));
    }
    fault_cancel(u, &pf);
}

int userfault_handle(struct task *t, uint64_t addr, unsigned access, bool in_kernel)
{
    struct uffd_hook *h;
    unsigned why = mm_uffd_fault(t->mm, addr, access, &h);
    if (!why)
        return 0;
    struct uffd *u = container_of(h, struct uffd, hook);
    int r = 0;
    if (u->features & UFFD_FEATURE_SIGBUS || (in_kernel && u->user_only))
        r = -EIO;
    else if (!__atomic_load_n(&u->closed, __ATOMIC_ACQUIRE))
        fault_wait(u, t, addr, access, why);
    if (ref_put(&h->ref))
        h->release(h);
    return r;
}

/* ---- the descriptor ---------------------------------------------------------------------------
 */

static bool message_take(struct uffd *u, struct uffd_msg *out)
{
    struct uffd_fault *pf;
    LOCK_GUARD(&u->lock);
    list_for_each(pf, &u->faults, node)
    {
        if (pf->read)
            continue;
        pf->read = true;
        __atomic_store_n(&u->unread, u->unread - 1, __ATOMIC_RELEASE);
        *out = pf->msg;
        return true;
    }
    return false;
}

static int64_t uffd_read(struct file *f, struct uio *io, int64_t pos)
{
    struct uffd *u = f->priv;
    struct task *t = task_current();
    struct uffd_msg m;
    int64_t done = 0;
    if (!u->ready || io->remaining < sizeof(m))
        return -EINVAL;
    while (io->remaining >= sizeof(m)) {
        if (message_take(u, &m)) {
            if (uio_to_user(io, &m, sizeof(m)) != sizeof(m))
                return done ? done : -EFAULT;
            done += sizeof(m);
        } else if (done) {
            return done;
        } else if (file_nonblock(f, io) || !t) {
            return -EAGAIN;
        } else {
            int r = wait_event(t, &u->read_wq, DEADLINE_NONE,
                               __atomic_load_n(&u->unread, __ATOMIC_ACQUIRE));
            if (r)
                return r;
        }
    }
    return done;
}

/* poll never promises more than a blocking read could keep. */
static unsigned uffd_poll(struct file *f)
{
    struct uffd *u = f->priv;
    if (!u->ready || !(__atomic_load_n(&f->flags, __ATOMIC_RELAXED) & O_NONBLOCK))
        return POLLERR;
    return __atomic_load_n(&u->unread, __ATOMIC_ACQUIRE) ? POLLIN | POLLRDNORM : 0;
}

static struct waitq *uffd_waitq(struct file *f)
{
    return &((struct uffd *)f->priv)->read_wq;
}

static void uffd_free(struct uffd_hook *h)
{
    struct uffd *u = container_of(h, struct uffd, hook);
    lock_destroy(&u->lock);
    free(u);
}

static void uffd_release(struct file *f)
{
    struct uffd *u = f->priv;
    struct mm *mm = u->mm;
    __atomic_store_n(&u->closed, true, __ATOMIC_RELEASE);
    (void)mm_uffd_unregister(mm, 0, 0x7ffffffff000ull, &u->hook);
    wake_range(u, 0, UINT64_MAX);
    if (ref_put(&u->hook.ref))
        uffd_free(&u->hook);
    mm_put(mm);
}

static int uffd_fdinfo(struct file *f, char *buf, size_t size)
{
    struct uffd *u = f->priv;
    struct uffd_fault *pf;
    unsigned total = 0;
    LOCK_GUARD(&u->lock);
    list_for_each(pf, &u->faults, node) total++;
    return snprintf(buf, size, "pending:\t%u\ntotal:\t%u\nAPI:\t%llx:%llx:%llx\n", u->unread, total,
                    UFFD_API, (unsigned long long)u->features,
                    (unsigned long long)(API_IOCTLS | RANGE_IOCTLS));
}

static int uffd_name(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:[userfaultfd]");
}

/* ---- ioctls -----------------------------------------------------------------------------------
 */

static int64_t do_api(struct task *t, struct uffd *u, uint64_t arg)
{
    struct uffdio_api a;
    if (u->ready)
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &a, uaddr(arg)))
        return -EFAULT;
    bool good = a.api == UFFD_API && !(a.features & ~(uint64_t)FEATURES);
    uint64_t features = a.features;
    a = good ? (struct uffdio_api){.api = UFFD_API, .features = FEATURES, .ioctls = API_IOCTLS}
             : (struct uffdio_api){0};
    if (uaccess_write_obj(t->mm, uaddr(arg), &a))
        return -EFAULT;
    if (!good)
        return -EINVAL;
    u->features = features;
    __atomic_store_n(&u->ready, true, __ATOMIC_RELEASE);
    return 0;
}

static int range_check(uint64_t start, uint64_t size)
{
    uint64_t end;
    if (page_offset(start) || page_offset(size) || !size || !add_u64(start, size, &end) ||
        start < 65536 || end > 0x7ffffffff000ull)
        return -EINVAL;
    return 0;
}

static int64_t do_register(struct task *t, struct uffd *u, uint64_t arg)
{
    struct uffdio_register r;
    if (uaccess_read_obj(t->mm, &r, uaddr(arg)))
        return -EFAULT;
    bool wp = r.mode & UFFDIO_REGISTER_MODE_WP;
    if (!r.mode || r.mode & ~(uint64_t)(UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP) ||
        range_check(r.range.start, r.range.len))
        return -EINVAL;
    unsigned modes =
        (wp ? MM_UFFD_WP : 0) | (r.mode & UFFDIO_REGISTER_MODE_MISSING ? MM_UFFD_MISSING : 0);
    int e = mm_uffd_register(u->mm, r.range.start, r.range.len, &u->hook, modes);
    if (e)
        return e;
    r.ioctls = RANGE_IOCTLS | (wp ? 1ull << _UFFDIO_WRITEPROTECT : 0);
    return uaccess_write_obj(t->mm, uaddr(arg), &r);
}

static int64_t do_unregister(struct task *t, struct uffd *u, uint64_t arg)
{
    struct uffdio_range r;
    if (uaccess_read_obj(t->mm, &r, uaddr(arg)))
        return -EFAULT;
    int e = range_check(r.start, r.len);
    if (!e)
        e = mm_uffd_unregister(u->mm, r.start, r.len, NULL);
    if (!e)
        wake_range(u, r.start, r.start + r.len);
    return e;
}

static int64_t do_wake(struct task *t, struct uffd *u, uint64_t arg)
{
    struct uffdio_range r;
    if (uaccess_read_obj(t->mm, &r, uaddr(arg)))
        return -EFAULT;
    int e = range_check(r.start, r.len);
    if (!e)
        wake_range(u, r.start, r.start + r.len);
    return e;
}

/* Place pages one by one from the reader's memory at src (0: zeros). What was done, or the error of
 * the first. */
static int64_t place(struct task *t, struct uffd *u, uint64_t dst, uint64_t src, uint64_t size,
                     bool zero, bool protect)
{
    uint8_t *page = zero ? NULL : malloc(RF_PAGE_SIZE);
    int64_t done = 0, r = zero || page ? 0 : -ENOMEM;
    for (; !r && (uint64_t)done < size; done += r ? 0 : RF_PAGE_SIZE) {
        if (!zero && uaccess_read(t->mm, page, uaddr(src + done), RF_PAGE_SIZE))
            r = -EFAULT;
        else
            r = mm_uffd_place(u->mm, dst + done, &u->hook, page, protect);
        if (!r && signal_pending(t))
            size = done + RF_PAGE_SIZE;
    }
    free(page);
    return done ? done : r;
}

static int64_t placed(struct task *t, struct uffd *u, uint64_t result, int64_t done, uint64_t start,
                      uint64_t size, bool wake)
{
    if (uaccess_write_obj(t->mm, uaddr(result), &done))
        return -EFAULT;
    if (done < 0)
        return done;
    if (wake)
        wake_range(u, start, start + done);
    return (uint64_t)done == size ? 0 : -EAGAIN;
}

static int64_t do_copy(struct task *t, struct uffd *u, uint64_t arg)
{
    struct uffdio_copy c;
    uint64_t end;
    if (uaccess_read(t->mm, &c, uaddr(arg), offsetof(struct uffdio_copy, copy)))
        return -EFAULT;
    if (range_check(c.dst, c.len) || !add_u64(c.src, c.len, &end) ||
        c.mode & ~(uint64_t)(UFFDIO_COPY_MODE_DONTWAKE | UFFDIO_COPY_MODE_WP))
        return -EINVAL;
    int64_t done = place(t, u, c.dst, c.src, c.len, /*zero=*/false, c.mode & UFFDIO_COPY_MODE_WP);
    return placed(t, u, arg + offsetof(struct uffdio_copy, copy), done, c.dst, c.len,
                  !(c.mode & UFFDIO_COPY_MODE_DONTWAKE));
}

static int64_t do_zeropage(struct task *t, struct uffd *u, uint64_t arg)
{
    struct uffdio_zeropage z;
    if (uaccess_read(t->mm, &z, uaddr(arg), offsetof(struct uffdio_zeropage, zeropage)))
        return -EFAULT;
    if (range_check(z.range.start, z.range.len) ||
        z.mode & ~(uint64_t)UFFDIO_ZEROPAGE_MODE_DONTWAKE)
        return -EINVAL;
    int64_t done = place(t, u, z.range.start, 0, z.range.len, /*zero=*/true, /*protect=*/false);
    return placed(t, u, arg + offsetof(struct uffdio_zeropage, zeropage), done, z.range.start,
                  z.range.len, !(z.mode & UFFDIO_ZEROPAGE_MODE_DONTWAKE));
}

static int64_t do_protect(struct task *t, struct uffd *u, uint64_t arg)
{
    struct uffdio_writeprotect w;
    if (uaccess_read_obj(t->mm, &w, uaddr(arg)))
        return -EFAULT;
    bool protect = w.mode & UFFDIO_WRITEPROTECT_MODE_WP;
    bool quiet = w.mode & UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
    if (range_check(w.range.start, w.range.len) || w.mode & ~3ull || (protect && quiet))
        return -EINVAL;
    int r = mm_uffd_protect(u->mm, w.range.start, w.range.len, &u->hook, protect);
    if (!r && !protect && !quiet)
        wake_range(u, w.range.start, w.range.start + w.range.len);
    return r;
}

static int64_t uffd_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct uffd *u = f->priv;
    if (cmd == UFFDIO_API)
        return do_api(t, u, arg);
    if (!u->ready)
        return -EINVAL;
    switch (cmd) {
    case UFFDIO_REGISTER:
        return do_register(t, u, arg);
    case UFFDIO_UNREGISTER:
        return do_unregister(t, u, arg);
    case UFFDIO_WAKE:
        return do_wake(t, u, arg);
    case UFFDIO_COPY:
        return do_copy(t, u, arg);
    case UFFDIO_ZEROPAGE:
        return do_zeropage(t, u, arg);
    case UFFDIO_WRITEPROTECT:
        return do_protect(t, u, arg);
    }
    return -EINVAL;
}

static const struct file_ops g_uffd_ops = {
    .read = uffd_read,
    .poll = uffd_poll,
    .waitq = uffd_waitq,
    .ioctl = uffd_ioctl,
    .release = uffd_release,
    .fdinfo = uffd_fdinfo,
    .fdname = uffd_name,
    .stream = true,
};

int userfaultfd_new(struct task *t, unsigned flags, struct file **out)
{
    if (!(flags & UFFD_USER_MODE_ONLY) &&
        !__atomic_load_n(&g_mm_knobs.unprivileged_userfaultfd, __ATOMIC_RELAXED) &&
        !cred_has_cap(t->cred, CAP_SYS_PTRACE))
        return -EPERM;
    if (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY))
        return -EINVAL;
    struct uffd *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    ref_init(&u->hook.ref);
    u->hook.release = uffd_free;
    lock_init(&u->lock, LR_LEAF);
    list_init(&u->faults);
    waitq_init(&u->read_wq);
    waitq_init(&u->fault_wq);
    u->user_only = flags & UFFD_USER_MODE_ONLY;
    u->mm = t->mm;
    int r = file_new_anon(&g_uffd_ops, O_RDONLY | (flags & O_NONBLOCK), u, 0600, out);
    if (r)
        uffd_free(&u->hook);
    else
        mm_get(u->mm);
    return r;
}
