/* Guests that try things: every instruction that ring 3 has, and random bytes. Each must come back
 * as an event; the platform must go on working. */
#include "kvm_testlib.h"

#include <errno.h>
#include <unistd.h>

GUEST(syscall39, "mov $39, %eax; syscall; ud2");

/* Which vectors an instruction may end with, natively or in any kind of virtual machine. SYS: it
 * was simply executed, and the system call after it was reached. */
enum {
    DE = 1 << 0,
    DB = 1 << 1,
    BP = 1 << 3,
    UD = 1 << 6,
    GP = 1 << 13,
    PF = 1 << 14,
    SS = 1 << 12,
    NP = 1 << 11,
    AC = 1 << 17,
    SYS = 1 << 30,
    DIED = 1 << 29
};

struct trick {
    const char *name;
    const uint8_t *code, *end;
    unsigned may;
};
#define TRICKS(X)                                                                                  \
    X(ud2, "ud2", UD)                                                                              \
    X(div0, "xor %eax, %eax; xor %edx, %edx; div %eax", DE)                                        \
    X(int3, "int3", BP)                                                                            \
    X(int3b, ".byte 0xcd, 3", BP | GP)                                                             \
    X(int80, "mov $20, %eax; int $0x80", GP | UD)                                                  \
    X(int81, "int $0x81", GP | UD)                                                                 \
    X(int2, "int $2", GP | UD)                                                                     \
    X(int14, "int $14", GP | UD)                                                                   \
    X(int32, "int $32", GP | UD)                                                                   \
    X(int255, "int $255", GP | UD)                                                                 \
    X(icebp, ".byte 0xf1", DB | UD)                                                                \
    X(hlt, "hlt", GP)                                                                              \
    X(cli, "cli", GP)                                                                              \
    X(sti, "sti", GP)                                                                              \
    X(inb, "in $0x80, %al", GP)                                                                    \
    X(outb, "mov $0x3f8, %dx; out %al, %dx", GP)                                                   \
    X(insb, "mov $0x3f8, %dx; rep insb", GP | PF)                                                  \
    X(popf_iopl, "pushq $0x3202; popf", SYS)                                                       \
    X(popf_tf, "pushq $0x302; popf; nop; nop", DB)                                                 \
    X(popf_nt, "pushq $0x4202; popf", SYS)                                                         \
    X(popf_ac, "pushq $0x40202; popf; mov 1(%rsp), %eax", AC | SYS)                                \
    X(tf_syscall, "pushq $0x302; popf; mov $39, %eax; syscall; nop", DB | SYS)                     \
    X(ss_tf_syscall, "mov %ss, %ecx; pushq $0x302; popf; mov %ecx, %ss; mov $39, %eax; syscall",   \
      DB | SYS | GP)                                                                               \
    X(cpuid, "xor %eax, %eax; cpuid", SYS)                                                         \
    X(rdtsc, "rdtsc; rdtscp", SYS)                                                                 \
    X(rdpmc, "xor %ecx, %ecx; rdpmc", GP | SYS)                                                    \
    X(rdrand, "rdrand %rax", SYS | UD)                                                             \
    X(sgdt, "sgdt -64(%rsp)", SYS | GP)                                                            \
    X(sidt, "sidt -64(%rsp)", SYS | GP)                                                            \
    X(str, "str %eax", SYS | GP)                                                                   \
    X(smsw, "smsw %eax", SYS | GP)                                                                 \
    X(lgdt, "lgdt -64(%rsp)", GP | UD)                                                             \
    X(lidt, "lidt -64(%rsp)", GP | UD)                                                             \
    X(ltr, "mov $0x40, %eax; ltr %ax", GP | UD)                                                    \
    X(lldt, "xor %eax, %eax; lldt %ax", GP | UD)                                                   \
    X(movcr0, "mov %cr0, %rax", GP)                                                                \
    X(movcr3, "mov %rax, %cr3", GP)                                                                \
    X(movdr7, "mov %rax, %dr7", GP)                                                                \
    X(clts, "clts", GP)                                                                            \
    X(invlpg, "invlpg (%rax)", GP)                                                                 \
    X(wbinvd, "wbinvd", GP)                                                                        \
    X(rdmsr, "mov $0xc0000082, %ecx; rdmsr", GP)                                                   \
    X(wrmsr, "mov $0xc0000082, %ecx; wrmsr", GP)                                                   \
    X(swapgs, "swapgs", GP | UD)                                                                   \
    X(sysret, "sysretq", GP | UD)                                                                  \
    X(sysexit, "sysexitq", GP | UD)                                                                \
    X(sysenter, "mov %rsp, %rcx; lea 1f(%rip), %rdx; sysenter; 1:", GP | UD | SYS)                 \
    X(vmcall, "mov $1, %eax; vmcall", UD | GP | SYS)                                               \
    X(vmmcall, "mov $1, %eax; vmmcall", UD | GP | SYS)                                             \
    X(vmrun, "vmrun", UD | GP)                                                                     \
    X(vmxon, "vmxon (%rsp)", UD | GP)                                                              \
    X(monitor, "monitor", UD | GP)                                                                 \
    X(mwait, "mwait", UD | GP)                                                                     \
    X(xsetbv, "xor %ecx, %ecx; xsetbv", GP | UD)                                                   \
    X(rdpru, ".byte 0x0f, 0x01, 0xfd", UD | GP | SYS)                                              \
    X(enclu, ".byte 0x0f, 0x01, 0xd7", UD | GP)                                                    \
    X(iret_self,                                                                                   \
      "mov %rsp, %rax; mov %ss, %ecx; push %rcx; push %rax; pushf; mov %cs, %ecx;"                 \
      "push %rcx; lea 1f(%rip), %rcx; push %rcx; iretq; 1:",                                       \
      SYS)                                                                                         \
    X(iret_ring0, "push $0x18; push %rsp; pushf; push $0x10; push $0x400000; iretq", GP | NP)      \
    X(far32, "push $0x23; lea 1f(%rip), %rax; push %rax; lretq; 1: nop", GP | NP | SYS | UD | PF)  \
    X(far32_int80,                                                                                 \
      "push $0x23; lea 1f(%rip), %rax; push %rax; lretq; 1: .byte 0xb8, 20, 0, 0, 0,"              \
      "0xcd, 0x80, 0x0f, 0x0b",                                                                    \
      GP | NP | UD | SYS | PF)                                                                     \
    X(far32_syscall,                                                                               \
      "push $0x23; lea 1f(%rip), %rax; push %rax; lretq; 1: .byte 0xb8, 20, 0, 0,"                 \
      "0, 0x0f, 0x05, 0x0f, 0x0b",                                                                 \
      GP | NP | UD | SYS | PF)                                                                     \
    X(far32_sysenter,                                                                              \
      "push $0x23; lea 1f(%rip), %rax; push %rax; lretq; 1: .byte 0xb8, 20, 0, 0,"                 \
      "0, 0x0f, 0x34, 0x0f, 0x0b",                                                                 \
      GP | NP | UD | SYS | PF)                                                                     \
    X(movfs, "mov $0x2b, %eax; mov %eax, %fs; mov %eax, %gs; mov %eax, %ds", SYS | GP)             \
    X(movfs0, "xor %eax, %eax; mov %eax, %fs; mov %eax, %gs; mov %eax, %es", SYS)                  \
    X(movss0, "xor %eax, %eax; mov %eax, %ss", GP)                                                 \
    X(movds_kernel, "mov $0x18, %eax; mov %eax, %ds", GP | NP | SYS)                               \
    X(noncanon_load, "mov $0x8000000000000000, %rax; mov (%rax), %rbx", GP)                        \
    X(noncanon_stack, "mov $0x8000000000000000, %rsp; push %rax", SS | GP)                         \
    X(noncanon_jump, "mov $0x8000000000000000, %rax; jmp *%rax", GP)                               \
    X(kernel_load, "mov $0xffffffff80001000, %rax; mov (%rax), %rbx", PF)                          \
    X(kernel_store, "mov $0xffffffff80010000, %rax; mov %rbx, (%rax)", PF)                         \
    X(kernel_high, "mov $0xffffc90000000000, %rax; mov (%rax), %rbx", PF)                          \
    X(vsyscall, "mov $0xffffffffff600000, %rax; call *%rax", PF | GP | SYS)                        \
    X(jump_lstar, "mov $0xffffffff80002000, %rax; mov $0x400000, %ecx; jmp *%rax", PF | SYS)       \
    X(jump_iretq, "mov $0xffffffff80002001, %rax; jmp *%rax", PF)                                  \
    X(jump_cr3, "mov $0xffffffff80002010, %rax; jmp *%rax", PF)                                    \
    X(jump_vector, "mov $0xffffffff80002106, %rax; jmp *%rax", PF)                                 \
    X(jump_last, "mov $0x7ffffffff000, %rax; jmp *%rax", PF)                                       \
    X(stack_kernel, "mov $0xffffffff80010800, %rsp; push %rax", PF | SS)                           \
    X(stack_kernel_syscall, "mov $0xffffffff80010800, %rsp; mov $39, %eax; syscall", SYS)          \
    X(stack_bad_ud2, "mov $0x8000000000000000, %rsp; ud2", UD)                                     \
    X(wrfs_noncanon, "mov $0x8000000000000000, %rax; wrfsbase %rax", GP | UD | SYS)                \
    X(fpu_mf, "pushw $0; fldcw (%rsp); fldz; fld1; fdivp; fwait", 1 << 16)                         \
    X(sse_xm, "pushq $0; ldmxcsr (%rsp); xorps %xmm0, %xmm0; divss %xmm0, %xmm0", 1 << 19 | SYS)   \
    X(mxcsr_bad, "pushq $-1; ldmxcsr (%rsp)", GP | UD | SYS)                                       \
    X(lock_bad, ".byte 0xf0, 0x90", UD)                                                            \
    X(long_insn, ".fill 16, 1, 0x66; nop", GP | UD)                                                \
    X(xabort, ".byte 0xc6, 0xf8, 0", SYS | UD)                                                     \
    X(lar, "mov $0x10, %ecx; lar %ecx, %eax; lsl %ecx, %eax; verr %cx", SYS)                       \
    X(rdssp, "xor %eax, %eax; .byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8", SYS)

