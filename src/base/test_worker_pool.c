#include "support/test.h"

#include "base/clock.h"
#include "base/worker_pool.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

struct gate {
    sem_t entered, open;
    atomic_int done;
};

static struct gate gate;

static void pass_gate(void *userdata)
{
    sem_post(&gate.entered);
    sem_wait(&gate.open);
    atomic_fetch_add(&gate.done, 1);
}

static void count(void *userdata)
{
    atomic_fetch_add((atomic_int *)userdata, 1);
}

static int setup(void **state)
{
    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.open, 0, 0);
    atomic_store(&gate.done, 0);
    return 0;
}

static void open_gate(int times)
{
    while (times-- > 0)
        sem_post(&gate.open);
}

static void refuses_impossible_sizes(void **state)
{
    struct obs_worker_pool *pool = NULL;

    assert_int_equal(obs_worker_pool_new("p", 0, 1, &pool), -EINVAL);
    assert_int_equal(obs_worker_pool_new("p", OBS_WORKERS_MAX + 1, 1, &pool), -EINVAL);
    assert_int_equal(obs_worker_pool_new("p", 1, 0, &pool), -EINVAL);
}

static void finishes_every_job_before_it_is_freed(void **state)
{
    struct obs_worker_pool *pool = NULL;
    atomic_int done = 0;

    assert_int_equal(obs_worker_pool_new("p", 3, 10000, &pool), 0);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(obs_worker_pool_submit(pool, count, &done), 0);
    pool = obs_worker_pool_free(pool);
    assert_int_equal(done, 5000);
}

static void refuses_a_job_when_the_queue_is_full_and_says_so(void **state)
{
    OBS_CLEANUP(obs_worker_pool_freep) struct obs_worker_pool *pool = NULL;
    struct obs_worker_pool_stats stats;

    assert_int_equal(obs_worker_pool_new("p", 1, 2, &pool), 0);
    assert_int_equal(obs_worker_pool_submit(pool, pass_gate, NULL), 0);
    sem_wait(&gate.entered); /* the only worker is busy now */
    assert_int_equal(obs_worker_pool_submit(pool, pass_gate, NULL), 0);
    assert_int_equal(obs_worker_pool_submit(pool, pass_gate, NULL), 0);
    assert_int_equal(obs_worker_pool_submit(pool, pass_gate, NULL), OBS_WORKER_POOL_FULL);
    obs_worker_pool_stats(pool, &stats);
    assert_int_equal(stats.busy, 1);
    assert_int_equal(stats.queued, 2);
    assert_int_equal(stats.refused, 1);
    open_gate(3);
}

static void grows_while_all_workers_are_busy(void **state)
{
    OBS_CLEANUP(obs_worker_pool_freep) struct obs_worker_pool *pool = NULL;

    assert_int_equal(obs_worker_pool_new("p", 1, 10, &pool), 0);
    for (int i = 0; i < 4; i++)
        obs_worker_pool_submit(pool, pass_gate, NULL);
    sem_wait(&gate.entered);
    assert_int_equal(obs_worker_pool_resize(pool, 4, 10), 0);
    for (int i = 0; i < 3; i++)
        sem_wait(&gate.entered); /* hangs here if the pool did not grow */
    open_gate(4);
}

static void shrinks_without_losing_a_job(void **state)
{
    struct obs_worker_pool *pool = NULL;
    atomic_int done = 0;

    assert_int_equal(obs_worker_pool_new("p", 8, 100000, &pool), 0);
    for (int i = 0; i < 20000; i++) {
        obs_worker_pool_submit(pool, count, &done);
        if (i % 1000 == 0)
            assert_int_equal(obs_worker_pool_resize(pool, 1 + (unsigned)(i / 1000) % 8, 100000), 0);
    }
    pool = obs_worker_pool_free(pool);
    assert_int_equal(done, 20000);
}

static void counts_waiting_time(void **state)
{
    OBS_CLEANUP(obs_worker_pool_freep) struct obs_worker_pool *pool = NULL;
    struct obs_worker_pool_stats stats;

    assert_int_equal(obs_worker_pool_new("p", 1, 10, &pool), 0);
    obs_worker_pool_submit(pool, pass_gate, NULL);
    sem_wait(&gate.entered);
    obs_worker_pool_submit(pool, pass_gate, NULL);
    obs_sleep_ns(5 * OBS_NS_PER_MS); /* the time that must show */
    open_gate(2);
    sem_wait(&gate.entered);
    obs_worker_pool_stats(pool, &stats);
    assert_true(stats.wait_ns_sum >= 5 * OBS_NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(refuses_impossible_sizes, setup),
        cmocka_unit_test_setup(finishes_every_job_before_it_is_freed, setup),
        cmocka_unit_test_setup(refuses_a_job_when_the_queue_is_full_and_says_so, setup),
        cmocka_unit_test_setup(grows_while_all_workers_are_busy, setup),
        cmocka_unit_test_setup(shrinks_without_losing_a_job, setup),
        cmocka_unit_test_setup(counts_waiting_time, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
