/* add_key, request_key, keyctl: strings and payloads in, descriptions and payloads out. */
#include "syscalls/syscalls.h"

#include "base/overflow.h"
#include <errno.h>
#include <linux/keyctl.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_SIZE   32 /* with the NUL */
#define DESC_SIZE   4096
#define PAYLOAD_MAX (1024 * 1024 - 1)

static int import_type(struct task *t, uint64_t ua, char out[TYPE_SIZE])
{
    ssize_t n = uaccess_read_str(t->mm, out, uaddr(ua), TYPE_SIZE);
    if (n == -ENAMETOOLONG || n == 0)
        return -EINVAL;
    if (n < 0)
        return n;
    return out[0] == '.' ? -EPERM : 0;
}

/* malloc'd; a null address is an empty description where that is allowed. */
static int import_desc(struct task *t, uint64_t ua, bool optional, char **out)
{
    char *s = calloc(1, DESC_SIZE);
    if (!s)
        return -ENOMEM;
    ssize_t n = !ua && optional ? 0 : uaccess_read_str(t->mm, s, uaddr(ua), DESC_SIZE);
    if (n < 0) {
        free(s);
        return n == -ENAMETOOLONG ? -EINVAL : n;
    }
    *out = s;
    return 0;
}

static int import_payload(struct task *t, uint64_t ua, uint64_t size, char **out)
{
    *out = NULL;
    if (!ua || !size)
        return 0;
    *out = malloc(size);
    if (!*out)
        return -ENOMEM;
    return uaccess_read(t->mm, *out, uaddr(ua), size);
}

int64_t sys_add_key(struct task *t, const struct sysargs *a)
{
    char type[TYPE_SIZE], *desc = NULL, *payload = NULL;
    uint64_t size = a->v[2] ? a->v[3] : 0;
    if (a->v[3] > PAYLOAD_MAX)
        return -EINVAL;
    int64_t r = import_type(t, a->v[0], type);
    if (!r)
        r = import_desc(t, a->v[1], /*optional=*/true, &desc);
    if (!r && desc[0] == '.' && !strncmp(type, "keyring", 7))
        r = -EPERM;
    if (!r && a->v[3] && !a->v[2])
        r = -EFAULT;
    if (!r)
        r = import_payload(t, a->v[2], size, &payload);
    if (!r)
        r = key_add(t, type, desc, payload, size, (int)a->v[4]);
    if (payload)
        explicit_bzero(payload, size);
    free(payload);
    free(desc);
    return r;
}

int64_t sys_request_key(struct task *t, const struct sysargs *a)
{
    char type[TYPE_SIZE], *desc = NULL, *callout = NULL;
    int64_t r = import_type(t, a->v[0], type);
    if (!r)
        r = import_desc(t, a->v[1], /*optional=*/false, &desc);
    if (!r && a->v[2])
        r = import_desc(t, a->v[2], /*optional=*/false, &callout);
    if (!r)
        r = key_request(t, type, desc, (int)a->v[3]);
    free(callout);
    free(desc);
    return r;
}

static int64_t ctl_update(struct task *t, const uint64_t *v)
{
    char *payload = NULL;
    if (v[2] > PAYLOAD_MAX)
        return -EINVAL;
    int64_t r = v[2] && !v[1] ? -EFAULT : import_payload(t, v[1], v[2], &payload);
    if (!r)
        r = key_update(t, (int)v[0], payload, v[2]);
    free(payload);
    return r;
}

static int64_t ctl_join(struct task *t, const uint64_t *v)
{
    char *name = NULL;
    int64_t r = v[0] ? import_desc(t, v[0], /*optional=*/false, &name) : 0;
    if (!r)
        r = key_join_session(t, name);
    free(name);
    return r;
}

static int64_t ctl_search(struct task *t, const uint64_t *v)
{
    char type[TYPE_SIZE], *desc = NULL;
    int64_t r = import_type(t, v[1], type);
    if (!r)
        r = import_desc(t, v[2], /*optional=*/false, &desc);
    if (!r)
        r = key_search(t, (int)v[0], type, desc, (int)v[3]);
    free(desc);
    return r;
}

/* The whole answer's size is told; it is copied only if all of it fits. */
static int64_t give(struct task *t, int64_t size, char *data, const uint64_t *v)
{
    if (size > 0 && v[1] && v[2] >= (uint64_t)size && uaccess_write(t->mm, uaddr(v[1]), data, size))
        size = -EFAULT;
    free(data);
    return size;
}

static int64_t ctl_describe(struct task *t, const uint64_t *v)
{
    char *text = NULL;
    int64_t size = key_describe(t, (int)v[0], &text);
    return give(t, size, text, v);
}

static int64_t ctl_read(struct task *t, const uint64_t *v)
{
    char *data = NULL;
    int64_t size = key_read(t, (int)v[0], &data);
    return give(t, size, data, v);
}

static int64_t ctl_security(struct task *t, const uint64_t *v)
{
    int64_t r = key_control(t, KEYCTL_GET_SECURITY, v);
    char empty = 0;
    if (!r && v[1] && v[2] && uaccess_write_obj(t->mm, uaddr(v[1]), &empty))
        return -EFAULT;
    return r ? r : 1; /* no security module: an empty label */
}

static int64_t ctl_capabilities(struct task *t, const uint64_t *v)
{
    uint8_t caps[2] = {KEYCTL_CAPS0_CAPABILITIES | KEYCTL_CAPS0_BIG_KEY | KEYCTL_CAPS0_INVALIDATE |
                           KEYCTL_CAPS0_RESTRICT_KEYRING | KEYCTL_CAPS0_MOVE,
                       0};
    size_t n = MIN(v[1], (uint64_t)sizeof(caps));
    if (uaccess_write(t->mm, uaddr(v[0]), caps, n) ||
        (v[1] > n && uaccess_zero(t->mm, uaddr(v[0] + n), v[1] - n)))
        return -EFAULT;
    return sizeof(caps);
}

int64_t sys_keyctl(struct task *t, const struct sysargs *a)
{
    const uint64_t *v = a->v + 1;
    switch ((int)a->v[0]) {
    case KEYCTL_UPDATE:
        return ctl_update(t, v);
    case KEYCTL_JOIN_SESSION_KEYRING:
        return ctl_join(t, v);
    case KEYCTL_DESCRIBE:
        return ctl_describe(t, v);
    case KEYCTL_SEARCH:
        return ctl_search(t, v);
    case KEYCTL_READ:
        return ctl_read(t, v);
    case KEYCTL_GET_SECURITY:
        return ctl_security(t, v);
    case KEYCTL_SESSION_TO_PARENT:
        return key_session_to_parent(t);
    case KEYCTL_CAPABILITIES:
        return ctl_capabilities(t, v);
    }
    return key_control(t, (int)a->v[0], v);
}
