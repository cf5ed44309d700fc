/* The host process that stands for a container: its pid is the container's pid.
 *
 * Clients look at that process and go into its namespaces: podman copies files through its mount
 * namespace, hooks furnish its network namespace, further containers of a pod name its namespaces
 * by path. So it is in the namespaces that config.json asks for, with the root file system as its
 * root; it runs no guest code. It takes over the connection that the container is attached to: it
 * ends with the container, with its status, and the container ends with it.
 *
 *   standin_start (before there is a container) → standin_go (the container is attached to
 * c->sandbox)
 *
 * An ordinary user, who may not make these namespaces, goes without: the sentry's pid stands. */
#pragma once

#include "creation.h"

struct standin {
    pid_t pid; /* 0: none */
    int go; /* written to when the container is there; its end without a word ends the stand-in */
};

/* 0 with s->pid 0 where it cannot be had; -1 and *e for a namespace that config.json names and that
 * cannot be entered. */
int standin_start(struct creation *c, struct standin *s, struct rf_error *e);
/* It takes over c->sandbox, which is closed here. */
void standin_go(struct creation *c, struct standin *s);
/* After a failure: it goes. */
void standin_drop(struct standin *s);
