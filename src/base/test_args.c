#include "support/test.h"

#include "base/args.h"
#include "base/cleanup.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { LISTEN, STATE, ENDPOINT, QUIET, ARG_COUNT };

static const struct obs_arg args[ARG_COUNT] = {
    [LISTEN] = {.name = "listen", .value_name = "ADDRESS", .meaning = "where clients connect"},
    [STATE] = {.name = "state", .standard = "/var/lib/x", .value_name = "DIR", .meaning = "state"},
    [ENDPOINT] = {.name = "otlp",
                  .environment = "TEST_ARGS_ENDPOINT",
                  .standard = "",
                  .value_name = "URL",
                  .meaning = "where spans go"},
    [QUIET] = {.name = "quiet",
               .environment = "TEST_ARGS_QUIET",
               .standard = "",
               .is_switch = true,
               .meaning = "say less"},
};

static const char *values[ARG_COUNT];
static struct obs_reason why;
static int rest;

static int forget_environment(void **state)
{
    unsetenv("TEST_ARGS_ENDPOINT");
    unsetenv("TEST_ARGS_QUIET");
    return 0;
}

#define PARSE(...)                                                                                 \
    parse((char *[]){"program", ##__VA_ARGS__, NULL},                                              \
          (int)(sizeof((char *[]){"program", ##__VA_ARGS__}) / sizeof(char *)), &rest)
#define PARSE_NO_REST(...)                                                                         \
    parse((char *[]){"program", ##__VA_ARGS__, NULL},                                              \
          (int)(sizeof((char *[]){"program", ##__VA_ARGS__}) / sizeof(char *)), NULL)

static int parse(char *argv[], int argc, int *ret_rest)
{
    memset(&why, 0, sizeof(why));
    return obs_args_parse("program", "does something", args, ARG_COUNT, argc, argv, values,
                          ret_rest, &why);
}

static void reads_both_spellings_and_defaults(void **state)
{
    assert_int_equal(PARSE("--listen", "unix:/x", "--otlp=http://h:1/?a=b"), OBS_ARGS_OK);
    assert_string_equal(values[LISTEN], "unix:/x");
    assert_string_equal(values[STATE], "/var/lib/x");
    assert_string_equal(values[ENDPOINT], "http://h:1/?a=b");
    assert_string_equal(values[QUIET], "");
    assert_int_equal(rest, 4);
    assert_int_equal(PARSE("--listen=", "--quiet"), OBS_ARGS_OK);
    assert_string_equal(values[LISTEN], "");
    assert_string_equal(values[QUIET], "true");
}

static void a_flag_beats_the_environment_beats_the_default(void **state)
{
    setenv("TEST_ARGS_ENDPOINT", "from-environment", 1);
    assert_int_equal(PARSE("--listen", "x"), OBS_ARGS_OK);
    assert_string_equal(values[ENDPOINT], "from-environment");
    assert_int_equal(PARSE("--listen", "x", "--otlp", "from-flag"), OBS_ARGS_OK);
    assert_string_equal(values[ENDPOINT], "from-flag");
    setenv("TEST_ARGS_ENDPOINT", "", 1); /* empty is unset */
    assert_int_equal(PARSE("--listen", "x"), OBS_ARGS_OK);
    assert_string_equal(values[ENDPOINT], "");
}

static void switches_in_the_environment_are_true_or_false(void **state)
{
    setenv("TEST_ARGS_QUIET", "1", 1);
    assert_int_equal(PARSE("--listen", "x"), OBS_ARGS_OK);
    assert_string_equal(values[QUIET], "true");
    assert_int_equal(PARSE("--listen", "x", "--quiet=false"), OBS_ARGS_OK);
    assert_string_equal(values[QUIET], "");
    setenv("TEST_ARGS_QUIET", "maybe", 1);
    assert_int_equal(PARSE("--listen", "x"), OBS_ARGS_REFUSED);
    assert_string_equal(why.text, "TEST_ARGS_QUIET is \"maybe\": expected true or false");
}

static void the_last_of_equal_flags_wins(void **state)
{
    assert_int_equal(PARSE("--listen", "a", "--listen", "b"), OBS_ARGS_OK);
    assert_string_equal(values[LISTEN], "b");
}

static void refusals_name_the_flag_and_what_is_right(void **state)
{
    assert_int_equal(PARSE(), OBS_ARGS_REFUSED);
    assert_string_equal(why.text,
                        "--listen is missing: expected --listen ADDRESS (where clients connect)");
    assert_int_equal(PARSE("--listen"), OBS_ARGS_REFUSED);
    assert_non_null(strstr(why.text, "--listen has no value"));
    assert_int_equal(PARSE("--listen", "--quiet"), OBS_ARGS_REFUSED);
    assert_non_null(strstr(why.text, "--listen has no value"));
    assert_int_equal(PARSE("--listn", "x"), OBS_ARGS_REFUSED);
    assert_string_equal(why.text, "--listn is not a flag: see --help");
    assert_int_equal(PARSE("--lis", "x"), OBS_ARGS_REFUSED); /* no guessing from beginnings */
    assert_int_equal(PARSE("-l", "x"), OBS_ARGS_REFUSED);
    assert_int_equal(PARSE("--=x"), OBS_ARGS_REFUSED);
    assert_int_equal(PARSE("--listen", "x", "--quiet=perhaps"), OBS_ARGS_REFUSED);
}

static void words_end_the_flags(void **state)
{
    assert_int_equal(PARSE("--listen", "x", "migrate", "--quiet"), OBS_ARGS_OK);
    assert_int_equal(rest, 3);
    assert_string_equal(values[QUIET], "");
    assert_int_equal(PARSE("--listen", "x", "--", "--quiet"), OBS_ARGS_OK);
    assert_int_equal(rest, 4);
    assert_string_equal(values[QUIET], "");
    assert_int_equal(PARSE("--listen", "x", "-"), OBS_ARGS_OK);
    assert_int_equal(rest, 3);
    assert_int_equal(PARSE_NO_REST("--listen", "x", "word"), OBS_ARGS_REFUSED);
    assert_string_equal(why.text, "\"word\" is not expected here: see --help");
    assert_int_equal(PARSE_NO_REST("--listen", "x"), OBS_ARGS_OK);
}

/* What `program` prints with @flag. */
static void printed(char *flag, char *out, size_t capacity)
{
    int saved, fds[2], r;
    ssize_t size;

    fflush(stdout);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    dup2(fds[1], STDOUT_FILENO);
    r = PARSE(flag, "--nonsense");
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(fds[1]);
    size = read(fds[0], out, capacity - 1);
    close(fds[0]);
    out[size > 0 ? size : 0] = '\0';
    assert_int_equal(r, OBS_ARGS_HELP);
}

static void help_comes_from_the_table(void **state)
{
    char out[4096];

    printed("--help", out, sizeof(out));
    assert_non_null(strstr(out, "usage: program"));
    assert_non_null(strstr(out, "does something"));
    assert_non_null(strstr(out, "--listen ADDRESS  where clients connect (required)\n"));
    assert_non_null(strstr(out, "--state DIR       state (default: /var/lib/x)\n"));
    assert_non_null(strstr(out, "--otlp URL        where spans go [TEST_ARGS_ENDPOINT]\n"));
    assert_non_null(strstr(out, "--quiet           say less [TEST_ARGS_QUIET]\n"));
    printed("--version", out, sizeof(out));
    assert_int_equal(strncmp(out, "program ", 8), 0);
    assert_in_range(out[8], '0', '9');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(reads_both_spellings_and_defaults, forget_environment),
        cmocka_unit_test_teardown(a_flag_beats_the_environment_beats_the_default,
                                  forget_environment),
        cmocka_unit_test_teardown(switches_in_the_environment_are_true_or_false,
                                  forget_environment),
        cmocka_unit_test_teardown(the_last_of_equal_flags_wins, forget_environment),
        cmocka_unit_test_teardown(refusals_name_the_flag_and_what_is_right, forget_environment),
        cmocka_unit_test_teardown(words_end_the_flags, forget_environment),
        cmocka_unit_test_teardown(help_comes_from_the_table, forget_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
