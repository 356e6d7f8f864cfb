#include "support/test.h"
#include "telemetry/traceql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One trace, of a shop:
 *
 *   1 gateway  GET /          server  0..100 ms  http.status 200
 *   ├─ 2 front   GET /home    server  5..90 ms   cached true
 *   │  ├─ 3 front  SELECT     client  10..20 ms  db.system "postgresql", rows 7
 *   │  └─ 4 front  GET        client  20..80 ms  error "timeout"
 *   │     └─ 5 catalog GET /p server  30..70 ms  error, ratio 0.5
 *   └─ 6 front   publish      producer 91..92 ms "strange name" "x"
 */
#define TEXT(literal) ((struct text_view){literal, sizeof(literal) - 1})
#define TEXT_ATTRIBUTE(key, literal)                                                               \
    {                                                                                              \
        TEXT(key),                                                                                 \
        {                                                                                          \
            .type = VALUE_TEXT, .is.text = TEXT(literal)                                           \
        }                                                                                          \
    }
#define MS(n) (1000000000000000000ULL + (n)*1000000ULL)

static const struct attribute GATEWAY[] = {TEXT_ATTRIBUTE("service.name", "gateway"),
                                           TEXT_ATTRIBUTE("zone", "eu-1")};
static const struct attribute FRONT[] = {TEXT_ATTRIBUTE("service.name", "front"),
                                         TEXT_ATTRIBUTE("zone", "eu-2")};
static const struct attribute CATALOG[] = {TEXT_ATTRIBUTE("service.name", "catalog")};
static const struct attribute OF_1[] = {
    {TEXT("http.status"), {.type = VALUE_INT, .is.integer = 200}}};
static const struct attribute OF_2[] = {{TEXT("cached"), {.type = VALUE_BOOL, .is.boolean = true}},
                                        TEXT_ATTRIBUTE("zone", "span-zone")};
static const struct attribute OF_3[] = {TEXT_ATTRIBUTE("db.system", "postgresql"),
                                        {TEXT("rows"), {.type = VALUE_INT, .is.integer = 7}}};
static const struct attribute OF_5[] = {{TEXT("ratio"), {.type = VALUE_DOUBLE, .is.number = 0.5}}};
static const struct attribute OF_6[] = {TEXT_ATTRIBUTE("strange name", "x")};

#define SPAN(id, parent, of, called, of_kind, from, to)                                            \
    .trace_id = {0xab, [15] = 1}, .span_id = {[7] = id}, .parent_span_id = {[7] = parent},         \
    .service = of[0].value.is.text, .resource = of, .resource_count = OBS_COUNT(of),               \
    .name = TEXT(called), .kind = of_kind, .start_ns = MS(from), .end_ns = MS(to)
#define HAS(list) .attributes = list, .attribute_count = OBS_COUNT(list)

enum { INTERNAL = 1, SERVER, CLIENT, PRODUCER, CONSUMER };

static void make_trace(struct span_view spans[6])
{
    const struct span_view trace[6] = {
        {SPAN(4, 2, FRONT, "GET", CLIENT, 20, 80), .status = SPAN_STATUS_ERROR,
         .status_message = TEXT("timeout")},
        {SPAN(1, 0, GATEWAY, "GET /", SERVER, 0, 100), HAS(OF_1), .status = SPAN_STATUS_OK},
        {SPAN(5, 4, CATALOG, "GET /p", SERVER, 30, 70), HAS(OF_5), .status = SPAN_STATUS_ERROR},
        {SPAN(2, 1, FRONT, "GET /home", SERVER, 5, 90), HAS(OF_2), .scope_name = TEXT("lib")},
        {SPAN(3, 2, FRONT, "SELECT", CLIENT, 10, 20), HAS(OF_3)},
        {SPAN(6, 1, FRONT, "publish", PRODUCER, 91, 92), HAS(OF_6)},
    };

    memcpy(spans, trace, sizeof(trace));
}

