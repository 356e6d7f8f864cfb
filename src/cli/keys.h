#pragma once
/*
 * Keys: what an installation keeps secret, made once.
 *
 *   STATE_DIR/platform/keys/agent.key, agent.pub    ES256 pair: the CLI signs, agents check
 *   files of random hex                             passwords
 */
#include "base/reason.h"

/* Make the pair when it is not there. Return: 0, -errno (reason set). */
int keys_make_pair(const char *private_path, const char *public_path,
                   struct obs_reason *reterr_reason);

/* Make a file (mode 0600) of 48 random hex digits when it is not there. Return: 0, -errno. */
int keys_make_secret(const char *path, struct obs_reason *reterr_reason);
/* Its text, to be freed. Return: 0, -errno. */
int keys_read_secret(const char *path, char **ret_text, struct obs_reason *reterr_reason);

/* A token (JWT, ES256) for the agent of @audience, good for @seconds from now; to be freed. Return:
 * 0, -errno. */
int keys_token(const char *private_path, const char *audience, unsigned seconds, char **ret_token,
               struct obs_reason *reterr_reason);
