#include "base/cleanup.h"
#include "load/pattern.h"
#include "load/schedule.h"
#include "support/test.h"
#include <math.h>
#include <string.h>

static struct pattern *parse(const char *text)
{
    struct obs_reason why = {0};
    struct pattern *p = NULL;
    int r = pattern_parse_text(text, NULL, &p, &why);

    if (r != 0)
        print_error("%s: %s\n", text, why.text);
    assert_int_equal(r, 0);
    return p;
}

static void refused(const char *json_text, const char *expected)
{
    struct obs_reason why = {0};
    struct pattern *p = NULL;
    OBS_JSON json = json_loads(json_text, 0, NULL);

    assert_non_null(json);
    assert_int_equal(pattern_parse(json, NULL, NULL, &p, &why), PATTERN_REFUSED);
    if (!strstr(why.text, expected))
        print_error("\"%s\" has no \"%s\"\n", why.text, expected);
    assert_non_null(strstr(why.text, expected));
}

static const char *const ALL[] = {
    "constant:rate=250",
    "ramp:from=0,to=500,over=10s",
    "ramp:from=300,to=20,over=5s",
    "step:10x2s,400x3s,50",
    "spike:rate=20,peak=900,at=2s,lasting=1s",
    "spike:rate=20,peak=900,at=2s,lasting=1s,every=4s",
    "spike:rate=20,peak=900,at=0s,lasting=1s",
    "sine:rate=100,amplitude=100,period=3s",
    "sine:rate=100,amplitude=30,period=60s",
};

static void time_and_count_are_inverse(void **state)
{
    for (size_t i = 0; i < OBS_COUNT(ALL); i++) {
        struct pattern *p = parse(ALL[i]);

        for (double count = 0; count < 5000; count += 7.3) {
            double t_s = pattern_time(p, count);

            assert_true(fabs(pattern_count(p, t_s) - count) < 1e-4 * (1 + count));
        }
        pattern_free(p);
    }
}

static void the_rate_is_the_slope_of_the_count(void **state)
{
    for (size_t i = 0; i < OBS_COUNT(ALL); i++) {
        struct pattern *p = parse(ALL[i]);

        for (double t_s = 0.013; t_s < 20; t_s += 0.1) {
            double slope = (pattern_count(p, t_s + 1e-4) - pattern_count(p, t_s - 1e-4)) / 2e-4;

            assert_true(fabs(slope - pattern_rate(p, t_s)) < 0.5);
        }
        pattern_free(p);
    }
}

static void uniform_arrivals_hit_the_rate_exactly(void **state)
{
    static const double rates[] = {10, 333, 5000, 30000};

    for (size_t i = 0; i < OBS_COUNT(rates); i++) {
        struct pattern *p = NULL;
        struct schedule s;
        struct arrival a;
        uint64_t count = 0;

        assert_int_equal(pattern_constant(rates[i], &p), 0);
        schedule_init(&s, p, SCHEDULE_UNIFORM, 1, 0, 1, 0, 1);
        while (schedule_next(&s, &a) == SCHEDULE_OK && a.t_s < 10)
            count++;
        assert_true(fabs((double)count - rates[i] * 10) <= 1);
        pattern_free(p);
    }
}

static uint64_t merged(enum schedule_arrivals arrivals, unsigned shares, double *times, size_t max)
{
    struct pattern *p = parse("sine:rate=200,amplitude=150,period=2s");
    uint64_t count = 0;

    for (unsigned share = 0; share < shares; share++) {
        struct schedule s;
        struct arrival a;

        schedule_init(&s, p, arrivals, 1.5, 0, 42, share, shares);
        while (schedule_next(&s, &a) == SCHEDULE_OK && a.index < max) {
            times[a.index] = a.t_s;
            count++;
        }
    }
    pattern_free(p);
    return count;
}

static void any_number_of_threads_makes_the_same_schedule(void **state)
{
    static double one[2000], many[2000];

    for (int kind = SCHEDULE_UNIFORM; kind <= SCHEDULE_POISSON; kind++) {
        assert_int_equal(merged((enum schedule_arrivals)kind, 1, one, 2000), 2000);
        assert_int_equal(merged((enum schedule_arrivals)kind, 7, many, 2000), 2000);
        assert_memory_equal(one, many, sizeof(one));
    }
}

static void poisson_gaps_have_the_mean_and_spread_of_an_exponential(void **state)
{
    struct pattern *p = NULL;
    struct schedule s;
    struct arrival a;
    double before = 0, sum = 0, squares = 0;
    int n = 100000;

    assert_int_equal(pattern_constant(100, &p), 0);
    schedule_init(&s, p, SCHEDULE_POISSON, 1, 0, 3, 0, 1);
    for (int i = 0; i < n; i++) {
        assert_int_equal(schedule_next(&s, &a), SCHEDULE_OK);
        sum += a.t_s - before;
        squares += (a.t_s - before) * (a.t_s - before);
        before = a.t_s;
    }
    assert_true(fabs(sum / n - 0.01) < 0.0002);
    assert_true(fabs(squares / n - 0.0002) < 0.00001);
    pattern_free(p);
}

