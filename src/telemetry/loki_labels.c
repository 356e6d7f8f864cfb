/* What there is: labels, their values, streams, and how much of it. */
#include "base/clock.h"
#include "telemetry/logql_pipeline.h"
#include "telemetry/loki_api.h"
#include "telemetry/loki_params.h"
#include "telemetry/loki_reply.h"
#include "telemetry/telemetry.h"
#include <inttypes.h>
#include <string.h>

enum { TEXTS_MAX = 20000, STREAMS_MAX = 20000 };
#define STATS_TIME_NS (500 * OBS_NS_PER_MS)

struct texts { /* distinct, sorted at the end; in the request's arena */
    struct text_view *texts;
    size_t count, capacity;
    struct obs_arena *arena;
    bool is_full;
};

static int by_text(const void *a, const void *b)
{
    return logql_text_compare(*(const struct text_view *)a, *(const struct text_view *)b);
}

static enum store_next add_text(struct text_view text, void *userdata)
{
    struct texts *t = userdata;

    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : 64;
        struct text_view *more = realloc(t->texts, capacity * sizeof(*more));

        if (!more || t->count >= TEXTS_MAX) {
            if (more)
                t->texts = more;
            t->is_full = true;
            return STORE_STOP;
        }
        t->texts = more;
        t->capacity = capacity;
    }
    text.text = obs_arena_copy(t->arena, text.text, text.size);
    t->is_full = !text.text;
    if (t->is_full)
        return STORE_STOP;
    t->texts[t->count++] = text;
    return STORE_GO_ON;
}

static void sort_texts(struct texts *t)
{
    size_t kept = 0;

    if (t->count > 1)
        qsort(t->texts, t->count, sizeof(*t->texts), by_text);
    for (size_t i = 0; i < t->count; i++)
        if (i == 0 || !text_equal(t->texts[kept - 1], t->texts[i]))
            t->texts[kept++] = t->texts[i];
    t->count = kept;
}

static void reply_texts(struct obs_http_request *request, struct texts *t)
{
    struct obs_buffer b = OBS_BUFFER_INIT(LOKI_REPLY_MAX);
    struct obs_reason why = {0};

    if (t->is_full) {
        obs_reason_set(&why,
                       "more than %d values or too much text: narrow it with query=", TEXTS_MAX);
        loki_reply_refusal(request, 400, &why);
        return;
    }
    sort_texts(t);
    obs_buffer_append_text(&b, "{\"status\":\"success\",\"data\":[");
    for (size_t i = 0; i < t->count; i++) {
        if (i > 0)
            obs_buffer_append_char(&b, ',');
        obs_buffer_append_json(&b, t->texts[i].text, t->texts[i].size);
    }
    obs_buffer_append_text(&b, "]}");
    loki_reply_body(request, &b);
}

/* ---- what all of them read ---- */

struct asked {
    const struct telemetry *telemetry;
    const char *tenant;
    struct loki_params params;
    struct logql_range range;
    struct obs_reason why;
    struct obs_arena *arena; /* freed by done() */
};

static bool start(struct obs_http_request *request, void *userdata, struct asked *asked)
{
    int r;

    asked->telemetry = userdata;
    asked->tenant = telemetry_tenant(request, asked->telemetry);
    if (!asked->tenant)
        return false;
    r = loki_params_read(request, &asked->params, &asked->why);
    if (r == 0)
        r = loki_param_range(&asked->params, 6 * 3600 * OBS_NS_PER_SECOND, &asked->range);
    if (r == 0 && obs_arena_new(LOGQL_MEMORY_MAX / 2, &asked->arena) < 0)
        r = 500;
    if (r != 0)
        loki_reply_refusal(request, r, &asked->why);
    return r == 0;
}

static int parse_selector(struct asked *asked, const char *text, struct logql_query **ret_query,
                          struct line_query *ret_line_query)
{
    int r = logql_parse_selector(text, strlen(text), ret_query, &asked->why);

    if (r == LOGQL_OK)
        r = logql_line_query(*ret_query, asked->arena, ret_line_query);
    ret_line_query->from_ns = asked->range.start_ns;
    ret_line_query->until_ns = asked->range.end_ns;
    return r;
}

/* ---- labels ---- */

