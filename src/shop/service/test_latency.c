#include "shop/service/latency.h"
#include "support/test.h"
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void draws_latencies_around_their_median(void **state)
{
    enum { COUNT = 20001 };
    static double drawn[COUNT];

    for (size_t i = 0; i < COUNT; i++)
        drawn[i] = latency_next_ms(100, 0.25);
    qsort(drawn, COUNT, sizeof(drawn[0]), compare);
    assert_true(drawn[0] > 0);
    assert_true(drawn[COUNT / 2] > 97 && drawn[COUNT / 2] < 103);
    assert_true(drawn[COUNT * 95 / 100] > 140 && drawn[COUNT * 95 / 100] < 162);
    assert_true(drawn[COUNT - 1] <= 1000);
}

static void survives_the_edges_of_its_random_bits(void **state)
{
    assert_true(latency_draw_ms(100, 0.25, (const uint32_t[]){0, 0}) <= 1000);
    assert_true(latency_draw_ms(100, 0.25, (const uint32_t[]){UINT32_MAX, UINT32_MAX}) > 0);
    assert_true(latency_draw_ms(0, 0.25, (const uint32_t[]){0, 0}) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_latencies_around_their_median),
        cmocka_unit_test(survives_the_edges_of_its_random_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
