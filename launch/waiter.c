/* A small host process that stands for a guest process that is not the sandbox's first: its pid can
 * be written into a pid-file, its end is the guest's end, its exit status the guest's. */
#include "launch/launch_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void keep_only(int a, int b)
{
    int low = a < b ? a : b, high = a < b ? b : a;
    unsigned from = 0;
    for (int fd = low; fd <= high; fd = fd == high ? high + 1 : high) {
        if (fd < 0)
            continue;
        if ((unsigned)fd > from)
            syscall(SYS_close_range, from, fd - 1, 0);
        from = fd + 1;
    }
    syscall(SYS_close_range, from, ~0u, 0);
}

_Noreturn static void waiter_main(struct sandbox *s, int tty_fd)
{
    struct launch_error e;
    prctl(PR_SET_NAME, "rf-waiter");
    setsid();
    s->sentry_pid = 0; /* not ours to reap */
    s->sentry_pidfd = -1;
    s->attached = false;
    /* The terminal's keys, sizes and hang-ups come as signals to us, and go on to the guest. */
    if (tty_fd >= 0)
        ioctl(tty_fd, TIOCSCTTY, 0);
    keep_only(s->fd, tty_fd);
    _exit(attend_run(s, /*own_terminal=*/false, &e));
}

int sandbox_waiter(struct sandbox *s, const char *id, int guest_pid, int tty_fd, pid_t *pid,
                   struct launch_error *e)
{
    int32_t arg[4] = {guest_pid};
    if (!s->stands_for) {
        if (talk_ask(s, CONTROL_ATTACH_TO, arg, id, NULL, e))
            return -1;
        sandbox_stand_for(s, id, guest_pid);
    }
    pid_t child = fork();
    if (child == 0)
        waiter_main(s, tty_fd);
    if (child < 0)
        return launch_fail(e, RF_EXIT_ERROR, "cannot fork: %s", strerror(errno));
    close_fd(&s->fd); /* the waiter's alone from here on */
    *pid = child;
    return 0;
}
