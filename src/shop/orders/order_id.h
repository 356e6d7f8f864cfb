#pragma once
/*
 * Order id: a UUID of version 7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then random
 * bits, so that ids sort by time and new rows land at the end of the index.
 */
#include <stdbool.h>
#include <stdint.h>

#define ORDER_ID_SIZE 37 /* 36 characters and NUL */

void order_id_make(char out[ORDER_ID_SIZE]);
/* 36 characters, lower-case hex and hyphens in their places. Any version. */
bool order_id_is_valid(const char *text);
/* For tests: from given time and random bytes. */
void order_id_emit(uint64_t unix_ms, const uint8_t random[10], char out[ORDER_ID_SIZE]);
