/* Rules about names and attributes that the older families leave out: flags of files, whiteouts,
 * links to nameless files, protected links, ustat, sysfs, quotactl, *xattrat. Each filesystem
 * check runs where the program stands (an overlay inside) and on /dev/shm. */
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

/* Runs fn in a fresh directory of the overlay and then of a tmpfs. */
static void on_both(void (*fn)(void))
{
    char dir[] = "/dev/shm/fsname.XXXXXX";
    OK(mkdir("here", 0755));
    OK(chdir("here"));
    fn();
    CHECK(mkdtemp(dir));
    OK(chmod(dir, 0755));
    OK(chdir(dir));
    fn();
    OK(chdir("/"));
    nftw(dir, guest_rm, 16, FTW_DEPTH | FTW_PHYS);
}

static int flags_of(const char *name)
{
    int fd = OK(open(name, O_RDONLY)), fl = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &fl) && errno == ENOTTY)
        SKIP("no flags on this filesystem");
    close(fd);
    return fl;
}

static int set_flags(const char *name, int set, int clear)
{
    int fd = OK(open(name, O_RDONLY)), fl = 0, r, e;
    OK(ioctl(fd, FS_IOC_GETFLAGS, &fl));
    fl = (fl | set) & ~clear;
    r = ioctl(fd, FS_IOC_SETFLAGS, &fl);
    e = errno;
    close(fd);
    errno = e;
    return r;
}

static void immutable(void)
{
    write_file("f", "x", 1);
    flags_of("f");
    OK(mkdir("d", 0755));
    write_file("d/in", "x", 1);
    OK(set_flags("f", FS_IMMUTABLE_FL, 0));
    OK(set_flags("d", FS_IMMUTABLE_FL, 0));
    CHECK(flags_of("f") & FS_IMMUTABLE_FL);
    CHECK_ERR(open("f", O_WRONLY), EPERM);
    CHECK_ERR(open("f", O_RDONLY | O_TRUNC), EPERM);
    CHECK_ERR(truncate("f", 0), EPERM);
    CHECK_ERR(unlink("f"), EPERM);
    CHECK_ERR(rename("f", "g"), EPERM);
    CHECK_ERR(link("f", "g"), EPERM);
    CHECK_ERR(chmod("f", 0600), EPERM);
    CHECK_ERR(chown("f", 1, 1), EPERM);
    CHECK_ERR(utimes("f", NULL), EPERM);
    CHECK_ERR(access("f", W_OK), EPERM);
    CHECK_ERR(setxattr("f", "user.a", "b", 1, 0), EPERM);
    CHECK_ERR(open("d/new", O_CREAT | O_WRONLY, 0600), EPERM);
    CHECK_ERR(mkdir("d/new", 0700), EPERM);
    CHECK_ERR(unlink("d/in"), EPERM);
    OK(close(OK(open("d/in", O_RDWR))));
    struct statx sx;
    OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &sx));
    CHECK(sx.stx_attributes & STATX_ATTR_IMMUTABLE);
    CHECK(sx.stx_attributes_mask & STATX_ATTR_IMMUTABLE);
    OK(set_flags("f", 0, FS_IMMUTABLE_FL));
    OK(set_flags("d", 0, FS_IMMUTABLE_FL));
    OK(unlink("f"));
    OK(unlink("d/in"));
}

static void immutable_flag(void)
{
    on_both(immutable);
}

static void append_only(void)
{
    struct timespec when[2] = {{1, 0}, {1, 0}};
    write_file("f", "x", 1);
    flags_of("f");
    OK(set_flags("f", FS_APPEND_FL, 0));
    CHECK_ERR(open("f", O_WRONLY), EPERM);
    CHECK_ERR(open("f", O_WRONLY | O_APPEND | O_TRUNC), EPERM);
    int fd = OK(open("f", O_RDWR | O_APPEND));
    CHECK_EQ(write(fd, "yz", 2), 2);
    CHECK_ERR(fcntl(fd, F_SETFL, 0), EPERM);
    CHECK_ERR(ftruncate(fd, 0), EPERM);
    CHECK_ERR(unlink("f"), EPERM);
    CHECK_ERR(rename("f", "g"), EPERM);
    CHECK_ERR(chmod("f", 0600), EPERM);
    CHECK_ERR(utimensat(AT_FDCWD, "f", when, 0), EPERM);
    OK(utimensat(AT_FDCWD, "f", NULL, 0));
    OK(set_flags("f", 0, FS_APPEND_FL));
    OK(ftruncate(fd, 0));
    close(fd);
    OK(unlink("f"));
}

