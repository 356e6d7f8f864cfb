/*
 * Spans in columns. Sections:
 *
 *   ids: traces (varint count, 16 bytes each), span ids (8 bytes each), trace of each row, parents
 *   core: starts (difference to the row before), durations, kind and status, names, origins,
 * messages attributes: block_sets.c extra: events and links of the rows that have any
 *
 * A row's trace is 0 when it is the next new one, else how long ago its trace was new. A parent is
 * 0 (none), 1 (its id follows behind), or 2 and more: a span of the block, as zigzag distance.
 */
#include "telemetry/block.h"

#include <errno.h>

enum { PARENT_NONE, PARENT_GIVEN, PARENT_NEAR, PARENT_SLOTS = BLOCK_ROWS_MAX * 2 };
enum { TRACES, TRACE_REFS, STARTS, DURATIONS, NAMES, ORIGINS, MESSAGES, EXTRA };

static const uint8_t NO_PARENT[8];

/* ---- writing ---- */

static size_t parent_slot(const uint32_t *slots, const struct block_row *rows, const uint8_t *id)
{
    size_t slot = bytes_hash(id, 8, 0) & (PARENT_SLOTS - 1);

    while (slots[slot] != 0 && memcmp(row_span_id(&rows[slots[slot] - 1].row), id, 8) != 0)
        slot = (slot + 1) & (PARENT_SLOTS - 1);
    return slot;
}

static int write_ids(struct block_writer *w, const struct block_row *rows, size_t count)
{
    struct bytes_out *raw = &w->raw, *refs = &w->part[TRACE_REFS];
    size_t slot;

    if (!w->parents)
        w->parents = malloc(PARENT_SLOTS * sizeof(*w->parents));
    if (!w->parents)
        return -ENOMEM;
    memset(w->parents, 0, PARENT_SLOTS * sizeof(*w->parents));
    for (size_t i = 0; i < count; i++) {
        struct text_view id = {(const char *)row_trace_id(&rows[i].row), 16};
        bool is_new;
        uint32_t number = store_set_put(&w->names, id, &is_new);

        if (number == STORE_SET_NONE ||
            (is_new &&
             block_note_hash(&w->trace_keys, block_trace_hash(row_trace_id(&rows[i].row)))))
            return -ENOMEM;
        bytes_put_varint(refs, is_new ? 0 : w->names.count - number);
        w->parents[parent_slot(w->parents, rows, row_span_id(&rows[i].row))] = (uint32_t)i + 1;
    }
    bytes_clear(raw);
    bytes_put_varint(raw, w->names.count);
    for (size_t i = 0; i < w->names.count; i++)
        bytes_put(raw, w->names.entries[i].text.text, 16);
    for (size_t i = 0; i < count; i++)
        bytes_put(raw, row_span_id(&rows[i].row), 8);
    bytes_put(raw, refs->data, refs->size);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *parent = row_parent_id(&rows[i].row);

        if (memcmp(parent, NO_PARENT, 8) == 0) {
            bytes_put_u8(raw, PARENT_NONE);
            continue;
        }
        slot = parent_slot(w->parents, rows, parent);
        if (w->parents[slot] != 0) {
            bytes_put_varint(raw, PARENT_NEAR +
                                      bytes_zigzag((int64_t)w->parents[slot] - 1 - (int64_t)i));
        } else {
            bytes_put_u8(raw, PARENT_GIVEN);
            bytes_put(raw, parent, 8);
        }
    }
    store_set_clear(&w->names);
    return refs->has_failed ? -ENOMEM : block_add_section(w, SPANS_IDS, raw);
}

static void note_times(struct block_info *info, const struct span_view *span)
{
    uint64_t end_ns = span->end_ns > span->start_ns ? span->end_ns : span->start_ns;
    uint64_t duration_ns = end_ns - span->start_ns;

    if (span->start_ns < info->min_ns)
        info->min_ns = span->start_ns;
    if (end_ns > info->max_ns)
        info->max_ns = end_ns;
    if (duration_ns < info->duration_min_ns)
        info->duration_min_ns = duration_ns;
    if (duration_ns > info->duration_max_ns)
        info->duration_max_ns = duration_ns;
}

