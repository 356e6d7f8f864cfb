/* Merging, folded text, and the two flame graph forms. */
#include "support/test.h"

#include "telemetry/profile_flamebearer.h"
#include "telemetry/profile_folded.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TREE OBS_CLEANUP(profile_tree_freep) struct profile_tree *
#define BUFFER OBS_CLEANUP(obs_buffer_done) struct obs_buffer

static struct text_view view(const char *text)
{
    return (struct text_view){text, strlen(text)};
}

static struct profile_tree *tree_of(const char *folded)
{
    struct profile_tree *tree = NULL;
    struct obs_reason why = {0};

    assert_int_equal(profile_tree_new(NULL, &tree), 0);
    assert_int_equal(profile_folded_decode(view(folded), PROFILE_GROUPS, tree, &why), 0);
    return tree;
}

static void add_right(struct profile_tree *tree, const char *const *path, uint64_t value)
{
    uint32_t node = PROFILE_ROOT;

    for (; *path; path++)
        assert_int_equal(profile_tree_child(tree, node, view(*path), &node), 0);
    profile_tree_add(tree, node, PROFILE_RIGHT, value);
}

static void equal_stacks_are_added_up(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);
    TREE tree = tree_of("main;a;b 3\nmain;a 2\nmain;a;b 4\n");

    assert_int_equal(profile_folded_emit(tree, PROFILE_LEFT, &b), 0);
    assert_string_equal(b.data, "main;a 2\nmain;a;b 7\n");
}

static void recursion_keeps_its_depth(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);
    TREE tree = tree_of("a;b;a;b 5\na;b 1\n");

    assert_int_equal(profile_folded_emit(tree, PROFILE_LEFT, &b), 0);
    assert_string_equal(b.data, "a;b 1\na;b;a;b 5\n");
    assert_int_equal(profile_tree_names(tree), 3); /* total, a, b */
}

static void a_total_is_the_sum_of_what_is_below(void **state)
{
    TREE tree = tree_of("a;b 3\na;c;d 4\na 1\ne 10\n");
    const struct profile_node *node;

    assert_int_equal(profile_tree_sum(tree), 0);
    assert_int_equal(profile_tree_at(tree, PROFILE_ROOT)->total[0], 18);
    node = profile_tree_at(tree, profile_tree_at(tree, PROFILE_ROOT)->first_child);
    assert_int_equal(node->total[0], 8);
    assert_int_equal(node->self[0], 1);
}

static void sums_stop_instead_of_going_round(void **state)
{
    TREE tree = tree_of("a 1\n");

    for (int i = 0; i < 20; i++)
        profile_tree_add(tree, 1, PROFILE_LEFT, UINT64_MAX / 8);
    profile_tree_add(tree, PROFILE_ROOT, PROFILE_LEFT, UINT64_MAX);
    assert_int_equal(profile_tree_sum(tree), 0);
    assert_true(profile_tree_at(tree, PROFILE_ROOT)->total[0] == UINT64_MAX / 4);
    assert_true(profile_scale(UINT64_MAX, UINT64_MAX, 1) == UINT64_MAX / 4);
    assert_int_equal(profile_scale(3, 1000000000, 97), 30927835);
}

static void a_tree_has_a_limit_of_nodes_and_of_names(void **state)
{
    struct profile_tree_limits limits = {.nodes = 4, .name_bytes = 200};
    TREE tree = NULL;
    uint32_t node;

    assert_int_equal(profile_tree_new(&limits, &tree), 0);
    assert_int_equal(profile_tree_child(tree, 0, view("a"), &node), 0);
    assert_int_equal(profile_tree_child(tree, 0, view("b"), &node), 0);
    assert_int_equal(profile_tree_child(tree, 0, view("c"), &node), 0);
    assert_int_equal(profile_tree_child(tree, 0, view("d"), &node), -EMSGSIZE);
    assert_int_equal(profile_tree_child(tree, 0, view("c"), &node), 0);
    assert_int_equal(node, 3);
    tree = profile_tree_free(tree);
    limits.nodes = 0;
    assert_int_equal(profile_tree_new(&limits, &tree), 0);
    for (int i = 0, r = 0; r == 0; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%d", i);
        r = profile_tree_child(tree, 0, view(name), &node);
        assert_true(r == 0 || (r == -EMSGSIZE && i < 8));
    }
}