/* What @text finds: ids, spansets apart by " | ", with their labels in front. */
static const char *find(const char *text)
{
    static char out[512];
    OBS_CLEANUP(traceql_query_freep) struct traceql_query *query = NULL;
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;
    struct span_view spans[6];
    struct traceql_trace trace;
    struct traceql_spanset *found = NULL;
    struct obs_reason why = {0};
    size_t used = 0;
    bool may_match = false;

    out[0] = '\0';
    if (traceql_parse(text, strlen(text), &query, &why) != 0) {
        snprintf(out, sizeof(out), "%u:%u %s", why.line, why.column, why.text);
        return out;
    }
    make_trace(spans);
    assert_int_equal(obs_arena_new(1 << 20, &arena), 0);
    assert_int_equal(traceql_trace_build(spans, 6, arena, &trace, &why), 0);
    assert_int_equal(traceql_run(query, &trace, 0, arena, &found, &why), 0);
    for (struct traceql_spanset *set = found; set; set = set->next) {
        for (struct traceql_label *label = set->labels; label; label = label->next) {
            char room[TRACEQL_TEXT_SIZE];
            struct text_view value = traceql_value_text(&label->value, room);

            used += (size_t)snprintf(out + used, sizeof(out) - used,
                                     "%.*s=%.*s: ", (int)label->name.size, label->name.text,
                                     (int)value.size, value.text);
        }
        for (uint32_t i = 0; i < set->count; i++)
            used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%u", i > 0 ? " " : "",
                                     trace.spans[set->spans[i]].view->span_id[7]);
        if (set->next)
            used += (size_t)snprintf(out + used, sizeof(out) - used, " | ");
    }
    /* What a search does before it has the trace must never lose one that matches. */
    for (size_t i = 0; i < 6; i++)
        may_match |= traceql_may_match(query, &spans[i]);
    if (found)
        assert_true(may_match);
    if (traceql_is_single(query))
        assert_int_equal(may_match, found != NULL);
    return out;
}

static void finds_spans_by_what_every_span_has(void **state)
{
    assert_string_equal(find("{}"), "1 2 3 4 5 6");
    assert_string_equal(find("{ name = \"GET\" }"), "4");
    assert_string_equal(find("{ status = error }"), "4 5");
    assert_string_equal(find("{ status != error }"), "1 2 3 6");
    assert_string_equal(find("{ statusMessage = \"timeout\" }"), "4");
    assert_string_equal(find("{ kind = server }"), "1 2 5");
    assert_string_equal(find("{ span:kind = producer }"), "6");
    assert_string_equal(find("{ duration >= 60ms }"), "1 2 4");
    assert_string_equal(find("{ duration < 1.5ms }"), "6");
    assert_string_equal(find("{ duration = 10000000 }"), "3");
    assert_string_equal(find("{ instrumentation:name = \"lib\" }"), "2");
    assert_string_equal(find("{ span:id = \"3\" }"), "3");
    assert_string_equal(find("{ span:parentID = \"0000000000000002\" }"), "3 4");
    assert_string_equal(find("{ trace:id = \"ab000000000000000000000000000001\" }"), "1 2 3 4 5 6");
}

static void finds_spans_by_attributes_of_each_scope(void **state)
{
    assert_string_equal(find("{ span.db.system = \"postgresql\" }"), "3");
    assert_string_equal(find("{ .db.system = \"postgresql\" }"), "3");
    assert_string_equal(find("{ resource.db.system = \"postgresql\" }"), "");
    assert_string_equal(find("{ resource.service.name = \"front\" }"), "2 3 4 6");
    assert_string_equal(find("{ span.\"strange name\" = \"x\" }"), "6");
    assert_string_equal(find("{ .\"strange name\" = `x` }"), "6");
    assert_string_equal(find("{ resource.zone = \"eu-2\" }"), "2 3 4 6");
    /* the span's own before its resource's */
    assert_string_equal(find("{ .zone = \"eu-2\" }"), "3 4 6");
    assert_string_equal(find("{ .zone = \"span-zone\" }"), "2");
}

