#include "telemetry/segment.h"

#include "telemetry/wal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[8] = {'O', 'B', 'S', 'S', 'E', 'G', 0, 1};
enum { BLOCKS_MAX = 1 << 20 };

struct trailer {
    uint64_t index_offset, min_ns, max_ns, span_count, line_count;
    uint32_t block_count, index_crc;
    uint32_t reserved, crc; /* of what stands before it */
    char magic[8];
};
_Static_assert(sizeof(struct trailer) == 64, "the trailer is a disk format");

/* ---- life ---- */

static void filters_free(uint8_t **filters, size_t count)
{
    for (size_t i = 0; filters && i < count; i++)
        free(filters[i]);
    free(filters);
}

struct segment *segment_ref(struct segment *segment)
{
    atomic_fetch_add(&segment->references, 1);
    return segment;
}

struct segment *segment_unref(struct segment *segment)
{
    if (!segment || atomic_fetch_sub(&segment->references, 1) > 1)
        return NULL;
    if (atomic_load(&segment->is_dropped))
        unlink(segment->path);
    filters_free(atomic_load(&segment->trace_filters), segment->block_count);
    free(segment->path);
    free(segment->blocks);
    free(segment);
    return NULL;
}

/* ---- writing ---- */

struct output {
    int fd;
    uint64_t offset;
    struct trailer trailer;
    struct bytes_out index;
};

