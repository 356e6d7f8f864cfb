#include "shop/storefront/session.h"
#include "support/test.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void note(struct session_cache *cache, const char *id, int64_t product_id)
{
    struct session_view view = {.product_id = product_id};

    assert_int_equal(session_note(cache, id, &view), 0);
}

static size_t views_of(struct session_cache *cache, const char *id)
{
    struct session_views views;

    session_read(cache, id, &views);
    return views.count;
}

static struct session_stats stats_of(struct session_cache *cache)
{
    struct session_stats stats;

    session_cache_stats(cache, &stats);
    return stats;
}

static void the_latest_view_comes_first_and_each_product_once(void **state)
{
    OBS_CLEANUP(session_cache_freep) struct session_cache *cache = NULL;
    struct session_views views;

    assert_int_equal(session_cache_new(10, 60, &cache), 0);
    note(cache, "a", 1);
    note(cache, "a", 2);
    note(cache, "a", 1);
    session_read(cache, "a", &views);
    assert_int_equal(views.count, 2);
    assert_int_equal(views.views[0].product_id, 1);
    assert_int_equal(views.views[1].product_id, 2);
}

static void a_full_list_forgets_the_oldest_view(void **state)
{
    OBS_CLEANUP(session_cache_freep) struct session_cache *cache = NULL;
    struct session_views views;

    assert_int_equal(session_cache_new(10, 60, &cache), 0);
    for (int i = 1; i <= SESSION_VIEWS_MAX + 3; i++)
        note(cache, "a", i);
    session_read(cache, "a", &views);
    assert_int_equal(views.count, SESSION_VIEWS_MAX);
    assert_int_equal(views.views[0].product_id, SESSION_VIEWS_MAX + 3);
    assert_int_equal(views.views[SESSION_VIEWS_MAX - 1].product_id, 4);
}

static void the_least_recently_used_session_goes_first(void **state)
{
    OBS_CLEANUP(session_cache_freep) struct session_cache *cache = NULL;

    assert_int_equal(session_cache_new(2, 60, &cache), 0);
    note(cache, "a", 1);
    note(cache, "b", 1);
    assert_int_equal(views_of(cache, "a"), 1); /* used: now b is the oldest */
    note(cache, "c", 1);
    assert_int_equal(views_of(cache, "b"), 0);
    assert_int_equal(views_of(cache, "a"), 1);
    assert_int_equal(stats_of(cache).entries, 2);
    assert_int_equal(stats_of(cache).evicted, 1);
}

static void no_limit_keeps_all_and_a_new_limit_applies_at_once(void **state)
{
    OBS_CLEANUP(session_cache_freep) struct session_cache *cache = NULL;
    char id[16];

    assert_int_equal(session_cache_new(0, 60, &cache), 0);
    for (int i = 0; i < 5000; i++) {
        snprintf(id, sizeof(id), "s%d", i);
        note(cache, id, 1);
    }
    assert_int_equal(stats_of(cache).entries, 5000);
    assert_int_equal(views_of(cache, "s0"), 1);
    session_cache_configure(cache, 100, 60);
    assert_int_equal(stats_of(cache).entries, 100);
    assert_int_equal(views_of(cache, "s0"), 1);
    assert_int_equal(views_of(cache, "s1"), 0);
}

static void sessions_expire(void **state)
{
    OBS_CLEANUP(session_cache_freep) struct session_cache *cache = NULL;

    assert_int_equal(session_cache_new(0, 60, &cache), 0);
    note(cache, "a", 1);
    session_cache_configure(cache, 0, 0);
    assert_int_equal(views_of(cache, "a"), 0);
    assert_int_equal(stats_of(cache).expired, 1);
}

static void odd_ids_are_refused(void **state)
{
    char long_id[SESSION_ID_MAX + 2];

    memset(long_id, 'a', sizeof(long_id));
    long_id[SESSION_ID_MAX + 1] = '\0';
    assert_false(session_id_is_valid(long_id));
    long_id[SESSION_ID_MAX] = '\0';
    assert_true(session_id_is_valid(long_id));
    assert_false(session_id_is_valid(""));
    assert_false(session_id_is_valid("a b"));
    assert_false(session_id_is_valid("a/../b"));
}

static void *hammer(void *userdata)
{
    struct session_cache *cache = userdata;
    char id[16];

    for (int i = 0; i < 2000; i++) {
        snprintf(id, sizeof(id), "s%d", i * 7 % 300);
        note(cache, id, i);
        (void)views_of(cache, id);
    }
    return NULL;
}

static void many_threads_share_it(void **state)
{
    OBS_CLEANUP(session_cache_freep) struct session_cache *cache = NULL;
    pthread_t threads[4];

    assert_int_equal(session_cache_new(50, 60, &cache), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(stats_of(cache).entries, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_view_comes_first_and_each_product_once),
        cmocka_unit_test(a_full_list_forgets_the_oldest_view),
        cmocka_unit_test(the_least_recently_used_session_goes_first),
        cmocka_unit_test(no_limit_keeps_all_and_a_new_limit_applies_at_once),
        cmocka_unit_test(sessions_expire),
        cmocka_unit_test(odd_ids_are_refused),
        cmocka_unit_test(many_threads_share_it),
    };

    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