struct gather { /* from streams: label names, or the values of one */
    struct texts texts;
    struct text_view name; /* size 0: names */
};

static enum store_next gather_stream(const struct line_view *stream, void *userdata)
{
    struct gather *g = userdata;

    if (g->texts.count > TEXTS_MAX / 2)
        sort_texts(&g->texts); /* many streams have the same few */
    for (size_t i = 0; i < stream->label_count; i++) {
        bool wanted = g->name.size == 0 || text_equal(stream->labels[i].name, g->name);
        struct text_view text =
            g->name.size == 0 ? stream->labels[i].name : stream->labels[i].value;

        if (wanted && add_text(text, &g->texts) == STORE_STOP)
            return STORE_STOP;
    }
    return STORE_GO_ON;
}

static int gather(struct asked *asked, struct gather *g)
{
    const char *selector = loki_param(&asked->params, "query");
    OBS_CLEANUP(logql_query_freep) struct logql_query *query = NULL;
    struct line_query line_query = {0};
    int r;

    if (!selector || *selector == '\0' || strcmp(selector, "{}") == 0) {
        if (g->name.size > 0)
            return store_label_values(asked->telemetry->store, asked->tenant, g->name,
                                      asked->range.start_ns, asked->range.end_ns, add_text,
                                      &g->texts);
        return store_label_names(asked->telemetry->store, asked->tenant, asked->range.start_ns,
                                 asked->range.end_ns, add_text, &g->texts);
    }
    r = parse_selector(asked, selector, &query, &line_query);
    return r != LOGQL_OK ? r
                         : store_streams(asked->telemetry->store, asked->tenant, &line_query,
                                         gather_stream, g);
}

static void answer_texts(struct obs_http_request *request, void *userdata, const char *name)
{
    struct asked asked = {0};
    struct gather g = {0};

    if (start(request, userdata, &asked)) {
        int r;

        g.texts.arena = asked.arena;
        g.name = (struct text_view){name, strlen(name)};
        r = gather(&asked, &g);
        if (r != 0)
            loki_reply_outcome(request, r, &asked.why);
        else
            reply_texts(request, &g.texts);
    }
    free(g.texts.texts);
    obs_arena_free(asked.arena);
}

void loki_labels(struct obs_http_request *request, void *userdata)
{
    answer_texts(request, userdata, "");
}

void loki_label_values(struct obs_http_request *request, void *userdata)
{
    const char *name = obs_http_param(request, "name");

    if (name && logql_is_label_name((struct text_view){name, strlen(name)})) {
        answer_texts(request, userdata, name);
    } else {
        struct obs_reason why = {0};

        obs_reason_set(&why, "invalid label name \"%.60s\"", name ? name : "");
        loki_reply_refusal(request, 400, &why);
    }
}

/* ---- series ---- */

struct series {
    struct obs_buffer body;
    uint64_t *seen; /* hash table of what is in the body, [SLOTS] */
    size_t count;
    bool is_full;
};
enum { SLOTS = 65536 };

/* Two selectors may find the same stream; it is told by the hash of its JSON. */
static bool is_new(struct series *s, const char *json, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    size_t slot;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)json[i]) * 0x100000001b3ULL;
    hash |= 1;
    for (slot = (hash >> 13) % SLOTS; s->seen[slot]; slot = (slot + 1) % SLOTS)
        if (s->seen[slot] == hash)
            return false;
    s->seen[slot] = hash;
    return true;
}

static enum store_next add_series(const struct line_view *stream, void *userdata)
{
    struct series *s = userdata;
    size_t before = s->body.size;

    if (s->count == STREAMS_MAX) {
        s->is_full = true;
        return STORE_STOP;
    }
    if (s->count > 0)
        obs_buffer_append_char(&s->body, ',');
    loki_put_labels(&s->body, stream->labels, stream->label_count);
    if (s->body.error)
        return STORE_STOP;
    if (is_new(s, s->body.data + before + (s->count > 0), s->body.size - before - (s->count > 0)))
        s->count++;
    else
        s->body.size = before;
    return STORE_GO_ON;
}

