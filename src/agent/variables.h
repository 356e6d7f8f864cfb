#pragma once
/*
 * Variables: names and texts, and their use in other texts: `${name}`, `${name:-default}`, `$${`
 * for a literal `${`. A `$` before anything else is itself.
 */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/reason.h"
#include <stddef.h>

#define VARIABLES_MAX 500
#define VARIABLES_TEXT_MAX 65536 /* bytes of a text after it is filled in */

struct variables;

enum variables_outcome {
    VARIABLES_OK = 0,
    VARIABLES_REFUSED = 1, /* reason set */
};

/* A set whose look-ups go on in @parent (borrowed; NULL: none). Return: 0, -ENOMEM. */
int variables_new(const struct variables *parent, struct variables **ret_variables);
struct variables *variables_free(struct variables *variables);

/* Both copied; a name that is there gets the new value. Return: 0, VARIABLES_REFUSED (form of the
 * name, too many), -ENOMEM. */
int variables_set(struct variables *variables, const char *name, const char *value,
                  struct obs_reason *reterr_reason);
/* "NAME=VALUE". */
int variables_set_pair(struct variables *variables, const char *pair,
                       struct obs_reason *reterr_reason);
/* Members of @object under "@prefix.": text, numbers, booleans; objects become dotted names. */
int variables_set_json(struct variables *variables, const char *prefix, const json_t *object,
                       struct obs_reason *reterr_reason);

const char *variables_find(const struct variables *variables, const char *name); /* may be NULL */

/* Append @text[size] with its variables filled in. The reason's line and column are those of @text.
 * Return: 0, VARIABLES_REFUSED (unknown name, bad form), the buffer's error. */
int variables_fill(const struct variables *variables, const char *text, size_t size,
                   struct obs_buffer *b, struct obs_reason *reterr_reason);

OBS_DEFINE_CLEANUP(struct variables *, variables_free)
