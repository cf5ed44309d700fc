/* exec: a further process in a running container.
 *
 * The process is described by --process, or made from the container's own by flags. In the
 * foreground this command stands for it; detached, a waiter does, whose pid is in --pid-file. */
#include "creation.h"
#include "runrf.h"
#include "spec.h"
#include "tty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXEC_FAILED 255 /* runc's status when the process could not be started */

struct exec_args {
    const char *id, *process, *pid_file, *internal_pid_file, *console_socket, *cwd, *user, *ignored;
    struct rf_list env, groups, caps;
    bool tty, detach, no_new_privs, ignore_paused;
    int preserve_fds;
};

struct exec_run {
    struct exec_args *args;
    json_t *process;
    struct rf_arena arena;
    struct sb_process p;
    struct rf_state state;
    int tty_fd;
};

/* ---- the process' description ---- */

static int set_user(json_t *process, const char *text, struct rf_error *e)
{
    unsigned uid, gid = 0;
    char extra;
    int n = sscanf(text, "%u:%u%c", &uid, &gid, &extra);
    if (n != 1 && n != 2)
        return rf_fail(e, "--user %s: write UID or UID:GID", text);
    json_t *user = json_pack("{s:I, s:I}", "uid", (json_int_t)uid, "gid", (json_int_t)gid);
    json_object_set_new(process, "user", user);
    return 0;
}

static void set_env(json_t *process, const struct rf_list *env)
{
    json_t *list = json_array();
    if (spec_get(process, "env"))
        json_array_extend(list, spec_get(process, "env"));
    for (size_t i = 0; i < env->count; i++)
        json_array_append_new(list, json_string(env->items[i]));
    json_object_set_new(process, "env", list);
}

static void add_caps(json_t *process, const struct rf_list *caps)
{
    static const char *const sets[] = {"bounding", "effective", "permitted", "inheritable",
                                       "ambient"};
    json_t *all = json_object();
    for (size_t k = 0; k < 5; k++) {
        char path[40];
        snprintf(path, sizeof(path), "capabilities.%s", sets[k]);
        json_t *list = json_array();
        if (spec_get(process, path))
            json_array_extend(list, spec_get(process, path));
        for (size_t i = 0; i < caps->count; i++)
            json_array_append_new(list, json_string(caps->items[i]));
        json_object_set_new(all, sets[k], list);
    }
    json_object_set_new(process, "capabilities", all);
}

static int set_groups(json_t *process, const struct rf_list *groups, struct rf_error *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < groups->count; i++) {
        char *end;
        unsigned long gid = strtoul(groups->items[i], &end, 10);
        if (*end || gid >= UINT32_MAX) {
            json_decref(list);
            return rf_fail(e, "--additional-gids %s: not a group id", groups->items[i]);
        }
        json_array_append_new(list, json_integer(gid));
    }
    json_t *user = spec_get(process, "user");
    if (user)
        json_object_set_new(user, "additionalGids", list);
    else
        json_decref(list);
    return 0;
}

static json_t *process_from_flags(struct exec_args *a, const struct rf_state *s, char **argv,
                                  struct rf_error *e)
{
    json_t *process = json_deep_copy(json_object_get(s->json, "process")), *args = json_array();
    for (; *argv; argv++)
        json_array_append_new(args, json_string(*argv));
    json_object_set_new(process, "args", args);
    json_object_set_new(process, "terminal", json_boolean(a->tty));
    if (a->cwd && *a->cwd)
        json_object_set_new(process, "cwd", json_string(a->cwd));
    if (a->no_new_privs)
        json_object_set_new(process, "noNewPrivileges", json_true());
    set_env(process, &a->env);
    if (a->caps.count)
        add_caps(process, &a->caps);
    if ((a->user && set_user(process, a->user, e) < 0) ||
        (a->groups.count && set_groups(process, &a->groups, e) < 0)) {
        json_decref(process);
        return NULL;
    }
    return process;
}

