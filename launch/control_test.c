/* The control socket from outside, with real sandboxes: rounds of all that can be asked, leaving
 * nothing behind; and hostile peers, who may neither hang nor end what is not theirs.
 *
 *   control_test rounds N PLATFORM | hostile PLATFORM */
#include "control.h"
#include "launch/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char g_dir[64];
static const char *g_platform;
static struct launch_error g_e;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "control_test:%d: %s: %s\n", __LINE__, #cond, g_e.text);               \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static char *g_env[] = {(char *)"PATH=/usr/bin:/bin", NULL};

static struct sb_container container(const char *id, char **argv)
{
    struct sb_container c = {
        .id = id, .rootfs = "/", .root_mode = "overlay", .default_mounts = true};
    c.process = (struct sb_process){
        .argv = argv, .envp = g_env, .cwd = "/", .stdio = {-1, -1, -1}, .umask = -1};
    c.process.uid = geteuid();
    c.process.gid = getegid();
    c.process.caps[SB_CAP_BOUNDING] = c.process.caps[SB_CAP_PERMITTED] =
        c.process.caps[SB_CAP_EFFECTIVE] = 0xffff;
    return c;
}

static void start(struct sandbox *s)
{
    struct sandbox_spec spec = {.dir = g_dir, .platform = g_platform, .network = "none"};
    CHECK(sandbox_start(&spec, s, &g_e) == 0);
}

static void connect_to(struct sandbox *s)
{
    CHECK(sandbox_connect(g_dir, s, &g_e) == 0);
}

/* All children are gone within two seconds. */
static void none_left(void)
{
    int64_t end = now_ms() + 2000;
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 && now_ms() < end)
        if (!pid)
            usleep(5000);
    CHECK(pid < 0 && errno == ECHILD);
}

/* ---- rounds ---- */

static void expect_state(struct sandbox *s, const char *id, enum sb_state want)
{
    struct sb_info info;
    CHECK(container_info(s, id, &info, &g_e) == 0);
    CHECK(info.state == want);
}

static void round_exec(void)
{
    static char *argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 9", NULL};
    struct sb_container c = container("x", argv);
    struct sandbox s;
    int pid;
    connect_to(&s);
    CHECK(container_exec(&s, "root", &c.process, SB_ATTACH, &pid, &g_e) == 0);
    CHECK(sandbox_attend(&s, &g_e) == 9);
    connect_to(&s);
    argv[2] = (char *)"kill -9 $$";
    CHECK(container_exec(&s, "root", &c.process, SB_ATTACH, &pid, &g_e) == 0);
    pid_t waiter;
    int status;
    CHECK(sandbox_waiter(&s, "root", pid, -1, &waiter, &g_e) == 0);
    CHECK(waitpid(waiter, &status, 0) == waiter && WEXITSTATUS(status) == 137);
    argv[2] = (char *)"exit 9";
}

static void round_pod(struct sandbox *s)
{
    static char *argv[] = {(char *)"sleep", (char *)"100", NULL};
    struct sb_container c = container("pod", argv);
    struct sb_ps *ps;
    unsigned count;
    int status;
    c.limits.pids = 3;
    CHECK(container_create(s, &c, 0, &g_e) == 0);
    CHECK(container_create(s, &c, 0, &g_e) < 0 && strstr(g_e.text, "exists"));
    expect_state(s, "pod", SB_CREATED);
    CHECK(container_start(s, "pod", &g_e) == 0);
    CHECK(container_start(s, "pod", &g_e) < 0);
    CHECK(container_ps(s, "pod", &ps, &count, &g_e) == 0 && count == 1 && ps[0].pid == 1);
    free(ps);
    CHECK(container_pause(s, "pod", &g_e) == 0);
    expect_state(s, "pod", SB_PAUSED);
    CHECK(container_exec(s, "pod", &c.process, 0, &status, &g_e) < 0);
    CHECK(container_signal(s, "pod", 0, SIGKILL, &g_e) == 0); /* a paused one dies, too */
    CHECK(container_wait(s, "pod", 0, &status, &g_e) == 0 && WTERMSIG(status) == SIGKILL);
    expect_state(s, "pod", SB_STOPPED);
    CHECK(container_signal(s, "pod", 0, SIGTERM, &g_e) < 0 && g_e.status == 0);
    CHECK(container_destroy(s, "pod", &g_e) == 0);
    CHECK(container_destroy(s, "pod", &g_e) < 0 && g_e.status == 0);
}

