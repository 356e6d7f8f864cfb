#pragma once
/* Ship batch: lines of one tenant, and the push request made of them. */
#include "agent/ship_line.h"
#include "base/buffer.h"
#include <sys/queue.h>

struct ship_entry {
    TAILQ_ENTRY(ship_entry) link;
    uint64_t time_ns, taken_ns; /* the line's (Unix time); when it came (monotonic) */
    const char *unit, *service; /* borrowed; in this entry */
    enum obs_log_level level;
    char trace_id[SHIP_TRACE_ID_SIZE], span_id[SHIP_SPAN_ID_SIZE];
    uint32_t line_size;
    char line[]; /* and then service, with its NUL */
};
TAILQ_HEAD(ship_entries, ship_entry);

struct ship_batch {
    struct ship_entries entries; /* initialize with ship_batch_init() */
    size_t bytes;                /* as ship_entry_bytes() */
    size_t lines;
};

/* NULL on -ENOMEM. */
struct ship_entry *ship_entry_new(const struct ship_line *read, const char *unit, const char *line,
                                  size_t size, uint64_t taken_ns);
size_t ship_entry_bytes(const struct ship_entry *entry); /* of memory */

void ship_batch_init(struct ship_batch *batch);
void ship_batch_done(struct ship_batch *batch); /* frees the entries; empty afterwards */
void ship_batch_append(struct ship_batch *batch, struct ship_entry *entry); /* taken */
struct ship_entry *ship_batch_shift(struct ship_batch *batch); /* the oldest; NULL: empty */
void ship_batch_put_back(struct ship_batch *batch,
                         struct ship_batch *older); /* @older: empty then */

/**
 * ship_batch_emit() - append the body of a push request
 *
 * Streams are {level, service_name, unit}; trace and span are structured metadata. Source: Loki's
 * HTTP API, "Ingest logs". The order of @batch changes: entries of a stream stand together.
 *
 * Return: 0 or the buffer's error.
 */
int ship_batch_emit(struct ship_batch *batch, struct obs_buffer *body);
