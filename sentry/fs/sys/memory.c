/* /sys/kernel/mm and what a memory node tells of itself. Choices and numbers are kept and read
 * back; there are no huge pages, and nothing is merged or migrated. */
#include "fs/proc/proc_priv.h"
#include "fs/sys/sysfs_priv.h"

#include "kernel/kernel.h"

/* ---- choices: "always [madvise] never" ---- */

struct choice {
    const char *words; /* separated by one space */
    int chosen;        /* atomic */
};

static int show_choice(struct pbuf *b, const struct proc_ctx *c)
{
    struct choice *ch = c->e->data;
    const char *w = ch->words;
    int chosen = __atomic_load_n(&ch->chosen, __ATOMIC_RELAXED);
    for (int i = 0; *w; i++) {
        int n = (int)strcspn(w, " ");
        pb_printf(b, i == chosen ? "%s[%.*s]" : "%s%.*s", i ? " " : "", n, w);
        w += n + (w[n] == ' ');
    }
    pb_str(b, "\n");
    return 0;
}

static int write_choice(const struct proc_ctx *c, char *text, size_t size)
{
    struct choice *ch = c->e->data;
    const char *w = ch->words;
    for (int i = 0; *w; i++) {
        size_t n = strcspn(w, " ");
        if (n == strlen(text) && !strncmp(w, text, n)) {
            __atomic_store_n(&ch->chosen, i, __ATOMIC_RELAXED);
            return 0;
        }
        w += n + (w[n] == ' ');
    }
    return -EINVAL;
}

/* ---- numbers ---- */

struct kept {
    uint64_t value; /* atomic */
    uint64_t max;
};

static int show_kept(struct pbuf *b, const struct proc_ctx *c)
{
    const struct kept *k = c->e->data;
    pb_printf(b, "%lu\n", (unsigned long)__atomic_load_n(&k->value, __ATOMIC_RELAXED));
    return 0;
}

static int write_kept(const struct proc_ctx *c, char *text, size_t size)
{
    struct kept *k = c->e->data;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    if (end == text || *end || errno || *text == '-' || v > k->max)
        return -EINVAL;
    __atomic_store_n(&k->value, v, __ATOMIC_RELAXED);
    return 0;
}

/* Huge pages that cannot be had: any number is accepted, none are made. */
static int write_none(const struct proc_ctx *c, char *text, size_t size)
{
    char *end;
    (void)strtoull(text, &end, 0);
    return end == text ? -EINVAL : 0;
}

static int show_zero(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "0\n");
    return 0;
}

#define CHOICE(n, w, i)                                                                            \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_choice, .write = write_choice,           \
        .data = &(struct choice)                                                                   \
        {                                                                                          \
            (w), (i)                                                                               \
        }                                                                                          \
    }
#define KEPT(n, v, m)                                                                              \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_kept, .write = write_kept,               \
        .data = &(struct kept)                                                                     \
        {                                                                                          \
            (v), (m)                                                                               \
        }                                                                                          \
    }
#define ZERO(n) PROC_FILE((n), 0444, show_zero)

static const struct proc_entry g_khugepaged[] = {KEPT("defrag", 1, 1),
                                                 KEPT("max_ptes_none", 511, 511),
                                                 KEPT("max_ptes_swap", 64, 511),
                                                 KEPT("max_ptes_shared", 256, 511),
                                                 KEPT("pages_to_scan", 4096, UINT32_MAX),
                                                 ZERO("pages_collapsed"),
                                                 ZERO("full_scans"),
                                                 KEPT("scan_sleep_millisecs", 10000, UINT32_MAX),
                                                 KEPT("alloc_sleep_millisecs", 60000, UINT32_MAX),
                                                 {0}};

static int show_pmd_size(struct pbuf *b, const struct proc_ctx *c)
{
    pb_str(b, "2097152\n");
    return 0;
}

static const struct proc_entry g_thp[] = {
    CHOICE("enabled", "always madvise never", 2),
    CHOICE("defrag", "always defer defer+madvise madvise never", 3),
    CHOICE("shmem_enabled", "always within_size advise never deny force", 3),
    PROC_FILE("hpage_pmd_size", 0444, show_pmd_size),
    KEPT("use_zero_page", 1, 1),
    PROC_DIR("khugepaged", 0755, g_khugepaged),
    {0}};