static void append_flag(void)
{
    on_both(append_only);
}

static void flags_by_others(void)
{
    write_file("f", "x", 1);
    flags_of("f");
    OK(chmod("f", 0666));
    IN_CHILD(become(NOBODY); CHECK_ERR(set_flags("f", FS_NODUMP_FL, 0), EPERM));
    OK(chown("f", NOBODY, NOBODY));
    IN_CHILD(become(NOBODY); OK(set_flags("f", FS_NODUMP_FL, 0));
             CHECK_ERR(set_flags("f", FS_IMMUTABLE_FL, 0), EPERM));
    CHECK(flags_of("f") & FS_NODUMP_FL);
    int fd = OK(open("f", O_RDONLY));
    struct fsxattr x;
    OK(ioctl(fd, FS_IOC_FSGETXATTR, &x));
    CHECK(x.fsx_xflags & FS_XFLAG_NODUMP);
    CHECK_ERR(ioctl(fd, FS_IOC_GETFLAGS, NULL), EFAULT);
    close(fd);
    int p[2];
    OK(pipe(p));
    CHECK_ERR(ioctl(p[0], FS_IOC_GETFLAGS, &fd), ENOTTY);
}

static void whiteout(void)
{
    struct stat st;
    write_file("a", "A", 1);
    if (syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 4 /* RENAME_WHITEOUT */))
        SKIP("no whiteouts here: %s", strerrorname_np(errno));
    OK(lstat("a", &st));
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, 0);
    CHECK_EQ(OK(stat("b", &st)) | st.st_size, 1);
    OK(unlink("a"));
    CHECK_ERR(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "c", 4 | 2), EINVAL);
    CHECK_ERR(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "c", 8), EINVAL);
    OK(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "c", 4 | 1));
    OK(unlink("b"));
    OK(unlink("c"));
}

static void whiteout_on_tmpfs(void)
{
    char dir[] = "/dev/shm/fsname.XXXXXX";
    CHECK(mkdtemp(dir));
    OK(chdir(dir));
    whiteout();
    OK(rmdir(dir));
}

static void nameless(void)
{
    char path[64];
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0)
        SKIP("no O_TMPFILE here");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_EQ(write(fd, "hi", 2), 2);
    OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    struct stat st;
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 1);
    OK(unlink("named"));
    close(fd);
    fd = OK(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_ERR(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), ENOENT);
    close(fd);
    fd = OK(open("gone", O_CREAT | O_RDWR, 0600));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    OK(unlink("gone"));
    CHECK_ERR(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), ENOENT);
    CHECK_ERR(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH), ENOENT);
    close(fd);
}

