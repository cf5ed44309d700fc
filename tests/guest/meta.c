/* What describes a file: stat, statx, chmod, chown, access, times, statfs, extended attributes. */
#include "guest.h"
#include <linux/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static void stat_fields(void)
{
    struct stat st;
    write_file("f", "12345", 5);
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0644);
    CHECK_EQ(st.st_size, 5);
    CHECK_EQ(st.st_nlink, 1);
    CHECK(st.st_blksize >= 512);
    CHECK(st.st_ino != 0);
    CHECK(st.st_mtime > 1700000000);
    OK(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
    CHECK(S_ISDIR(st.st_mode));
    CHECK_ERR(fstatat(AT_FDCWD, "", &st, 0), ENOENT);
    CHECK_ERR(fstatat(AT_FDCWD, "f", &st, 0x80000), EINVAL);
    CHECK_ERR(stat("f", (void *)8), EFAULT);
    OK(stat("/dev/null", &st));
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, makedev(1, 3));
}

static void statx_fields(void)
{
    struct statx x;
    write_file("f", "12345", 5);
    OK(syscall(SYS_statx, AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
    CHECK_EQ(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    CHECK_EQ(x.stx_size, 5);
    CHECK_EQ(x.stx_mode, S_IFREG | 0644);
    int fd = OK(open("f", O_RDONLY));
    OK(syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_ALL, &x));
    CHECK_EQ(x.stx_nlink, 1);
    CHECK_ERR(syscall(SYS_statx, AT_FDCWD, "f", 0, 0x80000000u, &x), EINVAL);
    CHECK_ERR(syscall(SYS_statx, AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_ALL, &x), EINVAL);
    CHECK_ERR(syscall(SYS_statx, AT_FDCWD, "nothing", 0, STATX_ALL, &x), ENOENT);
    close(fd);
}

static void chmod_works(void)
{
    struct stat st;
    write_file("f", "", 0);
    OK(chmod("f", 0751));
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 07777, 0751);
    int fd = OK(open("f", O_RDONLY));
    OK(fchmod(fd, 04711));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode & 07777, 04711);
    close(fd);
    OK(symlink("f", "l"));
    OK(fchmodat(AT_FDCWD, "l", 0600, 0));
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 07777, 0600);
    CHECK_ERR(chmod("nothing", 0600), ENOENT);
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_ERR(chmod("f", 0777), EPERM);
    });
}

static void chown_works(void)
{
    struct stat st;
    write_file("f", "", 0);
    OK(chmod("f", 06755));
    OK(chown("f", 1234, 2345));
    OK(stat("f", &st));
    CHECK_EQ(st.st_uid, 1234);
    CHECK_EQ(st.st_gid, 2345);
    CHECK_EQ(st.st_mode & 06000, 0); /* dropped */
    OK(chown("f", -1, 77));
    OK(stat("f", &st));
    CHECK_EQ(st.st_uid, 1234);
    CHECK_EQ(st.st_gid, 77);
    OK(symlink("f", "l"));
    OK(lchown("l", 5, 6));
    OK(lstat("l", &st));
    CHECK_EQ(st.st_uid, 5);
    OK(stat("f", &st));
    CHECK_EQ(st.st_uid, 1234);
    IN_CHILD({
        OK(setresuid(1234, 1234, 1234));
        CHECK_ERR(chown("f", 1, -1), EPERM);
        CHECK_ERR(chown("f", -1, 5555), EPERM);
    });
}

