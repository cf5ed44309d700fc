/* The ioctls of pseudo terminals: ioctl_tty(2) at both ends. */
#include "base/overflow.h"
#include "fs/devpts/pty_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/sysmacros.h>

#define TERMIOS_SIZE 36 /* struct termios2 without the speeds */

static int64_t get_termios(struct pty *p, struct task *t, uint64_t arg, size_t size)
{
    lock_acquire(&p->lock);
    struct termios2 tio = p->ld.tio;
    lock_release(&p->lock);
    return uaccess_write(t->mm, uaddr(arg), &tio, size);
}

#define SPEED_MASK 010017u /* CBAUD */

static unsigned speed_of(unsigned cbaud, unsigned other)
{
    static const unsigned low[] = {0,   50,  75,   110,  134,  150,  200,   300,
                                   600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
    static const unsigned high[] = {0,       57600,   115200,  230400,  460800,  500000,
                                    576000,  921600,  1000000, 1152000, 1500000, 2000000,
                                    2500000, 3000000, 3500000, 4000000};
    if (cbaud == BOTHER)
        return other;
    return cbaud & CBAUDEX ? high[cbaud & 15] : low[cbaud & 15];
}

/* What a pseudo terminal makes of a wish: always eight bits and no parity; speeds in numbers. */
static void termios_fit(struct termios2 *tio)
{
    tio->c_cflag = (tio->c_cflag & ~(CSIZE | PARENB)) | CS8 | CREAD;
    tio->c_ospeed = speed_of(tio->c_cflag & SPEED_MASK, tio->c_ospeed);
    unsigned in = tio->c_cflag >> IBSHIFT & SPEED_MASK;
    tio->c_ispeed = in ? speed_of(in, tio->c_ispeed) : tio->c_ospeed;
}

static bool usual_flow(const struct termios2 *t)
{
    return (t->c_iflag & IXON) && t->c_cc[VSTOP] == 023 && t->c_cc[VSTART] == 021;
}

/* The master wants to know who does flow control, and of changes under EXTPROC. */
static void note_change_locked(struct pty *p, const struct termios2 *now)
{
    bool was_flow = usual_flow(&p->ld.tio), flow = usual_flow(now);
    if (!p->packet)
        return;
    if (was_flow != flow) {
        p->packet_status &= ~(TIOCPKT_DOSTOP | TIOCPKT_NOSTOP);
        p->packet_status |= flow ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP;
    }
    if ((p->ld.tio.c_lflag | now->c_lflag) & EXTPROC)
        p->packet_status |= TIOCPKT_IOCTL;
}

static void change_termios(struct pty *p, struct termios2 *tio, bool flush)
{
    termios_fit(tio);
    lock_acquire(&p->lock);
    bool was_stopped = p->ld.stopped;
    if (flush)
        ldisc_flush_input(&p->ld);
    note_change_locked(p, tio);
    ldisc_set(&p->ld, tio);
    pty_note_stop_locked(p, was_stopped);
    lock_release(&p->lock);
    pty_wake_both(p);
}

static struct termios2 termios_now(struct pty *p)
{
    LOCK_GUARD(&p->lock);
    return p->ld.tio;
}

static int64_t set_termios(struct pty *p, struct task *t, uint64_t arg, size_t size, bool flush)
{
    struct termios2 tio = termios_now(p);
    if (uaccess_read(t->mm, &tio, uaddr(arg), size))
        return -EFAULT;
    change_termios(p, &tio, flush);
    return 0;
}

/* struct termio: the lower halves of the flags, and eight characters. */
struct termio_abi {
    uint16_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[8];
};

static int64_t get_termio(struct pty *p, struct task *t, uint64_t arg)
{
    struct termios2 tio = termios_now(p);
    struct termio_abi a = {tio.c_iflag, tio.c_oflag, tio.c_cflag, tio.c_lflag, tio.c_line, {0}};
    memcpy(a.cc, tio.c_cc, sizeof(a.cc));
    return uaccess_write_obj(t->mm, uaddr(arg), &a);
}

static unsigned low_half(unsigned old, uint16_t low)
{
    return (old & 0xffff0000u) | low;
}

static int64_t set_termio(struct pty *p, struct task *t, uint64_t arg, bool flush)
{
    struct termio_abi a;
    struct termios2 tio = termios_now(p);
    if (uaccess_read_obj(t->mm, &a, uaddr(arg)))
        return -EFAULT;
    tio.c_iflag = low_half(tio.c_iflag, a.iflag);
    tio.c_oflag = low_half(tio.c_oflag, a.oflag);
    tio.c_cflag = low_half(tio.c_cflag, a.cflag);
    tio.c_lflag = low_half(tio.c_lflag, a.lflag);
    tio.c_line = a.line;
    memcpy(tio.c_cc, a.cc, sizeof(a.cc));
    change_termios(p, &tio, flush);
    return 0;
}

static int64_t termios_ioctl(struct pty *p, struct task *t, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case TCGETS:
        return get_termios(p, t, arg, TERMIOS_SIZE);
    case TCGETS2:
        return get_termios(p, t, arg, sizeof(struct termios2));
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        return set_termios(p, t, arg, TERMIOS_SIZE, cmd == TCSETSF);
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
        return set_termios(p, t, arg, sizeof(struct termios2), cmd == TCSETSF2);
    case TCGETA:
        return get_termio(p, t, arg);
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
        return set_termio(p, t, arg, cmd == TCSETAF);
    default:
        return -ENOIOCTLCMD;
    }
}

