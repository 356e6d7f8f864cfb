/*
 * Trace: spans put together by their parents.
 *
 * Parents are found in a hash of span ids. A walk from the roots numbers the nested set and gives
 * an order with parents first, so that everything about ancestors is one pass. Spans whose parents
 * go in a circle are cut loose at one of them: no input makes a walk endless or recursive.
 */
#include "telemetry/traceql.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct index {
    uint32_t *slots; /* span index + 1 */
    size_t mask;
};

static uint64_t id_of(const uint8_t id[8])
{
    uint64_t value;

    memcpy(&value, id, sizeof(value));
    return value;
}

static size_t slot_of(const struct index *index, uint64_t id)
{
    return (size_t)((id * 0x9e3779b97f4a7c15ULL) >> 32) & index->mask;
}

static int index_new(struct obs_arena *arena, size_t count, struct index *ret_index)
{
    size_t size = 8;

    while (size < count * 2)
        size *= 2;
    ret_index->mask = size - 1;
    ret_index->slots = obs_arena_alloc(arena, size * sizeof(uint32_t));
    return ret_index->slots ? 0 : -ENOMEM;
}

/* The first span of that id which is not @other; with @kind, of that kind. */
static uint32_t index_find(const struct index *index, const struct traceql_trace *trace,
                           uint64_t id, uint32_t other, int kind)
{
    for (size_t i = slot_of(index, id); index->slots[i] != 0; i = (i + 1) & index->mask) {
        uint32_t at = index->slots[i] - 1;
        const struct span_view *view = trace->spans[at].view;

        if (at != other && id_of(view->span_id) == id && (kind < 0 || view->kind == kind))
            return at;
    }
    return TRACEQL_NO_SPAN;
}

static void index_add(struct index *index, uint64_t id, uint32_t at)
{
    size_t i = slot_of(index, id);

    while (index->slots[i] != 0)
        i = (i + 1) & index->mask;
    index->slots[i] = at + 1;
}

static int by_start(const void *a, const void *b)
{
    const struct span_view *x = ((const struct traceql_span *)a)->view;
    const struct span_view *y = ((const struct traceql_span *)b)->view;

    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    return memcmp(x->span_id, y->span_id, sizeof(x->span_id));
}

static void take_spans(struct traceql_trace *trace, const struct span_view *spans, size_t count)
{
    for (size_t i = 0; i < count; i++)
        trace->spans[i] = (struct traceql_span){.view = &spans[i], .parent = TRACEQL_NO_SPAN};
    trace->count = (uint32_t)count;
    qsort(trace->spans, count, sizeof(*trace->spans), by_start);
}

/* Exporters send again what may have arrived. */
static void drop_repeated(struct traceql_trace *trace, struct index *index)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < trace->count; i++) {
        const struct span_view *view = trace->spans[i].view;
        uint64_t id = id_of(view->span_id);

        if (index_find(index, trace, id, TRACEQL_NO_SPAN, view->kind) != TRACEQL_NO_SPAN)
            continue;
        trace->spans[kept].view = view;
        index_add(index, id, kept++);
    }
    trace->count = kept;
}

static void find_parents(struct traceql_trace *trace, const struct index *index)
{
    trace->root = TRACEQL_NO_SPAN;
    trace->start_ns = UINT64_MAX;
    for (uint32_t i = 0; i < trace->count; i++) {
        struct traceql_span *span = &trace->spans[i];
        uint64_t parent = id_of(span->view->parent_span_id);
        uint64_t end = span->view->start_ns + traceql_duration(span->view);

        if (parent != 0)
            span->parent = index_find(index, trace, parent, i, -1);
        else if (trace->root == TRACEQL_NO_SPAN)
            trace->root = i;
        if (span->view->start_ns < trace->start_ns)
            trace->start_ns = span->view->start_ns;
        if (end > trace->end_ns)
            trace->end_ns = end;
    }
    if (trace->count == 0)
        trace->start_ns = 0;
}

struct walk {
    uint32_t *first, *next; /* children: list heads and links */
    uint32_t number;        /* nested set */
    uint32_t done;          /* spans in order[] */
};

static void link_child(struct traceql_trace *trace, struct walk *walk, uint32_t child)
{
    uint32_t parent = trace->spans[child].parent;

    if (parent == TRACEQL_NO_SPAN)
        return;
    walk->next[child] = walk->first[parent];
    walk->first[parent] = child;
    trace->spans[parent].child_count++;
}

/* Number @top and what is below it. `first` is used up: it says where to go on. */
static void number_tree(struct traceql_trace *trace, struct walk *walk, uint32_t top)
{
    uint32_t at = top;

    trace->spans[at].left = ++walk->number;
    trace->order[walk->done++] = at;
    for (;;) {
        uint32_t child = walk->first[at];

        if (child != TRACEQL_NO_SPAN) {
            walk->first[at] = walk->next[child];
            if (trace->spans[child].left != 0)
                continue; /* the top of a circle that was cut */
            at = child;
            trace->spans[at].left = ++walk->number;
            trace->order[walk->done++] = at;
            continue;
        }
        trace->spans[at].right = ++walk->number;
        if (at == top)
            return;
        at = trace->spans[at].parent;
    }
}

static void cut_loose(struct traceql_trace *trace, uint32_t at)
{
    trace->spans[trace->spans[at].parent].child_count--;
    trace->spans[at].parent = TRACEQL_NO_SPAN;
}

static int number_spans(struct traceql_trace *trace, struct obs_arena *arena)
{
    size_t size = (trace->count + 1) * sizeof(uint32_t);
    struct walk walk = {.first = obs_arena_alloc(arena, size),
                        .next = obs_arena_alloc(arena, size)};

    trace->order = obs_arena_alloc(arena, size);
    if (!walk.first || !walk.next || !trace->order)
        return -ENOMEM;
    memset(walk.first, 0xff, size);
    for (uint32_t i = trace->count; i-- > 0;) /* lists come out by start time */
        link_child(trace, &walk, i);
    for (uint32_t i = 0; i < trace->count; i++) {
        if (trace->spans[i].parent == TRACEQL_NO_SPAN)
            number_tree(trace, &walk, i);
    }
    for (uint32_t i = 0; i < trace->count; i++) {
        if (trace->spans[i].left != 0)
            continue;
        cut_loose(trace, i);
        number_tree(trace, &walk, i);
    }
    return 0;
}

int traceql_trace_build(const struct span_view *spans, size_t count, struct obs_arena *arena,
                        struct traceql_trace *ret_trace, struct obs_reason *reterr_reason)
{
    struct traceql_trace trace = {0};
    struct index index;

    if (count > TRACEQL_SPANS_MAX) {
        obs_reason_set(reterr_reason, "trace of more than %d spans", TRACEQL_SPANS_MAX);
        return TRACEQL_REFUSED;
    }
    trace.spans = obs_arena_alloc(arena, (count + 1) * sizeof(*trace.spans));
    if (!trace.spans || index_new(arena, count, &index) < 0)
        return -ENOMEM;
    take_spans(&trace, spans, count);
    drop_repeated(&trace, &index);
    find_parents(&trace, &index);
    if (number_spans(&trace, arena) < 0)
        return -ENOMEM;
    *ret_trace = trace;
    return 0;
}
