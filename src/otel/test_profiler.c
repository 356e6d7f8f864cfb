#include "support/test.h"

#include "base/clock.h"
#include "otel/pb.h"
#include "otel/profile.h"
#include "otel/profiler.h"
#include "otel/test_collector.h"
#include "pprof.pb-c.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

static volatile double sink;

static __attribute__((noinline)) void burn_in_the_test(void)
{
    for (int i = 1; i < 20000; i++)
        sink += 1.0 / (double)i;
}

static atomic_bool is_burning;

static void *burn(void *userdata)
{
    while (is_burning)
        burn_in_the_test();
    return NULL;
}

static pthread_t burner;

static void start_burning(void)
{
    is_burning = true;
    assert_int_equal(pthread_create(&burner, NULL, burn, NULL), 0);
    pthread_setname_np(burner, "hot thread");
}

static void stop_burning(void)
{
    is_burning = false;
    pthread_join(burner, NULL);
}

static int start(void **state)
{
    return obs_profiler_start(&(struct obs_profiler_options){.service = "test", .window_s = 1});
}

static int stop(void **state)
{
    obs_profiler_stop();
    return 0;
}

/* Samples of the lines whose text has @part, and of all. */
static uint64_t samples_with(const char *folded, const char *part, uint64_t *ret_all)
{
    uint64_t found = 0;

    *ret_all = 0;
    while (*folded) {
        size_t size = strcspn(folded, "\n");
        char line[8192];
        char *space;
        uint64_t count;

        snprintf(line, sizeof(line), "%.*s", (int)size, folded);
        space = strrchr(line, ' ');
        assert_non_null(space);
        count = strtoull(space, NULL, 10);
        assert_true(count > 0);
        *ret_all += count;
        if (strstr(line, part))
            found += count;
        folded += size + 1;
    }
    return found;
}

static void a_hot_static_function_shows_with_its_name(void **state)
{
    struct obs_buffer folded = OBS_BUFFER_INIT(1u << 20);
    uint64_t all, hot, named;

    start_burning();
    assert_int_equal(obs_profiler_take(1, OBS_PROFILE_FOLDED, &folded), 0);
    stop_burning();
    hot = samples_with(folded.data, ";burn;burn_in_the_test ", &all);
    named = samples_with(folded.data, "hot thread;", &all);
    if (all < 10 || hot * 10 < all * 8 || named < hot)
        fail_msg("%u of %u samples:\n%s", (unsigned)hot, (unsigned)all, folded.data);
    obs_buffer_done(&folded);
}

static void inflate_all(const struct obs_buffer *in, uint8_t *out, size_t capacity,
                        size_t *ret_size)
{
    z_stream z = {.next_in = (Bytef *)in->data,
                  .avail_in = (uInt)in->size,
                  .next_out = out,
                  .avail_out = (uInt)capacity};

    assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    *ret_size = z.total_out;
}

static const char *leaf_name(const Pprof__Profile *profile, const Pprof__Sample *sample)
{
    const Pprof__Location *location = profile->location[sample->location_id[0] - 1];
    const Pprof__Function *function = profile->function[location->line[0]->function_id - 1];

    assert_int_equal(location->id, sample->location_id[0]);
    return profile->string_table[function->name];
}

