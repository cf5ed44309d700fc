/* prctl, arch_prctl, personality, seccomp. */
#include "syscalls/syscalls.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#define PR_GET_TSC_ENABLE 1 /* PR_TSC_ENABLE */

static int64_t set_name(struct task *t, uint64_t ua)
{
    char name[16] = {0};
    ssize_t n = uaccess_read_str(t->mm, name, uaddr(ua), sizeof(name));
    if (n == -EFAULT)
        return -EFAULT;
    name[15] = 0;
    LOCK_GUARD(&t->lock);
    memset(t->comm, 0, sizeof(t->comm));
    strcpy(t->comm, name);
    return 0;
}

static int64_t get_name(struct task *t, uint64_t ua)
{
    char name[16];
    task_comm(t, name);
    return uaccess_write(t->mm, uaddr(ua), name, sizeof(name));
}

static int64_t put_int(struct task *t, uint64_t ua, int32_t v)
{
    return uaccess_write_obj(t->mm, uaddr(ua), &v);
}

static int64_t set_dumpable(struct task *t, uint64_t v)
{
    if (v > 1)
        return -EINVAL;
    __atomic_store_n(&t->process->dumpable, v, __ATOMIC_RELAXED);
    return 0;
}

static int64_t set_timer_slack(struct task *t, int64_t v)
{
    t->timer_slack_ns = v > 0 ? (uint64_t)v : t->timer_slack_default;
    return 0;
}

static int64_t prctl_process(struct task *t, int option, const uint64_t *v)
{
    switch (option) {
    case PR_SET_PDEATHSIG:
        if (v[0] > SIG_COUNT)
            return -EINVAL;
        t->pdeath_signal = v[0];
        return 0;
    case PR_GET_PDEATHSIG:
        return put_int(t, v[0], t->pdeath_signal);
    case PR_GET_DUMPABLE:
        return __atomic_load_n(&t->process->dumpable, __ATOMIC_RELAXED);
    case PR_SET_DUMPABLE:
        return set_dumpable(t, v[0]);
    case PR_SET_NAME:
        return set_name(t, v[0]);
    case PR_GET_NAME:
        return get_name(t, v[0]);
    case PR_SET_CHILD_SUBREAPER:
        __atomic_store_n(&t->process->is_subreaper, !!v[0], __ATOMIC_RELAXED);
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_int(t, v[0], __atomic_load_n(&t->process->is_subreaper, __ATOMIC_RELAXED));
    case PR_GET_TIMERSLACK:
        return t->timer_slack_ns;
    case PR_SET_TIMERSLACK:
        return set_timer_slack(t, v[0]);
    case PR_GET_TID_ADDRESS:
        return uaccess_write_obj(t->mm, uaddr(v[0]), &t->clear_child_tid);
    }
    return -EINVAL;
}

static int64_t prctl_machine(struct task *t, int option, const uint64_t *v)
{
    switch (option) {
    case PR_GET_TSC:
        return put_int(t, v[0], PR_GET_TSC_ENABLE);
    case PR_SET_TSC:
        return v[0] == PR_GET_TSC_ENABLE ? 0 : -EINVAL;
    case PR_GET_TIMING:
    case PR_GET_THP_DISABLE:
        return 0;
    case PR_SET_TIMING:
        return v[0] ? -EINVAL : 0;
    case PR_SET_THP_DISABLE:
        return v[1] | v[2] | v[3] ? -EINVAL : 0;
    case PR_MCE_KILL:
    case PR_SET_PTRACER:
    case PR_TASK_PERF_EVENTS_DISABLE:
    case PR_TASK_PERF_EVENTS_ENABLE:
        return 0;
    case PR_MCE_KILL_GET:
        return PR_MCE_KILL_DEFAULT;
    case PR_SET_VMA: /* names for /proc/PID/maps: taken, not shown */
        return v[0] ? -EINVAL : 0;
    case PR_GET_SPECULATION_CTRL:
        return v[0] > 2 ? -ENODEV : PR_SPEC_NOT_AFFECTED;
    case PR_SET_SPECULATION_CTRL:
        return v[0] > 2 ? -ENODEV : -ENXIO;
    case PR_SET_IO_FLUSHER:
    case PR_GET_IO_FLUSHER:
        return cred_has_cap(t->cred, CAP_SYS_RESOURCE) ? 0 : -EPERM;
    }
    return -EINVAL;
}