static void links_to_the_nameless(void)
{
    on_both(nameless);
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

static void with_knob(const char *name, const char *value, void (*fn)(void))
{
    char old[32];
    read_knob(name, old, sizeof(old));
    if (!knob(name, value))
        SKIP("cannot set fs.%s", name);
    pid_t pid = OK(fork());
    if (!pid) {
        fn();
        _exit(0);
    }
    int st = guest_wait(pid, __LINE__);
    knob(name, old);
    CHECK_EQ(st, 0);
}

static void symlinks_guarded(void)
{
    OK(mkdir("s", 0755));
    OK(chmod("s", 01777));
    write_file("target", "x", 1);
    OK(symlink("../target", "s/roots"));
    OK(symlink("../target", "s/theirs"));
    OK(lchown("s/theirs", 1000, 1000));
    OK(symlink(".", "s/dot"));
    OK(lchown("s/dot", 1000, 1000));
    OK(close(OK(open("s/roots", O_RDONLY))));
    CHECK_ERR(open("s/theirs", O_RDONLY), EACCES);
    OK(close(OK(open("s/dot/roots", O_RDONLY)))); /* in the middle of a path it may lead */
    IN_CHILD(become(1000); OK(close(OK(open("s/theirs", O_RDONLY))));
             OK(close(OK(open("s/roots", O_RDONLY)))));
    IN_CHILD(become(NOBODY); CHECK_ERR(open("s/theirs", O_RDONLY), EACCES));
    OK(chmod("s", 0777));
    OK(close(OK(open("s/theirs", O_RDONLY))));
}

static void protected_symlinks(void)
{
    with_knob("protected_symlinks", "1", symlinks_guarded);
}

static void hardlinks_guarded(void)
{
    OK(chmod(".", 0777));
    write_file("f", "x", 1);
    OK(chmod("f", 0644));
    IN_CHILD(become(NOBODY); CHECK_ERR(link("f", "g"), EPERM));
    OK(chmod("f", 0666));
    IN_CHILD(become(NOBODY); OK(link("f", "g")));
    OK(chmod("f", 04777));
    IN_CHILD(become(NOBODY); CHECK_ERR(link("f", "h"), EPERM));
    OK(mkfifo("p", 0666));
    OK(chmod("p", 0666));
    IN_CHILD(become(NOBODY); CHECK_ERR(link("p", "q"), EPERM));
}

static void hardlinks_free(void)
{
    OK(chmod(".", 0777));
    write_file("f2", "x", 1);
    OK(chmod("f2", 0600));
    IN_CHILD(become(NOBODY); OK(link("f2", "g2")));
}

static void protected_hardlinks(void)
{
    with_knob("protected_hardlinks", "1", hardlinks_guarded);
    with_knob("protected_hardlinks", "0", hardlinks_free);
}

static void regular_guarded(void)
{
    OK(mkdir("s", 0755));
    OK(chmod("s", 01777));
    write_file("s/f", "x", 1);
    OK(chown("s/f", 1000, 1000));
    OK(chmod("s/f", 0666));
    CHECK_ERR(open("s/f", O_CREAT | O_WRONLY, 0600), EACCES);
    OK(close(OK(open("s/f", O_WRONLY))));
    IN_CHILD(become(1000); OK(close(OK(open("s/f", O_CREAT | O_WRONLY, 0600)))));
}

static void protected_regular(void)
{
    with_knob("protected_regular", "1", regular_guarded);
}

static void fifos_guarded(void)
{
    OK(mkdir("s", 0755));
    OK(chmod("s", 01777));
    OK(mkfifo("s/p", 0666));
    OK(chown("s/p", 1000, 1000));
    OK(chmod("s/p", 0666));
    CHECK_ERR(open("s/p", O_CREAT | O_RDWR, 0600), EACCES);
    OK(close(OK(open("s/p", O_RDWR))));
}

static void protected_fifos(void)
{
    with_knob("protected_fifos", "1", fifos_guarded);
}

struct ustat_k {
    int tfree;
    unsigned long tinode;
    char fname[6], fpack[6];
};

static void ustat_sysfs(void)
{
    struct ustat_k u;
    struct stat st;
    OK(stat("/dev/shm", &st));
    OK(syscall(SYS_ustat, (unsigned)st.st_dev, &u));
    CHECK_ERR(syscall(SYS_ustat, (unsigned)st.st_dev, NULL), EFAULT);
    CHECK_ERR(syscall(SYS_ustat, 0xfffff, &u), EINVAL);
    char name[64];
    int n = OK(syscall(SYS_sysfs, 3));
    CHECK(n > 1);
    int i = OK(syscall(SYS_sysfs, 1, "proc"));
    CHECK(i >= 0 && i < n);
    OK(syscall(SYS_sysfs, 2, i, name));
    CHECK_STR(name, "proc");
    CHECK_ERR(syscall(SYS_sysfs, 2, n, name), EINVAL);
    CHECK_ERR(syscall(SYS_sysfs, 2, 0, NULL), EFAULT);
    CHECK_ERR(syscall(SYS_sysfs, 1, "nonsense"), EINVAL);
    CHECK_ERR(syscall(SYS_sysfs, 1, (void *)1), EFAULT);
    CHECK_ERR(syscall(SYS_sysfs, 4), EINVAL);
    CHECK_ERR(syscall(SYS_sysfs, 0), EINVAL);
}

static void quota_errors(void)
{
    char buf[256];
    write_file("f", "x", 1);
    CHECK_ERR(syscall(SYS_quotactl, QCMD(Q_GETQUOTA, 0), "f", 0, buf), ENOTBLK);
    CHECK_ERR(syscall(SYS_quotactl, QCMD(Q_GETQUOTA, 0), "missing", 0, buf), ENOENT);
    CHECK_ERR(syscall(SYS_quotactl, QCMD(Q_GETQUOTA, 7), "f", 0, buf), EINVAL);
    CHECK_ERR(syscall(SYS_quotactl, QCMD(Q_GETQUOTA, 0), NULL, 0, buf), ENODEV);
    CHECK_ERR(syscall(SYS_quotactl, QCMD(Q_GETQUOTA, 0), (void *)1, 0, buf), EFAULT);
    OK(syscall(SYS_quotactl, QCMD(Q_SYNC, 0), NULL, 0, NULL));
    int fd = OK(open("/dev/shm", O_RDONLY));
    CHECK_ERR(syscall(443, fd, QCMD(Q_GETQUOTA, 7), 0, buf), EINVAL);
    CHECK_ERR(syscall(443, -1, QCMD(Q_GETQUOTA, 0), 0, buf), EBADF);
}

struct xargs {
    uint64_t value;
    uint32_t size, flags;
};

static void xattr_at(void)
{
    char buf[64] = "";
    struct xargs a = {(uintptr_t) "val", 3, 0}, g = {(uintptr_t)buf, sizeof(buf), 0};
    OK(mkdir("d", 0755));
    write_file("d/f", "x", 1);
    int dir = OK(open("d", O_RDONLY | O_DIRECTORY)), fd = OK(open("d/f", O_RDONLY));
    if (syscall(463, dir, "f", 0, "user.a", &a, sizeof(a)) && errno == ENOSYS)
        SKIP("an older kernel");
    CHECK_EQ(OK(syscall(464, dir, "f", 0, "user.a", &g, sizeof(g))), 3);
    CHECK(!memcmp(buf, "val", 3));
    CHECK_EQ(OK(syscall(464, fd, "", AT_EMPTY_PATH, "user.a", &g, sizeof(g))), 3);
    CHECK_EQ(OK(syscall(464, fd, NULL, AT_EMPTY_PATH, "user.a", &g, sizeof(g))), 3);
    CHECK_EQ(OK(syscall(465, dir, "f", 0, buf, sizeof(buf))), 7);
    CHECK_STR(buf, "user.a");
    CHECK_ERR(syscall(464, dir, "f", 0x10000, "user.a", &g, sizeof(g)), EINVAL);
    CHECK_ERR(syscall(464, dir, "f", 0, "user.a", &g, 8), EINVAL);
    CHECK_ERR(syscall(464, dir, "f", 0, "user.a", &g, 8192), E2BIG);
    g.flags = 1;
    CHECK_ERR(syscall(464, dir, "f", 0, "user.a", &g, sizeof(g)), EINVAL);
    a.flags = XATTR_CREATE;
    CHECK_ERR(syscall(463, dir, "f", 0, "user.a", &a, sizeof(a)), EEXIST);
    OK(syscall(466, dir, "f", 0, "user.a"));
    CHECK_ERR(syscall(466, dir, "f", 0, "user.a"), ENODATA);
    CHECK_ERR(syscall(466, -1, "f", 0, "user.a"), EBADF);
}

static void xattr_errors(void)
{
    char big[70000] = "", name[300];
    write_file("f", "x", 1);
    memset(name, 'n', sizeof(name) - 1);
    memcpy(name, "user.", 5);
    name[299] = 0;
    CHECK_ERR(setxattr("f", name, "v", 1, 0), ERANGE);
    CHECK_ERR(getxattr("f", name, big, 1), ERANGE);
    CHECK_ERR(setxattr("f", "", "v", 1, 0), ERANGE);
    CHECK_ERR(setxattr("f", "user.", "v", 1, 0), EINVAL);
    CHECK_ERR(setxattr("f", "bogus.x", "v", 1, 0), EOPNOTSUPP);
    CHECK_ERR(setxattr("f", "user.a", "v", 1, 4), EINVAL);
    CHECK_ERR(setxattr("f", "user.a", big, 65537, 0), E2BIG);
    CHECK_ERR(setxattr("f", "user.a", "v", 1, XATTR_REPLACE), ENODATA);
    OK(setxattr("f", "user.a", "v", 1, XATTR_CREATE));
    CHECK_ERR(setxattr("f", "user.a", "v", 1, XATTR_CREATE), EEXIST);
    OK(setxattr("f", "user.a", "longer", 6, XATTR_REPLACE));
    CHECK_EQ(OK(getxattr("f", "user.a", NULL, 0)), 6);
    CHECK_ERR(getxattr("f", "user.a", big, 3), ERANGE);
    CHECK_ERR(getxattr("f", "user.b", big, 3), ENODATA);
    CHECK_EQ(OK(listxattr("f", NULL, 0)), 7);
    CHECK_ERR(listxattr("f", big, 3), ERANGE);
    CHECK_ERR(setxattr("f", "security.capability", "v", 1, 0), EINVAL);
    CHECK_ERR(setxattr("missing", "user.a", "v", 1, 0), ENOENT);
    CHECK_ERR(removexattr("f", "user.b"), ENODATA);
    CHECK_ERR(setxattr("f", "user.a", (void *)1, 5, 0), EFAULT);
    OK(setxattr("f", "user.e", NULL, 0, 0));
    CHECK_EQ(OK(getxattr("f", "user.e", big, 10)), 0);
    OK(mkfifo("p", 0600));
    CHECK_ERR(setxattr("p", "user.a", "v", 1, 0), EPERM);
    CHECK_ERR(getxattr("p", "user.a", big, 1), ENODATA);
    OK(symlink("f", "l"));
    CHECK_ERR(lsetxattr("l", "user.a", "v", 1, 0), EPERM);
    OK(lsetxattr("l", "trusted.a", "v", 1, 0));
    CHECK_EQ(OK(lgetxattr("l", "trusted.a", big, 10)), 1);
    int fd = OK(open("f", O_PATH));
    CHECK_ERR(fgetxattr(fd, "user.a", big, 10), EBADF);
    OK(chmod(".", 0777));
    IN_CHILD(become(NOBODY); CHECK_ERR(setxattr("f", "user.a", "v", 1, 0), EACCES);
             CHECK_ERR(setxattr("f", "trusted.a", "v", 1, 0), EPERM);
             CHECK_ERR(getxattr("f", "trusted.a", big, 10), ENODATA);
             CHECK_ERR(setxattr("f", "security.foo", "v", 1, 0), EPERM));
}

static void readlink_errors(void)
{
    char buf[16];
    write_file("f", "x", 1);
    OK(symlink("target", "l"));
    CHECK_ERR(readlink("", buf, sizeof(buf)), ENOENT);
    CHECK_ERR(readlink("f", buf, sizeof(buf)), EINVAL);
    CHECK_ERR(readlink(".", buf, sizeof(buf)), EINVAL);
    CHECK_ERR(syscall(SYS_readlink, "l", buf, 0), EINVAL);
    CHECK_ERR(syscall(SYS_readlink, "l", buf, -1), EINVAL);
    CHECK_ERR(syscall(SYS_readlink, "l", (void *)1, 8), EFAULT);
    CHECK_EQ(OK(readlink("l", buf, 3)), 3);
    int fd = OK(open("l", O_PATH | O_NOFOLLOW));
    CHECK_EQ(OK(readlinkat(fd, "", buf, sizeof(buf))), 6);
    fd = OK(open("f", O_RDONLY));
    CHECK_ERR(readlinkat(fd, "", buf, sizeof(buf)), ENOENT);
    CHECK_ERR(readlinkat(AT_FDCWD, "", buf, sizeof(buf)), ENOENT);
}

static void setid_rules(void)
{
    struct stat st;
    write_file("f", "x", 1);
    OK(chmod("f", 06755));
    OK(chown("f", -1, -1));
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 07777, 0755);
    OK(chmod("f", 02745)); /* no group execution */
    OK(chown("f", 1000, 1000));
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 07777, 02745);
    OK(chmod("f", 06777));
    IN_CHILD(become(NOBODY); CHECK_ERR(chown("f", -1, -1), EPERM);
             int fd = OK(open("f", O_WRONLY)); CHECK_EQ(write(fd, "y", 1), 1));
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 07777, 0777);
    OK(chmod("f", 06777));
    IN_CHILD(become(NOBODY); OK(truncate("f", 0)));
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 07777, 0777);
    OK(chmod("f", 0755));
    IN_CHILD(become(NOBODY); OK(chown("f", -1, -1)); CHECK_ERR(chown("f", 1, -1), EPERM));
    IN_CHILD(become(1000); OK(chown("f", 1000, 1000)); CHECK_ERR(chown("f", 1001, -1), EPERM);
             CHECK_ERR(chown("f", -1, 1001), EPERM); OK(chmod("f", 02777)));
}

