/* More rules of files: access times by mount, ioctls, what is checked first, limits of queues. */
#include "guest.h"

#include <dirent.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <sys/xattr.h>

#define NOBODY 65534

static void become(int uid)
{
    OK(setgroups(0, NULL));
    OK(setresgid(uid, uid, uid));
    OK(setresuid(uid, uid, uid));
}

static bool knob(const char *name, const char *value)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/sys/fs/%s", name);
    int fd = open(path, O_WRONLY);
    bool ok = fd >= 0 && write(fd, value, strlen(value)) > 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void read_knob(const char *name, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/sys/fs/%s", name);
    read_file(path, out, size);
}

/* Was name's access time moved by fn? It stands before (newer: behind) the other times. */
static bool moves_atime(const char *name, bool newer, void (*fn)(const char *))
{
    struct stat a, b;
    struct timespec t[2] = {{1000000000, 5}, {0, UTIME_OMIT}};
    if (newer) {
        t[0].tv_sec = time(NULL) - 100;
        t[1] = (struct timespec){time(NULL) - 1000, 7};
    }
    OK(utimensat(AT_FDCWD, name, t, AT_SYMLINK_NOFOLLOW));
    OK(lstat(name, &a));
    fn(name);
    OK(lstat(name, &b));
    return a.st_atim.tv_sec != b.st_atim.tv_sec;
}

static void read_it(const char *name)
{
    char c;
    int fd = OK(open(name, O_RDONLY));
    OK(read(fd, &c, 1));
    close(fd);
}

static void read_quietly(const char *name)
{
    char c;
    int fd = OK(open(name, O_RDONLY | O_NOATIME));
    OK(read(fd, &c, 1));
    close(fd);
}

static void list_it(const char *name)
{
    DIR *d = opendir(name);
    CHECK(d);
    while (readdir(d))
        ;
    closedir(d);
}

static void readlink_it(const char *name)
{
    char buf[64];
    OK(readlink(name, buf, sizeof(buf)));
}

static void access_times(void)
{
    static const struct {
        unsigned long flags;
        bool file, dir, file_older;
    } modes[] = {{0, false, false, true},
                 {MS_NOATIME, false, false, false},
                 {MS_STRICTATIME, true, true, true},
                 {MS_STRICTATIME | MS_NODIRATIME, true, false, true}};
    OK(mkdir("m", 0755));
    for (int i = 0; i < 4; i++) {
        if (mount("none", "m", "tmpfs", modes[i].flags, NULL))
            SKIP("may not mount");
        OK(chdir("m"));
        write_file("f", "x", 1);
        OK(mkdir("d", 0755));
        OK(symlink("f", "l"));
        sleep_ms(1100); /* the change time, which utimensat sets, must lie behind */
        CHECK_EQ(moves_atime("f", false, read_quietly), false);
        CHECK_EQ(moves_atime("f", false, read_it), modes[i].file_older);
        CHECK_EQ(moves_atime("d", false, list_it), modes[i].dir || !modes[i].flags);
        CHECK_EQ(moves_atime("l", false, readlink_it), modes[i].file_older);
        OK(chdir(".."));
        OK(umount("m"));
    }
}

static void ioctls_of_files(void)
{
    char name[] = "/dev/shm/fsname.XXXXXX";
    long long size;
    int n, fd = OK(mkstemp(name)), dir = OK(open("/dev/shm", O_RDONLY));
    OK(unlink(name));
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_ERR(ioctl(fd, FICLONE, fd), EOPNOTSUPP);
    CHECK_ERR(ioctl(fd, FICLONE, -1), EBADF);
    CHECK_ERR(ioctl(fd, FIBMAP, &n), EINVAL);
    CHECK_ERR(ioctl(fd, FIFREEZE, 0), EOPNOTSUPP);
    CHECK_ERR(ioctl(fd, FITHAW, 0), EINVAL);
    OK(ioctl(fd, FIOQSIZE, &size));
    CHECK_EQ(size, 4096);
    OK(ioctl(dir, FIOQSIZE, &size));
    CHECK_ERR(ioctl(dir, FIONREAD, &n), ENOTTY);
    CHECK_ERR(ioctl(fd, 0x12345, &n), ENOTTY);
    uint64_t hint = 3;
    OK(fcntl(fd, F_SET_RW_HINT, &hint));
    hint = 0;
    OK(fcntl(fd, F_GET_RW_HINT, &hint));
    CHECK_EQ(hint, 3);
    hint = 6;
    CHECK_ERR(fcntl(fd, F_SET_RW_HINT, &hint), EINVAL);
    CHECK_ERR(fcntl(fd, F_GET_RW_HINT, NULL), EFAULT);
}