#define X(name, text, may) GUEST(t_##name, text "; mov $39, %eax; syscall; ud2");
TRICKS(X)
#undef X
#define X(name, text, may) {#name, g_t_##name, g_t_##name##_end, may},
static const struct trick g_tricks[] = {TRICKS(X)};
#undef X

static unsigned event_bit(const struct pl_event *ev)
{
    switch (ev->kind) {
    case PL_EV_SYSCALL:
        return SYS;
    case PL_EV_FAULT:
        return PF;
    case PL_EV_EXCEPTION:
        return ev->exception.trapno < 29 ? 1u << ev->exception.trapno : 0;
    case PL_EV_DIED:
        return DIED;
    default:
        return 0;
    }
}

static void check_alive(void)
{
    struct pl_aspace *as = as_new();
    CODE(as, syscall39);
    struct pl_ctx *c = ctx_new(as, 0, 0);
    struct pl_event ev = run(c);
    assert_int_equal(ev.kind, PL_EV_SYSCALL);
    assert_int_equal(ev.syscall.nr, 39);
    drop(as, c);
}

static void test_tricks(void **state)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof(g_tricks) / sizeof(g_tricks[0]); i++) {
        const struct trick *t = &g_tricks[i];
        struct pl_aspace *as = as_new();
        code_put(as, t->code, t->end);
        map_new(as, STACK_VA - PL_PAGE_SIZE, 2 * PL_PAGE_SIZE, PL_READ | PL_WRITE);
        struct pl_ctx *c = ctx_new(as, 0, 0);
        struct pl_event ev = run(c);
        unsigned bit = event_bit(&ev);
        if (!(bit & t->may)) {
            print_error(
                "%s: kind %d vector %u ip %llx error %llx\n", t->name, ev.kind,
                ev.kind == PL_EV_EXCEPTION ? ev.exception.trapno : 0,
                (unsigned long long)(ev.kind == PL_EV_FAULT ? ev.fault.addr : ev.exception.ip),
                (unsigned long long)ev.exception.error);
            wrong++;
        }
        for (int n = 0; n < 3 && ev.kind != PL_EV_DIED; n++) /* go on a little, whatever it was */
            ev = run(c);
        drop(as, c);
        check_alive();
    }
    assert_int_equal(wrong, 0);
}

