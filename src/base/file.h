#pragma once
/* File: whole files, written so that a crash leaves the old content or the new, never a mix. */
#include "base/buffer.h"
#include "base/reason.h"
#include <sys/types.h>

/* Append the whole file to @b (its limit applies: -EMSGSIZE). Return: 0 or -errno; on failure @b
 * holds what it held before. */
int obs_file_read(const char *path, struct obs_buffer *b);

/* Write to PATH.tmp-THREAD (the thread's id), fsync, rename over PATH, fsync the folder. The file's
 * mode is @mode whatever the umask. On failure PATH is untouched, the temporary file is gone, and
 * the reason names path and cause (disk full, permission). Only an I/O error while the folder is
 * synced comes after the rename. Return: 0 or -errno. */
int obs_file_write_atomic(const char *path, const void *data, size_t size, mode_t mode,
                          struct obs_reason *reterr_reason);
/* Remove temporary files that killed writers of PATH left. For PATH's only writer, before it
 * writes. */
void obs_file_sweep(const char *path);

/* Make @path and its missing parents; existing folders are left as they are. Return: 0 or -errno.
 */
int obs_file_mkdirs(const char *path, mode_t mode);