static int find_series(struct asked *asked, struct series *s)
{
    bool has_match = false;
    int r = 0;

    for (size_t i = 0; i < asked->params.count && r == 0; i++) {
        OBS_CLEANUP(logql_query_freep) struct logql_query *query = NULL;
        struct line_query line_query = {0};

        if (strcmp(asked->params.params[i].name, "match[]") != 0 &&
            strcmp(asked->params.params[i].name, "match") != 0)
            continue;
        has_match = true;
        r = parse_selector(asked, asked->params.params[i].value, &query, &line_query);
        if (r == LOGQL_OK)
            r = store_streams(asked->telemetry->store, asked->tenant, &line_query, add_series, s);
    }
    if (r == 0 && !has_match) {
        obs_reason_set(&asked->why, "0 matcher groups supplied: at least one match[] is needed");
        return LOGQL_REFUSED;
    }
    if (r == 0 && s->is_full) {
        obs_reason_set(&asked->why, "more than %d streams fit: narrow match[]", STREAMS_MAX);
        return LOGQL_REFUSED;
    }
    return r;
}

void loki_series(struct obs_http_request *request, void *userdata)
{
    struct asked asked = {0};
    struct series s = {.body = OBS_BUFFER_INIT(LOKI_REPLY_MAX)};

    if (start(request, userdata, &asked)) {
        int r;

        s.seen = obs_arena_alloc(asked.arena, SLOTS * sizeof(*s.seen));
        obs_buffer_append_text(&s.body, "{\"status\":\"success\",\"data\":[");
        r = s.seen ? find_series(&asked, &s) : -1;
        obs_buffer_append_text(&s.body, "]}");
        if (r != 0)
            loki_reply_outcome(request, r, &asked.why);
        else
            loki_reply_body(request, &s.body);
    }
    obs_buffer_done(&s.body);
    obs_arena_free(asked.arena);
}

/* ---- index/stats ---- */

struct index_stats {
    uint64_t streams, entries, bytes, deadline_ns, from_ns, until_ns, last_ns;
    bool is_cut;
};

static enum store_next count_stream(const struct line_view *stream, void *userdata)
{
    ((struct index_stats *)userdata)->streams++;
    return STORE_GO_ON;
}

static enum store_next count_line(const struct line_view *line, void *userdata)
{
    struct index_stats *stats = userdata;

    stats->entries++;
    stats->bytes += line->line.size;
    stats->last_ns = line->time_ns;
    stats->is_cut = stats->entries % 256 == 0 && obs_mono_ns() > stats->deadline_ns;
    return stats->is_cut ? STORE_STOP : STORE_GO_ON;
}

/* Counting ends after half a second; then the rest of the time range is taken to be as full. */
static void extrapolate(struct index_stats *stats)
{
    double seen = (double)(stats->until_ns - stats->last_ns),
           all = (double)(stats->until_ns - stats->from_ns);

    if (!stats->is_cut || seen <= 0)
        return;
    stats->entries = (uint64_t)((double)stats->entries * all / seen);
    stats->bytes = (uint64_t)((double)stats->bytes * all / seen);
}

void loki_index_stats(struct obs_http_request *request, void *userdata)
{
    struct asked asked = {0};
    struct index_stats stats = {.deadline_ns = obs_mono_ns() + STATS_TIME_NS};
    struct logql_query *query = NULL;

    if (start(request, userdata, &asked)) {
        const char *selector = loki_param(&asked.params, "query");
        struct line_query line_query = {0};
        int r = parse_selector(&asked, selector ? selector : "", &query, &line_query);

        stats.from_ns = line_query.from_ns;
        stats.until_ns = line_query.until_ns;
        if (r == 0)
            r = store_streams(asked.telemetry->store, asked.tenant, &line_query, count_stream,
                              &stats);
        if (r == 0)
            r = store_scan_lines(asked.telemetry->store, asked.tenant, &line_query, count_line,
                                 &stats);
        if (r != 0) {
            loki_reply_outcome(request, r, &asked.why);
        } else {
            struct obs_buffer b = OBS_BUFFER_INIT(4096);

            extrapolate(&stats);
            obs_buffer_printf(&b,
                              "{\"streams\":%" PRIu64 ",\"chunks\":%" PRIu64 ",\"entries\":%" PRIu64
                              ",\"bytes\":%" PRIu64 "}",
                              stats.streams, stats.streams, stats.entries, stats.bytes);
            loki_reply_body(request, &b);
        }
    }
    logql_query_free(query);
    obs_arena_free(asked.arena);
}
