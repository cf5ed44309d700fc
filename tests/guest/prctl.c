/* prctl(2), personality(2), scheduling and disk priorities: values kept, errors. */
#include "guest.h"

#include <linux/ioprio.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define PCT(o, a, b, c, d) prctl((o), (long)(a), (long)(b), (long)(c), (long)(d))
#define NOBODY_PID         4194000

static void become_user(void)
{
    OK(syscall(SYS_setgroups, 0, NULL));
    OK(syscall(SYS_setresgid, 1000, 1000, 1000));
    OK(syscall(SYS_setresuid, 1000, 1000, 1000));
}

static void huge_pages_flag(void)
{
    CHECK_EQ(OK(PCT(PR_GET_THP_DISABLE, 0, 0, 0, 0)), 0);
    CHECK_ERR(PCT(PR_SET_THP_DISABLE, 1, 1, 0, 0), EINVAL);
    CHECK_ERR(PCT(PR_GET_THP_DISABLE, 0, 0, 0, 1), EINVAL);
    OK(PCT(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    CHECK_EQ(OK(PCT(PR_GET_THP_DISABLE, 0, 0, 0, 0)), 1);
    IN_CHILD(CHECK_EQ(OK(PCT(PR_GET_THP_DISABLE, 0, 0, 0, 0)), 1));
    OK(PCT(PR_SET_THP_DISABLE, 0, 0, 0, 0));
}

static void machine_check_policy(void)
{
    CHECK_EQ(OK(PCT(PR_MCE_KILL_GET, 0, 0, 0, 0)), PR_MCE_KILL_DEFAULT);
    CHECK_ERR(PCT(PR_MCE_KILL_GET, 1, 0, 0, 0), EINVAL);
    OK(PCT(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
    CHECK_EQ(OK(PCT(PR_MCE_KILL_GET, 0, 0, 0, 0)), PR_MCE_KILL_EARLY);
    CHECK_ERR(PCT(PR_MCE_KILL, PR_MCE_KILL_SET, 3, 0, 0), EINVAL);
    CHECK_ERR(PCT(PR_MCE_KILL, 5, 0, 0, 0), EINVAL);
    CHECK_ERR(PCT(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1, 0, 0), EINVAL);
    OK(PCT(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0));
    CHECK_EQ(OK(PCT(PR_MCE_KILL_GET, 0, 0, 0, 0)), PR_MCE_KILL_DEFAULT);
}

static void speculation_errors(void)
{
    CHECK_ERR(PCT(PR_GET_SPECULATION_CTRL, 99, 0, 0, 0), ENODEV);
    CHECK_ERR(PCT(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 1, 0, 0), EINVAL);
    CHECK_ERR(PCT(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_ENABLE, 1, 0), EINVAL);
    CHECK_ERR(PCT(PR_SET_SPECULATION_CTRL, 99, PR_SPEC_ENABLE, 0, 0), ENODEV);
    CHECK(PCT(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0) >= 0);
}

#define SET_MDWE 65
#define GET_MDWE 66

static void mdwe_child(void)
{
    OK(PCT(SET_MDWE, 1, 0, 0, 0));
    CHECK_EQ(OK(PCT(GET_MDWE, 0, 0, 0, 0)), 1);
    CHECK_ERR(PCT(SET_MDWE, 0, 0, 0, 0), EPERM);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    CHECK_ERR(mprotect(p, 4096, PROT_READ | PROT_EXEC), EACCES);
    CHECK_ERR(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EACCES);
    char *x = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(x != MAP_FAILED);
    OK(mprotect(x, 4096, PROT_READ));
    CHECK_ERR(mprotect(x, 4096, PROT_READ | PROT_EXEC), EACCES);
    IN_CHILD(CHECK_EQ(OK(PCT(GET_MDWE, 0, 0, 0, 0)), 1));
}

static void memory_deny_write_execute(void)
{
    if (PCT(GET_MDWE, 0, 0, 0, 0) < 0)
        SKIP("the kernel has no PR_SET_MDWE");
    CHECK_ERR(PCT(SET_MDWE, 2, 0, 0, 0), EINVAL);
    CHECK_ERR(PCT(SET_MDWE, 8, 0, 0, 0), EINVAL);
    CHECK_ERR(PCT(SET_MDWE, 1, 1, 0, 0), EINVAL);
    IN_CHILD(mdwe_child());
}

static volatile sig_atomic_t g_nr, g_code;
static volatile char g_selector;

static void on_sigsys(int sig, siginfo_t *info, void *uc)
{
    g_selector = 0; /* allow */
    g_nr = info->si_syscall;
    g_code = info->si_code;
}

static void user_dispatch(void)
{
    CHECK_ERR(PCT(59, 7, 0, 0, 0), EINVAL);
    CHECK_ERR(PCT(59, 0, 1, 0, 0), EINVAL);
    CHECK_ERR(PCT(59, 1, 16, -16, &g_selector), EINVAL);
    CHECK_ERR(PCT(59, 1, 0, 0, 1ull << 63), EFAULT);
    handle_info(SIGSYS, on_sigsys, 0);
    OK(PCT(59, 1, 0, 0, &g_selector));
    OK(syscall(SYS_getppid)); /* the selector allows */
    g_selector = 1;
    syscall(SYS_getppid);
    CHECK_EQ(g_nr, SYS_getppid);
    CHECK_EQ(g_code, 2);
    IN_CHILD(g_selector = 1; g_nr = 0; getppid(); CHECK_EQ(g_nr, 0)); /* not inherited */
    OK(PCT(59, 0, 0, 0, 0));
    g_selector = 1;
    OK(syscall(SYS_getppid));
}

static void read_implies_exec(void)
{
    char line[512];
    OK(personality(READ_IMPLIES_EXEC));
    char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(personality(0));
    CHECK(p != MAP_FAILED);
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof(line), f)) {
        unsigned long lo, hi;
        char prot[8];
        if (sscanf(line, "%lx-%lx %4s", &lo, &hi, prot) == 3 && lo <= (unsigned long)p &&
            (unsigned long)p < hi) {
            found = true;
            CHECK(prot[0] == 'r' && prot[2] == 'x');
        }
    }
    fclose(f);
    CHECK(found);
}

static void old_release(void)
{
    struct utsname u;
    OK(personality(UNAME26));
    int r = uname(&u);
    OK(personality(0));
    CHECK_EQ(r, 0);
    CHECK_EQ(strncmp(u.release, "2.6.", 4), 0);
}

static void stack_address_child(void)
{
    int local;
    printf("%p\n", (void *)&local);
    fflush(stdout);
}

static void fixed_addresses(void)
{
    if (getenv("RF_STACK_CHILD")) {
        stack_address_child();
        _exit(0);
    }
    char out[2][64];
    for (int i = 0; i < 2; i++) {
        int fd[2];
        OK(pipe(fd));
        pid_t pid = OK(fork());
        if (!pid) {
            personality(ADDR_NO_RANDOMIZE);
            dup2(fd[1], 1);
            setenv("RF_STACK_CHILD", "1", 1);
            execl(g_self, "x", "fixed_addresses", NULL);
            _exit(9);
        }
        close(fd[1]);
        char all[512];
        int n = 0, k;
        while ((k = read(fd[0], all + n, sizeof(all) - 1 - n)) > 0)
            n += k;
        all[n] = 0;
        char *hex = strstr(all, "0x");
        CHECK(hex != NULL);
        snprintf(out[i], sizeof(out[i]), "%.14s", hex);
        close(fd[0]);
        WAIT_EXIT(pid, 0);
    }
    CHECK_STR(out[0], out[1]);
}

struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util[2];
    uint64_t more;
};
#define SETATTR(pid, a, fl)    syscall(SYS_sched_setattr, (pid), (a), (fl))
#define GETATTR(pid, a, n, fl) syscall(SYS_sched_getattr, (pid), (a), (n), (fl))

static void attr_sizes(void)
{
    struct attr a = {.size = 47};
    CHECK_ERR(SETATTR(0, &a, 0), E2BIG);
    CHECK_EQ(a.size, 56);
    a.size = 64, a.more = 1;
    CHECK_ERR(SETATTR(0, &a, 0), E2BIG);
    a.size = 64, a.more = 0;
    OK(SETATTR(0, &a, 0));
    a.size = 0;
    OK(SETATTR(0, &a, 0));
    CHECK_ERR(SETATTR(0, &a, 1), EINVAL);
    CHECK_ERR(SETATTR(-1, &a, 0), EINVAL);
    CHECK_ERR(SETATTR(NOBODY_PID, &a, 0), ESRCH);
    CHECK_ERR(SETATTR(0, 8, 0), EFAULT);
    a.size = 48, a.flags = 0x800;
    CHECK_ERR(SETATTR(0, &a, 0), EINVAL);
    CHECK_ERR(GETATTR(0, &a, 47, 0), EINVAL);
    CHECK_ERR(GETATTR(0, &a, 48, 1), EINVAL);
    CHECK_ERR(GETATTR(NOBODY_PID, &a, 48, 0), ESRCH);
    OK(GETATTR(0, &a, 48, 0));
    CHECK_EQ(a.size, 48);
}

static void deadline_child(void)
{
    struct attr a = {.size = 48, .policy = 6, .runtime = 10000000, .deadline = 30000000};
    OK(SETATTR(0, &a, 0));
    CHECK_EQ(OK(sched_getscheduler(0)), 6);
    memset(&a, 0, sizeof(a));
    OK(GETATTR(0, &a, 48, 0));
    CHECK_EQ(a.runtime, 10000000);
    CHECK_EQ(a.period, 30000000);
    CHECK_ERR(fork(), EAGAIN);
    a = (struct attr){.size = 48};
    OK(SETATTR(0, &a, 0));
    a = (struct attr){.size = 48, .policy = 6, .runtime = 5, .deadline = 3, .period = 3};
    CHECK_ERR(SETATTR(0, &a, 0), EINVAL);
    a = (struct attr){.size = 48, .policy = 6};
    CHECK_ERR(SETATTR(0, &a, 0), EINVAL);
}

static void deadline_policy(void)
{
    IN_CHILD(deadline_child());
}

static void reset_on_fork(void)
{
    struct sched_param p = {.sched_priority = 5};
    pid_t pid = OK(fork());
    if (!pid) {
        OK(sched_setscheduler(0, SCHED_RR | 0x40000000, &p));
        CHECK_EQ(OK(sched_getscheduler(0)), SCHED_RR | 0x40000000);
        IN_CHILD(CHECK_EQ(OK(sched_getscheduler(0)), SCHED_OTHER));
        p.sched_priority = 7;
        OK(sched_setparam(0, &p));
        CHECK_EQ(OK(sched_getscheduler(0)), SCHED_RR | 0x40000000);
        _exit(0);
    }
    WAIT_EXIT(pid, 0);
}

static void policies_of_a_user(void)
{
    struct sched_param p = {.sched_priority = 1};
    IN_CHILD(become_user(); CHECK_ERR(sched_setscheduler(0, SCHED_FIFO, &p), EPERM);
             p.sched_priority = 0; OK(sched_setscheduler(0, SCHED_IDLE, &p));
             CHECK_ERR(sched_setscheduler(0, SCHED_OTHER, &p), EPERM);
             CHECK_ERR(setpriority(PRIO_PROCESS, 0, -1), EACCES));
}

#define IOSET(which, who, v) syscall(SYS_ioprio_set, (which), (who), (v))
#define IOGET(which, who)    syscall(SYS_ioprio_get, (which), (who))
#define IOVALUE(c, l)        ((c) << 13 | (l))

static void disk_priority_child(void)
{
    CHECK_ERR(IOGET(0, 0), EINVAL);
    CHECK_ERR(IOGET(4, 0), EINVAL);
    CHECK_ERR(IOGET(1, NOBODY_PID), ESRCH);
    CHECK_ERR(IOSET(1, NOBODY_PID, 0), ESRCH);
    CHECK_ERR(IOSET(5, 0, 0), EINVAL);
    CHECK_ERR(IOSET(1, 0, IOVALUE(4, 0)), EINVAL);
    CHECK_ERR(IOSET(1, 0, 1), EINVAL);
    OK(IOSET(1, 0, IOVALUE(2, 3)));
    CHECK_EQ(OK(IOGET(1, 0)), IOVALUE(2, 3));
    IN_CHILD(CHECK_EQ(OK(IOGET(1, 0)), IOVALUE(2, 3)));
    OK(IOSET(1, 0, IOVALUE(3, 7)));
    CHECK_EQ(OK(IOGET(1, 0)), IOVALUE(3, 7));
    OK(IOSET(1, 0, 0));
    CHECK_EQ(OK(IOGET(1, 0)), 0);
    become_user();
    CHECK_ERR(IOSET(1, 0, IOVALUE(1, 4)), EPERM);
    CHECK_ERR(IOSET(1, 1, IOVALUE(2, 4)), EPERM);
}

static void disk_priority(void)
{
    IN_CHILD(disk_priority_child());
}

GUEST_MAIN(C(huge_pages_flag), C(machine_check_policy), C(speculation_errors),
           C(memory_deny_write_execute), C(user_dispatch), C(read_implies_exec), C(old_release),
           C(fixed_addresses), C(attr_sizes), C(deadline_policy), C(reset_on_fork),
           C(policies_of_a_user), C(disk_priority))
