#include "shop/catalog/single_flight.h"
#include "support/test.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

enum { CALLERS = 8 };

struct scene {
    struct single_flight *flights;
    sem_t loading, may_land;
    _Atomic int loads, shared, good;
    int result;
};

static int slow_load(void *userdata, char **ret_text)
{
    struct scene *s = userdata;

    atomic_fetch_add(&s->loads, 1);
    sem_post(&s->loading);
    sem_wait(&s->may_land);
    *ret_text = s->result == 0 ? strdup("text") : NULL;
    return s->result;
}

static void *call(void *userdata)
{
    struct scene *s = userdata;
    OBS_CLEANUP(obs_freep) char *text = NULL;
    bool is_shared = false;
    int r = single_flight_run(s->flights, "product:1", slow_load, s, 60000, &text, &is_shared);

    atomic_fetch_add(&s->shared, is_shared);
    atomic_fetch_add(&s->good, r == s->result && (r != 0 || strcmp(text, "text") == 0));
    return NULL;
}

/* All callers but the first come while it loads: it lands only once they have had every chance to.
 */
static void run_scene(struct scene *s)
{
    pthread_t threads[CALLERS];

    assert_int_equal(single_flight_new(&s->flights), 0);
    sem_init(&s->loading, 0, 0);
    sem_init(&s->may_land, 0, 0);
    assert_int_equal(pthread_create(&threads[0], NULL, call, s), 0);
    sem_wait(&s->loading);
    for (int i = 1; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call, s), 0);
    for (int i = 0; i < CALLERS; i++) /* enough for each of them to load by itself */
        sem_post(&s->may_land);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    s->flights = single_flight_free(s->flights);
}

static void each_caller_gets_the_result(void **state)
{
    struct scene s = {0};

    run_scene(&s);
    assert_int_equal(s.good, CALLERS);
    assert_int_equal(s.loads + s.shared, CALLERS);
}

static void failures_are_shared_too(void **state)
{
    struct scene s = {.result = 3};

    run_scene(&s);
    assert_int_equal(s.good, CALLERS);
}

static int never_called(void *userdata, char **ret_text)
{
    fail();
    return 0;
}

static void who_waits_too_long_is_told(void **state)
{
    struct scene s = {0};
    OBS_CLEANUP(obs_freep) char *text = NULL;
    bool is_shared = false;
    pthread_t thread;

    assert_int_equal(single_flight_new(&s.flights), 0);
    sem_init(&s.loading, 0, 0);
    sem_init(&s.may_land, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, call, &s), 0);
    sem_wait(&s.loading);
    assert_int_equal(
        single_flight_run(s.flights, "product:1", never_called, &s, 5, &text, &is_shared),
        SINGLE_FLIGHT_TIMEOUT);
    assert_true(is_shared);
    sem_post(&s.may_land);
    pthread_join(thread, NULL);
    assert_int_equal(s.good, 1);
    s.flights = single_flight_free(s.flights);
}

static int other_load(void *userdata, char **ret_text)
{
    *ret_text = strdup("other");
    return 0;
}

static void other_keys_do_not_wait(void **state)
{
    struct scene s = {0};
    OBS_CLEANUP(obs_freep) char *text = NULL;
    bool is_shared = true;
    pthread_t thread;

    assert_int_equal(single_flight_new(&s.flights), 0);
    sem_init(&s.loading, 0, 0);
    sem_init(&s.may_land, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, call, &s), 0);
    sem_wait(&s.loading);
    assert_int_equal(
        single_flight_run(s.flights, "product:2", other_load, NULL, 60000, &text, &is_shared), 0);
    assert_false(is_shared);
    assert_string_equal(text, "other");
    sem_post(&s.may_land);
    pthread_join(thread, NULL);
    s.flights = single_flight_free(s.flights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_caller_gets_the_result),
        cmocka_unit_test(failures_are_shared_too),
        cmocka_unit_test(who_waits_too_long_is_told),
        cmocka_unit_test(other_keys_do_not_wait),
    };

    return cmocka_run_group_tests_name("single_flight", tests, NULL, NULL);
}
