/* Whose request it is. */
#include "telemetry/telemetry.h"

#include <string.h>

const char *telemetry_tenant(struct obs_http_request *request, const struct telemetry *telemetry)
{
    const char *tenant = obs_http_header(request, "x-scope-orgid");

    if (!tenant || tenant[0] == '\0') {
        if (telemetry->default_tenant[0] != '\0')
            return telemetry->default_tenant;
        obs_http_reply_problemf(request, 401,
                                "the header X-Scope-OrgID is missing: whose data is it?");
        return NULL;
    }
    if (!store_tenant_is_good(tenant)) {
        obs_http_reply_problemf(request, 400,
                                "X-Scope-OrgID is 1 to %d of A-Z, a-z, 0-9, \"_\" and \"-\"",
                                STORE_TENANT_MAX);
        return NULL;
    }
    return tenant;
}
