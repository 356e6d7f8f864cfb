#include "shop/catalog/single_flight.h"
#include "base/clock.h"
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

/* At most as many flights as worker threads, so a list is enough. */
struct flight {
    struct flight *next;
    char *key, *text;
    int result;
    unsigned users; /* the loader and those who wait; the last one frees */
    bool is_landed;
    pthread_cond_t landed;
};

struct single_flight {
    pthread_mutex_t lock;
    struct flight *first;
};

static struct flight *flight_free(struct flight *f)
{
    if (!f)
        return NULL;
    pthread_cond_destroy(&f->landed);
    free(f->key);
    free(f->text);
    free(f);
    return NULL;
}

static struct flight *flight_new(const char *key)
{
    struct flight *f = calloc(1, sizeof(*f));
    pthread_condattr_t attributes;

    if (!f)
        return NULL;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&f->landed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    f->users = 1;
    f->key = strdup(key);
    return f->key ? f : flight_free(f);
}

/* The functions below hold the lock. */

static struct flight *find(struct single_flight *flights, const char *key)
{
    for (struct flight *f = flights->first; f; f = f->next)
        if (strcmp(f->key, key) == 0)
            return f;
    return NULL;
}

static void leave(struct flight *f)
{
    if (--f->users == 0)
        flight_free(f);
}

static void land(struct single_flight *flights, struct flight *gone, int result, const char *text)
{
    struct flight **at = &flights->first;

    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    gone->result = result;
    if (text && gone->users > 1) {
        gone->text = strdup(text);
        if (!gone->text)
            gone->result = -ENOMEM;
    }
    gone->is_landed = true;
    pthread_cond_broadcast(&gone->landed);
    leave(gone);
}

static int wait_for(struct single_flight *flights, struct flight *f, unsigned timeout_ms,
                    char **ret_text)
{
    uint64_t deadline = obs_mono_ns() + timeout_ms * OBS_NS_PER_MS;
    struct timespec until = {.tv_sec = (time_t)(deadline / OBS_NS_PER_SECOND),
                             .tv_nsec = (long)(deadline % OBS_NS_PER_SECOND)};
    int result;

    f->users++;
    while (!f->is_landed && pthread_cond_timedwait(&f->landed, &flights->lock, &until) != ETIMEDOUT)
        ;
    result = f->is_landed ? f->result : SINGLE_FLIGHT_TIMEOUT;
    if (result == 0 && f->text) {
        *ret_text = strdup(f->text);
        if (!*ret_text)
            result = -ENOMEM;
    }
    leave(f);
    return result;
}

int single_flight_run(struct single_flight *flights, const char *key, single_flight_load *load,
                      void *userdata, unsigned timeout_ms, char **ret_text, bool *ret_is_shared)
{
    struct flight *f;
    int result;

    *ret_text = NULL;
    pthread_mutex_lock(&flights->lock);
    f = find(flights, key);
    *ret_is_shared = f != NULL;
    if (f) {
        result = wait_for(flights, f, timeout_ms, ret_text);
        pthread_mutex_unlock(&flights->lock);
        return result;
    }
    f = flight_new(key);
    if (f) {
        f->next = flights->first;
        flights->first = f;
    }
    pthread_mutex_unlock(&flights->lock);
    if (!f)
        return -ENOMEM;
    result = load(userdata, ret_text);
    pthread_mutex_lock(&flights->lock);
    land(flights, f, result, *ret_text);
    pthread_mutex_unlock(&flights->lock);
    return result;
}

int single_flight_new(struct single_flight **ret_flights)
{
    struct single_flight *flights = calloc(1, sizeof(*flights));

    if (!flights)
        return -ENOMEM;
    (void)pthread_mutex_init(&flights->lock, NULL);
    *ret_flights = flights;
    return 0;
}

struct single_flight *single_flight_free(struct single_flight *flights)
{
    if (!flights)
        return NULL;
    pthread_mutex_destroy(&flights->lock);
    free(flights);
    return NULL;
}
