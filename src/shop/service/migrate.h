#pragma once
/*
 * Migrate: `observa-<service> migrate --database CONNINFO --migrations DIR [--only NNN]`.
 *
 * Applies DIR/NNN_name.sql in order of NNN, once each, recorded in schema_migrations. Each file
 * runs in a transaction of its own, unless its first line is `-- no transaction` (CREATE INDEX
 * CONCURRENTLY); then each of its statements runs alone. A recorded file that has changed since is
 * refused. An advisory lock keeps two runs apart. `--only NNN` runs that one file, whether it ran
 * before or not.
 */
#include "base/reason.h"
#include <libpq-fe.h>

struct migrate_definition {
    const char *service; /* "catalog", for --help and messages */
    /* Fill the tables; runs in a transaction after the migrations and must do nothing when they are
     * filled. NULL: none. Return: 0, or < 0 with a reason. */
    int (*seed)(PGconn *connection, struct obs_reason *reterr_reason);
};

/* @argv[0] is "migrate". Return: exit status. */
int migrate_main(const struct migrate_definition *definition, int argc, char *argv[]);
