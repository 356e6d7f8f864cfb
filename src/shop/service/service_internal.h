#pragma once
/* What the skeleton's files know of a service: service.c runs it, service_admin.c answers its admin
 * listener. Nobody else includes this. */
#include "shop/service/service.h"
#include <stdatomic.h>

/* The common arguments, before a service's own. */
enum { ARG_LISTEN, ARG_ADMIN, ARG_STATE, ARG_OTLP, ARG_RESOURCE, ARG_PROFILES, ARG_COMMON_COUNT };

struct service {
    const struct service_definition *definition;
    struct event_base *loop;
    struct obs_settings *settings;
    struct obs_telemetry telemetry;
    struct obs_http_instrument *instrument;
    struct obs_http_observer observer; /* the instrument's, and the wait for a worker */
    struct obs_metric_series *queue_wait;
    struct obs_worker_pool *pool, *admin_pool;
    struct obs_http_server *server, *admin_server;
    struct obs_address listen, admin;
    void *state;
    char settings_path[512];
    atomic_bool is_draining;
    bool is_drained;
};

extern const struct obs_http_route SERVICE_ADMIN_ROUTES[];
extern const size_t SERVICE_ADMIN_ROUTE_COUNT;

/* service_telemetry.c. @args: values by ARG_… Return: 0, or < 0 with a reason. */
int service_settings_open(struct service *service, const char *folder,
                          struct obs_reason *reterr_reason);
int service_telemetry_start(struct service *service, const char *const *args,
                            struct obs_reason *reterr_reason);
void service_settings_apply(struct service *service, const struct obs_settings_view *view);
void service_settings_watch(struct service *service); /* apply each change from now on */
void service_profiler_start(struct service *service, const char *const *args);
