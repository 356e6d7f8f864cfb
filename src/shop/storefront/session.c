#include "shop/storefront/session.h"
#include "base/clock.h"
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

enum { BUCKETS_MIN = 64 };

struct session {
    struct session *next_in_bucket;
    struct session *newer, *older; /* by last use */
    uint64_t used_ns;              /* monotonic */
    char id[SESSION_ID_MAX + 1];
    struct session_views views;
};

struct session_cache {
    pthread_mutex_t lock;
    struct session **buckets;
    size_t bucket_count, count, max_entries;
    uint64_t ttl_ns, evicted, expired;
    struct session *newest, *oldest;
};

/* ---- table; the lock is held ---- */

static size_t bucket_of(const struct session_cache *c, const char *id)
{
    uint64_t hash = 14695981039346656037ULL; /* FNV-1a */

    for (; *id != '\0'; id++)
        hash = (hash ^ (unsigned char)*id) * 1099511628211ULL;
    return hash % c->bucket_count;
}

static struct session *find(struct session_cache *c, const char *id)
{
    struct session *s = c->buckets[bucket_of(c, id)];

    while (s && strcmp(s->id, id) != 0)
        s = s->next_in_bucket;
    return s;
}

/* Twice the buckets when they are full; without memory for that chains only get longer. */
static void grow(struct session_cache *c)
{
    size_t old_count = c->bucket_count;
    struct session **old = c->buckets, **buckets = calloc(old_count * 2, sizeof(*buckets));

    if (!buckets)
        return;
    c->buckets = buckets;
    c->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        for (struct session *s = old[i], *next; s; s = next) {
            struct session **bucket = &c->buckets[bucket_of(c, s->id)];

            next = s->next_in_bucket;
            s->next_in_bucket = *bucket;
            *bucket = s;
        }
    }
    free(old);
}

static void unlink_use(struct session_cache *c, struct session *s)
{
    *(s->newer ? &s->newer->older : &c->newest) = s->older;
    *(s->older ? &s->older->newer : &c->oldest) = s->newer;
}

static void mark_used(struct session_cache *c, struct session *s)
{
    s->used_ns = obs_mono_ns();
    s->newer = NULL;
    s->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = s;
    c->newest = s;
}

static void drop(struct session_cache *c, struct session *s)
{
    struct session **at = &c->buckets[bucket_of(c, s->id)];

    while (*at != s)
        at = &(*at)->next_in_bucket;
    *at = s->next_in_bucket;
    unlink_use(c, s);
    c->count--;
    free(s);
}

static void drop_expired(struct session_cache *c)
{
    uint64_t now = obs_mono_ns();

    while (c->oldest && now - c->oldest->used_ns > c->ttl_ns) {
        drop(c, c->oldest);
        c->expired++;
    }
}

static void drop_surplus(struct session_cache *c)
{
    while (c->max_entries > 0 && c->count > c->max_entries) {
        drop(c, c->oldest);
        c->evicted++;
    }
}

static struct session *insert(struct session_cache *c, const char *id)
{
    struct session *s = calloc(1, sizeof(*s));
    struct session **bucket;

    if (!s)
        return NULL;
    if (c->count >= c->bucket_count)
        grow(c);
    memcpy(s->id, id, strlen(id) + 1);
    bucket = &c->buckets[bucket_of(c, id)];
    s->next_in_bucket = *bucket;
    *bucket = s;
    mark_used(c, s);
    c->count++;
    drop_surplus(c);
    return s;
}

static struct session *use(struct session_cache *c, const char *id)
{
    struct session *s = find(c, id);

    if (s) {
        unlink_use(c, s);
        mark_used(c, s);
    }
    return s;
}

/* ---- views ---- */

static void put_first(struct session_views *v, const struct session_view *view)
{
    size_t at = 0;

    while (at < v->count && v->views[at].product_id != view->product_id)
        at++;
    if (at == v->count && v->count < SESSION_VIEWS_MAX)
        v->count++;
    if (at == SESSION_VIEWS_MAX)
        at--; /* the one seen longest ago goes */
    memmove(&v->views[1], &v->views[0], at * sizeof(*v->views));
    v->views[0] = *view;
}

int session_note(struct session_cache *c, const char *id, const struct session_view *view)
{
    struct session *s;

    pthread_mutex_lock(&c->lock);
    drop_expired(c);
    s = use(c, id);
    if (!s)
        s = insert(c, id);
    if (s)
        put_first(&s->views, view);
    pthread_mutex_unlock(&c->lock);
    return s ? 0 : -ENOMEM;
}

void session_read(struct session_cache *c, const char *id, struct session_views *ret_views)
{
    const struct session *s;

    ret_views->count = 0;
    pthread_mutex_lock(&c->lock);
    drop_expired(c);
    s = use(c, id);
    if (s)
        *ret_views = s->views;
    pthread_mutex_unlock(&c->lock);
}

bool session_id_is_valid(const char *id)
{
    size_t size = 0;

    for (; id[size] != '\0'; size++)
        if (size == SESSION_ID_MAX ||
            (!isalnum((unsigned char)id[size]) && id[size] != '-' && id[size] != '_'))
            return false;
    return size > 0;
}

/* ---- the cache ---- */

int session_cache_new(size_t max_entries, unsigned ttl_s, struct session_cache **ret_cache)
{
    OBS_CLEANUP(session_cache_freep) struct session_cache *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    (void)pthread_mutex_init(&c->lock, NULL);
    c->max_entries = max_entries;
    c->ttl_ns = ttl_s * OBS_NS_PER_SECOND;
    c->bucket_count = BUCKETS_MIN;
    c->buckets = calloc(c->bucket_count, sizeof(*c->buckets));
    if (!c->buckets)
        return -ENOMEM;
    *ret_cache = OBS_TAKE(c);
    return 0;
}

struct session_cache *session_cache_free(struct session_cache *c)
{
    if (!c)
        return NULL;
    for (struct session *s = c->newest, *older; s; s = older) {
        older = s->older;
        free(s);
    }
    pthread_mutex_destroy(&c->lock);
    free(c->buckets);
    free(c);
    return NULL;
}

void session_cache_configure(struct session_cache *c, size_t max_entries, unsigned ttl_s)
{
    pthread_mutex_lock(&c->lock);
    c->max_entries = max_entries;
    c->ttl_ns = ttl_s * OBS_NS_PER_SECOND;
    drop_expired(c);
    drop_surplus(c);
    pthread_mutex_unlock(&c->lock);
}

void session_cache_stats(struct session_cache *c, struct session_stats *ret_stats)
{
    pthread_mutex_lock(&c->lock);
    *ret_stats =
        (struct session_stats){.entries = c->count, .evicted = c->evicted, .expired = c->expired};
    pthread_mutex_unlock(&c->lock);
}
