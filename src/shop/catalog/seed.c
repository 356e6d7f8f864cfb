#include "shop/catalog/seed.h"
#include "base/cleanup.h"
#include "base/log.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A prime that shares no factor with SEED_PRODUCTS: spreads popularity over ids. */
enum { POPULARITY_STEP = 1087, GENERAL_SENTENCES = 9, FEATURE_SENTENCES = 5 };

OBS_DEFINE_CLEANUP(PGresult *, PQclear)

/* ---- draws ---- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static const char *pick(uint64_t *state, const char *const *words)
{
    size_t count = 0;

    while (words[count])
        count++;
    return words[draw(state) % count];
}

/* ---- one product ---- */

/* Prices cluster at the low end and end in 90, 95, 00 or 50 cents. */
static unsigned draw_price(uint64_t *state, const struct seed_category *c)
{
    static const unsigned ENDS[] = {90, 90, 95, 0, 50};
    double share = (double)(draw(state) % 10000) / 10000.0;
    unsigned price = c->price_low + (unsigned)((c->price_high - c->price_low) * share * share);

    price = price / 100 * 100 + ENDS[draw(state) % OBS_COUNT(ENDS)];
    return price < c->price_low ? c->price_low : price;
}

/* Zipf over a fixed shuffle of the ids: few products get most of the looks. */
static unsigned popularity_of(unsigned id)
{
    unsigned place = id * POPULARITY_STEP % SEED_PRODUCTS + 1;

    return (unsigned)(250000.0 / pow(place, 0.9)) + 1;
}

static void append_sentences(char *text, uint64_t *state, const char *const *sentences, int count)
{
    for (int i = 0; i < count; i++) {
        const char *sentence = pick(state, sentences);

        if (strstr(text, sentence))
            continue;
        if (*text != '\0')
            strcat(text, " ");
        strncat(text, sentence, SEED_DESCRIPTION_SIZE - strlen(text) - 2);
    }
}

void seed_product_make(unsigned id, struct seed_product *ret_product)
{
    const struct seed_category *c = &SEED_CATEGORIES[(id - 1) % SEED_CATEGORY_COUNT];
    uint64_t state = id * 0x2545f4914f6cdd1dULL;
    const char *brand = pick(&state, SEED_BRANDS), *line = pick(&state, SEED_LINES);
    const char *quality = pick(&state, SEED_QUALITIES), *material = pick(&state, c->materials);
    const char *noun = pick(&state, c->nouns);

    memset(ret_product, 0, sizeof(*ret_product));
    ret_product->id = id;
    ret_product->category = (id - 1) % (unsigned)SEED_CATEGORY_COUNT + 1;
    (void)snprintf(ret_product->name, SEED_NAME_SIZE, "%s %s %s %s %s", brand, line, quality,
                   material, noun);
    (void)snprintf(ret_product->description, SEED_DESCRIPTION_SIZE, "The %s %s of the %s line.",
                   brand, noun, line);
    append_sentences(ret_product->description, &state, c->features, FEATURE_SENTENCES);
    append_sentences(ret_product->description, &state, SEED_GENERAL, GENERAL_SENTENCES);
    ret_product->price_cents = draw_price(&state, c);
    ret_product->popularity = popularity_of(id);
    ret_product->rating = 2.6 + (double)(draw(&state) % 25) / 10.0;
}

/* ---- tables ---- */

static int fail(PGconn *connection, const char *what, struct obs_reason *reterr_reason)
{
    obs_reason_set(reterr_reason, "%s: %.*s", what, (int)strcspn(PQerrorMessage(connection), "\n"),
                   PQerrorMessage(connection));
    return -EIO;
}

static int run(PGconn *connection, const char *sql, ExecStatusType wanted, PGresult **ret_result,
               struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQclearp) PGresult *result = PQexec(connection, sql);

    if (PQresultStatus(result) != wanted)
        return fail(connection, "seed", reterr_reason);
    if (ret_result)
        *ret_result = OBS_TAKE(result);
    return 0;
}

static int is_filled(PGconn *connection, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    int r =
        run(connection, "SELECT 1 FROM products LIMIT 1", PGRES_TUPLES_OK, &result, reterr_reason);

    return r < 0 ? r : PQntuples(result) > 0;
}

/* Words and sentences hold no tab, backslash or newline, so COPY's text form needs no escaping. */
static int copy_line(PGconn *connection, const char *line, struct obs_reason *reterr_reason)
{
    return PQputCopyData(connection, line, (int)strlen(line)) == 1
               ? 0
               : fail(connection, "seed", reterr_reason);
}

static int copy_end(PGconn *connection, struct obs_reason *reterr_reason)
{
    int r = PQputCopyEnd(connection, NULL) == 1 ? 0 : -EIO;
    PGresult *result;

    while ((result = PQgetResult(connection))) {
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            r = -EIO;
        PQclear(result);
    }
    return r < 0 ? fail(connection, "seed", reterr_reason) : 0;
}

static int copy_categories(PGconn *connection, struct obs_reason *reterr_reason)
{
    char line[256];
    int r = run(connection, "COPY categories (id, slug, name) FROM STDIN", PGRES_COPY_IN, NULL,
                reterr_reason);

    for (size_t i = 0; r == 0 && i < SEED_CATEGORY_COUNT; i++) {
        (void)snprintf(line, sizeof(line), "%zu\t%s\t%s\n", i + 1, SEED_CATEGORIES[i].slug,
                       SEED_CATEGORIES[i].name);
        r = copy_line(connection, line, reterr_reason);
    }
    return r < 0 ? r : copy_end(connection, reterr_reason);
}

static int copy_products(PGconn *connection, struct obs_reason *reterr_reason)
{
    struct seed_product p;
    char line[SEED_NAME_SIZE + SEED_DESCRIPTION_SIZE + 128];
    int r =
        run(connection,
            "COPY products (id, category_id, name, description, price_cents, popularity, rating,"
            " updated_at) FROM STDIN",
            PGRES_COPY_IN, NULL, reterr_reason);

    for (unsigned id = 1; r == 0 && id <= SEED_PRODUCTS; id++) {
        seed_product_make(id, &p);
        (void)snprintf(line, sizeof(line), "%u\t%u\t%s\t%s\t%u\t%u\t%.1f\t2026-01-05 08:00:00+00\n",
                       p.id, p.category, p.name, p.description, p.price_cents, p.popularity,
                       p.rating);
        r = copy_line(connection, line, reterr_reason);
    }
    return r < 0 ? r : copy_end(connection, reterr_reason);
}

int catalog_seed(PGconn *connection, struct obs_reason *reterr_reason)
{
    int r = is_filled(connection, reterr_reason);

    if (r != 0)
        return r < 0 ? r : 0;
    r = copy_categories(connection, reterr_reason);
    if (r == 0)
        r = copy_products(connection, reterr_reason);
    if (r == 0)
        r = run(connection, "ANALYZE categories, products", PGRES_COMMAND_OK, NULL, reterr_reason);
    if (r == 0)
        obs_log(OBS_LOG_INFO, "products seeded", OBS_INT("products", SEED_PRODUCTS));
    return r;
}
