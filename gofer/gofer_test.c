/* SPDX-License-Identifier: Apache-2.0 */
/* The sentry's client against a real server process: what each message does, on a temporary
 * directory. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/gofer_client.h"
#include "test_server.h"

static struct test_server g_t;
static struct gofer *g_g;
static uint64_t g_root, g_ro;
static const struct gofer_owner g_own = {0644, GOFERP_ID_KEEP, GOFERP_ID_KEEP};
static const struct gofer_owner g_own_dir = {0755, GOFERP_ID_KEEP, GOFERP_ID_KEEP};

static int start_with(const char *extra)
{
    struct goferp_attach_rep a;
    int rc;

    test_server_start(&g_t, extra);
    rc = gofer_connect(g_t.fd, &g_g);
    g_t.fd = -1;
    if (rc < 0 || gofer_attach(g_g, 0, &a) < 0)
        return -1;
    g_root = a.fid;
    if (gofer_attach(g_g, 1, &a) < 0 || !(a.flags & GOFERP_EXPORT_RO))
        return -1;
    g_ro = a.fid;
    return 0;
}

static int start(void **state)
{
    return start_with(NULL);
}

static int start_unix(void **state)
{
    return start_with("--allow-unix");
}

static int start_small(void **state)
{
    return start_with("--max-fids=20");
}

static int stop(void **state)
{
    int status;

    gofer_put(g_g);
    status = test_server_wait(&g_t);
    test_server_clean(&g_t);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fprintf(stderr, "server status 0x%x\n", status);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* ---- helpers ---- */

static char *at(const char *name)
{
    static char buf[4][2048];
    static unsigned next;
    char *b = buf[next++ % 4];

    snprintf(b, sizeof(buf[0]), "%s/%s", g_t.dir, name);
    return b;
}

static void host_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct goferp_node g_nodes[GOFERP_WALK_MAX];
static char g_target[GOFERP_PATH_MAX + 1];

static struct gofer_walk walk_flags(uint64_t fid, const char *path, uint16_t flags)
{
    struct gofer_walk w = {
        .fid = fid,
        .path = path,
        .path_size = strlen(path),
        .flags = flags,
        .nodes = g_nodes,
        .node_max = GOFERP_WALK_MAX,
        .target = g_target,
    };

    assert_int_equal(gofer_walk(g_g, &w), 0);
    return w;
}

/* The fid of an existing file. */
static uint64_t walk_to(const char *path)
{
    struct gofer_walk w = walk_flags(g_root, path, 0);

    assert_int_equal(w.stop, 0);
    assert_int_not_equal(g_nodes[w.walked - 1].fid, 0);
    return g_nodes[w.walked - 1].fid;
}

/* ---- handshake, walk, attributes ---- */

static void test_handshake(void **state)
{
    struct goferp_attach_rep a;

    assert_int_equal(gofer_info(g_g)->export_count, 2);
    assert_true(gofer_info(g_g)->fid_max > 100);
    assert_int_equal(gofer_attach(g_g, 2, &a), -ENOENT);
    assert_int_equal(gofer_ping(g_g), 0);
}

static void test_walk(void **state)
{
    struct gofer_walk w;

    mkdir(at("a"), 0755);
    mkdir(at("a/b"), 0755);
    host_write(at("a/b/f"), "hello");
    assert_int_equal(symlink("b/f", at("a/l")), 0);
    w = walk_flags(g_root, "a//./b/f", GOFERP_WALK_EACH);
    assert_int_equal(w.asked, 3);
    assert_int_equal(w.walked, 3);
    assert_int_equal(w.stop, 0);
    assert_int_equal(g_nodes[2].attr.size, 5);
    assert_true(S_ISDIR(g_nodes[1].attr.mode));
    assert_true(g_nodes[0].fid && g_nodes[1].fid && g_nodes[2].fid);
    w = walk_flags(g_nodes[0].fid, "b/none/x", 0);
    assert_int_equal(w.walked, 1);
    assert_int_equal(w.stop, -ENOENT);
    assert_true(g_nodes[0].fid != 0);
    w = walk_flags(g_root, "a/b/f/x", GOFERP_WALK_STAT);
    assert_int_equal(w.walked, 3);
    assert_int_equal(w.stop, -ENOTDIR);
    assert_int_equal(g_nodes[2].fid, 0);
    w = walk_flags(g_root, "none", 0);
    assert_int_equal(w.walked, 0);
    assert_int_equal(w.stop, -ENOENT);
}

