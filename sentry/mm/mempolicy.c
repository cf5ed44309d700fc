/* Memory policies of ranges: mbind(2), set_mempolicy_home_node(2), and where a page is. There is
 * one node, so a policy decides nothing; it is checked, kept and told as Linux does. */
#include "mm_priv.h"

#include <linux/mempolicy.h>
#include <string.h>

static int bind_part(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi,
                     const struct mempolicy *p)
{
    if (!memcmp(&v->policy, p, sizeof(*p)))
        return 0;
    int r = vma_split_range(mm, lo, hi);
    if (r)
        return r;
    v = vma_find(mm, lo);
    v->policy = *p;
    return 0;
}

int mm_bind(struct mm *mm, uint64_t addr, uint64_t size, const struct mempolicy *p)
{
    struct list dead = LIST_INIT(dead);
    uint64_t end = addr + size;
    int r = 0;
    rwlock_write(&mm->lock);
    if (!mm_range_ok(mm, addr, size) || !vma_covered(mm, addr, end))
        r = -EFAULT;
    for (uint64_t at = addr; at < end && !r; at = MIN(end, vma_find(mm, at)->end)) {
        struct vma *v = vma_find(mm, at);
        r = bind_part(mm, v, at, MIN(end, v->end), p);
    }
    vma_merge_range(mm, addr, end, &dead);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}

int mm_home_node(struct mm *mm, uint64_t addr, uint64_t size, int node)
{
    struct list dead = LIST_INIT(dead);
    uint64_t end = addr + size;
    int r = -ENOENT;
    rwlock_write(&mm->lock);
    for (uint64_t at = addr, hi; at < end; at = hi) {
        struct vma *v = vma_above(mm, at);
        if (!v || v->start >= end)
            break;
        struct mempolicy p = v->policy;
        uint64_t lo = MAX(at, v->start);
        hi = MIN(end, v->end);
        p.home = node + 1;
        if (p.mode) {
            bool may = p.mode == MPOL_BIND || p.mode == 5 /* MPOL_PREFERRED_MANY */;
            r = may ? bind_part(mm, v, lo, hi, &p) : -EOPNOTSUPP;
            if (r)
                break;
        }
    }
    vma_merge_range(mm, addr, end, &dead);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}

int mm_policy_get(struct mm *mm, uint64_t addr, struct mempolicy *out)
{
    rwlock_read(&mm->lock);
    struct vma *v = vma_find(mm, addr);
    if (v)
        *out = v->policy;
    rwlock_read_release(&mm->lock);
    return v ? 0 : -EFAULT;
}

int mm_page_node(struct mm *mm, uint64_t addr)
{
    uint8_t present = 0;
    addr = page_down(addr);
    rwlock_read(&mm->lock);
    struct vma *v = addr < mm->platform->va_end ? vma_find(mm, addr) : NULL;
    rwlock_read_release(&mm->lock);
    if (!v || mm_mincore(mm, addr, RF_PAGE_SIZE, &present))
        return -EFAULT;
    return present & 1 ? 0 : -ENOENT;
}
