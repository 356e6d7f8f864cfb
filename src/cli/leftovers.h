#pragma once
/*
 * Leftovers: processes of an installation that are still there.
 *
 * All that an agent starts works in a folder under STATE_DIR/platform, STATE_DIR/tenants or
 * RUN_DIR, runs as the run user, and has no terminal (a person's shell that stands in such a folder
 * has one).
 */
#include "cli/paths.h"
#include <stddef.h>
#include <sys/types.h>

/* Fill @ret_pids with at most @max of them. Return: how many there are. */
size_t leftovers_find(const struct paths *paths, pid_t *ret_pids, size_t max);

/* KILL them and wait until they are gone, at most @within_ms. Return: how many are left. */
size_t leftovers_kill(const struct paths *paths, unsigned within_ms);

/* "NAME (PID)" of a process, for messages. */
char *leftovers_name(pid_t pid, char out[64]);
