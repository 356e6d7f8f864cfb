#pragma once
/* Exposition: the engine's counts as metrics (otel/names.h), summed up when they are asked for. */
#include "load/engine.h"
#include "otel/metrics.h"

struct exposition;

/* Both borrowed for its life; the registry must be freed or silent before the exposition is. */
int exposition_new(struct obs_metrics *metrics, struct engine *engine, const struct script *script,
                   struct exposition **ret_exposition);
struct exposition *exposition_free(struct exposition *exposition);
