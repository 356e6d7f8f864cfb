/* Copies of spans, in an arena. */
#include "telemetry/tempo.h"

#include <errno.h>
#include <string.h>

static struct text_view copy_text(struct tempo_spans *spans, struct text_view text)
{
    struct text_view copy = {"", text.size};

    if (text.size == 0)
        return copy;
    copy.text = obs_arena_copy(spans->arena, text.text, text.size);
    if (copy.text)
        return copy;
    spans->error = -ENOMEM;
    return (struct text_view){"", 0};
}

static const struct attribute *copy_attributes(struct tempo_spans *spans,
                                               const struct attribute *from, size_t *count)
{
    struct attribute *to;
    size_t kept = 0;

    for (size_t i = 0; spans->only && i < *count; i++)
        kept += traceql_wants(spans->only, from[i].name);
    if (!spans->only)
        kept = *count;
    to = kept > 0 ? obs_arena_alloc(spans->arena, kept * sizeof(*to)) : NULL;
    if (kept > 0 && !to) {
        spans->error = -ENOMEM;
        *count = 0;
        return NULL;
    }
    kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (spans->only && !traceql_wants(spans->only, from[i].name))
            continue;
        to[kept] = from[i];
        to[kept].name = copy_text(spans, from[i].name);
        if (from[i].value.type == VALUE_TEXT)
            to[kept].value.is.text = copy_text(spans, from[i].value.is.text);
        kept++;
    }
    *count = kept;
    return to;
}

static void copy_events(struct tempo_spans *spans, struct span_view *span)
{
    const struct span_event *from = span->events;
    struct span_event *to = obs_arena_alloc(spans->arena, span->event_count * sizeof(*to));

    if (!to) {
        spans->error = -ENOMEM;
        span->event_count = 0;
    }
    for (size_t i = 0; i < span->event_count; i++) {
        to[i] = from[i];
        to[i].name = copy_text(spans, from[i].name);
        to[i].attributes = copy_attributes(spans, from[i].attributes, &to[i].attribute_count);
    }
    span->events = to;
}

static void copy_links(struct tempo_spans *spans, struct span_view *span)
{
    const struct span_link *from = span->links;
    struct span_link *to = obs_arena_alloc(spans->arena, span->link_count * sizeof(*to));

    if (!to) {
        spans->error = -ENOMEM;
        span->link_count = 0;
    }
    for (size_t i = 0; i < span->link_count; i++) {
        to[i] = from[i];
        to[i].attributes = copy_attributes(spans, from[i].attributes, &to[i].attribute_count);
    }
    span->links = to;
}

static void copy_span(struct tempo_spans *spans, struct span_view *span)
{
    span->service = copy_text(spans, span->service);
    span->name = copy_text(spans, span->name);
    span->status_message = copy_text(spans, span->status_message);
    span->scope_name = copy_text(spans, span->scope_name);
    span->scope_version = copy_text(spans, span->scope_version);
    span->attributes = copy_attributes(spans, span->attributes, &span->attribute_count);
    span->resource = copy_attributes(spans, span->resource, &span->resource_count);
    if (spans->only) { /* what no query looks at */
        span->trace_state = (struct text_view){"", 0};
        span->event_count = span->link_count = 0;
        return;
    }
    span->trace_state = copy_text(spans, span->trace_state);
    if (span->event_count > 0)
        copy_events(spans, span);
    if (span->link_count > 0)
        copy_links(spans, span);
}

static bool grow(struct tempo_spans *spans)
{
    size_t capacity = spans->capacity ? spans->capacity * 2 : 64;
    struct span_view *list = reallocarray(spans->list, capacity, sizeof(*list));

    if (!list)
        return false;
    spans->list = list;
    spans->capacity = capacity;
    return true;
}

int tempo_spans_add(struct tempo_spans *spans, const struct span_view *span)
{
    if (spans->count == spans->capacity && !grow(spans))
        spans->error = -ENOMEM;
    if (spans->error != 0)
        return spans->error;
    spans->list[spans->count] = *span;
    copy_span(spans, &spans->list[spans->count]);
    if (spans->error == 0)
        spans->count++;
    return spans->error;
}

void tempo_spans_done(struct tempo_spans *spans)
{
    free(spans->list);
    spans->list = NULL;
    spans->count = spans->capacity = 0;
}

static enum store_next take_span(const struct span_view *span, void *userdata)
{
    struct tempo_spans *spans = userdata;

    if (spans->count == TRACEQL_SPANS_MAX)
        spans->error = TEMPO_TOO_MUCH;
    else
        tempo_spans_add(spans, span);
    return spans->error == 0 ? STORE_GO_ON : STORE_STOP;
}

int tempo_spans_find(struct store *store, const char *tenant, const uint8_t trace_id[16],
                     struct tempo_spans *spans)
{
    int r = store_find_trace(store, tenant, trace_id, take_span, spans);

    return r < 0 ? r : spans->error;
}

/* ---- order ---- */

static int compare_text(struct text_view a, struct text_view b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int r = size > 0 ? memcmp(a.text, b.text, size) : 0;

    return r != 0 ? r : (a.size > b.size) - (a.size < b.size);
}

static int compare_value(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return (int)a->type - (int)b->type;
    switch (a->type) {
    case VALUE_TEXT:
        return compare_text(a->is.text, b->is.text);
    case VALUE_BOOL:
        return (int)a->is.boolean - (int)b->is.boolean;
    default: /* bits are order enough */
        return (a->is.integer > b->is.integer) - (a->is.integer < b->is.integer);
    }
}

static int compare_resource(const struct span_view *a, const struct span_view *b)
{
    int r = compare_text(a->service, b->service);

    if (r == 0)
        r = (a->resource_count > b->resource_count) - (a->resource_count < b->resource_count);
    for (size_t i = 0; r == 0 && i < a->resource_count; i++) {
        r = compare_text(a->resource[i].name, b->resource[i].name);
        if (r == 0)
            r = compare_value(&a->resource[i].value, &b->resource[i].value);
    }
    return r;
}

static int compare_scope(const struct span_view *a, const struct span_view *b)
{
    int r = compare_text(a->scope_name, b->scope_name);

    return r != 0 ? r : compare_text(a->scope_version, b->scope_version);
}

static int compare_span(const void *x, const void *y)
{
    const struct span_view *a = x, *b = y;
    int r = compare_resource(a, b);

    if (r == 0)
        r = compare_scope(a, b);
    if (r == 0)
        r = (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
    if (r == 0)
        r = memcmp(a->span_id, b->span_id, sizeof(a->span_id));
    return r != 0 ? r : (int)a->kind - (int)b->kind;
}

bool tempo_same_resource(const struct span_view *a, const struct span_view *b)
{
    return compare_resource(a, b) == 0;
}

bool tempo_same_scope(const struct span_view *a, const struct span_view *b)
{
    return compare_scope(a, b) == 0;
}

void tempo_spans_sort(struct tempo_spans *spans)
{
    size_t kept = 0;

    if (spans->count > 0)
        qsort(spans->list, spans->count, sizeof(*spans->list), compare_span);
    for (size_t i = 0; i < spans->count; i++) {
        /* An exporter that sends again sends the same. */
        if (kept == 0 || compare_span(&spans->list[kept - 1], &spans->list[i]) != 0)
            spans->list[kept++] = spans->list[i];
    }
    spans->count = kept;
}
