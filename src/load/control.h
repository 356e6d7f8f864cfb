#pragma once
/*
 * Control: the HTTP API of a running load; docs/load.md lists the routes.
 *
 * Reading is answered on the loop; changing goes through one worker, so changes have an order.
 */
#include "base/address.h"
#include "load/engine.h"
#include "otel/metrics.h"

struct event_base;
struct control;

struct control_options {
    struct engine *engine; /* all borrowed for its life */
    const struct script *script;
    struct obs_metrics *metrics;
    const struct event_log *events; /* NULL: /events answers 404 */
    const char *target;
    bool is_closed_loop;
};

/* Listens on @address (its text becomes what was really bound). Return: 0, OBS_ADDRESS_REFUSED, <
 * 0. */
int control_new(struct event_base *base, const struct control_options *options,
                struct obs_address *address, struct control **ret_control,
                struct obs_reason *reterr_reason);
struct control *control_free(struct control *control);
OBS_DEFINE_CLEANUP(struct control *, control_free)
