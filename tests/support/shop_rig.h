#pragma once
/*
 * Shop rig: orders and fulfilment as real processes over a real PostgreSQL and a real RabbitMQ, and
 * what tests of both ask of them.
 *
 * Everything fails the running test by itself (cmocka asserts); nothing returns an error to check.
 */
#include "base/http_client.h"
#include "base/json.h"
#include "support/fixture_postgres.h"
#include "support/fixture_process.h"
#include "support/fixture_rabbitmq.h"

#define RIG_DATABASE "t_orders"
#define RIG_WAIT_MS 30000

struct rig {
    const char *orders_program, *fulfilment_program, *migrations;
    char folder[64], conninfo[256];
    struct fixture_postgres *postgres;
    struct fixture_rabbitmq *rabbitmq;
    struct fixture_process *orders, *fulfilment;
    struct obs_http_client *orders_api, *orders_admin, *fulfilment_api, *fulfilment_admin;
};

/* @argv: of main: program of orders, program of fulfilment, folder of migrations. Starts PostgreSQL
 * and RabbitMQ, migrates the database, starts no service. */
void rig_init(struct rig *rig, char *argv[]);
void rig_done(struct rig *rig);

/* Start, and wait until /readyz says 200. Payment and work take no time unless a test says so. */
void rig_start_orders(struct rig *rig);
void rig_start_fulfilment(struct rig *rig);
void rig_stop(struct fixture_process **process); /* SIGTERM; must exit with 0 */
void rig_kill(struct fixture_process **process); /* SIGKILL */

/* One call. @headers: "Name: value" lines as name, value, …, NULL. Return: status, < 0 for none.
 * @ret_json: NULL when not wanted; NULL inside when the body is not JSON. */
int rig_call(struct obs_http_client *client, const char *method, const char *target,
             const char *const *headers, const char *body, json_t **ret_json);
/* POST /config on an admin client; must succeed. */
void rig_configure(struct obs_http_client *admin, const char *json);
/* Value of the series whose line starts with @series, -1 when there is none. */
double rig_metric(struct obs_http_client *admin, const char *series);

/* An order of one piece of @product. Return: status; the id in @ret_order_id[40] with 200 and 201.
 */
int rig_order(struct rig *rig, const char *key, long product, const char *note,
              char ret_order_id[40]);

long long rig_number(struct rig *rig, const char *sql);
/* Wait until the query gives @value. */
void rig_wait_number(struct rig *rig, const char *sql, long long value, unsigned timeout_ms);
