/* Clocks and timers of the sandbox.
 *
 * The sandbox's clocks are the host's: REALTIME, MONOTONIC and BOOTTIME agree with it (the test
 * holds us to 0.1 %). All deadlines inside the sentry are CLOCK_MONOTONIC nanoseconds as int64_t.
 * One timer thread serves all timers from one ordered tree. */
#pragma once

#include "base/tree.h"
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC   1000000000ll
#define DEADLINE_NEVER INT64_MAX

int64_t time_now(void);      /* CLOCK_MONOTONIC, ns */
int64_t time_realtime(void); /* CLOCK_REALTIME, ns since 1970 */
/* Any clock a guest may name, CPU clocks excepted: 0 or -EINVAL. */
int time_clock_get(int clockid, int64_t *ns);
/* Convert an absolute time on a clock into a monotonic deadline, saturating. */
int64_t time_to_deadline(int clockid, int64_t ns);
/* now + ns, saturating at DEADLINE_NEVER; ns < 0 counts as 0. */
int64_t time_after(int64_t ns);
/* -EINVAL for tv_nsec outside [0, 1e9) or negative seconds; saturates large ones. */
int time_from_timespec(const struct timespec *ts, int64_t *ns);
void time_to_timespec(int64_t ns, struct timespec *ts);

/* A one-shot timer; re-arm from the callback for periodic ones. The callback runs on the timer
 * thread without locks held; it must not block. */
struct timer {
    struct tree_node node;       /* lock: LR_TIMER */
    int64_t deadline;            /* lock: LR_TIMER */
    uint64_t seq;                /* lock: LR_TIMER; ties */
    bool armed;                  /* lock: LR_TIMER */
    void (*fn)(struct timer *t); /* const */
};
int time_init(void); /* starts the timer thread */
void timer_init(struct timer *t, void (*fn)(struct timer *t));
void timer_arm(struct timer *t, int64_t deadline_ns); /* replaces an earlier deadline */
/* Disarm; true if it was armed. On return the callback is not running (unless called from it). */
bool timer_cancel(struct timer *t);

/* The vDSO: an ELF image of ours plus a parameter page, both in the memory file, mapped into each
 * address space by the loader. offsets and sizes in bytes; image entry symbols are versioned as
 * Linux's. */
struct vdso {
    uint64_t image_offset, image_size; /* PROT_READ|PROT_EXEC */
    uint64_t param_offset, param_size; /* PROT_READ, mapped directly below the image */
};
/* Once, at start. The page answers nothing until vdso_enable, to be called if guest code reads the
 * same TSC as the sentry (platform->host_tsc). */
int vdso_init(struct vdso *out);
void vdso_enable(void);