static void compares_numbers_whatever_their_type(void **state)
{
    assert_string_equal(find("{ span.http.status = 200 }"), "1");
    assert_string_equal(find("{ span.http.status >= 199.5 && .http.status < 300 }"), "1");
    assert_string_equal(find("{ span.ratio = 0.5 }"), "5");
    assert_string_equal(find("{ span.ratio < 1 }"), "5");
    assert_string_equal(find("{ span.rows > -1 }"), "3");
    assert_string_equal(find("{ span.rows > 2 * 3 }"), "3");
    assert_string_equal(find("{ span.rows * 2 = 14 }"), "3");
    assert_string_equal(find("{ span.rows / 2 = 3.5 }"), "3");
    assert_string_equal(find("{ span.rows % 4 = 3 }"), "3");
    assert_string_equal(find("{ span.rows ^ 2 = 49 }"), "3");
    assert_string_equal(find("{ span.rows / 0 > 1 || span.rows / 0 <= 1 }"), "");
    assert_string_equal(find("{ span.rows < maxInt && span.rows > minInt }"), "3");
    assert_string_equal(find("{ duration > 1ms * 84 }"), "1 2");
}

static void comparisons_with_another_type_or_nothing_are_false(void **state)
{
    assert_string_equal(find("{ span.rows = \"7\" }"), "");
    assert_string_equal(find("{ span.rows != \"7\" }"), "");
    assert_string_equal(find("{ span.rows != 8 }"), "3");
    assert_string_equal(find("{ span.nowhere != \"x\" }"), "");
    assert_string_equal(find("{ span.rows != nil }"), "3");
    assert_string_equal(find("{ span.rows = nil && kind = client }"), "4");
    assert_string_equal(find("{ !(span.rows = 7) }"), "1 2 4 5 6");
}

static void booleans_stand_alone(void **state)
{
    assert_string_equal(find("{ span.cached }"), "2");
    assert_string_equal(find("{ span.cached = true }"), "2");
    assert_string_equal(find("{ span.cached || span.rows = 7 }"), "2 3");
    assert_string_equal(find("{ true }"), "1 2 3 4 5 6");
    assert_string_equal(find("{ false }"), "");
    assert_string_equal(find("{ !span.cached }"), "");
}

static void regular_expressions_match_the_whole_value(void **state)
{
    assert_string_equal(find("{ name =~ \"GET\" }"), "4");
    assert_string_equal(find("{ name =~ \"GET.*\" }"), "1 2 4 5");
    assert_string_equal(find("{ name !~ \"GET.*\" }"), "3 6");
    assert_string_equal(find("{ resource.service.name =~ \"front|catalog\" }"), "2 3 4 5 6");
    assert_string_equal(find("{ name =~ \"GET /\\\\w\" }"), "5");
    assert_string_equal(find("{ span.rows =~ \"7\" }"), "");
    assert_string_equal(find("{ span.rows !~ \"8\" }"), "");
}

static void and_and_or_have_the_same_precedence_as_in_tempo(void **state)
{
    /* from the left: (a || b) && c */
    assert_string_equal(find("{ name = \"GET\" || name = \"SELECT\" && duration > 50ms }"), "4");
    assert_string_equal(find("{ name = \"SELECT\" || (name = \"GET\" && duration > 50ms) }"),
                        "3 4");
    assert_string_equal(find("{ duration > 5ms + 2 * 40ms }"), "1");
    assert_string_equal(find("{ duration > (5ms + 2) * 40 }"), "");
    assert_string_equal(find("{ 2 ^ 3 ^ 2 = 512 && 10 - 4 - 3 = 3 }"), "1 2 3 4 5 6");
    /* structural operators before && */
    assert_string_equal(find("{ name = \"publish\" } && { kind = server } > { kind = client }"),
                        "3 4 6");
}

