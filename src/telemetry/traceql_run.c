/*
 * Run: a query's stages over one trace. What goes from stage to stage is a list of spansets; a
 * spanset that becomes empty is gone, and a trace without any does not match.
 */
#include "telemetry/traceql_eval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct traceql_spanset *run_pipeline(struct traceql_execution *x,
                                            const struct traceql_node *first,
                                            const struct traceql_spanset *input);

/* One spanset of all, without labels. */
static struct traceql_spanset *flatten(struct traceql_execution *x,
                                       const struct traceql_spanset *list)
{
    struct traceql_spanset *all = traceql_spanset_new(x, x->trace->count);
    bool *marks = obs_arena_alloc(x->arena, x->trace->count + 1);

    if (!all || !marks) {
        x->error = -ENOMEM;
        return NULL;
    }
    for (; list; list = list->next) {
        for (uint32_t i = 0; i < list->count; i++)
            marks[list->spans[i]] = true;
    }
    for (uint32_t i = 0; i < x->trace->count; i++) {
        if (marks[i])
            all->spans[all->count++] = i;
    }
    return all->count > 0 ? all : NULL;
}

static struct traceql_spanset *run_spanset(struct traceql_execution *x,
                                           const struct traceql_node *node,
                                           const struct traceql_spanset *input)
{
    struct traceql_spanset *a, *b = NULL;

    if (node->kind == TRACEQL_FILTER)
        return traceql_filter(x, node, input);
    if (node->kind == TRACEQL_PIPELINE)
        return flatten(x, run_pipeline(x, node->a, input));
    a = run_spanset(x, node->a, input);
    if (x->error == 0)
        b = run_spanset(x, node->b, input);
    return x->error == 0 ? traceql_relate(x, node, a, b) : NULL;
}

static bool add_label(struct traceql_execution *x, struct traceql_spanset *spanset,
                      struct text_view name, const struct traceql_value *value)
{
    struct traceql_label *label = obs_arena_alloc(x->arena, sizeof(*label));

    if (label) {
        *label = (struct traceql_label){.name = name, .value = *value, .next = spanset->labels};
        if (value->type == TRACEQL_STRING) /* may be an id in a context's room */
            label->value.is.text.text = obs_arena_copy(
                x->arena, value->is.text.text ? value->is.text.text : "", value->is.text.size);
    }
    if (!label || (value->type == TRACEQL_STRING && !label->value.is.text.text)) {
        x->error = -ENOMEM;
        return false;
    }
    spanset->labels = label;
    return true;
}

/* ---- count() > 2 ---- */

static bool label_aggregates(struct traceql_execution *x, const struct traceql_node *node,
                             struct traceql_context *context, struct traceql_spanset *spanset)
{
    struct traceql_value value;

    if (!node || !node->has_aggregate)
        return true;
    if (node->kind != TRACEQL_AGGREGATE)
        return label_aggregates(x, node->a, context, spanset) &&
               label_aggregates(x, node->b, context, spanset);
    value = traceql_evaluate(node, context);
    return value.type == TRACEQL_NIL || add_label(x, spanset, node->source, &value);
}

static struct traceql_spanset *run_scalar(struct traceql_execution *x,
                                          const struct traceql_node *node,
                                          const struct traceql_spanset *input)
{
    struct traceql_context context = {.trace = x->trace, .spanset = input};
    struct traceql_value value = traceql_evaluate(node->a, &context);
    struct traceql_spanset *output;

    if (value.type != TRACEQL_BOOL || !value.is.boolean)
        return NULL;
    output = traceql_unite(x, input, input);
    if (!output)
        return NULL;
    output->labels = input->labels;
    return label_aggregates(x, node->a, &context, output) ? output : NULL;
}

/* ---- by(x) ---- */

struct grouped {
    struct traceql_value value;
    uint32_t span;
};

static int by_value(const void *a, const void *b)
{
    const struct grouped *x = a, *y = b;
    int r = traceql_value_compare(&x->value, &y->value);

    return r != 0 ? r : (x->span > y->span) - (x->span < y->span);
}

/* An id's text goes with the context. */
static bool is_in_context(const struct traceql_context *context, const char *text)
{
    const char *room = (const char *)context->hex;

    return text >= room && text < room + sizeof(context->hex);
}

