#include "telemetry/head.h"

#include "base/clock.h"
#include "telemetry/wal.h"
#include <errno.h>

int head_new(uint64_t generation, struct head **ret_head)
{
    struct head *head = calloc(1, sizeof(*head));

    if (!head)
        return -ENOMEM;
    atomic_init(&head->references, 1);
    head->generation = generation;
    *ret_head = head;
    return 0;
}

struct head *head_ref(struct head *head)
{
    atomic_fetch_add(&head->references, 1);
    return head;
}

struct head *head_unref(struct head *head)
{
    if (!head || atomic_fetch_sub(&head->references, 1) > 1)
        return NULL;
    for (struct row_batch *batch = head->first, *next; batch; batch = next) {
        next = batch->next;
        row_batch_free(batch);
    }
    wal_free(head->wal);
    free(head);
    return NULL;
}

void head_add(struct head *head, struct row_batch *batch)
{
    if (head->last)
        head->last->next = batch;
    else
        head->first = batch;
    head->last = batch;
    head->batch_count++;
    head->size_bytes += batch->size;
    *(batch->what == ROW_SPANS ? &head->span_count : &head->line_count) += batch->count;
    if (head->first_append_mono_ns == 0)
        head->first_append_mono_ns = obs_mono_ns();
}
