/* Timers, event log, response reader, comparison: the small parts. */
#include "base/buffer.h"
#include "load/compare.h"
#include "load/event_log.h"
#include "load/response.h"
#include "load/rng.h"
#include "load/target.h"
#include "load/timers.h"
#include "support/test.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

/* ---- timers ---- */

#define MS 1000000ULL

static void note_expiry(struct timer *timer, void *userdata)
{
    uint64_t **next = userdata;

    *(*next)++ = timer->deadline_ns;
}

static void timers_expire_once_never_early_and_within_two_milliseconds(void **state)
{
    static struct timers timers;
    static struct timer set[500];
    static uint64_t expired[500];
    uint64_t *next = expired, start = 12345678901ULL;
    struct rng rng;
    int count = 0;

    rng_init(&rng, 1);
    timers_init(&timers, start);
    for (int i = 0; i < 500; i++)
        timers_add(&timers, &set[i], start + (uint64_t)rng_to_range(rng_next(&rng), 0, 5000 * MS));
    for (int i = 0; i < 500; i += 5)
        timer_remove(&set[i]);
    for (uint64_t now = start; now < start + 5010 * MS; now += MS) {
        uint64_t *before = next;

        timers_expire(&timers, now, note_expiry, &next);
        for (; before < next; before++) {
            assert_true(*before <= now && *before + 2 * MS > now);
            count++;
        }
    }
    assert_int_equal(count, 400);
    for (int i = 0; i < 500; i++)
        assert_false(timer_is_set(&set[i]));
}

static void following_the_timers_own_advice_misses_none(void **state)
{
    static struct timers timers;
    struct timer one = {0}, two = {0};
    uint64_t expired[2], *next = expired, now = 999 * MS, start = now;
    int turns = 0;

    timers_init(&timers, now);
    timers_add(&timers, &one, now + 7 * MS + 1);
    timers_add(&timers, &two, now + 3000 * MS);
    while (next < expired + 2 && turns++ < 100) {
        now = timers_next_ns(&timers, now);
        timers_expire(&timers, now, note_expiry, &next);
    }
    assert_ptr_equal(next, expired + 2);
    assert_true(now - start <= 3002 * MS);
    assert_true(turns < 10);
}

static void a_long_stop_loses_no_timer(void **state)
{
    static struct timers timers;
    struct timer one = {0};
    uint64_t expired[1], *next = expired;

    timers_init(&timers, 0);
    timers_add(&timers, &one, 50 * MS);
    timers_expire(&timers, 1000000 * MS, note_expiry, &next);
    assert_ptr_equal(next, expired + 1);
}

/* ---- event log ---- */

static void the_log_counts_without_gaps_and_tells_what_is_lost(void **state)
{
    OBS_CLEANUP(event_log_freep) struct event_log *log = NULL;
    struct event event = {.user = 1}, read[100];
    uint64_t lost;

    assert_int_equal(event_log_new(64, &log), 0);
    assert_int_equal(event_log_read(log, 0, read, 100, &lost), 0);
    for (uint32_t i = 1; i <= 100; i++) {
        event.user = i;
        event_log_add(log, &event);
    }
    assert_int_equal(event_log_last(log), 100);
    assert_int_equal(event_log_read(log, 0, read, 10, &lost), 10);
    assert_int_equal(lost, 36);
    assert_int_equal(read[0].sequence, 37);
    assert_int_equal(read[0].user, 37);
    assert_int_equal(event_log_read(log, read[9].sequence, read, 100, &lost), 54);
    assert_int_equal(lost, 0);
    assert_int_equal(read[53].sequence, 100);
    assert_int_equal(event_log_read(log, 100, read, 100, &lost), 0);
}

static void *write_events(void *log)
{
    for (uint32_t i = 1; i <= 20000; i++)
        event_log_add(log, &(struct event){.user = i, .time_ns = i, .duration_us = i});
    return NULL;
}

static void readers_see_whole_events_while_threads_write(void **state)
{
    OBS_CLEANUP(event_log_freep) struct event_log *log = NULL;
    static struct event read[1000];
    pthread_t threads[3];
    uint64_t after = 0, seen = 0, lost_all = 0;

    assert_int_equal(event_log_new(256, &log), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_events, log), 0);
    while (after < 60000) {
        uint64_t lost;
        size_t count = event_log_read(log, after, read, 1000, &lost);

        lost_all += lost;
        after += lost;
        for (size_t i = 0; i < count; i++) {
            assert_true(read[i].time_ns == read[i].user && read[i].duration_us == read[i].user);
            assert_int_equal(read[i].sequence, ++after);
            seen++;
        }
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(seen + lost_all, 60000);
}

