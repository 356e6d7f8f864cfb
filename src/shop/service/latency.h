#pragma once
/*
 * Latency: how long a partner outside the shop takes to answer.
 *
 * Real answer times are lognormal: most near the median, a tail above it, never below zero. The
 * shop's partners (card payments, carriers, the packing bench) do not exist, so their time is drawn
 * from this.
 */
#include <stdint.h>

/**
 * latency_draw_ms() - one answer time
 * @median_ms: half of the answers are faster
 * @spread:    standard deviation of the logarithm; 0.25 puts the 95th percentile at 1.5 times the
 * median
 * @random:    two independent words of random bits
 *
 * Return: milliseconds, at most ten times the median.
 */
double latency_draw_ms(double median_ms, double spread, const uint32_t random[2]);

/* The same with random bits of its own. Any thread. */
double latency_next_ms(double median_ms, double spread);

/* Fast random bits for jitter and sampling, seeded per thread by the kernel; not for secrets. */
uint32_t latency_random(void);
