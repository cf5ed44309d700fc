/* Directories and names: mkdir, rmdir, getdents64, link, symlink, rename, renameat2, unlink. */
#include "guest.h"
#include <dirent.h>
#include <limits.h>
#include <sys/vfs.h>

static void mkdir_errors(void)
{
    OK(mkdir("d", 0755));
    CHECK_ERR(mkdir("d", 0755), EEXIST);
    CHECK_ERR(mkdir("d/.", 0755), EEXIST);
    CHECK_ERR(mkdir("d/..", 0755), EEXIST);
    CHECK_ERR(mkdir("/", 0755), EEXIST);
    CHECK_ERR(mkdir("no/d", 0755), ENOENT);
    CHECK_ERR(mkdir("", 0755), ENOENT);
    write_file("f", "", 0);
    CHECK_ERR(mkdir("f", 0755), EEXIST);
    CHECK_ERR(mkdir("f/d", 0755), ENOTDIR);
    OK(symlink("nothing", "l"));
    CHECK_ERR(mkdir("l", 0755), EEXIST);
    OK(mkdir("slash/", 0755));
    OK(mkdirat(AT_FDCWD, "d/e", 01777));
    struct stat st;
    OK(stat("d/e", &st));
    CHECK_EQ(st.st_mode & 07777, 01755);
}

static void rmdir_errors(void)
{
    OK(mkdir("d", 0755));
    write_file("d/f", "", 0);
    CHECK_ERR(rmdir("d"), ENOTEMPTY);
    CHECK_ERR(rmdir("d/f"), ENOTDIR);
    CHECK_ERR(rmdir("d/."), EINVAL);
    CHECK_ERR(rmdir("d/.."), ENOTEMPTY);
    CHECK_ERR(rmdir("nothing"), ENOENT);
    CHECK_ERR(rmdir("/"), EBUSY);
    OK(unlink("d/f"));
    OK(symlink("d", "l"));
    CHECK_ERR(rmdir("l"), ENOTDIR);
    OK(rmdir("d/"));
}

