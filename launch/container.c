/* What can be asked of a sandbox about its containers: see launch/sandbox.h. */
#include "launch/launch_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- create, exec ---- */

static int create_with(struct sandbox *s, const struct sb_container *c, const int *exports,
                       int gofer_fd, unsigned flags, struct launch_error *e)
{
    struct message_fds fds = {.count = 2};
    int32_t arg[4] = {flags};
    int text = describe_container(c, exports, &fds, e);
    if (text < 0)
        return -1;
    fds.fd[0] = text;
    fds.fd[1] = gofer_fd;
    int err = talk_send(s, CONTROL_CREATE, arg, "", 0, &fds, e);
    close(text);
    return err;
}

static int check(const struct sb_container *c, struct launch_error *e)
{
    if (!c->id || !*c->id || strlen(c->id) > SB_ID_MAX)
        return launch_fail(e, RF_EXIT_ERROR, "a container id has 1 to %d bytes", SB_ID_MAX);
    if (!c->process.argv || !c->process.argv[0])
        return launch_fail(e, RF_EXIT_ERROR, "no program is given");
    return 0;
}

int container_create(struct sandbox *s, const struct sb_container *c, unsigned flags,
                     struct launch_error *e)
{
    int gofer_fd = -1;
    int *exports = calloc(c->mount_count + 1, sizeof(*exports));
    if (!exports)
        return launch_fail(e, RF_EXIT_ERROR, "out of memory");
    int err = check(c, e);
    if (!err)
        err = gofer_start(s, c, exports, &gofer_fd, e);
    if (!err && (flags & SB_ATTACH))
        attend_hold_signals();
    if (!err)
        err = create_with(s, c, exports, gofer_fd, flags, e);
    close_fd(&gofer_fd);
    free(exports);
    if (!err)
        err = talk_wait(s, s->timeout_ms, NULL, NULL, NULL, e);
    if (err) {
        gofer_abandon(s);
        attend_release_signals();
    }
    if (!err && (flags & SB_ATTACH))
        sandbox_stand_for(s, c->id, 0);
    return err;
}

int container_start(struct sandbox *s, const char *id, struct launch_error *e)
{
    return talk_ask(s, CONTROL_START_INIT, NULL, id, NULL, e);
}

int container_exec(struct sandbox *s, const char *id, const struct sb_process *p, unsigned flags,
                   int *pid, struct launch_error *e)
{
    struct message_fds fds = {.count = 1};
    int32_t arg[4] = {flags}, out[4];
    if (!p->argv || !p->argv[0])
        return launch_fail(e, RF_EXIT_ERROR, "no program is given");
    fds.fd[0] = describe_process(p, &fds, e);
    if (fds.fd[0] < 0)
        return -1;
    int err = talk_send(s, CONTROL_EXEC, arg, id, strlen(id), &fds, e);
    close(fds.fd[0]);
    if (!err)
        err = talk_wait(s, s->timeout_ms, out, NULL, NULL, e);
    if (!err)
        *pid = out[0];
    if (!err && (flags & SB_ATTACH))
        sandbox_stand_for(s, id, out[0]);
    return err;
}

/* ---- orders ---- */

static int signal_to(struct sandbox *s, const char *id, int pid, int sig, int flags,
                     struct launch_error *e)
{
    int32_t arg[4] = {pid, sig, flags};
    return talk_ask(s, CONTROL_SIGNAL, arg, id, NULL, e);
}

int container_signal(struct sandbox *s, const char *id, int pid, int sig, struct launch_error *e)
{
    return signal_to(s, id, pid, sig, 0, e);
}

int container_signal_foreground(struct sandbox *s, const char *id, int pid, int sig,
                                struct launch_error *e)
{
    return signal_to(s, id, pid, sig, CONTROL_FOREGROUND, e);
}

int container_pause(struct sandbox *s, const char *id, struct launch_error *e)
{
    return talk_ask(s, CONTROL_PAUSE, NULL, id, NULL, e);
}

int container_resume(struct sandbox *s, const char *id, struct launch_error *e)
{
    return talk_ask(s, CONTROL_RESUME, NULL, id, NULL, e);
}

