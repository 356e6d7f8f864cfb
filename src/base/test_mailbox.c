#include "support/test.h"

#include "base/mailbox.h"
#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>

#define THREADS 4
#define LETTERS 2000

static struct {
    struct event_base *base;
    struct obs_mailbox *mailbox;
    pthread_t loop;
    unsigned read, next[THREADS];
    bool in_order, in_loop;
} fix;

static int setup(void **state)
{
    fix.base = event_base_new();
    fix.loop = pthread_self();
    fix.read = 0;
    fix.in_order = fix.in_loop = true;
    for (int i = 0; i < THREADS; i++)
        fix.next[i] = 0;
    return obs_mailbox_new(fix.base, &fix.mailbox);
}

static int teardown(void **state)
{
    fix.mailbox = obs_mailbox_free(fix.mailbox);
    event_base_free(fix.base);
    return 0;
}

static void read_letter(void *userdata)
{
    unsigned number = (unsigned)(uintptr_t)userdata, thread = number / LETTERS;

    fix.in_order = fix.in_order && fix.next[thread]++ == number % LETTERS;
    fix.in_loop = fix.in_loop && pthread_equal(pthread_self(), fix.loop);
    if (++fix.read == THREADS * LETTERS)
        event_base_loopbreak(fix.base);
}

static void *post_many(void *userdata)
{
    uintptr_t thread = (uintptr_t)userdata;

    for (uintptr_t i = 0; i < LETTERS; i++)
        obs_mailbox_post(fix.mailbox, read_letter, (void *)(thread * LETTERS + i));
    return NULL;
}

static void letters_of_each_thread_arrive_in_order_in_the_loop(void **state)
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, (void *)i), 0);
    event_base_dispatch(fix.base);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(fix.read, THREADS * LETTERS);
    assert_true(fix.in_order);
    assert_true(fix.in_loop);
}

static void count(void *userdata)
{
    ++*(unsigned *)userdata;
}

static void post_again(void *userdata)
{
    unsigned *left = userdata;

    if (--*left > 0)
        obs_mailbox_post(fix.mailbox, post_again, userdata);
    else
        event_base_loopbreak(fix.base);
}

static void a_letter_may_post_letters(void **state)
{
    unsigned left = 50;

    assert_int_equal(obs_mailbox_post(fix.mailbox, post_again, &left), 0);
    event_base_dispatch(fix.base);
    assert_int_equal(left, 0);
}

static void freeing_runs_what_is_inside_and_what_that_posts(void **state)
{
    unsigned left = 10, counted = 0;

    obs_mailbox_post(fix.mailbox, count, &counted);
    obs_mailbox_post(fix.mailbox, post_again, &left);
    obs_mailbox_post(fix.mailbox, count, &counted);
    fix.mailbox = obs_mailbox_free(fix.mailbox);
    assert_null(fix.mailbox);
    assert_int_equal(counted, 2);
    assert_int_equal(left, 0);
    assert_null(obs_mailbox_free(NULL));
}

static void an_idle_mailbox_costs_the_loop_nothing(void **state)
{
    unsigned counted = 0;

    obs_mailbox_post(fix.mailbox, count, &counted);
    assert_int_equal(event_base_loop(fix.base, EVLOOP_ONCE), 0);
    assert_int_equal(counted, 1);
    event_base_loop(fix.base,
                    EVLOOP_NONBLOCK); /* nothing is ready: would spin if the wake stayed */
    assert_int_equal(event_base_get_num_events(fix.base, EVENT_BASE_COUNT_ACTIVE), 0);
    assert_int_equal(counted, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(letters_of_each_thread_arrive_in_order_in_the_loop, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_letter_may_post_letters, setup, teardown),
        cmocka_unit_test_setup_teardown(freeing_runs_what_is_inside_and_what_that_posts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_idle_mailbox_costs_the_loop_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
