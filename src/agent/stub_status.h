#pragma once
/* Stub status: nginx's own counts (ngx_http_stub_status_module), under the names of nginx's
 * exporter. */
#include "base/address.h"
#include "base/reason.h"

struct obs_metrics;

struct stub_status {
    unsigned long long active, accepted, handled, requests, reading, writing, waiting;
};

enum stub_status_outcome {
    STUB_STATUS_OK = 0,
    STUB_STATUS_REFUSED = 1, /* not the module's text */
};

int stub_status_parse(const char *text, struct stub_status *ret_status);

/* Ask and set the metrics. Blocks up to 800 ms. Return: 0, or not 0 with a reason: nginx does not
 * answer. */
int stub_status_collect(const struct obs_address *address, const char *path,
                        struct obs_metrics *metrics, struct obs_reason *reterr_reason);
