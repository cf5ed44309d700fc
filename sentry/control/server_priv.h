/* Between server.c and requests.c. */
#pragma once

#include "control/control_priv.h"

#define SERVER_CLIENTS_MAX 128
#define CLIENT_PATIENCE_MS 5000 /* how long a worker waits for a client to read its answer */

struct client {
    struct ref ref;
    struct list_node node; /* server thread only */
    int fd;                /* const */
    bool dead;             /* atomic; to be dropped by the server thread */
    bool busy;             /* atomic; a worker serves it */
    struct {               /* server thread only, while not busy; type 0: not waiting */
        uint32_t type, id;
        int pid;
        char container[CONTROL_ID_MAX + 1];
    } wait;
};

struct request {
    struct client *client; /* counted */
    struct control_msg msg;
    char text[CONTROL_TEXT_MAX + 1];
    struct control_fds fds;
};

void request_serve(struct request *q); /* consumes q; server thread */
void request_free(struct request *q);
/* c has asked to wait: is it time to answer? Server thread. */
void request_waiting(struct client *c);
/* c is being dropped. Server thread. */
void request_client_gone(struct client *c);
/* Room to send in; false: the client does not read. Worker threads. */
bool client_wait_room(struct client *c);
