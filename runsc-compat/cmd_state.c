/* state: the container's state as the specification has it. */
#include "state.h"

#include <stdio.h>
#include <stdlib.h>

int cmd_state(int argc, char **argv)
{
    static const struct rf_flag flags[] = {RF_FLAGS_END};
    static const struct rf_usage usage = {"ID", 1, 1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    struct rf_error e;
    struct rf_state s;
    if (state_peek(argv[at], &s, &e) < 0)
        return rf_fatal(1, "%s", e.text);
    json_t *doc = state_document(&s, s.status);
    json_dumpf(doc, stdout, JSON_INDENT(2));
    json_decref(doc);
    state_close(&s);
    return 0;
}