static void test_walk_symlink(void **state)
{
    struct gofer_walk w;

    mkdir(at("a"), 0755);
    assert_int_equal(symlink("b/f", at("a/l")), 0);
    w = walk_flags(g_root, "a/l/x", 0);
    assert_int_equal(w.walked, 2);
    assert_int_equal(w.stop, -ELOOP);
    assert_string_equal(g_target, "b/f");
    w = walk_flags(g_root, "a/l", GOFERP_WALK_STAT);
    assert_int_equal(w.stop, 0);
    assert_int_equal(w.target_size, 3);
    assert_string_equal(g_target, "b/f");
    assert_int_equal(gofer_readlink(g_g, walk_to("a/l"), g_target), 3);
    assert_int_equal(gofer_readlink(g_g, walk_to("a"), g_target), -EINVAL);
}

static void test_walk_clone_and_dots(void **state)
{
    struct gofer_walk w = walk_flags(g_root, "", 0);

    assert_int_equal(w.walked, 1);
    assert_int_not_equal(g_nodes[0].fid, g_root);
    mkdir(at("a"), 0755);
    w = walk_flags(g_root, "a/../../x", 0);
    assert_int_equal(w.asked, 1);
    assert_int_equal(w.used, 1);
    w.path = "..";
    w.path_size = 2;
    assert_int_equal(gofer_walk(g_g, &w), -EINVAL);
}

static void test_walk_open(void **state)
{
    struct gofer_walk w;
    char buf[8];

    host_write(at("f"), "hello");
    w = walk_flags(g_root, "f", GOFERP_WALK_OPEN);
    assert_true(w.fd >= 0);
    assert_int_equal(read(w.fd, buf, sizeof(buf)), 5);
    close(w.fd);
    mkdir(at("d"), 0755);
    w = walk_flags(g_root, "d", GOFERP_WALK_OPEN);
    assert_int_equal(w.fd, -1);
}

static void test_walk_long(void **state)
{
    char path[1000] = "";
    struct gofer_walk w;
    int i;

    for (i = 0; i < 100; i++) {
        strcat(path, "/d");
        mkdir(at(path + 1), 0755);
    }
    w = walk_flags(g_root, path, 0);
    assert_int_equal(w.walked, 64);
    w = walk_flags(g_nodes[63].fid, path + w.used, 0);
    assert_int_equal(w.walked, 36);
    memset(path, 'x', 256);
    path[256] = 0;
    w.path = path;
    w.path_size = 256;
    assert_int_equal(gofer_walk(g_g, &w), -ENAMETOOLONG);
}

static void test_getattr(void **state)
{
    struct goferp_attr a;
    struct stat st;

    host_write(at("f"), "hello");
    chmod(at("f"), 0640);
    stat(at("f"), &st);
    assert_int_equal(gofer_getattr(g_g, walk_to("f"), &a), 0);
    assert_int_equal(a.ino, st.st_ino);
    assert_int_equal(a.mode, st.st_mode);
    assert_int_equal(a.size, 5);
    assert_int_equal(a.mtime, st.st_mtim.tv_sec);
    assert_int_equal(a.mtime_nsec, st.st_mtim.tv_nsec);
    assert_int_equal(gofer_getattr(g_g, 12345, &a), -EBADF);
}

static void test_setattr(void **state)
{
    struct goferp_setattr_req q = {
        .valid = GOFERP_SET_MODE | GOFERP_SET_SIZE | GOFERP_SET_TIMES,
        .mode = 0600,
        .size = 1000,
        .atime_nsec = UTIME_OMIT,
        .mtime = 1234,
        .mtime_nsec = 5,
    };
    struct goferp_attr a;

    host_write(at("f"), "hello");
    assert_int_equal(symlink("f", at("l")), 0);
    q.fid = walk_to("f");
    assert_int_equal(gofer_setattr(g_g, &q, &a), 0);
    assert_int_equal(a.mode, S_IFREG | 0600);
    assert_int_equal(a.size, 1000);
    assert_int_equal(a.mtime, 1234);
    assert_int_equal(a.mtime_nsec, 5);
    q.fid = g_root;
    q.valid = GOFERP_SET_SIZE;
    assert_int_equal(gofer_setattr(g_g, &q, NULL), -EISDIR);
    q.fid = walk_to("l");
    q.valid = GOFERP_SET_MODE;
    assert_int_equal(gofer_setattr(g_g, &q, NULL), -EOPNOTSUPP);
    q.valid = 1u << 31;
    assert_int_equal(gofer_setattr(g_g, &q, NULL), -EINVAL);
}

