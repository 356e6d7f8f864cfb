#pragma once
/* Step: one request of a journey, and what is done with its reply; see docs/load.md for the fields.
 */
#include "load/script.h"

/* @step: zeroed but for its default timeout_ns; to be released by step_done() even after a refusal.
 * Return: 0, FIELD_REFUSED, -ENOMEM. */
int step_parse(const json_t *json, const struct field_path *path,
               const struct variable_table *table, struct step *step,
               struct obs_reason *reterr_reason);
void step_done(struct step *step);
uint64_t step_variables(const struct step *step); /* bit i: variable i is used */
