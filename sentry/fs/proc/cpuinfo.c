/* /proc/cpuinfo, from the processor itself. */
#include "fs/proc/proc_priv.h"

#include "kernel/kernel.h"

#include <cpuid.h>

enum { L1_EDX, L1_ECX, L7_EBX, L7_ECX, L7_EDX, X1_EDX, X1_ECX, WORDS };

static const struct {
    unsigned char word, bit;
    const char *name;
} g_flags[] = {
    {L1_EDX, 0, "fpu"},
    {L1_EDX, 1, "vme"},
    {L1_EDX, 2, "de"},
    {L1_EDX, 3, "pse"},
    {L1_EDX, 4, "tsc"},
    {L1_EDX, 5, "msr"},
    {L1_EDX, 6, "pae"},
    {L1_EDX, 7, "mce"},
    {L1_EDX, 8, "cx8"},
    {L1_EDX, 9, "apic"},
    {L1_EDX, 11, "sep"},
    {L1_EDX, 12, "mtrr"},
    {L1_EDX, 13, "pge"},
    {L1_EDX, 14, "mca"},
    {L1_EDX, 15, "cmov"},
    {L1_EDX, 16, "pat"},
    {L1_EDX, 17, "pse36"},
    {L1_EDX, 19, "clflush"},
    {L1_EDX, 23, "mmx"},
    {L1_EDX, 24, "fxsr"},
    {L1_EDX, 25, "sse"},
    {L1_EDX, 26, "sse2"},
    {L1_EDX, 27, "ss"},
    {L1_EDX, 28, "ht"},
    {X1_EDX, 11, "syscall"},
    {X1_EDX, 20, "nx"},
    {X1_EDX, 25, "fxsr_opt"},
    {X1_EDX, 26, "pdpe1gb"},
    {X1_EDX, 27, "rdtscp"},
    {X1_EDX, 29, "lm"},
    {L1_ECX, 0, "pni"},
    {L1_ECX, 1, "pclmulqdq"},
    {L1_ECX, 9, "ssse3"},
    {L1_ECX, 12, "fma"},
    {L1_ECX, 13, "cx16"},
    {L1_ECX, 17, "pcid"},
    {L1_ECX, 19, "sse4_1"},
    {L1_ECX, 20, "sse4_2"},
    {L1_ECX, 21, "x2apic"},
    {L1_ECX, 22, "movbe"},
    {L1_ECX, 23, "popcnt"},
    {L1_ECX, 24, "tsc_deadline_timer"},
    {L1_ECX, 25, "aes"},
    {L1_ECX, 26, "xsave"},
    {L1_ECX, 28, "avx"},
    {L1_ECX, 29, "f16c"},
    {L1_ECX, 30, "rdrand"},
    {L1_ECX, 31, "hypervisor"},
    {X1_ECX, 0, "lahf_lm"},
    {X1_ECX, 4, "cr8_legacy"},
    {X1_ECX, 5, "abm"},
    {X1_ECX, 6, "sse4a"},
    {X1_ECX, 7, "misalignsse"},
    {X1_ECX, 8, "3dnowprefetch"},
    {X1_ECX, 9, "osvw"},
    {X1_ECX, 22, "topoext"},
    {L7_EBX, 0, "fsgsbase"},
    {L7_EBX, 3, "bmi1"},
    {L7_EBX, 5, "avx2"},
    {L7_EBX, 7, "smep"},
    {L7_EBX, 8, "bmi2"},
    {L7_EBX, 9, "erms"},
    {L7_EBX, 10, "invpcid"},
    {L7_EBX, 16, "avx512f"},
    {L7_EBX, 17, "avx512dq"},
    {L7_EBX, 18, "rdseed"},
    {L7_EBX, 19, "adx"},
    {L7_EBX, 20, "smap"},
    {L7_EBX, 21, "avx512ifma"},
    {L7_EBX, 23, "clflushopt"},
    {L7_EBX, 24, "clwb"},
    {L7_EBX, 28, "avx512cd"},
    {L7_EBX, 29, "sha_ni"},
    {L7_EBX, 30, "avx512bw"},
    {L7_EBX, 31, "avx512vl"},
    {L7_ECX, 1, "avx512vbmi"},
    {L7_ECX, 2, "umip"},
    {L7_ECX, 3, "pku"},
    {L7_ECX, 6, "avx512_vbmi2"},
    {L7_ECX, 8, "gfni"},
    {L7_ECX, 9, "vaes"},
    {L7_ECX, 10, "vpclmulqdq"},
    {L7_ECX, 11, "avx512_vnni"},
    {L7_ECX, 12, "avx512_bitalg"},
    {L7_ECX, 14, "avx512_vpopcntdq"},
    {L7_ECX, 22, "rdpid"},
    {L7_EDX, 4, "fsrm"},
    {L7_EDX, 22, "amx_bf16"},
    {L7_EDX, 23, "avx512_fp16"},
    {L7_EDX, 24, "amx_tile"},
    {L7_EDX, 25, "amx_int8"},
};

