/* LogQL by table: a query, lines, what comes out. */
#include "support/test.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "telemetry/logql.h"
#include "telemetry/logql_pipeline.h"
#include "telemetry/logql_run.h"
#include <math.h>
#include <string.h>

#define VIEW(t)                                                                                    \
    {                                                                                              \
        t, sizeof(t) - 1                                                                           \
    }
#define SECOND OBS_NS_PER_SECOND

/* ---- lines in an array as source ---- */

struct lines {
    const struct line_view *lines;
    size_t count;
};

static bool selects(const struct line_query *query, const struct line_view *line)
{
    for (size_t m = 0; m < query->matcher_count; m++) {
        const struct matcher *matcher = &query->matchers[m];
        struct text_view value = {"", 0};
        bool fits;

        for (size_t i = 0; i < line->label_count; i++)
            if (text_equal(line->labels[i].name, matcher->name))
                value = line->labels[i].value;
        fits = matcher->op == MATCH_EQUAL || matcher->op == MATCH_NOT_EQUAL
                   ? text_equal(value, matcher->value)
                   : query->regex_matches(matcher->regex, value);
        if (fits != (matcher->op == MATCH_EQUAL || matcher->op == MATCH_REGEX))
            return false;
    }
    return true;
}

static int scan(void *userdata, const struct line_query *query, store_line_fn *fn,
                void *fn_userdata)
{
    const struct lines *lines = userdata;

    for (size_t n = 0; n < lines->count; n++) {
        const struct line_view *line = &lines->lines[query->is_forward ? n : lines->count - 1 - n];

        if (line->time_ns >= query->from_ns && line->time_ns < query->until_ns &&
            selects(query, line) && fn(line, fn_userdata) == STORE_STOP)
            break;
    }
    return 0;
}

static const struct label ORDERS[] = {{VIEW("env"), VIEW("prod")},
                                      {VIEW("service_name"), VIEW("orders")}},
                          CATALOG[] = {{VIEW("env"), VIEW("prod")},
                                       {VIEW("service_name"), VIEW("catalog")}};
static const struct label TRACE_1[] = {{VIEW("trace_id"), VIEW("aa11")}},
                          TRACE_2[] = {{VIEW("trace_id"), VIEW("bb22")}};

#define LINE(at, stream, meta, text)                                                               \
    {                                                                                              \
        .time_ns = (at)*SECOND, .line = VIEW(text), .labels = stream, .label_count = 2,            \
        .metadata = meta, .metadata_count = 1                                                      \
    }

static const struct line_view LINES[] = {
    LINE(100, ORDERS, TRACE_1,
         "{\"level\":\"info\",\"msg\":\"placed\",\"took\":0.5,\"http\":{\"status\":201},\"tags\":["
         "\"a\",\"b\"]}"),
    LINE(101, CATALOG, TRACE_1,
         "level=info msg=\"list products\" duration=250ms size=2KB status=200"),
    LINE(102, ORDERS, TRACE_2,
         "{\"level\":\"error\",\"msg\":\"no stock\",\"took\":1.5,\"http\":{\"status\":409}}"),
    LINE(103, CATALOG, TRACE_2, "level=error msg=\"timed out\" duration=3s size=512B status=504"),
    LINE(104, ORDERS, TRACE_2, "plain text, no JSON"),
    LINE(105, CATALOG, TRACE_1, "10.0.0.7 - - \"GET /items/7 HTTP/1.1\" 200 0.012"),
};

static struct lines all = {LINES, OBS_COUNT(LINES)};
static const struct logql_source SOURCE = {scan, &all};

static struct logql_range whole(void)
{
    return (struct logql_range){.start_ns = 0,
                                .end_ns = 1000 * SECOND,
                                .limit = 100,
                                .is_forward = true,
                                .deadline_ns = obs_mono_ns() + 10 * SECOND};
}

/* ---- log queries ---- */

