/* Catalog over real PostgreSQL and Redis: what it answers, and what its settings change. */
#include "support/catalog_rig.h"
#include "support/test.h"
#include <stdio.h>
#include <string.h>

static struct catalog_rig rig;

static int reset(void **state)
{
    rig_settings(rig.admin, NULL);
    return 0;
}

static double cache_count(const char *result)
{
    char series[128];

    (void)snprintf(series, sizeof(series),
                   "cache_requests_total{service=\"catalog\",version=\"1.0\",result=\"%s\"}",
                   result);
    return rig_series(rig.admin, series);
}

static double query_count(const char *operation)
{
    char series[160];

    (void)snprintf(series, sizeof(series),
                   "db_client_operation_duration_seconds_count{service=\"catalog\","
                   "version=\"1.0\",operation=\"%s\"}",
                   operation);
    return rig_series(rig.admin, series);
}

static int64_t price_of(const char *target)
{
    RIG_REPLY reply = rig_get(rig.api, target);
    OBS_JSON json = NULL;

    assert_int_equal(reply.status, 200);
    assert_int_equal(obs_json_parse(reply.body, strlen(reply.body), &json, NULL), 0);
    return json_integer_value(json_object_get(json, "price_cents"));
}

static void set_price(const char *target, int cents)
{
    char body[64];

    (void)snprintf(body, sizeof(body), "{\"price_cents\":%d}", cents);
    {
        RIG_REPLY reply = rig_call_with(rig.api, "PUT", target, NULL, body, 5000);

        assert_int_equal(reply.status, 200);
        assert_non_null(strstr(reply.body, "\"updated_at\":\"20"));
    }
}

/* ---- reading ---- */

static void a_product_is_missed_once_and_then_hit(void **state)
{
    RIG_REPLY first = rig_get(rig.api, "/products/11");
    RIG_REPLY second = rig_get(rig.api, "/products/11");
    RIG_REPLY fresh = rig_get(rig.api, "/products/11?fresh=1");

    assert_int_equal(first.status, 200);
    assert_string_equal(first.cache, "miss");
    assert_string_equal(second.cache, "hit");
    assert_string_equal(fresh.cache, "bypass");
    assert_string_equal(first.body, second.body);
    assert_string_equal(first.body, fresh.body);
    assert_non_null(strstr(first.body, "\"updated_at\":"));
}

static void what_does_not_exist_is_remembered_too(void **state)
{
    double negative = cache_count("negative");

    assert_int_equal(rig_status(rig.api, "/products/999999"), 404);
    assert_int_equal(rig_status(rig.api, "/products/999999"), 404);
    assert_true(cache_count("negative") == negative + 1);
    assert_int_equal(rig_status(rig.api, "/products/0"), 404);
    assert_int_equal(rig_status(rig.api, "/products/1x"), 404);
    assert_int_equal(rig_status(rig.api, "/products/99999999999999999999"), 404);
}

static void a_batch_names_what_is_missing(void **state)
{
    RIG_REPLY reply = rig_get(rig.api, "/products/batch?ids=21,22,999998,21");
    RIG_REPLY again = rig_get(rig.api, "/products/batch?ids=21,22,999998,21");

    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, "\"missing\":[999998]"));
    assert_string_equal(reply.body, again.body);
    assert_int_equal(rig_status(rig.api, "/products/batch?ids="), 422);
    assert_int_equal(rig_status(rig.api, "/products/batch"), 422);
    assert_int_equal(rig_status(rig.api, "/products/batch?ids=1,x"), 422);
    assert_int_equal(rig_status(rig.api, "/products/batch?ids=1,,2"), 422);
}

static void lists_have_pages_and_totals(void **state)
{
    RIG_REPLY all = rig_get(rig.api, "/products?limit=3");
    RIG_REPLY kitchen = rig_get(rig.api, "/products?category=kitchen&page=2&limit=5");
    RIG_REPLY beyond = rig_get(rig.api, "/products?category=kitchen&page=1000");
    RIG_REPLY categories = rig_get(rig.api, "/categories");

    assert_non_null(strstr(all.body, "\"total\":3000,"));
    assert_non_null(strstr(kitchen.body, "\"page\":2,\"limit\":5,\"total\":150,"));
    assert_non_null(strstr(beyond.body, "\"items\":[]"));
    assert_non_null(strstr(categories.body, "\"slug\":\"kitchen\",\"name\":\"Kitchen\""));
    assert_int_equal(rig_status(rig.api, "/products?category=nothing"), 404);
    assert_int_equal(rig_status(rig.api, "/products?category="), 422);
    assert_int_equal(rig_status(rig.api, "/products?page=0"), 422);
    assert_int_equal(rig_status(rig.api, "/products?limit=101"), 422);
}

