#pragma once
/*
 * Tenant: the files that one tenant's shop needs before its agent starts.
 *
 *   STATE_DIR/tenants/T/variables.json       variables of its unit table
 *   STATE_DIR/tenants/T/secrets/…            passwords: catalog, orders, amqp; and pgpass for libpq
 *   STATE_DIR/platform/prometheus/targets/T.json   what Prometheus scrapes for it
 */
#include "base/json.h"
#include "cli/paths.h"

/* A tenant's name: [a-z][a-z0-9-]{0,31}, and not "platform". */
_Bool tenant_is_name(const char *name);

/* The two databases of a tenant, TENANT_catalog and TENANT_orders, each with a role of that name.
 */
extern const char *const TENANT_DATABASES[2];

/* Write what is missing or has changed. Return: 0, -errno (reason set). */
int tenant_prepare(const struct paths *paths, const char *tenant, const json_t *ports,
                   struct obs_reason *reterr_reason);

/* The targets of the platform's own agent. */
int tenant_prepare_platform_targets(const struct paths *paths, const json_t *ports,
                                    struct obs_reason *reterr_reason);

/* Write @json to @path (mode 0600) unless it holds just that. Return: 0, -errno (reason set). */
int tenant_write_json(const char *path, const json_t *json, struct obs_reason *reterr_reason);
