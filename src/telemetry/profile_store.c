/*
 * One lock for the whole store: profiles come a few a second, not thousands, and encoding one takes
 * tens of microseconds. It is let go while a file is synced and while files are read. A file lives
 * as long as somebody holds a reference; dropping it takes it off the tenant's list and unlinks it,
 * and who is about to read it finds it gone.
 */
#include "telemetry/profile_store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "telemetry/profile_file.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RETENTION_NS (48 * 3600 * OBS_NS_PER_SECOND)
#define SLICE_NS (3600 * OBS_NS_PER_SECOND)
#define TENANT_BYTES_MAX (512ULL << 20)
#define NAMES_BYTES_MAX (1u << 20)
#define NAMES_BYTES_LARGE (32u << 20) /* for a profile that does not fit otherwise */
#define OPEN_NAMES_MAX (64u << 20)    /* memory of all open files; the fullest is closed */
#define FILES_PER_TENANT 8            /* a file is closed at this part of the tenant's bytes */
#define FILE_BYTES_MAX (64ULL << 20)
#define WAITING_MAX 256
#define EXPIRE_EVERY_NS (60 * OBS_NS_PER_SECOND)
#define BATCH_BYTES_MAX (64u << 20)

struct tenant {
    struct tenant *next;
    char name[STORE_TENANT_MAX + 1];
    char folder[400];
    struct profile_file *oldest; /* list, newest last */
    struct profile_file *active; /* takes profiles; NULL: none */
    unsigned next_number;
};

struct profile_store {
    struct profile_store_options options;
    char folder[256];
    pthread_mutex_t lock;
    pthread_cond_t synced;
    struct tenant *tenants;
    unsigned tenant_count, waiting;
    uint64_t expired_ns; /* when retention was looked after last */
    struct profile_store_stats stats;
};

/* ---- files of a tenant, with the lock held ---- */

static void unref(struct profile_file *file)
{
    if (--file->refs == 0)
        profile_file_free(file);
}

static void add_file(struct tenant *tenant, struct profile_file *file)
{
    struct profile_file **at = &tenant->oldest;

    while (*at && strcmp((*at)->path, file->path) < 0)
        at = &(*at)->next;
    file->next = *at;
    *at = file;
}

static void drop_file(struct tenant *tenant, struct profile_file *file)
{
    struct profile_file **at = &tenant->oldest;

    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    file->is_dropped = true;
    (void)unlink(file->path);
    unref(file);
}

