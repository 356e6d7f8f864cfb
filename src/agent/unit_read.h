#pragma once
/*
 * Unit read: values of the unit table, each read by one function that refuses with the value's
 * line.
 *
 * Only unit.c and unit_fields.c include this.
 */
#include "agent/unit.h"
#include "base/json.h"

#define UNIT_LIST_MAX 200

struct obs_arena;

struct unit_reading {
    const char *source;
    size_t size;
    const struct variables *variables;
    struct obs_arena *arena;
    const char *unit; /* being read */
    const char *key;  /* of the unit, being read; NULL: the unit itself */
    struct obs_reason *reason;
};

/* Line in the source of what is being read. */
unsigned unit_read_line(const struct unit_reading *in);
/* Return: UNIT_REFUSED, always. */
int unit_read_refuse(const struct unit_reading *in, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Each: 0, UNIT_REFUSED, -ENOMEM. Texts live in the arena, with their variables filled in. */
int unit_read_text(struct unit_reading *in, const json_t *value, const char **ret_text);
int unit_read_texts(struct unit_reading *in, const json_t *value, char ***ret_texts);
int unit_read_raw_texts(struct unit_reading *in, const json_t *value, bool is_filled,
                        char ***ret_texts);
int unit_read_words(struct unit_reading *in, const json_t *value, char ***ret_texts);
int unit_read_bool(struct unit_reading *in, const json_t *value, bool *ret_value);
int unit_read_ms(struct unit_reading *in, const json_t *value, unsigned *ret_ms);
int unit_read_count(struct unit_reading *in, const json_t *value, unsigned *ret_count);
int unit_read_address(struct unit_reading *in, const json_t *value,
                      struct obs_address *ret_address);
int unit_read_signal(struct unit_reading *in, const json_t *value, int *ret_signal);
int unit_read_choice(struct unit_reading *in, const json_t *value, const char *const *names,
                     unsigned *ret_choice);

/* A map of known keys: one row each, ended by a NULL name. @target: what the rows' functions fill.
 */
typedef int unit_field_fn(struct unit_reading *in, const json_t *value, void *target);
struct unit_field {
    const char *name;
    unit_field_fn *read;
};
int unit_read_map(struct unit_reading *in, const json_t *map, const struct unit_field *fields,
                  void *target);

/* The keys of a unit: unit_fields.c. */
extern const struct unit_field UNIT_FIELDS[];
