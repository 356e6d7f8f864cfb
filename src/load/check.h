#pragma once
/*
 * Check: what a reply must be for the answer to be right.
 *
 *   {"body": "Lamp"}                                    the body contains the text
 *   {"header": "content-type", "contains": "json"}      the header is there and contains the text
 *   {"json": "/price_cents", "op": ">", "value": 0}     ==, !=, <, <=, >, >=
 *   {"json": "/status", "op": "in", "value": ["fulfilled", "dead_lettered"]}
 *   {"json": "/items/0/id", "op": "exists"}
 *
 * A text in `value` may hold {variables}.
 */
#include "base/http1.h"
#include "base/json.h"
#include "load/template.h"

struct check;

enum check_outcome {
    CHECK_OK = 0,
    CHECK_REFUSED = 1, /* reason says why */
};

/* Return: 0, CHECK_REFUSED, -ENOMEM. */
int check_parse(const json_t *json, const struct field_path *path,
                const struct variable_table *table, struct check **ret_check,
                struct obs_reason *reterr_reason);
struct check *check_free(struct check *check);

enum check_subject { CHECK_BODY, CHECK_HEADER, CHECK_JSON };
enum check_subject check_subject(const struct check *check);
uint64_t check_variables(const struct check *check); /* as template_variables() */
const char *check_text(const struct check *check);   /* "json /price_cents > 0", for reports */

/* Does it hold? Call the one for its subject. @json may be NULL (the body is no JSON): does not
 * hold. */
bool check_head(const struct check *check, const struct obs_http1_head *head,
                const struct variable_table *table, const struct variable_values *values);
bool check_body(const struct check *check, const char *body, size_t size,
                const struct variable_table *table, const struct variable_values *values);
bool check_json(const struct check *check, json_t *json, const struct variable_table *table,
                const struct variable_values *values);
OBS_DEFINE_CLEANUP(struct check *, check_free)