/* Every line, with its labels beyond the stream's own and trace_id: `text {a=b}`. */
static void run_lines(const char *text, struct obs_buffer *out)
{
    OBS_CLEANUP(logql_query_freep) struct logql_query *query = NULL;
    OBS_CLEANUP(logql_lines_freep) struct logql_lines *lines = NULL;
    struct logql_range range = whole();
    struct obs_reason why = {0};

    if (logql_parse(text, strlen(text), &query, &why) != LOGQL_OK ||
        logql_run_lines(query, &SOURCE, &range, true, &lines, &why) != LOGQL_OK) {
        obs_buffer_printf(out, "refused: %s", why.text);
        return;
    }
    for (size_t i = 0; i < lines->count; i++) {
        const struct logql_result_entry *e = &lines->entries[i];

        obs_buffer_printf(out, "%s%d", i > 0 ? " " : "", (int)(e->time_ns / SECOND));
        if (strstr(text, "line_format"))
            obs_buffer_printf(out, ":%.*s", (int)e->line.size, e->line.text);
        for (size_t p = 0; p < e->parsed_count; p++) {
            if (memmem(e->parsed[p].name.text, e->parsed[p].name.size, "details", 7))
                continue;
            obs_buffer_printf(out, " %.*s=%.*s", (int)e->parsed[p].name.size,
                              e->parsed[p].name.text, (int)e->parsed[p].value.size,
                              e->parsed[p].value.text);
        }
        if (e->parsed_count > 0)
            obs_buffer_append_char(out, ';');
    }
}

static void expect_lines(const char *query, const char *expected)
{
    struct obs_buffer out = OBS_BUFFER_INIT(65536);

    obs_buffer_append_text(&out, "");
    run_lines(query, &out);
    if (strcmp(out.data, expected) != 0)
        print_error("%s\n", query);
    assert_string_equal(out.data, expected);
    obs_buffer_done(&out);
}

static void selects_streams_by_their_labels(void **state)
{
    expect_lines("{service_name=\"orders\"}", "100 102 104");
    expect_lines("{service_name=~\"or.*|cat.*\", env=\"prod\"}", "100 101 102 103 104 105");
    expect_lines("{service_name=~\"rder\"}", "");
    expect_lines("{env=\"prod\", service_name!=\"orders\"}", "101 103 105");
    expect_lines("{env=\"prod\", service_name!~\"cat.+\"}", "100 102 104");
    expect_lines("{env=\"prod\", zone=\"\"} # a comment", "100 101 102 103 104 105");
    expect_lines("{env=\"prod\", zone!=\"\"}", "");
}

static void filters_lines(void **state)
{
    expect_lines("{env=\"prod\"} |= \"error\"", "102 103");
    expect_lines("{env=\"prod\"} |= `level=error`", "103");
    expect_lines("{env=\"prod\"} != \"level\"", "104 105");
    expect_lines("{env=\"prod\"} |~ \"GET /items/[0-9]+ \"", "105");
    expect_lines("{env=\"prod\"} !~ `level.{1,3}(info|error)`", "104 105");
    expect_lines("{env=\"prod\"} |= \"plain\" or \"GET\"", "104 105");
    expect_lines("{env=\"prod\"} != \"plain\" or \"GET\"", "100 101 102 103");
    expect_lines("{env=\"prod\"} |= \"level\" != \"info\" |~ \"stock|out\"", "102 103");
    expect_lines("{env=\"prod\"} |~ \"(?i)ERROR\"", "102 103");
    expect_lines("{env=\"prod\"} |= \"\"", "100 101 102 103 104 105");
}

static void reads_json(void **state)
{
    expect_lines("{service_name=\"orders\"} | json",
                 "100 http_status=201 level=info msg=placed took=0.5; "
                 "102 http_status=409 level=error msg=no stock took=1.5; "
                 "104 __error__=JSONParserErr;");
    expect_lines(
        "{service_name=\"orders\"} | json | __error__=\"\" | http_status >= 400 | keep msg",
        "102 msg=no stock;");
    expect_lines("{service_name=\"orders\"} | json s=\"http.status\", t=\"tags[1]\", "
                 "all=\"http\", level | __error__=\"\"",
                 "100 all={\"status\":201} level=info s=201 t=b; "
                 "102 all={\"status\":409} level=error s=409;");
    expect_lines("{service_name=\"orders\"} | json s=\"http[\\\"status\\\"]\" | s=\"201\"",
                 "100 s=201;");
}

