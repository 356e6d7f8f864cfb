#pragma once
/*
 * Field: members of a JSON object that a person wrote, read with reasons that say where:
 * `journeys[2].steps[0].checks[1].op is "=": expected one of ==, !=, <, <=, >, >=`.
 *
 * Every reader leaves *ret_value alone when the member is absent and `is_required` is false, and
 * returns 0 or FIELD_REFUSED.
 */
#include "base/json.h"
#include "base/reason.h"

enum field_outcome {
    FIELD_OK = 0,
    FIELD_REFUSED = 1,
};

/* Where an object stands: a chain on the callers' stacks. */
struct field_path {
    const struct field_path *up; /* NULL: the document */
    const char *name;            /* NULL: an element of the array that `up` names */
    size_t index;
};

#define FIELD_AT(up_, name_) (&(const struct field_path){.up = (up_), .name = (name_)})
#define FIELD_ELEMENT(up_, index_) (&(const struct field_path){.up = (up_), .index = (index_)})

struct field_object {
    const json_t *json;
    const struct field_path *path;
    struct obs_reason *reason;
};

/* Set the reason to "PATH NAME: text"; @name may be NULL. Returns FIELD_REFUSED. */
int field_refuse(const struct field_object *o, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "PATH.NAME is VALUE: expected EXPECTED" or "PATH.NAME is missing: expected …". */
int field_expected(const struct field_object *o, const char *name, const char *expected);

/* @json must be an object with no other members than @names (NULL-terminated). */
int field_open(const json_t *json, const struct field_path *path, const char *const *names,
               struct obs_reason *reason, struct field_object *ret_object);

int field_number(const struct field_object *o, const char *name, bool is_required, double min,
                 double max, double *ret_value);
int field_integer(const struct field_object *o, const char *name, bool is_required, int64_t min,
                  int64_t max, int64_t *ret_value);
int field_boolean(const struct field_object *o, const char *name, bool *ret_value);
int field_text(const struct field_object *o, const char *name, bool is_required, size_t max_size,
               const char **ret_value); /* never empty; borrowed */
/* "250ms", "2s", "1m"; in nanoseconds, at most @max_ns. */
int field_duration(const struct field_object *o, const char *name, bool is_required,
                   uint64_t max_ns, uint64_t *ret_ns);
/* One of @choices (NULL-terminated); *ret_index is its place. */
int field_choice(const struct field_object *o, const char *name, bool is_required,
                 const char *const *choices, unsigned *ret_index);
/* An array of @min to @max elements; NULL when absent and not required. Borrowed. */
int field_array(const struct field_object *o, const char *name, bool is_required, size_t min,
                size_t max, const json_t **ret_array);
