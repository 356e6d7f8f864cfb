/* Captured lines of any bytes: labels and tenants keep their alphabets. First byte: whose line. */
#include "agent/line_text.h"
#include "agent/ship_line.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct unit unit = {.name = "u"};
    struct ship_line line;
    char *text;

    if (size == 0)
        return 0;
    unit.log_tenants = data[0] % 3;
    size--;
    text = malloc(size + 1); /* exactly as big, so that a step too far is seen */
    if (!text)
        return 0;
    memcpy(text, data + 1, size);
    text = realloc(text, size ? size : 1);
    ship_line_read(text, size, &unit, 1795435200000000000ULL, &line);
    assert(line.service[0] && strlen(line.service) < SHIP_SERVICE_SIZE);
    assert(!strpbrk(line.service, "\"\\\r\n "));
    assert(strspn(line.tenant, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(line.tenant));
    assert(unit.log_tenants != UNIT_LOG_TENANTS_OWN || !line.tenant[0]);
    assert(strlen(line.trace_id) % 32 == 0 && strlen(line.span_id) % 16 == 0);
    assert(line_text_level(text, size) <= OBS_LOG_ERROR);
    line_text_time(text, size, 1795435200000000000ULL);
    free(text);
    return 0;
}
