#pragma once
/*
 * Report: what a run has shown, as JSON, and as text made from that JSON.
 *
 * docs/load.md describes the members. Durations are milliseconds; histograms are lists of
 * [nanoseconds, count], which observa-load compare and other tools can merge.
 */
#include "base/json.h"
#include "load/record.h"
#include <stdio.h>

#define REPORT_FORMAT "observa-load report 1"

struct report_about {
    const char *target;
    const struct script *script;
    unsigned users;
    uint64_t seed;
    bool is_closed_loop;
    uint64_t began_unix_ns;
    double length_s; /* of the schedule: what was wanted counts over this time */
};

/* The engine has ended. Return: NULL on -ENOMEM. */
json_t *report_new(const struct report_about *about, struct engine *engine,
                   const struct record *record);
/* Return: 0, or OBS_JSON_REFUSED: this is no report, or of another format. */
int report_check(const json_t *report, struct obs_reason *reterr_reason);
/* @is_utf8: the terminal shows block characters. */
void report_print(const json_t *report, bool is_utf8, FILE *out);
/* "1.23 ms", for tables; @out has at least 24 bytes. */
void report_duration(double ms, char *out);

/* chart.c: the distribution of latencies as bars. */
void chart_print(const json_t *histogram, bool is_utf8, FILE *out);
