/* Storefront over real catalog and orders. No broker: orders keeps what is to be published. */
#include "support/catalog_rig.h"
#include "support/test.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct catalog_rig rig;
static struct fixture_process *storefront, *orders;
static struct obs_http_client *api, *admin;
static const char *storefront_program, *orders_program, *orders_migrations;
static char orders_conninfo[256];

/* ---- processes ---- */

static void start_orders(void)
{
    char listen[96], admin_address[96], password_file[96];
    const char *const migrate[] = {orders_program, "migrate",         "--database", orders_conninfo,
                                   "--migrations", orders_migrations, NULL};
    const char *const argv[] = {orders_program,  "--listen",    listen,
                                "--admin",       admin_address, "--database",
                                orders_conninfo, "--amqp",      "tcp:127.0.0.1:1",
                                "--amqp-user",   "nobody",      "--amqp-password-file",
                                password_file,   NULL};
    FILE *file;

    (void)snprintf(listen, sizeof(listen), "unix:%s/orders.sock", rig.folder);
    (void)snprintf(admin_address, sizeof(admin_address), "unix:%s/orders-admin.sock", rig.folder);
    (void)snprintf(password_file, sizeof(password_file), "%s/password", rig.folder);
    file = fopen(password_file, "w");
    assert_non_null(file);
    fputs("none\n", file);
    fclose(file);
    assert_int_equal(fixture_process_run(&(struct fixture_process_options){.argv = migrate},
                                         CATALOG_WAIT_MS, NULL),
                     0);
    assert_int_equal(
        fixture_process_start(&(struct fixture_process_options){.argv = argv}, &orders), 0);
    assert_true(fixture_process_wait_for(orders, "\"serving\"", CATALOG_WAIT_MS));
}

static void start_storefront(void)
{
    char listen[96], admin_address[96], catalog[96], orders_address[96];
    const char *const argv[] = {storefront_program, "--listen",  listen,  "--admin",
                                admin_address,      "--catalog", catalog, "--orders",
                                orders_address,     NULL};

    (void)snprintf(listen, sizeof(listen), "unix:%s/storefront.sock", rig.folder);
    (void)snprintf(admin_address, sizeof(admin_address), "unix:%s/storefront-admin.sock",
                   rig.folder);
    (void)snprintf(catalog, sizeof(catalog), "unix:%s/catalog.sock", rig.folder);
    (void)snprintf(orders_address, sizeof(orders_address), "unix:%s/orders.sock", rig.folder);
    assert_int_equal(
        fixture_process_start(&(struct fixture_process_options){.argv = argv}, &storefront), 0);
    assert_true(fixture_process_wait_for(storefront, "\"serving\"", CATALOG_WAIT_MS));
}

static int reset(void **state)
{
    rig_settings(admin, NULL);
    rig_settings(admin, "{\"delivery.quote_ms\":1}");
    return 0;
}

/* ---- helpers ---- */

static struct rig_reply get_as(const char *target, const char *user)
{
    const char *const headers[] = {"X-User-Id", user, NULL};

    return rig_call_with(api, "GET", target, headers, NULL, 20000);
}

static json_t *json_of(const struct rig_reply *reply)
{
    json_t *json = NULL;

    if (reply->status >= 300 || reply->status < 200)
        fail_msg("%d: %s", reply->status, reply->body);
    assert_int_equal(obs_json_parse(reply->body, strlen(reply->body), &json, NULL), 0);
    return json;
}

static struct rig_reply checkout(const char *key, const char *body)
{
    const char *const headers[] = {key ? "Idempotency-Key" : NULL, key, NULL};

    return rig_call_with(api, "POST", "/api/checkout", headers, body, 20000);
}

static size_t size_of(const json_t *object, const char *name)
{
    return json_array_size(json_object_get(object, name));
}

/* ---- browsing ---- */

static void home_shows_categories_featured_and_recommendations(void **state)
{
    RIG_REPLY reply = rig_get(api, "/api/home");
    OBS_JSON home = json_of(&reply);

    assert_int_equal(size_of(home, "categories"), 20);
    assert_int_equal(size_of(home, "featured"), 12);
    assert_int_equal(size_of(home, "recommendations"), 8);
    assert_null(strstr(reply.body, "\"description\""));
    assert_non_null(strstr(reply.cookie, "sid="));
}

