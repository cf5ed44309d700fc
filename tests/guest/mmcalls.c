/* The rarer memory calls: policies, sealing, guards, advice to others, remapped pages, descriptors.
 */
#include "guest.h"

#include <asm/ldt.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define PAGE 4096ul
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif
#define NODES_MAX 1024

static char *pages(unsigned count)
{
    return OK(mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static sigjmp_buf g_fault;
static int g_fault_code;
static void on_fault(int sig, siginfo_t *info, void *uc)
{
    g_fault_code = info->si_code;
    siglongjmp(g_fault, sig);
}

/* The signal that reading (or writing) *p gives, 0 for none. */
static int touch(volatile char *p, bool write)
{
    handle_info(SIGSEGV, on_fault, 0);
    handle_info(SIGBUS, on_fault, 0);
    int sig = sigsetjmp(g_fault, 1);
    if (!sig) {
        if (write)
            *p = 1;
        else
            (void)*p;
    }
    return sig;
}

/* ---- policies ---- */

static long set_policy(int mode, unsigned long mask)
{
    return syscall(SYS_set_mempolicy, mode, mask ? &mask : NULL, mask ? 64 : 0);
}

static void check_policy(int want_mode, unsigned long want_nodes)
{
    unsigned long nodes[NODES_MAX / 64] = {9};
    int mode = -1;
    OK(syscall(SYS_get_mempolicy, &mode, nodes, NODES_MAX, NULL, 0));
    CHECK_EQ(mode, want_mode);
    CHECK_EQ(nodes[0], want_nodes);
}

static void task_policy(void)
{
    check_policy(MPOL_DEFAULT, 0);
    static const int with_nodes[] = {MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, 5, 6};
    for (int i = 0; i < 5; i++) {
        OK(set_policy(with_nodes[i], 1));
        check_policy(with_nodes[i], 1);
    }
    OK(set_policy(MPOL_PREFERRED, 0));
    check_policy(MPOL_LOCAL, 0);
    CHECK_ERR(set_policy(MPOL_DEFAULT, 1), EINVAL);
    CHECK_ERR(set_policy(MPOL_LOCAL, 1), EINVAL);
    CHECK_ERR(set_policy(MPOL_BIND, 0), EINVAL);
    CHECK_ERR(set_policy(7, 1), EINVAL);
    CHECK_ERR(set_policy(-1, 1), EINVAL);
    CHECK_ERR(set_policy(MPOL_BIND, 2), EINVAL);
    OK(set_policy(MPOL_BIND | MPOL_F_STATIC_NODES, 3));
    check_policy(MPOL_BIND | MPOL_F_STATIC_NODES, 3);
    CHECK_ERR(set_policy(MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, 1), EINVAL);
    CHECK_ERR(set_policy(MPOL_INTERLEAVE | MPOL_F_NUMA_BALANCING, 1), EINVAL);
    IN_CHILD({ check_policy(MPOL_BIND | MPOL_F_STATIC_NODES, 3); });
    OK(set_policy(MPOL_DEFAULT, 0));
}

static void policy_masks(void)
{
    unsigned long mask[4096 / 8] = {1};
    mask[NODES_MAX / 64] = 1;
    OK(syscall(SYS_set_mempolicy, MPOL_BIND, mask, NODES_MAX + 1));
    CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, mask, NODES_MAX + 2), EINVAL);
    CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, mask, 1), EINVAL);
    CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, mask, 4096 * 8 + 2), EINVAL);
    CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, (void *)8, 64), EFAULT);
    OK(set_policy(MPOL_DEFAULT, 0));
}

