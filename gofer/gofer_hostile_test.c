/* SPDX-License-Identifier: Apache-2.0 */
/* A sentry that was taken over against a real server process: raw messages, races, floods. */
#include <dirent.h>
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
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "gofercodec.h"
#include "test_server.h"

static struct test_server g_t;
static uint8_t g_out[GOFERP_MSG_MAX + 4096], g_in[GOFERP_MSG_MAX + 4096];
static struct gofercodec_writer g_w;
static struct gofercodec_reader g_r;
static uint64_t g_root;

/* ---- raw messages ---- */

static void begin(void)
{
    gofercodec_writer_init(&g_w, g_out, sizeof(g_out));
    gofercodec_reserve(&g_w, sizeof(struct goferp_req));
}

static int receive_on(int fd)
{
    struct goferp_rep rep;
    ssize_t got = recv(fd, g_in, sizeof(g_in), 0);

    if (got <= 0)
        return -4097; /* no server any more */
    gofercodec_reader_init(&g_r, g_in, (size_t)got);
    gofercodec_get(&g_r, &rep, sizeof(rep));
    assert_false(g_r.bad);
    assert_int_equal(rep.size, got);
    assert_in_range(-rep.status, 0, 4095);
    return rep.status;
}

/* What begin and puts made, as a message of this type; the status. */
static int call(uint16_t type)
{
    struct goferp_req req = {
        .size = (uint32_t)g_w.size, .type = type, .tag = 7, .cpu = GOFERP_NOCPU};

    memcpy(g_out, &req, sizeof(req));
    if (send(g_t.fd, g_out, g_w.size, MSG_NOSIGNAL) < 0)
        return -4097;
    return receive_on(g_t.fd);
}

static int call_empty(uint16_t type)
{
    begin();
    return call(type);
}

static int call_version(uint32_t magic, uint32_t min, uint32_t max)
{
    struct goferp_version_req q = {magic, min, max, 0};

    begin();
    gofercodec_put(&g_w, &q, sizeof(q));
    return call(GOFERP_VERSION);
}

static uint64_t attach(uint32_t export)
{
    struct goferp_attach_req q = {export, 0};
    struct goferp_attach_rep r;

    begin();
    gofercodec_put(&g_w, &q, sizeof(q));
    assert_int_equal(call(GOFERP_ATTACH), 0);
    gofercodec_get(&g_r, &r, sizeof(r));
    return r.fid;
}

/* One component, exactly these bytes: the status, or the reason of the stop; *node on success. */
static int walk_raw(uint64_t fid, const char *name, size_t size, struct goferp_node *node)
{
    struct goferp_walk_req q = {.fid = fid, .count = 1};
    struct goferp_walk_rep r;
    int rc;

    begin();
    gofercodec_put(&g_w, &q, sizeof(q));
    gofercodec_put_blob(&g_w, name, size);
    rc = call(GOFERP_WALK);
    if (rc < 0)
        return rc;
    gofercodec_get(&g_r, &r, sizeof(r));
    if (r.stop)
        return r.stop;
    gofercodec_get(&g_r, node, sizeof(*node));
    return 0;
}

static int getattr(uint64_t fid)
{
    struct goferp_fid_req q = {fid};

    begin();
    gofercodec_put(&g_w, &q, sizeof(q));
    return call(GOFERP_GETATTR);
}

static int clunk(uint64_t fid)
{
    struct goferp_clunk_req q = {.count = 1};
    struct goferp_clunk_rep r;

    begin();
    gofercodec_put(&g_w, &q, sizeof(q));
    gofercodec_put(&g_w, &fid, sizeof(fid));
    assert_int_equal(call(GOFERP_CLUNK), 0);
    gofercodec_get(&g_r, &r, sizeof(r));
    return (int)r.dropped;
}

/* ---- set-up ---- */

static int start(void **state)
{
    struct timeval limit = {.tv_sec = 20};

    test_server_start(&g_t, NULL);
    setsockopt(g_t.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)); /* a hang is a failure */
    if (call_version(GOFERP_MAGIC, 1, 1) < 0)
        return -1;
    g_root = attach(0);
    return 0;
}

