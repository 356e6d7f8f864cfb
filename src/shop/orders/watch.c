#include "shop/orders/watch.h"
#include "base/clock.h"
#include "base/log.h"
#include "otel/names.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define BEAT_NS OBS_NS_PER_SECOND
#define STALE_NS                                                                                   \
    (5 * OBS_NS_PER_SECOND) /* readings older than this say nothing of the database                \
                             */
#define PURGE_NS (600 * OBS_NS_PER_SECOND)

struct watch {
    struct db_pool *pool;
    pthread_t thread;
    bool is_started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_stopping; /* this and all below under lock */
    unsigned replenish_s;
    uint64_t read_ns;      /* monotonic, of the latest reading; 0: none yet */
    double oldest_seconds; /* at read_ns; < 0: no order waits */
    double outbox_waiting;
    struct obs_metric_series *oldest_gauge, *outbox_gauge;
};

/* ---- readings ---- */

static void collect(struct obs_metrics *metrics, void *userdata)
{
    struct watch *w = userdata;
    double oldest = 0;

    pthread_mutex_lock(&w->lock);
    if (w->read_ns != 0 && w->oldest_seconds >= 0) /* the order has aged since */
        oldest = w->oldest_seconds + (double)(obs_mono_ns() - w->read_ns) / 1e9;
    obs_gauge_set(w->oldest_gauge, oldest);
    obs_gauge_set(w->outbox_gauge, w->outbox_waiting);
    pthread_mutex_unlock(&w->lock);
}

static void read_state(struct watch *w, struct db_connection *connection)
{
    OBS_CLEANUP(PQclearp) PGresult *rows = NULL;
    int r = db_query(connection, "orders.watch",
                     "SELECT (SELECT extract(epoch FROM clock_timestamp() - min(created_at))"
                     " FROM orders WHERE state = 'accepted'), (SELECT count(*) FROM outbox)",
                     0, NULL, &rows);

    if (r != DB_OK)
        return;
    pthread_mutex_lock(&w->lock);
    w->oldest_seconds = PQgetisnull(rows, 0, 0) ? -1 : strtod(PQgetvalue(rows, 0, 0), NULL);
    w->outbox_waiting = strtod(PQgetvalue(rows, 0, 1), NULL);
    w->read_ns = obs_mono_ns();
    pthread_mutex_unlock(&w->lock);
}

bool watch_is_database_up(struct watch *w)
{
    bool is_up;

    pthread_mutex_lock(&w->lock);
    is_up = w->read_ns != 0 && obs_mono_ns() - w->read_ns < STALE_NS;
    pthread_mutex_unlock(&w->lock);
    return is_up;
}

/* ---- upkeep ---- */

static void replenish(struct db_connection *connection)
{
    OBS_CLEANUP(PQclearp) PGresult *rows = NULL;
    int r = db_query(connection, "stock.replenish",
                     "WITH low AS (SELECT product_id FROM stock WHERE available < target * 3 / 4"
                     " ORDER BY product_id FOR UPDATE SKIP LOCKED)"
                     " UPDATE stock s SET available = s.target FROM low"
                     " WHERE s.product_id = low.product_id RETURNING 1",
                     0, NULL, &rows);

    if (r == DB_OK && PQntuples(rows) > 0)
        obs_log(OBS_LOG_INFO, "stock replenished", OBS_INT("products", PQntuples(rows)));
}

static void purge_keys(struct db_connection *connection)
{
    (void)db_query(connection, "idempotency.purge",
                   "DELETE FROM idempotency_keys WHERE created_at < now() - interval '1 day'", 0,
                   NULL, NULL);
}

/* ---- the thread ---- */

/* Return: false when the watch ends. */
static bool wait_for_beat(struct watch *w, unsigned *ret_replenish_s)
{
    uint64_t until_ns = obs_mono_ns() + BEAT_NS;
    struct timespec until = {.tv_sec = (time_t)(until_ns / OBS_NS_PER_SECOND),
                             .tv_nsec = (long)(until_ns % OBS_NS_PER_SECOND)};
    bool goes_on;

    pthread_mutex_lock(&w->lock);
    while (!w->is_stopping && pthread_cond_timedwait(&w->changed, &w->lock, &until) != ETIMEDOUT)
        ;
    goes_on = !w->is_stopping;
    *ret_replenish_s = w->replenish_s;
    pthread_mutex_unlock(&w->lock);
    return goes_on;
}

static void *run_watch(void *userdata)
{
    struct watch *w = userdata;
    uint64_t replenished_ns = obs_mono_ns(), purged_ns = replenished_ns;
    unsigned replenish_s = 0;

    do {
        OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
        uint64_t now = obs_mono_ns();
        if (db_acquire(w->pool, &connection) != DB_OK)
            continue;
        read_state(w, connection);
        if (replenish_s > 0 && now - replenished_ns >= replenish_s * OBS_NS_PER_SECOND) {
            replenish(connection);
            replenished_ns = now;
        }
        if (now - purged_ns >= PURGE_NS) {
            purge_keys(connection);
            purged_ns = now;
        }
    } while (wait_for_beat(w, &replenish_s));
    return NULL;
}

/* ---- life ---- */

void watch_configure(struct watch *w, const struct orders_settings *settings)
{
    pthread_mutex_lock(&w->lock);
    w->replenish_s = settings->replenish_s;
    pthread_mutex_unlock(&w->lock);
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

int watch_new(struct obs_telemetry *telemetry, struct db_pool *pool,
              const struct orders_settings *settings, struct watch **ret_watch)
{
    struct watch *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return -ENOMEM;
    w->pool = pool;
    w->replenish_s = settings->replenish_s;
    w->oldest_seconds = -1;
    pthread_mutex_init(&w->lock, NULL);
    init_condition(&w->changed);
    w->oldest_gauge =
        obs_metric_only(obs_metrics_named(telemetry->metrics, OBS_ORDERS_OLDEST_UNFULFILLED));
    w->outbox_gauge =
        obs_metric_only(obs_metrics_named(telemetry->metrics, OBS_ORDERS_OUTBOX_WAITING));
    r = obs_metrics_on_collect(telemetry->metrics, collect, w);
    if (r == 0 && pthread_create(&w->thread, NULL, run_watch, w) != 0)
        r = -EAGAIN;
    if (r < 0) {
        watch_free(w);
        return r;
    }
    w->is_started = true;
    pthread_setname_np(w->thread, "watch");
    *ret_watch = w;
    return 0;
}

struct watch *watch_free(struct watch *w)
{
    if (!w)
        return NULL;
    if (w->is_started) {
        pthread_mutex_lock(&w->lock);
        w->is_stopping = true;
        pthread_cond_signal(&w->changed);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}
