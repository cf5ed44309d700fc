/* What the kvm tests share: a world with a memory file, a window and a platform, and small helpers.
 */
#pragma once

#include "kvm_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEM_SIZE (256ull << 20)
#define WIN_SIZE (1ull << 40)
#define CODE_VA  0x400000ull
#define DATA_VA  0x10000000ull
#define STACK_VA 0x7ff000000000ull

/* Guest programs. Each is a blob of position-independent code. */
#define GUEST(name, text)                                                                          \
    extern const uint8_t g_##name[], g_##name##_end[];                                             \
    __asm__(".pushsection .rodata\n.globl g_" #name ", g_" #name "_end\n"                          \
            ".hidden g_" #name ", g_" #name "_end\ng_" #name ":\n" text "\ng_" #name               \
            "_end:\n.popsection")

#define CODE(as, name) code_put(as, g_##name, g_##name##_end)

struct world {
    struct platform *pl;
    int memfd;
    uint8_t *mem, *win;
    uint64_t next; /* next free offset in mem */
};
extern struct world g_w;
extern int g_kvm_fd;

int world_open(void **state);     /* setup */
int world_open_few(void **state); /* setup: with three vCPUs only */
int world_close(void **state);    /* teardown */

/* Fresh frames of the memory file, mapped at va. Returns the sentry's view. */
void *map_new(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot);
void map_at(struct pl_aspace *as, uint64_t va, void *hva, uint64_t size, unsigned prot);
void code_put(struct pl_aspace *as, const uint8_t *code, const uint8_t *end);
struct pl_aspace *as_new(void);
struct pl_ctx *ctx_new(struct pl_aspace *as, uint64_t rdi, uint64_t rsi);
struct pl_event run(struct pl_ctx *c);
struct user_regs_struct regs_of(struct pl_ctx *c);
void drop(struct pl_aspace *as, struct pl_ctx *c);
int64_t now_us(void);

#define T(f)     cmocka_unit_test_setup_teardown(f, world_open, world_close)
#define T_FEW(f) cmocka_unit_test_setup_teardown(f, world_open_few, world_close)

int kvm_contract_tests(void);
int kvm_hostile_tests(void);
int kvm_state_tests(void);
int kvm_memory_tests(void);