static int note_text(struct block_writer *w, struct text_view key, struct text_view text)
{
    struct value value = {VALUE_TEXT, {.text = text}};

    return block_note_hash(&w->value_keys, block_value_hash(key, &value));
}

static int note_origin(struct block_writer *w, const struct span_view *span)
{
    int r = note_text(w, BLOCK_SERVICE_KEY, span->service);

    for (size_t i = 0; r == 0 && i < span->resource_count; i++)
        r = block_note_hash(&w->value_keys,
                            block_value_hash(span->resource[i].name, &span->resource[i].value));
    return r;
}

static int put_ref(struct store_set *set, struct text_view text, struct bytes_out *out,
                   bool *ret_is_new)
{
    uint32_t number = store_set_put(set, text, ret_is_new);

    bytes_put_varint(out, number);
    return number == STORE_SET_NONE || out->has_failed ? -ENOMEM : 0;
}

static void put_extra(struct bytes_out *out, size_t *latest, size_t i, const struct span_view *span)
{
    struct bytes_out part = {0};

    if (span->event_count + span->link_count == 0)
        return;
    row_put_extra(&part, span);
    bytes_put_varint(out, i - *latest);
    bytes_put_text(out, (struct text_view){(char *)part.data, part.size});
    *latest = i;
    bytes_done(&part);
}

static int write_row(struct block_writer *w, const struct block_row *row, size_t i,
                     uint64_t *latest_ns, size_t *latest_extra)
{
    struct span_view span;
    bool is_new;
    int r = row_read_span(row->batch, &row->row, &w->scratch, &span);

    if (r < 0)
        return r;
    note_times(&w->info, &span);
    bytes_put_varint(&w->part[STARTS], span.start_ns - *latest_ns);
    *latest_ns = span.start_ns;
    bytes_put_varint(&w->part[DURATIONS], bytes_zigzag((int64_t)(span.end_ns - span.start_ns)));
    bytes_put_u8(&w->part[TRACES], (uint8_t)(span.kind << 4 | (span.status & 15)));
    r = put_ref(&w->names, span.name, &w->part[NAMES], &is_new);
    if (r == 0 && is_new)
        r = note_text(w, BLOCK_NAME_KEY, span.name);
    if (r == 0)
        r = put_ref(&w->origins, row_shared(row->batch, &row->row), &w->part[ORIGINS], &is_new);
    if (r == 0 && is_new)
        r = note_origin(w, &span);
    if (r == 0)
        r = put_ref(&w->texts, span.status_message, &w->part[MESSAGES], &is_new);
    if (r == 0)
        r = put_ref(&w->texts, span.trace_state, &w->part[MESSAGES], &is_new);
    if (r == 0)
        r = block_sets_add(&w->sets, span.attributes, span.attribute_count, &w->value_keys);
    put_extra(&w->part[EXTRA], latest_extra, i, &span);
    return r;
}

static void put_dictionary(struct bytes_out *out, const struct store_set *set)
{
    bytes_put_varint(out, set->count);
    for (size_t i = 0; i < set->count; i++)
        bytes_put_text(out, set->entries[i].text);
}

static int write_core(struct block_writer *w)
{
    static const uint8_t ORDER[] = {TRACES, STARTS, DURATIONS, NAMES, ORIGINS, MESSAGES};

    bytes_clear(&w->raw);
    put_dictionary(&w->raw, &w->names);
    put_dictionary(&w->raw, &w->origins);
    put_dictionary(&w->raw, &w->texts);
    for (size_t i = 0; i < OBS_COUNT(ORDER); i++) {
        bytes_put(&w->raw, w->part[ORDER[i]].data, w->part[ORDER[i]].size);
        w->raw.has_failed |= w->part[ORDER[i]].has_failed;
    }
    return block_add_section(w, SPANS_CORE, &w->raw);
}