static _Atomic int g_stop; /* ends swap_loop, also when its test has failed */

static int stop(void **state)
{
    int status = test_server_wait(&g_t);

    g_stop = 1;

    test_server_clean(&g_t);
    if (status)
        fprintf(stderr, "server status 0x%x\n", status);
    return status ? -1 : 0;
}

static char *at(const char *name)
{
    static char buf[4][256];
    static unsigned next;
    char *b = buf[next++ % 4];

    snprintf(b, sizeof(buf[0]), "%s/%s", g_t.dir, name);
    return b;
}

static void touch(const char *path)
{
    close(open(path, O_CREAT | O_WRONLY, 0644));
}

static int server_fd_count(void)
{
    char path[64];
    int count = 0;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/fd", g_t.pid);
    d = opendir(path);
    if (!d)
        return -1;
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* ---- handshake and framing ---- */

static void test_versions(void **state)
{
    struct test_server t = g_t;
    struct goferp_req req = {.size = 16, .type = GOFERP_PING};

    test_server_spawn(&g_t, NULL);
    send(g_t.fd, &req, sizeof(req), 0);
    assert_int_equal(receive_on(g_t.fd), -EPROTO); /* not before VERSION */
    assert_int_equal(call_version(GOFERP_MAGIC + 1, 1, 1), -EPROTONOSUPPORT);
    assert_int_equal(call_version(GOFERP_MAGIC, 2, 9), -EPROTONOSUPPORT);
    assert_int_equal(call_version(GOFERP_MAGIC, 0, 0), -EPROTONOSUPPORT);
    assert_int_equal(call_version(GOFERP_MAGIC, 0, 9), 0);
    assert_int_equal(test_server_wait(&g_t), 0);
    g_t = t;
}

static void test_framing(void **state)
{
    struct goferp_req req = {.size = 16, .type = GOFERP_PING};

    send(g_t.fd, &req, 5, 0);
    assert_int_equal(receive_on(g_t.fd), -EBADMSG);
    req.size = 17;
    send(g_t.fd, &req, sizeof(req), 0);
    assert_int_equal(receive_on(g_t.fd), -EBADMSG);
    memset(g_out, 0, sizeof(g_out));
    send(g_t.fd, g_out, sizeof(g_out), 0); /* larger than any message */
    assert_int_equal(receive_on(g_t.fd), -EBADMSG);
    assert_int_equal(call_empty(0), -EOPNOTSUPP);
    assert_int_equal(call_empty(GOFERP_TYPE_END), -EOPNOTSUPP);
    assert_int_equal(call_empty(0xffff), -EOPNOTSUPP);
    assert_int_equal(call_empty(GOFERP_WALK), -EBADMSG);
    begin();
    gofercodec_put(&g_w, "x", 1);
    assert_int_equal(call(GOFERP_PING), -EBADMSG); /* bytes left over */
    assert_int_equal(call_empty(GOFERP_PING), 0);
}

/* Every type with every body size up to 200: an error or nothing, never an end. */
static void test_short_bodies(void **state)
{
    unsigned type, size, fill;

    for (fill = 0; fill < 2; fill++) {
        memset(g_out, fill ? 0xff : 0, 1024);
        for (type = 0; type <= GOFERP_TYPE_END; type++) {
            if (type == GOFERP_CHANNEL)
                continue;
            for (size = 0; size < 200; size++) {
                begin();
                gofercodec_reserve(&g_w, size);
                assert_int_not_equal(call((uint16_t)type), -4097);
            }
        }
    }
    assert_int_equal(call_empty(GOFERP_PING), 0);
}

/* ---- escapes ---- */

static void test_names(void **state)
{
    char longname[300];
    struct goferp_node n;

    mkdir(at("d"), 0755);
    touch(at("d/f"));
    memset(longname, 'a', sizeof(longname));
    assert_int_equal(walk_raw(g_root, "..", 2, &n), -EINVAL);
    assert_int_equal(walk_raw(g_root, ".", 1, &n), -EINVAL);
    assert_int_equal(walk_raw(g_root, "", 0, &n), -ENOENT);
    assert_int_equal(walk_raw(g_root, "d/f", 3, &n), -EINVAL);
    assert_int_equal(walk_raw(g_root, "/etc", 4, &n), -EINVAL);
    assert_int_equal(walk_raw(g_root, "d\0f", 3, &n), -EINVAL);
    assert_int_equal(walk_raw(g_root, longname, 256, &n), -ENAMETOOLONG);
    assert_int_equal(walk_raw(g_root, longname, 255, &n), -ENOENT);
    assert_int_equal(walk_raw(g_root, "...", 3, &n), -ENOENT);
    assert_int_equal(walk_raw(g_root, "d", 1, &n), 0);
}

static void *swap_loop(void *arg)
{
    while (!g_stop)
        syscall(SYS_renameat2, AT_FDCWD, at("x"), AT_FDCWD, at("y"), RENAME_EXCHANGE);
    return NULL;
}

/* "x" is now a directory, now a link to /etc: "x/passwd" is the directory's or nothing, never
 * /etc's. */
static void test_symlink_race(void **state)
{
    struct stat outside, inside;
    struct goferp_node dir, file;
    pthread_t thread;
    int i, found = 0, refused = 0;

    assert_int_equal(stat("/etc/passwd", &outside), 0);
    mkdir(at("x"), 0755);
    touch(at("x/passwd"));
    stat(at("x/passwd"), &inside);
    assert_int_equal(symlink("/etc", at("y")), 0);
    g_stop = 0;
    pthread_create(&thread, NULL, swap_loop, NULL);
    for (i = 0; i < 5000; i++) {
        assert_int_equal(walk_raw(g_root, "x", 1, &dir), 0);
        if (walk_raw(dir.fid, "passwd", 6, &file) == 0) {
            assert_int_equal(file.attr.ino, inside.st_ino);
            clunk(file.fid);
            found++;
        } else {
            refused++;
        }
        clunk(dir.fid);
    }
    g_stop = 1;
    pthread_join(thread, NULL);
    assert_true(found && refused);
}

/* A sandbox over the host's root has no host /proc and /sys in it. */
static void test_kernel_filesystems(void **state)
{
    struct test_server t = g_t;
    struct goferp_node n;
    uint64_t root;

    strcpy(g_t.ro, "/"); /* never cleaned: test_server_clean removes only what it made */
    test_server_spawn(&g_t, NULL);
    assert_int_equal(call_version(GOFERP_MAGIC, 1, 1), 0);
    root = attach(1);
    assert_int_equal(walk_raw(root, "usr", 3, &n), 0);
    assert_int_equal(walk_raw(root, "proc", 4, &n), -EACCES);
    assert_int_equal(walk_raw(root, "sys", 3, &n), -EACCES);
    assert_int_equal(test_server_wait(&g_t), 0);
    g_t = t;
}

/* ---- fids ---- */

static void test_stale_fids(void **state)
{
    struct goferp_node a, b;

    touch(at("a"));
    touch(at("b"));
    assert_int_equal(walk_raw(g_root, "a", 1, &a), 0);
    assert_int_equal(clunk(a.fid), 1);
    assert_int_equal(clunk(a.fid), 0);
    assert_int_equal(getattr(a.fid), -EBADF);
    assert_int_equal(walk_raw(g_root, "b", 1, &b), 0); /* most likely in the same slot */
    assert_int_equal(getattr(a.fid), -EBADF);
    assert_int_equal(getattr(b.fid), 0);
    assert_int_equal(getattr(b.fid + 1), -EBADF);
    assert_int_equal(getattr(b.fid ^ 1ull << 32), -EBADF);
    assert_int_equal(getattr(0), -EBADF);
    assert_int_equal(getattr(UINT64_MAX), -EBADF);
    assert_int_equal(getattr(b.fid & 0xffffffff), -EBADF);
}

static void test_no_descriptor_leak(void **state)
{
    struct goferp_node n;
    int i, before = server_fd_count();

    mkdir(at("d"), 0755);
    for (i = 0; i < 500; i++) {
        assert_int_equal(walk_raw(g_root, "d", 1, &n), 0);
        walk_raw(n.fid, "none", 4, &n);
        clunk(n.fid);
    }
    assert_int_equal(server_fd_count(), before);
}

/* Descriptors that we send are not kept. */
static void test_sent_descriptors(void **state)
{
    struct goferp_req req = {.size = 16, .type = GOFERP_PING};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {&req, sizeof(req)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf)};
    struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);
    int i, before = server_fd_count(), fd = 0;

    *cm = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
    for (i = 0; i < 50; i++) {
        assert_int_equal(sendmsg(g_t.fd, &msg, 0), sizeof(req));
        assert_int_equal(receive_on(g_t.fd), 0);
    }
    assert_int_equal(server_fd_count(), before);
}