static void reads_logfmt(void **state)
{
    expect_lines("{service_name=\"catalog\"} | logfmt | duration > 1s | keep msg, status",
                 "103 msg=timed out status=504;");
    expect_lines("{service_name=\"catalog\"} | logfmt | size >= 1KB | keep size", "101 size=2KB;");
    expect_lines("{service_name=\"catalog\"} | logfmt code=\"status\" | code != 200",
                 "103 code=504;");
    expect_lines("{service_name=\"catalog\"} | logfmt | duration >= 250ms and status < 300 or "
                 "msg=\"timed out\" | keep status",
                 "101 status=200; 103 status=504;");
    expect_lines("{service_name=\"catalog\"} | logfmt --strict | keep level",
                 "101 level=info; 103 level=error; 105 __error__=LogfmtParserErr;");
}

static void reads_patterns_and_expressions(void **state)
{
    expect_lines(
        "{service_name=\"catalog\"} |= \"GET\" | pattern `<ip> - - \"<method> <path> <_>\" "
        "<status> <took>`",
        "105 ip=10.0.0.7 method=GET path=/items/7 status=200 took=0.012;");
    expect_lines("{service_name=\"catalog\"} | regexp `\"(?P<method>[A-Z]+) (?P<path>\\S+)` | "
                 "method=\"GET\"",
                 "105 method=GET path=/items/7;");
    expect_lines("{service_name=\"orders\"} | pattern `level=<l>`", "100 102 104");
}

static void compares_label_values_by_kind(void **state)
{
    expect_lines("{service_name=\"catalog\"} | logfmt | status == 504 | keep none", "103");
    expect_lines("{service_name=\"catalog\"} | logfmt | status = 504 | keep none", "103");
    expect_lines("{service_name=\"catalog\"} | logfmt | msg > 5 | keep __error__",
                 "101 __error__=LabelFilterErr; 103 __error__=LabelFilterErr;");
    expect_lines("{service_name=\"catalog\"} | logfmt | (status=\"200\" or status=\"504\") and "
                 "level=~\"err.*\" | keep none",
                 "103");
    expect_lines("{service_name=\"catalog\"} | logfmt | level=\"error\", status=504 | keep none",
                 "103");
    expect_lines("{env=\"prod\"} | nothing > 5", "");
    expect_lines("{env=\"prod\"} | nothing = \"\"", "100 101 102 103 104 105");
}

static void finds_lines_by_trace_id(void **state)
{
    expect_lines("{service_name=~\".+\"} | trace_id=\"aa11\"", "100 101 105");
    expect_lines("{service_name=~\".+\"} | trace_id=\"bb22\" |= \"error\"", "102 103");
}

static void formats_lines_and_labels(void **state)
{
    expect_lines(
        "{service_name=\"orders\"} | json | __error__=\"\" | "
        "line_format \"{{.level | ToUpper}}: {{ .msg }} {{.nothing}}!\" | drop level, msg, "
        "took, http_status",
        "100:INFO: placed ! 102:ERROR: no stock !");
    expect_lines("{service_name=\"orders\"} |= \"plain\" | line_format `{{ trunc 5 __line__ }}/"
                 "{{ default \"-\" .zone }}/{{ .env | replace \"p\" \"b\" }}`",
                 "104:plain/-/brod");
    expect_lines("{service_name=\"orders\"} | json | label_format code=http_status, "
                 "both=`{{.level}}-{{.took}}` | code=\"409\" | keep code, both",
                 "102 both=error-1.5 code=409;");
    expect_lines("{service_name=\"orders\"} | json | drop __error__, level=\"info\" | keep level",
                 "100 102 level=error; 104;");
}

