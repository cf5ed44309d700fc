/* Guest page tables.
 *
 * Entries change by atomic exchange, since the processor (or KVM, where it shadows) sets accessed
 * and dirty bits behind our back. The old value tells whether a translation can be cached anywhere:
 * one whose accessed bit was never set was never used, so taking it away needs no flush.
 *
 * An entry that is mapped without access, or whose backing has no page, is not present but keeps
 * its address, with the address bits inverted so that no processor flaw can fetch through it. */
#include "kvm_priv.h"

#include <errno.h>
#include <sys/mman.h>

#define SPAN (2ull << 20)

struct walk { /* tbl[n] is the table whose entries map 4 KiB << 9n; NULL below the lowest found */
    uint64_t *tbl[4];
    uint64_t gpa[4];
};

static unsigned pt_index(uint64_t va, int level)
{
    return (unsigned)(va >> (12 + 9 * level)) & 511;
}

static uint64_t pte_swap(uint64_t *e, uint64_t value)
{
    return __atomic_exchange_n(e, value, __ATOMIC_SEQ_CST);
}

static uint64_t pte_make(uint64_t gpa, unsigned prot)
{
    if (!(prot & (PL_READ | PL_WRITE | PL_EXEC)))
        return (~gpa & KVM_PTE_ADDR) | KVM_PTE_NONE;
    return gpa | KVM_PTE_P | KVM_PTE_U | (prot & PL_WRITE ? KVM_PTE_W : 0) |
           (prot & PL_EXEC ? 0 : KVM_PTE_NX);
}

static uint64_t pte_gpa(uint64_t pte)
{
    return (pte & KVM_PTE_P ? pte : ~pte) & KVM_PTE_ADDR;
}

bool kvm_pte_allows(uint64_t pte, unsigned access)
{
    return (pte & KVM_PTE_P) && (access != PL_WRITE || pte & KVM_PTE_W) &&
           (access != PL_EXEC || !(pte & KVM_PTE_NX));
}

/* Remember that the sentry's range behind a dropped translation must be made to lose KVM's shadow.
 */
static void zap_add(struct pl_aspace *as, uint64_t gpa, uint64_t size)
{
    uint64_t lo = (uintptr_t)kvm_hva_find(as->p, gpa);
    struct kvm_zap *last = as->zap_count ? &as->zap[as->zap_count - 1] : NULL;
    if (last && last->hi == lo) {
        last->hi = lo + size;
    } else if (last && last->lo == lo + size) {
        last->lo = lo;
    } else if (as->zap_count == KVM_ZAP_MAX) {
        as->zap_all = true;
    } else {
        as->zap[as->zap_count++] = (struct kvm_zap){lo, lo + size};
    }
}

/* An entry went from old to new: does anything have to be flushed? */
static void pt_note(struct pl_aspace *as, uint64_t old, uint64_t new, uint64_t size)
{
    if (!(old & KVM_PTE_P) || !(old & KVM_PTE_A))
        return;
    bool same = (new &KVM_PTE_P) && ((old ^ new) & KVM_PTE_ADDR) == 0;
    bool looser =
        (new &KVM_PTE_W || !(old & KVM_PTE_W)) && (!(new &KVM_PTE_NX) || old & KVM_PTE_NX);
    if (same && looser)
        return;
    atomic_store(&as->need_flush, true);
    if (as->p->shadow)
        zap_add(as, old & KVM_PTE_ADDR & ~(size - 1), size);
}

static void pt_set(struct pl_aspace *as, struct walk *w, int level, unsigned i, uint64_t new)
{
    uint64_t *e = &w->tbl[level][i], old = pte_swap(e, new);
    /* The same frame mapped anew: it may be cached from before, so the next change must flush. */
    if (old & new &KVM_PTE_P && !((old ^ new) & KVM_PTE_ADDR))
        __atomic_fetch_or(e, old & (KVM_PTE_A | KVM_PTE_D), __ATOMIC_RELAXED);
    kvm_table_info(as->p, w->gpa[level])->live += !!new - !!old;
    if (level <= 1 && (level == 0 || old & KVM_PTE_PS))
        pt_note(as, old, new, level ? SPAN : PL_PAGE_SIZE);
}