struct cpu {
    char vendor[13], model_name[49];
    unsigned family, model, stepping, max_leaf, words[WORDS], phys_bits, virt_bits, clflush;
};

static void cpu_names(struct cpu *c)
{
    unsigned regs[4], name[12] = {0};
    __cpuid(0, c->max_leaf, regs[1], regs[2], regs[3]);
    memcpy(c->vendor, &regs[1], 4);
    memcpy(c->vendor + 4, &regs[3], 4);
    memcpy(c->vendor + 8, &regs[2], 4);
    for (unsigned i = 0; i < 3 && __get_cpuid_max(0x80000000, NULL) >= 0x80000004; i++)
        __cpuid(0x80000002 + i, name[i * 4], name[i * 4 + 1], name[i * 4 + 2], name[i * 4 + 3]);
    memcpy(c->model_name, name, 48);
}

static void cpu_read(struct cpu *c)
{
    unsigned a = 0, b = 0, d = 0, x = 0;
    *c = (struct cpu){0};
    cpu_names(c);
    __cpuid(1, a, b, c->words[L1_ECX], c->words[L1_EDX]);
    c->stepping = a & 15;
    c->family = (a >> 8 & 15) + ((a >> 8 & 15) == 15 ? a >> 20 & 255 : 0);
    c->model = (a >> 4 & 15) | (a >> 12 & 0xf0);
    c->clflush = (b >> 8 & 255) * 8;
    __get_cpuid_count(7, 0, &x, &c->words[L7_EBX], &c->words[L7_ECX], &c->words[L7_EDX]);
    __get_cpuid(0x80000001, &x, &b, &c->words[X1_ECX], &c->words[X1_EDX]);
    if (__get_cpuid(0x80000008, &a, &b, &d, &x)) {
        c->phys_bits = a & 255;
        c->virt_bits = a >> 8 & 255;
    }
}

static void cpu_flags(struct pbuf *b, const struct cpu *c)
{
    pb_str(b, "flags\t\t:");
    for (size_t i = 0; i < ARRAY_COUNT(g_flags); i++)
        if (c->words[g_flags[i].word] >> g_flags[i].bit & 1)
            pb_printf(b, " %s", g_flags[i].name);
    pb_str(b, "\n");
}

int proc_show_cpuinfo(struct pbuf *b, const struct proc_ctx *ctx)
{
    struct cpu c;
    unsigned count = MAX(g_kernel.cpu_count, 1u);
    cpu_read(&c);
    for (unsigned i = 0; i < count; i++) {
        pb_printf(b, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", i,
                  c.vendor, c.family, c.model);
        pb_printf(b, "model name\t: %s\nstepping\t: %u\ncpu MHz\t\t: %u.000\n", c.model_name,
                  c.stepping, 2000u);
        pb_printf(b, "cache size\t: 1024 KB\nphysical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\n",
                  count, i);
        pb_printf(b, "cpu cores\t: %u\napicid\t\t: %u\ninitial apicid\t: %u\nfpu\t\t: yes\n", count,
                  i, i);
        pb_printf(b, "fpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n", c.max_leaf);
        cpu_flags(b, &c);
        pb_printf(b, "bugs\t\t:\nbogomips\t: 4000.00\nclflush size\t: %u\n", c.clflush);
        pb_printf(b, "cache_alignment\t: %u\naddress sizes\t: %u bits physical, %u bits virtual\n",
                  c.clflush, c.phys_bits, c.virt_bits);
        pb_str(b, "power management:\n\n");
    }
    return 0;
}
