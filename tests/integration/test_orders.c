/* orders: its API, its transaction, its outbox without a broker, its releases. No fulfilment. */
#include "base/clock.h"
#include "support/shop_rig.h"
#include "support/test.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct rig rig;

static const char *text_of(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static void takes_an_order_and_tells_its_story(void **state)
{
    OBS_JSON order = NULL;
    char order_id[40], target[64];
    long long available = rig_number(&rig, "SELECT available FROM stock WHERE product_id = 11");
    const json_t *history;

    assert_int_equal(rig_order(&rig, "story-1", 11, "", order_id), 201);
    assert_int_equal(rig_number(&rig, "SELECT available FROM stock WHERE product_id = 11"),
                     available - 1);
    snprintf(target, sizeof(target), "/orders/%s", order_id);
    assert_int_equal(rig_call(rig.orders_api, "GET", target, NULL, NULL, &order), 200);
    assert_string_equal(text_of(order, "status"), "accepted");
    assert_int_equal(json_integer_value(json_object_get(order, "total_cents")), 1250);
    history = json_object_get(order, "history");
    assert_int_equal(json_array_size(history), 1);
    assert_string_equal(text_of(json_array_get(history, 0), "status"), "accepted");
}

static void answers_a_repeated_key_with_the_same_order(void **state)
{
    const char *const headers[] = {"Idempotency-Key", "again-1", NULL};
    char first[40], second[40], third[40];
    double created = rig_metric(rig.orders_admin, "orders_created_total");

    assert_int_equal(rig_order(&rig, "again-1", 12, "", first), 201);
    assert_int_equal(rig_order(&rig, "again-1", 12, "", second), 200);
    assert_string_equal(first, second);
    assert_int_equal(rig_order(&rig, "again-1", 13, "", third), 422);
    assert_int_equal(rig_call(rig.orders_api, "POST", "/orders", headers,
                              "{\"user_id\":18,\"items\":[{\"product_id\":12,\"quantity\":1,"
                              "\"unit_price_cents\":1}]}",
                              NULL),
                     201); /* another user's key is another key */
    assert_true(rig_metric(rig.orders_admin, "orders_created_total") == created + 2);
}

static void makes_every_request_an_order_when_idempotency_is_off(void **state)
{
    char first[40], second[40];

    rig_configure(rig.orders_admin, "{\"idempotency\":\"off\"}");
    assert_int_equal(rig_order(&rig, "off-1", 12, "", first), 201);
    assert_int_equal(rig_order(&rig, "off-1", 12, "", second), 201);
    assert_string_not_equal(first, second);
    rig_configure(rig.orders_admin, "{\"idempotency\":\"on\"}");
}

struct racer {
    pthread_t thread;
    const char *key;
    long product;
    int status;
    char order_id[40];
};

static void *race(void *userdata)
{
    struct racer *racer = userdata;

    racer->status = rig_order(&rig, racer->key, racer->product, "", racer->order_id);
    return NULL;
}

static void makes_one_order_of_one_key_sent_many_times_at_once(void **state)
{
    struct racer racers[12];
    unsigned created = 0;

    for (size_t i = 0; i < OBS_COUNT(racers); i++) {
        racers[i] = (struct racer){.key = "race-1", .product = 14};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < OBS_COUNT(racers); i++) {
        pthread_join(racers[i].thread, NULL);
        assert_true(racers[i].status == 200 || racers[i].status == 201);
        assert_string_equal(racers[i].order_id, racers[0].order_id);
        created += racers[i].status == 201;
    }
    assert_int_equal(created, 1);
}

static void never_sells_more_than_there_is(void **state)
{
    struct racer racers[12];
    char keys[12][16];
    unsigned sold = 0, refused = 0;

    assert_int_equal(fixture_postgres_execute(
                         rig.postgres, RIG_DATABASE,
                         "UPDATE stock SET available = 5, target = 5 WHERE product_id = 15"),
                     0);
    for (size_t i = 0; i < OBS_COUNT(racers); i++) {
        snprintf(keys[i], sizeof(keys[i]), "last-%zu", i);
        racers[i] = (struct racer){.key = keys[i], .product = 15};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < OBS_COUNT(racers); i++) {
        pthread_join(racers[i].thread, NULL);
        sold += racers[i].status == 201;
        refused += racers[i].status == 409;
    }
    assert_int_equal(sold, 5);
    assert_int_equal(refused, 7);
    assert_int_equal(rig_number(&rig, "SELECT available FROM stock WHERE product_id = 15"), 0);
}

static void names_the_product_that_is_out_of_stock(void **state)
{
    OBS_JSON problem = NULL;

    assert_int_equal(rig_call(rig.orders_api, "POST", "/orders", NULL,
                              "{\"user_id\":1,\"items\":["
                              "{\"product_id\":16,\"quantity\":1,\"unit_price_cents\":1},"
                              "{\"product_id\":997,\"quantity\":1,\"unit_price_cents\":1}]}",
                              &problem),
                     409);
    assert_int_equal(json_integer_value(json_object_get(problem, "product_id")), 997);
    assert_non_null(strstr(text_of(problem, "detail"), "997"));
}

static void refuses_bad_requests_naming_the_field(void **state)
{
#define ITEM "{\"product_id\":1,\"quantity\":1,\"unit_price_cents\":1}"
    static const struct {
        const char *key, *body, *field;
        int status;
    } CASES[] = {
        {NULL, "", "body", 400},
        {NULL, "{", "body", 400},
        {NULL, "{\"user_id\":1,\"user_id\":2}", "body", 400},
        {NULL, "[]", "body", 422},
        {NULL, "{\"items\":[" ITEM "]}", "user_id", 422},
        {NULL, "{\"user_id\":-1,\"items\":[" ITEM "]}", "user_id", 422},
        {NULL, "{\"user_id\":1}", "items", 422},
        {NULL, "{\"user_id\":1,\"items\":[" ITEM "," ITEM "]}", "product_id", 422},
        {NULL,
         "{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":0,"
         "\"unit_price_cents\":1}]}",
         "quantity", 422},
        {NULL,
         "{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":99999999999999999999,"
         "\"unit_price_cents\":1}]}",
         "body", 400},
        {NULL, "{\"user_id\":1,\"items\":[" ITEM "],\"total_cents\":1}", "total_cents", 422},
        {"", "{\"user_id\":1,\"items\":[" ITEM "]}", "Idempotency-Key", 422},
        {"two words", "{\"user_id\":1,\"items\":[" ITEM "]}", "Idempotency-Key", 422},
    };
    long long before = rig_number(&rig, "SELECT count(*) FROM orders");

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        const char *const headers[] = {"Idempotency-Key", CASES[i].key, NULL};
        OBS_JSON problem = NULL;
        int status = rig_call(rig.orders_api, "POST", "/orders", CASES[i].key ? headers : NULL,
                              CASES[i].body, &problem);
        const char *detail = text_of(problem, "detail");
        if (status != CASES[i].status || !detail || !strstr(detail, CASES[i].field))
            fail_msg("%s: %d %s", CASES[i].body, status, detail ? detail : "(no detail)");
    }
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM orders"), before);
    assert_int_equal(rig_call(rig.orders_api, "GET", "/orders/none", NULL, NULL, NULL), 404);
    assert_int_equal(rig_call(rig.orders_api, "GET", "/orders/0192f4a1-b2c3-7fff-bfff-ffffffffffff",
                              NULL, NULL, NULL),
                     404);
    assert_int_equal(rig_call(rig.orders_api, "GET", "/orders?state=lost", NULL, NULL, NULL), 422);
    assert_int_equal(rig_call(rig.orders_api, "GET", "/orders?limit=0", NULL, NULL, NULL), 422);
}

