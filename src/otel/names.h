#pragma once
/*
 * Names: every metric and attribute that ObservaStack emits, in one table.
 *
 * They follow OpenTelemetry's semantic conventions in Prometheus spelling where there is one; the
 * rest are curriculum's own. docs/metrics.md is made from this table. Counters stand without
 * `_total`, which the emitter adds; constant labels `service` and `version` are not listed.
 */
#include "otel/metrics.h"

/*  identifier, name, type, unit, buckets (NULL: none), help, labels… */
#define OBS_METRIC_NAMES(ROW)                                                                      \
    ROW(HTTP_SERVER_DURATION, "http_server_request_duration_seconds", OBS_HISTOGRAM, "seconds",    \
        OBS_DURATION_BUCKETS, "Time to answer a request, from its first byte", "route", "method",  \
        "status_code")                                                                             \
    ROW(HTTP_CLIENT_DURATION, "http_client_request_duration_seconds", OBS_HISTOGRAM, "seconds",    \
        OBS_DURATION_BUCKETS, "Time of a call to another service", "peer", "route", "status_code") \
    ROW(APP_INFLIGHT, "app_inflight_requests", OBS_GAUGE, "", NULL,                                \
        "Requests read and not yet answered")                                                      \
    ROW(APP_WORKER_LIMIT, "app_worker_limit", OBS_GAUGE, "", NULL,                                 \
        "Worker threads that may answer requests")                                                 \
    ROW(APP_WORKERS_BUSY, "app_workers_busy", OBS_GAUGE, "", NULL,                                 \
        "Worker threads inside a request")                                                         \
    ROW(APP_QUEUE_LENGTH, "app_queue_length", OBS_GAUGE, "", NULL,                                 \
        "Requests waiting for a worker")                                                           \
    ROW(APP_QUEUE_LIMIT, "app_queue_limit", OBS_GAUGE, "", NULL,                                   \
        "Requests that may wait for a worker")                                                     \
    ROW(APP_QUEUE_REFUSED, "app_queue_refused", OBS_COUNTER, "", NULL,                             \
        "Requests answered 503 because the queue was full")                                        \
    ROW(APP_QUEUE_WAIT, "app_queue_wait_seconds", OBS_HISTOGRAM, "seconds", OBS_DURATION_BUCKETS,  \
        "Time a request waited for a worker")                                                      \
    ROW(DB_POOL_CONNECTIONS, "db_pool_connections", OBS_GAUGE, "", NULL,                           \
        "Database connections of the pool by state", "state")                                      \
    ROW(DB_POOL_MAX, "db_pool_max", OBS_GAUGE, "", NULL, "Connections the pool may open")          \
    ROW(DB_POOL_WAIT, "db_pool_wait_seconds", OBS_HISTOGRAM, "seconds", OBS_DURATION_BUCKETS,      \
        "Time waited for a database connection")                                                   \
    ROW(DB_POOL_TIMEOUTS, "db_pool_timeouts", OBS_COUNTER, "", NULL,                               \
        "Waits for a database connection that gave up")                                            \
    ROW(DB_CLIENT_DURATION, "db_client_operation_duration_seconds", OBS_HISTOGRAM, "seconds",      \
        OBS_DURATION_BUCKETS, "Time of a database operation", "operation")                         \
    ROW(CACHE_REQUESTS, "cache_requests", OBS_COUNTER, "", NULL, "Cache look-ups by result",       \
        "result")                                                                                  \
    ROW(ORDERS_CREATED, "orders_created", OBS_COUNTER, "", NULL, "Orders accepted")                \
    ROW(ORDERS_FULFILLED, "orders_fulfilled", OBS_COUNTER, "", NULL, "Orders fulfilled")           \
    ROW(ORDERS_DEAD_LETTERED, "orders_dead_lettered", OBS_COUNTER, "", NULL,                       \
        "Orders given up after their last delivery")                                               \
    ROW(ORDERS_OLDEST_UNFULFILLED, "orders_oldest_unfulfilled_seconds", OBS_GAUGE, "seconds",      \
        NULL, "Age of the oldest order not yet fulfilled, 0 when there is none")                   \
    ROW(ORDERS_OUTBOX_WAITING, "orders_outbox_waiting", OBS_GAUGE, "", NULL,                       \
        "Messages written and not yet confirmed by the broker")                                    \
    ROW(MESSAGES_PUBLISHED, "messages_published", OBS_COUNTER, "", NULL,                           \
        "Messages given to the broker by result", "result")                                        \
    ROW(FULFILMENT_CONSUMED, "fulfilment_consumed", OBS_COUNTER, "", NULL,                         \
        "Messages taken from the queue, by where their trace began", "parent")                     \
    ROW(FULFILMENT_RESULTS, "fulfilment_results", OBS_COUNTER, "", NULL,                           \
        "Messages finished, by result", "result")                                                  \
    ROW(FULFILMENT_DURATION, "fulfilment_process_duration_seconds", OBS_HISTOGRAM, "seconds",      \
        OBS_DURATION_BUCKETS, "Time to work off one message")                                      \
    ROW(OTEL_SPANS_EXPORTED, "otel_spans_exported", OBS_COUNTER, "", NULL, "Spans delivered")      \
    ROW(OTEL_SPANS_DROPPED, "otel_spans_dropped", OBS_COUNTER, "", NULL,                           \
        "Spans lost because the queue was full or the receiver refused them")                      \
    ROW(LOG_LINES_DROPPED, "log_lines_dropped", OBS_COUNTER, "", NULL,                             \
        "Log lines lost because nobody read the pipe")                                             \
    ROW(PROCESS_CPU, "process_cpu_seconds", OBS_COUNTER, "seconds", NULL, "CPU time used")         \
    ROW(PROCESS_MEMORY, "process_resident_memory_bytes", OBS_GAUGE, "bytes", NULL,                 \
        "Resident memory")                                                                         \
    ROW(PROCESS_FDS, "process_open_fds", OBS_GAUGE, "", NULL, "Open file descriptors")             \
    ROW(PROCESS_THREADS, "process_threads", OBS_GAUGE, "", NULL, "Threads")                        \
    ROW(PROCESS_START, "process_start_time_seconds", OBS_GAUGE, "seconds", NULL,                   \
        "Unix time at which the process started")                                                  \
    ROW(JOURNEY_REQUESTS, "journey_requests", OBS_COUNTER, "", NULL,                               \
        "User journeys finished, by outcome: ok, error, timeout, wrong", "journey", "outcome")     \
    ROW(JOURNEY_DURATION, "journey_duration_seconds", OBS_HISTOGRAM, "seconds",                    \
        OBS_DURATION_BUCKETS, "Time of a user journey from when it was due, without think time",   \
        "journey")                                                                                 \
    ROW(LOADGEN_TARGET, "loadgen_target_rps", OBS_GAUGE, "", NULL,                                 \
        "User journeys per second that are wanted now", "journey")                                 \
    ROW(LOADGEN_ARRIVALS, "loadgen_arrivals", OBS_COUNTER, "", NULL,                               \
        "Journeys scheduled, by what became of them: sent, late, dropped", "state")                \
    ROW(LOADGEN_WAITING, "loadgen_waiting", OBS_GAUGE, "", NULL,                                   \
        "Journeys that are due and wait for a free user")                                          \
    ROW(LOADGEN_IN_FLIGHT, "loadgen_in_flight", OBS_GAUGE, "", NULL, "Journeys under way")         \
    ROW(LOADGEN_CONNECTIONS, "loadgen_connections", OBS_GAUGE, "", NULL, "Connections open")       \
    ROW(PROBE_CHECKS, "probe_correctness_checks", OBS_COUNTER, "", NULL,                           \
        "Answers compared with what they must be", "probe")                                        \
    ROW(PROBE_FAILURES, "probe_correctness_failures", OBS_COUNTER, "", NULL,                       \
        "Answers that were not what they must be", "probe")                                        \
    ROW(PROBE_ERRORS, "probe_errors", OBS_COUNTER, "", NULL,                                       \
        "Probes that got no answer to compare", "probe")                                           \
    ROW(PROBE_DURATION, "probe_duration_seconds", OBS_GAUGE, "seconds", NULL,                      \
        "Time of the probe's last request", "probe")                                               \
    ROW(CONTAINER_CPU, "container_cpu_usage_seconds", OBS_COUNTER, "seconds", NULL,                \
        "CPU time of all processes of the unit, over all its lives", "container")                  \
    ROW(CONTAINER_MEMORY, "container_memory_working_set_bytes", OBS_GAUGE, "bytes", NULL,          \
        "Resident memory of the unit's processes, without file pages and shared memory",           \
        "container")                                                                               \
    ROW(CONTAINER_START, "container_start_time_seconds", OBS_GAUGE, "seconds", NULL,               \
        "Unix time at which the unit's process started, 0 when it does not run", "container")      \
    ROW(CONTAINER_RESTARTS, "container_restarts", OBS_COUNTER, "", NULL,                           \
        "Starts of the unit but the first", "container")                                           \
    ROW(CONTAINER_LAST_EXIT, "container_last_exit_code", OBS_GAUGE, "", NULL,                      \
        "Status of the unit's last end, 128 + signal when a signal ended it, 0 before",            \
        "container")                                                                               \
    ROW(CONTAINER_STATE, "container_state", OBS_GAUGE, "", NULL,                                   \
        "1 for the state that the unit is in", "container", "state")                               \
    ROW(CONTAINER_LOG_LINES_LOST, "container_log_lines_lost", OBS_COUNTER, "", NULL,               \
        "Lines of the unit's output that could not be written to its file", "container")           \
    ROW(LOG_LINES_SHIPPED, "log_lines_shipped", OBS_COUNTER, "", NULL,                             \
        "Lines of units' output that the log store took")                                          \
    ROW(LOG_LINES_UNSHIPPED, "log_lines_unshipped", OBS_COUNTER, "", NULL,                         \
        "Lines of units' output that will not reach the log store: overflow, refused", "reason")   \
    ROW(LOG_LINES_WAITING, "log_lines_waiting", OBS_GAUGE, "", NULL,                               \
        "Lines of units' output that wait for the log store")                                      \
    ROW(LOG_SHIP_FAILURES, "log_ship_failures", OBS_COUNTER, "", NULL,                             \
        "Requests to the log store that failed and are made again")                                \
    ROW(NGINX_ACTIVE, "nginx_connections_active", OBS_GAUGE, "", NULL, "Open client connections")  \
    ROW(NGINX_READING, "nginx_connections_reading", OBS_GAUGE, "", NULL,                           \
        "Connections whose request is being read")                                                 \
    ROW(NGINX_WRITING, "nginx_connections_writing", OBS_GAUGE, "", NULL,                           \
        "Connections that are being answered")                                                     \
    ROW(NGINX_WAITING, "nginx_connections_waiting", OBS_GAUGE, "", NULL,                           \
        "Idle client connections")                                                                 \
    ROW(NGINX_ACCEPTED, "nginx_connections_accepted", OBS_COUNTER, "", NULL,                       \
        "Client connections accepted")                                                             \
    ROW(NGINX_HANDLED, "nginx_connections_handled", OBS_COUNTER, "", NULL,                         \
        "Client connections handled; less than accepted when a limit was reached")                 \
    ROW(NGINX_REQUESTS, "nginx_http_requests", OBS_COUNTER, "", NULL, "Requests read")

