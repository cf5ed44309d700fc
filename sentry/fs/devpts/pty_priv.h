/* A pseudo terminal, as its two source files know it. */
#pragma once

#include "fs/devpts/ldisc.h"
#include "fs/tty_priv.h"

#include <sys/ioctl.h>

struct pty {
    struct tty tty;
    struct lock lock;      /* LR_TTY */
    struct ldisc ld;       /* lock: lock */
    struct winsize ws;     /* lock: lock */
    bool master_open;      /* lock: lock */
    bool locked;           /* lock: lock; TIOCSPTLCK */
    bool slave_seen;       /* lock: lock; opened at least once */
    unsigned slaves;       /* lock: lock; open files */
    unsigned hangups;      /* lock: lock; a slave file of an earlier time (f->pos) is cut off */
    bool exclusive;        /* lock: lock; TIOCEXCL */
    bool packet;           /* lock: lock; TIOCPKT */
    uint8_t packet_status; /* lock: lock */
    struct waitq master_wq, slave_wq;
};

static inline struct pty *pty_of(struct tty *tty)
{
    return container_of(tty, struct pty, tty);
}

/* pty.c */
void pty_wake_both(struct pty *p);
bool pty_slave_dead(const struct file *f, struct pty *p); /* the master is gone, or vhangup was */
void pty_note_stop_locked(struct pty *p, bool was_stopped);
/* Type as much as the discipline takes, up to and with a byte that makes a signal. */
size_t pty_master_put(struct pty *p, const uint8_t *buf, size_t size, int *sig);
int pty_slave_open(struct tty *tty, struct file *f);
/* pty_ioctl.c */
int64_t pty_slave_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg);
int64_t pty_master_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg);
