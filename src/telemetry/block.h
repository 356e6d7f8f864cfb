#pragma once
/*
 * Block: some thousand rows of one kind, sorted by time, in columns. What a segment is made of.
 *
 * A block is up to four sections, each compressed (zstd) and checksummed for itself, so that a
 * query reads only those it needs, and two filters of 64-byte cells (a Bloom filter whose bits for
 * one key are in one cell, so that a question is one small read). Layout: docs/telemetry-format.md.
 */
#include "telemetry/head_row.h"
#include "telemetry/store_set.h"

enum {
    BLOCK_ROWS_MAX = 8192,
    BLOCK_SPANS = 2048, /* of a block of spans: a look-up by trace reads it whole */
    BLOCK_SECTIONS = 4,
    FILTER_CELL = 64
};
enum { SPANS_IDS, SPANS_CORE, SPANS_ATTRIBUTES, SPANS_EXTRA };
enum { LINES_STREAMS, LINES_CORE, LINES_TEXT, LINES_METADATA };

struct block_section {
    uint32_t stored_size, raw_size; /* equal: not compressed; both 0: empty */
    uint32_t crc;                   /* of what is stored */
};

struct block_info {          /* in the segment's index, as it is on disk */
    uint64_t offset;         /* of the first section; the rest follow, then filters */
    uint64_t min_ns, max_ns; /* spans: least start, greatest end */
    uint64_t duration_min_ns, duration_max_ns;
    uint32_t count;
    uint32_t what; /* enum row_what */
    uint32_t trace_cells, value_cells;
    struct block_section sections[BLOCK_SECTIONS];
};
_Static_assert(sizeof(struct block_info) == 104, "block_info is a disk format");

/* A row of a head on its way into a block. */
struct block_row {
    struct row row;
    const struct row_batch *batch;
};

/* ---- attribute sets: of spans, and metadata of lines ---- */

struct block_column {
    struct store_set texts;
    struct bytes_out tokens, texts_out, numbers;
    uint64_t name_hash, latest_number_hash;
};
struct block_sets {
    struct store_set names, shapes;
    struct block_column *columns;
    size_t column_capacity;
    struct bytes_out shape_refs, shapes_out, shape_key;
};

struct block_hashes { /* distinct keys of a filter */
    uint64_t *slots;
    size_t slot_count, count;
};

struct block_writer {
    struct block_info info;
    struct bytes_out out; /* sections and filters, as they go to disk */
    struct bytes_out raw, part[8];
    struct store_set origins, names, texts;
    struct block_sets sets;
    struct block_hashes trace_keys, value_keys;
    struct row_scratch scratch;
    uint32_t *parents; /* hash of span ids to row numbers */
    void *zstd;
};
void block_writer_done(struct block_writer *w);
/* Make w->info and w->out of @rows, sorted by time. Return: 0, -ENOMEM, -EBADMSG. */
int block_write_spans(struct block_writer *w, const struct block_row *rows, size_t count);
int block_write_lines(struct block_writer *w, const struct block_row *rows, size_t count);

/* Shared by the two writers. */
int block_writer_begin(struct block_writer *w, enum row_what what, size_t count);
int block_add_section(struct block_writer *w, unsigned section, const struct bytes_out *raw);
int block_add_filter(struct block_writer *w, struct block_hashes *hashes, unsigned bits_per_key,
                     uint32_t *ret_cells);
int block_note_hash(struct block_hashes *hashes, uint64_t hash);
int block_sets_add(struct block_sets *sets, const struct attribute *attributes, size_t count,
                   struct block_hashes *values);
void block_sets_put(struct block_sets *sets, struct bytes_out *out);
void block_sets_clear(struct block_sets *sets);
void block_sets_done(struct block_sets *sets);

uint64_t block_trace_hash(const uint8_t trace_id[16]);
uint64_t block_value_hash(struct text_view name, const struct value *value);
extern const struct text_view BLOCK_NAME_KEY, BLOCK_SERVICE_KEY; /* names that no attribute has */
bool filter_has(const uint8_t *filter, uint32_t cells, uint64_t hash);
bool filter_cell_has(const uint8_t cell[FILTER_CELL], uint64_t hash);

/* ---- reading ---- */

struct block_sets_view {
    struct attribute *attributes; /* of all rows, one after another */
    uint32_t *first;              /* count + 1: where a row's begin */
    size_t attribute_capacity, first_capacity;
    struct text_view *texts;
    size_t text_capacity;
};
int block_sets_read(struct bytes_in *in, size_t rows, struct block_sets_view *view);
/* Every name (@values NULL: one call with each name and no value), or every value of one name,
 * perhaps several times. The function's result other than 0 ends it and is returned. */
typedef int block_name_fn(struct text_view name, const struct value *value, void *userdata);
int block_sets_names(struct bytes_in *in, const struct text_view *values_of, block_name_fn *fn,
                     void *userdata);
void block_sets_view_done(struct block_sets_view *view);

struct block_origin {
    struct text_view service, scope_name, scope_version;
    const struct attribute *resource;
    size_t resource_count;
};
struct block_stream {
    const struct label *labels;
    size_t label_count;
    uint64_t hash;
    bool fits; /* of the query: set by who reads */
};

/* A block that is being read; its memory is used again for the next. */
struct block_reader {
    struct block_info info;
    int fd;
    struct bytes_out sections[BLOCK_SECTIONS]; /* raw */
    bool has[BLOCK_SECTIONS], is_parsed[BLOCK_SECTIONS];
    struct bytes_out stored;
    void *zstd;
    /* spans */
    const uint8_t *trace_ids, *span_ids;
    size_t trace_count;
    uint32_t *trace_refs, *name_refs, *origin_refs, *message_refs, *state_refs;
    uint64_t *times, *ends;
    const uint8_t *kinds;
    uint8_t (*parents)[8];
    struct text_view *names, *texts;
    size_t name_count, text_count, name_capacity, text_capacity;
    struct block_origin *origins;
    size_t origin_count, origin_capacity;
    struct row_scratch *origin_scratch; /* one per origin */
    uint32_t *extra_at, *extra_size;
    /* lines */
    struct block_stream *streams;
    size_t stream_count, stream_capacity;
    uint32_t *stream_refs, *line_at; /* line_at: count + 1 */
    struct label *metadata;
    size_t metadata_capacity;
    struct block_sets_view sets;
    struct row_scratch scratch;
};
void block_reader_done(struct block_reader *r);
void block_reader_open(struct block_reader *r, int fd, const struct block_info *info);
/* Read and check a section. Return: 0, -errno, -EBADMSG (damaged). */
int block_load(struct block_reader *r, unsigned section);
bool block_has_value(struct block_reader *r, uint64_t hash); /* asks its filter, on disk */

int block_parse_ids(struct block_reader *r);  /* trace_ids, trace_refs, span_ids, parents */
int block_parse_core(struct block_reader *r); /* times, names, origins */
/* Everything of row @i. Loads what is still missing. */
int block_span(struct block_reader *r, size_t i, struct span_view *ret_span);
/* As block_sets_names(), of the attributes or the resources of the block's spans. */
int block_span_names(struct block_reader *r, bool is_resource, const struct text_view *values_of,
                     block_name_fn *fn, void *userdata);
int block_parse_streams(struct block_reader *r);
int block_parse_lines(struct block_reader *r); /* times, stream_refs, line_at */
struct text_view block_line_text(const struct block_reader *r, size_t i); /* LINES_TEXT is loaded */
int block_line(struct block_reader *r, size_t i, struct line_view *ret_line);
