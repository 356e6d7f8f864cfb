#include "shop/service/migrate.h"
#include "base/args.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ARG_DATABASE, ARG_MIGRATIONS, ARG_ONLY, ARG_SEED, ARG_COUNT };
enum { FILE_BYTES_MAX = 8 << 20, FILES_MAX = 200 };
#define ADVISORY_LOCK "7305531961"
#define NO_TRANSACTION "-- no transaction"

static const struct obs_arg ARGS[ARG_COUNT] = {
    [ARG_DATABASE] = {"database", "OBSERVA_DATABASE", NULL, "CONNINFO", "libpq connection string"},
    [ARG_MIGRATIONS] = {"migrations", "OBSERVA_MIGRATIONS", NULL, "DIR", "folder of NNN_name.sql"},
    [ARG_ONLY] = {"only", NULL, "", "NNN", "run this one, even if it ran before"},
    [ARG_SEED] = {"no-seed", NULL, "", NULL, "leave the tables empty", .is_switch = true},
};

struct migration {
    char file[128];
    unsigned number;
};

OBS_DEFINE_CLEANUP(PGconn *, PQfinish)
OBS_DEFINE_CLEANUP(PGresult *, PQclear)

/* ---- SQL ---- */

static int execute(PGconn *connection, const char *what, const char *sql,
                   struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQclearp) PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
        return 0;
    obs_reason_set(reterr_reason, "%s: %.*s", what, (int)strcspn(PQerrorMessage(connection), "\n"),
                   PQerrorMessage(connection));
    return -EIO;
}

static int prepare_table(PGconn *connection, struct obs_reason *reterr_reason)
{
    return execute(connection, "schema_migrations",
                   "SELECT pg_advisory_lock(" ADVISORY_LOCK ");"
                   "SET client_min_messages = warning;"
                   "CREATE TABLE IF NOT EXISTS schema_migrations ("
                   " number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
                   " applied_at timestamptz NOT NULL DEFAULT now())",
                   reterr_reason);
}

/* md5 in the server: what matters is change, not attack. */
static int checksum_of(PGconn *connection, const char *sql, char ret_checksum[33],
                       struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQclearp)
    PGresult *result = PQexecParams(connection, "SELECT md5($1)", 1, NULL,
                                    (const char *const[]){sql}, NULL, NULL, 0);

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        obs_reason_set(reterr_reason, "checksum: %s", PQerrorMessage(connection));
        return -EIO;
    }
    (void)snprintf(ret_checksum, 33, "%s", PQgetvalue(result, 0, 0));
    return 0;
}

/* *ret_checksum is empty when the migration has not run. */
static int recorded_checksum(PGconn *connection, unsigned number, char ret_checksum[33],
                             struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", number);
    result = PQexecParams(connection, "SELECT checksum FROM schema_migrations WHERE number = $1", 1,
                          NULL, (const char *const[]){text}, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        obs_reason_set(reterr_reason, "schema_migrations: %s", PQerrorMessage(connection));
        return -EIO;
    }
    (void)snprintf(ret_checksum, 33, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    return 0;
}

static int record(PGconn *connection, const struct migration *m, const char *checksum,
                  struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    char number[16];

    (void)snprintf(number, sizeof(number), "%u", m->number);
    result = PQexecParams(connection,
                          "INSERT INTO schema_migrations (number, name, checksum)"
                          " VALUES ($1, $2, $3) ON CONFLICT (number) DO UPDATE SET name = $2,"
                          " checksum = $3, applied_at = now()",
                          3, NULL, (const char *const[]){number, m->file, checksum}, NULL, NULL, 0);
    if (PQresultStatus(result) == PGRES_COMMAND_OK)
        return 0;
    obs_reason_set(reterr_reason, "%s: %s", m->file, PQerrorMessage(connection));
    return -EIO;
}

/* ---- files ---- */

static int compare_migrations(const void *a, const void *b)
{
    const struct migration *x = a, *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

/* "003_name.sql" */
static bool parse_name(const char *name, struct migration *ret_migration)
{
    size_t size = strlen(name);

    if (size >= sizeof(ret_migration->file) || size < 9 || !isdigit((unsigned char)name[0]) ||
        !isdigit((unsigned char)name[1]) || !isdigit((unsigned char)name[2]) || name[3] != '_' ||
        strcmp(name + size - 4, ".sql") != 0)
        return false;
    memcpy(ret_migration->file, name, size + 1);
    ret_migration->number =
        (unsigned)((name[0] - '0') * 100 + (name[1] - '0') * 10 + (name[2] - '0'));
    return true;
}

static int list_migrations(const char *folder, struct migration list[FILES_MAX], size_t *ret_count,
                           struct obs_reason *reterr_reason)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    size_t count = 0;

    if (!dir) {
        int r = -errno;

        obs_reason_set(reterr_reason, "--migrations %s: %s", folder, strerror(-r));
        return r;
    }
    while (count < FILES_MAX && (entry = readdir(dir)))
        if (parse_name(entry->d_name, &list[count]))
            count++;
    (void)closedir(dir);
    qsort(list, count, sizeof(*list), compare_migrations);
    for (size_t i = 1; i < count; i++) {
        if (list[i].number == list[i - 1].number) {
            obs_reason_set(reterr_reason, "%s and %s have the same number", list[i - 1].file,
                           list[i].file);
            return -EEXIST;
        }
    }
    *ret_count = count;
    return 0;
}

static int read_migration(const char *folder, const struct migration *m, struct obs_buffer *b,
                          struct obs_reason *reterr_reason)
{
    char path[1024];
    int r = -ENAMETOOLONG;

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, m->file) < sizeof(path))
        r = obs_file_read(path, b);
    if (r == 0)
        r = obs_buffer_append(b, "", 0);
    if (r < 0)
        obs_reason_set(reterr_reason, "%s: %s", m->file, strerror(-r));
    return r;
}