int container_update(struct sandbox *s, const char *id, const struct sb_limits *l,
                     struct launch_error *e)
{
    struct control_limits c = {l->memory, l->cpu_quota_us, l->cpu_period_us, l->cpu_shares,
                               l->pids};
    char text[SB_ID_MAX + 1 + sizeof(c)];
    size_t size = strlen(id) + 1;
    if (size > SB_ID_MAX + 1)
        return launch_fail(e, RF_EXIT_ERROR, "a container id has 1 to %d bytes", SB_ID_MAX);
    memcpy(text, id, size);
    memcpy(text + size, &c, sizeof(c));
    if (talk_send(s, CONTROL_UPDATE, NULL, text, size + sizeof(c), NULL, e))
        return -1;
    return talk_wait(s, s->timeout_ms, NULL, NULL, NULL, e);
}

int container_destroy(struct sandbox *s, const char *id, struct launch_error *e)
{
    if (talk_ask(s, CONTROL_DESTROY, NULL, id, NULL, e) == 0)
        return 0;
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    bool gone = poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
    return gone ? 0 : -1; /* the root container's end is the sandbox's */
}

/* ---- lists ---- */

struct list_arg {
    void *items; /* malloc'd */
    unsigned count;
    size_t size;
    void (*convert)(const struct talk_answer *a, void *out);
    size_t wire_size;
};

static int on_item(void *arg, const struct talk_answer *a)
{
    struct list_arg *l = arg;
    if (a->size != a->msg.text_size + l->wire_size || l->count > 1u << 20)
        return -1;
    char *bigger = realloc(l->items, (l->count + 1) * l->size);
    if (!bigger)
        return -1;
    l->items = bigger;
    l->convert(a, bigger + l->count++ * l->size);
    return 0;
}

static int ask_list(struct sandbox *s, uint32_t type, const char *id, struct list_arg *l,
                    struct launch_error *e)
{
    int err = talk_send(s, type, NULL, id, strlen(id), NULL, e);
    if (!err)
        err = talk_wait(s, s->timeout_ms, NULL, on_item, l, e);
    if (err) {
        free(l->items);
        l->items = NULL;
        l->count = 0;
    }
    return err;
}

static void convert_info(const struct talk_answer *a, void *out)
{
    struct control_info w;
    struct sb_info *i = out;
    memcpy(&w, a->text + a->msg.text_size, sizeof(w));
    *i = (struct sb_info){.state = w.state,
                          .init_pid = w.init_pid,
                          .root = w.is_root,
                          .wait_status = w.wait_status,
                          .oom_killed = w.oom_killed};
    snprintf(i->id, sizeof(i->id), "%.*s", (int)a->msg.text_size, a->text);
}

int sandbox_list(struct sandbox *s, struct sb_info **out, unsigned *count, struct launch_error *e)
{
    struct list_arg l = {.size = sizeof(struct sb_info),
                         .convert = convert_info,
                         .wire_size = sizeof(struct control_info)};
    int err = ask_list(s, CONTROL_INFO, "", &l, e);
    *out = l.items;
    *count = l.count;
    return err;
}

static int one_of(struct list_arg *l, int err, void *out, struct launch_error *e)
{
    if (!err && l->count != 1)
        err = launch_fail(e, RF_EXIT_ERROR, "the sandbox's answer makes no sense");
    if (!err)
        memcpy(out, l->items, l->size);
    free(l->items);
    return err;
}

int container_info(struct sandbox *s, const char *id, struct sb_info *out, struct launch_error *e)
{
    struct list_arg l = {.size = sizeof(struct sb_info),
                         .convert = convert_info,
                         .wire_size = sizeof(struct control_info)};
    if (!*id)
        return launch_fail(e, RF_EXIT_ABSENT, "container \"\" does not exist");
    return one_of(&l, ask_list(s, CONTROL_INFO, id, &l, e), out, e);
}

