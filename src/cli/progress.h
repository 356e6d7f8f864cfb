#pragma once
/*
 * Progress: what `up` and `down` show while they wait: one line for each unit as it becomes ready,
 * with its time, and on a terminal a last line with what is still missing.
 */
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

struct progress;

/* Times count from now. @is_live: keep a line up to date at the bottom (a terminal). */
int progress_new(bool is_live, bool is_colourful, struct progress **ret_progress);
struct progress *progress_free(struct progress *progress); /* NULL is fine; clears the last line */

/* What an agent says now (GET /v1/status). */
void progress_show(struct progress *progress, const char *tenant, const json_t *status);
void progress_tick(struct progress *progress); /* redraw the last line */

double progress_seconds(const struct progress *progress);
OBS_DEFINE_CLEANUP(struct progress *, progress_free)
