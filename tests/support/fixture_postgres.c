#include "support/fixture_postgres.h"
#include "support/fixture_process.h"
#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define POSTGRES_BIN "/usr/lib/postgresql/15/bin/"
#define POSTGRES_USER "nobody"
enum { INITDB_MS = 60000, READY_MS = 30000 };

struct fixture_postgres {
    char folder[64], data[96];
    struct fixture_process *process;
};

static int initialise(struct fixture_postgres *p)
{
    const char *const argv[] = {POSTGRES_BIN "initdb",
                                "-D",
                                p->data,
                                "--no-sync",
                                "--locale=C",
                                "--encoding=UTF8",
                                "--wal-segsize=1",
                                "-A",
                                "trust",
                                "--no-instructions",
                                "-U",
                                "admin",
                                NULL};

    return fixture_process_run(&(struct fixture_process_options){.argv = argv,
                                                                 .user = POSTGRES_USER,
                                                                 .folder = p->folder},
                               INITDB_MS, NULL) == 0
               ? 0
               : -EIO;
}

int fixture_postgres_restart(struct fixture_postgres *p)
{
    char sockets[128];
    const char *const argv[] = {POSTGRES_BIN "postgres",
                                "-D",
                                p->data,
                                "-c",
                                sockets,
                                "-c",
                                "listen_addresses=",
                                "-c",
                                "fsync=off",
                                "-c",
                                "synchronous_commit=off",
                                "-c",
                                "full_page_writes=off",
                                "-c",
                                "shared_buffers=8MB",
                                "-c",
                                "max_connections=40",
                                "-c",
                                "dynamic_shared_memory_type=mmap",
                                "-c",
                                "jit=off",
                                "-c",
                                "max_parallel_workers=0",
                                "-c",
                                "work_mem=1MB",
                                NULL};
    int r;

    (void)snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s", p->folder);
    p->process = fixture_process_free(p->process);
    r = fixture_process_start(
        &(struct fixture_process_options){.argv = argv, .user = POSTGRES_USER, .folder = p->folder},
        &p->process);
    if (r < 0)
        return r;
    return fixture_process_wait_for(p->process, "database system is ready to accept connections",
                                    READY_MS)
               ? 0
               : -EIO;
}

int fixture_postgres_start(struct fixture_postgres **ret_postgres)
{
    OBS_CLEANUP(fixture_postgres_freep) struct fixture_postgres *p = NULL;
    int r;

    if (access(POSTGRES_BIN "postgres", X_OK) < 0)
        return -ENOENT;
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    r = fixture_folder_new(POSTGRES_USER, p->folder);
    if (r < 0)
        return r;
    (void)snprintf(p->data, sizeof(p->data), "%s/data", p->folder);
    r = initialise(p);
    if (r == 0)
        r = fixture_postgres_restart(p);
    if (r < 0)
        return r;
    *ret_postgres = OBS_TAKE(p);
    return 0;
}

void fixture_postgres_kill(struct fixture_postgres *p)
{
    fixture_process_signal(p->process, SIGKILL);
    (void)fixture_process_wait(p->process, READY_MS);
}

struct fixture_postgres *fixture_postgres_free(struct fixture_postgres *p)
{
    if (!p)
        return NULL;
    if (p->process) {
        fixture_process_signal(p->process, SIGQUIT); /* immediate: the data is thrown away anyway */
        (void)fixture_process_wait(p->process, READY_MS);
    }
    p->process = fixture_process_free(p->process);
    if (p->folder[0] != '\0')
        fixture_folder_remove(p->folder);
    free(p);
    return NULL;
}

static PGresult *execute(struct fixture_postgres *p, const char *database, const char *sql)
{
    char conninfo[256];
    PGconn *connection;
    PGresult *result;

    (void)snprintf(conninfo, sizeof(conninfo), "host=%s dbname=%s user=admin", p->folder, database);
    connection = PQconnectdb(conninfo);
    result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        fprintf(stderr, "# %s: %s\n", sql, PQerrorMessage(connection));
        PQclear(result);
        result = NULL;
    }
    PQfinish(connection);
    return result;
}

int fixture_postgres_execute(struct fixture_postgres *p, const char *database, const char *sql)
{
    PGresult *result = execute(p, database, sql);
    int r = result ? 0 : -EIO;

    PQclear(result);
    return r;
}

long long fixture_postgres_number(struct fixture_postgres *p, const char *database, const char *sql)
{
    PGresult *result = execute(p, database, sql);
    long long number = -1;

    if (result && PQntuples(result) > 0)
        number = atoll(PQgetvalue(result, 0, 0));
    PQclear(result);
    return number;
}

int fixture_postgres_database(struct fixture_postgres *p, const char *name, char ret_conninfo[256])
{
    char sql[256];
    int r;

    (void)snprintf(sql, sizeof(sql), "CREATE ROLE \"%s\" LOGIN", name);
    r = fixture_postgres_execute(p, "postgres", sql);
    if (r < 0)
        return r;
    (void)snprintf(sql, sizeof(sql), "CREATE DATABASE \"%s\" OWNER \"%s\"", name, name);
    r = fixture_postgres_execute(p, "postgres", sql);
    (void)snprintf(ret_conninfo, 256, "host=%s dbname=%s user=%s", p->folder, name, name);
    return r;
}
