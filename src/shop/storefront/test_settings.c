#include "shop/storefront/settings.h"
#include "support/test.h"
#include <string.h>

static void every_row_is_complete_and_opens(void **state)
{
    OBS_CLEANUP(obs_settings_freep) struct obs_settings *settings = NULL;
    struct obs_reason why = {0};
    const struct obs_settings_view *view;

    for (size_t i = 0; i < STOREFRONT_SETTINGS.row_count; i++) {
        assert_non_null(STOREFRONT_SETTINGS.rows[i].name);
        assert_non_null(STOREFRONT_SETTINGS.rows[i].meaning);
        assert_non_null(STOREFRONT_SETTINGS.rows[i].unit);
    }
    assert_int_equal(obs_settings_open(&STOREFRONT_SETTINGS, NULL, &settings, &why), 0);
    view = obs_settings_acquire(settings);
    assert_int_equal(obs_setting_int(view, SERVICE_ROW_WORKERS), 4);
    assert_int_equal(obs_setting_int(view, ROW_UPSTREAM_RETRIES), 0);
    obs_settings_release(view);
}

static void releases_bring_their_own_defaults(void **state)
{
    OBS_CLEANUP(obs_settings_freep) struct obs_settings *settings = NULL;
    OBS_JSON values = json_pack("{s:s}", "version", "2.1");
    const struct obs_settings_view *view;

    assert_int_equal(obs_settings_open(&STOREFRONT_SETTINGS, NULL, &settings, NULL), 0);
    assert_int_equal(obs_settings_merge(settings, values, NULL), 0);
    view = obs_settings_acquire(settings);
    assert_int_equal(obs_setting_int(view, ROW_SESSION_MAX_ENTRIES), 0);
    assert_int_equal(obs_setting_int(view, ROW_SESSION_TTL), 3600);
    obs_settings_release(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete_and_opens),
        cmocka_unit_test(releases_bring_their_own_defaults),
    };

    return cmocka_run_group_tests_name("storefront_settings", tests, NULL, NULL);
}
