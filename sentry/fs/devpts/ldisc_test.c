/* The line discipline alone: what is typed, what a read gets, what the screen shows. */
#include "fs/devpts/ldisc.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ldisc g_l;

static int fresh(void **state)
{
    ldisc_init(&g_l);
    return 0;
}

static int type(const char *keys)
{
    int sig = 0;
    for (; *keys; keys++)
        sig = ldisc_input(&g_l, *keys);
    return sig;
}

static void expect_line(const char *want)
{
    uint8_t buf[LDISC_INPUT];
    bool done;
    size_t n = ldisc_read(&g_l, buf, sizeof(buf), &done);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(buf, want, n);
}

static void expect_screen(const char *want)
{
    uint8_t buf[LDISC_OUTPUT];
    size_t n = ldisc_master_read(&g_l, buf, sizeof(buf));
    assert_int_equal(n, strlen(want));
    assert_memory_equal(buf, want, n);
}

static void set_flags(unsigned lflag_off, unsigned iflag_on, unsigned oflag_off)
{
    struct termios2 t = g_l.tio;
    t.c_lflag &= ~lflag_off;
    t.c_iflag |= iflag_on;
    t.c_oflag &= ~oflag_off;
    ldisc_set(&g_l, &t);
}

static void a_line_is_read_when_it_ends(void **state)
{
    type("ab");
    assert_false(ldisc_readable(&g_l, 1));
    type("c\rnext");
    assert_true(ldisc_readable(&g_l, 1));
    expect_line("abc\n");
    assert_false(ldisc_readable(&g_l, 1));
    expect_screen("abc\r\nnext");
}

static void erase_word_and_kill(void **state)
{
    type("abX\x7f"
         "c de\x17"
         "f\n");
    expect_line("abc f\n");
    type("gone\x15kept\n");
    expect_line("kept\n");
    type("\x7f\x7f\x17\x15ok\n");
    expect_line("ok\n");
}

static void erase_shows_and_stops_at_the_line(void **state)
{
    type("a\x7f\x7f");
    expect_screen("a\b \b");
    type("\x01\x7f");
    expect_screen("^A\b \b\b \b");
    type("a\tb\x7f\x7f");
    expect_screen("a\tb\b \b\b\b\b\b\b\b\b");
}

static void utf8_goes_as_one(void **state)
{
    set_flags(0, IUTF8, 0);
    type("x\xc3\xa9\x7f\n");
    expect_line("x\n");
}

static void end_of_file(void **state)
{
    bool done;
    uint8_t buf[8];
    type("\x04");
    assert_true(ldisc_readable(&g_l, 1));
    assert_int_equal(ldisc_read(&g_l, buf, sizeof(buf), &done), 0);
    assert_true(done);
    type("ab\x04");
    expect_line("ab");
    assert_false(ldisc_readable(&g_l, 1));
    /* right behind a full buffer it goes with the data */
    type("cd\x04");
    assert_int_equal(ldisc_read(&g_l, buf, 2, &done), 2);
    assert_false(ldisc_readable(&g_l, 1));
}

static void signals_flush(void **state)
{
    assert_int_equal(type("abc\x03"), SIGINT);
    type("d\n");
    expect_line("d\n");
    assert_int_equal(type("\x1a"), SIGTSTP);
    assert_int_equal(type("\x1c"), SIGQUIT);
    set_flags(ISIG, 0, 0);
    assert_int_equal(type("\x03\n"), 0);
    expect_line("\x03\n");
}

static void literal_next(void **state)
{
    assert_int_equal(type("\x16\x03\x16\x7f\n"), 0);
    expect_line("\x03\x7f\n");
}

static void flow_control(void **state)
{
    type("\x13");
    assert_false(ldisc_output(&g_l, 'x'));
    type("\x11");
    assert_true(ldisc_output(&g_l, 'x'));
    expect_screen("x");
}

static void raw_mode(void **state)
{
    set_flags(ICANON | ECHO | ISIG, 0, OPOST);
    g_l.tio.c_iflag = 0;
    type("\r\x03q");
    assert_true(ldisc_readable(&g_l, 3));
    assert_false(ldisc_readable(&g_l, 4));
    expect_line("\r\x03q");
    assert_true(ldisc_output(&g_l, '\n'));
    expect_screen("\n");
}

static void leaving_canonical_mode_frees_the_line(void **state)
{
    type("half");
    assert_false(ldisc_readable(&g_l, 1));
    set_flags(ICANON, 0, 0);
    assert_true(ldisc_readable(&g_l, 4));
    expect_line("half");
}

static void an_overlong_line_still_ends(void **state)
{
    for (unsigned i = 0; i < 3 * LDISC_INPUT; i++) {
        assert_false(ldisc_input_full(&g_l));
        ldisc_input(&g_l, 'x');
    }
    ldisc_input(&g_l, '\n');
    assert_true(ldisc_readable(&g_l, 1));
    uint8_t buf[LDISC_INPUT];
    bool done;
    assert_int_equal(ldisc_read(&g_l, buf, sizeof(buf), &done), LDISC_INPUT);
    assert_int_equal(buf[LDISC_INPUT - 1], '\n');
}

static void any_bytes_in_any_mode(void **state)
{
    srand(7);
    for (unsigned i = 0; i < 300000; i++) {
        uint8_t buf[64];
        bool done;
        if (rand() % 64 == 0) {
            struct termios2 t = g_l.tio;
            t.c_lflag ^= 1u << rand() % 17;
            t.c_iflag ^= 1u << rand() % 15;
            t.c_oflag ^= 1u << rand() % 14;
            t.c_cc[rand() % 19] = rand();
            ldisc_set(&g_l, &t);
        }
        if (!ldisc_input_full(&g_l))
            ldisc_input(&g_l, rand());
        if (rand() % 3 == 0)
            ldisc_read(&g_l, buf, rand() % sizeof(buf), &done);
        if (rand() % 3 == 0)
            ldisc_master_read(&g_l, buf, rand() % sizeof(buf));
        assert_true(g_l.in_head - g_l.in_tail <= LDISC_INPUT);
        assert_true(g_l.in_canon - g_l.in_tail <= g_l.in_head - g_l.in_tail);
        assert_true(ldisc_out_count(&g_l) <= LDISC_OUTPUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_is_read_when_it_ends, fresh),
        cmocka_unit_test_setup(erase_word_and_kill, fresh),
        cmocka_unit_test_setup(erase_shows_and_stops_at_the_line, fresh),
        cmocka_unit_test_setup(utf8_goes_as_one, fresh),
        cmocka_unit_test_setup(end_of_file, fresh),
        cmocka_unit_test_setup(signals_flush, fresh),
        cmocka_unit_test_setup(literal_next, fresh),
        cmocka_unit_test_setup(flow_control, fresh),
        cmocka_unit_test_setup(raw_mode, fresh),
        cmocka_unit_test_setup(leaving_canonical_mode_frees_the_line, fresh),
        cmocka_unit_test_setup(an_overlong_line_still_ends, fresh),
        cmocka_unit_test_setup(any_bytes_in_any_mode, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
