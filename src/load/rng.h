#pragma once
/*
 * Random numbers that a seed repeats: the same on every machine, for every number of threads.
 *
 * Two forms. `struct rng` is a stream (xoshiro256++, Blackman and Vigna 2019). rng_mix() turns a
 * number into a random one: what belongs to arrival k is derived from (seed, k), so that it does
 * not depend on which thread serves k, or when. Not for secrets.
 */
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
double rng_unit(struct rng *rng); /* [0, 1) */

/* Finalizer of splitmix64: every input bit reaches every output bit. */
static inline uint64_t rng_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* The @n-th random number that belongs to @seed. */
static inline uint64_t rng_at(uint64_t seed, uint64_t n)
{
    return rng_mix(rng_mix(seed) ^ rng_mix(n + 0x632be59bd9b4e019ULL));
}

static inline double rng_to_unit(uint64_t x)
{
    return (double)(x >> 11) * 0x1.0p-53;
}

/* A number from @low to @high, both possible. @x: random; low <= high. */
int64_t rng_to_range(uint64_t x, int64_t low, int64_t high);
