/* orders and fulfilment together: one trace, poison, and what survives the death of each part. */
#include "base/clock.h"
#include "support/shop_rig.h"
#include "support/test.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define WAITING "SELECT count(*) FROM orders WHERE state = 'accepted'"
#define DEAD "SELECT count(*) FROM orders WHERE state = 'dead_lettered'"

static struct rig rig;
static char note_too_long[301];

static void wait_fulfilled(void)
{
    rig_wait_number(&rig, WAITING, 0, RIG_WAIT_MS);
}

static void wait_depth(const char *queue, int depth)
{
    uint64_t end = obs_mono_ns() + RIG_WAIT_MS * OBS_NS_PER_MS;

    while (fixture_rabbitmq_depth(rig.rabbitmq, queue, NULL) != depth) {
        assert_true(obs_mono_ns() < end);
        obs_sleep_ns(50 * OBS_NS_PER_MS);
    }
}

/* ---- the good case ---- */

static void fulfils_an_order_and_shows_its_shipment(void **state)
{
    char order_id[40], target[64];
    OBS_JSON order = NULL;
    OBS_JSON shipments = NULL;
    const json_t *history, *first;

    assert_int_equal(rig_order(&rig, "ship-1", 31, "ring twice", order_id), 201);
    wait_fulfilled();
    snprintf(target, sizeof(target), "/orders/%s", order_id);
    assert_int_equal(rig_call(rig.orders_api, "GET", target, NULL, NULL, &order), 200);
    assert_string_equal(json_string_value(json_object_get(order, "status")), "fulfilled");
    history = json_object_get(order, "history");
    assert_int_equal(json_array_size(history), 2);
    assert_true(fixture_process_wait_for(rig.fulfilment, "order shipped", RIG_WAIT_MS));
    assert_int_equal(
        rig_call(rig.fulfilment_api, "GET", "/shipments/recent?limit=1", NULL, NULL, &shipments),
        200);
    first = json_array_get(json_object_get(shipments, "shipments"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "order_id")), order_id);
    assert_string_equal(json_string_value(json_object_get(first, "tracking")),
                        json_string_value(json_object_get(json_array_get(history, 1), "detail")));
}

static int order_in_trace(const char *key, const char *trace_id)
{
    char traceparent[64];
    const char *const headers[] = {"Idempotency-Key", key, "traceparent", traceparent, NULL};

    snprintf(traceparent, sizeof(traceparent), "00-%s-00f067aa0ba902b7-01", trace_id);
    return rig_call(rig.orders_api, "POST", "/orders", headers,
                    "{\"user_id\":1,\"items\":[{\"product_id\":32,\"quantity\":1,"
                    "\"unit_price_cents\":1}]}",
                    NULL);
}

static void carries_the_trace_through_the_queue_unless_told_not_to(void **state)
{
    static const char LINKED[] = "4bf92f3577b34da6a3ce929d0e0e4736";
    static const char CUT[] = "5bf92f3577b34da6a3ce929d0e0e4737";
    double none;

    assert_int_equal(order_in_trace("trace-1", LINKED), 201);
    wait_fulfilled();
    assert_true(fixture_process_wait_for(rig.fulfilment, LINKED, RIG_WAIT_MS));
    assert_true(rig_metric(rig.fulfilment_admin, "fulfilment_consumed_total{service=\"fulfilment\","
                                                 "version=\"1.2\",parent=\"remote\"}") >= 1);
    none = rig_metric(rig.fulfilment_admin, "fulfilment_consumed_total{service=\"fulfilment\","
                                            "version=\"1.2\",parent=\"none\"}");
    assert_true(none <= 0);
    rig_configure(rig.orders_admin, "{\"mq.propagate_trace\":false}");
    assert_int_equal(order_in_trace("trace-2", CUT), 201);
    wait_fulfilled();
    assert_true(rig_metric(rig.fulfilment_admin, "fulfilment_consumed_total{service=\"fulfilment\","
                                                 "version=\"1.2\",parent=\"none\"}") == 1);
    assert_int_equal(fixture_process_count(rig.fulfilment, CUT), 0);
    rig_configure(rig.orders_admin, "{\"mq.propagate_trace\":true}");
}

static void books_the_second_carrier_when_the_first_is_too_slow(void **state)
{
    char order_id[40];

    rig_configure(rig.fulfilment_admin, "{\"carrier.latency_ms\":60000,\"carrier.timeout_ms\":50}");
    assert_int_equal(rig_order(&rig, "slow-1", 33, "", order_id), 201);
    wait_fulfilled();
    assert_true(fixture_process_wait_for(rig.fulfilment, "\"carrier\":\"harbour\"", RIG_WAIT_MS));
    rig_configure(rig.fulfilment_admin, "{\"carrier.latency_ms\":0,\"carrier.timeout_ms\":null}");
}

