/* The search by tags, as a tree: `{ contains(.a, "x") && contains(name, "y") && … }`. */
#include "telemetry/traceql_parse.h"

#include <errno.h>
#include <string.h>

#define TAGS_MAX 20

int traceql_tags_new(struct traceql_query **ret_query)
{
    OBS_CLEANUP(traceql_query_freep) struct traceql_query *query = NULL;
    struct parser parser = {0};
    int r = traceql_query_new(&query);

    if (r < 0)
        return r;
    parser.query = query;
    query->root = parser_node(&parser, TRACEQL_PIPELINE);
    if (!query->root)
        return -ENOMEM;
    query->root->a = parser_node(&parser, TRACEQL_FILTER);
    if (!query->root->a)
        return -ENOMEM;
    *ret_query = OBS_TAKE(query);
    return 0;
}

static void join(struct parser *p, struct traceql_node *condition)
{
    struct traceql_node *filter = p->query->root->a, *both;

    condition->type = TRACEQL_BOOL;
    condition->needs_trace = condition->a->needs_trace;
    filter->needs_trace |= condition->needs_trace;
    if (!filter->a) {
        filter->a = condition;
        return;
    }
    both = parser_node(p, TRACEQL_BINARY);
    if (!both)
        return;
    both->op = TRACEQL_OP_AND;
    both->type = TRACEQL_BOOL;
    both->a = filter->a;
    both->b = condition;
    both->needs_trace = filter->needs_trace;
    filter->a = both;
}

static struct traceql_field field_of(struct text_view name, bool *ret_needs_trace)
{
    static const struct {
        const char *name;
        enum traceql_field_id id;
        bool needs_trace;
    } NAMES[] = {
        {"name", TRACEQL_FIELD_NAME, false},
        {"status", TRACEQL_FIELD_STATUS, false},
        {"status.code", TRACEQL_FIELD_STATUS, false},
        {"root.name", TRACEQL_FIELD_ROOT_NAME, true},
        {"root.service.name", TRACEQL_FIELD_ROOT_SERVICE, true},
    };

    *ret_needs_trace = false;
    for (size_t i = 0; i < OBS_COUNT(NAMES); i++) {
        if (!text_view_equal(name, text_view_of(NAMES[i].name)))
            continue;
        *ret_needs_trace = NAMES[i].needs_trace;
        return (struct traceql_field){.id = NAMES[i].id, .name = name};
    }
    return (struct traceql_field){.id = TRACEQL_FIELD_ATTRIBUTE, .name = name};
}

int traceql_tags_add(struct traceql_query *query, struct text_view name, struct text_view value)
{
    struct obs_reason ignored;
    struct parser p = {.query = query, .why = &ignored};
    struct traceql_node *node = parser_node(&p, TRACEQL_CONTAINS);
    struct traceql_node *field = parser_node(&p, TRACEQL_FIELD);

    if (query->field_count >= TAGS_MAX)
        return TRACEQL_REFUSED;
    name.text = obs_arena_strndup(query->arena, name.text, name.size);
    value.text = obs_arena_strndup(query->arena, value.text, value.size);
    if (!node || !field || !name.text || !value.text)
        return -ENOMEM;
    if (text_view_equal(name, text_view_of("error")) &&
        text_view_equal(value, text_view_of("true"))) {
        name = text_view_of("status");
        value = text_view_of("error");
    }
    field->is.field = field_of(name, &field->needs_trace);
    node->a = field;
    node->is.value = (struct traceql_value){.type = TRACEQL_STRING, .is.text = value};
    parser_mention(&p, field);
    if (p.error == 0)
        join(&p, node);
    return p.error;
}

int traceql_tags_add_duration(struct traceql_query *query, enum traceql_op op, uint64_t ns)
{
    struct parser p = {.query = query};
    struct traceql_node *node = parser_node(&p, TRACEQL_BINARY);
    struct traceql_node *field = parser_node(&p, TRACEQL_FIELD);
    struct traceql_node *value = parser_node(&p, TRACEQL_VALUE);

    if (!node || !field || !value)
        return -ENOMEM;
    field->is.field.id = TRACEQL_FIELD_TRACE_DURATION;
    field->type = value->type = value->is.value.type = TRACEQL_DURATION;
    field->needs_trace = true;
    value->is.value.is.integer = ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
    node->op = op;
    node->a = field;
    node->b = value;
    join(&p, node);
    return p.error;
}