static int64_t get_winsize(struct pty *p, struct task *t, uint64_t arg)
{
    lock_acquire(&p->lock);
    struct winsize ws = p->ws;
    lock_release(&p->lock);
    return uaccess_write_obj(t->mm, uaddr(arg), &ws);
}

static int64_t set_winsize(struct pty *p, struct task *t, uint64_t arg)
{
    struct winsize ws;
    if (uaccess_read_obj(t->mm, &ws, uaddr(arg)))
        return -EFAULT;
    lock_acquire(&p->lock);
    bool same = !memcmp(&ws, &p->ws, sizeof(ws));
    p->ws = ws;
    lock_release(&p->lock);
    if (!same)
        tty_signal_foreground(&p->tty, SIGWINCH);
    return 0;
}

static int64_t flush_queues(struct pty *p, uint64_t which)
{
    if (which > TCIOFLUSH)
        return -EINVAL;
    lock_acquire(&p->lock);
    if (which != TCOFLUSH) {
        ldisc_flush_input(&p->ld);
        p->packet_status |= TIOCPKT_FLUSHREAD;
    }
    if (which != TCIFLUSH) {
        ldisc_flush_output(&p->ld);
        p->packet_status |= TIOCPKT_FLUSHWRITE;
    }
    lock_release(&p->lock);
    pty_wake_both(p);
    return 0;
}

static int64_t flow_control(struct pty *p, uint64_t what)
{
    if (what > TCION)
        return -EINVAL;
    lock_acquire(&p->lock);
    bool was = p->ld.stopped;
    if (what == TCOOFF || what == TCOON)
        p->ld.stopped = what == TCOOFF;
    else
        ldisc_output(&p->ld, p->ld.tio.c_cc[what == TCIOFF ? VSTOP : VSTART]);
    pty_note_stop_locked(p, was);
    lock_release(&p->lock);
    pty_wake_both(p);
    return 0;
}

static int64_t put_int(struct task *t, uint64_t arg, int value)
{
    return uaccess_write_obj(t->mm, uaddr(arg), &value);
}

static int64_t counted(struct pty *p, struct task *t, uint64_t arg, bool master, bool input)
{
    lock_acquire(&p->lock);
    unsigned n = master == input ? ldisc_out_count(&p->ld) : ldisc_readable_count(&p->ld);
    lock_release(&p->lock);
    return put_int(t, arg, !input && !master ? 0 : (int)n);
}

static int64_t get_flag(struct pty *p, struct task *t, uint64_t arg, const bool *flag)
{
    lock_acquire(&p->lock);
    int v = *flag;
    lock_release(&p->lock);
    return put_int(t, arg, v);
}

static int64_t set_discipline(struct task *t, uint64_t arg)
{
    int n;
    if (uaccess_read_obj(t->mm, &n, uaddr(arg)))
        return -EFAULT;
    return n ? -EINVAL : 0; /* N_TTY is all there is */
}

static int64_t set_local(struct pty *p, struct task *t, uint64_t arg)
{
    int on;
    if (uaccess_read_obj(t->mm, &on, uaddr(arg)))
        return -EFAULT;
    LOCK_GUARD(&p->lock);
    p->ld.tio.c_cflag = (p->ld.tio.c_cflag & ~CLOCAL) | (on ? CLOCAL : 0);
    return 0;
}

static void set_exclusive(struct pty *p, bool on)
{
    LOCK_GUARD(&p->lock);
    p->exclusive = on;
}

static int64_t state_ioctl(struct pty *p, struct task *t, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case TIOCEXCL:
    case TIOCNXCL:
        set_exclusive(p, cmd == TIOCEXCL);
        return 0;
    case TIOCGEXCL:
        return get_flag(p, t, arg, &p->exclusive);
    case TIOCSETD:
        return set_discipline(t, arg);
    case TIOCGSOFTCAR:
        return put_int(t, arg, (termios_now(p).c_cflag & CLOCAL) != 0);
    case TIOCSSOFTCAR:
        return set_local(p, t, arg);
    default:
        return -ENOTTY;
    }
}

