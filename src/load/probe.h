#pragma once
/*
 * Probes: one thread that asks the target slowly whether its answers are right, beside the load.
 *
 * A probe is a row of PROBES (probe.c). It sees the target only as users do; what an operator does
 * (a price change) it does only when it is given the operator's address.
 */
#include "load/script.h"
#include "load/target.h"
#include "otel/metrics.h"

struct probes;

struct probes_options {
    const struct target *target; /* plain HTTP only */
    const struct script *script; /* its variables product_id and term are drawn from */
    /* APIs as an operator reaches them; NULL: none. */
    const struct obs_address *catalog; /* lets prices be changed for a moment */
    const struct obs_address
        *orders; /* orders are looked up here, so that it is no user's request */
    struct obs_metrics *metrics;
    uint64_t seed;
    uint64_t interval_ns;    /* between rounds; 0: 5 s */
    uint64_t grace_ns;       /* a difference must last so long; 0: 1 s */
    uint64_t order_limit_ns; /* an accepted order must end within; 0: 10 minutes */
};

/* All borrowed for the probes' life. Starts the thread. Return: 0, -ENOTSUP (TLS), -ENOMEM, -errno.
 */
int probes_new(const struct probes_options *options, struct probes **ret_probes);
/* Ends after the request that is under way, 2 s at most. */
struct probes *probes_free(struct probes *probes);
/* An order that the target has accepted. Any thread; never blocks for long. Past 4096 orders in
 * observation, new ones are not observed. */
void probes_add_order(struct probes *probes, const char *order_id);
/* Rounds made so far; for tests. */
unsigned probes_rounds(struct probes *probes);
