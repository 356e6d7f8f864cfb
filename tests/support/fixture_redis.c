#include "support/fixture_redis.h"
#include "support/fixture_process.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define REDIS_PROGRAM "/usr/bin/redis-server"
enum { READY_MS = 30000 };

struct fixture_redis {
    char folder[64], socket[96], address[112];
    struct fixture_process *process;
};

int fixture_redis_restart(struct fixture_redis *redis)
{
    const char *const argv[] = {REDIS_PROGRAM,
                                "--port",
                                "0",
                                "--unixsocket",
                                redis->socket,
                                "--save",
                                "",
                                "--appendonly",
                                "no",
                                "--maxmemory",
                                "32mb",
                                "--maxmemory-policy",
                                "allkeys-lru",
                                "--enable-debug-command",
                                "local",
                                NULL};
    int r;

    redis->process = fixture_process_free(redis->process);
    r = fixture_process_start(
        &(struct fixture_process_options){.argv = argv, .folder = redis->folder}, &redis->process);
    if (r < 0)
        return r;
    return fixture_process_wait_for(redis->process, "ready to accept connections at", READY_MS)
               ? 0
               : -EIO;
}

int fixture_redis_start(struct fixture_redis **ret_redis)
{
    OBS_CLEANUP(fixture_redis_freep) struct fixture_redis *redis = NULL;
    int r;

    if (access(REDIS_PROGRAM, X_OK) < 0)
        return -ENOENT;
    redis = calloc(1, sizeof(*redis));
    if (!redis)
        return -ENOMEM;
    r = fixture_folder_new(NULL, redis->folder);
    if (r < 0)
        return r;
    (void)snprintf(redis->socket, sizeof(redis->socket), "%s/redis.sock", redis->folder);
    (void)snprintf(redis->address, sizeof(redis->address), "unix:%s", redis->socket);
    r = fixture_redis_restart(redis);
    if (r < 0)
        return r;
    *ret_redis = OBS_TAKE(redis);
    return 0;
}

struct fixture_redis *fixture_redis_free(struct fixture_redis *redis)
{
    if (!redis)
        return NULL;
    if (redis->process) {
        fixture_process_signal(redis->process, SIGKILL);
        (void)fixture_process_wait(redis->process, READY_MS);
    }
    redis->process = fixture_process_free(redis->process);
    if (redis->folder[0] != '\0')
        fixture_folder_remove(redis->folder);
    free(redis);
    return NULL;
}

const char *fixture_redis_address(const struct fixture_redis *redis)
{
    return redis->address;
}

const char *fixture_redis_socket(const struct fixture_redis *redis)
{
    return redis->socket;
}

void fixture_redis_signal(struct fixture_redis *redis, int number)
{
    fixture_process_signal(redis->process, number);
}
