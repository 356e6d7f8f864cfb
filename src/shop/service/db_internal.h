#pragma once
/* What the pool's two files know of each other: db_pool.c hands out permits, db_connection.c speaks
 * to the server. Nobody else includes this. */
#include "shop/service/db_pool.h"
#include <pthread.h>
#include <stdbool.h>

struct waiter;

struct db_connection {
    struct db_pool *pool;
    PGconn *pg; /* NULL: not connected */
    bool is_broken;
    unsigned statement_timeout_ms; /* in force in the session */
    char sqlstate[6];
    char message[256];
    struct db_connection *next_idle, *next, **link; /* idle list; list of all */
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

struct db_connection *db_connection_alloc(struct db_pool *pool); /* in the list of all; not open */
struct db_connection *db_connection_free(struct db_connection *connection);
/* Connect within a deadline. Return: DB_OK, DB_UNAVAILABLE (message set). */
int db_connection_open(struct db_connection *connection, unsigned statement_timeout_ms);
bool db_connection_is_alive(const struct db_connection *connection);
void db_connection_close(struct db_connection *connection);
/* A statement without span and metric. Return: as db_query(). */
int db_connection_run(struct db_connection *connection, const char *sql, size_t count,
                      const char *const *parameters, PGresult **ret_result);
