#include "support/test.h"

#include "base/file.h"
#include "base/settings.h"
#include "support/scratch.h"
#include "support/settings_example.h"
#include <pthread.h>
#include <stdatomic.h>

#define SETTINGS OBS_CLEANUP(obs_settings_freep) struct obs_settings

static struct obs_settings *open_at(const char *path)
{
    struct obs_settings *settings = NULL;
    struct obs_reason why = {0};

    if (obs_settings_open(&example_schema, path, &settings, &why) != 0)
        fail_msg("%s", why.text);
    return settings;
}

typedef int change_fn(struct obs_settings *, const json_t *, struct obs_reason *);

static int change(struct obs_settings *settings, change_fn *fn, const char *text,
                  struct obs_reason *reterr_reason)
{
    OBS_JSON json = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(json);
    return fn(settings, json, reterr_reason);
}

static int merge(struct obs_settings *settings, const char *text)
{
    return change(settings, obs_settings_merge, text, NULL);
}

static int replace(struct obs_settings *settings, const char *text)
{
    return change(settings, obs_settings_replace, text, NULL);
}

static int64_t int_of(struct obs_settings *settings, size_t row)
{
    const struct obs_settings_view *view = obs_settings_acquire(settings);
    int64_t value = obs_setting_int(view, row);

    obs_settings_release(view);
    return value;
}

static void has_settings(struct obs_settings *settings, const char *expected)
{
    OBS_JSON json = NULL;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(10000);

    assert_int_equal(obs_settings_json(settings, &json), 0);
    assert_int_equal(obs_json_emit(json, &b), 0);
    assert_string_equal(b.data, expected);
}

static void file_holds(const char *path, const char *expected)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(10000);

    assert_int_equal(obs_file_read(path, &b), 0);
    assert_string_equal(b.data, expected);
}

static void starts_with_the_tables_defaults(void **state)
{
    SETTINGS *settings = open_at(NULL);
    const struct obs_settings_view *view = obs_settings_acquire(settings);

    assert_string_equal(obs_setting_text(view, EXAMPLE_VERSION), "1.0");
    assert_int_equal(obs_setting_int(view, EXAMPLE_WORKERS), 4);
    assert_true(obs_setting_number(view, EXAMPLE_RATIO) == 0.25);
    assert_int_equal(obs_setting_choice(view, EXAMPLE_POLICY), 0);
    assert_string_equal(obs_setting_text(view, EXAMPLE_POLICY), "lru");
    assert_true(obs_setting_bool(view, EXAMPLE_ENABLED));
    assert_string_equal(obs_setting_text(view, EXAMPLE_GREETING), "hello");
    obs_settings_release(view);
}

static void merge_changes_what_it_names(void **state)
{
    SETTINGS *settings = open_at(NULL);
    const struct obs_settings_view *view;

    assert_int_equal(merge(settings, "{\"cache.ttl\":30,\"trace.sample_ratio\":1}"), 0);
    assert_int_equal(merge(settings, "{\"cache\":{\"policy\":\"random\",\"enabled\":false}}"), 0);
    assert_int_equal(merge(settings, "{}"), 0);
    view = obs_settings_acquire(settings);
    assert_int_equal(obs_setting_int(view, EXAMPLE_TTL), 30);
    assert_true(obs_setting_number(view, EXAMPLE_RATIO) == 1);
    assert_int_equal(obs_setting_choice(view, EXAMPLE_POLICY), 2);
    assert_false(obs_setting_bool(view, EXAMPLE_ENABLED));
    assert_int_equal(obs_setting_int(view, EXAMPLE_WORKERS), 4);
    obs_settings_release(view);
}

static void null_replace_and_reset_go_back_to_defaults(void **state)
{
    SETTINGS *settings = open_at(NULL);

    assert_int_equal(merge(settings, "{\"cache.ttl\":30,\"server.workers\":2}"), 0);
    assert_int_equal(merge(settings, "{\"cache.ttl\":null,\"greeting\":null}"), 0);
    assert_int_equal(int_of(settings, EXAMPLE_TTL), 60);
    assert_int_equal(int_of(settings, EXAMPLE_WORKERS), 2);
    assert_int_equal(replace(settings, "{\"cache.ttl\":90}"), 0);
    assert_int_equal(int_of(settings, EXAMPLE_TTL), 90);
    assert_int_equal(int_of(settings, EXAMPLE_WORKERS), 4);
    assert_int_equal(obs_settings_reset(settings, NULL), 0);
    assert_int_equal(int_of(settings, EXAMPLE_TTL), 60);
}

