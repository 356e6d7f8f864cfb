#include "agent/ship_batch.h"

#include "agent/line_text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ship_entry *ship_entry_new(const struct ship_line *read, const char *unit, const char *line,
                                  size_t size, uint64_t taken_ns)
{
    size_t service_size = strlen(read->service) + 1;
    struct ship_entry *entry = malloc(sizeof(*entry) + size + service_size);

    if (!entry)
        return NULL;
    *entry = (struct ship_entry){.time_ns = read->time_ns,
                                 .taken_ns = taken_ns,
                                 .unit = unit,
                                 .service = entry->line + size,
                                 .level = read->level,
                                 .line_size = (uint32_t)size};
    memcpy(entry->trace_id, read->trace_id, sizeof(entry->trace_id));
    memcpy(entry->span_id, read->span_id, sizeof(entry->span_id));
    memcpy(entry->line, line, size);
    memcpy(entry->line + size, read->service, service_size);
    return entry;
}

size_t ship_entry_bytes(const struct ship_entry *entry)
{
    return sizeof(*entry) + entry->line_size + strlen(entry->service) + 1;
}

/* ---- batch ---- */

void ship_batch_init(struct ship_batch *batch)
{
    *batch = (struct ship_batch){0};
    TAILQ_INIT(&batch->entries);
}

void ship_batch_append(struct ship_batch *batch, struct ship_entry *entry)
{
    TAILQ_INSERT_TAIL(&batch->entries, entry, link);
    batch->bytes += ship_entry_bytes(entry);
    batch->lines++;
}

struct ship_entry *ship_batch_shift(struct ship_batch *batch)
{
    struct ship_entry *entry = TAILQ_FIRST(&batch->entries);

    if (!entry)
        return NULL;
    TAILQ_REMOVE(&batch->entries, entry, link);
    batch->bytes -= ship_entry_bytes(entry);
    batch->lines--;
    return entry;
}

void ship_batch_done(struct ship_batch *batch)
{
    struct ship_entry *entry;

    while ((entry = ship_batch_shift(batch)))
        free(entry);
}

void ship_batch_put_back(struct ship_batch *batch, struct ship_batch *older)
{
    TAILQ_CONCAT(&older->entries, &batch->entries, link);
    TAILQ_CONCAT(&batch->entries, &older->entries, link);
    batch->bytes += older->bytes;
    batch->lines += older->lines;
    ship_batch_init(older);
}

/* ---- request ---- */

static void emit_labels(const struct ship_entry *e, struct obs_buffer *body)
{
    obs_buffer_append_text(body, "{\"stream\":{\"level\":\"");
    obs_buffer_append_text(body, LINE_LEVEL_NAMES[e->level]);
    obs_buffer_append_text(body, "\",\"service_name\":");
    obs_buffer_append_json(body, e->service, strlen(e->service));
    obs_buffer_append_text(body, ",\"unit\":");
    obs_buffer_append_json(body, e->unit, strlen(e->unit));
    obs_buffer_append_text(body, "},\"values\":[");
}

static void emit_value(const struct ship_entry *e, struct obs_buffer *body)
{
    obs_buffer_printf(body, "[\"%" PRIu64 "\",", e->time_ns);
    obs_buffer_append_json(body, e->line, e->line_size);
    if (e->span_id[0])
        obs_buffer_printf(body, ",{\"trace_id\":\"%s\",\"span_id\":\"%s\"}", e->trace_id,
                          e->span_id);
    else if (e->trace_id[0])
        obs_buffer_printf(body, ",{\"trace_id\":\"%s\"}", e->trace_id);
    obs_buffer_append_char(body, ']');
}

static bool is_same_stream(const struct ship_entry *a, const struct ship_entry *b)
{
    return a->level == b->level && a->unit == b->unit && strcmp(a->service, b->service) == 0;
}

/* Move the first entry of @rest and all others of its stream to @sorted. */
static void emit_stream(struct ship_entries *rest, struct ship_entries *sorted,
                        struct obs_buffer *body)
{
    struct ship_entry *first = TAILQ_FIRST(rest), *e, *next;

    emit_labels(first, body);
    for (e = first; e; e = next) {
        next = TAILQ_NEXT(e, link);
        if (!is_same_stream(e, first))
            continue;
        if (e != first)
            obs_buffer_append_char(body, ',');
        emit_value(e, body);
        TAILQ_REMOVE(rest, e, link);
        TAILQ_INSERT_TAIL(sorted, e, link);
    }
    obs_buffer_append_text(body, "]}");
}

int ship_batch_emit(struct ship_batch *batch, struct obs_buffer *body)
{
    struct ship_entries sorted = TAILQ_HEAD_INITIALIZER(sorted);

    obs_buffer_append_text(body, "{\"streams\":[");
    while (!TAILQ_EMPTY(&batch->entries)) {
        if (!TAILQ_EMPTY(&sorted))
            obs_buffer_append_char(body, ',');
        emit_stream(&batch->entries, &sorted, body);
    }
    TAILQ_CONCAT(&batch->entries, &sorted, link);
    obs_buffer_append_text(body, "]}");
    return body->error;
}
