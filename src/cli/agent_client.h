#pragma once
/* Agent client: the control API of an agent (docs/agent.md), with a token of our own for each call.
 */
#include "base/json.h"
#include "cli/paths.h"

/**
 * agent_call() - one request
 * @tenant: whose agent
 * @target: "/v1/status"
 * @body: JSON to send, NULL for none
 * @ret_status: HTTP status
 * @ret_body: JSON of the reply; {"text": …} when it is none
 *
 * Return: 0 (any status), -ENOENT or -ECONNREFUSED (no agent runs), other -errno. Reason set on <
 * 0.
 */
int agent_call(const struct paths *paths, const char *tenant, const char *method,
               const char *target, const json_t *body, int *ret_status, json_t **ret_body,
               struct obs_reason *reterr_reason);

/* GET /v1/status. Return: 0, -errno as above, -EPROTO for any other status than 200. */
int agent_status(const struct paths *paths, const char *tenant, json_t **ret_status,
                 struct obs_reason *reterr_reason);

/* Did that error mean that no agent runs? */
_Bool agent_is_absent(int r);

/* Why a reply refused, in its own words: detail, title or text. Borrowed from @body. */
const char *agent_refusal(const json_t *body);

/* The token and the socket's address, for callers that speak with the agent themselves. */
int agent_token(const struct paths *paths, const char *tenant, char **ret_token,
                struct obs_reason *reterr_reason);
char *agent_address(const struct paths *paths, const char *tenant, char out[PATHS_ROOM]);

/* The tenant whose agent runs @unit: `TENANT/UNIT` names it, a bare UNIT is searched, tenants
 * first.
 * @ret_unit is inside @word. Return: 0, 1 (no such unit; reason suggests), -errno. */
int agent_find_unit(const struct paths *paths, const char *word, char ret_tenant[64],
                    const char **ret_unit, struct obs_reason *reterr_reason);
