/* Address spaces: creation, fork, destruction, and what others may ask about them. */
#include "mm_priv.h"

#include "base/log.h"
#include "fs/vfs.h"

#include <stdlib.h>
#include <string.h>

/* Address spaces whose last reference was dropped where files may not be released: mm_put_later.
 */
static struct lock g_later_lock = LOCK_INITIALIZER(LR_LEAF);
static struct mm *g_later; /* lock: g_later_lock; linked through hint */

int mm_create(struct platform *p, struct mm **out)
{
    struct mm *mm = calloc(1, sizeof(*mm));
    if (!mm)
        return -ENOMEM;
    int r = p->ops->as_create(p, &mm->as);
    if (r) {
        free(mm);
        return r;
    }
    ref_init(&mm->ref);
    rwlock_init(&mm->lock, LR_MM);
    mm->platform = p;
    mm->limits = (struct mm_limits){UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX};
    mm->layout.mmap_base = p->va_end - (1ull << 30);
    mm->gap_size = UINT64_MAX;
    *out = mm;
    return 0;
}

void mm_get(struct mm *mm)
{
    ref_get(&mm->ref);
}

/* Nobody else can look: no locks. The platform forgets first, then the frames may go. */
static void mm_destroy(struct mm *mm)
{
    struct tree_node *n;
    if (mm->tenant)
        mm->tenant->destroy(mm->tenant);
    mm->platform->ops->as_destroy(mm->as);
    while ((n = tree_first(&mm->vmas))) {
        struct vma *v = tree_entry(n, struct vma, node);
        vma_remove(mm, v);
        vma_free(v);
    }
    frames_clear(&mm->frames, 0, 1ull << 48);
    if (mm->exe)
        file_put(mm->exe);
    free(mm->ldt);
    rwlock_destroy(&mm->lock);
    free(mm);
}

static void destroy_later_ones(void)
{
    while (__atomic_load_n(&g_later, __ATOMIC_RELAXED)) {
        lock_acquire(&g_later_lock);
        struct mm *mm = g_later;
        if (mm)
            g_later = (struct mm *)mm->hint;
        lock_release(&g_later_lock);
        if (mm)
            mm_destroy(mm);
    }
}

void mm_put(struct mm *mm)
{
    if (ref_put(&mm->ref))
        mm_destroy(mm);
    destroy_later_ones();
}

void mm_put_later(struct mm *mm)
{
    if (!ref_put(&mm->ref))
        return;
    lock_acquire(&g_later_lock);
    mm->hint = (struct vma *)g_later;
    g_later = mm;
    lock_release(&g_later_lock);
}

struct mm_tenant *mm_tenant_peek(struct mm *mm)
{
    return __atomic_load_n(&mm->tenant, __ATOMIC_ACQUIRE);
}

struct mm_tenant *mm_tenant_install(struct mm *mm, struct mm_tenant *tenant)
{
    struct mm_tenant *there = NULL;
    bool ok = __atomic_compare_exchange_n(&mm->tenant, &there, tenant, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE);
    return ok ? tenant : there;
}

struct pl_aspace *mm_aspace(struct mm *mm)
{
    return mm->as;
}

/* ---- fork ------------------------------------------------------------------------------------ */

static int fork_vma(struct mm *src, struct mm *dst, struct vma *v, bool *flush)
{
    struct vma *n;
    bool tightened = false;
    int r = vma_dup(dst, v, v->start, v->end, &n);
    if (r)
        return r;
    if (n->flags & VMA_LOCKED)
        n->flags &= ~(VMA_LOCKED | VMA_LOCKONFAULT);
    n->flags &= ~VMA_TOUCHED;
    uffd_vma_forget(n); /* the child is nobody's business */
    vma_insert(dst, n);
    if (v->flags & VMA_WIPEONFORK || vma_shared(v))
        return 0;
    r = frames_fork(&src->frames, &dst->frames, v->start, v->end, &tightened);
    if (tightened && v->prot & PROT_WRITE && v->flags & VMA_TOUCHED) {
        fault_protect_frames(src, v->start, v->end, 0, 0, vma_pl_prot(v) & ~PL_WRITE);
        *flush = true;
    }
    return r;
}

