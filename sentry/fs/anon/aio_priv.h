/* Linux native AIO: what its two halves share. */
#pragma once

#include "base/work.h"
#include "fs/vfs.h"

#include <linux/aio_abi.h>

struct aio_ctx {
    struct ref ref;
    uint64_t id;            /* const; where its page stands in the address space */
    struct list_node node;  /* lock: table */
    struct lock lock;       /* LR_LEAF */
    struct waitq wq;        /* woken with each completion */
    struct io_event *ring;  /* lock: lock; size entries, owned */
    unsigned size;          /* const */
    unsigned head, tail;    /* lock: lock to write, atomic to read; completions, free-running */
    unsigned reserved;      /* lock: lock; requests that have no completion yet */
    unsigned asked;         /* const; what it counts as against fs.aio-max-nr */
    bool dead;              /* lock: lock */
    struct list polls;      /* lock: lock; requests that wait */
};

/* What a completion says, and whom it tells besides. */
struct aio_done {
    uint64_t data, obj;
    struct file *resfd; /* counted; an eventfd, or NULL */
};

/* Room for one more completion: -EAGAIN. */
int aio_reserve(struct aio_ctx *c);
void aio_unreserve(struct aio_ctx *c);
void aio_complete(struct aio_ctx *c, struct aio_done *d, int64_t res); /* consumes d->resfd */
/* End every request that waits: they complete with -ECANCELED. */
void aio_cancel_polls(struct aio_ctx *c);
