/* Which platform? A named one must work here; "auto" takes the faster of those that do.
 *
 * Measuring costs more than a millisecond, so the answer is remembered per host boot in a small
 * file in the runtime directory: "boot-id name ns name ns". A file that does not parse is measured
 * anew. */
#include "control.h"
#include "launch/launch_priv.h"
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHOICE_FORMAT 1

static void runtime_dir(char *out, size_t size)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        snprintf(out, size, "/run/ringfence");
    else if (xdg && xdg[0] == '/')
        snprintf(out, size, "%s/ringfence", xdg);
    else
        snprintf(out, size, "/tmp/ringfence-%u", (unsigned)geteuid());
}

static bool read_line(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
    return true;
}

/* What the cached answer depends on: this boot, this format. */
static bool choice_key(char *out, size_t size)
{
    char boot[64];
    if (!read_line("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)))
        return false;
    snprintf(out, size, "%d %s ", CHOICE_FORMAT, boot);
    return true;
}

static const struct pl_ops *ops_by_name(const char *name)
{
    for (const struct pl_ops *const *p = g_platforms; *p; p++)
        if (!strcmp((*p)->name, name))
            return *p;
    return NULL;
}

/* Only a file that we own in a directory that we own is believed. */
static const struct pl_ops *choice_recall(const char *dir)
{
    char path[256], key[128], line[256];
    struct stat st;
    if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return NULL;
    snprintf(path, sizeof(path), "%s/platform", dir);
    if (!choice_key(key, sizeof(key)) || !read_line(path, line, sizeof(line)) ||
        strncmp(line, key, strlen(key)))
        return NULL;
    return ops_by_name(line + strlen(key));
}

static void choice_remember(const char *dir, const char *name)
{
    char path[256], tmp[280], key[128];
    if (!choice_key(key, sizeof(key)) || (mkdir(dir, 0700) < 0 && errno != EEXIST))
        return;
    snprintf(path, sizeof(path), "%s/platform", dir);
    snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid());
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    bool ok = dprintf(fd, "%s%s\n", key, name) > 0;
    close(fd);
    if (!ok || rename(tmp, path) < 0)
        unlink(tmp);
}

static const struct pl_ops *choose_measured(int kvm_fd, int log_fd, struct launch_error *e)
{
    const struct pl_ops *best = NULL;
    uint64_t best_ns = UINT64_MAX;
    char why[400] = "";
    for (const struct pl_ops *const *p = g_platforms; *p; p++) {
        struct pl_probe probe = {0};
        int err = (*p)->probe(kvm_fd, /*measure=*/true, &probe);
        if (log_fd >= 0)
            dprintf(log_fd, "platform %s: %s%s, trap round trip %" PRIu64 " ns\n", (*p)->name,
                    err ? "no: " : "", probe.reason, probe.trap_ns);
        if (err && strcmp((*p)->name, "skeleton"))
            snprintf(why + strlen(why), sizeof(why) - strlen(why), "; %s: %.150s", (*p)->name,
                     probe.reason);
        if (err || probe.trap_ns >= best_ns)
            continue;
        best = *p;
        best_ns = probe.trap_ns;
    }
    if (!best)
        (void)launch_fail(e, RF_EXIT_ERROR, "no platform works on this machine%s", why);
    return best;
}

static int choose_auto(int kvm_fd, int log_fd, const char **name, struct launch_error *e)
{
    char dir[200];
    runtime_dir(dir, sizeof(dir));
    const struct pl_ops *ops = log_fd < 0 ? choice_recall(dir) : NULL;
    struct pl_probe probe = {0};
    if (ops && ops->probe(kvm_fd, /*measure=*/false, &probe) == 0) {
        *name = ops->name;
        return 0;
    }
    ops = choose_measured(kvm_fd, log_fd, e);
    if (!ops)
        return -1;
    choice_remember(dir, ops->name);
    if (log_fd >= 0)
        dprintf(log_fd, "platform: chose %s\n", ops->name);
    *name = ops->name;
    return 0;
}

int launch_platform_choose(const char *wanted, int kvm_fd, int log_fd, const char **name,
                           struct launch_error *e)
{
    if (!strcmp(wanted, "auto"))
        return choose_auto(kvm_fd, log_fd, name, e);
    const struct pl_ops *ops = ops_by_name(wanted);
    if (!ops) {
        launch_fail(e, RF_EXIT_ERROR,
                    "--platform=%s: there is no such platform; use auto, systrap or kvm", wanted);
        return -1;
    }
    struct pl_probe probe = {0};
    int err = ops->probe(kvm_fd, /*measure=*/false, &probe);
    if (err) {
        launch_fail(e, RF_EXIT_ERROR, "platform %s does not work here: %s", wanted, probe.reason);
        return -1;
    }
    *name = ops->name;
    return 0;
}
