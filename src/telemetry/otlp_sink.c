#include "telemetry/otlp_sink.h"

#include "base/clock.h"
#include "base/text.h"
#include <errno.h>

#define DAY_NS (24ULL * 3600 * OBS_NS_PER_SECOND)
#define BELIEVED_PAST_NS (366 * DAY_NS)
#define ARENA_BYTES_MAX ((size_t)16 << 20)
#define TEXT_BYTES_MAX ((size_t)OTLP_VALUE_BYTES_MAX * 2)

static const struct text_view NOTHING = {"", 0};

int otlp_sink_init(struct otlp_sink *s, struct store_batch *batch, bool is_logs)
{
    uint64_t now_ns = obs_time_ns();

    *s = (struct otlp_sink){.batch = batch,
                            .is_logs = is_logs,
                            .oldest_ns = now_ns - BELIEVED_PAST_NS,
                            .newest_ns = now_ns + DAY_NS,
                            .text = OBS_BUFFER_INIT(TEXT_BYTES_MAX)};
    s->resource = malloc(OTLP_RESOURCE_MAX * sizeof(*s->resource));
    s->attributes = malloc(OTLP_ATTRIBUTES_MAX * sizeof(*s->attributes));
    s->events = malloc(OTLP_EVENTS_MAX * sizeof(*s->events));
    s->links = malloc(OTLP_LINKS_MAX * sizeof(*s->links));
    s->metadata = malloc((OTLP_ATTRIBUTES_MAX + OTLP_RESOURCE_MAX + 8) * sizeof(*s->metadata));
    if (!s->resource || !s->attributes || !s->events || !s->links || !s->metadata ||
        obs_arena_new(ARENA_BYTES_MAX, &s->resource_arena) < 0 ||
        obs_arena_new(ARENA_BYTES_MAX, &s->record_arena) < 0) {
        otlp_sink_done(s);
        return -ENOMEM;
    }
    otlp_sink_resource(s);
    return 0;
}

void otlp_sink_done(struct otlp_sink *s)
{
    free(s->resource);
    free(s->attributes);
    free(s->events);
    free(s->links);
    free(s->metadata);
    obs_buffer_done(&s->text);
    obs_arena_free(s->resource_arena);
    obs_arena_free(s->record_arena);
    *s = (struct otlp_sink){0};
}

/* ---- made texts ---- */

struct text_view otlp_sink_keep(struct otlp_sink *s, const char *text, size_t size)
{
    char *copy = obs_arena_copy(s->arena, text, size);

    if (!copy)
        s->record_refusal = "its values take too much memory";
    return copy ? (struct text_view){copy, size} : NOTHING;
}

struct text_view otlp_sink_base64(struct otlp_sink *s, struct text_view bytes)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = (bytes.size + 2) / 3 * 4, at = 0;
    const uint8_t *in = (const uint8_t *)bytes.text;
    char *out = obs_arena_alloc(s->arena, size + 1);

    if (!out) {
        s->record_refusal = "its values take too much memory";
        return NOTHING;
    }
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        unsigned three = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                         (left > 2 ? in[i + 2] : 0);

        out[at++] = DIGITS[three >> 18];
        out[at++] = DIGITS[three >> 12 & 63];
        out[at++] = left > 1 ? DIGITS[three >> 6 & 63] : '=';
        out[at++] = left > 2 ? DIGITS[three & 63] : '=';
    }
    return (struct text_view){out, size};
}

/* ---- parts of a record ---- */

/* Most text is ASCII: look at 8 bytes at a time before reading characters. */
static bool is_utf8(struct text_view text)
{
    size_t i = 0;

    for (; text.size - i >= 8; i += 8) {
        uint64_t word;

        memcpy(&word, text.text + i, 8);
        if (word & 0x8080808080808080ULL)
            return obs_text_is_utf8(text.text + i, text.size - i);
    }
    return obs_text_is_utf8(text.text + i, text.size - i);
}