/* ---- poison ---- */

static void sets_a_poison_message_aside_after_its_last_delivery(void **state)
{
    char order_id[40], good[40], body[2048], reason[256];
    long long dead = rig_number(&rig, DEAD);

    assert_int_equal(rig_order(&rig, "poison-1", 34, note_too_long, order_id), 201);
    assert_int_equal(rig_order(&rig, "poison-2", 34, "", good), 201);
    rig_wait_number(&rig, DEAD, dead + 1, RIG_WAIT_MS);
    wait_fulfilled();
    wait_depth("fulfilment.dead", 1);
    assert_int_equal(fixture_rabbitmq_take(rig.rabbitmq, "fulfilment.dead", "x-last-error", body,
                                           sizeof(body), reason, sizeof(reason)),
                     1);
    assert_non_null(strstr(body, order_id));
    assert_non_null(strstr(reason, "delivery_note"));
    assert_int_equal(fixture_process_count(rig.fulfilment, "message failed"), 3);
    assert_true(rig_metric(rig.orders_admin, "orders_dead_lettered_total") == 1);
}

static void sets_aside_what_is_not_even_json(void **state)
{
    static const char GARBAGE[] = "\x00\xff{\"order_id\":";
    char body[64], reason[256];
    long long dead = rig_number(&rig, DEAD);

    assert_int_equal(
        fixture_rabbitmq_publish(rig.rabbitmq, "orders", "fulfilment", GARBAGE, sizeof(GARBAGE)),
        0);
    assert_int_equal(fixture_rabbitmq_publish(rig.rabbitmq, "orders", "fulfilment", "", 0), 0);
    wait_depth("fulfilment.dead", 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fixture_rabbitmq_take(rig.rabbitmq, "fulfilment.dead", "x-last-error",
                                               body, sizeof(body), reason, sizeof(reason)),
                         1);
    assert_true(reason[0] != '\0');
    assert_int_equal(rig_number(&rig, DEAD), dead);
}

static void sets_aside_what_is_too_large_to_read(void **state)
{
    static char large[2 << 20];
    char body[64], reason[256];

    memset(large, ' ', sizeof(large));
    assert_int_equal(
        fixture_rabbitmq_publish(rig.rabbitmq, "orders", "fulfilment", large, sizeof(large)), 0);
    wait_depth("fulfilment.dead", 1);
    assert_int_equal(fixture_rabbitmq_take(rig.rabbitmq, "fulfilment.dead", "x-last-error", body,
                                           sizeof(body), reason, sizeof(reason)),
                     1);
}

static void sets_aside_an_order_that_orders_does_not_know(void **state)
{
    static const char BODY[] = "{\"order_id\":\"0192f4a1-b2c3-7fff-bfff-ffffffffffff\","
                               "\"items\":[{\"product_id\":1,\"quantity\":1}]}";
    char body[256], reason[256];

    assert_int_equal(
        fixture_rabbitmq_publish(rig.rabbitmq, "orders", "fulfilment", BODY, strlen(BODY)), 0);
    wait_depth("fulfilment.dead", 1);
    assert_int_equal(fixture_rabbitmq_take(rig.rabbitmq, "fulfilment.dead", "x-last-error", body,
                                           sizeof(body), reason, sizeof(reason)),
                     1);
    assert_non_null(strstr(reason, "404"));
}

/* The fault of the curriculum's S15, and its repair. */
static void requeues_poison_for_ever_when_told_to_and_recovers_when_told_otherwise(void **state)
{
    char poison[40], good[40];
    long long dead = rig_number(&rig, DEAD);

    rig_configure(rig.fulfilment_admin,
                  "{\"consumer.on_error\":\"requeue\",\"consumer.prefetch\":1}");
    assert_int_equal(rig_order(&rig, "loop-1", 35, note_too_long, poison), 201);
    assert_int_equal(rig_order(&rig, "loop-2", 35, "", good), 201);
    while (rig_metric(rig.fulfilment_admin, "fulfilment_results_total{service=\"fulfilment\","
                                            "version=\"1.2\",result=\"requeued\"}") < 20)
        obs_sleep_ns(20 * OBS_NS_PER_MS);
    assert_int_equal(rig_number(&rig, WAITING), 2); /* nothing behind it gets through */
    assert_int_equal(rig_number(&rig, DEAD), dead);
    rig_configure(rig.fulfilment_admin, "{\"consumer.on_error\":\"dead_letter\"}");
    wait_fulfilled();
    assert_int_equal(rig_number(&rig, DEAD), dead + 1);
    rig_configure(rig.fulfilment_admin, "{\"consumer.prefetch\":null}");
}

