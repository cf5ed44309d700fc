/* Of the poller, for the files on host descriptors. */
#pragma once

struct poller_entry;

/* Wake the queue once, as soon as one of these epoll(7) events (or an error) holds. Cheap when that
 * is already asked for. Takes LR_POLLER. */
void poller_want(struct poller_entry *e, unsigned events);
