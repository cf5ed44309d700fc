/* The control channel. Requests are few and simple, so one thread reads them in a blocking loop. */
#include "main/channel.h"
#include "base/host.h"
#include "base/log.h"
#include "control.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int g_control_fd = -1; /* const after init */

void control_open(int fd)
{
    g_control_fd = fd;
}

static void control_send(enum control_type type, int arg, const char *text)
{
    struct control_msg m = {
        .version = CONTROL_VERSION, .type = type, .arg = arg, .text_size = strlen(text)};
    if (m.text_size > CONTROL_TEXT_MAX)
        m.text_size = CONTROL_TEXT_MAX;
    struct iovec iov[2] = {{.iov_base = &m, .iov_len = sizeof(m)},
                           {.iov_base = (void *)text, .iov_len = m.text_size}};
    struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};
    (void)sendmsg(g_control_fd, &h, MSG_NOSIGNAL);
}

void control_fail(int exit_status, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_debug("failed: %s", text);
    control_send(CONTROL_FAILED, exit_status, text);
    _exit(exit_status);
}

static void stats_text(char *out, size_t size)
{
    int64_t now = host_clock_ns(CLOCK_MONOTONIC);
    snprintf(out, size,
             "ringfence: %.3f s, %llu processes forked, %.1f MiB guest memory at the end\n",
             (double)(now - g_kernel.boot_ns) / 1e9,
             (unsigned long long)__atomic_load_n(&g_kernel.forks, __ATOMIC_RELAXED),
             (double)memfile_used() / (1 << 20));
}

void control_exited(int wait_status, bool stats)
{
    char text[256] = "";
    if (stats)
        stats_text(text, sizeof(text));
    control_send(CONTROL_EXITED, wait_status, text);
    _exit(0);
}

void control_stopped(int sig)
{
    control_send(CONTROL_STOPPED, sig, "");
}

static void on_message(const struct control_msg *m)
{
    switch (m->type) {
    case CONTROL_SIGNAL:
        if (m->arg > 0 && m->arg <= SIG_COUNT)
            kernel_signal_foreground(m->arg);
        break;
    case CONTROL_CONT:
        kernel_signal_foreground(SIGCONT);
        break;
    case CONTROL_KILL:
        kernel_kill_all();
        break;
    }
}

static void *control_thread(void *arg)
{
    for (;;) {
        struct control_msg m;
        struct iovec iov = {.iov_base = &m, .iov_len = sizeof(m)};
        struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n = recvmsg(g_control_fd, &h, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(RF_EXIT_ERROR); /* the launcher is gone: nobody is left to answer to */
        if (n == sizeof(m) && m.version == CONTROL_VERSION)
            on_message(&m);
    }
    return NULL;
}

int control_serve(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    int err = pthread_create(&thread, &attr, control_thread, NULL);
    pthread_attr_destroy(&attr);
    return -err;
}
