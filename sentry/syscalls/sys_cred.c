/* User and group ids, groups, capabilities. */
#include "syscalls/syscalls.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>

int64_t sys_getuid(struct task *t, const struct sysargs *a)
{
    return uid_to(t->cred->user_ns, t->cred->uid);
}

int64_t sys_geteuid(struct task *t, const struct sysargs *a)
{
    return uid_to(t->cred->user_ns, t->cred->euid);
}

int64_t sys_getgid(struct task *t, const struct sysargs *a)
{
    return gid_to(t->cred->user_ns, t->cred->gid);
}

int64_t sys_getegid(struct task *t, const struct sysargs *a)
{
    return gid_to(t->cred->user_ns, t->cred->egid);
}

static int64_t three_out(struct task *t, const struct sysargs *a, uint32_t r, uint32_t e,
                         uint32_t s)
{
    if (uaccess_write_obj(t->mm, uaddr(a->v[0]), &r) ||
        uaccess_write_obj(t->mm, uaddr(a->v[1]), &e) ||
        uaccess_write_obj(t->mm, uaddr(a->v[2]), &s))
        return -EFAULT;
    return 0;
}

int64_t sys_getresuid(struct task *t, const struct sysargs *a)
{
    const struct user_ns *ns = t->cred->user_ns;
    return three_out(t, a, uid_to(ns, t->cred->uid), uid_to(ns, t->cred->euid),
                     uid_to(ns, t->cred->suid));
}

int64_t sys_getresgid(struct task *t, const struct sysargs *a)
{
    const struct user_ns *ns = t->cred->user_ns;
    return three_out(t, a, gid_to(ns, t->cred->gid), gid_to(ns, t->cred->egid),
                     gid_to(ns, t->cred->sgid));
}

/* An id that a guest says; -1 stays what it is. False: it says one that nobody bears. */
static bool uid_said(struct task *t, uint64_t said, uint32_t *out)
{
    *out = uid_from(t->cred->user_ns, said);
    return *out != UINT32_MAX || (uint32_t)said == UINT32_MAX;
}

static bool gid_said(struct task *t, uint64_t said, uint32_t *out)
{
    *out = gid_from(t->cred->user_ns, said);
    return *out != UINT32_MAX || (uint32_t)said == UINT32_MAX;
}

int64_t sys_setuid(struct task *t, const struct sysargs *a)
{
    return cred_setuid(t, uid_from(t->cred->user_ns, a->v[0]));
}

int64_t sys_setreuid(struct task *t, const struct sysargs *a)
{
    uint32_t r, e;
    if (!uid_said(t, a->v[0], &r) || !uid_said(t, a->v[1], &e))
        return -EINVAL;
    return cred_setreuid(t, r, e);
}

int64_t sys_setresuid(struct task *t, const struct sysargs *a)
{
    uint32_t r, e, s;
    if (!uid_said(t, a->v[0], &r) || !uid_said(t, a->v[1], &e) || !uid_said(t, a->v[2], &s))
        return -EINVAL;
    return cred_setresuid(t, r, e, s);
}

int64_t sys_setgid(struct task *t, const struct sysargs *a)
{
    return cred_setgid(t, gid_from(t->cred->user_ns, a->v[0]));
}

int64_t sys_setregid(struct task *t, const struct sysargs *a)
{
    uint32_t r, e;
    if (!gid_said(t, a->v[0], &r) || !gid_said(t, a->v[1], &e))
        return -EINVAL;
    return cred_setregid(t, r, e);
}

int64_t sys_setresgid(struct task *t, const struct sysargs *a)
{
    uint32_t r, e, s;
    if (!gid_said(t, a->v[0], &r) || !gid_said(t, a->v[1], &e) || !gid_said(t, a->v[2], &s))
        return -EINVAL;
    return cred_setresgid(t, r, e, s);
}

int64_t sys_setfsuid(struct task *t, const struct sysargs *a)
{
    uint32_t old = cred_setfsuid(t, uid_from(t->cred->user_ns, a->v[0]));
    return uid_to(t->cred->user_ns, old);
}

