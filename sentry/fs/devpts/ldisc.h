/* The line discipline of pseudo terminals (N_TTY): from keys to lines, from bytes to a screen.
 *
 * No locks, no sleeping, no signals here: the pty calls it under its own lock and acts on what it
 * returns. */
#pragma once

#include <asm/termbits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LDISC_INPUT  4096u  /* power of two; the longest line is one less */
#define LDISC_OUTPUT 16384u /* power of two */

struct ldisc {
    struct termios2 tio;
    /* Input that the slave reads: free-running counters into the ring. */
    uint8_t in[LDISC_INPUT];
    uint8_t in_end[LDISC_INPUT / 8]; /* a bit per byte: ends a line */
    uint8_t in_eof[LDISC_INPUT / 8]; /* a bit per byte: an end of file, not a character */
    unsigned in_head, in_tail;
    unsigned in_canon;     /* up to here lines are complete; canonical mode only */
    unsigned canon_column; /* where the echo of the present line began */
    bool literal_next;
    bool erasing; /* inside \…/ of ECHOPRT */
    /* Output that the master reads. */
    uint8_t out[LDISC_OUTPUT];
    unsigned out_head, out_tail;
    unsigned column;
    bool stopped; /* by ^S or TCOOFF */
};

void ldisc_init(struct ldisc *l);
/* One byte typed at the master. Returns a signal for the foreground group, or 0. */
int ldisc_input(struct ldisc *l, uint8_t c);
/* Can another byte be taken in without being dropped, or must the writer wait for the reader? */
bool ldisc_input_full(const struct ldisc *l);
/* One byte written by the slave. False: no room, try again when the master has read. */
bool ldisc_output(struct ldisc *l, uint8_t c);
/* Is there something for a read (canonical: a line or an end of file)? min: raw mode wants as many.
 */
bool ldisc_readable(const struct ldisc *l, unsigned min);
unsigned ldisc_readable_count(const struct ldisc *l); /* FIONREAD */
/* Move out what one read may have. *eof: an end of file was consumed (count may be 0). */
size_t ldisc_read(struct ldisc *l, uint8_t *buf, size_t size, bool *line_done);
size_t ldisc_master_read(struct ldisc *l, uint8_t *buf, size_t size);
unsigned ldisc_out_count(const struct ldisc *l);
void ldisc_set(struct ldisc *l, const struct termios2 *tio);
void ldisc_flush_input(struct ldisc *l);
void ldisc_flush_output(struct ldisc *l);
