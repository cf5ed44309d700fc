/* create: everything but running the user's program. */
#include "creation.h"

#include <stdlib.h>

int cmd_create(int argc, char **argv)
{
    struct creation_args args = {.bundle = ""};
    bool no_pivot = false, no_keyring = false;
    const struct rf_flag flags[] = {
        {"bundle", 'b', RF_FLAG_STRING, &args.bundle, "DIR", "the bundle (default: here)"},
        {"pid-file", 0, RF_FLAG_STRING, &args.pid_file, "FILE", "where to write the pid"},
        {"console-socket", 0, RF_FLAG_STRING, &args.console_socket, "SOCKET",
         "AF_UNIX socket that gets the terminal's master"},
        {"preserve-fds", 0, RF_FLAG_INT, &args.preserve_fds, "N",
         "hand on N descriptors beyond stdio"},
        {"no-pivot", 0, RF_FLAG_BOOL, &no_pivot, NULL,
         "accepted: guests never see the host's root"},
        {"no-new-keyring", 0, RF_FLAG_BOOL, &no_keyring, NULL, "accepted"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"ID", 1, 1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    args.id = argv[at];
    struct rf_error e;
    struct creation *c = malloc(sizeof(*c));
    if (!c)
        return rf_fatal(1, "out of memory");
    int ret = creation_create(c, &args, &e);
    if (ret < 0)
        creation_undo(c);
    creation_close(c);
    free(c);
    return ret < 0 ? rf_fatal(1, "runrf create failed: %s", e.text) : 0;
}