static void unlink_errors(void)
{
    OK(mkdir("d", 0755));
    CHECK_ERR(unlink("d"), EISDIR);
    CHECK_ERR(unlink("nothing"), ENOENT);
    CHECK_ERR(unlinkat(AT_FDCWD, "d", 0x1000), EINVAL);
    OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
    write_file("f", "", 0);
    CHECK_ERR(unlink("f/"), ENOTDIR);
    CHECK_ERR(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
    OK(symlink("f", "l"));
    OK(unlink("l"));
    OK(access("f", F_OK));
}

static void link_counts(void)
{
    struct stat st;
    OK(stat(".", &st));
    int base = st.st_nlink;
    OK(mkdir("d", 0755));
    OK(stat(".", &st));
    CHECK_EQ(st.st_nlink, base + 1);
    OK(stat("d", &st));
    CHECK_EQ(st.st_nlink, 2);
    OK(rmdir("d"));
    OK(stat(".", &st));
    CHECK_EQ(st.st_nlink, base);
}

static void hard_links(void)
{
    struct stat a, b;
    write_file("a", "x", 1);
    OK(link("a", "b"));
    OK(stat("a", &a));
    OK(stat("b", &b));
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(a.st_nlink, 2);
    write_file("b", "yz", 2);
    OK(stat("a", &a));
    CHECK_EQ(a.st_size, 2);
    OK(unlink("a"));
    OK(stat("b", &b));
    CHECK_EQ(b.st_nlink, 1);
    CHECK_ERR(link("b", "b"), EEXIST);
    CHECK_ERR(link("nothing", "c"), ENOENT);
    OK(mkdir("d", 0755));
    CHECK_ERR(link("d", "e"), EPERM);
    OK(symlink("b", "s"));
    OK(link("s", "s2")); /* of the symlink itself */
    OK(lstat("s2", &b));
    CHECK(S_ISLNK(b.st_mode));
    OK(linkat(AT_FDCWD, "s", AT_FDCWD, "s3", AT_SYMLINK_FOLLOW));
    OK(lstat("s3", &b));
    CHECK(S_ISREG(b.st_mode));
    CHECK_ERR(link("b", "/dev/shm/x"), EXDEV);
}

static void symlinks(void)
{
    char buf[64];
    OK(symlink("target", "l"));
    memset(buf, '#', sizeof(buf));
    CHECK_EQ(readlink("l", buf, sizeof(buf)), 6);
    CHECK_EQ(buf[6], '#'); /* no zero byte is added */
    CHECK_EQ(readlink("l", buf, 3), 3);
    CHECK_ERR(readlink("l", buf, 0), EINVAL);
    CHECK_ERR(symlink("x", "l"), EEXIST);
    CHECK_ERR(symlink("", "m"), ENOENT);
    write_file("f", "", 0);
    CHECK_ERR(readlink("f", buf, 10), EINVAL);
    CHECK_ERR(readlink("nothing", buf, 10), ENOENT);
    struct stat st;
    OK(lstat("l", &st));
    CHECK_EQ(st.st_size, 6);
    CHECK_EQ(st.st_mode, S_IFLNK | 0777);
    CHECK_ERR(stat("l", &st), ENOENT);
}

static void rename_basics(void)
{
    char buf[8];
    write_file("a", "A", 1);
    write_file("b", "B", 1);
    OK(rename("a", "b"));
    read_file("b", buf, 8);
    CHECK_STR(buf, "A");
    CHECK_ERR(access("a", F_OK), ENOENT);
    CHECK_ERR(rename("nothing", "c"), ENOENT);
    OK(rename("b", "b"));
    OK(mkdir("d", 0755));
    OK(mkdir("e", 0755));
    CHECK_ERR(rename("b", "d"), EISDIR);
    CHECK_ERR(rename("d", "b"), ENOTDIR);
    OK(rename("d", "e")); /* over an empty directory */
    OK(mkdir("d", 0755));
    write_file("e/x", "", 0);
    CHECK_ERR(rename("d", "e"), ENOTEMPTY);
    CHECK_ERR(rename("e", "e/sub"), EINVAL);
    CHECK_ERR(rename("e/.", "f"), EBUSY);
    CHECK_ERR(rename("b", "b/x"), ENOTDIR);
    OK(link("b", "c"));
    OK(rename("b", "c")); /* the same file: nothing happens */
    OK(access("b", F_OK));
    CHECK_ERR(rename("b", "/proc/x"), EXDEV);
}

static void rename_moves_trees(void)
{
    OK(mkdir("a", 0755));
    OK(mkdir("a/b", 0755));
    write_file("a/b/f", "deep", 4);
    OK(mkdir("t", 0755));
    int fd = OK(open("a/b", O_RDONLY | O_DIRECTORY));
    OK(rename("a", "t/moved"));
    char buf[8];
    read_file("t/moved/b/f", buf, 8);
    CHECK_STR(buf, "deep");
    int up = OK(openat(fd, "../..", O_RDONLY | O_DIRECTORY)); /* .. follows the move */
    OK(faccessat(up, "moved", F_OK, 0));
    close(up), close(fd);
}

static void renameat2_flags(void)
{
    char buf[8];
    write_file("a", "A", 1);
    write_file("b", "B", 1);
    CHECK_ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
    OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    OK(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE));
    read_file("b", buf, 8);
    CHECK_STR(buf, "A");
    read_file("c", buf, 8);
    CHECK_STR(buf, "B");
    CHECK_ERR(renameat2(AT_FDCWD, "c", AT_FDCWD, "nothing", RENAME_EXCHANGE), ENOENT);
    CHECK_ERR(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    CHECK_ERR(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", 0x100), EINVAL);
    OK(mkdir("d", 0755));
    OK(renameat2(AT_FDCWD, "c", AT_FDCWD, "d", RENAME_EXCHANGE));
    struct stat st;
    OK(stat("c", &st));
    CHECK(S_ISDIR(st.st_mode));
}

static void renamed_file_keeps_its_descriptor(void)
{
    write_file("a", "A", 1);
    write_file("b", "BB", 2);
    int fd = OK(open("b", O_RDONLY));
    OK(rename("a", "b"));
    struct stat st;
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 2);
    CHECK_EQ(st.st_nlink, 0);
    close(fd);
}

static void sticky_directory(void)
{
    OK(mkdir("t", 0777));
    OK(chmod("t", 01777));
    write_file("t/f", "", 0);
    OK(chmod("t/f", 0666));
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_ERR(unlink("t/f"), EPERM);
        CHECK_ERR(rename("t/f", "t/g"), EPERM);
        write_file("t/mine", "", 0);
        OK(unlink("t/mine"));
    });
}

