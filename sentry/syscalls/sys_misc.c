/* Who and where am I: uname, sysinfo, randomness, barriers, comparisons; and calls that no sandbox
 * may make (EPERM as for one without the capability). */
#include "base/host.h"
#include "base/overflow.h"
#include "fs/vfs.h"
#include "syscalls/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/membarrier.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

/* ---- names ------------------------------------------------------------------------------------
 */

/* UNAME26 of personality(2): 2.6.60 stands for 4.0, 5.0 and 6.0 alike, and so on. */
static void release_as_26(char release[65])
{
    unsigned minor = 0;
    char rest[65] = "";
    (void)sscanf(release, "%*u.%u%*[.0-9]%64s", &minor, rest);
    snprintf(release, 65, "2.6.%u%.40s", minor + 60, rest);
}

int64_t sys_uname(struct task *t, const struct sysargs *a)
{
    struct uts u;
    _Static_assert(sizeof(struct uts) == sizeof(struct utsname), "struct uts is utsname");
    struct uts_ns *ns = t->ns_set->uts;
    lock_acquire(&ns->lock);
    u = ns->names;
    lock_release(&ns->lock);
    if (t->personality & UNAME26)
        release_as_26(u.release);
    return uaccess_write_obj(t->mm, uaddr(a->v[0]), &u);
}

static int64_t uts_set(struct task *t, const struct sysargs *a, char field[65])
{
    char name[65] = {0};
    struct uts_ns *ns = t->ns_set->uts;
    if (!cred_capable(t->cred, ns->ns.owner, CAP_SYS_ADMIN))
        return -EPERM;
    int size = (int)a->v[1];
    if (size < 0 || size > 64)
        return -EINVAL;
    if (uaccess_read(t->mm, name, uaddr(a->v[0]), size))
        return -EFAULT;
    LOCK_GUARD(&ns->lock);
    memcpy(field, name, sizeof(name));
    return 0;
}

int64_t sys_sethostname(struct task *t, const struct sysargs *a)
{
    return uts_set(t, a, t->ns_set->uts->names.nodename);
}

int64_t sys_setdomainname(struct task *t, const struct sysargs *a)
{
    return uts_set(t, a, t->ns_set->uts->names.domainname);
}

int64_t sys_sysinfo(struct task *t, const struct sysargs *a)
{
    uint64_t used = memfile_used();
    int64_t up = 0;
    (void)time_clock_get(CLOCK_BOOTTIME, &up); /* as the clocks that the guest reads */
    struct sysinfo s = {.uptime = up / NSEC_PER_SEC,
                        .totalram = g_kernel.memory_limit,
                        .freeram = g_kernel.memory_limit > used ? g_kernel.memory_limit - used : 0,
                        .procs = MIN(g_kernel.task_count, 65535u),
                        .mem_unit = 1};
    return uaccess_write_obj(t->mm, uaddr(a->v[0]), &s);
}

/* ---- the log -----------------------------------------------------------------------------------
 */

#define SYSLOG_SIZE (128 * 1024) /* what the buffer is said to hold */

static bool syslog_may(struct task *t, int type)
{
    bool open = (type == 3 || type == 10) && !__atomic_load_n(&g_dmesg_restrict, __ATOMIC_RELAXED);
    return open || cred_has_cap(t->cred, CAP_SYSLOG) || cred_has_cap(t->cred, CAP_SYS_ADMIN);
}

static int64_t syslog_give(struct task *t, uint64_t ua, const char *buf, size_t n)
{
    return n && uaccess_write(t->mm, uaddr(ua), buf, n) ? -EFAULT : (int64_t)n;
}

static int64_t syslog_read(struct task *t, int type, uint64_t ua, int size)
{
    if (!ua || size < 0)
        return -EINVAL;
    if (!size)
        return 0;
    size_t room = MIN(size, SYSLOG_SIZE), n = 0;
    char *buf = malloc(room);
    if (!buf)
        return -ENOMEM;
    int64_t r = 0;
    if (type == 2)
        r = wait_event(t, klog_waitq(), DEADLINE_NONE,
                       (n = klog_read(buf, room)) || klog_unread());
    else
        n = klog_read_all(buf, room, /*clear=*/type == 4);
    if (!r)
        r = syslog_give(t, ua, buf, n);
    free(buf);
    return r;
}

int64_t sys_syslog(struct task *t, const struct sysargs *a)
{
    int type = a->v[0], size = a->v[2];
    if (!syslog_may(t, type))
        return -EPERM;
    switch (type) {
    case 0:
    case 1:
    case 6:
    case 7:
        return 0;
    case 2:
    case 3:
    case 4:
        return syslog_read(t, type, a->v[1], size);
    case 5:
        klog_clear();
        return 0;
    case 8:
        return size < 1 || size > 8 ? -EINVAL : 0;
    case 9:
        return klog_unread();
    case 10:
        return SYSLOG_SIZE;
    }
    return -EINVAL;
}

