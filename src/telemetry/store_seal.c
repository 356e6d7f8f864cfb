/*
 * The store's own thread: heads that are full or old become segments, segments that are over the
 * limits go.
 *
 * When a segment cannot be written (disk full) its head stays in memory and its log on disk,
 * appends are refused once memory is used up, and the thread tries again every second.
 */
#include "telemetry/store_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <time.h>

#define HEAD_AGE_MAX_NS (30ULL * 60 * OBS_NS_PER_SECOND)
#define CACHE_AGE_MAX_NS (60 * OBS_NS_PER_SECOND)

/* ---- rotate ---- */

int store_new_head(struct tenant *tenant, uint64_t generation, struct head **ret_head)
{
    OBS_CLEANUP(head_unrefp) struct head *head = NULL;
    char path[PATH_SIZE];
    int r = head_new(generation, &head);

    if (r < 0)
        return r;
    tenant_path(tenant, generation, "wal", path);
    r = wal_create(path, &head->wal);
    if (r < 0)
        return r;
    *ret_head = OBS_TAKE(head);
    return 0;
}

/* A new head for appends; the active one waits to be sealed. */
static int rotate(struct tenant *tenant)
{
    struct head *head;
    int r = store_new_head(tenant, tenant->next_generation + 1, &head);

    if (r < 0)
        return r;
    pthread_mutex_lock(&tenant->mutex);
    tenant->next_generation++;
    tenant->active->older = tenant->sealing;
    tenant->sealing = tenant->active;
    tenant->active = head;
    pthread_mutex_unlock(&tenant->mutex);
    return 0;
}

/* The tenant whose active head should be sealed now, or NULL. */
static struct tenant *pick_active(struct store *store)
{
    struct tenant *picked = NULL;
    size_t most = 0;
    bool is_full = atomic_load(&store->head_bytes) > store->options.head_bytes_max / 2;
    uint64_t now = obs_mono_ns();

    pthread_rwlock_rdlock(&store->lock);
    for (struct tenant *t = store->tenants; t; t = t->next) {
        pthread_mutex_lock(&t->mutex);
        if (t->active->batch_count > 0 && t->active->size_bytes > most &&
            (is_full || t->active->wal->is_broken ||
             now > t->active->first_append_mono_ns + HEAD_AGE_MAX_NS)) {
            picked = t;
            most = t->active->size_bytes;
        }
        pthread_mutex_unlock(&t->mutex);
    }
    pthread_rwlock_unlock(&store->lock);
    return picked;
}

static struct tenant *pick_sealing(struct store *store)
{
    struct tenant *t;

    pthread_rwlock_rdlock(&store->lock);
    for (t = store->tenants; t; t = t->next)
        if (t->sealing)
            break;
    pthread_rwlock_unlock(&store->lock);
    return t;
}

/* ---- seal ---- */

static struct head *oldest_sealing(struct tenant *tenant)
{
    struct head *head = tenant->sealing;

    while (head && head->older)
        head = head->older;
    return head;
}

int tenant_add_segment(struct tenant *tenant, struct segment *segment)
{
    if (tenant->segment_count == tenant->segment_capacity) {
        size_t capacity = tenant->segment_capacity ? tenant->segment_capacity * 2 : 16;
        struct segment **segments =
            reallocarray(tenant->segments, capacity, sizeof(struct segment *));

        if (!segments)
            return -ENOMEM;
        tenant->segments = segments;
        tenant->segment_capacity = capacity;
    }
    tenant->segments[tenant->segment_count++] = segment;
    return 0;
}

/* The segment takes the head's place in one step: no query sees both or none. */
static int replace(struct tenant *tenant, struct head *head, struct segment *segment)
{
    struct head **link = &tenant->sealing;
    int r;

    pthread_mutex_lock(&tenant->mutex);
    r = segment ? tenant_add_segment(tenant, segment) : 0;
    while (r == 0 && *link != head)
        link = &(*link)->older;
    if (r == 0)
        *link = head->older;
    pthread_mutex_unlock(&tenant->mutex);
    return r;
}

/* Nobody appends to it any more; some may still wait for its log's sync. */
static size_t settle(struct tenant *tenant, struct head *head)
{
    size_t batch_count;

    pthread_mutex_lock(&tenant->mutex);
    store_sync(tenant, head, head->wal->written);
    batch_count = head->batch_count;
    pthread_mutex_unlock(&tenant->mutex);
    return batch_count;
}

static int seal(struct store *store, struct tenant *tenant)
{
    struct head *head = oldest_sealing(tenant);
    struct segment *segment = NULL;
    char path[PATH_SIZE];
    size_t batch_count = settle(tenant, head), size_bytes = head->size_bytes;
    int r = 0;

    tenant_path(tenant, head->generation, "segment", path);
    if (head->span_count + head->line_count > 0) {
        r = segment_write(path, head, batch_count);
        if (r == 0)
            r = segment_open(path, head->generation, &segment);
    }
    if (r == 0)
        r = replace(tenant, head, segment);
    if (r < 0) {
        segment_unref(segment);
        return r;
    }
    atomic_fetch_sub(&store->head_bytes, size_bytes);
    unlink(head->wal->path);
    head_unref(head);
    malloc_trim(0);
    return 0;
}

