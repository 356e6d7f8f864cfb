#pragma once
/*
 * Settings over HTTP: GET, PUT (replace), POST (merge), DELETE (back to defaults) of `/config`, and
 * GET of `/config/schema`. A refused value answers 422 problem+json, a body that is not JSON 400, a
 * state that cannot be written 507 (disk full) or 500; nothing changes then.
 */
struct obs_http_request;
struct obs_settings;
struct obs_settings_schema;

/* Answers any of the five; call it from a worker route. */
void obs_settings_api_handle(struct obs_http_request *request, struct obs_settings *settings,
                             const struct obs_settings_schema *schema);
