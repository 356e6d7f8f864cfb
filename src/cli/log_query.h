#pragma once
/* Log query: `observa logs --query LOGQL`, answered by the telemetry store. */
#include "cli/cli.h"

struct log_query {
    const char *text, *last, *tenant, *telemetry; /* of the verb's flags */
    unsigned limit;
};

/* Print what fits, oldest first; metric queries as one table of series. Return: enum cli_exit. */
int log_query_run(struct cli *cli, const struct log_query *query);
