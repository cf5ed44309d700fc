/* The gofer's codec, table and handlers, in this process, on a scratch directory.
 *
 * An input is a sequence of messages: type, size, body. The header is made right (wrong ones are
 * soon through), and small fids are exchanged for real ones, so that handlers are reached. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gofer/gofer_priv.h"

#define FID_COUNT 16

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gofer_server g_s;
static uint64_t g_fids[FID_COUNT];
static unsigned g_fid_next;
static char g_top[] = "/tmp/rf-fuzz-gofer-XXXXXX";
static char g_root[64], g_outside[64];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    if (ftw->level > 0)
        remove(path);
    return 0;
}

static void fill_root(void)
{
    int fd = open(g_root, O_PATH | O_DIRECTORY);

    nftw(g_root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (mkdirat(fd, "d", 0755) < 0 || symlinkat("../../outside", fd, "l") < 0 ||
        mkfifoat(fd, "p", 0644) < 0)
        abort();
    close(openat(fd, "f", O_CREAT | O_WRONLY, 0644));
    close(openat(fd, "d/g", O_CREAT | O_WRONLY, 0644));
    close(fd);
}

static void clean_up(void)
{
    nftw(g_top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    rmdir(g_top);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct rlimit small = {1 << 20, 1 << 20};

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    umask(0);
    if (!mkdtemp(g_top))
        abort();
    snprintf(g_root, sizeof(g_root), "%s/root", g_top);
    snprintf(g_outside, sizeof(g_outside), "%s/outside", g_top);
    if (mkdir(g_root, 0755) < 0 || mkdir(g_outside, 0755) < 0)
        abort();
    atexit(clean_up);
    g_s.procfd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    g_s.exports[0].fd = open(g_root, O_PATH | O_DIRECTORY);
    g_s.exports[1] = (struct gofer_export){open(g_root, O_PATH | O_DIRECTORY), GOFERP_EXPORT_RO};
    g_s.export_count = 2;
    g_s.policy.unix_sockets = true;
    return fchdir(g_s.procfd);
}

static void real_fid(uint8_t *at)
{
    memcpy(at, &g_fids[at[0] % FID_COUNT], sizeof(uint64_t));
}

static void patch_fids(uint16_t type, uint8_t *body, size_t size)
{
    if (type == GOFERP_ATTACH || type == GOFERP_VERSION || type == GOFERP_CLUNK)
        body += 8, size = size > 8 ? size - 8 : 0;
    if (size >= 8 && body[0] < 0xf0 && type != GOFERP_ATTACH && type != GOFERP_VERSION)
        real_fid(body);
    if (size >= 16 && (type == GOFERP_LINK || type == GOFERP_RENAME))
        real_fid(body + 8);
}

/* Replies that carry a fid carry it first, or, WALK's, in its last entry. */
static void keep_fid(uint16_t type, const uint8_t *out, size_t size)
{
    size_t at = sizeof(struct goferp_rep);

    if (type == GOFERP_WALK)
        at += sizeof(struct goferp_walk_rep);
    if ((type == GOFERP_WALK || type == GOFERP_ATTACH || (type >= GOFERP_OPEN && type <= 14)) &&
        size >= at + 8)
        memcpy(&g_fids[g_fid_next++ % FID_COUNT], out + at, 8);
}

static size_t send_one(uint16_t type, const uint8_t *body, size_t size)
{
    static uint8_t msg[GOFERP_MSG_MAX], out[GOFERP_MSG_MAX];
    struct goferp_req req = {.size = (uint32_t)(sizeof(req) + size), .type = type};
    struct gofer_call call;
    struct goferp_rep rep;
    size_t got;

    memcpy(msg, &req, sizeof(req));
    if (size)
        memcpy(msg + sizeof(req), body, size);
    patch_fids(type, msg + sizeof(req), size);
    got = gofer_server_dispatch(&g_s, msg, sizeof(req) + size, out, &call);
    memcpy(&rep, out, sizeof(rep));
    if (got > sizeof(out) || rep.size != got || rep.status > 0 || (rep.status && call.fd >= 0))
        abort();
    if (call.channel_fd >= 0) {
        close(call.channel_fd);
        g_s.channel_count--;
    }
    if (call.fd >= 0)
        close(call.fd);
    if (rep.status == 0)
        keep_fid(type, out, got);
    return got;
}

static void check_outside(void)
{
    DIR *d = opendir(g_outside);
    int count = 0;

    while (d && readdir(d))
        count++;
    if (count != 2)
        abort();
    closedir(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct goferp_version_req version = {GOFERP_MAGIC, 1, 1, 0};
    const struct goferp_attach_req attach[2] = {{0, 0}, {1, 0}};
    static unsigned round;

    if (round++ % 128 == 0)
        fill_root();
    if (gofer_server_init(&g_s, 64) < 0)
        abort();
    g_fid_next = 0;
    send_one(GOFERP_VERSION, (const uint8_t *)&version, sizeof(version));
    send_one(GOFERP_ATTACH, (const uint8_t *)&attach[0], sizeof(attach[0]));
    send_one(GOFERP_ATTACH, (const uint8_t *)&attach[1], sizeof(attach[1]));
    while (size >= 2) {
        uint16_t type = data[0] % (GOFERP_TYPE_END + 1);
        size_t body = data[1] < size - 2 ? data[1] : size - 2;

        if (type != GOFERP_FLUSH && type != GOFERP_FSYNC) /* the disk is not under test */
            send_one(type, data + 2, body);
        data += 2 + body;
        size -= 2 + body;
    }
    gofer_server_destroy(&g_s);
    if (round % 64 == 0)
        check_outside();
    return 0;
}
