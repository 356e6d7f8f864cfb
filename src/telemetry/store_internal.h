#pragma once
/*
 * Store, inside: what store.c (life, tenants), store_append.c, store_spans.c, store_lines.c and
 * store_names.c (reading) share.
 *
 *   append ── row batch ── log (fdatasync) ── head ── seal ── segment ── retention
 *                                              └───────┬────────┘
 *                                             snapshot: what a query reads
 */
#include "telemetry/head.h"
#include "telemetry/store.h"
#include "telemetry/store_set.h"
#include <pthread.h>

struct segment;

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
    void (*on_lines)(const char *tenant, const struct line_view *lines, size_t count,
                     void *userdata);
    void *on_lines_userdata;
};

struct tenant *tenant_find(struct store *store, const char *name); /* NULL: nothing was ever kept */
/* Return: 0, STORE_REFUSED, < 0. */
int tenant_get(struct store *store, const char *name, struct tenant **ret_tenant,
               struct obs_reason *reterr_reason);

/* What a query reads: everything that was there when it was taken. */
struct snapshot {
    struct head **heads;
    size_t head_count;
    struct row_batch **batches; /* of all heads, oldest first; dead ones left out */
    size_t batch_count;
    struct segment **segments;
    size_t segment_count;
};
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
