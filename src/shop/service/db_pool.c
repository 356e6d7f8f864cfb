/*
 * Permits and connections are two things. A permit is the right to use one of `limit` connections;
 * who gets no permit waits in a queue, first come first served, and is handed one by whoever
 * returns it. A connection is opened by the thread that holds a permit and finds no idle one, so
 * nobody waits for another's handshake.
 *
 * Statements run asynchronously under libpq with a deadline of our own. The server's
 * statement_timeout ends most slow ones; ours also ends those whose server no longer answers at
 * all.
 */
#include "shop/service/db_pool.h"
#include "base/clock.h"
#include "base/log.h"
#include "otel/names.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { CONNECT_TIMEOUT_MS = 3000, ANSWER_GRACE_MS = 1000, NOTICED_WAIT_MS = 1, SPAN_SQL_MAX = 160 };

struct db_connection {
    struct db_pool *pool;
    PGconn *pg; /* NULL: not connected */
    bool is_broken;
    unsigned statement_timeout_ms; /* in force in the session */
    char sqlstate[6];
    char message[256];
    struct db_connection *next_idle, *next, **link; /* idle list; list of all */
};

struct waiter {
    pthread_cond_t granted_cond;
    bool is_granted;
    struct waiter *next;
};

struct db_pool {
    struct obs_telemetry *telemetry;
    char *conninfo, *database;
    pthread_mutex_t lock;
    unsigned limit, in_use, idle_count;
    unsigned acquire_timeout_ms, statement_timeout_ms;
    struct waiter *first_waiter, **last_waiter;
    struct db_connection *idle, *all;
    struct obs_metric_series *used_gauge, *idle_gauge, *max_gauge, *wait, *timeouts;
    struct obs_metric_family *durations;
};

/* ---- one connection ---- */

static void forget_connection(struct db_connection *c)
{
    struct db_pool *pool = c->pool;

    pthread_mutex_lock(&pool->lock);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    pthread_mutex_unlock(&pool->lock);
}

static void connection_close(struct db_connection *c)
{
    PQfinish(c->pg);
    c->pg = NULL;
    c->is_broken = false;
}

static struct db_connection *connection_free(struct db_connection *c)
{
    if (!c)
        return NULL;
    forget_connection(c);
    connection_close(c);
    free(c);
    return NULL;
}

static struct db_connection *connection_alloc(struct db_pool *pool)
{
    struct db_connection *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->pool = pool;
    pthread_mutex_lock(&pool->lock);
    c->next = pool->all;
    c->link = &pool->all;
    if (pool->all)
        pool->all->link = &c->next;
    pool->all = c;
    pthread_mutex_unlock(&pool->lock);
    return c;
}

/* First line of the server's or libpq's message. */
static void take_message(struct db_connection *c, const char *text)
{
    size_t size = strcspn(text, "\n");

    (void)snprintf(c->message, sizeof(c->message), "%.*s", (int)size, text);
}

/* Wait until the socket can do what libpq asks for. Return: true, or false at the deadline. */
static bool wait_socket(PGconn *pg, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd fd = {.fd = PQsocket(pg), .events = events};
        uint64_t now = obs_mono_ns();
        int r;

        if (now >= deadline_ns)
            return false;
        r = poll(&fd, 1, (int)((deadline_ns - now) / OBS_NS_PER_MS) + 1);
        if (r > 0)
            return true;
        if (r < 0 && errno != EINTR)
            return false;
    }
}

static bool finish_connecting(PGconn *pg, uint64_t deadline_ns)
{
    PostgresPollingStatusType step = PGRES_POLLING_WRITING;

    if (PQstatus(pg) == CONNECTION_BAD)
        return false;
    while (step != PGRES_POLLING_OK) {
        if (step == PGRES_POLLING_FAILED ||
            !wait_socket(pg, step == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ns))
            return false;
        step = PQconnectPoll(pg);
    }
    return true;
}

