#pragma once
/*
 * Compare: do two runs differ by more than each differs from itself?
 *
 * Requests of one run are not independent (a queue, a garbage collection, a neighbour touch many at
 * once), so tests that count each request find differences everywhere. The seconds of the runs are
 * the samples instead: a Mann-Whitney test of the seconds' p50, p95, p99, rate and share of bad
 * journeys. What two runs cannot show is also said.
 */
#include "base/json.h"
#include <stdio.h>

#define COMPARE_SECONDS_MIN 8 /* fewer in either run: nothing is said about chance */

/* Two-sided p value of the Mann-Whitney U test with correction for ties (normal approximation). */
double compare_p_value(const double *a, size_t a_count, const double *b, size_t b_count);

/* Both have passed report_check(). Return: how many of the figures differ. */
int compare_print(const char *a_name, const json_t *a, const char *b_name, const json_t *b,
                  FILE *out);
