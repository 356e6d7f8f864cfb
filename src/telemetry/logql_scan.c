#include "telemetry/logql_scan.h"
#include "base/clock.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int logql_scan_store(void *userdata, const struct line_query *query, store_line_fn *fn,
                     void *fn_userdata)
{
    const struct logql_store_source *source = userdata;

    return store_scan_lines(source->store, source->tenant, query, fn, fn_userdata);
}

static bool matches(const void *regex, struct text_view value)
{
    return regex_matches(regex, value);
}

static int make_query(const struct logql_log *log, struct obs_arena *arena,
                      struct line_query *ret_query)
{
    struct matcher *matchers = obs_arena_alloc(arena, (log->matcher_count + 1) * sizeof(*matchers));

    if (!matchers)
        return -ENOMEM;
    for (size_t i = 0; i < log->matcher_count; i++)
        matchers[i] = (struct matcher){.name = log->matchers[i].name,
                                       .value = log->matchers[i].value,
                                       .op = log->matchers[i].op,
                                       .regex = log->matchers[i].regex};
    *ret_query = (struct line_query){
        .matchers = matchers, .matcher_count = log->matcher_count, .regex_matches = matches};
    logql_hints(log, &ret_query->contains, &ret_query->metadata_equals);
    return 0;
}

int logql_line_query(const struct logql_query *query, struct obs_arena *arena,
                     struct line_query *ret_query)
{
    return make_query(&query->root->log, arena, ret_query);
}

enum store_next logql_scan_refuse(struct logql_scan *scan, int result, const char *format, ...)
{
    char text[sizeof(scan->reason->text)];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (scan->result == LOGQL_OK) {
        scan->result = result;
        obs_reason_set(scan->reason, "%s", text);
    }
    return STORE_STOP;
}

static enum store_next take_line(const struct line_view *line, void *userdata)
{
    struct logql_scan *scan = userdata;
    struct text_view out;

    scan->stats->lines++;
    scan->stats->bytes += line->line.size;
    if (scan->stats->lines % 128 == 0 && obs_mono_ns() > scan->deadline_ns)
        return logql_scan_refuse(scan, LOGQL_TIMEOUT,
                                 "request timed out, decrease the duration of the request or add "
                                 "more label matchers (exact match preferred) to reduce the amount "
                                 "of data processed");
    if (scan->stats->lines > LOGQL_LINES_MAX)
        return logql_scan_refuse(scan, LOGQL_REFUSED, "the query reads more than %llu lines",
                                 LOGQL_LINES_MAX);
    switch (logql_pipeline_run(scan->pipeline, line, &out)) {
    case LINE_DROPPED:
        return STORE_GO_ON;
    case LINE_TOO_LARGE:
        return logql_scan_refuse(scan, LOGQL_REFUSED,
                                 "a line takes more than 4 MiB or 256 labels in this pipeline");
    case LINE_KEPT:
        break;
    }
    scan->stats->kept++;
    return scan->fn(scan, line->time_ns, out, scan->userdata);
}

int logql_scan_run(struct logql_scan *scan)
{
    struct line_query query;
    int r;

    r = make_query(scan->log, scan->arena, &query);
    if (r < 0)
        return r;
    query.from_ns = scan->from_ns;
    query.until_ns = scan->until_ns;
    query.is_forward = scan->is_forward;
    r = logql_pipeline_new(scan->log, &scan->pipeline);
    if (r < 0)
        return r;
    if (scan->from_ns < scan->until_ns)
        r = scan->source->scan(scan->source->userdata, &query, take_line, scan);
    scan->pipeline = logql_pipeline_free(scan->pipeline);
    return scan->result != LOGQL_OK ? scan->result : r < 0 ? r : LOGQL_OK;
}

int logql_check_regexes(const struct logql_query *query, struct obs_reason *reterr_reason)
{
    for (size_t i = 0; i < query->regex_count; i++) {
        if (regex_gave_up(query->regexes[i])) {
            obs_reason_set(reterr_reason,
                           "a regular expression of the query takes too many steps on some line: "
                           "nested repetitions are a usual cause");
            return LOGQL_REFUSED;
        }
    }
    return LOGQL_OK;
}

/* ---- label sets ---- */

struct label *logql_copy_labels(struct obs_arena *arena, const struct label *labels, size_t count)
{
    size_t size = 0;
    struct label *copy;
    char *text;

    for (size_t i = 0; i < count; i++)
        size += labels[i].name.size + labels[i].value.size;
    copy = obs_arena_alloc(arena, (count + 1) * sizeof(*copy));
    text = obs_arena_alloc(arena, size + 1);
    if (!copy || !text)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        copy[i].name = (struct text_view){text, labels[i].name.size};
        memcpy(text, labels[i].name.text, labels[i].name.size);
        text += labels[i].name.size;
        copy[i].value = (struct text_view){text, labels[i].value.size};
        if (labels[i].value.size > 0)
            memcpy(text, labels[i].value.text, labels[i].value.size);
        text += labels[i].value.size;
    }
    return copy;
}

static uint64_t hash_text(uint64_t hash, struct text_view text)
{
    size_t i = 0;

    hash ^= text.size;
    for (; i + 8 <= text.size; i += 8) {
        uint64_t word;

        memcpy(&word, text.text + i, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
    }
    for (; i < text.size; i++)
        hash = (hash ^ (unsigned char)text.text[i]) * 0x100000001b3ULL;
    return hash ^ hash >> 32;
}

uint64_t logql_hash_labels(const struct label *labels, size_t count)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < count; i++)
        hash = hash_text(hash_text(hash, labels[i].name) * 0x9e3779b97f4a7c15ULL, labels[i].value);
    return hash;
}

bool logql_labels_equal(const struct label *a, size_t a_count, const struct label *b,
                        size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!text_equal(a[i].name, b[i].name) || !text_equal(a[i].value, b[i].value))
            return false;
    return true;
}
