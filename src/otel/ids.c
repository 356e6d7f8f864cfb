#include "otel/ids.h"

#include "base/clock.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct generator {
    uint64_t state[4];
    unsigned epoch; /* of the process it was seeded in; 0: never */
};

static _Thread_local struct generator generator;
static atomic_uint process_epoch = 1;
static pthread_once_t fork_hook = PTHREAD_ONCE_INIT;

static void start_epoch(void)
{
    atomic_fetch_add(&process_epoch, 1);
}

static void hook_fork(void)
{
    pthread_atfork(NULL, NULL, start_epoch);
}

static void seed(struct generator *g, unsigned epoch)
{
    pthread_once(&fork_hook, hook_fork);
    if (getrandom(g->state, sizeof(g->state), 0) != sizeof(g->state)) {
        /* No kernel this runs on gets here; the ids stay apart all the same. */
        g->state[0] ^= obs_time_ns();
        g->state[1] ^= (uint64_t)getpid() << 32 | (uint32_t)gettid();
        g->state[2] ^= obs_mono_ns();
    }
    g->state[3] |= 1; /* all zero is the one state it never leaves */
    g->epoch = epoch;
}

static uint64_t rotate_left(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

uint64_t obs_random_u64(void)
{
    struct generator *g = &generator;
    unsigned epoch = atomic_load_explicit(&process_epoch, memory_order_relaxed);
    uint64_t *s = g->state, result, shifted;

    if (g->epoch != epoch)
        seed(g, epoch);
    result = rotate_left(s[0] + s[3], 23) + s[0];
    shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

static uint64_t random_nonzero(void)
{
    uint64_t value;

    do
        value = obs_random_u64();
    while (value == 0);
    return value;
}

void obs_trace_id_make(uint8_t ret_trace_id[16])
{
    uint64_t words[2] = {obs_random_u64(), random_nonzero()};

    memcpy(ret_trace_id, words, 16);
}

void obs_span_id_make(uint8_t ret_span_id[8])
{
    uint64_t word = random_nonzero();

    memcpy(ret_span_id, &word, 8);
}
