#pragma once
/*
 * Store, inside: what store.c (life, tenants), store_append.c, store_spans.c, store_lines.c and
 * store_names.c (reading) share.
 *
 *   append ── row batch ── log (fdatasync) ── head ── seal ── segment ── retention
 *                                              └───────┬────────┘
 *                                             snapshot: what a query reads
 */
#include "telemetry/segment.h"
#include "telemetry/store.h"
#include "telemetry/store_cache.h"
#include "telemetry/store_set.h"
#include "telemetry/wal.h"
#include <pthread.h>

enum { PATH_SIZE = 4096 };
#define STORE_TENANT_COUNT_MAX 1000

struct tenant {
    char name[STORE_TENANT_MAX + 1];
    char *folder;
    struct tenant *next;
    pthread_mutex_t mutex;
    pthread_cond_t synced;
    struct head *active, *sealing; /* sealing: newest first */
    struct segment **segments;     /* oldest generation first */
    size_t segment_count, segment_capacity;
    uint64_t next_generation;
};

struct store {
    struct store_options options;
    char *folder;
    pthread_rwlock_t lock; /* of the list of tenants */
    struct tenant *tenants;
    size_t tenant_count;
    atomic_size_t head_bytes; /* active and being sealed */
    atomic_uint_fast64_t damaged_segments, damaged_blocks, dropped_segments;
    struct store_cache cache;
    atomic_int seal_error; /* of the latest try; 0: none */

    pthread_t sealer; /* store_seal.c */
    bool is_sealing, is_closing, is_kicked;
    pthread_mutex_t work_mutex; /* one seals at a time */
    pthread_mutex_t seal_mutex;
    pthread_cond_t seal_wanted;

    void (*on_lines)(const char *tenant, const struct line_view *lines, size_t count,
                     void *userdata);
    void *on_lines_userdata;
};

struct tenant *tenant_find(struct store *store, const char *name); /* NULL: nothing was ever kept */
/* Return: 0, STORE_REFUSED, < 0. */
int tenant_get(struct store *store, const char *name, struct tenant **ret_tenant,
               struct obs_reason *reterr_reason);

void tenant_path(const struct tenant *tenant, uint64_t generation, const char *suffix,
                 char ret_path[PATH_SIZE]);

/* Make what was written to @head's log up to @until durable, together with all who wait for that.
 * Under the tenant's lock, which is given up meanwhile. What could not be synced is dead then. */
void store_sync(struct tenant *tenant, struct head *head, off_t until);
int store_new_head(struct tenant *tenant, uint64_t generation, struct head **ret_head);
int tenant_add_segment(struct tenant *tenant, struct segment *segment); /* taken */
int tenant_recover(struct store *store, struct tenant *tenant);
int store_recover(struct store *store, struct obs_reason *reterr_reason);
void store_set_aside(struct store *store, const struct tenant *tenant, const char *path, int error);
int store_seal_start(struct store *store);
void store_seal_stop(struct store *store);
void store_kick(struct store *store); /* there may be something to seal */

/* What a query reads: everything that was there when it was taken. */
struct snapshot {
    struct head **heads;
    size_t head_count;
    struct row_batch **batches; /* of all heads, oldest first; dead ones left out */
    size_t batch_count;
    struct segment **segments;
    int *fds; /* of segments, opened when needed; -1: not yet */
    size_t segment_count;
    struct store *store;
};
/* Return: the file, or -errno. */
int snapshot_file(struct snapshot *snapshot, size_t segment);
/* A block of it could not be read: counted, said once. */
void snapshot_damaged(struct snapshot *snapshot, size_t segment, int error);
int snapshot_take(struct store *store, const char *tenant, struct snapshot *ret_snapshot);
void snapshot_done(struct snapshot *snapshot);

static inline bool range_meets(uint64_t min_ns, uint64_t max_ns, uint64_t from_ns,
                               uint64_t until_ns)
{
    return max_ns >= from_ns && min_ns < until_ns;
}

/* As hints compare: integers and doubles of one value are equal. */
bool value_equal(const struct value *a, const struct value *b);
bool times_fit(uint64_t start_ns, uint64_t end_ns, const struct span_hints *hints);
/* All but the times. */
bool span_fits(const struct span_view *span, const struct span_hints *hints);
bool labels_fit(const struct label *labels, size_t count, const struct line_query *query);