static void close_if_idle(struct profile_file *file)
{
    if (file->waiters == 0 && !file->names && file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
}

/* No more profiles into the active file. Who waits for it to be synced still does. */
static void close_active(struct tenant *tenant)
{
    if (!tenant->active)
        return;
    profile_file_close(tenant->active);
    close_if_idle(tenant->active);
    tenant->active = NULL;
}

static size_t names_bytes(const struct profile_file *file)
{
    return file->names ? profile_names_bytes(file->names) + profile_names_bytes(file->series) : 0;
}

static bool is_due(const struct profile_store *store, const struct profile_file *file,
                   uint64_t now_ns)
{
    uint64_t part = store->options.tenant_bytes_max / FILES_PER_TENANT;

    return file->error != 0 || now_ns >= file->born_ns + store->options.slice_ns ||
           file->size >= (part < FILE_BYTES_MAX ? part : FILE_BYTES_MAX) ||
           names_bytes(file) > store->options.names_bytes_max;
}

static int open_active(struct profile_store *store, struct tenant *tenant, size_t names_bytes_max)
{
    uint64_t now_ns = store->options.now_ns();
    struct profile_file *file;
    int r;

    do
        r = profile_file_new(tenant->folder, now_ns, tenant->next_number++, names_bytes_max, &file);
    while (r == -EEXIST);
    if (r < 0)
        return r;
    add_file(tenant, file);
    tenant->active = file;
    return 0;
}

static uint64_t tenant_bytes(const struct tenant *tenant)
{
    uint64_t bytes = 0;

    for (const struct profile_file *f = tenant->oldest; f; f = f->next)
        bytes += f->size;
    return bytes;
}

static void expire_tenant(struct profile_store *store, struct tenant *tenant, uint64_t now_ns)
{
    uint64_t bytes = tenant_bytes(tenant);
    struct profile_file *next;

    if (tenant->active && is_due(store, tenant->active, now_ns))
        close_active(tenant);
    for (struct profile_file *file = tenant->oldest; file; file = next) {
        next = file->next;
        if (file == tenant->active ||
            (bytes <= store->options.tenant_bytes_max && file->until_ns != 0 &&
             file->until_ns + store->options.retention_ns > now_ns))
            continue;
        bytes -= file->size;
        drop_file(tenant, file);
    }
}

static void expire(struct profile_store *store)
{
    uint64_t now_ns = store->options.now_ns();

    store->expired_ns = now_ns;
    for (struct tenant *tenant = store->tenants; tenant; tenant = tenant->next)
        expire_tenant(store, tenant, now_ns);
}

/* Names of open files are what a store of many tenants would grow by. */
static void bound_names(struct profile_store *store)
{
    struct tenant *fullest = NULL;
    size_t all = 0;

    for (struct tenant *tenant = store->tenants; tenant; tenant = tenant->next) {
        if (!tenant->active)
            continue;
        all += names_bytes(tenant->active);
        if (!fullest || names_bytes(tenant->active) > names_bytes(fullest->active))
            fullest = tenant;
    }
    if (fullest && all > OPEN_NAMES_MAX)
        close_active(fullest);
}

/* ---- tenants ---- */

static struct tenant *find_tenant(struct profile_store *store, const char *name)
{
    struct tenant *tenant = store->tenants;

    while (tenant && strcmp(tenant->name, name) != 0)
        tenant = tenant->next;
    return tenant;
}

static bool is_tenant_name(const char *name)
{
    size_t size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    return size > 0 && size <= STORE_TENANT_MAX && name[size] == '\0';
}

static int add_tenant(struct profile_store *store, const char *name, struct tenant **ret_tenant)
{
    struct tenant *tenant = calloc(1, sizeof(*tenant));
    int r;

    if (!tenant)
        return -ENOMEM;
    (void)snprintf(tenant->name, sizeof(tenant->name), "%.64s", name);
    (void)snprintf(tenant->folder, sizeof(tenant->folder), "%s/%s", store->folder, tenant->name);
    r = obs_file_mkdirs(tenant->folder, 0700);
    if (r < 0) {
        free(tenant);
        return r;
    }
    tenant->next = store->tenants;
    store->tenants = tenant;
    store->tenant_count++;
    *ret_tenant = tenant;
    return 0;
}

static int recover_tenant(struct profile_store *store, struct tenant *tenant)
{
    DIR *folder = opendir(tenant->folder);
    struct dirent *entry;
    int r = 0;

    if (!folder)
        return -errno;
    while (r >= 0 && (entry = readdir(folder))) {
        size_t size = strlen(entry->d_name);
        struct profile_file *file;
        char path[700];

        if (size < 6 || strcmp(entry->d_name + size - 5, ".prof") != 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", tenant->folder, entry->d_name);
        r = profile_file_recover(path, &file);
        if (r < 0 && r != -ENOMEM) {
            obs_log(OBS_LOG_ERROR, "a profile file cannot be read, ignoring it",
                    OBS_TEXT("file", path), OBS_TEXT("error", strerror(-r)));
            store->stats.damaged_files++;
            r = 0;
            continue;
        }
        if (r != 0)
            continue;
        store->stats.damaged_files += file->is_damaged;
        add_file(tenant, file);
    }
    closedir(folder);
    return r < 0 ? r : 0;
}

static int recover(struct profile_store *store)
{
    DIR *folder = opendir(store->folder);
    struct dirent *entry;
    int r = 0;

    if (!folder)
        return -errno;
    while (r == 0 && (entry = readdir(folder))) {
        struct tenant *tenant;

        if (!is_tenant_name(entry->d_name))
            continue;
        r = add_tenant(store, entry->d_name, &tenant);
        if (r == 0)
            r = recover_tenant(store, tenant);
    }
    closedir(folder);
    return r;
}

/* ---- open and close ---- */

static void set_defaults(struct profile_store_options *o)
{
    o->retention_ns = o->retention_ns ? o->retention_ns : RETENTION_NS;
    o->slice_ns = o->slice_ns ? o->slice_ns : SLICE_NS;
    o->tenant_bytes_max = o->tenant_bytes_max ? o->tenant_bytes_max : TENANT_BYTES_MAX;
    o->names_bytes_max = o->names_bytes_max ? o->names_bytes_max : NAMES_BYTES_MAX;
    o->now_ns = o->now_ns ? o->now_ns : obs_time_ns;
}

int profile_store_open(const struct profile_store_options *options,
                       struct profile_store **ret_store, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(profile_store_freep) struct profile_store *store = calloc(1, sizeof(*store));
    int r;

    if (!store)
        return -ENOMEM;
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->synced, NULL);
    store->options = *options;
    set_defaults(&store->options);
    if (strlen(options->folder) >= sizeof(store->folder)) {
        obs_reason_set(reterr_reason, "the folder's name is too long");
        return STORE_REFUSED;
    }
    strcpy(store->folder, options->folder);
    r = obs_file_mkdirs(store->folder, 0700);
    if (r == 0)
        r = recover(store);
    if (r < 0) {
        obs_reason_set(reterr_reason, "%s: %s", store->folder, strerror(-r));
        return STORE_REFUSED;
    }
    expire(store);
    *ret_store = OBS_TAKE(store);
    return 0;
}

uint64_t profile_store_retention(const struct profile_store *store)
{
    return store->options.retention_ns;
}

struct profile_store *profile_store_free(struct profile_store *store)
{
    struct tenant *next;

    if (!store)
        return NULL;
    for (struct tenant *tenant = store->tenants; tenant; tenant = next) {
        next = tenant->next;
        close_active(tenant);
        while (tenant->oldest) {
            struct profile_file *file = tenant->oldest;

            tenant->oldest = file->next;
            unref(file);
        }
        free(tenant);
    }
    pthread_cond_destroy(&store->synced);
    pthread_mutex_destroy(&store->lock);
    free(store);
    return NULL;
}

/* ---- append ---- */

static int outcome_of(int error, struct obs_reason *reterr_reason)
{
    if (error == -ENOMEM)
        return error;
    obs_reason_set(reterr_reason, "the profile store cannot write: %s", strerror(-error));
    return STORE_FULL;
}

static int find_or_add(struct profile_store *store, const char *name, struct tenant **ret_tenant,
                       struct obs_reason *reterr_reason)
{
    int r;

    if (!is_tenant_name(name)) {
        obs_reason_set(reterr_reason, "a tenant's name is 1 to %d of [A-Za-z0-9_-]",
                       STORE_TENANT_MAX);
        return STORE_REFUSED;
    }
    *ret_tenant = find_tenant(store, name);
    if (*ret_tenant)
        return STORE_OK;
    if (store->tenant_count == PROFILE_TENANTS_MAX) {
        obs_reason_set(reterr_reason, "there are %d tenants already", PROFILE_TENANTS_MAX);
        return STORE_REFUSED;
    }
    r = add_tenant(store, name, ret_tenant);
    return r < 0 ? outcome_of(r, reterr_reason) : STORE_OK;
}

/* Into the active file's terms; a file whose names are full is closed for a new one. */
static int encode(struct profile_store *store, struct tenant *tenant,
                  const struct profile_view *profiles, size_t count, struct obs_buffer *b)
{
    size_t limits[] = {store->options.names_bytes_max * 2, store->options.names_bytes_max * 2,
                       NAMES_BYTES_LARGE};
    int r = -EMSGSIZE;

    if (tenant->active && is_due(store, tenant->active, store->options.now_ns()))
        close_active(tenant);
    for (size_t i = tenant->active ? 0 : 1; r == -EMSGSIZE && i < OBS_COUNT(limits); i++) {
        obs_buffer_clear(b);
        r = tenant->active ? 0 : open_active(store, tenant, limits[i]);
        if (r < 0)
            return r;
        r = profile_file_encode(tenant->active, profiles, count, b);
        if (r < 0)
            close_active(tenant);
    }
    return r;
}

/* Everything up to @goal is on disk when this returns 0. The lock is let go meanwhile. */
static int sync_up_to(struct profile_store *store, struct profile_file *file, uint64_t goal)
{
    while (file->synced < goal && file->error == 0) {
        uint64_t size = file->size;
        int r;

        if (file->is_syncing) {
            pthread_cond_wait(&store->synced, &store->lock);
            continue;
        }
        file->is_syncing = true;
        pthread_mutex_unlock(&store->lock);
        r = fdatasync(file->fd) < 0 ? -errno : 0;
        pthread_mutex_lock(&store->lock);
        file->is_syncing = false;
        if (r == 0)
            file->synced = size;
        else
            file->error = r;
        pthread_cond_broadcast(&store->synced);
    }
    return file->synced >= goal ? 0 : file->error;
}

/* After an error nothing behind what was synced has been acknowledged: it must not come back. */
static void give_up(struct tenant *tenant, struct profile_file *file)
{
    if (tenant->active == file)
        close_active(tenant);
    if (file->size > file->synced && ftruncate(file->fd, (off_t)file->synced) == 0)
        file->size = file->synced;
}

static int write_and_sync(struct profile_store *store, struct tenant *tenant,
                          const struct obs_buffer *b, const struct profile_view *profiles,
                          size_t count)
{
    struct profile_file *file = tenant->active;
    int r = profile_file_write(file, b);

    if (r < 0) {
        close_active(tenant); /* its names are ahead of its bytes */
        return r;
    }
    for (size_t i = 0; i < count; i++) {
        if (profiles[i].from_ns < file->from_ns)
            file->from_ns = profiles[i].from_ns;
        if (profiles[i].until_ns > file->until_ns)
            file->until_ns = profiles[i].until_ns;
    }
    file->refs++;
    file->waiters++;
    store->waiting++;
    r = sync_up_to(store, file, file->size);
    store->waiting--;
    if (r < 0)
        give_up(tenant, file);
    file->waiters--;
    close_if_idle(file);
    unref(file);
    return r;
}

static int append(struct profile_store *store, const char *name,
                  const struct profile_view *profiles, size_t count,
                  struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(BATCH_BYTES_MAX);
    struct tenant *tenant = NULL;
    int r;

    if (store->waiting >= WAITING_MAX) {
        obs_reason_set(reterr_reason, "%d profiles wait for the disk", WAITING_MAX);
        return STORE_BUSY;
    }
    r = find_or_add(store, name, &tenant, reterr_reason);
    if (r != STORE_OK)
        return r;
    r = encode(store, tenant, profiles, count, &b);
    if (r == -EMSGSIZE) {
        obs_reason_set(reterr_reason, "the profiles have more names or nodes than a file takes");
        return STORE_REFUSED;
    }
    if (r == 0)
        r = write_and_sync(store, tenant, &b, profiles, count);
    if (r < 0)
        return outcome_of(r, reterr_reason);
    store->stats.profiles += count;
    bound_names(store);
    if (store->options.now_ns() >= store->expired_ns + EXPIRE_EVERY_NS ||
        (tenant->active && is_due(store, tenant->active, store->options.now_ns())))
        expire(store);
    return STORE_OK;
}

int profile_append(struct profile_store *store, const char *tenant,
                   const struct profile_view *profiles, size_t count,
                   struct obs_reason *reterr_reason)
{
    int r;

    if (count == 0)
        return STORE_OK;
    pthread_mutex_lock(&store->lock);
    r = append(store, tenant, profiles, count, reterr_reason);
    pthread_mutex_unlock(&store->lock);
    return r;
}

/* ---- reading ---- */

struct snapshot {
    struct profile_file **files;
    uint64_t *sizes;
    size_t count;
};

static int take_snapshot(struct profile_store *store, const char *name,
                         const struct profile_query *query, struct snapshot *ret)
{
    struct tenant *tenant = find_tenant(store, name);
    size_t count = 0;

    for (struct profile_file *f = tenant ? tenant->oldest : NULL; f; f = f->next)
        count++;
    ret->files = calloc(count + 1, sizeof(*ret->files));
    ret->sizes = calloc(count + 1, sizeof(*ret->sizes));
    if (!ret->files || !ret->sizes)
        return -ENOMEM;
    for (struct profile_file *f = tenant ? tenant->oldest : NULL; f; f = f->next) {
        if (f->synced <= PROFILE_FILE_HEADER || f->from_ns >= query->until_ns ||
            f->until_ns < query->from_ns)
            continue;
        f->refs++;
        ret->files[ret->count] = f;
        ret->sizes[ret->count++] = f->synced;
    }
    return 0;
}

static void snapshot_done(struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++)
        unref(snapshot->files[i]);
    free(snapshot->files);
    free(snapshot->sizes);
}

