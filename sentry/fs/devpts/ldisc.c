/* N_TTY: canonical and raw input, echo, editing, output processing. See termios(3) for what each
 * flag means; where that is silent this does what Linux's n_tty.c is seen to do. */
#include "fs/devpts/ldisc.h"

#include <ctype.h>
#include <signal.h>
#include <string.h>

#define LDISC_DISABLED 0 /* _POSIX_VDISABLE */

void ldisc_init(struct ldisc *l)
{
    static const uint8_t cc[] = {
        [VINTR] = 3,     [VQUIT] = 28,   [VERASE] = 127, [VKILL] = 21, [VEOF] = 4,
        [VMIN] = 1,      [VSTART] = 17,  [VSTOP] = 19,   [VSUSP] = 26, [VREPRINT] = 18,
        [VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22,
    };
    memset(l, 0, sizeof(*l));
    l->tio.c_iflag = ICRNL | IXON;
    l->tio.c_oflag = OPOST | ONLCR;
    l->tio.c_cflag = B38400 | CS8 | CREAD;
    l->tio.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
    memcpy(l->tio.c_cc, cc, sizeof(cc));
    l->tio.c_ispeed = l->tio.c_ospeed = 38400;
}

static bool lflag(const struct ldisc *l, unsigned f)
{
    return l->tio.c_lflag & f;
}

static bool iflag(const struct ldisc *l, unsigned f)
{
    return l->tio.c_iflag & f;
}

static bool oflag(const struct ldisc *l, unsigned f)
{
    return l->tio.c_oflag & f;
}

static bool is_cc(const struct ldisc *l, unsigned which, uint8_t c)
{
    return l->tio.c_cc[which] != LDISC_DISABLED && l->tio.c_cc[which] == c;
}

/* ---- the output ring ---- */

unsigned ldisc_out_count(const struct ldisc *l)
{
    return l->out_head - l->out_tail;
}

static unsigned out_room(const struct ldisc *l)
{
    return LDISC_OUTPUT - ldisc_out_count(l);
}

static void out_put(struct ldisc *l, uint8_t c)
{
    l->out[l->out_head++ & (LDISC_OUTPUT - 1)] = c;
}

static bool out_newline(struct ldisc *l)
{
    if (oflag(l, ONLCR)) {
        if (out_room(l) < 2)
            return false;
        out_put(l, '\r');
        l->column = 0;
    } else if (oflag(l, ONLRET)) {
        l->column = 0;
    }
    out_put(l, '\n');
    return true;
}

static bool out_return(struct ldisc *l)
{
    if (oflag(l, ONOCR) && l->column == 0)
        return true;
    if (!oflag(l, OCRNL)) {
        l->column = 0;
        out_put(l, '\r');
        return true;
    }
    if (oflag(l, ONLRET))
        l->column = 0;
    out_put(l, '\n');
    return true;
}

static bool out_tab(struct ldisc *l)
{
    unsigned spaces = 8 - (l->column & 7);
    if (!oflag(l, XTABS)) {
        l->column += spaces;
        out_put(l, '\t');
        return true;
    }
    if (out_room(l) < spaces)
        return false;
    l->column += spaces;
    while (spaces--)
        out_put(l, ' ');
    return true;
}

static void out_plain(struct ldisc *l, uint8_t c)
{
    if (oflag(l, OLCUC))
        c = toupper(c);
    if (c == '\b') {
        if (l->column)
            l->column--;
    } else if (c >= ' ' && c != 127 && (c & 0xc0) != 0x80) {
        l->column++; /* continuation bytes of UTF-8 have no width */
    }
    out_put(l, c);
}

static bool out_processed(struct ldisc *l, uint8_t c)
{
    if (!out_room(l))
        return false;
    switch (c) {
    case '\n':
        return out_newline(l);
    case '\r':
        return out_return(l);
    case '\t':
        return out_tab(l);
    default:
        out_plain(l, c);
        return true;
    }
}

bool ldisc_output(struct ldisc *l, uint8_t c)
{
    if (l->stopped || !out_room(l))
        return false;
    if (oflag(l, OPOST))
        return out_processed(l, c);
    out_put(l, c);
    return true;
}

size_t ldisc_master_read(struct ldisc *l, uint8_t *buf, size_t size)
{
    size_t n = 0;
    while (n < size && l->out_tail != l->out_head)
        buf[n++] = l->out[l->out_tail++ & (LDISC_OUTPUT - 1)];
    return n;
}

void ldisc_flush_output(struct ldisc *l)
{
    l->out_tail = l->out_head;
}

/* ---- echo: what does not fit is lost ---- */

static void echo_raw(struct ldisc *l, uint8_t c)
{
    if (oflag(l, OPOST))
        out_processed(l, c);
    else if (out_room(l))
        out_put(l, c);
}

static bool is_caret(const struct ldisc *l, uint8_t c)
{
    return lflag(l, ECHOCTL) && (c < ' ' || c == 127) && c != '\t';
}

static void echo_char(struct ldisc *l, uint8_t c)
{
    if (!is_caret(l, c)) {
        echo_raw(l, c);
        return;
    }
    echo_raw(l, '^');
    echo_raw(l, c ^ 0100);
}

static void echo_text(struct ldisc *l, const char *s)
{
    while (*s)
        echo_raw(l, *s++);
}

/* ---- the input ring ---- */

static uint8_t in_at(const struct ldisc *l, unsigned n)
{
    return l->in[n & (LDISC_INPUT - 1)];
}

static bool bit_at(const uint8_t *bits, unsigned n)
{
    n &= LDISC_INPUT - 1;
    return bits[n / 8] >> (n % 8) & 1;
}

static void bit_put(uint8_t *bits, unsigned n, bool on)
{
    n &= LDISC_INPUT - 1;
    bits[n / 8] = (bits[n / 8] & ~(1u << n % 8)) | (unsigned)on << n % 8;
}

static unsigned in_count(const struct ldisc *l)
{
    return l->in_head - l->in_tail;
}

static bool in_put(struct ldisc *l, uint8_t c, bool end, bool eof)
{
    if (in_count(l) >= LDISC_INPUT)
        return false;
    l->in[l->in_head & (LDISC_INPUT - 1)] = c;
    bit_put(l->in_end, l->in_head, end);
    bit_put(l->in_eof, l->in_head, eof);
    l->in_head++;
    if (end)
        l->in_canon = l->in_head;
    return true;
}

bool ldisc_input_full(const struct ldisc *l)
{
    if (in_count(l) < LDISC_INPUT - 1)
        return false;
    /* An overlong line has no reader to wait for: its tail is dropped instead. */
    return !lflag(l, ICANON) || l->in_canon != l->in_tail;
}

void ldisc_flush_input(struct ldisc *l)
{
    l->in_tail = l->in_canon = l->in_head;
    l->literal_next = l->erasing = false;
}

/* ---- editing ---- */

static void finish_erasing(struct ldisc *l)
{
    if (l->erasing) {
        echo_raw(l, '/');
        l->erasing = false;
    }
}

/* Width on the screen of the tab that was echoed last: back to where the text before it ends. */
static unsigned column_before(const struct ldisc *l)
{
    unsigned col = l->canon_column;
    for (unsigned i = l->in_canon; i != l->in_head; i++) {
        uint8_t c = in_at(l, i);
        if (c == '\t')
            col = (col | 7) + 1;
        else if (is_caret(l, c))
            col += 2;
        else if (c >= ' ' && (c & 0xc0) != 0x80)
            col++;
    }
    return col;
}

static void erase_echo(struct ldisc *l, uint8_t c)
{
    if (lflag(l, ECHOPRT)) {
        if (!l->erasing)
            echo_raw(l, '\\');
        l->erasing = true;
        echo_char(l, c);
    } else if (!lflag(l, ECHOE)) {
        echo_char(l, l->tio.c_cc[VERASE]);
    } else if (c == '\t') {
        unsigned to = column_before(l), back = l->column > to ? l->column - to : 0;
        while (back && back-- <= 8) /* more is no tab: the column is not known then */
            echo_raw(l, '\b');
    } else {
        if (is_caret(l, c))
            echo_text(l, "\b \b");
        if (c >= ' ' || lflag(l, ECHOCTL))
            echo_text(l, "\b \b");
    }
}

/* Take the last character off the line; a UTF-8 sequence goes as a whole under IUTF8. */
static bool erase_one(struct ldisc *l)
{
    if (l->in_head == l->in_canon)
        return false;
    uint8_t c;
    do
        c = in_at(l, --l->in_head);
    while (iflag(l, IUTF8) && (c & 0xc0) == 0x80 && l->in_head != l->in_canon);
    if (lflag(l, ECHO))
        erase_echo(l, (c & 0x80) ? 'x' : c);
    return true;
}

static bool is_word(uint8_t c)
{
    return isalnum(c) || c == '_' || c >= 0x80;
}

static void erase_word(struct ldisc *l)
{
    bool seen = false;
    while (l->in_head != l->in_canon) {
        bool word = is_word(in_at(l, l->in_head - 1));
        if (seen && !word)
            break;
        seen |= word;
        erase_one(l);
    }
}

static void erase_line(struct ldisc *l)
{
    if (lflag(l, ECHO) && !(lflag(l, ECHOK) && lflag(l, ECHOKE) && lflag(l, ECHOE))) {
        l->in_head = l->in_canon;
        finish_erasing(l);
        echo_char(l, l->tio.c_cc[VKILL]);
        if (lflag(l, ECHOK))
            echo_raw(l, '\n');
        return;
    }
    while (erase_one(l))
        ;
}

static void reprint(struct ldisc *l, uint8_t c)
{
    finish_erasing(l);
    echo_char(l, c);
    echo_raw(l, '\n');
    for (unsigned i = l->in_canon; i != l->in_head; i++)
        echo_char(l, in_at(l, i));
}

/* ---- input ---- */

static void store(struct ldisc *l, uint8_t c)
{
    /* The last place of a full line is kept for its end. */
    if (in_count(l) >= LDISC_INPUT - 1) {
        if (iflag(l, IMAXBEL))
            echo_raw(l, '\a');
        return;
    }
    if (lflag(l, ECHO)) {
        finish_erasing(l);
        if (l->in_head == l->in_canon)
            l->canon_column = l->column;
        echo_char(l, c);
    }
    if (iflag(l, PARMRK) && c == 0xff)
        in_put(l, c, false, false);
    in_put(l, c, false, false);
}

static int signal_of(const struct ldisc *l, uint8_t c)
{
    if (!lflag(l, ISIG))
        return 0;
    return is_cc(l, VINTR, c)   ? SIGINT
           : is_cc(l, VQUIT, c) ? SIGQUIT
           : is_cc(l, VSUSP, c) ? SIGTSTP
                                : 0;
}

static int input_signal(struct ldisc *l, uint8_t c, int sig)
{
    if (!lflag(l, NOFLSH)) {
        ldisc_flush_input(l);
        ldisc_flush_output(l);
    }
    if (iflag(l, IXON))
        l->stopped = false;
    if (lflag(l, ECHO))
        echo_char(l, c);
    return sig;
}

static bool input_flow(struct ldisc *l, uint8_t c)
{
    if (!iflag(l, IXON))
        return false;
    if (is_cc(l, VSTART, c))
        l->stopped = false;
    else if (is_cc(l, VSTOP, c))
        l->stopped = true;
    else
        return false;
    return true;
}

static bool input_editing(struct ldisc *l, uint8_t c)
{
    if (is_cc(l, VERASE, c))
        erase_one(l);
    else if (is_cc(l, VKILL, c))
        erase_line(l);
    else if (is_cc(l, VWERASE, c) && lflag(l, IEXTEN))
        erase_word(l);
    else if (is_cc(l, VREPRINT, c) && lflag(l, ECHO) && lflag(l, IEXTEN))
        reprint(l, c);
    else
        return false;
    return true;
}

static bool input_line_end(struct ldisc *l, uint8_t c)
{
    if (c == '\n') {
        finish_erasing(l);
        if (lflag(l, ECHO) || lflag(l, ECHONL))
            echo_raw(l, '\n');
        in_put(l, c, /*end=*/true, /*eof=*/false);
    } else if (is_cc(l, VEOF, c)) {
        in_put(l, 0, /*end=*/true, /*eof=*/true);
    } else if (is_cc(l, VEOL, c) || (is_cc(l, VEOL2, c) && lflag(l, IEXTEN))) {
        if (lflag(l, ECHO))
            echo_char(l, c);
        in_put(l, c, /*end=*/true, /*eof=*/false);
    } else {
        return false;
    }
    return true;
}

static void input_canonical(struct ldisc *l, uint8_t c)
{
    if (input_editing(l, c))
        return;
    if (is_cc(l, VLNEXT, c) && lflag(l, IEXTEN)) {
        l->literal_next = true;
        if (lflag(l, ECHO) && lflag(l, ECHOCTL))
            echo_text(l, "^\b");
        return;
    }
    if (!input_line_end(l, c))
        store(l, c);
}

int ldisc_input(struct ldisc *l, uint8_t c)
{
    if (iflag(l, ISTRIP))
        c &= 0x7f;
    if (iflag(l, IUCLC) && lflag(l, IEXTEN))
        c = tolower(c);
    if (l->literal_next) {
        l->literal_next = false;
        store(l, c);
        return 0;
    }
    if (input_flow(l, c))
        return 0;
    if (l->stopped && iflag(l, IXON) && iflag(l, IXANY))
        l->stopped = false;
    int sig = signal_of(l, c);
    if (sig)
        return input_signal(l, c, sig);
    if (c == '\r') {
        if (iflag(l, IGNCR))
            return 0;
        if (iflag(l, ICRNL))
            c = '\n';
    } else if (c == '\n' && iflag(l, INLCR)) {
        c = '\r';
    }
    if (lflag(l, ICANON))
        input_canonical(l, c);
    else
        store(l, c);
    return 0;
}

/* ---- reading ---- */

bool ldisc_readable(const struct ldisc *l, unsigned min)
{
    if (lflag(l, ICANON))
        return l->in_canon != l->in_tail;
    return in_count(l) >= (min ? min : 1);
}

unsigned ldisc_readable_count(const struct ldisc *l)
{
    if (!lflag(l, ICANON))
        return in_count(l);
    unsigned n = 0;
    for (unsigned i = l->in_tail; i != l->in_canon; i++)
        n += !bit_at(l->in_eof, i);
    return n;
}

static size_t read_line(struct ldisc *l, uint8_t *buf, size_t size, bool *line_done)
{
    size_t n = 0;
    while (l->in_tail != l->in_canon) {
        bool end = bit_at(l->in_end, l->in_tail), eof = bit_at(l->in_eof, l->in_tail);
        if (n == size && !eof)
            break; /* an end of file right behind a full buffer goes with it */
        uint8_t c = in_at(l, l->in_tail++);
        if (!eof)
            buf[n++] = c;
        if (end) {
            *line_done = true;
            break;
        }
    }
    return n;
}

size_t ldisc_read(struct ldisc *l, uint8_t *buf, size_t size, bool *line_done)
{
    *line_done = false;
    if (lflag(l, ICANON))
        return read_line(l, buf, size, line_done);
    size_t n = 0;
    while (n < size && l->in_tail != l->in_head)
        buf[n++] = in_at(l, l->in_tail++);
    l->in_canon = l->in_tail;
    return n;
}

/* Leaving and entering canonical mode keeps what was typed: all of it readable, as one line. */
void ldisc_set(struct ldisc *l, const struct termios2 *tio)
{
    bool was = lflag(l, ICANON);
    l->tio = *tio;
    if (was != lflag(l, ICANON)) {
        l->in_canon = lflag(l, ICANON) ? l->in_head : l->in_tail;
        if (lflag(l, ICANON) && in_count(l))
            bit_put(l->in_end, l->in_head - 1, true);
        l->erasing = l->literal_next = false;
    }
    if (!iflag(l, IXON))
        l->stopped = false;
}
