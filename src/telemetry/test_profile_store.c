/* Durability, recovery, retention, and who sees what. */
#include "support/test.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "support/scratch.h"
#include "telemetry/profile_folded.h"
#include "telemetry/profile_selector.h"
#include "telemetry/profile_store.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/mman.h>

#define STORE OBS_CLEANUP(profile_store_freep) struct profile_store *
#define TREE OBS_CLEANUP(profile_tree_freep) struct profile_tree *
#define S OBS_NS_PER_SECOND
#define T0 (1763900000 * S)

static uint64_t now_ns = T0;

static uint64_t test_now(void)
{
    return now_ns;
}

static struct text_view view(const char *text)
{
    return (struct text_view){text, strlen(text)};
}

static struct profile_store *open_store(const struct scratch *s,
                                        const struct profile_store_options *like)
{
    struct profile_store_options options = like ? *like : (struct profile_store_options){0};
    struct profile_store *store = NULL;
    struct obs_reason why = {0};

    options.folder = s->path;
    options.now_ns = test_now;
    assert_int_equal(profile_store_open(&options, &store, &why), 0);
    return store;
}

static int append_as(struct profile_store *store, const char *tenant, const char *service,
                     uint64_t from_ns, const char *folded)
{
    TREE tree = NULL;
    struct label labels[] = {{view("__type__"), view("cpu")},
                             {view("service_name"), view(service)}};
    struct profile_view profile = {.labels = labels,
                                   .label_count = 2,
                                   .from_ns = from_ns,
                                   .until_ns = from_ns + 10 * S,
                                   .rate = 97,
                                   .units = view("samples")};
    struct obs_reason why = {0};

    if (profile_tree_new(NULL, &tree) != 0 ||
        profile_folded_decode(view(folded), PROFILE_GROUPS, tree, &why) != 0)
        abort();
    profile.tree = tree;
    return profile_append(store, tenant, &profile, 1, &why);
}

static void append(struct profile_store *store, const char *service, uint64_t from_ns,
                   const char *folded)
{
    assert_int_equal(append_as(store, "solo", service, from_ns, folded), STORE_OK);
}

static int merge_record(const struct profile_record *record, void *userdata)
{
    return profile_record_merge(record, userdata, PROFILE_LEFT, 1, 1);
}

/* Everything of @service that overlaps the range, folded. */
static const char *read_as(struct profile_store *store, const char *tenant, const char *service,
                           uint64_t from_ns, uint64_t until_ns)
{
    static struct obs_buffer b = {.limit = 1 << 24};
    TREE tree = NULL;
    struct matcher matcher = {view("service_name"), view(service), MATCH_EQUAL, NULL};
    struct profile_query query = {from_ns, until_ns, &matcher, 1, 0};

    assert_int_equal(profile_tree_new(NULL, &tree), 0);
    assert_int_equal(profile_scan(store, tenant, &query, merge_record, tree), 0);
    obs_buffer_clear(&b);
    assert_int_equal(profile_folded_emit(tree, PROFILE_LEFT, &b), 0);
    return b.data;
}

static const char *read_all(struct profile_store *store, const char *service)
{
    return read_as(store, "solo", service, 0, UINT64_MAX);
}

/* The only file of the tenant that ends in @ending. */
static const char *only_file(struct scratch *s, const char *ending)
{
    static char path[800];
    char folder[100];
    struct dirent *entry;
    unsigned count = 0;
    DIR *dir;

    snprintf(folder, sizeof(folder), "%s/solo", s->path);
    dir = opendir(folder);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        size_t size = strlen(entry->d_name);

        if (size > strlen(ending) && strcmp(entry->d_name + size - strlen(ending), ending) == 0) {
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            count++;
        }
    }
    closedir(dir);
    assert_int_equal(count, 1);
    return path;
}

static uint64_t size_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

/* ---- reading back ---- */

static void what_was_appended_is_read_at_once_and_after_a_restart(void **state)
{
    SCRATCH s = scratch_new();
    STORE store = open_store(&s, NULL);

    append(store, "orders", T0, "main;work 5\n");
    append(store, "orders", T0 + 10 * S, "main;work 2\nmain;wait 1\n");
    append(store, "catalog", T0, "main;other 9\n");
    assert_string_equal(read_all(store, "orders"), "main;work 7\nmain;wait 1\n");
    store = profile_store_free(store);
    store = open_store(&s, NULL);
    assert_string_equal(read_all(store, "orders"), "main;work 7\nmain;wait 1\n");
    assert_string_equal(read_all(store, "catalog"), "main;other 9\n");
    append(store, "orders", T0 + 20 * S, "main;work 1\n");
    assert_string_equal(read_all(store, "orders"), "main;work 8\nmain;wait 1\n");
}

