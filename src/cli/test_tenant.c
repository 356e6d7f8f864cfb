#include "support/test.h"

#include "cli/tenant.h"

static void takes_names_that_can_stand_in_a_path_and_a_database(void **state)
{
    assert_true(tenant_is_name("solo"));
    assert_true(tenant_is_name("class-7b"));
    assert_true(tenant_is_name("a"));
}

static void refuses_all_other_names(void **state)
{
    assert_false(tenant_is_name(""));
    assert_false(tenant_is_name("Solo"));
    assert_false(tenant_is_name("7b"));
    assert_false(tenant_is_name("../etc"));
    assert_false(tenant_is_name("a/b"));
    assert_false(tenant_is_name("a'; DROP"));
    assert_false(tenant_is_name("platform"));
    assert_false(tenant_is_name("a-name-that-has-more-than-32-bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_names_that_can_stand_in_a_path_and_a_database),
        cmocka_unit_test(refuses_all_other_names),
    };

    return cmocka_run_group_tests_name("cli/tenant", tests, NULL, NULL);
}
