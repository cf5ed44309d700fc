/* The descriptors that a process starts with: host files, pipes and terminals that came over the
 * control socket. */
#include "control/control_priv.h"

#include "base/host.h"
#include "fs/vfs.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

static int take(struct fdtable *ft, struct control_fds *fds, unsigned index, int guest,
                struct tty **tty)
{
    struct file *f;
    if (index >= fds->count || fds->fd[index] < 0)
        return -EBADF;
    int r = hostfile_open(fds->fd[index], &f);
    if (r)
        return r;
    fds->fd[index] = -1; /* the file's now */
    struct tty *its = hostfile_tty(f);
    r = fdtable_install_at(ft, guest, f);
    if (r) {
        file_put(f);
        return r;
    }
    if (tty && its) {
        tty_get(its);
        *tty = its;
    }
    return 0;
}

/* We lead a session that has no terminal yet; where we do not, or it has another owner, keys come
 * some other way. */
static void hold(const struct process_desc *p, struct control_fds *fds)
{
    for (unsigned i = 0; i < p->fd_count; i++) {
        unsigned index = p->fds[i].index;
        if (p->fds[i].guest == p->tty && index < fds->count && fds->fd[index] >= 0)
            (void)host_ioctl(fds->fd[index], TIOCSCTTY, NULL);
    }
}

int stdio_make(const struct process_desc *p, struct control_fds *fds, bool hold_tty,
               struct fdtable **out, struct tty **tty, struct complaint *why)
{
    struct fdtable *ft;
    int r = fdtable_new(&ft);
    *tty = NULL;
    if (hold_tty)
        hold(p, fds);
    for (unsigned i = 0; !r && i < p->fd_count; i++) {
        int guest = p->fds[i].guest;
        r = take(ft, fds, p->fds[i].index, guest, guest == p->tty ? tty : NULL);
        if (r)
            complain(why, RF_EXIT_ERROR, "cannot pass on descriptor %d: %s", guest, strerror(-r));
    }
    if (!r) {
        *out = ft;
        return 0;
    }
    if (*tty)
        tty_put(*tty);
    fdtable_put(ft, NULL);
    return -1;
}
