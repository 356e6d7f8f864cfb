#include "shop/orders/outbox.h"

/*
 * A batch is one database transaction: rows are locked (SKIP LOCKED, so several replicas of orders
 * share the work), published, and deleted once confirmed. Confirms are awaited for the whole batch,
 * not for each message: a queue on disk confirms fifty as fast as one.
 *
 * A message whose confirm does not come in time may or may not be in the queue. The link is dropped
 * then, because a late confirm could otherwise be taken for one of the next batch.
 */
#include "base/clock.h"
#include "base/log.h"
#include "otel/names.h"
#include "otel/trace.h"
#include "shop/service/amqp.h"
#include "shop/service/latency.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#define IDLE_MS 2000 /* rows of a replica that died are found after so long */

enum parcel_state { PARCEL_WAITING, PARCEL_CONFIRMED, PARCEL_REFUSED, PARCEL_RETURNED };

struct parcel {                       /* one row on its way */
    const char *id, *order_id, *body; /* in the batch's rows */
    uint64_t sequence;
    enum parcel_state state;
    struct obs_span span;
};

struct outbox {
    struct outbox_options options;
    pthread_t thread;
    bool is_started;
    int wake_fd;
    atomic_bool is_stopping;
    pthread_mutex_t lock;
    struct orders_settings settings; /* under lock */
    struct amqp_link *link;
    unsigned failures; /* in a row */
    struct parcel *parcels;
    size_t parcel_count, waiting;
    struct obs_metric_series *confirmed, *refused, *returned, *unconfirmed;
};

/* ---- what the broker says ---- */

static void settle(struct outbox *o, struct parcel *parcel, enum parcel_state state)
{
    if (parcel->state == PARCEL_WAITING)
        o->waiting--;
    if (parcel->state != PARCEL_RETURNED) /* its confirm follows and means nothing */
        parcel->state = state;
}

static void on_confirmed(uint64_t sequence, bool is_multiple, bool is_accepted, void *userdata)
{
    struct outbox *o = userdata;

    for (size_t i = 0; i < o->parcel_count; i++) {
        struct parcel *parcel = &o->parcels[i];
        if (parcel->sequence == sequence ||
            (is_multiple && parcel->sequence < sequence && parcel->state == PARCEL_WAITING))
            settle(o, parcel, is_accepted ? PARCEL_CONFIRMED : PARCEL_REFUSED);
    }
}

static void on_returned(const struct amqp_message *message, void *userdata)
{
    struct outbox *o = userdata;

    for (size_t i = 0; i < o->parcel_count; i++)
        if (strcmp(o->parcels[i].order_id, message->message_id) == 0)
            settle(o, &o->parcels[i], PARCEL_RETURNED);
}

/* ---- the link ---- */

static void drop_link(struct outbox *o, const char *why)
{
    if (o->failures++ == 0)
        obs_log(OBS_LOG_WARN, "broker unavailable, orders wait in the outbox",
                OBS_TEXT("error", why));
    if (o->link)
        amqp_link_abandon(o->link);
    o->link = amqp_link_free(o->link);
}

static int open_link(struct outbox *o)
{
    struct obs_reason why = {0};
    char password[256] = "";
    struct amqp_link_options options = {.host = o->options.host,
                                        .port = o->options.port,
                                        .vhost = o->options.vhost,
                                        .user = o->options.user,
                                        .password = password,
                                        .name = "orders publisher"};
    struct amqp_link_events events = {
        .confirmed = on_confirmed, .returned = on_returned, .userdata = o};
    int r = amqp_password_read(o->options.password_file, password, sizeof(password), &why);

    if (r == 0)
        r = amqp_link_open(&options, &events, &o->link, &why);
    if (r == 0)
        r = amqp_link_declare(o->link, &why);
    explicit_bzero(password, sizeof(password));
    if (r != 0) {
        drop_link(o, why.text);
        return -EIO;
    }
    obs_log(OBS_LOG_INFO, "broker connected", OBS_INT("attempts", o->failures + 1));
    o->failures = 0;
    return 0;
}

/* ---- one batch ---- */

static int claim(struct db_connection *connection, unsigned batch, PGresult **ret_rows)
{
    char limit[16];
    const char *parameters[] = {limit};
    int r = db_begin(connection);

    snprintf(limit, sizeof(limit), "%u", batch);
    if (r != DB_OK)
        return r;
    return db_query(connection, "outbox.claim",
                    "SELECT id, order_id, body, traceparent FROM outbox ORDER BY id LIMIT $1"
                    " FOR UPDATE SKIP LOCKED",
                    1, parameters, ret_rows);
}

