/* kill: a signal to a container's init, to all its processes, or to one of them. */
#include "runrf.h"
#include "signals.h"
#include "state.h"

#include <signal.h>
#include <string.h>

/* A sentry that does not answer can still be ended from outside: only that way does SIGKILL always
 * work. */
static int kill_hard(struct rf_state *s, int sig, struct rf_error *e)
{
    struct launch_error le = {0};
    uint64_t start;
    pid_t sentry = state_sentry(s, &start);
    if (sig != SIGKILL || !state_is_root(s))
        return -1;
    return sandbox_kill(sentry, start, &le) < 0 ? rf_fail(e, "%s", le.text) : 0;
}

static int send_signal(struct rf_state *s, int pid, int sig, struct rf_error *e)
{
    struct sandbox sb;
    struct launch_error le = {0};
    if (s->status == RF_STOPPED || (s->status == RF_CREATING && !state_pid(s)))
        return rf_fail(e, "container not running");
    if (state_connect(s, &sb, e) < 0)
        return kill_hard(s, sig, e);
    sb.timeout_ms = 2000;
    int ret = container_signal(&sb, s->id, pid, sig, &le);
    sandbox_close(&sb);
    if (ret == 0)
        return 0;
    rf_fail(e, "%s", le.text);
    return le.status ? kill_hard(s, sig, e) : -1;
}

int cmd_kill(int argc, char **argv)
{
    bool all = false;
    int pid = 0;
    const struct rf_flag flags[] = {
        {"all", 'a', RF_FLAG_BOOL, &all, NULL, "to every process of the container"},
        {"pid", 0, RF_FLAG_INT, &pid, "PID", "to this process (as the container numbers it)"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"ID [SIGNAL]", 1, 2};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    const char *name = at + 1 < argc ? argv[at + 1] : "SIGTERM";
    int sig = signal_by_name(name);
    struct rf_error e;
    struct rf_state s;
    if (state_open(argv[at], &s, &e) < 0)
        return rf_fatal(1, "%s", e.text);
    if (sig < 0)
        status = rf_fatal(1, "unknown signal \"%s\"", name);
    else if (all && s.status == RF_STOPPED)
        status = 0; /* as runc: nobody is left to get it */
    else
        status = send_signal(&s, all ? -1 : pid, sig, &e) < 0 ? rf_fatal(1, "%s", e.text) : 0;
    state_close(&s);
    return status;
}