static const char *refusal_of(const struct attribute *attribute)
{
    const struct value *value = &attribute->value;

    if (attribute->name.size == 0 || attribute->name.size > OTLP_NAME_BYTES_MAX)
        return "an attribute's name is empty or longer than 1024 bytes";
    if (value->type == VALUE_TEXT && value->is.text.size > OTLP_VALUE_BYTES_MAX)
        return "an attribute's value is longer than 256 KiB";
    if (!is_utf8(attribute->name) || (value->type == VALUE_TEXT && !is_utf8(value->is.text)))
        return "an attribute is not valid UTF-8";
    return NULL;
}

void otlp_sink_resource(struct otlp_sink *s)
{
    s->arena = s->resource_arena;
    obs_arena_reset(s->arena);
    s->resource_labels = NULL;
    s->resource_count = 0;
    s->resource_refusal = NULL;
    s->service = text_of("unknown_service"); /* OpenTelemetry's own word for it */
    s->scope_name = s->scope_version = NOTHING;
    store_batch_new_origin(s->batch);
}

void otlp_sink_scope(struct otlp_sink *s, struct text_view name, struct text_view version)
{
    bool is_good = name.size <= OTLP_NAME_BYTES_MAX && version.size <= OTLP_NAME_BYTES_MAX &&
                   is_utf8(name) && is_utf8(version);

    s->scope_name = is_good ? name : NOTHING;
    s->scope_version = is_good ? version : NOTHING;
    store_batch_new_origin(s->batch);
}

void otlp_sink_resource_attribute(struct otlp_sink *s, const struct attribute *attribute)
{
    const char *refusal = refusal_of(attribute);

    if (!refusal && s->resource_count == OTLP_RESOURCE_MAX)
        refusal = "its resource has more than 256 attributes";
    if (refusal) {
        s->resource_refusal = refusal;
        return;
    }
    s->resource[s->resource_count++] = *attribute;
    if (attribute->value.type == VALUE_TEXT && attribute->value.is.text.size > 0 &&
        text_equal(attribute->name, text_of("service.name")))
        s->service = attribute->value.is.text;
}

void otlp_sink_attribute(struct otlp_sink *s, const struct attribute *attribute)
{
    const char *refusal = refusal_of(attribute);

    if (!refusal && s->attribute_count == OTLP_ATTRIBUTES_MAX)
        refusal = "it has more than 2048 attributes";
    if (refusal)
        s->record_refusal = refusal;
    else
        s->attributes[s->attribute_count++] = *attribute;
}

void otlp_sink_begin(struct otlp_sink *s)
{
    s->arena = s->record_arena;
    obs_arena_reset(s->arena);
    s->record_refusal = s->resource_refusal;
    s->attribute_count = s->event_count = s->link_count = 0;
    s->trace_id = s->span_id = s->parent_span_id = NOTHING;
    if (s->is_logs)
        s->log = (struct otlp_log){.severity_text = NOTHING,
                                   .event_name = NOTHING,
                                   .body = {VALUE_TEXT, {.text = NOTHING}}};
    else
        s->span =
            (struct span_view){.name = NOTHING, .status_message = NOTHING, .trace_state = NOTHING};
}

void otlp_sink_event(struct otlp_sink *s, const struct span_event *event, size_t first)
{
    if (s->event_count == OTLP_EVENTS_MAX) {
        s->record_refusal = "it has more than 512 events";
        return;
    }
    if (event->name.size > OTLP_NAME_BYTES_MAX || !is_utf8(event->name))
        s->record_refusal = "an event's name is not valid UTF-8, or longer than 1024 bytes";
    s->events[s->event_count] = *event;
    s->events[s->event_count].attributes = s->attributes + first;
    s->events[s->event_count++].attribute_count = s->attribute_count - first;
}

void otlp_sink_link(struct otlp_sink *s, struct text_view trace_id, struct text_view span_id,
                    size_t first)
{
    struct span_link *link;

    if (s->link_count == OTLP_LINKS_MAX || trace_id.size != 16 || span_id.size != 8) {
        s->record_refusal = s->link_count == OTLP_LINKS_MAX
                                ? "it has more than 512 links"
                                : "a link's trace_id or span_id has the wrong size";
        return;
    }
    link = &s->links[s->link_count++];
    memcpy(link->trace_id, trace_id.text, 16);
    memcpy(link->span_id, span_id.text, 8);
    link->attributes = s->attributes + first;
    link->attribute_count = s->attribute_count - first;
}

