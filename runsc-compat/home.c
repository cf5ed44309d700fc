/* HOME for a process whose environment has none: from the root's own /etc/passwd, as runc does. The
 * root is the guest's, so nothing in it may lead out of it, and a file that is no file is not read.
 */
#include "convert.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PASSWD_MAX (1 << 20)

static FILE *open_passwd(const char *rootfs)
{
    struct stat st;
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int dir = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : syscall(SYS_openat2, dir, "etc/passwd", &how, sizeof(how));
    if (dir >= 0)
        close(dir);
    if (fd < 0)
        return NULL;
    FILE *f = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= PASSWD_MAX
                  ? fdopen(fd, "r")
                  : NULL;
    if (!f)
        close(fd);
    return f;
}

/* "name:x:uid:gid:gecos:home:shell" of that uid → home. */
static bool line_home(char *line, uint32_t uid, char *out, size_t size)
{
    char *field[7] = {NULL}, *end;
    for (int i = 0; i < 7 && line; i++)
        field[i] = strsep(&line, ":");
    if (!field[5] || strtoul(field[2], &end, 10) != uid || *end || end == field[2])
        return false;
    field[5][strcspn(field[5], "\n")] = 0;
    snprintf(out, size, "%s", field[5]);
    return *out != 0;
}

static void find_home(const char *rootfs, uint32_t uid, char *out, size_t size)
{
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *f = open_passwd(rootfs);
    while (f && !found && getline(&line, &room, f) > 0)
        found = line_home(line, uid, out, size);
    if (!found)
        snprintf(out, size, "/");
    free(line);
    if (f)
        fclose(f);
}

int convert_home(const char *rootfs, struct rf_arena *a, struct sb_process *p, struct rf_error *e)
{
    char home[4096];
    size_t n = 0;
    for (; p->envp[n]; n++)
        if (!strncmp(p->envp[n], "HOME=", 5) && p->envp[n][5])
            return 0;
    char **bigger = arena_alloc(a, n + 2, sizeof(*bigger));
    if (!bigger)
        return rf_no_memory(e);
    find_home(rootfs, p->uid, home, sizeof(home));
    memcpy(bigger, p->envp, n * sizeof(*bigger));
    bigger[n] = arena_format(a, "HOME=%s", home);
    if (!bigger[n])
        return rf_no_memory(e);
    p->envp = bigger;
    return 0;
}
