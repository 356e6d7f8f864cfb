/* Log queries: the lines that pass, up to the limit, under their label sets. */
#include "base/arena.h"
#include "telemetry/logql_scan.h"
#include <errno.h>
#include <string.h>

struct collector {
    struct logql_lines *out;
    const struct logql_range *range;
    uint64_t *hashes; /* of out->streams */
    size_t *slots;    /* hash table: stream index + 1; SLOTS long */
    uint64_t last_ns;
    bool has_last;
};

enum { SLOTS = 16384 }; /* more than twice LOGQL_ENTRIES_MAX */

struct logql_lines *logql_lines_free(struct logql_lines *lines)
{
    if (!lines)
        return NULL;
    obs_arena_free(lines->arena);
    free(lines);
    return NULL;
}

static size_t pick(const struct logql_labels *labels, unsigned kinds, struct label *out)
{
    size_t count = 0;

    for (size_t i = 0; i < labels->count; i++)
        if (kinds & 1u << labels->entries[i].kind)
            out[count++] = (struct label){labels->entries[i].name, labels->entries[i].value};
    return count;
}

/* Index of the stream with these labels; made when it is new. SIZE_MAX: no memory. */
static size_t find_stream(struct collector *c, const struct label *labels, size_t count)
{
    uint64_t hash = logql_hash_labels(labels, count);
    struct logql_lines *out = c->out;
    size_t slot = hash % SLOTS;

    for (; c->slots[slot] > 0; slot = (slot + 1) % SLOTS) {
        size_t at = c->slots[slot] - 1;

        if (c->hashes[at] == hash &&
            logql_labels_equal(out->streams[at].labels, out->streams[at].label_count, labels,
                               count))
            return at;
    }
    out->streams[out->stream_count].labels = logql_copy_labels(out->arena, labels, count);
    if (!out->streams[out->stream_count].labels)
        return SIZE_MAX;
    out->streams[out->stream_count].label_count = count;
    c->hashes[out->stream_count] = hash;
    c->slots[slot] = ++out->stream_count;
    return out->stream_count - 1;
}

static bool is_skipped(struct collector *c, uint64_t time_ns)
{
    uint64_t distance = time_ns > c->last_ns ? time_ns - c->last_ns : c->last_ns - time_ns;

    if (c->range->interval_ns > 0 && c->has_last && distance < c->range->interval_ns)
        return true;
    c->has_last = true;
    c->last_ns = time_ns;
    return false;
}

static bool add_beside(struct logql_lines *out, const struct logql_labels *labels,
                       enum logql_label_kind kind, const struct label **ret_labels,
                       size_t *ret_count)
{
    struct label picked[LOGQL_LABELS_MAX];

    *ret_count = pick(labels, 1u << kind, picked);
    *ret_labels = logql_copy_labels(out->arena, picked, *ret_count);
    return *ret_labels != NULL;
}

static enum store_next take(struct logql_scan *scan, uint64_t time_ns, struct text_view line,
                            void *userdata)
{
    struct collector *c = userdata;
    struct logql_lines *out = c->out;
    struct logql_result_entry *entry = &out->entries[out->count];
    struct logql_labels *labels = logql_pipeline_labels(scan->pipeline);
    struct label key[LOGQL_LABELS_MAX];
    size_t count;

    if (is_skipped(c, time_ns))
        return STORE_GO_ON;
    logql_labels_sort(labels);
    count = pick(labels, out->is_categorized ? 1u << LABEL_STREAM : ~0u, key);
    entry->time_ns = time_ns;
    entry->stream = find_stream(c, key, count);
    entry->line = (struct text_view){obs_arena_copy(out->arena, line.text, line.size), line.size};
    if (entry->stream == SIZE_MAX || !entry->line.text ||
        (out->is_categorized &&
         !(add_beside(out, labels, LABEL_METADATA, &entry->metadata, &entry->metadata_count) &&
           add_beside(out, labels, LABEL_PARSED, &entry->parsed, &entry->parsed_count))))
        return logql_scan_refuse(scan, LOGQL_REFUSED,
                                 "the answer takes more than 48 MiB: ask for fewer lines");
    out->streams[entry->stream].entries++;
    return ++out->count == c->range->limit ? STORE_STOP : STORE_GO_ON;
}

static int allocate(struct collector *c, unsigned limit)
{
    struct logql_lines *out = c->out;

    out->streams = obs_arena_alloc(out->arena, (limit + 1) * sizeof(*out->streams));
    out->entries = obs_arena_alloc(out->arena, (limit + 1) * sizeof(*out->entries));
    c->hashes = obs_arena_alloc(out->arena, (limit + 1) * sizeof(*c->hashes));
    c->slots = obs_arena_alloc(out->arena, SLOTS * sizeof(*c->slots));
    return out->streams && out->entries && c->hashes && c->slots ? 0 : -ENOMEM;
}

int logql_run_lines(const struct logql_query *query, const struct logql_source *source,
                    const struct logql_range *range, bool is_categorized,
                    struct logql_lines **ret_lines, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(logql_lines_freep) struct logql_lines *out = calloc(1, sizeof(*out));
    struct collector collector = {.out = out, .range = range};
    struct logql_scan scan = {.source = source,
                              .log = &query->root->log,
                              .from_ns = range->start_ns,
                              .until_ns = range->end_ns,
                              .is_forward = range->is_forward,
                              .deadline_ns = range->deadline_ns,
                              .reason = reterr_reason,
                              .fn = take,
                              .userdata = &collector};
    int r;

    if (!out)
        return -ENOMEM;
    r = obs_arena_new(LOGQL_MEMORY_MAX, &out->arena);
    if (r == 0)
        r = allocate(&collector, range->limit);
    if (r < 0)
        return r;
    out->is_categorized = is_categorized;
    scan.arena = out->arena;
    scan.stats = &out->stats;
    if (range->limit > 0)
        r = logql_scan_run(&scan);
    if (r == LOGQL_OK)
        r = logql_check_regexes(query, reterr_reason);
    if (r != LOGQL_OK)
        return r;
    *ret_lines = OBS_TAKE(out);
    return LOGQL_OK;
}
