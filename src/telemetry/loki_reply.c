#include "telemetry/loki_reply.h"
#include "base/clock.h"
#include "base/http1.h"
#include "base/text.h"
#include <inttypes.h>
#include <string.h>

static const char PLAIN[] = "text/plain; charset=utf-8";

void loki_reply_refusal(struct obs_http_request *request, int status,
                        const struct obs_reason *reason)
{
    const char *text = reason->text[0] ? reason->text : obs_http1_status_text(status);

    obs_http_reply(request, status, PLAIN, text, strlen(text));
}

void loki_reply_outcome(struct obs_http_request *request, int outcome,
                        const struct obs_reason *reason)
{
    loki_reply_refusal(request,
                       outcome == LOGQL_REFUSED   ? 400
                       : outcome == LOGQL_TIMEOUT ? 504
                                                  : 500,
                       reason);
}

void loki_reply_body(struct obs_http_request *request, struct obs_buffer *body)
{
    if (body->error) {
        struct obs_reason why = {0};

        obs_reason_set(&why, "the answer is larger than 64 MiB: ask for less");
        loki_reply_refusal(request, 400, &why);
        obs_buffer_done(body);
        return;
    }
    obs_http_reply_buffer(request, 200, "application/json; charset=UTF-8", body);
}

void loki_put_labels(struct obs_buffer *b, const struct label *labels, size_t count)
{
    obs_buffer_append_char(b, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            obs_buffer_append_char(b, ',');
        obs_buffer_append_json(b, labels[i].name.text, labels[i].name.size);
        obs_buffer_append_char(b, ':');
        obs_buffer_append_json(b, labels[i].value.text, labels[i].value.size);
    }
    obs_buffer_append_char(b, '}');
}

static void put_stats(struct obs_buffer *b, struct obs_http_request *request,
                      const struct logql_stats *stats, size_t returned)
{
    double seconds = (double)obs_http_elapsed_ns(request) / 1e9;
    double rate = seconds > 0 ? 1 / seconds : 0;

    obs_buffer_printf(b,
                      "\"stats\":{\"summary\":{\"bytesProcessedPerSecond\":%.0f,"
                      "\"linesProcessedPerSecond\":%.0f,\"totalBytesProcessed\":%" PRIu64
                      ",\"totalLinesProcessed\":%" PRIu64
                      ",\"execTime\":%.6f,\"queueTime\":%.6f,\"subqueries\":0,"
                      "\"totalEntriesReturned\":%zu,\"splits\":0,\"shards\":0,"
                      "\"totalPostFilterLines\":%" PRIu64 "}}",
                      (double)stats->bytes * rate, (double)stats->lines * rate, stats->bytes,
                      stats->lines, seconds, (double)obs_http_waited_ns(request) / 1e9, returned,
                      stats->kept);
}

/* ---- lines ---- */

static void put_entry(struct obs_buffer *b, const struct logql_result_entry *entry,
                      bool is_categorized)
{
    obs_buffer_printf(b, "[\"%" PRIu64 "\",", entry->time_ns);
    obs_buffer_append_json(b, entry->line.text, entry->line.size);
    if (is_categorized) {
        obs_buffer_append_text(b, ",{");
        if (entry->metadata_count > 0) {
            obs_buffer_append_text(b, "\"structuredMetadata\":");
            loki_put_labels(b, entry->metadata, entry->metadata_count);
        }
        if (entry->parsed_count > 0) {
            obs_buffer_append_text(b, entry->metadata_count > 0 ? ",\"parsed\":" : "\"parsed\":");
            loki_put_labels(b, entry->parsed, entry->parsed_count);
        }
        obs_buffer_append_char(b, '}');
    }
    obs_buffer_append_char(b, ']');
}

/* Entries of each stream, chained in order: one pass over the entries for all streams. */
static size_t *chain(const struct logql_lines *lines, size_t **ret_first)
{
    size_t *next = calloc(lines->count + lines->stream_count + 1, sizeof(*next));
    size_t *first = next ? next + lines->count : NULL;

    for (size_t i = lines->count; next && i-- > 0;) {
        next[i] = first[lines->entries[i].stream];
        first[lines->entries[i].stream] = i + 1;
    }
    *ret_first = first;
    return next;
}

