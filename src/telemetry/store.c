#include "telemetry/store.h"

#include "base/file.h"
#include "base/log.h"
#include "telemetry/store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETENTION_DEFAULT_NS (48ULL * 3600 * 1000000000ULL)
#define TENANT_BYTES_DEFAULT (2ULL << 30)
#define HEAD_BYTES_DEFAULT (32ULL << 20)

static struct tenant *tenant_free(struct tenant *tenant)
{
    struct head *older;

    if (!tenant)
        return NULL;
    head_unref(tenant->active);
    for (; tenant->sealing; tenant->sealing = older) {
        older = tenant->sealing->older;
        head_unref(tenant->sealing);
    }
    for (size_t i = 0; i < tenant->segment_count; i++)
        segment_unref(tenant->segments[i]);
    free(tenant->segments);
    free(tenant->folder);
    pthread_mutex_destroy(&tenant->mutex);
    pthread_cond_destroy(&tenant->synced);
    free(tenant);
    return NULL;
}
OBS_DEFINE_CLEANUP(struct tenant *, tenant_free)

struct store *store_free(struct store *store)
{
    struct tenant *next;

    if (!store)
        return NULL;
    store_seal_stop(store);
    store_cache_done(&store->cache);
    for (; store->tenants; store->tenants = next) {
        next = store->tenants->next;
        tenant_free(store->tenants);
    }
    pthread_rwlock_destroy(&store->lock);
    pthread_mutex_destroy(&store->work_mutex);
    pthread_mutex_destroy(&store->seal_mutex);
    pthread_cond_destroy(&store->seal_wanted);
    free(store->folder);
    free(store);
    return NULL;
}

int store_open(const struct store_options *options, struct store **ret_store,
               struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(store_freep) struct store *store = calloc(1, sizeof(*store));
    int r;

    if (!store)
        return -ENOMEM;
    pthread_rwlock_init(&store->lock, NULL);
    store_cache_init(&store->cache);
    pthread_mutex_init(&store->work_mutex, NULL);
    pthread_mutex_init(&store->seal_mutex, NULL);
    pthread_cond_init(&store->seal_wanted, NULL);
    store->options = *options;
    if (store->options.retention_ns == 0)
        store->options.retention_ns = RETENTION_DEFAULT_NS;
    if (store->options.tenant_bytes_max == 0)
        store->options.tenant_bytes_max = TENANT_BYTES_DEFAULT;
    if (store->options.head_bytes_max == 0)
        store->options.head_bytes_max = HEAD_BYTES_DEFAULT;
    store->folder = strdup(options->folder);
    if (!store->folder)
        return -ENOMEM;
    r = obs_file_mkdirs(store->folder, 0700);
    if (r < 0) {
        obs_reason_set(reterr_reason, "cannot make %s: %s", store->folder, strerror(-r));
        return r;
    }
    r = store_recover(store, reterr_reason);
    if (r == 0)
        r = store_seal_start(store);
    if (r < 0)
        return r;
    *ret_store = OBS_TAKE(store);
    return 0;
}

/* ---- tenants ---- */

bool store_tenant_is_good(const char *name)
{
    size_t size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    return size > 0 && size <= STORE_TENANT_MAX && name[size] == '\0';
}

static struct tenant *find_in_list(struct store *store, const char *name)
{
    struct tenant *tenant = store->tenants;

    while (tenant && strcmp(tenant->name, name) != 0)
        tenant = tenant->next;
    return tenant;
}

struct tenant *tenant_find(struct store *store, const char *name)
{
    struct tenant *tenant;

    pthread_rwlock_rdlock(&store->lock);
    tenant = find_in_list(store, name);
    pthread_rwlock_unlock(&store->lock);
    return tenant;
}

