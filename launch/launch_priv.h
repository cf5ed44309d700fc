/* Private to launch/. */
#pragma once
#include "control.h"
#include "launch/launch.h"
#include "launch/sandbox.h"

/* ---- isolate.c ---- */

/* Start a helper process in fresh pid, mount, network, ipc, uts and cgroup namespaces (and, for an
 * ordinary user, a user namespace that holds its own id alone); with keep_net in the caller's
 * network. Returns as fork does: 0 in the child, which then calls launch_isolate_child; the child's
 * pid and *pidfd in the parent; or a negative errno. */
pid_t launch_isolate_fork(bool keep_net, int *pidfd);
/* 0 or a negative errno with *step naming what failed. */
int launch_isolate_child(bool die_with_parent, const char **step);

/* ---- helper.c: becoming a helper program ---- */

#define HELPER_ARGS_MAX 512
struct helper_args {
    char *argv[HELPER_ARGS_MAX];
    int argc;
};
void helper_arg(struct helper_args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* --name=fd, and fd stays open over the exec; nothing for fd < 0. */
void helper_arg_fd(struct helper_args *a, const char *name, int fd);
/* In the forked child. */
_Noreturn void helper_exec(const struct sandbox_spec *spec, bool is_gofer, const char *path,
                           struct helper_args *a);
int helper_fork_failed(const char *what, int err, struct launch_error *e);
void close_fd(int *fd); /* and -1 */

/* ---- describe.c: the texts of include/control.h, in unnamed files; descriptors, or -1 and *e ----
 */

struct message_fds { /* what a description names by index */
    int fd[CONTROL_FDS_MAX];
    unsigned count;
};
int describe_sandbox(const struct sandbox_spec *s, const char *platform, struct launch_error *e);
/* exports: the number of the gofer's export of each mount, or -1. Descriptors are added to fds. */
int describe_container(const struct sb_container *c, const int *exports, struct message_fds *fds,
                       struct launch_error *e);
int describe_process(const struct sb_process *p, struct message_fds *fds, struct launch_error *e);

/* ---- gofer.c ---- */

/* Start the gofer of c: *fd is the sentry's end of its socket; exports as above. */
int gofer_start(struct sandbox *s, const struct sb_container *c, int *exports, int *fd,
                struct launch_error *e);
/* End a gofer that no sentry has taken over. */
void gofer_abandon(struct sandbox *s);

/* ---- talk.c ---- */

struct talk_answer {
    struct control_msg msg;
    char text[CONTROL_TEXT_MAX + 1];
    size_t size; /* of all behind msg */
};
/* 0, or -1 and *e. */
int talk_send(struct sandbox *s, uint32_t type, const int32_t arg[4], const void *text, size_t size,
              const struct message_fds *fds, struct launch_error *e);
/* An order: no answer, no error. */
void talk_order(struct sandbox *s, uint32_t type, const int32_t arg[4], const char *text);
/* The next message, whatever it is. timeout_ms -1: for ever. 1: got one; 0: the sentry has gone; -1
 * and *e. */
int talk_receive(struct sandbox *s, struct talk_answer *a, int timeout_ms, struct launch_error *e);
/* Until OK (0) or ERROR (-1 and *e). on_item is called for each ITEM, may be NULL. */
typedef int talk_item_fn(void *arg, const struct talk_answer *a);
int talk_wait(struct sandbox *s, int timeout_ms, int32_t out[4], talk_item_fn *on_item, void *arg,
              struct launch_error *e);
/* talk_send with an id for its text, and talk_wait. */
int talk_ask(struct sandbox *s, uint32_t type, const int32_t arg[4], const char *id, int32_t out[4],
             struct launch_error *e);

/* ---- attend.c ---- */

/* Between the start of a program and attend_run, which goes on with them held; release: it never came
 * to that. */
void attend_hold_signals(void);
void attend_release_signals(void);
/* The connection stands for init (pid 0) or a process of container id from now on. */
void sandbox_stand_for(struct sandbox *s, const char *id, int pid);
/* Forward this process's signals until what s stands for has ended: its exit status. own_terminal:
 * restore our terminal at the end, and stop when the guest stops. */
int attend_run(struct sandbox *s, bool own_terminal, struct launch_error *e);

int status_of(int wait_status); /* as a shell says it */
