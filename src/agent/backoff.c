#include "agent/backoff.h"

#include "base/clock.h"

static unsigned ends_since(const struct backoff *b, uint64_t since_ns)
{
    unsigned found = 0;

    for (unsigned i = 0; i < b->count; i++)
        found += b->ended_ns[i] >= since_ns;
    return found;
}

int backoff_ended(struct backoff *b, const struct unit_restart *policy, uint64_t started_ns,
                  uint64_t ended_ns, unsigned *ret_wait_ms)
{
    uint64_t window_ns = policy->window_ms * OBS_NS_PER_MS;

    b->ended_ns[b->at] = ended_ns;
    b->at = (b->at + 1) % UNIT_COUNT_MAX;
    b->count += b->count < UNIT_COUNT_MAX;
    if (ends_since(b, ended_ns > window_ns ? ended_ns - window_ns : 0) >= policy->limit)
        return BACKOFF_GIVE_UP;
    if (b->next_ms == 0 || ended_ns - started_ns >= policy->reset_after_ms * OBS_NS_PER_MS)
        b->next_ms = policy->backoff_ms;
    *ret_wait_ms = b->next_ms;
    b->next_ms = 2 * b->next_ms < policy->backoff_max_ms ? 2 * b->next_ms : policy->backoff_max_ms;
    return BACKOFF_WAIT;
}

void backoff_reset(struct backoff *b)
{
    *b = (struct backoff){0};
}