static void many_children_of_one_node_are_quick(void **state)
{
    struct profile_tree_limits limits = {.nodes = 1 << 20, .name_bytes = 64 << 20};
    TREE tree = NULL;
    uint32_t node;

    assert_int_equal(profile_tree_new(&limits, &tree), 0);
    for (int i = 0; i < 300000; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%d", i);
        assert_int_equal(profile_tree_child(tree, 0, view(name), &node), 0);
        profile_tree_add(tree, node, PROFILE_LEFT, 1);
    }
    assert_int_equal(profile_tree_sum(tree), 0);
    assert_int_equal(profile_tree_at(tree, PROFILE_ROOT)->total[0], 300000);
}

/* ---- folded ---- */

static void expect_refusal(const char *text, size_t size, int outcome, unsigned line,
                           const char *why_text)
{
    TREE tree = NULL;
    struct obs_reason why = {0};

    assert_int_equal(profile_tree_new(NULL, &tree), 0);
    assert_int_equal(
        profile_folded_decode((struct text_view){text, size}, PROFILE_GROUPS, tree, &why), outcome);
    assert_int_equal(why.line, line);
    assert_non_null(strstr(why.text, why_text));
}

static void a_bad_line_is_refused_with_its_number(void **state)
{
    static const char DEEP[] = "a;b 1\nno count\n";
    char *deep = malloc(3000);

    expect_refusal(DEEP, strlen(DEEP), PROFILE_MALFORMED, 2, "count");
    expect_refusal("a;b -4\n", 7, PROFILE_MALFORMED, 1, "count");
    expect_refusal("a;b 99999999999999999999\n", 25, PROFILE_MALFORMED, 1, "count");
    expect_refusal("a;\xff\xfe 4\n", 8, PROFILE_MALFORMED, 1, "UTF-8");
    expect_refusal("a\0b 4\n", 6, PROFILE_MALFORMED, 1, "NUL");
    expect_refusal(";;; 4\n", 6, PROFILE_MALFORMED, 1, "no frame");
    for (int i = 0; i < 1300; i++)
        memcpy(deep + i * 2, "f;", 2);
    memcpy(deep + 2600, "x 1", 3);
    expect_refusal(deep, 2603, PROFILE_TOO_LARGE, 1, "1024");
    free(deep);
}

static void empty_frames_and_line_ends_of_windows_are_fine(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);
    TREE tree = tree_of(";main;;work 3\r\n\r\n\nmain;work 1");

    assert_int_equal(profile_folded_emit(tree, PROFILE_LEFT, &b), 0);
    assert_string_equal(b.data, "main;work 4\n");
}

static void the_form_lines_counts_lines(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);
    TREE tree = NULL;
    struct obs_reason why;

    assert_int_equal(profile_tree_new(NULL, &tree), 0);
    assert_int_equal(profile_folded_decode(view("a;b c\na;b c\na\n"), PROFILE_LINES, tree, &why),
                     0);
    assert_int_equal(profile_folded_emit(tree, PROFILE_LEFT, &b), 0);
    assert_string_equal(b.data, "a 1\na;b c 2\n");
}

/* ---- flame graphs ---- */

static void levels_are_delta_encoded_behind_the_own_value(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);
    TREE tree = tree_of("a 2\na;b 3\na;c;d 4\ne 10\ne;f 1\n");

    assert_int_equal(profile_tree_sum(tree), 0);
    assert_int_equal(profile_flamebearer_emit(tree, false, 100, &b), 0);
    /* total 20: a 9 (self 2), e 11 (self 10); b at 2, c at 5; f behind e's own 10; d under c. */
    assert_string_equal(b.data, "{\"levels\":[[0,20,0,0],[0,9,2,1,0,11,10,2],"
                                "[2,3,3,3,0,4,0,4,10,1,1,5],[5,4,4,6]],"
                                "\"names\":[\"total\",\"a\",\"e\",\"b\",\"c\",\"f\",\"d\"],"
                                "\"numTicks\":20,\"maxSelf\":10}");
}

