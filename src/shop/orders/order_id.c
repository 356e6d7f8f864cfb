#include "shop/orders/order_id.h"
#include "base/clock.h"
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

void order_id_emit(uint64_t unix_ms, const uint8_t random[10], char out[ORDER_ID_SIZE])
{
    uint8_t id[16];

    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t)(unix_ms >> (40 - 8 * i));
    memcpy(id + 6, random, 10);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x70); /* version 7 */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    snprintf(out, ORDER_ID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1],
             id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13],
             id[14], id[15]);
}

void order_id_make(char out[ORDER_ID_SIZE])
{
    uint8_t random[10] = {0};

    while (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        ; /* only a signal interrupts so small a read */
    order_id_emit(obs_time_ns() / OBS_NS_PER_MS, random, out);
}

bool order_id_is_valid(const char *text)
{
    for (int i = 0; i < ORDER_ID_SIZE - 1; i++) {
        bool is_hyphen_place = i == 8 || i == 13 || i == 18 || i == 23;
        char c = text[i];
        if (is_hyphen_place ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return text[ORDER_ID_SIZE - 1] == '\0';
}