static void a_release_brings_its_own_defaults_below_the_operators(void **state)
{
    SETTINGS *settings = open_at(NULL);

    assert_int_equal(merge(settings, "{\"version\":\"1.1\"}"), 0);
    assert_int_equal(int_of(settings, EXAMPLE_WORKERS), 8);
    assert_int_equal(int_of(settings, EXAMPLE_TTL), 60); /* not the release's business */
    assert_int_equal(merge(settings, "{\"server.workers\":3}"), 0);
    assert_int_equal(int_of(settings, EXAMPLE_WORKERS), 3);
    assert_int_equal(merge(settings, "{\"version\":\"1.0\"}"), 0);
    assert_int_equal(int_of(settings, EXAMPLE_WORKERS), 3); /* the operator's stays */
    assert_int_equal(merge(settings, "{\"version\":\"1.1\",\"server.workers\":null}"), 0);
    assert_int_equal(int_of(settings, EXAMPLE_WORKERS), 8);
}

static void a_refusal_names_field_value_and_range_and_changes_nothing(void **state)
{
    static const struct {
        const char *json, *why;
    } refused[] = {
        {"{\"cache.ttl\":-3}", "\"cache.ttl\" is -3: expected an integer from 1 to 86400 seconds"},
        {"{\"cache.ttl\":86401}",
         "\"cache.ttl\" is 86401: expected an integer from 1 to 86400 seconds"},
        {"{\"cache.ttl\":9223372036854775807}",
         "\"cache.ttl\" is 9223372036854775807: expected an integer from 1 to 86400 seconds"},
        {"{\"cache.ttl\":30.5}",
         "\"cache.ttl\" is 30.5: expected an integer from 1 to 86400 seconds"},
        {"{\"cache.ttl\":\"30\"}",
         "\"cache.ttl\" is \"30\": expected an integer from 1 to 86400 seconds"},
        {"{\"cache.ttl\":[30]}",
         "\"cache.ttl\" is an array: expected an integer from 1 to 86400 seconds"},
        {"{\"cache.ttl\":{}}",
         "\"cache.ttl\" is an object: expected an integer from 1 to 86400 seconds"},
        {"{\"trace.sample_ratio\":1.01}",
         "\"trace.sample_ratio\" is 1.01: expected a number from 0 to 1"},
        {"{\"trace.sample_ratio\":true}",
         "\"trace.sample_ratio\" is true: expected a number from 0 to 1"},
        {"{\"cache.enabled\":1}", "\"cache.enabled\" is 1: expected true or false"},
        {"{\"cache.policy\":\"lru|lfu\"}",
         "\"cache.policy\" is \"lru|lfu\": expected one of lru, lfu, random"},
        {"{\"cache.policy\":\"\"}", "\"cache.policy\" is \"\": expected one of lru, lfu, random"},
        {"{\"cache.policy\":\"rand\"}",
         "\"cache.policy\" is \"rand\": expected one of lru, lfu, random"},
        {"{\"version\":\"9.9\"}", "\"version\" is \"9.9\": expected one of 1.0, 1.1"},
        {"{\"greeting\":\"a\\nb\"}",
         "\"greeting\" is \"a\\nb\": expected a text of at most 200 bytes "
         "without control characters"},
        {"{\"cache.tll\":1}", "\"cache.tll\" is not a setting of example: see /config/schema"},
        {"{\"cache\":1}", "\"cache\" is not a setting of example: see /config/schema"},
        {"{\"cache\":{}}", "\"cache\" is not a setting of example: see /config/schema"},
        {"{\"cache.ttl\":1,\"cache\":{\"ttl\":2}}", "\"cache.ttl\" is given twice"},
        {"[]", "the settings are an array: expected an object of names and values"},
        {"null", "the settings are null: expected an object of names and values"},
        {"{\"server.workers\":2,\"cache.ttl\":0}", /* the good half must not pass either */
         "\"cache.ttl\" is 0: expected an integer from 1 to 86400 seconds"},
    };
    SETTINGS *settings = open_at(NULL);
    change_fn *const changes[] = {obs_settings_merge, obs_settings_replace};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        for (size_t c = 0; c < 2; c++) {
            struct obs_reason why = {0};

            assert_int_equal(change(settings, changes[c], refused[i].json, &why),
                             OBS_SETTINGS_REFUSED);
            assert_string_equal(why.text, refused[i].why);
        }
    has_settings(
        settings,
        "{\"service\":\"example\",\"version\":\"1.0\",\"settings\":{\"version\":\"1.0\","
        "\"server.workers\":4,\"cache.ttl\":60,\"trace.sample_ratio\":0.25,\"cache.policy\":"
        "\"lru\",\"cache.enabled\":true,\"greeting\":\"hello\",\"server.backlog\":128},"
        "\"changed\":[],\"restart_pending\":[]}");
}

