#include "base/clock.h"
#include "base/text.h"
#include "telemetry/logql.h"
#include "telemetry/logql_labels.h"
#include "telemetry/loki_batch_internal.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BATCH_MEMORY_MAX ((size_t)96 << 20)
#define OLDEST_NS (7 * 24 * 3600 * OBS_NS_PER_SECOND)
#define NEWEST_NS (600 * OBS_NS_PER_SECOND)

int loki_batch_new(uint64_t now_ns, struct loki_batch **ret_batch)
{
    struct loki_batch *batch = calloc(1, sizeof(*batch));
    int r;

    if (!batch)
        return -ENOMEM;
    batch->now_ns = now_ns;
    r = obs_arena_new(BATCH_MEMORY_MAX, &batch->arena);
    if (r < 0) {
        free(batch);
        return r;
    }
    *ret_batch = batch;
    return 0;
}

struct loki_batch *loki_batch_free(struct loki_batch *batch)
{
    if (!batch)
        return NULL;
    json_decref(batch->json);
    free(batch->plain);
    free(batch->lines);
    obs_arena_free(batch->arena);
    free(batch);
    return NULL;
}

const struct line_view *loki_batch_lines(const struct loki_batch *batch, size_t *ret_count)
{
    *ret_count = batch->count;
    return batch->lines;
}

size_t loki_batch_rejected(const struct loki_batch *batch, const struct obs_reason **ret_reason)
{
    *ret_reason = &batch->why;
    return batch->rejected;
}

static int by_name(const void *a, const void *b)
{
    return logql_text_compare(((const struct label *)a)->name, ((const struct label *)b)->name);
}

/* For reasons: the labels as a selector, cut to fit. */
static void show(const struct label *labels, size_t count, char *out, size_t capacity)
{
    size_t used = (size_t)snprintf(out, capacity, "{");

    for (size_t i = 0; i < count && used + 1 < capacity; i++) {
        int name = labels[i].name.size > 40 ? 40 : (int)labels[i].name.size;
        int value = labels[i].value.size > 40 ? 40 : (int)labels[i].value.size;

        used += (size_t)snprintf(out + used, capacity - used, "%s%.*s=\"%.*s\"", i > 0 ? ", " : "",
                                 name, labels[i].name.text, value, labels[i].value.text);
    }
    if (used + 1 < capacity)
        snprintf(out + used, capacity - used, "}");
}

static const char *find_fault(const struct label *labels, size_t count)
{
    if (count == 0)
        return "error at least one label pair is required per stream";
    if (count > LOKI_LABELS_MAX)
        return "it has more than 15 label names";
    for (size_t i = 0; i < count; i++) {
        if (!logql_is_label_name(labels[i].name))
            return "a label's name is not [a-zA-Z_][a-zA-Z0-9_]*";
        if (labels[i].name.size > LOKI_LABEL_NAME_MAX)
            return "a label's name has more than 1024 bytes";
        if (labels[i].value.size > LOKI_LABEL_VALUE_MAX)
            return "a label's value has more than 2048 bytes";
        if (!obs_text_is_utf8(labels[i].value.text, labels[i].value.size))
            return "a label's value is not UTF-8";
        if (i > 0 && text_equal(labels[i - 1].name, labels[i].name))
            return "a label is there twice";
    }
    return NULL;
}

static void reject(struct loki_batch *batch, const struct obs_reason *why)
{
    if (batch->rejected++ == 0)
        batch->why = *why;
}

void loki_batch_stream(struct loki_batch *batch, struct label *labels, size_t count,
                       struct loki_stream *ret_stream)
{
    const char *fault;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (labels[i].value.size > 0) /* an empty value is no label */
            labels[kept++] = labels[i];
    if (kept > 1)
        qsort(labels, kept, sizeof(*labels), by_name);
    *ret_stream = (struct loki_stream){.labels = labels, .count = kept};
    batch->streams++;
    show(labels, kept, ret_stream->shown, sizeof(ret_stream->shown));
    fault = find_fault(labels, kept);
    if (fault && batch->rejected == 0)
        obs_reason_set(&batch->why, "stream '%s': %s", ret_stream->shown, fault);
    ret_stream->is_bad = fault != NULL;
}

static bool check_metadata(struct label *metadata, size_t *count, struct obs_reason *why)
{
    size_t bytes = 0, kept = 0;

    for (size_t i = 0; i < *count; i++) {
        bytes += metadata[i].name.size + metadata[i].value.size;
        if (metadata[i].name.size > 0 && metadata[i].value.size > 0)
            metadata[kept++] = metadata[i];
    }
    if (*count > LOKI_METADATA_MAX)
        obs_reason_set(why, "has too many structured metadata labels: %zu, limit: %d", *count,
                       LOKI_METADATA_MAX);
    else if (bytes > LOKI_METADATA_BYTES_MAX)
        obs_reason_set(why, "has structured metadata of %zu bytes, limit: %d", bytes,
                       LOKI_METADATA_BYTES_MAX);
    *count = kept;
    return why->text[0] == '\0';
}

static void check_time(const struct loki_batch *batch, uint64_t time_ns, struct obs_reason *why)
{
    char shown[OBS_RFC3339_SIZE], bound[OBS_RFC3339_SIZE];

    if (time_ns + OLDEST_NS < batch->now_ns) {
        obs_time_rfc3339(time_ns, shown);
        obs_time_rfc3339(batch->now_ns - OLDEST_NS, bound);
        obs_reason_set(why, "has timestamp too old: %s, oldest acceptable timestamp is: %s", shown,
                       bound);
    } else if (time_ns > batch->now_ns + NEWEST_NS) {
        obs_reason_set(why, "has timestamp too new: it is over ten minutes ahead");
    }
}

static int add(struct loki_batch *batch, const struct line_view *line)
{
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity ? batch->capacity * 2 : 256;
        struct line_view *more = realloc(batch->lines, capacity * sizeof(*more));

        if (!more)
            return -ENOMEM;
        batch->lines = more;
        batch->capacity = capacity;
    }
    batch->lines[batch->count++] = *line;
    return 0;
}

int loki_batch_line(struct loki_batch *batch, const struct loki_stream *stream, uint64_t time_ns,
                    struct text_view line, struct label *metadata, size_t metadata_count)
{
    struct obs_reason fault = {0}, why = {0};

    if (stream->is_bad) {
        reject(batch, &batch->why); /* told by loki_batch_stream() */
        return 0;
    }
    if (line.size > LOKI_LINE_MAX)
        obs_reason_set(&fault, "Max entry size '%d' bytes exceeded with a length of '%zu' bytes",
                       LOKI_LINE_MAX, line.size);
    else
        check_time(batch, time_ns, &fault);
    if (fault.text[0] == '\0' && check_metadata(metadata, &metadata_count, &fault))
        return add(batch, &(struct line_view){.time_ns = time_ns,
                                              .line = line,
                                              .labels = stream->labels,
                                              .label_count = stream->count,
                                              .metadata = metadata,
                                              .metadata_count = metadata_count,
                                              .stream = batch->streams});
    obs_reason_set(&why, "entry for stream '%s' %s", stream->shown, fault.text);
    reject(batch, &why);
    return 0;
}