static void ends_an_order_once_and_gives_stock_back_once(void **state)
{
    char order_id[40], fulfilled[96], dead[96];
    const char *stock = "SELECT available FROM stock WHERE product_id = 21";
    long long available = rig_number(&rig, stock);
    double count = rig_metric(rig.orders_admin, "orders_dead_lettered_total");

    assert_int_equal(rig_order(&rig, "end-1", 21, "", order_id), 201);
    snprintf(fulfilled, sizeof(fulfilled), "/orders/%s/fulfilled", order_id);
    snprintf(dead, sizeof(dead), "/orders/%s/dead-lettered", order_id);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            rig_call(rig.orders_api, "POST", dead, NULL, "{\"reason\":\"no label\"}", NULL), 200);
    assert_int_equal(rig_number(&rig, stock), available);
    assert_int_equal(rig_call(rig.orders_api, "POST", fulfilled, NULL, NULL, NULL), 409);
    assert_true(rig_metric(rig.orders_admin, "orders_dead_lettered_total") ==
                (count < 0 ? 0 : count) + 1);
}

static void lists_orders_for_operators(void **state)
{
    OBS_JSON list = NULL;
    const json_t *first;

    assert_int_equal(
        rig_call(rig.orders_api, "GET", "/orders?state=accepted&limit=2", NULL, NULL, &list), 200);
    assert_int_equal(json_array_size(json_object_get(list, "orders")), 2);
    first = json_array_get(json_object_get(list, "orders"), 0);
    assert_true(json_real_value(json_object_get(first, "age_seconds")) > 0);
}