static json_t *process_from_file(const char *path, struct rf_error *e)
{
    size_t size;
    char *text = rf_read_file(path, SPEC_MAX_FILE, &size);
    if (!text) {
        rf_fail(e, "--process %s: %s", path, strerror(errno));
        return NULL;
    }
    json_t *v = spec_parse_part(text, size, "process", e);
    free(text);
    return v;
}

static int describe(struct exec_run *x, char **argv, struct rf_error *e)
{
    struct exec_args *a = x->args;
    if (!a->process && !*argv)
        return rf_fail(e, "process args cannot be empty");
    x->process =
        a->process ? process_from_file(a->process, e) : process_from_flags(a, &x->state, argv, e);
    const char *rootfs = json_string_value(json_object_get(x->state.json, "rootfs"));
    if (!x->process || convert_process(x->process, &x->arena, &x->p, e) < 0 ||
        convert_home(rootfs ? rootfs : "/", &x->arena, &x->p, e) < 0 ||
        convert_seccomp(json_object_get(x->state.json, "seccomp"), &x->arena, &x->p.seccomp, e) < 0)
        return -1;
    if (a->tty)
        x->p.terminal = true;
    x->p.make_cwd = false;
    if (x->p.terminal && a->detach && !a->console_socket)
        return rf_fail(e,
                       "cannot allocate tty if runrf will detach without setting console socket");
    if (!x->p.terminal && a->console_socket)
        return rf_fail(e, "cannot use console socket if runrf will not detach or allocate tty");
    return 0;
}

