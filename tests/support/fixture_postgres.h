#pragma once
/*
 * PostgreSQL: a private cluster in a temporary folder, unix socket only, no password.
 *
 * As root it runs as `nobody`, because PostgreSQL refuses to run as root.
 */
#include "base/cleanup.h"
#include <stdbool.h>

struct fixture_postgres;

/* Takes about a second (initdb). Return: 0, -ENOENT when PostgreSQL 15 is not installed, -errno. */
int fixture_postgres_start(struct fixture_postgres **ret_postgres);
struct fixture_postgres *fixture_postgres_free(struct fixture_postgres *postgres);

/* CREATE DATABASE @name with an owner of the same name, and the conninfo to reach it as the owner.
 */
int fixture_postgres_database(struct fixture_postgres *postgres, const char *name,
                              char ret_conninfo[256]);
/* Run SQL as superuser in @database. Return: 0 or -EIO (message on standard error). */
int fixture_postgres_execute(struct fixture_postgres *postgres, const char *database,
                             const char *sql);
/* First column of the first row as a number; -1 on failure. */
long long fixture_postgres_number(struct fixture_postgres *postgres, const char *database,
                                  const char *sql);

void fixture_postgres_kill(struct fixture_postgres *postgres);   /* SIGKILL, reaped */
int fixture_postgres_restart(struct fixture_postgres *postgres); /* after kill */

OBS_DEFINE_CLEANUP(struct fixture_postgres *, fixture_postgres_free)
