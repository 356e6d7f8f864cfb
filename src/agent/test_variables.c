#include "support/test.h"

#include "agent/variables.h"
#include <string.h>

static void assert_fills(const struct variables *v, const char *text, const char *expected)
{
    struct obs_buffer b = OBS_BUFFER_INIT(1000);
    struct obs_reason why = {0};

    if (variables_fill(v, text, strlen(text), &b, &why) != 0)
        fail_msg("%s: %s", text, why.text);
    assert_string_equal(b.data, expected);
    obs_buffer_done(&b);
}

static void fills_names_defaults_and_escapes(void **state)
{
    OBS_CLEANUP(variables_freep) struct variables *outer = NULL;
    OBS_CLEANUP(variables_freep) struct variables *inner = NULL;

    assert_int_equal(variables_new(NULL, &outer), 0);
    assert_int_equal(variables_new(outer, &inner), 0);
    assert_int_equal(variables_set(outer, "a", "1", NULL), 0);
    assert_int_equal(variables_set(outer, "b.c-d_e", "2", NULL), 0);
    assert_int_equal(variables_set(inner, "a", "3", NULL), 0);
    assert_fills(outer, "x${a}y${b.c-d_e}", "x1y2");
    assert_fills(inner, "${a}${b.c-d_e}", "32");
    assert_fills(outer, "${z:-}|${z:-text}|${a:-no}", "|text|1");
    assert_fills(outer, "$uri $$ $${a} $", "$uri $$ ${a} $");
    assert_fills(outer, "", "");
}

static void tells_where_a_name_is_missing(void **state)
{
    OBS_CLEANUP(variables_freep) struct variables *v = NULL;
    struct obs_buffer b = OBS_BUFFER_INIT(1000);
    struct obs_reason why = {0};
    const char *text = "one\ntwo ${gone}\n";

    assert_int_equal(variables_new(NULL, &v), 0);
    assert_int_equal(variables_fill(v, text, strlen(text), &b, &why), VARIABLES_REFUSED);
    assert_int_equal(why.line, 2);
    assert_int_equal(why.column, 5);
    assert_int_equal(variables_fill(v, "${", 2, &b, &why), VARIABLES_REFUSED);
    assert_int_equal(variables_fill(v, "${}", 3, &b, &why), VARIABLES_REFUSED);
    assert_int_equal(variables_fill(v, "${a b}", 6, &b, &why), VARIABLES_REFUSED);
    obs_buffer_done(&b);
}

static void takes_pairs_and_nested_objects(void **state)
{
    OBS_CLEANUP(variables_freep) struct variables *v = NULL;
    OBS_JSON json = json_pack("{s:{s:i}, s:b, s:s}", "port", "amqp", 24001, "on", 1, "t", "x=y");
    OBS_JSON bad = json_pack("{s:[]}", "list");

    assert_int_equal(variables_new(NULL, &v), 0);
    assert_int_equal(variables_set_json(v, "", json, NULL), 0);
    assert_string_equal(variables_find(v, "port.amqp"), "24001");
    assert_string_equal(variables_find(v, "on"), "true");
    assert_int_equal(variables_set_pair(v, "t=a=b", NULL), 0);
    assert_string_equal(variables_find(v, "t"), "a=b");
    assert_int_equal(variables_set_pair(v, "no pair", NULL), VARIABLES_REFUSED);
    assert_int_equal(variables_set_pair(v, "9=x", NULL), VARIABLES_REFUSED);
    assert_int_equal(variables_set_json(v, "", bad, NULL), VARIABLES_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_names_defaults_and_escapes),
        cmocka_unit_test(tells_where_a_name_is_missing),
        cmocka_unit_test(takes_pairs_and_nested_objects),
    };

    return cmocka_run_group_tests_name("variables", tests, NULL, NULL);
}
