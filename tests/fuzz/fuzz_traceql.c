/*
 * TraceQL from strangers: any text is parsed or refused with a place; what is parsed runs over a
 * trace, and what it finds there must agree with what a search does before it has the trace: no
 * hint and no look at single spans may lose a trace that matches.
 */
#include "telemetry/traceql.h"
#include <stdlib.h>
#include <string.h>

#define TEXT(literal) ((struct text_view){literal, sizeof(literal) - 1})
#define SPANS 6

static const struct attribute RESOURCE[] = {
    {TEXT("service.name"), {.type = VALUE_TEXT, .is.text = TEXT("front")}},
    {TEXT("a"), {.type = VALUE_TEXT, .is.text = TEXT("x")}},
};
static const struct attribute ATTRIBUTES[] = {
    {TEXT("a"), {.type = VALUE_TEXT, .is.text = TEXT("b")}},
    {TEXT("n"), {.type = VALUE_INT, .is.integer = 7}},
    {TEXT("r"), {.type = VALUE_DOUBLE, .is.number = 0.5}},
    {TEXT("t"), {.type = VALUE_BOOL, .is.boolean = true}},
};

static void make_spans(struct span_view spans[SPANS])
{
    memset(spans, 0, SPANS * sizeof(*spans));
    for (unsigned i = 0; i < SPANS; i++) {
        spans[i].span_id[0] = (uint8_t)(i + 1);
        spans[i].parent_span_id[0] = (uint8_t)((i + 1) / 2);
        spans[i].start_ns = 1000000000ULL + i * 1000;
        spans[i].end_ns = spans[i].start_ns + i * 50000000ULL;
        spans[i].service = i == 4 ? TEXT("") : TEXT("front"); /* as its resource says */
        spans[i].name = i % 2 ? TEXT("GET /") : TEXT("x");
        spans[i].kind = (uint8_t)i;
        spans[i].status = (uint8_t)(i % 3);
        spans[i].resource = RESOURCE;
        spans[i].resource_count = i == 4 ? 0 : 2;
        spans[i].attributes = ATTRIBUTES + i % 4;
        spans[i].attribute_count = 4 - i % 4;
    }
    spans[5].parent_span_id[0] = 6; /* its own parent */
}

static bool has_equal(const struct attribute *list, size_t count, const struct attribute *wanted)
{
    for (size_t i = 0; i < count; i++) {
        const struct value *a = &list[i].value, *b = &wanted->value;

        if (!text_view_equal(list[i].name, wanted->name))
            continue;
        if (a->type == VALUE_DOUBLE && b->type == VALUE_INT)
            return a->is.number == (double)b->is.integer;
        if (a->type == b->type && (a->type == VALUE_TEXT   ? text_view_equal(a->is.text, b->is.text)
                                   : a->type == VALUE_BOOL ? a->is.boolean == b->is.boolean
                                                           : a->is.integer == b->is.integer))
            return true;
    }
    return false;
}

static bool fits(const struct span_view *span, const struct span_hints *hints)
{
    uint64_t duration = traceql_duration(span);

    return (hints->service.size == 0 || text_view_equal(hints->service, span->service)) &&
           (hints->name.size == 0 || text_view_equal(hints->name, span->name)) &&
           duration >= hints->duration_min_ns &&
           (hints->duration_max_ns == 0 || duration <= hints->duration_max_ns) &&
           (hints->equals.name.size == 0 ||
            has_equal(span->attributes, span->attribute_count, &hints->equals) ||
            has_equal(span->resource, span->resource_count, &hints->equals));
}

static void check(bool is_so)
{
    if (!is_so)
        abort();
}

static void run(const struct traceql_query *query)
{
    struct span_view spans[SPANS];
    struct traceql_trace trace;
    struct traceql_spanset *found = NULL;
    struct span_hints hints = {.until_ns = UINT64_MAX};
    struct obs_reason why;
    struct obs_arena *arena = NULL;
    bool may_match = false;
    int r;

    make_spans(spans);
    check(obs_arena_new(4 << 20, &arena) == 0);
    check(traceql_trace_build(spans, SPANS, arena, &trace, &why) == 0);
    r = traceql_run(query, &trace, 0, arena, &found, &why);
    traceql_hints(query, &hints);
    for (size_t i = 0; i < SPANS; i++) {
        bool is_witness = traceql_may_match(query, &spans[i]);

        check(!is_witness || fits(&spans[i], &hints) || traceql_gave_up(query, &why));
        may_match |= is_witness;
    }
    check(!found || may_match || traceql_gave_up(query, &why));
    if (r == 0 && traceql_is_single(query) && !traceql_gave_up(query, &why))
        check(may_match == (found != NULL));
    for (; found; found = found->next) {
        check(found->count > 0);
        for (uint32_t i = 1; i < found->count; i++)
            check(found->spans[i - 1] < found->spans[i] && found->spans[i] < trace.count);
    }
    obs_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct traceql_query *query = NULL;
    struct obs_reason why = {0};
    char *text = malloc(size ? size : 1); /* of the exact size, so that reading past it is seen */
    int r;

    if (!text)
        return 0;
    memcpy(text, data, size);
    r = traceql_parse_field(text, size, &query, &why);
    query = traceql_query_free(query);
    r = traceql_parse(text, size, &query, &why);
    if (r == TRACEQL_REFUSED)
        check(why.line > 0 && why.column > 0 && why.text[0] != '\0');
    free(text); /* the query has its own copy */
    if (r == 0)
        run(query);
    traceql_query_free(query);
    return 0;
}