static void access_uses_the_real_uid(void)
{
    write_file("f", "", 0);
    OK(chmod("f", 0600));
    OK(access("f", R_OK | W_OK));
    CHECK_ERR(access("f", X_OK), EACCES); /* even root: no x bit at all */
    CHECK_ERR(access("nothing", F_OK), ENOENT);
    CHECK_ERR(access("f", 99), EINVAL);
    IN_CHILD({
        OK(setresuid(65534, 0, 0));
        CHECK_ERR(access("f", R_OK), EACCES);
        OK(syscall(439 /* faccessat2 */, AT_FDCWD, "f", R_OK, AT_EACCESS));
    });
    OK(symlink("nothing", "l"));
    OK(syscall(439, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
    CHECK_ERR(syscall(439, AT_FDCWD, "l", F_OK, 0x4), EINVAL);
}

static void times(void)
{
    struct stat st, after;
    write_file("f", "", 0);
    struct timespec ts[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
    OK(utimensat(AT_FDCWD, "f", ts, 0));
    OK(stat("f", &st));
    CHECK_EQ(st.st_atim.tv_sec, 1000000000);
    CHECK_EQ(st.st_atim.tv_nsec, 123456789);
    CHECK_EQ(st.st_mtim.tv_sec, 1100000000);
    CHECK_EQ(st.st_mtim.tv_nsec, 987654321);
    ts[0].tv_nsec = UTIME_OMIT, ts[1].tv_nsec = UTIME_NOW;
    OK(utimensat(AT_FDCWD, "f", ts, 0));
    OK(stat("f", &after));
    CHECK_EQ(after.st_atim.tv_sec, 1000000000);
    CHECK(after.st_mtim.tv_sec > 1700000000);
    ts[0].tv_nsec = 1000000000;
    CHECK_ERR(utimensat(AT_FDCWD, "f", ts, 0), EINVAL);
    OK(symlink("f", "l"));
    ts[0] = ts[1] = (struct timespec){5, 6};
    OK(utimensat(AT_FDCWD, "l", ts, AT_SYMLINK_NOFOLLOW));
    OK(lstat("l", &st));
    CHECK_EQ(st.st_mtim.tv_sec, 5);
    int fd = OK(open("f", O_RDONLY));
    OK(futimens(fd, NULL));
    close(fd);
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_ERR(utimensat(AT_FDCWD, "f", ts, 0), EPERM);
        CHECK_ERR(utimensat(AT_FDCWD, "f", NULL, 0), EACCES);
    });
}

static void writing_moves_mtime(void)
{
    struct stat a, b;
    write_file("f", "", 0);
    struct timespec ts[2] = {{1000, 0}, {1000, 0}};
    OK(utimensat(AT_FDCWD, "f", ts, 0));
    OK(stat("f", &a));
    int fd = OK(open("f", O_WRONLY));
    OK(stat("f", &b));
    CHECK_EQ(b.st_mtim.tv_sec, 1000); /* opening alone does not */
    OK(write(fd, "x", 1));
    OK(stat("f", &b));
    CHECK(b.st_mtim.tv_sec > 1000);
    CHECK(b.st_ctim.tv_sec >= a.st_ctim.tv_sec);
    close(fd);
    OK(mkdir("d", 0755));
    OK(utimensat(AT_FDCWD, "d", ts, 0));
    write_file("d/x", "", 0);
    OK(stat("d", &b));
    CHECK(b.st_mtim.tv_sec > 1000);
}

static void statfs_fields(void)
{
    struct statfs s;
    OK(statfs(".", &s));
    CHECK(s.f_bsize >= 512 && s.f_blocks > 0);
    CHECK_EQ(s.f_namelen, 255);
    OK(statfs("/proc", &s));
    CHECK_EQ(s.f_type, 0x9fa0);
    int fd = OK(open("/dev/shm", O_RDONLY));
    OK(fstatfs(fd, &s));
    CHECK_EQ(s.f_type, 0x01021994);
    close(fd);
    CHECK_ERR(statfs("nothing", &s), ENOENT);
}

static void xattrs(void)
{
    char buf[256];
    write_file("f", "", 0);
    if (setxattr("f", "user.a", "value", 5, 0) && errno == EOPNOTSUPP)
        SKIP("this filesystem has no user attributes");
    CHECK_EQ(getxattr("f", "user.a", buf, sizeof(buf)), 5);
    CHECK(!memcmp(buf, "value", 5));
    CHECK_EQ(getxattr("f", "user.a", NULL, 0), 5);
    CHECK_ERR(getxattr("f", "user.a", buf, 2), ERANGE);
    CHECK_ERR(getxattr("f", "user.none", buf, 2), ENODATA);
    CHECK_ERR(setxattr("f", "user.a", "x", 1, XATTR_CREATE), EEXIST);
    CHECK_ERR(setxattr("f", "user.b", "x", 1, XATTR_REPLACE), ENODATA);
    CHECK_ERR(setxattr("f", "nonsense", "x", 1, 0), EOPNOTSUPP);
    CHECK_ERR(setxattr("f", "user.", "x", 1, 0), EINVAL);
    OK(setxattr("f", "user.b", "", 0, 0));
    CHECK_EQ(listxattr("f", NULL, 0), 14);
    CHECK_EQ(listxattr("f", buf, sizeof(buf)), 14);
    CHECK(memmem(buf, 14, "user.b", 7));
    CHECK_ERR(listxattr("f", buf, 3), ERANGE);
    OK(removexattr("f", "user.a"));
    CHECK_ERR(removexattr("f", "user.a"), ENODATA);
    int fd = OK(open("f", O_RDONLY));
    CHECK_EQ(fgetxattr(fd, "user.b", buf, 10), 0);
    close(fd);
    OK(symlink("f", "l"));
    CHECK_ERR(lsetxattr("l", "user.x", "y", 1, 0), EPERM);
}

static void umask_value(void)
{
    CHECK_EQ(umask(0777), 022);
    CHECK_EQ(umask(07022), 0777);
    CHECK_EQ(umask(022), 022); /* only nine bits are kept */
}

static void inode_is_stable(void)
{
    struct stat a, b;
    write_file("f", "", 0);
    OK(stat("f", &a));
    OK(rename("f", "g"));
    OK(stat("g", &b));
    CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    OK(stat("/etc/passwd", &a));
    OK(stat("/etc/../etc/passwd", &b));
    CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    OK(stat("/etc/group", &b));
    CHECK(a.st_ino != b.st_ino);
}

GUEST_MAIN(C(stat_fields), C(statx_fields), C(chmod_works), C(chown_works), C(access_uses_the_real_uid), C(times),
           C(writing_moves_mtime), C(statfs_fields), C(xattrs), C(umask_value), C(inode_is_stable))