static void knows_the_whole_trace(void **state)
{
    assert_string_equal(find("{ traceDuration = 100ms }"), "1 2 3 4 5 6");
    assert_string_equal(find("{ trace:duration > 100ms }"), "");
    assert_string_equal(find("{ rootName = \"GET /\" && kind = producer }"), "6");
    assert_string_equal(find("{ rootServiceName = \"gateway\" && status = error }"), "4 5");
    assert_string_equal(find("{ nestedSetParent < 0 }"), "1");
    assert_string_equal(find("{ nestedSetParent = 1 }"), "2 6");
    assert_string_equal(find("{ span:childCount = 2 }"), "1 2");
    assert_string_equal(find("{ span:childCount = 0 }"), "3 5 6");
}

static void relates_spans_by_the_tree(void **state)
{
    assert_string_equal(find("{ name = \"GET /home\" } > { kind = client }"), "3 4");
    assert_string_equal(find("{ name = \"GET /\" } > { status = error }"), "");
    assert_string_equal(find("{ name = \"GET /\" } >> { status = error }"), "4 5");
    assert_string_equal(find("{ resource.service.name = \"front\" } >> { status = error }"), "4 5");
    assert_string_equal(find("{ status = error } < { }"), "2 4");
    assert_string_equal(find("{ status = error } << { }"), "1 2 4");
    assert_string_equal(find("{ name = \"SELECT\" } ~ { }"), "4");
    assert_string_equal(find("{ name = \"GET /\" } ~ { }"), "");
    assert_string_equal(find("{ } ~ { }"), "2 3 4 6");
    /* from the left: (1 > 2) > 4 */
    assert_string_equal(find("{ name = \"GET /\" } > { } > { status = error }"), "4");
    assert_string_equal(find("{ name = \"GET /\" } > ({ name = \"GET /home\" } > { })"), "");
}

static void relates_spans_that_are_not_related(void **state)
{
    assert_string_equal(find("{ } !< { }"), "3 5 6"); /* leaves */
    assert_string_equal(find("{ status = error } !< { status = error }"), "5");
    assert_string_equal(find("{ } !> { }"), "1");
    assert_string_equal(find("{ name = \"GET /home\" } !>> { }"), "1 2 6");
    assert_string_equal(find("{ status = error } !<< { kind = server }"), "5");
    assert_string_equal(find("{ name = \"SELECT\" } !~ { kind = client }"), "3");
    assert_string_equal(find("{ name = \"none\" } !> { kind = client }"), "3 4");
}

static void unions_show_both_sides(void **state)
{
    assert_string_equal(find("{ kind = server } &> { kind = client }"), "2 3 4");
    assert_string_equal(find("{ name = \"GET /\" } &>> { status = error }"), "1 4 5");
    assert_string_equal(find("{ status = error } &<< { rootName = name }"), "1 4 5");
    assert_string_equal(find("{ name = \"SELECT\" } &~ { status = error }"), "3 4");
}

static void joins_spansets(void **state)
{
    assert_string_equal(find("{ status = error } && { kind = producer }"), "4 5 6");
    assert_string_equal(find("{ status = error } && { kind = consumer }"), "");
    assert_string_equal(find("{ status = error } || { kind = consumer }"), "4 5");
    assert_string_equal(find("{ status = error } || { name = \"GET\" }"), "4 5");
    assert_string_equal(find("({ kind = client } | count() > 1) && { kind = producer }"), "3 4 6");
    assert_string_equal(find("({ kind = client } | count() > 2) && { kind = producer }"), "");
    assert_string_equal(find("({ kind = client } | count() > 2) || { kind = producer }"), "6");
}