static int connection_open(struct db_connection *c, unsigned statement_timeout_ms)
{
    struct db_pool *pool = c->pool;
    char options[64];
    const char *const names[] = {"dbname", "options", "application_name", "client_encoding", NULL};
    const char *const values[] = {pool->conninfo, options, pool->database, "UTF8", NULL};
    uint64_t deadline = obs_mono_ns() + CONNECT_TIMEOUT_MS * OBS_NS_PER_MS;
    struct obs_span span;
    bool is_open;

    (void)snprintf(options, sizeof(options), "-c statement_timeout=%u", statement_timeout_ms);
    obs_span_start_child(&span, OBS_SPAN_CLIENT, "pool.connect");
    obs_span_text(&span, OBS_ATTR_DB_SYSTEM, "postgresql");
    c->pg = PQconnectStartParams(names, values, 1);
    is_open = c->pg && finish_connecting(c->pg, deadline);
    if (is_open) {
        c->statement_timeout_ms = statement_timeout_ms;
        (void)PQsetnonblocking(c->pg, 1);
    } else {
        take_message(c, c->pg && *PQerrorMessage(c->pg) ? PQerrorMessage(c->pg)
                                                        : "timed out while connecting");
        obs_span_error(&span, c->message);
        connection_close(c);
    }
    obs_span_end(&span);
    return is_open ? DB_OK : DB_UNAVAILABLE;
}

/* Nobody talks on an idle session. What is there to read is its end, or the server's farewell. */
static bool is_alive(const struct db_connection *c)
{
    struct pollfd fd = {.events = POLLIN};

    if (!c->pg || c->is_broken || PQstatus(c->pg) != CONNECTION_OK)
        return false;
    fd.fd = PQsocket(c->pg);
    return poll(&fd, 1, 0) == 0;
}

/* ---- statements ---- */

static bool flush_query(PGconn *pg, uint64_t deadline_ns)
{
    int r;

    while ((r = PQflush(pg)) == 1) {
        if (!wait_socket(pg, POLLIN | POLLOUT, deadline_ns) || PQconsumeInput(pg) == 0)
            return false;
    }
    return r == 0;
}

/* All results of the statement have come; the last but NULL is the answer. */
static bool take_results(PGconn *pg, uint64_t deadline_ns, PGresult **ret_result)
{
    for (;;) {
        PGresult *result;

        while (PQisBusy(pg)) {
            if (!wait_socket(pg, POLLIN, deadline_ns) || PQconsumeInput(pg) == 0)
                return false;
        }
        result = PQgetResult(pg);
        if (!result)
            return true;
        PQclear(*ret_result);
        *ret_result = result;
    }
}

static int judge_result(struct db_connection *c, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return DB_OK;
    (void)snprintf(c->sqlstate, sizeof(c->sqlstate), "%s", state ? state : "");
    take_message(c, text ? text : PQerrorMessage(c->pg));
    /* Class 57P: the server ends the session (shutdown, crash of a neighbour, terminated backend).
     */
    if (!state || strncmp(state, "57P", 3) == 0 || PQstatus(c->pg) != CONNECTION_OK)
        return DB_UNAVAILABLE;
    return DB_REJECTED;
}

static int run_statement(struct db_connection *c, const char *sql, size_t count,
                         const char *const *parameters, PGresult **ret_result)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    uint64_t deadline = UINT64_MAX / 2;
    int r = DB_UNAVAILABLE;

    c->sqlstate[0] = c->message[0] = '\0';
    if (!c->pg || c->is_broken) {
        take_message(c, "the connection is broken");
        return DB_UNAVAILABLE;
    }
    if (c->statement_timeout_ms > 0)
        deadline = obs_mono_ns() + (c->statement_timeout_ms + ANSWER_GRACE_MS) * OBS_NS_PER_MS;
    if (PQsendQueryParams(c->pg, sql, (int)count, NULL, parameters, NULL, NULL, 0) == 1 &&
        flush_query(c->pg, deadline) && take_results(c->pg, deadline, &result) && result)
        r = judge_result(c, result);
    else
        take_message(c, obs_mono_ns() >= deadline ? "the server did not answer in time"
                                                  : PQerrorMessage(c->pg));
    if (r == DB_UNAVAILABLE)
        c->is_broken = true;
    if (r == DB_OK && ret_result)
        *ret_result = OBS_TAKE(result);
    return r;
}

