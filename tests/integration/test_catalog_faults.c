/* Catalog while what it stands on is slow, full or gone, and while it stops. */
#include "base/clock.h"
#include "support/catalog_rig.h"
#include "support/test.h"
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct catalog_rig rig;

static int reset(void **state)
{
    if (!rig.catalog)
        catalog_rig_start(&rig);
    rig_settings(rig.admin, NULL);
    return 0;
}

static double cache_errors(void)
{
    return rig_series(rig.admin,
                      "cache_requests_total{service=\"catalog\",version=\"1.0\",result=\"error\"}");
}

/* A session that keeps everybody out of a table until it is closed. */
static PGconn *lock_products(void)
{
    PGconn *connection = PQconnectdb(rig.conninfo);
    PGresult *result = PQexec(connection, "BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE");

    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    return connection;
}

static void wait_for_waiters(long long count)
{
    uint64_t deadline = obs_mono_ns() + CATALOG_WAIT_MS * OBS_NS_PER_MS;

    while (fixture_postgres_number(rig.postgres, "postgres",
                                   "SELECT count(*) FROM pg_stat_activity"
                                   " WHERE wait_event_type = 'Lock'") < count) {
        assert_true(obs_mono_ns() < deadline);
        obs_sleep_ns(5 * OBS_NS_PER_MS);
    }
}

/* ---- cache ---- */

static void a_cache_that_hangs_costs_its_timeout_and_no_answer(void **state)
{
    double errors;

    assert_int_equal(rig_status(rig.api, "/products/51"), 200);
    errors = cache_errors();
    fixture_redis_signal(rig.redis, SIGSTOP);
    assert_int_equal(rig_status(rig.api, "/products/51"), 200);
    assert_int_equal(rig_status(rig.api, "/products/batch?ids=51,52"), 200);
    fixture_redis_signal(rig.redis, SIGCONT);
    assert_true(cache_errors() >= errors + 2);
    {
        RIG_REPLY first = rig_get(rig.api, "/products/51"),
                  again = rig_get(rig.api, "/products/51");

        assert_int_equal(first.status, 200);
        assert_string_equal(again.cache, "hit");
    }
}

static void a_cache_that_died_is_used_again_when_it_is_back(void **state)
{
    fixture_redis_signal(rig.redis, SIGKILL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_status(rig.api, "/products/53"), 200);
    assert_int_equal(rig_status(rig.admin, "/readyz"), 200);
    assert_int_equal(fixture_redis_restart(rig.redis), 0);
    assert_int_equal(rig_status(rig.api, "/products/53"), 200);
    assert_int_equal(rig_status(rig.api, "/products/53"), 200);
    {
        RIG_REPLY reply = rig_get(rig.api, "/products/53");

        assert_string_equal(reply.cache, "hit");
    }
}

/* ---- database ---- */

static void cached_products_outlive_the_database(void **state)
{
    assert_int_equal(rig_status(rig.api, "/products/61"), 200);
    fixture_postgres_kill(rig.postgres);
    assert_int_equal(rig_status(rig.api, "/products/61"), 200);
    assert_int_equal(rig_status(rig.api, "/products/62"), 503);
    assert_int_equal(rig_status(rig.admin, "/readyz"), 503);
    assert_int_equal(rig_status(rig.admin, "/healthz"), 200);
    assert_int_equal(fixture_postgres_restart(rig.postgres), 0);
    rig_wait_ready(rig.admin);
    assert_int_equal(rig_status(rig.api, "/products/62"), 200);
}

static void ended_sessions_are_replaced(void **state)
{
    assert_int_equal(rig_status(rig.api, "/products/63?fresh=1"), 200);
    assert_int_equal(fixture_postgres_execute(rig.postgres, "postgres",
                                              "SELECT pg_terminate_backend(pid)"
                                              " FROM pg_stat_activity"
                                              " WHERE datname = '" CATALOG_DATABASE "'"),
                     0);
    while (fixture_postgres_number(rig.postgres, "postgres",
                                   "SELECT count(*) FROM pg_stat_activity"
                                   " WHERE datname = '" CATALOG_DATABASE "'") > 0)
        obs_sleep_ns(OBS_NS_PER_MS);
    assert_int_equal(rig_status(rig.api, "/products/63?fresh=1"), 200);
}

static void a_full_pool_says_so_in_time(void **state)
{
    struct rig_call holder = {.client = rig.api, .target = "/products/64?fresh=1"};
    PGconn *lock;

    rig_settings(rig.admin, "{\"db.pool_size\":1,\"db.acquire_timeout\":50}");
    lock = lock_products();
    rig_call_start(&holder);
    wait_for_waiters(1);
    assert_int_equal(rig_status(rig.api, "/products/65?fresh=1"), 503);
    assert_true(fixture_process_wait_for(
        rig.catalog, "connection pool limit 1 reached, timed out after 50 ms", 5000));
    assert_int_equal(rig_status(rig.admin, "/readyz"), 200); /* busy is not absent */
    assert_true(rig_series(rig.admin, "db_pool_connections{service=\"catalog\",version=\"1.0\","
                                      "state=\"used\"}") == 1);
    PQfinish(lock);
    rig_call_join(&holder);
    assert_int_equal(holder.reply.status, 200);
    rig_reply_done(&holder.reply);
}

