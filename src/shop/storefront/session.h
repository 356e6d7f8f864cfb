#pragma once
/*
 * Sessions: what each visitor looked at lately, in memory, least recently used first to go.
 *
 * Thread-safe. Nothing of a session is handed out by pointer: callers give and get copies.
 */
#include "base/cleanup.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session_cache;

enum { SESSION_ID_MAX = 64, SESSION_VIEWS_MAX = 12 };

struct session_view {
    int64_t product_id;
    int64_t price_cents;
    uint64_t seen_ns; /* Unix time */
    char category[64];
    char name[120];
    char teaser[400];
};

struct session_views {
    struct session_view views[SESSION_VIEWS_MAX]; /* latest first, each product once */
    size_t count;
};

/* @max_entries: 0 for no limit. Return: 0, -ENOMEM. */
int session_cache_new(size_t max_entries, unsigned ttl_s, struct session_cache **ret_cache);
struct session_cache *session_cache_free(struct session_cache *cache);
void session_cache_configure(struct session_cache *cache, size_t max_entries, unsigned ttl_s);

/* 1 to SESSION_ID_MAX letters, digits, '-' and '_'. */
bool session_id_is_valid(const char *id);

/* Note what a visitor looks at, making the session when there is none. Return: 0, -ENOMEM. */
int session_note(struct session_cache *cache, const char *id, const struct session_view *view);
/* Copy what a visitor looked at; count is 0 when there is no such session. */
void session_read(struct session_cache *cache, const char *id, struct session_views *ret_views);

struct session_stats {
    size_t entries;
    uint64_t evicted, expired;
};
void session_cache_stats(struct session_cache *cache, struct session_stats *ret_stats);

OBS_DEFINE_CLEANUP(struct session_cache *, session_cache_free)
