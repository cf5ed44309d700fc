/* Regular files: read, write, seek, vectors, sizes, holes, fallocate, sync. */
#include "guest.h"
#include <limits.h>
#include <linux/falloc.h>
#include <sys/resource.h>
#include <sys/uio.h>

static void read_write_seek(void)
{
    char buf[16] = "";
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
    CHECK_EQ(lseek(fd, -4, SEEK_END), 6);
    CHECK_EQ(read(fd, buf, 16), 4);
    CHECK_STR(buf, "6789");
    CHECK_EQ(read(fd, buf, 16), 0);
    CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
    CHECK_EQ(lseek(fd, 3, SEEK_CUR), 5);
    CHECK_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERR(lseek(fd, -11, SEEK_END), EINVAL);
    CHECK_ERR(lseek(fd, 0, 99), EINVAL);
    CHECK_EQ(lseek(fd, 1000, SEEK_SET), 1000);
    CHECK_EQ(read(fd, buf, 1), 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(pread(fd, buf, 1, 500), 1);
    CHECK_EQ(buf[0], 0); /* the hole */
    close(fd);
}

static void positions(void)
{
    char buf[8] = "";
    write_file("f", "abcdefgh", 8);
    int fd = OK(open("f", O_RDWR));
    CHECK_EQ(pread(fd, buf, 3, 2), 3);
    CHECK_STR(buf, "cde");
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(pwrite(fd, "XX", 2, 7), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 9);
    CHECK_ERR(pread(fd, buf, 1, -1), EINVAL);
    CHECK_ERR(pwrite(fd, buf, 1, -1), EINVAL);
    CHECK_EQ(pread(fd, buf, 1, 100), 0);
    CHECK_EQ(pread(fd, buf, 0, 0), 0);
    close(fd);
}

static void wrong_modes(void)
{
    char c;
    write_file("f", "a", 1);
    int r = OK(open("f", O_RDONLY)), w = OK(open("f", O_WRONLY));
    CHECK_ERR(write(r, "x", 1), EBADF);
    CHECK_ERR(read(w, &c, 1), EBADF);
    CHECK_ERR(ftruncate(r, 0), EINVAL);
    CHECK_ERR(read(999, &c, 1), EBADF);
    CHECK_ERR(read(r, (void *)8, 1), EFAULT);
    CHECK_ERR(write(w, (void *)8, 1), EFAULT);
    CHECK_EQ(read(r, NULL, 0), 0);
    close(r), close(w);
}

static void vectors(void)
{
    char a[4] = "", b[8] = "";
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
    struct iovec w[3] = {{"one", 3}, {"", 0}, {"two!", 4}}, r[2] = {{a, 3}, {b, 7}};
    CHECK_EQ(writev(fd, w, 3), 7);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(readv(fd, r, 2), 7);
    CHECK_STR(a, "one");
    CHECK_STR(b, "two!");
    CHECK_EQ(pwritev(fd, w, 3, 2), 7);
    CHECK_EQ(preadv(fd, r, 2, 1), 8);
    CHECK_STR(a, "non");
    CHECK_EQ(preadv2(fd, r, 2, 0, 0), 9);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(preadv2(fd, r, 2, -1, 0), 9); /* -1: the current offset, which moves */
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 9);
    CHECK_EQ(pwritev2(fd, w, 1, 0, 0x10 /* RWF_APPEND */), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 12);
    CHECK_ERR(preadv2(fd, r, 2, 0, 0x4000), EOPNOTSUPP);
    CHECK_ERR(preadv(fd, r, 2, -1), EINVAL);
    CHECK_EQ(readv(fd, r, 0), 0);
    CHECK_ERR(readv(fd, (void *)8, 1), EFAULT);
    CHECK_ERR(readv(fd, r, IOV_MAX + 1), EINVAL);
    r[1].iov_len = (size_t)-1;
    CHECK_ERR(readv(fd, r, 2), EINVAL);
    close(fd);
}

static void partial_on_fault(void)
{
    static char page[8192] __attribute__((aligned(4096)));
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
    struct iovec w[2] = {{page, 100}, {(void *)8, 100}};
    CHECK_EQ(writev(fd, w, 2), 100); /* what went before the bad buffer counts */
    CHECK_EQ(lseek(fd, 0, SEEK_END), 100);
    close(fd);
}

static void truncation(void)
{
    struct stat st;
    write_file("f", "0123456789", 10);
    OK(truncate("f", 4));
    OK(stat("f", &st));
    CHECK_EQ(st.st_size, 4);
    OK(truncate("f", 8));
    char buf[16];
    CHECK_EQ(read_file("f", buf, sizeof(buf)), 8);
    CHECK(!memcmp(buf, "0123\0\0\0\0", 8));
    CHECK_ERR(truncate("f", -1), EINVAL);
    CHECK_ERR(truncate("nothing", 0), ENOENT);
    OK(mkdir("d", 0755));
    CHECK_ERR(truncate("d", 0), EISDIR);
    CHECK_ERR(truncate("f/x", 0), ENOTDIR);
    int fd = OK(open("f", O_RDWR));
    OK(ftruncate(fd, 1ll << 32));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 1ll << 32);
    CHECK(st.st_blocks < 1000);
    CHECK_ERR(ftruncate(fd, -1), EINVAL);
    close(fd);
}

