/* What the world outside and the sentry say to each other: the start configuration, and the control
 * socket. Version 2.
 *
 * Configurations and descriptions are "key\0value\0" pairs, in order; keys may repeat (argv, env,
 * mount). The sandbox's own comes as a descriptor (--config-fd); a container's (CREATE) and a
 * process's (EXEC) as the first descriptor of the message. Writers are the launcher library's, yet
 * the parser believes no length and no number.
 *
 * The control socket is SOCK_SEQPACKET, listening in the sandbox's state directory; the starter has
 * a connection from the first. A message is one struct control_msg (little-endian, fixed size),
 * then text_size bytes of text, then, for items, a struct. Peers are not trusted: whoever may open
 * the socket may do to the sandbox what the protocol offers and nothing else.
 *
 *   request  (id != 0)  answered by any number of ITEM, then one OK or ERROR, with the same id; a
 * client has one request out at a time, later ones wait in its socket order    (id == 0)  SIGNAL
 * and the like without an answer event    (id == 0)  EXITED, STOPPED: to the client that a process
 * is attached to */
#pragma once

#include <stdint.h>

#define CONTROL_VERSION  2u
#define CONTROL_TEXT_MAX 4096
#define CONTROL_FDS_MAX  240
#define CONTROL_ID_MAX   1024 /* of a container id */

enum control_type {
    /* Requests. text: the container's id, unless said otherwise; arg[0] pid: 0 init, -1 all. */
    CONTROL_CREATE = 1, /* text none; fds: description, gofer, then those it names by index;
                           arg[0]: CONTROL_START, CONTROL_ATTACH */
    CONTROL_START_INIT = 2,
    CONTROL_EXEC =
        3, /* fds: description, then those it names; arg[0]: CONTROL_ATTACH; OK arg[0]: pid */
    CONTROL_SIGNAL = 4, /* arg[0] pid, arg[1] signal, arg[2]: CONTROL_FOREGROUND */
    CONTROL_PAUSE = 5,
    CONTROL_RESUME = 6,
    CONTROL_UPDATE = 7, /* text: id, NUL, struct control_limits */
    CONTROL_INFO = 8,   /* ITEM: struct control_info; text "": one for each container */
    CONTROL_PS = 9,     /* ITEM: struct control_ps */
    CONTROL_STATS = 10, /* ITEM: struct control_stats */
    CONTROL_WAIT = 11,  /* arg[0] pid; OK arg[0]: wait status */
    CONTROL_DESTROY = 12,
    CONTROL_ATTACH_TO = 13, /* arg[0] pid: its events come here, it is killed when this closes */
    CONTROL_STACKS = 14,    /* ITEM: lines of text: what each task does */
    CONTROL_TRACE = 15,     /* until the client leaves; text: set of calls; fds: where lines go */
    /* Answers, events */
    CONTROL_OK = 64,
    CONTROL_ERROR = 65, /* arg[0]: exit status that suits; text: the sentence */
    CONTROL_ITEM = 66,
    CONTROL_EXITED = 67,  /* arg[0]: wait status, arg[1]: pid. Text: figures, if asked for */
    CONTROL_STOPPED = 68, /* arg[0]: signal, arg[1]: pid */
};

enum { /* flags of CREATE, EXEC, SIGNAL */
       CONTROL_START = 1,
       CONTROL_ATTACH = 2,
       CONTROL_FOREGROUND = 4,
};

struct control_msg {
    uint32_t version;
    uint32_t type; /* enum control_type */
    uint32_t id;
    int32_t arg[4];
    uint32_t text_size;
};

/* ---- items and structs in messages: fixed-size fields, no padding -------------------------------
 */

struct control_limits { /* 0: as it is; -1: none */
    int64_t memory, cpu_quota_us, cpu_period_us, cpu_shares, pids;
};

enum { CONTROL_CREATED, CONTROL_RUNNING, CONTROL_PAUSED, CONTROL_STOPPED_STATE };

struct control_info { /* text of the ITEM: the id */
    int32_t state;    /* CONTROL_CREATED … */
    int32_t init_pid, wait_status;
    uint8_t is_root, oom_killed, reserved[2];
};

