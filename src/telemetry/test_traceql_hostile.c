/* Queries and traces made to hurt. */
#include "support/test.h"
#include "telemetry/traceql.h"

#include "base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *repeated(const char *head, const char *part, size_t times, const char *tail)
{
    size_t size = strlen(part), used = strlen(head);
    char *text = malloc(used + size * times + strlen(tail) + 1);

    assert_non_null(text);
    memcpy(text, head, used);
    for (size_t i = 0; i < times; i++, used += size)
        memcpy(text + used, part, size);
    memcpy(text + used, tail, strlen(tail) + 1);
    return text;
}

static struct obs_reason refused(char *text)
{
    struct traceql_query *query = NULL;
    struct obs_reason why = {0};

    assert_int_equal(traceql_parse(text, strlen(text), &query, &why), TRACEQL_REFUSED);
    assert_null(query);
    assert_true(why.line > 0 && why.column > 0);
    free(text);
    return why;
}

static void refuses_deep_nesting_where_it_becomes_too_deep(void **state)
{
    struct obs_reason why = refused(repeated("{ ", "(", 4000, ""));

    assert_string_equal(why.text, "query of more than 2048 words");
    why = refused(repeated("{ ", "(", 1000, "1"));
    assert_string_equal(why.text, "more than 64 levels inside each other");
    assert_int_equal(why.column, 3 + 64 + 1);
    refused(repeated("", "(", 1000, "{}"));
    refused(repeated("{ ", "!", 1000, ".a }"));
    refused(repeated("{ ", "-", 1000, "1 }"));
    refused(repeated("{ ", "2^", 1000, "1 }"));
    refused(repeated("", "(", 10000, ""));
    refused(repeated("", "({}|", 500, ""));
}

static void refuses_long_queries(void **state)
{
    refused(repeated("{ name = \"", "a", 100000, "\" }"));
    refused(repeated("{ ", ".a = 1 && ", 790, ".b = 1"));
    refused(repeated("{ .a", "", 0, " = 1 \x01 }"));
    refused(repeated("{ .x = 1 || ", ".a\x41 ", 500, "}"));
}

static void takes_long_chains(void **state)
{
    char *text = repeated("{ ", ".a = 1 || ", 400, ".b = 1 }");
    struct traceql_query *query = NULL;
    struct span_view span = {0};

    assert_int_equal(traceql_parse(text, strlen(text), &query, NULL), 0);
    assert_false(traceql_may_match(query, &span));
    traceql_query_free(query);
    free(text);
}

static void limits_different_fields_and_expressions(void **state)
{
    char text[4096] = "{ true";
    size_t used = strlen(text);

    for (int i = 0; i < 40; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, " && .a%d = 1", i);
    snprintf(text + used, sizeof(text) - used, " }");
    assert_string_equal(refused(strdup(text)).text, "more than 32 different fields");
    refused(repeated("{ true ", "&& .a =~ \"x\" ", 40, "}"));
}

static void refuses_bad_regular_expressions(void **state)
{
    static const char *const PATTERNS[] = {"(", "[a", "a{2,1}", "*", "(?<n", "\\\\1"};

    for (size_t i = 0; i < OBS_COUNT(PATTERNS); i++) {
        struct obs_reason why = refused(repeated("{ name =~ \"", PATTERNS[i], 1, "\" }"));

        assert_int_equal(why.column, 11);
    }
    refused(repeated("{ name =~ \"", "((a{1000}){1000}){1000}", 1, "\" }"));
}

static void a_regular_expression_that_gives_up_fails_the_query(void **state)
{
    static const char TEXT[] = "{ name =~ \"(a|a|aa|b?a)*c\" }";
    struct span_view span = {.span_id = {1}};
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;
    struct traceql_query *query = NULL;
    struct traceql_trace trace;
    struct traceql_spanset *found = NULL;
    struct obs_reason why = {0};
    char name[2000];

    memset(name, 'a', sizeof(name));
    memcpy(name + sizeof(name) - 2, "cd", 2);
    span.name = (struct text_view){name, sizeof(name)};
    assert_int_equal(traceql_parse(TEXT, strlen(TEXT), &query, &why), 0);
    assert_int_equal(obs_arena_new(1 << 20, &arena), 0);
    assert_int_equal(traceql_trace_build(&span, 1, arena, &trace, &why), 0);
    assert_int_equal(traceql_run(query, &trace, 0, arena, &found, &why), TRACEQL_REFUSED);
    assert_null(found);
    assert_non_null(strstr(why.text, "too many steps"));
    traceql_query_free(query);
}