int64_t sys_prctl(struct task *t, const struct sysargs *a)
{
    int option = a->v[0];
    const uint64_t *v = a->v + 1;
    switch (option) {
    case PR_GET_SECCOMP:
        return t->seccomp_mode;
    case PR_SET_SECCOMP:
        if (v[0] == SECCOMP_MODE_STRICT)
            return seccomp_strict(t);
        return v[0] == SECCOMP_MODE_FILTER ? seccomp_filter_add(t, 0, uaddr(v[1])) : -EINVAL;
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_NO_NEW_PRIVS:
    case PR_CAP_AMBIENT:
        return cred_prctl(t, option, v);
    }
    int64_t r = prctl_process(t, option, v);
    return r == -EINVAL ? prctl_machine(t, option, v) : r;
}

int64_t sys_seccomp(struct task *t, const struct sysargs *a)
{
    uint32_t action;
    switch ((unsigned)a->v[0]) {
    case SECCOMP_SET_MODE_STRICT:
        return a->v[1] || a->v[2] ? -EINVAL : seccomp_strict(t);
    case SECCOMP_SET_MODE_FILTER:
        return seccomp_filter_add(t, a->v[1], uaddr(a->v[2]));
    case SECCOMP_GET_ACTION_AVAIL:
        if (a->v[1])
            return -EINVAL;
        if (uaccess_read_obj(t->mm, &action, uaddr(a->v[2])))
            return -EFAULT;
        return action == SECCOMP_RET_KILL_PROCESS || action == SECCOMP_RET_KILL_THREAD ||
                       action == SECCOMP_RET_TRAP || action == SECCOMP_RET_ERRNO ||
                       action == SECCOMP_RET_TRACE || action == SECCOMP_RET_LOG ||
                       action == SECCOMP_RET_ALLOW
                   ? 0
                   : -EOPNOTSUPP;
    }
    return -EINVAL; /* GET_NOTIF_SIZES: no user notification */
}

/* ---- the processor's own ----------------------------------------------------------------------
 */

static int64_t set_base(struct task *t, bool gs, uint64_t base)
{
    const struct platform *p = g_kernel.platform;
    if (base >= 0x7ffffffff000ull) /* TASK_SIZE_MAX */
        return -EPERM;
    if (t->regs_valid)
        *(gs ? &t->regs.gs_base : &t->regs.fs_base) = base;
    if (t->regs_dirty)
        return 0;
    return p->ops->ctx_set_base(t->ctx, gs, base);
}

static int64_t get_base(struct task *t, bool gs, uint64_t ua)
{
    struct user_regs_struct *r = task_regs(t);
    uint64_t base = r ? (gs ? r->gs_base : r->fs_base) : 0;
    return uaccess_write_obj(t->mm, uaddr(ua), &base);
}

int64_t sys_arch_prctl(struct task *t, const struct sysargs *a)
{
    switch ((int)a->v[0]) {
    case ARCH_SET_FS:
        return set_base(t, /*gs=*/false, a->v[1]);
    case ARCH_SET_GS:
        return set_base(t, /*gs=*/true, a->v[1]);
    case ARCH_GET_FS:
        return get_base(t, /*gs=*/false, a->v[1]);
    case ARCH_GET_GS:
        return get_base(t, /*gs=*/true, a->v[1]);
    case ARCH_GET_CPUID:
        return 1;
    case ARCH_SET_CPUID:
        return a->v[1] ? 0 : -ENODEV;
    }
    return -EINVAL;
}

int64_t sys_personality(struct task *t, const struct sysargs *a)
{
    uint64_t old = t->personality;
    uint32_t next = a->v[0];
    if (next != 0xffffffffu)
        t->personality = next;
    return old;
}