int block_write_spans(struct block_writer *w, const struct block_row *rows, size_t count)
{
    uint64_t latest_ns = 0;
    size_t latest_extra = 0;
    int r = block_writer_begin(w, ROW_SPANS, count);

    if (r == 0)
        r = write_ids(w, rows, count);
    w->scratch.shared = NULL;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = write_row(w, &rows[i], i, &latest_ns, &latest_extra);
    if (r == 0)
        r = write_core(w);
    if (r == 0) {
        bytes_clear(&w->raw);
        block_sets_put(&w->sets, &w->raw);
        r = block_add_section(w, SPANS_ATTRIBUTES, &w->raw);
    }
    if (r == 0)
        r = block_add_section(w, SPANS_EXTRA, &w->part[EXTRA]);
    if (r == 0)
        r = block_add_filter(w, &w->trace_keys, 16, &w->info.trace_cells);
    return r == 0 ? block_add_filter(w, &w->value_keys, 12, &w->info.value_cells) : r;
}

/* ---- reading ---- */

static struct bytes_in section_in(const struct block_reader *r, unsigned section)
{
    const struct bytes_out *raw = &r->sections[section];

    return (struct bytes_in){raw->data, raw->data + raw->size, false};
}

/* The arrays of one value per row, in one piece of memory. */
static int make_columns(struct block_reader *r)
{
    if (!r->times) {
        r->times = malloc(BLOCK_ROWS_MAX * 4 * sizeof(*r->times));
        if (!r->times)
            return -ENOMEM;
        r->ends = r->times + BLOCK_ROWS_MAX;
        r->parents = (uint8_t(*)[8])(r->times + 2 * BLOCK_ROWS_MAX);
        r->extra_at = (uint32_t *)(r->times + 3 * BLOCK_ROWS_MAX);
        r->extra_size = r->extra_at + BLOCK_ROWS_MAX;
    }
    if (!r->trace_refs) {
        r->trace_refs = malloc(BLOCK_ROWS_MAX * 5 * sizeof(*r->trace_refs));
        if (!r->trace_refs)
            return -ENOMEM;
        r->name_refs = r->trace_refs + BLOCK_ROWS_MAX;
        r->origin_refs = r->name_refs + BLOCK_ROWS_MAX;
        r->message_refs = r->origin_refs + BLOCK_ROWS_MAX;
        r->state_refs = r->message_refs + BLOCK_ROWS_MAX;
    }
    return r->info.count <= BLOCK_ROWS_MAX ? 0 : -EBADMSG;
}

static int parse_parents(struct block_reader *r, struct bytes_in *in)
{
    size_t count = r->info.count;

    for (size_t i = 0; i < count; i++) {
        uint64_t form = bytes_get_varint(in);
        const uint8_t *id = NO_PARENT;

        if (form == PARENT_GIVEN) {
            id = bytes_get(in, 8);
        } else if (form >= PARENT_NEAR) {
            uint64_t row = i + (uint64_t)bytes_unzigzag(form - PARENT_NEAR);

            id = row < count ? r->span_ids + row * 8 : NULL;
        }
        if (!id)
            return -EBADMSG;
        memcpy(r->parents[i], id, 8);
    }
    return in->has_failed ? -EBADMSG : 0;
}

int block_parse_ids(struct block_reader *r)
{
    struct bytes_in in;
    size_t count = r->info.count, seen = 0;
    int e = block_load(r, SPANS_IDS);

    if (e < 0 || r->is_parsed[SPANS_IDS])
        return e;
    e = make_columns(r);
    if (e < 0)
        return e;
    in = section_in(r, SPANS_IDS);
    r->trace_count = bytes_get_count(&in);
    r->trace_ids = bytes_get(&in, r->trace_count * 16);
    r->span_ids = bytes_get(&in, count * 8);
    if (!r->span_ids || !r->trace_ids || r->trace_count > count)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        uint64_t ago = bytes_get_varint(&in);

        if (ago > seen || (ago == 0 && seen >= r->trace_count))
            return -EBADMSG;
        r->trace_refs[i] = (uint32_t)(ago == 0 ? seen++ : seen - ago);
    }
    e = parse_parents(r, &in);
    r->is_parsed[SPANS_IDS] = e == 0;
    return e;
}

