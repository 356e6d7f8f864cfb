#pragma once
/*
 * JSON: jansson with our rules: cleanup, strict input, reasons that name the field.
 *
 * Numbers stay as jansson has them (json_int_t, double). Duplicate keys, trailing text, invalid
 * UTF-8 and more than 128 levels are refused.
 */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/reason.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define OBS_JSON OBS_CLEANUP(json_decrefp) json_t * /* json_decrefp is jansson's own */

enum obs_json_outcome {
    OBS_JSON_OK = 0,
    OBS_JSON_REFUSED = 1, /* reason set */
};

/* Return: 0, OBS_JSON_REFUSED (reason with line and column), -ENOMEM. */
int obs_json_parse(const char *text, size_t size, json_t **ret_json,
                   struct obs_reason *reterr_reason);

/* Fields of object @object (anything else is refused). Missing, wrong type or out of range:
 * OBS_JSON_REFUSED and a reason such as `"quantity" is 0: expected an integer from 1 to 99`. A
 * missing field with a default keeps *ret_value untouched and returns 0 (the `_opt` forms). Strings
 * are borrowed from @object. */
int obs_json_get_text(const json_t *object, const char *name, size_t max_size,
                      const char **ret_value, struct obs_reason *reterr_reason);
int obs_json_opt_text(const json_t *object, const char *name, size_t max_size,
                      const char **ret_value, struct obs_reason *reterr_reason);
int obs_json_get_int(const json_t *object, const char *name, int64_t min, int64_t max,
                     int64_t *ret_value, struct obs_reason *reterr_reason);
int obs_json_opt_int(const json_t *object, const char *name, int64_t min, int64_t max,
                     int64_t *ret_value, struct obs_reason *reterr_reason);
int obs_json_opt_bool(const json_t *object, const char *name, bool *ret_value,
                      struct obs_reason *reterr_reason);

/* Refuse members of @object whose names are not in the NULL-terminated list @names. */
int obs_json_only(const json_t *object, const char *const *names, struct obs_reason *reterr_reason);

/* What a value looks like in a reason: `"lru"`, `-3`, `true`, `an object`; long text is cut.
 * Returns
 * @out. NULL: `missing`. */
#define OBS_JSON_SHOWN_SIZE 64
const char *obs_json_show(const json_t *value, char out[OBS_JSON_SHOWN_SIZE]);

/* Append compact JSON; numbers read back as the same double ("0.2", not "0.20000000000000001").
 * Return: 0 or the buffer's error, and then the buffer is as before. */
int obs_json_emit(const json_t *json, struct obs_buffer *b);
