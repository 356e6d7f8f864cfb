#pragma once
/*
 * Bench: where one order is packed and handed to a carrier. Both are played, with real waiting.
 *
 * A bench can be closed: whoever waits at it then goes away with the work unfinished.
 */
#include "shop/fulfilment/message.h"

struct bench;

struct bench_booking {
    char carrier[24], tracking[24];
};

struct bench *bench_new(void);
struct bench *bench_free(struct bench *bench);
void bench_close(struct bench *bench);

/* Each takes its time under a span. Return: true, or false when the bench was closed meanwhile. */
bool bench_wait(struct bench *bench, double ms);
bool bench_pack(struct bench *bench, const struct fulfilment_settings *settings,
                const struct message_order *order);
/* The same order gets the same tracking number again. */
bool bench_book(struct bench *bench, const struct fulfilment_settings *settings,
                const struct message_order *order, struct bench_booking *ret_booking);
