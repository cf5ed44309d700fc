/* See start_hook.h. The container's own sandbox has no process yet, and process 1 is to be the
 * user's program: so each hook gets a short-lived sandbox over the same root and mounts. What it
 * writes to files is there for the program; what it does to memory file systems and names is not. A
 * child of ours attends it: with that child, killed at the timeout, the sandbox goes too. */
#include "start_hook.h"
#include "cgroup.h"
#include "convert.h"
#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOOK_ERROR 125

struct start_hook {
    const struct rf_state *s;
    const json_t *config, *hook;
    struct cgroup_set cgroups;
    struct rf_arena arena;
    struct sb_container c;
};

static int child_setup(void *arg, bool is_gofer, const char **step)
{
    struct start_hook *h = arg;
    *step = "joining the container's cgroups";
    return cgroup_join(&h->cgroups);
}

static int state_file(const struct rf_state *s)
{
    json_t *doc = state_document(s, RF_CREATED);
    char *text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    int fd = text ? memfd_create("state", MFD_CLOEXEC) : -1;
    if (fd >= 0 && (write(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
        close(fd);
        fd = -1;
    }
    free(text);
    return fd;
}

static int describe(struct start_hook *h, struct rf_error *e)
{
    const char *bundle = json_string_value(json_object_get(h->s->json, "bundle"));
    if (convert_container(h->config, bundle, &h->arena, &h->c, e) < 0)
        return -1;
    char **argv = spec_strings(h->hook, "args"), **envp = spec_strings(h->hook, "env");
    if (!argv || !envp)
        return rf_no_memory(e);
    if (!argv[0])
        argv = arena_alloc(&h->arena, 2, sizeof(*argv));
    if (!argv)
        return rf_no_memory(e);
    argv[0] = (char *)spec_string(h->hook, "path", "");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), state = state_file(h->s);
    uint64_t all = (UINT64_C(1) << 41) - 1;
    h->c.id = "hook";
    h->c.process = (struct sb_process){.argv = argv,
                                       .envp = envp,
                                       .cwd = "/",
                                       .umask = -1,
                                       .caps = {all, all, 0, all, 0},
                                       .stdio = {state < 0 ? null : state, null, null}};
    return 0;
}

/* In the child. */
static int run_inside(struct start_hook *h, struct rf_error *e)
{
    struct launch_error le = {0};
    struct sandbox sb;
    struct sandbox_spec spec = {.platform = g_rf.platform,
                                .network = "none",
                                .hostname = h->c.hostname,
                                .attached = true,
                                .child_setup = child_setup,
                                .child_arg = h};
    if (describe(h, e) < 0)
        return HOOK_ERROR;
    if (sandbox_start(&spec, &sb, &le) < 0 ||
        container_create(&sb, &h->c, SB_START | SB_ATTACH, &le) < 0) {
        rf_fail(e, "%s", le.text);
        return HOOK_ERROR;
    }
    return sandbox_attend(&sb, &le);
}

_Noreturn static void child(struct start_hook *h)
{
    struct rf_error e = {""};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = run_inside(h, &e);
    if (e.text[0])
        rf_log(RF_ERROR, "startContainer hook: %s", e.text);
    _exit(status);
}

static int hook_one(struct start_hook *h, struct rf_error *e)
{
    int64_t timeout = spec_int(h->hook, "timeout", 0);
    const char *path = spec_string(h->hook, "path", "");
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        child(h);
    if (pid < 0)
        return rf_fail(e, "error running startContainer hook %s: %s", path, strerror(errno));
    struct pollfd p = {.fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    bool late = poll(&p, 1, timeout > 0 && timeout < 1000000 ? (int)timeout * 1000 : -1) == 0;
    if (late)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (p.fd >= 0)
        close(p.fd);
    if (late)
        return rf_fail(e, "error running startContainer hook %s: it ran past its timeout of %lld s",
                       path, (long long)timeout);
    if (status)
        return rf_fail(e, "error running startContainer hook %s: exit status %d", path,
                       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}

int start_hooks_run(const struct rf_state *s, struct rf_error *e)
{
    size_t i;
    json_t *hook, *list = spec_get(s->json, "hooks.startContainer");
    if (!json_array_size(list))
        return 0;
    struct start_hook *h = calloc(1, sizeof(*h));
    json_t *config = spec_load(json_string_value(json_object_get(s->json, "bundle")), e);
    int ret = h && config ? 0 : -1;
    if (!h)
        rf_no_memory(e);
    json_array_foreach(list, i, hook)
    {
        if (ret < 0)
            break;
        h->s = s;
        h->config = config;
        h->hook = hook;
        cgroup_from_json(json_object_get(s->json, "cgroups"), &h->cgroups);
        ret = hook_one(h, e);
    }
    json_decref(config);
    free(h);
    return ret;
}
