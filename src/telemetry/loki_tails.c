#include "telemetry/loki_tails.h"
#include "base/mailbox.h"
#include "telemetry/logql_pipeline.h"
#include "telemetry/logql_scan.h"
#include "telemetry/loki_api.h"
#include "telemetry/loki_params.h"
#include "telemetry/loki_reply.h"
#include "telemetry/telemetry.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum { EVENT_MAX = 256 << 10 };

struct tail {
    struct loki_tails *tails;
    uint64_t id;
    char tenant[STORE_TENANT_MAX + 1];
    struct logql_query *query;
    struct logql_pipeline *pipeline;
    struct obs_http_stream *stream; /* loop's thread only */
    size_t pending;                 /* bytes in letters */
    uint64_t dropped;               /* lines, not yet told */
    bool is_failed;                 /* its last letter is on the way */
    struct tail *next;
};

struct loki_tails {
    struct store *store;
    struct obs_mailbox *mailbox;
    pthread_mutex_t mutex; /* of everything below */
    struct tail *first;
    unsigned count;
    uint64_t last_id;
};

struct letter { /* an event for one tail; the tail may be gone when it arrives */
    struct loki_tails *tails;
    uint64_t id;
    struct obs_buffer event;
    size_t lines;
    bool is_last;
};

static struct tail *tail_free(struct tail *tail)
{
    if (!tail)
        return NULL;
    logql_pipeline_free(tail->pipeline);
    logql_query_free(tail->query);
    free(tail);
    return NULL;
}

/* Takes it out of the list; the caller frees it. NULL: it is gone already. */
static struct tail *take_out(struct loki_tails *tails, uint64_t id)
{
    struct tail *found = NULL;

    pthread_mutex_lock(&tails->mutex);
    for (struct tail **at = &tails->first; *at; at = &(*at)->next) {
        if ((*at)->id == id) {
            found = *at;
            *at = found->next;
            tails->count--;
            break;
        }
    }
    pthread_mutex_unlock(&tails->mutex);
    return found;
}

static void letter_free(struct letter *letter)
{
    obs_buffer_done(&letter->event);
    free(letter);
}

/* ---- the loop's side ---- */

static void deliver(void *userdata)
{
    struct letter *letter = userdata;
    struct loki_tails *tails = letter->tails;
    struct obs_http_stream *stream = NULL;
    struct tail *tail;
    int r = OBS_HTTP_STREAM_OK;

    pthread_mutex_lock(&tails->mutex);
    for (tail = tails->first; tail && tail->id != letter->id; tail = tail->next)
        ;
    if (tail) {
        tail->pending -= letter->event.size;
        stream = tail->stream;
    }
    pthread_mutex_unlock(&tails->mutex);
    /* Only this thread takes tails out: it is still there. */
    if (tail)
        r = obs_http_stream_write(stream, letter->event.data, letter->event.size);
    if (tail && r == OBS_HTTP_STREAM_FULL) {
        pthread_mutex_lock(&tails->mutex);
        tail->dropped += letter->lines;
        pthread_mutex_unlock(&tails->mutex);
    }
    if (tail && letter->is_last) {
        tail_free(take_out(tails, letter->id));
        obs_http_stream_end(stream);
    }
    letter_free(letter);
}

static void gone(void *userdata)
{
    struct tail *tail = userdata;

    tail_free(take_out(tail->tails, tail->id));
}

/* ---- the appending threads' side; the mutex is held ---- */

static void put_line(struct obs_buffer *b, struct logql_labels *labels, uint64_t time_ns,
                     struct text_view line)
{
    struct label all[LOGQL_LABELS_MAX];

    logql_labels_sort(labels);
    for (size_t i = 0; i < labels->count; i++)
        all[i] = (struct label){labels->entries[i].name, labels->entries[i].value};
    obs_buffer_append_text(b, "{\"stream\":");
    loki_put_labels(b, all, labels->count);
    obs_buffer_printf(b, ",\"values\":[[\"%" PRIu64 "\",", time_ns);
    obs_buffer_append_json(b, line.text, line.size);
    obs_buffer_append_text(b, "]]}");
}

