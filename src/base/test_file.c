#include "support/test.h"

#include "base/file.h"
#include "support/scratch.h"
#include <pthread.h>

#define BUFFER OBS_CLEANUP(obs_buffer_done) struct obs_buffer

static void reads_back_what_was_written(void **state)
{
    SCRATCH s = scratch_new();
    BUFFER b = OBS_BUFFER_INIT(1000);
    struct stat st;

    assert_int_equal(obs_file_write_atomic(scratch_path(&s, "f"), "one\0two", 7, 0640, NULL), 0);
    assert_int_equal(obs_file_write_atomic(scratch_path(&s, "g"), NULL, 0, 0600, NULL), 0);
    assert_int_equal(obs_buffer_append_text(&b, "before:"), 0);
    assert_int_equal(obs_file_read(scratch_path(&s, "f"), &b), 0);
    assert_int_equal(obs_file_read(scratch_path(&s, "g"), &b), 0);
    assert_int_equal(b.size, 14);
    assert_memory_equal(b.data, "before:one\0two", 15);
    assert_int_equal(stat(scratch_path(&s, "f"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(scratch_count(s.path), 2); /* no temporary files */
}

static void sets_the_mode_whatever_the_umask(void **state)
{
    SCRATCH s = scratch_new();
    mode_t before = umask(0077);
    struct stat st;

    assert_int_equal(obs_file_write_atomic(scratch_path(&s, "f"), "x", 1, 0644, NULL), 0);
    umask(before);
    assert_int_equal(stat(scratch_path(&s, "f"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
}

static void a_file_fits_up_to_the_buffers_limit(void **state)
{
    SCRATCH s = scratch_new();
    char data[100000];

    memset(data, 'x', sizeof(data));
    scratch_write(scratch_path(&s, "f"), data, sizeof(data));
    for (size_t limit = sizeof(data); limit <= sizeof(data) + 4; limit++) {
        BUFFER b = OBS_BUFFER_INIT(limit);

        obs_buffer_append_text(&b, "old");
        assert_int_equal(obs_file_read(scratch_path(&s, "f"), &b),
                         limit >= sizeof(data) + 3 ? 0 : -EMSGSIZE);
        assert_int_equal(b.size, b.error ? 3 : sizeof(data) + 3);
    }
}

static void says_why_a_file_cannot_be_read(void **state)
{
    SCRATCH s = scratch_new();
    BUFFER b = OBS_BUFFER_INIT(1000);

    assert_int_equal(obs_file_read(scratch_path(&s, "missing"), &b), -ENOENT);
    assert_int_equal(obs_file_read(s.path, &b), -EISDIR);
    assert_int_equal(b.size, 0);
    assert_int_equal(b.error, 0); /* the buffer is not to blame */
}

struct full {
    struct scratch *s;
    char path[128], folder[128];
};

static bool full_disk_leaves_the_old_content(void *userdata)
{
    struct full *full = userdata;
    BUFFER b = OBS_BUFFER_INIT(1000000);
    static char large[500000];
    struct obs_reason why = {0};
    int expected = scratch_fill_disk(full->folder, 65536);

    return obs_file_write_atomic(full->path, "old", 3, 0600, &why) == 0 &&
           obs_file_write_atomic(full->path, large, sizeof(large), 0600, &why) == -expected &&
           strstr(why.text, full->path) && strstr(why.text, strerrordesc_np(expected)) &&
           obs_file_read(full->path, &b) == 0 && strcmp(b.data, "old") == 0 &&
           scratch_count(full->folder) == 1;
}

static void a_full_disk_changes_nothing_and_says_so(void **state)
{
    SCRATCH s = scratch_new();
    struct full full = {.s = &s};

    strcpy(full.folder, scratch_path(&s, "disk"));
    strcpy(full.path, scratch_path(&s, "disk/f"));
    assert_int_equal(mkdir(full.folder, 0700), 0);
    assert_true(scratch_in_child(full_disk_leaves_the_old_content, &full));
}

static bool is_refused_without_permission(void *userdata)
{
    struct full *full = userdata;
    struct obs_reason why = {0};

    return scratch_become_nobody() &&
           obs_file_write_atomic(full->path, "new", 3, 0600, &why) == -EACCES &&
           strstr(why.text, full->path) && strstr(why.text, "ermission");
}

static void a_forbidden_folder_changes_nothing_and_says_so(void **state)
{
    SCRATCH s = scratch_new();
    BUFFER b = OBS_BUFFER_INIT(100);
    struct full full = {0};

    strcpy(full.path, scratch_path(&s, "f"));
    scratch_write(full.path, "old", 3);
    chmod(s.path, 0555);
    assert_true(scratch_in_child(is_refused_without_permission, &full));
    assert_int_equal(obs_file_read(full.path, &b), 0);
    assert_string_equal(b.data, "old");
    assert_int_equal(scratch_count(s.path), 1);
}

static void a_missing_folder_is_an_error(void **state)
{
    SCRATCH s = scratch_new();
    struct obs_reason why = {0};

    assert_int_equal(obs_file_write_atomic(scratch_path(&s, "no/f"), "x", 1, 0600, &why), -ENOENT);
    assert_true(strlen(why.text) > 0);
    assert_int_equal(mkdir(scratch_path(&s, "d"), 0700), 0); /* a folder is in the file's place */
    assert_true(obs_file_write_atomic(scratch_path(&s, "d"), "x", 1, 0600, &why) < 0);
    assert_int_equal(scratch_count(s.path), 1);
}

#define WRITERS 4
#define ROUNDS 40

static void *write_often(void *userdata)
{
    char data[3000];

    for (int i = 0; i < ROUNDS; i++) {
        memset(data, 'a' + i % 26, sizeof(data));
        if (obs_file_write_atomic(userdata, data, sizeof(data), 0600, NULL) != 0)
            return userdata;
    }
    return NULL;
}

static void readers_see_one_writers_content_never_a_mix(void **state)
{
    SCRATCH s = scratch_new();
    pthread_t writers[WRITERS];
    char path[128], data[3000];
    void *failed = NULL;

    strcpy(path, scratch_path(&s, "f"));
    memset(data, 'a', sizeof(data));
    scratch_write(path, data, sizeof(data));
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_often, path), 0);
    for (int i = 0; i < 300; i++) {
        BUFFER b = OBS_BUFFER_INIT(10000);

        assert_int_equal(obs_file_read(path, &b), 0);
        assert_int_equal(b.size, sizeof(data));
        for (size_t at = 1; at < b.size; at++)
            if (b.data[at] != b.data[0])
                fail_msg("two contents in one file");
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(scratch_count(s.path), 1);
}

static void sweeps_what_killed_writers_left(void **state)
{
    SCRATCH s = scratch_new();

    scratch_write(scratch_path(&s, "f"), "x", 1);
    scratch_write(scratch_path(&s, "f.tmp-123"), "x", 1);
    scratch_write(scratch_path(&s, "f.tmp-99999"), "x", 1);
    scratch_write(scratch_path(&s, "g.tmp-123"), "x", 1);
    scratch_write(scratch_path(&s, "f.txt"), "x", 1);
    obs_file_sweep(scratch_path(&s, "f"));
    assert_int_equal(access(scratch_path(&s, "f"), F_OK), 0);
    assert_int_equal(access(scratch_path(&s, "g.tmp-123"), F_OK), 0);
    assert_int_equal(access(scratch_path(&s, "f.txt"), F_OK), 0);
    assert_int_equal(scratch_count(s.path), 3);
    obs_file_sweep("/nonexistent/f");
}

static void makes_missing_folders(void **state)
{
    SCRATCH s = scratch_new();
    struct stat st;

    assert_int_equal(obs_file_mkdirs(scratch_path(&s, "a/b//c/"), 0700), 0);
    assert_int_equal(stat(scratch_path(&s, "a/b/c"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    chmod(scratch_path(&s, "a"), 0750);
    assert_int_equal(obs_file_mkdirs(scratch_path(&s, "a/b"), 0700), 0);
    assert_int_equal(stat(scratch_path(&s, "a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750); /* left as it was */
    scratch_write(scratch_path(&s, "file"), "x", 1);
    assert_int_equal(obs_file_mkdirs(scratch_path(&s, "file"), 0700), -ENOTDIR);
    assert_int_equal(obs_file_mkdirs(scratch_path(&s, "file/x"), 0700), -ENOTDIR);
    assert_int_equal(obs_file_mkdirs("", 0700), -ENOENT);
    assert_int_equal(obs_file_mkdirs("/", 0700), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_what_was_written),
        cmocka_unit_test(sets_the_mode_whatever_the_umask),
        cmocka_unit_test(a_file_fits_up_to_the_buffers_limit),
        cmocka_unit_test(says_why_a_file_cannot_be_read),
        cmocka_unit_test(a_full_disk_changes_nothing_and_says_so),
        cmocka_unit_test(a_forbidden_folder_changes_nothing_and_says_so),
        cmocka_unit_test(a_missing_folder_is_an_error),
        cmocka_unit_test(readers_see_one_writers_content_never_a_mix),
        cmocka_unit_test(sweeps_what_killed_writers_left),
        cmocka_unit_test(makes_missing_folders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
