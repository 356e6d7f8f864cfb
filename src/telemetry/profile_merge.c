#include "telemetry/profile_merge.h"

#include "base/clock.h"
#include <errno.h>
#include <string.h>

#define SERIES_MAX 4096
#define STEP_S 10

struct series_windows {
    uint64_t hash, count;
};

struct profile_merge {
    struct profile_tree *tree;
    char units[64];
    bool has_any, is_level, is_converted;
    uint64_t rate;
    uint64_t windows[2];
    struct series_windows *series[2]; /* of levels */
    size_t series_count[2];
    uint64_t timeline[PROFILE_TIMELINE_MAX + 2];
    uint64_t timeline_from_s, timeline_step_s;
    size_t timeline_count;
};

struct profile_merge *profile_merge_free(struct profile_merge *merge)
{
    if (!merge)
        return NULL;
    profile_tree_free(merge->tree);
    free(merge->series[0]);
    free(merge->series[1]);
    free(merge);
    return NULL;
}

int profile_merge_new(bool wants_nanoseconds, struct profile_merge **ret_merge)
{
    OBS_CLEANUP(profile_merge_freep) struct profile_merge *merge = calloc(1, sizeof(*merge));
    int r;

    if (!merge)
        return -ENOMEM;
    merge->is_converted = wants_nanoseconds;
    strcpy(merge->units, "samples");
    r = profile_tree_new(NULL, &merge->tree);
    if (r < 0)
        return r;
    *ret_merge = OBS_TAKE(merge);
    return 0;
}

/* ---- rates ---- */

static void convert(struct profile_merge *merge)
{
    merge->is_converted = true;
    if (merge->rate == 0 || merge->rate == PROFILE_NANOSECONDS)
        return;
    profile_tree_scale(merge->tree, PROFILE_LEFT, PROFILE_NANOSECONDS, merge->rate);
    profile_tree_scale(merge->tree, PROFILE_RIGHT, PROFILE_NANOSECONDS, merge->rate);
    for (size_t i = 0; i < merge->timeline_count; i++)
        merge->timeline[i] = profile_scale(merge->timeline[i], PROFILE_NANOSECONDS, merge->rate);
    merge->rate = PROFILE_NANOSECONDS;
}

static void settle_rate(struct profile_merge *merge, uint64_t rate)
{
    if (rate == 0)
        return;
    if (merge->rate == 0)
        merge->rate = merge->is_converted ? PROFILE_NANOSECONDS : rate;
    else if (merge->rate != rate && !merge->is_converted)
        convert(merge);
}

/* ---- levels ---- */

static uint64_t hash_labels(const struct profile_record *record)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < record->label_count; i++) {
        struct text_view texts[] = {record->labels[i].name, record->labels[i].value};

        for (size_t j = 0; j < OBS_COUNT(texts); j++) {
            for (size_t k = 0; k < texts[j].size; k++)
                hash = (hash ^ (uint8_t)texts[j].text[k]) * 0x100000001b3ULL;
            hash = (hash ^ 0xff) * 0x100000001b3ULL;
        }
    }
    return hash;
}

static int count_window(struct profile_merge *merge, enum profile_side side,
                        const struct profile_record *record)
{
    uint64_t hash = hash_labels(record);

    if (!merge->series[side])
        merge->series[side] = calloc(SERIES_MAX, sizeof(*merge->series[side]));
    if (!merge->series[side])
        return -ENOMEM;
    for (size_t i = 0; i < merge->series_count[side]; i++) {
        if (merge->series[side][i].hash == hash) {
            merge->series[side][i].count++;
            return 0;
        }
    }
    if (merge->series_count[side] == SERIES_MAX)
        return -EMSGSIZE;
    merge->series[side][merge->series_count[side]++] = (struct series_windows){hash, 1};
    return 0;
}

static void average(struct profile_merge *merge, enum profile_side side)
{
    uint64_t most = 1;

    for (size_t i = 0; i < merge->series_count[side]; i++) {
        if (merge->series[side][i].count > most)
            most = merge->series[side][i].count;
    }
    if (most > 1)
        profile_tree_scale(merge->tree, side, 1, most);
}

/* ---- merging ---- */

struct merging {
    struct profile_merge *merge;
    enum profile_side side;
    struct obs_reason *reason;
};

