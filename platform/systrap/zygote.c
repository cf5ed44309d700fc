/* The zygote: a process forked from the sentry before its confinement, emptied down to the stub
 * region, which clones a stub process per order. It shares the sentry's descriptor table, and so do
 * the stubs: that is how they map the memory file and donated files. It never runs guest code. */
#include "systrap_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#define RSEQ_SIGNATURE 0x53053053 /* what glibc registers with on x86 */

struct kernel_sigaction {
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

static int memfd_open(const char *name)
{
    int fd = syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 there is no MFD_EXEC, nor a need for it */
        fd = syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

static int text_fill(int fd, const struct pl_config *c)
{
    size_t blob = rf_stub_end - rf_stub_start;
    char *map;
    int err = 0;

    if (blob > STUB_PROGS - STUB_TEXT)
        return -E2BIG;
    if (ftruncate(fd, STUB_TEXTLEN))
        return -errno;
    map = mmap(NULL, STUB_TEXTLEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    memcpy(map, rf_stub_start, blob);
    err =
        st_filter_build(c, map + (STUB_PROGS - STUB_TEXT), STUB_TEXTLEN - (STUB_PROGS - STUB_TEXT));
    munmap(map, STUB_TEXTLEN);
    if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
        err = -errno;
    return err;
}

static int text_open(struct systrap *p, const struct pl_config *c)
{
    int fd = memfd_open("rf-stub-text");

    if (fd < 0)
        return fd;
    int err = text_fill(fd, c);
    if (err) {
        close(fd);
        return err;
    }
    p->text_fd = fd;
    return 0;
}

/* The stub file is sparse: a block costs memory only where its stub has been. */
static int stub_file_open(struct systrap *p)
{
    size_t size = (size_t)ST_BLOCK_COUNT * STUB_BLOCK;
    int fd = memfd_open("rf-stubs");

    if (fd < 0)
        return fd;
    p->stub_fd = fd;
    if (ftruncate(fd, size))
        return -errno;
    p->stub_base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p->stub_base == MAP_FAILED) {
        p->stub_base = NULL;
        return -errno;
    }
    madvise(p->stub_base, size, MADV_DONTDUMP);
    return 0;
}

/* What the handler may see of a signal is the frame alone, with every other signal held back. */
static void child_signals(void)
{
    static const int handled[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, STUB_SIGNAL};
    struct kernel_sigaction sa = {.handler = (uint64_t)SIG_IGN};

    for (int sig = 1; sig <= 64; sig++)
        syscall(SYS_rt_sigaction, sig, &sa, NULL, 8);
    sa = (struct kernel_sigaction){
        .handler = st_text_va(rf_stub_handler),
        .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | /*SA_RESTORER*/ 0x04000000,
        .restorer = st_text_va(rf_stub_restorer),
        .mask = ~0ull,
    };
    for (unsigned i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        syscall(SYS_rt_sigaction, handled[i], &sa, NULL, 8);
}

/* Everything that the stubs inherit and that must not point into memory about to vanish. */
static void child_shed(void)
{
    struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    struct rlimit none = {0, 0};

    if (__rseq_size) /* some kernels want the size that was registered, which is never below 32 */
        syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset,
                __rseq_size < 32 ? 32 : __rseq_size, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE);
    syscall(SYS_set_robust_list, NULL, 24);
    prctl(PR_SET_NAME, "rf-stub");
    setrlimit(RLIMIT_CORE, &none);
    syscall(SYS_capset, &hdr, data);
}

/* The forked child. Returns only on failure, and then to nowhere. */
static void __attribute__((noreturn)) child_main(struct systrap *p, pid_t parent)
{
    uint64_t all = ~0ull;
    char *text;
    void (*boot)(int, int);

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    setsid(); /* keys of a terminal that the sentry holds are not for stubs */
    child_signals();
    child_shed();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _exit(2);
    text = mmap(NULL, STUB_TEXTLEN, PROT_READ | PROT_EXEC, MAP_SHARED, p->text_fd, 0);
    if (text == MAP_FAILED || (uint64_t)text + STUB_TEXTLEN > STUB_VA)
        _exit(3);
    boot = (void (*)(int, int))(text + (rf_stub_boot - rf_stub_start));
    boot(p->text_fd, p->stub_fd);
    _exit(4);
}

static int zygote_fork(struct systrap *p)
{
    pid_t parent = getpid();
    char *z = p->stub_base;

    *(uint32_t *)(z + ZCTL_FD) = p->stub_fd;
    *(uint32_t *)(z + ZCTL_PPID) = parent;
    pid_t pid = syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0);
    if (pid < 0)
        return -errno;
    if (!pid)
        child_main(p, parent);
    p->zygote = pid;
    return 0;
}

int st_zygote_start(struct systrap *p, const struct pl_config *c)
{
    int err = text_open(p, c);

    if (!err)
        err = stub_file_open(p);
    if (!err)
        err = zygote_fork(p);
    return err;
}

void st_zygote_stop(struct systrap *p)
{
    if (p->zygote > 0) {
        kill(p->zygote, SIGKILL);
        waitpid(p->zygote, NULL, __WALL);
    }
    if (p->stub_base)
        munmap(p->stub_base, (size_t)ST_BLOCK_COUNT * STUB_BLOCK);
    if (p->stub_fd >= 0)
        close(p->stub_fd);
    if (p->text_fd >= 0)
        close(p->text_fd);
}

/* 0 once the zygote has answered the order. It may take long on a loaded machine, but not for ever
 * if the zygote lives; if it is gone (killed from outside), no order is answered any more. */
static int zygote_wait(struct systrap *p, uint32_t seq)
{
    uint32_t *done = (uint32_t *)(p->stub_base + ZCTL_DONE);

    while (__atomic_load_n(done, __ATOMIC_ACQUIRE) != seq) {
        if (!st_futex_wait(done, seq - 1, ST_WAIT_MS))
            continue;
        if (kill(p->zygote, 0) || waitpid(p->zygote, NULL, __WALL | WNOHANG) == p->zygote) {
            p->zygote = -1;
            return -EIO;
        }
    }
    return 0;
}

/* The zygote's answer. What it has reserved for a stub that could not be made is given back. */
static int zygote_answer(const struct systrap *p, struct st_newborn *b)
{
    const volatile char *z = p->stub_base;
    int pid = *(const volatile int64_t *)(z + ZCTL_RESULT);
    int mapper = *(const volatile int32_t *)(z + ZCTL_TARGET1);
    int thread = *(const volatile int32_t *)(z + ZCTL_TARGET2);

    if (pid > 0) {
        b->pid = pid;
        b->mapper_target = mapper;
        b->thread_target = thread;
        return 0;
    }
    if (mapper >= 0)
        close(mapper);
    if (thread >= 0)
        close(thread);
    return mapper < 0 ? mapper : thread < 0 ? thread : pid;
}

static void collect_locked(struct systrap *p)
{
    struct st_newborn *b = p->zygote_order;

    p->zygote_order = NULL;
    b->err = zygote_wait(p, p->zygote_seq);
    if (!b->err)
        b->err = zygote_answer(p, b);
    b->answered = true;
}

int st_zygote_order(struct systrap *p, struct st_newborn *b)
{
    char *z = p->stub_base;
    int err = 0;

    pthread_mutex_lock(&p->zygote_lock);
    if (p->zygote_order)
        collect_locked(p);
    if (p->zygote < 0) {
        err = -EIO;
    } else {
        *(uint64_t *)(z + ZCTL_BLOCK) = (uint64_t)b->block * STUB_BLOCK;
        p->zygote_seq++;
        p->zygote_order = b;
        __atomic_store_n((uint32_t *)(z + ZCTL_SEQ), p->zygote_seq, __ATOMIC_RELEASE);
        st_futex_wake(z + ZCTL_SEQ);
    }
    pthread_mutex_unlock(&p->zygote_lock);
    return err;
}

int st_zygote_collect(struct systrap *p, struct st_newborn *b)
{
    pthread_mutex_lock(&p->zygote_lock);
    if (!b->answered)
        collect_locked(p);
    pthread_mutex_unlock(&p->zygote_lock);
    return b->err;
}
