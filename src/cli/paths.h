#pragma once
/*
 * Paths: where an installation keeps what lasts (STATE_DIR) and its sockets (RUN_DIR), and the rule
 * that finds them.
 *
 *   STATE_DIR   the flag or the environment; else, for a program in STATE_DIR/dist/bin, that one;
 * else for a program inside a checkout, root: /var/lib/observastack/H, other users:
 *               ${XDG_STATE_HOME:-~/.local/state}/observastack/H, with H from the checkout's real
 * path RUN_DIR     root: /run/observastack/H', other users: $XDG_RUNTIME_DIR/observastack-H', else
 *               /tmp/observastack-UID-H', with H' from STATE_DIR. It is kept in STATE_DIR/run-dir
 * once made, so that a login without XDG_RUNTIME_DIR finds the same.
 *
 * H is the first 8 hex digits of the SHA-256 of the path.
 */
#include "base/reason.h"
#include <stddef.h>

#define PATHS_ROOM 512
#define PATHS_SOCKET_MAX 107 /* sun_path on Linux, less its NUL */
#define PATHS_PLATFORM "platform"
#define PATHS_TENANT "solo" /* the one tenant of a single user's installation */

struct paths {
    char state[PATHS_ROOM];
    char run[PATHS_ROOM];
    char dist[PATHS_ROOM]; /* state/dist */
    char hash[9];          /* of state */
};

enum paths_outcome {
    PATHS_OK = 0,
    PATHS_REFUSED = 1, /* reason: not absolute, too long for sockets, no rule gives one */
};

/* @state_dir: NULL or "" for the rule. */
int paths_find(const char *state_dir, struct paths *ret_paths, struct obs_reason *reterr_reason);

/* Format into @out[PATHS_ROOM]; text that does not fit is a bug. Returns @out. */
char *paths_format(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* First 8 hex digits of the SHA-256 of @text. */
void paths_hash(const char *text, char out[9]);