static void table_defer(struct pl_aspace *as, uint64_t gpa)
{
    struct kvm_table_info *info = kvm_table_info(as->p, gpa);
    info->next = as->deferred;
    as->deferred = (uint32_t)(info - as->p->arena.info) + 1;
    atomic_store(&as->need_flush, true); /* the processor may cache upper levels */
}

/* Follow va down to level. Returns the level of the lowest table there is. */
static int pt_walk(struct pl_aspace *as, uint64_t va, int level, struct walk *w)
{
    *w = (struct walk){.gpa[3] = as->root, .tbl[3] = kvm_table(as->p, as->root)};
    for (int l = 3; l > level; l--) {
        uint64_t e = w->tbl[l][pt_index(va, l)];
        if (!(e & KVM_PTE_P) || e & KVM_PTE_PS)
            return l;
        w->gpa[l - 1] = e & KVM_PTE_ADDR;
        w->tbl[l - 1] = kvm_table(as->p, e);
    }
    return level;
}

/* Replace the large entry over va by a table of small ones that say the same. */
static int pt_split(struct pl_aspace *as, uint64_t va, struct walk *w)
{
    uint64_t gpa, old = w->tbl[1][pt_index(va, 1)];
    int rc = kvm_table_alloc(as->p, &gpa);
    if (rc < 0)
        return rc;
    uint64_t *pt = kvm_table(as->p, gpa), entry = old & ~KVM_PTE_PS;
    bool present = old & KVM_PTE_P;
    for (unsigned i = 0; i < 512; i++)
        pt[i] = present ? entry + i * PL_PAGE_SIZE : entry - i * PL_PAGE_SIZE;
    kvm_table_info(as->p, gpa)->live = 512;
    old = pte_swap(&w->tbl[1][pt_index(va, 1)], gpa | KVM_PTE_TABLE);
    if (old & KVM_PTE_A) /* set since we read it, perhaps */
        for (unsigned i = 0; i < 512; i++)
            pt[i] |= old & (KVM_PTE_A | KVM_PTE_D);
    w->gpa[0] = gpa;
    w->tbl[0] = pt;
    return 0;
}

static bool entry_large(uint64_t e)
{
    return e & KVM_PTE_PS;
}

static int pt_walk_alloc(struct pl_aspace *as, uint64_t va, int level, struct walk *w)
{
    int l;
    while ((l = pt_walk(as, va, level, w)) > level) {
        if (entry_large(w->tbl[l][pt_index(va, l)]))
            return pt_split(as, va, w);
        uint64_t gpa;
        int rc = kvm_table_alloc(as->p, &gpa);
        if (rc < 0)
            return rc;
        pt_set(as, w, l, pt_index(va, l), gpa | KVM_PTE_TABLE);
    }
    return 0;
}

/* Take out tables that have become empty, from level up. */
static void pt_prune(struct pl_aspace *as, uint64_t va, int level, struct walk *w)
{
    for (int l = level; l < 3; l++) {
        if (!w->tbl[l])
            continue;
        if (kvm_table_info(as->p, w->gpa[l])->live)
            return;
        pt_set(as, w, l + 1, pt_index(va, l + 1), 0);
        table_defer(as, w->gpa[l]);
    }
}

static uint64_t span_end(uint64_t va, uint64_t end, uint64_t step)
{
    uint64_t next = (va & ~(step - 1)) + step;
    return next < end ? next : end;
}

static void map_large(struct pl_aspace *as, uint64_t va, uint64_t gpa, unsigned prot,
                      struct walk *w)
{
    uint64_t *e = &w->tbl[1][pt_index(va, 1)], old = *e;
    pt_set(as, w, 1, pt_index(va, 1), pte_make(gpa, prot) | KVM_PTE_PS);
    if (old & KVM_PTE_P && !entry_large(old))
        table_defer(as, old);
}