void loki_reply_lines(struct obs_http_request *request, const struct logql_lines *lines)
{
    struct obs_buffer b = OBS_BUFFER_INIT(LOKI_REPLY_MAX);
    size_t *first, *next = chain(lines, &first);

    if (!next)
        b.error = -1;
    obs_buffer_append_text(&b, "{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",");
    if (lines->is_categorized)
        obs_buffer_append_text(&b, "\"encodingFlags\":[\"categorize-labels\"],");
    obs_buffer_append_text(&b, "\"result\":[");
    for (size_t i = 0; next && i < lines->stream_count; i++) {
        obs_buffer_append_text(&b, i > 0 ? ",{\"stream\":" : "{\"stream\":");
        loki_put_labels(&b, lines->streams[i].labels, lines->streams[i].label_count);
        obs_buffer_append_text(&b, ",\"values\":[");
        for (size_t at = first[i]; at > 0; at = next[at - 1]) {
            if (at != first[i])
                obs_buffer_append_char(&b, ',');
            put_entry(&b, &lines->entries[at - 1], lines->is_categorized);
        }
        obs_buffer_append_text(&b, "]}");
    }
    obs_buffer_append_text(&b, "],");
    put_stats(&b, request, &lines->stats, lines->count);
    obs_buffer_append_text(&b, "}}");
    free(next);
    loki_reply_body(request, &b);
}

/* ---- numbers ---- */

static void put_sample(struct obs_buffer *b, const struct logql_numbers *numbers, size_t step,
                       double value)
{
    uint64_t ms = (numbers->start_ns + step * numbers->step_ns) / OBS_NS_PER_MS;
    char text[OBS_TEXT_NUMBER_SIZE];

    obs_buffer_printf(b, "[%" PRIu64, ms / 1000);
    if (ms % 1000 > 0)
        obs_buffer_printf(b, ".%03" PRIu64, ms % 1000);
    obs_buffer_printf(b, ",\"%s\"]", obs_text_number(value, text));
}

static void put_series(struct obs_buffer *b, const struct logql_numbers *numbers,
                       const struct logql_series *series, bool is_instant)
{
    bool is_first = true;

    obs_buffer_append_text(b, "{\"metric\":");
    loki_put_labels(b, series->labels, series->label_count);
    obs_buffer_append_text(b, is_instant ? ",\"value\":" : ",\"values\":[");
    for (size_t k = 0; k < numbers->steps; k++) {
        if (!series->has[k])
            continue;
        if (!is_first)
            obs_buffer_append_char(b, ',');
        is_first = false;
        put_sample(b, numbers, k, series->values[k]);
    }
    obs_buffer_append_text(b, is_instant ? "}" : "]}");
}

void loki_reply_numbers(struct obs_http_request *request, const struct logql_numbers *numbers,
                        bool is_instant)
{
    struct obs_buffer b = OBS_BUFFER_INIT(LOKI_REPLY_MAX);
    bool is_scalar = numbers->is_scalar && is_instant;

    obs_buffer_printf(&b, "{\"status\":\"success\",\"data\":{\"resultType\":\"%s\",\"result\":",
                      is_scalar    ? "scalar"
                      : is_instant ? "vector"
                                   : "matrix");
    if (is_scalar) {
        put_sample(&b, numbers, 0, numbers->series[0]->values[0]);
    } else {
        obs_buffer_append_char(&b, '[');
        for (size_t i = 0; i < numbers->count; i++) {
            if (i > 0)
                obs_buffer_append_char(&b, ',');
            put_series(&b, numbers, numbers->series[i], is_instant);
        }
        obs_buffer_append_char(&b, ']');
    }
    obs_buffer_append_char(&b, ',');
    put_stats(&b, request, &numbers->stats, numbers->count);
    obs_buffer_append_text(&b, "}}");
    loki_reply_body(request, &b);
}