/* ---- run ---- */

/* Statements end with a `;` at the end of a line: these files hold nothing more complicated. */
static int execute_alone(PGconn *connection, const struct migration *m, char *sql,
                         struct obs_reason *reterr_reason)
{
    int r = 0;

    for (char *end; r == 0 && (end = strstr(sql, ";\n")); sql = end + 2) {
        *end = '\0';
        r = execute(connection, m->file, sql, reterr_reason);
    }
    return r;
}

static int apply(PGconn *connection, const struct migration *m, char *sql, const char *checksum,
                 struct obs_reason *reterr_reason)
{
    bool is_alone = strncmp(sql, NO_TRANSACTION, strlen(NO_TRANSACTION)) == 0;
    int r = 0;

    if (is_alone) {
        r = execute_alone(connection, m, sql, reterr_reason);
        return r < 0 ? r : record(connection, m, checksum, reterr_reason);
    }
    r = execute(connection, m->file, "BEGIN", reterr_reason);
    if (r == 0)
        r = execute(connection, m->file, sql, reterr_reason);
    if (r == 0)
        r = record(connection, m, checksum, reterr_reason);
    if (r == 0)
        return execute(connection, m->file, "COMMIT", reterr_reason);
    (void)execute(connection, m->file, "ROLLBACK", NULL);
    return r;
}

static int migrate_one(PGconn *connection, const char *folder, const struct migration *m,
                       bool is_forced, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(FILE_BYTES_MAX);
    char checksum[33], recorded[33];
    int r = read_migration(folder, m, &b, reterr_reason);

    if (r == 0)
        r = checksum_of(connection, b.data ? b.data : "", checksum, reterr_reason);
    if (r == 0)
        r = recorded_checksum(connection, m->number, recorded, reterr_reason);
    if (r < 0)
        return r;
    if (recorded[0] != '\0' && strcmp(recorded, checksum) != 0) {
        obs_reason_set(reterr_reason,
                       "%s has changed since it was applied: add a new migration instead", m->file);
        return -EEXIST;
    }
    if (recorded[0] != '\0' && !is_forced)
        return 0;
    r = apply(connection, m, b.data ? b.data : (char[]){""}, checksum, reterr_reason);
    if (r == 0)
        obs_log(OBS_LOG_INFO, "migration applied", OBS_TEXT("migration", m->file));
    return r;
}

static int migrate_all(PGconn *connection, const char *folder, const char *only,
                       struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_freep) struct migration *list = calloc(FILES_MAX, sizeof(*list));
    size_t count = 0;
    bool is_found = *only == '\0';
    int r;

    if (!list)
        return -ENOMEM;
    r = list_migrations(folder, list, &count, reterr_reason);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (*only != '\0' && list[i].number != (unsigned)strtoul(only, NULL, 10))
            continue;
        is_found = true;
        r = migrate_one(connection, folder, &list[i], *only != '\0', reterr_reason);
    }
    if (r == 0 && !is_found) {
        obs_reason_set(reterr_reason, "--only %s: no such migration in %s", only, folder);
        return -ENOENT;
    }
    return r;
}

static int run_seed(PGconn *connection, const struct migrate_definition *d,
                    struct obs_reason *reterr_reason)
{
    int r = execute(connection, "seed", "BEGIN", reterr_reason);

    if (r == 0)
        r = d->seed(connection, reterr_reason);
    if (r == 0)
        return execute(connection, "seed", "COMMIT", reterr_reason);
    (void)execute(connection, "seed", "ROLLBACK", NULL);
    return r;
}

static int migrate_run(const struct migrate_definition *d, const char *const *args,
                       struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQfinishp) PGconn *connection = PQconnectdb(args[ARG_DATABASE]);
    int r;

    if (PQstatus(connection) != CONNECTION_OK) {
        obs_reason_set(reterr_reason, "%.*s", (int)strcspn(PQerrorMessage(connection), "\n"),
                       PQerrorMessage(connection));
        return -EIO;
    }
    r = prepare_table(connection, reterr_reason);
    if (r == 0)
        r = migrate_all(connection, args[ARG_MIGRATIONS], args[ARG_ONLY], reterr_reason);
    if (r == 0 && d->seed && *args[ARG_ONLY] == '\0' && *args[ARG_SEED] == '\0')
        r = run_seed(connection, d, reterr_reason);
    return r;
}

int migrate_main(const struct migrate_definition *definition, int argc, char *argv[])
{
    const char *values[ARG_COUNT] = {0};
    struct obs_reason why = {0};
    char program[64];
    int r;

    (void)snprintf(program, sizeof(program), "observa-%s migrate", definition->service);
    r = obs_args_parse(program, "bring the database's schema and data up to date", ARGS, ARG_COUNT,
                       argc, argv, values, NULL, &why);
    if (r == OBS_ARGS_HELP)
        return EXIT_SUCCESS;
    if (r == 0) {
        obs_log_setup(definition->service, "", OBS_LOG_INFO);
        r = migrate_run(definition, values, &why);
        if (r == 0)
            return EXIT_SUCCESS;
    }
    fprintf(stderr, "%s: %s\n", program, why.text[0] != '\0' ? why.text : strerror(-r));
    return r > 0 ? 2 : EXIT_FAILURE;
}