/* Present entries of a table that goes as a whole were noted by nobody: a flush is due anyway. */
static int map_span(struct pl_aspace *as, uint64_t va, uint64_t end, uint64_t gpa, unsigned prot)
{
    struct walk w;
    bool large = !as->p->shadow && end - va == SPAN && !(gpa & (SPAN - 1));
    int rc = pt_walk_alloc(as, va, large ? 1 : 0, &w);
    if (rc < 0)
        return rc;
    if (large) {
        map_large(as, va, gpa, prot, &w);
        return 0;
    }
    for (; va < end; va += PL_PAGE_SIZE, gpa += PL_PAGE_SIZE)
        pt_set(as, &w, 0, pt_index(va, 0), pte_make(gpa, prot));
    return 0;
}

int kvm_pt_map_locked(struct pl_aspace *as, uint64_t va, uint64_t size, uint64_t gpa, unsigned prot)
{
    for (uint64_t end = va + size, next; va < end; gpa += next - va, va = next) {
        next = span_end(va, end, SPAN);
        int rc = map_span(as, va, next, gpa, prot);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* What a range operation does to one entry that is not zero. */
static uint64_t entry_reprotect(uint64_t e, int prot)
{
    if (prot < 0)
        return 0;
    uint64_t new = pte_make(pte_gpa(e), (unsigned)prot) | (e & KVM_PTE_PS);
    if (new &e & KVM_PTE_P)
        new |= e &(KVM_PTE_A | KVM_PTE_D);
    if (e & KVM_PTE_BUS && !(e & KVM_PTE_P) && new &KVM_PTE_P)
        new = (~new &KVM_PTE_ADDR) | (new &(KVM_PTE_W | KVM_PTE_NX)) | KVM_PTE_BUS;
    return new;
}

static void change_small(struct pl_aspace *as, uint64_t va, uint64_t end, int prot, struct walk *w)
{
    for (; va < end; va += PL_PAGE_SIZE) {
        unsigned i = pt_index(va, 0);
        uint64_t e = w->tbl[0][i];
        if (e)
            pt_set(as, w, 0, i, entry_reprotect(e, prot));
    }
}

/* prot -1: unmap. Without memory to split a large page for it, all of the large page is unmapped:
 * the sentry will map the rest again when it faults. */
static int change_span(struct pl_aspace *as, uint64_t va, uint64_t end, int prot, struct walk *w)
{
    int level = pt_walk(as, va, 0, w), rc = 0;
    if (level > 1)
        return 0;
    unsigned i = pt_index(va, 1);
    if (level == 1 && !w->tbl[1][i])
        return 0;
    if (level == 1 && end - va < SPAN && (rc = pt_split(as, va, w)) < 0)
        prot = -1;
    if (!w->tbl[0])
        pt_set(as, w, 1, i, entry_reprotect(w->tbl[1][i], prot));
    else
        change_small(as, va, end, prot, w);
    if (prot < 0)
        pt_prune(as, va, 0, w);
    return rc;
}

static int pt_change(struct pl_aspace *as, uint64_t va, uint64_t size, int prot)
{
    int rc = 0;
    for (uint64_t end = va + size, next; va < end; va = next) {
        struct walk w;
        int level = pt_walk(as, va, 0, &w);
        next = span_end(va, end, level > 1 ? 1ull << (12 + 9 * level) : SPAN);
        int r = change_span(as, va, next, prot, &w);
        rc = r < 0 ? r : rc;
    }
    return rc;
}

int kvm_pt_unmap_locked(struct pl_aspace *as, uint64_t va, uint64_t size)
{
    return pt_change(as, va, size, -1);
}

int kvm_pt_protect_locked(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot)
{
    return pt_change(as, va, size, (int)(prot & 7));
}

uint64_t kvm_pt_get_locked(struct pl_aspace *as, uint64_t va)
{
    struct walk w;
    int level = pt_walk(as, va, 0, &w);
    uint64_t e = w.tbl[level][pt_index(va, level)];
    return level <= 1 ? e : 0;
}

static void free_level(struct kvm_platform *p, uint64_t gpa, int level)
{
    uint64_t *t = kvm_table(p, gpa);
    for (unsigned i = 0; level && i < (level == 3 ? 256u : 512u); i++)
        if (t[i] & KVM_PTE_P && !entry_large(t[i]))
            free_level(p, t[i], level - 1);
    if (level == 3)
        kvm_root_free(p, gpa);
    else
        kvm_table_free(p, gpa);
}

void kvm_pt_free_all(struct pl_aspace *as)
{
    free_level(as->p, as->root, 3);
}

/* Only files of the window can lack a page: the memory file has one wherever it is asked. */
static bool backing_present(struct kvm_platform *p, uint64_t gpa)
{
    uint8_t *hva = kvm_hva_find(p, gpa);
    const struct kvm_region *window = &p->region[1];
    if (!hva || !p->can_populate || hva < window->base || hva >= window->base + window->size)
        return true;
    return madvise(hva, PL_PAGE_SIZE, MADV_POPULATE_READ) == 0;
}

static int mark_table(struct pl_aspace *as, uint64_t table, uint64_t gpa, bool gpa_known)
{
    uint64_t *pt = kvm_table(as->p, table);
    int found = 0;
    for (unsigned i = 0; i < 512; i++) {
        uint64_t e = pt[i];
        if (!(e & KVM_PTE_P) || (gpa_known && (e & KVM_PTE_ADDR) != (gpa & KVM_PTE_ADDR)))
            continue;
        if (backing_present(as->p, e & KVM_PTE_ADDR))
            continue;
        uint64_t keep = e & (KVM_PTE_W | KVM_PTE_NX);
        uint64_t new = (~e & KVM_PTE_ADDR) | keep | KVM_PTE_BUS;
        pt_note(as, pte_swap(&pt[i], new), new, PL_PAGE_SIZE);
        found = 1;
    }
    return found;
}

/* Large pages are split first: a file may end in the middle of one. */
static int mark_level(struct pl_aspace *as, uint64_t table, int level, uint64_t va, uint64_t gpa,
                      bool gpa_known)
{
    uint64_t *t = kvm_table(as->p, table);
    int found = 0;
    if (level == 0)
        return mark_table(as, table, gpa, gpa_known);
    for (unsigned i = 0; i < (level == 3 ? 256u : 512u); i++) {
        uint64_t at = va | (uint64_t)i << (12 + 9 * level);
        struct walk w;
        if (!(t[i] & KVM_PTE_P))
            continue;
        if (entry_large(t[i]) && (gpa_known && (t[i] & KVM_PTE_ADDR) != (gpa & ~(SPAN - 1))))
            continue;
        if (entry_large(t[i]) && pt_walk_alloc(as, at, 0, &w) < 0)
            continue;
        found |= mark_level(as, t[i], level - 1, at, gpa, gpa_known);
    }
    return found;
}

int kvm_pt_mark_bus_locked(struct pl_aspace *as, uint64_t gpa, bool gpa_known)
{
    return mark_level(as, as->root, 3, 0, gpa, gpa_known);
}

bool kvm_pt_retry_bus_locked(struct pl_aspace *as, uint64_t va)
{
    struct walk w;
    if (pt_walk(as, va, 0, &w) != 0)
        return false;
    uint64_t *e = &w.tbl[0][pt_index(va, 0)], old = *e;
    if (old & KVM_PTE_P || !(old & KVM_PTE_BUS) || !backing_present(as->p, pte_gpa(old)))
        return false;
    pte_swap(e, pte_gpa(old) | (old & (KVM_PTE_W | KVM_PTE_NX)) | KVM_PTE_P | KVM_PTE_U);
    return true;
}