static void sparse_seek(void)
{
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
    OK(ftruncate(fd, 1 << 20));
    OK(pwrite(fd, "x", 1, 512 << 10));
    off_t data = OK(lseek(fd, 0, SEEK_DATA));
    CHECK(data <= 512 << 10);
    off_t hole = OK(lseek(fd, 512 << 10, SEEK_HOLE));
    CHECK(hole > 512 << 10 && hole <= 1 << 20);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE) <= data, 1);
    CHECK_ERR(lseek(fd, 1 << 20, SEEK_DATA), ENXIO);
    CHECK_ERR(lseek(fd, 2 << 20, SEEK_HOLE), ENXIO);
    CHECK_ERR(lseek(fd, -1, SEEK_DATA), ENXIO);
    close(fd);
}

static void allocation(void)
{
    struct stat st;
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
    OK(fallocate(fd, 0, 0, 100000));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 100000);
    OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 100000, 100000));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 100000);
    OK(pwrite(fd, "abc", 3, 5000));
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
    char c = 'x';
    CHECK_EQ(pread(fd, &c, 1, 5000), 1);
    CHECK_EQ(c, 0);
    CHECK_ERR(fallocate(fd, 0, -1, 10), EINVAL);
    CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERR(fallocate(fd, 0, LONG_MAX - 5, 100), EFBIG);
    CHECK_ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
    CHECK_ZERO(posix_fallocate(fd, 0, 300000));
    close(fd);
    fd = OK(open("f", O_RDONLY));
    CHECK_ERR(fallocate(fd, 0, 0, 1), EBADF);
    close(fd);
}

static void size_limit(void)
{
    IN_CHILD({
        struct rlimit rl = {1000, 1000};
        OK(setrlimit(RLIMIT_FSIZE, &rl));
        char buf[2000] = {0};
        handle(SIGXFSZ, SIG_IGN, 0);
        int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
        CHECK_EQ(write(fd, buf, 900), 900);
        CHECK_EQ(write(fd, buf, 900), 100);
        CHECK_ERR(write(fd, buf, 900), EFBIG);
        CHECK_ERR(ftruncate(fd, 2000), EFBIG);
    });
    pid_t p = OK(fork());
    if (!p) {
        struct rlimit rl = {10, 10};
        setrlimit(RLIMIT_FSIZE, &rl);
        int fd = open("g", O_RDWR | O_CREAT, 0644);
        write(fd, "0123456789", 10);
        write(fd, "x", 1);
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGXFSZ);
}

static void unlinked_lives_on(void)
{
    struct stat st;
    char buf[8] = "";
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
    OK(write(fd, "alive", 5));
    OK(unlink("f"));
    CHECK_EQ(pread(fd, buf, 5, 0), 5);
    CHECK_STR(buf, "alive");
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 0);
    write_file("f", "new", 3);
    CHECK_EQ(pread(fd, buf, 5, 0), 5);
    CHECK_STR(buf, "alive");
    char path[64], link[4200] = "";
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    OK(readlink(path, link, sizeof(link) - 1));
    CHECK(strstr(link, "/f (deleted)"));
    close(fd);
}

static void syncs(void)
{
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
    OK(write(fd, "x", 1));
    OK(fsync(fd));
    OK(fdatasync(fd));
    OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    OK(syncfs(fd));
    sync();
    CHECK_ERR(fsync(999), EBADF);
    CHECK_ZERO(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    CHECK_EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
    OK(readahead(fd, 0, 100));
    close(fd);
}

static void large_io(void)
{
    size_t size = 20 << 20;
    unsigned *data = malloc(size), *back = malloc(size);
    for (size_t i = 0; i < size / 4; i++)
        data[i] = i * 2654435761u;
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
    CHECK_EQ(write(fd, data, size), size);
    CHECK_EQ(pread(fd, back, size, 0), size);
    CHECK(!memcmp(data, back, size));
    close(fd);
    free(data), free(back);
}

static void concurrent_appenders(void)
{
    for (int k = 0; k < 4; k++)
        if (OK(fork()) == 0) {
            int fd = open("f", O_WRONLY | O_APPEND | O_CREAT, 0644);
            char line[32];
            memset(line, 'a' + k, 31), line[31] = '\n';
            for (int i = 0; i < 200; i++)
                if (write(fd, line, 32) != 32)
                    _exit(1);
            _exit(0);
        }
    for (int st; wait(&st) > 0;)
        CHECK_EQ(st, 0);
    static char all[40000];
    CHECK_EQ(read_file("f", all, sizeof(all)), 4 * 200 * 32);
    for (int i = 0; i < 800; i++)
        for (int j = 1; j < 31; j++)
            CHECK_EQ(all[i * 32 + j], all[i * 32]);
}

static void coherent_between_openers(void)
{
    int a = OK(open("f", O_RDWR | O_CREAT, 0644)), b = OK(open("f", O_RDONLY));
    char c = 0;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(pwrite(a, &(char){i}, 1, i), 1);
        CHECK_EQ(pread(b, &c, 1, i), 1);
        CHECK_EQ(c, i);
    }
    OK(ftruncate(a, 5));
    CHECK_EQ(pread(b, &c, 1, 50), 0);
    close(a), close(b);
}

static void sticky_suid_is_dropped_on_write(void)
{
    struct stat st;
    write_file("f", "x", 1);
    OK(chown("f", 65534, 65534));
    OK(chmod("f", 06755));
    IN_CHILD({
        OK(setresgid(65534, 65534, 65534));
        OK(setresuid(65534, 65534, 65534));
        int fd = OK(open("f", O_WRONLY));
        OK(write(fd, "y", 1));
    });
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 06000, 0);
}

GUEST_MAIN(C(read_write_seek), C(positions), C(wrong_modes), C(vectors), C(partial_on_fault), C(truncation),
           C(sparse_seek), C(allocation), C(size_limit), C(unlinked_lives_on), C(syncs), C(large_io),
           C(concurrent_appenders), C(coherent_between_openers), C(sticky_suid_is_dropped_on_write))
