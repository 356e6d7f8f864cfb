/* What LogQL refuses, with its place; and what must not hurt. */
#include "support/test.h"

#include "base/clock.h"
#include "telemetry/logql.h"
#include "telemetry/logql_pipeline.h"
#include "telemetry/logql_run.h"
#include <stdio.h>
#include <string.h>

#define VIEW(t)                                                                                    \
    {                                                                                              \
        t, sizeof(t) - 1                                                                           \
    }

static int parse(const char *text, struct obs_reason *why)
{
    OBS_CLEANUP(logql_query_freep) struct logql_query *query = NULL;

    return logql_parse(text, strlen(text), &query, why);
}

/* Each refusal begins with its place and has @part in it. */
static void expect_refused(const char *text, unsigned line, unsigned column, const char *part)
{
    struct obs_reason why = {0};
    char place[64];

    if (parse(text, &why) != LOGQL_REFUSED || !strstr(why.text, part) || why.column != column)
        print_error("%s\n-> %s (col %u)\n", text, why.text, why.column);
    assert_int_equal(parse(text, &why), LOGQL_REFUSED);
    snprintf(place, sizeof(place), "parse error at line %u, col %u: ", line, column);
    assert_memory_equal(why.text, place, strlen(place));
    assert_non_null(strstr(why.text, part));
}

static void names_the_token_and_its_place(void **state)
{
    expect_refused("", 1, 1, "unexpected end of query, expected a stream selector");
    expect_refused("{a=\"b\"", 1, 7, "unexpected end of query, expected `,` or `}`");
    expect_refused("{a=b}", 1, 4, "unexpected `b`, expected a string");
    expect_refused("{a=\"b\"} |= x", 1, 12, "unexpected `x`, expected a string");
    expect_refused("{a=\"b\"}\n| jsn", 2, 6, "unexpected end of query, expected one of");
    expect_refused("{a=\"b\"} | json | x >", 1, 21, "expected a string, a number");
    expect_refused("{a=\"ü\"} | x => 5", 1, 14, "unexpected `>`");
    expect_refused("{a=\"b\"} extra", 1, 9, "unexpected `extra`");
    expect_refused("{a=\"b} ", 1, 4, "literal not terminated");
    expect_refused("{a=\"\\q\"} ", 1, 4, "invalid escape");
    expect_refused("{a=\"b\"} | x = 5parsecs", 1, 15, "not a number, a duration or a size");
    expect_refused("{a=\"b\"} $", 1, 9, "unexpected character: `$`");
    expect_refused("{}", 1, 1, "at least one regexp or equality matcher");
    expect_refused("{a=~\".*\"}", 1, 1, "at least one regexp or equality matcher");
    expect_refused("{a!=\"x\"}", 1, 1, "at least one regexp or equality matcher");
    expect_refused("{a=~\"(\"}", 1, 5, "error parsing regexp");
    expect_refused("{a=\"b\"} |~ \"(a)\\\\1\"", 1, 12, "back references are not supported");
    expect_refused("{a=\"b\"} |~ \"(*LIMIT_MATCH=1)x\"", 1, 12, "error parsing regexp");
}

