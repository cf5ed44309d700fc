/* Leases (F_SETLEASE), and dnotify (F_NOTIFY). */
#include "guest.h"

#include <grp.h>
#include <poll.h>

static volatile int g_hits, g_fd, g_code;

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
    (void)sig, (void)ctx;
    g_hits++;
    g_fd = si->si_fd;
    g_code = si->si_code;
}

static void wait_hits(int n)
{
    for (int i = 0; i < 2000 && g_hits < n; i++)
        sleep_ms(2);
    CHECK_EQ(g_hits, n);
}

static void taking(void)
{
    write_file("f", "x", 1);
    int fd = OK(open("f", O_RDONLY)), dir = OK(open(".", O_RDONLY)), path = OK(open("f", O_PATH));
    CHECK_EQ(OK(fcntl(fd, F_GETLEASE)), F_UNLCK);
    CHECK_ERR(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN);
    CHECK_ERR(fcntl(fd, F_SETLEASE, 99), EINVAL);
    CHECK_ERR(fcntl(dir, F_SETLEASE, F_RDLCK), EINVAL);
    CHECK_ERR(fcntl(path, F_SETLEASE, F_RDLCK), EBADF);
    CHECK_ERR(fcntl(-1, F_SETLEASE, F_RDLCK), EBADF);
    OK(fcntl(fd, F_SETLEASE, F_RDLCK));
    CHECK_EQ(OK(fcntl(fd, F_GETLEASE)), F_RDLCK);
    OK(fcntl(fd, F_SETLEASE, F_WRLCK));
    CHECK_EQ(OK(fcntl(fd, F_GETLEASE)), F_WRLCK);
    OK(fcntl(fd, F_SETLEASE, F_RDLCK));
    int fd2 = OK(open("f", O_RDONLY));
    CHECK_EQ(OK(fcntl(fd2, F_GETLEASE)), F_UNLCK);
    CHECK_EQ(OK(fcntl(dup(fd), F_GETLEASE)), F_RDLCK);
    OK(fcntl(fd2, F_SETLEASE, F_RDLCK));
    CHECK_ERR(fcntl(fd, F_SETLEASE, F_WRLCK), EAGAIN);
    OK(fcntl(fd, F_SETLEASE, F_UNLCK));
    CHECK_EQ(OK(fcntl(fd2, F_GETLEASE)), F_RDLCK);
    OK(close(fd2));
    int w = OK(open("f", O_RDWR));
    CHECK_ERR(fcntl(fd, F_SETLEASE, F_RDLCK), EAGAIN);
    CHECK_ERR(fcntl(w, F_SETLEASE, F_RDLCK), EAGAIN);
    CHECK_ERR(fcntl(w, F_SETLEASE, F_WRLCK), EAGAIN);
}

static void write_lease_alone(void)
{
    signal(SIGIO, SIG_IGN);
    int w = OK(open("f", O_CREAT | O_RDWR, 0644));
    OK(fcntl(w, F_SETLEASE, F_WRLCK));
    CHECK_EQ(OK(fcntl(w, F_GETLEASE)), F_WRLCK);
    CHECK_ERR(open("f", O_RDONLY | O_NONBLOCK), EAGAIN);
    CHECK_EQ(OK(fcntl(w, F_GETLEASE)), F_RDLCK); /* what the breaker wants */
    OK(fcntl(w, F_SETLEASE, F_UNLCK));
    OK(close(OK(open("f", O_RDONLY | O_NONBLOCK))));
    OK(close(OK(open("f", O_PATH))));
}

static void ownership(void)
{
    write_file("f", "x", 1);
    IN_CHILD(OK(setgroups(0, NULL)); OK(setresgid(1000, 1000, 1000)); OK(setresuid(1000, 1000, 1000));
             int fd = OK(open("f", O_RDONLY)); CHECK_ERR(fcntl(fd, F_SETLEASE, F_RDLCK), EACCES));
    OK(chown("f", 1000, 1000));
    IN_CHILD(OK(setgroups(0, NULL)); OK(setresgid(1000, 1000, 1000)); OK(setresuid(1000, 1000, 1000));
             int fd = OK(open("f", O_RDONLY)); OK(fcntl(fd, F_SETLEASE, F_RDLCK)));
}

/* A child opens with these flags while we hold the lease; we give it up when told. */
static void broken_by(int lease, int open_flags, bool truncates)
{
    write_file("f", "x", 1);
    handle_info(SIGRTMIN, on_signal, 0);
    g_hits = 0;
    int fd = OK(open("f", O_RDONLY));
    OK(fcntl(fd, F_SETSIG, SIGRTMIN));
    OK(fcntl(fd, F_SETLEASE, lease));
    pid_t pid = OK(fork());
    if (!pid) {
        if (truncates)
            OK(truncate("f", 0));
        else
            OK(open("f", open_flags));
        _exit(0);
    }
    wait_hits(1);
    CHECK_EQ(g_fd, fd);
    CHECK_EQ(g_code, POLL_MSG);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    bool write = truncates || (open_flags & O_ACCMODE) != O_RDONLY;
    CHECK_EQ(OK(fcntl(fd, F_GETLEASE)), write ? F_UNLCK : F_RDLCK);
    OK(fcntl(fd, F_SETLEASE, write ? F_UNLCK : F_RDLCK));
    WAIT_EXIT(pid, 0);
    OK(close(fd));
}

static void breaking(void)
{
    broken_by(F_RDLCK, O_WRONLY, false);
    broken_by(F_WRLCK, O_RDONLY, false);
    broken_by(F_WRLCK, O_RDWR, false);
    broken_by(F_RDLCK, 0, true);
}

