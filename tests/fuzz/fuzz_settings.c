/*
 * Settings: a body of PUT or POST /config either changes the values to ones inside their ranges, or
 * is refused with a reason and changes nothing. The first byte chooses between the two.
 */
#include "base/settings.h"
#include "base/text.h"
#include "support/settings_example.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)                                                                               \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

static void check_ranges(struct obs_settings *settings)
{
    const struct obs_settings_view *view = obs_settings_acquire(settings);
    const char *greeting = obs_setting_text(view, EXAMPLE_GREETING);

    CHECK(obs_setting_int(view, EXAMPLE_WORKERS) >= 1);
    CHECK(obs_setting_int(view, EXAMPLE_WORKERS) <= 64);
    CHECK(obs_setting_int(view, EXAMPLE_TTL) >= 1 && obs_setting_int(view, EXAMPLE_TTL) <= 86400);
    CHECK(obs_setting_number(view, EXAMPLE_RATIO) >= 0);
    CHECK(obs_setting_number(view, EXAMPLE_RATIO) <= 1);
    CHECK(obs_setting_choice(view, EXAMPLE_POLICY) < 3);
    CHECK(strlen(greeting) <= 200 && obs_text_is_utf8(greeting, strlen(greeting)));
    obs_settings_release(view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct obs_settings *settings;
    struct obs_reason why = {0};
    OBS_JSON body = NULL;
    OBS_JSON before = NULL;
    OBS_JSON after = NULL;
    int r;

    if (!settings)
        CHECK(obs_settings_open(&example_schema, NULL, &settings, NULL) == 0);
    if (size == 0 || obs_json_parse((const char *)data + 1, size - 1, &body, NULL) != OBS_JSON_OK)
        return 0;
    CHECK(obs_settings_json(settings, &before) == 0);
    r = (data[0] & 1) ? obs_settings_merge(settings, body, &why)
                      : obs_settings_replace(settings, body, &why);
    CHECK(obs_settings_json(settings, &after) == 0);
    if (r != 0) {
        CHECK(r == OBS_SETTINGS_REFUSED && json_equal(before, after));
        CHECK(why.text[0] && obs_text_is_utf8(why.text, strlen(why.text)));
    }
    check_ranges(settings);
    /* What is in force can be said in full, and saying it changes nothing that is in force. */
    CHECK(obs_settings_replace(settings, json_object_get(after, "settings"), &why) == 0);
    json_decref(before);
    before = NULL;
    CHECK(obs_settings_json(settings, &before) == 0);
    CHECK(json_equal(json_object_get(before, "settings"), json_object_get(after, "settings")));
    CHECK(obs_settings_reset(settings, NULL) == 0);
    return 0;
}
