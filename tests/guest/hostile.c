/* What a hostile program does. Nearly any outcome is fine for the one who does it, so each attempt is
 * made in a child; what is checked is that everybody else goes on: no crash, no hang, and no call that
 * reaches the host (a process id that is not ours would show it).
 *
 * Children give up root for a user id of their own first, since this runs on the bare host as well.
 * Timeout: 240 s
 */
#include "guest.h"
#include <asm/prctl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/ucontext.h>

static char g_alt[65536] __attribute__((aligned(4096)));

/* In a child: harmless to others, and with an end. */
static void become_harmless(void)
{
    struct rlimit as = {2ul << 30, 2ul << 30}, cpu = {4, 5}, core = {0, 0};
    uid_t u = 50000 + getpid();
    int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    setrlimit(RLIMIT_AS, &as);
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_CORE, &core);
    if (syscall(SYS_setgroups, 0, NULL) || setresgid(u, u, u) || setresuid(u, u, u))
        _exit(0);
}

/* Waits for a child, kills it when it takes longer; a hang of wait itself is what would be a failure. */
static int reap(pid_t p, int ms)
{
    int st;
    for (int i = 0; i < ms; i++) {
        pid_t r = waitpid(p, &st, WNOHANG);
        if (r == p)
            return st;
        sleep_ms(1);
    }
    kill(-p, SIGKILL);
    kill(p, SIGKILL);
    CHECK_EQ(OK(waitpid(p, &st, 0)), p);
    return st;
}

#define HOSTILE(ms, ...)                                                                           \
    do {                                                                                           \
        pid_t hostile_ = OK(fork());                                                               \
        if (!hostile_) {                                                                           \
            become_harmless();                                                                     \
            __VA_ARGS__;                                                                           \
            _exit(0);                                                                              \
        }                                                                                          \
        reap(hostile_, ms);                                                                        \
        still_alive();                                                                             \
    } while (0)

static void still_alive(void)
{
    CHECK_EQ(syscall(SYS_getpid), g_main_pid);
}

/* Calls that are left out: they only end or block the child, or make things that outlive it on the host. */
static bool left_out(int nr)
{
    static const short skip[] = {SYS_exit,    SYS_exit_group, SYS_fork,   SYS_vfork,   SYS_clone,  SYS_clone3,  SYS_pause,
                                 SYS_shmget,  SYS_semget,     SYS_msgget, SYS_mq_open, SYS_reboot, SYS_add_key, SYS_keyctl,
                                 SYS_setrlimit, SYS_prlimit64, SYS_request_key, SYS_rt_sigreturn, SYS_rt_sigsuspend};
    for (size_t i = 0; i < sizeof(skip) / sizeof(*skip); i++)
        if (skip[i] == nr)
            return true;
    return false;
}

static long wild(unsigned k)
{
    static char page[8192] __attribute__((aligned(4096)));
    const long v[] = {0,
                      1,
                      -1,
                      8,
                      0xfff,
                      (long)page,
                      (long)page + 4090,
                      (long)0x7ffffffff000,
                      (long)0x7fffffffefff,
                      (long)0x800000000000,
                      (long)0xffff800000000000,
                      (long)0xffffffffff600000,
                      (long)0x8000000000000000,
                      0x7fffffffffffffff,
                      0x100000000,
                      -4096,
                      0x7fffffff,
                      (long)0xffffffff80000000,
                      3,
                      0x7fffe0000000,
                      4096,
                      (long)&wild};
    return v[k % (sizeof(v) / sizeof(*v))];
}