static void renames_what_the_stream_has_already(void **state)
{
    static const struct line_view CLASH[] = {
        LINE(1, ORDERS, TRACE_1,
             "{\"env\":\"dev\",\"trace_id\":\"cc33\",\"9lives.x\":true,\"n\":null}")};
    struct lines clash = {CLASH, 1};
    const struct logql_source source = {scan, &clash};
    OBS_CLEANUP(logql_query_freep) struct logql_query *query = NULL;
    OBS_CLEANUP(logql_lines_freep) struct logql_lines *lines = NULL;
    struct logql_range range = whole();
    struct obs_reason why;
    static const char TEXT[] = "{env=\"prod\"} | json";
    static const char *const NAMES[] = {"_9lives_x", "env", "env_extracted", "service_name",
                                        "trace_id"};

    assert_int_equal(logql_parse(TEXT, sizeof(TEXT) - 1, &query, &why), LOGQL_OK);
    assert_int_equal(logql_run_lines(query, &source, &range, false, &lines, &why), LOGQL_OK);
    assert_int_equal(lines->stream_count, 1);
    assert_int_equal(lines->streams[0].label_count, OBS_COUNT(NAMES));
    for (size_t i = 0; i < OBS_COUNT(NAMES); i++)
        assert_memory_equal(lines->streams[0].labels[i].name.text, NAMES[i], strlen(NAMES[i]));
    assert_memory_equal(lines->streams[0].labels[4].value.text, "cc33", 4);
}

static void keeps_to_limit_direction_and_interval(void **state)
{
    OBS_CLEANUP(logql_query_freep) struct logql_query *query = NULL;
    struct logql_lines *lines = NULL;
    struct logql_range range = whole();
    struct obs_reason why;

    assert_int_equal(logql_parse("{env=\"prod\"}", 12, &query, &why), LOGQL_OK);
    range.limit = 2;
    range.is_forward = false;
    assert_int_equal(logql_run_lines(query, &SOURCE, &range, false, &lines, &why), LOGQL_OK);
    assert_int_equal(lines->count, 2);
    assert_int_equal(lines->entries[0].time_ns, 105 * SECOND);
    lines = logql_lines_free(lines);
    range.limit = 100;
    range.is_forward = true;
    range.interval_ns = 2 * SECOND;
    assert_int_equal(logql_run_lines(query, &SOURCE, &range, false, &lines, &why), LOGQL_OK);
    assert_int_equal(lines->count, 3);
    assert_int_equal(lines->entries[1].time_ns, 102 * SECOND);
    logql_lines_free(lines);
}

/* ---- queries that compute, at @at (seconds) and every @step up to @end ---- */

static void run_numbers(const char *text, unsigned at, unsigned end, unsigned step,
                        struct obs_buffer *out)
{
    OBS_CLEANUP(logql_query_freep) struct logql_query *query = NULL;
    OBS_CLEANUP(logql_numbers_freep) struct logql_numbers *numbers = NULL;
    struct logql_range range = {.start_ns = at * SECOND,
                                .end_ns = end * SECOND,
                                .step_ns = step * SECOND,
                                .deadline_ns = obs_mono_ns() + 10 * SECOND};
    struct obs_reason why = {0};
    char number[OBS_TEXT_NUMBER_SIZE];

    if (logql_parse(text, strlen(text), &query, &why) != LOGQL_OK ||
        logql_run_numbers(query, &SOURCE, &range, &numbers, &why) != LOGQL_OK) {
        obs_buffer_printf(out, "refused: %s", why.text);
        return;
    }
    for (size_t i = 0; i < numbers->count; i++) {
        const struct logql_series *s = numbers->series[i];

        obs_buffer_append_text(out, i > 0 ? " {" : "{");
        for (size_t l = 0; l < s->label_count; l++)
            obs_buffer_printf(out, "%s%.*s=%.*s", l > 0 ? "," : "", (int)s->labels[l].name.size,
                              s->labels[l].name.text, (int)s->labels[l].value.size,
                              s->labels[l].value.text);
        obs_buffer_append_text(out, "}");
        for (size_t k = 0; k < numbers->steps; k++)
            obs_buffer_printf(out, " %s",
                              s->has[k] ? obs_text_number(round(s->values[k] * 1e6) / 1e6, number)
                                        : "-");
    }
}

static void expect_numbers(const char *query, unsigned at, unsigned end, unsigned step,
                           const char *expected)
{
    struct obs_buffer out = OBS_BUFFER_INIT(65536);

    obs_buffer_append_text(&out, "");
    run_numbers(query, at, end, step, &out);
    if (strcmp(out.data, expected) != 0)
        print_error("%s\n", query);
    assert_string_equal(out.data, expected);
    obs_buffer_done(&out);
}

static void expect_at_110(const char *query, const char *expected)
{
    expect_numbers(query, 110, 110, 0, expected);
}

