/* run: create and start, then stay with the container (or leave with --detach). */
#include "creation.h"
#include "hooks.h"
#include "runrf.h"

#include <stdlib.h>

struct run_args {
    struct creation_args c;
    bool detach, keep, no_pivot, no_keyring, no_subreaper;
};

/* The program has run its course: its end is the container's. */
static void finish_foreground(struct creation *c, const struct run_args *r)
{
    c->state.status = RF_STOPPED;
    state_set_string(&c->state, "status", g_status_names[RF_STOPPED]);
    if (r->keep) {
        struct rf_error e;
        if (state_save(&c->state, &e) < 0)
            rf_log(RF_WARNING, "%s", e.text);
        return;
    }
    json_t *doc = state_document(&c->state, RF_STOPPED);
    creation_undo(c);
    hooks_run_lenient(c->config, "poststop", doc);
    json_decref(doc);
}

static int run(struct creation *c, const struct run_args *r)
{
    struct rf_error e;
    struct launch_error le = {0};
    if (creation_create(c, &r->c, &e) < 0 ||
        (r->detach && state_connect(&c->state, &c->sandbox, &e) < 0) ||
        creation_start(&c->state, &c->sandbox, c->config, &e) < 0) {
        creation_undo(c);
        return rf_fatal(1, "runrf run failed: %s", e.text);
    }
    if (r->detach)
        return 0;
    state_unlock(&c->state);
    int status = sandbox_attend(&c->sandbox, &le);
    if (le.text[0])
        rf_fatal(status, "%s", le.text);
    finish_foreground(c, r);
    return status;
}

int cmd_run(int argc, char **argv)
{
    struct run_args r = {.c = {.bundle = ""}};
    const struct rf_flag flags[] = {
        {"bundle", 'b', RF_FLAG_STRING, &r.c.bundle, "DIR", "the bundle (default: here)"},
        {"detach", 'd', RF_FLAG_BOOL, &r.detach, NULL, "leave when the container runs"},
        {"keep", 0, RF_FLAG_BOOL, &r.keep, NULL, "do not delete the container at its end"},
        {"pid-file", 0, RF_FLAG_STRING, &r.c.pid_file, "FILE", "where to write the pid"},
        {"console-socket", 0, RF_FLAG_STRING, &r.c.console_socket, "SOCKET",
         "AF_UNIX socket that gets the terminal's master"},
        {"preserve-fds", 0, RF_FLAG_INT, &r.c.preserve_fds, "N",
         "hand on N descriptors beyond stdio"},
        {"no-pivot", 0, RF_FLAG_BOOL, &r.no_pivot, NULL, "accepted"},
        {"no-new-keyring", 0, RF_FLAG_BOOL, &r.no_keyring, NULL, "accepted"},
        {"no-subreaper", 0, RF_FLAG_BOOL, &r.no_subreaper, NULL, "accepted"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"ID", 1, 1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    r.c.id = argv[at];
    r.c.attached = !r.detach;
    struct creation *c = malloc(sizeof(*c));
    if (!c)
        return rf_fatal(1, "out of memory");
    status = run(c, &r);
    creation_close(c);
    free(c);
    return status;
}
