/* Descriptions as key/value pairs in unnamed files: see include/control.h. */
#include "launch/launch_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

static void put(FILE *f, const char *key, const char *value)
{
    fwrite(key, 1, strlen(key) + 1, f);
    fwrite(value, 1, strlen(value) + 1, f);
}

__attribute__((format(printf, 3, 4))) static void putf(FILE *f, const char *key, const char *fmt,
                                                       ...)
{
    va_list ap;
    va_start(ap, fmt);
    fwrite(key, 1, strlen(key) + 1, f);
    vfprintf(f, fmt, ap);
    fputc(0, f);
    va_end(ap);
}

static void put_list(FILE *f, const char *key, const char *const *list)
{
    for (; list && *list; list++)
        put(f, key, *list);
}

/* An unnamed file with its writer. */
struct text {
    int fd;
    FILE *f;
};

static int text_open(struct text *t, struct launch_error *e)
{
    t->fd = memfd_create("ringfence-config", MFD_CLOEXEC);
    t->f = t->fd < 0 ? NULL : fdopen(dup(t->fd), "w");
    if (t->f)
        return 0;
    close_fd(&t->fd);
    return launch_fail(e, RF_EXIT_ERROR, "cannot make an unnamed file: %s", strerror(errno));
}

static int text_close(struct text *t, struct launch_error *e)
{
    if (fclose(t->f) == 0)
        return t->fd;
    launch_fail(e, RF_EXIT_ERROR, "cannot write a description: %s", strerror(errno));
    close(t->fd);
    return -1;
}

/* ---- the sandbox ---- */

int describe_sandbox(const struct sandbox_spec *s, const char *platform, struct launch_error *e)
{
    struct text t;
    struct utsname u;
    struct sysinfo si;
    if (text_open(&t, e))
        return -1;
    uname(&u);
    put(t.f, CFG_HOSTNAME, s->hostname ? s->hostname : u.nodename);
    put(t.f, CFG_PLATFORM, platform);
    put(t.f, CFG_NETWORK, s->network);
    if (s->strace)
        put(t.f, CFG_STRACE, s->strace);
    if (s->stats)
        put(t.f, CFG_STATS, "");
    if (sysinfo(&si) == 0)
        putf(t.f, CFG_MEMTOTAL, "%" PRIu64,
             s->memory_limit ? s->memory_limit : (uint64_t)si.totalram * si.mem_unit);
    if (s->memory_limit)
        putf(t.f, CFG_MEMORY, "%" PRIu64, s->memory_limit);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    putf(t.f, CFG_CPUS, "%u", s->cpus ? s->cpus : (unsigned)(online > 0 ? online : 1));
    return text_close(&t, e);
}

/* ---- a process ---- */

static void put_identity(FILE *f, const struct sb_process *p)
{
    putf(f, CFG_UID, "%u", p->uid);
    putf(f, CFG_GID, "%u", p->gid);
    for (unsigned i = 0; i < p->group_count; i++)
        putf(f, CFG_GROUP, "%u", (unsigned)p->groups[i]);
    putf(f, CFG_CAPS, "%" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64, p->caps[0],
         p->caps[1], p->caps[2], p->caps[3], p->caps[4]);
    putf(f, CFG_UMASK, "%o", p->umask < 0 ? 022u : (unsigned)p->umask & 0777);
    putf(f, CFG_IGNORED, "%" PRIx64, p->ignored);
    if (p->no_new_privs)
        put(f, CFG_NNP, "");
    if (p->set_oom_score_adj)
        putf(f, CFG_OOM, "%d", p->oom_score_adj);
}

static void put_rlimits(FILE *f, const struct sb_process *p)
{
    for (int r = 0; r < RLIM_NLIMITS; r++) {
        struct rlimit rl;
        uint64_t soft = 0, hard = 0;
        bool known = getrlimit(r, &rl) == 0;
        if (known)
            soft = rl.rlim_cur, hard = rl.rlim_max;
        for (unsigned i = 0; i < p->rlimit_count; i++)
            if (p->rlimits[i].resource == r)
                known = true, soft = p->rlimits[i].soft, hard = p->rlimits[i].hard;
        if (known)
            putf(f, CFG_RLIMIT, "%d %" PRIu64 " %" PRIu64, r, soft, hard);
    }
}

static int put_fd(FILE *f, int guest, int host, struct message_fds *fds, struct launch_error *e)
{
    if (fds->count == CONTROL_FDS_MAX)
        return launch_fail(e, RF_EXIT_ERROR, "more than %d descriptors to pass on",
                           CONTROL_FDS_MAX);
    putf(f, CFG_FD, "%d %u", guest, fds->count);
    fds->fd[fds->count++] = host;
    return 0;
}

static int put_fds(FILE *f, const struct sb_process *p, struct message_fds *fds,
                   struct launch_error *e)
{
    int tty = p->terminal ? 0 : -1;
    for (int fd = 0; fd <= 2; fd++) {
        if (p->stdio[fd] < 0)
            continue;
        if (put_fd(f, fd, p->stdio[fd], fds, e))
            return -1;
        if (tty < 0 && p->find_terminal && isatty(p->stdio[fd]))
            tty = fd;
    }
    for (unsigned i = 0; i < p->extra_count; i++)
        if (put_fd(f, p->extra[i].guest, p->extra[i].host, fds, e))
            return -1;
    if (tty >= 0)
        putf(f, CFG_TTY, "%d", tty);
    return 0;
}

