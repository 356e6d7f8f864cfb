/*
 * Spans as values: text of name and attributes goes into the span's own bytes, so starting, filling
 * and ending one allocates nothing.
 *
 * OTLP strings must be UTF-8 or a receiver refuses the whole batch, and texts come from requests:
 * what is not UTF-8 has its high bytes replaced when it is copied.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "otel/ids.h"
#include "otel/trace.h"
#include "otel/tracer.h"
#include <string.h>

static _Thread_local struct obs_span *current;

/* Bytes of @text[size] up to the last whole character that ends within @limit. */
static size_t whole_characters(const char *text, size_t size, size_t limit)
{
    if (size <= limit)
        return size;
    while (limit > 0 && ((unsigned char)text[limit] & 0xc0) == 0x80)
        limit--;
    return limit;
}

static void replace_high_bytes(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0x80)
            text[i] = '?';
}

/* Offset of the copy; of an empty text when nothing is left. */
static uint16_t keep_text(struct obs_span *span, const char *text)
{
    size_t left = sizeof(span->text) - 1u - span->text_size;
    size_t size = strnlen(text, sizeof(span->text));
    uint16_t offset = span->text_size;
    char *copy = span->text + offset;

    size = whole_characters(text, size, left);
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (!obs_text_is_utf8(copy, size))
        replace_high_bytes(copy, size);
    span->text_size = (uint16_t)(offset + size + 1 < sizeof(span->text) ? offset + size + 1
                                                                        : sizeof(span->text) - 1);
    return offset;
}

static void make_context(struct obs_span *span, struct obs_tracer *tracer,
                         const struct obs_trace_context *parent)
{
    if (parent && obs_trace_is_valid(parent)) {
        span->context = *parent;
        memcpy(span->parent_span_id, parent->span_id, sizeof(span->parent_span_id));
    } else {
        memset(span->parent_span_id, 0, sizeof(span->parent_span_id));
        obs_trace_id_make(span->context.trace_id);
        span->context.flags = tracer && obs_tracer_is_sampled(tracer, span->context.trace_id);
    }
    obs_span_id_make(span->context.span_id);
}

void obs_span_start(struct obs_span *span, struct obs_tracer *tracer, enum obs_span_kind kind,
                    const char *name, const struct obs_trace_context *parent)
{
    make_context(span, tracer, parent);
    span->tracer = obs_trace_is_sampled(&span->context) ? tracer : NULL;
    span->kind = kind;
    span->is_error = false;
    span->message = 0;
    span->text_size = 0;
    span->attribute_count = 0;
    span->start_ns = span->end_ns = 0;
    span->name = 0;
    span->text[0] = '\0';
    if (!span->tracer)
        return;
    span->name = keep_text(span, name);
    span->start_ns = obs_time_ns();
}

void obs_span_set_start(struct obs_span *span, uint64_t start_ns)
{
    span->start_ns = start_ns;
}

static struct obs_span_attribute *add_attribute(struct obs_span *span, const char *name)
{
    struct obs_span_attribute *attribute;

    if (!span->tracer || span->attribute_count == OBS_SPAN_ATTRIBUTES_MAX)
        return NULL;
    attribute = &span->attributes[span->attribute_count++];
    attribute->name = name;
    return attribute;
}

void obs_span_text(struct obs_span *span, const char *name, const char *value)
{
    struct obs_span_attribute *attribute = value ? add_attribute(span, name) : NULL;

    if (!attribute)
        return;
    attribute->type = OBS_ATTRIBUTE_TEXT;
    attribute->value.text = keep_text(span, value);
}

void obs_span_int(struct obs_span *span, const char *name, int64_t value)
{
    struct obs_span_attribute *attribute = add_attribute(span, name);

    if (!attribute)
        return;
    attribute->type = OBS_ATTRIBUTE_INT;
    attribute->value.integer = value;
}

void obs_span_number(struct obs_span *span, const char *name, double value)
{
    struct obs_span_attribute *attribute = add_attribute(span, name);

    if (!attribute)
        return;
    attribute->type = OBS_ATTRIBUTE_DOUBLE;
    attribute->value.number = value;
}

void obs_span_bool(struct obs_span *span, const char *name, bool value)
{
    struct obs_span_attribute *attribute = add_attribute(span, name);

    if (!attribute)
        return;
    attribute->type = OBS_ATTRIBUTE_BOOL;
    attribute->value.boolean = value;
}

void obs_span_error(struct obs_span *span, const char *message)
{
    if (!span->tracer)
        return;
    span->is_error = true;
    span->message = keep_text(span, message);
}

void obs_span_end_at(struct obs_span *span, uint64_t end_ns)
{
    struct obs_tracer *tracer = span->tracer;

    if (!tracer)
        return;
    span->end_ns =
        end_ns < span->start_ns ? span->start_ns : end_ns; /* the clock may be set back */
    obs_tracer_take(tracer, span);
    span->tracer = NULL; /* ended: a second end is a no-op */
}

void obs_span_end(struct obs_span *span)
{
    if (span->tracer)
        obs_span_end_at(span, obs_time_ns());
}

/* ---- the thread's current span ---- */

static void set_current(struct obs_span *span)
{
    char trace_id[33], span_id[17];

    if (span == current)
        return;
    current = span;
    if (!span) {
        obs_log_set_trace(NULL, NULL);
        return;
    }
    obs_text_hex(span->context.trace_id, sizeof(span->context.trace_id), trace_id);
    obs_text_hex(span->context.span_id, sizeof(span->context.span_id), span_id);
    obs_log_set_trace(trace_id, span_id);
}

struct obs_span *obs_span_current(void)
{
    return current;
}

struct obs_span *obs_span_enter(struct obs_span *span)
{
    struct obs_span *before = current;

    set_current(span);
    return before;
}

void obs_span_leave(struct obs_span *before)
{
    set_current(before);
}

const struct obs_trace_context *obs_trace_current(void)
{
    return current ? &current->context : NULL;
}

void obs_span_start_child(struct obs_span *span, enum obs_span_kind kind, const char *name)
{
    obs_span_start(span, current ? current->tracer : NULL, kind, name, obs_trace_current());
}
