/* What must hold after any end, with any damage, and on a full disk. */
#include "telemetry/store.h"

#include "base/log.h"
#include "support/scratch.h"
#include "support/test.h"
#include "telemetry/store_bytes.h"

#define BASE_NS 1700000000000000000ULL

static struct store *open_store(const char *path)
{
    struct store_options options = {.folder = path, .retention_ns = UINT64_MAX};
    struct obs_reason why = {0};
    struct store *store = NULL;

    if (store_open(&options, &store, &why) != 0)
        fail_msg("%s", why.text);
    return store;
}

/* Span number @i, with a text of @size bytes. */
static int append(struct store *store, unsigned i, size_t size)
{
    static char text[65536];
    struct attribute attributes[] = {
        {text_of("size"), {VALUE_INT, {.integer = (int64_t)size}}},
        {text_of("text"), {VALUE_TEXT, {.text = {text, size}}}},
    };
    struct span_view span = {.start_ns = BASE_NS + i,
                             .end_ns = BASE_NS + i + 1,
                             .service = text_of("orders"),
                             .name = text_of("name"),
                             .status_message = text_of(""),
                             .trace_state = text_of(""),
                             .scope_name = text_of(""),
                             .scope_version = text_of(""),
                             .attributes = attributes,
                             .attribute_count = 2};
    struct obs_reason why = {0};

    for (size_t k = 0; k < size; k++)
        text[k] = (char)(33 + bytes_hash(&k, sizeof(k), i) % 90);
    memcpy(span.trace_id, &(unsigned){i + 1}, 4);
    memcpy(span.span_id, &(unsigned){i + 1}, 4);
    return store_append_spans(store, "solo", &span, 1, &why);
}

static enum store_next count_span(const struct span_view *span, void *userdata)
{
    unsigned number;

    memcpy(&number, span->span_id, 4);
    if (span->attribute_count == 2 &&
        (uint64_t)span->attributes[0].value.is.integer == span->attributes[1].value.is.text.size &&
        span->start_ns == BASE_NS + number - 1)
        ++*(unsigned *)userdata;
    return STORE_GO_ON;
}

static unsigned count(struct store *store)
{
    struct span_hints hints = {.until_ns = UINT64_MAX};
    unsigned found = 0;

    assert_int_equal(store_scan_spans(store, "solo", &hints, count_span, &found), 0);
    return found;
}

static size_t read_file(const char *path, char *data, size_t room)
{
    FILE *f = fopen(path, "re");
    size_t size;

    assert_non_null(f);
    size = fread(data, 1, room, f);
    fclose(f);
    return size;
}

enum { BATCHES = 8 };

/* Sizes of the log after each of the batches. */
static void make_log(const char *path, const char *log, char *data, size_t sizes[BATCHES + 1])
{
    OBS_CLEANUP(store_freep) struct store *store = open_store(path);

    for (unsigned i = 0; i <= BATCHES; i++) {
        sizes[i] = read_file(log, data, 65536);
        if (i < BATCHES)
            assert_int_equal(append(store, i, i * 5), 0);
    }
}

static void keeps_every_whole_batch_wherever_the_log_ends(void **state)
{
    static char data[65536];
    size_t sizes[BATCHES + 1];
    SCRATCH folder = scratch_new();
    char log[128];

    {
        OBS_CLEANUP(store_freep) struct store *store = open_store(folder.path);

        assert_int_equal(append(store, 0, 0), 0); /* makes the tenant */
    }
    snprintf(log, sizeof(log), "%s/solo/0000000001.wal", folder.path);
    assert_int_equal(unlink(log), 0);
    make_log(folder.path, log, data, sizes);
    for (size_t size = sizes[0]; size <= sizes[BATCHES]; size++) {
        unsigned expected = 0;
        OBS_CLEANUP(store_freep) struct store *store = NULL;

        while (expected < BATCHES && sizes[expected + 1] <= size)
            expected++;
        scratch_write(log, data, size);
        store = open_store(folder.path);
        assert_int_equal(count(store), expected);
        if (size % 97 == 0) {
            assert_int_equal(append(store, 100, 3), 0);
            assert_int_equal(count(store), expected + 1);
        }
    }
}

static void skips_a_damaged_batch_that_has_good_ones_behind_it(void **state)
{
    static char data[65536];
    size_t sizes[BATCHES + 1];
    SCRATCH folder = scratch_new();
    char log[128];

    snprintf(log, sizeof(log), "%s/solo/0000000001.wal", folder.path);
    {
        OBS_CLEANUP(store_freep) struct store *store = open_store(folder.path);

        assert_int_equal(append(store, 0, 0), 0);
    }
    assert_int_equal(unlink(log), 0);
    make_log(folder.path, log, data, sizes);
    data[sizes[2] + 40] ^= 1;
    scratch_write(log, data, sizes[BATCHES]);
    {
        OBS_CLEANUP(store_freep) struct store *store = open_store(folder.path);
        struct store_stats stats;

        assert_int_equal(count(store), BATCHES - 1);
        store_stats(store, &stats);
        assert_int_equal(stats.damaged_segments, 1);
    }
}

