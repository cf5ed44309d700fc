/* open(2), openat, openat2, creat: flags and errors. */
#include "guest.h"
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static void create_and_excl(void)
{
    int fd = OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0640));
    struct stat st;
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0640);
    CHECK_EQ(st.st_size, 0);
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(st.st_uid, geteuid());
    close(fd);
    CHECK_ERR(open("f", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    OK(symlink("dangling-target", "l"));
    CHECK_ERR(open("l", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    fd = OK(open("l", O_RDWR | O_CREAT, 0600)); /* makes the target */
    close(fd);
    OK(access("dangling-target", F_OK));
}

static void umask_applies(void)
{
    umask(027);
    int fd = OK(open("f", O_RDWR | O_CREAT, 0666));
    struct stat st;
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode & 07777, 0640);
    close(fd);
    OK(mkdir("d", 0777));
    OK(stat("d", &st));
    CHECK_EQ(st.st_mode & 07777, 0750);
}

static void created_readonly_is_writable_now(void)
{
    int fd = OK(open("f", O_RDWR | O_CREAT, 0400));
    CHECK_EQ(write(fd, "x", 1), 1);
    close(fd);
}

static void truncates(void)
{
    write_file("f", "12345", 5);
    int fd = OK(open("f", O_WRONLY | O_TRUNC));
    struct stat st;
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 0);
    close(fd);
}

static void directory_flag(void)
{
    write_file("f", "", 0);
    CHECK_ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    OK(mkdir("d", 0755));
    int fd = OK(open("d", O_RDONLY | O_DIRECTORY));
    char c;
    CHECK_ERR(read(fd, &c, 1), EISDIR);
    CHECK_ERR(write(fd, &c, 1), EBADF);
    close(fd);
    CHECK_ERR(open("d", O_WRONLY), EISDIR);
    CHECK_ERR(open("d", O_RDWR), EISDIR);
    CHECK_ERR(open("d", O_RDONLY | O_CREAT, 0644), EISDIR);
    CHECK_ERR(open("new/", O_RDWR | O_CREAT, 0644), EISDIR);
    CHECK_ERR(open("f/", O_RDONLY), ENOTDIR);
}

static void nofollow(void)
{
    write_file("f", "", 0);
    OK(symlink("f", "l"));
    CHECK_ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    int fd = OK(open("l", O_PATH | O_NOFOLLOW));
    struct stat st;
    OK(fstat(fd, &st));
    CHECK(S_ISLNK(st.st_mode));
    char buf[8] = "";
    CHECK_EQ(readlinkat(fd, "", buf, 8), 1);
    close(fd);
    CHECK_ERR(open("l", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
}

static void path_errors(void)
{
    char name[300], path[5000];
    CHECK_ERR(open("nothing", O_RDONLY), ENOENT);
    CHECK_ERR(open("", O_RDONLY), ENOENT);
    CHECK_ERR(open("no/such", O_RDWR | O_CREAT, 0644), ENOENT);
    write_file("f", "", 0);
    CHECK_ERR(open("f/x", O_RDONLY), ENOTDIR);
    memset(name, 'a', 299), name[299] = 0;
    CHECK_ERR(open(name, O_RDONLY), ENAMETOOLONG);
    name[255] = 0;
    close(OK(open(name, O_RDWR | O_CREAT, 0644)));
    memset(path, '/', 4999), path[4999] = 0;
    CHECK_ERR(open(path, O_RDONLY), ENAMETOOLONG);
    path[4095] = 0;
    close(OK(open(path, O_RDONLY)));
    CHECK_ERR(open((char *)8, O_RDONLY), EFAULT);
    OK(symlink("b", "a"));
    OK(symlink("a", "b"));
    CHECK_ERR(open("a", O_RDONLY), ELOOP);
    CHECK_ERR(open("a/x", O_RDONLY), ELOOP);
}

static void forty_links(void)
{
    char from[16], to[16];
    write_file("l0", "", 0);
    for (int i = 1; i <= 41; i++) {
        snprintf(from, sizeof(from), "l%d", i);
        snprintf(to, sizeof(to), "l%d", i - 1);
        OK(symlink(to, from));
    }
    close(OK(open("l40", O_RDONLY)));
    CHECK_ERR(open("l41", O_RDONLY), ELOOP);
}

static void o_path(void)
{
    write_file("f", "data", 4);
    int fd = OK(open("f", O_PATH));
    char c;
    CHECK_ERR(read(fd, &c, 1), EBADF);
    CHECK_ERR(write(fd, &c, 1), EBADF);
    CHECK_ERR(fchmod(fd, 0600), EBADF);
    CHECK_ERR(ftruncate(fd, 0), EBADF);
    CHECK_ERR(lseek(fd, 0, SEEK_SET), EBADF);
    struct stat st;
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 4);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = OK(open(path, O_RDONLY));
    CHECK_EQ(read(again, &c, 1), 1);
    close(again), close(fd);
    int dir = OK(open(".", O_PATH | O_DIRECTORY));
    close(OK(openat(dir, "f", O_RDONLY)));
    OK(fchdir(dir));
    close(dir);
}

static void at_descriptors(void)
{
    OK(mkdir("d", 0755));
    int d = OK(open("d", O_RDONLY | O_DIRECTORY));
    close(OK(openat(d, "x", O_RDWR | O_CREAT, 0644)));
    OK(access("d/x", F_OK));
    int f = OK(open("d/x", O_RDONLY));
    CHECK_ERR(openat(f, "y", O_RDONLY), ENOTDIR);
    CHECK_ERR(openat(999, "y", O_RDONLY), EBADF);
    close(OK(openat(999, "/dev/null", O_RDONLY))); /* absolute: the descriptor is not looked at */
    CHECK_ERR(openat(d, "", O_RDONLY), ENOENT);
    OK(rename("d", "moved"));
    close(OK(openat(d, "x", O_RDONLY)));
    close(f), close(d);
}

static void tmpfile_flag(void)
{
    int fd = open(".", O_RDWR | O_TMPFILE, 0600);
    if (fd < 0 && errno == EOPNOTSUPP)
        SKIP("this filesystem has no O_TMPFILE");
    CHECK(fd >= 0);
    struct stat st;
    OK(write(fd, "abc", 3));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 0);
    char path[64], buf[8];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    read_file("named", buf, sizeof(buf));
    CHECK_STR(buf, "abc");
    close(fd);
    CHECK_ERR(open(".", O_RDONLY | O_TMPFILE, 0600), EINVAL);
}

static void permission_checks(void)
{
    write_file("f", "x", 1);
    OK(chmod("f", 0600));
    OK(mkdir("d", 0700));
    write_file("d/g", "x", 1);
    OK(mkdir("x", 0711));
    write_file("x/h", "y", 1);
    OK(chmod("x/h", 0644));
    IN_CHILD({
        OK(setresgid(65534, 65534, 65534));
        OK(setresuid(65534, 65534, 65534));
        CHECK_ERR(open("f", O_RDONLY), EACCES);
        CHECK_ERR(open("f", O_WRONLY), EACCES);
        CHECK_ERR(open("d/g", O_RDONLY), EACCES);
        CHECK_ERR(open("d", O_RDONLY), EACCES);
        CHECK_ERR(open("x", O_RDONLY), EACCES);
        close(OK(open("x/h", O_RDONLY)));
        CHECK_ERR(open("x/h", O_WRONLY), EACCES);
        CHECK_ERR(open("new", O_RDWR | O_CREAT, 0644), EACCES);
        CHECK_ERR(unlink("x/h"), EACCES);
        CHECK_ERR(access("f", R_OK), EACCES);
        close(OK(open("f", O_PATH)));
    });
    OK(chmod("f", 0));
    close(OK(open("f", O_RDWR))); /* root passes */
}

static void group_permission(void)
{
    write_file("f", "x", 1);
    OK(chown("f", 0, 4321));
    OK(chmod("f", 0040));
    IN_CHILD({
        gid_t g = 4321;
        OK(syscall(SYS_setgroups, 1, &g));
        OK(setresgid(65534, 65534, 65534));
        OK(setresuid(65534, 65534, 65534));
        close(OK(open("f", O_RDONLY)));
        CHECK_ERR(open("f", O_WRONLY), EACCES);
    });
}

static long openat2(int dir, const char *path, struct open_how *how, size_t size)
{
    return syscall(SYS_openat2, dir, path, how, size);
}

static void openat2_resolve(void)
{
    OK(mkdir("d", 0755));
    OK(mkdir("d/sub", 0755));
    write_file("out", "", 0);
    write_file("d/in", "", 0);
    OK(symlink("../out", "d/escape"));
    OK(symlink("/dev/null", "d/abs"));
    OK(symlink("in", "d/rel"));
    OK(symlink("/in", "d/rooted"));
    int d = OK(open("d", O_RDONLY | O_DIRECTORY));
    struct open_how h = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    close(OK(openat2(d, "in", &h, sizeof(h))));
    close(OK(openat2(d, "rel", &h, sizeof(h))));
    close(OK(openat2(d, "sub/../in", &h, sizeof(h))));
    CHECK_ERR(openat2(d, "../out", &h, sizeof(h)), EXDEV);
    CHECK_ERR(openat2(d, "escape", &h, sizeof(h)), EXDEV);
    CHECK_ERR(openat2(d, "abs", &h, sizeof(h)), EXDEV);
    CHECK_ERR(openat2(d, "/dev/null", &h, sizeof(h)), EXDEV);
    h.resolve = RESOLVE_IN_ROOT;
    close(OK(openat2(d, "rooted", &h, sizeof(h))));
    close(OK(openat2(d, "../../../in", &h, sizeof(h))));
    CHECK_ERR(openat2(d, "escape", &h, sizeof(h)), ENOENT);
    h.resolve = RESOLVE_NO_SYMLINKS;
    CHECK_ERR(openat2(d, "rel", &h, sizeof(h)), ELOOP);
    h.resolve = RESOLVE_NO_MAGICLINKS;
    CHECK_ERR(openat2(d, "/proc/self/fd/0", &h, sizeof(h)), ELOOP);
    h.resolve = RESOLVE_NO_XDEV;
    CHECK_ERR(openat2(d, "/proc/version", &h, sizeof(h)), EXDEV);
    close(d);
}

static void openat2_errors(void)
{
    struct {
        struct open_how h;
        uint64_t more;
    } big = {.more = 1};
    struct open_how h = {.flags = O_RDONLY, .resolve = 0x8000};
    CHECK_ERR(openat2(AT_FDCWD, ".", &h, sizeof(h)), EINVAL);
    h.resolve = 0, h.flags = 1ull << 40;
    CHECK_ERR(openat2(AT_FDCWD, ".", &h, sizeof(h)), EINVAL);
    h.flags = O_RDONLY, h.mode = 0644;
    CHECK_ERR(openat2(AT_FDCWD, ".", &h, sizeof(h)), EINVAL);
    CHECK_ERR(openat2(AT_FDCWD, ".", &big.h, sizeof(big)), E2BIG);
    CHECK_ERR(openat2(AT_FDCWD, ".", &h, 8), EINVAL);
    CHECK_ERR(openat2(AT_FDCWD, ".", (void *)8, sizeof(h)), EFAULT);
}

static void special_files(void)
{
    OK(mknod("p", S_IFIFO | 0600, 0));
    OK(mknod("r", S_IFREG | 0600, 0));
    struct stat st;
    OK(stat("p", &st));
    CHECK(S_ISFIFO(st.st_mode));
    OK(stat("r", &st));
    CHECK(S_ISREG(st.st_mode));
    CHECK_ERR(mknod("r", S_IFREG | 0600, 0), EEXIST);
    CHECK_ERR(mknod("d", S_IFDIR | 0600, 0), EPERM);
    OK(mknod("s", S_IFSOCK | 0600, 0));
    CHECK_ERR(open("s", O_RDONLY), ENXIO);
}

static void cwd_can_vanish(void)
{
    char buf[4096];
    OK(mkdir("d", 0755));
    OK(chdir("d"));
    OK(rmdir("../d"));
    CHECK_ERR(syscall(SYS_getcwd, buf, sizeof(buf)), ENOENT);
    CHECK_ERR(open("x", O_RDWR | O_CREAT, 0644), ENOENT);
    close(OK(open(".", O_RDONLY)));
    OK(chdir(g_dir));
    CHECK_ERR(syscall(SYS_getcwd, buf, 2), ERANGE);
    CHECK(getcwd(buf, sizeof(buf)));
    CHECK_STR(buf, g_dir);
}

static void trailing_slashes_and_dots(void)
{
    OK(mkdir("d", 0755));
    write_file("d/f", "x", 1);
    close(OK(open("d/./f", O_RDONLY)));
    close(OK(open("d/../d//f", O_RDONLY)));
    close(OK(open("./././d///f", O_RDONLY)));
    close(OK(open("/../../..", O_RDONLY)));
    CHECK_ERR(open("nothing/../d/f", O_RDONLY), ENOENT);
    CHECK_ERR(open("d/f/../f", O_RDONLY), ENOTDIR);
    CHECK_ERR(open("d/f/.", O_RDONLY), ENOTDIR);
    OK(symlink("d", "l"));
    close(OK(open("l/f", O_RDONLY)));
    close(OK(open("l/", O_RDONLY | O_NOFOLLOW))); /* the slash follows it */
}

GUEST_MAIN(C(create_and_excl), C(umask_applies), C(created_readonly_is_writable_now), C(truncates), C(directory_flag),
           C(nofollow), C(path_errors), C(forty_links), C(o_path), C(at_descriptors), C(tmpfile_flag),
           C(permission_checks), C(group_permission), C(openat2_resolve), C(openat2_errors), C(special_files),
           C(cwd_can_vanish), C(trailing_slashes_and_dots))
