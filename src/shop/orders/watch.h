#pragma once
/*
 * Watch: what orders looks after in the background, each on its beat, in one thread.
 *
 *   every second   read the age of the oldest unfulfilled order and the length of the outbox, so
 * that /metrics never waits for the database; know whether the database answers replenish      fill
 * the shelves (setting stock.replenish_interval) every 10 min   forget idempotency keys older than
 * a day
 */
#include "shop/orders/settings.h"
#include "shop/service/db_pool.h"

struct watch;

int watch_new(struct obs_telemetry *telemetry, struct db_pool *pool,
              const struct orders_settings *settings, struct watch **ret_watch);
void watch_configure(struct watch *watch, const struct orders_settings *settings);
bool watch_is_database_up(struct watch *watch);
struct watch *watch_free(struct watch *watch);
