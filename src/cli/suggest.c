/* Suggest: edit distance with swaps (optimal string alignment), three rows at a time. */
#include "cli/suggest.h"

#include <string.h>

#define WORD_MAX_BYTES 40

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t suggest_distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX_BYTES + 1] = {{0}};
    size_t a_size = strlen(a), b_size = strlen(b);

    if (a_size > WORD_MAX_BYTES || b_size > WORD_MAX_BYTES)
        return WORD_MAX_BYTES;
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3], *before = rows[(i + 2) % 3], *two_before = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t replaced = before[j - 1] + (a[i - 1] != b[j - 1]);

            row[j] = least(least(before[j] + 1, row[j - 1] + 1), replaced);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_before[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

const char *suggest_nearest(const char *word, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t best = strlen(word) / 3 + 2; /* further than this is another word */

    for (size_t i = 0; i < count; i++) {
        size_t distance = suggest_distance(word, words[i]);

        if (distance < best) {
            best = distance;
            nearest = words[i];
        }
    }
    return nearest;
}