int64_t sys_setfsgid(struct task *t, const struct sysargs *a)
{
    uint32_t old = cred_setfsgid(t, gid_from(t->cred->user_ns, a->v[0]));
    return gid_to(t->cred->user_ns, old);
}

int64_t sys_getgroups(struct task *t, const struct sysargs *a)
{
    int size = a->v[0], count = t->cred->group_count;
    if (size < 0)
        return -EINVAL;
    if (!size)
        return count;
    if (size < count)
        return -EINVAL;
    for (int i = 0; i < count; i++) {
        uint32_t gid = gid_to(t->cred->user_ns, t->cred->groups[i]);
        if (uaccess_write_obj(t->mm, uaddr(a->v[1] + i * 4ul), &gid))
            return -EFAULT;
    }
    return count;
}

int64_t sys_setgroups(struct task *t, const struct sysargs *a)
{
    unsigned count = a->v[0];
    if (!user_ns_may_setgroups(t->cred->user_ns) || !cred_capable_here(t->cred, CAP_SETGID))
        return -EPERM;
    if (count > CRED_GROUPS_MAX)
        return -EINVAL;
    uint32_t *groups = malloc(count * 4ul + 1);
    if (!groups)
        return -ENOMEM;
    int r = uaccess_read(t->mm, groups, uaddr(a->v[1]), count * 4ul);
    for (unsigned i = 0; !r && i < count; i++)
        if ((groups[i] = gid_from(t->cred->user_ns, groups[i])) == UINT32_MAX)
            r = -EINVAL;
    if (!r)
        r = cred_setgroups(t, groups, count);
    free(groups);
    return r;
}

/* ---- capabilities ------------------------------------------------------------------------------
 */

/* How many 32-bit data words the header's version has; unknown versions are answered with ours. */
static int cap_version(struct task *t, uint64_t ua, struct __user_cap_header_struct *h)
{
    if (uaccess_read_obj(t->mm, h, uaddr(ua)))
        return -EFAULT;
    if (h->version == _LINUX_CAPABILITY_VERSION_1)
        return 1;
    if (h->version == _LINUX_CAPABILITY_VERSION_2 || h->version == _LINUX_CAPABILITY_VERSION_3)
        return 2;
    uint32_t ours = _LINUX_CAPABILITY_VERSION_3;
    if (uaccess_write_obj(t->mm, uaddr(ua), &ours))
        return -EFAULT;
    return -EINVAL;
}

int64_t sys_capget(struct task *t, const struct sysargs *a)
{
    struct __user_cap_header_struct h;
    int words = cap_version(t, a->v[0], &h);
    if (words < 0)
        return words == -EINVAL && !a->v[1] ? 0 : words;
    if (h.pid < 0)
        return -EINVAL;
    struct task *o = h.pid ? task_lookup(h.pid) : NULL;
    if (h.pid && !o)
        return -ESRCH;
    struct cred *c = task_cred_get(o ? o : t);
    if (o)
        task_put(o);
    struct __user_cap_data_struct d[2];
    for (int i = 0; i < 2; i++) {
        d[i].effective = c->cap_effective >> (32 * i);
        d[i].permitted = c->cap_permitted >> (32 * i);
        d[i].inheritable = c->cap_inheritable >> (32 * i);
    }
    cred_put(c);
    return a->v[1] ? uaccess_write(t->mm, uaddr(a->v[1]), d, words * sizeof(d[0])) : 0;
}

int64_t sys_capset(struct task *t, const struct sysargs *a)
{
    struct __user_cap_header_struct h;
    struct __user_cap_data_struct d[2] = {0};
    int words = cap_version(t, a->v[0], &h);
    if (words < 0)
        return words;
    if (h.pid && h.pid != t->vtid)
        return -EPERM;
    if (uaccess_read(t->mm, d, uaddr(a->v[1]), words * sizeof(d[0])))
        return -EFAULT;
    return cred_capset(t, d[0].effective | (uint64_t)d[1].effective << 32,
                       d[0].permitted | (uint64_t)d[1].permitted << 32,
                       d[0].inheritable | (uint64_t)d[1].inheritable << 32);
}
