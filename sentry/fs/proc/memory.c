/* The files of /proc that tell of the machine's memory as an administrator's tools want them: one
 * node, one zone, no slabs. */
#include "fs/proc/proc_priv.h"

#include "kernel/kernel.h"

static uint64_t pages_total(void)
{
    return (g_kernel.memory_limit ? g_kernel.memory_limit : 1ull << 31) / RF_PAGE_SIZE;
}

static uint64_t pages_used(void)
{
    return MIN(memfile_used() / RF_PAGE_SIZE, pages_total());
}

struct faults {
    uint64_t minor, major;
};

static struct faults faults_sum(void)
{
    struct faults f = {0};
    struct process *p;
    struct task *t;
    for (int pid = 0; (p = process_next(pid)); process_put(p)) {
        pid = p->pid;
        for (int tid = 0; (t = task_next(p, tid)); task_put(t)) {
            tid = t->tid;
            f.minor += t->min_flt;
            f.major += t->maj_flt;
        }
    }
    return f;
}

/* Counters of what does not happen here, in the kernel's order. */
/* clang-format off */
static const char *const g_zero_counters[] = {
    "nr_zone_inactive_anon", "nr_zone_active_anon", "nr_zone_inactive_file", "nr_zone_active_file",
    "nr_zone_unevictable", "nr_zone_write_pending", "nr_mlock", "nr_bounce", "numa_miss",
    "numa_foreign", "numa_interleave", "numa_other", "nr_inactive_anon", "nr_inactive_file",
    "nr_active_file", "nr_unevictable", "nr_slab_reclaimable", "nr_slab_unreclaimable",
    "nr_isolated_anon", "nr_isolated_file", "workingset_nodes", "workingset_refault_anon",
    "workingset_refault_file", "workingset_activate_anon", "workingset_activate_file",
    "workingset_restore_anon", "workingset_restore_file", "workingset_nodereclaim", "nr_mapped",
    "nr_file_pages", "nr_dirty", "nr_writeback", "nr_writeback_temp", "nr_shmem",
    "nr_shmem_hugepages", "nr_shmem_pmdmapped", "nr_file_hugepages", "nr_file_pmdmapped",
    "nr_anon_transparent_hugepages", "nr_vmscan_write", "nr_vmscan_immediate_reclaim",
    "nr_dirtied", "nr_written", "nr_kernel_misc_reclaimable", "nr_foll_pin_acquired",
    "nr_foll_pin_released", "nr_kernel_stack", "nr_page_table_pages", "nr_swapcached",
    "nr_dirty_threshold", "nr_dirty_background_threshold", "pgpgin", "pgpgout", "pswpin",
    "pswpout", "pgalloc_dma", "pgalloc_dma32", "pgalloc_normal", "pgalloc_movable",
    "allocstall_normal", "pgskip_normal", "pgfree", "pgactivate", "pgdeactivate", "pglazyfree",
    "pglazyfreed", "pgrefill", "pgreuse", "pgsteal_kswapd", "pgsteal_direct", "pgscan_kswapd",
    "pgscan_direct", "pgscan_anon", "pgscan_file", "pgsteal_anon", "pgsteal_file",
    "zone_reclaim_failed", "pginodesteal", "slabs_scanned", "kswapd_inodesteal", "pageoutrun",
    "pgrotated", "drop_pagecache", "drop_slab", "oom_kill", "numa_pte_updates",
    "numa_hint_faults", "numa_hint_faults_local", "numa_pages_migrated", "pgmigrate_success",
    "pgmigrate_fail", "compact_migrate_scanned", "compact_free_scanned", "compact_isolated",
    "compact_stall", "compact_fail", "compact_success", "htlb_buddy_alloc_success",
    "htlb_buddy_alloc_fail", "unevictable_pgs_culled", "unevictable_pgs_scanned",
    "unevictable_pgs_rescued", "unevictable_pgs_mlocked", "unevictable_pgs_munlocked",
    "thp_fault_alloc", "thp_fault_fallback", "thp_collapse_alloc", "thp_collapse_alloc_failed",
    "thp_split_page", "thp_split_page_failed", "thp_zero_page_alloc", "thp_swpout",
    "balloon_inflate", "balloon_deflate", "swap_ra", "swap_ra_hit", "ksm_swpin_copy", "cow_ksm",
};
/* clang-format on */