static void times_errors(void)
{
    struct timespec bad[2] = {{0, 1000000000}, {0, 0}}, omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    struct timespec one[2] = {{5, 6}, {0, UTIME_OMIT}}, now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    struct stat st;
    write_file("f", "x", 1);
    CHECK_ERR(utimensat(AT_FDCWD, "f", bad, 0), EINVAL);
    CHECK_ERR(syscall(SYS_utimensat, AT_FDCWD, "missing", bad, 0), ENOENT);
    OK(utimensat(AT_FDCWD, "missing", omit, 0));
    CHECK_ERR(utimensat(AT_FDCWD, "f", one, 0x4000), EINVAL);
    OK(utimensat(AT_FDCWD, "f", one, 0));
    OK(stat("f", &st));
    CHECK(st.st_atim.tv_sec == 5 && st.st_atim.tv_nsec == 6 && st.st_mtim.tv_sec > 5);
    int fd = OK(open("f", O_PATH));
    CHECK_ERR(syscall(SYS_utimensat, fd, NULL, one, 0), EBADF);
    OK(syscall(SYS_utimensat, fd, "", one, AT_EMPTY_PATH));
    fd = OK(open("f", O_RDONLY));
    CHECK_ERR(syscall(SYS_utimensat, fd, NULL, one, AT_SYMLINK_NOFOLLOW), EINVAL);
    CHECK_ERR(syscall(SYS_utimensat, AT_FDCWD, NULL, one, 0), EFAULT);
    OK(chmod("f", 0666));
    IN_CHILD(become(NOBODY); OK(utimensat(AT_FDCWD, "f", NULL, 0)); OK(utimensat(AT_FDCWD, "f", now, 0));
             CHECK_ERR(utimensat(AT_FDCWD, "f", one, 0), EPERM));
    OK(chmod("f", 0644));
    IN_CHILD(become(NOBODY); CHECK_ERR(utimensat(AT_FDCWD, "f", NULL, 0), EACCES);
             CHECK_ERR(utimensat(AT_FDCWD, "f", now, 0), EACCES);
             CHECK_ERR(utimensat(AT_FDCWD, "f", one, 0), EPERM));
    OK(symlink("f", "l"));
    OK(utimensat(AT_FDCWD, "l", one, AT_SYMLINK_NOFOLLOW));
    OK(lstat("l", &st));
    CHECK_EQ(st.st_atim.tv_sec, 5);
}

