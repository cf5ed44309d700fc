/* Vector state: distinct values in every ymm register of 8 threads, over calls, faults and preemption. */
#include "guest.h"
#include <cpuid.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/ucontext.h>

enum { THREADS = 8, ROUNDS = 400 };

struct regs {
    uint64_t v[16][4];
} __attribute__((aligned(32)));

#define LOAD16(op, n)                                                                              \
    op " 0*32(%0), %%" n "0\n" op " 1*32(%0), %%" n "1\n" op " 2*32(%0), %%" n "2\n" op " 3*32(%0), %%" n "3\n"       \
    op " 4*32(%0), %%" n "4\n" op " 5*32(%0), %%" n "5\n" op " 6*32(%0), %%" n "6\n" op " 7*32(%0), %%" n "7\n"       \
    op " 8*32(%0), %%" n "8\n" op " 9*32(%0), %%" n "9\n" op " 10*32(%0), %%" n "10\n" op " 11*32(%0), %%" n "11\n"   \
    op " 12*32(%0), %%" n "12\n" op " 13*32(%0), %%" n "13\n" op " 14*32(%0), %%" n "14\n" op " 15*32(%0), %%" n "15\n"
#define STORE16(op, n)                                                                             \
    op " %%" n "0, 0*32(%1)\n" op " %%" n "1, 1*32(%1)\n" op " %%" n "2, 2*32(%1)\n" op " %%" n "3, 3*32(%1)\n"       \
    op " %%" n "4, 4*32(%1)\n" op " %%" n "5, 5*32(%1)\n" op " %%" n "6, 6*32(%1)\n" op " %%" n "7, 7*32(%1)\n"       \
    op " %%" n "8, 8*32(%1)\n" op " %%" n "9, 9*32(%1)\n" op " %%" n "10, 10*32(%1)\n" op " %%" n "11, 11*32(%1)\n"   \
    op " %%" n "12, 12*32(%1)\n" op " %%" n "13, 13*32(%1)\n" op " %%" n "14, 14*32(%1)\n" op " %%" n "15, 15*32(%1)\n"

#define CLOBBERS                                                                                   \
    "rax", "rcx", "r11", "rdx", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",  \
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

/* Loads all registers, does one thing, stores all registers; nothing of the compiler's is in between. */
#define ROUND(action, in, out, arg)                                                                \
    do {                                                                                           \
        if (g_avx)                                                                                 \
            asm volatile(LOAD16("vmovdqa", "ymm") action STORE16("vmovdqa", "ymm") "vzeroupper\n"   \
                         : : "r"(in), "r"(out), "r"((uint64_t)(arg)) : CLOBBERS);                  \
        else                                                                                       \
            asm volatile(LOAD16("movdqa", "xmm") action STORE16("movdqa", "xmm")                   \
                         : : "r"(in), "r"(out), "r"((uint64_t)(arg)) : CLOBBERS);                  \
    } while (0)

static bool g_avx;
static volatile int g_errors;
static __thread char *t_page;

static void fill(struct regs *r, int thread, int round)
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++)
            r->v[i][j] = (uint64_t)thread << 56 | (uint64_t)i << 48 | (uint64_t)j << 40 | (unsigned)round * 2654435761u;
}

static int differs(const struct regs *a, const struct regs *b)
{
    for (int i = 0; i < 16; i++)
        if (memcmp(a->v[i], b->v[i], g_avx ? 32 : 16))
            return 1 + i;
    return 0;
}

