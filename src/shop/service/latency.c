#include "shop/service/latency.h"
#include <math.h>
#include <sys/random.h>

static _Thread_local uint64_t seed;

uint32_t latency_random(void)
{
    /* splitmix64: every state is good but for our "not seeded yet". */
    uint64_t z;

    while (seed == 0)
        if (getrandom(&seed, sizeof(seed), 0) < 0)
            seed = (uint64_t)(uintptr_t)&seed;
    z = (seed += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (uint32_t)(z >> 32);
}

double latency_draw_ms(double median_ms, double spread, const uint32_t random[2])
{
    /* Box and Muller: two uniform numbers, the first never 0, give one of the normal distribution.
     */
    double u = ((double)random[0] + 1.0) / 4294967296.0;
    double v = (double)random[1] / 4294967296.0;
    double normal = sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
    double drawn = median_ms * exp(spread * normal);

    return drawn < 10.0 * median_ms ? drawn : 10.0 * median_ms;
}

double latency_next_ms(double median_ms, double spread)
{
    uint32_t random[2] = {latency_random(), latency_random()};

    return latency_draw_ms(median_ms, spread, random);
}