static void policy_queries(void)
{
    unsigned long nodes[NODES_MAX / 64] = {0};
    int mode = -1;
    char *p = pages(2);
    *p = 1;
    OK(syscall(SYS_get_mempolicy, &mode, nodes, NODES_MAX, NULL, MPOL_F_MEMS_ALLOWED));
    CHECK_EQ(nodes[0], 1);
    CHECK_EQ(mode, 0);
    CHECK_ERR(syscall(SYS_get_mempolicy, &mode, nodes, NODES_MAX, p, 0), EINVAL);
    CHECK_ERR(syscall(SYS_get_mempolicy, &mode, nodes, NODES_MAX, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_get_mempolicy, &mode, nodes, NODES_MAX, NULL,
                      MPOL_F_MEMS_ALLOWED | MPOL_F_NODE),
              EINVAL);
    CHECK_ERR(syscall(SYS_get_mempolicy, &mode, nodes, NODES_MAX, 8, MPOL_F_ADDR), EFAULT);
    CHECK_ERR(syscall(SYS_get_mempolicy, &mode, nodes, NODES_MAX, NULL, MPOL_F_NODE), EINVAL);
    CHECK_ERR(syscall(SYS_get_mempolicy, 8, NULL, 0, NULL, 0), EFAULT);
    CHECK_ERR(syscall(SYS_get_mempolicy, NULL, 8, 64, NULL, 0), EFAULT);
    CHECK_ERR(syscall(SYS_get_mempolicy, &mode, nodes, 0, NULL, 0), EINVAL);
    OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, p, MPOL_F_ADDR | MPOL_F_NODE));
    CHECK_EQ(mode, 0);
}

static void bind_range(void)
{
    unsigned long mask = 1;
    char *p = pages(4);
    int mode = -1;
    OK(syscall(SYS_mbind, p, 2 * PAGE, MPOL_BIND, &mask, 64, MPOL_MF_STRICT | MPOL_MF_MOVE));
    OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, p + PAGE, MPOL_F_ADDR));
    CHECK_EQ(mode, MPOL_BIND);
    OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, p + 2 * PAGE, MPOL_F_ADDR));
    CHECK_EQ(mode, MPOL_DEFAULT);
    CHECK_ERR(syscall(SYS_mbind, p + 1, PAGE, MPOL_BIND, &mask, 64, 0), EINVAL);
    CHECK_ERR(syscall(SYS_mbind, p, PAGE, MPOL_BIND, &mask, 64, 8), EINVAL);
    CHECK_ERR(syscall(SYS_mbind, 2 * PAGE, PAGE, MPOL_BIND, &mask, 64, 0), EFAULT);
    CHECK_ERR(syscall(SYS_mbind, p, PAGE, MPOL_BIND, (void *)8, 64, 0), EFAULT);
    CHECK_ERR(syscall(SYS_mbind, p, PAGE, 9, &mask, 64, 0), EINVAL);
    OK(syscall(SYS_mbind, p, 0, MPOL_BIND, &mask, 64, 0));
    munmap(p + 2 * PAGE, PAGE);
    CHECK_ERR(syscall(SYS_mbind, p, 4 * PAGE, MPOL_BIND, &mask, 64, 0), EFAULT);
    OK(syscall(SYS_set_mempolicy_home_node, p, PAGE, 0, 0));
    CHECK_ERR(syscall(SYS_set_mempolicy_home_node, p, PAGE, 1, 0), EINVAL);
    CHECK_ERR(syscall(SYS_set_mempolicy_home_node, p, PAGE, 0, 1), EINVAL);
    CHECK_ERR(syscall(SYS_set_mempolicy_home_node, p + 3 * PAGE, PAGE, 0, 0), ENOENT);
}