static void refuses_what_it_does_not_support_by_name(void **state)
{
    expect_refused("{a=\"b\"} | unpack", 1, 11, "`unpack`: this stage is not supported");
    expect_refused("{a=\"b\"} | decolorize", 1, 11, "`decolorize`: this stage is not supported");
    expect_refused("{a=\"b\"} |> `<_> x`", 1, 9, "`|>`: pattern line filters are not supported");
    expect_refused("{a=\"b\"} |= ip(\"10.0.0.0/8\")", 1, 12, "`ip`: IP filters are not supported");
    expect_refused("{a=\"b\"} | logfmt --keep-empty", 1, 18, "unexpected `--keep-empty`");
    expect_refused("rate_counter({a=\"b\"} | unwrap x [5m])", 1, 1, "`rate_counter`");
    expect_refused("label_replace(rate({a=\"b\"}[5m]), \"a\", \"b\", \"c\", \"d\")", 1, 1,
                   "`label_replace`");
    expect_refused("sum(rate({a=\"b\"}[5m])) / on (x) group_left sum(rate({a=\"b\"}[5m]))", 1, 33,
                   "`group_left`: many-to-one");
    expect_refused("{a=\"b\"} | line_format \"{{ if .x }}y{{ end }}\"", 1, 23, "unexpected `if`");
    expect_refused("{a=\"b\"} | line_format \"{{ .x | sha256 }}\"", 1, 23, "unexpected `sha256`");
    expect_refused("{a=\"b\"} | line_format \"{{ .x \"", 1, 23, "unclosed {{");
    expect_refused("{a=\"b\"} | label_format x=y,x=z", 1, 28, "multiple label name 'x'");
    expect_refused("{a=\"b\"} | pattern `<_> x`", 1, 19, "at least one named capture");
    expect_refused("{a=\"b\"} | pattern `<a><b>`", 1, 19, "consecutive capture");
    expect_refused("{a=\"b\"} | regexp `(a)`", 1, 18, "at least one named capture");
    expect_refused("{a=\"b\"} | json x=\"[\"", 1, 18, "invalid JSON path");
}

static void refuses_wrong_aggregations(void **state)
{
    expect_refused("rate({a=\"b\"})", 1, 13, "expected a range such as [5m]");
    expect_refused("rate({a=\"b\"}[5])", 1, 14, "expected a duration");
    expect_refused("rate({a=\"b\"}[0s])", 1, 14, "above 0");
    expect_refused("sum_over_time({a=\"b\"}[5m])", 1, 1,
                   "invalid aggregation sum_over_time without unwrap");
    expect_refused("count_over_time({a=\"b\"} | unwrap x [5m])", 1, 1, "with unwrap");
    expect_refused("sum_over_time({a=\"b\"} | unwrap x [5m]) by (c)", 1, 1, "grouping not allowed");
    expect_refused("sum({a=\"b\"})", 1, 5, "needs something that computes");
    expect_refused("topk(0, rate({a=\"b\"}[5m]))", 1, 6, "whole number");
    expect_refused("topk(rate({a=\"b\"}[5m]))", 1, 6, "expected a number");
    expect_refused("{a=\"b\"} | unwrap x", 1, 1, "unwrap needs a range aggregation");
    expect_refused("{a=\"b\"} + 1", 1, 9, "unexpected type for leg");
    expect_refused("1 and 2", 1, 3, "unexpected literal");
    expect_refused("1 + bool 2", 1, 5, "unexpected `bool`");
}

static void bounds_nesting_length_and_numbers_of_things(void **state)
{
    struct obs_reason why = {0};
    char *text = malloc(200000);
    size_t used = 0;

    memset(text, '(', 40000);
    text[40000] = '\0';
    assert_int_equal(parse(text, &why), LOGQL_REFUSED);
    text[20000] = '\0';
    assert_int_equal(parse(text, &why), LOGQL_REFUSED);
    assert_non_null(strstr(why.text, "nested more than 64 deep"));
    used = (size_t)sprintf(text, "{a=\"b\"} | ");
    memset(text + used, '(', 1000);
    text[used + 1000] = '\0';
    assert_int_equal(parse(text, &why), LOGQL_REFUSED);
    used = (size_t)sprintf(text, "{a=\"b\"}");
    for (int i = 0; i < 200; i++)
        used += (size_t)sprintf(text + used, " |= \"x\"");
    assert_int_equal(parse(text, &why), LOGQL_REFUSED);
    assert_non_null(strstr(why.text, "more than 128 stages"));
    used = (size_t)sprintf(text, "1");
    for (int i = 0; i < 5000; i++)
        used += (size_t)sprintf(text + used, "+1");
    assert_int_equal(parse(text, &why), LOGQL_REFUSED);
    used = (size_t)sprintf(text, "{");
    for (int i = 0; i < 100; i++)
        used += (size_t)sprintf(text + used, "a%d=\"b\",", i);
    assert_int_equal(parse(text, &why), LOGQL_REFUSED);
    assert_non_null(strstr(why.text, "more than 64 matchers"));
    free(text);
}