static void test_chown(void **state)
{
    struct goferp_setattr_req q = {.valid = GOFERP_SET_OWNER, .uid = 1000, .gid = GOFERP_ID_KEEP};
    struct gofer_owner own = {04755, 1001, 1002};
    struct goferp_create_rep c;
    struct goferp_attr a;
    int fd;

    if (!test_is_host_root())
        skip(); /* only root may change owners */
    host_write(at("f"), "hello");
    q.fid = walk_to("f");
    assert_int_equal(gofer_setattr(g_g, &q, &a), 0);
    assert_int_equal(a.uid, 1000);
    assert_int_equal(a.gid, getgid());
    assert_int_equal(gofer_create(g_g, g_root, "s", O_WRONLY, &own, &fd, &c), 0);
    close(fd);
    assert_int_equal(c.node.attr.uid, 1001);
    assert_int_equal(c.node.attr.gid, 1002);
    assert_int_equal(c.node.attr.mode, S_IFREG | 04755);
}

static void test_statfs_access(void **state)
{
    struct goferp_statfs_rep s;

    assert_int_equal(gofer_statfs(g_g, g_root, &s), 0);
    assert_true(s.bsize >= 512 && s.namelen >= 255);
    host_write(at("f"), "");
    assert_int_equal(gofer_access(g_g, walk_to("f"), R_OK | W_OK), 0);
    assert_int_equal(gofer_access(g_g, walk_to("f"), X_OK), -EACCES);
    assert_int_equal(gofer_access(g_g, walk_to("f"), 8), -EINVAL);
}

/* ---- open, create ---- */

static void test_open(void **state)
{
    struct goferp_node n;
    char buf[8];
    int fd = -1;

    host_write(at("f"), "hello");
    mkfifo(at("p"), 0644);
    assert_int_equal(symlink("f", at("l")), 0);
    assert_int_equal(gofer_open(g_g, walk_to("f"), O_RDWR, &fd, &n), 0);
    assert_int_equal(pread(fd, buf, sizeof(buf), 0), 5);
    assert_int_equal(pwrite(fd, "J", 1, 0), 1);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    assert_int_equal(gofer_open(g_g, walk_to("f"), O_WRONLY | O_TRUNC, &fd, &n), 0);
    assert_int_equal(n.attr.size, 0);
    close(fd);
    assert_int_equal(gofer_open(g_g, walk_to("f"), O_CREAT, &fd, NULL), -EINVAL);
    assert_int_equal(gofer_open(g_g, walk_to("f"), O_ACCMODE, &fd, NULL), -EINVAL);
    assert_int_equal(gofer_open(g_g, walk_to("p"), O_RDONLY, &fd, NULL), -EACCES);
    assert_int_equal(gofer_open(g_g, walk_to("l"), O_RDONLY, &fd, NULL), -ELOOP);
    assert_int_equal(gofer_open(g_g, g_root, O_WRONLY, &fd, NULL), -EISDIR);
}

/* A fid is the file, whatever becomes of its name. */
static void test_open_renamed_and_removed(void **state)
{
    uint64_t fid;
    char buf[8];
    int fd;

    host_write(at("f"), "old");
    fid = walk_to("f");
    rename(at("f"), at("g"));
    host_write(at("f"), "newer");
    assert_int_equal(gofer_open(g_g, fid, O_RDONLY, &fd, NULL), 0);
    assert_int_equal(read(fd, buf, sizeof(buf)), 3);
    close(fd);
    unlink(at("g"));
    assert_int_equal(gofer_open(g_g, fid, O_RDONLY, &fd, NULL), 0);
    assert_int_equal(read(fd, buf, sizeof(buf)), 3);
    close(fd);
}

