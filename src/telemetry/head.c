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
    head->streams.is_copying = true;
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
    store_set_done(&head->streams);
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

int head_note_streams(struct head *head, const struct row_batch *batch, size_t limit)
{
    struct text_view key;
    size_t offset = 0, fresh = 0;
    uint64_t hash;
    bool is_new;

    key = (struct text_view){(const char *)&hash, sizeof(hash)};
    while (row_next_stream(batch, &offset, &hash))
        fresh += !store_set_has(&head->streams, key);
    if (head->streams.count + fresh > limit)
        return -E2BIG; /* and nothing of the batch is noted */
    offset = 0;
    while (fresh > 0 && row_next_stream(batch, &offset, &hash))
        if (store_set_put(&head->streams, key, &is_new) == STORE_SET_NONE)
            return -ENOMEM;
    return 0;
}
