/*
 * Statements run asynchronously under libpq with a deadline of our own. The server's
 * statement_timeout ends most slow ones; ours also ends those whose server no longer answers at
 * all.
 */
#include "base/clock.h"
#include "otel/names.h"
#include "shop/service/db_internal.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { CONNECT_TIMEOUT_MS = 3000, ANSWER_GRACE_MS = 1000, SPAN_SQL_MAX = 160 };

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

void db_connection_close(struct db_connection *c)
{
    PQfinish(c->pg);
    c->pg = NULL;
    c->is_broken = false;
}

struct db_connection *db_connection_free(struct db_connection *c)
{
    if (!c)
        return NULL;
    forget_connection(c);
    db_connection_close(c);
    free(c);
    return NULL;
}

struct db_connection *db_connection_alloc(struct db_pool *pool)
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

int db_connection_open(struct db_connection *c, unsigned statement_timeout_ms)
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
        db_connection_close(c);
    }
    obs_span_end(&span);
    return is_open ? DB_OK : DB_UNAVAILABLE;
}

/* Nobody talks on an idle session. What is there to read is its end, or the server's farewell. */
bool db_connection_is_alive(const struct db_connection *c)
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

int db_connection_run(struct db_connection *c, const char *sql, size_t count,
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
    r = db_connection_run(c, sql, parameter_count, parameters, &result);
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
