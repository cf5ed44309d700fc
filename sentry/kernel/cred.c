/* Credentials: immutable, counted, replaced as a whole by their own task. */
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include "fs/vfs.h"
#include <errno.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* ---- objects ----------------------------------------------------------------------------------
 */

struct cred *cred_get(struct cred *c)
{
    ref_get(&c->ref);
    return c;
}

void cred_put(struct cred *c)
{
    if (!ref_put(&c->ref))
        return;
    user_ns_put(c->user_ns);
    free(c->groups);
    free(c);
}

static int compare_gid(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sift_down(uint32_t *v, unsigned root, unsigned count)
{
    for (unsigned child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && v[child] < v[child + 1])
            child++;
        if (v[root] >= v[child])
            return;
        uint32_t x = v[root];
        v[root] = v[child];
        v[child] = x;
    }
}

/* A heap sort. libc's qsort asks the host for the size of its memory before it sorts more than a
 * kilobyte, which is a call that our list does not have. */
static void sort_gids(uint32_t *v, unsigned count)
{
    for (unsigned i = count / 2; i-- > 0;)
        sift_down(v, i, count);
    for (unsigned n = count; n > 1; n--) {
        uint32_t x = v[0];
        v[0] = v[n - 1];
        v[n - 1] = x;
        sift_down(v, 0, n - 1);
    }
}

static int cred_groups_set(struct cred *c, const uint32_t *groups, unsigned count)
{
    uint32_t *copy = count ? malloc(count * sizeof(*copy)) : NULL;
    if (count && !copy)
        return -ENOMEM;
    if (count) {
        memcpy(copy, groups, count * sizeof(*copy));
        sort_gids(copy, count);
    }
    free(c->groups);
    c->groups = copy;
    c->group_count = count;
    return 0;
}

struct cred *cred_copy(const struct cred *c)
{
    struct cred *n = malloc(sizeof(*n));
    if (!n)
        return NULL;
    *n = *c;
    ref_init(&n->ref);
    n->groups = NULL;
    if (cred_groups_set(n, c->groups, c->group_count)) {
        free(n);
        return NULL;
    }
    user_ns_get(n->user_ns);
    return n;
}

int cred_new_root(uint32_t uid, uint32_t gid, const uint32_t *groups, unsigned count, uint64_t caps,
                  struct cred **out)
{
    struct cred *c = calloc(1, sizeof(*c));
    if (!c || cred_groups_set(c, groups, count)) {
        free(c);
        return -ENOMEM;
    }
    ref_init(&c->ref);
    c->uid = c->euid = c->suid = c->fsuid = uid;
    c->gid = c->egid = c->sgid = c->fsgid = gid;
    c->cap_bounding = caps;
    c->cap_permitted = c->cap_effective = uid == 0 ? caps : 0;
    c->user_ns = g_kernel.root_user_ns;
    user_ns_get(c->user_ns);
    *out = c;
    return 0;
}

void cred_commit(struct task *t, struct cred *next)
{
    lock_acquire(&t->lock);
    struct cred *old = t->cred;
    t->cred = next;
    lock_release(&t->lock);
    if (old)
        cred_put(old);
}

/* ---- questions --------------------------------------------------------------------------------
 */

bool cred_has_cap(const struct cred *c, int cap)
{
    return c->user_ns == g_kernel.root_user_ns && (c->cap_effective & 1ull << cap);
}

bool cred_in_group(const struct cred *c, uint32_t gid)
{
    return gid == c->fsgid ||
           (c->group_count && bsearch(&gid, c->groups, c->group_count, sizeof(gid), compare_gid));
}

int cred_may_ptrace(struct task *t, struct task *target)
{
    if (t->process == target->process)
        return 0;
    struct cred *tc = task_cred_get(target);
    const struct cred *c = t->cred;
    bool same = c->uid == tc->uid && c->uid == tc->euid && c->uid == tc->suid &&
                c->gid == tc->gid && c->gid == tc->egid && c->gid == tc->sgid;
    bool over = cred_capable(c, tc->user_ns, CAP_SYS_PTRACE);
    bool caps = c->user_ns == tc->user_ns && !(tc->cap_permitted & ~c->cap_permitted);
    bool dumpable = __atomic_load_n(&target->process->dumpable, __ATOMIC_RELAXED);
    cred_put(tc);
    if (over)
        return 0;
    return same && caps && dumpable ? 0 : -EPERM;
}

/* ---- capability rules (capabilities(7)) ---------------------------------------------------------
 */

