/* Inside of the gofer client: gofer_client.c (transport) and gofer_requests.c only. */
#pragma once

#include "base/lock.h"
#include "base/ref.h"
#include "fs/gofer_client.h"
#include "gofercodec.h"

#define GOFER_DROP_MAX 128u
#define GOFER_BROKEN   (-4096) /* inside only: the connection is of no use any more */

struct gofer_channel {
    int fd;                                  /* const */
    bool busy;                               /* lock: gofer.lock; a thread owns the rest */
    uint32_t cpu;                            /* lock: gofer.lock; where its server thread will be */
    uint32_t tag;                            /* owner-private; of the last request */
    _Alignas(8) uint8_t out[GOFERP_MSG_MAX]; /* owner-private */
    _Alignas(8) uint8_t in[GOFERP_MSG_MAX];  /* owner-private */
};

struct gofer {
    struct ref ref;
    struct lock lock; /* LR_GOFER; never held while a request is out */
    struct gofer_channel *channels[GOFERP_CHANNELS_MAX]; /* lock: lock; only added to */
    unsigned channel_count, channel_max;                 /* lock: lock */
    unsigned misplaced;             /* lock: lock; requests on a channel of another CPU */
    bool crowded;                   /* lock: lock; a thread found no free channel */
    bool growing;                   /* lock: lock; a thread is making one */
    uint32_t released;              /* atomic; counts releases: the futex of waiting threads */
    uint32_t waiters;               /* atomic */
    int64_t yield_from_ns;          /* atomic; CLOCK_MONOTONIC: see rpc_yield */
    bool broken;                    /* atomic; every request is -EIO */
    uint64_t drops[GOFER_DROP_MAX]; /* lock: lock */
    unsigned drop_count;            /* lock: lock */
    struct goferp_version_rep info; /* const after connect */
};

/* One request: begin, put the body into w, call, take the reply from r, end. */
struct gofer_rpc {
    struct gofer *g;
    struct gofer_channel *ch;
    struct gofercodec_writer w;
    struct gofercodec_reader r;
    uint16_t type;
    bool slow; /* may wait for the disk */
    int fd;    /* that came with the reply; its taker sets -1 */
};

int gofer_rpc_begin(struct gofer_rpc *p, struct gofer *g, enum goferp_type type);
/* Status of the server, or -EIO. */
int gofer_rpc_call(struct gofer_rpc *p, bool wants_fd);
/* The reply makes no sense: the connection is given up. -EIO. */
int gofer_rpc_break(struct gofer_rpc *p);
void gofer_rpc_end(struct gofer_rpc *p);