static void ranges_include_their_ends(void **state)
{
    SETTINGS *settings = open_at(NULL);
    char longest[240], text[260];

    assert_int_equal(merge(settings, "{\"cache.ttl\":1,\"trace.sample_ratio\":0}"), 0);
    assert_int_equal(merge(settings, "{\"cache.ttl\":86400,\"trace.sample_ratio\":1.0}"), 0);
    memset(longest, 'x', sizeof(longest));
    longest[200] = '\0';
    snprintf(text, sizeof(text), "{\"greeting\":\"%s\"}", longest);
    assert_int_equal(merge(settings, text), 0);
    longest[200] = 'x';
    longest[201] = '\0';
    snprintf(text, sizeof(text), "{\"greeting\":\"%s\"}", longest);
    assert_int_equal(merge(settings, text), OBS_SETTINGS_REFUSED);
}

static void names_too_long_or_nested_too_deep_are_unknown(void **state)
{
    SETTINGS *settings = open_at(NULL);
    struct obs_reason why = {0};
    char text[400];

    snprintf(text, sizeof(text), "{\"cache.ttl%0300d\":1}", 0);
    assert_int_equal(change(settings, obs_settings_merge, text, &why), OBS_SETTINGS_REFUSED);
    assert_non_null(strstr(why.text, "not a setting"));
    assert_int_equal(merge(settings, "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":1}}}}}"),
                     OBS_SETTINGS_REFUSED);
    assert_int_equal(merge(settings, "{\"\":1}"), OBS_SETTINGS_REFUSED);
    assert_int_equal(merge(settings, "{\"\":{\"cache.ttl\":1}}"), OBS_SETTINGS_REFUSED);
}

