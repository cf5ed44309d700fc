/* File handles: name_to_handle_at, open_by_handle_at. */
#include "guest.h"

#include <grp.h>

struct fh {
    struct file_handle h;
    unsigned char room[128];
};

static int get(int dirfd, const char *name, struct fh *f, int *mnt, int flags)
{
    memset(f, 0, sizeof(*f));
    f->h.handle_bytes = 128;
    return name_to_handle_at(dirfd, name, &f->h, mnt, flags);
}

static bool same(const struct fh *a, const struct fh *b)
{
    return a->h.handle_bytes == b->h.handle_bytes && a->h.handle_type == b->h.handle_type &&
           !memcmp(a->h.f_handle, b->h.f_handle, a->h.handle_bytes);
}

static void there_and_back(void)
{
    struct fh f, g, d;
    char buf[64], want[300], path[300], link[64];
    int mnt, mnt2;
    OK(mkdir("d", 0755));
    write_file("d/f", "hello", 5);
    OK(get(AT_FDCWD, "d/f", &f, &mnt, 0));
    CHECK(f.h.handle_bytes > 0 && f.h.handle_bytes <= 128);
    int fd = OK(open("d/f", O_RDONLY));
    OK(get(fd, "", &g, &mnt2, AT_EMPTY_PATH));
    CHECK(same(&f, &g));
    CHECK_EQ(mnt, mnt2);
    OK(rename("d/f", "d/g"));
    OK(get(AT_FDCWD, "d/g", &g, &mnt2, 0));
    CHECK(same(&f, &g));
    int at = OK(open(".", O_RDONLY));
    int back = OK(open_by_handle_at(at, &f.h, O_RDWR));
    CHECK_EQ(read(back, buf, sizeof(buf)), 5);
    CHECK(!memcmp(buf, "hello", 5));
    CHECK(getcwd(want, sizeof(want) - 4));
    strcat(want, "/d");
    OK(get(AT_FDCWD, "d", &d, &mnt, 0));
    CHECK(!same(&d, &f));
    int dir = OK(open_by_handle_at(AT_FDCWD, &d.h, O_RDONLY | O_DIRECTORY));
    snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
    path[OK(readlink(link, path, sizeof(path) - 1))] = 0;
    CHECK_STR(path, want);
    OK(symlink("d", "l"));
    OK(get(AT_FDCWD, "l", &g, &mnt, AT_SYMLINK_FOLLOW));
    CHECK(same(&d, &g));
    OK(get(AT_FDCWD, "l", &g, &mnt, 0));
    CHECK_ERR(open_by_handle_at(at, &g.h, O_RDONLY), ELOOP);
    OK(close(OK(open_by_handle_at(at, &g.h, O_PATH))));
    close(fd);
    close(back);
    OK(unlink("d/g"));
    CHECK_ERR(open_by_handle_at(at, &f.h, O_RDONLY), ESTALE);
}

static void on_a_tmpfs(void)
{
    char dir[] = "/dev/shm/handle.XXXXXX";
    CHECK(mkdtemp(dir));
    OK(chdir(dir));
    there_and_back();
    OK(chdir("/"));
    nftw(dir, guest_rm, 16, FTW_DEPTH | FTW_PHYS);
}

static void sizes(void)
{
    struct fh f;
    int mnt = -1;
    write_file("f", "x", 1);
    memset(&f, 0, sizeof(f));
    CHECK_ERR(name_to_handle_at(AT_FDCWD, "f", &f.h, &mnt, 0), EOVERFLOW);
    CHECK(f.h.handle_bytes > 0 && mnt != -1);
    OK(name_to_handle_at(AT_FDCWD, "f", &f.h, &mnt, 0));
    f.h.handle_bytes = 129;
    CHECK_ERR(name_to_handle_at(AT_FDCWD, "f", &f.h, &mnt, 0), EINVAL);
    f.h.handle_bytes = 128;
    CHECK_ERR(name_to_handle_at(AT_FDCWD, "f", &f.h, &mnt, 0x800), EINVAL);
    CHECK_ERR(name_to_handle_at(AT_FDCWD, "f", NULL, &mnt, 0), EFAULT);
    CHECK_ERR(name_to_handle_at(AT_FDCWD, "f", &f.h, NULL, 0), EFAULT);
    CHECK_ERR(name_to_handle_at(AT_FDCWD, (void *)1, &f.h, &mnt, 0), EFAULT);
    CHECK_ERR(name_to_handle_at(AT_FDCWD, "", &f.h, &mnt, 0), ENOENT);
    CHECK_ERR(name_to_handle_at(-1, "f", &f.h, &mnt, 0), EBADF);
    CHECK_ERR(name_to_handle_at(AT_FDCWD, "f/x", &f.h, &mnt, 0), ENOTDIR);
    CHECK_ERR(name_to_handle_at(AT_FDCWD, "/proc/self/status", &f.h, &mnt, 0), EOPNOTSUPP);
}

static void open_errors(void)
{
    struct fh f;
    int mnt, at = OK(open(".", O_RDONLY));
    write_file("f", "x", 1);
    OK(get(AT_FDCWD, "f", &f, &mnt, 0));
    CHECK_ERR(open_by_handle_at(-1, &f.h, O_RDONLY), EBADF);
    CHECK_ERR(open_by_handle_at(at, NULL, O_RDONLY), EFAULT);
    struct fh bad = f;
    bad.h.handle_bytes = 0;
    CHECK_ERR(open_by_handle_at(at, &bad.h, O_RDONLY), EINVAL);
    bad.h.handle_bytes = 129;
    CHECK_ERR(open_by_handle_at(at, &bad.h, O_RDONLY), EINVAL);
    bad = f;
    memset(bad.h.f_handle, 0xaa, bad.h.handle_bytes);
    CHECK_ERR(open_by_handle_at(at, &bad.h, O_RDONLY), ESTALE);
    CHECK_ERR(open_by_handle_at(at, &f.h, O_RDONLY | O_DIRECTORY), ENOTDIR);
    IN_CHILD(OK(setgroups(0, NULL)); OK(setresgid(65534, 65534, 65534));
             OK(setresuid(65534, 65534, 65534));
             CHECK_ERR(open_by_handle_at(at, &f.h, O_RDONLY), EPERM); OK(get(AT_FDCWD, "f", &f, &mnt, 0)));
}

GUEST_MAIN(C(there_and_back), C(on_a_tmpfs), C(sizes), C(open_errors))