static void aggregates_over_the_spans_found(void **state)
{
    assert_string_equal(find("count() > 5"), "count()=6: 1 2 3 4 5 6");
    assert_string_equal(find("{ status = error } | count() > 1"), "count()=2: 4 5");
    assert_string_equal(find("{ status = error } | count() > 2"), "");
    assert_string_equal(find("{ kind = client } | avg(duration) > 34ms"),
                        "avg(duration)=35ms: 3 4");
    assert_string_equal(find("{ kind = client } | avg(duration) > 35ms"), "");
    assert_string_equal(find("{ kind = client } | max(duration) = 60ms"),
                        "max(duration)=60ms: 3 4");
    assert_string_equal(find("{ kind = client } | min(duration) = 10ms"),
                        "min(duration)=10ms: 3 4");
    assert_string_equal(find("{ kind = client } | sum(duration) = 70ms"),
                        "sum(duration)=70ms: 3 4");
    assert_string_equal(find("{ } | sum(span.rows) = 7"), "sum(span.rows)=7: 1 2 3 4 5 6");
    assert_string_equal(find("{ } | avg(span.ratio) < 1"), "avg(span.ratio)=0.5: 1 2 3 4 5 6");
    assert_string_equal(find("{ } | max(span.nowhere) < 1"), "");
    assert_string_equal(find("{ } | max(duration) > 5 * min(duration)"),
                        "min(duration)=1ms: max(duration)=100ms: 1 2 3 4 5 6");
    assert_string_equal(find("{ } | { status = error } | count() = 2"), "count()=2: 4 5");
    assert_string_equal(find("{ status = error } | { } >> { }"), "5");
}

static void groups_and_joins_again(void **state)
{
    assert_string_equal(find("{ } | by(resource.service.name) | count() = 1"),
                        "count()=1: by(resource.service.name)=catalog: 5 | "
                        "count()=1: by(resource.service.name)=gateway: 1");
    assert_string_equal(find("{ kind = client } | by(status)"),
                        "by(status)=unset: 3 | by(status)=error: 4");
    assert_string_equal(find("{ kind = client } | by(span.rows)"),
                        "by(span.rows)=nil: 4 | by(span.rows)=7: 3");
    assert_string_equal(find("{ kind = client } | by(span:id) | coalesce()"), "3 4");
    assert_string_equal(find("{ kind = client } | select(name, span.rows) | count() = 2"),
                        "count()=2: 3 4");
    assert_string_equal(find("{ kind = client } | by(span:id)"),
                        "by(span:id)=0000000000000003: 3 | by(span:id)=0000000000000004: 4");
}

static void reads_comments_hints_and_lines(void **state)
{
    assert_string_equal(find("{ // braces {\n  name = \"GET\" // here\n}"), "4");
    assert_string_equal(find("{ name = \"GET\" } with (most_recent = true)"), "4");
    assert_string_equal(find("{ .a.b-c/d = 1 || duration > 90ms }"), "1");
    assert_string_equal(find("{ duration > 0h0m0s95ms }"), "1");
}