static int count(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    CHECK(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void listing(void)
{
    OK(mkdir("d", 0755));
    OK(mkdir("d/sub", 0755));
    write_file("d/file", "", 0);
    OK(symlink("x", "d/link"));
    OK(mkfifo("d/fifo", 0600));
    DIR *d = opendir("d");
    int seen = 0;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        OK(fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW));
        if (strcmp(e->d_name, ".."))
            CHECK_EQ(e->d_ino, st.st_ino);
        int want = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, "sub") ? DT_DIR
                   : !strcmp(e->d_name, "file")                                                     ? DT_REG
                   : !strcmp(e->d_name, "link")                                                     ? DT_LNK
                                                                                                    : DT_FIFO;
        CHECK_EQ(e->d_type, want);
        seen++;
    }
    CHECK_EQ(seen, 6);
    rewinddir(d);
    write_file("d/later", "", 0);
    seen = 0;
    while (readdir(d))
        seen++;
    CHECK_EQ(seen, 7);
    closedir(d);
}

static void five_thousand_entries(void)
{
    char name[64];
    OK(mkdir("d", 0755));
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "d/entry_with_a_longer_name_%d", i);
        close(OK(open(name, O_WRONLY | O_CREAT, 0644)));
    }
    CHECK_EQ(count("d"), 5002);
    /* removal while reading: every entry is met once */
    DIR *d = opendir("d");
    int removed = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            OK(unlinkat(dirfd(d), e->d_name, 0));
            removed++;
        }
    closedir(d);
    CHECK_EQ(removed, 5000);
    OK(rmdir("d"));
}

static void seek_in_directory(void)
{
    char name[64], after[256];
    OK(mkdir("d", 0755));
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "d/e%d", i);
        write_file(name, "", 0);
    }
    DIR *d = opendir("d");
    for (int i = 0; i < 40; i++)
        CHECK(readdir(d));
    long at = telldir(d);
    snprintf(after, sizeof(after), "%s", readdir(d)->d_name);
    while (readdir(d))
        ;
    seekdir(d, at);
    CHECK_STR(readdir(d)->d_name, after);
    closedir(d);
}

static void getdents_errors(void)
{
    char buf[1024];
    int f = OK(open("f", O_RDWR | O_CREAT, 0644)), d = OK(open(".", O_RDONLY));
    CHECK_ERR(syscall(SYS_getdents64, f, buf, sizeof(buf)), ENOTDIR);
    CHECK_ERR(syscall(SYS_getdents64, 999, buf, sizeof(buf)), EBADF);
    CHECK_ERR(syscall(SYS_getdents64, d, buf, 1), EINVAL);
    CHECK_ERR(syscall(SYS_getdents64, d, 8L, sizeof(buf)), EFAULT);
    close(f);
    OK(mkdir("gone", 0755));
    int g = OK(open("gone", O_RDONLY));
    OK(rmdir("gone"));
    CHECK_ERR(syscall(SYS_getdents64, g, buf, sizeof(buf)), ENOENT);
    close(g), close(d);
}

static void overlay_of_the_root(void)
{
    /* names below an existing directory can be made, renamed and removed */
    char path[64];
    snprintf(path, sizeof(path), "/var/tmp/rfguest.%d", getpid());
    OK(mkdir(path, 0755));
    int n = count("/var/tmp");
    OK(rmdir(path));
    CHECK_EQ(count("/var/tmp"), n - 1);
}

static void chdir_and_chroot(void)
{
    char buf[4096];
    OK(mkdir("r", 0755));
    write_file("r/inside", "", 0);
    CHECK_ERR(chdir("r/inside"), ENOTDIR);
    CHECK_ERR(chdir("nothing"), ENOENT);
    IN_CHILD({
        OK(chroot("r"));
        OK(chdir("/"));
        OK(access("/inside", F_OK));
        CHECK_ERR(access("/../../bin/sh", F_OK), ENOENT);
        CHECK(getcwd(buf, sizeof(buf)));
        CHECK_STR(buf, "/");
    });
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_ERR(chroot("r"), EPERM);
    });
}

GUEST_MAIN(C(mkdir_errors), C(rmdir_errors), C(unlink_errors), C(link_counts), C(hard_links), C(symlinks),
           C(rename_basics), C(rename_moves_trees), C(renameat2_flags), C(renamed_file_keeps_its_descriptor),
           C(sticky_directory), C(listing), C(five_thousand_entries), C(seek_in_directory), C(getdents_errors),
           C(overlay_of_the_root), C(chdir_and_chroot))
