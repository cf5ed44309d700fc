/* Clocks and timers of the sandbox.
 *
 * The sandbox's clocks are the host's: REALTIME, MONOTONIC and BOOTTIME agree with it (the test
 * holds us to 0.1 %), but for what a guest has set the wall clock to (wallclock.c). All deadlines
 * inside the sentry are CLOCK_MONOTONIC nanoseconds as int64_t. One timer thread serves all timers
 * from one ordered tree. */
#pragma once

#include "base/list.h"
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
/* The same for one who sleeps: an absolute time on the wall clock stays one, as a negative number,
 * so that the sleep follows the clock when that is set. task_sleep takes either kind. */
int64_t time_sleep_deadline(int clockid, int64_t ns);
static inline int64_t time_of_wall(int64_t deadline) /* of a negative deadline */
{
    return ~deadline;
}
/* now + ns, saturating at DEADLINE_NEVER; ns < 0 counts as 0. */
int64_t time_after(int64_t ns);
/* -EINVAL for tv_nsec outside [0, 1e9) or negative seconds; saturates large ones. */
int time_from_timespec(const struct timespec *ts, int64_t *ns);
void time_to_timespec(int64_t ns, struct timespec *ts);

/* The time for a file's attributes: coarse and cheap. */
void time_stamp(struct timespec *ts);

/* ---- setting the wall clock -------------------------------------------------------------------
 * Rights are the caller's business. -EINVAL: out of range. */
int time_set_realtime(int64_t ns);
uint64_t time_steps(void); /* how often the wall clock has been set */
struct timezone;
void time_zone_get(struct timezone *tz);
void time_zone_set(const struct timezone *tz);
/* adjtimex(2): check first (-EPERM, -EINVAL), then do; the clock's state (TIME_OK, TIME_ERROR). */
struct timex;
int time_adjust_check(const struct timex *tx, bool privileged);
int time_adjust(struct timex *tx);
void time_settle(void); /* before reading the wall clock: carry out what adjtime(3) began */
/* fn is called, under LR_CLOCK, whenever the wall clock has been set delta ns later. */
struct clock_watch {
    struct list_node node;
    void (*fn)(struct clock_watch *w, int64_t delta);
};
void clock_watch(struct clock_watch *w, void (*fn)(struct clock_watch *w, int64_t delta));
void clock_unwatch(struct clock_watch *w);

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
