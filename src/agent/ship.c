#include "agent/ship.h"

#include "agent/ship_batch.h"
#include "base/clock.h"
#include "base/http_client.h"
#include "base/log.h"
#include "otel/retry.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define TENANT_HEADER "X-Scope-OrgID"
#define PAUSE_MAX_MS 10000
#define RETRY_AFTER_MAX_MS 60000
#define REPLY_BYTES_MAX 65536
#define SHOWN_BYTES 200 /* of a refusal's text, in our log */
#define WARN_EVERY_NS (60 * OBS_NS_PER_SECOND)

enum outcome { SENT = 0, LATER = 1, REFUSED = 2 };

struct lane {
    char tenant[SHIP_TENANT_SIZE];
    struct ship_batch waiting;
    uint64_t not_before_ns; /* monotonic */
    unsigned attempts;      /* that failed, one after the other */
};

struct ship {
    struct ship_options options;
    struct obs_http_client *client;
    char target[160];
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock; lanes are only ever added. */
    struct lane *lanes[SHIP_LANES_MAX]; /* [0]: the agent's own */
    size_t lane_count, turn;
    size_t bytes, lines; /* of all lanes and of what is being sent */
    struct ship_counts counts;
    bool is_ending;
    uint64_t end_ns;

    uint64_t warned_ns, told; /* the thread's own; told: of counts.overflowed */
};

struct answer {
    int status, error; /* 0, or < 0: why there was none */
    uint64_t retry_after_ms;
    char text[SHOWN_BYTES];
};

/* ---- lanes, under the lock ---- */

static struct lane *add_lane(struct ship *ship, const char *tenant)
{
    struct lane *lane = ship->lane_count < SHIP_LANES_MAX ? calloc(1, sizeof(*lane)) : NULL;

    if (!lane)
        return ship->lane_count > 0 ? ship->lanes[0] : NULL;
    snprintf(lane->tenant, sizeof(lane->tenant), "%s", tenant);
    ship_batch_init(&lane->waiting);
    ship->lanes[ship->lane_count++] = lane;
    return lane;
}

static struct lane *lane_of(struct ship *ship, const char *tenant)
{
    if (!tenant[0])
        return ship->lanes[0];
    for (size_t i = 0; i < ship->lane_count; i++)
        if (strcmp(ship->lanes[i]->tenant, tenant) == 0)
            return ship->lanes[i];
    return add_lane(ship, tenant);
}

static void forget(struct ship *ship, const struct ship_batch *batch)
{
    ship->bytes -= batch->bytes;
    ship->lines -= batch->lines;
}

/* Return: false when nothing waits. */
static bool drop_oldest(struct ship *ship)
{
    struct lane *longest = ship->lanes[0];
    struct ship_entry *entry;

    for (size_t i = 1; i < ship->lane_count; i++)
        if (ship->lanes[i]->waiting.bytes > longest->waiting.bytes)
            longest = ship->lanes[i];
    entry = ship_batch_shift(&longest->waiting);
    if (!entry)
        return false;
    ship->bytes -= ship_entry_bytes(entry);
    ship->lines--;
    ship->counts.overflowed++;
    free(entry);
    return true;
}

static bool make_room(struct ship *ship, size_t bytes)
{
    while (ship->bytes + bytes > ship->options.queue_bytes ||
           ship->lines + 1 > ship->options.queue_lines)
        if (!drop_oldest(ship))
            return false;
    return true;
}

static void put(struct ship *ship, const char *tenant, struct ship_entry *entry)
{
    size_t bytes = ship_entry_bytes(entry);
    struct lane *lane;
    size_t before;

    if (!make_room(ship, bytes)) {
        ship->counts.overflowed++;
        free(entry);
        return;
    }
    lane = lane_of(ship, tenant);
    before = lane->waiting.bytes;
    ship_batch_append(&lane->waiting, entry);
    ship->bytes += bytes;
    ship->lines++;
    if (before == 0 ||
        (before < ship->options.batch_bytes && lane->waiting.bytes >= ship->options.batch_bytes))
        pthread_cond_signal(&ship->changed);
}

