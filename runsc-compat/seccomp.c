/* linux.seccomp → a classic BPF program, made by libseccomp and enforced by the sentry inside.
 *
 * A profile names the calls that its author knew. As runc does, calls that are newer than all of
 * these answer ENOSYS, so that programs fall back to older ones: a few instructions in front. */
#include "convert.h"
#include "spec.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int action_by_name(const char *name, uint32_t errno_ret, uint32_t *out)
{
    static const struct {
        const char *name;
        uint32_t action;
    } actions[] = {
        {"SCMP_ACT_KILL", SCMP_ACT_KILL},
        {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
        {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
        {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
        {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
        {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    };
    if (!strcmp(name, "SCMP_ACT_ERRNO"))
        return *out = SCMP_ACT_ERRNO(errno_ret & 0xffff), 0;
    if (!strcmp(name, "SCMP_ACT_TRACE"))
        return *out = SCMP_ACT_TRACE(errno_ret & 0xffff), 0;
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (!strcmp(actions[i].name, name))
            return *out = actions[i].action, 0;
    return -1; /* SCMP_ACT_NOTIFY */
}

static enum scmp_compare compare_by_name(const char *name)
{
    static const char *const names[] = {[SCMP_CMP_NE] = "SCMP_CMP_NE",
                                        [SCMP_CMP_LT] = "SCMP_CMP_LT",
                                        [SCMP_CMP_LE] = "SCMP_CMP_LE",
                                        [SCMP_CMP_EQ] = "SCMP_CMP_EQ",
                                        [SCMP_CMP_GE] = "SCMP_CMP_GE",
                                        [SCMP_CMP_GT] = "SCMP_CMP_GT",
                                        [SCMP_CMP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ"};
    for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(names[i], name))
            return i;
    return SCMP_CMP_EQ;
}

struct compiler {
    scmp_filter_ctx ctx;
    uint32_t default_action;
    int newest; /* the highest call number that the profile names; -1: none */
    struct rf_error *e;
};

#define MAX_ARGS 6

/* Conditions on the same argument cannot stand in one rule of libseccomp: as runc, each then
 * becomes a rule of its own. */
static int add_rule(struct compiler *c, uint32_t action, int nr, const struct scmp_arg_cmp *args,
                    unsigned count)
{
    unsigned seen = 0;
    bool twice = false;
    for (unsigned i = 0; i < count; i++) {
        twice |= seen & (1u << args[i].arg);
        seen |= 1u << args[i].arg;
    }
    if (!twice)
        return seccomp_rule_add_array(c->ctx, action, nr, count, args);
    int err = 0;
    for (unsigned i = 0; i < count && !err; i++)
        err = seccomp_rule_add_array(c->ctx, action, nr, 1, &args[i]);
    return err;
}

static int read_args(struct compiler *c, const json_t *call, struct scmp_arg_cmp *args,
                     unsigned *count)
{
    size_t i;
    json_t *item;
    *count = 0;
    json_array_foreach(spec_get(call, "args"), i, item)
    {
        uint64_t index = spec_uint(item, "index", 0);
        if (index >= MAX_ARGS || *count == 2 * MAX_ARGS)
            return rf_fail(c->e, "linux.seccomp: a condition on argument %llu",
                           (unsigned long long)index);
        args[(*count)++] = (struct scmp_arg_cmp){.arg = index,
                                                 .op = compare_by_name(spec_string(item, "op", "")),
                                                 .datum_a = spec_uint(item, "value", 0),
                                                 .datum_b = spec_uint(item, "valueTwo", 0)};
    }
    /* libseccomp: datum_a is the mask and datum_b the value, as are value and valueTwo here. */
    return 0;
}

static int add_call(struct compiler *c, const json_t *call)
{
    struct scmp_arg_cmp args[2 * MAX_ARGS];
    unsigned count;
    uint32_t action;
    size_t i;
    json_t *item;
    const char *name = spec_string(call, "action", "");
    if (action_by_name(name, spec_uint(call, "errnoRet", EPERM), &action) < 0)
        return rf_fail(c->e, "linux.seccomp: %s is not supported: there is no listener", name);
    if (read_args(c, call, args, &count) < 0)
        return -1;
    json_array_foreach(spec_get(call, "names"), i, item)
    {
        int nr = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, json_string_value(item));
        if (nr < 0)
            continue; /* of another architecture, or newer than libseccomp */
        c->newest = nr > c->newest && nr < 1000 ? nr : c->newest;
        int err = action == c->default_action ? 0 : add_rule(c, action, nr, args, count);
        if (err && err != -EEXIST)
            return rf_fail(c->e, "linux.seccomp: the rule for %s: %s", json_string_value(item),
                           strerror(-err));
    }
    return 0;
}

static bool answers_enosys(const struct compiler *c)
{
    uint32_t kind = c->default_action & 0xffff0000;
    return c->newest >= 0 && kind != SCMP_ACT_ALLOW && kind != SCMP_ACT_LOG;
}

static unsigned put_prefix(const struct compiler *c, struct sock_filter *f)
{
    const struct sock_filter prefix[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 2, 0), /* x32: left to the filter */
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (unsigned)c->newest, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    memcpy(f, prefix, sizeof(prefix));
    return sizeof(prefix) / sizeof(prefix[0]);
}
#define PREFIX_SIZE 6

static int export_program(struct compiler *c, struct rf_arena *a, struct sb_seccomp *out)
{
    struct stat st;
    int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0 || seccomp_export_bpf(c->ctx, fd) < 0 || fstat(fd, &st) < 0) {
        if (fd >= 0)
            close(fd);
        return rf_fail(c->e, "linux.seccomp: the filter cannot be made: %s", strerror(errno));
    }
    size_t n = st.st_size / sizeof(struct sock_filter);
    struct sock_filter *program = arena_alloc(a, n + PREFIX_SIZE, sizeof(*program));
    unsigned at = program && answers_enosys(c) ? put_prefix(c, program) : 0;
    bool ok = program &&
              pread(fd, program + at, n * sizeof(*program), 0) == (ssize_t)(n * sizeof(*program));
    close(fd);
    if (!ok || n + at > BPF_MAXINSNS)
        return rf_fail(c->e, "linux.seccomp: the filter is too long or cannot be read");
    out->program = program;
    out->count = n + at;
    return 0;
}

static int read_flags(const json_t *seccomp, struct sb_seccomp *out, struct rf_error *e)
{
    static const struct {
        const char *name;
        unsigned flag;
    } known[] = {{"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
                 {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
                 {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW}};
    size_t i, k;
    json_t *item;
    json_array_foreach(spec_get(seccomp, "flags"), i, item)
    {
        for (k = 0; k < 3 && strcmp(known[k].name, json_string_value(item)); k++)
            ;
        if (k == 3)
            return rf_fail(e, "seccomp flag not supported: %.64s", json_string_value(item));
        out->flags |= known[k].flag;
    }
    return 0;
}

static int compile(struct compiler *c, const json_t *seccomp)
{
    size_t i;
    json_t *call;
    json_array_foreach(spec_get(seccomp, "syscalls"), i, call)
    {
        if (add_call(c, call) < 0)
            return -1;
    }
    return 0;
}

int convert_seccomp(const json_t *seccomp, struct rf_arena *a, struct sb_seccomp *out,
                    struct rf_error *e)
{
    struct compiler c = {.newest = -1, .e = e};
    *out = (struct sb_seccomp){0};
    if (!seccomp || !json_object_size(seccomp))
        return 0;
    const char *name = spec_string(seccomp, "defaultAction", "");
    if (action_by_name(name, spec_uint(seccomp, "defaultErrnoRet", EPERM), &c.default_action) < 0)
        return rf_fail(e, "linux.seccomp.defaultAction: %s is not supported", name);
    if (read_flags(seccomp, out, e) < 0)
        return -1;
    c.ctx = seccomp_init(c.default_action);
    if (!c.ctx)
        return rf_fail(e, "linux.seccomp: libseccomp cannot start");
    int ret = compile(&c, seccomp);
    if (ret == 0)
        ret = export_program(&c, a, out);
    seccomp_release(c.ctx);
    return ret;
}