int64_t sys_acct(struct task *t, const struct sysargs *a)
{
    char *name = NULL;
    if (!cred_has_cap(t->cred, CAP_SYS_PACCT))
        return -EPERM;
    int r = a->v[0] ? vfs_path_import(t, uaddr(a->v[0]), /*empty_ok=*/false, &name) : 0;
    if (!r)
        r = acct_set(t, name);
    free(name);
    return r;
}

/* As in a PID namespace: the sandbox's init dies by a signal that says what was wanted. */
int64_t sys_reboot(struct task *t, const struct sysargs *a)
{
    if (!cred_has_cap(t->cred, CAP_SYS_BOOT))
        return -EPERM;
    uint32_t m2 = a->v[1];
    if ((uint32_t)a->v[0] != LINUX_REBOOT_MAGIC1 ||
        (m2 != LINUX_REBOOT_MAGIC2 && m2 != LINUX_REBOOT_MAGIC2A && m2 != LINUX_REBOOT_MAGIC2B &&
         m2 != LINUX_REBOOT_MAGIC2C))
        return -EINVAL;
    switch ((uint32_t)a->v[2]) {
    case LINUX_REBOOT_CMD_CAD_ON:
    case LINUX_REBOOT_CMD_CAD_OFF:
        return 0;
    case LINUX_REBOOT_CMD_RESTART:
    case LINUX_REBOOT_CMD_RESTART2:
        process_exit_group(g_kernel.init, SIGHUP);
        return 0;
    case LINUX_REBOOT_CMD_HALT:
    case LINUX_REBOOT_CMD_POWER_OFF:
        process_exit_group(g_kernel.init, SIGINT);
        return 0;
    }
    return -EINVAL;
}

/* ---- randomness -------------------------------------------------------------------------------
 */

