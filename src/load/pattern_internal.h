#pragma once
/* The inside of a pattern, shared by pattern.c (answers) and pattern_parse.c (reading). */
#include "load/pattern.h"
#include <stddef.h>

/*
 * Three shapes answer for all types: straight pieces (constant, ramp, step, spike), the sine, and a
 * list. Pieces may form a cycle, which spike's `every` needs.
 */
struct piece {
    double start_s, length_s; /* the last one may be infinite */
    double rate, end_rate;
    double count; /* arrivals due before it */
};

enum pattern_shape { SHAPE_PIECES, SHAPE_SINE, SHAPE_LIST };

struct pattern {
    enum pattern_shape shape;
    unsigned references; /* atomic */
    json_t *json;
    double length_s;
    double cycle_s; /* pieces and lists: length of a cycle; INFINITY for none */

    struct piece *pieces;
    size_t piece_count;

    double rate, amplitude, period_s;

    double *arrivals_s; /* ascending */
    size_t arrival_count;
};

int pattern_new(enum pattern_shape shape, struct pattern **ret_pattern);
/* Append a straight piece. Return: 0, -ENOMEM. */
int pattern_add_piece(struct pattern *p, double length_s, double rate, double end_rate);
