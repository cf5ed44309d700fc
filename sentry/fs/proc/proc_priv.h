/* /proc from the inside.
 *
 * Every name is a row of a table (struct proc_entry); what a file says is made by its show function
 * into a growing buffer when it is first read, and again when it is read from the start. Rows about
 * a process get it, looked up anew, in struct proc_ctx. */
#pragma once

#include "base/overflow.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pbuf {
    char *data;
    size_t size, room;
    bool failed; /* out of memory: the rest is dropped, the read says -ENOMEM */
};
void pb_write(struct pbuf *b, const void *data, size_t size);
void pb_str(struct pbuf *b, const char *s);
/* As seq_path: space, tab, newline and backslash in octal. */
void pb_escaped(struct pbuf *b, const char *s);
void pb_printf(struct pbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct proc_entry;
struct proc_ctx;
/* memory.c */
int proc_show_vmstat(struct pbuf *b, const struct proc_ctx *c);
int proc_show_buddyinfo(struct pbuf *b, const struct proc_ctx *c);
int proc_show_pagetypeinfo(struct pbuf *b, const struct proc_ctx *c);
int proc_show_zoneinfo(struct pbuf *b, const struct proc_ctx *c);
int proc_show_slabinfo(struct pbuf *b, const struct proc_ctx *c);
int proc_show_iomem(struct pbuf *b, const struct proc_ctx *c);

struct proc_ctx {
    struct task *caller; /* borrowed */
    struct pid_ns *ns;   /* borrowed from the superblock: whose numbers are shown */
    struct process *p;   /* counted by the core; NULL outside /proc/PID */
    struct task *t;      /* counted by the core; of /proc/PID/task/TID, else the leader, or NULL */
    bool one_thread;     /* asked of a thread, not of the process */
    int fd;              /* /proc/PID/fd/N */
    const struct proc_entry *e;
};

typedef int proc_show_fn(struct pbuf *b, const struct proc_ctx *c);

/* Numbered names in a directory: processes, threads, descriptors. */
struct proc_numbers {
    enum { PROC_OF_PID, PROC_OF_TID, PROC_OF_FD } of;
    int (*next)(const struct proc_ctx *c, int after); /* the least one above, or -1 */
    bool (*has)(const struct proc_ctx *c, int number);
    const struct proc_entry *entry; /* what each is; its name is unused */
};

enum {
    PROC_PTRACE = 1, /* only for who may look into the process */
    PROC_HIDDEN = 2, /* found, not listed */
    PROC_LEADER = 4, /* not in /proc/PID/task/TID */
    PROC_THREAD = 8, /* only there */
};

struct proc_entry {
    const char *name; /* NULL ends a table */
    uint32_t mode;    /* with type */
    unsigned flags;
    proc_show_fn *show;
    /* text is NUL-terminated, a trailing newline removed. Bytes taken, or an error. */
    int (*write)(const struct proc_ctx *c, char *text, size_t size);
    int (*readlink)(const struct proc_ctx *c, char *buf, size_t size);
    int (*follow)(const struct proc_ctx *c, struct path *out);
    const struct proc_entry *children;
    const struct proc_numbers *numbers;
    const struct file_ops *file_ops; /* instead of show: /proc/PID/mem */
    void *data;                      /* for show and write of sysctls */
};

struct proc_inode {
    const struct proc_entry *e; /* const */
    int pid, tid, fd;           /* const; ids; 0, 0, -1 where they do not apply */
    int64_t start_ns;           /* const; of the process: numbers are used again */
};

/* What is behind an inode now: -ESRCH when the process is gone. ctx_end drops it. */
int proc_ctx_begin(const struct inode *i, struct proc_ctx *c);
void proc_ctx_end(struct proc_ctx *c);
/* The memory of the process, counted, if the caller may look at it. */
int proc_mm_get(const struct proc_ctx *c, struct mm **out);
int proc_may_look(const struct proc_ctx *c);

/* A superblock that shows a table: /proc itself, and /sys. */
int proc_mount_table(const char *type, uint64_t magic, const struct proc_entry *entry,
                     struct superblock **out);

#define PROC_DIR(n, m, kids)                                                                       \
    {                                                                                              \
        .name = (n), .mode = S_IFDIR | (m), .children = (kids)                                     \
    }
#define PROC_FILE(n, m, fn)                                                                        \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | (m), .show = (fn)                                           \
    }
#define PROC_FILE_RW(n, m, fn, wr)                                                                 \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | (m), .show = (fn), .write = (wr)                            \
    }
#define PROC_LINK(n, rd)                                                                           \
    {                                                                                              \
        .name = (n), .mode = S_IFLNK | 0777, .readlink = (rd)                                      \
    }

extern const struct proc_entry g_proc_root_entries[]; /* system.c */
extern const struct proc_entry g_proc_pid_entries[];  /* pid.c */
extern const struct proc_entry g_proc_sys_net_entries[]; /* sysctl_net.c */
extern const struct proc_entry g_proc_sys_entries[];  /* sysctl.c */
extern const struct proc_entry g_proc_net_entries[];  /* net.c */
extern const struct proc_entry g_proc_pid_dir;        /* pid.c */

/* pid_stat.c */
proc_show_fn proc_show_stat, proc_show_status, proc_show_statm, proc_show_limits, proc_show_io,
    proc_show_sched, proc_show_schedstat;
/* pid_maps.c */
proc_show_fn proc_show_maps, proc_show_smaps, proc_show_smaps_rollup, proc_show_cmdline,
    proc_show_environ, proc_show_auxv;
extern const struct file_ops g_proc_mem_ops;
/* pid_more.c */
proc_show_fn proc_show_children, proc_show_timers, proc_show_autogroup, proc_show_timerslack,
    proc_show_loginuid, proc_show_sessionid, proc_show_numa_maps;
typedef int proc_write_fn(const struct proc_ctx *c, char *text, size_t size);
proc_write_fn proc_write_autogroup, proc_write_timerslack, proc_write_loginuid,
    proc_write_clear_refs;
extern const struct file_ops g_proc_pagemap_ops;
/* pid_mounts.c */
proc_show_fn proc_show_mounts, proc_show_mountinfo, proc_show_mountstats;
/* pid_fd.c */
uint32_t proc_fd_mode(const struct proc_ctx *c); /* of the link: what the descriptor allows */
extern const struct proc_numbers g_proc_fd_numbers, g_proc_fdinfo_numbers;
/* cpuinfo.c */
proc_show_fn proc_show_cpuinfo;
