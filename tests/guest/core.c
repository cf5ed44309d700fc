/* Core files: when there is one, and what is in it (core(5)). */
#include "guest.h"

#include <elf.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/resource.h>

static void limit_core(rlim_t n)
{
    struct rlimit r = {n, n};
    OK(setrlimit(RLIMIT_CORE, &r));
}

static void want_pattern(void)
{
    char buf[256];
    read_file("/proc/sys/kernel/core_pattern", buf, sizeof(buf));
    if (strcmp(buf, "core\n"))
        SKIP("core_pattern is %s", buf);
    struct rlimit r;
    OK(getrlimit(RLIMIT_CORE, &r));
    if (r.rlim_max != RLIM_INFINITY)
        SKIP("RLIMIT_CORE cannot be raised");
    read_file("/proc/sys/kernel/core_uses_pid", buf, sizeof(buf));
    if (buf[0] != '0')
        SKIP("core_uses_pid is set");
}

static void flag_follows_the_limit(void)
{
    int st;
    want_pattern();
    pid_t pid = OK(fork());
    if (!pid) {
        limit_core(0);
        abort();
    }
    st = guest_wait(pid, __LINE__);
    CHECK(WIFSIGNALED(st) && !WCOREDUMP(st));
    CHECK_ERR(access("core", F_OK), ENOENT);
    pid = OK(fork());
    if (!pid) {
        limit_core(RLIM_INFINITY);
        abort();
    }
    siginfo_t info;
    OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    CHECK_EQ(info.si_code, CLD_DUMPED);
    CHECK_EQ(info.si_status, SIGABRT);
    st = guest_wait(pid, __LINE__);
    CHECK(WIFSIGNALED(st) && WCOREDUMP(st));
    struct stat sb;
    OK(stat("core", &sb));
    CHECK_EQ(sb.st_mode & 0777, 0600);
    CHECK(sb.st_size > 4096);
}

static void no_core_for(int sig, void (*prepare)(void))
{
    pid_t pid = OK(fork());
    if (!pid) {
        limit_core(RLIM_INFINITY);
        if (prepare)
            prepare();
        raise(sig);
        _exit(1);
    }
    int st = guest_wait(pid, __LINE__);
    CHECK_EQ(WTERMSIG(st), sig);
    CHECK(!WCOREDUMP(st));
}

static void undumpable(void)
{
    OK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

static void tiny_limit(void)
{
    limit_core(100);
}

static void not_every_death(void)
{
    want_pattern();
    no_core_for(SIGTERM, NULL);
    no_core_for(SIGKILL, NULL);
    no_core_for(SIGUSR1, NULL);
    no_core_for(SIGABRT, undumpable);
    no_core_for(SIGABRT, tiny_limit);
    OK(mkdir("core", 0755)); /* cannot be opened for writing */
    no_core_for(SIGABRT, NULL);
    OK(rmdir("core"));
}

static char *g_area;

static void *sit(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static const char *note_find(const char *notes, size_t size, unsigned type, unsigned *count)
{
    const char *found = NULL;
    *count = 0;
    for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
        Elf64_Nhdr h;
        memcpy(&h, notes + at, sizeof(h));
        size_t desc = at + sizeof(h) + ((h.n_namesz + 3) & ~3u);
        if (h.n_type == type) {
            if (!found)
                found = notes + desc;
            ++*count;
        }
        at = desc + ((h.n_descsz + 3) & ~3u);
    }
    return found;
}

static void check_memory(const char *image, const Elf64_Phdr *ph, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (ph[i].p_type != PT_LOAD || (uint64_t)g_area < ph[i].p_vaddr ||
            (uint64_t)g_area >= ph[i].p_vaddr + ph[i].p_memsz)
            continue;
        uint64_t off = (uint64_t)g_area - ph[i].p_vaddr;
        CHECK(off + 8192 <= ph[i].p_filesz);
        CHECK_EQ(memcmp(image + ph[i].p_offset + off + 4096, "find me", 8), 0);
        return;
    }
    FAIL("the area is in no segment");
}