void ship_take(struct ship *ship, const struct unit *unit, const char *line, size_t size)
{
    struct ship_line read;
    struct ship_entry *entry;

    ship_line_read(line, size, unit, obs_time_ns(), &read);
    entry = ship_entry_new(&read, unit->name, line, size, obs_mono_ns());
    pthread_mutex_lock(&ship->lock);
    if (entry)
        put(ship, read.tenant, entry);
    else
        ship->counts.overflowed++;
    pthread_mutex_unlock(&ship->lock);
}

void ship_count(struct ship *ship, struct ship_counts *ret_counts)
{
    pthread_mutex_lock(&ship->lock);
    *ret_counts = ship->counts;
    ret_counts->waiting = ship->lines;
    pthread_mutex_unlock(&ship->lock);
}

/* ---- one request ---- */

static int judge(const struct obs_http_reply_data *reply, struct answer *answer)
{
    answer->status = reply->status;
    if (reply->status / 100 == 2)
        return SENT;
    snprintf(answer->text, sizeof(answer->text), "%.*s",
             (int)(reply->body.size < SHOWN_BYTES ? reply->body.size : SHOWN_BYTES),
             reply->body.data ? reply->body.data : "");
    if (reply->status != 429 && reply->status / 100 != 5)
        return REFUSED;
    answer->retry_after_ms = obs_retry_after_ms(&reply->parsed, RETRY_AFTER_MAX_MS);
    return LATER;
}

static int post(struct ship *ship, const char *tenant, const struct obs_buffer *body,
                unsigned timeout_ms, struct answer *answer)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call_header header = {TENANT_HEADER, tenant};
    struct obs_http_call call = {.method = "POST",
                                 .target = ship->target,
                                 .headers = &header,
                                 .header_count = 1,
                                 .body = body->data,
                                 .body_size = body->size,
                                 .content_type = "application/json",
                                 .timeout_ms = timeout_ms};

    answer->error = obs_http_client_call(ship->client, &call, &reply);
    return answer->error < 0 ? LATER : judge(&reply, answer);
}

static int send_batch(struct ship *ship, const char *tenant, struct ship_batch *batch,
                      unsigned timeout_ms, struct answer *answer)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer body = OBS_BUFFER_INIT(SIZE_MAX / 2);

    answer->error = ship_batch_emit(batch, &body);
    return answer->error < 0 ? LATER : post(ship, tenant, &body, timeout_ms, answer);
}

static void warn(struct ship *ship, const char *tenant, size_t lines, const struct answer *answer)
{
    uint64_t now_ns = obs_mono_ns();

    if (ship->warned_ns != 0 && now_ns - ship->warned_ns < WARN_EVERY_NS)
        return;
    ship->warned_ns = now_ns;
    obs_log(OBS_LOG_WARN, "log lines not delivered, ignoring", OBS_TEXT("tenant", tenant),
            OBS_INT("lines", lines), OBS_INT("http.response.status_code", answer->status),
            OBS_TEXT("error", answer->error < 0 ? strerror(-answer->error) : answer->text));
}

/* ---- the thread ---- */

/* Monotonic time from which the lane may be sent; UINT64_MAX: nothing waits. */
static uint64_t due_ns(const struct ship *ship, const struct lane *lane)
{
    const struct ship_entry *first = TAILQ_FIRST(&lane->waiting.entries);
    uint64_t full_ns;

    if (!first)
        return UINT64_MAX;
    if (ship->is_ending)
        return 0;
    full_ns = lane->waiting.bytes >= ship->options.batch_bytes
                  ? 0
                  : first->taken_ns + ship->options.flush_ms * OBS_NS_PER_MS;
    return full_ns > lane->not_before_ns ? full_ns : lane->not_before_ns;
}