static struct span_view *make_chain(size_t count, bool is_circle)
{
    struct span_view *spans = calloc(count, sizeof(*spans));

    assert_non_null(spans);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = i + 1, parent = i == 0 && is_circle ? count : i;

        memcpy(spans[i].span_id, &id, 8);
        memcpy(spans[i].parent_span_id, &parent, 8);
        spans[i].start_ns = i;
        spans[i].end_ns = i + 1;
    }
    return spans;
}

static void runs(struct span_view *spans, size_t count, const char *text, uint32_t want)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;
    struct traceql_query *query = NULL;
    struct traceql_trace trace;
    struct traceql_spanset *found = NULL;

    assert_int_equal(obs_arena_new(64 << 20, &arena), 0);
    assert_int_equal(traceql_parse(text, strlen(text), &query, NULL), 0);
    assert_int_equal(traceql_trace_build(spans, count, arena, &trace, NULL), 0);
    assert_int_equal(traceql_run(query, &trace, 0, arena, &found, NULL), 0);
    assert_int_equal(found ? found->count : 0, want);
    traceql_query_free(query);
}

static void a_chain_of_fifty_thousand_spans_is_quick(void **state)
{
    struct span_view *spans = make_chain(50000, false);
    uint64_t start = obs_mono_ns();

    runs(spans, 50000, "{ } >> { }", 49999);
    runs(spans, 50000, "{ nestedSetParent < 0 } >> { span:childCount = 0 }", 1);
    assert_true(obs_mono_ns() - start < 5 * OBS_NS_PER_SECOND);
    free(spans);
}

static void a_circle_of_parents_ends(void **state)
{
    struct span_view *spans = make_chain(1000, true);

    runs(spans, 1000, "{ } >> { }", 999);
    runs(spans, 1, "{ nestedSetParent < 0 }", 1); /* its own parent is not there */
    memcpy(spans[0].parent_span_id, spans[0].span_id, 8);
    runs(spans, 1, "{ } > { }", 0); /* its own parent */
    free(spans);
}

static void spans_that_came_twice_count_once(void **state)
{
    struct span_view *spans = make_chain(10, false);

    spans[9] = spans[8];
    runs(spans, 10, "{ }", 9);
    spans[9].kind = 3; /* a client and its server may share an id */
    runs(spans, 10, "{ }", 10);
    free(spans);
}

static void refuses_traces_of_too_many_spans(void **state)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;
    struct traceql_trace trace;
    struct obs_reason why;

    assert_int_equal(obs_arena_new(1 << 20, &arena), 0);
    assert_int_equal(traceql_trace_build(NULL, TRACEQL_SPANS_MAX + 1, arena, &trace, &why),
                     TRACEQL_REFUSED);
    assert_int_equal(traceql_trace_build(NULL, TRACEQL_SPANS_MAX, arena, &trace, &why), -ENOMEM);
}

static void stops_at_its_deadline(void **state)
{
    struct span_view *spans = make_chain(1000, false);
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;
    struct traceql_query *query = NULL;
    struct traceql_trace trace;
    struct traceql_spanset *found = NULL;

    assert_int_equal(obs_arena_new(1 << 20, &arena), 0);
    assert_int_equal(traceql_parse("{ .a = 1 }", 10, &query, NULL), 0);
    assert_int_equal(traceql_trace_build(spans, 1000, arena, &trace, NULL), 0);
    assert_int_equal(traceql_run(query, &trace, 1, arena, &found, NULL), TRACEQL_TIMEOUT);
    traceql_query_free(query);
    free(spans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_deep_nesting_where_it_becomes_too_deep),
        cmocka_unit_test(refuses_long_queries),
        cmocka_unit_test(takes_long_chains),
        cmocka_unit_test(limits_different_fields_and_expressions),
        cmocka_unit_test(refuses_bad_regular_expressions),
        cmocka_unit_test(a_regular_expression_that_gives_up_fails_the_query),
        cmocka_unit_test(a_chain_of_fifty_thousand_spans_is_quick),
        cmocka_unit_test(a_circle_of_parents_ends),
        cmocka_unit_test(spans_that_came_twice_count_once),
        cmocka_unit_test(refuses_traces_of_too_many_spans),
        cmocka_unit_test(stops_at_its_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