static void convert_ps(const struct talk_answer *a, void *out)
{
    struct control_ps w;
    struct sb_ps *p = out;
    memcpy(&w, a->text + a->msg.text_size, sizeof(w));
    w.comm[sizeof(w.comm) - 1] = w.args[sizeof(w.args) - 1] = 0;
    *p = (struct sb_ps){.pid = w.pid,
                        .ppid = w.ppid,
                        .threads = w.threads,
                        .uid = w.uid,
                        .gid = w.gid,
                        .state = w.state,
                        .start_ns = w.start_ns,
                        .cpu_ns = w.cpu_ns,
                        .rss = w.rss};
    memcpy(p->comm, w.comm, sizeof(p->comm));
    memcpy(p->args, w.args, sizeof(p->args));
}

int container_ps(struct sandbox *s, const char *id, struct sb_ps **out, unsigned *count,
                 struct launch_error *e)
{
    struct list_arg l = {.size = sizeof(struct sb_ps),
                         .convert = convert_ps,
                         .wire_size = sizeof(struct control_ps)};
    int err = ask_list(s, CONTROL_PS, id, &l, e);
    *out = l.items;
    *count = l.count;
    return err;
}

static void convert_stats(const struct talk_answer *a, void *out)
{
    struct control_stats w;
    memcpy(&w, a->text + a->msg.text_size, sizeof(w));
    *(struct sb_stats *)out = (struct sb_stats){
        .memory_usage = w.memory_usage,
        .memory_peak = w.memory_peak,
        .memory_limit = w.memory_limit,
        .memory_failures = w.memory_failures,
        .oom_kills = w.oom_kills,
        .cpu_user_ns = w.cpu_user_ns,
        .cpu_system_ns = w.cpu_system_ns,
        .cpu_periods = w.cpu_periods,
        .cpu_throttled_periods = w.cpu_throttled_periods,
        .cpu_throttled_ns = w.cpu_throttled_ns,
        .pids_current = w.pids_current,
        .pids_limit = w.pids_limit,
        .processes = w.processes,
        .forks = w.forks,
    };
}

int container_stats(struct sandbox *s, const char *id, struct sb_stats *out, struct launch_error *e)
{
    struct list_arg l = {.size = sizeof(struct sb_stats),
                         .convert = convert_stats,
                         .wire_size = sizeof(struct control_stats)};
    return one_of(&l, ask_list(s, CONTROL_STATS, id, &l, e), out, e);
}

struct lines_arg {
    void (*fn)(void *arg, const char *line);
    void *arg;
};

static int on_line(void *arg, const struct talk_answer *a)
{
    struct lines_arg *l = arg;
    l->fn(l->arg, a->text);
    return 0;
}

int container_stacks(struct sandbox *s, const char *id, void (*fn)(void *arg, const char *line),
                     void *arg, struct launch_error *e)
{
    struct lines_arg l = {fn, arg};
    if (talk_send(s, CONTROL_STACKS, NULL, id, strlen(id), NULL, e))
        return -1;
    return talk_wait(s, s->timeout_ms, NULL, on_line, &l, e);
}

int sandbox_trace(struct sandbox *s, const char *set, int fd, struct launch_error *e)
{
    struct message_fds fds = {.fd = {fd}, .count = 1};
    if (talk_send(s, CONTROL_TRACE, NULL, set, strlen(set), &fds, e))
        return -1;
    return talk_wait(s, s->timeout_ms, NULL, NULL, NULL, e);
}

/* ---- waiting ---- */

int container_wait_begin(struct sandbox *s, const char *id, int pid, struct launch_error *e)
{
    int32_t arg[4] = {pid};
    return talk_send(s, CONTROL_WAIT, arg, id, strlen(id), NULL, e);
}

int container_wait_end(struct sandbox *s, int *wait_status, struct launch_error *e)
{
    int32_t out[4];
    int err = talk_wait(s, /*timeout_ms=*/-1, out, NULL, NULL, e);
    if (!err)
        *wait_status = out[0];
    return err;
}

int container_wait(struct sandbox *s, const char *id, int pid, int *wait_status,
                   struct launch_error *e)
{
    int err = container_wait_begin(s, id, pid, e);
    return err ? err : container_wait_end(s, wait_status, e);
}
