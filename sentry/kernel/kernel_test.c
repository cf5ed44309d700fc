/* Unit tests: numbers, signal queues, sleeping. Tasks here have no platform context and no memory.
 */
#include "kernel/kernel_priv.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct process *g_p;
static struct task *g_a, *g_b;

static struct task *add_task(struct process *p)
{
    struct pid *n;
    struct task *t = task_new();
    assert_non_null(t);
    t->process = p;
    process_get(p);
    lock_acquire(&g_kernel.tasks_lock);
    assert_int_equal(pid_alloc_locked(g_kernel.root_pid_ns, NULL, &n), 0);
    lock_acquire(&p->sig_lock);
    task_link_locked(t, n);
    lock_release(&p->sig_lock);
    lock_release(&g_kernel.tasks_lock);
    return t;
}

static int setup(void **state)
{
    kernel_init(NULL);
    g_p = process_new();
    g_p->container = container_new();
    for (int i = 0; i < RLIM_NLIMITS; i++)
        g_p->rlimits[i] = (struct rlimit64){4, 4};
    g_a = add_task(g_p);
    g_b = add_task(g_p);
    return 0;
}

static void test_numbers(void **state)
{
    struct pid *n;
    LOCK_GUARD(&g_kernel.tasks_lock);
    assert_int_equal(g_a->tid, 1);
    assert_int_equal(g_b->tid, 2);
    g_kernel.root_pid_ns->last_pid = g_kernel.root_pid_ns->pid_max - 1;
    assert_int_equal(pid_alloc_locked(g_kernel.root_pid_ns, NULL, &n), 0);
    assert_int_equal(pid_id(n), 300); /* wraps above the reserved ones */
    pid_release_locked(n);
    assert_null(pid_find_locked(300));
    assert_ptr_equal(pid_next_locked(g_kernel.root_pid_ns, 1)->task, g_b);
    assert_null(pid_next_locked(g_kernel.root_pid_ns, 2));
}

static void test_standard_signals_do_not_queue(void **state)
{
    siginfo_t info;
    g_p->actions[SIGUSR1 - 1].handler = 0x1000;
    assert_int_equal(signal_send_process(g_p, SIGUSR1, NULL), 0);
    assert_int_equal(signal_send_process(g_p, SIGUSR1, NULL), 0);
    assert_int_equal(signal_dequeue(g_a, ~0ull, &info), SIGUSR1);
    assert_int_equal(signal_dequeue(g_a, ~0ull, &info), 0);
    assert_false(signal_pending(g_a));
}

static void test_realtime_signals_queue_to_the_limit(void **state)
{
    siginfo_t info = {.si_code = SI_QUEUE};
    g_p->actions[40 - 1].handler = 0x1000;
    for (int i = 0; i < 4; i++) {
        info.si_value.sival_int = i;
        assert_int_equal(signal_send_task(g_a, 40, &info), 0);
    }
    assert_int_equal(signal_send_task(g_a, 40, &info), -EAGAIN);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(signal_dequeue(g_a, ~0ull, &info), 40);
        assert_int_equal(info.si_value.sival_int, i);
    }
    assert_int_equal(signal_dequeue(g_a, ~0ull, &info), 0);
}

static void test_ignored_is_dropped_unless_blocked(void **state)
{
    siginfo_t info;
    assert_int_equal(signal_send_task(g_a, SIGCHLD, NULL), 0); /* ignored by default */
    assert_int_equal(signal_dequeue(g_a, ~0ull, &info), 0);
    signal_set_blocked(g_a, SIGMASK(SIGCHLD));
    assert_int_equal(signal_send_task(g_a, SIGCHLD, NULL), 0);
    assert_false(signal_pending(g_a));
    assert_int_equal(signal_dequeue(g_a, ~0ull, &info), SIGCHLD);
}

static void test_shared_goes_to_who_does_not_block(void **state)
{
    g_p->actions[SIGUSR2 - 1].handler = 0x1000;
    signal_set_blocked(g_a, SIGMASK(SIGUSR2));
    assert_int_equal(signal_send_process(g_p, SIGUSR2, NULL), 0);
    assert_false(signal_pending(g_a));
    assert_true(signal_pending(g_b));
    signal_set_blocked(g_b, SIGMASK(SIGUSR2)); /* nobody now */
    assert_false(signal_pending(g_b));
    signal_set_blocked(g_a, 0);
    assert_true(signal_pending(g_a));
}

static void test_synchronous_first(void **state)
{
    siginfo_t info;
    g_p->actions[SIGHUP - 1].handler = g_p->actions[SIGSEGV - 1].handler = 0x1000;
    assert_int_equal(signal_send_task(g_a, SIGHUP, NULL), 0);
    signal_force(g_a, SIGSEGV, NULL);
    assert_int_equal(signal_dequeue(g_a, ~0ull, &info), SIGSEGV);
    assert_int_equal(signal_dequeue(g_a, ~0ull, &info), SIGHUP);
}

static void test_fatal_ends_all_at_once(void **state)
{
    assert_int_equal(signal_send_process(g_p, SIGTERM, NULL), 0);
    assert_true(g_p->group_exiting);
    assert_int_equal(g_p->exit_status, SIGTERM);
    assert_true(signal_fatal_pending(g_a) && signal_fatal_pending(g_b));
}

static void test_stop_and_continue_cancel_each_other(void **state)
{
    signal_set_blocked(g_a, SIGMASK(SIGTSTP) | SIGMASK(SIGCONT));
    assert_int_equal(signal_send_task(g_a, SIGTSTP, NULL), 0);
    assert_true(signal_pending_set(g_a) & SIGMASK(SIGTSTP));
    assert_int_equal(signal_send_task(g_a, SIGCONT, NULL), 0);
    assert_int_equal(signal_pending_set(g_a), SIGMASK(SIGCONT));
}

static void *wake_it(void *arg)
{
    task_wake(arg);
    return NULL;
}

static void test_sleep(void **state)
{
    pthread_t th;
    task_sleep_prepare(g_a);
    assert_int_equal(task_sleep(g_a, time_after(1000000), true), -ETIMEDOUT);
    task_sleep_prepare(g_a);
    task_wake(g_a); /* between prepare and sleep: not lost */
    assert_int_equal(task_sleep(g_a, DEADLINE_NONE, true), 0);
    task_sleep_prepare(g_a);
    pthread_create(&th, NULL, wake_it, g_a);
    assert_int_equal(task_sleep(g_a, DEADLINE_NONE, true), 0);
    pthread_join(th, NULL);
    task_kick(g_a, TASK_NOTIFY_SIGNAL);
    task_sleep_prepare(g_a);
    assert_int_equal(task_sleep(g_a, DEADLINE_NONE, true), -ERESTARTSYS);
    assert_int_equal(task_sleep(g_a, time_after(1000000), false), -ETIMEDOUT);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_numbers),
        T(test_standard_signals_do_not_queue),
        T(test_realtime_signals_queue_to_the_limit),
        T(test_ignored_is_dropped_unless_blocked),
        T(test_shared_goes_to_who_does_not_block),
        T(test_synchronous_first),
        T(test_fatal_ends_all_at_once),
        T(test_stop_and_continue_cancel_each_other),
        T(test_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
