/* Sessions, process groups, pseudo-terminals and job control. */
#include "guest.h"
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static void groups_and_sessions(void)
{
    IN_CHILD({
        pid_t me = getpid();
        CHECK_EQ(getpgid(0), getpgrp());
        OK(setpgid(0, 0));
        CHECK_EQ(getpgrp(), me);
        CHECK_ERR(setsid(), EPERM); /* a group leader may not */
        CHECK_ERR(setpgid(0, -1), EINVAL);
        CHECK_ERR(setpgid(7654321, 0), ESRCH);
        CHECK_ERR(setpgid(0, 7654321), EPERM);
        CHECK_ERR(getpgid(7654321), ESRCH);
        CHECK_ERR(getsid(7654321), ESRCH);
    });
    IN_CHILD({
        pid_t me = getpid();
        CHECK_EQ(OK(setsid()), me);
        CHECK_EQ(getsid(0), me);
        CHECK_EQ(getpgrp(), me);
        CHECK_ERR(setpgid(0, 0), EPERM); /* a session leader may not */
        CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
    });
}

static void setpgid_after_exec(void)
{
    int p[2];
    OK(pipe2(p, O_CLOEXEC));
    pid_t c = OK(fork());
    if (!c) {
        execl("/bin/sleep", "sleep", "5", NULL);
        _exit(1);
    }
    char x;
    close(p[1]);
    CHECK_EQ(read(p[0], &x, 1), 0); /* closed by its exec */
    CHECK_ERR(setpgid(c, c), EACCES);
    OK(kill(c, SIGKILL));
    WAIT_SIGNAL(c, SIGKILL);
    close(p[0]);
}

static int g_master;
static char g_text[4096];

/* Runs fn with a new session on a new pseudo-terminal. */
static pid_t on_pty(void (*fn)(void))
{
    struct winsize ws = {24, 80, 0, 0};
    pid_t p = OK(forkpty(&g_master, NULL, NULL, &ws));
    if (!p) {
        fn();
        _exit(0);
    }
    return p;
}

static void expect(const char *want)
{
    size_t n = 0;
    struct pollfd p = {g_master, POLLIN, 0};
    while (n < sizeof(g_text) - 1 && poll(&p, 1, 5000) == 1) {
        ssize_t r = read(g_master, g_text + n, sizeof(g_text) - 1 - n);
        if (r <= 0)
            break;
        n += r;
        g_text[n] = 0;
        if (strstr(g_text, want))
            return;
    }
    FAIL("the terminal said \"%s\", not \"%s\"", g_text, want);
}

static void say(const char *s)
{
    OK(write(g_master, s, strlen(s)));
}

static void basics_child(void)
{
    struct winsize ws;
    struct termios t;
    if (!isatty(0) || ioctl(0, TIOCGWINSZ, &ws) || ws.ws_row != 24 || ws.ws_col != 80 || tcgetattr(0, &t))
        _exit(1);
    if (!(t.c_lflag & ICANON) || !(t.c_lflag & ECHO) || tcgetpgrp(0) != getpgrp() || tcgetsid(0) != getpid())
        _exit(2);
    int tty = open("/dev/tty", O_RDWR);
    if (tty < 0 || strncmp(ttyname(0), "/dev/pts/", 9))
        _exit(3);
    dprintf(tty, "line\nnext\n");
    char buf[64];
    ssize_t n = read(0, buf, sizeof(buf));
    dprintf(1, "got %zd\n", n);
    n = read(0, buf, sizeof(buf));
    dprintf(1, "then %zd\n", n);
}

static void terminal_basics(void)
{
    pid_t p = on_pty(basics_child);
    expect("line\r\nnext\r\n");
    say("abX\177c\n"); /* an erase in canonical mode */
    expect("got 4");
    say("\004"); /* end of file */
    expect("then 0");
    WAIT_EXIT(p, 0);
    close(g_master);
}

static void raw_child(void)
{
    struct termios t;
    tcgetattr(0, &t);
    cfmakeraw(&t);
    tcsetattr(0, TCSANOW, &t);
    write(1, "raw", 3);
    char buf[8];
    for (int i = 0; i < 3; i++) {
        if (read(0, buf, 8) != 1)
            _exit(1);
        dprintf(1, "<%d>", buf[0]);
    }
}

static void raw_mode(void)
{
    pid_t p = on_pty(raw_child);
    expect("raw");
    say("\003");
    expect("<3>");
    say("x");
    expect("<120>");
    say("\r");
    expect("<13>");
    WAIT_EXIT(p, 0);
    close(g_master);
}

static void wait_child(void)
{
    write(1, "go", 2);
    for (;;)
        pause();
}

static void control_characters(void)
{
    static const struct {
        const char *key;
        int sig;
    } k[] = {{"\003", SIGINT}, {"\034", SIGQUIT}};
    for (int i = 0; i < 2; i++) {
        pid_t p = on_pty(wait_child);
        expect("go");
        say(k[i].key);
        WAIT_SIGNAL(p, k[i].sig);
        close(g_master);
    }
}

static void hangup(void)
{
    pid_t p = on_pty(wait_child);
    expect("go");
    close(g_master);
    WAIT_SIGNAL(p, SIGHUP);
}

static volatile int g_winch;

static void on_winch(int sig)
{
    g_winch = 1;
}