static void move_between_nodes(void)
{
    char *p = pages(3);
    void *at[3] = {p, p + PAGE, (void *)PAGE};
    int status[3] = {9, 9, 9}, nodes[3] = {0, 0, 0};
    unsigned long one = 1, two = 2;
    *p = 1;
    OK(syscall(SYS_move_pages, 0, 3, at, NULL, status, 0));
    CHECK_EQ(status[0], 0);
    CHECK_EQ(status[1], -ENOENT);
    CHECK_EQ(status[2], -EFAULT);
    OK(syscall(SYS_move_pages, 0, 1, at, nodes, status, MPOL_MF_MOVE));
    CHECK_EQ(status[0], 0);
    CHECK_ERR(syscall(SYS_move_pages, 0, 3, at, nodes, status, 1), EINVAL);
    CHECK_ERR(syscall(SYS_move_pages, 99999, 3, at, nodes, status, 0), ESRCH);
    nodes[0] = 1;
    CHECK_ERR(syscall(SYS_move_pages, 0, 3, at, nodes, status, MPOL_MF_MOVE), ENODEV);
    CHECK_ERR(syscall(SYS_move_pages, 0, 3, (void *)8, NULL, status, 0), EFAULT);
    CHECK_EQ(OK(syscall(SYS_migrate_pages, 0, 64, &one, &one)), 0);
    CHECK_ERR(syscall(SYS_migrate_pages, 99999, 64, &one, &one), ESRCH);
    CHECK_ERR(syscall(SYS_migrate_pages, 0, 64, (void *)8, &one), EFAULT);
    CHECK_ERR(syscall(SYS_migrate_pages, 0, 64, &one, &two), EINVAL);
}

/* ---- sealing and guards ---- */

static void sealed_memory(void)
{
    char *p = pages(3);
    *p = 7;
    OK(syscall(SYS_mseal, p, 2 * PAGE, 0));
    CHECK_ERR(munmap(p, PAGE), EPERM);
    CHECK_ERR(munmap(p, 3 * PAGE), EPERM);
    CHECK_ERR(mprotect(p + PAGE, PAGE, PROT_READ), EPERM);
    CHECK_ERR(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EPERM);
    CHECK_ERR(mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EPERM);
    OK(madvise(p, PAGE, MADV_DONTNEED));
    CHECK_EQ(*p, 0);
    OK(munmap(p + 2 * PAGE, PAGE));
    CHECK_ERR(syscall(SYS_mseal, p, 3 * PAGE, 0), ENOMEM);
    CHECK_ERR(syscall(SYS_mseal, p, PAGE, 1), EINVAL);
    CHECK_ERR(syscall(SYS_mseal, p + 1, PAGE, 0), EINVAL);
    OK(syscall(SYS_mseal, p, 0, 0));
    char *ro = OK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    OK(syscall(SYS_mseal, ro, PAGE, 0));
    CHECK_ERR(madvise(ro, PAGE, MADV_DONTNEED), EPERM);
}

static void guard_pages(void)
{
    char *p = pages(3);
    memset(p, 5, 3 * PAGE);
    if (madvise(p + PAGE, PAGE, MADV_GUARD_INSTALL))
        SKIP("the kernel has no guard pages");
    CHECK_EQ(touch(p + PAGE, false), SIGSEGV);
    CHECK_EQ(g_fault_code, SEGV_MAPERR);
    CHECK_EQ(touch(p, true), 0);
    CHECK_EQ(touch(p + 2 * PAGE, true), 0);
    int fd[2];
    OK(pipe(fd));
    CHECK_ERR(write(fd[1], p + PAGE, 1), EFAULT);
    OK(madvise(p, 3 * PAGE, MADV_DONTNEED));
    CHECK_EQ(touch(p + PAGE, true), SIGSEGV);
    IN_CHILD({ CHECK_EQ(touch(p + PAGE, true), SIGSEGV); });
    OK(madvise(p, 3 * PAGE, MADV_GUARD_REMOVE));
    CHECK_EQ(touch(p + PAGE, false), 0);
    CHECK_EQ(p[PAGE], 0);
    OK(munmap(p, 3 * PAGE));
}

/* ---- others' memory ---- */

