#pragma once
/*
 * Rows: spans and lines as they stand in the write-ahead log and in memory until they are sealed.
 *
 * One batch is one append, and its bytes are both the frame's payload in the log and what readers
 * of the head read. Layout: docs/telemetry-format.md.
 *
 *   frame: u32 size of payload, u32 CRC-32C of payload, payload
 *   payload: u8 version, u8 what, u16 0, u32 rows, u64 least time, u64 greatest time, records
 *   record: u32 size (whole), u8 type, fields
 *
 * What many rows share (resource and scope; a stream's labels) is a record of its own that the rows
 * point back to.
 */
#include "base/cleanup.h"
#include "telemetry/store_bytes.h"
#include <stdatomic.h>

enum { ROW_FRAME_SIZE = 8, ROW_HEAD_SIZE = 24, ROW_VERSION = 1 };
enum row_what { ROW_SPANS = 1, ROW_LINES = 2 };

struct row_batch {
    struct row_batch *next; /* in its head, oldest first */
    enum row_what what;
    atomic_bool is_dead; /* could not be made durable: nobody was told that it is there */
    uint32_t count;
    uint64_t min_ns, max_ns; /* spans: least start, greatest end */
    uint8_t *frame;          /* size bytes, with the frame's head */
    size_t size;
    int64_t log_end; /* where the log's frame ends */
    uint64_t
        *traces; /* Bloom filter of trace ids, trace_bits (a power of two) bits; NULL: few rows */
    uint64_t trace_bits;
};

/* May the batch have spans of this trace? */
bool row_batch_has_trace(const struct row_batch *batch, const uint8_t trace_id[16]);
struct row_batch *row_batch_free(struct row_batch *batch);
OBS_DEFINE_CLEANUP(struct row_batch *, row_batch_free)

/* ---- writing ---- */

struct row_writer {
    struct bytes_out out;
    enum row_what what;
    uint32_t count;
    uint64_t min_ns, max_ns;
    uint32_t shared; /* offset of the latest origin record; 0: none */
    struct {
        uint64_t hash;
        uint32_t offset;    /* of its stream record; 0: none */
    } streams[64];          /* of lines, at their hash's place */
    const void *shared_key; /* what it was made of */
    size_t shared_count;
    const char *shared_scope, *shared_service;
};

void row_writer_init(struct row_writer *w, enum row_what what);
void row_writer_done(struct row_writer *w);
/* The arrays that views point to have new content: what was shared is not shared on. */
void row_writer_new_origin(struct row_writer *w);
void row_writer_span(struct row_writer *w, const struct span_view *span);
void row_writer_line(struct row_writer *w, const struct line_view *line);
/* Make the batch; the writer is empty then. Return: 0, -ENOMEM, -EMSGSIZE (over 1 GiB). */
int row_writer_finish(struct row_writer *w, struct row_batch **ret_batch);

/* ---- reading ---- */

/* Take over a frame's bytes (malloc'ed), checksum already right. Return: 0, -EBADMSG (not a batch;
 * @frame stays the caller's), -ENOMEM. */
int row_batch_open(uint8_t *frame, size_t size, struct row_batch **ret_batch);

struct row {
    const uint8_t *at; /* the record */
    uint64_t time_ns;
};
/* The next span or line record from *offset on (start with 0). */
bool row_next(const struct row_batch *batch, size_t *offset, struct row *ret_row);

/* Memory of views; reused from row to row. */
struct row_scratch {
    struct attribute *attributes;
    size_t attribute_capacity;
    struct attribute *resource;
    size_t resource_capacity, resource_count;
    struct span_event *events;
    size_t event_capacity;
    struct span_link *links;
    size_t link_capacity;
    struct label *labels, *metadata;
    size_t label_capacity, metadata_capacity, label_count;
    const uint8_t *shared; /* the record that resource or labels are read from */
    uint64_t stream;
    struct text_view service, scope_name, scope_version;
};
void row_scratch_done(struct row_scratch *scratch);

/* Return: 0, -ENOMEM, -EBADMSG. Views point into the batch and the scratch. */
int row_read_span(const struct row_batch *batch, const struct row *row, struct row_scratch *scratch,
                  struct span_view *ret_span);
int row_read_line(const struct row_batch *batch, const struct row *row, struct row_scratch *scratch,
                  struct line_view *ret_line);

/* Fields at fixed places, without reading the rest. */
const uint8_t *row_trace_id(const struct row *row);
const uint8_t *row_span_id(const struct row *row);
const uint8_t *row_parent_id(const struct row *row);
uint64_t row_span_end_ns(const struct row *row);
/* The shared record of a row: equal bytes, equal origin or stream. */
struct text_view row_shared(const struct row_batch *batch, const struct row *row);
/* Such a record into scratch: service, scope, resource; or labels and stream. */
int row_parse_origin(struct text_view record, struct row_scratch *scratch);
int row_parse_stream(struct text_view record, struct row_scratch *scratch);

/* Events and links of a span as one text, and back; for whoever keeps them without looking inside.
 */
void row_put_extra(struct bytes_out *out, const struct span_view *span);
int row_read_extra(struct text_view extra, struct row_scratch *scratch, size_t attributes_used,
                   struct span_view *span);
/* Room for @count more attributes behind @used in scratch->attributes. May move the array. */
int row_scratch_attributes(struct row_scratch *scratch, size_t needed);

/* The next stream record's hash from *offset on (start with 0). A stream may come more than once.
 */
bool row_next_stream(const struct row_batch *batch, size_t *offset, uint64_t *ret_hash);

uint64_t row_stream_hash(const struct label *labels, size_t count);