static void winch_child(void)
{
    struct winsize ws;
    handle(SIGWINCH, on_winch, 0);
    write(1, "go", 2);
    while (!g_winch)
        sleep_ms(5);
    ioctl(0, TIOCGWINSZ, &ws);
    dprintf(1, "now %dx%d", ws.ws_row, ws.ws_col);
}

static void window_size(void)
{
    pid_t p = on_pty(winch_child);
    expect("go");
    struct winsize ws = {50, 132, 0, 0};
    OK(ioctl(g_master, TIOCSWINSZ, &ws));
    expect("now 50x132");
    WAIT_EXIT(p, 0);
    close(g_master);
}

static void background_child(void)
{
    int st;
    pid_t p = fork();
    if (!p) {
        char c;
        setpgid(0, 0);
        read(0, &c, 1); /* from the background: SIGTTIN */
        _exit(5);
    }
    setpgid(p, p);
    if (waitpid(p, &st, WUNTRACED) != p || !WIFSTOPPED(st) || WSTOPSIG(st) != SIGTTIN)
        _exit(1);
    signal(SIGTTOU, SIG_IGN);
    if (tcsetpgrp(0, p) || tcgetpgrp(0) != p)
        _exit(2);
    kill(p, SIGCONT);
    write(1, "ready", 5);
    if (waitpid(p, &st, 0) != p || !WIFEXITED(st) || WEXITSTATUS(st) != 5)
        _exit(3);
    if (tcsetpgrp(0, getpgrp()))
        _exit(4);
    struct termios t;
    tcgetattr(0, &t);
    t.c_lflag |= TOSTOP;
    tcsetattr(0, TCSANOW, &t);
    signal(SIGTTOU, SIG_DFL);
    p = fork();
    if (!p) {
        setpgid(0, 0);
        write(1, "no", 2); /* SIGTTOU */
        _exit(6);
    }
    if (waitpid(p, &st, WUNTRACED) != p || !WIFSTOPPED(st) || WSTOPSIG(st) != SIGTTOU)
        _exit(5);
    kill(p, SIGKILL);
    waitpid(p, &st, 0);
}

static void job_control(void)
{
    pid_t p = on_pty(background_child);
    expect("ready");
    say("x\n");
    WAIT_EXIT(p, 0);
    close(g_master);
}

static void stop_key_child(void)
{
    int st;
    pid_t p = fork();
    if (!p)
        wait_child();
    if (waitpid(p, &st, WUNTRACED) != p || !WIFSTOPPED(st) || WSTOPSIG(st) != SIGTSTP)
        _exit(1);
    kill(p, SIGKILL);
}

static void ignoring_stop(void)
{
    signal(SIGTSTP, SIG_IGN);
    pid_t p = fork();
    if (!p) {
        signal(SIGTSTP, SIG_DFL);
        setpgid(0, 0);
        sleep_ms(50);
        wait_child();
    }
    setpgid(p, p);
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(0, p);
    int st;
    if (waitpid(p, &st, WUNTRACED) != p || !WIFSTOPPED(st) || WSTOPSIG(st) != SIGTSTP)
        _exit(1);
    kill(p, SIGKILL);
    waitpid(p, &st, 0);
    (void)stop_key_child;
}

static void control_z(void)
{
    pid_t p = on_pty(ignoring_stop);
    expect("go");
    say("\032");
    WAIT_EXIT(p, 0);
    close(g_master);
}

static void master_side(void)
{
    int m, s;
    char buf[16];
    OK(openpty(&m, &s, NULL, NULL, NULL));
    OK(write(s, "out\n", 4));
    CHECK_EQ(read(m, buf, 16), 5); /* the newline becomes two characters */
    int n;
    OK(write(m, "in\n", 3));
    struct pollfd p = {s, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 3000), 1); /* what is typed may take a moment */
    OK(ioctl(s, FIONREAD, &n));
    CHECK_EQ(n, 3);
    CHECK_EQ(read(m, buf, 16), 4); /* the echo */
    p.events = POLLIN | POLLOUT;
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
    OK(tcflush(s, TCIFLUSH));
    OK(ioctl(s, FIONREAD, &n));
    CHECK_EQ(n, 0);
    close(s);
    CHECK_ERR(read(m, buf, 16), EIO);
    close(m);
}

static void orphaned_group_gets_hup(void)
{
    int r[2];
    char c;
    OK(pipe(r));
    pid_t p = OK(fork());
    if (!p) {
        setsid();
        pid_t q = fork();
        if (!q) {
            pid_t k = fork();
            if (!k) {
                setpgid(0, 0);
                close(r[0]);
                raise(SIGSTOP);
                for (;;)
                    pause();
            }
            int st;
            setpgid(k, k);
            waitpid(k, &st, WUNTRACED);
            _exit(0); /* its group has no parent in the session now: SIGHUP, SIGCONT */
        }
        int st;
        waitpid(q, &st, 0);
        close(r[1]);
        _exit(0);
    }
    close(r[1]);
    WAIT_EXIT(p, 0);
    CHECK_EQ(read(r[0], &c, 1), 0);
    close(r[0]);
}

GUEST_MAIN(C(groups_and_sessions), C(setpgid_after_exec), C(terminal_basics), C(raw_mode), C(control_characters), C(hangup),
           C(window_size), C(job_control), C(control_z), C(master_side), C(orphaned_group_gets_hup))