static struct grouped *sort_by(struct traceql_execution *x, const struct traceql_node *node,
                               const struct traceql_spanset *input)
{
    struct grouped *list = obs_arena_alloc(x->arena, (input->count + 1) * sizeof(*list));

    for (uint32_t i = 0; list && i < input->count; i++) {
        uint32_t index = input->spans[i];
        struct traceql_context context = {
            .view = x->trace->spans[index].view, .trace = x->trace, .index = index};
        struct traceql_value value = traceql_evaluate(node->a, &context);

        if (value.type == TRACEQL_STRING && is_in_context(&context, value.is.text.text)) {
            value.is.text.text = obs_arena_copy(x->arena, value.is.text.text, value.is.text.size);
            if (!value.is.text.text)
                list = NULL;
        }
        if (list)
            list[i] = (struct grouped){value, index};
    }
    if (list)
        qsort(list, input->count, sizeof(*list), by_value);
    else
        x->error = -ENOMEM;
    return list;
}

static struct traceql_spanset *run_by(struct traceql_execution *x, const struct traceql_node *node,
                                      const struct traceql_spanset *input)
{
    struct grouped *list = sort_by(x, node, input);
    struct traceql_spanset *first = NULL, **link = &first;
    uint32_t start = 0;

    while (list && start < input->count) {
        struct traceql_spanset *group;
        uint32_t end = start + 1;

        while (end < input->count &&
               traceql_value_compare(&list[start].value, &list[end].value) == 0)
            end++;
        group = traceql_spanset_new(x, end - start);
        if (!group)
            return NULL;
        for (uint32_t i = start; i < end; i++)
            group->spans[group->count++] = list[i].span;
        group->labels = input->labels;
        if (!add_label(x, group, node->source, &list[start].value))
            return NULL;
        *link = group;
        link = &group->next;
        start = end;
    }
    return first;
}

/* ---- */

static struct traceql_spanset *run_stage(struct traceql_execution *x,
                                         const struct traceql_node *node,
                                         const struct traceql_spanset *input)
{
    struct traceql_spanset *output;

    switch (node->kind) {
    case TRACEQL_SCALAR:
        return run_scalar(x, node, input);
    case TRACEQL_BY:
        return run_by(x, node, input);
    case TRACEQL_SELECT:
        output = traceql_unite(x, input, input);
        break;
    default:
        output = run_spanset(x, node, input);
        break;
    }
    if (output)
        output->labels = input->labels;
    return output;
}

static struct traceql_spanset *run_each(struct traceql_execution *x,
                                        const struct traceql_node *stage,
                                        const struct traceql_spanset *inputs)
{
    struct traceql_spanset *first = NULL, **link = &first;

    for (; inputs && x->error == 0; inputs = inputs->next) {
        *link = run_stage(x, stage, inputs);
        while (*link)
            link = &(*link)->next;
    }
    return first;
}

static struct traceql_spanset *run_pipeline(struct traceql_execution *x,
                                            const struct traceql_node *first,
                                            const struct traceql_spanset *input)
{
    struct traceql_spanset *list = traceql_unite(x, input, input);

    if (list)
        list->labels = input->labels;
    for (const struct traceql_node *stage = first; stage && list && x->error == 0;
         stage = stage->next)
        list = stage->kind == TRACEQL_COALESCE ? flatten(x, list) : run_each(x, stage, list);
    return x->error == 0 ? list : NULL;
}

static struct traceql_spanset *every_span(struct traceql_execution *x)
{
    struct traceql_spanset *all = traceql_spanset_new(x, x->trace->count);

    for (uint32_t i = 0; all && i < x->trace->count; i++)
        all->spans[all->count++] = i;
    return all;
}

int traceql_run(const struct traceql_query *query, const struct traceql_trace *trace,
                uint64_t deadline_ns, struct obs_arena *arena,
                struct traceql_spanset **ret_spansets, struct obs_reason *reterr_reason)
{
    struct traceql_execution x = {.trace = trace, .arena = arena, .deadline_ns = deadline_ns};
    struct traceql_spanset *all = every_span(&x), *found = NULL;

    if (all && all->count > 0)
        found = run_pipeline(&x, query->root->a, all);
    if (x.error != 0)
        return x.error;
    if (traceql_gave_up(query, reterr_reason))
        return TRACEQL_REFUSED;
    *ret_spansets = found;
    return 0;
}
