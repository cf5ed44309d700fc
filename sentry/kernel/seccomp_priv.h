/* Between seccomp.c and seccomp_notify.c. */
#pragma once
#include "kernel/kernel_priv.h"

#include <linux/seccomp.h>

struct seccomp_listener;

/* A listener for a new filter, and its descriptor's file. */
int listener_new(struct task *t, unsigned flags, struct seccomp_listener **out, struct file **file);
void listener_put(struct seccomp_listener *l);
void listener_orphan(struct seccomp_listener *l); /* its filter is gone: nobody will ask any more */
/* Ask the supervisor about the call d. True: *result is the answer (or a restart code); false: the
 * call goes on. */
bool listener_ask(struct task *t, struct seccomp_listener *l, const struct seccomp_data *d,
                  int64_t *result);
