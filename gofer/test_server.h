/* SPDX-License-Identifier: Apache-2.0 */
/* For the gofer's tests and bench: a real rf-gofer process on a temporary directory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct test_server {
    pid_t pid;
    int fd;       /* our end of the first channel; -1 once given to gofer_connect */
    char dir[64]; /* export 0, writable */
    char ro[64];  /* export 1, read-only */
    int root;     /* descriptor of dir */
};

/* extra: one more argument or NULL. Makes the directories. */
void test_server_start(struct test_server *t, const char *extra);
/* Only the process, on directories that exist. */
void test_server_spawn(struct test_server *t, const char *extra);
/* Closes fd if it is ours, waits; the wait status. */
int test_server_wait(struct test_server *t);
void test_server_clean(struct test_server *t);
/* Root, and not merely in a user namespace of one's own. */
bool test_is_host_root(void);