static void counts_lines_and_bytes(void **state)
{
    expect_at_110("sum(count_over_time({env=\"prod\"}[1m]))", "{} 6");
    expect_at_110("sum by (service_name) (count_over_time({env=\"prod\"} |= \"error\" [1m]))",
                  "{service_name=catalog} 1 {service_name=orders} 1");
    expect_at_110("sum(rate({env=\"prod\"}[1m]))", "{} 0.1");
    expect_at_110("sum(bytes_over_time({env=\"prod\"} |= \"plain\" [1m]))", "{} 19");
    expect_at_110("sum(bytes_rate({env=\"prod\"} |= \"plain\" [10s]))", "{} 1.9");
    expect_at_110("count_over_time({service_name=\"orders\"} | drop trace_id [1m])",
                  "{env=prod,service_name=orders} 3");
    expect_at_110("sum without (env, trace_id) (count_over_time({env=\"prod\"}[1m]))",
                  "{service_name=catalog} 3 {service_name=orders} 3");
    expect_at_110("absent_over_time({env=\"prod\", zone=\"x\"}[1m])", "{env=prod,zone=x} 1");
    expect_at_110("absent_over_time({env=\"prod\"}[1m])", "");
}

static void takes_windows_open_at_their_start(void **state)
{
    expect_numbers("sum(count_over_time({env=\"prod\"}[2s]))", 100, 107, 1, "{} 1 2 2 2 2 2 1 -");
    expect_numbers("sum(count_over_time({env=\"prod\"}[2s] offset 2s))", 100, 107, 1,
                   "{} - - 1 2 2 2 2 2");
    expect_numbers("sum(count_over_time({env=\"prod\"}[2s] offset -2s))", 98, 99, 1, "{} 1 2");
    expect_numbers("sum(count_over_time({env=\"prod\"}[3s]))", 100, 108, 3, "{} 1 3 2");
}

static void computes_over_unwrapped_values(void **state)
{
#define JSON "{service_name=\"orders\"} | json | __error__=\"\" | keep took | unwrap took [1m]"
    expect_at_110("sum_over_time(" JSON ")", "{} 2");
    expect_at_110("avg_over_time(" JSON ")", "{} 1");
    expect_at_110("min_over_time(" JSON ")", "{} 0.5");
    expect_at_110("max_over_time(" JSON ")", "{} 1.5");
    expect_at_110("first_over_time(" JSON ")", "{} 0.5");
    expect_at_110("last_over_time(" JSON ")", "{} 1.5");
    expect_at_110("stddev_over_time(" JSON ")", "{} 0.5");
    expect_at_110("stdvar_over_time(" JSON ")", "{} 0.25");
    expect_at_110("quantile_over_time(0.5, " JSON ")", "{} 1");
    expect_at_110("quantile_over_time(0.9, " JSON ") by (env)", "{} 1.4");
    expect_at_110("rate(" JSON ")", "{} 0.033333");
    expect_at_110("max_over_time({service_name=\"catalog\"} | logfmt | unwrap duration(duration) "
                  "[1m]) by (level)",
                  "{level=error} 3 {level=info} 0.25");
    expect_at_110(
        "sum(sum_over_time({service_name=\"catalog\"} | logfmt | unwrap bytes(size) [1m]))",
        "{} 2512");
    expect_numbers("max_over_time(" JSON ")", 100, 163, 61, "{} 0.5 1.5");
}

static void refuses_numbers_that_hide_errors(void **state)
{
    expect_at_110("sum(sum_over_time({service_name=\"catalog\"} | logfmt | unwrap msg [1m]))",
                  "refused: pipeline error: 'SampleExtractionErr' (the value to unwrap is no "
                  "number). Use a label filter to intentionally skip this error: | __error__=\"\" "
                  "behind the stage that fails");
    expect_at_110(
        "sum(count_over_time({service_name=\"orders\"} | json [1m]))",
        "refused: pipeline error: 'JSONParserErr' (the line is no JSON object). Use a "
        "label filter to intentionally skip this error: | __error__=\"\" behind the stage "
        "that fails");
    expect_at_110("sum(count_over_time({service_name=\"orders\"} | json | __error__=\"\" [1m]))",
                  "{} 2");
    expect_at_110("sum(sum_over_time({service_name=\"catalog\"} | logfmt | unwrap msg | "
                  "__error__=\"\" [1m]))",
                  "");
}