static int put(struct output *out, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = pwrite(out->fd, at, size, (off_t)out->offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        at += n;
        out->offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static int compare_rows(const void *a, const void *b)
{
    const struct block_row *x = a, *y = b;

    if (x->row.time_ns != y->row.time_ns)
        return x->row.time_ns < y->row.time_ns ? -1 : 1;
    return x->row.at < y->row.at ? -1 : x->row.at > y->row.at;
}

static int sorted_rows(const struct head *head, size_t batch_count, enum row_what what,
                       struct block_row **ret_rows, size_t *ret_count)
{
    uint64_t room = what == ROW_SPANS ? head->span_count : head->line_count;
    struct block_row *rows = calloc(room + 1, sizeof(*rows));
    const struct row_batch *batch = head->first;
    size_t count = 0;
    bool is_sorted = true;

    if (!rows)
        return -ENOMEM;
    for (; batch_count > 0; batch_count--, batch = batch->next) {
        size_t offset = 0;

        if (batch->what != what || atomic_load(&batch->is_dead))
            continue;
        while (count < room && row_next(batch, &offset, &rows[count].row)) {
            is_sorted &= count == 0 || rows[count - 1].row.time_ns <= rows[count].row.time_ns;
            rows[count++].batch = batch;
        }
    }
    if (!is_sorted)
        qsort(rows, count, sizeof(*rows), compare_rows);
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}

static int put_block(struct output *out, struct block_writer *w)
{
    struct trailer *t = &out->trailer;
    int r;

    w->info.offset = out->offset;
    r = put(out, w->out.data, w->out.size);
    bytes_put(&out->index, &w->info, sizeof(w->info));
    t->block_count++;
    *(w->info.what == ROW_SPANS ? &t->span_count : &t->line_count) += w->info.count;
    if (w->info.min_ns < t->min_ns)
        t->min_ns = w->info.min_ns;
    if (w->info.max_ns > t->max_ns)
        t->max_ns = w->info.max_ns;
    return r;
}

static int put_rows(struct output *out, struct block_writer *w, const struct head *head,
                    size_t batch_count, enum row_what what)
{
    OBS_CLEANUP(obs_freep) struct block_row *rows = NULL;
    size_t count = 0;
    size_t most = what == ROW_SPANS ? BLOCK_SPANS : BLOCK_ROWS_MAX;
    int r = sorted_rows(head, batch_count, what, &rows, &count);

    for (size_t i = 0; r == 0 && i < count; i += most) {
        size_t size = count - i < most ? count - i : most;

        r = what == ROW_SPANS ? block_write_spans(w, rows + i, size)
                              : block_write_lines(w, rows + i, size);
        if (r == 0)
            r = put_block(out, w);
    }
    return r;
}

static int put_index(struct output *out)
{
    struct trailer *t = &out->trailer;
    int r;

    if (out->index.has_failed)
        return -ENOMEM;
    memcpy(t->magic, MAGIC, sizeof(MAGIC));
    t->index_offset = out->offset;
    t->index_crc = bytes_crc32c(out->index.data, out->index.size);
    t->crc = bytes_crc32c(t, offsetof(struct trailer, crc));
    r = put(out, out->index.data, out->index.size);
    return r == 0 ? put(out, t, sizeof(*t)) : r;
}

static int write_file(int fd, const struct head *head, size_t batch_count)
{
    struct output out = {.fd = fd, .trailer.min_ns = UINT64_MAX};
    struct block_writer w = {0};
    int r = put(&out, MAGIC, sizeof(MAGIC));

    if (r == 0)
        r = put_rows(&out, &w, head, batch_count, ROW_SPANS);
    if (r == 0)
        r = put_rows(&out, &w, head, batch_count, ROW_LINES);
    if (r == 0)
        r = put_index(&out);
    if (r == 0 && fdatasync(fd) < 0)
        r = -errno;
    block_writer_done(&w);
    bytes_done(&out.index);
    return r;
}

int segment_write(const char *path, const struct head *head, size_t batch_count)
{
    OBS_CLEANUP(obs_freep) char *temporary = NULL;
    OBS_CLEANUP(obs_closep) int fd = -1;
    int r;

    if (asprintf(&temporary, "%s.tmp", path) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = write_file(fd, head, batch_count);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temporary);
        return r;
    }
    *strrchr(temporary, '/') = '\0'; /* its folder */
    return wal_sync_folder(temporary);
}

/* ---- opening ---- */

static bool read_at(int fd, void *data, size_t size, uint64_t offset)
{
    return pread(fd, data, size, (off_t)offset) == (ssize_t)size;
}

static bool block_is_inside(const struct block_info *info, uint64_t end)
{
    uint64_t size = ((uint64_t)info->trace_cells + info->value_cells) * FILTER_CELL;

    for (size_t i = 0; i < BLOCK_SECTIONS; i++)
        size += info->sections[i].stored_size;
    return info->offset >= sizeof(MAGIC) && info->offset <= end && size <= end - info->offset &&
           info->count > 0 && info->count <= BLOCK_ROWS_MAX &&
           (info->what == ROW_SPANS || info->what == ROW_LINES);
}

static int read_index(int fd, uint64_t size, struct segment *s)
{
    struct trailer t;
    size_t index_size;

    if (size < sizeof(MAGIC) + sizeof(t) || !read_at(fd, &t, sizeof(t), size - sizeof(t)) ||
        memcmp(t.magic, MAGIC, sizeof(MAGIC) - 1) != 0)
        return -EBADMSG;
    if (t.magic[7] != MAGIC[7])
        return -EPROTO;
    index_size = (size_t)t.block_count * sizeof(struct block_info);
    if (t.crc != bytes_crc32c(&t, offsetof(struct trailer, crc)) || t.block_count > BLOCKS_MAX ||
        t.index_offset > size || size - t.index_offset != index_size + sizeof(t))
        return -EBADMSG;
    s->blocks = malloc(index_size + 1);
    if (!s->blocks)
        return -ENOMEM;
    if (!read_at(fd, s->blocks, index_size, t.index_offset) ||
        bytes_crc32c(s->blocks, index_size) != t.index_crc)
        return -EBADMSG;
    for (size_t i = 0; i < t.block_count; i++)
        if (!block_is_inside(&s->blocks[i], t.index_offset))
            return -EBADMSG;
    s->block_count = t.block_count;
    s->min_ns = t.min_ns;
    s->max_ns = t.max_ns;
    s->span_count = t.span_count;
    s->line_count = t.line_count;
    s->size_bytes = size;
    return 0;
}

int segment_open(const char *path, uint64_t generation, struct segment **ret_segment)
{
    OBS_CLEANUP(obs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    OBS_CLEANUP(segment_unrefp) struct segment *s = NULL;
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    atomic_init(&s->references, 1);
    s->generation = generation;
    s->path = strdup(path);
    if (!s->path)
        return -ENOMEM;
    r = read_index(fd, (uint64_t)st.st_size, s);
    if (r < 0)
        return r;
    *ret_segment = OBS_TAKE(s);
    return 0;
}

/* ---- trace filters ---- */

static uint8_t **filters_read(const struct segment *s, int fd)
{
    uint8_t **filters = calloc(s->block_count + 1, sizeof(*filters));
    bool is_good = filters != NULL;

    for (size_t i = 0; is_good && i < s->block_count; i++) {
        const struct block_info *info = &s->blocks[i];
        size_t size = (size_t)info->trace_cells * FILTER_CELL;
        uint64_t offset = info->offset;

        for (size_t k = 0; k < BLOCK_SECTIONS; k++)
            offset += info->sections[k].stored_size;
        filters[i] = malloc(size + 1);
        is_good = filters[i] && read_at(fd, filters[i], size, offset);
    }
    if (is_good)
        return filters;
    filters_free(filters, s->block_count);
    return NULL;
}

bool segment_has_trace(struct segment *s, int fd, size_t block, uint64_t hash)
{
    uint8_t **filters = atomic_load(&s->trace_filters), **none = NULL;

    if (!filters) {
        filters = filters_read(s, fd);
        if (!filters)
            return true; /* what cannot be asked is looked at */
        if (!atomic_compare_exchange_strong(&s->trace_filters, &none, filters)) {
            filters_free(filters, s->block_count);
            filters = none;
        }
    }
    return filter_has(filters[block], s->blocks[block].trace_cells, hash);
}
