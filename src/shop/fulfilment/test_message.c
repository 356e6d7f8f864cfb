#include "base/cleanup.h"
#include "shop/fulfilment/message.h"
#include "support/test.h"
#include <stdio.h>
#include <string.h>

static void reads_an_accepted_order(void **state)
{
    static const char BODY[] = "{\"order_id\":\"0192f4a1-b2c3-7fff-bfff-ffffffffffff\","
                               "\"user_id\":\"7\",\"items\":[{\"product_id\":4,\"quantity\":2},"
                               "{\"product_id\":9,\"quantity\":1}],\"delivery_note\":\"\"}";
    struct message_order order;
    struct obs_reason why = {0};

    assert_int_equal(message_read(BODY, strlen(BODY), &order, &why), MESSAGE_OK);
    assert_string_equal(order.order_id, "0192f4a1-b2c3-7fff-bfff-ffffffffffff");
    assert_int_equal(order.item_count, 2);
    assert_int_equal(order.pieces, 3);
}

static void says_why_a_message_is_malformed_and_whose_it_is_when_that_can_be_read(void **state)
{
    static const struct {
        const char *body, *order_id, *reason;
    } CASES[] = {
        {"", "", ""},
        {"\xff\xfe", "", ""},
        {"[]", "", "object"},
        {"{\"order_id\":7}", "", "order_id"},
        {"{\"order_id\":\"a\"}", "a", "items"},
        {"{\"order_id\":\"a\",\"items\":[1]}", "a", "items"},
        {"{\"order_id\":\"a\",\"items\":[{\"product_id\":1,\"quantity\":0}]}", "a", "quantity"},
        {"{\"order_id\":\"a\",\"items\":[{\"product_id\":1,\"quantity\":1}],\"delivery_note\":1}",
         "a", "delivery_note"},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        struct message_order order;
        struct obs_reason why = {0};
        int r = message_read(CASES[i].body, strlen(CASES[i].body), &order, &why);
        if (r != MESSAGE_MALFORMED || strcmp(order.order_id, CASES[i].order_id) != 0 ||
            !strstr(why.text, CASES[i].reason) || why.text[0] == '\0')
            fail_msg("%s: %d \"%s\" %s", CASES[i].body, r, order.order_id, why.text);
    }
}

static void refuses_a_note_that_no_label_holds(void **state)
{
    char body[600], note[MESSAGE_LABEL_NOTE_MAX + 2];
    struct message_order order;
    struct obs_reason why = {0};

    memset(note, 'n', sizeof(note));
    note[MESSAGE_LABEL_NOTE_MAX] = '\0';
    for (int is_too_long = 0; is_too_long < 2; is_too_long++) {
        snprintf(body, sizeof(body),
                 "{\"order_id\":\"a\",\"items\":[{\"product_id\":1,\"quantity\":1}],"
                 "\"delivery_note\":\"%s\"}",
                 note);
        assert_int_equal(message_read(body, strlen(body), &order, &why), is_too_long);
        note[MESSAGE_LABEL_NOTE_MAX] = 'n';
        note[MESSAGE_LABEL_NOTE_MAX + 1] = '\0';
    }
}

static void sets_a_message_aside_after_its_last_delivery_only(void **state)
{
    struct fulfilment_settings settings = {.on_error = FULFILMENT_DEAD_LETTER, .max_deliveries = 3};

    for (int64_t attempts = 0; attempts < 3; attempts++)
        assert_int_equal(message_on_arrival(&settings, attempts), MESSAGE_WORK);
    assert_int_equal(message_on_arrival(&settings, 3), MESSAGE_SPENT);
    assert_int_equal(message_on_failure(&settings), MESSAGE_AGAIN);
    settings.max_deliveries = 1; /* lowered while messages are on their way */
    assert_int_equal(message_on_arrival(&settings, 2), MESSAGE_SPENT);
}

static void returns_a_message_without_end_when_told_to_requeue(void **state)
{
    struct fulfilment_settings settings = {.on_error = FULFILMENT_REQUEUE, .max_deliveries = 3};

    assert_int_equal(message_on_arrival(&settings, 1000), MESSAGE_WORK);
    assert_int_equal(message_on_failure(&settings), MESSAGE_REQUEUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_an_accepted_order),
        cmocka_unit_test(says_why_a_message_is_malformed_and_whose_it_is_when_that_can_be_read),
        cmocka_unit_test(refuses_a_note_that_no_label_holds),
        cmocka_unit_test(sets_a_message_aside_after_its_last_delivery_only),
        cmocka_unit_test(returns_a_message_without_end_when_told_to_requeue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
