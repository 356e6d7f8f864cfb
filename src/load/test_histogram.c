#include "load/histogram.h"
#include "load/rng.h"
#include "support/test.h"

static void an_empty_histogram_has_quantile_zero(void **state)
{
    OBS_CLEANUP(histogram_freep) struct histogram *h = NULL;

    assert_int_equal(histogram_new(&h), 0);
    assert_int_equal(histogram_quantile(h, 0.5), 0);
    assert_int_equal(histogram_count_to(h, UINT64_MAX), 0);
}

static void parts_are_adjacent_and_within_their_error(void **state)
{
    uint32_t before = 0;

    for (uint64_t v = 1; v <= HISTOGRAM_MAX_NS; v += 1 + v / 3000) {
        uint32_t part = histogram_part(v);
        uint64_t top = histogram_part_top(part);

        assert_true(part < HISTOGRAM_SIZE);
        assert_true(part == before || part == before + 1);
        assert_true(top >= v);
        assert_true((double)(top - v) <= (double)v / 1024);
        assert_int_equal(histogram_part(top), part);
        assert_int_equal(histogram_part(top + 1), part + 1);
        before = part;
    }
}

static void quantiles_of_one_to_a_million_are_right(void **state)
{
    OBS_CLEANUP(histogram_freep) struct histogram *h = NULL;
    const double shares[] = {0.01, 0.5, 0.9, 0.99, 0.999, 0.9999};

    assert_int_equal(histogram_new(&h), 0);
    for (uint64_t i = 1; i <= 1000000; i++)
        histogram_record(h, i * 1000);
    for (size_t i = 0; i < OBS_COUNT(shares); i++) {
        double exact = shares[i] * 1e9, got = (double)histogram_quantile(h, shares[i]);

        assert_true(got >= exact && got <= exact * 1.001);
    }
    assert_int_equal(histogram_quantile(h, 1), 1000000000);
    assert_int_equal(h->min_ns, 1000);
    assert_true(histogram_mean_ns(h) == 500000500.0);
}

static void values_beyond_the_range_count_as_the_largest(void **state)
{
    OBS_CLEANUP(histogram_freep) struct histogram *h = NULL;

    assert_int_equal(histogram_new(&h), 0);
    histogram_record(h, UINT64_MAX);
    histogram_record(h, 0);
    assert_int_equal(h->count, 2);
    assert_int_equal(histogram_quantile(h, 1), HISTOGRAM_MAX_NS);
    assert_int_equal(histogram_quantile(h, 0.5), 0);
}

static void sums_and_differences_keep_every_value(void **state)
{
    OBS_CLEANUP(histogram_freep) struct histogram *a = NULL;
    OBS_CLEANUP(histogram_freep) struct histogram *b = NULL;
    OBS_CLEANUP(histogram_freep) struct histogram *sum = NULL;
    OBS_CLEANUP(histogram_freep) struct histogram *difference = NULL;
    struct rng rng;

    assert_int_equal(histogram_new(&a), 0);
    assert_int_equal(histogram_new(&b), 0);
    assert_int_equal(histogram_new(&sum), 0);
    assert_int_equal(histogram_new(&difference), 0);
    rng_init(&rng, 7);
    for (int i = 0; i < 10000; i++) {
        histogram_record(a, rng_next(&rng) >> 40);
        histogram_record(b, rng_next(&rng) >> 30);
    }
    histogram_add(sum, a);
    histogram_add(sum, b);
    assert_int_equal(sum->count, 20000);
    assert_int_equal(sum->sum_ns, a->sum_ns + b->sum_ns);
    histogram_difference(difference, sum, a);
    assert_int_equal(difference->count, b->count);
    for (double q = 0.1; q < 0.95; q += 0.1)
        assert_int_equal(histogram_quantile(difference, q), histogram_quantile(b, q));
    histogram_clear(sum);
    assert_int_equal(sum->count, 0);
    assert_int_equal(histogram_count_to(sum, UINT64_MAX), 0);
}

static void counts_below_a_limit(void **state)
{
    OBS_CLEANUP(histogram_freep) struct histogram *h = NULL;

    assert_int_equal(histogram_new(&h), 0);
    for (uint64_t i = 1; i <= 100; i++)
        histogram_record(h, i * 1000000);
    assert_int_equal(histogram_count_to(h, 999999), 0);
    assert_int_equal(histogram_count_to(h, 50500000), 50);
    assert_int_equal(histogram_count_to(h, 1000000000), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_histogram_has_quantile_zero),
        cmocka_unit_test(parts_are_adjacent_and_within_their_error),
        cmocka_unit_test(quantiles_of_one_to_a_million_are_right),
        cmocka_unit_test(values_beyond_the_range_count_as_the_largest),
        cmocka_unit_test(sums_and_differences_keep_every_value),
        cmocka_unit_test(counts_below_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
