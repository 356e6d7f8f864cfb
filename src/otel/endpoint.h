#pragma once
/*
 * Endpoint: where telemetry is sent, "http://HOST[:PORT][/PREFIX]" as OTEL_EXPORTER_OTLP_ENDPOINT
 * spells it, or "unix:PATH". Without a port: 80.
 *
 * The headers of OTEL_EXPORTER_OTLP_HEADERS ("name=value,name=value", values percent-encoded) go
 * with every request; what is not of that form, or does not fit, is left out.
 */
#include "base/http_client.h"
#include "base/reason.h"

struct obs_endpoint {
    struct obs_http_client_options client;
    char prefix[128]; /* put before each target; "" or "/something" */
};

enum obs_endpoint_outcome { OBS_ENDPOINT_OK = 0, OBS_ENDPOINT_REFUSED = 1 };

int obs_endpoint_parse(const char *text, struct obs_endpoint *ret_endpoint,
                       struct obs_reason *reterr_reason);