static void a_range_takes_the_windows_that_it_touches(void **state)
{
    SCRATCH s = scratch_new();
    STORE store = open_store(&s, NULL);

    append(store, "orders", T0, "a 1\n");
    append(store, "orders", T0 + 10 * S, "b 1\n");
    assert_string_equal(read_as(store, "solo", "orders", T0, T0 + 10 * S), "a 1\n");
    assert_string_equal(read_as(store, "solo", "orders", T0 + 10 * S, T0 + 11 * S), "b 1\n");
    assert_string_equal(read_as(store, "solo", "orders", T0 + 9 * S, T0 + 11 * S), "a 1\nb 1\n");
    /* A trace of 40 ms in the middle of a window. */
    assert_string_equal(
        read_as(store, "solo", "orders", T0 + 5 * S, T0 + 5 * S + 40 * OBS_NS_PER_MS), "a 1\n");
    assert_string_equal(read_as(store, "solo", "orders", 0, T0), "");
}

static void tenants_do_not_see_each_other(void **state)
{
    SCRATCH s = scratch_new();
    STORE store = open_store(&s, NULL);

    assert_int_equal(append_as(store, "a", "orders", T0, "x 1\n"), STORE_OK);
    assert_int_equal(append_as(store, "b", "orders", T0, "y 1\n"), STORE_OK);
    assert_string_equal(read_as(store, "a", "orders", 0, UINT64_MAX), "x 1\n");
    assert_string_equal(read_as(store, "c", "orders", 0, UINT64_MAX), "");
    assert_int_equal(append_as(store, "../etc", "orders", T0, "x 1\n"), STORE_REFUSED);
    assert_int_equal(append_as(store, "", "orders", T0, "x 1\n"), STORE_REFUSED);
}

static void a_window_costs_little_once_its_names_are_known(void **state)
{
    SCRATCH s = scratch_new();
    STORE store = open_store(&s, NULL);
    struct profile_store_stats first, last;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer folded = OBS_BUFFER_INIT(1 << 20);

    for (int i = 0; i < 100; i++)
        obs_buffer_printf(&folded, "main;server_run;worker_thread;handle_request_%d;query;%d 3\n",
                          i % 17, i);
    append(store, "orders", T0, folded.data);
    profile_store_stats(store, &first);
    for (int i = 1; i <= 100; i++)
        append(store, "orders", T0 + (uint64_t)i * 10 * S, folded.data);
    profile_store_stats(store, &last);
    assert_in_range((last.disk_bytes - first.disk_bytes) / 100, 1, 600); /* of 5 KB of text */
}

/* ---- crashes ---- */

static void a_torn_tail_is_dropped_wherever_it_is_torn(void **state)
{
    SCRATCH s = scratch_new();
    STORE store = open_store(&s, NULL);
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer all = OBS_BUFFER_INIT(1 << 20);
    char path[800];
    uint64_t first, second;

    append(store, "orders", T0, "a 1\n");
    strcpy(path, only_file(&s, ".prof"));
    first = size_of(path);
    append(store, "orders", T0 + 10 * S, "a 1\nb 2\n");
    second = size_of(path);
    assert_int_equal(obs_file_read(path, &all), 0);
    store = profile_store_free(store);
    for (uint64_t size = 0; size <= second; size++) {
        STORE again = NULL;
        struct profile_store_stats stats;

        scratch_write(path, all.data, size);
        again = open_store(&s, NULL);
        profile_store_stats(again, &stats);
        assert_int_equal(stats.damaged_files, 0);
        assert_string_equal(read_all(again, "orders"), size == second  ? "a 2\nb 2\n"
                                                       : size >= first ? "a 1\n"
                                                                       : "");
    }
}

