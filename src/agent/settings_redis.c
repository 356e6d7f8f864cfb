/* Settings of the shop's cache (Redis), and how a running one is told. */
#include "agent/served.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

enum { ROW_VERSION, ROW_MAXMEMORY, ROW_MAXMEMORY_POLICY };

#define REDIS_TIMEOUT_S 1 /* to connect, and again for the answer */

static const struct obs_setting ROWS[] = {
    [ROW_VERSION] = {.name = "version",
                     .type = OBS_SETTING_CHOICE,
                     .standard = "7.0",
                     .choices = "7.0",
                     .unit = "",
                     .meaning = "release of Redis"},
    [ROW_MAXMEMORY] = {.name = "maxmemory",
                       .type = OBS_SETTING_INT,
                       .standard = "64",
                       .minimum = 1,
                       .maximum = 4096,
                       .unit = "MiB",
                       .meaning = "memory that keys and values may take"},
    [ROW_MAXMEMORY_POLICY] = {.name = "maxmemory_policy",
                              .type = OBS_SETTING_CHOICE,
                              .standard = "allkeys-lru",
                              .choices = "noeviction|allkeys-lru|allkeys-lfu|allkeys-random|"
                                         "volatile-lru|volatile-lfu|volatile-random|volatile-ttl",
                              .unit = "",
                              .meaning = "what is removed when the memory is full"},
};

static const struct obs_release RELEASES[] = {{.version = "7.0"}};

const struct obs_settings_schema SETTINGS_REDIS = {.service = "redis",
                                                   .rows = ROWS,
                                                   .row_count = OBS_COUNT(ROWS),
                                                   .releases = RELEASES,
                                                   .release_count = OBS_COUNT(RELEASES)};

static redisContext *connect_to(const struct obs_address *address)
{
    struct timeval timeout = {REDIS_TIMEOUT_S, 0};
    const char *text = strchr(address->text, ':') + 1;
    const char *port = strrchr(text, ':');
    redisContext *context;
    char host[128];

    if (strncmp(address->text, "unix:", 5) == 0) {
        context = redisConnectUnixWithTimeout(text, timeout);
    } else {
        snprintf(host, sizeof(host), "%.*s", (int)(port - text), text);
        context = redisConnectWithTimeout(host, obs_address_port(address), timeout);
    }
    if (context && !context->err)
        redisSetTimeout(context, timeout);
    return context;
}

int settings_redis_apply(const struct obs_address *address, const struct obs_settings_view *view,
                         struct obs_reason *reterr_reason)
{
    redisContext *context = connect_to(address);
    redisReply *reply = NULL;
    int r = -EIO;

    if (!context)
        return -ENOMEM;
    if (!context->err) /* one command: both or none (CONFIG SET, since Redis 7) */
        reply = redisCommand(context, "CONFIG SET maxmemory %lldmb maxmemory-policy %s",
                             (long long)obs_setting_int(view, ROW_MAXMEMORY),
                             obs_setting_text(view, ROW_MAXMEMORY_POLICY));
    if (!reply)
        obs_reason_set(reterr_reason, "%s: %s", address->text, context->errstr);
    else if (reply->type == REDIS_REPLY_ERROR)
        obs_reason_set(reterr_reason, "%s: %s", address->text, reply->str);
    else
        r = 0;
    if (reply)
        freeReplyObject(reply);
    redisFree(context);
    return r;
}
