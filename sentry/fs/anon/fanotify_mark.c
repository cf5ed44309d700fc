/* fanotify marks: what is watched, and which group hears of an event. See fanotify_priv.h. */
#include "fs/anon/fanotify_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef FAN_MARK_IGNORE
#define FAN_MARK_IGNORE 0x400
#endif

uint32_t g_fanotify_marks, g_fanotify_perm_marks;
static struct list g_groups = LIST_INIT(g_groups); /* lock: g_fan_lock */

void fan_group_enter(struct fan_group *g)
{
    LOCK_GUARD(&g_fan_lock);
    list_push_back(&g_groups, &g->all);
}

/* ---- which group hears what ---- */

/* The objects whose marks may apply to an event. */
struct heard {
    struct inode *self;           /* what it is about; NULL: names of a directory */
    struct inode *parent;         /* whose child it is about */
    struct inode *dir, *new_dir;  /* whose names it is about */
    struct mount *mnt;
    struct superblock *sb;
    bool is_dir;
};

static struct heard heard_by(const struct fsn_event *e)
{
    struct heard h = {.is_dir = e->mask & FSN_ISDIR};
    struct dentry *any = e->child ? e->child : e->dir;
    h.sb = any->sb;
    h.mnt = e->path ? e->path->mnt : NULL;
    if (e->dir && !e->on_child) {
        h.dir = e->dir->inode;
        h.new_dir = e->new_dir ? e->new_dir->inode : NULL;
        return h;
    }
    h.self = e->child->inode;
    h.parent = e->dir ? e->dir->inode : NULL;
    return h;
}

struct verdict {
    uint32_t want, ignore;
    bool modified;
};

static void mark_applies(struct fan_mark *m, const struct heard *h, bool as_parent,
                         struct verdict *v)
{
    uint32_t ignored = m->ignored;
    if (v->modified && !(m->flags & FAN_MARK_IGNORED_SURV_MODIFY))
        m->ignored = 0;
    if (ignored && !(m->flags & FAN_MARK_IGNORE)) /* the older kind goes by the mask's flags */
        ignored |= FAN_ONDIR | (m->mask & FAN_EVENT_ON_CHILD);
    if ((!h->is_dir || (ignored & FAN_ONDIR)) && (!as_parent || (ignored & FAN_EVENT_ON_CHILD)))
        v->ignore |= ignored;
    if ((!h->is_dir || (m->mask & FAN_ONDIR)) && (!as_parent || (m->mask & FAN_EVENT_ON_CHILD)))
        v->want |= m->mask;
}

static void list_applies(struct fan_mark *m, const struct fan_group *g, const struct heard *h,
                         bool as_parent, struct verdict *v)
{
    for (; m; m = m->next)
        if (m->group == g)
            mark_applies(m, h, as_parent, v);
}

static void inode_applies(struct inode *i, const struct fan_group *g, const struct heard *h,
                          bool as_parent, struct verdict *v)
{
    struct fsnotify_marks *marks = i ? fsnotify_marks_of(i) : NULL;
    if (marks)
        list_applies(marks->fans, g, h, as_parent, v);
}

/* The part of mask that g is to hear. */
static uint32_t wanted_locked(struct fan_group *g, const struct heard *h, uint32_t mask)
{
    struct verdict v = {.modified = mask & FAN_MODIFY};
    inode_applies(h->self, g, h, /*as_parent=*/false, &v);
    inode_applies(h->parent, g, h, /*as_parent=*/true, &v);
    inode_applies(h->dir, g, h, /*as_parent=*/false, &v);
    inode_applies(h->new_dir, g, h, /*as_parent=*/false, &v);
    if (h->mnt)
        list_applies(h->mnt->fan_marks, g, h, /*as_parent=*/false, &v);
    list_applies(h->sb->fan_marks, g, h, /*as_parent=*/false, &v);
    return mask & v.want & ~v.ignore & ~(uint32_t)(FAN_ONDIR | FAN_EVENT_ON_CHILD);
}