static void a_product_page_has_a_delivery_quote(void **state)
{
    RIG_REPLY reply = rig_get(api, "/api/products/5");
    OBS_JSON product = json_of(&reply);

    assert_int_equal(json_integer_value(json_object_get(product, "id")), 5);
    assert_true(json_integer_value(json_object_get(json_object_get(product, "delivery"), "days")) >
                0);
    assert_int_equal(rig_status(api, "/api/products/999999"), 404);
    assert_int_equal(rig_status(api, "/api/products/x"), 404);
}

static void recommendations_are_like_the_product(void **state)
{
    RIG_REPLY page = get_as("/api/products/5", "ada");
    RIG_REPLY reply = get_as("/api/products/5/recommendations", "ada");
    OBS_JSON product = json_of(&page);
    OBS_JSON recommendations = json_of(&reply);
    json_t *item = NULL;
    size_t i;

    assert_int_equal(size_of(recommendations, "items"), 8);
    json_array_foreach (json_object_get(recommendations, "items"), i, item) {
        assert_int_not_equal(json_integer_value(json_object_get(item, "id")), 5);
        assert_string_equal(json_string_value(json_object_get(item, "category")),
                            json_string_value(json_object_get(product, "category")));
    }
}

static void home_knows_a_visitor_again(void **state)
{
    RIG_REPLY page = get_as("/api/products/16", "grace");
    RIG_REPLY reply = get_as("/api/home", "grace");
    OBS_JSON product = json_of(&page);
    OBS_JSON home = json_of(&reply);
    const json_t *first = json_array_get(json_object_get(home, "recommendations"), 0);

    assert_string_equal(json_string_value(json_object_get(first, "category")),
                        json_string_value(json_object_get(product, "category")));
    assert_string_equal(reply.cookie, ""); /* a user needs none */
}

static void lists_and_searches_are_catalogs(void **state)
{
    RIG_REPLY list = rig_get(api, "/api/products?category=kitchen&page=2&limit=3");
    RIG_REPLY search = rig_get(api, "/api/search?q=travel%20mug&limit=3");

    assert_int_equal(list.status, 200);
    assert_non_null(strstr(list.body, "\"page\":2,\"limit\":3,"));
    assert_int_equal(search.status, 200);
    assert_non_null(strstr(search.body, "\"query\":\"travel mug\""));
    assert_int_equal(rig_status(api, "/api/search"), 422);
    assert_int_equal(rig_status(api, "/api/products?category=no%26page=2"), 404);
}

