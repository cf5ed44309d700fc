/* Private to control/.
 *
 *   record   a container as the outside knows it: id, state, mounts, its gofer, attached processes
 *   guest    a process that someone outside waits for: a container's init or an exec'd one
 *   client   a connection
 *
 * g_control.lock (LR_CONTROL) guards the tables and everything in records, guests and clients that
 * says so. Workers drop it while they make, start or describe things; a record that is being worked
 * on is marked busy, and other requests for it are refused or wait, see requests.c. */
#pragma once

#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"
#include "control/control.h"
#include "include/control.h"
#include "kernel/kernel.h"

#include <linux/filter.h>
#include <sys/types.h>

struct gofer;
struct mount_ns;

/* ---- descriptions: describe.c ------------------------------------------------------------------
 */

#define DESC_FDS_MAX CONTROL_FDS_MAX
enum {
    DESC_NS_PID,
    DESC_NS_IPC,
    DESC_NS_UTS,
    DESC_NS_NET,
    DESC_NS_MOUNT,
    DESC_NS_USER,
    DESC_NS_COUNT
};
enum { DEFAULT_MOUNTS = 1, DEFAULT_DEVICES = 2, DEFAULT_CONSOLE = 4 };
enum { CAPS_BOUNDING, CAPS_EFFECTIVE, CAPS_INHERITABLE, CAPS_PERMITTED, CAPS_AMBIENT, CAPS_COUNT };
enum { /* mount_desc.options, as SB_MOUNT_* of launch/sandbox.h */
       MOUNT_SHARED_ACCESS = 1,
       MOUNT_COPY_UP = 8,
};

struct process_desc {
    char **argv, **envp; /* NULL-terminated */
    unsigned argc, envc;
    const char *cwd;
    bool make_cwd, no_new_privs;
    uint32_t uid, gid;
    uint32_t *groups;
    unsigned group_count;
    uint64_t caps[CAPS_COUNT], ignored;
    uint32_t umask;
    int oom_score_adj;
    struct rlimit64 rlimits[RLIM_NLIMITS];
    struct {
        int guest;
        unsigned index; /* of the message's descriptors */
    } fds[DESC_FDS_MAX];
    unsigned fd_count;
    int tty; /* guest descriptor that is the terminal, or -1 */
    struct sock_filter *seccomp;
    unsigned seccomp_count, seccomp_flags;
};

struct mount_desc {
    int export; /* -1: none */
    unsigned long flags, propagation;
    unsigned options;
    const char *type, *source, *dest, *data;
};

struct device_desc {
    char type;
    unsigned major_no, minor_no;
    uint32_t mode, uid, gid;
    const char *path;
};

struct idmap_desc {
    uint32_t inside, outside, count;
};

struct container_desc {
    char *text; /* owned: all strings point into it */
    const char *id, *root_mode, *hostname, *domainname;
    bool root_readonly, root_shared;
    unsigned defaults;
    unsigned long root_propagation;
    struct mount_desc *mounts;
    struct device_desc *devices;
    struct idmap_desc *uid_maps, *gid_maps;
    char **masked, **readonly, **sysctls; /* NULL-terminated, or NULL */
    unsigned mount_count, device_count, uid_map_count, gid_map_count;
    unsigned masked_count, readonly_count, sysctl_count;
    const char *ns[DESC_NS_COUNT]; /* NULL: new; "": the sandbox's; else another container's id */
    struct control_limits limits;
    struct process_desc process;
};

/* consumes text (malloc'd, NUL behind size). 0, or a negative errno with *bad naming the key. The
 * description is to be freed in either case. A description of a process alone has no id or root. */
int desc_parse(char *text, size_t size, bool process_only, struct container_desc *d,
               const char **bad);
int desc_read(int fd, bool process_only, struct container_desc *d, const char **bad);
void desc_free(struct container_desc *d);

/* ---- records ------------------------------------------------------------------------------------
 */

struct client;

struct guest {
    struct list_node node;    /* lock: control; record.guests */
    struct record *record;    /* const; borrowed: the record outlives its guests */
    struct exit_watch *watch; /* const; counted */
    struct process *process;  /* const; counted */
    bool is_init;             /* const */
    bool reported;            /* lock: control; its end was told */
    struct client *attached;  /* lock: control; counted; events go there */
};

enum record_state {
    RECORD_MAKING,
    RECORD_CREATED,
    RECORD_STARTING,
    RECORD_RUNNING,
    RECORD_STOPPED
};

