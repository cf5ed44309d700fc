/* Memory policies and page placement on a machine of one node, 0: all arguments are checked as on
 * one with many, policies are kept and told, and nothing ever has to move. */
#include "syscalls/syscalls.h"

#include "base/overflow.h"
#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>

#define NODES_MAX   1024 /* what node masks may name; one word of them is kept */
#define NODES_HERE  1ull
#define NODE_BITS   64
#define MODE_MANY   5 /* MPOL_PREFERRED_MANY */
#define MODE_COUNT  7 /* MPOL_WEIGHTED_INTERLEAVE is the last */
#define PAGES_CHUNK 128

#define FLAGS_RELATION (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)

/* One word of a guest's node mask: the bits of [first, first + 64) below count. */
static int mask_word(struct task *t, uint64_t ua, uint64_t first, uint64_t count, uint64_t *out)
{
    uint64_t bits = count - first;
    if (uaccess_read_obj(t->mm, out, uaddr(ua + first / 8)))
        return -EFAULT;
    if (bits < NODE_BITS)
        *out &= (1ull << bits) - 1;
    return 0;
}

/* maxnode counts one more than the mask has, as in all these calls. */
static int mask_import(struct task *t, uint64_t ua, uint64_t maxnode, uint64_t *nodes)
{
    uint64_t count = maxnode - 1, word;
    *nodes = 0;
    if (!count || !ua)
        return 0;
    if (count > RF_PAGE_SIZE * 8)
        return -EINVAL;
    for (uint64_t at = 0; at < count; at += NODE_BITS) {
        int r = mask_word(t, ua, at, count, &word);
        if (r)
            return r;
        if (at >= NODES_MAX && word)
            return -EINVAL;
        if (!at)
            *nodes = word;
    }
    return 0;
}

static int policy_mode(uint64_t arg, struct mempolicy *p)
{
    int flags = (int)arg & (FLAGS_RELATION | MPOL_F_NUMA_BALANCING), mode = (int)arg & ~flags;
    if ((unsigned)mode >= MODE_COUNT || (flags & FLAGS_RELATION) == FLAGS_RELATION)
        return -EINVAL;
    if (flags & MPOL_F_NUMA_BALANCING && mode != MPOL_BIND && mode != MODE_MANY)
        return -EINVAL;
    *p = (struct mempolicy){.mode = mode, .flags = flags};
    return 0;
}

/* Mode and nodes must fit each other, and name a node that is there. */
static int policy_check(struct mempolicy *p)
{
    bool empty = !p->nodes, related = p->flags & FLAGS_RELATION;
    switch (p->mode) {
    case MPOL_DEFAULT:
        p->flags = 0;
        return empty ? 0 : -EINVAL;
    case MPOL_LOCAL:
        return empty && !related ? 0 : -EINVAL;
    case MPOL_PREFERRED:
        if (empty) {
            p->mode = MPOL_LOCAL;
            return related ? -EINVAL : 0;
        }
    }
    if (empty)
        return -EINVAL;
    if (p->flags & MPOL_F_RELATIVE_NODES) /* folded onto the nodes there are */
        return 0;
    if (!(p->nodes & NODES_HERE))
        return -EINVAL;
    if (!(p->flags & MPOL_F_STATIC_NODES))
        p->nodes &= NODES_HERE;
    return 0;
}

int64_t sys_set_mempolicy(struct task *t, const struct sysargs *a)
{
    struct mempolicy p;
    int r = policy_mode(a->v[0], &p);
    if (!r)
        r = mask_import(t, a->v[1], a->v[2], &p.nodes);
    if (!r)
        r = policy_check(&p);
    if (!r)
        t->mempolicy = p;
    return r;
}

int64_t sys_mbind(struct task *t, const struct sysargs *a)
{
    uint64_t start = a->v[0], size = a->v[1], end;
    unsigned flags = a->v[5];
    struct mempolicy p;
    int r = policy_mode(a->v[2], &p);
    if (!r)
        r = mask_import(t, a->v[3], a->v[4], &p.nodes);
    if (r)
        return r;
    if (a->v[5] & ~(uint64_t)MPOL_MF_VALID)
        return -EINVAL;
    if (flags & MPOL_MF_MOVE_ALL && !cred_has_cap(t->cred, CAP_SYS_NICE))
        return -EPERM;
    if (page_offset(start))
        return -EINVAL;
    size = (size + RF_PAGE_SIZE - 1) & RF_PAGE_MASK; /* wraps to nothing, as Linux's */
    if (!add_u64(start, size, &end))
        return -EINVAL;
    if (!size)
        return 0;
    r = policy_check(&p);
    return r ? r : mm_bind(t->mm, start, size, &p);
}

