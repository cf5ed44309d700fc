/* poll, ppoll, select, pselect6. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "syscalls/syscalls.h"
#include "time/time.h"

#include <errno.h>
#include <linux/personality.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SELECT_IN  (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX  POLLPRI
#define SELECT_MAX (1 << 20)

/* ---- time and mask ---- */

/* Absolute deadline of a guest timespec: none for a null pointer, 0 = do not wait. */
static int deadline_import(struct task *t, uint64_t ua, int64_t *deadline)
{
    struct timespec ts;
    int64_t ns;
    *deadline = DEADLINE_NONE;
    if (!ua)
        return 0;
    if (uaccess_read_obj(t->mm, &ts, uaddr(ua)))
        return -EFAULT;
    int r = time_from_timespec(&ts, &ns);
    if (!r)
        *deadline = ns ? time_after(ns) : 0;
    return r;
}

static int64_t time_left(int64_t deadline)
{
    return deadline ? MAX(deadline - time_now(), (int64_t)0) : 0;
}

/* Write back what is left of a timespec; a caller that cannot be told does not restart. */
static int64_t timespec_finish(struct task *t, uint64_t ua, int64_t deadline, int64_t r)
{
    if (!ua || deadline == DEADLINE_NONE || t->personality & STICKY_TIMEOUTS)
        return r;
    struct timespec ts;
    time_to_timespec(time_left(deadline), &ts);
    if (uaccess_write_obj(t->mm, uaddr(ua), &ts) && r == -ERESTARTNOHAND)
        return -EINTR;
    return r;
}

static int mask_enter(struct task *t, uint64_t ua, uint64_t size)
{
    sigmask_t mask;
    if (!ua)
        return 0;
    if (size != sizeof(mask))
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &mask, uaddr(ua)))
        return -EFAULT;
    signal_mask_swap(t, mask);
    return 0;
}

static void mask_leave(struct task *t, uint64_t ua, int64_t r)
{
    if (ua)
        signal_mask_restore(t, r == -ERESTARTNOHAND || r == -EINTR);
}

/* ---- poll ---- */

static void poll_items_open(struct task *t, const struct pollfd *fds, struct poll_item *items,
                            unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        items[i].file = fds[i].fd < 0 ? NULL : fdtable_get_io(t->fds, fds[i].fd);
        items[i].events = (unsigned short)fds[i].events;
        items[i].revents = fds[i].fd >= 0 && !items[i].file ? POLLNVAL : 0;
    }
}

static void poll_items_close(struct poll_item *items, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (items[i].file)
            file_put(items[i].file);
}

/* Only revents is written back: the rest of each entry is the guest's. */
static int64_t poll_answer(struct task *t, uint64_t ua, const struct poll_item *items,
                           unsigned count, int64_t r)
{
    for (unsigned i = 0; r >= 0 && i < count; i++) {
        short revents = items[i].revents;
        uint64_t at = ua + i * sizeof(struct pollfd) + offsetof(struct pollfd, revents);
        if (uaccess_write_obj(t->mm, uaddr(at), &revents))
            return -EFAULT;
    }
    return r;
}

static int64_t poll_run(struct task *t, uint64_t ua, unsigned count, struct pollfd *fds,
                        struct poll_item *items, int64_t deadline)
{
    if (uaccess_read(t->mm, fds, uaddr(ua), count * sizeof(*fds)))
        return -EFAULT;
    poll_items_open(t, fds, items, count);
    int64_t r = poll_wait(t, items, count, deadline);
    poll_items_close(items, count);
    if (!uaddr_range_ok(ua, count * sizeof(*fds)))
        return -EFAULT;
    return poll_answer(t, ua, items, count, r);
}

