/*
 * Opening a tenant's folder after any end.
 *
 *   G.segment and G.wal: the segment was finished, the log is left over: it goes
 *   G.segment damaged: set aside as G.segment.damaged; when G.wal is still there it counts
 *   G.wal: read into a head; the newest is appended to, older ones wait to be sealed
 *   *.tmp: half-written segments: they go
 */
#include "telemetry/store_internal.h"

#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct found {
    uint64_t *generations;
    size_t count;
};

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static int note(struct found *found, uint64_t generation)
{
    uint64_t *grown = reallocarray(found->generations, found->count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    found->generations = grown;
    grown[found->count++] = generation;
    return 0;
}

/* Generations that have @suffix; half-written files are removed. */
static int list(const struct tenant *tenant, const char *suffix, struct found *found)
{
    DIR *folder = opendir(tenant->folder);
    const struct dirent *entry;
    int r = 0;

    if (!folder)
        return -errno;
    while (r == 0 && (entry = readdir(folder)) != NULL) {
        const char *dot = strchr(entry->d_name, '.');
        char *end;
        uint64_t generation = strtoull(entry->d_name, &end, 10);

        if (!dot || end != dot || generation == 0)
            continue;
        if (strcmp(dot + 1, suffix) == 0)
            r = note(found, generation);
        else if (strcmp(dot, ".segment.tmp") == 0)
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    }
    closedir(folder);
    if (found->count > 0)
        qsort(found->generations, found->count, sizeof(uint64_t), compare_numbers);
    return r;
}

void store_set_aside(struct store *store, const struct tenant *tenant, const char *path, int error)
{
    char aside[PATH_SIZE + 16];

    (void)snprintf(aside, sizeof(aside), "%s.damaged", path);
    (void)rename(path, aside);
    atomic_fetch_add(&store->damaged_segments, 1);
    obs_log(OBS_LOG_ERROR, "damaged file set aside, ignoring", OBS_TEXT("tenant", tenant->name),
            OBS_TEXT("file", aside), OBS_TEXT("error", strerror(-error)));
}

static int open_segments(struct store *store, struct tenant *tenant)
{
    struct found found = {0};
    char path[PATH_SIZE];
    int r = list(tenant, "segment", &found);

    for (size_t i = 0; r == 0 && i < found.count; i++) {
        struct segment *segment = NULL;

        tenant_path(tenant, found.generations[i], "segment", path);
        r = segment_open(path, found.generations[i], &segment);
        tenant->next_generation = found.generations[i];
        if (r == 0) {
            r = tenant_add_segment(tenant, segment);
            tenant_path(tenant, found.generations[i], "wal", path);
            (void)unlink(path);
        } else if (r == -EBADMSG || r == -EPROTO) {
            store_set_aside(store, tenant, path, r);
            r = 0;
        }
    }
    free(found.generations);
    return r;
}

static void say_replay(const struct tenant *tenant, const struct wal_replay *replay)
{
    if (replay->torn_bytes + replay->damaged_frames > 0)
        obs_log(OBS_LOG_WARN, "log had an unfinished end or damaged batches, ignoring them",
                OBS_TEXT("tenant", tenant->name), OBS_INT("torn_bytes", replay->torn_bytes),
                OBS_INT("damaged_batches", replay->damaged_frames));
}

static int open_wal(struct store *store, struct tenant *tenant, uint64_t generation)
{
    OBS_CLEANUP(head_unrefp) struct head *head = NULL;
    struct wal_replay replay;
    char path[PATH_SIZE];
    int r = head_new(generation, &head);

    if (r < 0)
        return r;
    tenant_path(tenant, generation, "wal", path);
    r = wal_open(path, head, &head->wal, &replay);
    if (r == -EBADMSG) {
        store_set_aside(store, tenant, path, r);
        return 0;
    }
    if (r < 0)
        return r;
    say_replay(tenant, &replay);
    atomic_fetch_add(&store->damaged_segments, replay.damaged_frames > 0);
    atomic_fetch_add(&store->head_bytes, head->size_bytes);
    if (tenant->active) {
        tenant->active->older = tenant->sealing;
        tenant->sealing = tenant->active;
    }
    if (generation > tenant->next_generation)
        tenant->next_generation = generation;
    tenant->active = OBS_TAKE(head);
    return 0;
}

int tenant_recover(struct store *store, struct tenant *tenant)
{
    struct found found = {0};
    int r = open_segments(store, tenant);

    if (r == 0)
        r = list(tenant, "wal", &found);
    for (size_t i = 0; r == 0 && i < found.count; i++)
        r = open_wal(store, tenant, found.generations[i]);
    free(found.generations);
    if (r == 0 && !tenant->active)
        r = store_new_head(tenant, ++tenant->next_generation, &tenant->active);
    return r;
}

int store_recover(struct store *store, struct obs_reason *reterr_reason)
{
    DIR *folder = opendir(store->folder);
    const struct dirent *entry;
    int r = folder ? 0 : -errno;

    while (r == 0 && (entry = readdir(folder)) != NULL) {
        struct tenant *tenant;

        if ((entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) &&
            store_tenant_is_good(entry->d_name))
            r = tenant_get(store, entry->d_name, &tenant, reterr_reason);
    }
    if (folder)
        closedir(folder);
    if (r < 0 && reterr_reason && reterr_reason->text[0] == '\0')
        obs_reason_set(reterr_reason, "cannot read %s: %s", store->folder, strerror(-r));
    return r > 0 ? -EINVAL : r;
}
