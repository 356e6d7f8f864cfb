/* Queries, pushed names, times: what is meant, and where a refusal points. */
#include "support/test.h"

#include "telemetry/profile_selector.h"
#include "telemetry/profile_time.h"
#include <stdio.h>
#include <string.h>

#define SELECTOR OBS_CLEANUP(profile_selector_freep) struct profile_selector *
#define NOW 1763900000000000000ULL

static struct text_view view(const char *text)
{
    return (struct text_view){text, strlen(text)};
}

static bool matches(const char *query, const char *service, const char *type, const char *version)
{
    SELECTOR selector = NULL;
    struct label labels[] = {{view("__type__"), view(type)},
                             {view("service_name"), view(service)},
                             {view("version"), view(version)}};
    struct obs_reason why = {0};

    assert_int_equal(profile_selector_parse(query, &selector, &why), 0);
    return profile_matches(selector->matchers, selector->matcher_count, labels, 3);
}

static void a_query_means_a_service_a_type_and_labels(void **state)
{
    assert_true(matches("orders.cpu", "orders", "cpu", "1"));
    assert_true(matches("orders", "orders", "cpu", "1"));
    assert_false(matches("orders", "orders", "alloc_space", "1"));
    assert_false(matches("orders.cpu", "catalog", "cpu", "1"));
    assert_true(matches("my.app.alloc_space{}", "my.app", "alloc_space", "1"));
    assert_true(matches("my.app", "my.app", "cpu", "1"));
    assert_true(matches("orders.cpu{version=\"1\"}", "orders", "cpu", "1"));
    assert_false(matches("orders.cpu{version!=\"1\"}", "orders", "cpu", "1"));
    assert_true(matches("orders.cpu{ version =~ \"1|2\" , }", "orders", "cpu", "2"));
    assert_false(matches("orders.cpu{version=~\"1\"}", "orders", "cpu", "12"));
    assert_true(matches("orders.cpu{version!~`2.*`}", "orders", "cpu", "1"));
    assert_true(matches("orders.cpu{zone=\"\"}", "orders", "cpu", "1"));
    assert_true(matches("{service_name=\"a\\\"b\"}", "a\"b", "cpu", "1"));
}

static void the_data_source_s_ids_are_types_too(void **state)
{
    SELECTOR selector = NULL;
    struct obs_reason why;

    assert_true(matches("process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name=\"orders\"}",
                        "orders", "cpu", "1"));
    assert_true(matches("{__profile_type__=\"memory:alloc_space:bytes:space:bytes\"}", "x",
                        "alloc_space", "1"));
    assert_int_equal(
        profile_selector_parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds{}", &selector, &why),
        0);
    assert_true(selector->wants_nanoseconds);
}

static void expect_refusal(const char *query, unsigned column, const char *text)
{
    SELECTOR selector = NULL;
    struct obs_reason why = {0};

    assert_int_equal(profile_selector_parse(query, &selector, &why), PROFILE_SELECTOR_REFUSED);
    assert_non_null(strstr(why.text, text));
    assert_int_equal(why.column, column);
}

static void a_refused_query_names_the_token_and_its_place(void **state)
{
    expect_refusal("", 1, "expected an application name");
    expect_refusal("orders{version=1}", 16, "found \"1\"");
    expect_refusal("orders{version~\"1\"}", 15, "found \"~\"");
    expect_refusal("orders{version=\"1}", 16, "no end");
    expect_refusal("orders{version=\"1\"", 19, "found the end");
    expect_refusal("orders{version=\"1\"} by", 21, "found \"by\"");
    expect_refusal("orders{9=\"1\"}", 8, "label name");
    expect_refusal("orders{a=\"\\x\"}", 11, "escape");
    expect_refusal("orders{a=~\"(\"}", 11, "(");
    expect_refusal("a:b:c:d:e", 1, "unknown profile type");
    expect_refusal("two words", 4, "space");
    expect_refusal("\xff", 0, "UTF-8");
}