static void check_notes(const char *notes, size_t size, pid_t pid)
{
    unsigned n;
    const char *at = note_find(notes, size, NT_PRSTATUS, &n);
    struct elf_prstatus st;
    CHECK_EQ(n, 2);
    memcpy(&st, at, sizeof(st));
    CHECK_EQ(st.pr_cursig, SIGSEGV);
    CHECK_EQ(st.pr_pid, pid);
    CHECK_EQ(st.pr_ppid, getpid());
    at = note_find(notes, size, NT_PRPSINFO, &n);
    struct elf_prpsinfo ps;
    CHECK_EQ(n, 1);
    memcpy(&ps, at, sizeof(ps));
    CHECK_STR(ps.pr_fname, "core");
    at = note_find(notes, size, NT_SIGINFO, &n);
    siginfo_t info;
    CHECK_EQ(n, 1);
    memcpy(&info, at, sizeof(info));
    CHECK_EQ(info.si_signo, SIGSEGV);
    CHECK_EQ(info.si_code, SEGV_MAPERR);
    CHECK_EQ((uint64_t)info.si_addr, 0x10);
    CHECK(note_find(notes, size, NT_AUXV, &n) != NULL);
    CHECK(note_find(notes, size, NT_FILE, &n) != NULL);
    (void)note_find(notes, size, NT_PRFPREG, &n);
    CHECK_EQ(n, 2);
}

static void contents(void)
{
    want_pattern();
    g_area = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(g_area != MAP_FAILED);
    strcpy(g_area + 4096, "find me");
    pid_t pid = OK(fork());
    if (!pid) {
        pthread_t th;
        limit_core(RLIM_INFINITY);
        pthread_create(&th, NULL, sit, NULL);
        sleep_ms(20);
        *(volatile int *)0x10 = 1;
    }
    int status = guest_wait(pid, __LINE__), fd = OK(open("core", O_RDONLY));
    CHECK(WCOREDUMP(status));
    struct stat sb;
    OK(fstat(fd, &sb));
    char *image = mmap(NULL, sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(image != MAP_FAILED);
    Elf64_Ehdr *eh = (Elf64_Ehdr *)image;
    CHECK_EQ(memcmp(eh->e_ident, ELFMAG, SELFMAG), 0);
    CHECK_EQ(eh->e_type, ET_CORE);
    CHECK_EQ(eh->e_machine, EM_X86_64);
    Elf64_Phdr *ph = (Elf64_Phdr *)(image + eh->e_phoff);
    CHECK_EQ(ph[0].p_type, PT_NOTE);
    check_notes(image + ph[0].p_offset, ph[0].p_filesz, pid);
    check_memory(image, ph, eh->e_phnum);
    CHECK(sb.st_blocks * 512ull < 32 << 20); /* untouched pages are not written */
    munmap(image, sb.st_size);
    munmap(g_area, 64 << 20);
    OK(close(fd));
}

static void filter_file(void)
{
    char buf[64];
    read_file("/proc/self/coredump_filter", buf, sizeof(buf));
    CHECK_STR(buf, "00000033\n");
    write_file("/proc/self/coredump_filter", "0x7f", 4);
    read_file("/proc/self/coredump_filter", buf, sizeof(buf));
    CHECK_STR(buf, "0000007f\n");
    IN_CHILD(read_file("/proc/self/coredump_filter", buf, sizeof(buf));
             CHECK_STR(buf, "0000007f\n"));
    write_file("/proc/self/coredump_filter", "0x33", 4);
    int fd = OK(open("/proc/self/coredump_filter", O_WRONLY));
    CHECK_ERR(write(fd, "x", 1), EINVAL);
    close(fd);
}

static void limit_truncates(void)
{
    want_pattern();
    pid_t pid = OK(fork());
    if (!pid) {
        limit_core(8192);
        abort();
    }
    (void)guest_wait(pid, __LINE__);
    struct stat sb;
    OK(stat("core", &sb));
    CHECK(sb.st_size <= 8192);
}

GUEST_MAIN(C(flag_follows_the_limit), C(not_every_death), C(contents), C(filter_file),
           C(limit_truncates))