static void advise_process(void)
{
    char *p = pages(4);
    struct iovec iov[2] = {{p, PAGE}, {p + 2 * PAGE, 2 * PAGE}};
    int fd = OK(syscall(SYS_pidfd_open, getpid(), 0));
    CHECK_EQ(OK(syscall(SYS_process_madvise, fd, iov, 2, MADV_COLD, 0)), 3 * PAGE);
    CHECK_ERR(syscall(SYS_process_madvise, fd, iov, 2, MADV_COLD, 1), EINVAL);
    CHECK_ERR(syscall(SYS_process_madvise, -1, iov, 2, MADV_COLD, 0), EBADF);
    CHECK_ERR(syscall(SYS_process_madvise, 0, iov, 2, MADV_COLD, 0), EBADF);
    CHECK_ERR(syscall(SYS_process_madvise, fd, iov, 2, -1, 0), EINVAL);
    CHECK_ERR(syscall(SYS_process_madvise, fd, (void *)8, 2, MADV_COLD, 0), EFAULT);
    CHECK_ERR(syscall(SYS_process_madvise, fd, iov, 1025, MADV_COLD, 0), EINVAL);
    pid_t child = OK(fork());
    if (!child) {
        pause();
        _exit(0);
    }
    int cfd = OK(syscall(SYS_pidfd_open, child, 0));
    CHECK_EQ(OK(syscall(SYS_process_madvise, cfd, iov, 2, MADV_COLD, 0)), 3 * PAGE);
    CHECK_ERR(syscall(SYS_process_madvise, cfd, iov, 2, MADV_DONTNEED, 0), EINVAL);
    CHECK_ERR(syscall(SYS_process_mrelease, cfd, 0), EINVAL);
    CHECK_ERR(syscall(SYS_process_mrelease, cfd, 1), EINVAL);
    CHECK_ERR(syscall(SYS_process_mrelease, -1, 0), EBADF);
    kill(child, SIGKILL);
    WAIT_SIGNAL(child, SIGKILL);
    CHECK_ERR(syscall(SYS_process_mrelease, cfd, 0), ESRCH);
}

/* ---- pages in another order ---- */

static void remap_pages(void)
{
    char *p = OK(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    for (int i = 0; i < 4; i++)
        p[i * PAGE] = 'a' + i;
    OK(remap_file_pages(p, PAGE, 0, 3, 0));
    CHECK_EQ(p[0], 'd');
    p[0] = 'D';
    CHECK_EQ(p[3 * PAGE], 'D');
    OK(remap_file_pages(p + PAGE, 2 * PAGE, 0, 0, 0));
    CHECK_EQ(p[PAGE], 'a');
    CHECK_EQ(p[2 * PAGE], 'b');
    CHECK_ERR(remap_file_pages(p, PAGE, PROT_READ, 0, 0), EINVAL);
    CHECK_ERR(remap_file_pages(p, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(remap_file_pages(p, PAGE, 0, -1, 0), EINVAL);
    char *q = pages(1);
    CHECK_ERR(remap_file_pages(q, PAGE, 0, 0, 0), EINVAL);
    CHECK_ERR(remap_file_pages(p, 9 * PAGE, 0, 0, 0), EINVAL);
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    OK(ftruncate(fd, 2 * PAGE));
    OK(pwrite(fd, "2", 1, PAGE));
    p = OK(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0));
    OK(remap_file_pages(p, PAGE, 0, 1, 0));
    CHECK_EQ(p[0], '2');
}

/* ---- limits ---- */

static void droppable(void)
{
    char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, 0x08 | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        SKIP("no MAP_DROPPABLE");
    *p = 5;
    IN_CHILD({ CHECK_EQ(*p, 0); });
    OK(madvise(p, PAGE, MADV_WIPEONFORK));
    CHECK_ERR(madvise(p, PAGE, MADV_KEEPONFORK), EINVAL);
    OK(mlock(p, PAGE));
    CHECK_ERR(mmap(NULL, PAGE, PROT_READ, 0x08 | MAP_ANONYMOUS | MAP_LOCKED, -1, 0), EINVAL);
}

static void memlock_limit(void)
{
    IN_CHILD({
        struct rlimit lim = {4 * PAGE, 4 * PAGE};
        OK(setrlimit(RLIMIT_MEMLOCK, &lim));
        OK(setuid(1000));
        char *p = pages(16);
        CHECK_ERR(mlock(p, 5 * PAGE), ENOMEM);
        OK(mlock(p, 4 * PAGE));
        OK(mlock(p, 2 * PAGE)); /* counts once */
        CHECK_ERR(mlock(p + 4 * PAGE, PAGE), ENOMEM);
        OK(munlock(p, PAGE));
        OK(mlock(p + 4 * PAGE, PAGE));
        CHECK_ERR(mlockall(MCL_CURRENT), ENOMEM);
        CHECK_ERR(mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0),
                  EAGAIN);
        lim.rlim_cur = 0;
        OK(setrlimit(RLIMIT_MEMLOCK, &lim));
        CHECK_ERR(mlock(p, PAGE), EPERM);
        CHECK_ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0),
                  EPERM);
        OK(munlock(p, PAGE));
    });
    OK(mlock((void *)16, -PAGE)); /* the size wraps to nothing */
    OK(msync((void *)PAGE, -1, MS_SYNC));
}