static void a_damaged_file_is_set_aside_and_the_rest_is_read(void **state)
{
    SCRATCH s = scratch_new();
    STORE store = open_store(&s, NULL);
    struct profile_store_stats stats;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer all = OBS_BUFFER_INIT(1 << 20);
    char path[800];
    uint64_t first;

    append(store, "orders", T0, "a 1\n");
    strcpy(path, only_file(&s, ".prof"));
    first = size_of(path);
    append(store, "orders", T0 + 10 * S, "b 1\n");
    append(store, "orders", T0 + 20 * S, "c 1\n");
    store = profile_store_free(store);
    assert_int_equal(obs_file_read(path, &all), 0);
    all.data[first + 50] ^= 1;
    scratch_write(path, all.data, all.size);
    now_ns += S;
    store = open_store(&s, NULL);
    append(store, "orders", T0 + 30 * S, "d 1\n");
    now_ns -= S;
    assert_string_equal(read_all(store, "orders"), "a 1\nd 1\n");
    profile_store_stats(store, &stats);
    assert_int_equal(stats.damaged_files, 1);
    assert_int_equal(size_of(only_file(&s, ".damaged")), all.size);
}

static void damage_under_a_running_store_does_not_stop_it(void **state)
{
    SCRATCH s = scratch_new();
    struct profile_store_options options = {.slice_ns = S};
    STORE store = open_store(&s, &options);
    struct profile_store_stats stats;
    int fd;

    append(store, "orders", T0, "a 1\n");
    fd = open(only_file(&s, ".prof"), O_WRONLY | O_CLOEXEC);
    now_ns += 2 * S;
    append(store, "orders", T0 + 10 * S, "b 1\n");
    assert_int_equal(pwrite(fd, "XXXX", 4, 60), 4);
    close(fd);
    assert_string_equal(read_all(store, "orders"), "b 1\n");
    assert_string_equal(read_all(store, "orders"), "b 1\n");
    profile_store_stats(store, &stats);
    assert_int_equal(stats.damaged_files, 1);
    now_ns -= 2 * S;
}

struct writer {
    struct profile_store *store;
    volatile uint32_t *acknowledged; /* shared with the parent, one a thread */
    unsigned index;
};

static void *write_until_killed(void *userdata)
{
    struct writer *w = userdata;
    char folded[64], service[16];

    snprintf(service, sizeof(service), "s%u", w->index);
    for (uint32_t i = 1;; i++) {
        snprintf(folded, sizeof(folded), "main;f%u;g%u 1\n", i, i % 7);
        if (append_as(w->store, "solo", service, T0, folded) != STORE_OK)
            abort();
        *w->acknowledged = i;
    }
    return NULL;
}

/* kill -9 at any moment: every acknowledged window of every writer is there. */
static void nothing_acknowledged_is_lost_by_a_kill(void **state)
{
    enum { WRITERS = 4, ROUNDS = 12 };
    SCRATCH s = scratch_new();
    volatile uint32_t *acknowledged =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (int round = 0; round < ROUNDS; round++) {
        STORE store = NULL;
        struct profile_store_options options = {.names_bytes_max = 20000};
        pid_t pid;
        int status;

        for (int i = 0; i < WRITERS; i++)
            acknowledged[i] = 0;
        pid = fork();
        if (pid == 0) {
            struct writer writers[WRITERS];
            pthread_t thread;

            store = open_store(&s, &options);
            for (unsigned i = 0; i < WRITERS; i++) {
                writers[i] = (struct writer){store, &acknowledged[i], i};
                pthread_create(&thread, NULL, write_until_killed, &writers[i]);
            }
            pause();
            _exit(1);
        }
        while (acknowledged[round % WRITERS] < (uint32_t)(round * 13 + 1))
            sched_yield();
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        store = open_store(&s, &options);
        for (unsigned i = 0; i < WRITERS; i++) {
            char service[16], expected[32];
            const char *text;

            snprintf(service, sizeof(service), "s%u", i);
            text = read_all(store, service);
            for (uint32_t n = 1; n <= acknowledged[i]; n++) {
                snprintf(expected, sizeof(expected), ";f%u;", n);
                assert_non_null(strstr(text, expected));
            }
        }
    }
    munmap((void *)acknowledged, 4096);
}

static bool full_disk(void *userdata)
{
    struct scratch *s = userdata;
    struct profile_store *store;
    char folded[4000] = "main;", expected[64];
    int kept = 0, r = STORE_OK;

    scratch_fill_disk(s->path, 200000);
    store = open_store(s, NULL);
    for (int i = 0; i < 2000 && r == STORE_OK; i++) {
        for (int j = 0; j < 1000; j++) /* text that does not compress */
            folded[5 + j] = (char)('a' + rand() % 26);
        strcpy(folded + 1005, " 1\n");
        r = append_as(store, "solo", "orders", T0, folded);
        kept += r == STORE_OK;
    }
    if (r != STORE_FULL || kept < 20)
        return false;
    snprintf(expected, sizeof(expected), "%d", kept);
    for (const char *at = read_all(store, "orders"); (at = strchr(at, '\n')); at++)
        kept--;
    profile_store_free(store);
    return kept == 0;
}