static void aggregates_and_ranks(void **state)
{
#define BY_LEVEL                                                                                   \
    "sum by (service_name, level) (count_over_time({env=\"prod\"} |~ \"level\" | "                 \
    "logfmt | json | drop __error__, __error_details__ [1m]))"
    expect_at_110("count(" BY_LEVEL ")", "{} 4");
    expect_at_110("sum by (level) (" BY_LEVEL ")", "{level=error} 2 {level=info} 2");
    expect_at_110("avg(" BY_LEVEL ")", "{} 1");
    expect_at_110("topk(1, sum by (service_name) (bytes_over_time({env=\"prod\"}[1m])))",
                  "{service_name=catalog} 171");
    expect_at_110("bottomk(1, sum by (service_name) (bytes_over_time({env=\"prod\"}[1m])))",
                  "{service_name=orders} 167");
    expect_numbers("topk(1, sum by (service_name) (count_over_time({env=\"prod\"}[1s])))", 100, 103,
                   1, "{service_name=catalog} - 1 - 1 {service_name=orders} 1 - 1 -");
    expect_at_110("max(" BY_LEVEL ") - min(" BY_LEVEL ")", "{} 0");
    expect_at_110("stddev(sum by (service_name) (bytes_over_time({env=\"prod\"}[1m])))", "{} 2");
}

static void calculates(void **state)
{
#define COUNTS "sum by (service_name) (count_over_time({env=\"prod\"}[1m]))"
#define ERRORS "sum by (service_name) (count_over_time({env=\"prod\"} |= \"error\" [1m]))"
    expect_at_110("1 + 2 * 3 ^ 2 - 4 / 2", "{} 17");
    expect_at_110("-2 ^ 2", "{} 4");
    expect_at_110("(1 + 2) * 3 % 4", "{} 1");
    expect_at_110(COUNTS " * 10", "{service_name=catalog} 30 {service_name=orders} 30");
    expect_at_110(ERRORS " / " COUNTS,
                  "{service_name=catalog} 0.333333 {service_name=orders} 0.333333");
    expect_at_110(COUNTS " > 3", "");
    expect_at_110(COUNTS " > bool 2", "{service_name=catalog} 1 {service_name=orders} 1");
    expect_at_110("sum(count_over_time({env=\"dev\"}[1m])) or vector(0)", "{} 0");
    expect_at_110(COUNTS " and on (service_name) sum by (service_name) "
                         "(count_over_time({service_name=\"orders\"}[1m]))",
                  "{service_name=orders} 3");
    expect_at_110(COUNTS " unless sum by (service_name) "
                         "(count_over_time({service_name=\"orders\"}[1m]))",
                  "{service_name=catalog} 3");
    expect_at_110("sum by (env, service_name) (count_over_time({env=\"prod\"}[1m])) - "
                  "ignoring (env) " ERRORS,
                  "{service_name=catalog} 2 {service_name=orders} 2");
    expect_at_110(COUNTS " - on () " ERRORS,
                  "refused: multiple matches for labels: many series on the right hand-side have "
                  "the same matching labels, and group_left and group_right are not supported");
    expect_at_110("1 / 0", "{} NaN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selects_streams_by_their_labels),
        cmocka_unit_test(filters_lines),
        cmocka_unit_test(reads_json),
        cmocka_unit_test(reads_logfmt),
        cmocka_unit_test(reads_patterns_and_expressions),
        cmocka_unit_test(compares_label_values_by_kind),
        cmocka_unit_test(finds_lines_by_trace_id),
        cmocka_unit_test(formats_lines_and_labels),
        cmocka_unit_test(renames_what_the_stream_has_already),
        cmocka_unit_test(keeps_to_limit_direction_and_interval),
        cmocka_unit_test(counts_lines_and_bytes),
        cmocka_unit_test(takes_windows_open_at_their_start),
        cmocka_unit_test(computes_over_unwrapped_values),
        cmocka_unit_test(refuses_numbers_that_hide_errors),
        cmocka_unit_test(aggregates_and_ranks),
        cmocka_unit_test(calculates),
    };

    return cmocka_run_group_tests_name("logql", tests, NULL, NULL);
}
