/* Sandboxes and the containers in them: what the command line (cli/) and the OCI runtime
 * (runsc-compat/) are built on.
 *
 *   sandbox    one sentry process; outlives the caller unless asked otherwise
 *   container  root, mounts, namespaces, limits and first process ("init") of its own in a sandbox,
 *              with a gofer process of its own. The first one created is the sandbox's root
 * container: when its init ends, the sandbox ends, and the sentry's host exit status is that init's
 *              (128+n when signal n ended it). Hence its host pid stands for it in an OCI pid-file
 *   process    something else run in a container (exec); host side: a waiter, see sandbox_waiter
 *
 * States of a container: (create) → CREATED → (start) → RUNNING ⇄ (pause, resume) PAUSED → STOPPED.
 * Its gofer and mounts go with its last process; the record stays, with the exit status, until
 * container_destroy or the end of the sandbox.
 *
 * How a runtime uses it:
 *   create: sandbox_start → container_create → write sandbox.sentry_pid into the pid-file, leave
 *   start:  sandbox_connect → container_start
 *   run, do: sandbox_start → container_create(SB_START | SB_ATTACH) → sandbox_attend
 *   exec:   sandbox_connect → container_exec → sandbox_attend, or detached: sandbox_waiter, whose
 * pid goes into the pid-file further container of a pod: sandbox_connect → container_create →
 * sandbox_waiter (pid-file) ... delete: sandbox_connect → container_destroy; if that fails, or for
 * the root container: sandbox_kill(pid)
 *
 * Every function returns 0, or -1 with *e filled (a sentence, and the exit status that suits it),
 * and leaves nothing behind when it fails. All descriptors and strings given are borrowed for the
 * call. A connection is one thread's at a time, and one that something is attached to is for
 * sandbox_attend and sandbox_waiter alone; as many connections as one likes (SB_CLIENTS_MAX). */
#pragma once

#include "launch/launch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SB_CLIENTS_MAX 128
#define SB_ID_MAX      1024 /* of a container id, without NUL; it is no file name to us */

/* ---- a process ---------------------------------------------------------------------------------
 */

struct sb_rlimit {
    int resource; /* RLIMIT_* */
    uint64_t soft, hard;
};

struct sb_fd { /* the guest's descriptor `guest` is our descriptor `host` */
    int guest, host;
};

struct sb_seccomp { /* enforced by the sentry inside, on top of nothing: a filter of the guest's own
                     */
    const struct sock_filter *program; /* classic BPF over struct seccomp_data, as for seccomp(2) */
    unsigned count;                    /* instructions; 0: no filter */
    unsigned flags; /* SECCOMP_FILTER_FLAG_*: LOG, SPEC_ALLOW, TSYNC are accepted.
                       A listener is refused: its descriptor cannot be made outside */
};

enum { SB_CAP_BOUNDING, SB_CAP_EFFECTIVE, SB_CAP_INHERITABLE, SB_CAP_PERMITTED, SB_CAP_AMBIENT };

struct sb_process {
    char *const
        *argv; /* NULL-terminated; argv[0] without a slash is looked up in envp's PATH inside */
    char *const *envp; /* NULL-terminated */
    const char *cwd;   /* inside, absolute */
    bool make_cwd;     /* make it where it is missing, as runc does */
    uint32_t uid, gid;
    const gid_t *groups; /* additional */
    unsigned group_count;
    int umask;                       /* -1: 022 */
    uint64_t caps[5];                /* masks, bit n is capability n, by SB_CAP_* */
    const struct sb_rlimit *rlimits; /* those not named are the launcher's own */
    unsigned rlimit_count;
    bool no_new_privs;
    bool set_oom_score_adj;
    int oom_score_adj;
    uint64_t ignored; /* bit n-1: signal n starts ignored */
    /* Descriptors. stdio: ours of the guest's 0, 1, 2; -1: closed. terminal: they are one terminal
     * (a pty slave, say), which becomes the controlling terminal and, for an init, /dev/console.
     * extra: 3 and up (--preserve-fds). */
    int stdio[3];
    bool terminal;
    bool find_terminal; /* instead: the first of stdio that is a terminal, if any, is the
                           controlling one */
    const struct sb_fd *extra;
    unsigned extra_count;
    struct sb_seccomp seccomp;
};

/* ---- a container -------------------------------------------------------------------------------
 */