static void note_damage(struct profile_store *store, struct profile_file *file)
{
    pthread_mutex_lock(&store->lock);
    if (!file->is_damaged) {
        file->is_damaged = true;
        store->stats.damaged_files++;
        obs_log(OBS_LOG_ERROR, "a profile file is damaged, ignoring what is behind the damage",
                OBS_TEXT("file", file->path));
    }
    pthread_mutex_unlock(&store->lock);
}

static int scan(struct profile_store *store, const char *tenant, const struct profile_query *query,
                profile_record_fn *record_fn, profile_labels_fn *labels_fn, void *userdata)
{
    struct snapshot snapshot = {0};
    int r;

    pthread_mutex_lock(&store->lock);
    r = take_snapshot(store, tenant, query, &snapshot);
    pthread_mutex_unlock(&store->lock);
    for (size_t i = 0; i < snapshot.count && r == 0; i++) {
        r = profile_file_scan(snapshot.files[i]->path, snapshot.sizes[i], query, record_fn,
                              labels_fn, userdata);
        if (r == PROFILE_FILE_DAMAGED) {
            note_damage(store, snapshot.files[i]);
            r = 0;
        }
        if (r == -ENOENT) /* dropped since */
            r = 0;
    }
    pthread_mutex_lock(&store->lock);
    snapshot_done(&snapshot);
    pthread_mutex_unlock(&store->lock);
    return r;
}

int profile_scan(struct profile_store *store, const char *tenant, const struct profile_query *query,
                 profile_record_fn *fn, void *userdata)
{
    return scan(store, tenant, query, fn, NULL, userdata);
}

int profile_series(struct profile_store *store, const char *tenant,
                   const struct profile_query *query, profile_labels_fn *fn, void *userdata)
{
    return scan(store, tenant, query, NULL, fn, userdata);
}

void profile_store_expire(struct profile_store *store)
{
    pthread_mutex_lock(&store->lock);
    expire(store);
    pthread_mutex_unlock(&store->lock);
}

void profile_store_stats(struct profile_store *store, struct profile_store_stats *ret_stats)
{
    pthread_mutex_lock(&store->lock);
    *ret_stats = store->stats;
    for (const struct tenant *tenant = store->tenants; tenant; tenant = tenant->next) {
        ret_stats->disk_bytes += tenant_bytes(tenant);
        for (const struct profile_file *f = tenant->oldest; f; f = f->next) {
            ret_stats->files++;
            ret_stats->name_bytes += names_bytes(f);
        }
    }
    pthread_mutex_unlock(&store->lock);
}
