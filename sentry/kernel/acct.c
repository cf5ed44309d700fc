/* Process accounting (acct(2), acct(5)): a record for each process that ends, while it is on.
 *
 * There is one file for the whole sandbox. The last task of a process writes the record on its own
 * thread, before it lets go of its files, so that a full or slow disk delays nobody else. */
#include "kernel/kernel_priv.h"

#include "fs/vfs.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/acct.h>
#include <sys/stat.h>

#define ACCT_VERSION 3
#define AHZ_HERE     100

static struct lock g_acct_lock = LOCK_INITIALIZER(LR_LEAF);
static struct file *g_acct_file; /* lock: g_acct_lock; counted; NULL: off */
static bool g_acct_on;           /* atomic; a hint that saves the lock */

static void acct_swap(struct file *f)
{
    lock_acquire(&g_acct_lock);
    struct file *old = g_acct_file;
    g_acct_file = f;
    __atomic_store_n(&g_acct_on, f != NULL, __ATOMIC_RELAXED);
    lock_release(&g_acct_lock);
    if (old)
        file_put(old);
}

int acct_set(struct task *t, const char *name)
{
    struct open_how_k how = {.flags = O_WRONLY | O_APPEND};
    struct kstat st;
    struct file *f;
    if (!name) {
        acct_swap(NULL);
        return 0;
    }
    int r = vfs_open(t, AT_FDCWD, name, &how, &f);
    if (r)
        return r;
    r = vfs_stat(&f->path, &st);
    if (!r && !S_ISREG(st.mode))
        r = -EACCES;
    if (!r && !f->ops->write)
        r = -EIO;
    if (r)
        file_put(f);
    else
        acct_swap(f);
    return r;
}

/* A 13-bit mantissa and a 3-bit exponent of base 8. */
static comp_t comp_of(uint64_t v)
{
    unsigned exponent = 0, round = 0;
    while (v > 0x1fff && exponent < 7) {
        round = v & 4;
        v >>= 3;
        exponent++;
    }
    if (round && ++v > 0x1fff) {
        v >>= 3;
        exponent++;
    }
    return exponent > 7 || v > 0x1fff ? 0xffff : exponent << 13 | v;
}

static comp_t comp_time(const struct timeval *tv)
{
    return comp_of(tv->tv_sec * AHZ_HERE + tv->tv_usec * AHZ_HERE / 1000000);
}

static void acct_fill(struct task *t, int status, struct acct_v3 *a)
{
    struct process *p = t->process;
    struct mm_usage mu = {0};
    struct rusage u;
    int64_t now = 0, up = time_now() - p->start_ns;
    (void)time_clock_get(CLOCK_REALTIME, &now);
    usage_process(p, &u);
    if (t->mm)
        mm_usage_get(t->mm, &mu);
    *a = (struct acct_v3){.ac_version = ACCT_VERSION,
                          .ac_exitcode = status & 0x7f ? status & 0x7f : status,
                          .ac_uid = t->cred->uid,
                          .ac_gid = t->cred->gid,
                          .ac_pid = p->pid,
                          .ac_ppid = process_ppid(p),
                          .ac_btime = (now - up) / NSEC_PER_SEC,
                          .ac_etime = (float)up * AHZ_HERE / NSEC_PER_SEC,
                          .ac_utime = comp_time(&u.ru_utime),
                          .ac_stime = comp_time(&u.ru_stime),
                          .ac_mem = comp_of(mu.vm_size / 1024),
                          .ac_minflt = comp_of(u.ru_minflt),
                          .ac_majflt = comp_of(u.ru_majflt)};
    a->ac_flag = (p->did_exec ? 0 : AFORK) | (status & 0x80 ? ACORE : 0) |
                 (status & 0x7f ? AXSIG : 0);
    task_comm(t, a->ac_comm);
}

void acct_process(struct task *t)
{
    struct acct_v3 a;
    struct uio u;
    if (!__atomic_load_n(&g_acct_on, __ATOMIC_RELAXED))
        return;
    lock_acquire(&g_acct_lock);
    struct file *f = g_acct_file;
    if (f)
        file_get(f);
    lock_release(&g_acct_lock);
    if (!f)
        return;
    lock_acquire(&t->process->sig_lock);
    int status = t->process->group_exiting ? t->process->exit_status : t->exit_code;
    lock_release(&t->process->sig_lock);
    acct_fill(t, status, &a);
    uio_init_kernel(&u, &a, sizeof(a));
    (void)vfs_pwrite(t, f, &u, 0, 0); /* O_APPEND: at the end; a full disk loses records */
    file_put(f);
}
