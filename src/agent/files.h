#pragma once
/* Files that are made anew at each start: whole, but not forced to disk. */
#include "agent/variables.h"
#include "base/reason.h"
#include <stddef.h>
#include <sys/types.h>

#define FILES_TEMPLATE_MAX 262144

/* Write beside @path and rename over it. Return: 0 or -errno with a reason that names the path. */
int files_replace(const char *path, const void *data, size_t size, mode_t mode,
                  struct obs_reason *reterr_reason);

/* Fill in @source with @variables and replace @target by it. Return: 0 or < 0, always with a
 * reason. */
int files_render(const char *source, const struct variables *variables, const char *target,
                 mode_t mode, struct obs_reason *reterr_reason);