static int tenant_new(struct store *store, const char *name, struct tenant **ret_tenant)
{
    OBS_CLEANUP(tenant_freep) struct tenant *tenant = calloc(1, sizeof(*tenant));
    int r;

    if (!tenant)
        return -ENOMEM;
    pthread_mutex_init(&tenant->mutex, NULL);
    pthread_cond_init(&tenant->synced, NULL);
    strcpy(tenant->name, name);
    if (asprintf(&tenant->folder, "%s/%s", store->folder, name) < 0) {
        tenant->folder = NULL;
        return -ENOMEM;
    }
    if (mkdir(tenant->folder, 0700) == 0)
        (void)wal_sync_folder(store->folder);
    else if (errno != EEXIST)
        return -errno;
    r = tenant_recover(store, tenant);
    if (r < 0)
        return r;
    *ret_tenant = OBS_TAKE(tenant);
    return 0;
}

void tenant_path(const struct tenant *tenant, uint64_t generation, const char *suffix,
                 char ret_path[PATH_SIZE])
{
    (void)snprintf(ret_path, PATH_SIZE, "%s/%010" PRIu64 ".%s", tenant->folder, generation, suffix);
}

static int make_tenant(struct store *store, const char *name, struct tenant **ret_tenant,
                       struct obs_reason *reterr_reason)
{
    int r;

    if (store->tenant_count >= STORE_TENANT_COUNT_MAX) {
        obs_reason_set(reterr_reason, "there are %d tenants already, the most that are kept",
                       STORE_TENANT_COUNT_MAX);
        return STORE_REFUSED;
    }
    r = tenant_new(store, name, ret_tenant);
    if (r < 0)
        return r;
    (*ret_tenant)->next = store->tenants;
    store->tenants = *ret_tenant;
    store->tenant_count++;
    return 0;
}

int tenant_get(struct store *store, const char *name, struct tenant **ret_tenant,
               struct obs_reason *reterr_reason)
{
    int r = 0;

    if (!store_tenant_is_good(name)) {
        obs_reason_set(reterr_reason,
                       "a tenant's name is 1 to %d of A-Z, a-z, 0-9, \"_\" and \"-\"",
                       STORE_TENANT_MAX);
        return STORE_REFUSED;
    }
    *ret_tenant = tenant_find(store, name);
    if (*ret_tenant)
        return 0;
    pthread_rwlock_wrlock(&store->lock);
    *ret_tenant = find_in_list(store, name);
    if (!*ret_tenant)
        r = make_tenant(store, name, ret_tenant, reterr_reason);
    pthread_rwlock_unlock(&store->lock);
    return r;
}

int store_tenants(struct store *store, store_text_fn *fn, void *userdata)
{
    pthread_rwlock_rdlock(&store->lock);
    for (struct tenant *tenant = store->tenants; tenant; tenant = tenant->next)
        if (fn(text_of(tenant->name), userdata) == STORE_STOP)
            break;
    pthread_rwlock_unlock(&store->lock);
    return 0;
}

static void count_head(struct store_stats *stats, const struct head *head)
{
    stats->spans += head->span_count;
    stats->lines += head->line_count;
    stats->disk_bytes += (uint64_t)head->wal->written;
}

void store_stats(struct store *store, struct store_stats *ret_stats)
{
    struct store_stats stats = {.head_bytes = atomic_load(&store->head_bytes),
                                .damaged_segments = atomic_load(&store->damaged_segments),
                                .damaged_blocks = atomic_load(&store->damaged_blocks),
                                .dropped_segments = atomic_load(&store->dropped_segments)};

    pthread_rwlock_rdlock(&store->lock);
    for (struct tenant *tenant = store->tenants; tenant; tenant = tenant->next) {
        pthread_mutex_lock(&tenant->mutex);
        count_head(&stats, tenant->active);
        for (const struct head *head = tenant->sealing; head; head = head->older)
            count_head(&stats, head);
        for (size_t i = 0; i < tenant->segment_count; i++) {
            stats.segments++;
            stats.spans += tenant->segments[i]->span_count;
            stats.lines += tenant->segments[i]->line_count;
            stats.disk_bytes += tenant->segments[i]->size_bytes;
        }
        pthread_mutex_unlock(&tenant->mutex);
    }
    pthread_rwlock_unlock(&store->lock);
    *ret_stats = stats;
}