/* The flags of SYSCALL come back as they were, single-stepping works instruction by instruction. */
GUEST(step, "nop; nop; mov $5, %eax; nop; syscall; nop; nop; ud2");

static void test_single_step(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, step);
    struct pl_ctx *c = ctx_new(as, 0, 0);
    struct user_regs_struct r = regs_of(c);
    r.eflags |= 0x100;
    assert_int_equal(g_platform_kvm.ctx_set_regs(c, &r), 0);
    const uint64_t want[] = {1, 2, 7, 8};
    for (unsigned i = 0; i < 4; i++) {
        struct pl_event ev = run(c);
        assert_int_equal(ev.kind, PL_EV_EXCEPTION);
        assert_int_equal(ev.exception.trapno, 1);
        assert_int_equal(ev.exception.ip, CODE_VA + want[i]);
    }
    struct pl_event ev = run(c);
    assert_int_equal(ev.kind, PL_EV_SYSCALL);
    assert_int_equal(ev.syscall.nr, 5);
    assert_true(regs_of(c).eflags & 0x100);
    ev = run(c);
    assert_int_equal(ev.kind, PL_EV_EXCEPTION);
    assert_int_equal(ev.exception.trapno, 1);
    drop(as, c);
}

/* set_regs takes anything. */
static void test_wild_regs(void **state)
{
    struct pl_aspace *as = as_new();
    CODE(as, syscall39);
    uint64_t seed = 1;
    struct pl_ctx *c = ctx_new(as, 0, 0);
    for (int i = 0; i < 300; i++) {
        struct user_regs_struct r;
        uint64_t *w = (uint64_t *)&r;
        for (size_t n = 0; n < sizeof(r) / 8; n++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            w[n] = seed ^ seed >> 29;
        }
        if (i & 1)
            r.rip = CODE_VA;
        r.eflags &= ~0x100ull;
        assert_int_equal(g_platform_kvm.ctx_set_regs(c, &r), 0);
        struct pl_event ev = run(c);
        if (i & 1)
            assert_int_equal(ev.kind, PL_EV_SYSCALL);
        else
            assert_true(ev.kind == PL_EV_FAULT || ev.kind == PL_EV_EXCEPTION);
    }
    drop(as, c);
    check_alive();
}

