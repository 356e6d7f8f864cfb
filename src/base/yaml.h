#pragma once
/*
 * YAML: configuration files, read with libfyaml into the same tree as JSON.
 *
 * Plain scalars follow the YAML 1.2 core schema (null, booleans, integers, floats, else text);
 * quoted ones are text. Anchors and aliases are resolved; more than 10,000 nodes are refused, so
 * that a small file cannot grow without bound.
 */
#include "base/json.h"

/* All documents of the input as a JSON array. Return: 0, OBS_JSON_REFUSED (line and column set),
 * -ENOMEM. */
int obs_yaml_parse(const char *text, size_t size, json_t **ret_documents,
                   struct obs_reason *reterr_reason);
