#pragma once
/*
 * Line text: level and time of log lines as programs of other people write them: nginx, PostgreSQL,
 * Redis, RabbitMQ, and everything in logfmt (Prometheus, Alertmanager, exporters).
 *
 * Where a form has a place for the level, only that place counts: `[info] ... ERROR` is an info.
 */
#include "base/log.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum obs_log_level line_text_level(const char *line, size_t size);
extern const char *const LINE_LEVEL_NAMES[OBS_LOG_ERROR + 1]; /* "debug" "info" "warn" "error" */

/* One word for a level, in any case: "warning", "LOG", "crit". Return: false when it is none. */
bool line_text_level_word(const char *word, size_t size, enum obs_log_level *ret_level);

/* The line's own time, Unix nanoseconds. A time that is far from @now_ns is a mistake or tells
 * something else, and one without fractions is coarser than @now_ns: then, and when there is none,
 * @now_ns. */
uint64_t line_text_time(const char *line, size_t size, uint64_t now_ns);

/* "2026-11-23T15:46:50.123Z", "2026-11-23 15:46:50.123 UTC", "...+01:00" at the start of @text; a
 * time without zone is none. @ret_is_coarse: it has no fractions. */
bool line_text_timestamp(const char *text, size_t size, uint64_t *ret_ns, bool *ret_is_coarse);
/* Choose between a time that was read and now, as line_text_time() does. */
uint64_t line_text_settle(uint64_t read_ns, bool is_coarse, uint64_t now_ns);