static void put_seccomp(FILE *f, const struct sb_seccomp *s)
{
    const uint8_t *bytes = (const uint8_t *)s->program;
    if (!s->count)
        return;
    fwrite(CFG_SECCOMP, 1, sizeof(CFG_SECCOMP), f);
    fprintf(f, "%u ", s->flags);
    for (size_t i = 0; i < s->count * sizeof(struct sock_filter); i++)
        fprintf(f, "%02x", bytes[i]);
    fputc(0, f);
}

static int put_process(FILE *f, const struct sb_process *p, struct message_fds *fds,
                       struct launch_error *e)
{
    for (char *const *s = p->argv; *s; s++)
        put(f, CFG_ARGV, *s);
    for (char *const *s = p->envp; *s; s++)
        put(f, CFG_ENV, *s);
    put(f, CFG_CWD, p->cwd);
    if (p->make_cwd)
        put(f, CFG_MKCWD, "");
    put_identity(f, p);
    put_rlimits(f, p);
    put_seccomp(f, &p->seccomp);
    return put_fds(f, p, fds, e);
}

int describe_process(const struct sb_process *p, struct message_fds *fds, struct launch_error *e)
{
    struct text t;
    if (text_open(&t, e))
        return -1;
    int err = put_process(t.f, p, fds, e);
    int fd = text_close(&t, e);
    if (err)
        close_fd(&fd);
    return fd;
}

/* ---- a container ---- */

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static void put_mount(FILE *f, const struct sb_mount *m, int export)
{
    const char *part[] = {m->type, or_empty(m->source), m->dest, or_empty(m->data)};
    fwrite(CFG_MOUNT, 1, sizeof(CFG_MOUNT), f);
    fprintf(f, "%d %lu %lu %u ", export, m->flags, m->propagation, m->options);
    for (int i = 0; i < 4; i++)
        fprintf(f, "%zu:%s ", strlen(part[i]), part[i]);
    fputc(0, f);
}

static void put_files(FILE *f, const struct sb_container *c, const int *exports)
{
    put(f, CFG_ROOT, c->root_mode);
    putf(f, CFG_ROOTOPTS, "%s %s", c->root_readonly ? "readonly" : "",
         c->root_shared ? "shared" : "");
    putf(f, CFG_ROOTPROP, "%lu", c->root_propagation);
    putf(f, CFG_DEFAULTS, "%s %s %s", c->default_mounts ? "mounts" : "",
         c->default_devices ? "devices" : "",
         c->default_devices && c->process.terminal ? "console" : "");
    for (unsigned i = 0; i < c->mount_count; i++)
        put_mount(f, &c->mounts[i], exports[i]);
    for (unsigned i = 0; i < c->device_count; i++) {
        const struct sb_device *d = &c->devices[i];
        putf(f, CFG_DEVICE, "%c %u %u %o %u %u %s", d->type, d->major, d->minor, d->mode, d->uid,
             d->gid, d->path);
    }
    put_list(f, CFG_MASKED, c->masked_paths);
    put_list(f, CFG_READONLY, c->readonly_paths);
}

static void put_namespaces(FILE *f, const struct sb_container *c)
{
    static const char *const kinds[SB_NS_COUNT] = {"pid", "ipc", "uts", "net", "mount", "user"};
    for (int i = 0; i < SB_NS_COUNT; i++)
        if (c->namespaces[i])
            putf(f, CFG_NS, "%s%s%s", kinds[i], *c->namespaces[i] ? " " : "", c->namespaces[i]);
    for (unsigned i = 0; i < c->uid_map_count; i++)
        putf(f, CFG_UIDMAP, "%u %u %u", c->uid_maps[i].inside, c->uid_maps[i].outside,
             c->uid_maps[i].count);
    for (unsigned i = 0; i < c->gid_map_count; i++)
        putf(f, CFG_GIDMAP, "%u %u %u", c->gid_maps[i].inside, c->gid_maps[i].outside,
             c->gid_maps[i].count);
}

int describe_container(const struct sb_container *c, const int *exports, struct message_fds *fds,
                       struct launch_error *e)
{
    const struct sb_limits *l = &c->limits;
    struct text t;
    if (text_open(&t, e))
        return -1;
    put(t.f, CFG_ID, c->id);
    put_files(t.f, c, exports);
    put_namespaces(t.f, c);
    put_list(t.f, CFG_SYSCTL, c->sysctl);
    if (c->hostname)
        put(t.f, CFG_HOSTNAME, c->hostname);
    if (c->domainname)
        put(t.f, CFG_DOMAIN, c->domainname);
    putf(t.f, CFG_LIMITS, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, l->memory,
         l->cpu_quota_us, l->cpu_period_us, l->cpu_shares, l->pids);
    int err = put_process(t.f, &c->process, fds, e);
    int fd = text_close(&t, e);
    if (err)
        close_fd(&fd);
    return fd;
}