static int fork_layout(struct mm *src, struct mm *dst)
{
    if (src->ldt) {
        dst->ldt = malloc(MM_LDT_ENTRIES * sizeof(*dst->ldt));
        if (!dst->ldt)
            return -ENOMEM;
        memcpy(dst->ldt, src->ldt, MM_LDT_ENTRIES * sizeof(*dst->ldt));
    }
    dst->layout = src->layout;
    dst->limits = src->limits;
    dst->auxv_words = src->auxv_words;
    memcpy(dst->auxv, src->auxv, sizeof(dst->auxv));
    dst->exe = src->exe;
    if (dst->exe)
        file_get(dst->exe);
    return 0;
}

/* Faults are dear and batches cheap: the child's platform learns at once what it will touch. A
 * space of very many mappings is left to faults: most of it will not be touched. */
static void fork_populate(struct mm *dst)
{
    unsigned left = 1000;
    for (struct vma *v = vma_above(dst, 0); v && left; v = vma_next(v), left--)
        if (v->prot)
            fault_populate_lazy(dst, v, v->start, v->end);
}

int mm_fork(struct mm *src, struct mm **out)
{
    struct mm *dst;
    bool flush = false;
    int r = mm_create(src->platform, &dst);
    if (r)
        return r;
    rwlock_write(&src->lock);
    /* A zap of a file finds the child's VMAs as soon as they are linked. */
    rwlock_write_nested(&dst->lock);
    r = fork_layout(src, dst);
    for (struct vma *v = vma_above(src, 0); v && !r; v = vma_next(v))
        if (!(v->flags & VMA_DONTFORK))
            r = fork_vma(src, dst, v, &flush);
    if (flush)
        (void)src->platform->ops->as_flush(src->as);
    rwlock_write_release(&src->lock);
    if (!r)
        fork_populate(dst);
    rwlock_write_release(&dst->lock);
    if (r) {
        mm_put(dst);
        return r;
    }
    *out = dst;
    return 0;
}

/* ---- what others ask ------------------------------------------------------------------------- */

void mm_layout_get(struct mm *mm, struct mm_layout *out)
{
    rwlock_read(&mm->lock);
    *out = mm->layout;
    rwlock_read_release(&mm->lock);
}

void mm_layout_set(struct mm *mm, const struct mm_layout *in)
{
    rwlock_write(&mm->lock);
    mm->layout = *in;
    mm->gap_size = UINT64_MAX;
    rwlock_write_release(&mm->lock);
}

struct file *mm_exe_get(struct mm *mm)
{
    rwlock_read(&mm->lock);
    struct file *f = mm->exe;
    if (f)
        file_get(f);
    rwlock_read_release(&mm->lock);
    return f;
}

void mm_exe_set(struct mm *mm, struct file *f)
{
    if (f)
        file_get(f);
    rwlock_write(&mm->lock);
    struct file *old = mm->exe;
    mm->exe = f;
    rwlock_write_release(&mm->lock);
    if (old)
        file_put(old);
}

void mm_auxv_set(struct mm *mm, const uint64_t *auxv, unsigned words)
{
    rwlock_write(&mm->lock);
    mm->auxv_words = MIN(words, MM_AUXV_WORDS);
    memcpy(mm->auxv, auxv, mm->auxv_words * sizeof(uint64_t));
    rwlock_write_release(&mm->lock);
}

unsigned mm_auxv_get(struct mm *mm, uint64_t *auxv, unsigned max_words)
{
    rwlock_read(&mm->lock);
    unsigned n = MIN(max_words, mm->auxv_words);
    memcpy(auxv, mm->auxv, n * sizeof(uint64_t));
    rwlock_read_release(&mm->lock);
    return n;
}