/* A triple fault: the guest thread dies, its vCPU is made anew for the next. */
static void test_triple_fault(void **state)
{
    struct kvm_platform *p = (struct kvm_platform *)g_w.pl;
    uint8_t *idt = p->kmem + KVM_KP_DESC * PL_PAGE_SIZE + 0x200, saved[512];
    for (int i = 0; i < 5; i++) {
        struct pl_aspace *as = as_new();
        CODE(as, syscall39);
        struct pl_ctx *c = ctx_new(as, 0, 0);
        assert_int_equal(run(c).kind, PL_EV_SYSCALL);
        memcpy(saved, idt, sizeof(saved));
        memset(idt, 0, sizeof(saved));
        struct pl_event ev = run(c);
        memcpy(idt, saved, sizeof(saved));
        assert_int_equal(ev.kind, PL_EV_DIED);
        assert_int_equal(run(c).kind, PL_EV_DIED);
        struct user_regs_struct r;
        assert_int_equal(g_platform_kvm.ctx_get_regs(c, &r), -ESRCH);
        drop(as, c);
        check_alive();
    }
}

static void *late_interrupt(void *arg)
{
    for (int i = 0; i < 100; i++) {
        usleep(2000);
        if (!atomic_load((_Atomic(struct pl_ctx *) *)arg))
            break;
        g_platform_kvm.ctx_interrupt(atomic_load((_Atomic(struct pl_ctx *) *)arg));
    }
    return NULL;
}

/* Random bytes. Loops are interrupted; a guest that dies takes nothing with it. */
static void test_random_code(void **state)
{
    const char *env = getenv("KVM_FUZZ_ROUNDS");
    int rounds = env ? atoi(env) : 400, died = 0;
    uint64_t seed = 12345;
    uint8_t code[256];
    for (int i = 0; i < rounds; i++) {
        for (size_t n = 0; n < sizeof(code); n++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            code[n] = (uint8_t)(seed >> 33);
        }
        if (i % 3 == 0)
            code[0] = 0x0f;
        g_w.next = 0;
        struct pl_aspace *as = as_new();
        code_put(as, code, code + sizeof(code));
        map_new(as, STACK_VA - 4 * PL_PAGE_SIZE, 8 * PL_PAGE_SIZE, PL_READ | PL_WRITE);
        _Atomic(struct pl_ctx *) c = ctx_new(as, STACK_VA, CODE_VA);
        pthread_t th;
        pthread_create(&th, NULL, late_interrupt, (void *)&c);
        struct pl_event ev = run(c);
        for (int n = 0; n < 4 && ev.kind != PL_EV_DIED && ev.kind != PL_EV_INTERRUPTED; n++) {
            struct user_regs_struct r = regs_of(c);
            r.rip = CODE_VA + 8 * (unsigned)(n + 1);
            g_platform_kvm.ctx_set_regs(c, &r);
            ev = run(c);
        }
        died += ev.kind == PL_EV_DIED;
        struct pl_ctx *old = atomic_exchange(&c, NULL);
        pthread_join(th, NULL);
        drop(as, old);
    }
    print_message("  %d of %d random programs died\n", died, rounds);
    check_alive();
}

int kvm_hostile_tests(void)
{
    const struct CMUnitTest tests[] = {T(test_tricks), T(test_single_step), T(test_wild_regs),
                                       T(test_triple_fault), T(test_random_code)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
