/* SPDX-License-Identifier: Apache-2.0 */
#include "test_server.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MADE "/tmp/rf-gofer-" /* what the names of our directories start with */

static void die(const char *what)
{
    perror(what);
    abort();
}

static void exec_server(struct test_server *t, int fd, int ro, const char *extra)
{
    char fd_arg[32], rw_arg[64], ro_arg[64], log_arg[32];
    const char *path = getenv("RF_GOFER");
    int log = dup(2);

    snprintf(fd_arg, sizeof(fd_arg), "--fd=%d", fd);
    snprintf(rw_arg, sizeof(rw_arg), "--export=%d:rw:/", t->root);
    snprintf(ro_arg, sizeof(ro_arg), "--export=%d:ro", ro);
    snprintf(log_arg, sizeof(log_arg), "--debug-log-fd=%d", log);
    execl(path ? path : "./rf-gofer", "rf-gofer", fd_arg, rw_arg, ro_arg, log_arg,
          "--keep-caps=CHOWN,DAC_OVERRIDE,FOWNER,FSETID", "--allow-partial", extra, NULL);
    perror("rf-gofer");
    _exit(127);
}

void test_server_spawn(struct test_server *t, const char *extra)
{
    int sv[2], ro = open(t->ro, O_PATH | O_DIRECTORY);

    if (ro < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) < 0)
        die("socketpair");
    t->pid = fork();
    if (t->pid < 0)
        die("fork");
    if (t->pid == 0) {
        close(sv[0]);
        exec_server(t, sv[1], ro, extra);
    }
    close(sv[1]);
    close(ro);
    fcntl(sv[0], F_SETFD, FD_CLOEXEC);
    t->fd = sv[0];
}

void test_server_start(struct test_server *t, const char *extra)
{
    strcpy(t->dir, "/tmp/rf-gofer-test-XXXXXX");
    strcpy(t->ro, "/tmp/rf-gofer-ro-XXXXXX");
    if (!mkdtemp(t->dir) || !mkdtemp(t->ro))
        die("mkdtemp");
    t->root = open(t->dir, O_PATH | O_DIRECTORY);
    if (t->root < 0)
        die(t->dir);
    test_server_spawn(t, extra);
}

int test_server_wait(struct test_server *t)
{
    int status = -1;

    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    waitpid(t->pid, &status, 0);
    return status;
}

/* By descriptors alone: a name may be exchanged for a link while we look at it. */
static void empty_dir(int fd)
{
    DIR *d = fdopendir(fd);

    if (!d) {
        close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(d));) {
        int sub;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0)
            empty_dir(sub);
        unlinkat(fd, e->d_name, sub >= 0 ? AT_REMOVEDIR : 0);
    }
    closedir(d);
}

/* Only a directory that test_server_start made: t->dir and t->ro may name others when a test has
 * pointed a server at them and then failed. */
static void remove_made(const char *path)
{
    int fd;

    if (strncmp(path, MADE, strlen(MADE)) != 0 || strchr(path + strlen(MADE), '/'))
        return;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    empty_dir(fd);
    rmdir(path);
}

void test_server_clean(struct test_server *t)
{
    close(t->root);
    remove_made(t->dir);
    remove_made(t->ro);
}

bool test_is_host_root(void)
{
    unsigned inside = 1, outside = 1, count = 0;
    FILE *f = fopen("/proc/self/uid_map", "r");

    if (f && fscanf(f, "%u %u %u", &inside, &outside, &count) != 3)
        count = 0;
    if (f)
        fclose(f);
    return getuid() == 0 && outside == 0 && count > 65535;
}