static void on_segv(int sig, siginfo_t *si, void *uc)
{
    struct regs junk;
    memset(&junk, 0xee, sizeof(junk));
    ROUND("", &junk, &junk, 0); /* spoil them all: sigreturn must bring them back */
    mprotect((void *)((uintptr_t)si->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
}

static void on_tick(int sig)
{
    struct regs junk;
    memset(&junk, 0xdd, sizeof(junk));
    ROUND("", &junk, &junk, 0);
}

static void one_round(struct regs *in, struct regs *out, int round)
{
    switch (round & 3) {
    case 0:
        ROUND("mov $39, %%eax\n syscall\n", in, out, 0);
        break;
    case 1:
        mprotect(t_page, 4096, PROT_NONE);
        ROUND("movb $1, (%2)\n", in, out, t_page);
        break;
    case 2:
        ROUND("mov %2, %%rdx\n 1: dec %%rdx\n jnz 1b\n", in, out, 20000);
        break;
    default:
        ROUND("mov $24, %%eax\n syscall\n", in, out, 0); /* sched_yield */
    }
}

static void *thread_main(void *arg)
{
    int me = (intptr_t)arg;
    unsigned csr = 0x1f80 | (me & 3) << 13, csr_now;
    struct regs in, out;
    t_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    asm volatile("ldmxcsr %0" : : "m"(csr));
    for (int round = 0; round < ROUNDS; round++) {
        fill(&in, me, round);
        memset(&out, 0, sizeof(out));
        one_round(&in, &out, round);
        asm volatile("stmxcsr %0" : "=m"(csr_now));
        int bad = differs(&in, &out);
        if (bad || (csr_now & ~0x3f) != csr) {
            dprintf(1, "FAIL %s: thread %d round %d (kind %d): register %d, mxcsr %x want %x\n", g_check, me, round, round & 3,
                    bad - 1, csr_now, csr);
            g_errors++;
            break;
        }
    }
    return NULL;
}

static void run_threads(void)
{
    pthread_t t[THREADS];
    g_errors = 0;
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK_ZERO(pthread_create(&t[i], NULL, thread_main, (void *)(i + 1)));
    for (int i = 0; i < THREADS; i++)
        CHECK_ZERO(pthread_join(t[i], NULL));
    CHECK_EQ(g_errors, 0);
}

static void calls_faults_preemption(void)
{
    handle_info(SIGSEGV, on_segv, 0);
    run_threads();
}

static void with_timer_signals(void)
{
    struct itimerval it = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
    handle_info(SIGSEGV, on_segv, 0);
    handle(SIGALRM, on_tick, SA_RESTART);
    OK(setitimer(ITIMER_REAL, &it, NULL));
    run_threads();
    OK(setitimer(ITIMER_REAL, &off, NULL));
}

static void over_fork(void)
{
    struct regs in, out;
    fill(&in, 9, 1);
    /* fork by hand: the child must start with the parent's registers */
    ROUND("mov $57, %%eax\n syscall\n mov %%rax, (%2)\n", &in, &out, ({ static uint64_t pid; &pid; }));
    int bad = differs(&in, &out);
    if (getpid() != g_main_pid)
        _exit(bad ? 1 : 0);
    CHECK_EQ(bad, 0);
    for (int st; wait(&st) > 0;)
        CHECK_EQ(st, 0);
}

static void general_registers_over_a_call(void)
{
    uint64_t in[16], out[16], flags_in, flags_out;
    for (int i = 0; i < 16; i++)
        in[i] = 0x1111111111111111ull * (i + 1);
    asm volatile("push %%rbx\n push %%rbp\n push %1\n mov %0, %%rax\n"
                 "mov 8(%%rax), %%rbx\n mov 16(%%rax), %%rdx\n mov 24(%%rax), %%rsi\n mov 32(%%rax), %%rdi\n"
                 "mov 40(%%rax), %%rbp\n mov 48(%%rax), %%r8\n mov 56(%%rax), %%r9\n mov 64(%%rax), %%r10\n"
                 "mov 72(%%rax), %%r12\n mov 80(%%rax), %%r13\n mov 88(%%rax), %%r14\n mov 96(%%rax), %%r15\n"
                 "mov $39, %%eax\n syscall\n pop %%rax\n"
                 "mov %%rbx, 8(%%rax)\n mov %%rdx, 16(%%rax)\n mov %%rsi, 24(%%rax)\n mov %%rdi, 32(%%rax)\n"
                 "mov %%rbp, 40(%%rax)\n mov %%r8, 48(%%rax)\n mov %%r9, 56(%%rax)\n mov %%r10, 64(%%rax)\n"
                 "mov %%r12, 72(%%rax)\n mov %%r13, 80(%%rax)\n mov %%r14, 88(%%rax)\n mov %%r15, 96(%%rax)\n"
                 "pop %%rbp\n pop %%rbx\n"
                 : : "r"(in), "r"(out)
                 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
    for (int i = 1; i <= 12; i++)
        CHECK_EQ(out[i], in[i]);
    /* rcx is the return address and r11 the flags; the flags are kept */
    asm volatile("mov $39, %%eax\n stc\n std\n pushf\n pop %0\n syscall\n 1: pushf\n pop %1\n cld\n lea 1b(%%rip), %%rdx\n sub %%rcx, %%rdx\n"
                 "mov %%rdx, %2\n mov %%r11, %3\n"
                 : "=&r"(flags_in), "=&r"(flags_out), "=m"(out[0]), "=m"(out[1]) : : "rax", "rcx", "rdx", "r11", "memory", "cc");
    CHECK_EQ(flags_out & 0xcd5, flags_in & 0xcd5);
    CHECK_EQ(out[0], 0);
    CHECK_EQ(out[1] & 0xcd5, flags_in & 0xcd5);
}

static volatile uint64_t g_seen_ymm[2];

static void look_at_xmm(int sig, siginfo_t *si, void *ucv)
{
    ucontext_t *uc = ucv;
    memcpy((void *)g_seen_ymm, &uc->uc_mcontext.fpregs->_xmm[5], 16);
    uint64_t change[2] = {0xabc, 0xdef};
    memcpy(&uc->uc_mcontext.fpregs->_xmm[5], change, 16);
    uc->uc_mcontext.gregs[REG_RIP] += 2;
}

static void handler_sees_and_changes_vectors(void)
{
    uint64_t in[2] = {0x123456789, 0x987654321}, out[2];
    handle_info(SIGILL, look_at_xmm, 0);
    asm volatile("movdqu (%0), %%xmm5\n ud2\n movdqu %%xmm5, (%1)\n" : : "r"(in), "r"(out) : "xmm5", "memory");
    CHECK(g_seen_ymm[0] == in[0] && g_seen_ymm[1] == in[1]);
    CHECK(out[0] == 0xabc && out[1] == 0xdef);
}

static void exec_gives_clean_registers(void)
{
    pid_t p = OK(fork());
    if (!p) {
        unsigned csr = 0x7f80;
        asm volatile("ldmxcsr %0\n pcmpeqd %%xmm7, %%xmm7\n" : : "m"(csr) : "xmm7");
        execl(g_self, "ymm", "--clean", NULL);
        _exit(9);
    }
    WAIT_EXIT(p, 0);
}

static void x87_state(void)
{
    long double in[4] = {1.5L, -2.25L, 3.125L, 1e300L}, out[4];
    unsigned short cw = 0xf7f, now;
    asm volatile("fninit\n fldcw %2\n fldt (%0)\n fldt 16(%0)\n fldt 32(%0)\n fldt 48(%0)\n mov $39, %%eax\n syscall\n"
                 "fstpt 48(%1)\n fstpt 32(%1)\n fstpt 16(%1)\n fstpt (%1)\n fnstcw %3\n fninit\n"
                 : : "r"(in), "r"(out), "m"(cw), "m"(now) : "rax", "rcx", "r11", "memory");
    for (int i = 0; i < 4; i++)
        CHECK(in[i] == out[i]);
    CHECK_EQ(now, cw);
}

GUEST_CHECKS(C(calls_faults_preemption), C(with_timer_signals), C(over_fork), C(general_registers_over_a_call),
             C(handler_sees_and_changes_vectors), C(exec_gives_clean_registers), C(x87_state));

int main(int argc, char **argv)
{
    unsigned csr, a, b, c, d;
    asm volatile("stmxcsr %0" : "=m"(csr));
    if (argc > 1 && !strcmp(argv[1], "--clean"))
        return (csr & ~0x3fu) != 0x1f80;
    g_avx = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AVX) && (c & bit_OSXSAVE);
    if (argc < 2 || strcmp(argv[1], "--list"))
        dprintf(1, "# vector registers: %s\n", g_avx ? "ymm" : "xmm only, the processor says no AVX");
    return guest_run(g_checks, argc, argv);
}
