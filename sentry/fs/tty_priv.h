/* What the two kinds of terminal share: job control. The session and the foreground group belong to
 * the kernel's tasks_lock; everything else is the driver's. */
#pragma once

#include "fs/vfs.h"
#include "kernel/kernel.h"

struct tty_driver {
    /* Open the terminal again (through /dev/tty or its device): f->ops and f->priv. */
    int (*open)(struct tty *tty, struct file *f);
    bool (*tostop)(struct tty *tty); /* background writes stop their group */
    void (*free)(struct tty *tty);   /* last reference gone */
    /* Every file that is open now is cut off. May be NULL. No locks held. */
    void (*cut_off)(struct tty *tty);
};

struct tty {
    struct ref ref;
    const struct tty_driver *driver; /* const */
    dev_t rdev;                      /* const */
    char name[16];                   /* const; below /dev: "pts/0", "console" */
    struct session *session; /* lock: tasks_lock; borrowed: a session outlives its tty link */
    int fg_pgid;             /* lock: tasks_lock; 0: none */
};

void tty_init(struct tty *tty, const struct tty_driver *driver, dev_t rdev);
/* Is tty the controlling terminal of t's session? */
bool tty_is_controlling(struct tty *tty, struct task *t);
/* The controlling terminal of t, counted; NULL if none. */
struct tty *tty_of_task(struct task *t);
/* A group in the background may not read (SIGTTIN), write with TOSTOP, or set (SIGTTOU): 0 go on,
 * -EIO, or -ERESTARTSYS after signalling the group. */
int tty_check_background(struct tty *tty, struct task *t, int sig);
/* t may write although TOSTOP is set: its group is in the foreground, or tty does not control it.
 */
bool tty_is_foreground(struct tty *tty, struct task *t);
/* An open without O_NOCTTY by a session leader that has no terminal yet. */
void tty_open_acquire(struct tty *tty, struct task *t);
/* The job control ioctls. -ENOIOCTLCMD: not one of them. master: asked at a pty's master. */
#define ENOIOCTLCMD 515
int64_t tty_job_ioctl(struct tty *tty, struct task *t, unsigned cmd, uint64_t arg, bool master);
/* The line has gone: SIGHUP and SIGCONT to the session, which loses its terminal. */
void tty_hangup(struct tty *tty);
/* vhangup(2): so it has, and whoever has it open now is cut off. */
void tty_vhangup(struct tty *tty);

/* devpts.c: the inode of a terminal in /dev/pts, made on demand; counted. */
struct inode *devpts_inode_get(struct tty *tty);
/* Give tty a number in /dev/pts, its name and rdev: -ENOSPC. */
int devpts_register(struct tty *tty);
void devpts_unregister(struct tty *tty);
struct tty *devpts_lookup(unsigned index); /* counted */
int devpts_ptmx_open(struct file *f);

/* hostfile.c */
int hosttty_open(struct tty *tty, struct file *f);