static void what_is_too_small_becomes_other(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);
    TREE tree = tree_of("a;b 30\na;c 1\na;d 2\n");

    assert_int_equal(profile_tree_sum(tree), 0);
    assert_int_equal(profile_flamebearer_emit(tree, false, 3, &b), 0);
    assert_string_equal(b.data, "{\"levels\":[[0,33,0,0],[0,33,0,1],[0,30,30,2,0,3,3,3]],"
                                "\"names\":[\"total\",\"a\",\"b\",\"other\"],"
                                "\"numTicks\":33,\"maxSelf\":30}");
}

static void equals_at_the_limit_do_not_pass_it(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);
    TREE tree = tree_of("a 1\nb 1\nc 1\nd 1\n");

    assert_int_equal(profile_tree_sum(tree), 0);
    assert_int_equal(profile_flamebearer_emit(tree, false, 3, &b), 0);
    assert_string_equal(b.data, "{\"levels\":[[0,4,0,0],[0,1,1,1,0,1,1,2,0,2,2,3]],"
                                "\"names\":[\"total\",\"a\",\"b\",\"other\"],"
                                "\"numTicks\":4,\"maxSelf\":2}");
}

static void an_empty_tree_is_one_empty_bar(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);
    TREE tree = tree_of("");

    assert_int_equal(profile_tree_sum(tree), 0);
    assert_int_equal(profile_flamebearer_emit(tree, false, 100, &b), 0);
    assert_string_equal(b.data, "{\"levels\":[[0,0,0,0]],\"names\":[\"total\"],"
                                "\"numTicks\":0,\"maxSelf\":0}");
}

static void a_diff_has_both_sides_in_each_bar(void **state)
{
    static const char *const A[] = {"a", NULL}, *const AB[] = {"a", "b", NULL},
                             *const N[] = {"n", NULL};
    BUFFER b = OBS_BUFFER_INIT(4096);
    TREE tree = tree_of("a 1\na;b 3\no 5\n");

    add_right(tree, A, 2);
    add_right(tree, AB, 10);
    add_right(tree, N, 4);
    assert_int_equal(profile_tree_sum(tree), 0);
    assert_int_equal(profile_flamebearer_emit(tree, true, 100, &b), 0);
    /* Left 9 = a 4, o 5; right 16 = a 12, n 4. n has no left width, o no right one. */
    assert_string_equal(b.data, "{\"levels\":[[0,9,0,0,16,0,0],"
                                "[0,4,1,0,12,2,1,0,0,0,0,4,4,2,0,5,5,0,0,0,3],"
                                "[1,3,3,2,10,10,4]],"
                                "\"names\":[\"total\",\"a\",\"n\",\"o\",\"b\"],"
                                "\"numTicks\":25,\"maxSelf\":10}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_stacks_are_added_up),
        cmocka_unit_test(recursion_keeps_its_depth),
        cmocka_unit_test(a_total_is_the_sum_of_what_is_below),
        cmocka_unit_test(sums_stop_instead_of_going_round),
        cmocka_unit_test(a_tree_has_a_limit_of_nodes_and_of_names),
        cmocka_unit_test(many_children_of_one_node_are_quick),
        cmocka_unit_test(a_bad_line_is_refused_with_its_number),
        cmocka_unit_test(empty_frames_and_line_ends_of_windows_are_fine),
        cmocka_unit_test(the_form_lines_counts_lines),
        cmocka_unit_test(levels_are_delta_encoded_behind_the_own_value),
        cmocka_unit_test(what_is_too_small_becomes_other),
        cmocka_unit_test(equals_at_the_limit_do_not_pass_it),
        cmocka_unit_test(an_empty_tree_is_one_empty_bar),
        cmocka_unit_test(a_diff_has_both_sides_in_each_bar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