static void test_create(void **state)
{
    struct goferp_create_rep c;
    struct stat st;
    int fd;

    assert_int_equal(gofer_create(g_g, g_root, "f", O_RDWR | O_EXCL, &g_own, &fd, &c), 0);
    assert_int_equal(c.created, 1);
    assert_int_equal(write(fd, "abc", 3), 3);
    fstat(fd, &st);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(c.node.attr.ino, st.st_ino);
    close(fd);
    assert_int_equal(gofer_create(g_g, g_root, "f", O_RDWR | O_EXCL, &g_own, &fd, &c), -EEXIST);
    assert_int_equal(gofer_create(g_g, g_root, "f", O_RDONLY, &g_own, &fd, &c), 0);
    assert_int_equal(c.created, 0);
    assert_int_equal(c.node.attr.size, 3);
    close(fd);
    assert_int_equal(symlink("nowhere", at("l")), 0);
    assert_int_equal(gofer_create(g_g, g_root, "l", O_RDWR, &g_own, &fd, &c), -ELOOP);
    assert_int_equal(gofer_create(g_g, g_root, "l", O_RDWR | O_EXCL, &g_own, &fd, &c), -EEXIST);
    assert_int_equal(access(at("nowhere"), F_OK), -1);
    assert_int_equal(gofer_create(g_g, walk_to("f"), "x", O_RDWR, &g_own, &fd, &c), -ENOTDIR);
}

static void test_tmpfile(void **state)
{
    struct goferp_node n;
    struct goferp_attr a;
    char buf[8];
    int fd;

    assert_int_equal(gofer_tmpfile(g_g, g_root, O_RDONLY, &g_own, &fd, &n), -EINVAL);
    assert_int_equal(gofer_tmpfile(g_g, g_root, O_RDWR, &g_own, &fd, &n), 0);
    assert_int_equal(n.attr.nlink, 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    close(fd);
    assert_int_equal(gofer_link(g_g, n.fid, g_root, "named", &a), 0);
    assert_int_equal(a.nlink, 1);
    fd = open(at("named"), O_RDONLY);
    assert_int_equal(read(fd, buf, sizeof(buf)), 3);
    close(fd);
}

static void test_fsync_fallocate(void **state)
{
    struct goferp_attr a;
    uint64_t fid;

    host_write(at("f"), "hello");
    fid = walk_to("f");
    assert_int_equal(gofer_fsync(g_g, fid, /*datasync=*/false), 0);
    assert_int_equal(gofer_fsync(g_g, fid, /*datasync=*/true), 0);
    assert_int_equal(gofer_fsync(g_g, g_root, /*datasync=*/false), 0);
    assert_int_equal(gofer_syncfs(g_g, g_root), 0);
    assert_int_equal(gofer_fallocate(g_g, fid, 0, 0, 8192), 0);
    assert_int_equal(gofer_getattr(g_g, fid, &a), 0);
    assert_int_equal(a.size, 8192);
    assert_int_equal(gofer_fallocate(g_g, g_root, 0, 0, 8192), -EISDIR);
    assert_int_equal(gofer_fallocate(g_g, fid, 0, 0, 0), -EINVAL);
}

/* ---- directories ---- */

static void test_readdir(void **state)
{
    static char buf[GOFERP_DATA_MAX], seen[2000];
    struct goferp_node dir;
    struct gofer_dirent e;
    uint64_t cursor = 0;
    int fd, i, size, count = 0, replies = 0;
    bool eof = false;
    char name[64];

    for (i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "file-with-a-long-name-%d", i);
        host_write(at(name), "");
    }
    assert_int_equal(gofer_open(g_g, g_root, O_RDONLY | O_DIRECTORY, &fd, &dir), -EINVAL);
    assert_int_equal(gofer_open(g_g, g_root, O_RDONLY, &fd, &dir), 0);
    assert_int_equal(fd, -1);
    while (!eof) {
        size_t pos = 0;

        size = gofer_readdir(g_g, dir.fid, cursor, 0, buf, 20000, &eof);
        assert_true(size >= 0);
        replies++;
        while (gofer_dirent_next(buf, (size_t)size, 0, &pos, &e)) {
            assert_int_equal(sscanf(e.name, "file-with-a-long-name-%d", &i), 1);
            assert_int_equal(seen[i]++, 0);
            assert_int_equal(e.head.type, 8 /* DT_REG */);
            cursor = e.head.off;
            count++;
        }
    }
    assert_int_equal(count, 2000);
    assert_true(replies > 5);
    assert_int_equal(gofer_readdir(g_g, dir.fid, 0, 0, buf, 30, &eof), -EINVAL);
    assert_int_equal(gofer_readdir(g_g, g_root, 0, 0, buf, 3000, &eof), -EBADF);
    gofer_fid_drop(g_g, dir.fid);
}

