#include "shop/storefront/checkout.h"
#include "support/test.h"
#include <string.h>

static json_t *parse(const char *text)
{
    json_t *json = NULL;

    assert_int_equal(obs_json_parse(text, strlen(text), &json, NULL), 0);
    return json;
}

static void good_bodies_pass(void **state)
{
    static const char *const BODIES[] = {
        "{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1}]}",
        "{\"user_id\":\"ada\",\"items\":[{\"product_id\":1,\"quantity\":99}],\"delivery_note\":"
        "\"x\"}",
    };

    for (size_t i = 0; i < OBS_COUNT(BODIES); i++) {
        OBS_JSON body = parse(BODIES[i]);

        assert_int_equal(checkout_body_check(body, NULL), CHECKOUT_OK);
    }
}

static void bad_bodies_are_refused_and_the_field_is_named(void **state)
{
    static const struct {
        const char *body, *field;
    } CASES[] = {
        {"[]", "body"},
        {"{\"items\":[{\"product_id\":1,\"quantity\":1}]}", "user_id"},
        {"{\"user_id\":\"\",\"items\":[{\"product_id\":1,\"quantity\":1}]}", "user_id"},
        {"{\"user_id\":1}", "items"},
        {"{\"user_id\":1,\"items\":[]}", "items"},
        {"{\"user_id\":1,\"items\":{}}", "items"},
        {"{\"user_id\":1,\"items\":[7]}", "[0]"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":0}]}", "quantity"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":100}]}", "quantity"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1.5}]}", "quantity"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":\"1\",\"quantity\":1}]}", "product_id"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1},"
         "{\"product_id\":1,\"quantity\":2}]}",
         "[1]"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1,\"unit_price_cents\":1}]}",
         "unit_price_cents"},
        {"{\"user_id\":1,\"coupon\":1,\"items\":[{\"product_id\":1,\"quantity\":1}]}", "coupon"},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        OBS_JSON body = parse(CASES[i].body);
        struct obs_reason why = {0};

        assert_int_equal(checkout_body_check(body, &why), CHECKOUT_REFUSED);
        if (!strstr(why.text, CASES[i].field))
            fail_msg("%s does not name %s: %s", CASES[i].body, CASES[i].field, why.text);
    }
}

static void too_many_items_are_refused(void **state)
{
    OBS_JSON items = json_array();
    OBS_JSON body = NULL;

    for (int i = 1; i <= CHECKOUT_ITEMS_MAX; i++)
        json_array_append_new(items, json_pack("{s:i, s:i}", "product_id", i, "quantity", 1));
    body = json_pack("{s:i, s:O}", "user_id", 1, "items", items);
    assert_int_equal(checkout_body_check(body, NULL), CHECKOUT_OK);
    json_array_append_new(items, json_pack("{s:i, s:i}", "product_id", 99, "quantity", 1));
    assert_int_equal(checkout_body_check(body, NULL), CHECKOUT_REFUSED);
}

static void keys_are_short_and_visible(void **state)
{
    char key[CHECKOUT_KEY_MAX + 2];

    memset(key, 'k', sizeof(key));
    key[CHECKOUT_KEY_MAX + 1] = '\0';
    assert_int_equal(checkout_key_check(key, NULL), CHECKOUT_REFUSED);
    key[CHECKOUT_KEY_MAX] = '\0';
    assert_int_equal(checkout_key_check(key, NULL), CHECKOUT_OK);
    assert_int_equal(checkout_key_check(NULL, NULL), CHECKOUT_REFUSED);
    assert_int_equal(checkout_key_check("", NULL), CHECKOUT_REFUSED);
    assert_int_equal(checkout_key_check("a b", NULL), CHECKOUT_REFUSED);
    assert_int_equal(checkout_key_check("\xc3\xa4", NULL), CHECKOUT_REFUSED);
}

static void prices_come_from_catalog(void **state)
{
    OBS_JSON body = parse("{\"user_id\":1,\"items\":[{\"product_id\":7,\"quantity\":2}]}");
    OBS_JSON products = parse("{\"items\":[{\"id\":7,\"price_cents\":1250}]}");
    OBS_JSON others = parse("{\"items\":[{\"id\":8,\"price_cents\":1250}]}");
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(64);
    struct obs_reason why = {0};

    assert_int_equal(checkout_ids(body, &b), 0);
    assert_string_equal(b.data, "7");
    assert_int_equal(checkout_price(body, others, &why), CHECKOUT_REFUSED);
    assert_non_null(strstr(why.text, "product_id"));
    assert_int_equal(checkout_price(body, products, &why), CHECKOUT_OK);
    assert_int_equal(json_integer_value(json_object_get(
                         json_array_get(json_object_get(body, "items"), 0), "unit_price_cents")),
                     1250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_bodies_pass),
        cmocka_unit_test(bad_bodies_are_refused_and_the_field_is_named),
        cmocka_unit_test(too_many_items_are_refused),
        cmocka_unit_test(keys_are_short_and_visible),
        cmocka_unit_test(prices_come_from_catalog),
    };

    return cmocka_run_group_tests_name("checkout", tests, NULL, NULL);
}