static void a_search_finds_with_both_rankings(void **state)
{
    RIG_REPLY weighted = rig_get(rig.api, "/search?q=travel+mug&limit=5");

    assert_int_equal(weighted.status, 200);
    assert_non_null(strstr(weighted.body, "Travel Mug"));
    rig_settings(rig.admin, "{\"version\":\"1.1\"}");
    {
        RIG_REPLY proximity = rig_get(rig.api, "/search?q=travel+mug&limit=5");

        assert_int_equal(proximity.status, 200);
        assert_non_null(strstr(proximity.body, "Travel Mug"));
    }
    assert_int_equal(rig_status(rig.api, "/search?q="), 422);
    assert_int_equal(rig_status(rig.api, "/search"), 422);
    assert_int_equal(rig_status(rig.api, "/search?q=the"), 200); /* only stop words: nothing */
    assert_int_equal(rig_status(rig.api, "/search?q=%27%3B--%20%26%7C%21%28"), 200);
}

static void a_search_works_without_its_index_and_the_index_comes_back(void **state)
{
    RIG_REPLY with = rig_get(rig.api, "/search?q=copper+kettle");

    assert_int_equal(catalog_rig_migrate(&rig, NULL, "--only", "002"), 0);
    assert_int_equal(fixture_postgres_number(rig.postgres, CATALOG_DATABASE,
                                             "SELECT count(*) FROM pg_indexes"
                                             " WHERE indexname = 'products_name_idx'"),
                     0);
    {
        RIG_REPLY without = rig_get(rig.api, "/search?q=copper+kettle");

        assert_string_equal(with.body, without.body);
    }
    assert_int_equal(catalog_rig_migrate(&rig, NULL, "--only", "003"), 0);
    assert_int_equal(fixture_postgres_number(rig.postgres, CATALOG_DATABASE,
                                             "SELECT count(*) FROM pg_indexes"
                                             " WHERE indexname = 'products_name_idx'"),
                     1);
}

/* ---- prices ---- */

static void a_new_price_shows_at_once(void **state)
{
    assert_true(price_of("/products/31") != 4242);
    set_price("/products/31/price", 4242);
    assert_int_equal(price_of("/products/31"), 4242);
    assert_int_equal(price_of("/products/31"), 4242);
    set_price("/products/31/price", 4343);
    assert_int_equal(price_of("/products/31"), 4343);
}

static void without_invalidation_the_old_price_stays(void **state)
{
    int64_t before = price_of("/products/32");

    rig_settings(rig.admin, "{\"cache.invalidate_on_write\":false}");
    set_price("/products/32/price", 7777);
    assert_int_equal(price_of("/products/32"), before);
    assert_int_equal(price_of("/products/32?fresh=1"), 7777);
}

static void bad_prices_change_nothing(void **state)
{
    static const char *const BODIES[] = {"{\"price_cents\":0}", "{\"price_cents\":\"1\"}", "{}",
                                         "{\"price_cents\":1,\"x\":2}", "[]"};
    int64_t before = price_of("/products/33?fresh=1");

    for (size_t i = 0; i < OBS_COUNT(BODIES); i++) {
        RIG_REPLY reply =
            rig_call_with(rig.api, "PUT", "/products/33/price", NULL, BODIES[i], 5000);

        assert_int_equal(reply.status, 422);
    }
    {
        RIG_REPLY reply = rig_call_with(rig.api, "PUT", "/products/33/price", NULL, "{", 5000);
        RIG_REPLY absent = rig_call_with(rig.api, "PUT", "/products/999999/price", NULL,
                                         "{\"price_cents\":1}", 5000);

        assert_int_equal(reply.status, 400);
        assert_int_equal(absent.status, 404);
    }
    assert_int_equal(price_of("/products/33?fresh=1"), before);
}

/* ---- cache ---- */

static void keys_with_the_request_are_never_hit(void **state)
{
    double hits;

    assert_int_equal(rig_status(rig.api, "/products/41"), 200);
    rig_settings(rig.admin, "{\"cache.key_fields\":\"product,request\"}");
    hits = cache_count("hit");
    for (int i = 0; i < 5; i++)
        assert_int_equal(rig_status(rig.api, "/products/41"), 200);
    assert_true(cache_count("hit") == hits);
}

static double featured_queries(const char *limit_target)
{
    double before = query_count("products.featured");
    struct rig_call calls[4];

    for (size_t i = 0; i < OBS_COUNT(calls); i++) {
        calls[i] = (struct rig_call){.client = rig.api, .target = limit_target};
        rig_call_start(&calls[i]);
    }
    for (size_t i = 0; i < OBS_COUNT(calls); i++) {
        rig_call_join(&calls[i]);
        assert_int_equal(calls[i].reply.status, 200);
        rig_reply_done(&calls[i].reply);
    }
    return query_count("products.featured") - before;
}

