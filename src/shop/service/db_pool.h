#pragma once
/*
 * Database pool: a bounded set of PostgreSQL connections with a named wait, and the spans and
 * metrics of every query.
 *
 * A connection that broke is closed on return and opened anew on the next use. The pool's size and
 * acquire timeout may change while it is used.
 */
#include "base/cleanup.h"
#include "otel/instrument.h"
#include <libpq-fe.h>

struct db_pool;
struct db_connection; /* one connection, used by one thread between acquire and release */

struct db_pool_options {
    const char *conninfo; /* libpq; passwords come from its passfile, never from here */
    const char *database; /* db.namespace of spans */
    unsigned size;
    unsigned acquire_timeout_ms;
    unsigned statement_timeout_ms;
};

enum db_outcome {
    DB_OK = 0,
    DB_TIMEOUT = 1,     /* no connection became free in time */
    DB_UNAVAILABLE = 2, /* cannot connect, or the connection broke: nothing is known of the query */
    DB_REJECTED = 3,    /* the server answered with an error: see db_sqlstate() */
};

int db_pool_new(struct obs_telemetry *telemetry, const struct db_pool_options *options,
                struct db_pool **ret_pool);
struct db_pool *db_pool_free(struct db_pool *pool);
void db_pool_configure(struct db_pool *pool, unsigned size, unsigned acquire_timeout_ms,
                       unsigned statement_timeout_ms);

/* Wait for a connection ("pool.acquire" span when it waits). Return: DB_OK, DB_TIMEOUT,
 * DB_UNAVAILABLE. */
int db_acquire(struct db_pool *pool, struct db_connection **ret_connection);
/* Ends an open transaction by rolling it back. NULL is fine. */
struct db_connection *db_release(struct db_connection *connection);

/* Run one statement with text parameters (NULL is SQL NULL). @operation names it in spans and
 * metrics
 * ("products.find"). *ret_result is freed by the caller with PQclear(); may be NULL if not wanted.
 */
int db_query(struct db_connection *connection, const char *operation, const char *sql,
             size_t parameter_count, const char *const *parameters, PGresult **ret_result);
const char *
db_sqlstate(const struct db_connection *connection);            /* of the last rejection, "" none */
const char *db_message(const struct db_connection *connection); /* primary message, one line */
int db_begin(struct db_connection *connection);
int db_commit(struct db_connection *connection); /* DB_UNAVAILABLE: the outcome is unknown */
int db_rollback(struct db_connection *connection);

OBS_DEFINE_CLEANUP(struct db_connection *, db_release)
OBS_DEFINE_CLEANUP(PGresult *, PQclear)
