#pragma once
/*
 * Catalog rig: catalog as a real process over a real PostgreSQL and a real Redis, with the shop's
 * whole assortment in it.
 *
 * Everything fails the running test by itself (cmocka asserts); nothing returns an error to check.
 */
#include "base/http_client.h"
#include "base/json.h"
#include "support/fixture_postgres.h"
#include "support/fixture_process.h"
#include "support/fixture_redis.h"

#define CATALOG_DATABASE "t_catalog"
#define CATALOG_WAIT_MS 30000

struct catalog_rig {
    const char *program, *migrations;
    char folder[64], conninfo[256];
    struct fixture_postgres *postgres;
    struct fixture_redis *redis;
    struct fixture_process *catalog;
    struct obs_http_client *api, *admin;
};

/* Starts PostgreSQL and Redis, migrates and seeds; starts no service. */
void catalog_rig_init(struct catalog_rig *rig, const char *program, const char *migrations);
void catalog_rig_done(struct catalog_rig *rig);
void catalog_rig_start(struct catalog_rig *rig); /* and wait until it serves */
int catalog_rig_stop(struct catalog_rig *rig);   /* SIGTERM; exit status */
void catalog_rig_kill(struct catalog_rig *rig);
/* `migrate` with one more argument pair; exit status. */
int catalog_rig_migrate(struct catalog_rig *rig, const char *migrations, const char *flag,
                        const char *value);

struct rig_reply {
    int status;       /* < 0: none */
    char *body;       /* never NULL */
    char cache[16];   /* X-Cache */
    char cookie[160]; /* Set-Cookie */
};
void rig_reply_done(struct rig_reply *reply);
#define RIG_REPLY OBS_CLEANUP(rig_reply_done) struct rig_reply

/* A client of a unix socket in @folder. */
struct obs_http_client *rig_client(const char *folder, const char *socket);
/* @headers: name, value, …, NULL; or NULL. @body: JSON or NULL. */
struct rig_reply rig_call_with(struct obs_http_client *client, const char *method,
                               const char *target, const char *const *headers, const char *body,
                               unsigned timeout_ms);
struct rig_reply rig_get(struct obs_http_client *client, const char *target);
int rig_status(struct obs_http_client *client, const char *target);
/* POST /config; must succeed. DELETE first when @json is NULL. */
void rig_settings(struct obs_http_client *admin, const char *json);
/* Value of the series whose line starts with @series; 0 when there is none. */
double rig_series(struct obs_http_client *admin, const char *series);
/* Wait until the service behind @admin is ready. */
void rig_wait_ready(struct obs_http_client *admin);

/* A call in a thread of its own. */
struct rig_call {
    struct obs_http_client *client;
    const char *target;
    struct rig_reply reply;
    unsigned long thread;
};
void rig_call_start(struct rig_call *call);
void rig_call_join(struct rig_call *call); /* then look at ->reply, and rig_reply_done() it */