static void single_flight_makes_one_query_of_many(void **state)
{
    assert_true(featured_queries("/products/featured?limit=7") == 1);
    rig_settings(rig.admin, "{\"cache.single_flight\":false}");
    assert_true(featured_queries("/products/featured?limit=8") > 1);
}

static void without_the_cache_the_database_answers(void **state)
{
    double hits = cache_count("hit"), misses = cache_count("miss");

    rig_settings(rig.admin, "{\"cache.enabled\":false}");
    for (int i = 0; i < 3; i++) {
        RIG_REPLY reply = rig_get(rig.api, "/products/42");

        assert_string_equal(reply.cache, "bypass");
    }
    assert_true(cache_count("hit") == hits && cache_count("miss") == misses);
}

/* ---- the admin listener ---- */

static void the_version_shows_in_every_metric(void **state)
{
    rig_settings(rig.admin, "{\"version\":\"1.2\"}");
    assert_true(rig_series(rig.admin, "app_worker_limit{service=\"catalog\",version=\"1.2\"}") ==
                6);
}

static void settings_survive_a_kill(void **state)
{
    rig_settings(rig.admin, "{\"cache.ttl\":77,\"server.workers\":3}");
    catalog_rig_kill(&rig);
    catalog_rig_start(&rig);
    {
        RIG_REPLY config = rig_get(rig.admin, "/config");

        assert_non_null(strstr(config.body, "\"cache.ttl\":77"));
    }
    assert_true(rig_series(rig.admin, "app_worker_limit{service=\"catalog\",version=\"1.0\"}") ==
                3);
}

static void the_api_has_no_settings_and_the_admin_no_products(void **state)
{
    assert_int_equal(rig_status(rig.api, "/config"), 404);
    assert_int_equal(rig_status(rig.api, "/metrics"), 404);
    assert_int_equal(rig_status(rig.admin, "/products/1"), 404);
    assert_int_equal(rig_status(rig.admin, "/config/schema"), 200);
    assert_int_equal(rig_status(rig.admin, "/healthz"), 200);
    assert_int_equal(rig_status(rig.admin, "/debug/pprof/profile?seconds=0"), 422);
    assert_int_equal(rig_status(rig.admin, "/debug/pprof/profile?format=svg"), 422);
}

/* ---- migrations ---- */

static void migrating_again_changes_nothing(void **state)
{
    assert_int_equal(catalog_rig_migrate(&rig, NULL, NULL, NULL), 0);
    assert_int_equal(
        fixture_postgres_number(rig.postgres, CATALOG_DATABASE, "SELECT count(*) FROM products"),
        3000);
}

static void a_changed_migration_is_refused(void **state)
{
    char folder[64], path[128];
    FILE *file;

    assert_int_equal(fixture_folder_new(NULL, folder), 0);
    (void)snprintf(path, sizeof(path), "%s/001_products.sql", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("CREATE TABLE other (id integer);\n", file);
    fclose(file);
    assert_int_equal(catalog_rig_migrate(&rig, folder, NULL, NULL), 1);
    fixture_folder_remove(folder);
    assert_int_equal(catalog_rig_migrate(&rig, NULL, "--only", "777"), 1);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_product_is_missed_once_and_then_hit, reset),
        cmocka_unit_test_setup(what_does_not_exist_is_remembered_too, reset),
        cmocka_unit_test_setup(a_batch_names_what_is_missing, reset),
        cmocka_unit_test_setup(lists_have_pages_and_totals, reset),
        cmocka_unit_test_setup(a_search_finds_with_both_rankings, reset),
        cmocka_unit_test_setup(a_search_works_without_its_index_and_the_index_comes_back, reset),
        cmocka_unit_test_setup(a_new_price_shows_at_once, reset),
        cmocka_unit_test_setup(without_invalidation_the_old_price_stays, reset),
        cmocka_unit_test_setup(bad_prices_change_nothing, reset),
        cmocka_unit_test_setup(keys_with_the_request_are_never_hit, reset),
        cmocka_unit_test_setup(single_flight_makes_one_query_of_many, reset),
        cmocka_unit_test_setup(without_the_cache_the_database_answers, reset),
        cmocka_unit_test_setup(the_version_shows_in_every_metric, reset),
        cmocka_unit_test_setup(settings_survive_a_kill, reset),
        cmocka_unit_test_setup(the_api_has_no_settings_and_the_admin_no_products, reset),
        cmocka_unit_test_setup(migrating_again_changes_nothing, reset),
        cmocka_unit_test_setup(a_changed_migration_is_refused, reset),
    };
    int failed;

    if (argc != 3)
        return 2;
    catalog_rig_init(&rig, argv[1], argv[2]);
    catalog_rig_start(&rig);
    failed = cmocka_run_group_tests_name("integration_catalog", tests, NULL, NULL);
    catalog_rig_done(&rig);
    return failed;
}
