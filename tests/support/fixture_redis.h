#pragma once
/* Redis: a private server in a temporary folder, unix socket only, nothing on disk. */
#include "base/cleanup.h"

struct fixture_redis;

int fixture_redis_start(struct fixture_redis **ret_redis); /* 0, -ENOENT (not installed), -errno */
struct fixture_redis *fixture_redis_free(struct fixture_redis *redis);
const char *fixture_redis_address(const struct fixture_redis *redis); /* "unix:PATH" */
const char *fixture_redis_socket(const struct fixture_redis *redis);  /* PATH */

void fixture_redis_signal(struct fixture_redis *redis, int number); /* SIGSTOP, SIGCONT, SIGKILL */
int fixture_redis_restart(struct fixture_redis *redis);

OBS_DEFINE_CLEANUP(struct fixture_redis *, fixture_redis_free)