static void keeps_orders_in_the_outbox_while_the_broker_is_away(void **state)
{
    char order_id[40];

    rig_wait_number(&rig, "SELECT count(*) FROM outbox", 0, RIG_WAIT_MS);
    fixture_rabbitmq_kill(rig.rabbitmq);
    assert_int_equal(rig_order(&rig, "away-1", 22, "", order_id), 201);
    assert_int_equal(rig_order(&rig, "away-2", 22, "", order_id), 201);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM outbox"), 2);
    rig_kill(&rig.orders); /* nor does the death of orders lose them */
    assert_int_equal(fixture_rabbitmq_restart(rig.rabbitmq), 0);
    rig_start_orders(&rig);
    rig_wait_number(&rig, "SELECT count(*) FROM outbox", 0, RIG_WAIT_MS);
    assert_true(rig_metric(rig.orders_admin, "messages_published_total") >= 2);
}

static void waits_for_a_connection_as_long_as_the_pool_says(void **state)
{
    struct racer racers[4];
    char keys[4][16];
    unsigned busy = 0;

    rig_configure(rig.orders_admin,
                  "{\"db.pool_size\":1,\"db.acquire_timeout\":50,\"payment.authorize_ms\":400}");
    for (size_t i = 0; i < OBS_COUNT(racers); i++) {
        snprintf(keys[i], sizeof(keys[i]), "pool-%zu", i);
        racers[i] = (struct racer){.key = keys[i], .product = 23};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < OBS_COUNT(racers); i++) {
        pthread_join(racers[i].thread, NULL);
        busy += racers[i].status == 503;
    }
    assert_true(busy >= 1 && busy <= 3);
    assert_true(rig_metric(rig.orders_admin, "db_pool_max") == 1);
    assert_true(rig_metric(rig.orders_admin, "db_pool_timeouts_total") >= busy);
    rig_configure(rig.orders_admin,
                  "{\"db.pool_size\":null,\"db.acquire_timeout\":null,\"payment.authorize_ms\":0}");
    assert_int_equal(rig_order(&rig, "pool-after", 23, "", racers[0].order_id), 201);
}

#define IDLE_IN_TRANSACTION                                                                        \
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = "     \
    "'" RIG_DATABASE "'"

/* The release 1.3 of the curriculum. */
static void release_1_3_holds_a_session_for_each_refused_order_until_rolled_back(void **state)
{
    char order_id[40];

    rig_wait_number(&rig, IDLE_IN_TRANSACTION, 0, RIG_WAIT_MS);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_order(&rig, NULL, 997, "", order_id), 409);
    assert_int_equal(rig_number(&rig, IDLE_IN_TRANSACTION), 0);
    rig_configure(rig.orders_admin, "{\"version\":\"1.3\"}");
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_order(&rig, NULL, 997, "", order_id), 409);
    assert_int_equal(rig_order(&rig, "leak-ok", 24, "", order_id), 201);
    rig_wait_number(&rig, IDLE_IN_TRANSACTION, 3, RIG_WAIT_MS);
    assert_true(rig_metric(rig.orders_admin,
                           "db_pool_connections{service=\"orders\",version=\"1.3\","
                           "state=\"used\"}") == 3);
    rig_configure(rig.orders_admin, "{\"version\":\"1.2\"}");
    rig_wait_number(&rig, IDLE_IN_TRANSACTION, 0, RIG_WAIT_MS);
}