static void lives_with_any_damaged_byte_of_a_segment(void **state)
{
    static char data[65536];
    SCRATCH folder = scratch_new();
    char segment[128], aside[140];
    size_t size;

    {
        OBS_CLEANUP(store_freep) struct store *store = open_store(folder.path);

        for (unsigned i = 0; i < 20; i++)
            assert_int_equal(append(store, i, i * 3), 0);
        assert_int_equal(store_seal_now(store), 0);
    }
    snprintf(segment, sizeof(segment), "%s/solo/0000000001.segment", folder.path);
    snprintf(aside, sizeof(aside), "%s.damaged", segment);
    size = read_file(segment, data, sizeof(data));
    for (size_t i = 0; i < size; i++) {
        OBS_CLEANUP(store_freep) struct store *store = NULL;
        struct store_stats stats;
        unsigned found;

        data[i] ^= 0x55;
        scratch_write(segment, data, size);
        data[i] ^= 0x55;
        store = open_store(folder.path);
        found = count(store);
        store_stats(store, &stats);
        assert_true(found == 20 ||
                    (found == 0 && stats.damaged_segments + stats.damaged_blocks > 0));
        assert_int_equal(append(store, 30, 10), 0);
        assert_int_equal(count(store), found + 1);
        store = store_free(store);
        (void)unlink(aside);
        {
            char log[128];

            for (unsigned generation = 2; generation < 4; generation++) {
                snprintf(log, sizeof(log), "%s/solo/%010u.wal", folder.path, generation);
                (void)unlink(log);
            }
        }
    }
}

static bool fills_the_disk(void *userdata)
{
    const char *path = userdata;
    int error = scratch_fill_disk(path, 1 << 20);
    OBS_CLEANUP(store_freep) struct store *store = NULL;
    unsigned kept = 0;
    int r = STORE_OK;

    if (error != ENOSPC)
        return true; /* not root: a limit on file sizes is no full disk */
    store = open_store(path);
    while (kept < 1000 && (r = append(store, kept, 20000)) == STORE_OK)
        kept++;
    if (r != STORE_FULL || kept < 10 || count(store) != kept)
        return false;
    if (append(store, kept, 20000) != STORE_FULL)
        return false;
    if (mount(NULL, path, NULL, MS_REMOUNT, "size=16m") < 0)
        return false;
    if (append(store, kept, 20000) != STORE_OK || count(store) != kept + 1)
        return false;
    store = store_free(store);
    store = open_store(path);
    return count(store) == kept + 1;
}

static void refuses_on_a_full_disk_and_goes_on_when_there_is_room(void **state)
{
    SCRATCH folder = scratch_new();

    assert_true(scratch_in_child(fills_the_disk, folder.path));
}

static void drops_whole_segments_that_are_over_the_size(void **state)
{
    SCRATCH folder = scratch_new();
    struct store_options options = {
        .folder = folder.path, .retention_ns = UINT64_MAX, .tenant_bytes_max = 100000};
    struct obs_reason why = {0};
    OBS_CLEANUP(store_freep) struct store *store = NULL;
    struct store_stats stats = {0};

    assert_int_equal(store_open(&options, &store, &why), 0);
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(append(store, i, 20000), 0);
        assert_int_equal(store_seal_now(store), 0);
    }
    for (unsigned tries = 0; tries < 500 && stats.dropped_segments == 0; tries++) {
        usleep(10000); /* the store's own thread looks each second */
        store_stats(store, &stats);
    }
    assert_true(stats.dropped_segments > 0);
    assert_true(stats.spans < 12 && stats.spans > 0);
    assert_int_equal(count(store), stats.spans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_every_whole_batch_wherever_the_log_ends),
        cmocka_unit_test(skips_a_damaged_batch_that_has_good_ones_behind_it),
        cmocka_unit_test(lives_with_any_damaged_byte_of_a_segment),
        cmocka_unit_test(refuses_on_a_full_disk_and_goes_on_when_there_is_room),
        cmocka_unit_test(drops_whole_segments_that_are_over_the_size),
    };

    obs_log_set_level(
        (enum obs_log_level)(OBS_LOG_ERROR + 1)); /* damage is said, thousands of times */
    return cmocka_run_group_tests_name("store faults", tests, NULL, NULL);
}
