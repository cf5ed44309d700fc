/* /dev/kmsg: the kernel's log, a record a read; what is written becomes a record. A descriptor's
 * place is the number of the next record, kept in f->pos. */
#include "fs/vfs_priv.h"

#include "base/overflow.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FACILITY_USER 1
#define LEVEL_DEFAULT 4

static int next_record(struct file *f, char *buf, size_t size)
{
    uint64_t seq = __atomic_load_n(&f->pos, __ATOMIC_RELAXED);
    int n = klog_record(&seq, buf, size);
    __atomic_store_n(&f->pos, (int64_t)seq, __ATOMIC_RELAXED);
    return n;
}

static int64_t kmsg_read(struct file *f, struct uio *u, int64_t pos)
{
    char line[KLOG_LINE_MAX + 96];
    size_t room = MIN(u->remaining, (uint64_t)sizeof(line));
    int n = next_record(f, line, room);
    if (n == -EAGAIN && !(f->flags & O_NONBLOCK)) {
        struct task *t = task_current();
        int r = wait_event(t, klog_waitq(), DEADLINE_NONE,
                           (n = next_record(f, line, room)) != -EAGAIN);
        if (r)
            return r;
    }
    if (n < 0)
        return n;
    return uio_to_user(u, line, n) == (size_t)n ? n : -EFAULT;
}

/* "<N>text" names level and facility; the kernel's own cannot be named. */
static unsigned prio_of(char **text)
{
    char *end = *text;
    unsigned long v = **text == '<' ? strtoul(*text + 1, &end, 10) : 0;
    if (**text != '<' || *end != '>')
        return FACILITY_USER << 3 | LEVEL_DEFAULT;
    *text = end + 1;
    unsigned facility = v >> 3 ? v >> 3 : FACILITY_USER;
    return facility << 3 | (v & 7);
}

static int64_t kmsg_write(struct file *f, struct uio *u, int64_t pos)
{
    char line[KLOG_LINE_MAX + 1], *text = line;
    uint64_t size = u->remaining;
    if (size > KLOG_LINE_MAX)
        return -EINVAL;
    if (uio_from_user(u, line, size) < size)
        return -EFAULT;
    line[size] = 0;
    if (size && line[size - 1] == '\n')
        line[size - 1] = 0;
    unsigned prio = prio_of(&text);
    klog_add(prio, text);
    return size;
}

static int64_t kmsg_lseek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR)
        return -EINVAL;
    if (off)
        return -ESPIPE;
    if (whence != SEEK_SET && whence != SEEK_DATA && whence != SEEK_END)
        return -EINVAL;
    uint64_t seq = whence == SEEK_END ? klog_next() : klog_first(whence == SEEK_DATA);
    __atomic_store_n(&f->pos, (int64_t)seq, __ATOMIC_RELAXED);
    return 0;
}

static unsigned kmsg_poll(struct file *f)
{
    uint64_t seq = __atomic_load_n(&f->pos, __ATOMIC_RELAXED);
    unsigned ev = POLLOUT | POLLWRNORM;
    if (seq < klog_next())
        ev |= POLLIN | POLLRDNORM;
    return seq < klog_first(/*after_clear=*/false) ? ev | POLLERR | POLLPRI : ev;
}

static struct waitq *kmsg_waitq(struct file *f)
{
    return klog_waitq();
}

const struct file_ops g_kmsg_ops = {.read = kmsg_read,
                                    .write = kmsg_write,
                                    .lseek = kmsg_lseek,
                                    .poll = kmsg_poll,
                                    .waitq = kmsg_waitq,
                                    .own_pos = true};
