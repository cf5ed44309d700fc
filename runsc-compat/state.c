/* See state.h. The lock is a POSIX record lock: it tells who holds it, no child inherits it, and it
 * goes with its process. */
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STATE_MAX_SIZE (16u << 20)
#define LOCK_WAIT_MS   30000
#define FORCE_WAIT_MS  400

const char *const g_status_names[] = {"creating", "created", "running", "paused", "stopped"};

/* ---- names and places ---- */

int state_check_id(const char *id, struct rf_error *e)
{
    size_t n = strlen(id);
    if (n == 0)
        return rf_fail(e, "container id cannot be empty");
    if (n >= sizeof(((struct rf_state *)0)->id) ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.") != n ||
        !strcmp(id, ".") || !strcmp(id, ".."))
        return rf_fail(e, "invalid container ID format: %s", id);
    return 0;
}

static int state_init(struct rf_state *s, const char *id, struct rf_error *e)
{
    *s = (struct rf_state){.lock_fd = -1, .status = RF_STOPPED};
    if (state_check_id(id, e) < 0)
        return -1;
    snprintf(s->id, sizeof(s->id), "%s", id);
    if (rf_format(s->dir, sizeof(s->dir), "%s/%s", g_rf.root, id))
        return rf_fail(e, "--root %.200s: the path is too long", g_rf.root);
    return 0;
}

static int in_dir(const struct rf_state *s, char *out, size_t size, const char *name)
{
    return rf_format(out, size, "%s/%s", s->dir, name);
}

/* ---- the lock ---- */

static int lock_try(int fd, pid_t *holder)
{
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &fl) == 0)
        return 0;
    if (errno != EACCES && errno != EAGAIN)
        return -errno;
    *holder = 0;
    if (fcntl(fd, F_GETLK, &fl) == 0 && fl.l_type != F_UNLCK)
        *holder = fl.l_pid;
    return -EAGAIN;
}

