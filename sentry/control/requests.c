/* What clients ask: one table. Short answers come from the server thread; what may block (a gofer,
 * a guest's memory) from a worker thread; WAIT and DESTROY when it is time. */
#include "control/server_priv.h"

#include "base/host.h"
#include "base/overflow.h"
#include "trace/trace.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKER_STACK_SIZE (256 << 10)

typedef int serve_fn(struct request *q, int32_t answer[4], struct complaint *why);

static void answer(struct request *q, int err, const int32_t arg[4], const struct complaint *why)
{
    int32_t status[4] = {why->status};
    if (!q->msg.id)
        return; /* an order */
    if (err)
        client_send(q->client, CONTROL_ERROR, q->msg.id, status, why->text, strlen(why->text), NULL,
                    0);
    else
        client_send(q->client, CONTROL_OK, q->msg.id, arg, NULL, 0, NULL, 0);
}

/* ---- by workers ---- */

static int do_create(struct request *q, int32_t out[4], struct complaint *why)
{
    return record_create(&q->fds, q->msg.arg[0], q->client, why);
}

static int do_start(struct request *q, int32_t out[4], struct complaint *why)
{
    return record_start(q->text, why);
}

static int do_exec(struct request *q, int32_t out[4], struct complaint *why)
{
    return record_exec(q->text, &q->fds, q->msg.arg[0], q->client, &out[0], why);
}

static int emit_ps(void *arg, const struct control_ps *ps)
{
    struct request *q = arg;
    if (!client_wait_room(q->client))
        return -1;
    client_send(q->client, CONTROL_ITEM, q->msg.id, NULL, NULL, 0, ps, sizeof(*ps));
    return 0;
}

static int do_ps(struct request *q, int32_t out[4], struct complaint *why)
{
    return report_ps(q->text, emit_ps, q, why);
}

static int do_stats(struct request *q, int32_t out[4], struct complaint *why)
{
    struct control_stats s;
    int err = report_stats(q->text, &s, why);
    if (!err)
        client_send(q->client, CONTROL_ITEM, q->msg.id, NULL, NULL, 0, &s, sizeof(s));
    return err;
}

static int do_info(struct request *q, int32_t out[4], struct complaint *why)
{
    char id[CONTROL_ID_MAX + 1] = "";
    struct control_info info;
    if (*q->text) {
        int err = record_info(q->text, &info, why);
        if (!err)
            client_send(q->client, CONTROL_ITEM, q->msg.id, NULL, q->text, strlen(q->text), &info,
                        sizeof(info));
        return err;
    }
    while (record_next(id, id, sizeof(id)) && client_wait_room(q->client))
        if (!record_info(id, &info, why))
            client_send(q->client, CONTROL_ITEM, q->msg.id, NULL, id, strlen(id), &info,
                        sizeof(info));
    return 0;
}

static int emit_line(void *arg, const char *line)
{
    struct request *q = arg;
    if (!client_wait_room(q->client))
        return -1;
    client_send(q->client, CONTROL_ITEM, q->msg.id, NULL, line, strlen(line), NULL, 0);
    return 0;
}

static int do_stacks(struct request *q, int32_t out[4], struct complaint *why)
{
    return report_stacks(q->text, emit_line, q, why);
}

/* ---- at once ---- */

static struct client *g_tracer; /* server thread only; counted; whom trace lines go to */

static void trace_stop(void)
{
    if (!g_tracer)
        return;
    trace_disable();
    host_close(trace_output(-1));
    client_put(g_tracer);
    g_tracer = NULL;
}

void request_client_gone(struct client *c)
{
    if (c == g_tracer)
        trace_stop();
}

/* On for as long as the client stays. text: the set of calls. */
static int do_trace(struct request *q, int32_t out[4], struct complaint *why)
{
    if (g_kernel.strace)
        return complain(why, RF_EXIT_ERROR, "system calls are being traced already");
    if (!q->fds.count)
        return complain(why, RF_EXIT_ERROR, "bad message: nowhere to print to");
    trace_output(q->fds.fd[0]);
    q->fds.fd[0] = -1;
    client_get(q->client);
    g_tracer = q->client;
    trace_enable(q->text);
    return 0;
}

static int do_signal(struct request *q, int32_t out[4], struct complaint *why)
{
    return record_signal(q->text, q->msg.arg[0], q->msg.arg[1], q->msg.arg[2] & CONTROL_FOREGROUND,
                         why);
}

static int do_pause(struct request *q, int32_t out[4], struct complaint *why)
{
    return record_freeze(q->text, /*on=*/true, why);
}

static int do_resume(struct request *q, int32_t out[4], struct complaint *why)
{
    return record_freeze(q->text, /*on=*/false, why);
}