enum { /* sb_mount.options */
       SB_MOUNT_SHARED_ACCESS =
           1,                  /* gofer binds: others change these files too (default for binds) */
       SB_MOUNT_RECURSIVE = 2, /* bind: with the host's mounts below the source (rbind) */
       SB_MOUNT_RO_RECURSIVE = 4, /* rro */
       SB_MOUNT_COPY_UP = 8,      /* tmpfs: starts with what the place held (tmpcopyup) */
       SB_MOUNT_NO_SYMLINK_DEST = 16,
};

/* In order. type: "bind", "tmpfs", "proc", "sysfs", "devtmpfs", "devpts", "mqueue", "cgroup",
 * "cgroup2". dest: inside, absolute; symlinks in it stay inside the root; made where missing (a
 * file for a bind of a file, else a directory). source: bind: a host path; else what /proc/mounts
 * names. */
struct sb_mount {
    const char *type, *source, *dest;
    unsigned long flags; /* MS_RDONLY NOSUID NODEV NOEXEC NOATIME NODIRATIME RELATIME STRICTATIME
                            SYNCHRONOUS NOSYMFOLLOW; anything else is refused */
    unsigned long propagation; /* 0, or MS_PRIVATE SHARED SLAVE UNBINDABLE, | MS_REC */
    const char *data; /* type's own options, as for mount(2): "size=64m,mode=1777"; or NULL */
    unsigned options;
    const struct sb_idmap *uid_maps, *gid_maps; /* id-mapped bind; refused if not supported */
    unsigned uid_map_count, gid_map_count;
};

struct sb_device {
    const char *path; /* inside, absolute */
    char type;        /* 'c', 'b', 'u', 'p' */
    unsigned major, minor;
    uint32_t mode, uid, gid;
};

struct sb_idmap {
    uint32_t inside, outside, count;
};

/* 0: unlimited at creation, unchanged in an update; -1: unlimited. */
struct sb_limits {
    int64_t memory;                      /* bytes */
    int64_t cpu_quota_us, cpu_period_us; /* quota of processor time in each period */
    int64_t cpu_shares;                  /* relative weight, 1024 usual; noted, see README */
    int64_t pids;                        /* tasks */
};

enum sb_ns_kind {
    SB_NS_PID,
    SB_NS_IPC,
    SB_NS_UTS,
    SB_NS_NET,
    SB_NS_MOUNT,
    SB_NS_USER,
    SB_NS_COUNT
};
/* Where a namespace comes from. NULL: a new one; in a new PID namespace the first process is an
 * init as pid_namespaces(7) has it: signals that it does not handle do nothing to it.
 * SB_NS_SANDBOX: the sandbox's own (what the host's are to a runc container that makes none). Else:
 * id of the container of this sandbox to share with. */
#define SB_NS_SANDBOX ""

struct sb_container {
    const char *id;
    const char *rootfs;    /* host directory */
    const char *root_mode; /* "overlay": writes stay in memory; "rw": they reach the host; "ro" */
    bool root_readonly;    /* mounted read-only once everything below is in place */
    bool root_shared;      /* others change these files too (runsc's --file-access=shared) */
    const struct sb_mount *mounts;
    unsigned mount_count;
    bool default_mounts; /* /proc, /sys, /dev, /dev/pts, /dev/shm before `mounts` (ringfence do) */
    const struct sb_device *devices;
    unsigned device_count;
    bool default_devices; /* null zero full random urandom tty, the links fd stdin stdout stderr
                             ptmx, /dev/console with a terminal: as runc makes in /dev */
    const char *const *masked_paths, *const *readonly_paths; /* NULL-terminated, or NULL */
    const char *const *sysctl;         /* "net.ipv4.x=1", NULL-terminated, or NULL */
    const char *hostname, *domainname; /* NULL: the sandbox's */
    unsigned long root_propagation;
    const char *namespaces[SB_NS_COUNT];
    const struct sb_idmap *uid_maps, *gid_maps; /* of a new user namespace */
    unsigned uid_map_count, gid_map_count;
    struct sb_limits limits;
    struct sb_process process;
};

/* ---- a sandbox ---------------------------------------------------------------------------------
 */

/* Called in a forked child before it confines itself and becomes rf-sentry or rf-gofer: join
 * cgroups, set oom_score_adj, whatever must be in place before guests exist. Async-signal-safe
 * calls and open/write only. 0, or a negative errno with *step naming what failed. */
typedef int sandbox_child_fn(void *arg, bool is_gofer, const char **step);

