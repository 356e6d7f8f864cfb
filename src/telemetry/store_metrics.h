#pragma once
/* The store's figures as metrics: docs/telemetry.md. */
#include "otel/metrics.h"
#include "telemetry/store.h"

/* From now on each emission reads the store's figures. The store outlives the metrics. Return: 0,
 * -ENOMEM. */
int store_metrics_start(struct store *store, struct obs_metrics *metrics);
