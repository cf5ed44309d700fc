/* What systrap's test and bench share: a sandbox of one memory file and hand-assembled guest code.
 */
#pragma once

#include "systrap_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEM_SIZE (64ull << 20)
#define CODE_VA  0x400000ull
#define DATA_VA  0x10000000ull

/* Guest programs: position-independent code. */
#define GUEST(name, text)                                                                          \
    extern const char g_##name[], g_##name##_end[];                                                \
    __asm__(".pushsection .rodata\n.globl g_" #name ", g_" #name "_end\n"                          \
            ".hidden g_" #name ", g_" #name "_end\ng_" #name ":\n" text "\ng_" #name               \
            "_end:\n.popsection")
#define GUEST_SIZE(name) ((size_t)(g_##name##_end - g_##name))

struct world {
    struct platform *pl;
    const struct pl_ops *ops;
    int memfd;
    char *mem;
    uint64_t next; /* next free offset in mem */
};

static struct world g_w;

static inline void __attribute__((format(printf, 1, 2))) world_log(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("  # ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* clone, rt_sigreturn and exit are full, as in the sentry; getpgrp (111) stands for any of them. */
static inline int world_open(void)
{
    static uint64_t full[8];
    const int full_nrs[] = {15, 56, 57, 58, 59, 60, 111, 231, 322, 435};

    for (unsigned i = 0; i < sizeof(full_nrs) / sizeof(full_nrs[0]); i++)
        full[full_nrs[i] / 64] |= 1ull << (full_nrs[i] % 64);
    g_w.memfd = memfd_create("test", MFD_CLOEXEC);
    if (g_w.memfd < 0 || ftruncate(g_w.memfd, MEM_SIZE))
        return -1;
    g_w.mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g_w.memfd, 0);
    g_w.next = 0;
    g_w.ops = &g_platform_systrap;
    struct pl_config cfg = {.memfile_fd = g_w.memfd,
                            .memfile_base = g_w.mem,
                            .memfile_size = MEM_SIZE,
                            .full_calls = full,
                            .full_calls_count = 8,
                            .kvm_fd = -1,
                            .log = world_log};
    return g_w.ops->create(&cfg, &g_w.pl);
}

static inline void world_close(void)
{
    g_w.ops->destroy(g_w.pl);
    munmap(g_w.mem, MEM_SIZE);
    close(g_w.memfd);
}

static inline uint64_t world_alloc(uint64_t size)
{
    uint64_t at = g_w.next;

    g_w.next += (size + PL_PAGE_SIZE - 1) / PL_PAGE_SIZE * PL_PAGE_SIZE;
    if (g_w.next > MEM_SIZE)
        abort();
    return at;
}

static inline int world_map(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot,
                            uint64_t offset)
{
    struct pl_backing b = {.fd = g_w.memfd, .offset = offset, .hva = g_w.mem + offset};

    return g_w.ops->as_map(as, va, size, prot, &b, false);
}

/* Maps code at CODE_VA. */
static inline int world_code(struct pl_aspace *as, const char *code, size_t size)
{
    uint64_t at = world_alloc(size);

    memcpy(g_w.mem + at, code, size);
    return world_map(as, CODE_VA, PL_PAGE_SIZE, PL_READ | PL_EXEC, at);
}
