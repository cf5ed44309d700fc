/* work KIND COUNT [FILE]: does one small thing COUNT times. The clock is outside: see bench. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char g_block[65536];
static const char *g_file;
static int g_fd, g_pipe[2][2];

static void do_getppid(void)
{
    syscall(SYS_getppid);
}

static void do_stat(void)
{
    struct stat st;
    if (stat(g_file, &st))
        _exit(2);
}

static void do_open(void)
{
    int fd = open(g_file, O_RDONLY);
    if (fd < 0 || read(fd, g_block, 100) < 0)
        _exit(2);
    close(fd);
}

static void do_read64k(void)
{
    if (read(g_fd, g_block, sizeof(g_block)) == 0)
        lseek(g_fd, 0, SEEK_SET);
}

static void do_fork(void)
{
    pid_t p = fork();
    if (p == 0)
        _exit(0);
    waitpid(p, NULL, 0);
}

static void do_exec(void)
{
    pid_t p = fork();
    if (p == 0) {
        execl("/bin/true", "true", NULL);
        _exit(127);
    }
    waitpid(p, NULL, 0);
}

static void do_mmap(void)
{
    volatile char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 65536; i += 4096)
        p[i] = 1;
    munmap((void *)p, 65536);
}

static void do_pipe(void)
{
    if (write(g_pipe[0][1], "x", 1) != 1 || read(g_pipe[0][0], g_block, 1) != 1)
        _exit(2);
}

static void do_pingpong(void)
{
    if (write(g_pipe[0][1], "x", 1) != 1 || read(g_pipe[1][0], g_block, 1) != 1)
        _exit(2);
}

static void *echo(void *arg)
{
    char c;
    while (read(g_pipe[0][0], &c, 1) == 1 && write(g_pipe[1][1], &c, 1) == 1)
        ;
    return arg;
}

static void do_cpu(void)
{
    static volatile unsigned x = 1;
    for (int i = 0; i < 1000; i++)
        x = x * 1664525u + 1013904223u;
}

static const struct {
    const char *name;
    void (*fn)(void);
} g_kinds[] = {{"getppid", do_getppid}, {"stat", do_stat}, {"open", do_open}, {"read64k", do_read64k}, {"fork", do_fork},
               {"exec", do_exec},       {"mmap", do_mmap}, {"pipe", do_pipe}, {"pingpong", do_pingpong}, {"cpu", do_cpu}};

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    g_file = argc > 3 ? argv[3] : argv[0];
    g_fd = open(g_file, O_RDONLY);
    if (g_fd < 0 || pipe(g_pipe[0]) || pipe(g_pipe[1]))
        return 2;
    if (!strcmp(argv[1], "pingpong")) {
        pthread_t t;
        pthread_create(&t, NULL, echo, NULL);
    }
    for (size_t k = 0; k < sizeof(g_kinds) / sizeof(*g_kinds); k++)
        if (!strcmp(argv[1], g_kinds[k].name)) {
            for (long n = atol(argv[2]); n > 0; n--)
                g_kinds[k].fn();
            return 0;
        }
    fprintf(stderr, "work: no such kind: %s\n", argv[1]);
    return 2;
}
