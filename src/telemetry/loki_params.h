#pragma once
/* Parameters of Loki's API: from the URL and, with POST, from a form body. Times and durations. */
#include "base/http_server.h"
#include "telemetry/logql_run.h"

enum { LOKI_PARAMS_MAX = 64 };

struct loki_param {
    const char *name, *value; /* decoded */
};
struct loki_params {
    struct loki_param params[LOKI_PARAMS_MAX];
    size_t count;
    struct obs_reason *reason;
};

/* Everything lives in the request's arena. Each: 0; 400 and a reason. */
int loki_params_read(struct obs_http_request *request, struct loki_params *ret_params,
                     struct obs_reason *reterr_reason);
const char *loki_param(const struct loki_params *params, const char *name); /* NULL: none */

/* start, end, since: [now - default_ns, now) where they are not given. */
int loki_param_range(const struct loki_params *params, uint64_t default_ns,
                     struct logql_range *range);
int loki_param_time(const struct loki_params *params, const char *name, uint64_t *ret_ns);
/* Seconds ("1.5") or a duration ("5m"); above 0. */
int loki_param_duration(const struct loki_params *params, const char *name, uint64_t *ret_ns);
int loki_param_limit(const struct loki_params *params, unsigned *ret_limit);
int loki_param_direction(const struct loki_params *params, bool *ret_is_forward);

/* Unix nanoseconds, seconds (ten digits at most, or with a point), or RFC 3339. */
bool loki_read_time(const char *text, uint64_t *ret_ns);