static void keeps_only_the_operators_values_over_a_restart(void **state)
{
    SCRATCH s = scratch_new();
    char path[128];
    struct obs_settings *settings;
    struct stat st;

    strcpy(path, scratch_path(&s, "settings.json"));
    settings = open_at(path);
    assert_int_equal(scratch_count(s.path), 0); /* nothing changed, nothing written */
    assert_int_equal(merge(settings, "{\"cache\":{\"ttl\":30},\"trace.sample_ratio\":0.1}"), 0);
    file_holds(path, "{\"cache.ttl\":30,\"trace.sample_ratio\":0.1}\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    settings = obs_settings_free(settings);
    settings = open_at(path);
    assert_int_equal(int_of(settings, EXAMPLE_TTL), 30);
    assert_int_equal(obs_settings_reset(settings, NULL), 0);
    file_holds(path, "{}\n");
    settings = obs_settings_free(settings);
    settings = open_at(path);
    assert_int_equal(int_of(settings, EXAMPLE_TTL), 60);
    obs_settings_free(settings);
}

static void a_damaged_state_file_is_refused_with_its_path(void **state)
{
    static const struct {
        const char *content, *why;
    } damaged[] = {
        {"", "not valid JSON"},
        {"{\"cache.ttl\":3", "not valid JSON"},
        {"\0\0\0\0\0\0\0\0", "not valid JSON"},
        {"[]", "an array"},
        {"{\"cache.ttl\":0}", "\"cache.ttl\" is 0: expected an integer from 1 to 86400 seconds"},
        {"{\"cache.tll\":1}", "\"cache.tll\" is not a setting"},
        {"{\"cache.ttl\":null}", "\"cache.ttl\" is null"},
    };
    SCRATCH s = scratch_new();
    struct obs_settings *settings = NULL;
    char path[128];

    strcpy(path, scratch_path(&s, "settings.json"));
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        size_t size = i == 2 ? 8 : strlen(damaged[i].content);
        struct obs_reason why = {0};

        scratch_write(path, damaged[i].content, size);
        assert_int_equal(obs_settings_open(&example_schema, path, &settings, &why),
                         OBS_SETTINGS_REFUSED);
        assert_non_null(strstr(why.text, path));
        assert_non_null(strstr(why.text, damaged[i].why));
        assert_null(settings);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(obs_settings_open(&example_schema, path, &settings, NULL),
                     OBS_SETTINGS_REFUSED);
}

struct place {
    char path[128], folder[128];
};

static bool is_refused_unreadable(void *userdata)
{
    struct place *place = userdata;
    struct obs_settings *settings = NULL;
    struct obs_reason why = {0};

    return scratch_become_nobody() &&
           obs_settings_open(&example_schema, place->path, &settings, &why) ==
               OBS_SETTINGS_REFUSED &&
           strstr(why.text, place->path) && strstr(why.text, "Permission denied");
}

static void a_state_file_of_another_user_is_refused(void **state)
{
    SCRATCH s = scratch_new();
    struct place place;

    strcpy(place.path, scratch_path(&s, "settings.json"));
    scratch_write(place.path, "{}", 2);
    chmod(place.path, 0000);
    chmod(s.path, 0755);
    assert_true(scratch_in_child(is_refused_unreadable, &place));
}

struct hooks {
    int64_t applied; /* what "elsewhere" has */
    unsigned checks, changes;
};

static int check_ttl(const struct obs_settings_view *next, void *userdata,
                     struct obs_reason *reterr_reason)
{
    struct hooks *hooks = userdata;

    hooks->checks++;
    if (obs_setting_int(next, EXAMPLE_TTL) == 13) {
        obs_reason_set(reterr_reason, "13 brings bad luck");
        return OBS_SETTINGS_REFUSED;
    }
    hooks->applied = obs_setting_int(next, EXAMPLE_TTL);
    return 0;
}

static void note_change(const struct obs_settings_view *view, void *userdata)
{
    ((struct hooks *)userdata)->changes++;
}

static void a_check_may_refuse_and_changes_are_told(void **state)
{
    SETTINGS *settings = open_at(NULL);
    struct hooks hooks = {0};
    struct obs_reason why = {0};

    obs_settings_on_change(settings, check_ttl, note_change, &hooks);
    assert_int_equal(change(settings, obs_settings_merge, "{\"cache.ttl\":13}", &why),
                     OBS_SETTINGS_REFUSED);
    assert_string_equal(why.text, "13 brings bad luck");
    assert_int_equal(int_of(settings, EXAMPLE_TTL), 60);
    assert_int_equal(hooks.changes, 0);
    assert_int_equal(merge(settings, "{\"cache.ttl\":14}"), 0);
    assert_int_equal(hooks.applied, 14);
    assert_int_equal(hooks.changes, 1);
    assert_int_equal(merge(settings, "{\"cache.ttl\":14}"), 0); /* no change, nothing to tell */
    assert_int_equal(hooks.changes, 1);
    assert_int_equal(hooks.checks, 2);
}

static bool full_disk_changes_nothing(void *userdata)
{
    struct place *place = userdata;
    struct obs_settings *settings = NULL;
    struct hooks hooks = {0};
    struct obs_reason why = {0};
    OBS_JSON good = json_pack("{s:i}", "cache.ttl", 30);
    OBS_JSON late = json_pack("{s:i}", "cache.ttl", 31);
    int expected = scratch_fill_disk(place->folder, 16384);
    bool ok = obs_settings_open(&example_schema, place->path, &settings, &why) == 0 &&
              obs_settings_merge(settings, good, &why) == 0;

    if (expected == ENOSPC) { /* somebody else fills the small disk */
        char other[160], page[16384] = {0};
        int fd;

        snprintf(other, sizeof(other), "%s/other", place->folder);
        fd = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        while (fd >= 0 && write(fd, page, sizeof(page)) > 0)
            ;
    } else { /* the limit on file sizes cannot be raised again: make it bite at once */
        ok = ok && setrlimit(RLIMIT_FSIZE, &(struct rlimit){1, 1}) == 0;
    }
    obs_settings_on_change(settings, check_ttl, note_change, &hooks);
    ok = ok && obs_settings_merge(settings, late, &why) == -expected &&
         strstr(why.text, place->path) && int_of(settings, EXAMPLE_TTL) == 30 &&
         hooks.changes == 0 && hooks.applied == 30; /* put back elsewhere */
    obs_settings_free(settings);
    return ok && obs_settings_open(&example_schema, place->path, &settings, &why) == 0 &&
           int_of(settings, EXAMPLE_TTL) == 30;
}

static void a_full_disk_changes_nothing(void **state)
{
    SCRATCH s = scratch_new();
    struct place place;

    strcpy(place.folder, scratch_path(&s, "disk"));
    strcpy(place.path, scratch_path(&s, "disk/settings.json"));
    assert_int_equal(mkdir(place.folder, 0700), 0);
    assert_true(scratch_in_child(full_disk_changes_nothing, &place));
}

static void a_view_keeps_its_values_and_outlives_the_settings(void **state)
{
    struct obs_settings *settings = open_at(NULL);
    const struct obs_settings_view *before;

    assert_int_equal(merge(settings, "{\"greeting\":\"before\"}"), 0);
    before = obs_settings_acquire(settings);
    assert_int_equal(merge(settings, "{\"greeting\":\"after\"}"), 0);
    obs_settings_free(settings);
    assert_string_equal(obs_setting_text(before, EXAMPLE_GREETING), "before");
    obs_settings_release(before);
    obs_settings_release(NULL);
    assert_null(obs_settings_free(NULL));
}

static void tells_what_was_changed_and_what_waits_for_a_restart(void **state)
{
    SETTINGS *settings = open_at(NULL);

    assert_int_equal(merge(settings, "{\"server.backlog\":256,\"cache.ttl\":60}"), 0);
    has_settings(
        settings,
        "{\"service\":\"example\",\"version\":\"1.0\",\"settings\":{\"version\":\"1.0\","
        "\"server.workers\":4,\"cache.ttl\":60,\"trace.sample_ratio\":0.25,\"cache.policy\":"
        "\"lru\",\"cache.enabled\":true,\"greeting\":\"hello\",\"server.backlog\":256},"
        "\"changed\":[\"cache.ttl\",\"server.backlog\"],"
        "\"restart_pending\":[\"server.backlog\"]}");
    assert_int_equal(merge(settings, "{\"server.backlog\":null}"), 0);
    assert_int_equal(int_of(settings, EXAMPLE_BACKLOG), 128);
}

static void the_schema_describes_every_row(void **state)
{
    OBS_JSON json = NULL;
    const json_t *rows, *row;

    assert_int_equal(obs_settings_schema_json(&example_schema, &json), 0);
    rows = json_object_get(json, "settings");
    assert_int_equal(json_array_size(rows), example_schema.row_count);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        row = json_array_get(rows, i);
        assert_string_equal(json_string_value(json_object_get(row, "name")), example_rows[i].name);
        assert_non_null(json_object_get(row, "type"));
        assert_non_null(json_object_get(row, "default"));
        assert_non_null(json_object_get(row, "meaning"));
        assert_true(json_is_boolean(json_object_get(row, "needs_restart")));
    }
    row = json_array_get(rows, EXAMPLE_TTL);
    assert_int_equal(json_integer_value(json_object_get(row, "default")), 60);
    assert_int_equal(json_integer_value(json_object_get(row, "minimum")), 1);
    assert_int_equal(json_integer_value(json_object_get(row, "maximum")), 86400);
    assert_null(json_object_get(row, "choices"));
    row = json_array_get(rows, EXAMPLE_POLICY);
    assert_int_equal(json_array_size(json_object_get(row, "choices")), 3);
    assert_null(json_object_get(row, "minimum"));
}