/* ---- response ---- */

static void count_head(const struct obs_http1_head *head, void *userdata)
{
    ++*(int *)userdata;
}

/* Feed @text in pieces of @step bytes. */
static int feed(struct response *r, const char *text, size_t step, bool was_head, size_t *ret_used)
{
    static const struct response_limits limits = {
        .head_bytes = 200, .keep_bytes = 20, .body_bytes = 100};
    struct obs_http1_head head;
    int heads = 0, outcome = RESPONSE_MORE;
    size_t size = strlen(text);

    *ret_used = 0;
    response_begin(r, &limits, was_head, true);
    for (size_t at = 0; at < size && outcome == RESPONSE_MORE; at += step) {
        size_t part = size - at < step ? size - at : step, used;
        char *copy = malloc(part); /* so that a sanitizer sees reads beyond it */

        memcpy(copy, text + at, part);
        outcome = response_feed(r, &limits, &head, copy, part, &used, count_head, &heads);
        *ret_used += used;
        free(copy);
    }
    assert_true(heads <= 1);
    return outcome;
}

static void a_reply_reads_the_same_in_any_pieces(void **state)
{
    static const struct {
        const char *text, *body;
        int outcome, status;
        size_t rest; /* bytes after the reply */
        bool keep_alive;
    } CASES[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", RESPONSE_DONE, 200, 0, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", "hello", RESPONSE_DONE, 200, 4,
         true},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", "",
         RESPONSE_DONE, 201, 0, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
         "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
         "abcde", RESPONSE_DONE, 200, 0, true},
        {"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "", RESPONSE_DONE, 204, 0, false},
        {"HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end", RESPONSE_MORE, 200, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz",
         "abcdefghijklmnopqrst", RESPONSE_DONE, 200, 0, true},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "", RESPONSE_BAD, 0, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "", RESPONSE_BAD, 0,
         0, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "", RESPONSE_BAD, 200, 0,
         false},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++)
        for (size_t step = 1; step <= strlen(CASES[i].text); step++) {
            struct response r;
            size_t used;
            int outcome = feed(&r, CASES[i].text, step, false, &used);

            if (outcome != CASES[i].outcome)
                print_error("case %zu in steps of %zu\n", i, step);
            assert_int_equal(outcome, CASES[i].outcome);
            assert_int_equal(r.status, CASES[i].status);
            assert_int_equal(r.body.size, strlen(CASES[i].body));
            if (r.body.size > 0)
                assert_memory_equal(r.body.data, CASES[i].body, r.body.size);
            if (outcome == RESPONSE_DONE) {
                assert_int_equal(r.keep_alive, CASES[i].keep_alive);
                /* Bytes after the reply are seen only when they came with it. */
                assert_true(used >= strlen(CASES[i].text) - CASES[i].rest);
            }
            response_done(&r);
        }
}

static void the_end_of_the_connection_ends_only_such_replies(void **state)
{
    struct response r;
    size_t used;

    assert_int_equal(feed(&r, "HTTP/1.0 200 OK\r\n\r\nabc", 7, false, &used), RESPONSE_MORE);
    assert_int_equal(response_close(&r), RESPONSE_DONE);
    response_done(&r);
    assert_int_equal(feed(&r, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 7, false, &used),
                     RESPONSE_MORE);
    assert_int_equal(response_close(&r), RESPONSE_MORE);
    response_done(&r);
    assert_int_equal(feed(&r, "HTTP/1.1 2", 7, false, &used), RESPONSE_MORE);
    assert_int_equal(response_close(&r), RESPONSE_MORE);
    response_done(&r);
    assert_int_equal(feed(&r, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 7, true, &used),
                     RESPONSE_DONE);
    response_done(&r);
}

static void limits_hold(void **state)
{
    struct response r;
    size_t used;
    char text[1000] = "HTTP/1.1 200 OK\r\nX: ";

    memset(text + strlen(text), 'x', 500);
    for (size_t step = 1; step < 600; step += 13) {
        assert_int_equal(feed(&r, text, step, false, &used), RESPONSE_TOO_LARGE);
        assert_true(r.head.size <= 200);
        response_done(&r);
    }
    snprintf(text, sizeof(text), "HTTP/1.0 200 OK\r\n\r\n%0500d", 1);
    for (size_t step = 1; step < 600; step += 13) {
        assert_int_equal(feed(&r, text, step, false, &used), RESPONSE_TOO_LARGE);
        assert_true(r.body.size <= 20);
        response_done(&r);
    }
}

