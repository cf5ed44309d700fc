/* pause and resume: guest tasks stop where they are, and go on. */
#include "runrf.h"
#include "state.h"

static int switch_to(struct rf_state *s, bool pause, struct rf_error *e)
{
    struct sandbox sb;
    struct launch_error le = {0};
    if (pause && s->status != RF_RUNNING && s->status != RF_CREATED)
        return rf_fail(e, "container not running: %s", g_status_names[s->status]);
    if (!pause && s->status != RF_PAUSED)
        return rf_fail(e, "container not paused");
    if (state_connect(s, &sb, e) < 0)
        return -1;
    int ret = pause ? container_pause(&sb, s->id, &le) : container_resume(&sb, s->id, &le);
    sandbox_close(&sb);
    return ret < 0 ? rf_fail(e, "%s", le.text) : 0;
}

static int run(int argc, char **argv, bool pause)
{
    static const struct rf_flag flags[] = {RF_FLAGS_END};
    static const struct rf_usage usage = {"ID", 1, 1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    struct rf_error e;
    struct rf_state s;
    if (state_open(argv[at], &s, &e) < 0)
        return rf_fatal(1, "%s", e.text);
    status = switch_to(&s, pause, &e) < 0 ? rf_fatal(1, "%s", e.text) : 0;
    state_close(&s);
    return status;
}

int cmd_pause(int argc, char **argv)
{
    return run(argc, argv, /*pause=*/true);
}

int cmd_resume(int argc, char **argv)
{
    return run(argc, argv, /*pause=*/false);
}