/* ---- spans ---- */

static bool is_id(struct text_view id, size_t size)
{
    static const uint8_t ZERO[16];

    return id.size == size && memcmp(id.text, ZERO, size) != 0;
}

static const char *refuse_span(const struct otlp_sink *s)
{
    const struct span_view *span = &s->span;

    if (!is_id(s->trace_id, 16))
        return "trace_id is not 16 bytes that are not all zero";
    if (!is_id(s->span_id, 8))
        return "span_id is not 8 bytes that are not all zero";
    if (s->parent_span_id.size != 0 && s->parent_span_id.size != 8)
        return "parent_span_id is neither empty nor 8 bytes";
    if (span->start_ns < s->oldest_ns || span->start_ns > s->newest_ns ||
        span->end_ns > s->newest_ns)
        return "its times are over a year in the past or over a day in the future";
    if (span->end_ns < span->start_ns)
        return "it ends before it starts";
    if (span->name.size > OTLP_NAME_BYTES_MAX || span->trace_state.size > OTLP_NAME_BYTES_MAX ||
        span->status_message.size > OTLP_VALUE_BYTES_MAX)
        return "its name, trace_state or status is too long";
    if (!is_utf8(span->name) || !is_utf8(span->trace_state) || !is_utf8(span->status_message))
        return "its name, trace_state or status is not valid UTF-8";
    return s->record_refusal;
}

static void keep_span(struct otlp_sink *s)
{
    struct span_view *span = &s->span;

    memcpy(span->trace_id, s->trace_id.text, 16);
    memcpy(span->span_id, s->span_id.text, 8);
    if (s->parent_span_id.size == 8)
        memcpy(span->parent_span_id, s->parent_span_id.text, 8);
    span->kind = span->kind <= 5 ? span->kind : 0;
    span->status = span->status <= 2 ? span->status : 0;
    span->service = s->service;
    span->scope_name = s->scope_name;
    span->scope_version = s->scope_version;
    span->resource = s->resource;
    span->resource_count = s->resource_count;
    span->attributes = s->attributes;
    span->events = s->events;
    span->event_count = s->event_count;
    span->links = s->links;
    span->link_count = s->link_count;
    store_batch_span(s->batch, span);
}

/* ---- logs ---- */

static struct text_view level_of(const struct otlp_log *log)
{
    static const char *const BY_NUMBER[] = {"trace", "debug", "info", "warn", "error", "fatal"};
    static const char *const BY_TEXT[][2] = {
        {"trace", "trace"}, {"debug", "debug"},   {"info", "info"},   {"information", "info"},
        {"warn", "warn"},   {"warning", "warn"},  {"error", "error"}, {"err", "error"},
        {"fatal", "fatal"}, {"critical", "fatal"}};

    if (log->severity >= 1 && log->severity <= 24)
        return text_of(BY_NUMBER[(log->severity - 1) / 4]);
    for (size_t i = 0; i < OBS_COUNT(BY_TEXT); i++)
        if (obs_text_equal_nocase(log->severity_text.text, log->severity_text.size, BY_TEXT[i][0]))
            return text_of(BY_TEXT[i][1]);
    return text_of("unknown");
}

/* Loki's names of labels and metadata: letters, digits and "_". */
static struct text_view plain_name(struct otlp_sink *s, struct text_view name)
{
    char *copy = NULL;

    for (size_t i = 0; i < name.size; i++) {
        char c = name.text[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
            (i > 0 && c >= '0' && c <= '9'))
            continue;
        if (!copy)
            copy = obs_arena_copy(s->arena, name.text, name.size);
        if (!copy) {
            s->record_refusal = "its values take too much memory";
            return NOTHING;
        }
        copy[i] = '_';
    }
    return copy ? (struct text_view){copy, name.size} : name;
}

static struct text_view value_text(struct otlp_sink *s, const struct value *value)
{
    char text[OBS_TEXT_NUMBER_SIZE];

    switch (value->type) {
    case VALUE_TEXT:
        return value->is.text;
    case VALUE_BOOL:
        return text_of(value->is.boolean ? "true" : "false");
    case VALUE_INT:
        obs_buffer_clear(&s->text);
        obs_buffer_printf(&s->text, "%lld", (long long)value->is.integer);
        return otlp_sink_keep(s, s->text.data, s->text.size);
    case VALUE_DOUBLE:
        obs_text_number(value->is.number, text);
        return otlp_sink_keep(s, text, strlen(text));
    }
    return NOTHING;
}

