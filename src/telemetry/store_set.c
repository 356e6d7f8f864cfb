/* Open addressing, at most half full. */
#include "telemetry/store_set.h"

static void forget_copies(struct store_set *set)
{
    for (size_t i = 0; set->is_copying && i < set->count; i++)
        free((char *)set->entries[i].text.text);
    set->count = 0;
}

void store_set_done(struct store_set *set)
{
    forget_copies(set);
    free(set->entries);
    free(set->slots);
    *set = (struct store_set){.is_copying = set->is_copying};
}

void store_set_clear(struct store_set *set)
{
    if (set->count > 0 && set->slots)
        memset(set->slots, 0, set->slot_count * sizeof(*set->slots));
    forget_copies(set);
}

static void place(struct store_set *set, size_t number)
{
    size_t slot = set->entries[number].hash & (set->slot_count - 1);

    while (set->slots[slot] != 0)
        slot = (slot + 1) & (set->slot_count - 1);
    set->slots[slot] = (uint32_t)number + 1;
}

static bool grow(struct store_set *set)
{
    size_t capacity = set->capacity ? set->capacity * 2 : 32;
    struct store_set_entry *entries = realloc(set->entries, capacity * sizeof(*entries));
    uint32_t *slots;

    if (!entries)
        return false;
    set->entries = entries;
    slots = calloc(capacity * 2, sizeof(*slots));
    if (!slots)
        return false;
    free(set->slots);
    set->slots = slots;
    set->slot_count = capacity * 2;
    set->capacity = capacity;
    for (size_t i = 0; i < set->count; i++)
        place(set, i);
    return true;
}

bool store_set_has(const struct store_set *set, struct text_view text)
{
    uint64_t hash = bytes_hash(text.text, text.size, 0);

    if (set->count == 0)
        return false;
    for (size_t slot = hash & (set->slot_count - 1); set->slots[slot] != 0;
         slot = (slot + 1) & (set->slot_count - 1)) {
        const struct store_set_entry *entry = &set->entries[set->slots[slot] - 1];

        if (entry->hash == hash && text_equal(entry->text, text))
            return true;
    }
    return false;
}

uint32_t store_set_put(struct store_set *set, struct text_view text, bool *ret_is_new)
{
    uint64_t hash = bytes_hash(text.text, text.size, 0);
    size_t slot;

    *ret_is_new = false;
    if (set->count == set->capacity && !grow(set))
        return STORE_SET_NONE;
    for (slot = hash & (set->slot_count - 1); set->slots[slot] != 0;
         slot = (slot + 1) & (set->slot_count - 1)) {
        const struct store_set_entry *entry = &set->entries[set->slots[slot] - 1];

        if (entry->hash == hash && text_equal(entry->text, text))
            return set->slots[slot] - 1;
    }
    if (set->is_copying) {
        char *copy = malloc(text.size + 1);

        if (!copy)
            return STORE_SET_NONE;
        if (text.size > 0)
            memcpy(copy, text.text, text.size);
        text.text = copy;
    }
    set->entries[set->count] = (struct store_set_entry){hash, text};
    set->slots[slot] = (uint32_t)++set->count;
    *ret_is_new = true;
    return (uint32_t)set->count - 1;
}
