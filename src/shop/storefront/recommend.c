#include "shop/storefront/recommend.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A text's trigrams, hashed into a bit set: close to the exact index for texts of a few hundred
 * bytes. */
enum { BITS = 4096, WORDS = BITS / 64 };

struct trigram_set {
    uint64_t words[WORDS];
    unsigned size; /* bits set */
};

static void add_text(struct trigram_set *set, const char *text)
{
    uint32_t window = 0;

    for (; *text != '\0'; text++) {
        uint32_t hash;

        window = (window << 8 | (uint32_t)tolower((unsigned char)*text)) & 0xffffff;
        hash = window * 2654435761u >> 20; /* multiplicative hashing: the top 12 bits */
        set->words[hash / 64] |= 1ULL << (hash % 64);
    }
}

static void make_set(struct trigram_set *set, const struct recommend_product *p)
{
    memset(set, 0, sizeof(*set));
    add_text(set, p->name);
    add_text(set, p->description);
    for (size_t i = 0; i < WORDS; i++)
        set->size += (unsigned)__builtin_popcountll(set->words[i]);
}

static double set_similarity(const struct trigram_set *a, const struct trigram_set *b)
{
    unsigned both = 0;

    for (size_t i = 0; i < WORDS; i++)
        both += (unsigned)__builtin_popcountll(a->words[i] & b->words[i]);
    return a->size + b->size > both ? (double)both / (double)(a->size + b->size - both) : 0;
}

static double price_similarity(int64_t a, int64_t b)
{
    if (a <= 0 || b <= 0)
        return 0;
    return a < b ? (double)a / (double)b : (double)b / (double)a;
}

static double similarity(const struct trigram_set *a_set, const struct recommend_product *a,
                         const struct trigram_set *b_set, const struct recommend_product *b)
{
    double same = strcmp(a->category, b->category) == 0 ? 0.2 : 0;

    return set_similarity(a_set, b_set) + 0.3 * price_similarity(a->price_cents, b->price_cents) +
           same;
}

static int compare_products(const void *a, const void *b)
{
    const struct recommend_product *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Later views count less. */
static double affinity_of(const struct trigram_set *candidate_set,
                          const struct recommend_product *candidate,
                          const struct trigram_set *seen_sets, const struct recommend_product *seen,
                          size_t seen_count)
{
    double sum = 0, weights = 0;

    for (size_t i = 0; i < seen_count; i++) {
        double weight = 1.0 / (double)(i + 1);

        sum += weight * similarity(candidate_set, candidate, &seen_sets[i], &seen[i]);
        weights += weight;
    }
    return weights > 0 ? sum / weights : 0;
}

void recommend(const struct recommend_product *target, const struct recommend_product *seen,
               size_t seen_count, double affinity, struct recommend_product *candidates,
               size_t count)
{
    struct trigram_set target_set, set, seen_sets[RECOMMEND_SEEN_MAX];

    if (seen_count > RECOMMEND_SEEN_MAX)
        seen_count = RECOMMEND_SEEN_MAX;
    make_set(&target_set, target);
    for (size_t i = 0; i < seen_count; i++)
        make_set(&seen_sets[i], &seen[i]);
    for (size_t i = 0; i < count; i++) {
        struct recommend_product *c = &candidates[i];

        make_set(&set, c);
        c->score = similarity(&target_set, target, &set, c) +
                   affinity * affinity_of(&set, c, seen_sets, seen, seen_count) +
                   0.01 * log1p((double)c->popularity);
    }
    if (count > 0)
        qsort(candidates, count, sizeof(*candidates), compare_products);
}
