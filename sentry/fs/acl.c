/* POSIX ACLs: who may what beyond the nine mode bits; see acl(5).
 *
 * An inode holds up to two lists, both shared by reference and never changed once made: the access
 * ACL, and for directories the default ACL that new entries start from. They live in the inode and
 * not among its extended attributes; sys_xattr.c leads system.posix_acl_* here. Entries stand in
 * the order in which they are tried. The mode's group bits are the ACL's mask, so a file whose
 * group bits are all clear needs no look at its list. */
#include "base/overflow.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACL_XATTR_VERSION 2u
#define ACL_ENTRIES_MAX   8192u

enum { /* the tags of linux/posix_acl_xattr.h */
       TAG_USER_OBJ = 0x01,
       TAG_USER = 0x02,
       TAG_GROUP_OBJ = 0x04,
       TAG_GROUP = 0x08,
       TAG_MASK = 0x10,
       TAG_OTHER = 0x20,
};

struct acl_entry { /* as in the attribute's value */
    uint16_t tag, perm;
    uint32_t id;
};

struct acl {
    struct ref ref;
    unsigned count;
    struct acl_entry e[];
};

static struct lock g_lock = LOCK_INITIALIZER(LR_LEAF); /* guards every inode.acl */

static struct acl *acl_new(unsigned count)
{
    struct acl *a = malloc(sizeof(*a) + count * sizeof(a->e[0]));
    if (a) {
        ref_init(&a->ref);
        a->count = count;
    }
    return a;
}

static struct acl *acl_clone(const struct acl *from)
{
    struct acl *a = acl_new(from->count);
    if (a)
        memcpy(a->e, from->e, from->count * sizeof(a->e[0]));
    return a;
}

static void acl_put(struct acl *a)
{
    if (a && ref_put(&a->ref))
        free(a);
}

/* Counted, or NULL. */
static struct acl *acl_get(struct inode *i, int which)
{
    if (!acl_has(i, which))
        return NULL;
    LOCK_GUARD(&g_lock);
    if (i->acl[which])
        ref_get(&i->acl[which]->ref);
    return i->acl[which];
}

static void acl_set(struct inode *i, int which, struct acl *consumed)
{
    lock_acquire(&g_lock);
    struct acl *old = i->acl[which];
    __atomic_store_n(&i->acl[which], consumed, __ATOMIC_RELEASE);
    lock_release(&g_lock);
    acl_put(old);
}

void acl_free(struct inode *i)
{
    for (int which = ACL_ACCESS; which <= ACL_DEFAULT; which++)
        acl_put(i->acl[which]);
}

/* ---- permission ---- */

static bool masked_grants(const struct acl *a, unsigned at, unsigned want)
{
    unsigned perm = a->e[at].perm;
    for (unsigned n = at + 1; n < a->count; n++)
        if (a->e[n].tag == TAG_MASK)
            perm &= a->e[n].perm;
    return (perm & want) == want;
}

static int judge(const struct acl *a, const struct inode *i, unsigned want, const struct cred *c)
{
    bool in_some_group = false;
    for (unsigned n = 0; n < a->count; n++) {
        const struct acl_entry *e = &a->e[n];
        switch (e->tag) {
        case TAG_USER:
            if (e->id == c->fsuid)
                return masked_grants(a, n, want) ? 0 : -EACCES;
            break;
        case TAG_GROUP_OBJ:
        case TAG_GROUP:
            if (!cred_in_group(c, e->tag == TAG_GROUP ? e->id : i->gid))
                break;
            in_some_group = true;
            if ((e->perm & want) == want)
                return masked_grants(a, n, want) ? 0 : -EACCES;
            break;
        case TAG_OTHER:
            return !in_some_group && (e->perm & want) == want ? 0 : -EACCES;
        }
    }
    return -EACCES;
}

int acl_permission(struct inode *i, unsigned mask, const struct cred *c)
{
    struct acl *a = acl_get(i, ACL_ACCESS);
    if (!a)
        return 1;
    int r = judge(a, i, mask & 7, c);
    acl_put(a);
    return r;
}

/* ---- between lists and modes ---- */

/* The nine bits that a's entries amount to; *extended: it says more than they can. */
static uint32_t acl_mode(const struct acl *a, bool *extended)
{
    uint32_t mode = 0, mask = 0;
    *extended = false;
    for (unsigned n = 0; n < a->count; n++) {
        const struct acl_entry *e = &a->e[n];
        if (e->tag == TAG_USER_OBJ)
            mode |= (uint32_t)e->perm << 6;
        else if (e->tag == TAG_GROUP_OBJ)
            mode |= (uint32_t)e->perm << 3;
        else if (e->tag == TAG_OTHER)
            mode |= e->perm;
        else if (e->tag == TAG_MASK)
            mask = 1 + e->perm;
        if (e->tag & (TAG_USER | TAG_GROUP | TAG_MASK))
            *extended = true;
    }
    return mask ? (mode & ~070u) | (mask - 1) << 3 : mode;
}

/* The entry that the mode's group bits stand for. */
static struct acl_entry *group_class(struct acl *a)
{
    struct acl_entry *found = NULL;
    for (unsigned n = 0; n < a->count; n++)
        if (a->e[n].tag == TAG_MASK || (a->e[n].tag == TAG_GROUP_OBJ && !found))
            found = &a->e[n];
    return found;
}

/* Put mode's bits into a; only_take: entries lose what mode lacks, and gain nothing. */
static void acl_apply_mode(struct acl *a, uint32_t mode, bool only_take)
{
    struct acl_entry *group = group_class(a);
    for (unsigned n = 0; n < a->count; n++) {
        struct acl_entry *e = &a->e[n];
        unsigned shift = e->tag == TAG_USER_OBJ ? 6 : e == group ? 3 : 0;
        if (shift || e->tag == TAG_OTHER)
            e->perm = (mode >> shift & 7) & (only_take ? e->perm : 7u);
    }
}