static void one_trace_runs_through_both_services(void **state)
{
    const char *const headers[] = {"traceparent",
                                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", NULL};
    RIG_REPLY reply = rig_call_with(api, "GET", "/api/products/6", headers, NULL, 20000);

    assert_int_equal(reply.status, 200);
    assert_true(fixture_process_wait_for(
        rig.catalog, "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"", 5000));
}

/* ---- buying ---- */

static void an_order_is_made_once(void **state)
{
    static const char BODY[] = "{\"user_id\":7,\"items\":[{\"product_id\":3,\"quantity\":2},"
                               "{\"product_id\":8,\"quantity\":1}]}";
    RIG_REPLY first = checkout("key-once", BODY);
    RIG_REPLY again = checkout("key-once", BODY);
    OBS_JSON order = json_of(&first);
    OBS_JSON replay = json_of(&again);
    const char *id = json_string_value(json_object_get(order, "order_id"));
    char target[128];

    assert_int_equal(first.status, 201);
    assert_int_equal(again.status, 200);
    assert_non_null(id);
    assert_string_equal(id, json_string_value(json_object_get(replay, "order_id")));
    (void)snprintf(target, sizeof(target), "/api/orders/%s", id);
    assert_int_equal(rig_status(api, target), 200);
    assert_int_equal(rig_status(api, "/api/orders/nothing"), 404);
    assert_int_equal(rig_status(api, "/api/orders/..%2Fconfig"), 404);
}

static void an_order_is_made_once_though_its_price_changes(void **state)
{
    static const char BODY[] = "{\"user_id\":7,\"items\":[{\"product_id\":12,\"quantity\":1}]}";
    RIG_REPLY first = checkout("key-price", BODY);
    RIG_REPLY price =
        rig_call_with(rig.api, "PUT", "/products/12/price", NULL, "{\"price_cents\":123456}", 5000);
    RIG_REPLY again = checkout("key-price", BODY);

    assert_int_equal(first.status, 201);
    assert_int_equal(price.status, 200);
    assert_int_equal(again.status, 200);
}

static void bad_checkouts_name_what_is_wrong(void **state)
{
    static const struct {
        const char *key, *body, *says;
        int status;
    } CASES[] = {
        {NULL, "{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1}]}", "Idempotency-Key",
         422},
        {"k1", "{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":0}]}", "quantity", 422},
        {"k2", "{\"user_id\":1,\"items\":[{\"product_id\":999999,\"quantity\":1}]}", "product_id",
         422},
        {"k3", "{\"user_id\":1,", "body", 400},
        {"k4", "{\"user_id\":1}", "items", 422},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        RIG_REPLY reply = checkout(CASES[i].key, CASES[i].body);

        assert_int_equal(reply.status, CASES[i].status);
        if (!strstr(reply.body, CASES[i].says))
            fail_msg("%s does not name %s", reply.body, CASES[i].says);
    }
}

/* ---- upstream faults ---- */

static void a_hanging_catalog_is_a_504_in_time(void **state)
{
    rig_settings(admin, "{\"catalog.timeout\":100}");
    fixture_process_signal(rig.catalog, SIGSTOP);
    assert_int_equal(rig_status(api, "/api/products/7"), 504);
    fixture_process_signal(rig.catalog, SIGCONT);
    assert_int_equal(rig_status(api, "/api/products?limit=1"), 200);
}

static void an_absent_service_is_a_502_and_only_where_it_is_needed(void **state)
{
    static const char BODY[] = "{\"user_id\":7,\"items\":[{\"product_id\":3,\"quantity\":1}]}";

    fixture_process_signal(orders, SIGKILL);
    (void)fixture_process_wait(orders, CATALOG_WAIT_MS);
    orders = fixture_process_free(orders);
    {
        RIG_REPLY reply = checkout("key-later", BODY);

        assert_int_equal(reply.status, 502);
        assert_non_null(strstr(reply.body, "orders"));
    }
    assert_int_equal(rig_status(api, "/api/products/7"), 200);
    start_orders();
    {
        RIG_REPLY reply = checkout("key-later", BODY);

        assert_int_equal(reply.status, 201);
    }
}

static void retries_outlast_a_restart(void **state)
{
    struct rig_call call = {.client = api, .target = "/api/products/9"};

    rig_settings(admin, "{\"upstream.retries\":5,\"upstream.retry_delay\":200}");
    catalog_rig_kill(&rig);
    rig_call_start(&call);
    catalog_rig_start(&rig);
    rig_call_join(&call);
    assert_int_equal(call.reply.status, 200);
    rig_reply_done(&call.reply);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(home_shows_categories_featured_and_recommendations, reset),
        cmocka_unit_test_setup(a_product_page_has_a_delivery_quote, reset),
        cmocka_unit_test_setup(recommendations_are_like_the_product, reset),
        cmocka_unit_test_setup(home_knows_a_visitor_again, reset),
        cmocka_unit_test_setup(lists_and_searches_are_catalogs, reset),
        cmocka_unit_test_setup(one_trace_runs_through_both_services, reset),
        cmocka_unit_test_setup(an_order_is_made_once, reset),
        cmocka_unit_test_setup(an_order_is_made_once_though_its_price_changes, reset),
        cmocka_unit_test_setup(bad_checkouts_name_what_is_wrong, reset),
        cmocka_unit_test_setup(a_hanging_catalog_is_a_504_in_time, reset),
        cmocka_unit_test_setup(an_absent_service_is_a_502_and_only_where_it_is_needed, reset),
        cmocka_unit_test_setup(retries_outlast_a_restart, reset),
    };
    int failed;

    if (argc != 6)
        return 2;
    storefront_program = argv[1];
    orders_program = argv[4];
    orders_migrations = argv[5];
    catalog_rig_init(&rig, argv[2], argv[3]);
    assert_int_equal(fixture_postgres_database(rig.postgres, "t_orders", orders_conninfo), 0);
    catalog_rig_start(&rig);
    start_orders();
    start_storefront();
    api = rig_client(rig.folder, "storefront.sock");
    admin = rig_client(rig.folder, "storefront-admin.sock");
    failed = cmocka_run_group_tests_name("integration_storefront", tests, NULL, NULL);
    fixture_process_signal(storefront, SIGTERM);
    failed += fixture_process_wait(storefront, CATALOG_WAIT_MS) != 0;
    storefront = fixture_process_free(storefront);
    orders = fixture_process_free(orders);
    api = obs_http_client_free(api);
    admin = obs_http_client_free(admin);
    catalog_rig_done(&rig);
    return failed;
}
