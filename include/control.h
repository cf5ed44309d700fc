/* What launcher and sentry say to each other: the start configuration, and the control channel.
 *
 * Configuration: a descriptor (--config-fd) whose content is "key\0value\0" pairs, in order; keys
 * may repeat (argv, env, mount). Written by the launcher before the sentry starts, so it is
 * trusted, but it is parsed with every length checked all the same.
 *
 * Control channel (--control-fd): SOCK_SEQPACKET, one struct control_msg (little-endian, fixed
 * size) followed by up to CONTROL_TEXT_MAX bytes of text. Either side ends the sandbox by closing
 * it. */
#pragma once

#include <stdint.h>

#define CONTROL_VERSION  1u
#define CONTROL_TEXT_MAX 4096

enum control_type {
    /* launcher → sentry */
    CONTROL_SIGNAL = 1, /* arg: signal number for the foreground process group or init */
    CONTROL_KILL = 2,   /* end everything now */
    CONTROL_CONT = 3,   /* the launcher was continued */
    /* sentry → launcher */
    CONTROL_EXITED = 16,  /* arg: wait status of the first process. Text: --stats, if asked for */
    CONTROL_FAILED = 17,  /* arg: exit status (125, 126, 127); text: the sentence */
    CONTROL_STOPPED = 18, /* the first process has stopped; arg: signal */
};

struct control_msg {
    uint32_t version;
    uint32_t type; /* enum control_type */
    int32_t arg;
    uint32_t text_size;
};

/* Exit statuses of our own. */
enum { RF_EXIT_ERROR = 125, RF_EXIT_NOEXEC = 126, RF_EXIT_NOTFOUND = 127 };

/* Configuration keys. Numbers are decimal text. */
#define CFG_ARGV  "argv" /* one per argument, in order */
#define CFG_ENV   "env"  /* one per variable */
#define CFG_CWD   "cwd"
#define CFG_UID   "uid"
#define CFG_GID   "gid"
#define CFG_GROUP "group" /* one per supplementary group */
#define CFG_CAPS  "caps"  /* hexadecimal mask */
#define CFG_UMASK "umask" /* octal */
#define CFG_IGNORED                                                                                \
    "ignored" /* hexadecimal mask of signals that start ignored; bit n-1 = signal n */
#define CFG_HOSTNAME "hostname"
#define CFG_PLATFORM "platform" /* systrap, kvm */
#define CFG_MEMORY   "memory"   /* bytes; absent: no limit of our own */
#define CFG_MEMTOTAL "memtotal" /* bytes that the guest sees as MemTotal */
#define CFG_CPUS     "cpus"     /* processors that the guest sees */
#define CFG_RLIMIT   "rlimit"   /* "resource soft hard"; one per resource */
#define CFG_ROOT     "root"     /* "overlay", "ro" or "rw": how export 0 becomes / */
#define CFG_MOUNT    "mount"    /* "export index,ro|rw,DEST": one per further export */
#define CFG_NETWORK  "network"  /* none, host, sandbox */
#define CFG_STRACE   "strace"   /* empty: all; else comma-separated names */
#define CFG_STATS    "stats"    /* present: report at exit */
#define CFG_TTY      "tty"      /* lowest of the descriptors 0-2 that is a terminal; absent: none */
#define CFG_STDIO    "stdio"    /* "FD HOSTFD": guest descriptor FD is the host descriptor HOSTFD */