struct sandbox_spec {
    const char
        *dir; /* an existing directory of the caller's, mode 0700: gets "control.sock". NULL: the
                 sandbox is reached through the connection that sandbox_start returns only */
    const char *socket_name; /* in dir; NULL: "control.sock" */
    const char *platform;    /* "auto", "systrap", "kvm" */
    const char *network;     /* "none", "host", "sandbox" */
    const char *netns_path; /* network namespace for --network=host (the container's); NULL: ours */
    const char *hostname;   /* NULL: the host's */
    unsigned cpus;          /* processors that guests see; 0: all */
    uint64_t memory_limit;  /* bytes, ceiling of the sandbox as a whole; 0: none */
    const char *strace;     /* NULL: off; "": everything; else a set */
    const char *debug_log;  /* file name, or NULL; appended to */
    int log_fd;             /* used when debug_log is NULL; 0 and below: none */
    bool stats;             /* a line of figures comes with the last event */
    bool attached; /* true: sentry and gofers die with the calling process. false: they outlive it,
                      children of whoever reaps its orphans */
    sandbox_child_fn *child_setup; /* or NULL */
    void *child_arg;
};

struct sandbox { /* a connection, and for the starter the processes */
    int fd;      /* the connection; -1: closed */
    uint32_t last_id;
    pid_t sentry_pid; /* 0: not our child */
    int sentry_pidfd; /* -1: not our child */
    pid_t gofer_pid;  /* of the container created last over this connection; 0: none */
    bool attached;
    int timeout_ms; /* of each request but waits; default SB_TIMEOUT_MS, -1: for ever */
    const struct sandbox_spec
        *spec;                   /* borrowed; for further gofers, to be set after sandbox_connect */
    struct sandbox_spec started; /* the starter's own copy, used where spec is NULL */
    char dir[256];
    bool stands_for; /* something is attached: init or process stands_for_pid of stands_for_id */
    int stands_for_pid;
    char stands_for_id[SB_ID_MAX + 1];
};
#define SB_TIMEOUT_MS 30000

/* Start the sentry. It has no container, and ends when the last connection closes before one was
 * created. On success *s is a connection to it. */
int sandbox_start(const struct sandbox_spec *spec, struct sandbox *s, struct launch_error *e);
/* Connect to the sandbox registered in dir. e->status 0 tells "there is none any more" (no socket,
 * or nobody behind it) from other failures. */
int sandbox_connect(const char *dir, struct sandbox *s, struct launch_error *e);
int sandbox_connect_named(const char *dir, const char *socket_name, struct sandbox *s,
                          struct launch_error *e);
void sandbox_close(struct sandbox *s); /* the connection; idempotent */
/* For the starter, when a further step fails: end and reap sentry and gofer, close. */
void sandbox_abandon(struct sandbox *s);
/* Does a sentry answer? Within a second. */
bool sandbox_alive(const char *dir);
/* End sentry, gofers, guests now, from outside, whatever state they are in: SIGKILL to the sentry
 * by its pid if its start time (field 22 of /proc/PID/stat) is start_time (0: not checked). Waits
 * until it is gone, or -1 after two seconds. */
int sandbox_kill(pid_t sentry_pid, uint64_t start_time, struct launch_error *e);
uint64_t sandbox_start_time(pid_t pid); /* field 22 of /proc/PID/stat; 0: there is none */

/* ---- containers --------------------------------------------------------------------------------
 */

enum {                /* flags of container_create */
       SB_START = 1,  /* run init at once */
       SB_ATTACH = 2, /* events of its init come over this connection (sandbox_attend); the
                         container is killed when the connection closes */
};
enum sb_state { SB_CREATED, SB_RUNNING, SB_PAUSED, SB_STOPPED };

int container_create(struct sandbox *s, const struct sb_container *c, unsigned flags,
                     struct launch_error *e);
/* Errors of the exec itself (not found, not executable) are here: e->status 127, 126. */
int container_start(struct sandbox *s, const char *id, struct launch_error *e);

/* Run a further process. Its container must be RUNNING (PAUSED: refused). *pid: as its PID
 * namespace numbers it. flags: SB_ATTACH. cwd, caps and the rest as given; nothing is inherited
 * from init. */
int container_exec(struct sandbox *s, const char *id, const struct sb_process *p, unsigned flags,
                   int *pid, struct launch_error *e);

/* To the process pid (as its PID namespace numbers it); pid 0: init; pid -1: every process of the
 * container. A container that has stopped: e->status 0, text "container not running". Works on a
 * paused one: the signal is delivered at resume, SIGKILL at once. */
int container_signal(struct sandbox *s, const char *id, int pid, int sig, struct launch_error *e);
/* As a terminal's key: to the foreground group of pid's terminal, or to pid if it has none. */
int container_signal_foreground(struct sandbox *s, const char *id, int pid, int sig,
                                struct launch_error *e);

