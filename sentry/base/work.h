/* Work for later: what a wake callback may not do under the queue's lock, a service thread does
 * without any. The thread is started with the first user, and sleeps while there is nothing.
 *
 *   idle → work_queue → queued → taken out by the thread: idle again → fn runs
 *
 * fn may free the work or queue it anew. */
#pragma once

#include "base/list.h"
#include <stdbool.h>

struct work {
    struct list_node node; /* lock: work.c's */
    void (*fn)(struct work *w); /* const */
};

/* -ENOMEM: no thread. Holds no locks. */
int work_init(struct work *w, void (*fn)(struct work *w));
/* True: it was idle and is queued now. Any thread, under any lock above LR_LEAF. */
bool work_queue(struct work *w);
/* True: it was queued and is idle now. False: fn may be running this moment. */
bool work_cancel(struct work *w);