static void test_readdir_plus(void **state)
{
    static char buf[GOFERP_DATA_MAX];
    struct goferp_node dir;
    struct gofer_dirent e;
    size_t pos = 0;
    bool eof;
    int fd, size;

    host_write(at("f"), "hello");
    assert_int_equal(gofer_open(g_g, g_root, O_RDONLY, &fd, &dir), 0);
    size = gofer_readdir(g_g, dir.fid, 0, GOFERP_READDIR_PLUS, buf, sizeof(buf), &eof);
    assert_true(eof);
    assert_true(gofer_dirent_next(buf, (size_t)size, GOFERP_READDIR_PLUS, &pos, &e));
    assert_string_equal(e.name, "f");
    assert_int_equal(e.attr.size, 5);
    assert_int_equal(e.attr.ino, e.head.ino);
    assert_false(gofer_dirent_next(buf, (size_t)size, GOFERP_READDIR_PLUS, &pos, &e));
    /* the same again from the start, on the same descriptor */
    host_write(at("g"), "");
    size = gofer_readdir(g_g, dir.fid, 0, 0, buf, sizeof(buf), &eof);
    assert_int_equal(size, 2 * 32);
    rmdir(at("f"));
}

static void test_readdir_once(void **state)
{
    char buf[4096], name[64];
    struct gofer_dirent e;
    uint64_t dirfid, cursor = 0;
    int i, size, count = 0;
    size_t pos = 0;
    bool eof;

    host_write(at("file-0"), "");
    assert_int_equal(gofer_readdir_once(g_g, g_root, 0, buf, sizeof(buf), &dirfid), 32);
    assert_int_equal(dirfid, GOFERP_NOFID);
    assert_int_equal(gofer_readdir_once(g_g, walk_to("file-0"), 0, buf, 99, &dirfid), -ENOTDIR);
    for (i = 1; i < 300; i++) {
        snprintf(name, sizeof(name), "file-%d", i);
        host_write(at(name), "");
    }
    size = gofer_readdir_once(g_g, g_root, 0, buf, sizeof(buf), &dirfid);
    assert_int_not_equal(dirfid, GOFERP_NOFID);
    while (size > 0) {
        for (pos = 0; gofer_dirent_next(buf, (size_t)size, 0, &pos, &e); count++)
            cursor = e.head.off;
        size = gofer_readdir(g_g, dirfid, cursor, 0, buf, sizeof(buf), &eof);
    }
    assert_int_equal(count, 300);
}

static void test_make(void **state)
{
    struct gofer_owner fifo = {S_IFIFO | 0600, GOFERP_ID_KEEP, GOFERP_ID_KEEP};
    struct gofer_owner dev = {S_IFCHR | 0600, GOFERP_ID_KEEP, GOFERP_ID_KEEP};
    struct gofer_owner sticky = {01777, GOFERP_ID_KEEP, GOFERP_ID_KEEP};
    struct goferp_node n;

    assert_int_equal(gofer_mkdir(g_g, g_root, "d", &sticky, &n), 0);
    assert_int_equal(n.attr.mode, S_IFDIR | 01777);
    assert_int_equal(gofer_mkdir(g_g, g_root, "d", &sticky, &n), -EEXIST);
    assert_int_equal(gofer_mkdir(g_g, n.fid, "sub", &g_own_dir, &n), 0);
    assert_int_equal(gofer_symlink(g_g, n.fid, "l", "../..", &g_own, &n), 0);
    assert_int_equal(n.attr.mode & S_IFMT, S_IFLNK);
    assert_int_equal(gofer_readlink(g_g, n.fid, g_target), 5);
    assert_int_equal(gofer_symlink(g_g, g_root, "l", "", &g_own, &n), -ENOENT);
    assert_int_equal(gofer_mknod(g_g, g_root, "p", &fifo, &n), 0);
    assert_int_equal(n.attr.mode, S_IFIFO | 0600);
    assert_int_equal(gofer_mknod(g_g, g_root, "r", &g_own, &n), 0);
    assert_int_equal(n.attr.mode, S_IFREG | 0644);
    assert_int_equal(gofer_mknod(g_g, g_root, "c", &dev, &n), -EPERM);
    dev.mode = S_IFBLK | 0600;
    assert_int_equal(gofer_mknod(g_g, g_root, "c", &dev, &n), -EPERM);
}

