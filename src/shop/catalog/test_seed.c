#include "shop/catalog/seed.h"
#include "support/test.h"
#include <stdlib.h>
#include <string.h>

static void products_are_the_same_each_time(void **state)
{
    struct seed_product a, b;

    seed_product_make(1234, &a);
    seed_product_make(1, &b);
    seed_product_make(1234, &b);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void all_products_are_fit_for_the_table(void **state)
{
    struct seed_product p;

    for (unsigned id = 1; id <= SEED_PRODUCTS; id++) {
        seed_product_make(id, &p);
        assert_in_range(p.category, 1, SEED_CATEGORY_COUNT);
        assert_in_range(p.price_cents, SEED_CATEGORIES[p.category - 1].price_low, 100000);
        assert_in_range(strlen(p.name), 15, SEED_NAME_SIZE - 1);
        assert_in_range(strlen(p.description), 200, SEED_DESCRIPTION_SIZE - 1);
        assert_null(strpbrk(p.name, "\t\n\\"));
        assert_null(strpbrk(p.description, "\t\n\\"));
        assert_true(p.rating >= 2.6 && p.rating <= 5.0);
    }
}

static void a_few_products_get_most_of_the_looks(void **state)
{
    unsigned long total = 0, most = 0;
    struct seed_product p;

    for (unsigned id = 1; id <= SEED_PRODUCTS; id++) {
        seed_product_make(id, &p);
        total += p.popularity;
        most += p.popularity > 10000 ? p.popularity : 0;
    }
    assert_true(most * 2 > total * 1 - total / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_the_same_each_time),
        cmocka_unit_test(all_products_are_fit_for_the_table),
        cmocka_unit_test(a_few_products_get_most_of_the_looks),
    };

    return cmocka_run_group_tests_name("seed", tests, NULL, NULL);
}
