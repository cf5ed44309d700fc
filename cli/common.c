/* What several commands parse and take over from this process. */
#include "cli/cli.h"
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

int cli_env_set(struct cli_env *env, char *assignment)
{
    char *eq = strchr(assignment, '=');
    if (!eq || eq == assignment)
        return cli_error(RF_EXIT_ERROR, "--env %s: write it as NAME=VALUE", assignment);
    size_t name = eq - assignment + 1;
    for (unsigned i = 0; i < env->count; i++)
        if (!strncmp(env->list[i], assignment, name)) {
            env->list[i] = assignment;
            return 0;
        }
    char **bigger = realloc(env->list, (env->count + 2) * sizeof(*bigger));
    if (!bigger)
        return cli_error(RF_EXIT_ERROR, "out of memory");
    env->list = bigger;
    env->list[env->count++] = assignment;
    env->list[env->count] = NULL;
    return 0;
}

int cli_env_inherit(struct cli_env *env)
{
    for (char **e = environ; *e; e++)
        env->count++;
    env->list = calloc(env->count + 1, sizeof(*env->list));
    if (!env->list)
        return cli_error(RF_EXIT_ERROR, "out of memory");
    memcpy(env->list, environ, env->count * sizeof(*env->list));
    return 0;
}

int cli_number(const char *flag, const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || *out > max)
        return cli_error(RF_EXIT_ERROR, "--%s=%s: not a number up to %llu", flag, text,
                         (unsigned long long)max);
    return 0;
}

int cli_process_defaults(struct sb_process *p, gid_t **groups)
{
    p->uid = geteuid();
    p->gid = getegid();
    p->find_terminal = true;
    p->ignored = launch_ignored_signals();
    p->umask = umask(0);
    umask(p->umask);
    for (int fd = 0; fd <= 2; fd++)
        p->stdio[fd] = launch_stdio(fd);
    int n = getgroups(0, NULL);
    *groups = calloc(n > 0 ? n : 1, sizeof(gid_t));
    if (!*groups)
        return cli_error(RF_EXIT_ERROR, "out of memory");
    n = getgroups(n, *groups);
    p->groups = *groups;
    p->group_count = n > 0 ? n : 0;
    return 0;
}

void cli_process_caps(struct sb_process *p)
{
    uint64_t caps = p->uid == 0 ? (UINT64_C(1) << 41) - 1 : 0;
    p->caps[SB_CAP_BOUNDING] = p->caps[SB_CAP_EFFECTIVE] = p->caps[SB_CAP_PERMITTED] = caps;
}