int proc_show_vmstat(struct pbuf *b, const struct proc_ctx *c)
{
    uint64_t used = pages_used();
    struct faults f = faults_sum();
    pb_printf(b, "nr_free_pages %lu\nnr_anon_pages %lu\nnr_active_anon %lu\n",
              (unsigned long)(pages_total() - used), (unsigned long)used, (unsigned long)used);
    pb_printf(b, "numa_hit %lu\nnuma_local %lu\npgfault %lu\npgmajfault %lu\n", (unsigned long)used,
              (unsigned long)used, (unsigned long)f.minor, (unsigned long)f.major);
    for (unsigned i = 0; i < ARRAY_COUNT(g_zero_counters); i++)
        pb_printf(b, "%s 0\n", g_zero_counters[i]);
    return 0;
}

/* How many free blocks of each order there are, if what is free is in the largest. */
static void put_orders(struct pbuf *b, uint64_t pages)
{
    for (int order = 0; order < 10; order++, pages /= 2)
        pb_printf(b, " %6lu", (unsigned long)(pages & 1));
    pb_printf(b, " %6lu ", (unsigned long)pages);
    pb_str(b, "\n");
}

int proc_show_buddyinfo(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "Node 0, zone   Normal");
    put_orders(b, pages_total() - pages_used());
    return 0;
}

int proc_show_pagetypeinfo(struct pbuf *b, const struct proc_ctx *c)
{
    static const char *const types[] = {"Unmovable", "Movable", "Reclaimable", "HighAtomic"};
    pb_str(b, "Page block order: 9\nPages per block:  512\n\nFree pages count per migrate type at "
              "order       0      1      2      3      4      5      6      7      8      9     "
              "10 \n");
    for (int i = 0; i < 4; i++) {
        pb_printf(b, "Node    0, zone   Normal, type %12s", types[i]);
        put_orders(b, i == 1 ? pages_total() - pages_used() : 0);
    }
    pb_str(b, "\nNumber of blocks type     Unmovable      Movable  Reclaimable   HighAtomic \n");
    pb_printf(b, "Node 0, zone   Normal %12d %12lu %12d %12d \n", 0,
              (unsigned long)(pages_total() / 512), 0, 0);
    return 0;
}

int proc_show_zoneinfo(struct pbuf *b, const struct proc_ctx *c)
{
    unsigned long total = pages_total(), used = pages_used();
    pb_printf(b,
              "Node 0, zone   Normal\n  per-node stats\n      nr_inactive_anon 0\n      "
              "nr_active_anon %lu\n      nr_anon_pages %lu\n      nr_mapped    0\n      "
              "nr_file_pages 0\n      nr_dirty     0\n      nr_shmem     0\n",
              used, used);
    pb_printf(b,
              "  pages free     %lu\n        boost    0\n        min      16896\n        low      "
              "21120\n        high     25344\n        spanned  %lu\n        present  %lu\n        "
              "managed  %lu\n        cma      0\n        protection: (0, 0, 0, 0, 0)\n",
              total - used, total, total, total);
    pb_printf(b, "      nr_free_pages %lu\n      nr_mlock     0\n  pagesets\n", total - used);
    for (unsigned i = 0; i < g_kernel.cpu_count; i++)
        pb_printf(b,
                  "    cpu: %u\n              count: 0\n              high:  0\n              "
                  "batch: 63\n  vm stats threshold: 64\n",
                  i);
    pb_str(b, "  node_unreclaimable:  0\n  start_pfn:           0\n");
    return 0;
}

int proc_show_slabinfo(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> "
              "<objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : "
              "slabdata <active_slabs> <num_slabs> <sharedavail>\n");
    return 0;
}

/* Addresses only for who may know them, as with kptr_restrict. */
int proc_show_iomem(struct pbuf *b, const struct proc_ctx *c)
{
    bool may = c->caller && cred_has_cap(c->caller->cred, CAP_SYS_ADMIN);
    unsigned long end = may ? pages_total() * RF_PAGE_SIZE - 1 : 0;
    pb_printf(b, "%08lx-%08lx : System RAM\n", 0ul, end);
    return 0;
}
