#include "load/event_log.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define WORDS (sizeof(struct event) / sizeof(uint64_t))
_Static_assert(sizeof(struct event) % sizeof(uint64_t) == 0, "an entry is copied word by word");

struct slot {
    _Atomic uint64_t sequence; /* of the entry inside; 0 while it is written */
    _Atomic uint64_t words[WORDS];
};

struct event_log {
    size_t capacity;
    _Atomic uint64_t last;
    struct slot slots[];
};

int event_log_new(size_t capacity, struct event_log **ret_log)
{
    size_t size = 64;
    struct event_log *log;

    while (size < capacity)
        size *= 2;
    log = calloc(1, sizeof(*log) + size * sizeof(log->slots[0]));
    if (!log)
        return -ENOMEM;
    log->capacity = size;
    *ret_log = log;
    return 0;
}

struct event_log *event_log_free(struct event_log *log)
{
    free(log);
    return NULL;
}

void event_log_add(struct event_log *log, const struct event *event)
{
    uint64_t sequence = atomic_fetch_add_explicit(&log->last, 1, memory_order_relaxed) + 1;
    struct slot *slot = &log->slots[sequence % log->capacity];
    struct event copy = *event;
    uint64_t words[WORDS];

    copy.sequence = sequence;
    memcpy(words, &copy, sizeof(words));
    atomic_store_explicit(&slot->sequence, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < WORDS; i++)
        atomic_store_explicit(&slot->words[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&slot->sequence, sequence, memory_order_release);
}

uint64_t event_log_last(const struct event_log *log)
{
    return atomic_load_explicit(&log->last, memory_order_acquire);
}

enum slot_state { SLOT_READ, SLOT_UNFINISHED, SLOT_LOST };

static enum slot_state read_slot(const struct slot *slot, uint64_t sequence, struct event *event)
{
    uint64_t words[WORDS];
    uint64_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);

    if (before != sequence)
        return before > sequence ? SLOT_LOST : SLOT_UNFINISHED;
    for (size_t i = 0; i < WORDS; i++)
        words[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&slot->sequence, memory_order_relaxed) != sequence)
        return SLOT_LOST;
    memcpy(event, words, sizeof(*event));
    return event->sequence == sequence ? SLOT_READ : SLOT_LOST;
}

size_t event_log_read(const struct event_log *log, uint64_t after, struct event *events,
                      size_t count, uint64_t *ret_lost)
{
    uint64_t last = event_log_last(log), next = after + 1;
    size_t n = 0;

    *ret_lost = 0;
    if (after >= last)
        return 0;
    if (last - after > log->capacity) {
        next = last - log->capacity + 1;
        *ret_lost = next - after - 1;
    }
    for (; next <= last && n < count; next++) {
        enum slot_state state = read_slot(&log->slots[next % log->capacity], next, &events[n]);

        if (state == SLOT_READ)
            n++;
        else if (state == SLOT_LOST && n == 0)
            ++*ret_lost;
        else /* still being written, or overtaken behind what was read: the next call goes on here
              */
            break;
    }
    return n;
}
