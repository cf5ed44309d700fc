/* Until launch/ has these functions: each says so. */
#include "launch/sandbox.h"
#define P(name, ...)                                                                               \
    __attribute__((weak)) int name(__VA_ARGS__)                                                    \
    {                                                                                              \
        launch_fail(e, 125, "sandboxes are not built yet");                                        \
        return -1;                                                                                 \
    }
P(sandbox_start, const struct sandbox_spec *spec, struct sandbox *s, struct launch_error *e)
P(sandbox_connect, const char *dir, struct sandbox *s, struct launch_error *e)
__attribute__((weak)) void sandbox_close(struct sandbox *s) {}
P(sandbox_kill, pid_t p, uint64_t st, struct launch_error *e)
__attribute__((weak)) uint64_t sandbox_start_time(pid_t pid)
{
    return 0;
}
P(container_create, struct sandbox *s, const struct sb_container *c, unsigned flags,
  struct launch_error *e)
P(container_start, struct sandbox *s, const char *id, struct launch_error *e)
P(container_exec, struct sandbox *s, const char *id, const struct sb_process *p, unsigned flags,
  int *pid, struct launch_error *e)
P(container_signal, struct sandbox *s, const char *id, int pid, int sig, struct launch_error *e)
P(container_pause, struct sandbox *s, const char *id, struct launch_error *e)
P(container_resume, struct sandbox *s, const char *id, struct launch_error *e)
P(container_update, struct sandbox *s, const char *id, const struct sb_limits *l,
  struct launch_error *e)
P(container_info, struct sandbox *s, const char *id, struct sb_info *out, struct launch_error *e)
P(container_ps, struct sandbox *s, const char *id, struct sb_ps **out, unsigned *count,
  struct launch_error *e)
P(container_stats, struct sandbox *s, const char *id, struct sb_stats *out, struct launch_error *e)
P(container_wait, struct sandbox *s, const char *id, int pid, int *wait_status,
  struct launch_error *e)
P(container_destroy, struct sandbox *s, const char *id, struct launch_error *e)
P(sandbox_attend, struct sandbox *s, struct launch_error *e)
P(sandbox_waiter, struct sandbox *s, const char *id, int guest_pid, int tty_fd, pid_t *pid,
  struct launch_error *e)