/* ---- target ---- */

static void targets_are_read_and_refused(void **state)
{
    static const struct {
        const char *url, *address, *host, *path;
    } GOOD[] = {
        {"http://127.0.0.1", "tcp:127.0.0.1:80", "127.0.0.1", "/"},
        {"http://127.0.0.1:81/a?b#c", "tcp:127.0.0.1:81", "127.0.0.1:81", "/a?b"},
        {"http://[::1]:81?x", "tcp:[::1]:81", "[::1]:81", "/?x"},
        {"unix:/run/a.sock", "unix:/run/a.sock", "localhost", "/"},
        {"unix:/run/a.sock:/b", "unix:/run/a.sock", "localhost", "/b"},
        {"tcp:127.0.0.1:9", "tcp:127.0.0.1:9", "127.0.0.1:9", "/"},
    };
    static const char *const BAD[] = {"",
                                      "ftp://a",
                                      "http://",
                                      "http:///x",
                                      "http://a b/",
                                      "http://u@127.0.0.1/",
                                      "http://127.0.0.1:/",
                                      "http://[::1",
                                      "http://127.0.0.1/a b",
                                      "http://127.0.0.1:99999/"};
    struct target_options options = {0};

    for (size_t i = 0; i < OBS_COUNT(GOOD); i++) {
        struct obs_reason why = {0};
        struct target *target = NULL;

        assert_int_equal(target_parse(GOOD[i].url, &options, &target, &why), 0);
        assert_string_equal(target->address.text, GOOD[i].address);
        assert_string_equal(target->host, GOOD[i].host);
        assert_string_equal(target->path, GOOD[i].path);
        target_free(target);
    }
    for (size_t i = 0; i < OBS_COUNT(BAD); i++) {
        struct obs_reason why = {0};
        struct target *target = NULL;

        assert_int_equal(target_parse(BAD[i], &options, &target, &why), TARGET_REFUSED);
        assert_true(*why.text != '\0');
    }
}

/* ---- comparison ---- */

static void the_test_of_two_samples_has_the_values_of_the_books(void **state)
{
    /* Normal approximation with continuity correction, as R's wilcox.test(exact=FALSE). */
    const double a[] = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46};
    const double b[] = {1.15, 0.88, 0.90, 0.74, 1.21};

    assert_true(fabs(compare_p_value(a, 10, b, 5) - 0.2446) < 0.001);
    assert_true(compare_p_value(a, 10, a, 10) == 1);
    assert_true(compare_p_value(a, 0, b, 5) == 1);
}

static void equal_runs_rarely_differ_and_different_ones_do(void **state)
{
    double a[30], b[30], c[30];
    unsigned alarms = 0, found = 0;
    struct rng rng;

    rng_init(&rng, 11);
    for (int run = 0; run < 1000; run++) {
        for (int i = 0; i < 30; i++) {
            a[i] = rng_unit(&rng) + rng_unit(&rng);
            b[i] = rng_unit(&rng) + rng_unit(&rng);
            c[i] = rng_unit(&rng) + rng_unit(&rng) + 0.5;
        }
        alarms += compare_p_value(a, 30, b, 30) < 0.01;
        found += compare_p_value(a, 30, c, 30) < 0.01;
    }
    assert_true(alarms < 20);
    assert_true(found > 950);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_expire_once_never_early_and_within_two_milliseconds),
        cmocka_unit_test(following_the_timers_own_advice_misses_none),
        cmocka_unit_test(a_long_stop_loses_no_timer),
        cmocka_unit_test(the_log_counts_without_gaps_and_tells_what_is_lost),
        cmocka_unit_test(readers_see_whole_events_while_threads_write),
        cmocka_unit_test(a_reply_reads_the_same_in_any_pieces),
        cmocka_unit_test(the_end_of_the_connection_ends_only_such_replies),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(targets_are_read_and_refused),
        cmocka_unit_test(the_test_of_two_samples_has_the_values_of_the_books),
        cmocka_unit_test(equal_runs_rarely_differ_and_different_ones_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