static void readers_do_not_break_readers(void)
{
    write_file("f", "x", 1);
    int fd = OK(open("f", O_RDONLY));
    OK(fcntl(fd, F_SETLEASE, F_RDLCK));
    OK(close(OK(open("f", O_RDONLY))));
    CHECK_EQ(OK(fcntl(fd, F_GETLEASE)), F_RDLCK);
}

static void closing_gives_up(void)
{
    write_file("f", "x", 1);
    signal(SIGIO, SIG_IGN);
    int fd = OK(open("f", O_RDONLY));
    OK(fcntl(fd, F_SETLEASE, F_RDLCK));
    pid_t pid = OK(fork());
    if (!pid) {
        close(fd);
        OK(open("f", O_WRONLY));
        _exit(0);
    }
    while (OK(fcntl(fd, F_GETLEASE)) != F_UNLCK)
        sleep_ms(2);
    OK(close(fd));
    WAIT_EXIT(pid, 0);
}

static void time_runs_out(void)
{
    char old[16];
    read_file("/proc/sys/fs/lease-break-time", old, sizeof(old));
    int k = open("/proc/sys/fs/lease-break-time", O_WRONLY);
    if (k < 0 || write(k, "1", 1) != 1)
        SKIP("cannot set lease-break-time");
    write_file("f", "x", 1);
    signal(SIGIO, SIG_IGN);
    int fd = OK(open("f", O_RDONLY));
    OK(fcntl(fd, F_SETLEASE, F_RDLCK));
    int64_t before = now_ns();
    pid_t pid = OK(fork());
    if (!pid) {
        close(fd);
        OK(open("f", O_WRONLY));
        _exit(0);
    }
    int st = guest_wait(pid, __LINE__);
    lseek(k, 0, SEEK_SET);
    OK(write(k, old, strlen(old)));
    CHECK_EQ(st, 0);
    CHECK(now_ns() - before > 500 * 1000000LL);
    CHECK_EQ(OK(fcntl(fd, F_GETLEASE)), F_UNLCK);
    CHECK_ERR(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN);
}

static void nothing(int sig)
{
    (void)sig;
}

static void breaker_is_interrupted(void)
{
    write_file("f", "x", 1);
    signal(SIGIO, SIG_IGN);
    int fd = OK(open("f", O_RDONLY));
    OK(fcntl(fd, F_SETLEASE, F_RDLCK));
    pid_t pid = OK(fork());
    if (!pid) {
        handle(SIGUSR1, nothing, 0);
        CHECK_ERR(open("f", O_WRONLY), EINTR);
        _exit(0);
    }
    while (OK(fcntl(fd, F_GETLEASE)) != F_UNLCK)
        sleep_ms(2);
    wait_state(pid, "S");
    OK(kill(pid, SIGUSR1));
    WAIT_EXIT(pid, 0);
}

/* ---- dnotify ---- */

static int g_watched;

static void told(const char *what)
{
    for (int i = 0; i < 1000 && !g_hits; i++)
        sleep_ms(1);
    if (g_hits != 1)
        FAIL("%s: %d signals", what, g_hits);
    CHECK_EQ(g_fd, g_watched);
    CHECK_EQ(g_code, POLL_MSG);
    g_hits = 0;
}

static void dnotify_events(void)
{
    char c;
    handle_info(SIGRTMIN + 1, on_signal, 0);
    OK(mkdir("d", 0755));
    g_hits = 0;
    g_watched = OK(open("d", O_RDONLY));
    OK(fcntl(g_watched, F_SETSIG, SIGRTMIN + 1));
    OK(fcntl(g_watched, F_NOTIFY, DN_CREATE));
    write_file("d/f", "x", 1);
    told("create");
    write_file("d/g", "x", 1); /* it was for one event only */
    OK(unlink("d/g"));
    CHECK_EQ(g_hits, 0);
    OK(fcntl(g_watched, F_NOTIFY, DN_DELETE | DN_MULTISHOT));
    OK(fcntl(g_watched, F_NOTIFY, DN_ATTRIB | DN_MULTISHOT));
    OK(chmod("d/f", 0600));
    told("attrib");
    OK(link("d/f", "d/h"));
    OK(unlink("d/h"));
    told("delete");
    OK(rename("d/f", "out"));
    told("moved out");
    OK(fcntl(g_watched, F_NOTIFY, 0));
    OK(rename("out", "d/f"));
    OK(fcntl(g_watched, F_NOTIFY, DN_RENAME | DN_MULTISHOT));
    OK(rename("d/f", "d/k"));
    told("rename");
    OK(fcntl(g_watched, F_NOTIFY, 0));
    OK(fcntl(g_watched, F_NOTIFY, DN_ACCESS | DN_MULTISHOT));
    int fd = OK(open("d/k", O_RDWR));
    OK(read(fd, &c, 1));
    told("access");
    OK(fcntl(g_watched, F_NOTIFY, 0));
    OK(fcntl(g_watched, F_NOTIFY, DN_MODIFY));
    OK(write(fd, "y", 1));
    told("modify");
    OK(fcntl(g_watched, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
    OK(close(g_watched));
    write_file("d/z", "x", 1);
    sleep_ms(5);
    CHECK_EQ(g_hits, 0);
    CHECK_ERR(fcntl(fd, F_NOTIFY, DN_CREATE), ENOTDIR);
    CHECK_ERR(fcntl(-1, F_NOTIFY, DN_CREATE), EBADF);
}

GUEST_MAIN(C(taking), C(write_lease_alone), C(ownership), C(breaking), C(readers_do_not_break_readers),
           C(closing_gives_up), C(time_runs_out), C(breaker_is_interrupted), C(dnotify_events))
