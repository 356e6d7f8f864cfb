/*
 * Arena: a list of chunks, the newest first. The first chunk is allocated with the arena itself and
 * stays over resets, so a request of usual size costs one malloc in the arena's whole life.
 */
#include "base/arena.h"

#include <errno.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CHUNK 4096
#define CHUNK 16384

struct chunk {
    struct chunk *next;
    size_t size, used;
    alignas(max_align_t) char data[];
};

struct obs_arena {
    size_t limit, used; /* bytes handed out, with alignment */
    struct chunk *chunks;
    struct chunk *first;
};

static struct chunk *chunk_new(struct obs_arena *arena, size_t size)
{
    struct chunk *c = malloc(sizeof(*c) + size);

    if (!c)
        return NULL;
    c->size = size;
    c->used = 0;
    c->next = arena->chunks;
    arena->chunks = c;
    return c;
}

int obs_arena_new(size_t limit_bytes, struct obs_arena **ret_arena)
{
    struct obs_arena *arena = calloc(1, sizeof(*arena));

    if (!arena)
        return -ENOMEM;
    arena->limit = limit_bytes;
    arena->first = chunk_new(arena, limit_bytes < FIRST_CHUNK ? limit_bytes : FIRST_CHUNK);
    if (!arena->first) {
        free(arena);
        return -ENOMEM;
    }
    *ret_arena = arena;
    return 0;
}

void obs_arena_reset(struct obs_arena *arena)
{
    while (arena->chunks != arena->first) {
        struct chunk *c = arena->chunks;

        arena->chunks = c->next;
        free(c);
    }
    arena->first->used = 0;
    arena->used = 0;
}

struct obs_arena *obs_arena_free(struct obs_arena *arena)
{
    if (!arena)
        return NULL;
    obs_arena_reset(arena);
    free(arena->first);
    free(arena);
    return NULL;
}

static void *take(struct obs_arena *arena, size_t size)
{
    const size_t step = alignof(max_align_t);
    struct chunk *c = arena->chunks;
    char *memory;

    if (size > SIZE_MAX / 2)
        return NULL;
    size = size ? (size + step - 1) / step * step : step;
    if (size > arena->limit - arena->used)
        return NULL;
    if (size > c->size - c->used) {
        c = chunk_new(arena, size > CHUNK ? size : CHUNK);
        if (!c)
            return NULL;
    }
    memory = c->data + c->used;
    c->used += size;
    arena->used += size;
    return memory;
}

void *obs_arena_alloc(struct obs_arena *arena, size_t size)
{
    void *memory = take(arena, size);

    return memory ? memset(memory, 0, size) : NULL;
}

char *obs_arena_strndup(struct obs_arena *arena, const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    char *copy = take(arena, length + 1);

    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *obs_arena_copy(struct obs_arena *arena, const void *data, size_t size)
{
    char *copy = take(arena, size + 1);

    if (!copy)
        return NULL;
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

char *obs_arena_printf(struct obs_arena *arena, const char *format, ...)
{
    char *text = NULL;
    va_list args, again;
    int size;

    va_start(args, format);
    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (size >= 0)
        text = take(arena, (size_t)size + 1);
    if (text)
        vsnprintf(text, (size_t)size + 1, format, args);
    va_end(args);
    return text;
}
