#include "support/test.h"

#include "cli/suggest.h"

static const char *const WORDS[] = {"up", "down", "status", "logs", "doctor", "config", "restart"};
#define COUNT (sizeof(WORDS) / sizeof(WORDS[0]))

static void counts_edits(void **state)
{
    assert_int_equal(suggest_distance("logs", "logs"), 0);
    assert_int_equal(suggest_distance("logs", "log"), 1);
    assert_int_equal(suggest_distance("", "logs"), 4);
    assert_int_equal(suggest_distance("kitten", "sitting"), 3);
}

static void takes_swapped_letters_as_one_edit(void **state)
{
    assert_int_equal(suggest_distance("stauts", "status"), 1);
    assert_int_equal(suggest_distance("ab", "ba"), 1);
}

static void finds_what_was_meant(void **state)
{
    assert_string_equal(suggest_nearest("stat", WORDS, COUNT), "status");
    assert_string_equal(suggest_nearest("dwon", WORDS, COUNT), "down");
    assert_string_equal(suggest_nearest("confg", WORDS, COUNT), "config");
}

static void suggests_nothing_for_another_word(void **state)
{
    assert_null(suggest_nearest("xyzzy-plugh", WORDS, COUNT));
    assert_null(
        suggest_nearest("a-word-that-is-far-longer-than-any-verb-could-ever-be", WORDS, COUNT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_edits),
        cmocka_unit_test(takes_swapped_letters_as_one_edit),
        cmocka_unit_test(finds_what_was_meant),
        cmocka_unit_test(suggests_nothing_for_another_word),
    };

    return cmocka_run_group_tests_name("cli/suggest", tests, NULL, NULL);
}
