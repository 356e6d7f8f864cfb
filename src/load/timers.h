#pragma once
/*
 * Timers: a wheel of milliseconds. Adding and removing cost the same whatever the number of timers,
 * which matters because each request sets one and nearly none expires.
 */
#include <stdint.h>

struct timer {
    struct timer *next, *previous; /* NULL: not set */
    uint64_t deadline_ns;          /* CLOCK_MONOTONIC */
};

#define TIMERS_SLOTS 1024

struct timers {
    struct timer slots[TIMERS_SLOTS]; /* list heads */
    uint64_t used[TIMERS_SLOTS / 64]; /* bit set: the slot may hold timers */
    uint64_t tick;                    /* first millisecond not yet looked at */
};

typedef void timer_fn(struct timer *timer, void *userdata);

void timers_init(struct timers *timers, uint64_t now_ns);
void timers_add(struct timers *timers, struct timer *timer, uint64_t deadline_ns);
void timer_remove(struct timer *timer); /* fine when it is not set */
static inline int timer_is_set(const struct timer *timer)
{
    return timer->next != 0;
}
/* Run @fn for every timer whose deadline has passed; it is not set any more then. */
void timers_expire(struct timers *timers, uint64_t now_ns, timer_fn *fn, void *userdata);
/* When to look again: at most a millisecond after the next deadline, at most about a second ahead.
 */
uint64_t timers_next_ns(const struct timers *timers, uint64_t now_ns);
