/* start: run the user's program in a created container. */
#include "creation.h"
#include "runrf.h"

int cmd_start(int argc, char **argv)
{
    static const struct rf_flag flags[] = {RF_FLAGS_END};
    static const struct rf_usage usage = {"ID", 1, 1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    struct rf_error e;
    struct rf_state s;
    struct sandbox sb;
    if (state_open(argv[at], &s, &e) < 0)
        return rf_fatal(1, "%s", e.text);
    if (s.status == RF_STOPPED) {
        status = rf_fatal(1, "cannot start a container that has stopped");
    } else if (s.status != RF_CREATED) {
        status = rf_fatal(1, "cannot start an already running container");
    } else if (state_connect(&s, &sb, &e) < 0) {
        status = rf_fatal(1, "%s", e.text);
    } else {
        json_t *config = container_config(&s);
        status = creation_start(&s, &sb, config, &e) < 0
                     ? rf_fatal(1, "runrf start failed: %s", e.text)
                     : 0;
        json_decref(config);
        sandbox_close(&sb);
    }
    state_close(&s);
    return status;
}
