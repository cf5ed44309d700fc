/* supervise SECONDS RESULT CMD ARGS…: run CMD with everything it starts kept below this process.
 *
 * At the end (or when the time is over) every descendant that is left is killed. RESULT gets one
 * line: "exit N" | "signal N" | "timeout", then "leftover NAME…" if something outlived CMD by a
 * second. Only descendants are ever signalled.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROC_MAX = 65536 };

struct proc {
    int pid, parent;
    char state, name[17];
};

static struct proc g_procs[PROC_MAX];
static int g_count;

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void proc_read(int pid)
{
    char path[64], buf[512], *end;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    close(fd);
    buf[n > 0 ? n : 0] = 0;
    struct proc *p = &g_procs[g_count];
    end = strrchr(buf, ')');
    char *start = strchr(buf, '(');
    if (!end || !start || sscanf(end + 1, " %c %d", &p->state, &p->parent) != 2)
        return;
    *end = 0;
    snprintf(p->name, sizeof(p->name), "%.16s", start + 1);
    p->pid = pid;
    g_count++;
}

static void procs_list(void)
{
    DIR *d = opendir("/proc");
    g_count = 0;
    for (struct dirent *e; d && (e = readdir(d)) && g_count < PROC_MAX;)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
            proc_read(atoi(e->d_name));
    if (d)
        closedir(d);
}

static int is_below(int pid, int top)
{
    for (int depth = 0; pid > 1 && depth < 1000; depth++) {
        if (pid == top)
            return 1;
        int parent = 0;
        for (int i = 0; i < g_count; i++)
            if (g_procs[i].pid == pid)
                parent = g_procs[i].parent;
        pid = parent;
    }
    return 0;
}

/* How many descendants live; their names go to f (if given), sig to each (if not 0). */
static int descendants(FILE *f, int sig)
{
    int n = 0, self = getpid();
    procs_list();
    for (int i = 0; i < g_count; i++) {
        struct proc *p = &g_procs[i];
        if (p->pid == self || p->state == 'Z' || !is_below(p->parent, self))
            continue;
        n++;
        if (f)
            fprintf(f, " %s", p->name);
        if (sig)
            kill(p->pid, sig);
    }
    return n;
}

static void clean_up(FILE *f)
{
    double end = now() + 1;
    int left;
    while ((left = descendants(NULL, 0)) && now() < end)
        usleep(10000);
    if (left) {
        fprintf(f, "leftover");
        descendants(f, 0);
        fprintf(f, "\n");
    }
    for (int i = 0; i < 200 && descendants(NULL, SIGKILL); i++)
        usleep(10000);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

static void on_chld(int sig)
{
    (void)sig;
}

static volatile sig_atomic_t g_stop;

static void on_term(int sig)
{
    (void)sig;
    g_stop = 1;
}

/* Whether pid ended before the time was over. Orphans that come to us are reaped on the way. */
static int wait_for(pid_t pid, double deadline, int *status)
{
    while (now() < deadline && !g_stop) {
        int st;
        pid_t r = waitpid(-1, &st, WNOHANG);
        if (r == pid) {
            *status = st;
            return 1;
        }
        if (r <= 0) {
            /* SIGCHLD cuts the sleep short; a lost race costs 20 ms only. */
            struct timespec ts = {0, 20000000};
            nanosleep(&ts, NULL);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    signal(SIGCHLD, on_chld);
    signal(SIGTERM, on_term);
    signal(SIGINT, on_term);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    FILE *f = fopen(argv[2], "we");
    if (!f)
        return 2;
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    int st = 0;
    if (!wait_for(pid, now() + atof(argv[1]), &st)) {
        fprintf(f, "timeout\n");
        for (int i = 0; i < 200 && descendants(NULL, SIGKILL); i++)
            usleep(10000);
    } else {
        fprintf(f, WIFEXITED(st) ? "exit %d\n" : "signal %d\n",
                WIFEXITED(st) ? WEXITSTATUS(st) : WTERMSIG(st));
        clean_up(f);
    }
    fclose(f);
    return 0;
}
