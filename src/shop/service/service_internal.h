#pragma once
/* What the skeleton's files know of a service: service.c runs it, service_admin.c answers its admin
 * listener. Nobody else includes this. */
#include "shop/service/service.h"
#include <stdatomic.h>

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
