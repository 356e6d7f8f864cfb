#pragma once
/*
 * Profile store: profiles, durable, by tenant and time.
 *
 * Each tenant has a folder of files; one of them takes what arrives until an hour is over or it is
 * large, then the next. A file holds its own names and label sets once and profiles as compressed
 * trees (profile_frame.h), and is dropped as a whole when all in it is too old or the tenant holds
 * too much. What an append has acknowledged is on disk and is seen by the next read. Any thread.
 */
#include "base/cleanup.h"
#include "base/reason.h"
#include "telemetry/profile_tree.h"
#include "telemetry/store.h"

#define PROFILE_TENANTS_MAX 256

struct profile_store;

struct profile_store_options {
    const char *folder;        /* made when it is not there */
    uint64_t retention_ns;     /* 0: 48 h */
    uint64_t tenant_bytes_max; /* oldest files go first; 0: 512 MiB */
    uint64_t slice_ns;         /* a file takes profiles for so long; 0: 1 h */
    size_t names_bytes_max;    /* memory for names of one open file; 0: 1 MiB, profiles with more
                                * get a file of their own, up to 32 MiB */
    uint64_t (*now_ns)(void);  /* NULL: obs_time_ns */
};

/* Recovers: what a crash cut short at the end of a file is dropped; a file damaged elsewhere is set
 * aside as FILE.damaged, and what stands before the damage goes on being read. Both are logged.
 * Return: 0, STORE_REFUSED (reason: the folder), -errno. */
int profile_store_open(const struct profile_store_options *options,
                       struct profile_store **ret_store, struct obs_reason *reterr_reason);
struct profile_store *profile_store_free(struct profile_store *store);

uint64_t profile_store_retention(const struct profile_store *store);

struct profile_view {           /* all borrowed */
    const struct label *labels; /* sorted by name, names and values not empty */
    size_t label_count;
    uint64_t from_ns, until_ns; /* Unix time, from <= until */
    uint64_t rate;              /* ticks per second; 0: values are not ticks */
    struct text_view units;
    bool is_level;                   /* averaged over time rather than added up */
    const struct profile_tree *tree; /* PROFILE_LEFT */
};

/* All of @profiles is durable when this returns STORE_OK, none of it otherwise. Appends at the same
 * time share one fdatasync. Return: enum store_outcome (reason set when it is not STORE_OK),
 * -ENOMEM.
 */
int profile_append(struct profile_store *store, const char *tenant,
                   const struct profile_view *profiles, size_t count,
                   struct obs_reason *reterr_reason);

struct profile_query {
    uint64_t from_ns, until_ns; /* profiles that overlap [from, until) */
    const struct matcher *matchers;
    size_t matcher_count;
    uint64_t deadline_ns; /* obs_mono_ns(); 0: none */
};

struct profile_record_node {
    uint32_t parent, name;
    uint64_t self;
};
struct profile_record { /* borrowed for the callback */
    const struct label *labels;
    size_t label_count;
    uint64_t series; /* equal for equal labels, within one file */
    uint64_t from_ns, until_ns, rate;
    struct text_view units;
    bool is_level;
    const struct profile_record_node *nodes; /* [0] is the root; a parent before its children */
    size_t node_count;
    const struct text_view *names;
    uint64_t sum; /* of all values */
};
typedef int profile_record_fn(const struct profile_record *record, void *userdata);

/* Oldest file first. What @fn returns other than 0 ends the scan and is returned. Return: 0,
 * -ETIMEDOUT, -errno. A damaged file is logged, counted and left out from the damage on. */
int profile_scan(struct profile_store *store, const char *tenant, const struct profile_query *query,
                 profile_record_fn *fn, void *userdata);

/* Label sets that fit, of files that overlap the range: maybe several times each. */
typedef int profile_labels_fn(const struct label *labels, size_t label_count, void *userdata);
int profile_series(struct profile_store *store, const char *tenant,
                   const struct profile_query *query, profile_labels_fn *fn, void *userdata);

/* Merge a record into one side. @numerator / @denominator: what its values are multiplied with.
 * Return: 0, -EMSGSIZE (the tree's limits), -ENOMEM. */
int profile_record_merge(const struct profile_record *record, struct profile_tree *tree,
                         enum profile_side side, uint64_t numerator, uint64_t denominator);

void profile_store_expire(struct profile_store *store); /* retention now; else within a minute of
                                                         * an append */

struct profile_store_stats {
    uint64_t profiles; /* appended since start */
    uint64_t files, damaged_files, disk_bytes, name_bytes;
};
void profile_store_stats(struct profile_store *store, struct profile_store_stats *ret_stats);
OBS_DEFINE_CLEANUP(struct profile_store *, profile_store_free)