int container_pause(struct sandbox *s, const char *id, struct launch_error *e);
int container_resume(struct sandbox *s, const char *id, struct launch_error *e);
int container_update(struct sandbox *s, const char *id, const struct sb_limits *l,
                     struct launch_error *e);

struct sb_info {
    enum sb_state state;
    int init_pid;    /* in its own namespace; 0 before start */
    bool root;       /* the sandbox's root container */
    int wait_status; /* of init, as wait(2); STOPPED only */
    bool oom_killed; /* init or another process was ended by the memory limit */
    char id[SB_ID_MAX + 1];
};
int container_info(struct sandbox *s, const char *id, struct sb_info *out, struct launch_error *e);
/* All of the sandbox: *out is malloc'd. */
int sandbox_list(struct sandbox *s, struct sb_info **out, unsigned *count, struct launch_error *e);

struct sb_ps {
    int pid, ppid; /* as the container's PID namespace numbers them; ppid 0: from outside */
    int threads;
    uint32_t uid, gid;
    char state; /* R S T Z */
    char comm[16];
    int64_t start_ns; /* CLOCK_REALTIME */
    int64_t cpu_ns;
    uint64_t rss;   /* bytes */
    char args[256]; /* command line with blanks, cut */
};
int container_ps(struct sandbox *s, const char *id, struct sb_ps **out, unsigned *count,
                 struct launch_error *e); /* *out malloc'd */

struct sb_stats { /* bytes, nanoseconds; limits 0: none */
    uint64_t memory_usage, memory_peak, memory_limit, memory_failures, oom_kills;
    uint64_t cpu_user_ns, cpu_system_ns;
    uint64_t cpu_periods, cpu_throttled_periods, cpu_throttled_ns;
    uint64_t pids_current, pids_limit;
    uint64_t processes, forks;
};
int container_stats(struct sandbox *s, const char *id, struct sb_stats *out,
                    struct launch_error *e);

/* What each task of it does: a line each, handed to fn. */
int container_stacks(struct sandbox *s, const char *id, void (*fn)(void *arg, const char *line),
                     void *arg, struct launch_error *e);
/* Print the system calls of the whole sandbox to fd until s is closed. set as for strace above. */
int sandbox_trace(struct sandbox *s, const char *set, int fd, struct launch_error *e);

/* Wait until init (pid 0) or an exec'd process has ended; as wait(2) in *wait_status. Blocks this
 * connection; s->fd becomes readable when the answer is there, so split in two for a poll loop. */
int container_wait(struct sandbox *s, const char *id, int pid, int *wait_status,
                   struct launch_error *e);
int container_wait_begin(struct sandbox *s, const char *id, int pid, struct launch_error *e);
int container_wait_end(struct sandbox *s, int *wait_status, struct launch_error *e);

/* Kill what runs, let gofer and mounts go, forget the record. Destroying the root container ends
 * the sandbox; the call returns when the sentry is gone. Unknown id: e->status 0. */
int container_destroy(struct sandbox *s, const char *id, struct launch_error *e);

/* ---- standing in for a guest process outside ----------------------------------------------------
 */

/* Stay with the process that was created or exec'd with SB_ATTACH over s: forward this process's
 * signals to it (to the foreground group where it has our terminal), stop when it stops, restore
 * the terminal. Returns the exit status to leave with (128+n for a signal); a sandbox that broke is
 * a sentence in *e and 125. Closes s; reaps sentry and gofer if they are our children. */
int sandbox_attend(struct sandbox *s, struct launch_error *e);

/* Start a small host process that stands for a container's init (pid 0; a pod's further containers)
 * or for an exec'd process: it takes over s (closed here), forwards its signals, and exits with the
 * status. Ends that guest process if it is killed itself. tty_fd: terminal slave to hold as its
 * controlling terminal, so that keys, size changes and hang-up reach the guest; -1: none. Its pid
 * for the pid-file in *pid. It is our child, and outlives us. */
int sandbox_waiter(struct sandbox *s, const char *id, int guest_pid, int tty_fd, pid_t *pid,
                   struct launch_error *e);

/* ---- where ringfence's own sandboxes register
 * ---------------------------------------------------- */

/* /run/ringfence, $XDG_RUNTIME_DIR/ringfence, or a directory in /tmp: made, ours, mode 0700. */
int sandbox_runtime_dir(char *out, size_t size, struct launch_error *e);
