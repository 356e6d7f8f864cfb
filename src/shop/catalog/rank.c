#include "shop/catalog/rank.h"
#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAME_MAX_COMPARED = 96, WORDS_MAX = 16 };

/* ---- words ---- */

static size_t word_size(const char *text)
{
    size_t size = 0;

    while (isalnum((unsigned char)text[size]))
        size++;
    return size;
}

static const char *next_word(const char *text)
{
    while (*text != '\0' && !isalnum((unsigned char)*text))
        text++;
    return text;
}

/* 1 for a whole word, less for its beginning, less again the later it stands; 0 when it is not
 * there. */
static double word_weight(const char *name, const char *word, size_t size)
{
    unsigned place = 0;

    for (const char *at = next_word(name); *at != '\0';
         at = next_word(at + word_size(at)), place++) {
        size_t found = word_size(at);

        if (found < size || strncasecmp(at, word, size) != 0)
            continue;
        return (found == size ? 1.0 : (double)size / (double)found) / (1.0 + 0.15 * place);
    }
    return 0;
}

static double text_weight(const char *query, const char *name)
{
    double weight = 0;
    unsigned words = 0;

    for (const char *at = next_word(query); *at != '\0' && words < WORDS_MAX;
         at = next_word(at + word_size(at)), words++)
        weight += word_weight(name, at, word_size(at));
    return words > 0 ? weight / words : 0;
}

/* ---- order ---- */

static int compare_candidates(const void *a, const void *b)
{
    const struct rank_candidate *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void weigh(const char *query, struct rank_candidate *candidates, size_t count)
{
    for (size_t i = 0; i < count; i++)
        candidates[i].score = 3.0 * text_weight(query, candidates[i].name) +
                              0.2 * log1p((double)candidates[i].popularity);
}

void rank_weighted(const char *query, struct rank_candidate *candidates, size_t count)
{
    weigh(query, candidates, count);
    if (count > 0)
        qsort(candidates, count, sizeof(*candidates), compare_candidates);
}

/* ---- proximity ---- */

/* Edits that turn one name into the other, in two rows (Wagner and Fischer). */
__attribute__((noinline)) static unsigned name_distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_COMPARED + 1];
    size_t a_size = strnlen(a, NAME_MAX_COMPARED), b_size = strnlen(b, NAME_MAX_COMPARED);

    for (size_t j = 0; j <= b_size; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_size; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned above = row[j];
            bool is_equal = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            unsigned best = diagonal + !is_equal;

            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b_size];
}

static double name_closeness(const char *a, const char *b)
{
    size_t a_size = strnlen(a, NAME_MAX_COMPARED), b_size = strnlen(b, NAME_MAX_COMPARED);
    size_t longest = a_size > b_size ? a_size : b_size;

    return longest > 0 ? 1.0 - (double)name_distance(a, b) / (double)longest : 1.0;
}

void rank_proximity(const char *query, struct rank_candidate *candidates, size_t count)
{
    weigh(query, candidates, count);
    for (size_t i = 0; i < count; i++) {
        double sum = 0;

        for (size_t j = 0; j < count; j++)
            if (j != i)
                sum += name_closeness(candidates[i].name, candidates[j].name);
        if (count > 1)
            candidates[i].score += sum / (double)(count - 1);
    }
    if (count > 0)
        qsort(candidates, count, sizeof(*candidates), compare_candidates);
}