static int64_t do_poll(struct task *t, uint64_t ua, uint64_t nfds, int64_t deadline)
{
    struct {
        struct pollfd fds[8];
        struct poll_item items[8];
    } few = {0};
    unsigned count = nfds;
    if (count > rlimit_get(t->process, RLIMIT_NOFILE))
        return -EINVAL;
    if (count <= ARRAY_COUNT(few.fds))
        return poll_run(t, ua, count, few.fds, few.items, deadline);
    struct pollfd *fds = calloc(count, sizeof(*fds));
    struct poll_item *items = calloc(count, sizeof(*items));
    int64_t r = fds && items ? poll_run(t, ua, count, fds, items, deadline) : -ENOMEM;
    free(fds);
    free(items);
    return r;
}

static int64_t poll_or_restart(struct task *t, uint64_t ua, uint64_t nfds, int64_t deadline);

static int64_t poll_restart(struct task *t, struct restart_block *rb)
{
    return poll_or_restart(t, rb->data[0], rb->data[1], rb->data[2]);
}

static int64_t poll_or_restart(struct task *t, uint64_t ua, uint64_t nfds, int64_t deadline)
{
    int64_t r = do_poll(t, ua, nfds, deadline);
    if (r != -ERESTARTNOHAND)
        return r;
    t->restart = (struct restart_block){.fn = poll_restart, .data = {ua, nfds, deadline}};
    return -ERESTART_RESTARTBLOCK;
}

int64_t sys_poll(struct task *t, const struct sysargs *a)
{
    int ms = a->v[2];
    int64_t deadline = ms < 0 ? DEADLINE_NONE : ms == 0 ? 0 : time_after(ms * 1000000ll);
    return poll_or_restart(t, a->v[0], a->v[1], deadline);
}

int64_t sys_ppoll(struct task *t, const struct sysargs *a)
{
    int64_t deadline;
    int64_t r = deadline_import(t, a->v[2], &deadline);
    if (!r)
        r = mask_enter(t, a->v[3], a->v[4]);
    if (r)
        return r;
    r = do_poll(t, a->v[0], a->v[1], deadline);
    mask_leave(t, a->v[3], r);
    return timespec_finish(t, a->v[2], deadline, r);
}

/* ---- select ---- */

struct select_sets {
    unsigned count; /* descriptors */
    size_t size;    /* of one set, bytes */
    uint8_t *bits[3];
    uint64_t ua[3];
};

static bool set_has(const struct select_sets *s, unsigned which, unsigned fd)
{
    return s->ua[which] && s->bits[which][fd / 8] >> (fd % 8) & 1;
}

static unsigned select_events(const struct select_sets *s, unsigned fd)
{
    static const unsigned masks[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};
    unsigned ev = 0;
    for (unsigned i = 0; i < 3; i++)
        ev |= set_has(s, i, fd) ? masks[i] : 0;
    return ev;
}

static int sets_import(struct task *t, struct select_sets *s)
{
    uint8_t *p = calloc(3, s->size ? s->size : 1);
    if (!p)
        return -ENOMEM;
    for (unsigned i = 0; i < 3; i++) {
        s->bits[i] = p + i * s->size;
        if (s->ua[i] && uaccess_read(t->mm, s->bits[i], uaddr(s->ua[i]), s->size)) {
            free(p);
            return -EFAULT;
        }
    }
    return 0;
}

static unsigned sets_population(const struct select_sets *s)
{
    unsigned n = 0;
    for (unsigned fd = 0; fd < s->count; fd++)
        n += select_events(s, fd) != 0;
    return n;
}

static int select_open(struct task *t, const struct select_sets *s, struct poll_item *items,
                       unsigned *fds)
{
    unsigned n = 0;
    for (unsigned fd = 0; fd < s->count; fd++) {
        unsigned ev = select_events(s, fd);
        if (!ev)
            continue;
        struct file *f = fdtable_get_io(t->fds, fd);
        if (!f) {
            poll_items_close(items, n);
            return -EBADF;
        }
        items[n] = (struct poll_item){.file = f, .events = ev, .exact = true};
        fds[n++] = fd;
    }
    return 0;
}