static void pprof_reads_back(void **state)
{
    static uint8_t bytes[4u << 20];
    struct obs_buffer gzip = OBS_BUFFER_INIT(1u << 20);
    Pprof__Profile *profile;
    int64_t hot = 0, all = 0;
    size_t size;

    start_burning();
    assert_int_equal(obs_profiler_take(1, OBS_PROFILE_PPROF, &gzip), 0);
    stop_burning();
    inflate_all(&gzip, bytes, sizeof(bytes), &size);
    profile = pprof__profile__unpack(NULL, size, bytes);
    assert_non_null(profile);
    assert_int_equal(profile->n_sample_type, 2);
    assert_string_equal(profile->string_table[profile->sample_type[0]->type], "samples");
    assert_string_equal(profile->string_table[profile->sample_type[0]->unit], "count");
    assert_string_equal(profile->string_table[profile->sample_type[1]->type], "cpu");
    assert_string_equal(profile->string_table[profile->sample_type[1]->unit], "nanoseconds");
    assert_string_equal(profile->string_table[0], "");
    assert_true(profile->duration_nanos > 900000000);
    for (size_t i = 0; i < profile->n_sample; i++) {
        const Pprof__Sample *sample = profile->sample[i];

        assert_int_equal(sample->n_value, 2);
        assert_true(sample->value[1] == sample->value[0] * profile->period);
        all += sample->value[0];
        if (strcmp(leaf_name(profile, sample), "burn_in_the_test") != 0)
            continue;
        hot += sample->value[0];
        assert_string_equal(profile->string_table[sample->label[0]->key], "thread");
        assert_string_equal(profile->string_table[sample->label[0]->str], "hot thread");
    }
    assert_true(all >= 10 && hot * 10 >= all * 8);
    pprof__profile__free_unpacked(profile, NULL);
    obs_buffer_done(&gzip);
}

static void *take_one(void *userdata)
{
    struct obs_buffer b = OBS_BUFFER_INIT(1u << 20);
    intptr_t r = obs_profiler_take(1, OBS_PROFILE_FOLDED, &b);

    obs_buffer_done(&b);
    return (void *)r;
}

static void only_one_profile_is_taken_at_a_time(void **state)
{
    pthread_t threads[2];
    void *r[2];

    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_one, NULL), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], &r[i]);
    assert_int_equal((intptr_t)r[0] + (intptr_t)r[1], OBS_PROFILER_BUSY);
}

static void finished_windows_are_kept(void **state)
{
    struct obs_buffer folded = OBS_BUFFER_INIT(1u << 20);
    uint64_t start_ns = obs_time_ns(), until_ns = obs_mono_ns() + 20 * OBS_NS_PER_SECOND, all = 0;

    start_burning();
    while (all == 0 && obs_mono_ns() < until_ns) {
        obs_sleep_ns(50 * OBS_NS_PER_MS);
        obs_buffer_clear(&folded);
        assert_int_equal(obs_profiler_window(start_ns, UINT64_MAX, OBS_PROFILE_FOLDED, &folded), 0);
        samples_with(folded.data, "", &all);
    }
    stop_burning();
    assert_true(samples_with(folded.data, "burn_in_the_test ", &all) > 0);
    obs_buffer_clear(&folded);
    assert_int_equal(obs_profiler_window(0, 1, OBS_PROFILE_FOLDED, &folded), 0);
    assert_int_equal(folded.size, 0);
    obs_buffer_done(&folded);
}

static void windows_go_to_the_endpoint(void **state)
{
    struct test_collector collector;
    uint64_t all;

    test_collector_init(&collector);
    test_collector_start(&collector);
    assert_int_equal(obs_profiler_start(&(struct obs_profiler_options){
                         .service = "a service", .endpoint = collector.address, .window_s = 1}),
                     0);
    obs_profiler_set_version("1.0");
    start_burning();
    test_collector_wait_seen(&collector, 1);
    stop_burning();
    obs_profiler_stop();
    assert_memory_equal(collector.targets[0], "/ingest?name=a%20service%7Bversion%3D1.0%7D&from=1",
                        50);
    assert_non_null(strstr(collector.targets[0], "&until=1"));
    assert_non_null(strstr(collector.targets[0], "&format=folded&sampleRate=97"));
    assert_true(samples_with(collector.last_body.data, "burn_in_the_test ", &all) > 0);
    test_collector_done(&collector);
}