/* What inotify tells of the end of files: name by name, mask by mask. */
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

static void inotify_of_endings(void)
{
    int in = OK(inotify_init1(IN_NONBLOCK));
    const unsigned m = IN_DELETE | IN_DELETE_SELF | IN_ATTRIB | IN_MOVE | IN_MOVE_SELF | IN_CREATE;
    OK(mkdir("d", 0755));
    write_file("d/f", "x", 1);
    write_file("d/g", "x", 1);
    write_file("d/h", "x", 1);
    CHECK_EQ(OK(inotify_add_watch(in, "d", m)), 1);
    CHECK_EQ(OK(inotify_add_watch(in, "d/f", m)), 2);
    CHECK_EQ(OK(inotify_add_watch(in, "d/g", m)), 3);
    int fd = OK(open("d/f", O_RDONLY));
    OK(unlink("d/f"));
    expect(in, "2:4 1:200:f ");
    OK(close(fd));
    expect(in, "2:400 2:8000 ");
    OK(rename("d/h", "d/g"));
    expect(in, "1:40:h 1:80:g 3:4 3:400 3:8000 ");
    OK(mkdir("d/s", 0755));
    expect(in, "1:40000100:s ");
    CHECK_EQ(OK(inotify_add_watch(in, "d/s", m)), 4);
    OK(rmdir("d/s"));
    expect(in, "4:400 4:8000 1:40000200:s ");
    OK(setxattr("d/g", "user.a", "b", 1, 0));
    expect(in, "1:4:g ");
    OK(removexattr("d/g", "user.a"));
    expect(in, "1:4:g ");
    OK(symlink("x", "d/l"));
    OK(link("d/g", "d/k"));
    expect(in, "1:100:l 1:100:k ");
    OK(unlink("d/k"));
    expect(in, "1:200:k ");
    CHECK_EQ(OK(inotify_add_watch(in, "d/l", m | IN_DONT_FOLLOW)), 5);
    OK(unlink("d/l"));
    expect(in, "5:4 5:400 5:8000 1:200:l ");
}

