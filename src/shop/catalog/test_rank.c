#include "shop/catalog/rank.h"
#include "support/test.h"
#include <string.h>

#define CANDIDATES                                                                                 \
    {                                                                                              \
        {.id = 1, .name = "Norvik Alder Warm Wool Scarf", .popularity = 10},                       \
            {.id = 2, .name = "Halden Scarf", .popularity = 10},                                   \
            {.id = 3, .name = "Ostra Copper Kettle", .popularity = 100000},                        \
    }

static void weighted_puts_earlier_words_first(void **state)
{
    struct rank_candidate c[] = CANDIDATES;

    rank_weighted("scarf", c, 3);
    assert_int_equal(c[0].id, 2);
    assert_int_equal(c[1].id, 1);
    assert_int_equal(c[2].id, 3);
    assert_true(c[0].score > c[1].score && c[1].score > c[2].score);
}

static void weighted_counts_the_beginning_of_a_word_less(void **state)
{
    struct rank_candidate c[] = {{.id = 1, .name = "Kettlebell"}, {.id = 2, .name = "Kettle"}};

    rank_weighted("kettle", c, 2);
    assert_int_equal(c[0].id, 2);
    assert_true(c[1].score > 0);
}

static void equal_scores_are_ordered_by_id(void **state)
{
    struct rank_candidate c[] = {{.id = 9, .name = "A"}, {.id = 4, .name = "A"}};

    rank_weighted("zebra", c, 2);
    assert_int_equal(c[0].id, 4);
    rank_proximity("zebra", c, 2);
    assert_int_equal(c[0].id, 4);
}

static void proximity_prefers_what_is_like_the_others(void **state)
{
    struct rank_candidate c[] = {{.id = 1, .name = "Granite Obelisk"},
                                 {.id = 2, .name = "Travel Mug Blue"},
                                 {.id = 3, .name = "Travel Mug Grey"},
                                 {.id = 4, .name = "Travel Mug Red"}};

    rank_proximity("zebra", c, 4);
    assert_int_equal(c[3].id, 1);
}

static void odd_queries_and_empty_sets_are_fine(void **state)
{
    struct rank_candidate c[] = CANDIDATES;

    rank_weighted("", c, 3);
    rank_weighted(" -- ' % ", c, 3);
    rank_proximity("\xc3\xa9t\xc3\xa9", c, 3);
    rank_proximity("x", NULL, 0);
    rank_proximity("x", c, 1);
    assert_true(c[0].score == c[0].score); /* not NaN */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weighted_puts_earlier_words_first),
        cmocka_unit_test(weighted_counts_the_beginning_of_a_word_less),
        cmocka_unit_test(equal_scores_are_ordered_by_id),
        cmocka_unit_test(proximity_prefers_what_is_like_the_others),
        cmocka_unit_test(odd_queries_and_empty_sets_are_fine),
    };

    return cmocka_run_group_tests_name("rank", tests, NULL, NULL);
}
