/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips of the gofer, in microseconds, one thread and several. Not a test: run it by hand. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/gofer_client.h"
#include "test_server.h"

#define ROUNDS 20000

static struct gofer *g_g;
static uint64_t g_root, g_file;

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int do_ping(void)
{
    return gofer_ping(g_g);
}

static int do_walk(uint16_t flags)
{
    struct goferp_node nodes[4];
    struct gofer_walk w = {.fid = g_root,
                           .path = "a/b/f",
                           .path_size = 5,
                           .flags = flags,
                           .nodes = nodes,
                           .node_max = 4};
    unsigned i;
    int rc = gofer_walk(g_g, &w);

    for (i = 0; rc == 0 && i < w.walked; i++)
        gofer_fid_drop(g_g, nodes[i].fid);
    if (rc == 0 && w.fd >= 0)
        close(w.fd);
    return rc;
}

static int do_stat(void)
{
    return do_walk(GOFERP_WALK_STAT);
}

static int do_walk_last(void)
{
    return do_walk(0);
}

static int do_walk_each(void)
{
    return do_walk(GOFERP_WALK_EACH);
}

static int do_walk_open(void)
{
    return do_walk(GOFERP_WALK_OPEN);
}

static int do_getattr(void)
{
    struct goferp_attr a;

    return gofer_getattr(g_g, g_file, &a);
}

static int do_open(void)
{
    int fd, rc = gofer_open(g_g, g_file, O_RDONLY, &fd, NULL);

    if (rc == 0)
        close(fd);
    return rc;
}

static int do_readdir(void)
{
    char buf[1000];
    uint64_t dirfid;

    return gofer_readdir_once(g_g, g_root, GOFERP_READDIR_PLUS, buf, sizeof(buf), &dirfid);
}

static void run(const char *what, int (*f)(void))
{
    double start, took;
    int i, round;

    for (round = 0; round < 2; round++) {
        start = now_us();
        for (i = 0; i < ROUNDS; i++)
            if (f() < 0)
                abort();
        took = (now_us() - start) / ROUNDS;
    }
    printf("%-28s %6.2f us\n", what, took);
}

static void *stat_loop(void *arg)
{
    int i;

    for (i = 0; i < ROUNDS; i++)
        if (do_stat() < 0)
            abort();
    return arg;
}

static void run_threads(int count)
{
    pthread_t threads[64];
    double start = now_us();
    int i;

    for (i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, stat_loop, NULL);
    for (i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("stat a/b/f, %2d threads        %6.2f us each (all together %.2f)\n", count,
           (now_us() - start) / ROUNDS, (now_us() - start) / ROUNDS / count);
}

int main(void)
{
    struct goferp_attach_rep a;
    struct test_server t;
    struct goferp_node nodes[4];
    struct gofer_walk w = {.path = "a/b/f", .path_size = 5, .nodes = nodes, .node_max = 4};
    double start = now_us();
    int fd;

    test_server_start(&t, NULL);
    if (gofer_connect(t.fd, &g_g) < 0 || gofer_attach(g_g, 0, &a) < 0)
        return 1;
    printf("start and confine            %6.0f us\n", now_us() - start);
    g_root = a.fid;
    mkdirat(t.root, "a", 0755);
    mkdirat(t.root, "a/b", 0755);
    fd = openat(t.root, "a/b/f", O_CREAT | O_WRONLY, 0644);
    close(fd);
    w.fid = g_root;
    if (gofer_walk(g_g, &w) < 0 || w.stop)
        return 1;
    g_file = nodes[2].fid;
    run("ping", do_ping);
    run("getattr", do_getattr);
    run("stat a/b/f", do_stat);
    run("walk a/b/f, last fid, drop", do_walk_last);
    run("walk a/b/f, 3 fids, drop", do_walk_each);
    run("walk a/b/f + open, close", do_walk_open);
    run("open by fid, close", do_open);
    run("readdir of a small directory", do_readdir);
    run_threads(2);
    run_threads(4);
    run_threads(16);
    gofer_put(g_g);
    t.fd = -1;
    test_server_wait(&t);
    test_server_clean(&t);
    return 0;
}