static void a_table_that_contradicts_itself_is_found_at_start(void **state)
{
    struct obs_setting rows[] = {example_rows[0], example_rows[1]};
    struct obs_release releases[] = {{"1.0", {{"server.workers", "65"}}}, {"1.1", {{NULL, NULL}}}};
    struct obs_settings_schema schema = {"bad", rows, 2, releases, 2};
    struct obs_settings *settings = NULL;
    struct obs_reason why = {0};

    assert_int_equal(obs_settings_open(&schema, NULL, &settings, &why), -EINVAL);
    assert_non_null(strstr(why.text, "server.workers"));
    releases[0].values[0].value = "64";
    rows[1].standard = "four";
    schema.release_count = 1; /* 1.1 is a choice without a release: the table's defaults */
    assert_int_equal(obs_settings_open(&schema, NULL, &settings, &why), 0);
    assert_int_equal(merge(settings, "{\"version\":\"1.1\"}"), -EINVAL);
    settings = obs_settings_free(settings);
    schema.rows = rows + 1;
    schema.row_count = 1;
    assert_int_equal(obs_settings_open(&schema, NULL, &settings, &why), -EINVAL);
}

/* ---- threads and kills ---- */

static struct {
    struct obs_settings *settings;
    atomic_bool stop;
    atomic_uint mixed;
} race;

