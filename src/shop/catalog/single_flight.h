#pragma once
/*
 * Single flight: concurrent loads of one key become one.
 *
 * The first caller loads; callers that come while it does wait for its result and get a copy.
 */
#include "base/cleanup.h"
#include <stdbool.h>

struct single_flight;

/* Return: 0 with *ret_text (malloc'd, may be NULL), or anything else without. */
typedef int single_flight_load(void *userdata, char **ret_text);

enum { SINGLE_FLIGHT_TIMEOUT = 1000 }; /* apart from the loaders' outcomes */

int single_flight_new(struct single_flight **ret_flights);
struct single_flight *single_flight_free(struct single_flight *flights); /* nobody is inside */

/**
 * single_flight_run() - load, or wait for who loads the same key already
 * @ret_text: free() it; set when 0 is returned
 * @ret_is_shared: the result is another caller's
 *
 * Return: what @load returned, here or there; SINGLE_FLIGHT_TIMEOUT after waiting @timeout_ms;
 * -ENOMEM.
 */
int single_flight_run(struct single_flight *flights, const char *key, single_flight_load *load,
                      void *userdata, unsigned timeout_ms, char **ret_text, bool *ret_is_shared);

OBS_DEFINE_CLEANUP(struct single_flight *, single_flight_free)
