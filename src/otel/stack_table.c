#include "otel/stack_table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert(OBS_PROFILER_STACKS < UINT16_MAX, "chains hold an index and one");

int obs_stack_table_new(struct obs_stack_table **ret_table)
{
    void *memory = mmap(NULL, sizeof(struct obs_stack_table), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return -ENOMEM;
    *ret_table = memory;
    return 0;
}

struct obs_stack_table *obs_stack_table_free(struct obs_stack_table *table)
{
    if (table)
        munmap(table, sizeof(*table));
    return NULL;
}

void obs_stack_table_clear(struct obs_stack_table *table)
{
    madvise(table, sizeof(*table), MADV_DONTNEED); /* private anonymous pages read as zero again */
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 29;
}

static uint64_t stack_hash(const char thread[OBS_STACK_THREAD_SIZE], const uintptr_t *frames,
                           size_t depth)
{
    uint64_t name[2], hash;

    memcpy(name, thread, sizeof(name));
    hash = mix(mix(0, name[0]), name[1]);
    for (size_t i = 0; i < depth; i++)
        hash = mix(hash, frames[i]);
    return hash;
}

static struct obs_stack *find(struct obs_stack_table *table, uint64_t hash,
                              const char thread[OBS_STACK_THREAD_SIZE], const uintptr_t *frames,
                              size_t depth)
{
    for (uint16_t at = table->heads[hash % OBS_STACK_HEADS]; at; at = table->stacks[at - 1].next) {
        struct obs_stack *stack = &table->stacks[at - 1];

        if (stack->hash == hash && stack->depth == depth &&
            memcmp(stack->thread, thread, OBS_STACK_THREAD_SIZE) == 0 &&
            memcmp(table->frames + stack->first_frame, frames, depth * sizeof(*frames)) == 0)
            return stack;
    }
    return NULL;
}

void obs_stack_table_add(struct obs_stack_table *table, const char thread[OBS_STACK_THREAD_SIZE],
                         const uintptr_t *frames, size_t depth, uint64_t count)
{
    uint64_t hash = stack_hash(thread, frames, depth);
    struct obs_stack *stack = find(table, hash, thread, frames, depth);
    uint16_t *head = &table->heads[hash % OBS_STACK_HEADS];

    if (stack) {
        stack->count += count;
        return;
    }
    if (table->stack_count == OBS_PROFILER_STACKS || depth > OBS_STACK_WORDS - table->frame_count) {
        table->other += count;
        return;
    }
    stack = &table->stacks[table->stack_count++];
    memcpy(stack->thread, thread, OBS_STACK_THREAD_SIZE);
    memcpy(table->frames + table->frame_count, frames, depth * sizeof(*frames));
    stack->hash = hash;
    stack->count = count;
    stack->first_frame = table->frame_count;
    stack->depth = (uint16_t)depth;
    stack->next = *head;
    table->frame_count += (uint32_t)depth;
    *head = (uint16_t)table->stack_count;
}

struct obs_stack_window *obs_stack_window_new(const struct obs_stack_table *table)
{
    size_t stacks_size = table->stack_count * sizeof(table->stacks[0]);
    size_t frames_size = table->frame_count * sizeof(table->frames[0]);
    struct obs_stack_window *window = malloc(sizeof(*window) + stacks_size + frames_size);

    if (!window)
        return NULL;
    *window = (struct obs_stack_window){.start_ns = table->start_ns,
                                        .end_ns = table->end_ns,
                                        .other = table->other,
                                        .stack_count = table->stack_count,
                                        .frame_count = table->frame_count};
    memcpy(window->stacks, table->stacks, stacks_size);
    memcpy(window->stacks + window->stack_count, table->frames, frames_size);
    return window;
}

void obs_stack_table_merge(struct obs_stack_table *table, const struct obs_stack_window *window)
{
    const uintptr_t *frames = (const uintptr_t *)(window->stacks + window->stack_count);

    if (table->start_ns == 0 || window->start_ns < table->start_ns)
        table->start_ns = window->start_ns;
    if (window->end_ns > table->end_ns)
        table->end_ns = window->end_ns;
    table->other += window->other;
    for (size_t i = 0; i < window->stack_count; i++) {
        const struct obs_stack *stack = &window->stacks[i];

        obs_stack_table_add(table, stack->thread, frames + stack->first_frame, stack->depth,
                            stack->count);
    }
}

uint64_t obs_stack_table_samples(const struct obs_stack_table *table)
{
    uint64_t samples = table->other;

    for (size_t i = 0; i < table->stack_count; i++)
        samples += table->stacks[i].count;
    return samples;
}