static int get_dictionary(struct bytes_in *in, struct text_view **texts, size_t *capacity,
                          size_t *ret_count)
{
    size_t count = bytes_get_count(in);

    if (count > *capacity) {
        struct text_view *grown = reallocarray(*texts, count, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        *texts = grown;
        *capacity = count;
    }
    for (size_t i = 0; i < count; i++)
        (*texts)[i] = bytes_get_text(in);
    *ret_count = count;
    return in->has_failed ? -EBADMSG : 0;
}

static int get_origins(struct block_reader *r, struct bytes_in *in)
{
    size_t count = bytes_get_count(in);
    int e = 0;

    if (count > r->origin_capacity) {
        struct block_origin *origins = reallocarray(r->origins, count, sizeof(*origins));
        struct row_scratch *scratch;

        if (origins)
            r->origins = origins;
        scratch = reallocarray(r->origin_scratch, count, sizeof(*scratch));
        if (scratch)
            r->origin_scratch = scratch;
        if (!origins || !scratch)
            return -ENOMEM;
        memset(scratch + r->origin_capacity, 0, (count - r->origin_capacity) * sizeof(*scratch));
        r->origin_capacity = count;
    }
    for (size_t i = 0; e == 0 && i < count; i++) {
        struct row_scratch *s = &r->origin_scratch[i];

        e = row_parse_origin(bytes_get_text(in), s);
        r->origins[i] = (struct block_origin){s->service, s->scope_name, s->scope_version,
                                              s->resource, s->resource_count};
    }
    r->origin_count = count;
    return e;
}

static int get_refs(struct bytes_in *in, uint32_t *refs, size_t count, size_t limit)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t ref = bytes_get_varint(in);

        if (ref >= limit)
            return -EBADMSG;
        refs[i] = (uint32_t)ref;
    }
    return in->has_failed ? -EBADMSG : 0;
}

static int get_numbers(struct block_reader *r, struct bytes_in *in)
{
    size_t count = r->info.count;
    uint64_t time_ns = 0;
    int e;

    r->kinds = bytes_get(in, count);
    for (size_t i = 0; i < count; i++)
        r->times[i] = time_ns += bytes_get_varint(in);
    for (size_t i = 0; i < count; i++)
        r->ends[i] = r->times[i] + (uint64_t)bytes_unzigzag(bytes_get_varint(in));
    e = get_refs(in, r->name_refs, count, r->name_count);
    if (e == 0)
        e = get_refs(in, r->origin_refs, count, r->origin_count);
    for (size_t i = 0; e == 0 && i < count; i++) {
        e = get_refs(in, &r->message_refs[i], 1, r->text_count);
        if (e == 0)
            e = get_refs(in, &r->state_refs[i], 1, r->text_count);
    }
    return e;
}

int block_parse_core(struct block_reader *r)
{
    struct bytes_in in;
    int e = block_load(r, SPANS_CORE);

    if (e < 0 || r->is_parsed[SPANS_CORE])
        return e;
    e = make_columns(r);
    in = section_in(r, SPANS_CORE);
    if (e == 0)
        e = get_dictionary(&in, &r->names, &r->name_capacity, &r->name_count);
    if (e == 0)
        e = get_origins(r, &in);
    if (e == 0)
        e = get_dictionary(&in, &r->texts, &r->text_capacity, &r->text_count);
    if (e == 0)
        e = get_numbers(r, &in);
    r->is_parsed[SPANS_CORE] = e == 0;
    return e;
}

