#include "support/test.h"

#include "base/buffer.h"
#include <errno.h>
#include <string.h>

#define BUFFER OBS_CLEANUP(obs_buffer_done) struct obs_buffer

static void holds_what_was_appended(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(1000);

    assert_null(b.data);
    assert_int_equal(obs_buffer_append_text(&b, "one "), 0);
    assert_int_equal(obs_buffer_append(&b, "two\0three", 9), 0);
    assert_int_equal(obs_buffer_append_char(&b, '!'), 0);
    assert_int_equal(obs_buffer_printf(&b, " %d%s", 4, "."), 0);
    assert_int_equal(b.size, 17);
    assert_memory_equal(b.data, "one two\0three! 4.", 18); /* with the NUL */
}

static void grows_to_its_limit_and_not_one_byte_further(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(5000);

    for (int i = 0; i < 5000; i++)
        assert_int_equal(obs_buffer_append_char(&b, 'x'), 0);
    assert_int_equal(obs_buffer_append_char(&b, 'x'), -EMSGSIZE);
    assert_int_equal(b.size, 5000);
    assert_true(b.capacity <= 5001);
    assert_int_equal(b.data[5000], '\0');
}

static void a_failed_append_changes_nothing_and_sticks(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(10);

    assert_int_equal(obs_buffer_append_text(&b, "12345678"), 0);
    assert_int_equal(obs_buffer_append_text(&b, "abc"), -EMSGSIZE);
    assert_string_equal(b.data, "12345678");
    assert_int_equal(obs_buffer_append_text(&b, "a"), -EMSGSIZE); /* would fit, comes too late */
    assert_int_equal(obs_buffer_printf(&b, "a"), -EMSGSIZE);
    assert_int_equal(obs_buffer_append_json(&b, "", 0), -EMSGSIZE);
    assert_string_equal(b.data, "12345678");
    assert_int_equal(b.error, -EMSGSIZE);
    obs_buffer_clear(&b);
    assert_int_equal(obs_buffer_append_text(&b, "1234567890"), 0);
    assert_string_equal(b.data, "1234567890");
}

static void a_failed_printf_leaves_the_old_text(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(300);

    assert_int_equal(obs_buffer_append_text(&b, "old"), 0);
    assert_int_equal(obs_buffer_printf(&b, "%0298d", 1), -EMSGSIZE);
    assert_string_equal(b.data, "old");
    assert_int_equal(b.size, 3);
}

static void prints_text_longer_than_its_memory(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(10000);

    assert_int_equal(obs_buffer_append_text(&b, "n="), 0);
    assert_int_equal(obs_buffer_printf(&b, "%05000d", 7), 0);
    assert_int_equal(b.size, 5002);
    assert_int_equal(b.data[5001], '7');
}

static void escapes_json_and_repairs_bad_utf8(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(1000);
    const char text[] = "a\"b\\c\n\t\x01\xC3\xA9\xFF\xC3z/\x7F";

    assert_int_equal(obs_buffer_append_json(&b, text, sizeof(text) - 1), 0);
    assert_string_equal(b.data,
                        "\"a\\\"b\\\\c\\n\\t\\u0001\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBDz/\\u007f\"");
    obs_buffer_clear(&b);
    assert_int_equal(obs_buffer_append_json(&b, "\0", 1), 0);
    assert_string_equal(b.data, "\"\\u0000\"");
    obs_buffer_clear(&b);
    assert_int_equal(obs_buffer_append_json(&b, NULL, 0), 0);
    assert_string_equal(b.data, "\"\"");
}

static void json_fits_exactly_or_is_not_there_at_all(void **state)
{
    char quotes[500];

    memset(quotes, '"', sizeof(quotes));
    for (size_t limit = 995; limit < 1010; limit++) {
        BUFFER b = OBS_BUFFER_INIT(limit);
        int expected = limit >= 3 + 1002 ? 0 : -EMSGSIZE;

        assert_int_equal(obs_buffer_append_text(&b, "abc"), 0);
        assert_int_equal(obs_buffer_append_json(&b, quotes, sizeof(quotes)), expected);
        assert_int_equal(b.size, expected == 0 ? 1005 : 3);
        assert_int_equal(b.data[b.size], '\0');
    }
}

static void gives_room_to_write_into(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(100);
    char *space;

    assert_int_equal(obs_buffer_reserve(&b, 100, &space), 0);
    memcpy(space, "hello", 5);
    obs_buffer_added(&b, 5);
    assert_string_equal(b.data, "hello");
    assert_int_equal(obs_buffer_reserve(&b, 96, &space), -EMSGSIZE);
}

static void drops_bytes_from_the_front(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(100);

    obs_buffer_consume(&b, 0);
    assert_int_equal(obs_buffer_append_text(&b, "abcdef"), 0);
    obs_buffer_consume(&b, 4);
    assert_string_equal(b.data, "ef");
    obs_buffer_consume(&b, 2);
    assert_int_equal(b.size, 0);
    assert_int_equal(obs_buffer_append_text(&b, "g"), 0);
    assert_string_equal(b.data, "g");
}

static void is_good_again_after_done(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4);

    assert_int_equal(obs_buffer_append_text(&b, "12345"), -EMSGSIZE);
    obs_buffer_done(&b);
    assert_int_equal(obs_buffer_append_text(&b, "1234"), 0);
    assert_int_equal(b.limit, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_was_appended),
        cmocka_unit_test(grows_to_its_limit_and_not_one_byte_further),
        cmocka_unit_test(a_failed_append_changes_nothing_and_sticks),
        cmocka_unit_test(a_failed_printf_leaves_the_old_text),
        cmocka_unit_test(prints_text_longer_than_its_memory),
        cmocka_unit_test(escapes_json_and_repairs_bad_utf8),
        cmocka_unit_test(json_fits_exactly_or_is_not_there_at_all),
        cmocka_unit_test(gives_room_to_write_into),
        cmocka_unit_test(drops_bytes_from_the_front),
        cmocka_unit_test(is_good_again_after_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