/* ---- load ---- */

enum { CLIENTS = 6 };

struct client {
    pthread_t thread;
    int number, product;
    atomic_bool *is_over;
    unsigned accepted, failures;
};

/* A customer who insists: the same key until the shop has answered. */
static void *shop_on(void *userdata)
{
    struct client *client = userdata;

    while (!atomic_load(client->is_over)) {
        char key[48], order_id[40];
        int status;
        snprintf(key, sizeof(key), "load-%d-%d-%u", client->product, client->number,
                 client->accepted);
        while ((status = rig_order(&rig, key, client->product, "", order_id)) != 201 &&
               status != 200) {
            client->failures++;
            obs_sleep_ns(5 * OBS_NS_PER_MS);
        }
        client->accepted++;
        obs_sleep_ns(2 * OBS_NS_PER_MS);
    }
    return NULL;
}

struct load {
    struct client clients[CLIENTS];
    atomic_bool is_over;
    int product;
};

static void load_start(struct load *load, int product)
{
    char sql[128];

    atomic_init(&load->is_over, false);
    load->product = product;
    snprintf(sql, sizeof(sql), "UPDATE stock SET available = 100000 WHERE product_id = %d",
             product);
    assert_int_equal(fixture_postgres_execute(rig.postgres, RIG_DATABASE, sql), 0);
    for (int i = 0; i < CLIENTS; i++) {
        load->clients[i] =
            (struct client){.number = i, .product = product, .is_over = &load->is_over};
        assert_int_equal(pthread_create(&load->clients[i].thread, NULL, shop_on, &load->clients[i]),
                         0);
    }
}

static void wait_orders(struct load *load, int more)
{
    char sql[128];
    long long now;
    uint64_t end = obs_mono_ns() + RIG_WAIT_MS * OBS_NS_PER_MS;

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM order_lines WHERE product_id = %d",
             load->product);
    now = rig_number(&rig, sql);
    while (rig_number(&rig, sql) < now + more) {
        assert_true(obs_mono_ns() < end);
        obs_sleep_ns(10 * OBS_NS_PER_MS);
    }
}

/* Every acknowledged order exists, once, and ends fulfilled, once; its stock was taken once. */
static void load_end_and_check(struct load *load)
{
    unsigned accepted = 0, failures = 0;
    char sql[256];

    atomic_store(&load->is_over, true);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(load->clients[i].thread, NULL);
        accepted += load->clients[i].accepted;
        failures += load->clients[i].failures;
    }
    printf("# %u orders acknowledged, %u calls failed\n", accepted, failures);
    wait_fulfilled();
    rig_wait_number(&rig, "SELECT count(*) FROM outbox", 0, RIG_WAIT_MS);
    wait_depth("fulfilment", 0);
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM order_lines WHERE product_id = %d",
             load->product);
    assert_int_equal(rig_number(&rig, sql), accepted);
    snprintf(sql, sizeof(sql),
             "SELECT count(*) FROM order_history h JOIN order_lines l USING (order_id)"
             " WHERE product_id = %d AND state = 'fulfilled'",
             load->product);
    assert_int_equal(rig_number(&rig, sql), accepted);
    snprintf(sql, sizeof(sql), "SELECT 100000 - available FROM stock WHERE product_id = %d",
             load->product);
    assert_int_equal(rig_number(&rig, sql), accepted);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM orders o WHERE state = 'dead_lettered'"
                                      " AND delivery_note = ''"),
                     0);
}

static void loses_and_doubles_nothing_when_the_broker_dies_and_returns(void **state)
{
    struct load load;

    load_start(&load, 41);
    wait_orders(&load, 50);
    for (int i = 0; i < 2; i++) {
        fixture_rabbitmq_kill(rig.rabbitmq);
        wait_orders(&load, 50); /* orders come in all the same */
        assert_int_equal(fixture_rabbitmq_restart(rig.rabbitmq), 0);
        wait_orders(&load, 50);
    }
    load_end_and_check(&load);
}

static void loses_and_doubles_nothing_when_the_broker_hangs(void **state)
{
    struct load load;

    rig_configure(rig.orders_admin, "{\"mq.confirm_timeout\":100}");
    load_start(&load, 47);
    wait_orders(&load, 30);
    fixture_rabbitmq_signal(rig.rabbitmq, SIGSTOP);
    wait_orders(&load, 100);
    fixture_rabbitmq_signal(rig.rabbitmq, SIGCONT);
    load_end_and_check(&load);
    rig_configure(rig.orders_admin, "{\"mq.confirm_timeout\":null}");
}

