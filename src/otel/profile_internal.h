#pragma once
/* A table with names for its frames: what both formats are made from. */
#include "otel/profile.h"
#include "otel/symbols.h"

struct named_profile {
    const struct obs_stack_table *table;
    uintptr_t *addresses; /* [address_count]: all frames, ascending, each once */
    size_t address_count;
    struct obs_symbols *symbols; /* same order */
};

int profile_emit_folded(const struct named_profile *profile, struct obs_buffer *b);
int profile_emit_pprof(const struct named_profile *profile, struct obs_buffer *b);