int64_t sys_getrandom(struct task *t, const struct sysargs *a)
{
    uint8_t buf[4096];
    uint64_t size = MIN(a->v[1], (uint64_t)INT32_MAX), done = 0;
    unsigned flags = a->v[2];
    if ((flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    while (done < size) {
        size_t n = MIN(size - done, sizeof(buf));
        if (host_getrandom(buf, n))
            return done ? (int64_t)done : -EAGAIN;
        struct uaddr to = uaddr(a->v[0] + done);
        if (uaccess_write(t->mm, to, buf, n)) {
            uint64_t room = PL_PAGE_SIZE - to.v % PL_PAGE_SIZE; /* what lies before the bad page counts */
            if (room < n && !uaccess_write(t->mm, to, buf, room))
                done += room;
            return done ? (int64_t)done : -EFAULT;
        }
        done += n;
        if (done < size && signal_pending(t))
            return done;
    }
    return done;
}

/* ---- barriers ---------------------------------------------------------------------------------
 */

#ifndef MEMBARRIER_CMD_GET_REGISTRATIONS
#define MEMBARRIER_CMD_GET_REGISTRATIONS (1 << 9)
#endif
#define MEMBARRIER_ALL                                                                             \
    (MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |                                     \
     MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |                 \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |      \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE |                                         \
     MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ |      \
     MEMBARRIER_CMD_GET_REGISTRATIONS)

/* The special kinds count as registration for the plain one too, though they do not permit it. */
static int membarrier_registered(struct process *p)
{
    int set = __atomic_load_n(&p->membarrier, __ATOMIC_RELAXED);
    if (set & (MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE |
               MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ))
        set |= MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    return set;
}

int64_t sys_membarrier(struct task *t, const struct sysargs *a)
{
    int cmd = a->v[0];
    unsigned flags = a->v[1];
    if (flags && (cmd != MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ || flags != MEMBARRIER_CMD_FLAG_CPU))
        return -EINVAL;
    switch (cmd) {
    case MEMBARRIER_CMD_QUERY:
        return MEMBARRIER_ALL;
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ:
        __atomic_or_fetch(&t->process->membarrier, cmd, __ATOMIC_RELAXED);
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ:
        if (!(__atomic_load_n(&t->process->membarrier, __ATOMIC_RELAXED) & cmd << 1))
            return -EPERM;
        process_barrier(t->process);
        return 0;
    case MEMBARRIER_CMD_GET_REGISTRATIONS:
        return membarrier_registered(t->process);
    case MEMBARRIER_CMD_GLOBAL:
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED: {
        struct process *p;
        for (int pid = 0; (p = process_next(pid)); process_put(p)) {
            pid = p->pid;
            process_barrier(p);
        }
        return 0;
    }
    }
    return -EINVAL;
}

/* ---- kcmp -------------------------------------------------------------------------------------
 */

static int order(uint64_t a, uint64_t b)
{
    return a == b ? 0 : a < b ? 1 : 2;
}

static uint64_t scramble(const void *p)
{
    return (uintptr_t)p * 0x9e3779b97f4a7c15ull; /* an order that gives no address away */
}

static int64_t kcmp_file(struct task *x, struct task *y, int fx, int fy)
{
    struct fdtable *tx = task_fds_get(x), *ty = task_fds_get(y);
    struct file *a = tx ? fdtable_get(tx, fx) : NULL, *b = ty ? fdtable_get(ty, fy) : NULL;
    int64_t r = a && b ? order(scramble(a), scramble(b)) : -EBADF;
    if (a)
        file_put(a);
    if (b)
        file_put(b);
    if (tx)
        fdtable_put(tx, NULL);
    if (ty)
        fdtable_put(ty, NULL);
    return r;
}

static int64_t kcmp_pair(struct task *x, struct task *y, const struct sysargs *a)
{
    switch ((int)a->v[2]) {
    case KCMP_FILE:
        return kcmp_file(x, y, (int)a->v[3], (int)a->v[4]);
    case KCMP_VM:
        return order(scramble(x->mm), scramble(y->mm));
    case KCMP_FILES:
        return order(scramble(x->fds), scramble(y->fds));
    case KCMP_FS:
        return order(scramble(x->fs), scramble(y->fs));
    case KCMP_SIGHAND:
        return order(scramble(x->process), scramble(y->process));
    case KCMP_IO:
    case KCMP_SYSVSEM:
        return order(scramble(x), scramble(y));
    }
    return -EINVAL;
}

int64_t sys_kcmp(struct task *t, const struct sysargs *a)
{
    struct task *x = task_lookup((int)a->v[0]), *y = task_lookup((int)a->v[1]);
    int64_t r = x && y ? cred_may_ptrace(t, x) : -ESRCH;
    if (!r)
        r = cred_may_ptrace(t, y);
    if (!r)
        r = kcmp_pair(x, y, a);
    if (x)
        task_put(x);
    if (y)
        task_put(y);
    return r;
}

int64_t sys_ptrace(struct task *t, const struct sysargs *a)
{
    return ptrace_request(t, a->v[0], (int)a->v[1], a->v[2], a->v[3]);
}

/* ---- swapping: there is none; what is wrong with a call is told first -------------------------
 */

#define SWAP_FLAGS_KNOWN 0x7ffff

static int swap_path(struct task *t, uint64_t ua)
{
    char *name;
    struct path p;
    struct kstat st;
    int r = vfs_path_import(t, uaddr(ua), /*empty_ok=*/false, &name);
    if (r)
        return r;
    r = vfs_walk(t, AT_FDCWD, name, WALK_FOLLOW, &p);
    free(name);
    if (r)
        return r;
    r = vfs_stat(&p, &st);
    path_put(&p);
    return r ? r : S_ISREG(st.mode) || S_ISBLK(st.mode) ? 0 : -EINVAL;
}

int64_t sys_swapon(struct task *t, const struct sysargs *a)
{
    if (a->v[1] & ~(uint64_t)SWAP_FLAGS_KNOWN)
        return -EINVAL;
    if (!cred_has_cap(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    int r = swap_path(t, a->v[0]);
    return r ? r : -EPERM;
}

int64_t sys_swapoff(struct task *t, const struct sysargs *a)
{
    if (!cred_has_cap(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    int r = swap_path(t, a->v[0]);
    return r ? r : -EINVAL; /* nothing is swapped to */
}

/* ---- not in a sandbox --------------------------------------------------------------------------
 */

#define FORBIDDEN(name)                                                                            \
    int64_t sys_##name(struct task *t, const struct sysargs *a)                                    \
    {                                                                                              \
        return -EPERM;                                                                             \
    }
FORBIDDEN(iopl)
FORBIDDEN(ioperm)
FORBIDDEN(init_module)
FORBIDDEN(finit_module)
FORBIDDEN(delete_module)
FORBIDDEN(kexec_load)
FORBIDDEN(kexec_file_load)
FORBIDDEN(bpf)

int64_t sys_vhangup(struct task *t, const struct sysargs *a)
{
    if (!cred_has_cap(t->cred, CAP_SYS_TTY_CONFIG))
        return -EPERM;
    tty_vhangup_of(t);
    return 0;
}