/* Only a program of our own name is ended: a pid that we cannot look at is left alone. */
static void end_holder(pid_t pid)
{
    char path[64], theirs[PATH_MAX], ours[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    ssize_t a = readlink(path, theirs, sizeof(theirs)),
            b = readlink("/proc/self/exe", ours, sizeof(ours));
    if (pid > 1 && a > 0 && a == b && !memcmp(theirs, ours, a)) {
        rf_log(RF_WARNING, "ending runrf process %d, which holds the container's lock", (int)pid);
        kill(pid, SIGKILL);
    }
}

static int lock_wait(int fd, bool force)
{
    int waited = 0, step = 2;
    for (;;) {
        pid_t holder = 0;
        int err = lock_try(fd, &holder);
        if (err != -EAGAIN)
            return err;
        if (force && waited >= FORCE_WAIT_MS && holder > 0)
            end_holder(holder);
        if (waited >= LOCK_WAIT_MS)
            return -ETIMEDOUT;
        nanosleep(&(struct timespec){.tv_nsec = step * 1000000L}, NULL);
        waited += step;
        step = step < 20 ? step * 2 : step;
    }
}

/* The directory may be removed and made anew while we wait: only a lock on the file that is there
 * now counts. -ENOENT: it is gone. */
static int lock_dir(struct rf_state *s, bool create, bool force)
{
    char path[PATH_MAX];
    if (in_dir(s, path, sizeof(path), "lock"))
        return -ENAMETOOLONG;
    for (;;) {
        struct stat held, there;
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
        if (fd < 0)
            return -errno;
        int err = lock_wait(fd, force);
        if (!err && fstat(fd, &held) == 0 && stat(path, &there) == 0 &&
            held.st_ino == there.st_ino && held.st_dev == there.st_dev) {
            s->lock_fd = fd;
            return 0;
        }
        close(fd);
        if (err)
            return err;
    }
}

void state_unlock(struct rf_state *s)
{
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    s->lock_fd = -1;
}

void state_close(struct rf_state *s)
{
    json_decref(s->json);
    s->json = NULL;
    state_unlock(s);
}

/* ---- reading and writing ---- */

static int state_read(struct rf_state *s, struct rf_error *e)
{
    char path[PATH_MAX];
    json_error_t je;
    size_t size;
    if (in_dir(s, path, sizeof(path), "state.json"))
        return rf_fail(e, "the state directory's path is too long");
    char *text = rf_read_file(path, STATE_MAX_SIZE, &size);
    if (!text)
        return errno == ENOENT || errno == ENOTDIR
                   ? rf_fail(e, "container does not exist")
                   : rf_fail(e, "cannot read %s: %s", path, strerror(errno));
    s->json = json_loadb(text, size, 0, &je);
    free(text);
    if (!json_is_object(s->json))
        return rf_fail(e, "%s is damaged: %s", path, je.text);
    return 0;
}

int state_save(struct rf_state *s, struct rf_error *e)
{
    char path[PATH_MAX];
    if (in_dir(s, path, sizeof(path), "state.json"))
        return rf_fail(e, "the state directory's path is too long");
    char *text = json_dumps(s->json, JSON_INDENT(1));
    int err = text ? rf_write_file_atomic(path, text, strlen(text)) : -ENOMEM;
    free(text);
    return err ? rf_fail(e, "cannot write %s: %s", path, strerror(-err)) : 0;
}

int state_new(const char *id, struct rf_state *s, struct rf_error *e)
{
    char path[PATH_MAX];
    if (state_init(s, id, e) < 0)
        return -1;
    int err = rf_mkdir_p(g_rf.root, 0711);
    if (!err && mkdir(s->dir, 0700) < 0 && errno != EEXIST)
        err = -errno;
    if (!err)
        err = lock_dir(s, /*create=*/true, /*force=*/false);
    if (err)
        return rf_fail(e, "cannot make the state directory %s: %s", s->dir, strerror(-err));
    if (in_dir(s, path, sizeof(path), "state.json") || access(path, F_OK) == 0) {
        state_close(s);
        return rf_fail(e, "container with id exists: %s", id);
    }
    s->json = json_object();
    s->status = RF_CREATING;
    state_set_string(s, "id", id);
    return 0;
}

static int open_locked(const char *id, bool force, struct rf_state *s, struct rf_error *e)
{
    if (state_init(s, id, e) < 0)
        return -1;
    int err = lock_dir(s, /*create=*/false, force);
    if (err == -ENOENT || err == -ENOTDIR)
        return rf_fail(e, "container does not exist");
    if (err)
        return rf_fail(e, "cannot lock the container %s: %s", id, strerror(-err));
    if (state_read(s, e) < 0) {
        state_close(s);
        return -1;
    }
    state_refresh(s);
    return 0;
}

int state_open(const char *id, struct rf_state *s, struct rf_error *e)
{
    return open_locked(id, /*force=*/false, s, e);
}

int state_open_force(const char *id, struct rf_state *s, struct rf_error *e)
{
    return open_locked(id, /*force=*/true, s, e);
}

int state_peek(const char *id, struct rf_state *s, struct rf_error *e)
{
    if (state_init(s, id, e) < 0 || state_read(s, e) < 0)
        return -1;
    state_refresh(s);
    return 0;
}

static void remove_below(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    while (d && (entry = readdir(d)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            strcmp(entry->d_name, "lock"))
            unlinkat(dirfd(d), entry->d_name, 0);
    if (d)
        closedir(d);
}

/* state.json first, the lock last: at no moment is there a container without its lock. */
void state_remove(struct rf_state *s)
{
    char path[PATH_MAX];
    if (in_dir(s, path, sizeof(path), "state.json"))
        return;
    unlink(path);
    remove_below(s->dir);
    if (!in_dir(s, path, sizeof(path), "lock"))
        unlink(path);
    if (rmdir(s->dir) < 0)
        rf_log(RF_WARNING, "cannot remove %s: %s", s->dir, strerror(errno));
}

/* ---- members ---- */

void state_set_string(struct rf_state *s, const char *key, const char *value)
{
    json_object_set_new(s->json, key, json_string(value));
}

void state_set_int(struct rf_state *s, const char *key, int64_t value)
{
    json_object_set_new(s->json, key, json_integer(value));
}

static int64_t member_int(const struct rf_state *s, const char *key)
{
    return json_integer_value(json_object_get(s->json, key));
}

pid_t state_pid(const struct rf_state *s)
{
    return member_int(s, "pid");
}

pid_t state_sentry(const struct rf_state *s, uint64_t *start_time)
{
    *start_time = member_int(s, "sentryStartTime");
    return member_int(s, "sentryPid");
}

const char *state_sandbox_dir(const struct rf_state *s)
{
    const char *dir = json_string_value(json_object_get(s->json, "sandboxDir"));
    return dir ? dir : s->dir;
}

bool state_is_root(const struct rf_state *s)
{
    return !strcmp(state_sandbox_dir(s), s->dir);
}

/* ---- what is true now ---- */

bool rf_process_alive(pid_t pid, uint64_t start_time)
{
    char path[64], *text, *p;
    if (pid <= 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    text = rf_read_file(path, 1 << 16, NULL);
    p = text ? strrchr(text, ')') : NULL;
    bool alive = p && p[1] && p[2] != 'Z' && p[2] != 'X';
    free(text);
    return alive && (!start_time || sandbox_start_time(pid) == start_time);
}

static enum rf_status status_of(enum sb_state state)
{
    static const enum rf_status map[] = {[SB_CREATED] = RF_CREATED,
                                         [SB_RUNNING] = RF_RUNNING,
                                         [SB_PAUSED] = RF_PAUSED,
                                         [SB_STOPPED] = RF_STOPPED};
    return map[state];
}

static enum rf_status saved_status(const struct rf_state *s)
{
    const char *text = json_string_value(json_object_get(s->json, "status"));
    for (int i = RF_CREATING; text && i <= RF_STOPPED; i++)
        if (!strcmp(text, g_status_names[i]))
            return i;
    return RF_STOPPED;
}

void state_refresh(struct rf_state *s)
{
    uint64_t start;
    pid_t sentry = state_sentry(s, &start);
    s->status = saved_status(s);
    if (s->status == RF_STOPPED || (s->status == RF_CREATING && !sentry))
        return;
    struct sandbox sb;
    struct rf_error e;
    struct launch_error le = {0};
    struct sb_info info;
    if (!rf_process_alive(sentry, start)) {
        s->status = RF_STOPPED;
        return;
    }
    if (s->status == RF_CREATING || state_connect(s, &sb, &e) < 0)
        return; /* alive, but does not answer: what was saved is the best we know */
    sb.timeout_ms = 2000;
    if (container_info(&sb, s->id, &info, &le) == 0)
        s->status = status_of(info.state);
    else if (le.status == 0)
        s->status = RF_STOPPED;
    sandbox_close(&sb);
}

int state_connect(const struct rf_state *s, struct sandbox *sb, struct rf_error *e)
{
    struct launch_error le = {0};
    if (sandbox_connect(state_sandbox_dir(s), sb, &le) == 0)
        return 0;
    return rf_fail(e, "%s", le.status ? le.text : "container not running");
}

json_t *state_document(const struct rf_state *s, enum rf_status status)
{
    static const char *const copied[] = {"bundle", "rootfs", "created"};
    json_t *doc = json_object();
    json_object_set_new(doc, "ociVersion", json_string("1.0.2-dev"));
    json_object_set_new(doc, "id", json_string(s->id));
    json_object_set_new(doc, "pid", json_integer(status == RF_STOPPED ? 0 : state_pid(s)));
    json_object_set_new(doc, "status", json_string(g_status_names[status]));
    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
        json_object_set(doc, copied[i], json_object_get(s->json, copied[i]));
    json_t *annotations = json_object_get(s->json, "annotations");
    if (json_object_size(annotations))
        json_object_set(doc, "annotations", annotations);
    json_object_set_new(doc, "owner", json_string(""));
    return doc;
}

/* ---- all of them ---- */

char **state_ids(void)
{
    size_t n = 0;
    char **out = calloc(1, sizeof(*out));
    DIR *d = opendir(g_rf.root);
    struct dirent *entry;
    while (out && d && (entry = readdir(d))) {
        struct rf_error e;
        char path[PATH_MAX];
        if (state_check_id(entry->d_name, &e) < 0 ||
            rf_format(path, sizeof(path), "%s/%s/state.json", g_rf.root, entry->d_name) ||
            access(path, F_OK) < 0)
            continue;
        char **bigger = realloc(out, (n + 2) * sizeof(*out));
        if (!bigger)
            break;
        out = bigger;
        out[n++] = strdup(entry->d_name);
        out[n] = NULL;
    }
    if (d)
        closedir(d);
    return out;
}
