/* Network namespaces on the host: where the container's sockets live with --network=host. */
#pragma once

#include "runrf.h"

/* A new one, its loopback up. Returns a descriptor that keeps it, or -1 and *e. */
int netns_new(struct rf_error *e);