int mm_ldt_write(struct mm *mm, unsigned entry, uint64_t descriptor)
{
    rwlock_write(&mm->lock);
    if (!mm->ldt)
        mm->ldt = calloc(MM_LDT_ENTRIES, sizeof(*mm->ldt));
    int r = mm->ldt ? 0 : -ENOMEM;
    if (!r)
        mm->ldt[entry] = descriptor;
    rwlock_write_release(&mm->lock);
    return r;
}

bool mm_ldt_read(struct mm *mm, uint64_t *all)
{
    rwlock_read(&mm->lock);
    bool there = mm->ldt;
    if (there)
        memcpy(all, mm->ldt, MM_LDT_ENTRIES * sizeof(*all));
    rwlock_read_release(&mm->lock);
    return there;
}

void mm_limits_set(struct mm *mm, const struct mm_limits *l)
{
    rwlock_write(&mm->lock);
    mm->limits = *l;
    rwlock_write_release(&mm->lock);
}

/* Committed bytes of the private frames in [lo, hi). */
static uint64_t anon_resident(struct mm *mm, uint64_t lo, uint64_t hi)
{
    struct frame_run run;
    uint64_t sum = 0;
    for (uint64_t at = lo; frames_run(&mm->frames, at, hi, 0, &run); at = run.va + run.size)
        sum += memfile_resident(run.offset, run.size);
    return sum;
}

/* Which pages of a host file the guest has touched, only the host knows: what is mapped counts. */
static uint64_t file_resident(struct mm *mm, const struct vma *v)
{
    struct mm_backing b;
    if (!v->map || !(v->flags & VMA_TOUCHED) ||
        v->map->ops->backing(v->map, v->offset, 0, &b))
        return 0;
    return MIN(b.size, vma_size(v));
}

void mm_usage_get(struct mm *mm, struct mm_usage *out)
{
    uint64_t anon, file = 0;
    rwlock_read(&mm->lock);
    anon = anon_resident(mm, 0, 1ull << 48);
    for (struct vma *v = vma_above(mm, 0); v; v = vma_next(v))
        file += file_resident(mm, v);
    *out = (struct mm_usage){.vm_size = mm->vm_size,
                             .vm_peak = mm->vm_peak,
                             .rss = anon + file,
                             .data = mm->data,
                             .stack = mm->stack,
                             .text = mm->text,
                             .locked = mm->locked,
                             .shared = file};
    uint64_t peak = __atomic_load_n(&mm->rss_peak, __ATOMIC_RELAXED);
    out->rss_peak = MAX(peak, out->rss);
    __atomic_store_n(&mm->rss_peak, out->rss_peak, __ATOMIC_RELAXED);
    rwlock_read_release(&mm->lock);
}

static const char *vma_label(const struct mm *mm, const struct vma *v)
{
    if (v->name || v->file)
        return v->name;
    if (v->map)
        return "/dev/zero (deleted)";
    if (v->flags & VMA_GROWSDOWN && mm->layout.start_stack >= v->start &&
        mm->layout.start_stack < v->end)
        return "[stack]";
    return NULL;
}

bool mm_vma_next(struct mm *mm, uint64_t addr, struct mm_vma_info *out)
{
    rwlock_read(&mm->lock);
    struct vma *v = vma_above(mm, addr);
    if (v) {
        uint64_t anon = vma_shared(v) ? 0 : anon_resident(mm, v->start, v->end);
        *out = (struct mm_vma_info){
            .start = v->start,
            .end = v->end,
            .offset = v->map ? v->offset : 0,
            .prot = v->prot,
            .flags = (vma_shared(v) ? MAP_SHARED : MAP_PRIVATE) |
                     (v->flags & VMA_GROWSDOWN ? MAP_GROWSDOWN : 0) |
                     (v->flags & VMA_LOCKED ? MAP_LOCKED : 0) |
                     (v->flags & VMA_NORESERVE ? MAP_NORESERVE : 0),
            .file = v->file,
            .name = vma_label(mm, v),
            .anon = anon,
            .dont_dump = v->flags & VMA_DONTDUMP,
            .rss = anon + file_resident(mm, v),
        };
        if (v->file)
            file_get(v->file);
    }
    rwlock_read_release(&mm->lock);
    return v;
}
