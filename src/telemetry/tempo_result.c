/* One trace in the answer of a search: what it is, and the spans that were found in it. */
#include "telemetry/tempo.h"

#include "base/clock.h"
#include "base/text.h"
#include <string.h>

#define SERVICES_MAX 64 /* in serviceStats */

static const char NO_ROOT[] = "<root span not yet received>"; /* Tempo's words */

static void append_value(const struct traceql_value *value, struct obs_buffer *out)
{
    char room[TRACEQL_TEXT_SIZE];
    struct value plain = {.type = VALUE_TEXT};

    switch (value->type) {
    case TRACEQL_INT:
        plain = (struct value){.type = VALUE_INT, .is.integer = value->is.integer};
        break;
    case TRACEQL_FLOAT:
        plain = (struct value){.type = VALUE_DOUBLE, .is.number = value->is.number};
        break;
    case TRACEQL_BOOL:
        plain = (struct value){.type = VALUE_BOOL, .is.boolean = value->is.boolean};
        break;
    default:
        plain.is.text = traceql_value_text(value, room);
        break;
    }
    tempo_value_json(&plain, out);
}

static void append_pair(struct text_view name, const struct traceql_value *value, bool *is_first,
                        struct obs_buffer *out)
{
    obs_buffer_append_text(out, *is_first ? "{\"key\":" : ",{\"key\":");
    tempo_text_json(name, out);
    obs_buffer_append_text(out, ",\"value\":");
    append_value(value, out);
    obs_buffer_append_char(out, '}');
    *is_first = false;
}

/* The fields of the query, as far as they are the span's and not said elsewhere. */
static bool is_shown(const struct traceql_field *field)
{
    switch (field->id) {
    case TRACEQL_FIELD_ATTRIBUTE:
    case TRACEQL_FIELD_STATUS:
    case TRACEQL_FIELD_STATUS_MESSAGE:
    case TRACEQL_FIELD_KIND:
    case TRACEQL_FIELD_PARENT_ID:
    case TRACEQL_FIELD_CHILD_COUNT:
    case TRACEQL_FIELD_NESTED_SET_LEFT:
    case TRACEQL_FIELD_NESTED_SET_RIGHT:
    case TRACEQL_FIELD_NESTED_SET_PARENT:
    case TRACEQL_FIELD_SCOPE_NAME:
    case TRACEQL_FIELD_SCOPE_VERSION:
        return true;
    default:
        return false;
    }
}

static void append_span(const struct tempo_search *search, const struct traceql_trace *trace,
                        uint32_t index, struct obs_buffer *out)
{
    const struct span_view *view = trace->spans[index].view;
    const struct traceql_query *query = search->query;
    char hex[TRACEQL_HEX_SIZE];
    bool is_first = true;

    obs_text_hex(view->span_id, 8, hex);
    obs_buffer_printf(out, "{\"spanID\":\"%s\",\"name\":", hex);
    tempo_text_json(view->name, out);
    obs_buffer_printf(out, ",\"startTimeUnixNano\":\"%llu\",\"durationNanos\":\"%llu\"",
                      (unsigned long long)view->start_ns,
                      (unsigned long long)traceql_duration(view));
    obs_buffer_append_text(out, ",\"attributes\":[");
    for (size_t i = 0; i < query->field_count; i++) {
        const struct traceql_field *field = &query->fields[i];
        struct traceql_value value;

        if (!is_shown(field))
            continue;
        value = traceql_field_value(field, view, trace, index, hex);
        if (value.type != TRACEQL_NIL)
            append_pair(field->name, &value, &is_first, out);
    }
    obs_buffer_append_text(out, "]}");
}

static void append_spanset(const struct tempo_search *search, const struct traceql_trace *trace,
                           const struct traceql_spanset *set, struct obs_buffer *out)
{
    bool is_first = true;

    obs_buffer_append_text(out, "{\"spans\":[");
    for (uint32_t i = 0; i < set->count && i < search->spans_per_set; i++) {
        if (i > 0)
            obs_buffer_append_char(out, ',');
        append_span(search, trace, set->spans[i], out);
    }
    obs_buffer_printf(out, "],\"matched\":%u", set->count);
    if (set->labels) {
        obs_buffer_append_text(out, ",\"attributes\":[");
        for (const struct traceql_label *label = set->labels; label; label = label->next)
            append_pair(label->name, &label->value, &is_first, out);
        obs_buffer_append_char(out, ']');
    }
    obs_buffer_append_char(out, '}');
}

struct service {
    struct text_view name;
    unsigned spans, errors;
};

static void append_services(const struct traceql_trace *trace, struct obs_buffer *out)
{
    struct service services[SERVICES_MAX];
    size_t count = 0;

    for (uint32_t i = 0; i < trace->count; i++) {
        const struct span_view *view = trace->spans[i].view;
        size_t at = 0;

        while (at < count && !text_view_equal(services[at].name, view->service))
            at++;
        if (at == SERVICES_MAX)
            continue;
        if (at == count)
            services[count++] = (struct service){.name = view->service};
        services[at].spans++;
        services[at].errors += view->status == SPAN_STATUS_ERROR;
    }
    obs_buffer_append_text(out, ",\"serviceStats\":{");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            obs_buffer_append_char(out, ',');
        tempo_text_json(services[i].name, out);
        obs_buffer_printf(out, ":{\"spanCount\":%u,\"errorCount\":%u}", services[i].spans,
                          services[i].errors);
    }
    obs_buffer_append_char(out, '}');
}

void tempo_result_json(const struct tempo_search *search, const struct traceql_trace *trace,
                       const struct traceql_spanset *found, struct obs_buffer *out)
{
    const struct span_view *root =
        trace->root == TRACEQL_NO_SPAN ? NULL : trace->spans[trace->root].view;
    char hex[TRACEQL_HEX_SIZE];

    obs_text_hex(trace->spans[0].view->trace_id, 16, hex);
    obs_buffer_printf(out, "{\"traceID\":\"%s\",\"rootServiceName\":", hex);
    tempo_text_json(root ? root->service : text_view_of(NO_ROOT), out);
    if (root) {
        obs_buffer_append_text(out, ",\"rootTraceName\":");
        tempo_text_json(root->name, out);
    }
    obs_buffer_printf(out, ",\"startTimeUnixNano\":\"%llu\",\"durationMs\":%llu",
                      (unsigned long long)trace->start_ns,
                      (unsigned long long)((trace->end_ns - trace->start_ns) / OBS_NS_PER_MS));
    obs_buffer_append_text(out, ",\"spanSet\":"); /* what older clients read */
    append_spanset(search, trace, found, out);
    obs_buffer_append_text(out, ",\"spanSets\":[");
    for (const struct traceql_spanset *set = found; set; set = set->next) {
        if (set != found)
            obs_buffer_append_char(out, ',');
        append_spanset(search, trace, set, out);
    }
    obs_buffer_append_char(out, ']');
    append_services(trace, out);
    obs_buffer_append_char(out, '}');
}
