/* Can systrap run here, and how long does a light trap take? */
#include "systrap_priv.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROBE_TRIPS = 300, PROBE_PATIENCE_MS = 2000, HWCAP2_FSGSBASE = 2 };
#define LISTENER_FLAGS (SECCOMP_FILTER_FLAG_NEW_LISTENER | /*WAIT_KILLABLE_RECV*/ (1u << 5))

/* A filter that cannot be read tells without side effects whether the flags are known: EFAULT. */
static int kernel_missing(char *reason, size_t size)
{
    struct seccomp_notif_sizes sizes;

    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes)) {
        snprintf(reason, size,
                 "systrap needs seccomp user notification, which this kernel or the "
                 "surrounding container refuses (%m)");
        return -errno;
    }
    if (sizes.seccomp_notif != sizeof(struct st_notif)) {
        snprintf(reason, size, "systrap does not know this kernel's seccomp notification format");
        return -ENOSYS;
    }
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, LISTENER_FLAGS, NULL) == 0 ||
        errno != EFAULT) {
        snprintf(reason, size,
                 "systrap needs Linux 5.19 or later: this kernel's seccomp lacks "
                 "WAIT_KILLABLE_RECV");
        return -ENOSYS;
    }
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
        snprintf(reason, size,
                 "systrap needs the FSGSBASE instructions, which this processor or kernel "
                 "does not offer");
        return -ENOSYS;
    }
    return 0;
}

/* The guest of the measurement: calls that are all notified. Only raw calls: it shares no memory
 * but the page, and all descriptors. */
static void __attribute__((noreturn)) trip_child(volatile int *shared)
{
    struct sock_filter insns[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof(insns) / sizeof(insns[0]), insns};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, LISTENER_FLAGS, &prog);
    __atomic_store_n(shared, fd < 0 ? -errno : fd, __ATOMIC_RELEASE);
    st_futex_wake((void *)shared);
    for (int i = 0; fd >= 0 && i < PROBE_TRIPS; i++)
        syscall(SYS_getppid);
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static int trips_time(int fd, uint64_t *ns)
{
    const struct systrap none = {.poll_first = true};
    uint64_t times[PROBE_TRIPS], last = 0;
    struct st_notif n;
    unsigned count = 0;

    st_notif_setup(fd);
    for (unsigned i = 0; i < PROBE_TRIPS; i++) {
        int err = st_notif_recv(&none, fd, &n, PROBE_PATIENCE_MS);
        if (!err)
            err = st_notif_send(fd, n.id, 0);
        if (err)
            return err;
        uint64_t now = st_now_ns();
        if (last)
            times[count++] = now - last;
        last = now;
    }
    qsort(times, count, sizeof(times[0]), compare_u64);
    *ns = times[count / 2];
    return 0;
}

static int probe_measure(struct pl_probe *p)
{
    const int nothing = -4096;
    volatile int *shared =
        mmap(NULL, PL_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int err = 0;

    if (shared == MAP_FAILED)
        return -errno;
    *shared = nothing;
    pid_t pid = syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0);
    if (!pid)
        trip_child(shared);
    if (pid < 0)
        err = -errno;
    if (!err)
        err = st_futex_wait((void *)shared, nothing, PROBE_PATIENCE_MS);
    int fd = *shared;
    if (!err && fd < 0)
        err = fd == nothing ? -ETIMEDOUT : fd;
    if (!err)
        err = trips_time(fd, &p->trap_ns);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, __WALL);
    }
    if (fd >= 0)
        close(fd);
    munmap((void *)shared, PL_PAGE_SIZE);
    return err;
}

int st_probe(int kvm_fd, bool measure, struct pl_probe *p)
{
    p->trap_ns = 0;
    int err = kernel_missing(p->reason, sizeof(p->reason));
    if (err || !measure) {
        if (!err)
            snprintf(p->reason, sizeof(p->reason), "seccomp user notification");
        return err;
    }
    err = probe_measure(p);
    if (err)
        snprintf(p->reason, sizeof(p->reason),
                 "systrap cannot be measured: seccomp user notification fails with error %d", -err);
    else
        snprintf(p->reason, sizeof(p->reason), "seccomp user notification, %llu ns",
                 (unsigned long long)p->trap_ns);
    return err;
}