/* ---- lines that mean harm ---- */

static struct line_view hostile;

static int scan_hostile(void *userdata, const struct line_query *query, store_line_fn *fn,
                        void *fn_userdata)
{
    size_t count = *(size_t *)userdata;

    for (size_t i = 0; i < count && fn(&hostile, fn_userdata) == STORE_GO_ON; i++)
        ;
    return 0;
}

static int run(const char *text, struct text_view line, size_t count,
               struct logql_lines **ret_lines, struct obs_reason *why)
{
    static const struct label STREAM[] = {{VIEW("a"), VIEW("b")}};
    OBS_CLEANUP(logql_query_freep) struct logql_query *query = NULL;
    struct logql_source source = {scan_hostile, &count};
    struct logql_range range = {.end_ns = UINT64_MAX / 4,
                                .limit = 5000,
                                .deadline_ns = obs_mono_ns() + 5 * OBS_NS_PER_SECOND};

    hostile = (struct line_view){.time_ns = 1, .line = line, .labels = STREAM, .label_count = 1};
    assert_int_equal(logql_parse(text, strlen(text), &query, why), LOGQL_OK);
    return logql_run_lines(query, &source, &range, false, ret_lines, why);
}

static bool has_error(const struct logql_lines *lines, const char *type)
{
    const struct logql_result_stream *stream = &lines->streams[0];

    for (size_t i = 0; i < stream->label_count; i++)
        if (stream->labels[i].value.size == strlen(type) &&
            memcmp(stream->labels[i].value.text, type, strlen(type)) == 0)
            return true;
    return false;
}

static void survives_hostile_json(void **state)
{
    struct obs_reason why = {0};
    struct logql_lines *lines = NULL;
    char *text = malloc(400000);
    size_t used = 0;

    for (int i = 0; i < 50000; i++)
        used += (size_t)sprintf(text + used, "{\"a\":");
    assert_int_equal(run("{a=\"b\"} | json", (struct text_view){text, used}, 1, &lines, &why), 0);
    assert_true(has_error(lines, "JSONParserErr"));
    lines = logql_lines_free(lines);
    used = (size_t)sprintf(text, "{");
    for (int i = 0; i < 10000; i++)
        used += (size_t)sprintf(text + used, "%s\"k%d\":\"v\"", i ? "," : "", i);
    used += (size_t)sprintf(text + used, "}");
    assert_int_equal(run("{a=\"b\"} | json", (struct text_view){text, used}, 1, &lines, &why), 0);
    assert_true(has_error(lines, "JSONParserErr"));
    lines = logql_lines_free(lines);
    memset(text, '\xff', 1000);
    assert_int_equal(
        run("{a=\"b\"} |~ \"x|\\\\x{ff}\"", (struct text_view){text, 1000}, 1, &lines, &why), 0);
    assert_int_equal(lines->count, 0);
    logql_lines_free(lines);
    free(text);
}

static void keeps_lines_with_nuls_whole(void **state)
{
    static const char LINE[] = "before\0behind";
    struct obs_reason why = {0};
    struct logql_lines *lines = NULL;

    assert_int_equal(
        run("{a=\"b\"} |= \"behind\"", (struct text_view){LINE, sizeof(LINE) - 1}, 1, &lines, &why),
        LOGQL_OK);
    assert_int_equal(lines->count, 1);
    assert_int_equal(lines->entries[0].line.size, sizeof(LINE) - 1);
    assert_memory_equal(lines->entries[0].line.text, LINE, sizeof(LINE));
    logql_lines_free(lines);
}