/* User ids changed from old to c by set*uid. */
static void cred_fix_caps(const struct cred *old, struct cred *c)
{
    uint32_t root = uid_from(c->user_ns, 0);
    bool had_root = old->uid == root || old->euid == root || old->suid == root;
    bool has_root = c->uid == root || c->euid == root || c->suid == root;
    if (c->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    if (had_root && !has_root) {
        if (!(c->securebits & SECBIT_KEEP_CAPS))
            c->cap_permitted = c->cap_effective = 0;
        c->cap_ambient = 0;
    }
    if (old->euid == root && c->euid != root)
        c->cap_effective = 0;
    if (old->euid != root && c->euid == root)
        c->cap_effective = c->cap_permitted;
}

#define CAPS_FS                                                                                    \
    (1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_DAC_READ_SEARCH |                  \
     1ull << CAP_FOWNER | 1ull << CAP_FSETID | 1ull << CAP_MKNOD | 1ull << CAP_LINUX_IMMUTABLE |   \
     1ull << CAP_MAC_OVERRIDE)

static void cred_fix_fs_caps(const struct cred *old, struct cred *c)
{
    if (c->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    uint32_t root = uid_from(c->user_ns, 0);
    if (old->fsuid == root && c->fsuid != root)
        c->cap_effective &= ~CAPS_FS;
    if (old->fsuid != root && c->fsuid == root)
        c->cap_effective |= c->cap_permitted & CAPS_FS;
}

int cred_exec_caps(const struct cred *old, struct cred *c, const struct file_caps *fc)
{
    bool noroot = c->securebits & SECBIT_NOROOT, effective = fc && fc->effective;
    bool setid = c->euid != old->euid || c->egid != old->egid;
    uint64_t permitted = fc ? (fc->permitted & c->cap_bounding) |
                                  (fc->inheritable & c->cap_inheritable)
                            : 0;
    if (effective && (fc->permitted & ~permitted))
        return -EPERM;
    /* A program that is set-user-id root *and* has capabilities gets but those. */
    uint32_t zero = uid_from(c->user_ns, 0);
    bool root = !noroot && (c->euid == zero || c->uid == zero) &&
                !(fc && c->uid != zero && c->euid == zero);
    if (root) {
        permitted = c->cap_bounding | c->cap_inheritable;
        effective |= c->euid == zero;
    }
    if (setid || fc)
        c->cap_ambient = 0;
    c->cap_permitted = permitted | c->cap_ambient;
    c->cap_effective = effective ? c->cap_permitted : c->cap_ambient;
    c->securebits &= ~SECBIT_KEEP_CAPS;
    return 0;
}

/* ---- changing ids -----------------------------------------------------------------------------
 */

static int cred_swap_uids(struct task *t, struct cred *c)
{
    bool changed = c->euid != t->cred->euid || c->fsuid != t->cred->fsuid ||
                   c->egid != t->cred->egid || c->fsgid != t->cred->fsgid;
    if (changed) {
        __atomic_store_n(&t->process->dumpable, false, __ATOMIC_RELAXED);
        t->pdeath_signal = 0;
    }
    if (c->uid != t->cred->uid) /* told by execve(2), as set*uid must not fail for it */
        t->nproc_exceeded = nproc_over(t->process, c->uid);
    cred_commit(t, c);
    return 0;
}

#define KEEP UINT32_MAX

int cred_setuid(struct task *t, uint32_t uid)
{
    const struct cred *o = t->cred;
    bool priv = cred_capable_here(o, CAP_SETUID);
    if (uid == KEEP)
        return -EINVAL;
    if (!priv && uid != o->uid && uid != o->suid)
        return -EPERM;
    struct cred *c = cred_copy(o);
    if (!c)
        return -ENOMEM;
    if (priv)
        c->uid = c->suid = uid;
    c->euid = c->fsuid = uid;
    cred_fix_caps(o, c);
    return cred_swap_uids(t, c);
}

int cred_setreuid(struct task *t, uint32_t ruid, uint32_t euid)
{
    const struct cred *o = t->cred;
    bool priv = cred_capable_here(o, CAP_SETUID);
    if (!priv && ruid != KEEP && ruid != o->uid && ruid != o->euid)
        return -EPERM;
    if (!priv && euid != KEEP && euid != o->uid && euid != o->euid && euid != o->suid)
        return -EPERM;
    struct cred *c = cred_copy(o);
    if (!c)
        return -ENOMEM;
    if (ruid != KEEP)
        c->uid = ruid;
    if (euid != KEEP)
        c->euid = euid;
    if (ruid != KEEP || (euid != KEEP && euid != o->uid))
        c->suid = c->euid;
    c->fsuid = c->euid;
    cred_fix_caps(o, c);
    return cred_swap_uids(t, c);
}

static bool id_among(uint32_t id, uint32_t a, uint32_t b, uint32_t c)
{
    return id == KEEP || id == a || id == b || id == c;
}

int cred_setresuid(struct task *t, uint32_t ruid, uint32_t euid, uint32_t suid)
{
    const struct cred *o = t->cred;
    bool ok = id_among(ruid, o->uid, o->euid, o->suid) &&
              id_among(euid, o->uid, o->euid, o->suid) && id_among(suid, o->uid, o->euid, o->suid);
    if (!ok && !cred_capable_here(o, CAP_SETUID))
        return -EPERM;
    struct cred *c = cred_copy(o);
    if (!c)
        return -ENOMEM;
    if (ruid != KEEP)
        c->uid = ruid;
    if (euid != KEEP)
        c->euid = euid;
    if (suid != KEEP)
        c->suid = suid;
    c->fsuid = c->euid;
    cred_fix_caps(o, c);
    return cred_swap_uids(t, c);
}

int cred_setgid(struct task *t, uint32_t gid)
{
    const struct cred *o = t->cred;
    bool priv = cred_capable_here(o, CAP_SETGID);
    if (gid == KEEP)
        return -EINVAL;
    if (!priv && gid != o->gid && gid != o->sgid)
        return -EPERM;
    struct cred *c = cred_copy(o);
    if (!c)
        return -ENOMEM;
    if (priv)
        c->gid = c->sgid = gid;
    c->egid = c->fsgid = gid;
    return cred_swap_uids(t, c);
}

int cred_setregid(struct task *t, uint32_t rgid, uint32_t egid)
{
    const struct cred *o = t->cred;
    bool priv = cred_capable_here(o, CAP_SETGID);
    if (!priv && rgid != KEEP && rgid != o->gid && rgid != o->egid)
        return -EPERM;
    if (!priv && egid != KEEP && egid != o->gid && egid != o->egid && egid != o->sgid)
        return -EPERM;
    struct cred *c = cred_copy(o);
    if (!c)
        return -ENOMEM;
    if (rgid != KEEP)
        c->gid = rgid;
    if (egid != KEEP)
        c->egid = egid;
    if (rgid != KEEP || (egid != KEEP && egid != o->gid))
        c->sgid = c->egid;
    c->fsgid = c->egid;
    return cred_swap_uids(t, c);
}

int cred_setresgid(struct task *t, uint32_t rgid, uint32_t egid, uint32_t sgid)
{
    const struct cred *o = t->cred;
    bool ok = id_among(rgid, o->gid, o->egid, o->sgid) &&
              id_among(egid, o->gid, o->egid, o->sgid) && id_among(sgid, o->gid, o->egid, o->sgid);
    if (!ok && !cred_capable_here(o, CAP_SETGID))
        return -EPERM;
    struct cred *c = cred_copy(o);
    if (!c)
        return -ENOMEM;
    if (rgid != KEEP)
        c->gid = rgid;
    if (egid != KEEP)
        c->egid = egid;
    if (sgid != KEEP)
        c->sgid = sgid;
    c->fsgid = c->egid;
    return cred_swap_uids(t, c);
}

uint32_t cred_setfsuid(struct task *t, uint32_t uid)
{
    const struct cred *o = t->cred;
    uint32_t old = o->fsuid;
    bool ok = uid == o->uid || uid == o->euid || uid == o->suid || uid == o->fsuid ||
              cred_capable_here(o, CAP_SETUID);
    struct cred *c = ok && uid != KEEP && uid != old ? cred_copy(o) : NULL;
    if (!c)
        return old;
    c->fsuid = uid;
    cred_fix_fs_caps(o, c);
    cred_swap_uids(t, c);
    return old;
}

uint32_t cred_setfsgid(struct task *t, uint32_t gid)
{
    const struct cred *o = t->cred;
    uint32_t old = o->fsgid;
    bool ok = gid == o->gid || gid == o->egid || gid == o->sgid || gid == o->fsgid ||
              cred_capable_here(o, CAP_SETGID);
    struct cred *c = ok && gid != KEEP && gid != old ? cred_copy(o) : NULL;
    if (!c)
        return old;
    c->fsgid = gid;
    cred_swap_uids(t, c);
    return old;
}

int cred_setgroups(struct task *t, const uint32_t *groups, unsigned count)
{
    if (!cred_capable_here(t->cred, CAP_SETGID))
        return -EPERM;
    struct cred *c = cred_copy(t->cred);
    if (!c)
        return -ENOMEM;
    if (cred_groups_set(c, groups, count)) {
        cred_put(c);
        return -ENOMEM;
    }
    cred_commit(t, c);
    return 0;
}

/* ---- changing capabilities ----------------------------------------------------------------------
 */

int cred_capset(struct task *t, uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    const struct cred *o = t->cred;
    effective &= CAP_ALL, permitted &= CAP_ALL, inheritable &= CAP_ALL;
    bool setpcap = o->cap_effective & 1ull << CAP_SETPCAP;
    if (!setpcap && (inheritable & ~(o->cap_inheritable | o->cap_permitted)))
        return -EPERM;
    if (inheritable & ~(o->cap_inheritable | o->cap_bounding))
        return -EPERM;
    if ((permitted & ~o->cap_permitted) || (effective & ~permitted))
        return -EPERM;
    struct cred *c = cred_copy(o);
    if (!c)
        return -ENOMEM;
    c->cap_effective = effective;
    c->cap_permitted = permitted;
    c->cap_inheritable = inheritable;
    c->cap_ambient &= permitted & inheritable;
    cred_commit(t, c);
    return 0;
}

static int prctl_securebits(struct task *t, struct cred *c, uint64_t bits)
{
    unsigned locked = c->securebits & SECURE_ALL_LOCKS;
    unsigned changed = (c->securebits ^ (unsigned)bits) & SECURE_ALL_BITS;
    if (bits & ~(uint64_t)(SECURE_ALL_BITS | SECURE_ALL_LOCKS))
        return -EPERM;
    if ((changed & (locked >> 1)) || (locked & ~bits) || !cred_capable_here(t->cred, CAP_SETPCAP))
        return -EPERM;
    c->securebits = bits;
    return 0;
}

static int prctl_ambient(struct task *t, struct cred *c, const uint64_t *a)
{
    uint64_t bit = a[1] < 64 ? 1ull << a[1] : 0;
    if (a[0] == PR_CAP_AMBIENT_CLEAR_ALL) {
        if (a[1] | a[2] | a[3])
            return -EINVAL;
        c->cap_ambient = 0;
        return 0;
    }
    if (!(bit & CAP_ALL) || a[2] || a[3])
        return -EINVAL;
    if (a[0] == PR_CAP_AMBIENT_IS_SET)
        return !!(c->cap_ambient & bit);
    if (a[0] == PR_CAP_AMBIENT_LOWER) {
        c->cap_ambient &= ~bit;
        return 0;
    }
    if (a[0] != PR_CAP_AMBIENT_RAISE)
        return -EINVAL;
    if (!(c->cap_permitted & c->cap_inheritable & bit) ||
        (c->securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
        return -EPERM;
    c->cap_ambient |= bit;
    return 0;
}

static int prctl_edit(struct task *t, struct cred *c, int option, const uint64_t *a)
{
    switch (option) {
    case PR_SET_KEEPCAPS:
        if (a[0] > 1)
            return -EINVAL;
        if (c->securebits & SECBIT_KEEP_CAPS_LOCKED)
            return -EPERM;
        c->securebits = (c->securebits & ~SECBIT_KEEP_CAPS) | (a[0] ? SECBIT_KEEP_CAPS : 0);
        return 0;
    case PR_SET_SECUREBITS:
        return prctl_securebits(t, c, a[0]);
    case PR_CAPBSET_DROP:
        if (!cred_capable_here(t->cred, CAP_SETPCAP))
            return -EPERM;
        if (a[0] > 63 || !(CAP_ALL & 1ull << a[0]))
            return -EINVAL;
        c->cap_bounding &= ~(1ull << a[0]);
        return 0;
    case PR_SET_NO_NEW_PRIVS:
        if (a[0] != 1 || a[1] || a[2] || a[3])
            return -EINVAL;
        c->no_new_privs = true;
        return 0;
    case PR_CAP_AMBIENT:
        return prctl_ambient(t, c, a);
    }
    return -EINVAL;
}

int64_t cred_prctl(struct task *t, int option, const uint64_t *a)
{
    const struct cred *o = t->cred;
    switch (option) {
    case PR_GET_KEEPCAPS:
        return !!(o->securebits & SECBIT_KEEP_CAPS);
    case PR_GET_SECUREBITS:
        return o->securebits;
    case PR_CAPBSET_READ:
        return a[0] > 63 || !(CAP_ALL & 1ull << a[0]) ? -EINVAL
                                                      : !!(o->cap_bounding & 1ull << a[0]);
    case PR_GET_NO_NEW_PRIVS:
        return a[0] | a[1] | a[2] | a[3] ? -EINVAL : o->no_new_privs;
    }
    struct cred *c = cred_copy(o);
    if (!c)
        return -ENOMEM;
    int r = prctl_edit(t, c, option, a);
    if (r < 0)
        cred_put(c);
    else
        cred_commit(t, c);
    return r;
}