static void a_slow_statement_is_cut_off(void **state)
{
    PGconn *lock;

    rig_settings(rig.admin, "{\"db.statement_timeout\":60}");
    lock = lock_products();
    assert_int_equal(rig_status(rig.api, "/products/66?fresh=1"), 504);
    PQfinish(lock);
    assert_int_equal(rig_status(rig.api, "/products/66?fresh=1"), 200);
}

static void a_larger_pool_lets_waiters_in(void **state)
{
    struct rig_call holder = {.client = rig.api, .target = "/products/67?fresh=1"};
    struct rig_call waiter = {.client = rig.api, .target = "/categories?fresh=1"};
    PGconn *lock;

    rig_settings(rig.admin, "{\"db.pool_size\":1,\"db.acquire_timeout\":20000}");
    lock = lock_products();
    rig_call_start(&holder);
    wait_for_waiters(1);
    rig_call_start(&waiter);
    rig_settings(rig.admin, "{\"db.pool_size\":2}");
    wait_for_waiters(2); /* the second one got a connection and stands at the lock, too */
    PQfinish(lock);
    rig_call_join(&holder);
    rig_call_join(&waiter);
    assert_int_equal(holder.reply.status, 200);
    assert_int_equal(waiter.reply.status, 200);
    rig_reply_done(&holder.reply);
    rig_reply_done(&waiter.reply);
}

/* ---- saturation and stop ---- */

static void a_saturated_service_can_still_be_looked_at_and_repaired(void **state)
{
    struct rig_call calls[2] = {{.client = rig.api, .target = "/products/71?fresh=1"},
                                {.client = rig.api, .target = "/products/72?fresh=1"}};
    PGconn *lock;

    rig_settings(rig.admin, "{\"server.workers\":1,\"server.queue_limit\":1}");
    lock = lock_products();
    rig_call_start(&calls[0]);
    wait_for_waiters(1);
    rig_call_start(&calls[1]);
    while (rig_series(rig.admin, "app_queue_length{") < 1)
        obs_sleep_ns(OBS_NS_PER_MS);
    assert_int_equal(rig_status(rig.api, "/products/73"), 503); /* the queue is full */
    assert_int_equal(rig_status(rig.admin, "/readyz"), 200);
    rig_settings(rig.admin, "{\"server.workers\":4,\"server.queue_limit\":100}");
    wait_for_waiters(2); /* the one that was queued runs now */
    PQfinish(lock);
    for (int i = 0; i < 2; i++) {
        rig_call_join(&calls[i]);
        assert_int_equal(calls[i].reply.status, 200);
        rig_reply_done(&calls[i].reply);
    }
}

static void what_runs_when_it_is_told_to_stop_is_finished(void **state)
{
    struct rig_call call = {.client = rig.api, .target = "/products/74?fresh=1"};
    PGconn *lock = lock_products();

    rig_call_start(&call);
    wait_for_waiters(1);
    fixture_process_signal(rig.catalog, SIGTERM);
    assert_true(fixture_process_wait_for(rig.catalog, "\"stopping\"", 5000));
    assert_int_equal(rig_status(rig.admin, "/readyz"), 503);
    PQfinish(lock);
    rig_call_join(&call);
    assert_int_equal(call.reply.status, 200);
    rig_reply_done(&call.reply);
    assert_int_equal(fixture_process_wait(rig.catalog, 5000), 0);
    rig.catalog = fixture_process_free(rig.catalog);
}

static void a_request_that_never_ends_does_not_keep_it(void **state)
{
    struct rig_call call = {.client = rig.api, .target = "/products/75?fresh=1"};
    PGconn *lock = lock_products();

    rig_settings(rig.admin, "{\"db.statement_timeout\":600000}");
    rig_call_start(&call);
    wait_for_waiters(1);
    fixture_process_signal(rig.catalog, SIGTERM);
    assert_int_equal(fixture_process_wait(rig.catalog, 8000), 0);
    rig_call_join(&call);
    assert_true(call.reply.status < 0);
    rig_reply_done(&call.reply);
    rig.catalog = fixture_process_free(rig.catalog);
    PQfinish(lock);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_cache_that_hangs_costs_its_timeout_and_no_answer, reset),
        cmocka_unit_test_setup(a_cache_that_died_is_used_again_when_it_is_back, reset),
        cmocka_unit_test_setup(cached_products_outlive_the_database, reset),
        cmocka_unit_test_setup(ended_sessions_are_replaced, reset),
        cmocka_unit_test_setup(a_full_pool_says_so_in_time, reset),
        cmocka_unit_test_setup(a_slow_statement_is_cut_off, reset),
        cmocka_unit_test_setup(a_larger_pool_lets_waiters_in, reset),
        cmocka_unit_test_setup(a_saturated_service_can_still_be_looked_at_and_repaired, reset),
        cmocka_unit_test_setup(what_runs_when_it_is_told_to_stop_is_finished, reset),
        cmocka_unit_test_setup(a_request_that_never_ends_does_not_keep_it, reset),
    };
    int failed;

    if (argc != 3)
        return 2;
    catalog_rig_init(&rig, argv[1], argv[2]);
    failed = cmocka_run_group_tests_name("integration_catalog_faults", tests, NULL, NULL);
    catalog_rig_done(&rig);
    return failed;
}
