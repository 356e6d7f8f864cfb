/*
 * Search: which traces match, newest first.
 *
 *  1. One scan, narrowed by the query's hints, finds candidates: traces with a span that a match
 *     must have (traceql_may_match()). Where one span decides, it stops as soon as there are
 * enough.
 *  2. Candidates are fetched whole and judged, newest first, in rounds that grow, until the limit
 * is reached. A round takes one pass over the blocks that hold its traces, and keeps of their spans
 *     what the query looks at.
 *
 * Bounded by time, by candidates, by memory. A limit that would make the answer wrong fails the
 * query.
 */
#include "telemetry/tempo.h"

#include "base/clock.h"
#include <errno.h>
#include <string.h>

enum {
    CANDIDATES_MAX = 262144,
    CANDIDATES_PER_RESULT = 16, /* where one span decides: enough to choose the newest from */
    CANDIDATES_MIN = 1024,
    ROUND_FIRST = 64, /* candidates; more where the limit is more */
    ROUND_MAX = 16384,
    DEADLINE_EVERY = 256, /* spans */
};
struct candidate {
    uint8_t trace_id[16];
    uint64_t start_ns; /* latest start of a span that was found */
};

struct result {
    uint64_t start_ns;
    size_t at, size; /* its JSON in `text` */
};

struct run {
    const struct tempo_search *search;
    struct obs_reason *why;
    struct candidate *candidates;
    size_t candidate_count, candidate_capacity;
    uint32_t *slots; /* candidate index + 1 */
    size_t slot_mask;
    size_t enough;
    uint64_t spans_seen, traces_judged, traces_skipped;
    struct result *results;
    size_t result_count;
    struct obs_buffer text;
    int error;
};

static bool is_late(struct run *run)
{
    if (++run->spans_seen % DEADLINE_EVERY == 0 && obs_mono_ns() > run->search->deadline_ns)
        run->error = TEMPO_TIMEOUT;
    return run->error != 0;
}

/* ---- candidates ---- */

static size_t slot_of(const struct run *run, const uint8_t id[16])
{
    uint64_t a, b;

    memcpy(&a, id, 8);
    memcpy(&b, id + 8, 8);
    return (size_t)(((a ^ (b >> 7)) * 0x9e3779b97f4a7c15ULL + b) >> 20) & run->slot_mask;
}

/* The slot of that trace, or the free one where it would be. */
static uint32_t *find_slot(const struct run *run, const uint8_t id[16])
{
    size_t i = slot_of(run, id);

    while (run->slots[i] != 0 && memcmp(run->candidates[run->slots[i] - 1].trace_id, id, 16) != 0)
        i = (i + 1) & run->slot_mask;
    return &run->slots[i];
}

static void index_candidates(struct run *run, size_t from, size_t until)
{
    memset(run->slots, 0, (run->slot_mask + 1) * sizeof(*run->slots));
    for (size_t i = from; i < until; i++)
        *find_slot(run, run->candidates[i].trace_id) = (uint32_t)i + 1;
}

static bool grow(struct run *run)
{
    size_t capacity = run->candidate_capacity ? run->candidate_capacity * 2 : CANDIDATES_MIN;
    struct candidate *list = reallocarray(run->candidates, capacity, sizeof(*list));

    if (!list)
        return false;
    run->candidates = list;
    run->candidate_capacity = capacity;
    free(run->slots);
    run->slot_mask = capacity * 2 - 1;
    run->slots = malloc(capacity * 2 * sizeof(*run->slots));
    if (!run->slots)
        return false;
    index_candidates(run, 0, run->candidate_count);
    return true;
}

static void add_candidate(struct run *run, const struct span_view *span)
{
    uint32_t *slot;

    if (run->candidate_count == run->candidate_capacity && !grow(run)) {
        run->error = -ENOMEM;
        return;
    }
    slot = find_slot(run, span->trace_id);
    if (*slot == 0) {
        struct candidate *candidate = &run->candidates[run->candidate_count++];

        memcpy(candidate->trace_id, span->trace_id, 16);
        candidate->start_ns = span->start_ns;
        *slot = (uint32_t)run->candidate_count;
    } else if (span->start_ns > run->candidates[*slot - 1].start_ns) {
        run->candidates[*slot - 1].start_ns = span->start_ns;
    }
}

static enum store_next see_span(const struct span_view *span, void *userdata)
{
    struct run *run = userdata;

