#include "support/test.h"

#include "base/yaml.h"
#include <stdio.h>
#include <string.h>

#define BUFFER OBS_CLEANUP(obs_buffer_done) struct obs_buffer

static void reads_as(const char *yaml, const char *json)
{
    OBS_JSON documents = NULL;
    BUFFER b = OBS_BUFFER_INIT(1000000);
    struct obs_reason why = {0};

    if (obs_yaml_parse(yaml, strlen(yaml), &documents, &why) != 0)
        fail_msg("%s: %u:%u %s", yaml, why.line, why.column, why.text);
    assert_int_equal(obs_json_emit(documents, &b), 0);
    assert_string_equal(b.data, json);
}

static struct obs_reason is_refused(const char *yaml)
{
    json_t *documents = NULL;
    struct obs_reason why = {0};

    if (obs_yaml_parse(yaml, strlen(yaml), &documents, &why) != OBS_JSON_REFUSED)
        fail_msg("not refused: %s", yaml);
    assert_null(documents);
    assert_true(strlen(why.text) > 0);
    return why;
}

static void reads_the_usual_shapes(void **state)
{
    reads_as("a: 1\nb:\n  - x\n  - {c: d, e: [1, 2]}\n",
             "[{\"a\":1,\"b\":[\"x\",{\"c\":\"d\",\"e\":[1,2]}]}]");
    reads_as("- 1\n- two\n", "[[1,\"two\"]]");
    reads_as("text: |\n  one\n  two\nfolded: >\n  one\n  two\n",
             "[{\"text\":\"one\\ntwo\\n\",\"folded\":\"one two\\n\"}]");
    reads_as("just text", "[\"just text\"]");
    reads_as("a:\nb: ~\n", "[{\"a\":null,\"b\":null}]");
    reads_as("# only a comment\na: 1 # and another\n", "[{\"a\":1}]");
    reads_as("{\"json\": [true, null]}", "[{\"json\":[true,null]}]");
}

static void reads_every_document(void **state)
{
    reads_as("---\na: 1\n---\nb: 2\n...\n", "[{\"a\":1},{\"b\":2}]");
    reads_as("", "[]");
    reads_as("# nothing\n", "[]");
    reads_as("---\n", "[null]");
}

static void plain_scalars_follow_the_core_schema(void **state)
{
    reads_as("[null, Null, NULL, ~]", "[[null,null,null,null]]");
    reads_as("[true, True, TRUE, false, False, FALSE]", "[[true,true,true,false,false,false]]");
    reads_as("[yes, no, on, off, nULL, tRUE, y]",
             "[[\"yes\",\"no\",\"on\",\"off\",\"nULL\",\"tRUE\",\"y\"]]");
    reads_as("[0, -1, +12, 007, 0o17, 0xFf, 1_000, 0b1]", "[[0,-1,12,7,15,255,\"1_000\",\"0b1\"]]");
    reads_as("[9223372036854775807, -9223372036854775808]",
             "[[9223372036854775807,-9223372036854775808]]");
    reads_as("[1.5, -0.25, .5, 1., 1e3, 1.5E-3, +.5, 00.5]",
             "[[1.5,-0.25,0.5,1.0,1000.0,0.0015,0.5,0.5]]");
    reads_as("[., 1.2.3, 1e, e5, 0o8, 0xg, -0x1, 12:30:45, 1 2]",
             "[[\".\",\"1.2.3\",\"1e\",\"e5\",\"0o8\",\"0xg\",\"-0x1\",\"12:30:45\",\"1 2\"]]");
}

static void quoted_scalars_are_text(void **state)
{
    reads_as("[\"1\", 'true', \"null\", '', \"\\u00e9\\n\", 'it''s']",
             "[[\"1\",\"true\",\"null\",\"\",\"\xC3\xA9\\n\",\"it's\"]]");
    reads_as("[!!str 1, ! 2, !!str true]", "[[\"1\",\"2\",\"true\"]]");
}

