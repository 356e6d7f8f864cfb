#pragma once
/*
 * Served: settings that the agent keeps for programs that keep none themselves (nginx, Redis),
 * under the same contract as every service's own (`/config`).
 *
 * A change is checked with the program's own check on files rendered beside the real ones, written
 * to the state folder, and then applied: files rendered, the unit told. Changes are made by worker
 * threads; what touches units runs on the loop, and the worker waits for it.
 */
#include "agent/reaper.h"
#include "agent/supervisor.h"
#include "base/mailbox.h"
#include "base/settings.h"

struct obs_http_request;
struct served;

struct served_options { /* all borrowed */
    struct event_base *base;
    struct reaper *reaper;
    struct obs_mailbox *mailbox;
    const struct unit_table *table;
    const struct variables *variables;
    const char *state_path; /* settings live in STATE/settings/UNIT.json */
};

/* Return: 0, OBS_SETTINGS_REFUSED (a damaged settings file, named), < 0. */
int served_new(const struct served_options *options, struct served **ret_served,
               struct obs_reason *reterr_reason);
struct served *served_free(struct served *served);
void served_attach(struct served *served, struct supervisor *supervisor);
/* Changes under way are given up, none is taken any more. Loop thread. */
void served_close(struct served *served);

/* The settings of @unit as variables "settings.NAME": a supervisor_settings_fn; @userdata is the
 * served. */
int served_fill(const struct unit *unit, struct variables *variables, void *userdata);

/* Answer `/config` or `/config/schema` of @unit, which has settings. Worker thread. */
void served_handle(struct served *served, const struct unit *unit,
                   struct obs_http_request *request);

OBS_DEFINE_CLEANUP(struct served *, served_free)

/* ---- the programs: settings_gateway.c, settings_redis.c ---- */

extern const struct obs_settings_schema SETTINGS_GATEWAY, SETTINGS_REDIS;

/* Make a running Redis obey. Blocks up to 2 s. Return: 0, < 0 with a reason. */
int settings_redis_apply(const struct obs_address *address, const struct obs_settings_view *view,
                         struct obs_reason *reterr_reason);