/* ---- floods ---- */

static int make_channel(void)
{
    struct goferp_req req = {.size = 16, .type = GOFERP_CHANNEL, .cpu = GOFERP_NOCPU};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {g_in, sizeof(g_in)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf)};
    struct goferp_rep rep;
    int fd = -1;

    send(g_t.fd, &req, sizeof(req), 0);
    assert_true(recvmsg(g_t.fd, &msg, MSG_CMSG_CLOEXEC) >= (ssize_t)sizeof(rep));
    memcpy(&rep, g_in, sizeof(rep));
    if (rep.status < 0)
        return rep.status;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
    return fd;
}

static int ping_on(int fd)
{
    struct goferp_req req = {.size = 16, .type = GOFERP_PING};

    send(fd, &req, sizeof(req), MSG_NOSIGNAL);
    return receive_on(fd);
}

static void test_channel_limit(void **state)
{
    int fds[GOFERP_CHANNELS_MAX], i, again;

    for (i = 1; i < (int)GOFERP_CHANNELS_MAX; i++) {
        fds[i] = make_channel();
        assert_true(fds[i] >= 0);
        assert_int_equal(ping_on(fds[i]), 0);
    }
    assert_int_equal(make_channel(), -EUSERS);
    close(fds[1]);
    for (again = -EUSERS, i = 0; again == -EUSERS && i < 1000; i++, usleep(1000))
        again = make_channel();
    assert_true(again >= 0);
    assert_int_equal(ping_on(again), 0);
    for (i = 2; i < (int)GOFERP_CHANNELS_MAX; i++)
        close(fds[i]);
    close(again);
}

