#pragma once
/*
 * Write-ahead log: one file of a head's frames.
 *
 *   file: "OBSWAL\0" and u8 version, then frames (head_row.h) until the end
 *
 * Appends only write; who needs them durable syncs, one for all that wait (store_append.c).
 */
#include "telemetry/head.h"
#include <sys/types.h>

struct wal {
    int fd;
    char *path;
    off_t written, synced;
    bool is_syncing;
    bool is_broken; /* what is on disk behind `synced` is not known: nothing more is written */
};

/* A new, durable file. Return: 0 or -errno. */
int wal_create(const char *path, struct wal **ret_wal);
struct wal *wal_free(struct wal *wal); /* closes; the file stays. NULL is fine; returns NULL */
/* Return: 0 or -errno (ENOSPC, EDQUOT, EFBIG: no room); then the file is as before, or broken. */
int wal_write(struct wal *wal, const void *frame, size_t size);
/* Forget what was not synced. */
void wal_cut(struct wal *wal);

struct wal_replay {
    uint64_t batches, damaged_frames, torn_bytes;
};
/* Read every good frame of @path into @head and go on writing behind them. A torn tail is cut off;
 * a damaged frame with good ones behind it is skipped. Return: 0 or -errno; -EBADMSG: not a log. */
int wal_open(const char *path, struct head *head, struct wal **ret_wal,
             struct wal_replay *ret_replay);
int wal_sync_folder(const char *folder);
OBS_DEFINE_CLEANUP(struct wal *, wal_free)
