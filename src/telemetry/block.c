/* Sections and filters: what blocks of spans and of lines have in common. */
#include "telemetry/block.h"

#include <errno.h>
#include <unistd.h>
#include <zstd.h>

enum { ZSTD_LEVEL = 1, FILTER_PROBES = 6, RAW_MAX = 256 << 20 };

const struct text_view BLOCK_NAME_KEY = {"\1name", 5}, BLOCK_SERVICE_KEY = {"\1service", 8};

/* ---- filters ---- */

uint64_t block_trace_hash(const uint8_t trace_id[16])
{
    return bytes_hash(trace_id, 16, 1);
}

uint64_t block_value_hash(struct text_view name, const struct value *value)
{
    uint64_t seed = bytes_hash(name.text, name.size, 0);
    double number;

    switch (value->type) {
    case VALUE_TEXT:
        return bytes_hash(value->is.text.text, value->is.text.size, seed);
    case VALUE_BOOL:
        return bytes_hash(&value->is.boolean, 1, seed + 1);
    case VALUE_INT:
    case VALUE_DOUBLE:
        break;
    }
    number = value->type == VALUE_INT ? (double)value->is.integer : value->is.number;
    number += 0.0; /* -0 is 0 */
    return bytes_hash(&number, sizeof(number), seed + 2);
}

int block_note_hash(struct block_hashes *hashes, uint64_t hash)
{
    size_t slot;

    hash += hash == 0;
    if (hashes->count * 2 >= hashes->slot_count) {
        size_t slot_count = hashes->slot_count ? hashes->slot_count * 2 : 4096;
        uint64_t *slots = calloc(slot_count, sizeof(*slots));

        if (!slots)
            return -ENOMEM;
        for (size_t i = 0; i < hashes->slot_count; i++) {
            if (hashes->slots[i] == 0)
                continue;
            for (slot = hashes->slots[i] & (slot_count - 1); slots[slot] != 0;)
                slot = (slot + 1) & (slot_count - 1);
            slots[slot] = hashes->slots[i];
        }
        free(hashes->slots);
        hashes->slots = slots;
        hashes->slot_count = slot_count;
    }
    for (slot = hash & (hashes->slot_count - 1); hashes->slots[slot] != 0;
         slot = (slot + 1) & (hashes->slot_count - 1))
        if (hashes->slots[slot] == hash)
            return 0;
    hashes->slots[slot] = hash;
    hashes->count++;
    return 0;
}

static void hashes_clear(struct block_hashes *hashes)
{
    if (hashes->count > 0)
        memset(hashes->slots, 0, hashes->slot_count * sizeof(*hashes->slots));
    hashes->count = 0;
}

static size_t cell_of(uint64_t hash, uint32_t cells)
{
    return (size_t)(((hash >> 32) * cells) >> 32);
}

static void set_bits(uint8_t *cell, uint64_t hash)
{
    uint64_t bits = hash * 0x9e3779b97f4a7c15ULL;

    for (unsigned i = 0; i < FILTER_PROBES; i++, bits >>= 9)
        cell[(bits & 511) >> 3] |= (uint8_t)(1U << (bits & 7));
}

bool filter_cell_has(const uint8_t cell[FILTER_CELL], uint64_t hash)
{
    uint64_t bits = (hash + (hash == 0)) * 0x9e3779b97f4a7c15ULL;

    for (unsigned i = 0; i < FILTER_PROBES; i++, bits >>= 9)
        if (!(cell[(bits & 511) >> 3] & (1U << (bits & 7))))
            return false;
    return true;
}

bool filter_has(const uint8_t *filter, uint32_t cells, uint64_t hash)
{
    return cells > 0 &&
           filter_cell_has(filter + cell_of(hash + (hash == 0), cells) * FILTER_CELL, hash);
}

int block_add_filter(struct block_writer *w, struct block_hashes *hashes, unsigned bits_per_key,
                     uint32_t *ret_cells)
{
    uint32_t cells = (uint32_t)((hashes->count * bits_per_key + 511) / 512);
    size_t size = (size_t)cells * FILTER_CELL;

    if (!bytes_reserve(&w->out, size))
        return -ENOMEM;
    memset(w->out.data + w->out.size, 0, size);
    for (size_t i = 0; i < hashes->slot_count; i++)
        if (hashes->slots[i] != 0)
            set_bits(w->out.data + w->out.size + cell_of(hashes->slots[i], cells) * FILTER_CELL,
                     hashes->slots[i]);
    w->out.size += size;
    *ret_cells = cells;
    return 0;
}

/* ---- writing ---- */

int block_writer_begin(struct block_writer *w, enum row_what what, size_t count)
{
    w->info = (struct block_info){.what = what,
                                  .count = (uint32_t)count,
                                  .min_ns = UINT64_MAX,
                                  .duration_min_ns = UINT64_MAX};
    bytes_clear(&w->out);
    for (size_t i = 0; i < OBS_COUNT(w->part); i++)
        bytes_clear(&w->part[i]);
    store_set_clear(&w->origins);
    store_set_clear(&w->names);
    store_set_clear(&w->texts);
    block_sets_clear(&w->sets);
    hashes_clear(&w->trace_keys);
    hashes_clear(&w->value_keys);
    if (!w->zstd)
        w->zstd = ZSTD_createCCtx();
    return w->zstd && count > 0 && count <= BLOCK_ROWS_MAX ? 0 : -ENOMEM;
}

