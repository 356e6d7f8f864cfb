#pragma once
/*
 * Cache of parsed blocks, for look-ups by trace id: a search asks for many traces of the same few
 * blocks. A reader is used by one query at a time; nothing waits for one that is taken.
 */
#include "telemetry/segment.h"
#include <pthread.h>

enum { STORE_CACHE_BLOCKS = 16 };

struct store_cache {
    pthread_mutex_t mutex;
    struct {
        struct segment *segment; /* referenced; NULL: free */
        size_t block;
        struct block_reader *reader; /* NULL: taken */
        uint64_t used_ns;
    } entries[STORE_CACHE_BLOCKS];
};

void store_cache_init(struct store_cache *cache);
void store_cache_done(struct store_cache *cache);
/* A reader of the block, parsed as far as somebody needed it, or fresh; NULL: no memory. */
struct block_reader *store_cache_take(struct store_cache *cache, struct segment *segment,
                                      size_t block, int fd);
/* @is_good: keep it for the next. */
void store_cache_give(struct store_cache *cache, struct segment *segment, size_t block,
                      struct block_reader *reader, bool is_good);
void store_cache_expire(struct store_cache *cache, uint64_t unused_since_ns);