static void impossible_sizes(void)
{
    const int anon = MAP_PRIVATE | MAP_ANONYMOUS, rw = PROT_READ | PROT_WRITE;
    CHECK_ERR(mmap(NULL, 1l << 46, rw, anon, -1, 0), ENOMEM);
    CHECK_ERR(mmap(NULL, 2ul << 20, rw, anon | MAP_HUGETLB | 20 << 26, -1, 0), EINVAL);
    CHECK_ERR(mmap(NULL, 2ul << 20, rw, anon | MAP_HUGETLB, -1, 0), ENOMEM);
}

/* ---- barriers, descriptors ---- */

static void barriers(void)
{
    int all = OK(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0));
    CHECK_EQ(all & 0x1ff, 0x1ff);
    CHECK_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 1, 0), EINVAL);
    CHECK_ERR(syscall(SYS_membarrier, 3, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), EPERM);
    CHECK_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), EPERM);
    CHECK_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0), EPERM);
    OK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0));
    OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0));
    OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 0));
    OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU,
               9999));
    CHECK_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2, 0), EINVAL);
    OK(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0));
    OK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0));
    if (all & 1 << 9)
        CHECK_EQ(OK(syscall(SYS_membarrier, 1 << 9, 0, 0)), 256 + 16 + 4);
}

static void local_descriptors(void)
{
    unsigned char table[64] = {0};
    struct user_desc d = {.entry_number = 1,
                          .base_addr = 0x12345000,
                          .limit = 0xabcde,
                          .seg_32bit = 1,
                          .limit_in_pages = 1,
                          .useable = 1};
    /* The kernel gives back an int: errors are not negative as a long. */
    long r = syscall(SYS_modify_ldt, 0, table, sizeof(table));
    if (r < 0 || r == (uint32_t)-ENOSYS)
        SKIP("no modify_ldt");
    CHECK_EQ(r, 0);
    CHECK_EQ(syscall(SYS_modify_ldt, 7, table, 8), (uint32_t)-ENOSYS);
    CHECK_EQ(syscall(SYS_modify_ldt, 1, &d, 3), (uint32_t)-EINVAL);
    CHECK_EQ(syscall(SYS_modify_ldt, 1, 8, sizeof(d)), (uint32_t)-EFAULT);
    CHECK_EQ(syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)), 0);
    CHECK_EQ(syscall(SYS_modify_ldt, 0, table, sizeof(table)), sizeof(table));
    static const unsigned char want[8] = {0xde, 0xbc, 0x00, 0x50, 0x34, 0xf3, 0xda, 0x12};
    CHECK(!memcmp(table + 8, want, 8));
    d.contents = 3;
    CHECK_EQ(syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)), (uint32_t)-EINVAL);
    d = (struct user_desc){.entry_number = 8192};
    CHECK_EQ(syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)), (uint32_t)-EINVAL);
    CHECK_ERR(syscall(SYS_set_thread_area, &d), ENOSYS);
    CHECK_ERR(syscall(SYS_get_thread_area, &d), ENOSYS);
}

GUEST_MAIN(C(task_policy), C(policy_masks), C(policy_queries), C(bind_range), C(move_between_nodes),
           C(sealed_memory), C(guard_pages), C(advise_process), C(remap_pages), C(droppable),
           C(memlock_limit), C(impossible_sizes), C(barriers), C(local_descriptors))