static struct text_view hex_text(struct otlp_sink *s, struct text_view id)
{
    char hex[33];

    obs_text_hex((const uint8_t *)id.text, id.size, hex);
    return otlp_sink_keep(s, hex, id.size * 2);
}

static const char *refuse_log(struct otlp_sink *s)
{
    const struct otlp_log *log = &s->log;

    if (log->time_ns < s->oldest_ns || log->time_ns > s->newest_ns)
        return "its time is over a year in the past or over a day in the future";
    if (s->trace_id.size != 0 && s->trace_id.size != 16)
        return "trace_id is neither empty nor 16 bytes";
    if (s->span_id.size != 0 && s->span_id.size != 8)
        return "span_id is neither empty nor 8 bytes";
    if (log->body.type == VALUE_TEXT && log->body.is.text.size > OTLP_LINE_BYTES_MAX)
        return "its body is longer than 256 KiB";
    if (log->body.type == VALUE_TEXT && !is_utf8(log->body.is.text))
        return "its body is not valid UTF-8";
    return s->record_refusal;
}

static size_t put_attributes(struct otlp_sink *s, const struct attribute *attributes, size_t count,
                             struct label *labels)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++)
        if (!text_equal(attributes[i].name, text_of("service.name")))
            labels[at++] = (struct label){plain_name(s, attributes[i].name),
                                          value_text(s, &attributes[i].value)};
    return at;
}

/* Made once for all lines of the resource. */
static void make_resource_labels(struct otlp_sink *s)
{
    s->arena = s->resource_arena;
    s->resource_labels = obs_arena_alloc(s->arena, (s->resource_count + 1) * sizeof(struct label));
    s->resource_label_count =
        s->resource_labels ? put_attributes(s, s->resource, s->resource_count, s->resource_labels)
                           : 0;
    s->arena = s->record_arena;
}

static void make_line(struct otlp_sink *s, struct line_view *line)
{
    size_t at = 0;

    if (is_id(s->trace_id, 16))
        s->metadata[at++] = (struct label){text_of("trace_id"), hex_text(s, s->trace_id)};
    if (is_id(s->span_id, 8))
        s->metadata[at++] = (struct label){text_of("span_id"), hex_text(s, s->span_id)};
    if (s->scope_name.size > 0)
        s->metadata[at++] = (struct label){text_of("scope_name"), s->scope_name};
    at += put_attributes(s, s->attributes, s->attribute_count, s->metadata + at);
    if (!s->resource_labels)
        make_resource_labels(s);
    for (size_t i = 0; i < s->resource_label_count; i++)
        s->metadata[at++] = s->resource_labels[i];
    line->metadata_count = at;
    line->metadata = s->metadata;
    line->time_ns = s->log.time_ns;
    line->line = value_text(s, &s->log.body);
}

static void keep_log(struct otlp_sink *s)
{
    struct label labels[] = {{text_of("level"), level_of(&s->log)},
                             {text_of("service_name"), s->service}};
    struct line_view line = {.labels = labels, .label_count = OBS_COUNT(labels)};

    make_line(s, &line);
    if (!s->record_refusal)
        store_batch_line(s->batch, &line);
}

/* ---- end of a record ---- */

void otlp_sink_end(struct otlp_sink *s)
{
    const char *refusal;

    if (s->is_logs && s->log.time_ns == 0)
        s->log.time_ns = s->log.observed_ns ? s->log.observed_ns : obs_time_ns();
    refusal = s->is_logs ? refuse_log(s) : refuse_span(s);
    if (!refusal) {
        if (s->is_logs)
            keep_log(s);
        else
            keep_span(s);
        refusal = s->record_refusal;
    }
    if (refusal) {
        if (s->rejected++ == 0)
            obs_reason_set(&s->why, "%s %llu of the request: %s",
                           s->is_logs ? "log record" : "span",
                           (unsigned long long)(s->accepted + 1), refusal);
    } else {
        s->accepted++;
    }
}
