/* Hardware faults as signals: number, code, address, and that a program can recover. */
#include "guest.h"
#include <sys/mman.h>
#include <sys/ucontext.h>

static sigjmp_buf g_env;
static volatile siginfo_t g_info;
static volatile long g_trapno, g_err, g_cr2;

static void on_fault(int sig, siginfo_t *si, void *ucv)
{
    ucontext_t *uc = ucv;
    g_info = *si;
    g_trapno = uc->uc_mcontext.gregs[REG_TRAPNO];
    g_err = uc->uc_mcontext.gregs[REG_ERR];
    g_cr2 = uc->uc_mcontext.gregs[REG_CR2];
    siglongjmp(g_env, 1);
}

static void arm(void)
{
    g_info = (siginfo_t){0};
    for (int s = SIGILL; s <= SIGSEGV; s++)
        if (s != SIGKILL && s != SIGABRT)
            handle_info(s, on_fault, 0);
}

#define FAULT(stmt)                                                                                \
    do {                                                                                           \
        arm();                                                                                     \
        if (!sigsetjmp(g_env, 1)) {                                                                \
            stmt;                                                                                  \
            FAIL("no fault from %s", #stmt);                                                       \
        }                                                                                          \
    } while (0)

static void null_read(void)
{
    FAULT(*(volatile int *)0x10);
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    CHECK_EQ(g_info.si_code, SEGV_MAPERR);
    CHECK_EQ((long)g_info.si_addr, 0x10);
    CHECK_EQ(g_trapno, 14);
    CHECK_EQ(g_err & 7, 4);
    CHECK_EQ(g_cr2, 0x10);
}

static void null_write(void)
{
    FAULT(*(volatile int *)0x20 = 1);
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    CHECK_EQ(g_err & 7, 6);
}

static void readonly_write(void)
{
    char *p = OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK_EQ(*(volatile char *)p, 0);
    FAULT(*(volatile char *)(p + 123) = 1);
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    CHECK_EQ(g_info.si_code, SEGV_ACCERR);
    CHECK(g_info.si_addr == p + 123);
    CHECK_EQ(g_err & 6, 6);
}

static void prot_none(void)
{
    char *p = OK(mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    FAULT(*(volatile char *)p);
    CHECK_EQ(g_info.si_code, SEGV_ACCERR);
    CHECK(g_info.si_addr == p);
}

static void execute_data(void)
{
    char *p = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    *p = (char)0xc3;
    FAULT(((void (*)(void))p)());
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    CHECK_EQ(g_info.si_code, SEGV_ACCERR);
    CHECK(g_info.si_addr == p);
}

static void noncanonical(void)
{
    FAULT(*(volatile char *)0x8000000000000000ul);
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    CHECK_EQ(g_info.si_code, SI_KERNEL);
    CHECK_EQ(g_trapno, 13);
}

static void kernel_half(void)
{
    FAULT(*(volatile char *)0xffff800000000000ul);
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    FAULT(*(volatile char *)0xffffffffff600000ul = 1);
    CHECK_EQ(g_info.si_signo, SIGSEGV);
}

static void privileged(void)
{
    FAULT(asm volatile("hlt"));
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    CHECK_EQ(g_info.si_code, SI_KERNEL);
    FAULT(asm volatile("cli"));
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    FAULT(asm volatile("in $0x80, %%al" ::: "rax"));
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    FAULT(asm volatile("mov %%cr0, %%rax" ::: "rax"));
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    FAULT(asm volatile("wrmsr" ::: "memory"));
    CHECK_EQ(g_info.si_signo, SIGSEGV);
}

static void divide(void)
{
    volatile int zero = 0, one = 1, r;
    FAULT(r = one / zero);
    CHECK_EQ(g_info.si_signo, SIGFPE);
    CHECK_EQ(g_info.si_code, FPE_INTDIV);
    CHECK(g_info.si_addr != NULL);
    CHECK_EQ(g_trapno, 0);
    (void)r;
}

static void illegal(void)
{
    FAULT(asm volatile("ud2"));
    CHECK_EQ(g_info.si_signo, SIGILL);
    CHECK_EQ(g_info.si_code, ILL_ILLOPN);
    CHECK(g_info.si_addr != NULL);
    CHECK_EQ(g_trapno, 6);
}

static volatile long g_trap_ip;

static void on_trap(int sig, siginfo_t *si, void *ucv)
{
    g_info = *si;
    g_trapno = ((ucontext_t *)ucv)->uc_mcontext.gregs[REG_TRAPNO];
    g_trap_ip = ((ucontext_t *)ucv)->uc_mcontext.gregs[REG_RIP];
    ((ucontext_t *)ucv)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

static void breakpoint(void)
{
    handle_info(SIGTRAP, on_trap, 0);
    g_trapno = -1;
    asm volatile("int3");
    CHECK_EQ(g_info.si_signo, SIGTRAP);
    CHECK_EQ(g_info.si_code, SI_KERNEL);
    CHECK_EQ(g_trapno, 3);
}

static void single_step(void)
{
    handle_info(SIGTRAP, on_trap, 0);
    g_trapno = -1;
    asm volatile("pushf\n orq $0x100, (%%rsp)\n popf\n nop\n nop\n" ::: "cc", "memory");
    CHECK_EQ(g_trapno, 1);
    CHECK_EQ(g_info.si_code, TRAP_TRACE);
}

static void float_exception(void)
{
    volatile double a = 1, b = 0, r;
    unsigned csr = 0x1f80 & ~0x200; /* unmask divide by zero */
    FAULT(asm volatile("ldmxcsr %0" ::"m"(csr)); r = a / b);
    CHECK_EQ(g_info.si_signo, SIGFPE);
    CHECK_EQ(g_info.si_code, FPE_FLTDIV);
    CHECK_EQ(g_trapno, 19);
    csr = 0x1f80;
    asm volatile("ldmxcsr %0" ::"m"(csr));
    (void)r;
}

static void x87_exception(void)
{
    unsigned short cw = 0x37f & ~4;
    FAULT(asm volatile("fninit\n fldcw %0\n fld1\n fldz\n fdivrp\n fwait\n" ::"m"(cw)));
    CHECK_EQ(g_info.si_signo, SIGFPE);
    CHECK_EQ(g_info.si_code, FPE_FLTDIV);
    CHECK_EQ(g_trapno, 16);
    asm volatile("fninit");
}

static void bus_past_eof(void)
{
    write_file("f", "x", 1);
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK_EQ(p[0], 'x');
    CHECK_EQ(p[4095], 0);
    FAULT(*(volatile char *)(p + 4096));
    CHECK_EQ(g_info.si_signo, SIGBUS);
    CHECK_EQ(g_info.si_code, BUS_ADRERR);
    CHECK(g_info.si_addr == p + 4096);
    munmap(p, 8192);
    close(fd);
}

static void bus_after_truncate(void)
{
    static char page[12288];
    write_file("f", page, sizeof(page));
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    p[8192] = 1;
    OK(ftruncate(fd, 4096));
    FAULT(*(volatile char *)(p + 8192));
    CHECK_EQ(g_info.si_signo, SIGBUS);
    OK(ftruncate(fd, 12288));
    CHECK_EQ(p[8192], 0);
    munmap(p, 12288);
    close(fd);
}

static void bus_private_after_truncate(void)
{
    static char page[8192];
    write_file("f", page, sizeof(page));
    int fd = OK(open("f", O_RDWR));
    char *p = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    p[0] = 1;
    OK(ftruncate(fd, 0));
    FAULT(*(volatile char *)(p + 4096));
    CHECK_EQ(g_info.si_signo, SIGBUS);
    munmap(p, 8192);
    close(fd);
}

static void syscall_gets_efault_not_a_signal(void)
{
    char *p = OK(mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    int fd = OK(open("/dev/zero", O_RDONLY));
    CHECK_ERR(read(fd, p, 10), EFAULT);
    CHECK_ERR(read(fd, NULL, 10), EFAULT);
    CHECK_ERR(syscall(SYS_stat, p, p), EFAULT);
    close(fd);
}

static void default_action_kills(void)
{
    pid_t p = OK(fork());
    if (!p) {
        *(volatile int *)8 = 1;
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGSEGV);
    p = OK(fork());
    if (!p) {
        asm volatile("ud2");
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGILL);
}

static void blocked_fault_kills(void)
{
    pid_t p = OK(fork());
    if (!p) {
        handle_info(SIGSEGV, on_fault, 0);
        sig_block(SIG_BLOCK, SIGSEGV);
        *(volatile int *)8 = 1;
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGSEGV);
}

static void ignored_fault_kills(void)
{
    pid_t p = OK(fork());
    if (!p) {
        handle(SIGSEGV, SIG_IGN, 0);
        *(volatile int *)8 = 1;
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGSEGV);
}

static void fault_again(int sig)
{
    *(volatile int *)8 = 1;
}

static void fault_in_handler_kills(void)
{
    pid_t p = OK(fork());
    if (!p) {
        handle(SIGSEGV, fault_again, 0);
        *(volatile int *)16 = 1;
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGSEGV);
}

static char *g_lazy;

static void on_lazy(int sig, siginfo_t *si, void *uc)
{
    uintptr_t page = (uintptr_t)si->si_addr & ~4095ul;
    mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
    *(int *)page = (page - (uintptr_t)g_lazy) / 4096;
}

static void lazy_paging(void)
{
    g_lazy = OK(mmap(NULL, 200 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    handle_info(SIGSEGV, on_lazy, 0);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(*(volatile int *)(g_lazy + ((i * 37) % 200) * 4096), (i * 37) % 200);
    munmap(g_lazy, 200 * 4096);
}

static void many_faults(void)
{
    for (volatile int i = 0; i < 300; i++)
        FAULT(*(volatile int *)0x18);
}

static void alignment_check(void)
{
    static char buf[16];
    FAULT(asm volatile("pushf\n orl $0x40000, (%%rsp)\n popf\n mov 1(%0), %%eax\n" ::"r"(buf) : "rax", "cc", "memory"));
    asm volatile("pushf\n andl $~0x40000, (%%rsp)\n popf\n" ::: "cc", "memory");
    CHECK_EQ(g_info.si_signo, SIGBUS);
    CHECK_EQ(g_info.si_code, BUS_ADRALN);
}

GUEST_MAIN(C(null_read), C(null_write), C(readonly_write), C(prot_none), C(execute_data), C(noncanonical),
           C(kernel_half), C(privileged), C(divide), C(illegal), C(breakpoint), C(single_step), C(float_exception),
           C(x87_exception), C(bus_past_eof), C(bus_after_truncate), C(bus_private_after_truncate),
           C(syscall_gets_efault_not_a_signal), C(default_action_kills), C(blocked_fault_kills),
           C(ignored_fault_kills), C(fault_in_handler_kills), C(lazy_paging), C(many_faults), C(alignment_check))
