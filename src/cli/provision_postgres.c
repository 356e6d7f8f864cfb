/*
 * Provision PostgreSQL: roles and databases of a tenant. Safe to run again; passwords follow the
 * secrets' files.
 */
#include "cli/provision.h"

#include "cli/keys.h"
#include "cli/tenant.h"
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

OBS_DEFINE_CLEANUP(PGconn *, PQfinish)
OBS_DEFINE_CLEANUP(PGresult *, PQclear)

static void freep_pq(char **text)
{
    PQfreemem(*text);
}

static int run_sql(PGconn *connection, const char *sql, int *ret_rows,
                   struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQclearp) PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        obs_reason_set(reterr_reason, "PostgreSQL: %s", PQresultErrorMessage(result));
        return -EIO;
    }
    if (ret_rows)
        *ret_rows = PQntuples(result);
    return 0;
}

__attribute__((format(printf, 4, 5))) static int run_format(PGconn *connection, int *ret_rows,
                                                            struct obs_reason *reterr_reason,
                                                            const char *format, ...)
{
    char sql[2048];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(sql, sizeof(sql), format, args);
    va_end(args);
    if (size < 0 || size >= (int)sizeof(sql))
        return -EMSGSIZE;
    return run_sql(connection, sql, ret_rows, reterr_reason);
}

static int connect_admin(const struct paths *paths, PGconn **ret_connection,
                         struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQfinishp) PGconn *connection = NULL;
    char conninfo[3 * PATHS_ROOM];

    (void)snprintf(conninfo, sizeof(conninfo),
                   "host=%s/platform port=5432 user=postgres dbname=postgres connect_timeout=5 "
                   "passfile=%s/platform/secrets/pgpass application_name=provision",
                   paths->run, paths->state);
    connection = PQconnectdb(conninfo);
    if (PQstatus(connection) != CONNECTION_OK) {
        obs_reason_set(reterr_reason, "PostgreSQL: %s", PQerrorMessage(connection));
        return -ECONNREFUSED;
    }
    *ret_connection = OBS_TAKE(connection);
    return 0;
}

/* @role comes from tenant_is_name() and constants: it needs no quoting beyond the quotes. The
 * password is encrypted here, so that no log of the server can hold it. */
static int make_role(PGconn *connection, const char *role, const char *secret_path,
                     struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_freep) char *password = NULL;
    OBS_CLEANUP(freep_pq) char *encrypted = NULL;
    int rows = 0;
    int r = keys_read_secret(secret_path, &password, reterr_reason);

    if (r == 0)
        r = run_format(connection, &rows, reterr_reason,
                       "SELECT 1 FROM pg_roles WHERE rolname = '%s'", role);
    if (r == 0 && rows == 0)
        r = run_format(connection, NULL, reterr_reason, "CREATE ROLE \"%s\" LOGIN", role);
    if (r < 0)
        return r;
    encrypted = PQencryptPasswordConn(connection, password, role, "scram-sha-256");
    if (!encrypted) {
        obs_reason_set(reterr_reason, "PostgreSQL: %s", PQerrorMessage(connection));
        return -EIO;
    }
    return run_format(connection, NULL, reterr_reason, "ALTER ROLE \"%s\" PASSWORD '%s'", role,
                      encrypted);
}

static int make_database(PGconn *connection, const char *name, struct obs_reason *reterr_reason)
{
    int rows = 0;
    int r = run_format(connection, &rows, reterr_reason,
                       "SELECT 1 FROM pg_database WHERE datname = '%s'", name);

    if (r == 0 && rows == 0)
        r = run_format(connection, NULL, reterr_reason, "CREATE DATABASE \"%s\" OWNER \"%s\"", name,
                       name);
    if (r == 0)
        r = run_format(connection, NULL, reterr_reason, "REVOKE ALL ON DATABASE \"%s\" FROM PUBLIC",
                       name);
    return r;
}

/* The exporter's role sees statistics of all databases and no data. */
static int make_monitor(PGconn *connection, const struct paths *paths,
                        struct obs_reason *reterr_reason)
{
    char path[PATHS_ROOM];
    int r =
        make_role(connection, "monitor",
                  paths_format(path, "%s/platform/secrets/monitor", paths->state), reterr_reason);

    if (r == 0)
        r = run_sql(connection, "GRANT pg_monitor TO monitor", NULL, reterr_reason);
    if (r == 0)
        r = run_sql(connection,
                    "SET client_min_messages = warning; "
                    "CREATE EXTENSION IF NOT EXISTS pg_stat_statements",
                    NULL, reterr_reason);
    return r;
}

int provision_postgres(const struct paths *paths, const char *tenant,
                       struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQfinishp) PGconn *connection = NULL;
    char name[80], path[PATHS_ROOM];
    int r = connect_admin(paths, &connection, reterr_reason);

    for (size_t i = 0; i < OBS_COUNT(TENANT_DATABASES) && r == 0; i++) {
        (void)snprintf(name, sizeof(name), "%s_%s", tenant, TENANT_DATABASES[i]);
        paths_format(path, "%s/tenants/%s/secrets/%s", paths->state, tenant, TENANT_DATABASES[i]);
        r = make_role(connection, name, path, reterr_reason);
        if (r == 0)
            r = make_database(connection, name, reterr_reason);
    }
    return r == 0 ? make_monitor(connection, paths, reterr_reason) : r;
}