static void orders_of_errors(void)
{
    struct statx sx;
    CHECK_ERR(syscall(SYS_renameat2, AT_FDCWD, NULL, AT_FDCWD, NULL, 0x10), EINVAL);
    CHECK_ERR(syscall(SYS_mknodat, AT_FDCWD, NULL, S_IFDIR | 0700, 0), EPERM);
    CHECK_ERR(syscall(SYS_flock, -1, 0x40), EINVAL);
    CHECK_ERR(syscall(SYS_flock, -1, 2 /* LOCK_EX */), EBADF);
    CHECK_ERR(fcntl(0, F_SETOWN, 4000000), ESRCH);
    int dir = OK(open(".", O_RDONLY));
    OK(statx(dir, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx));
    CHECK_ERR(statx(dir, "", 0, STATX_BASIC_STATS, &sx), ENOENT);
    CHECK_ERR(statx(dir, "", AT_EMPTY_PATH, 0x80000000, &sx), EINVAL);
    CHECK_ERR(statx(dir, "", AT_EMPTY_PATH | 0x6000, STATX_BASIC_STATS, &sx), EINVAL);
    CHECK_ERR(statx(dir, "", AT_EMPTY_PATH, STATX_BASIC_STATS, NULL), EFAULT);
    write_file("f", "x", 1);
    OK(mknod("c", S_IFCHR | 0600, makedev(1, 3)));
    CHECK_ERR(setxattr("c", "user.", "v", 1, 0), EPERM);
    IN_CHILD(become(NOBODY); CHECK_ERR(setxattr("f", "bogus", "v", 1, 0), EACCES);
             CHECK_ERR(linkat(dir, "f", dir, "g", AT_EMPTY_PATH), ENOENT));
}

static void queue_overflow(void)
{
    char buf[4096], old[32];
    read_knob("inotify/max_queued_events", old, sizeof(old));
    if (!knob("inotify/max_queued_events", "3"))
        SKIP("cannot set the limit");
    int in = OK(inotify_init1(IN_NONBLOCK));
    knob("inotify/max_queued_events", old);
    OK(inotify_add_watch(in, ".", IN_CREATE));
    for (int i = 0; i < 6; i++) {
        snprintf(buf, sizeof(buf), "f%d", i);
        write_file(buf, "", 0);
    }
    ssize_t n = OK(read(in, buf, sizeof(buf)));
    CHECK_EQ(n, 3 * (sizeof(struct inotify_event) + 16) + sizeof(struct inotify_event));
    struct inotify_event *last = (void *)(buf + n - sizeof(*last));
    CHECK_EQ(last->wd, -1);
    CHECK_EQ(last->mask, IN_Q_OVERFLOW);
    CHECK_EQ(last->len, 0);
}

static void expect(int fd, const char *want)
{
    char buf[4096], got[2048] = "";
    ssize_t n = read(fd, buf, sizeof(buf));
    for (char *p = buf; n > 0 && p < buf + n;) {
        struct inotify_event *e = (void *)p;
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%d:%x%s%s ", e->wd, e->mask,
                 e->len ? ":" : "", e->len ? e->name : "");
        p += sizeof(*e) + e->len;
    }
    CHECK_STR(got, want);
}

/* Less usual ways to read, change, run and move what is watched. */
static void inotify_of_rarer_calls(void)
{
    int in = OK(inotify_init1(IN_NONBLOCK)), st;
    OK(mkdir("w", 0755));
    OK(mkdir("w/d", 0755));
    write_file("w/f", "#!/bin/true\n", 12);
    OK(chmod("w/f", 0755));
    OK(inotify_add_watch(in, "w", IN_ALL_EVENTS));
    OK(inotify_add_watch(in, "w/f", IN_ALL_EVENTS));
    OK(inotify_add_watch(in, "w/d", IN_ALL_EVENTS));
    int fd = OK(open("w/f", O_RDWR));
    expect(in, "1:20:f 2:20 ");
    if (!fallocate(fd, 0, 0, 100))
        expect(in, "1:2:f 2:2 ");
    OK(close(fd));
    expect(in, "1:8:f 2:8 ");
    DIR *d = opendir("w/d");
    CHECK(d);
    expect(in, "1:40000020:d 3:40000020 ");
    CHECK(readdir(d));
    expect(in, "1:40000001:d 3:40000001 ");
    closedir(d);
    expect(in, "1:40000010:d 3:40000010 ");
    write_file("w/f", "#!/bin/true\n", 12);
    expect(in, "1:20:f 2:20 1:2:f 2:2 1:2:f 2:2 1:8:f 2:8 ");
    pid_t pid = OK(fork());
    if (!pid) {
        execl("w/f", "f", NULL);
        _exit(1);
    }
    st = guest_wait(pid, __LINE__);
    CHECK_EQ(st, 0);
    expect(in, "1:20:f 2:20 1:1:f 2:1 1:10:f 2:10 ");
    if (!syscall(SYS_renameat2, AT_FDCWD, "w/f", AT_FDCWD, "w/d", 2 /* RENAME_EXCHANGE */))
        expect(in, "1:40:f 1:80:d 2:800 1:40000040:d 1:40000080:f 3:800 ");
}

GUEST_MAIN(C(access_times), C(ioctls_of_files), C(orders_of_errors), C(queue_overflow),
           C(inotify_of_rarer_calls))
