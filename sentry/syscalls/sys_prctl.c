/* prctl, arch_prctl, personality. */
#include "syscalls/prctl_priv.h"
#include "syscalls/syscalls.h"

#include "base/overflow.h"
#include <asm/prctl.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#define PR_SET_MDWE_K              65
#define PR_GET_MDWE_K              66
#define PR_MDWE_REFUSE_EXEC_GAIN_K 1
#define PR_MDWE_NO_INHERIT_K       2
#define PR_SET_MEMORY_MERGE_K      67
#define PR_GET_MEMORY_MERGE_K      68
#define PR_GET_AUXV_K              0x41555856
#define AUXV_WORDS                 54 /* Linux keeps room for this many */
#define PR_GET_TSC_ENABLE          1  /* PR_TSC_ENABLE */

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

/* Yama is not there; the argument is checked as it would. */
static int64_t set_ptracer(struct task *t, uint64_t pid)
{
    struct task *o = pid == 0 || pid == (uint64_t)-1 ? NULL : task_lookup((int)pid);
    if (pid && pid != (uint64_t)-1 && !o)
        return -EINVAL;
    if (o)
        task_put(o);
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
    case PR_SET_PTRACER:
        return set_ptracer(t, v[0]);
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

/* Flags of the task or process that change nothing here but are told back. */
static int64_t prctl_kept(struct task *t, int option, const uint64_t *v)
{
    struct process *p = t->process;
    bool extra = v[1] | v[2] | v[3];
    switch (option) {
    case PR_GET_THP_DISABLE:
        return v[0] || extra ? -EINVAL : p->thp_disable;
    case PR_SET_THP_DISABLE:
        if (extra)
            return -EINVAL;
        __atomic_store_n(&p->thp_disable, !!v[0], __ATOMIC_RELAXED);
        return 0;
    case PR_GET_IO_FLUSHER:
    case PR_SET_IO_FLUSHER:
        if (!cred_has_cap(t->cred, CAP_SYS_RESOURCE))
            return -EPERM;
        if (extra || v[0] > (option == PR_SET_IO_FLUSHER))
            return -EINVAL;
        if (option == PR_GET_IO_FLUSHER)
            return t->io_flusher;
        t->io_flusher = v[0];
        return 0;
    case PR_SET_MEMORY_MERGE_K:
        if (extra)
            return -EINVAL;
        __atomic_store_n(&p->memory_merge, !!v[0], __ATOMIC_RELAXED);
        return 0;
    case PR_GET_MEMORY_MERGE_K:
        return v[0] || extra ? -EINVAL : p->memory_merge;
    case PR_MCE_KILL_GET:
        return v[0] || extra ? -EINVAL : t->mce_policy;
    }
    return -EINVAL;
}

static int64_t set_mce_policy(struct task *t, const uint64_t *v)
{
    if (v[2] | v[3])
        return -EINVAL;
    if (v[0] == PR_MCE_KILL_CLEAR && !v[1]) {
        t->mce_policy = PR_MCE_KILL_DEFAULT;
        return 0;
    }
    if (v[0] != PR_MCE_KILL_SET || v[1] > PR_MCE_KILL_DEFAULT)
        return -EINVAL;
    t->mce_policy = v[1];
    return 0;
}

/* As a processor that needs no mitigation per task: nothing to switch. */
static int64_t speculation(bool set, const uint64_t *v)
{
    bool flush = v[0] == PR_SPEC_L1D_FLUSH;
    if (v[0] > PR_SPEC_L1D_FLUSH)
        return v[2] | v[3] ? -EINVAL : -ENODEV;
    if (v[2] | v[3] || (!set && v[1]))
        return -EINVAL;
    if (!set)
        return flush ? PR_SPEC_FORCE_DISABLE : PR_SPEC_ENABLE;
    if (v[1] != PR_SPEC_ENABLE && v[1] != PR_SPEC_DISABLE && v[1] != PR_SPEC_FORCE_DISABLE &&
        v[1] != PR_SPEC_DISABLE_NOEXEC)
        return -ERANGE;
    if (v[0] == PR_SPEC_STORE_BYPASS)
        return -ENXIO;
    return v[1] == PR_SPEC_ENABLE && !flush ? 0 : -EPERM;
}

#define MDWE_KNOWN (PR_MDWE_REFUSE_EXEC_GAIN_K | PR_MDWE_NO_INHERIT_K)

static int64_t set_mdwe(struct task *t, const uint64_t *v)
{
    struct process *p = t->process;
    if (v[1] | v[2] | v[3] || (v[0] & ~(uint64_t)MDWE_KNOWN))
        return -EINVAL;
    if ((v[0] & PR_MDWE_NO_INHERIT_K) && !(v[0] & PR_MDWE_REFUSE_EXEC_GAIN_K))
        return -EINVAL;
    if (p->mdwe && p->mdwe != v[0])
        return -EPERM; /* what is set stays */
    __atomic_store_n(&p->mdwe, v[0], __ATOMIC_RELAXED);
    return 0;
}

static int64_t get_auxv(struct task *t, const uint64_t *v)
{
    uint64_t words[AUXV_WORDS] = {0};
    if (v[2] | v[3])
        return -EINVAL;
    (void)mm_auxv_get(t->mm, words, AUXV_WORDS);
    if (uaccess_write(t->mm, uaddr(v[0]), words, MIN(v[1], (uint64_t)sizeof(words))))
        return -EFAULT;
    return sizeof(words);
}

static int64_t prctl_machine(struct task *t, int option, const uint64_t *v)
{
    switch (option) {
    case PR_GET_TSC:
        return put_int(t, v[0], PR_GET_TSC_ENABLE);
    case PR_SET_TSC:
        return v[0] == PR_GET_TSC_ENABLE ? 0 : -EINVAL;
    case PR_GET_TIMING:
        return 0;
    case PR_SET_TIMING:
        return v[0] ? -EINVAL : 0;
    case PR_MCE_KILL:
        return set_mce_policy(t, v);
    case PR_TASK_PERF_EVENTS_DISABLE:
    case PR_TASK_PERF_EVENTS_ENABLE:
        return 0;
    case PR_SET_VMA:
        return prctl_vma_name(t, v);
    case PR_GET_SPECULATION_CTRL:
        return speculation(/*set=*/false, v);
    case PR_SET_SPECULATION_CTRL:
        return speculation(/*set=*/true, v);
    case PR_SET_MDWE_K:
        return set_mdwe(t, v);
    case PR_GET_MDWE_K:
        return v[0] | v[1] | v[2] | v[3] ? -EINVAL : t->process->mdwe;
    case PR_GET_AUXV_K:
        return get_auxv(t, v);
    case PR_SET_MM:
        return prctl_set_mm(t, v);
    case PR_SET_SYSCALL_USER_DISPATCH:
        return user_dispatch_set(t, v);
    }
    return prctl_kept(t, option, v);
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
    case 0x1021: /* ARCH_GET_XCOMP_SUPP */
    case 0x1022: /* ARCH_GET_XCOMP_PERM */
        return uaccess_write_obj(t->mm, uaddr(a->v[1]), &g_kernel.platform->xfeatures);
    case 0x1024: /* ARCH_GET_XCOMP_GUEST_PERM */
        return uaccess_write_obj(t->mm, uaddr(a->v[1]), &g_kernel.platform->xfeatures);
    case 0x1023: /* ARCH_REQ_XCOMP_PERM: no feature has to be asked for */
    case 0x1025: /* ARCH_REQ_XCOMP_GUEST_PERM */
        return a->v[1] > 63 || !(g_kernel.platform->xfeatures >> a->v[1] & 1) ? -EINVAL
                                                                              : -EOPNOTSUPP;
    case 0x2001: /* ARCH_MAP_VDSO_X32 */
        return -EINVAL;
    case 0x2002: /* ARCH_MAP_VDSO_32 */
    case 0x2003: /* ARCH_MAP_VDSO_64: there is one already */
        return -EEXIST;
    case ARCH_GET_CPUID:
        return 1;
    case ARCH_SET_CPUID:
        return -ENODEV;
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
