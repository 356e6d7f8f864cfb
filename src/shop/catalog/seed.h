#pragma once
/*
 * Seed: the shop's assortment, the same on every machine.
 *
 * Each product is drawn from word lists by a generator seeded with its id, so ids, names and prices
 * never depend on order or machine.
 */
#include "base/reason.h"
#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

enum { SEED_PRODUCTS = 3000, SEED_NAME_SIZE = 120, SEED_DESCRIPTION_SIZE = 2048 };

struct seed_product {
    unsigned id, category; /* from 1; category: row of SEED_CATEGORIES plus 1 */
    char name[SEED_NAME_SIZE];
    char description[SEED_DESCRIPTION_SIZE];
    unsigned price_cents, popularity;
    double rating; /* 2.6 to 5.0 */
};

void seed_product_make(unsigned id, struct seed_product *ret_product);

/* For migrate.h: fills empty tables, leaves others alone. */
int catalog_seed(PGconn *connection, struct obs_reason *reterr_reason);

/* Word lists: seed_words.c. */
struct seed_category {
    const char *slug, *name;
    unsigned price_low, price_high; /* cents */
    const char *const *nouns;       /* end with NULL, like all lists here */
    const char *const *materials;
    const char *const *features; /* sentences */
};

extern const struct seed_category SEED_CATEGORIES[];
extern const size_t SEED_CATEGORY_COUNT;
extern const char *const SEED_BRANDS[];
extern const char *const SEED_LINES[];
extern const char *const SEED_QUALITIES[];
extern const char *const SEED_GENERAL[]; /* sentences that fit anything */
