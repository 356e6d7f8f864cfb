/*
 * Permits and connections are two things. A permit is the right to use one of `limit` connections;
 * who gets no permit waits in a queue, first come first served, and is handed one by whoever
 * returns it. A connection is opened by the thread that holds a permit and finds no idle one, so
 * nobody waits for another's handshake.
 */
#include "base/clock.h"
#include "base/log.h"
#include "otel/names.h"
#include "shop/service/db_internal.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NOTICED_WAIT_MS = 1 };

struct waiter {
    pthread_cond_t granted_cond;
    bool is_granted;
    struct waiter *next;
};

/* ---- permits; the pool's lock is held ---- */

static void grant_permits(struct db_pool *pool)
{
    while (pool->first_waiter && pool->in_use < pool->limit) {
        struct waiter *w = pool->first_waiter;

        pool->first_waiter = w->next;
        if (!pool->first_waiter)
            pool->last_waiter = &pool->first_waiter;
        pool->in_use++;
        w->is_granted = true;
        pthread_cond_signal(&w->granted_cond);
    }
}

static void leave_queue(struct db_pool *pool, const struct waiter *gone)
{
    struct waiter **at = &pool->first_waiter;

    while (*at && *at != gone)
        at = &(*at)->next;
    if (*at)
        *at = gone->next;
    if (!*at)
        pool->last_waiter = at;
}

static bool wait_for_permit(struct db_pool *pool, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / OBS_NS_PER_SECOND),
                             .tv_nsec = (long)(deadline_ns % OBS_NS_PER_SECOND)};
    struct waiter w = {0};
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w.granted_cond, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    *pool->last_waiter = &w;
    /* The waiter leaves the list before this function returns. */
    /* cppcheck-suppress autoVariables */
    pool->last_waiter = &w.next;
    while (!w.is_granted &&
           pthread_cond_timedwait(&w.granted_cond, &pool->lock, &until) != ETIMEDOUT)
        ;
    if (!w.is_granted)
        leave_queue(pool, &w);
    (void)pthread_cond_destroy(&w.granted_cond);
    return w.is_granted;
}

static void note_wait(struct db_pool *pool, unsigned limit, uint64_t start_ns, uint64_t waited_ns,
                      bool is_granted)
{
    struct obs_span span;

    obs_histogram_observe(pool->wait, (double)waited_ns / 1e9, obs_trace_current());
    if (waited_ns < NOTICED_WAIT_MS * OBS_NS_PER_MS && is_granted)
        return;
    obs_span_start_child(&span, OBS_SPAN_INTERNAL, "pool.acquire");
    obs_span_set_start(&span, start_ns);
    obs_span_int(&span, "db.pool.size", limit);
    if (!is_granted)
        obs_span_error(&span, "timed out");
    obs_span_end(&span);
}

static bool take_permit(struct db_pool *pool, struct db_connection **ret_idle,
                        unsigned *ret_statement_timeout_ms)
{
    uint64_t started = obs_time_ns(), start = obs_mono_ns();
    unsigned limit, timeout_ms;
    bool is_granted;

    pthread_mutex_lock(&pool->lock);
    limit = pool->limit;
    timeout_ms = pool->acquire_timeout_ms;
    is_granted = !pool->first_waiter && pool->in_use < pool->limit;
    if (is_granted)
        pool->in_use++;
    else
        is_granted = wait_for_permit(pool, start + timeout_ms * OBS_NS_PER_MS);
    if (is_granted && pool->idle) {
        *ret_idle = pool->idle;
        pool->idle = (*ret_idle)->next_idle;
        pool->idle_count--;
    }
    *ret_statement_timeout_ms = pool->statement_timeout_ms;
    pthread_mutex_unlock(&pool->lock);
    note_wait(pool, limit, started, obs_mono_ns() - start, is_granted);
    if (!is_granted) {
        char message[96];

        (void)snprintf(message, sizeof(message),
                       "connection pool limit %u reached, timed out after %u ms", limit,
                       timeout_ms);
        obs_counter_add(pool->timeouts, 1);
        obs_log(OBS_LOG_WARN, message, OBS_TEXT(OBS_ATTR_DB_NAMESPACE, pool->database));
    }
    return is_granted;
}

/* @c: goes back to the idle ones, or NULL when it is no more. */
static void give_permit(struct db_pool *pool, struct db_connection *c)
{
    bool is_kept;

    pthread_mutex_lock(&pool->lock);
    is_kept = c && pool->in_use <= pool->limit;
    if (is_kept) {
        c->next_idle = pool->idle;
        pool->idle = c;
        pool->idle_count++;
    }
    pool->in_use--;
    grant_permits(pool);
    pthread_mutex_unlock(&pool->lock);
    if (c && !is_kept)
        db_connection_free(c);
}

/* ---- acquire and release ---- */

static int apply_statement_timeout(struct db_connection *c, unsigned timeout_ms)
{
    char sql[64];
    int r;

    if (c->statement_timeout_ms == timeout_ms)
        return DB_OK;
    (void)snprintf(sql, sizeof(sql), "SET statement_timeout = %u", timeout_ms);
    r = db_connection_run(c, sql, 0, NULL, NULL);
    if (r == DB_OK)
        c->statement_timeout_ms = timeout_ms;
    return r == DB_OK ? DB_OK : DB_UNAVAILABLE;
}

