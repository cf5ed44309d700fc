/* The kernel's log, as syslog(2) and /dev/kmsg show it: what the sandbox says of itself at its
 * start, and what guests write to /dev/kmsg. A ring of whole records, the oldest go first. */
#include "kernel/kernel_priv.h"

#include "base/overflow.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 1024u

struct record {
    uint64_t seq;
    int64_t at_us;
    unsigned prio; /* facility << 3 | level */
    char *text;
};

static struct lock g_klog_lock = LOCK_INITIALIZER(LR_LEAF);
static struct record g_records[RECORDS]; /* lock: g_klog_lock; by seq % RECORDS */
static uint64_t g_next_seq;              /* lock: g_klog_lock */
static uint64_t g_clear_seq;             /* lock: g_klog_lock; READ_ALL begins here */
static uint64_t g_read_seq;              /* lock: g_klog_lock; READ has taken those before */
static struct waitq g_klog_wq;

static uint64_t first_seq_locked(void)
{
    return g_next_seq > RECORDS ? g_next_seq - RECORDS : 0;
}

void klog_add(unsigned prio, const char *text)
{
    char *copy = strndup(text, KLOG_LINE_MAX);
    int64_t up = (time_now() - g_kernel.boot_ns) / 1000;
    if (!copy)
        return;
    lock_acquire(&g_klog_lock);
    struct record *r = &g_records[g_next_seq % RECORDS];
    char *old = r->text;
    *r = (struct record){.seq = g_next_seq++, .at_us = up, .prio = prio, .text = copy};
    lock_release(&g_klog_lock);
    free(old);
    waitq_wake(&g_klog_wq, POLLIN | POLLRDNORM);
}

void klog_init(void)
{
    char line[128];
    waitq_init(&g_klog_wq);
    snprintf(line, sizeof(line), "Linux version %s (ringfence)", "6.1.0");
    klog_add(5, line);
}

struct waitq *klog_waitq(void)
{
    return &g_klog_wq;
}

/* ---- as syslog(2) ---- */

static size_t line_of(const struct record *r, char *out, size_t size)
{
    int n = snprintf(out, size, "<%u>[%5lld.%06lld] %s\n", r->prio, (long long)(r->at_us / 1000000),
                     (long long)(r->at_us % 1000000), r->text);
    return MIN((size_t)n, size - 1);
}

static size_t size_from_locked(uint64_t seq)
{
    char line[KLOG_LINE_MAX + 64];
    size_t size = 0;
    for (; seq < g_next_seq; seq++)
        size += line_of(&g_records[seq % RECORDS], line, sizeof(line));
    return size;
}

size_t klog_unread(void)
{
    LOCK_GUARD(&g_klog_lock);
    return size_from_locked(MAX(g_read_seq, first_seq_locked()));
}

void klog_clear(void)
{
    LOCK_GUARD(&g_klog_lock);
    g_clear_seq = g_next_seq;
}

/* Whole lines from *seq on into buf. */
static size_t lines_locked(uint64_t *seq, char *buf, size_t size)
{
    char line[KLOG_LINE_MAX + 64];
    size_t done = 0;
    for (; *seq < g_next_seq; ++*seq) {
        size_t n = line_of(&g_records[*seq % RECORDS], line, sizeof(line));
        if (done + n > size)
            break;
        memcpy(buf + done, line, n);
        done += n;
    }
    return done;
}

size_t klog_read_all(char *buf, size_t size, bool clear)
{
    LOCK_GUARD(&g_klog_lock);
    uint64_t seq = MAX(g_clear_seq, first_seq_locked());
    while (seq < g_next_seq && size_from_locked(seq) > size)
        seq++; /* the last ones that fit */
    size_t n = lines_locked(&seq, buf, size);
    if (clear)
        g_clear_seq = g_next_seq;
    return n;
}

size_t klog_read(char *buf, size_t size)
{
    LOCK_GUARD(&g_klog_lock);
    g_read_seq = MAX(g_read_seq, first_seq_locked());
    return lines_locked(&g_read_seq, buf, size);
}

/* ---- as /dev/kmsg ---- */

uint64_t klog_first(bool after_clear)
{
    LOCK_GUARD(&g_klog_lock);
    return after_clear ? MAX(g_clear_seq, first_seq_locked()) : first_seq_locked();
}

uint64_t klog_next(void)
{
    LOCK_GUARD(&g_klog_lock);
    return g_next_seq;
}

int klog_record(uint64_t *seq, char *buf, size_t size)
{
    LOCK_GUARD(&g_klog_lock);
    if (*seq >= g_next_seq)
        return -EAGAIN;
    if (*seq < first_seq_locked()) {
        *seq = first_seq_locked();
        return -EPIPE;
    }
    const struct record *r = &g_records[*seq % RECORDS];
    int n = snprintf(buf, size, "%u,%llu,%lld,-;%s\n", r->prio, (unsigned long long)r->seq,
                     (long long)r->at_us, r->text);
    if (n >= (int)size)
        return -EINVAL;
    ++*seq;
    return n;
}
