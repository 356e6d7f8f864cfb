#include "support/test.h"

#include "agent/ship_line.h"
#include "base/clock.h"
#include <string.h>

#define NOON_NS (1795435200ULL * OBS_NS_PER_SECOND)
#define NOW_NS (NOON_NS + 700 * OBS_NS_PER_MS)

static struct unit unit_of(const char *name, enum unit_log_tenants tenants)
{
    return (struct unit){.name = name, .log_tenants = tenants};
}

static struct ship_line read_as(enum unit_log_tenants tenants, const char *text)
{
    struct unit unit = unit_of("web", tenants);
    struct ship_line line;

    ship_line_read(text, strlen(text), &unit, NOW_NS, &line);
    return line;
}

static struct ship_line read_own(const char *text)
{
    return read_as(UNIT_LOG_TENANTS_OWN, text);
}

static void takes_service_level_time_and_trace_from_a_line(void **state)
{
    struct ship_line line = read_own(
        "{\"time\":\"2026-11-23T12:00:00.123456Z\",\"level\":\"warning\", \"service\" : \"orders\","
        "\"message\":\"a \\\"b\\\" {[\",\"n\":[1,{\"level\":\"error\"}],"
        "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":\"00f067aa0ba902b7\"}");

    assert_string_equal(line.service, "orders");
    assert_int_equal(line.level, OBS_LOG_WARN);
    assert_true(line.time_ns == NOON_NS + 123456000);
    assert_string_equal(line.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_string_equal(line.span_id, "00f067aa0ba902b7");
    assert_string_equal(line.tenant, "");
}

static void takes_the_milliseconds_of_nginx(void **state)
{
    struct ship_line line = read_own("{\"time\":\"2026-11-23T13:00:00+01:00\","
                                     "\"time_s\":1795435200.250}");

    assert_true(line.time_ns == NOON_NS + 250 * OBS_NS_PER_MS);
    assert_string_equal(line.service, "web");
    assert_int_equal(line.level, OBS_LOG_INFO);
    assert_string_equal(line.trace_id, "");
}

static void trusts_nothing_in_a_line_that_is_cut_or_odd(void **state)
{
    static const char *const ODD[] = {
        "",
        "{",
        "{\"",
        "{\"service\"",
        "{\"service\":",
        "{\"service\":\"x\"",
        "{\"service\":\"x\",",
        "{\"service\":\"x\",}",
        "{\"service\":\"x\"}}",
        "{\"service\":\"x\"} {}",
        "{\"service\":\"x\\",
        "{\"service\":\"x\",\"a\":[}",
        "{\"service\":\"x\",\"a\":}",
        "{service:\"x\"}",
        "plain \"service\":\"x\"",
        "{\"service\":\"x y\"}",
        "{\"service\":\"x\\u0041\"}",
        "{\"service\":\"\"}",
        "{\"service\":\"aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaa\"}",
    };

    for (size_t i = 0; i < OBS_COUNT(ODD); i++) {
        struct ship_line line = read_own(ODD[i]);

        if (strcmp(line.service, "web") != 0 || line.time_ns != NOW_NS)
            fail_msg("%s: service %s", ODD[i], line.service);
    }
}

static void a_service_of_nul_bytes_is_none(void **state)
{
    static const char TEXT[] = "{\"service\":\"\0\0\"}";
    struct unit unit = unit_of("web", UNIT_LOG_TENANTS_OWN);
    struct ship_line line;

    ship_line_read(TEXT, sizeof(TEXT) - 1, &unit, NOW_NS, &line);
    assert_string_equal(line.service, "web");
}

static void ids_of_another_form_are_left_out(void **state)
{
    struct ship_line line = read_own("{\"trace_id\":\"4BF92F3577B34DA6A3CE929D0E0E4736\","
                                     "\"span_id\":\"00f067aa0ba902b7\"}");

    assert_string_equal(line.trace_id, "");
    assert_string_equal(line.span_id, "");
}

static const char *tenant_of(const char *database, const char *user)
{
    static char tenant[SHIP_TENANT_SIZE];

    strcpy(tenant, "unset");
    ship_tenant_of_database(database, strlen(database), user, strlen(user), tenant);
    return tenant;
}

static void a_database_belongs_to_the_tenant_whose_role_works_in_it(void **state)
{
    assert_string_equal(tenant_of("solo_catalog", "solo_catalog"), "solo");
    assert_string_equal(tenant_of("class-7b_orders", "class-7b_catalog"), "class-7b");
    assert_string_equal(tenant_of("x", "x"), "");
    assert_string_equal(tenant_of("postgres", "monitor"), "");
    assert_string_equal(tenant_of("solo_catalog", "postgres"), "");
    assert_string_equal(tenant_of("solo_catalog", "other_catalog"), "");
    assert_string_equal(tenant_of("solo_catalog", "sol_catalog"), "");
    assert_string_equal(tenant_of("_catalog", "_catalog"), "");
    assert_string_equal(tenant_of("Solo_catalog", "Solo_catalog"), "");
    assert_string_equal(tenant_of("a b_catalog", "a b_catalog"), "");
    assert_string_equal(tenant_of("a\\r\\nX: y_orders", "a\\r\\nX: y_orders"), "");
    assert_string_equal(tenant_of("", ""), "");
    assert_string_equal(tenant_of("aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbb_orders",
                                  "aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbb_orders"),
                        "");
}

static void postgresql_names_database_and_severity(void **state)
{
    struct ship_line line = read_as(
        UNIT_LOG_TENANTS_POSTGRES,
        "{\"timestamp\":\"2026-11-23 12:00:00.855 UTC\",\"user\":\"solo_catalog\","
        "\"dbname\":\"solo_catalog\",\"pid\":31102,\"error_severity\":\"ERROR\","
        "\"message\":\"division by zero\",\"statement\":\"select\\n'\\\"dbname\\\":\\\"other_"
        "catalog\\\"',1/0\",\"query_id\":0}");

    assert_string_equal(line.tenant, "solo");
    assert_int_equal(line.level, OBS_LOG_ERROR);
    assert_true(line.time_ns == NOON_NS + 855 * OBS_NS_PER_MS);
    line = read_as(UNIT_LOG_TENANTS_OWN, "{\"user\":\"solo_catalog\",\"dbname\":\"solo_catalog\"}");
    assert_string_equal(line.tenant, "");
    line = read_as(UNIT_LOG_TENANTS_POSTGRES,
                   "{\"user\":\"solo_catalog\",\"dbname\":\"solo_catalog\",\"statement\":\"cut");
    assert_string_equal(line.tenant, "");
    line = read_as(UNIT_LOG_TENANTS_POSTGRES,
                   "{\"message\":\"dbname\\\":\\\"solo_catalog\\\",\\\"user\\\":\\\"x\"}");
    assert_string_equal(line.tenant, "");
}

static const char *broker(const char *message)
{
    static char tenant[SHIP_TENANT_SIZE];

    strcpy(tenant, "unset");
    ship_tenant_of_broker(message, strlen(message), tenant);
    return tenant;
}

static void a_broker_line_belongs_to_the_one_vhost_it_names(void **state)
{
    assert_string_equal(broker("connection <0.6.0> (127.0.0.1:1 -> 127.0.0.1:2 - orders "
                               "publisher): user 'solo' authenticated and granted access to vhost "
                               "'solo'"),
                        "solo");
    assert_string_equal(broker("closing AMQP connection <0.6.0> (127.0.0.1:1 -> 127.0.0.1:2, "
                               "vhost: 'solo', user: 'solo')"),
                        "solo");
    assert_string_equal(broker("not_found: no queue 'q' in vhost 'solo'"), "solo");
    assert_string_equal(broker("access to vhost 'solo' refused for user 'other'"), "");
    assert_string_equal(broker("no queue 'x' in vhost 'other' in vhost 'solo'"), "");
    assert_string_equal(broker("has a client-provided name: vhost 'other'"), "");
    assert_string_equal(broker("Starting message stores for vhost '/'"), "");
    assert_string_equal(broker("user 'solo' changed"), "");
    assert_string_equal(broker("vhost 'solo"), "");
    assert_string_equal(broker("vhost '"), "");
    assert_string_equal(broker("vhost"), "");
    assert_string_equal(broker(""), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_service_level_time_and_trace_from_a_line),
        cmocka_unit_test(takes_the_milliseconds_of_nginx),
        cmocka_unit_test(trusts_nothing_in_a_line_that_is_cut_or_odd),
        cmocka_unit_test(a_service_of_nul_bytes_is_none),
        cmocka_unit_test(ids_of_another_form_are_left_out),
        cmocka_unit_test(a_database_belongs_to_the_tenant_whose_role_works_in_it),
        cmocka_unit_test(postgresql_names_database_and_severity),
        cmocka_unit_test(a_broker_line_belongs_to_the_one_vhost_it_names),
    };

    return cmocka_run_group_tests_name("ship_line", tests, NULL, NULL);
}
