#include "base/cleanup.h"
#include "shop/orders/order_id.h"
#include "support/test.h"
#include <string.h>

static void spells_time_version_and_variant(void **state)
{
    static const uint8_t RANDOM[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    char id[ORDER_ID_SIZE];

    order_id_emit(0x0192f4a1b2c3ULL, RANDOM, id);
    assert_string_equal(id, "0192f4a1-b2c3-7fff-bfff-ffffffffffff");
}

static void makes_valid_ids_that_differ(void **state)
{
    char a[ORDER_ID_SIZE], b[ORDER_ID_SIZE];

    order_id_make(a);
    order_id_make(b);
    assert_true(order_id_is_valid(a));
    assert_string_not_equal(a, b);
}

static void refuses_what_is_not_an_id(void **state)
{
    static const char *const BAD[] = {"",
                                      "x",
                                      "0192f4a1-b2c3-7fff-bfff-fffffffffff",
                                      "0192f4a1-b2c3-7fff-bfff-fffffffffffff",
                                      "0192f4a1-b2c3-7fff-bfff-ffffffffFFFF",
                                      "0192f4a1xb2c3-7fff-bfff-ffffffffffff",
                                      "0192f4a1-b2c3-7fff-bfff-ffffffff'; -"};

    for (size_t i = 0; i < OBS_COUNT(BAD); i++)
        assert_false(order_id_is_valid(BAD[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spells_time_version_and_variant),
        cmocka_unit_test(makes_valid_ids_that_differ),
        cmocka_unit_test(refuses_what_is_not_an_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