static const struct proc_entry g_huge[] = {
    {.name = "nr_hugepages", .mode = S_IFREG | 0644, .show = show_zero, .write = write_none},
    {.name = "nr_hugepages_mempolicy",
     .mode = S_IFREG | 0644,
     .show = show_zero,
     .write = write_none},
    KEPT("nr_overcommit_hugepages", 0, UINT64_MAX),
    ZERO("free_hugepages"),
    ZERO("resv_hugepages"),
    ZERO("surplus_hugepages"),
    {0}};
static const struct proc_entry g_hugepages[] = {
    PROC_DIR("hugepages-2048kB", 0755, g_huge), PROC_DIR("hugepages-1048576kB", 0755, g_huge), {0}};

static const struct proc_entry g_ksm[] = {
    KEPT("run", 0, 2),
    KEPT("pages_to_scan", 100, UINT32_MAX),
    KEPT("sleep_millisecs", 20, UINT32_MAX),
    KEPT("merge_across_nodes", 1, 1),
    KEPT("use_zero_pages", 0, 1),
    KEPT("smart_scan", 1, 1),
    KEPT("max_page_sharing", 256, INT32_MAX),
    KEPT("stable_node_chains_prune_millisecs", 2000, UINT32_MAX),
    ZERO("pages_shared"),
    ZERO("pages_sharing"),
    ZERO("pages_unshared"),
    ZERO("pages_volatile"),
    ZERO("pages_scanned"),
    ZERO("pages_skipped"),
    ZERO("ksm_zero_pages"),
    ZERO("full_scans"),
    ZERO("general_profit"),
    ZERO("stable_node_chains"),
    ZERO("stable_node_dups"),
    {0}};

static const struct proc_entry g_numa[] = {CHOICE("demotion_enabled", "true false", 1), {0}};
static const struct proc_entry g_swap[] = {CHOICE("vma_ra_enabled", "true false", 0), {0}};

const struct proc_entry g_sys_kernel_mm[] = {PROC_DIR("hugepages", 0755, g_hugepages),
                                             PROC_DIR("ksm", 0755, g_ksm),
                                             PROC_DIR("numa", 0755, g_numa),
                                             PROC_DIR("swap", 0755, g_swap),
                                             PROC_DIR("transparent_hugepage", 0755, g_thp),
                                             {0}};

/* ---- a node ---- */

int sys_show_numastat(struct pbuf *b, const struct proc_ctx *c)
{
    unsigned long hit = memfile_used() / RF_PAGE_SIZE;
    pb_printf(b,
              "numa_hit %lu\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node "
              "%lu\nother_node 0\n",
              hit, hit);
    return 0;
}

int sys_show_node_meminfo(struct pbuf *b, const struct proc_ctx *c)
{
    uint64_t total = g_kernel.memory_limit, used = MIN(memfile_used(), total);
    const struct {
        const char *name;
        uint64_t bytes;
    } rows[] = {
        {"MemTotal", total}, {"MemFree", total - used},
        {"MemUsed", used},   {"SwapCached", 0},
        {"Active", used},    {"Inactive", 0},
        {"Unevictable", 0},  {"Mlocked", 0},
        {"Dirty", 0},        {"Writeback", 0},
        {"FilePages", 0},    {"Mapped", 0},
        {"AnonPages", used}, {"Shmem", 0},
        {"KernelStack", 0},  {"PageTables", 0},
        {"Slab", 0},         {"SReclaimable", 0},
        {"SUnreclaim", 0},   {"AnonHugePages", 0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        char label[32];
        snprintf(label, sizeof(label), "%s:", rows[i].name);
        pb_printf(b, "Node 0 %-15s %8lu kB\n", label, (unsigned long)rows[i].bytes / 1024);
    }
    pb_str(b, "Node 0 HugePages_Total:     0\nNode 0 HugePages_Free:      0\nNode 0 "
              "HugePages_Surp:      0\n");
    return 0;
}
