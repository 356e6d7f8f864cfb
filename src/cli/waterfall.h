#pragma once
/* Waterfall: a trace as bars under each other in a terminal. */
#include "base/json.h"
#include "cli/cli.h"

/* @trace: OTLP JSON as Tempo gives it (`batches`, `resourceSpans` or `trace.resourceSpans`).
 * Return: enum cli_exit. */
int waterfall_print(const struct cli *cli, const json_t *trace);
