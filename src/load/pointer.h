#pragma once
/* Pointer: JSON Pointer (RFC 6901). */
#include "base/json.h"

bool pointer_is_valid(const char *pointer);
/* What @pointer (valid) names in @json, or NULL. Borrowed. */
json_t *pointer_find(json_t *json, const char *pointer);
