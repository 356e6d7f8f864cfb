#include "load/rng.h"

void rng_init(struct rng *rng, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++)
        rng->state[i] = rng_mix(seed + i);
}

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double rng_unit(struct rng *rng)
{
    return rng_to_unit(rng_next(rng));
}

int64_t rng_to_range(uint64_t x, int64_t low, int64_t high)
{
    uint64_t span = (uint64_t)high - (uint64_t)low + 1;

    if (span == 0) /* the whole range of 64 bits */
        return (int64_t)x;
    /* Multiply-shift; its bias, span / 2^64, is far below anything a load could show. */
    return (int64_t)((uint64_t)low + (uint64_t)(((__uint128_t)x * span) >> 64));
}
