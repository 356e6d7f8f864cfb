#pragma once
/*
 * Capture: keeps what a unit prints, line by line: in a file of bounded size (PATH, and PATH.1
 * before it), in memory (the last lines), and for whoever follows.
 *
 * Every kept line is JSON: a line of another form becomes {"time","level","service","message"},
 * with its own time and level where it has them (agent/line_text.h).
 * Reading never stops for a slow disk or a slow follower for longer than a write takes: lines that
 * the file does not take are counted, not kept.
 *
 * Loop thread only.
 */
#include "agent/unit.h"
#include "base/cleanup.h"
#include "base/reason.h"
#include <stddef.h>
#include <stdint.h>

#define CAPTURE_LINE_MAX 16384 /* bytes; the rest of a longer line is a line of its own */
#define CAPTURE_RING_LINES 400
#define CAPTURE_RING_BYTES 65536
#define CAPTURE_FILE_BYTES 4194304

struct event_base;
struct capture;
struct capture_follower;

/* @line: NUL-terminated JSON without newline, valid during the call. */
typedef void capture_line_fn(const char *line, size_t size, void *userdata);

struct capture_options {
    const char *service; /* borrowed */
    enum unit_log_format format;
    const char *path;         /* copied; its folder exists */
    size_t file_bytes;        /* 0: CAPTURE_FILE_BYTES */
    capture_line_fn *on_line; /* every line that was JSON as printed; NULL: nobody */
    void *userdata;
};

/* Return: 0, -ENOMEM. */
int capture_new(struct event_base *base, const struct capture_options *options,
                struct capture **ret_capture);
struct capture *capture_free(struct capture *capture);

/* A pipe for one life of the unit: give @ret_fd to the process and close it. Return: 0, -errno. */
int capture_attach(struct capture *capture, int *ret_fd);
/* Read what the pipes hold now, so that a process's last words are here when its end is told. */
void capture_drain(struct capture *capture);

/* The last @count lines, oldest first. */
void capture_tail(const struct capture *capture, size_t count, capture_line_fn *fn, void *userdata);

/* @fn gets every line from now on. Return: NULL on -ENOMEM. */
struct capture_follower *capture_follow(struct capture *capture, capture_line_fn *fn,
                                        void *userdata);
void capture_unfollow(struct capture_follower *follower); /* NULL is fine */

uint64_t capture_lost_lines(const struct capture *capture); /* not written to the file */

OBS_DEFINE_CLEANUP(struct capture *, capture_free)