/* ---- making the event ---- */

static void dir_record(struct fan_name *out, struct dentry *dir, const char *name)
{
    out->given = true;
    handle_make(dir, &out->h);
    out->name = name ? strdup(name) : NULL;
}

static void object_record(struct fan_event *ev, struct dentry *d)
{
    ev->has_object = true;
    if (handle_make(d, &ev->object))
        handle_of(d->inode, &ev->object); /* a name for it, though it does not lead back */
}

/* Does g watch this directory at all, when a directory is moved for directories? */
static bool dir_watched(const struct fan_group *g, struct dentry *dir, uint32_t need)
{
    struct fsnotify_marks *marks = fsnotify_marks_of(dir->inode);
    LOCK_GUARD(&g_fan_lock);
    for (struct fan_mark *m = marks ? marks->fans : NULL; m; m = m->next)
        if (m->group == g && (m->mask & need) == need)
            return true;
    for (struct fan_mark *m = dir->sb->fan_marks; m; m = m->next)
        if (m->group == g && (m->mask & need) == need)
            return true;
    return false;
}

/* Of the two directories only those that are watched are named. */
static void rename_records(struct fan_event *ev, const struct fsn_event *e,
                           const struct fan_group *g)
{
    char name[VFS_NAME_MAX + 1];
    lock_acquire(&g_dcache_lock);
    strncpy(name, e->child->name, sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    lock_release(&g_dcache_lock);
    uint32_t need = e->mask & FSN_ISDIR;
    if (dir_watched(g, e->dir, need))
        dir_record(&ev->dir, e->dir, e->name);
    if (dir_watched(g, e->new_dir, need))
        dir_record(&ev->new_dir, e->new_dir, name);
}

/* What is reported of an event, by the flags of the group; see fanotify(7). */
static void fid_records(struct fan_event *ev, const struct fsn_event *e, const struct fan_group *g)
{
    unsigned flags = g->flags;
    bool dirent = e->mask & FAN_DIRENT, is_dir = e->mask & FSN_ISDIR;
    const char *name = flags & FAN_REPORT_NAME ? e->name : NULL;
    ev->mask |= is_dir ? FAN_ONDIR : 0;
    ev->dev = (e->child ? e->child : e->dir)->sb->dev;
    if (!(flags & FAN_REPORT_DIR_FID)) {
        object_record(ev, dirent ? e->dir : e->child);
        return;
    }
    bool child = dirent ? flags & FAN_REPORT_TARGET_FID : (flags & FAN_REPORT_FID) && !is_dir;
    bool in_dir = dirent || (!is_dir && e->dir);
    if (e->mask & FAN_RENAME)
        rename_records(ev, e, g);
    else if (in_dir && (name || child))
        dir_record(&ev->dir, e->dir, name);
    else /* one record: a directory, or a file whose place is not known */
        return object_record(ev, in_dir ? e->dir : e->child);
    if (child)
        object_record(ev, e->child);
}

static struct fan_event *event_for(struct fan_group *g, const struct fsn_event *e, uint32_t mask)
{
    struct task *t = task_current();
    struct fan_event *ev = fan_event_new(mask);
    if (!ev)
        return NULL;
    if (t)
        ev->pid = g->flags & FAN_REPORT_TID ? t->vtid : t->process->vpid;
    if (g->unprivileged)
        ev->pid = 0;
    if (t && (g->flags & FAN_REPORT_PIDFD)) {
        process_get(t->process);
        ev->process = t->process;
    }
    if (g->flags & FAN_FID_MODE) {
        fid_records(ev, e, g);
    } else {
        ev->path = *e->path;
        path_get(&ev->path);
    }
    return ev;
}

/* The next group behind `after` that wants some of e: counted. */
static struct fan_group *next_group(const struct fsn_event *e, const struct heard *h,
                                    unsigned *skip, uint32_t *mask)
{
    LOCK_GUARD(&g_fan_lock);
    struct fan_group *g;
    unsigned n = 0;
    list_for_each(g, &g_groups, all)
    {
        if (n++ < *skip)
            continue;
        uint32_t events = e->mask;
        if (!(g->flags & FAN_FID_MODE))
            events &= e->path ? FAN_FD_EVENTS | FAN_PERM | FAN_ONDIR : 0;
        else if (!(g->flags & FAN_REPORT_FID) && !e->dir && !h->is_dir)
            events = 0; /* nothing could be told of it */
        *mask = wanted_locked(g, h, events);
        *skip = n;
        if (*mask) {
            ref_get(&g->ref);
            return g;
        }
    }
    return NULL;
}

void fanotify_tell(const struct fsn_event *e)
{
    struct heard h = heard_by(e);
    struct fan_group *g;
    uint32_t mask;
    unsigned skip = 0;
    while ((g = next_group(e, &h, &skip, &mask))) {
        struct fan_event *ev = event_for(g, e, mask);
        lock_acquire(&g_fan_lock);
        struct fan_event *unused = ev ? fan_queue_locked(g, ev) : NULL;
        lock_release(&g_fan_lock);
        fan_event_put(unused);
        fan_group_put(g);
    }
}

int fanotify_permission_slow(struct task *t, const struct path *p, uint64_t mask)
{
    struct fsn_event e = {.mask = mask, .path = p, .child = p->dentry, .on_child = true};
    if (!p->mnt || !p->dentry)
        return 0;
    if (inode_is_dir(p->dentry->inode))
        e.mask |= FSN_ISDIR;
    struct dentry *parent = dentry_parent_get(p->dentry);
    e.dir = parent;
    struct heard h = heard_by(&e);
    struct fan_group *g;
    uint32_t want;
    unsigned skip = 0;
    int r = 0;
    while (!r && (g = next_group(&e, &h, &skip, &want))) {
        struct fan_event *ev = event_for(g, &e, want);
        if (ev) {
            ev->perm = true;
            r = fan_ask(t, g, ev);
            fan_event_put(ev);
        }
        fan_group_put(g);
    }
    dentry_put(parent);
    return r;
}

/* ---- marks ---- */

static void counts_change_locked(struct fan_mark *m, uint32_t next_mask)
{
    int by = !!(next_mask & FAN_PERM) - !!(m->mask & FAN_PERM);
    __atomic_add_fetch(&g_fanotify_perm_marks, by, __ATOMIC_RELAXED);
    m->mask = next_mask;
}

static void unlink_locked(struct fan_mark *m)
{
    struct fan_mark **at = m->head;
    while (*at != m)
        at = &(*at)->next;
    __atomic_store_n(at, m->next, __ATOMIC_RELEASE);
    list_del(&m->of_group);
    m->group->mark_count--;
    counts_change_locked(m, 0);
    __atomic_sub_fetch(&g_fanotify_marks, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&g_fsnotify_watches, 1, __ATOMIC_RELAXED);
}

static void mark_free(struct fan_mark *m)
{
    if (m && m->inode)
        inode_put(m->inode);
    free(m);
}

static struct fan_mark *take_locked(struct list *marks, bool all, enum fan_on on)
{
    struct fan_mark *m;
    list_for_each(m, marks, of_group)
    {
        if (all || m->on == on) {
            unlink_locked(m);
            return m;
        }
    }
    return NULL;
}

void fan_marks_flush(struct fan_group *g, bool all, enum fan_on on)
{
    struct fan_mark *m;
    do {
        lock_acquire(&g_fan_lock);
        m = take_locked(&g->marks, all, on);
        lock_release(&g_fan_lock);
        mark_free(m);
    } while (m);
}

void fanotify_object_gone(struct fan_mark **marks)
{
    struct fan_mark *m;
    do {
        lock_acquire(&g_fan_lock);
        m = *marks;
        if (m)
            unlink_locked(m);
        lock_release(&g_fan_lock);
        mark_free(m);
    } while (m);
}

static struct fan_mark **head_of(const struct path *p, enum fan_on on)
{
    if (on == FAN_ON_MOUNT)
        return &p->mnt->fan_marks;
    if (on == FAN_ON_SB)
        return &p->dentry->sb->fan_marks;
    struct fsnotify_marks *marks = fsnotify_marks_get(p->dentry->inode);
    return marks ? &marks->fans : NULL;
}

static struct fan_mark *find_locked(struct fan_mark *m, const struct fan_group *g)
{
    while (m && m->group != g)
        m = m->next;
    return m;
}

/* A mark's flags as they are kept: the newer kind of ignoring cannot be mixed with the older. */
static int flags_merge(struct fan_mark *m, unsigned flags)
{
    if (flags & (FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORE)) {
        if (m->ignored && ((m->flags ^ flags) & FAN_MARK_IGNORE))
            return -EEXIST;
        if ((m->flags & FAN_MARK_IGNORED_SURV_MODIFY) && (flags & FAN_MARK_IGNORE) &&
            !(flags & FAN_MARK_IGNORED_SURV_MODIFY))
            return -EEXIST;
        m->flags |= flags & (FAN_MARK_IGNORED_SURV_MODIFY | FAN_MARK_IGNORE);
    }
    return 0;
}

static int add_locked(struct fan_group *g, struct fan_mark **head, struct fan_mark **spare,
                      unsigned flags, uint32_t mask)
{
    struct fan_mark *m = find_locked(*head, g);
    if (!m) {
        if (g->mark_count >= FAN_MARKS_MAX && !(g->flags & FAN_UNLIMITED_MARKS))
            return -ENOSPC;
        m = *spare;
        *spare = NULL;
        m->group = g;
        m->head = head;
        m->next = *head;
        __atomic_store_n(head, m, __ATOMIC_RELEASE);
        list_push_back(&g->marks, &m->of_group);
        g->mark_count++;
        __atomic_add_fetch(&g_fanotify_marks, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&g_fsnotify_watches, 1, __ATOMIC_RELAXED);
    }
    int r = flags_merge(m, flags);
    if (r)
        return r;
    if (flags & (FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORE))
        m->ignored |= mask;
    else
        counts_change_locked(m, m->mask | mask);
    return 0;
}

static int mark_add(struct fan_group *g, const struct path *p, enum fan_on on, unsigned flags,
                    uint32_t mask)
{
    struct inode *i = p->dentry->inode;
    int r = on == FAN_ON_INODE ? inode_keep(i) : 0;
    if (r)
        return r;
    struct fan_mark **head = head_of(p, on);
    struct fan_mark *m = calloc(1, sizeof(*m));
    if (!head || !m) {
        free(m);
        return -ENOMEM;
    }
    *m = (struct fan_mark){.on = on, .ino = i->ino, .dev = i->sb->dev, .mnt_id = p->mnt->id};
    list_node_init(&m->of_group);
    if (on == FAN_ON_INODE) {
        inode_get(i);
        m->inode = i;
    }
    lock_acquire(&g_fan_lock);
    r = add_locked(g, head, &m, flags, mask);
    lock_release(&g_fan_lock);
    mark_free(m);
    return r;
}

static int mark_remove(struct fan_group *g, const struct path *p, enum fan_on on, unsigned flags,
                       uint32_t mask)
{
    struct fan_mark **head = head_of(p, on), *dead = NULL;
    if (!head)
        return -ENOMEM;
    lock_acquire(&g_fan_lock);
    struct fan_mark *m = find_locked(*head, g);
    if (m && (flags & (FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORE)))
        m->ignored &= ~mask;
    else if (m)
        counts_change_locked(m, m->mask & ~mask);
    if (m && !(m->mask & ~(uint32_t)(FAN_ONDIR | FAN_EVENT_ON_CHILD)) && !m->ignored) {
        unlink_locked(m);
        dead = m;
    }
    lock_release(&g_fan_lock);
    mark_free(dead);
    return m ? 0 : -ENOENT;
}

/* ---- fanotify_mark(2) ---- */

#define MARK_KNOWN                                                                                 \
    (FAN_MARK_ADD | FAN_MARK_REMOVE | FAN_MARK_DONT_FOLLOW | FAN_MARK_ONLYDIR | FAN_MARK_MOUNT |   \
     FAN_MARK_FILESYSTEM | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY |                  \
     FAN_MARK_FLUSH | FAN_MARK_EVICTABLE | FAN_MARK_IGNORE)
#define MASK_KNOWN                                                                                 \
    (FAN_FD_EVENTS | FAN_DIRENT | FAN_ATTRIB | FAN_DELETE_SELF | FAN_MOVE_SELF | FAN_FS_ERROR |    \
     FAN_PERM | FAN_ONDIR | FAN_EVENT_ON_CHILD)

static int cmd_check(unsigned flags, uint64_t mask)
{
    switch (flags & (FAN_MARK_ADD | FAN_MARK_REMOVE | FAN_MARK_FLUSH)) {
    case FAN_MARK_ADD:
    case FAN_MARK_REMOVE:
        return mask ? 0 : -EINVAL;
    case FAN_MARK_FLUSH:
        return flags & ~(FAN_MARK_MOUNT | FAN_MARK_FILESYSTEM | FAN_MARK_FLUSH) ? -EINVAL : 0;
    }
    return -EINVAL;
}

static int on_of(unsigned flags, enum fan_on *on)
{
    switch (flags & (FAN_MARK_MOUNT | FAN_MARK_FILESYSTEM)) {
    case 0:
        *on = FAN_ON_INODE;
        return 0;
    case FAN_MARK_MOUNT:
        *on = FAN_ON_MOUNT;
        return 0;
    case FAN_MARK_FILESYSTEM:
        *on = FAN_ON_SB;
        return 0;
    }
    return -EINVAL;
}

static int args_check(unsigned flags, uint64_t mask, enum fan_on *on)
{
    if (mask >> 32 || (flags & ~(unsigned)MARK_KNOWN))
        return -EINVAL;
    int r = on_of(flags, on);
    if (!r)
        r = cmd_check(flags, mask);
    if (!r && (mask & ~(uint64_t)MASK_KNOWN))
        r = -EINVAL;
    if (!r && (flags & FAN_MARK_IGNORED_MASK) && (flags & FAN_MARK_IGNORE))
        r = -EINVAL;
    return r;
}

/* What a group of these flags may ask for. */
static int group_check(const struct task *t, const struct fan_group *g, unsigned flags,
                       uint32_t mask, enum fan_on on)
{
    bool fid = g->flags & FAN_FID_MODE;
    if (g->unprivileged && on != FAN_ON_INODE && !cred_has_cap(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    if ((mask & FAN_PERM) && !(g->flags & FAN_CLASS_BITS))
        return -EINVAL;
    if ((mask & FAN_FS_ERROR) && on != FAN_ON_SB)
        return -EINVAL;
    if ((flags & FAN_MARK_EVICTABLE) && on != FAN_ON_INODE)
        return -EINVAL;
    uint32_t paths = FAN_FD_EVENTS | FAN_PERM | FAN_ONDIR | FAN_EVENT_ON_CHILD;
    if ((mask & ~paths) && (!fid || on == FAN_ON_MOUNT))
        return -EINVAL;
    return (mask & FAN_RENAME) && !(g->flags & FAN_REPORT_NAME) ? -EINVAL : 0;
}

static int find_path(struct task *t, int dirfd, struct uaddr name_ua, unsigned flags,
                     struct path *out)
{
    if (!name_ua.v) { /* AT_FDCWD is no descriptor here */
        struct file *f = fdtable_get(t->fds, dirfd);
        if (!f)
            return -EBADF;
        bool bad = (flags & FAN_MARK_ONLYDIR) && !inode_is_dir(f->inode);
        if (!bad) {
            *out = f->path;
            path_get(out);
        }
        file_put(f);
        return bad ? -ENOTDIR : 0;
    }
    char *name;
    int r = vfs_path_import(t, name_ua, /*empty_ok=*/false, &name);
    if (r)
        return r;
    unsigned walk = (flags & FAN_MARK_DONT_FOLLOW ? 0 : WALK_FOLLOW) |
                    (flags & FAN_MARK_ONLYDIR ? WALK_DIRECTORY : 0);
    r = vfs_walk(t, dirfd, name, walk, out);
    free(name);
    return r;
}

static int path_check(struct task *t, const struct fan_group *g, const struct path *p,
                      unsigned flags, uint32_t mask, enum fan_on on)
{
    if (!p->mnt || !p->dentry)
        return -EINVAL; /* pipes and their kin */
    struct inode *i = p->dentry->inode;
    int r = inode_permission(i, R_OK, t->cred);
    if (r)
        return r;
    if ((mask & FAN_PERM) && i->sb->fixed_names)
        return -EINVAL; /* not on /proc */
    if ((g->flags & FAN_FID_MODE) && !handle_possible(i->sb))
        return -EOPNOTSUPP;
    bool strict = (g->flags & FAN_REPORT_TARGET_FID) || (mask & FAN_RENAME) ||
                  (flags & FAN_MARK_IGNORE);
    uint32_t dir_only = FAN_DIRENT | FAN_EVENT_ON_CHILD | FAN_ONDIR;
    if (strict && on == FAN_ON_INODE && !inode_is_dir(i) && (mask & dir_only))
        return -ENOTDIR;
    bool ignores = (flags & FAN_MARK_IGNORE) && (flags & FAN_MARK_ADD);
    if (ignores && !(flags & FAN_MARK_IGNORED_SURV_MODIFY) &&
        (on != FAN_ON_INODE || inode_is_dir(i)))
        return on == FAN_ON_INODE ? -EISDIR : -EINVAL;
    return 0;
}

static int mark_change(struct task *t, struct fan_group *g, unsigned flags, uint32_t mask,
                       const struct path *p, enum fan_on on)
{
    int r = path_check(t, g, p, flags, mask, on);
    if (r)
        return r;
    if (!inode_is_dir(p->dentry->inode) && on == FAN_ON_INODE)
        mask &= ~(uint32_t)FAN_EVENT_ON_CHILD;
    if (flags & FAN_MARK_IGNORED_MASK)
        mask &= ~(uint32_t)(FAN_ONDIR | FAN_EVENT_ON_CHILD);
    return flags & FAN_MARK_ADD ? mark_add(g, p, on, flags, mask)
                                : mark_remove(g, p, on, flags, mask);
}

int fanotify_mark(struct task *t, struct file *f, unsigned flags, uint64_t mask, int dirfd,
                  struct uaddr name)
{
    enum fan_on on;
    struct path p = {NULL, NULL};
    int r = args_check(flags, mask, &on);
    if (r)
        return r;
    if (!f)
        return -EBADF;
    struct fan_group *g = fan_group_of(f);
    r = g ? group_check(t, g, flags, mask, on) : -EINVAL;
    if (r)
        return r;
    if (flags & FAN_MARK_FLUSH) {
        fan_marks_flush(g, /*all=*/false, on);
        return 0;
    }
    r = find_path(t, dirfd, name, flags, &p);
    if (!r)
        r = mark_change(t, g, flags, mask, &p, on);
    path_put(&p);
    return r;
}