/* Clear the bits that did not come true; the number that did. */
static int64_t select_filter(struct select_sets *s, const struct poll_item *items,
                             const unsigned *fds, unsigned n)
{
    static const unsigned masks[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};
    int64_t bits = 0;
    for (unsigned i = 0; i < n; i++) {
        for (unsigned w = 0; w < 3; w++) {
            if (!set_has(s, w, fds[i]))
                continue;
            if (items[i].revents & masks[w])
                bits++;
            else
                s->bits[w][fds[i] / 8] &= ~(1u << (fds[i] % 8));
        }
    }
    return bits;
}

static int64_t select_run(struct task *t, struct select_sets *s, struct poll_item *items,
                          unsigned *fds, unsigned n, int64_t deadline)
{
    int64_t r = select_open(t, s, items, fds);
    if (r)
        return r;
    r = poll_wait(t, items, n, deadline);
    poll_items_close(items, n);
    if (r < 0)
        return r;
    r = select_filter(s, items, fds, n);
    for (unsigned i = 0; i < 3; i++)
        if (s->ua[i] && uaccess_write(t->mm, uaddr(s->ua[i]), s->bits[i], s->size))
            return -EFAULT;
    return r;
}

static int64_t do_select(struct task *t, const struct sysargs *a, int64_t deadline)
{
    int nfds = a->v[0];
    if (nfds < 0)
        return -EINVAL;
    uint64_t limit = MIN(rlimit_get(t->process, RLIMIT_NOFILE), (uint64_t)SELECT_MAX);
    struct select_sets s = {.count = MIN((uint64_t)nfds, limit), .ua = {a->v[1], a->v[2], a->v[3]}};
    s.size = (s.count + 63) / 64 * 8;
    int64_t r = sets_import(t, &s);
    if (r)
        return r;
    unsigned n = sets_population(&s);
    struct poll_item *items = calloc(n + 1, sizeof(*items));
    unsigned *fds = calloc(n + 1, sizeof(*fds));
    r = items && fds ? select_run(t, &s, items, fds, n, deadline) : -ENOMEM;
    free(items);
    free(fds);
    free(s.bits[0]);
    return r;
}

static int timeval_deadline(struct task *t, uint64_t ua, int64_t *deadline)
{
    struct timeval tv;
    int64_t ns;
    *deadline = DEADLINE_NONE;
    if (!ua)
        return 0;
    if (uaccess_read_obj(t->mm, &tv, uaddr(ua)))
        return -EFAULT;
    if (tv.tv_sec < 0 || tv.tv_usec < 0 || tv.tv_sec > INT64_MAX / 2)
        return -EINVAL;
    struct timespec ts = {.tv_sec = tv.tv_sec + tv.tv_usec / 1000000, /* as Linux: normalised */
                          .tv_nsec = tv.tv_usec % 1000000 * 1000};
    int r = time_from_timespec(&ts, &ns);
    if (!r)
        *deadline = ns ? time_after(ns) : 0;
    return r;
}

int64_t sys_select(struct task *t, const struct sysargs *a)
{
    int64_t deadline;
    int64_t r = timeval_deadline(t, a->v[4], &deadline);
    if (r)
        return r;
    r = do_select(t, a, deadline);
    if (!a->v[4] || deadline == DEADLINE_NONE || t->personality & STICKY_TIMEOUTS)
        return r;
    int64_t left = time_left(deadline);
    struct timeval tv = {.tv_sec = left / NSEC_PER_SEC, .tv_usec = left % NSEC_PER_SEC / 1000};
    if (uaccess_write_obj(t->mm, uaddr(a->v[4]), &tv) && r == -ERESTARTNOHAND)
        return -EINTR;
    return r;
}

int64_t sys_pselect6(struct task *t, const struct sysargs *a)
{
    uint64_t sig[2] = {0};
    int64_t deadline;
    if (a->v[5] && uaccess_read(t->mm, sig, uaddr(a->v[5]), sizeof(sig)))
        return -EFAULT;
    int64_t r = deadline_import(t, a->v[4], &deadline);
    if (!r)
        r = mask_enter(t, sig[0], sig[1]);
    if (r)
        return r;
    r = do_select(t, a, deadline);
    mask_leave(t, sig[0], r);
    return timespec_finish(t, a->v[4], deadline, r);
}