static void start_span(struct outbox *o, struct parcel *parcel, const char *traceparent)
{
    struct obs_trace_context parent;
    bool has_parent =
        obs_traceparent_parse(traceparent, strlen(traceparent), &parent) == OBS_TRACE_OK;

    obs_span_start(&parcel->span, o->options.telemetry->tracer, OBS_SPAN_PRODUCER,
                   "fulfilment publish", has_parent ? &parent : NULL);
    obs_span_text(&parcel->span, OBS_ATTR_MESSAGING_SYSTEM, "rabbitmq");
    obs_span_text(&parcel->span, OBS_ATTR_MESSAGING_DESTINATION, AMQP_EXCHANGE);
    obs_span_text(&parcel->span, OBS_ATTR_MESSAGING_ID, parcel->order_id);
}

static int publish(struct outbox *o, struct parcel *parcel, bool propagates_trace)
{
    char traceparent[OBS_TRACEPARENT_SIZE] = "";
    struct amqp_message message = {.exchange = AMQP_EXCHANGE,
                                   .routing_key = AMQP_QUEUE,
                                   .message_id = parcel->order_id,
                                   .type = "order.accepted",
                                   .traceparent = traceparent,
                                   .body = parcel->body,
                                   .body_size = strlen(parcel->body)};

    if (propagates_trace)
        obs_traceparent_emit(&parcel->span.context, traceparent);
    return amqp_link_publish(o->link, &message, &parcel->sequence);
}

/* Return: 0 when every parcel has its answer, -EIO (reason set) otherwise. */
static int send_parcels(struct outbox *o, const PGresult *rows,
                        const struct orders_settings *settings, struct obs_reason *why)
{
    uint64_t deadline;
    int r = 0;

    o->parcel_count = o->waiting = (size_t)PQntuples(rows);
    for (size_t i = 0; i < o->parcel_count; i++) {
        struct parcel *parcel = &o->parcels[i];
        parcel->id = PQgetvalue(rows, (int)i, 0);
        parcel->order_id = PQgetvalue(rows, (int)i, 1);
        parcel->body = PQgetvalue(rows, (int)i, 2);
        start_span(o, parcel, PQgetvalue(rows, (int)i, 3));
        if (r == 0)
            r = publish(o, parcel, settings->propagates_trace);
        if (r < 0)
            obs_reason_set(why, "the connection broke while publishing");
    }
    deadline = obs_mono_ns() + settings->confirm_timeout_ms * OBS_NS_PER_MS;
    while (r == 0 && o->waiting > 0) {
        uint64_t now = obs_mono_ns();
        if (now >= deadline) {
            obs_reason_set(why, "no confirm within %u ms", settings->confirm_timeout_ms);
            return -EIO;
        }
        r = amqp_link_pump(o->link, -1, (unsigned)((deadline - now) / OBS_NS_PER_MS) + 1, why);
    }
    return r;
}

static void end_parcel(struct outbox *o, struct parcel *parcel)
{
    switch (parcel->state) {
    case PARCEL_CONFIRMED:
        obs_counter_add(o->confirmed, 1);
        break;
    case PARCEL_REFUSED:
        obs_counter_add(o->refused, 1);
        obs_span_error(&parcel->span, "the broker refused the message");
        break;
    case PARCEL_RETURNED:
        obs_counter_add(o->returned, 1);
        obs_span_error(&parcel->span, "no queue takes the message");
        break;
    case PARCEL_WAITING:
        obs_counter_add(o->unconfirmed, 1);
        obs_span_error(&parcel->span, "not confirmed");
        break;
    }
    obs_span_end(&parcel->span);
}

/* Forget the rows that are in the queue. Return: a db_outcome. */
static int delete_confirmed(struct outbox *o, struct db_connection *connection)
{
    struct obs_buffer ids = OBS_BUFFER_INIT(16384);
    const char *parameters[1];
    size_t confirmed = 0;
    int r;

    for (size_t i = 0; i < o->parcel_count; i++)
        if (o->parcels[i].state == PARCEL_CONFIRMED)
            obs_buffer_printf(&ids, "%s%s", confirmed++ == 0 ? "{" : ",", o->parcels[i].id);
    obs_buffer_append_char(&ids, '}');
    parameters[0] = ids.data;
    r = confirmed == 0
            ? DB_OK
            : db_query(connection, "outbox.delete",
                       "DELETE FROM outbox WHERE id = ANY($1::bigint[])", 1, parameters, NULL);
    obs_buffer_done(&ids);
    return r == DB_OK ? db_commit(connection) : r;
}

static int finish_batch(struct outbox *o, struct db_connection *connection, int sent,
                        const struct obs_reason *why)
{
    size_t failed = 0;
    int r = delete_confirmed(o, connection);

    for (size_t i = 0; i < o->parcel_count; i++) {
        failed += o->parcels[i].state != PARCEL_CONFIRMED;
        end_parcel(o, &o->parcels[i]);
    }
    if (sent < 0)
        drop_link(o, why->text);
    else if (failed > 0)
        drop_link(o, "the broker did not take every message");
    return r == DB_OK && failed == 0 ? 0 : -EIO;
}

