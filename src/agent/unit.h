#pragma once
/*
 * Unit: what the table says about one process of a system. Format and meaning: docs/agent.md.
 *
 * Definitions are read once, never change, and live as long as their table. All text has its
 * variables filled in, but for templates and `check`, which are filled in when they are used.
 */
#include "agent/variables.h"
#include "base/address.h"
#include "base/cleanup.h"
#include "base/reason.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UNIT_NAME_MAX 40
#define UNITS_MAX 200
#define UNIT_FILE_BYTES_MAX 262144 /* of the table */
#define UNIT_COUNT_MAX 60          /* restarts in a window, failures of a probe */

enum unit_kind { UNIT_SERVICE, UNIT_TASK };
enum unit_probe_kind { UNIT_PROBE_NONE, UNIT_PROBE_HTTP, UNIT_PROBE_CONNECT, UNIT_PROBE_EXEC };
enum unit_log_format { UNIT_LOG_TEXT, UNIT_LOG_JSON, UNIT_LOG_NGINX_ACCESS };
/* Whose lines a server prints that all tenants share. */
enum unit_log_tenants {
    UNIT_LOG_TENANTS_OWN,      /* the agent's own tenant's */
    UNIT_LOG_TENANTS_POSTGRES, /* by `dbname` and `user` of jsonlog */
    UNIT_LOG_TENANTS_RABBITMQ, /* by the vhost that a line names */
};
enum unit_settings { UNIT_SETTINGS_NONE, UNIT_SETTINGS_GATEWAY, UNIT_SETTINGS_REDIS };

struct unit_probe {
    enum unit_probe_kind kind;
    struct obs_address address; /* HTTP, CONNECT */
    const char *path;           /* HTTP */
    char **argv;                /* EXEC; ends with NULL */
    unsigned timeout_ms;        /* one attempt */
    unsigned interval_ms;       /* between attempts once ready */
    unsigned within_ms;         /* readiness: longest start */
    unsigned failures;          /* liveness: bad answers in a row that mean a hang */
};

struct unit_environment {
    const char *name;
    const char *value; /* NULL: content of file */
    const char *file;
};

struct unit_template {
    const char *source, *target;
    mode_t mode;
};

struct unit_restart {
    unsigned backoff_ms, backoff_max_ms, reset_after_ms;
    unsigned limit, window_ms;
};

struct unit {
    const char *name;
    unsigned line; /* in the table's file */
    enum unit_kind kind;
    bool is_required;
    char **argv; /* ends with NULL */
    const char *directory;
    char **folders, **sockets; /* end with NULL */
    struct unit_environment *environment;
    size_t environment_count;
    struct unit **after;
    size_t after_count;
    struct unit_probe ready, liveness;
    struct unit_restart restart;
    int stop_signal, death_signal, reload_signal; /* reload_signal 0: none */
    unsigned stop_timeout_ms;
    struct unit_template *templates;
    size_t template_count;
    enum unit_settings settings;
    char **check; /* raw words; NULL: none */
    bool has_admin;
    struct obs_address admin; /* its own /config */
    bool has_address;
    struct obs_address address; /* settings: redis */
    enum unit_log_format log_format;
    enum unit_log_tenants log_tenants;
    const char *log_service; /* of lines that do not say theirs; may be NULL, not for NGINX_ACCESS:
                              * there it is the `service` label too */
    char **log_routes;       /* NGINX_ACCESS: ends with NULL */
    bool has_stub_status;
    struct obs_address stub_status;
    const char *stub_path;
};

struct unit_table {
    struct obs_arena *arena; /* everything below */
    struct unit **units;     /* in the order of the file */
    size_t count;
};

enum unit_outcome {
    UNIT_OK = 0,
    UNIT_REFUSED = 1, /* reason with line */
};

/* Parse @source. @variables is only read. Return: 0, UNIT_REFUSED, -ENOMEM. */
int unit_table_parse(const char *source, size_t size, const struct variables *variables,
                     struct unit_table **ret_table, struct obs_reason *reterr_reason);
/* The same from a file; the reason of a refusal begins with its path. */
int unit_table_read(const char *path, const struct variables *variables,
                    struct unit_table **ret_table, struct obs_reason *reterr_reason);
struct unit_table *unit_table_free(struct unit_table *table);
struct unit *unit_table_find(const struct unit_table *table, const char *name); /* may be NULL */

/* "TERM" or "SIGTERM" to its number; 0 when unknown. */
int unit_signal_parse(const char *name);
const char *unit_signal_name(int number); /* "TERM"; "?" when unknown */

OBS_DEFINE_CLEANUP(struct unit_table *, unit_table_free)