/* The next lane that is due, each in its turn; otherwise NULL, and when one will be. */
static struct lane *next_lane(struct ship *ship, uint64_t *ret_wake_ns)
{
    uint64_t now_ns = obs_mono_ns();

    *ret_wake_ns = UINT64_MAX;
    for (size_t i = 0; i < ship->lane_count; i++) {
        size_t at = (ship->turn + i) % ship->lane_count;
        uint64_t when_ns = due_ns(ship, ship->lanes[at]);

        if (when_ns <= now_ns) {
            ship->turn = at + 1;
            return ship->lanes[at];
        }
        if (when_ns < *ret_wake_ns)
            *ret_wake_ns = when_ns;
    }
    return NULL;
}

static void wait_until(struct ship *ship, uint64_t wake_ns)
{
    struct timespec until = {(time_t)(wake_ns / OBS_NS_PER_SECOND),
                             (long)(wake_ns % OBS_NS_PER_SECOND)};

    if (wake_ns == UINT64_MAX)
        pthread_cond_wait(&ship->changed, &ship->lock);
    else
        pthread_cond_timedwait(&ship->changed, &ship->lock, &until);
}

static void take_batch(struct ship *ship, struct lane *lane, struct ship_batch *batch)
{
    do
        ship_batch_append(batch, ship_batch_shift(&lane->waiting));
    while (lane->waiting.lines > 0 && batch->bytes < ship->options.batch_bytes);
}

static void settle(struct ship *ship, struct lane *lane, struct ship_batch *batch, int outcome,
                   const struct answer *answer)
{
    if (outcome == LATER && !ship->is_ending) {
        uint64_t pause_ms =
            obs_retry_pause_ms(ship->options.retry_ms, lane->attempts++, PAUSE_MAX_MS);

        if (answer->retry_after_ms > pause_ms)
            pause_ms = answer->retry_after_ms;
        lane->not_before_ns = obs_mono_ns() + pause_ms * OBS_NS_PER_MS;
        ship->counts.failures++;
        ship_batch_put_back(&lane->waiting, batch);
        return;
    }
    lane->attempts = 0;
    if (outcome == SENT)
        ship->counts.shipped += batch->lines;
    else if (outcome == REFUSED)
        ship->counts.refused += batch->lines;
    else { /* there is no later */
        ship_batch_put_back(batch, &lane->waiting);
        ship->counts.overflowed += batch->lines;
    }
    forget(ship, batch);
    ship_batch_done(batch);
}

/* 0: no time is left. */
static unsigned call_timeout_ms(const struct ship *ship)
{
    uint64_t now_ns = obs_mono_ns(), left_ms;

    if (!ship->is_ending)
        return ship->options.call_ms;
    left_ms = ship->end_ns > now_ns ? (ship->end_ns - now_ns) / OBS_NS_PER_MS : 0;
    return left_ms < ship->options.call_ms ? (unsigned)left_ms : ship->options.call_ms;
}

/* The lock is held on entry and on return. */
static void send_lane(struct ship *ship, struct lane *lane)
{
    struct ship_batch batch;
    struct answer answer = {.error = -ETIMEDOUT};
    unsigned timeout_ms = call_timeout_ms(ship);
    int outcome = LATER;
    size_t lost;

    ship_batch_init(&batch);
    take_batch(ship, lane, &batch);
    lost = batch.lines;
    pthread_mutex_unlock(&ship->lock);
    if (timeout_ms > 0) {
        answer = (struct answer){0};
        outcome = send_batch(ship, lane->tenant, &batch, timeout_ms, &answer);
    }
    pthread_mutex_lock(&ship->lock);
    settle(ship, lane, &batch, outcome, &answer);
    if (outcome != REFUSED) {
        lost = ship->counts.overflowed - ship->told;
        ship->told = ship->counts.overflowed;
    }
    if (lost == 0)
        return;
    pthread_mutex_unlock(&ship->lock);
    warn(ship, lane->tenant, lost, &answer);
    pthread_mutex_lock(&ship->lock);
}

