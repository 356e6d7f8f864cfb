#pragma once
/*
 * Rank: the order of a search's matches.
 *
 * Weighted: words of the query in the name, earlier ones count more, and popularity. Each candidate
 * is looked at once. Proximity: the same, and how close a candidate's name is to the names of the
 * other candidates, so that what is typical for the query comes first. Each candidate is compared
 * with each other one.
 */
#include <stddef.h>
#include <stdint.h>

struct rank_candidate {
    int64_t id;
    const char *name;
    int popularity;
    double score; /* out */
};

/* Both set the scores and sort: highest score first, equal ones by id. */
void rank_weighted(const char *query, struct rank_candidate *candidates, size_t count);
void rank_proximity(const char *query, struct rank_candidate *candidates, size_t count);
