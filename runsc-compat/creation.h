/* Making a container: the steps that create and run share, and taking it down again.
 *
 *   begin     config.json read and checked, everything that can be refused is refused
 *   claim     the state directory, "creating"
 *   cgroups   made, limits written
 *   sandbox   started (or, in a pod, connected to); its pid is in state.json before a container is
 *             in it, so that delete finds whatever a killed creator left
 *   hooks     prestart, createRuntime, createContainer
 *   container created inside, "created"
 *
 * On a failure creation_undo takes back whatever was done. */
#pragma once

#include "cgroup.h"
#include "convert.h"
#include "state.h"

struct creation_args {
    const char *id, *bundle, *pid_file, *console_socket;
    int preserve_fds;
    bool attached; /* run in the foreground: everything ends with us */
};

struct creation {
    struct creation_args args;
    char bundle[PATH_MAX];
    json_t *config;
    struct rf_arena arena;
    struct sb_container c;
    struct rf_state state;
    struct cgroup_set cgroups;
    struct sandbox sandbox;
    struct sandbox_spec spec;
    int netns_fd, tty_fd;
    char netns_path[64];
    char pod[256]; /* the sandbox's first container, when this is a further one; "" else */
    bool claimed;
    pid_t pid;
};

/* On success the container is "created", c->sandbox is connected and the lock is held. */
int creation_create(struct creation *c, const struct creation_args *args, struct rf_error *e);
/* Run what is created. The connection is c->sandbox. */
int creation_start(struct rf_state *s, struct sandbox *sb, const json_t *config,
                   struct rf_error *e);
/* After a failure, and also to end what run has run: nothing is left. */
void creation_undo(struct creation *c);
/* Frees memory and closes descriptors; the container lives on. */
void creation_close(struct creation *c);

/* The sentence for an exec that failed, in the words that clients look for. */
void creation_exec_error(const struct launch_error *le, const char *argv0, struct rf_error *e);

/* Take a container down, whatever state it is in: guests, processes, cgroups, state. */
void container_teardown(struct rf_state *s);
/* config.json as it was when the container was made. */
json_t *container_config(const struct rf_state *s);
