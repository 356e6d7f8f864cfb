#pragma once
/*
 * Set: byte strings, each with a number in order of first appearance. Dictionaries of blocks, and
 * answers that name each thing once.
 */
#include "base/cleanup.h"
#include "telemetry/store_bytes.h"

#define STORE_SET_NONE UINT32_MAX

struct store_set_entry {
    uint64_t hash;
    struct text_view text;
};

struct store_set {
    struct store_set_entry *entries; /* count of them, in order of appearance */
    size_t count, capacity;
    uint32_t *slots; /* slot_count, a power of two; 0: empty, else number + 1 */
    size_t slot_count;
    bool is_copying; /* text is copied; else it stays with the caller */
};

void store_set_done(struct store_set *set);
void store_set_clear(struct store_set *set); /* keeps the memory */
bool store_set_has(const struct store_set *set, struct text_view text);
/* Return: its number, or STORE_SET_NONE when there is no memory. */
uint32_t store_set_put(struct store_set *set, struct text_view text, bool *ret_is_new);
