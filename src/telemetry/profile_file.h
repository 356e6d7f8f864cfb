#pragma once
/* Profile file: one file of a tenant, of the store's own use (profile_store.h, profile_frame.h). */
#include "telemetry/profile_frame.h"
#include "telemetry/profile_names.h"
#include "telemetry/profile_store.h"

struct profile_file {
    struct profile_file *next; /* the tenant's next newer one */
    char path[512];
    unsigned refs; /* the tenant's list, readers, writers that wait */
    bool is_dropped, is_damaged;
    uint64_t size, synced;      /* written; on disk: readers see as much */
    uint64_t from_ns, until_ns; /* of all profiles in it */
    uint64_t born_ns;

    /* While it takes profiles: */
    int fd;           /* -1: closed */
    unsigned waiters; /* for it to be synced */
    int error;
    bool is_syncing;
    struct profile_names *names, *series; /* series: payloads of SERIES frames */
};

/* Make an empty one. Return: 0, -errno. */
int profile_file_new(const char *folder, uint64_t born_ns, unsigned number, size_t names_bytes_max,
                     struct profile_file **ret_file);
struct profile_file *profile_file_free(struct profile_file *file); /* closes; the file stays */

/* The frames of @profiles, after what is new in names and label sets. On failure the file must not
 * be appended to any more: its names are ahead of its bytes. Return: 0, -EMSGSIZE (names), -ENOMEM.
 */
int profile_file_encode(struct profile_file *file, const struct profile_view *profiles,
                        size_t count, struct obs_buffer *b);
/* Write at the end. Return: 0, -errno, and then the file has its old size. */
int profile_file_write(struct profile_file *file, const struct obs_buffer *b);
/* No more profiles: END, and what it keeps for writing is freed. */
void profile_file_close(struct profile_file *file);

/* Look through a file that an earlier process left, and mend it. Return: 0, 1 (there is nothing in
 * it: removed), -errno. */
int profile_file_recover(const char *path, struct profile_file **ret_file);

/* Read one file up to @size. */
int profile_file_scan(const char *path, uint64_t size, const struct profile_query *query,
                      profile_record_fn *record_fn, profile_labels_fn *labels_fn, void *userdata);
#define PROFILE_FILE_DAMAGED 100001 /* of profile_file_scan(), when no callback returned it */
OBS_DEFINE_CLEANUP(struct profile_file *, profile_file_free)
