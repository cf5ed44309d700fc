/* /sys: what programs look for when they count processors, and little else. It is a table shown by
 * the machinery of /proc. */
#include "fs/proc/proc_priv.h"
#include "fs/sys/sysfs_priv.h"

#include "kernel/kernel.h"

#define SYSFS_MAGIC  0x62656572
#define SYS_CPUS_MAX 256

static unsigned cpus(void)
{
    return MIN(MAX(g_kernel.cpu_count, 1u), (unsigned)SYS_CPUS_MAX);
}

static int show_cpu_list(struct pbuf *b, const struct proc_ctx *c)
{
    if (cpus() > 1)
        pb_printf(b, "0-%u\n", cpus() - 1);
    else
        pb_str(b, "0\n");
    return 0;
}

static int show_cpu_mask(struct pbuf *b, const struct proc_ctx *c)
{
    unsigned n = cpus();
    for (unsigned words = (n + 31) / 32; words-- > 0;) {
        unsigned bits = MIN(n - words * 32, 32u);
        pb_printf(b, "%x%s", bits == 32 ? ~0u : (1u << bits) - 1, words ? "," : "\n");
    }
    return 0;
}

static int show_text(struct pbuf *b, const struct proc_ctx *c)
{
    pb_printf(b, "%s\n", (const char *)c->e->data);
    return 0;
}

#define TEXT(n, t)                                                                                 \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0444, .show = show_text, .data = (char[])                   \
        {                                                                                          \
            t                                                                                      \
        }                                                                                          \
    }

static int read_link_text(const struct proc_ctx *c, char *buf, size_t size)
{
    const char *text = c->e->data;
    size_t n = MIN(strlen(text), size);
    memcpy(buf, text, n);
    return n;
}

#define LINK(n, t)                                                                                 \
    {                                                                                              \
        .name = (n), .mode = S_IFLNK | 0777, .readlink = read_link_text, .data = (char[])          \
        {                                                                                          \
            t                                                                                      \
        }                                                                                          \
    }

static const struct proc_entry g_empty[] = {{0}};

static const struct proc_entry g_topology[] = {
    TEXT("physical_package_id", "0"),
    TEXT("core_id", "0"),
    TEXT("die_id", "0"),
    PROC_FILE("thread_siblings", 0444, show_cpu_mask),
    PROC_FILE("core_siblings", 0444, show_cpu_mask),
    PROC_FILE("core_siblings_list", 0444, show_cpu_list),
    PROC_FILE("thread_siblings_list", 0444, show_cpu_list),
    PROC_FILE("core_cpus", 0444, show_cpu_mask),
    PROC_FILE("core_cpus_list", 0444, show_cpu_list),
    PROC_FILE("die_cpus", 0444, show_cpu_mask),
    PROC_FILE("die_cpus_list", 0444, show_cpu_list),
    PROC_FILE("package_cpus", 0444, show_cpu_mask),
    PROC_FILE("package_cpus_list", 0444, show_cpu_list),
    {0},
};
static const struct proc_entry g_one_cpu[] = {
    PROC_DIR("topology", 0755, g_topology), TEXT("online", "1"), {0}};

static char g_cpu_names[SYS_CPUS_MAX][8];             /* lock: g_lock to fill */
static struct proc_entry g_cpu_dir[SYS_CPUS_MAX + 8]; /* lock: g_lock to fill */
static struct lock g_lock = LOCK_INITIALIZER(LR_LEAF);

static const struct proc_entry g_cpu_fixed[] = {
    PROC_FILE("online", 0444, show_cpu_list),
    PROC_FILE("possible", 0444, show_cpu_list),
    PROC_FILE("present", 0444, show_cpu_list),
    TEXT("offline", ""),
    TEXT("isolated", ""),
    TEXT("kernel_max", "255"),
    PROC_DIR("vulnerabilities", 0755, g_empty),
};

static void fill_cpus(void)
{
    LOCK_GUARD(&g_lock);
    size_t n = ARRAY_COUNT(g_cpu_fixed);
    if (g_cpu_dir[0].name)
        return;
    for (unsigned i = 0; i < cpus(); i++) {
        snprintf(g_cpu_names[i], sizeof(g_cpu_names[i]), "cpu%u", i);
        g_cpu_dir[n + i] = (struct proc_entry)PROC_DIR(g_cpu_names[i], 0755, g_one_cpu);
    }
    memcpy(g_cpu_dir, g_cpu_fixed, sizeof(g_cpu_fixed));
}