static int check_units(struct merging *merging, const struct profile_record *record)
{
    struct profile_merge *merge = merging->merge;
    bool is_same = record->units.size == strlen(merge->units) &&
                   memcmp(record->units.text, merge->units, record->units.size) == 0;

    if (merge->has_any && !is_same) {
        obs_reason_set(merging->reason,
                       "the query means profiles in %s and in %.*s, which do not add up: name one "
                       "profile type",
                       merge->units, (int)(record->units.size < 60 ? record->units.size : 60),
                       record->units.text);
        return PROFILE_MERGE_REFUSED;
    }
    if (!merge->has_any && record->units.size < sizeof(merge->units)) {
        memcpy(merge->units, record->units.text, record->units.size);
        merge->units[record->units.size] = '\0';
        merge->is_level = record->is_level;
        merge->has_any = true;
    }
    return 0;
}

static void add_to_timeline(struct profile_merge *merge, const struct profile_record *record,
                            uint64_t value)
{
    uint64_t second = record->from_ns / OBS_NS_PER_SECOND;
    size_t at = second <= merge->timeline_from_s
                    ? 0
                    : (size_t)((second - merge->timeline_from_s) / merge->timeline_step_s);

    if (at < merge->timeline_count && merge->timeline[at] < UINT64_MAX / 4 - value)
        merge->timeline[at] += value;
}

static int merge_record(const struct profile_record *record, void *userdata)
{
    struct merging *merging = userdata;
    struct profile_merge *merge = merging->merge;
    uint64_t numerator = 1, denominator = 1;
    int r = check_units(merging, record);

    if (r != 0)
        return r;
    settle_rate(merge, record->rate);
    if (record->rate != 0 && record->rate != merge->rate) {
        numerator = PROFILE_NANOSECONDS;
        denominator = record->rate;
    }
    merge->windows[merging->side]++;
    if (record->is_level)
        r = count_window(merge, merging->side, record);
    if (r == 0)
        r = profile_record_merge(record, merge->tree, merging->side, numerator, denominator);
    if (r == 0 && merging->side == PROFILE_LEFT)
        add_to_timeline(merge, record, profile_scale(record->sum, numerator, denominator));
    return r;
}

static void lay_timeline(struct profile_merge *merge, const struct profile_range *range)
{
    uint64_t from_s = range->from_ns / OBS_NS_PER_SECOND;
    uint64_t until_s = (range->until_ns + OBS_NS_PER_SECOND - 1) / OBS_NS_PER_SECOND;
    uint64_t steps = (until_s - from_s + STEP_S - 1) / STEP_S;
    uint64_t step = STEP_S * ((steps + PROFILE_TIMELINE_MAX - 1) / PROFILE_TIMELINE_MAX);

    if (step == 0)
        step = STEP_S;
    merge->timeline_step_s = step;
    merge->timeline_from_s = from_s / step * step;
    merge->timeline_count = (size_t)((until_s - merge->timeline_from_s + step - 1) / step);
}

int profile_merge_range(struct profile_merge *merge, struct profile_store *store,
                        const char *tenant, const struct profile_range *range,
                        enum profile_side side, uint64_t deadline_ns,
                        struct obs_reason *reterr_reason)
{
    struct merging merging = {merge, side, reterr_reason};
    struct profile_query query = {
        .from_ns = range->from_ns,
        .until_ns = range->until_ns,
        .matchers = range->selector->matchers,
        .matcher_count = range->selector->matcher_count,
        .deadline_ns = deadline_ns,
    };
    int r;

    if (side == PROFILE_LEFT)
        lay_timeline(merge, range);
    r = profile_scan(store, tenant, &query, merge_record, &merging);
    if (r == 0 && profile_selector_gave_up(range->selector)) {
        obs_reason_set(reterr_reason, "a regular expression of the query takes too much work");
        return PROFILE_MERGE_REFUSED;
    }
    return r;
}

int profile_merge_end(struct profile_merge *merge)
{
    if (merge->is_level) {
        average(merge, PROFILE_LEFT);
        average(merge, PROFILE_RIGHT);
    }
    return profile_tree_sum(merge->tree);
}

void profile_merge_get(const struct profile_merge *merge, struct profile_merged *ret_merged)
{
    *ret_merged = (struct profile_merged){
        .tree = merge->tree,
        .units = merge->units,
        .rate = merge->rate,
        .windows = {merge->windows[0], merge->windows[1]},
        .timeline_from_s = merge->timeline_from_s,
        .timeline_step_s = merge->timeline_step_s,
        .timeline = merge->timeline,
        .timeline_count = merge->timeline_count,
    };
}
