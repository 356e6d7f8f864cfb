#include "shop/storefront/recommend.h"
#include "support/test.h"

#define PRODUCT(id_, name_, category_, price_)                                                     \
    {                                                                                              \
        .id = (id_), .name = (name_), .description = "", .category = (category_),                  \
        .price_cents = (price_)                                                                    \
    }

static void what_is_alike_comes_first(void **state)
{
    struct recommend_product target = PRODUCT(1, "Merino Wool Scarf", "clothing", 3000);
    struct recommend_product c[] = {PRODUCT(2, "Copper Kettle", "kitchen", 3000),
                                    PRODUCT(3, "Lambswool Scarf", "clothing", 3500),
                                    PRODUCT(4, "Merino Wool Beanie", "clothing", 2900)};

    recommend(&target, NULL, 0, 0, c, 3);
    assert_int_equal(c[2].id, 2);
    assert_true(c[0].score > c[2].score);
}

static void what_was_seen_before_counts(void **state)
{
    struct recommend_product target = PRODUCT(1, "Gift Card", "office", 1000);
    struct recommend_product seen[] = {PRODUCT(9, "Copper Kettle", "kitchen", 3000)};
    struct recommend_product c[] = {PRODUCT(2, "Walnut Desk Lamp", "lighting", 3000),
                                    PRODUCT(3, "Steel Kettle", "kitchen", 3000)};

    recommend(&target, seen, 1, 1.0, c, 2);
    assert_int_equal(c[0].id, 3);
}

static void empty_texts_and_sets_are_fine(void **state)
{
    struct recommend_product target = PRODUCT(1, "", "", 0);
    struct recommend_product c[] = {PRODUCT(3, "", "", 0), PRODUCT(2, "", "", 0)};

    recommend(&target, NULL, 0, 1.0, NULL, 0);
    recommend(&target, NULL, 0, 1.0, c, 2);
    assert_int_equal(c[0].id, 2);
    assert_true(c[0].score == c[0].score); /* not NaN */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_alike_comes_first),
        cmocka_unit_test(what_was_seen_before_counts),
        cmocka_unit_test(empty_texts_and_sets_are_fine),
    };

    return cmocka_run_group_tests_name("recommend", tests, NULL, NULL);
}
