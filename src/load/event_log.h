#pragma once
/*
 * Event log: one entry per finished journey, in a ring of fixed size.
 *
 * Entries are numbered from 1 without gaps. Who reads too slowly learns how many were lost. Threads
 * write without locks: each entry is claimed by its number, and readers see whole entries only.
 */
#include "base/cleanup.h"
#include "load/outcome.h"
#include <stddef.h>
#include <stdint.h>

struct event_log;

struct event {
    uint64_t sequence;    /* set by the log */
    uint64_t time_ns;     /* Unix time of the end */
    uint64_t duration_us; /* as in journey_duration_seconds */
    uint64_t trace_id[2]; /* as bytes; 0: not sampled */
    uint32_t user;
    uint16_t journey; /* index in the script */
    uint8_t outcome;  /* enum outcome */
    uint8_t failure;  /* enum failure */
};

int event_log_new(size_t capacity, struct event_log **ret_log); /* rounded up to a power of two */
struct event_log *event_log_free(struct event_log *log);

void event_log_add(struct event_log *log, const struct event *event); /* any thread */
/* Sequence number of the newest entry; 0: none. */
uint64_t event_log_last(const struct event_log *log);
/**
 * event_log_read() - entries after @after, oldest first, at most @count
 * @ret_lost: entries between @after and the first returned that are no longer there
 * Return: how many.
 */
size_t event_log_read(const struct event_log *log, uint64_t after, struct event *events,
                      size_t count, uint64_t *ret_lost);
OBS_DEFINE_CLEANUP(struct event_log *, event_log_free)
