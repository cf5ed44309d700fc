/* The launcher's terminal inside the sandbox.
 *
 * The line discipline is the host's: settings, window size, echo and editing are asked of it. Job
 * control is ours: the host knows one foreground group, the launcher's, whose signals come in over
 * the control channel; which guest group gets them is decided here. All descriptors of one host
 * terminal are one struct tty, which lives as long as a file on it or a session that it controls.
 */
#include "base/host.h"
#include "base/overflow.h"
#include "fs/hostfile_priv.h"
#include "time/time.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define TTY_READ_MAX 4096

struct hosttty {
    struct tty tty;
    struct hoststream *main; /* const; counted; answers for /dev/tty */
    dev_t host_rdev;         /* const */
    struct hosttty *next;    /* lock: g_lock */
};

static struct lock g_lock = LOCK_INITIALIZER(LR_LEAF);
static struct hosttty *g_ttys; /* lock: g_lock; borrowed */

static bool is_hung_up(struct hosttty *h)
{
    struct pollfd p = {.fd = h->main->fd};
    return host_poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

/* Counted. The host gives the number of a terminal that is gone to the next one. */
static struct hosttty *find(dev_t rdev)
{
    LOCK_GUARD(&g_lock);
    for (struct hosttty *h = g_ttys; h; h = h->next)
        if (h->host_rdev == rdev && !is_hung_up(h) && ref_get_unless_zero(&h->tty.ref))
            return h;
    return NULL;
}

struct tty *hostfile_console(void)
{
    LOCK_GUARD(&g_lock);
    struct hosttty *h = g_ttys;
    while (h && !ref_get_unless_zero(&h->tty.ref))
        h = h->next;
    return h ? &h->tty : NULL;
}

static bool tty_has_flag(struct hosttty *h, unsigned flag)
{
    struct termios tio;
    return host_ioctl(h->main->fd, TCGETS, &tio) == 0 && (tio.c_lflag & flag);
}

static bool hosttty_tostop(struct tty *tty)
{
    return tty_has_flag(container_of(tty, struct hosttty, tty), TOSTOP);
}

int hosttty_open(struct tty *tty, struct file *f)
{
    struct hosttty *h = container_of(tty, struct hosttty, tty);
    unsigned have = h->main->flags & O_ACCMODE;
    if ((f->mode & FMODE_READ && have == O_WRONLY) || (f->mode & FMODE_WRITE && have == O_RDONLY))
        return -EACCES;
    hoststream_get(h->main);
    tty_get(tty);
    f->priv = h->main;
    f->ops = &g_hosttty_ops;
    return 0;
}

static void hosttty_free(struct tty *tty)
{
    struct hosttty *h = container_of(tty, struct hosttty, tty);
    lock_acquire(&g_lock);
    struct hosttty **at = &g_ttys;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    lock_release(&g_lock);
    devpts_unregister(tty);
    hoststream_put(h->main);
    free(h);
}

static const struct tty_driver g_driver = {
    .open = hosttty_open,
    .tostop = hosttty_tostop,
    .free = hosttty_free,
};

static int hosttty_new(struct hoststream *hs, dev_t host_rdev, struct tty **out)
{
    struct hosttty *h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    tty_init(&h->tty, &g_driver, 0);
    int r = devpts_register(&h->tty);
    if (r) {
        free(h);
        return r;
    }
    hoststream_get(hs);
    h->main = hs;
    h->host_rdev = host_rdev;
    lock_acquire(&g_lock);
    struct hosttty **end = &g_ttys;
    while (*end)
        end = &(*end)->next;
    *end = h;
    lock_release(&g_lock);
    *out = &h->tty;
    return 0;
}

int hosttty_of(struct hoststream *hs, const struct stat *st, struct tty **out)
{
    struct hosttty *h = find(st->st_rdev);
    if (!h)
        return hosttty_new(hs, st->st_rdev, out);
    *out = &h->tty;
    return 0;
}

struct tty *hostfile_tty(struct file *f)
{
    if (f->ops != &g_hosttty_ops)
        return NULL;
    struct hoststream *hs = f->priv;
    return hs->tty;
}

/* ---- reading ---- */

/* With VMIN 0 a read of nothing ends by itself: at once, or after VTIME tenths. */
static int64_t read_deadline(struct hoststream *hs)
{
    struct termios tio;
    if (host_ioctl(hs->fd, TCGETS, &tio) < 0 || (tio.c_lflag & ICANON) || tio.c_cc[VMIN])
        return DEADLINE_NONE;
    return tio.c_cc[VTIME] ? time_after(tio.c_cc[VTIME] * (NSEC_PER_SEC / 10)) : 0;
}

static int64_t wait_for_input(struct file *f, struct hoststream *hs)
{
    int64_t deadline = read_deadline(hs);
    if (!deadline)
        return -ETIMEDOUT;
    return hoststream_wait(f, hs, POLLIN, deadline);
}

static int64_t tty_read_once(struct file *f, struct hoststream *hs, char *buf, size_t size)
{
    for (;;) {
        struct task *t = task_current();
        int r = t ? tty_check_background(hs->tty, t, SIGTTIN) : 0;
        if (r)
            return r;
        int64_t n = hoststream_read_some(hs, buf, size);
        if (n != -EAGAIN)
            return n;
        r = wait_for_input(f, hs);
        if (r)
            return r == -ETIMEDOUT ? 0 : r;
    }
}

static int64_t hosttty_read(struct file *f, struct uio *u, int64_t pos)
{
    struct hoststream *hs = f->priv;
    char buf[TTY_READ_MAX];
    if (!u->remaining)
        return 0;
    int64_t n = tty_read_once(f, hs, buf, MIN(u->remaining, (uint64_t)sizeof(buf)));
    if (n <= 0)
        return n;
    size_t moved = uio_to_user(u, buf, n);
    return moved ? (int64_t)moved : -EFAULT;
}

static int64_t hosttty_write(struct file *f, struct uio *u, int64_t pos)
{
    struct hoststream *hs = f->priv;
    struct task *t = task_current();
    if (t && !tty_is_foreground(hs->tty, t) && hs->tty->driver->tostop(hs->tty)) {
        int r = tty_check_background(hs->tty, t, SIGTTOU);
        if (r)
            return r;
    }
    return hoststream_write(f, u);
}

/* ---- ioctl ---- */

enum { ARG_NONE, ARG_OUT, ARG_IN, ARG_VALUE };
struct tty_cmd {
    unsigned cmd;
    unsigned char kind, size;
    bool changes; /* not from the background */
};

#define KERNEL_TERMIOS_SIZE  36
#define KERNEL_TERMIOS2_SIZE 44
#define KERNEL_TERMIO_SIZE   18

static const struct tty_cmd g_cmds[] = {
    {TCGETS, ARG_OUT, KERNEL_TERMIOS_SIZE, false},
    {TCSETS, ARG_IN, KERNEL_TERMIOS_SIZE, true},
    {TCSETSW, ARG_IN, KERNEL_TERMIOS_SIZE, true},
    {TCSETSF, ARG_IN, KERNEL_TERMIOS_SIZE, true},
    {TCGETS2, ARG_OUT, KERNEL_TERMIOS2_SIZE, false},
    {TCSETS2, ARG_IN, KERNEL_TERMIOS2_SIZE, true},
    {TCSETSW2, ARG_IN, KERNEL_TERMIOS2_SIZE, true},
    {TCSETSF2, ARG_IN, KERNEL_TERMIOS2_SIZE, true},
    {TCGETA, ARG_OUT, KERNEL_TERMIO_SIZE, false},
    {TCSETA, ARG_IN, KERNEL_TERMIO_SIZE, true},
    {TCSETAW, ARG_IN, KERNEL_TERMIO_SIZE, true},
    {TCSETAF, ARG_IN, KERNEL_TERMIO_SIZE, true},
    {TIOCGWINSZ, ARG_OUT, 8, false},
    {TIOCSWINSZ, ARG_IN, 8, false},
    {FIONREAD, ARG_OUT, 4, false},
    {TIOCOUTQ, ARG_OUT, 4, false},
    {TIOCGETD, ARG_OUT, 4, false},
    {TCFLSH, ARG_VALUE, 0, true},
    {TCXONC, ARG_VALUE, 0, true},
    {TCSBRK, ARG_VALUE, 0, true},
    {TCSBRKP, ARG_VALUE, 0, true},
};

static const struct tty_cmd *find_cmd(unsigned cmd)
{
    for (size_t i = 0; i < ARRAY_COUNT(g_cmds); i++)
        if (g_cmds[i].cmd == cmd)
            return &g_cmds[i];
    return NULL;
}

static int64_t forward_ioctl(struct hoststream *hs, struct task *t, const struct tty_cmd *c,
                             uint64_t arg)
{
    char buf[KERNEL_TERMIOS2_SIZE] = {0};
    int64_t r = c->changes ? tty_check_background(hs->tty, t, SIGTTOU) : 0;
    if (r)
        return r;
    if (c->kind == ARG_VALUE)
        return host_ioctl(hs->fd, c->cmd, (void *)(uintptr_t)(uint32_t)arg);
    if (c->kind == ARG_IN && uaccess_read(t->mm, buf, uaddr(arg), c->size))
        return -EFAULT;
    r = host_ioctl(hs->fd, c->cmd, buf);
    if (r < 0 || c->kind == ARG_IN)
        return r;
    return uaccess_write(t->mm, uaddr(arg), buf, c->size);
}

static int64_t hosttty_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct hoststream *hs = f->priv;
    int64_t r = tty_job_ioctl(hs->tty, t, cmd, arg, /*master=*/false);
    if (r != -ENOIOCTLCMD)
        return r;
    const struct tty_cmd *c = find_cmd(cmd);
    return c ? forward_ioctl(hs, t, c, arg) : -ENOTTY;
}

static int hosttty_fdname(struct file *f, char *buf, size_t size)
{
    struct hoststream *hs = f->priv;
    return snprintf(buf, size, "/dev/%s", hs->tty->name);
}

/* Each open file holds the terminal, as does the session it controls. */
static void hosttty_release(struct file *f)
{
    struct hoststream *hs = f->priv;
    struct tty *tty = hs->tty;
    hostfile_release(f);
    tty_put(tty);
}

const struct file_ops g_hosttty_ops = {
    .read = hosttty_read,
    .write = hosttty_write,
    .poll = hostfile_poll,
    .waitq = hostfile_waitq,
    .ioctl = hosttty_ioctl,
    .release = hosttty_release,
    .fdname = hosttty_fdname,
    .host_fd = hostfile_host_fd,
    .stream = true,
};
