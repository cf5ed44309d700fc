/* The sentry's gofer client against a gofer that was taken over: the input is the bodies of its
 * replies, in turn, with status and flags. The client may fail as it likes, but must return. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/gofer_client.h"
#include "gofercodec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint16_t g_types[] = {GOFERP_WALK,     GOFERP_READDIR,  GOFERP_READLINK,
                                   GOFERP_GETXATTR, GOFERP_GETATTR,  GOFERP_ATTACH,
                                   GOFERP_CREATE,   GOFERP_LISTXATTR};

static void reply(int fd, uint16_t type, uint32_t tag, int status, const void *body, size_t size)
{
    uint8_t msg[1024];
    struct goferp_rep rep = {
        .size = (uint32_t)(sizeof(rep) + size), .type = type, .tag = tag, .status = status};

    memcpy(msg, &rep, sizeof(rep));
    memcpy(msg + sizeof(rep), body, size);
    send(fd, msg, sizeof(rep) + size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void use_walk(struct gofer *g)
{
    struct goferp_node nodes[8];
    char target[GOFERP_PATH_MAX + 1];
    struct gofer_walk w = {
        .fid = 1, .path = "a/b/c", .path_size = 5, .nodes = nodes, .node_max = 8, .target = target};

    if (gofer_walk(g, &w) == 0 && (w.walked > 3 || strlen(target) > w.target_size))
        abort();
}

static void use_readdir(struct gofer *g)
{
    struct gofer_dirent e;
    char buf[600];
    size_t at = 0;
    int size = gofer_readdir(g, 1, 0, GOFERP_READDIR_PLUS, buf, sizeof(buf), NULL);

    while (size > 0 && gofer_dirent_next(buf, (size_t)size, GOFERP_READDIR_PLUS, &at, &e))
        if (strchr(e.name, '/'))
            abort();
}

static void use_rest(struct gofer *g)
{
    const struct gofer_owner own = {0644, 0, 0};
    char target[GOFERP_PATH_MAX + 1], value[32];
    struct goferp_attach_rep attach;
    struct goferp_create_rep create;
    struct goferp_attr attr;
    int fd;

    gofer_readlink(g, 1, target);
    if (gofer_getxattr(g, 1, "user.a", value, sizeof(value)) > (int)sizeof(value))
        abort();
    gofer_getattr(g, 1, &attr);
    gofer_attach(g, 0, &attach);
    if (gofer_create(g, 1, "n", O_RDWR, &own, &fd, &create) == 0 && fd >= 0)
        close(fd);
    if (gofer_listxattr(g, 1, value, sizeof(value)) > (int)sizeof(value))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct goferp_version_rep version = {.version = GOFERP_PROTOCOL, .channel_max = 1};
    struct gofer *g;
    uint32_t tag = 1;
    size_t i;
    int sv[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) < 0)
        abort();
    reply(sv[1], GOFERP_VERSION, tag++, 0, &version, sizeof(version));
    for (i = 0; i < sizeof(g_types) / sizeof(g_types[0]) && size >= 3; i++) {
        size_t body = (data[0] | (size_t)data[1] << 8) % 900;

        body = body < size - 3 ? body : size - 3;
        reply(sv[1], g_types[i], tag++, data[2] < 128 ? 0 : -(int)(data[2] - 127), data + 3, body);
        data += 3 + body;
        size -= 3 + body;
    }
    shutdown(sv[1], SHUT_WR); /* what is not answered fails, rather than waits */
    if (gofer_connect(sv[0], &g) == 0) {
        use_walk(g);
        use_readdir(g);
        use_rest(g);
        gofer_put(g);
    }
    close(sv[1]);
    return 0;
}
