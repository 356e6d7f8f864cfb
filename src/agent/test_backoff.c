#include "support/test.h"

#include "agent/backoff.h"

#define SECOND 1000000000ull

static const struct unit_restart POLICY = {.backoff_ms = 200,
                                           .backoff_max_ms = 10000,
                                           .reset_after_ms = 30000,
                                           .limit = 10,
                                           .window_ms = 120000};

static void doubles_up_to_the_longest_pause(void **state)
{
    static const unsigned EXPECTED[] = {200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    struct backoff b = {0};
    uint64_t now = 1000 * SECOND;

    for (size_t i = 0; i < sizeof(EXPECTED) / sizeof(EXPECTED[0]); i++) {
        unsigned wait_ms = 0;

        assert_int_equal(backoff_ended(&b, &POLICY, now, now + 1000, &wait_ms), BACKOFF_WAIT);
        assert_int_equal(wait_ms, EXPECTED[i]);
        now += wait_ms * 1000000ull;
    }
}

static void begins_again_after_a_long_life(void **state)
{
    struct backoff b = {0};
    unsigned wait_ms;

    for (int i = 0; i < 4; i++)
        backoff_ended(&b, &POLICY, SECOND, SECOND, &wait_ms);
    assert_int_equal(wait_ms, 1600);
    backoff_ended(&b, &POLICY, 10 * SECOND, 41 * SECOND, &wait_ms);
    assert_int_equal(wait_ms, 200);
}

static void gives_up_after_the_limit_within_the_window(void **state)
{
    struct backoff b = {0};
    unsigned wait_ms;
    uint64_t now = 5 * SECOND;

    for (int i = 0; i < 9; i++, now += 10 * SECOND)
        assert_int_equal(backoff_ended(&b, &POLICY, now, now, &wait_ms), BACKOFF_WAIT);
    assert_int_equal(backoff_ended(&b, &POLICY, now, now, &wait_ms), BACKOFF_GIVE_UP);
    backoff_reset(&b);
    assert_int_equal(backoff_ended(&b, &POLICY, now, now, &wait_ms), BACKOFF_WAIT);
    assert_int_equal(wait_ms, 200);
}

static void forgets_ends_before_the_window(void **state)
{
    struct backoff b = {0};
    unsigned wait_ms;
    uint64_t now = 5 * SECOND;

    for (int i = 0; i < 200; i++, now += 14 * SECOND)
        assert_int_equal(backoff_ended(&b, &POLICY, now, now, &wait_ms), BACKOFF_WAIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_up_to_the_longest_pause),
        cmocka_unit_test(begins_again_after_a_long_life),
        cmocka_unit_test(gives_up_after_the_limit_within_the_window),
        cmocka_unit_test(forgets_ends_before_the_window),
    };

    return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