static void a_pause_shifts_nothing(void **state)
{
    struct pattern *p = parse("ramp:from=1,to=100,over=20s");
    struct schedule whole, rest;
    struct arrival a, b;

    schedule_init(&whole, p, SCHEDULE_UNIFORM, 1, 0, 1, 0, 1);
    schedule_init(&rest, p, SCHEDULE_UNIFORM, 1, 7.5, 1, 0, 1);
    do
        assert_int_equal(schedule_next(&whole, &a), SCHEDULE_OK);
    while (a.t_s < 7.5);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(schedule_next(&rest, &b), SCHEDULE_OK);
        assert_true(fabs(a.t_s - b.t_s) < 1e-9);
        assert_int_equal(schedule_next(&whole, &a), SCHEDULE_OK);
    }
    pattern_free(p);
}

static void a_replay_gives_its_list_again(void **state)
{
    OBS_JSON json = json_loads("{\"type\":\"replay\",\"arrivals\":[0,0.5,0.5,3],\"speed\":2,"
                               "\"repeat\":true}",
                               0, NULL);
    const double expected[] = {0, 0.25, 0.25, 1.5, 2, 2.25, 2.25, 3.5, 4};
    struct pattern *p = NULL;
    struct schedule s;
    struct arrival a;

    assert_int_equal(pattern_parse(json, NULL, NULL, &p, NULL), 0);
    schedule_init(&s, p, SCHEDULE_UNIFORM, 1, 0, 1, 0, 1);
    for (size_t i = 0; i < OBS_COUNT(expected); i++) {
        assert_int_equal(schedule_next(&s, &a), SCHEDULE_OK);
        assert_true(fabs(a.t_s - expected[i]) < 1e-9);
    }
    pattern_free(p);
}

static void a_pattern_with_a_length_ends(void **state)
{
    struct pattern *p = parse("step:10x1s,20x1s");
    struct schedule s;
    struct arrival a;
    int count = 0;

    assert_true(pattern_length(p) == 2);
    schedule_init(&s, p, SCHEDULE_UNIFORM, 1, 0, 1, 0, 1);
    while (schedule_next(&s, &a) == SCHEDULE_OK)
        count++;
    assert_int_equal(count, 30);
    pattern_free(p);
}

static void a_rate_of_zero_has_no_arrivals(void **state)
{
    struct pattern *p = NULL;
    struct schedule s;
    struct arrival a;

    assert_int_equal(pattern_constant(0, &p), 0);
    schedule_init(&s, p, SCHEDULE_POISSON, 1, 0, 1, 0, 1);
    assert_int_equal(schedule_next(&s, &a), SCHEDULE_END);
    pattern_free(p);
}

static void refusals_name_the_field_and_what_would_be_right(void **state)
{
    refused("{\"type\":\"wave\"}", "type is \"wave\": expected one of constant, ramp");
    refused("{\"rate\":5}", "type is missing");
    refused("{\"type\":\"constant\"}", "rate is missing: expected a number from 0");
    refused("{\"type\":\"constant\",\"rate\":-1}", "rate is -1");
    refused("{\"type\":\"constant\",\"rate\":1,\"for\":10}", "for is 10: expected a duration");
    refused("{\"type\":\"constant\",\"rate\":1,\"rat\":1}", "no field \"rat\": known are type");
    refused("{\"type\":\"sine\",\"rate\":1,\"amplitude\":2,\"period\":\"1s\"}", "amplitude is 2");
    refused("{\"type\":\"step\",\"steps\":[{\"rate\":1},{\"rate\":2}]}", "steps[0].for is missing");
    refused("{\"type\":\"replay\",\"arrivals\":[1,0]}", "arrivals[1] is not a time");
    refused("{\"type\":\"replay\",\"file\":\"/etc/passwd\"}", "file is not possible here");
    refused("{\"type\":\"spike\",\"rate\":1,\"peak\":2,\"at\":\"1s\",\"lasting\":\"1s\","
            "\"every\":\"2s\"}",
            "every is \"2s\": expected more than");
    refused("[]", "is not a pattern");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_and_count_are_inverse),
        cmocka_unit_test(the_rate_is_the_slope_of_the_count),
        cmocka_unit_test(uniform_arrivals_hit_the_rate_exactly),
        cmocka_unit_test(any_number_of_threads_makes_the_same_schedule),
        cmocka_unit_test(poisson_gaps_have_the_mean_and_spread_of_an_exponential),
        cmocka_unit_test(a_pause_shifts_nothing),
        cmocka_unit_test(a_replay_gives_its_list_again),
        cmocka_unit_test(a_pattern_with_a_length_ends),
        cmocka_unit_test(a_rate_of_zero_has_no_arrivals),
        cmocka_unit_test(refusals_name_the_field_and_what_would_be_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