void store_on_lines(struct store *store,
                    void (*fn)(const char *tenant, const struct line_view *lines, size_t count,
                               void *userdata),
                    void *userdata)
{
    store->on_lines = fn;
    store->on_lines_userdata = userdata;
}

/* ---- snapshots ---- */

static int add_head(struct snapshot *s, struct head *head)
{
    struct head **heads = reallocarray(s->heads, s->head_count + 1, sizeof(struct head *));

    if (!heads)
        return -ENOMEM;
    s->heads = heads;
    s->heads[s->head_count++] = head_ref(head);
    return 0;
}

static int add_segments(struct snapshot *s, const struct tenant *tenant)
{
    s->segments = calloc(tenant->segment_count + 1, sizeof(struct segment *));
    s->fds = calloc(tenant->segment_count + 1, sizeof(*s->fds));
    if (!s->segments || !s->fds)
        return -ENOMEM;
    for (size_t i = 0; i < tenant->segment_count; i++) {
        s->segments[i] = segment_ref(tenant->segments[i]);
        s->fds[i] = -1;
    }
    s->segment_count = tenant->segment_count;
    return 0;
}

int snapshot_file(struct snapshot *s, size_t segment)
{
    if (s->fds[segment] < 0)
        s->fds[segment] = open(s->segments[segment]->path, O_RDONLY | O_CLOEXEC);
    return s->fds[segment] < 0 ? -errno : s->fds[segment];
}

void snapshot_damaged(struct snapshot *s, size_t segment, int error)
{
    struct segment *damaged = s->segments[segment];

    atomic_fetch_add(&s->store->damaged_blocks, 1);
    if (!atomic_exchange(&damaged->is_damage_said, true))
        obs_log(OBS_LOG_ERROR, "block of a segment cannot be read, ignoring",
                OBS_TEXT("file", damaged->path), OBS_TEXT("error", strerror(-error)));
}

static int list_batches(struct snapshot *s, const size_t *counts)
{
    size_t total = 0;

    for (size_t i = 0; i < s->head_count; i++)
        total += counts[i];
    s->batches = calloc(total + 1, sizeof(struct row_batch *));
    if (!s->batches)
        return -ENOMEM;
    for (size_t i = s->head_count; i-- > 0;) {
        struct row_batch *batch = s->heads[i]->first;

        for (size_t left = counts[i]; left > 0; left--, batch = left > 0 ? batch->next : NULL)
            if (!atomic_load(&batch->is_dead))
                s->batches[s->batch_count++] = batch;
    }
    return 0;
}

enum { SNAPSHOT_HEADS_MAX = 64 };

int snapshot_take(struct store *store, const char *tenant_name, struct snapshot *ret_snapshot)
{
    struct tenant *tenant = tenant_find(store, tenant_name);
    struct snapshot s = {.store = store};
    size_t counts[SNAPSHOT_HEADS_MAX];
    int r = 0;

    *ret_snapshot = s;
    if (!tenant)
        return 0;
    pthread_mutex_lock(&tenant->mutex);
    r = add_head(&s, tenant->active);
    for (struct head *head = tenant->sealing; r == 0 && head; head = head->older)
        r = s.head_count < SNAPSHOT_HEADS_MAX ? add_head(&s, head) : -EBUSY;
    for (size_t i = 0; i < s.head_count; i++)
        counts[i] = s.heads[i]->batch_count;
    if (r == 0)
        r = add_segments(&s, tenant);
    pthread_mutex_unlock(&tenant->mutex);
    if (r == 0)
        r = list_batches(&s, counts);
    if (r < 0)
        snapshot_done(&s);
    *ret_snapshot = s;
    return r;
}

void snapshot_done(struct snapshot *s)
{
    for (size_t i = 0; i < s->head_count; i++)
        head_unref(s->heads[i]);
    for (size_t i = 0; i < s->segment_count; i++) {
        if (s->fds[i] >= 0)
            close(s->fds[i]);
        segment_unref(s->segments[i]);
    }
    free(s->heads);
    free(s->batches);
    free(s->fds);
    free(s->segments);
    *s = (struct snapshot){0};
}