int db_acquire(struct db_pool *pool, struct db_connection **ret_connection)
{
    struct db_connection *c = NULL;
    unsigned statement_timeout_ms = 0;
    int r = DB_OK;

    if (!take_permit(pool, &c, &statement_timeout_ms))
        return DB_TIMEOUT;
    if (!c)
        c = db_connection_alloc(pool);
    if (!c) {
        give_permit(pool, NULL);
        return -ENOMEM;
    }
    if (!db_connection_is_alive(c)) {
        db_connection_close(c);
        r = db_connection_open(c, statement_timeout_ms);
    }
    if (r == DB_OK)
        r = apply_statement_timeout(c, statement_timeout_ms);
    if (r != DB_OK) {
        obs_log(OBS_LOG_WARN, "database cannot be reached", OBS_TEXT("error", c->message),
                OBS_TEXT(OBS_ATTR_DB_NAMESPACE, pool->database));
        db_connection_free(c);
        give_permit(pool, NULL);
        return r;
    }
    *ret_connection = c;
    return DB_OK;
}

struct db_connection *db_release(struct db_connection *c)
{
    struct db_pool *pool;
    bool is_good;

    if (!c)
        return NULL;
    pool = c->pool;
    is_good = c->pg && !c->is_broken;
    if (is_good && PQtransactionStatus(c->pg) != PQTRANS_IDLE)
        is_good = PQtransactionStatus(c->pg) != PQTRANS_ACTIVE && db_rollback(c) == DB_OK;
    if (!is_good)
        c = db_connection_free(c);
    give_permit(pool, c);
    return NULL;
}

/* ---- the pool ---- */

static void collect(struct obs_metrics *metrics, void *userdata)
{
    struct db_pool *pool = userdata;
    unsigned in_use, idle, limit;

    pthread_mutex_lock(&pool->lock);
    in_use = pool->in_use;
    idle = pool->idle_count;
    limit = pool->limit;
    pthread_mutex_unlock(&pool->lock);
    obs_gauge_set(pool->used_gauge, in_use);
    obs_gauge_set(pool->idle_gauge, idle);
    obs_gauge_set(pool->max_gauge, limit);
}

static int make_series(struct db_pool *pool, struct obs_metrics *metrics)
{
    struct obs_metric_family *connections = obs_metrics_named(metrics, OBS_DB_POOL_CONNECTIONS);
    struct obs_metric_family *limit = obs_metrics_named(metrics, OBS_DB_POOL_MAX);
    struct obs_metric_family *wait = obs_metrics_named(metrics, OBS_DB_POOL_WAIT);
    struct obs_metric_family *timeouts = obs_metrics_named(metrics, OBS_DB_POOL_TIMEOUTS);

    pool->durations = obs_metrics_named(metrics, OBS_DB_CLIENT_DURATION);
    if (!connections || !limit || !wait || !timeouts || !pool->durations)
        return -ENOMEM;
    pool->used_gauge = obs_metric_series(connections, (const char *const[]){"used"});
    pool->idle_gauge = obs_metric_series(connections, (const char *const[]){"idle"});
    pool->max_gauge = obs_metric_only(limit);
    pool->wait = obs_metric_only(wait);
    pool->timeouts = obs_metric_only(timeouts);
    return obs_metrics_on_collect(metrics, collect, pool);
}

int db_pool_new(struct obs_telemetry *telemetry, const struct db_pool_options *options,
                struct db_pool **ret_pool)
{
    struct db_pool *pool = calloc(1, sizeof(*pool));
    int r = -ENOMEM;

    if (!pool)
        return -ENOMEM;
    (void)pthread_mutex_init(&pool->lock, NULL);
    pool->telemetry = telemetry;
    pool->last_waiter = &pool->first_waiter;
    pool->limit = options->size;
    pool->acquire_timeout_ms = options->acquire_timeout_ms;
    pool->statement_timeout_ms = options->statement_timeout_ms;
    pool->conninfo = strdup(options->conninfo);
    pool->database = strdup(options->database);
    if (pool->conninfo && pool->database)
        r = make_series(pool, telemetry->metrics);
    if (r < 0) {
        db_pool_free(pool);
        return r;
    }
    *ret_pool = pool;
    return 0;
}

struct db_pool *db_pool_free(struct db_pool *pool)
{
    if (!pool)
        return NULL;
    while (pool->all) /* also those that were never given back */
        db_connection_free(pool->all);
    pthread_mutex_destroy(&pool->lock);
    free(pool->conninfo);
    free(pool->database);
    free(pool);
    return NULL;
}

void db_pool_configure(struct db_pool *pool, unsigned size, unsigned acquire_timeout_ms,
                       unsigned statement_timeout_ms)
{
    struct db_connection *surplus = NULL;

    pthread_mutex_lock(&pool->lock);
    pool->limit = size;
    pool->acquire_timeout_ms = acquire_timeout_ms;
    pool->statement_timeout_ms = statement_timeout_ms;
    grant_permits(pool);
    while (pool->idle && pool->idle_count + pool->in_use > size) {
        struct db_connection *c = pool->idle;

        pool->idle = c->next_idle;
        pool->idle_count--;
        c->next_idle = surplus;
        surplus = c;
    }
    pthread_mutex_unlock(&pool->lock);
    while (surplus) {
        struct db_connection *next = surplus->next_idle;

        db_connection_free(surplus);
        surplus = next;
    }
}
