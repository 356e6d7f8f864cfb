#include "otel/retry.h"

#include "base/text.h"
#include "otel/ids.h"
#include <string.h>
#include <time.h>

uint64_t obs_retry_after_ms(const struct obs_http1_head *head, uint64_t max_ms)
{
    const struct obs_span_text *value = obs_http1_find(head, "retry-after");
    struct tm date = {0};
    char text[64] = "";
    uint64_t seconds = 0;
    time_t now = time(NULL), then;

    if (!value || value->size >= sizeof(text))
        return 0;
    if (obs_text_parse_u64(value->text, value->size, 86400, &seconds) != 0) {
        memcpy(text, value->text, value->size);
        if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date))
            return 0;
        then = timegm(&date);
        seconds = then > now ? (uint64_t)(then - now) : 0;
    }
    return seconds * 1000 < max_ms ? seconds * 1000 : max_ms;
}

uint64_t obs_retry_pause_ms(uint64_t first_ms, unsigned attempt, uint64_t max_ms)
{
    uint64_t pause = first_ms << (attempt < 10 ? attempt : 10);

    if (pause > max_ms)
        pause = max_ms;
    return pause / 2 + obs_random_u64() % (pause / 2 + 1);
}