/* Return: rows published (0: nothing to do), -EIO: try again later. */
static int run_batch(struct outbox *o, const struct orders_settings *settings)
{
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    OBS_CLEANUP(PQclearp) PGresult *rows = NULL;
    struct obs_reason why = {0};
    int r = db_acquire(o->options.pool, &connection);

    if (r != DB_OK || claim(connection, settings->batch, &rows) != DB_OK)
        return -EIO;
    if (PQntuples(rows) == 0)
        return 0;
    o->parcels = calloc((size_t)PQntuples(rows), sizeof(*o->parcels));
    if (!o->parcels)
        return -ENOMEM;
    r = send_parcels(o, rows, settings, &why);
    r = finish_batch(o, connection, r, &why);
    r = r == 0 ? (int)o->parcel_count : r;
    free(OBS_TAKE(o->parcels));
    o->parcel_count = 0;
    return r;
}

/* ---- the thread ---- */

static void wait_backoff(struct outbox *o)
{
    struct pollfd fd = {.fd = o->wake_fd, .events = POLLIN};
    uint64_t end = obs_mono_ns() + amqp_backoff_ms(o->failures, latency_random()) * OBS_NS_PER_MS;
    uint64_t now, count;

    /* New orders ring as well; only the end of the process cuts the pause short. */
    while (!atomic_load(&o->is_stopping) && (now = obs_mono_ns()) < end) {
        if (poll(&fd, 1, (int)((end - now) / OBS_NS_PER_MS) + 1) > 0 &&
            read(o->wake_fd, &count, sizeof(count)) < 0)
            break;
    }
}

static struct orders_settings current_settings(struct outbox *o)
{
    struct orders_settings settings;

    pthread_mutex_lock(&o->lock);
    settings = o->settings;
    pthread_mutex_unlock(&o->lock);
    return settings;
}

static void *run_outbox(void *userdata)
{
    struct outbox *o = userdata;

    while (!atomic_load(&o->is_stopping)) {
        struct orders_settings settings = current_settings(o);
        struct obs_reason why = {0};
        int r = o->link || open_link(o) == 0 ? run_batch(o, &settings) : -EIO;
        if (r < 0) {
            if (o->link) /* the database; drop_link() counts the broker's failures */
                o->failures++;
            wait_backoff(o);
        } else {
            o->failures = 0;
        }
        /* With nothing to send, wait for an order; the heartbeat goes on meanwhile. */
        if (o->link && amqp_link_pump(o->link, o->wake_fd, r == 0 ? IDLE_MS : 0, &why) < 0)
            drop_link(o, why.text);
    }
    o->link = amqp_link_free(o->link);
    return NULL;
}

/* ---- life ---- */

void outbox_wake(struct outbox *o)
{
    uint64_t one = 1;

    if (write(o->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it is awake */
}

void outbox_configure(struct outbox *o, const struct orders_settings *settings)
{
    pthread_mutex_lock(&o->lock);
    o->settings = *settings;
    pthread_mutex_unlock(&o->lock);
}

static struct obs_metric_series *result_series(struct outbox *o, const char *result)
{
    struct obs_metric_family *family =
        obs_metrics_named(o->options.telemetry->metrics, OBS_MESSAGES_PUBLISHED);

    return obs_metric_series(family, (const char *const[]){result});
}

int outbox_new(const struct outbox_options *options, struct outbox **ret_outbox)
{
    struct outbox *o = calloc(1, sizeof(*o));

    if (!o)
        return -ENOMEM;
    o->options = *options;
    o->settings = options->settings;
    pthread_mutex_init(&o->lock, NULL);
    o->confirmed = result_series(o, "confirmed");
    o->refused = result_series(o, "refused");
    o->returned = result_series(o, "returned");
    o->unconfirmed = result_series(o, "unconfirmed");
    o->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (o->wake_fd >= 0 && pthread_create(&o->thread, NULL, run_outbox, o) == 0) {
        o->is_started = true;
        pthread_setname_np(o->thread, "outbox");
        *ret_outbox = o;
        return 0;
    }
    outbox_free(o);
    return -EAGAIN;
}

struct outbox *outbox_free(struct outbox *o)
{
    if (!o)
        return NULL;
    atomic_store(&o->is_stopping, true);
    if (o->is_started) {
        outbox_wake(o);
        pthread_join(o->thread, NULL);
    }
    obs_closep(&o->wake_fd);
    pthread_mutex_destroy(&o->lock);
    free(o);
    return NULL;
}
