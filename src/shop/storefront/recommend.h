#pragma once
/*
 * Recommend: which candidates are most like a product, and like what the visitor looked at before.
 *
 * Texts are compared by the three-letter pieces they share (Jaccard index of trigram sets), prices
 * by their ratio.
 */
#include <stddef.h>
#include <stdint.h>

struct recommend_product {
    int64_t id;
    const char *name, *description, *category;
    int64_t price_cents;
    int popularity;
    double score;   /* out */
    void *userdata; /* the caller's */
};

enum { RECOMMEND_SEEN_MAX = 12 }; /* of seen_count; more are not looked at */

/* Score @candidates against @target and @seen[seen_count] (weight @affinity, 0 to 1), and sort
 * them: best first, equal ones by id. */
void recommend(const struct recommend_product *target, const struct recommend_product *seen,
               size_t seen_count, double affinity, struct recommend_product *candidates,
               size_t count);
