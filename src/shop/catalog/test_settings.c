#include "shop/catalog/settings.h"
#include "support/test.h"
#include <string.h>

static struct obs_settings *open_settings(void)
{
    struct obs_settings *settings = NULL;
    struct obs_reason why = {0};

    assert_int_equal(obs_settings_open(&CATALOG_SETTINGS, NULL, &settings, &why), 0);
    return settings;
}

static void merge(struct obs_settings *settings, const char *text, int expected)
{
    struct obs_reason why = {0};
    OBS_JSON json = NULL;

    assert_int_equal(obs_json_parse(text, strlen(text), &json, &why), 0);
    assert_int_equal(obs_settings_merge(settings, json, &why), expected);
}

static void every_row_has_a_name_and_a_meaning(void **state)
{
    for (size_t i = 0; i < CATALOG_SETTINGS.row_count; i++) {
        assert_non_null(CATALOG_SETTINGS.rows[i].name);
        assert_non_null(CATALOG_SETTINGS.rows[i].meaning);
        assert_non_null(CATALOG_SETTINGS.rows[i].standard);
        assert_non_null(CATALOG_SETTINGS.rows[i].unit);
    }
}

static void releases_name_known_settings(void **state)
{
    for (size_t i = 0; i < CATALOG_SETTINGS.release_count; i++) {
        for (const struct obs_release_value *v = CATALOG_SETTINGS.releases[i].values; v->name;
             v++) {
            bool is_known = false;

            for (size_t row = 0; row < CATALOG_SETTINGS.row_count; row++)
                is_known |= strcmp(CATALOG_SETTINGS.rows[row].name, v->name) == 0;
            assert_true(is_known);
        }
    }
}

static void defaults_are_in_force_at_first(void **state)
{
    OBS_CLEANUP(obs_settings_freep) struct obs_settings *settings = open_settings();
    const struct obs_settings_view *view = obs_settings_acquire(settings);

    assert_string_equal(obs_setting_text(view, SERVICE_ROW_VERSION), "1.0");
    assert_int_equal(obs_setting_choice(view, ROW_SEARCH_RANKING), RANKING_WEIGHTED);
    assert_int_equal(obs_setting_choice(view, ROW_CACHE_KEY_FIELDS), KEY_FIELDS_PRODUCT);
    assert_int_equal(obs_setting_int(view, ROW_CACHE_TTL), 60);
    assert_true(obs_setting_bool(view, ROW_CACHE_INVALIDATE_ON_WRITE));
    obs_settings_release(view);
}

static void a_release_brings_its_defaults_and_the_operator_overrides_them(void **state)
{
    OBS_CLEANUP(obs_settings_freep) struct obs_settings *settings = open_settings();
    const struct obs_settings_view *view;

    merge(settings, "{\"version\":\"1.1\"}", 0);
    view = obs_settings_acquire(settings);
    assert_int_equal(obs_setting_choice(view, ROW_SEARCH_RANKING), RANKING_PROXIMITY);
    obs_settings_release(view);
    merge(settings, "{\"search.ranking\":\"weighted\"}", 0);
    view = obs_settings_acquire(settings);
    assert_int_equal(obs_setting_choice(view, ROW_SEARCH_RANKING), RANKING_WEIGHTED);
    obs_settings_release(view);
}

static void choices_with_commas_are_whole(void **state)
{
    OBS_CLEANUP(obs_settings_freep) struct obs_settings *settings = open_settings();
    const struct obs_settings_view *view;

    merge(settings, "{\"cache.key_fields\":\"product,request\"}", 0);
    merge(settings, "{\"cache.key_fields\":\"request\"}", OBS_SETTINGS_REFUSED);
    view = obs_settings_acquire(settings);
    assert_int_equal(obs_setting_choice(view, ROW_CACHE_KEY_FIELDS), KEY_FIELDS_PRODUCT_REQUEST);
    obs_settings_release(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_a_name_and_a_meaning),
        cmocka_unit_test(releases_name_known_settings),
        cmocka_unit_test(defaults_are_in_force_at_first),
        cmocka_unit_test(a_release_brings_its_defaults_and_the_operator_overrides_them),
        cmocka_unit_test(choices_with_commas_are_whole),
    };

    return cmocka_run_group_tests_name("catalog_settings", tests, NULL, NULL);
}