static int parse_extra(struct block_reader *r)
{
    struct bytes_in in;
    size_t row = 0;
    int e = block_load(r, SPANS_EXTRA);

    if (e < 0 || r->is_parsed[SPANS_EXTRA])
        return e;
    in = section_in(r, SPANS_EXTRA);
    memset(r->extra_size, 0, r->info.count * sizeof(*r->extra_size));
    while (in.at < in.end) {
        struct text_view extra;

        row += bytes_get_varint(&in);
        extra = bytes_get_text(&in);
        if (in.has_failed || row >= r->info.count)
            return -EBADMSG;
        r->extra_at[row] = (uint32_t)((const uint8_t *)extra.text - r->sections[SPANS_EXTRA].data);
        r->extra_size[row] = (uint32_t)extra.size;
    }
    r->is_parsed[SPANS_EXTRA] = true;
    return 0;
}

static int parse_attributes(struct block_reader *r)
{
    struct bytes_in in;
    int e = block_load(r, SPANS_ATTRIBUTES);

    if (e < 0 || r->is_parsed[SPANS_ATTRIBUTES])
        return e;
    in = section_in(r, SPANS_ATTRIBUTES);
    e = block_sets_read(&in, r->info.count, &r->sets);
    r->is_parsed[SPANS_ATTRIBUTES] = e == 0;
    return e;
}

static int resource_names(struct block_reader *r, const struct text_view *values_of,
                          block_name_fn *fn, void *userdata)
{
    int e = block_parse_core(r);

    for (size_t i = 0; e == 0 && i < r->origin_count; i++)
        for (size_t k = 0; e == 0 && k < r->origins[i].resource_count; k++) {
            const struct attribute *attribute = &r->origins[i].resource[k];

            if (!values_of || text_equal(attribute->name, *values_of))
                e = fn(attribute->name, values_of ? &attribute->value : NULL, userdata);
        }
    return e;
}

int block_span_names(struct block_reader *r, bool is_resource, const struct text_view *values_of,
                     block_name_fn *fn, void *userdata)
{
    struct bytes_in in;
    int e;

    if (is_resource)
        return resource_names(r, values_of, fn, userdata);
    e = block_load(r, SPANS_ATTRIBUTES);
    if (e < 0)
        return e;
    in = section_in(r, SPANS_ATTRIBUTES);
    return block_sets_names(&in, values_of, fn, userdata);
}

static int load_all(struct block_reader *r)
{
    int e = block_parse_core(r);

    if (e == 0)
        e = block_parse_ids(r);
    if (e == 0)
        e = parse_attributes(r);
    return e == 0 ? parse_extra(r) : e;
}

int block_span(struct block_reader *r, size_t i, struct span_view *span)
{
    const struct block_origin *origin;
    int e = r->is_parsed[SPANS_EXTRA] && r->is_parsed[SPANS_IDS] ? 0 : load_all(r);

    if (e < 0)
        return e;
    origin = &r->origins[r->origin_refs[i]];
    *span = (struct span_view){.start_ns = r->times[i],
                               .end_ns = r->ends[i],
                               .service = origin->service,
                               .name = r->names[r->name_refs[i]],
                               .kind = r->kinds[i] >> 4,
                               .status = r->kinds[i] & 15,
                               .status_message = r->texts[r->message_refs[i]],
                               .trace_state = r->texts[r->state_refs[i]],
                               .scope_name = origin->scope_name,
                               .scope_version = origin->scope_version,
                               .attributes = r->sets.attributes + r->sets.first[i],
                               .attribute_count = r->sets.first[i + 1] - r->sets.first[i],
                               .resource = origin->resource,
                               .resource_count = origin->resource_count};
    memcpy(span->trace_id, r->trace_ids + (size_t)r->trace_refs[i] * 16, 16);
    memcpy(span->span_id, r->span_ids + i * 8, 8);
    memcpy(span->parent_span_id, r->parents[i], 8);
    if (r->extra_size[i] == 0)
        return 0;
    return row_read_extra((struct text_view){(char *)r->sections[SPANS_EXTRA].data + r->extra_at[i],
                                             r->extra_size[i]},
                          &r->scratch, 0, span);
}
