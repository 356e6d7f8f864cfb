#pragma once
/* Platform: the platform's agent as a process: started apart from the terminal, one at a time. */
#include "base/reason.h"
#include "cli/paths.h"
#include <sys/types.h>

/* Keep other `up` and `down` of this installation away until the descriptor is closed (it waits for
 * one that is at work). Return: descriptor, -errno (reason set). */
int platform_lock(const struct paths *paths, struct obs_reason *reterr_reason);

/* Start `observa-agent --tenant platform` in a session of its own, its output in
 * STATE_DIR/platform/log/agent.log. Return: 0, -errno (reason set). */
int platform_start(const struct paths *paths, pid_t *ret_pid, struct obs_reason *reterr_reason);

/* The last lines of the agent's own output, to be freed; "" when there is none. */
char *platform_last_output(const struct paths *paths, size_t size_max);