void acl_chmod(struct inode *i)
{
    struct acl *a = acl_get(i, ACL_ACCESS);
    struct acl *next = a ? acl_clone(a) : NULL;
    acl_put(a);
    if (!next)
        return; /* no memory: the list grants what it did, and the mode's group bits bound it */
    acl_apply_mode(next, i->mode, /*only_take=*/false);
    acl_set(i, ACL_ACCESS, next);
}

void acl_inherit(struct inode *dir, struct inode *made)
{
    struct acl *def = S_ISLNK(made->mode) ? NULL : acl_get(dir, ACL_DEFAULT);
    if (!def)
        return;
    struct acl *own = acl_clone(def);
    bool extended = false;
    uint32_t mode = S_IRWXU; /* no memory: closed to all but the owner */
    if (own) {
        acl_apply_mode(own, made->mode, /*only_take=*/true);
        mode = acl_mode(own, &extended);
    }
    lock_acquire(&made->lock);
    made->mode = (made->mode & ~0777u) | (made->mode & mode & 0777);
    lock_release(&made->lock);
    if (extended)
        acl_set(made, ACL_ACCESS, own);
    else
        acl_put(own);
    if (S_ISDIR(made->mode))
        acl_set(made, ACL_DEFAULT, def);
    else
        acl_put(def);
}

/* ---- as extended attributes ---- */

int64_t acl_get_xattr(struct inode *i, int which, void *buf, size_t size)
{
    const uint32_t version = ACL_XATTR_VERSION;
    if (!i->sb->own_attrs || S_ISLNK(i->mode))
        return -EOPNOTSUPP;
    struct acl *a = acl_get(i, which);
    if (!a)
        return -ENODATA;
    size_t entries = a->count * sizeof(a->e[0]), need = sizeof(version) + entries;
    int64_t r = need;
    if (size && size < need)
        r = -ERANGE;
    else if (size) {
        memcpy(buf, &version, sizeof(version));
        memcpy((char *)buf + sizeof(version), a->e, entries);
    }
    acl_put(a);
    return r;
}

static int acl_decode(const void *value, size_t size, struct acl **out)
{
    uint32_t version;
    *out = NULL;
    if (size < sizeof(version))
        return -EINVAL;
    memcpy(&version, value, sizeof(version));
    if (version != ACL_XATTR_VERSION)
        return -EOPNOTSUPP;
    size -= sizeof(version);
    if (size % sizeof(struct acl_entry) || size / sizeof(struct acl_entry) > ACL_ENTRIES_MAX)
        return -EINVAL;
    if (!size)
        return 0;
    struct acl *a = acl_new(size / sizeof(struct acl_entry));
    if (!a)
        return -ENOMEM;
    memcpy(a->e, (const char *)value + sizeof(version), size);
    *out = a;
    return 0;
}

/* The owner first, then users, the group, groups, a mask (a must where users or groups are named),
 * and the others: any order but this one is malformed. */
static bool acl_valid(const struct acl *a)
{
    unsigned may = TAG_USER_OBJ;
    bool named = false;
    for (unsigned n = 0; n < a->count; n++) {
        const struct acl_entry *e = &a->e[n];
        if (!(e->tag & may) || (e->tag & (e->tag - 1)) || (e->perm & ~7))
            return false;
        if ((e->tag & (TAG_USER | TAG_GROUP)) && e->id == UINT32_MAX)
            return false;
        named |= e->tag == TAG_USER || e->tag == TAG_GROUP;
        if (e->tag <= TAG_USER)
            may = TAG_USER | TAG_GROUP_OBJ;
        else if (e->tag <= TAG_GROUP)
            may = TAG_GROUP | TAG_MASK | (named ? 0 : TAG_OTHER);
        else
            may = e->tag == TAG_MASK ? TAG_OTHER : 0;
    }
    return a->count && !may;
}

/* An access ACL sets the mode too; one that says no more than the mode is not kept. */
static int store_access(struct task *t, const struct path *p, struct inode *i, struct acl *consumed)
{
    bool extended = false;
    if (consumed) {
        struct iattr attr = {.valid = IATTR_MODE,
                             .mode = (i->mode & 07000) | acl_mode(consumed, &extended)};
        acl_set(i, ACL_ACCESS, NULL); /* setattr would bend the old list */
        int r = vfs_setattr_inode(t, p, i, &attr);
        if (r) {
            acl_put(consumed);
            return r;
        }
    }
    if (!extended) {
        acl_put(consumed);
        consumed = NULL;
    }
    acl_set(i, ACL_ACCESS, consumed);
    return 0;
}

static int set_checks(struct task *t, struct inode *i, int which, bool some)
{
    if (!i->sb->own_attrs || S_ISLNK(i->mode))
        return -EOPNOTSUPP;
    if (which == ACL_DEFAULT && !inode_is_dir(i))
        return some ? -EACCES : 0;
    return inode_owner_or_capable(i, t->cred) ? 0 : -EPERM;
}

int acl_set_xattr(struct task *t, const struct path *p, struct inode *i, int which,
                  const void *value, size_t size)
{
    struct acl *a = NULL;
    int r = size ? acl_decode(value, size, &a) : 0;
    if (!r)
        r = set_checks(t, i, which, a);
    if (!r && a && !acl_valid(a))
        r = -EINVAL;
    if (!r)
        r = inode_keep(i);
    if (r) {
        acl_put(a);
        return r;
    }
    if (which == ACL_ACCESS)
        return store_access(t, p, i, a);
    acl_set(i, ACL_DEFAULT, a);
    return 0;
}