static int do_update(struct request *q, int32_t out[4], struct complaint *why)
{
    struct control_limits l;
    size_t id_size = strlen(q->text) + 1;
    if (q->msg.text_size != id_size + sizeof(l))
        return complain(why, RF_EXIT_ERROR, "bad message: limits are missing");
    memcpy(&l, q->text + id_size, sizeof(l));
    return record_update(q->text, &l, why);
}

static int do_attach(struct request *q, int32_t out[4], struct complaint *why)
{
    int err = record_attach(q->text, q->msg.arg[0], q->client, why);
    control_wake(); /* perhaps its end is to be told at once */
    return err;
}

/* ---- when it is time ---- */

static int do_wait(struct request *q, int32_t out[4], struct complaint *why)
{
    struct client *c = q->client;
    c->wait.type = q->msg.type;
    c->wait.id = q->msg.id;
    c->wait.pid = q->msg.arg[0];
    snprintf(c->wait.container, sizeof(c->wait.container), "%.*s", CONTROL_ID_MAX, q->text);
    control_wake(); /* perhaps it is time already */
    return 0;
}

static int waiting_done(struct client *c, int32_t out[4], struct complaint *why)
{
    if (c->wait.type == CONTROL_WAIT)
        return record_wait(c->wait.container, c->wait.pid, &out[0], why);
    struct control_info info;
    return record_info(c->wait.container, &info, why) ? 1 : 0; /* DESTROY: until it is not there */
}

void request_waiting(struct client *c)
{
    struct complaint why = {0};
    int32_t out[4] = {0};
    if (!c->wait.type)
        return;
    int r = waiting_done(c, out, &why);
    int32_t status[4] = {why.status};
    if (r < 0)
        client_send(c, CONTROL_ERROR, c->wait.id, status, why.text, strlen(why.text), NULL, 0);
    else if (r > 0)
        client_send(c, CONTROL_OK, c->wait.id, out, NULL, 0, NULL, 0);
    if (r)
        c->wait.type = 0;
}

static int do_destroy(struct request *q, int32_t out[4], struct complaint *why)
{
    return record_destroy(q->text, why) ? -1 : do_wait(q, out, why);
}

/* ---- the table ---- */

enum how { AT_ONCE, WORKER, WAITS };

static const struct {
    serve_fn *fn;
    enum how how;
} g_requests[] = {
    [CONTROL_CREATE] = {do_create, WORKER},
    [CONTROL_START_INIT] = {do_start, WORKER},
    [CONTROL_EXEC] = {do_exec, WORKER},
    [CONTROL_SIGNAL] = {do_signal, AT_ONCE},
    [CONTROL_PAUSE] = {do_pause, AT_ONCE},
    [CONTROL_RESUME] = {do_resume, AT_ONCE},
    [CONTROL_UPDATE] = {do_update, AT_ONCE},
    [CONTROL_INFO] = {do_info, WORKER},
    [CONTROL_PS] = {do_ps, WORKER},
    [CONTROL_STATS] = {do_stats, WORKER},
    [CONTROL_WAIT] = {do_wait, WAITS},
    [CONTROL_DESTROY] = {do_destroy, WAITS},
    [CONTROL_ATTACH_TO] = {do_attach, AT_ONCE},
    [CONTROL_STACKS] = {do_stacks, WORKER},
    [CONTROL_TRACE] = {do_trace, AT_ONCE},
};

static void *worker(void *arg)
{
    struct request *q = arg;
    struct complaint why = {0};
    int32_t out[4] = {0};
    int err = g_requests[q->msg.type].fn(q, out, &why);
    answer(q, err, out, &why);
    __atomic_store_n(&q->client->busy, false, __ATOMIC_RELEASE);
    request_free(q);
    control_wake();
    return NULL;
}

static int worker_start(struct request *q)
{
    pthread_t thread;
    pthread_attr_t attr;
    __atomic_store_n(&q->client->busy, true, __ATOMIC_RELEASE);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, WORKER_STACK_SIZE);
    int err = pthread_create(&thread, &attr, worker, q);
    pthread_attr_destroy(&attr);
    if (err)
        __atomic_store_n(&q->client->busy, false, __ATOMIC_RELEASE);
    return -err;
}

void request_serve(struct request *q)
{
    struct complaint why = {0};
    int32_t out[4] = {0};
    uint32_t type = q->msg.type;
    bool known = type < ARRAY_COUNT(g_requests) && g_requests[type].fn;
    if (known && g_requests[type].how == WORKER) {
        if (!worker_start(q))
            return;
        known = false;
    }
    int err = known ? g_requests[type].fn(q, out, &why)
                    : complain(&why, RF_EXIT_ERROR, "request %u cannot be served", type);
    if (err || g_requests[type].how != WAITS)
        answer(q, err, out, &why);
    request_free(q);
}