static void loses_and_doubles_nothing_when_orders_dies(void **state)
{
    struct load load;

    load_start(&load, 42);
    for (int i = 0; i < 4; i++) {
        wait_orders(&load, 40);
        rig_kill(&rig.orders);
        rig_start_orders(&rig);
    }
    wait_orders(&load, 40);
    load_end_and_check(&load);
}

static void loses_and_doubles_nothing_when_fulfilment_dies(void **state)
{
    struct load load;

    load_start(&load, 43);
    for (int i = 0; i < 4; i++) {
        wait_orders(&load, 40);
        rig_kill(&rig.fulfilment);
        rig_start_fulfilment(&rig);
        rig_configure(rig.fulfilment_admin, "{\"work.duration_ms\":5}");
    }
    load_end_and_check(&load);
}

static void follows_concurrency_and_prefetch_while_it_works(void **state)
{
    struct load load;

    rig_configure(rig.fulfilment_admin, "{\"work.duration_ms\":2}");
    load_start(&load, 44);
    for (int i = 0; i < 10; i++) {
        static const char *const CHANGES[] = {
            "{\"consumer.concurrency\":1,\"consumer.prefetch\":1}",
            "{\"consumer.concurrency\":16,\"consumer.prefetch\":64}",
            "{\"consumer.concurrency\":4,\"consumer.prefetch\":2}"};
        rig_configure(rig.fulfilment_admin, CHANGES[i % 3]);
        wait_orders(&load, 20);
    }
    rig_configure(rig.fulfilment_admin, "{\"consumer.concurrency\":16,\"consumer.prefetch\":64}");
    load_end_and_check(&load);
}

static void finishes_the_work_in_hand_when_asked_to_leave(void **state)
{
    char order_id[40], sql[128];

    rig_configure(rig.fulfilment_admin, "{\"work.duration_ms\":600,\"consumer.concurrency\":2}");
    for (int i = 0; i < 6; i++) {
        char key[16];
        snprintf(key, sizeof(key), "leave-%d", i);
        assert_int_equal(rig_order(&rig, key, 45, "", order_id), 201);
    }
    wait_depth("fulfilment", 0); /* all six handed over, two in work */
    rig_stop(&rig.fulfilment);
    snprintf(sql, sizeof(sql), "%s", WAITING);
    assert_true(rig_number(&rig, sql) <= 4);
    wait_depth("fulfilment", (int)rig_number(&rig, sql)); /* what was done is acknowledged */
    rig_start_fulfilment(&rig);
    wait_fulfilled();
}

static void starts_over_when_the_queue_was_deleted(void **state)
{
    char order_id[40];

    assert_int_equal(fixture_rabbitmq_delete_queue(rig.rabbitmq, "fulfilment"), 0);
    assert_int_equal(rig_order(&rig, "deleted-1", 46, "", order_id), 201);
    wait_fulfilled();
}

/* ---- around the tests ---- */

static char **arguments;

static int set_up_all(void **state)
{
    memset(note_too_long, 'n', sizeof(note_too_long) - 1);
    rig_init(&rig, arguments);
    rig_start_orders(&rig);
    rig_start_fulfilment(&rig);
    return 0;
}

static int tear_down_all(void **state)
{
    rig_done(&rig);
    return 0;
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_over_when_the_queue_was_deleted),
        cmocka_unit_test(fulfils_an_order_and_shows_its_shipment),
        cmocka_unit_test(carries_the_trace_through_the_queue_unless_told_not_to),
        cmocka_unit_test(books_the_second_carrier_when_the_first_is_too_slow),
        cmocka_unit_test(sets_a_poison_message_aside_after_its_last_delivery),
        cmocka_unit_test(sets_aside_what_is_not_even_json),
        cmocka_unit_test(sets_aside_what_is_too_large_to_read),
        cmocka_unit_test(sets_aside_an_order_that_orders_does_not_know),
        cmocka_unit_test(requeues_poison_for_ever_when_told_to_and_recovers_when_told_otherwise),
        cmocka_unit_test(loses_and_doubles_nothing_when_the_broker_dies_and_returns),
        cmocka_unit_test(loses_and_doubles_nothing_when_the_broker_hangs),
        cmocka_unit_test(loses_and_doubles_nothing_when_orders_dies),
        cmocka_unit_test(loses_and_doubles_nothing_when_fulfilment_dies),
        cmocka_unit_test(follows_concurrency_and_prefetch_while_it_works),
        cmocka_unit_test(finishes_the_work_in_hand_when_asked_to_leave),
    };

    if (argc != 4)
        return 2;
    arguments = argv;
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
