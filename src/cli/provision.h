#pragma once
/* Provision: a tenant's place in the servers that all tenants share. Both are safe to run again. */
#include "base/reason.h"
#include "cli/paths.h"

/* Roles and databases TENANT_catalog and TENANT_orders; the exporter's role. Return: 0, -errno. */
int provision_postgres(const struct paths *paths, const char *tenant,
                       struct obs_reason *reterr_reason);

/* Virtual host TENANT, and a user of that name who may do all in it and nothing elsewhere. Waits up
 * to
 * @within_ms for the broker's management API. Return: 0, -errno. */
int provision_rabbitmq(const struct paths *paths, const char *tenant, unsigned within_ms,
                       struct obs_reason *reterr_reason);
