#pragma once
/*
 * Variable: a named value in the text of a request.
 *
 * Made (drawn again for each journey from its seed, so nothing is stored) or extracted (taken from
 * a reply and kept with the virtual user until the next reply replaces it).
 *
 *   "variables": {
 *     "page":       {"integer": {"from": 1, "to": 5}},
 *     "product_id": {"zipf": {"from": 1, "to": 2000, "exponent": 0.9}},
 *     "term":       {"pick": ["lamp", "chair"]},
 *     "key":        {"uuid": true}
 *   }
 *
 * `user` (number of the virtual user, from 1) and `arrival` (number of the journey in the schedule)
 * are always there.
 */
#include "base/buffer.h"
#include "load/field.h"
#include <stdint.h>

#define VARIABLES_MAX 64
#define VARIABLE_TEXT_MAX 1024 /* bytes of an extracted value; longer is cut */

enum variable_kind {
    VARIABLE_USER,
    VARIABLE_ARRIVAL,
    VARIABLE_INTEGER,
    VARIABLE_ZIPF,
    VARIABLE_PICK,
    VARIABLE_UUID,
    VARIABLE_EXTRACTED,
};

struct variable {
    char name[40];
    enum variable_kind kind;
    int64_t low, high;  /* INTEGER, ZIPF */
    double *cumulative; /* ZIPF: of high - low + 1 values */
    char **choices;     /* PICK */
    size_t choice_count;
    unsigned slot; /* EXTRACTED: place in variable_values.extracted */
};

struct variable_table {
    struct variable variables[VARIABLES_MAX];
    unsigned count;
    unsigned slot_count; /* extracted variables */
};

/* What a request's variables stand for. */
struct variable_values {
    uint64_t seed; /* of the journey */
    uint64_t user, arrival;
    char *const *extracted; /* [slot_count], each may be NULL; NULL: none yet */
};

/* How a value is written so that it cannot break out of its place. */
enum variable_use {
    VARIABLE_IN_TARGET, /* percent-encoded */
    VARIABLE_IN_HEADER, /* without control characters */
    VARIABLE_IN_JSON,   /* escaped, without quotes */
    VARIABLE_IN_TEXT,   /* as it is */
};

void variable_table_init(struct variable_table *table); /* with the built-in ones */
void variable_table_done(struct variable_table *table);

/* The "variables" object of a script. Return: 0, FIELD_REFUSED, -ENOMEM. */
int variable_table_parse(struct variable_table *table, const json_t *json,
                         const struct field_path *path, struct obs_reason *reterr_reason);
/* Declare (or find) an extracted variable. Return: its index; -EEXIST when the name is a made one,
 * -ENOSPC when there are too many. */
int variable_table_extract(struct variable_table *table, const char *name);
int variable_find(const struct variable_table *table, const char *name, size_t size); /* or -1 */
bool variable_is_number(const struct variable *v);

/* Append the value of variable @index. Return: 0 or the buffer's error. */
int variable_emit(const struct variable_table *table, unsigned index,
                  const struct variable_values *values, enum variable_use use,
                  struct obs_buffer *b);