static void a_full_disk_refuses_and_goes_on_answering(void **state)
{
    SCRATCH s = scratch_new();

    assert_true(scratch_in_child(full_disk, &s));
}

/* ---- retention ---- */

static void what_is_too_old_is_dropped_by_the_file(void **state)
{
    SCRATCH s = scratch_new();
    struct profile_store_options options = {.retention_ns = 3600 * S, .slice_ns = 600 * S};
    STORE store = open_store(&s, &options);
    struct profile_store_stats stats;

    for (int i = 0; i < 12; i++) {
        char folded[16];

        snprintf(folded, sizeof(folded), "f%d 1\n", i);
        append(store, "orders", now_ns, folded);
        now_ns += 600 * S;
    }
    profile_store_expire(store);
    profile_store_stats(store, &stats);
    assert_in_range(stats.files, 5, 7);
    assert_null(strstr(read_all(store, "orders"), "f0 "));
    assert_non_null(strstr(read_all(store, "orders"), "f11 "));
    now_ns += 7200 * S;
    profile_store_expire(store);
    profile_store_stats(store, &stats);
    assert_int_equal(stats.files, 0);
    assert_int_equal(stats.disk_bytes, 0);
    now_ns = T0;
}

static void the_oldest_files_make_room_for_the_newest(void **state)
{
    SCRATCH s = scratch_new();
    struct profile_store_options options = {.tenant_bytes_max = 80000};
    STORE store = open_store(&s, &options);
    struct profile_store_stats stats;
    char folded[1100];

    for (int i = 0; i < 400; i++) {
        size_t size = (size_t)sprintf(folded, "f%d;", i);

        for (int j = 0; j < 1000; j++)
            folded[size++] = (char)('a' + rand() % 26);
        strcpy(folded + size, " 1\n");
        now_ns += S;
        append(store, "orders", now_ns, folded);
        profile_store_stats(store, &stats);
        assert_in_range(stats.disk_bytes, 0, 80000 + 12000);
    }
    assert_null(strstr(read_all(store, "orders"), "f0;"));
    assert_non_null(strstr(read_all(store, "orders"), "f399;"));
    now_ns = T0;
}

static void names_in_memory_are_bounded(void **state)
{
    SCRATCH s = scratch_new();
    struct profile_store_options options = {.names_bytes_max = 15000};
    STORE store = open_store(&s, &options);
    struct profile_store_stats stats;

    for (int i = 0; i < 1000; i++) {
        char folded[64], service[32];

        snprintf(folded, sizeof(folded), "a_function_of_its_own_%d 1\n", i);
        snprintf(service, sizeof(service), "service-%d", i % 500);
        append(store, service, T0, folded);
        profile_store_stats(store, &stats);
        assert_in_range(stats.name_bytes, 0, 40000);
    }
    assert_non_null(strstr(read_all(store, "service-0"), "a_function_of_its_own_0 1\n"));
    assert_non_null(strstr(read_all(store, "service-499"), "a_function_of_its_own_999 1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_appended_is_read_at_once_and_after_a_restart),
        cmocka_unit_test(a_range_takes_the_windows_that_it_touches),
        cmocka_unit_test(tenants_do_not_see_each_other),
        cmocka_unit_test(a_window_costs_little_once_its_names_are_known),
        cmocka_unit_test(a_torn_tail_is_dropped_wherever_it_is_torn),
        cmocka_unit_test(a_damaged_file_is_set_aside_and_the_rest_is_read),
        cmocka_unit_test(damage_under_a_running_store_does_not_stop_it),
        cmocka_unit_test(nothing_acknowledged_is_lost_by_a_kill),
        cmocka_unit_test(a_full_disk_refuses_and_goes_on_answering),
        cmocka_unit_test(what_is_too_old_is_dropped_by_the_file),
        cmocka_unit_test(the_oldest_files_make_room_for_the_newest),
        cmocka_unit_test(names_in_memory_are_bounded),
    };

    obs_log_setup("test", "0", OBS_LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
