/* pidfd: a descriptor that stands for a process and becomes readable when it has ended. */
#include "kernel/kernel_priv.h"

#include "fs/vfs.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

static unsigned pidfd_poll(struct file *f)
{
    struct process *p = f->priv;
    LOCK_GUARD(&p->sig_lock);
    return p->state >= PROCESS_ZOMBIE ? POLLIN | POLLRDNORM : 0;
}

static struct waitq *pidfd_waitq(struct file *f)
{
    return &((struct process *)f->priv)->child_wq;
}

static void pidfd_release(struct file *f)
{
    process_put(f->priv);
}

static int pidfd_fdinfo(struct file *f, char *buf, size_t size)
{
    struct process *p = f->priv;
    lock_acquire(&p->sig_lock);
    bool dead = p->state == PROCESS_DEAD;
    lock_release(&p->sig_lock);
    struct task *reader = task_current();
    const struct pid_ns *ns = reader ? reader->process->pid_ns : g_kernel.root_pid_ns;
    int nr = dead ? -1 : process_nr(p, ns);
    int n = snprintf(buf, size, "Pid:\t%d\nNSpid:\t%d", nr, nr);
    for (unsigned i = ns->level + 1; nr > 0 && i <= p->id->level; i++)
        n += snprintf(buf + n, size - n, "\t%d", p->id->numbers[i].nr);
    return n + snprintf(buf + n, size - n, "\n");
}

static int pidfd_name(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:[pidfd]");
}

static const struct file_ops g_pidfd_ops = {
    .poll = pidfd_poll,
    .waitq = pidfd_waitq,
    .release = pidfd_release,
    .fdinfo = pidfd_fdinfo,
    .fdname = pidfd_name,
    .stream = true,
    .no_fasync = true,
};

int pidfd_new(struct process *p, unsigned flags, struct file **out)
{
    int r = file_new_anon(&g_pidfd_ops, O_RDWR | (flags & O_NONBLOCK), p, 0600, out);
    if (!r)
        process_get(p);
    return r;
}

struct process *pidfd_process(struct file *f)
{
    if (f->ops != &g_pidfd_ops)
        return NULL;
    process_get(f->priv);
    return f->priv;
}
