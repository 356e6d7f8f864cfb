#include "load/timers.h"
#include <stddef.h>

#define TICK_NS 1000000ULL

void timers_init(struct timers *timers, uint64_t now_ns)
{
    *timers = (struct timers){.tick = now_ns / TICK_NS};
    for (unsigned i = 0; i < TIMERS_SLOTS; i++)
        timers->slots[i].next = timers->slots[i].previous = &timers->slots[i];
}

void timer_remove(struct timer *timer)
{
    if (!timer->next)
        return;
    timer->next->previous = timer->previous;
    timer->previous->next = timer->next;
    timer->next = timer->previous = NULL;
}

void timers_add(struct timers *timers, struct timer *timer, uint64_t deadline_ns)
{
    uint64_t tick = deadline_ns / TICK_NS;
    struct timer *head;
    unsigned slot;

    if (tick < timers->tick)
        tick = timers->tick;
    slot = (unsigned)(tick % TIMERS_SLOTS);
    head = &timers->slots[slot];
    timer_remove(timer);
    timer->deadline_ns = deadline_ns;
    timer->next = head;
    timer->previous = head->previous;
    head->previous->next = timer;
    head->previous = timer;
    timers->used[slot / 64] |= 1ULL << (slot % 64);
}

static void expire_slot(struct timers *timers, unsigned slot, uint64_t now_ns, timer_fn *fn,
                        void *userdata)
{
    struct timer *head = &timers->slots[slot], due = {.next = &due, .previous = &due};
    struct timer *timer = head->next;

    /* Move them out first: @fn may add timers, also to this slot. */
    while (timer != head) {
        struct timer *next = timer->next;

        if (timer->deadline_ns <= now_ns) {
            timer_remove(timer);
            timer->next = &due;
            timer->previous = due.previous;
            due.previous->next = timer;
            due.previous = timer;
        }
        timer = next;
    }
    if (head->next == head)
        timers->used[slot / 64] &= ~(1ULL << (slot % 64));
    while (due.next != &due) {
        timer = due.next;
        timer_remove(timer);
        fn(timer, userdata);
    }
}

void timers_expire(struct timers *timers, uint64_t now_ns, timer_fn *fn, void *userdata)
{
    uint64_t last = now_ns / TICK_NS;

    if (last > timers->tick + TIMERS_SLOTS) /* a long stop: once around is enough */
        timers->tick = last - TIMERS_SLOTS;
    for (; timers->tick <= last; timers->tick++) {
        unsigned slot = (unsigned)(timers->tick % TIMERS_SLOTS);

        if (timers->used[slot / 64] & (1ULL << (slot % 64)))
            expire_slot(timers, slot, now_ns, fn, userdata);
        if (timers->tick == last) /* its millisecond is not over: look again */
            break;
    }
}

/* The end of the first millisecond whose slot is in use. What stands there may be due rounds later,
 * or be gone: a wake-up too many costs less than looking at every timer before each sleep. */
uint64_t timers_next_ns(const struct timers *timers, uint64_t now_ns)
{
    unsigned slot = (unsigned)(timers->tick % TIMERS_SLOTS), ahead = 0;

    while (ahead < TIMERS_SLOTS) {
        unsigned at = (slot + ahead) % TIMERS_SLOTS;
        uint64_t bits = timers->used[at / 64] >> (at % 64);

        if (bits)
            return (timers->tick + ahead + (unsigned)__builtin_ctzll(bits) + 1) * TICK_NS;
        ahead += 64 - at % 64;
    }
    return now_ns + TIMERS_SLOTS * TICK_NS;
}
