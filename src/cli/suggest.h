#pragma once
/* Suggest: the known word that a mistyped one is nearest to. */
#include <stddef.h>

/* Edits (insert, delete, replace, swap neighbours) from @a to @b; words over 40 bytes count as far.
 */
size_t suggest_distance(const char *a, const char *b);

/* The nearest of @words[count], NULL when none is near enough to be meant. */
const char *suggest_nearest(const char *word, const char *const *words, size_t count);