static void storm(int nr, unsigned seed)
{
    for (int round = 0; round < 25; round++) {
        long a[6];
        for (int i = 0; i < 6; i++)
            a[i] = round == 0 ? wild(1000 * i) : round < 8 ? wild(round + 3) : wild((seed = seed * 1103515245 + 12345) >> 16);
        alarm(1);
        syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}

static void wild_pointers_in_every_call(void)
{
    for (int nr = 0; nr < 470; nr++) {
        if (left_out(nr) || (nr >= 335 && nr < 424))
            continue;
        HOSTILE(400, storm(nr, nr * 7 + 1));
    }
}

static long call_raw(unsigned long rax)
{
    long r;
    asm volatile("syscall" : "=a"(r) : "a"(rax), "D"(0l), "S"(0l), "d"(0l) : "rcx", "r11", "memory");
    return r;
}

static void invalid_numbers(void)
{
    CHECK_EQ(call_raw(-1ul), -ENOSYS);
    CHECK_EQ(call_raw(100000), -ENOSYS);
    CHECK_EQ(call_raw(0x7fffffff), -ENOSYS);
    CHECK_EQ(call_raw(0x80000000ul), -ENOSYS);
    CHECK_EQ(call_raw(500), -ENOSYS);
    CHECK_EQ(call_raw(0x40000000ul | 600), -ENOSYS);
    CHECK_EQ(call_raw(0x100000000ul | SYS_getpid), getpid()); /* only the low half is the number */
    CHECK_EQ(call_raw(0xffffffff00000000ul | SYS_getpid), getpid());
}

static void x32_numbers(void)
{
    for (int nr = 0; nr < 600; nr += 13) {
        if (left_out(nr))
            continue;
        HOSTILE(300, long r = call_raw(0x40000000ul | nr); (void)r);
    }
    long r = call_raw(0x40000000ul | SYS_getpid);
    CHECK(r == -ENOSYS || r == getpid());
}

/* getpid by the 32-bit gate: refused, fatal, or our own process id; never the host's. */
static void int_0x80(void)
{
    pid_t p = OK(fork());
    if (!p) {
        long r = 20;
        pid_t me = getpid();
        asm volatile("int $0x80" : "+a"(r) : : "r8", "r9", "r10", "r11", "memory");
        _exit((int)r == me || (int)r == -ENOSYS ? 0 : 77);
    }
    int st = reap(p, 3000);
    CHECK(!WIFEXITED(st) || WEXITSTATUS(st) == 0);
}

static void int_0x80_storm(void)
{
    for (int nr = 3; nr < 400; nr += 11)
        HOSTILE(300, long r = nr; asm volatile("int $0x80" : "+a"(r) : "b"(1), "c"(-1), "d"(8) : "r8", "r9", "r10", "r11", "memory"));
}

static volatile uint64_t g_landed;

/* Goes to 32-bit code by a far return, and asks there for the process id. */
static void compatibility_mode(void)
{
    for (int gate = 0; gate < 3; gate++) {
        pid_t p = OK(fork());
        if (!p) {
            static const unsigned char code[] = {0xb8, 20, 0, 0, 0,            /* mov $20, %eax */
                                                 0xcd, 0x80,                   /* int $0x80 (or syscall, sysenter) */
                                                 0xea, 0, 0, 0, 0, 0x33, 0};   /* ljmp $0x33:back */
            unsigned char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
            pid_t me = getpid();
            if (low == MAP_FAILED)
                _exit(0);
            memcpy(low, code, sizeof(code));
            if (gate)
                low[5] = 0x0f, low[6] = gate == 1 ? 0x05 : 0x34;
            low[100] = 0xc3; /* back in 64-bit code: ret */
            uint32_t back = (uintptr_t)low + 100;
            memcpy(low + 8, &back, 4);
            long r;
            struct rlimit cpu = {1, 1};
            setrlimit(RLIMIT_CPU, &cpu);
            static uint64_t entry, stack, kept;
            entry = (uintptr_t)low, stack = (uintptr_t)low + 8000;
            asm volatile("push %%rbp\n mov %%rsp, %2\n mov %1, %%rsp\n lea 1f(%%rip), %%rax\n push %%rax\n"
                         "push $0x23\n push %0\n lretq\n 1: mov %2, %%rsp\n pop %%rbp\n mov %%eax, %%eax\n mov %%rax, %3\n"
                         : "+m"(entry), "+m"(stack), "+m"(kept), "=m"(g_landed) :
                         : "rax", "rcx", "rdx", "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
            r = g_landed;
            _exit((int)r == me || (int)r == -ENOSYS ? 0 : 77);
        }
        int st = reap(p, 3000);
        CHECK(!WIFEXITED(st) || WEXITSTATUS(st) == 0);
        still_alive();
    }
}

static sigjmp_buf g_env;

static void bail_out(int sig)
{
    siglongjmp(g_env, 1);
}

struct range {
    uint64_t from, to;
};

static int own_ranges(struct range *r, int max)
{
    FILE *f = fopen("/proc/self/maps", "r");
    int n = 0;
    char line[512];
    while (f && n < max && fgets(line, sizeof(line), f))
        if (sscanf(line, "%lx-%lx", &r[n].from, &r[n].to) == 2)
            n++;
    if (f)
        fclose(f);
    return n;
}

static bool is_own(const struct range *r, int n, uint64_t va)
{
    for (int i = 0; i < n; i++)
        if (va >= r[i].from - 4096 * 300 && va < r[i].to) /* the stack may grow */
            return true;
    return false;
}

/* Jumps to va with rax = nr; a stack full of return addresses leads back here. 1: came back, result in *out. */
static int jump(uint64_t va, uint64_t nr, uint64_t arg, uint64_t *out)
{
    static uint64_t stack[512];
    for (int i = 0; i < 512; i++)
        stack[i] = (uint64_t)&&landing;
    volatile uint64_t never = 0;
    if (never)
        goto landing;
    if (sigsetjmp(g_env, 1))
        return 0;
    ualarm(50000, 0);
    g_landed = 0;
    asm goto("mov %0, %%rax\n mov %1, %%rdi\n mov %1, %%rsi\n mov %1, %%rdx\n mov %1, %%r10\n mov %1, %%rbx\n mov %1, %%rbp\n"
             "mov %1, %%r8\n mov %1, %%r9\n mov %1, %%r12\n mov %1, %%r13\n mov %1, %%r14\n mov %1, %%r15\n"
             "mov %3, %%rsp\n jmp *%2\n"
             : : "m"(nr), "m"(arg), "c"(va), "r"(stack + 64)
             : "rax", "rdi", "rsi", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory" : landing);
landing:
    asm volatile("mov %%rax, %0" : "=m"(g_landed));
    *out = g_landed;
    siglongjmp(g_env, 1);
}

static void arm_all(void)
{
    stack_t ss = {.ss_sp = g_alt, .ss_size = sizeof(g_alt)};
    sigaltstack(&ss, NULL);
    static const int sigs[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGALRM, SIGSYS};
    for (size_t i = 0; i < sizeof(sigs) / sizeof(*sigs); i++) {
        struct sigaction sa = {.sa_handler = bail_out, .sa_flags = SA_ONSTACK | SA_NODEFER};
        sigaction(sigs[i], &sa, NULL);
    }
}

static void try_page(uint64_t va)
{
    uint64_t got = 0;
    static const int nrs[] = {SYS_getpid, SYS_getppid, SYS_gettid, SYS_kill, SYS_mmap, SYS_openat, SYS_munmap, SYS_rt_sigreturn};
    pid_t me = getpid();
    for (int off = 0; off < 4096; off++) {
        volatile unsigned char a, b;
        if (sigsetjmp(g_env, 1))
            continue;
        a = *(volatile unsigned char *)(va + off), b = *(volatile unsigned char *)(va + (off < 4095 ? off + 1 : off));
        bool is_call = a == 0x0f && b == 0x05;
        if (!is_call && off % 16)
            continue;
        for (int k = 0; k < (is_call ? 8 : 1); k++) {
            got = 0;
            jump(va + off, nrs[k], k == 4 ? 4096 : -1ul, &got);
            if (k == 0 && got && (int)got > 0 && (int)got != me && is_call)
                _exit(66); /* somebody else's process id: the host's */
        }
    }
}

/* Reads every page that is not ours in the top of the address space; what is readable is jumped into. */
static void jump_into_the_platform(void)
{
    pid_t p = OK(fork());
    if (!p) {
        static struct range own[400];
        int n = own_ranges(own, 400);
        struct rlimit cpu = {60, 60};
        setrlimit(RLIMIT_CPU, &cpu);
        arm_all();
        for (volatile uint64_t va = 0x7fffe0000000; va < 0x7ffffffff000; va += 4096) {
            if (is_own(own, n, va))
                continue;
            if (sigsetjmp(g_env, 1))
                continue;
            (void)*(volatile char *)va;
            /* it is there: try it in a child, since the stack is lost to whoever runs it */
            pid_t q = fork();
            if (!q) {
                try_page(va);
                _exit(0);
            }
            int st = reap(q, 20000);
            if (WIFEXITED(st) && WEXITSTATUS(st) == 66)
                _exit(66);
        }
        _exit(0);
    }
    int st = reap(p, 50000);
    if (WIFEXITED(st) && WEXITSTATUS(st) == 66)
        FAIL("a jump into the platform's code reached the host");
    still_alive();
}

static void blind_jumps_high(void)
{
    for (uint64_t base = 0x7ffffffde000; base < 0x7ffffffff000; base += 4096)
        for (int off = 0; off < 4096; off += 1024)
            HOSTILE(300, ((void (*)(long, long, long))(base + off))(1, 2, 3));
}

static void jump_everywhere(void)
{
    static const uint64_t to[] = {0, 1, 0xffffffffff600000, 0x7ffffffff000, 0x7fffffffffff, 0x800000000000, 0xffff800000000000,
                                  0xffffffffffffffff, 0x8000000000000000, 0x7fffe0000000, 0x7fffffffe000, 0x7ffff0000000};
    for (size_t i = 0; i < sizeof(to) / sizeof(*to); i++)
        HOSTILE(500, ((void (*)(void))to[i])());
}

static const uint64_t g_bad_sp[] = {0, 8, 0x1000, 0x7ffffffff000, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, 0xffffffffffffffff,
                                    0x7fffe0000000, 0x7fffe0001000, 0x7ffffffde000, 0x8000000000000000, 7};

static void garbage_stack_pointer(void)
{
    for (size_t i = 0; i < sizeof(g_bad_sp) / sizeof(*g_bad_sp); i++)
        for (int how = 0; how < 6; how++)
            HOSTILE(500, {
                long tid = syscall(SYS_gettid);
                uint64_t sp = g_bad_sp[i];
                if (how & 1)
                    arm_all();
                switch (how / 2) {
                case 0:
                    asm volatile("mov %0, %%rsp\n syscall\n ud2" : : "r"(sp), "a"(SYS_tkill), "D"(tid), "S"((long)SIGSEGV) : "memory");
                    break;
                case 1:
                    asm volatile("mov %0, %%rsp\n ud2" : : "r"(sp) : "memory");
                    break;
                default:
                    asm volatile("mov %0, %%rsp\n push %%rax\n int3" : : "r"(sp) : "memory");
                }
            });
}

static void calls_with_garbage_stack(void)
{
    for (size_t i = 0; i < sizeof(g_bad_sp) / sizeof(*g_bad_sp); i++) {
        pid_t p = OK(fork());
        if (!p)
            asm volatile("mov %0, %%rsp\n mov %%rsp, %%rbp\n mov $39, %%eax\n syscall\n mov $60, %%eax\n mov $5, %%edi\n syscall\n ud2"
                         : : "r"(g_bad_sp[i]) : "memory");
        WAIT_EXIT(p, 5); /* a call needs no stack */
    }
}

static void fork_with_garbage_stack(void)
{
    for (size_t i = 0; i < sizeof(g_bad_sp) / sizeof(*g_bad_sp); i++)
        HOSTILE(500, asm volatile("mov %0, %%rsp\n mov $57, %%eax\n syscall\n mov $231, %%eax\n xor %%edi, %%edi\n syscall\n ud2"
                                  : : "r"(g_bad_sp[i]) : "memory"));
}

static void forged_sigreturn(void)
{
    for (int kind = 0; kind < 40; kind++)
        HOSTILE(500, {
            static struct {
                ucontext_t uc;
                char room[8192];
            } f __attribute__((aligned(64)));
            unsigned seed = kind * 77 + 1;
            memset(&f, kind & 1 ? 0xff : 0, sizeof(f));
            if (kind > 3)
                for (unsigned char *b = (void *)&f; b < (unsigned char *)(&f + 1); b++)
                    *b = (seed = seed * 1103515245 + 12345) >> 16;
            greg_t *g = f.uc.uc_mcontext.gregs;
            if (kind > 8) {
                g[REG_RIP] = wild(kind), g[REG_RSP] = wild(kind / 2), g[REG_EFL] = kind & 2 ? -1 : 0x202;
                g[REG_CSGSFS] = kind & 4 ? 0x002b000000000033 : kind & 8 ? 0x23 : (long)0xffff00000000ffff;
                f.uc.uc_mcontext.fpregs = (void *)wild(kind * 3);
            }
            if (kind > 30)
                f.uc.uc_mcontext.fpregs = (void *)(f.room + 64 - ((uintptr_t)f.room & 63));
            asm volatile("mov %0, %%rsp\n mov $15, %%eax\n syscall\n ud2" : : "r"(&f.uc) : "memory");
        });
}

static void segments_and_bases(void)
{
    CHECK_ERR(syscall(SYS_arch_prctl, ARCH_SET_GS, 0xffff800000000000ul), EPERM);
    CHECK_ERR(syscall(SYS_arch_prctl, ARCH_SET_FS, 0x8000000000000000ul), EPERM);
    CHECK_ERR(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
    CHECK_ERR(syscall(SYS_arch_prctl, ARCH_GET_FS, 8L), EFAULT);
    for (int sel = 0; sel < 0x60; sel += 3) {
        HOSTILE(300, asm volatile("mov %w0, %%ds\n mov %w0, %%es\n" : : "r"(sel)); getpid());
        HOSTILE(300, asm volatile("mov %w0, %%gs\n" : : "r"(sel)); getpid());
        HOSTILE(300, asm volatile("mov %w0, %%fs\n mov $39, %%eax\n syscall\n mov $60, %%eax\n syscall" : : "r"(sel) : "rax", "rcx", "r11"));
        HOSTILE(300, asm volatile("mov %w0, %%ss\n mov $39, %%eax\n syscall\n" : : "r"(sel) : "rax", "rcx", "r11"));
    }
    HOSTILE(300, syscall(SYS_arch_prctl, ARCH_SET_FS, 0x7ffffffff000ul - 8); asm volatile("mov %%fs:0, %%rax" ::: "rax"));
    HOSTILE(300, unsigned short ldt[8] = {1}; syscall(SYS_modify_ldt, 1, ldt, 16));
}

static void odd_flags(void)
{
    static const long flags[] = {0x100, 0x400, 0x4000, 0x40000, 0x3000, 0x200000, 0x500, 0x44d00, 0x80000, 0x20000};
    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
        HOSTILE(500, asm volatile("pushf\n orq %0, (%%rsp)\n popf\n mov $39, %%eax\n syscall\n nop\n" : : "r"(flags[i]) : "rax", "rcx", "r11", "cc", "memory"));
        HOSTILE(500, handle(SIGTRAP, SIG_IGN, 0);
                asm volatile("pushf\n orq %0, (%%rsp)\n popf\n mov $57, %%eax\n syscall\n nop\n mov $60, %%eax\n syscall" : : "r"(flags[i]) : "rax", "rcx", "r11", "cc", "memory"));
    }
}

static void every_opcode_prefix(void)
{
    /* short random instruction sequences */
    unsigned seed = 4711;
    for (int i = 0; i < 150; i++) {
        unsigned char code[16];
        for (int k = 0; k < 16; k++)
            code[k] = (seed = seed * 1103515245 + 12345) >> 16;
        HOSTILE(100, {
            unsigned char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p != MAP_FAILED) {
                memset(p, 0xcc, 4096);
                memcpy(p, code, 16);
                ((void (*)(void))(void *)p)();
            }
        });
    }
}

static void privileged_instructions(void)
{
    HOSTILE(300, asm volatile("hlt"));
    HOSTILE(300, asm volatile("iretq"));
    HOSTILE(300, asm volatile("sysretq"));
    HOSTILE(300, asm volatile("swapgs"));
    HOSTILE(300, asm volatile("mov %%rax, %%cr3" ::: "rax"));
    HOSTILE(300, asm volatile("mov %%rax, %%dr7" ::: "rax"));
    HOSTILE(300, asm volatile("lgdt (%0)" : : "r"(g_alt)));
    HOSTILE(300, asm volatile("rdmsr" ::: "rax", "rdx", "rcx"));
    HOSTILE(300, asm volatile("vmmcall" ::: "rax"));
    HOSTILE(300, asm volatile("vmcall" ::: "rax"));
    HOSTILE(300, asm volatile("int $0x2c"));
    HOSTILE(300, asm volatile("int $8"));
    HOSTILE(300, asm volatile("int $14"));
    HOSTILE(300, asm volatile("int $0xff"));
    HOSTILE(300, asm volatile(".byte 0xf1"));
    HOSTILE(300, asm volatile("invlpg (%0)" : : "r"(g_alt)));
    HOSTILE(300, asm volatile("xsetbv" : : "a"(7), "d"(0), "c"(0)));
    HOSTILE(300, asm volatile("lcall *(%0)" : : "r"(g_alt) : "memory"));
}

static void map_over_the_top(void)
{
    HOSTILE(2000, for (uint64_t va = 0x7fff80000000; va < 0x7ffffffff000; va += 1 << 20) {
        mmap((void *)va, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        mprotect((void *)(va + 4096), 1 << 19, PROT_READ | PROT_WRITE | PROT_EXEC);
        madvise((void *)va, 1 << 20, MADV_DONTNEED);
    });
    HOSTILE(2000, munmap(0, 0x7ffffffff000ul));
    HOSTILE(2000, mprotect((void *)4096, 0x7fffffffe000ul, PROT_NONE));
    HOSTILE(2000, syscall(SYS_munmap, 0x400000ul, 0x7fffff000000ul - 0x400000); getpid());
    HOSTILE(2000, for (uint64_t va = 0x7fffe0000000; va < 0x7ffffffff000; va += 1 << 16) munmap((void *)va, 1 << 16));
}

static volatile char *g_shared;
static volatile int g_stop;

static void *mapper(void *arg)
{
    while (!g_stop) {
        mmap((void *)g_shared, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        mprotect((void *)g_shared, 65536, PROT_NONE);
        munmap((void *)(g_shared + 4096), 16384);
    }
    return NULL;
}

static void *user(void *arg)
{
    int zero = open("/dev/zero", O_RDWR), p[2];
    if (pipe2(p, O_NONBLOCK))
        return NULL;
    while (!g_stop) {
        read(zero, (void *)g_shared, 65536);
        write(p[1], (void *)g_shared, 4096);
        read(p[0], (void *)g_shared, 8192);
        open((void *)g_shared, O_RDONLY);
        syscall(SYS_clock_gettime, 1, g_shared + 8192);
        syscall(SYS_futex, g_shared + 16, 129, 5);
    }
    return NULL;
}

static void race_with_unmapping(void)
{
    HOSTILE(1500, {
        pthread_t t[6];
        g_shared = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < 6; i++)
            pthread_create(&t[i], NULL, i & 1 ? mapper : user, NULL);
        sleep_ms(1000);
        g_stop = 1;
        for (int i = 0; i < 6; i++)
            pthread_join(t[i], NULL);
    });
}

static char g_name[64];

static void *flipper(void *arg)
{
    while (!g_stop) {
        memcpy(g_name, "/dev/null\0", 10);
        memset(g_name, '/', 63);
        memcpy(g_name, "/proc/self/exe", 15);
    }
    return NULL;
}

static void race_with_a_path(void)
{
    HOSTILE(1500, {
        pthread_t t;
        struct stat st;
        pthread_create(&t, NULL, flipper, NULL);
        for (int64_t end = now_ns() + 700000000; now_ns() < end;) {
            close(open(g_name, O_RDONLY));
            stat(g_name, &st);
            readlink(g_name, g_alt, 100);
        }
        g_stop = 1;
        pthread_join(t, NULL);
    });
}

static void *cloner(void *arg)
{
    while (!g_stop) {
        pid_t p = fork();
        if (!p)
            _exit(0);
        if (p > 0)
            waitpid(p, NULL, 0);
    }
    return NULL;
}

static void exit_in_the_middle_of_everything(void)
{
    for (int i = 0; i < 12; i++)
        HOSTILE(2000, {
            pthread_t t;
            g_shared = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            pthread_create(&t, NULL, cloner, NULL);
            pthread_create(&t, NULL, cloner, NULL);
            pthread_create(&t, NULL, user, NULL);
            pthread_create(&t, NULL, mapper, NULL);
            sleep_ms(10 + i * 5);
            if (i % 3 == 0)
                execl("/bin/true", "true", NULL);
            else if (i % 3 == 1)
                _exit(0);
            else
                raise(SIGKILL);
        });
}

static void fork_bomb_is_bounded(void)
{
    HOSTILE(1500, {
        struct rlimit rl = {40, 40};
        setrlimit(RLIMIT_NPROC, &rl);
        for (int i = 0; i < 12; i++)
            fork();
        sleep_ms(200);
    });
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

static void everything_closed(void)
{
    HOSTILE(1000, for (int i = 0; i < 1024; i++) close(i); getpid(); open("/", O_RDONLY); pipe(g_env->__saved_mask.__val ? (int *)g_alt : NULL));
}

static void deep_recursion_of_handlers(void)
{
    pid_t p = OK(fork());
    if (!p) {
        struct sigaction sa = {.sa_handler = (void (*)(int))8, .sa_flags = SA_NODEFER};
        sigaction(SIGSEGV, &sa, NULL); /* the handler itself is a fault, for ever, until the stack is used up */
        *(volatile int *)8 = 1;
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGSEGV);
}

static void interrupts_in_a_storm(void)
{
    HOSTILE(2500, {
        arm_all();
        signal(SIGALRM, SIG_IGN);
        pid_t p = fork();
        if (!p)
            for (;;)
                getpid();
        for (int64_t end = now_ns() + 1000000000; now_ns() < end;) {
            kill(p, SIGSTOP);
            kill(p, SIGCONT);
        }
        kill(p, SIGKILL);
    });
}

GUEST_MAIN(C(invalid_numbers), C(x32_numbers), C(int_0x80), C(int_0x80_storm), C(compatibility_mode), C(jump_everywhere),
           C(blind_jumps_high), C(jump_into_the_platform), C(garbage_stack_pointer), C(calls_with_garbage_stack),
           C(fork_with_garbage_stack), C(forged_sigreturn), C(segments_and_bases), C(odd_flags), C(every_opcode_prefix),
           C(privileged_instructions), C(map_over_the_top), C(race_with_unmapping), C(race_with_a_path),
           C(exit_in_the_middle_of_everything), C(fork_bomb_is_bounded), C(everything_closed),
           C(deep_recursion_of_handlers), C(interrupts_in_a_storm), C(wild_pointers_in_every_call))