static void inotify_errors(void)
{
    char buf[8];
    int in = OK(inotify_init1(IN_NONBLOCK)), fd = OK(open(".", O_RDONLY));
    write_file("f", "x", 1);
    CHECK_ERR(inotify_init1(0x40), EINVAL);
    CHECK_ERR(inotify_add_watch(-1, ".", IN_ALL_EVENTS), EBADF);
    CHECK_ERR(inotify_add_watch(fd, ".", IN_ALL_EVENTS), EINVAL);
    CHECK_ERR(inotify_add_watch(fd, "missing", IN_ALL_EVENTS), EINVAL);
    CHECK_ERR(inotify_add_watch(in, ".", 0), EINVAL);
    CHECK_ERR(inotify_add_watch(in, "missing", IN_ACCESS), ENOENT);
    CHECK_ERR(inotify_add_watch(in, (void *)1, IN_ACCESS), EFAULT);
    CHECK_ERR(inotify_add_watch(in, "f", IN_ACCESS | IN_ONLYDIR), ENOTDIR);
    CHECK_ERR(inotify_add_watch(in, "f", IN_ACCESS | IN_MASK_ADD | 0x10000000), EINVAL);
    CHECK_ERR(inotify_rm_watch(in, 99), EINVAL);
    CHECK_ERR(inotify_rm_watch(fd, 1), EINVAL);
    CHECK_ERR(inotify_rm_watch(-1, 1), EBADF);
    CHECK_ERR(read(in, buf, sizeof(buf)), EAGAIN);
    OK(inotify_add_watch(in, "f", IN_OPEN));
    CHECK_ERR(inotify_add_watch(in, "f", IN_OPEN | 0x10000000 /* IN_MASK_CREATE */), EEXIST);
    OK(close(OK(open("f", O_RDONLY))));
    CHECK_ERR(read(in, buf, sizeof(buf)), EINVAL);
    OK(chmod("f", 0));
    IN_CHILD(become(NOBODY); CHECK_ERR(inotify_add_watch(in, "f", IN_OPEN), EACCES));
}