/* Requests whose replies nobody reads stop their own channel only, and the end comes all the same.
 */
static void test_unread_replies(void **state)
{
    struct goferp_req req = {.size = 16, .type = GOFERP_PING};
    int other = make_channel(), i;

    for (i = 0; i < 100000; i++)
        if (send(other, &req, sizeof(req), MSG_DONTWAIT) < 0 && i > 2000)
            break;
    assert_int_equal(ping_on(g_t.fd), 0);
    assert_int_equal(getattr(g_root), 0);
}

static void *clunk_loop(void *arg)
{
    int fd = (int)(intptr_t)arg;
    struct {
        struct goferp_req req;
        struct goferp_clunk_req q;
        uint64_t fids[64];
    } m = {.req = {.size = sizeof(m), .type = GOFERP_CLUNK}, .q = {.count = 64}};
    char reply[256];
    uint32_t g = 1;
    int i;

    while (!g_stop) {
        for (i = 0; i < 64; i++)
            m.fids[i] = (uint64_t)(g + (uint32_t)i / 8) << 32 | (2 + i % 8);
        g = g % 60000 + 8;
        send(fd, &m, sizeof(m), MSG_NOSIGNAL);
        recv(fd, reply, sizeof(reply), 0);
    }
    return NULL;
}

/* Another thread clunks fids, guessed, while they are being walked from. */
static void test_clunk_race(void **state)
{
    int i, other = make_channel(), before;
    struct goferp_node d, f;
    pthread_t thread;

    mkdir(at("d"), 0755);
    touch(at("d/f"));
    assert_int_equal(ping_on(g_t.fd), 0); /* the descriptor just donated is closed over there */
    before = server_fd_count();
    g_stop = 0;
    pthread_create(&thread, NULL, clunk_loop, (void *)(intptr_t)other);
    for (i = 0; i < 20000; i++) {
        if (walk_raw(g_root, "d", 1, &d) < 0)
            continue;
        if (walk_raw(d.fid, "f", 1, &f) == 0)
            clunk(f.fid);
        clunk(d.fid);
    }
    g_stop = 1;
    pthread_join(thread, NULL);
    assert_int_equal(getattr(g_root), 0);
    assert_int_equal(server_fd_count(), before);
    close(other);
}