int block_add_section(struct block_writer *w, unsigned section, const struct bytes_out *raw)
{
    struct block_section *s = &w->info.sections[section];
    size_t bound = ZSTD_compressBound(raw->size), stored;

    if (raw->has_failed || raw->size > RAW_MAX || !bytes_reserve(&w->out, bound))
        return -ENOMEM;
    if (raw->size == 0)
        return 0;
    stored = ZSTD_compressCCtx(w->zstd, w->out.data + w->out.size, bound, raw->data, raw->size,
                               ZSTD_LEVEL);
    if (ZSTD_isError(stored) || stored >= raw->size) {
        memcpy(w->out.data + w->out.size, raw->data, raw->size);
        stored = raw->size;
    }
    s->stored_size = (uint32_t)stored;
    s->raw_size = (uint32_t)raw->size;
    s->crc = bytes_crc32c(w->out.data + w->out.size, stored);
    w->out.size += stored;
    return 0;
}

void block_writer_done(struct block_writer *w)
{
    bytes_done(&w->out);
    bytes_done(&w->raw);
    for (size_t i = 0; i < OBS_COUNT(w->part); i++)
        bytes_done(&w->part[i]);
    store_set_done(&w->origins);
    store_set_done(&w->names);
    store_set_done(&w->texts);
    block_sets_done(&w->sets);
    free(w->trace_keys.slots);
    free(w->value_keys.slots);
    row_scratch_done(&w->scratch);
    free(w->parents);
    ZSTD_freeCCtx(w->zstd);
    *w = (struct block_writer){0};
}

/* ---- reading ---- */

static int read_all(int fd, void *data, size_t size, uint64_t offset)
{
    char *at = data;

    while (size > 0) {
        ssize_t n = pread(fd, at, size, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

void block_reader_open(struct block_reader *r, int fd, const struct block_info *info)
{
    r->fd = fd;
    r->info = *info;
    memset(r->has, 0, sizeof(r->has));
    memset(r->is_parsed, 0, sizeof(r->is_parsed));
}

static uint64_t section_offset(const struct block_info *info, unsigned section)
{
    uint64_t offset = info->offset;

    for (unsigned i = 0; i < section; i++)
        offset += info->sections[i].stored_size;
    return offset;
}

int block_load(struct block_reader *r, unsigned section)
{
    const struct block_section *s = &r->info.sections[section];
    struct bytes_out *raw = &r->sections[section], *stored = &r->stored;
    bool is_compressed = s->stored_size != s->raw_size;
    int e;

    if (r->has[section])
        return 0;
    bytes_clear(raw);
    bytes_clear(stored);
    if (!is_compressed)
        stored = raw;
    if (s->raw_size > RAW_MAX || !bytes_reserve(raw, (size_t)s->raw_size + 1) ||
        !bytes_reserve(stored, (size_t)s->stored_size + 1))
        return -ENOMEM;
    e = read_all(r->fd, stored->data, s->stored_size, section_offset(&r->info, section));
    if (e < 0)
        return e;
    if (bytes_crc32c(stored->data, s->stored_size) != s->crc && s->stored_size > 0)
        return -EBADMSG;
    if (!r->zstd)
        r->zstd = ZSTD_createDCtx();
    if (!r->zstd)
        return -ENOMEM;
    if (is_compressed && ZSTD_decompressDCtx(r->zstd, raw->data, s->raw_size, stored->data,
                                             s->stored_size) != s->raw_size)
        return -EBADMSG;
    raw->size = s->raw_size;
    r->has[section] = true;
    return 0;
}

bool block_has_value(struct block_reader *r, uint64_t hash)
{
    uint64_t offset =
        section_offset(&r->info, BLOCK_SECTIONS) + (uint64_t)r->info.trace_cells * FILTER_CELL;
    uint8_t cell[FILTER_CELL];

    if (r->info.value_cells == 0)
        return false;
    /* What cannot be asked is looked at. */
    return read_all(r->fd, cell, sizeof(cell),
                    offset + cell_of(hash + (hash == 0), r->info.value_cells) * FILTER_CELL) < 0 ||
           filter_cell_has(cell, hash);
}

void block_reader_done(struct block_reader *r)
{
    for (size_t i = 0; i < BLOCK_SECTIONS; i++)
        bytes_done(&r->sections[i]);
    bytes_done(&r->stored);
    ZSTD_freeDCtx(r->zstd);
    free(r->trace_refs);
    free(r->times);
    free(r->names);
    free(r->texts);
    for (size_t i = 0; i < r->origin_capacity; i++)
        row_scratch_done(&r->origin_scratch[i]);
    free(r->origin_scratch);
    free(r->origins);
    for (size_t i = 0; i < r->stream_capacity; i++)
        free((struct label *)r->streams[i].labels);
    free(r->streams);
    free(r->metadata);
    block_sets_view_done(&r->sets);
    row_scratch_done(&r->scratch);
    *r = (struct block_reader){0};
}
