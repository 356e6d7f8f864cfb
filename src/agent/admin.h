#pragma once
/*
 * Admin: the agent's observability listener: /metrics (what units use, under cAdvisor's names),
 * /metrics/{unit} (of gateways), /healthz, /readyz. No token.
 */
#include "agent/supervisor.h"
#include "base/http_server.h"

struct admin;

/* @ship: may be NULL. @pool: for questions to gateways. All borrowed. Return: 0, < 0. */
int admin_new(struct event_base *base, struct supervisor *supervisor, struct ship *ship,
              struct obs_worker_pool *pool, struct admin **ret_admin);
int admin_listen(struct admin *admin, int listen_fd); /* taken */
struct admin *admin_free(struct admin *admin);
OBS_DEFINE_CLEANUP(struct admin *, admin_free)