static void says_where_a_query_is_wrong(void **state)
{
    assert_string_equal(find(""),
                        "1:1 unexpected end: expected spans in braces, such as { status = "
                        "error }, or count(), avg(), max(), min(), sum(), by(), select() "
                        "or coalesce()");
    assert_string_equal(find("{ name = }"), "1:10 unexpected \"}\": expected a field or a value");
    assert_string_equal(find("{ name =\n  GET }"),
                        "2:3 unexpected \"GET\": expected a field such as name, span.x, resource.x "
                        "or .x, or a value (text needs quotes)");
    assert_string_equal(find("{ name = \"a\" "),
                        "1:14 unexpected end: expected an operator or \"}\"");
    assert_string_equal(find("{ name = \"a }"), "1:10 text without its closing quote");
    assert_string_equal(
        find("{ \"\xc3\xa4\" = name } }"),
        "1:16 unexpected \"}\": expected \"|\", an operator between spansets, or the "
        "end");
    assert_string_equal(find("{ name = 5 }"), "1:8 cannot compare text with a whole number");
    assert_string_equal(find("{ status > error }"), "1:10 a status has no order: use = or !=");
    assert_string_equal(find("{ duration }"),
                        "1:3 expected a condition such as `duration = …`, not a duration");
    assert_string_equal(find("{ name && true }"), "1:3 expected a condition, not text");
    assert_string_equal(find("{ name + 1 = 2 }"), "1:3 expected a number, not text");
    assert_string_equal(find("{ span. = 2 }"), "1:3 expected an attribute's name after \".\"");
    assert_string_equal(find("{ name = \"\\d\" }"),
                        "1:11 unknown escape: \\\" \\\\ \\n \\t \\r are known (write a regular "
                        "expression's \\d as \\\\d)");
    assert_string_equal(find("{ a ? b }"), "1:5 unexpected character \"?\"");
    assert_string_equal(find("{ .a = 12x }"), "1:8 number runs into a word");
    assert_string_equal(find("{ .a = 99999999999999999999 }"), "1:8 whole number out of range");
    assert_string_equal(find("{ duration > 1s5h }"),
                        "1:14 bad duration: write it as 100ms, 1.5s or 1h30m");
    assert_string_equal(find("{ name =~ .a }"), "1:11 a regular expression must be text in quotes");
    assert_string_equal(find("{ } | count() "), "1:7 expected a comparison of an aggregate with a "
                                                "number, such as count() > 2");
    assert_string_equal(find("{ } | avg(name) > 2"), "1:11 expected a number, not text");
    assert_string_equal(
        find("{ count() > 2 }"),
        "1:3 unexpected \"count\": expected a field such as name, span.x, resource.x "
        "or .x, or a value (text needs quotes)");
}

static void names_what_it_does_not_support(void **state)
{
    assert_string_equal(find("{ } | rate()"), "1:7 rate() is not supported: metrics of traces are "
                                              "not computed here");
    assert_string_equal(find("{ event.x = 1 }"),
                        "1:3 scope \"event.\" is not supported: span. and resource. are");
    assert_string_equal(find("{ event:name = \"x\" }"),
                        "1:3 unexpected \"event:name\": expected a field such as name, span.x, "
                        "resource.x or .x, or a value (text needs quotes)");
    assert_string_equal(find("{ } with (sample = true)"),
                        "1:11 unexpected \"sample\": expected most_recent: other hints are not "
                        "supported");
}

static struct traceql_query *parsed(const char *text)
{
    struct traceql_query *query = NULL;

    assert_int_equal(traceql_parse(text, strlen(text), &query, NULL), 0);
    return query;
}

static struct span_hints hints_of(const char *text, struct traceql_query **query)
{
    struct span_hints hints = {.from_ns = 1, .until_ns = 2};

    *query = parsed(text);
    traceql_hints(*query, &hints);
    assert_int_equal(hints.from_ns, 1);
    assert_int_equal(hints.until_ns, 2);
    return hints;
}

static void hints_take_what_must_be_true(void **state)
{
    struct traceql_query *query;
    struct span_hints hints = hints_of(
        "{ resource.service.name = \"a\" && name = \"b\" && duration > 5ms && duration <= 1s && "
        "span.k = \"v\" }",
        &query);

    assert_memory_equal(hints.service.text, "a", 1);
    assert_memory_equal(hints.name.text, "b", 1);
    assert_int_equal(hints.duration_min_ns, 5000000);
    assert_int_equal(hints.duration_max_ns, 1000000000);
    assert_memory_equal(hints.equals.name.text, "k", 1);
    assert_memory_equal(hints.equals.value.is.text.text, "v", 1);
    traceql_query_free(query);

    hints = hints_of("{ kind = server } >> { resource.service.name = \"a\" && status = error }",
                     &query);
    assert_memory_equal(hints.service.text, "a", 1);
    traceql_query_free(query);
}