struct record {
    struct ref ref;
    struct list_node node;       /* lock: control; g_control.records */
    struct container_desc desc;  /* const after making */
    bool is_root;                /* const */
    enum record_state state;     /* lock: control */
    struct container *container; /* const after making; counted */
    struct ns_set *ns_set;       /* const after making; counted */
    struct user_ns *user_ns;     /* const after making; counted; NULL: the first */
    struct gofer *gofer;         /* const after making; freed with its mounts */
    struct mount_ns *mount_ns;   /* lock: control; counted; NULL once stopped */
    struct fdtable *fds;         /* lock: control; of an init that has not started */
    struct tty *tty;             /* lock: control; counted; the same */
    char *path;                  /* const after making; of init's program; owned */
    struct list guests;          /* lock: control */
    unsigned workers;            /* lock: control; execs under way: the mounts stay */
    int wait_status;             /* lock: control; valid once stopped */
    bool doomed;                 /* lock: control; destroy waits: goes when it has stopped */
    struct client *attached;     /* lock: control; counted; of an init that has not started */
};

/* A sentence for the one who asked. */
struct complaint {
    int status; /* exit status */
    char text[400];
};
/* Fills *c and returns -1. */
int complain(struct complaint *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Descriptors that came with a message; those that were taken are -1. */
struct control_fds {
    int fd[CONTROL_FDS_MAX];
    unsigned count;
};

/* files.c: the mount namespace of a description, from its gofer. */
int files_make(const struct container_desc *d, struct gofer *g, struct mount_ns **out,
               struct complaint *why);
/* /dev/console of the container becomes its terminal, where there is a /dev/pts to show it. */
void files_console(struct mount_ns *ns, struct tty *tty);
/* stdio.c: the descriptor table that a process starts with; its terminal counted, or NULL. */
/* hold_tty: this process takes the terminal for its own, so that keys and size changes arrive. */
int stdio_make(const struct process_desc *p, struct control_fds *fds, bool hold_tty,
               struct fdtable **out, struct tty **tty, struct complaint *why);
/* program.c: which file argv[0] is, by PATH inside; malloc'd. */
int program_find(struct mount_ns *ns, const struct process_desc *p, char **path,
                 struct complaint *why);
/* What an error of exec means to a person, and as an exit status. */
int program_failed(struct complaint *why, const char *name, int err);

/* containers.c. Without the lock held, but for what says so. */
int record_create(struct control_fds *fds, unsigned flags, struct client *by,
                  struct complaint *why);
int record_start(const char *id, struct complaint *why);
int record_exec(const char *id, struct control_fds *fds, unsigned flags, struct client *by,
                int *pid, struct complaint *why);
int record_signal(const char *id, int pid, int sig, bool foreground, struct complaint *why);
int record_freeze(const char *id, bool on, struct complaint *why);
int record_update(const char *id, const struct control_limits *l, struct complaint *why);
int record_info(const char *id, struct control_info *out, struct complaint *why);
/* The id after the given one ("" for the first); false at the end. */
bool record_next(const char *after, char *id, size_t size);
struct container *record_container(const char *id, struct complaint *why); /* counted */
struct pid_ns *record_pid_ns(const char *id);                              /* counted, or NULL */
/* 1: *status tells; 0: not yet; -1: nobody such. */
int record_wait(const char *id, int pid, int *status, struct complaint *why);
int record_attach(const char *id, int pid, struct client *by, struct complaint *why);
/* Asks for its end: 1 it is gone (or was never there: *why), 0 not yet. */
int record_destroy(const char *id, struct complaint *why);
bool record_any(void);
void record_signal_root(int sig, bool from_terminal);

/* containers.c, for news.c */
extern struct list g_records; /* lock: control; the root container first */
void record_get(struct record *r);
void record_put(struct record *r);
void record_remove(struct record *r);
void record_kill(struct record *r);
void guest_free(struct guest *g);
struct guest *guest_of_locked(struct record *r, int pid); /* borrowed; pid 0: init */

/* news.c. Without the lock held. */
/* by has gone: what was attached to it is killed. */
void record_client_gone(struct client *by);
/* Some process or container has news: send events, let go of what has ended. True: the root
 * container has ended, with *status. */
bool record_reap(int *status);
/* Descriptors of gofers, whose hang-up is news. */
unsigned record_gofer_fds(int *fds, unsigned max);

/* report.c */
typedef int ps_emit_fn(void *arg, const struct control_ps *ps);
int report_ps(const char *id, ps_emit_fn *emit, void *arg, struct complaint *why);
/* A line about each task, in order. */
typedef int line_emit_fn(void *arg, const char *line);
int report_stacks(const char *id, line_emit_fn *emit, void *arg, struct complaint *why);
int report_stats(const char *id, struct control_stats *out, struct complaint *why);

/* server.c */
void client_get(struct client *c);
void client_put(struct client *c);
bool client_busy(struct client *c); /* an answer is being made: events wait until it is out */
/* Never blocks; a client that does not read is dropped. Any thread. */
void client_send(struct client *c, uint32_t type, uint32_t id, const int32_t arg[4],
                 const void *text, size_t size, const void *item, size_t item_size);
void control_wake(void);           /* the server looks at everything again */
extern struct lock g_control_lock; /* LR_CONTROL */
extern bool g_control_stats;       /* const; figures with the last event */
