/* Whole files: read with a limit, written in one piece. */
#include "runrf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int rf_format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static ssize_t read_fully(int fd, char *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(fd, out + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += n;
    }
    return done;
}

/* Grows by doubling up to max; files of /proc and pipes have no size to ask for. */
static char *read_fd(int fd, size_t max, size_t *size)
{
    size_t room = 4096, have = 0;
    char *text = malloc(room + 1);
    while (text) {
        ssize_t n = read_fully(fd, text + have, room - have);
        if (n < 0)
            break;
        have += n;
        if (have < room) {
            text[have] = 0;
            *size = have;
            return text;
        }
        errno = EFBIG;
        if (room >= max)
            break;
        room *= 2;
        char *bigger = realloc(text, room + 1);
        if (!bigger)
            break;
        text = bigger;
    }
    free(text);
    return NULL;
}

char *rf_read_file(const char *path, size_t max, size_t *size)
{
    size_t dummy;
    int fd = !strcmp(path, "-") ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *text = read_fd(fd, max, size ? size : &dummy);
    int err = errno;
    close(fd);
    errno = err;
    return text;
}

static int write_fully(int fd, const char *text, size_t size)
{
    while (size) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        size -= n;
    }
    return 0;
}

int rf_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = write_fully(fd, text, strlen(text));
    close(fd);
    return err;
}

int rf_write_file_atomic(const char *path, const char *text, size_t size)
{
    char tmp[PATH_MAX];
    int err = rf_format(tmp, sizeof(tmp), "%s.%d.tmp", path, (int)getpid());
    if (err)
        return err;
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    err = write_fully(fd, text, size);
    close(fd);
    if (!err && rename(tmp, path) < 0)
        err = -errno;
    if (err)
        unlink(tmp);
    return err;
}

int rf_mkdir_p(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    int err = rf_format(part, sizeof(part), "%s", path);
    if (err)
        return err;
    for (char *p = part + 1;; p++) {
        char was = *p;
        if (was && was != '/')
            continue;
        *p = 0;
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return -errno;
        *p = was;
        if (!was)
            return 0;
    }
}