struct control_ps {
    int32_t pid, ppid, threads;
    uint32_t uid, gid;
    uint32_t state; /* a letter */
    int64_t start_ns, cpu_ns;
    uint64_t rss;
    char comm[16];
    char args[256];
};

struct control_stats {
    uint64_t memory_usage, memory_peak, memory_limit, memory_failures, oom_kills;
    uint64_t cpu_user_ns, cpu_system_ns;
    uint64_t cpu_periods, cpu_throttled_periods, cpu_throttled_ns;
    uint64_t pids_current, pids_limit;
    uint64_t processes, forks;
};

/* Exit statuses of our own. "Not there" is a negative answer, not a failure. */
enum { RF_EXIT_ERROR = 125, RF_EXIT_NOEXEC = 126, RF_EXIT_NOTFOUND = 127, RF_EXIT_ABSENT = 0 };

/* ---- keys. Numbers are decimal text; lists are separated by blanks ------------------------------
 */

/* of the sandbox */
#define CFG_PLATFORM "platform" /* systrap, kvm */
#define CFG_MEMORY   "memory"   /* bytes; absent: no limit of our own */
#define CFG_MEMTOTAL "memtotal" /* bytes that guests see as MemTotal */
#define CFG_CPUS     "cpus"     /* processors that guests see */
#define CFG_NETWORK  "network"  /* none, host, sandbox */
#define CFG_STRACE   "strace"   /* empty: all; else comma-separated names */
#define CFG_STATS    "stats"    /* present: report at exit */
#define CFG_HOSTNAME "hostname" /* also of a container */

/* of a process */
#define CFG_ARGV  "argv" /* one per argument, in order */
#define CFG_ENV   "env"  /* one per variable */
#define CFG_CWD   "cwd"
#define CFG_MKCWD "mkcwd" /* present: make it where it is missing */
#define CFG_UID   "uid"
#define CFG_GID   "gid"
#define CFG_GROUP "group" /* one per supplementary group */
#define CFG_CAPS                                                                                   \
    "caps" /* five hexadecimal masks: bounding effective inheritable permitted ambient */
#define CFG_UMASK "umask" /* octal */
#define CFG_NNP   "nnp"   /* present: no_new_privs */
#define CFG_OOM   "oom"   /* oom_score_adj */
#define CFG_IGNORED                                                                                \
    "ignored" /* hexadecimal mask of signals that start ignored; bit n-1 = signal n */
#define CFG_RLIMIT  "rlimit"  /* "resource soft hard"; one per resource */
#define CFG_FD      "fd"      /* "FD INDEX": the guest's FD is the message's descriptor INDEX */
#define CFG_TTY     "tty"     /* lowest of its descriptors that is its terminal; absent: none */
#define CFG_SECCOMP "seccomp" /* "flags hex-bytes-of-the-program" */

/* of a container, besides the first process's */
#define CFG_ID       "id"
#define CFG_ROOT     "root"     /* "overlay", "ro" or "rw": how export 0 becomes / */
#define CFG_ROOTOPTS "rootopts" /* any of "readonly shared" */
#define CFG_DOMAIN   "domainname"
#define CFG_DEFAULTS "defaults" /* any of "mounts devices console" */
/* "export flags propagation options SIZE:type SIZE:source SIZE:dest SIZE:data"; export -1: none */
#define CFG_MOUNT    "mount"
#define CFG_DEVICE   "device" /* "type major minor mode(octal) uid gid path" */
#define CFG_MASKED   "masked"
#define CFG_READONLY "readonly"
#define CFG_SYSCTL   "sysctl" /* "name=value" */
#define CFG_NS       "ns"     /* "kind id": shared with container id; "kind" alone: the sandbox's */
#define CFG_UIDMAP   "uidmap" /* "inside outside count" */
#define CFG_GIDMAP   "gidmap"
#define CFG_LIMITS   "limits"   /* "memory quota period shares pids" */
#define CFG_ROOTPROP "rootprop" /* MS_PRIVATE … */
