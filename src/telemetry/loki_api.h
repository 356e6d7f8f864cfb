#pragma once
/* Handlers of Loki's API; loki_api.c has the tables of routes. */
#include "base/http_server.h"

obs_http_handler loki_query, loki_query_range, loki_labels, loki_label_values, loki_series,
    loki_index_stats, loki_buildinfo, loki_push, loki_tail;
