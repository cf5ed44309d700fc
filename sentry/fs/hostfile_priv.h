/* Host descriptors as guest files: what hostfile.c (files, pipes, sockets) and hosttty.c
 * (terminals) share. */
#pragma once

#include "fs/tty_priv.h"

struct poller_entry;

/* One donated host descriptor. Several files may stand on it (/dev/stdin opened again). */
struct hoststream {
    struct ref ref;
    int fd;         /* const */
    unsigned flags; /* const; access mode of the host's open file */
    uint32_t mode;  /* const; st_mode at the start */
    struct waitq wq;
    struct lock io_lock;        /* LR_LEAF; poll and the call after it */
    struct poller_entry *entry; /* lock: io_lock to make; NULL until someone waits */
    bool no_nowait;             /* atomic; the host cannot promise not to block */
    struct tty *tty;            /* const; borrowed: the files on it hold it. NULL: none */
    struct mappable *mappable;  /* const; owned; plain files */
};

void hoststream_get(struct hoststream *hs);
void hoststream_put(struct hoststream *hs);
/* POLL* bits that hold now; those asked for that do not hold are armed. */
unsigned hoststream_poll(struct hoststream *hs, unsigned wanted);
/* Wait for one of the bits (or an error): 0, -EAGAIN, -ERESTARTSYS, -ETIMEDOUT. */
int hoststream_wait(struct file *f, struct hoststream *hs, unsigned wanted, int64_t deadline);
/* Move one buffer without blocking: bytes, -EAGAIN, or another error. */
int64_t hoststream_read_some(struct hoststream *hs, void *buf, size_t size);
int64_t hoststream_write_some(struct hoststream *hs, const void *buf, size_t size);
unsigned hostfile_poll(struct file *f);
struct waitq *hostfile_waitq(struct file *f);
void hostfile_release(struct file *f);
int hostfile_host_fd(struct file *f);
/* write(2) to a stream, SIGPIPE included. */
int64_t hoststream_write(struct file *f, struct uio *u);

/* hosttty.c */
extern const struct file_ops g_hosttty_ops;
/* The terminal behind hs, one object for all descriptors of the same host device. Counted. */
int hosttty_of(struct hoststream *hs, const struct stat *st, struct tty **out);
