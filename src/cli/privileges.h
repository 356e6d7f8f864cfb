#pragma once
/* Privileges: nothing of ObservaStack runs as root. What root starts runs as the system user
 * observa. */
#include "base/reason.h"
#include <sys/types.h>

#define PRIVILEGES_USER "observa"

/* Make @path (parents too) a folder of the run user's own, mode 0700. As root it is given to that
 * user; otherwise, and for one that is there already, it must be ours: a folder in /tmp may be
 * anyone's. Return: 0, -errno (reason set). */
int privileges_own_folder(const char *path, struct obs_reason *reterr_reason);

/* Become the run user for good; nothing to do for a plain user. Return: 0, -errno (reason set). */
int privileges_drop(struct obs_reason *reterr_reason);
