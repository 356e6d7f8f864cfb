#include "support/test.h"

#include "base/reason.h"
#include "base/text.h"
#include <string.h>

static void keeps_the_text_and_the_place(void **state)
{
    struct obs_reason why = {0};

    obs_reason_set_at(&why, 3, 14, "\"%s\" is %d", "quantity", 0);
    assert_string_equal(why.text, "\"quantity\" is 0");
    assert_int_equal(why.line, 3);
    assert_int_equal(why.column, 14);
    obs_reason_set(&why, "no place");
    assert_int_equal(why.line, 0);
    assert_int_equal(why.column, 0);
}

static void needs_no_reader(void **state)
{
    obs_reason_set(NULL, "unheard");
    obs_reason_set_at(NULL, 1, 1, "unheard");
}

static void is_never_empty(void **state)
{
    struct obs_reason why = {0};

    obs_reason_set(&why, "%s", "");
    assert_true(strlen(why.text) > 0);
}

static void cuts_long_text_between_characters(void **state)
{
    struct obs_reason why;
    char euros[601];

    for (size_t shift = 0; shift < 3; shift++) {
        memset(euros, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof(euros); i += 3)
            memcpy(euros + i, "\xE2\x82\xAC", 4);
        obs_reason_set(&why, "%s", euros);
        assert_in_range(strlen(why.text), sizeof(why.text) - 4, sizeof(why.text) - 1);
        assert_true(obs_text_is_utf8(why.text, strlen(why.text)));
        assert_null(strchr(why.text, '?'));
    }
}

static void shows_foreign_bytes_harmlessly_on_one_line(void **state)
{
    struct obs_reason why;

    obs_reason_set(&why, "a\nb\x1b[31m\xff%c", 0x7F);
    assert_string_equal(why.text, "a?b?[31m??");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_text_and_the_place),
        cmocka_unit_test(needs_no_reader),
        cmocka_unit_test(is_never_empty),
        cmocka_unit_test(cuts_long_text_between_characters),
        cmocka_unit_test(shows_foreign_bytes_harmlessly_on_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
