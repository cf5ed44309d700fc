/* See creation.h. */
#include "creation.h"
#include "hooks.h"
#include "netns.h"
#include "spec.h"
#include "standin.h"
#include "start_hook.h"
#include "tty.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- begin: everything that can be refused ---- */

static int check_terminal(const struct creation *c, struct rf_error *e)
{
    bool terminal = c->c.process.terminal;
    if (terminal && !c->args.console_socket && !c->args.attached)
        return rf_fail(e,
                       "cannot allocate tty if runrf will detach without setting console socket");
    if (!terminal && c->args.console_socket)
        return rf_fail(e, "cannot use console socket if runrf will not detach or allocate tty");
    return 0;
}

static const char *annotation(const json_t *config, const char *key)
{
    return json_string_value(json_object_get(spec_get(config, "annotations"), key));
}

/* A further container of a pod says so, and names the pod's first one: containerd's words, CRI-O's.
 */
static void find_pod(struct creation *c)
{
    static const char *const keys[][2] = {
        {"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"},
        {"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"}};
    for (size_t i = 0; i < 2; i++) {
        const char *type = annotation(c->config, keys[i][0]),
                   *id = annotation(c->config, keys[i][1]);
        if (type && id && !strcmp(type, "container") && strcmp(id, c->args.id))
            snprintf(c->pod, sizeof(c->pod), "%s", id);
    }
}

static int begin(struct creation *c, struct rf_error *e)
{
    const char *bundle = c->args.bundle && *c->args.bundle ? c->args.bundle : ".";
    if (state_check_id(c->args.id, e) < 0)
        return -1;
    if (!realpath(bundle, c->bundle) || chdir(c->bundle) < 0)
        return rf_fail(e, "the bundle %s: %s", bundle, strerror(errno));
    c->config = spec_load(c->bundle, e);
    if (!c->config || convert_container(c->config, c->bundle, &c->arena, &c->c, e) < 0 ||
        convert_home(c->c.rootfs, &c->arena, &c->c.process, e) < 0)
        return -1;
    c->c.id = c->args.id;
    find_pod(c);
    return check_terminal(c, e);
}

/* ---- namespaces ---- */

static const struct {
    const char *name;
    int kind; /* -1: nothing inside corresponds */
} g_ns_kinds[] = {
    {"pid", SB_NS_PID},     {"ipc", SB_NS_IPC},   {"uts", SB_NS_UTS}, {"network", SB_NS_NET},
    {"mount", SB_NS_MOUNT}, {"user", SB_NS_USER}, {"cgroup", -1},     {"time", -1}};

static const char *ns_path(const json_t *config, const char *type, bool *present)
{
    size_t i;
    json_t *ns;
    *present = false;
    json_array_foreach(spec_get(config, "linux.namespaces"), i, ns)
    {
        if (strcmp(spec_string(ns, "type", ""), type))
            continue;
        *present = true;
        const char *path = spec_string(ns, "path", "");
        if (*path)
            return path;
    }
    return NULL;
}

/* In a pod, namespaces given by path are those of its first container; only they exist inside. */
static int place_namespaces(struct creation *c, struct rf_error *e)
{
    for (size_t i = 0; i < sizeof(g_ns_kinds) / sizeof(g_ns_kinds[0]); i++) {
        bool present;
        const char *path = ns_path(c->config, g_ns_kinds[i].name, &present);
        if (path && access(path, F_OK) < 0)
            return rf_fail(e, "the %s namespace %s: %s", g_ns_kinds[i].name, path, strerror(errno));
        if (g_ns_kinds[i].kind < 0)
            continue;
        const char **out = &c->c.namespaces[g_ns_kinds[i].kind];
        if (!present)
            *out = SB_NS_SANDBOX;
        else
            *out = path && *c->pod ? c->pod : NULL;
    }
    return 0;
}

/* Which sockets: those of a host namespace where one is named or a hook will furnish a new one,
 * else the sandbox's own loopback. */
static int place_network(struct creation *c, struct rf_error *e)
{
    bool present;
    const char *path = ns_path(c->config, "network", &present);
    bool furnished =
        spec_count(c->config, "hooks.prestart") || spec_count(c->config, "hooks.createRuntime");
    bool autom = !strcmp(g_rf.network, "auto"), host = !strcmp(g_rf.network, "host");
    c->spec.network = autom ? "none" : g_rf.network;
    if (!autom && !host)
        return 0;
    if (path)
        c->spec.netns_path = path;
    if (present && !path && (furnished || host)) {
        c->netns_fd = netns_new(e);
        if (c->netns_fd < 0)
            return -1;
        snprintf(c->netns_path, sizeof(c->netns_path), "/proc/%d/fd/%d", (int)getpid(),
                 c->netns_fd);
        c->spec.netns_path = c->netns_path;
    }
    if (!present || c->spec.netns_path)
        c->spec.network = "host";
    return 0;
}