static void round_stats(struct sandbox *s)
{
    struct sb_limits l = {.pids = 50, .cpu_quota_us = 50000, .cpu_period_us = 100000};
    struct sb_stats t;
    CHECK(container_update(s, "root", &l, &g_e) == 0);
    CHECK(container_stats(s, "root", &t, &g_e) == 0);
    CHECK(t.pids_limit == 50 && t.processes == 2 && t.pids_current == 2 && t.forks == 1);
    CHECK(t.memory_usage > 0 && t.cpu_user_ns > 0);
}

static void round_once(int i)
{
    static char *argv[] = {(char *)"sh", (char *)"-c", (char *)"sleep 100; exit 1", NULL};
    struct sb_container c = container("root", argv);
    struct sandbox s, t;
    struct sb_info *list;
    unsigned count;
    start(&s);
    CHECK(container_create(&s, &c, 0, &g_e) == 0);
    connect_to(&t); /* the creator leaves, as a runtime's create does */
    pid_t sentry = s.sentry_pid;
    sandbox_close(&s);
    CHECK(container_start(&t, "root", &g_e) == 0);
    CHECK(sandbox_list(&t, &list, &count, &g_e) == 0 && count == 1 && list[0].root);
    free(list);
    round_exec();
    round_pod(&t);
    for (struct sb_stats u; container_stats(&t, "root", &u, &g_e) == 0 && u.processes < 2;)
        usleep(1000);
    round_stats(&t);
    switch (i % 3) {
    case 0:
        CHECK(container_destroy(&t, "root", &g_e) == 0);
        break;
    case 1:
        CHECK(container_signal(&t, "root", 0, SIGKILL, &g_e) == 0);
        break;
    case 2:
        CHECK(sandbox_kill(sentry, sandbox_start_time(sentry), &g_e) == 0);
        break;
    }
    int status;
    CHECK(waitpid(sentry, &status, 0) == sentry);
    CHECK(i % 3 == 2 ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 137);
    sandbox_close(&t);
    none_left();
    CHECK(!sandbox_alive(g_dir));
}

/* A sentry, or a gofer, that is killed takes everything along. */
static void round_sudden(int i)
{
    static char *argv[] = {(char *)"sleep", (char *)"100", NULL};
    struct sb_container c = container("root", argv);
    struct sandbox s;
    start(&s);
    if (i & 1)
        CHECK(container_create(&s, &c, i & 2 ? SB_START : 0, &g_e) == 0);
    if (i & 1)
        kill(i & 4 ? s.gofer_pid : s.sentry_pid, SIGKILL);
    sandbox_close(&s);
    none_left();
}

static int rounds(int count)
{
    for (int i = 0; i < count; i++)
        round_once(i);
    for (int i = 0; i < count; i++)
        round_sudden(i);
    return 0;
}

/* ---- hostile peers ---- */

static uint32_t g_seed = 1;
static uint32_t rnd(void)
{
    g_seed = g_seed * 1664525 + 1013904223;
    return g_seed >> 8;
}

static int peer(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/control.sock", g_dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct timeval t = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        CHECK(errno == EAGAIN);
    return fd;
}