static void *run(void *userdata)
{
    struct ship *ship = userdata;
    uint64_t wake_ns;

    pthread_mutex_lock(&ship->lock);
    while (!ship->is_ending || ship->lines > 0) {
        struct lane *lane = next_lane(ship, &wake_ns);

        if (lane)
            send_lane(ship, lane);
        else
            wait_until(ship, wake_ns);
    }
    pthread_mutex_unlock(&ship->lock);
    return NULL;
}

/* ---- the whole ---- */

/* Leave out "X-Scope-OrgID: ...\r\n". */
static void strip_tenant(char *headers)
{
    char *line = headers, *end;

    while ((end = strstr(line, "\r\n"))) {
        end += 2;
        if (strncasecmp(line, TENANT_HEADER ":", sizeof(TENANT_HEADER)) == 0)
            memmove(line, end, strlen(end) + 1);
        else
            line = end;
    }
}

static void set_defaults(struct ship_options *o)
{
    o->queue_bytes = o->queue_bytes ? o->queue_bytes : 8u << 20;
    o->queue_lines = o->queue_lines ? o->queue_lines : 32768;
    o->batch_bytes = o->batch_bytes ? o->batch_bytes : 256u << 10;
    o->flush_ms = o->flush_ms ? o->flush_ms : 1000;
    o->retry_ms = o->retry_ms ? o->retry_ms : 250;
    o->call_ms = o->call_ms ? o->call_ms : 5000;
}

static int make_lock(struct ship *ship)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ship->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return -pthread_mutex_init(&ship->lock, NULL);
}

static int make_client(struct ship *ship, const struct obs_endpoint *endpoint)
{
    struct obs_http_client_options options = endpoint->client;

    options.idle_max = 1;
    options.body_bytes_max = REPLY_BYTES_MAX;
    strip_tenant(options.headers);
    snprintf(ship->target, sizeof(ship->target), "%s/loki/api/v1/push", endpoint->prefix);
    return obs_http_client_new(&options, &ship->client);
}

/* Signals are for the loop's thread. */
static int start_thread(struct ship *ship)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&ship->thread, NULL, run, ship);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    ship->has_thread = r == 0;
    return r;
}

int ship_new(const struct ship_options *options, struct ship **ret_ship)
{
    OBS_CLEANUP(ship_freep) struct ship *ship = calloc(1, sizeof(*ship));
    int r;

    if (!ship)
        return -ENOMEM;
    ship->options = *options;
    set_defaults(&ship->options);
    r = make_lock(ship);
    if (r == 0 && !add_lane(ship, options->tenant))
        r = -ENOMEM;
    if (r == 0)
        r = make_client(ship, options->endpoint);
    ship->options.tenant = NULL;
    ship->options.endpoint = NULL;
    if (r == 0)
        r = start_thread(ship);
    if (r < 0)
        return r;
    *ret_ship = OBS_TAKE(ship);
    return 0;
}

struct ship *ship_free(struct ship *ship)
{
    if (!ship)
        return NULL;
    if (ship->has_thread) {
        pthread_mutex_lock(&ship->lock);
        ship->is_ending = true;
        ship->end_ns = obs_mono_ns() + ship->options.flush_ms * OBS_NS_PER_MS;
        pthread_cond_signal(&ship->changed);
        pthread_mutex_unlock(&ship->lock);
        pthread_join(ship->thread, NULL);
    }
    for (size_t i = 0; i < ship->lane_count; i++) {
        ship_batch_done(&ship->lanes[i]->waiting);
        free(ship->lanes[i]);
    }
    obs_http_client_free(ship->client);
    pthread_cond_destroy(&ship->changed);
    pthread_mutex_destroy(&ship->lock);
    free(ship);
    return NULL;
}
