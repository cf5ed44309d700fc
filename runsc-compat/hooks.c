/* See hooks.h. A hook may hang, write without end, or close its standard input: none of that holds
 * us longer than its timeout, and a hook without a timeout ends with us. */
#include "hooks.h"
#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct hook_run {
    const char *name;
    char **argv, **envp;
    const char *path;
    int64_t deadline_ms; /* -1: none */
    int timeout_s;
    pid_t pid;
    int pidfd, in, out; /* in: its standard input; out: what it prints */
    const char *text;   /* what is still to be written to it */
    size_t left;
    char said[512]; /* the beginning of what it printed */
    size_t said_size;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

_Noreturn static void hook_child(struct hook_run *h, int in, int out, pid_t netns_pid)
{
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    if (netns_pid > 0) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)netns_pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (setns(fd, CLONE_NEWNET) < 0 && errno != EPERM))
            dprintf(out, "cannot enter the container's network namespace: %s\n", strerror(errno));
    }
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(126);
    close_range(3, ~0u, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execve(h->path, h->argv, h->envp);
    dprintf(2, "exec %s: %s", h->path, strerror(errno));
    _exit(127);
}

static int hook_start(struct hook_run *h, pid_t netns_pid)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return -errno;
    h->pid = fork();
    if (h->pid == 0)
        hook_child(h, in[0], out[1], netns_pid);
    int err = h->pid < 0 ? -errno : 0;
    close(in[0]);
    close(out[1]);
    h->in = in[1];
    h->out = out[0];
    fcntl(h->in, F_SETFL, O_NONBLOCK);
    fcntl(h->out, F_SETFL, O_NONBLOCK);
    h->pidfd = err ? -1 : syscall(SYS_pidfd_open, h->pid, 0);
    return err;
}

static void feed(struct hook_run *h)
{
    ssize_t n = write(h->in, h->text, h->left);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        h->text += n;
        h->left -= n;
    }
    if (n <= 0 || !h->left) {
        close(h->in);
        h->in = -1;
    }
}

static void drain(struct hook_run *h)
{
    char buf[4096];
    ssize_t n = read(h->out, buf, sizeof(buf));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close(h->out);
        h->out = -1;
        return;
    }
    size_t room = sizeof(h->said) - 1 - h->said_size;
    size_t take = (size_t)n < room ? (size_t)n : room;
    memcpy(h->said + h->said_size, buf, take);
    h->said_size += take;
    h->said[h->said_size] = 0;
}

/* True when the hook has ended; false at its deadline. Its children may keep the pipes. */
static bool hook_watch(struct hook_run *h)
{
    for (;;) {
        struct pollfd p[3] = {{.fd = h->pidfd, .events = POLLIN},
                              {.fd = h->in, .events = POLLOUT},
                              {.fd = h->out, .events = POLLIN}};
        int64_t wait = h->deadline_ms < 0 ? -1 : h->deadline_ms - now_ms();
        if (h->deadline_ms >= 0 && wait <= 0)
            return false;
        if (poll(p, 3, wait > 60000 ? 60000 : wait) < 0 && errno != EINTR)
            return false;
        if (p[1].revents && h->in >= 0)
            feed(h);
        if (p[2].revents && h->out >= 0)
            drain(h);
        if (p[0].revents)
            return true;
    }
}

static int hook_end(struct hook_run *h, bool ended, struct rf_error *e)
{
    int status = 0;
    if (!ended)
        kill(-h->pid, SIGKILL), kill(h->pid, SIGKILL);
    while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (h->out >= 0)
        drain(h);
    h->said[strcspn(h->said, "\n")] = 0;
    if (!ended)
        return rf_fail(e, "error running %s hook %s: hook ran past specified timeout of %d.0s",
                       h->name, h->path, h->timeout_s);
    if (WIFSIGNALED(status))
        return rf_fail(e, "error running %s hook %s: signal: %s", h->name, h->path,
                       strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status))
        return rf_fail(e, "error running %s hook %s: exit status %d, output: %s", h->name, h->path,
                       WEXITSTATUS(status), h->said);
    return 0;
}

static void hook_close(struct hook_run *h)
{
    int *fds[] = {&h->pidfd, &h->in, &h->out};
    for (int i = 0; i < 3; i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
    free(h->argv);
    if (h->envp != environ)
        free(h->envp);
}

static int hook_one(const json_t *hook, const char *name, const char *text, pid_t netns_pid,
                    struct rf_error *e)
{
    struct hook_run h = {.name = name, .pidfd = -1, .in = -1, .out = -1, .deadline_ms = -1};
    h.path = spec_string(hook, "path", "");
    h.argv = spec_strings(hook, "args");
    h.envp = spec_get(hook, "env") ? spec_strings(hook, "env") : environ;
    char *alone[] = {(char *)h.path, NULL};
    if (!h.argv || !h.envp)
        return rf_fail(e, "out of memory");
    char **given = h.argv;
    if (!given[0])
        h.argv = alone;
    h.text = text;
    h.left = strlen(text);
    int64_t timeout = spec_int(hook, "timeout", 0);
    if (timeout < 0)
        timeout = 0;
    h.timeout_s = timeout > INT32_MAX ? INT32_MAX : timeout;
    if (spec_get(hook, "timeout") && timeout > 0)
        h.deadline_ms = now_ms() + h.timeout_s * 1000LL;
    int err = hook_start(&h, netns_pid);
    int ret = err ? rf_fail(e, "error running %s hook %s: %s", name, h.path, strerror(-err))
                  : hook_end(&h, hook_watch(&h), e);
    h.argv = given;
    hook_close(&h);
    return ret;
}

static json_t *hook_list(const json_t *config, const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "hooks.%s", name);
    return spec_get(config, path);
}

int hooks_run(const json_t *config, const char *name, const json_t *state, pid_t netns_pid,
              struct rf_error *e)
{
    size_t i;
    json_t *hook;
    char *text = json_dumps(state, JSON_COMPACT);
    int ret = text ? 0 : rf_fail(e, "out of memory");
    void (*pipe_was)(int) = signal(SIGPIPE, SIG_IGN);
    json_array_foreach(hook_list(config, name), i, hook)
    {
        if (ret == 0)
            ret = hook_one(hook, name, text, netns_pid, e);
    }
    signal(SIGPIPE, pipe_was);
    free(text);
    return ret;
}

void hooks_run_lenient(const json_t *config, const char *name, const json_t *state)
{
    size_t i;
    json_t *hook;
    struct rf_error e;
    char *text = json_dumps(state, JSON_COMPACT);
    void (*pipe_was)(int) = signal(SIGPIPE, SIG_IGN);
    json_array_foreach(hook_list(config, name), i, hook)
    {
        if (text && hook_one(hook, name, text, 0, &e) < 0)
            rf_log(RF_WARNING, "%s", e.text);
    }
    signal(SIGPIPE, pipe_was);
    free(text);
}
