/* delete: what a stopped container holds; with --force, of any. */
#include "creation.h"
#include "hooks.h"
#include "runrf.h"

#include <string.h>

static void delete_it(struct rf_state *s)
{
    json_t *config = container_config(s), *doc = state_document(s, RF_STOPPED);
    container_teardown(s);
    hooks_run_lenient(config, "poststop", doc);
    json_decref(config);
    json_decref(doc);
}

int cmd_delete(int argc, char **argv)
{
    bool force = false;
    const struct rf_flag flags[] = {
        {"force", 'f', RF_FLAG_BOOL, &force, NULL, "whatever state it is in"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"ID", 1, 1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    struct rf_error e;
    struct rf_state s;
    int ret = force ? state_open_force(argv[at], &s, &e) : state_open(argv[at], &s, &e);
    if (ret < 0) {
        if (force && !strcmp(e.text, "container does not exist"))
            return 0;
        return rf_fatal(1, "%s", e.text);
    }
    if (force || s.status == RF_STOPPED || s.status == RF_CREATED) {
        delete_it(&s);
        status = 0;
    } else {
        status = rf_fatal(1, "cannot delete container %s that is not stopped: %s", s.id,
                          g_status_names[s.status]);
    }
    state_close(&s);
    return status;
}