static void no_descriptor_no_file(void)
{
    struct rlimit_k {
        unsigned long cur, max;
    } rl = {4, 4};
    struct stat st;
    IN_CHILD(for (int i = 3; i < 64; i++) close(i); OK(syscall(SYS_setrlimit, 7, &rl));
             OK(open("/", O_RDONLY)); CHECK_ERR(open("new", O_CREAT | O_RDWR, 0600), EMFILE);
             CHECK_ERR(open("/", O_RDONLY), EMFILE));
    CHECK_ERR(stat("new", &st), ENOENT);
}

static void mknod_rules(void)
{
    struct stat st;
    CHECK_ERR(mknod("d", S_IFDIR | 0700, 0), EPERM);
    CHECK_ERR(mknod("x", 0xf000 | 0700, 0), EINVAL);
    OK(mknod("f", 0600, 0));
    OK(stat("f", &st));
    CHECK(S_ISREG(st.st_mode));
    CHECK_ERR(mknod("f", S_IFIFO | 0600, 0), EEXIST);
    OK(mknod("s", S_IFSOCK | 0600, 0));
    CHECK_ERR(open("s", O_RDWR), ENXIO);
    OK(mknod("c", S_IFCHR | 0666, makedev(1, 3)));
    OK(stat("c", &st));
    CHECK_EQ(st.st_rdev, makedev(1, 3));
    OK(mknod("b", S_IFBLK | 0666, makedev(240, 7)));
    CHECK_ERR(open("b", O_RDONLY), ENXIO);
    OK(chmod(".", 0777));
    IN_CHILD(become(NOBODY); CHECK_ERR(mknod("c2", S_IFCHR | 0666, makedev(1, 3)), EPERM);
             CHECK_ERR(mknod("c", S_IFCHR | 0666, makedev(1, 3)), EEXIST);
             OK(mknod("w", S_IFCHR, 0)); OK(mkfifo("p", 0600)));
    CHECK_ERR(mknod("missing/x", S_IFREG | 0600, 0), ENOENT);
    CHECK_ERR(mknod("f/x", S_IFREG | 0600, 0), ENOTDIR);
    CHECK_ERR(mknod("n/", S_IFREG | 0600, 0), ENOENT);
}

