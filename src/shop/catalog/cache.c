#include "shop/catalog/cache.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "otel/names.h"
#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

/* The first byte of what is stored says what it is. */
#define MARK_TEXT '='
#define MARK_ABSENT '-'
#define MARK_REMOVED "~"
#define REMOVED_MS "3000"
enum { KEYS_MAX = 128, LOG_EVERY_MS = 5000 };

struct cache_connection {
    redisContext *redis;
    unsigned timeout_ms; /* in force */
    struct cache_connection *next;
};

struct cache {
    struct obs_telemetry *telemetry;
    struct obs_address address;
    pthread_mutex_t lock;
    pthread_cond_t returned;
    struct cache_connection *idle;
    unsigned limit, in_use;
    _Atomic unsigned timeout_ms;
    _Atomic uint64_t logged_ns; /* when an error was last logged */
    struct obs_metric_series *results[CACHE_ERROR + 1];
};

OBS_DEFINE_CLEANUP(redisReply *, freeReplyObject)

/* ---- connections ---- */

static struct timeval timeval_of(unsigned ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static redisContext *connect_redis(const struct obs_address *address, unsigned timeout_ms)
{
    char host[64], port[8];

    if (strncmp(address->text, "unix:", 5) == 0)
        return redisConnectUnixWithTimeout(address->text + 5, timeval_of(timeout_ms));
    if (getnameinfo((const struct sockaddr *)&address->socket_address, address->size, host,
                    sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return NULL;
    return redisConnectWithTimeout(host, (int)strtol(port, NULL, 10), timeval_of(timeout_ms));
}

static struct cache_connection *connection_free(struct cache_connection *c)
{
    if (!c)
        return NULL;
    if (c->redis)
        redisFree(c->redis);
    free(c);
    return NULL;
}

static struct cache_connection *connection_open(const struct cache *cache, unsigned timeout_ms)
{
    struct cache_connection *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->redis = connect_redis(&cache->address, timeout_ms);
    if (!c->redis || c->redis->err || redisSetTimeout(c->redis, timeval_of(timeout_ms)) != REDIS_OK)
        return connection_free(c);
    c->timeout_ms = timeout_ms;
    return c;
}

/* NULL: all connections stayed in use for as long as an operation may take, or none can be opened.
 */
static struct cache_connection *acquire(struct cache *cache)
{
    unsigned timeout_ms = atomic_load(&cache->timeout_ms);
    uint64_t deadline = obs_mono_ns() + timeout_ms * OBS_NS_PER_MS;
    struct timespec until = {.tv_sec = (time_t)(deadline / OBS_NS_PER_SECOND),
                             .tv_nsec = (long)(deadline % OBS_NS_PER_SECOND)};
    struct cache_connection *c = NULL;
    bool is_granted;
    int r = 0;

    pthread_mutex_lock(&cache->lock);
    while (cache->in_use >= cache->limit && r == 0)
        r = pthread_cond_timedwait(&cache->returned, &cache->lock, &until);
    is_granted = cache->in_use < cache->limit;
    if (is_granted) {
        cache->in_use++;
        c = cache->idle;
        if (c)
            cache->idle = c->next;
    }
    pthread_mutex_unlock(&cache->lock);
    if (!is_granted)
        return NULL;
    if (!c)
        c = connection_open(cache, timeout_ms);
    else if (c->timeout_ms != timeout_ms &&
             redisSetTimeout(c->redis, timeval_of(timeout_ms)) == REDIS_OK)
        c->timeout_ms = timeout_ms;
    if (!c) {
        pthread_mutex_lock(&cache->lock);
        cache->in_use--;
        pthread_cond_signal(&cache->returned);
        pthread_mutex_unlock(&cache->lock);
    }
    return c;
}

static void release(struct cache *cache, struct cache_connection *c)
{
    if (!c)
        return;
    if (c->redis->err)
        c = connection_free(c);
    pthread_mutex_lock(&cache->lock);
    if (c && cache->in_use <= cache->limit) {
        c->next = cache->idle;
        cache->idle = c;
        c = NULL;
    }
    cache->in_use--;
    pthread_cond_signal(&cache->returned);
    pthread_mutex_unlock(&cache->lock);
    connection_free(c);
}

/* ---- operations ---- */

static void log_error(struct cache *cache, const char *operation, const char *error)
{
    uint64_t last = atomic_load(&cache->logged_ns), now = obs_mono_ns();

    if (now - last < LOG_EVERY_MS * OBS_NS_PER_MS && last != 0)
        return;
    if (atomic_compare_exchange_strong(&cache->logged_ns, &last, now))
        obs_log(OBS_LOG_WARN, "cache operation failed, ignoring", OBS_TEXT("operation", operation),
                OBS_TEXT("error", error));
}

static void count(struct cache *cache, int outcome, double times)
{
    obs_counter_add(cache->results[outcome], times);
}

static redisReply *take_reply(struct cache_connection *c)
{
    void *reply = NULL;

    if (!c || redisGetReply(c->redis, &reply) != REDIS_OK)
        return NULL;
    return reply;
}

static const char *error_of(const struct cache_connection *c, const redisReply *reply)
{
    if (reply && reply->type == REDIS_REPLY_ERROR)
        return reply->str;
    if (!c)
        return "no connection";
    return c->redis->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK)
               ? "timed out"
               : c->redis->errstr;
}

static int read_value(const redisReply *reply, char **ret_text)
{
    if (!reply || reply->type != REDIS_REPLY_STRING || reply->len < 1)
        return CACHE_MISS;
    if (reply->str[0] == MARK_ABSENT)
        return CACHE_NEGATIVE;
    if (reply->str[0] != MARK_TEXT)
        return CACHE_MISS;
    *ret_text = strndup(reply->str + 1, reply->len - 1);
    return *ret_text ? CACHE_HIT : CACHE_ERROR;
}

static void span_begin(struct obs_span *span, const char *name)
{
    obs_span_start_child(span, OBS_SPAN_CLIENT, name);
    obs_span_text(span, OBS_ATTR_DB_SYSTEM, "redis");
}

int cache_get(struct cache *cache, const char *key, char **ret_text)
{
    OBS_CLEANUP(freeReplyObjectp) redisReply *reply = NULL;
    struct cache_connection *c;
    struct obs_span span;
    int outcome = CACHE_ERROR;

    span_begin(&span, "cache.get");
    c = acquire(cache);
    if (c)
        reply = redisCommand(c->redis, "GET %s", key);
    if (reply && reply->type != REDIS_REPLY_ERROR) {
        outcome = read_value(reply, ret_text);
        obs_span_bool(&span, OBS_ATTR_CACHE_HIT, outcome == CACHE_HIT || outcome == CACHE_NEGATIVE);
    } else {
        obs_span_error(&span, error_of(c, reply));
        log_error(cache, "get", error_of(c, reply));
    }
    obs_span_text(&span, "cache.key", key);
    obs_span_end(&span);
    release(cache, c);
    count(cache, outcome, 1);
    return outcome;
}

void cache_get_many(struct cache *cache, const char *const *keys, size_t key_count,
                    char **ret_texts, int *ret_outcomes)
{
    OBS_CLEANUP(freeReplyObjectp) redisReply *reply = NULL;
    const char *words[KEYS_MAX + 1] = {"MGET"};
    struct cache_connection *c;
    struct obs_span span;
    size_t hits = 0;

    assert(key_count <= KEYS_MAX);
    for (size_t i = 0; i < key_count; i++)
        words[i + 1] = keys[i];
    span_begin(&span, "cache.get_many");
    c = acquire(cache);
    if (c)
        reply = redisCommandArgv(c->redis, (int)key_count + 1, words, NULL);
    for (size_t i = 0; i < key_count; i++) {
        ret_texts[i] = NULL;
        ret_outcomes[i] = CACHE_ERROR;
        if (reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements)
            ret_outcomes[i] = read_value(reply->element[i], &ret_texts[i]);
        hits += ret_outcomes[i] == CACHE_HIT || ret_outcomes[i] == CACHE_NEGATIVE;
        count(cache, ret_outcomes[i], 1);
    }
    if (!reply || reply->type == REDIS_REPLY_ERROR) {
        obs_span_error(&span, error_of(c, reply));
        log_error(cache, "get", error_of(c, reply));
    }
    obs_span_int(&span, "cache.keys", (int64_t)key_count);
    obs_span_int(&span, "cache.hits", (int64_t)hits);
    obs_span_end(&span);
    release(cache, c);
}

static void append_put(struct cache_connection *c, const struct cache_entry *entry)
{
    char ttl[16];

    (void)snprintf(ttl, sizeof(ttl), "%u", entry->ttl_ms);
    if (entry->text)
        (void)redisAppendCommand(c->redis, "SET %s =%s PX %s NX", entry->key, entry->text, ttl);
    else
        (void)redisAppendCommand(c->redis, "SET %s %s PX %s NX", entry->key, "-", ttl);
}

void cache_put_many(struct cache *cache, const struct cache_entry *entries, size_t entry_count)
{
    struct cache_connection *c;
    struct obs_span span;
    size_t failed = entry_count;

    if (entry_count == 0)
        return;
    span_begin(&span, "cache.set");
    c = acquire(cache);
    for (size_t i = 0; c && i < entry_count; i++)
        append_put(c, &entries[i]);
    for (size_t i = 0; c && i < entry_count; i++) {
        OBS_CLEANUP(freeReplyObjectp) redisReply *reply = take_reply(c);

        if (reply && reply->type != REDIS_REPLY_ERROR) {
            failed--;
            continue;
        }
        obs_span_error(&span, error_of(c, reply));
        log_error(cache, "set", error_of(c, reply));
        if (!reply)
            break;
    }
    if (!c) {
        obs_span_error(&span, "no connection");
        log_error(cache, "set", "no connection");
    }
    obs_span_int(&span, "cache.keys", (int64_t)entry_count);
    obs_span_end(&span);
    release(cache, c);
    if (failed > 0)
        count(cache, CACHE_ERROR, (double)failed);
}

int cache_invalidate(struct cache *cache, const char *key)
{
    OBS_CLEANUP(freeReplyObjectp) redisReply *reply = NULL;
    struct cache_connection *c;
    struct obs_span span;
    int outcome = 0;

    span_begin(&span, "cache.invalidate");
    obs_span_text(&span, "cache.key", key);
    c = acquire(cache);
    if (c)
        reply = redisCommand(c->redis, "SET %s " MARK_REMOVED " PX " REMOVED_MS, key);
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        /* A full Redis refuses to store the mark, but not to remove the entry. */
        freeReplyObject(reply);
        reply = redisCommand(c->redis, "DEL %s", key);
    }
    if (!reply || reply->type == REDIS_REPLY_ERROR) {
        outcome = CACHE_ERROR;
        obs_span_error(&span, error_of(c, reply));
        log_error(cache, "invalidate", error_of(c, reply));
        count(cache, CACHE_ERROR, 1);
    }
    obs_span_end(&span);
    release(cache, c);
    return outcome;
}

/* ---- the cache ---- */

static int make_series(struct cache *cache, struct obs_metrics *metrics)
{
    static const char *const RESULTS[] = {[CACHE_HIT] = "hit",
                                          [CACHE_MISS] = "miss",
                                          [CACHE_NEGATIVE] = "negative",
                                          [CACHE_ERROR] = "error"};
    struct obs_metric_family *family = obs_metrics_named(metrics, OBS_CACHE_REQUESTS);

    if (!family)
        return -ENOMEM;
    for (size_t i = 0; i < OBS_COUNT(RESULTS); i++)
        cache->results[i] = obs_metric_series(family, &RESULTS[i]);
    return 0;
}

int cache_new(struct obs_telemetry *telemetry, const struct cache_options *options,
              struct cache **ret_cache, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(cache_freep) struct cache *cache = calloc(1, sizeof(*cache));
    pthread_condattr_t attributes;
    int r;

    if (!cache)
        return -ENOMEM;
    (void)pthread_mutex_init(&cache->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&cache->returned, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    cache->telemetry = telemetry;
    cache->limit = options->pool_size;
    cache->timeout_ms = options->timeout_ms;
    r = obs_address_parse(options->address, &cache->address, reterr_reason);
    if (r != 0)
        return r < 0 ? r : -EINVAL;
    r = make_series(cache, telemetry->metrics);
    if (r < 0)
        return r;
    *ret_cache = OBS_TAKE(cache);
    return 0;
}

struct cache *cache_free(struct cache *cache)
{
    if (!cache)
        return NULL;
    while (cache->idle) {
        struct cache_connection *c = cache->idle;

        cache->idle = c->next;
        connection_free(c);
    }
    pthread_cond_destroy(&cache->returned);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
    return NULL;
}

void cache_configure(struct cache *cache, unsigned pool_size, unsigned timeout_ms)
{
    pthread_mutex_lock(&cache->lock);
    cache->limit = pool_size;
    pthread_cond_broadcast(&cache->returned);
    pthread_mutex_unlock(&cache->lock);
    atomic_store(&cache->timeout_ms, timeout_ms);
}
