#pragma once
/*
 * Ports: the loopback ports of one installation, chosen once and kept in
 * STATE_DIR/platform/ports.json.
 *
 * A port is chosen by binding it, between 20000 and 31999: below what Linux gives to outgoing
 * connections. Where the search begins depends on the state directory, so two installations that
 * start at once look in different places. `control`, which people type, is the one asked for, else
 * the first free one from 8080 to 8179.
 */
#include "base/json.h"
#include <stdint.h>

/*  name */
#define PORTS(PORT)                                                                                \
    PORT("control")                                                                                \
    PORT("observability")                                                                          \
    PORT("prometheus")                                                                             \
    PORT("alertmanager")                                                                           \
    PORT("epmd")                                                                                   \
    PORT("rabbitmq-distribution")                                                                  \
    PORT("amqp")                                                                                   \
    PORT("rabbitmq-management")                                                                    \
    PORT("rabbitmq-metrics")                                                                       \
    PORT("postgres-exporter")                                                                      \
    PORT("redis-exporter")                                                                         \
    PORT("telemetry")

#define PORTS_CONTROL_FIRST 8080
#define PORTS_CONTROL_LAST 8179
#define PORTS_CONTROL_KEEP (-1)

enum ports_outcome {
    PORTS_OK = 0,
    PORTS_REFUSED = 1, /* reason: a port that was asked for is taken, no free one, damaged file */
};

/**
 * ports_choose() - the kept ports that are still free, new ones for the others
 * @path: of ports.json, written when anything changed
 * @seed: any number that differs between installations
 * @control: port asked for; PORTS_CONTROL_KEEP: the kept one, else the rule above; 0: the kept one,
 * else any free one
 */
int ports_choose(const char *path, uint32_t seed, int control, json_t **ret_ports,
                 struct obs_reason *reterr_reason);

/* The kept ports as they are. Return: 0, PORTS_REFUSED (none, damaged). */
int ports_read(const char *path, json_t **ret_ports, struct obs_reason *reterr_reason);

uint16_t ports_get(const json_t *ports, const char *name); /* 0: not there */
bool ports_is_free(uint16_t port);
