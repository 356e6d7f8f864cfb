/*
 * Relations between spansets of one trace: `&&` and `||` unite, the structural ones answer with the
 * right side's spans that stand in the relation to one of the left side's (`!`: that do not; `&`:
 * and the left side's, too).
 *
 * Each is one or two passes over the trace: marks go from parents to children, in the order that
 * has parents first, or back.
 */
#include "telemetry/traceql_eval.h"

#include <errno.h>
#include <string.h>

struct traceql_spanset *traceql_spanset_new(struct traceql_execution *x, uint32_t capacity)
{
    struct traceql_spanset *spanset = obs_arena_alloc(x->arena, sizeof(*spanset));

    if (spanset)
        spanset->spans = obs_arena_alloc(x->arena, (capacity + 1) * sizeof(*spanset->spans));
    if (!spanset || !spanset->spans) {
        x->error = -ENOMEM;
        return NULL;
    }
    return spanset;
}

struct traceql_spanset *traceql_unite(struct traceql_execution *x, const struct traceql_spanset *a,
                                      const struct traceql_spanset *b)
{
    struct traceql_spanset *both = traceql_spanset_new(x, a->count + b->count);
    uint32_t i = 0, j = 0;

    if (!both)
        return NULL;
    while (i < a->count || j < b->count) {
        uint32_t from_a = i < a->count ? a->spans[i] : TRACEQL_NO_SPAN;
        uint32_t from_b = j < b->count ? b->spans[j] : TRACEQL_NO_SPAN;

        both->spans[both->count++] = from_a < from_b ? from_a : from_b;
        i += from_a <= from_b;
        j += from_b <= from_a;
    }
    return both;
}

/* found[i] for the spans that stand in relation @op to a span of @marks, whatever they are. */
static void relate_down(const struct traceql_trace *trace, bool is_deep, const bool *marks,
                        bool *found)
{
    for (uint32_t i = 0; i < trace->count; i++) {
        uint32_t at = trace->order[i], parent = trace->spans[at].parent;

        if (parent != TRACEQL_NO_SPAN)
            found[at] = marks[parent] || (is_deep && found[parent]);
    }
}

static void relate_up(const struct traceql_trace *trace, bool is_deep, const bool *marks,
                      bool *found)
{
    for (uint32_t i = trace->count; i-- > 0;) {
        uint32_t at = trace->order[i], parent = trace->spans[at].parent;

        if (parent != TRACEQL_NO_SPAN && (marks[at] || (is_deep && found[at])))
            found[parent] = true;
    }
}

static bool relate_siblings(struct traceql_execution *x, const bool *marks, bool *found)
{
    const struct traceql_trace *trace = x->trace;
    uint32_t *marked = obs_arena_alloc(x->arena, (trace->count + 1) * sizeof(*marked));

    if (!marked)
        return false;
    for (uint32_t i = 0; i < trace->count; i++) {
        if (marks[i] && trace->spans[i].parent != TRACEQL_NO_SPAN)
            marked[trace->spans[i].parent]++;
    }
    for (uint32_t i = 0; i < trace->count; i++) {
        if (trace->spans[i].parent != TRACEQL_NO_SPAN)
            found[i] = marked[trace->spans[i].parent] > (marks[i] ? 1 : 0);
    }
    return true;
}

/* NULL: no memory. */
static bool *related(struct traceql_execution *x, enum traceql_op op,
                     const struct traceql_spanset *from)
{
    size_t size = x->trace->count + 1;
    bool *marks = obs_arena_alloc(x->arena, size), *found = obs_arena_alloc(x->arena, size);

    if (!marks || !found)
        return NULL;
    for (uint32_t i = 0; from && i < from->count; i++)
        marks[from->spans[i]] = true;
    if (op == TRACEQL_OP_CHILD || op == TRACEQL_OP_DESCENDANT)
        relate_down(x->trace, op == TRACEQL_OP_DESCENDANT, marks, found);
    else if (op == TRACEQL_OP_PARENT || op == TRACEQL_OP_ANCESTOR)
        relate_up(x->trace, op == TRACEQL_OP_ANCESTOR, marks, found);
    else if (!relate_siblings(x, marks, found))
        return NULL;
    return found;
}

static struct traceql_spanset *keep(struct traceql_execution *x, const struct traceql_spanset *of,
                                    const bool *found, bool is_wanted)
{
    struct traceql_spanset *kept = traceql_spanset_new(x, of->count);

    for (uint32_t i = 0; kept && i < of->count; i++) {
        if (found[of->spans[i]] == is_wanted)
            kept->spans[kept->count++] = of->spans[i];
    }
    return kept;
}

static enum traceql_op reversed(enum traceql_op op)
{
    switch (op) {
    case TRACEQL_OP_CHILD:
        return TRACEQL_OP_PARENT;
    case TRACEQL_OP_PARENT:
        return TRACEQL_OP_CHILD;
    case TRACEQL_OP_DESCENDANT:
        return TRACEQL_OP_ANCESTOR;
    case TRACEQL_OP_ANCESTOR:
        return TRACEQL_OP_DESCENDANT;
    default:
        return op;
    }
}

static struct traceql_spanset *select_related(struct traceql_execution *x, enum traceql_op op,
                                              const struct traceql_spanset *a,
                                              const struct traceql_spanset *b, bool is_wanted)
{
    bool *found = related(x, op, a);

    if (!found) {
        x->error = -ENOMEM;
        return NULL;
    }
    return keep(x, b, found, is_wanted);
}

struct traceql_spanset *traceql_relate(struct traceql_execution *x, const struct traceql_node *node,
                                       const struct traceql_spanset *a,
                                       const struct traceql_spanset *b)
{
    struct traceql_spanset *right, *left;

    if (node->op == TRACEQL_OP_OR && (!a || !b))
        return a || b ? traceql_unite(x, a ? a : b, a ? a : b) : NULL;
    if (!b || (!a && !node->is_negated))
        return NULL;
    if (node->op == TRACEQL_OP_AND || node->op == TRACEQL_OP_OR)
        return traceql_unite(x, a, b);
    right = select_related(x, node->op, a, b, !node->is_negated);
    if (!right || right->count == 0)
        return NULL;
    if (!node->is_union)
        return right;
    left = select_related(x, reversed(node->op), b, a, true);
    return left ? traceql_unite(x, left, right) : NULL;
}
