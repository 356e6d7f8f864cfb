#pragma once
/*
 * Arena: memory of one request or one compilation, freed all at once.
 *
 * One thread at a time. Nothing inside is freed alone; pointers are good until obs_arena_reset() or
 * obs_arena_free().
 */
#include "base/cleanup.h"
#include <stddef.h>

struct obs_arena;

/* @limit_bytes: all allocations together never pass this. Return: 0, -ENOMEM. */
int obs_arena_new(size_t limit_bytes, struct obs_arena **ret_arena);
struct obs_arena *obs_arena_free(struct obs_arena *arena); /* NULL is fine; returns NULL */
void obs_arena_reset(struct obs_arena *arena);             /* keeps the first chunk */

/* All return NULL when the limit or the memory is reached. Memory is aligned for any type and
 * zeroed by obs_arena_alloc(). */
void *obs_arena_alloc(struct obs_arena *arena, size_t size);
char *obs_arena_strndup(struct obs_arena *arena, const char *text, size_t size); /* up to a NUL */
char *obs_arena_copy(struct obs_arena *arena, const void *data, size_t size); /* NULs too; one more
                                                                               * behind */
char *obs_arena_printf(struct obs_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
OBS_DEFINE_CLEANUP(struct obs_arena *, obs_arena_free)