enum obs_metric_name {
#define OBS_METRIC_ENUM(id, ...) OBS_##id,
    OBS_METRIC_NAMES(OBS_METRIC_ENUM)
#undef OBS_METRIC_ENUM
        OBS_METRIC_NAME_COUNT
};

extern const struct obs_metric OBS_METRICS[OBS_METRIC_NAME_COUNT];

/* The family of a name in the table. */
struct obs_metric_family *obs_metrics_named(struct obs_metrics *metrics, enum obs_metric_name name);

/* Span attributes (OpenTelemetry semantic conventions 1.2x). */
#define OBS_ATTR_HTTP_METHOD "http.request.method"
#define OBS_ATTR_HTTP_ROUTE "http.route"
#define OBS_ATTR_HTTP_STATUS "http.response.status_code"
#define OBS_ATTR_URL_PATH "url.path"
#define OBS_ATTR_SERVER_ADDRESS "server.address"
#define OBS_ATTR_PEER_SERVICE "peer.service"
#define OBS_ATTR_DB_SYSTEM "db.system"
#define OBS_ATTR_DB_NAMESPACE "db.namespace"
#define OBS_ATTR_DB_OPERATION "db.operation.name"
#define OBS_ATTR_DB_STATEMENT "db.query.text"
#define OBS_ATTR_DB_ROWS "db.response.returned_rows"
#define OBS_ATTR_CACHE_HIT "cache.hit"
#define OBS_ATTR_MESSAGING_SYSTEM "messaging.system"
#define OBS_ATTR_MESSAGING_DESTINATION "messaging.destination.name"
#define OBS_ATTR_MESSAGING_ID "messaging.message.id"
#define OBS_ATTR_MESSAGING_REDELIVERED "messaging.rabbitmq.redelivered"
#define OBS_ATTR_ERROR_TYPE "error.type"
#define OBS_ATTR_QUEUE_WAIT_MS "app.queue.wait_ms"
#define OBS_ATTR_ORDER_ID "app.order.id"
#define OBS_ATTR_PRODUCT_ID "app.product.id"
#define OBS_ATTR_USER_NUMBER "load.user"
#define OBS_ATTR_JOURNEY_OUTCOME "load.outcome"
