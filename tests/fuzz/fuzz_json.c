/* JSON: what is accepted is written and read back as the same value. */
#include "base/json.h"
#include "base/text.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)                                                                               \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(1 << 26);
    OBS_JSON json = NULL;
    OBS_JSON again = NULL;
    struct obs_reason why = {0};
    char shown[OBS_JSON_SHOWN_SIZE];

    if (obs_json_parse((const char *)data, size, &json, &why) != OBS_JSON_OK) {
        CHECK(!json && why.text[0] && why.line > 0 && why.column > 0);
        CHECK(obs_text_is_utf8(why.text, strlen(why.text)));
        return 0;
    }
    CHECK(obs_json_emit(json, &b) == 0);
    CHECK(obs_json_parse(b.data, b.size, &again, NULL) == OBS_JSON_OK);
    CHECK(json_equal(json, again));
    CHECK(strlen(obs_json_show(json, shown)) < sizeof(shown));
    CHECK(obs_text_is_utf8(shown, strlen(shown)));
    return 0;
}
