/* Text: what one function writes, its counterpart reads as the same. */
#include "base/buffer.h"
#include "base/text.h"
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)                                                                               \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

static void check_percent(const char *text, size_t size)
{
    OBS_CLEANUP(obs_freep) char *decoded = malloc(size + 1);
    OBS_CLEANUP(obs_freep) char *encoded = malloc(3 * size + 1);
    OBS_CLEANUP(obs_freep) char *again = malloc(size + 1);
    size_t decoded_size, again_size;

    CHECK(decoded && encoded && again);
    if (obs_text_percent_decode(text, size, size % 2, decoded, size + 1, &decoded_size) != 0)
        return;
    CHECK(decoded_size <= size && strlen(decoded) == decoded_size);
    CHECK(obs_text_percent_encode(decoded, decoded_size, encoded, 3 * size + 1) == 0);
    CHECK(obs_text_percent_decode(encoded, strlen(encoded), false, again, size + 1, &again_size) ==
          0);
    CHECK(again_size == decoded_size && memcmp(decoded, again, again_size) == 0);
}

static void check_json_escape(const char *text, size_t size)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer whole = OBS_BUFFER_INIT(1 << 26);
    OBS_CLEANUP(obs_freep) char *tight = NULL;
    size_t used, written;

    CHECK(obs_buffer_append_json(&whole, text, size) == 0);
    CHECK(obs_text_is_utf8(whole.data, whole.size));
    tight = malloc(size + 1);
    CHECK(tight);
    written = obs_text_json_escape(text, size, tight, size, &used);
    CHECK(written <= size && used <= size && memcmp(tight, whole.data + 1, written) == 0);
}

static void check_numbers(const char *text, size_t size)
{
    char out[OBS_TEXT_NUMBER_SIZE], copy[64];
    uint8_t bytes[16];
    uint64_t integer;
    double number, again;

    if (obs_text_parse_u64(text, size, 1000, &integer) == OBS_TEXT_OK)
        CHECK(integer <= 1000);
    if (obs_text_parse_number(text, size, &number) == OBS_TEXT_OK) {
        obs_text_number(number, out);
        CHECK(obs_text_parse_number(out, strlen(out), &again) == OBS_TEXT_OK);
        CHECK(memcmp(&number, &again, sizeof(number)) == 0);
    }
    if (obs_text_unhex(text, size, bytes, sizeof(bytes)) == OBS_TEXT_OK) {
        obs_text_hex(bytes, sizeof(bytes), copy);
        CHECK(size == 32 && memcmp(copy, text, size) == 0);
    }
    snprintf(copy, sizeof(copy), "%.*s", size < 60 ? (int)size : 60, text ? text : "");
    (void)!obs_text_parse_duration(copy, &integer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    check_percent(text, size);
    check_json_escape(text, size);
    check_numbers(text, size);
    return 0;
}