int db_query(struct db_connection *c, const char *operation, const char *sql,
             size_t parameter_count, const char *const *parameters, PGresult **ret_result)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    struct obs_metric_series *duration =
        obs_metric_series(c->pool->durations, (const char *const[]){operation});
    char text[SPAN_SQL_MAX];
    uint64_t start = obs_mono_ns();
    struct obs_span span;
    int r;

    obs_span_start_child(&span, OBS_SPAN_CLIENT, operation);
    r = run_statement(c, sql, parameter_count, parameters, &result);
    obs_histogram_observe(duration, (double)(obs_mono_ns() - start) / 1e9, &span.context);
    (void)snprintf(text, sizeof(text), "%s", sql);
    obs_span_text(&span, OBS_ATTR_DB_SYSTEM, "postgresql");
    obs_span_text(&span, OBS_ATTR_DB_NAMESPACE, c->pool->database);
    obs_span_text(&span, OBS_ATTR_DB_OPERATION, operation);
    obs_span_text(&span, OBS_ATTR_DB_STATEMENT, text);
    if (r == DB_OK)
        obs_span_int(&span, OBS_ATTR_DB_ROWS, PQntuples(result));
    else
        obs_span_error(&span, c->message);
    obs_span_end(&span);
    if (ret_result)
        *ret_result = r == DB_OK ? OBS_TAKE(result) : NULL;
    return r;
}

const char *db_sqlstate(const struct db_connection *c)
{
    return c->sqlstate;
}

const char *db_message(const struct db_connection *c)
{
    return c->message;
}

int db_begin(struct db_connection *c)
{
    return db_query(c, "BEGIN", "BEGIN", 0, NULL, NULL);
}

/* COMMIT of a failed transaction rolls back and says so only in its command tag. */
int db_commit(struct db_connection *c)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    int r = db_query(c, "COMMIT", "COMMIT", 0, NULL, &result);

    if (r == DB_OK && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        (void)snprintf(c->sqlstate, sizeof(c->sqlstate), "40000");
        take_message(c, "the transaction was rolled back");
        return DB_REJECTED;
    }
    return r;
}

int db_rollback(struct db_connection *c)
{
    return db_query(c, "ROLLBACK", "ROLLBACK", 0, NULL, NULL);
}

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
        connection_free(c);
}

/* ---- acquire and release ---- */

static int apply_statement_timeout(struct db_connection *c, unsigned timeout_ms)
{
    char sql[64];
    int r;

    if (c->statement_timeout_ms == timeout_ms)
        return DB_OK;
    (void)snprintf(sql, sizeof(sql), "SET statement_timeout = %u", timeout_ms);
    r = run_statement(c, sql, 0, NULL, NULL);
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
        c = connection_alloc(pool);
    if (!c) {
        give_permit(pool, NULL);
        return -ENOMEM;
    }
    if (!is_alive(c)) {
        connection_close(c);
        r = connection_open(c, statement_timeout_ms);
    }
    if (r == DB_OK)
        r = apply_statement_timeout(c, statement_timeout_ms);
    if (r != DB_OK) {
        obs_log(OBS_LOG_WARN, "database cannot be reached", OBS_TEXT("error", c->message),
                OBS_TEXT(OBS_ATTR_DB_NAMESPACE, pool->database));
        connection_free(c);
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
        c = connection_free(c);
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
        connection_free(pool->all);
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

        connection_free(surplus);
        surplus = next;
    }
}