/* Random bodies with fids that exist, so that the checks behind the first ones are reached. */
static void test_garbage(void **state)
{
    unsigned seed = 12345, i, k, size;
    struct goferp_node n;

    mkdir(at("d"), 0755);
    for (i = 0; i < 20000; i++) {
        uint16_t type = (uint16_t)(rand_r(&seed) % (GOFERP_TYPE_END + 1));

        if (type == GOFERP_CHANNEL || type == GOFERP_FLUSH || type == GOFERP_FSYNC)
            continue;
        begin();
        size = (unsigned)rand_r(&seed) % 120;
        for (k = 0; k < size; k++)
            g_out[16 + k] = (uint8_t)(rand_r(&seed) % 3 ? rand_r(&seed) % 4 : rand_r(&seed));
        if (size >= 16) {
            if (walk_raw(g_root, "d", 1, &n) < 0)
                n.fid = g_root;
            memcpy(g_out + 16, rand_r(&seed) % 2 ? &n.fid : &g_root, 8);
            begin();
        }
        gofercodec_reserve(&g_w, size);
        assert_int_not_equal(call(type), -4097);
        if (size >= 16 && n.fid != g_root)
            clunk(n.fid);
    }
    assert_int_equal(call_empty(GOFERP_PING), 0);
}

/* ---- confinement and end ---- */

static void test_ends_with_socket(void **state)
{
    struct test_server t = g_t;
    int other, i;

    test_server_spawn(&g_t, NULL);
    assert_int_equal(call_version(GOFERP_MAGIC, 1, 1), 0);
    other = make_channel();
    assert_true(other >= 0);
    close(g_t.fd);
    g_t.fd = -1;
    for (i = 0; i < 2000 && waitpid(g_t.pid, &(int){0}, WNOHANG | WNOWAIT) == 0; i++)
        usleep(1000);
    assert_true(i < 2000);
    assert_int_equal(test_server_wait(&g_t), 0);
    close(other);
    g_t = t;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool g_sanitized = true; /* such a build has no seccomp list */
#else
static const bool g_sanitized = false;
#endif

static void test_forbidden_call_kills(void **state)
{
    struct test_server t = g_t;
    int status;

    if (g_sanitized)
        skip();
    test_server_spawn(&g_t, "--selftest=forbidden");
    status = test_server_wait(&g_t);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
    g_t = t;
}

static bool status_has(const char *line)
{
    char path[64], buf[256];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", g_t.pid);
    f = fopen(path, "r");
    while (f && fgets(buf, sizeof(buf), f))
        found |= strcmp(buf, line) == 0;
    if (f)
        fclose(f);
    return found;
}

static void test_confined(void **state)
{
    char path[64];
    struct dirent *e;
    DIR *d;

    assert_true(status_has("NoNewPrivs:\t1\n"));
    assert_true(g_sanitized || status_has("Seccomp:\t2\n"));
    if (getuid() != 0)
        skip();                                             /* what follows needs root */
    assert_true(status_has("CapEff:\t000000000000001b\n")); /* those of --keep-caps */
    assert_true(status_has("CapPrm:\t000000000000001b\n"));
    assert_true(status_has("CapBnd:\t000000000000001b\n"));
    assert_true(status_has("CapInh:\t0000000000000000\n"));
    snprintf(path, sizeof(path), "/proc/%d/root", g_t.pid);
    d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)))
        assert_int_equal(e->d_name[0], '.');
    closedir(d);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_versions),
        T(test_framing),
        T(test_short_bodies),
        T(test_names),
        T(test_symlink_race),
        T(test_kernel_filesystems),
        T(test_stale_fids),
        T(test_no_descriptor_leak),
        T(test_sent_descriptors),
        T(test_channel_limit),
        T(test_unread_replies),
        T(test_clunk_race),
        T(test_garbage),
        T(test_ends_with_socket),
        T(test_forbidden_call_kills),
        T(test_confined),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
