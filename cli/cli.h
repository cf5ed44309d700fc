/* Private to cli/: one command, one file, one line in the table of main.c. */
#pragma once

struct cli_command {
    const char *name;
    const char *args;                  /* for the usage line */
    const char *summary;               /* one line */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
};

int cmd_do(int argc, char **argv);
int cmd_run(int argc, char **argv);

/* "ringfence: …" on stderr; returns status. */
int cli_error(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