static void post(struct tail *tail, struct letter *letter)
{
    size_t size = letter->event.size;

    if (letter->event.error || (!letter->is_last && tail->pending + size > LOKI_TAIL_PENDING_MAX) ||
        obs_mailbox_post(tail->tails->mailbox, deliver, letter) != 0) {
        tail->dropped += letter->lines;
        letter_free(letter);
        return;
    }
    tail->pending += size;
}

static struct letter *new_letter(const struct tail *tail)
{
    struct letter *letter = calloc(1, sizeof(*letter));

    if (!letter)
        return NULL;
    letter->tails = tail->tails;
    letter->id = tail->id;
    letter->event = OBS_BUFFER_INIT(EVENT_MAX);
    obs_buffer_append_text(&letter->event, "data: {\"streams\":[");
    return letter;
}

static void close_event(struct tail *tail, struct letter *letter)
{
    obs_buffer_printf(&letter->event, "],\"dropped_entries\":[]");
    if (tail->dropped > 0)
        obs_buffer_printf(&letter->event, ",\"dropped\":%" PRIu64, tail->dropped);
    obs_buffer_append_text(&letter->event, "}\n\n");
}

/* The lines that fit @tail, in events of at most EVENT_MAX. */
static void match(struct tail *tail, const struct line_view *lines, size_t count)
{
    struct letter *letter = NULL;

    for (size_t i = 0; i < count; i++) {
        struct text_view line;
        size_t before;

        if (!logql_selects(&tail->query->root->log, lines[i].labels, lines[i].label_count) ||
            logql_pipeline_run(tail->pipeline, &lines[i], &line) != LINE_KEPT)
            continue;
        if (!letter && !(letter = new_letter(tail)))
            return;
        before = letter->event.size;
        if (letter->lines > 0)
            obs_buffer_append_char(&letter->event, ',');
        put_line(&letter->event, logql_pipeline_labels(tail->pipeline), lines[i].time_ns, line);
        if (letter->event.error ||
            letter->event.size > EVENT_MAX - 128) { /* the tail of the event */
            letter->event.error = 0;
            letter->event.size = before;
            tail->dropped++;
            continue;
        }
        letter->lines++;
    }
    if (!letter)
        return;
    close_event(tail, letter);
    letter->lines += tail->dropped; /* told only when it arrives */
    tail->dropped = 0;
    post(tail, letter);
}

static void fail_when_costly(struct tail *tail)
{
    struct obs_reason why = {0};
    struct letter *letter;

    if (logql_check_regexes(tail->query, &why) == LOGQL_OK)
        return;
    tail->is_failed = true;
    letter = new_letter(tail);
    if (!letter)
        return;
    obs_buffer_clear(&letter->event);
    obs_buffer_append_text(&letter->event, "event: error\ndata: ");
    obs_buffer_append_json(&letter->event, why.text, strlen(why.text));
    obs_buffer_append_text(&letter->event, "\n\n");
    letter->is_last = true;
    post(tail, letter);
}

static void on_lines(const char *tenant, const struct line_view *lines, size_t count,
                     void *userdata)
{
    struct loki_tails *tails = userdata;

    pthread_mutex_lock(&tails->mutex);
    for (struct tail *tail = tails->first; tail; tail = tail->next) {
        if (tail->is_failed || strcmp(tail->tenant, tenant) != 0)
            continue;
        match(tail, lines, count);
        fail_when_costly(tail);
    }
    pthread_mutex_unlock(&tails->mutex);
}

/* ---- life ---- */

int loki_tails_new(struct event_base *base, struct store *store, struct loki_tails **ret_tails)
{
    struct loki_tails *tails = calloc(1, sizeof(*tails));
    int r;

    if (!tails)
        return -ENOMEM;
    tails->store = store;
    r = obs_mailbox_new(base, &tails->mailbox);
    if (r < 0) {
        free(tails);
        return r;
    }
    pthread_mutex_init(&tails->mutex, NULL);
    store_on_lines(store, on_lines, tails);
    *ret_tails = tails;
    return 0;
}

