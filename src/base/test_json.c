#include "support/test.h"

#include "base/json.h"
#include <errno.h>
#include <string.h>

#define BUFFER OBS_CLEANUP(obs_buffer_done) struct obs_buffer

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    struct obs_reason why = {0};

    if (obs_json_parse(text, strlen(text), &json, &why) != 0)
        fail_msg("%s", why.text);
    return json;
}

static void what_is_read_is_written_the_same(void **state)
{
    static const char *const same[] = {"{}",
                                       "[]",
                                       "null",
                                       "true",
                                       "-12",
                                       "\"a\\\"b\"",
                                       "0.2",
                                       "1e+300",
                                       "{\"a\":[1,2.5,{\"b\":null}],\"c\":false}",
                                       "9223372036854775807",
                                       "1.0"};

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        OBS_JSON json = parse(same[i]);
        BUFFER b = OBS_BUFFER_INIT(1000);

        assert_int_equal(obs_json_emit(json, &b), 0);
        assert_string_equal(b.data, same[i]);
    }
}

static void refuses_what_is_not_strict_json(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "{\"a\":1,}",
                                      "{'a':1}",
                                      "[1] x",
                                      "{a:1}",
                                      "[01]",
                                      "[1.]",
                                      "[NaN]",
                                      "\"\xff\"",
                                      "{\"a\":1,\"a\":2}",
                                      "[99999999999999999999]",
                                      "[1e999]",
                                      "\"\\u0000\"",
                                      "\"\\ud800\"",
                                      "// c\n1",
                                      "[1 2]",
                                      "\"a\nb\""};
    json_t *json = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct obs_reason why = {0};

        if (obs_json_parse(bad[i], strlen(bad[i]), &json, &why) != OBS_JSON_REFUSED)
            fail_msg("not refused: %s", bad[i]);
        assert_true(strlen(why.text) > 0);
        assert_true(why.line >= 1 && why.column >= 1);
    }
    assert_null(json);
    assert_int_equal(obs_json_parse("1\0", 2, &json, NULL), OBS_JSON_REFUSED);
    assert_int_equal(obs_json_parse(NULL, 0, &json, NULL), OBS_JSON_REFUSED);
}

static void says_where_the_mistake_is(void **state)
{
    json_t *json = NULL;
    struct obs_reason why = {0};
    const char *text = "{\n  \"a\": 1,\n  \"b\": oops\n}";

    assert_int_equal(obs_json_parse(text, strlen(text), &json, &why), OBS_JSON_REFUSED);
    assert_int_equal(why.line, 3);
    assert_in_range(why.column, 8, 12);
}

static void takes_128_levels_and_no_more(void **state)
{
    char text[300];
    struct obs_reason why = {0};
    json_t *json = NULL;

    memset(text, '[', 128);
    memset(text + 128, ']', 128);
    assert_int_equal(obs_json_parse(text, 256, &json, &why), 0);
    json_decref(json);
    memset(text, '[', 129);
    memset(text + 129, ']', 129);
    assert_int_equal(obs_json_parse(text, 258, &json, &why), OBS_JSON_REFUSED);
    assert_non_null(strstr(why.text, "128"));
    assert_int_equal(why.column, 129);
    json = parse("[\"[[[[\\\"[[[[\", \"]\"]"); /* brackets in texts are no levels */
    json_decref(json);
}

static void integers_are_checked_by_type_and_range(void **state)
{
    OBS_JSON json = parse("{\"quantity\":0,\"text\":\"5\",\"real\":5.0,\"big\":99,\"null\":null}");
    struct obs_reason why = {0};
    int64_t value = 7;

    assert_int_equal(obs_json_get_int(json, "big", 1, 99, &value, &why), 0);
    assert_int_equal(value, 99);
    assert_int_equal(obs_json_get_int(json, "quantity", 1, 99, &value, &why), OBS_JSON_REFUSED);
    assert_string_equal(why.text, "\"quantity\" is 0: expected an integer from 1 to 99");
    assert_int_equal(obs_json_get_int(json, "text", 1, 99, &value, &why), OBS_JSON_REFUSED);
    assert_string_equal(why.text, "\"text\" is \"5\": expected an integer from 1 to 99");
    assert_int_equal(obs_json_get_int(json, "real", 1, 99, &value, &why), OBS_JSON_REFUSED);
    assert_int_equal(obs_json_get_int(json, "none", 1, 99, &value, &why), OBS_JSON_REFUSED);
    assert_string_equal(why.text, "\"none\" is missing: expected an integer from 1 to 99");
    assert_int_equal(obs_json_opt_int(json, "none", 1, 99, &value, &why), 0);
    assert_int_equal(obs_json_opt_int(json, "null", 1, 99, &value, &why), OBS_JSON_REFUSED);
    assert_int_equal(obs_json_opt_int(json, "quantity", 1, 99, &value, &why), OBS_JSON_REFUSED);
    assert_int_equal(value, 99);
}