int64_t sys_set_mempolicy_home_node(struct task *t, const struct sysargs *a)
{
    uint64_t start = a->v[0], size = (a->v[1] + RF_PAGE_SIZE - 1) & RF_PAGE_MASK, end;
    if (page_offset(start) || a->v[3] || a->v[2] != 0 || !add_u64(start, size, &end))
        return -EINVAL;
    return size ? mm_home_node(t->mm, start, size, 0) : 0;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static int mask_export(struct task *t, uint64_t ua, uint64_t maxnode, uint64_t nodes)
{
    uint64_t size = (maxnode + NODE_BITS - 2) / NODE_BITS * 8;
    if (size > 8 && (size > RF_PAGE_SIZE ||
                     uaccess_zero(t->mm, uaddr(ua + sizeof(nodes)), size - sizeof(nodes))))
        return size > RF_PAGE_SIZE ? -EINVAL : -EFAULT;
    return uaccess_write(t->mm, uaddr(ua), &nodes, MIN(size, sizeof(nodes)));
}

static int policy_find(struct task *t, uint64_t addr, unsigned flags, struct mempolicy *p)
{
    *p = t->mempolicy;
    if (!(flags & MPOL_F_ADDR))
        return addr ? -EINVAL : 0;
    struct mempolicy of_range;
    int r = mm_policy_get(t->mm, addr, &of_range);
    if (!r && of_range.mode)
        *p = of_range;
    return r;
}

/* MPOL_F_NODE: the node of a page, or where the next interleaved one comes from. */
static int policy_node(struct task *t, uint64_t addr, unsigned flags, const struct mempolicy *p)
{
    uint8_t byte;
    if (flags & MPOL_F_ADDR)
        return uaccess_read_obj(t->mm, &byte, uaddr(addr));
    return p->mode == MPOL_INTERLEAVE || p->mode == 6 /* MPOL_WEIGHTED_INTERLEAVE */ ? 0 : -EINVAL;
}

int64_t sys_get_mempolicy(struct task *t, const struct sysargs *a)
{
    uint64_t addr = a->v[3];
    unsigned flags = a->v[4];
    struct mempolicy p = {.nodes = NODES_HERE};
    int32_t mode = 0;
    if (a->v[1] && !a->v[2])
        return -EINVAL;
    if (a->v[4] & ~(uint64_t)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
        return -EINVAL;
    if (flags & MPOL_F_MEMS_ALLOWED) {
        if (flags & (MPOL_F_NODE | MPOL_F_ADDR))
            return -EINVAL;
    } else {
        int r = policy_find(t, addr, flags, &p);
        if (!r && flags & MPOL_F_NODE)
            r = policy_node(t, addr, flags, &p);
        if (r)
            return r;
        mode = flags & MPOL_F_NODE ? 0 : p.mode | p.flags;
    }
    if (a->v[0] && uaccess_write_obj(t->mm, uaddr(a->v[0]), &mode))
        return -EFAULT;
    return a->v[1] ? mask_export(t, a->v[1], a->v[2], p.nodes) : 0;
}

/* ---- moving -----------------------------------------------------------------------------------
 */

/* The memory of pid (0: the caller's), counted, if the caller may look at it. */
static int mm_of(struct task *t, int pid, int gone, struct mm **out)
{
    struct task *o = pid ? task_lookup(pid) : t;
    if (!o)
        return -ESRCH;
    int r = cred_may_ptrace(t, o);
    *out = r ? NULL : task_mm_get(o);
    if (o != t)
        task_put(o);
    return r ? r : *out ? 0 : gone;
}

int64_t sys_migrate_pages(struct task *t, const struct sysargs *a)
{
    uint64_t from, to;
    struct mm *mm;
    int r = mask_import(t, a->v[2], a->v[1], &from);
    if (!r)
        r = mask_import(t, a->v[3], a->v[1], &to);
    if (!r)
        r = mm_of(t, (int)a->v[0], -EINVAL, &mm);
    if (r)
        return r;
    mm_put(mm);
    if (to & ~NODES_HERE && !cred_has_cap(t->cred, CAP_SYS_NICE))
        return -EPERM;
    return to & NODES_HERE ? 0 : -EINVAL;
}

static int move_chunk(struct task *t, struct mm *mm, const struct sysargs *a, uint64_t at,
                      uint64_t count)
{
    uint64_t pages[PAGES_CHUNK];
    int32_t nodes[PAGES_CHUNK], status[PAGES_CHUNK];
    if (uaccess_read(t->mm, pages, uaddr(a->v[2] + at * 8), count * 8) ||
        (a->v[3] && uaccess_read(t->mm, nodes, uaddr(a->v[3] + at * 4), count * 4)))
        return -EFAULT;
    for (uint64_t i = 0; i < count; i++) {
        if (a->v[3] && nodes[i] != 0)
            return -ENODEV;
        status[i] = mm_page_node(mm, pages[i]);
    }
    return uaccess_write(t->mm, uaddr(a->v[4] + at * 4), status, count * 4);
}

int64_t sys_move_pages(struct task *t, const struct sysargs *a)
{
    unsigned flags = a->v[5];
    struct mm *mm;
    if (flags & ~(unsigned)(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
        return -EINVAL;
    if (flags & MPOL_MF_MOVE_ALL && !cred_has_cap(t->cred, CAP_SYS_NICE))
        return -EPERM;
    int r = mm_of(t, (int)a->v[0], -EINVAL, &mm);
    if (r)
        return r;
    for (uint64_t at = 0, n; at < a->v[1] && !r; at += n) {
        n = MIN(a->v[1] - at, (uint64_t)PAGES_CHUNK);
        r = signal_pending(t) && at ? -ERESTARTNOHAND : move_chunk(t, mm, a, at, n);
    }
    mm_put(mm);
    return r;
}