/* TIOCSTI: as if it had been typed. */
static int64_t fake_input(struct pty *p, struct task *t, uint64_t arg)
{
    uint8_t c;
    int sig;
    bool admin = cred_has_cap(t->cred, CAP_SYS_ADMIN);
    if (!g_vfs_knobs.legacy_tiocsti && !admin)
        return -EIO;
    if (!admin && !tty_is_controlling(&p->tty, t))
        return -EPERM;
    if (uaccess_read_obj(t->mm, &c, uaddr(arg)))
        return -EFAULT;
    pty_master_put(p, &c, 1, &sig);
    if (sig)
        tty_signal_foreground(&p->tty, sig);
    return 0;
}

static int64_t common_ioctl(struct pty *p, struct task *t, unsigned cmd, uint64_t arg, bool master)
{
    int64_t r = tty_job_ioctl(&p->tty, t, cmd, arg, master);
    if (r == -ENOIOCTLCMD)
        r = termios_ioctl(p, t, cmd, arg);
    if (r != -ENOIOCTLCMD)
        return r;
    switch (cmd) {
    case TIOCGWINSZ:
        return get_winsize(p, t, arg);
    case TIOCSWINSZ:
        return set_winsize(p, t, arg);
    case TCFLSH:
        return flush_queues(p, arg);
    case TCXONC:
        return flow_control(p, arg);
    case FIONREAD:
        return counted(p, t, arg, master, /*input=*/true);
    case TIOCOUTQ:
        return counted(p, t, arg, master, /*input=*/false);
    case TIOCGETD:
        return put_int(t, arg, 0);
    case TIOCGDEV:
        return put_int(t, arg, (int)p->tty.rdev);
    case TCSBRK:
    case TCSBRKP:
    case TIOCSBRK:
    case TIOCCBRK:
        return 0; /* nothing to break */
    case TIOCSTI:
        return fake_input(p, t, arg);
    case TIOCGPTPEER:
        return -EIO; /* the master answers it before */
    default:
        return state_ioctl(p, t, cmd, arg);
    }
}

static bool changes_settings(unsigned cmd)
{
    switch (cmd) {
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
    case TIOCSSOFTCAR:
    case TCFLSH:
    case TCXONC:
    case TCSBRK:
    case TCSBRKP:
        return true;
    default:
        return false;
    }
}

int64_t pty_slave_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct pty *p = pty_of(f->priv);
    if (pty_slave_dead(f, p))
        return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
    int r = changes_settings(cmd) ? tty_check_background(&p->tty, t, SIGTTOU) : 0;
    return r ? r : common_ioctl(p, t, cmd, arg, /*master=*/false);
}

/* ---- the master's own ioctls ---- */

static int64_t set_flag(struct pty *p, struct task *t, uint64_t arg, bool *flag)
{
    int v;
    if (uaccess_read_obj(t->mm, &v, uaddr(arg)))
        return -EFAULT;
    lock_acquire(&p->lock);
    *flag = v != 0;
    if (flag == &p->packet)
        p->packet_status = 0;
    lock_release(&p->lock);
    return 0;
}

static int64_t open_peer(struct pty *p, struct task *t, unsigned flags)
{
    struct file *f;
    struct inode *inode = devpts_inode_get(&p->tty);
    if (!inode)
        return -EIO;
    int r = file_new_inode(inode, flags & ~(O_CLOEXEC | O_NOCTTY), p->tty.name, &f);
    if (r) {
        inode_put(inode);
        return r;
    }
    r = pty_slave_open(&p->tty, f);
    if (!r && !(flags & O_NOCTTY))
        tty_open_acquire(&p->tty, t);
    if (!r)
        r = fdtable_install(t, f, 0, flags & O_CLOEXEC);
    if (r < 0)
        file_put(f);
    return r;
}

int64_t pty_master_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct pty *p = pty_of(f->priv);
    switch (cmd) {
    case TIOCGPTN:
        return put_int(t, arg, minor(p->tty.rdev));
    case TIOCSPTLCK:
        return set_flag(p, t, arg, &p->locked);
    case TIOCGPTLCK:
        return get_flag(p, t, arg, &p->locked);
    case TIOCPKT:
        return set_flag(p, t, arg, &p->packet);
    case TIOCGPKT:
        return get_flag(p, t, arg, &p->packet);
    case TIOCGPTPEER:
        return open_peer(p, t, arg);
    case TIOCSIG:
        if (arg != SIGINT && arg != SIGQUIT && arg != SIGTSTP)
            return -EINVAL;
        tty_signal_foreground(&p->tty, arg);
        return 0;
    default:
        return common_ioctl(p, t, cmd, arg, /*master=*/true);
    }
}
