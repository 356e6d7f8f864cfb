#include "telemetry/store_cache.h"

#include "base/clock.h"

void store_cache_init(struct store_cache *cache)
{
    *cache = (struct store_cache){0};
    pthread_mutex_init(&cache->mutex, NULL);
}

static void reader_free(struct block_reader *reader)
{
    if (reader)
        block_reader_done(reader);
    free(reader);
}

static void forget(struct store_cache *cache, size_t i)
{
    reader_free(cache->entries[i].reader);
    segment_unref(cache->entries[i].segment);
    cache->entries[i].reader = NULL;
    cache->entries[i].segment = NULL;
}

void store_cache_done(struct store_cache *cache)
{
    for (size_t i = 0; i < STORE_CACHE_BLOCKS; i++)
        forget(cache, i);
    pthread_mutex_destroy(&cache->mutex);
}

struct block_reader *store_cache_take(struct store_cache *cache, struct segment *segment,
                                      size_t block, int fd)
{
    struct block_reader *reader = NULL;

    pthread_mutex_lock(&cache->mutex);
    for (size_t i = 0; !reader && i < STORE_CACHE_BLOCKS; i++)
        if (cache->entries[i].segment == segment && cache->entries[i].block == block &&
            cache->entries[i].reader) {
            reader = cache->entries[i].reader;
            reader->fd = fd;
            cache->entries[i].reader = NULL;
            forget(cache, i); /* the caller has a reference of its own */
        }
    pthread_mutex_unlock(&cache->mutex);
    if (!reader) {
        reader = calloc(1, sizeof(*reader));
        if (reader)
            block_reader_open(reader, fd, &segment->blocks[block]);
    }
    return reader;
}

void store_cache_give(struct store_cache *cache, struct segment *segment, size_t block,
                      struct block_reader *reader, bool is_good)
{
    size_t oldest = 0;

    if (!is_good) {
        reader_free(reader);
        return;
    }
    pthread_mutex_lock(&cache->mutex);
    for (size_t i = 1; i < STORE_CACHE_BLOCKS; i++)
        if (!cache->entries[i].segment ||
            (cache->entries[oldest].segment &&
             cache->entries[i].used_ns < cache->entries[oldest].used_ns))
            oldest = i;
    forget(cache, oldest);
    cache->entries[oldest].segment = segment_ref(segment);
    cache->entries[oldest].block = block;
    cache->entries[oldest].reader = reader;
    cache->entries[oldest].used_ns = obs_mono_ns();
    pthread_mutex_unlock(&cache->mutex);
}

void store_cache_expire(struct store_cache *cache, uint64_t unused_since_ns)
{
    pthread_mutex_lock(&cache->mutex);
    for (size_t i = 0; i < STORE_CACHE_BLOCKS; i++)
        if (cache->entries[i].segment && cache->entries[i].used_ns < unused_since_ns)
            forget(cache, i);
    pthread_mutex_unlock(&cache->mutex);
}
