#pragma once
/*
 * Prepare: everything on disk that the platform's agent needs before it starts, made or brought up
 * to date. Nothing that is good already changes.
 */
#include "base/json.h"
#include "cli/paths.h"

enum prepare_outcome {
    PREPARE_OK = 0,
    PREPARE_REFUSED = 1, /* reason: a port that is taken, a path too long for sockets */
};

/* As root: the folders, given to the run user, and RUN_DIR noted. Then become the run user. As
 * another user: the folders. Return: 0, PREPARE_REFUSED, -errno (reason set). */
int prepare_folders(const struct paths *paths, struct obs_reason *reterr_reason);

/* As the run user: ports, keys, secrets, variables, targets. @control: as ports_choose().
 * Return: 0, PREPARE_REFUSED, -errno (reason set). */
int prepare_files(const struct paths *paths, int control, json_t **ret_ports,
                  struct obs_reason *reterr_reason);

/* Needed to begin: a first start writes 100 MB, and metrics grow for a day. */
#define PREPARE_DISK_BYTES (256ULL << 20)

/* Bytes that the run user may still write in STATE_DIR. */
unsigned long long prepare_disk_free(const struct paths *paths);