/* ---- descriptors ---- */

static int place_stdio(struct creation *c, struct rf_error *e)
{
    struct sb_process *p = &c->c.process;
    unsigned rows = spec_uint(c->config, "process.consoleSize.height", 0),
             columns = spec_uint(c->config, "process.consoleSize.width", 0);
    if (p->terminal && c->args.console_socket &&
        tty_console(c->args.console_socket, rows, columns, &c->tty_fd, e) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        p->stdio[i] = c->tty_fd >= 0 ? c->tty_fd : i;
    struct sb_fd *extra = arena_alloc(&c->arena, c->args.preserve_fds + 1, sizeof(*extra));
    if (!extra)
        return rf_no_memory(e);
    for (int fd = 3; fd < 3 + c->args.preserve_fds; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            extra[p->extra_count++] = (struct sb_fd){.guest = fd, .host = fd};
    p->extra = extra;
    return 0;
}

/* ---- claim ---- */

static int claim(struct creation *c, struct rf_error *e)
{
    char now[40];
    struct rf_state *s = &c->state;
    if (state_new(c->args.id, s, e) < 0)
        return -1;
    c->claimed = true;
    rf_time_now(now, sizeof(now));
    state_set_string(s, "status", g_status_names[RF_CREATING]);
    state_set_string(s, "bundle", c->bundle);
    state_set_string(s, "rootfs", c->c.rootfs);
    state_set_string(s, "created", now);
    state_set_string(s, "sandboxDir", s->dir);
    state_set_int(s, "owner", geteuid());
    state_set_string(s, "cgroupsPath", spec_string(c->config, "linux.cgroupsPath", ""));
    json_object_set_new(s->json, "systemd", json_boolean(g_rf.systemd_cgroup));
    json_object_set(s->json, "annotations", spec_get(c->config, "annotations"));
    json_object_set(s->json, "hooks", spec_get(c->config, "hooks"));
    json_object_set(s->json, "process", spec_get(c->config, "process"));
    json_object_set(s->json, "seccomp", spec_get(c->config, "linux.seccomp"));
    json_object_set(s->json, "resources", spec_get(c->config, "linux.resources"));
    return state_save(s, e);
}

/* ---- cgroups ---- */

static int make_cgroups(struct creation *c, struct rf_error *e)
{
    if (cgroup_place(c->config, c->args.id, &c->cgroups, e) < 0)
        return -1;
    json_object_set_new(c->state.json, "cgroups", cgroup_to_json(&c->cgroups));
    if (state_save(&c->state, e) < 0)
        return -1;
    if (cgroup_create(&c->cgroups, spec_get(c->config, "linux.resources"), e) < 0)
        return -1;
    json_object_set_new(c->state.json, "cgroups", cgroup_to_json(&c->cgroups));
    return 0;
}

/* In the child that becomes the sentry or a gofer. Lowering the score needs a privilege that we may
 * lack: then the guest's view alone has it. */
static int child_setup(void *arg, bool is_gofer, const char **step)
{
    struct creation *c = arg;
    *step = "joining the container's cgroups";
    int err = cgroup_join(&c->cgroups);
    if (c->c.process.set_oom_score_adj) {
        char text[16];
        snprintf(text, sizeof(text), "%d", c->c.process.oom_score_adj);
        rf_write_file("/proc/self/oom_score_adj", text);
    }
    return err;
}

/* ---- the sandbox ---- */

static int record_sandbox(struct creation *c, pid_t sentry, struct rf_error *e)
{
    state_set_int(&c->state, "sentryPid", sentry);
    state_set_int(&c->state, "sentryStartTime", sandbox_start_time(sentry));
    state_set_int(&c->state, "pid", c->pid);
    state_set_int(&c->state, "startTime", c->pid ? sandbox_start_time(c->pid) : 0);
    return state_save(&c->state, e);
}

static int start_sandbox(struct creation *c, struct rf_error *e)
{
    struct launch_error le = {0};
    c->spec.dir = c->state.dir;
    c->spec.platform = g_rf.platform;
    c->spec.hostname = c->c.hostname;
    c->spec.strace = g_rf.strace;
    c->spec.debug_log = g_rf.debug_log;
    c->spec.attached = c->args.attached;
    c->spec.child_setup = child_setup;
    c->spec.child_arg = c;
    if (sandbox_start(&c->spec, &c->sandbox, &le) < 0)
        return rf_fail(e, "%s", le.text);
    c->pid = c->sandbox.sentry_pid;
    return record_sandbox(c, c->pid, e);
}

static int join_pod(struct creation *c, struct rf_error *e)
{
    struct rf_state pod;
    uint64_t start;
    if (state_peek(c->pod, &pod, e) < 0)
        return rf_fail(e, "the pod's sandbox %s: %s", c->pod, e->text);
    int ret = -1;
    if (pod.status == RF_STOPPED)
        rf_fail(e, "the pod's sandbox %s has stopped", c->pod);
    else
        ret = state_connect(&pod, &c->sandbox, e);
    if (ret == 0) {
        state_set_string(&c->state, "sandboxDir", state_sandbox_dir(&pod));
        c->sandbox.spec = &c->spec;
        c->spec.child_setup = child_setup;
        c->spec.child_arg = c;
        c->spec.debug_log = g_rf.debug_log;
        ret = record_sandbox(c, state_sentry(&pod, &start), e);
    }
    state_close(&pod);
    return ret;
}

static int run_hooks(struct creation *c, struct rf_error *e)
{
    json_t *doc = state_document(&c->state, RF_CREATING);
    int ret = hooks_run(c->config, "prestart", doc, 0, e);
    if (ret == 0)
        ret = hooks_run(c->config, "createRuntime", doc, 0, e);
    if (ret == 0)
        ret = hooks_run(c->config, "createContainer", doc, state_pid(&c->state), e);
    json_decref(doc);
    return ret;
}

/* Clients look for these words to tell 127 and 126 from other failures. */
void creation_exec_error(const struct launch_error *le, const char *argv0, struct rf_error *e)
{
    if (le->status == 127 && !strchr(argv0, '/'))
        rf_fail(e,
                "unable to start container process: exec: \"%s\": executable file not found in "
                "$PATH",
                argv0);
    else if (le->status == 127)
        rf_fail(e,
                "unable to start container process: exec: \"%s\": stat %s: no such file or "
                "directory",
                argv0, argv0);
    else if (le->status == 126 && strstr(le->text, "directory"))
        rf_fail(
            e, "unable to start container process: exec: \"%s\": is a directory: permission denied",
            argv0);
    else if (le->status == 126 && strstr(le->text, "not a program"))
        rf_fail(e, "unable to start container process: exec %s: exec format error", argv0);
    else if (le->status == 126)
        rf_fail(e, "unable to start container process: exec: \"%s\": permission denied", argv0);
    else
        rf_fail(e, "unable to start container process: %s", le->text);
}

static int make_container(struct creation *c, bool attach, struct rf_error *e)
{
    struct launch_error le = {0};
    unsigned flags = attach ? SB_ATTACH : 0;
    if (container_create(&c->sandbox, &c->c, flags, &le) < 0) {
        creation_exec_error(&le, c->c.process.argv[0], e);
        return -1;
    }
    return 0;
}

/* A pod's further container has no host process of its own that stands for it: one is made. */
static int make_waiter(struct creation *c, struct rf_error *e)
{
    struct launch_error le = {0};
    struct sandbox sb;
    if (!*c->pod || c->args.attached)
        return 0;
    if (state_connect(&c->state, &sb, e) < 0)
        return -1;
    if (sandbox_waiter(&sb, c->args.id, 0, c->tty_fd, &c->pid, &le) < 0)
        return rf_fail(e, "%s", le.text);
    return record_sandbox(c, json_integer_value(json_object_get(c->state.json, "sentryPid")), e);
}

static int finish(struct creation *c, struct rf_error *e)
{
    char text[16];
    state_set_string(&c->state, "status", g_status_names[RF_CREATED]);
    c->state.status = RF_CREATED;
    if (state_save(&c->state, e) < 0)
        return -1;
    if (!c->args.pid_file || !*c->args.pid_file)
        return 0;
    snprintf(text, sizeof(text), "%d", (int)c->pid);
    int err = rf_write_file_atomic(c->args.pid_file, text, strlen(text));
    return err ? rf_fail(e, "--pid-file %s: %s", c->args.pid_file, strerror(-err)) : 0;
}

/* A pod's further container is made before the hooks run: only then has it a pid. */
static int create_in_pod(struct creation *c, struct rf_error *e)
{
    if (join_pod(c, e) < 0 || make_container(c, c->args.attached, e) < 0 || make_waiter(c, e) < 0)
        return -1;
    return run_hooks(c, e);
}

static int create_first(struct creation *c, struct rf_error *e)
{
    struct standin s;
    uint64_t start;
    if (start_sandbox(c, e) < 0 || standin_start(c, &s, e) < 0)
        return -1;
    c->pid = s.pid ? s.pid : c->pid;
    if (record_sandbox(c, state_sentry(&c->state, &start), e) < 0 || run_hooks(c, e) < 0 ||
        make_container(c, c->args.attached || s.pid, e) < 0) {
        standin_drop(&s);
        return -1;
    }
    standin_go(c, &s);
    return 0;
}

int creation_create(struct creation *c, const struct creation_args *args, struct rf_error *e)
{
    *c = (struct creation){.args = *args, .netns_fd = -1, .tty_fd = -1, .sandbox = {.fd = -1}};
    c->state.lock_fd = -1;
    if (begin(c, e) < 0 || claim(c, e) < 0)
        return -1;
    if (make_cgroups(c, e) < 0 || place_namespaces(c, e) < 0 || place_network(c, e) < 0 ||
        place_stdio(c, e) < 0)
        return -1;
    if ((*c->pod ? create_in_pod(c, e) : create_first(c, e)) < 0)
        return -1;
    return finish(c, e);
}

/* ---- start ---- */

int creation_start(struct rf_state *s, struct sandbox *sb, const json_t *config, struct rf_error *e)
{
    struct launch_error le = {0};
    const char *argv0 = json_string_value(json_array_get(spec_get(config, "process.args"), 0));
    if (start_hooks_run(s, e) < 0) {
        container_destroy(sb, s->id, &le); /* the container is stopped by that */
        return -1;
    }
    if (container_start(sb, s->id, &le) < 0) {
        creation_exec_error(&le, argv0 ? argv0 : "", e);
        return -1;
    }
    s->status = RF_RUNNING;
    state_set_string(s, "status", g_status_names[RF_RUNNING]);
    if (state_save(s, e) < 0)
        return -1;
    json_t *doc = state_document(s, RF_RUNNING);
    hooks_run_lenient(config, "poststart", doc);
    json_decref(doc);
    return 0;
}

/* ---- the end ---- */

json_t *container_config(const struct rf_state *s)
{
    static const char *const kept[] = {"hooks", "process"};
    json_t *config = json_object();
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        json_object_set(config, kept[i], json_object_get(s->json, kept[i]));
    return config;
}

/* The process that stands for it has its own end to report: it gets a moment, and is then ended. */
static void end_waiter(const struct rf_state *s)
{
    pid_t pid = state_pid(s);
    uint64_t start = json_integer_value(json_object_get(s->json, "startTime"));
    for (int i = 0; i < 200 && rf_process_alive(pid, start); i++) {
        if (i >= 100)
            kill(pid, SIGKILL);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void end_container(struct rf_state *s)
{
    struct rf_error e;
    struct launch_error le = {0};
    struct sandbox sb;
    uint64_t start;
    pid_t sentry = state_sentry(s, &start);
    if (state_is_root(s)) {
        if (rf_process_alive(sentry, start) && sandbox_kill(sentry, start, &le) < 0)
            rf_log(RF_WARNING, "%s", le.text);
        end_waiter(s);
        return;
    }
    if (rf_process_alive(sentry, start) && state_connect(s, &sb, &e) == 0) {
        sb.timeout_ms = 1000;
        if (container_destroy(&sb, s->id, &le) < 0 && le.status)
            rf_log(RF_WARNING, "%s", le.text);
        sandbox_close(&sb);
    }
    end_waiter(s);
}

void container_teardown(struct rf_state *s)
{
    struct cgroup_set *set = calloc(1, sizeof(*set));
    end_container(s);
    if (set) {
        cgroup_from_json(json_object_get(s->json, "cgroups"), set);
        cgroup_destroy(set);
        free(set);
    }
    if (json_is_true(json_object_get(s->json, "systemd"))) {
        const char *path = json_string_value(json_object_get(s->json, "cgroupsPath"));
        cgroup_systemd_stop(path ? path : "", s->id);
    }
    state_remove(s);
}

void creation_undo(struct creation *c)
{
    sandbox_close(&c->sandbox);
    if (c->claimed)
        container_teardown(&c->state);
    c->claimed = false;
    if (c->args.pid_file && c->pid)
        unlink(c->args.pid_file);
}

void creation_close(struct creation *c)
{
    sandbox_close(&c->sandbox);
    state_close(&c->state);
    json_decref(c->config);
    arena_free(&c->arena);
    if (c->netns_fd >= 0)
        close(c->netns_fd);
    if (c->tty_fd >= 0)
        close(c->tty_fd);
}
