#include "telemetry/profile_type.h"

#include "base/cleanup.h"
#include <string.h>

const struct profile_type PROFILE_TYPE_TABLE[] = {
#define TYPE_ROW(key, name_, id_, units_, is_level_) {name_, id_, units_, is_level_},
    PROFILE_TYPES(TYPE_ROW)
#undef TYPE_ROW
};
const size_t PROFILE_TYPE_COUNT = OBS_COUNT(PROFILE_TYPE_TABLE);
const struct profile_type *const PROFILE_TYPE_CPU = &PROFILE_TYPE_TABLE[0];

bool profile_type_is_time(const struct profile_type *type)
{
    return strcmp(type->units, "samples") == 0;
}

static bool is_text(struct text_view view, const char *text)
{
    return view.size == strlen(text) && memcmp(view.text, text, view.size) == 0;
}

const struct profile_type *profile_type_find(struct text_view name)
{
    for (size_t i = 0; i < PROFILE_TYPE_COUNT; i++) {
        if (is_text(name, PROFILE_TYPE_TABLE[i].name))
            return &PROFILE_TYPE_TABLE[i];
    }
    return NULL;
}

const struct profile_type *profile_type_find_id(struct text_view id)
{
    for (size_t i = 0; i < PROFILE_TYPE_COUNT; i++) {
        if (is_text(id, PROFILE_TYPE_TABLE[i].id))
            return &PROFILE_TYPE_TABLE[i];
    }
    return NULL;
}

const struct profile_type *profile_type_split(struct text_view application,
                                              struct text_view *ret_service)
{
    const char *dot = memrchr(application.text, '.', application.size);
    const struct profile_type *type = NULL;

    *ret_service = application;
    if (dot && dot > application.text) {
        struct text_view ending = {dot + 1,
                                   (size_t)(application.text + application.size - dot - 1)};

        type = profile_type_find(ending);
        if (type)
            ret_service->size = (size_t)(dot - application.text);
    }
    return type;
}
