#pragma once
/* Profile names: different texts, numbered in the order in which they came first. */
#include "base/cleanup.h"
#include "telemetry/model.h"

struct profile_names;

/* @bytes_max: of all texts together, with what it costs to keep them. */
int profile_names_new(size_t bytes_max, struct profile_names **ret_names);
struct profile_names *profile_names_free(struct profile_names *names);

/* The number of @text, which is copied when it is new. Return: 0, -EMSGSIZE (the limit), -ENOMEM.
 */
int profile_names_put(struct profile_names *names, struct text_view text, uint32_t *ret_number);

size_t profile_names_count(const struct profile_names *names);
size_t profile_names_bytes(const struct profile_names *names);
struct text_view profile_names_at(const struct profile_names *names, uint32_t number);
OBS_DEFINE_CLEANUP(struct profile_names *, profile_names_free)
