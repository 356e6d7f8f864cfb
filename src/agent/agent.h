#pragma once
/*
 * Agent: everything that runs on the loop of one observa-agent, put together and taken apart in
 * order.
 */
#include "agent/unit.h"
#include "base/address.h"
#include "base/reason.h"

struct agent_config { /* all borrowed */
    const char *tenant;
    const char *state_path;
    const struct unit_table *table;
    const struct variables *variables;
    struct obs_address listen, admin;
    const char *key_path;
    const char *endpoint, *resource; /* of spans, as struct obs_tracer_options */
    const char *logs_endpoint;       /* of lines, as obs_endpoint_parse(); "": they stay here */
};

/* Run until SIGTERM, SIGINT or a shutdown asked for; every unit has stopped then. Return: 0, or not
 * 0 when it could not begin, with a reason. */
int agent_run(const struct agent_config *config, struct obs_reason *reterr_reason);
