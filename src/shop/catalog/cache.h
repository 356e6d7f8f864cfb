#pragma once
/*
 * Cache: texts by key in Redis, through a bounded pool of connections, each operation within a
 * deadline.
 *
 * Filling races with writing: a reader may hold an old row while the row changes and its entry is
 * removed. So removal leaves a mark for a few seconds, and an entry is only filled where there is
 * nothing: the late reader's old text is not stored.
 */
#include "base/cleanup.h"
#include "otel/instrument.h"
#include <stdbool.h>
#include <stddef.h>

struct cache;

enum cache_outcome {
    CACHE_HIT = 0,
    CACHE_MISS = 1,
    CACHE_NEGATIVE = 2, /* known to be absent */
    CACHE_ERROR = 3,    /* not reachable, too slow, or refused (out of memory) */
};

struct cache_options {
    const char *address; /* unix:PATH or tcp:HOST:PORT */
    unsigned pool_size;
    unsigned timeout_ms;
};

/* Does not connect. Return: 0, -EINVAL (address), -ENOMEM. */
int cache_new(struct obs_telemetry *telemetry, const struct cache_options *options,
              struct cache **ret_cache, struct obs_reason *reterr_reason);
struct cache *cache_free(struct cache *cache);
void cache_configure(struct cache *cache, unsigned pool_size, unsigned timeout_ms);

/* Each look-up counts one in cache_requests_total. @ret_text: free() it; set with CACHE_HIT only.
 */
int cache_get(struct cache *cache, const char *key, char **ret_text);
/* @ret_texts[count]: NULL where @ret_outcomes[i] is not CACHE_HIT. */
void cache_get_many(struct cache *cache, const char *const *keys, size_t count, char **ret_texts,
                    int *ret_outcomes);

struct cache_entry {
    const char *key;
    const char *text; /* NULL: known to be absent */
    unsigned ttl_ms;
};
/* Store where nothing is. Errors are counted and logged now and then, and that is all. */
void cache_put_many(struct cache *cache, const struct cache_entry *entries, size_t count);
/* Remove. Return: 0, CACHE_ERROR. */
int cache_invalidate(struct cache *cache, const char *key);

OBS_DEFINE_CLEANUP(struct cache *, cache_free)