static void hints_take_nothing_that_may_be_false(void **state)
{
    static const char *const TEXTS[] = {
        "{ resource.service.name = \"a\" || duration > 5ms }",
        "{ resource.service.name = \"a\" } || { name = \"b\" }",
        "{ !(name = \"b\") }",
        "{ name != \"b\" && resource.service.name =~ \"b\" && span.k != \"v\" && duration != 1s }",
        "{ traceDuration > 1s && span.k = 5.5 }",
        "{ name = \"\" }",
        "{ resource.service.name = \"a\" } !> { }",
    };

    for (size_t i = 0; i < OBS_COUNT(TEXTS); i++) {
        struct traceql_query *query;
        struct span_hints hints = hints_of(TEXTS[i], &query);

        assert_int_equal(hints.service.size + hints.name.size + hints.equals.name.size, 0);
        assert_int_equal(hints.duration_min_ns + hints.duration_max_ns, 0);
        traceql_query_free(query);
    }
}

static void knows_which_queries_one_span_decides(void **state)
{
    static const struct {
        const char *text;
        bool is_single;
    } CASES[] = {
        {"{ status = error }", true},        {"{ } | select(name)", true},
        {"{ } | count() > 1", false},        {"{ traceDuration > 1s }", false},
        {"{ .a = 1 } && { .b = 1 }", false}, {"{ .a = 1 } | { .b = 1 }", false},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        struct traceql_query *query = parsed(CASES[i].text);

        assert_int_equal(traceql_is_single(query), CASES[i].is_single);
        traceql_query_free(query);
    }
}

static void tags_match_parts_of_values_in_any_case(void **state)
{
    struct traceql_query *query = NULL;
    struct span_view spans[6];
    unsigned found = 0;

    make_trace(spans);
    assert_int_equal(traceql_tags_new(&query), 0);
    assert_int_equal(traceql_tags_add(query, TEXT("service.name"), TEXT("FRON")), 0);
    assert_int_equal(traceql_tags_add(query, TEXT("error"), TEXT("true")), 0);
    for (size_t i = 0; i < 6; i++)
        found += traceql_may_match(query, &spans[i]) ? 1 : 0;
    assert_int_equal(found, 1);
    traceql_query_free(query);
}

static void parses_a_field_alone(void **state)
{
    struct traceql_query *query = NULL;
    struct obs_reason why;

    assert_int_equal(traceql_parse_field(".service.name", 13, &query, &why), 0);
    assert_int_equal(query->fields[0].scope, TRACEQL_SCOPE_NONE);
    query = traceql_query_free(query);
    assert_int_equal(traceql_parse_field("resource.a b", 12, &query, &why), TRACEQL_REFUSED);
    assert_int_equal(traceql_parse_field("", 0, &query, &why), TRACEQL_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_spans_by_what_every_span_has),
        cmocka_unit_test(finds_spans_by_attributes_of_each_scope),
        cmocka_unit_test(compares_numbers_whatever_their_type),
        cmocka_unit_test(comparisons_with_another_type_or_nothing_are_false),
        cmocka_unit_test(booleans_stand_alone),
        cmocka_unit_test(regular_expressions_match_the_whole_value),
        cmocka_unit_test(and_and_or_have_the_same_precedence_as_in_tempo),
        cmocka_unit_test(knows_the_whole_trace),
        cmocka_unit_test(relates_spans_by_the_tree),
        cmocka_unit_test(relates_spans_that_are_not_related),
        cmocka_unit_test(unions_show_both_sides),
        cmocka_unit_test(joins_spansets),
        cmocka_unit_test(aggregates_over_the_spans_found),
        cmocka_unit_test(groups_and_joins_again),
        cmocka_unit_test(reads_comments_hints_and_lines),
        cmocka_unit_test(says_where_a_query_is_wrong),
        cmocka_unit_test(names_what_it_does_not_support),
        cmocka_unit_test(hints_take_what_must_be_true),
        cmocka_unit_test(hints_take_nothing_that_may_be_false),
        cmocka_unit_test(knows_which_queries_one_span_decides),
        cmocka_unit_test(tags_match_parts_of_values_in_any_case),
        cmocka_unit_test(parses_a_field_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
