/* Record locks (POSIX and open file description) and flock(2). */
#include "guest.h"
#include <sys/file.h>

static int lk(int fd, int cmd, int type, off_t start, off_t len)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, cmd, &l);
}

static struct flock get(int fd, int cmd, int type, off_t start, off_t len)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    OK(fcntl(fd, cmd, &l));
    return l;
}

static int file(void)
{
    return OK(open("f", O_RDWR | O_CREAT, 0644));
}

static void posix_conflicts(void)
{
    int fd = file();
    OK(lk(fd, F_SETLK, F_WRLCK, 10, 10));
    IN_CHILD({
        CHECK_ERR(lk(fd, F_SETLK, F_RDLCK, 15, 1), EAGAIN);
        CHECK_ERR(lk(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
        OK(lk(fd, F_SETLK, F_WRLCK, 0, 10));
        OK(lk(fd, F_SETLK, F_WRLCK, 20, 0));
        struct flock l = get(fd, F_GETLK, F_WRLCK, 0, 100);
        CHECK_EQ(l.l_type, F_WRLCK);
        CHECK_EQ(l.l_pid, getppid());
        CHECK_EQ(l.l_start, 10);
        CHECK_EQ(l.l_len, 10);
        CHECK_EQ(get(fd, F_GETLK, F_WRLCK, 30, 1).l_type, F_UNLCK);
    });
    close(fd);
}

static void posix_split_and_merge(void)
{
    int fd = file();
    OK(lk(fd, F_SETLK, F_WRLCK, 0, 30));
    OK(lk(fd, F_SETLK, F_UNLCK, 10, 10));
    OK(lk(fd, F_SETLK, F_RDLCK, 25, 5));
    IN_CHILD({
        OK(lk(fd, F_SETLK, F_WRLCK, 10, 10));
        CHECK_ERR(lk(fd, F_SETLK, F_RDLCK, 9, 1), EAGAIN);
        CHECK_ERR(lk(fd, F_SETLK, F_RDLCK, 20, 1), EAGAIN);
        OK(lk(fd, F_SETLK, F_RDLCK, 25, 5));
        CHECK_ERR(lk(fd, F_SETLK, F_WRLCK, 29, 1), EAGAIN);
        OK(lk(fd, F_SETLK, F_WRLCK, 30, 1));
    });
    close(fd);
}

static void posix_lost_on_any_close(void)
{
    int fd = file(), other = file();
    OK(lk(fd, F_SETLK, F_WRLCK, 0, 0));
    close(other);
    IN_CHILD(OK(lk(fd, F_SETLK, F_WRLCK, 0, 0)));
    close(fd);
}

static void posix_released_at_exit(void)
{
    int fd = file();
    IN_CHILD(OK(lk(fd, F_SETLK, F_WRLCK, 0, 0)));
    OK(lk(fd, F_SETLK, F_WRLCK, 0, 0));
    close(fd);
}

static void posix_waits(void)
{
    int fd = file();
    OK(lk(fd, F_SETLK, F_WRLCK, 0, 0));
    pid_t p = OK(fork());
    if (!p) {
        int64_t t = now_ns();
        OK(lk(fd, F_SETLKW, F_WRLCK, 0, 0));
        _exit(now_ns() - t < 30000000);
    }
    sleep_ms(60);
    OK(lk(fd, F_SETLK, F_UNLCK, 0, 0));
    WAIT_EXIT(p, 0);
    close(fd);
}

static void nothing(int sig)
{
}

static void wait_is_interrupted(void)
{
    int fd = file();
    OK(lk(fd, F_SETLK, F_WRLCK, 0, 0));
    IN_CHILD({
        struct itimerval it = {{0, 0}, {0, 30000}};
        handle(SIGALRM, nothing, 0);
        OK(setitimer(ITIMER_REAL, &it, NULL));
        CHECK_ERR(lk(fd, F_SETLKW, F_WRLCK, 0, 0), EINTR);
    });
    close(fd);
}

static void deadlock_is_found(void)
{
    int fd = file(), ready[2];
    OK(pipe(ready));
    OK(lk(fd, F_SETLK, F_WRLCK, 0, 1));
    pid_t p = OK(fork());
    if (!p) {
        OK(lk(fd, F_SETLK, F_WRLCK, 1, 1));
        OK(write(ready[1], "r", 1));
        OK(lk(fd, F_SETLKW, F_WRLCK, 0, 1));
        _exit(0);
    }
    char c;
    OK(read(ready[0], &c, 1));
    wait_state(p, "S");
    sleep_ms(20);
    CHECK_ERR(lk(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    OK(lk(fd, F_SETLK, F_UNLCK, 0, 1));
    WAIT_EXIT(p, 0);
    close(fd);
}

static void access_modes(void)
{
    write_file("f", "", 0);
    int r = OK(open("f", O_RDONLY)), w = OK(open("f", O_WRONLY));
    CHECK_ERR(lk(r, F_SETLK, F_WRLCK, 0, 0), EBADF);
    CHECK_ERR(lk(w, F_SETLK, F_RDLCK, 0, 0), EBADF);
    CHECK_ERR(lk(r, F_SETLK, 77, 0, 0), EINVAL);
    CHECK_ERR(lk(r, F_SETLK, F_RDLCK, -5, 1), EINVAL);
    CHECK_ERR(fcntl(r, F_SETLK, (void *)8), EFAULT);
    OK(lk(r, F_SETLK, F_RDLCK, 5, -5)); /* a negative length reaches back */
    close(r), close(w);
}

static void ofd_locks(void)
{
    int a = file(), b = file();
    OK(lk(a, F_OFD_SETLK, F_WRLCK, 0, 0));
    CHECK_ERR(lk(b, F_OFD_SETLK, F_WRLCK, 0, 0), EAGAIN); /* even in one process */
    struct flock l = get(b, F_OFD_GETLK, F_WRLCK, 0, 0);
    CHECK_EQ(l.l_type, F_WRLCK);
    CHECK_EQ(l.l_pid, -1);
    int c = OK(dup(a));
    close(a);
    CHECK_ERR(lk(b, F_OFD_SETLK, F_WRLCK, 0, 0), EAGAIN);
    close(c);
    OK(lk(b, F_OFD_SETLK, F_WRLCK, 0, 0));
    IN_CHILD(OK(lk(b, F_OFD_SETLK, F_RDLCK, 0, 0))); /* inherited: the same description */
    close(b);
}

static void ofd_against_posix(void)
{
    int a = file(), b = file();
    OK(lk(a, F_OFD_SETLK, F_WRLCK, 0, 10));
    CHECK_ERR(lk(b, F_SETLK, F_WRLCK, 5, 1), EAGAIN);
    struct flock l = {.l_type = F_RDLCK, .l_pid = 7};
    CHECK_ERR(fcntl(a, F_OFD_SETLK, &l), EINVAL);
    close(a), close(b);
}

static void flock_basic(void)
{
    int a = file(), b = file();
    OK(flock(a, LOCK_EX));
    CHECK_ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    OK(flock(a, LOCK_SH));
    OK(flock(b, LOCK_SH | LOCK_NB));
    CHECK_ERR(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    OK(flock(b, LOCK_UN));
    OK(lk(b, F_SETLK, F_WRLCK, 0, 0)); /* apart from record locks */
    CHECK_ERR(flock(a, 77), EINVAL);
    CHECK_ERR(flock(999, LOCK_SH), EBADF);
    close(a), close(b);
}

static void flock_is_inherited_and_waits(void)
{
    int a = file();
    OK(flock(a, LOCK_EX));
    pid_t p = OK(fork());
    if (!p) {
        OK(flock(a, LOCK_EX)); /* ours already */
        int b = file();
        int64_t t = now_ns();
        close(a);
        OK(flock(b, LOCK_EX));
        _exit(now_ns() - t < 30000000);
    }
    sleep_ms(60);
    close(a);
    WAIT_EXIT(p, 0);
}

GUEST_MAIN(C(posix_conflicts), C(posix_split_and_merge), C(posix_lost_on_any_close), C(posix_released_at_exit),
           C(posix_waits), C(wait_is_interrupted), C(deadlock_is_found), C(access_modes), C(ofd_locks),
           C(ofd_against_posix), C(flock_basic), C(flock_is_inherited_and_waits))