static void gives_up_on_costly_expressions_with_an_error(void **state)
{
    struct obs_reason why = {0};
    struct logql_lines *lines = NULL;
    char text[64];

    memset(text, 'a', sizeof(text));
    assert_int_equal(
        run("{a=\"b\"} |~ `^(a+)+$|^(a|aa)+!`", (struct text_view){text, 63}, 1, &lines, &why), 0);
    lines = logql_lines_free(lines);
    text[62] = 'X';
    assert_int_equal(
        run("{a=\"b\"} |~ `^(a|aa|a)+$`", (struct text_view){text, 63}, 1, &lines, &why),
        LOGQL_REFUSED);
    assert_non_null(strstr(why.text, "too many steps"));
}

static void bounds_the_memory_of_an_answer(void **state)
{
    struct obs_reason why = {0};
    struct logql_lines *lines = NULL;
    char *text = calloc(1, 65536);

    memset(text, 'x', 65535);
    assert_int_equal(run("{a=\"b\"}", (struct text_view){text, 65535}, 5000, &lines, &why),
                     LOGQL_REFUSED);
    assert_non_null(strstr(why.text, "48 MiB"));
    assert_int_equal(
        run("{a=\"b\"} | line_format `{{__line__ | replace \"x\" "
            "\"0123456789012345678901234567890123456789012345678901234567890123456789\"}}`",
            (struct text_view){text, 65535}, 1, &lines, &why),
        LOGQL_REFUSED);
    assert_non_null(strstr(why.text, "4 MiB"));
    free(text);
}

static int run_numbers(const char *text, uint64_t steps, uint64_t deadline_ns, size_t count,
                       struct obs_reason *why)
{
    static const struct label STREAM[] = {{VIEW("a"), VIEW("b")}};
    OBS_CLEANUP(logql_query_freep) struct logql_query *query = NULL;
    struct logql_numbers *numbers = NULL;
    struct logql_source source = {scan_hostile, &count};
    struct logql_range range = {.start_ns = OBS_NS_PER_SECOND,
                                .end_ns = (1 + steps) * OBS_NS_PER_SECOND,
                                .step_ns = OBS_NS_PER_SECOND,
                                .deadline_ns = deadline_ns};
    int r;

    hostile = (struct line_view){
        .time_ns = OBS_NS_PER_SECOND, .line = VIEW("n=1"), .labels = STREAM, .label_count = 1};
    assert_int_equal(logql_parse(text, strlen(text), &query, why), LOGQL_OK);
    r = logql_run_numbers(query, &source, &range, &numbers, why);
    logql_numbers_free(numbers);
    return r;
}

static void bounds_steps_time_and_samples(void **state)
{
    struct obs_reason why = {0};
    uint64_t late = obs_mono_ns() + 60 * OBS_NS_PER_SECOND;

    assert_int_equal(run_numbers("sum(rate({a=\"b\"}[1m]))", 20000, late, 1, &why), LOGQL_REFUSED);
    assert_non_null(strstr(why.text, "11,000 points"));
    assert_int_equal(run_numbers("sum(rate({a=\"b\"}[1m]))", 10, 1, 100000, &why), LOGQL_TIMEOUT);
    assert_non_null(strstr(why.text, "timed out"));
    assert_int_equal(run_numbers("quantile_over_time(0.5, {a=\"b\"} | logfmt | unwrap n [1m])", 1,
                                 late, 10000000, &why),
                     LOGQL_REFUSED);
    assert_true(strstr(why.text, "samples") || strstr(why.text, "48 MiB"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_token_and_its_place),
        cmocka_unit_test(refuses_what_it_does_not_support_by_name),
        cmocka_unit_test(refuses_wrong_aggregations),
        cmocka_unit_test(bounds_nesting_length_and_numbers_of_things),
        cmocka_unit_test(survives_hostile_json),
        cmocka_unit_test(keeps_lines_with_nuls_whole),
        cmocka_unit_test(gives_up_on_costly_expressions_with_an_error),
        cmocka_unit_test(bounds_the_memory_of_an_answer),
        cmocka_unit_test(bounds_steps_time_and_samples),
    };

    return cmocka_run_group_tests_name("logql_refusals", tests, NULL, NULL);
}
