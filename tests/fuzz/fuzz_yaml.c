/* YAML: whatever is accepted is a bounded tree that JSON can say. */
#include "base/text.h"
#include "base/yaml.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses 4 KiB for a single-quoted text with more than a few doubled quotes. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(1 << 28);
    OBS_JSON documents = NULL;
    OBS_JSON again = NULL;
    struct obs_reason why = {0};

    if (obs_yaml_parse((const char *)data, size, &documents, &why) != OBS_JSON_OK) {
        if (documents || !why.text[0] || !obs_text_is_utf8(why.text, strlen(why.text)))
            abort();
        return 0;
    }
    if (obs_json_emit(documents, &b) != 0 ||
        obs_json_parse(b.data, b.size, &again, NULL) != OBS_JSON_OK ||
        !json_equal(documents, again))
        abort();
    return 0;
}