/* ---- retention ---- */

static struct segment *take_oldest(struct store *store, struct tenant *tenant, uint64_t now_ns)
{
    struct segment *oldest = NULL;
    uint64_t size_bytes = 0, keep_from_ns = now_ns - store->options.retention_ns;

    if (store->options.retention_ns > now_ns)
        keep_from_ns = 0;
    pthread_mutex_lock(&tenant->mutex);
    for (size_t i = 0; i < tenant->segment_count; i++)
        size_bytes += tenant->segments[i]->size_bytes;
    for (size_t i = 0; !oldest && i < tenant->segment_count; i++)
        if (tenant->segments[i]->max_ns < keep_from_ns ||
            (i == 0 && size_bytes > store->options.tenant_bytes_max)) {
            oldest = tenant->segments[i];
            tenant->segment_count--;
            memmove(tenant->segments + i, tenant->segments + i + 1,
                    (tenant->segment_count - i) * sizeof(*tenant->segments));
        }
    pthread_mutex_unlock(&tenant->mutex);
    return oldest;
}

static void retain(struct store *store)
{
    uint64_t now_ns = obs_time_ns();

    pthread_rwlock_rdlock(&store->lock);
    for (struct tenant *t = store->tenants; t; t = t->next) {
        struct segment *old;

        while ((old = take_oldest(store, t, now_ns)) != NULL) {
            obs_log(OBS_LOG_INFO, "segment dropped", OBS_TEXT("tenant", t->name),
                    OBS_INT("generation", old->generation), OBS_INT("bytes", old->size_bytes));
            atomic_fetch_add(&store->dropped_segments, 1);
            atomic_store(&old->is_dropped, true);
            segment_unref(old);
        }
    }
    pthread_rwlock_unlock(&store->lock);
}

/* ---- thread ---- */

static void note_result(struct store *store, const struct tenant *tenant, int r)
{
    int before = atomic_exchange(&store->seal_error, r);

    if (r < 0 && before != r)
        obs_log(OBS_LOG_ERROR, "cannot write a segment: trying again",
                OBS_TEXT("tenant", tenant->name), OBS_TEXT("error", strerror(-r)));
    else if (r == 0 && before < 0)
        obs_log(OBS_LOG_INFO, "segments can be written again", OBS_TEXT("tenant", tenant->name));
}

/* One piece of work. Return: whether there may be more. */
static bool step(struct store *store)
{
    struct tenant *tenant = pick_sealing(store);
    int r;

    if (tenant) {
        r = seal(store, tenant);
    } else {
        tenant = pick_active(store);
        if (!tenant)
            return false;
        r = rotate(tenant);
    }
    note_result(store, tenant, r);
    return r == 0;
}

static void forget_unused(struct store *store)
{
    uint64_t now = obs_mono_ns();

    if (now > CACHE_AGE_MAX_NS)
        store_cache_expire(&store->cache, now - CACHE_AGE_MAX_NS);
}

static void *run(void *userdata)
{
    struct store *store = userdata;

    pthread_setname_np(pthread_self(), "seal");
    pthread_mutex_lock(&store->seal_mutex);
    while (!store->is_closing) {
        struct timespec until;
        bool has_more;

        pthread_mutex_unlock(&store->seal_mutex);
        pthread_mutex_lock(&store->work_mutex);
        has_more = step(store);
        retain(store);
        forget_unused(store);
        pthread_mutex_unlock(&store->work_mutex);
        pthread_mutex_lock(&store->seal_mutex);
        if (has_more || store->is_closing || store->is_kicked) {
            store->is_kicked = false;
            continue;
        }
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&store->seal_wanted, &store->seal_mutex, &until);
        store->is_kicked = false;
    }
    pthread_mutex_unlock(&store->seal_mutex);
    return NULL;
}

void store_kick(struct store *store)
{
    pthread_mutex_lock(&store->seal_mutex);
    store->is_kicked = true;
    pthread_cond_signal(&store->seal_wanted);
    pthread_mutex_unlock(&store->seal_mutex);
}

int store_seal_start(struct store *store)
{
    int r = pthread_create(&store->sealer, NULL, run, store);

    store->is_sealing = r == 0;
    return -r;
}

void store_seal_stop(struct store *store)
{
    if (!store->is_sealing)
        return;
    pthread_mutex_lock(&store->seal_mutex);
    store->is_closing = true;
    pthread_cond_signal(&store->seal_wanted);
    pthread_mutex_unlock(&store->seal_mutex);
    pthread_join(store->sealer, NULL);
    store->is_sealing = false;
}

int store_seal_now(struct store *store)
{
    int r = 0;

    pthread_mutex_lock(&store->work_mutex);
    for (struct tenant *t = store->tenants; r == 0 && t; t = t->next) {
        if (t->active->batch_count > 0)
            r = rotate(t);
        while (r == 0 && t->sealing)
            r = seal(store, t);
    }
    pthread_mutex_unlock(&store->work_mutex);
    return r;
}