static void send_raw(int fd, const void *data, size_t size, const int *fds, unsigned count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 250)] = {0};
    struct iovec iov = {(void *)data, size};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count) {
        h.msg_control = control;
        h.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    (void)sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Others are served all the while. */
static void still_serves(struct sandbox *s)
{
    struct sb_info info;
    int64_t from = now_ms();
    CHECK(container_info(s, "root", &info, &g_e) == 0 && info.state == SB_RUNNING);
    CHECK(now_ms() - from < 5000);
}

static void hostile_garbage(struct sandbox *s)
{
    char junk[6000];
    for (int i = 0; i < 300; i++) {
        int fd = peer();
        for (size_t k = 0; k < sizeof(junk); k++)
            junk[k] = (char)rnd();
        send_raw(fd, junk, rnd() % sizeof(junk), NULL, 0);
        close(fd);
    }
    still_serves(s);
}

/* Well-formed frames with nonsense in them, and descriptors of every kind. */
static void hostile_frames(struct sandbox *s)
{
    struct {
        struct control_msg m;
        char text[512];
    } f;
    int pair[2], pipes[2], fds[250], null = open("/dev/null", O_RDWR), dir = open("/", O_PATH);
    int text = memfd_create("x", 0);
    static const char desc[] = "id\0evil\0argv\0sh\0cwd\0/\0root\0overlay\0fd\0000 2\0tty\0000";
    CHECK(write(text, desc, sizeof(desc)) > 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0 && pipe(pipes) == 0);
    int kinds[] = {null, dir, text, pair[0], pipes[0], pipes[1]};
    for (int i = 0; i < 3000; i++) {
        int fd = peer();
        memset(&f, 0, sizeof(f));
        f.m = (struct control_msg){.version = CONTROL_VERSION, .type = rnd() % 20, .id = rnd() % 3};
        for (int k = 0; k < 4; k++)
            f.m.arg[k] = (int32_t)(rnd() % 3 ? rnd() % 100 : rnd());
        f.m.text_size = rnd() % sizeof(f.text);
        snprintf(f.text, sizeof(f.text), "%s", rnd() % 2 ? "nobody" : "");
        unsigned count = rnd() % 4 ? rnd() % 4 : rnd() % 250;
        for (unsigned k = 0; k < count; k++)
            fds[k] = k == 0 && rnd() % 2 ? text : kinds[rnd() % 6];
        send_raw(fd, &f, sizeof(f.m) + f.m.text_size, fds, count);
        if (i % 3)
            send_raw(fd, &f, sizeof(f.m) + f.m.text_size, NULL, 0);
        close(fd);
        if (i % 300 == 0)
            still_serves(s);
    }
    for (size_t k = 0; k < 6; k++)
        close(kinds[k]);
    close(pair[1]);
    still_serves(s);
}

/* A gofer that never answers, a description that is a pipe: their own worker waits, nobody else. */
static void hostile_stall(struct sandbox *s)
{
    static const char desc[] = "id\0stall\0argv\0sh\0cwd\0/\0root\0overlay";
    struct control_msg m = {.version = CONTROL_VERSION, .type = CONTROL_CREATE, .id = 1};
    int pair[2], text = memfd_create("x", 0), fds[2], peers[20];
    CHECK(write(text, desc, sizeof(desc)) > 0);
    for (int i = 0; i < 20; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
        peers[i] = peer();
        fds[0] = text;
        fds[1] = pair[0];
        send_raw(peers[i], &m, sizeof(m), fds, 2);
        close(pair[0]); /* pair[1] stays: silent, and open */
    }
    usleep(100000);
    still_serves(s);
    for (int i = 0; i < 20; i++)
        close(peers[i]);
    close(text);
}

/* Ask much, read nothing. */
static void hostile_deaf(struct sandbox *s)
{
    struct {
        struct control_msg m;
        char text[4];
    } f = {.m = {.version = CONTROL_VERSION, .type = CONTROL_PS, .id = 1, .text_size = 4},
           .text = "root"};
    int peers[40];
    for (int i = 0; i < 40; i++)
        peers[i] = peer();
    for (int k = 0; k < 400; k++)
        for (int i = 0; i < 40; i++)
            send_raw(peers[i], &f, sizeof(f.m) + 4, NULL, 0);
    still_serves(s);
    for (int i = 0; i < 40; i++)
        close(peers[i]);
}

static void hostile_crowd(struct sandbox *s)
{
    int peers[300];
    for (int i = 0; i < 300; i++)
        peers[i] = peer();
    still_serves(s);
    for (int i = 0; i < 300; i++)
        close(peers[i]);
    usleep(200000);
    struct sandbox t;
    connect_to(&t);
    still_serves(&t);
    sandbox_close(&t);
}

static int hostile(void)
{
    static char *argv[] = {(char *)"sleep", (char *)"1000", NULL};
    struct sb_container c = container("root", argv);
    struct sandbox s;
    start(&s);
    CHECK(container_create(&s, &c, SB_START, &g_e) == 0);
    hostile_garbage(&s);
    hostile_frames(&s);
    hostile_deaf(&s);
    hostile_crowd(&s);
    hostile_stall(&s);
    int64_t from = now_ms();
    CHECK(container_destroy(&s, "root", &g_e) == 0);
    CHECK(now_ms() - from < 5000);
    sandbox_close(&s);
    none_left();
    return 0;
}

int main(int argc, char **argv)
{
    int i = argc > 1 && !strcmp(argv[1], "rounds") ? 3 : 2;
    if (argc != i + 1)
        return 2;
    g_platform = argv[i];
    snprintf(g_dir, sizeof(g_dir), "/tmp/rfctl.XXXXXX");
    CHECK(mkdtemp(g_dir));
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* as conmon is */
    alarm(280);
    int status = i == 3 ? rounds(atoi(argv[2])) : hostile();
    char path[128];
    snprintf(path, sizeof(path), "%s/control.sock", g_dir);
    unlink(path);
    CHECK(rmdir(g_dir) == 0);
    return status;
}