static void keys_are_text(void **state)
{
    reads_as("1: a\ntrue: b\n\"q\": c\n", "[{\"1\":\"a\",\"true\":\"b\",\"q\":\"c\"}]");
    is_refused("[a]: b\n");
    is_refused("{a: b}: c\n");
    is_refused("? [x, y]\n: z\n");
}

static void aliases_copy_their_anchor(void **state)
{
    reads_as("a: &x {n: 1}\nb: *x\nc: [*x, *x]\n",
             "[{\"a\":{\"n\":1},\"b\":{\"n\":1},\"c\":[{\"n\":1},{\"n\":1}]}]");
    reads_as("- &x 1\n- &x 2\n- *x\n", "[[1,2,2]]");
    is_refused("a: *nowhere\n");
    is_refused("a: &a [*a]\n");       /* inside itself */
    is_refused("--- &x 1\n--- *x\n"); /* of another document */
}

static void a_small_file_cannot_grow_without_bound(void **state)
{
    struct obs_reason why;

    why = is_refused("a: &a [x,x,x,x,x,x,x,x,x,x]\n"
                     "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                     "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                     "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n");
    assert_non_null(strstr(why.text, "10000"));
}

static void takes_ten_thousand_nodes_and_no_more(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(1000000);
    OBS_JSON documents = NULL;

    obs_buffer_append_char(&b, '[');
    for (int i = 0; i < 9998; i++) /* with the list and the document: 10,000 */
        obs_buffer_append_text(&b, "1,");
    obs_buffer_append_text(&b, "]");
    assert_int_equal(obs_yaml_parse(b.data, b.size, &documents, NULL), 0);
    b.data[b.size - 1] = '1';
    obs_buffer_append_text(&b, "]");
    is_refused(b.data);
}

static void refuses_deep_nesting(void **state)
{
    char deep[400];

    memset(deep, '[', 60);
    memset(deep + 60, ']', 60);
    deep[120] = '\0';
    reads_as(deep, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                   "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    memset(deep, '[', 199);
    deep[199] = '\0';
    is_refused(deep);
    for (int i = 0; i < 100; i++) /* block style: "- - - -" */
        memcpy(deep + 2 * i, "- ", 3);
    is_refused(deep);
}

static void refuses_bad_input_with_its_place(void **state)
{
    static const char *const bad[] = {"a: [1, 2\n",
                                      "a: b: c\n",
                                      "\ta: 1\n",
                                      "a: \"unclosed\n",
                                      "a: 1\n  b: 2\n",
                                      "- 1\nb: 2\n",
                                      "%YAML 9\n",
                                      "a: @b\n",
                                      "a: 99999999999999999999\n",
                                      "a: .inf\n",
                                      "a: .nan\n",
                                      "a: 1e999\n",
                                      "a: !custom x\n",
                                      "a: !!binary aGk=\n",
                                      "a: \"\\0\"\n",
                                      "a: \xff\n",
                                      "a: 1\na: 2\n"};
    struct obs_reason why;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        is_refused(bad[i]);
    why = is_refused("a: 1\nb: 2\na: 3\n");
    assert_int_equal(why.line, 3);
    assert_int_equal(why.column, 1);
    why = is_refused("ok: 1\nnot ok: .inf\n");
    assert_int_equal(why.line, 2);
    assert_int_equal(why.column, 9);
    why = is_refused("a: 1\nb: [1, 2\n");
    assert_true(why.line >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_usual_shapes),
        cmocka_unit_test(reads_every_document),
        cmocka_unit_test(plain_scalars_follow_the_core_schema),
        cmocka_unit_test(quoted_scalars_are_text),
        cmocka_unit_test(keys_are_text),
        cmocka_unit_test(aliases_copy_their_anchor),
        cmocka_unit_test(a_small_file_cannot_grow_without_bound),
        cmocka_unit_test(takes_ten_thousand_nodes_and_no_more),
        cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(refuses_bad_input_with_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
