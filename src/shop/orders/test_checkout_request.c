#include "shop/orders/checkout_request.h"
#include "support/test.h"
#include <string.h>

static int read_text(const char *text, struct checkout_request *ret_request, json_t **ret_json,
                     struct obs_reason *why)
{
    assert_int_equal(obs_json_parse(text, strlen(text), ret_json, why), 0);
    return checkout_request_read(*ret_json, ret_request, why);
}

static void takes_a_good_request_and_sorts_its_items(void **state)
{
    OBS_JSON json = NULL;
    struct checkout_request request;
    struct obs_reason why = {0};

    assert_int_equal(read_text("{\"user_id\":17,\"items\":["
                               "{\"product_id\":9,\"quantity\":1,\"unit_price_cents\":500},"
                               "{\"product_id\":4,\"quantity\":2,\"unit_price_cents\":1999}]}",
                               &request, &json, &why),
                     0);
    assert_string_equal(request.user_id, "17");
    assert_int_equal(request.item_count, 2);
    assert_int_equal(request.items[0].product_id, 4);
    assert_int_equal(request.total_cents, 4498);
    assert_string_equal(request.delivery_note, "");
}

static void names_the_field_it_refuses(void **state)
{
#define ITEM "{\"product_id\":1,\"quantity\":1,\"unit_price_cents\":1}"
    static const struct {
        const char *body, *field;
    } CASES[] = {
        {"[]", "body"},
        {"{}", "user_id"},
        {"{\"user_id\":0,\"items\":[" ITEM "]}", "user_id"},
        {"{\"user_id\":\"\",\"items\":[" ITEM "]}", "user_id"},
        {"{\"user_id\":true,\"items\":[" ITEM "]}", "user_id"},
        {"{\"user_id\":1}", "items"},
        {"{\"user_id\":1,\"items\":{}}", "items"},
        {"{\"user_id\":1,\"items\":[]}", "items"},
        {"{\"user_id\":1,\"items\":[3]}", "items"},
        {"{\"user_id\":1,\"items\":[{\"quantity\":1,\"unit_price_cents\":1}]}", "product_id"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":\"1\",\"quantity\":1,\"unit_price_cents\":1}]}",
         "product_id"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":0,\"unit_price_cents\":1}]}",
         "quantity"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":100,\"unit_price_cents\":1}]}",
         "quantity"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1.5,\"unit_price_cents\":1}]}",
         "quantity"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1,\"unit_price_cents\":-1}]}",
         "unit_price_cents"},
        {"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1}]}", "unit_price_cents"},
        {"{\"user_id\":1,\"items\":[" ITEM "," ITEM "]}", "product_id"},
        {"{\"user_id\":1,\"items\":[" ITEM "],\"coupon\":1}", "coupon"},
        {"{\"user_id\":1,\"items\":[" ITEM "],\"delivery_note\":7}", "delivery_note"},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        OBS_JSON json = NULL;
        struct checkout_request request;
        struct obs_reason why = {0};
        int r = read_text(CASES[i].body, &request, &json, &why);
        if (r != CHECKOUT_REQUEST_REFUSED || !strstr(why.text, CASES[i].field))
            fail_msg("%s: %d %s", CASES[i].body, r, why.text);
    }
}

static void refuses_keys_that_no_header_should_hold(void **state)
{
    char long_key[CHECKOUT_KEY_MAX + 2];
    struct obs_reason why = {0};

    memset(long_key, 'k', sizeof(long_key));
    long_key[sizeof(long_key) - 1] = '\0';
    assert_int_equal(checkout_key_check("a-1", &why), 0);
    assert_int_equal(checkout_key_check("", &why), CHECKOUT_REQUEST_REFUSED);
    assert_int_equal(checkout_key_check("a b", &why), CHECKOUT_REQUEST_REFUSED);
    assert_int_equal(checkout_key_check("\xc3\xa4", &why), CHECKOUT_REQUEST_REFUSED);
    assert_int_equal(checkout_key_check(long_key, &why), CHECKOUT_REQUEST_REFUSED);
    assert_non_null(strstr(why.text, "Idempotency-Key"));
}

static void fingerprint_of(const char *body, struct obs_buffer *b)
{
    OBS_JSON json = NULL;
    struct checkout_request request;
    struct obs_reason why = {0};

    assert_int_equal(read_text(body, &request, &json, &why), 0);
    assert_int_equal(checkout_request_fingerprint(&request, b), 0);
}

static void fingerprints_what_the_customer_asked_for_and_not_its_spelling(void **state)
{
    struct obs_buffer a = OBS_BUFFER_INIT(8192), b = OBS_BUFFER_INIT(8192),
                      c = OBS_BUFFER_INIT(8192);

    fingerprint_of("{\"user_id\":1,\"items\":[" ITEM
                   ",{\"product_id\":2,\"quantity\":3,\"unit_price_cents\":4}]}",
                   &a);
    fingerprint_of("{ \"items\": [{\"quantity\":3,\"unit_price_cents\":4,\"product_id\":2}, " ITEM
                   "], \"user_id\": \"1\" }",
                   &b);
    fingerprint_of("{\"user_id\":1,\"items\":[" ITEM
                   ",{\"product_id\":2,\"quantity\":4,\"unit_price_cents\":4}]}",
                   &c);
    assert_string_equal(a.data, b.data);
    assert_string_not_equal(a.data, c.data);
    obs_buffer_done(&a);
    obs_buffer_done(&b);
    obs_buffer_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_good_request_and_sorts_its_items),
        cmocka_unit_test(names_the_field_it_refuses),
        cmocka_unit_test(refuses_keys_that_no_header_should_hold),
        cmocka_unit_test(fingerprints_what_the_customer_asked_for_and_not_its_spelling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
