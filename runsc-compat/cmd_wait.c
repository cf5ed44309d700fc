/* wait: until a container's init (or one of its processes) has ended; prints how. */
#include "runrf.h"
#include "state.h"

#include <stdio.h>
#include <sys/wait.h>

static int wait_for(struct rf_state *s, int pid, int *wait_status, struct rf_error *e)
{
    struct sandbox sb;
    struct launch_error le = {0};
    if (s->status == RF_STOPPED && state_is_root(s))
        return rf_fail(e, "container not running");
    if (state_connect(s, &sb, e) < 0)
        return -1;
    sb.timeout_ms = -1;
    int ret = container_wait(&sb, s->id, pid, wait_status, &le);
    sandbox_close(&sb);
    return ret < 0 ? rf_fail(e, "%s", le.text) : 0;
}

int cmd_wait(int argc, char **argv)
{
    int pid = 0, rootpid = 0, wait_status = 0;
    const struct rf_flag flags[] = {
        {"pid", 0, RF_FLAG_INT, &pid, "PID", "for this process (as the container numbers it)"},
        {"rootpid", 0, RF_FLAG_INT, &rootpid, "PID", "the same"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"ID", 1, 1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    struct rf_error e;
    struct rf_state s;
    if (state_peek(argv[at], &s, &e) < 0)
        return rf_fatal(1, "%s", e.text);
    status = wait_for(&s, pid ? pid : rootpid, &wait_status, &e);
    if (status < 0)
        status = rf_fatal(1, "%s", e.text);
    else
        printf("{\"id\":\"%s\",\"exitStatus\":%d}\n", s.id,
               WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
    state_close(&s);
    return status;
}