static void test_names(void **state)
{
    struct goferp_attr a;
    struct goferp_node d;

    host_write(at("f"), "hello");
    assert_int_equal(gofer_mkdir(g_g, g_root, "d", &g_own_dir, &d), 0);
    assert_int_equal(gofer_link(g_g, walk_to("f"), d.fid, "g", &a), 0);
    assert_int_equal(a.nlink, 2);
    assert_int_equal(gofer_link(g_g, d.fid, d.fid, "g", &a), -EPERM);
    assert_int_equal(gofer_rename(g_g, g_root, "f", d.fid, "g", RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(gofer_rename(g_g, g_root, "f", d.fid, "h", RENAME_NOREPLACE), 0);
    assert_int_equal(gofer_rename(g_g, g_root, "d", d.fid, "x", 0), -EINVAL);
    host_write(at("k"), "k");
    assert_int_equal(gofer_rename(g_g, g_root, "k", d.fid, "h", RENAME_EXCHANGE), 0);
    assert_int_equal(gofer_rename(g_g, g_root, "k", d.fid, "h", RENAME_WHITEOUT), -EINVAL);
    assert_int_equal(gofer_rename(g_g, g_root, "k", g_ro, "k", 0), -EROFS);
    assert_int_equal(gofer_unlink(g_g, g_root, "d", /*is_dir=*/false), -EISDIR);
    assert_int_equal(gofer_unlink(g_g, g_root, "d", /*is_dir=*/true), -ENOTEMPTY);
    assert_int_equal(gofer_unlink(g_g, d.fid, "g", /*is_dir=*/false), 0);
    assert_int_equal(gofer_unlink(g_g, d.fid, "h", /*is_dir=*/false), 0);
    assert_int_equal(gofer_unlink(g_g, g_root, "d", /*is_dir=*/true), 0);
    assert_int_equal(gofer_unlink(g_g, g_root, "d", /*is_dir=*/true), -ENOENT);
}

static void test_xattr(void **state)
{
    static char big[GOFERP_DATA_MAX];
    char buf[64];
    uint64_t fid;
    int rc;

    host_write(at("f"), "hello");
    fid = walk_to("f");
    rc = gofer_setxattr(g_g, fid, "user.one", "value", 5, 0);
    if (rc == -EOPNOTSUPP)
        skip(); /* the temporary directory's filesystem has none */
    assert_int_equal(rc, 0);
    assert_int_equal(gofer_getxattr(g_g, fid, "user.one", NULL, 0), 5);
    assert_int_equal(gofer_getxattr(g_g, fid, "user.one", buf, 3), -ERANGE);
    assert_int_equal(gofer_getxattr(g_g, fid, "user.one", buf, sizeof(buf)), 5);
    assert_memory_equal(buf, "value", 5);
    assert_int_equal(gofer_setxattr(g_g, fid, "user.one", "v", 1, 1 /*CREATE*/), -EEXIST);
    assert_int_equal(gofer_listxattr(g_g, fid, buf, sizeof(buf)), 9);
    assert_string_equal(buf, "user.one");
    assert_int_equal(gofer_removexattr(g_g, fid, "user.one"), 0);
    assert_int_equal(gofer_getxattr(g_g, fid, "user.one", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(gofer_setxattr(g_g, fid, "security.x", "v", 1, 0), -EOPNOTSUPP);
    assert_int_equal(gofer_setxattr(g_g, fid, "trusted.x", "v", 1, 0), -EOPNOTSUPP);
    rc = gofer_setxattr(g_g, fid, "user.big", big, sizeof(big), 0);
    assert_true(rc == 0 || rc == -ENOSPC || rc == -E2BIG);
}

/* ---- read-only, quotas, channels ---- */

static void test_readonly(void **state)
{
    struct goferp_setattr_req q = {.valid = GOFERP_SET_MODE, .mode = 0777};
    struct goferp_create_rep c;
    struct goferp_node n;
    struct gofer_walk w;
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/f", g_t.ro);
    host_write(path, "hello");
    w = walk_flags(g_ro, "f", GOFERP_WALK_OPEN);
    assert_true(w.fd >= 0);
    if (test_is_host_root()) /* a mount of its own: the host's kernel refuses, too */
        assert_int_equal(fchmod(w.fd, 0777), -1);
    close(w.fd);
    q.fid = g_nodes[0].fid;
    w.open_flags = O_RDWR;
    assert_int_equal(gofer_walk(g_g, &w), 0);
    assert_int_equal(w.fd, -1);
    assert_int_equal(gofer_setattr(g_g, &q, NULL), -EROFS);
    assert_int_equal(gofer_open(g_g, q.fid, O_RDWR, &fd, NULL), -EROFS);
    assert_int_equal(gofer_open(g_g, q.fid, O_RDONLY | O_TRUNC, &fd, NULL), -EROFS);
    assert_int_equal(gofer_create(g_g, g_ro, "x", O_RDONLY, &g_own, &fd, &c), -EROFS);
    assert_int_equal(gofer_tmpfile(g_g, g_ro, O_RDWR, &g_own, &fd, &n), -EROFS);
    assert_int_equal(gofer_mkdir(g_g, g_ro, "x", &g_own, &n), -EROFS);
    assert_int_equal(gofer_symlink(g_g, g_ro, "x", "y", &g_own, &n), -EROFS);
    assert_int_equal(gofer_mknod(g_g, g_ro, "x", &g_own, &n), -EROFS);
    assert_int_equal(gofer_unlink(g_g, g_ro, "f", false), -EROFS);
    assert_int_equal(gofer_rename(g_g, g_ro, "f", g_ro, "g", 0), -EROFS);
    assert_int_equal(gofer_link(g_g, q.fid, g_ro, "g", NULL), -EROFS);
    assert_int_equal(gofer_link(g_g, q.fid, g_root, "g", NULL), -EROFS);
    assert_int_equal(gofer_fallocate(g_g, q.fid, 0, 0, 100), -EROFS);
    assert_int_equal(gofer_setxattr(g_g, q.fid, "user.a", "v", 1, 0), -EROFS);
    assert_int_equal(gofer_removexattr(g_g, q.fid, "user.a"), -EROFS);
    assert_int_equal(gofer_access(g_g, q.fid, W_OK), -EROFS);
}

static void test_fid_quota(void **state)
{
    uint64_t fids[20];
    struct gofer_walk w = {
        .fid = g_root, .path = "f", .path_size = 1, .nodes = g_nodes, .node_max = 1};
    struct goferp_create_rep c;
    struct goferp_attr a;
    int i, fd;

    host_write(at("f"), "hello");
    for (i = 0; i < 18; i++)
        fids[i] = walk_to("f");
    assert_int_equal(gofer_walk(g_g, &w), -EMFILE);
    assert_int_equal(gofer_create(g_g, g_root, "x", O_RDWR, &g_own, &fd, &c), -EMFILE);
    assert_int_equal(access(at("x"), F_OK), -1);
    gofer_fid_drop(g_g, fids[0]);
    assert_int_equal(gofer_walk(g_g, &w), 0); /* the client sends the dropped one first */
    assert_int_equal(gofer_getattr(g_g, fids[0], &a), -EBADF);
    assert_int_equal(gofer_getattr(g_g, g_nodes[0].fid, &a), 0);
    assert_int_not_equal(g_nodes[0].fid, fids[0]);
    for (i = 1; i < 18; i++)
        gofer_fid_drop(g_g, fids[i]);
    gofer_fid_drop_flush(g_g);
    w.flags = GOFERP_WALK_EACH;
    for (i = 0; i < 17; i++)
        assert_int_equal(gofer_walk(g_g, &w), 0);
    assert_int_equal(gofer_walk(g_g, &w), 0);
    assert_int_equal(w.stop, -EMFILE);
}

#define THREADS 24

static void *hammer(void *arg)
{
    unsigned i, seed = (unsigned)(uintptr_t)arg;
    struct goferp_node nodes[4];
    long bad = 0;

    for (i = 0; i < 300; i++) {
        struct gofer_walk w = {.fid = g_root,
                               .path = "a/b/f",
                               .path_size = 5,
                               .nodes = nodes,
                               .node_max = 4,
                               .flags = GOFERP_WALK_EACH};
        int fd;

        bad += gofer_walk(g_g, &w) != 0 || w.walked != 3;
        bad += gofer_open(g_g, nodes[2].fid, O_RDONLY, &fd, NULL) != 0;
        if ((i + seed) % 50 == 0)
            bad += gofer_fsync(g_g, nodes[2].fid, false) != 0;
        close(fd);
        gofer_fid_drop(g_g, nodes[0].fid);
        gofer_fid_drop(g_g, nodes[1].fid);
        gofer_fid_drop(g_g, nodes[2].fid);
    }
    return (void *)bad;
}

static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    void *bad;
    int i;

    mkdir(at("a"), 0755);
    mkdir(at("a/b"), 0755);
    host_write(at("a/b/f"), "hello");
    for (i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)i);
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
}

/* A gofer that dies leaves errors, no signal and no hang. */
static void test_server_killed(void **state)
{
    struct goferp_attr a;
    struct test_server t = g_t;

    kill(g_t.pid, SIGKILL);
    assert_true(WIFSIGNALED(test_server_wait(&g_t)));
    assert_int_equal(gofer_getattr(g_g, g_root, &a), -EIO);
    assert_int_equal(gofer_ping(g_g), -EIO);
    gofer_fid_drop(g_g, g_root);
    gofer_fid_drop_flush(g_g);
    test_server_spawn(&g_t, NULL); /* for the tear-down */
    close(g_t.fd);
    g_t.fd = -1;
    t.pid = g_t.pid;
    g_t = t;
}

/* ---- unix sockets ---- */

static void test_unix_refused(void **state)
{
    struct goferp_node n;
    int fd;

    assert_int_equal(gofer_info(g_g)->features & GOFERP_F_UNIX, 0);
    assert_int_equal(gofer_bind(g_g, g_root, "s", SOCK_STREAM, &g_own, &fd, &n), -EACCES);
    assert_int_equal(access(at("s"), F_OK), -1);
}

static void test_unix(void **state)
{
    struct gofer_owner own = {0600, GOFERP_ID_KEEP, GOFERP_ID_KEEP};
    struct goferp_node n;
    char buf[8], longname[200];
    int fd, client;

    assert_int_equal(gofer_bind(g_g, g_root, "s", SOCK_STREAM, &own, &fd, &n), 0);
    assert_int_equal(n.attr.mode, S_IFSOCK | 0600);
    assert_int_equal(gofer_connect_unix(g_g, n.fid, SOCK_STREAM, &client), -ECONNREFUSED);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(gofer_connect_unix(g_g, n.fid, SOCK_STREAM, &client), 0);
    assert_int_equal(write(client, "hi", 2), 2);
    close(client);
    client = accept(fd, NULL, NULL);
    assert_int_equal(read(client, buf, sizeof(buf)), 2);
    close(client);
    close(fd);
    assert_int_equal(gofer_bind(g_g, g_root, "s", SOCK_STREAM, &own, &fd, &n), -EADDRINUSE);
    assert_int_equal(gofer_bind(g_g, g_root, "r", SOCK_RAW, &own, &fd, &n), -ESOCKTNOSUPPORT);
    memset(longname, 'n', sizeof(longname));
    longname[150] = 0;
    assert_int_equal(gofer_bind(g_g, g_root, longname, SOCK_DGRAM, &own, &fd, &n), -ENAMETOOLONG);
    host_write(at("f"), "");
    assert_int_equal(gofer_connect_unix(g_g, walk_to("f"), SOCK_STREAM, &client), -ECONNREFUSED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* clang-format off */
        T(test_handshake), T(test_walk), T(test_walk_symlink),
        T(test_walk_clone_and_dots), T(test_walk_open), T(test_walk_long),
        T(test_getattr), T(test_setattr), T(test_chown),
        T(test_statfs_access), T(test_open), T(test_open_renamed_and_removed),
        T(test_create), T(test_tmpfile), T(test_fsync_fallocate),
        T(test_readdir), T(test_readdir_plus), T(test_readdir_once),
        T(test_make), T(test_names), T(test_xattr),
        T(test_readonly), T(test_threads), T(test_server_killed),
        T(test_unix_refused),
        /* clang-format on */
        cmocka_unit_test_setup_teardown(test_fid_quota, start_small, stop),
        cmocka_unit_test_setup_teardown(test_unix, start_unix, stop),
    };

    setenv("TMPDIR", "/tmp", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