struct loki_tails *loki_tails_free(struct loki_tails *tails)
{
    if (!tails)
        return NULL;
    store_on_lines(tails->store, NULL, NULL);
    while (tails->first) {
        struct tail *tail = take_out(tails, tails->first->id);

        tail_free(tail);
    }
    obs_mailbox_free(tails->mailbox); /* letters find no tail */
    pthread_mutex_destroy(&tails->mutex);
    free(tails);
    return NULL;
}

unsigned loki_tails_count(struct loki_tails *tails)
{
    unsigned count;

    pthread_mutex_lock(&tails->mutex);
    count = tails->count;
    pthread_mutex_unlock(&tails->mutex);
    return count;
}

/* ---- the handler ---- */

static bool has_room(struct loki_tails *tails, const char *tenant)
{
    unsigned count = 0;
    bool room;

    pthread_mutex_lock(&tails->mutex);
    for (struct tail *tail = tails->first; tail; tail = tail->next)
        count += strcmp(tail->tenant, tenant) == 0;
    room = count < LOKI_TENANT_TAILS_MAX && tails->count < LOKI_TAILS_MAX;
    pthread_mutex_unlock(&tails->mutex);
    return room;
}

static int tail_new(struct loki_tails *tails, const char *tenant, const char *text,
                    struct tail **ret_tail, struct obs_reason *reterr_reason)
{
    struct tail *tail = calloc(1, sizeof(*tail));
    int r = -ENOMEM;

    if (!tail)
        return r;
    tail->tails = tails;
    tail->id = ++tails->last_id; /* loop's thread only */
    strncpy(tail->tenant, tenant, STORE_TENANT_MAX);
    r = logql_parse(text, strlen(text), &tail->query, reterr_reason);
    if (r == LOGQL_OK && !logql_is_log(tail->query)) {
        obs_reason_set(reterr_reason, "a tail needs a log query: this one computes numbers");
        r = LOGQL_REFUSED;
    }
    if (r == LOGQL_OK)
        r = logql_pipeline_new(&tail->query->root->log, &tail->pipeline);
    if (r != LOGQL_OK)
        tail_free(tail);
    else
        *ret_tail = tail;
    return r;
}

static void begin(struct obs_http_request *request, struct loki_tails *tails, struct tail *tail)
{
    static const char HELLO[] = ": lines follow as they arrive\n\n";

    tail->stream = obs_http_stream_begin(request, 200, "text/event-stream", gone, tail);
    if (!tail->stream) {
        tail_free(tail);
        return;
    }
    pthread_mutex_lock(&tails->mutex);
    tail->next = tails->first;
    tails->first = tail;
    tails->count++;
    pthread_mutex_unlock(&tails->mutex);
    obs_http_stream_write(tail->stream, HELLO, sizeof(HELLO) - 1);
}

void loki_tail(struct obs_http_request *request, void *userdata)
{
    const struct telemetry *telemetry = userdata;
    const char *tenant = telemetry_tenant(request, telemetry), *text;
    struct loki_params params;
    struct obs_reason why = {0};
    struct tail *tail = NULL;
    int r;

    if (!tenant)
        return;
    if (!telemetry->tails) {
        obs_reason_set(&why, "live tail is not available here");
        loki_reply_refusal(request, 503, &why);
        return;
    }
    if (!has_room(telemetry->tails, tenant)) {
        obs_reason_set(&why, "max concurrent tail requests limit exceeded: %d of a tenant",
                       LOKI_TENANT_TAILS_MAX);
        loki_reply_refusal(request, 429, &why);
        return;
    }
    r = loki_params_read(request, &params, &why);
    text = r == 0 ? loki_param(&params, "query") : NULL;
    r = r != 0 ? LOGQL_REFUSED : tail_new(telemetry->tails, tenant, text ? text : "", &tail, &why);
    if (r != LOGQL_OK)
        loki_reply_outcome(request, r, &why);
    else
        begin(request, telemetry->tails, tail);
}