static void texts_are_checked_by_type_and_size(void **state)
{
    OBS_JSON json = parse("{\"name\":\"abcde\",\"n\":1}");
    struct obs_reason why = {0};
    const char *value = "kept";

    assert_int_equal(obs_json_get_text(json, "name", 4, &value, &why), OBS_JSON_REFUSED);
    assert_string_equal(why.text, "\"name\" is \"abcde\": expected a text of at most 4 bytes");
    assert_int_equal(obs_json_get_text(json, "n", 4, &value, &why), OBS_JSON_REFUSED);
    assert_int_equal(obs_json_opt_text(json, "none", 4, &value, &why), 0);
    assert_string_equal(value, "kept");
    assert_int_equal(obs_json_get_text(json, "name", 5, &value, &why), 0);
    assert_string_equal(value, "abcde");
}

static void booleans_are_true_or_false(void **state)
{
    OBS_JSON json = parse("{\"yes\":true,\"no\":false,\"one\":1}");
    struct obs_reason why = {0};
    bool value = true;

    assert_int_equal(obs_json_opt_bool(json, "none", &value, &why), 0);
    assert_true(value);
    assert_int_equal(obs_json_opt_bool(json, "no", &value, &why), 0);
    assert_false(value);
    assert_int_equal(obs_json_opt_bool(json, "one", &value, &why), OBS_JSON_REFUSED);
    assert_string_equal(why.text, "\"one\" is 1: expected true or false");
}

static void fields_of_what_is_no_object_are_refused(void **state)
{
    OBS_JSON json = parse("[1]");
    struct obs_reason why = {0};
    const char *text = NULL;
    int64_t number = 0;
    bool boolean;

    assert_int_equal(obs_json_get_text(json, "a", 9, &text, &why), OBS_JSON_REFUSED);
    assert_string_equal(why.text, "the value is an array: expected an object");
    assert_int_equal(obs_json_opt_text(json, "a", 9, &text, &why), OBS_JSON_REFUSED);
    assert_int_equal(obs_json_opt_int(json, "a", 0, 9, &number, &why), OBS_JSON_REFUSED);
    assert_int_equal(obs_json_opt_bool(json, "a", &boolean, &why), OBS_JSON_REFUSED);
    assert_int_equal(obs_json_only(json, (const char *const[]){NULL}, &why), OBS_JSON_REFUSED);
    assert_int_equal(obs_json_get_int(NULL, "a", 0, 9, &number, NULL), OBS_JSON_REFUSED);
}

static void unknown_members_are_refused_by_name(void **state)
{
    static const char *const names[] = {"a", "b", NULL};
    OBS_JSON good = parse("{\"b\":1}");
    OBS_JSON bad = parse("{\"b\":1,\"c\":2}");
    struct obs_reason why = {0};

    assert_int_equal(obs_json_only(good, names, &why), 0);
    assert_int_equal(obs_json_only(bad, names, &why), OBS_JSON_REFUSED);
    assert_string_equal(why.text, "\"c\" is unknown: expected only a, b");
}

static void long_values_are_cut_when_shown(void **state)
{
    OBS_JSON json = json_sprintf("%0200d\n", 0);
    char out[OBS_JSON_SHOWN_SIZE];

    assert_int_equal(strlen(obs_json_show(json, out)), OBS_JSON_SHOWN_SIZE - 1);
    assert_string_equal(out + OBS_JSON_SHOWN_SIZE - 5, "...\"");
    assert_string_equal(obs_json_show(NULL, out), "missing");
}

static void what_does_not_fit_is_not_written_at_all(void **state)
{
    OBS_JSON json = parse("{\"a\":[1,2,3],\"b\":\"text\"}");
    const size_t size = strlen("{\"a\":[1,2,3],\"b\":\"text\"}");

    for (size_t limit = 3; limit < size + 6; limit++) {
        BUFFER b = OBS_BUFFER_INIT(limit);

        assert_int_equal(obs_buffer_append_text(&b, "old"), 0);
        assert_int_equal(obs_json_emit(json, &b), limit >= size + 3 ? 0 : -EMSGSIZE);
        assert_int_equal(b.size, limit >= size + 3 ? size + 3 : 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_written_the_same),
        cmocka_unit_test(refuses_what_is_not_strict_json),
        cmocka_unit_test(says_where_the_mistake_is),
        cmocka_unit_test(takes_128_levels_and_no_more),
        cmocka_unit_test(integers_are_checked_by_type_and_range),
        cmocka_unit_test(texts_are_checked_by_type_and_size),
        cmocka_unit_test(booleans_are_true_or_false),
        cmocka_unit_test(fields_of_what_is_no_object_are_refused),
        cmocka_unit_test(unknown_members_are_refused_by_name),
        cmocka_unit_test(long_values_are_cut_when_shown),
        cmocka_unit_test(what_does_not_fit_is_not_written_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