static const struct proc_entry g_node0[] = {PROC_FILE("cpulist", 0444, show_cpu_list),
                                            PROC_FILE("cpumap", 0444, show_cpu_mask),
                                            PROC_FILE("meminfo", 0444, sys_show_node_meminfo),
                                            PROC_FILE("numastat", 0444, sys_show_numastat),
                                            PROC_FILE("vmstat", 0444, proc_show_vmstat),
                                            TEXT("distance", "10"),
                                            {0}};
static const struct proc_entry g_node[] = {TEXT("online", "0"),
                                           TEXT("possible", "0"),
                                           TEXT("has_cpu", "0"),
                                           TEXT("has_normal_memory", "0"),
                                           TEXT("has_memory", "0"),
                                           PROC_DIR("node0", 0755, g_node0),
                                           {0}};
static const struct proc_entry g_system[] = {
    PROC_DIR("cpu", 0755, g_cpu_dir), PROC_DIR("node", 0755, g_node), {0}};

static const struct proc_entry g_lo_statistics[] = {TEXT("rx_bytes", "0"),
                                                    TEXT("tx_bytes", "0"),
                                                    TEXT("rx_packets", "0"),
                                                    TEXT("tx_packets", "0"),
                                                    {0}};
static const struct proc_entry g_lo[] = {TEXT("address", "00:00:00:00:00:00"),
                                         TEXT("broadcast", "00:00:00:00:00:00"),
                                         TEXT("mtu", "65536"),
                                         TEXT("operstate", "unknown"),
                                         TEXT("flags", "0x9"),
                                         TEXT("ifindex", "1"),
                                         TEXT("type", "772"),
                                         TEXT("carrier", "1"),
                                         TEXT("addr_len", "6"),
                                         PROC_DIR("statistics", 0755, g_lo_statistics),
                                         {0}};
static const struct proc_entry g_virtual_net[] = {PROC_DIR("lo", 0755, g_lo), {0}};
static const struct proc_entry g_virtual[] = {PROC_DIR("net", 0755, g_virtual_net), {0}};
static const struct proc_entry g_devices[] = {
    PROC_DIR("system", 0755, g_system), PROC_DIR("virtual", 0755, g_virtual), {0}};

static const struct proc_entry g_class_net[] = {LINK("lo", "../../devices/virtual/net/lo"), {0}};
static const struct proc_entry g_class[] = {PROC_DIR("net", 0755, g_class_net),
                                            PROC_DIR("block", 0755, g_empty),
                                            PROC_DIR("tty", 0755, g_empty),
                                            {0}};

static const struct proc_entry g_kernel_dir[] = {PROC_DIR("mm", 0755, g_sys_kernel_mm),
                                                 PROC_DIR("debug", 0700, g_empty),
                                                 PROC_DIR("security", 0755, g_empty),
                                                 TEXT("uevent_seqnum", "1"),
                                                 {0}};
static const struct proc_entry g_fs[] = {PROC_DIR("cgroup", 0755, g_empty), {0}};
static const struct proc_entry g_devchar[] = {
    PROC_DIR("char", 0755, g_empty), PROC_DIR("block", 0755, g_empty), {0}};

static const struct proc_entry g_top[] = {
    PROC_DIR("block", 0755, g_empty),
    PROC_DIR("bus", 0755, g_empty),
    PROC_DIR("class", 0755, g_class),
    PROC_DIR("dev", 0755, g_devchar),
    PROC_DIR("devices", 0755, g_devices),
    PROC_DIR("firmware", 0755, g_empty),
    PROC_DIR("fs", 0755, g_fs),
    PROC_DIR("kernel", 0755, g_kernel_dir),
    PROC_DIR("module", 0755, g_empty),
    PROC_DIR("power", 0755, g_empty),
    {0},
};
static const struct proc_entry g_root = PROC_DIR("", 0555, g_top);

int sysfs_mount(struct superblock **out)
{
    fill_cpus();
    return proc_mount_table("sysfs", SYSFS_MAGIC, &g_root, out);
}
