#include "telemetry/profile_names.h"

#include "base/arena.h"
#include <errno.h>
#include <string.h>

#define ENTRY_BYTES 32 /* what a text costs besides its bytes */

struct profile_names {
    struct text_view *items;
    size_t count, room;
    uint32_t *slots; /* number + 1; 0: empty */
    size_t mask;     /* slots - 1, a power of two of them */
    size_t bytes, bytes_max;
    struct obs_arena *texts;
};

struct profile_names *profile_names_free(struct profile_names *names)
{
    if (!names)
        return NULL;
    free(names->items);
    free(names->slots);
    obs_arena_free(names->texts);
    free(names);
    return NULL;
}

int profile_names_new(size_t bytes_max, struct profile_names **ret_names)
{
    OBS_CLEANUP(profile_names_freep) struct profile_names *names = calloc(1, sizeof(*names));
    int r;

    if (!names)
        return -ENOMEM;
    names->bytes_max = bytes_max;
    r = obs_arena_new(bytes_max * 2 + 65536, &names->texts); /* padding and chunk ends too */
    if (r < 0)
        return r;
    *ret_names = OBS_TAKE(names);
    return 0;
}

static uint64_t hash_text(struct text_view text)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < text.size; i++)
        hash = (hash ^ (uint8_t)text.text[i]) * 0x100000001b3ULL;
    return hash ^ hash >> 29;
}

static void place(struct profile_names *names, uint32_t number)
{
    size_t at = hash_text(names->items[number]) & names->mask;

    while (names->slots[at] != 0)
        at = (at + 1) & names->mask;
    names->slots[at] = number + 1;
}

/* Room for one more text, and at least half of the slots empty. */
static int make_room(struct profile_names *names)
{
    size_t room = names->room ? names->room * 2 : 32;
    struct text_view *items;
    uint32_t *slots;

    if (names->count < names->room)
        return 0;
    items = realloc(names->items, room * sizeof(*items));
    if (!items)
        return -ENOMEM;
    names->items = items;
    slots = calloc(room * 2, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    free(names->slots);
    names->slots = slots;
    names->mask = room * 2 - 1;
    names->room = room;
    for (uint32_t i = 0; i < names->count; i++)
        place(names, i);
    return 0;
}

int profile_names_put(struct profile_names *names, struct text_view text, uint32_t *ret_number)
{
    char *copy;
    int r = make_room(names);

    if (r < 0)
        return r;
    for (size_t at = hash_text(text) & names->mask; names->slots[at] != 0;
         at = (at + 1) & names->mask) {
        struct text_view known = names->items[names->slots[at] - 1];

        if (known.size == text.size && memcmp(known.text, text.text, text.size) == 0) {
            *ret_number = names->slots[at] - 1;
            return 0;
        }
    }
    if (text.size + ENTRY_BYTES > names->bytes_max - names->bytes)
        return -EMSGSIZE;
    copy = obs_arena_alloc(names->texts, text.size + 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, text.text, text.size);
    names->bytes += text.size + ENTRY_BYTES;
    names->items[names->count] = (struct text_view){copy, text.size};
    *ret_number = (uint32_t)names->count++;
    place(names, *ret_number);
    return 0;
}

size_t profile_names_count(const struct profile_names *names)
{
    return names->count;
}

size_t profile_names_bytes(const struct profile_names *names)
{
    return names->bytes;
}

struct text_view profile_names_at(const struct profile_names *names, uint32_t number)
{
    return names->items[number];
}