static void ends_idle_transactions_after_the_time_that_is_set(void **state)
{
    char order_id[40];

    rig_configure(rig.orders_admin, "{\"version\":\"1.3\",\"db.idle_in_transaction_timeout\":200}");
    assert_int_equal(rig_order(&rig, NULL, 997, "", order_id), 409);
    rig_wait_number(&rig, IDLE_IN_TRANSACTION, 0, RIG_WAIT_MS);
    rig_configure(rig.orders_admin,
                  "{\"version\":\"1.2\",\"db.idle_in_transaction_timeout\":null}");
}

static void comes_back_after_the_database_was_killed(void **state)
{
    char order_id[40];
    uint64_t end;

    fixture_postgres_kill(rig.postgres);
    assert_int_equal(rig_order(&rig, "db-1", 25, "", order_id), 503);
    assert_int_equal(fixture_postgres_restart(rig.postgres), 0);
    end = obs_mono_ns() + RIG_WAIT_MS * OBS_NS_PER_MS;
    while (rig_order(&rig, "db-1", 25, "", order_id) != 201)
        assert_true(obs_mono_ns() < end);
    rig_wait_number(&rig, "SELECT count(*) FROM outbox", 0, RIG_WAIT_MS);
}

static void knows_the_age_of_the_oldest_order_that_waits(void **state)
{
    assert_int_equal(
        fixture_postgres_execute(rig.postgres, RIG_DATABASE,
                                 "UPDATE orders SET created_at = created_at - interval '1 hour'"
                                 " WHERE state = 'accepted'"),
        0);
    for (uint64_t end = obs_mono_ns() + RIG_WAIT_MS * OBS_NS_PER_MS;
         rig_metric(rig.orders_admin, "orders_oldest_unfulfilled_seconds") < 3600;
         obs_sleep_ns(50 * OBS_NS_PER_MS))
        assert_true(obs_mono_ns() < end);
}

static void leaves_when_asked_to(void **state)
{
    rig_stop(&rig.orders);
    rig_start_orders(&rig);
}

static int set_up(void **state)
{
    rig_start_orders(&rig);
    return 0;
}

static char **arguments;

static int set_up_all(void **state)
{
    rig_init(&rig, arguments);
    return set_up(state);
}

static int tear_down_all(void **state)
{
    rig_done(&rig);
    return 0;
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_an_order_and_tells_its_story),
        cmocka_unit_test(answers_a_repeated_key_with_the_same_order),
        cmocka_unit_test(makes_every_request_an_order_when_idempotency_is_off),
        cmocka_unit_test(makes_one_order_of_one_key_sent_many_times_at_once),
        cmocka_unit_test(never_sells_more_than_there_is),
        cmocka_unit_test(names_the_product_that_is_out_of_stock),
        cmocka_unit_test(refuses_bad_requests_naming_the_field),
        cmocka_unit_test(ends_an_order_once_and_gives_stock_back_once),
        cmocka_unit_test(lists_orders_for_operators),
        cmocka_unit_test(keeps_orders_in_the_outbox_while_the_broker_is_away),
        cmocka_unit_test(waits_for_a_connection_as_long_as_the_pool_says),
        cmocka_unit_test(release_1_3_holds_a_session_for_each_refused_order_until_rolled_back),
        cmocka_unit_test(ends_idle_transactions_after_the_time_that_is_set),
        cmocka_unit_test(knows_the_age_of_the_oldest_order_that_waits),
        cmocka_unit_test(comes_back_after_the_database_was_killed),
        cmocka_unit_test(leaves_when_asked_to),
    };

    if (argc != 4)
        return 2;
    arguments = argv;
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
