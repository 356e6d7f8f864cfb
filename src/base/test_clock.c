#include "support/test.h"

#include "base/clock.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static void writes_known_moments(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } known[] = {{0, "1970-01-01T00:00:00.000000Z"},
                 {951782400ULL * OBS_NS_PER_SECOND, "2000-02-29T00:00:00.000000Z"},
                 {4107542400ULL * OBS_NS_PER_SECOND, "2100-03-01T00:00:00.000000Z"},
                 {1795448810123456789ULL, "2026-11-23T15:46:50.123456Z"},
                 {UINT64_MAX, "2554-07-21T23:34:33.709551Z"}};
    char out[OBS_RFC3339_SIZE];

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        obs_time_rfc3339(known[i].ns, out);
        assert_string_equal(out, known[i].text);
    }
}

static void agrees_with_the_c_library_on_every_day_of_centuries(void **state)
{
    char out[OBS_RFC3339_SIZE], expected[OBS_RFC3339_SIZE];

    for (uint64_t day = 0; day < 365 * 430; day++) {
        time_t seconds = (time_t)(day * 86400 + day % 86400);
        struct tm tm;

        gmtime_r(&seconds, &tm);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
        obs_time_rfc3339((uint64_t)seconds * OBS_NS_PER_SECOND, out);
        assert_string_equal(out, expected);
    }
}

static void sleeps_at_least_as_long_as_asked(void **state)
{
    uint64_t before = obs_mono_ns();

    obs_sleep_ns(3 * OBS_NS_PER_MS);
    assert_true(obs_mono_ns() - before >= 3 * OBS_NS_PER_MS);
    obs_sleep_ns(0);
}

static void wall_time_is_unix_time(void **state)
{
    uint64_t now = (uint64_t)time(NULL);
    uint64_t ours = obs_time_ns() / OBS_NS_PER_SECOND;

    assert_in_range(ours, now, now + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_known_moments),
        cmocka_unit_test(agrees_with_the_c_library_on_every_day_of_centuries),
        cmocka_unit_test(sleeps_at_least_as_long_as_asked),
        cmocka_unit_test(wall_time_is_unix_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
