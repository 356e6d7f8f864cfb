#pragma once
/*
 * Settings view: one immutable set of values, made from a table and the operator's choice.
 *
 * Internal to settings.c. A view is counted: it is freed with its last reference.
 */
#include "base/settings.h"

/**
 * obs_settings_flatten() - the names and values in an operator's JSON, checked against the table
 * @values: object; nested objects are taken as dotted names. A null value stays null.
 *
 * Return: 0 and a new object of dotted names; OBS_SETTINGS_REFUSED; -ENOMEM.
 */
int obs_settings_flatten(const struct obs_settings_schema *schema, const json_t *values,
                         json_t **ret_flat, struct obs_reason *reterr_reason);

/* @chosen: what obs_settings_flatten() made, without nulls; copied, so that no two
 * threads ever count references of one JSON value. Return: 0, -ENOMEM, -EINVAL
 * with a reason when the table itself holds a bad default. */
int obs_settings_view_new(const struct obs_settings_schema *schema, json_t *chosen,
                          struct obs_settings_view **ret_view, struct obs_reason *reterr_reason);
/* One reference more. The caller makes sure that the view cannot be freed meanwhile. */
const struct obs_settings_view *obs_settings_view_ref(struct obs_settings_view *view);
json_t *obs_settings_view_chosen(const struct obs_settings_view *view);            /* borrowed */
json_t *obs_settings_view_value(const struct obs_settings_view *view, size_t row); /* new */
bool obs_settings_view_same(const struct obs_settings_view *a, const struct obs_settings_view *b,
                            size_t row);
