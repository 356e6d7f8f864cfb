#include "support/test.h"

#include "cli/paths.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/test-paths-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/run-dir", folder);
    (void)unlink(path);
    return rmdir(folder);
}

static void hashes_as_sha256sum_does(void **state)
{
    char hash[9];

    paths_hash("/work", hash);
    assert_string_equal(hash, "0c9a453f");
}

static void takes_the_folder_that_is_given(void **state)
{
    struct paths paths;
    char with_slash[80], dist[80];

    (void)snprintf(with_slash, sizeof(with_slash), "%s/", folder);
    (void)snprintf(dist, sizeof(dist), "%s/dist", folder);
    assert_int_equal(paths_find(with_slash, &paths, NULL), PATHS_OK);
    assert_string_equal(paths.state, folder);
    assert_string_equal(paths.dist, dist);
}

static void gives_two_folders_two_run_folders(void **state)
{
    struct paths a, b;

    assert_int_equal(paths_find("/tmp/one", &a, NULL), PATHS_OK);
    assert_int_equal(paths_find("/tmp/two", &b, NULL), PATHS_OK);
    assert_string_not_equal(a.run, b.run);
}

static void keeps_to_the_run_folder_that_was_noted(void **state)
{
    struct paths paths;
    char path[96];
    FILE *note;

    (void)snprintf(path, sizeof(path), "%s/run-dir", folder);
    note = fopen(path, "w");
    assert_non_null(note);
    fputs("/tmp/noted\n", note);
    assert_int_equal(fclose(note), 0);
    assert_int_equal(paths_find(folder, &paths, NULL), PATHS_OK);
    assert_string_equal(paths.run, "/tmp/noted");
}

static void refuses_paths_that_configuration_cannot_hold(void **state)
{
    struct obs_reason why = {0};
    struct paths paths;
    char longest[400];

    assert_int_equal(paths_find("relative/path", &paths, &why), PATHS_REFUSED);
    assert_non_null(strstr(why.text, "absolute"));
    assert_int_equal(paths_find("/tmp/with space", &paths, &why), PATHS_REFUSED);
    assert_int_equal(paths_find("/tmp/a;b", &paths, &why), PATHS_REFUSED);
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(paths_find(longest, &paths, &why), PATHS_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_as_sha256sum_does),
        cmocka_unit_test(takes_the_folder_that_is_given),
        cmocka_unit_test(gives_two_folders_two_run_folders),
        cmocka_unit_test(keeps_to_the_run_folder_that_was_noted),
        cmocka_unit_test(refuses_paths_that_configuration_cannot_hold),
    };

    return cmocka_run_group_tests_name("cli/paths", tests, make_folder, remove_folder);
}