static void a_pushed_name_gives_service_type_and_labels(void **state)
{
    struct profile_name name;
    struct obs_reason why = {0};

    assert_int_equal(profile_name_parse(
                         "shop.orders.cpu{version=1.2, env=\"a,b\",__session_id__=9}", &name, &why),
                     0);
    assert_int_equal(name.service.size, strlen("shop.orders"));
    assert_string_equal(name.type->name, "cpu");
    assert_int_equal(name.label_count, 2);
    assert_memory_equal(name.labels[0].name.text, "env", 3);
    assert_memory_equal(name.labels[0].value.text, "a,b", 3);
    assert_int_equal(name.labels[1].value.size, 3);
    profile_name_done(&name);
    assert_int_equal(profile_name_parse("orders", &name, &why), 0);
    assert_null(name.type);
    profile_name_done(&name);
}

static void a_bad_pushed_name_is_refused(void **state)
{
    static const char *const BAD[] = {"",      "{a=b}",    "x{a=1,a=2}", "x{a",
                                      "x{a=b", "x{=1}",    "x{a=b}y",    "x{a!=b}",
                                      "x y",   "x{a=\"b}", "x\x01{}",    "x{a=b,,}"};
    char many[4096] = "x{";

    for (size_t i = 0; i < OBS_COUNT(BAD); i++) {
        struct profile_name name;
        struct obs_reason why = {0};

        assert_int_equal(profile_name_parse(BAD[i], &name, &why), PROFILE_SELECTOR_REFUSED);
        assert_string_not_equal(why.text, "");
    }
    for (int i = 0; i < 40; i++)
        sprintf(many + strlen(many), "l%d=v,", i);
    strcat(many, "}");
    {
        struct profile_name name;
        struct obs_reason why = {0};

        assert_int_equal(profile_name_parse(many, &name, &why), PROFILE_SELECTOR_REFUSED);
        assert_non_null(strstr(why.text, "32 labels"));
    }
}

static uint64_t time_of(const char *text)
{
    struct obs_reason why;
    uint64_t ns = 0;

    assert_int_equal(profile_time_parse("from", text, NOW, &ns, &why), 0);
    return ns;
}

static void a_time_is_relative_or_unix_in_any_unit(void **state)
{
    assert_true(time_of("now") == NOW);
    assert_true(time_of("now-1h") == NOW - 3600000000000ULL);
    assert_true(time_of("now-90s") == NOW - 90000000000ULL);
    assert_true(time_of("now-2d") == NOW - 172800000000000ULL);
    assert_true(time_of("now-999999999w") == 0);
    assert_true(time_of("1763900000") == NOW);
    assert_true(time_of("1763900000000") == NOW);
    assert_true(time_of("1763900000000000") == NOW);
    assert_true(time_of("1763900000000000000") == NOW);
    assert_true(time_of("99999999999") == INT64_MAX);
}

static void a_bad_time_is_refused_at_its_place(void **state)
{
    static const struct {
        const char *text;
        unsigned column;
    } BAD[] = {{"now+1h", 4}, {"now-1y", 6}, {"now-h", 5},    {"now-", 4},
               {"12x", 3},    {"-5", 1},     {"tomorrow", 1}, {"99999999999999999999", 21}};

    for (size_t i = 0; i < OBS_COUNT(BAD); i++) {
        struct obs_reason why = {0};
        uint64_t ns;

        assert_int_equal(profile_time_parse("from", BAD[i].text, NOW, &ns, &why),
                         PROFILE_TIME_REFUSED);
        assert_int_equal(why.column, BAD[i].column);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_means_a_service_a_type_and_labels),
        cmocka_unit_test(the_data_source_s_ids_are_types_too),
        cmocka_unit_test(a_refused_query_names_the_token_and_its_place),
        cmocka_unit_test(a_pushed_name_gives_service_type_and_labels),
        cmocka_unit_test(a_bad_pushed_name_is_refused),
        cmocka_unit_test(a_time_is_relative_or_unix_in_any_unit),
        cmocka_unit_test(a_bad_time_is_refused_at_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
