#pragma once
/*
 * Telemetry client: questions to observa-telemetry, for verbs.
 *
 * It is reached at RUN_DIR/platform/telemetry.sock, else at the port `telemetry` of ports.json,
 * unless an address is given (--telemetry, OBSERVA_TELEMETRY).
 */
#include "base/json.h"
#include "cli/cli.h"

#define TELEMETRY_ARG                                                                              \
    {                                                                                              \
        "telemetry", "OBSERVA_TELEMETRY", "", "ADDRESS",                                           \
            "where to ask, unix:PATH or tcp:HOST:PORT; default: this installation's"               \
    }
#define TELEMETRY_TENANT_ARG                                                                       \
    {                                                                                              \
        "tenant", NULL, PATHS_TENANT, "NAME", "whose data"                                         \
    }

struct telemetry_query {
    const struct cli *cli;
    const char *address; /* "" : found */
    const char *tenant;
    struct obs_buffer target; /* path and parameters */
};

/* Begin a target; then parameters, each encoded. */
void telemetry_query_init(struct telemetry_query *query, const struct cli *cli, const char *address,
                          const char *tenant, const char *path);
void telemetry_query_done(struct telemetry_query *query);
void telemetry_query_add(struct telemetry_query *query, const char *name, const char *value);
void telemetry_query_add_number(struct telemetry_query *query, const char *name, uint64_t value);

/* Ask. On anything but 200 the person is told why. Return: enum cli_exit. */
int telemetry_ask(struct telemetry_query *query, struct obs_buffer *ret_body);
int telemetry_ask_json(struct telemetry_query *query, json_t **ret_json);

/* "5m" of a flag. Return: enum cli_exit; CLI_USAGE was said. */
int telemetry_duration(const char *flag, const char *text, uint64_t *ret_ns);
/* A count of a flag, 1 to @max. */
int telemetry_count(const char *flag, const char *text, uint64_t max, uint64_t *ret_count);

unsigned telemetry_columns(void); /* of the terminal; 100 when there is none */
/* "940ns", "12.3ms", "4.56s". Returns @out. */
char *telemetry_show_ns(uint64_t ns, char out[24]);
/* What others wrote, on a terminal: control characters become '.'; cut to @columns characters (0:
 * not cut). */
void telemetry_print_text(const char *text, unsigned columns);
#define TELEMETRY_QUERY OBS_CLEANUP(telemetry_query_done) struct telemetry_query