static void mount_flags(void)
{
    OK(mkdir("m", 0755));
    if (mount("none", "m", "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "size=64k,mode=0777"))
        SKIP("may not mount");
    OK(mknod("m/null", S_IFCHR | 0666, makedev(1, 3)));
    CHECK_ERR(open("m/null", O_RDWR), EACCES);
    write_file("m/x", "#!/bin/sh\n", 10);
    OK(chmod("m/x", 0755));
    CHECK_ERR(execl("m/x", "x", NULL), EACCES);
    CHECK_ERR(access("m/x", X_OK), EACCES);
    int fd = OK(open("m/big", O_CREAT | O_RDWR, 0600));
    char buf[65536] = "";
    ssize_t n = write(fd, buf, sizeof(buf));
    CHECK(n > 0 && n < (ssize_t)sizeof(buf));
    CHECK_ERR(write(fd, buf, sizeof(buf)), ENOSPC);
    CHECK_ERR(posix_fallocate(fd, 0, 1 << 20) ? (errno = ENOSPC, -1) : 0, ENOSPC);
    close(fd);
    struct statfs sf;
    OK(statfs("m", &sf));
    CHECK_EQ(sf.f_type, 0x01021994);
    CHECK_EQ(sf.f_blocks, 16);
    CHECK((sf.f_flags & 0xe) == 0xe);
    OK(mount("none", "m", NULL, MS_REMOUNT | MS_RDONLY, NULL));
    CHECK_ERR(open("m/x", O_WRONLY), EROFS);
    CHECK_ERR(open("m/y", O_CREAT | O_WRONLY, 0600), EROFS);
    CHECK_ERR(mkdir("m/d", 0700), EROFS);
    CHECK_ERR(mkdir("m/x", 0700), EEXIST);
    CHECK_ERR(unlink("m/x"), EROFS);
    CHECK_ERR(rename("m/x", "m/y"), EROFS);
    CHECK_ERR(chmod("m/x", 0700), EROFS);
    CHECK_ERR(utimes("m/x", NULL), EROFS);
    CHECK_ERR(truncate("m/x", 0), EROFS);
    CHECK_ERR(link("m/x", "m/y"), EROFS);
    CHECK_ERR(symlink("x", "m/y"), EROFS);
    CHECK_ERR(setxattr("m/x", "user.a", "b", 1, 0), EROFS);
    CHECK_ERR(access("m/x", W_OK), EROFS);
    OK(close(OK(open("m/x", O_RDONLY))));
    CHECK_ERR(link("m/x", "out"), EXDEV);
    CHECK_ERR(rename("m/x", "out"), EXDEV);
    CHECK_ERR(rmdir("m"), EBUSY);
    OK(umount("m"));
}

GUEST_MAIN(C(immutable_flag), C(append_flag), C(flags_by_others), C(whiteout), C(whiteout_on_tmpfs),
           C(links_to_the_nameless), C(protected_symlinks), C(protected_hardlinks),
           C(protected_regular), C(protected_fifos), C(ustat_sysfs), C(quota_errors), C(xattr_at),
           C(xattr_errors), C(readlink_errors), C(setid_rules), C(times_errors),
           C(inotify_of_endings), C(inotify_errors), C(no_descriptor_no_file), C(mknod_rules),
           C(mount_flags))
