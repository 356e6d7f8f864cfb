#pragma once
/*
 * YAML scalar: what a plain (unquoted) scalar means in the core schema (YAML 1.2.2 section 10.3.2).
 *
 * Internal to yaml.c.
 */
#include <jansson.h>

enum obs_yaml_scalar_outcome {
    OBS_YAML_SCALAR_OK = 0,
    OBS_YAML_SCALAR_RANGE = 1,      /* a number that does not fit */
    OBS_YAML_SCALAR_NOT_FINITE = 2, /* .inf, .nan: JSON has no such value */
};

/* @text: valid UTF-8. Return: 0 and a new value; a "no" from above; -ENOMEM. */
int obs_yaml_scalar(const char *text, json_t **ret_json);