    if (is_late(run))
        return STORE_STOP;
    if (!traceql_may_match(run->search->query, span))
        return STORE_GO_ON;
    add_candidate(run, span);
    return run->error != 0 || run->candidate_count >= run->enough ? STORE_STOP : STORE_GO_ON;
}

static int newest_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->start_ns != y->start_ns)
        return x->start_ns > y->start_ns ? -1 : 1;
    return memcmp(x->trace_id, y->trace_id, 16);
}

static size_t enough_for(const struct tempo_search *search)
{
    size_t enough = search->limit * CANDIDATES_PER_RESULT;

    if (!traceql_is_single(search->query) || search->query->is_most_recent)
        return CANDIDATES_MAX;
    return enough < CANDIDATES_MIN ? CANDIDATES_MIN : enough;
}

static void find_candidates(struct run *run)
{
    const struct tempo_search *search = run->search;
    struct span_hints hints = {.from_ns = search->range.from_ns,
                               .until_ns = search->range.until_ns};
    int r;

    run->enough = enough_for(search);
    traceql_hints(search->query, &hints);
    r = store_scan_spans(search->store, search->tenant, &hints, see_span, run);
    if (run->error == 0 && r < 0)
        run->error = r;
    if (run->error == 0 && traceql_gave_up(search->query, run->why))
        run->error = TEMPO_REFUSED;
    if (run->candidate_count > 0)
        qsort(run->candidates, run->candidate_count, sizeof(*run->candidates), newest_first);
}

/* ---- whole traces ---- */

static void take_result(struct run *run, const struct traceql_trace *trace,
                        const struct traceql_spanset *found)
{
    struct result *result = &run->results[run->result_count++];

    result->start_ns = trace->start_ns;
    result->at = run->text.size;
    tempo_result_json(run->search, trace, found, &run->text);
    result->size = run->text.size - result->at;
    if (run->text.error != 0)
        run->error = run->text.error;
}

static void judge(struct run *run, const struct span_view *spans, size_t count,
                  struct obs_arena *arena)
{
    struct traceql_trace trace;
    struct traceql_spanset *found = NULL;
    int r = traceql_trace_build(spans, count, arena, &trace, run->why);

    run->traces_judged++;
    if (r == 0)
        r = traceql_run(run->search->query, &trace, run->search->deadline_ns, arena, &found,
                        run->why);
    if (r != 0)
        run->error = r;
    else if (found)
        take_result(run, &trace, found);
}

struct round {
    struct run *run;
    struct tempo_spans spans;
    uint64_t *order;            /* candidate << 32 | span: by candidate, newest first */
    struct span_view *together; /* of one trace */
};

static enum store_next fetch_span(const struct span_view *span, void *userdata)
{
    struct round *round = userdata;