static int place_stdio(struct exec_run *x, struct rf_error *e)
{
    unsigned rows = spec_uint(x->process, "consoleSize.height", 0),
             columns = spec_uint(x->process, "consoleSize.width", 0);
    if (x->args->console_socket &&
        tty_console(x->args->console_socket, rows, columns, &x->tty_fd, e) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        x->p.stdio[i] = x->tty_fd >= 0 ? x->tty_fd : i;
    struct sb_fd *extra = arena_alloc(&x->arena, x->args->preserve_fds + 1, sizeof(*extra));
    if (!extra)
        return rf_no_memory(e);
    for (int fd = 3; fd < 3 + x->args->preserve_fds; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            extra[x->p.extra_count++] = (struct sb_fd){.guest = fd, .host = fd};
    x->p.extra = extra;
    return 0;
}

/* ---- running it ---- */

static int write_pid(const char *path, pid_t pid, struct rf_error *e)
{
    char text[16];
    if (!path || !*path)
        return 0;
    snprintf(text, sizeof(text), "%d", (int)pid);
    int err = rf_write_file_atomic(path, text, strlen(text));
    return err ? rf_fail(e, "--pid-file %s: %s", path, strerror(-err)) : 0;
}

static int detach(struct exec_run *x, struct sandbox *sb, int guest_pid, struct rf_error *e)
{
    struct launch_error le = {0};
    pid_t pid;
    if (sandbox_waiter(sb, x->args->id, guest_pid, x->tty_fd, &pid, &le) < 0)
        return rf_fail(e, "%s", le.text);
    return write_pid(x->args->pid_file, pid, e);
}

static int attend(struct sandbox *sb)
{
    struct launch_error le = {0};
    int status = sandbox_attend(sb, &le);
    if (le.text[0])
        rf_fatal(status, "%s", le.text);
    return status;
}

/* Returns the exit status; on a failure -1 and *e. */
static int start(struct exec_run *x, struct rf_error *e)
{
    struct sandbox sb;
    struct launch_error le = {0};
    struct exec_args *a = x->args;
    int guest_pid;
    if (state_connect(&x->state, &sb, e) < 0)
        return -1;
    if (container_exec(&sb, a->id, &x->p, a->detach ? 0 : SB_ATTACH, &guest_pid, &le) < 0) {
        creation_exec_error(&le, x->p.argv[0], e);
        sandbox_close(&sb);
        return -1;
    }
    if (write_pid(a->internal_pid_file, guest_pid, e) < 0)
        return -1;
    if (a->detach)
        return detach(x, &sb, guest_pid, e);
    state_unlock(&x->state);
    if (write_pid(a->pid_file, getpid(), e) < 0)
        return -1;
    return attend(&sb);
}

static int check_status(const struct exec_run *x, struct rf_error *e)
{
    if (x->state.status == RF_PAUSED && x->args->ignore_paused)
        return 0;
    if (x->state.status == RF_PAUSED)
        return rf_fail(e, "cannot exec in a paused container (use --ignore-paused to override)");
    if (x->state.status != RF_RUNNING && x->state.status != RF_CREATED)
        return rf_fail(e, "cannot exec in a %s container", g_status_names[x->state.status]);
    return 0;
}

static int exec_with(struct exec_args *a, char **argv)
{
    struct exec_run x = {.args = a, .tty_fd = -1, .state = {.lock_fd = -1}};
    struct rf_error e;
    int status = -1;
    if (state_open(a->id, &x.state, &e) < 0)
        return rf_fatal(EXEC_FAILED, "exec failed: %s", e.text);
    if (check_status(&x, &e) == 0 && describe(&x, argv, &e) == 0 && place_stdio(&x, &e) == 0)
        status = start(&x, &e);
    if (status < 0)
        status = rf_fatal(EXEC_FAILED, "exec failed: %s", e.text);
    state_close(&x.state);
    json_decref(x.process);
    arena_free(&x.arena);
    return status;
}

int cmd_exec(int argc, char **argv)
{
    struct exec_args a = {0};
    const struct rf_flag flags[] = {
        {"process", 'p', RF_FLAG_STRING, &a.process, "FILE", "the process as in config.json"},
        {"pid-file", 0, RF_FLAG_STRING, &a.pid_file, "FILE", "where to write the host pid"},
        {"internal-pid-file", 0, RF_FLAG_STRING, &a.internal_pid_file, "FILE",
         "where to write the pid inside"},
        {"console-socket", 0, RF_FLAG_STRING, &a.console_socket, "SOCKET",
         "AF_UNIX socket that gets the terminal's master"},
        {"cwd", 0, RF_FLAG_STRING, &a.cwd, "DIR", "working directory inside"},
        {"env", 'e', RF_FLAG_LIST, &a.env, "NAME=VALUE", "add to the environment"},
        {"tty", 't', RF_FLAG_BOOL, &a.tty, NULL, "on a terminal"},
        {"user", 'u', RF_FLAG_STRING, &a.user, "UID[:GID]", "as this user"},
        {"additional-gids", 'g', RF_FLAG_LIST, &a.groups, "GID", "add a group"},
        {"cap", 'c', RF_FLAG_LIST, &a.caps, "CAP", "add a capability"},
        {"detach", 'd', RF_FLAG_BOOL, &a.detach, NULL, "leave when the process runs"},
        {"no-new-privs", 0, RF_FLAG_BOOL, &a.no_new_privs, NULL, "set no_new_privs"},
        {"preserve-fds", 0, RF_FLAG_INT, &a.preserve_fds, "N",
         "hand on N descriptors beyond stdio"},
        {"ignore-paused", 0, RF_FLAG_BOOL, &a.ignore_paused, NULL, "also in a paused container"},
        {"process-label", 0, RF_FLAG_IGNORED, NULL, "LABEL", "accepted: there is no LSM inside"},
        {"apparmor", 0, RF_FLAG_IGNORED, NULL, "PROFILE", "accepted: there is no LSM inside"},
        {"no-subreaper", 0, RF_FLAG_IGNORED, NULL, NULL, "accepted"},
        {"cgroup", 0, RF_FLAG_IGNORED, NULL, "PATH", "accepted: guests are in the container's"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"ID [CMD ARG...]", 1, -1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    a.id = argv[at];
    status = exec_with(&a, argv + at + 1);
    free(a.env.items);
    free(a.groups.items);
    free(a.caps.items);
    return status;
}