static void *read_pairs(void *userdata)
{
    while (!atomic_load(&race.stop)) {
        const struct obs_settings_view *view = obs_settings_acquire(race.settings);
        char text[32];

        snprintf(text, sizeof(text), "%d", (int)obs_setting_int(view, EXAMPLE_TTL));
        if (strcmp(text, obs_setting_text(view, EXAMPLE_GREETING)) != 0)
            atomic_fetch_add(&race.mixed, 1);
        obs_settings_release(view);
    }
    return NULL;
}

static void *write_pairs(void *userdata)
{
    for (int i = 1; i <= 500; i++) {
        OBS_JSON json = json_pack("{s:i, s:o}", "cache.ttl", i, "greeting", json_sprintf("%d", i));

        obs_settings_merge(race.settings, json, NULL);
    }
    return NULL;
}

static void readers_never_see_half_a_change(void **state)
{
    SETTINGS *settings = open_at(NULL);
    pthread_t readers[2], writers[2];

    race.settings = settings;
    atomic_store(&race.stop, false);
    assert_int_equal(merge(settings, "{\"cache.ttl\":7,\"greeting\":\"7\"}"), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_pairs, NULL), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_pairs, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    atomic_store(&race.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(atomic_load(&race.mixed), 0);
    assert_int_equal(int_of(settings, EXAMPLE_TTL), 500);
}

/* Changes settings for ever; says on @ack which change was acknowledged. */
static _Noreturn void change_for_ever(const char *path, int ack)
{
    struct obs_settings *settings = NULL;

    if (obs_settings_open(&example_schema, path, &settings, NULL) != 0)
        _exit(1);
    for (int i = (int)int_of(settings, EXAMPLE_TTL) + 1; i < 86400; i++) {
        OBS_JSON json = json_pack("{s:i, s:o}", "cache.ttl", i, "greeting", json_sprintf("%d", i));

        if (obs_settings_merge(settings, json, NULL) != 0 || write(ack, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
    _exit(0);
}

static void kill_9_loses_nothing_that_was_acknowledged(void **state)
{
    SCRATCH s = scratch_new();
    char path[128];
    int last = 0;

    strcpy(path, scratch_path(&s, "settings.json"));
    for (int round = 0; round < 15; round++) {
        int fds[2], status, got;
        const struct obs_settings_view *view;
        char text[32];
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        fflush(stdout);
        pid = fork();
        if (pid == 0)
            change_for_ever(path, fds[1]);
        close(fds[1]);
        for (int i = 0; i <= round % 5; i++)
            assert_int_equal(read(fds[0], &last, sizeof(last)), sizeof(last));
        usleep((useconds_t)(round * 37 % 400)); /* somewhere inside the next write */
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(fds[0], &got, sizeof(got)) == sizeof(got))
            last = got;
        close(fds[0]);

        SETTINGS *settings = open_at(path);

        view = obs_settings_acquire(settings);
        assert_in_range(obs_setting_int(view, EXAMPLE_TTL), last, last + 1);
        snprintf(text, sizeof(text), "%d", (int)obs_setting_int(view, EXAMPLE_TTL));
        assert_string_equal(obs_setting_text(view, EXAMPLE_GREETING), text);
        obs_settings_release(view);
        assert_int_equal(scratch_count(s.path), 1); /* what the killed writer left is swept */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_with_the_tables_defaults),
        cmocka_unit_test(merge_changes_what_it_names),
        cmocka_unit_test(null_replace_and_reset_go_back_to_defaults),
        cmocka_unit_test(a_release_brings_its_own_defaults_below_the_operators),
        cmocka_unit_test(a_refusal_names_field_value_and_range_and_changes_nothing),
        cmocka_unit_test(ranges_include_their_ends),
        cmocka_unit_test(names_too_long_or_nested_too_deep_are_unknown),
        cmocka_unit_test(keeps_only_the_operators_values_over_a_restart),
        cmocka_unit_test(a_damaged_state_file_is_refused_with_its_path),
        cmocka_unit_test(a_state_file_of_another_user_is_refused),
        cmocka_unit_test(a_full_disk_changes_nothing),
        cmocka_unit_test(a_check_may_refuse_and_changes_are_told),
        cmocka_unit_test(a_view_keeps_its_values_and_outlives_the_settings),
        cmocka_unit_test(tells_what_was_changed_and_what_waits_for_a_restart),
        cmocka_unit_test(the_schema_describes_every_row),
        cmocka_unit_test(a_table_that_contradicts_itself_is_found_at_start),
        cmocka_unit_test(readers_never_see_half_a_change),
        cmocka_unit_test(kill_9_loses_nothing_that_was_acknowledged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