    if (is_late(round->run))
        return STORE_STOP;
    if (round->spans.count == TRACEQL_SPANS_MAX)
        round->spans.error = -ENOMEM;
    return tempo_spans_add(&round->spans, span) == 0 ? STORE_GO_ON : STORE_STOP;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void fetch(struct round *round, size_t from, size_t until)
{
    struct run *run = round->run;
    uint8_t(*ids)[16] = reallocarray(NULL, until - from, sizeof(*ids));
    int r = -ENOMEM;

    if (ids) {
        for (size_t i = from; i < until; i++)
            memcpy(ids[i - from], run->candidates[i].trace_id, 16);
        qsort(ids, until - from, sizeof(*ids), by_bytes);
        r = store_find_traces(run->search->store, run->search->tenant, (const uint8_t(*)[16])ids,
                              until - from, fetch_span, round);
    }
    free(ids);
    if (run->error == 0 && r < 0)
        run->error = r;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static bool sort_round(struct round *round, size_t from, size_t until)
{
    size_t count = round->spans.count;

    round->order = reallocarray(NULL, count + 1, sizeof(*round->order));
    round->together = reallocarray(NULL, count + 1, sizeof(*round->together));
    if (!round->order || !round->together)
        return false;
    index_candidates(round->run, from, until);
    for (size_t i = 0; i < count; i++)
        round->order[i] = (uint64_t)*find_slot(round->run, round->spans.list[i].trace_id) << 32 | i;
    qsort(round->order, count, sizeof(*round->order), by_number);
    return true;
}

static void judge_round(struct round *round, struct obs_arena *arena)
{
    struct run *run = round->run;
    size_t end;

    for (size_t start = 0;
         start < round->spans.count && run->error == 0 && run->result_count < run->search->limit;
         start = end) {
        size_t count = 0;

        for (end = start;
             end < round->spans.count && round->order[end] >> 32 == round->order[start] >> 32;
             end++)
            round->together[count++] = round->spans.list[round->order[end] & UINT32_MAX];
        obs_arena_reset(arena);
        judge(run, round->together, count, arena);
    }
}

/* Return: 0, -ENOMEM (the traces together are too large), or run->error is set. */
static int run_round(struct run *run, size_t from, size_t until, struct obs_arena *arena)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *room = NULL;
    struct round round = {.run = run, .spans.only = run->search->query};
    int r;

    if (obs_mono_ns() > run->search->deadline_ns)
        run->error = TEMPO_TIMEOUT;
    else
        run->error = obs_arena_new(TEMPO_GATHER_BYTES_MAX, &room);
    if (run->error != 0)
        return 0;
    round.spans.arena = room;
    fetch(&round, from, until);
    r = round.spans.error;
    if (run->error == 0 && r == 0 && !sort_round(&round, from, until))
        run->error = -ENOMEM;
    if (run->error == 0 && r == 0)
        judge_round(&round, arena);
    tempo_spans_done(&round.spans);
    free(round.order);
    free(round.together);
    return r;
}

static void judge_candidates(struct run *run)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;
    size_t from = 0, size = run->search->limit > ROUND_FIRST ? run->search->limit : ROUND_FIRST;
    size_t most = ROUND_MAX; /* that fit into memory together */

    if (obs_arena_new(TEMPO_TRACE_BYTES_MAX, &arena) < 0)
        run->error = -ENOMEM;
    while (from < run->candidate_count && run->result_count < run->search->limit &&
           run->error == 0) {
        size_t left = run->candidate_count - from, count = left < size ? left : size;

        if (run_round(run, from, from + count, arena) == 0) {
            from += count;
            size = size * 4 < most ? size * 4 : most;
        } else if (count > 1) {
            size = most = (count + 1) / 2;
        } else { /* said in the answer: one giant must not hide all others */
            run->traces_skipped++;
            from++;
        }
    }
    if (run->error == 0 && run->result_count < run->search->limit &&
        run->candidate_count >= CANDIDATES_MAX) {
        obs_reason_set(run->why,
                       "more than %d traces would have to be judged: narrow the time range or add "
                       "a condition",
                       CANDIDATES_MAX);
        run->error = TEMPO_TOO_MUCH;
    }
}

/* ---- the answer ---- */

static int latest_first(const void *a, const void *b)
{
    const struct result *x = a, *y = b;

    if (x->start_ns != y->start_ns)
        return x->start_ns > y->start_ns ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static void write_answer(struct run *run, struct obs_buffer *out)
{
    if (run->result_count > 0)
        qsort(run->results, run->result_count, sizeof(*run->results), latest_first);
    obs_buffer_append_text(out, "{\"traces\":[");
    for (size_t i = 0; i < run->result_count; i++) {
        if (i > 0)
            obs_buffer_append_char(out, ',');
        obs_buffer_append(out, run->text.data + run->results[i].at, run->results[i].size);
    }
    obs_buffer_printf(out,
                      "],\"metrics\":{\"inspectedTraces\":%llu,\"inspectedSpans\":\"%llu\","
                      "\"skippedTraces\":%llu,\"completedJobs\":1,\"totalJobs\":1}}",
                      (unsigned long long)run->traces_judged, (unsigned long long)run->spans_seen,
                      (unsigned long long)run->traces_skipped);
}

int tempo_search_run(const struct tempo_search *search, struct obs_buffer *out,
                     struct obs_reason *reterr_reason)
{
    struct run run = {.search = search,
                      .why = reterr_reason,
                      .text = OBS_BUFFER_INIT(TEMPO_REPLY_BYTES_MAX),
                      .results = calloc(search->limit, sizeof(*run.results))};

    if (!run.results)
        return -ENOMEM;
    find_candidates(&run);
    if (run.error == 0)
        judge_candidates(&run);
    if (run.error == 0)
        write_answer(&run, out);
    obs_buffer_done(&run.text);
    free(run.results);
    free(run.candidates);
    free(run.slots);
    return run.error;
}