static void it_starts_once_and_stops_at_any_time(void **state)
{
    struct obs_profiler_options options = {.service = "test"};
    struct obs_buffer b = OBS_BUFFER_INIT(1000);

    assert_int_equal(obs_profiler_take(1, OBS_PROFILE_FOLDED, &b), -ENODEV);
    obs_profiler_stop();
    start_burning();
    for (int i = 0; i < 50; i++) {
        assert_int_equal(obs_profiler_start(&options), 0);
        assert_int_equal(obs_profiler_start(&options), -EALREADY);
        obs_sleep_ns(2 * OBS_NS_PER_MS);
        obs_profiler_stop();
    }
    stop_burning();
    options.endpoint = "nowhere";
    assert_int_equal(obs_profiler_start(&options), -EINVAL);
    assert_int_equal(obs_profiler_take(0, OBS_PROFILE_FOLDED, &b), -EINVAL);
    assert_int_equal(obs_profiler_take(61, OBS_PROFILE_FOLDED, &b), -EINVAL);
}

/* ---- tables ---- */

static void stacks_without_room_are_counted_as_other(void **state)
{
    OBS_CLEANUP(obs_stack_table_freep) struct obs_stack_table *table = NULL, *merged = NULL;
    struct obs_buffer folded = OBS_BUFFER_INIT(4u << 20);
    char thread[OBS_STACK_THREAD_SIZE] = "t;1";
    struct obs_stack_window *window;
    uintptr_t frames[OBS_PROFILER_DEPTH];
    uint64_t all;

    assert_int_equal(obs_stack_table_new(&table), 0);
    for (uintptr_t i = 0; i < OBS_PROFILER_STACKS + 100; i++) {
        frames[0] = i;
        frames[1] = 1;
        obs_stack_table_add(table, thread, frames, 2, 3);
        obs_stack_table_add(table, thread, frames, 2, 1);
    }
    assert_int_equal(table->stack_count, OBS_PROFILER_STACKS);
    assert_int_equal(table->other, 400);
    assert_int_equal(obs_stack_table_samples(table), 4 * (OBS_PROFILER_STACKS + 100));

    window = obs_stack_window_new(table);
    assert_non_null(window);
    assert_int_equal(obs_stack_table_new(&merged), 0);
    obs_stack_table_merge(merged, window);
    obs_stack_table_merge(merged, window);
    assert_int_equal(obs_stack_table_samples(merged), 8 * (OBS_PROFILER_STACKS + 100));
    assert_int_equal(obs_profile_emit(merged, OBS_PROFILE_FOLDED, &folded), 0);
    assert_string_equal(folded.data, "t_1;[unknown];[unknown] 16384\n[other] 800\n");
    assert_int_equal(samples_with(folded.data, "t_1;", &all), 16384);
    free(window);

    for (size_t i = 0; i < OBS_PROFILER_DEPTH; i++)
        frames[i] = i;
    obs_stack_table_clear(table);
    assert_int_equal(obs_stack_table_samples(table), 0);
    for (uintptr_t i = 0; i < 2000; i++) { /* deep stacks run out of words first */
        frames[0] = i;
        obs_stack_table_add(table, thread, frames, OBS_PROFILER_DEPTH, 1);
    }
    assert_int_equal(table->stack_count, OBS_STACK_WORDS / OBS_PROFILER_DEPTH);
    assert_int_equal(obs_stack_table_samples(table), 2000);
    obs_buffer_done(&folded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_hot_static_function_shows_with_its_name, start, stop),
        cmocka_unit_test_setup_teardown(pprof_reads_back, start, stop),
        cmocka_unit_test_setup_teardown(only_one_profile_is_taken_at_a_time, start, stop),
        cmocka_unit_test_setup_teardown(finished_windows_are_kept, start, stop),
        cmocka_unit_test(windows_go_to_the_endpoint),
        cmocka_unit_test(it_starts_once_and_stops_at_any_time),
        cmocka_unit_test(stacks_without_room_are_counted_as_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
